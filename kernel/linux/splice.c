/*
 * splice(2), tee(2), vmsplice(2).
 */
#include <linux/fs.h>

#include "kernel/ipc/splice.h"
#include "kernel/linux/syscall.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/fdtable.h"

/* No header for user space has these (splice(2)). */
#define SPLICE_MOVE     0x1u /* move pages rather than copy them: what is done where it can be */
#define SPLICE_NONBLOCK 0x2u
#define SPLICE_MORE     0x4u /* more will come: for sockets */
#define SPLICE_GIFT     0x8u
#define SPLICE_ALL      (SPLICE_MOVE | SPLICE_NONBLOCK | SPLICE_MORE | SPLICE_GIFT)
#define SPLICE_MAX      0x7ffff000ull

SYSCALL6(splice, int, in_fd, loff_t __user *, in_upos, int, out_fd, loff_t __user *, out_upos,
         size_t, count, unsigned, flags)
{
    loff_t in_pos = 0, out_pos = 0;
    int64_t result = -EBADF;

    if (count == 0) {
        return 0;
    }
    if ((flags & ~SPLICE_ALL) != 0) {
        return -EINVAL;
    }
    struct file *in = fd_file(in_fd);
    struct file *out = in != NULL ? fd_file(out_fd) : NULL;
    if (in == NULL || out == NULL) {
        goto put_files;
    }
    if ((in_upos != NULL && get_user(in_pos, in_upos) < 0) ||
        (out_upos != NULL && get_user(out_pos, out_upos) < 0)) {
        result = -EFAULT;
        goto put_files;
    }
    result =
        splice_files(in, in_upos != NULL ? &in_pos : NULL, out, out_upos != NULL ? &out_pos : NULL,
                     MIN(count, SPLICE_MAX), (flags & SPLICE_NONBLOCK) != 0);
    if (result >= 0 && ((in_upos != NULL && put_user(in_pos, in_upos) < 0) ||
                        (out_upos != NULL && put_user(out_pos, out_upos) < 0))) {
        result = -EFAULT;
    }

put_files:
    file_put(out);
    file_put(in);
    return result;
}

SYSCALL4(tee, int, in_fd, int, out_fd, size_t, count, unsigned, flags)
{
    int64_t result = -EBADF;

    if ((flags & ~SPLICE_ALL) != 0) {
        return -EINVAL;
    }
    if (count == 0) {
        return 0;
    }
    struct file *in = fd_file(in_fd);
    struct file *out = in != NULL ? fd_file(out_fd) : NULL;
    if (in != NULL && out != NULL) {
        result = splice_tee(in, out, MIN(count, SPLICE_MAX), (flags & SPLICE_NONBLOCK) != 0);
    }
    file_put(out);
    file_put(in);
    return result;
}

SYSCALL4(vmsplice, int, fd, const struct iovec __user *, uvec, size_t, nsegs, unsigned, flags)
{
    struct iovec fast[8], *vec = fast;
    struct iov_iter iter;

    if ((flags & ~SPLICE_ALL) != 0) {
        return -EINVAL;
    }
    struct file *file = fd_file(fd);
    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = iov_import(uvec, nsegs, fast, ARRAY_SIZE(fast), &vec, &iter);
    if (result >= 0) {
        result = splice_memory(file, &iter, (flags & SPLICE_NONBLOCK) != 0);
        if (vec != fast) {
            kfree(vec);
        }
    }
    file_put(file);
    return result;
}
