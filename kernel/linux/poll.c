/*
 * poll(2), select(2) and their forms with timespec and signal mask: the waiting is in vfs/poll.c.
 */
#include <linux/poll.h>

#include "kernel/base/bitmap.h"
#include "kernel/linux/sigmask.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/signal.h"
#include "kernel/vfs/fdtable.h"

/* ---- poll ---- */

#define POLL_FAST 64

/* Only the answers go back: the rest of the array is the program's, whatever another thread does with it meanwhile. */
static int poll_answer(struct pollfd __user *ufds, const struct pollfd *fds, unsigned n)
{
    if (!user_begin(ufds, n * sizeof(*ufds))) {
        return -EFAULT;
    }
    for (size_t i = 0; i < n; i++) {
        user_put_inside(fds[i].revents, user_member(user_at(ufds, i * sizeof(*ufds)), revents),
                        fault);
    }
    user_end();
    return 0;

fault:
    return -EFAULT;
}

static int64_t poll_user(struct pollfd __user *ufds, unsigned n, ktime_t deadline)
{
    struct pollfd fast[POLL_FAST], *fds = fast;

    if (n > process_limit(RLIMIT_NOFILE)) {
        return -EINVAL;
    }
    if (n > POLL_FAST) {
        fds = kcalloc(n, sizeof(*fds));
        if (fds == NULL) {
            return -ENOMEM;
        }
    }
    int64_t result = -EFAULT;
    if (copy_from_user(fds, ufds, n * sizeof(*fds)) == 0) {
        result = vfs_do_poll(fds, n, deadline);
        if (result >= 0 && poll_answer(ufds, fds, n) < 0) {
            result = -EFAULT;
        }
    }
    if (fds != fast) {
        kfree(fds);
    }
    return result;
}

static int64_t poll_again(struct thread_restart *restart)
{
    int64_t result = poll_user((struct pollfd __user *)restart->arg[0], (unsigned)restart->arg[1],
                               (ktime_t)restart->arg[2]);

    if (result == -ERESTARTNOHAND) {
        restart->fn = poll_again;
        return -ERESTART_RESTARTBLOCK;
    }
    return result;
}

static ktime_t deadline_after_ms(int timeout_ms)
{
    if (timeout_ms < 0) {
        return KTIME_MAX;
    }
    return timeout_ms == 0 ? 0 : ktime_after(ktime_now(), timeout_ms * NS_PER_MS);
}

SYSCALL3(poll, struct pollfd __user *, fds, unsigned, n, int, timeout_ms)
{
    struct thread_restart *restart = &current_thread()->restart;

    restart->arg[0] = (uintptr_t)fds;
    restart->arg[1] = n;
    restart->arg[2] = (uint64_t)deadline_after_ms(timeout_ms);
    return poll_again(restart);
}

/* A relative timeout in user memory that is given back with what is left. NULL: no limit. */
static int timeout_begin(const struct __kernel_timespec __user *uts, ktime_t *ret_deadline)
{
    ktime_t ns;

    *ret_deadline = KTIME_MAX;
    if (uts == NULL) {
        return 0;
    }
    int err = timespec_from_user(&ns, uts);
    if (err == 0) {
        *ret_deadline = ns == 0 ? 0 : ktime_after(ktime_now(), ns);
    }
    return err;
}

static ktime_t time_left(ktime_t deadline)
{
    return deadline == 0 ? 0 : MAX(deadline - ktime_now(), (ktime_t)0);
}

/*
 * What is told although the time that was left could not be: a read-only timeout is no error, but with one the call, made again, would wait
 * longer than it was asked to.
 */
static int64_t result_untold(int64_t result)
{
    return result == -ERESTARTNOHAND ? -EINTR : result;
}

static int64_t timeout_end(struct __kernel_timespec __user *uts, ktime_t deadline, int64_t result)
{
    if (uts != NULL && deadline != KTIME_MAX && timespec_to_user(uts, time_left(deadline)) < 0) {
        return result_untold(result);
    }
    return result;
}

SYSCALL5(ppoll, struct pollfd __user *, fds, unsigned, n, struct __kernel_timespec __user *, uts,
         const uint64_t __user *, umask, size_t, mask_size)
{
    ktime_t deadline;
    int64_t result = timeout_begin(uts, &deadline);

    if (result == 0) {
        result = sigmask_begin(umask, mask_size);
    }
    if (result < 0) {
        return result;
    }
    result = poll_user(fds, n, deadline);
    sigmask_end(umask, result == -ERESTARTNOHAND);
    return timeout_end(uts, deadline, result);
}

/* ---- select ---- */

#define SELECT_FAST_WORDS 4 /* 256 descriptors without the heap */

static int set_from_user(uint64_t *set, const void __user *uset, size_t words)
{
    if (uset == NULL) {
        for (size_t i = 0; i < words; i++) {
            set[i] = 0;
        }
        return 0;
    }
    return copy_from_user(set, uset, words * sizeof(uint64_t));
}

static int set_to_user(void __user *uset, const uint64_t *set, size_t words)
{
    return uset == NULL ? 0 : copy_to_user(uset, set, words * sizeof(uint64_t));
}

static int64_t select_user(int n, void __user *uin, void __user *uout, void __user *uex,
                           ktime_t deadline)
{
    uint64_t fast[6 * SELECT_FAST_WORDS], *words = fast;

    if (n < 0) {
        return -EINVAL;
    }
    n = MIN(n, (int)current_thread()->files->size);
    size_t count = BITMAP_WORDS((size_t)n);
    if (count > SELECT_FAST_WORDS) {
        words = kcalloc(6 * count, sizeof(uint64_t));
        if (words == NULL) {
            return -ENOMEM;
        }
    }
    uint64_t *in = words, *out = words + count, *ex = words + 2 * count;
    const struct select_sets sets = {.in = in,
                                     .out = out,
                                     .ex = ex,
                                     .ret_in = words + 3 * count,
                                     .ret_out = words + 4 * count,
                                     .ret_ex = words + 5 * count};
    int64_t result = -EFAULT;
    if (set_from_user(in, uin, count) == 0 && set_from_user(out, uout, count) == 0 &&
        set_from_user(ex, uex, count) == 0) {
        result = vfs_do_select(n, &sets, deadline);
    }
    if (result >= 0 &&
        (set_to_user(uin, sets.ret_in, count) < 0 || set_to_user(uout, sets.ret_out, count) < 0 ||
         set_to_user(uex, sets.ret_ex, count) < 0)) {
        result = -EFAULT;
    }
    if (words != fast) {
        kfree(words);
    }
    return result;
}

SYSCALL5(select, int, n, void __user *, in, void __user *, out, void __user *, ex,
         struct __kernel_old_timeval __user *, utv)
{
    struct __kernel_old_timeval tv;
    ktime_t deadline = KTIME_MAX;

    if (utv != NULL) {
        if (copy_from_user(&tv, utv, sizeof(tv)) < 0) {
            return -EFAULT;
        }
        /* Microseconds may be more than a second, also of a time that is negative without them. */
        struct __kernel_timespec ts = {.tv_nsec = tv.tv_usec % 1000000 * 1000};
        if (__builtin_add_overflow(tv.tv_sec, tv.tv_usec / 1000000, &ts.tv_sec) ||
            !timespec_valid(&ts)) {
            return -EINVAL;
        }
        ktime_t ns = ktime_of_timespec(&ts);
        deadline = ns == 0 ? 0 : ktime_after(ktime_now(), ns);
    }
    int64_t result = select_user(n, in, out, ex, deadline);
    if (utv != NULL && deadline != 0) {
        ktime_t left = time_left(deadline);
        tv = (struct __kernel_old_timeval){left / NS_PER_S, left % NS_PER_S / NS_PER_US};
        if (copy_to_user(utv, &tv, sizeof(tv)) < 0) {
            result = result_untold(result);
        }
    }
    return result;
}

/* pselect6's sixth argument points at the mask and its size. */
struct select_mask {
    const uint64_t __user *mask;
    size_t size;
};

SYSCALL6(pselect6, int, n, void __user *, in, void __user *, out, void __user *, ex,
         struct __kernel_timespec __user *, uts, const struct select_mask __user *, umask)
{
    struct select_mask mask = {NULL, 0};
    ktime_t deadline;

    if (umask != NULL && copy_from_user(&mask, umask, sizeof(mask)) < 0) {
        return -EFAULT;
    }
    int64_t result = timeout_begin(uts, &deadline);
    if (result == 0) {
        result = sigmask_begin(mask.mask, mask.size);
    }
    if (result < 0) {
        return result;
    }
    result = select_user(n, in, out, ex, deadline);
    sigmask_end(mask.mask, result == -ERESTARTNOHAND);
    return timeout_end(uts, deadline, result);
}
