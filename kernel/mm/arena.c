/*
 * Kernel virtual arenas: address space without memory.
 *
 * Free ranges are in an address-ordered tree, so that neighbours merge, and in bins by size (bin b: 2^b .. 2^(b+1) - 1 pages). A request
 * takes the first range of the lowest bin whose every range is large enough, else looks through the bin below: constant time but
 * for the last resort. Each allocation is followed by one page that stays unmapped, and so is the arena's start: with
 * that there is a guard page on both sides of each.
 *
 * arena_free() must not fail, so each allocation sets aside the node that its release may need: there are always at least as many
 * spare nodes as allocations.
 *
 * Source: Bonwick and Adams 2001 (vmem). Locks: all under arena.lock.
 */
#include "kernel/mm/arena.h"

#include "kernel/base/bitmap.h"
#include "kernel/base/rbtree.h"
#include "kernel/core/panic.h"
#include "kernel/mm/cache.h"
#include "kernel/mm/vmap.h"

#define ARENA_BINS 34 /* up to 2^33 pages: twice the arena */

struct arena_range {
    struct rb_node node;       /* in arena.by_address */
    struct list_node bin_node; /* in its bin, or in arena.spare */
    vaddr_t start;
    uint64_t npages;
};

static struct {
    struct spinlock lock;
    struct rb_root by_address;
    struct list_node bins[ARENA_BINS];
    uint64_t nonempty; /* bit per bin */
    struct list_node spare;
} arena = {.lock = SPINLOCK_INIT("arena")};

static struct slab_cache range_cache;

static void range_insert_locked(struct arena_range *range)
{
    struct rb_node **link = &arena.by_address.node;
    struct rb_node *parent = NULL;
    unsigned bin = bit_fls(range->npages);

    while (*link != NULL) {
        parent = *link;
        link = range->start < rb_entry(parent, struct arena_range, node)->start ? &parent->left
                                                                                : &parent->right;
    }
    rb_insert(&arena.by_address, &range->node, parent, link);
    list_push_front(&arena.bins[bin], &range->bin_node);
    arena.nonempty |= BIT(bin);
}

static void range_unbin_locked(struct arena_range *range)
{
    unsigned bin = bit_fls(range->npages);

    list_remove(&range->bin_node);
    if (list_empty(&arena.bins[bin])) {
        arena.nonempty &= ~BIT(bin);
    }
}

/* A free range of at least npages. */
static struct arena_range *range_find_locked(uint64_t npages)
{
    unsigned sure = log2_ceil(npages); /* every range of this bin is large enough */
    uint64_t candidates = sure < ARENA_BINS ? arena.nonempty >> sure << sure : 0;
    struct arena_range *range;

    if (candidates != 0) {
        return list_first_entry(&arena.bins[bit_ffs(candidates)], struct arena_range, bin_node);
    }
    if (sure > 0 && sure <= ARENA_BINS) {
        list_for_each (range, &arena.bins[sure - 1], bin_node) {
            if (range->npages >= npages) {
                return range;
            }
        }
    }
    return NULL;
}

vaddr_t arena_alloc(uint64_t len_bytes)
{
    if (len_bytes == 0 || len_bytes > ARENA_SIZE) {
        return 0;
    }
    uint64_t npages = DIV_ROUND_UP(len_bytes, PAGE_SIZE) + 1;
    struct arena_range *spare = slab_alloc(&range_cache, 0);
    if (spare == NULL) {
        return 0;
    }
    vaddr_t va = 0;
    uint64_t irq = spin_lock_irqsave(&arena.lock);
    struct arena_range *range = range_find_locked(npages);
    if (range != NULL) {
        va = range->start;
        range_unbin_locked(range);
        range->start += npages * PAGE_SIZE;
        range->npages -= npages;
        if (range->npages == 0) {
            rb_remove(&arena.by_address, &range->node);
            list_push_front(&arena.spare, &range->bin_node);
        } else { /* its place in the tree is still right */
            unsigned bin = bit_fls(range->npages);
            list_push_front(&arena.bins[bin], &range->bin_node);
            arena.nonempty |= BIT(bin);
        }
        list_push_front(&arena.spare, &spare->bin_node);
    }
    spin_unlock_irqrestore(&arena.lock, irq);
    if (va == 0) {
        slab_free(&range_cache, spare);
    }
    return va;
}

/* The free range that ends at or before `va`, and in *ret_next the one after it. */
static struct arena_range *range_before_locked(vaddr_t va, struct arena_range **ret_next)
{
    struct rb_node *node = arena.by_address.node;
    struct arena_range *before = NULL;

    *ret_next = NULL;
    while (node != NULL) {
        struct arena_range *range = rb_entry(node, struct arena_range, node);
        if (range->start < va) {
            before = range;
            node = node->right;
        } else {
            *ret_next = range;
            node = node->left;
        }
    }
    return before;
}

void arena_free(vaddr_t va, uint64_t len_bytes)
{
    if (va == 0) {
        return;
    }
    uint64_t npages = DIV_ROUND_UP(len_bytes, PAGE_SIZE) + 1;
    struct arena_range *merged[2] = {NULL, NULL};
    struct arena_range *next;
    uint64_t irq = spin_lock_irqsave(&arena.lock);
    struct arena_range *before = range_before_locked(va, &next);

    BUG_ON(before != NULL && before->start + before->npages * PAGE_SIZE > va);
    BUG_ON(next != NULL && va + npages * PAGE_SIZE > next->start);
    struct arena_range *range = list_first_entry(&arena.spare, struct arena_range, bin_node);
    list_remove(&range->bin_node);
    range->start = va;
    range->npages = npages;
    if (before != NULL && before->start + before->npages * PAGE_SIZE == va) {
        range_unbin_locked(before);
        rb_remove(&arena.by_address, &before->node);
        range->start = before->start;
        range->npages += before->npages;
        merged[0] = before;
    }
    if (next != NULL && va + npages * PAGE_SIZE == next->start) {
        range_unbin_locked(next);
        rb_remove(&arena.by_address, &next->node);
        range->npages += next->npages;
        merged[1] = next;
    }
    range_insert_locked(range);
    spin_unlock_irqrestore(&arena.lock, irq);
    slab_free(&range_cache, merged[0]);
    slab_free(&range_cache, merged[1]);
}

uint64_t arena_free_ranges(void)
{
    uint64_t n = 0;
    uint64_t irq = spin_lock_irqsave(&arena.lock);

    for (struct rb_node *node = rb_first(&arena.by_address); node != NULL; node = rb_next(node)) {
        n++;
    }
    spin_unlock_irqrestore(&arena.lock, irq);
    return n;
}

void arena_init(void)
{
    slab_cache_setup(&range_cache, "arena_range", sizeof(struct arena_range));
    for (unsigned bin = 0; bin < ARENA_BINS; bin++) {
        list_init(&arena.bins[bin]);
    }
    list_init(&arena.spare);
    struct arena_range *all = slab_alloc(&range_cache, 0);
    BUG_ON(all == NULL);
    all->start = ARENA_BASE + PAGE_SIZE;
    all->npages = ARENA_SIZE / PAGE_SIZE - 1;
    uint64_t irq = spin_lock_irqsave(&arena.lock);
    range_insert_locked(all);
    spin_unlock_irqrestore(&arena.lock, irq);
    vmalloc_init();
    kstacks_init();
}
