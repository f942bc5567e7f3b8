/*
 * Nodes and zones: what the files of the frame allocator share. Private to kernel/mm.
 *
 * A zone is a range of frame numbers of one node with one buddy allocator. Borders of zones (16 MiB, 4 GiB) and of nodes are multiples of the largest
 * block, so a block and its buddy are always of one zone; and the page array is populated in units of the largest block, so the
 * buddy of a block always has a struct page, be it RAM or not.
 *
 * A byte for each 2 MiB of memory says of which node it is and what kind of pages it is for (enum migrate_type).
 */
#pragma once

#include "kernel/base/bitmap.h"
#include "kernel/mm/frame.h"
#include "kernel/sync/spinlock.h"

#define FRAME_ORDERS    (FRAME_MAX_ORDER + 1)
#define FRAME_MAX_BLOCK (1ull << FRAME_MAX_ORDER) /* frames in the largest block */
#define FRAME_ORDER_HOT 0xffu /* page->order of a free frame that is not in a zone's lists */

#define ZONE_DMA_END   (MIB(16) >> PAGE_SHIFT)
#define ZONE_DMA32_END (GIB(4) >> PAGE_SHIFT)

#define PAGEBLOCK_ORDER  FRAME_PAGEBLOCK_ORDER /* 2 MiB: a huge page */
#define PAGEBLOCK_FRAMES (1ull << PAGEBLOCK_ORDER)

/* page->private of a free block: in whose list it is. */
#define PAGE_META_TYPE_SHIFT 32

struct zone {
    struct spinlock lock;
    const char *name;   /* [I] */
    uint32_t node, id;  /* [I] */
    pfn_t start, end;   /* [lock] frames managed lie inside */
    uint64_t present;   /* [I] frames of RAM of any use inside */
    uint64_t managed;   /* [lock] frames given to this zone */
    uint64_t free;      /* [lock] frames in the lists */
    uint64_t untouched; /* [lock] frames to come in with sections (section.c) */
    pfn_t
        claimed; /* [lock] a page block changes type: its free blocks from here on are to follow. 0: none */
    pfn_t compact_next;      /* [a] where compaction looks next */
    uint64_t next;           /* [grow_lock] the first section that may not be in yet */
    uint64_t min, low, high; /* [lock] watermarks: see frame.h */
    uint64_t
        protection[ZONE_COUNT]; /* [lock] what requests that begin at that zone leave besides */
    uint32_t nonempty[MIGRATE_NTYPES]; /* [lock] bit per order: the list holds something */
    uint64_t nblocks[MIGRATE_NTYPES][FRAME_ORDERS]; /* [lock] */
    struct list_node lists[MIGRATE_NTYPES]
                          [FRAME_ORDERS]; /* [lock] struct page.link of free blocks' first frames */
};

struct node {
    uint32_t id;
    unsigned nnear;          /* [I] */
    uint8_t near[MAX_NODES]; /* [I] nodes with memory, nearest first */
    int64_t by_kind
        [PAGE_NKINDS]; /* [a] what CPUs do to frames that are not of their own node, and to blocks */
    uint64_t numa[NUMA_NSTATS]; /* [a] likewise */
    struct zone zones[ZONE_COUNT];
};

extern struct node *nodes[MAX_NODES]; /* [I] after frames_init(); 0 .. nodes_count()-1 */
extern uint8_t
    *pageblocks; /* node | type << 6; for sections that are in; [zone lock] for the type */

#define PAGEBLOCK_NODE_MASK  0x3fu
#define PAGEBLOCK_TYPE_SHIFT 6

static inline unsigned pageblock_node(pfn_t pfn)
{
    return pageblocks[pfn >> PAGEBLOCK_ORDER] & PAGEBLOCK_NODE_MASK;
}

static inline enum migrate_type pageblock_type(pfn_t pfn)
{
    return (enum migrate_type)(pageblocks[pfn >> PAGEBLOCK_ORDER] >> PAGEBLOCK_TYPE_SHIFT);
}

static inline void pageblock_set_type(pfn_t pfn, enum migrate_type type)
{
    uint8_t *block = &pageblocks[pfn >> PAGEBLOCK_ORDER];
    *block = (uint8_t)((*block & PAGEBLOCK_NODE_MASK) | type << PAGEBLOCK_TYPE_SHIFT);
}

static inline enum zone_id zone_id_of(pfn_t pfn)
{
    if (pfn >= ZONE_DMA32_END) {
        return ZONE_NORMAL;
    }
    return pfn >= ZONE_DMA_END ? ZONE_DMA32 : ZONE_DMA;
}

/* The zone of a frame whose section is in. */
static inline struct zone *zone_of(pfn_t pfn)
{
    return &nodes[pageblock_node(pfn)]->zones[zone_id_of(pfn)];
}

/* What may be moved elsewhere while it is in use: user memory, the page cache. */
#define PAGE_KINDS_MOVABLE (BIT(PAGE_ANON) | BIT(PAGE_FILE) | BIT(PAGE_SHARED))
static inline bool page_kind_movable(enum page_kind kind)
{
    return (PAGE_KINDS_MOVABLE >> (kind & 63) & 1) != 0;
}

static inline enum migrate_type frame_migrate_type(enum page_kind kind, unsigned flags)
{
    if (page_kind_movable(kind)) {
        return MIGRATE_MOVABLE;
    }
    return (flags & FRAME_RECLAIMABLE) != 0 ? MIGRATE_RECLAIMABLE : MIGRATE_UNMOVABLE;
}

/* kind, order, flags and private as one word: the layout of struct page from `flags` on. */
static inline uint64_t page_meta(uint16_t flags, enum page_kind kind, unsigned order)
{
    return flags | ((uint64_t)kind << 16) | ((uint64_t)order << 24);
}

/* One store, one load: others look at a page's meta while its owner changes it. */
typedef uint64_t __attribute__((may_alias)) page_meta_t;

static inline void page_set_meta(struct page *page, uint64_t meta)
{
    __atomic_store_n((page_meta_t *)&page->flags, meta, __ATOMIC_RELAXED);
}

static inline uint64_t page_get_meta(const struct page *page)
{
    return __atomic_load_n((const page_meta_t *)&page->flags, __ATOMIC_RELAXED);
}

/* The first of more than one frame, or on a list of lru.h: both in one look. */
static inline bool page_is_block_or_listed(const struct page *page)
{
    return (page_get_meta(page) & (0xff000000u | PAGE_FLAG_LRU)) != 0;
}

_Static_assert(offsetof(struct page, flags) == 8 && offsetof(struct page, kind) == 10 &&
                   offsetof(struct page, order) == 11 && offsetof(struct page, private) == 12,
               "page_set_meta");

/* ---- buddy.c ---- */

void zone_init(struct zone *zone, unsigned node, enum zone_id id);
/* Hand [start, end) to the zones it lies in; their sections are in. Merges with free neighbours. */
void zones_add_range(pfn_t start, pfn_t end);
/*
 * Frames that have been counted in zone->untouched are free ones now, block by block: who looks meanwhile misses none. Inside one zone.
 */
void zone_give_untouched(struct zone *zone, pfn_t start, pfn_t end);

/* A block of 2^order frames from the lists, NULL: none. zone->lock held. */
struct page *zone_take_locked(struct zone *zone, unsigned order, enum migrate_type type);
/* Put a block into the lists, merged with its free buddies. zone->lock held. */
void zone_give_locked(struct zone *zone, struct page *page, unsigned order);
/* Up to n single frames, taken from the smallest blocks first. zone->lock held. */
unsigned zone_take_singles_locked(struct zone *zone, unsigned n, enum migrate_type type,
                                  struct page **pages);
/* A single frame from the smallest movable block there is; NULL: none. zone->lock held. */
struct page *zone_take_smallest_locked(struct zone *zone);
/*
 * The type of the page block that pfn lies in has changed: some of its free blocks, from pfn on, go to the lists of that type. Returns where to
 * go on, 0: that was all. zone->lock held; in between others may have it.
 */
pfn_t zone_move_part_locked(struct zone *zone, pfn_t pfn);
/* Take a free block out of its list as it is. zone->lock held. */
void zone_remove_locked(struct zone *zone, struct page *page);
/*
 * True for the first frame of a block in a list. zone->lock held, or the answer is a hint. Kind and order in one look: a frame that is on no list may
 * begin its life at this moment, from one that is free but has no order to one that has an order but is not free.
 */
static inline bool page_is_free_block(const struct page *page)
{
    uint64_t meta = page_get_meta(page);

    return (uint8_t)(meta >> 16) == PAGE_FREE && (uint8_t)(meta >> 24) <= FRAME_MAX_ORDER;
}
/* The same, of a block of this order. */
static inline bool page_is_free_block_of(const struct page *page, unsigned order)
{
    return (uint16_t)(page_get_meta(page) >> 16) ==
           (uint16_t)(page_meta(0, PAGE_FREE, order) >> 16);
}

/* ---- frame.c ---- */

/* A frame from a zone's lists begins its life as frame_alloc() hands it out, and is counted. */
void frame_begin(struct page *page, enum page_kind kind);

/* ---- watermark.c ---- */

/* After the zones have grown. */
void zones_update_watermarks(void);

/* How far down a zone may be emptied. */
enum zone_floor {
    FLOOR_LOW,
    FLOOR_MIN,
    FLOOR_ATOMIC,
    FLOOR_NONE,
};

/*
 * How many frames `zone` may hand out above `floor` to a request that begins at zone `first`; some may have to come in yet. zone->lock
 * held.
 */
uint64_t zone_available_locked(const struct zone *zone, enum zone_floor floor, enum zone_id first);

/* ---- boot_map.c ---- */

struct boot_mem;
/* Before the zones exist: frames from the boot map. NULL: none left. */
struct page *early_frame_alloc(unsigned order, unsigned flags);
/* Physical memory of `size` bytes, aligned; not cleared. Boot; panics when there is none. */
paddr_t early_alloc(uint64_t size, uint64_t align);
extern bool frames_ready; /* [I] after frames_init() */
/* Frames of RAM that no zone manages. */
uint64_t frames_reserved(void);
bool boot_mem_is_ram(uint32_t type);
/* Index of the first range of the boot map whose last largest block reaches beyond `pfn`. */
unsigned boot_index_at(pfn_t pfn);
/* Usable memory in [*start, end): the first run of it that the early allocator keeps out of. False: none. */
bool boot_usable_next(pfn_t from, pfn_t *ret_start, pfn_t *ret_end);

/* ---- node.c ---- */

/* Of which node the frame's block is by the firmware's map, and where the next block begins that may be of another. */
unsigned numa_node_at(pfn_t pfn, pfn_t *ret_end);
/* Structs of all nodes, with empty zones. */
void nodes_create(void);
/* All memory is known: who is near to whom. */
void nodes_order(void);
/* frame.c: this CPU's node, and which part of the page array is not of it. */
void frames_set_cpu_node(unsigned cpu, unsigned node);
unsigned frames_cpu_node(unsigned cpu);
void frames_node_figures(unsigned node, struct node_stats *stats);

/* ---- section.c ---- */

/* Tables of sections and of page blocks, as large as the map wants them. */
void sections_init(pfn_t end);
/* Page array and page blocks of all memory that does not come in later. */
void sections_populate(void);
/* Hand what is populated to the zones. */
void sections_release(void);
/*
 * Bring in one more section of the zone: its part of the page array, and its frames into the lists. False: nothing is left, or this
 * CPU is about it already. Called without the zone's lock. Any context.
 */
bool zone_grow(struct zone *zone);
/* This CPU is in zone_grow(). */
bool zone_growing(void);
/* The frame's section is in. */
bool section_present(pfn_t pfn);
