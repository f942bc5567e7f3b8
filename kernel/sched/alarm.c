/*
 * Alarms by CPU time (alarm.h): the timer of each CPU that is aimed at the earliest one of the thread that it runs.
 *
 * It is armed when a thread with alarms gets the CPU and when its alarms change, and cancelled when one without gets it. Three kinds: a value of
 * the thread's own running time; a moment before which the process cannot have used up what somebody waits for, however many of its threads run;
 * and what a real-time thread may run without having slept. The timer is never late for any of them; when it is early (the process ran fewer threads than it
 * might have) the process' room moves the moment on, and the timer is aimed again.
 *
 * Locking: run queue's lock. The alarms themselves are written by others at any time, who say so afterwards (sched_alarm_changed).
 */
#include "kernel/sched/alarm.h"

#include "kernel/sched/runqueue.h"

/*
 * Between two alarms that were due, however short the interval of a timer: else its interrupts take the CPU for themselves, and what runs with
 * preemption off while they come is stretched without bound.
 */
#define AGAIN_NS (250 * NS_PER_US)

void (*sched_alarm_hook)(struct thread *thread);

/* ns until the earliest alarm of the running thread, which has been charged for its time; KTIME_MAX: there is none. */
static ktime_t alarm_left_locked(const struct thread *thread, ktime_t now)
{
    uint32_t kinds = atomic_load_relaxed(&thread->switch_work);
    ktime_t left = KTIME_MAX;

    if ((kinds & SWITCH_ALARM_THREAD) != 0) {
        left = atomic_load_relaxed(&thread->alarm_at) - thread->runtime_ns;
    }
    if ((kinds & SWITCH_ALARM_GROUP) != 0) {
        left = MIN(left, atomic_load_relaxed(&thread->alarm_group->until) - now);
    }
    if ((kinds & SWITCH_ALARM_RT) != 0 && thread->class == &rt_class) {
        left = MIN(left, atomic_load_relaxed(&thread->alarm_group->rt_limit) - thread->rt.ran);
    }
    return left;
}

/* Aim the CPU's timer. Own CPU. */
static void alarm_aim_locked(struct runqueue *rq, ktime_t now, ktime_t least)
{
    ktime_t left = alarm_left_locked(rq->current, now);

    if (left == KTIME_MAX) {
        (void)timer_cancel(&rq->alarm_timer);
    } else {
        timer_arm(&rq->alarm_timer, ktime_after(now, MAX(left, least)));
    }
}

void alarm_switch_locked(struct runqueue *rq, ktime_t now)
{
    alarm_aim_locked(rq, now, 0);
}

void alarm_look_locked(struct runqueue *rq)
{
    ktime_t now = ktime_now();

    runqueue_update_current_locked(rq, now);
    alarm_aim_locked(rq, now, 0);
}

static void alarm_expired(struct timer *timer)
{
    struct runqueue *rq = container_of(timer, struct runqueue, alarm_timer);
    struct thread *thread = rq->current;

    if ((atomic_load_relaxed(&thread->switch_work) & SWITCH_ALARMS) == 0) {
        return; /* it was for another thread, which is gone */
    }
    runqueue_lock(rq);
    ktime_t now = ktime_now();
    runqueue_update_current_locked(rq, now);
    bool due = alarm_left_locked(thread, now) <= 0;
    if (!due) {
        alarm_aim_locked(rq, now, 0);
    }
    runqueue_unlock(rq);
    if (due) {
        sched_alarm_hook(thread);
        runqueue_lock(rq);
        now = ktime_now();
        runqueue_update_current_locked(rq, now);
        alarm_aim_locked(rq, now, AGAIN_NS);
        runqueue_unlock(rq);
    }
}

void alarm_init(struct runqueue *rq)
{
    timer_init(&rq->alarm_timer, alarm_expired);
}

void sched_alarm_set(struct thread *thread, uint32_t kinds, bool on)
{
    if (on) {
        (void)__atomic_fetch_or(&thread->switch_work, kinds, __ATOMIC_RELAXED);
    } else {
        (void)__atomic_fetch_and(&thread->switch_work, ~kinds, __ATOMIC_RELAXED);
    }
}

void alarm_changed_locked(struct runqueue *rq)
{
    if (rq == this_cpu_ptr(runqueue)) {
        alarm_look_locked(rq);
    } else {
        smp_send_reschedule(rq->cpu);
    }
}

/* Whoever is switched to sees the change, by the lock; a running thread's CPU is told. */
void sched_alarm_changed(struct thread *thread)
{
    uint64_t flags = irq_save();
    struct runqueue *rq = runqueue_lock_of(thread);

    if (rq->current == thread) {
        alarm_changed_locked(rq);
    }
    runqueue_unlock(rq);
    irq_restore(flags);
}
