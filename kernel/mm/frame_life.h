/*
 * What happens to a frame when somebody gets it, and when it is free again. Private to kernel/mm.
 */
#pragma once

#include "kernel/mm/frame_debug.h"
#include "kernel/mm/poison.h"
#include "kernel/mm/zone.h"

static __always_inline void page_start_life(struct page *page, unsigned order, enum page_kind kind)
{
    memory_unpoison(page_to_virt(page), PAGE_SIZE << order);
    frame_debug_alloc(page, order);
    page->counts = 1;
    page_set_meta(page, page_meta(order > 0 ? PAGE_FLAG_HEAD : 0, kind, order));
}

static inline void page_end_life(struct page *page, unsigned order)
{
    frame_debug_free(page, order);
    memory_poison_as(page_to_virt(page), PAGE_SIZE << order, POISON_FRAME);
    page_set_meta(page, page_meta(0, PAGE_FREE, FRAME_ORDER_HOT));
}

/* To the zones: blocks, and frames of other nodes. Their life has ended. frame.c. */
void frame_block_free(struct page *page, unsigned order, enum page_kind kind);
