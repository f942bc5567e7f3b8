/*
 * Object caches.
 *
 * A slab is a block of pages cut into objects of one size; its header (struct slab) lies at its end where there is room, else in a
 * cache of headers. Free objects of a slab are chained through a word in each. In front of the slabs each CPU has a magazine per
 * cache: an array used as a stack, so that the common alloc and free touch nothing shared. Magazines are filled and emptied by halves.
 * (The paper has two magazines for each CPU, and a depot that swaps full ones for empty ones. Halves do what the second is for: who allocates and
 * frees at a magazine's end does not go behind it each time. Without a depot no free object waits where only its CPU's cache can use it, and a
 * slab whose objects are all free is known at once; the lock is held for half a magazine's objects, some ten instructions each.)
 *
 * Invariants: page->owner of every page of a slab is the cache, page->index its struct slab. A slab is on cache->partial when it has
 * free and used objects, on cache->empty when all are free, on no list when none is. An object in a magazine counts as used for its slab.
 *
 * Locks:  I immutable after create   c cache->lock   l slab_caches_lock   p own CPU, interrupts off
 */
#include "kernel/mm/slab.h"

#include "kernel/base/bitmap.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/mm/cache.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/poison.h"
#include "kernel/sync/lockdep.h"
#include "kernel/sync/rcu.h"

#define SLAB_MAX_ORDER  3u
#define SLAB_KEEP_EMPTY 1u /* empty slabs a cache keeps */

struct slab {
    union {
        struct list_node node; /* [c] on partial or empty */
        struct rcu_head rcu;   /* on its way back */
    };
    void *free;        /* [c] first free object */
    struct page *page; /* [I] */
    uint32_t used;     /* [c] */
    bool external;     /* [I] this header is an object of headers_cache */
};

DEFINE_PER_CPU(struct slab_magazine *, slab_magazines)[SLAB_MAX_CACHES];

struct slab_cache *slab_caches[SLAB_MAX_CACHES];
struct spinlock slab_caches_lock = SPINLOCK_INIT("slab caches");
struct slab_cache slab_caches_cache;
static struct slab_cache headers_cache; /* struct slab that have no room in their slab */
struct slab_cache slab_magazine_caches[SLAB_MAGAZINE_KINDS];
static const uint32_t magazine_capacities[SLAB_MAGAZINE_KINDS] = {
    15, 31, 63}; /* with the header 128, 256, 512 bytes */

/* ---- slabs ---- */

/* The chain word of a free object; after the object when its content is worth keeping: a constructor's, or poison to be checked. */
static inline void **object_link(const struct slab_cache *cache, void *object)
{
    return (void **)((uint8_t *)object + cache->link_offset);
}

NO_SANITIZE_ADDRESS static void slab_chain(struct slab_cache *cache, struct slab *slab,
                                           void *object)
{
    *object_link(cache, object) = slab->free;
    slab->free = object;
}

NO_SANITIZE_ADDRESS static void *slab_unchain(struct slab_cache *cache, struct slab *slab)
{
    void *object = slab->free;
    slab->free = *object_link(cache, object);
    return object;
}

static struct slab *slab_header_of(struct slab_cache *cache, struct page *page)
{
    if (!cache->external) {
        uint8_t *end = (uint8_t *)page_to_virt(page) + (PAGE_SIZE << cache->order);
        return (struct slab *)(void *)(end - sizeof(struct slab));
    }
    return slab_alloc(&headers_cache, 0);
}

static void slab_fill(struct slab_cache *cache, struct slab *slab)
{
    uint8_t *base = page_to_virt(slab->page);

    for (unsigned i = cache->per_slab; i-- > 0;) {
        void *object = base + (size_t)i * cache->stride;
        if (cache->ctor != NULL) {
            cache->ctor(object);
        }
        slab_debug_cut(cache, object);
        slab_chain(cache, slab, object);
    }
}

static uint64_t reclaimable_pages; /* [a] */

/* A new slab, on no list. Called without the lock, interrupts off. */
static struct slab *slab_create(struct slab_cache *cache)
{
    struct page *page = frame_alloc(cache->order, cache->frame_flags, PAGE_SLAB);
    if (page == NULL) {
        return NULL;
    }
    memory_unpoison(page_to_virt(page), PAGE_SIZE << cache->order);
    struct slab *slab = slab_header_of(cache, page);
    if (slab == NULL) {
        frame_free(page);
        return NULL;
    }
    slab->free = NULL;
    slab->page = page;
    slab->used = 0;
    slab->external = cache->external;
    list_init(&slab->node);
    for (unsigned i = 0; i < 1u << cache->order; i++) {
        page[i].kind = PAGE_SLAB;
        page[i].owner = cache;
        page[i].index = (uintptr_t)slab;
    }
    slab_fill(cache, slab);
    if ((cache->frame_flags & FRAME_RECLAIMABLE) != 0) {
        (void)atomic_fetch_add_relaxed(&reclaimable_pages, 1ull << cache->order);
    }
    return slab;
}

uint64_t slab_reclaimable_pages(void)
{
    return atomic_load_relaxed(&reclaimable_pages);
}

struct page *slab_first_page(const struct page *page)
{
    return ((const struct slab *)(uintptr_t)page->index)->page;
}

/* On no list, all objects free. */
static void slab_destroy(struct slab *slab)
{
    struct page *page = slab->page;

    if ((((const struct slab_cache *)page->owner)->frame_flags & FRAME_RECLAIMABLE) != 0) {
        (void)atomic_fetch_sub_relaxed(&reclaimable_pages, 1ull << page->order);
    }
    if (slab->external) {
        slab_free(&headers_cache, slab);
    }
    memory_unpoison(page_to_virt(page), PAGE_SIZE << page->order);
    for (unsigned i = 1; i < 1u << page->order; i++) {
        page[i].kind = PAGE_RESERVED; /* as inside any block: nobody looks for a slab there */
    }
    frame_free(page);
}

/* Take up to n objects into out[]. Interrupts off. */
static unsigned cache_take(struct slab_cache *cache, void **out, unsigned n)
{
    unsigned got = 0;

    spin_lock(&cache->lock);
    while (got < n) {
        struct list_node *first = list_first(&cache->partial);
        if (first == NULL && (first = list_first(&cache->empty)) != NULL) {
            cache->nempty--;
            list_remove(first);
            list_push_front(&cache->partial, first);
        }
        if (first == NULL) {
            if (got > 0) {
                break;
            }
            spin_unlock(&cache->lock);
            struct slab *fresh = slab_create(cache);
            if (fresh == NULL) {
                return 0;
            }
            spin_lock(&cache->lock);
            cache->nslabs++;
            list_push_front(&cache->partial, &fresh->node);
            continue;
        }
        struct slab *slab = list_entry(first, struct slab, node);
        while (got < n && slab->free != NULL) {
            out[got++] = slab_unchain(cache, slab);
            slab->used++;
        }
        if (slab->free == NULL) {
            list_remove(&slab->node);
        }
    }
    cache->nused += got;
    spin_unlock(&cache->lock);
    return got;
}

static struct slab *slab_of(void *object)
{
    return (struct slab *)(uintptr_t)virt_to_page(object)->index;
}

static void slab_come(struct rcu_head *head)
{
    slab_destroy(container_of(head, struct slab, rcu));
}

/* On no list, all objects free: its memory goes back, at once or when nobody can be looking at it any more. */
static void let_go(struct slab_cache *cache, struct slab *slab)
{
    if (cache->by_rcu) {
        rcu_call(&slab->rcu, slab_come);
    } else {
        slab_destroy(slab);
    }
}

static bool stays_for_ever(const struct slab_cache *cache)
{
    return cache->type_stable && !cache->by_rcu;
}

void slab_cache_give(struct slab_cache *cache, void **objects, unsigned n)
{
    struct list_node surplus = LIST_INIT(surplus);

    spin_lock(&cache->lock);
    for (unsigned i = 0; i < n; i++) {
        struct slab *slab = slab_of(objects[i]);
        if (slab->free == NULL) {
            list_push_front(&cache->partial, &slab->node);
        }
        slab_chain(cache, slab, objects[i]);
        if (--slab->used > 0) {
            continue;
        }
        list_remove(&slab->node);
        if (cache->nempty < SLAB_KEEP_EMPTY || stays_for_ever(cache)) {
            cache->nempty++;
            list_push_front(&cache->empty, &slab->node);
        } else {
            cache->nslabs--;
            list_push_front(&surplus, &slab->node);
        }
    }
    cache->nused -= n;
    spin_unlock(&cache->lock);

    struct list_node *node;
    while ((node = list_pop_front(&surplus)) != NULL) {
        let_go(cache, list_entry(node, struct slab, node));
    }
}

size_t slab_cache_drop_empty(struct slab_cache *cache)
{
    size_t pages = 0;

    if (stays_for_ever(cache)) {
        return 0;
    }
    for (;;) {
        uint64_t irq = spin_lock_irqsave(&cache->lock);
        struct list_node *node = list_pop_front(&cache->empty);
        if (node != NULL) {
            cache->nempty--;
            cache->nslabs--;
        }
        spin_unlock_irqrestore(&cache->lock, irq);
        if (node == NULL) {
            return pages;
        }
        let_go(cache, list_entry(node, struct slab, node));
        pages += 1ull << cache->order;
    }
}

/* ---- magazines ---- */

/* The CPU's magazine of a cache, made on first use; NULL: do without. Interrupts off. */
static struct slab_magazine *magazine_create(struct slab_cache *cache)
{
    unsigned kind = cache->magazine_kind;

    if (kind >= ARRAY_SIZE(slab_magazine_caches)) {
        return NULL; /* the caches that magazines are made of */
    }
    if (frame_init_on_alloc || frame_init_on_free) {
        return NULL; /* so that every object passes here, and the fast paths need not ask */
    }
    struct slab_magazine *magazine;
    if (cache_take(&slab_magazine_caches[kind], (void **)&magazine, 1) == 0) {
        return NULL;
    }
    slab_debug_alloc(&slab_magazine_caches[kind], magazine);
    magazine->count = 0;
    magazine->capacity = magazine_capacities[kind];
    (*this_cpu_ptr(slab_magazines))[cache->id] = magazine;
    return magazine;
}

/* A constructed object keeps its state while it is free. */
static inline bool cleared_for(const struct slab_cache *cache, bool parameter)
{
    return unlikely(parameter) && cache->ctor == NULL && !cache->internal;
}

void *slab_alloc_slow(struct slab_cache *cache, unsigned flags)
{
    uint64_t irq = irq_save();
    struct slab_magazine *magazine = (*this_cpu_ptr(slab_magazines))[cache->id];
    void *object = NULL;

    if (magazine == NULL) {
        magazine = magazine_create(cache);
    }
    if (magazine == NULL) {
        if (cache_take(cache, &object, 1) == 0) {
            object = NULL;
        }
    } else {
        if (magazine->count == 0) {
            magazine->count = cache_take(cache, magazine->objects, magazine->capacity / 2 + 1);
        }
        if (magazine->count > 0) {
            object = magazine->objects[--magazine->count];
        }
    }
    irq_restore(irq);
    if (object != NULL) {
        slab_debug_alloc(cache, object);
        if ((flags & ALLOC_ZERO) != 0 || cleared_for(cache, frame_init_on_alloc)) {
            memset(object, 0, cache->size);
        }
    }
    return object;
}

void slab_free_slow(struct slab_cache *cache, void *object)
{
    /* Where free objects are poisoned and checked there is nothing left to clear. */
    if (SLAB_DEBUG_TRACK == 0 && cleared_for(cache, frame_init_on_free)) {
        memset(object, 0, cache->size);
    }
    uint64_t irq = irq_save();
    struct slab_magazine *magazine = (*this_cpu_ptr(slab_magazines))[cache->id];

    if (magazine == NULL) {
        magazine = magazine_create(cache);
    }
    if (magazine == NULL) {
        slab_cache_give(cache, &object, 1);
    } else {
        if (magazine->count == magazine->capacity) {
            unsigned half = magazine->capacity / 2;
            slab_cache_give(cache, magazine->objects, half);
            magazine->count -= half;
            memmove(magazine->objects, magazine->objects + half,
                    magazine->count * sizeof(magazine->objects[0]));
        }
        magazine->objects[magazine->count++] = object;
    }
    irq_restore(irq);
}

void *slab_alloc(struct slab_cache *cache, unsigned flags)
{
    return slab_alloc_inline(cache, flags);
}

void slab_free(struct slab_cache *cache, void *object)
{
    if (object == NULL) {
        return;
    }
    ASSERT(virt_to_page(object)->kind == PAGE_SLAB && virt_to_page(object)->owner == cache);
    slab_free_inline(cache, object);
}

/* ---- caches ---- */

/* Object layout: stride, slab order, where the slab header goes. */
static void cache_lay_out(struct slab_cache *cache, size_t align)
{
    size_t size = cache->size;

    cache->link_offset = 0;
    if (cache->ctor != NULL || SLAB_DEBUG_TRACK > 0) {
        cache->link_offset = (uint32_t)(ALIGN_UP(size, sizeof(void *)) + SLAB_DEBUG_GAP);
        cache->track_offset = cache->link_offset + (uint32_t)sizeof(void *);
        size = cache->track_offset + SLAB_DEBUG_TRACK;
    }
    cache->stride = (uint32_t)ALIGN_UP(MAX(size, sizeof(void *)), align);
    for (cache->order = 0;; cache->order++) {
        size_t bytes = PAGE_SIZE << cache->order;
        unsigned inside = (unsigned)((bytes - sizeof(struct slab)) / cache->stride);
        unsigned outside = (unsigned)(bytes / cache->stride);
        /* The header costs an object only where objects are small. */
        cache->external = outside > inside && cache->stride > sizeof(struct slab) * 4;
        cache->per_slab = cache->external ? outside : inside;
        size_t waste = bytes - (size_t)cache->per_slab * cache->stride;
        if (cache->order == SLAB_MAX_ORDER || (cache->per_slab >= 8 && waste <= bytes / 8)) {
            break;
        }
    }
}

static void cache_init(struct slab_cache *cache, const char *name, size_t size, size_t align,
                       unsigned flags, void (*ctor)(void *object), unsigned magazine_kind)
{
    memset(cache, 0, sizeof(*cache));
    if (align == 0) {
        align = size >= 16 ? 16 : 8;
    }
    if ((flags & SLAB_ALIGN_CACHELINE) != 0) {
        align = MAX(align, (size_t)64);
    }
    cache->name = name;
    cache->size = (uint32_t)size;
    cache->ctor = ctor;
    cache->frame_flags = (flags & SLAB_RECLAIMABLE) != 0 ? FRAME_RECLAIMABLE : 0;
    cache->by_rcu = (flags & SLAB_TYPE_STABLE_RCU) != 0;
    cache->type_stable = cache->by_rcu || (flags & SLAB_TYPE_STABLE) != 0;
    spin_init(&cache->lock, "slab cache");
    list_init(&cache->partial);
    list_init(&cache->empty);
    cache_lay_out(cache, MAX(align, sizeof(void *)));
    cache->magazine_kind = magazine_kind;
    cache->internal = magazine_kind >= ARRAY_SIZE(slab_magazine_caches);
}

/* A number for the cache, which picks its magazines; false: too many caches. */
static bool cache_register(struct slab_cache *cache)
{
    bool found = false;
    uint64_t irq = spin_lock_irqsave(&slab_caches_lock);

    for (unsigned id = 0; id < SLAB_MAX_CACHES && !found; id++) {
        if (slab_caches[id] == NULL) {
            slab_caches[id] = cache;
            cache->id = id;
            found = true;
        }
    }
    spin_unlock_irqrestore(&slab_caches_lock, irq);
    return found;
}

static unsigned magazine_kind_for(size_t stride)
{
    if (stride <= 128) {
        return 2;
    }
    return stride <= 512 ? 1 : 0;
}

void slab_cache_setup(struct slab_cache *cache, const char *name, size_t size_bytes)
{
    cache_init(cache, name, size_bytes, 0, 0, NULL, magazine_kind_for(size_bytes));
    BUG_ON(!cache_register(cache));
}

struct slab_cache *slab_cache_create(const char *name, size_t size_bytes, size_t align_bytes,
                                     unsigned flags, void (*ctor)(void *object))
{
    if (size_bytes == 0 || size_bytes > SLAB_MAX_OBJECT || align_bytes > PAGE_SIZE ||
        ((flags & (SLAB_TYPE_STABLE | SLAB_TYPE_STABLE_RCU)) != 0 && ctor == NULL)) {
        return NULL;
    }
    struct slab_cache *cache = slab_alloc(&slab_caches_cache, 0);
    if (cache == NULL) {
        return NULL;
    }
    cache_init(cache, name, size_bytes, align_bytes, flags, ctor, magazine_kind_for(size_bytes));
    if (!cache_register(cache)) {
        log_err("mm: no room for object cache %s", name);
        slab_free(&slab_caches_cache, cache);
        return NULL;
    }
    return cache;
}

void slab_init(void)
{
    static const char *const names[3] = {"magazine-16", "magazine-32", "magazine-64"};

    for (unsigned i = 0; i < ARRAY_SIZE(slab_magazine_caches); i++) {
        size_t size = sizeof(struct slab_magazine) + magazine_capacities[i] * sizeof(void *);
        cache_init(&slab_magazine_caches[i], names[i], size, 0, 0, NULL, ~0u);
        BUG_ON(!cache_register(&slab_magazine_caches[i]));
    }
    cache_init(&headers_cache, "slab", sizeof(struct slab), 0, 0, NULL,
               ~0u); /* magazines are made with it */
    BUG_ON(!cache_register(&headers_cache));
    slab_cache_setup(&slab_caches_cache, "slab_cache", sizeof(struct slab_cache));
    kmalloc_init();
}
