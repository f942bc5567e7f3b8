/*
 * An hour of allocations at 90 % of memory, by their number: what is left for large blocks.
 *
 * The mixture is that of a busy machine: most is memory of programs and files, which can move; a quarter of it is the kernel's, in blocks of 1 to 8
 * frames, a part of which stays for long. A busy machine makes some 500 requests a second that the stacks do not absorb: 2 million in an hour.
 */
#define TEST_SUITE "sim"
#include "test/unit/test.h"

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "kernel/mm/compact.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "test/unit/base/random.h"

#define OPERATIONS 2000000u
#define SLOTS      120000u

static struct slot {
    struct page *page;
    uint64_t dies; /* the operation after which it may go */
} slots[SLOTS];

static uint64_t seed = 5, nmoved;

static bool is_movable(enum page_kind kind)
{
    return kind == PAGE_ANON || kind == PAGE_FILE;
}

/* vm's part: who owns a page is in page->private. */
static int move(struct page *from, struct page *to)
{
    if (!is_movable((enum page_kind)from->kind) || from->refs != 2) {
        return -EBUSY;
    }
    page_set_kind(to, (enum page_kind)from->kind);
    to->private = from->private;
    slots[to->private].page = to;
    page_get(to);
    page_put(from);
    nmoved++;
    return 0;
}

static struct page *take_any(unsigned *ret_order)
{
    static const enum page_kind kernel_kinds[] = {PAGE_TABLE, PAGE_SLAB, PAGE_SLAB, PAGE_KERNEL};
    uint64_t dice = test_random(&seed) % 100;

    *ret_order = 0;
    if (dice < 92) {
        struct page *page = frame_alloc(0, 0, dice < 60 ? PAGE_ANON : PAGE_FILE);
        if (page != NULL) {
            lru_add_new(&page, 1);
        }
        return page;
    }
    *ret_order = (unsigned)(test_random(&seed) % 4);
    /* Slabs of dentries and inodes. */
    unsigned flags = dice < 95 ? FRAME_RECLAIMABLE : 0;
    return frame_alloc(*ret_order, flags,
                       flags != 0 ? PAGE_SLAB : kernel_kinds[test_random(&seed) % 4]);
}

static uint64_t free_frames(void)
{
    struct frame_stats stats;

    frame_stats(&stats);
    return stats.free;
}

static void slot_free(struct slot *slot)
{
    page_put(slot->page);
    slot->page = NULL;
}

/* Keep memory 90 % full for `OPERATIONS` operations. */
static void churn(uint64_t keep_free)
{
    uint64_t nfree = free_frames();

    for (uint64_t op = 0; op < OPERATIONS;) {
        unsigned at = (unsigned)(test_random(&seed) % SLOTS);
        struct slot *slot = &slots[at];
        if (slot->page != NULL && slot->dies <= op) {
            nfree += 1ull << slot->page->order;
            slot_free(slot);
            op++;
        } else if (slot->page == NULL && nfree > keep_free) {
            unsigned order;
            slot->page = take_any(&order);
            EXPECT(slot->page != NULL);
            slot->page->private = at;
            nfree -= 1ull << order;
            /* One in eight lives for long, the others not. */
            slot->dies = op + (test_random(&seed) % 8 == 0 ? OPERATIONS / 3 : 1000);
            op++;
        }
    }
    while (nfree > keep_free) { /* it may have ended in a trough */
        struct slot *slot = &slots[test_random(&seed) % SLOTS];
        if (slot->page == NULL && (slot->page = frame_alloc(0, 0, PAGE_ANON)) != NULL) {
            lru_add_new(&slot->page, 1);
            slot->page->private = (uint32_t)(slot - slots);
            nfree--;
        }
    }
}

static unsigned take_huge(unsigned flags, struct page **pages, unsigned most)
{
    unsigned n = 0;

    while (n < most && (pages[n] = frame_alloc(9, flags, PAGE_ANON)) != NULL) {
        n++;
    }
    return n;
}

static void give(struct page **pages, unsigned n)
{
    while (n > 0) {
        frame_free(pages[--n]);
    }
}

TEST(fragmentation, huge_pages_can_be_had_after_an_hour_at_ninety_percent)
{
    static struct page *pages[256];
    uint64_t blocks[MIGRATE_NTYPES];

    host_machine_init();
    uint64_t total = free_frames();
    churn(total / 10);
    frames_drain_local();
    uint64_t nfree = free_frames();
    EXPECT_LT(nfree, total / 10 + 64);
    EXPECT(zone_blocks(0, ZONE_DMA32, blocks));
    unsigned plain = take_huge(FRAME_TRY, pages, 256);
    give(pages, plain);
    frames_set_migrate(move);
    unsigned compacted = take_huge(FRAME_RECLAIM, pages, 256);
    struct compact_stats stats;
    compact_stats(&stats);
    test_note("%u operations, %llu of %llu frames free: %u huge pages at once, %u with compaction, "
              "which moved %llu pages; page blocks: %llu unmovable, %llu movable, %llu reclaimable",
              OPERATIONS, (unsigned long long)nfree, (unsigned long long)total, plain, compacted,
              (unsigned long long)nmoved, (unsigned long long)blocks[MIGRATE_UNMOVABLE],
              (unsigned long long)blocks[MIGRATE_MOVABLE],
              (unsigned long long)blocks[MIGRATE_RECLAIMABLE]);
    EXPECT_EQ(stats.migrated, nmoved);
    EXPECT_GE(compacted, plain);
    EXPECT_GT(nmoved, 0);
    /* Of what is free above the watermarks at least two thirds can be had in huge pages. */
    EXPECT_GE(compacted, nfree / 512 * 2 / 3);
    give(pages, compacted);
    for (unsigned i = 0; i < SLOTS; i++) {
        if (slots[i].page != NULL) {
            EXPECT_EQ(slots[i].page->private, i);
            slot_free(&slots[i]);
        }
    }
    frames_drain_local();
    EXPECT_EQ(free_frames(), total);
}
