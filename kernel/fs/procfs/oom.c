/*
 * /proc/PID/{oom_score,oom_score_adj,oom_adj} and /proc/sys/vm/{panic_on_oom,oom_kill_allocating_task,oom_dump_tasks} (proc(5)).
 */
#include "kernel/proc/oom.h"
#include "kernel/fs/procfs/setting.h"

/* oom_adj is the older scale, of -17 (never) to 15. */
#define OLD_NEVER (-17)
#define OLD_MAX   15

/* What the killer thinks of the process, from the range -1000 to 1000 and up to that of 0 to 1333. */
static int oom_score_show(struct text *text, const struct proc_target *target)
{
    uint64_t total;
    int64_t points = oom_badness(target->process, &total), score = 0;

    if (points != OOM_BADNESS_NEVER) {
        score = MAX((1000 + points * 1000 / (int64_t)total) * 2 / 3, 0);
    }
    text_printf(text, "%lld\n", (long long)score);
    return 0;
}

static int oom_score_adj_show(struct text *text, const struct proc_target *target)
{
    text_printf(text, "%d\n", atomic_load_relaxed(&target->process->oom_score_adj));
    return 0;
}

static int oom_score_adj_write(const struct proc_target *target, char *value, size_t len)
{
    int64_t adj;
    int err = str_to_i64(value, 0, &adj);

    (void)len;
    return err < 0 ? err : oom_adjust(target->process, adj);
}

static int oom_adj_show(struct text *text, const struct proc_target *target)
{
    int adj = atomic_load_relaxed(&target->process->oom_score_adj);

    text_printf(text, "%d\n", adj == OOM_ADJ_MAX ? OLD_MAX : adj * -OLD_NEVER / OOM_ADJ_MAX);
    return 0;
}

static int oom_adj_write(const struct proc_target *target, char *value, size_t len)
{
    int64_t old;
    int err = str_to_i64(value, 0, &old);

    (void)len;
    if (err < 0) {
        return err;
    }
    if (old < OLD_NEVER || old > OLD_MAX) {
        return -EINVAL;
    }
    return oom_adjust(target->process,
                      old == OLD_MAX ? OOM_ADJ_MAX : old * OOM_ADJ_MAX / -OLD_NEVER);
}

#define PID_FILE(name_, perm_, ...)                                                                \
    PROC_PID_FILE(name_) = {.name = #name_,                                                        \
                            .mode = S_IFREG | (perm_),                                             \
                            .flags = PROC_PID_TASK,                                                \
                            .show = name_##_show,                                                  \
                            __VA_ARGS__}

PID_FILE(oom_score, 0444);
PID_FILE(oom_score_adj, 0644, .write = oom_score_adj_write);
PID_FILE(oom_adj, 0644, .write = oom_adj_write);

PROC_SETTING(panic_on_oom, "sys/vm/panic_on_oom", oom_panic, 0, 2);
PROC_SETTING(oom_kill_allocating_task, "sys/vm/oom_kill_allocating_task", oom_kill_allocating, 0,
             INT32_MAX);
PROC_SETTING(oom_dump_tasks, "sys/vm/oom_dump_tasks", oom_dump_tasks, 0, INT32_MAX);
