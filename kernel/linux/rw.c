/*
 * read(2), write(2) and their kin.
 */
#include <linux/fs.h>
#include <linux/uio.h>

#include "kernel/linux/syscall.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/fdtable.h"

/* Linux moves at most this many bytes in one call (MAX_RW_COUNT). */
#define RW_MAX 0x7ffff000ull

static size_t rw_count(size_t count)
{
    return MIN(count, RW_MAX);
}

SYSCALL3(read, int, fd, void __user *, buf, size_t, count)
{
    struct iov_iter iter;
    struct fd_ref ref = fd_borrow(fd);
    struct file *file = fd_ref_file(ref);

    if (file == NULL) {
        return -EBADF;
    }
    iov_init_user(&iter, buf, rw_count(count));
    ssize_t result = user_range_ok(buf, count) ? vfs_read(file, &iter, NULL) : -EFAULT;
    fd_return(ref);
    return result;
}

SYSCALL3(write, int, fd, const void __user *, buf, size_t, count)
{
    struct iov_iter iter;
    struct fd_ref ref = fd_borrow(fd);
    struct file *file = fd_ref_file(ref);

    if (file == NULL) {
        return -EBADF;
    }
    iov_init_user(&iter, (void __user *)buf, rw_count(count));
    ssize_t result = user_range_ok(buf, count) ? vfs_write(file, &iter, NULL) : -EFAULT;
    fd_return(ref);
    return result;
}

static int64_t rw_at(int fd, struct iov_iter *iter, loff_t pos, bool write)
{
    struct fd_ref ref = fd_borrow(fd);
    struct file *file = fd_ref_file(ref);
    ssize_t result;

    if (file == NULL) {
        return -EBADF;
    }
    if ((file->mode & FMODE_PREAD) == 0) {
        result = -ESPIPE;
    } else if (pos < 0) {
        result = -EINVAL;
    } else {
        result = write ? vfs_write(file, iter, &pos) : vfs_read(file, iter, &pos);
    }
    fd_return(ref);
    return result;
}

SYSCALL4(pread64, int, fd, void __user *, buf, size_t, count, loff_t, pos)
{
    struct iov_iter iter;

    if (!user_range_ok(buf, count)) {
        return -EFAULT;
    }
    iov_init_user(&iter, buf, rw_count(count));
    return rw_at(fd, &iter, pos, false);
}

SYSCALL4(pwrite64, int, fd, const void __user *, buf, size_t, count, loff_t, pos)
{
    struct iov_iter iter;

    if (!user_range_ok(buf, count)) {
        return -EFAULT;
    }
    iov_init_user(&iter, (void __user *)buf, rw_count(count));
    return rw_at(fd, &iter, pos, true);
}

/* A vector of buffers; pos NULL uses the file's own position. */
static int64_t rw_vec(int fd, const struct iovec __user *uvec, size_t nsegs, const loff_t *pos,
                      bool write)
{
    struct iovec fast[8], *vec = fast;
    struct iov_iter iter;
    int64_t result = iov_import(uvec, nsegs, fast, ARRAY_SIZE(fast), &vec, &iter);

    if (result < 0) {
        return result;
    }
    if (pos != NULL) {
        result = rw_at(fd, &iter, *pos, write);
    } else {
        struct fd_ref ref = fd_borrow(fd);
        struct file *file = fd_ref_file(ref);
        result = -EBADF;
        if (file != NULL) {
            result = write ? vfs_write(file, &iter, NULL) : vfs_read(file, &iter, NULL);
        }
        fd_return(ref);
    }
    if (vec != fast) {
        kfree(vec);
    }
    return result;
}

SYSCALL3(readv, int, fd, const struct iovec __user *, vec, size_t, nsegs)
{
    return rw_vec(fd, vec, nsegs, NULL, false);
}

SYSCALL3(writev, int, fd, const struct iovec __user *, vec, size_t, nsegs)
{
    return rw_vec(fd, vec, nsegs, NULL, true);
}

SYSCALL4(preadv, int, fd, const struct iovec __user *, vec, size_t, nsegs, loff_t, pos)
{
    return rw_vec(fd, vec, nsegs, &pos, false);
}

SYSCALL4(pwritev, int, fd, const struct iovec __user *, vec, size_t, nsegs, loff_t, pos)
{
    return rw_vec(fd, vec, nsegs, &pos, true);
}

/* Position -1 means the file's own; no RWF_* flag is supported yet, as on a file system without them. */
SYSCALL6(preadv2, int, fd, const struct iovec __user *, vec, size_t, nsegs, loff_t, pos, uint64_t,
         pos_high, int, flags)
{
    (void)pos_high;
    if (flags != 0) {
        return -EOPNOTSUPP;
    }
    return rw_vec(fd, vec, nsegs, pos == -1 ? NULL : &pos, false);
}

SYSCALL6(pwritev2, int, fd, const struct iovec __user *, vec, size_t, nsegs, loff_t, pos, uint64_t,
         pos_high, int, flags)
{
    (void)pos_high;
    if (flags != 0) {
        return -EOPNOTSUPP;
    }
    return rw_vec(fd, vec, nsegs, pos == -1 ? NULL : &pos, true);
}

SYSCALL3(lseek, int, fd, loff_t, offset, int, whence)
{
    struct fd_ref ref = fd_borrow(fd);
    struct file *file = fd_ref_file(ref);

    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = vfs_llseek(file, offset, whence);
    fd_return(ref);
    return result;
}

SYSCALL4(sendfile, int, out_fd, int, in_fd, loff_t __user *, offset, size_t, count)
{
    loff_t pos = 0;
    int64_t result = -EBADF;
    struct file *in = fd_file(in_fd);
    struct file *out = in != NULL ? fd_file(out_fd) : NULL;

    if (in != NULL && out != NULL) {
        if (offset != NULL && get_user(pos, offset) < 0) {
            result = -EFAULT;
        } else {
            result = vfs_sendfile(out, in, offset != NULL ? &pos : NULL, rw_count(count));
            if (result >= 0 && offset != NULL && put_user(pos, offset) < 0) {
                result = -EFAULT;
            }
        }
    }
    file_put(out);
    file_put(in);
    return result;
}

/* Copy a position in for copy_file_range; *ret_used tells whether there is one. */
static int copy_range_pos(loff_t __user *upos, loff_t *ret_pos)
{
    return upos != NULL && get_user(*ret_pos, upos) < 0 ? -EFAULT : 0;
}

SYSCALL6(copy_file_range, int, in_fd, loff_t __user *, in_upos, int, out_fd, loff_t __user *,
         out_upos, size_t, count, unsigned, flags)
{
    loff_t in_pos = 0, out_pos = 0;
    int64_t result = -EBADF;

    if (flags != 0) {
        return -EINVAL;
    }
    if (copy_range_pos(in_upos, &in_pos) < 0 || copy_range_pos(out_upos, &out_pos) < 0) {
        return -EFAULT;
    }
    struct file *in = fd_file(in_fd);
    struct file *out = in != NULL ? fd_file(out_fd) : NULL;
    if (in != NULL && out != NULL) {
        result = vfs_copy_file_range(in, in_upos != NULL ? &in_pos : NULL, out,
                                     out_upos != NULL ? &out_pos : NULL, rw_count(count));
        if (result > 0 && ((in_upos != NULL && put_user(in_pos, in_upos) < 0) ||
                           (out_upos != NULL && put_user(out_pos, out_upos) < 0))) {
            result = -EFAULT;
        }
    }
    file_put(out);
    file_put(in);
    return result;
}

SYSCALL4(fadvise64, int, fd, loff_t, offset, loff_t, len, int, advice)
{
    struct fd_ref ref = fd_borrow(fd);
    struct file *file = fd_ref_file(ref);
    int64_t result = file == NULL ? -EBADF : vfs_fadvise(file, offset, len, advice);

    if (file != NULL) {
        fd_return(ref);
    }
    return result;
}

SYSCALL3(readahead, int, fd, loff_t, offset, size_t, count)
{
    struct fd_ref ref = fd_borrow(fd);
    struct file *file = fd_ref_file(ref);
    int64_t result = file == NULL ? -EBADF : vfs_readahead(file, offset, count);

    if (file != NULL) {
        fd_return(ref);
    }
    return result;
}
