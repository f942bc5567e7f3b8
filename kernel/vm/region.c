/*
 * The tree of regions: ordered by start, augmented with the largest usable hole before any region of a subtree, so that a hole for
 * mmap is found in O(log n).
 *
 * region->gap is the hole between the region before (or USER_MIN) and this one, less the guard that a stack keeps below itself.
 * Changing one region's limits changes its own gap and that of the next.
 */
#include <linux/fcntl.h>

#include "kernel/core/panic.h"
#include "kernel/mm/slab.h"
#include "kernel/vm/file_regions.h"
#include "kernel/vm/huge_fault.h"
#include "kernel/vm/mempolicy.h"
#include "kernel/vm/private.h"
#include "kernel/vm/region_lock.h"
#include "kernel/vm/rmap.h"

struct slab_cache *vm_region_cache;
uint32_t vm_max_map_count = 65530; /* [a] Linux' default (proc_sys_vm(5)) */
#ifdef HOST_BUILD
uint64_t regions_steps;
#endif

static inline struct vm_region *region_of(struct rb_node *node)
{
    return rb_entry(node, struct vm_region, node);
}

static inline uint64_t subtree_gap(struct rb_node *node)
{
    return node == NULL ? 0 : region_of(node)->max_gap;
}

static __always_inline bool update_inline(struct rb_node *node)
{
    struct vm_region *region = region_of(node);
    uint64_t left = subtree_gap(node->left);
    uint64_t right = subtree_gap(node->right);
    uint64_t most = region->gap;

    most = left > most ? left : most;
    most = right > most ? right : most;
    if (region->max_gap == most) {
        return false;
    }
    region->max_gap = most;
    return true;
}

static bool region_update(struct rb_node *node)
{
    return update_inline(node);
}

/* The usable hole below `region`, given where the region before it ends. */
static inline uint64_t gap_below(const struct vm_region *region, uint64_t prev_end)
{
    uint64_t gap = region->start - prev_end;

    if (unlikely((region->flags & VM_GROWSDOWN) != 0)) {
        gap = gap > STACK_GUARD_BYTES ? gap - STACK_GUARD_BYTES : 0;
    }
    return gap;
}

static uint64_t end_before(struct vm_region *region)
{
    struct vm_region *prev = vm_region_prev(region);
    return prev == NULL ? USER_MIN : prev->end;
}

static void gap_refresh(struct vm_region *region, uint64_t prev_end)
{
    struct rb_node *node = &region->node;

    region->gap = gap_below(region, prev_end);
    while (node != NULL && update_inline(node)) {
        node = rb_parent(node);
    }
}

struct vm_region *region_alloc(void)
{
    return slab_alloc(vm_region_cache, 0);
}

void region_free(struct vm_region *region)
{
    atomic_store_relaxed(&region->tree, NULL);
    slab_free(vm_region_cache, region);
}

void region_insert(struct vmspace *vm, struct vm_region *region)
{
    struct rb_node **link = &vm->regions.node;
    struct rb_node *parent = NULL;
    struct vm_region *prev = NULL;
    struct vm_region *next = NULL;

    while (*link != NULL) {
        region_step();
        parent = *link;
        struct vm_region *at = region_of(parent);
        if (region->start < at->start) {
            next = at;
            link = &parent->left;
        } else {
            prev = at;
            link = &parent->right;
        }
    }
    region->vm = vm;
    region_announce(region); /* to faults that found its memory when it was another region */
    atomic_store_release(&region->tree, vm);
    region->gap = gap_below(region, prev == NULL ? USER_MIN : prev->end);
    region->max_gap = region->gap;
    rb_insert_augmented(&vm->regions, &region->node, parent, link, region_update);
    if (next != NULL) {
        gap_refresh(next, region->end);
    }
    vm->nregions++;
}

void region_append(struct vmspace *vm, struct vm_region *region)
{
    struct rb_node *last = rb_last(&vm->regions);
    struct rb_node **link = last == NULL ? &vm->regions.node : &last->right;

    region->vm = vm;
    region->lock_seq = 0;
    atomic_store_release(&region->tree, vm);
    region->gap = gap_below(region, last == NULL ? USER_MIN : region_of(last)->end);
    region->max_gap = region->gap;
    rb_insert_augmented(&vm->regions, &region->node, last, link, region_update);
    vm->nregions++;
}

void region_remove(struct vmspace *vm, struct vm_region *region)
{
    struct vm_region *next = vm_region_next(region);
    uint64_t prev_end = end_before(region);

    region_lock(region);
    atomic_store_relaxed(&region->tree, NULL);
    rb_remove_augmented(&vm->regions, &region->node, region_update);
    if (next != NULL) {
        gap_refresh(next, prev_end);
    }
    vm->nregions--;
    if (vm->cached == region) {
        atomic_store_relaxed(&vm->cached, NULL);
    }
}

void region_resize(struct vm_region *region, uint64_t start, uint64_t end)
{
    region_lock(region);
    if (start != region->start) {
        uint64_t prev_end = end_before(region);
        region->start = start;
        gap_refresh(region, prev_end);
    }
    if (end != region->end) {
        struct vm_region *next = vm_region_next(region);
        region->end = end;
        if (next != NULL) {
            gap_refresh(next, end);
        }
    }
}

/* ---- cutting and joining ---- */

/* A file region's limits change under the lock by which truncation finds them. */
static struct pagecache *rmap_enter(const struct vm_region *region)
{
    struct pagecache *cache = region->source != NULL ? region->source->cache : NULL;

    if (cache != NULL) {
        mutex_lock(&cache->rmap_lock);
    }
    return cache;
}

static void rmap_leave(struct pagecache *cache)
{
    if (cache != NULL) {
        mutex_unlock(&cache->rmap_lock);
    }
}

int region_split(struct vm_region *region, uint64_t at)
{
    bool full = region->vm->nregions >= atomic_load_relaxed(&vm_max_map_count);
    struct vm_region *upper = full ? NULL : region_alloc();

    if (upper == NULL) {
        return -ENOMEM;
    }
    region_lock(region);
    if (huge_split_at(region, at) < 0) {
        region_free(upper);
        return -ENOMEM;
    }
    region_copy(upper, region);
    upper->start = at;
    if (region->source != NULL) {
        upper->pgoff = region_index(region, at);
        region->source->ops->get(region->source);
    }
    struct pagecache *cache = rmap_enter(region);
    region->end = at;
    if (cache != NULL) {
        file_region_resized(region);
        file_regions_add(cache, upper);
    }
    rmap_leave(cache);
    region_insert(region->vm, upper);
    rmap_region_moved(upper);
    return 0;
}

int regions_split_at(struct vmspace *vm, uint64_t start, uint64_t end)
{
    struct vm_region *region = region_lookup(vm, start);
    int err = 0;

    if (region != NULL && region->start < start) {
        err = region_split(region, start);
        region = err < 0 ? region : vm_region_next(region);
    }
    while (err == 0 && region != NULL && region->end <= end) {
        region = vm_region_next(region);
    }
    if (err == 0 && region != NULL && region->start < end) {
        err = region_split(region, end);
    }
    return err;
}

/* Is `upper`, which begins where `lower` ends, more of the same? */
static bool regions_alike(const struct vm_region *lower, const struct vm_region *upper)
{
    return lower->end == upper->start && lower->flags == upper->flags &&
           lower->source == upper->source && lower->name == upper->name &&
           lower->vpn_delta == upper->vpn_delta &&
           (lower->flags & (VM_SPECIAL | VM_GROWSDOWN)) == 0 &&
           ((lower->flags & VM_POLICY) == 0 || mempolicy_equal(&lower->policy, &upper->policy)) &&
           (lower->source == NULL || region_index(lower, lower->end) == upper->pgoff);
}

/* `lower` takes over what `upper` covers. */
static void region_absorb(struct vm_region *lower, struct vm_region *upper)
{
    uint64_t end = upper->end;

    region_lock(lower);
    region_lock(upper);
    struct pagecache *cache = rmap_enter(upper);

    lower->has_anon |= upper->has_anon;
    lower->touched |= upper->touched;
    region_remove(lower->vm, upper);
    region_resize(lower, lower->start, end);
    if (cache != NULL) {
        file_regions_remove(cache, upper);
        file_region_resized(lower);
    }
    rmap_leave(cache);
    rmap_region_gone(upper);
    if (upper->source != NULL) {
        upper->source->ops->put(upper->source);
    }
    region_free(upper);
}

void region_extend(struct vm_region *region, uint64_t end)
{
    region_lock(region);
    struct pagecache *cache = rmap_enter(region);

    region_resize(region, region->start, end);
    if (cache != NULL) {
        file_region_resized(region);
    }
    rmap_leave(cache);
}

struct vm_region *region_merge_down(struct vm_region *region)
{
    struct vm_region *prev = vm_region_prev(region);

    if (prev != NULL && regions_alike(prev, region)) {
        region_absorb(prev, region);
        region = prev;
    }
    return region;
}

struct vm_region *region_merge(struct vm_region *region)
{
    struct vm_region *next = vm_region_next(region);

    if (next != NULL && regions_alike(region, next)) {
        region_absorb(region, next);
    }
    return region_merge_down(region);
}

/* ---- looking ---- */

struct vm_region *region_lookup(struct vmspace *vm, uint64_t addr)
{
    struct rb_node *node = vm->regions.node;
    struct vm_region *best = NULL;

    while (node != NULL) {
        region_step();
        struct vm_region *region = region_of(node);
        if (region->end > addr) {
            best = region;
            if (region->start <= addr) {
                break;
            }
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return best;
}

struct vm_region *vmspace_find(struct vmspace *vm, uint64_t addr)
{
    struct vm_region *region = atomic_load_relaxed(&vm->cached);

    if (region != NULL && atomic_load_relaxed(&region->tree) == vm &&
        addr - region->start < region->end - region->start) {
        return region;
    }
    region = region_lookup(vm, addr);
    if (region != NULL && region->start <= addr) {
        atomic_store_relaxed(&vm->cached, region);
    }
    return region;
}

/* The rightmost region of a subtree with a gap of at least len; there is one. */
static struct vm_region *rightmost_gap(struct rb_node *node, uint64_t len)
{
    for (;;) {
        region_step();
        if (subtree_gap(node->right) >= len) {
            node = node->right;
        } else if (region_of(node)->gap >= len) {
            return region_of(node);
        } else {
            node = node->left;
        }
    }
}

/* Among the regions that start below `limit`, the rightmost with a gap of at least len; NULL: none. */
static struct vm_region *gap_below_limit(struct vmspace *vm, uint64_t len, uint64_t limit)
{
    struct rb_node *node = vm->regions.node;
    struct rb_node *candidate = NULL;

    while (node != NULL) {
        region_step();
        if (region_of(node)->start >= limit) {
            node = node->left;
            continue;
        }
        /* Everything in node->left starts below the limit; what we still meet lies to the right of it all. */
        if (region_of(node)->gap >= len || subtree_gap(node->left) >= len) {
            candidate = node;
        }
        node = node->right;
    }
    if (candidate == NULL) {
        return NULL;
    }
    struct vm_region *region = region_of(candidate);
    return region->gap >= len ? region : rightmost_gap(candidate->left, len);
}

/* The hole that reaches up to or over `limit`: *ret_start is where it begins; returns where it ends, at most limit. */
static uint64_t gap_at_limit(struct vmspace *vm, uint64_t limit, uint64_t *ret_start)
{
    struct rb_node *node = vm->regions.node;
    struct vm_region *below = NULL;
    struct vm_region *above = NULL;

    while (node != NULL) {
        region_step();
        struct vm_region *region = region_of(node);
        if (region->start < limit) {
            below = region;
            node = node->right;
        } else {
            above = region;
            node = node->left;
        }
    }
    *ret_start = below == NULL ? USER_MIN : below->end;
    if (above != NULL && (above->flags & VM_GROWSDOWN) != 0) {
        uint64_t guarded = above->start > STACK_GUARD_BYTES ? above->start - STACK_GUARD_BYTES : 0;
        return MIN(limit, guarded);
    }
    return limit;
}

uint64_t regions_find_gap(struct vmspace *vm, uint64_t len, uint64_t floor, uint64_t limit)
{
    uint64_t start;
    uint64_t end = gap_at_limit(vm, limit, &start);

    start = MAX(start, floor);
    if (end > start && end - start >= len) {
        return end - len;
    }
    /* Holes that end at a region below the limit. The lowest of them may reach below the floor. */
    struct vm_region *region = gap_below_limit(vm, len, limit);
    if (region == NULL) {
        return 0;
    }
    end = (region->flags & VM_GROWSDOWN) != 0 ? region->start - STACK_GUARD_BYTES : region->start;
    return end >= len && end - len >= floor ? end - len : 0;
}

/* ---- who maps a file ---- */

int region_rmap_add(struct vm_region *region)
{
    const uint32_t may_write = VM_SHARED | VM_MAYWRITE;
    struct pagecache *cache = rmap_enter(region);
    int err = 0;

    if (cache != NULL) {
        if (unlikely((cache->seals & F_SEAL_WRITE) != 0) &&
            (region->flags & may_write) == may_write) {
            err = -EPERM;
        } else {
            file_regions_add(cache, region);
        }
    }
    rmap_leave(cache);
    return err;
}

void region_rmap_remove(struct vm_region *region)
{
    struct pagecache *cache = rmap_enter(region);

    if (cache != NULL) {
        file_regions_remove(cache, region);
    }
    rmap_leave(cache);
}
