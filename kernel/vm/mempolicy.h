/*
 * Memory policies: from which NUMA nodes the pages of a thread, of a range of addresses or of a range of shared memory come
 * (set_mempolicy(2), mbind(2)).
 *
 * A policy is a value (struct mempolicy of kernel/mm/node.h); mode MPOL_DEFAULT is "none". A thread has one always, a region when VM_POLICY
 * is among its flags, shared memory for each page that mbind was called for, by whomever. A region's goes before a thread's, and for pages of
 * shared memory its own goes before both. Pages of files come by the thread's.
 *
 * Locking: a thread's policy is its own; a region's changes under vm->lock held for writing with the region locked (region_lock.h); those of
 * shared memory under cache->lock.
 */
#pragma once

#include <linux/mempolicy.h>

#include "kernel/mm/frame.h"
#include "kernel/sched/thread.h"
#include "kernel/vm/vmspace.h"

struct policy_ranges;

/* ---- values (mempolicy.c) ---- */

/* Is it a mode that there is, with flags (MPOL_F_STATIC_NODES and the like) that go together? 0 or -EINVAL. */
int mempolicy_check_mode(int mode);
/* A policy of a mode that has been checked. -EINVAL as in set_mempolicy(2). */
int mempolicy_make(int mode, nodemask_t nodes, struct mempolicy *ret_policy);
/* The nodes that get_mempolicy(2) tells. */
nodemask_t mempolicy_nodes(const struct mempolicy *policy);
/* The node at which the current thread would go on to interleave what has no address. */
unsigned mempolicy_interleave_next(const struct mempolicy *policy);
/* The i-th node of a mask that is not empty, going round. */
unsigned nodemask_nth(nodemask_t nodes, uint64_t i);
/* "bind:0-1", as numa_maps shows it. Returns the length; the text is cut at `size`. */
size_t mempolicy_format(const struct mempolicy *policy, char *text, size_t size);

static inline bool mempolicy_equal(const struct mempolicy *a, const struct mempolicy *b)
{
    return a->nodes == b->nodes && a->user_nodes == b->user_nodes && a->flags == b->flags &&
           a->mode == b->mode && a->home == b->home;
}

/* ---- placement (mempolicy.c) ---- */

/* 2^order frames as a policy wants them; `turn` picks the node of MPOL_INTERLEAVE. As frame_alloc(). */
struct page *mempolicy_frame_alloc(const struct mempolicy *policy, uint64_t turn, unsigned order,
                                   unsigned flags, enum page_kind kind) __must_check;
/* What is behind the functions below when a policy is in force. */
struct page *mempolicy_region_alloc(const struct vm_region *region, uint64_t va, unsigned order,
                                    unsigned flags) __must_check;
unsigned mempolicy_region_alloc_bulk(const struct vm_region *region, uint64_t va, unsigned n,
                                     unsigned flags, struct page **pages);
struct page *mempolicy_cache_alloc(struct pagecache *cache, uint64_t index, unsigned flags,
                                   enum page_kind kind) __must_check;

static __always_inline bool region_has_policy(const struct vm_region *region)
{
    return unlikely(((region->flags & VM_POLICY) | current_thread()->mempolicy.mode) != 0);
}

/* An anonymous page, or a block, for `va` of a region. */
static __always_inline __must_check struct page *
vm_frame_alloc(const struct vm_region *region, uint64_t va, unsigned order, unsigned flags)
{
    if (region_has_policy(region)) {
        return mempolicy_region_alloc(region, va, order, flags);
    }
    return frame_alloc(order, flags, PAGE_ANON);
}
/* n of them, from va on: returns how many there were. */
static __always_inline unsigned vm_frame_alloc_bulk(const struct vm_region *region, uint64_t va,
                                                    unsigned n, unsigned flags, struct page **pages)
{
    if (region_has_policy(region)) {
        return mempolicy_region_alloc_bulk(region, va, n, flags, pages);
    }
    return frame_alloc_bulk(n, flags, PAGE_ANON, pages);
}

/* ---- ranges (mempolicy_range.c); addresses are aligned, all may sleep ---- */

/* mbind(2); `flags` are MPOL_MF_*. -EFAULT, -EIO, -ENOMEM. */
int vmspace_bind(struct vmspace *vm, uint64_t start, uint64_t end, const struct mempolicy *policy,
                 unsigned flags);
/* set_mempolicy_home_node(2): -ENOENT, -EOPNOTSUPP, -ENOMEM. */
int vmspace_set_home_node(struct vmspace *vm, uint64_t start, uint64_t end, unsigned node);
/* The policy of the region at addr; -EFAULT. */
int vmspace_policy_at(struct vmspace *vm, uint64_t addr, struct mempolicy *ret_policy);
/* The same of a region. vm->lock is held. */
void vm_region_policy(const struct vm_region *region, uint64_t addr, struct mempolicy *ret_policy);

/* ---- shared memory (mempolicy_shared.c) ---- */

/* Pages [first, last] of shared memory have this policy from now on. May sleep. -ENOMEM. */
int pagecache_set_policy(struct pagecache *cache, uint64_t first, uint64_t last,
                         const struct mempolicy *policy);
/* The policy of a page; false: none. Takes cache->lock. */
bool pagecache_policy_at(struct pagecache *cache, uint64_t index, struct mempolicy *ret_policy);
