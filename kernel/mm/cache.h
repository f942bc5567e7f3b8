/*
 * The inside of an object cache, for the fast paths of slab.c and kmalloc.c. Private to kernel/mm.
 */
#pragma once

#include "kernel/base/string.h"
#include "kernel/core/percpu.h"
#include "kernel/mm/fail.h"
#include "kernel/mm/poison.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/slab_debug.h"
#include "kernel/sync/spinlock.h"

#define SLAB_MAX_CACHES 160
#define SLAB_MAX_OBJECT 4096
#define KMALLOC_ID      5u /* of the first of kmalloc's caches; the others follow */

/* One CPU's stack of free objects of one cache. */
struct slab_magazine {
    uint32_t count;    /* [p] */
    uint32_t capacity; /* [I] */
    void *objects[];   /* [p] */
};

struct slab_cache {
    uint32_t id;                /* [I] index of its magazines */
    uint32_t size;              /* [I] bytes the user asked for */
    uint32_t stride;            /* [I] from object to object */
    uint32_t link_offset;       /* [I] of the chain word in a free object */
    uint32_t per_slab;          /* [I] objects in a slab */
    uint32_t order;             /* [I] pages of a slab: 1 << order */
    uint32_t magazine_kind;     /* [I] index of magazine_caches; past it: no magazines */
    uint32_t frame_flags;       /* [I] FRAME_* of its slabs */
    uint32_t track_offset;      /* [I] of struct slab_track, in builds that have it */
    bool external;              /* [I] slab headers are objects of their own */
    bool type_stable;           /* [I] SLAB_TYPE_STABLE or SLAB_TYPE_STABLE_RCU */
    bool by_rcu;                /* [I] SLAB_TYPE_STABLE_RCU */
    bool internal;              /* [I] the allocator's own: needed to free others */
    const char *name;           /* [I] */
    void (*ctor)(void *object); /* [I] */
    struct spinlock lock;
    struct list_node partial; /* [c] slabs with free and used objects */
    struct list_node empty;   /* [c] slabs with free objects alone */
    uint32_t nempty;          /* [c] */
    uint64_t nslabs;          /* [c] */
    uint64_t nused;           /* [c] objects handed out or in magazines */
};

DECLARE_PER_CPU(struct slab_magazine *, slab_magazines)[SLAB_MAX_CACHES];

/* ---- between slab.c and slab_shrink.c ---- */

#define SLAB_MAGAZINE_KINDS 3
extern struct slab_cache *slab_caches
    [SLAB_MAX_CACHES]; /* [slab_caches_lock] by id; read without it by who can do with an old one */
extern struct spinlock slab_caches_lock;
extern struct slab_cache slab_caches_cache; /* struct slab_cache */
extern struct slab_cache slab_magazine_caches[SLAB_MAGAZINE_KINDS];
/* Put n objects back into their slabs. Interrupts off. */
void slab_cache_give(struct slab_cache *cache, void **objects, unsigned n);
/* Its empty slabs go, if it may lose them: returns pages. Any context. */
size_t slab_cache_drop_empty(struct slab_cache *cache);

/* ---- slab.c ---- */

void *slab_alloc_slow(struct slab_cache *cache, unsigned flags);
void slab_free_slow(struct slab_cache *cache, void *object);
/* The first page of the slab that `page` is part of. */
struct page *slab_first_page(const struct page *page);
/* A cache in static memory, without a constructor. Boot. */
void slab_cache_setup(struct slab_cache *cache, const char *name, size_t size_bytes);
void kmalloc_init(void);

/* `id` is the cache's: a caller that knows it need not look at the cache. */
static __always_inline void *slab_alloc_by_id(struct slab_cache *cache, uint32_t id, unsigned flags)
{
    if (fail_object(cache->size)) {
        return NULL;
    }
    uint64_t irq = irq_save();
    struct slab_magazine *magazine = (*this_cpu_ptr(slab_magazines))[id];
    uint32_t count;

    if (unlikely(magazine == NULL || __builtin_sub_overflow(magazine->count, 1u, &count))) {
        irq_restore(irq);
        return slab_alloc_slow(cache, flags);
    }
    void *object = magazine->objects[count];
    magazine->count = count;
    irq_restore(irq);
    slab_debug_alloc(cache, object);
    if ((flags & ALLOC_ZERO) != 0) {
        memset(object, 0, cache->size);
    }
    return object;
}

static __always_inline void *slab_alloc_inline(struct slab_cache *cache, unsigned flags)
{
    return slab_alloc_by_id(cache, cache->id, flags);
}

/* The debug checks are over. */
static __always_inline void slab_free_checked(struct slab_cache *cache, void *object)
{
    uint64_t irq = irq_save();
    struct slab_magazine *magazine = (*this_cpu_ptr(slab_magazines))[cache->id];

    if (unlikely(magazine == NULL || magazine->count == magazine->capacity)) {
        irq_restore(irq);
        slab_free_slow(cache, object);
        return;
    }
    magazine->objects[magazine->count++] = object;
    irq_restore(irq);
}

static __always_inline void slab_free_inline(struct slab_cache *cache, void *object)
{
    if (slab_debug_free(cache, object)) {
        slab_free_checked(cache, object);
    }
}
