/*
 * Waking threads and bringing them to a run queue: their own, or another one that has time for them.
 *
 * Sleeping without losing a wake: a thread first says that it sleeps (its state), then looks at its condition, then calls
 * schedule(). A waker first makes the condition true, then looks at the state. Both have a full barrier in between, so at
 * least one sees the other. A wake before schedule() just turns the state back. A thread that is preempted between the two
 * stays on the run queue whatever its state says, and goes to sleep when it calls schedule() itself.
 *
 * A waker locks the queue that the sleeper belongs to. That lock is held across a switch, so whoever has it, and does not see the
 * thread running, knows that its registers are saved, and may send it to any CPU.
 */
#include "kernel/sched/runqueue.h"

#include "kernel/core/panic.h"
#include "kernel/sched/kthread.h"
#include "kernel/sched/latency.h"

void thread_prepare_sleep(enum thread_state state)
{
    /* A full barrier: pairs with the one in thread_wake_how. */
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

void runqueue_join_locked(struct runqueue *rq, struct thread *thread, enum join_kind kind)
{
    ktime_t now = ktime_now();

    if (rq->current != rq->idle) {
        runqueue_update_current_locked(rq, now);
    }
    thread->queued_since = now;
    if (kind == JOIN_WAKE) {
        rq->wakes++;
        rq->wakes_remote += rq != this_cpu_ptr(runqueue);
    }
    thread->class->join(rq, thread, kind, now);
    if (unlikely(!thread->on_queue)) {
        return; /* a deadline thread that waits for its budget */
    }
    psi_queued_locked(rq, now);
    if (unlikely(rq->tickless != NULL)) {
        tickless_joined_locked(rq);
    }
    if (kind == JOIN_WAKE) {
        latency_woken_locked(thread, rq->cpu, rq->current->prio);
    }
    if (kind == JOIN_NEW && thread->class == &fair_class && rq->current->class == &fair_class) {
        runqueue_start_turn_locked(rq, now); /* its creator goes on: it has more to do for it */
    } else {
        runqueue_check_preempt_locked(rq, thread, now);
    }
}

/* ---- in flight ---- */

void runqueue_send_locked(struct thread *thread, unsigned cpu)
{
    thread->in_flight = true;
    atomic_store_relaxed(&thread->cpu, cpu);
}

/* While it was under way its destination may have gone offline, or its affinity have changed. */
void runqueue_deliver(struct thread *thread, enum join_kind kind)
{
    struct runqueue *rq = runqueue_lock_of(thread);

    while (unlikely(!rq->online || !thread_may_run_on(thread, rq->cpu))) {
        runqueue_send_locked(thread, placement_of_moved(thread));
        runqueue_unlock(rq);
        rq = runqueue_lock_of(thread);
    }
    thread->in_flight = false;
    runqueue_join_locked(rq, thread, kind);
    runqueue_unlock(rq);
}

/* ---- waking ---- */

/* The thread may run on `cpu` alone: no other one needs to be looked for, however many there are. */
static inline bool is_bound_to(const struct thread *thread, unsigned cpu)
{
    uint64_t others = 0;

    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        uint64_t word = atomic_load_relaxed(&thread->cpu_mask.bits[i]);
        others |= i == cpu / 64 ? word ^ BIT(cpu % 64) : word;
    }
    return others == 0;
}

/* On which CPU a thread that wakes goes on. Its queue, `rq`, is locked. */
static inline unsigned place_woken(const struct runqueue *rq, struct thread *thread, unsigned how)
{
    if (likely(!sched_several) || (rq->online && is_bound_to(thread, rq->cpu))) {
        return rq->cpu;
    }
    return placement_of_woken(thread, how);
}

bool runqueue_bring_locked(struct runqueue *rq, struct thread *thread, enum join_kind kind,
                           unsigned how)
{
    unsigned cpu = place_woken(rq, thread, how);

    if (unlikely(cpu != rq->cpu)) {
        runqueue_send_locked(thread, cpu);
        return true;
    }
    runqueue_join_locked(rq, thread, kind);
    return false;
}

bool thread_wake_how(struct thread *thread, uint32_t mask, unsigned how)
{
    /* The condition was made true before this; pairs with thread_prepare_sleep. */
    atomic_fence();
    if ((BIT(atomic_load_relaxed(&thread->state)) & mask) == 0) {
        return false;
    }
    uint64_t flags = irq_save();
    struct runqueue *rq = runqueue_lock_of(thread);
    bool woken = (BIT(atomic_load_relaxed(&thread->state)) & mask) != 0;
    bool goes = false;
    if (woken) {
        atomic_store_relaxed(&thread->state, THREAD_RUNNABLE);
        if (rq->current != thread && !thread_is_coming(thread)) {
            goes = runqueue_bring_locked(rq, thread, JOIN_WAKE, how);
        }
    }
    runqueue_release(rq);
    if (unlikely(goes)) {
        runqueue_deliver(thread, JOIN_WAKE);
    }
    irq_restore(flags);
    preempt_enable();
    return woken;
}

void thread_start(struct thread *thread)
{
    if (unlikely(thread->kernel_fn != NULL)) {
        kthread_started(thread);
    }
    preempt_disable();
    uint64_t flags = irq_save();

    if (sched_several) {
        unsigned here = cpu_id();
        thread->cpu = is_bound_to(thread, here) ? here : placement_of_new(thread);
    }
    thread->state = THREAD_RUNNABLE;
    runqueue_deliver(thread, JOIN_NEW);
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
