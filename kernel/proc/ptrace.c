/*
 * Who traces whom: attaching, letting go, and what becomes of it at clone, execve and exit (ptrace(2)).
 *
 * The link between two threads changes under the tree lock and the tracee's siglock, so either is enough to rely on it. A tracer that
 * begins to end marks itself (`exiting`) before it looks for tracees to let go. Whoever links one more to another thread looks at that
 * mark afterwards, so none is left behind.
 *
 * Who may not trace what has privileges does not trace an execve that gives them: either it has attached when that is decided
 * (exec_identity_make), and they are not given, or it cannot attach any more. Both are decided under the tree lock, under which execve also
 * changes rights and memory. Attaching does not wait for the execve: that may wait for a thread that the tracer holds.
 */
#include <linux/capability.h>
#include <linux/sched.h>

#include "kernel/machine/debug.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/ptrace_impl.h"

uint32_t syscall_watchers;

struct trace *trace_of(struct thread *thread)
{
    struct trace *trace = atomic_load_acquire(&thread->trace), *present = NULL;

    if (trace != NULL) {
        return trace;
    }
    trace = kzalloc(sizeof(*trace));
    if (trace == NULL) {
        return NULL;
    }
    trace->thread = thread;
    list_init(&trace->link);
    /* Two may want to trace it at once. */
    if (!__atomic_compare_exchange_n(&thread->trace, &present, trace, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        kfree(trace);
        return present;
    }
    return trace;
}

void trace_watch_locked(struct trace *trace, bool on)
{
    if (trace->watched == on) {
        return;
    }
    trace->watched = on;
    if (on) {
        (void)atomic_fetch_add_relaxed(&syscall_watchers, 1);
        thread_set_work(trace->thread, THREAD_WORK_TRACE);
    } else {
        (void)atomic_fetch_sub_relaxed(&syscall_watchers, 1);
        thread_clear_work(trace->thread, THREAD_WORK_TRACE);
    }
}

bool trace_is_reparented_locked(const struct trace *trace)
{
    return trace->tracer->process != trace->process->parent;
}

void trace_link_locked(struct trace *trace, struct thread *tracer, bool seized, uint32_t options)
{
    thread_get(trace->thread);
    trace->process = process_get(trace->thread->process);
    trace->seized = seized;
    trace->options = options;
    trace->privileged = current_has_cap(CAP_SYS_PTRACE); /* of who asks: also the tracee itself */
    trace->trap_stop = trace->trap_notify = trace->trapping = false;
    trace->mode = TRACE_CONT;
    trace->stopped = trace->listening = trace->in_call = trace->has_info = false;
    trace->code = 0;
    trace->message = 0;
    trace->exited = false;
    list_push_back(&tracer->process->tracees, &trace->link);
    atomic_store_release(&trace->tracer, tracer);
}

void trace_unlink_locked(struct trace *trace, int signal, struct trace_refs *ret_refs)
{
    struct thread *thread = trace->thread;
    struct process *process = trace->process;

    *ret_refs = (struct trace_refs){thread, process};
    list_remove(&trace->link);
    list_init(&trace->link);
    atomic_store_release(&trace->tracer, NULL);
    trace->options = 0;
    trace->trap_stop = trace->trap_notify = trace->trapping = trace->listening = false;
    trace_watch_locked(trace, false);
    if (trace->exited || thread->exiting) {
        atomic_store_release(&trace->stopped, false);
        (void)thread_wake_states(thread, BIT(THREAD_TRACED)); /* at PTRACE_EVENT_EXIT */
        return;
    }
    /* Its siblings have stopped: it joins them now. */
    if (process->stopped && !thread_stop_wanted(process, thread)) {
        thread_want_stop_locked(process, thread);
    }
    if (thread_stop_wanted(process, thread)) {
        thread_set_work(thread, THREAD_WORK_SIGNAL);
    }
    trace->mode = TRACE_CONT;
    if (trace->stopped) {
        cpu_step_set(thread, false);
        trace_resume_locked(trace, signal);
    }
}

void trace_resume_locked(struct trace *trace, int signal)
{
    struct thread *thread = trace->thread;

    trace->resume_signal = signal;
    trace->listening = false;
    if (trace->in_call) {
        /* The tracer may have changed registers that only the long way out of a system call restores (entry.S). */
        thread_set_work(thread, THREAD_WORK_SYSEXIT);
    }
    atomic_store_release(&trace->stopped,
                         false); /* pairs with the sleeper's look (ptrace_stop.c) */
    (void)thread_wake_states(thread, BIT(THREAD_TRACED));
}

void trace_release(const struct trace_refs *refs)
{
    process_put(refs->process);
    thread_put(refs->thread);
}

/* ---- asking about it ---- */

int ptrace_tracer_nr(struct thread *thread)
{
    int nr = 0;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    if (thread_is_traced(thread)) {
        nr = thread->trace->tracer->pid->nr;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return nr;
}

bool ptrace_is_stopped(const struct thread *thread)
{
    return thread_is_traced(thread) && atomic_load_relaxed(&thread->trace->stopped);
}

bool ptrace_may_raise_locked(void)
{
    const struct thread *thread = current_thread();

    return !thread_is_traced(thread) || thread->trace->privileged;
}

/* ---- beginning ---- */

struct thread *process_parent_thread_locked(const struct process *process)
{
    struct process *parent = process->parent;
    struct thread *thread, *found = NULL;

    if (parent == NULL) {
        return NULL;
    }
    list_for_each (thread, &parent->threads, process_node) {
        if (thread->exiting) {
            continue;
        }
        if (thread->pid->nr == process->parent_tid) {
            return thread;
        }
        if (found == NULL) {
            found = thread;
        }
    }
    return found;
}

/* capabilities(7), CAP_SYS_PTRACE: who can do less than its child does not come to trace it. Tree lock held. */
static bool traceme_allowed_locked(const struct thread *parent)
{
    const struct cred *mine = cred_current(), *theirs = rcu_dereference(parent->cred);

    if (theirs == NULL) {
        theirs = &cred_init_user;
    }
    return (mine->cap_permitted & ~theirs->cap_permitted) == 0 ||
           cred_has_cap(theirs, CAP_SYS_PTRACE);
}

int ptrace_traceme(void)
{
    struct thread *thread = current_thread();
    struct process *process = thread->process;
    struct trace *trace = trace_of(thread);
    struct trace_refs refs = {NULL, NULL};
    int err = 0;

    if (trace == NULL) {
        return -ENOMEM;
    }
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct thread *parent = process_parent_thread_locked(process);
    if (trace->tracer != NULL || (parent != NULL && !traceme_allowed_locked(parent))) {
        err = -EPERM;
    } else if (parent != NULL) { /* else as if it had gone right after */
        spin_lock(&process->siglock);
        trace_link_locked(trace, parent, false, 0);
        atomic_fence(); /* pairs with ptrace_exit_tracer() */
        if (unlikely(atomic_load_relaxed(&parent->exiting))) {
            trace_unlink_locked(trace, 0, &refs);
        }
        spin_unlock(&process->siglock);
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    trace_release(&refs);
    return err;
}

/*
 * What attaching sets going. With PTRACE_ATTACH a SIGSTOP; and a thread that stands still with its group comes over into a stop of the
 * tracer's, for which the tracer waits. siglock held. True: it is to be waited for.
 */
static bool attach_begin_locked(struct trace *trace)
{
    struct thread *thread = trace->thread;
    siginfo_t info;

    if (!trace->seized) {
        siginfo_kernel(&info, SIGSTOP);
        (void)signal_send_locked(thread->process, thread, &info, true);
    }
    if (!thread->process->stopped || thread_stop_wanted(thread->process, thread)) {
        return false;
    }
    trace->trap_stop = true;
    trace->trapping = true;
    signal_wake_thread_locked(thread);
    (void)thread_wake_states(thread, BIT(THREAD_STOPPED));
    return true;
}

/* An execve since the first look may have given it privileges, or be about to. Tree lock held. */
static bool attach_allowed_locked(const struct thread *thread, struct process *process)
{
    return process_may_attach_locked(process) &&
           (!thread->exec_raises || current_has_cap(CAP_SYS_PTRACE));
}

static int attach_link(struct thread *thread, struct process *process, struct trace *trace,
                       bool seize, uint64_t options, bool *ret_wait)
{
    int err = -EPERM;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    spin_lock(&process->siglock);
    if (trace->tracer == NULL && !thread->exiting && thread->process == process &&
        attach_allowed_locked(thread, process)) {
        trace_link_locked(trace, current_thread(), seize, (uint32_t)options);
        *ret_wait = attach_begin_locked(trace);
        err = 0;
    }
    spin_unlock(&process->siglock);
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return err;
}

int ptrace_attach(int tid, bool seize, uint64_t options)
{
    struct process *me = process_current(), *process;
    struct thread *thread;
    bool wait = false;
    int err = -EPERM;

    process = tid > 0 ? process_find_thread(tid, &thread) : NULL;
    if (process == NULL) {
        return -ESRCH;
    }
    if (process == me || process->kernel_thread || !process_may_attach(process)) {
        goto put;
    }
    struct trace *trace = trace_of(thread);
    err = trace == NULL ? -ENOMEM : attach_link(thread, process, trace, seize, options, &wait);
    if (err == 0 && wait) {
        wait_event(&me->child_wait, !atomic_load_acquire(&trace->trapping));
    }
put:
    thread_put(thread);
    process_put(process);
    return err;
}

/* ---- clone and execve ---- */

int ptrace_clone_event(uint64_t clone_flags, int exit_signal)
{
    const struct thread *thread = current_thread();

    if (likely(!thread_is_traced(thread)) || (clone_flags & CLONE_UNTRACED) != 0) {
        return 0;
    }
    int event = (clone_flags & CLONE_VFORK) != 0 ? PTRACE_EVENT_VFORK
                : exit_signal != SIGCHLD         ? PTRACE_EVENT_CLONE
                                                 : PTRACE_EVENT_FORK;
    return (thread->trace->options >> event & 1) != 0 ? event : 0;
}

int ptrace_clone_prepare(struct thread *child, int event, bool wanted)
{
    if (likely(event == 0 && !wanted) || !thread_is_traced(current_thread())) {
        return 0;
    }
    return trace_of(child) != NULL ? 0 : -ENOMEM;
}

void ptrace_clone_link_locked(struct thread *child)
{
    const struct thread *parent = current_thread();

    if (likely(child->trace == NULL) || !thread_is_traced(parent)) {
        return;
    }
    trace_link_locked(child->trace, parent->trace->tracer, parent->trace->seized,
                      parent->trace->options);
    child->trace->privileged = parent->trace->privileged;
    if (child->trace->seized) {
        child->trace->trap_stop = true;
    } else {
        child->sig_pending.set |= SIGMASK(SIGSTOP);
        child->process->private_signals |= SIGMASK(SIGSTOP);
    }
    (void)__atomic_fetch_or(&child->work, THREAD_WORK_SIGNAL, __ATOMIC_RELAXED);
}

void ptrace_exec_done(int old_tid)
{
    const struct thread *thread = current_thread();
    siginfo_t info;

    if (likely(!thread_is_traced(thread))) {
        return;
    }
    if ((thread->trace->options & PTRACE_O_TRACEEXEC) != 0) {
        ptrace_event(PTRACE_EVENT_EXEC, (uint64_t)old_tid);
    } else if (!thread->trace->seized) {
        siginfo_user(&info, SIGTRAP, SI_USER);
        (void)signal_send_thread(current_thread(), &info);
    }
}

/* ---- ends ---- */

/* Let one tracee go because its tracer ends. *ret_dead: a process that nobody will wait for. Tree lock held. */
static void tracer_gone_locked(struct trace *trace, struct trace_refs *ret_refs,
                               struct process **ret_dead)
{
    struct process *process = trace->process;
    const struct process *me = process_current();
    bool kill = (trace->options & PTRACE_O_EXITKILL) != 0;
    siginfo_t info;

    spin_lock(&process->siglock);
    trace_unlink_locked(trace, 0, ret_refs);
    if (kill && process->state == PROCESS_LIVE) {
        siginfo_kernel(&info, SIGKILL);
        (void)signal_send_locked(process, NULL, &info, true);
    }
    spin_unlock(&process->siglock);
    /* Its parent has not been told of its end yet, if another process has been. */
    if (process->state == PROCESS_ZOMBIE && trace->thread == process->leader &&
        process->parent != me && process_tell_exit_locked(process)) {
        *ret_dead = process;
    }
}

/* True: the current thread traced one, which goes its own way now. */
static bool let_one_go(void)
{
    struct thread *thread = current_thread();
    struct trace_refs refs = {NULL, NULL};
    struct process *dead = NULL;
    struct trace *trace;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    list_for_each (trace, &thread->process->tracees, link) {
        if (trace->tracer == thread) {
            tracer_gone_locked(trace, &refs, &dead);
            break;
        }
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    trace_release(&refs);
    if (dead != NULL) {
        process_release(dead);
    }
    return refs.thread != NULL;
}

void ptrace_exit_tracer(void)
{
    atomic_fence(); /* who links one more sees `exiting` after this, or has linked it before */
    if (likely(list_empty(&process_current()->tracees))) {
        return;
    }
    while (let_one_go()) {
    }
}

void ptrace_exit_note_locked(struct thread *thread, int wait_status)
{
    if (unlikely(thread->trace != NULL)) {
        thread->trace->exit_code = wait_status;
    }
}

void ptrace_exit_tracee_locked(struct thread *thread, uint32_t uid)
{
    struct trace *trace = thread->trace;

    if (likely(trace == NULL)) {
        return;
    }
    spin_lock(&thread->process->siglock);
    trace_watch_locked(trace, false);
    atomic_store_release(&trace->trapping, false);
    spin_unlock(&thread->process->siglock);
    if (trace->tracer == NULL) {
        return;
    }
    if (thread == thread->process->leader) {
        wait_wake_all(&trace->tracer->process->child_wait, 0); /* it may be waited for in attach */
        return;
    }
    trace->exited = true;
    trace->uid = uid;
    int signal = trace->exit_code & 0x7f;
    ptrace_tell_tracer_locked(trace, signal == 0 ? CLD_EXITED : CLD_KILLED,
                              signal != 0 ? signal : trace->exit_code >> 8 & 0xff);
}

void ptrace_forget_leader_locked(struct thread *leader, struct trace_refs *ret_refs)
{
    if (likely(!thread_is_traced(leader))) {
        return;
    }
    struct process *tracer = leader->trace->tracer->process;
    trace_unlink_locked(leader->trace, 0, ret_refs);
    wait_wake_all(&tracer->child_wait, 0); /* it may wait for just this one */
}
