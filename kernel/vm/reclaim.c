/*
 * Reclaim: which pages, how many, and when.
 *
 * A pass looks at a part of each list, 1 / 2^12 first, twice as much each time it has not found enough. How the work is shared between pages of
 * files and those that swap keeps follows from what each has cost lately: a page that was looked at and had to stay is cost, and one that
 * comes back too soon (workingset.h) is dearer. swappiness tips the scales: 100 means that both kinds are as dear to bring back. The two take turns, in
 * batches, as their shares are; so do the shards of a node.
 *
 * A page that was used since it was looked at last gets a second round on the inactive list; used again then, it becomes active. When the inactive
 * list is shorter than the active one, the oldest active pages are made inactive.
 *
 * Locks: scan state is hints and sums, changed without a lock by whoever reclaims.
 */
#include "kernel/vm/reclaim_impl.h"

#include "kernel/core/percpu.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/mm/node.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/thread.h"
#include "kernel/vm/private.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/thrash.h"
#include "kernel/vm/tunables.h"
#include "kernel/vm/workingset.h"

#define PRIORITY_FIRST 12u
#define PRIORITY_HARD  6u /* from here on other CPUs are asked to give up what they have at hand */
#define BATCH          32u
#define REFAULT_COST                                                                               \
    16u /* of a page that comes back too soon, in pages that were looked at in vain */

enum { ANON, FILE, NTYPES };

struct scan {
    unsigned node;
    unsigned priority;
    size_t wanted, freed;
    bool thread;     /* the reclaim thread, not who needs memory */
    bool files_only; /* drop_caches: and nothing that is mapped */
};

static uint64_t costs[NTYPES]; /* [a] pages that had to stay; halved now and then */
DEFINE_PER_CPU(struct reclaim_stats, reclaim_counters);

/* ---- lists ---- */

/* What becomes of an inactive page. It is on no list. */
static enum reclaim_fate inactive_page(const struct scan *scan, struct page *page)
{
    bool executable = false;

    if (scan->files_only) {
        return page->mapcount == 0 ? reclaim_page(page, false) : RECLAIM_KEEP;
    }
    unsigned used = reclaim_page_used(page, &executable);
    if (used == UINT32_MAX) {
        return RECLAIM_KEEP;
    }
    uint16_t old = atomic_load_relaxed(&page->flags);
    bool again = (old & PAGE_FLAG_REFERENCED) != 0;
    if (again) {
        (void)atomic_fetch_and(&page->flags, (uint16_t)~PAGE_FLAG_REFERENCED);
    }
    if (used > 0 && scan->priority > 0) {
        if (again || used > 1 || (executable && page->kind == PAGE_FILE)) {
            return RECLAIM_ACTIVATE;
        }
        (void)atomic_fetch_or(&page->flags, (uint16_t)PAGE_FLAG_REFERENCED);
        return RECLAIM_KEEP;
    }
    return reclaim_page(page, true);
}

static void count_scanned(const struct scan *scan, unsigned type, unsigned seen, unsigned freed)
{
    if (scan->thread) {
        reclaim_count(pgscan_kswapd, seen);
        reclaim_count(pgsteal_kswapd, freed);
    } else {
        reclaim_count(pgscan_direct, seen);
        reclaim_count(pgsteal_direct, freed);
    }
    if (type == ANON) {
        reclaim_count(pgscan_anon, seen);
        reclaim_count(pgsteal_anon, freed);
    } else {
        reclaim_count(pgscan_file, seen);
        reclaim_count(pgsteal_file, freed);
    }
}

static void cost_add(unsigned type, uint64_t n)
{
    (void)atomic_fetch_add_relaxed(&costs[type], n);
    if (atomic_load_relaxed(&costs[ANON]) + atomic_load_relaxed(&costs[FILE]) > 65536) {
        for (unsigned i = 0; i < NTYPES; i++) {
            atomic_store_relaxed(&costs[i], atomic_load_relaxed(&costs[i]) / 2);
        }
    }
}

void reclaim_note_refault(bool file)
{
    cost_add(file ? FILE : ANON, REFAULT_COST);
}

/* Up to n pages from the old end of an inactive list. Returns how many were seen. */
static unsigned shrink_inactive(struct scan *scan, unsigned shard, unsigned type, unsigned n)
{
    enum lru_list list = type == ANON ? LRU_INACTIVE_ANON : LRU_INACTIVE_FILE;
    struct page *pages[BATCH];
    unsigned kept = 0;
    unsigned activated = 0;
    unsigned seen;
    unsigned got = lru_isolate(scan->node, shard, list, MIN(n, BATCH), pages, &seen);

    for (unsigned i = 0; i < got; i++) {
        enum reclaim_fate fate = inactive_page(scan, pages[i]);
        if (fate == RECLAIM_FREED) {
            continue;
        }
        if (fate == RECLAIM_ACTIVATE) {
            (void)atomic_fetch_or(&pages[i]->flags, (uint16_t)PAGE_FLAG_ACTIVE);
            activated++;
        }
        pages[kept++] = pages[i];
    }
    lru_put_back(pages, kept);
    scan->freed += got - kept;
    if (!scan->files_only) {
        cost_add(type, kept);
        thrash_note_evictions(got - kept, scan->priority >= PRIORITY_HARD);
    }
    reclaim_count(pgactivate, activated);
    if (activated > 0) {
        workingset_activated(scan->node, activated);
    }
    count_scanned(scan, type, seen, got - kept);
    return seen;
}

/* The oldest active pages become inactive; what is used and executable stays. */
static unsigned shrink_active(const struct scan *scan, unsigned shard, unsigned type, unsigned n)
{
    enum lru_list list = type == ANON ? LRU_ACTIVE_ANON : LRU_ACTIVE_FILE;
    struct page *pages[BATCH];
    unsigned stayed = 0;
    unsigned seen;
    unsigned got = lru_isolate(scan->node, shard, list, MIN(n, BATCH), pages, &seen);

    for (unsigned i = 0; i < got; i++) {
        bool executable = false;
        unsigned used = reclaim_page_used(pages[i], &executable);
        if (used > 0 && executable && pages[i]->kind == PAGE_FILE) {
            stayed++;
            continue;
        }
        (void)atomic_fetch_and(&pages[i]->flags,
                               (uint16_t) ~(PAGE_FLAG_ACTIVE | PAGE_FLAG_REFERENCED));
        (void)atomic_fetch_or(&pages[i]->flags, (uint16_t)PAGE_FLAG_WORKINGSET);
    }
    lru_put_back(pages, got);
    reclaim_count(pgrefill, seen);
    reclaim_count(pgdeactivate, got - stayed);
    return seen;
}

static bool inactive_is_low(unsigned node, unsigned shard, unsigned type)
{
    enum lru_list inactive = type == ANON ? LRU_INACTIVE_ANON : LRU_INACTIVE_FILE;

    return lru_shard_count(node, shard, inactive) < lru_shard_count(node, shard, inactive + 1);
}

/* n pages of a shard. Returns how many were seen. */
static uint64_t shrink_shard(struct scan *scan, unsigned shard, unsigned type, uint64_t n)
{
    uint64_t done = 0;

    while (done < n && scan->freed < scan->wanted) {
        if (!scan->files_only && inactive_is_low(scan->node, shard, type)) {
            (void)shrink_active(scan, shard, type, BATCH);
        }
        unsigned seen =
            shrink_inactive(scan, shard, type, (unsigned)MIN(n - done, (uint64_t)BATCH));
        if (seen == 0) {
            break;
        }
        done += seen;
    }
    return done;
}

/* ---- how much of which ---- */

/* The share of each type; the larger one is looked at in full. */
static void weigh(const struct scan *scan, uint64_t weight[NTYPES])
{
    uint64_t swappiness = (uint64_t)atomic_load_relaxed(&vm_tunables.swappiness);
    uint64_t anon = atomic_load_relaxed(&costs[ANON]);
    uint64_t file = atomic_load_relaxed(&costs[FILE]);
    uint64_t total = anon + file + 1;

    if (scan->files_only || swap_free_slots() == 0) {
        swappiness = 0;
    }
    weight[ANON] = swappiness * (total + 1) / (anon + 1);
    weight[FILE] = (200 - swappiness) * (total + 1) / (file + 1);
    uint64_t nfile =
        lru_count(scan->node, LRU_INACTIVE_FILE) + lru_count(scan->node, LRU_ACTIVE_FILE);
    if (swappiness > 0 && (nfile == 0 || scan->priority == 0)) {
        weight[ANON] = weight[FILE] = 1; /* all of both */
    }
}

/*
 * A pass mostly ends long before it has seen its part of all lists, so each node remembers how far ahead one type is of the other, and in which
 * shard it stopped. Hints, changed by whoever reclaims.
 */
struct turn {
    uint64_t
        pace[NTYPES]; /* [a] pages looked at, each worth the more the smaller its type's share is */
    uint64_t
        place[NTYPES]; /* [a] in all shards' pages of the type, one shard's after the other's */
};
static struct turn turns[MAX_NODES];

#define WEIGHT_ONE 1024u /* of the type that is looked at in full */
#define PACE_ONE   256u  /* of a page when the other type has no share */
#define PACE_MOST  BIT(20)

struct share {
    uint64_t sizes[LRU_SHARDS], size; /* pages */
    uint64_t share;                   /* of all looks, in relation to the other's */
    uint64_t left;                    /* of this pass */
};

static void share_out(const struct scan *scan, struct share shares[NTYPES])
{
    uint64_t weight[NTYPES];

    weigh(scan, weight);
    uint64_t most = MAX(weight[ANON], weight[FILE]);
    most = MAX(most, (uint64_t)1);
    for (unsigned type = 0; type < NTYPES; type++) {
        struct share *share = &shares[type];
        enum lru_list inactive = type == ANON ? LRU_INACTIVE_ANON : LRU_INACTIVE_FILE;
        share->size = 0;
        for (unsigned shard = 0; shard < LRU_SHARDS; shard++) {
            share->sizes[shard] = lru_shard_count(scan->node, shard, inactive) +
                                  lru_shard_count(scan->node, shard, inactive + 1);
            share->size += share->sizes[shard];
        }
        uint64_t part = DIV_ROUND_UP(weight[type] * WEIGHT_ONE, most);
        share->share = share->size * part;
        share->left = (share->size >> scan->priority) * part / WEIGHT_ONE;
    }
}

/* The type whose turn it is. NTYPES: this pass is over. */
static unsigned type_next(const struct turn *turn, const struct share shares[NTYPES])
{
    if (shares[ANON].left == 0 || shares[FILE].left == 0) {
        return shares[ANON].left > 0 ? ANON : shares[FILE].left > 0 ? FILE : NTYPES;
    }
    return atomic_load_relaxed(&turn->pace[ANON]) <= atomic_load_relaxed(&turn->pace[FILE]) ? ANON
                                                                                            : FILE;
}

/* n pages of the type were looked at. What has nothing to do does not gain by that. */
static void turn_advance(struct turn *turn, const struct share shares[NTYPES], unsigned type,
                         uint64_t n)
{
    uint64_t both = shares[ANON].share + shares[FILE].share;
    uint64_t each = both * PACE_ONE / MAX(shares[type].share, (uint64_t)1);
    uint64_t pace = atomic_load_relaxed(&turn->pace[type]) + n * MIN(each, PACE_MOST);

    atomic_store_relaxed(&turn->pace[type], pace);
    if (shares[!type].left == 0 && atomic_load_relaxed(&turn->pace[!type]) < pace) {
        atomic_store_relaxed(&turn->pace[!type], pace);
    }
    (void)atomic_fetch_add_relaxed(&turn->place[type], n);
}

static unsigned shard_at(const struct share *share, uint64_t place)
{
    unsigned shard = 0;

    place %= share->size;
    while (shard + 1 < LRU_SHARDS && place >= share->sizes[shard]) {
        place -= share->sizes[shard++];
    }
    return shard;
}

static void shrink_node(struct scan *scan)
{
    struct turn *turn = &turns[scan->node];
    struct share shares[NTYPES];
    unsigned type;

    share_out(scan, shares);
    while (scan->freed < scan->wanted && (type = type_next(turn, shares)) < NTYPES) {
        struct share *share = &shares[type];
        unsigned shard = shard_at(share, atomic_load_relaxed(&turn->place[type]));
        uint64_t n = MIN(share->left, (uint64_t)BATCH);
        (void)shrink_shard(scan, shard, type, n);
        turn_advance(turn, shares, type, n);
        share->left -= n;
    }
}

/* ---- what is no page ---- */

static struct shrinker *shrinkers; /* [I] after boot */

void shrinker_register(struct shrinker *shrinker)
{
    shrinker->next = shrinkers;
    __atomic_store_n(&shrinkers, shrinker, __ATOMIC_RELEASE);
}

void reclaim_shrink(unsigned priority)
{
    uint64_t pressure = (uint64_t)atomic_load_relaxed(&vm_tunables.vfs_cache_pressure);
    struct shrinker *shrinker = __atomic_load_n(&shrinkers, __ATOMIC_ACQUIRE);

    for (; shrinker != NULL; shrinker = shrinker->next) {
        uint64_t has = shrinker->count();
        uint64_t n = has == 0 ? 0 : (has >> priority) + 1;
        n = shrinker->names ? n * pressure / 100 : n;
        if (n > 0) {
            reclaim_count(slabs_scanned, n);
            (void)shrinker->shrink(n);
        }
    }
    if (priority < PRIORITY_HARD) {
        (void)slab_shrink_cpus();
    } else {
        (void)slab_shrink_all();
    }
}

/* ---- who reclaims ---- */

/* Look harder and harder until enough has come. */
static void scan_run(struct scan *scan)
{
    struct thread *thread = current_thread();

    thread->reclaiming = true;
    scan->freed += vunmap_flush(); /* the kernel's own: nothing is cheaper to have */
    for (unsigned priority = PRIORITY_FIRST + 1; priority-- > 0 && scan->freed < scan->wanted;) {
        scan->priority = priority;
        shrink_node(scan);
        if (scan->thread) {
            reclaim_shrink(priority);
        }
    }
    thread->reclaiming = false;
    frames_drain_local();
}

size_t reclaim_frames(unsigned node, size_t n)
{
    struct scan scan = {.node = node, .wanted = n};

    if (current_thread()->reclaiming) {
        return 0;
    }
    might_sleep();
    scan_run(&scan);
    return scan.freed;
}

size_t reclaim_scan(unsigned node, size_t n)
{
    struct scan scan = {.node = node, .wanted = n, .thread = true};

    scan_run(&scan);
    return scan.freed;
}

size_t reclaim_pages(struct page **pages, unsigned n)
{
    struct thread *thread = current_thread();
    bool nested = thread->reclaiming;
    size_t freed = 0;

    thread->reclaiming = true;
    for (unsigned i = 0; i < n; i++) {
        if (!lru_take(pages[i])) {
            page_put(pages[i]); /* somebody is at it already */
        } else if (reclaim_page(pages[i], false) == RECLAIM_FREED) {
            freed++;
        } else {
            lru_put_back(&pages[i], 1);
        }
    }
    thread->reclaiming = nested;
    return freed;
}

size_t reclaim_drop_files(void)
{
    size_t freed = 0;

    for (unsigned node = 0; node < lru_nodes(); node++) {
        uint64_t n = lru_count(node, LRU_INACTIVE_FILE) + lru_count(node, LRU_ACTIVE_FILE);
        struct scan scan = {.node = node, .wanted = n, .files_only = true};
        for (unsigned shard = 0; shard < LRU_SHARDS; shard++) {
            uint64_t active = lru_shard_count(node, shard, LRU_ACTIVE_FILE);
            while (active > 0) {
                unsigned seen =
                    shrink_active(&scan, shard, FILE, (unsigned)MIN(active, (uint64_t)BATCH));
                active -= seen == 0 ? active : seen;
            }
            (void)shrink_shard(&scan, shard, FILE, lru_shard_count(node, shard, LRU_INACTIVE_FILE));
        }
        freed += scan.freed;
    }
    return freed;
}

/* ---- figures ---- */

void reclaim_stats(struct reclaim_stats *ret_stats)
{
    unsigned cpu;

    *ret_stats = (struct reclaim_stats){0};
    for_each_cpu (cpu) {
        const uint64_t *from = (const uint64_t *)per_cpu_ptr(reclaim_counters, cpu);
        uint64_t *to = (uint64_t *)ret_stats;
        for (unsigned i = 0; i < sizeof(*ret_stats) / sizeof(*to); i++) {
            to[i] += READ_ONCE(from[i]);
        }
    }
}
