/*
 * Who waits for a lock that sleeps, and who may come first. Private to kernel/sched: mutex.c, rwsem.c.
 */
#pragma once

#include "kernel/core/panic.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/spin_queue.h"

/* So often somebody else may take the lock that this one was woken for, until it comes. */
#define OVERTAKEN_MAX 8u

struct lock_waiter {
    struct pi_waiter pi;
    struct list_node node; /* [wait.lock] readers: in rwsem->readers */
    uint8_t overtaken;     /* [wait.lock] so often it found the lock taken, or let pass */
    bool write;            /* [I] */
    bool granted;          /* [wait.lock to write] it holds the semaphore */
};

static inline struct lock_waiter *lock_waiter_of(struct pi_waiter *pi)
{
    return pi == NULL ? NULL : container_of(pi, struct lock_waiter, pi);
}

/* Who spins keeps nobody's priority up: so a real-time thread queues at once, and is given the lock. */
static inline bool lock_may_spin(void)
{
    return atomic_load_relaxed(&current_thread()->prio) >= PRIO_FAIR;
}

/* Is the lock handed over to this waiter, instead of being let free for whoever comes first? lock->lock is held. */
static inline bool lock_hands_over(const struct lock_waiter *waiter)
{
    return waiter->pi.rank != PI_RANK_FAIR || waiter->overtaken >= OVERTAKEN_MAX;
}

/* May a thread of this rank that is not queued take the free lock before `best`, the best waiter? lock->lock is held. */
static inline bool lock_may_overtake(int64_t rank, const struct lock_waiter *best)
{
    return rank < best->pi.rank || !lock_hands_over(best);
}
