/*
 * Pressure: what each CPU counts, and what comes of it for the system.
 *
 * Per CPU, in its run queue and under that one's lock: since when somebody waits for the CPU (the only thing that switches and wakes see to,
 * inline in runqueue.h), and how many threads are stalled by memory or devices. Those belong to the CPU on which they began to be; while there
 * are any, each switch and wake brings the sums up to date.
 *
 * The sums of all CPUs are gathered (psi_lock) every two seconds while there are ticks, when somebody reads, and ten times in the smallest
 * window of a trigger. A CPU's part is weighted with the time in which it was not idle; stalled threads make it not idle.
 *
 * Locks:  p psi_lock (mutex; order: psi_lock -> run queue)      a atomic      I immutable
 */
#include "kernel/sched/psi.h"

#include <linux/poll.h>

#include "kernel/base/errno.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/poll.h"
#include "kernel/sched/psi_average.h"
#include "kernel/sched/runqueue.h"
#include "kernel/sched/work.h"

#define UPDATES_PER_WINDOW 10
#define WINDOW_MIN_US      500000u
#define WINDOW_MAX_US      10000000u
#define WEIGHT_BITS        16

struct psi_trigger {
    struct list_node node;    /* [p] */
    unsigned sum;             /* [I] PSI_SUM_* */
    uint64_t threshold;       /* [I] ns */
    struct psi_window window; /* [p] */
    ktime_t told;             /* [p] when it last went off */
    bool pending;             /* [a] and nobody has looked yet */
    struct wait_queue waiters;
};

static struct mutex psi_lock = MUTEX_INIT(psi_lock);
static struct psi_clock psi_clock = {.next = KTIME_MAX}; /* [p] never, before psi_init() */
static struct psi_average averages[PSI_SUMS];            /* [p] */
static uint64_t totals[PSI_SUMS];                        /* [p] ns */
static struct list_node triggers = LIST_INIT(triggers);  /* [p] */
static uint64_t update_interval;                         /* [p] ns, 0: no triggers */
static ktime_t psi_next = KTIME_MAX;                     /* [a] psi_clock.next */
static struct work update_work;                          /* [I] */
static struct timer trigger_timer;                       /* armed while there are triggers */

/* What was gathered of each CPU, before and now. */
struct gathered {
    struct psi_sums before, now; /* [p] */
    uint64_t alive, idle;        /* [p] ns at `before` */
    uint64_t busy;               /* [p] ns since then in which it had something to do */
};
static DEFINE_PER_CPU(struct gathered, gathered);

/* ---- one CPU ---- */

static bool is_productive(const struct runqueue *rq)
{
    return rq->current != rq->idle && (rq->current->stalled & BIT(PSI_MEMORY)) == 0;
}

void psi_stalls_update_locked(struct runqueue *rq, ktime_t now)
{
    struct psi_cpu *psi = &rq->psi;
    ktime_t delta = MAX(now - psi->since, (ktime_t)0);

    for (unsigned sum = PSI_SUM_IO_SOME; sum <= PSI_SUM_MEMORY_FULL; sum++) {
        psi->sums.lost[sum] += (psi->now & BIT(sum)) != 0 ? (uint64_t)delta : 0;
    }
    if ((psi->now & PSI_NOW_IDLE) != 0) {
        psi->sums.stalled_idle += (uint64_t)delta;
    }
    psi->since = now;
    psi->now = 0;
    if (psi->nstalled[PSI_IO] > 0) {
        psi->now |= BIT(PSI_SUM_IO_SOME);
        psi->now |= rq->current == rq->idle && rq->nqueued == 0 ? BIT(PSI_SUM_IO_FULL) : 0;
    }
    if (psi->nstalled[PSI_MEMORY] > 0) {
        psi->now |= BIT(PSI_SUM_MEMORY_SOME);
        psi->now |= !is_productive(rq) && rq->nqueued == psi->nstalled_queued
                        ? BIT(PSI_SUM_MEMORY_FULL)
                        : 0;
    }
    if (psi->now != 0 && rq->current == rq->idle) {
        psi->now |= PSI_NOW_IDLE;
    }
}

bool psi_begin(enum psi_resource resource)
{
    struct thread *thread = current_thread();

    if ((thread->stalled & BIT(resource)) != 0) {
        return false;
    }
    uint64_t flags = irq_save();
    struct runqueue *rq = this_cpu_ptr(runqueue);
    runqueue_lock(rq);
    thread->stalled |= BIT(resource);
    thread->stalled_on[resource] = (uint16_t)rq->cpu;
    rq->psi.nstalled[resource]++;
    rq->psi.nstalls++;
    ktime_t now = ktime_now();
    thread->io_since = resource == PSI_IO ? now : thread->io_since;
    psi_stalls_update_locked(rq, now);
    runqueue_unlock(rq);
    irq_restore(flags);
    return true;
}

/* Ends on the CPU where it began; the thread is productive again where it runs now. */
void psi_end(enum psi_resource resource)
{
    struct thread *thread = current_thread();
    uint64_t flags = irq_save();
    struct runqueue *rq = per_cpu_ptr(runqueue, thread->stalled_on[resource]);

    runqueue_lock(rq);
    rq->psi.nstalled[resource]--;
    rq->psi.nstalls--;
    thread->stalled &= (uint8_t)~BIT(resource);
    ktime_t now = ktime_now();
    if (resource == PSI_IO) {
        atomic_store_relaxed(&thread->io_delay, thread->io_delay + now - thread->io_since);
    }
    psi_stalls_update_locked(rq, now);
    runqueue_unlock(rq);
    irq_restore(flags);
}

/* ---- the system ---- */

static void read_cpu(unsigned cpu, struct gathered *gather)
{
    struct runqueue *rq = per_cpu_ptr(runqueue, cpu);
    uint64_t flags = irq_save();

    runqueue_lock(rq);
    ktime_t now = ktime_now();
    if (cpu_is_online(cpu)) {
        runqueue_update_current_locked(rq, now);
    }
    psi_switched_locked(rq, now);
    gather->now = rq->psi.sums;
    uint64_t idle = (uint64_t)rq->idle->runtime_ns;
    runqueue_unlock(rq);
    irq_restore(flags);
    uint64_t elapsed = (uint64_t)now - gather->alive, away = idle - gather->idle;
    uint64_t stalled = gather->now.stalled_idle - gather->before.stalled_idle;
    gather->busy = (elapsed > away ? elapsed - away : 0) + stalled;
    gather->busy = MIN(gather->busy, elapsed);
    gather->alive = (uint64_t)now;
    gather->idle = idle;
}

/* Weights are parts of 2^16 of all busy time. Differences are those of seconds, or of hours without a tick: they fit. */
static void gather_locked(void)
{
    uint64_t all = 0;
    unsigned cpu;

    for_each_cpu (cpu) {
        if (per_cpu_ptr(runqueue, cpu)->idle != NULL) {
            read_cpu(cpu, per_cpu_ptr(gathered, cpu));
            all += per_cpu_ptr(gathered, cpu)->busy;
        }
    }
    for_each_cpu (cpu) {
        struct gathered *gather = per_cpu_ptr(gathered, cpu);
        uint64_t weight = (gather->busy << WEIGHT_BITS) / MAX(all, 1ull);
        for (unsigned sum = 0; sum < PSI_SUMS; sum++) {
            uint64_t lost = gather->now.lost[sum] - gather->before.lost[sum];
            totals[sum] += (lost * weight) >> WEIGHT_BITS;
        }
        gather->before = gather->now;
        gather->busy = 0;
    }
}

static void average_locked(ktime_t now)
{
    uint64_t missed, period;

    if (!psi_clock_advance(&psi_clock, now, &missed, &period)) {
        return;
    }
    for (unsigned sum = 0; sum < PSI_SUMS; sum++) {
        psi_average_update(&averages[sum], totals[sum], missed, period);
    }
    atomic_store_relaxed(&psi_next, psi_clock.next);
}

static void look_locked(struct psi_trigger *trigger, ktime_t now)
{
    uint64_t grown = psi_window_growth(&trigger->window, now, totals[trigger->sum]);

    if (grown < trigger->threshold || now < trigger->told + (ktime_t)trigger->window.size) {
        return;
    }
    trigger->told = now;
    atomic_store_relaxed(&trigger->pending, true);
    wait_wake_all(&trigger->waiters, POLLPRI);
}

static void update(struct work *work)
{
    struct psi_trigger *trigger;

    (void)work;
    mutex_lock(&psi_lock);
    ktime_t now = ktime_now();
    gather_locked();
    average_locked(now);
    list_for_each (trigger, &triggers, node) {
        look_locked(trigger, now);
    }
    if (update_interval != 0 && !timer_is_armed(&trigger_timer)) {
        timer_arm(&trigger_timer, now + (ktime_t)update_interval);
    }
    mutex_unlock(&psi_lock);
}

static void trigger_timer_expired(struct timer *timer)
{
    (void)timer;
    (void)work_queue(&update_work);
}

void psi_tick(ktime_t now)
{
    if (unlikely(now >= atomic_load_relaxed(&psi_next))) {
        atomic_store_relaxed(&psi_next, now + PSI_PERIOD_NS); /* one tick of many is enough */
        (void)work_queue(&update_work);
    }
}

void psi_read(enum psi_resource resource, enum psi_kind kind, struct psi_figures *ret_figures)
{
    unsigned sum = resource * 2 + kind;

    mutex_lock(&psi_lock);
    gather_locked();
    average_locked(ktime_now());
    for (unsigned i = 0; i < 3; i++) {
        ret_figures->avg[i] = psi_average_get(&averages[sum], i);
    }
    ret_figures->total_us = totals[sum] / NS_PER_US;
    mutex_unlock(&psi_lock);
}

/* ---- triggers ---- */

static void interval_changed_locked(void)
{
    const struct psi_trigger *trigger;

    update_interval = 0;
    list_for_each (trigger, &triggers, node) {
        uint64_t wanted = trigger->window.size / UPDATES_PER_WINDOW;
        update_interval = update_interval == 0 ? wanted : MIN(update_interval, wanted);
    }
    if (update_interval == 0) {
        (void)timer_cancel(&trigger_timer);
    } else {
        timer_arm(&trigger_timer, ktime_now() + (ktime_t)update_interval);
    }
}

int psi_trigger_create(enum psi_resource resource, enum psi_kind kind, uint64_t threshold_us,
                       uint64_t window_us, struct psi_trigger **ret_trigger)
{
    unsigned sum = resource * 2 + kind;

    if (window_us < WINDOW_MIN_US || window_us > WINDOW_MAX_US || threshold_us == 0 ||
        threshold_us > window_us) {
        return -EINVAL;
    }
    struct psi_trigger *trigger = kzalloc(sizeof(*trigger));
    if (trigger == NULL) {
        return -ENOMEM;
    }
    wait_queue_init(&trigger->waiters);
    trigger->sum = sum;
    trigger->threshold = threshold_us * NS_PER_US;
    trigger->window.size = window_us * NS_PER_US;
    mutex_lock(&psi_lock);
    gather_locked();
    psi_window_start(&trigger->window, ktime_now(), totals[sum]);
    list_push_back(&triggers, &trigger->node);
    interval_changed_locked();
    mutex_unlock(&psi_lock);
    *ret_trigger = trigger;
    return 0;
}

void psi_trigger_destroy(struct psi_trigger *trigger)
{
    if (trigger == NULL) {
        return;
    }
    mutex_lock(&psi_lock);
    list_remove(&trigger->node);
    interval_changed_locked();
    mutex_unlock(&psi_lock);
    kfree(trigger);
}

uint32_t psi_trigger_poll(struct psi_trigger *trigger, struct poll_table *table)
{
    poll_wait(table, &trigger->waiters);
    return atomic_exchange(&trigger->pending, false) ? POLLPRI : 0;
}

void psi_init(void)
{
    work_init(&update_work, update);
    timer_init(&trigger_timer, trigger_timer_expired);
    mutex_lock(&psi_lock);
    gather_locked();
    psi_clock_init(&psi_clock, ktime_now());
    atomic_store_relaxed(&psi_next, psi_clock.next);
    mutex_unlock(&psi_lock);
}
