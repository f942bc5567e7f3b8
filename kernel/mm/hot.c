/*
 * The stacks of free frames that each CPU keeps: last in, first out, so what is given out is warm in the cache. One is for movable pages, one for the
 * others, so that these do not get where those are. They hold frames of the CPU's own node alone, and are refilled from and spilled to
 * its zones in batches. A few blocks of 2 to 8 frames are kept likewise, of those that were freed here.
 *
 * Counters are per CPU too: a frame may be counted up here and down there; only the sums mean something. What a CPU does to frames that
 * are not of its own node, and to blocks, is counted with the node.
 */
#include "kernel/mm/hot.h"

#include "kernel/base/string.h"
#include "kernel/machine/smp.h"

DEFINE_PER_CPU(struct frame_hot, frame_hot);

struct page *frame_cleared(struct page *page)
{
    page_clear(page_to_virt(page));
    return page;
}

void frames_set_cpu_node(unsigned cpu, unsigned node)
{
    struct frame_hot *hot = per_cpu_ptr(frame_hot, cpu);
    pfn_t start = UINT64_MAX, end = 0;

    frames_drain_local(); /* the CPU is this one, or does not run yet */
    hot->node = node;
    for (unsigned id = 0; id < ZONE_COUNT; id++) {
        const struct zone *zone = &nodes[node]->zones[id];
        if (zone->present > 0) {
            start = MIN(start, zone->start);
            end = MAX(end, zone->end);
        }
    }
    for (unsigned other = 0; other < nodes_count(); other++) {
        for (unsigned id = 0; id < ZONE_COUNT && other != node; id++) {
            const struct zone *zone = &nodes[other]->zones[id];
            if (zone->present > 0 && zone->start < end && zone->end > start) {
                end =
                    start; /* interleaved: no range is this node's alone, so all goes by way of the zones */
            }
        }
    }
    /* Everything but [start, end): from its end on, round the end of the address space, to its start. */
    hot->foreign_start = nodes_count() == 1 ? 0 : (uintptr_t)(PAGE_ARRAY + end);
    hot->foreign_bytes = nodes_count() == 1 ? 0
                         : start >= end     ? UINTPTR_MAX
                                            : (start - end) * sizeof(struct page);
    if (frame_init_on_free) {
        hot->foreign_bytes = UINTPTR_MAX;
    }
}

unsigned frames_cpu_node(unsigned cpu)
{
    return per_cpu_ptr(frame_hot, cpu)->node;
}

/* From the zones of the CPU's own node. Interrupts off. */
static unsigned hot_refill_above(struct frame_hot *hot, struct hot_stack *stack,
                                 enum zone_floor floor)
{
    enum migrate_type type = stack == &hot->stacks[1] ? MIGRATE_MOVABLE : MIGRATE_UNMOVABLE;
    struct page *batch[HOT_BATCH];
    unsigned got = 0;

    for (int id = ZONE_NORMAL; id >= 0 && got == 0; id--) {
        struct zone *zone = &nodes[hot->node]->zones[id];
        if (unlikely(READ_ONCE(zone->untouched) > 0 && READ_ONCE(zone->free) < GROW_BELOW)) {
            (void)zone_grow(zone);
        }
        spin_lock(&zone->lock);
        uint64_t available = zone_available_locked(zone, floor, ZONE_NORMAL);
        if (available > 0) {
            got = zone_take_singles_locked(zone, (unsigned)MIN(available, (uint64_t)HOT_BATCH),
                                           type, batch);
        }
        spin_unlock(&zone->lock);
    }
    /* Reversed, so that they come off the stack in ascending order. */
    for (unsigned i = got; i > 0; i--) {
        stack->pages[stack->count++] = batch[i - 1];
    }
    return got;
}

void hot_refill(struct frame_hot *hot, struct hot_stack *stack)
{
    if (!frames_ready) {
        return;
    }
    if (hot_refill_above(hot, stack, FLOOR_LOW) == 0 && nodes_count() == 1) {
        frame_wake_reclaim(hot->node, 0); /* of several nodes the next may have enough */
        (void)hot_refill_above(hot, stack, FLOOR_MIN);
    }
}

void hot_spill(struct hot_stack *stack, unsigned n)
{
    unsigned i = 0;

    while (i < n) {
        struct zone *zone = zone_of(page_to_pfn(stack->pages[i]));
        spin_lock(&zone->lock);
        do {
            zone_give_locked(zone, stack->pages[i], 0);
            i++;
        } while (i < n && zone_of(page_to_pfn(stack->pages[i])) == zone);
        spin_unlock(&zone->lock);
    }
    stack->count -= n;
    memmove(stack->pages, stack->pages + n, stack->count * sizeof(stack->pages[0]));
}

struct page *hot_block_take(unsigned order, enum page_kind kind)
{
    uint64_t irq = irq_save();
    struct frame_hot *hot = this_cpu_ptr(frame_hot);
    struct hot_blocks *blocks = hot_blocks_for(hot, order, kind);
    struct page *page = NULL;

    if (blocks->count > 0) {
        page = blocks->pages[--blocks->count];
        hot->by_kind[kind] += 1ll << order;
        hot->allocs++;
    }
    irq_restore(irq);
    return page;
}

bool hot_block_give(struct frame_hot *hot, struct page *page, unsigned order, enum page_kind kind)
{
    if (order - 1 >= HOT_BLOCK_ORDERS || page_node(page) != hot->node) {
        return false;
    }
    struct hot_blocks *blocks = hot_blocks_for(hot, order, kind);
    if (blocks->count == HOT_BLOCKS) {
        return false;
    }
    hot->by_kind[kind] -= 1ll << order;
    blocks->pages[blocks->count++] = page;
    return true;
}

static void blocks_spill(struct hot_blocks *blocks, unsigned order)
{
    while (blocks->count > 0) {
        struct page *page = blocks->pages[--blocks->count];
        struct zone *zone = zone_of(page_to_pfn(page));
        spin_lock(&zone->lock);
        zone_give_locked(zone, page, order);
        spin_unlock(&zone->lock);
    }
}

/* At most a batch of a stack at once: to give a frame back takes long where it merges with many. Interrupts off. False: there is no more. */
static bool drain_batch(struct frame_hot *hot)
{
    for (unsigned movable = 0; movable < 2; movable++) {
        struct hot_stack *stack = &hot->stacks[movable];
        if (stack->count > 0) {
            hot_spill(stack, MIN(stack->count, HOT_BATCH));
            return true;
        }
    }
    for (unsigned movable = 0; movable < 2; movable++) {
        for (unsigned order = 1; order <= HOT_BLOCK_ORDERS; order++) {
            blocks_spill(&hot->blocks[movable][order - 1], order);
        }
    }
    return false;
}

_Static_assert(2 * DIV_ROUND_UP(HOT_MAX, HOT_BATCH) + 1 == FRAMES_DRAIN_TIMES, "the blocks last");

void frames_drain_batch(void *more)
{
    uint64_t irq = irq_save();

    if (drain_batch(this_cpu_ptr(frame_hot))) {
        atomic_store_relaxed((bool *)more, true);
    }
    irq_restore(irq);
}

void frames_drain_local(void)
{
    bool more = true;

    for (unsigned i = 0; i < FRAMES_DRAIN_TIMES && more; i++) {
        more = false;
        frames_drain_batch(&more);
    }
}

/* ---- figures ---- */

static void add_kinds(uint64_t sums[PAGE_NKINDS], const int64_t by_kind[PAGE_NKINDS])
{
    for (unsigned kind = 0; kind < PAGE_NKINDS; kind++) {
        sums[kind] += (uint64_t)READ_ONCE(by_kind[kind]);
    }
}

/* Sums of moving counters may be below 0 for a moment. */
static void clamp_kinds(uint64_t sums[PAGE_NKINDS])
{
    for (unsigned kind = 0; kind < PAGE_NKINDS; kind++) {
        sums[kind] = (int64_t)sums[kind] < 0 ? 0 : sums[kind];
    }
}

static unsigned hot_count(const struct frame_hot *hot)
{
    unsigned n = READ_ONCE(hot->stacks[0].count) + READ_ONCE(hot->stacks[1].count);

    for (unsigned order = 1; order <= HOT_BLOCK_ORDERS; order++) {
        n += READ_ONCE(hot->blocks[0][order - 1].count) << order;
        n += READ_ONCE(hot->blocks[1][order - 1].count) << order;
    }
    return n;
}

void frames_node_figures(unsigned node, struct node_stats *stats)
{
    unsigned cpu;

    for (unsigned i = 0; i < NUMA_NSTATS; i++) {
        stats->numa[i] = atomic_load_relaxed(&nodes[node]->numa[i]);
    }
    add_kinds(stats->by_kind, nodes[node]->by_kind);
    for_each_cpu (cpu) {
        const struct frame_hot *hot = per_cpu_ptr(frame_hot, cpu);
        if (hot->node == node) {
            stats->free += hot_count(hot);
            stats->numa[NUMA_HIT] += READ_ONCE(hot->allocs);
            stats->numa[NUMA_LOCAL] += READ_ONCE(hot->allocs);
            add_kinds(stats->by_kind, hot->by_kind);
        }
    }
    clamp_kinds(stats->by_kind);
    stats->by_kind[PAGE_FREE] = stats->free;
}

void frame_stats(struct frame_stats *ret_stats)
{
    unsigned cpu;

    *ret_stats = (struct frame_stats){.reserved = frames_reserved()};
    for (unsigned id = 0; id < nodes_count(); id++) {
        struct node_stats node;
        (void)node_stats(id, &node);
        ret_stats->total += node.total;
        ret_stats->free += node.free;
        ret_stats->allocs += node.numa[NUMA_HIT] + node.numa[NUMA_MISS];
        for (unsigned kind = 0; kind < PAGE_NKINDS; kind++) {
            ret_stats->by_kind[kind] += node.by_kind[kind];
        }
    }
    for_each_cpu (cpu) {
        ret_stats->frees += READ_ONCE(per_cpu_ptr(frame_hot, cpu)->frees);
    }
}

void frame_cpu_stats(unsigned cpu, struct frame_cpu_stats *ret_stats)
{
    *ret_stats = (struct frame_cpu_stats){
        .count = hot_count(per_cpu_ptr(frame_hot, cpu)),
        .high = 2 * HOT_MAX,
        .batch = HOT_BATCH,
    };
}
