/*
 * Changing how a thread is scheduled. A thread that waits is taken out of its queue for the change, the running one out of the
 * counts; a sleeping one is only written to. What makes no difference to its class leaves a thread alone, with its budget, its round
 * and its place in line.
 *
 * thread->prio is the effective priority: the better one of the thread's own and the inherited one. It decides the class.
 *
 * Locking: the run queue's lock of the thread.
 */
#include "kernel/sched/params.h"

#include <linux/sched.h>

#include "kernel/base/errno.h"
#include "kernel/sched/runqueue.h"

#define SLICE_MIN_NS ((uint64_t)(100 * NS_PER_US)) /* of a request that a fair thread chooses */
#define SLICE_MAX_NS ((uint64_t)(100 * NS_PER_MS))

static const struct sched_class *class_of(int prio)
{
    return prio >= PRIO_IDLE       ? &idle_class
           : prio >= PRIO_FAIR     ? &fair_class
           : prio > PRIO_DEADLINE  ? &rt_class
           : prio == PRIO_DEADLINE ? &deadline_class
                                   : &stop_class;
}

/* The priority by its own parameters. */
static int prio_of(unsigned policy, int rt_priority, int nice)
{
    switch (policy) {
    case SCHED_DEADLINE:
        return PRIO_DEADLINE;
    case SCHED_FIFO:
    case SCHED_RR:
        return RT_PRIOS - rt_priority;
    default:
        return PRIO_NICE_0 + nice;
    }
}

static int own_prio(const struct thread *thread)
{
    return prio_of(thread->policy, thread->rt_priority, thread->nice);
}

static void set_prio(struct thread *thread)
{
    atomic_store_relaxed(&thread->prio, (int16_t)MIN(own_prio(thread), (int)thread->boost_prio));
    thread->class = class_of(thread->prio);
}

static struct runqueue *thread_lock(struct thread *thread, uint64_t *ret_flags)
{
    *ret_flags = irq_save();
    return runqueue_lock_of(thread);
}

static void thread_unlock(struct runqueue *rq, uint64_t flags)
{
    runqueue_release(rq);
    irq_restore(flags);
    preempt_enable();
}

/* ---- a change, between two calls under the lock ---- */

struct change {
    const struct sched_class *class; /* before */
    int prio;
    bool running, queued; /* the thread is, and has left for the change */
    bool waits;           /* for a budget, no more */
};

/* `prio`: what it will have. A real-time thread that waits keeps its place in line with its priority (sched(7), "SCHED_FIFO"). */
static struct change change_begin(struct runqueue *rq, struct thread *thread, int prio)
{
    bool stays = thread->class == &rt_class && rq->current != thread && prio == thread->prio;
    struct change change = {
        .class = thread->class,
        .prio = thread->prio,
        .running = rq->current == thread,
        .queued = thread->on_queue && !stays,
        .waits = thread_waits_for_budget(thread),
    };

    if (rq->current != rq->idle) {
        ktime_t now = ktime_now();
        runqueue_update_current_locked(rq, now);
        tickless_count_locked(rq, now); /* with its niceness so far */
    }
    if (change.running || change.queued) {
        thread->class->leave(rq, thread, change.running);
    } else if (change.waits) {
        thread->dl.waits = false; /* its timer lets it be */
    }
    return change;
}

/* The running thread goes on. Where it is worse than before, somebody better may wait elsewhere. */
static void change_end_running(struct runqueue *rq, struct thread *thread,
                               const struct change *change, enum join_kind kind, ktime_t now)
{
    bool pulls = change->prio < MIN((int)thread->prio, PRIO_FAIR) && balance_any_overloaded();

    thread->class->resume(rq, thread, kind, now);
    atomic_store_relaxed(&rq->current_prio, thread->prio);
    if (pulls) {
        rq->after_switch |= AFTER_SWITCH_PULL;
    }
    if (pulls || rq->nqueued > 0 || thread->class == &deadline_class) {
        runqueue_resched_locked(rq);
    }
    if (unlikely(atomic_load_relaxed(&thread->switch_work) != 0)) {
        alarm_changed_locked(rq);
    }
}

/* And unlock. Who waited for a budget comes to a queue as if it woke. */
static void change_end(struct runqueue *rq, struct thread *thread, const struct change *change,
                       uint64_t flags)
{
    enum join_kind kind = thread->class != change->class ? JOIN_NEW
                          : thread->prio > change->prio  ? JOIN_LOWERED
                                                         : JOIN_MOVE;
    ktime_t now = ktime_now();
    bool goes = false;

    if (change->running) {
        change_end_running(rq, thread, change, kind, now);
    } else if (change->queued) {
        thread->class->join(rq, thread, kind, now);
        if (thread->on_queue) {
            runqueue_check_preempt_locked(rq, thread, now);
        } else {
            psi_switched_locked(rq, now); /* it waits for a budget, and for no CPU */
        }
    } else if (change->waits) {
        goes = runqueue_bring_locked(rq, thread, kind, 0);
    }
    runqueue_release(rq);
    if (goes) {
        runqueue_deliver(thread, kind);
    }
    irq_restore(flags);
    preempt_enable(); /* what was asked for meanwhile is done here, if it may be */
}

/* ---- parameters ---- */

static bool is_fair_policy(unsigned policy)
{
    return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE;
}

int sched_params_check(const struct sched_params *params)
{
    bool rt = params->policy == SCHED_FIFO || params->policy == SCHED_RR;

    if (params->policy == SCHED_DEADLINE) {
        return params->priority == 0 && dl_params_valid(params) ? 0 : -EINVAL;
    }
    if (!rt && !is_fair_policy(params->policy)) {
        return -EINVAL;
    }
    return rt == (params->priority != 0) && params->priority <= RT_PRIOS ? 0 : -EINVAL;
}

static uint64_t slice_of(const struct sched_params *params)
{
    if (params->runtime == 0) {
        return SCHED_SLICE_NS;
    }
    return CLAMP(params->runtime, SLICE_MIN_NS, SLICE_MAX_NS);
}

/* Are these its parameters already, as far as its policy knows them? */
static bool has_params(const struct thread *thread, const struct sched_params *params)
{
    if (thread->policy != params->policy) {
        return false;
    }
    if (params->policy == SCHED_DEADLINE) {
        return dl_has_params(&thread->dl, params);
    }
    return thread->rt_priority == params->priority &&
           (!is_fair_policy(params->policy) ||
            (thread->nice == params->nice && thread->fair.slice == slice_of(params)));
}

int sched_set_params(struct thread *thread, const struct sched_params *wanted)
{
    struct sched_params params = *wanted;

    if (params.policy == SCHED_DEADLINE && params.period == 0) {
        params.period = params.deadline;
    }
    int err = sched_params_check(&params);
    if (err < 0) {
        return err;
    }
    uint64_t flags;
    struct runqueue *rq = thread_lock(thread, &flags);
    bool deadline = params.policy == SCHED_DEADLINE || thread->policy == SCHED_DEADLINE;
    bool same = has_params(thread, &params);
    if (deadline && !same) {
        err = dl_admit(thread, &params);
    }
    if (err == 0) {
        thread->reset_on_fork = params.reset_on_fork;
    }
    if (same || err < 0) {
        thread_unlock(rq, flags);
        return err;
    }
    int prio = prio_of(params.policy, params.priority, params.nice);
    struct change change = change_begin(rq, thread, MIN(prio, (int)thread->boost_prio));
    if (deadline) {
        dl_set_params(thread, &params);
    }
    thread->policy = params.policy;
    thread->rt_priority = params.priority;
    if (is_fair_policy(params.policy)) {
        thread->nice = params.nice;
        fair_set_params(thread, slice_of(&params));
    }
    set_prio(thread);
    change_end(rq, thread, &change, flags);
    pi_priority_changed(thread);
    return 0;
}

void sched_get_params(struct thread *thread, struct sched_params *ret_params)
{
    uint64_t flags;
    struct runqueue *rq = thread_lock(thread, &flags);

    *ret_params = (struct sched_params){
        .policy = thread->policy,
        .reset_on_fork = thread->reset_on_fork,
        .nice = thread->nice,
        .priority = thread->rt_priority,
    };
    if (thread->policy == SCHED_DEADLINE) {
        ret_params->flags = thread->dl.flags;
        ret_params->runtime = thread->dl.runtime;
        ret_params->deadline = thread->dl.deadline;
        ret_params->period = thread->dl.period;
    } else if (is_fair_policy(thread->policy)) {
        ret_params->runtime = thread->fair.slice;
    }
    thread_unlock(rq, flags);
}

void sched_set_nice(struct thread *thread, int nice)
{
    uint64_t flags;
    struct runqueue *rq = thread_lock(thread, &flags);

    nice = CLAMP(nice, -20, 19);
    if (thread->nice != nice && thread->class != &fair_class) {
        thread->nice = (int8_t)nice; /* for later */
        fair_set_params(thread, thread->fair.slice);
    }
    if (thread->nice == nice) {
        thread_unlock(rq, flags);
        return;
    }
    struct change change = change_begin(rq, thread, prio_of(thread->policy, 0, nice));
    thread->nice = (int8_t)nice;
    fair_set_params(thread, thread->fair.slice);
    set_prio(thread);
    change_end(rq, thread, &change, flags);
}

ktime_t sched_turn_ns(struct thread *thread)
{
    switch (READ_ONCE(thread->policy)) {
    case SCHED_RR:
        return sched_rr_slice_ns();
    case SCHED_FIFO:
    case SCHED_DEADLINE:
        return 0;
    default:
        return (ktime_t)READ_ONCE(thread->fair.slice);
    }
}

bool sched_may_fork(void)
{
    const struct thread *thread = current_thread();

    return thread->policy != SCHED_DEADLINE || thread->reset_on_fork;
}

void sched_params_inherit(struct thread *thread, const struct thread *parent)
{
    unsigned policy = READ_ONCE(parent->policy);
    bool reset = parent->reset_on_fork;
    /* Somebody may have made it a deadline thread since sched_may_fork(). */
    bool keep = is_fair_policy(policy) || (!reset && policy != SCHED_DEADLINE);

    thread->policy = (uint8_t)(keep ? policy : SCHED_NORMAL);
    thread->rt_priority = keep ? parent->rt_priority : 0;
    thread->nice = (int8_t)(!keep || (reset && parent->nice < 0) ? 0 : parent->nice);
    thread->reset_on_fork = false;
    thread->boost_prio = PRIO_IDLE;
    thread->fair.lag = 0;
    if (likely(keep && thread->nice == parent->nice && parent->fair.weight != 0)) {
        thread->fair.weight = parent->fair.weight;
        thread->fair.inverse = parent->fair.inverse;
        thread->fair.slice = parent->fair.slice;
        thread->fair.request = parent->fair.request;
    } else {
        fair_set_params(thread, SCHED_SLICE_NS);
    }
    set_prio(thread);
}

/* ---- inheritance ---- */

bool sched_rank_before(const struct thread *a, const struct thread *b)
{
    int prio_a = atomic_load_relaxed(&a->prio), prio_b = atomic_load_relaxed(&b->prio);

    if (prio_a == PRIO_DEADLINE && prio_b == PRIO_DEADLINE) {
        return atomic_load_relaxed(&a->dl.absolute) < atomic_load_relaxed(&b->dl.absolute);
    }
    return prio_a < prio_b;
}

/*
 * Fair threads have nothing to give but their weight, and keep it. A deadline thread gives its deadline: the other runs by it without
 * a budget, for it must be through soon. A CPU's stop thread has no need of anything, and its idle thread, which boots the machine, is no one's
 * to run.
 */
void sched_boost(struct thread *thread, const struct thread *donor)
{
    int prio = donor == NULL ? PRIO_IDLE : atomic_load_relaxed(&donor->prio);
    uint64_t flags;
    struct runqueue *rq = thread_lock(thread, &flags);

    prio = prio >= PRIO_FAIR ? PRIO_IDLE : prio;
    bool ranked = thread->class != &stop_class && thread->class != &idle_class;
    if (!ranked || (prio == thread->boost_prio && prio != PRIO_DEADLINE)) {
        thread_unlock(rq, flags);
        return;
    }
    struct change change = change_begin(rq, thread, MIN(own_prio(thread), prio));
    dl_inherit(thread, prio == PRIO_DEADLINE ? donor : NULL);
    thread->boost_prio = (int16_t)prio;
    set_prio(thread);
    change_end(rq, thread, &change, flags);
}
