/*
 * Lists of the least recently used. The header says how they are made up.
 *
 * Neighbours are named by frame numbers, counted from the node's first, so that both fit into eight bytes of struct page.
 */
#include "kernel/mm/lru.h"

#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/zone.h"
#include "kernel/sync/spinlock.h"

#define LRU_NONE  UINT32_MAX
#define LRU_FLAGS (PAGE_FLAG_LRU | PAGE_FLAG_UNEVICTABLE | LRU_SHARD_MASK)

struct lru_ends {
    uint32_t young, old; /* LRU_NONE: empty */
    uint64_t n;
};

struct lru_shard {
    struct spinlock lock;
    struct lru_ends lists[LRU_NLISTS]; /* [lock] */
} __cacheline;

struct lru_node {
    pfn_t first; /* [I] */
    struct lru_shard shards[LRU_SHARDS];
};

/* clang-format off */
#define ENDS  {LRU_NONE, LRU_NONE, 0}
#define SHARD {SPINLOCK_INIT("lru"), {ENDS, ENDS, ENDS, ENDS, ENDS}}
/* clang-format on */
static struct lru_node first_node = {
    .shards = {SHARD, SHARD, SHARD, SHARD, SHARD, SHARD, SHARD, SHARD},
};
_Static_assert(sizeof(struct lru_node) <= PAGE_SIZE, "one page holds the lists of a node");
static struct lru_node *lists[MAX_NODES] = {&first_node}; /* [I] after lru_init() */
static unsigned nlists = 1;                               /* [I] likewise */

unsigned lru_nodes(void)
{
    return nlists;
}

static pfn_t node_first_frame(unsigned id)
{
    pfn_t first = UINT64_MAX;

    for (unsigned zone = 0; zone < ZONE_COUNT; zone++) {
        if (nodes[id]->zones[zone].present > 0) {
            first = MIN(first, nodes[id]->zones[zone].start);
        }
    }
    return first == UINT64_MAX ? 0 : first;
}

void lru_init(void)
{
    for (unsigned id = 0; id < nodes_count(); id++) {
        if (id > 0) {
            struct page *page = frame_alloc_node(0, 0, PAGE_KERNEL, (int)id, NODES_ALL);
            if (page == NULL) {
                panic("mm: no memory for the lists of node %u", id);
            }
            lists[id] = page_to_virt(page);
            *lists[id] = first_node;
            for (unsigned shard = 0; shard < LRU_SHARDS; shard++) {
                spin_init(&lists[id]->shards[shard].lock, "lru");
            }
        }
        lists[id]->first = node_first_frame(id);
    }
    nlists = nodes_count();
}

static inline struct lru_node *node_of(const struct page *page)
{
    return likely(nlists == 1) ? &first_node : lists[page_node(page)];
}

static inline uint32_t number_of(const struct lru_node *node, const struct page *page)
{
    return (uint32_t)(page_to_pfn(page) - node->first);
}

static inline struct page *page_of(const struct lru_node *node, uint32_t number)
{
    return pfn_to_page(node->first + number);
}

_Static_assert(PAGE_FLAG_LAZY == PAGE_FLAG_WRITEBACK,
               "no other kind of page than those of files has the bit");

static inline enum lru_list list_of(const struct page *page)
{
    uint16_t flags = atomic_load_relaxed(&page->flags);

    if (unlikely((flags & PAGE_FLAG_UNEVICTABLE) != 0)) {
        return LRU_UNEVICTABLE;
    }
    bool file = page->kind == PAGE_FILE || (flags & PAGE_FLAG_LAZY) != 0;
    return (file ? LRU_INACTIVE_FILE : LRU_INACTIVE_ANON) + ((flags & PAGE_FLAG_ACTIVE) != 0);
}

static inline struct lru_shard *shard_in(struct lru_node *node, const struct page *page)
{
    return &node->shards[(page->flags & LRU_SHARD_MASK) >> LRU_SHARD_SHIFT];
}

static inline void link_locked(const struct lru_node *node, struct lru_ends *ends,
                               struct page *page)
{
    uint32_t number = number_of(node, page);

    page->lru_prev = LRU_NONE;
    page->lru_next = ends->young;
    if (likely(ends->young != LRU_NONE)) {
        page_of(node, ends->young)->lru_prev = number;
    } else {
        ends->old = number;
    }
    ends->young = number;
    ends->n++;
}

static inline void unlink_locked(const struct lru_node *node, struct lru_ends *ends,
                                 struct page *page)
{
    if (page->lru_prev != LRU_NONE) {
        page_of(node, page->lru_prev)->lru_next = page->lru_next;
    } else {
        ends->young = page->lru_next;
    }
    if (page->lru_next != LRU_NONE) {
        page_of(node, page->lru_next)->lru_prev = page->lru_prev;
    } else {
        ends->old = page->lru_prev;
    }
    ends->n--;
}

/*
 * ACTIVE and UNEVICTABLE tell the list that a page is on: they change only while it is on none, or under the lock and with a move. MLOCKED is
 * what others wish. Its change and the look at LRU here, and the other way round there, are full barriers: one of the two sees the other.
 */
static void link_as_wished_locked(const struct lru_node *node, struct lru_shard *shard,
                                  struct page *page)
{
    if (unlikely((atomic_load_relaxed(&page->flags) & PAGE_FLAG_MLOCKED) != 0)) {
        (void)atomic_fetch_or(&page->flags, (uint16_t)PAGE_FLAG_UNEVICTABLE);
    } else {
        (void)atomic_fetch_and(&page->flags, (uint16_t)~PAGE_FLAG_UNEVICTABLE);
    }
    link_locked(node, &shard->lists[list_of(page)], page);
}

static inline uint16_t here(void)
{
    return (uint16_t)(this_cpu->id % LRU_SHARDS << LRU_SHARD_SHIFT) | PAGE_FLAG_LRU;
}

static inline struct lru_shard *shard_named(struct lru_node *node, uint16_t flags)
{
    return &node->shards[(flags & LRU_SHARD_MASK) >> LRU_SHARD_SHIFT];
}

void lru_add_new(struct page **pages, unsigned n)
{
    enum lru_list list = pages[0]->kind == PAGE_FILE ? LRU_INACTIVE_FILE : LRU_INACTIVE_ANON;
    uint16_t flags = here();
    unsigned i = 0;

    do { /* once, but where memory comes from several nodes by turns */
        struct lru_node *node = node_of(pages[i]);
        struct lru_shard *shard = shard_named(node, flags);
        uint64_t irq = spin_lock_irqsave(&shard->lock);
        do {
            pages[i]->flags |= flags;
            link_locked(node, &shard->lists[list], pages[i]);
        } while (++i < n && node_of(pages[i]) == node);
        spin_unlock_irqrestore(&shard->lock, irq);
    } while (i < n);
}

/* A reference, unless the last one is gone already. */
static bool page_tryget(struct page *page)
{
    uint32_t refs = atomic_load_relaxed(&page->refs);

    while (refs != 0) {
        if (__atomic_compare_exchange_n(&page->refs, &refs, refs + 1, true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
            return true;
        }
    }
    return false;
}

/* `get`: with a reference, and only if there is one to be had. */
static inline bool take(struct page *page, bool get)
{
    struct lru_node *node = node_of(page);
    bool taken = false;

    if ((atomic_load_relaxed(&page->flags) & PAGE_FLAG_LRU) == 0) {
        return false;
    }
    for (;;) {
        struct lru_shard *shard = shard_in(node, page);
        uint64_t irq = spin_lock_irqsave(&shard->lock);
        bool same =
            shard_in(node, page) == shard; /* may have gone to another one before we had the lock */
        if (same && (page->flags & PAGE_FLAG_LRU) != 0 && (!get || page_tryget(page))) {
            unlink_locked(node, &shard->lists[list_of(page)], page);
            (void)atomic_fetch_and(&page->flags, (uint16_t)~LRU_FLAGS);
            taken = true;
        }
        spin_unlock_irqrestore(&shard->lock, irq);
        if (same) {
            return taken;
        }
    }
}

bool lru_take(struct page *page)
{
    return take(page, false);
}

bool lru_isolate_page(struct page *page)
{
    return take(page, true);
}

void lru_take_freed(struct page **pages, unsigned n)
{
    struct lru_shard *shard = NULL;
    uint64_t irq = 0;

    for (unsigned i = 0; i < n; i++) {
        struct page *page = pages[i];
        if ((page->flags & PAGE_FLAG_LRU) == 0) {
            continue;
        }
        struct lru_node *node = node_of(page);
        if (shard_in(node, page) != shard) { /* it stays what it is: no reference is left */
            if (shard != NULL) {
                spin_unlock_irqrestore(&shard->lock, irq);
            }
            shard = shard_in(node, page);
            irq = spin_lock_irqsave(&shard->lock);
        }
        unlink_locked(node, &shard->lists[list_of(page)], page);
        page->flags &= (uint16_t)~LRU_FLAGS;
    }
    if (shard != NULL) {
        spin_unlock_irqrestore(&shard->lock, irq);
    }
}

void lru_put_back(struct page **pages, unsigned n)
{
    uint16_t flags = here();

    for (unsigned i = 0; i < n;) {
        struct lru_node *node = node_of(pages[i]);
        struct lru_shard *shard = shard_named(node, flags);
        uint64_t irq = spin_lock_irqsave(&shard->lock);
        do {
            ASSERT((pages[i]->flags & PAGE_FLAG_LRU) == 0);
            (void)atomic_fetch_or(&pages[i]->flags, flags);
            link_as_wished_locked(node, shard, pages[i]);
        } while (++i < n && node_of(pages[i]) == node);
        spin_unlock_irqrestore(&shard->lock, irq);
    }
    for (unsigned i = 0; i < n; i++) {
        page_put(pages[i]); /* maybe the last: then it leaves the list again */
    }
}

/* Change the flags that choose the list, and the list with them. The caller has a reference. False: it was on no list. */
static bool lru_change(struct page *page, uint16_t set, uint16_t clear)
{
    struct lru_node *node = node_of(page);
    bool done = false;

    while (!done && (atomic_load_relaxed(&page->flags) & PAGE_FLAG_LRU) != 0) {
        struct lru_shard *shard = shard_in(node, page);
        uint64_t irq = spin_lock_irqsave(&shard->lock);
        done = shard_in(node, page) == shard && (page->flags & PAGE_FLAG_LRU) != 0;
        if (done) {
            unlink_locked(node, &shard->lists[list_of(page)], page);
            (void)atomic_fetch_and(&page->flags, (uint16_t)~clear);
            (void)atomic_fetch_or(&page->flags, set);
            link_as_wished_locked(node, shard, page);
        }
        spin_unlock_irqrestore(&shard->lock, irq);
    }
    return done;
}

void lru_set_mlocked(struct page *page, bool locked)
{
    uint16_t old = locked ? atomic_fetch_or(&page->flags, (uint16_t)PAGE_FLAG_MLOCKED)
                          : atomic_fetch_and(&page->flags, (uint16_t)~PAGE_FLAG_MLOCKED);

    if (((old & PAGE_FLAG_MLOCKED) != 0) != locked) {
        (void)lru_change(page, 0, 0);
    }
}

void lru_activate(struct page *page)
{
    if ((atomic_load_relaxed(&page->flags) & PAGE_FLAG_ACTIVE) == 0) {
        (void)lru_change(page, PAGE_FLAG_ACTIVE, PAGE_FLAG_REFERENCED);
    }
}

void lru_deactivate(struct page *page)
{
    (void)lru_change(page, 0, PAGE_FLAG_ACTIVE | PAGE_FLAG_REFERENCED);
}

bool lru_make_lazy(struct page *page)
{
    return lru_change(page, PAGE_FLAG_LAZY, PAGE_FLAG_ACTIVE | PAGE_FLAG_REFERENCED);
}

unsigned lru_isolate(unsigned id, unsigned shard_id, enum lru_list list, unsigned n,
                     struct page **pages, unsigned *ret_seen)
{
    struct lru_node *node = lists[id];
    struct lru_shard *shard = &node->shards[shard_id];
    struct lru_ends *ends = &shard->lists[list];
    unsigned got = 0;
    unsigned seen = 0;

    uint64_t irq = spin_lock_irqsave(&shard->lock);
    for (; seen < n && ends->old != LRU_NONE; seen++) {
        struct page *page = page_of(node, ends->old);
        unlink_locked(node, ends, page);
        if (likely(page_tryget(page))) {
            (void)atomic_fetch_and(&page->flags, (uint16_t)~LRU_FLAGS);
            pages[got++] = page;
        } else {
            link_locked(node, ends, page); /* who frees it waits for our lock */
        }
    }
    spin_unlock_irqrestore(&shard->lock, irq);
    *ret_seen = seen;
    return got;
}

uint64_t lru_shard_count(unsigned node, unsigned shard, enum lru_list list)
{
    return atomic_load_relaxed(&lists[node]->shards[shard].lists[list].n);
}

uint64_t lru_count(unsigned node, enum lru_list list)
{
    uint64_t n = 0;

    for (unsigned shard = 0; shard < LRU_SHARDS; shard++) {
        n += lru_shard_count(node, shard, list);
    }
    return n;
}
