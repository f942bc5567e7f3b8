/*
 * A CPU that leaves, as the scheduler sees it.
 *
 * First it is no longer among the active ones: no thread is placed there any more, while those that are there run on. Then a thread of the stop
 * class, which nothing delays, takes it over and sends everybody away who waits, whom it has interrupted among them. From then on nobody can
 * come: who wakes there is placed elsewhere, since the waker holds the queue's lock and so sees what this thread saw; and the queue takes no
 * one in. So when the stop thread has ended, the CPU's idle thread runs, and finds that it is time to go (hotplug.c).
 *
 * Threads that sleep are left where they slept: they find out when they wake. One that may run on no CPU that is left may run on all
 * (placement_of_moved): an affinity that cannot be kept is given up, as on Linux; any other is kept, so that it counts again when the
 * CPU comes back.
 *
 * Locking: sched_active is written by who brings CPUs and sends them away, one at a time, and under dl_lock (deadline.c); run queue's lock.
 */
#include "kernel/base/printf.h"
#include "kernel/sched/runqueue.h"

struct cpumask sched_active = {{1}};

void sched_cpu_ready(unsigned id)
{
    dl_cpu_set_active(id);
}

int sched_cpu_leave(unsigned id)
{
    return dl_cpu_clear_active(id);
}

/* Anybody who waits but threads of the stop class. */
static struct thread *any_waiting_locked(const struct runqueue *rq)
{
    if (rq->deadline.n > 0) {
        return rq->deadline.leftmost;
    }
    for (unsigned i = 0; rq->rt.n > 0 && i < RT_PRIOS; i++) {
        if (!list_empty(&rq->rt.list[i])) {
            return list_entry(rq->rt.list[i].next, struct thread, rt.node);
        }
    }
    return rq->fair.n > 0 ? rq->fair.leftmost : NULL;
}

void sched_evacuate(struct runqueue *rq)
{
    struct thread *thread;

    runqueue_lock(rq);
    rq->online = false;
    while ((thread = any_waiting_locked(rq)) != NULL) {
        thread->class->leave(rq, thread, false);
        psi_switched_locked(rq, ktime_now());
        runqueue_send_locked(thread, placement_of_moved(thread));
        runqueue_unlock(rq);
        runqueue_deliver(thread, JOIN_MOVE);
        runqueue_lock(rq);
    }
    runqueue_unlock(rq);
}

/* ---- the stop thread ---- */

static void stop_main(void *arg)
{
    (void)arg;
    irq_disable();
    sched_evacuate(this_cpu_ptr(runqueue));
    irq_enable();
}

struct thread *sched_stop_create(unsigned id)
{
    char name[COMM_SIZE];

    (void)ksnprintf(name, sizeof(name), "cpu_stop/%u", id);
    struct thread *thread = thread_create_kernel(name, stop_main, NULL);
    if (thread != NULL) {
        thread_bind(thread, id);
        thread->prio = PRIO_STOP;
        thread->class = &stop_class;
    }
    return thread;
}

/* Without a choice of its CPU, which takes no others any more. */
void sched_stop_start(struct thread *thread)
{
    preempt_disable();
    uint64_t flags = irq_save();
    struct runqueue *rq = runqueue_lock_of(thread);

    thread->state = THREAD_RUNNABLE;
    runqueue_join_locked(rq, thread, JOIN_NEW);
    runqueue_unlock(rq);
    irq_restore(flags);
    preempt_enable();
}

bool sched_cpu_is_leaving(void)
{
    return !this_cpu_ptr(runqueue)->online;
}

/* The queue's own timers; those that belong to threads move with all others (timers_cpu_offline). */
void sched_cpu_offline(unsigned id)
{
    struct runqueue *rq = per_cpu_ptr(runqueue, id);

    (void)timer_cancel(&rq->slice_timer);
    (void)timer_cancel(&rq->alarm_timer);
    if (timer_cancel(&rq->tick_timer)) {
        time_ticks_end();
    }
    (void)cpumask_clear_atomic(&sched_idle, id);
    atomic_store_relaxed(&rq->load_average, 0);
    rq->better_average = 0;
}
