/*
 * The scheduler's interface: sleeping, waking, yielding, priorities. Behind it: a run queue per CPU, ordered by virtual
 * runtime, with a slice timer that is armed only while more than one thread wants the CPU (so an idle or single-threaded
 * CPU takes no slice interrupts).
 */
#pragma once

#include "kernel/sched/params.h"
#include "kernel/sched/thread.h"

void sched_init(void);
/* Turn the boot thread, or another CPU's first thread, into the CPU's idle thread. Never returns. */
void sched_idle_loop(void) __noreturn;
/*
 * The scheduler's struct cpu_step: the CPU's idle thread and its run queue (-ENOMEM); whether threads are placed there (-EBUSY: deadline threads
 * were promised more than the other CPUs have).
 */
int sched_cpu_prepare(unsigned id);
void sched_cpu_online(unsigned id);
void sched_cpu_ready(unsigned id);
int sched_cpu_leave(unsigned id);
void sched_cpu_offline(unsigned id);
/*
 * A thread that, once started, takes the CPU over and sends all others away, so that the CPU's idle thread finds that it is leaving
 * (sched_cpu_is_leaving(), interrupts off). NULL: no memory. thread_discard() gives back one that is not started. Thread context.
 */
struct thread *sched_stop_create(unsigned id) __must_check;
void sched_stop_start(struct thread *thread);
bool sched_cpu_is_leaving(void);

/* Choose another thread if there is a better one. Preemption on, may sleep if the caller set its state. */
void schedule(void);
/* sched_yield(2). */
void sched_yield_cpu(void);

/*
 * Wake a thread that is in one of the states of `mask` (BIT(THREAD_SLEEPING) ...). True when it was sleeping. Any context. `how`: 0, or
 * WAKE_SYNC: the waker is about to sleep itself, its CPU will be free.
 */
#define WAKE_SYNC 0x1u
bool thread_wake_how(struct thread *thread, uint32_t mask, unsigned how);
static inline bool thread_wake_states(struct thread *thread, uint32_t mask)
{
    return thread_wake_how(thread, mask, 0);
}
static inline bool thread_wake(struct thread *thread)
{
    return thread_wake_how(thread, BIT(THREAD_SLEEPING) | BIT(THREAD_UNINTERRUPTIBLE), 0);
}

/*
 * The lower-level way to sleep, for code that has its own queues:
 *     thread_prepare_sleep(THREAD_SLEEPING);  if (!condition) schedule();  thread_finish_sleep();
 * A wake between the two makes schedule() return at once.
 */
void thread_prepare_sleep(enum thread_state state);
void thread_finish_sleep(void);
/*
 * schedule() that returns at the absolute `deadline` if not before, late by the thread's timer slack at most; true when it passed. State was
 * prepared.
 */
bool schedule_until(ktime_t deadline);
/* How late the thread's sleeps may end, so that several end with one interrupt; 0: what it had at its birth. Any context. */
void thread_set_timer_slack(struct thread *thread, uint64_t slack_ns);

/*
 * Until when somebody waits at most: an absolute monotonic time, or a real one, which is waited for anew when that clock is stepped meanwhile.
 */
struct time_limit {
    ktime_t at; /* KTIME_MAX: for ever */
    bool real;
};
#define TIME_LIMIT_NONE                                                                            \
    (struct time_limit)                                                                            \
    {                                                                                              \
        KTIME_MAX, false                                                                           \
    }
/* schedule_until() with such a limit. It returns early when real time was stepped: sleeps_by_real. */
bool schedule_within(struct time_limit limit);

/* Sleep at least ns. Not interrupted by signals. */
void thread_sleep_ns(ktime_t ns);
/* Sleep until the absolute monotonic deadline; -ERESTARTNOHAND when a signal came first. */
int thread_sleep_until_interruptible(ktime_t deadline);

/*
 * Let the thread run only on the CPUs of `mask`; when this returns it does. -EINVAL: none of them takes threads; -EBUSY: a deadline thread has
 * to have them all. Thread context, sleeps.
 */
int sched_set_affinity(struct thread *thread, const struct cpumask *mask) __must_check;
/* The thread may run on all CPUs that are online. */
bool sched_runs_everywhere(const struct thread *thread);
/* A thread that was not started yet will run on this CPU alone. */
void thread_bind(struct thread *thread, unsigned cpu);

/*
 * Wait until the thread, which is in `state` or about to be, is switched out, so that its registers are in memory. False: it is in another state.
 * It stays switched out as long as nobody wakes it. May sleep.
 */
bool thread_wait_switched_out(struct thread *thread, enum thread_state state);
/*
 * Call `look` for a thread that waits for something, or is stopped: its registers are in memory and it cannot go on meanwhile. False: it runs,
 * or could. `look` runs with interrupts off under a run queue's lock: it reads memory of the thread and no more. Any context.
 */
bool thread_look_waiting(struct thread *thread, void (*look)(struct thread *thread, void *arg),
                         void *arg);

/* Runnable threads over all CPUs, and the three load averages in 1/2048. */
unsigned sched_nr_running(void);
void sched_load(uint64_t ret_load[3]);
/* CPUs have come or gone: who shares what with whom is found out anew. Thread context, cpus_lock held for writing (hotplug.h). */
void sched_domains_rebuild(void);

/*
 * What CPUs share, the nearest first: a core, a last level cache, a package, a node's memory, all that is left. And what has been counted in each of a CPU's
 * domains, in the words of /proc/schedstat (Linux, Documentation/scheduler/sched-stats, version 15): each kind of balancing, threads that were
 * running and were sent away, and wakes that came from another CPU or brought the thread to one.
 */
enum domain_level {
    DOMAIN_CORE,
    DOMAIN_CACHE,
    DOMAIN_PACKAGE,
    DOMAIN_NODE,
    DOMAIN_ALL,
    DOMAIN_LEVELS
};
enum balance_kind { BALANCE_IDLE, BALANCE_BUSY, BALANCE_NEWLY_IDLE, BALANCE_KINDS };
struct domain_stats {
    struct balance_stats {
        uint64_t looks, balanced, failed, imbalance, gained, no_busy_queue;
    } balance[BALANCE_KINDS];
    uint64_t push_tries, push_failed, pushed;
    uint64_t wake_remote, wake_moved;
};
/* Of the index-th domain of the CPU, counted from 0. False: there are not so many. A moment's figures. */
bool sched_domain_stats(unsigned cpu, unsigned index, struct cpumask *ret_span,
                        struct domain_stats *ret_stats);
struct sched_cpu_stats {
    /* By samples of the tick; the time of interrupts is exact, as is idle time, which iowait_ns (with threads that wait for a device) is no part of. */
    ktime_t user_ns, nice_ns, system_ns;
    ktime_t idle_ns, iowait_ns, irq_ns, softirq_ns;
    unsigned niowait; /* threads that began to wait for a device there */
    uint64_t switches;
    /* Switches to other threads than the idle one, how long these had waited in all, and threads fetched from other CPUs. */
    uint64_t nrun;
    ktime_t run_delay_ns;
    uint64_t pulls;
    uint64_t wakes, wakes_local; /* threads woken there, and those that the CPU woke itself */
};
/*
 * The current thread has THREAD_WORK_TICK and is about to return to user mode; `worked`: it has other work to do first. Interrupts off.
 */
void sched_tickless_return(bool worked);
void sched_cpu_stats(unsigned cpu, struct sched_cpu_stats *ret_stats);
uint64_t sched_total_forks(void);
struct sched_thread_stats {
    ktime_t runtime_ns, run_delay_ns; /* on the CPU; waited for it */
    uint64_t nrun;                    /* how often it got it */
    uint64_t vruntime, deadline;      /* fair class: virtual ns */
};
void sched_thread_stats(struct thread *thread, struct sched_thread_stats *ret_stats);

#define SCHED_SLICE_NS    (3 * NS_PER_MS)   /* what a fair thread asks for at a time */
#define SCHED_TURN_MIN_NS (100 * NS_PER_US) /* between two looks at whether a turn is over */
#define SCHED_TICK_HZ     100
