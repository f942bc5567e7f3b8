/*
 * Descriptors that are not files of a tree: eventfd, pidfd.
 */
#include <linux/fcntl.h>
#include <linux/sched.h>

#include "kernel/base/string.h"
#include "kernel/ipc/eventfd.h"
#include "kernel/linux/syscall.h"
#include "kernel/proc/pidfd.h"
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
        struct pid *pid = pidfd_pid(file);
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
