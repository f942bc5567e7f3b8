/*
 * A queue through the chain words of the objects, oldest first. The cache of an object is found by its frame, as in kfree().
 */
#include "kernel/mm/quarantine.h"

#include "kernel/mm/cache.h"

#ifdef CONFIG_KASAN
#define QUARANTINE_BYTES MIB(2)
#define QUARANTINE_BATCH 16u /* objects given back at once */

static struct {
    struct spinlock lock;
    void *oldest, *newest; /* [lock] */
    size_t bytes;          /* [lock] */
} quarantine = {.lock = SPINLOCK_INIT("slab quarantine")};

static struct slab_cache *cache_of(const void *object)
{
    return virt_to_page(object)->owner;
}

NO_SANITIZE_ADDRESS static void **link_of(void *object)
{
    return (void **)((uintptr_t)object + cache_of(object)->link_offset);
}

NO_SANITIZE_ADDRESS static void append_locked(void *object)
{
    *link_of(object) = NULL;
    if (quarantine.oldest == NULL) {
        quarantine.oldest = object;
    } else {
        *link_of(quarantine.newest) = object;
    }
    quarantine.newest = object;
    quarantine.bytes += cache_of(object)->stride;
}

NO_SANITIZE_ADDRESS static void *take_oldest_locked(void)
{
    void *object = quarantine.oldest;

    quarantine.oldest = *link_of(object);
    quarantine.bytes -= cache_of(object)->stride;
    return object;
}

/* Give objects back until at most `limit` bytes wait. */
static void shrink_to(size_t limit)
{
    void *batch[QUARANTINE_BATCH];
    unsigned n;

    do {
        n = 0;
        uint64_t irq = spin_lock_irqsave(&quarantine.lock);
        while (n < QUARANTINE_BATCH && quarantine.bytes > limit) {
            batch[n++] = take_oldest_locked();
        }
        spin_unlock_irqrestore(&quarantine.lock, irq);
        for (unsigned i = 0; i < n; i++) {
            slab_free_checked(cache_of(batch[i]), batch[i]);
        }
    } while (n == QUARANTINE_BATCH);
}

bool quarantine_put(struct slab_cache *cache, void *object)
{
    if (cache->internal) {
        return false; /* what giving back needs itself */
    }
    uint64_t irq = spin_lock_irqsave(&quarantine.lock);
    append_locked(object);
    bool full = quarantine.bytes > QUARANTINE_BYTES;
    spin_unlock_irqrestore(&quarantine.lock, irq);
    if (full) {
        shrink_to(QUARANTINE_BYTES);
    }
    return true;
}

/* The objects of others lose their turn: they are queued again in their order. */
void quarantine_drain(struct slab_cache *cache)
{
    if (cache == NULL) {
        shrink_to(0);
        return;
    }
    uint64_t irq = spin_lock_irqsave(&quarantine.lock);
    void *end = quarantine.newest;
    void *object = NULL;
    while (quarantine.oldest != NULL && object != end) {
        object = take_oldest_locked();
        if (cache_of(object) != cache) {
            append_locked(object);
        } else {
            spin_unlock(&quarantine.lock);
            slab_free_checked(cache, object);
            spin_lock(&quarantine.lock);
        }
    }
    spin_unlock_irqrestore(&quarantine.lock, irq);
}
#endif
