/*
 * kill(2) and its relatives: who may signal whom.
 */
#include <linux/capability.h>

#include "kernel/proc/internal.h"

/* kill(2), "Notes": the sender's real or effective user is the target's real or saved one, or SIGCONT within the session. */
static bool may_send_locked(const struct process *target, int signo)
{
    const struct cred *mine = cred_current();

    if (target == process_current()) {
        return true;
    }
    struct cred *theirs = thread_cred_get_locked(target->leader);
    bool allowed = cred_has_cap(mine, CAP_KILL) ||
                   (signo == SIGCONT && process_current()->session == target->session) ||
                   (theirs != NULL && (mine->euid == theirs->suid || mine->euid == theirs->uid ||
                                       mine->uid == theirs->suid || mine->uid == theirs->uid));
    cred_put(theirs);
    return allowed;
}

bool signal_may_send(struct process *target, int signo)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    bool allowed = may_send_locked(target, signo);

    spin_unlock_irqrestore(&process_tree_lock, flags);
    return allowed;
}

static bool is_signal(int signo)
{
    return signo >= 0 && signo <= SIGNAL_COUNT;
}

/* Whether there is such a signal is asked when somebody was found to have it. */
static int check_send(struct process *target, int signo)
{
    return !is_signal(signo) ? -EINVAL : signal_may_send(target, signo) ? 0 : -EPERM;
}

static int kill_process(struct process *target, const siginfo_t *info)
{
    int err = check_send(target, info->si_signo);

    return err < 0 || info->si_signo == 0 ? err : signal_send_process(target, info);
}

/* ---- many ---- */

/*
 * All of them get it under one hold of the tree lock: so each child is among them, as itself or as one that is being made (signal_send_member()).
 */
static int kill_member_locked(struct process *member, const siginfo_t *info)
{
    if (!is_signal(info->si_signo)) {
        return -EINVAL;
    }
    if (!may_send_locked(member, info->si_signo)) {
        return -EPERM;
    }
    return info->si_signo == 0 ? 0 : signal_send_member(member, info);
}

/* 0 when one got it, else what became of the last one. */
static int kill_group(int nr, const siginfo_t *info)
{
    struct pid *group = pid_find(nr);
    struct process *member;
    int result = -ESRCH;

    if (group == NULL) {
        return -ESRCH;
    }
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    list_for_each (member, &group->group_members, group_node) {
        int err = kill_member_locked(member, info);
        if (result != 0) {
            result = err;
        }
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    pid_put(group);
    return result;
}

/* Everybody but process 1 and the sender; those that may not be signalled are not meant. Kernel threads, which ignore it, are always among them. */
static int kill_all(const siginfo_t *info)
{
    struct process *process = process_init_task;

    if (!is_signal(info->si_signo)) {
        return -EINVAL;
    }
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    while ((process = process_next_below_init_locked(process)) != NULL) {
        if (process != process_current()) {
            (void)kill_member_locked(process, info);
        }
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return 0;
}

int signal_kill(int pid, const siginfo_t *info)
{
    if (pid > 0) {
        struct process *me = process_current();
        if (pid == me->pid->nr) {
            return kill_process(me, info);
        }
        struct thread *thread;
        struct process *target = process_find_thread(pid, &thread);
        if (target == NULL) {
            return -ESRCH;
        }
        int err = kill_process(target, info);
        thread_put(thread);
        process_put(target);
        return err;
    }
    if (pid == INT32_MIN) {
        return -ESRCH;
    }
    return pid == -1 ? kill_all(info) : kill_group(pid == 0 ? process_getpgid(0) : -pid, info);
}

int signal_tgkill(int tgid, int tid, const siginfo_t *info)
{
    struct thread *thread;
    struct process *target = process_find_thread(tid, &thread);
    int err = -ESRCH;

    if (target == NULL) {
        return -ESRCH;
    }
    if (tgid == 0 || tgid == target->pid->nr) {
        err = check_send(target, info->si_signo);
        if (err == 0 && info->si_signo != 0) {
            uint64_t flags = spin_lock_irqsave(&target->siglock);
            err = signal_send_locked(target, thread, info, false);
            spin_unlock_irqrestore(&target->siglock, flags);
        }
    }
    thread_put(thread);
    process_put(target);
    return err;
}
