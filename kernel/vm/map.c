/*
 * mmap, munmap and brk: making, growing and removing regions.
 */
#include <linux/mman.h>

#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/core/random.h"
#include "kernel/vm/huge_fault.h"
#include "kernel/vm/private.h"
#include "kernel/vm/region_lock.h"
#include "kernel/vm/rmap.h"

#define MAP_32BIT_FLOOR 0x40000000ull
#define MAP_32BIT_LIMIT 0x80000000ull

/* ---- where ---- */

/*
 * With 5 levels of page tables addresses above USER_WINDOW are given only to who shows by the hint that it can use them (Documentation
 * of Linux, x86/x86_64/5level-paging): then all of them may be chosen.
 */
int64_t vm_choose_address(struct vmspace *vm, uint64_t hint, uint64_t len, unsigned how)
{
    uint64_t addr = 0;
    uint64_t raise = 0;

    if ((how & VMMAP_32BIT) != 0) {
        addr = regions_find_gap(vm, len, MAP_32BIT_FLOOR, MAP_32BIT_LIMIT);
        return addr != 0 ? (int64_t)addr : -ENOMEM;
    }
    hint = ALIGN_DOWN(hint, PAGE_SIZE);
    if (unlikely(hint > USER_WINDOW)) {
        raise = USER_TOP - USER_WINDOW;
    }
    uint64_t base = vm->mmap_base + raise;
    uint64_t top = USER_WINDOW + raise;
    if (len > top) {
        return -ENOMEM;
    }
    if (hint >= USER_MIN && hint <= top - len) {
        /* Taken as it is when nothing is in the way: the search within its own bounds is exact. */
        addr = regions_find_gap(vm, len, hint, hint + len);
    }
    if (addr == 0 && (how & VMMAP_ALIGN_HUGE) != 0) {
        addr = regions_find_gap(vm, len + HUGE_PAGE_SIZE - PAGE_SIZE, USER_MIN, base);
        addr = ALIGN_UP(addr, HUGE_PAGE_SIZE);
    }
    if (addr == 0) {
        addr = regions_find_gap(vm, len, USER_MIN, base);
    }
    if (addr == 0) {
        addr = regions_find_gap(vm, len, base, top);
    }
    return addr != 0 ? (int64_t)addr : -ENOMEM;
}

/* A fixed address is good, and free where it must be. */
static int check_fixed(struct vmspace *vm, uint64_t addr, uint64_t len, unsigned how)
{
    if (!IS_ALIGNED(addr, PAGE_SIZE)) {
        return -EINVAL;
    }
    if (len > USER_TOP || addr > USER_TOP - len) {
        return -ENOMEM;
    }
    if (addr < USER_MIN) {
        return -EPERM;
    }
    if ((how & VMMAP_NOREPLACE) != 0) {
        struct vm_region *region = region_lookup(vm, addr);
        if (region != NULL && region->start < addr + len) {
            return -EEXIST;
        }
    }
    return 0;
}

/* ---- making regions ---- */

/* Do the region's pages, if any, count from where new ones would? */
static bool delta_fits(const struct vm_region *region, int64_t vpn_delta)
{
    return vpn_delta == VPN_DELTA_ANY || region->vpn_delta == vpn_delta;
}

/* The region above the hole [addr, addr + len): mostly the one that was used last, since addresses are given out from the top. */
static inline struct vm_region *region_above(struct vmspace *vm, uint64_t addr, uint64_t len)
{
    struct vm_region *cached = atomic_load_relaxed(&vm->cached);

    if (cached != NULL && cached->start == addr + len && atomic_load_relaxed(&cached->tree) == vm) {
        return cached;
    }
    return region_lookup(vm, addr);
}

/* Let a neighbour grow over [addr, addr + len) instead of making a region for it. Anonymous memory only. */
static struct vm_region *extend_neighbour(struct vmspace *vm, uint64_t addr, uint64_t len,
                                          uint32_t flags, const char *name, int64_t vpn_delta)
{
    struct vm_region *prev;

    if ((flags & (VM_SPECIAL | VM_GROWSDOWN | VM_POLICY)) != 0) {
        return NULL;
    }
    struct vm_region *next = region_above(vm, addr, len);
    if (next != NULL) {
        prev = vm_region_prev(next);
    } else {
        struct rb_node *last = rb_last(&vm->regions);
        prev = last == NULL ? NULL : rb_entry(last, struct vm_region, node);
    }
    if (prev != NULL && prev->end == addr && prev->source == NULL && prev->flags == flags &&
        prev->name == name && delta_fits(prev, vpn_delta)) {
        region_resize(prev, prev->start, addr + len);
        return region_merge(prev);
    }
    if (next != NULL && next->start == addr + len && next->source == NULL && next->flags == flags &&
        next->name == name && delta_fits(next, vpn_delta)) {
        region_resize(next, addr, next->end);
        atomic_store_relaxed(&vm->cached, next);
        return next;
    }
    return NULL;
}

int vm_add_region(struct vmspace *vm, uint64_t addr, uint64_t len, uint32_t flags,
                  struct vm_source *source, uint64_t pgoff, const char *name, int64_t vpn_delta,
                  const struct mempolicy *policy)
{
    if (source == NULL && extend_neighbour(vm, addr, len, flags, name, vpn_delta) != NULL) {
        vm_account(vm, (int64_t)(len >> PAGE_SHIFT), flags);
        return 0;
    }
    if (vm->nregions >= atomic_load_relaxed(&vm_max_map_count)) {
        return -ENOMEM;
    }
    struct vm_region *region = region_alloc();
    if (region == NULL) {
        return -ENOMEM;
    }
    region->start = addr;
    region->end = addr + len;
    region->flags = flags;
    region->has_anon = false;
    region->touched = false;
    region->vpn_delta = vpn_delta == VPN_DELTA_ANY ? 0 : vpn_delta;
    region->source = source;
    region->pgoff = pgoff;
    region->name = name;
    region->vm = vm;
    if ((flags & VM_POLICY) != 0) {
        region->policy = *policy;
    }
    if (source != NULL) {
        int err = region_rmap_add(region);
        if (err < 0) {
            region_free(region);
            return err;
        }
    }
    region_insert(vm, region);
    rmap_region_moved(region);
    vm_account(vm, (int64_t)(len >> PAGE_SHIFT), flags);
    if (source != NULL) {
        source->ops->get(source);
    }
    if (source != NULL || (flags & VM_POLICY) != 0) {
        (void)region_merge(region);
    }
    return 0;
}

/* How many pages of [start, end) are in regions. */
static uint64_t pages_in(struct vmspace *vm, uint64_t start, uint64_t end)
{
    uint64_t n = 0;

    for (struct vm_region *region = region_lookup(vm, start); region != NULL && region->start < end;
         region = vm_region_next(region)) {
        n += (MIN(region->end, end) - MAX(region->start, start)) >> PAGE_SHIFT;
    }
    return n;
}

int64_t vm_map_locked(struct vmspace *vm, uint64_t addr, uint64_t len, uint32_t flags, unsigned how,
                      struct vm_source *source, uint64_t pgoff, const char *name)
{
    int err;

    if ((how & (VMMAP_FIXED | VMMAP_NOREPLACE)) != 0) {
        err = check_fixed(vm, addr, len, how);
    } else {
        /* What a huge page may show whole begins where one would. */
        bool align = source == NULL && len % HUGE_PAGE_SIZE == 0;
        int64_t chosen = vm_choose_address(vm, addr, len, how | (align ? VMMAP_ALIGN_HUGE : 0));
        addr = (uint64_t)chosen;
        err = chosen < 0 ? (int)chosen : 0;
    }
    if (err < 0) {
        return err;
    }
    err = vm_may_grow(vm, len >> PAGE_SHIFT, flags);
    if (unlikely(err < 0) && (how & VMMAP_FIXED) != 0) { /* but what it replaces goes */
        err = vm_may_grow(vm, (len >> PAGE_SHIFT) - pages_in(vm, addr, addr + len), flags);
    }
    if (err == 0 && (how & VMMAP_FIXED) != 0) {
        err = vm_unmap_locked(vm, addr, addr + len);
    }
    if (err == 0) {
        err = vm_add_region(vm, addr, len, flags, source, pgoff, name, VPN_DELTA_ANY, NULL);
    }
    return err < 0 ? err : (int64_t)addr;
}

int64_t vmspace_map(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, uint32_t flags,
                    unsigned how, struct vm_source *source, uint64_t pgoff, const char *name)
{
    if (len_bytes == 0) {
        return -EINVAL;
    }
    if (len_bytes > USER_TOP) {
        return -ENOMEM;
    }
    uint64_t len = ALIGN_UP(len_bytes, PAGE_SIZE);
    if (pgoff + (len >> PAGE_SHIFT) < pgoff ||
        pgoff + (len >> PAGE_SHIFT) > UINT64_MAX >> PAGE_SHIFT) {
        return -EOVERFLOW;
    }
    rwsem_lock_write(&vm->lock);
    if (unlikely((flags & VM_RWX) == VM_EXEC)) {
        flags |= vm_exec_key(vm);
    }
    if (source == NULL || source->cache != NULL) {
        flags |= vm->future_lock;
    } else {
        flags &= ~VM_LOCKED;
    }
    int64_t result = vm_map_locked(vm, addr, len, flags, how, source, pgoff, name);
    vm_unlock_write(vm);
    if (unlikely((how & VMMAP_POPULATE) != 0 || (flags & VM_LOCKED) != 0) && result >= 0) {
        (void)vm_populate_locked(vm, (uint64_t)result, (uint64_t)result + len, POPULATE_TRY);
    }
    return result;
}

/* ---- removing regions ---- */

/* Out of the tree; its pages are the caller's matter. What it shows of a file is let go by vm_unlock_write(). */
static void drop_region(struct vmspace *vm, struct vm_region *region)
{
    vm_account(vm, -(int64_t)region_pages(region), region->flags);
    region_remove(vm, region);
    rmap_region_gone(region);
    if (region->source == NULL) {
        region_free(region);
        return;
    }
    region_rmap_remove(region);
    region->next_dead = vm->dead;
    vm->dead = region;
}

void vm_bury(struct vm_region *dead)
{
    while (dead != NULL) {
        struct vm_region *region = dead;
        dead = region->next_dead;
        region->source->ops->put(region->source);
        region_free(region);
    }
}

/* What an unmap takes out, and the regions that are left on both sides. */
struct unmap {
    uint64_t start, end;
    struct vm_region *below, *above;
    bool touched; /* there may be something in the page tables */
};

/* Exactly one region's whole, its head or its tail: the common cases, which need no new region. */
static bool unmap_is_simple(const struct vm_region *region, const struct unmap *unmap)
{
    bool head = unmap->start == region->start;
    bool tail = unmap->end == region->end;

    if (region->source != NULL) {
        return head && tail; /* truncation walks the file's regions: these are cut under its lock */
    }
    return (head && unmap->end <= region->end) || (tail && unmap->start >= region->start);
}

static int unmap_simple(struct vmspace *vm, struct vm_region *region, struct unmap *unmap)
{
    uint64_t start = unmap->start;
    uint64_t end = unmap->end;

    region_lock(region);
    unmap->touched = region->touched;
    unmap->below = start > region->start ? region : vm_region_prev(region);
    unmap->above = end < region->end ? region : vm_region_next(region);
    if (start == region->start && end == region->end) {
        drop_region(vm, region);
        return 0;
    }
    int err = huge_split_at(region, start == region->start ? end : start);
    if (err < 0) {
        return err;
    }
    vm_account(vm, -(int64_t)((end - start) >> PAGE_SHIFT), region->flags);
    if (start == region->start) {
        region_resize(region, end, region->end);
    } else {
        region_resize(region, region->start, start);
    }
    return 0;
}

/* Any number of regions, cut where the limits cross them. */
static int unmap_many(struct vmspace *vm, struct unmap *unmap)
{
    int err = regions_split_at(vm, unmap->start, unmap->end);

    if (err < 0) {
        return err;
    }
    struct vm_region *region = region_lookup(vm, unmap->start);
    unmap->below = vm_region_prev(region);
    while (region != NULL && region->start < unmap->end) {
        struct vm_region *next = vm_region_next(region);
        region_lock(region);
        unmap->touched |= region->touched;
        drop_region(vm, region);
        region = next;
    }
    unmap->above = region;
    return 0;
}

/*
 * Pages and tables of what was taken out. A table that it shares with a neighbour stays, and is the neighbour's matter from now on, even
 * if that one was never touched.
 */
static void unmap_pages(struct vmspace *vm, const struct unmap *unmap)
{
    uint64_t floor = unmap->below == NULL ? 0 : unmap->below->end;
    uint64_t ceiling = unmap->above == NULL ? UINT64_MAX : unmap->above->start;

    if (!unmap->touched) {
        return;
    }
    if (unmap->below != NULL && floor > ALIGN_DOWN(unmap->start, HUGE_PAGE_SIZE)) {
        unmap->below->touched = true;
    }
    if (unmap->above != NULL && ceiling < ALIGN_UP(unmap->end, HUGE_PAGE_SIZE)) {
        unmap->above->touched = true;
    }
    vm_zap_removed(vm, unmap->start, unmap->end, floor, ceiling);
}

int vm_unmap_locked(struct vmspace *vm, uint64_t start, uint64_t end)
{
    struct vm_region *region = vmspace_find(vm, start);
    struct unmap unmap = {.start = start, .end = end};

    if (region == NULL || region->start >= end) {
        return 0;
    }
    int err = likely(unmap_is_simple(region, &unmap)) ? unmap_simple(vm, region, &unmap)
                                                      : unmap_many(vm, &unmap);
    if (err == 0) {
        unmap_pages(vm, &unmap);
    }
    return err;
}

int vmspace_unmap(struct vmspace *vm, uint64_t addr, uint64_t len_bytes)
{
    if (!IS_ALIGNED(addr, PAGE_SIZE) || len_bytes == 0 || len_bytes > USER_TOP ||
        addr > USER_TOP - len_bytes) {
        return -EINVAL;
    }
    rwsem_lock_write(&vm->lock);
    int err = vm_unmap_locked(vm, addr, addr + ALIGN_UP(len_bytes, PAGE_SIZE));
    vm_unlock_write(vm);
    return err;
}

/* Does the region show the pages of its source that a mapping of it all at addr would show there? */
static bool region_counts_from(const struct vm_region *region, uint64_t addr)
{
    return region->start >= addr && (region->start - addr) >> PAGE_SHIFT == region->pgoff;
}

int vmspace_unmap_source(struct vmspace *vm, uint64_t addr, const struct vm_source_ops *ops)
{
    struct vm_source *source = NULL;
    uint64_t end = UINT64_MAX;
    int err = 0;

    rwsem_lock_write(&vm->lock);
    struct vm_region *region = region_lookup(vm, addr);
    while (region != NULL && region->start < end && err == 0) {
        struct vm_region *next = vm_region_next(region);
        if (source == NULL && region->source != NULL && region->source->ops == ops &&
            region_counts_from(region, addr)) {
            source = region->source;
            end = addr + ALIGN_UP(source->cache->size_bytes, PAGE_SIZE);
        }
        if (source != NULL && region->source == source && region_counts_from(region, addr)) {
            err = vm_unmap_locked(vm, region->start, region->end);
        }
        region = next;
    }
    vm_unlock_write(vm);
    return source == NULL ? -EINVAL : err;
}

/* ---- the heap ---- */

#define HEAP_FLAGS (VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_HEAP)

static bool brk_grow(struct vmspace *vm, uint64_t old_end, uint64_t new_end)
{
    struct vm_region *above = region_lookup(vm, old_end);
    uint64_t clearance =
        above != NULL && (above->flags & VM_GROWSDOWN) != 0 ? STACK_GUARD_BYTES : 0;

    if (above != NULL && above->start < new_end + clearance) {
        return false;
    }
    uint32_t flags = HEAP_FLAGS | vm->future_lock;
    if (vm_may_grow(vm, (new_end - old_end) >> PAGE_SHIFT, flags) < 0) {
        return false;
    }
    return vm_add_region(vm, old_end, new_end - old_end, flags, NULL, 0, "[heap]", VPN_DELTA_ANY,
                         NULL) == 0;
}

uint64_t vmspace_brk(struct vmspace *vm, uint64_t brk)
{
    rwsem_lock_write(&vm->lock);
    uint64_t old_end = ALIGN_UP(vm->brk_end, PAGE_SIZE);
    uint64_t data = vm->data_end - vm->data_start; /* RLIMIT_DATA counts the program's data too */
    bool ok = brk >= vm->brk_start && brk < USER_TOP &&
              brk - vm->brk_start + data <= atomic_load_relaxed(&vm->limit_data);

    if (ok) {
        uint64_t new_end = ALIGN_UP(brk, PAGE_SIZE);
        if (new_end > old_end) {
            ok = brk_grow(vm, old_end, new_end);
        } else if (new_end < old_end) {
            ok = vm_unmap_locked(vm, new_end, old_end) == 0;
        }
    }
    if (ok) {
        vm->brk_end = brk;
    }
    uint64_t result = vm->brk_end;
    bool locked = vm->future_lock != 0;
    vm_unlock_write(vm);
    if (unlikely(locked) && result > old_end) {
        (void)vm_populate_locked(vm, old_end, ALIGN_UP(result, PAGE_SIZE), POPULATE_TRY);
    }
    return result;
}
