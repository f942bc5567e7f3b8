/*
 * futex(2): waiting for a word of user memory to change, found by its address.
 *
 * Today: wait and wake, with bitsets, private and shared. Requeueing, priority inheritance and robust lists come with threads.
 */
#pragma once

#include "kernel/base/errno.h"
#include "kernel/core/time.h"

#define FUTEX_ANY 0xffffffffu /* the bitset that meets every other */

/*
 * Sleep while *uaddr == value, until a wake whose bitset meets ours. `private` says that only this address space waits on it.
 * deadline: monotonic, KTIME_MAX for none. 0; -EAGAIN: another value was there; -ETIMEDOUT; -ERESTARTSYS: a signal; -EFAULT;
 * -EINVAL: not aligned, or an empty bitset. May sleep.
 */
int futex_wait(uint32_t __user *uaddr, bool private, uint32_t value, uint32_t bitset,
               ktime_t deadline);
/* Wake up to `count` waiters in the order they came; how many there were. May sleep. -EFAULT, -EINVAL. */
int futex_wake(uint32_t __user *uaddr, bool private, unsigned count, uint32_t bitset);
