/*
 * Calls on attributes: mode, owner, times, access checks.
 */
#include <linux/fcntl.h>
#include <linux/stat.h>
#include <linux/time_types.h>
#include <linux/utime.h>

#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/vfs/fdtable.h"

/* ---- mode ---- */

static int64_t chmod_at(int dirfd, const char __user *upath, uint32_t mode)
{
    struct path path;
    int err = path_lookup_user(dirfd, upath, LOOKUP_FOLLOW, &path);

    if (err == 0) {
        err = vfs_chmod(&path, mode);
        path_put(&path);
    }
    return err;
}

SYSCALL2(chmod, const char __user *, path, uint32_t, mode)
{
    return chmod_at(AT_FDCWD, path, mode);
}

SYSCALL3(fchmodat, int, dirfd, const char __user *, path, uint32_t, mode)
{
    return chmod_at(dirfd, path, mode);
}

SYSCALL2(fchmod, int, fd, uint32_t, mode)
{
    struct fd_ref ref = fd_borrow(fd);
    struct file *file = fd_ref_file(ref);
    int64_t result = file != NULL ? vfs_chmod(&file->path, mode) : -EBADF;

    fd_return(ref);
    return result;
}

/* ---- owner: -1 leaves one as it is ---- */

static int64_t chown_at(int dirfd, const char __user *upath, uint32_t uid, uint32_t gid,
                        unsigned lookup)
{
    struct path path;
    int err = path_lookup_user(dirfd, upath, lookup, &path);

    if (err == 0) {
        err = vfs_chown(&path, uid, gid);
        path_put(&path);
    }
    return err;
}

SYSCALL3(chown, const char __user *, path, uint32_t, uid, uint32_t, gid)
{
    return chown_at(AT_FDCWD, path, uid, gid, LOOKUP_FOLLOW);
}

SYSCALL3(lchown, const char __user *, path, uint32_t, uid, uint32_t, gid)
{
    return chown_at(AT_FDCWD, path, uid, gid, 0);
}

SYSCALL3(fchown, int, fd, uint32_t, uid, uint32_t, gid)
{
    struct fd_ref ref = fd_borrow(fd);
    struct file *file = fd_ref_file(ref);
    int64_t result = file != NULL ? vfs_chown(&file->path, uid, gid) : -EBADF;

    fd_return(ref);
    return result;
}

/* LOOKUP_* for the AT_* flags that fchownat and utimensat share. */
static unsigned lookup_of_at(int flags)
{
    return ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) |
           ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0);
}

SYSCALL5(fchownat, int, dirfd, const char __user *, path, uint32_t, uid, uint32_t, gid, int, flags)
{
    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    return chown_at(dirfd, path, uid, gid, lookup_of_at(flags));
}

/* ---- times ---- */

/* times NULL: both now. upath NULL: the descriptor itself. */
static int64_t utimes_at(int dirfd, const char __user *upath, const struct __kernel_timespec *times,
                         int flags)
{
    struct path path;

    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    if (upath == NULL && dirfd != AT_FDCWD) {
        struct fd_ref ref = fd_borrow(dirfd);
        struct file *file = fd_ref_file(ref);
        int64_t result = flags != 0     ? -EINVAL
                         : file != NULL ? vfs_utimes(&file->path, times)
                                        : -EBADF;
        fd_return(ref);
        return result;
    }
    int err = path_lookup_user(dirfd, upath, lookup_of_at(flags), &path);
    if (err == 0) {
        err = vfs_utimes(&path, times);
        path_put(&path);
    }
    return err;
}

SYSCALL4(utimensat, int, dirfd, const char __user *, path, const struct __kernel_timespec __user *,
         uts, int, flags)
{
    struct __kernel_timespec ts[2];

    if (uts != NULL && copy_from_user(ts, uts, sizeof(ts)) < 0) {
        return -EFAULT;
    }
    return utimes_at(dirfd, path, uts != NULL ? ts : NULL, flags);
}

static int64_t utimes_timeval(int dirfd, const char __user *path,
                              const struct __kernel_old_timeval __user *utv)
{
    struct __kernel_old_timeval tv[2];
    struct __kernel_timespec ts[2];

    if (utv == NULL) {
        return utimes_at(dirfd, path, NULL, 0);
    }
    if (copy_from_user(tv, utv, sizeof(tv)) < 0) {
        return -EFAULT;
    }
    for (int i = 0; i < 2; i++) {
        if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000) {
            return -EINVAL;
        }
        ts[i] = (struct __kernel_timespec){tv[i].tv_sec, tv[i].tv_usec * 1000};
    }
    return utimes_at(dirfd, path, ts, 0);
}

SYSCALL2(utimes, const char __user *, path, const struct __kernel_old_timeval __user *, tv)
{
    return utimes_timeval(AT_FDCWD, path, tv);
}

SYSCALL3(futimesat, int, dirfd, const char __user *, path,
         const struct __kernel_old_timeval __user *, tv)
{
    return utimes_timeval(dirfd, path, tv);
}

SYSCALL2(utime, const char __user *, path, const struct utimbuf __user *, ubuf)
{
    struct utimbuf buf;
    struct __kernel_timespec ts[2] = {{0, 0}, {0, 0}};

    if (ubuf == NULL) {
        return utimes_at(AT_FDCWD, path, NULL, 0);
    }
    if (copy_from_user(&buf, ubuf, sizeof(buf)) < 0) {
        return -EFAULT;
    }
    ts[0].tv_sec = buf.actime;
    ts[1].tv_sec = buf.modtime;
    return utimes_at(AT_FDCWD, path, ts, 0);
}

/* ---- access(2) ---- */

static int64_t access_at(int dirfd, const char __user *upath, int mode, int flags)
{
    struct path_name name;

    if ((mode & ~7) != 0 || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    int err = path_name_get(&name, upath, (flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0);
    if (err == 0) {
        err = vfs_access(dirfd, name.text, mode, flags);
        path_name_put(&name);
    }
    return err;
}

SYSCALL2(access, const char __user *, path, int, mode)
{
    return access_at(AT_FDCWD, path, mode, 0);
}

SYSCALL3(faccessat, int, dirfd, const char __user *, path, int, mode)
{
    return access_at(dirfd, path, mode, 0);
}

SYSCALL4(faccessat2, int, dirfd, const char __user *, path, int, mode, int, flags)
{
    return access_at(dirfd, path, mode, flags);
}
