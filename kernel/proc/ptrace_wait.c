/*
 * What tracers learn by wait4(2) and waitid(2): stops of their tracees, and their ends.
 *
 * A traced thread that is not a child of the tracer's process is looked for in the list of tracees; a child that its own parent traces is
 * met among the children (wait.c). A stop is told once. The end of a traced main thread is told when its process has ended, to the
 * tracer first, then to the parent; that of another thread to the tracer alone.
 */
#include <linux/wait.h>

#include "kernel/proc/ptrace_impl.h"

int64_t ptrace_take_stop_locked(struct trace *trace, struct wait_request *request)
{
    struct process *process = trace->process;
    int64_t nr = 0;

    /* Who traces wants to know of stops, whether it says so (WUNTRACED) or not. */
    spin_lock(&process->siglock);
    int code = trace->code;
    if (trace->stopped && !trace->listening && code != 0) {
        nr = trace->thread->pid->nr;
        if ((request->options & WNOWAIT) == 0) {
            trace->code = 0;
        }
    }
    spin_unlock(&process->siglock);
    if (nr != 0) {
        request->ret_status = code << 8 | 0x7f;
        wait_fill_info(request, (int)nr, trace->thread->cred->uid, CLD_TRAPPED, code);
        if (request->want_usage) {
            process_rusage(process, RUSAGE_BOTH, &request->ret_usage);
        }
    }
    return nr;
}

/* The tracer has heard of the end; it does not trace any more. Tree lock held. */
static void forget_ended_locked(struct trace *trace, struct wait_taken *ret_taken)
{
    struct process *process = trace->process;

    spin_lock(&process->siglock);
    trace_unlink_locked(trace, 0, &ret_taken->refs);
    spin_unlock(&process->siglock);
}

static int64_t take_thread_locked(struct trace *trace, struct wait_request *request,
                                  struct wait_taken *ret_taken)
{
    int nr = trace->thread->pid->nr;

    wait_fill_exit(request, nr, trace->uid, trace->exit_code);
    if (request->want_usage) {
        process_rusage(trace->process, RUSAGE_BOTH, &request->ret_usage);
    }
    if ((request->options & WNOWAIT) == 0) {
        forget_ended_locked(trace, ret_taken);
    }
    return nr;
}

/* A zombie of another parent: it is that one's afterwards. */
static int64_t take_process_locked(struct trace *trace, struct wait_request *request,
                                   struct wait_taken *ret_taken)
{
    struct process *process = trace->process;
    int nr = process->pid->nr;

    wait_fill_exit(request, nr, process->leader->cred->uid, process->exit_code);
    if (request->want_usage) {
        process_rusage(process, RUSAGE_BOTH, &request->ret_usage);
    }
    if ((request->options & WNOWAIT) == 0) {
        forget_ended_locked(trace, ret_taken);
        if (process_tell_exit_locked(process)) {
            ret_taken->dead = process;
        }
    }
    return nr;
}

static int64_t look_at_tracee_locked(struct trace *trace, struct wait_request *request,
                                     struct wait_taken *ret_taken)
{
    bool leader = trace->thread == trace->process->leader;

    if (trace->exited) {
        return (request->options & WEXITED) != 0 ? take_thread_locked(trace, request, ret_taken)
                                                 : 0;
    }
    if (leader && trace->process->state == PROCESS_ZOMBIE) {
        return (request->options & WEXITED) != 0 ? take_process_locked(trace, request, ret_taken)
                                                 : 0;
    }
    return ptrace_take_stop_locked(trace, request);
}

int64_t ptrace_look_locked(struct process *me, struct wait_request *request,
                           struct wait_taken *ret_taken)
{
    struct trace *trace;
    int64_t result = -ECHILD;

    list_for_each (trace, &me->tracees, link) {
        bool child = trace->thread == trace->process->leader && trace->process->parent == me;
        if (child || !wait_matches_pid(me, trace->thread->pid, trace->process->group, request) ||
            ((request->options & __WNOTHREAD) != 0 && trace->tracer != current_thread())) {
            continue;
        }
        result = look_at_tracee_locked(trace, request, ret_taken);
        if (result > 0) {
            break;
        }
    }
    return result;
}
