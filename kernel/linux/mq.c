/*
 * POSIX message queues.
 */
#include <linux/limits.h>

#include "kernel/ipc/mqueue.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/net/socket.h"
#include "kernel/proc/process.h"
#include "kernel/vfs/fdtable.h"

/* A queue's name. -ENAMETOOLONG, -EFAULT, -ENOENT: it is empty. */
static int name_from_user(char *name, size_t size, const char __user *uname)
{
    ssize_t len = strncpy_from_user(name, uname, size);

    return len < 0 ? (int)len : len == 0 ? -ENOENT : 0;
}

SYSCALL4(mq_open, const char __user *, uname, int, flags, uint32_t, mode,
         const struct mq_attr __user *, uattr)
{
    char name[NAME_MAX + 1];
    struct mq_attr attr;
    struct file *file;

    if (uattr != NULL && copy_from_user(&attr, uattr, sizeof(attr)) < 0) {
        return -EFAULT;
    }
    int err = name_from_user(name, sizeof(name), uname);
    if (err < 0) {
        return err;
    }
    int fd = fd_reserve(0, true, process_limit(RLIMIT_NOFILE));
    if (fd < 0) {
        return fd;
    }
    err = mq_open(name, flags, mode, uattr == NULL ? NULL : &attr, &file);
    if (err < 0) {
        fd_unreserve(fd);
        return err;
    }
    fd_install(fd, file);
    return fd;
}

SYSCALL1(mq_unlink, const char __user *, uname)
{
    char name[NAME_MAX + 1];
    int err = name_from_user(name, sizeof(name), uname);

    return err < 0 ? err : mq_unlink(name);
}

/* An absolute time of the wall clock. */
static int limit_from_user(struct time_limit *ret_limit,
                           const struct __kernel_timespec __user *utime)
{
    *ret_limit = TIME_LIMIT_NONE;
    if (utime == NULL) {
        return 0;
    }
    ret_limit->real = true;
    return timespec_from_user(&ret_limit->at, utime);
}

SYSCALL5(mq_timedsend, int, fd, const char __user *, text, size_t, size, unsigned, priority,
         const struct __kernel_timespec __user *, utime)
{
    struct mq_message *message = NULL;
    struct time_limit until;
    size_t limit;

    if (priority >= MQ_PRIO_MAX) {
        return -EINVAL;
    }
    int err = limit_from_user(&until, utime);
    if (err < 0) {
        return err;
    }
    struct file *file = fd_file(fd);
    if (file == NULL) {
        return -EBADF;
    }
    err = mq_size_limit(file, &limit);
    if (err == 0) {
        err = size > limit ? -EMSGSIZE : 0;
    }
    if (err == 0) {
        message = mq_message_create(priority, size);
        err = message == NULL ? -ENOMEM : copy_from_user(message->text, text, size);
    }
    if (err == 0) {
        err = mq_send(file, message, until);
    }
    if (err < 0 && message != NULL) {
        mq_message_destroy(message);
    }
    file_put(file);
    return err;
}

SYSCALL5(mq_timedreceive, int, fd, char __user *, text, size_t, size, unsigned __user *, upriority,
         const struct __kernel_timespec __user *, utime)
{
    struct mq_message *message;
    struct time_limit until;
    int err = limit_from_user(&until, utime);

    if (err < 0) {
        return err;
    }
    struct file *file = fd_file(fd);
    if (file == NULL) {
        return -EBADF;
    }
    err = mq_receive(file, size, until, &message);
    file_put(file);
    if (err < 0) {
        return err;
    }
    int64_t result = (int64_t)message->size_bytes;
    if ((upriority != NULL && put_user(message->priority, upriority) < 0) ||
        copy_to_user(text, message->text, message->size_bytes) < 0) {
        result = -EFAULT;
    }
    mq_message_destroy(message);
    return result;
}

/*
 * SIGEV_THREAD names a netlink socket that is told, and 32 bytes for it (mq_notify(3), "C library/kernel differences"). There are no netlink
 * sockets, so no descriptor is one.
 */
static int thread_event_check(const sigevent_t *event)
{
    uint8_t cookie[32];

    if (copy_from_user(cookie, event->sigev_value.sival_ptr, sizeof(cookie)) < 0) {
        return -EFAULT;
    }
    struct file *file = fd_file(event->sigev_signo);
    int err = file == NULL ? -EBADF : file_socket(file) == NULL ? -ENOTSOCK : -EINVAL;
    file_put(file);
    return err;
}

SYSCALL2(mq_notify, int, fd, const sigevent_t __user *, uevent)
{
    sigevent_t event;

    if (uevent != NULL && copy_from_user(&event, uevent, sizeof(event)) < 0) {
        return -EFAULT;
    }
    if (uevent != NULL && event.sigev_notify == SIGEV_THREAD) {
        return thread_event_check(&event);
    }
    struct file *file = fd_file(fd);
    int err = file == NULL ? -EBADF : mq_notify(file, uevent == NULL ? NULL : &event);
    file_put(file);
    return err;
}

SYSCALL3(mq_getsetattr, int, fd, const struct mq_attr __user *, uattr, struct mq_attr __user *,
         uold)
{
    struct mq_attr attr, old;

    if (uattr != NULL && copy_from_user(&attr, uattr, sizeof(attr)) < 0) {
        return -EFAULT;
    }
    struct file *file = fd_file(fd);
    int err = file == NULL ? -EBADF : mq_get_set_attr(file, uattr == NULL ? NULL : &attr, &old);
    file_put(file);
    return err == 0 && uold != NULL ? copy_to_user(uold, &old, sizeof(old)) : err;
}
