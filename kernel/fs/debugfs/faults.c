/*
 * /sys/kernel/debug/faults: the log of page faults (kernel/vm/fault_log.h). Writing 1 or 0 switches it; reading shows what the rings hold, a line
 * for each fault, CPU after CPU and the oldest first:
 *
 *     CPU NUMBER TIME_NS PID ADDRESS IP KIND ACCESS COST_NS COMM
 *
 * behind one line that says whether it is on. NUMBER counts a CPU's faults, so a reader sees what it missed. ACCESS is r, w or x.
 */
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/fs/debugfs/debugfs.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/smp.h"
#include "kernel/vm/fault_log.h"

#define CURSOR_CPU_SHIFT 48 /* above: the CPU + 1; below: the number of its next record */

static void fault_line(struct text *text, unsigned cpu, const struct fault_record *record)
{
    char access = (record->flags & FAULT_WRITE) != 0 ? 'w' : 'r';

    if ((record->flags & FAULT_EXEC) != 0) {
        access = 'x';
    }
    text_printf(text, "%u %llu %lld %u %llx %llx %s %c %u ", cpu,
                (unsigned long long)record->number, (long long)record->time, record->pid,
                (unsigned long long)record->addr, (unsigned long long)record->ip,
                fault_kind_name(record->kind), access, record->cost_ns);
    text_escaped(text, record->comm, " \t\n\\");
    text_putc(text, '\n');
}

static int faults_next(struct text *text, struct file *file, uint64_t *cursor)
{
    uint64_t number = *cursor & (BIT(CURSOR_CPU_SHIFT) - 1);
    unsigned cpu = (unsigned)(*cursor >> CURSOR_CPU_SHIFT);
    struct fault_record record;

    (void)file;
    if (cpu == 0) {
        text_printf(text, "# %s\n", atomic_load_relaxed(&fault_log_on) ? "on" : "off");
        cpu = 1;
    }
    for (; cpu <= cpu_count(); cpu++, number = 0) {
        while (!text_is_enough(text) && fault_log_read(cpu - 1, number, &record)) {
            fault_line(text, cpu - 1, &record);
            number = record.number + 1;
        }
        if (text_is_enough(text)) {
            *cursor = (uint64_t)cpu << CURSOR_CPU_SHIFT | number;
            return 1;
        }
    }
    *cursor = (uint64_t)cpu << CURSOR_CPU_SHIFT;
    return 0;
}

static int faults_open(struct inode *inode, struct file *file)
{
    (void)inode;
    return text_open_stream(file, faults_next);
}

static int faults_take(struct file *file, char *value, size_t len_bytes)
{
    (void)file;
    if (len_bytes != 1 || (value[0] != '0' && value[0] != '1')) {
        return -EINVAL;
    }
    return fault_log_switch(value[0] == '1');
}

static ssize_t faults_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    (void)pos;
    return text_write_value(from, file, faults_take);
}

static const struct file_ops faults_fops = {
    .open = faults_open,
    .release = text_release,
    .read = text_read,
    .write = faults_write,
    .llseek = text_llseek,
};

DEBUG_FILE(faults) = {.path = "faults", .mode = 0644, .fops = &faults_fops};
