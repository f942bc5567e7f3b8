/*
 * /dev/zram*: reading and writing bytes of a device, the ioctls of block devices, and swap.
 *
 * A write of part of a page reads the page first; write_lock keeps two of them apart. User memory is copied before it is taken,
 * because that may wait for memory.
 */
#include <linux/capability.h>
#include <linux/fs.h>

#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/dev/zram_impl.h"
#include "kernel/machine/user.h"
#include "kernel/mm/frame.h"
#include "kernel/sched/thread.h"
#include "kernel/security/cred.h"
#include "kernel/vfs/file.h"
#include "kernel/vm/iov.h"
#include "kernel/vm/swap.h"

#define SECTOR_SHIFT 9
#define SECTOR_SIZE  (1u << SECTOR_SHIFT)
#define READ_AHEAD   256u /* sectors: what is never read ahead has the usual setting anyway */

static void count(uint64_t *counter, uint64_t n)
{
    (void)atomic_fetch_add_relaxed(counter, n);
}

/* Bytes of the device; 0 while it has no size. */
static uint64_t device_size(const struct zram_device *device)
{
    return atomic_load_acquire(&device->store) == NULL ? 0 : device->size;
}

/* ---- open ---- */

static int zram_open(struct inode *inode, struct file *file)
{
    struct zram_device *device = zram_device(DEV_MINOR(inode->rdev));
    int err = 0;

    if (device == NULL) {
        return -ENXIO;
    }
    mutex_lock(&device->lock);
    if ((file->flags & O_EXCL) != 0) {
        if (device->holder != NULL) {
            err = -EBUSY;
        } else {
            device->holder = file;
        }
    }
    if (err == 0) {
        device->openers++;
        file->private = device;
    }
    mutex_unlock(&device->lock);
    return err;
}

static void zram_release(struct file *file)
{
    struct zram_device *device = file->private;

    mutex_lock(&device->lock);
    device->openers--;
    if (device->holder == file) {
        device->holder = NULL;
    }
    mutex_unlock(&device->lock);
}

/* ---- bytes ---- */

static loff_t zram_llseek(struct file *file, loff_t offset, int whence)
{
    return fixed_size_llseek(file, offset, whence, (loff_t)device_size(file->private));
}

/* Two pages for a call to work in: what goes through, and a whole page when that is only a part. */
struct bounce {
    struct page *data, *whole;
};

static int bounce_alloc(struct bounce *bounce)
{
    bounce->data = frame_alloc(0, FRAME_ZERO | FRAME_RECLAIM, PAGE_KERNEL);
    bounce->whole = bounce->data == NULL ? NULL : frame_alloc(0, FRAME_RECLAIM, PAGE_KERNEL);
    if (bounce->whole != NULL) {
        return 0;
    }
    if (bounce->data != NULL) {
        page_put(bounce->data);
    }
    return -ENOMEM;
}

static void bounce_free(struct bounce *bounce)
{
    page_put(bounce->data);
    page_put(bounce->whole);
}

static ssize_t zram_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    struct zram_device *device = file->private;
    uint64_t size = device_size(device);
    struct page *bounce;
    ssize_t done = 0;
    int err = 0;

    if ((uint64_t)*pos >= size || to->count == 0) {
        return 0;
    }
    bounce = frame_alloc(0, FRAME_RECLAIM, PAGE_KERNEL);
    if (bounce == NULL) {
        return -ENOMEM;
    }
    while (to->count > 0 && (uint64_t)*pos < size && err == 0) {
        size_t offset = (size_t)*pos % PAGE_SIZE;
        size_t want = MIN(PAGE_SIZE - offset, to->count);
        err = zstore_read(device->store, (uint64_t)*pos >> PAGE_SHIFT, page_to_virt(bounce));
        if (err < 0) {
            break;
        }
        size_t n = iov_copy_to(to, (uint8_t *)page_to_virt(bounce) + offset, want);
        *pos += (loff_t)n;
        done += (ssize_t)n;
        err = n < want ? -EFAULT : thread_signal_pending(current_thread()) ? -EINTR : 0;
    }
    page_put(bounce);
    count(&device->reads, (uint64_t)done >> SECTOR_SHIFT);
    return done > 0 ? done : err;
}

/* Put the first n bytes of bounce->data at an offset of a page. */
static int page_update(struct zram_device *device, uint64_t index, size_t offset, size_t n,
                       const struct bounce *bounce)
{
    const void *data = page_to_virt(bounce->data);
    int err = 0;

    mutex_lock(&device->write_lock);
    if (n < PAGE_SIZE) {
        uint8_t *whole = page_to_virt(bounce->whole);
        err = zstore_read(device->store, index, whole);
        memcpy(whole + offset, data, n);
        data = whole;
    }
    if (err == 0) {
        err = zstore_write(device->store, index, data);
    }
    mutex_unlock(&device->write_lock);
    return err < 0 ? -EIO : 0; /* a medium that is full unexpectedly */
}

static ssize_t zram_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    struct zram_device *device = file->private;
    uint64_t size = device_size(device);
    struct bounce bounce;
    ssize_t done = 0;
    int err = 0;

    if (from->count == 0) {
        return 0;
    }
    if ((uint64_t)*pos >= size) {
        count(&device->invalid, 1);
        return -ENOSPC;
    }
    if (bounce_alloc(&bounce) < 0) {
        return -ENOMEM;
    }
    while (from->count > 0 && (uint64_t)*pos < size && err == 0) {
        size_t offset = (size_t)*pos % PAGE_SIZE;
        size_t want = MIN(PAGE_SIZE - offset, from->count);
        size_t n = iov_copy_from(from, page_to_virt(bounce.data), want);
        if (n > 0) {
            err = page_update(device, (uint64_t)*pos >> PAGE_SHIFT, offset, n, &bounce);
        }
        if (err == 0) {
            *pos += (loff_t)n;
            done += (ssize_t)n;
            err = n < want ? -EFAULT : thread_signal_pending(current_thread()) ? -EINTR : 0;
        }
    }
    bounce_free(&bounce);
    count(&device->writes, (uint64_t)done >> SECTOR_SHIFT);
    return done > 0 ? done : err;
}

static int zram_fsync(struct file *file, bool data_only)
{
    (void)file, (void)data_only;
    return 0; /* nothing waits to be written */
}

/* ---- ioctls ---- */

/* BLKDISCARD and BLKZEROOUT: two words, start and length in bytes. What is discarded reads as zeros, but parts of pages stay. */
static int64_t zero_range(struct file *file, const uint64_t __user *urange, bool parts_too)
{
    struct zram_device *device = file->private;
    uint64_t range[2], size = device_size(device);
    struct bounce zeros;
    int err = 0;

    if ((file->mode & FMODE_WRITE) == 0) {
        return -EBADF;
    }
    if (copy_from_user(range, urange, sizeof(range)) < 0) {
        return -EFAULT;
    }
    if ((range[0] | range[1]) % SECTOR_SIZE != 0 || range[0] > size || range[1] > size - range[0]) {
        return -EINVAL;
    }
    if (bounce_alloc(&zeros) < 0) {
        return -ENOMEM;
    }
    for (uint64_t at = range[0], end = range[0] + range[1], n; at < end && err == 0; at += n) {
        n = MIN(PAGE_SIZE - at % PAGE_SIZE, end - at);
        if (n == PAGE_SIZE) {
            zstore_discard(device->store, at >> PAGE_SHIFT);
        } else if (parts_too) {
            err = page_update(device, at >> PAGE_SHIFT, at % PAGE_SIZE, n, &zeros);
        }
        if (thread_signal_pending(current_thread())) {
            err = -EINTR;
        }
    }
    bounce_free(&zeros);
    return err;
}

/* What has an int as its result. */
static int64_t get_number(unsigned cmd, uint64_t arg)
{
    int value = 0;

    switch (cmd) {
    case BLKSSZGET:
    case BLKPBSZGET:
    case BLKBSZGET:
    case BLKIOMIN:
    case BLKIOOPT:
        value = PAGE_SIZE;
        break;
    case BLKROGET:
    case BLKALIGNOFF:
    case BLKDISCARDZEROES: /* always 0 since Linux 4.12 */
        break;
    default:
        return -ENOTTY;
    }
    return put_user(value, (int __user *)arg);
}

static int64_t set_block_size(uint64_t arg)
{
    int size;

    if (!current_has_cap(CAP_SYS_ADMIN)) {
        return -EACCES;
    }
    if (get_user(size, (const int __user *)arg) < 0) {
        return -EFAULT;
    }
    return size == (int)PAGE_SIZE ? 0
                                  : -EINVAL; /* neither below a logical block nor above a page */
}

static int64_t zram_ioctl(struct file *file, unsigned cmd, uint64_t arg)
{
    uint64_t size = device_size(file->private);

    switch (cmd) {
    case BLKGETSIZE:
        return put_user((unsigned long)(size >> SECTOR_SHIFT), (unsigned long __user *)arg);
    case BLKGETSIZE64:
        return put_user(size, (uint64_t __user *)arg);
    case BLKRAGET:
    case BLKFRAGET:
        return put_user((long)READ_AHEAD, (long __user *)arg);
    case BLKSECTGET:
        return put_user((unsigned short)(PAGE_SIZE >> SECTOR_SHIFT), (unsigned short __user *)arg);
    case BLKROTATIONAL:
        return put_user((unsigned short)0, (unsigned short __user *)arg);
    case BLKFLSBUF:
        return current_has_cap(CAP_SYS_ADMIN) ? 0 : -EACCES;
    case BLKRRPART: /* no partitions */
        return current_has_cap(CAP_SYS_ADMIN) ? -EINVAL : -EACCES;
    case BLKBSZSET:
        return set_block_size(arg);
    case BLKDISCARD:
    case BLKZEROOUT:
        return zero_range(file, (const uint64_t __user *)arg, cmd == BLKZEROOUT);
    default:
        return get_number(cmd, arg);
    }
}

/* ---- swap ---- */

static int slot_store(void *device, uint64_t slot, struct page *page)
{
    return zstore_write(((struct zram_device *)device)->store, slot, page_to_virt(page));
}

static int slot_load(void *device, uint64_t slot, struct page *page)
{
    return zstore_read(((struct zram_device *)device)->store, slot, page_to_virt(page));
}

static void slot_free(void *device, uint64_t slot)
{
    struct zram_device *zram = device;

    zstore_discard(zram->store, slot);
    count(&zram->freed_slots, 1);
}

static const struct swap_ops swap_ops = {.store = slot_store, .load = slot_load, .free = slot_free};

static int zram_swap_activate(struct file *file, const struct swap_ops **ret_ops, void **ret_device,
                              uint64_t *ret_bytes)
{
    *ret_ops = &swap_ops;
    *ret_device = file->private;
    *ret_bytes = device_size(file->private);
    return 0;
}

const struct file_ops zram_fops = {
    .open = zram_open,
    .release = zram_release,
    .read = zram_read,
    .write = zram_write,
    .llseek = zram_llseek,
    .ioctl = zram_ioctl,
    .fsync = zram_fsync,
    .swap_activate = zram_swap_activate,
};
