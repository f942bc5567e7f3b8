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
 * A signal for many goes out in turns, lest the tree lock is held for long, and yet as if at once. Each process has the number of the last such signal
 * that it was told of, and its children have that from it: they get the signal with it while they are made (signal_tell_forks_locked()), or are
 * born after it came. Who has been told goes to the end of the list, and a child stands before its maker; so who has yet to be told is in front.
 */
#define MANY_TURN 8u

static struct mutex many_lock = MUTEX_INIT(many_lock); /* one signal for many at a time */
static uint64_t many_last;                             /* [many_lock] */

struct many {
    const siginfo_t *info;
    uint64_t number;
    struct pid *group; /* NULL: everybody but process 1 and the sender */
    bool by_kernel;    /* which is no process, and asks nobody whether it may */
    int result;        /* 0 when one got it, else what became of the last one */
};

static void tell_locked(struct many *many, struct process *process)
{
    int signo = many->info->si_signo, err = 0;

    if (!is_signal(signo)) {
        err = -EINVAL;
    } else if (!many->by_kernel && !may_send_locked(process, signo)) {
        err = -EPERM;
    } else if (signo != 0) {
        err = signal_send_member(process, many->info);
    }
    many->result = many->result != 0 ? err : 0;
}

static struct list_node *node_of(const struct many *many, struct process *process)
{
    return many->group == NULL ? &process->all_node : &process->group_node;
}

static struct list_node *list_of(const struct many *many)
{
    return many->group == NULL ? &process_all : &many->group->group_members;
}

static void note_locked(const struct many *many, struct process *process)
{
    process->many = many->number;
    list_remove(node_of(many, process));
    list_push_back(list_of(many), node_of(many, process));
}

/* False: all have been told. */
static bool tell_next_locked(struct many *many)
{
    struct list_node *node = list_of(many)->next;

    if (node == list_of(many)) {
        return false;
    }
    struct process *process = many->group == NULL ? list_entry(node, struct process, all_node)
                                                  : list_entry(node, struct process, group_node);
    if (process->many == many->number) {
        return false;
    }
    note_locked(many, process);
    tell_locked(many, process);
    return true;
}

static int kill_many(struct pid *group, const siginfo_t *info, bool by_kernel)
{
    struct many many = {.info = info, .group = group, .by_kernel = by_kernel, .result = -ESRCH};
    bool more = true;

    mutex_lock(&many_lock);
    many.number = ++many_last;
    for (bool first = true; more; first = false) {
        uint64_t flags = spin_lock_irqsave(&process_tree_lock);
        if (first && group == NULL) { /* as if they had been told */
            note_locked(&many, process_init_task);
            if (!by_kernel) {
                note_locked(&many, process_current());
            }
        }
        for (unsigned n = 0; more && n < MANY_TURN; n++) {
            more = tell_next_locked(&many);
        }
        spin_unlock_irqrestore(&process_tree_lock, flags);
    }
    mutex_unlock(&many_lock);
    return many.result;
}

/* All at once, without a turn of one's own, if they are few. */
static bool kill_few(struct pid *group, const siginfo_t *info, int *ret_result)
{
    struct many many = {.info = info, .group = group, .result = -ESRCH};
    struct process *member;
    unsigned n = 0;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    list_for_each (member, &group->group_members, group_node) {
        if (++n > MANY_TURN) {
            break;
        }
    }
    if (n <= MANY_TURN) {
        list_for_each (member, &group->group_members, group_node) {
            tell_locked(&many, member);
        }
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    *ret_result = many.result;
    return n <= MANY_TURN;
}

static int kill_group(int nr, const siginfo_t *info)
{
    struct pid *group = pid_find(nr);
    int result;

    if (group == NULL) {
        return -ESRCH;
    }
    if (!kill_few(group, info, &result)) {
        result = kill_many(group, info, false);
    }
    pid_put(group);
    return result;
}

/* Those that may not be signalled are not meant. Kernel threads, which ignore it, are always among them. */
static int kill_all(const siginfo_t *info)
{
    if (!is_signal(info->si_signo)) {
        return -EINVAL;
    }
    (void)kill_many(NULL, info, false);
    return 0;
}

void signal_kill_all(int signo)
{
    siginfo_t info;

    siginfo_kernel(&info, signo);
    (void)kill_many(NULL, &info, true);
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
