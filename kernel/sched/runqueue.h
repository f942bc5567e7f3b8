/*
 * The run queue of a CPU, and the scheduling classes: private to kernel/sched.
 *
 * A thread that wants the CPU waits in the structure of its class; the running thread is in none. Classes have ranks: a waiting
 * thread of a better class always comes first. In the order of rank: stop (the kernel's own, over everything), deadline, rt (FIFO
 * and RR), fair (NORMAL, BATCH and IDLE), idle (the thread that runs when nobody else wants to).
 *
 * Locking: rq->lock, taken with interrupts off and held across the switch of stacks: the thread that comes back releases what the
 * other took. So it is a raw lock, unknown to the lock checker, and whoever holds it and sees rq->current == thread knows
 * that the thread's registers are live, else that they are saved. Order: everything else -> rq->lock -> timer queue lock, dl_lock
 * (deadline.c); of two run queues, the one with the smaller CPU number first.
 *
 * thread->cpu names the queue whose lock protects the thread; it changes only under that lock. A runnable thread that is neither
 * current nor on_queue is in flight from one queue to another: it belongs to whoever carries it (runqueue_deliver), others
 * may change its parameters under the lock of the queue that thread->cpu names, which the carrier then looks at. Or it is a deadline thread
 * that waits for its budget: then it belongs to its timer, until somebody says otherwise (dl.waits) under the lock.
 */
#pragma once

#include "kernel/core/percpu.h"
#include "kernel/core/time.h"
#include "kernel/sched/domain.h"
#include "kernel/sched/psi.h"
#include "kernel/sched/sched.h"

#define SCHED_TICK_NS (NS_PER_S / SCHED_TICK_HZ)
#define RT_PRIOS      99

/* runqueue->after_switch */
#define AFTER_SWITCH_DEAD 0x1u /* the thread that was switched from has ended */
#define AFTER_SWITCH_MOVE 0x2u /* it goes on on another CPU */
#define AFTER_SWITCH_PUSH 0x4u /* a real-time thread waits: another CPU may have time for it */
#define AFTER_SWITCH_PULL 0x8u /* what runs here has become worse: better ones may wait elsewhere */

/* In the `work` of an idle thread: it looks at THREAD_WORK_RESCHED there before it sleeps, and needs no message. */
#define THREAD_WORK_POLLING 0x80000000u

/* Why a thread joins: it slept, it is new (here, or in its class), it comes from another queue or was taken out for a moment; for a worse priority. */
enum join_kind { JOIN_WAKE, JOIN_NEW, JOIN_MOVE, JOIN_LOWERED };

enum class_rank { RANK_STOP, RANK_DEADLINE, RANK_RT, RANK_FAIR, RANK_IDLE };

struct fair_queue {
    struct rb_root tree;     /* waiting threads by virtual deadline */
    struct thread *leftmost; /* the earliest deadline */
    uint32_t n;
    uint64_t
        base; /* virtual time that sum_service counts from: the average when it was computed last */
    int64_t sum_service; /* sum of weight * (vruntime - base) over the tree */
    uint64_t sum_weight; /* sum of weight over the tree */
    bool challenged; /* somebody better has come, and waits till the running thread is settled */
};

struct rt_queue {
    uint64_t bitmap[2]; /* priorities with waiting threads */
    struct list_node list[RT_PRIOS];
    uint32_t n;
    bool throttled;       /* has had its share of this period, and others wait */
    ktime_t period_start; /* of the share */
    ktime_t used;
};

struct dl_queue {
    struct rb_root tree; /* waiting threads by absolute deadline */
    struct thread *leftmost;
    uint32_t n;
};

/* Pressure (psi.h): sums by resource and kind, and states that last. */
enum psi_sum {
    PSI_SUM_IO_SOME,
    PSI_SUM_IO_FULL,
    PSI_SUM_MEMORY_SOME,
    PSI_SUM_MEMORY_FULL,
    PSI_SUM_CPU_SOME,
    PSI_SUM_CPU_FULL, /* never */
    PSI_SUMS
};
#define PSI_NOW_IDLE BIT(PSI_SUMS) /* the CPU itself is idle */

struct psi_cpu {
    ktime_t cpu_since;        /* somebody waits for the CPU; 0: nobody */
    uint32_t nstalls;         /* of any kind: the rest is looked at only then */
    uint32_t nstalled[2];     /* by IO and memory, that began here */
    uint32_t nstalled_queued; /* waiting threads that are stalled by memory */
    uint32_t now;             /* BIT(PSI_SUM_*) of IO and memory, PSI_NOW_IDLE */
    ktime_t since;            /* up to here these are in the sums */
    struct psi_sums {
        uint64_t lost[PSI_SUMS]; /* ns */
        uint64_t stalled_idle;   /* ns with stalled threads alone */
    } sums;
};

struct runqueue {
    struct spinlock lock;
    uint32_t cpu;     /* [I] */
    uint32_t nqueued; /* [lock] waiting; read by all at any time */
    uint32_t waiting; /* [lock] BIT(rank) of classes with waiting threads; read at any time */
    uint32_t
        wanted; /* [lock] during pick: the same and that of the running thread, if it wants to go on */
    struct thread *current;       /* [lock] read by all at any time */
    struct thread *idle;          /* [I] */
    struct thread *switched_from; /* own CPU: from just before a switch to just after it */
    struct fair_queue fair;       /* [lock] */
    struct rt_queue rt;           /* [lock] */
    struct dl_queue deadline;     /* [lock] */
    struct psi_cpu psi;           /* [lock] */
    struct list_node stop;        /* [lock] */
    uint32_t nstop;               /* [lock] */
    struct timer slice_timer;     /* armed for the end of the running thread's turn */
    ktime_t owed;                 /* [lock] left to do without it, OWED_*; 0: nothing */
    struct timer alarm_timer;     /* aimed at the running thread's alarms: alarm.h */
    struct timer tick_timer;      /* armed while the CPU is not idle */
    struct thread *tickless;      /* [lock] the running thread, if it needs no ticks: tickless.c */
    ktime_t tick_from;            /* [lock] the last tick that was counted */
    uint64_t tick_minflt;         /* own CPU, then: the thread's faults when they ceased */
    bool online;                  /* [lock] threads may be brought here */
    bool kicked;                  /* [a] another CPU has too much: look for work */
    int16_t current_prio;         /* [lock] of `current`; read by all at any time */
    uint32_t after_switch;        /* [lock] AFTER_SWITCH_* */
    uint64_t nticks;              /* own CPU's tick */
    uint64_t
        load_average; /* own CPU's tick; read by all at any time: weights of who wants the CPU */
    uint32_t better_average; /* own CPU's tick: the part of it that better classes have, of 1024 */
    ktime_t idle_since;      /* own CPU: when the idle thread was chosen last */
    ktime_t idle_average;    /* own CPU: how long it is idle at a time */
    struct sched_domain domain[DOMAIN_LEVELS]; /* domain.h */
    uint32_t give_to; /* [lock] the running thread is to go on there; MAX_CPUS: it stays */
    uint64_t wakes, wakes_remote; /* [lock] threads woken here; those that another CPU woke */
    uint64_t switches;            /* [lock] */
    uint64_t nrun;                /* [lock] switches to other threads than the idle one */
    ktime_t run_delay;            /* [lock] these have waited so long in all */
    uint64_t pulls;               /* [lock] threads fetched from other CPUs */
    uint64_t ticks_user, ticks_nice, ticks_system; /* [lock] */
    uint64_t irq_charged; /* [lock] cycles of interrupts that had ticks of their own */
    ktime_t idle_told;    /* [lock] idle time that somebody was told of: it does not become less */
};

DECLARE_PER_CPU(struct runqueue, runqueue);

/* All functions: rq->lock held. `now` is ktime_now(). */
struct sched_class {
    const char *name;
    enum class_rank rank;
    /* A thread that neither runs nor waits here wants the CPU: it was woken, made, moved here or got new parameters. */
    void (*join)(struct runqueue *rq, struct thread *thread, enum join_kind kind, ktime_t now);
    /* It does not want it (here) any more. `running`: it is the current one, else it waits. */
    void (*leave)(struct runqueue *rq, struct thread *thread, bool running);
    /* The current thread, which had left, goes on: it was taken out of the counts for a change of its parameters. JOIN_NEW: that made it of this class. */
    void (*resume)(struct runqueue *rq, struct thread *current, enum join_kind kind, ktime_t now);
    /*
     * Who runs next: the best of the waiting ones, which is taken out, or `prev`, the running one, which is of this class and
     * wants to go on (NULL: there is none). NULL: nobody may.
     */
    struct thread *(*pick)(struct runqueue *rq, struct thread *prev, bool yield, ktime_t now);
    /* The running thread loses the CPU and goes on waiting for it. */
    void (*put_prev)(struct runqueue *rq, struct thread *prev, ktime_t now);
    /* The running thread has had the CPU for delta ns. */
    void (*charge)(struct runqueue *rq, struct thread *current, uint64_t delta, ktime_t now);
    /* `woken` has joined: should it run at once in place of `current`, of the same class? */
    bool (*preempts)(struct runqueue *rq, const struct thread *current, const struct thread *woken);
    /* ns until the running thread's turn ends (0 or less: it has ended), KTIME_MAX: it does not end by itself. */
    ktime_t (*turn_left)(struct runqueue *rq, const struct thread *current, ktime_t now);
};

extern const struct sched_class stop_class, deadline_class, rt_class, fair_class, idle_class;

static inline bool thread_waits_for_budget(const struct thread *thread)
{
    return unlikely(thread->class == &deadline_class) && thread->dl.waits;
}

/* It does not run, but will without being woken, whatever its state says. */
static inline bool thread_is_coming(const struct thread *thread)
{
    return thread->on_queue || thread->in_flight || thread_waits_for_budget(thread);
}

/* Interrupts are off. Raises preempt_count by one, as every spinlock does. */
static inline void runqueue_lock(struct runqueue *rq)
{
    preempt_disable();
    spin_lock_raw_(&rq->lock);
}

/*
 * What the holder of the lock finds to be wanted of the hardware waits until the lock is given back: the access takes long, in a virtual machine
 * very long, and other CPUs may be waiting. OWED_MESSAGE: the queue's CPU is to look; any other time: the own slice timer is to be armed for it.
 */
#define OWED_MESSAGE ((ktime_t)1)
void runqueue_release_pay(struct runqueue *rq);
static inline void runqueue_release(struct runqueue *rq)
{
    if (likely(rq->owed == 0)) {
        spin_unlock_raw_(&rq->lock);
    } else {
        runqueue_release_pay(rq);
    }
}

static inline void runqueue_unlock(struct runqueue *rq)
{
    runqueue_release(rq);
    preempt_enable_no_resched();
}

static inline bool psi_is_stalled(const struct thread *thread)
{
    return (thread->stalled & BIT(PSI_MEMORY)) != 0;
}

/* Counts of who waits; for the classes' join, leave, pick and put_prev. `n` is the class' own count. */
static inline void runqueue_add(struct runqueue *rq, struct thread *thread, uint32_t *n)
{
    thread->on_queue = true;
    rq->psi.nstalled_queued += unlikely(thread->stalled != 0) && psi_is_stalled(thread);
    ++*n;
    atomic_store_relaxed(&rq->nqueued, rq->nqueued + 1);
    atomic_store_relaxed(&rq->waiting, rq->waiting | (uint32_t)BIT(thread->class->rank));
}

static inline void runqueue_sub(struct runqueue *rq, struct thread *thread, uint32_t *n)
{
    thread->on_queue = false;
    rq->psi.nstalled_queued -= unlikely(thread->stalled != 0) && psi_is_stalled(thread);
    atomic_store_relaxed(&rq->nqueued, rq->nqueued - 1);
    if (--*n == 0) {
        atomic_store_relaxed(&rq->waiting, rq->waiting & ~(uint32_t)BIT(thread->class->rank));
    }
}

/* Bring what is stalled on this CPU up to date. */
void psi_stalls_update_locked(struct runqueue *rq, ktime_t now);

/* A thread has begun to wait for the CPU. */
static inline void psi_queued_locked(struct runqueue *rq, ktime_t now)
{
    if (rq->psi.cpu_since == 0) {
        rq->psi.cpu_since = now;
    }
    if (unlikely(rq->psi.nstalls > 0)) {
        psi_stalls_update_locked(rq, now);
    }
}

/* Another thread runs, or one that waited does so no more. */
static inline void psi_switched_locked(struct runqueue *rq, ktime_t now)
{
    if (rq->psi.cpu_since != 0) {
        /* Another CPU, which read the clock later, may have had the lock earlier. */
        rq->psi.sums.lost[PSI_SUM_CPU_SOME] += (uint64_t)MAX(now - rq->psi.cpu_since, (ktime_t)0);
        rq->psi.cpu_since = rq->nqueued > 0 ? now : 0;
    }
    if (unlikely(rq->psi.nstalls > 0)) {
        psi_stalls_update_locked(rq, now);
    }
}

/* Lock the queue that the thread belongs to; it cannot leave it while the lock is held. Interrupts off. */
struct runqueue *runqueue_lock_of(struct thread *thread);
/* Charge the running thread for its time up to `now`. */
void runqueue_update_current_locked(struct runqueue *rq, ktime_t now);
/* Make the queue's CPU choose anew. */
void runqueue_resched_locked(struct runqueue *rq);
/* A thread has joined: ask for a reschedule when it should run before the current one. */
void runqueue_check_preempt_locked(struct runqueue *rq, struct thread *thread, ktime_t now);
/* The running thread's parameters, or who else waits, have changed: see to it that its turn ends in time. */
void runqueue_start_turn_locked(struct runqueue *rq, ktime_t now);
/*
 * Send a runnable thread, which neither runs nor waits, from its queue, which is locked, to another one's CPU: it is in flight from here until
 * runqueue_deliver(), for which no run queue is locked. Interrupts off for both.
 */
void runqueue_send_locked(struct thread *thread, unsigned cpu);
void runqueue_deliver(struct thread *thread, enum join_kind kind);
/* A thread that neither runs nor waits, nor is in flight, comes to this queue, its own. */
void runqueue_join_locked(struct runqueue *rq, struct thread *thread, enum join_kind kind);
/* The same, to the queue that is the best for it. True: that is another one; the caller lets go of this one, and delivers the thread. */
bool runqueue_bring_locked(struct runqueue *rq, struct thread *thread, enum join_kind kind,
                           unsigned how);
/* What a new thread does first: the counterpart of the switch that chose it. Interrupts off. */
void runqueue_finish_switch(void);

void fair_queue_init(struct fair_queue *queue);
/* Weight and slice of a thread that stands in no queue, from its policy, niceness and custom slice (0: the usual one). */
void fair_set_params(struct thread *thread, uint64_t slice_ns);

void rt_queue_init(struct rt_queue *queue);
ktime_t sched_rr_slice_ns(void);
/* ns until throttled real-time threads may run again; KTIME_MAX: they are not throttled. */
ktime_t rt_share_due(struct runqueue *rq, ktime_t now);

void dl_thread_init(struct thread *thread);
/* Another policy's, or new, parameters: the server begins afresh. The thread stands in no queue. */
void dl_set_params(struct thread *thread, const struct sched_params *params);
bool dl_has_params(const struct dl_entity *dl, const struct sched_params *params);
/* It runs by the deadline of `donor`, if that is the earlier one, until the next call; NULL: by its own. It stands in no queue. */
void dl_inherit(struct thread *thread, const struct thread *donor);
bool dl_params_valid(const struct sched_params *params);
/* Take the bandwidth of `params` (NULL, another policy: none) for the thread, instead of what it has. -EBUSY: there is not enough. */
int dl_admit(struct thread *thread, const struct sched_params *params);
/* A CPU becomes active, and so adds to what there is to have, or is to be no longer. -EBUSY: what was promised would not fit in the others. */
void dl_cpu_set_active(unsigned id);
int dl_cpu_clear_active(unsigned id);

/* More than one CPU has ever been online. */
extern bool sched_several;

/* CPUs where threads are placed: those that are online, but for one that is about to come or to leave. */
extern struct cpumask sched_active; /* [a] leave.c */

static inline bool thread_may_run_on(const struct thread *thread, unsigned cpu)
{
    return cpumask_test(&thread->cpu_mask, cpu);
}

static inline bool runqueue_is_idle(const struct runqueue *rq)
{
    return atomic_load_relaxed(&rq->current) == rq->idle && atomic_load_relaxed(&rq->nqueued) == 0;
}

/* Threads that run or want to; a moment's figure. */
static inline unsigned runqueue_nr_running(const struct runqueue *rq)
{
    return atomic_load_relaxed(&rq->nqueued) + (atomic_load_relaxed(&rq->current) != rq->idle);
}

/* place.c: on which CPU a thread is to run. The queue of thread->cpu is locked, or the thread is new. */
unsigned placement_of_woken(struct thread *thread, unsigned flags);
unsigned placement_of_new(struct thread *thread);
/* The running thread is about to sleep: did it so soon after it had said so (WAKE_SYNC)? */
void placement_note_sleep(struct thread *thread);
/* It may not stay where it is. */
unsigned placement_of_moved(struct thread *thread);
/* The idle CPU nearest to `cpu` where the thread (NULL: any) may run, of a bounded number that are looked at; MAX_CPUS: none. */
unsigned find_idle_cpu(const struct thread *thread, unsigned cpu);

/* balance.c: moving threads that wait. Interrupts off, no run queue locked. */
void balance_before_sleep(struct runqueue *rq);
void balance_kicked(struct runqueue *rq);
void balance_push(struct runqueue *rq);
void balance_pull(struct runqueue *rq);
/* In the tick: is it time to look around? */
void balance_tick(struct runqueue *rq);
void balance_init(void);
/* Real-time or deadline threads wait on this CPU, or do not any more. */
void balance_overloaded(unsigned cpu, bool overloaded);
bool balance_any_overloaded(void);

/* leave.c: the CPU leaves. All who wait there go elsewhere, and nobody comes any more. Interrupts off. */
void sched_evacuate(struct runqueue *rq);

/* alarm.c: the thread that gets the CPU, or had it, has alarms; the alarms of the running one may be other ones. Own CPU. */
void alarm_switch_locked(struct runqueue *rq, ktime_t now);
void alarm_look_locked(struct runqueue *rq);
/* The same of any CPU. */
void alarm_changed_locked(struct runqueue *rq);
void alarm_init(struct runqueue *rq);

/* tickless.c. CPUs without ticks that have not been asked for help. */
extern struct cpumask sched_tickless; /* [a] */
void tickless_init(void);
/* Count the ticks that were left out up to `now`; all functions: nothing if none are. */
void tickless_count_locked(struct runqueue *rq, ktime_t now);
/* The end of the tick, in which it met user mode or not: when is the next one? Own CPU, interrupts off. */
void tickless_decide(struct runqueue *rq, bool user);
/* The ticks begin anew. Own CPU. */
void tickless_end_locked(struct runqueue *rq);
/* The same, but if nobody wants them after all. Own CPU. */
void tickless_look_locked(struct runqueue *rq);
/* A thread has joined. Any CPU. */
void tickless_joined_locked(struct runqueue *rq);
/* Threads wait here that others might take. */
void tickless_call_help(void);

/* load.c: the tick, accounting, load averages. */
void sched_tick_start(struct runqueue *rq, ktime_t now);
void sched_tick_init(struct runqueue *rq);
/* All ticks up to `now` that have not been counted have met the thread, in user mode or in the kernel. */
void tick_count_locked(struct runqueue *rq, struct thread *thread, bool user, ktime_t now);
/* thread.c */
void thread_cache_init(void);
/* The thread that CPU `id` runs when there is no other; NULL on no memory. */
struct thread *thread_create_idle(unsigned id);
/* params.c: what a child has of its parent, by the parent's policy and its flags. */
void sched_params_inherit(struct thread *thread, const struct thread *parent);
