/*
 * Other threads while they do not run: for those who look at their registers and stacks.
 *
 * The run queue's lock is held from the choice of the next thread until that one runs, so whoever gets the lock and finds another thread
 * current knows that the switch is complete.
 */
#include "kernel/sched/runqueue.h"

#define RETRY_NS (50 * NS_PER_US)

bool thread_wait_switched_out(struct thread *thread, enum thread_state state)
{
    for (;;) {
        uint64_t flags = irq_save();
        struct runqueue *rq = runqueue_lock_of(thread);
        bool running = rq->current == thread;
        bool queued = thread_is_coming(thread);
        bool right = atomic_load_relaxed(&thread->state) == (uint32_t)state;
        spin_unlock_raw_(&rq->lock);
        irq_restore(flags);
        preempt_enable();
        if (!right || (!running && !queued)) {
            return right;
        }
        if (running) {
            cpu_relax(); /* on another CPU, a few instructions before its switch */
        } else {
            thread_sleep_ns(RETRY_NS); /* it was preempted there, perhaps by us */
        }
    }
}

bool thread_look_waiting(struct thread *thread, void (*look)(struct thread *thread, void *arg),
                         void *arg)
{
    uint64_t flags = irq_save();
    struct runqueue *rq = runqueue_lock_of(thread);
    uint32_t state = atomic_load_relaxed(&thread->state);
    bool waits = rq->current != thread && !thread_is_coming(thread) && state != THREAD_RUNNABLE &&
                 state != THREAD_NEW && state != THREAD_DEAD;

    if (waits) {
        look(thread, arg);
    }
    spin_unlock_raw_(&rq->lock);
    irq_restore(flags);
    preempt_enable();
    return waits;
}
