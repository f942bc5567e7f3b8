/*
 * futex(2): waiting for a word of user memory to change, found by its address.
 *
 * Wait and wake, with bitsets, private and shared; requeueing; waiting for any of several words; what a thread leaves locked when it ends.
 * And locks that inherit priority, whose word names their owner.
 */
#pragma once

#include "kernel/base/errno.h"
#include "kernel/sched/sched.h"

#define FUTEX_ANY 0xffffffffu /* the bitset that meets every other */

/*
 * Sleep while *uaddr == value, until a wake whose bitset meets ours. `private` says that only this address space waits on it.
 * 0; -EAGAIN: another value was there; -ETIMEDOUT; -ERESTARTSYS: a signal; -EFAULT;
 * -EINVAL: not aligned, or an empty bitset. May sleep.
 */
int futex_wait(uint32_t __user *uaddr, bool private, uint32_t value, uint32_t bitset,
               struct time_limit limit);

struct futex_word {
    uint32_t __user *uaddr;
    uint32_t value;
    bool private;
};

/* The same for any of `count` words: which one was woken. -EAGAIN: one of them has another value. -ENOMEM. */
int futex_wait_any(const struct futex_word *words, unsigned count, struct time_limit limit);
/*
 * Wake up to `count` waiters in the order they came, and one even where `count` is less; how many there were. May sleep.
 * -EFAULT, -EINVAL.
 */
int futex_wake(uint32_t __user *uaddr, bool private, int count, uint32_t bitset);
/*
 * Wake `wake` waiters of *uaddr and let up to `move` others wait for *uaddr2 instead; how many there were together. expected, or NULL:
 * -EAGAIN where *uaddr has another value. -EFAULT, -EINVAL. May sleep.
 */
int futex_requeue(uint32_t __user *uaddr, uint32_t __user *uaddr2, bool private, int wake, int move,
                  const uint32_t *expected);
/*
 * Change *uaddr2 as FUTEX_OP() has `encoded`, wake waiters of *uaddr, and those of *uaddr2 if its former value was as `encoded` says. How
 * many there were together. -EFAULT, -EINVAL, -ENOSYS: no such operation or comparison. May sleep.
 */
int futex_wake_op(uint32_t __user *uaddr, uint32_t __user *uaddr2, bool private, int wake,
                  int wake2, uint32_t encoded);

/*
 * FUTEX_LOCK_PI: take the lock, or wait for it and let its owner inherit our priority. `try`: -EWOULDBLOCK instead of waiting.
 * -EDEADLK, -EFAULT, -EINVAL, -ENOMEM, -ERESTARTNOINTR, -ESRCH: the word names nobody; -ETIMEDOUT. May sleep.
 */
int futex_lock_pi(uint32_t __user *uaddr, bool private, bool try, struct time_limit limit);
/* FUTEX_UNLOCK_PI: the lock goes to the best that waits. -EPERM: it is not ours. -EFAULT, -EINVAL. May sleep. */
int futex_unlock_pi(uint32_t __user *uaddr, bool private);
/* FUTEX_WAIT_REQUEUE_PI: wait as futex_wait() does, until somebody moves us to the lock *uaddr2, and for that. */
int futex_wait_requeue_pi(uint32_t __user *uaddr, bool private, uint32_t value, uint32_t bitset,
                          struct time_limit limit, uint32_t __user *uaddr2);
/* FUTEX_CMP_REQUEUE_PI: the first waiter of *uaddr gets the lock *uaddr2 or waits for it, and up to `move` others wait for it. */
int futex_requeue_pi(uint32_t __user *uaddr, uint32_t __user *uaddr2, bool private, int move,
                     uint32_t expected);
/* The thread ends, after futex_exit_robust(): locks that others wait for go to them. */
void futex_exit_pi(struct thread *thread);

/*
 * The current thread lets go of its memory: what its robust list says it has locked is marked as its dead owner's, and a waiter
 * woken (get_robust_list(2)). Forgets the list. May sleep.
 */
void futex_exit_robust(struct thread *thread);
