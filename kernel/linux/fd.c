/*
 * Descriptors: opening, duplicating, closing, control, and what acts on an open file as a whole.
 */
#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <linux/sched.h>

#include "kernel/ipc/pipe.h"
#include "kernel/linux/fd.h"
#include "kernel/linux/structs.h"
#include "kernel/linux/syscall.h"
#include "kernel/proc/process.h"
#include "kernel/vfs/fdtable.h"
#include "kernel/vfs/mount.h"

static int64_t open_at(int dirfd, const char __user *upath, int flags, uint32_t mode,
                       unsigned resolve)
{
    struct file *file;
    struct path_name name;
    int err = path_name_get(&name, upath, 0);

    if (err < 0) {
        return err;
    }
    err = vfs_open(dirfd, name.text, flags, mode, resolve, &file);
    path_name_put(&name);
    if (err < 0) {
        return err;
    }
    int fd = fd_add(file, (flags & O_CLOEXEC) != 0);
    if (fd < 0) {
        file_put(file);
    }
    return fd;
}

SYSCALL3(open, const char __user *, path, int, flags, uint32_t, mode)
{
    return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode, 0);
}

SYSCALL4(openat, int, dirfd, const char __user *, path, int, flags, uint32_t, mode)
{
    return open_at(dirfd, path, flags | O_LARGEFILE, mode, 0);
}

SYSCALL2(creat, const char __user *, path, uint32_t, mode)
{
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC | O_LARGEFILE, mode, 0);
}

/* openat2(2) refuses what openat ignores. */
#define OPEN_KNOWN_FLAGS                                                                           \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC |         \
     FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_SYNC | \
     O_PATH | O_TMPFILE)

static int openat2_resolve(uint64_t resolve, unsigned *ret_lookup)
{
    static const struct {
        uint64_t bit;
        unsigned lookup;
    } map[] = {{RESOLVE_NO_XDEV, LOOKUP_NO_XDEV},
               {RESOLVE_NO_MAGICLINKS, LOOKUP_NO_MAGICLINKS},
               {RESOLVE_NO_SYMLINKS, LOOKUP_NO_SYMLINKS},
               {RESOLVE_BENEATH, LOOKUP_BENEATH},
               {RESOLVE_IN_ROOT, LOOKUP_IN_ROOT}};

    *ret_lookup = 0;
    for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
        if (resolve & map[i].bit) {
            *ret_lookup |= map[i].lookup;
            resolve &= ~map[i].bit;
        }
    }
    if (resolve == RESOLVE_CACHED) {
        return -EAGAIN; /* nothing can be promised without going to the file system */
    }
    return resolve != 0 || (*ret_lookup & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)) ==
                               (LOOKUP_BENEATH | LOOKUP_IN_ROOT)
               ? -EINVAL
               : 0;
}

SYSCALL4(openat2, int, dirfd, const char __user *, path, const struct open_how __user *, uhow,
         size_t, size)
{
    struct open_how how;
    unsigned lookup;

    if (size < sizeof(struct open_how)) {
        return -EINVAL;
    }
    int err = struct_from_user(&how, sizeof(how), uhow, size);
    if (err < 0) {
        return err;
    }
    if ((how.flags & ~(uint64_t)OPEN_KNOWN_FLAGS) != 0 || (how.mode & ~07777ull) != 0 ||
        (how.mode != 0 && (how.flags & (O_CREAT | O_TMPFILE)) == 0)) {
        return -EINVAL;
    }
    err = openat2_resolve(how.resolve, &lookup);
    if (err < 0) {
        return err;
    }
    return open_at(dirfd, path, (int)how.flags, (uint32_t)how.mode, lookup);
}

SYSCALL1(close, int, fd)
{
    int64_t result = fd_close(fd);

    /* The descriptor is gone whatever flush said: never restart (close(2), "Dealing with error returns"). */
    return result == -ERESTARTSYS || result == -ERESTARTNOINTR ? -EINTR : result;
}

SYSCALL3(close_range, unsigned, first, unsigned, last, unsigned, flags)
{
    if (first > last || (flags & ~(unsigned)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) != 0) {
        return -EINVAL;
    }
    int err = (flags & CLOSE_RANGE_UNSHARE) != 0 ? process_unshare(CLONE_FILES) : 0;
    if (err == 0) {
        fd_close_range(first, last, (flags & CLOSE_RANGE_CLOEXEC) != 0);
    }
    return err;
}

SYSCALL1(dup, int, fd)
{
    return fd_dup(fd, 0, false);
}

SYSCALL2(dup2, int, old_fd, int, new_fd)
{
    if (old_fd == new_fd) {
        struct file *file = fd_file_any(old_fd);
        if (file == NULL) {
            return -EBADF;
        }
        file_put(file);
        return new_fd;
    }
    return fd_dup_to(old_fd, new_fd, false);
}

SYSCALL3(dup3, int, old_fd, int, new_fd, int, flags)
{
    if ((flags & ~O_CLOEXEC) != 0 || old_fd == new_fd) {
        return -EINVAL;
    }
    return fd_dup_to(old_fd, new_fd, (flags & O_CLOEXEC) != 0);
}

SYSCALL3(fcntl, int, fd, unsigned, cmd, uint64_t, arg)
{
    return file_fcntl(fd, cmd, arg);
}

int fd_give_two(struct file *const files[2], bool cloexec, int __user *ufds)
{
    int fds[2];
    int err = fds[0] = fd_reserve(0, cloexec, process_limit(RLIMIT_NOFILE));

    if (err < 0) {
        goto put_files;
    }
    err = fds[1] = fd_reserve(0, cloexec, process_limit(RLIMIT_NOFILE));
    if (err < 0) {
        goto unreserve_first;
    }
    err = copy_to_user(ufds, fds, sizeof(fds));
    if (err < 0) {
        goto unreserve_second;
    }
    fd_install(fds[0], files[0]);
    fd_install(fds[1], files[1]);
    return 0;

unreserve_second:
    fd_unreserve(fds[1]);
unreserve_first:
    fd_unreserve(fds[0]);
put_files:
    file_put(files[0]);
    file_put(files[1]);
    return err;
}

static int64_t make_pipe(int __user *ufds, int flags)
{
    struct file *ends[2];

    if ((flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) != 0) {
        return -EINVAL;
    }
    int err = pipe_create(flags, &ends[0], &ends[1]);
    if (err < 0) {
        return err;
    }
    return fd_give_two(ends, (flags & O_CLOEXEC) != 0, ufds);
}

SYSCALL1(pipe, int __user *, fds)
{
    return make_pipe(fds, 0);
}

SYSCALL2(pipe2, int __user *, fds, int, flags)
{
    return make_pipe(fds, flags);
}

SYSCALL2(flock, int, fd, int, operation)
{
    struct file *file = fd_file(fd);

    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = vfs_flock(file, operation);
    file_put(file);
    return result;
}

static int64_t sync_fd(int fd, bool data_only)
{
    struct file *file = fd_file(fd);

    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = vfs_fsync(file, data_only);
    file_put(file);
    return result;
}

SYSCALL1(fsync, int, fd)
{
    return sync_fd(fd, false);
}

SYSCALL1(fdatasync, int, fd)
{
    return sync_fd(fd, true);
}

SYSCALL4(sync_file_range, int, fd, loff_t, offset, loff_t, len, unsigned, flags)
{
    const unsigned known =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    struct file *file = fd_file(fd);
    int64_t result = -EINVAL;
    loff_t end;

    if (file == NULL) {
        return -EBADF;
    }
    if (offset >= 0 && len >= 0 && !__builtin_add_overflow(offset, len, &end) &&
        (flags & ~known) == 0) {
        result = vfs_sync_range(file, offset, len == 0 ? INT64_MAX : end - 1, flags);
    }
    file_put(file);
    return result;
}

SYSCALL0(sync)
{
    (void)vfs_sync_all();
    return 0;
}

SYSCALL1(syncfs, int, fd)
{
    struct file *file = fd_file(fd);

    if (file == NULL) {
        return -EBADF;
    }
    struct super *super = file->inode->super;
    int64_t result = super->ops->sync != NULL ? super->ops->sync(super) : 0;
    file_put(file);
    return result;
}

SYSCALL2(truncate, const char __user *, upath, loff_t, size)
{
    struct path path;
    int err = path_lookup_user(AT_FDCWD, upath, LOOKUP_FOLLOW, &path);

    if (err < 0) {
        return err;
    }
    err = vfs_truncate(&path, size);
    path_put(&path);
    return err;
}

SYSCALL2(ftruncate, int, fd, loff_t, size)
{
    struct file *file = fd_file(fd);

    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = vfs_ftruncate(file, size);
    file_put(file);
    return result;
}

SYSCALL4(fallocate, int, fd, int, mode, loff_t, offset, loff_t, len)
{
    struct file *file = fd_file(fd);

    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = vfs_fallocate(file, mode, offset, len);
    file_put(file);
    return result;
}
