/*
 * Policies of ranges of an address space: mbind(2) and its kin.
 */
#include "kernel/base/bitmap.h"
#include "kernel/vm/mempolicy.h"
#include "kernel/vm/migrate.h"
#include "kernel/vm/private.h"
#include "kernel/vm/region_lock.h"
#include "kernel/vm/usage.h"

/* ---- setting ---- */

static bool region_is_shmem(const struct vm_region *region)
{
    return region->source != NULL && region->source->cache != NULL &&
           pagecache_kind(region->source->cache) == PAGE_SHARED;
}

/* What the range shows of shared memory takes the policy too. vm->lock held for writing. */
static int shared_set_policy(struct vmspace *vm, uint64_t start, uint64_t end,
                             const struct mempolicy *policy)
{
    int err = 0;

    for (struct vm_region *region = region_lookup(vm, start);
         err == 0 && region != NULL && region->start < end; region = vm_region_next(region)) {
        if (region_is_shmem(region)) {
            uint64_t first = region_index(region, MAX(start, region->start));
            uint64_t last = region_index(region, MIN(end, region->end) - 1);
            err = pagecache_set_policy(region->source->cache, first, last, policy);
        }
    }
    return err;
}

/* vm->lock held for writing. */
static int regions_set_policy(struct vmspace *vm, uint64_t start, uint64_t end,
                              const struct mempolicy *policy)
{
    int err = shared_set_policy(vm, start, end, policy);

    if (err == 0) {
        err = regions_split_at(vm, start, end);
    }
    if (err < 0) {
        return err;
    }
    struct vm_region *region = region_lookup(vm, start);
    while (region != NULL && region->start < end) {
        region_lock(region);
        region->policy = *policy;
        region->flags =
            policy->mode == MPOL_DEFAULT ? region->flags & ~VM_POLICY : region->flags | VM_POLICY;
        region = vm_region_next(region_merge_down(region));
    }
    if (region != NULL) {
        (void)region_merge_down(region);
    }
    return 0;
}

/* ---- what is there already ---- */

struct misplaced {
    nodemask_t nodes;
    uint64_t at; /* the first page elsewhere */
};

static bool misplaced_leaf(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    struct misplaced *misplaced = arg;

    (void)npages;
    if ((flags & (MMU_SPECIAL | MMU_SOFT)) != 0 ||
        ((misplaced->nodes >> page_node(phys_to_page(pa))) & 1) != 0) {
        return true;
    }
    misplaced->at = va;
    return false;
}

/* The first page of the range that is elsewhere; false: none. vm->lock held. */
static bool misplaced_find(struct vmspace *vm, uint64_t start, uint64_t end,
                           struct misplaced *misplaced)
{
    return start < end && vmspace_walk(vm, start, end, misplaced_leaf, misplaced) == -EAGAIN;
}

static nodemask_t nodes_wanted(const struct mempolicy *policy)
{
    return policy->nodes != 0 ? policy->nodes : BIT(this_node());
}

/* Pages that are elsewhere are moved to the nodes. False: some could not be. vm->lock held for reading. */
static bool range_move(struct vmspace *vm, uint64_t start, uint64_t end,
                       const struct mempolicy *policy, bool shared)
{
    struct misplaced misplaced = {.nodes = nodes_wanted(policy)};
    bool stayed = false;

    while (misplaced_find(vm, start, end, &misplaced)) {
        int err = vm_move_page(vm, misplaced.at, policy, misplaced.at >> PAGE_SHIFT, shared);
        stayed |= err < 0 && err != -EACCES && err != -ENOENT;
        start = misplaced.at + PAGE_SIZE;
    }
    return !stayed;
}

/* May the call be made for what is mapped there? Holes are for going back to the default alone. vm->lock held. */
static int bind_check(struct vmspace *vm, uint64_t start, uint64_t end,
                      const struct mempolicy *policy, unsigned flags)
{
    struct misplaced misplaced = {.nodes = nodes_wanted(policy)};
    const struct vm_region *first = region_lookup(vm, start);

    if (policy->mode == MPOL_DEFAULT ? first == NULL || first->start >= end
                                     : !regions_cover(vm, start, end)) {
        return -EFAULT;
    }
    if (flags == MPOL_MF_STRICT && misplaced_find(vm, start, end, &misplaced)) {
        return -EIO;
    }
    return 0;
}

int vmspace_bind(struct vmspace *vm, uint64_t start, uint64_t end, const struct mempolicy *policy,
                 unsigned flags)
{
    rwsem_lock_write(&vm->lock);
    int err = bind_check(vm, start, end, policy, flags);
    if (err == 0) {
        err = regions_set_policy(vm, start, end, policy);
    }
    vm_unlock_write(vm);
    if (err == 0 && (flags & (MPOL_MF_MOVE | MPOL_MF_MOVE_ALL)) != 0) {
        rwsem_lock_read(&vm->lock);
        if (!range_move(vm, start, end, policy, (flags & MPOL_MF_MOVE_ALL) != 0) &&
            (flags & MPOL_MF_STRICT) != 0) {
            err = -EIO;
        }
        rwsem_unlock_read(&vm->lock);
    }
    return err;
}

int vmspace_set_home_node(struct vmspace *vm, uint64_t start, uint64_t end, unsigned node)
{
    int err = -ENOENT;

    rwsem_lock_write(&vm->lock);
    while (start < end) {
        const struct vm_region *region = region_lookup(vm, start);
        if (region == NULL || region->start >= end) {
            break;
        }
        uint64_t piece = MAX(region->start, start), piece_end = MIN(region->end, end);
        start = piece_end;
        if ((region->flags & VM_POLICY) == 0) {
            continue;
        }
        struct mempolicy policy = region->policy;
        err = -EOPNOTSUPP;
        if (policy.mode == MPOL_BIND || policy.mode == MPOL_PREFERRED_MANY) {
            policy.home = (int8_t)node;
            err = regions_set_policy(vm, piece, piece_end, &policy);
        }
        if (err < 0) {
            break;
        }
    }
    vm_unlock_write(vm);
    return err;
}

/* ---- asking ---- */

void vm_region_policy(const struct vm_region *region, uint64_t addr, struct mempolicy *ret_policy)
{
    if (region_is_shmem(region) &&
        pagecache_policy_at(region->source->cache, region_index(region, addr), ret_policy)) {
        return;
    }
    *ret_policy =
        (region->flags & VM_POLICY) != 0 ? region->policy : (struct mempolicy){.home = NODE_LOCAL};
}

int vmspace_policy_at(struct vmspace *vm, uint64_t addr, struct mempolicy *ret_policy)
{
    int err = -EFAULT;

    rwsem_lock_read(&vm->lock);
    const struct vm_region *region = region_lookup(vm, addr);
    if (region != NULL && region->start <= addr) {
        vm_region_policy(region, addr, ret_policy);
        err = 0;
    }
    rwsem_unlock_read(&vm->lock);
    return err;
}
