/*
 * What object caches hold and nobody uses goes back: the objects in CPUs' magazines to their slabs, empty slabs to the frame allocator, a cache
 * as a whole; and the figures of what there is.
 *
 * A CPU's magazines are its own: others ask it, by an interrupt for each cache.
 */
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/core/smp_call.h"
#include "kernel/mm/cache.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/quarantine.h"
#include "kernel/sync/lockdep.h"
#include "kernel/sync/rcu.h"

/* Empty this CPU's magazine into the slabs. Interrupts off. */
static void magazine_flush(struct slab_cache *cache, struct slab_magazine *magazine)
{
    if (magazine != NULL && magazine->count > 0) {
        slab_cache_give(cache, magazine->objects, magazine->count);
        magazine->count = 0;
    }
}

/* The magazine itself as well. Interrupts off; the CPU whose it is does not use it meanwhile. */
static void magazine_destroy(struct slab_cache *cache, struct slab_magazine **slot)
{
    if (*slot != NULL) {
        magazine_flush(cache, *slot);
        (void)slab_debug_free(&slab_magazine_caches[cache->magazine_kind], *slot);
        slab_cache_give(&slab_magazine_caches[cache->magazine_kind], (void **)slot, 1);
        *slot = NULL;
    }
}

void slab_cache_destroy(struct slab_cache *cache)
{
    unsigned cpu;

    if (cache == NULL) {
        return;
    }
    quarantine_drain(cache);
    /* Nobody uses the cache any more, so other CPUs' magazines of it stand still. */
    uint64_t irq = irq_save();
    for_each_cpu (cpu) {
        magazine_destroy(cache, &(*per_cpu_ptr(slab_magazines, cpu))[cache->id]);
    }
    irq_restore(irq);
    (void)slab_cache_drop_empty(cache);
    if (cache->by_rcu) {
        rcu_barrier(); /* its slabs name it */
    }
    if (WARN_ON(cache->nslabs != 0)) {
        return; /* objects still in use: leak rather than pull them away */
    }
    irq = spin_lock_irqsave(&slab_caches_lock);
    slab_caches[cache->id] = NULL;
    spin_unlock_irqrestore(&slab_caches_lock, irq);
    slab_free(&slab_caches_cache, cache);
}

size_t slab_shrink_all(void)
{
    size_t pages = 0;

    quarantine_drain(NULL);
    /* Backwards: the first caches hold the headers of the others' slabs, which are freed on the way. */
    for (unsigned id = SLAB_MAX_CACHES; id-- > 0;) {
        struct slab_cache *cache = READ_ONCE(slab_caches[id]);
        if (cache != NULL) {
            uint64_t irq = irq_save();
            magazine_flush(cache, (*this_cpu_ptr(slab_magazines))[id]);
            irq_restore(irq);
            pages += slab_cache_drop_empty(cache);
        }
    }
    return pages;
}

void slab_cpu_offline(unsigned cpu)
{
    (void)cpu;
    for (unsigned id = 0; id < SLAB_MAX_CACHES; id++) {
        struct slab_cache *cache = READ_ONCE(slab_caches[id]);
        if (cache != NULL) {
            magazine_destroy(cache, &(*this_cpu_ptr(slab_magazines))[id]);
        }
    }
    frames_drain_local();
}

/* On each CPU, for one cache at a time: a magazine is all that is worth keeping interrupts off for. */
static void cpu_flush(void *arg)
{
    unsigned id = (unsigned)(uintptr_t)arg;
    struct slab_cache *cache = READ_ONCE(slab_caches[id]);

    if (cache != NULL) {
        magazine_flush(cache, (*this_cpu_ptr(slab_magazines))[id]);
    }
}

static bool is_in_magazines(unsigned id)
{
    unsigned cpu;

    for_each_cpu (cpu) {
        const struct slab_magazine *magazine = READ_ONCE((*per_cpu_ptr(slab_magazines, cpu))[id]);
        if (magazine != NULL && READ_ONCE(magazine->count) > 0) {
            return true;
        }
    }
    return false;
}

size_t slab_shrink_cpus(void)
{
    bool more = true;

    might_sleep();
    for (unsigned id = 0; id < SLAB_MAX_CACHES; id++) {
        if (READ_ONCE(slab_caches[id]) != NULL && is_in_magazines(id)) {
            smp_call_others(cpu_flush, (void *)(uintptr_t)id, true);
        }
    }
    for (unsigned i = 0; i < FRAMES_DRAIN_TIMES && atomic_load_relaxed(&more); i++) {
        atomic_store_relaxed(&more, false);
        smp_call_others(frames_drain_batch, &more, true);
    }
    size_t pages = slab_shrink_all();
    frames_drain_local();
    return pages;
}

/* ---- figures ---- */

uint64_t slab_objects(struct slab_cache *cache)
{
    uint64_t used = READ_ONCE(cache->nused), in_magazines = 0;
    unsigned cpu;

    for_each_cpu (cpu) {
        const struct slab_magazine *magazine = (*per_cpu_ptr(slab_magazines, cpu))[cache->id];
        in_magazines += magazine == NULL ? 0 : READ_ONCE(magazine->count);
    }
    return used > in_magazines ? used - in_magazines : 0;
}

bool slab_describe(unsigned index, struct slab_info *ret_info)
{
    bool found = false;
    uint64_t irq = spin_lock_irqsave(&slab_caches_lock);

    for (unsigned id = 0; id < SLAB_MAX_CACHES && !found; id++) {
        struct slab_cache *cache = slab_caches[id];
        if (cache == NULL || index-- > 0) {
            continue;
        }
        *ret_info = (struct slab_info){
            .name = cache->name,
            .object_size = cache->size,
            .objects_active = slab_objects(cache),
            .objects_total = cache->nslabs * cache->per_slab,
            .slabs = cache->nslabs,
            .objects_per_slab = cache->per_slab,
            .pages_per_slab = 1u << cache->order,
        };
        found = true;
    }
    spin_unlock_irqrestore(&slab_caches_lock, irq);
    return found;
}
