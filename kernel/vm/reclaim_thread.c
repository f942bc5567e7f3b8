/*
 * Who reclaims, and when: a thread for each node (kswapd0, ...), woken when all zones that may serve a request are below `low`; and requests that
 * find nothing above `min`.
 *
 * The thread goes on until its node has what the marks `high` come to. While it works, others may wait for the end of a round: it may take locks
 * that they may not.
 */
#include "kernel/core/log.h"
#include "kernel/core/time.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/node.h"
#include "kernel/sched/psi.h"
#include "kernel/sched/thread.h"
#include "kernel/sched/wait.h"
#include "kernel/vm/oom.h"
#include "kernel/vm/reclaim_impl.h"
#include "kernel/vm/thrash.h"

#define ROUND_FRAMES  128u
#define DIRECT_FRAMES 32u
#define PATIENCE_NS   (20 * NS_PER_MS) /* direct reclaim waits so long for the thread's */

struct reclaimer {
    struct wait_queue wanted; /* it waits here for work */
    struct wait_queue rounds; /* others wait here for the end of a round */
    uint32_t awake;           /* [a] asked for, and not yet asleep again */
    uint64_t nrounds;         /* [a] */
    unsigned node;            /* [I] */
};
static struct reclaimer reclaimers[MAX_NODES];
static unsigned nreclaimers; /* [I] after boot */

/* Is some zone above `min`, as requests see it that may use all of them? */
static bool node_has_some(unsigned node)
{
    struct zone_stats stats;

    for (unsigned id = 0; id < ZONE_COUNT; id++) {
        if (zone_stats(node, id, &stats) &&
            stats.free > stats.min + stats.protection[ZONE_NORMAL]) {
            return true;
        }
    }
    return false;
}

bool reclaim_has_plenty(unsigned node)
{
    struct zone_stats stats;
    uint64_t has = 0, high = 0;

    for (unsigned id = 0; id < ZONE_COUNT; id++) {
        if (zone_stats(node, id, &stats)) {
            has += stats.free - MIN(stats.free, stats.protection[ZONE_NORMAL]);
            high += stats.high;
        }
    }
    return has >= high;
}

void reclaim_node(unsigned node)
{
    struct reclaimer *reclaimer = &reclaimers[node];
    unsigned fruitless = 0;

    while (fruitless < 4 && !reclaim_has_plenty(node)) {
        fruitless = reclaim_scan(node, ROUND_FRAMES) == 0 ? fruitless + 1 : 0;
        (void)atomic_fetch_add_relaxed(&reclaimer->nrounds, 1);
        wait_wake_all(&reclaimer->rounds, 0);
    }
}

static void reclaimer_main(void *arg)
{
    struct reclaimer *reclaimer = arg;

    for (;;) {
        wait_event(&reclaimer->wanted, atomic_load_acquire(&reclaimer->awake) != 0);
        bool stalled = psi_begin(PSI_MEMORY);
        reclaim_node(reclaimer->node);
        if (stalled) {
            psi_end(PSI_MEMORY);
        }
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
        reclaim_count(kswapd_wakes, 1);
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

static bool some_has_some(nodemask_t allowed)
{
    for (unsigned node = 0; node < nreclaimers; node++) {
        if (((allowed >> node) & 1) != 0 && node_has_some(node)) {
            return true;
        }
    }
    return false;
}

/*
 * frame_reclaim_ops.reclaim: the nearest node that has something. When there is nothing to be found here, the thread may yet find something: it may
 * take locks that we may not.
 */
static size_t reclaim_direct(unsigned node, unsigned order, nodemask_t allowed)
{
    struct reclaimer *reclaimer = &reclaimers[MIN(node, nreclaimers - 1)];
    size_t freed = 0;
    int near;

    if (current_thread()->reclaiming) {
        return 0;
    }
    bool stalled = psi_begin(PSI_MEMORY);
    reclaim_count(allocstall, 1);
    for (unsigned i = 0; freed == 0 && (near = node_near(node, i)) >= 0; i++) {
        if (((allowed >> near) & 1) != 0) {
            freed = reclaim_frames((unsigned)near, MAX(DIRECT_FRAMES, 1ull << order));
        }
    }
    if (freed == 0) {
        uint64_t before = atomic_load_relaxed(&reclaimer->nrounds);
        reclaim_wake(node, order);
        (void)wait_event_until(&reclaimer->rounds,
                               atomic_load_relaxed(&reclaimer->nrounds) != before,
                               ktime_now() + PATIENCE_NS);
        freed = order == 0 && some_has_some(allowed);
    }
    if (stalled) {
        psi_end(PSI_MEMORY);
    }
    return freed;
}

void reclaim_owed(void)
{
    if (unlikely(thrash_take())) {
        vm_memory_thrashes();
        return;
    }
    if (!node_has_some(this_node())) {
        bool stalled = psi_begin(PSI_MEMORY);
        (void)reclaim_frames(this_node(), DIRECT_FRAMES);
        if (stalled) {
            psi_end(PSI_MEMORY);
        }
    }
}

static const struct frame_reclaim_ops ops = {
    .wake = reclaim_wake, .dipped = reclaim_dipped, .reclaim = reclaim_direct};

void reclaim_subsystem_init(void)
{
    for (unsigned node = 0; node < MAX_NODES; node++) {
        reclaimers[node].node = node;
        wait_queue_init(&reclaimers[node].wanted);
        wait_queue_init(&reclaimers[node].rounds);
    }
}

void reclaim_init(void)
{
    nreclaimers = nodes_count();
    for (unsigned node = 0; node < nreclaimers; node++) {
        struct reclaimer *reclaimer = &reclaimers[node];
        char name[] = "kswapd00";
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
