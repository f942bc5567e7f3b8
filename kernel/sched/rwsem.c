/*
 * Many readers or one writer, sleeping: one word, and a queue by rank.
 *
 *     0                                     free
 *     n * RWSEM_READER [| LOCK_WAITERS]     n readers have it
 *     writer | LOCK_OWNED [| LOCK_WAITERS]  a writer has it; while somebody waits it is wait.owner, and inherits from the best waiter
 *     LOCK_WAITERS                          free for a writer, which has been woken, or for a running thread that comes before it
 *
 * The flag stands as long as somebody is queued. Whoever sets or clears it, and whoever takes the semaphore, or leaves it as a writer, while it
 * stands, holds wait.lock; only readers leave without it.
 *
 * Phases alternate when both wait ("phase-fair": Brandenburg and Anderson, "Spin-Based Reader-Writer Synchronization for Multiprocessor
 * Real-Time Systems", Real-Time Systems 46:1, 2010): the last reader of a phase lets one writer in, and a writer that leaves lets in all readers
 * that wait, in one pass; the others sleep on. While a writer waits newcomers that want to read queue up. So a reader waits for one writer at
 * most, a writer for one phase of readers and the writers before it. A real-time thread comes before all that are worse, whatever the phase.
 *
 * A writer takes the semaphore as a mutex is taken (mutex.c): it may be overtaken, by writers, a few times, and spins while another writer runs.
 * Readers do not spin: each phase would have fewer of them, and there would be more.
 *
 * Inheritance is for the writer alone. Readers are not known one by one: a list of them would be a shared cache line and a lock for each page
 * fault, and a waiter would boost any number of threads, of which the slowest counts: its bound would grow with their number all the same. What is
 * promised to a real-time writer instead is that it waits for one phase, which nobody worse can prolong. The real-time Linux draws the same line
 * (Linux, Documentation/locking/locktypes.rst, "rw_semaphore and PREEMPT_RT").
 */
#include "kernel/sched/lock_waiter.h"

#ifdef CONFIG_LOCKDEP
#define RWSEM_CLASS_(sem) ((sem)->class)
#else
#define RWSEM_CLASS_(sem) NULL
#endif

#define RWSEM_READER ((uintptr_t)LOCK_FLAGS + 1)

/* So many readers are let in at a time: interrupts stay on, but preemption is off and others want the queue. */
#define READERS_TURN 6u

void rwsem_setup(struct rwsem *sem)
{
    sem->word = 0;
    pi_lock_init(&sem->wait);
    list_init(&sem->readers);
}

static inline uintptr_t word_of_writer(const struct thread *thread)
{
    return (uintptr_t)thread | LOCK_OWNED;
}

static inline bool word_cas(struct rwsem *sem, uintptr_t *expected, uintptr_t wanted)
{
    return __atomic_compare_exchange_n(&sem->word, expected, wanted, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_RELAXED);
}

/* Read, unless the word has one of `but`. */
static inline bool rwsem_try_read(struct rwsem *sem, uintptr_t but)
{
    uintptr_t word = atomic_load_relaxed(&sem->word);

    while ((word & but) == 0) {
        if (word_cas(sem, &word, word + RWSEM_READER)) {
            return true;
        }
    }
    return false;
}

static inline bool rwsem_try_write(struct rwsem *sem)
{
    uintptr_t expected = 0;

    return word_cas(sem, &expected, word_of_writer(current_thread()));
}

static inline bool rwsem_is_writer(const struct rwsem *sem)
{
    return (atomic_load_relaxed(&sem->word) & ~(uintptr_t)LOCK_WAITERS) ==
           word_of_writer(current_thread());
}

/* ---- with wait.lock held ---- */

static inline uintptr_t waiters_flag_locked(const struct rwsem *sem)
{
    return pi_has_waiters_locked(&sem->wait) ? LOCK_WAITERS : 0;
}

/* A waiter is queued no more; what it waited for has no owner. */
static void leave_locked(struct rwsem *sem, struct lock_waiter *waiter)
{
    (void)pi_leave_locked(&sem->wait, &waiter->pi);
    if (!waiter->write) {
        list_remove(&waiter->node);
    }
}

/* Nobody has the semaphore, which has or had waiters: it becomes the thread's, which is not queued. */
static void own_locked(struct rwsem *sem, struct thread *thread)
{
    if (pi_has_waiters_locked(&sem->wait)) {
        pi_take_locked(&sem->wait, thread);
    }
    atomic_store_release(&sem->word, word_of_writer(thread) | waiters_flag_locked(sem));
}

/* Let in those readers that wait, as many as are met at a time. No writer has it. */
static void admit_readers_locked(struct rwsem *sem)
{
    struct lock_waiter *waiters[READERS_TURN];
    struct list_node *node;
    unsigned n = 0;

    while (n < READERS_TURN && (node = list_first(&sem->readers)) != NULL) {
        waiters[n] = list_entry(node, struct lock_waiter, node);
        leave_locked(sem, waiters[n++]);
    }
    (void)atomic_fetch_add(&sem->word, n * RWSEM_READER);
    if (!pi_has_waiters_locked(&sem->wait)) {
        (void)atomic_fetch_and(&sem->word, ~(uintptr_t)LOCK_WAITERS);
    }
    for (unsigned i = 0; i < n; i++) {
        WRITE_ONCE(waiters[i]->granted, true);
        (void)thread_wake(waiters[i]->pi.thread);
    }
}

/* All that wait to read. Enters with wait.lock held, and nobody or readers having it; leaves without. */
static void admit_readers(struct rwsem *sem)
{
    admit_readers_locked(sem);
    while (!list_empty(&sem->readers)) {
        spin_unlock(&sem->wait.lock);
        spin_lock(&sem->wait.lock);
        if ((atomic_load_relaxed(&sem->word) & LOCK_OWNED) != 0) {
            break; /* those who were let in are through, and it is a writer's turn */
        }
        admit_readers_locked(sem);
    }
    spin_unlock(&sem->wait.lock);
}

static struct lock_waiter *best_writer_locked(const struct rwsem *sem)
{
    struct lock_waiter *waiter = lock_waiter_of(pi_best_locked(&sem->wait));

    while (waiter != NULL && !waiter->write) {
        waiter = lock_waiter_of(pi_next_locked(&waiter->pi));
    }
    return waiter;
}

/* The word is LOCK_WAITERS: the best writer is let in, or woken to come by itself. */
static void admit_writer_locked(struct rwsem *sem)
{
    struct lock_waiter *writer = best_writer_locked(sem);
    struct thread *thread = writer->pi.thread;

    if (lock_hands_over(writer)) {
        leave_locked(sem, writer);
        own_locked(sem, thread);
        WRITE_ONCE(writer->granted, true);
    } else {
        writer->overtaken++;
    }
    (void)thread_wake(thread);
}

/*
 * The word is LOCK_WAITERS: whose turn is it? A real-time waiter's if there is one, else that of the kind that has waited the last phase, if any
 * of it is there. Enters with wait.lock held, leaves without.
 */
static void admit(struct rwsem *sem, bool readers_turn)
{
    const struct lock_waiter *best = lock_waiter_of(pi_best_locked(&sem->wait));
    bool readers = best->pi.rank != PI_RANK_FAIR ? !best->write : readers_turn;

    if (list_empty(&sem->readers) || (!readers && best_writer_locked(sem) != NULL)) {
        admit_writer_locked(sem);
        spin_unlock(&sem->wait.lock);
    } else {
        admit_readers(sem);
    }
}

/* Is there a waiter that a thread that would read comes before? */
static bool overtakes_all_locked(const struct rwsem *sem)
{
    return pi_rank_of(current_thread()) < pi_best_locked(&sem->wait)->rank;
}

/* Read, by the rules, without having queued. False: LOCK_WAITERS is set, and the thread has to queue. */
static bool take_read_locked(struct rwsem *sem)
{
    for (;;) {
        uintptr_t word = atomic_load_relaxed(&sem->word);
        if ((word & LOCK_WAITERS) != 0) {
            return overtakes_all_locked(sem) && rwsem_try_read(sem, LOCK_OWNED);
        }
        if ((word & LOCK_OWNED) == 0) {
            if (rwsem_try_read(sem, LOCK_FLAGS)) {
                return true;
            }
        } else if (word_cas(sem, &word, word | LOCK_WAITERS)) {
            pi_take_locked(&sem->wait, lock_owner(word));
            return false;
        }
    }
}

/* The same to write. */
static bool take_write_locked(struct rwsem *sem)
{
    for (;;) {
        uintptr_t word = atomic_load_relaxed(&sem->word);
        if (word == LOCK_WAITERS) {
            const struct lock_waiter *best = lock_waiter_of(pi_best_locked(&sem->wait));
            if (!lock_may_overtake(pi_rank_of(current_thread()), best)) {
                return false;
            }
            own_locked(sem, current_thread());
            return true;
        }
        if ((word & LOCK_WAITERS) != 0) {
            return false;
        }
        if (word == 0) {
            if (rwsem_try_write(sem)) {
                return true;
            }
        } else if (word_cas(sem, &word, word | LOCK_WAITERS)) {
            if ((word & LOCK_OWNED) != 0) {
                pi_take_locked(&sem->wait, lock_owner(word));
            }
            return false;
        }
    }
}

/* A queued writer runs, which was not let in. True: it has it now. Enters with wait.lock held, leaves without. */
static bool come_to_write(struct rwsem *sem, struct lock_waiter *waiter, bool slept)
{
    const struct pi_waiter *best = pi_best_locked(&sem->wait);

    if (atomic_load_relaxed(&sem->word) != LOCK_WAITERS) {
        if (slept) {
            waiter->overtaken = OVERTAKEN_MAX;
        }
        spin_unlock(&sem->wait.lock);
        return false;
    }
    if (best != &waiter->pi && best->rank != PI_RANK_FAIR) {
        admit(sem, false); /* it was not yet there, or not real-time, when this one was woken */
        return false;
    }
    leave_locked(sem, waiter);
    own_locked(sem, current_thread());
    spin_unlock(&sem->wait.lock);
    return true;
}

/* ---- the slow paths ---- */

/* Who let us in may still be at it: what is ours, and the semaphore, must be there so long. */
static void wait_for_giver(struct rwsem *sem)
{
    spin_lock(&sem->wait.lock);
    spin_unlock(&sem->wait.lock);
}

static __noinline void rwsem_lock_read_slow(struct rwsem *sem)
{
    struct lock_waiter waiter = {.write = false};

    BUG_ON(rwsem_is_writer(sem));
    spin_lock(&sem->wait.lock);
    if (take_read_locked(sem)) {
        spin_unlock(&sem->wait.lock);
        return;
    }
    list_push_back(&sem->readers, &waiter.node);
    pi_wait_surely(&sem->wait, &waiter.pi);
    for (;;) {
        thread_prepare_sleep(THREAD_UNINTERRUPTIBLE);
        if (READ_ONCE(waiter.granted)) {
            break;
        }
        schedule();
    }
    thread_finish_sleep();
    wait_for_giver(sem);
}

static __noinline void rwsem_lock_write_slow(struct rwsem *sem)
{
    struct lock_waiter waiter = {.write = true};

    BUG_ON(rwsem_is_writer(sem));
    if (lock_may_spin() &&
        lock_spin(&sem->word, &sem->wait.spinners, word_of_writer(current_thread()))) {
        return;
    }
    spin_lock(&sem->wait.lock);
    if (take_write_locked(sem)) {
        spin_unlock(&sem->wait.lock);
        return;
    }
    pi_wait_surely(&sem->wait, &waiter.pi);
    for (bool slept = false;; slept = true) {
        thread_prepare_sleep(THREAD_UNINTERRUPTIBLE);
        spin_lock(&sem->wait.lock);
        if (waiter.granted) {
            spin_unlock(&sem->wait.lock);
            break;
        }
        if (come_to_write(sem, &waiter, slept)) {
            break;
        }
        schedule();
    }
    thread_finish_sleep();
}

static __noinline void rwsem_unlock_read_slow(struct rwsem *sem)
{
    spin_lock(&sem->wait.lock);
    if (atomic_load_relaxed(&sem->word) == LOCK_WAITERS) {
        admit(sem, false);
    } else {
        spin_unlock(&sem->wait.lock); /* somebody was faster */
    }
}

static __noinline void rwsem_unlock_write_slow(struct rwsem *sem)
{
    spin_lock(&sem->wait.lock);
    pi_release_locked(&sem->wait);
    atomic_store_release(&sem->word, LOCK_WAITERS);
    admit(sem, true);
}

static __noinline void rwsem_downgrade_slow(struct rwsem *sem)
{
    spin_lock(&sem->wait.lock);
    pi_release_locked(&sem->wait);
    atomic_store_release(&sem->word, RWSEM_READER | LOCK_WAITERS);
    if (!list_empty(&sem->readers) && (pi_best_locked(&sem->wait)->rank == PI_RANK_FAIR ||
                                       !lock_waiter_of(pi_best_locked(&sem->wait))->write)) {
        admit_readers(sem);
    } else {
        spin_unlock(&sem->wait.lock);
    }
}

/* ---- the interface ---- */

void rwsem_lock_read(struct rwsem *sem)
{
    might_sleep();
    lockdep_acquire(RWSEM_CLASS_(sem), sem, false, (uintptr_t)__builtin_return_address(0));
    if (unlikely(!rwsem_try_read(sem, LOCK_FLAGS))) {
        rwsem_lock_read_slow(sem);
    }
}

/* As long as no writer has it, also where others have to queue: who tries does not wait. */
bool rwsem_trylock_read(struct rwsem *sem)
{
    bool got = rwsem_try_read(sem, LOCK_FLAGS);

    if (!got && (atomic_load_relaxed(&sem->word) & LOCK_OWNED) == 0) {
        spin_lock(&sem->wait.lock);
        got = rwsem_try_read(sem, LOCK_OWNED);
        spin_unlock(&sem->wait.lock);
    }
    if (got) {
        lockdep_acquire(RWSEM_CLASS_(sem), sem, true, (uintptr_t)__builtin_return_address(0));
    }
    return got;
}

void rwsem_unlock_read(struct rwsem *sem)
{
    lockdep_release(RWSEM_CLASS_(sem), sem);
    uintptr_t before = __atomic_fetch_sub(&sem->word, RWSEM_READER, __ATOMIC_SEQ_CST);
    ASSERT(before >= RWSEM_READER && (before & LOCK_OWNED) == 0);
    if (unlikely(before == (RWSEM_READER | LOCK_WAITERS))) {
        rwsem_unlock_read_slow(sem);
    }
}

void rwsem_lock_write(struct rwsem *sem)
{
    might_sleep();
    lockdep_acquire(RWSEM_CLASS_(sem), sem, false, (uintptr_t)__builtin_return_address(0));
    if (unlikely(!rwsem_try_write(sem))) {
        rwsem_lock_write_slow(sem);
    }
}

bool rwsem_trylock_write(struct rwsem *sem)
{
    if (!rwsem_try_write(sem)) {
        return false;
    }
    lockdep_acquire(RWSEM_CLASS_(sem), sem, true, (uintptr_t)__builtin_return_address(0));
    return true;
}

void rwsem_unlock_write(struct rwsem *sem)
{
    uintptr_t expected = word_of_writer(current_thread());

    ASSERT(rwsem_is_writer(sem));
    lockdep_release(RWSEM_CLASS_(sem), sem);
    if (unlikely(!word_cas(sem, &expected, 0))) {
        rwsem_unlock_write_slow(sem);
    }
}

void rwsem_downgrade(struct rwsem *sem)
{
    uintptr_t expected = word_of_writer(current_thread());

    ASSERT(rwsem_is_writer(sem));
    if (!word_cas(sem, &expected, RWSEM_READER)) {
        rwsem_downgrade_slow(sem);
    }
}
