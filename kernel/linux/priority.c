/*
 * Nice values and I/O priorities, of threads, groups and users.
 */
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/resource.h>

#include "kernel/linux/sched_target.h"
#include "kernel/linux/syscall.h"
#include "kernel/sched/sched.h"
#include "kernel/security/cred.h"

/* ---- nice values ---- */

typedef int64_t target_fn(const struct sched_target *target, int arg);

/* What several threads' answers come to: the last error, or the greatest. */
static void answer_join(int64_t *answer, int64_t more)
{
    if (more < 0 || (*answer >= 0 && more > *answer)) {
        *answer = more;
    }
}

/* All threads of the process; the number of those met so far goes up. */
static unsigned for_each_thread(struct process *process, target_fn *fn, int arg, unsigned met,
                                int64_t *ret_result)
{
    struct thread *thread;

    for (int tid = 1; (thread = process_next_thread(process, tid)) != NULL; met++) {
        const struct sched_target target = {process, thread};
        answer_join(ret_result, fn(&target, arg));
        tid = thread->pid->nr + 1;
        thread_put(thread);
    }
    return met;
}

/* Call fn for each thread that (which, who) names; the number of threads met. *ret_result begins as 0. */
static unsigned for_each_target(int which, int who, target_fn *fn, int arg, int64_t *ret_result)
{
    unsigned met = 0;
    uint32_t uid = who != 0 ? (uint32_t)who : cred_current()->uid;
    int group = which == PRIO_PGRP ? (who != 0 ? who : process_getpgid(0)) : 0;

    if (which == PRIO_PROCESS) {
        struct sched_target target;
        if (sched_target_get(who, &target)) {
            *ret_result = fn(&target, arg);
            sched_target_put(&target);
            met = 1;
        }
        return met;
    }
    for (struct process *process = process_next(1); process != NULL;) {
        int next = process->pid->nr + 1;
        struct cred *cred = process_cred_get(process);
        bool match =
            which == PRIO_PGRP ? process_getpgid(process->pid->nr) == group : cred->uid == uid;
        cred_put(cred);
        if (match) {
            met = for_each_thread(process, fn, arg, met, ret_result);
        }
        process_put(process);
        process = process_next(next);
    }
    return met;
}

static int64_t priority_of(const struct sched_target *target, int unused)
{
    (void)unused;
    return 20 - target->thread->nice; /* getpriority(2), "C library/kernel differences" */
}

static int64_t set_priority(const struct sched_target *target, int nice)
{
    if (!sched_target_allowed(target)) {
        return -EPERM;
    }
    if (nice < target->thread->nice && !sched_target_may_have_nice(target, nice)) {
        return -EACCES;
    }
    sched_set_nice(target->thread, nice);
    return 0;
}

SYSCALL2(getpriority, int, which, int, who)
{
    int64_t result = 0;

    if (which < PRIO_PROCESS || which > PRIO_USER) {
        return -EINVAL;
    }
    return for_each_target(which, who, priority_of, 0, &result) == 0 ? -ESRCH : result;
}

SYSCALL3(setpriority, int, which, int, who, int, nice)
{
    int64_t result = 0;

    if (which < PRIO_PROCESS || which > PRIO_USER) {
        return -EINVAL;
    }
    nice = CLAMP(nice, -20, 19);
    return for_each_target(which, who, set_priority, nice, &result) == 0 ? -ESRCH : result;
}

/* ---- I/O priorities: kept and inherited for whoever orders requests ---- */

/* The best of several, which is asked for, has the smallest number, and answers are joined to the greatest. */
#define IO_PRIORITY_WORST 0x10000

/* One that was never set follows niceness and policy (ioprio_set(2), "Notes"). */
static int io_priority_effective(const struct thread *thread)
{
    int ioprio = READ_ONCE(thread->ioprio);

    if (ioprio >> IOPRIO_CLASS_SHIFT != IOPRIO_CLASS_NONE) {
        return ioprio;
    }
    struct sched_params params;
    sched_get_params((struct thread *)thread, &params);
    int class = params.policy == SCHED_IDLE           ? IOPRIO_CLASS_IDLE
                : sched_policy_is_fair(params.policy) ? IOPRIO_CLASS_BE
                                                      : IOPRIO_CLASS_RT;
    return class << IOPRIO_CLASS_SHIFT | (thread->nice + 20) / 5;
}

/* Of a process itself what was set is told, of several the best that comes of it. */
static int64_t io_priority_of(const struct sched_target *target, int which)
{
    const struct thread *thread = target->thread;
    int ioprio = which == PRIO_PROCESS ? READ_ONCE(thread->ioprio) : io_priority_effective(thread);

    return IO_PRIORITY_WORST - ioprio;
}

/* ioprio_set(2), "EPERM": the target's real user counts. */
static int64_t set_io_priority(const struct sched_target *target, int ioprio)
{
    const struct cred *mine = cred_current();
    struct cred *theirs = thread_cred_get(target->thread);
    bool same = mine->euid == theirs->uid || mine->uid == theirs->uid;

    cred_put(theirs);
    if (!same && !current_has_cap(CAP_SYS_NICE)) {
        return -EPERM;
    }
    WRITE_ONCE(target->thread->ioprio, (uint16_t)ioprio);
    return 0;
}

/* ioprio_set(2) */
static int io_priority_check(int ioprio)
{
    int level = IOPRIO_PRIO_DATA(ioprio);

    switch (ioprio >> IOPRIO_CLASS_SHIFT) {
    case IOPRIO_CLASS_RT:
        if (!current_has_cap(CAP_SYS_ADMIN) && !current_has_cap(CAP_SYS_NICE)) {
            return -EPERM;
        }
        return level < IOPRIO_NR_LEVELS ? 0 : -EINVAL;
    case IOPRIO_CLASS_BE:
        return level < IOPRIO_NR_LEVELS ? 0 : -EINVAL;
    case IOPRIO_CLASS_IDLE:
        return 0;
    case IOPRIO_CLASS_NONE:
        return level == 0 ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

/* IOPRIO_WHO_* as PRIO_*, which for_each_target takes. */
static int io_priority_target(int which)
{
    return which == IOPRIO_WHO_PROCESS ? PRIO_PROCESS
           : which == IOPRIO_WHO_PGRP  ? PRIO_PGRP
           : which == IOPRIO_WHO_USER  ? PRIO_USER
                                       : -EINVAL;
}

SYSCALL2(ioprio_get, int, which, int, who)
{
    int64_t best = 0;
    int target = io_priority_target(which);

    if (target < 0) {
        return target;
    }
    return for_each_target(target, who, io_priority_of, target, &best) == 0
               ? -ESRCH
               : IO_PRIORITY_WORST - best;
}

SYSCALL3(ioprio_set, int, which, int, who, int, ioprio)
{
    int64_t result = 0;
    int target = io_priority_target(which), err = io_priority_check(ioprio);

    if (err < 0 || target < 0) {
        return err < 0 ? err : target;
    }
    return for_each_target(target, who, set_io_priority, ioprio, &result) == 0 ? -ESRCH : result;
}
