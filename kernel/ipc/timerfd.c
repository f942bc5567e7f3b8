/*
 * timerfd_create(2): a timer whose expirations are counted behind a descriptor.
 *
 * The kernel's timers know monotonic time only. An absolute time of the wall clock is kept as such, and converted anew whenever that clock is
 * stepped; a timer with an interval that has expired stands still until somebody looks at it, which counts what it missed: so it costs nothing however
 * short the interval, and however many there are. TFD_TIMER_CANCEL_ON_SET makes a step an event that read(2) tells as -ECANCELED. The alarm clocks are the plain ones: there is no
 * suspend to wake from.
 *
 * Locking: timer->lock (spin, irqsave): expirations come from interrupts. Order: listeners of time.c -> lock -> wait queue, timer queue.
 */
#include "kernel/ipc/timerfd.h"

#include <asm/poll.h>
#include <linux/capability.h>
#include <linux/time.h>
#include <linux/timerfd.h>

#include "kernel/base/printf.h"
#include "kernel/core/time.h"
#include "kernel/machine/user.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/security/cred.h"

struct timerfd {
    struct spinlock lock;
    struct wait_queue wait;
    struct timer timer;
    struct time_listener listener; /* of the wall clock's */
    ktime_t
        next; /* [lock] monotonic time of the next expiration, or real time; meaningful while armed */
    ktime_t interval; /* [lock] */
    uint64_t ticks;   /* [lock] expirations nobody has read */
    int clock;        /* [I] */
    int flags;        /* [lock] TFD_TIMER_* of the setting */
    bool real;        /* [lock] `next` is real time */
    bool still;       /* [lock] it has an interval, has expired at `next`, and stands still */
    bool canceled;    /* [lock] the clock was stepped, and nobody has been told */
};

static bool is_wall(int clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM;
}

static bool is_alarm(int clock)
{
    return clock == CLOCK_REALTIME_ALARM || clock == CLOCK_BOOTTIME_ALARM;
}

/* The time that `next` is to be compared with. */
static ktime_t now_locked(const struct timerfd *timerfd)
{
    return timerfd->real ? ktime_realtime() : ktime_now();
}

/* Wait for `next`. */
static void arm_locked(struct timerfd *timerfd)
{
    ktime_t left = MAX(timerfd->next - now_locked(timerfd), (ktime_t)0), now = ktime_now();

    timer_arm(&timerfd->timer, left > KTIME_MAX - 1 - now ? KTIME_MAX - 1 : now + left);
}

static void expired(struct timer *timer)
{
    struct timerfd *timerfd = container_of(timer, struct timerfd, timer);

    spin_lock(&timerfd->lock);
    if (timer_is_armed(timer)) {
        /* it was set anew while this expiration came */
    } else if (timerfd->real && ktime_realtime() < timerfd->next) {
        arm_locked(timerfd); /* the clock was set back meanwhile */
    } else {
        timerfd->ticks++;
        timerfd->still = timerfd->interval != 0;
        wait_wake_n(&timerfd->wait, 1, POLLIN); /* threads do not wait exclusively: all are woken */
    }
    spin_unlock(&timerfd->lock);
}

/* One that stands still goes on: the intervals that have passed since are counted. */
static void catch_up_locked(struct timerfd *timerfd)
{
    if (!timerfd->still) {
        return;
    }
    ktime_t late = MAX(now_locked(timerfd) - timerfd->next, (ktime_t)0);
    timerfd->still = false;
    timerfd->ticks += (uint64_t)(late / timerfd->interval);
    timerfd->next = ktime_after(timerfd->next + late - late % timerfd->interval, timerfd->interval);
    arm_locked(timerfd);
}

/* The wall clock was stepped. */
static void stepped(struct time_listener *listener)
{
    struct timerfd *timerfd = container_of(listener, struct timerfd, listener);
    const int cancelable = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
    uint64_t flags = spin_lock_irqsave(&timerfd->lock);

    if (timerfd->real && timer_is_armed(&timerfd->timer)) {
        arm_locked(timerfd);
    }
    if ((timerfd->flags & cancelable) == cancelable) {
        timerfd->canceled = true;
        timerfd->ticks++;
        wait_wake_n(&timerfd->wait, 1, POLLIN);
    }
    spin_unlock_irqrestore(&timerfd->lock, flags);
}

/* Expirations to tell, all 64 bits of them. -EAGAIN: none; -ECANCELED. */
static int ticks_take(struct timerfd *timerfd, uint64_t *ret_ticks)
{
    uint64_t flags = spin_lock_irqsave(&timerfd->lock);

    catch_up_locked(timerfd);
    int err = timerfd->canceled ? -ECANCELED : timerfd->ticks == 0 ? -EAGAIN : 0;
    *ret_ticks = timerfd->ticks;
    timerfd->canceled = false;
    timerfd->ticks = 0;
    spin_unlock_irqrestore(&timerfd->lock, flags);
    return err;
}

static ssize_t timerfd_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    struct timerfd *timerfd = file->private;
    uint64_t ticks;
    int err;

    (void)pos;
    if (to->count < sizeof(ticks)) {
        return -EINVAL;
    }
    while ((err = ticks_take(timerfd, &ticks)) == -EAGAIN &&
           (atomic_load_relaxed(&file->flags) & O_NONBLOCK) == 0) {
        err = wait_event_interruptible(&timerfd->wait, atomic_load_relaxed(&timerfd->ticks) != 0);
        if (err < 0) {
            break;
        }
    }
    if (err < 0) {
        return err;
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
    ret->value_ns =
        timer_is_armed(&timerfd->timer) ? MAX(timerfd->next - now_locked(timerfd), 1) : 0;
}

static size_t timerfd_show(struct file *file, char *buf, size_t size)
{
    struct timerfd *timerfd = file->private;
    struct timerfd_setting setting;
    uint64_t flags = spin_lock_irqsave(&timerfd->lock);
    uint64_t ticks = timerfd->ticks;
    int set_flags = timerfd->flags;

    setting_read_locked(timerfd, &setting);
    spin_unlock_irqrestore(&timerfd->lock, flags);
    return (size_t)ksnprintf(
        buf, size,
        "clockid: %d\nticks: %llu\nsettime flags: 0%o\nit_value: (%lld, %lld)\n"
        "it_interval: (%lld, %lld)\n",
        timerfd->clock, (unsigned long long)ticks, (unsigned)set_flags,
        (long long)(setting.value_ns / NS_PER_S), (long long)(setting.value_ns % NS_PER_S),
        (long long)(setting.interval_ns / NS_PER_S), (long long)(setting.interval_ns % NS_PER_S));
}

static void timerfd_release(struct file *file)
{
    struct timerfd *timerfd = file->private;

    if (is_wall(timerfd->clock)) {
        time_listener_remove(&timerfd->listener);
    }
    uint64_t flags = spin_lock_irqsave(&timerfd->lock);
    timerfd->real = false; /* an expiration under way does not arm it again */
    spin_unlock_irqrestore(&timerfd->lock, flags);
    (void)timer_cancel_sync(&timerfd->timer);
    kfree(timerfd);
}

/* TFD_IOC_SET_TICKS: what a restored program had not read yet. */
static int64_t timerfd_ioctl(struct file *file, unsigned cmd, uint64_t arg)
{
    struct timerfd *timerfd = file->private;
    uint64_t ticks;
    int err = 0;

    if (cmd != TFD_IOC_SET_TICKS) {
        return -ENOTTY;
    }
    if (get_user(ticks, (const uint64_t __user *)arg) < 0) {
        return -EFAULT;
    }
    if (ticks == 0) {
        return -EINVAL;
    }
    uint64_t flags = spin_lock_irqsave(&timerfd->lock);
    if (timerfd->canceled) {
        err = -ECANCELED;
    } else {
        timerfd->ticks = ticks;
        wait_wake_n(&timerfd->wait, 1, POLLIN);
    }
    spin_unlock_irqrestore(&timerfd->lock, flags);
    return err;
}

static const struct file_ops timerfd_fops = {.release = timerfd_release,
                                             .llseek = file_llseek_nowhere,
                                             .ioctl = timerfd_ioctl,
                                             .read = timerfd_read,
                                             .poll = timerfd_poll,
                                             .show_fdinfo = timerfd_show};

int timerfd_create(int clock, int flags, struct file **ret_file)
{
    if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) != 0 ||
        (clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME && !is_wall(clock) &&
         !is_alarm(clock))) {
        return -EINVAL;
    }
    if (is_alarm(clock) && !current_has_cap(CAP_WAKE_ALARM)) {
        return -EPERM;
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
    if (is_wall(clock)) {
        timerfd->listener.stepped = stepped;
        time_listener_add(&timerfd->listener);
    }
    return 0;
}

int timerfd_set(const struct file *file, int flags, const struct timerfd_setting *setting,
                struct timerfd_setting *ret_old)
{
    if (file->fops != &timerfd_fops ||
        (flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) != 0) {
        return -EINVAL;
    }
    struct timerfd *timerfd = file->private;
    int err = 0;
    if (is_alarm(timerfd->clock) && !current_has_cap(CAP_WAKE_ALARM)) {
        return -EPERM;
    }
    uint64_t irq = spin_lock_irqsave(&timerfd->lock);
    catch_up_locked(timerfd);
    setting_read_locked(timerfd, ret_old);
    (void)timer_cancel(&timerfd->timer);
    timerfd->ticks = 0;
    timerfd->interval = setting->interval_ns;
    timerfd->flags = flags;
    if (setting->value_ns != 0) {
        bool absolute = (flags & TFD_TIMER_ABSTIME) != 0;
        timerfd->real = absolute && is_wall(timerfd->clock);
        ktime_t from = absolute ? 0 : ktime_now();
        timerfd->next =
            setting->value_ns > KTIME_MAX - 1 - from ? KTIME_MAX - 1 : from + setting->value_ns;
        arm_locked(timerfd);
        err = timerfd->canceled ? -ECANCELED : 0; /* set it is, though */
        timerfd->canceled = false;
    }
    spin_unlock_irqrestore(&timerfd->lock, irq);
    return err;
}

int timerfd_get(const struct file *file, struct timerfd_setting *ret_setting)
{
    if (file->fops != &timerfd_fops) {
        return -EINVAL;
    }
    struct timerfd *timerfd = file->private;
    uint64_t flags = spin_lock_irqsave(&timerfd->lock);

    catch_up_locked(timerfd);
    setting_read_locked(timerfd, ret_setting);
    spin_unlock_irqrestore(&timerfd->lock, flags);
    return 0;
}
