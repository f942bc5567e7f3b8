/*
 * Scheduling calls: yielding, nice values, affinity, policies.
 */
#include <linux/capability.h>
#include <linux/resource.h>
#include <linux/sched.h>

#include "kernel/linux/syscall.h"
#include "kernel/machine/smp.h"
#include "kernel/proc/process.h"
#include "kernel/sched/sched.h"
#include "kernel/security/cred.h"

SYSCALL0(sched_yield)
{
    sched_yield_cpu();
    return 0;
}

SYSCALL3(getcpu, unsigned __user *, ucpu, unsigned __user *, unode, void __user *, unused)
{
    (void)unused;
    if ((ucpu != NULL && put_user(cpu_id(), ucpu) < 0) ||
        (unode != NULL && put_user(0u, unode) < 0)) {
        return -EFAULT;
    }
    return 0;
}

/* ---- nice values ---- */

/* Call fn for each process that (which, who) names; the number of processes met. */
static unsigned for_each_target(int which, int who, int64_t (*fn)(struct process *, int), int arg,
                                int64_t *ret_result)
{
    unsigned met = 0;
    uint32_t uid = who != 0 ? (uint32_t)who : cred_current()->uid;
    int group = which == PRIO_PGRP ? (who != 0 ? who : process_getpgid(0)) : 0;

    if (which == PRIO_PROCESS) {
        struct process *process = who != 0 ? process_find(who) : process_get(process_current());
        if (process != NULL) {
            *ret_result = fn(process, arg);
            process_put(process);
            met = 1;
        }
        return met;
    }
    for (struct process *process = process_next(1); process != NULL;) {
        int next = process->pid->nr + 1;
        bool match = which == PRIO_PGRP ? process_getpgid(process->pid->nr) == group
                                        : process->leader->cred->uid == uid;
        if (match) {
            int64_t result = fn(process, arg);
            *ret_result = met == 0 ? result : MAX(*ret_result, result);
            met++;
        }
        process_put(process);
        process = process_next(next);
    }
    return met;
}

static int64_t priority_of(struct process *process, int unused)
{
    (void)unused;
    return 20 - process->leader->nice; /* getpriority(2), "C library/kernel differences" */
}

static int64_t set_priority(struct process *process, int nice)
{
    const struct cred *mine = cred_current(), *theirs = process->leader->cred;

    if (mine->euid != theirs->uid && mine->euid != theirs->euid && !current_has_cap(CAP_SYS_NICE)) {
        return -EPERM;
    }
    if (nice < process->leader->nice && !current_has_cap(CAP_SYS_NICE) &&
        20 - nice > (int64_t)process_limit(RLIMIT_NICE)) {
        return -EACCES;
    }
    sched_set_nice(process->leader, nice);
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

/* ---- affinity ---- */

static struct process *target_process(int pid)
{
    return pid == 0 ? process_get(process_current()) : process_find(pid);
}

SYSCALL3(sched_getaffinity, int, pid, size_t, size, uint64_t __user *, umask)
{
    uint64_t mask[4];
    size_t bytes = DIV_ROUND_UP(cpu_count_possible(), 64) * sizeof(uint64_t);

    if (size * 8 < cpu_count_possible() || size % sizeof(uint64_t) != 0) {
        return -EINVAL;
    }
    struct process *process = target_process(pid);
    if (process == NULL) {
        return -ESRCH;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(mask); i++) {
        mask[i] = process->leader->cpu_mask[i] & cpus_online_word(i);
    }
    process_put(process);
    size_t n = MIN(bytes, size);
    return copy_to_user(umask, mask, n) < 0 ? -EFAULT : (int64_t)n;
}

SYSCALL3(sched_setaffinity, int, pid, size_t, size, const uint64_t __user *, umask)
{
    uint64_t mask[4] = {0};

    if (copy_from_user(mask, umask, MIN(size, sizeof(mask))) < 0) {
        return -EFAULT;
    }
    struct process *process = target_process(pid);
    if (process == NULL) {
        return -ESRCH;
    }
    const struct cred *mine = cred_current(), *theirs = process->leader->cred;
    int64_t result = 0;
    uint64_t usable = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(mask); i++) {
        usable |= mask[i] & cpus_online_word(i);
    }
    if (mine->euid != theirs->uid && mine->euid != theirs->euid && !current_has_cap(CAP_SYS_NICE)) {
        result = -EPERM;
    } else if (usable == 0) {
        result = -EINVAL;
    } else {
        sched_set_affinity(process->leader, mask);
    }
    process_put(process);
    return result;
}

/* ---- policies: only the time-sharing one today ---- */

SYSCALL1(sched_getscheduler, int, pid)
{
    struct process *process = pid < 0 ? NULL : target_process(pid);

    if (process == NULL) {
        return pid < 0 ? -EINVAL : -ESRCH;
    }
    process_put(process);
    return SCHED_NORMAL;
}

SYSCALL2(sched_getparam, int, pid, int __user *, uparam)
{
    struct process *process = pid < 0 || uparam == NULL ? NULL : target_process(pid);

    if (process == NULL) {
        return pid < 0 || uparam == NULL ? -EINVAL : -ESRCH;
    }
    process_put(process);
    return put_user(0, uparam);
}

SYSCALL3(sched_setscheduler, int, pid, int, policy, const int __user *, uparam)
{
    int priority;

    if (pid < 0 || policy < 0 || uparam == NULL) {
        return -EINVAL;
    }
    if (get_user(priority, uparam) < 0) {
        return -EFAULT;
    }
    struct process *process = target_process(pid);
    if (process == NULL) {
        return -ESRCH;
    }
    process_put(process);
    /* Without real-time classes a request for one is refused as Linux refuses one without CAP_SYS_NICE. */
    if (policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_DEADLINE) {
        return -EPERM;
    }
    return policy == SCHED_NORMAL && priority == 0 ? 0 : -EINVAL;
}

SYSCALL1(sched_get_priority_max, int, policy)
{
    switch (policy) {
    case SCHED_FIFO:
    case SCHED_RR:
        return 99;
    case SCHED_NORMAL:
    case SCHED_BATCH:
    case SCHED_IDLE:
    case SCHED_DEADLINE:
        return 0;
    default:
        return -EINVAL;
    }
}

SYSCALL1(sched_get_priority_min, int, policy)
{
    switch (policy) {
    case SCHED_FIFO:
    case SCHED_RR:
        return 1;
    case SCHED_NORMAL:
    case SCHED_BATCH:
    case SCHED_IDLE:
    case SCHED_DEADLINE:
        return 0;
    default:
        return -EINVAL;
    }
}
