/*
 * The slow paths of the reader-writer lock. Whoever must wait takes the queue's lock, which is fair, and so becomes the first: a reader then
 * waits for the writer that holds the lock, a writer for all who hold it, and asks new readers to queue up behind. The idea of
 * a counter in front of a queue is that of Mellor-Crummey and Scott, "Scalable reader-writer synchronization for shared-memory
 * multiprocessors", PPoPP 1991, section 3.
 */
#include "kernel/sync/rwlock.h"

void rwlock_wait_read(struct rwlock *lock)
{
    /* Not as a reader meanwhile: the writer before us waits for these. */
    (void)__atomic_fetch_sub(&lock->value, RWLOCK_READER, __ATOMIC_RELAXED);
    spin_lock_raw_(&lock->queue);
    uint32_t value = __atomic_fetch_add(&lock->value, RWLOCK_READER, __ATOMIC_ACQUIRE);
    while ((value & RWLOCK_WRITER) != 0) {
        cpu_relax();
        value = atomic_load_acquire(&lock->value);
    }
    spin_unlock_raw_(&lock->queue);
}

void rwlock_wait_write(struct rwlock *lock)
{
    uint32_t value;

    spin_lock_raw_(&lock->queue);
    (void)__atomic_fetch_or(&lock->value, RWLOCK_WAITING, __ATOMIC_RELAXED);
    do {
        while ((value = atomic_load_relaxed(&lock->value)) != RWLOCK_WAITING) {
            cpu_relax();
        }
    } while (!atomic_cas(&lock->value, &value, RWLOCK_WRITER));
    spin_unlock_raw_(&lock->queue);
}
