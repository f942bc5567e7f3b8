/*
 * Queued spinlock: fair, one word. Holding one disables preemption; the holder never sleeps.
 *
 * spin_lock()          data never touched by interrupt handlers
 * spin_lock_irq()      caller knows interrupts are on
 * spin_lock_irqsave()  anywhere
 * spin_lock_softirq()  threads, for data that softirqs touch, which take spin_lock(), and interrupt handlers do not
 *
 * Each place that initialises a lock names its class (a static struct), so locks of one kind share an order.
 */
#pragma once

#include "kernel/base/atomic.h"
#include "kernel/machine/preempt.h"
#include "kernel/sync/lockdep.h"

struct spinlock {
    union {
        uint32_t value; /* [a] 0: free; the upper three bytes say who waits last (spinlock.c) */
        uint8_t locked; /* its lowest byte: 1 while somebody holds the lock */
    };
#ifdef CONFIG_LOCKDEP
    struct lock_class *class;
#endif
};

#define SPIN_LOCKED 1u

#ifdef CONFIG_LOCKDEP
#define SPINLOCK_INIT(text)                                                                        \
    {                                                                                              \
        .class = &(struct lock_class)                                                              \
        {                                                                                          \
            .name = text                                                                           \
        }                                                                                          \
    }
#define spin_init(lock, text)                                                                      \
    do {                                                                                           \
        static struct lock_class lock_class_ = {.name = (text)};                                   \
        (lock)->value = 0;                                                                         \
        (lock)->class = &lock_class_;                                                              \
    } while (0)
#define SPIN_CLASS_(lock) ((lock)->class)
#else
#define SPINLOCK_INIT(text)                                                                        \
    {                                                                                              \
        .value = 0                                                                                 \
    }
#define spin_init(lock, text) ((lock)->value = 0)
#define SPIN_CLASS_(lock)     NULL
#endif

/* The slow path: somebody holds the lock, or waits for it. Preemption is off. Returns with the lock held. */
void spin_wait(struct spinlock *lock);

static inline bool spin_trylock_raw_(struct spinlock *lock)
{
    uint32_t free = 0;

    return __atomic_compare_exchange_n(&lock->value, &free, SPIN_LOCKED, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

static inline void spin_lock_raw_(struct spinlock *lock)
{
    if (unlikely(!spin_trylock_raw_(lock))) {
        spin_wait(lock);
    }
}

static inline void spin_unlock_raw_(struct spinlock *lock)
{
    /* Only the holder writes this byte. Pairs with the acquire in spin_trylock_raw_ and spin_wait. */
    __atomic_store_n(&lock->locked, 0, __ATOMIC_RELEASE);
}

static inline void spin_lock(struct spinlock *lock)
{
    preempt_disable();
    lockdep_acquire(SPIN_CLASS_(lock), lock, false, 0);
    spin_lock_raw_(lock);
}

static inline void spin_unlock(struct spinlock *lock)
{
    lockdep_release(SPIN_CLASS_(lock), lock);
    spin_unlock_raw_(lock);
    preempt_enable();
}

static inline bool spin_trylock(struct spinlock *lock)
{
    preempt_disable();
    if (atomic_load_relaxed(&lock->value) == 0 && spin_trylock_raw_(lock)) {
        lockdep_acquire(SPIN_CLASS_(lock), lock, true, 0);
        return true;
    }
    preempt_enable();
    return false;
}

static inline uint64_t spin_lock_irqsave(struct spinlock *lock)
{
    uint64_t flags = irq_save();
    spin_lock(lock);
    return flags;
}

static inline void spin_unlock_irqrestore(struct spinlock *lock, uint64_t flags)
{
    lockdep_release(SPIN_CLASS_(lock), lock);
    spin_unlock_raw_(lock);
    irq_restore(flags);
    preempt_enable();
}

static inline void spin_lock_irq(struct spinlock *lock)
{
    irq_disable();
    spin_lock(lock);
}

static inline void spin_unlock_irq(struct spinlock *lock)
{
    lockdep_release(SPIN_CLASS_(lock), lock);
    spin_unlock_raw_(lock);
    irq_enable();
    preempt_enable();
}

static inline void spin_lock_softirq(struct spinlock *lock)
{
    softirq_disable();
    spin_lock(lock);
}

static inline void spin_unlock_softirq(struct spinlock *lock)
{
    spin_unlock(lock);
    softirq_enable();
}

static inline bool spin_is_locked(const struct spinlock *lock)
{
    return atomic_load_relaxed(&lock->value) != 0;
}
