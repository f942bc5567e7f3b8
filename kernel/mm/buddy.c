/*
 * The buddy allocator of a zone: free blocks of 2^order frames in one list per order and type. A block is split in halves on the way out and
 * merged with its buddy, the block whose frame number differs in bit `order` alone, on the way in.
 *
 * Against fragmentation, memory is divided into page blocks of 2 MiB, each for pages of one type (movable, reclaimable, unmovable), and a free
 * block is in the lists of the type of its page block. Pages that cannot move so gather in few page blocks, and the others can be
 * emptied. When a type has run out it takes from another one: the largest block there is, and with it the whole page block where most of that is
 * free or of its own kind; so it comes back for more as late as can be. A movable page that finds no block worth that takes
 * the smallest instead: it can be moved away.
 *
 * The free blocks of a page block that changes over do so some at a time, with the requests that follow: until then they are in the lists of
 * the former type, and serve that one. With the last request, or when another page block changes over first, some may stay there. To find
 * out whether it is worth it takes long enough.
 *
 * Invariant: a frame whose kind is PAGE_FREE and whose order is at most FRAME_MAX_ORDER is the first of a block in the list of type
 * page->private; no other frame looks so. Blocks leave the lists with their kind cleared.
 */
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/mm/zone.h"

#define MOVE_TURN 16u                    /* free blocks that change lists at once, */
#define LOOK_TURN (PAGEBLOCK_FRAMES / 2) /* of so many frames that are looked at */

static const enum migrate_type fallbacks[MIGRATE_NTYPES][2] = {
    [MIGRATE_UNMOVABLE] = {MIGRATE_RECLAIMABLE, MIGRATE_MOVABLE},
    [MIGRATE_MOVABLE] = {MIGRATE_RECLAIMABLE, MIGRATE_UNMOVABLE},
    [MIGRATE_RECLAIMABLE] = {MIGRATE_UNMOVABLE, MIGRATE_MOVABLE},
};

static void block_insert_locked(struct zone *zone, struct page *page, unsigned order,
                                enum migrate_type type)
{
    page_set_meta(page, page_meta(0, PAGE_FREE, order) | (uint64_t)type << PAGE_META_TYPE_SHIFT);
    list_push_front(&zone->lists[type][order], &page->link);
    zone->nblocks[type][order]++;
    zone->nonempty[type] |= 1u << order;
}

void zone_remove_locked(struct zone *zone, struct page *page)
{
    unsigned order = page->order;
    unsigned type = page->private;

    page->link.prev->next = page->link.next;
    page->link.next->prev = page->link.prev;
    page_set_meta(page, page_meta(0, PAGE_RESERVED, FRAME_ORDER_HOT));
    if (--zone->nblocks[type][order] == 0) {
        zone->nonempty[type] &= ~(1u << order);
    }
    zone->free -= 1ull << order;
}

/* The block, out of its list, cut down to 2^order frames; the rest goes to the lists of `type`. */
static struct page *block_cut_locked(struct zone *zone, struct page *page, unsigned order,
                                     enum migrate_type type)
{
    unsigned found = page->order;

    zone_remove_locked(zone, page);
    zone->free += (1ull << found) - (1ull << order);
    while (found > order) {
        found--;
        block_insert_locked(zone, page + (1ull << found), found, type);
    }
    return page;
}

/* ---- one type takes from another ---- */

/* What a page block consists of: frames in the lists or in CPUs' stacks, and movable ones in use. */
static void pageblock_count(pfn_t first, unsigned *ret_free, unsigned *ret_movable)
{
    unsigned nfree = 0, movable = 0;

    for (pfn_t pfn = first; pfn < first + PAGEBLOCK_FRAMES;) {
        const struct page *page = pfn_to_page(pfn);
        uint8_t kind = READ_ONCE(page->kind);
        uint8_t order = READ_ONCE(page->order);
        unsigned n = order <= FRAME_MAX_ORDER ? 1u << order : 1;
        n = (unsigned)MIN((uint64_t)n, first + PAGEBLOCK_FRAMES - pfn);
        if (kind == PAGE_FREE) {
            nfree += n;
        } else if (page_kind_movable((enum page_kind)kind)) {
            movable += n;
        }
        pfn += n;
    }
    *ret_free = nfree;
    *ret_movable = movable;
}

pfn_t zone_move_part_locked(struct zone *zone, pfn_t pfn)
{
    pfn_t end = ALIGN_DOWN(pfn, PAGEBLOCK_FRAMES) + PAGEBLOCK_FRAMES;
    pfn_t stop = MIN(pfn + LOOK_TURN, end);

    for (unsigned moved = 0; pfn < stop && moved < MOVE_TURN;) {
        struct page *page = pfn_to_page(pfn);
        if (!page_is_free_block(page)) {
            pfn++;
            continue;
        }
        unsigned order = page->order;
        zone_remove_locked(zone, page);
        zone_give_locked(zone, page, order); /* it may merge with its neighbour now */
        pfn += 1ull << order;
        moved++;
    }
    return pfn < end ? pfn : 0;
}

/*
 * A block of another type is about to be used for `type`: its page blocks change over if that is worth it. Returns the type that what is left
 * of the block is for.
 */
static enum migrate_type pageblock_claim_locked(struct zone *zone, struct page *page,
                                                enum migrate_type type)
{
    unsigned order = page->order;
    pfn_t first = ALIGN_DOWN(page_to_pfn(page), PAGEBLOCK_FRAMES);
    unsigned nfree, movable;

    if (order >= PAGEBLOCK_ORDER) {
        for (uint64_t i = 0; i < 1ull << order; i += PAGEBLOCK_FRAMES) {
            pageblock_set_type(first + i, type);
        }
        return type;
    }
    if ((type == MIGRATE_MOVABLE && order < PAGEBLOCK_ORDER / 2) ||
        pageblock_type(first) == MIGRATE_ISOLATE) {
        return (enum migrate_type)page->private;
    }
    pageblock_count(first, &nfree, &movable);
    unsigned alike = movable;
    if (type != MIGRATE_MOVABLE) {
        /* Of a movable block all that is not movable is alike; of others nobody knows. */
        alike = page->private == MIGRATE_MOVABLE ? (unsigned)PAGEBLOCK_FRAMES - nfree - movable : 0;
    }
    if (nfree + alike < PAGEBLOCK_FRAMES / 2) {
        return (enum migrate_type)page->private;
    }
    pageblock_set_type(first, type);
    zone->claimed = first;
    return type;
}

/* A block of at least `order` in the lists of the types to fall back to. */
static struct page *fallback_find_locked(struct zone *zone, unsigned order, enum migrate_type type)
{
    for (unsigned i = 0; i < ARRAY_SIZE(fallbacks[type]); i++) {
        enum migrate_type other = fallbacks[type][i];
        uint32_t candidates = zone->nonempty[other] >> order << order;
        if (candidates == 0) {
            continue;
        }
        unsigned found = bit_fls(candidates);
        if (type == MIGRATE_MOVABLE && found < PAGEBLOCK_ORDER / 2) {
            found = bit_ffs(candidates);
        }
        return list_first_entry(&zone->lists[other][found], struct page, link);
    }
    return NULL;
}

/* ---- blocks out and in ---- */

struct page *zone_take_locked(struct zone *zone, unsigned order, enum migrate_type type)
{
    uint32_t candidates = zone->nonempty[type] >> order << order;

    if (likely(candidates != 0)) {
        struct page *page =
            list_first_entry(&zone->lists[type][bit_ffs(candidates)], struct page, link);
        return block_cut_locked(zone, page, order, type);
    }
    struct page *page = fallback_find_locked(zone, order, type);
    if (page == NULL) {
        return NULL;
    }
    return block_cut_locked(zone, page, order, pageblock_claim_locked(zone, page, type));
}

void zone_give_locked(struct zone *zone, struct page *page, unsigned order)
{
    pfn_t pfn = page_to_pfn(page);
    enum migrate_type type = pageblock_type(pfn);

    zone->free += 1ull << order;
    while (order < FRAME_MAX_ORDER) {
        struct page *buddy = pfn_to_page(pfn ^ (1ull << order));
        if (!page_is_free_block_of(buddy, order)) {
            break;
        }
        if (order >= PAGEBLOCK_ORDER &&
            (type == MIGRATE_ISOLATE || buddy->private == MIGRATE_ISOLATE)) {
            break; /* what is isolated ends with its page block */
        }
        zone_remove_locked(zone, buddy);
        zone->free += 1ull << order;
        pfn &= ~(1ull << order);
        order++;
    }
    block_insert_locked(zone, pfn_to_page(pfn), order, pageblock_type(pfn));
}

struct page *zone_take_smallest_locked(struct zone *zone)
{
    return zone->nonempty[MIGRATE_MOVABLE] == 0 ? NULL : zone_take_locked(zone, 0, MIGRATE_MOVABLE);
}

unsigned zone_take_singles_locked(struct zone *zone, unsigned n, enum migrate_type type,
                                  struct page **pages)
{
    unsigned got = 0;

    if (unlikely(zone->claimed != 0)) {
        zone->claimed = zone_move_part_locked(zone, zone->claimed);
    }
    /* To take from another type takes long, so that ends it. */
    while (got < n && (got == 0 || zone->nonempty[type] != 0)) {
        unsigned fits = bit_fls(n - got);
        unsigned order = zone->nonempty[type] != 0 ? bit_ffs(zone->nonempty[type]) : fits;
        struct page *page;
        order = MIN(order, fits);
        while ((page = zone_take_locked(zone, order, type)) == NULL && order > 0) {
            order--; /* what other types have is in smaller pieces */
        }
        if (page == NULL) {
            break;
        }
        for (unsigned i = 0; i < 1u << order; i++) {
            pages[got++] = page + i;
        }
    }
    return got;
}

/* ---- making zones ---- */

void zone_init(struct zone *zone, unsigned node, enum zone_id id)
{
    static const char *const names[ZONE_COUNT] = {"DMA", "DMA32", "Normal"};

    spin_init(&zone->lock, "zone");
    zone->name = names[id];
    zone->node = node;
    zone->id = id;
    for (unsigned type = 0; type < MIGRATE_NTYPES; type++) {
        for (unsigned order = 0; order < FRAME_ORDERS; order++) {
            list_init(&zone->lists[type][order]);
        }
    }
}

/* The largest block that begins at `start` and does not reach beyond `end`. */
static unsigned order_at(pfn_t start, pfn_t end)
{
    unsigned order = start == 0 ? FRAME_MAX_ORDER : MIN(bit_ffs(start), (unsigned)FRAME_MAX_ORDER);

    while ((1ull << order) > end - start) {
        order--;
    }
    return order;
}

static void zone_add_block(struct zone *zone, pfn_t pfn, unsigned order, bool untouched)
{
    uint64_t irq = spin_lock_irqsave(&zone->lock);

    if (untouched) {
        zone->untouched -= 1ull << order;
    } else {
        zone->managed += 1ull << order;
    }
    pfn_to_page(pfn)->counts = 0;
    zone_give_locked(zone, pfn_to_page(pfn), order);
    spin_unlock_irqrestore(&zone->lock, irq);
}

void zones_add_range(pfn_t start, pfn_t end)
{
    while (start < end) {
        unsigned order = order_at(start, end);
        zone_add_block(zone_of(start), start, order, false);
        start += 1ull << order;
    }
}

void zone_give_untouched(struct zone *zone, pfn_t start, pfn_t end)
{
    while (start < end) {
        unsigned order = order_at(start, end);
        zone_add_block(zone, start, order, true);
        start += 1ull << order;
    }
}

/* ---- figures ---- */

bool zone_stats(unsigned node, enum zone_id id, struct zone_stats *ret_stats)
{
    if (node >= nodes_count() || (unsigned)id >= ZONE_COUNT ||
        nodes[node]->zones[id].managed == 0) {
        return false;
    }
    struct zone *zone = &nodes[node]->zones[id];
    uint64_t flags = spin_lock_irqsave(&zone->lock);
    *ret_stats = (struct zone_stats){
        .name = zone->name,
        .start = zone->start,
        .end = zone->end,
        .present = zone->present,
        .managed = zone->managed,
        .free = zone->free + zone->untouched,
        .untouched = zone->untouched,
        .min = zone->min,
        .low = zone->low,
        .high = zone->high,
    };
    memcpy(ret_stats->protection, zone->protection, sizeof(zone->protection));
    for (unsigned order = 0; order < FRAME_ORDERS; order++) {
        for (unsigned type = 0; type < MIGRATE_NTYPES; type++) {
            ret_stats->free_by_type[type][order] = zone->nblocks[type][order];
        }
    }
    spin_unlock_irqrestore(&zone->lock, flags);
    ret_stats->free_by_type[MIGRATE_MOVABLE][FRAME_MAX_ORDER] +=
        ret_stats->untouched >> FRAME_MAX_ORDER;
    for (unsigned order = 0; order < FRAME_ORDERS; order++) {
        for (unsigned type = 0; type < MIGRATE_NTYPES; type++) {
            ret_stats->free_by_order[order] += ret_stats->free_by_type[type][order];
        }
    }
    return true;
}

bool zone_blocks(unsigned node, enum zone_id id, uint64_t ret_blocks[MIGRATE_NTYPES])
{
    if (node >= nodes_count() || (unsigned)id >= ZONE_COUNT ||
        nodes[node]->zones[id].managed == 0) {
        return false;
    }
    const struct zone *zone = &nodes[node]->zones[id];
    memset(ret_blocks, 0, MIGRATE_NTYPES * sizeof(ret_blocks[0]));
    for (pfn_t pfn = ALIGN_DOWN(zone->start, PAGEBLOCK_FRAMES); pfn < zone->end;
         pfn += PAGEBLOCK_FRAMES) {
        if (section_present(pfn) && pageblock_node(pfn) == node) {
            ret_blocks[pageblock_type(pfn)]++;
        }
    }
    ret_blocks[MIGRATE_MOVABLE] += READ_ONCE(zone->untouched) >> PAGEBLOCK_ORDER;
    return true;
}
