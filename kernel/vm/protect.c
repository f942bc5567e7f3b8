/*
 * mprotect and the flags that madvise and mlock set: cutting regions at the range's ends, changing what lies between, joining again what
 * has become alike.
 */
#include "kernel/machine/mmu.h"
#include "kernel/vm/private.h"
#include "kernel/vm/region_lock.h"

/* The whole range is mapped without a hole. */
bool regions_cover(struct vmspace *vm, uint64_t start, uint64_t end)
{
    struct vm_region *region = region_lookup(vm, start);

    while (region != NULL && region->start <= start) {
        if (region->end >= end) {
            return true;
        }
        start = region->end;
        region = vm_region_next(region);
    }
    return false;
}

int regions_change(struct vmspace *vm, uint64_t start, uint64_t end, uint32_t set, uint32_t clear,
                   region_changed_fn *changed)
{
    struct vm_region *region = region_lookup(vm, start);

    /* Often one region that becomes what it is already. */
    if (region != NULL && region->start <= start && region->end >= end &&
        ((region->flags & ~clear) | set) == region->flags) {
        return 0;
    }
    int err = regions_split_at(vm, start, end);
    if (err < 0) {
        return err;
    }
    region = region_lookup(vm, start);
    while (region != NULL && region->start < end) {
        uint32_t old = region->flags;
        uint32_t new = (old & ~clear) | set;
        if (new != old) {
            int64_t npages = (int64_t)region_pages(region);
            vm_account(vm, -npages, old);
            vm_account(vm, npages, new);
            region_lock(region);
            region->flags = new;
            if (changed != NULL) {
                changed(region, old);
            }
        }
        /* Downwards only: what lies above is yet to be changed. */
        region = vm_region_next(region_merge_down(region));
    }
    if (region != NULL) {
        (void)region_merge_down(region);
    }
    return 0;
}

static bool may_write(paddr_t pa)
{
    return page_is_exclusive(phys_to_page(pa));
}

/*
 * Page tables follow: rights are taken away at once, and given at once. Writing only where memory is the region's own and was written before;
 * elsewhere the next write fault gives it.
 */
static void rights_changed(struct vm_region *region, uint32_t old)
{
    struct vmspace *vm = region->vm;
    struct mmu_flush flush;
    unsigned now = region_mmu_flags(region, false);
    unsigned set = now & (MMU_READ | MMU_EXEC);
    unsigned clear = (MMU_READ | MMU_EXEC) & ~now;
    bool loses_write = (old & ~region->flags & VM_WRITE) != 0;

    if (loses_write) {
        clear |= MMU_WRITE;
    }
    if (unlikely(((old ^ region->flags) & VM_PKEY) != 0)) {
        set |= region->flags & VM_PKEY;
        clear |= MMU_KEY;
    }
    mmu_flush_init(&flush, &vm->mmu);
    (void)mmu_protect(&vm->mmu, region->start, region->end, set, clear, &flush);
    mmu_flush_finish(&flush);
    if ((region->flags & ~old & VM_WRITE) != 0 && (region->flags & VM_SHARED) == 0 &&
        region->has_anon) {
        mmu_give_write(&vm->mmu, region->start, region->end, may_write);
    }
}

/* mprotect(2): EACCES for what the mapping may never be, ENOMEM for holes and limits. */
static int protect_check(struct vmspace *vm, uint64_t start, uint64_t end, uint32_t rwx)
{
    uint64_t grows = 0, commits = 0;

    if (!regions_cover(vm, start, end)) {
        return -ENOMEM;
    }
    for (struct vm_region *region = region_lookup(vm, start); region != NULL && region->start < end;
         region = vm_region_next(region)) {
        if ((rwx & ~(region->flags >> 5) & (VM_READ | VM_WRITE | VM_EXEC)) != 0) {
            return -EACCES;
        }
        if ((rwx & VM_WRITE) != 0 && (region->flags & (VM_WRITE | VM_SHARED)) == 0) {
            uint64_t npages = (MIN(region->end, end) - MAX(region->start, start)) >> PAGE_SHIFT;
            grows += npages;
            commits += (region->flags & VM_NORESERVE) == 0 ? npages : 0;
        }
    }
    if (commits != 0 && !vm_may_commit(vm, commits)) {
        return -ENOMEM;
    }
    if (grows != 0 && vm->data_pages + grows > atomic_load_relaxed(&vm->limit_data) >> PAGE_SHIFT) {
        return -ENOMEM;
    }
    return 0;
}

_Static_assert(VM_MAYREAD >> 5 == VM_READ && VM_MAYWRITE >> 5 == VM_WRITE &&
                   VM_MAYEXEC >> 5 == VM_EXEC,
               "protect_check compares them by a shift");

/* PROT_GROWSDOWN: the change begins where the growing region at *addr, or the first above, does. */
static int lower_end(struct vmspace *vm, uint64_t *addr, uint64_t end)
{
    const struct vm_region *region = region_lookup(vm, *addr);

    if (region == NULL || region->start >= end) {
        return -ENOMEM;
    }
    if ((region->flags & VM_GROWSDOWN) == 0) {
        return -EINVAL;
    }
    *addr = region->start;
    return 0;
}

/* Memory that could be executed alone is going to have other rights: it gets the key of all other memory again. */
static int leave_exec_key(struct vmspace *vm, uint64_t start, uint64_t end)
{
    const uint32_t hidden = VM_EXEC | (uint32_t)vm->exec_key << VM_PKEY_SHIFT;
    int err = 0;

    while (start < end && err == 0) {
        const struct vm_region *region = region_lookup(vm, start);
        uint64_t next = MIN(region->end, end);
        if ((region->flags & (VM_RWX | VM_PKEY)) == hidden) {
            err = regions_change(vm, start, next, 0, VM_PKEY, rights_changed);
        }
        start = next;
    }
    return err;
}

/* New rights for a range without holes, and a key: -1 as mprotect(2) chooses it. */
static int change_rights(struct vmspace *vm, uint64_t start, uint64_t end, uint32_t rwx, int key)
{
    uint32_t set = rwx;
    uint32_t clear = VM_RWX & ~rwx;
    int err = 0;

    if (unlikely(key >= 0)) {
        set |= (uint32_t)key << VM_PKEY_SHIFT;
        clear |= VM_PKEY;
    } else if (unlikely(rwx == VM_EXEC)) {
        uint32_t hide = vm_exec_key(vm);
        set |= hide;
        clear |= hide != 0 ? VM_PKEY : 0;
    } else if (unlikely(vm->exec_key != 0)) {
        err = leave_exec_key(vm, start, end);
    }
    return err < 0 ? err : regions_change(vm, start, end, set, clear, rights_changed);
}

int vmspace_protect(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, uint32_t vm_rwx)
{
    return vmspace_protect_key(vm, addr, len_bytes, vm_rwx, -1);
}

int vmspace_protect_key(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, uint32_t vm_rwx,
                        int key)
{
    if (!IS_ALIGNED(addr, PAGE_SIZE)) {
        return -EINVAL;
    }
    if (len_bytes == 0) {
        return 0;
    }
    if (len_bytes > USER_TOP || addr > USER_TOP - len_bytes) {
        return -ENOMEM;
    }
    uint64_t end = addr + ALIGN_UP(len_bytes, PAGE_SIZE);
    rwsem_lock_write(&vm->lock);
    int err = unlikely(key != -1) && !vm_pkey_is_taken(vm, key) ? -EINVAL : 0;
    if (err == 0 && (vm_rwx & VM_GROWSDOWN) != 0) {
        err = lower_end(vm, &addr, end);
    }
    if (err == 0) {
        err = protect_check(vm, addr, end, vm_rwx);
    }
    if (err == 0) {
        err = change_rights(vm, addr, end, vm_rwx & VM_RWX, key);
    }
    vm_unlock_write(vm);
    return err;
}
