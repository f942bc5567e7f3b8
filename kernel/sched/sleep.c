/*
 * Sleeping for a time: the thread's own timer wakes it.
 */
#include "kernel/sched/sched.h"

#include "kernel/base/errno.h"
#include "kernel/core/time.h"
#include "kernel/sync/lockdep.h"

void thread_set_timer_slack(struct thread *thread, uint64_t slack_ns)
{
    atomic_store_relaxed(&thread->timer_slack_ns,
                         slack_ns == 0 ? thread->timer_slack_default_ns : slack_ns);
}

/* Who is real-time, also by inheritance, wants to know exactly. */
static ktime_t timer_slack(const struct thread *thread, ktime_t deadline)
{
    uint64_t slack = atomic_load_relaxed(&thread->timer_slack_ns);

    if (unlikely(atomic_load_relaxed(&thread->prio) < PRIO_FAIR)) {
        return 0;
    }
    return (ktime_t)MIN(slack, (uint64_t)(KTIME_MAX - MAX(deadline, 0)));
}

bool schedule_until(ktime_t deadline)
{
    struct thread *thread = current_thread();
    struct timer *timer = &thread->sleep_timer;

    if (deadline == KTIME_MAX) {
        schedule();
        return false;
    }
    timer_arm_range(timer, deadline, deadline + timer_slack(thread, deadline));
    schedule();
    return !timer_cancel_sync(timer);
}

bool schedule_within(struct time_limit limit)
{
    struct thread *thread = current_thread();

    if (!limit.real || limit.at == KTIME_MAX) {
        return schedule_until(limit.at);
    }
    /* A full barrier: pairs with wake_sleepers() in kernel/proc: either we see the new time, or it sees us. */
    (void)__atomic_exchange_n(&thread->sleeps_by_real, true, __ATOMIC_SEQ_CST);
    ktime_t now = ktime_now(), left = limit.at - ktime_realtime();
    bool passed = schedule_until(ktime_after(now, left));
    atomic_store_relaxed(&thread->sleeps_by_real, false);
    return passed && ktime_realtime() >= limit.at;
}

void thread_sleep_ns(ktime_t ns)
{
    ktime_t deadline = ktime_now() + ns;

    might_sleep();
    do {
        thread_prepare_sleep(THREAD_UNINTERRUPTIBLE);
    } while (!schedule_until(deadline));
    thread_finish_sleep();
}

int thread_sleep_until_interruptible(ktime_t deadline)
{
    int result = 0;

    might_sleep();
    do {
        thread_prepare_sleep(THREAD_SLEEPING);
        if (thread_signal_pending(current_thread())) {
            result = -ERESTARTNOHAND;
            break;
        }
    } while (!schedule_until(deadline));
    thread_finish_sleep();
    return result;
}
