/*
 * The buddy allocator of a zone: free blocks of 2^order frames in one list per order. A block is split in halves on the way out and
 * merged with its buddy, the block whose frame number differs in bit `order` alone, on the way in.
 *
 * Invariant: a frame whose kind is PAGE_FREE and whose order is at most FRAME_MAX_ORDER is the first of a block in a list; no other
 * frame looks so. Blocks leave the lists with their kind cleared.
 */
#include "kernel/base/bitmap.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/mm/zone.h"

struct zone zones[ZONE_COUNT] = {
    [ZONE_DMA] = {.lock = SPINLOCK_INIT("zone"), .name = "DMA"},
    [ZONE_DMA32] = {.lock = SPINLOCK_INIT("zone"), .name = "DMA32"},
    [ZONE_NORMAL] = {.lock = SPINLOCK_INIT("zone"), .name = "Normal"},
};

static void block_insert_locked(struct zone *zone, struct page *page, unsigned order)
{
    page_set_meta(page, page_meta(0, PAGE_FREE, order));
    list_push_front(&zone->lists[order], &page->link);
    zone->nblocks[order]++;
    zone->nonempty |= 1u << order;
}

static void block_remove_locked(struct zone *zone, struct page *page, unsigned order)
{
    page->link.prev->next = page->link.next;
    page->link.next->prev = page->link.prev;
    page_set_meta(page, page_meta(0, PAGE_RESERVED, FRAME_ORDER_HOT));
    if (--zone->nblocks[order] == 0) {
        zone->nonempty &= ~(1u << order);
    }
}

struct page *zone_take_locked(struct zone *zone, unsigned order)
{
    uint32_t candidates = zone->nonempty >> order << order;
    if (candidates == 0) {
        return NULL;
    }
    unsigned found = bit_ffs(candidates);
    struct page *page = list_first_entry(&zone->lists[found], struct page, link);
    block_remove_locked(zone, page, found);
    while (found > order) {
        found--;
        block_insert_locked(zone, page + (1ull << found), found);
    }
    zone->free -= 1ull << order;
    return page;
}

void zone_give_locked(struct zone *zone, struct page *page, unsigned order)
{
    pfn_t pfn = page_to_pfn(page);

    zone->free += 1ull << order;
    while (order < FRAME_MAX_ORDER) {
        struct page *buddy = pfn_to_page(pfn ^ (1ull << order));
        if (buddy->kind != PAGE_FREE || buddy->order != order) {
            break;
        }
        block_remove_locked(zone, buddy, order);
        pfn &= ~(1ull << order);
        order++;
    }
    block_insert_locked(zone, pfn_to_page(pfn), order);
}

unsigned zone_take_singles_locked(struct zone *zone, unsigned n, struct page **pages)
{
    unsigned got = 0;

    while (got < n && zone->nonempty != 0) {
        unsigned order = bit_ffs(zone->nonempty);
        unsigned fits = bit_fls(n - got);
        struct page *page = zone_take_locked(zone, order < fits ? order : fits);
        if (page == NULL) {
            break;
        }
        /* What zone_take_locked() gave: the smallest block there is, or its first 2^fits frames. */
        unsigned count = 1u << (order < fits ? order : fits);
        for (unsigned i = 0; i < count; i++) {
            pages[got++] = page + i;
        }
    }
    return got;
}

void zones_init(void)
{
    for (unsigned id = 0; id < ZONE_COUNT; id++) {
        for (unsigned order = 0; order < FRAME_ORDERS; order++) {
            list_init(&zones[id].lists[order]);
        }
    }
}

static void zone_add_block(struct zone *zone, pfn_t pfn, unsigned order)
{
    uint64_t flags = spin_lock_irqsave(&zone->lock);

    if (zone->managed == 0) {
        zone->start = pfn;
        zone->end = pfn;
    }
    zone->start = MIN(zone->start, pfn);
    zone->end = MAX(zone->end, pfn + (1ull << order));
    zone->managed += 1ull << order;
    pfn_to_page(pfn)->counts = 0;
    zone_give_locked(zone, pfn_to_page(pfn), order);
    spin_unlock_irqrestore(&zone->lock, flags);
}

void zones_add_range(pfn_t start, pfn_t end)
{
    while (start < end) {
        unsigned order =
            start == 0 ? FRAME_MAX_ORDER : MIN(bit_ffs(start), (unsigned)FRAME_MAX_ORDER);
        while ((1ull << order) > end - start) {
            order--;
        }
        zone_add_block(zone_of(start), start, order);
        start += 1ull << order;
    }
}

bool zone_stats(enum zone_id id, struct zone_stats *ret_stats)
{
    if ((unsigned)id >= ZONE_COUNT || zones[id].managed == 0) {
        return false;
    }
    struct zone *zone = &zones[id];
    uint64_t flags = spin_lock_irqsave(&zone->lock);
    ret_stats->name = zone->name;
    ret_stats->start = zone->start;
    ret_stats->end = zone->end;
    ret_stats->managed = zone->managed;
    ret_stats->free = zone->free;
    ret_stats->min = zone->min;
    ret_stats->low = zone->low;
    ret_stats->high = zone->high;
    memcpy(ret_stats->protection, zone->protection, sizeof(zone->protection));
    for (unsigned order = 0; order < FRAME_ORDERS; order++) {
        ret_stats->free_by_order[order] = zone->nblocks[order];
    }
    spin_unlock_irqrestore(&zone->lock, flags);
    return true;
}
