/*
 * futex(2), futex_waitv(2), and the lists of robust futexes.
 */
#include <linux/futex.h>
#include <linux/time.h>

#include "kernel/core/log.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/futex.h"
#include "kernel/proc/process.h"
#include "kernel/sched/thread.h"

/* arg[3] of an interrupted wait. */
#define AGAIN_PRIVATE 0x1u
#define AGAIN_REAL    0x2u

/* An interrupted wait with a time limit goes on with the same limit. */
static int64_t wait_again(struct thread_restart *restart)
{
    uint32_t __user *uaddr = (uint32_t __user *)restart->arg[0];
    uint32_t value = (uint32_t)restart->arg[1], bitset = (uint32_t)(restart->arg[1] >> 32);
    struct time_limit limit = {(ktime_t)restart->arg[2], (restart->arg[3] & AGAIN_REAL) != 0};
    int64_t result =
        futex_wait(uaddr, (restart->arg[3] & AGAIN_PRIVATE) != 0, value, bitset, limit);

    if (result == -ERESTARTSYS && limit.at != KTIME_MAX) {
        restart->fn = wait_again;
        return -ERESTART_RESTARTBLOCK;
    }
    return result;
}

/* FUTEX_WAIT has a relative time limit, FUTEX_LOCK_PI one of the wall clock, the others an absolute one of either clock. */
static int wait_limit(int op, const struct __kernel_timespec __user *uts,
                      struct time_limit *ret_limit)
{
    ktime_t t;

    *ret_limit = TIME_LIMIT_NONE;
    if (uts == NULL) {
        return 0;
    }
    int err = timespec_from_user(&t, uts);
    if (err < 0) {
        return err;
    }
    if ((op & FUTEX_CMD_MASK) == FUTEX_WAIT) {
        t = ktime_after(ktime_now(), t);
    }
    ret_limit->at = t;
    ret_limit->real = (op & FUTEX_CLOCK_REALTIME) != 0 || (op & FUTEX_CMD_MASK) == FUTEX_LOCK_PI;
    return 0;
}

static int64_t wait(uint32_t __user *uaddr, int op, uint32_t value,
                    const struct __kernel_timespec __user *uts, uint32_t bitset)
{
    struct thread_restart *restart = &current_thread()->restart;
    struct time_limit limit;
    int err = wait_limit(op, uts, &limit);

    if (err < 0) {
        return err;
    }
    restart->arg[0] = (uintptr_t)uaddr;
    restart->arg[1] = value | (uint64_t)bitset << 32;
    restart->arg[2] = (uint64_t)limit.at;
    restart->arg[3] =
        ((op & FUTEX_PRIVATE_FLAG) != 0 ? AGAIN_PRIVATE : 0) | (limit.real ? AGAIN_REAL : 0);
    return wait_again(restart);
}

/* In the place of a time limit: how many to move to the second word, or to wake there. */
static int count_of(const struct __kernel_timespec __user *uts)
{
    return (int)(uintptr_t)uts;
}

static int64_t lock_pi(uint32_t __user *uaddr, int op, const struct __kernel_timespec __user *uts)
{
    struct time_limit limit;
    int err = wait_limit(op, uts, &limit);

    return err < 0 ? err : futex_lock_pi(uaddr, (op & FUTEX_PRIVATE_FLAG) != 0, false, limit);
}

static int64_t wait_requeue_pi(uint32_t __user *uaddr, int op, uint32_t value,
                               const struct __kernel_timespec __user *uts, uint32_t __user *uaddr2,
                               uint32_t bitset)
{
    struct time_limit limit;
    int err = wait_limit(op, uts, &limit);

    return err < 0 ? err
                   : futex_wait_requeue_pi(uaddr, (op & FUTEX_PRIVATE_FLAG) != 0, value, bitset,
                                           limit, uaddr2);
}

SYSCALL6(futex, uint32_t __user *, uaddr, int, op, uint32_t, value,
         const struct __kernel_timespec __user *, uts, uint32_t __user *, uaddr2, uint32_t, value3)
{
    bool private = (op & FUTEX_PRIVATE_FLAG) != 0;
    int command = op & FUTEX_CMD_MASK;

    if ((op & FUTEX_CLOCK_REALTIME) != 0 && command != FUTEX_WAIT_BITSET &&
        command != FUTEX_WAIT_REQUEUE_PI && command != FUTEX_LOCK_PI2) {
        return -ENOSYS;
    }
    switch (command) {
    case FUTEX_WAIT:
        return wait(uaddr, op, value, uts, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAIT_BITSET:
        return wait(uaddr, op, value, uts, value3);
    case FUTEX_WAKE:
        return futex_wake(uaddr, private, (int)value, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_WAKE_BITSET:
        return futex_wake(uaddr, private, (int)value, value3);
    case FUTEX_REQUEUE:
        return futex_requeue(uaddr, uaddr2, private, (int)value, count_of(uts), NULL);
    case FUTEX_CMP_REQUEUE:
        return futex_requeue(uaddr, uaddr2, private, (int)value, count_of(uts), &value3);
    case FUTEX_WAKE_OP:
        return futex_wake_op(uaddr, uaddr2, private, (int)value, count_of(uts), value3);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
        return lock_pi(uaddr, op, uts);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi(uaddr, private, true, TIME_LIMIT_NONE);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(uaddr, private);
    case FUTEX_WAIT_REQUEUE_PI:
        return wait_requeue_pi(uaddr, op, value, uts, uaddr2, FUTEX_BITSET_MATCH_ANY);
    case FUTEX_CMP_REQUEUE_PI:
        return value != 1 ? -EINVAL
                          : futex_requeue_pi(uaddr, uaddr2, private, count_of(uts), value3);
    default:
        log_once(LOG_NOTICE, "syscall: futex operation %d is not here; asked for by %s", command,
                 current_thread()->comm);
        return -ENOSYS;
    }
}

/* ---- several words ---- */

static int words_from_user(struct futex_word *words, const struct futex_waitv __user *uwords,
                           unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct futex_waitv word;
        if (copy_from_user(&word, user_at(uwords, i * sizeof(word)), sizeof(word)) < 0) {
            return -EFAULT;
        }
        if ((word.flags & ~(FUTEX_32 | FUTEX_PRIVATE_FLAG)) != 0 || word.__reserved != 0 ||
            (word.flags & FUTEX_32) == 0 || (uint32_t)word.val != word.val) {
            return -EINVAL;
        }
        words[i] = (struct futex_word){(uint32_t __user *)(uintptr_t)word.uaddr, (uint32_t)word.val,
                                       (word.flags & FUTEX_PRIVATE_FLAG) != 0};
    }
    return 0;
}

SYSCALL5(futex_waitv, const struct futex_waitv __user *, uwords, unsigned, count, unsigned, flags,
         const struct __kernel_timespec __user *, uts, int, clock)
{
    struct time_limit limit = TIME_LIMIT_NONE;

    if (flags != 0 || count == 0 || count > FUTEX_WAITV_MAX || uwords == NULL) {
        return -EINVAL;
    }
    if (uts != NULL) {
        if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME) {
            return -EINVAL;
        }
        int op = FUTEX_WAIT_BITSET | (clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0);
        int err = wait_limit(op, uts, &limit);
        if (err < 0) {
            return err;
        }
    }
    struct futex_word *words = kcalloc(count, sizeof(*words));
    if (words == NULL) {
        return -ENOMEM;
    }
    int result = words_from_user(words, uwords, count);
    if (result == 0) {
        result = futex_wait_any(words, count, limit);
    }
    kfree(words);
    return result;
}

/* ---- robust lists ---- */

SYSCALL2(set_robust_list, struct robust_list_head __user *, head, size_t, len_bytes)
{
    if (len_bytes != sizeof(*head)) {
        return -EINVAL;
    }
    WRITE_ONCE(current_thread()->robust_list, head);
    return 0;
}

SYSCALL3(get_robust_list, int, tid, struct robust_list_head __user *__user *, uhead,
         size_t __user *, ulen)
{
    struct robust_list_head __user *head = current_thread()->robust_list;

    if (tid != 0) {
        struct thread *thread;
        struct process *process = process_find_thread(tid, &thread);
        if (process == NULL) {
            return -ESRCH;
        }
        head = READ_ONCE(thread->robust_list); /* first: execve may change whose it is */
        bool allowed = process_may_access(process);
        thread_put(thread);
        process_put(process);
        if (!allowed) {
            return -EPERM;
        }
    }
    if (put_user(sizeof(*head), ulen) < 0 ||
        put_user((uintptr_t)head, (uintptr_t __user *)uhead) < 0) {
        return -EFAULT;
    }
    return 0;
}
