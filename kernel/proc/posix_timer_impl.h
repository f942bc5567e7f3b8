/*
 * POSIX timers, inside of kernel/proc: what a timer is, and how it runs (posix_timer_run.c) beneath the calls that make and set it
 * (posix_timer.c).
 *
 * Locking: all but `refs` under the siglock of the process, which expirations take in interrupt context, unless a member says otherwise. The table
 * holds a reference, the entry another while it is queued or being delivered. A deleted timer is never started again.
 *
 * Locks:  I immutable once it is in the table   a atomic   else the siglock
 */
#pragma once

#include "kernel/core/time.h"
#include "kernel/proc/cpu_timer.h"
#include "kernel/proc/internal.h"
#include "kernel/proc/posix_timer.h"

enum timer_clock { CLOCK_OF_WALL, CLOCK_OF_SYSTEM, CLOCK_OF_CPU };

enum entry_state { ENTRY_FREE, ENTRY_QUEUED, ENTRY_TAKEN };

struct posix_timer {
    struct refcount refs;
    int id;                        /* [I] */
    int clock_id;                  /* [I] as it was asked for; CPU time: encoded */
    enum timer_clock clock;        /* [I] */
    bool foreign;                  /* [I] the CPU time of another process */
    bool tai;                      /* [I] a wall clock that is ahead */
    bool real;                     /* `next` is real time */
    struct time_listener listener; /* CLOCK_OF_WALL */
    int notify;                    /* [I] SIGEV_* */
    struct process *process;       /* [I] valid until deleted */
    struct thread *to;             /* [I] SIGEV_THREAD_ID: referenced; NULL: the process */
    struct rb_node node;
    struct timer timer;
    struct cpu_timer cpu;        /* CLOCK_OF_CPU */
    bool cpu_due;                /* [a] it has expired since it was started */
    ktime_t seen;                /* [a] what a foreign clock showed last */
    struct signal_queued *entry; /* [I] */
    bool deleted;
    bool active; /* set, and for one expiration not over */
    enum entry_state state;
    ktime_t next; /* of its clock; of the wall clock monotonic unless `real` */
    ktime_t interval;
    uint64_t missed; /* periods passed over since the last expiration that was told */
    int last_overrun;
};

static inline bool posix_timer_counts_cpu(const struct posix_timer *timer)
{
    return timer->clock == CLOCK_OF_CPU;
}

/* Does it count the time of a thread that has ended? */
static inline bool posix_timer_counts_dead(const struct posix_timer *timer)
{
    const struct thread *thread = timer->cpu.clock.thread;

    return posix_timer_counts_cpu(timer) && thread != NULL && atomic_load_relaxed(&thread->exiting);
}

/* Its two timers and what they call; a new timer. */
void posix_timer_prepare(struct posix_timer *timer);
/* It is told of steps of the wall clock from now on, until time_listener_remove(). */
void posix_timer_listen(struct posix_timer *timer);
void posix_timer_put(struct posix_timer *timer);

/* What its clock shows; a foreign one: what it showed when it was last read. */
ktime_t posix_timer_now_locked(const struct posix_timer *timer);
/* Wait for `next`. */
void posix_timer_start_locked(struct posix_timer *timer);
/* Move the next expiration of an interval timer behind `now`; how many were passed over. */
uint64_t posix_timer_forward_locked(struct posix_timer *timer, ktime_t now);
/* A setting ends, and with it the signal that it has queued and nobody has taken. */
void posix_timer_end_setting_locked(struct posix_timer *timer);
