/*
 * What the files of kernel/proc share among themselves.
 */
#pragma once

#include "kernel/proc/signal.h"

/* Action words that are not addresses (asm/signal-defs.h has them as pointers to functions). */
#define ACTION_DEFAULT 0ull
#define ACTION_IGNORE  1ull

/* ---- process.c ---- */
/* A constructed process with one reference; nothing of it is set but locks and empty lists. NULL: no memory. */
struct process *process_alloc(void);
/* Make the process findable: number, parent (NULL: none), group and session (references taken over). Tree lock held. */
void process_link_locked(struct process *process, struct process *parent, struct pid *group,
                         struct pid *session);
/* Take a zombie out of the tree: nobody finds it any more. Tree lock held. process_release() must follow without it. */
void process_unlink_locked(struct process *process);
void process_release(struct process *process);
/* [tree lock] All processes but kernel threads, by all_node. */
extern struct list_node process_all;

/* ---- access.c ---- */
bool process_may_attach_locked(struct process *target); /* tree lock held */

/* ---- threads.c ---- */
/* A new thread is about to be linked: it may share root, directory and umask with the current one, which makes it. Tree lock held. */
static inline void fs_join_locked(const struct thread *thread)
{
    if (thread->fs == current_thread()->fs) {
        thread->fs->users++;
    }
}
/*
 * Let `thread` take part in the process of the caller. -ERESTARTNOINTR: the caller has a stop or an end to see to first.
 */
int thread_join(struct process *process, struct thread *thread);
/*
 * The current thread begins to end: it takes no signals any more. With `group` the others do so too. True: it was the last one alive.
 * The process' status is what the first call with `group` said, else what its last thread says.
 */
bool thread_leave_begin(struct process *process, struct thread *thread, int wait_status,
                        bool group);
/* It has let go of everything. True: no thread is left. Tree lock held. *ret_cred: to put without it. */
bool thread_leave_finish_locked(struct process *process, struct thread *thread,
                                struct cred **ret_cred);
/*
 * All of the process is to end, unless it ends already or the threads do for an execve. siglock held. True: the caller is to tell the others,
 * by call_finish(CALL_END).
 */
bool group_exit_locked(struct process *process, int wait_status);
/* execve(2): end all others; the current thread becomes the main one. -EAGAIN: the process is ending. Thread context. */
int threads_end_others(void);
/* Before the current thread lets go of its address space: tell those who wait for that in user memory. May sleep. */
void thread_leave_memory(struct thread *thread);
void usage_add_io(struct thread_io *sum, const struct thread_io *more);
/* What all threads have used. Tree lock or siglock held. */
void process_usage_locked(const struct process *process, struct usage *ret_usage);
/* Signals that the thread will not take any more, of `mask`, are news for those that can. siglock held. */
void signal_retarget_locked(struct process *process, const struct thread *thread, uint64_t mask);

/* ---- calls.c ---- */
/* Tell all threads; but if they are to end, that. siglock held. */
void call_begin_locked(struct process *process, enum thread_call call);
/* Some more of them, if any are left. siglock held. */
void call_turn_locked(struct process *process);
/* All that are left, if they are still told this. With nothing held. */
void call_finish(struct process *process, enum thread_call call);
/* What process->call_work does. */
work_fn call_work_run;
/* The thread goes out of the list. siglock held. */
void call_pass_locked(struct process *process, const struct thread *thread);

/* ---- actions.c ---- */
extern struct signal_actions signal_actions_default;
extern struct signal_actions signal_actions_none; /* all are ignored: kernel threads */
struct signal_actions *signal_actions_get(struct signal_actions *actions);
void signal_actions_put(struct signal_actions *actions);
struct signal_actions *
signal_actions_copy(const struct signal_actions *actions); /* NULL: no memory */
/* clone(2): the child's table, by CLONE_SIGHAND and CLONE_CLEAR_SIGHAND. -ENOMEM. */
int signal_actions_inherit(struct process *child, struct process *parent, uint64_t clone_flags);
void signal_actions_init(void);
/* Would the signal do nothing when it came now to `thread` (of several, the main one)? siglock held. */
bool signal_ignored_locked(const struct process *process, const struct thread *thread, int signo,
                           bool forced);
/* Does one of these signals, by its default action, end the process? siglock held. */
bool signal_set_ends_locked(const struct process *process, uint64_t set);

/* Back to the default action. False: no memory for a table of one's own. siglock held. */
bool signal_action_reset_locked(struct process *process, int signo);
/* The table after exec; NULL: the present one will do. -ENOMEM. */
int signal_prepare_exec(struct process *process, struct signal_actions **ret_actions);

/* ---- signal.c ---- */
/* Is there what will end the current thread once it leaves the kernel, without asking a handler or a tracer? For vm_ending_hook. */
bool signal_ends_current(void);
/* Kill the current process with `signo`, whatever it has set for it. */
void signal_force_fatal(int signo);
/* A signal frame could not be written, for `failed`, or read (0): SIGSEGV, which a handler on another stack may catch, but for its own frame. */
void signal_force_bad_frame(int failed);
#define SIGMASK_STOP (SIGMASK(SIGSTOP) | SIGMASK(SIGTSTP) | SIGMASK(SIGTTIN) | SIGMASK(SIGTTOU))
/* Default action: nothing. SIGCONT's effect comes when it is sent. */
#define SIGMASK_DEFAULT_IGNORE                                                                     \
    (SIGMASK(SIGCONT) | SIGMASK(SIGCHLD) | SIGMASK(SIGWINCH) | SIGMASK(SIGURG))
#define SIGMASK_CORE                                                                               \
    (SIGMASK(SIGQUIT) | SIGMASK(SIGILL) | SIGMASK(SIGTRAP) | SIGMASK(SIGABRT) | SIGMASK(SIGFPE) |  \
     SIGMASK(SIGSEGV) | SIGMASK(SIGBUS) | SIGMASK(SIGSYS) | SIGMASK(SIGXCPU) | SIGMASK(SIGXFSZ))
/* Caused by the thread's own instruction: delivered before others. */
#define SIGMASK_SYNCHRONOUS                                                                        \
    (SIGMASK(SIGSEGV) | SIGMASK(SIGBUS) | SIGMASK(SIGILL) | SIGMASK(SIGTRAP) | SIGMASK(SIGFPE) |   \
     SIGMASK(SIGSYS))

/* To one thread, or (NULL) to whichever of the process will have it. siglock held. */
int signal_send_locked(struct process *process, struct thread *to, const siginfo_t *info,
                       bool forced);
/* A fork under way: what has come for many meanwhile, of whom the child is one. */
struct fork_signals {
    struct list_node node; /* [S] in process->forks */
    uint64_t set;          /* [S] */
};
/* The process is one of many whom a signal is for: so are the children that it is about to have. siglock held. */
void signal_tell_forks_locked(struct process *process, int signo);
/* The same, and the signal for the process itself. Tree lock held until all of the many have it. */
int signal_send_member(struct process *process, const siginfo_t *info);
/* To every member of the group, tree lock held. -ESRCH: nobody there. */
int signal_send_group_locked(struct pid *group, const siginfo_t *info);
/*
 * Take the next signal outside `blocked` off the queues; 0: none. *ret_queued: its entry, the caller's to free, or NULL when it
 * came without one. siglock held.
 */
int signal_dequeue_locked(struct process *process, struct thread *thread, uint64_t blocked,
                          struct signal_queued **ret_queued);
/* Make the thread look at its signals, wherever it is. siglock held. */
void signal_wake_thread_locked(struct thread *thread);
/* The information of a dequeued signal, and the end of its entry. */
void signal_take_info(int signo, struct signal_queued *queued, siginfo_t *ret_info);
void signal_queued_free(struct signal_queued *queued);
/* An entry for later, accounted to the target's user. NULL: RLIMIT_SIGPENDING, or no memory. */
struct signal_queued *signal_queued_create(struct process *target, const siginfo_t *info);
/* Queue an entry that a timer owns, beside others of its number; false: the signal is ignored or comes too late. siglock held. */
bool signal_send_queued_locked(struct process *process, struct thread *to,
                               struct signal_queued *queued);
/* Take it back out of the queue in which it is. siglock held. */
void signal_unqueue_locked(struct process *process, struct thread *to,
                           struct signal_queued *queued);
/*
 * Forget pending signals of `mask`. True: their entries, now in the empty list `forgotten`, are for signal_forgotten_free(), soon; posix_timer.c
 * may take some out before, under the siglock. siglock held.
 */
bool signal_forget_locked(struct process *process, uint64_t mask, struct list_node *forgotten);
/* The same for all of a thread, or of a process without any. siglock held. */
bool signal_pending_forget_locked(struct signal_pending *pending, struct list_node *forgotten);
/* The end of what has been forgotten: in turns, with the siglock let go in between. */
void signal_forgotten_free(struct process *process, struct list_node *forgotten);
void signal_queue_init(void);

/* ---- deliver.c ---- */
/* The stop in effect wants the thread; it has not been wanted yet. siglock held. */
void thread_want_stop_locked(struct process *process, struct thread *thread);
/* No stop wants anybody any more. siglock held. */
void stop_let_off_locked(struct process *process);
/* The thread takes part in a stop, or never will: true when it was the last one to come. siglock held. */
bool stop_take_part_locked(struct process *process, struct thread *thread);
/* All have stopped, and have used so much: tell the parent. Nothing held. */
void stop_tell_parent(struct process *process, const struct usage *usage);

/* ---- exit.c ---- */
/* The process has given its image up: a vfork parent goes on. */
void process_vfork_finish(struct process *process);
/*
 * A zombie is its parent's affair from now on. True: that does not want to know; it is out of the tree, and process_release() must
 * follow without the lock. Tree lock held.
 */
bool process_tell_exit_locked(struct process *process);
/* SIGCHLD with this information to a process that waits for children or tracees, and wake its wait. Tree lock held; no siglock. */
void process_send_sigchld_locked(struct process *process, const siginfo_t *info);
/* The thread of the parent to which the child belongs (wait(2), __WNOTHREAD). Tree lock held; NULL: the parent is about to end. */
struct thread *process_parent_thread_locked(const struct process *process);
/* Tell the parent with SIGCHLD and wake its wait: why is CLD_*, `usage` what its threads have used. Tree lock held; no siglock. */
void process_tell_parent_locked(struct process *process, int why, int status,
                                const struct usage *usage);
/* Does anybody but `except` tie the group to its session from outside (POSIX.1-2017, 3.264)? Tree lock held. */
bool group_is_orphaned_locked(struct pid *group, const struct process *except);

/* ---- jobs.c, limits.c, itimer.c, exec ---- */
void jobctl_init(void);
/*
 * Count one more thread of the user, and one less. -EAGAIN: beyond `limit` (RLIMIT_NPROC), which does not bind the privileged, or beyond
 * kernel.threads-max, which binds everybody.
 */
int threads_charge(struct user *user, uint64_t limit);
void threads_uncharge(struct user *user);
/* `n` of them count for another user from here on. */
void threads_move(struct user *from, struct user *to, uint32_t n);
/* execve(2), "EAGAIN": a change of user has made one too many of his, and they still are. */
bool limits_refuse_exec(void);
void limits_init_default(struct rlimit64 limits[RLIM_NLIMITS]);
/* Its soft limit is `most` at most from here on. */
void limits_cap(struct process *process, unsigned resource, uint64_t most);
void limits_apply_to_vm(const struct process *process, struct vmspace *vm);
void process_add_child_usage_locked(struct process *parent, struct process *child);
void itimer_real_expired(struct timer *timer);
/* Send what has expired of a process that has used so much; how much more it may use until the next: KTIME_MAX: there is none. siglock held. */
ktime_t itimers_look_locked(struct process *process, const struct usage *usage);
/* RLIMIT_RTTIME in ns, of what comes first; KTIME_MAX: none. Of a thread that has one, and runs: is it over? siglock held. */
ktime_t rt_limit_ns(const struct rlimit64 *limit);
void check_real_time_locked(struct process *process, struct thread *thread);

/* ---- cpu_timer.c ---- */
/* An alarm of the running thread has come, or a deadline thread has run over its budget. Hard interrupt context. */
void cpu_timers_alarm(struct thread *thread);
/* Look whether anything by the process' CPU time has expired, and when to look again: it is used, set or limited otherwise now. siglock held. */
void cpu_timers_look_locked(struct process *process);
void cpu_timers_rt_limit_locked(struct process *process);
/* A new process, with its limits and its first thread; another thread that joins one; one that ends (siglock held for these). */
void cpu_timers_start(struct process *process);
void cpu_timers_join(struct process *process, struct thread *thread);
void cpu_timers_leave_locked(struct process *process, struct thread *thread);
/* clock_step.c */
void clock_step_init(void);

/* ---- kthreadd.c ---- */

/* Start process 2, and wait until all kernel threads have their numbers. */
void kthreadd_start(void);

/* ---- posix_timer_run.c, posix_timer.c ---- */
/* The timer's signal leaves the queue for a taker: what it missed is counted. siglock held. */
void posix_timer_taken_locked(struct posix_timer *timer);
/* The taker has done with it, or it was thrown away: the timer goes on. */
void posix_timer_done_locked(struct posix_timer *timer); /* siglock held */
void posix_timer_done(struct posix_timer *timer);
/* All of them end, with the process or its image. By its only thread. */
void posix_timers_end(struct process *process);
