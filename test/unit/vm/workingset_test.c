/*
 * Pages that come back: what is counted as too soon, what becomes of them, and what it costs to remember those that went.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "kernel/vm/workingset.h"
#include "test/unit/vm/store.h"
#include "test/unit/vm/swap_space.h"

#define BASE 0x40000000ull

static struct swap_space swap;

enum { ANON, FILE };

static struct workingset_stats stats_now(void)
{
    struct workingset_stats stats;

    workingset_stats(0, &stats);
    return stats;
}

static struct page *cached(uint64_t index)
{
    return xarray_load(&store_cache.pages, index);
}

static void read_page_at(uint64_t index)
{
    store_read_at(NULL, index, 1);
}

static enum reclaim_fate evict(uint64_t index)
{
    struct page *page = cached(index);

    EXPECT(page != NULL);
    page_get(page);
    EXPECT(lru_take(page));
    enum reclaim_fate fate = reclaim_page(page, true);
    if (fate != RECLAIM_FREED) {
        lru_put_back(&page, 1);
    }
    return fate;
}

static bool is_active(uint64_t index)
{
    return (cached(index)->flags & PAGE_FLAG_ACTIVE) != 0;
}

/* ---- files ---- */

static void come_back(void)
{
    struct workingset_stats before = stats_now();

    store_cache.size_bytes = STORE_PAGES * PAGE_SIZE;
    /* Eight pages that are read over and over are active: rivals of those that come back. */
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 8; i++) {
            read_page_at(1000 + i);
        }
    }
    EXPECT(is_active(1000) && is_active(1007));
    for (uint64_t i = 0; i < 100; i++) {
        read_page_at(i);
        EXPECT_EQ(evict(i), RECLAIM_FREED);
    }
    EXPECT_EQ(stats_now().refault[FILE] - before.refault[FILE], 0);
    EXPECT_GE(stats_now().nodes - before.nodes, 2);
    read_page_at(99); /* it was the last to go */
    EXPECT(is_active(99));
    read_page_at(0); /* the first: more have gone since than there are others */
    EXPECT(!is_active(0));
    struct workingset_stats after = stats_now();
    EXPECT_EQ(after.refault[FILE] - before.refault[FILE], 2);
    EXPECT_EQ(after.activate[FILE] - before.activate[FILE], 1);
    EXPECT_EQ(after.restore[FILE] - before.restore[FILE], 0);
    EXPECT_EQ(after.refault[ANON] - before.refault[ANON], 0);
    /* Gone again, 0 is new until it has left another shadow: a refault counts once. */
    EXPECT_EQ(evict(0), RECLAIM_FREED);
    read_page_at(0);
    EXPECT(is_active(0));
    EXPECT_EQ(stats_now().refault[FILE] - before.refault[FILE], 3);
}

TEST(workingset, a_page_that_comes_back_at_once_becomes_active)
{
    store_test(come_back);
}

static void was_active(void)
{
    struct workingset_stats before = stats_now();

    store_cache.size_bytes = STORE_PAGES * PAGE_SIZE;
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < 100; i++) {
            read_page_at(i);
        }
    }
    EXPECT(is_active(3));
    /* All of them are active: the oldest are made inactive, and go. */
    EXPECT_GE(reclaim_frames(0, 4), 4);
    EXPECT(cached(0) == NULL);
    read_page_at(0);
    EXPECT(is_active(0));
    struct workingset_stats after = stats_now();
    EXPECT_EQ(after.restore[FILE] - before.restore[FILE], 1);
}

TEST(workingset, one_that_had_been_active_is_counted_as_restored)
{
    store_test(was_active);
}

static void forgotten(void)
{
    struct workingset_stats before = stats_now();

    store_cache.size_bytes = STORE_PAGES * PAGE_SIZE;
    for (uint64_t i = 0; i < 200; i++) {
        read_page_at(i);
        EXPECT_EQ(evict(i), RECLAIM_FREED);
    }
    EXPECT_EQ(pagecache_truncate(&store_cache, 64 * PAGE_SIZE), 0);
    EXPECT_EQ(pagecache_truncate(&store_cache, STORE_PAGES * PAGE_SIZE), 0);
    read_page_at(100);
    EXPECT_EQ(stats_now().refault[FILE] - before.refault[FILE], 0);
    read_page_at(63);
    EXPECT_EQ(stats_now().refault[FILE] - before.refault[FILE], 1);
    /* What drop_caches lets go does not come back: it was told to. */
    (void)reclaim_drop_files();
    EXPECT(cached(63) == NULL);
    read_page_at(63);
    EXPECT_EQ(stats_now().refault[FILE] - before.refault[FILE], 1);
}

TEST(workingset, truncated_pages_are_forgotten)
{
    uint64_t nodes = stats_now().nodes;

    store_test(forgotten);
    EXPECT_EQ(stats_now().nodes, nodes); /* and so is the file */
}

/* A page of each node of the tree goes. */
static void many_nodes(void)
{
    uint64_t most = 2 * workingset_nodes_most();

    EXPECT_LT(most, 100);
    store_cache.size_bytes = (uint64_t)STORE_PAGES * 64 * PAGE_SIZE;
    for (uint64_t i = 0; i < 400; i++) {
        struct page *page = frame_alloc(0, 0, PAGE_FILE);
        page->flags = PAGE_FLAG_UPTODATE;
        EXPECT_EQ(pagecache_add(&store_cache, i * 64, page, false), 0);
        EXPECT_EQ(evict(i * 64), RECLAIM_FREED);
    }
    EXPECT_GE(stats_now().nodes, 30);
    EXPECT_LE(stats_now().nodes, most + 4);
    uint64_t gone = stats_now().reclaimed_nodes;
    reclaim_shrink(12);
    EXPECT_LE(stats_now().nodes, workingset_nodes_most());
    EXPECT_GT(stats_now().reclaimed_nodes, gone);
}

TEST(workingset, what_is_remembered_has_a_bound)
{
    store_test(many_nodes);
}

/* ---- why all this ---- */

/*
 * Memory has room for 1024 pages, 700 of which were in use for long. Then others are used, 640 by turns: more than the inactive list holds. Without
 * a memory of those that went each of them would go before it is used again, for ever, beside old pages that nobody wants any more.
 */
static void new_set(void)
{
    const uint64_t old = 700, set = 640, room = 1024;
    uint64_t missed = 0;

    store_cache.size_bytes = STORE_PAGES * PAGE_SIZE;
    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < old; i++) {
            read_page_at(i);
        }
    }
    for (unsigned round = 0; round < 12; round++) {
        for (uint64_t i = 0; i < set; i++) {
            missed += round >= 6 && cached(1000 + i) == NULL;
            read_page_at(1000 + i);
            if (store_cache.pages.nentries > room) {
                (void)reclaim_frames(0, 1);
            }
        }
    }
    test_note("%llu misses in 6 rounds over %llu pages, with room for %llu",
              (unsigned long long)missed, (unsigned long long)set, (unsigned long long)room);
    EXPECT_LT(missed, set / 10);
}

TEST(workingset, pages_in_use_take_the_place_of_active_ones_that_are_not)
{
    store_test(new_set);
}

/* ---- swap ---- */

TEST(workingset, pages_that_come_back_from_swap_are_counted_too)
{
    struct vmspace *vm = space_enter();
    struct workingset_stats before = stats_now();

    swap_space_add(&swap);
    EXPECT_EQ(map_anon(vm, BASE, 64, TEST_RW | VM_NOHUGE), (int64_t)BASE);
    for (uint64_t i = 64; i-- > 0;) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, (uint8_t)i), 0);
    }
    lru_activate(page_shown(vm, BASE)); /* a rival */
    for (uint64_t i = 1; i < 64; i++) {
        EXPECT_EQ(reclaim_at(vm, BASE + i * PAGE_SIZE), RECLAIM_FREED);
    }
    EXPECT_EQ(peek(BASE + 63 * PAGE_SIZE), 63);
    EXPECT((page_shown(vm, BASE + 63 * PAGE_SIZE)->flags & PAGE_FLAG_ACTIVE) != 0);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 1);
    EXPECT((page_shown(vm, BASE + PAGE_SIZE)->flags & PAGE_FLAG_ACTIVE) == 0);
    struct workingset_stats after = stats_now();
    EXPECT_EQ(after.refault[ANON] - before.refault[ANON], 2);
    EXPECT_EQ(after.activate[ANON] - before.activate[ANON], 1);
    EXPECT_EQ(after.refault[FILE] - before.refault[FILE], 0);
    EXPECT_EQ(vmspace_unmap(vm, BASE, 64 * PAGE_SIZE), 0);
    space_leave();
    swap_space_remove(&swap);
}
