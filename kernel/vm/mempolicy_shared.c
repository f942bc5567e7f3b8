/*
 * Policies of shared memory: they belong to the memory, so that they hold for whoever makes a page of it (numa_memory_policy.rst, "Shared
 * Policy").
 *
 * A cache has an array of ranges, sorted, without overlaps, replaced as a whole when one is set. Few are ever set.
 */
#include "kernel/base/errno.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vm/mempolicy.h"
#include "kernel/vm/pagecache.h"

struct policy_range {
    uint64_t first, last; /* pages */
    struct mempolicy policy;
};

struct policy_ranges {
    size_t n;
    struct policy_range range[];
};

static void add(struct policy_ranges *ranges, uint64_t first, uint64_t last,
                const struct mempolicy *policy)
{
    struct policy_range *prev = ranges->n > 0 ? &ranges->range[ranges->n - 1] : NULL;

    if (policy->mode == MPOL_DEFAULT) {
        return;
    }
    if (prev != NULL && prev->last + 1 == first && mempolicy_equal(&prev->policy, policy)) {
        prev->last = last;
        return;
    }
    ranges->range[ranges->n++] = (struct policy_range){first, last, *policy};
}

/* What is left of `old` (may be NULL) beside [first, last], and the new one in its place among them. */
static void overlay(struct policy_ranges *ranges, const struct policy_ranges *old, uint64_t first,
                    uint64_t last, const struct mempolicy *policy)
{
    size_t n = old == NULL ? 0 : old->n;
    bool placed = false;

    for (size_t i = 0; i < n; i++) {
        const struct policy_range *at = &old->range[i];
        if (at->first < first) {
            add(ranges, at->first, MIN(at->last, first - 1), &at->policy);
        }
        if (!placed && at->last >= first) {
            add(ranges, first, last, policy);
            placed = true;
        }
        if (at->last > last) {
            add(ranges, MAX(at->first, last + 1), at->last, &at->policy);
        }
    }
    if (!placed) {
        add(ranges, first, last, policy);
    }
}

int pagecache_set_policy(struct pagecache *cache, uint64_t first, uint64_t last,
                         const struct mempolicy *policy)
{
    struct policy_ranges *ranges = NULL, *old;

    mutex_lock(&cache->rmap_lock); /* one at a time */
    old = cache->policies;
    size_t most = (old == NULL ? 0 : old->n) + 2; /* the new one, and another cut in two */
    if (old != NULL || policy->mode != MPOL_DEFAULT) {
        ranges = kzalloc(sizeof(*ranges) + most * sizeof(ranges->range[0]));
        if (ranges == NULL) {
            mutex_unlock(&cache->rmap_lock);
            return -ENOMEM;
        }
        overlay(ranges, old, first, last, policy);
        if (ranges->n == 0) {
            kfree(ranges);
            ranges = NULL;
        }
    }
    spin_lock(&cache->lock);
    atomic_store_relaxed(&cache->policies, ranges);
    spin_unlock(&cache->lock);
    mutex_unlock(&cache->rmap_lock);
    kfree(old);
    return 0;
}

bool pagecache_policy_at(struct pagecache *cache, uint64_t index, struct mempolicy *ret_policy)
{
    bool found = false;

    if (likely(atomic_load_relaxed(&cache->policies) == NULL)) {
        return false;
    }
    spin_lock(&cache->lock);
    size_t low = 0, high = cache->policies == NULL ? 0 : cache->policies->n;
    while (low < high && !found) {
        size_t middle = (low + high) / 2;
        const struct policy_range *at = &cache->policies->range[middle];
        if (index > at->last) {
            low = middle + 1;
        } else if (index < at->first) {
            high = middle;
        } else {
            *ret_policy = at->policy;
            found = true;
        }
    }
    spin_unlock(&cache->lock);
    return found;
}
