/*
 * Descriptors that are not files of a tree: eventfd, timerfd, signalfd, pidfd.
 */
#include <linux/fcntl.h>
#include <linux/sched.h>

#include "kernel/base/string.h"
#include "kernel/ipc/eventfd.h"
#include "kernel/ipc/timerfd.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/proc/pidfd.h"
#include "kernel/proc/signalfd.h"
#include "kernel/vfs/fdtable.h"

/* Give the file a number; the reference is taken over either way. */
static int64_t install(struct file *file, bool cloexec)
{
    int fd = fd_add(file, cloexec);

    if (fd < 0) {
        file_put(file);
    }
    return fd;
}

SYSCALL2(eventfd2, unsigned, value, int, flags)
{
    struct file *file;
    int err = eventfd_create(value, flags, &file);

    return err < 0 ? err : install(file, (flags & O_CLOEXEC) != 0);
}

SYSCALL1(eventfd, unsigned, value)
{
    struct file *file;
    int err = eventfd_create(value, 0, &file);

    return err < 0 ? err : install(file, false);
}

/* ---- timers ---- */

SYSCALL2(timerfd_create, int, clock, int, flags)
{
    struct file *file;
    int err = timerfd_create(clock, flags, &file);

    return err < 0 ? err : install(file, (flags & O_CLOEXEC) != 0);
}

static int64_t setting_to_user(struct __kernel_itimerspec __user *uspec,
                               const struct timerfd_setting *setting)
{
    const struct __kernel_itimerspec spec = {timespec_of_ktime(setting->interval_ns),
                                             timespec_of_ktime(setting->value_ns)};

    return copy_to_user(uspec, &spec, sizeof(spec));
}

SYSCALL4(timerfd_settime, int, fd, int, flags, const struct __kernel_itimerspec __user *, unew,
         struct __kernel_itimerspec __user *, uold)
{
    struct __kernel_itimerspec spec;
    struct timerfd_setting old;

    if (copy_from_user(&spec, unew, sizeof(spec)) < 0) {
        return -EFAULT;
    }
    if (!timespec_valid(&spec.it_value) || !timespec_valid(&spec.it_interval)) {
        return -EINVAL;
    }
    struct file *file = fd_file(fd);
    if (file == NULL) {
        return -EBADF;
    }
    const struct timerfd_setting new = {.value_ns = ktime_of_timespec(&spec.it_value),
                                        .interval_ns = ktime_of_timespec(&spec.it_interval)};
    int err = timerfd_set(file, flags, &new, &old);
    file_put(file);
    return err < 0 || uold == NULL ? err : setting_to_user(uold, &old);
}

SYSCALL2(timerfd_gettime, int, fd, struct __kernel_itimerspec __user *, uspec)
{
    struct timerfd_setting setting;
    struct file *file = fd_file(fd);

    if (file == NULL) {
        return -EBADF;
    }
    int err = timerfd_get(file, &setting);
    file_put(file);
    return err < 0 ? err : setting_to_user(uspec, &setting);
}

/* ---- signals ---- */

static int64_t make_signalfd(int fd, const uint64_t __user *umask, size_t size, int flags)
{
    struct file *file;
    uint64_t mask;

    if (size != sizeof(mask)) {
        return -EINVAL;
    }
    if (get_user(mask, umask) < 0) {
        return -EFAULT;
    }
    if (fd == -1) {
        int err = signalfd_create(mask, flags, &file);
        return err < 0 ? err : install(file, (flags & O_CLOEXEC) != 0);
    }
    if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    file = fd_file(fd);
    if (file == NULL) {
        return -EBADF;
    }
    int err = signalfd_set_mask(file, mask);
    file_put(file);
    return err < 0 ? err : fd;
}

SYSCALL4(signalfd4, int, fd, const uint64_t __user *, umask, size_t, size, int, flags)
{
    return make_signalfd(fd, umask, size, flags);
}

SYSCALL3(signalfd, int, fd, const uint64_t __user *, umask, size_t, size)
{
    return make_signalfd(fd, umask, size, 0);
}

/* ---- processes ---- */

SYSCALL2(pidfd_open, int, pid, unsigned, flags)
{
    struct file *file;
    int err = pidfd_open(pid, (int)flags, &file);

    return err < 0 ? err : install(file, true);
}

SYSCALL4(pidfd_send_signal, int, pidfd, int, signo, const siginfo_t __user *, uinfo, unsigned,
         flags)
{
    siginfo_t info;

    if (flags != 0) {
        return -EINVAL;
    }
    struct file *file = fd_file(pidfd);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = 0;
    siginfo_user(&info, signo, SI_USER);
    if (uinfo != NULL) {
        struct pid *pid = pidfd_signal_pid(file);
        if (copy_from_user(&info, uinfo, sizeof(info)) < 0) {
            result = -EFAULT;
        } else if (info.si_signo != signo) {
            result = -EINVAL;
        } else if ((info.si_code >= 0 || info.si_code == SI_TKILL) &&
                   pid != process_current()->pid) {
            result = pid == NULL ? -EBADF : -EPERM; /* not to be forged (rt_sigqueueinfo(2)) */
        }
    }
    if (result == 0) {
        result = pidfd_send_signal(file, &info);
    }
    file_put(file);
    return result;
}

SYSCALL3(pidfd_getfd, int, pidfd, int, target_fd, unsigned, flags)
{
    struct file *found;

    if (flags != 0) {
        return -EINVAL;
    }
    struct file *file = fd_file(pidfd);
    if (file == NULL) {
        return -EBADF;
    }
    int err = target_fd < 0 ? -EBADF : pidfd_getfd(file, (unsigned)target_fd, &found);
    file_put(file);
    return err < 0 ? err : install(found, true);
}
