/*
 * Conversions between the ABI's times and ktime_t.
 */
#pragma once

#include <linux/time_types.h>

#include "kernel/base/errno.h"
#include "kernel/core/time.h"
#include "kernel/machine/user.h"

/* utimensat(2): values of tv_nsec; not in the ABI headers. */
#define UTIME_NOW  ((1l << 30) - 1)
#define UTIME_OMIT ((1l << 30) - 2)

static inline struct __kernel_timespec timespec_of_ktime(ktime_t t)
{
    struct __kernel_timespec ts = {t / NS_PER_S, t % NS_PER_S};

    if (ts.tv_nsec < 0) {
        ts.tv_sec--;
        ts.tv_nsec += NS_PER_S;
    }
    return ts;
}

static inline bool timespec_valid(const struct __kernel_timespec *ts)
{
    return ts->tv_sec >= 0 && ts->tv_nsec >= 0 && ts->tv_nsec < NS_PER_S;
}

/* Saturates: far futures become KTIME_MAX. */
static inline ktime_t ktime_of_timespec(const struct __kernel_timespec *ts)
{
    if (ts->tv_sec >= KTIME_MAX / NS_PER_S) {
        return KTIME_MAX;
    }
    return ts->tv_sec * NS_PER_S + ts->tv_nsec;
}

/* Copy in and check: -EFAULT, -EINVAL. */
static inline int timespec_from_user(ktime_t *ret_time, const struct __kernel_timespec __user *uts)
{
    struct __kernel_timespec ts;

    if (copy_from_user(&ts, uts, sizeof(ts)) < 0) {
        return -EFAULT;
    }
    if (!timespec_valid(&ts)) {
        return -EINVAL;
    }
    *ret_time = ktime_of_timespec(&ts);
    return 0;
}

static inline int timespec_to_user(struct __kernel_timespec __user *uts, ktime_t t)
{
    struct __kernel_timespec ts = timespec_of_ktime(t);

    return copy_to_user(uts, &ts, sizeof(ts));
}
