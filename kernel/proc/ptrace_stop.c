/*
 * Stops of traced threads: at signals, with their group, at system calls and at events (ptrace(2), "Stopped states").
 *
 * A thread stops itself. Under its siglock it writes down what the stop is about and says that it is stopped, then it tells the tracer and
 * sleeps, with preemption off in between so that a tracer on the same CPU finds it asleep. It goes on when the tracer says so, when it is
 * let go, or when SIGKILL comes. A thread that listens (PTRACE_LISTEN) also looks at what happens to its group, and stops again for it.
 *
 * A group stop is not a state of its own here: the signal makes each thread take part (deliver.c), a traced one by a stop for its tracer.
 */
#include <asm/siginfo.h>
#include <linux/wait.h>

#include "kernel/base/string.h"
#include "kernel/machine/debug.h"
#include "kernel/machine/preempt.h"
#include "kernel/proc/ptrace_impl.h"

struct stop {
    int code; /* signal and event << 8 */
    int why;  /* CLD_* */
    uint64_t message;
    const siginfo_t *info; /* NULL: none to be had */
    bool in_call;
    int pass; /* what becomes of it when there is nobody to stop for: the signal itself */
};

/* ---- telling ---- */

void ptrace_tell_tracer_locked(struct trace *trace, int why, int status)
{
    struct process *process = trace->tracer->process;
    siginfo_t info;
    struct usage usage;

    thread_usage(trace->thread, &usage);
    memset(&info, 0, sizeof(info));
    info.si_signo = SIGCHLD;
    info.si_code = why;
    info.si_pid = trace->thread->pid->nr;
    info.si_uid = trace->exited ? trace->uid : trace->thread->cred->uid;
    info.si_status = status;
    info.si_utime = usage.user_ns / (NS_PER_S / 100); /* in USER_HZ (sigaction(2)) */
    info.si_stime = usage.system_ns / (NS_PER_S / 100);
    process_send_sigchld_locked(process, &info);
}

/* The thread has stopped; `group_done` as the last of its group. */
static void tell_stop(struct process *process, struct trace *trace, const struct stop *stop,
                      bool group_done)
{
    bool reparented = true;
    struct usage usage;

    if (group_done) {
        process_usage(process, &usage);
    }
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    if (trace->tracer != NULL) {
        reparented = trace_is_reparented_locked(trace);
        ptrace_tell_tracer_locked(trace, stop->why, stop->code & 0x7f);
    }
    if (group_done && reparented) {
        process_tell_parent_locked(process, CLD_STOPPED, process->stop_signal, &usage);
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
}

/* ---- stopping ---- */

static bool killed(const struct process *process, const struct thread *thread)
{
    return ((atomic_load_relaxed(&thread->sig_pending.set) |
             atomic_load_relaxed(&process->shared.set)) &
            SIGMASK(SIGKILL)) != 0;
}

static bool stop_is_over(const struct process *process, const struct thread *thread)
{
    const struct trace *trace = thread->trace;

    return !atomic_load_acquire(&trace->stopped) || killed(process, thread) ||
           (atomic_load_relaxed(&trace->listening) &&
            (atomic_load_relaxed(&trace->trap_stop) || atomic_load_relaxed(&trace->trap_notify)));
}

static void stop_begin_locked(struct trace *trace, const struct stop *stop)
{
    trace->code = stop->code;
    trace->message = stop->message;
    trace->in_call = stop->in_call;
    trace->has_info = stop->info != NULL;
    if (stop->info != NULL && stop->info != &trace->info) {
        trace->info = *stop->info;
    }
    trace->resume_signal = 0;
    trace->trap_stop = false; /* this stop will do for it */
    if (stop->code >> 8 == PTRACE_EVENT_STOP) {
        trace->trap_notify = false;
    }
    trace->trapping = false;
    trace->listening = false;
    atomic_store_release(&trace->stopped, true);
}

/*
 * The signal to go on with. Nobody traces the thread (any more), or it is being killed: the one that the stop was for. siglock held, let go
 * meanwhile.
 */
static int stop_locked(struct process *process, struct thread *thread, const struct stop *stop,
                       uint64_t *flags)
{
    struct trace *trace = thread->trace;

    if (!thread_is_traced(thread) || killed(process, thread)) {
        return stop->pass;
    }
    stop_begin_locked(trace, stop);
    bool group_done = stop->why == CLD_STOPPED && stop_take_part_locked(process, thread);
    preempt_disable();
    thread_prepare_sleep(THREAD_TRACED);
    spin_unlock_irqrestore(&process->siglock, *flags);
    tell_stop(process, trace, stop, group_done);
    preempt_enable_no_resched();
    while (!stop_is_over(process, thread)) {
        schedule();
        thread_prepare_sleep(THREAD_TRACED);
    }
    thread_finish_sleep();
    *flags = spin_lock_irqsave(&process->siglock);
    trace->code = 0;
    trace->has_info = false;
    atomic_store_relaxed(&trace->stopped, false);
    trace->listening = false;
    int signal = trace->resume_signal;
    trace->resume_signal = 0;
    signal_recalc_locked(thread);
    return signal;
}

/* A stop at an event, which has its code for information. */
static int stop_notify_locked(struct process *process, struct thread *thread, int code, int why,
                              uint64_t message, bool in_call, uint64_t *flags)
{
    siginfo_t info;

    siginfo_user(&info, code & 0x7f, code);
    info.si_pid = thread->pid->nr;
    const struct stop stop = {
        .code = code, .why = why, .message = message, .info = &info, .in_call = in_call};
    return stop_locked(process, thread, &stop, flags);
}

static int stop_notify(int code, uint64_t message, bool in_call)
{
    struct thread *thread = current_thread();
    struct process *process = thread->process;
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    int signal = stop_notify_locked(process, thread, code, CLD_TRAPPED, message, in_call, &flags);

    spin_unlock_irqrestore(&process->siglock, flags);
    return signal;
}

/* ---- groups and interruptions ---- */

void ptrace_trap_locked(struct process *process, struct thread *thread, uint64_t *flags)
{
    int signo = process->stopped ? process->stop_signal : SIGTRAP;

    if (killed(process, thread)) {
        thread->trace->trap_stop = thread->trace->trap_notify = false;
        (void)stop_take_part_locked(process, thread);
        return;
    }
    if (thread->trace->seized) {
        (void)stop_notify_locked(process, thread, signo | PTRACE_EVENT_STOP << 8, CLD_STOPPED, 0,
                                 false, flags);
    } else {
        const struct stop stop = {.code = signo, .why = CLD_STOPPED};
        (void)stop_locked(process, thread, &stop, flags);
    }
}

static void trap_wake_locked(struct trace *trace)
{
    signal_wake_thread_locked(trace->thread);
    if (trace->listening) {
        (void)thread_wake_states(trace->thread, BIT(THREAD_TRACED));
    }
}

void ptrace_trap_notify_locked(struct thread *thread)
{
    if (unlikely(thread_is_traced(thread)) && thread->trace->seized && !thread->exiting) {
        thread->trace->trap_notify = true;
        trap_wake_locked(thread->trace);
    }
}

void ptrace_interrupt_locked(struct trace *trace)
{
    if (!trace->thread->exiting) {
        trace->trap_stop = true;
        trap_wake_locked(trace);
    }
}

/* ---- signals ---- */

/* The tracer lets another signal in than the one that came: from itself. */
static void info_of_other_signal(struct trace *trace, int signo)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    const struct thread *tracer = trace->tracer;
    int pid = tracer != NULL ? tracer->process->pid->nr : 0;
    uint32_t uid = tracer != NULL ? tracer->cred->uid : 0;

    spin_unlock_irqrestore(&process_tree_lock, flags);
    memset(&trace->info, 0, sizeof(trace->info));
    trace->info.si_signo = signo;
    trace->info.si_code = SI_USER;
    trace->info.si_pid = pid;
    trace->info.si_uid = uid;
}

int ptrace_signal_locked(struct process *process, struct thread *thread, int signo,
                         struct signal_queued *queued, bool shared, uint64_t *flags)
{
    struct trace *trace = thread->trace;

    if (queued != NULL) {
        trace->info = queued->info;
    } else {
        signal_take_info(signo, NULL, &trace->info);
    }
    process->stop_dequeued = true; /* the tracer may make it a stop signal */
    const struct stop stop = {
        .code = signo, .why = CLD_TRAPPED, .info = &trace->info, .pass = signo};
    signo = stop_locked(process, thread, &stop, flags);
    if (signo == 0) {
        return 0;
    }
    if (signo != trace->info.si_signo) {
        spin_unlock_irqrestore(&process->siglock, *flags);
        info_of_other_signal(trace, signo);
        *flags = spin_lock_irqsave(&process->siglock);
    }
    if ((thread->sig_blocked & SIGMASK(signo)) != 0 || killed(process, thread)) {
        (void)signal_send_locked(process, shared ? NULL : thread, &trace->info, false);
        return 0;
    }
    return signo;
}

void ptrace_handler_stepped(struct thread *thread)
{
    if (thread_is_traced(thread)) {
        (void)stop_notify(SIGTRAP, 0, false);
    }
}

/* ---- events and system calls ---- */

void ptrace_event(int event, uint64_t message)
{
    const struct thread *thread = current_thread();

    if (unlikely(thread_is_traced(thread)) && (thread->trace->options >> event & 1) != 0) {
        (void)stop_notify(event << 8 | SIGTRAP, message, event != PTRACE_EVENT_EXIT);
    }
}

/* A signal that the tracer wants here comes as if it had sent it. */
static void stop_at_call(uint64_t message)
{
    struct thread *thread = current_thread();
    int good = (thread->trace->options & PTRACE_O_TRACESYSGOOD) != 0 ? 0x80 : 0;
    int signo = stop_notify(SIGTRAP | good, message, message == PTRACE_EVENTMSG_SYSCALL_ENTRY);
    siginfo_t info;

    if (signo != 0) {
        siginfo_kernel(&info, signo);
        (void)signal_send_thread(thread, &info);
    }
}

bool ptrace_syscall_enter(struct trapframe *frame)
{
    struct thread *thread = current_thread();

    if (!thread_is_traced(thread)) {
        return true;
    }
    enum trace_mode mode = thread->trace->mode;
    thread_set_work(thread, THREAD_WORK_SYSEXIT);
    if (mode != TRACE_STEP) {
        stop_at_call(PTRACE_EVENTMSG_SYSCALL_ENTRY);
    }
    return mode != TRACE_SYSEMU && mode != TRACE_SYSEMU_STEP && !killed(thread->process, thread) &&
           trapframe_syscall_nr(frame) != -1;
}

void ptrace_syscall_leave(struct trapframe *frame)
{
    struct thread *thread = current_thread();
    siginfo_t info;

    thread_clear_work(thread, THREAD_WORK_SYSEXIT);
    if (!thread_is_traced(thread)) {
        return;
    }
    if (thread->trace->mode == TRACE_SYSCALL) {
        stop_at_call(PTRACE_EVENTMSG_SYSCALL_EXIT);
    } else if (thread->trace->mode == TRACE_STEP) {
        siginfo_kernel(&info, SIGTRAP);
        info.si_code = TRAP_BRKPT;
        info.si_addr = (void __user *)trapframe_pc(frame);
        signal_force(&info);
    }
}
