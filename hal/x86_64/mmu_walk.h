/*
 * The walk that the operations on ranges share (mmu_range.c, mmu_copy.c): over the level-2 entries in use, which skips holes by whole tables
 * and takes the lock of each block. What is done under one entry is a loop of the operation's own over a last-level table, which ends early
 * when it has seen as many entries as the table has (page->private). These loops are what fork, exit and munmap spend their time in, so
 * entries are taken in runs of those that have the same bits.
 *
 * A table that an unmap leaves empty is taken out after the block's lock is given back: nobody inside can be there (flush->floor, ceiling),
 * and who is outside is kept off by locks->shape. The entry that leads to a table is found before the lock is taken and read under it.
 *
 * The accessed and dirty bits of entries that these operations rewrite are already set by mmu_map where the rights allow it, so a plain store
 * does not lose an update by another CPU.
 */
#pragma once

#include "hal/x86_64/pte.h"
#include "kernel/base/errno.h"
#include "kernel/mm/mmu_locks.h"

/* What a slot function works on. */
struct range_op {
    struct mmu_space *space;
    struct mmu_flush *flush;
    void *arg;
    bool emptied; /* unmap: the block's table has no entries now */
    union {
        mmu_unmap_fn *unmap;
        struct {
            pte_t set, clear; /* protect: bits of a present entry */
            unsigned flags_set, flags_clear;
        };
        struct {
            struct mmu_space *dst;
            mmu_copy_fn *copy;
            bool cow;
        };
        uint64_t delta; /* move: to - from */
        size_t count;   /* clear_accessed */
        mmu_walk_fn *walk;
        mmu_may_write_fn *may_write;
    };
};

/*
 * The part [start, end) of the range under one level-2 entry, or under the 1 GiB leaf in its place. SLOT_AGAIN: there was a leaf, which is cut
 * now, the walk looks again; else not 0 stops it.
 */
#define SLOT_AGAIN 1
#define SLOT_BATCH 64u /* entries in use that are looked at in one turn */
typedef int slot_fn(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end);

/* The table that covers the block of va is empty: take it out, and those above it that become so. */
static inline void block_prune(struct range_op *op, vaddr_t va)
{
    struct mmu_flush *flush = op->flush;
    vaddr_t block = va & ~(HUGE_PAGE_SIZE - 1);

    if (flush->floor <= block && block + HUGE_PAGE_SIZE <= flush->ceiling) {
        write_lock(&op->space->locks->shape);
        tables_prune(op->space, va, flush);
        write_unlock(&op->space->locks->shape);
    }
}

/* Where a turn with the block's lock held ends: others wait for it, and this CPU cannot be preempted. */
static inline vaddr_t batch_end(pte_t pde, vaddr_t start, vaddr_t end)
{
    if (end - start > SLOT_BATCH * PAGE_SIZE && pde != 0 && !(pde & PTE_LARGE) &&
        pte_table_page(pte_table(pde))->private > SLOT_BATCH) {
        return start + SLOT_BATCH * PAGE_SIZE;
    }
    return end;
}

static __always_inline int slots_do(struct range_op *op, vaddr_t start, vaddr_t end, slot_fn *fn,
                                    bool locked)
{
    while (start < end) {
        vaddr_t next = (start & ~(HUGE_PAGE_SIZE - 1)) + HUGE_PAGE_SIZE;
        pte_t *pde = pde_find(op->space, start, &next);

        if (pde != NULL) {
            struct spinlock *lock = mmu_block_lock(op->space->locks, start);
            next = MIN(next, end);
            if (locked) {
                spin_lock(lock);
                next = batch_end(*pde, start, next);
            }
            int err = likely(*pde != 0) ? fn(op, pde, start, next) : 0;
            if (locked) {
                spin_unlock(lock);
            }
            if (unlikely(op->emptied)) {
                op->emptied = false;
                block_prune(op, start);
            }
            if (unlikely(err != 0)) {
                if (err == SLOT_AGAIN) {
                    continue;
                }
                return err;
            }
        }
        start = next;
    }
    return 0;
}

/* Each block with its lock held, a full one in several turns. */
static __always_inline int slots_walk(struct range_op *op, vaddr_t start, vaddr_t end, slot_fn *fn)
{
    return slots_do(op, start, end, fn, true);
}

static inline bool covers(pte_t large, vaddr_t start, vaddr_t end)
{
    return end - start == large_bytes(large);
}

/* The range covers a large leaf in part: cut it. SLOT_AGAIN, -ENOMEM. */
static inline int large_cut(struct range_op *op, pte_t *pde)
{
    int err = large_split(op->space, pde);

    return err == 0 ? SLOT_AGAIN : err;
}

/* Where a leaf of that size goes at va. NULL: no memory. */
static inline pte_t *large_place(struct mmu_space *space, vaddr_t va, pte_t large)
{
    return large & PTE_GIANT ? pdpte_create(space, va) : pde_create(space, va);
}

/* The first entry from pte on that is in use, or `last`: many are not, where memory was touched here and there. */
static __always_inline pte_t *entry_next(pte_t *pte, const pte_t *last)
{
    while (last - pte >= 4 && (pte[0] | pte[1] | pte[2] | pte[3]) == 0) {
        pte += 4;
    }
    while (pte < last && *pte == 0) {
        pte++;
    }
    return pte;
}
