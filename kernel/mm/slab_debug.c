/*
 * Heap objects under watch: see slab_debug.h for the layout.
 *
 * What an object is (free or live) is its state word; a value that is neither means that somebody wrote past the end of his own.
 * Nothing here takes a lock of the slabs: an object belongs to whoever allocates or frees it just then. Free objects and tracks are
 * poisoned for the address sanitizers, so the functions that look at them are not instrumented and call no memset().
 */
#include "kernel/mm/slab_debug.h"

#include "kernel/mm/cache.h"

#ifdef CONFIG_SLAB_DEBUG
#include "kernel/abi/boot.h"
#include "kernel/core/defect.h"
#include "kernel/core/panic.h"
#include "kernel/machine/preempt.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/quarantine.h"
#include "kernel/mm/stackdepot.h"

void (*slab_owner_hook)(char comm[SLAB_COMM_BYTES], int32_t *ret_pid);

static struct slab_track *track_of(const struct slab_cache *cache, const void *object)
{
    return (struct slab_track *)((uintptr_t)object + cache->track_offset);
}

NO_SANITIZE_ADDRESS static void fill(void *start, size_t n, uint8_t value)
{
    uint8_t *bytes = start;

    for (size_t i = 0; i < n; i++) {
        bytes[i] = value;
    }
}

/* The first byte that is not `value`; n: all are. */
NO_SANITIZE_ADDRESS static size_t find_other(const void *start, size_t n, uint8_t value)
{
    const uint8_t *bytes = start;
    size_t i = 0;

    while (i < n && bytes[i] == value) {
        i++;
    }
    return i;
}

/* ---- reports ---- */

static void tell_stack(const char *what, uint32_t stack)
{
    const uintptr_t *addrs;
    size_t n = stackdepot_get(stack, &addrs);

    if (n > 0) {
        log_write(DEFECT_LEVEL, "heap: %s by", what);
        backtrace_log_addresses(DEFECT_LEVEL, addrs, n);
    }
}

NO_SANITIZE_ADDRESS static void tell_track(const struct slab_track *track)
{
    char comm[SLAB_COMM_BYTES];

    for (unsigned i = 0; i < SLAB_COMM_BYTES; i++) {
        comm[i] = track->comm[i];
    }
    comm[SLAB_COMM_BYTES - 1] = '\0';
    if (track->alloc_stack != 0) {
        log_write(DEFECT_LEVEL, "heap: allocated at %lld ns, pid %d (%s)", (long long)track->time,
                  track->pid, comm);
    }
    tell_stack("allocated", track->alloc_stack);
    tell_stack("freed", track->free_stack);
}

void slab_object_describe(uintptr_t addr)
{
    struct slab_object object;

    if (!slab_object_find(addr, &object)) {
        return;
    }
    size_t offset = addr - (uintptr_t)object.start;
    log_write(DEFECT_LEVEL, "heap: %#lx is %zu bytes %s the %s object %p of %zu bytes, cache %s",
              addr, offset < object.size ? offset : offset - object.size,
              offset < object.size ? "into" : "past the end of", object.live ? "live" : "free",
              (void *)object.start, object.size, object.cache_name);
    tell_track(object.track);
}

/* The object is found to be damaged or misused. */
static void tell(const struct slab_cache *cache, const void *object, const char *what, size_t at)
{
    if (!defect_begin(DEFECT_HEAP)) {
        return;
    }
    log_write(DEFECT_LEVEL, "heap: %s: object %p of cache %s (%u bytes), offset %zu", what, object,
              cache->name, cache->size, at);
    slab_object_describe((uintptr_t)object);
    defect_end();
}

/* ---- checks ---- */

NO_SANITIZE_ADDRESS static size_t size_of(const struct slab_cache *cache, const void *object)
{
    /* A damaged track must not lead us astray. */
    return MIN(track_of(cache, object)->size, cache->size);
}

/* The red zone of an object whose user has `size` bytes. */
static void redzone_check(const struct slab_cache *cache, void *object, size_t size)
{
    size_t len = cache->link_offset - size;
    uint8_t *zone = (uint8_t *)object + size;
    size_t at = find_other(zone, len, SLAB_REDZONE);

    if (at < len) {
        tell(cache, object, "written past the end", size + at);
        fill(zone, len, SLAB_REDZONE);
    }
}

static bool is_poisoned(const struct slab_cache *cache)
{
    return cache->ctor == NULL;
}

/* What nobody may touch of a free object: all, but for the object itself where others may still look at it. */
static void poison_free(const struct slab_cache *cache, void *object)
{
    size_t open = cache->type_stable ? cache->size : 0;

    memory_poison_as((uint8_t *)object + open, cache->stride - open, POISON_FREED);
}

NO_SANITIZE_ADDRESS void slab_debug_cut(struct slab_cache *cache, void *object)
{
    struct slab_track *track = track_of(cache, object);

    fill(track, sizeof(*track), 0);
    track->size = cache->size;
    track->state = SLAB_OBJECT_FREE;
    fill((uint8_t *)object + cache->size, cache->link_offset - cache->size, SLAB_REDZONE);
    if (is_poisoned(cache)) {
        fill(object, cache->size, SLAB_POISON_FREE);
    }
    poison_free(cache, object);
}

NO_SANITIZE_ADDRESS static void track_owner(struct slab_track *track)
{
    char comm[SLAB_COMM_BYTES] = "";
    int32_t pid = 0;

    if (slab_owner_hook != NULL) {
        slab_owner_hook(comm, &pid);
    }
    for (unsigned i = 0; i < SLAB_COMM_BYTES; i++) {
        track->comm[i] = comm[i];
    }
    track->pid = pid;
}

NO_SANITIZE_ADDRESS void slab_debug_alloc(struct slab_cache *cache, void *object)
{
    struct slab_track *track = track_of(cache, object);
    size_t at =
        is_poisoned(cache) ? find_other(object, cache->size, SLAB_POISON_FREE) : cache->size;

    if (track->state != SLAB_OBJECT_FREE) {
        tell(cache, object, "damaged while free", cache->track_offset);
    } else if (at < cache->size) {
        tell(cache, object, "written to after it was freed", at);
    }
    track->size = cache->size;
    track->state = SLAB_OBJECT_LIVE;
    track->free_stack = 0;
    track->mark = 0;
    track->time = log_clock_hook != NULL ? log_clock_hook() : 0;
    track->alloc_stack = stackdepot_put_caller(2);
    track_owner(track);
    if (is_poisoned(cache)) {
        fill(object, cache->size, SLAB_POISON_FRESH);
    }
    memory_unpoison(object, cache->size);
    memory_poison_as((uint8_t *)object + cache->size, cache->stride - cache->size, POISON_REDZONE);
}

NO_SANITIZE_ADDRESS bool slab_debug_free(struct slab_cache *cache, void *object)
{
    struct slab_object found;

    if (!slab_object_find((uintptr_t)object, &found) || found.cache != cache ||
        found.start != object) {
        tell(cache, object, "freed, but is no object of this cache", 0);
        return false;
    }
    struct slab_track *track = track_of(cache, object);
    if (track->state == SLAB_OBJECT_FREE) {
        tell(cache, object, "freed twice", 0);
        return false;
    }
    if (track->state != SLAB_OBJECT_LIVE) {
        tell(cache, object, "its end is overwritten", cache->track_offset);
    }
    redzone_check(cache, object, size_of(cache, object));
    fill((uint8_t *)object + size_of(cache, object), cache->link_offset - size_of(cache, object),
         SLAB_REDZONE);
    track->state = SLAB_OBJECT_FREE;
    track->free_stack = stackdepot_put_caller(2);
    if (is_poisoned(cache)) {
        fill(object, cache->size, SLAB_POISON_FREE);
    }
    poison_free(cache, object);
    return !quarantine_put(cache, object);
}

NO_SANITIZE_ADDRESS void slab_debug_set_size(struct slab_cache *cache, void *object,
                                             size_t size_bytes)
{
    size_t start = ALIGN_UP(size_bytes, POISON_GRANULE);

    track_of(cache, object)->size = (uint32_t)size_bytes;
    memory_unpoison(object, size_bytes);
    fill((uint8_t *)object + size_bytes, cache->size - size_bytes, SLAB_REDZONE);
    if (start < cache->stride) {
        memory_poison_as((uint8_t *)object + start, cache->stride - start, POISON_REDZONE);
    }
}

void slab_debug_resize(struct slab_cache *cache, void *object, size_t size_bytes)
{
    redzone_check(cache, object, size_of(cache, object));
    slab_debug_set_size(cache, object, size_bytes);
}

void slab_debug_close_block(void *block, size_t size, size_t block_size)
{
    size_t start = ALIGN_UP(size, POISON_GRANULE);

    fill((uint8_t *)block + size, block_size - size, SLAB_REDZONE);
    memory_unpoison(block, size);
    if (start < block_size) {
        memory_poison_as((uint8_t *)block + start, block_size - start, POISON_REDZONE);
    }
}

void slab_debug_open_block(void *block, size_t size, size_t block_size)
{
    size_t at = find_other((uint8_t *)block + size, block_size - size, SLAB_REDZONE);

    memory_unpoison(block, block_size);
    if (at == block_size - size || !defect_begin(DEFECT_HEAP)) {
        return;
    }
    log_write(DEFECT_LEVEL, "heap: written past the end: block %p of %zu bytes, offset %zu", block,
              size, size + at);
    defect_end();
}

size_t slab_debug_size(const struct slab_cache *cache, const void *object)
{
    return size_of(cache, object);
}

NO_SANITIZE_ADDRESS static struct slab_object object_at(const struct slab_cache *cache,
                                                        uintptr_t base, size_t index)
{
    uint8_t *start = (uint8_t *)base + index * cache->stride;
    struct slab_track *track = track_of(cache, start);

    return (struct slab_object){
        .cache = cache,
        .cache_name = cache->name,
        .start = start,
        .size = size_of(cache, start),
        .track = track,
        .link = (void **)(start + cache->link_offset),
        .live = track->state == SLAB_OBJECT_LIVE,
        .internal = cache->internal,
    };
}

NO_SANITIZE_ADDRESS bool slab_object_find(uintptr_t addr, struct slab_object *ret_object)
{
    pfn_t pfn = virt_to_phys((const void *)addr) >> PAGE_SHIFT;

    if (!pfn_valid(pfn) || pfn_to_page(pfn)->kind != PAGE_SLAB) {
        return false;
    }
    const struct slab_cache *cache = pfn_to_page(pfn)->owner;
    uintptr_t base = (uintptr_t)page_to_virt(slab_first_page(pfn_to_page(pfn)));
    size_t index = (addr - base) / cache->stride;
    if (index >= cache->per_slab) {
        return false;
    }
    *ret_object = object_at(cache, base, index);
    return true;
}

NO_SANITIZE_ADDRESS static void
slab_walk(struct page *first, void (*fn)(const struct slab_object *object, void *arg), void *arg)
{
    const struct slab_cache *cache = first->owner;

    for (size_t i = 0; i < cache->per_slab; i++) {
        struct slab_object object = object_at(cache, (uintptr_t)page_to_virt(first), i);
        if (object.live) {
            fn(&object, arg);
        }
    }
}

void slab_objects_walk(void (*fn)(const struct slab_object *object, void *arg), void *arg)
{
    struct boot_mem mem;

    for (unsigned i = 0; boot_memory(i, &mem); i++) {
        pfn_t first = mem.base >> PAGE_SHIFT;
        if (!pfn_valid(first)) {
            continue;
        }
        for (pfn_t pfn = first; pfn < first + (mem.length_bytes >> PAGE_SHIFT); pfn++) {
            struct page *page = pfn_to_page(pfn);
            preempt_disable();
            if (page->kind == PAGE_SLAB && slab_first_page(page) == page) {
                slab_walk(page, fn, arg);
            }
            preempt_enable();
        }
    }
}
#endif
