/*
 * Reverse mapping. The header says how it works.
 */
#include "kernel/vm/rmap.h"

#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vm/file_regions.h"

/* ---- families ---- */

static struct spinlock pool_lock = SPINLOCK_INIT("family pool");
static struct vm_family *pool; /* [pool_lock] families without members, by next_free */

static struct vm_family *family_get(void)
{
    spin_lock(&pool_lock);
    struct vm_family *family = pool;
    if (family != NULL) {
        pool = family->next_free;
    }
    spin_unlock(&pool_lock);
    if (family == NULL) {
        family = kzalloc(sizeof(*family));
        if (family == NULL) {
            return NULL;
        }
        rwlock_init(&family->lock, "family");
        list_init(&family->moved);
        family->spaces = family->few;
        family->capacity = FAMILY_INLINE;
    }
    return family;
}

static void family_put(struct vm_family *family)
{
    spin_lock(&pool_lock);
    family->next_free = pool;
    pool = family;
    spin_unlock(&pool_lock);
}

/* A free slot; the array grows when there is none. UINT32_MAX: no memory. family->lock held for writing. */
static uint32_t slot_find_locked(struct vm_family *family)
{
    if (family->nspaces < family->capacity) {
        while (family->spaces[family->first_free] != NULL) {
            family->first_free++;
        }
        return family->first_free;
    }
    uint32_t slot = family->capacity;
    struct vmspace **larger = kzalloc(slot * 2 * sizeof(larger[0]));
    if (larger == NULL) {
        return UINT32_MAX;
    }
    memcpy(larger, family->spaces, slot * sizeof(larger[0]));
    if (family->spaces != family->few) {
        kfree(family->spaces);
    }
    family->spaces = larger;
    family->capacity = slot * 2;
    return slot;
}

int vm_family_join(struct vmspace *vm, struct vm_family *family)
{
    write_lock(&family->lock);
    uint32_t slot = slot_find_locked(family);
    if (slot != UINT32_MAX) {
        family->spaces[slot] = vm;
        family->nspaces++;
        vm->family = family;
        vm->family_slot = slot;
    }
    write_unlock(&family->lock);
    return slot == UINT32_MAX ? -ENOMEM : 0;
}

int vm_family_found(struct vmspace *vm)
{
    struct vm_family *family = family_get();

    return family == NULL ? -ENOMEM : vm_family_join(vm, family); /* its few slots are free */
}

void vm_family_leave(struct vmspace *vm)
{
    struct vm_family *family = vm->family;

    if (family == NULL) {
        return;
    }
    write_lock(&family->lock);
    family->spaces[vm->family_slot] = NULL;
    family->first_free = MIN(family->first_free, vm->family_slot);
    bool last = --family->nspaces == 0;
    struct vmspace **array = NULL;
    if (last && family->spaces != family->few) {
        array = family->spaces;
        family->spaces = family->few;
        family->capacity = FAMILY_INLINE;
        memset(family->few, 0, sizeof(family->few));
    }
    ASSERT(!last || list_empty(&family->moved));
    write_unlock(&family->lock);
    kfree(array);
    if (last) {
        family_put(family);
    }
}

void rmap_region_moved(struct vm_region *region)
{
    struct vm_family *family = region->vm->family;

    if (region->vpn_delta != 0) {
        write_lock(&family->lock);
        list_push_back(&family->moved, &region->moved_link);
        write_unlock(&family->lock);
    }
}

void rmap_region_gone_moved(struct vm_region *region)
{
    struct vm_family *family = region->vm->family;

    write_lock(&family->lock);
    list_remove(&region->moved_link);
    write_unlock(&family->lock);
}

/* ---- walking ---- */

/* A family may have hundreds of members: it is let go of after so many. Who joins meanwhile behind the walk's back is missed. */
#define VISITS_AT_ONCE 16u

struct walk {
    struct page *page;
    uint32_t left; /* entries not met yet, as far as is known: 0 ends the walk early */
    rmap_fn *fn;
    void *arg;
};

/* Look at one address. False: the walk is over. */
static bool visit(struct walk *walk, struct vmspace *vm, uint64_t va)
{
    struct mmu_flush flush;
    paddr_t pa;
    unsigned flags;
    bool go_on = true;

    ASSERT(va < USER_TOP);
    mmu_flush_init(&flush, &vm->mmu);
    read_lock(&vm->locks.shape);
    vm_table_lock(vm, va);
    if (mmu_query(&vm->mmu, va, &pa, &flags) && pa == page_to_phys(walk->page) &&
        (flags & MMU_SPECIAL) == 0) {
        go_on = walk->fn(walk->arg, vm, va, flags, &flush) && --walk->left > 0;
    }
    vm_table_unlock(vm, va);
    read_unlock(&vm->locks.shape);
    mmu_flush_finish(&flush);
    return go_on;
}

/* Where `region`, which was moved, shows the page made at `vpn`; 0: it does not. Its limits may be changing: the page table tells. */
static uint64_t moved_address(const struct vm_region *region, uint64_t vpn)
{
    uint64_t now = (vpn - (uint64_t)READ_ONCE(region->vpn_delta)) & (BIT(FAMILY_VPN_BITS) - 1);
    uint64_t va = now << PAGE_SHIFT;

    return va >= READ_ONCE(region->start) && va < READ_ONCE(region->end) ? va : 0;
}

/* Look at `va` in each space of the family, in that of slot `hint` first. family->lock held for reading, but not all the time. */
static bool visit_family_locked(struct walk *walk, struct vm_family *family, uint32_t hint,
                                uint64_t va)
{
    bool go_on = true;

    if (hint < family->capacity && family->spaces[hint] != NULL) {
        go_on = visit(walk, family->spaces[hint], va);
    }
    for (uint32_t slot = 0, visits = 1; go_on && slot < family->capacity; slot++) {
        if (slot == hint || family->spaces[slot] == NULL) {
            continue;
        }
        go_on = visit(walk, family->spaces[slot], va);
        if (++visits % VISITS_AT_ONCE == 0) {
            read_unlock(&family->lock);
            read_lock(&family->lock);
        }
    }
    return go_on;
}

static void walk_anon(struct walk *walk)
{
    struct vm_family *family = walk->page->owner;
    uint64_t vpn = walk->page->index & (BIT(FAMILY_VPN_BITS) - 1);
    uint32_t hint = (uint32_t)(walk->page->index >> FAMILY_VPN_BITS);
    bool go_on = true;

    if (family == NULL) {
        return;
    }
    read_lock(&family->lock);
    /* Regions that moved may have grown: what was made there then has any number, and the tables of all spaces show the kernel's half too. */
    if (likely(vpn < USER_TOP >> PAGE_SHIFT)) {
        go_on = visit_family_locked(walk, family, hint, vpn << PAGE_SHIFT);
    }
    for (struct list_node *at = family->moved.next; go_on && at != &family->moved; at = at->next) {
        struct vm_region *region = container_of(at, struct vm_region, moved_link);
        uint64_t va = moved_address(region, vpn);
        go_on = va == 0 || visit(walk, region->vm, va);
    }
    read_unlock(&family->lock);
}

static int walk_file(struct walk *walk, struct pagecache *cache, uint64_t index, unsigned flags)
{
    struct vm_region *region;

    if (cache == NULL || file_regions_empty(cache)) {
        return 0;
    }
    if ((flags & RMAP_NOWAIT) == 0) {
        mutex_lock(&cache->rmap_lock);
    } else if (!mutex_trylock(&cache->rmap_lock)) {
        return -EAGAIN;
    }
    for_each_file_region (region, cache, index, index) {
        uint64_t va = region->start + ((index - region->pgoff) << PAGE_SHIFT);
        if (!visit(walk, region->vm, va)) {
            break;
        }
    }
    mutex_unlock(&cache->rmap_lock);
    return 0;
}

int rmap_walk_cached(struct pagecache *cache, uint64_t index, struct page *page, unsigned flags,
                     rmap_fn *fn, void *arg)
{
    struct walk walk = {.page = page, .left = UINT32_MAX, .fn = fn, .arg = arg};

    return walk_file(&walk, cache, index, flags);
}

int rmap_walk(struct page *page, unsigned flags, rmap_fn *fn, void *arg)
{
    struct walk walk = {
        .page = page, .left = atomic_load_relaxed(&page->mapcount), .fn = fn, .arg = arg};

    if (walk.left == 0) {
        return 0;
    }
    if (page->kind != PAGE_ANON) {
        return walk_file(&walk, atomic_load_relaxed((struct pagecache **)&page->owner), page->index,
                         flags);
    }
    walk_anon(&walk);
    return 0;
}
