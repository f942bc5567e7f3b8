/*
 * struct thread: what the scheduler runs. The process, files, address space and credentials hang on it by pointers whose
 * types belong to higher rooms; this room only carries them.
 *
 * Life: thread_create() -> thread_start() -> runs -> thread_exit() -> reaped by the last reference (thread_put).
 *
 * Locks:  I immutable once started   r runqueue lock of thread->cpu   o only the thread itself   a atomic
 *         w lock of the wait queue   p process lock (kernel/proc)
 */
#pragma once

#include "kernel/base/list.h"
#include "kernel/base/rbtree.h"
#include "kernel/core/timer.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/cpumask.h"
#include "kernel/mm/fail.h"
#include "kernel/mm/node.h"
#include "kernel/sched/alarm.h"
#include "kernel/sched/entity.h"
#include "kernel/sched/pi.h"
#include "kernel/sync/rcu_tree.h"
#include "kernel/sync/refcount.h"
#include "kernel/sync/spinlock.h"

struct vmspace;
struct file;
struct fdtable;
struct fs_context;
struct cred;
struct process;
struct pid;
struct wait_queue;
struct robust_list_head;
struct rseq;
struct sched_class;

enum thread_state {
    THREAD_NEW,
    THREAD_RUNNABLE, /* on a run queue or running */
    THREAD_SLEEPING, /* woken by its event or by a signal */
    THREAD_UNINTERRUPTIBLE,
    THREAD_STOPPED, /* job control */
    THREAD_TRACED,  /* stopped for its tracer, who alone wakes it, or SIGKILL */
    THREAD_DEAD,
};

/* What has become of a kernel thread that is to get a number: kthread.h. */
enum kthread_state { KTHREAD_NONE, KTHREAD_NEW, KTHREAD_TAKEN };

/* thread->work bits: something to do before user mode runs again. Checked by the machine on each return. */
#define THREAD_WORK_RESCHED 0x01u
#define THREAD_WORK_SIGNAL  0x02u /* a signal may be deliverable */
#define THREAD_WORK_STOP    0x04u /* group stop requested */
#define THREAD_WORK_NOTIFY  0x08u /* notify_work() first: something was put off until here */
#define THREAD_WORK_FPU     0x10u /* FPU registers do not hold this thread's state */
#define THREAD_WORK_TRACE                                                                          \
    0x20u /* counted in syscall_watchers: its calls have somebody who looks on */
#define THREAD_WORK_RSEQ 0x80u /* preempted or moved with a restartable sequence registered */
#define THREAD_WORK_SIGMASK                                                                        \
    0x40u /* restore saved_sigmask when no handler ran (sigsuspend, ppoll) */
#define THREAD_WORK_RECLAIM                                                                        \
    0x100u /* reclaim_owed() first: took from the reserve of memory, or saw it thrash */
#define THREAD_WORK_SYSEXIT 0x200u /* a system call is being left that a tracer has seen enter */
#define THREAD_WORK_DEBUG                                                                          \
    0x400u /* has hardware breakpoints, which the CPU is to be given; stays set */
#define THREAD_WORK_TICK                                                                           \
    0x800u /* runs without ticks: sched_tickless_return() before user mode; stays set */
#define THREAD_WORK_ALL 0xfffu /* all of these */

/* Pending signals of a process or a thread. */
struct signal_pending {
    uint64_t set; /* [p] bit signo-1 */
    struct list_node
        queue; /* [p] struct signal_queued, one of each number; a set bit without an entry has no info (memory was short) */
};

#define COMM_SIZE  16
#define FAULT_RUNS 4 /* a power of two */

#define TIMER_SLACK_NS 50000u /* of process 1, and so of those who never asked for another */

/* Effective priorities: smaller runs first. 0..98 are real-time priorities 99..1, 100..139 nice -20..19. */
#define PRIO_STOP     (-2)
#define PRIO_DEADLINE (-1)
#define PRIO_FAIR     100
#define PRIO_NICE_0   120
#define PRIO_IDLE     140

struct thread {
    struct arch_thread arch; /* [o] saved CPU state */
    uint32_t work;  /* [a] THREAD_WORK_*: first cache line with arch: the exit path reads it */
    uint32_t state; /* [r] enum thread_state; set by the thread itself before it sleeps */
    void *stack;    /* [I] lowest address of the kernel stack, KSTACK_SIZE bytes */
    struct mmu_space *mmu; /* [o] active page tables, NULL for kernel threads */

    /* What higher rooms hang here. */
    struct process *process;        /* [I] */
    struct vmspace *vm;             /* [o][p] NULL for kernel threads */
    struct fdtable *files;          /* [o][p] */
    struct file *files_owed;        /* [o] to be released on the way to user mode */
    bool pays_files;                /* [o] it is just doing so */
    struct fs_context *fs;          /* [o][p] root, working directory, umask */
    struct sem_undo_list *sem_undo; /* [o] what its semaphores are undone by; NULL: nothing */
    struct cred *cred;              /* [o] replaced as a whole; looked at by others by RCU */
    struct pid *pid; /* [I] thread id, referenced; execve of another thread may exchange it */
    struct list_node process_node; /* [p] in process->threads */
    enum kthread_state numbering;  /* [kthread.c] */

    /* Scheduling. */
    const struct sched_class *class; /* [r] that `prio` belongs to */
    struct fair_entity fair;         /* [r] */
    struct rt_entity rt;             /* [r] */
    struct dl_entity dl;             /* [r] */
    ktime_t exec_start;              /* [r] charged up to here */
    ktime_t runtime_ns;              /* [r] CPU time so far */
    ktime_t queued_since;            /* [r] when it began to wait for the CPU */
    ktime_t run_delay;               /* [r] waited so long for it in all */
    uint64_t nrun;                   /* [r] how often it got it */
    uint32_t switch_work;            /* [a] SWITCH_*: alarm.h */
    ktime_t sync_since;  /* [o] woke somebody for whom it would make room; 0: it has slept since */
    uint8_t sync_belief; /* [o] how far that is to be believed: see place.c */
    uint32_t cpu;        /* [r] */
    int16_t prio;        /* [r] effective: the better one of its own and the inherited one */
    int16_t boost_prio;  /* [r] inherited by a lock that others wait for; PRIO_IDLE: none */
    int8_t nice;         /* [r] */
    uint8_t policy;      /* [r] SCHED_* of <linux/sched.h> */
    uint8_t rt_priority; /* [r] 1..99 of FIFO and RR, else 0 */
    bool reset_on_fork;  /* [r] */
    bool in_flight;      /* [r] on its way to the queue of `cpu` */
    bool on_queue;       /* [r] waits in the run queue; the running thread does not */
    uint8_t stalled;     /* [o] BIT(PSI_IO), BIT(PSI_MEMORY): psi.h */
    uint16_t ioprio;     /* [a] class and level as ioprio_set(2) has them; inherited */
    uint64_t utime_ticks,
        stime_ticks;         /* [o] samples of the 100 Hz tick, scaled to runtime_ns on reading */
    uint16_t stalled_on[2];  /* [o] CPUs on which that began */
    ktime_t io_since;        /* [o] when it began to wait for a device, if it does */
    ktime_t io_delay;        /* [a] waited so long for devices in all */
    uint64_t nvcsw, nivcsw;  /* [r] voluntary and involuntary switches */
    uint64_t minflt, majflt; /* [o] */
    struct cpumask cpu_mask; /* [r] affinity */
    bool bound;              /* [I] to one CPU, for good: users cannot change the affinity */
    struct thread_io { /* [o] what went through read and write, and how often they were called */
        uint64_t read_bytes, write_bytes, reads, writes;
    } io;

    /* Alarms by CPU time (kernel/proc/cpu_timer.h). */
    ktime_t alarm_at;                      /* [a] runtime_ns, for SWITCH_ALARM_THREAD */
    const struct alarm_group *alarm_group; /* [I] of its process; NULL: a kernel thread */
    struct list_node cpu_timers; /* by this thread's time: under the lock of the process' */

    struct rcu_reader rcu; /* where it was left behind inside a read section */

    /* Waiting. */
    struct timer sleep_timer;        /* [o] */
    uint64_t timer_slack_ns;         /* [a] its sleeps may end so much late; not while real-time */
    uint64_t timer_slack_default_ns; /* [I] what it began with */
    bool sleeps_by_real; /* [a] is to be woken when real time is stepped: clock_step.c */

    struct thread_pi pi;          /* what it inherits from who waits for it */
    struct list_node futex_owned; /* [pi.lock] struct futex_pi: of kernel/proc */
    bool futex_ended;             /* [pi.lock] it will own none any more */
    struct trace *trace;          /* [p] kernel/proc/ptrace.h; NULL: was never traced */

    /* Signals (kernel/proc owns the meaning). */
    struct signal_pending sig_pending; /* [p] sent to this thread alone */
    bool exiting;                      /* [p] takes no signals any more */
    bool nproc_exceeded;               /* [o] by its change of user: kernel/proc/limits.c */
    bool exec_raises;                  /* [p] for privileges by execve: kernel/proc/exec_cred.c */
    uint32_t stop_number;              /* [p] of the stop that it has to take part in; 0: none */
    uint64_t
        sig_blocked; /* [o] written only by the thread; read by senders under the process' signal lock */
    uint64_t sig_waited;    /* [o] likewise: what sigtimedwait has unblocked for its length */
    uint64_t saved_sigmask; /* [o] for THREAD_WORK_SIGMASK */
    struct thread_restart { /* [o] ERESTART_RESTARTBLOCK */
        int64_t (*fn)(struct thread_restart *restart);
        uint64_t arg[4];
    } restart;

    vaddr_t altstack_base;   /* [o] sigaltstack(2) */
    uint64_t altstack_size;  /* [o] 0: none */
    uint32_t altstack_flags; /* [o] */
    struct thread_fault {    /* [o] the last exception, for sigcontext */
        int trapno;
        uint64_t error_code;
        vaddr_t addr;
    } fault;

    uint32_t __user
        *set_child_tid; /* [o] CLONE_CHILD_SETTID: written by the thread before it starts */
    uint32_t __user *clear_child_tid; /* [o] */
    struct robust_list_head __user
        *robust_list;    /* [o] set_robust_list(2); read by others for get_robust_list(2) */
    struct thread_rseq { /* [o] rseq(2) */
        struct rseq __user *area; /* NULL: none */
        uint32_t signature; /* that stands before the place where an aborted sequence goes on */
        uint32_t cpu;       /* that `area` tells */
    } rseq;
    uint32_t fault_disabled;   /* [o] user_fault_disable depth */
    struct thread_fault_runs { /* [o] kernel/vm/fault.c: memory touched in ascending order; hints */
        uint64_t next[FAULT_RUNS];   /* where each run would go on */
        uint16_t window[FAULT_RUNS]; /* pages that its last fault mapped */
        uint32_t last;               /* the run of the last fault */
    } fault_runs;
    struct thread *dead; /* [o] ended before this one ran; goes at once (sched.c: bury()) */
    bool burying;        /* [o] is at it */
    bool reclaiming;     /* [o] frees memory: its own requests must not wait for that */
    void *journal;       /* [o] for file systems: handle of the running transaction */
    struct refcount refs;
    char comm[COMM_SIZE];         /* [o] torn reads are harmless */
    ktime_t start_time;           /* [I] monotonic */
    void (*kernel_fn)(void *arg); /* [I] kernel threads: what they run */
    void *kernel_arg;             /* [I] */
    struct mempolicy mempolicy;   /* [o] torn reads by /proc are harmless; inherited */
    uint32_t interleave;          /* [o] whose turn it is, of the policy's nodes */
#ifdef CONFIG_FAIL
    struct fail_task fail; /* make_it_fail is inherited */
#endif
#ifdef CONFIG_LOCKDEP
    struct lockdep_stack lockdep; /* [o] sleeping locks held */
#endif
};

/*
 * A kernel thread, not yet started; NULL on no memory. Its last action is to return from fn. Once it has been started it becomes known to users by a number,
 * as a child of process 2.
 */
struct thread *thread_create_kernel(const char *comm, void (*fn)(void *arg), void *arg);
/*
 * A thread structure with a kernel stack for a user process: refs 1, state NEW, all pointers of higher rooms NULL;
 * scheduling parameters inherited from the current thread. The caller fills it, calls cpu_thread_init_user, then thread_start.
 */
struct thread *thread_create_user(const char *comm);
/* Make a NEW thread runnable. */
void thread_start(struct thread *thread);
/* A NEW thread that was never started. */
void thread_discard(struct thread *thread);
/* End the current thread. Higher rooms have let go of what they hung on it. Its structure lives until the last thread_put. */
void thread_exit(void) __noreturn;
void thread_put(struct thread *thread);
static inline void thread_get(struct thread *thread)
{
    refcount_get(&thread->refs);
}

/* Set work bits of any thread and make it notice: kicks it out of user mode when it runs on another CPU. */
void thread_set_work(struct thread *thread, uint32_t bits);
static inline void thread_clear_work(struct thread *thread, uint32_t bits)
{
    (void)__atomic_fetch_and(&thread->work, ~bits, __ATOMIC_RELAXED);
}

static inline bool thread_signal_pending(const struct thread *thread)
{
    return (atomic_load_relaxed(&thread->work) & THREAD_WORK_SIGNAL) != 0;
}

/* User and system CPU time in ns, exact in sum. */
void thread_times(struct thread *thread, ktime_t *ret_user, ktime_t *ret_system);

extern struct thread boot_thread; /* CPU 0's idle thread, on the boot stack */
