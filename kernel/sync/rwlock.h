/*
 * Spinlock for readers or one writer: fair, first come first served, so that neither side starves. Holding one disables preemption; the
 * holder never sleeps. Readers do not nest: a writer may have come between. Who is also taken by interrupt handlers is
 * taken with interrupts off everywhere, for reading too.
 *
 * Readers write the shared word: where they are many and short, kernel/sync/rcu.h or seqlock.h do better.
 */
#pragma once

#include "kernel/sync/spinlock.h"

struct rwlock {
    union {
        uint32_t value; /* [a] RWLOCK_*: readers, and what writers do */
        uint8_t writer; /* its lowest byte */
    };
    struct spinlock queue; /* held by the first of those that wait */
#ifdef CONFIG_LOCKDEP
    struct lock_class *class;
#endif
};

#define RWLOCK_WRITER  0x0ffu /* the lowest byte: held by a writer */
#define RWLOCK_WAITING 0x100u /* a writer is the first to wait: no new readers */
#define RWLOCK_READER  0x200u /* one reader */

#ifdef CONFIG_LOCKDEP
#define rwlock_init(lock, text)                                                                    \
    do {                                                                                           \
        static struct lock_class lock_class_ = {.name = (text)};                                   \
        *(lock) = (struct rwlock){.class = &lock_class_};                                          \
    } while (0)
#define RWLOCK_CLASS_(lock) ((lock)->class)
#else
#define rwlock_init(lock, text) (*(lock) = (struct rwlock){.value = 0})
#define RWLOCK_CLASS_(lock)     NULL
#endif

void rwlock_wait_read(struct rwlock *lock);
void rwlock_wait_write(struct rwlock *lock);

static inline void read_lock(struct rwlock *lock)
{
    preempt_disable();
    lockdep_acquire(RWLOCK_CLASS_(lock), lock, false, 0);
    uint32_t old = __atomic_fetch_add(&lock->value, RWLOCK_READER, __ATOMIC_ACQUIRE);
    if (unlikely((old & (RWLOCK_WRITER | RWLOCK_WAITING)) != 0)) {
        rwlock_wait_read(lock);
    }
}

static inline void read_unlock(struct rwlock *lock)
{
    lockdep_release(RWLOCK_CLASS_(lock), lock);
    (void)__atomic_fetch_sub(&lock->value, RWLOCK_READER, __ATOMIC_RELEASE);
    preempt_enable();
}

static inline void write_lock(struct rwlock *lock)
{
    uint32_t free = 0;

    preempt_disable();
    lockdep_acquire(RWLOCK_CLASS_(lock), lock, false, 0);
    if (unlikely(!__atomic_compare_exchange_n(&lock->value, &free, RWLOCK_WRITER, false,
                                              __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))) {
        rwlock_wait_write(lock);
    }
}

static inline void write_unlock(struct rwlock *lock)
{
    lockdep_release(RWLOCK_CLASS_(lock), lock);
    __atomic_store_n(&lock->writer, 0, __ATOMIC_RELEASE); /* only the writer writes this byte */
    preempt_enable();
}

static inline uint64_t read_lock_irqsave(struct rwlock *lock)
{
    uint64_t flags = irq_save();
    read_lock(lock);
    return flags;
}

static inline void read_unlock_irqrestore(struct rwlock *lock, uint64_t flags)
{
    lockdep_release(RWLOCK_CLASS_(lock), lock);
    (void)__atomic_fetch_sub(&lock->value, RWLOCK_READER, __ATOMIC_RELEASE);
    irq_restore(flags);
    preempt_enable();
}

static inline uint64_t write_lock_irqsave(struct rwlock *lock)
{
    uint64_t flags = irq_save();
    write_lock(lock);
    return flags;
}

static inline void write_unlock_irqrestore(struct rwlock *lock, uint64_t flags)
{
    lockdep_release(RWLOCK_CLASS_(lock), lock);
    __atomic_store_n(&lock->writer, 0, __ATOMIC_RELEASE); /* only the writer writes this byte */
    irq_restore(flags);
    preempt_enable();
}
