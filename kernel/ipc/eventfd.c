/*
 * eventfd(2): a 64-bit counter behind a descriptor.
 *
 * A write adds, a read takes all of it, or 1 of a semaphore; each waits while it cannot. Readers and writers share one queue: both sorts
 * seldom wait at once, and poll tells them apart by its key.
 */
#include <asm/poll.h>

#include "kernel/base/printf.h"
#include "kernel/ipc/eventfd.h"
#include "kernel/mm/kmalloc.h"

#define SEMAPHORE 1 /* EFD_SEMAPHORE of eventfd(2): no kernel header has it */
#define COUNT_MAX (UINT64_MAX - 1)

struct eventfd {
    struct spinlock lock;
    struct wait_queue wait;
    uint64_t count; /* [lock] */
    bool semaphore; /* [I] */
};

static uint64_t count_of(const struct eventfd *event)
{
    return atomic_load_relaxed(&event->count);
}

/* What a read gets; 0: nothing is there. */
static uint64_t take(struct eventfd *event)
{
    spin_lock(&event->lock);
    uint64_t value = event->semaphore ? MIN(event->count, 1u) : event->count;
    atomic_store_relaxed(&event->count, event->count - value);
    spin_unlock(&event->lock);
    return value;
}

static bool add(struct eventfd *event, uint64_t value)
{
    spin_lock(&event->lock);
    bool fits = value <= COUNT_MAX - event->count;
    if (fits) {
        atomic_store_relaxed(&event->count, event->count + value);
    }
    spin_unlock(&event->lock);
    return fits;
}

static void tell(struct eventfd *event, uint32_t key)
{
    if (wait_queue_active(&event->wait)) {
        wait_wake_n(&event->wait, 1,
                    key | WAIT_SYNC); /* threads do not wait exclusively here: all are woken */
    }
}

static ssize_t eventfd_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    struct eventfd *event = file->private;
    uint64_t value;

    (void)pos;
    if (to->count < sizeof(value)) {
        return -EINVAL;
    }
    while ((value = take(event)) == 0) {
        if ((atomic_load_relaxed(&file->flags) & O_NONBLOCK) != 0) {
            return -EAGAIN;
        }
        int err = wait_event_interruptible(&event->wait, count_of(event) != 0);
        if (err < 0) {
            return err;
        }
    }
    tell(event, POLLOUT);
    return iov_copy_to(to, &value, sizeof(value)) == sizeof(value) ? (ssize_t)sizeof(value)
                                                                   : -EFAULT;
}

static ssize_t eventfd_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    struct eventfd *event = file->private;
    uint64_t value;

    (void)pos;
    if (from->count < sizeof(value)) {
        return -EINVAL;
    }
    if (iov_copy_from(from, &value, sizeof(value)) != sizeof(value)) {
        return -EFAULT;
    }
    if (value == UINT64_MAX) {
        return -EINVAL;
    }
    while (!add(event, value)) {
        if ((atomic_load_relaxed(&file->flags) & O_NONBLOCK) != 0) {
            return -EAGAIN;
        }
        int err = wait_event_interruptible(&event->wait, value <= COUNT_MAX - count_of(event));
        if (err < 0) {
            return err;
        }
    }
    tell(event, POLLIN);
    return sizeof(value);
}

static uint32_t eventfd_poll(struct file *file, struct poll_table *table)
{
    struct eventfd *event = file->private;

    poll_wait(table, &event->wait);
    uint64_t count = count_of(event);
    return (count != 0 ? POLLIN : 0u) | (count < COUNT_MAX ? POLLOUT : 0u);
}

static size_t eventfd_show(struct file *file, char *buf, size_t size)
{
    const struct eventfd *event = file->private;

    return (size_t)ksnprintf(buf, size, "eventfd-count: %16llx\neventfd-semaphore: %d\n",
                             (unsigned long long)count_of(event), event->semaphore);
}

static void eventfd_release(struct file *file)
{
    kfree(file->private);
}

static const struct file_ops eventfd_fops = {.release = eventfd_release,
                                             .read = eventfd_read,
                                             .write = eventfd_write,
                                             .poll = eventfd_poll,
                                             .llseek = file_llseek_nowhere,
                                             .show_fdinfo = eventfd_show};

int eventfd_create(unsigned value, int flags, struct file **ret_file)
{
    struct inode *inode;
    struct eventfd *event;

    if ((flags & ~(SEMAPHORE | O_CLOEXEC | O_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    event = kzalloc(sizeof(*event));
    if (event == NULL) {
        return -ENOMEM;
    }
    spin_init(&event->lock, "eventfd");
    wait_queue_init(&event->wait);
    event->count = value;
    event->semaphore = (flags & SEMAPHORE) != 0;
    inode = anon_inode_create(0600);
    int err = inode == NULL ? -ENOMEM
                            : file_create_anonymous(inode, "anon_inode:[eventfd]", &eventfd_fops,
                                                    (flags & O_NONBLOCK) | O_RDWR,
                                                    FMODE_READ | FMODE_WRITE, ret_file);
    if (err < 0) {
        kfree(event);
        return err;
    }
    (*ret_file)->private = event;
    return 0;
}
