/*
 * inotify(7): the queues are vfs/inotify.h's.
 */
#include "kernel/vfs/inotify.h"

#include "kernel/linux/syscall.h"
#include "kernel/vfs/fdtable.h"

static int64_t create(int flags)
{
    struct file *file;
    int err = inotify_create(flags, &file);

    if (err < 0) {
        return err;
    }
    int fd = fd_add(file, (flags & IN_CLOEXEC) != 0);
    if (fd < 0) {
        file_put(file);
    }
    return fd;
}

SYSCALL0(inotify_init)
{
    return create(0);
}

SYSCALL1(inotify_init1, int, flags)
{
    return create(flags);
}

static int64_t add_watch(struct file *file, const char __user *upath, uint32_t mask)
{
    const uint32_t both = IN_MASK_ADD | IN_MASK_CREATE;
    struct path path;

    if ((mask & both) == both || !file_is_inotify(file)) {
        return -EINVAL;
    }
    unsigned lookup = ((mask & IN_DONT_FOLLOW) == 0 ? LOOKUP_FOLLOW : 0) |
                      ((mask & IN_ONLYDIR) != 0 ? LOOKUP_DIRECTORY : 0);
    int64_t result = path_lookup_user(AT_FDCWD, upath, lookup, &path);
    if (result < 0) {
        return result;
    }
    result = inode_permission(path.dentry->inode, MAY_READ);
    if (result == 0) {
        result = inotify_watch_add(file, path.dentry->inode, mask);
    }
    path_put(&path);
    return result;
}

SYSCALL3(inotify_add_watch, int, fd, const char __user *, upath, uint32_t, mask)
{
    const uint32_t known = IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR |
                           IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_ADD | IN_MASK_CREATE |
                           IN_ISDIR | IN_ONESHOT;

    if ((mask & known) == 0) {
        return -EINVAL;
    }
    struct file *file = fd_file(fd);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = add_watch(file, upath, mask);
    file_put(file);
    return result;
}

SYSCALL2(inotify_rm_watch, int, fd, int, wd)
{
    struct file *file = fd_file(fd);

    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = file_is_inotify(file) ? inotify_watch_remove(file, wd) : -EINVAL;
    file_put(file);
    return result;
}
