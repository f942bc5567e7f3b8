/*
 * POSIX timers (timer_create(2)) of the current process. Thread context.
 */
#pragma once

#include "kernel/proc/process.h"

struct posix_timer_request {
    int clock; /* CLOCK_*, or an encoded CPU-time clock (clock_getcpuclockid(3)) of the process' own */
    bool plain; /* no sigevent was given: SIGALRM, which carries the timer's number */
    sigevent_t event;
};

/* -EINVAL, -EOPNOTSUPP: a clock without timers, -EAGAIN: RLIMIT_SIGPENDING or memory. */
int posix_timer_create(const struct posix_timer_request *request, int *ret_id);
/* All others: -EINVAL when there is no such timer. A signal that an earlier setting has queued is taken back. */
int posix_timer_set(int id, bool absolute, const struct itimer *new, struct itimer *ret_old);
int posix_timer_get(int id, struct itimer *ret_setting);
int posix_timer_overrun(int id); /* of the signal delivered last */
int posix_timer_delete(int id);
