/*
 * What concerns core dumps: /proc/PID/coredump_filter, /proc/sys/kernel/{core_pattern,core_uses_pid}, /proc/sys/fs/suid_dumpable (core(5),
 * proc(5)).
 */
#include "kernel/proc/coredump.h"

#include "kernel/fs/procfs/setting.h"

static int core_pattern_show(struct text *text)
{
    char pattern[COREDUMP_PATTERN_SIZE];

    coredump_pattern_get(pattern);
    text_printf(text, "%s\n", pattern);
    return 0;
}

static int core_pattern_write(char *value, size_t len)
{
    coredump_pattern_set(value, len);
    return 0;
}

PROC_FILE(sys_core_pattern) = {.path = "sys/kernel/core_pattern",
                               .mode = 0644,
                               .show = core_pattern_show,
                               .write = core_pattern_write};
PROC_SETTING(core_uses_pid, "sys/kernel/core_uses_pid", coredump_settings.uses_pid, 0, 1);
PROC_SETTING(suid_dumpable, "sys/fs/suid_dumpable", coredump_settings.suid_dumpable, 0, 2);

static int coredump_filter_show(struct text *text, const struct proc_target *target)
{
    text_printf(text, "%08x\n", atomic_load_relaxed(&target->process->coredump_filter));
    return 0;
}

static int coredump_filter_write(const struct proc_target *target, char *value, size_t len)
{
    int64_t filter;
    int err = proc_setting_parse(value, 0, UINT32_MAX, &filter);

    (void)len;
    if (err == 0) {
        atomic_store_relaxed(&target->process->coredump_filter,
                             (uint16_t)(filter & COREDUMP_FILTER_MASK));
    }
    return err;
}

PROC_PID_FILE(coredump_filter) = {.name = "coredump_filter",
                                  .mode = S_IFREG | 0644,
                                  .flags = PROC_PID_ACCESS,
                                  .show = coredump_filter_show,
                                  .write = coredump_filter_write};
