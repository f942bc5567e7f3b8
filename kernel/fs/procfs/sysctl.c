/*
 * /proc/sys: parameters (proc(5)). What can be changed is changed for real; what is fixed here is read-only and says what holds.
 */
#include <linux/capability.h>

#include "kernel/base/bitmap.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/core/random.h"
#include "kernel/dev/pty.h"
#include "kernel/fs/procfs/setting.h"
#include "kernel/mm/frame.h"
#include "kernel/proc/uts.h"
#include "kernel/vfs/epoll.h"
#include "kernel/vfs/inotify.h"

/* ---- names ---- */

#define UTS_FILE(file_, member_)                                                                   \
    static int file_##_show(struct text *text)                                                     \
    {                                                                                              \
        struct new_utsname name;                                                                   \
        uts_get(&name);                                                                            \
        text_printf(text, "%s\n", name.member_);                                                   \
        return 0;                                                                                  \
    }
UTS_FILE(hostname, nodename)
UTS_FILE(domainname, domainname)
UTS_FILE(ostype, sysname)
UTS_FILE(osrelease, release)
UTS_FILE(osversion, version)

static int hostname_write(char *value, size_t len)
{
    return current_has_cap(CAP_SYS_ADMIN) ? uts_set_hostname(value, MIN(len, (size_t)64)) : -EPERM;
}

static int domainname_write(char *value, size_t len)
{
    return current_has_cap(CAP_SYS_ADMIN) ? uts_set_domainname(value, MIN(len, (size_t)64))
                                          : -EPERM;
}

PROC_FILE(sys_hostname) = {
    .path = "sys/kernel/hostname", .mode = 0644, .show = hostname_show, .write = hostname_write};
PROC_FILE(sys_domainname) = {.path = "sys/kernel/domainname",
                             .mode = 0644,
                             .show = domainname_show,
                             .write = domainname_write};
PROC_FILE(sys_ostype) = {.path = "sys/kernel/ostype", .show = ostype_show};
PROC_FILE(sys_osrelease) = {.path = "sys/kernel/osrelease", .show = osrelease_show};
PROC_FILE(sys_version) = {.path = "sys/kernel/version", .show = osversion_show};

/* ---- constants ---- */

#define CONSTANT(id_, path_, text_)                                                                \
    static int id_##_show(struct text *text)                                                       \
    {                                                                                              \
        text_puts(text, text_ "\n");                                                               \
        return 0;                                                                                  \
    }                                                                                              \
    PROC_FILE(sys_##id_) = {.path = (path_), .show = id_##_show}

CONSTANT(pid_max, "sys/kernel/pid_max", "32768");
CONSTANT(ngroups_max, "sys/kernel/ngroups_max", "65536");
CONSTANT(cap_last_cap, "sys/kernel/cap_last_cap", "40");
CONSTANT(kptr_restrict, "sys/kernel/kptr_restrict", "1");
CONSTANT(dmesg_restrict, "sys/kernel/dmesg_restrict", "0");
CONSTANT(overflowuid, "sys/kernel/overflowuid", "65534");
CONSTANT(overflowgid, "sys/kernel/overflowgid", "65534");
CONSTANT(tainted, "sys/kernel/tainted", "0");
CONSTANT(poolsize, "sys/kernel/random/poolsize", "256");
CONSTANT(nr_open, "sys/fs/nr_open", "1048576");
CONSTANT(protected_hardlinks, "sys/fs/protected_hardlinks", "0");
CONSTANT(protected_symlinks, "sys/fs/protected_symlinks", "0");

_Static_assert(CAP_LAST_CAP == 40, "cap_last_cap");
_Static_assert(PID_MAX_DEFAULT == 32768, "pid_max");

static int panic_show(struct text *text)
{
    const char *value = param_string("panic");

    /* Seconds until a reset; 0: stay. Names of actions (panic=off) mean no reset here. */
    text_printf(text, "%s\n", value != NULL && *value >= '0' && *value <= '9' ? value : "0");
    return 0;
}
PROC_FILE(sys_panic) = {.path = "sys/kernel/panic", .show = panic_show};

static int pty_max_show(struct text *text)
{
    text_printf(text, "%d\n", PTY_MAX);
    return 0;
}
PROC_FILE(sys_pty_max) = {.path = "sys/kernel/pty/max", .show = pty_max_show};

static int pty_nr_show(struct text *text)
{
    text_printf(text, "%u\n", pty_count());
    return 0;
}
PROC_FILE(sys_pty_nr) = {.path = "sys/kernel/pty/nr", .show = pty_nr_show};

PROC_SETTING(threads_max, "sys/kernel/threads-max", threads_max, 20, PID_MAX_DEFAULT);

/* ---- pipes ---- */

static int pipe_max_show(struct text *text)
{
    text_printf(text, "%u\n", atomic_load_relaxed(&pipe_limits.max_bytes));
    return 0;
}

/* A whole number of pages, and a power of two: what a pipe can have. */
static int pipe_max_write(char *value, size_t len)
{
    int64_t bytes;
    int err = proc_setting_parse(value, 1, 1ll << 31, &bytes);

    (void)len;
    if (err == 0) {
        bytes = MAX(1ll << log2_ceil((uint64_t)bytes), (int64_t)PAGE_SIZE);
        atomic_store_relaxed(&pipe_limits.max_bytes, (uint32_t)bytes);
    }
    return err;
}
PROC_FILE(sys_pipe_max) = {
    .path = "sys/fs/pipe-max-size", .mode = 0644, .show = pipe_max_show, .write = pipe_max_write};
PROC_SETTING(pipe_soft, "sys/fs/pipe-user-pages-soft", pipe_limits.soft_pages, 0, INT64_MAX);
PROC_SETTING(pipe_hard, "sys/fs/pipe-user-pages-hard", pipe_limits.hard_pages, 0, INT64_MAX);

PROC_SETTING(inotify_events, "sys/fs/inotify/max_queued_events", inotify_limits.max_queued_events,
             0, INT32_MAX);
PROC_SETTING(inotify_instances, "sys/fs/inotify/max_user_instances",
             inotify_limits.max_user_instances, 0, INT32_MAX);
PROC_SETTING(inotify_watches, "sys/fs/inotify/max_user_watches", inotify_limits.max_user_watches, 0,
             INT32_MAX);
PROC_SETTING(epoll_watches, "sys/fs/epoll/max_user_watches", epoll_max_user_watches, 0, INT64_MAX);

/* ---- printk ---- */

static int printk_show(struct text *text)
{
    text_printf(text, "%d\t%d\t%d\t%d\n", log_console_level(), LOG_WARNING, 1, LOG_DEBUG);
    return 0;
}

static int printk_write(char *value, size_t len)
{
    uint64_t level;
    char *blank = value;

    (void)len;
    while (*blank != '\0' && *blank != ' ' && *blank != '\t') {
        blank++;
    }
    *blank = '\0';
    if (str_to_u64(value, 10, &level) < 0 || level > 15) {
        return -EINVAL;
    }
    log_set_console_level((int)level);
    return 0;
}
PROC_FILE(sys_printk) = {
    .path = "sys/kernel/printk", .mode = 0644, .show = printk_show, .write = printk_write};

/* ---- random ---- */

/* A version 4 UUID (RFC 4122, section 4.4). */
static void uuid_make(char *buf, size_t size)
{
    uint8_t b[16];

    random_bytes(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    (void)ksnprintf(buf, size,
                    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n", b[0],
                    b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
                    b[13], b[14], b[15]);
}

static int uuid_show(struct text *text)
{
    char uuid[40];

    uuid_make(uuid, sizeof(uuid));
    text_puts(text, uuid);
    return 0;
}

static struct spinlock boot_id_lock = SPINLOCK_INIT("boot id");

static int boot_id_show(struct text *text)
{
    static char boot_id[40]; /* [boot_id_lock] made by the first reader */

    spin_lock(&boot_id_lock);
    if (boot_id[0] == '\0') {
        uuid_make(boot_id, sizeof(boot_id));
    }
    spin_unlock(&boot_id_lock);
    text_puts(text, boot_id);
    return 0;
}

static int entropy_avail_show(struct text *text)
{
    text_puts(text, random_ready() ? "256\n" : "0\n");
    return 0;
}
PROC_FILE(sys_uuid) = {.path = "sys/kernel/random/uuid", .show = uuid_show};
PROC_FILE(sys_boot_id) = {.path = "sys/kernel/random/boot_id", .show = boot_id_show};
PROC_FILE(sys_entropy_avail) = {.path = "sys/kernel/random/entropy_avail",
                                .show = entropy_avail_show};

/* ---- limits that depend on memory ---- */

/* A tenth of memory, 1 KiB a file. */
static unsigned long long file_max(void)
{
    struct frame_stats frames;

    frame_stats(&frames);
    return (unsigned long long)frames.total / 10 * 4;
}

static int file_max_show(struct text *text)
{
    text_printf(text, "%llu\n", file_max());
    return 0;
}
PROC_FILE(sys_file_max) = {.path = "sys/fs/file-max", .show = file_max_show};

/* Files that are open, those kept for later (none are), and their limit. */
static int file_nr_show(struct text *text)
{
    text_printf(text, "%llu\t0\t%llu\n", (unsigned long long)files_count(), file_max());
    return 0;
}
PROC_FILE(sys_file_nr) = {.path = "sys/fs/file-nr", .show = file_nr_show};
