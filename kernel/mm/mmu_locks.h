/*
 * The locks of one space's page tables. vm makes them and says when they are taken; the machine takes them in its walks over ranges.
 *
 * Entries are guarded block by block: HUGE_PAGE_SIZE bytes of addresses share a lock, which a hash picks from a small array, so that
 * faults of several CPUs in different blocks do not meet. A lock has a cache line of its own for the same reason.
 *
 * Tables are freed while others walk. What keeps a walker's tables in place depends on where it stands:
 *   inside   it holds something that keeps a region over the addresses mapped (vm->lock, or the region's own lock): tables that lie
 *            over a region are never taken out, see struct mmu_flush, floor and ceiling
 *   outside  it knows an address and a space, no more: it reads with `shape` held, which whoever takes tables out holds for writing
 * Order: shape -> a block's lock. Two blocks' locks are never held at once.
 */
#pragma once

#include <arch/page.h>

#include "kernel/base/types.h"
#include "kernel/sync/rwlock.h"

#define MMU_BLOCK_LOCKS 16u

struct mmu_locks {
    struct rwlock shape;
    struct {
        struct spinlock lock;
    } __cacheline blocks[MMU_BLOCK_LOCKS];
};

static inline void mmu_locks_init(struct mmu_locks *locks)
{
    rwlock_init(&locks->shape, "page table tree");
    for (unsigned i = 0; i < MMU_BLOCK_LOCKS; i++) {
        spin_init(&locks->blocks[i].lock, "page tables");
    }
}

/* The lock of the block that va lies in. */
static inline struct spinlock *mmu_block_lock(struct mmu_locks *locks, vaddr_t va)
{
    return &locks->blocks[(va / HUGE_PAGE_SIZE) % MMU_BLOCK_LOCKS].lock;
}
