/*
 * epoll(7): the sets are vfs/epoll.h's.
 */
#include <linux/eventpoll.h>

#include "kernel/linux/sigmask.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/vfs/epoll.h"
#include "kernel/vfs/fdtable.h"

static int64_t create(unsigned flags)
{
    struct file *file;
    int err = epoll_set_create(flags, &file);

    if (err < 0) {
        return err;
    }
    int fd = fd_add(file, (flags & O_CLOEXEC) != 0);
    if (fd < 0) {
        file_put(file);
    }
    return fd;
}

SYSCALL1(epoll_create, int, size)
{
    return size <= 0 ? -EINVAL : create(0);
}

SYSCALL1(epoll_create1, int, flags)
{
    return create((unsigned)flags);
}

SYSCALL4(epoll_ctl, int, epfd, int, op, int, fd, const struct epoll_event __user *, uevent)
{
    struct epoll_event event = {0};
    int64_t result = -EBADF;

    if (op != EPOLL_CTL_DEL && copy_from_user(&event, uevent, sizeof(event)) < 0) {
        return -EFAULT;
    }
    struct fd_ref set = fd_borrow(epfd);
    if (fd_ref_file(set) == NULL) {
        return -EBADF;
    }
    struct fd_ref target = fd_borrow(fd);
    if (fd_ref_file(target) != NULL) {
        result = epoll_set_ctl(fd_ref_file(set), op, fd, fd_ref_file(target), &event);
        fd_return(target);
    }
    fd_return(set);
    return result;
}

static inline int64_t wait_until(int epfd, struct epoll_event __user *events, int max,
                                 ktime_t deadline)
{
    if (unlikely(max <= 0 || max > INT32_MAX / (int)sizeof(*events))) {
        return -EINVAL;
    }
    if (unlikely(!user_range_ok(events, (size_t)max * sizeof(*events)))) {
        return -EFAULT;
    }
    struct fd_ref set = fd_borrow(epfd);
    if (unlikely(fd_ref_file(set) == NULL)) {
        return -EBADF;
    }
    int64_t result = epoll_set_wait(fd_ref_file(set), events, max, deadline);
    fd_return(set);
    return result;
}

static inline ktime_t deadline_after_ms(int timeout_ms)
{
    if (timeout_ms == 0) {
        return 0;
    }
    return timeout_ms < 0 ? KTIME_MAX : ktime_after(ktime_now(), timeout_ms * NS_PER_MS);
}

SYSCALL4(epoll_wait, int, epfd, struct epoll_event __user *, events, int, max, int, timeout_ms)
{
    return wait_until(epfd, events, max, deadline_after_ms(timeout_ms));
}

static int64_t wait_masked(int epfd, struct epoll_event __user *events, int max, ktime_t deadline,
                           const uint64_t __user *umask, size_t mask_size)
{
    int64_t result = sigmask_begin(umask, mask_size);

    if (result == 0) {
        result = wait_until(epfd, events, max, deadline);
        sigmask_end(umask, result == -EINTR);
    }
    return result;
}

SYSCALL6(epoll_pwait, int, epfd, struct epoll_event __user *, events, int, max, int, timeout_ms,
         const uint64_t __user *, umask, size_t, mask_size)
{
    return wait_masked(epfd, events, max, deadline_after_ms(timeout_ms), umask, mask_size);
}

SYSCALL6(epoll_pwait2, int, epfd, struct epoll_event __user *, events, int, max,
         const struct __kernel_timespec __user *, uts, const uint64_t __user *, umask, size_t,
         mask_size)
{
    ktime_t deadline = KTIME_MAX;

    if (uts != NULL) {
        int err = timespec_from_user(&deadline, uts);
        if (err < 0) {
            return err;
        }
        deadline = deadline == 0 ? 0 : ktime_after(ktime_now(), deadline);
    }
    return wait_masked(epfd, events, max, deadline, umask, mask_size);
}
