/*
 * Reclaim: which pages, how many, and when.
 *
 * A pass looks at a part of each list, 1 / 2^12 first, twice as much each time it has not found enough. How the work is shared between pages of
 * files and those that swap keeps follows from what each has cost lately: a page that was looked at and had to stay is cost. swappiness tips the
 * scales: 100 means that both kinds are as dear to bring back.
 *
 * A page that was used since it was looked at last gets a second round on the inactive list; used again then, it becomes active. When the inactive
 * list is shorter than the active one, the oldest active pages are made inactive.
 *
 * Locks: scan state is hints and sums, changed without a lock by whoever reclaims.
 */
#include "kernel/vm/reclaim.h"

#include "kernel/core/log.h"
#include "kernel/core/percpu.h"
#include "kernel/core/time.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/mm/node.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/thread.h"
#include "kernel/sched/wait.h"
#include "kernel/vm/private.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/tunables.h"
#include "kernel/vm/workingset.h"

#define PRIORITY_FIRST 12u
#define BATCH          32u
#define DIRECT_FRAMES  32u
#define REFAULT_COST                                                                               \
    16u /* of a page that comes back too soon, in pages that were looked at in vain */
#define PATIENCE_NS (20 * NS_PER_MS) /* direct reclaim waits so long for the thread's */

enum { ANON, FILE, NTYPES };

struct scan {
    unsigned node;
    unsigned priority;
    size_t wanted, freed;
    bool thread;     /* the reclaim thread, not who needs memory */
    bool files_only; /* drop_caches: and nothing that is mapped */
};

static uint64_t costs[NTYPES]; /* [a] pages that had to stay; halved now and then */
static DEFINE_PER_CPU(struct reclaim_stats, reclaim_counters);
#define count_add(member, n) (this_cpu_ptr(reclaim_counters)->member += (n)) /* as vm_count() */

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
        count_add(pgscan_kswapd, seen);
        count_add(pgsteal_kswapd, freed);
    } else {
        count_add(pgscan_direct, seen);
        count_add(pgsteal_direct, freed);
    }
    if (type == ANON) {
        count_add(pgscan_anon, seen);
        count_add(pgsteal_anon, freed);
    } else {
        count_add(pgscan_file, seen);
        count_add(pgsteal_file, freed);
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
    cost_add(type, kept);
    count_add(pgactivate, activated);
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
    count_add(pgrefill, seen);
    count_add(pgdeactivate, got - stayed);
    return seen;
}

static bool inactive_is_low(unsigned node, unsigned shard, unsigned type)
{
    enum lru_list inactive = type == ANON ? LRU_INACTIVE_ANON : LRU_INACTIVE_FILE;

    return lru_shard_count(node, shard, inactive) < lru_shard_count(node, shard, inactive + 1);
}

static void shrink_shard(struct scan *scan, unsigned shard, unsigned type, uint64_t n)
{
    while (n > 0 && scan->freed < scan->wanted) {
        if (!scan->files_only && inactive_is_low(scan->node, shard, type)) {
            (void)shrink_active(scan, shard, type, BATCH);
        }
        unsigned seen = shrink_inactive(scan, shard, type, (unsigned)MIN(n, (uint64_t)BATCH));
        if (seen == 0) {
            return;
        }
        n -= seen;
    }
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

static uint64_t shard_size(const struct scan *scan, unsigned shard, unsigned type)
{
    enum lru_list inactive = type == ANON ? LRU_INACTIVE_ANON : LRU_INACTIVE_FILE;

    return lru_shard_count(scan->node, shard, inactive) +
           lru_shard_count(scan->node, shard, inactive + 1);
}

static void shrink_node(struct scan *scan)
{
    uint64_t weight[NTYPES];

    weigh(scan, weight);
    uint64_t most = MAX(weight[ANON], weight[FILE]);
    for (unsigned shard = 0; shard < LRU_SHARDS; shard++) {
        for (unsigned type = 0; type < NTYPES; type++) {
            uint64_t size = shard_size(scan, shard, type);
            if (weight[type] == 0 || size == 0) {
                continue;
            }
            uint64_t n = (size >> scan->priority) * weight[type] / MAX(most, (uint64_t)1);
            shrink_shard(scan, shard, type, MAX(n, MIN(size, (uint64_t)BATCH)));
        }
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
            count_add(slabs_scanned, n);
            (void)shrinker->shrink(n);
        }
    }
    (void)slab_shrink_all();
}

/* ---- who reclaims ---- */

/* Look harder and harder until enough has come. */
static void scan_run(struct scan *scan)
{
    struct thread *thread = current_thread();

    thread->reclaiming = true;
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

size_t reclaim_pages(struct page **pages, unsigned n)
{
    struct thread *thread = current_thread();
    bool nested = thread->reclaiming;
    size_t freed = 0;

    thread->reclaiming = true;
    for (unsigned i = 0; i < n; i++) {
        if (!lru_take(pages[i])) {
            page_put(pages[i]); /* somebody is at it already */
        } else if (reclaim_page(pages[i], true) == RECLAIM_FREED) {
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
            shrink_shard(&scan, shard, FILE, lru_shard_count(node, shard, LRU_INACTIVE_FILE));
        }
        freed += scan.freed;
    }
    return freed;
}

/* ---- the thread ---- */

struct reclaimer {
    struct wait_queue wanted; /* it waits here for work */
    struct wait_queue rounds; /* others wait here for the end of a round */
    uint32_t awake;           /* [a] asked for, and not yet asleep again */
    uint64_t nrounds;         /* [a] */
    unsigned node;            /* [I] */
};
static struct reclaimer reclaimers[MAX_NODES];
static unsigned nreclaimers; /* [I] after boot */

enum mark { MARK_MIN, MARK_HIGH };

/* Is some zone above the watermark, as requests see it that may use all of them? */
static bool node_is_above(unsigned node, enum mark mark)
{
    struct zone_stats stats;

    for (unsigned id = 0; id < ZONE_COUNT; id++) {
        if (zone_stats(node, id, &stats) && stats.managed > 0 &&
            stats.free >
                (mark == MARK_MIN ? stats.min : stats.high) + stats.protection[ZONE_NORMAL]) {
            return true;
        }
    }
    return false;
}

static void reclaimer_round(struct reclaimer *reclaimer)
{
    unsigned fruitless = 0;

    while (fruitless < 4 && !node_is_above(reclaimer->node, MARK_HIGH)) {
        struct scan scan = {.node = reclaimer->node, .wanted = 4 * BATCH, .thread = true};
        scan_run(&scan);
        fruitless = scan.freed == 0 ? fruitless + 1 : 0;
        (void)atomic_fetch_add_relaxed(&reclaimer->nrounds, 1);
        wait_wake_all(&reclaimer->rounds, 0);
    }
}

static void reclaimer_main(void *arg)
{
    struct reclaimer *reclaimer = arg;

    for (;;) {
        wait_event(&reclaimer->wanted, atomic_load_acquire(&reclaimer->awake) != 0);
        reclaimer_round(reclaimer);
        atomic_store_release(&reclaimer->awake, 0);
        (void)atomic_fetch_add_relaxed(&reclaimer->nrounds, 1);
        wait_wake_all(&reclaimer->rounds, 0);
    }
}

/* frame_reclaim_ops.wake */
static void reclaim_wake(unsigned node, unsigned order)
{
    struct reclaimer *reclaimer = &reclaimers[MIN(node, nreclaimers - 1)];

    (void)order;
    if (atomic_load_relaxed(&reclaimer->awake) == 0 && atomic_exchange(&reclaimer->awake, 1) == 0) {
        count_add(kswapd_wakes, 1);
        wait_wake_all(&reclaimer->wanted, 0);
    }
}

/* frame_reclaim_ops.dipped */
static void reclaim_dipped(unsigned node)
{
    struct thread *thread = current_thread();

    reclaim_wake(node, 0);
    if (!thread->reclaiming && thread->vm != NULL) {
        thread_set_work(thread, THREAD_WORK_RECLAIM);
    }
}

/* frame_reclaim_ops.reclaim: when there is nothing to be found here, the thread may yet find something: it may take locks that we may not. */
static size_t reclaim_direct(unsigned node, unsigned order)
{
    struct reclaimer *reclaimer = &reclaimers[MIN(node, nreclaimers - 1)];

    if (current_thread()->reclaiming) {
        return 0;
    }
    count_add(allocstall, 1);
    size_t freed = reclaim_frames(node, MAX(DIRECT_FRAMES, 1ull << order));
    if (freed == 0) {
        uint64_t before = atomic_load_relaxed(&reclaimer->nrounds);
        reclaim_wake(node, order);
        (void)wait_event_until(&reclaimer->rounds,
                               atomic_load_relaxed(&reclaimer->nrounds) != before,
                               ktime_now() + PATIENCE_NS);
        freed = order == 0 && node_is_above(node, MARK_MIN);
    }
    return freed;
}

void reclaim_owed(void)
{
    if (!node_is_above(this_node(), MARK_MIN)) {
        (void)reclaim_frames(this_node(), DIRECT_FRAMES);
    }
}

static const struct frame_reclaim_ops ops = {
    .wake = reclaim_wake, .dipped = reclaim_dipped, .reclaim = reclaim_direct};

void reclaim_init(void)
{
    nreclaimers = nodes_count();
    for (unsigned node = 0; node < nreclaimers; node++) {
        struct reclaimer *reclaimer = &reclaimers[node];
        char name[] = "kswapd00";
        reclaimer->node = node;
        wait_queue_init(&reclaimer->wanted);
        wait_queue_init(&reclaimer->rounds);
        if (node >= 10) {
            name[6] = (char)('0' + node / 10);
            name[7] = (char)('0' + node % 10);
        } else {
            name[6] = (char)('0' + node);
            name[7] = 0;
        }
        struct thread *thread = thread_create_kernel(name, reclaimer_main, reclaimer);
        if (thread == NULL) {
            log_warn("reclaim: no memory for the thread of node %u", node);
            continue;
        }
        thread_start(thread);
    }
    frames_set_reclaim(&ops);
}

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
