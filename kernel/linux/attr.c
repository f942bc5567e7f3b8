/*
 * Calls on attributes: mode, owner, times, access checks.
 */
#include <linux/fcntl.h>
#include <linux/stat.h>
#include <linux/time_types.h>
#include <linux/utime.h>

#include "kernel/core/time.h"
#include "kernel/linux/paths.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/vfs/fdtable.h"
#include "kernel/vfs/mount.h"

static int64_t set_attr_path(const struct path *path, const struct inode_attr *attr)
{
    int err = mount_want_write(path);

    return err < 0 ? err : inode_setattr(path->dentry->inode, attr);
}

static int64_t set_attr_at(int dirfd, const char __user *upath, unsigned lookup,
                           const struct inode_attr *attr)
{
    struct path path;
    int64_t err = path_lookup_user(dirfd, upath, lookup, &path);

    if (err == 0) {
        err = set_attr_path(&path, attr);
        path_put(&path);
    }
    return err;
}

static int64_t set_attr_fd(int fd, const struct inode_attr *attr)
{
    struct file *file = fd_file(fd);

    if (file == NULL) {
        return -EBADF;
    }
    int64_t err = set_attr_path(&file->path, attr);
    file_put(file);
    return err;
}

/* ---- mode ---- */

static struct inode_attr attr_of_mode(uint32_t mode)
{
    return (struct inode_attr){.valid = ATTR_MODE, .mode = mode & 07777};
}

SYSCALL2(chmod, const char __user *, path, uint32_t, mode)
{
    struct inode_attr attr = attr_of_mode(mode);

    return set_attr_at(AT_FDCWD, path, LOOKUP_FOLLOW, &attr);
}

SYSCALL2(fchmod, int, fd, uint32_t, mode)
{
    struct inode_attr attr = attr_of_mode(mode);

    return set_attr_fd(fd, &attr);
}

SYSCALL3(fchmodat, int, dirfd, const char __user *, path, uint32_t, mode)
{
    struct inode_attr attr = attr_of_mode(mode);

    return set_attr_at(dirfd, path, LOOKUP_FOLLOW, &attr);
}

/* ---- owner: -1 leaves one as it is ---- */

static struct inode_attr attr_of_owner(uint32_t uid, uint32_t gid)
{
    struct inode_attr attr = {.uid = uid, .gid = gid};

    attr.valid = (uid != (uint32_t)-1 ? ATTR_UID : 0) | (gid != (uint32_t)-1 ? ATTR_GID : 0);
    return attr;
}

SYSCALL3(chown, const char __user *, path, uint32_t, uid, uint32_t, gid)
{
    struct inode_attr attr = attr_of_owner(uid, gid);

    return set_attr_at(AT_FDCWD, path, LOOKUP_FOLLOW, &attr);
}

SYSCALL3(lchown, const char __user *, path, uint32_t, uid, uint32_t, gid)
{
    struct inode_attr attr = attr_of_owner(uid, gid);

    return set_attr_at(AT_FDCWD, path, 0, &attr);
}

SYSCALL3(fchown, int, fd, uint32_t, uid, uint32_t, gid)
{
    struct inode_attr attr = attr_of_owner(uid, gid);

    return set_attr_fd(fd, &attr);
}

SYSCALL5(fchownat, int, dirfd, const char __user *, path, uint32_t, uid, uint32_t, gid, int, flags)
{
    struct inode_attr attr = attr_of_owner(uid, gid);

    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    return set_attr_at(dirfd, path,
                       ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) |
                           ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0),
                       &attr);
}

/* ---- times ---- */

/* utimensat(2): one of the two times, with UTIME_NOW and UTIME_OMIT. */
static int time_attr(const struct __kernel_timespec *ts, unsigned bit, ktime_t now,
                     struct inode_attr *attr, ktime_t *ret_time)
{
    if (ts->tv_nsec == UTIME_OMIT) {
        return 0;
    }
    attr->valid |= bit;
    if (ts->tv_nsec == UTIME_NOW) {
        *ret_time = now;
        return 0;
    }
    if (ts->tv_nsec < 0 || ts->tv_nsec >= NS_PER_S) {
        return -EINVAL;
    }
    *ret_time = ts->tv_sec * NS_PER_S + ts->tv_nsec;
    return 0;
}

/* Setting both to now needs write permission only; anything else needs ownership: inode_setattr tells by ATTR_TIMES_NOW. */
static int64_t utimes_at(int dirfd, const char __user *upath, const struct __kernel_timespec *ts,
                         int flags)
{
    struct inode_attr attr = {.valid = 0};
    ktime_t now = ktime_realtime();

    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    bool both_now = ts == NULL || (ts[0].tv_nsec == UTIME_NOW && ts[1].tv_nsec == UTIME_NOW);
    if (ts != NULL) {
        int err = time_attr(&ts[0], ATTR_ATIME, now, &attr, &attr.atime);
        if (err == 0) {
            err = time_attr(&ts[1], ATTR_MTIME, now, &attr, &attr.mtime);
        }
        if (err < 0) {
            return err;
        }
    }
    if (both_now) {
        attr = (struct inode_attr){
            .valid = ATTR_ATIME | ATTR_MTIME | ATTR_TIMES_NOW, .atime = now, .mtime = now};
    }
    if (upath == NULL) {
        return set_attr_fd(dirfd, &attr);
    }
    return set_attr_at(dirfd, upath,
                       ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) |
                           ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0),
                       &attr);
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

SYSCALL3(futimesat, int, dirfd, const char __user *, path, const struct __kernel_old_timeval __user *,
         tv)
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
    struct path_buf path;

    if ((mode & ~7) != 0 || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    int err = path_buf_get(&path, upath, (flags & AT_EMPTY_PATH) != 0);
    if (err == 0) {
        err = vfs_access(dirfd, path.name, mode, flags);
        path_buf_put(&path);
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
