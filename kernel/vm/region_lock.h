/*
 * The lock of one region, for faults: who holds it keeps the region as it is without vm->lock, so mmap, munmap and mprotect of other
 * regions make no fault wait. Private to kernel/vm.
 *
 * A fault finds the region by a walk that takes no lock at all. The tree may turn under it, and the region may be removed, freed and made
 * again, even in another space: in an RCU read section its memory stays a region (SLAB_TYPE_STABLE_RCU), so such a walk reads nonsense at
 * worst, and it ends after a few steps. Then the fault counts itself in (region->users) and looks: in this space's tree, around the
 * address, not being changed? What is true now stays true until it leaves, and the section is over. Otherwise it goes the old way,
 * with vm->lock held for reading. vm->cached names only what is in the tree: who sets it holds the region, or vm->lock.
 *
 * Who changes a region, or puts one into the tree, holds vm->lock for writing and announces it: region->lock_seq = vm->lock_seq, then it
 * waits until no user is left. Giving vm->lock back adds one to vm->lock_seq, which releases all regions at once. Both sides write first
 * and look then, with full barriers between, so at least one sees the other (Dekker 1965). The tree and the limits are looked at last:
 * whoever changed them either waits for the user now, or had announced it before the user looked at lock_seq.
 *
 * Order: vm->lock -> a region -> pagecache rmap_lock and all else. Holding a region never take vm->lock.
 * Source: the idea of a sequence for all locks of one hold is that of Linux' per-VMA locks (S. Baghdasaryan, LWN 906852).
 */
#pragma once

#include "kernel/sync/rcu.h"
#include "kernel/vm/private.h"

#define REGION_WALK_STEPS 64u         /* more than any tree of regions is high */
#define REGION_WAITED     0x80000000u /* in region->users: a change waits for the last of them */

/* For slab_cache_create(): what a region keeps when it is freed. */
void region_ctor(void *object);
/* dst, which is in no tree, becomes like src but for that. */
void region_copy(struct vm_region *dst, const struct vm_region *src);

/* Announce a change and wait until no fault is in the region. May sleep. */
void region_lock_wait(struct vm_region *region);
static inline void region_announce(struct vm_region *region)
{
    (void)__atomic_exchange_n(&region->lock_seq, region->vm->lock_seq, __ATOMIC_SEQ_CST);
    if (unlikely(__atomic_load_n(&region->users, __ATOMIC_SEQ_CST) != 0)) {
        region_lock_wait(region);
    }
}

/* No fault is in the region from now on, until vm->lock is given back, which is held for writing. May sleep. */
static inline void region_lock(struct vm_region *region)
{
    if (region->lock_seq != region->vm->lock_seq) {
        region_announce(region);
    }
}

void region_wake(struct vm_region *region);
static inline void region_leave(struct vm_region *region)
{
    if (unlikely(__atomic_fetch_sub(&region->users, 1, __ATOMIC_SEQ_CST) == (REGION_WAITED | 1))) {
        region_wake(region); /* by its address: it may be gone */
    }
}

struct vm_region *region_find_unlocked(struct vmspace *vm, uint64_t addr);
static inline bool region_is_around(const struct vm_region *region, uint64_t addr)
{
    return addr - atomic_load_relaxed(&region->start) <
           atomic_load_relaxed(&region->end) - atomic_load_relaxed(&region->start);
}

/* The region around addr, held; NULL: there is none, or it is being changed, or the walk lost its way. Any thread of the space. */
static inline struct vm_region *region_enter(struct vmspace *vm, uint64_t addr)
{
    rcu_read_lock();
    struct vm_region *region = atomic_load_relaxed(&vm->cached);
    bool is_cached = likely(region != NULL && region_is_around(region, addr));

    if (unlikely(!is_cached)) {
        region = region_find_unlocked(vm, addr);
        if (unlikely(region == NULL)) {
            goto out;
        }
    }
    (void)__atomic_fetch_add(&region->users, 1, __ATOMIC_SEQ_CST);
    /* Acquire: what the last holder of vm->lock changed is there before its lock_seq is. */
    uint64_t seq = atomic_load_acquire(&vm->lock_seq);
    if (unlikely(atomic_load_acquire(&region->lock_seq) == seq ||
                 atomic_load_relaxed(&region->tree) != vm || !region_is_around(region, addr))) {
        region_leave(region);
        region = NULL;
    } else if (unlikely(!is_cached)) {
        atomic_store_relaxed(&vm->cached, region);
    }
out:
    rcu_read_unlock();
    return region;
}
