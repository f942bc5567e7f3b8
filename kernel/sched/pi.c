/*
 * Priority inheritance: waiters, donors, and the walk along a chain of owners.
 */
#include "kernel/sched/pi.h"

#include "kernel/core/panic.h"
#include "kernel/sched/sched.h"

/* A chain longer than this is let be: it would be a program's mistake, and the walk must end. */
#define CHAIN_MAX 1024u

void pi_lock_init(struct pi_lock *lock)
{
    spin_init(&lock->lock, "priority inheriting lock");
    lock->owner = NULL;
    lock->spinners = 0;
    lock->waiters.node = NULL;
}

void thread_pi_init(struct thread_pi *pi)
{
    spin_init(&pi->lock, "inherited priority");
    pi->donors.node = NULL;
    pi->waiting = NULL;
    pi->nwaits = 0;
}

int64_t pi_rank_of(const struct thread *thread)
{
    int prio = atomic_load_relaxed(&thread->prio);

    if (prio == PRIO_DEADLINE) {
        return MIN(atomic_load_relaxed(&thread->dl.absolute), PI_RANK_FAIR - PRIO_FAIR);
    }
    return prio < PRIO_DEADLINE ? INT64_MIN : PI_RANK_FAIR - MAX(PRIO_FAIR - prio, 0);
}

/* ---- trees: smaller ranks first, equal ones by age ---- */

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
        link = waiter->rank < waiter_of(parent)->rank ? &parent->left : &parent->right;
    }
    rb_insert(&lock->waiters, &waiter->node, parent, link);
}

static void donor_insert_locked(struct thread *owner, struct pi_waiter *waiter)
{
    struct rb_node **link = &owner->pi.donors.node, *parent = NULL;

    while (*link != NULL) {
        parent = *link;
        link = waiter->rank < donor_of(parent)->rank ? &parent->left : &parent->right;
    }
    rb_insert(&owner->pi.donors, &waiter->donor_node, parent, link);
}

struct pi_waiter *pi_best_locked(const struct pi_lock *lock)
{
    return waiter_of(rb_first(&lock->waiters));
}

struct pi_waiter *pi_next_locked(const struct pi_waiter *waiter)
{
    return waiter_of(rb_next(&waiter->node));
}

/* ---- donors ---- */

/* The owner's donors have changed. Its pi.lock is held, under which alone what it inherits changes: fair threads have nothing to give. */
static void boost_locked(struct thread *owner)
{
    const struct pi_waiter *donor = donor_of(rb_first(&owner->pi.donors));
    bool gives = donor != NULL && donor->rank != PI_RANK_FAIR;

    if (gives || owner->boost_prio != PRIO_IDLE) {
        sched_boost(owner, gives ? donor->thread : NULL);
    }
}

/*
 * The best waiter was `old` and is `best`: either may be NULL. lock->lock is held. True: the owner waits itself, and what it waits for is to be
 * told.
 */
static bool donor_replace_locked(struct thread *owner, struct pi_waiter *old,
                                 struct pi_waiter *best)
{
    if (owner == NULL || (old == NULL && best == NULL)) {
        return false;
    }
    spin_lock(&owner->pi.lock);
    if (old != NULL) {
        rb_remove(&owner->pi.donors, &old->donor_node);
    }
    if (best != NULL) {
        donor_insert_locked(owner, best);
    }
    boost_locked(owner);
    bool waits = owner->pi.waiting != NULL;
    spin_unlock(&owner->pi.lock);
    return waits;
}

/* ---- the chain ---- */

/* `waiter` takes the place among the waiters, and perhaps the owner's donors, that `rank` gives it. lock->lock is held. */
static void requeue_locked(struct pi_lock *lock, struct pi_waiter *waiter, int64_t rank)
{
    struct pi_waiter *old = pi_best_locked(lock);

    if (waiter->rank == rank) {
        return;
    }
    /* A donor changes its place there too: it leaves before its rank changes. */
    if (old == waiter) {
        (void)donor_replace_locked(lock->owner, waiter, NULL);
    }
    rb_remove(&lock->waiters, &waiter->node);
    WRITE_ONCE(waiter->rank, rank);
    waiter_insert_locked(lock, waiter);
    struct pi_waiter *best = pi_best_locked(lock);
    if (old == waiter) {
        (void)donor_replace_locked(lock->owner, NULL, best);
    } else if (best == waiter) {
        (void)donor_replace_locked(lock->owner, old, best);
    }
}

/*
 * What the thread waits for, locked, and that it does so; NULL: nothing, or all is as its priority says. With `nwaits`, whatever its priority: NULL
 * if it is not in the wait that it was in when that was read.
 */
static struct pi_lock *lock_waited_for(struct thread *thread, const uint32_t *nwaits)
{
    for (;;) {
        spin_lock(&thread->pi.lock);
        struct pi_waiter *waiter = thread->pi.waiting;
        if (waiter == NULL || (nwaits == NULL ? READ_ONCE(waiter->rank) == pi_rank_of(thread)
                                              : thread->pi.nwaits != *nwaits)) {
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

/* The owner, referenced, and its `nwaits` now; NULL: nobody. lock->lock is held. */
static struct thread *owner_get_locked(const struct pi_lock *lock, uint32_t *ret_nwaits)
{
    struct thread *owner = lock->owner;

    if (owner != NULL) {
        thread_get(owner);
        *ret_nwaits = READ_ONCE(owner->pi.nwaits);
    }
    return owner;
}

/*
 * Go along the chain from a thread (its reference is taken over) as far as priorities change; with `self` not NULL to its end, -EDEADLK: it
 * leads to `self`.
 *
 * Nothing is locked between two links. An owner that waits lets go of nothing: if it has waited ever since it was found, the link before is there
 * still, but for a waiter that has given up. If it has not, the chain ended there: who waits since then walks his own, and meets all who waited before.
 */
static int chain_walk(struct thread *thread, uint32_t nwaits, const struct thread *self)
{
    int err = 0;

    for (unsigned depth = 0; depth < CHAIN_MAX; depth++) {
        struct pi_lock *lock = lock_waited_for(thread, self != NULL ? &nwaits : NULL);
        if (lock == NULL) {
            break;
        }
        requeue_locked(lock, thread->pi.waiting, pi_rank_of(thread));
        struct thread *owner = owner_get_locked(lock, &nwaits);
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
    atomic_fence(); /* pairs with the one in begin_waiting() */
    if (unlikely(READ_ONCE(thread->pi.waiting) != NULL)) {
        thread_get(thread);
        (void)chain_walk(thread, 0, NULL);
    }
}

void pi_unlock(struct pi_lock *lock, struct thread *owner, bool tell)
{
    if (likely(!tell)) {
        spin_unlock(&lock->lock);
        return;
    }
    thread_get(owner);
    spin_unlock(&lock->lock);
    (void)chain_walk(owner, 0, NULL);
}

/* ---- waiting ---- */

/*
 * The thread waits from now on. Its rank is read after it has said so: who changes it from then on finds what it waits for, and gets there
 * when the waiter has its place, since lock->lock is held.
 */
static void begin_waiting(struct thread *thread, struct pi_waiter *waiter)
{
    spin_lock(&thread->pi.lock);
    ASSERT(thread->pi.waiting == NULL);
    WRITE_ONCE(thread->pi.waiting, waiter);
    WRITE_ONCE(thread->pi.nwaits, thread->pi.nwaits + 1);
    /* Pairs with the one in pi_priority_changed(), and with itself: of those who close a circle at the same time one sees all the others wait. */
    atomic_fence();
    waiter->rank = pi_rank_of(thread);
    spin_unlock(&thread->pi.lock);
}

static void end_waiting(struct thread *thread)
{
    spin_lock(&thread->pi.lock);
    WRITE_ONCE(thread->pi.waiting, NULL);
    WRITE_ONCE(thread->pi.nwaits, thread->pi.nwaits + 1);
    spin_unlock(&thread->pi.lock);
}

/* Among the waiters. True: the owner waits itself, and has more to give now. lock->lock is held. */
static bool join_locked(struct pi_lock *lock, struct pi_waiter *waiter, struct thread *thread)
{
    struct pi_waiter *old = pi_best_locked(lock);

    waiter->thread = thread;
    waiter->lock = lock;
    begin_waiting(thread, waiter);
    waiter_insert_locked(lock, waiter);
    return pi_best_locked(lock) == waiter && donor_replace_locked(lock->owner, old, waiter);
}

bool pi_leave_locked(struct pi_lock *lock, struct pi_waiter *waiter)
{
    struct pi_waiter *old = pi_best_locked(lock);
    bool owner_waits = false;

    rb_remove(&lock->waiters, &waiter->node);
    if (old == waiter) {
        owner_waits = donor_replace_locked(lock->owner, waiter, pi_best_locked(lock));
    }
    end_waiting(waiter->thread); /* who walks a chain believes what `waiting` leads to */
    waiter->lock = NULL;
    return owner_waits;
}

void pi_wait_surely(struct pi_lock *lock, struct pi_waiter *waiter)
{
    bool tell = join_locked(lock, waiter, current_thread());

    pi_unlock(lock, lock->owner, tell);
}

int pi_wait(struct pi_lock *lock, struct pi_waiter *waiter, struct thread *thread)
{
    uint32_t nwaits = 0;

    if (lock->owner == thread) {
        spin_unlock(&lock->lock);
        return -EDEADLK;
    }
    (void)join_locked(lock, waiter, thread);
    struct thread *owner = owner_get_locked(lock, &nwaits);
    spin_unlock(&lock->lock);
    int err = owner == NULL ? 0 : chain_walk(owner, nwaits, thread);
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
    bool tell = waiter->lock == lock && pi_leave_locked(lock, waiter);

    pi_unlock(lock, lock->owner, tell);
}

void pi_release_locked(struct pi_lock *lock)
{
    (void)donor_replace_locked(lock->owner, pi_best_locked(lock), NULL);
    lock->owner = NULL;
}

struct thread *pi_pass_locked(struct pi_lock *lock)
{
    struct pi_waiter *best = pi_best_locked(lock);
    struct thread *owner = NULL;

    pi_release_locked(lock);
    if (best != NULL) {
        owner = best->thread;
        (void)pi_leave_locked(lock, best);
        pi_take_locked(lock, owner);
    }
    return owner;
}

void pi_take_locked(struct pi_lock *lock, struct thread *thread)
{
    lock->owner = thread;
    (void)donor_replace_locked(thread, NULL, pi_best_locked(lock));
}
