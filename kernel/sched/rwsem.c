/*
 * Many readers or one writer, sleeping.
 *
 * Phases alternate when both wait: the last reader wakes a writer, and a writer that leaves wakes the readers. While a writer waits,
 * newcomers that want to read queue up; one that has queued no longer gives way to writers, so neither side is starved.
 *
 * Taking it free is one compare-and-swap. As in mutex.c the queue is joined before the last try, and left for others to be
 * woken after the count has changed.
 */
#include "kernel/core/panic.h"
#include "kernel/sched/mutex.h"

#ifdef CONFIG_LOCKDEP
#define RWSEM_CLASS_(sem) ((sem)->class)
#else
#define RWSEM_CLASS_(sem) NULL
#endif

#define RWSEM_WRITER (-1)

void rwsem_setup(struct rwsem *sem)
{
    sem->count = 0;
    sem->writers_waiting = 0;
    sem->writer = NULL;
    wait_queue_init(&sem->queue);
}

static inline bool rwsem_try_read(struct rwsem *sem)
{
    int64_t count = atomic_load_relaxed(&sem->count);

    while (count >= 0) {
        if (__atomic_compare_exchange_n(&sem->count, &count, count + 1, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
            return true;
        }
    }
    return false;
}

static inline bool rwsem_try_write(struct rwsem *sem)
{
    int64_t expected = 0;

    if (!__atomic_compare_exchange_n(&sem->count, &expected, RWSEM_WRITER, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_RELAXED)) {
        return false;
    }
    atomic_store_relaxed(&sem->writer, current_thread());
    return true;
}

/* Wake the first writer; with `readers_first` only when no reader waits, else all of those. Readers stand before writers. */
static __noinline void rwsem_wake(struct rwsem *sem, bool readers_first)
{
    struct waiter *waiter;
    bool readers = false, woken = false;
    uint64_t flags = spin_lock_irqsave(&sem->queue.lock);

    list_for_each (waiter, &sem->queue.waiters, node) {
        if (waiter->exclusive) {
            woken = !readers && waiter->fn(waiter, 0);
            if (woken || readers) {
                break;
            }
        } else if (readers_first) {
            readers |=
                waiter->fn(waiter, 0); /* false: awake already, or a bookmark of wait_wake_n() */
        }
    }
    spin_unlock_irqrestore(&sem->queue.lock, flags);
    if (!readers_first && !woken) {
        rwsem_wake(sem, true); /* no writer after all */
    }
}

static __noinline void rwsem_lock_read_slow(struct rwsem *sem)
{
    struct waiter waiter;

    ASSERT(sem->writer != current_thread());
    waiter_init(&waiter);
    wait_add(&sem->queue, &waiter);
    /* Until the first sleep a waiting writer comes first. */
    for (bool slept = false;; slept = true) {
        thread_prepare_sleep(THREAD_UNINTERRUPTIBLE);
        if ((slept || atomic_load_relaxed(&sem->writers_waiting) == 0) && rwsem_try_read(sem)) {
            break;
        }
        schedule();
    }
    thread_finish_sleep();
    wait_remove(&sem->queue, &waiter);
}

static __noinline void rwsem_lock_write_slow(struct rwsem *sem)
{
    struct waiter waiter;

    ASSERT(sem->writer != current_thread());
    waiter_init(&waiter);
    (void)__atomic_fetch_add(&sem->writers_waiting, 1, __ATOMIC_SEQ_CST);
    wait_add_exclusive(&sem->queue, &waiter);
    for (;;) {
        thread_prepare_sleep(THREAD_UNINTERRUPTIBLE);
        if (rwsem_try_write(sem)) {
            break;
        }
        schedule();
    }
    thread_finish_sleep();
    wait_remove(&sem->queue, &waiter);
    (void)__atomic_fetch_sub(&sem->writers_waiting, 1, __ATOMIC_SEQ_CST);
}

void rwsem_lock_read(struct rwsem *sem)
{
    might_sleep();
    lockdep_acquire(RWSEM_CLASS_(sem), sem, false, (uintptr_t)__builtin_return_address(0));
    if (unlikely(atomic_load_relaxed(&sem->writers_waiting) != 0 || !rwsem_try_read(sem))) {
        rwsem_lock_read_slow(sem);
    }
}

bool rwsem_trylock_read(struct rwsem *sem)
{
    if (!rwsem_try_read(sem)) {
        return false;
    }
    lockdep_acquire(RWSEM_CLASS_(sem), sem, true, (uintptr_t)__builtin_return_address(0));
    return true;
}

void rwsem_unlock_read(struct rwsem *sem)
{
    lockdep_release(RWSEM_CLASS_(sem), sem);
    int64_t before = __atomic_fetch_sub(&sem->count, 1, __ATOMIC_SEQ_CST);
    ASSERT(before > 0);
    if (unlikely(before == 1 && !list_empty(&sem->queue.waiters))) {
        rwsem_wake(sem, false);
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
    ASSERT(sem->writer == current_thread());
    lockdep_release(RWSEM_CLASS_(sem), sem);
    atomic_store_relaxed(&sem->writer, NULL);
    (void)__atomic_exchange_n(&sem->count, 0, __ATOMIC_SEQ_CST);
    if (unlikely(!list_empty(&sem->queue.waiters))) {
        wait_wake_one(
            &sem->queue); /* all readers and one writer: who is first wins, the others keep their place */
    }
}

void rwsem_downgrade(struct rwsem *sem)
{
    ASSERT(sem->writer == current_thread());
    atomic_store_relaxed(&sem->writer, NULL);
    (void)__atomic_exchange_n(&sem->count, 1, __ATOMIC_SEQ_CST);
    if (unlikely(!list_empty(&sem->queue.waiters))) {
        rwsem_wake(sem, true);
    }
}
