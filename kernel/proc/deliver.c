/*
 * The way back to user mode: delivering signals, acting on their defaults, stopping, and restarting interrupted system calls.
 *
 * Interface: machine_user_return (called by the machine while work flags are set), machine_user_exception.
 *
 * A system call that a signal interrupts returns one of the ERESTART numbers, which never reach user space: if no handler runs the
 * call is made again; if one runs, the number and SA_RESTART decide between that and -EINTR (signal(7), "Interruption of system
 * calls").
 */
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/debug.h"
#include "kernel/machine/preempt.h"
#include "kernel/machine/user.h"
#include "kernel/proc/coredump.h"
#include "kernel/proc/ptrace_impl.h"
#include "kernel/proc/rseq.h"
#include "kernel/vm/reclaim.h"

/* The bits that this file deals with; the others are the machine's. */
#define WORK_HERE                                                                                  \
    (THREAD_WORK_RESCHED | THREAD_WORK_SIGNAL | THREAD_WORK_STOP | THREAD_WORK_NOTIFY |            \
     THREAD_WORK_SIGMASK | THREAD_WORK_RSEQ | THREAD_WORK_RECLAIM | THREAD_WORK_SYSEXIT)

/* ---- stopping ---- */

void thread_want_stop_locked(struct process *process, struct thread *thread)
{
    atomic_store_relaxed(&thread->stop_number, process->stop_number);
    process->stop_left++;
}

void stop_let_off_locked(struct process *process)
{
    uint32_t next = process->stop_number + 1;

    atomic_store_relaxed(&process->stop_number, next != 0 ? next : 1);
    process->stop_left = 0;
}

/*
 * A thread has taken a stop signal: all others are to be called to stop as well. With tracers about, some may be running in a group that has
 * stopped. siglock held.
 */
static void stop_begin_locked(struct process *process, struct thread *thread, int signo)
{
    process->stop_dequeued = false;
    process->stop_signal = signo;
    if (!process->stopped) {
        process->stop_told = false;
        process->stop_reported = false;
        process->continued = false;
        process->stopped = true;
    }
    if (!thread_stop_wanted(process, thread)) {
        thread_want_stop_locked(process, thread);
    }
    if (process->nthreads > 1) {
        call_begin_locked(process, CALL_STOP);
    }
}

bool stop_take_part_locked(struct process *process, struct thread *thread)
{
    if (!thread_stop_wanted(process, thread)) {
        return false;
    }
    atomic_store_relaxed(&thread->stop_number, 0);
    if (--process->stop_left > 0 || process->stop_told) {
        return false;
    }
    process->stop_told = true;
    return true;
}

void stop_tell_parent(struct process *process, const struct usage *usage)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    process_tell_parent_locked(process, CLD_STOPPED, process->stop_signal, usage);
    spin_unlock_irqrestore(&process_tree_lock, flags);
}

/* Out of the stop, to be killed, already called to the next one, or to the tracer. */
static bool stop_is_over(const struct process *process, const struct thread *thread)
{
    return !atomic_load_acquire(&process->stopped) ||
           (atomic_load_relaxed(&thread->sig_pending.set) & SIGMASK(SIGKILL)) != 0 ||
           thread_stop_wanted(process, thread) || trace_trap_pending(thread);
}

/*
 * The thread seems to be out of it. Under the siglock, as who calls all to the next stop passes by whoever still looks stopped. False: that has been
 * done, and it stands still for that one.
 */
static bool stop_leave(struct process *process, struct thread *thread)
{
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    bool over = stop_is_over(process, thread);

    if (likely(over)) {
        thread_finish_sleep();
    }
    spin_unlock_irqrestore(&process->siglock, flags);
    return over;
}

/*
 * Stop until SIGCONT or SIGKILL. Called with the siglock held (`flags`), returns without it. The parent hears of the stop when the last
 * thread comes here, and of the going on from whoever leaves first. What it hears is true: a thread is seen to be stopped before it counts,
 * and preemption is off until it sleeps, so that the parent on the same CPU finds it asleep. What all
 * have used, which it hears as well, is added up before that.
 */
static void stop_here(struct process *process, struct thread *thread, uint64_t flags)
{
    struct usage usage = {0};

    if (process->stop_left == 1 && thread_stop_wanted(process, thread)) {
        spin_unlock_irqrestore(&process->siglock, flags);
        process_usage(process, &usage);
        flags = spin_lock_irqsave(&process->siglock);
        if (!thread_stop_wanted(process, thread)) {
            spin_unlock_irqrestore(&process->siglock, flags);
            return;
        }
    }
    preempt_disable();
    thread_prepare_sleep(THREAD_STOPPED);
    bool last = stop_take_part_locked(process, thread);
    spin_unlock_irqrestore(&process->siglock, flags);
    if (last) {
        stop_tell_parent(process, &usage);
    }
    preempt_enable_no_resched();
    while (!stop_is_over(process, thread) || !stop_leave(process, thread)) {
        schedule();
        thread_prepare_sleep(THREAD_STOPPED);
    }
}

/* After a stop, or when SIGCONT came before the stop was entered. */
static void tell_continued(struct process *process)
{
    if (likely(!atomic_load_relaxed(&process->continue_untold))) {
        return;
    }
    struct usage usage;
    process_usage(process, &usage);
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    spin_lock(&process->siglock);
    bool tell = process->continue_untold;
    process->continue_untold = false;
    spin_unlock(&process->siglock);
    if (tell) {
        process_tell_parent_locked(process, CLD_CONTINUED, SIGCONT, &usage);
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
}

/*
 * SIGTSTP, SIGTTIN and SIGTTOU do not stop an orphaned group (POSIX.1-2017, 2.4.3). The tree lock comes before the siglock, so
 * that must be let go; a SIGCONT that comes meanwhile has taken the stop back. siglock held, returns without it.
 */
static void act_stop(struct process *process, struct thread *thread, int signo, uint64_t flags)
{
    if (!thread_is_traced(thread)) {
        process->stop_dequeued = true; /* else the tracer has been asked since then */
    }
    if (signo != SIGSTOP) {
        spin_unlock_irqrestore(&process->siglock, flags);
        flags = spin_lock_irqsave(&process_tree_lock);
        bool orphaned = group_is_orphaned_locked(process->group, NULL);
        spin_unlock_irqrestore(&process_tree_lock, flags);
        flags = spin_lock_irqsave(&process->siglock);
        if (orphaned) {
            process->stop_dequeued = false;
        }
    }
    if (process->exec_thread != NULL && process->exec_thread != thread) {
        process->shared.set |= SIGMASK(signo); /* for the one that is left */
        process->stop_dequeued = false;
    }
    if (!process->stop_dequeued || process->group_exiting) {
        spin_unlock_irqrestore(&process->siglock, flags);
        return;
    }
    stop_begin_locked(process, thread, signo);
    if (process->call == CALL_STOP) {
        spin_unlock_irqrestore(&process->siglock, flags);
        call_finish(process, CALL_STOP);
        flags = spin_lock_irqsave(&process->siglock);
    }
    if (thread_is_traced(thread) || !thread_stop_wanted(process, thread)) {
        spin_unlock_irqrestore(&process->siglock, flags); /* obey_group() */
        return;
    }
    stop_here(process, thread, flags);
}

/*
 * A signal that leaves no core is the end of all threads before the siglock under which it was taken is let go: no sibling gets away from it by fork or
 * by execve. `queued` is its entry, `seen` what a tracer has made of it, or NULL. siglock held.
 */
static void __noreturn act_fatal(struct process *process, int signo, struct signal_queued *queued,
                                 const siginfo_t *seen, uint64_t flags)
{
    bool core = (SIGMASK(signo) & SIGMASK_CORE) != 0;
    bool call = !core && group_exit_locked(process, signo);
    siginfo_t info;

    spin_unlock_irqrestore(&process->siglock, flags);
    if (call) {
        call_finish(process, CALL_END);
    }
    signal_take_info(signo, queued, &info);
    core = core && coredump_process(seen != NULL ? seen : &info);
    process_exit_group(signo | (core ? 0x80 : 0));
}

/* ---- choosing ---- */

struct chosen {
    int signo; /* 0: none has a handler */
    struct signal_queued *queued;
    const siginfo_t *info; /* as the tracer has let it through; NULL: the entry's */
    struct signal_action action;
};

/* What siblings or the whole process ask of the thread before any signal. True: time has passed; siglock was let go. */
static bool obey_group(struct process *process, struct thread *thread, uint64_t flags)
{
    if (unlikely(process->group_exiting ||
                 (process->exec_thread != NULL && process->exec_thread != thread))) {
        thread->sig_pending.set &= ~SIGMASK(SIGKILL); /* it has done its work */
        spin_unlock_irqrestore(&process->siglock, flags);
        process_exit(0);
    }
    bool stop = thread_stop_wanted(process, thread);
    if (unlikely(thread_is_traced(thread)) && (stop || trace_trap_pending(thread))) {
        ptrace_trap_locked(process, thread, &flags);
        spin_unlock_irqrestore(&process->siglock, flags);
        return true;
    }
    if (unlikely(stop)) {
        stop_here(process, thread, flags);
        return true;
    }
    return false;
}

/* Act on default actions until a signal with a handler turns up, or nothing is left. */
static void signal_choose(struct process *process, struct thread *thread, struct chosen *ret)
{
    for (;;) {
        tell_continued(process);
        uint64_t flags = spin_lock_irqsave(&process->siglock);
        if (unlikely(process->call == CALL_GO_ON)) {
            call_turn_locked(process);
        }
        if (obey_group(process, thread, flags)) {
            continue;
        }
        struct signal_queued *queued = NULL;
        const siginfo_t *info = NULL;
        bool shared = (thread->sig_pending.set & ~thread->sig_blocked) == 0;
        int signo = signal_dequeue_locked(process, thread, thread->sig_blocked, &queued);
        if (signo == 0) {
            signal_recalc_locked(thread);
            spin_unlock_irqrestore(&process->siglock, flags);
            ret->signo = 0;
            return;
        }
        if (unlikely(thread_is_traced(thread)) && signo != SIGKILL) {
            signo = ptrace_signal_locked(process, thread, signo, queued, shared, &flags);
            info = &thread->trace->info;
            if (signo == 0) {
                spin_unlock_irqrestore(&process->siglock, flags);
                signal_queued_free(queued);
                continue;
            }
        }
        const struct signal_action *action = &process->actions->action[signo - 1];
        if (action->handler > ACTION_IGNORE) {
            *ret =
                (struct chosen){.signo = signo, .queued = queued, .info = info, .action = *action};
            if ((action->flags & SA_RESETHAND) != 0) {
                (void)signal_action_reset_locked(process, signo);
            }
            spin_unlock_irqrestore(&process->siglock, flags);
            return;
        }
        bool ignore = action->handler == ACTION_IGNORE ||
                      (SIGMASK(signo) & SIGMASK_DEFAULT_IGNORE) != 0 || process->unkillable;
        if (!ignore && (SIGMASK(signo) & SIGMASK_STOP) != 0) {
            act_stop(process, thread, signo, flags);
            signal_queued_free(queued);
            continue;
        }
        if (!ignore) {
            act_fatal(process, signo, queued, info, flags);
        }
        spin_unlock_irqrestore(&process->siglock, flags);
        signal_queued_free(queued);
    }
}

/* ---- restarting system calls ---- */

/* Before a handler runs. */
static void restart_with_handler(struct trapframe *frame, uint64_t action_flags)
{
    switch (trapframe_result(frame)) {
    case -ERESTARTSYS:
        if ((action_flags & SA_RESTART) == 0) {
            trapframe_set_result(frame, -EINTR);
            break;
        }
        trapframe_restart_syscall(frame);
        break;
    case -ERESTARTNOINTR:
        trapframe_restart_syscall(frame);
        break;
    case -ERESTARTNOHAND:
    case -ERESTART_RESTARTBLOCK:
        trapframe_set_result(frame, -EINTR);
        break;
    default:
        break;
    }
}

static void restart_without_handler(struct trapframe *frame)
{
    switch (trapframe_result(frame)) {
    case -ERESTARTSYS:
    case -ERESTARTNOINTR:
    case -ERESTARTNOHAND:
        trapframe_restart_syscall(frame);
        break;
    case -ERESTART_RESTARTBLOCK:
        trapframe_restart_block(frame);
        break;
    default:
        break;
    }
}

/* ---- delivering ---- */

static bool on_altstack(const struct thread *thread, uint64_t sp)
{
    return (thread->altstack_flags & SS_AUTODISARM) == 0 && sp > thread->altstack_base &&
           sp - thread->altstack_base <= thread->altstack_size;
}

/* Put the handler's frame on the user stack and aim the thread at it. The signal mask follows sigaction(2). */
static void signal_deliver(struct thread *thread, struct trapframe *frame, struct chosen *chosen)
{
    const struct signal_action *action = &chosen->action;
    siginfo_t bare;
    const siginfo_t *info = &bare;
    uint64_t old_mask = thread->sig_blocked;

    if (unlikely(chosen->info != NULL)) {
        info = chosen->info;
    } else if (chosen->queued != NULL) {
        info = &chosen->queued->info;
    } else {
        signal_take_info(chosen->signo, NULL, &bare);
    }
    if ((atomic_load_relaxed(&thread->work) & THREAD_WORK_SIGMASK) != 0) {
        thread_clear_work(thread, THREAD_WORK_SIGMASK);
        old_mask = thread->saved_sigmask;
    }
    struct signal_delivery delivery = {
        .signo = chosen->signo,
        .handler = action->handler,
        .restorer = action->restorer,
        .siginfo = (action->flags & SA_SIGINFO) != 0,
        .old_mask = old_mask,
        .info = info,
        .altstack_base = thread->altstack_base,
        .altstack_size = thread->altstack_size,
        .altstack_flags = thread->altstack_size != 0 ? thread->altstack_flags : SS_DISABLE,
        .trapno = thread->fault.trapno,
        .error_code = thread->fault.error_code,
        .fault_addr = thread->fault.addr,
    };
    delivery.on_altstack = on_altstack(thread, trapframe_sp(frame));
    if ((action->flags & SA_ONSTACK) != 0 && thread->altstack_size != 0 && !delivery.on_altstack) {
        delivery.stack = thread->altstack_base + thread->altstack_size;
        delivery.on_altstack = true;
    }
    rseq_before_user(thread,
                     frame); /* the handler returns to where an interrupted sequence is taken up */
    bool stepped = thread_is_traced(thread) && thread->trace->mode == TRACE_STEP;
    if (unlikely(stepped)) {
        cpu_step_set(thread, false); /* the handler's frame is to have the program's own flags */
    }
    int err = cpu_signal_setup(frame, &delivery);
    signal_queued_free(chosen->queued);
    if (err < 0) {
        signal_force_bad_frame(chosen->signo);
        return;
    }
    if ((thread->altstack_flags & SS_AUTODISARM) != 0) {
        thread->altstack_base = thread->altstack_size = 0;
        thread->altstack_flags = SS_DISABLE;
    }
    uint64_t mask = thread->sig_blocked | action->mask;
    if ((action->flags & SA_NODEFER) == 0) {
        mask |= SIGMASK(chosen->signo);
    }
    signal_mask_set(mask);
    if (unlikely(stepped)) {
        ptrace_handler_stepped(thread);
    }
}

/*
 * A system call's result in the frame may ask for a restart. A frame that has no number is no call's: others never had one, rt_sigreturn
 * has replaced it, or a tracer did, who may as well have put an interrupted call back.
 */
static void signal_work(struct process *process, struct thread *thread, struct trapframe *frame)
{
    struct chosen chosen;

    signal_choose(process, thread, &chosen);
    bool syscall = trapframe_syscall_nr(frame) != -1;
    if (chosen.signo != 0) {
        if (syscall) {
            restart_with_handler(frame, chosen.action.flags);
        }
        signal_deliver(thread, frame, &chosen);
        return;
    }
    if (syscall) {
        restart_without_handler(frame);
    }
    if ((atomic_load_relaxed(&thread->work) & THREAD_WORK_SIGMASK) != 0) {
        thread_clear_work(thread, THREAD_WORK_SIGMASK);
        signal_mask_set(thread->saved_sigmask);
    }
}

/* What a new thread does before its first instruction (clone(2), CLONE_CHILD_SETTID), and what could not be done with locks held. */
static void notify_work(struct thread *thread)
{
    thread_clear_work(thread, THREAD_WORK_NOTIFY);
    files_put_owed();
    if (thread->set_child_tid != NULL) {
        (void)put_user((uint32_t)thread->pid->nr, thread->set_child_tid);
        thread->set_child_tid = NULL;
    }
}

void machine_user_return(struct trapframe *frame, bool syscall)
{
    struct thread *thread = current_thread();
    uint32_t work = atomic_load_relaxed(&thread->work);

    if (unlikely((work & THREAD_WORK_SYSEXIT) != 0)) {
        ptrace_syscall_leave(frame);
    }
    for (;;) {
        if ((work & THREAD_WORK_RESCHED) != 0) {
            schedule();
        }
        if ((work & THREAD_WORK_NOTIFY) != 0) {
            notify_work(thread);
        }
        if (unlikely((work & THREAD_WORK_RECLAIM) != 0)) {
            thread_clear_work(thread, THREAD_WORK_RECLAIM);
            reclaim_owed();
        }
        if ((work & THREAD_WORK_RSEQ) != 0) {
            thread_clear_work(thread, THREAD_WORK_RSEQ);
            rseq_before_user(thread, frame);
        }
        if ((work & (THREAD_WORK_SIGNAL | THREAD_WORK_STOP | THREAD_WORK_SIGMASK)) != 0) {
            thread_clear_work(thread, THREAD_WORK_STOP);
            if (!syscall) {
                trapframe_forget_syscall(frame); /* an exception's error code may be there */
            }
            signal_work(thread->process, thread, frame);
        }
        irq_disable();
        work = atomic_load_relaxed(&thread->work);
        if ((work & WORK_HERE) == 0) {
            return;
        }
        irq_enable();
    }
}

/* ---- exceptions ---- */

/* A crash that nobody catches is worth a line, but a program that crashes for ever is not worth the log. */
static void log_crash(const struct process *process, const struct trapframe *frame, int signo,
                      vaddr_t addr, uint64_t error_code)
{
    static uint32_t lines; /* [a] */

    if (process->actions->action[signo - 1].handler <= ACTION_IGNORE &&
        !thread_is_traced(current_thread()) && atomic_fetch_add_relaxed(&lines, 1) < 50) {
        log_info("%s[%d]: signal %d at ip %llx sp %llx, address %llx, error %llx",
                 current_thread()->comm, process->pid->nr, signo,
                 (unsigned long long)trapframe_pc(frame), (unsigned long long)trapframe_sp(frame),
                 (unsigned long long)addr, (unsigned long long)error_code);
    }
}

void machine_user_exception(struct trapframe *frame, int signo, int code, vaddr_t addr, int trapno,
                            uint64_t error_code)
{
    struct process *process = process_current();
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    info.si_signo = signo;
    info.si_code = code;
    info.si_addr = (void __user *)addr;
    if (signo == SIGSEGV && code == SEGV_PKUERR) {
        info.si_pkey = vmspace_pkey_at(current_thread()->vm, addr);
    }
    current_thread()->fault = (struct thread_fault){trapno, error_code, addr};
    log_crash(process, frame, signo, addr, error_code);
    signal_force(&info);
}
