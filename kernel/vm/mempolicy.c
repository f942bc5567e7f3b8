/*
 * What policies mean: Documentation/admin-guide/mm/numa_memory_policy.rst of Linux.
 */
#include "kernel/vm/mempolicy.h"

#include "kernel/base/bitmap.h"
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/vm/private.h"

#define MPOL_USER_NODES (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES)

unsigned nodemask_nth(nodemask_t nodes, uint64_t i)
{
    for (i %= (unsigned)__builtin_popcountll(nodes); i > 0; i--) {
        nodes &= nodes - 1;
    }
    return bit_ffs(nodes);
}

/* Node numbers that count from 0 within `allowed`, going round. */
static nodemask_t nodes_relative(nodemask_t nodes, nodemask_t allowed)
{
    nodemask_t result = 0;

    for (; nodes != 0; nodes &= nodes - 1) {
        result |= BIT(nodemask_nth(allowed, bit_ffs(nodes)));
    }
    return result;
}

int mempolicy_check_mode(int mode_and_flags)
{
    unsigned flags = (unsigned)mode_and_flags & MPOL_MODE_FLAGS;
    unsigned mode = (unsigned)mode_and_flags & ~(unsigned)MPOL_MODE_FLAGS;
    bool wrong = mode >= MPOL_MAX || (flags & MPOL_USER_NODES) == MPOL_USER_NODES ||
                 ((flags & MPOL_F_NUMA_BALANCING) != 0 && mode != MPOL_BIND);

    return wrong ? -EINVAL : 0;
}

int mempolicy_make(int mode_and_flags, nodemask_t nodes, struct mempolicy *ret_policy)
{
    unsigned flags = (unsigned)mode_and_flags & MPOL_MODE_FLAGS;
    unsigned mode = (unsigned)mode_and_flags & ~(unsigned)MPOL_MODE_FLAGS;
    nodemask_t allowed = nodes_with_memory();

    if (mode == MPOL_PREFERRED && nodes == 0) {
        mode = MPOL_LOCAL;
    }
    if (mode == MPOL_DEFAULT || mode == MPOL_LOCAL) {
        if (nodes != 0 || (mode == MPOL_LOCAL && (flags & MPOL_USER_NODES) != 0)) {
            return -EINVAL;
        }
        *ret_policy = (struct mempolicy){.mode = (uint8_t)mode, .home = -1};
        return 0;
    }
    nodemask_t effective =
        (flags & MPOL_F_RELATIVE_NODES) != 0 ? nodes_relative(nodes, allowed) : nodes & allowed;
    if (effective == 0) {
        return -EINVAL;
    }
    if (mode == MPOL_PREFERRED) {
        effective &= -effective; /* the first alone */
    }
    *ret_policy = (struct mempolicy){
        .nodes = effective,
        .user_nodes = nodes,
        .flags = (uint16_t)flags,
        .mode = (uint8_t)mode,
        .home = -1,
    };
    return 0;
}

nodemask_t mempolicy_nodes(const struct mempolicy *policy)
{
    return (policy->flags & MPOL_USER_NODES) != 0 ? policy->user_nodes : policy->nodes;
}

unsigned mempolicy_interleave_next(const struct mempolicy *policy)
{
    return nodemask_nth(policy->nodes, current_thread()->interleave);
}

size_t mempolicy_format(const struct mempolicy *policy, char *text, size_t size)
{
    static const char *const modes[MPOL_MAX] = {"default",    "prefer", "bind",
                                                "interleave", "local",  "prefer (many)"};
    size_t n = (size_t)kscnprintf(text, size, "%s", modes[policy->mode]);

    if ((policy->flags & MPOL_USER_NODES) != 0) {
        n += (size_t)kscnprintf(text + n, size - n, "=%s",
                                (policy->flags & MPOL_F_STATIC_NODES) != 0 ? "static" : "relative");
    }
    char before = ':';
    for (nodemask_t nodes = policy->nodes; nodes != 0;) {
        unsigned first = bit_ffs(nodes), last = first;
        while (last + 1 < MAX_NODES && ((nodes >> (last + 1)) & 1) != 0) {
            last++;
        }
        n += (size_t)kscnprintf(text + n, size - n, last > first ? "%c%u-%u" : "%c%u", before,
                                first, last);
        nodes = last + 1 == MAX_NODES ? 0 : nodes >> (last + 1) << (last + 1);
        before = ',';
    }
    return n;
}

/* ---- placement ---- */

static struct page *interleave_alloc(nodemask_t nodes, uint64_t turn, unsigned order,
                                     unsigned flags, enum page_kind kind)
{
    unsigned node = nodemask_nth(nodes, turn);
    struct page *page = frame_alloc_node(order, flags, kind, (int)node, NODES_ALL);

    if (page != NULL && page_node(page) == node) {
        node_count_interleave(node);
    }
    return page;
}

struct page *mempolicy_frame_alloc(const struct mempolicy *policy, uint64_t turn, unsigned order,
                                   unsigned flags, enum page_kind kind)
{
    nodemask_t nodes = policy->nodes;
    struct page *page;

    switch (policy->mode) {
    case MPOL_BIND:
        return frame_alloc_node(order, flags, kind, policy->home, nodes);
    case MPOL_PREFERRED:
        return frame_alloc_node(order, flags, kind, (int)bit_ffs(nodes), NODES_ALL);
    case MPOL_PREFERRED_MANY:
        page = frame_alloc_node(order, (flags & ~FRAME_RECLAIM) | FRAME_TRY, kind, policy->home,
                                nodes);
        return page != NULL ? page : frame_alloc_node(order, flags, kind, policy->home, NODES_ALL);
    case MPOL_INTERLEAVE:
        return interleave_alloc(nodes, turn, order, flags, kind);
    default:
        return frame_alloc(order, flags, kind);
    }
}

struct page *mempolicy_region_alloc(const struct vm_region *region, uint64_t va, unsigned order,
                                    unsigned flags)
{
    bool own = (region->flags & VM_POLICY) != 0;
    uint64_t turn = region->source != NULL ? region_index(region, va) : va >> PAGE_SHIFT;

    return mempolicy_frame_alloc(own ? &region->policy : &current_thread()->mempolicy,
                                 turn >> order, order, flags, PAGE_ANON);
}

unsigned mempolicy_region_alloc_bulk(const struct vm_region *region, uint64_t va, unsigned n,
                                     unsigned flags, struct page **pages)
{
    unsigned got = 0;

    while (got < n &&
           (pages[got] = mempolicy_region_alloc(region, va + got * PAGE_SIZE, 0, flags)) != NULL) {
        got++;
    }
    return got;
}

struct page *mempolicy_cache_alloc(struct pagecache *cache, uint64_t index, unsigned flags,
                                   enum page_kind kind)
{
    struct thread *thread = current_thread();
    struct mempolicy policy;

    if (pagecache_policy_at(cache, index, &policy)) {
        return mempolicy_frame_alloc(&policy, index, 0, flags, kind);
    }
    uint64_t turn = thread->mempolicy.mode == MPOL_INTERLEAVE ? thread->interleave++ : 0;
    return mempolicy_frame_alloc(&thread->mempolicy, turn, 0, flags, kind);
}
