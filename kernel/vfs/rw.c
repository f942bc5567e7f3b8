/*
 * read(2), write(2), lseek(2) and kin: what is common to all files before the kind's own operation runs.
 *
 * The position's mutex is taken only when somebody else can use the same open file: more than one reference (a second descriptor,
 * another thread that borrowed it). POSIX.1-2017, 2.9.7.
 */
#include <asm/signal.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/resource.h>

#include "kernel/base/string.h"
#include "kernel/sched/pid.h"
#include "kernel/vfs/private.h"

/* read(2), "NOTES": what one call transfers at most. */
#define RW_MAX 0x7ffff000u

uint64_t (*file_size_limit_hook)(void);

void file_signal_current(int signo)
{
    if (jobctl != NULL && current_thread()->process != NULL) {
        jobctl->signal_current(signo);
    }
}

static inline bool file_lock_pos(struct file *file)
{
    if (likely(refcount_read(&file->refs) == 1) || (file->mode & FMODE_SEEK) == 0) {
        return false;
    }
    mutex_lock(&file->pos_lock);
    return true;
}

static inline void file_unlock_pos(struct file *file, bool locked)
{
    if (unlikely(locked)) {
        mutex_unlock(&file->pos_lock);
    }
}

static ssize_t read_error(const struct file *file)
{
    if ((file->mode & FMODE_READ) == 0) {
        return -EBADF;
    }
    return file->inode != NULL && inode_is_dir(file->inode) ? -EISDIR : -EINVAL;
}

ssize_t vfs_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    if (unlikely((file->mode & FMODE_READ) == 0 || file->fops->read == NULL)) {
        return read_error(file);
    }
    if (pos != NULL) {
        if (unlikely((file->mode & FMODE_PREAD) == 0)) {
            return -ESPIPE;
        }
        if (unlikely(*pos < 0)) {
            return -EINVAL;
        }
    }
    if (unlikely(to->count > RW_MAX)) {
        to->count = RW_MAX;
    }
    if (pos != NULL) {
        return io_done_read(file, file->fops->read(file, to, pos));
    }
    bool locked = file_lock_pos(file);
    ssize_t result = file->fops->read(file, to, &file->pos);
    file_unlock_pos(file, locked);
    return io_done_read(file, result);
}

ssize_t vfs_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    if (unlikely((file->mode & FMODE_WRITE) == 0)) {
        return -EBADF;
    }
    if (unlikely(file->fops->write == NULL)) {
        return -EINVAL;
    }
    if (pos != NULL) {
        if (unlikely((file->mode & FMODE_PREAD) == 0)) {
            return -ESPIPE;
        }
        if (unlikely(*pos < 0)) {
            return -EINVAL;
        }
    }
    if (unlikely(from->count > RW_MAX)) {
        from->count = RW_MAX;
    }
    if (pos != NULL) {
        return io_done_write(file, file->fops->write(file, from, pos));
    }
    bool locked = file_lock_pos(file);
    ssize_t result = file->fops->write(file, from, &file->pos);
    file_unlock_pos(file, locked);
    return io_done_write(file, result);
}

ssize_t file_limit_write(loff_t pos, size_t count)
{
    uint64_t limit = file_size_limit_hook == NULL ? RLIM64_INFINITY : file_size_limit_hook();
    uint64_t max = INT64_MAX;

    if (limit < max && (uint64_t)pos >= limit) {
        file_signal_current(SIGXFSZ);
        return -EFBIG;
    }
    max = MIN(max, limit);
    if ((uint64_t)pos >= max) {
        return -EFBIG;
    }
    return (ssize_t)MIN((uint64_t)count, max - (uint64_t)pos);
}

loff_t vfs_llseek(struct file *file, loff_t offset, int whence)
{
    if (file->fops->llseek == NULL) {
        return -ESPIPE;
    }
    bool locked = file_lock_pos(file);
    loff_t result = file->fops->llseek(file, offset, whence);
    file_unlock_pos(file, locked);
    return result;
}

loff_t no_llseek(struct file *file, loff_t offset, int whence)
{
    (void)file, (void)offset, (void)whence;
    return -ESPIPE;
}

uint32_t vfs_poll(struct file *file, struct poll_table *table)
{
    if (file->fops->poll == NULL) {
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    }
    return file->fops->poll(file, table);
}

static int truncate_at(const struct path *path, loff_t size, bool by_open)
{
    struct inode *inode = path->dentry->inode;
    struct inode_attr attr = {
        .valid = ATTR_SIZE | ATTR_CTIME, .size_bytes = (uint64_t)size, .by_open = by_open};

    if ((uint64_t)size > inode->cache.size_bytes) {
        /* Growing to exactly the limit is allowed: ask for the last byte. */
        ssize_t room = size == 0 ? 0 : file_limit_write(size - 1, 1);
        if (room < 0) {
            return (int)room;
        }
    }
    int err = inode_setattr(inode, &attr);
    if (err == 0) {
        notify_path(path, IN_MODIFY);
    }
    return err;
}

int vfs_truncate(const struct path *path, loff_t size)
{
    struct inode *inode = path->dentry->inode;

    if (size < 0) {
        return -EINVAL;
    }
    if (inode_is_dir(inode)) {
        return -EISDIR;
    }
    if (!inode_is_regular(inode)) {
        return -EINVAL;
    }
    int err = mount_want_write(path);
    if (err == 0) {
        err = inode_permission(inode, MAY_WRITE);
    }
    if (err == 0) {
        err = inode_get_write(inode);
    }
    if (err == 0) {
        err = truncate_at(path, size, false);
        inode_put_write(inode);
    }
    return err;
}

int vfs_ftruncate(struct file *file, loff_t size)
{
    if (size < 0 || !inode_is_regular(file->inode) || (file->mode & FMODE_WRITE) == 0) {
        return -EINVAL;
    }
    return truncate_at(&file->path, size, true);
}

int vfs_fallocate(struct file *file, int mode, loff_t offset, loff_t len_bytes)
{
    struct inode *inode = file->inode;

    if (offset < 0 || len_bytes <= 0) {
        return -EINVAL;
    }
    if ((file->mode & FMODE_WRITE) == 0) {
        return -EBADF;
    }
    if (S_ISFIFO(inode->mode)) {
        return -ESPIPE;
    }
    if (inode_is_dir(inode)) {
        return -EISDIR;
    }
    if (!inode_is_regular(inode)) {
        return -ENODEV;
    }
    if (offset > INT64_MAX - len_bytes) {
        return -EFBIG;
    }
    if (inode->ops->fallocate == NULL) {
        return -EOPNOTSUPP;
    }
    ssize_t room = file_limit_write(offset + len_bytes - 1, 1);
    int err = room < 0 ? (int)room : inode->ops->fallocate(inode, mode, offset, len_bytes);
    if (err == 0) {
        notify_file(file, IN_MODIFY);
    }
    return err;
}

int vfs_fsync(struct file *file, bool data_only)
{
    return file->fops->fsync == NULL ? -EINVAL : file->fops->fsync(file, data_only);
}

ssize_t file_read_kernel(struct file *file, void *buf, size_t len_bytes, loff_t pos)
{
    size_t done = 0;

    if (file->fops->read == NULL) {
        return read_error(file);
    }
    while (done < len_bytes) {
        struct iov_iter to;
        iov_init_kernel(&to, (uint8_t *)buf + done, MIN(len_bytes - done, (size_t)RW_MAX));
        ssize_t n = file->fops->read(file, &to, &pos);
        if (n < 0) {
            return done > 0 ? (ssize_t)done : n;
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
    }
    return (ssize_t)done;
}
