/*
 * Compaction, a page block at a time: of the next blocks of movable pages the one with the fewest in use is isolated, which keeps its free frames
 * from being handed out, and its pages are moved to free frames of other page blocks of the zone. Then the block is whole.
 *
 * That is less than to slide all used pages to one end, but each step yields a block, costs at most the moves of half a block, and
 * needs no state but where the last step ended.
 *
 * Locks: zone->lock for page blocks and lists; a page block has one evacuator, for only one can isolate it.
 */
#include "kernel/mm/compact.h"

#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/mm/lru.h"
#include "kernel/mm/zone.h"
#include "kernel/sync/lockdep.h"

#define LOOK_AT    64u                        /* page blocks from which the best is taken */
#define WORTH_MOST (PAGEBLOCK_FRAMES / 4 * 3) /* pages to move for a block that nobody waits for */

static page_migrate_fn *migrate_hook; /* [I] after boot */
static struct compact_stats stats;    /* [a] */

void frames_set_migrate(page_migrate_fn *migrate)
{
    __atomic_store_n(&migrate_hook, migrate, __ATOMIC_RELEASE);
}

int frame_migrate(struct page *from, struct page *to)
{
    page_migrate_fn *migrate = __atomic_load_n(&migrate_hook, __ATOMIC_ACQUIRE);

    int err = migrate == NULL ? -ENOSYS : migrate(from, to);
    struct page *stays = err == 0 ? to : from;

    page_put(err == 0 ? from : to);
    lru_put_back(&stays, 1);
    return err;
}

static void count(uint64_t *counter, uint64_t n)
{
    (void)atomic_fetch_add_relaxed(counter, n);
}

/* Pages of a page block that would have to move; PAGEBLOCK_FRAMES + 1: some cannot. */
static unsigned block_cost(pfn_t first)
{
    unsigned used = 0;

    for (pfn_t pfn = first; pfn < first + PAGEBLOCK_FRAMES;) {
        const struct page *page = pfn_to_page(pfn);
        enum page_kind kind = (enum page_kind)READ_ONCE(page->kind);
        unsigned order = READ_ONCE(page->order);
        if (kind == PAGE_FREE) {
            pfn += order <= FRAME_MAX_ORDER ? 1ull << order : 1;
        } else if (page_kind_movable(kind) && order == 0) {
            used++;
            pfn++;
        } else {
            return (unsigned)PAGEBLOCK_FRAMES + 1;
        }
    }
    return used;
}

static bool block_is_whole(const struct zone *zone, pfn_t first)
{
    return first >= zone->start && first + PAGEBLOCK_FRAMES <= zone->end &&
           section_present(first) && pageblock_node(first) == zone->node &&
           zone_id_of(first) == (enum zone_id)zone->id && pageblock_type(first) == MIGRATE_MOVABLE;
}

/* The best of the next `look` page blocks, with fewer than `most` to move; the zone's cursor moves behind them. 0: none is worth it. */
static pfn_t block_choose(struct zone *zone, unsigned look, unsigned most, uint64_t *budget)
{
    unsigned best_cost = most;
    pfn_t best = 0;
    unsigned n = (unsigned)MIN((uint64_t)look, *budget);

    *budget -= n;
    while (n-- > 0) {
        pfn_t first = READ_ONCE(zone->compact_next);
        if (first < zone->start || first >= zone->end) {
            first = ALIGN_UP(zone->start, PAGEBLOCK_FRAMES);
        }
        WRITE_ONCE(zone->compact_next, first + PAGEBLOCK_FRAMES);
        if (!block_is_whole(zone, first)) {
            continue;
        }
        unsigned cost = block_cost(first);
        count(&stats.migrate_scanned, PAGEBLOCK_FRAMES);
        if (cost > 0 && cost < best_cost) {
            best_cost = cost;
            best = first;
        }
    }
    return best;
}

/* The page block's free frames are handed out again, or not. False: somebody else has isolated it. */
static bool block_isolate(struct zone *zone, pfn_t first, bool isolate)
{
    uint64_t irq = spin_lock_irqsave(&zone->lock);
    bool may = !isolate || pageblock_type(first) == MIGRATE_MOVABLE;
    pfn_t next = may ? first : 0;

    if (may) {
        pageblock_set_type(first, isolate ? MIGRATE_ISOLATE : MIGRATE_MOVABLE);
    }
    while (next != 0) {
        next = zone_move_part_locked(zone, next);
        spin_unlock_irqrestore(&zone->lock, irq); /* let others, and interrupts, in */
        irq = spin_lock_irqsave(&zone->lock);
    }
    spin_unlock_irqrestore(&zone->lock, irq);
    return may;
}

/* A free frame outside the isolated block, as frame_alloc() gives it. NULL: none above min. */
static struct page *target_take(struct zone *zone)
{
    uint64_t irq = spin_lock_irqsave(&zone->lock);
    struct page *page = zone_available_locked(zone, FLOOR_MIN, (enum zone_id)zone->id) > 0
                            ? zone_take_smallest_locked(zone)
                            : NULL;

    spin_unlock_irqrestore(&zone->lock, irq);
    if (page != NULL) {
        frame_begin(page, PAGE_ANON);
    }
    return page;
}

/* Move one page out of the way. -EBUSY: it cannot be, or somebody has it in hand. */
static int page_evacuate(struct zone *zone, struct page *page)
{
    if (!lru_isolate_page(page)) {
        return atomic_load_relaxed(&page->refs) == 0 ? 0 : -EBUSY;
    }
    struct page *to = target_take(zone);
    int err = -ENOMEM;
    if (to != NULL) {
        err = frame_migrate(page, to);
    } else {
        lru_put_back(&page, 1);
    }
    count(err == 0 ? &stats.migrated : &stats.failed, 1);
    return err;
}

/* Move everything out of the page block. False: something stayed. */
static bool block_evacuate(struct zone *zone, pfn_t first)
{
    int err = 0;

    if (!block_isolate(zone, first, true)) {
        return false;
    }
    frames_drain_local();
    for (pfn_t pfn = first; pfn < first + PAGEBLOCK_FRAMES && err == 0; pfn++) {
        struct page *page = pfn_to_page(pfn);
        if (READ_ONCE(page->kind) == PAGE_FREE && READ_ONCE(page->order) <= FRAME_MAX_ORDER) {
            continue; /* or the first of a block: what follows looks free as well */
        }
        if (page_kind_movable((enum page_kind)READ_ONCE(page->kind))) {
            count(&stats.isolated, 1);
            err = page_evacuate(zone, page);
        }
    }
    frames_drain_local(); /* the frames that have become free merge */
    (void)block_isolate(zone, first, false);
    return err == 0;
}

static bool zone_has(struct zone *zone, unsigned order)
{
    uint64_t irq = spin_lock_irqsave(&zone->lock);
    bool has = (zone->nonempty[MIGRATE_MOVABLE] | zone->nonempty[MIGRATE_UNMOVABLE] |
                zone->nonempty[MIGRATE_RECLAIMABLE]) >>
                   order !=
               0;

    spin_unlock_irqrestore(&zone->lock, irq);
    return has;
}

/* Empty page blocks until a block of that order is there; all that can be for an order there is not. */
static bool zone_compact(struct zone *zone, unsigned order)
{
    uint64_t budget = (zone->end - zone->start) / PAGEBLOCK_FRAMES + 1; /* once round */
    bool wanted = order <= FRAME_MAX_ORDER;

    while (budget > 0) {
        if (wanted && zone_has(zone, order)) {
            return true;
        }
        pfn_t first = wanted ? block_choose(zone, LOOK_AT, PAGEBLOCK_FRAMES, &budget)
                             : block_choose(zone, 1, WORTH_MOST, &budget);
        if (first != 0) {
            (void)block_evacuate(zone, first);
        }
    }
    return wanted && zone_has(zone, order);
}

bool frames_compact(unsigned node, unsigned order)
{
    might_sleep();
    if (__atomic_load_n(&migrate_hook, __ATOMIC_ACQUIRE) == NULL || node >= nodes_count()) {
        return false;
    }
    count(&stats.stall, order <= FRAME_MAX_ORDER); /* somebody waits for it */
    for (unsigned id = ZONE_COUNT; id-- > 0;) {
        struct zone *zone = &nodes[node]->zones[id];
        if (zone->managed > 0 && zone_compact(zone, order)) {
            count(&stats.success, 1);
            return true;
        }
    }
    return false;
}

void frames_compact_all(void)
{
    for (unsigned node = 0; node < nodes_count(); node++) {
        (void)frames_compact(node, FRAME_MAX_ORDER + 1);
    }
}

void compact_stats(struct compact_stats *ret_stats)
{
    *ret_stats = stats;
}
