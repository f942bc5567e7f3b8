/*
 * /proc/PID/{make-it-fail,fail-nth}: whose allocations fail on purpose (kernel/mm/fail.h, Documentation/fault-injection/fault-injection.rst).
 */
#include <linux/capability.h>

#include "kernel/fs/procfs/setting.h"

static int make_it_fail_show(struct text *text, const struct proc_target *target)
{
    text_printf(text, "%d\n", atomic_load_relaxed(&target->thread->fail.make_it_fail));
    return 0;
}

static int make_it_fail_write(const struct proc_target *target, char *value, size_t len)
{
    int64_t number;

    (void)len;
    if (!current_has_cap(CAP_SYS_RESOURCE)) {
        return -EPERM;
    }
    int err = proc_setting_parse(value, 0, 1, &number);
    if (err == 0) {
        atomic_store_relaxed(&target->thread->fail.make_it_fail, number != 0);
    }
    return err;
}

static int fail_nth_show(struct text *text, const struct proc_target *target)
{
    text_printf(text, "%u\n", atomic_load_relaxed(&target->thread->fail.nth));
    return 0;
}

static int fail_nth_write(const struct proc_target *target, char *value, size_t len)
{
    int64_t number;
    int err = proc_setting_parse(value, 0, INT32_MAX, &number);

    (void)len;
    if (err == 0) {
        fail_set_nth(&target->thread->fail, (uint32_t)number);
    }
    return err;
}

PROC_PID_FILE(make_it_fail) = {.name = "make-it-fail",
                               .mode = S_IFREG | 0644,
                               .flags = PROC_PID_TASK,
                               .show = make_it_fail_show,
                               .write = make_it_fail_write};
PROC_PID_FILE(fail_nth) = {.name = "fail-nth",
                           .mode = S_IFREG | 0644,
                           .flags = PROC_PID_TASK,
                           .show = fail_nth_show,
                           .write = fail_nth_write};
