/*
 * The scheduler: who runs next, switching, waking, yielding, the idle loop.
 *
 * Interface: schedule, preempt_schedule, sched_yield_cpu, the steps of a CPU that comes and goes. Data: struct runqueue (runqueue.h), which also says how its lock works.
 */
#include <linux/sched.h>

#include "kernel/sched/runqueue.h"

#include "kernel/base/errno.h"
#include "kernel/core/panic.h"
#include "kernel/core/softirq.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/mmu.h"
#include "kernel/sched/latency.h"
#include "kernel/sched/pid.h"
#include "kernel/sync/rcu.h"

DEFINE_PER_CPU(struct runqueue, runqueue);

enum reschedule_kind { RESCHEDULE_SLEEP, RESCHEDULE_PREEMPT, RESCHEDULE_YIELD };

bool sched_several;

struct runqueue *runqueue_lock_of(struct thread *thread)
{
    for (;;) {
        uint32_t cpu = atomic_load_relaxed(&thread->cpu);
        struct runqueue *rq = per_cpu_ptr(runqueue, cpu);
        runqueue_lock(rq);
        if (likely(thread->cpu == cpu)) {
            return rq;
        }
        runqueue_unlock(rq);
    }
}

__noinline void runqueue_release_pay(struct runqueue *rq)
{
    ktime_t owed = rq->owed;

    rq->owed = 0;
    spin_unlock_raw_(&rq->lock);
    if (owed == OWED_MESSAGE) {
        smp_send_reschedule(rq->cpu);
    } else {
        timer_arm(&rq->slice_timer, owed);
    }
}

void runqueue_update_current_locked(struct runqueue *rq, ktime_t now)
{
    struct thread *current = rq->current;
    ktime_t delta = now - current->exec_start;

    if (unlikely(delta <= 0)) {
        return;
    }
    current->exec_start = now;
    current->runtime_ns += delta;
    current->class->charge(rq, current, (uint64_t)delta, now);
}

/* ---- asking for a reschedule ---- */

void runqueue_resched_locked(struct runqueue *rq)
{
    struct thread *current = rq->current;

    /* A full barrier: pairs with the one in the idle loop. Who has been asked already has been sent a message, or asked by its own CPU. */
    uint32_t had = __atomic_fetch_or(&current->work, THREAD_WORK_RESCHED, __ATOMIC_SEQ_CST);
    if (likely(rq == this_cpu_ptr(runqueue))) {
        preempt_set_need_resched();
    } else if ((had & (THREAD_WORK_RESCHED | THREAD_WORK_POLLING)) == 0) {
        rq->owed = OWED_MESSAGE;
    }
}

/* The timer may be armed already: for a former turn that would have ended sooner, it looks again then. It is armed on its own CPU. */
void runqueue_start_turn_locked(struct runqueue *rq, ktime_t now)
{
    ktime_t left = rq->current->class->turn_left(rq, rq->current, now);

    if (unlikely(rq->rt.throttled)) {
        left = MIN(left, rt_share_due(rq, now));
    }
    if (left == KTIME_MAX) {
        return;
    }
    ktime_t end = now + MAX(left, SCHED_TURN_MIN_NS);
    if (!timer_is_armed(&rq->slice_timer) || end < atomic_load_relaxed(&rq->slice_timer.deadline)) {
        rq->owed = likely(rq == this_cpu_ptr(runqueue)) ? end : OWED_MESSAGE;
    }
}

/* Does a turn have to end at all? Only when others wait, but a deadline thread's budget is for ever. */
static inline bool turn_ends(const struct runqueue *rq)
{
    return rq->nqueued > 0 || rq->current->prio == PRIO_DEADLINE;
}

static void slice_timer_expired(struct timer *timer)
{
    struct runqueue *rq = container_of(timer, struct runqueue, slice_timer);

    runqueue_lock(rq);
    if (turn_ends(rq) && rq->current != rq->idle) {
        ktime_t now = ktime_now();
        runqueue_update_current_locked(rq, now);
        if (rq->current->class->turn_left(rq, rq->current, now) <= 0 ||
            rt_share_due(rq, now) <= 0) {
            runqueue_resched_locked(rq);
        } else {
            runqueue_start_turn_locked(rq, now);
        }
    }
    runqueue_unlock(rq);
}

void machine_reschedule_interrupt(void)
{
    struct runqueue *rq = this_cpu_ptr(runqueue);

    /* Whatever it came for: who has kicked an idle CPU does not do it again before that has answered. */
    balance_kicked(rq);
    if ((atomic_load_relaxed(&current_thread()->work) & THREAD_WORK_RESCHED) != 0) {
        preempt_set_need_resched();
    } else if (rq->current != rq->idle && rq->nqueued > 0) {
        ktime_t now = ktime_now();
        runqueue_lock(rq);
        runqueue_update_current_locked(rq, now);
        runqueue_start_turn_locked(rq, now);
        runqueue_unlock(rq);
    }
    if (unlikely(atomic_load_relaxed(&rq->current->switch_work) != 0)) {
        runqueue_lock(rq);
        alarm_look_locked(rq);
        tickless_look_locked(rq);
        runqueue_unlock(rq);
    }
    rcu_tick(); /* a grace period may wait for this CPU */
}

/* ---- switching ---- */

/*
 * Drop the reference of a thread that has ended, with interrupts on: its stack may be unmapped. Who is preempted in that and comes back over
 * another ended thread leaves it to the burial under way: they would nest without bound. Interrupts off at entry and return.
 */
static void bury(struct thread *me, struct thread *dead)
{
    dead->dead = me->dead;
    me->dead = dead;
    if (me->burying) {
        return;
    }
    me->burying = true;
    while ((dead = me->dead) != NULL) {
        me->dead = dead->dead;
        dead->dead = NULL; /* its memory becomes a thread that has buried nobody */
        irq_enable();
        thread_put(dead);
        irq_disable();
    }
    me->burying = false;
}

/* What a switch has left to do, which it could not with the stacks of both in use. */
static __noinline void after_switch(struct runqueue *rq, struct thread *prev)
{
    uint32_t left = rq->after_switch;

    rq->after_switch = 0;
    if ((left & AFTER_SWITCH_MOVE) != 0) {
        unsigned target = rq->give_to;
        rq->give_to = MAX_CPUS;
        if (target == MAX_CPUS || !thread_may_run_on(prev, target)) {
            target = placement_of_moved(prev);
        }
        runqueue_send_locked(prev, target);
    }
    runqueue_unlock(rq);
    if ((left & AFTER_SWITCH_MOVE) != 0) {
        runqueue_deliver(prev, JOIN_MOVE);
    }
    if ((left & AFTER_SWITCH_PUSH) != 0) {
        balance_push(rq);
    }
    if ((left & AFTER_SWITCH_PULL) != 0) {
        balance_pull(rq);
    }
    if ((left & AFTER_SWITCH_DEAD) != 0) {
        bury(current_thread(), prev);
    }
}

void runqueue_finish_switch(void)
{
    struct runqueue *rq = this_cpu_ptr(runqueue);

    if (unlikely(rq->after_switch != 0)) {
        after_switch(rq, rq->switched_from);
    } else {
        runqueue_unlock(rq);
    }
}

void machine_thread_started(void)
{
    rcu_switch_restore(RCU_NOT_BLOCKED);
    runqueue_finish_switch();
    irq_enable();
}

/* Give the CPU from `prev` to `next`, which is in no queue. Returns when `prev` is chosen again, maybe much later. */
static void runqueue_switch_locked(struct runqueue *rq, struct thread *prev, struct thread *next,
                                   ktime_t now)
{
    rq->current = next;
    rq->switched_from = prev;
    rq->switches++;
    atomic_store_relaxed(&rq->current_prio, next->prio);
    latency_switched_locked(next);
    next->exec_start = now;
    if (prev == rq->idle) {
        rq->idle_average = (rq->idle_average * 3 + (now - rq->idle_since)) / 4;
        sched_tick_start(rq, now);
        if (sched_several) {
            (void)cpumask_clear_atomic(&sched_idle, rq->cpu);
        }
    }
    if (next == rq->idle) {
        rq->idle_since = now;
        if (sched_several) {
            (void)cpumask_set_atomic(&sched_idle, rq->cpu);
        }
    } else {
        next->run_delay += now - next->queued_since;
        next->nrun++;
        rq->run_delay += now - next->queued_since;
        rq->nrun++;
    }
    psi_switched_locked(rq, now);
    if (turn_ends(rq)) {
        runqueue_start_turn_locked(rq, now);
    }
    if (next->rseq.area != NULL && next->rseq.cpu != next->cpu) {
        (void)__atomic_fetch_or(&next->work, THREAD_WORK_RSEQ, __ATOMIC_RELAXED);
    }
    if (unlikely((prev->switch_work | next->switch_work) != 0)) {
        alarm_switch_locked(rq, now);
        tickless_end_locked(rq);
    }
    if (next->mmu != prev->mmu) {
        mmu_switch(next->mmu);
    }
    uint32_t nesting = rcu_switch_save();
    (void)cpu_switch(prev, next);
    rcu_switch_restore(nesting);
    runqueue_finish_switch();
}

/* The best of those who wait and of `prev`, the running one, who wants to go on (NULL: it does not). */
static struct thread *runqueue_pick_locked(struct runqueue *rq, struct thread *prev, bool yield,
                                           ktime_t now)
{
    static const struct sched_class *const classes[] = {&stop_class, &deadline_class, &rt_class,
                                                        &fair_class};
    uint32_t ranks = rq->waiting;

    if (prev != NULL) {
        ranks |= BIT(prev->class->rank);
    }
    rq->wanted = ranks;
    while (ranks != 0) {
        const struct sched_class *class = classes[__builtin_ctz(ranks)];
        struct thread *next =
            class->pick(rq, prev != NULL && prev->class == class ? prev : NULL, yield, now);
        if (likely(next != NULL)) {
            return next;
        }
        ranks &= ranks - 1;
    }
    return rq->idle;
}

/* Take away the request for what is being done now. */
static inline void resched_done(struct thread *current)
{
    preempt_clear_need_resched();
    timers_release();
    if ((atomic_load_relaxed(&current->work) & THREAD_WORK_RESCHED) != 0) {
        thread_clear_work(current, THREAD_WORK_RESCHED);
    }
}

/* The running thread gives way although it wants to go on, here or elsewhere. */
static void runqueue_preempted_locked(struct runqueue *rq, struct thread *prev, bool moves,
                                      ktime_t now)
{
    if (unlikely(moves)) {
        rq->after_switch |= AFTER_SWITCH_MOVE;
    } else {
        prev->class->put_prev(rq, prev, now);
    }
    if (unlikely(sched_several) && prev->prio < PRIO_FAIR) {
        rq->after_switch |= prev->on_queue ? AFTER_SWITCH_PUSH : AFTER_SWITCH_PULL;
    }
    prev->queued_since = now;
    prev->nivcsw++;
    if (prev->rseq.area != NULL) {
        (void)__atomic_fetch_or(&prev->work, THREAD_WORK_RSEQ, __ATOMIC_RELAXED);
    }
}

/* It may not run here any more, or another CPU has nothing to do and would have this one share no core with others. */
static inline bool must_move(struct runqueue *rq, struct thread *thread)
{
    if (likely(rq->give_to == MAX_CPUS)) {
        return !thread_may_run_on(thread, rq->cpu);
    }
    if (rq->nqueued == 0 && thread->class == &fair_class &&
        thread_may_run_on(thread, rq->give_to)) {
        rq->domain[DOMAIN_CORE].stats.pushed++;
        return true;
    }
    rq->give_to = MAX_CPUS;
    rq->domain[DOMAIN_CORE].stats.push_failed++;
    return !thread_may_run_on(thread, rq->cpu);
}

/* Somebody who comes before all fair threads. */
static inline bool urgent_waits(const struct runqueue *rq)
{
    return (atomic_load_relaxed(&rq->waiting) & (BIT(RANK_FAIR) - 1)) != 0;
}

/*
 * Choose who runs now. Interrupts off at entry and return.
 * SLEEP: the current thread leaves the queue if its state says so. PREEMPT: it wants to go on whatever its state says.
 * YIELD: anybody else comes first.
 */
static void reschedule(enum reschedule_kind kind)
{
    struct runqueue *rq = this_cpu_ptr(runqueue);

    softirqs_release(urgent_waits(rq));
    ktime_t now = ktime_now();
    rcu_note_context_switch();
    if (unlikely(sched_several) && kind == RESCHEDULE_SLEEP) {
        balance_before_sleep(rq);
    }
    runqueue_lock(rq);
    struct thread *prev = rq->current;
    bool idle = prev == rq->idle;
    bool stays = !idle && (prev->state == THREAD_RUNNABLE || kind == RESCHEDULE_PREEMPT);
    resched_done(prev);
    runqueue_update_current_locked(rq, now);
    bool moves = stays && unlikely(must_move(rq, prev));
    if ((!stays || moves) && !idle) {
        prev->class->leave(rq, prev, true);
    }
    struct thread *next =
        runqueue_pick_locked(rq, stays && !moves ? prev : NULL, kind == RESCHEDULE_YIELD, now);
    if (next == prev) {
        if (turn_ends(rq)) {
            runqueue_start_turn_locked(rq, now);
        }
        if (unlikely(sched_several) && prev->prio < PRIO_FAIR && urgent_waits(rq)) {
            rq->after_switch |= AFTER_SWITCH_PUSH; /* it was raised before they had the CPU */
        }
        runqueue_finish_switch();
        return;
    }
    if (stays) {
        runqueue_preempted_locked(rq, prev, moves, now);
    } else {
        prev->nvcsw++;
        if (unlikely(prev->state == THREAD_DEAD)) {
            rq->after_switch |= AFTER_SWITCH_DEAD;
        }
    }
    runqueue_switch_locked(rq, prev, next, now);
}

void schedule(void)
{
    ASSERT((preempt_count() & PREEMPT_ATOMIC_MASK) == 0);
    do {
        irq_disable();
        reschedule(RESCHEDULE_SLEEP);
        irq_enable();
    } while (unlikely(need_resched()));
}

void preempt_schedule_irq(void)
{
    do {
        reschedule(RESCHEDULE_PREEMPT);
    } while (unlikely(need_resched()));
}

void preempt_schedule(void)
{
    if (!irq_enabled()) {
        return; /* the next preempt_enable() or interrupt will do */
    }
    irq_disable();
    preempt_schedule_irq();
    irq_enable();
}

void sched_yield_cpu(void)
{
    /* Without a lock: a thread that comes just now will preempt by its own right. A deadline thread gives up its budget. */
    if (atomic_load_relaxed(&this_cpu_ptr(runqueue)->nqueued) == 0 &&
        current_thread()->prio != PRIO_DEADLINE) {
        return;
    }
    irq_disable();
    reschedule(RESCHEDULE_YIELD);
    irq_enable();
}

/* The end of a thread: its state changes with interrupts off, so that it is never preempted as a dead one. */
void thread_exit(void)
{
    lockdep_check_none_held("the end of a thread");
    if (unlikely(current_thread()->policy == SCHED_DEADLINE)) {
        (void)dl_admit(current_thread(), NULL);
    }
    irq_disable();
    atomic_store_relaxed(&current_thread()->state, THREAD_DEAD);
    reschedule(RESCHEDULE_SLEEP);
    panic("sched: a dead thread was chosen");
}

unsigned sched_nr_running(void)
{
    unsigned id, n = 0;

    for_each_cpu (id) {
        n += runqueue_nr_running(per_cpu_ptr(runqueue, id));
    }
    return n;
}

/* ---- boot ---- */

#ifdef CONFIG_LOCKDEP
static struct lockdep_stack *current_lockdep_stack(void)
{
    return &current_thread()->lockdep;
}
#endif

static void runqueue_init(struct runqueue *rq, unsigned cpu, struct thread *idle)
{
    spin_init(&rq->lock, "run queue");
    rq->cpu = cpu;
    rq->idle = rq->current = idle;
    rq->current_prio = PRIO_IDLE;
    rq->give_to = MAX_CPUS;
    domains_init(cpu);
    fair_queue_init(&rq->fair);
    rt_queue_init(&rq->rt);
    list_init(&rq->stop);
    timer_init(&rq->slice_timer, slice_timer_expired);
    alarm_init(rq);
    sched_tick_init(rq);
}

void sched_init(void)
{
    rcu_init();
    thread_cache_init();
    pid_table_init();
    balance_init();
    boot_thread.exec_start = boot_thread.start_time = ktime_now();
    boot_thread.cpu = cpu_id();
    this_cpu->idle = &boot_thread;
    this_cpu->current = &boot_thread;
    runqueue_init(this_cpu_ptr(runqueue), cpu_id(), &boot_thread);
    this_cpu_ptr(runqueue)->online = true;
#ifdef CONFIG_LOCKDEP
    lockdep_thread_stack = current_lockdep_stack;
#endif
}

int sched_cpu_prepare(unsigned id)
{
    struct runqueue *rq = per_cpu_ptr(runqueue, id);

    if (rq->idle == NULL) {
        struct thread *idle = thread_create_idle(id);
        if (idle == NULL) {
            return -ENOMEM;
        }
        runqueue_init(rq, id, idle);
    }
    rq->current = rq->idle;
    rq->current_prio = PRIO_IDLE;
    cpu_by_id(id)->idle = rq->idle;
    return 0;
}

void sched_cpu_online(unsigned id)
{
    struct runqueue *rq = per_cpu_ptr(runqueue, id);

    sched_several = true;
    runqueue_lock(rq);
    rq->idle->exec_start = ktime_now();
    rq->online = true;
    (void)cpumask_set_atomic(&sched_idle, id);
    runqueue_unlock(rq);
}
