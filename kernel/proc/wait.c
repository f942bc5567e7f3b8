/*
 * wait4(2) and waitid(2): what children have to tell.
 *
 * A parent looks through its children under the tree lock. What it takes (a zombie, or the news of a stop) nobody else can take,
 * because each child has one parent. Zombies are taken out of the tree there and freed after the lock.
 */
#include <linux/wait.h>

#include "kernel/base/string.h"
#include "kernel/core/time.h"
#include "kernel/proc/ptrace_impl.h"

/* Is the child traced, and by its own parent; or by another process? */
static bool traced_by_parent(const struct process *child)
{
    return thread_is_traced(child->leader) && !trace_is_reparented_locked(child->leader->trace);
}

static bool traced_by_other(const struct process *child)
{
    return thread_is_traced(child->leader) && trace_is_reparented_locked(child->leader->trace);
}

bool wait_matches_pid(const struct process *me, const struct pid *pid, const struct pid *group,
                      const struct wait_request *request)
{
    switch (request->which) {
    case P_PID:
        return pid->nr == request->id;
    case P_PIDFD:
        return pid == request->pid;
    case P_PGID:
        return request->id == 0 ? group == me->group : group != NULL && group->nr == request->id;
    default:
        return true;
    }
}

static bool child_matches(const struct process *me, const struct process *child,
                          const struct wait_request *request)
{
    if (!wait_matches_pid(me, child->pid, child->group, request) ||
        ((request->options & __WNOTHREAD) != 0 &&
         process_parent_thread_locked(child) != current_thread())) {
        return false;
    }
    /* wait(2), "__WCLONE": children with another exit signal than SIGCHLD are waited for only on demand; tracees always. */
    return (request->options & __WALL) != 0 || traced_by_parent(child) ||
           (child->exit_signal != SIGCHLD) == ((request->options & __WCLONE) != 0);
}

void wait_fill_info(struct wait_request *request, int nr, uint32_t uid, int code, int status)
{
    siginfo_t *info = &request->ret_info;

    memset(info, 0, sizeof(*info));
    info->si_signo = SIGCHLD;
    info->si_code = code;
    info->si_pid = nr;
    info->si_uid = uid;
    info->si_status = status;
}

void wait_fill_exit(struct wait_request *request, int nr, uint32_t uid, int status)
{
    int signal = status & 0x7f;

    request->ret_status = status;
    wait_fill_info(request, nr, uid,
                   signal == 0            ? CLD_EXITED
                   : (status & 0x80) != 0 ? CLD_DUMPED
                                          : CLD_KILLED,
                   signal == 0 ? (status >> 8) & 0xff : signal);
}

static void fill_info(struct wait_request *request, const struct process *child, int code,
                      int status)
{
    wait_fill_info(request, child->pid->nr, child->leader->cred->uid, code, status);
}

/* A zombie: its status and usage; with WNOWAIT it stays. */
static int64_t take_zombie_locked(struct process *me, struct process *child,
                                  struct wait_request *request, struct wait_taken *ret_taken)
{
    wait_fill_exit(request, child->pid->nr, child->leader->cred->uid, child->exit_code);
    if (request->want_usage) {
        process_rusage(child, RUSAGE_BOTH, &request->ret_usage);
    }
    int64_t nr = child->pid->nr;
    if ((request->options & WNOWAIT) == 0) {
        process_add_child_usage_locked(me, child);
        if (unlikely(thread_is_traced(child->leader))) {
            spin_lock(&child->siglock);
            trace_unlink_locked(child->leader->trace, 0, &ret_taken->refs);
            spin_unlock(&child->siglock);
        }
        process_unlink_locked(child);
        ret_taken->dead = child;
    }
    return nr;
}

/* A stop or a continuation that has not been told yet. 0: neither. */
static int64_t take_job_change_locked(struct process *child, struct wait_request *request)
{
    bool keep = (request->options & WNOWAIT) != 0;
    int64_t nr = 0;

    spin_lock(&child->siglock);
    if ((request->options & WSTOPPED) != 0 && !traced_by_parent(child) && child->stopped &&
        child->stop_told && !child->stop_reported) {
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

/* What a child has to tell its parent: its number, or 0. */
static int64_t look_at_child_locked(struct process *me, struct process *child,
                                    struct wait_request *request, struct wait_taken *ret_taken)
{
    int64_t nr = 0;

    if (child->state == PROCESS_ZOMBIE) {
        if ((request->options & WEXITED) == 0 || traced_by_other(child)) {
            return 0;
        }
        return take_zombie_locked(me, child, request, ret_taken);
    }
    /* A parent that traces sees the stops of its tracee, not the group's. */
    if (unlikely(traced_by_parent(child))) {
        nr = ptrace_take_stop_locked(child->leader->trace, request);
    }
    if (nr == 0 && (request->options & (WSTOPPED | WCONTINUED)) != 0) {
        nr = take_job_change_locked(child, request);
    }
    return nr;
}

/* So many children are looked at at a time: interrupts are off. */
#define LOOK_TURN 128u

/*
 * One look at all children and tracees: a pid, 0: none has news, -ECHILD: none matches. Others are let at the tree in between. One that has news
 * meanwhile, and has been looked at, wakes child_wait, as if it came a moment later. When the one that is next goes, because somebody else
 * has waited for it, the look begins anew.
 */
static int64_t look(struct process *me, struct wait_request *request, struct wait_taken *ret_taken)
{
    struct process *child, *held = NULL;
    unsigned turn = 0;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

again:;
    int64_t result = -ECHILD;
    list_for_each (child, &me->children, sibling) {
        if (unlikely(++turn % LOOK_TURN == 0)) {
            (void)process_get(child);
            spin_unlock_irqrestore(&process_tree_lock, flags);
            process_put(held);
            held = child;
            flags = spin_lock_irqsave(&process_tree_lock);
            if (child->parent != me) {
                goto again;
            }
        }
        if (child_matches(me, child, request)) {
            result = look_at_child_locked(me, child, request, ret_taken);
            if (result > 0) {
                break;
            }
        }
    }
    if (result <= 0 && unlikely(!list_empty(&me->tracees))) {
        int64_t tracees = ptrace_look_locked(me, request, ret_taken);
        result = tracees != -ECHILD ? tracees : result;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    process_put(held);
    return result;
}

static int64_t look_and_sleep(struct process *me, struct wait_request *request,
                              struct wait_taken *ret_taken)
{
    struct thread *thread = current_thread();
    struct waiter waiter;
    int64_t result;

    waiter_init(&waiter);
    wait_add(&me->child_wait, &waiter);
    for (;;) {
        thread_prepare_sleep(THREAD_SLEEPING);
        bool signalled =
            thread_signal_pending(thread); /* whoever sent SIGCHLD is found by a look after it */
        result = look(me, request, ret_taken);
        if (result != 0) {
            break;
        }
        if (signalled) {
            result = -ERESTARTSYS;
            break;
        }
        schedule();
    }
    thread_finish_sleep();
    wait_remove(&me->child_wait, &waiter);
    return result;
}

int64_t process_wait(struct wait_request *request)
{
    struct process *me = process_current();
    struct wait_taken taken = {.dead = NULL};

    int64_t result = look(me, request, &taken);
    if (result == 0 && (request->options & WNOHANG) == 0) {
        result = look_and_sleep(me, request, &taken);
    }
    trace_release(&taken.refs);
    if (taken.dead != NULL) {
        process_release(taken.dead);
    }
    return result;
}
