/*
 * The scheduler: who runs next, switching, waking, yielding, the idle loop.
 *
 * Interface: schedule, preempt_schedule, thread_wake_states, thread_prepare_sleep and thread_finish_sleep, sched_yield_cpu,
 * struct sched_class's callers. Data: struct runqueue (runqueue.h), which also says how its lock works.
 *
 * Sleeping without losing a wake: a thread first says that it sleeps (its state), then looks at its condition, then calls
 * schedule(). A waker first makes the condition true, then looks at the state. Both have a full barrier in between, so at
 * least one sees the other. A wake before schedule() just turns the state back. A thread that is preempted between the two
 * stays on the run queue whatever its state says, and goes to sleep when it calls schedule() itself.
 *
 * Threads are woken on the CPU they last ran on; nothing moves them yet.
 */
#include <linux/sched.h>

#include "kernel/sched/runqueue.h"

#include "kernel/base/bitmap.h"
#include "kernel/base/errno.h"
#include "kernel/core/panic.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/mmu.h"
#include "kernel/sched/pid.h"
#include "kernel/sync/rcu.h"

DEFINE_PER_CPU(struct runqueue, runqueue);

enum reschedule_kind { RESCHEDULE_SLEEP, RESCHEDULE_PREEMPT, RESCHEDULE_YIELD };

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

    (void)__atomic_fetch_or(&current->work, THREAD_WORK_RESCHED, __ATOMIC_RELAXED);
    if (likely(rq == this_cpu_ptr(runqueue))) {
        preempt_set_need_resched();
    } else {
        smp_send_reschedule(rq->cpu);
    }
}

/* The timer may be armed already: for a former turn that would have ended sooner, it looks again then. */
void runqueue_start_turn_locked(struct runqueue *rq, ktime_t now)
{
    if (unlikely(rq != this_cpu_ptr(runqueue))) {
        if (!timer_is_armed(&rq->slice_timer)) {
            smp_send_reschedule(rq->cpu); /* a timer is armed on its own CPU */
        }
        return;
    }
    ktime_t left = rq->current->class->turn_left(rq, rq->current, now);
    if (unlikely(rq->rt.throttled)) {
        left = MIN(left, rt_share_due(rq, now));
    }
    if (left == KTIME_MAX) {
        return;
    }
    ktime_t end = now + MAX(left, SCHED_TURN_MIN_NS);
    if (!timer_is_armed(&rq->slice_timer) || end < rq->slice_timer.deadline) {
        timer_arm(&rq->slice_timer, end);
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

    if ((atomic_load_relaxed(&current_thread()->work) & THREAD_WORK_RESCHED) != 0) {
        preempt_set_need_resched();
    } else if (rq->nqueued > 0 && !timer_is_armed(&rq->slice_timer)) {
        ktime_t now = ktime_now();
        runqueue_lock(rq);
        runqueue_update_current_locked(rq, now);
        runqueue_start_turn_locked(rq, now);
        runqueue_unlock(rq);
    }
    rcu_tick(); /* a grace period may wait for this CPU */
}

/* ---- switching ---- */

void runqueue_finish_switch(void)
{
    struct runqueue *rq = this_cpu_ptr(runqueue);
    struct thread *prev = rq->switched_from;
    bool dead = prev->state == THREAD_DEAD;

    runqueue_unlock(rq);
    if (unlikely(dead)) {
        irq_enable();
        thread_put(prev);
        irq_disable();
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
    next->exec_start = now;
    next->run_delay += now - next->queued_since;
    next->nrun++;
    if (prev == rq->idle) {
        sched_tick_start(rq, now);
    }
    if (turn_ends(rq)) {
        runqueue_start_turn_locked(rq, now);
    }
    if (next->rseq.area != NULL && next->rseq.cpu != next->cpu) {
        (void)__atomic_fetch_or(&next->work, THREAD_WORK_RSEQ, __ATOMIC_RELAXED);
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
    if ((atomic_load_relaxed(&current->work) & THREAD_WORK_RESCHED) != 0) {
        thread_clear_work(current, THREAD_WORK_RESCHED);
    }
}

/*
 * Choose who runs now. Interrupts off at entry and return.
 * SLEEP: the current thread leaves the queue if its state says so. PREEMPT: it wants to go on whatever its state says.
 * YIELD: anybody else comes first.
 */
static void reschedule(enum reschedule_kind kind)
{
    struct runqueue *rq = this_cpu_ptr(runqueue);
    ktime_t now = ktime_now();

    rcu_note_context_switch();
    runqueue_lock(rq);
    struct thread *prev = rq->current;
    bool idle = prev == rq->idle;
    bool stays = !idle && (prev->state == THREAD_RUNNABLE || kind == RESCHEDULE_PREEMPT);
    resched_done(prev);
    runqueue_update_current_locked(rq, now);
    if (!stays && !idle) {
        prev->class->leave(rq, prev, true);
    }
    struct thread *next =
        runqueue_pick_locked(rq, stays ? prev : NULL, kind == RESCHEDULE_YIELD, now);
    if (next == prev) {
        if (turn_ends(rq)) {
            runqueue_start_turn_locked(rq, now);
        }
        runqueue_unlock(rq);
        return;
    }
    if (stays) {
        prev->class->put_prev(rq, prev, now);
        prev->queued_since = now;
        prev->nivcsw++;
        if (prev->rseq.area != NULL) {
            (void)__atomic_fetch_or(&prev->work, THREAD_WORK_RSEQ, __ATOMIC_RELAXED);
        }
    } else {
        prev->nvcsw++;
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

/* ---- sleeping and waking ---- */

void thread_prepare_sleep(enum thread_state state)
{
    /* A full barrier: pairs with the one in thread_wake_states. */
    (void)__atomic_exchange_n(&current_thread()->state, (uint32_t)state, __ATOMIC_SEQ_CST);
}

void thread_finish_sleep(void)
{
    atomic_store_relaxed(&current_thread()->state, THREAD_RUNNABLE);
}

void runqueue_check_preempt_locked(struct runqueue *rq, struct thread *thread, ktime_t now)
{
    struct thread *current = rq->current;
    bool preempts = current->class == thread->class ? thread->class->preempts(rq, current, thread)
                                                    : thread->class->rank < current->class->rank;

    if (preempts) {
        runqueue_resched_locked(rq);
    } else {
        runqueue_start_turn_locked(rq, now);
    }
}

/* A runnable thread that nobody else has to do with comes to this queue, which thread->cpu names. */
static void runqueue_join_locked(struct runqueue *rq, struct thread *thread, enum join_kind kind)
{
    ktime_t now = ktime_now();

    if (rq->current != rq->idle) {
        runqueue_update_current_locked(rq, now);
    }
    thread->queued_since = now;
    thread->class->join(rq, thread, kind, now);
    if (unlikely(!thread->on_queue)) {
        return; /* a deadline thread that waits for its budget */
    }
    if (kind == JOIN_NEW && thread->class == rq->current->class) {
        runqueue_start_turn_locked(rq, now); /* its creator goes on: it has more to do for it */
    } else {
        runqueue_check_preempt_locked(rq, thread, now);
    }
}

void runqueue_deliver(struct thread *thread, enum join_kind kind)
{
    struct runqueue *rq = runqueue_lock_of(thread);

    runqueue_join_locked(rq, thread, kind);
    runqueue_unlock(rq);
}

bool thread_wake_states(struct thread *thread, uint32_t mask)
{
    /* The condition was made true before this; pairs with thread_prepare_sleep. */
    atomic_fence();
    if ((BIT(atomic_load_relaxed(&thread->state)) & mask) == 0) {
        return false;
    }
    uint64_t flags = irq_save();
    struct runqueue *rq = runqueue_lock_of(thread);
    bool woken = (BIT(thread->state) & mask) != 0;
    if (woken) {
        atomic_store_relaxed(&thread->state, THREAD_RUNNABLE);
        if (rq->current != thread && !thread->on_queue) {
            runqueue_join_locked(rq, thread, JOIN_WAKE);
        }
    }
    spin_unlock_raw_(&rq->lock);
    irq_restore(flags);
    preempt_enable();
    return woken;
}

/* Threads that run or want to, on one CPU; a moment's figure. */
static unsigned runqueue_load(unsigned id)
{
    const struct runqueue *rq = per_cpu_ptr(runqueue, id);

    return atomic_load_relaxed(&rq->nqueued) +
           (atomic_load_relaxed(&rq->current) != rq->idle ? 1 : 0);
}

/* Where a new thread waits least: its creator's CPU, or one that has less to do. Threads of the kernel stay where they are made. */
static uint32_t place_new(const struct thread *thread)
{
    unsigned best = thread->cpu, id;

    if (thread->process == NULL) {
        return best;
    }
    unsigned least = runqueue_load(best);
    for_each_online_cpu (id) {
        if (least == 0) {
            break;
        }
        if (runqueue_load(id) < least && bitmap_test(thread->cpu_mask, id)) {
            least = runqueue_load(id);
            best = id;
        }
    }
    return best;
}

void thread_start(struct thread *thread)
{
    uint64_t flags = irq_save();
    thread->cpu = place_new(thread);
    struct runqueue *rq = runqueue_lock_of(thread);

    thread->state = THREAD_RUNNABLE;
    runqueue_join_locked(rq, thread, JOIN_NEW);
    spin_unlock_raw_(&rq->lock);
    irq_restore(flags);
    preempt_enable();
}

void thread_set_work(struct thread *thread, uint32_t bits)
{
    (void)__atomic_fetch_or(&thread->work, bits, __ATOMIC_SEQ_CST);
    uint32_t cpu = atomic_load_relaxed(&thread->cpu);
    if (unlikely(cpu != cpu_id()) && per_cpu_ptr(runqueue, cpu)->current == thread) {
        smp_send_reschedule(cpu);
    }
}

void sched_set_affinity(struct thread *thread, const uint64_t mask[4])
{
    uint64_t flags = irq_save();
    struct runqueue *rq = runqueue_lock_of(thread);

    for (unsigned i = 0; i < ARRAY_SIZE(thread->cpu_mask); i++) {
        thread->cpu_mask[i] = mask[i];
    }
    spin_unlock_raw_(&rq->lock);
    irq_restore(flags);
    preempt_enable();
}

unsigned sched_nr_running(void)
{
    unsigned id, n = 0;

    for_each_cpu (id) {
        n += runqueue_load(id);
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
    fair_queue_init(&rq->fair);
    rt_queue_init(&rq->rt);
    list_init(&rq->stop);
    timer_init(&rq->slice_timer, slice_timer_expired);
    sched_tick_init(rq);
}

void sched_init(void)
{
    rcu_init();
    thread_cache_init();
    pid_table_init();
    boot_thread.exec_start = boot_thread.start_time = ktime_now();
    boot_thread.cpu = cpu_id();
    this_cpu->idle = &boot_thread;
    this_cpu->current = &boot_thread;
    runqueue_init(this_cpu_ptr(runqueue), cpu_id(), &boot_thread);
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
    cpu_by_id(id)->idle = rq->idle;
    return 0;
}

void sched_cpu_online(unsigned id)
{
    per_cpu_ptr(runqueue, id)->idle->exec_start = ktime_now();
}
