/*
 * Clocks and sleeping.
 */
#include <linux/capability.h>
#include <linux/time.h>

#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/proc/process.h"
#include "kernel/security/cred.h"

/* ---- CPU-time clocks ---- */

static ktime_t thread_cpu_time(struct thread *thread, bool user_only)
{
    struct usage usage;

    thread_usage(thread, &usage);
    return usage.user_ns + (user_only ? 0 : usage.system_ns);
}

static ktime_t process_cpu_time(struct process *process, bool user_only)
{
    struct usage usage;

    process_usage(process, &usage);
    return usage.user_ns + (user_only ? 0 : usage.system_ns);
}

/*
 * clock_getcpuclockid(3), pthread_getcpuclockid(3): the complement of a number above three bits, of which one says "thread" and two what is
 * counted: 0 all, 1 user time, 2 all by the scheduler; 3 would be a clock's descriptor. Processes and siblings alone may be asked about.
 */
static bool cpu_clock_now(int id, ktime_t *ret_now)
{
    int nr = ~(id >> 3), kind = id & 3;
    struct thread *thread = current_thread();
    struct process *process;

    if (kind == 3) {
        return false;
    }
    if (nr != 0) {
        process = process_find_thread(nr, &thread);
        if (process == NULL) {
            return false;
        }
    } else {
        process = process_get(thread->process);
        thread_get(thread);
    }
    bool of_thread = (id & 4) != 0;
    bool found = of_thread ? process == process_current() : nr == 0 || process->pid->nr == nr;
    if (found) {
        *ret_now =
            of_thread ? thread_cpu_time(thread, kind == 1) : process_cpu_time(process, kind == 1);
    }
    thread_put(thread);
    process_put(process);
    return found;
}

/* The clock `id` now. False: no such clock. */
static bool clock_now(int id, ktime_t *ret_now)
{
    switch (id) {
    case CLOCK_REALTIME_COARSE:
        *ret_now = ktime_realtime_coarse();
        return true;
    case CLOCK_MONOTONIC_COARSE:
        *ret_now = ktime_coarse();
        return true;
    case CLOCK_REALTIME:
    case CLOCK_TAI:
        *ret_now = ktime_realtime();
        return true;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_BOOTTIME:
        *ret_now = ktime_now();
        return true;
    case CLOCK_PROCESS_CPUTIME_ID:
        *ret_now = process_cpu_time(process_current(), false);
        return true;
    case CLOCK_THREAD_CPUTIME_ID:
        *ret_now = thread_cpu_time(current_thread(), false);
        return true;
    default:
        return id < 0 && cpu_clock_now(id, ret_now);
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

SYSCALL2(clock_settime, int, id, const struct __kernel_timespec __user *, uts)
{
    ktime_t t;

    if (id != CLOCK_REALTIME) {
        return -EINVAL;
    }
    int err = timespec_from_user(&t, uts);
    if (err < 0) {
        return err;
    }
    if (!current_has_cap(CAP_SYS_TIME)) {
        return -EPERM;
    }
    ktime_set_realtime(t);
    return 0;
}

SYSCALL2(gettimeofday, struct __kernel_old_timeval __user *, utv, struct timezone __user *, utz)
{
    static const struct timezone utc;

    if (utv != NULL) {
        ktime_t now = ktime_realtime();
        struct __kernel_old_timeval tv = {now / NS_PER_S, now % NS_PER_S / NS_PER_US};
        if (copy_to_user(utv, &tv, sizeof(tv)) < 0) {
            return -EFAULT;
        }
    }
    return utz != NULL ? copy_to_user(utz, &utc, sizeof(utc)) : 0;
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
    if (utv != NULL) {
        ktime_set_realtime(tv.tv_sec * NS_PER_S + tv.tv_usec * NS_PER_US);
    }
    return 0;
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

SYSCALL4(clock_nanosleep, int, id, int, flags, const struct __kernel_timespec __user *, uts,
         struct __kernel_timespec __user *, uremain)
{
    ktime_t t, now;

    if (!clock_now(id, &now) || id == CLOCK_THREAD_CPUTIME_ID) {
        return -EINVAL;
    }
    if (id == CLOCK_PROCESS_CPUTIME_ID || id == CLOCK_REALTIME_COARSE ||
        id == CLOCK_MONOTONIC_COARSE || id == CLOCK_MONOTONIC_RAW) {
        return -EOPNOTSUPP;
    }
    int err = timespec_from_user(&t, uts);
    if (err < 0) {
        return err;
    }
    if ((flags & TIMER_ABSTIME) == 0) {
        return sleep_relative(t, uremain);
    }
    return t <= now ? 0 : thread_sleep_until_interruptible(ktime_after(ktime_now(), t - now));
}
