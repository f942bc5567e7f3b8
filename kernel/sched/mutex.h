/*
 * Locks that sleep. Thread context only. Not recursive.
 *
 * struct mutex: one holder; waiters queue in order. struct rwsem: many readers or one writer, writers are not starved.
 */
#pragma once

#include "kernel/sched/wait.h"

struct mutex {
    struct thread *owner; /* [a] NULL: free. The uncontended lock is one compare-and-swap */
    struct wait_queue queue;
#ifdef CONFIG_LOCKDEP
    struct lock_class *class;
#endif
};

struct rwsem {
    int64_t count;            /* [a] readers, or -1 with a writer */
    uint32_t writers_waiting; /* [a] */
    struct thread *writer;
    struct wait_queue queue;
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
        .queue = WAIT_QUEUE_INIT((m).queue), .class = &(struct lock_class)                         \
        {                                                                                          \
            .name = #m, .sleeps = true                                                             \
        }                                                                                          \
    }
#else
#define mutex_init(m, text) mutex_setup(m)
#define rwsem_init(s, text) rwsem_setup(s)
#define MUTEX_INIT(m)                                                                              \
    {                                                                                              \
        .queue = WAIT_QUEUE_INIT((m).queue)                                                        \
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
    return __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) == current_thread();
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
