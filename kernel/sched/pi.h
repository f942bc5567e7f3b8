/*
 * Priority inheritance: who owns a lock runs with the priority of the best that waits for it, through chains of owners that wait
 * themselves (Sha, Rajkumar and Lehoczky, "Priority Inheritance Protocols", 1990).
 *
 * A struct pi_lock knows its owner and its waiters, best first; how it is taken and left is the business of what embeds it. Of each
 * lock only the best waiter counts for the owner: it is a donor of the owner. A thread waits for one lock at most.
 *
 * Who uses it: futexes that inherit priority (kernel/proc), mutexes, and reader-writer semaphores (mutex.h), in one and the same chains.
 *
 * The rank: real-time threads by priority, deadline threads before them by deadline; all others are equals, whatever their niceness, which
 * weighs their share of the CPU and must keep nobody from a lock. Equals come in order.
 *
 * Locking: lock->lock guards owner and waiters; a thread's pi.lock its donors and what it waits for. Order: lock->lock ->
 * thread->pi.lock -> run queue. A change of priority goes along a chain from thread to lock, against that order: there the lock is
 * tried for, and the step begun anew. Thread context.
 */
#pragma once

#include "kernel/base/errno.h"
#include "kernel/base/rbtree.h"
#include "kernel/sync/spinlock.h"

struct thread;
struct pi_lock;

struct pi_waiter {
    struct rb_node node; /* [lock->lock] among the waiters */
    struct rb_node
        donor_node;        /* [owner's pi.lock] among the owner's donors, while it is the best */
    struct thread *thread; /* [I] */
    struct pi_lock
        *lock; /* [lock->lock] what thread->pi.waiting leads to; NULL: it waits no more */
    int64_t
        rank; /* [lock->lock] as it stands in the trees, smaller ones first; read by all at any time */
};

/* Ranks: deadline threads have their deadlines, real-time ones are just below this. */
#define PI_RANK_FAIR INT64_MAX

struct pi_lock {
    struct spinlock lock;
    uint32_t spinners;      /* [a] for the embedder: who spins for it (spin_queue.h) */
    struct thread *owner;   /* [lock] NULL: nobody. Alive while it owns: the embedder sees to it */
    struct rb_root waiters; /* [lock] by rank, then by age */
};

#define PI_LOCK_INIT                                                                               \
    {                                                                                              \
        .lock = SPINLOCK_INIT("priority inheriting lock")                                          \
    }

/* In each thread. */
struct thread_pi {
    struct spinlock lock;
    uint32_t nwaits;           /* [lock] waits begun and ended: odd in a wait; read by all */
    struct rb_root donors;     /* [lock] pi_waiter.donor_node by rank */
    struct pi_waiter *waiting; /* [lock] */
};

void pi_lock_init(struct pi_lock *lock);
void thread_pi_init(struct thread_pi *pi);

/* The rank of the thread now. Any context. */
int64_t pi_rank_of(const struct thread *thread);
/* The best waiter, or NULL. lock->lock is held. */
struct pi_waiter *pi_best_locked(const struct pi_lock *lock);
/* The next best, or NULL. lock->lock is held. */
struct pi_waiter *pi_next_locked(const struct pi_waiter *waiter);
static inline bool pi_has_waiters_locked(const struct pi_lock *lock)
{
    return lock->waiters.node != NULL;
}
/*
 * `thread`, which sleeps or is the current one, waits for the lock; its owner inherits. Enters with lock->lock held, leaves without. -EDEADLK:
 * it would wait for itself; then it does not.
 */
int pi_wait(struct pi_lock *lock, struct pi_waiter *waiter, struct thread *thread);
/* The same for the current thread, where nobody waits for himself: whether he does is not looked for. */
void pi_wait_surely(struct pi_lock *lock, struct pi_waiter *waiter);
/* It does not wait any more; nothing if it does not already. Enters with lock->lock held, leaves without. */
void pi_cancel(struct pi_lock *lock, struct pi_waiter *waiter);
/* The lock goes from its owner, if any, to the best waiter, which waits no more, or to nobody: the new owner. lock->lock is held. */
struct thread *pi_pass_locked(struct pi_lock *lock);
/* The current thread owns the lock no more, and nobody does: all waiters go on waiting. lock->lock is held. */
void pi_release_locked(struct pi_lock *lock);
/* A waiter waits no more. lock->lock is held. True: the owner waits itself, and lock->lock is let go of by pi_unlock(lock, owner, true). */
bool pi_leave_locked(struct pi_lock *lock, struct pi_waiter *waiter) __must_check;
/* Let go of lock->lock; `tell`: what `owner` waits for is told that its priority has changed. */
void pi_unlock(struct pi_lock *lock, struct thread *owner, bool tell);
/* Somebody who does not wait takes the lock, which has no owner. lock->lock is held. */
void pi_take_locked(struct pi_lock *lock, struct thread *thread);

/* The thread's own priority has changed: what it waits for, if anything, is told. No lock held. */
void pi_priority_changed(struct thread *thread);
