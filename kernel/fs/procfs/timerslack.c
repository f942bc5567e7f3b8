/*
 * /proc/PID/timerslack_ns (proc(5)): how late the sleeps of the process' first thread may end, so that timers of several end with one
 * interrupt. Writing 0 gives back what the thread began with. Another process' needs CAP_SYS_NICE, to read as well.
 */
#include <linux/capability.h>

#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/fs/procfs/procfs.h"
#include "kernel/sched/sched.h"
#include "kernel/security/cred.h"

static bool allowed(const struct proc_target *target)
{
    return target->thread == current_thread() || current_has_cap(CAP_SYS_NICE);
}

static int timerslack_show(struct text *text, const struct proc_target *target)
{
    if (!allowed(target)) {
        return -EPERM;
    }
    text_printf(text, "%llu\n",
                (unsigned long long)atomic_load_relaxed(&target->thread->timer_slack_ns));
    return 0;
}

static int timerslack_write(const struct proc_target *target, char *value, size_t len)
{
    uint64_t slack_ns;
    int err = str_to_u64(value, 10, &slack_ns);

    (void)len;
    if (err < 0) {
        return err;
    }
    if (!allowed(target)) {
        return -EPERM;
    }
    thread_set_timer_slack(target->thread, slack_ns);
    return 0;
}

PROC_PID_FILE(timerslack_ns) = {.name = "timerslack_ns",
                                .mode = S_IFREG | 0666,
                                .show = timerslack_show,
                                .write = timerslack_write};
