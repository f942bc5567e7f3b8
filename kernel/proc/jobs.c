/*
 * Process groups and sessions, and the contract of job control that terminals use (kernel/sched/pid.h).
 *
 * A group or session is a struct pid with members; it keeps the number in use as long as one member or one terminal refers to it.
 */
#include <linux/fcntl.h>

#include "kernel/ipc/mqueue.h"
#include "kernel/proc/internal.h"

static void move_to_group_locked(struct process *process, struct pid *group)
{
    list_remove(&process->group_node);
    process->group = group;
    list_push_back(&group->group_members, &process->group_node);
}

/* Is there a group of this number in the session? */
static bool group_exists_in(struct pid *group, struct pid *session)
{
    return !list_empty(&group->group_members) &&
           list_first_entry(&group->group_members, struct process, group_node)->session == session;
}

/* The process that this is the number of, or of a thread of. Tree lock held; NULL: none. */
static struct process *process_of_locked(const struct pid *pid)
{
    return pid->process != NULL ? pid->process : pid->thread != NULL ? pid->thread->process : NULL;
}

/* The rules of setpgid(2). Tree lock held. */
static int setpgid_check_locked(struct process *me, struct process *target, struct pid *group)
{
    if (target != me) {
        if (target->parent != me) {
            return -ESRCH;
        }
        if (target->session != me->session) {
            return -EPERM;
        }
        if (target->did_exec) {
            return -EACCES;
        }
    }
    if (target->session == target->pid) {
        return -EPERM; /* a session leader */
    }
    if (group != target->pid && !group_exists_in(group, me->session)) {
        return -EPERM;
    }
    return 0;
}

int process_setpgid(int pid, int pgid)
{
    struct process *me = process_current();
    struct pid *old = NULL;

    if (pgid < 0) {
        return -EINVAL;
    }
    struct pid *target_pid = pid == 0 ? pid_get(me->pid) : pid_find(pid);
    if (target_pid == NULL) {
        return -ESRCH;
    }
    struct pid *group = pgid == 0 ? pid_get(target_pid) : pid_find(pgid);
    int err = group == NULL ? -EPERM : 0;
    if (err == 0) {
        uint64_t flags = spin_lock_irqsave(&process_tree_lock);
        struct process *target = target_pid->process;
        err = target != NULL               ? setpgid_check_locked(me, target, group)
              : target_pid->thread != NULL ? -EINVAL
                                           : -ESRCH;
        if (err == 0 && target->group != group) {
            old = target->group;
            move_to_group_locked(target, group);
            group = NULL; /* the reference is the process' now */
        }
        spin_unlock_irqrestore(&process_tree_lock, flags);
    }
    pid_put(old);
    pid_put(group);
    pid_put(target_pid);
    return err;
}

static int group_or_session_of(int pid, bool session)
{
    struct process *me = process_current();
    int nr = -ESRCH;

    if (pid == 0 || pid == me->pid->nr) {
        return session ? me->session->nr
                       : me->group->nr; /* only the process itself leaves its session */
    }
    struct pid *target = pid_find(pid);
    if (target == NULL) {
        return -ESRCH;
    }
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    const struct process *process = process_of_locked(target);
    if (process != NULL) {
        nr = pid_nr(session ? process->session : process->group);
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    pid_put(target);
    return nr;
}

int process_getpgid(int pid)
{
    return group_or_session_of(pid, false);
}

int process_getsid(int pid)
{
    return group_or_session_of(pid, true);
}

int process_setsid(void)
{
    struct process *me = process_current();
    struct pid *old_group, *old_session;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    if (!list_empty(&me->pid->group_members) || !list_empty(&me->pid->session_members)) {
        spin_unlock_irqrestore(&process_tree_lock, flags);
        return -EPERM; /* a group of this number exists (setsid(2)) */
    }
    old_group = me->group;
    old_session = me->session;
    move_to_group_locked(me, pid_get(me->pid));
    list_remove(&me->session_node);
    me->session = pid_get(me->pid);
    list_push_back(&me->session->session_members, &me->session_node);
    me->tty = NULL;
    spin_unlock_irqrestore(&process_tree_lock, flags);
    pid_put(old_group);
    pid_put(old_session);
    return me->pid->nr;
}

/* ---- job control for terminals ---- */

static int jobctl_signal_group(struct pid *group, int signo)
{
    siginfo_t info;

    siginfo_kernel(&info, signo);
    return signal_send_group(group, &info);
}

static int jobctl_signal_info(struct pid *pid, const siginfo_t *info)
{
    int err = -ESRCH;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    if (pid->process != NULL) {
        err = signal_send_process(pid->process, info);
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return err;
}

/* Tree lock held. */
static bool owner_may_be_told_locked(const struct jobctl_owner *owner, struct thread *thread)
{
    struct cred *theirs = thread_cred_get_locked(thread);
    bool may = theirs != NULL &&
               (owner->euid == 0 || owner->euid == theirs->suid || owner->euid == theirs->uid ||
                owner->uid == theirs->suid || owner->uid == theirs->uid);

    cred_put(theirs);
    return may;
}

/* `to` NULL: the process. Tree lock held. */
static void tell_owner_locked(const struct jobctl_owner *owner, struct process *process,
                              struct thread *to, const siginfo_t *info)
{
    siginfo_t plain;

    if (!owner_may_be_told_locked(owner, to != NULL ? to : process->leader)) {
        return;
    }
    spin_lock(&process->siglock);
    if (owner->type == F_OWNER_PGRP) {
        signal_tell_forks_locked(process, info->si_signo);
    }
    if (signal_send_locked(process, to, info, info->si_code == SI_KERNEL) == -EAGAIN) {
        siginfo_kernel(&plain, SIGIO);
        (void)signal_send_locked(process, to, &plain, true);
    }
    spin_unlock(&process->siglock);
}

static void jobctl_signal_owner(const struct jobctl_owner *owner, const siginfo_t *info)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct thread *thread = owner->pid->thread;
    struct process *process;

    switch (owner->type) {
    case F_OWNER_TID:
        if (thread != NULL) {
            tell_owner_locked(owner, process_of_locked(owner->pid), thread, info);
        }
        break;
    case F_OWNER_PID:
        if (owner->pid->process != NULL) {
            tell_owner_locked(owner, owner->pid->process, NULL, info);
        }
        break;
    default:
        list_for_each (process, &owner->pid->group_members, group_node) {
            tell_owner_locked(owner, process, NULL, info);
        }
        break;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
}

static int jobctl_signal_process(struct pid *pid, int signo)
{
    siginfo_t info;

    siginfo_kernel(&info, signo);
    return jobctl_signal_info(pid, &info);
}

static void jobctl_signal_current(int signo)
{
    siginfo_t info;

    siginfo_user(&info, signo, SI_USER);
    (void)signal_send_thread(current_thread(), &info);
}

static struct pid *jobctl_current_process(void)
{
    struct process *process = process_current();

    return process == NULL ? NULL : process->pid;
}

static struct pid *jobctl_current_group(void)
{
    struct process *process = process_current();

    if (process == NULL) {
        return NULL;
    }
    uint64_t flags = spin_lock_irqsave(&process_tree_lock); /* the parent may move us */
    struct pid *group = pid_get(process->group);
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return group;
}

static struct pid *jobctl_current_session(void)
{
    struct process *process = process_current();

    return process == NULL ? NULL : process->session;
}

static bool jobctl_current_is_session_leader(void)
{
    struct process *process = process_current();

    return process != NULL && process->session == process->pid;
}

static bool jobctl_current_ignores(int signo)
{
    struct process *process = process_current();

    if (process == NULL) {
        return true;
    }
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    bool ignores = (current_thread()->sig_blocked & SIGMASK(signo)) != 0 ||
                   process->actions->action[signo - 1].handler == ACTION_IGNORE;
    spin_unlock_irqrestore(&process->siglock, flags);
    return ignores;
}

static bool jobctl_group_is_orphaned(struct pid *group)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    bool orphaned = group_is_orphaned_locked(group, NULL);

    spin_unlock_irqrestore(&process_tree_lock, flags);
    return orphaned;
}

static int jobctl_group_in_session(struct pid *group, struct pid *session)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    const struct process *member =
        list_empty(&group->group_members)
            ? process_of_locked(group)
            : list_first_entry(&group->group_members, struct process, group_node);
    int err = member == NULL ? -ESRCH : member->session == session ? 0 : -EPERM;

    spin_unlock_irqrestore(&process_tree_lock, flags);
    return err;
}

static void *jobctl_current_tty(void)
{
    struct process *process = process_current();

    return process == NULL ? NULL : process->tty;
}

static void jobctl_current_set_tty(void *tty)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    process_current()->tty = tty;
    spin_unlock_irqrestore(&process_tree_lock, flags);
}

static void jobctl_session_clear_tty(struct pid *session)
{
    struct process *process;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    list_for_each (process, &session->session_members, session_node) {
        process->tty = NULL;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
}

static const struct jobctl_ops jobctl_implementation = {
    .signal_group = jobctl_signal_group,
    .signal_process = jobctl_signal_process,
    .signal_info = jobctl_signal_info,
    .signal_owner = jobctl_signal_owner,
    .signal_current = jobctl_signal_current,
    .current_process = jobctl_current_process,
    .current_group = jobctl_current_group,
    .current_session = jobctl_current_session,
    .current_is_session_leader = jobctl_current_is_session_leader,
    .current_ignores = jobctl_current_ignores,
    .group_is_orphaned = jobctl_group_is_orphaned,
    .group_in_session = jobctl_group_in_session,
    .current_tty = jobctl_current_tty,
    .current_set_tty = jobctl_current_set_tty,
    .session_clear_tty = jobctl_session_clear_tty,
    .ctrl_alt_del = signal_ctrl_alt_del,
};

static uint64_t fd_limit(void)
{
    return process_current() == NULL ? RLIM64_INFINITY : process_limit(RLIMIT_NOFILE);
}

static uint64_t file_size_limit(void)
{
    return process_current() == NULL ? RLIM64_INFINITY : process_limit(RLIMIT_FSIZE);
}

static uint64_t mq_bytes_limit(void)
{
    return process_limit(RLIMIT_MSGQUEUE);
}

void jobctl_init(void)
{
    jobctl = &jobctl_implementation;
    fd_limit_hook = fd_limit;
    file_size_limit_hook = file_size_limit;
    mq_bytes_limit_hook = mq_bytes_limit;
}
