/*
 * Locks that sleep. Thread context only. Not recursive.
 *
 * struct mutex: one holder. struct rwsem: many readers or one writer, neither of which starve.
 *
 * Who waits lends its priority to the mutex's holder, or to the semaphore's writer, and through these to whomever they wait for themselves (pi.h).
 * Readers inherit nothing: rwsem.c says why. Waiters come by rank, then in order; a thread that runs may take a free lock before one that has to
 * be woken first, but not before a real-time one of better or the same priority, and only a few times: then the lock is handed over.
 * While the holder runs on another CPU, who wants the lock spins for a while before it sleeps (spin_queue.h).
 *
 * Letting go of a lock that nobody waits for is the last access to its memory; so is mutex_unlock() at any time, once the next holder has returned from
 * its mutex_lock(): the object that holds the mutex may be freed then.
 */
#pragma once

#include "kernel/sched/wait.h"

struct mutex {
    uintptr_t word; /* [a] the holder; see mutex.c. The uncontended lock is one compare-and-swap */
    struct pi_lock wait; /* who waits; its owner is the holder while somebody does */
#ifdef CONFIG_LOCKDEP
    struct lock_class *class;
#endif
};

struct rwsem {
    uintptr_t word;           /* [a] the writer, or how many readers; see rwsem.c */
    struct pi_lock wait;      /* who waits; its owner is the writer while somebody does */
    struct list_node readers; /* [wait.lock] waiting readers */
#ifdef CONFIG_LOCKDEP
    struct lock_class *class;
#endif
};

#ifdef CONFIG_LOCKDEP
#define mutex_init(m, text)                                                                        \
    do {                                                                                           \
        static struct lock_class lock_class_ = {.name = (text), .sleeps = true};                   \
        mutex_setup((m));                                                                          \
        (m)->class = &lock_class_;                                                                 \
    } while (0)
#define rwsem_init(s, text)                                                                        \
    do {                                                                                           \
        static struct lock_class lock_class_ = {.name = (text), .sleeps = true};                   \
        rwsem_setup((s));                                                                          \
        (s)->class = &lock_class_;                                                                 \
    } while (0)
#define MUTEX_INIT(m)                                                                              \
    {                                                                                              \
        .wait = PI_LOCK_INIT, .class = &(struct lock_class)                                        \
        {                                                                                          \
            .name = #m, .sleeps = true                                                             \
        }                                                                                          \
    }
#else
#define mutex_init(m, text) mutex_setup(m)
#define rwsem_init(s, text) rwsem_setup(s)
#define MUTEX_INIT(m)                                                                              \
    {                                                                                              \
        .wait = PI_LOCK_INIT                                                                       \
    }
#endif

void mutex_setup(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
/* -EINTR when a signal came first; the lock is not held then. */
int mutex_lock_interruptible(struct mutex *mutex) __must_check;
bool mutex_trylock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);
static inline bool mutex_is_held(const struct mutex *mutex)
{
    return (atomic_load_relaxed(&mutex->word) & ~(uintptr_t)0x7) == (uintptr_t)current_thread();
}

void rwsem_setup(struct rwsem *sem);
void rwsem_lock_read(struct rwsem *sem);
bool rwsem_trylock_read(struct rwsem *sem);
void rwsem_unlock_read(struct rwsem *sem);
void rwsem_lock_write(struct rwsem *sem);
bool rwsem_trylock_write(struct rwsem *sem);
void rwsem_unlock_write(struct rwsem *sem);
/* Writer becomes reader without letting another writer in between. */
void rwsem_downgrade(struct rwsem *sem);
