/*
 * Lock-order checker of debug builds: each lock belongs to a class; the first time class B is taken while A is held the
 * order A -> B is recorded, and taking A under B later is reported once, with the places. Also reported: taking a lock with
 * interrupts on that an interrupt handler takes too (or that is taken under one that it takes), and the same of softirqs; taking a lock twice,
 * releasing one that is not held, sleeping or returning to user mode with one held. In release builds all of it compiles to nothing.
 */
#pragma once

#include "kernel/base/types.h"

struct lock_class {
    const char *name;
    uint16_t id; /* [a] 0: not yet registered */
    bool sleeps; /* [I] held by a thread, not by a CPU */
    bool
        nests; /* [I] several of this class are held at once, in an order that the owner sees to (by address, down a tree) */
    bool
        event; /* [I] no lock but something that is waited for: who holds a lock waits for it, who takes one makes it come */
};

/* Locks held, newest last. One for each CPU (spinlocks) and one in each thread (locks that sleep). */
#define LOCKDEP_HELD_MAX 24
struct lockdep_stack {
    unsigned n;
    struct {
        const void *lock;
        uintptr_t place;
        uint16_t class;
    } held[LOCKDEP_HELD_MAX];
};

#ifdef CONFIG_LOCKDEP
/*
 * `caller` is the place to report, 0: where this is called. A lock that is waited for is announced before it is taken; one got by
 * trying, afterwards.
 */
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
/* Report once per place that `what` at file:line is wrong, with the locks held. */
void lockdep_fail_at(uintptr_t place, const char *what, const char *file, int line);
/* In debug builds: report (once per place) when the caller may not sleep here. */
void might_sleep_at(const char *file, int line);
#define might_sleep() might_sleep_at(__FILE__, __LINE__)
/* A thread leaves for user mode, or ends: it may hold nothing. */
void lockdep_check_none_held(const char *where);
/* Give a lock another class than its init did: when its owner's kind decides what may be held with it. */
#define lockdep_set_class(lock, new_class) ((void)((lock)->class = (new_class)))
/* Do not report sleeping, for tests that play a thread where nothing can be waited for. */
void lockdep_ignore_sleeping(bool ignore);
/* Set by sched when threads run: the stack of the current one. Nothing is said about sleeping before. */
extern struct lockdep_stack *(*lockdep_thread_stack)(void);
/* Stop checking, for panic. */
void lockdep_off(void);
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
static inline void lockdep_check_none_held(const char *where)
{
    (void)where;
}
static inline void lockdep_off(void)
{
}
#define lockdep_set_class(lock, new_class) ((void)(lock), (void)(new_class))
#define lock_assert_held(lock)             ((void)(lock))
#define might_sleep()                      ((void)0)
#endif
