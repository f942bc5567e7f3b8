/*
 * Priority inheritance: who owns a lock runs with the priority of the best that waits for it, through chains of owners that wait
 * themselves (Sha, Rajkumar and Lehoczky, "Priority Inheritance Protocols", 1990).
 *
 * A struct pi_lock knows its owner and its waiters, best first; how it is taken and left is the business of what embeds it. Of each
 * lock only the best waiter counts for the owner: it is a donor of the owner. A thread waits for one lock at most.
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
    struct pi_lock *lock;  /* [lock->lock] NULL: it waits no more */
    int prio;              /* [lock->lock and the thread's pi.lock] as it stands in the trees */
};

struct pi_lock {
    struct spinlock lock;
    struct thread *owner;   /* [lock] NULL: nobody. Alive while it owns: the embedder sees to it */
    struct rb_root waiters; /* [lock] by priority, then by age */
};

/* In each thread. */
struct thread_pi {
    struct spinlock lock;
    struct rb_root donors;     /* [lock] pi_waiter.donor_node by priority */
    struct pi_waiter *waiting; /* [lock] */
};

void pi_lock_init(struct pi_lock *lock);
void thread_pi_init(struct thread_pi *pi);

/* The best waiter, or NULL. lock->lock is held. */
struct pi_waiter *pi_best_locked(const struct pi_lock *lock);
/*
 * `thread`, which sleeps or is the current one, waits for the lock; its owner inherits. Enters with lock->lock held, leaves without. -EDEADLK:
 * it would wait for itself; then it does not.
 */
int pi_wait(struct pi_lock *lock, struct pi_waiter *waiter, struct thread *thread);
/* It does not wait any more; nothing if it does not already. Enters with lock->lock held, leaves without. */
void pi_cancel(struct pi_lock *lock, struct pi_waiter *waiter);
/* The lock goes from its owner, if any, to the best waiter, which waits no more, or to nobody: the new owner. lock->lock is held. */
struct thread *pi_pass_locked(struct pi_lock *lock);
/* Somebody who does not wait takes the lock, which has no owner. lock->lock is held. */
void pi_take_locked(struct pi_lock *lock, struct thread *thread);

/* The thread's own priority has changed: what it waits for, if anything, is told. No lock held. */
void pi_priority_changed(struct thread *thread);
