/*
 * timerfd_create(2).
 */
#pragma once

#include "kernel/vfs/file.h"

struct timerfd_setting {
    ktime_t value_ns; /* until the next expiration, or its time on the descriptor's clock; 0: off */
    ktime_t interval_ns; /* 0: once */
};

/* A timer that is off, as a file with one reference. flags: TFD_* of its creation. -EINVAL (clock, flags), -ENOMEM. May sleep. */
int timerfd_create(int clock, int flags, struct file **ret_file);
/* Set and tell what was; flags: TFD_TIMER_ABSTIME. -EINVAL: no timer, or flags. */
int timerfd_set(const struct file *file, int flags, const struct timerfd_setting *setting,
                struct timerfd_setting *ret_old);
int timerfd_get(const struct file *file, struct timerfd_setting *ret_setting);
