/*
 * The run queue of a CPU: private to kernel/sched.
 *
 * Threads that want the CPU stand in a tree ordered by virtual runtime: CPU time divided by weight, so that equal virtual
 * times mean fair shares (the weighted fair queueing of Stoica et al., "Earliest Eligible Virtual Deadline First", 1995, in the
 * simple form that always runs the smallest). The running thread is not in the tree.
 *
 * Locking: rq->lock, taken with interrupts off and held across the switch of stacks: the thread that comes back releases what the
 * other took. So it is a raw lock, unknown to the lock checker, and whoever holds it and sees rq->current == thread knows
 * that the thread's registers are live, else that they are saved. Order: everything else -> rq->lock -> timer queue lock.
 */
#pragma once

#include "kernel/core/percpu.h"
#include "kernel/core/time.h"
#include "kernel/sched/sched.h"

#define SCHED_SLEEP_CREDIT_NS                                                                      \
    (3 * NS_PER_MS) /* at most so much virtual time behind the others after a sleep */
#define SCHED_WAKE_MARGIN_NS (1 * NS_PER_MS) /* a waker is preempted when it is ahead by more */
#define SCHED_TICK_NS        (NS_PER_S / SCHED_TICK_HZ)

struct runqueue {
    struct spinlock lock;
    uint32_t nqueued;             /* [lock] in the tree; read by the own CPU at any time */
    struct rb_root tree;          /* [lock] */
    struct thread *leftmost;      /* [lock] smallest virtual runtime in the tree */
    struct thread *current;       /* [lock] */
    struct thread *idle;          /* [I] */
    struct thread *switched_from; /* own CPU: from just before a switch to just after it */
    uint64_t min_vruntime;        /* [lock] never goes back: where newcomers are placed */
    struct timer
        slice_timer;         /* may be armed only while nqueued > 0; fires once per slice at most */
    struct timer tick_timer; /* armed while the CPU is not idle */
    uint64_t switches;       /* [lock] */
    uint64_t ticks_user, ticks_nice, ticks_system; /* own CPU's tick */
};

DECLARE_PER_CPU(struct runqueue, runqueue);

/* Weight 1024 is nice 0; each step of nice is a factor of 1.25 (sched(7), "The nice value"). Index nice + 20. */
extern const uint32_t sched_weight[40];
extern const uint32_t sched_inverse_weight[40]; /* 2^32 / weight */

/* Nanoseconds of CPU time as virtual time of a thread with this nice value. */
static inline uint64_t vruntime_delta(const struct thread *thread, uint64_t ns)
{
    if (likely(thread->nice == 0)) {
        return ns;
    }
    return (uint64_t)(((unsigned __int128)ns * sched_inverse_weight[thread->nice + 20]) >> 22);
}

static inline bool vruntime_before(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

/* Interrupts are off. Raises preempt_count by one, as every spinlock does. */
static inline void runqueue_lock(struct runqueue *rq)
{
    preempt_disable();
    spin_lock_raw_(&rq->lock);
}

static inline void runqueue_unlock(struct runqueue *rq)
{
    spin_unlock_raw_(&rq->lock);
    preempt_enable_no_resched();
}

/* Lock the queue that the thread belongs to; it cannot leave it while the lock is held. Interrupts off. */
struct runqueue *runqueue_lock_of(struct thread *thread);
/* Charge the running thread for its time up to `now`. */
void runqueue_update_current_locked(struct runqueue *rq, ktime_t now);
/* Put a runnable thread that is not running into the tree, at its virtual runtime. */
void runqueue_insert_locked(struct runqueue *rq, struct thread *thread);
void runqueue_remove_locked(struct runqueue *rq, struct thread *thread);
/* A thread became runnable: place it, and ask for a reschedule when it should run before the current one. */
void runqueue_wake_locked(struct runqueue *rq, struct thread *thread);
/* What a new thread does first: the counterpart of the switch that chose it. Interrupts off. */
void runqueue_finish_switch(void);

/* load.c: the tick, accounting, load averages. */
void sched_tick_start(struct runqueue *rq, ktime_t now);
void sched_tick_init(struct runqueue *rq);
/* thread.c */
void thread_cache_init(void);
/* The thread that CPU `id` runs when there is no other; NULL on no memory. */
struct thread *thread_create_idle(unsigned id);
