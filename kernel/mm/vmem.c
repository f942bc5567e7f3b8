/*
 * Arenas of address space.
 *
 * Each piece of a span, used or free, has a tag in one list by address: neighbours are found, and merged, in constant time. Tags of free
 * pieces hang in bins by size besides, those of used ones in a hash table by address (vmem_hash.c), which is how a release finds its size and
 * proves that it is one. Two free pieces are never neighbours.
 *
 * Tags are objects of a cache whose memory lies in the direct map: no arena is needed to run one. An allocation begins when there are spare
 * tags for what it may need; a release only gives tags back, and so cannot fail.
 *
 * There are no caches of single quanta in front, which the paper has for arenas that feed others object by object: who allocates and frees
 * often keeps his ranges mapped (kstack.c), and next to mapping and unmapping pages the arena's part is small.
 */
#include "kernel/mm/vmem.h"

#include "kernel/base/bitmap.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/defect.h"
#include "kernel/core/panic.h"
#include "kernel/mm/cache.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/vmap.h"
#include "kernel/mm/vmem_tag.h"

#define SPARE_KEEP 4u /* tags that an arena keeps for its next allocations */

static struct slab_cache tag_cache;

/* ---- spare tags ---- */

/* Lock the arena when it has n spare tags. False: no memory, not locked. */
static __always_inline bool lock_with_spare(struct vmem *arena, unsigned n, uint64_t *ret_irq)
{
    uint64_t irq = spin_lock_irqsave(&arena->lock);

    while (unlikely(arena->nspare < n)) {
        spin_unlock_irqrestore(&arena->lock, irq);
        struct vmem_tag *tag = slab_alloc(&tag_cache, 0);
        if (tag == NULL) {
            return false;
        }
        irq = spin_lock_irqsave(&arena->lock);
        list_push_front(&arena->spare, &tag->link);
        arena->nspare++;
    }
    *ret_irq = irq;
    return true;
}

static void spare_push_locked(struct vmem *arena, struct vmem_tag *tag)
{
    list_push_front(&arena->spare, &tag->link);
    arena->nspare++;
}

static struct vmem_tag *spare_pop_locked(struct vmem *arena)
{
    arena->nspare--;
    return list_entry(list_pop_front(&arena->spare), struct vmem_tag, link);
}

/* Unlock, and let go of spare tags beyond `keep`. */
static __always_inline void unlock_with_spare(struct vmem *arena, unsigned keep, uint64_t irq)
{
    while (unlikely(arena->nspare > keep)) {
        struct vmem_tag *tag = spare_pop_locked(arena);
        spin_unlock_irqrestore(&arena->lock, irq);
        slab_free(&tag_cache, tag);
        irq = spin_lock_irqsave(&arena->lock);
    }
    spin_unlock_irqrestore(&arena->lock, irq);
}

static struct vmem_tag *tag_make_locked(struct vmem *arena, uint64_t start, uint64_t len,
                                        enum tag_kind kind)
{
    struct vmem_tag *tag = spare_pop_locked(arena);

    tag->start = start;
    tag->len = len;
    tag->kind = kind;
    return tag;
}

/* ---- free pieces ---- */

static unsigned bin_of(const struct vmem *arena, uint64_t len)
{
    return bit_fls(len >> arena->shift);
}

static void free_insert_locked(struct vmem *arena, struct vmem_tag *tag)
{
    unsigned bin = bin_of(arena, tag->len);

    list_push_front(&arena->bins[bin], &tag->link);
    arena->nonempty |= BIT(bin);
    arena->nfree++;
}

static void free_remove_locked(struct vmem *arena, struct vmem_tag *tag)
{
    unsigned bin = bin_of(arena, tag->len);

    list_remove(&tag->link);
    if (list_empty(&arena->bins[bin])) {
        arena->nonempty &= ~BIT(bin);
    }
    arena->nfree--;
}

/* The free piece becomes [start, start + len), its neighbour in the list is the same. */
static void free_resize_locked(struct vmem *arena, struct vmem_tag *tag, uint64_t start,
                               uint64_t len)
{
    bool same = bin_of(arena, tag->len) == bin_of(arena, len);

    if (!same) {
        free_remove_locked(arena, tag);
    }
    tag->start = start;
    tag->len = len;
    if (!same) {
        free_insert_locked(arena, tag);
    }
}

struct request {
    uint64_t len, align;
    enum vmem_policy policy;
};

/* Does the request fit into the piece? */
static bool fits(const struct vmem_tag *tag, const struct request *request)
{
    uint64_t before = ALIGN_UP(tag->start, request->align) - tag->start;

    return tag->len >= before && tag->len - before >= request->len;
}

static struct vmem_tag *find_first_locked(struct vmem *arena, const struct request *request)
{
    struct vmem_tag *tag;

    list_for_each (tag, &arena->segments, segment) {
        if (tag->kind == TAG_FREE && fits(tag, request)) {
            return tag;
        }
    }
    return NULL;
}

/* The smallest that fits of the bins from `bin` on, or the first that comes, if `any` will do. */
static struct vmem_tag *find_in_bins_locked(struct vmem *arena, const struct request *request,
                                            unsigned bin, bool any)
{
    for (uint64_t bins = arena->nonempty >> bin << bin; bins != 0; bins &= bins - 1) {
        struct vmem_tag *tag, *best = NULL;
        list_for_each (tag, &arena->bins[bit_ffs(bins)], link) {
            if ((best == NULL || tag->len < best->len) && fits(tag, request)) {
                best = tag;
                if (any) {
                    break;
                }
            }
        }
        if (best != NULL) {
            return best;
        }
    }
    return NULL;
}

static struct vmem_tag *find_locked(struct vmem *arena, const struct request *request)
{
    uint64_t quantum = 1ull << arena->shift;

    if (request->policy == VMEM_FIRST_FIT) {
        return find_first_locked(arena, request);
    }
    if (request->policy == VMEM_INSTANT_FIT) {
        /* Every piece of these bins is large enough, wherever it begins. */
        unsigned sure = log2_ceil((request->len + request->align - quantum) >> arena->shift);
        uint64_t bins = sure < VMEM_BINS ? arena->nonempty >> sure << sure : 0;
        if (likely(bins != 0)) {
            return list_first_entry(&arena->bins[bit_ffs(bins)], struct vmem_tag, link);
        }
    }
    return find_in_bins_locked(arena, request, bin_of(arena, request->len),
                               request->policy == VMEM_INSTANT_FIT);
}

/* ---- spans ---- */

/* There are two spare tags. */
static void span_insert_locked(struct vmem *arena, uint64_t start, uint64_t len, enum tag_kind kind)
{
    struct vmem_tag *span = tag_make_locked(arena, start, len, kind);
    struct vmem_tag *piece = tag_make_locked(arena, start, len, TAG_FREE), *next;
    struct list_node *before = &arena->segments, *link = &arena->spans;

    list_for_each (next, &arena->spans, link) {
        if (next->start > start) {
            before = &next->segment;
            link = &next->link;
            break;
        }
    }
    list_insert_before(link, &span->link);
    list_insert_before(before, &span->segment);
    list_insert_before(before, &piece->segment);
    free_insert_locked(arena, piece);
    arena->total_bytes += len;
}

/* The span whose only piece is the free `piece` leaves the arena. */
static void span_remove_locked(struct vmem *arena, struct vmem_tag *span, struct vmem_tag *piece)
{
    free_remove_locked(arena, piece);
    list_remove(&piece->segment);
    list_remove(&span->segment);
    list_remove(&span->link);
    arena->total_bytes -= span->len;
    spare_push_locked(arena, piece);
    spare_push_locked(arena, span);
}

int vmem_add_span(struct vmem *arena, uint64_t start, uint64_t len_bytes)
{
    uint64_t irq;

    if (!lock_with_spare(arena, 2, &irq)) {
        return -ENOMEM;
    }
    span_insert_locked(arena, start, len_bytes, TAG_SPAN);
    spin_unlock_irqrestore(&arena->lock, irq);
    return 0;
}

/* A span that the request fits into, wherever it begins. */
static __noinline bool span_import(struct vmem *arena, const struct request *request)
{
    const struct vmem_source *source = arena->source;
    uint64_t len, irq;

    if (source == NULL || __builtin_add_overflow(request->len, request->align - 1, &len) ||
        len > UINT64_MAX - source->unit) {
        return false;
    }
    len = ALIGN_UP(request->align > source->unit ? len : request->len, source->unit);
    uint64_t start = source->import(source->arg, len);
    if (start == 0) {
        return false;
    }
    /* Two for the span, and two with which the request will be served: else the span would lie idle. */
    if (!lock_with_spare(arena, 4, &irq)) {
        source->release(source->arg, start, len);
        return false;
    }
    span_insert_locked(arena, start, len, TAG_IMPORTED_SPAN);
    arena->imports++;
    spin_unlock_irqrestore(&arena->lock, irq);
    return true;
}

/* ---- in and out ---- */

/* Cut the request out of the free piece. There is a spare tag, and a second one when it may begin in the middle. */
static uint64_t cut_locked(struct vmem *arena, struct vmem_tag *tag, const struct request *request)
{
    uint64_t start = ALIGN_UP(tag->start, request->align), end = tag->start + tag->len;
    uint64_t before = start - tag->start, after = end - start - request->len;
    struct vmem_tag *used = tag;

    if (before == 0 && after == 0) {
        free_remove_locked(arena, tag);
        tag->kind = TAG_USED;
    } else {
        used = tag_make_locked(arena, start, request->len, TAG_USED);
    }
    if (before > 0) {
        list_insert_before(tag->segment.next, &used->segment);
        free_resize_locked(arena, tag, tag->start, before);
        if (after > 0) {
            tag = tag_make_locked(arena, start + request->len, after, TAG_FREE);
            list_insert_before(used->segment.next, &tag->segment);
            free_insert_locked(arena, tag);
        }
    } else if (after > 0) {
        list_insert_before(&tag->segment, &used->segment);
        free_resize_locked(arena, tag, start + request->len, after);
    }
    vmem_used_insert_locked(arena, used);
    arena->used_bytes += request->len;
    arena->nused++;
    arena->allocs++;
    return start;
}

/* A request that makes sense, rounded up to quanta. */
static bool request_make(const struct vmem *arena, uint64_t len_bytes, uint64_t align_bytes,
                         struct request *request)
{
    uint64_t quantum = 1ull << arena->shift;

    request->len = ALIGN_UP(len_bytes, quantum);
    request->align = MAX(align_bytes, quantum);
    return len_bytes != 0 && request->len >= len_bytes && request->len < 1ull << 63 &&
           request->align <= (1ull << 63) - request->len;
}

uint64_t vmem_alloc_aligned(struct vmem *arena, uint64_t len_bytes, uint64_t align_bytes,
                            enum vmem_policy policy)
{
    struct request request = {.policy = policy};
    uint64_t start = 0, irq;

    if (!request_make(arena, len_bytes, align_bytes, &request)) {
        return 0;
    }
    if (unlikely(READ_ONCE(arena->nused) >> READ_ONCE(arena->bucket_bits) > 1)) {
        vmem_buckets_grow(arena);
    }
    do {
        if (!lock_with_spare(arena, 2, &irq)) {
            return 0;
        }
        struct vmem_tag *tag = find_locked(arena, &request);
        if (likely(tag != NULL)) {
            start = cut_locked(arena, tag, &request);
        }
        spin_unlock_irqrestore(&arena->lock, irq);
    } while (unlikely(start == 0) && span_import(arena, &request));
    if (unlikely(start == 0)) {
        (void)atomic_fetch_add_relaxed(&arena->failures, 1);
    }
    return start;
}

uint64_t vmem_alloc(struct vmem *arena, uint64_t len_bytes, enum vmem_policy policy)
{
    return vmem_alloc_aligned(arena, len_bytes, 0, policy);
}

static void tell_bad_free(const struct vmem *arena, uint64_t start, uint64_t len)
{
    if (defect_begin(DEFECT_HEAP)) {
        log_write(DEFECT_LEVEL, "vmem: freed, but is not in use: %#llx, %#llx bytes of %s",
                  (unsigned long long)start, (unsigned long long)len, arena->name);
        defect_end();
    }
}

static bool tag_is_free(const struct vmem *arena, struct list_node *segment)
{
    return segment != &arena->segments && vmem_tag_of(segment)->kind == TAG_FREE;
}

/* The used piece becomes free, one with its free neighbours. Returns its tag. */
static struct vmem_tag *merge_locked(struct vmem *arena, struct vmem_tag *tag)
{
    struct list_node *before = tag->segment.prev, *after = tag->segment.next;
    uint64_t start = tag->start, len = tag->len;

    if (!tag_is_free(arena, before)) {
        if (!tag_is_free(arena, after)) {
            tag->kind = TAG_FREE;
            free_insert_locked(arena, tag);
            return tag;
        }
        list_remove(&tag->segment);
        spare_push_locked(arena, tag);
        tag = vmem_tag_of(after);
        free_resize_locked(arena, tag, start, len + tag->len);
        return tag;
    }
    list_remove(&tag->segment);
    spare_push_locked(arena, tag);
    if (tag_is_free(arena, after)) {
        tag = vmem_tag_of(after);
        len += tag->len;
        free_remove_locked(arena, tag);
        list_remove(&tag->segment);
        spare_push_locked(arena, tag);
    }
    tag = vmem_tag_of(before);
    free_resize_locked(arena, tag, tag->start, tag->len + len);
    return tag;
}

void vmem_free(struct vmem *arena, uint64_t start, uint64_t len_bytes)
{
    uint64_t len = ALIGN_UP(len_bytes, 1ull << arena->shift);
    bool release = false;

    if (start == 0) {
        return;
    }
    uint64_t irq = spin_lock_irqsave(&arena->lock);
    struct vmem_tag *tag = vmem_used_remove_locked(arena, start, len);
    if (unlikely(tag == NULL)) {
        spin_unlock_irqrestore(&arena->lock, irq);
        tell_bad_free(arena, start, len);
        return;
    }
    arena->nused--;
    arena->used_bytes -= len;
    tag = merge_locked(arena, tag);
    struct vmem_tag *span = vmem_tag_of(tag->segment.prev);
    if (unlikely(span->kind == TAG_IMPORTED_SPAN && span->len == tag->len)) {
        start = span->start;
        len = span->len;
        span_remove_locked(arena, span, tag);
        release = true;
    }
    unlock_with_spare(arena, SPARE_KEEP, irq);
    if (unlikely(release)) {
        arena->source->release(arena->source->arg, start, len);
    }
}

/* ---- life ---- */

void vmem_init(struct vmem *arena, const char *name, uint64_t quantum_bytes,
               const struct vmem_source *source)
{
    memset(arena, 0, sizeof(*arena));
    spin_init(&arena->lock, "arena");
    arena->name = name;
    arena->shift = bit_ffs(quantum_bytes);
    arena->source = source;
    list_init(&arena->spans);
    list_init(&arena->segments);
    list_init(&arena->spare);
    for (unsigned bin = 0; bin < VMEM_BINS; bin++) {
        list_init(&arena->bins[bin]);
    }
    arena->buckets = arena->first_buckets;
    arena->bucket_bits = bit_ffs(VMEM_FIRST_BUCKETS);
}

void vmem_fini(struct vmem *arena)
{
    struct list_node *node;

    if (WARN_ON(arena->nused != 0)) {
        return; /* whoever uses it still must not lose his tags */
    }
    while ((node = list_first(&arena->spans)) != NULL) {
        struct vmem_tag *span = list_entry(node, struct vmem_tag, link);
        uint64_t start = span->start, len = span->len;
        bool imported = span->kind == TAG_IMPORTED_SPAN;
        uint64_t irq = spin_lock_irqsave(&arena->lock);
        span_remove_locked(arena, span, vmem_tag_of(span->segment.next));
        spin_unlock_irqrestore(&arena->lock, irq);
        if (imported) {
            arena->source->release(arena->source->arg, start, len);
        }
    }
    unlock_with_spare(arena, 0, spin_lock_irqsave(&arena->lock));
    if (arena->buckets != arena->first_buckets) {
        kfree(arena->buckets);
    }
}

/* ---- boot ---- */

void vmem_boot(void)
{
    slab_cache_setup(&tag_cache, "vmem_tag", sizeof(struct vmem_tag));
}
