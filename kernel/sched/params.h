/*
 * How a thread is scheduled: policy, niceness, priority, the deadline server's numbers; and priorities that are inherited.
 */
#pragma once

#include "kernel/base/types.h"
#include "kernel/machine/clock.h"

struct thread;

struct sched_params {
    uint8_t policy;     /* SCHED_NORMAL, BATCH, IDLE, FIFO, RR, DEADLINE of <linux/sched.h> */
    bool reset_on_fork; /* children begin with SCHED_NORMAL, and a niceness of at least 0 */
    int8_t nice;        /* -20..19; kept for when the policy is a fair one again */
    uint8_t priority;   /* FIFO and RR: 1..99, else 0 */
    uint32_t flags;     /* DEADLINE: SCHED_FLAG_RECLAIM, SCHED_FLAG_DL_OVERRUN */
    /* ns. DEADLINE: all three; fair policies: runtime is the length of a request, 0 for the usual one. */
    uint64_t runtime, deadline, period;
};

/* -EINVAL: the numbers make no sense together. Any context. */
int sched_params_check(const struct sched_params *params);
/*
 * Whoever asks may: permissions are checked above. Any context but interrupts. -EINVAL: the numbers make no sense; -EBUSY: not so much
 * bandwidth is left, or the thread may not run on all CPUs (DEADLINE).
 */
int sched_set_params(struct thread *thread, const struct sched_params *params) __must_check;
void sched_get_params(struct thread *thread, struct sched_params *ret_params);
/* Only the niceness, clamped to -20..19. Any context. */
void sched_set_nice(struct thread *thread, int nice);
/* May the current thread have children? A deadline thread's would be one too, without bandwidth of its own (sched(7)). */
bool sched_may_fork(void);
/* sched_rr_get_interval(2): ns of a turn, 0: no end. */
ktime_t sched_turn_ns(struct thread *thread);

/*
 * Priority inheritance: the thread runs with the rank of `donor` from now on, if that is the better one, until the next call; NULL: with
 * its own. Who calls sees to it that calls for one thread come one after the other. Any context.
 */
void sched_boost(struct thread *thread, const struct thread *donor);
/* Does `a` come before `b` among waiters: a better priority, of two deadline threads the earlier deadline? */
bool sched_rank_before(const struct thread *a, const struct thread *b);

/* /proc/sys/kernel/sched_*. Read by all at any time. */
struct sched_tunables {
    int32_t rt_period_us;  /* [a] */
    int32_t rt_runtime_us; /* [a] what real-time threads have of each period; -1: all */
    int32_t rr_slice_ms;   /* [a] */
    uint32_t dl_period_min_us, dl_period_max_us; /* [a] what sched_setattr(2) takes */
};
#define SCHED_RR_MS 100 /* the usual rr_slice_ms */
extern struct sched_tunables sched_tunables;
/* Is what deadline threads were promised within the limits as they are now? */
bool sched_bandwidth_fits(void);
