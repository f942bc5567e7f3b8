/* Dirty pages and how they reach the medium (kernel/vm/writeback.h), over a simulated one. */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "kernel/vm/vmspace.h"
#include "test/unit/base/random.h"
#include "test/unit/vm/store.h"

#define BASE 0x50000000ull
#define ALL  (UINT64_MAX >> PAGE_SHIFT)

static struct writeback_stats stats_now(void)
{
    struct writeback_stats stats;

    writeback_stats(&stats);
    return stats;
}

static void sync_all(void)
{
    EXPECT_EQ(pagecache_sync(&store_cache, 0, ALL), 0);
}

static void test_sync(void)
{
    store.delay = 2 * NS_PER_MS;
    store_fill(0, 10, 'a');
    store_fill(20, 1, 'b');
    EXPECT_EQ(store_wb.ndirty, 11);
    EXPECT_EQ(stats_now().dirty, 11);
    EXPECT_EQ(pagecache_write_start(&store_cache, 0, ALL), 0);
    EXPECT_EQ(stats_now().dirty, 0);
    EXPECT_EQ(stats_now().writeback, 11);
    EXPECT_EQ(store.pages_written, 0);
    sync_all();
    EXPECT_EQ(stats_now().writeback, 0);
    EXPECT(store_holds(0, 10, 'a') && store_holds(20, 1, 'b'));
    EXPECT_EQ(store.writes, 2); /* neighbours go together */
    sync_all();
    EXPECT_EQ(store.writes, 2); /* what is clean is not written */
}
TEST(writeback, sync_writes_what_is_dirty_in_runs_and_waits_for_it)
{
    store_test(test_sync);
}

static void test_range(void)
{
    store.delay = NS_PER_MS;
    store_fill(0, 10, 'a');
    EXPECT_EQ(pagecache_sync(&store_cache, 3, 5), 0);
    EXPECT_EQ(store.pages_written, 3);
    EXPECT(store_holds(3, 3, 'a') && store_holds(2, 1, 0) && store_holds(6, 1, 0));
    EXPECT_EQ(store_wb.ndirty, 7);
    store_fill(0, 200, 'b');
    sync_all();
    EXPECT(store_holds(0, 200, 'b'));
    EXPECT_EQ(store.longest, WRITEBACK_RUN);
}
TEST(writeback, a_range_alone_can_be_written)
{
    store_test(test_range);
}

static void test_dirty_again(void)
{
    store.delay = 5 * NS_PER_MS;
    store_fill(0, 4, 'a');
    EXPECT_EQ(pagecache_write_start(&store_cache, 0, ALL), 0);
    store_fill(1, 1, 'b'); /* while it is on its way */
    EXPECT_EQ(store_wb.ndirty, 1);
    EXPECT_EQ(pagecache_write_start(&store_cache, 0, ALL), 0); /* passes it by */
    EXPECT_EQ(store.writes, 1);
    sync_all(); /* waits, and writes it once more */
    EXPECT_EQ(store.writes, 2);
    EXPECT_EQ(store.pages_written, 5);
    EXPECT(store_holds(0, 1, 'a') && store_holds(1, 1, 'b') && store_holds(2, 2, 'a'));
}
TEST(writeback, a_page_changed_while_it_is_written_is_written_again_and_never_twice_at_once)
{
    store_test(test_dirty_again);
}

/* ---- when ---- */

static void test_age(void)
{
    ktime_t start = ktime_now();

    store.delay = NS_PER_MS;
    store_fill(0, 1, 'a');
    store_sleep(29 * NS_PER_S);
    EXPECT_EQ(store.writes, 0);
    store_sleep(10 * NS_PER_S);
    EXPECT_EQ(store.writes, 1);
    EXPECT(store_holds(0, 1, 'a'));
    EXPECT_GE(store.last_done, start + 30 * NS_PER_S);
    EXPECT_LE(store.last_done, start + 36 * NS_PER_S);
}
TEST(writeback, what_has_been_dirty_for_long_is_written_by_itself)
{
    store_test(test_age);
}

static void test_no_age(void)
{
    writeback_settings.writeback_centisecs = 0;
    writeback_settings_changed();
    store_fill(0, 1, 'a');
    store_sleep(1000 * NS_PER_S);
    EXPECT_EQ(store.writes, 0);
    writeback_settings.writeback_centisecs = 100; /* heard at once */
    writeback_settings_changed();
    store_sleep(2 * NS_PER_S);
    EXPECT_EQ(store.writes, 1);
}
TEST(writeback, nothing_is_written_by_age_when_it_is_set_so)
{
    store_test(test_no_age);
}

static void test_background(void)
{
    store.delay = NS_PER_MS;
    writeback_settings.background_bytes = 100 * PAGE_SIZE;
    store_fill(0, 96, 'a');
    store_sleep(NS_PER_S);
    EXPECT_EQ(store.writes, 0);
    store_fill(96, 64, 'a');
    store_sleep(NS_PER_S);
    EXPECT_EQ(store_wb.ndirty, 0);
    EXPECT(store_holds(0, 160, 'a'));
}
TEST(writeback, more_than_the_background_limit_is_written_at_once)
{
    store_test(test_background);
}

static void test_throttle(void)
{
    uint64_t most = 0;
    ktime_t start = ktime_now();

    store.delay = 20 * NS_PER_MS;
    writeback_settings.bytes = 256 * PAGE_SIZE;
    writeback_settings.background_bytes = 128 * PAGE_SIZE;
    for (unsigned i = 0; i < STORE_PAGES; i++) {
        store_fill(i, 1, (uint8_t)i);
        most = MAX(most, stats_now().dirty + stats_now().writeback);
    }
    EXPECT_LE(most, 256 + 32);
    EXPECT_GT(ktime_now(), start + 20 * NS_PER_MS); /* it has waited */
    sync_all();
    EXPECT(store_holds(2, 1, 2) && store_holds(2047, 1, 255));
}
TEST(writeback, who_writes_faster_than_the_medium_waits_beyond_the_limit)
{
    store_test(test_throttle);
}

static void test_one_large_write(void)
{
    static uint8_t data[1024 * PAGE_SIZE];

    store.delay = 20 * NS_PER_MS;
    writeback_settings.bytes = 100 * PAGE_SIZE;
    EXPECT_EQ(store_write(0, data, sizeof(data)), sizeof(data));
    EXPECT_LE(stats_now().dirty + stats_now().writeback, 100 + 48);
}
TEST(writeback, a_large_write_waits_on_its_way_too)
{
    store_test(test_one_large_write);
}

static void test_ratio(void)
{
    struct frame_stats frames;

    frame_stats(&frames);
    uint64_t available = frames.free + frames.by_kind[PAGE_FILE];
    EXPECT_LE(stats_now().threshold, available / 5);
    EXPECT_GE(stats_now().threshold, available / 5 - 64);
    EXPECT_GE(stats_now().background_threshold, available / 10 - 64);
    EXPECT_LE(stats_now().background_threshold, available / 10);
    writeback_settings.background_ratio = 50; /* not beyond the other one */
    EXPECT_EQ(stats_now().background_threshold, stats_now().threshold / 2);
    writeback_settings.bytes = 3 * PAGE_SIZE + 1;
    EXPECT_EQ(stats_now().threshold, 4);
}
TEST(writeback, limits_are_shares_of_memory_or_bytes)
{
    store_test(test_ratio);
}

/* ---- errors ---- */

static void test_errors(void)
{
    uint32_t early = writeback_error_mark(&store_wb);
    uint32_t other = writeback_error_mark(&store_wb);

    store.delay = NS_PER_MS;
    store.error = -EIO;
    store_fill(0, 2, 'a');
    sync_all();
    EXPECT_EQ(stats_now().dirty, 0);                 /* clean all the same */
    uint32_t late = writeback_error_mark(&store_wb); /* opened after it, but nobody knows yet */
    EXPECT_EQ(writeback_error_check(&store_wb, &early), -EIO);
    EXPECT_EQ(writeback_error_check(&store_wb, &early), 0);
    EXPECT_EQ(writeback_error_check(&store_wb, &late), -EIO);
    uint32_t later = writeback_error_mark(&store_wb);
    EXPECT_EQ(writeback_error_check(&store_wb, &later), 0);
    EXPECT_EQ(writeback_error_check(&store_wb, &other), -EIO);
    store_fill(0, 1, 'b'); /* the same again is news */
    sync_all();
    EXPECT_EQ(writeback_error_check(&store_wb, &early), -EIO);
    store.error = -ENOSPC;
    store_fill(0, 1, 'c');
    sync_all();
    EXPECT_EQ(writeback_error_check(&store_wb, &early), -ENOSPC);
    EXPECT_EQ(writeback_error_check(&store_wb, &later), -ENOSPC); /* the latest of two */
    EXPECT_EQ(writeback_error_check(&store_wb, &later), 0);
    store.error = 0;
    store_fill(0, 1, 'd');
    sync_all();
    EXPECT_EQ(writeback_error_check(&store_wb, &early), 0);
    EXPECT(store_holds(0, 1, 'd'));
}
TEST(writeback, each_open_file_is_told_of_an_error_once)
{
    store_test(test_errors);
}

static void test_refused(void)
{
    uint32_t mark = writeback_error_mark(&store_wb);

    store_fill(0, 3, 'a');
    store.refuse = -ENOSPC;
    sync_all();
    EXPECT_EQ(stats_now().dirty + stats_now().writeback, 0);
    EXPECT_EQ(writeback_error_check(&store_wb, &mark), -ENOSPC);
    store_fill(0, 3, 'b');
    store.refuse = -ENOMEM;
    EXPECT_EQ(pagecache_sync(&store_cache, 0, ALL), -ENOMEM);
    EXPECT_EQ(stats_now().dirty, 3); /* nothing is lost */
    EXPECT_EQ(writeback_error_check(&store_wb, &mark), 0);
    sync_all();
    EXPECT(store_holds(0, 3, 'b'));
}
TEST(writeback, a_run_that_could_not_begin_is_an_error_or_tried_again_for_want_of_memory)
{
    store_test(test_refused);
}

/* ---- pages that leave ---- */

static void test_truncate(void)
{
    store.delay = 10 * NS_PER_MS;
    store_fill(0, 8, 'a');
    EXPECT_EQ(pagecache_truncate(&store_cache, 6 * PAGE_SIZE), 0);
    EXPECT_EQ(stats_now().dirty, 6); /* dirt goes with its page */
    EXPECT_EQ(pagecache_write_start(&store_cache, 0, ALL), 0);
    EXPECT_EQ(pagecache_truncate(&store_cache, 2 * PAGE_SIZE + 100), 0);
    for (unsigned i = 3; i < 6; i++) {
        EXPECT(!store.writing[i]); /* the medium is done with what was cut off */
    }
    sync_all();
    EXPECT_EQ(store.medium[2][99], 'a');
    EXPECT_EQ(store.medium[2][100], 0);
    EXPECT_EQ(pagecache_punch(&store_cache, 0, PAGE_SIZE + 7), 0);
    EXPECT_EQ(stats_now().dirty, 1);
}
TEST(writeback, truncation_waits_for_the_medium_and_makes_the_edge_dirty)
{
    store_test(test_truncate);
}

static void test_fini(void)
{
    store.delay = 10 * NS_PER_MS;
    store.backwards = true;
    store_fill(0, 100, 'a');
    EXPECT_EQ(pagecache_write_start(&store_cache, 0, 49), 0);
}
TEST(writeback, the_end_of_a_file_waits_for_what_is_on_its_way)
{
    store_test(test_fini);
    EXPECT_EQ(store.pages_written, 50);
}

static void test_device(void)
{
    store.delay = 10 * NS_PER_MS;
    store_fill(0, 100, 'a');
    EXPECT_EQ(writeback_device_sync(&store_device), 0);
    EXPECT(store_holds(0, 100, 'a'));
    EXPECT_EQ(stats_now().writeback, 0);
    store_fill(0, 1, 'b');
    EXPECT_EQ(pagecache_write_start(&store_cache, 0, ALL), 0);
    EXPECT_EQ(writeback_device_sync(&store_device), 0); /* what others began, too */
    EXPECT(store_holds(0, 1, 'b'));
    store_fill(0, 1, 'c');
    writeback_hurry();
    store_sleep(NS_PER_S);
    EXPECT(store_holds(0, 1, 'c'));
}
TEST(writeback, all_files_of_a_device_are_written_by_its_sync)
{
    store_test(test_device);
}

static void test_sync_beside_thread(void)
{
    store.busy = 50 * NS_PER_MS;
    store_fill(0, 2 * WRITEBACK_RUN + 1, 'a');
    writeback_hurry();
    store_sleep(10 * NS_PER_MS); /* the thread is in its second run of three */
    EXPECT_EQ(store.writes, 2);
    store_fill(0, 1, 'b');
    EXPECT_EQ(writeback_device_sync(&store_device), 0);
    EXPECT(store_holds(0, 1, 'b'));
    EXPECT_EQ(stats_now().dirty, 0);
}
TEST(writeback, sync_writes_what_became_dirty_behind_the_thread_s_back)
{
    store_test(test_sync_beside_thread);
}

/* ---- mappings ---- */

static void map_store(struct vmspace *vm, uint64_t at, uint64_t npages)
{
    EXPECT_EQ(vmspace_map(vm, at, npages * PAGE_SIZE, TEST_RW | VM_SHARED | TEST_MAY, VMMAP_FIXED,
                          &store_source, 0, NULL),
              (int64_t)at);
}

static void test_mapping(void)
{
    struct vmspace *vm = space_enter();

    store.delay = 5 * NS_PER_MS;
    store_cache.size_bytes = 8 * PAGE_SIZE;
    map_store(vm, BASE, 8);
    EXPECT_EQ(peek(BASE), 0);
    EXPECT_EQ(stats_now().dirty, 0);
    EXPECT_EQ(poke(BASE, 'a'), 0);
    EXPECT_EQ(poke(BASE + 3 * PAGE_SIZE, 'a'), 0);
    EXPECT_EQ(store.mkwrites, 2);
    EXPECT_EQ(stats_now().dirty, 2);
    EXPECT_EQ(poke(BASE + 1, 'a'), 0); /* writable already */
    EXPECT_EQ(store.mkwrites, 2);
    EXPECT_EQ(pagecache_write_start(&store_cache, 0, ALL), 0);
    EXPECT_EQ(poke(BASE + 2, 'b'), 0); /* on its way: faults */
    EXPECT_EQ(store.mkwrites, 3);
    EXPECT_EQ(stats_now().dirty, 1);
    sync_all();
    EXPECT_MEM_EQ(store.medium[0], "aab", 3);
    EXPECT_EQ(store.medium[3][0], 'a');
    EXPECT_EQ(vmspace_remap(vm, BASE, 8 * PAGE_SIZE, 8 * PAGE_SIZE, 3, BASE + MIB(4)),
              (int64_t)(BASE + MIB(4))); /* MREMAP_MAYMOVE | MREMAP_FIXED */
    EXPECT_EQ(poke(BASE + MIB(4), 'c'), 0);
    EXPECT_EQ(stats_now().dirty, 1);
    sync_all();
    EXPECT_EQ(poke(BASE + MIB(4) + 1, 'd'), 0); /* protected where it is now */
    EXPECT_EQ(stats_now().dirty, 1);
    store.mkwrite_error = -ENOSPC;
    EXPECT_EQ(poke(BASE + MIB(4) + 5 * PAGE_SIZE, 'e'), -EIO); /* SIGBUS */
    EXPECT_EQ(stats_now().dirty, 1);
    space_leave();
    EXPECT_EQ(stats_now().dirty, 1); /* it stays dirty when it is not mapped any more */
    sync_all();
    EXPECT_EQ(store.medium[0][1], 'd');
}
TEST(writeback, a_mapping_is_written_after_it_was_made_read_only_and_dirty_again_after_a_write)
{
    store_test(test_mapping);
}

static void test_mapping_throttled(void)
{
    struct vmspace *vm = space_enter();
    uint64_t most = 0;

    store.delay = 5 * NS_PER_MS;
    writeback_settings.bytes = 64 * PAGE_SIZE;
    store_cache.size_bytes = 1024 * PAGE_SIZE;
    map_store(vm, BASE, 1024);
    for (uint64_t i = 0; i < 1024; i++) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, (uint8_t)i), 0);
        most = MAX(most, stats_now().dirty + stats_now().writeback);
    }
    EXPECT_LE(most, 64 + 33);
    space_leave();
    sync_all();
    EXPECT_EQ(store.medium[1000][0], (uint8_t)1000);
}
TEST(writeback, who_writes_through_a_mapping_waits_as_well)
{
    store_test(test_mapping_throttled);
}

/* ---- writes that do not come to pass, or come late ---- */

static void test_fault(void)
{
    struct iov_iter iter;
    loff_t there = 1000, missing = 5 * PAGE_SIZE + 1000;

    EXPECT_EQ(store_write(0, "abc", 3), 3);
    iov_init_user(&iter, NULL, 10);
    EXPECT_EQ(pagecache_write(&store_cache, &there, &iter), -EFAULT);
    EXPECT_EQ(store_cache.size_bytes, 3);
    EXPECT_EQ(pagecache_write(&store_cache, &missing, &iter), -EFAULT);
    EXPECT_EQ(store_cache.size_bytes, 3);
    sync_all();
}
TEST(writeback, a_write_of_which_nothing_can_be_read_leaves_the_size)
{
    store_test(test_fault);
}

/* A file of which a page is read while all that is dirty in the store is written. */
static int read_and_sync(struct pagecache *cache, struct page *page)
{
    (void)cache;
    memset(page_to_virt(page), 'b', PAGE_SIZE);
    sync_all();
    return 0;
}

static void test_outside(void)
{
    static const struct pagecache_ops ops = {.read_page = read_and_sync};
    static struct pagecache other;
    static struct vm_source source = {.ops = &store_source_ops, .cache = &other};
    struct vmspace *vm = space_enter();
    struct iov_iter iter;

    store_cache.size_bytes = PAGE_SIZE;
    map_store(vm, BASE, 1);
    EXPECT_EQ(poke(BASE, 'a'), 0);
    pagecache_init(&other, &ops, NULL);
    other.size_bytes = PAGE_SIZE;
    EXPECT_EQ(vmspace_map(vm, BASE + MIB(1), PAGE_SIZE, VM_READ | VM_SHARED, VMMAP_FIXED, &source,
                          0, NULL),
              (int64_t)(BASE + MIB(1)));
    iov_init_user(&iter, (void *)(BASE + MIB(1)), 1);
    EXPECT_EQ(vmspace_access_iter(vm, BASE, 1, &iter, true, false), 1);
    EXPECT_EQ(store.medium[0][0], 'a'); /* the page was found before, and written to after that */
    EXPECT_EQ(peek(BASE), 'b');
    sync_all();
    EXPECT_EQ(store.medium[0][0], 'b');
    space_leave();
    pagecache_fini(&other);
}
TEST(writeback, what_others_put_into_a_mapping_reaches_the_medium)
{
    store_test(test_outside);
}

static unsigned synced;

static int count_synced(struct vm_source *source, uint64_t first, uint64_t npages)
{
    (void)source, (void)first;
    synced += (unsigned)npages;
    return 0;
}

/* msync(2), ENOMEM: of a range with holes, what is there is written all the same. */
static void test_holes(void)
{
    static const struct vm_source_ops ops = {
        .get = store_put_nothing, .put = store_put_nothing, .sync = count_synced};
    static struct vm_source source = {.ops = &ops, .cache = &store_cache};
    struct vmspace *vm = space_enter();

    store_cache.size_bytes = 8 * PAGE_SIZE;
    EXPECT_EQ(vmspace_map(vm, BASE, 8 * PAGE_SIZE, TEST_RW | TEST_MAY | VM_SHARED, VMMAP_FIXED,
                          &source, 0, NULL),
              (int64_t)BASE);
    EXPECT_EQ(vmspace_sync(vm, BASE, 8 * PAGE_SIZE, MS_SYNC), 0);
    EXPECT_EQ(synced, 8);
    EXPECT_EQ(vmspace_unmap(vm, BASE + 2 * PAGE_SIZE, PAGE_SIZE), 0);
    EXPECT_EQ(vmspace_sync(vm, BASE, 8 * PAGE_SIZE, MS_ASYNC), -ENOMEM);
    EXPECT_EQ(synced, 8);
    EXPECT_EQ(vmspace_sync(vm, BASE - PAGE_SIZE, 20 * PAGE_SIZE, MS_SYNC), -ENOMEM);
    EXPECT_EQ(synced, 15);
    space_leave();
}
TEST(writeback, of_a_range_with_holes_the_rest_is_written)
{
    store_test(test_holes);
}

/* ---- all together ---- */

static uint8_t model[256 * PAGE_SIZE];

static void random_step(uint64_t *seed, struct vmspace *vm)
{
    static uint8_t data[5 * PAGE_SIZE];
    uint64_t at = test_random(seed) % (sizeof(model) - sizeof(data));
    size_t len = test_random(seed) % sizeof(data);
    uint8_t value = (uint8_t)test_random(seed);

    (void)vm;
    switch (test_random(seed) % 10) {
    case 0:
        EXPECT_EQ(pagecache_write_start(&store_cache, at >> PAGE_SHIFT, ALL), 0);
        break;
    case 1:
        EXPECT_EQ(pagecache_sync(&store_cache, at >> PAGE_SHIFT, (at + len) >> PAGE_SHIFT), 0);
        break;
    case 2:
        store_sleep((ktime_t)(test_random(seed) % 20) * NS_PER_MS);
        break;
    case 3:
        EXPECT_EQ(pagecache_punch(&store_cache, at, at + len), 0);
        /* A hole in the cache alone: the file system would free the blocks. */
        for (uint64_t i = DIV_ROUND_UP(at, PAGE_SIZE); i < (at + len) >> PAGE_SHIFT; i++) {
            memset(store.medium[i], 0, PAGE_SIZE);
        }
        memset(model + at, 0, len);
        break;
    case 4:
        store.backwards = !store.backwards;
        store.refuse = test_random(seed) % 2 == 0 ? -ENOMEM : 0;
        (void)pagecache_write_start(&store_cache, 0, ALL);
        store.refuse = 0;
        break;
    case 5:
    case 6:
        EXPECT_EQ(poke(BASE + at, value), 0);
        model[at] = value;
        break;
    default:
        memset(data, value, len);
        EXPECT_EQ(store_write((loff_t)at, data, len), len);
        memcpy(model + at, data, len);
        break;
    }
}

static void test_random_steps(void)
{
    struct vmspace *vm = space_enter();
    uint64_t seed = 11;

    store.delay = 7 * NS_PER_MS;
    memset(model, 0, sizeof(model));
    store_cache.size_bytes = sizeof(model);
    map_store(vm, BASE, sizeof(model) / PAGE_SIZE);
    for (unsigned i = 0; i < 4000; i++) {
        random_step(&seed, vm);
    }
    space_leave();
    sync_all();
    EXPECT_MEM_EQ(store.medium, model, sizeof(model));
    EXPECT_EQ(stats_now().writeback, 0);
}
TEST(writeback, whatever_happens_the_medium_has_what_was_written_after_a_sync)
{
    store_test(test_random_steps);
}
