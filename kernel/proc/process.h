/*
 * Processes: what threads share: identity, family, signals, limits, times.
 *
 * Locks:  T process_tree_lock (spin, irqsave: signals to groups come from interrupts): family, groups, sessions, and what /proc reads
 *           of the threads (vm, files, fs)
 *         S process->siglock (spin, irqsave): signal state      I immutable      a atomic
 *         o the process' own threads; words of which any value at any time is right
 *         TS changed under both, so that either is enough to read
 * Order: tree lock -> siglock of the child -> siglock of its parent -> wait queue -> run queue lock.
 */
#pragma once

#include <linux/resource.h>
#include <linux/signal.h>

#include "kernel/sched/pid.h"
#include "kernel/sched/wait.h"
#include "kernel/sched/work.h"
#include "kernel/security/cred.h"
#include "kernel/vfs/fdtable.h"
#include "kernel/vm/vmspace.h"

#define SIGNAL_COUNT 64 /* signals are 1..64 */

/* Kernel form of struct sigaction for x86-64 (rt_sigaction(2)). */
struct signal_action {
    uint64_t handler; /* SIG_DFL, SIG_IGN or an address */
    uint64_t flags;
    uint64_t restorer;
    uint64_t mask;
};

/*
 * What a process does on each signal. fork shares the table until one side changes it (copy on write), so that it costs a
 * reference; with CLONE_SIGHAND both mean the same table for good.
 */
struct signal_actions {
    struct refcount refs;
    bool together;        /* [I once shared] CLONE_SIGHAND: changes are for all */
    struct spinlock lock; /* changes, when together */
    struct signal_action action[SIGNAL_COUNT]; /* [S] of the only process, or lock */
};

struct signal_queued {
    struct list_node
        node; /* [S] in the queue: the oldest of its number; in `others`: a later one */
    struct list_node others; /* [S] of the oldest: those of its number that came later, in order */
    struct user *accounted;  /* RLIMIT_SIGPENDING */
    struct posix_timer *timer; /* whose entry this is; NULL: freed when delivered */
    siginfo_t info;
};

/* What threads have used. */
struct usage {
    ktime_t user_ns, system_ns;
    uint64_t minflt, majflt, nvcsw, nivcsw;
    struct thread_io io;
};

enum process_state { PROCESS_LIVE, PROCESS_ZOMBIE, PROCESS_DEAD };

/* What all threads of a process are being told, in turns: calls.c. */
enum thread_call { CALL_NONE, CALL_GO_ON, CALL_STOP, CALL_END };

/* What waits for CPU time: cpu_timer.c. */
struct cpu_timers {
    struct alarm_group alarm;         /* [a] written under S */
    bool watched;                     /* [S] the threads have SWITCH_ALARM_GROUP */
    ktime_t prof_next, prof_interval; /* [S] CPU time of the next expiration; 0: none */
    ktime_t virt_next, virt_interval; /* [S] the same in user mode */
    struct spinlock lock;
    struct list_node armed; /* [lock] by the time of all threads; other lists: in these */
};

struct process {
    struct refcount refs;
    struct pid *pid; /* [I] the main thread's, which holds the reference */
    struct thread
        *leader; /* [TS] main thread, referenced, even when it has ended before the others */
    struct list_node threads; /* [TS] by process_node, the main thread always among them */
    unsigned nthreads;        /* [TS] that have not ended yet */
    unsigned ncharged; /* [S] that count for `user`: these, and the leader until it is released */
    unsigned nlive;    /* [S] of them, those that have not begun to */
    struct thread
        *exec_thread; /* [S] of several threads the one whose execve ends the others; NULL: none */
    struct wait_queue threads_wait; /* execve: another thread has ended */
    unsigned departures;            /* [TS] how often a thread went out of the list */
    enum thread_call call;          /* [S] written; read as a hint */
    struct thread *call_next;       /* [S] unless CALL_NONE: who is told next */
    struct work call_work;    /* goes on with CALL_GO_ON; has a reference while it is queued */
    enum process_state state; /* [T] */

    struct process *parent;                    /* [T] reaper once orphaned; NULL: process 1 */
    int parent_nr;                             /* [a] its number, for getppid(2) */
    struct list_node children;                 /* [T] */
    struct list_node sibling;                  /* [T] */
    int parent_tid;                            /* [T] the parent's thread that made it */
    struct list_node tracees;                  /* [T] what its threads trace: ptrace.h */
    struct pid *group, *session;               /* [T] referenced; NULL: a kernel thread has none */
    struct list_node group_node, session_node; /* [T] */
    struct list_node all_node;                 /* [T] in process_all */
    uint64_t many; /* [T] the last signal for many it was told of: kill.c */
    void *tty; /* [T] controlling terminal (struct tty) or NULL; its session holds the reference */
    struct wait_queue child_wait; /* wait4: a child changed state */
    struct wait_queue exit_wait;  /* vfork parent */
    bool vfork_done;              /* [a] */
    bool did_exec;                /* [T] setpgid's -EACCES */
    uint32_t execs;               /* [T] programs executed so far: process_execs() */
    uint32_t parent_execs;        /* [T] by the parent, when it made this one */
    bool child_subreaper;         /* [T] */
    int pdeath_signal;            /* [T] */
    int exit_code;                /* [T] wait status: code << 8, or signal | 0x80 for core */
    int exit_signal;              /* [T] to the parent, while that runs the same program */

    struct spinlock siglock;
    struct signal_actions *actions;  /* [S] referenced */
    struct signal_pending shared;    /* [S] */
    uint64_t private_signals;        /* [S] no other ones are pending for single threads */
    struct list_node forks;          /* [S] struct fork_signals: under way */
    struct wait_queue signalfd_wait; /* a signal came for any thread */
    int stop_signal;                 /* [S] of the stop in effect */
    bool stopped;                    /* [S] or about to be: threads stop when they come by */
    uint32_t
        stop_number; /* [S] of the stop in effect, or the next one; threads that it wants have it */
    unsigned stop_left;            /* [S] how many these are */
    bool stop_told;                /* [S] all have come to it, and the parent knows */
    bool stop_reported, continued; /* [S] what wait4 has yet to tell, or told */
    bool continue_untold;          /* [S] the parent has not been signalled yet */
    bool stop_dequeued;            /* [S] a stop signal is being acted on; SIGCONT takes it back */
    bool group_exiting;            /* [S] */
    bool unkillable;               /* [S] process 1: default actions do not touch it */
    bool
        kernel_thread; /* [I] has one thread, without memory, which never sees user mode: kthreadd.c */
    bool dumping; /* [S] a thread writes a core dump: the others halt, whole, before they end */
    unsigned dump_left;    /* [S] how many of them have yet to, or to begin to end */
    struct thread *dumper; /* [S] */

    struct rlimit64 limits[RLIM_NLIMITS]; /* [S] soft limits are read without it */
    struct user *user;                    /* [S] whom the process is counted for */
    ktime_t start_time;                   /* [I] monotonic */
    struct usage ended;                   /* [TS] threads that have ended, but for the main one */
    struct usage reaped;                  /* [T] reaped children */
    uint64_t reaped_maxrss;               /* [T] pages */
    uint64_t maxrss;                      /* [o] pages, of former images and at exit */
    struct timer real_timer;              /* ITIMER_REAL, alarm */
    ktime_t real_interval;                /* [S] */
    bool real_active;                     /* [S] it is set, and has not been found expired */
    struct cpu_timers cpu_timers;
    struct rb_root posix_timers;            /* [S] by number */
    int next_timer_id;                      /* [S] */
    uint32_t personality;                   /* [o] */
    bool no_new_privs;                      /* [o] */
    bool was_dumpable;                      /* [T] by all, when it let go of its memory */
    uint16_t coredump_filter;               /* [a] COREDUMP_* */
    int oom_score_adj, oom_score_adj_least; /* [a] oom.h */
};

extern struct spinlock process_tree_lock;

/* Has it yet to take part in its process' stop? siglock held, or as a hint. */
static inline bool thread_stop_wanted(const struct process *process, const struct thread *thread)
{
    return atomic_load_relaxed(&thread->stop_number) == atomic_load_relaxed(&process->stop_number);
}

static inline struct process *process_current(void)
{
    return current_thread()->process;
}
static inline struct process *process_get(struct process *process)
{
    refcount_get(&process->refs);
    return process;
}
void process_put(struct process *process);
/* The process with this number, alive or a zombie, referenced, or NULL. */
struct process *process_find(int pid);
/*
 * The thread with this number and its process, both referenced: *ret_thread and the result. NULL: there is none. A process' number is
 * that of its main thread.
 */
struct process *process_find_thread(int tid, struct thread **ret_thread);
/* The same, when the number is still this pid's. */
struct process *process_of_thread_pid(struct pid *pid, struct thread **ret_thread);
/* The thread of the process with the smallest number >= tid, referenced; NULL: none. */
struct thread *process_next_thread(struct process *process, int tid);
void process_init(void);
/*
 * Turn the current kernel thread into process 1 and run the first of: `rdinit`, `init` (parameters, NULL when absent), /init,
 * /sbin/init, /bin/sh. Panics with the reasons when none starts. Returns to the machine's user entry.
 */
void process_start_init(const char *init, const char *rdinit);
uint64_t process_count(void);
extern struct process *process_init_task;

/* clone(2), clone3(2). Returns the number of the child or thread. */
struct clone_request {
    uint64_t flags; /* CLONE_* without the exit signal */
    int exit_signal;
    uint64_t stack; /* 0: the parent's stack pointer */
    uint64_t tls;
    int __user *parent_tid;
    uint32_t __user *child_tid;
    int __user *pidfd;
    int wanted_tid; /* 0: any */
};
int64_t process_clone(const struct clone_request *request);
/* execve(2): argv and envp in user memory. Does not return to the old image on success: result is 0 and the frame is new. */
int process_exec(int dirfd, const char *path, const char __user *const __user *argv,
                 const char __user *const __user *envp, int flags);
int process_exec_kernel(const char *path, const char *const *argv, const char *const *envp);
int process_unshare(uint64_t flags);           /* unshare(2); namespaces are -EINVAL */
void process_exit(int wait_status) __noreturn; /* this thread and, as the last one, the process */
void process_exit_group(int wait_status) __noreturn; /* all threads */

/* wait4(2) and waitid(2). which: as waitid's idtype. */
struct wait_request {
    int which; /* P_ALL P_PID P_PGID P_PIDFD */
    int id;
    struct pid *pid; /* P_PIDFD: borrowed */
    int options;     /* WNOHANG WEXITED WSTOPPED WCONTINUED WNOWAIT __WALL ... */
    bool want_usage; /* fill ret_usage */
    int ret_status;  /* wait4's status word */
    siginfo_t ret_info;
    struct rusage ret_usage;
};
/* The pid, 0 with WNOHANG when nothing changed, -ECHILD, -ERESTARTSYS. */
int64_t process_wait(struct wait_request *request);
void process_rusage(struct process *process, int who, struct rusage *ret_usage);
/* What all threads of the process have used, those that have ended included. */
void process_usage(struct process *process, struct usage *ret_usage);
/* Reading and writing of those and of the children that were waited for, as /proc/PID/io has it. */
void process_io(struct process *process, struct thread_io *ret_io);
void thread_usage(struct thread *thread, struct usage *ret_usage);

int process_setpgid(int pid, int pgid);
int process_getpgid(int pid);
int process_getsid(int pid);
int process_setsid(void);

extern uint32_t threads_max; /* [a] /proc/sys/kernel/threads-max: fork fails with -EAGAIN beyond */
uint64_t process_limit(unsigned resource); /* soft limit of the current process */
/* The current thread has become another real user's: so its process counts for that one (RLIMIT_NPROC). */
void process_follow_user(void);
int process_prlimit(int pid, unsigned resource, const struct rlimit64 *new,
                    struct rlimit64 *ret_old);

/* Interval timers (setitimer(2)) of the current process: `which` is ITIMER_*. NULL new: only read. -EINVAL. */
struct itimer {
    ktime_t value_ns;    /* until it fires, 0: off */
    ktime_t interval_ns; /* 0: once */
};
int process_itimer(int which, const struct itimer *new, struct itimer *ret_old);

/* Number of the parent, as getppid(2). */
int process_parent_nr(struct process *process);
/* The main thread's credentials, referenced. */
struct cred *process_cred_get(struct process *process);
struct cred *thread_cred_get(struct thread *thread);
struct cred *thread_cred_get_locked(struct thread *thread); /* tree lock held; NULL: it has ended */
/* What a thread uses, referenced, for /proc; NULL: it is gone (a zombie) or never was. Thread context. */
struct vmspace *thread_vm_get(struct thread *thread);
struct fdtable *thread_files_pin(struct thread *thread);
struct fs_context *thread_fs_get(struct thread *thread);
struct vmspace *process_vm_get(struct process *process); /* that of any of its threads */
struct vmspace *
process_vm_locked(struct process *process); /* the same, unreferenced; tree lock held */
/*
 * May the current thread inspect `target` (ptrace(2), "access mode checking")? That is about the program that it runs at the moment: execve may
 * give it another, with other rights, right after. Who then takes something from it asks process_execs() before the check and after the taking.
 */
bool process_may_access(struct process *target);
/* Whom what /proc has of it belongs to: its effective user, or, what is `hidden` while memory is not to be dumped or gone, root (proc(5)). */
void process_owner(struct process *process, bool hidden, uint32_t *ret_uid, uint32_t *ret_gid);
/* The same with the real IDs, for calls that name another process (PTRACE_MODE_ATTACH_REALCREDS). */
bool process_may_attach(struct process *target);
/* Between two looks with the same result the process has changed neither its memory nor its rights by execve. */
static inline uint32_t process_execs(const struct process *process)
{
    return atomic_load_acquire(&process->execs);
}
/*
 * thread_vm_get() for who may inspect the thread's process, as process_may_attach() or process_may_access() has it, with no execve between check
 * and taking. -ESRCH: it has none; -EACCES.
 */
int thread_vm_get_checked(struct thread *thread, struct process *process, bool attach,
                          struct vmspace **ret_vm);
/* Walk for /proc and kill(-1): first process with pid >= nr, alive or a zombie, referenced. */
struct process *process_next(int nr);
