/*
 * stat(2), statx(2), statfs(2).
 */
#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "kernel/base/string.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/vfs/fdtable.h"

static int64_t stat_to_user(const struct inode_stat *in, struct stat __user *ustat)
{
    struct stat st;
    struct __kernel_timespec a = timespec_of_ktime(in->atime), m = timespec_of_ktime(in->mtime),
                             c = timespec_of_ktime(in->ctime);

    memset(&st, 0, sizeof(st));
    st.st_dev = in->dev;
    st.st_ino = in->ino;
    st.st_nlink = in->nlink;
    st.st_mode = in->mode;
    st.st_uid = in->uid;
    st.st_gid = in->gid;
    st.st_rdev = in->rdev;
    st.st_size = (long)in->size_bytes;
    st.st_blksize = in->block_size;
    st.st_blocks = (long)in->blocks;
    st.st_atime = (unsigned long)a.tv_sec;
    st.st_atime_nsec = (unsigned long)a.tv_nsec;
    st.st_mtime = (unsigned long)m.tv_sec;
    st.st_mtime_nsec = (unsigned long)m.tv_nsec;
    st.st_ctime = (unsigned long)c.tv_sec;
    st.st_ctime_nsec = (unsigned long)c.tv_nsec;
    return copy_to_user(ustat, &st, sizeof(st));
}

/* The attributes of a name or, with an empty name and AT_EMPTY_PATH, of a descriptor. */
static int stat_at(int dirfd, const char __user *upath, int flags, struct inode_stat *ret_stat)
{
    struct path path;
    char first = 1;

    if ((flags & AT_EMPTY_PATH) != 0 && dirfd >= 0 &&
        (upath == NULL || (get_user(first, upath) == 0 && first == '\0'))) {
        struct fd_ref ref = fd_borrow_any(dirfd);
        struct file *file = fd_ref_file(ref);
        int err = file != NULL ? inode_getattr(file->inode, ret_stat) : -EBADF;
        fd_return(ref);
        return err;
    }
    int err = path_lookup_user(dirfd, upath,
                               ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) |
                                   ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0),
                               &path);
    if (err == 0) {
        err = vfs_stat_path(&path, ret_stat);
        path_put(&path);
    }
    return err;
}

SYSCALL2(stat, const char __user *, path, struct stat __user *, ustat)
{
    struct inode_stat st;
    int err = stat_at(AT_FDCWD, path, 0, &st);

    return err < 0 ? err : stat_to_user(&st, ustat);
}

SYSCALL2(lstat, const char __user *, path, struct stat __user *, ustat)
{
    struct inode_stat st;
    int err = stat_at(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &st);

    return err < 0 ? err : stat_to_user(&st, ustat);
}

SYSCALL2(fstat, int, fd, struct stat __user *, ustat)
{
    struct inode_stat st;
    struct fd_ref ref = fd_borrow_any(fd);
    struct file *file = fd_ref_file(ref);
    int err = file != NULL ? inode_getattr(file->inode, &st) : -EBADF;

    fd_return(ref);
    return err < 0 ? err : stat_to_user(&st, ustat);
}

SYSCALL4(newfstatat, int, dirfd, const char __user *, path, struct stat __user *, ustat, int, flags)
{
    struct inode_stat st;

    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    int err = stat_at(dirfd, path, flags, &st);
    return err < 0 ? err : stat_to_user(&st, ustat);
}

static struct statx_timestamp statx_time(ktime_t t)
{
    struct __kernel_timespec ts = timespec_of_ktime(t);

    return (struct statx_timestamp){.tv_sec = ts.tv_sec, .tv_nsec = (uint32_t)ts.tv_nsec};
}

SYSCALL5(statx, int, dirfd, const char __user *, path, int, flags, unsigned, mask,
         struct statx __user *, ustatx)
{
    struct inode_stat st;
    struct statx x;

    if ((mask & STATX__RESERVED) != 0 ||
        (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)) !=
            0 ||
        (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE) {
        return -EINVAL;
    }
    int err = stat_at(dirfd, path, flags, &st);
    if (err < 0) {
        return err;
    }
    memset(&x, 0, sizeof(x));
    x.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
    x.stx_blksize = st.block_size;
    x.stx_nlink = st.nlink;
    x.stx_uid = st.uid;
    x.stx_gid = st.gid;
    x.stx_mode = (uint16_t)st.mode;
    x.stx_ino = st.ino;
    x.stx_size = st.size_bytes;
    x.stx_blocks = st.blocks;
    x.stx_atime = statx_time(st.atime);
    x.stx_btime = statx_time(st.btime);
    x.stx_ctime = statx_time(st.ctime);
    x.stx_mtime = statx_time(st.mtime);
    x.stx_rdev_major = DEV_MAJOR(st.rdev);
    x.stx_rdev_minor = DEV_MINOR(st.rdev);
    x.stx_dev_major = DEV_MAJOR(st.dev);
    x.stx_dev_minor = DEV_MINOR(st.dev);
    return copy_to_user(ustatx, &x, sizeof(x));
}

static int64_t statfs_path(const struct path *path, struct statfs __user *ustatfs)
{
    struct vfs_statfs in = {0};
    struct statfs out;

    int err = vfs_statfs(path, &in);
    if (err < 0) {
        return err;
    }
    memset(&out, 0, sizeof(out));
    out.f_type = (long)in.type;
    out.f_bsize = (long)in.block_size;
    out.f_frsize = (long)in.block_size;
    out.f_blocks = (long)in.blocks;
    out.f_bfree = (long)in.blocks_free;
    out.f_bavail = (long)in.blocks_available;
    out.f_files = (long)in.files;
    out.f_ffree = (long)in.files_free;
    out.f_namelen = in.name_max;
    out.f_fsid.val[0] = (int)in.fsid;
    out.f_fsid.val[1] = (int)(in.fsid >> 32);
    out.f_flags = (long)in.flags;
    return copy_to_user(ustatfs, &out, sizeof(out));
}

SYSCALL2(statfs, const char __user *, upath, struct statfs __user *, ustatfs)
{
    struct path path;
    int64_t err = path_lookup_user(AT_FDCWD, upath, LOOKUP_FOLLOW, &path);

    if (err == 0) {
        err = statfs_path(&path, ustatfs);
        path_put(&path);
    }
    return err;
}

SYSCALL2(fstatfs, int, fd, struct statfs __user *, ustatfs)
{
    struct fd_ref ref = fd_borrow_any(fd);
    struct file *file = fd_ref_file(ref);
    int64_t err = file != NULL ? statfs_path(&file->path, ustatfs) : -EBADF;

    fd_return(ref);
    return err;
}
