/*
 * kill(2) and its relatives: who may signal whom.
 */
#include <linux/capability.h>

#include "kernel/proc/internal.h"

/* kill(2), "Notes": the sender's real or effective user is the target's real or saved one, or SIGCONT within the session. */
bool signal_may_send(struct process *target, int signo)
{
    const struct cred *mine = cred_current();

    if (target == process_current()) {
        return true;
    }
    struct cred *theirs = process_cred_get(target);
    bool allowed = mine->euid == theirs->suid || mine->euid == theirs->uid ||
                   mine->uid == theirs->suid || mine->uid == theirs->uid ||
                   cred_has_cap(mine, CAP_KILL) ||
                   (signo == SIGCONT && process_current()->session == target->session);
    cred_put(theirs);
    return allowed;
}

/* Whether there is such a signal is asked when somebody was found to have it. */
static int check_send(struct process *target, int signo)
{
    if (signo < 0 || signo > SIGNAL_COUNT) {
        return -EINVAL;
    }
    return signal_may_send(target, signo) ? 0 : -EPERM;
}

static int kill_process(struct process *target, const siginfo_t *info)
{
    int err = check_send(target, info->si_signo);

    return err < 0 || info->si_signo == 0 ? err : signal_send_process(target, info);
}

/*
 * Signal all processes for which `wanted` says so: 0 when one got it, else -EPERM when one was refused, else -ESRCH. The walk goes by
 * number, so that no lock is held while permission is judged.
 */
static int kill_matching(bool (*wanted)(struct process *, int), int arg, const siginfo_t *info)
{
    int result = -ESRCH;

    for (struct process *process = process_next(1); process != NULL;) {
        int next = process->pid->nr + 1;
        if (wanted(process, arg)) {
            int err = kill_process(process, info);
            if (result != 0) {
                result = err;
            }
        }
        process_put(process);
        process = process_next(next);
    }
    return result;
}

static bool in_group(struct process *process, int nr)
{
    return process_getpgid(process->pid->nr) == nr;
}

/* kill(-1): everybody but process 1 and the sender. */
static bool is_other(struct process *process, int unused)
{
    (void)unused;
    return process->pid->nr > 1 && process != process_current();
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
    if (pid == -1) {
        int err = kill_matching(is_other, 0, info);
        return err == -EPERM ? 0 : err; /* those that may not be signalled are not meant */
    }
    return kill_matching(in_group, pid == 0 ? process_getpgid(0) : -pid, info);
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
