/*
 * The machine as a whole: names, figures, log, random bytes, power.
 */
#include <linux/capability.h>
#include <linux/personality.h>
#include <linux/random.h>
#include <linux/reboot.h>
#include <linux/sysinfo.h>
#include <linux/utsname.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/random.h"
#include "kernel/core/time.h"
#include "kernel/linux/syscall.h"
#include "kernel/machine/power.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/process.h"
#include "kernel/proc/signal.h"
#include "kernel/proc/uts.h"
#include "kernel/sched/random_wait.h"
#include "kernel/security/cred.h"
#include "kernel/vfs/mount.h"
#include "kernel/vm/swap.h"

SYSCALL1(uname, struct new_utsname __user *, uname)
{
    struct new_utsname name;

    uts_get(&name);
    if ((READ_ONCE(process_current()->personality) & PER_MASK) == PER_LINUX32) {
        memcpy(name.machine, "i686", sizeof("i686")); /* personality(2), PER_LINUX32 */
    }
    return copy_to_user(uname, &name, sizeof(name));
}

static int64_t set_name(const char __user *uname, size_t len,
                        int (*set)(const char *name, size_t len))
{
    char name[__NEW_UTS_LEN];

    if (!current_has_cap(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    if (len > __NEW_UTS_LEN) {
        return -EINVAL;
    }
    int err = copy_from_user(name, uname, len);
    return err < 0 ? err : set(name, len);
}

SYSCALL2(sethostname, const char __user *, name, size_t, len)
{
    return set_name(name, len, uts_set_hostname);
}

SYSCALL2(setdomainname, const char __user *, name, size_t, len)
{
    return set_name(name, len, uts_set_domainname);
}

SYSCALL1(sysinfo, struct sysinfo __user *, uinfo)
{
    struct sysinfo info;
    struct frame_stats frames;
    struct swap_stats swap;
    uint64_t load[3];

    memset(&info, 0, sizeof(info));
    frame_stats(&frames);
    swap_stats(&swap);
    sched_load(load);
    info.uptime = ktime_now() / NS_PER_S;
    for (int i = 0; i < 3; i++) {
        info.loads[i] = load[i] << (SI_LOAD_SHIFT - 11);
    }
    info.totalram = frames.total << PAGE_SHIFT;
    info.freeram = frames.free << PAGE_SHIFT;
    info.sharedram = frames.by_kind[PAGE_SHARED] << PAGE_SHIFT;
    info.totalswap = swap.total << PAGE_SHIFT;
    info.freeswap = swap.free << PAGE_SHIFT;
    info.procs = (uint16_t)MIN(process_count(), (uint64_t)UINT16_MAX);
    info.mem_unit = 1;
    return copy_to_user(uinfo, &info, sizeof(info));
}

SYSCALL3(getrandom, void __user *, ubuf, size_t, size, unsigned, flags)
{
    uint8_t buf[256];
    size_t done = 0;

    if ((flags & ~(unsigned)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) != 0 ||
        (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE)) {
        return -EINVAL;
    }
    int err = (flags & GRND_INSECURE) != 0 ? 0 : random_wait((flags & GRND_NONBLOCK) != 0);
    if (err < 0) {
        return err;
    }
    size = MIN(size, (size_t)INT32_MAX);
    while (done < size) {
        size_t n = MIN(size - done, sizeof(buf));
        random_bytes(buf, n);
        size_t left = copy_to_user_partial(user_at(ubuf, done), buf, n);
        done += n - left;
        /* Up to a page it is all or nothing, whatever signals come. */
        if (left > 0 || (done % PAGE_SIZE == 0 && thread_signal_pending(current_thread()))) {
            break;
        }
    }
    mem_wipe(buf, MIN(size, sizeof(buf)));
    return done > 0 || size == 0 ? (int64_t)done : -EFAULT;
}

/* ---- reboot(2) ---- */

SYSCALL4(reboot, uint32_t, magic1, uint32_t, magic2, uint32_t, cmd, void __user *, arg)
{
    (void)arg;
    if (!current_has_cap(CAP_SYS_BOOT)) {
        return -EPERM;
    }
    if (magic1 != LINUX_REBOOT_MAGIC1 ||
        (magic2 != LINUX_REBOOT_MAGIC2 && magic2 != LINUX_REBOOT_MAGIC2A &&
         magic2 != LINUX_REBOOT_MAGIC2B && magic2 != LINUX_REBOOT_MAGIC2C)) {
        return -EINVAL;
    }
    switch (cmd) {
    case LINUX_REBOOT_CMD_CAD_ON:
    case LINUX_REBOOT_CMD_CAD_OFF:
        signal_ctrl_alt_del_reboots(cmd == LINUX_REBOOT_CMD_CAD_ON);
        return 0;
    case LINUX_REBOOT_CMD_RESTART:
    case LINUX_REBOOT_CMD_RESTART2:
        log_notice("reboot: restarting");
        machine_reset();
    case LINUX_REBOOT_CMD_HALT:
        log_notice("reboot: system halted");
        machine_halt();
    case LINUX_REBOOT_CMD_POWER_OFF:
        log_notice("reboot: power down");
        machine_power_off();
    default:
        return -EINVAL;
    }
}

/* ---- syslog(2) ---- */

enum {
    SYSLOG_READ = 2,
    SYSLOG_READ_ALL,
    SYSLOG_READ_CLEAR,
    SYSLOG_CLEAR,
    SYSLOG_CONSOLE_OFF,
    SYSLOG_CONSOLE_ON,
    SYSLOG_CONSOLE_LEVEL,
    SYSLOG_SIZE_UNREAD,
    SYSLOG_SIZE_BUFFER,
};

#define SYSLOG_BUFFER_BYTES (1 << 17)

/* One record as dmesg wants it: "<6>[   12.345678] text\n". Its length. */
static size_t syslog_format(const struct log_record *record, const char *text, size_t len,
                            char *out, size_t size)
{
    return (size_t)kscnprintf(
        out, size, "<%u>[%5llu.%06llu] %.*s\n", record->facility * 8u + record->level,
        (unsigned long long)(record->time / NS_PER_S),
        (unsigned long long)(record->time % NS_PER_S / NS_PER_US), (int)len, text);
}

/* The next record at or after *seq, formatted; *seq moves past it. 0: none. */
static size_t syslog_next(uint64_t *seq, char *text, size_t text_size, char *out, size_t size)
{
    struct log_record record;
    size_t len = log_read(seq, &record, text, text_size);

    if (len == 0) {
        return 0;
    }
    *seq += 1;
    return syslog_format(&record, text, len, out, size);
}

#define LINE_BYTES 1100

/* All records from the last clear on, the newest that fit into `size`. */
static int64_t syslog_read_all(char __user *ubuf, size_t size, bool clear)
{
    char *line = kmalloc(2 * LINE_BYTES);
    uint64_t start = log_clear_sequence(), end = log_next_sequence();
    size_t total = 0, n, done = 0;
    int64_t result = 0;

    if (line == NULL) {
        return -ENOMEM;
    }
    for (uint64_t seq = start; seq < end && (n = syslog_next(&seq, line + LINE_BYTES, LINE_BYTES,
                                                             line, LINE_BYTES)) > 0;) {
        total += n;
    }
    for (uint64_t seq = start; seq < end && (n = syslog_next(&seq, line + LINE_BYTES, LINE_BYTES,
                                                             line, LINE_BYTES)) > 0;) {
        if (total > size) {
            total -= n;
            continue;
        }
        if (done + n > size) {
            break;
        }
        if (copy_to_user(ubuf + done, line, n) < 0) {
            result = -EFAULT;
            break;
        }
        done += n;
    }
    kfree(line);
    if (result == 0 && clear) {
        log_clear();
    }
    return result < 0 ? result : (int64_t)done;
}

static size_t syslog_bytes_from(uint64_t seq)
{
    char *line = kmalloc(2 * LINE_BYTES);
    size_t total = 0, n;

    while (line != NULL &&
           (n = syslog_next(&seq, line + LINE_BYTES, LINE_BYTES, line, LINE_BYTES)) > 0) {
        total += n;
    }
    kfree(line);
    return total;
}

static uint64_t syslog_read_sequence; /* [a] where SYSLOG_READ goes on */

/* Whole records only; waits for the first. */
static int64_t syslog_read(char __user *ubuf, size_t size)
{
    char *line = kmalloc(2 * LINE_BYTES);
    int64_t result = 0;

    if (line == NULL) {
        return -ENOMEM;
    }
    while (log_next_sequence() <= atomic_load_relaxed(&syslog_read_sequence) && result == 0) {
        result =
            thread_sleep_until_interruptible(ktime_now() + 50 * NS_PER_MS) < 0 ? -ERESTARTSYS : 0;
    }
    while (result >= 0) {
        uint64_t seq = atomic_load_relaxed(&syslog_read_sequence);
        size_t n = syslog_next(&seq, line + LINE_BYTES, LINE_BYTES, line, LINE_BYTES);
        if (n == 0 || (size_t)result + n > size) {
            break;
        }
        if (copy_to_user(ubuf + result, line, n) < 0) {
            result = result > 0 ? result : -EFAULT;
            break;
        }
        atomic_store_relaxed(&syslog_read_sequence, seq);
        result += (int64_t)n;
    }
    kfree(line);
    return result;
}

SYSCALL3(syslog, int, type, char __user *, ubuf, int, len)
{
    if (type != SYSLOG_READ_ALL && type != SYSLOG_SIZE_BUFFER && !current_has_cap(CAP_SYSLOG)) {
        return -EPERM;
    }
    if ((type == SYSLOG_READ || type == SYSLOG_READ_ALL || type == SYSLOG_READ_CLEAR) &&
        (ubuf == NULL || len < 0)) {
        return -EINVAL;
    }
    switch (type) {
    case 0:
    case 1:
        return 0;
    case SYSLOG_READ:
        return len == 0 ? 0 : syslog_read(ubuf, (size_t)len);
    case SYSLOG_READ_ALL:
    case SYSLOG_READ_CLEAR:
        return syslog_read_all(ubuf, (size_t)len, type == SYSLOG_READ_CLEAR);
    case SYSLOG_CLEAR:
        log_clear();
        return 0;
    case SYSLOG_CONSOLE_OFF:
        log_console_off();
        return 0;
    case SYSLOG_CONSOLE_ON:
        log_console_on();
        return 0;
    case SYSLOG_CONSOLE_LEVEL:
        if (len < 1 || len > 8) {
            return -EINVAL;
        }
        log_console_on(); /* that, too */
        log_set_console_level(len);
        return 0;
    case SYSLOG_SIZE_UNREAD:
        return (int64_t)syslog_bytes_from(atomic_load_relaxed(&syslog_read_sequence));
    case SYSLOG_SIZE_BUFFER:
        return SYSLOG_BUFFER_BYTES;
    default:
        return -EINVAL;
    }
}
