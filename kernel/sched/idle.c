/*
 * The classes at both ends: stop, threads of the kernel's own that nothing may delay (one at a time, in order), and idle, the
 * thread that each CPU has for when nobody else wants it. And what that thread does.
 */
#include "kernel/machine/idle.h"
#include "kernel/machine/cpu.h"
#include "kernel/sched/hotplug.h"
#include "kernel/sched/runqueue.h"
#include "kernel/sync/rcu.h"

/* ---- stop ---- */

static void stop_join(struct runqueue *rq, struct thread *thread, enum join_kind kind, ktime_t now)
{
    (void)kind, (void)now;
    list_push_back(&rq->stop, &thread->rt.node);
    runqueue_add(rq, thread, &rq->nstop);
}

static void stop_leave(struct runqueue *rq, struct thread *thread, bool running)
{
    if (!running) {
        list_remove(&thread->rt.node);
        runqueue_sub(rq, thread, &rq->nstop);
    }
}

static void stop_put_prev(struct runqueue *rq, struct thread *prev, ktime_t now)
{
    (void)now;
    list_push_front(&rq->stop, &prev->rt.node);
    runqueue_add(rq, prev, &rq->nstop);
}

static struct thread *stop_pick(struct runqueue *rq, struct thread *prev, bool yield, ktime_t now)
{
    (void)now;
    if (list_empty(&rq->stop) || (prev != NULL && !yield)) {
        return prev;
    }
    struct thread *best = list_entry(rq->stop.next, struct thread, rt.node);
    stop_leave(rq, best, false);
    return best;
}

/* ---- what neither of them minds ---- */

static void no_resume(struct runqueue *rq, struct thread *current, enum join_kind kind, ktime_t now)
{
    (void)rq, (void)current, (void)kind, (void)now;
}

static void no_charge(struct runqueue *rq, struct thread *current, uint64_t delta, ktime_t now)
{
    (void)rq, (void)current, (void)delta, (void)now;
}

static bool never_preempts(struct runqueue *rq, const struct thread *current,
                           const struct thread *woken)
{
    (void)rq, (void)current, (void)woken;
    return false;
}

static ktime_t no_end(struct runqueue *rq, const struct thread *current, ktime_t now)
{
    (void)rq, (void)current, (void)now;
    return KTIME_MAX;
}

const struct sched_class stop_class = {
    .name = "stop",
    .rank = RANK_STOP,
    .join = stop_join,
    .leave = stop_leave,
    .resume = no_resume,
    .pick = stop_pick,
    .put_prev = stop_put_prev,
    .charge = no_charge,
    .preempts = never_preempts,
    .turn_left = no_end,
};

/* ---- idle: the thread is nowhere in a queue; it is chosen when no class has anybody ---- */

static struct thread *idle_pick(struct runqueue *rq, struct thread *prev, bool yield, ktime_t now)
{
    (void)prev, (void)yield, (void)now;
    return rq->idle;
}

static void idle_put_prev(struct runqueue *rq, struct thread *prev, ktime_t now)
{
    (void)rq, (void)prev, (void)now;
}

const struct sched_class idle_class = {
    .name = "idle",
    .rank = RANK_IDLE,
    .resume = no_resume,
    .pick = idle_pick,
    .put_prev = idle_put_prev,
    .charge = no_charge,
    .preempts = never_preempts,
    .turn_left = no_end,
};

/* ---- waiting for something to do ---- */

#define POLL_TURNS 100 /* looks at the request before it sleeps, */
#define POLL_IDLE_NS                                                                               \
    (20 * NS_PER_US) /* where CPUs are idle for so short a time that sleeping does not pay */

static inline bool is_asked(const struct thread *idle)
{
    return (atomic_load_relaxed(&idle->work) & THREAD_WORK_RESCHED) != 0;
}

/* Look for a request for a moment, with interrupts on. Interrupts off at entry and return. */
static void poll_a_moment(const struct runqueue *rq)
{
    irq_enable();
    for (unsigned i = 0; i < POLL_TURNS && !is_asked(rq->idle) && !need_resched(); i++) {
        cpu_relax();
    }
    irq_disable();
}

/*
 * Sleep until an interrupt or a request comes. While the thread says that it polls, requests are made without a message (runqueue_resched_locked);
 * so it looks once more after it has ceased to say so. An interrupt while it looks would end an idle time begun before: that begins when
 * nothing but the sleep can follow. Interrupts off at entry, on at return.
 */
static void idle_wait(struct runqueue *rq)
{
    struct thread *idle = rq->idle;
    bool watches = cpu_idle_can_watch();

    if (!sched_several) {
        rcu_idle_enter();
        cpu_idle();
        return;
    }
    (void)__atomic_fetch_or(&idle->work, THREAD_WORK_POLLING, __ATOMIC_SEQ_CST);
    if (rq->idle_average < POLL_IDLE_NS) {
        poll_a_moment(rq);
    }
    rcu_idle_enter();
    if (watches && !is_asked(idle) && !need_resched()) {
        cpu_idle_watch(&idle->work, THREAD_WORK_RESCHED);
        irq_disable();
    }
    (void)__atomic_fetch_and(&idle->work, ~THREAD_WORK_POLLING, __ATOMIC_SEQ_CST);
    if (is_asked(idle)) {
        preempt_set_need_resched();
    }
    if (watches || need_resched()) {
        irq_enable();
    } else {
        cpu_idle();
    }
}

void sched_idle_loop(void)
{
    for (;;) {
        irq_disable();
        if (need_resched()) {
            irq_enable();
            schedule();
        } else if (unlikely(sched_cpu_is_leaving())) {
            cpu_go_offline();
        } else {
            idle_wait(this_cpu_ptr(runqueue));
            rcu_idle_exit();
        }
    }
}
