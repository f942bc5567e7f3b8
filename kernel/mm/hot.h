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

struct frame_hot {
    uintptr_t foreign_start,
        foreign_bytes;          /* [I] part of the page array whose frames page_free_slow() sees */
    uint32_t node;              /* [I] */
    struct hot_stack stacks[2]; /* others, movable */
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

/* Frames from the node's zones, never below `min`; none when they are low. Interrupts off. */
void hot_refill(struct frame_hot *hot, struct hot_stack *stack);
/* Give the n frames that have lain longest back to their zones. Interrupts off. */
void hot_spill(struct hot_stack *stack, unsigned n);
