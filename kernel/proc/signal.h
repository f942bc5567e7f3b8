/*
 * Signals (signal(7)): sending, queueing, delivery on the way to user mode.
 */
#pragma once

#include "kernel/machine/entry.h"
#include "kernel/proc/process.h"

#define SIGMASK(n) (1ull << ((n)-1))
/* What cannot be blocked, caught or ignored. */
#define SIGMASK_UNBLOCKABLE (SIGMASK(SIGKILL) | SIGMASK(SIGSTOP))

/* Fill the common cases. */
void siginfo_kernel(siginfo_t *info, int signo); /* SI_KERNEL */
void siginfo_user(siginfo_t *info, int signo,
                  int code); /* from the current process: SI_USER, SI_TKILL, SI_QUEUE */

/* Send without a permission check. Any context. 0, or -EAGAIN when a real-time signal's queue limit is reached. */
int signal_send_process(struct process *target, const siginfo_t *info);
int signal_send_thread(struct thread *target, const siginfo_t *info); /* of the caller's process */
int signal_send_group(struct pid *group, const siginfo_t *info);
/* An exception of the current thread: if blocked or ignored the process dies of it. */
void signal_force(const siginfo_t *info);
/* kill(2), tgkill(2), rt_sigqueueinfo(2) with permission checks. */
int signal_kill(int pid, const siginfo_t *info);
int signal_tgkill(int tgid, int tid, const siginfo_t *info);
bool signal_may_send(struct process *target, int signo);
/* From the kernel to all processes but process 1. May sleep. */
void signal_kill_all(int signo);

int signal_action_set(int signo, const struct signal_action *new, struct signal_action *ret_old);
/* Change the current thread's mask; SIGKILL and SIGSTOP are dropped from it. */
void signal_mask_set(uint64_t mask);
uint64_t signal_pending_set(void); /* sigpending(2) */
/* sigtimedwait(2): dequeues one of `set`; its number, -EAGAIN on timeout, -EINTR. */
int signal_wait(uint64_t set, siginfo_t *ret_info, ktime_t deadline);
/* Recompute THREAD_WORK_SIGNAL after the mask or the pending set changed. siglock held. */
void signal_recalc_locked(struct thread *thread);
/* rt_sigreturn(2): restore what delivery saved; the result for the interrupted code's register. A bad frame kills. */
int64_t signal_return(struct trapframe *frame);
/* sigsuspend(2): swap the mask until a handler has run; always -ERESTARTNOHAND. */
int64_t signal_suspend(uint64_t mask);
/* sigaltstack(2) of the current thread, whose user stack pointer is `sp`. *ret_old is always filled. -EPERM -EINVAL -ENOMEM. */
int signal_altstack(const stack_t *new, stack_t *ret_old, uint64_t sp);
/* reboot(2) CAD_ON and CAD_OFF: whether Ctrl-Alt-Del resets at once or sends SIGINT to process 1. */
void signal_ctrl_alt_del_reboots(bool on);
/* The keys were pressed: true when process 1 was told, false: the caller resets the machine. Any context. */
bool signal_ctrl_alt_del(void);
