/*
 * Page frames: requests and releases.
 *
 * Single frames, which are nearly all requests, come from and go to stacks per CPU (hot.c), with interrupts off and no lock. Larger blocks,
 * requests for low memory and what belongs to other nodes go to the zones at once. References to many pages are dropped in frame_put.c.
 */
#include "kernel/mm/frame.h"

#include "kernel/base/string.h"
#include "kernel/core/defect.h"
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/mm/compact.h"
#include "kernel/mm/fail.h"
#include "kernel/mm/frame_life.h"
#include "kernel/mm/hot.h"
#include "kernel/mm/lru.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/zone.h"
#include "kernel/sync/lockdep.h"

static const struct frame_reclaim_ops *reclaim_ops; /* [I] after boot */

bool frame_init_on_alloc;
bool frame_init_on_free;

/* A request for a block, as far as the zones are concerned. */
struct frame_request {
    unsigned order, flags;
    enum zone_id first;
    enum migrate_type type;
    unsigned node;
    nodemask_t allowed;
};

void frames_set_reclaim(const struct frame_reclaim_ops *ops)
{
    __atomic_store_n(&reclaim_ops, ops, __ATOMIC_RELEASE);
}

/* ---- the zones' side ---- */

/* Zones that may serve a request, best first. */
static enum zone_id zone_first(unsigned flags)
{
    if ((flags & FRAME_DMA) != 0) {
        return ZONE_DMA;
    }
    return (flags & FRAME_DMA32) != 0 ? ZONE_DMA32 : ZONE_NORMAL;
}

static struct page *zone_take(struct zone *zone, const struct frame_request *request,
                              enum zone_floor floor)
{
    uint64_t irq = spin_lock_irqsave(&zone->lock);
    bool may = zone_available_locked(zone, floor, request->first) >= 1ull << request->order;
    bool low = zone->untouched > 0 && zone->free < GROW_BELOW;
    struct page *page = may && !low ? zone_take_locked(zone, request->order, request->type) : NULL;
    bool grow = may && page == NULL && zone->untouched > 0;

    spin_unlock_irqrestore(&zone->lock, irq);
    if (likely(!grow)) {
        return page;
    }
    (void)zone_grow(zone);
    irq = spin_lock_irqsave(&zone->lock);
    page = zone_take_locked(zone, request->order, request->type);
    spin_unlock_irqrestore(&zone->lock, irq);
    return page;
}

static void count_placement(const struct frame_request *request, unsigned node)
{
    unsigned here = this_node();

    if (node == request->node) {
        (void)atomic_fetch_add_relaxed(&nodes[node]->numa[NUMA_HIT], 1);
    } else {
        (void)atomic_fetch_add_relaxed(&nodes[node]->numa[NUMA_MISS], 1);
        (void)atomic_fetch_add_relaxed(&nodes[request->node]->numa[NUMA_FOREIGN], 1);
    }
    (void)atomic_fetch_add_relaxed(&nodes[node]->numa[node == here ? NUMA_LOCAL : NUMA_OTHER], 1);
}

static struct page *zones_take(const struct frame_request *request, enum zone_floor floor)
{
    const struct node *home = nodes[request->node];

    for (unsigned i = 0; i < home->nnear; i++) {
        struct node *node = nodes[home->near[i]];
        if (((request->allowed >> node->id) & 1) == 0) {
            continue;
        }
        for (int id = (int)request->first; id >= 0; id--) {
            if (node->zones[id].managed == 0) {
                continue;
            }
            struct page *page = zone_take(&node->zones[id], request, floor);
            if (page != NULL) {
                count_placement(request, node->id);
                return page;
            }
        }
    }
    return NULL;
}

void frame_wake_reclaim(unsigned node, unsigned order)
{
    const struct frame_reclaim_ops *ops = __atomic_load_n(&reclaim_ops, __ATOMIC_ACQUIRE);

    if (ops != NULL && ops->wake != NULL) {
        ops->wake(node, order);
    }
}

/* All nodes that the request may use are low. */
static void wake_allowed(const struct frame_request *request)
{
    const struct node *home = nodes[request->node];

    for (unsigned i = 0; i < home->nnear; i++) {
        if (((request->allowed >> home->near[i]) & 1) != 0) {
            frame_wake_reclaim(home->near[i], request->order);
        }
    }
}

/* ---- allocation ---- */

/* n frames of a node other than by way of the stacks: +n allocated, -n freed. */
static __noinline void count_kind(unsigned node, enum page_kind kind, int64_t n)
{
    (void)atomic_fetch_add_relaxed(&nodes[node]->by_kind[kind], n);
}

void frame_begin(struct page *page, enum page_kind kind)
{
    page_start_life(page, 0, kind);
    count_kind(page_node(page), kind, 1);
}

static inline bool wants_zeros(unsigned flags)
{
    return (flags & FRAME_ZERO) != 0 || unlikely(frame_init_on_alloc);
}

/* Nothing is free above `min`, or nothing so large. The request may go below it, or may wait. */
static struct page *zones_take_hard(const struct frame_request *request)
{
    const struct frame_reclaim_ops *ops = __atomic_load_n(&reclaim_ops, __ATOMIC_ACQUIRE);
    /* A page table for the page array: without it nothing more comes in. */
    bool reserve = (request->flags & FRAME_RESERVE) != 0 || zone_growing();
    bool patient = (request->flags & FRAME_RECLAIM) != 0;
    enum zone_floor floor = reserve ? FLOOR_NONE : patient ? FLOOR_MIN : FLOOR_ATOMIC;
    struct page *page;

    if (request->order > 0 && patient && frames_compact(request->node, request->order) &&
        (page = zones_take(request, FLOOR_MIN)) != NULL) {
        return page;
    }
    if (floor != FLOOR_MIN) {
        page = zones_take(request, floor);
        if (page != NULL) {
            if (ops != NULL && ops->dipped != NULL && !reserve) {
                ops->dipped(request->node);
            }
            return page;
        }
    }
    /* What the heap can spare is to be had without waiting. */
    size_t freed = slab_shrink_all();
    frames_drain_local();
    page = zones_take(request, floor);
    if (page != NULL || !patient || ops == NULL || ops->reclaim == NULL) {
        return page;
    }
    might_sleep();
    do {
        freed = ops->reclaim(request->node, request->order, request->allowed);
        frames_drain_local();
        page = zones_take(request, floor);
    } while (page == NULL && freed > 0);
    return page;
}

/* Everything but the common case: larger blocks, special zones, empty stacks, early boot, little memory. */
static __noinline struct page *frame_alloc_slow(unsigned order, unsigned flags, enum page_kind kind,
                                                unsigned node, nodemask_t allowed)
{
    struct frame_request request = {
        order, flags, zone_first(flags), frame_migrate_type(kind, flags), node, allowed,
    };

    if (order > FRAME_MAX_ORDER) {
        return NULL;
    }
    if (unlikely(!frames_ready)) {
        return early_frame_alloc(order, flags);
    }
    struct page *page = zones_take(&request, FLOOR_LOW);
    if (page == NULL && (flags & FRAME_TRY) != 0) {
        if ((flags & FRAME_RECLAIM) != 0 && order > 0 && frames_compact(node, order)) {
            page = zones_take(&request, FLOOR_LOW);
        }
        if (page == NULL) {
            return NULL;
        }
    }
    if (page == NULL) {
        wake_allowed(&request);
        page = zones_take(&request, FLOOR_MIN);
    }
    if (page == NULL) {
        page = zones_take_hard(&request);
    }
    if (page == NULL) {
        return NULL;
    }
    page_start_life(page, order, kind);
    count_kind(page_node(page), kind, 1ll << order);
    if (wants_zeros(flags)) {
        memset(page_to_virt(page), 0, PAGE_SIZE << order);
    }
    return page;
}

struct page *frame_alloc_block(unsigned order, unsigned flags, enum page_kind kind)
{
    if (fail_pages(order, (flags & FRAME_RECLAIM) != 0)) {
        return NULL;
    }
    if (order - 1 < HOT_BLOCK_ORDERS && (flags & (FRAME_DMA | FRAME_DMA32)) == 0) {
        struct page *page = hot_block_take(order, kind);
        if (likely(page != NULL)) {
            page_start_life(page, order, kind);
            if (wants_zeros(flags)) {
                memset(page_to_virt(page), 0, PAGE_SIZE << order);
            }
            return page;
        }
    }
    return frame_alloc_slow(order, flags, kind, this_node(), NODES_ALL);
}

/* NULL: the stack is empty, and the node's zones are low. */
static struct page *hot_take(enum page_kind kind, bool movable)
{
    uint64_t irq = irq_save();
    struct frame_hot *hot = this_cpu_ptr(frame_hot);
    struct hot_stack *stack = &hot->stacks[movable];
    struct page *page = NULL;

    if (stack->count == 0) {
        hot_refill(hot, stack);
    }
    if (stack->count > 0) {
        page = stack->pages[--stack->count];
        hot->by_kind[kind]++;
        hot->allocs++;
    }
    irq_restore(irq);
    return page;
}

/* A single frame by way of the stack when the request allows it. */
static __noinline struct page *frame_alloc_refill(unsigned flags, enum page_kind kind,
                                                  unsigned node, nodemask_t allowed)
{
    unsigned here = this_node();
    struct page *page = NULL;

    if (node == here && ((allowed >> here) & 1) != 0) {
        page = hot_take(kind, page_kind_movable(kind));
    }
    if (page == NULL) {
        return frame_alloc_slow(0, flags, kind, node, allowed);
    }
    page_start_life(page, 0, kind);
    if (wants_zeros(flags)) {
        page_clear(page_to_virt(page));
    }
    return page;
}

static __noinline struct page *frame_alloc_refill_here(unsigned flags, enum page_kind kind)
{
    return frame_alloc_refill(flags, kind, this_node(), NODES_ALL);
}

/* What is rare is called last, so that the common case saves no registers. */
struct page *frame_alloc_single(unsigned flags, enum page_kind kind, bool movable)
{
    if (fail_pages(0, (flags & FRAME_RECLAIM) != 0)) {
        return NULL;
    }
    uint64_t irq = irq_save();
    struct frame_hot *hot = this_cpu_ptr(frame_hot);
    struct hot_stack *stack = &hot->stacks[movable];
    uint32_t count;

    if (unlikely(__builtin_sub_overflow(stack->count, 1u, &count))) {
        irq_restore(irq);
        return frame_alloc_refill_here(flags, kind);
    }
    struct page *page = stack->pages[count];
    stack->count = count;
    hot->by_kind[kind]++;
    hot->allocs++;
    irq_restore(irq);
    page_start_life(page, 0, kind);
    return unlikely(wants_zeros(flags)) ? frame_cleared(page) : page;
}

/* The node itself if it is allowed, or the nearest that is: there the request belongs, and is counted. */
static unsigned nearest_allowed(unsigned node, nodemask_t allowed)
{
    int near = (int)node;

    for (unsigned i = 0; near >= 0 && ((allowed >> near) & 1) == 0; i++) {
        near = node_near(node, i);
    }
    return near >= 0 ? (unsigned)near : node;
}

struct page *frame_alloc_node(unsigned order, unsigned flags, enum page_kind kind, int node,
                              nodemask_t allowed)
{
    if (fail_pages(order, (flags & FRAME_RECLAIM) != 0)) {
        return NULL;
    }
    unsigned here = this_node();
    unsigned wanted = node == NODE_LOCAL || (unsigned)node >= nodes_count() ? here : (unsigned)node;

    wanted = nearest_allowed(wanted, allowed);
    if (order == 0 && (flags & (FRAME_DMA | FRAME_DMA32)) == 0) {
        return frame_alloc_refill(flags, kind, wanted, allowed);
    }
    return frame_alloc_slow(order, flags, kind, wanted, allowed);
}

void frame_split(struct page *page)
{
    uint64_t n = 1ull << page->order;
    uint64_t meta = page_meta(page->flags & ~PAGE_FLAG_HEAD, page->kind, 0);

    for (uint64_t i = 0; i < n; i++) {
        page[i].counts = 1;
        page_set_meta(page + i, meta);
    }
}

unsigned frame_alloc_bulk(unsigned n, unsigned flags, enum page_kind kind, struct page **pages)
{
    unsigned done = 0;

    if (fail_pages(0, (flags & FRAME_RECLAIM) != 0)) {
        return 0;
    }
    while ((flags & (FRAME_DMA | FRAME_DMA32)) == 0 && done < n) {
        uint64_t irq = irq_save();
        struct frame_hot *hot = this_cpu_ptr(frame_hot);
        struct hot_stack *stack = &hot->stacks[page_kind_movable(kind)];
        if (stack->count == 0) {
            hot_refill(hot, stack);
        }
        unsigned take = MIN(stack->count, n - done);
        for (unsigned i = 0; i < take; i++) {
            pages[done + i] = stack->pages[stack->count - 1 - i];
        }
        stack->count -= take;
        hot->by_kind[kind] += take;
        hot->allocs += take;
        irq_restore(irq);
        if (take == 0) {
            break;
        }
        done += take;
    }
    for (unsigned i = 0; i < done; i++) {
        page_start_life(pages[i], 0, kind);
        if (wants_zeros(flags)) {
            page_clear(page_to_virt(pages[i]));
        }
    }
    while (done < n && (pages[done] = frame_alloc_block(0, flags, kind)) != NULL) {
        done++;
    }
    return done;
}

/* ---- release ---- */

void frame_block_free(struct page *page, unsigned order, enum page_kind kind)
{
    struct zone *zone = zone_of(page_to_pfn(page));

    count_kind(zone->node, kind, -(1ll << order));
    uint64_t irq = spin_lock_irqsave(&zone->lock);
    zone_give_locked(zone, page, order);
    spin_unlock_irqrestore(&zone->lock, irq);
}

static __noinline void tell_bad_free(const struct page *page)
{
    if (defect_begin(DEFECT_HEAP)) {
        log_write(DEFECT_LEVEL, "heap: frame %#llx is freed, but its kind is %u, its references %u",
                  (unsigned long long)page_to_pfn(page), page->kind, page->refs);
        defect_end();
    }
}

#ifndef page_is_live
bool page_is_live(const struct page *page)
{
    if (likely(atomic_load_relaxed(&page->refs) != 0)) {
        return true;
    }
    tell_bad_free(page);
    return false;
}
#endif

/* All but a single frame of this CPU's node, on no list, for which there is room on the stack. */
static __noinline void page_free_slow(struct page *page)
{
    enum page_kind kind = page->kind;
    unsigned order = page->order;

    if (kind == PAGE_FREE || kind == PAGE_RESERVED) {
        tell_bad_free(page);
        return;
    }
    ASSERT(page->mapcount == 0);
    if ((page->flags & PAGE_FLAG_LRU) != 0) {
        lru_take_freed(&page, 1);
    }
    if (frame_init_on_free) {
        memset(page_to_virt(page), 0, PAGE_SIZE << order);
    }
    page_end_life(page, order);
    uint64_t irq = irq_save();
    struct frame_hot *hot = this_cpu_ptr(frame_hot);
    hot->frees++;
    if (order > 0 || page_node(page) != hot->node) {
        bool kept = hot_block_give(hot, page, order, kind);
        irq_restore(irq);
        if (kept) {
            return;
        }
        frame_block_free(page, order, kind);
        return;
    }
    struct hot_stack *stack = &hot->stacks[page_kind_movable(kind)];
    hot->by_kind[kind]--;
    if (stack->count == HOT_MAX) {
        hot_spill(stack, HOT_BATCH);
    }
    stack->pages[stack->count++] = page;
    irq_restore(irq);
}

void page_free_last(struct page *page)
{
    enum page_kind kind = page->kind;
    uint64_t irq = irq_save();
    struct frame_hot *hot = this_cpu_ptr(frame_hot);
    struct hot_stack *stack = hot_stack_for(hot, kind);
    uint32_t count = stack->count;

    if (unlikely((uintptr_t)page - hot->foreign_start < hot->foreign_bytes) ||
        unlikely(page_is_block_or_listed(page)) || unlikely(kind <= PAGE_FREE) ||
        unlikely(count == HOT_MAX)) {
        irq_restore(irq);
        page_free_slow(page);
        return;
    }
    page_end_life(page, 0);
    hot->frees++;
    hot->by_kind[kind]--;
    stack->pages[count] = page;
    stack->count = count + 1;
    irq_restore(irq);
}

void frame_free(struct page *page)
{
    if (!page_is_live(page)) {
        return;
    }
    ASSERT(page->refs == 1);
    page->refs = 0;
    page_free_last(page);
}

void page_set_kind(struct page *page, enum page_kind kind)
{
    unsigned node = page_node(page);

    count_kind(node, page->kind, -(1ll << page->order));
    count_kind(node, kind, 1ll << page->order);
    page->kind = (uint8_t)kind;
}
