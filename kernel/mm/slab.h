/*
 * Object caches: each cache hands out objects of one size from slabs of one or more pages; a per-CPU magazine (LIFO) in front
 * makes the common alloc and free a few instructions without a shared lock.
 *
 * Source: Bonwick 1994; Bonwick and Adams 2001. Locking: magazines with interrupts off, cache->lock (spin, irqsave) behind.
 */
#pragma once

#include "kernel/mm/page.h"

struct slab_cache;

#define SLAB_ALIGN_CACHELINE 0x1u
#define SLAB_RECLAIMABLE     0x2u /* most objects go when a shrinker asks for it: dentries, inodes */
/*
 * Objects stay objects of this cache for ever: the memory of its slabs is not given back, and an object that is free keeps its content. So
 * who looks at one without a hold on it may find it free or used anew, but nothing else. Needs a constructor.
 */
#define SLAB_TYPE_STABLE 0x4u
/*
 * The same, but inside of rcu_read_lock() only: after a grace period memory is given back. For look-ups that find an object without a lock, take
 * a reference unless there is none, and then look whether it is still what they were looking for.
 */
#define SLAB_TYPE_STABLE_RCU 0x8u

/* `name` lives as long as the cache. align 0: 8, or 16 for sizes >= 16. ctor may be NULL; it runs once per object's life in a slab. */
struct slab_cache *slab_cache_create(const char *name, size_t size_bytes, size_t align_bytes,
                                     unsigned flags, void (*ctor)(void *object));
/* All objects have been freed. */
void slab_cache_destroy(struct slab_cache *cache);

#define ALLOC_ZERO 0x1u
/* NULL: no memory. Any context. */
void *slab_alloc(struct slab_cache *cache, unsigned flags) __must_check;
void slab_free(struct slab_cache *cache, void *object); /* NULL is fine */
static inline void *slab_zalloc(struct slab_cache *cache)
{
    return slab_alloc(cache, ALLOC_ZERO);
}

/* Pages in slabs of SLAB_RECLAIMABLE caches. Any context. */
uint64_t slab_reclaimable_pages(void);
/* Give empty slabs back to the frame allocator, with what this CPU's magazines hold; returns pages freed. Any context. */
size_t slab_shrink_all(void);
/* The same with the magazines, and the stacks of free frames, of all CPUs. Threads, with no spin lock held. */
size_t slab_shrink_cpus(void);
/* The running CPU leaves (struct cpu_step): its magazines and its stacks of free frames go back. Interrupts off. */
void slab_cpu_offline(unsigned cpu);

struct slab_info {
    const char *name;
    size_t object_size;
    uint64_t objects_active, objects_total, slabs;
    unsigned objects_per_slab, pages_per_slab;
};
/* Objects of the cache that are in use. Any context. */
uint64_t slab_objects(struct slab_cache *cache);
bool slab_describe(unsigned index, struct slab_info *ret_info); /* for /proc/slabinfo */
void slab_init(void);
