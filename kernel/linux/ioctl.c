/*
 * ioctl(2): what holds for every file, then the file's own.
 */
#include <asm/ioctls.h>
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/linux/syscall.h"
#include "kernel/vfs/fdtable.h"

static int64_t set_file_flag(struct file *file, uint32_t flag, uint64_t arg)
{
    int on;

    if (get_user(on, (const int __user *)arg) < 0) {
        return -EFAULT;
    }
    if (on != 0) {
        (void)__atomic_fetch_or(&file->flags, flag, __ATOMIC_RELAXED);
    } else {
        (void)__atomic_fetch_and(&file->flags, ~flag, __ATOMIC_RELAXED);
    }
    return 0;
}

static int64_t set_async(int fd, struct file *file, uint64_t arg)
{
    int on;

    if (get_user(on, (const int __user *)arg) < 0) {
        return -EFAULT;
    }
    if (file->fops->fasync == NULL) {
        return on != 0 ? -ENOTTY : 0;
    }
    int64_t err = file->fops->fasync(fd, file, on != 0);
    return err < 0 ? err : set_file_flag(file, FASYNC, arg);
}

/* Bytes left in a regular file from the position on. */
static int64_t regular_bytes_left(struct file *file, uint64_t arg)
{
    int64_t left = (int64_t)atomic_load_relaxed(&file->inode->cache.size_bytes) - file->pos;

    return put_user((int)CLAMP(left, (int64_t)INT32_MIN, (int64_t)INT32_MAX), (int __user *)arg);
}

static int64_t size_of_file(struct file *file, uint64_t arg)
{
    if (!inode_is_regular(file->inode) && !inode_is_dir(file->inode)) {
        return -ENOTTY;
    }
    return put_user((loff_t)atomic_load_relaxed(&file->inode->cache.size_bytes),
                    (loff_t __user *)arg);
}

SYSCALL3(ioctl, int, fd, unsigned, cmd, uint64_t, arg)
{
    struct fd_ref ref = fd_borrow(fd);
    struct file *file = fd_ref_file(ref);
    int64_t result;

    if (file == NULL) {
        return -EBADF;
    }
    switch (cmd) {
    case FIOCLEX:
    case FIONCLEX:
        result = fd_set_cloexec(fd, cmd == FIOCLEX);
        break;
    case FIONBIO:
        result = set_file_flag(file, O_NONBLOCK, arg);
        break;
    case FIOASYNC:
        result = set_async(fd, file, arg);
        break;
    case FIOQSIZE:
        result = size_of_file(file, arg);
        break;
    case FIGETBSZ:
        result = put_user((int)PAGE_SIZE, (int __user *)arg);
        break;
    default:
        if (cmd == FIONREAD && inode_is_regular(file->inode)) {
            result = regular_bytes_left(file, arg);
        } else {
            result = file->fops->ioctl != NULL ? file->fops->ioctl(file, cmd, arg) : -ENOTTY;
        }
        break;
    }
    fd_return(ref);
    return result;
}
