/*
 * Real time was stepped: threads that wait for a time of that clock reckon anew.
 *
 * They say so while they sleep (thread->sleeps_by_real), which costs them nothing; who steps the clock, which is rare, has all threads
 * looked at. One that sleeps for another reason by then wakes for nothing, as by a signal that another thread took.
 */
#include "kernel/core/time.h"
#include "kernel/proc/internal.h"
#include "kernel/sched/work.h"

static void wake_sleepers_of(struct process *process)
{
    for (struct thread *thread = process_next_thread(process, 1); thread != NULL;) {
        int next = pid_nr(thread->pid) + 1;
        if (atomic_load_relaxed(&thread->sleeps_by_real)) {
            (void)thread_wake_states(thread, BIT(THREAD_SLEEPING));
        }
        thread_put(thread);
        thread = process_next_thread(process, next);
    }
}

static void wake_sleepers(struct work *work)
{
    (void)work;
    atomic_fence(); /* pairs with schedule_within() */
    for (struct process *process = process_next(1); process != NULL;) {
        int next = process->pid->nr + 1;
        wake_sleepers_of(process);
        process_put(process);
        process = process_next(next);
    }
}

static struct work step_work; /* [I] */

static void stepped(struct time_listener *listener)
{
    (void)listener;
    (void)work_queue(&step_work);
}

void clock_step_init(void)
{
    static struct time_listener listener = {.stepped = stepped};

    work_init(&step_work, wake_sleepers);
    time_listener_add(&listener);
}
