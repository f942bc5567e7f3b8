/*
 * Page frames: a buddy allocator per zone with per-CPU hot lists in front.
 *
 * Nodes, zones and how one falls back to another: node.h. Memory of large machines comes in when it is wanted: section.c.
 *
 * Interface: frame_alloc() gives a block of 2^order frames with refs = 1; page_put() or frame_free() gives it back.
 * Locking: per-CPU lists with interrupts off; zone->lock (spin, irqsave) behind them. Nothing here waits.
 * Source: Knowlton 1965; Knuth, TAOCP volume 1, 2.5.
 */
#pragma once

#include "kernel/mm/node.h"
#include "kernel/mm/page.h"

struct boot_handoff;

#define FRAME_MAX_ORDER 10 /* 4 MiB */

enum zone_id {
    ZONE_DMA,
    ZONE_DMA32,
    ZONE_NORMAL,
    ZONE_COUNT
}; /* below 16 MiB, below 4 GiB, all else */

#define FRAME_ZERO    0x01u /* content cleared */
#define FRAME_DMA     0x02u /* below 16 MiB */
#define FRAME_DMA32   0x04u /* below 4 GiB */
#define FRAME_RESERVE 0x08u /* may use all of the reserve: for code that frees memory */
#define FRAME_RECLAIM                                                                              \
    0x10u /* may wait until memory is reclaimed: threads alone, no spin lock held */
#define FRAME_RECLAIMABLE                                                                          \
    0x20u /* of a cache that gives memory back when asked: kept away from what stays for ever */

/*
 * The caller can do without: fails as soon as memory is below `low`. With FRAME_RECLAIM a block may be made by compaction, but nobody
 * loses a page for it.
 */
#define FRAME_TRY 0x40u

/*
 * Frames are kept together by how long they stand in the way: a page block (2 MiB) is for one type as long as memory lasts. Kinds ANON,
 * FILE and SHARED are movable.
 */
enum migrate_type {
    MIGRATE_UNMOVABLE,
    MIGRATE_MOVABLE,
    MIGRATE_RECLAIMABLE,
    MIGRATE_ISOLATE, /* being emptied: nothing is allocated from it */
    MIGRATE_NTYPES
};

/*
 * How low memory may fall. Each zone has three watermarks (vm.min_free_kbytes, vm.watermark_scale_factor), and a request that could be served
 * by a higher zone leaves more of a lower one (vm.lowmem_reserve_ratio):
 *   low    when no zone is above it the reclaim thread is woken; it works until `high` is reached
 *   min    requests with FRAME_RECLAIM stop here: they reclaim themselves, or fail
 *   min/4  all other requests stop here: the kernel's own, which cannot wait (slabs, page tables, stacks)
 *   0      requests with FRAME_RESERVE stop here
 */

/* Parameters init_on_alloc and init_on_free: all frames and heap objects are cleared when they are handed out, or given back. */
extern bool frame_init_on_alloc, frame_init_on_free; /* [I] after boot */

/* The cases of frame_alloc(). */
struct page *frame_alloc_single(unsigned flags, enum page_kind kind, bool movable) __must_check;
struct page *frame_alloc_block(unsigned order, unsigned flags, enum page_kind kind) __must_check;

/*
 * 2^order frames, or NULL. The first page has `kind`, refs 1, mapcount 0, flags 0. Any context, but for FRAME_RECLAIM. From the node of
 * this CPU, or the nearest that has some.
 */
static __always_inline __must_check struct page *frame_alloc(unsigned order, unsigned flags,
                                                             enum page_kind kind)
{
    if (order == 0 && (flags & (FRAME_DMA | FRAME_DMA32)) == 0) {
        return frame_alloc_single(flags, kind, kind >= PAGE_ANON && kind <= PAGE_SHARED);
    }
    return frame_alloc_block(order, flags, kind);
}

/* As frame_alloc(), from `node` or the nearest to it of `allowed`; from no other. NODE_LOCAL: this CPU's. */
struct page *frame_alloc_node(unsigned order, unsigned flags, enum page_kind kind, int node,
                              nodemask_t allowed) __must_check;
/* Give a block back; refs must be 1. Any context. */
void frame_free(struct page *page);
/* A block, refs 1, becomes 2^order single frames of its kind, refs 1 each. Nobody else refers to it. Any context. */
void frame_split(struct page *page);
/* Many single frames at once: fills pages[], returns how many it got. */
unsigned frame_alloc_bulk(unsigned n, unsigned flags, enum page_kind kind, struct page **pages);
/* Give this CPU's hot frames back to the zones, where they merge; of two CPUs some, if the thread moves meanwhile. Any context. */
void frames_drain_local(void);
/*
 * Some of them, with interrupts off no longer than that takes; *more (a bool) becomes true if there may be more. So many times are enough for
 * what there was at first; others may add to it meanwhile. Any context.
 */
#define FRAMES_DRAIN_TIMES 9u
void frames_drain_batch(void *more);

/*
 * frame_alloc() works before frames_init(), as soon as the machine knows the handoff's direct map: for the page tables that map the page
 * array (mmu_kernel_map must work then). Such frames have no struct page to look into, and are never freed.
 */

/* Boot: build the page array and zones from the map, reserving what is in use. */
void frames_init(const struct boot_handoff *handoff);
/* Boot, later: give back BOOT_MEM_LOADER and ACPI_RECLAIM ranges, the initramfs, .init sections. */
void frames_release_boot(paddr_t base, uint64_t len_bytes);

/* All of them at once: what `handoff` lists as LOADER and INITRAMFS, and the image's .init sections. Its memory is gone after. */
void frames_release_boot_memory(const struct boot_handoff *handoff);

struct frame_stats {
    uint64_t total; /* frames managed */
    uint64_t free;
    uint64_t reserved; /* RAM never given to the allocator: image, page array */
    uint64_t by_kind[PAGE_NKINDS];
    uint64_t allocs, frees;
};
void frame_stats(struct frame_stats *ret_stats);
struct zone_stats {
    const char *name;
    pfn_t start, end;
    uint64_t managed, free, min, low, high;
    uint64_t protection[ZONE_COUNT]; /* what a request that begins at that zone leaves besides */
    uint64_t present;                /* frames of RAM, managed or not */
    uint64_t untouched;              /* of `free`: have no struct page yet */
    uint64_t free_by_order[FRAME_MAX_ORDER +
                           1]; /* what is untouched counts as blocks of the largest size */
    uint64_t free_by_type[MIGRATE_NTYPES][FRAME_MAX_ORDER + 1];
};
/* False: the node has no such zone. Any context. */
bool zone_stats(unsigned node, enum zone_id id, struct zone_stats *ret_stats);

/* How many page blocks (2 MiB) of the zone are for each type. False: there is no such zone. */
#define FRAME_PAGEBLOCK_ORDER 9u
bool zone_blocks(unsigned node, enum zone_id id, uint64_t ret_blocks[MIGRATE_NTYPES]);
/* Frames in the stacks of a CPU; when they are spilled, and by how many they are filled. */
struct frame_cpu_stats {
    unsigned count, high, batch;
};
void frame_cpu_stats(unsigned cpu, struct frame_cpu_stats *ret_stats);

/* A page below 640 KiB that is nobody's, for processors that start in real mode; 0: there is none. */
paddr_t boot_low_page(void);

/* The boot memory map, for /proc/iomem: index 0, 1 ...; false past the end. */
struct boot_mem;
bool boot_memory(unsigned index, struct boot_mem *ret_mem);

/*
 * What vm does when memory is short. Called without the allocator's locks.
 *   wake     no zone that may serve a request for 2^order frames is above its low watermark: wake the reclaim thread of `node`. Any context,
 *            interrupts may be off, the caller may hold any spin lock; called for each such refill, so it must be cheap when awake.
 *   dipped   a request of the current thread went below `min`, for it could not wait. As `wake`; the thread reclaims on its way to user mode.
 *   reclaim  a FRAME_RECLAIM request found nothing above `min` on the nodes `allowed`, of which `node` would be best. May sleep. Returns the frames it freed; the request is tried again while
 *            that is not 0, and fails then.
 */
struct frame_reclaim_ops {
    void (*wake)(unsigned node, unsigned order);
    void (*dipped)(unsigned node);
    size_t (*reclaim)(unsigned node, unsigned order, nodemask_t allowed);
};
/* Boot, once; each member may be NULL. */
void frames_set_reclaim(const struct frame_reclaim_ops *ops);
/* Memory of the node is short, or blocks of that size are: whoever reclaims may begin. Any context, without locks of the allocator. */
void frame_wake_reclaim(unsigned node, unsigned order);

/* vm.min_free_kbytes, vm.watermark_scale_factor (in 1/10000 of a zone), and what both come to. Any context. */
struct frame_watermarks {
    uint64_t min_free_kb;
    unsigned scale_factor;
    unsigned lowmem_ratio[ZONE_COUNT]; /* 0: none is kept */
};
void frames_get_watermarks(struct frame_watermarks *ret_watermarks);
/* -EINVAL: a figure out of the bounds that Linux has for it; nothing changed then. */
int frames_set_watermarks(const struct frame_watermarks *watermarks);
