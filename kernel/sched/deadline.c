/*
 * The deadline class: earliest deadline first, each thread inside a constant bandwidth server (Abeni and Buttazzo, "Integrating
 * Multimedia Applications in Hard Real-Time Systems", 1998; sched_setattr(2), sched(7) "SCHED_DEADLINE").
 *
 * A thread asks for `runtime` ns of CPU time in each `period`, within `deadline` of the period's start. The server gives it a budget
 * and an absolute deadline; a thread that has used up its budget is throttled until the next period, when a timer gives it
 * a new one. Nobody is let in when the sum of all runtime/period would exceed what real-time threads may have of all CPUs;
 * so whoever is in gets what was promised, whatever others do.
 *
 * Waking: a thread that left budget behind goes on with it if that keeps to its bandwidth, runtime/deadline, until the old deadline;
 * else a new period begins now. One whose deadline is shorter than its period, and that comes back between the two, waits for
 * the next period, for it has had what it may have in this one.
 *
 * Locking: the run queue's lock; admission: dl_lock (spin, irqsave), inside the run queue's lock when a policy changes with it.
 */
#include <linux/sched.h>
#include <linux/sched/types.h>

#include "kernel/base/errno.h"
#include "kernel/sched/runqueue.h"

#define BANDWIDTH_SHIFT 20
#define RUNTIME_MIN_NS  1024     /* sched_setattr(2): "at least 1024" */
#define DEBT_MAX_NS     NS_PER_S /* who could not be stopped for longer: the machine stood still */

static struct spinlock dl_lock = SPINLOCK_INIT("deadline bandwidth");
static uint64_t
    dl_total; /* [dl_lock] sum of runtime/period over all threads, BANDWIDTH_SHIFT bits of fraction */

static inline struct thread *thread_of(struct rb_node *node)
{
    return rb_entry(node, struct thread, dl.node);
}

/* ---- admission ---- */

static uint64_t bandwidth(uint64_t runtime, uint64_t period)
{
    return period == 0 ? 0 : (runtime << BANDWIDTH_SHIFT) / period;
}

/* What all deadline threads together may have of so many CPUs. */
static uint64_t bandwidth_limit(unsigned ncpus)
{
    int32_t runtime_us = READ_ONCE(sched_tunables.rt_runtime_us);
    uint32_t period_us = READ_ONCE(sched_tunables.rt_period_us);

    if (runtime_us < 0) {
        return UINT64_MAX;
    }
    return bandwidth((uint64_t)runtime_us, period_us) * ncpus;
}

/* sched_setattr(2): 1024 ns <= runtime <= deadline <= period, and the limits of periods. */
bool dl_params_valid(const struct sched_params *params)
{
    uint64_t period = params->period != 0 ? params->period : params->deadline;
    uint64_t least = (uint64_t)READ_ONCE(sched_tunables.dl_period_min_us) * NS_PER_US;
    uint64_t most = (uint64_t)READ_ONCE(sched_tunables.dl_period_max_us) * NS_PER_US;

    return params->runtime >= RUNTIME_MIN_NS && params->runtime <= params->deadline &&
           params->deadline <= period && period >= least && period <= most;
}

int dl_admit(struct thread *thread, const struct sched_params *params)
{
    bool deadline = params != NULL && params->policy == SCHED_DEADLINE;
    uint64_t wanted = deadline ? bandwidth(params->runtime, params->period) : 0;
    uint64_t flags = spin_lock_irqsave(&dl_lock);
    uint64_t others = dl_total - thread->dl.bandwidth;
    uint64_t limit = bandwidth_limit(cpumask_weight(&sched_active));
    int err = wanted > thread->dl.bandwidth && others + wanted > limit ? -EBUSY : 0;

    if (err == 0) {
        dl_total = others + wanted;
        thread->dl.bandwidth = wanted;
    }
    spin_unlock_irqrestore(&dl_lock, flags);
    return err;
}

bool sched_bandwidth_fits(void)
{
    uint64_t flags = spin_lock_irqsave(&dl_lock);
    bool fits = dl_total <= bandwidth_limit(cpumask_weight(&sched_active));

    spin_unlock_irqrestore(&dl_lock, flags);
    return fits;
}

void dl_cpu_set_active(unsigned id)
{
    uint64_t flags = spin_lock_irqsave(&dl_lock);

    (void)cpumask_set_atomic(&sched_active, id);
    spin_unlock_irqrestore(&dl_lock, flags);
}

int dl_cpu_clear_active(unsigned id)
{
    uint64_t flags = spin_lock_irqsave(&dl_lock);
    int err = dl_total <= bandwidth_limit(cpumask_weight(&sched_active) - 1) ? 0 : -EBUSY;

    if (err == 0) {
        (void)cpumask_clear_atomic(&sched_active, id);
    }
    spin_unlock_irqrestore(&dl_lock, flags);
    return err;
}

/* ---- the tree ---- */

static void insert(struct runqueue *rq, struct thread *thread)
{
    struct dl_queue *queue = &rq->deadline;
    struct rb_node **link = &queue->tree.node, *parent = NULL;
    bool leftmost = true;

    while (*link != NULL) {
        parent = *link;
        if (thread->dl.absolute < thread_of(parent)->dl.absolute) {
            link = &parent->left;
        } else {
            link = &parent->right;
            leftmost = false;
        }
    }
    rb_insert(&queue->tree, &thread->dl.node, parent, link);
    if (leftmost) {
        queue->leftmost = thread;
    }
    runqueue_add(rq, thread, &queue->n);
    if (sched_several && queue->n == 1) {
        balance_overloaded(rq->cpu, true);
    }
}

static void take(struct runqueue *rq, struct thread *thread)
{
    struct dl_queue *queue = &rq->deadline;

    if (queue->leftmost == thread) {
        struct rb_node *next = rb_next(&thread->dl.node);
        queue->leftmost = next == NULL ? NULL : thread_of(next);
    }
    rb_remove(&queue->tree, &thread->dl.node);
    runqueue_sub(rq, thread, &queue->n);
    if (sched_several && queue->n == 0 && rq->rt.n == 0) {
        balance_overloaded(rq->cpu, false);
    }
}

/* ---- the server ---- */

static inline bool is_boosted(const struct thread *thread)
{
    return thread->boost_prio == PRIO_DEADLINE;
}

static void new_period(struct dl_entity *dl, ktime_t now)
{
    dl->absolute = now + (ktime_t)dl->deadline;
    dl->left = (int64_t)dl->runtime;
    dl->throttled = dl->yielded = false;
}

static ktime_t next_period(const struct dl_entity *dl)
{
    return dl->absolute - (ktime_t)dl->deadline + (ktime_t)dl->period;
}

/*
 * The budget of the next period, or of as many as it takes: a thread cannot be stopped at any moment, and may have used up several. Who is late
 * even then has not run for long, and begins anew.
 */
static void replenish(struct dl_entity *dl, ktime_t now)
{
    if (dl->yielded && dl->left > 0) {
        dl->left = 0;
    }
    if (dl->left <= 0) {
        int64_t n = -dl->left / (int64_t)dl->runtime + 1;
        dl->absolute += n * (ktime_t)dl->period;
        dl->left += n * (int64_t)dl->runtime;
    }
    dl->throttled = dl->yielded = false;
    if (dl->absolute < now) {
        new_period(dl, now);
    }
}

/* Throttled: wait for the next period. True: it has begun already. */
static bool throttle(struct dl_entity *dl, ktime_t now)
{
    if (next_period(dl) <= now) {
        replenish(dl, now);
        return true;
    }
    dl->throttled = true;
    timer_arm(&dl->timer, next_period(dl));
    return false;
}

static void period_begins(struct timer *timer)
{
    struct thread *thread = container_of(timer, struct thread, dl.timer);
    ktime_t now = ktime_now();
    struct runqueue *rq = runqueue_lock_of(thread);
    bool goes = false;

    if (thread->class == &deadline_class && thread->dl.throttled) {
        replenish(&thread->dl, now);
        if (thread->dl.waits) {
            thread->dl.waits = false;
            goes = runqueue_bring_locked(rq, thread, JOIN_MOVE, 0);
        }
    }
    runqueue_unlock(rq);
    if (goes) {
        runqueue_deliver(thread, JOIN_MOVE);
    }
}

void dl_thread_init(struct thread *thread)
{
    timer_init(&thread->dl.timer, period_begins);
}

bool dl_has_params(const struct dl_entity *dl, const struct sched_params *params)
{
    return dl->runtime == params->runtime && dl->deadline == params->deadline &&
           dl->period == params->period && dl->flags == params->flags;
}

void dl_set_params(struct thread *thread, const struct sched_params *params)
{
    struct dl_entity *dl = &thread->dl;

    /* A callback that waits for the lock will find nothing to do. */
    (void)timer_cancel(&dl->timer);
    dl->throttled = dl->yielded = dl->overrun = false;
    dl->left = 0;
    dl->own = 0;
    if (!is_boosted(thread)) {
        dl->absolute = 0;
    }
    dl->runtime = params->runtime;
    dl->deadline = params->deadline;
    dl->period = params->period;
    dl->flags = params->flags;
}

void dl_inherit(struct thread *thread, const struct thread *donor)
{
    struct dl_entity *dl = &thread->dl;

    if (is_boosted(thread)) {
        dl->absolute = dl->own;
    } else {
        dl->own = dl->absolute;
    }
    if (donor != NULL) {
        ktime_t absolute = atomic_load_relaxed(&donor->dl.absolute);
        bool own = thread->policy == SCHED_DEADLINE && dl->own != 0;
        dl->absolute = own ? MIN(dl->own, absolute) : absolute;
        dl->throttled = false;
    }
}

/* May what is left of the budget be used until the old deadline? left / (absolute - now) <= runtime / deadline. */
static bool keeps_to_bandwidth(const struct dl_entity *dl, ktime_t now)
{
    return (unsigned __int128)dl->left * dl->deadline <=
           (unsigned __int128)(uint64_t)(dl->absolute - now) * dl->runtime;
}

/* ---- the class ---- */

static void dl_resume(struct runqueue *rq, struct thread *current, enum join_kind kind, ktime_t now)
{
    (void)rq, (void)kind;
    if (!is_boosted(current) && current->dl.absolute == 0) {
        new_period(&current->dl, now);
    }
}

static void dl_join(struct runqueue *rq, struct thread *thread, enum join_kind kind, ktime_t now)
{
    struct dl_entity *dl = &thread->dl;

    if (!is_boosted(thread)) {
        if (dl->absolute == 0) {
            new_period(dl, now);
        } else if (dl->throttled || (dl->left <= 0 && !throttle(dl, now))) {
            dl->waits = true; /* the timer brings it */
            return;
        } else if (kind == JOIN_WAKE && dl->absolute <= now) {
            if (dl->deadline < dl->period && !throttle(dl, now)) {
                dl->waits = true;
                return;
            }
            new_period(dl, now);
        } else if (kind == JOIN_WAKE && !keeps_to_bandwidth(dl, now)) {
            new_period(dl, now);
        }
    }
    insert(rq, thread);
}

static void dl_leave(struct runqueue *rq, struct thread *thread, bool running)
{
    struct dl_entity *dl = &thread->dl;

    if (!running) {
        take(rq, thread);
    } else if ((dl->left <= 0 || dl->yielded) && !is_boosted(thread)) {
        (void)throttle(dl, ktime_now());
    }
}

static void dl_put_prev(struct runqueue *rq, struct thread *prev, ktime_t now)
{
    struct dl_entity *dl = &prev->dl;

    if (!is_boosted(prev) && (dl->left <= 0 || dl->yielded) && !throttle(dl, now)) {
        dl->waits = true;
        return;
    }
    insert(rq, prev);
}

static struct thread *dl_pick(struct runqueue *rq, struct thread *prev, bool yield, ktime_t now)
{
    struct thread *best = rq->deadline.leftmost;

    if (prev != NULL && !is_boosted(prev)) {
        prev->dl.yielded = prev->dl.yielded || yield;
        if (prev->dl.yielded || prev->dl.left <= 0) {
            if (next_period(&prev->dl) > now) {
                prev = NULL; /* put_prev throttles it */
            } else {
                replenish(&prev->dl, now);
            }
        }
    }
    if (best == NULL || (prev != NULL && prev->dl.absolute <= best->dl.absolute)) {
        return prev;
    }
    take(rq, best);
    return best;
}

static void dl_charge(struct runqueue *rq, struct thread *current, uint64_t delta, ktime_t now)
{
    struct dl_entity *dl = &current->dl;
    bool had = dl->left > 0;

    (void)rq, (void)now;
    if (is_boosted(current)) {
        return;
    }
    dl->left = MAX(dl->left - (int64_t)delta, -DEBT_MAX_NS);
    if (had && dl->left < 0 && (dl->flags & SCHED_FLAG_DL_OVERRUN) != 0) {
        dl->overrun = true;
    }
}

static bool dl_preempts(struct runqueue *rq, const struct thread *current,
                        const struct thread *woken)
{
    (void)rq;
    return woken->dl.absolute < current->dl.absolute;
}

static ktime_t dl_turn_left(struct runqueue *rq, const struct thread *current, ktime_t now)
{
    (void)rq, (void)now;
    return is_boosted(current) ? KTIME_MAX : current->dl.left;
}

const struct sched_class deadline_class = {
    .name = "deadline",
    .rank = RANK_DEADLINE,
    .join = dl_join,
    .leave = dl_leave,
    .resume = dl_resume,
    .pick = dl_pick,
    .put_prev = dl_put_prev,
    .charge = dl_charge,
    .preempts = dl_preempts,
    .turn_left = dl_turn_left,
};
