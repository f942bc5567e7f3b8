/*
 * One thread alone on a CPU, in user mode, needs no ticks.
 *
 * The tick that finds it so stops the ticks, but for two a second, which see to what is slow (load averages, pressure, the watch over the next CPU).
 * They begin anew when anybody wants them: the thread makes a system call (the machine says so before the call is made), has taken a page fault or a
 * signal, is switched out or joined by another; or another CPU has more to do than it can run and wants this one to help. Their grid
 * stays as it was, and those that were left out are counted as what they would have found, user mode (or interrupts: load.c), whenever somebody
 * asks for times; so the samples, and all that is derived from them, are the same as if they had come.
 *
 * Who else used the tick: CPU-time timers have alarms (alarm.h); turns and budgets end by the slice timer; a grace period of read-copy-update sends such
 * a CPU a message; the coarse clocks are read from the fine ones while no CPU ticks (time.c).
 *
 * Locking: run queue's lock. The own CPU stops and starts the ticks, any may count.
 */
#include "kernel/core/param.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/entry.h"
#include "kernel/sched/runqueue.h"

#define FAR_TICKS 50 /* between two ticks that are left */

struct cpumask sched_tickless;
static bool switched_off;

void tickless_init(void)
{
    switched_off = param_u64("linnet.tickless", 1) == 0;
}

void tickless_count_locked(struct runqueue *rq, ktime_t now)
{
    if (rq->tickless != NULL) {
        tick_count_locked(rq, rq->tickless, true, now);
    }
}

/* ---- begin and end ---- */

/* Does anybody wait for another CPU, whom this one might help? */
static bool others_wait(const struct runqueue *rq)
{
    unsigned id;

    for_each_online_cpu (id) {
        if (id != rq->cpu && atomic_load_relaxed(&per_cpu_ptr(runqueue, id)->nqueued) > 0) {
            return true;
        }
    }
    return false;
}

/* The tick of a core's thread that shares it with another looks for an idle core (balance.c). */
static bool core_is_shared(const struct runqueue *rq)
{
    const struct sched_domain *core = &rq->domain[DOMAIN_CORE];
    unsigned id;

    if (core->size < 2) {
        return false;
    }
    for_each_cpu_in (id, &core->span) {
        if (id != rq->cpu && !runqueue_is_idle(per_cpu_ptr(runqueue, id))) {
            return true;
        }
    }
    return false;
}

/* Does nobody want the ticks, if the running thread is in user mode? */
static bool is_possible_locked(const struct runqueue *rq)
{
    const struct sched_class *class = rq->current->class;

    if ((class != &fair_class && class != &rt_class) || rq->nqueued > 0 ||
        rq->give_to != MAX_CPUS || switched_off) {
        return false;
    }
    return !sched_several || (!others_wait(rq) && !core_is_shared(rq));
}

static void begin_locked(struct runqueue *rq)
{
    struct thread *thread = rq->current;

    if (rq->tickless == NULL) {
        rq->tickless = thread;
        rq->tick_minflt = thread->minflt;
        (void)__atomic_fetch_or(&thread->switch_work, SWITCH_TICKLESS, __ATOMIC_RELAXED);
        (void)__atomic_fetch_or(&thread->work, THREAD_WORK_TICK, __ATOMIC_RELAXED);
        cpu_watch_syscall(true);
        time_ticks_end();
    }
    (void)cpumask_set_atomic(&sched_tickless, rq->cpu);
    timer_arm(&rq->tick_timer, rq->tick_from + FAR_TICKS * SCHED_TICK_NS);
}

void tickless_end_locked(struct runqueue *rq)
{
    struct thread *thread = rq->tickless;

    if (thread == NULL) {
        return;
    }
    /* Read under the lock: whoever has asked for times was told of no tick that is yet to come. */
    tickless_count_locked(rq, ktime_now());
    rq->tickless = NULL;
    (void)__atomic_fetch_and(&thread->switch_work, ~SWITCH_TICKLESS, __ATOMIC_RELAXED);
    thread_clear_work(thread, THREAD_WORK_TICK);
    cpu_watch_syscall(false);
    (void)cpumask_clear_atomic(&sched_tickless, rq->cpu);
    time_ticks_begin();
    timer_arm(&rq->tick_timer, rq->tick_from + SCHED_TICK_NS);
}

void tickless_decide(struct runqueue *rq, bool user)
{
    runqueue_lock(rq);
    if (user && is_possible_locked(rq)) {
        begin_locked(rq);
    } else if (rq->tickless != NULL) {
        tickless_end_locked(rq);
    } else {
        timer_arm(&rq->tick_timer, rq->tick_from + SCHED_TICK_NS);
    }
    runqueue_unlock(rq);
}

void tickless_look_locked(struct runqueue *rq)
{
    if (rq->tickless == NULL) {
        return;
    }
    if (is_possible_locked(rq)) {
        (void)cpumask_set_atomic(&sched_tickless, rq->cpu);
    } else {
        tickless_end_locked(rq);
    }
}

void tickless_joined_locked(struct runqueue *rq)
{
    if (rq == this_cpu_ptr(runqueue)) {
        tickless_end_locked(rq);
    } else {
        rq->owed = OWED_MESSAGE;
    }
}

void tickless_call_help(void)
{
    unsigned id;

    for_each_cpu_in (id, &sched_tickless) {
        if (cpumask_clear_atomic(&sched_tickless, id)) {
            smp_send_reschedule(id);
        }
    }
}

/* ---- the thread enters the kernel ---- */

static void end_here(void)
{
    struct runqueue *rq = this_cpu_ptr(runqueue);

    runqueue_lock(rq);
    tickless_end_locked(rq);
    runqueue_unlock(rq);
}

void machine_syscall_watched(void)
{
    end_here();
}

void sched_tickless_return(bool worked)
{
    if (worked || current_thread()->minflt != this_cpu_ptr(runqueue)->tick_minflt) {
        end_here();
    }
}
