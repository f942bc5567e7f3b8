/*
 * The memory devices of major 1: null, zero, full, random, urandom (null(4), full(4), random(4)).
 */
#include <asm/signal.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/major.h>
#include <linux/random.h>
#include <linux/stat.h>

#include "kernel/base/string.h"
#include "kernel/core/random.h"
#include "kernel/dev/driver.h"
#include "kernel/sched/random_wait.h"
#include "kernel/vfs/file.h"

#define MINOR_NULL    3
#define MINOR_ZERO    5
#define MINOR_FULL    7
#define MINOR_RANDOM  8
#define MINOR_URANDOM 9

#define RANDOM_CHUNK 512

/* Positions mean nothing here; any seek succeeds and leaves it at 0. */
static loff_t mem_llseek(struct file *file, loff_t offset, int whence)
{
    (void)offset, (void)whence;
    return file->pos = 0;
}

static ssize_t null_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    (void)file, (void)to, (void)pos;
    return 0;
}

static ssize_t null_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    size_t count = from->count;

    (void)file, (void)pos;
    iov_advance(from, count);
    return (ssize_t)count;
}

static ssize_t zero_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    size_t count = to->count, done = 0;

    (void)file, (void)pos;
    while (done < count) {
        size_t want = MIN(count - done, (size_t)MIB(1));
        size_t n = iov_zero(to, want);
        done += n;
        if (n < want || thread_signal_pending(current_thread())) {
            break;
        }
    }
    return done == 0 && count > 0 ? -EFAULT : (ssize_t)done;
}

static ssize_t full_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    (void)file, (void)from, (void)pos;
    return -ENOSPC;
}

/* A private mapping of zeros is anonymous memory. A shared one would need an object per mapping: not offered. */
static int zero_mmap(struct file *file, uint32_t vm_flags, struct vm_source **ret_source)
{
    (void)file;
    if ((vm_flags & VM_SHARED) != 0) {
        return -ENODEV;
    }
    *ret_source = NULL;
    return 0;
}

static ssize_t urandom_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    uint8_t buffer[RANDOM_CHUNK];
    size_t count = to->count, done = 0;

    (void)file, (void)pos;
    while (done < count) {
        size_t want = MIN(count - done, sizeof(buffer));
        random_bytes(buffer, want);
        size_t n = iov_copy_to(to, buffer, want);
        done += n;
        if (n < want || (done % PAGE_SIZE == 0 && thread_signal_pending(current_thread()))) {
            break;
        }
    }
    mem_wipe(buffer, sizeof(buffer));
    return done == 0 && count > 0 ? -EFAULT : (ssize_t)done;
}

/* random(4): waits until the generator has been seeded once. */
static ssize_t random_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    int err = random_wait((file->flags & O_NONBLOCK) != 0);

    return err < 0 ? err : urandom_read(file, to, pos);
}

static uint32_t random_poll(struct file *file, struct poll_table *table)
{
    (void)file;
    return random_poll_ready(table) ? POLLIN | POLLRDNORM : POLLOUT | POLLWRNORM;
}

/* Up to `credit` bits are claimed for it, and no more than there are. Bytes taken: fewer than all at a fault, or when a signal comes. */
static size_t random_take(struct iov_iter *from, unsigned credit)
{
    uint8_t buffer[RANDOM_CHUNK];
    size_t done = 0;

    while (from->count > 0) {
        size_t want = MIN(from->count, sizeof(buffer));
        size_t n = iov_copy_from(from, buffer, want);
        unsigned bits = MIN(credit, (unsigned)n * 8);
        random_add(buffer, n, bits);
        credit -= bits;
        done += n;
        if (n < want || (done % PAGE_SIZE == 0 && thread_signal_pending(current_thread()))) {
            break;
        }
    }
    mem_wipe(buffer, sizeof(buffer));
    return done;
}

static ssize_t random_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    size_t count = from->count, done = random_take(from, 0);

    (void)file, (void)pos;
    return done == 0 && count > 0 ? -EFAULT : (ssize_t)done;
}

/* RNDADDENTROPY: struct rand_pool_info from user memory. */
static int64_t random_add_entropy(const struct rand_pool_info __user *info)
{
    struct rand_pool_info head;
    struct iov_iter from;

    if (copy_from_user(&head, info, sizeof(head)) < 0) {
        return -EFAULT;
    }
    if (head.entropy_count < 0 || head.buf_size < 0) {
        return -EINVAL;
    }
    size_t size = (size_t)head.buf_size;
    iov_init_user(&from, (uint8_t *)(uintptr_t)info + sizeof(head), size);
    return random_take(&from, (unsigned)head.entropy_count) == size ? 0 : -EFAULT;
}

/* RNDADDTOENTCNT: believe in what was written before. */
static int64_t random_credit(const int __user *ubits)
{
    int bits;

    if (get_user(bits, ubits) < 0) {
        return -EFAULT;
    }
    if (bits < 0) {
        return -EINVAL;
    }
    random_add(NULL, 0, (unsigned)bits);
    return 0;
}

static int64_t random_ioctl(struct file *file, unsigned cmd, uint64_t arg)
{
    int bits = random_ready() ? 256 : 0;

    (void)file;
    if (cmd == RNDGETENTCNT) {
        return put_user(bits, (int __user *)arg);
    }
    if (cmd != RNDADDENTROPY && cmd != RNDADDTOENTCNT && cmd != RNDRESEEDCRNG &&
        cmd != RNDCLEARPOOL && cmd != RNDZAPENTCNT) {
        return -EINVAL; /* not -ENOTTY, here */
    }
    if (!current_has_cap(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    switch (cmd) {
    case RNDADDENTROPY:
        return random_add_entropy((const struct rand_pool_info __user *)arg);
    case RNDADDTOENTCNT:
        return random_credit((const int __user *)arg);
    case RNDRESEEDCRNG:
        return random_reseed();
    default:
        return 0; /* the generator is never emptied */
    }
}

static const struct file_ops null_fops = {
    .read = null_read, .write = null_write, .llseek = mem_llseek};
static const struct file_ops zero_fops = {
    .read = zero_read, .write = null_write, .llseek = mem_llseek, .mmap = zero_mmap};
static const struct file_ops full_fops = {
    .read = zero_read, .write = full_write, .llseek = mem_llseek};
static const struct file_ops random_fops = {.read = random_read,
                                            .write = random_write,
                                            .llseek = mem_llseek,
                                            .poll = random_poll,
                                            .ioctl = random_ioctl};
static const struct file_ops urandom_fops = {
    .read = urandom_read, .write = random_write, .llseek = mem_llseek, .ioctl = random_ioctl};

static const struct mem_device {
    const char *name;
    uint32_t minor;
    const struct file_ops *fops;
} mem_devices[] = {{"null", MINOR_NULL, &null_fops},
                   {"zero", MINOR_ZERO, &zero_fops},
                   {"full", MINOR_FULL, &full_fops},
                   {"random", MINOR_RANDOM, &random_fops},
                   {"urandom", MINOR_URANDOM, &urandom_fops}};

static int mem_probe(const struct boot_handoff *handoff)
{
    (void)handoff;
    for (size_t i = 0; i < ARRAY_SIZE(mem_devices); i++) {
        const struct mem_device *device = &mem_devices[i];
        int err = chrdev_register(MEM_MAJOR, device->minor, 1, "mem", device->fops);
        if (err == 0) {
            err = devfs_create(device->name, S_IFCHR | 0666, DEV_MAKE(MEM_MAJOR, device->minor));
        }
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

DRIVER(mem) = {.name = "mem", .stage = DRIVER_STAGE_BUS, .probe = mem_probe};
