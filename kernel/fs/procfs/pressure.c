/*
 * /proc/pressure/{cpu,memory,io}: time lost by waiting, and triggers that poll(2) tells of (Linux, Documentation/accounting/psi.rst).
 *
 * Writing "some 150000 1000000" makes the open file a trigger, once. As on Linux the last byte written is not looked at: it is the string's
 * end, or a newline.
 */
#include <linux/capability.h>
#include <linux/poll.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/fs/procfs/procfs.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/psi.h"
#include "kernel/security/cred.h"
#include "kernel/vm/iov.h"

#define TRIGGER_MAX 32

static struct mutex pressure_lock = MUTEX_INIT(pressure_lock); /* file->private is set once */

static struct psi_trigger *trigger_of(struct file *file)
{
    return __atomic_load_n((struct psi_trigger **)&file->private, __ATOMIC_ACQUIRE);
}

static int pressure_open(struct inode *inode, struct file *file)
{
    (void)inode;
    return (file->mode & FMODE_WRITE) != 0 && !current_has_cap(CAP_SYS_RESOURCE) ? -EPERM : 0;
}

static void pressure_release(struct file *file)
{
    psi_trigger_destroy(trigger_of(file));
}

static ssize_t pressure_read(enum psi_resource resource, struct iov_iter *to, loff_t *pos)
{
    char text[256];
    size_t len = 0;

    for (unsigned kind = PSI_SOME; kind <= PSI_FULL; kind++) {
        struct psi_figures figures;
        psi_read(resource, kind, &figures);
        len += kscnprintf(text + len, sizeof(text) - len,
                          "%s avg10=%u.%02u avg60=%u.%02u avg300=%u.%02u total=%llu\n",
                          kind == PSI_SOME ? "some" : "full", figures.avg[0] / 100,
                          figures.avg[0] % 100, figures.avg[1] / 100, figures.avg[1] % 100,
                          figures.avg[2] / 100, figures.avg[2] % 100,
                          (unsigned long long)figures.total_us);
    }
    if (*pos < 0 || (size_t)*pos >= len) {
        return 0;
    }
    size_t done = iov_copy_to(to, text + *pos, len - (size_t)*pos);
    *pos += (loff_t)done;
    return done == 0 && to->count > 0 ? -EFAULT : (ssize_t)done;
}

/* A decimal number behind blanks; false: there is none, or too large a one. */
static bool parse_number(const char **at, uint32_t *ret)
{
    uint64_t value = 0;
    const char *digit = *at;

    while (*digit == ' ') {
        digit++;
    }
    if (*digit < '0' || *digit > '9') {
        return false;
    }
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        value = value * 10 + (uint64_t)(*digit - '0');
        if (value > UINT32_MAX) {
            return false;
        }
    }
    *at = digit;
    *ret = (uint32_t)value;
    return true;
}

static int trigger_parse(enum psi_resource resource, const char *text, struct psi_trigger **ret)
{
    enum psi_kind kind = strncmp(text, "full ", 5) == 0 ? PSI_FULL : PSI_SOME;
    const char *at = text + 5;
    uint32_t threshold, window;

    if ((kind == PSI_SOME && strncmp(text, "some ", 5) != 0) || !parse_number(&at, &threshold) ||
        *at != ' ' || !parse_number(&at, &window)) {
        return -EINVAL;
    }
    return psi_trigger_create(resource, kind, threshold, window, ret);
}

static ssize_t pressure_write(enum psi_resource resource, struct iov_iter *from, struct file *file)
{
    char text[TRIGGER_MAX] = {0};
    size_t len = from->count;
    struct psi_trigger *trigger;

    if (len == 0) {
        return -EINVAL;
    }
    size_t taken = MIN(len, sizeof(text));
    if (iov_copy_from(from, text, taken) != taken) {
        return -EFAULT;
    }
    text[taken - 1] = '\0';
    mutex_lock(&pressure_lock);
    int err = trigger_of(file) != NULL ? -EBUSY : trigger_parse(resource, text, &trigger);
    if (err == 0) {
        __atomic_store_n((struct psi_trigger **)&file->private, trigger, __ATOMIC_RELEASE);
    }
    mutex_unlock(&pressure_lock);
    return err < 0 ? err : (ssize_t)len;
}

static uint32_t pressure_poll(struct file *file, struct poll_table *table)
{
    struct psi_trigger *trigger = trigger_of(file);

    return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM |
           (trigger == NULL ? POLLERR | POLLPRI : psi_trigger_poll(trigger, table));
}

#define PRESSURE(name_, path_, resource_)                                                          \
    static ssize_t name_##_read(struct file *file, struct iov_iter *to, loff_t *pos)               \
    {                                                                                              \
        (void)file;                                                                                \
        return pressure_read((resource_), to, pos);                                                \
    }                                                                                              \
    static ssize_t name_##_write(struct file *file, struct iov_iter *from, loff_t *pos)            \
    {                                                                                              \
        (void)pos;                                                                                 \
        return pressure_write((resource_), from, file);                                            \
    }                                                                                              \
    static const struct file_ops name_##_fops = {                                                  \
        .open = pressure_open,                                                                     \
        .release = pressure_release,                                                               \
        .read = name_##_read,                                                                      \
        .write = name_##_write,                                                                    \
        .llseek = text_llseek,                                                                     \
        .poll = pressure_poll,                                                                     \
    };                                                                                             \
    PROC_FILE(name_) = {.path = (path_), .mode = 0666, .fops = &name_##_fops}

PRESSURE(pressure_cpu, "pressure/cpu", PSI_CPU);
PRESSURE(pressure_memory, "pressure/memory", PSI_MEMORY);
PRESSURE(pressure_io, "pressure/io", PSI_IO);
