/*
 * Page frames: a buddy allocator per zone with per-CPU hot lists in front.
 *
 * Interface: frame_alloc() gives a block of 2^order frames with refs = 1; page_put() or frame_free() gives it back.
 * Locking: per-CPU lists with interrupts off; zone->lock (spin, irqsave) behind them. Nothing here waits.
 * Source: Knowlton 1965; Knuth, TAOCP volume 1, 2.5.
 */
#pragma once

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
#define FRAME_RESERVE 0x08u /* may use the emergency reserve: for code that frees memory */

/* 2^order frames, or NULL. The first page has `kind`, refs 1, mapcount 0, flags 0. Any context. */
struct page *frame_alloc(unsigned order, unsigned flags, enum page_kind kind) __must_check;
/* Give a block back; refs must be 1. Any context. */
void frame_free(struct page *page);
/* Many single frames at once: fills pages[], returns how many it got. */
unsigned frame_alloc_bulk(unsigned n, unsigned flags, enum page_kind kind, struct page **pages);
/* Give this CPU's hot frames back to the zones, where they merge. Any context. */
void frames_drain_local(void);

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
    uint64_t managed, free, low_watermark;
    uint64_t free_by_order[FRAME_MAX_ORDER + 1];
};
bool zone_stats(enum zone_id id, struct zone_stats *ret_stats);

/* The boot memory map, for /proc/iomem: index 0, 1 ...; false past the end. */
struct boot_mem;
bool boot_memory(unsigned index, struct boot_mem *ret_mem);

/* Called when an allocation is about to fail; set by vm: reclaim without sleeping; returns pages freed. */
extern size_t (*frame_reclaim_hook)(size_t npages);
