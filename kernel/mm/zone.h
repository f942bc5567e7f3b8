/*
 * Zones: what frame.c, buddy.c and boot_map.c share. Private to kernel/mm.
 *
 * A zone is a range of frame numbers with one buddy allocator. Zone borders (16 MiB, 4 GiB) are multiples of the largest block, so
 * a block and its buddy are always of one zone; and the page array is populated in units of the largest block, so the buddy of a
 * block always has a struct page, be it RAM or not.
 */
#pragma once

#include "kernel/mm/frame.h"
#include "kernel/sync/spinlock.h"

#define FRAME_ORDERS    (FRAME_MAX_ORDER + 1)
#define FRAME_MAX_BLOCK (1ull << FRAME_MAX_ORDER) /* frames in the largest block */
#define FRAME_ORDER_HOT 0xffu /* page->order of a free frame that is not in a zone's lists */

#define ZONE_DMA_END   (MIB(16) >> PAGE_SHIFT)
#define ZONE_DMA32_END (GIB(4) >> PAGE_SHIFT)

struct zone {
    struct spinlock lock;
    const char *name;        /* [I] */
    pfn_t start, end;        /* [lock] frames managed lie inside */
    uint64_t managed;        /* [lock] frames given to this zone */
    uint64_t free;           /* [lock] frames in the lists */
    uint64_t min, low, high; /* [lock] watermarks: see frame.h */
    uint64_t
        protection[ZONE_COUNT];     /* [lock] what requests that begin at that zone leave besides */
    uint32_t nonempty;              /* [lock] bit per order: the list holds something */
    uint64_t nblocks[FRAME_ORDERS]; /* [lock] */
    struct list_node lists[FRAME_ORDERS]; /* [lock] struct page.link of free blocks' first frames */
};

extern struct zone zones[ZONE_COUNT];

/* The zone of a frame number. */
static inline struct zone *zone_of(pfn_t pfn)
{
    if (pfn >= ZONE_DMA32_END) {
        return &zones[ZONE_NORMAL];
    }
    return pfn >= ZONE_DMA_END ? &zones[ZONE_DMA32] : &zones[ZONE_DMA];
}

/* kind, order, flags and private as one word: the layout of struct page from `flags` on. */
static inline uint64_t page_meta(uint16_t flags, enum page_kind kind, unsigned order)
{
    return flags | ((uint64_t)kind << 16) | ((uint64_t)order << 24);
}

static inline void page_set_meta(struct page *page, uint64_t meta)
{
    __builtin_memcpy(&page->flags, &meta, sizeof(meta));
}

_Static_assert(offsetof(struct page, flags) == 8 && offsetof(struct page, kind) == 10 &&
                   offsetof(struct page, order) == 11 && offsetof(struct page, private) == 12,
               "page_set_meta");

void zones_init(void);
/* Hand [start, end) to the zones it lies in. Merges with free neighbours. */
void zones_add_range(pfn_t start, pfn_t end);
/* After the zones have grown. */
void zones_update_watermarks(void);

/* A block of 2^order frames from the lists, NULL: none. zone->lock held. */
struct page *zone_take_locked(struct zone *zone, unsigned order);
/* Put a block into the lists, merged with its free buddies. zone->lock held. */
void zone_give_locked(struct zone *zone, struct page *page, unsigned order);
/* Up to n single frames, taken from the smallest blocks first. zone->lock held. */
unsigned zone_take_singles_locked(struct zone *zone, unsigned n, struct page **pages);

/* How far down a zone may be emptied. */
enum zone_floor {
    FLOOR_LOW,
    FLOOR_MIN,
    FLOOR_ATOMIC,
    FLOOR_NONE,
};

/* How many frames `zone` may hand out above `floor` to a request that begins at zone `first`. zone->lock held. */
uint64_t zone_available_locked(const struct zone *zone, enum zone_floor floor, enum zone_id first);

/* Before the zones exist: frames from the boot map. NULL: none left. */
struct page *early_frame_alloc(unsigned order, unsigned flags);
extern bool frames_ready; /* [I] after frames_init() */
/* Frames of RAM that no zone manages. */
uint64_t frames_reserved(void);
