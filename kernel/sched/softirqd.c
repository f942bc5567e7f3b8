/*
 * ksoftirqd/N. Each runs on its CPU alone, one round of softirqs at a time with preemption on in between, and as an ordinary thread: so work that
 * never ends shares the CPU with everybody else.
 *
 * A CPU that goes leaves its thread behind; wherever that wakes meanwhile, it finds that it is not at home and sleeps again. What was pending is
 * raised on the CPU that asks (softirqd_dead).
 *
 * Locks: `softirqd` is set once for each CPU [a].
 */
#include "kernel/sched/softirqd.h"

#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/core/softirq.h"
#include "kernel/machine/smp.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/thread.h"

static DEFINE_PER_CPU(struct thread *, softirqd); /* [a] NULL: the CPU was never there */

/* ---- what softirqs ask ---- */

static void softirqd_wake(void)
{
    struct thread *thread = atomic_load_acquire(this_cpu_ptr(softirqd));

    if (thread != NULL) {
        (void)thread_wake(thread);
    }
}

/* Even the idle thread, which is asked without a message while it polls (idle.c). */
static bool current_is_asked(void)
{
    return (atomic_load_relaxed(&current_thread()->work) & THREAD_WORK_RESCHED) != 0;
}

static const struct softirq_thread softirq_thread = {.wake = softirqd_wake,
                                                     .cpu_is_wanted = current_is_asked};

/* ---- the thread ---- */

/* One round, if there is something to do and this is the thread's CPU. False: neither. */
static bool run_round(const struct cpu *home)
{
    preempt_disable();
    bool runs = cpu_self() == home && READ_ONCE(home->softirq_pending) != 0;
    if (runs) {
        softirq_run_round();
    }
    preempt_enable();
    return runs;
}

static bool is_wanted(const struct cpu *home)
{
    preempt_disable();
    bool wanted = cpu_self() == home && READ_ONCE(home->softirq_pending) != 0;
    preempt_enable();
    return wanted;
}

static void softirqd_main(void *arg)
{
    const struct cpu *home = arg;

    for (;;) {
        while (run_round(home)) {
        }
        thread_prepare_sleep(THREAD_SLEEPING);
        if (!is_wanted(home)) {
            schedule();
        }
        thread_finish_sleep();
    }
}

/* ---- CPUs ---- */

int softirqd_prepare(unsigned id)
{
    char name[COMM_SIZE];

    if (*per_cpu_ptr(softirqd, id) != NULL) {
        return 0; /* it has been here before */
    }
    (void)kscnprintf(name, sizeof(name), "ksoftirqd/%u", id);
    struct thread *thread = thread_create_kernel(name, softirqd_main, cpu_by_id(id));
    if (thread == NULL) {
        return -ENOMEM;
    }
    thread_get(thread);
    thread_bind(thread, id);
    atomic_store_release(per_cpu_ptr(softirqd, id), thread);
    return 0;
}

/* What was raised before it could be woken is seen by it now. */
void softirqd_ready(unsigned id)
{
    struct thread *thread = *per_cpu_ptr(softirqd, id);
    struct cpumask mask = CPUMASK_NONE;

    cpumask_set(&mask, id);
    if (thread->state == THREAD_NEW) {
        thread_start(thread);
        return;
    }
    int err = sched_set_affinity(thread, &mask);
    WARN_ON(err < 0);
    (void)thread_wake(thread);
}

void softirqd_dead(unsigned id)
{
    softirq_adopt(id);
}

void softirqd_start(void)
{
    if (softirqd_prepare(cpu_id()) < 0) {
        panic("softirq: no memory for the first thread");
    }
    softirq_set_thread(&softirq_thread);
    softirqd_ready(cpu_id());
}
