/*
 * Extended attributes (xattr(7)): three ways to name a file, four things to do with it.
 */
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/xattr.h>

#include "kernel/linux/syscall.h"
#include "kernel/mm/arena.h"
#include "kernel/vfs/fdtable.h"

/* The file an xattr call names: a path (followed or not) or a descriptor. */
struct target {
    struct path path;
    struct file *file; /* what keeps `path` alive when it came from a descriptor */
};

static int target_path(struct target *target, const char __user *upath, bool follow)
{
    target->file = NULL;
    return path_lookup_user(AT_FDCWD, upath, follow ? LOOKUP_FOLLOW : 0, &target->path);
}

static int target_fd(struct target *target, int fd)
{
    target->file = fd_file(fd);
    if (target->file == NULL) {
        return -EBADF;
    }
    target->path = target->file->path;
    return 0;
}

static void target_put(struct target *target)
{
    if (target->file != NULL) {
        file_put(target->file);
    } else {
        path_put(&target->path);
    }
}

static int name_from_user(char name[XATTR_NAME_MAX + 1], const char __user *uname)
{
    ssize_t len = strncpy_from_user(name, uname, XATTR_NAME_MAX + 1);

    if (len == -ENAMETOOLONG || len == 0) {
        return -ERANGE;
    }
    return len < 0 ? (int)len : 0;
}

/* A buffer for what the kernel answers; size 0 asks for the length only. */
static int64_t reply(struct target *target, const char *name, char __user *ubuf, size_t size)
{
    size = MIN(size, (size_t)XATTR_SIZE_MAX);
    char *buf = size > 0 ? kvmalloc(size) : NULL;
    if (size > 0 && buf == NULL) {
        return -ENOMEM;
    }
    int64_t result = name != NULL ? vfs_getxattr(&target->path, name, buf, size)
                                  : vfs_listxattr(&target->path, buf, size);
    if (result > 0 && size > 0 && copy_to_user(ubuf, buf, (size_t)result) < 0) {
        result = -EFAULT;
    }
    kvfree(buf);
    return result;
}

static int64_t get_attr(struct target *target, int err, const char __user *uname, void __user *ubuf,
                        size_t size)
{
    char name[XATTR_NAME_MAX + 1];

    if (err < 0) {
        return err;
    }
    int64_t result = name_from_user(name, uname);
    if (result == 0) {
        result = reply(target, name, ubuf, size);
    }
    target_put(target);
    return result;
}

static int64_t list_attrs(struct target *target, int err, char __user *ubuf, size_t size)
{
    if (err < 0) {
        return err;
    }
    int64_t result = reply(target, NULL, ubuf, size);
    target_put(target);
    return result;
}

static int64_t set_value(struct target *target, const char *name, const void __user *uvalue,
                         size_t size, int flags)
{
    void *value = size > 0 ? kvmalloc(size) : NULL;

    if (size > 0 && value == NULL) {
        return -ENOMEM;
    }
    int64_t result = size > 0 ? copy_from_user(value, uvalue, size) : 0;
    if (result == 0) {
        result = vfs_setxattr(&target->path, name, value, size, flags);
    }
    kvfree(value);
    return result;
}

static int64_t set_attr(struct target *target, int err, const char __user *uname,
                        const void __user *uvalue, size_t size, int flags)
{
    char name[XATTR_NAME_MAX + 1];

    if (err < 0) {
        return err;
    }
    int64_t result =
        (flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0 ? -EINVAL : name_from_user(name, uname);
    if (result == 0 && size > XATTR_SIZE_MAX) {
        result = -E2BIG;
    }
    if (result == 0) {
        result = set_value(target, name, uvalue, size, flags);
    }
    target_put(target);
    return result;
}

static int64_t remove_attr(struct target *target, int err, const char __user *uname)
{
    char name[XATTR_NAME_MAX + 1];

    if (err < 0) {
        return err;
    }
    int64_t result = name_from_user(name, uname);
    if (result == 0) {
        result = vfs_removexattr(&target->path, name);
    }
    target_put(target);
    return result;
}

SYSCALL5(setxattr, const char __user *, path, const char __user *, name, const void __user *, value,
         size_t, size, int, flags)
{
    struct target target;

    return set_attr(&target, target_path(&target, path, true), name, value, size, flags);
}

SYSCALL5(lsetxattr, const char __user *, path, const char __user *, name, const void __user *,
         value, size_t, size, int, flags)
{
    struct target target;

    return set_attr(&target, target_path(&target, path, false), name, value, size, flags);
}

SYSCALL5(fsetxattr, int, fd, const char __user *, name, const void __user *, value, size_t, size,
         int, flags)
{
    struct target target;

    return set_attr(&target, target_fd(&target, fd), name, value, size, flags);
}

SYSCALL4(getxattr, const char __user *, path, const char __user *, name, void __user *, buf, size_t,
         size)
{
    struct target target;

    return get_attr(&target, target_path(&target, path, true), name, buf, size);
}

SYSCALL4(lgetxattr, const char __user *, path, const char __user *, name, void __user *, buf,
         size_t, size)
{
    struct target target;

    return get_attr(&target, target_path(&target, path, false), name, buf, size);
}

SYSCALL4(fgetxattr, int, fd, const char __user *, name, void __user *, buf, size_t, size)
{
    struct target target;

    return get_attr(&target, target_fd(&target, fd), name, buf, size);
}

SYSCALL3(listxattr, const char __user *, path, char __user *, buf, size_t, size)
{
    struct target target;

    return list_attrs(&target, target_path(&target, path, true), buf, size);
}

SYSCALL3(llistxattr, const char __user *, path, char __user *, buf, size_t, size)
{
    struct target target;

    return list_attrs(&target, target_path(&target, path, false), buf, size);
}

SYSCALL3(flistxattr, int, fd, char __user *, buf, size_t, size)
{
    struct target target;

    return list_attrs(&target, target_fd(&target, fd), buf, size);
}

SYSCALL2(removexattr, const char __user *, path, const char __user *, name)
{
    struct target target;

    return remove_attr(&target, target_path(&target, path, true), name);
}

SYSCALL2(lremovexattr, const char __user *, path, const char __user *, name)
{
    struct target target;

    return remove_attr(&target, target_path(&target, path, false), name);
}

SYSCALL2(fremovexattr, int, fd, const char __user *, name)
{
    struct target target;

    return remove_attr(&target, target_fd(&target, fd), name);
}
