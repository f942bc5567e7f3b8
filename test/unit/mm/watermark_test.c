/*
 * Little memory: who may take how much of the reserve, and who is told.
 */
#define TEST_SUITE "mm"
#include "test/unit/test.h"

#include "kernel/base/errno.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/stackdepot.h"

static unsigned wakes, dips, reclaims;
static struct page *hoard; /* linked by next_table */

static void hook_wake(unsigned node, unsigned order)
{
    EXPECT_EQ(node, 0);
    (void)order;
    wakes++;
}

static void hook_dipped(unsigned node)
{
    EXPECT_EQ(node, 0);
    dips++;
}

static void hoard_release(unsigned n)
{
    while (n-- > 0 && hoard != NULL) {
        struct page *page = hoard;
        hoard = page->next_table;
        page_put(page);
    }
}

/* Frees 40 frames twice, then finds nothing more. */
static size_t hook_reclaim(unsigned node, unsigned order, nodemask_t allowed)
{
    (void)node, (void)order, (void)allowed;
    if (++reclaims > 2) {
        return 0;
    }
    hoard_release(40);
    return 40;
}

static const struct frame_reclaim_ops ops = {hook_wake, hook_dipped, hook_reclaim};

static unsigned hoard_all(unsigned flags)
{
    struct page *page;
    unsigned n = 0;

    while ((page = frame_alloc(0, flags, PAGE_KERNEL)) != NULL) {
        page->next_table = hoard;
        hoard = page;
        n++;
    }
    return n;
}

/* Frames free in all zones, and the sums of their `min`. */
static uint64_t zones_free(uint64_t *ret_min)
{
    struct zone_stats zone;
    uint64_t free = 0;

    *ret_min = 0;
    for (unsigned id = 0; id < ZONE_COUNT; id++) {
        if (zone_stats(0, (enum zone_id)id, &zone)) {
            free += zone.free;
            *ret_min += zone.min;
        }
    }
    return free;
}

TEST(watermark, those_who_can_wait_leave_more_than_those_who_cannot)
{
    uint64_t min, free;

    wakes = dips = reclaims = 0;
    frames_set_reclaim(&ops);
    unsigned patient = hoard_all(FRAME_RECLAIM);
    EXPECT_GT(patient, 1000);
    EXPECT_GT(wakes, 0);
    EXPECT_EQ(dips, 0);
    EXPECT_EQ(reclaims, 3); /* twice it helped, then the request failed */
    free = zones_free(&min);
    EXPECT_GE(free, min);

    unsigned urgent = hoard_all(0);
    EXPECT_GT(urgent, min / 2);
    EXPECT_GT(dips, 0);
    EXPECT_LT(zones_free(&min), free);
    EXPECT_EQ(reclaims, 3);

    EXPECT_GT(hoard_all(FRAME_RESERVE), 0);
    EXPECT_EQ(zones_free(&min), 0);
    frames_set_reclaim(NULL);
    hoard_release(~0u);
}

TEST(watermark, a_try_stops_above_a_cache_that_can_be_emptied)
{
    wakes = dips = reclaims = 0;
    frames_set_reclaim(&ops);
    EXPECT_GT(hoard_all(FRAME_TRY), 1000);
    EXPECT_EQ(dips + reclaims, 0);
    EXPECT_GT(hoard_all(FRAME_RECLAIMABLE), 100);
    EXPECT_GT(dips, 0);
    frames_set_reclaim(NULL);
    hoard_release(~0u);
}

/* As many call chains as fill a page; of how many there was no room. */
static unsigned chains_refused(uintptr_t first)
{
    unsigned refused = 0;

    for (uintptr_t i = 0; i < 64; i++) {
        uintptr_t chain[STACKDEPOT_DEPTH] = {first + i};
        refused += stackdepot_put(chain, STACKDEPOT_DEPTH) == 0;
    }
    return refused;
}

/* To free something for them would put more of them, under the same lock. */
TEST(watermark, call_chains_are_not_kept_where_memory_is_low)
{
    wakes = dips = reclaims = 0;
    frames_set_reclaim(&ops);
    EXPECT_GT(hoard_all(FRAME_TRY), 1000);
    EXPECT_GT(chains_refused(1000), 0);
    EXPECT_EQ(dips + reclaims, 0);
    frames_set_reclaim(NULL);
    hoard_release(~0u);
    EXPECT_EQ(chains_refused(2000), 0);
}

TEST(watermark, enough_memory_wakes_nobody)
{
    frames_drain_local();
    wakes = dips = 0;
    frames_set_reclaim(&ops);
    for (unsigned i = 0; i < 100; i++) {
        struct page *page = frame_alloc(0, 0, PAGE_KERNEL);
        page->next_table = hoard;
        hoard = page;
    }
    frames_set_reclaim(NULL);
    EXPECT_EQ(wakes + dips, 0);
    hoard_release(~0u);
}

TEST(watermark, settings_move_the_marks)
{
    struct frame_watermarks before, wanted;
    struct zone_stats zone;

    frames_get_watermarks(&before);
    EXPECT_GE(before.min_free_kb, 128);
    wanted = before;
    wanted.min_free_kb = 8192;
    wanted.scale_factor = 1000;
    EXPECT_EQ(frames_set_watermarks(&wanted), 0);
    EXPECT(zone_stats(0, ZONE_DMA32, &zone));
    EXPECT_LE(zone.min, 2048);
    EXPECT_GT(zone.min, 1500);
    EXPECT_EQ(zone.low, zone.min + zone.managed / 10);
    EXPECT_EQ(zone.high, zone.min + 2 * (zone.managed / 10));
    EXPECT(zone_stats(0, ZONE_DMA, &zone));
    EXPECT_GT(zone.protection[ZONE_DMA32], 200);
    EXPECT_EQ(zone.protection[ZONE_DMA], 0);
    wanted.scale_factor = 3001;
    EXPECT_EQ(frames_set_watermarks(&wanted), -EINVAL);
    EXPECT_EQ(frames_set_watermarks(&before), 0);
}

TEST(watermark, a_block_becomes_single_frames)
{
    struct page *page = frame_alloc(3, 0, PAGE_ANON);

    EXPECT(page != NULL);
    frame_split(page);
    for (unsigned i = 0; i < 8; i++) {
        EXPECT_EQ(page[i].refs, 1);
        EXPECT_EQ(page[i].order, 0);
        EXPECT_EQ(page[i].kind, PAGE_ANON);
        EXPECT_EQ(page[i].flags, 0);
        page_put(&page[i]);
    }
}
