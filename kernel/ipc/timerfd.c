/*
 * timerfd_create(2): a timer whose expirations are counted behind a descriptor.
 *
 * The kernel's timers know monotonic time only: a time of the wall clock is converted when it is set, so a later change of that clock does not
 * move it, and TFD_TIMER_CANCEL_ON_SET is refused where it would mean something.
 *
 * Locking: timer->lock (spin, irqsave): expirations come from interrupts. Order: lock -> wait queue, timer queue.
 */
#include "kernel/ipc/timerfd.h"

#include <asm/poll.h>
#include <linux/time.h>
#include <linux/timerfd.h>

#include "kernel/base/printf.h"
#include "kernel/core/time.h"
#include "kernel/mm/kmalloc.h"

/* A timer may not take the CPU for itself, however short its interval: what it missed is counted. */
#define SPACING_NS (50 * NS_PER_US)

struct timerfd {
    struct spinlock lock;
    struct wait_queue wait;
    struct timer timer;
    ktime_t next;     /* [lock] monotonic time of the next expiration; meaningful while armed */
    ktime_t interval; /* [lock] */
    uint64_t ticks;   /* [lock] expirations nobody has read */
    int clock;        /* [I] */
};

static void expired(struct timer *timer)
{
    struct timerfd *timerfd = container_of(timer, struct timerfd, timer);

    spin_lock(&timerfd->lock);
    if (timer_is_armed(timer)) {
        spin_unlock(&timerfd->lock); /* it was set anew while this expiration came */
        return;
    }
    timerfd->ticks++;
    if (timerfd->interval != 0) {
        ktime_t now = ktime_now();
        timerfd->next += timerfd->interval;
        if (timerfd->next <= now) {
            uint64_t missed = (uint64_t)((now - timerfd->next) / timerfd->interval) + 1;
            timerfd->ticks += missed;
            timerfd->next += (ktime_t)missed * timerfd->interval;
        }
        timer_arm(timer, MAX(timerfd->next, now + SPACING_NS));
    }
    wait_wake_n(&timerfd->wait, 1, POLLIN); /* threads do not wait exclusively: all are woken */
    spin_unlock(&timerfd->lock);
}

static uint64_t ticks_take(struct timerfd *timerfd)
{
    uint64_t flags = spin_lock_irqsave(&timerfd->lock);
    uint64_t ticks = timerfd->ticks;

    timerfd->ticks = 0;
    spin_unlock_irqrestore(&timerfd->lock, flags);
    return ticks;
}

static ssize_t timerfd_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    struct timerfd *timerfd = file->private;
    uint64_t ticks;

    (void)pos;
    if (to->count < sizeof(ticks)) {
        return -EINVAL;
    }
    while ((ticks = ticks_take(timerfd)) == 0) {
        if ((atomic_load_relaxed(&file->flags) & O_NONBLOCK) != 0) {
            return -EAGAIN;
        }
        int err =
            wait_event_interruptible(&timerfd->wait, atomic_load_relaxed(&timerfd->ticks) != 0);
        if (err < 0) {
            return err;
        }
    }
    return iov_copy_to(to, &ticks, sizeof(ticks)) == sizeof(ticks) ? (ssize_t)sizeof(ticks)
                                                                   : -EFAULT;
}

static uint32_t timerfd_poll(struct file *file, struct poll_table *table)
{
    struct timerfd *timerfd = file->private;

    poll_wait(table, &timerfd->wait);
    return atomic_load_relaxed(&timerfd->ticks) != 0 ? POLLIN : 0;
}

static void setting_read_locked(const struct timerfd *timerfd, struct timerfd_setting *ret)
{
    ret->interval_ns = timerfd->interval;
    ret->value_ns = timer_is_armed(&timerfd->timer) ? MAX(timerfd->next - ktime_now(), 1) : 0;
}

static size_t timerfd_show(struct file *file, char *buf, size_t size)
{
    struct timerfd *timerfd = file->private;
    struct timerfd_setting setting;
    uint64_t flags = spin_lock_irqsave(&timerfd->lock);
    uint64_t ticks = timerfd->ticks;

    setting_read_locked(timerfd, &setting);
    spin_unlock_irqrestore(&timerfd->lock, flags);
    return (size_t)ksnprintf(
        buf, size,
        "clockid: %d\nticks: %llu\nsettime flags: 00\nit_value: (%lld, %lld)\n"
        "it_interval: (%lld, %lld)\n",
        timerfd->clock, (unsigned long long)ticks, (long long)(setting.value_ns / NS_PER_S),
        (long long)(setting.value_ns % NS_PER_S), (long long)(setting.interval_ns / NS_PER_S),
        (long long)(setting.interval_ns % NS_PER_S));
}

static void timerfd_release(struct file *file)
{
    struct timerfd *timerfd = file->private;
    uint64_t flags = spin_lock_irqsave(&timerfd->lock);

    timerfd->interval = 0; /* an expiration under way does not arm it again */
    spin_unlock_irqrestore(&timerfd->lock, flags);
    (void)timer_cancel_sync(&timerfd->timer);
    kfree(timerfd);
}

static const struct file_ops timerfd_fops = {.release = timerfd_release,
                                             .read = timerfd_read,
                                             .poll = timerfd_poll,
                                             .show_fdinfo = timerfd_show};

int timerfd_create(int clock, int flags, struct file **ret_file)
{
    if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) != 0 ||
        (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME && clock != CLOCK_BOOTTIME)) {
        return -EINVAL;
    }
    struct timerfd *timerfd = kzalloc(sizeof(*timerfd));
    if (timerfd == NULL) {
        return -ENOMEM;
    }
    spin_init(&timerfd->lock, "timerfd");
    wait_queue_init(&timerfd->wait);
    timer_init(&timerfd->timer, expired);
    timerfd->clock = clock;
    struct inode *inode = anon_inode_create(0600);
    int err = inode == NULL ? -ENOMEM
                            : file_create_anonymous(inode, "anon_inode:[timerfd]", &timerfd_fops,
                                                    (flags & O_NONBLOCK) | O_RDWR,
                                                    FMODE_READ | FMODE_WRITE, ret_file);
    if (err < 0) {
        kfree(timerfd);
        return err;
    }
    (*ret_file)->private = timerfd;
    return 0;
}

/* The monotonic time that a setting means; the far future instead of an overflow. */
static ktime_t deadline_of(const struct timerfd *timerfd, bool absolute, ktime_t value)
{
    ktime_t now = ktime_now(), left = value;

    if (absolute) {
        if (timerfd->clock != CLOCK_REALTIME) {
            return MIN(value, KTIME_MAX - 1);
        }
        left = value - ktime_realtime();
    }
    return left > KTIME_MAX - 1 - now ? KTIME_MAX - 1 : now + left;
}

int timerfd_set(const struct file *file, int flags, const struct timerfd_setting *setting,
                struct timerfd_setting *ret_old)
{
    if (file->fops != &timerfd_fops ||
        (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) != 0) {
        return -EINVAL;
    }
    struct timerfd *timerfd = file->private;
    bool absolute = (flags & TFD_TIMER_ABSTIME) != 0;
    if (absolute && (flags & TFD_TIMER_CANCEL_ON_SET) != 0 && timerfd->clock == CLOCK_REALTIME) {
        return -EINVAL;
    }
    uint64_t irq = spin_lock_irqsave(&timerfd->lock);
    setting_read_locked(timerfd, ret_old);
    (void)timer_cancel(&timerfd->timer);
    timerfd->ticks = 0;
    timerfd->interval = setting->interval_ns;
    if (setting->value_ns != 0) {
        timerfd->next = deadline_of(timerfd, absolute, setting->value_ns);
        timer_arm(&timerfd->timer, timerfd->next);
    }
    spin_unlock_irqrestore(&timerfd->lock, irq);
    return 0;
}

int timerfd_get(const struct file *file, struct timerfd_setting *ret_setting)
{
    if (file->fops != &timerfd_fops) {
        return -EINVAL;
    }
    struct timerfd *timerfd = file->private;
    uint64_t flags = spin_lock_irqsave(&timerfd->lock);

    setting_read_locked(timerfd, ret_setting);
    spin_unlock_irqrestore(&timerfd->lock, flags);
    return 0;
}
