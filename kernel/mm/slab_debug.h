/*
 * What debug and sanitizer builds know about each heap object, and check. Private to kernel/mm, but for the questions at the end,
 * which are for reports (kernel/debug). Without CONFIG_SLAB_DEBUG all of it is nothing.
 *
 * An object is followed by a red zone, the chain word of free objects and a struct slab_track; all of it belongs to its stride.
 *
 *     | object: cache->size | red zone | link | track |
 *
 * A live object's red zone begins where its user's size ends: kmalloc(100) from kmalloc-128 has 28 bytes more of it. A free object is
 * full of SLAB_POISON_FREE, unless its cache has a constructor.
 */
#pragma once

#include "kernel/base/types.h"

#if defined(CONFIG_DEBUG) || defined(CONFIG_KASAN)
#define CONFIG_SLAB_DEBUG
#endif

struct slab_cache;

#define SLAB_REDZONE_BYTES 16u
#define SLAB_COMM_BYTES    16u

#define SLAB_POISON_FREE  0xdbu
#define SLAB_POISON_FRESH 0xabu /* a new object that was not asked to be cleared */
#define SLAB_REDZONE      0xbdu

struct slab_track {
    uint32_t size; /* the user's; of the last user, when free */
    int32_t pid;   /* of the allocation */
    uint32_t alloc_stack, free_stack;
    ktime_t time; /* of the allocation */
    char comm[SLAB_COMM_BYTES];
    uint32_t mark; /* for the leak detector */
    uint32_t
        state; /* enum slab_state, last of all: an underrun of the next object meets it first */
};

enum slab_state { SLAB_OBJECT_FREE = 0xf4eef4ee, SLAB_OBJECT_LIVE = 0x11fe11fe };

#ifdef CONFIG_SLAB_DEBUG
/* Bytes between an object's end and its link word, and behind the link word. */
#define SLAB_DEBUG_GAP   SLAB_REDZONE_BYTES
#define SLAB_DEBUG_TRACK sizeof(struct slab_track)

/* A free object was cut from a new slab. */
void slab_debug_cut(struct slab_cache *cache, void *object);
/* An object leaves the allocator, not yet cleared. Tells when it was written to while free. */
void slab_debug_alloc(struct slab_cache *cache, void *object);
/* It comes back. False: it may not go back to the allocator now (it is free already, is no object, or waits in quarantine). */
bool slab_debug_free(struct slab_cache *cache, void *object);
/* kmalloc: what the user asked for, at most cache->size. */
void slab_debug_set_size(struct slab_cache *cache, void *object, size_t size_bytes);
size_t slab_debug_size(const struct slab_cache *cache, const void *object);
/* krealloc: the same of an object in use, whose red zone is checked first. */
void slab_debug_resize(struct slab_cache *cache, void *object, size_t size_bytes);
/* kmalloc's page blocks: a red zone from `size` to the block's end; its end, and whether it is whole. */
void slab_debug_close_block(void *block, size_t size, size_t block_size);
void slab_debug_open_block(void *block, size_t size, size_t block_size);

/* ---- for reports ---- */

struct slab_object {
    const struct slab_cache *cache;
    const char *cache_name;
    uint8_t *start;
    size_t size;
    struct slab_track *track;
    void **link; /* of no use to a live object: the leak detector's */
    bool live;
    bool internal; /* a part of the allocator: it names free objects only, and those that were */
};

/* The object of a slab in whose stride `addr` lies; false: none. Any context; the answer may be stale at once. */
bool slab_object_find(uintptr_t addr, struct slab_object *ret_object);
/* Call fn for each object in use. It neither allocates nor frees; preemption is off. */
void slab_objects_walk(void (*fn)(const struct slab_object *object, void *arg), void *arg);
/* Say what is known about the object at addr, within a report of a defect. */
void slab_object_describe(uintptr_t addr);
/* Who allocates: set by what knows threads. */
extern void (*slab_owner_hook)(char comm[SLAB_COMM_BYTES], int32_t *ret_pid);
#else
#define SLAB_DEBUG_GAP                  0u
#define SLAB_DEBUG_TRACK                0u
#define slab_debug_cut(c, o)            ((void)(c), (void)(o))
#define slab_debug_alloc(c, o)          ((void)(c), (void)(o))
#define slab_debug_free(c, o)           ((void)(c), (void)(o), true)
#define slab_debug_set_size(c, o, n)    ((void)(c), (void)(o), (void)(n))
#define slab_debug_resize(c, o, n)      ((void)(c), (void)(o), (void)(n))
#define slab_debug_close_block(b, n, m) ((void)(b), (void)(n), (void)(m))
#define slab_debug_open_block(b, n, m)  ((void)(b), (void)(n), (void)(m))
#define slab_debug_size(c, o)           ((void)(o), ((const struct slab_cache *)(c))->size)
#endif
