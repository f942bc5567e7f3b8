/*
 * What a program may say about its memory without changing what is mapped where: madvise, msync; and mincore, which tells what
 * is there.
 */
#include <linux/mman.h>

#include "kernel/machine/cpu.h"
#include "kernel/machine/user.h"
#include "kernel/vm/huge_fault.h"
#include "kernel/vm/private.h"

/* Advice that sets and clears flags of regions. */
struct advice_flags {
    int advice;
    uint32_t set, clear;
};
static const struct advice_flags flag_advice[] = {
    {MADV_NORMAL, 0, VM_SEQ_READ | VM_RAND_READ},
    {MADV_RANDOM, VM_RAND_READ, VM_SEQ_READ},
    {MADV_SEQUENTIAL, VM_SEQ_READ, VM_RAND_READ},
    {MADV_DONTFORK, VM_DONTFORK, 0},
    {MADV_DOFORK, 0, VM_DONTFORK},
    {MADV_WIPEONFORK, VM_WIPEONFORK, 0},
    {MADV_KEEPONFORK, 0, VM_WIPEONFORK},
    {MADV_DONTDUMP, VM_DONTDUMP, 0},
    {MADV_DODUMP, 0, VM_DONTDUMP},
    {MADV_HUGEPAGE, VM_HUGE, VM_NOHUGE},
    {MADV_NOHUGEPAGE, VM_NOHUGE, VM_HUGE},
};

static bool is_private_anonymous(const struct vm_region *region)
{
    return region->source == NULL && (region->flags & VM_SHARED) == 0;
}

/* May this region be advised so? 0 or -EINVAL, as madvise(2) says. */
static int advice_check(const struct vm_region *region, int advice)
{
    bool device = region->source != NULL && region->source->cache == NULL;

    switch (advice) {
    case MADV_DONTNEED:
    case MADV_COLD:
    case MADV_PAGEOUT:
        return device || (region->flags & VM_LOCKED) != 0 ? -EINVAL : 0;
    case MADV_DONTNEED_LOCKED:
        return device ? -EINVAL : 0;
    case MADV_FREE:
        return is_private_anonymous(region) && (region->flags & VM_LOCKED) == 0 ? 0 : -EINVAL;
    case MADV_WIPEONFORK:
        return is_private_anonymous(region) ? 0 : -EINVAL;
    case MADV_DOFORK:
    case MADV_DODUMP:
    case MADV_KEEPONFORK:
        return device ? -EINVAL : 0;
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
        return device ? -EINVAL : 0;
    default:
        return 0;
    }
}

static bool advice_is_known(int advice)
{
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_FREE:
    case MADV_WILLNEED:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
    case MADV_COLLAPSE:
    case MADV_REMOVE:
        return true;
    default:
        for (unsigned i = 0; i < ARRAY_SIZE(flag_advice); i++) {
            if (flag_advice[i].advice == advice) {
                return true;
            }
        }
        return false;
    }
}

/* Every mapped part of [start, end) takes the advice; -ENOMEM at the end if some part was not mapped. vm->lock held for writing. */
static int advise_flags(struct vmspace *vm, uint64_t start, uint64_t end, int advice)
{
    const struct advice_flags *flags = flag_advice;

    while (flags->advice != advice) {
        flags++;
    }
    if (advice == MADV_HUGEPAGE) {
        huge_watch(vm);
    }
    return regions_change(vm, start, end, flags->set, flags->clear, NULL);
}

static int advise_locked(struct vmspace *vm, uint64_t start, uint64_t end, int advice)
{
    bool whole = regions_cover(vm, start, end);
    int err = 0;

    for (struct vm_region *region = region_lookup(vm, start); region != NULL && region->start < end;
         region = vm_region_next(region)) {
        uint64_t from = MAX(region->start, start);
        uint64_t to = MIN(region->end, end);
        err = advice_check(region, advice);
        if (err < 0) {
            return err;
        }
        if (advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED) {
            err = huge_split_at(region, from);
            if (err == 0) {
                err = huge_split_at(region, to);
            }
            if (err < 0) {
                return err;
            }
            vm_zap(vm, from, to);
        }
    }
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
    case MADV_WILLNEED: /* hints to read ahead and to merge equal pages: true to say they were heard */
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
        break;
    default:
        err = advise_flags(vm, start, end, advice);
        break;
    }
    return err < 0 || whole ? err : -ENOMEM;
}

/* MADV_COLD, MADV_PAGEOUT, MADV_FREE. */
static int advise_pages(struct vmspace *vm, uint64_t start, uint64_t end, int advice)
{
    int err = 0;

    rwsem_lock_read(&vm->lock);
    bool whole = regions_cover(vm, start, end);
    for (struct vm_region *region = region_lookup(vm, start);
         err == 0 && region != NULL && region->start < end; region = vm_region_next(region)) {
        uint64_t from = MAX(region->start, start);
        uint64_t to = MIN(region->end, end);
        err = advice_check(region, advice);
        if (err == 0 && advice == MADV_FREE) {
            vm_lazy_range(region, from, to);
        } else if (err == 0) {
            vm_age_range(region, from, to, advice == MADV_PAGEOUT);
        }
    }
    rwsem_unlock_read(&vm->lock);
    return err < 0 || whole ? err : -ENOMEM;
}

/* MADV_POPULATE_*: EINVAL where rights forbid the access, ENOMEM for holes, EFAULT past the end of a file. */
static int advise_populate(struct vmspace *vm, uint64_t start, uint64_t end, bool write)
{
    uint32_t need = write ? VM_WRITE : VM_READ;
    int err = 0;

    rwsem_lock_read(&vm->lock);
    if (!regions_cover(vm, start, end)) {
        err = -ENOMEM;
    }
    for (struct vm_region *region = region_lookup(vm, start);
         err == 0 && region != NULL && region->start < end; region = vm_region_next(region)) {
        if ((region->flags & need) == 0 || !cpu_pkey_allows(vm_region_pkey(region), write) ||
            (region->source != NULL && region->source->cache == NULL)) {
            err = -EINVAL;
        }
    }
    rwsem_unlock_read(&vm->lock);
    if (err == 0) {
        err = vm_populate(vm, start, end, write ? POPULATE_WRITE : POPULATE_READ);
    }
    return err == -EIO ? -EFAULT : err;
}

/* ---- MADV_REMOVE ---- */

/*
 * The part of [*start, end) in the first region there that MADV_REMOVE may empty: its source, referenced, and which of its bytes; *start
 * moves past it. -ENOMEM: nothing is mapped any more, *ret_hole tells of holes passed over. vm->lock held.
 */
static int next_to_remove(struct vmspace *vm, uint64_t *start, uint64_t end,
                          struct vm_source **ret_source, uint64_t *ret_from, uint64_t *ret_to,
                          bool *ret_hole)
{
    struct vm_region *region = region_lookup(vm, *start);

    if (region == NULL || region->start >= end) {
        *ret_hole = true;
        return -ENOMEM;
    }
    if (region->start > *start) {
        *ret_hole = true;
        *start = region->start;
    }
    if ((region->flags & VM_LOCKED) != 0 || region->source == NULL ||
        region->source->cache == NULL) {
        return -EINVAL;
    }
    if ((region->flags & (VM_SHARED | VM_MAYWRITE)) != (VM_SHARED | VM_MAYWRITE)) {
        return -EACCES;
    }
    *ret_source = region->source;
    region->source->ops->get(region->source);
    *ret_from = region_index(region, *start) << PAGE_SHIFT;
    *ret_to = *ret_from + (MIN(region->end, end) - *start);
    *start = MIN(region->end, end);
    return 0;
}

/* Files take their own locks, under which others wait for vm->lock: so it is let go for each of them. */
static int advise_remove(struct vmspace *vm, uint64_t start, uint64_t end)
{
    bool hole = false;
    int err = 0;

    while (err == 0 && start < end) {
        struct vm_source *source;
        uint64_t from, to;
        rwsem_lock_read(&vm->lock);
        err = next_to_remove(vm, &start, end, &source, &from, &to, &hole);
        rwsem_unlock_read(&vm->lock);
        if (err == 0) {
            err = source->ops->punch == NULL ? -EOPNOTSUPP : source->ops->punch(source, from, to);
            source->ops->put(source);
        }
    }
    return err == 0 && hole ? -ENOMEM : err;
}

int vmspace_advise(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, int advice)
{
    if (!advice_is_known(advice)) {
        return -EINVAL;
    }
    uint64_t len = ALIGN_UP(len_bytes, PAGE_SIZE);
    if (!IS_ALIGNED(addr, PAGE_SIZE) || len < len_bytes || addr + len < addr) {
        return -EINVAL;
    }
    if (len == 0) {
        return 0;
    }
    if (addr + len > USER_TOP) {
        return -ENOMEM;
    }
    if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE) {
        return advise_populate(vm, addr, addr + len, advice == MADV_POPULATE_WRITE);
    }
    if (advice == MADV_REMOVE) {
        return advise_remove(vm, addr, addr + len);
    }
    if (advice == MADV_COLLAPSE) {
        return vm_collapse_range(vm, addr, addr + len);
    }
    if (advice == MADV_COLD || advice == MADV_PAGEOUT || advice == MADV_FREE) {
        return advise_pages(vm, addr, addr + len, advice);
    }
    rwsem_lock_write(&vm->lock);
    int err = advise_locked(vm, addr, addr + len, advice);
    vm_unlock_write(vm);
    if (advice == MADV_WILLNEED && (err == 0 || err == -ENOMEM)) {
        vm_read_ahead(vm, addr, addr + len);
    }
    return err;
}

/* ---- mincore ---- */

#define MINCORE_CHUNK 256u

/* What others have read lately shows in the page cache: who may not write the file is told that all is there. */
static bool may_inspect(const struct vm_region *region)
{
    struct vm_source *source = region->source;

    return source == NULL || source->ops->may_inspect == NULL || source->ops->may_inspect(source);
}

static bool page_resident(struct vmspace *vm, const struct vm_region *region, uint64_t va)
{
    paddr_t pa;
    unsigned flags;

    if (mmu_query(&vm->mmu, va, &pa, &flags)) {
        return true;
    }
    if (region->source == NULL || region->source->cache == NULL) {
        return false;
    }
    struct pagecache *cache = region->source->cache;
    spin_lock(&cache->lock);
    const void *entry = xarray_load(&cache->pages, region_index(region, va));
    bool present = entry != NULL && !cache_entry_is_swap(entry);
    spin_unlock(&cache->lock);
    return present;
}

/* Fill vec[] for n pages from va on; -ENOMEM at a hole. */
static int mincore_chunk(struct vmspace *vm, uint64_t va, unsigned n, uint8_t *vec)
{
    struct vm_region *region = NULL;
    bool open = false;
    int err = 0;

    rwsem_lock_read(&vm->lock);
    for (unsigned i = 0; i < n && err == 0; i++, va += PAGE_SIZE) {
        if (region == NULL || va >= region->end) {
            region = vmspace_find(vm, va);
            open = region != NULL && may_inspect(region);
        }
        if (region == NULL || region->start > va) {
            err = -ENOMEM;
        } else {
            vec[i] = !open || page_resident(vm, region, va);
        }
    }
    rwsem_unlock_read(&vm->lock);
    return err;
}

int vmspace_mincore(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, uint8_t __user *vec)
{
    uint8_t chunk[MINCORE_CHUNK];

    if (!IS_ALIGNED(addr, PAGE_SIZE)) {
        return -EINVAL;
    }
    if (len_bytes > USER_TOP || addr > USER_TOP - len_bytes) {
        return -ENOMEM;
    }
    uint64_t npages = DIV_ROUND_UP(len_bytes, PAGE_SIZE);
    if (!user_range_ok(vec, npages)) {
        return -EFAULT;
    }
    while (npages > 0) {
        unsigned n = (unsigned)MIN(npages, (uint64_t)MINCORE_CHUNK);
        int err = mincore_chunk(vm, addr, n, chunk);
        if (err == 0) {
            err = copy_to_user(vec, chunk, n);
        }
        if (err < 0) {
            return err;
        }
        addr += n * PAGE_SIZE;
        vec += n;
        npages -= n;
    }
    return 0;
}

/* ---- msync ---- */

int vmspace_sync(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, int flags)
{
    int err = 0;

    if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) != 0 || !IS_ALIGNED(addr, PAGE_SIZE) ||
        (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC)) {
        return -EINVAL;
    }
    if (len_bytes == 0) {
        return 0;
    }
    if (len_bytes > USER_TOP || addr > USER_TOP - len_bytes) {
        return -ENOMEM;
    }
    uint64_t end = addr + ALIGN_UP(len_bytes, PAGE_SIZE);
    rwsem_lock_read(&vm->lock);
    for (struct vm_region *region = region_lookup(vm, addr);
         err == 0 && region != NULL && region->start < end; region = vm_region_next(region)) {
        if ((flags & MS_INVALIDATE) != 0 && (region->flags & VM_LOCKED) != 0) {
            err = -EBUSY;
        }
    }
    bool covered = regions_cover(vm, addr, end);
    rwsem_unlock_read(&vm->lock);
    if (err == 0 && (flags & MS_SYNC) != 0) {
        err = vm_sync_media(vm, addr, end); /* what is mapped, around holes too */
    }
    return err == 0 && !covered ? -ENOMEM : err;
}
