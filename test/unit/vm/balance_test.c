/*
 * What the settings of reclaim do: /proc/sys/vm/{swappiness,vfs_cache_pressure,drop_caches,min_free_kbytes,watermark_scale_factor}. Files lie on
 * a simulated medium (store.h).
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "kernel/vm/tunables.h"
#include "test/unit/vm/store.h"
#include "test/unit/vm/swap_space.h"

#define BASE 0x40000000ull
#define EACH 480u /* pages of either kind; fewer than there are slots of swap */

static struct swap_space swap;

/* ---- anonymous memory against files ---- */

/* As many old pages of either kind, of which `n` go: how many of them are anonymous? */
static unsigned anon_of(int swappiness, unsigned n)
{
    struct vmspace *vm = space_enter();
    int before = vm_tunables.swappiness;

    swap_space_add(&swap);
    EXPECT_EQ(map_anon(vm, BASE, EACH, TEST_RW | VM_NOHUGE), (int64_t)BASE);
    for (unsigned i = EACH; i-- > 0;) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, 1), 0);
    }
    EXPECT_EQ(vmspace_advise(vm, BASE, EACH * PAGE_SIZE, MADV_COLD), 0);
    store_read_at(NULL, 0, EACH);
    EXPECT_EQ(store_cache.pages.nentries, EACH);
    vm_tunables.swappiness = swappiness;
    for (unsigned gone = 0; gone < n;) {
        size_t freed = reclaim_frames(0, 32);
        EXPECT_GT(freed, 0);
        gone += (unsigned)freed;
    }
    vm_tunables.swappiness = before;
    unsigned anon = (unsigned)vm->rss_swap;
    EXPECT_GE(anon + EACH - store_cache.pages.nentries, n);
    EXPECT_EQ(pagecache_truncate(&store_cache, 0), 0);
    EXPECT_EQ(pagecache_truncate(&store_cache, STORE_PAGES * PAGE_SIZE), 0);
    EXPECT_EQ(vmspace_unmap(vm, BASE, EACH * PAGE_SIZE), 0);
    space_leave();
    swap_space_remove(&swap);
    return anon;
}

static void refaults(bool file, unsigned n)
{
    while (n-- > 0) {
        reclaim_note_refault(file);
    }
}

static void swappiness(void)
{
    unsigned anon[5];

    store_cache.size_bytes = STORE_PAGES * PAGE_SIZE;
    /* What files and memory have cost so far is much, and the same. */
    for (unsigned i = 0; i < 20; i++) {
        refaults(true, 1000);
        refaults(false, 1000);
    }
    EXPECT_EQ(anon_of(0, 320), 0);
    EXPECT_GE(anon_of(200, 320), 320);
    for (unsigned i = 0; i < ARRAY_SIZE(anon); i++) {
        anon[i] = anon_of(20 + 40 * (int)i, 320);
    }
    test_note("anonymous pages of 320 that went, at 20, 60 .. 180: %u, %u, %u, %u, %u", anon[0],
              anon[1], anon[2], anon[3], anon[4]);
    EXPECT_GT(anon[0], 0);
    for (unsigned i = 1; i < ARRAY_SIZE(anon); i++) {
        EXPECT_GT(anon[i], anon[i - 1]);
    }
    EXPECT_LT(anon[4], 320);
    /* The share is what the setting says: 20 to 180, 100 to 100. */
    EXPECT_LT(anon[0], 320 / 5);
    EXPECT_GT(anon[2], 320 * 2 / 5);
    EXPECT_LT(anon[2], 320 * 3 / 5);
}

TEST(balance, swappiness_is_the_share_of_anonymous_pages)
{
    store_test(swappiness);
}

static void costs(void)
{
    store_cache.size_bytes = STORE_PAGES * PAGE_SIZE;
    refaults(true, 20000);
    refaults(false, 100);
    unsigned dear_files = anon_of(100, 320);
    refaults(false, 20000);
    refaults(true, 100);
    unsigned dear_memory = anon_of(100, 320);
    test_note("anonymous pages of 320 that went: %u when files came back, %u when memory did",
              dear_files, dear_memory);
    EXPECT_GT(dear_files, 210);
    EXPECT_LT(dear_memory, 110);
}

TEST(balance, what_comes_back_too_soon_is_spared)
{
    store_test(costs);
}

/* ---- names ---- */

static uint64_t asked_names, asked_others, has;

static uint64_t pretend_count(void)
{
    return has;
}

static size_t pretend_names(size_t n)
{
    asked_names += n;
    return 0;
}

static size_t pretend_others(size_t n)
{
    asked_others += n;
    return 0;
}

static struct shrinker names = {.count = pretend_count, .shrink = pretend_names, .names = true};
static struct shrinker others = {.count = pretend_count, .shrink = pretend_others};

TEST(balance, vfs_cache_pressure_is_about_names_alone)
{
    static const struct {
        int pressure;
        uint64_t names;
    } cases[] = {{100, 101}, {50, 50}, {0, 0}, {300, 303}};
    int before = vm_tunables.vfs_cache_pressure;

    vm_test_init();
    shrinker_register(&names);
    shrinker_register(&others);
    has = 400;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        asked_names = asked_others = 0;
        vm_tunables.vfs_cache_pressure = cases[i].pressure;
        reclaim_shrink(2);
        EXPECT_EQ(asked_names, cases[i].names);
        EXPECT_EQ(asked_others, 101);
    }
    vm_tunables.vfs_cache_pressure = before;
    has = 0;
    asked_names = asked_others = 0;
    reclaim_shrink(0);
    EXPECT_EQ(asked_names + asked_others, 0);
}

/* ---- drop_caches ---- */

static void drop(void)
{
    struct vmspace *vm = space_enter();

    store_cache.size_bytes = STORE_PAGES * PAGE_SIZE;
    EXPECT_EQ(vmspace_map(vm, BASE, 8 * PAGE_SIZE, VM_READ | TEST_MAY, VMMAP_FIXED, &store_source,
                          0, NULL),
              (int64_t)BASE);
    store_read_at(NULL, 0, 64);
    store_read_at(NULL, 8, 32); /* active by now */
    EXPECT_EQ(peek(BASE), 0);   /* maps those around, too */
    store_fill(60, 2, 5);
    EXPECT_EQ(map_anon(vm, BASE + MIB(1), 4, TEST_RW | VM_NOHUGE), (int64_t)(BASE + MIB(1)));
    EXPECT_EQ(poke(BASE + MIB(1), 1), 0);
    EXPECT_EQ(vmspace_advise(vm, BASE + MIB(1), PAGE_SIZE, MADV_FREE), 0);
    EXPECT_EQ(reclaim_drop_files(), 54);
    EXPECT_EQ(store_cache.pages.nentries, 10); /* eight are mapped, two dirty */
    EXPECT_EQ(peek(BASE + MIB(1)), 1);         /* what may go is not what is asked for here */
    EXPECT_EQ(reclaim_drop_files(), 0);
    EXPECT_EQ(vmspace_unmap(vm, BASE, MIB(2)), 0);
    space_leave();
    EXPECT_EQ(pagecache_sync(&store_cache, 0, UINT64_MAX), 0);
    EXPECT_EQ(reclaim_drop_files(), 10);
}

TEST(balance, drop_caches_takes_clean_pages_that_nobody_shows)
{
    store_test(drop);
}

/* ---- watermarks ---- */

static struct page *hoard; /* linked by next_table */
static unsigned wakes;

static void hook_wake(unsigned node, unsigned order)
{
    (void)node, (void)order;
    wakes++;
}

static const struct frame_reclaim_ops ops = {.wake = hook_wake};

/* Frames free that anybody may have, and what is more of them than the marks `high` come to (negative: less). */
static uint64_t free_now(int64_t *ret_above_high)
{
    struct zone_stats zone;
    uint64_t free = 0, high = 0;

    frames_drain_local();
    for (unsigned id = 0; id < ZONE_COUNT; id++) {
        if (zone_stats(0, (enum zone_id)id, &zone)) {
            free += zone.free - MIN(zone.free, zone.protection[ZONE_NORMAL]);
            high += zone.high;
        }
    }
    *ret_above_high = (int64_t)(free - high);
    return free;
}

/* A reader with all other memory in use. Frames free when the reclaim thread was woken, and when it had done its work. */
static void read_beside_hoard(unsigned min_free_kb, unsigned scale_factor, uint64_t *ret_woken,
                              uint64_t *ret_done)
{
    struct frame_watermarks before, marks;
    struct page *page;
    int64_t above;

    frames_get_watermarks(&before);
    marks = before;
    marks.min_free_kb = min_free_kb;
    marks.scale_factor = scale_factor;
    EXPECT_EQ(frames_set_watermarks(&marks), 0);
    while ((page = frame_alloc(0, FRAME_TRY, PAGE_KERNEL)) != NULL) {
        page->next_table = hoard;
        hoard = page;
    }
    for (unsigned i = 0; i < 1600; i++) { /* and some to begin with */
        page = hoard;
        hoard = page->next_table;
        page_put(page);
    }
    wakes = 0;
    frames_set_reclaim(&ops);
    for (uint64_t i = 0; i < STORE_PAGES && wakes == 0; i++) {
        store_read_at(NULL, i, 1);
    }
    EXPECT_GT(wakes, 0);
    *ret_woken = free_now(&above);
    EXPECT_LT(above, 256);                /* what the CPU had in its stacks is counted */
    for (uint64_t i = 0; i < 1000; i++) { /* it is slow, and meanwhile more is read */
        struct page *more = frame_alloc(0, FRAME_RECLAIM, PAGE_KERNEL);
        if (more != NULL) {
            page_put(more);
            store_read_at(NULL, i, 1);
        }
    }
    reclaim_node(0);
    *ret_done = free_now(&above);
    EXPECT_GE(above, 0);
    EXPECT_LT(above, 256);
    frames_set_reclaim(NULL);
    while (hoard != NULL) {
        page = hoard;
        hoard = page->next_table;
        page_put(page);
    }
    EXPECT_EQ(pagecache_truncate(&store_cache, 0), 0);
    EXPECT_EQ(pagecache_truncate(&store_cache, STORE_PAGES * PAGE_SIZE), 0);
    EXPECT_EQ(frames_set_watermarks(&before), 0);
}

static void marks_matter(void)
{
    uint64_t woken[3], done[3];

    store_cache.size_bytes = STORE_PAGES * PAGE_SIZE;
    read_beside_hoard(1024, 10, &woken[0], &done[0]);
    read_beside_hoard(8192, 10, &woken[1], &done[1]);
    read_beside_hoard(1024, 100, &woken[2], &done[2]);
    for (unsigned i = 0; i < 3; i++) {
        test_note("reclaim begins with %llu frames free and ends with %llu",
                  (unsigned long long)woken[i], (unsigned long long)done[i]);
    }
    EXPECT_GT(woken[1], woken[0] + 1000); /* 7 MiB more are kept */
    EXPECT_GT(done[1], done[0] + 1000);
    EXPECT_GT(woken[2], woken[0] + 400); /* the steps are 1 % of memory */
    EXPECT_GT(done[2], done[0] + 800);
}

TEST(balance, min_free_kbytes_and_watermark_scale_factor_say_when_reclaim_works)
{
    store_test(marks_matter);
}
