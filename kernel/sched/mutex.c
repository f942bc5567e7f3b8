/*
 * The sleeping mutex: one word that names the holder, and a queue by rank.
 *
 *     0                         free
 *     holder                    held, nobody waits: taking and leaving are one compare-and-swap each
 *     holder | LOCK_WAITERS     held: who leaves it looks at the queue
 *     LOCK_WAITERS              free for the best waiter, which has been woken, or for a running thread that comes before it
 *
 * The flag stands as long as somebody is queued. Whoever sets it, and who changes a word that has it, holds wait.lock; so while it stands the
 * holder cannot go. wait.owner is the holder then, and inherits from the best waiter.
 *
 * Who leaves a mutex with waiters wakes the best one, which takes the word when it gets to run. A thread that runs may be faster, or else each
 * of those that use the lock all the time would have to wait for a switch at each turn. But a waiter that has found the lock taken again is
 * handed it the next time, and a real-time waiter always: nobody worse comes before it.
 *
 * Not losing the wake: the waiter says that it sleeps before it looks at the word, and the word is changed before the waiter is woken. It looks under
 * wait.lock, which who let it go has held till its last access to the mutex.
 */
#include "kernel/sched/mutex.h"

#include "kernel/sched/lock_waiter.h"

#ifdef CONFIG_LOCKDEP
#define MUTEX_CLASS_(mutex) ((mutex)->class)
#else
#define MUTEX_CLASS_(mutex) NULL
#endif

void mutex_setup(struct mutex *mutex)
{
    mutex->word = 0;
    pi_lock_init(&mutex->wait);
}

static inline bool mutex_try(struct mutex *mutex)
{
    uintptr_t expected = 0;

    return __atomic_compare_exchange_n(&mutex->word, &expected, (uintptr_t)current_thread(), false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* ---- with wait.lock held ---- */

static inline uintptr_t waiters_flag_locked(const struct mutex *mutex)
{
    return pi_has_waiters_locked(&mutex->wait) ? LOCK_WAITERS : 0;
}

/* A word with LOCK_WAITERS, or one that has just lost its last waiter, becomes what it is to be now. */
static void word_set_locked(struct mutex *mutex, struct thread *holder)
{
    uintptr_t flag = waiters_flag_locked(mutex);

    if (flag == 0) {
        mutex->wait.owner = NULL;
    }
    atomic_store_release(&mutex->word, (uintptr_t)holder | flag);
}

/* The free mutex, which has or had waiters, becomes the current thread's, which is not queued. */
static void own_locked(struct mutex *mutex)
{
    if (pi_has_waiters_locked(&mutex->wait)) {
        pi_take_locked(&mutex->wait, current_thread());
    }
    word_set_locked(mutex, current_thread());
}

/* The mutex, free or the current thread's, becomes the best waiter's. */
static void hand_over_locked(struct mutex *mutex)
{
    struct thread *holder = pi_pass_locked(&mutex->wait);

    word_set_locked(mutex, holder);
    (void)thread_wake(holder);
}

/* Try for a thread that is not queued. False: LOCK_WAITERS is set, and it has to queue. */
static bool take_locked(struct mutex *mutex)
{
    uintptr_t word = atomic_load_relaxed(&mutex->word);

    for (;;) {
        if ((word & LOCK_WAITERS) != 0) {
            const struct lock_waiter *best = lock_waiter_of(pi_best_locked(&mutex->wait));
            if (lock_owner(word) != NULL ||
                !lock_may_overtake(pi_rank_of(current_thread()), best)) {
                return false;
            }
            own_locked(mutex);
            return true;
        }
        if (word == 0) {
            if (atomic_cas(&mutex->word, &word, (uintptr_t)current_thread())) {
                return true;
            }
        } else if (atomic_cas(&mutex->word, &word, word | LOCK_WAITERS)) {
            pi_take_locked(&mutex->wait, lock_owner(word));
            return false;
        }
    }
}

/* A queued thread runs: is the mutex its? */
static bool come_locked(struct mutex *mutex, struct lock_waiter *waiter, bool slept)
{
    const struct thread *holder = lock_owner(atomic_load_relaxed(&mutex->word));

    if (holder == current_thread()) {
        return true; /* it was handed over */
    }
    if (holder != NULL) {
        if (slept) {
            waiter->overtaken = OVERTAKEN_MAX;
        }
        return false;
    }
    const struct pi_waiter *best = pi_best_locked(&mutex->wait);
    if (best != &waiter->pi && best->rank != PI_RANK_FAIR) {
        hand_over_locked(
            mutex); /* it was not yet there, or not real-time, when this one was woken */
        return false;
    }
    (void)pi_leave_locked(&mutex->wait, &waiter->pi); /* nobody owns it */
    own_locked(mutex);
    return true;
}

/* ---- the slow paths ---- */

/* Wait no more: a signal has come first, and somebody else holds the mutex. Enters with wait.lock held, leaves without. */
static void give_up(struct mutex *mutex, struct lock_waiter *waiter)
{
    struct thread *holder = lock_owner(atomic_load_relaxed(&mutex->word));
    bool tell = pi_leave_locked(&mutex->wait, &waiter->pi);

    word_set_locked(mutex, holder);
    pi_unlock(&mutex->wait, holder, tell);
}

static __noinline int mutex_lock_slow(struct mutex *mutex, enum thread_state state)
{
    struct lock_waiter waiter = {.overtaken = 0};
    int err = 0;

    BUG_ON(mutex_is_held(mutex));
    if (lock_may_spin() &&
        lock_spin(&mutex->word, &mutex->wait.spinners, (uintptr_t)current_thread())) {
        return 0;
    }
    spin_lock(&mutex->wait.lock);
    if (take_locked(mutex)) {
        spin_unlock(&mutex->wait.lock);
        return 0;
    }
    pi_wait_surely(&mutex->wait, &waiter.pi);
    for (bool slept = false;; slept = true) {
        thread_prepare_sleep(state);
        spin_lock(&mutex->wait.lock);
        if (come_locked(mutex, &waiter, slept)) {
            spin_unlock(&mutex->wait.lock);
            break;
        }
        if (state == THREAD_SLEEPING && thread_signal_pending(current_thread())) {
            give_up(mutex, &waiter);
            err = -EINTR;
            break;
        }
        spin_unlock(&mutex->wait.lock);
        schedule();
    }
    thread_finish_sleep();
    return err;
}

static inline bool unlock_try(struct mutex *mutex)
{
    uintptr_t expected = (uintptr_t)current_thread();

    return __atomic_compare_exchange_n(&mutex->word, &expected, (uintptr_t)0, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* The mutex, which has waiters, goes to the best one, or is let free for it. */
static void let_go_locked(struct mutex *mutex, struct lock_waiter *best)
{
    if (lock_hands_over(best)) {
        hand_over_locked(mutex);
        return;
    }
    best->overtaken++;
    pi_release_locked(&mutex->wait);
    word_set_locked(mutex, NULL);
    (void)thread_wake(best->pi.thread);
}

static __noinline void mutex_unlock_slow(struct mutex *mutex)
{
    bool gone = false;

    while (!gone) {
        spin_lock(&mutex->wait.lock);
        struct lock_waiter *best = lock_waiter_of(pi_best_locked(&mutex->wait));
        gone = best != NULL;
        if (gone) {
            let_go_locked(mutex, best);
        }
        spin_unlock(&mutex->wait.lock);
        /* Has the last one just given up? Then the mutex may be gone with the word that says that it is free. */
        gone = gone || unlock_try(mutex);
    }
}

static __noinline bool mutex_trylock_slow(struct mutex *mutex)
{
    bool got = false;

    /* Free for one that has yet to come: then it is to be had, by the rules. */
    if (atomic_load_relaxed(&mutex->word) == LOCK_WAITERS && spin_trylock(&mutex->wait.lock)) {
        got = atomic_load_relaxed(&mutex->word) == LOCK_WAITERS && take_locked(mutex);
        spin_unlock(&mutex->wait.lock);
    }
    return got;
}

/* ---- the interface ---- */

void mutex_lock(struct mutex *mutex)
{
    might_sleep();
    lockdep_acquire(MUTEX_CLASS_(mutex), mutex, false, (uintptr_t)__builtin_return_address(0));
    if (unlikely(!mutex_try(mutex))) {
        (void)mutex_lock_slow(mutex, THREAD_UNINTERRUPTIBLE);
    }
}

int mutex_lock_interruptible(struct mutex *mutex)
{
    might_sleep();
    if (unlikely(!mutex_try(mutex))) {
        int err = mutex_lock_slow(mutex, THREAD_SLEEPING);
        if (err < 0) {
            return err;
        }
    }
    lockdep_acquire(MUTEX_CLASS_(mutex), mutex, false, (uintptr_t)__builtin_return_address(0));
    return 0;
}

bool mutex_trylock(struct mutex *mutex)
{
    if (!mutex_try(mutex) && !mutex_trylock_slow(mutex)) {
        return false;
    }
    lockdep_acquire(MUTEX_CLASS_(mutex), mutex, true, (uintptr_t)__builtin_return_address(0));
    return true;
}

void mutex_unlock(struct mutex *mutex)
{
    ASSERT(mutex_is_held(mutex));
    lockdep_release(MUTEX_CLASS_(mutex), mutex);
    if (unlikely(!unlock_try(mutex))) {
        mutex_unlock_slow(mutex);
    }
}
