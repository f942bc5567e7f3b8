/*
 * The working set. The header says what it is.
 *
 * A shadow: bit 0, it had been active before; 6 bits, the node; 32 bits, the node's count when it went, as much of it as counts for
 * distances of up to 16 TiB; and a bit that is always set.
 *
 * The trees of files that have shadows are on a list, by which the shrinker finds them; it begins with that which waited longest. Which shadows
 * are lost matters little: a page without one is new.
 *
 * Locks: a tree is under its cache's lock, inside which list_lock is taken; the shrinker, which comes from the list, only tries the cache's. A
 * cache that ends leaves the list first.
 */
#include "kernel/vm/workingset.h"

#include "kernel/mm/kmalloc.h"
#include "kernel/mm/lru.h"
#include "kernel/mm/node.h"
#include "kernel/mm/slab.h"
#include "kernel/vm/private.h"
#include "kernel/vm/reclaim.h"
#include "kernel/vm/thrash.h"

#define SHADOW_ACTIVE     0x1ull
#define SHADOW_NODE_SHIFT 1u
#define SHADOW_AGE_SHIFT  7u
#define SHADOW_SET        BIT(39)

#define NODE_SHADOWS 64u /* a node of a tree holds so many at most */
#define PAGES_PER_NODE                                                                             \
    16u /* of memory that may be reclaimed, for a node of shadows: it costs less than 1 % */
#define NODES_LEAST 16u
#define TRIES       64u

_Static_assert(MAX_NODES <= 64 && SHADOW_SET == BIT(WORKINGSET_SHADOW_BITS - 1),
               "a shadow's parts");

enum { ANON, FILE };

/* What is counted of a node of memory. All [a]. */
struct census {
    uint64_t age; /* pages that left the inactive lists */
    struct workingset_stats stats;
};
static struct census censuses[MAX_NODES];
#define census_add(node, member, n) (void)atomic_fetch_add_relaxed(&censuses[node].member, n)

/* ---- ages ---- */

uint64_t workingset_evict(const struct page *page)
{
    unsigned node = page_node(page);
    uint64_t age = atomic_fetch_add_relaxed(&censuses[node].age, 1);
    bool active = (atomic_load_relaxed(&page->flags) & PAGE_FLAG_WORKINGSET) != 0;

    return SHADOW_SET | (uint64_t)(uint32_t)age << SHADOW_AGE_SHIFT |
           (uint64_t)node << SHADOW_NODE_SHIFT | (active ? SHADOW_ACTIVE : 0);
}

void workingset_activated(unsigned node, unsigned n)
{
    census_add(node, age, n);
}

/* Pages that one which comes back to the node competes with. */
static uint64_t rivals(unsigned node, unsigned type)
{
    bool swap = swap_free_slots() > 0;
    uint64_t n = lru_count(node, LRU_ACTIVE_FILE);

    if (type == ANON) {
        n += lru_count(node, LRU_INACTIVE_FILE);
    } else if (swap) {
        n += lru_count(node, LRU_INACTIVE_ANON);
    }
    return swap ? n + lru_count(node, LRU_ACTIVE_ANON) : n;
}

void workingset_refault(struct page *page, uint64_t shadow)
{
    unsigned type = page->kind == PAGE_FILE ? FILE : ANON;
    unsigned node = (shadow >> SHADOW_NODE_SHIFT) % MAX_NODES;
    uint32_t then = (uint32_t)(shadow >> SHADOW_AGE_SHIFT);
    uint32_t distance = (uint32_t)atomic_load_relaxed(&censuses[node].age) - then;

    census_add(node, stats.refault[type], 1);
    thrash_note_refault(node, distance);
    if (distance > rivals(node, type)) {
        return;
    }
    lru_activate(page);
    census_add(node, age, 1);
    census_add(node, stats.activate[type], 1);
    if ((shadow & SHADOW_ACTIVE) != 0) {
        (void)atomic_fetch_or(&page->flags, (uint16_t)PAGE_FLAG_WORKINGSET);
        census_add(node, stats.restore[type], 1);
    }
    reclaim_note_refault(type == FILE);
}

/* ---- shadows of files ---- */

struct shadows {
    struct xarray tree;      /* [cache->lock] page index -> shadow << 3 | 4 */
    struct pagecache *cache; /* [I] */
    uint64_t cursor;         /* [cache->lock] where the shrinker goes on */
    struct list_node link;   /* [list_lock] */
};

static struct spinlock list_lock = SPINLOCK_INIT("shadows");
static struct list_node list =
    LIST_INIT(list);    /* [list_lock] struct shadows.link, the longest waiting first */
static uint64_t nnodes; /* [a] of all trees */

static void *node_alloc(size_t size_bytes)
{
    void *node = pagecache_xarray_memory.alloc(size_bytes);

    if (node != NULL) {
        (void)atomic_fetch_add_relaxed(&nnodes, 1);
        census_add(page_node(virt_to_page(node)), stats.nodes, 1);
    }
    return node;
}

static void node_free(void *node)
{
    (void)atomic_fetch_sub_relaxed(&nnodes, 1);
    census_add(page_node(virt_to_page(node)), stats.nodes, (uint64_t)-1);
    pagecache_xarray_memory.free(node);
}

static const struct xarray_memory shadow_memory = {.alloc = node_alloc, .free = node_free};

static struct shadows *shadows_create(struct pagecache *cache)
{
    struct shadows *shadows = kzalloc(sizeof(*shadows));

    if (shadows == NULL) {
        return NULL;
    }
    xarray_init(&shadows->tree, &shadow_memory);
    shadows->cache = cache;
    cache->shadows = shadows;
    spin_lock(&list_lock);
    list_push_back(&list, &shadows->link);
    spin_unlock(&list_lock);
    return shadows;
}

uint64_t workingset_nodes_most(void)
{
    uint64_t pages = 0;

    for (unsigned node = 0; node < lru_nodes(); node++) {
        for (unsigned type = LRU_INACTIVE_ANON; type <= LRU_ACTIVE_FILE; type++) {
            pages += lru_count(node, (enum lru_list)type);
        }
    }
    return MAX(pages / PAGES_PER_NODE, (uint64_t)NODES_LEAST);
}

/* The shrinker keeps to the bound; should it be slow, it is twice as high. */
static bool has_room(void)
{
    uint64_t n = atomic_load_relaxed(&nnodes);

    return n < 2 * NODES_LEAST || n < 2 * workingset_nodes_most();
}

void workingset_remember(struct pagecache *cache, uint64_t index, uint64_t shadow)
{
    struct shadows *shadows = cache->shadows;

    if (!has_room() || (shadows == NULL && (shadows = shadows_create(cache)) == NULL)) {
        return;
    }
    (void)xarray_store(&shadows->tree, index, (void *)(uintptr_t)(shadow << 3 | 4), NULL);
}

uint64_t workingset_recall_slow(struct pagecache *cache, uint64_t index)
{
    return (uint64_t)(uintptr_t)xarray_erase(&cache->shadows->tree, index) >> 3;
}

void workingset_forget(struct pagecache *cache, uint64_t first, uint64_t last)
{
    struct shadows *shadows = cache->shadows;

    while (shadows != NULL && xarray_find(&shadows->tree, &first, last) != NULL) {
        (void)xarray_erase(&shadows->tree, first);
    }
}

void workingset_cache_fini(struct pagecache *cache)
{
    struct shadows *shadows = cache->shadows;

    if (shadows == NULL) {
        return;
    }
    spin_lock(&list_lock);
    list_remove(&shadows->link);
    spin_unlock(&list_lock);
    xarray_fini(&shadows->tree);
    kfree(shadows);
    cache->shadows = NULL;
}

/* ---- shrinking ---- */

/* The shadows of the next NODE_SHADOWS pages from the cursor on that have any. cache->lock held. Returns how many nodes went. */
static uint64_t trim_locked(struct shadows *shadows)
{
    uint64_t before = atomic_load_relaxed(&nnodes);
    uint64_t index = shadows->cursor;

    if (xarray_find(&shadows->tree, &index, UINT64_MAX) == NULL) {
        shadows->cursor = 0;
        return 0;
    }
    uint64_t last = index | (NODE_SHADOWS - 1);
    workingset_forget(shadows->cache, index, last);
    shadows->cursor = last == UINT64_MAX ? 0 : last + 1;
    uint64_t after = atomic_load_relaxed(&nnodes);
    return before > after ? before - after : 0;
}

static uint64_t shadows_excess(void)
{
    uint64_t n = atomic_load_relaxed(&nnodes);
    uint64_t most = workingset_nodes_most();

    return n > most ? n - most : 0;
}

/* What is too much goes at once, however hard memory is wanted. */
static size_t shadows_shrink(size_t n)
{
    size_t freed = 0;

    n = MAX(n, (size_t)shadows_excess());
    for (size_t tries = 0; freed < n && tries < 2 * n + TRIES; tries++) {
        uint64_t gone = 0;
        spin_lock(&list_lock);
        struct list_node *node = list_pop_front(&list);
        if (node == NULL) {
            spin_unlock(&list_lock);
            break;
        }
        struct shadows *shadows = container_of(node, struct shadows, link);
        list_push_back(&list, node);
        if (spin_trylock(&shadows->cache->lock)) {
            gone = trim_locked(shadows);
            spin_unlock(&shadows->cache->lock);
        }
        spin_unlock(&list_lock);
        census_add(0, stats.reclaimed_nodes, gone);
        freed += gone;
    }
    return freed;
}

static struct shrinker shadow_shrinker = {.count = shadows_excess, .shrink = shadows_shrink};

void workingset_init(void)
{
    shrinker_register(&shadow_shrinker);
}

/* ---- figures ---- */

void workingset_stats(unsigned node, struct workingset_stats *ret_stats)
{
    const uint64_t *from = (const uint64_t *)&censuses[node].stats;
    uint64_t *to = (uint64_t *)ret_stats;

    for (unsigned i = 0; i < sizeof(*ret_stats) / sizeof(*to); i++) {
        to[i] = atomic_load_relaxed(&from[i]);
    }
}
