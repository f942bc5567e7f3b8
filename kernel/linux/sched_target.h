/*
 * Whom a scheduling call is about: a thread and its process, and what the caller may do to him.
 */
#pragma once

#include <linux/sched.h>

#include "kernel/proc/process.h"

struct sched_target {
    struct process *process; /* both referenced */
    struct thread *thread;
};

/* The thread with this number, 0: the caller. False: there is none. sched_target_put() follows. */
bool sched_target_get(int tid, struct sched_target *ret_target);
void sched_target_put(const struct sched_target *target);
/* sched_setaffinity(2), setpriority(2), "EPERM". */
bool sched_target_allowed(const struct sched_target *target);
/* The soft limit of the target's process. */
uint64_t sched_target_limit(const struct sched_target *target, unsigned resource);
/* getrlimit(2), RLIMIT_NICE: of the one whose niceness it is. */
bool sched_target_may_have_nice(const struct sched_target *target, int nice);

static inline bool sched_policy_is_fair(unsigned policy)
{
    return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE;
}
