/*
 * /dev/kmsg (Linux Documentation/ABI/testing/dev-kmsg): one log record per read, "priority,sequence,microseconds,-;text".
 *
 * The log may be written from anywhere, even under the scheduler's locks, so it wakes nobody. While somebody waits here, a timer
 * looks for new records instead.
 */
#include <linux/fs.h>
#include <linux/major.h>
#include <linux/stat.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/dev/driver.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/file.h"

#define MINOR_KMSG    11
#define KMSG_TEXT_MAX 1024
#define KMSG_LINE_MAX (4 * KMSG_TEXT_MAX + 64) /* every byte escaped, and the prefix */
#define KMSG_CHECK_NS (100 * NS_PER_MS)

struct kmsg_reader {
    struct mutex lock;
    uint64_t sequence;        /* [lock] next record */
    char text[KMSG_TEXT_MAX]; /* [lock] */
    char line[KMSG_LINE_MAX]; /* [lock] */
};

static struct wait_queue kmsg_wait = WAIT_QUEUE_INIT(kmsg_wait);
static struct timer kmsg_timer;
static uint64_t kmsg_seen; /* [a] next sequence when the timer last looked */

static void kmsg_check(struct timer *timer)
{
    uint64_t next = log_next_sequence();

    if (next != atomic_load_relaxed(&kmsg_seen)) {
        atomic_store_relaxed(&kmsg_seen, next);
        wait_wake_all(&kmsg_wait, POLLIN | POLLRDNORM);
    }
    if (wait_queue_active(&kmsg_wait)) {
        timer_arm(timer, ktime_now() + KMSG_CHECK_NS);
    }
}

static void kmsg_watch(void)
{
    timer_arm(&kmsg_timer, ktime_now() + KMSG_CHECK_NS);
}

static int kmsg_open(struct inode *inode, struct file *file)
{
    (void)inode;
    if ((file->mode & FMODE_READ) == 0) {
        return 0;
    }
    struct kmsg_reader *reader = kmalloc(sizeof(*reader));
    if (reader == NULL) {
        return -ENOMEM;
    }
    mutex_init(&reader->lock, "kmsg reader");
    reader->sequence = log_first_sequence();
    file->private = reader;
    return 0;
}

static void kmsg_release(struct file *file)
{
    kfree(file->private);
}

/* The record as a line: control characters and backslashes as \xNN. */
static size_t kmsg_format(struct kmsg_reader *reader, const struct log_record *record, size_t len)
{
    size_t n = (size_t)kscnprintf(reader->line, sizeof(reader->line), "%u,%llu,%llu,-;",
                                  (unsigned)record->facility << 3 | (unsigned)record->level,
                                  (unsigned long long)record->sequence,
                                  (unsigned long long)(record->time / NS_PER_US));

    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)reader->text[i];
        if (c < ' ' || c >= 127 || c == '\\') {
            n += (size_t)kscnprintf(reader->line + n, sizeof(reader->line) - n, "\\x%02x", c);
        } else {
            reader->line[n++] = (char)c;
        }
    }
    reader->line[n++] = '\n';
    return n;
}

static ssize_t kmsg_read_locked(struct kmsg_reader *reader, struct iov_iter *to)
{
    struct log_record record;
    uint64_t sequence = reader->sequence;

    size_t len = log_read(&sequence, &record, reader->text, sizeof(reader->text));
    if (sequence != reader->sequence && sequence > reader->sequence) {
        reader->sequence = sequence;
        return -EPIPE; /* records were overwritten before they were read */
    }
    size_t n = kmsg_format(reader, &record, MIN(len, sizeof(reader->text)));
    if (n > to->count) {
        return -EINVAL;
    }
    if (iov_copy_to(to, reader->line, n) < n) {
        return -EFAULT;
    }
    reader->sequence = sequence + 1;
    return (ssize_t)n;
}

static bool kmsg_has_more(const struct kmsg_reader *reader)
{
    return log_next_sequence() > READ_ONCE(reader->sequence);
}

static ssize_t kmsg_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    struct kmsg_reader *reader = file->private;

    (void)pos;
    for (;;) {
        mutex_lock(&reader->lock);
        ssize_t result = kmsg_has_more(reader) ? kmsg_read_locked(reader, to) : -EAGAIN;
        mutex_unlock(&reader->lock);
        if (result != -EAGAIN || (file->flags & O_NONBLOCK) != 0) {
            return result;
        }
        kmsg_watch();
        int err = wait_event_interruptible(&kmsg_wait, kmsg_has_more(reader));
        if (err < 0) {
            return err;
        }
    }
}

/* "<N>text": N is facility * 8 + level; without it a user's notice at the default level. */
static ssize_t kmsg_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    char buffer[KMSG_TEXT_MAX];
    size_t count = from->count;
    unsigned priority = 1u << 3 | LOG_WARNING;
    const char *text = buffer;

    (void)file, (void)pos;
    if (count >= sizeof(buffer)) {
        return -EINVAL;
    }
    if (iov_copy_from(from, buffer, count) < count) {
        return -EFAULT;
    }
    buffer[count] = '\0';
    if (buffer[0] == '<') {
        unsigned value = 0;
        const char *p = buffer + 1;
        while (*p >= '0' && *p <= '9' && value < 2048) {
            value = value * 10 + (unsigned)(*p++ - '0');
        }
        if (*p == '>' && p > buffer + 1) {
            priority =
                (value >> 3) == 0 ? 1u << 3 | (value & 7) : value; /* never the kernel's own */
            text = p + 1;
        }
    }
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '\n') {
        len--;
    }
    log_write_user((enum log_level)(priority & 7), (uint8_t)(priority >> 3), text, len);
    return (ssize_t)count;
}

static loff_t kmsg_llseek(struct file *file, loff_t offset, int whence)
{
    struct kmsg_reader *reader = file->private;
    loff_t result = 0;

    if (reader == NULL) {
        return -EBADF;
    }
    if (offset != 0) {
        return -ESPIPE;
    }
    mutex_lock(&reader->lock);
    switch (whence) {
    case SEEK_SET:
        reader->sequence = log_first_sequence();
        break;
    case SEEK_DATA:
        reader->sequence = log_clear_sequence();
        break;
    case SEEK_END:
        reader->sequence = log_next_sequence();
        break;
    default:
        result = -EINVAL;
        break;
    }
    mutex_unlock(&reader->lock);
    return result;
}

static uint32_t kmsg_poll(struct file *file, struct poll_table *table)
{
    struct kmsg_reader *reader = file->private;

    if (reader == NULL) {
        return POLLOUT | POLLWRNORM;
    }
    poll_wait(table, &kmsg_wait);
    if (!kmsg_has_more(reader)) {
        if (table != NULL && table->enqueue != NULL) {
            kmsg_watch();
        }
        return POLLOUT | POLLWRNORM;
    }
    uint32_t lost = log_first_sequence() > READ_ONCE(reader->sequence) ? POLLERR | POLLPRI : 0;
    return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | lost;
}

static const struct file_ops kmsg_fops = {.open = kmsg_open,
                                          .release = kmsg_release,
                                          .read = kmsg_read,
                                          .write = kmsg_write,
                                          .llseek = kmsg_llseek,
                                          .poll = kmsg_poll};

static int kmsg_probe(const struct boot_handoff *handoff)
{
    (void)handoff;
    timer_init(&kmsg_timer, kmsg_check);
    int err = chrdev_register(MEM_MAJOR, MINOR_KMSG, 1, "mem", &kmsg_fops);
    return err < 0 ? err : devfs_create("kmsg", S_IFCHR | 0644, DEV_MAKE(MEM_MAJOR, MINOR_KMSG));
}

DRIVER(kmsg) = {.name = "kmsg", .stage = DRIVER_STAGE_BUS, .probe = kmsg_probe};
