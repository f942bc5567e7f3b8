/*
 * Page frames: the front of the allocator.
 *
 * Single frames, which are nearly all requests, come from and go to a stack per CPU (last in, first out: warm in the cache), with
 * interrupts off and no lock. It is refilled from and spilled to the zones in batches. Larger blocks and requests for low memory
 * go to the zones at once.
 *
 * Counters are per CPU too: a frame may be counted up here and down there; only the sums mean something.
 */
#include "kernel/mm/frame.h"

#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/mm/frame_debug.h"
#include "kernel/mm/lru.h"
#include "kernel/mm/poison.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/zone.h"
#include "kernel/sync/lockdep.h"

#define HOT_MAX   96u /* frames a CPU keeps at most */
#define HOT_BATCH 32u /* moved to or from the zones at once */

struct frame_hot {
    uint32_t count;
    struct page *pages[HOT_MAX];
    int64_t by_kind[PAGE_NKINDS];
    uint64_t allocs, frees;
};

static DEFINE_PER_CPU(struct frame_hot, frame_hot); /* interrupts off */

static const struct frame_reclaim_ops *reclaim_ops; /* [I] after boot */

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

static struct page *zones_take(unsigned order, enum zone_id first, enum zone_floor floor)
{
    for (int id = (int)first; id >= 0; id--) {
        struct zone *zone = &zones[id];
        struct page *page = NULL;
        uint64_t irq = spin_lock_irqsave(&zone->lock);
        if (zone_available_locked(zone, floor, first) >= (1ull << order)) {
            page = zone_take_locked(zone, order);
        }
        spin_unlock_irqrestore(&zone->lock, irq);
        if (page != NULL) {
            return page;
        }
    }
    return NULL;
}

static void wake_reclaim(unsigned order)
{
    const struct frame_reclaim_ops *ops = __atomic_load_n(&reclaim_ops, __ATOMIC_ACQUIRE);

    if (ops != NULL && ops->wake != NULL) {
        ops->wake(0, order);
    }
}

/* Interrupts off. */
static unsigned hot_refill_above(struct frame_hot *hot, enum zone_floor floor)
{
    struct page *batch[HOT_BATCH];
    unsigned got = 0;

    for (int id = ZONE_NORMAL; id >= 0 && got == 0; id--) {
        struct zone *zone = &zones[id];
        spin_lock(&zone->lock);
        uint64_t available = zone_available_locked(zone, floor, ZONE_NORMAL);
        if (available > 0) {
            got = zone_take_singles_locked(zone, (unsigned)MIN(available, (uint64_t)HOT_BATCH),
                                           batch);
        }
        spin_unlock(&zone->lock);
    }
    /* Reversed, so that they come off the stack in ascending order. */
    for (unsigned i = got; i > 0; i--) {
        hot->pages[hot->count++] = batch[i - 1];
    }
    return got;
}

/* Never below `min`: what is taken from there is taken one by one, by frame_alloc_slow(). Interrupts off. */
static void hot_refill(struct frame_hot *hot)
{
    if (hot_refill_above(hot, FLOOR_LOW) == 0) {
        wake_reclaim(0);
        (void)hot_refill_above(hot, FLOOR_MIN);
    }
}

/* Give the n frames that have lain longest back to their zones. Interrupts off. */
static void hot_spill(struct frame_hot *hot, unsigned n)
{
    unsigned i = 0;

    while (i < n) {
        struct zone *zone = zone_of(page_to_pfn(hot->pages[i]));
        spin_lock(&zone->lock);
        do {
            zone_give_locked(zone, hot->pages[i], 0);
            i++;
        } while (i < n && zone_of(page_to_pfn(hot->pages[i])) == zone);
        spin_unlock(&zone->lock);
    }
    hot->count -= n;
    memmove(hot->pages, hot->pages + n, hot->count * sizeof(hot->pages[0]));
}

void frames_drain_local(void)
{
    uint64_t irq = irq_save();
    struct frame_hot *hot = this_cpu_ptr(frame_hot);

    hot_spill(hot, hot->count);
    irq_restore(irq);
}

/* ---- allocation ---- */

static __always_inline void page_start_life(struct page *page, unsigned order, enum page_kind kind)
{
    memory_unpoison(page_to_virt(page), PAGE_SIZE << order);
    frame_debug_alloc(page, order);
    page->counts = 1;
    page_set_meta(page, page_meta(order > 0 ? PAGE_FLAG_HEAD : 0, kind, order));
}

static void count_alloc(unsigned order, enum page_kind kind)
{
    uint64_t irq = irq_save();
    struct frame_hot *hot = this_cpu_ptr(frame_hot);

    hot->by_kind[kind] += 1ll << order;
    hot->allocs++;
    irq_restore(irq);
}

/* Nothing is free above `min`. The request may go below it, or may wait. */
static struct page *zones_take_below_min(unsigned order, unsigned flags, enum zone_id first)
{
    const struct frame_reclaim_ops *ops = __atomic_load_n(&reclaim_ops, __ATOMIC_ACQUIRE);
    bool reserve = (flags & FRAME_RESERVE) != 0;
    struct page *page;

    if (reserve || (flags & FRAME_RECLAIM) == 0) {
        page = zones_take(order, first, reserve ? FLOOR_NONE : FLOOR_ATOMIC);
        if (page != NULL) {
            if (ops != NULL && ops->dipped != NULL && !reserve) {
                ops->dipped(0);
            }
            return page;
        }
    }
    /* What the heap can spare is to be had without waiting. */
    size_t freed = slab_shrink_all();
    frames_drain_local();
    page = zones_take(order, first,
                      reserve                        ? FLOOR_NONE
                      : (flags & FRAME_RECLAIM) != 0 ? FLOOR_MIN
                                                     : FLOOR_ATOMIC);
    if (page != NULL || (flags & FRAME_RECLAIM) == 0 || ops == NULL || ops->reclaim == NULL) {
        return page;
    }
    might_sleep();
    do {
        freed = ops->reclaim(0, order);
        frames_drain_local();
        page = zones_take(order, first, FLOOR_MIN);
    } while (page == NULL && freed > 0);
    return page;
}

/* Everything but the common case: larger blocks, special zones, empty stacks, early boot, little memory. */
static __noinline struct page *frame_alloc_slow(unsigned order, unsigned flags, enum page_kind kind)
{
    if (order > FRAME_MAX_ORDER) {
        return NULL;
    }
    if (unlikely(!frames_ready)) {
        return early_frame_alloc(order, flags);
    }
    enum zone_id first = zone_first(flags);
    struct page *page = zones_take(order, first, FLOOR_LOW);
    if (page == NULL) {
        wake_reclaim(order);
        page = zones_take(order, first, FLOOR_MIN);
    }
    if (page == NULL) {
        page = zones_take_below_min(order, flags, first);
    }
    if (page == NULL) {
        return NULL;
    }
    page_start_life(page, order, kind);
    count_alloc(order, kind);
    if ((flags & FRAME_ZERO) != 0) {
        memset(page_to_virt(page), 0, PAGE_SIZE << order);
    }
    return page;
}

struct page *frame_alloc(unsigned order, unsigned flags, enum page_kind kind)
{
    if (likely(order == 0 && (flags & (FRAME_DMA | FRAME_DMA32)) == 0)) {
        uint64_t irq = irq_save();
        struct frame_hot *hot = this_cpu_ptr(frame_hot);
        uint32_t count = hot->count;
        if (unlikely(count == 0) && likely(frames_ready)) {
            hot_refill(hot);
            count = hot->count;
        }
        if (likely(count > 0)) {
            struct page *page = hot->pages[count - 1];
            hot->count = count - 1;
            hot->by_kind[kind]++;
            hot->allocs++;
            irq_restore(irq);
            page_start_life(page, 0, kind);
            if ((flags & FRAME_ZERO) != 0) {
                page_clear(page_to_virt(page));
            }
            return page;
        }
        irq_restore(irq);
    }
    return frame_alloc_slow(order, flags, kind);
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

    if ((flags & (FRAME_DMA | FRAME_DMA32)) == 0 && frames_ready) {
        while (done < n) {
            uint64_t irq = irq_save();
            struct frame_hot *hot = this_cpu_ptr(frame_hot);
            if (hot->count == 0) {
                hot_refill(hot);
            }
            unsigned take = MIN(hot->count, n - done);
            for (unsigned i = 0; i < take; i++) {
                pages[done + i] = hot->pages[hot->count - 1 - i];
            }
            hot->count -= take;
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
            if ((flags & FRAME_ZERO) != 0) {
                page_clear(page_to_virt(pages[i]));
            }
        }
    }
    while (done < n && (pages[done] = frame_alloc_slow(0, flags, kind)) != NULL) {
        done++;
    }
    return done;
}

/* ---- release ---- */

static void block_free(struct page *page, unsigned order)
{
    struct zone *zone = zone_of(page_to_pfn(page));
    uint64_t irq = spin_lock_irqsave(&zone->lock);

    zone_give_locked(zone, page, order);
    spin_unlock_irqrestore(&zone->lock, irq);
}

void page_free_last(struct page *page)
{
    enum page_kind kind = page->kind;
    unsigned order = page->order;

    if (unlikely(kind == PAGE_FREE || kind == PAGE_RESERVED)) {
        panic("mm: frame %#llx is freed, but its kind is %u", (unsigned long long)page_to_pfn(page),
              kind);
    }
    ASSERT(page->mapcount == 0);
    if ((page->flags & PAGE_FLAG_LRU) != 0) {
        lru_take_freed(&page, 1);
    }
    frame_debug_free(page, order);
    memory_poison_as(page_to_virt(page), PAGE_SIZE << order, POISON_FRAME);
    page_set_meta(page, page_meta(0, PAGE_FREE, FRAME_ORDER_HOT));
    uint64_t irq = irq_save();
    struct frame_hot *hot = this_cpu_ptr(frame_hot);
    hot->by_kind[kind] -= 1ll << order;
    hot->frees++;
    if (likely(order == 0)) {
        if (unlikely(hot->count == HOT_MAX)) {
            hot_spill(hot, HOT_BATCH);
        }
        hot->pages[hot->count++] = page;
        irq_restore(irq);
        return;
    }
    irq_restore(irq);
    block_free(page, order);
}

void frame_free(struct page *page)
{
    ASSERT(page->refs == 1);
    page->refs = 0;
    page_free_last(page);
}

#define DROP_BATCH 32u

/* Take `count` from the counts of each page. Those that go leave their lists together. */
static inline void pages_drop(struct page **pages, unsigned n, uint64_t count)
{
    struct page *last[DROP_BATCH];
    unsigned nlast = 0;

    for (unsigned i = 0; i < n; i++) {
        uint32_t refs = (uint32_t)__atomic_fetch_sub(&pages[i]->counts, count, __ATOMIC_ACQ_REL);
        if (refs == 1) {
            last[nlast++] = pages[i];
        }
        if (nlast == DROP_BATCH || (i + 1 == n && nlast > 0)) {
            lru_take_freed(last, nlast);
            for (unsigned k = 0; k < nlast; k++) {
                page_free_last(last[k]);
            }
            nlast = 0;
        }
    }
}

void pages_put(struct page **pages, unsigned n)
{
    pages_drop(pages, n, 1);
}

void pages_unmap_put(struct page **pages, unsigned n)
{
    pages_drop(pages, n, PAGE_COUNT_MAPPING);
}

void page_set_kind(struct page *page, enum page_kind kind)
{
    uint64_t irq = irq_save();
    struct frame_hot *hot = this_cpu_ptr(frame_hot);

    hot->by_kind[page->kind] -= 1ll << page->order;
    hot->by_kind[kind] += 1ll << page->order;
    page->kind = (uint8_t)kind;
    irq_restore(irq);
}

/* ---- figures ---- */

void frame_stats(struct frame_stats *ret_stats)
{
    unsigned cpu;
    int64_t by_kind[PAGE_NKINDS] = {0};

    *ret_stats = (struct frame_stats){.reserved = frames_reserved()};
    for (unsigned id = 0; id < ZONE_COUNT; id++) {
        uint64_t irq = spin_lock_irqsave(&zones[id].lock);
        ret_stats->total += zones[id].managed;
        ret_stats->free += zones[id].free;
        spin_unlock_irqrestore(&zones[id].lock, irq);
    }
    for_each_cpu (cpu) {
        const struct frame_hot *hot = per_cpu_ptr(frame_hot, cpu);
        ret_stats->free += READ_ONCE(hot->count);
        ret_stats->allocs += READ_ONCE(hot->allocs);
        ret_stats->frees += READ_ONCE(hot->frees);
        for (unsigned kind = 0; kind < PAGE_NKINDS; kind++) {
            by_kind[kind] += READ_ONCE(hot->by_kind[kind]);
        }
    }
    for (unsigned kind = 0; kind < PAGE_NKINDS; kind++) {
        ret_stats->by_kind[kind] = (uint64_t)MAX(by_kind[kind], 0ll);
    }
    ret_stats->by_kind[PAGE_FREE] = ret_stats->free;
}
