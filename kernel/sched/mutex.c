/*
 * The sleeping mutex: one word that names the owner, and a queue.
 *
 * Taking and leaving a free mutex is one compare-and-swap and one exchange. Who leaves it wakes the first waiter, which then takes
 * the word like anybody else: a running thread may get in first, the woken one keeps its place in the queue.
 *
 * Not losing the wake: the waiter is on the queue before it tries the word for the last time; the one who leaves clears the word
 * before it looks at the queue (both with full barriers).
 */
#include "kernel/sched/mutex.h"

#include "kernel/core/panic.h"

#ifdef CONFIG_LOCKDEP
#define MUTEX_CLASS_(mutex) ((mutex)->class)
#else
#define MUTEX_CLASS_(mutex) NULL
#endif

void mutex_setup(struct mutex *mutex)
{
    mutex->owner = NULL;
    wait_queue_init(&mutex->queue);
}

static inline bool mutex_try(struct mutex *mutex)
{
    struct thread *expected = NULL;

    return __atomic_compare_exchange_n(&mutex->owner, &expected, current_thread(), false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static __noinline void mutex_lock_slow(struct mutex *mutex)
{
    struct waiter waiter;

    ASSERT(!mutex_is_held(mutex));
    waiter_init(&waiter);
    wait_add_exclusive(&mutex->queue, &waiter);
    for (;;) {
        thread_prepare_sleep(THREAD_UNINTERRUPTIBLE);
        if (mutex_try(mutex)) {
            break;
        }
        schedule();
    }
    thread_finish_sleep();
    wait_remove(&mutex->queue, &waiter);
}

static __noinline int mutex_lock_slow_interruptible(struct mutex *mutex)
{
    struct waiter waiter;
    int err = 0;

    waiter_init(&waiter);
    wait_add_exclusive(&mutex->queue, &waiter);
    for (;;) {
        thread_prepare_sleep(THREAD_SLEEPING);
        if (mutex_try(mutex)) {
            break;
        }
        if (thread_signal_pending(current_thread())) {
            err = -EINTR;
            break;
        }
        schedule();
    }
    thread_finish_sleep();
    wait_remove(&mutex->queue, &waiter);
    if (err < 0 && atomic_load_relaxed(&mutex->owner) == NULL) {
        wait_wake_one(&mutex->queue); /* the wake that was meant for us goes to the next */
    }
    return err;
}

void mutex_lock(struct mutex *mutex)
{
    might_sleep();
    lockdep_acquire(MUTEX_CLASS_(mutex), mutex, false, (uintptr_t)__builtin_return_address(0));
    if (unlikely(!mutex_try(mutex))) {
        mutex_lock_slow(mutex);
    }
}

int mutex_lock_interruptible(struct mutex *mutex)
{
    might_sleep();
    if (unlikely(!mutex_try(mutex))) {
        int err = mutex_lock_slow_interruptible(mutex);
        if (err < 0) {
            return err;
        }
    }
    lockdep_acquire(MUTEX_CLASS_(mutex), mutex, false, (uintptr_t)__builtin_return_address(0));
    return 0;
}

bool mutex_trylock(struct mutex *mutex)
{
    if (!mutex_try(mutex)) {
        return false;
    }
    lockdep_acquire(MUTEX_CLASS_(mutex), mutex, true, (uintptr_t)__builtin_return_address(0));
    return true;
}

void mutex_unlock(struct mutex *mutex)
{
    ASSERT(mutex_is_held(mutex));
    lockdep_release(MUTEX_CLASS_(mutex), mutex);
    (void)__atomic_exchange_n(&mutex->owner, NULL, __ATOMIC_SEQ_CST);
    if (unlikely(!list_empty(&mutex->queue.waiters))) {
        wait_wake_one(&mutex->queue);
    }
}
