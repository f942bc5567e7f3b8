#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "kernel/vm/iov.h"
#include "test/unit/base/random.h"
#include "test/unit/vm/space.h"

#define BASE 0x30000000ull

/* A cache as tmpfs has it, with a limit; and one over a medium of which page n is full of byte n, and page 13 is broken. */
static int64_t charged, charge_limit;
static unsigned reads;

static void (*meanwhile)(void); /* happens before the next page is added */

static int test_charge(struct pagecache *cache, uint64_t npages)
{
    void (*happens)(void) = meanwhile;

    (void)cache;
    meanwhile = NULL;
    if (happens != NULL) {
        happens();
    }
    if (charged + (int64_t)npages > charge_limit) {
        return -ENOSPC;
    }
    charged += (int64_t)npages;
    return 0;
}

static void test_uncharge(struct pagecache *cache, uint64_t npages)
{
    (void)cache;
    charged -= (int64_t)npages;
}

static int test_read_page(struct pagecache *cache, struct page *page)
{
    (void)cache;
    reads++;
    if (page->index == 13) {
        return -EIO;
    }
    memset(page_to_virt(page), (int)page->index, PAGE_SIZE);
    return 0;
}

static const struct pagecache_ops memory_ops = {.charge = test_charge, .uncharge = test_uncharge};
static const struct pagecache_ops medium_ops = {
    .charge = test_charge, .uncharge = test_uncharge, .read_page = test_read_page};

static struct pagecache cache;

static void source_nothing(struct vm_source *source)
{
    (void)source;
}
static const struct vm_source_ops source_ops = {.get = source_nothing, .put = source_nothing};
static struct vm_source source = {.ops = &source_ops, .cache = &cache};

static void start(const struct pagecache_ops *ops)
{
    vm_test_init();
    charged = 0;
    charge_limit = INT64_MAX;
    reads = 0;
    pagecache_init(&cache, ops, NULL);
}

static void finish(void)
{
    pagecache_fini(&cache);
    EXPECT_EQ(charged, 0);
}

static ssize_t write_at(loff_t pos, const void *data, size_t len)
{
    struct iov_iter iter;

    iov_init_kernel(&iter, (void *)(uintptr_t)data, len);
    return pagecache_write(&cache, &pos, &iter);
}

static ssize_t read_at(loff_t pos, void *data, size_t len)
{
    struct iov_iter iter;

    iov_init_kernel(&iter, data, len);
    return pagecache_read(&cache, NULL, &pos, &iter);
}

TEST(pagecache, what_is_written_is_read_and_holes_are_zero)
{
    char buf[32];

    start(&memory_ops);
    EXPECT_EQ(write_at(10000, "hello", 5), 5);
    EXPECT_EQ(cache.size_bytes, 10005);
    EXPECT_EQ(charged, 1);
    EXPECT_EQ(read_at(9998, buf, sizeof(buf)), 7);
    EXPECT_MEM_EQ(buf, "\0\0hello", 7);
    EXPECT_EQ(read_at(0, buf, 4), 4);
    EXPECT_MEM_EQ(buf, "\0\0\0\0", 4);
    EXPECT_EQ(read_at(10005, buf, 4), 0);
    EXPECT_EQ(charged, 1);
    finish();
}

TEST(pagecache, random_writes_truncations_and_holes_agree_with_a_byte_array)
{
    enum { SIZE = 40 * 4096 };
    static uint8_t model[SIZE], data[SIZE], got[SIZE];
    uint64_t seed = 5, size = 0;

    start(&memory_ops);
    memset(model, 0, sizeof(model));
    for (unsigned i = 0; i < 3000; i++) {
        uint64_t at = test_random(&seed) % SIZE;
        uint64_t len = test_random(&seed) % (i % 7 == 0 ? SIZE : 6000) % (SIZE - at);
        switch (test_random(&seed) % 8) {
        case 0:
            EXPECT_EQ(pagecache_truncate(&cache, at), 0);
            if (at < size) {
                memset(model + at, 0, SIZE - at);
            }
            size = at;
            break;
        case 1:
            len = MIN(len, size > at ? size - at : 0);
            EXPECT_EQ(pagecache_punch(&cache, at, at + len), 0);
            memset(model + at, 0, len);
            break;
        default:
            memset(data, (int)i, len);
            EXPECT_EQ(write_at((loff_t)at, data, len), len);
            memcpy(model + at, data, len);
            size = len > 0 ? MAX(size, at + len) : size;
            break;
        }
        EXPECT_EQ(cache.size_bytes, size);
        at = test_random(&seed) % SIZE;
        len = test_random(&seed) % (SIZE - at);
        ssize_t expected = at >= size ? 0 : (ssize_t)MIN(len, size - at);
        EXPECT_EQ(read_at((loff_t)at, got, len), expected);
        EXPECT_MEM_EQ(got, model + at, (size_t)expected);
    }
    finish();
}

TEST(pagecache, space_runs_out_in_the_middle_of_a_write)
{
    static char data[5 * 4096];

    start(&memory_ops);
    charge_limit = 3;
    EXPECT_EQ(write_at(0, data, sizeof(data)), 3 * PAGE_SIZE);
    EXPECT_EQ(write_at(3 * PAGE_SIZE, data, 1), -ENOSPC);
    EXPECT_EQ(write_at(100, data, 200), 200);
    EXPECT_EQ(cache.size_bytes, 3 * PAGE_SIZE);
    EXPECT_EQ(pagecache_punch(&cache, 0, PAGE_SIZE), 0);
    EXPECT_EQ(write_at(3 * PAGE_SIZE, data, 1), 1);
    finish();
}

TEST(pagecache, seek_finds_data_and_holes)
{
    start(&memory_ops);
    EXPECT_EQ(write_at(5 * PAGE_SIZE + 7, "x", 1), 1);
    EXPECT_EQ(write_at(6 * PAGE_SIZE + 7, "x", 1), 1);
    EXPECT_EQ(pagecache_truncate(&cache, 10 * PAGE_SIZE), 0);
    EXPECT_EQ(pagecache_seek(&cache, 0, true), 5 * PAGE_SIZE);
    EXPECT_EQ(pagecache_seek(&cache, 5 * PAGE_SIZE + 3, true), 5 * PAGE_SIZE + 3);
    EXPECT_EQ(pagecache_seek(&cache, 0, false), 0);
    EXPECT_EQ(pagecache_seek(&cache, 5 * PAGE_SIZE + 3, false), 7 * PAGE_SIZE);
    EXPECT_EQ(pagecache_seek(&cache, 7 * PAGE_SIZE, true), -ENXIO);
    EXPECT_EQ(pagecache_seek(&cache, 10 * PAGE_SIZE, false), -ENXIO);
    EXPECT_EQ(write_at(9 * PAGE_SIZE, "x", 1), 1);
    EXPECT_EQ(pagecache_seek(&cache, 9 * PAGE_SIZE, false), 10 * PAGE_SIZE);
    finish();
}

TEST(pagecache, a_medium_is_read_once_and_its_errors_are_told)
{
    uint8_t buf[16];

    start(&medium_ops);
    cache.size_bytes = 20 * PAGE_SIZE;
    EXPECT_EQ(read_at(3 * PAGE_SIZE - 8, buf, 16), 16);
    EXPECT_EQ(buf[7], 2);
    EXPECT_EQ(buf[8], 3);
    EXPECT_EQ(reads, 2);
    EXPECT_EQ(read_at(3 * PAGE_SIZE - 8, buf, 16), 16);
    EXPECT_EQ(reads, 2);
    EXPECT_EQ(read_at(13 * PAGE_SIZE, buf, 16), -EIO);
    EXPECT_EQ(read_at(13 * PAGE_SIZE, buf, 16), -EIO);
    EXPECT_EQ(reads, 4);
    finish();
}

TEST(pagecache, a_read_ends_before_the_page_that_cannot_be_had)
{
    static uint8_t buf[4 * PAGE_SIZE];

    start(&medium_ops);
    cache.size_bytes = 20 * PAGE_SIZE;
    EXPECT_EQ(read_at(14 * PAGE_SIZE, buf, 1), 1);
    memset(buf, 99, sizeof(buf));
    EXPECT_EQ(read_at(11 * PAGE_SIZE + 1, buf, sizeof(buf)), 2 * PAGE_SIZE - 1);
    EXPECT_EQ(buf[2 * PAGE_SIZE - 2], 12);
    EXPECT_EQ(buf[2 * PAGE_SIZE - 1], 99);
    finish();
}

static void cut_off(void)
{
    EXPECT_EQ(pagecache_truncate(&cache, PAGE_SIZE), 0);
}

TEST(pagecache, nothing_is_added_behind_the_end_of_a_file_that_is_cut_off_meanwhile)
{
    struct vmspace *vm = space_enter();
    uint8_t buf[16];

    start(&memory_ops);
    cache.size_bytes = 8 * PAGE_SIZE;
    EXPECT_EQ(vmspace_map(vm, BASE, 8 * PAGE_SIZE, TEST_RW | TEST_MAY | VM_SHARED, VMMAP_FIXED,
                          &source, 0, NULL),
              (int64_t)BASE);
    meanwhile = cut_off;
    EXPECT_EQ(poke(BASE + 5 * PAGE_SIZE, 1), -EIO);
    EXPECT_EQ(cache.size_bytes, PAGE_SIZE);
    EXPECT_EQ(charged, 0);
    EXPECT_EQ(poke(BASE, 1), 0);
    space_leave();
    finish();

    start(&medium_ops);
    cache.size_bytes = 8 * PAGE_SIZE;
    meanwhile = cut_off;
    EXPECT_EQ(read_at(5 * PAGE_SIZE, buf, 16), 0);
    EXPECT_EQ(charged, 0);
    EXPECT_EQ(read_at(0, buf, 16), 16);
    finish();
}

/* ---- mappings ---- */

static void map_file(struct vmspace *vm, uint64_t at, uint64_t npages, uint32_t flags)
{
    EXPECT_EQ(
        vmspace_map(vm, at, npages * PAGE_SIZE, flags | TEST_MAY, VMMAP_FIXED, &source, 0, NULL),
        (int64_t)at);
}

TEST(pagecache, mappings_show_the_file_and_faults_map_what_lies_around)
{
    struct vmspace *vm = space_enter();

    start(&memory_ops);
    for (unsigned page = 0; page < 32; page++) {
        EXPECT_EQ(write_at((loff_t)(page * PAGE_SIZE), &page, 1), 1);
    }
    map_file(vm, BASE, 40, VM_READ);
    uint64_t faults = host_user_faults();
    for (unsigned page = 0; page < 32; page++) {
        EXPECT_EQ(peek(BASE + page * PAGE_SIZE), page);
    }
    EXPECT_EQ(host_user_faults() - faults, 2);
    EXPECT_EQ(vm->rss_shared, 32);
    EXPECT_EQ(peek(BASE + 32 * PAGE_SIZE), -EIO);
    EXPECT_EQ(poke(BASE, 1), -EACCES);
    space_leave();
    finish();
}

TEST(pagecache, private_writes_stay_private_and_shared_ones_reach_the_file)
{
    struct vmspace *vm = space_enter();
    uint8_t byte;

    start(&memory_ops);
    EXPECT_EQ(write_at(0, "abc", 3), 3);
    EXPECT_EQ(pagecache_truncate(&cache, 2 * PAGE_SIZE), 0);
    map_file(vm, BASE, 2, TEST_RW);
    map_file(vm, BASE + MIB(1), 2, TEST_RW | VM_SHARED);
    EXPECT_EQ(peek(BASE), 'a');
    EXPECT_EQ(poke(BASE, 'P'), 0);             /* from a page that is mapped for reading */
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 'Q'), 0); /* and from one that is not there */
    EXPECT_EQ(read_at(0, &byte, 1), 1);
    EXPECT_EQ(byte, 'a');
    EXPECT_EQ(poke(BASE + MIB(1), 'S'), 0);
    EXPECT_EQ(poke(BASE + MIB(1) + PAGE_SIZE, 'T'), 0);
    EXPECT_EQ(read_at(0, &byte, 1), 1);
    EXPECT_EQ(byte, 'S');
    EXPECT_EQ(read_at(PAGE_SIZE, &byte, 1), 1);
    EXPECT_EQ(byte, 'T');
    EXPECT_EQ(peek(BASE), 'P');
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 'Q');
    space_leave();
    finish();
}

TEST(pagecache, truncation_takes_pages_out_of_mappings_and_holes_spare_private_copies)
{
    struct vmspace *vm = space_enter();

    start(&memory_ops);
    for (unsigned page = 0; page < 8; page++) {
        EXPECT_EQ(write_at((loff_t)(page * PAGE_SIZE), "fff", 3), 3);
    }
    map_file(vm, BASE, 8, TEST_RW);
    map_file(vm, BASE + MIB(1), 8, TEST_RW | VM_SHARED);
    for (unsigned page = 0; page < 8; page++) {
        EXPECT_EQ(peek(BASE + page * PAGE_SIZE), 'f');
        EXPECT_EQ(peek(BASE + MIB(1) + page * PAGE_SIZE), 'f');
    }
    EXPECT_EQ(poke(BASE + 2 * PAGE_SIZE, 'p'), 0);
    EXPECT_EQ(pagecache_punch(&cache, PAGE_SIZE, 4 * PAGE_SIZE), 0);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), 'p');
    EXPECT_EQ(peek(BASE + 3 * PAGE_SIZE), 0);
    EXPECT_EQ(peek(BASE + MIB(1) + 2 * PAGE_SIZE), 0);
    EXPECT_EQ(pagecache_truncate(&cache, 2 * PAGE_SIZE + 1), 0);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), 'p');
    EXPECT_EQ(peek(BASE + 3 * PAGE_SIZE), -EIO);
    EXPECT_EQ(poke(BASE + MIB(1) + 7 * PAGE_SIZE, 1), -EIO);
    EXPECT_EQ(pagecache_truncate(&cache, 0), 0);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), -EIO);
    EXPECT_EQ(charged, 0);
    EXPECT_EQ(vm->rss_anon + vm->rss_shared, 0);
    space_leave();
    finish();
}

TEST(pagecache, what_was_resident_before_a_file_shrank_counts_for_the_peak)
{
    struct vmspace *vm = space_enter();

    start(&memory_ops);
    for (unsigned page = 0; page < 16; page++) {
        EXPECT_EQ(write_at((loff_t)(page * PAGE_SIZE), "f", 1), 1);
    }
    map_file(vm, BASE, 16, TEST_RW | VM_SHARED);
    for (unsigned page = 0; page < 16; page++) {
        EXPECT_EQ(peek(BASE + page * PAGE_SIZE), 'f');
    }
    EXPECT_EQ(pagecache_truncate(&cache, 0), 0);
    EXPECT_EQ(vm->rss_shared, 0);
    EXPECT_EQ(vmspace_rss_peak(vm), 16);
    space_leave();
    finish();
}

static uint64_t flushes(void)
{
    struct mmu_stats stats;

    mmu_stats(&stats);
    return stats.flush_page + stats.flush_range + stats.flush_all;
}

TEST(pagecache, a_hole_goes_from_private_mappings_with_few_flushes)
{
    const unsigned n = 600;
    struct vmspace *vm = space_enter();

    start(&memory_ops);
    for (unsigned page = 0; page < n; page++) {
        EXPECT_EQ(write_at((loff_t)(page * PAGE_SIZE), "f", 1), 1);
    }
    map_file(vm, BASE, n, TEST_RW);
    for (unsigned page = 0; page < n; page++) {
        EXPECT_EQ(peek(BASE + page * PAGE_SIZE), 'f');
    }
    EXPECT_EQ(poke(BASE + 300 * PAGE_SIZE, 'p'), 0);
    uint64_t before = flushes();
    EXPECT_EQ(pagecache_punch(&cache, 0, n * PAGE_SIZE), 0);
    EXPECT_LE(flushes() - before, 10);
    EXPECT_EQ(charged, 0);
    EXPECT_EQ(vm->rss_shared, 0);
    EXPECT_EQ(vm->rss_anon, 1);
    EXPECT_EQ(vmspace_rss_peak(vm), n);
    for (unsigned page = 0; page < n; page++) {
        EXPECT_EQ(peek(BASE + page * PAGE_SIZE), page == 300 ? 'p' : 0);
    }
    space_leave();
    finish();
}

TEST(pagecache, a_mapping_reads_the_medium_and_faults_where_that_fails)
{
    struct vmspace *vm = space_enter();

    start(&medium_ops);
    cache.size_bytes = 20 * PAGE_SIZE;
    map_file(vm, BASE, 20, TEST_RW | VM_SHARED);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), 2);
    EXPECT_EQ(poke(BASE + 2 * PAGE_SIZE, 9), 0);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), 9);
    EXPECT_EQ(peek(BASE + 13 * PAGE_SIZE), -EIO);
    EXPECT_EQ(peek(BASE + 14 * PAGE_SIZE), 14);
    space_leave();
    finish();
}
