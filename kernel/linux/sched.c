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

static uint64_t target_limit(const struct target *target, unsigned resource)
{
    return READ_ONCE(target->process->limits[resource].rlim_cur);
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

/* getrlimit(2), RLIMIT_NICE: of the one whose niceness it is. */
static bool may_have_nice(const struct target *target, int nice)
{
    return (uint64_t)(20 - nice) <= target_limit(target, RLIMIT_NICE) ||
           current_has_cap(CAP_SYS_NICE);
}

static int64_t set_priority(const struct target *target, int nice)
{
    if (!may_schedule(target)) {
        return -EPERM;
    }
    if (nice < target->thread->nice && !may_have_nice(target, nice)) {
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

/* ---- policies ---- */

/* What was asked for, as the scheduler takes it, and what of it to leave as it is. */
struct request {
    struct sched_params params;
    bool keep_policy, keep_params;
};

static bool is_fair(unsigned policy)
{
    return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE;
}

/* sched(7), "Privileges and resource limits"; sched_setscheduler(2), "EPERM". `old` is what the target has. */
static bool may_set_params(const struct target *target, const struct sched_params *old,
                           const struct sched_params *new)
{
    uint64_t rtprio = target_limit(target, RLIMIT_RTPRIO);

    if (current_has_cap(CAP_SYS_NICE)) {
        return true;
    }
    if (!may_schedule(target) || (old->reset_on_fork && !new->reset_on_fork) ||
        new->policy == SCHED_DEADLINE) {
        return false;
    }
    if (old->policy == SCHED_IDLE && new->policy != SCHED_IDLE &&
        !may_have_nice(target, old->nice)) {
        return false;
    }
    if (is_fair(new->policy)) {
        return new->nice >= old->nice || may_have_nice(target, new->nice);
    }
    return (new->policy == old->policy || rtprio != 0) &&
           (new->priority <= old->priority || new->priority <= rtprio);
}

static int set_params(const struct target *target, const struct request *request)
{
    struct sched_params old, new = request->params;

    sched_get_params(target->thread, &old);
    if (request->keep_policy) {
        new.policy = old.policy;
        new.reset_on_fork = old.reset_on_fork;
    }
    if (request->keep_params) {
        bool reset = new.reset_on_fork;
        uint8_t policy = new.policy;
        new = old;
        new.policy = policy;
        new.reset_on_fork = reset;
    }
    int err = sched_params_check(&new);
    if (err < 0) {
        return err;
    }
    if (!may_set_params(target, &old, &new)) {
        return -EPERM;
    }
    if (new.policy == SCHED_DEADLINE && !sched_runs_everywhere(target->thread)) {
        return -EPERM;
    }
    return sched_set_params(target->thread, &new);
}

static int64_t set_params_of(int pid, const struct request *request)
{
    struct target target;

    if (!target_get(pid, &target)) {
        return -ESRCH;
    }
    int err = set_params(&target, request);
    target_put(&target);
    return err;
}

/* -EINVAL, -ESRCH. */
static int params_of(int pid, struct sched_params *ret_params)
{
    struct target target;

    if (pid < 0) {
        return -EINVAL;
    }
    if (!target_get(pid, &target)) {
        return -ESRCH;
    }
    sched_get_params(target.thread, ret_params);
    target_put(&target);
    return 0;
}

SYSCALL1(sched_getscheduler, int, pid)
{
    struct sched_params params;
    int err = params_of(pid, &params);

    return err < 0 ? err : params.policy | (params.reset_on_fork ? SCHED_RESET_ON_FORK : 0);
}

SYSCALL2(sched_getparam, int, pid, int __user *, uparam)
{
    struct sched_params params;
    int err = uparam == NULL ? -EINVAL : params_of(pid, &params);

    return err < 0 ? err : put_user((int)params.priority, uparam);
}

/* Another policy and priority, or (policy -1) the priority alone; the niceness stays what it is. */
static int64_t set_priority_of(int pid, int policy, const int __user *uparam)
{
    struct sched_params params;
    int priority, err;

    if (get_user(priority, uparam) < 0) {
        return -EFAULT;
    }
    err = params_of(pid, &params);
    if (err < 0) {
        return err;
    }
    struct request request = {.params = params, .keep_policy = policy < 0};
    if (policy >= 0) {
        request.params = (struct sched_params){
            .policy = (uint8_t)(policy & ~SCHED_RESET_ON_FORK),
            .nice = params.nice,
            .reset_on_fork = (policy & SCHED_RESET_ON_FORK) != 0,
        };
        if ((policy & ~SCHED_RESET_ON_FORK) > SCHED_DEADLINE) {
            return -EINVAL;
        }
    }
    if ((unsigned)priority > UINT8_MAX) {
        return -EINVAL;
    }
    request.params.priority = (uint8_t)priority;
    return set_params_of(pid, &request);
}

SYSCALL3(sched_setscheduler, int, pid, int, policy, const int __user *, uparam)
{
    if (pid < 0 || policy < 0 || uparam == NULL) {
        return -EINVAL;
    }
    return set_priority_of(pid, policy, uparam);
}

SYSCALL2(sched_setparam, int, pid, const int __user *, uparam)
{
    return pid < 0 || uparam == NULL ? -EINVAL : set_priority_of(pid, -1, uparam);
}

/* ---- sched_getattr, sched_setattr ---- */

/* The caller's size says how much it knows of; more than we have is not touched (sched_setattr(2)). */
SYSCALL4(sched_getattr, int, pid, struct sched_attr __user *, uattr, unsigned, size, unsigned,
         flags)
{
    struct sched_params params;

    if (uattr == NULL || pid < 0 || size < SCHED_ATTR_SIZE_VER0 || size > PAGE_SIZE || flags != 0) {
        return -EINVAL;
    }
    int err = params_of(pid, &params);
    if (err < 0) {
        return err;
    }
    struct sched_attr attr = {
        .size = MIN(size, sizeof(attr)),
        .sched_policy = params.policy,
        .sched_flags = params.flags | (params.reset_on_fork ? SCHED_FLAG_RESET_ON_FORK : 0),
        .sched_nice = is_fair(params.policy) ? params.nice : 0,
        .sched_priority = params.priority,
        .sched_runtime = params.runtime,
        .sched_deadline = params.deadline,
        .sched_period = params.period,
    };
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

/* -EOPNOTSUPP: utilisation is not clamped, as on a kernel that was built without it. */
static int request_of(const struct sched_attr *attr, struct request *ret_request)
{
    if ((int32_t)attr->sched_policy < 0 || attr->sched_policy > SCHED_DEADLINE ||
        attr->sched_priority > UINT8_MAX || (attr->sched_flags & ~(uint64_t)SCHED_FLAG_ALL) != 0) {
        return -EINVAL;
    }
    if ((attr->sched_flags & SCHED_FLAG_UTIL_CLAMP) != 0) {
        return -EOPNOTSUPP;
    }
    *ret_request = (struct request){
        .params =
            {
                .policy = (uint8_t)attr->sched_policy,
                .reset_on_fork = (attr->sched_flags & SCHED_FLAG_RESET_ON_FORK) != 0,
                .nice = (int8_t)CLAMP(attr->sched_nice, -20, 19),
                .priority = (uint8_t)attr->sched_priority,
                .flags = (uint32_t)attr->sched_flags & (SCHED_FLAG_RECLAIM | SCHED_FLAG_DL_OVERRUN),
                .runtime = attr->sched_runtime,
                .deadline = attr->sched_deadline,
                .period = attr->sched_period,
            },
        .keep_policy = (attr->sched_flags & SCHED_FLAG_KEEP_POLICY) != 0,
        .keep_params = (attr->sched_flags & SCHED_FLAG_KEEP_PARAMS) != 0,
    };
    return 0;
}

SYSCALL3(sched_setattr, int, pid, struct sched_attr __user *, uattr, unsigned, flags)
{
    struct sched_attr attr;
    struct request request;

    if (uattr == NULL || pid < 0 || flags != 0) {
        return -EINVAL;
    }
    int err = attr_from_user(&attr, uattr);
    if (err == 0) {
        err = request_of(&attr, &request);
    }
    return err < 0 ? err : set_params_of(pid, &request);
}

SYSCALL2(sched_rr_get_interval, int, pid, struct __kernel_timespec __user *, uts)
{
    struct target target;

    if (pid < 0) {
        return -EINVAL;
    }
    if (!target_get(pid, &target)) {
        return -ESRCH;
    }
    ktime_t turn = sched_turn_ns(target.thread);
    target_put(&target);
    return timespec_to_user(uts, turn);
}

/* The range of priorities of a policy; -EINVAL: there is no such policy. */
static int priority_range(int policy, int *ret_max)
{
    switch (policy) {
    case SCHED_FIFO:
    case SCHED_RR:
        *ret_max = 99;
        return 1;
    case SCHED_NORMAL:
    case SCHED_BATCH:
    case SCHED_IDLE:
    case SCHED_DEADLINE:
        *ret_max = 0;
        return 0;
    default:
        return -EINVAL;
    }
}

SYSCALL1(sched_get_priority_max, int, policy)
{
    int max, min = priority_range(policy, &max);

    return min < 0 ? min : max;
}

SYSCALL1(sched_get_priority_min, int, policy)
{
    int max;

    return priority_range(policy, &max);
}
