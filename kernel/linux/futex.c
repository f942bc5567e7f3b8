/*
 * futex(2).
 */
#include <linux/futex.h>

#include "kernel/core/log.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/proc/futex.h"
#include "kernel/sched/thread.h"

/* An interrupted wait with a time limit goes on with the same deadline. */
static int64_t wait_again(struct thread_restart *restart)
{
    uint32_t __user *uaddr = (uint32_t __user *)restart->arg[0];
    uint32_t value = (uint32_t)restart->arg[1], bitset = (uint32_t)(restart->arg[1] >> 32);
    int64_t result =
        futex_wait(uaddr, restart->arg[3] != 0, value, bitset, (ktime_t)restart->arg[2]);

    if (result == -ERESTARTSYS && (ktime_t)restart->arg[2] != KTIME_MAX) {
        restart->fn = wait_again;
        return -ERESTART_RESTARTBLOCK;
    }
    return result;
}

/* FUTEX_WAIT has a relative time limit, FUTEX_WAIT_BITSET an absolute one of either clock. */
static int wait_deadline(int op, const struct __kernel_timespec __user *uts, ktime_t *ret_deadline)
{
    ktime_t t;

    *ret_deadline = KTIME_MAX;
    if (uts == NULL) {
        return 0;
    }
    int err = timespec_from_user(&t, uts);
    if (err < 0) {
        return err;
    }
    ktime_t now = ktime_now();
    if ((op & FUTEX_CMD_MASK) == FUTEX_WAIT) {
        *ret_deadline = ktime_after(now, t);
    } else if ((op & FUTEX_CLOCK_REALTIME) != 0) {
        *ret_deadline = ktime_after(now, t - ktime_realtime());
    } else {
        *ret_deadline = t;
    }
    return 0;
}

static int64_t wait(uint32_t __user *uaddr, int op, uint32_t value,
                    const struct __kernel_timespec __user *uts, uint32_t bitset)
{
    struct thread_restart *restart = &current_thread()->restart;
    ktime_t deadline;
    int err = wait_deadline(op, uts, &deadline);

    if (err < 0) {
        return err;
    }
    restart->arg[0] = (uintptr_t)uaddr;
    restart->arg[1] = value | (uint64_t)bitset << 32;
    restart->arg[2] = (uint64_t)deadline;
    restart->arg[3] = (op & FUTEX_PRIVATE_FLAG) != 0;
    return wait_again(restart);
}

SYSCALL6(futex, uint32_t __user *, uaddr, int, op, uint32_t, value,
         const struct __kernel_timespec __user *, uts, uint32_t __user *, uaddr2, uint32_t, value3)
{
    bool private = (op & FUTEX_PRIVATE_FLAG) != 0;

    (void)uaddr2;
    switch (op & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
        return wait(uaddr, op, value, uts, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAIT_BITSET:
        return wait(uaddr, op, value, uts, value3);
    case FUTEX_WAKE:
        return futex_wake(uaddr, private, value, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAKE_BITSET:
        return futex_wake(uaddr, private, value, value3);
    default:
        log_once(LOG_NOTICE, "syscall: futex operation %d is not here; asked for by %s",
                 op & FUTEX_CMD_MASK, current_thread()->comm);
        return -ENOSYS;
    }
}
