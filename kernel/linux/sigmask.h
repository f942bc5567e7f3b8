/*
 * The temporary signal mask of ppoll, pselect and epoll_pwait.
 */
#pragma once

#include "kernel/machine/user.h"
#include "kernel/proc/signal.h"

/* NULL: none. -EINVAL: not the size of a mask, -EFAULT. */
static inline int sigmask_begin(const uint64_t __user *umask, size_t size)
{
    uint64_t mask;

    if (umask == NULL) {
        return 0;
    }
    if (size != sizeof(mask)) {
        return -EINVAL;
    }
    if (get_user(mask, umask) < 0) {
        return -EFAULT;
    }
    current_thread()->saved_sigmask = current_thread()->sig_blocked;
    signal_mask_set(mask);
    return 0;
}

/* The old mask comes back at once, or after the handler of the signal that ended the wait. */
static inline void sigmask_end(const uint64_t __user *umask, bool interrupted)
{
    if (umask == NULL) {
        return;
    }
    if (interrupted) {
        thread_set_work(current_thread(), THREAD_WORK_SIGMASK);
    } else {
        signal_mask_set(current_thread()->saved_sigmask);
    }
}
