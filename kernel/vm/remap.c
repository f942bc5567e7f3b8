/*
 * mremap(2): shrinking, growing in place, moving, and the two odd forms (a second view of shared memory, and moving the pages alone); and
 * remap_file_pages(2), which maps anew what is there.
 */
#include <linux/mman.h>

#include "kernel/machine/mmu.h"
#include "kernel/vm/private.h"
#include "kernel/vm/region_lock.h"

struct remap {
    uint64_t old_addr, old_len, new_addr, new_len; /* lengths in whole pages */
    unsigned flags;                                /* MREMAP_* */
};

/* The region to be grown or moved, or an errno, as mremap(2) has them. */
static int remap_check(struct vmspace *vm, const struct remap *remap, struct vm_region **ret_region)
{
    struct vm_region *region = region_lookup(vm, remap->old_addr);

    if (region == NULL || region->start > remap->old_addr) {
        return -EFAULT;
    }
    if (remap->old_len == 0 && (region->flags & VM_SHARED) == 0) {
        return -EINVAL; /* what has no name cannot be shown twice */
    }
    if ((remap->flags & MREMAP_DONTUNMAP) != 0 && (region->flags & VM_SPECIAL) != 0) {
        return -EINVAL;
    }
    if (remap->old_len > region->end - remap->old_addr) {
        return -EFAULT;
    }
    if (remap->new_len > remap->old_len) {
        if ((region->flags & VM_SPECIAL) != 0) {
            return -EFAULT;
        }
        int err = vm_may_grow(vm, (remap->new_len - remap->old_len) >> PAGE_SHIFT, region->flags);
        if (err < 0) {
            return err;
        }
    }
    *ret_region = region;
    return 0;
}

#define MOVE_TURN (HUGE_PAGE_SIZE / 4)

/*
 * How much goes over in one turn: a quarter of a table, since others wait for it; a larger leaf goes whole, if it stays one at the new place.
 * shape held for writing.
 */
static uint64_t move_turn(struct vmspace *vm, uint64_t from, uint64_t to)
{
    uint64_t size = MOVE_TURN;
    paddr_t pa;
    unsigned flags;

    if (mmu_query(&vm->mmu, from, &pa, &flags) && (flags & (MMU_HUGE | MMU_GIANT)) != 0) {
        uint64_t leaf = (flags & MMU_GIANT) != 0 ? GIANT_PAGE_SIZE : HUGE_PAGE_SIZE;
        size = from % leaf == to % leaf ? leaf : MOVE_TURN;
    }
    return size - from % size;
}

/*
 * Move entries, *ret_moved bytes of them. No CPU knows the old places any more when others may look again: who takes a page away at its new
 * one would not think of them.
 */
static int move_turns(struct vmspace *vm, uint64_t from, uint64_t to, uint64_t len,
                      uint64_t *ret_moved)
{
    uint64_t moved = 0;
    int err = 0;

    while (moved < len && err == 0) {
        struct mmu_flush flush;
        mmu_flush_init(&flush, &vm->mmu);
        write_lock(&vm->locks.shape);
        uint64_t turn = MIN(move_turn(vm, from + moved, to + moved), len - moved);
        err = mmu_move(&vm->mmu, from + moved, to + moved, turn, &flush);
        mmu_flush_finish(&flush);
        write_unlock(&vm->locks.shape);
        moved += err == 0 ? turn : 0;
    }
    *ret_moved = moved;
    return err;
}

/*
 * Page table entries go over as they are. On failure they are where they were. Who looks for what shows a file's pages, to take it away or to
 * make it read-only, has to find each in one of the two regions: it waits.
 */
static int move_entries(struct vmspace *vm, struct pagecache *cache, uint64_t from, uint64_t to,
                        uint64_t len)
{
    uint64_t moved;

    if (cache != NULL) {
        mutex_lock(&cache->rmap_lock);
    }
    int err = move_turns(vm, from, to, len, &moved);
    if (err < 0) {
        (void)move_turns(vm, to, from, moved, &moved);
    }
    if (cache != NULL) {
        mutex_unlock(&cache->rmap_lock);
    }
    return err;
}

static int64_t remap_move(struct vmspace *vm, struct vm_region *region, const struct remap *remap)
{
    region_lock(region);
    bool has_anon = region->has_anon;
    struct pagecache *cache = region->source != NULL ? region->source->cache : NULL;
    uint64_t moved = MIN(remap->old_len, remap->new_len);
    uint64_t pgoff = region->source != NULL ? region_index(region, remap->old_addr) : 0;
    int64_t vpn_delta = VPN_DELTA_ANY;
    if (has_anon) { /* pages keep the number at which they were made */
        vpn_delta =
            region->vpn_delta + (int64_t)(remap->old_addr - remap->new_addr) / (int64_t)PAGE_SIZE;
    }
    int err = vm_add_region(vm, remap->new_addr, remap->new_len, region->flags, region->source,
                            pgoff, region->name, vpn_delta, &region->policy);
    if (err < 0) {
        return err;
    }
    struct vm_region *fresh = region_lookup(vm, remap->new_addr);
    fresh->has_anon |= has_anon;
    fresh->touched = true;
    if (moved > 0) {
        err = move_entries(vm, cache, remap->old_addr, remap->new_addr, moved);
        if (err < 0) {
            (void)vm_unmap_locked(vm, remap->new_addr, remap->new_addr + remap->new_len);
            return err;
        }
    }
    if ((remap->flags & MREMAP_DONTUNMAP) == 0 && remap->old_len > 0) {
        err = vm_unmap_locked(vm, remap->old_addr, remap->old_addr + remap->old_len);
        if (err < 0) {
            return err; /* no memory to cut the old region: both stay, the old one empty */
        }
    }
    return (int64_t)remap->new_addr;
}

/* To an address of the caller's, or with MREMAP_DONTUNMAP to any. */
static int64_t remap_to(struct vmspace *vm, struct remap *remap)
{
    struct vm_region *region;
    bool fixed = (remap->flags & MREMAP_FIXED) != 0;
    int err = 0;

    if (fixed) {
        if (!IS_ALIGNED(remap->new_addr, PAGE_SIZE) || remap->new_len > USER_TOP ||
            remap->new_addr > USER_TOP - remap->new_len) {
            return -EINVAL;
        }
        if (remap->new_addr < USER_MIN) {
            return -EPERM;
        }
        if (remap->old_addr + remap->old_len > remap->new_addr &&
            remap->new_addr + remap->new_len > remap->old_addr) {
            return -EINVAL;
        }
        err = vm_unmap_locked(vm, remap->new_addr, remap->new_addr + remap->new_len);
    }
    if (err == 0 && remap->old_len > remap->new_len) {
        err =
            vm_unmap_locked(vm, remap->old_addr + remap->new_len, remap->old_addr + remap->old_len);
        remap->old_len = remap->new_len;
    }
    if (err == 0) {
        err = remap_check(vm, remap, &region);
    }
    if (err == 0 && (remap->flags & MREMAP_DONTUNMAP) != 0) {
        err = vm_may_grow(vm, remap->old_len >> PAGE_SHIFT, region->flags);
    }
    if (err < 0) {
        return err;
    }
    if (!fixed) {
        int64_t chosen = vm_choose_address(vm, remap->new_addr, remap->new_len, 0);
        if (chosen < 0) {
            return chosen;
        }
        remap->new_addr = (uint64_t)chosen;
    }
    return remap_move(vm, region, remap);
}

/* Into the hole behind the region, when the old range reaches to its end. */
static bool grow_in_place(struct vmspace *vm, struct vm_region *region, const struct remap *remap)
{
    uint64_t end = remap->old_addr + remap->new_len;
    struct vm_region *next = vm_region_next(region);

    if (remap->old_addr + remap->old_len != region->end || end > USER_TOP ||
        end < remap->old_addr) {
        return false;
    }
    if (next != NULL) {
        uint64_t guard = (next->flags & VM_GROWSDOWN) != 0 ? STACK_GUARD_BYTES : 0;
        if (next->start < guard || end > next->start - guard) {
            return false;
        }
    }
    vm_account(vm, (int64_t)((end - region->end) >> PAGE_SHIFT), region->flags);
    region_extend(region, end);
    (void)region_merge(region);
    return true;
}

static int64_t remap_locked(struct vmspace *vm, struct remap *remap)
{
    struct vm_region *region;

    if ((remap->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0) {
        return remap_to(vm, remap);
    }
    if (remap->old_len >= remap->new_len) {
        if (!regions_cover(vm, remap->old_addr, remap->old_addr + remap->old_len)) {
            return -EFAULT;
        }
        int err = remap->old_len == remap->new_len
                      ? 0
                      : vm_unmap_locked(vm, remap->old_addr + remap->new_len,
                                        remap->old_addr + remap->old_len);
        return err < 0 ? err : (int64_t)remap->old_addr;
    }
    int err = remap_check(vm, remap, &region);
    if (err < 0) {
        return err;
    }
    if (grow_in_place(vm, region, remap)) {
        return (int64_t)remap->old_addr;
    }
    if ((remap->flags & MREMAP_MAYMOVE) == 0) {
        return -ENOMEM;
    }
    int64_t chosen = vm_choose_address(vm, 0, remap->new_len, 0);
    if (chosen < 0) {
        return chosen;
    }
    remap->new_addr = (uint64_t)chosen;
    return remap_move(vm, region, remap);
}

int64_t vmspace_remap(struct vmspace *vm, uint64_t old_addr, uint64_t old_len, uint64_t new_len,
                      unsigned flags, uint64_t new_addr)
{
    struct remap remap = {
        .old_addr = old_addr,
        .old_len = ALIGN_UP(old_len, PAGE_SIZE),
        .new_addr = new_addr,
        .new_len = ALIGN_UP(new_len, PAGE_SIZE),
        .flags = flags,
    };
    const unsigned known = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;

    if ((flags & ~known) != 0 ||
        ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0 && (flags & MREMAP_MAYMOVE) == 0) ||
        ((flags & MREMAP_DONTUNMAP) != 0 && remap.old_len != remap.new_len) ||
        !IS_ALIGNED(old_addr, PAGE_SIZE) || remap.new_len == 0 || new_len > USER_TOP) {
        return -EINVAL;
    }
    if (old_len > USER_TOP || old_addr > USER_TOP - remap.old_len) {
        return -EINVAL;
    }
    rwsem_lock_write(&vm->lock);
    int64_t result = remap_locked(vm, &remap);
    struct vm_region *region = result >= 0 ? region_lookup(vm, (uint64_t)result) : NULL;
    bool locked = region != NULL && (region->flags & VM_LOCKED) != 0;
    vm_unlock_write(vm);
    if (locked) {
        (void)vm_populate_locked(vm, (uint64_t)result, (uint64_t)result + remap.new_len,
                                 POPULATE_TRY);
    }
    return result;
}

/* ---- remap_file_pages ---- */

/* The first of the regions that show [start, end) in one piece of shared memory, all with the same rights; NULL: they do not. */
static struct vm_region *shared_piece(struct vmspace *vm, uint64_t start, uint64_t end)
{
    struct vm_region *first = region_lookup(vm, start);
    struct vm_region *region = first;

    if (first == NULL || first->start > start || (first->flags & VM_SHARED) == 0) {
        return NULL;
    }
    while (region->end < end) {
        struct vm_region *next = vm_region_next(region);
        if (next == NULL || next->start != region->end || next->source != first->source ||
            next->flags != first->flags) {
            return NULL;
        }
        region = next;
    }
    return first;
}

int vmspace_remap_pages(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, uint64_t pgoff,
                        unsigned how)
{
    uint64_t start = ALIGN_DOWN(addr, PAGE_SIZE);
    uint64_t len = ALIGN_DOWN(len_bytes, PAGE_SIZE);
    struct vm_source *source = NULL;
    int64_t result = -EINVAL;
    uint32_t flags = 0;

    if (start + len <= start || pgoff + (len >> PAGE_SHIFT) < pgoff ||
        pgoff + (len >> PAGE_SHIFT) > UINT64_MAX >> PAGE_SHIFT) {
        return -EINVAL;
    }
    rwsem_lock_write(&vm->lock);
    struct vm_region *region = shared_piece(vm, start, start + len);
    if (region != NULL) {
        source = region->source;
        flags = region->flags;
        source->ops->get(source); /* its last region may be the one that is replaced */
        result = vm_map_locked(vm, start, len, flags, VMMAP_FIXED, source, pgoff, region->name);
    }
    vm_unlock_write(vm);
    if (source != NULL) {
        source->ops->put(source);
    }
    if (result >= 0 && ((how & VMMAP_POPULATE) != 0 || (flags & VM_LOCKED) != 0)) {
        (void)vm_populate_locked(vm, start, start + len, POPULATE_TRY);
    }
    return (int)MIN(result, 0);
}
