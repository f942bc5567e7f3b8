#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/slab.h"
#include "kernel/vm/zstore.h"
#include "test/unit/base/random.h"

#define NPAGES 3000u
#define WORDS  (PAGE_SIZE / 8)

static uint64_t frames_in_use(void)
{
    struct frame_stats stats;

    (void)slab_shrink_all();
    frame_stats(&stats);
    return stats.total - stats.free;
}

/* A page that follows from its seed: from one value alone over everything between to noise. seed 0: zeros. */
static void page_make(uint64_t *page, uint64_t seed)
{
    uint64_t state = seed;
    unsigned kind = (unsigned)(test_random(&state) % 8), noise = (unsigned)(seed % WORDS);

    if (seed == 0 || kind == 0) {
        for (unsigned i = 0; i < WORDS; i++) {
            page[i] = seed;
        }
        return;
    }
    for (unsigned i = 0; i < WORDS; i++) {
        page[i] = kind == 1 || i < noise ? test_random(&state) : i / 4 + seed;
    }
}

static void expect_page(struct zstore *store, uint64_t index, uint64_t seed)
{
    static uint64_t expected[WORDS], got[WORDS];

    page_make(expected, seed);
    memset(got, 0xa5, sizeof(got));
    EXPECT_EQ(zstore_read(store, index, got), 0);
    EXPECT_MEM_EQ(got, expected, PAGE_SIZE);
}

static void write_page(struct zstore *store, uint64_t index, uint64_t seed)
{
    static uint64_t page[WORDS];

    page_make(page, seed);
    EXPECT_EQ(zstore_write(store, index, page), 0);
}

TEST(zstore, absent_pages_are_zeros)
{
    struct zstore *store = zstore_create(NPAGES);
    struct zstore_stats stats;

    EXPECT(store != NULL);
    expect_page(store, 0, 0);
    expect_page(store, NPAGES - 1, 0);
    zstore_discard(store, 5);
    zstore_stats(store, &stats);
    EXPECT_EQ(stats.stored_pages, 0);
    EXPECT_EQ(stats.used_pages, 0);
    zstore_destroy(store);
    zstore_destroy(NULL);
}

TEST(zstore, pages_of_one_value_take_no_memory)
{
    static const uint64_t values[] = {0, 1, UINT64_MAX, 0x0123456789abcdef, 0xffff888012345000};
    struct zstore *store = zstore_create(NPAGES);
    uint64_t page[WORDS], got[WORDS];
    struct zstore_stats stats;

    for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
        for (unsigned k = 0; k < WORDS; k++) {
            page[k] = values[i];
        }
        EXPECT_EQ(zstore_write(store, i, page), 0);
        EXPECT_EQ(zstore_read(store, i, got), 0);
        EXPECT_MEM_EQ(page, got, PAGE_SIZE);
    }
    zstore_stats(store, &stats);
    EXPECT_EQ(stats.same_pages, ARRAY_SIZE(values));
    EXPECT_EQ(stats.stored_pages, ARRAY_SIZE(values));
    EXPECT_EQ(stats.used_pages, 0);
    EXPECT_EQ(stats.compressed_bytes, 0);
    /* One that an entry cannot hold. */
    for (unsigned k = 0; k < WORDS; k++) {
        page[k] = 0x5555555555555555;
    }
    EXPECT_EQ(zstore_write(store, 9, page), 0);
    EXPECT_EQ(zstore_read(store, 9, got), 0);
    EXPECT_MEM_EQ(page, got, PAGE_SIZE);
    zstore_destroy(store);
}

TEST(zstore, noise_is_kept_as_it_is)
{
    struct zstore *store = zstore_create(NPAGES);
    uint64_t page[WORDS], got[WORDS], seed = 77;
    struct zstore_stats stats;

    for (unsigned k = 0; k < WORDS; k++) {
        page[k] = test_random(&seed);
    }
    EXPECT_EQ(zstore_write(store, 1, page), 0);
    zstore_stats(store, &stats);
    EXPECT_EQ(stats.huge_pages, 1);
    EXPECT_EQ(stats.used_pages, 1);
    EXPECT_EQ(stats.compressed_bytes, PAGE_SIZE);
    EXPECT_EQ(zstore_read(store, 1, got), 0);
    EXPECT_MEM_EQ(page, got, PAGE_SIZE);
    zstore_discard(store, 1);
    zstore_stats(store, &stats);
    EXPECT_EQ(stats.huge_pages, 0);
    EXPECT_EQ(stats.huge_pages_ever, 1);
    EXPECT_EQ(stats.used_pages, 0);
    expect_page(store, 1, 0);
    zstore_destroy(store);
}

TEST(zstore, does_what_an_array_of_pages_does)
{
    static uint64_t seeds[NPAGES];
    uint64_t before = frames_in_use(), seed = 4711;
    struct zstore *store = zstore_create(NPAGES);
    struct zstore_stats stats;
    uint64_t present = 0;

    memset(seeds, 0, sizeof(seeds));
    for (unsigned round = 0; round < 30000; round++) {
        uint64_t index = test_random(&seed) % NPAGES;
        switch (test_random(&seed) % 8) {
        case 0:
        case 1:
            zstore_discard(store, index);
            seeds[index] = 0;
            break;
        case 2:
            expect_page(store, index, seeds[index]);
            break;
        case 3:
            if (round % 16 == 0) {
                (void)zstore_compact(store);
            }
            break;
        default:
            seeds[index] = test_random(&seed);
            write_page(store, index, seeds[index]);
            break;
        }
    }
    for (unsigned i = 0; i < NPAGES; i++) {
        expect_page(store, i, seeds[i]);
        present += seeds[i] != 0;
    }
    zstore_stats(store, &stats);
    EXPECT_EQ(stats.stored_pages, present);
    EXPECT_GE(stats.peak_pages, stats.used_pages);
    for (unsigned i = 0; i < NPAGES; i++) {
        zstore_discard(store, i);
    }
    zstore_stats(store, &stats);
    EXPECT_EQ(stats.used_pages, 0);
    EXPECT_EQ(stats.compressed_bytes, 0);
    EXPECT_EQ(stats.same_pages + stats.huge_pages + stats.stored_pages, 0);
    zstore_destroy(store);
    EXPECT_EQ(frames_in_use(), before);
}

/* Pages between a sixth and five sixths of a page when compressed. */
static void fill_mixed(struct zstore *store)
{
    uint64_t page[WORDS], seed = 1;

    for (unsigned i = 0; i < NPAGES; i++) {
        unsigned noise = 60 + (unsigned)(test_random(&seed) % 300);
        for (unsigned k = 0; k < WORDS; k++) {
            page[k] = k < noise ? test_random(&seed) : 17;
        }
        EXPECT_EQ(zstore_write(store, i, page), 0);
    }
}

TEST(zstore, memory_used_is_close_to_the_compressed_bytes)
{
    struct zstore *store = zstore_create(NPAGES);
    struct zstore_stats stats;

    fill_mixed(store);
    zstore_stats(store, &stats);
    EXPECT_LT(stats.used_pages * PAGE_SIZE, stats.compressed_bytes * 112 / 100);
    zstore_destroy(store);
}

TEST(zstore, compaction_gives_back_what_sparse_blocks_hold)
{
    struct zstore *store = zstore_create(NPAGES);
    struct zstore_stats sparse, dense;
    static uint64_t kept[NPAGES / 8][WORDS];

    fill_mixed(store);
    for (unsigned i = 0; i < NPAGES; i++) {
        if (i % 8 != 0) {
            zstore_discard(store, i);
        } else {
            EXPECT_EQ(zstore_read(store, i, kept[i / 8]), 0);
        }
    }
    zstore_stats(store, &sparse);
    uint64_t possible = zstore_compactable(store);
    uint64_t freed = zstore_compact(store);
    zstore_stats(store, &dense);
    EXPECT_GT(freed, 0);
    EXPECT_EQ(freed, possible);
    EXPECT_EQ(zstore_compactable(store), 0);
    EXPECT_EQ(dense.used_pages, sparse.used_pages - freed);
    EXPECT_EQ(dense.compacted_pages, freed);
    EXPECT_EQ(dense.compressed_bytes, sparse.compressed_bytes);
    EXPECT_LT(dense.used_pages * PAGE_SIZE, dense.compressed_bytes * 130 / 100);
    for (unsigned i = 0; i < NPAGES; i += 8) {
        uint64_t got[WORDS];
        EXPECT_EQ(zstore_read(store, i, got), 0);
        EXPECT_MEM_EQ(got, kept[i / 8], PAGE_SIZE);
    }
    EXPECT_EQ(zstore_compact(store), 0);
    zstore_destroy(store);
}

TEST(zstore, a_limit_is_kept_and_a_failed_write_changes_nothing)
{
    struct zstore *store = zstore_create(NPAGES);
    uint64_t page[WORDS], seed = 5, first = 0;
    struct zstore_stats stats;
    int err = 0;

    write_page(store, 0, 8);
    zstore_set_limit(store, 20);
    for (unsigned i = 1; i < 100 && err == 0; i++) {
        for (unsigned k = 0; k < WORDS; k++) {
            page[k] = i % 2 == 0 || k < 100 ? test_random(&seed) : 3;
        }
        err = zstore_write(store, i, page);
        first = i;
    }
    EXPECT_EQ(err, -ENOMEM);
    expect_page(store, first, 0);
    zstore_stats(store, &stats);
    EXPECT_LE(stats.used_pages, 20);
    EXPECT_EQ(stats.failed_writes, 1);
    EXPECT_EQ(stats.stored_pages, first);
    /* Where something is, it stays when its successor does not fit. */
    for (unsigned k = 0; k < WORDS; k++) {
        page[k] = test_random(&seed);
    }
    zstore_set_limit(store, 1);
    EXPECT_EQ(zstore_write(store, 0, page), -ENOMEM);
    expect_page(store, 0, 8);
    zstore_set_limit(store, 0);
    EXPECT_EQ(zstore_write(store, 0, page), 0);
    zstore_destroy(store);
}

TEST(zstore, without_any_memory_writes_fail_and_the_rest_works)
{
    struct zstore *store = zstore_create(NPAGES);
    uint64_t page[WORDS], seed = 6;
    struct list_node taken = LIST_INIT(taken);

    write_page(store, 0, 16);
    write_page(store, 1, 0x1234567);
    struct page *frame;
    while ((frame = frame_alloc(0, FRAME_RESERVE, PAGE_KERNEL)) != NULL) {
        list_push_back(&taken, &frame->link);
    }
    for (unsigned k = 0; k < WORDS; k++) {
        page[k] = test_random(&seed);
    }
    int same_table = zstore_write(store, 2, page), new_table = zstore_write(store, 2000, page);
    memset(page, 0, sizeof(page));
    int same_value = zstore_write(store, 3, page), unseen = zstore_read(store, 2000, page);
    struct list_node *node;
    while ((node = list_pop_front(&taken)) != NULL) {
        page_put(container_of(node, struct page, link));
    }
    EXPECT_EQ(same_table, -ENOMEM);
    EXPECT_EQ(new_table, -ENOMEM);
    EXPECT_EQ(same_value, 0);
    EXPECT_EQ(unseen, 0);
    expect_page(store, 0, 16);
    expect_page(store, 1, 0x1234567);
    expect_page(store, 2, 0);
    write_page(store, 2000, 99);
    expect_page(store, 2000, 99);
    zstore_destroy(store);
}

/* ---- several CPUs ---- */

#define NCPUS  3
#define SHARED 16 /* pages that all use: each is always one of its two versions */

struct smp {
    struct zstore *store;
    unsigned failures;
};

static void versions(uint64_t *page, unsigned index, unsigned version)
{
    page_make(page, 1000 + index * 2 + version);
}

static void use_store(void *arg, unsigned cpu)
{
    struct smp *smp = arg;
    uint64_t page[WORDS], a[WORDS], b[WORDS], seed = cpu + 1;
    unsigned failures = 0;

    for (unsigned round = 0; round < 4000; round++) {
        unsigned index = (unsigned)(test_random(&seed) % SHARED);
        uint64_t own = SHARED + cpu * 100 + test_random(&seed) % 100;
        versions(page, index, (unsigned)test_random(&seed) % 2);
        failures += zstore_write(smp->store, index, page) != 0;
        versions(a, index, 0);
        versions(b, index, 1);
        failures += zstore_read(smp->store, index, page) != 0;
        failures += memcmp(page, a, PAGE_SIZE) != 0 && memcmp(page, b, PAGE_SIZE) != 0;
        page_make(a, own);
        failures += zstore_write(smp->store, own, a) != 0;
        if (round % 64 == cpu) {
            (void)zstore_compact(smp->store);
        }
        failures += zstore_read(smp->store, own, b) != 0 || memcmp(a, b, PAGE_SIZE) != 0;
        if (round % 3 == 0) {
            zstore_discard(smp->store, own);
        }
    }
    (void)atomic_fetch_add_relaxed(&smp->failures, failures);
}

TEST(zstore, cpus_read_write_and_compact_side_by_side)
{
    struct smp smp = {.store = zstore_create(NPAGES)};
    struct zstore_stats stats;

    host_run_on_cpus(NCPUS, use_store, &smp);
    EXPECT_EQ(smp.failures, 0);
    for (unsigned i = 0; i < NPAGES; i++) {
        zstore_discard(smp.store, i);
    }
    zstore_stats(smp.store, &stats);
    EXPECT_EQ(stats.used_pages, 0);
    EXPECT_EQ(stats.compressed_bytes, 0);
    zstore_destroy(smp.store);
}
