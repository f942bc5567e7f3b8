/*
 * Scheduling calls: yielding, affinity, policies.
 */
#include <linux/capability.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sched/types.h>

#include "kernel/linux/sched_target.h"
#include "kernel/linux/structs.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/node.h"
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
    const unsigned cpu = cpu_id(); /* of both answers */

    (void)unused;
    if ((ucpu != NULL && put_user(cpu, ucpu) < 0) ||
        (unode != NULL && put_user(cpu_node(cpu), unode) < 0)) {
        return -EFAULT;
    }
    return 0;
}

/* ---- affinity ---- */

SYSCALL3(sched_getaffinity, int, pid, size_t, size, uint64_t __user *, umask)
{
    uint64_t mask[4];
    size_t bytes = DIV_ROUND_UP(cpu_count_possible(), 64) * sizeof(uint64_t);

    if (size * 8 < cpu_count_possible() || size % sizeof(uint64_t) != 0) {
        return -EINVAL;
    }
    struct sched_target target;
    if (!sched_target_get(pid, &target)) {
        return -ESRCH;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(mask); i++) {
        mask[i] = target.thread->cpu_mask.bits[i] & cpus_online()->bits[i];
    }
    sched_target_put(&target);
    size_t n = MIN(bytes, size);
    return copy_to_user(umask, mask, n) < 0 ? -EFAULT : (int64_t)n;
}

SYSCALL3(sched_setaffinity, int, pid, size_t, size, const uint64_t __user *, umask)
{
    struct cpumask mask = CPUMASK_NONE;

    if (copy_from_user(mask.bits, umask, MIN(size, sizeof(mask.bits))) < 0) {
        return -EFAULT;
    }
    struct sched_target target;
    if (!sched_target_get(pid, &target)) {
        return -ESRCH;
    }
    int64_t result = target.thread->bound             ? -EINVAL
                     : !sched_target_allowed(&target) ? -EPERM
                                                      : sched_set_affinity(target.thread, &mask);
    sched_target_put(&target);
    return result;
}

/* ---- policies ---- */

/* What was asked for, as the scheduler takes it, and what of it to leave as it is. */
struct request {
    struct sched_params params;
    bool keep_policy, keep_params;
};

/* sched(7), "Privileges and resource limits"; sched_setscheduler(2), "EPERM". `old` is what the target has. */
static bool may_set_params(const struct sched_target *target, const struct sched_params *old,
                           const struct sched_params *new)
{
    uint64_t rtprio = sched_target_limit(target, RLIMIT_RTPRIO);

    if (current_has_cap(CAP_SYS_NICE)) {
        return true;
    }
    if (!sched_target_allowed(target) || (old->reset_on_fork && !new->reset_on_fork) ||
        new->policy == SCHED_DEADLINE) {
        return false;
    }
    if (old->policy == SCHED_IDLE && new->policy != SCHED_IDLE &&
        !sched_target_may_have_nice(target, old->nice)) {
        return false;
    }
    if (sched_policy_is_fair(new->policy)) {
        return new->nice >= old->nice || sched_target_may_have_nice(target, new->nice);
    }
    return (new->policy == old->policy || rtprio != 0) &&
           (new->priority <= old->priority || new->priority <= rtprio);
}

static int set_params(const struct sched_target *target, const struct request *request)
{
    struct sched_params old, new = request->params;

    sched_get_params(target->thread, &old);
    if (request->keep_policy) {
        new.policy = old.policy;
        new.reset_on_fork = old.reset_on_fork;
    }
    if (request->keep_params) {
        bool reset = new.reset_on_fork;
        new = old; /* Linux keeps the policy with them */
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
    struct sched_target target;

    if (!sched_target_get(pid, &target)) {
        return -ESRCH;
    }
    int err = set_params(&target, request);
    sched_target_put(&target);
    return err;
}

/* -EINVAL, -ESRCH. */
static int params_of(int pid, struct sched_params *ret_params)
{
    struct sched_target target;

    if (pid < 0) {
        return -EINVAL;
    }
    if (!sched_target_get(pid, &target)) {
        return -ESRCH;
    }
    sched_get_params(target.thread, ret_params);
    sched_target_put(&target);
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
        .sched_nice = sched_policy_is_fair(params.policy) ? params.nice : 0,
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
    if (err == 0 && (attr->sched_flags & SCHED_FLAG_UTIL_CLAMP) != 0 &&
        size < SCHED_ATTR_SIZE_VER1) {
        err = -EINVAL; /* it says nothing of how to clamp */
    }
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
    struct sched_target target;

    if (pid < 0) {
        return -EINVAL;
    }
    if (!sched_target_get(pid, &target)) {
        return -ESRCH;
    }
    ktime_t turn = sched_turn_ns(target.thread);
    sched_target_put(&target);
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
