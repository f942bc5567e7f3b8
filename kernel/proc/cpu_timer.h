/*
 * CPU-time clocks of processes and threads, and what waits for them to reach a value: the process room's half of the alarms
 * of kernel/sched/alarm.h.
 */
#pragma once

#include "kernel/proc/process.h"

struct cpu_clock {
    struct process *process; /* referenced */
    struct thread *thread;   /* of which this one alone counts, referenced; NULL: all of them */
    bool user_only;
};

/*
 * The clock with this number: CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, or one that clock_getcpuclockid(3) or pthread_getcpuclockid(3)
 * encodes, of any process or of a sibling. -EINVAL: there is none. The clock holds references until cpu_clock_put(). Thread context.
 */
int cpu_clock_get(int id, struct cpu_clock *ret_clock) __must_check;
struct cpu_clock cpu_clock_dup(const struct cpu_clock *clock);
void cpu_clock_put(struct cpu_clock *clock);
/* What it shows. No siglock held. */
ktime_t cpu_clock_now(const struct cpu_clock *clock);
/* Sleep until it shows `until`, or can show no more. -EINTR: a signal came first. Thread context. */
int cpu_clock_sleep(const struct cpu_clock *clock, ktime_t until);

/*
 * Called once, at or soon after the time (`now`: what the clock shows), or when whose time it is ends (0). Interrupts off, the siglock of
 * the clock's process and its cpu_timers.lock held; the timer is not armed any more.
 */
struct cpu_timer;
typedef void cpu_timer_fn(struct cpu_timer *timer, ktime_t now);

struct cpu_timer {
    struct list_node node;  /* [c] cpu_timers.lock of the clock's process */
    struct cpu_clock clock; /* [I] */
    ktime_t at;             /* [c] */
    cpu_timer_fn *expired;  /* [I] */
};

void cpu_timer_init(struct cpu_timer *timer, cpu_timer_fn *expired);
/* (Re)arm. False: whose time it is has ended. Siglock of the clock's process held. */
bool cpu_timer_start_locked(struct cpu_timer *timer, ktime_t at);
/* The same when it is not. */
bool cpu_timer_start(struct cpu_timer *timer, ktime_t at);
/* Not called any more afterwards, but for a call that has begun. Any context. */
void cpu_timer_stop(struct cpu_timer *timer);
bool cpu_timer_is_armed(struct cpu_timer *timer);
