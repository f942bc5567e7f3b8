/*
 * Signal system calls that concern the caller alone: mask, pending set, waiting, suspending, the alternate stack, the return from a
 * handler.
 */
#include "kernel/base/string.h"
#include "kernel/machine/cpu.h"
#include "kernel/proc/internal.h"

void signal_mask_set(uint64_t mask)
{
    struct thread *thread = current_thread();
    struct process *process = thread->process;
    uint64_t flags = spin_lock_irqsave(&process->siglock);

    thread->sig_blocked = mask & ~SIGMASK_UNBLOCKABLE;
    signal_recalc_locked(thread);
    spin_unlock_irqrestore(&process->siglock, flags);
}

uint64_t signal_pending_set(void)
{
    struct process *process = process_current();
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    uint64_t set = (process->shared.set | process->private.set) & current_thread()->sig_blocked;

    spin_unlock_irqrestore(&process->siglock, flags);
    return set;
}

int64_t signal_suspend(uint64_t mask)
{
    struct thread *thread = current_thread();

    thread->saved_sigmask = thread->sig_blocked;
    signal_mask_set(mask);
    for (;;) {
        thread_prepare_sleep(THREAD_SLEEPING);
        if (thread_signal_pending(thread)) {
            break;
        }
        schedule();
    }
    thread_finish_sleep();
    thread_set_work(thread, THREAD_WORK_SIGMASK);
    return -ERESTARTNOHAND;
}

/* ---- sigtimedwait ---- */

static int wait_take(struct process *process, uint64_t set, siginfo_t *ret_info)
{
    struct signal_queued *queued = NULL;
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    int signo = signal_dequeue_locked(process, ~set, &queued);

    if (signo != 0) {
        signal_recalc_locked(process->leader);
    }
    spin_unlock_irqrestore(&process->siglock, flags);
    if (signo != 0) {
        signal_take_info(signo, queued, ret_info);
    }
    return signo;
}

/*
 * While it waits the signals of `set` are unblocked, so that senders wake the thread; sig_waited tells them that they are not to be
 * dropped as ignored.
 */
static void wait_unblock(struct thread *thread, uint64_t blocked, uint64_t waited)
{
    uint64_t flags = spin_lock_irqsave(&thread->process->siglock);

    thread->sig_blocked = blocked;
    thread->sig_waited = waited;
    signal_recalc_locked(thread);
    spin_unlock_irqrestore(&thread->process->siglock, flags);
}

int signal_wait(uint64_t set, siginfo_t *ret_info, ktime_t deadline)
{
    struct thread *thread = current_thread();
    struct process *process = thread->process;
    uint64_t blocked = thread->sig_blocked;
    bool expired = false;

    set &= ~SIGMASK_UNBLOCKABLE;
    int signo = wait_take(process, set, ret_info);
    if (signo != 0) {
        return signo;
    }
    wait_unblock(thread, blocked & ~set, blocked);
    for (;;) {
        thread_prepare_sleep(THREAD_SLEEPING);
        if (thread_signal_pending(thread) || expired) {
            break;
        }
        expired = schedule_until(deadline);
    }
    thread_finish_sleep();
    wait_unblock(thread, blocked, 0);
    signo = wait_take(process, set, ret_info);
    if (signo != 0) {
        return signo;
    }
    return thread_signal_pending(thread) ? -EINTR : -EAGAIN;
}

/* ---- the alternate stack (sigaltstack(2)) ---- */

static int altstack_set(struct process *process, const stack_t *new)
{
    int mode = new->ss_flags & ~(int)SS_FLAG_BITS;

    if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE) {
        return -EINVAL;
    }
    if (mode == SS_DISABLE) {
        process->altstack_base = process->altstack_size = 0;
    } else {
        if (new->ss_size < MINSIGSTKSZ) {
            return -ENOMEM;
        }
        process->altstack_base = (uint64_t) new->ss_sp;
        process->altstack_size = new->ss_size;
    }
    process->altstack_flags = (uint32_t)(new->ss_flags &(int)SS_FLAG_BITS);
    return 0;
}

int signal_altstack(const stack_t *new, stack_t *ret_old, uint64_t sp)
{
    struct process *process = process_current();
    bool armed = process->altstack_size != 0;
    bool inside = armed && sp > process->altstack_base &&
                  sp - process->altstack_base <= process->altstack_size &&
                  (process->altstack_flags & SS_AUTODISARM) == 0;

    memset(ret_old, 0, sizeof(*ret_old));
    ret_old->ss_sp = (void *)process->altstack_base;
    ret_old->ss_size = process->altstack_size;
    ret_old->ss_flags = (int)process->altstack_flags & (int)SS_FLAG_BITS;
    ret_old->ss_flags |= !armed ? SS_DISABLE : inside ? SS_ONSTACK : 0;
    if (new == NULL) {
        return 0;
    }
    return inside ? -EPERM : altstack_set(process, new);
}

/* ---- rt_sigreturn ---- */

int64_t signal_return(struct trapframe *frame)
{
    struct signal_return saved;

    if (cpu_signal_return(frame, &saved) < 0) {
        signal_force_fatal(SIGSEGV);
        return 0;
    }
    signal_mask_set(saved.mask);
    const stack_t stack = {.ss_sp = (void *)saved.altstack_base,
                           .ss_size = saved.altstack_size,
                           .ss_flags = (int)saved.altstack_flags & ~SS_ONSTACK};
    (void)altstack_set(process_current(),
                       &stack); /* as sigaltstack(2) would; a bad one changes nothing */
    return trapframe_result(frame);
}

/* ---- Ctrl-Alt-Del ---- */

static bool ctrl_alt_del_resets = true; /* [a] as Linux starts */

void signal_ctrl_alt_del_reboots(bool on)
{
    atomic_store_relaxed(&ctrl_alt_del_resets, on);
}

bool signal_ctrl_alt_del(void)
{
    siginfo_t info;

    if (atomic_load_relaxed(&ctrl_alt_del_resets) || process_init_task == NULL) {
        return false;
    }
    siginfo_kernel(&info, SIGINT);
    (void)signal_send_process(process_init_task, &info);
    return true;
}
