/*
 * POSIX timers (timer_create(2)) of the current process. Thread context.
 */
#pragma once

#include "kernel/proc/process.h"

struct posix_timer_request {
    int clock;  /* CLOCK_*, or an encoded CPU-time clock (clock_getcpuclockid(3)) */
    bool plain; /* no sigevent was given: SIGALRM, which carries the timer's number */
    sigevent_t event;
};

/* -EINVAL, -EOPNOTSUPP: a clock without timers, -EAGAIN: RLIMIT_SIGPENDING or memory. */
int posix_timer_create(const struct posix_timer_request *request, int *ret_id);
/*
 * All others: -EINVAL when there is no such timer. A signal that an earlier setting has queued is taken back. -ESRCH: it counts the time of
 * a thread that has ended.
 */
int posix_timer_set(int id, bool absolute, const struct itimer *new, struct itimer *ret_old);
int posix_timer_get(int id, struct itimer *ret_setting);
int posix_timer_overrun(int id); /* of the signal delivered last */
int posix_timer_delete(int id);

/* What /proc/PID/timers tells of one: as it was asked for. */
struct posix_timer_shown {
    int id, clock, notify, signo;
    uint64_t value; /* sigev_value */
    int to;         /* number of the thread or the process that gets the signal */
};
/* The process' timer with the lowest number from `id` on; false: there is none. Any process, any context. */
bool posix_timer_show(struct process *process, int id, struct posix_timer_shown *ret_shown);
