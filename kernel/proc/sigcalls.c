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

    uint64_t newly = mask & ~thread->sig_blocked;
    thread->sig_blocked = mask & ~SIGMASK_UNBLOCKABLE;
    signal_recalc_locked(thread);
    if (unlikely(process->nlive > 1)) {
        signal_retarget_locked(process, thread, newly);
    }
    spin_unlock_irqrestore(&process->siglock, flags);
}

uint64_t signal_pending_set(void)
{
    const struct thread *thread = current_thread();
    struct process *process = thread->process;
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    uint64_t set = (process->shared.set | thread->sig_pending.set) & thread->sig_blocked;

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

static int wait_take(struct thread *thread, uint64_t set, siginfo_t *ret_info)
{
    struct process *process = thread->process;
    struct signal_queued *queued = NULL;
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    int signo = signal_dequeue_locked(process, thread, ~set, &queued);

    if (signo != 0) {
        signal_recalc_locked(thread);
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
    uint64_t blocked = thread->sig_blocked;
    bool expired = false;

    set &= ~SIGMASK_UNBLOCKABLE;
    int signo = wait_take(thread, set, ret_info);
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
    signo = wait_take(thread, set, ret_info);
    if (signo != 0) {
        return signo;
    }
    return thread_signal_pending(thread) ? -EINTR : -EAGAIN;
}

/* ---- the alternate stack (sigaltstack(2)) ---- */

static int altstack_set(struct thread *thread, const stack_t *new)
{
    int mode = new->ss_flags & ~(int)SS_FLAG_BITS;

    if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE) {
        return -EINVAL;
    }
    if (mode == SS_DISABLE) {
        thread->altstack_base = thread->altstack_size = 0;
    } else {
        if (new->ss_size < MINSIGSTKSZ) {
            return -ENOMEM;
        }
        thread->altstack_base = (uint64_t) new->ss_sp;
        thread->altstack_size = new->ss_size;
    }
    thread->altstack_flags = (uint32_t)(new->ss_flags &(int)SS_FLAG_BITS);
    return 0;
}

int signal_altstack(const stack_t *new, stack_t *ret_old, uint64_t sp)
{
    struct thread *thread = current_thread();
    bool armed = thread->altstack_size != 0;
    bool inside = armed && sp > thread->altstack_base &&
                  sp - thread->altstack_base <= thread->altstack_size &&
                  (thread->altstack_flags & SS_AUTODISARM) == 0;

    memset(ret_old, 0, sizeof(*ret_old));
    ret_old->ss_sp = (void *)thread->altstack_base;
    ret_old->ss_size = thread->altstack_size;
    ret_old->ss_flags = (int)thread->altstack_flags & (int)SS_FLAG_BITS;
    ret_old->ss_flags |= !armed ? SS_DISABLE : inside ? SS_ONSTACK : 0;
    if (new == NULL) {
        return 0;
    }
    return inside ? -EPERM : altstack_set(thread, new);
}

/* ---- rt_sigreturn ---- */

int64_t signal_return(struct trapframe *frame)
{
    struct signal_return saved;

    if (cpu_signal_return(frame, &saved) < 0) {
        signal_force_bad_frame(0);
        return 0;
    }
    signal_mask_set(saved.mask);
    const stack_t stack = {.ss_sp = (void *)saved.altstack_base,
                           .ss_size = saved.altstack_size,
                           .ss_flags = (int)saved.altstack_flags & ~SS_ONSTACK};
    (void)altstack_set(current_thread(),
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
