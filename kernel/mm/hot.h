/*
 * The stacks of free frames that each CPU keeps. Private to kernel/mm.
 */
#pragma once

#include "kernel/core/percpu.h"
#include "kernel/mm/zone.h"

#define GROW_BELOW (2 * FRAME_MAX_BLOCK) /* frames in a zone's lists, as long as more can come in */
#define HOT_MAX    127u                  /* frames a stack holds at most: 1 KiB */
#define HOT_BATCH  32u                   /* moved to or from the zones at once */

struct hot_stack {
    uint32_t count;
    struct page *pages[HOT_MAX];
};

_Static_assert(sizeof(struct hot_stack) == 1024, "indexed with a shift");

/* Blocks of 2, 4 and 8 frames: few, so that those who take and give one all the time do not cut and join larger ones each time. */
#define HOT_BLOCK_ORDERS 3u
#define HOT_BLOCKS       4u
struct hot_blocks {
    uint32_t count;
    struct page *pages[HOT_BLOCKS];
};

struct frame_hot {
    uintptr_t foreign_start,
        foreign_bytes;          /* [I] part of the page array whose frames page_free_slow() sees */
    uint32_t node;              /* [I] */
    struct hot_stack stacks[2]; /* others, movable */
    struct hot_blocks blocks[2][HOT_BLOCK_ORDERS]; /* the same two; orders 1 to 3 */
    int64_t by_kind[PAGE_NKINDS];
    uint64_t allocs, frees;
};

DECLARE_PER_CPU(struct frame_hot, frame_hot); /* interrupts off */

/* The stack for frames that were of `kind`; its offset is a bit of a constant. */
static inline struct hot_stack *hot_stack_for(struct frame_hot *hot, enum page_kind kind)
{
    const uint64_t offsets = PAGE_KINDS_MOVABLE * sizeof(struct hot_stack);

    return (struct hot_stack *)((uintptr_t)hot->stacks +
                                (offsets >> (kind & 63) & sizeof(struct hot_stack)));
}
/* Fill it with zeros. Returns `page`, so that who calls it last need not keep it: elsewhere, lest the compiler sees that. */
struct page *frame_cleared(struct page *page);

/* The CPU's blocks of that order, 1 to HOT_BLOCK_ORDERS, for pages of that kind. */
static inline struct hot_blocks *hot_blocks_for(struct frame_hot *hot, unsigned order,
                                                enum page_kind kind)
{
    return &hot->blocks[page_kind_movable(kind)][order - 1];
}

/* One of the blocks of 2^order frames that this CPU keeps, order from 1 to HOT_BLOCK_ORDERS, counted as `kind`; NULL. */
struct page *hot_block_take(unsigned order, enum page_kind kind);
/* Keep a block, which was of `kind`, for the next who wants one here. False: not its place, or no room. Interrupts off. */
bool hot_block_give(struct frame_hot *hot, struct page *page, unsigned order, enum page_kind kind);

/* Frames from the node's zones, never below `min`; none when they are low. Interrupts off. */
void hot_refill(struct frame_hot *hot, struct hot_stack *stack);
/* Give the n frames that have lain longest back to their zones. Interrupts off. */
void hot_spill(struct hot_stack *stack, unsigned n);
