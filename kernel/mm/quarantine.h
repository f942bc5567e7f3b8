/*
 * Quarantine of freed heap objects, in builds with the address sanitizer: an object goes back to its cache only when QUARANTINE_BYTES of others
 * have been freed after it, so that an access to it in the meantime is told. Private to kernel/mm.
 *
 * Locking: one spinlock, a leaf; objects go back to their caches without it.
 */
#pragma once

#include "kernel/base/types.h"

struct slab_cache;

#ifdef CONFIG_KASAN
/* True: the object waits here. It is poisoned. Any context. */
bool quarantine_put(struct slab_cache *cache, void *object);
/* Give back the objects of a cache (NULL: of all), which is about to go or to shrink. Any context. */
void quarantine_drain(struct slab_cache *cache);
#else
static inline bool quarantine_put(struct slab_cache *cache, void *object)
{
    (void)cache, (void)object;
    return false;
}

static inline void quarantine_drain(struct slab_cache *cache)
{
    (void)cache;
}
#endif
