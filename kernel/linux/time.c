/*
 * Clocks and sleeping.
 */
#include <linux/capability.h>
#include <linux/time.h>

#include "kernel/core/ntp.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/proc/cpu_timer.h"
#include "kernel/security/cred.h"

/* ---- CPU-time clocks ---- */

static ktime_t used_by(const struct usage *usage)
{
    return usage->user_ns + usage->system_ns;
}

static bool cpu_clock_read(int id, ktime_t *ret_now)
{
    struct cpu_clock clock;

    if (cpu_clock_get(id, &clock) < 0) {
        return false;
    }
    *ret_now = cpu_clock_now(&clock);
    cpu_clock_put(&clock);
    return true;
}

/* The clock `id` now. False: no such clock. */
static bool clock_now(int id, ktime_t *ret_now)
{
    struct usage usage;

    switch (id) {
    case CLOCK_REALTIME_COARSE:
        *ret_now = ktime_realtime_coarse();
        return true;
    case CLOCK_MONOTONIC_COARSE:
        *ret_now = ktime_coarse();
        return true;
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_ALARM:
        *ret_now = ktime_realtime();
        return true;
    case CLOCK_TAI:
        *ret_now = ktime_tai();
        return true;
    case CLOCK_MONOTONIC_RAW:
        *ret_now = clock_raw_ns();
        return true;
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME: /* there is no suspend */
    case CLOCK_BOOTTIME_ALARM:
        *ret_now = ktime_now();
        return true;
    case CLOCK_PROCESS_CPUTIME_ID:
        process_usage(process_current(), &usage);
        *ret_now = used_by(&usage);
        return true;
    case CLOCK_THREAD_CPUTIME_ID:
        thread_usage(current_thread(), &usage);
        *ret_now = used_by(&usage);
        return true;
    default:
        return id < 0 && cpu_clock_read(id, ret_now);
    }
}

SYSCALL2(clock_gettime, int, id, struct __kernel_timespec __user *, uts)
{
    ktime_t now;

    return clock_now(id, &now) ? timespec_to_user(uts, now) : -EINVAL;
}

SYSCALL2(clock_getres, int, id, struct __kernel_timespec __user *, uts)
{
    ktime_t now, resolution = 1;

    if (!clock_now(id, &now)) {
        return -EINVAL;
    }
    if (id == CLOCK_REALTIME_COARSE || id == CLOCK_MONOTONIC_COARSE) {
        resolution = NS_PER_S / SCHED_TICK_HZ;
    }
    return uts != NULL ? timespec_to_user(uts, resolution) : 0;
}

/* Real time may not be before boot, nor near the end of what can be told. */
static int set_realtime(ktime_t t)
{
    if (t >= KTIME_REAL_END) {
        return -EINVAL;
    }
    if (!current_has_cap(CAP_SYS_TIME)) {
        return -EPERM;
    }
    if (t < ktime_now()) {
        return -EINVAL;
    }
    ktime_set_realtime(t);
    return 0;
}

SYSCALL2(clock_settime, int, id, const struct __kernel_timespec __user *, uts)
{
    ktime_t t, now;

    if (id != CLOCK_REALTIME && id >= 0) {
        return -EINVAL;
    }
    int err = timespec_from_user(&t, uts);
    if (err < 0) {
        return err;
    }
    if (id != CLOCK_REALTIME) {
        return clock_now(id, &now) ? -EPERM : -EINVAL; /* CPU time is nobody's to set */
    }
    return set_realtime(t);
}

/* ---- disciplining ---- */

static int64_t adjust(struct __kernel_timex __user *utx)
{
    struct __kernel_timex tx;

    if (copy_from_user(&tx, utx, sizeof(tx)) < 0) {
        return -EFAULT;
    }
    int state = ntp_adjust(&tx, current_has_cap(CAP_SYS_TIME));
    if (state < 0) {
        return state;
    }
    return copy_to_user(utx, &tx, sizeof(tx)) < 0 ? -EFAULT : state;
}

SYSCALL1(adjtimex, struct __kernel_timex __user *, utx)
{
    return adjust(utx);
}

SYSCALL2(clock_adjtime, int, id, struct __kernel_timex __user *, utx)
{
    struct __kernel_timex tx;
    ktime_t now;

    if (id == CLOCK_REALTIME) {
        return adjust(utx);
    }
    if (copy_from_user(&tx, utx, sizeof(tx)) < 0) {
        return -EFAULT;
    }
    return clock_now(id, &now) ? -EOPNOTSUPP : -EINVAL;
}

/* ---- the older calls ---- */

static struct timezone zone; /* torn reads are harmless: nobody has used it since 1990 */

SYSCALL2(gettimeofday, struct __kernel_old_timeval __user *, utv, struct timezone __user *, utz)
{
    if (utv != NULL) {
        ktime_t now = ktime_realtime();
        struct __kernel_old_timeval tv = {now / NS_PER_S, now % NS_PER_S / NS_PER_US};
        if (copy_to_user(utv, &tv, sizeof(tv)) < 0) {
            return -EFAULT;
        }
    }
    return utz != NULL ? copy_to_user(utz, &zone, sizeof(zone)) : 0;
}

#define ZONE_MAX (15 * 60)

/*
 * settimeofday(2), "Notes": the first call that gives a timezone and no time says that the clock, which came from hardware that keeps local time,
 * is to be warped to UTC.
 */
static void zone_set(const struct timezone *tz, bool alone)
{
    static bool set_before; /* [a] */

    zone = *tz;
    time_set_zone(tz->tz_minuteswest, tz->tz_dsttime);
    if (!atomic_exchange(&set_before, true) && alone && tz->tz_minuteswest != 0) {
        ktime_t utc = ktime_realtime() + tz->tz_minuteswest * 60 * NS_PER_S;
        ktime_set_realtime(MAX(utc, ktime_now()));
    }
}

SYSCALL2(settimeofday, const struct __kernel_old_timeval __user *, utv,
         const struct timezone __user *, utz)
{
    struct __kernel_old_timeval tv;
    struct timezone tz;

    if (utz != NULL && copy_from_user(&tz, utz, sizeof(tz)) < 0) {
        return -EFAULT;
    }
    if (utv != NULL && copy_from_user(&tv, utv, sizeof(tv)) < 0) {
        return -EFAULT;
    }
    if (utv != NULL && (tv.tv_sec < 0 || tv.tv_usec < 0 || tv.tv_usec >= 1000000)) {
        return -EINVAL;
    }
    if (!current_has_cap(CAP_SYS_TIME)) {
        return -EPERM;
    }
    if (utz != NULL) {
        if (tz.tz_minuteswest < -ZONE_MAX || tz.tz_minuteswest > ZONE_MAX) {
            return -EINVAL;
        }
        zone_set(&tz, utv == NULL);
    }
    if (utv == NULL) {
        return 0;
    }
    const struct __kernel_timespec ts = {tv.tv_sec, tv.tv_usec * NS_PER_US};
    return set_realtime(ktime_of_timespec(&ts));
}

SYSCALL1(time, int64_t __user *, ut)
{
    int64_t now = ktime_realtime() / NS_PER_S;

    return ut != NULL && put_user(now, ut) < 0 ? -EFAULT : now;
}

/* ---- sleeping ---- */

/* Go on with an interrupted relative sleep: arg[0] the deadline, arg[1] where to tell what is left. */
static int64_t sleep_on(struct thread_restart *restart)
{
    ktime_t deadline = (ktime_t)restart->arg[0];
    struct __kernel_timespec __user *uremain = (void __user *)restart->arg[1];

    if (thread_sleep_until_interruptible(deadline) == 0) {
        return 0;
    }
    ktime_t left = MAX(deadline - ktime_now(), (ktime_t)0);
    if (left == 0) {
        return 0;
    }
    if (uremain != NULL && timespec_to_user(uremain, left) < 0) {
        return -EFAULT;
    }
    restart->fn = sleep_on;
    return -ERESTART_RESTARTBLOCK;
}

static int64_t sleep_relative(ktime_t ns, struct __kernel_timespec __user *uremain)
{
    struct thread_restart *restart = &current_thread()->restart;

    restart->arg[0] = (uint64_t)ktime_after(ktime_now(), ns);
    restart->arg[1] = (uintptr_t)uremain;
    return sleep_on(restart);
}

SYSCALL2(nanosleep, const struct __kernel_timespec __user *, uts, struct __kernel_timespec __user *,
         uremain)
{
    ktime_t ns;
    int err = timespec_from_user(&ns, uts);

    return err < 0 ? err : sleep_relative(ns, uremain);
}

/* A sleeper by real time, who looks anew when it is stepped. */
struct step_sleeper {
    struct time_listener listener;
    struct thread *thread;
};

static void sleeper_stepped(struct time_listener *listener)
{
    (void)thread_wake(container_of(listener, struct step_sleeper, listener)->thread);
}

/* Until real time is `t`, or TAI. 0, or -ERESTARTNOHAND when a signal came first. */
static int sleep_until_real(int id, ktime_t t)
{
    struct step_sleeper sleeper = {.listener.stepped = sleeper_stepped, .thread = current_thread()};
    ktime_t now;
    int err = 0;

    time_listener_add(&sleeper.listener);
    for (;;) {
        thread_prepare_sleep(THREAD_SLEEPING);
        (void)clock_now(id, &now);
        if (now >= t) {
            break;
        }
        if (thread_signal_pending(sleeper.thread)) {
            err = -ERESTARTNOHAND;
            break;
        }
        (void)schedule_until(ktime_after(ktime_now(), t - now));
    }
    thread_finish_sleep();
    time_listener_remove(&sleeper.listener);
    return err;
}

static bool is_alarm(int id)
{
    return id == CLOCK_REALTIME_ALARM || id == CLOCK_BOOTTIME_ALARM;
}

/* Go on with a sleep by CPU time: arg[0] until when, arg[1] where to tell what is left, arg[2] the clock. */
static int64_t sleep_on_cpu(struct thread_restart *restart)
{
    ktime_t until = (ktime_t)restart->arg[0], now = until;
    struct __kernel_timespec __user *uremain = (void __user *)restart->arg[1];
    struct cpu_clock clock;

    if (cpu_clock_get((int)restart->arg[2], &clock) < 0) {
        return 0; /* whose time it was has ended */
    }
    int err = cpu_clock_sleep(&clock, until);
    if (err < 0) {
        now = cpu_clock_now(&clock);
    }
    cpu_clock_put(&clock);
    if (now >= until) {
        return 0;
    }
    restart->fn = sleep_on_cpu;
    return uremain != NULL && timespec_to_user(uremain, until - now) < 0 ? -EFAULT
                                                                         : -ERESTART_RESTARTBLOCK;
}

static int64_t sleep_by_cpu(int id, bool absolute, ktime_t t, ktime_t now,
                            struct __kernel_timespec __user *uremain)
{
    struct thread_restart *restart = &current_thread()->restart;

    restart->arg[0] = (uint64_t)(absolute ? t : ktime_after(now, t));
    restart->arg[1] = absolute ? 0 : (uintptr_t)uremain;
    restart->arg[2] = (uint64_t)id;
    int64_t result = sleep_on_cpu(restart);
    return absolute && result == -ERESTART_RESTARTBLOCK ? -ERESTARTNOHAND : result;
}

/* The current thread's own CPU time would never come. */
static bool is_own_thread_clock(int id)
{
    int nr = ~(id >> 3);

    return id < 0 && (id & 4) != 0 && (nr == 0 || nr == current_thread()->pid->nr);
}

SYSCALL4(clock_nanosleep, int, id, int, flags, const struct __kernel_timespec __user *, uts,
         struct __kernel_timespec __user *, uremain)
{
    ktime_t t, now;

    if (!clock_now(id, &now) || is_own_thread_clock(id)) {
        return -EINVAL;
    }
    if (id == CLOCK_THREAD_CPUTIME_ID || id == CLOCK_REALTIME_COARSE ||
        id == CLOCK_MONOTONIC_COARSE || id == CLOCK_MONOTONIC_RAW) {
        return -EOPNOTSUPP;
    }
    int err = timespec_from_user(&t, uts);
    if (err < 0) {
        return err;
    }
    if (is_alarm(id) && !current_has_cap(CAP_WAKE_ALARM)) {
        return -EPERM;
    }
    if (id == CLOCK_PROCESS_CPUTIME_ID || id < 0) {
        return sleep_by_cpu(id, (flags & TIMER_ABSTIME) != 0, t, now, uremain);
    }
    if ((flags & TIMER_ABSTIME) == 0) {
        return sleep_relative(t, uremain);
    }
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_ALARM || id == CLOCK_TAI) {
        return sleep_until_real(id, t);
    }
    return t <= now ? 0 : thread_sleep_until_interruptible(ktime_after(ktime_now(), t - now));
}
