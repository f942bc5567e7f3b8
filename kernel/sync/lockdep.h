/*
 * Lock-order checker of debug builds: each lock belongs to a class; the first time class B is taken while A is held the
 * order A -> B is recorded, and taking A under B later is reported once, with both places. Also: taking a lock with interrupts
 * on that an interrupt handler takes too. In release builds all of it compiles to nothing.
 */
#pragma once

#include "kernel/base/types.h"

struct lock_class {
    const char *name;
    uint16_t id; /* 0: not yet registered */
};

#ifdef CONFIG_LOCKDEP
void lockdep_acquire(struct lock_class *class, const void *lock, bool trylock, uintptr_t caller);
void lockdep_release(struct lock_class *class, const void *lock);
bool lockdep_held(const void *lock);
#define lock_assert_held(lock)                                                                     \
    do {                                                                                           \
        if (!lockdep_held(lock)) {                                                                 \
            lockdep_fail_not_held(#lock, __FILE__, __LINE__);                                      \
        }                                                                                          \
    } while (0)
void lockdep_fail_not_held(const char *lock, const char *file, int line);
/* In debug builds: report (once per place) when the caller may not sleep here. */
void might_sleep_at(const char *file, int line);
#define might_sleep() might_sleep_at(__FILE__, __LINE__)
#else
static inline void lockdep_acquire(struct lock_class *class, const void *lock, bool trylock,
                                   uintptr_t caller)
{
    (void)class, (void)lock, (void)trylock, (void)caller;
}
static inline void lockdep_release(struct lock_class *class, const void *lock)
{
    (void)class, (void)lock;
}
#define lock_assert_held(lock) ((void)(lock))
#define might_sleep()          ((void)0)
#endif
