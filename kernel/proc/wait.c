/*
 * wait4(2) and waitid(2): what children have to tell.
 *
 * A parent looks through its children under the tree lock. What it takes (a zombie, or the news of a stop) nobody else can take,
 * because each child has one parent. Zombies are taken out of the tree there and freed after the lock.
 */
#include <linux/wait.h>

#include "kernel/base/string.h"
#include "kernel/core/time.h"
#include "kernel/proc/internal.h"

static bool child_matches(const struct process *me, const struct process *child,
                          const struct wait_request *request)
{
    switch (request->which) {
    case P_PID:
        if (child->pid->nr != request->id) {
            return false;
        }
        break;
    case P_PIDFD:
        if (child->pid != request->pid) {
            return false;
        }
        break;
    case P_PGID:
        if (request->id == 0 ? child->group != me->group : child->group->nr != request->id) {
            return false;
        }
        break;
    default:
        break;
    }
    /* wait(2), "__WCLONE": children with another exit signal than SIGCHLD are waited for only on demand. */
    return (request->options & __WALL) != 0 ||
           (child->exit_signal != SIGCHLD) == ((request->options & __WCLONE) != 0);
}

static void fill_info(struct wait_request *request, const struct process *child, int code,
                      int status)
{
    siginfo_t *info = &request->ret_info;

    memset(info, 0, sizeof(*info));
    info->si_signo = SIGCHLD;
    info->si_code = code;
    info->si_pid = child->pid->nr;
    info->si_uid = child->leader->cred->uid;
    info->si_status = status;
}

/* A zombie: its status and usage; with WNOWAIT it stays. *ret_dead: to release. */
static int64_t take_zombie_locked(struct process *me, struct process *child,
                                  struct wait_request *request, struct process **ret_dead)
{
    int status = child->exit_code, signal = status & 0x7f;

    request->ret_status = status;
    fill_info(request, child,
              signal == 0            ? CLD_EXITED
              : (status & 0x80) != 0 ? CLD_DUMPED
                                     : CLD_KILLED,
              signal == 0 ? (status >> 8) & 0xff : signal);
    if (request->want_usage) {
        process_rusage(child, RUSAGE_BOTH, &request->ret_usage);
    }
    int64_t nr = child->pid->nr;
    if ((request->options & WNOWAIT) == 0) {
        process_add_child_usage_locked(me, child);
        process_unlink_locked(child);
        *ret_dead = child;
    }
    return nr;
}

/* A stop or a continuation that has not been told yet. 0: neither. */
static int64_t take_job_change_locked(struct process *child, struct wait_request *request)
{
    bool keep = (request->options & WNOWAIT) != 0;
    int64_t nr = 0;

    spin_lock(&child->siglock);
    if ((request->options & WSTOPPED) != 0 && child->stopped && !child->stop_reported) {
        child->stop_reported = !keep;
        request->ret_status = child->stop_signal << 8 | 0x7f;
        fill_info(request, child, CLD_STOPPED, child->stop_signal);
        nr = child->pid->nr;
    } else if ((request->options & WCONTINUED) != 0 && child->continued) {
        child->continued = keep;
        request->ret_status = 0xffff;
        fill_info(request, child, CLD_CONTINUED, SIGCONT);
        nr = child->pid->nr;
    }
    spin_unlock(&child->siglock);
    if (nr != 0 && request->want_usage) {
        process_rusage(child, RUSAGE_BOTH, &request->ret_usage);
    }
    return nr;
}

/* One look at all children: a pid, 0: none has news, -ECHILD: none matches. */
static int64_t look(struct process *me, struct wait_request *request, struct process **ret_dead)
{
    struct process *child;
    int64_t result = -ECHILD;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    list_for_each (child, &me->children, sibling) {
        if (!child_matches(me, child, request)) {
            continue;
        }
        result = 0;
        if (child->state == PROCESS_ZOMBIE) {
            if ((request->options & WEXITED) != 0) {
                result = take_zombie_locked(me, child, request, ret_dead);
            }
        } else if ((request->options & (WSTOPPED | WCONTINUED)) != 0) {
            result = take_job_change_locked(child, request);
        }
        if (result > 0) {
            break;
        }
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return result;
}

static int64_t look_and_sleep(struct process *me, struct wait_request *request,
                              struct process **ret_dead)
{
    struct thread *thread = current_thread();
    struct waiter waiter;
    int64_t result;

    waiter_init(&waiter);
    wait_add(&me->child_wait, &waiter);
    thread->waiting_on = &me->child_wait;
    for (;;) {
        thread_prepare_sleep(THREAD_SLEEPING);
        result = look(me, request, ret_dead);
        if (result != 0) {
            break;
        }
        if (thread_signal_pending(thread)) {
            result = -ERESTARTSYS;
            break;
        }
        schedule();
    }
    thread_finish_sleep();
    thread->waiting_on = NULL;
    wait_remove(&me->child_wait, &waiter);
    return result;
}

int64_t process_wait(struct wait_request *request)
{
    struct process *me = process_current(), *dead = NULL;

    int64_t result = look(me, request, &dead);
    if (result == 0 && (request->options & WNOHANG) == 0) {
        result = look_and_sleep(me, request, &dead);
    }
    if (dead != NULL) {
        process_release(dead);
    }
    return result;
}
