/*
 * mlock and its kin (mlock(2)): memory that stays.
 *
 * The flags of a region say what is wanted: VM_LOCKED, and VM_LOCKONFAULT when pages are not to be brought at once. Reclaim asks the regions
 * before it takes a page away; PAGE_FLAG_MLOCKED spares it the question, and is what /proc/meminfo counts. It is set when pages are brought in
 * for a lock and goes with the first unlocking or unmapping in a space that locked something, so a page that two have locked may lack it.
 */
#include <linux/mman.h>

#include "kernel/base/errno.h"
#include "kernel/mm/lru.h"
#include "kernel/vm/private.h"
#include "kernel/vm/region_lock.h"
#include "kernel/vm/usage.h"

#define LOCK_FLAGS (VM_LOCKED | VM_LOCKONFAULT)

bool (*vm_lock_hook)(void);

bool vm_lock_is_unlimited(void)
{
    return vm_lock_hook != NULL && vm_lock_hook();
}

int vmspace_may_lock(struct vmspace *vm)
{
    return atomic_load_relaxed(&vm->limit_memlock) > 0 || vm_lock_is_unlimited() ? 0 : -EPERM;
}

bool vmspace_may_have_locked(struct vmspace *vm, uint64_t npages)
{
    return npages <= atomic_load_relaxed(&vm->limit_memlock) >> PAGE_SHIFT ||
           vm_lock_is_unlimited();
}

/* ---- pages ---- */

static bool mark_leaf(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    const bool *locked = arg;

    (void)va;
    for (uint64_t i = 0; (flags & (MMU_SOFT | MMU_SPECIAL)) == 0 && i < npages; i++) {
        lru_set_mlocked(phys_to_page(pa) + i, *locked);
    }
    return true;
}

/* vm->lock held. */
static void mark_pages(struct vmspace *vm, uint64_t start, uint64_t end, bool locked)
{
    if (locked) {
        atomic_store_relaxed(&vm->has_locked, true);
    }
    (void)vmspace_walk(vm, start, end, mark_leaf, &locked);
}

void vm_move_locks(const struct vm_region *region, struct page *const *old, struct page *now,
                   unsigned n)
{
    for (unsigned i = 0; (region->flags & VM_LOCKED) != 0 && i < n; i++) {
        if (old[i] != NULL) {
            lru_set_mlocked(old[i], false);
        }
        lru_set_mlocked(now + i, true);
    }
}

int vm_populate_locked(struct vmspace *vm, uint64_t start, uint64_t end, enum populate how)
{
    int err = vm_populate(vm, start, end, how);

    rwsem_lock_read(&vm->lock);
    for (struct vm_region *region = region_lookup(vm, start); region != NULL && region->start < end;
         region = vm_region_next(region)) {
        if ((region->flags & VM_LOCKED) != 0) {
            mark_pages(vm, MAX(region->start, start), MIN(region->end, end), true);
        }
    }
    rwsem_unlock_read(&vm->lock);
    return err;
}

/* ---- regions ---- */

/* What is no memory of its own cannot be locked, and need not be. */
static bool is_lockable(const struct vm_region *region)
{
    return (region->flags & VM_SPECIAL) == 0 &&
           (region->source == NULL || region->source->cache != NULL);
}

static void region_set_lock(struct vm_region *region, uint32_t flags)
{
    struct vmspace *vm = region->vm;
    bool was = (region->flags & VM_LOCKED) != 0;
    bool now = (flags & VM_LOCKED) != 0;

    region_lock(region);
    region->flags = (region->flags & ~LOCK_FLAGS) | flags;
    if (now && !was) {
        vm->locked_pages += region_pages(region);
    } else if (was && !now) {
        vm->locked_pages -= region_pages(region);
        mark_pages(vm, region->start, region->end, false);
    }
}

/* Up to the first hole, which is -ENOMEM. vm->lock held for writing. */
static int set_lock(struct vmspace *vm, uint64_t start, uint64_t end, uint32_t flags)
{
    int err = regions_split_at(vm, start, end);
    uint64_t at = start;

    if (err < 0) {
        return err;
    }
    struct vm_region *region = region_lookup(vm, start);
    while (region != NULL && region->start == at && at < end) {
        at = region->end;
        if (is_lockable(region)) {
            region_set_lock(region, flags);
        }
        region = vm_region_next(region_merge_down(region));
    }
    if (region != NULL) {
        (void)region_merge_down(region);
    }
    return at < end ? -ENOMEM : 0;
}

/* Pages of [start, end) that are locked already. vm->lock held. */
static uint64_t count_locked(struct vmspace *vm, uint64_t start, uint64_t end)
{
    uint64_t n = 0;

    for (struct vm_region *region = region_lookup(vm, start); region != NULL && region->start < end;
         region = vm_region_next(region)) {
        if ((region->flags & VM_LOCKED) != 0) {
            n += (MIN(region->end, end) - MAX(region->start, start)) >> PAGE_SHIFT;
        }
    }
    return n;
}

/* Would the range be too much, beside what is locked elsewhere? vm->lock held. */
static bool over_limit(struct vmspace *vm, uint64_t start, uint64_t len, uint64_t limit_pages)
{
    uint64_t total = vm->locked_pages + (len >> PAGE_SHIFT);

    if (total > limit_pages && start + len > start) {
        total -= count_locked(vm, start, start + len);
    }
    return total > limit_pages && !vm_lock_is_unlimited();
}

/* The page-aligned range of mlock(2)'s arguments; -EINVAL where it wraps around. */
static int lock_range(uint64_t addr, uint64_t len_bytes, uint64_t *ret_start, uint64_t *ret_len)
{
    *ret_start = ALIGN_DOWN(addr, PAGE_SIZE);
    *ret_len = ALIGN_UP(len_bytes + addr % PAGE_SIZE, PAGE_SIZE);
    return *ret_start + *ret_len < *ret_start ? -EINVAL : 0;
}

int vmspace_lock(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, bool on_fault)
{
    uint64_t start, len;
    int err = vmspace_may_lock(vm);

    if (err < 0) {
        return err;
    }
    int range_err = lock_range(addr, len_bytes, &start, &len);
    rwsem_lock_write(&vm->lock);
    if (over_limit(vm, start, len, atomic_load_relaxed(&vm->limit_memlock) >> PAGE_SHIFT)) {
        err = -ENOMEM;
    } else if (range_err < 0 || len == 0) {
        err = range_err;
    } else {
        err = set_lock(vm, start, start + len, VM_LOCKED | (on_fault ? VM_LOCKONFAULT : 0));
    }
    vm_unlock_write(vm);
    if (err < 0 || len == 0) {
        return err;
    }
    err = vm_populate_locked(vm, start, start + len, POPULATE_LOCKED);
    return err == -ENOMEM ? -EAGAIN : (err < 0 ? -ENOMEM : 0);
}

int vmspace_unlock(struct vmspace *vm, uint64_t addr, uint64_t len_bytes)
{
    uint64_t start, len;
    int err = lock_range(addr, len_bytes, &start, &len);

    if (err < 0 || len == 0) {
        return err;
    }
    rwsem_lock_write(&vm->lock);
    err = set_lock(vm, start, start + len, 0);
    vm_unlock_write(vm);
    return err;
}

static void lock_current(struct vmspace *vm, uint32_t flags)
{
    struct vm_region *region = vmspace_first(vm);

    while (region != NULL) {
        if (is_lockable(region)) {
            region_set_lock(region, flags);
        }
        region = vm_region_next(region_merge_down(region));
    }
}

int vmspace_lock_all(struct vmspace *vm, unsigned flags)
{
    uint32_t wanted = VM_LOCKED | ((flags & MCL_ONFAULT) != 0 ? VM_LOCKONFAULT : 0);
    int err = vmspace_may_lock(vm);

    if (err < 0) {
        return err;
    }
    uint64_t limit = atomic_load_relaxed(&vm->limit_memlock) >> PAGE_SHIFT;
    rwsem_lock_write(&vm->lock);
    if ((flags & MCL_CURRENT) != 0 && vm->total_pages > limit && !vm_lock_is_unlimited()) {
        err = -ENOMEM;
    } else {
        vm->future_lock = (flags & MCL_FUTURE) != 0 ? wanted : 0;
        if ((flags & MCL_CURRENT) != 0) {
            lock_current(vm, wanted);
        }
    }
    vm_unlock_write(vm);
    if (err == 0 && (flags & MCL_CURRENT) != 0) {
        (void)vm_populate_locked(vm, USER_MIN, USER_TOP, POPULATE_TRY); /* as far as it goes */
    }
    return err;
}

void vmspace_unlock_all(struct vmspace *vm)
{
    rwsem_lock_write(&vm->lock);
    vm->future_lock = 0;
    lock_current(vm, 0);
    vm_unlock_write(vm);
}
