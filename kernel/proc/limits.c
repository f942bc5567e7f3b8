/*
 * Resource limits (getrlimit(2)) and usage (getrusage(2)).
 *
 * Limits are read where they matter: descriptors and file sizes by vfs through hooks, address-space sizes by vm in its own copy, the
 * rest here and in the files around. Soft limits are single words, so readers need no lock.
 */
#include <linux/capability.h>

#include "kernel/base/string.h"
#include "kernel/core/time.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/proc/internal.h"

#define NR_OPEN_MAX 1048576u /* proc(5), /proc/sys/fs/nr_open */

#define THREADS_LEAST 64u

uint32_t threads_max;
static uint32_t threads_total; /* [a] of all users */

#define LIMIT(soft, hard)                                                                          \
    {                                                                                              \
        .rlim_cur = (soft), .rlim_max = (hard)                                                     \
    }

/* What process 1 starts with: getrlimit(2) leaves it to the system; these are what programs on Linux expect. */
void limits_init_default(struct rlimit64 limits[RLIM_NLIMITS])
{
    struct frame_stats frames;

    frame_stats(&frames);
    /* As many threads as would fill an eighth of the memory with kernel stacks; half of them for one user. */
    threads_max = (uint32_t)CLAMP(frames.total * PAGE_SIZE / 8 / KSTACK_SIZE,
                                  (uint64_t)THREADS_LEAST, (uint64_t)PID_MAX_DEFAULT);
    uint64_t nproc = threads_max / 2;
    for (unsigned i = 0; i < RLIM_NLIMITS; i++) {
        limits[i] = (struct rlimit64)LIMIT(RLIM64_INFINITY, RLIM64_INFINITY);
    }
    limits[RLIMIT_STACK].rlim_cur = MIB(8);
    limits[RLIMIT_CORE].rlim_cur = 0;
    limits[RLIMIT_NPROC] = (struct rlimit64)LIMIT(nproc, nproc);
    limits[RLIMIT_SIGPENDING] = (struct rlimit64)LIMIT(nproc, nproc);
    limits[RLIMIT_NOFILE] = (struct rlimit64)LIMIT(1024, 4096);
    limits[RLIMIT_MEMLOCK] = (struct rlimit64)LIMIT(MIB(8), MIB(8));
    limits[RLIMIT_MSGQUEUE] = (struct rlimit64)LIMIT(819200, 819200);
    limits[RLIMIT_NICE] = (struct rlimit64)LIMIT(0, 0);
    limits[RLIMIT_RTPRIO] = (struct rlimit64)LIMIT(0, 0);
}

int threads_charge(struct user *user, uint64_t limit)
{
    uint32_t all = atomic_fetch_add_relaxed(&threads_total, 1) + 1;
    uint32_t theirs = atomic_fetch_add_relaxed(&user->nprocesses, 1) + 1;

    if (likely(theirs <= limit || user == &user_root || current_has_cap(CAP_SYS_RESOURCE) ||
               current_has_cap(CAP_SYS_ADMIN)) &&
        likely(all <= atomic_load_relaxed(&threads_max))) {
        return 0;
    }
    threads_uncharge(user);
    return -EAGAIN;
}

void threads_uncharge(struct user *user)
{
    (void)atomic_fetch_sub_relaxed(&threads_total, 1);
    (void)atomic_fetch_sub_relaxed(&user->nprocesses, 1);
}

/* Has the user more threads than the caller's limit? Not counting the caller, when he becomes his: as Linux has it. */
static bool is_crowded(struct user *user)
{
    return user != &user_root &&
           atomic_load_relaxed(&user->nprocesses) > process_limit(RLIMIT_NPROC);
}

void process_follow_user(void)
{
    struct process *process = process_current();
    struct user *user = cred_current()->user;

    current_thread()->nproc_exceeded = is_crowded(user);
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    struct user *former = process->user;
    threads_move(former, user, process->ncharged);
    process->user = user_get(user);
    spin_unlock_irqrestore(&process->siglock, flags);
    user_put(former);
}

bool limits_refuse_exec(void)
{
    struct thread *thread = current_thread();

    thread->nproc_exceeded = thread->nproc_exceeded && is_crowded(cred_current()->user);
    return thread->nproc_exceeded;
}

void threads_move(struct user *from, struct user *to, uint32_t n)
{
    if (from != to) {
        (void)atomic_fetch_sub_relaxed(&from->nprocesses, n);
        (void)atomic_fetch_add_relaxed(&to->nprocesses, n);
    }
}

uint64_t process_limit(unsigned resource)
{
    return atomic_load_relaxed(&process_current()->limits[resource].rlim_cur);
}

void limits_apply_to_vm(const struct process *process, struct vmspace *vm)
{
    const struct rlimit64 *limits = process->limits;

    atomic_store_relaxed(&vm->limit_as, limits[RLIMIT_AS].rlim_cur);
    atomic_store_relaxed(&vm->limit_data, limits[RLIMIT_DATA].rlim_cur);
    atomic_store_relaxed(&vm->limit_stack, limits[RLIMIT_STACK].rlim_cur);
    atomic_store_relaxed(&vm->limit_memlock, limits[RLIMIT_MEMLOCK].rlim_cur);
}

/* prlimit(2), "EPERM": all of the target's real, effective and saved IDs are the caller's real ones. */
static bool may_limit(struct process *target)
{
    const struct cred *mine = cred_current();
    struct cred *theirs = process_cred_get(target);
    bool same = mine->uid == theirs->uid && mine->uid == theirs->euid &&
                mine->uid == theirs->suid && mine->gid == theirs->gid &&
                mine->gid == theirs->egid && mine->gid == theirs->sgid;

    cred_put(theirs);
    return same || cred_has_cap(mine, CAP_SYS_RESOURCE);
}

static int limit_set(struct process *target, unsigned resource, const struct rlimit64 *new,
                     struct rlimit64 *ret_old)
{
    struct rlimit64 *limit = &target->limits[resource];
    int err = 0;
    uint64_t flags = spin_lock_irqsave(&target->siglock);
    struct rlimit64 old = *limit;

    if (new != NULL) {
        if (new->rlim_max > old.rlim_max && !current_has_cap(CAP_SYS_RESOURCE)) {
            err = -EPERM;
        } else {
            atomic_store_relaxed(&limit->rlim_cur, new->rlim_cur);
            limit->rlim_max = new->rlim_max;
            if (resource == RLIMIT_CPU) {
                cpu_timers_look_locked(target);
            } else if (resource == RLIMIT_RTTIME) {
                cpu_timers_rt_limit_locked(target);
            }
        }
    }
    spin_unlock_irqrestore(&target->siglock, flags);
    if (err == 0 && ret_old != NULL) {
        *ret_old = old;
    }
    return err;
}

void limits_cap(struct process *process, unsigned resource, uint64_t most)
{
    struct rlimit64 *limit = &process->limits[resource];
    uint64_t flags = spin_lock_irqsave(&process->siglock);

    if (limit->rlim_cur > most) {
        atomic_store_relaxed(&limit->rlim_cur, most);
    }
    spin_unlock_irqrestore(&process->siglock, flags);
}

int process_prlimit(int pid, unsigned resource, const struct rlimit64 *new,
                    struct rlimit64 *ret_old)
{
    struct process *me = process_current(), *target;

    if (resource >= RLIM_NLIMITS || (new != NULL &&new->rlim_cur > new->rlim_max)) {
        return -EINVAL;
    }
    if (new != NULL && resource == RLIMIT_NOFILE &&new->rlim_max > NR_OPEN_MAX) {
        return -EPERM;
    }
    target = pid == 0 ? process_get(me) : process_find(pid);
    if (target == NULL) {
        return -ESRCH;
    }
    int err = target != me && !may_limit(target) ? -EPERM : 0;
    if (err == 0) {
        err = limit_set(target, resource, new, ret_old);
    }
    if (err == 0 && new != NULL) {
        struct vmspace *vm = process_vm_get(target);
        if (vm != NULL) {
            limits_apply_to_vm(target, vm);
            vmspace_put(vm);
        }
    }
    process_put(target);
    return err;
}

/* ---- usage ---- */

static void usage_times(struct rusage *usage, ktime_t user, ktime_t system)
{
    usage->ru_utime.tv_sec = user / NS_PER_S;
    usage->ru_utime.tv_usec = user % NS_PER_S / NS_PER_US;
    usage->ru_stime.tv_sec = system / NS_PER_S;
    usage->ru_stime.tv_usec = system % NS_PER_S / NS_PER_US;
}

static void usage_add(struct usage *sum, const struct usage *more)
{
    sum->user_ns += more->user_ns;
    sum->system_ns += more->system_ns;
    sum->minflt += more->minflt;
    sum->majflt += more->majflt;
    sum->nvcsw += more->nvcsw;
    sum->nivcsw += more->nivcsw;
    usage_add_io(&sum->io, &more->io);
}

void process_rusage(struct process *process, int who, struct rusage *ret_usage)
{
    struct usage usage = {0};
    uint64_t maxrss = 0;

    if (who == RUSAGE_THREAD) {
        thread_usage(current_thread(), &usage);
    } else if (who != RUSAGE_CHILDREN) {
        process_usage(process, &usage);
    }
    if (who != RUSAGE_CHILDREN) {
        maxrss = process->maxrss;
        if (process == process_current()) {
            vm_note_peak(current_thread()->vm);
            maxrss = MAX(maxrss, vmspace_rss_peak(current_thread()->vm));
        }
    }
    if (who == RUSAGE_CHILDREN || who == RUSAGE_BOTH) {
        usage_add(&usage, &process->reaped);
        maxrss = MAX(maxrss, process->reaped_maxrss);
    }
    memset(ret_usage, 0, sizeof(*ret_usage));
    usage_times(ret_usage, usage.user_ns, usage.system_ns);
    ret_usage->ru_minflt = (long)usage.minflt;
    ret_usage->ru_majflt = (long)usage.majflt;
    ret_usage->ru_nvcsw = (long)usage.nvcsw;
    ret_usage->ru_nivcsw = (long)usage.nivcsw;
    ret_usage->ru_maxrss = (long)(maxrss * (PAGE_SIZE / 1024));
}

void process_io(struct process *process, struct thread_io *ret_io)
{
    struct usage usage;

    process_usage(process, &usage);
    *ret_io = usage.io;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    usage_add_io(ret_io, &process->reaped.io);
    spin_unlock_irqrestore(&process_tree_lock, flags);
}

/* A child is reaped: what it and its own children used counts for the parent from now on. Tree lock held. */
void process_add_child_usage_locked(struct process *parent, struct process *child)
{
    struct usage usage;

    process_usage_locked(child, &usage);
    usage_add(&parent->reaped, &usage);
    usage_add(&parent->reaped, &child->reaped);
    uint64_t maxrss = MAX(child->maxrss, child->reaped_maxrss);
    parent->reaped_maxrss = MAX(parent->reaped_maxrss, maxrss);
}
