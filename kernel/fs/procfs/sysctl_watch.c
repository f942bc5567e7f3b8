/*
 * /proc/sys/kernel: the watches over CPUs and threads that hang (kernel.watchdog_thresh(5), kernel.hung_task_timeout_secs).
 * /proc/sysrq-trigger, and what keyboards may ask for (kernel.sysrq).
 */
#include "kernel/core/sysrq.h"
#include "kernel/fs/procfs/setting.h"
#include "kernel/proc/hung_task.h"
#include "kernel/sched/watchdog.h"

PROC_SETTING(watchdog_thresh, "sys/kernel/watchdog_thresh", watchdog_thresh, 0, 60);
PROC_SETTING(softlockup_panic, "sys/kernel/softlockup_panic", watchdog_panics, 0, 1);
PROC_SETTING(hardlockup_panic, "sys/kernel/hardlockup_panic", watchdog_hard_panics, 0, 1);
PROC_SETTING(hung_task_warnings, "sys/kernel/hung_task_warnings", hung_task_warnings, -1,
             INT32_MAX);
PROC_SETTING(hung_task_panic, "sys/kernel/hung_task_panic", hung_task_panic, 0, 1);

/* Those two change when the watch looks next. */
#define SECONDS_MOST (INT64_MAX / 1000000000 / 2)
static int seconds_set(char *value, uint64_t *setting)
{
    int64_t number;
    int err = proc_setting_parse(value, 0, SECONDS_MOST, &number);

    if (err == 0) {
        atomic_store_relaxed(setting, (uint64_t)number);
        hung_task_restart();
    }
    return err;
}

#define SECONDS_FILE(id_, path_, variable_)                                                        \
    static int id_##_show(struct text *text)                                                       \
    {                                                                                              \
        text_printf(text, "%llu\n", (unsigned long long)atomic_load_relaxed(&(variable_)));        \
        return 0;                                                                                  \
    }                                                                                              \
    static int id_##_write(char *value, size_t len)                                                \
    {                                                                                              \
        (void)len;                                                                                 \
        return seconds_set(value, &(variable_));                                                   \
    }                                                                                              \
    PROC_FILE(sys_##id_) = {.path = (path_), .mode = 0644, .show = id_##_show, .write = id_##_write}
SECONDS_FILE(hung_task_timeout, "sys/kernel/hung_task_timeout_secs", hung_task_timeout);
SECONDS_FILE(hung_task_interval, "sys/kernel/hung_task_check_interval_secs",
             hung_task_check_interval);

PROC_SETTING(sysrq_allowed, "sys/kernel/sysrq", sysrq_mask, 0, INT32_MAX);

static int sysrq_write(char *value, size_t len)
{
    if (len > 0) {
        sysrq_request(value[0]);
    }
    return 0;
}

PROC_FILE(sysrq_trigger) = {.path = "sysrq-trigger", .mode = 0200, .write = sysrq_write};
