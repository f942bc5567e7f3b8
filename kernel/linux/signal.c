/*
 * Signals and interval timers.
 */
#include <linux/time.h>

#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/entry.h"
#include "kernel/proc/signal.h"

/* struct sigaction as rt_sigaction(2) has it on x86-64. */
struct user_sigaction {
    uint64_t handler;
    uint64_t flags;
    uint64_t restorer;
    uint64_t mask;
};

_Static_assert(sizeof(struct user_sigaction) == sizeof(struct signal_action), "one layout");

SYSCALL4(rt_sigaction, int, signo, const struct user_sigaction __user *, unew,
         struct user_sigaction __user *, uold, size_t, size)
{
    struct signal_action new, old;

    if (size != sizeof(uint64_t)) {
        return -EINVAL;
    }
    if (unew != NULL && get_user(new, unew) < 0) {
        return -EFAULT;
    }
    int err = signal_action_set(signo, unew != NULL ? &new : NULL, uold != NULL ? &old : NULL);
    if (err == 0 && uold != NULL && copy_to_user(uold, &old, sizeof(old)) < 0) {
        return -EFAULT;
    }
    return err;
}

SYSCALL4(rt_sigprocmask, int, how, const uint64_t __user *, uset, uint64_t __user *, uold, size_t,
         size)
{
    uint64_t set, old = current_thread()->sig_blocked;

    if (size != sizeof(uint64_t)) {
        return -EINVAL;
    }
    if (uset != NULL) {
        if (get_user(set, uset) < 0) {
            return -EFAULT;
        }
        switch (how) {
        case SIG_BLOCK:
            set |= old;
            break;
        case SIG_UNBLOCK:
            set = old & ~set;
            break;
        case SIG_SETMASK:
            break;
        default:
            return -EINVAL;
        }
        signal_mask_set(set);
    }
    return uold != NULL ? put_user(old, uold) : 0;
}

SYSCALL2(rt_sigpending, uint64_t __user *, uset, size_t, size)
{
    uint64_t set = signal_pending_set();

    /* A caller that knows of fewer signals gets so many. */
    return size > sizeof(set) ? -EINVAL : copy_to_user(uset, &set, size);
}

SYSCALL0(rt_sigreturn)
{
    return signal_return(thread_trapframe(current_thread()));
}

SYSCALL2(rt_sigsuspend, const uint64_t __user *, umask, size_t, size)
{
    uint64_t mask;

    if (size != sizeof(uint64_t)) {
        return -EINVAL;
    }
    if (get_user(mask, umask) < 0) {
        return -EFAULT;
    }
    return signal_suspend(mask);
}

SYSCALL0(pause)
{
    while (!thread_signal_pending(current_thread())) {
        thread_prepare_sleep(THREAD_SLEEPING);
        if (!thread_signal_pending(current_thread())) {
            schedule();
        }
        thread_finish_sleep();
    }
    return -ERESTARTNOHAND;
}

SYSCALL4(rt_sigtimedwait, const uint64_t __user *, uset, siginfo_t __user *, uinfo,
         const struct __kernel_timespec __user *, uts, size_t, size)
{
    ktime_t deadline = KTIME_MAX, ns;
    siginfo_t info;
    uint64_t set;

    if (size != sizeof(uint64_t)) {
        return -EINVAL;
    }
    if (get_user(set, uset) < 0) {
        return -EFAULT;
    }
    if (uts != NULL) {
        int err = timespec_from_user(&ns, uts);
        if (err < 0) {
            return err;
        }
        deadline = ktime_after(ktime_now(), ns);
    }
    int64_t result = signal_wait(set, &info, deadline);
    if (result > 0 && uinfo != NULL && copy_to_user(uinfo, &info, sizeof(info)) < 0) {
        return -EFAULT;
    }
    return result;
}

SYSCALL2(kill, int, pid, int, signo)
{
    siginfo_t info;

    siginfo_user(&info, signo, SI_USER);
    return signal_kill(pid, &info);
}

SYSCALL3(tgkill, int, tgid, int, tid, int, signo)
{
    siginfo_t info;

    if (tgid <= 0 || tid <= 0) {
        return -EINVAL;
    }
    siginfo_user(&info, signo, SI_TKILL);
    return signal_tgkill(tgid, tid, &info);
}

SYSCALL2(tkill, int, tid, int, signo)
{
    siginfo_t info;

    if (tid <= 0) {
        return -EINVAL;
    }
    siginfo_user(&info, signo, SI_TKILL);
    return signal_tgkill(0, tid, &info);
}

/* A sender may not forge what only the kernel sends but to itself, a thread (rt_sigqueueinfo(2), EPERM). */
static int queued_info(siginfo_t *info, const siginfo_t __user *uinfo, int signo, int tid)
{
    if (copy_from_user(info, uinfo, sizeof(*info)) < 0) {
        return -EFAULT;
    }
    info->si_signo = signo;
    if ((info->si_code >= 0 || info->si_code == SI_TKILL) && tid != current_thread()->pid->nr) {
        return -EPERM;
    }
    return 0;
}

SYSCALL3(rt_sigqueueinfo, int, pid, int, signo, const siginfo_t __user *, uinfo)
{
    siginfo_t info;
    int err = queued_info(&info, uinfo, signo, pid);

    if (err < 0) {
        return err;
    }
    return pid > 0 ? signal_kill(pid, &info) : -ESRCH;
}

SYSCALL4(rt_tgsigqueueinfo, int, tgid, int, tid, int, signo, const siginfo_t __user *, uinfo)
{
    siginfo_t info;

    if (tgid <= 0 || tid <= 0) {
        return -EINVAL;
    }
    int err = queued_info(&info, uinfo, signo, tid);
    return err < 0 ? err : signal_tgkill(tgid, tid, &info);
}

SYSCALL2(sigaltstack, const stack_t __user *, unew, stack_t __user *, uold)
{
    stack_t new, old;

    if (unew != NULL && copy_from_user(&new, unew, sizeof(new)) < 0) {
        return -EFAULT;
    }
    int err = signal_altstack(unew != NULL ? &new : NULL, &old,
                              trapframe_sp(thread_trapframe(current_thread())));
    if (err == 0 && uold != NULL && copy_to_user(uold, &old, sizeof(old)) < 0) {
        return -EFAULT;
    }
    return err;
}

SYSCALL0(restart_syscall)
{
    struct thread_restart *restart = &current_thread()->restart;

    return restart->fn != NULL ? restart->fn(restart) : -EINTR;
}

/* ---- interval timers ---- */

static struct __kernel_old_timeval timeval_of_ktime(ktime_t t)
{
    return (struct __kernel_old_timeval){t / NS_PER_S, t % NS_PER_S / NS_PER_US};
}

static bool ktime_of_timeval(const struct __kernel_old_timeval *tv, ktime_t *ret_time)
{
    if (tv->tv_sec < 0 || tv->tv_usec < 0 || tv->tv_usec >= 1000000) {
        return false;
    }
    const struct __kernel_timespec ts = {tv->tv_sec, tv->tv_usec * 1000};
    *ret_time = ktime_of_timespec(&ts);
    return true;
}

struct user_itimerval {
    struct __kernel_old_timeval interval, value;
};

static int64_t itimer_to_user(struct user_itimerval __user *ucurrent, const struct itimer *timer)
{
    const struct user_itimerval value = {timeval_of_ktime(timer->interval_ns),
                                         timeval_of_ktime(timer->value_ns)};

    return copy_to_user(ucurrent, &value, sizeof(value));
}

SYSCALL2(getitimer, int, which, struct user_itimerval __user *, ucurrent)
{
    struct itimer timer;
    int err = process_itimer(which, NULL, &timer);

    return err < 0 ? err : itimer_to_user(ucurrent, &timer);
}

SYSCALL3(setitimer, int, which, const struct user_itimerval __user *, unew,
         struct user_itimerval __user *, uold)
{
    struct user_itimerval value = {{0, 0}, {0, 0}};
    struct itimer new, old;

    if (unew != NULL && copy_from_user(&value, unew, sizeof(value)) < 0) {
        return -EFAULT;
    }
    if (!ktime_of_timeval(&value.interval, &new.interval_ns) ||
        !ktime_of_timeval(&value.value, &new.value_ns)) {
        return -EINVAL;
    }
    int err = process_itimer(which, &new, &old);
    return err < 0 || uold == NULL ? err : itimer_to_user(uold, &old);
}

SYSCALL1(alarm, unsigned, seconds)
{
    const struct itimer new = {.value_ns = seconds * NS_PER_S};
    struct itimer old;

    (void)process_itimer(0 /* ITIMER_REAL */, &new, &old);
    /* Rounded, but a pending alarm is never 0 (alarm(2)). */
    int64_t left = (old.value_ns + NS_PER_S / 2) / NS_PER_S;
    return old.value_ns > 0 && left == 0 ? 1 : left;
}
