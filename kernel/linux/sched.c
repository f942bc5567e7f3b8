/*
 * Scheduling calls: yielding, nice values, I/O priorities, affinity, policies.
 */
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sched/types.h>

#include "kernel/linux/structs.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
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

/* ---- whom a call is about ---- */

struct target {
    struct process *process; /* both referenced */
    struct thread *thread;
};

/* The thread with this number, 0: the caller. False: there is none. */
static bool target_get(int tid, struct target *ret_target)
{
    struct thread *thread = current_thread();

    if (tid == 0) {
        *ret_target = (struct target){process_get(thread->process), thread};
        thread_get(thread);
        return true;
    }
    ret_target->process = process_find_thread(tid, &ret_target->thread);
    return ret_target->process != NULL;
}

static void target_put(const struct target *target)
{
    thread_put(target->thread);
    process_put(target->process);
}

/* sched_setaffinity(2), setpriority(2), "EPERM". */
static bool may_schedule(const struct target *target)
{
    const struct cred *mine = cred_current();
    struct cred *theirs = thread_cred_get(target->thread);
    bool same = mine->euid == theirs->uid || mine->euid == theirs->euid;

    cred_put(theirs);
    return same || current_has_cap(CAP_SYS_NICE);
}

/* ---- nice values ---- */

typedef int64_t target_fn(const struct target *target, int arg);

/* All threads of the process; the number of those met so far goes up. */
static unsigned for_each_thread(struct process *process, target_fn *fn, int arg, unsigned met,
                                int64_t *ret_result)
{
    struct thread *thread;

    for (int tid = 1; (thread = process_next_thread(process, tid)) != NULL; met++) {
        const struct target target = {process, thread};
        int64_t result = fn(&target, arg);
        *ret_result = met == 0 ? result : MAX(*ret_result, result);
        tid = thread->pid->nr + 1;
        thread_put(thread);
    }
    return met;
}

/* Call fn for each thread that (which, who) names; the number of threads met. */
static unsigned for_each_target(int which, int who, target_fn *fn, int arg, int64_t *ret_result)
{
    unsigned met = 0;
    uint32_t uid = who != 0 ? (uint32_t)who : cred_current()->uid;
    int group = which == PRIO_PGRP ? (who != 0 ? who : process_getpgid(0)) : 0;

    if (which == PRIO_PROCESS) {
        struct target target;
        if (target_get(who, &target)) {
            *ret_result = fn(&target, arg);
            target_put(&target);
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

static int64_t priority_of(const struct target *target, int unused)
{
    (void)unused;
    return 20 - target->thread->nice; /* getpriority(2), "C library/kernel differences" */
}

static int64_t set_priority(const struct target *target, int nice)
{
    if (!may_schedule(target)) {
        return -EPERM;
    }
    if (nice < target->thread->nice && !current_has_cap(CAP_SYS_NICE) &&
        20 - nice > (int64_t)process_limit(RLIMIT_NICE)) {
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

/* Negated, because the best of several, which is asked for, has the smallest number. */
static int64_t io_priority_of(const struct target *target, int unused)
{
    (void)unused;
    return -(int64_t)READ_ONCE(target->thread->ioprio);
}

/* ioprio_set(2), "EPERM": the target's real user counts. */
static int64_t set_io_priority(const struct target *target, int ioprio)
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
    return for_each_target(target, who, io_priority_of, 0, &best) == 0 ? -ESRCH : -best;
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

/* ---- affinity ---- */

SYSCALL3(sched_getaffinity, int, pid, size_t, size, uint64_t __user *, umask)
{
    uint64_t mask[4];
    size_t bytes = DIV_ROUND_UP(cpu_count_possible(), 64) * sizeof(uint64_t);

    if (size * 8 < cpu_count_possible() || size % sizeof(uint64_t) != 0) {
        return -EINVAL;
    }
    struct target target;
    if (!target_get(pid, &target)) {
        return -ESRCH;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(mask); i++) {
        mask[i] = target.thread->cpu_mask.bits[i] & cpus_online()->bits[i];
    }
    target_put(&target);
    size_t n = MIN(bytes, size);
    return copy_to_user(umask, mask, n) < 0 ? -EFAULT : (int64_t)n;
}

SYSCALL3(sched_setaffinity, int, pid, size_t, size, const uint64_t __user *, umask)
{
    struct cpumask mask = CPUMASK_NONE;

    if (copy_from_user(mask.bits, umask, MIN(size, sizeof(mask.bits))) < 0) {
        return -EFAULT;
    }
    struct target target;
    if (!target_get(pid, &target)) {
        return -ESRCH;
    }
    int64_t result = may_schedule(&target) ? sched_set_affinity(target.thread, &mask) : -EPERM;
    target_put(&target);
    return result;
}

/* ---- policies: only the time-sharing one today ---- */

/* 0, -EINVAL, -ESRCH. */
static int target_check(int pid)
{
    struct target target;

    if (pid < 0) {
        return -EINVAL;
    }
    if (!target_get(pid, &target)) {
        return -ESRCH;
    }
    target_put(&target);
    return 0;
}

SYSCALL1(sched_getscheduler, int, pid)
{
    int err = target_check(pid);

    return err < 0 ? err : SCHED_NORMAL;
}

SYSCALL2(sched_getparam, int, pid, int __user *, uparam)
{
    int err = uparam == NULL ? -EINVAL : target_check(pid);

    return err < 0 ? err : put_user(0, uparam);
}

/* Without real-time classes a request for one is refused as Linux refuses one without CAP_SYS_NICE. */
static int set_policy(int pid, int policy, int priority)
{
    int err = target_check(pid);

    if (err < 0) {
        return err;
    }
    if (policy == SCHED_FIFO || policy == SCHED_RR || policy == SCHED_DEADLINE) {
        return -EPERM;
    }
    return policy == SCHED_NORMAL && priority == 0 ? 0 : -EINVAL;
}

SYSCALL3(sched_setscheduler, int, pid, int, policy, const int __user *, uparam)
{
    int priority;

    if (pid < 0 || policy < 0 || uparam == NULL) {
        return -EINVAL;
    }
    return get_user(priority, uparam) < 0 ? -EFAULT : set_policy(pid, policy, priority);
}

SYSCALL2(sched_setparam, int, pid, const int __user *, uparam)
{
    int priority;

    if (pid < 0 || uparam == NULL) {
        return -EINVAL;
    }
    return get_user(priority, uparam) < 0 ? -EFAULT : set_policy(pid, SCHED_NORMAL, priority);
}

/* ---- sched_getattr, sched_setattr ---- */

static int64_t nice_of(const struct target *target, int unused)
{
    (void)unused;
    return target->thread->nice;
}

/* The caller's size says how much it knows of; more than we have is not touched (sched_setattr(2)). */
SYSCALL4(sched_getattr, int, pid, struct sched_attr __user *, uattr, unsigned, size, unsigned,
         flags)
{
    int64_t nice = 0;

    if (uattr == NULL || pid < 0 || size < SCHED_ATTR_SIZE_VER0 || size > PAGE_SIZE || flags != 0) {
        return -EINVAL;
    }
    if (for_each_target(PRIO_PROCESS, pid, nice_of, 0, &nice) == 0) {
        return -ESRCH;
    }
    struct sched_attr attr = {
        .size = MIN(size, sizeof(attr)), .sched_policy = SCHED_NORMAL, .sched_nice = (int32_t)nice};
    return copy_to_user(uattr, &attr, attr.size);
}

/* Too big a structure is one of a newer kernel: our size is told. */
static int attr_from_user(struct sched_attr *attr, struct sched_attr __user *uattr)
{
    uint32_t size;

    if (get_user(size, user_member(uattr, size)) < 0) {
        return -EFAULT;
    }
    size = size == 0 ? SCHED_ATTR_SIZE_VER0 : size;
    int err = size < SCHED_ATTR_SIZE_VER0 || size > PAGE_SIZE
                  ? -E2BIG
                  : struct_from_user(attr, sizeof(*attr), uattr, size);
    if (err == -E2BIG) {
        (void)put_user((uint32_t)sizeof(*attr), user_member(uattr, size));
    }
    return err;
}

SYSCALL3(sched_setattr, int, pid, struct sched_attr __user *, uattr, unsigned, flags)
{
    struct sched_attr attr;
    int64_t result = 0;

    if (uattr == NULL || pid < 0 || flags != 0) {
        return -EINVAL;
    }
    int err = attr_from_user(&attr, uattr);
    if (err < 0) {
        return err;
    }
    if (attr.sched_flags != 0) {
        return -EINVAL; /* nothing is reset on fork, and no utilisation is clamped */
    }
    err = set_policy(pid, (int)attr.sched_policy, (int)attr.sched_priority);
    if (err < 0) {
        return err;
    }
    int nice = CLAMP(attr.sched_nice, -20, 19);
    return for_each_target(PRIO_PROCESS, pid, set_priority, nice, &result) == 0 ? -ESRCH : result;
}

/* Time-sharing threads have one slice, whatever their niceness. */
SYSCALL2(sched_rr_get_interval, int, pid, struct __kernel_timespec __user *, uts)
{
    int err = target_check(pid);

    return err < 0 ? err : timespec_to_user(uts, SCHED_SLICE_NS);
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
