/*
 * On which CPUs a thread may run: sets that change while it runs, threads of the kernel that belong to one CPU, and looking for a
 * better CPU at execve, when a program has nothing in any cache yet.
 *
 * A thread that runs where it may not any more is moved when its CPU chooses anew, which it is asked to do at once.
 *
 * Locking: the run queue's lock of the thread.
 */
#include <linux/sched.h>

#include "kernel/base/errno.h"
#include "kernel/sched/runqueue.h"

#define LOOK_AGAIN_NS (50 * NS_PER_US)

/* Set the mask, and send the thread elsewhere if it has to go. Interrupts off. True: it still runs where it may not. */
static bool set_mask(struct thread *thread, const struct cpumask *mask)
{
    struct runqueue *rq = runqueue_lock_of(thread);
    bool leaves, runs;

    thread->cpu_mask = *mask;
    leaves = !thread_may_run_on(thread, rq->cpu);
    runs = rq->current == thread;
    if (leaves && runs) {
        runqueue_resched_locked(rq);
    } else if (leaves && thread->on_queue) {
        if (rq->current != rq->idle) {
            runqueue_update_current_locked(rq, ktime_now());
        }
        thread->class->leave(rq, thread, false);
        psi_switched_locked(rq, ktime_now());
        runqueue_send_locked(thread, placement_of_moved(thread));
        runqueue_unlock(rq);
        runqueue_deliver(thread, JOIN_MOVE);
        return false;
    }
    runqueue_unlock(rq);
    return leaves && runs;
}

static bool runs_outside_mask(struct thread *thread)
{
    uint64_t flags = irq_save();
    struct runqueue *rq = runqueue_lock_of(thread);
    bool outside = rq->current == thread && !thread_may_run_on(thread, rq->cpu);

    runqueue_unlock(rq);
    irq_restore(flags);
    return outside;
}

int sched_set_affinity(struct thread *thread, const struct cpumask *mask)
{
    if (!cpumask_intersects(mask, &sched_active)) {
        return -EINVAL;
    }
    /* Bandwidth is admitted for all CPUs together (sched_setattr(2), EPERM; sched(7)). */
    if (thread->policy == SCHED_DEADLINE && !cpumask_covers(mask, cpus_online())) {
        return -EBUSY;
    }
    preempt_disable();
    uint64_t flags = irq_save();
    bool waits = set_mask(thread, mask);
    irq_restore(flags);
    preempt_enable(); /* who moved itself goes here */
    while (waits && thread != current_thread() && runs_outside_mask(thread)) {
        thread_sleep_ns(LOOK_AGAIN_NS);
    }
    return 0;
}

bool sched_runs_everywhere(const struct thread *thread)
{
    return cpumask_covers(&thread->cpu_mask, cpus_online());
}

void thread_bind(struct thread *thread, unsigned cpu)
{
    thread->cpu_mask = CPUMASK_NONE;
    cpumask_set(&thread->cpu_mask, cpu);
    thread->cpu = cpu;
    thread->bound = true;
}
