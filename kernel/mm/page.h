/*
 * struct page: 40 bytes of metadata for each page frame, in one virtually contiguous array indexed by frame number.
 *
 * Who owns the fields depends on `kind`:
 *   PAGE_FREE   link, order, private = CPU or zone bookkeeping of the allocator        [zone lock]
 *   PAGE_SLAB   owner = struct slab_cache, private = objects in use                    [slab's own]
 *   PAGE_ANON   owner and index say where mappings of it may be found                  [I] while mapped
 *   PAGE_FILE, PAGE_SHARED  owner = struct pagecache, index = page index in the file   [pagecache lock]
 *   others      free for the owner
 *
 * refs counts references: each page-table entry, each cache slot and each temporary user holds one. The last page_put frees it.
 * mapcount counts the page-table entries among them. The two lie side by side: one atomic addition counts a mapping in both.
 *
 * There are no compound pages: a 2 MiB leaf of a user's page table shows 512 frames, each with its own counts. So a leaf is split into
 * 512 entries, and an entry of it replaced, without a look at any struct page.
 */
#pragma once

#include <arch/page.h>

#include "kernel/base/atomic.h"
#include "kernel/base/list.h"

enum page_kind {
    PAGE_RESERVED, /* not RAM, or never given to the allocator: firmware, device, bad */
    PAGE_FREE,
    PAGE_KERNEL, /* frame_alloc'd by the kernel for its own use */
    PAGE_SLAB,
    PAGE_TABLE, /* page table */
    PAGE_STACK, /* kernel stack */
    PAGE_ANON,
    PAGE_FILE,
    PAGE_SHARED, /* anonymous shared memory */
    PAGE_DMA,
    PAGE_NKINDS,
};

#define PAGE_FLAG_LOCKED     0x001u /* page lock: being read or written back */
#define PAGE_FLAG_UPTODATE   0x002u
#define PAGE_FLAG_DIRTY      0x004u
#define PAGE_FLAG_ERROR      0x008u
#define PAGE_FLAG_HEAD       0x010u /* first page of a higher-order block */
#define PAGE_FLAG_WORKINGSET 0x020u /* has been active: kernel/vm/workingset.h */
#define PAGE_FLAG_LRU        0x040u /* on a list of the least recently used */
#define PAGE_FLAG_ACTIVE     0x080u /* the active one */
#define PAGE_FLAG_REFERENCED 0x100u /* used since reclaim looked last */
#define PAGE_FLAG_MLOCKED    0x200u /* some mapping is locked: stays in memory */
#define PAGE_FLAG_SWAPCACHE  0x400u /* private = its slot of swap */
/* 0x3800: where on the lists, see lru.h */
#define PAGE_FLAG_WRITEBACK 0x8000u /* on its way to the medium: kernel/vm/writeback.h */
#define PAGE_FLAG_LAZY                                                                             \
    0x8000u /* of anonymous pages: may go if not written since, see lazy_free.c */
#define PAGE_FLAG_UNEVICTABLE 0x4000u /* on the list of pages that must stay */

struct page {
    union {
        struct {
            uint32_t refs;     /* [a] */
            uint32_t mapcount; /* [a] */
        };
        uint64_t counts; /* [a] both */
    };
    uint16_t flags; /* [a] PAGE_FLAG_* */
    uint8_t kind;   /* enum page_kind; changes only while nobody else refers to the page */
    uint8_t order;  /* of the block this is the first page of */
    uint32_t private;
    union {
        struct list_node link;
        struct {
            void *owner;
            uint64_t index;
        };
        struct page *next_table; /* mmu_flush */
    };
    uint32_t lru_prev, lru_next; /* [lru lock] frame numbers, counted from the node's first */
};

_Static_assert(sizeof(struct page) == 40, "the page array costs 1 % of memory");

#ifdef HOST_BUILD
extern struct page *host_page_array;
#define PAGE_ARRAY host_page_array
#else
#define PAGE_ARRAY ((struct page *)BOOT_PAGE_ARRAY)
#endif

/* Only for frames inside the memory map (pfn_valid). */
static inline struct page *pfn_to_page(pfn_t pfn)
{
    return PAGE_ARRAY + pfn;
}

static inline pfn_t page_to_pfn(const struct page *page)
{
    return (pfn_t)(page - PAGE_ARRAY);
}

static inline paddr_t page_to_phys(const struct page *page)
{
    return page_to_pfn(page) << PAGE_SHIFT;
}

static inline struct page *phys_to_page(paddr_t pa)
{
    return pfn_to_page(pa >> PAGE_SHIFT);
}

static inline void *page_to_virt(const struct page *page)
{
    return phys_to_virt(page_to_phys(page));
}

static inline struct page *virt_to_page(const void *va)
{
#ifdef HOST_BUILD
    return phys_to_page(virt_to_phys(va));
#else
    /* The direct map begins at a page, so its start is taken off the array, once, instead of off each address. */
    struct page *origin = PAGE_ARRAY - ((intptr_t)BOOT_DIRECT_MAP >> PAGE_SHIFT);

    return origin + ((intptr_t)va >> PAGE_SHIFT);
#endif
}

/* True when the frame is RAM with a struct page. Any context. */
bool pfn_valid(pfn_t pfn);
/* The longest range of RAM in the memory map: most questions are about it. */
extern struct ram_range {
    paddr_t base;
    uint64_t length_bytes;
} ram_longest;
bool boot_map_is_ram(pfn_t pfn);
/* True also for RAM that has no struct page yet: free memory that nobody has touched. Any context. */
static inline bool pfn_is_ram(pfn_t pfn)
{
    return likely((pfn << PAGE_SHIFT) - ram_longest.base < ram_longest.length_bytes) ||
           boot_map_is_ram(pfn);
}

static inline void page_get(struct page *page)
{
    (void)atomic_fetch_add_relaxed(&page->refs, 1);
}

void page_free_last(struct page *page);
/* Builds that watch the heap: false, and a defect is told, when nobody has a reference that could be dropped. */
#if defined(CONFIG_DEBUG) || defined(CONFIG_KASAN)
bool page_is_live(const struct page *page);
#else
#define page_is_live(page) true
#endif

/* Drop a reference; the last one frees the block of page->order. Any context. */
static inline void page_put(struct page *page)
{
    if (page_is_live(page) && __atomic_fetch_sub(&page->refs, 1, __ATOMIC_ACQ_REL) == 1) {
        page_free_last(page);
    }
}
/* page_put() for each of n pages. Any context. */
void pages_put(struct page **pages, unsigned n);

#define PAGE_COUNT_MAPPING 0x100000001ull /* one mapping and the reference it holds */

/* One more page table entry shows the page. Any context. */
static inline void page_map_get(struct page *page)
{
    (void)atomic_fetch_add_relaxed(&page->counts, PAGE_COUNT_MAPPING);
}

/* An entry that showed the page is gone, and no CPU knows it any more: page_put() with it. Any context. */
static inline void page_unmap_put(struct page *page)
{
    if (page_is_live(page) &&
        (uint32_t)__atomic_fetch_sub(&page->counts, PAGE_COUNT_MAPPING, __ATOMIC_ACQ_REL) == 1) {
        page_free_last(page);
    }
}

/* page_unmap_put() for each of n pages. Any context. */
void pages_unmap_put(struct page **pages, unsigned n);
/* The same for the 2^order frames (32 at least), of one kind, from `first` on, aligned like a block: if all go, they go as one. */
void pages_unmap_put_block(struct page *first, unsigned order);

/* A reference that the caller has becomes an entry's, or an entry's becomes the caller's again. */
static inline void page_map(struct page *page)
{
    (void)atomic_fetch_add_relaxed(&page->mapcount, 1);
}

static inline void page_unmap(struct page *page)
{
    (void)atomic_fetch_sub_relaxed(&page->mapcount, 1);
}

/* Change page->kind and the figures of frame_stats. Nobody else refers to the page. */
void page_set_kind(struct page *page, enum page_kind kind);
