/*
 * sendfile(2) and copy_file_range(2): bytes from one file to another through a kernel buffer.
 */
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/private.h"

#define COPY_BYTES 16384u
#define COPY_MAX   0x7ffff000u

/* One buffer's worth. Bytes that arrived; what was read too much is given back by moving *in_pos. */
static ssize_t copy_chunk(struct file *in, loff_t *in_pos, struct file *out, loff_t *out_pos,
                          uint8_t *buffer, size_t count)
{
    struct iov_iter iter;
    loff_t start = *in_pos;

    iov_init_kernel(&iter, buffer, count);
    ssize_t got = io_done_read(in, in->fops->read(in, &iter, in_pos));
    if (got <= 0) {
        return got;
    }
    iov_init_kernel(&iter, buffer, (size_t)got);
    ssize_t put = out_pos != NULL ? io_done_write(out, out->fops->write(out, &iter, out_pos))
                                  : vfs_write(out, &iter, NULL);
    if (put < got) {
        *in_pos = start + (put > 0 ? put : 0);
    }
    return put;
}

static ssize_t copy_range(struct file *in, loff_t *in_pos, struct file *out, loff_t *out_pos,
                          size_t count)
{
    uint8_t *buffer = kmalloc(MIN(count, (size_t)COPY_BYTES));
    size_t done = 0;
    ssize_t result = 0;

    if (buffer == NULL) {
        return -ENOMEM;
    }
    while (done < count) {
        size_t want = MIN(count - done, (size_t)COPY_BYTES);
        result = copy_chunk(in, in_pos, out, out_pos, buffer, want);
        if (result <= 0) {
            break;
        }
        done += (size_t)result;
        if ((size_t)result < want || thread_signal_pending(current_thread())) {
            break;
        }
    }
    kfree(buffer);
    return done > 0 ? (ssize_t)done : result;
}

ssize_t vfs_sendfile(struct file *out, struct file *in, loff_t *pos, size_t count)
{
    if ((in->mode & FMODE_READ) == 0 || (out->mode & FMODE_WRITE) == 0) {
        return -EBADF;
    }
    if (pos != NULL && (in->mode & FMODE_PREAD) == 0) {
        return -ESPIPE;
    }
    if (pos != NULL && *pos < 0) {
        return -EINVAL;
    }
    if ((in->mode & FMODE_PREAD) == 0 || in->fops->read == NULL || out->fops->write == NULL ||
        (out->flags & O_APPEND) != 0) {
        return -EINVAL; /* sendfile(2): the source must be something that mmap-like access suits */
    }
    count = MIN(count, (size_t)COPY_MAX);
    if (count == 0) {
        return 0;
    }
    if (pos != NULL) {
        return copy_range(in, pos, out, NULL, count);
    }
    /* Not both positions' locks at once: the two files may be one, or another thread may copy the other way. */
    mutex_lock(&in->pos_lock);
    loff_t at = in->pos;
    mutex_unlock(&in->pos_lock);
    ssize_t result = copy_range(in, &at, out, NULL, count);
    if (result > 0) {
        mutex_lock(&in->pos_lock);
        in->pos = at;
        mutex_unlock(&in->pos_lock);
    }
    return result;
}

static int copy_file_check(const struct file *in, loff_t in_pos, const struct file *out,
                           loff_t out_pos, size_t count)
{
    if (inode_is_dir(in->inode) || inode_is_dir(out->inode)) {
        return -EISDIR;
    }
    if (!inode_is_regular(in->inode) || !inode_is_regular(out->inode)) {
        return -EINVAL;
    }
    if ((in->mode & FMODE_READ) == 0 || (out->mode & FMODE_WRITE) == 0 ||
        (out->flags & O_APPEND) != 0) {
        return -EBADF;
    }
    if (in->fops->read == NULL || out->fops->write == NULL) {
        return -EINVAL;
    }
    if (in->inode->super->fs != out->inode->super->fs) {
        return -EXDEV;
    }
    if (in_pos < 0 || out_pos < 0 || in_pos + (loff_t)count < in_pos ||
        out_pos + (loff_t)count < out_pos) {
        return -EOVERFLOW;
    }
    if (in->inode == out->inode && in_pos < out_pos + (loff_t)count &&
        out_pos < in_pos + (loff_t)count) {
        return -EINVAL;
    }
    return 0;
}

ssize_t vfs_copy_file_range(struct file *in, loff_t *in_pos, struct file *out, loff_t *out_pos,
                            size_t count)
{
    loff_t in_local = in_pos != NULL ? *in_pos : in->pos;
    loff_t out_local = out_pos != NULL ? *out_pos : out->pos;

    count = MIN(count, (size_t)COPY_MAX);
    int err = copy_file_check(in, in_local, out, out_local, count);
    if (err < 0 || count == 0) {
        return err;
    }
    ssize_t result = copy_range(in, &in_local, out, &out_local, count);
    if (result > 0) {
        *(in_pos != NULL ? in_pos : &in->pos) = in_local;
        *(out_pos != NULL ? out_pos : &out->pos) = out_local;
    }
    return result;
}
