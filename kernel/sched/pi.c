/*
 * Priority inheritance: waiters, donors, and the walk along a chain of owners.
 */
#include "kernel/sched/pi.h"

#include "kernel/sched/sched.h"

/* A chain longer than this is let be: it would be a program's mistake, and the walk must end. */
#define CHAIN_MAX 1024u

void pi_lock_init(struct pi_lock *lock)
{
    spin_init(&lock->lock, "priority inheriting lock");
    lock->owner = NULL;
    lock->waiters.node = NULL;
}

void thread_pi_init(struct thread_pi *pi)
{
    spin_init(&pi->lock, "inherited priority");
    pi->donors.node = NULL;
    pi->waiting = NULL;
}

static int prio_of(const struct thread *thread)
{
    return atomic_load_relaxed(&thread->prio);
}

/* ---- trees: smaller priorities first, equal ones by age ---- */

static struct pi_waiter *waiter_of(struct rb_node *node)
{
    return node == NULL ? NULL : rb_entry(node, struct pi_waiter, node);
}

static struct pi_waiter *donor_of(struct rb_node *node)
{
    return node == NULL ? NULL : rb_entry(node, struct pi_waiter, donor_node);
}

static void waiter_insert_locked(struct pi_lock *lock, struct pi_waiter *waiter)
{
    struct rb_node **link = &lock->waiters.node, *parent = NULL;

    while (*link != NULL) {
        parent = *link;
        link = waiter->prio < waiter_of(parent)->prio ? &parent->left : &parent->right;
    }
    rb_insert(&lock->waiters, &waiter->node, parent, link);
}

static void donor_insert_locked(struct thread *owner, struct pi_waiter *waiter)
{
    struct rb_node **link = &owner->pi.donors.node, *parent = NULL;

    while (*link != NULL) {
        parent = *link;
        link = waiter->prio < donor_of(parent)->prio ? &parent->left : &parent->right;
    }
    rb_insert(&owner->pi.donors, &waiter->donor_node, parent, link);
}

struct pi_waiter *pi_best_locked(const struct pi_lock *lock)
{
    return waiter_of(rb_first(&lock->waiters));
}

/* ---- donors ---- */

/* The owner's donors have changed. Its pi.lock is held. */
static void boost_locked(struct thread *owner)
{
    const struct pi_waiter *donor = donor_of(rb_first(&owner->pi.donors));

    sched_boost(owner, donor == NULL ? NULL : donor->thread);
}

/* The best waiter was `old` and is `best`: either may be NULL. lock->lock is held. */
static void donor_replace_locked(struct thread *owner, struct pi_waiter *old,
                                 struct pi_waiter *best)
{
    if (owner == NULL || (old == NULL && best == NULL)) {
        return;
    }
    spin_lock(&owner->pi.lock);
    if (old != NULL) {
        rb_remove(&owner->pi.donors, &old->donor_node);
    }
    if (best != NULL) {
        donor_insert_locked(owner, best);
    }
    boost_locked(owner);
    spin_unlock(&owner->pi.lock);
}

/* ---- the chain ---- */

/* `waiter` takes the place among the waiters, and perhaps the owner's donors, that `prio` gives it. lock->lock is held. */
static void requeue_locked(struct pi_lock *lock, struct pi_waiter *waiter, int prio)
{
    struct pi_waiter *old = pi_best_locked(lock);

    if (waiter->prio == prio) {
        return;
    }
    /* A donor changes its place there too: it leaves before its priority changes. */
    if (old == waiter) {
        donor_replace_locked(lock->owner, waiter, NULL);
    }
    rb_remove(&lock->waiters, &waiter->node);
    WRITE_ONCE(waiter->prio, prio);
    waiter_insert_locked(lock, waiter);
    struct pi_waiter *best = pi_best_locked(lock);
    if (old == waiter) {
        donor_replace_locked(lock->owner, NULL, best);
    } else if (best == waiter) {
        donor_replace_locked(lock->owner, old, best);
    }
}

/* What the thread waits for, locked, and that it does so; NULL: nothing, or (unless `always`) all is as its priority says. */
static struct pi_lock *lock_waited_for(struct thread *thread, bool always)
{
    for (;;) {
        spin_lock(&thread->pi.lock);
        struct pi_waiter *waiter = thread->pi.waiting;
        if (waiter == NULL || (!always && READ_ONCE(waiter->prio) == prio_of(thread))) {
            spin_unlock(&thread->pi.lock);
            return NULL;
        }
        struct pi_lock *lock = waiter->lock;
        bool locked = spin_trylock(&lock->lock);
        spin_unlock(&thread->pi.lock);
        if (locked) {
            return lock; /* it cannot stop waiting now */
        }
        cpu_relax();
    }
}

/*
 * Go along the chain from a thread (its reference is taken over) as far as priorities change; with `self` not NULL to its end, -EDEADLK: it
 * leads to `self`.
 */
static int chain_walk(struct thread *thread, const struct thread *self)
{
    int err = 0;

    for (unsigned depth = 0; depth < CHAIN_MAX; depth++) {
        struct pi_lock *lock = lock_waited_for(thread, self != NULL);
        if (lock == NULL) {
            break;
        }
        requeue_locked(lock, thread->pi.waiting, prio_of(thread));
        struct thread *owner = lock->owner;
        if (owner != NULL) {
            thread_get(owner);
        }
        spin_unlock(&lock->lock);
        thread_put(thread);
        thread = owner;
        if (owner == NULL) {
            return 0;
        }
        if (owner == self) {
            err = -EDEADLK;
            break;
        }
    }
    thread_put(thread);
    return err;
}

void pi_priority_changed(struct thread *thread)
{
    if (unlikely(READ_ONCE(thread->pi.waiting) != NULL)) {
        thread_get(thread);
        (void)chain_walk(thread, NULL);
    }
}

/* ---- waiting ---- */

/* The thread waits for `waiter`'s lock, or for none (NULL). */
static void set_waiting(struct thread *thread, struct pi_waiter *waiter)
{
    spin_lock(&thread->pi.lock);
    thread->pi.waiting = waiter;
    spin_unlock(&thread->pi.lock);
}

/* Out of the waiters, and of the owner's donors. lock->lock is held. */
static void leave_locked(struct pi_lock *lock, struct pi_waiter *waiter)
{
    struct pi_waiter *old = pi_best_locked(lock);

    rb_remove(&lock->waiters, &waiter->node);
    if (old == waiter) {
        donor_replace_locked(lock->owner, waiter, pi_best_locked(lock));
    }
    waiter->lock = NULL;
    set_waiting(waiter->thread, NULL);
}

int pi_wait(struct pi_lock *lock, struct pi_waiter *waiter, struct thread *thread)
{
    struct pi_waiter *old = pi_best_locked(lock);
    struct thread *owner = lock->owner;

    if (owner == thread) {
        spin_unlock(&lock->lock);
        return -EDEADLK;
    }
    waiter->thread = thread;
    waiter->lock = lock;
    waiter->prio = prio_of(thread);
    waiter_insert_locked(lock, waiter);
    set_waiting(thread, waiter);
    if (pi_best_locked(lock) == waiter) {
        donor_replace_locked(owner, old, waiter);
    }
    if (owner != NULL) {
        thread_get(owner);
    }
    spin_unlock(&lock->lock);
    int err = owner == NULL ? 0 : chain_walk(owner, thread);
    if (err < 0) {
        spin_lock(&lock->lock);
        if (waiter->lock == NULL) {
            err = 0; /* it was given the lock meanwhile: the chain had another end */
            spin_unlock(&lock->lock);
        } else {
            pi_cancel(lock, waiter);
        }
    }
    return err;
}

void pi_cancel(struct pi_lock *lock, struct pi_waiter *waiter)
{
    struct thread *owner = lock->owner;

    if (waiter->lock != lock) {
        spin_unlock(&lock->lock);
        return;
    }
    leave_locked(lock, waiter);
    if (owner != NULL) {
        thread_get(owner);
    }
    spin_unlock(&lock->lock);
    if (owner != NULL) {
        (void)chain_walk(owner, NULL); /* it may wait itself, with less priority now */
    }
}

struct thread *pi_pass_locked(struct pi_lock *lock)
{
    struct pi_waiter *best = pi_best_locked(lock);
    struct thread *owner = NULL;

    donor_replace_locked(lock->owner, best, NULL);
    lock->owner = NULL;
    if (best != NULL) {
        owner = best->thread;
        leave_locked(lock, best);
        pi_take_locked(lock, owner);
    }
    return owner;
}

void pi_take_locked(struct pi_lock *lock, struct thread *thread)
{
    lock->owner = thread;
    donor_replace_locked(thread, NULL, pi_best_locked(lock));
}
