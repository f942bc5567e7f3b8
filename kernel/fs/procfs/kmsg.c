/*
 * /proc/kmsg (proc(5)): log records as they come, each read once, in syslog(2)'s form "<6>[    1.234567] text". One position for all
 * readers; a reader needs CAP_SYSLOG.
 *
 * The log wakes nobody, because it may be written under any lock: while somebody waits, a timer looks.
 *
 * Locks:  k kmsg_lock (mutex)
 */
#include <asm/fcntl.h>
#include <linux/capability.h>

#include "kernel/base/printf.h"
#include "kernel/core/log.h"
#include "kernel/fs/procfs/procfs.h"

#define TEXT_BYTES 1024u
#define LINE_BYTES (TEXT_BYTES + 64u)
#define LOOK_NS    (100 * NS_PER_MS)

static struct mutex kmsg_lock = MUTEX_INIT(kmsg_lock);
static struct wait_queue kmsg_wait = WAIT_QUEUE_INIT(kmsg_wait);
static struct timer kmsg_timer;
static uint64_t next_sequence; /* [k] */
static char line[LINE_BYTES];  /* [k] the record being read */
static size_t line_len;        /* [k] */
static size_t line_done;       /* [k] bytes of it already given */

static bool has_more(void)
{
    return READ_ONCE(line_done) < READ_ONCE(line_len) ||
           log_next_sequence() > READ_ONCE(next_sequence);
}

static void look(struct timer *timer)
{
    if (has_more()) {
        wait_wake_all(&kmsg_wait, POLLIN | POLLRDNORM);
    }
    if (wait_queue_active(&kmsg_wait)) {
        timer_arm(timer, ktime_now() + LOOK_NS);
    }
}

/* Fetch the next record when the last one has been given. False: there is none. */
static bool fill_line(void)
{
    static char text[TEXT_BYTES]; /* [k] */
    struct log_record record;
    uint64_t us;
    size_t len;

    if (line_done < line_len) {
        return true;
    }
    len = log_read(&next_sequence, &record, text, sizeof(text));
    if (len == 0) {
        return false;
    }
    us = (uint64_t)record.time / NS_PER_US;
    line_len = (size_t)kscnprintf(
        line, sizeof(line), "<%u>[%5llu.%06llu] %.*s\n",
        (unsigned)record.facility << 3 | (unsigned)record.level, (unsigned long long)(us / 1000000),
        (unsigned long long)(us % 1000000), (int)MIN(len, sizeof(text)), text);
    line_done = 0;
    next_sequence++;
    return true;
}

static ssize_t read_locked(struct iov_iter *to)
{
    ssize_t done = 0;

    while (to->count > 0 && fill_line()) {
        size_t want = MIN(line_len - line_done, to->count);
        size_t moved = iov_copy_to(to, line + line_done, want);
        line_done += moved;
        done += (ssize_t)moved;
        if (moved < want) {
            return done > 0 ? done : -EFAULT;
        }
    }
    return done;
}

static ssize_t kmsg_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    ssize_t done;
    int err;

    (void)pos;
    for (;;) {
        mutex_lock(&kmsg_lock);
        done = read_locked(to);
        mutex_unlock(&kmsg_lock);
        if (done != 0 || to->count == 0) {
            return done;
        }
        if ((file->flags & O_NONBLOCK) != 0) {
            return -EAGAIN;
        }
        timer_arm(&kmsg_timer, ktime_now() + LOOK_NS);
        err = wait_event_interruptible(&kmsg_wait, has_more());
        if (err < 0) {
            return err;
        }
    }
}

static uint32_t kmsg_poll(struct file *file, struct poll_table *table)
{
    (void)file;
    poll_wait(table, &kmsg_wait);
    if (has_more()) {
        return POLLIN | POLLRDNORM;
    }
    timer_arm(&kmsg_timer, ktime_now() + LOOK_NS);
    return 0;
}

static int kmsg_open(struct inode *inode, struct file *file)
{
    (void)inode;
    (void)file;
    if (!current_has_cap(CAP_SYSLOG)) {
        return -EPERM;
    }
    mutex_lock(&kmsg_lock);
    if (kmsg_timer.fn == NULL) {
        timer_init(&kmsg_timer, look);
    }
    mutex_unlock(&kmsg_lock);
    return 0;
}

static const struct file_ops kmsg_fops = {
    .open = kmsg_open,
    .read = kmsg_read,
    .poll = kmsg_poll,
};

PROC_FILE(kmsg) = {.path = "kmsg", .mode = 0400, .fops = &kmsg_fops};
