/*
 * Interval timers (setitimer(2)) and the CPU time limit.
 *
 * ITIMER_REAL is a timer of the kernel. The two that count CPU time, and RLIMIT_CPU, are compared with the process' CPU time when the earliest of
 * them may have come (cpu_timer.c); RLIMIT_RTTIME with what the thread has run, likewise.
 */
#include <linux/sched.h>
#include <linux/time.h>

#include "kernel/core/time.h"
#include "kernel/proc/internal.h"

/* An interval timer may not take the CPU for itself, however short its interval. */
#define REAL_SPACING_NS (50 * NS_PER_US)

static void send_kernel_locked(struct process *process, int signo)
{
    siginfo_t info;

    siginfo_kernel(&info, signo);
    (void)signal_send_locked(process, NULL, &info, true);
}

static void real_expire_locked(struct process *process)
{
    struct timer *timer = &process->real_timer;

    send_kernel_locked(process, SIGALRM);
    process->real_active = process->real_interval > 0 && !process->group_exiting;
    if (process->real_active) {
        ktime_t now = ktime_now();
        ktime_t next = timer->deadline + process->real_interval;
        if (next <= now) {
            next += (now - next) / process->real_interval * process->real_interval +
                    process->real_interval;
        }
        timer_arm(timer, MAX(next, now + REAL_SPACING_NS));
    }
}

void itimer_real_expired(struct timer *timer)
{
    struct process *process = container_of(timer, struct process, real_timer);

    spin_lock(&process->siglock);
    /* It may have been stopped or set anew while this came. */
    if (process->real_active && !timer_is_armed(timer)) {
        real_expire_locked(process);
    }
    spin_unlock(&process->siglock);
}

static void itimer_real(struct process *process, const struct itimer *new, struct itimer *ret_old)
{
    struct timer *timer = &process->real_timer;

    ret_old->interval_ns = process->real_interval;
    ret_old->value_ns = process->real_active ? MAX(timer->deadline - ktime_now(), 1) : 0;
    if (new != NULL) {
        (void)timer_cancel(timer);
        process->real_interval = new->interval_ns;
        process->real_active = new->value_ns != 0;
        if (process->real_active) {
            ktime_t now = ktime_now();
            timer_arm(timer,
                      new->value_ns > KTIME_MAX - now - 1 ? KTIME_MAX - 1 : now + new->value_ns);
        }
    }
}

/* `used`: CPU time so far, of the kind that counts. */
static void itimer_cpu(ktime_t *next, ktime_t *interval, ktime_t used, const struct itimer *new,
                       struct itimer *ret_old)
{
    ret_old->value_ns = *next == 0 ? 0 : MAX(*next - used, (ktime_t)1); /* about to expire */
    ret_old->interval_ns = *interval;
    if (new != NULL) {
        ktime_t sum = new->value_ns > KTIME_MAX - used ? KTIME_MAX : used + new->value_ns;
        *next = new->value_ns == 0 ? 0 : sum;
        *interval = new->interval_ns;
    }
}

int process_itimer(int which, const struct itimer *new, struct itimer *ret_old)
{
    struct process *process = process_current();
    struct cpu_timers *timers = &process->cpu_timers;
    struct usage usage;
    int err = 0;
    uint64_t flags = spin_lock_irqsave(&process->siglock);

    process_usage_locked(process, &usage);

    switch (which) {
    case ITIMER_REAL:
        itimer_real(process, new, ret_old);
        break;
    case ITIMER_VIRTUAL:
        itimer_cpu(&timers->virt_next, &timers->virt_interval, usage.user_ns, new, ret_old);
        break;
    case ITIMER_PROF:
        itimer_cpu(&timers->prof_next, &timers->prof_interval, usage.user_ns + usage.system_ns, new,
                   ret_old);
        break;
    default:
        err = -EINVAL;
        break;
    }
    if (new != NULL && err == 0 && which != ITIMER_REAL) {
        cpu_timers_look_locked(process);
    }
    spin_unlock_irqrestore(&process->siglock, flags);
    return err;
}

/* True when the timer expired (and was set again, if it has an interval). */
static bool has_expired(ktime_t *next, ktime_t interval, ktime_t used)
{
    if (*next == 0 || used < *next) {
        return false;
    }
    /* What was missed is one expiration. */
    *next = interval == 0 ? 0 : *next + ((used - *next) / interval + 1) * interval;
    return true;
}

/*
 * getrlimit(2), RLIMIT_CPU: SIGXCPU at the soft limit, which is then a second more, and SIGKILL at the hard one. What is left until the next of
 * them; KTIME_MAX: none comes.
 */
static ktime_t check_cpu_limit_locked(struct process *process, ktime_t used)
{
    struct rlimit64 *limit = &process->limits[RLIMIT_CPU];
    const uint64_t most = (uint64_t)(KTIME_MAX / NS_PER_S);
    uint64_t seconds = (uint64_t)(used / NS_PER_S);

    if (limit->rlim_max <= seconds) {
        send_kernel_locked(process, SIGKILL);
        return KTIME_MAX;
    }
    if (limit->rlim_cur <= seconds) {
        atomic_store_relaxed(&limit->rlim_cur, seconds + 1);
        send_kernel_locked(process, SIGXCPU);
    }
    uint64_t next = MIN(limit->rlim_cur, limit->rlim_max);
    return next < most ? (ktime_t)next * NS_PER_S - used : KTIME_MAX;
}

ktime_t itimers_look_locked(struct process *process, const struct usage *usage)
{
    struct cpu_timers *timers = &process->cpu_timers;
    ktime_t user = usage->user_ns, used = user + usage->system_ns;

    if (has_expired(&timers->virt_next, timers->virt_interval, user)) {
        send_kernel_locked(process, SIGVTALRM);
    }
    if (has_expired(&timers->prof_next, timers->prof_interval, used)) {
        send_kernel_locked(process, SIGPROF);
    }
    ktime_t left = check_cpu_limit_locked(process, used);
    if (timers->virt_next != 0) {
        left = MIN(left, timers->virt_next - user);
    }
    if (timers->prof_next != 0) {
        left = MIN(left, timers->prof_next - used);
    }
    return left;
}

/* ---- real-time threads ---- */

ktime_t rt_limit_ns(const struct rlimit64 *limit)
{
    uint64_t us = MIN(READ_ONCE(limit->rlim_cur), READ_ONCE(limit->rlim_max));

    return us < (uint64_t)(KTIME_MAX / NS_PER_US) ? (ktime_t)us * NS_PER_US : KTIME_MAX;
}

/*
 * getrlimit(2), RLIMIT_RTTIME: a real-time thread that has not slept for so long gets SIGXCPU, again for each second more, and SIGKILL at the
 * hard limit. sched_setattr(2), SCHED_FLAG_DL_OVERRUN: a deadline thread that ran over its budget gets SIGXCPU.
 */
void check_real_time_locked(struct process *process, struct thread *thread)
{
    struct rlimit64 *limit = &process->limits[RLIMIT_RTTIME];
    uint64_t ran_us = (uint64_t)(thread->rt.ran / NS_PER_US);

    if (thread->prio >= PRIO_FAIR) {
        return;
    }
    if (thread->policy == SCHED_DEADLINE) {
        if (atomic_load_relaxed(&thread->dl.overrun)) {
            atomic_store_relaxed(&thread->dl.overrun, false);
            send_kernel_locked(process, SIGXCPU);
        }
        return;
    }
    if (limit->rlim_max <= ran_us) {
        send_kernel_locked(process, SIGKILL);
    } else if (limit->rlim_cur <= ran_us) {
        limit->rlim_cur += NS_PER_S / NS_PER_US;
        send_kernel_locked(process, SIGXCPU);
        cpu_timers_rt_limit_locked(process);
    }
}
