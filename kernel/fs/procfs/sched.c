/*
 * What the scheduler tells: /proc/PID/{sched,schedstat}, /proc/schedstat, and what can be set below /proc/sys/kernel/sched_*.
 */
#include "kernel/sched/sched.h"

#include "kernel/core/time.h"
#include "kernel/fs/procfs/setting.h"
#include "kernel/machine/smp.h"
#include "kernel/sched/mutex.h"

/* ---- one thread ---- */

/* Documentation of Linux, scheduler/sched-stats: time on the CPU, time waited for it, how often it was got. */
static int schedstat_show(struct text *text, const struct proc_target *target)
{
    struct sched_thread_stats stats;

    sched_thread_stats(target->thread, &stats);
    text_printf(text, "%llu %llu %llu\n", (unsigned long long)stats.runtime_ns,
                (unsigned long long)stats.run_delay_ns, (unsigned long long)stats.nrun);
    return 0;
}
PROC_PID_FILE(schedstat) = {
    .name = "schedstat", .mode = S_IFREG | 0444, .flags = PROC_PID_TASK, .show = schedstat_show};

static void show_ms(struct text *text, const char *name, uint64_t ns)
{
    text_printf(text, "%-45s:%14llu.%06llu\n", name, (unsigned long long)(ns / NS_PER_MS),
                (unsigned long long)(ns % NS_PER_MS));
}

static void show_number(struct text *text, const char *name, uint64_t value)
{
    text_printf(text, "%-45s:%21llu\n", name, (unsigned long long)value);
}

static int sched_show(struct text *text, const struct proc_target *target)
{
    struct thread *thread = target->thread;
    struct sched_thread_stats stats;
    struct sched_params params;

    sched_thread_stats(thread, &stats);
    sched_get_params(thread, &params);
    text_printf(text, "%s (%d, #threads: %u)\n", thread->comm, thread->pid->nr,
                target->process->nthreads);
    text_puts(text, "-------------------------------------------------------------------\n");
    show_ms(text, "se.vruntime", stats.vruntime);
    show_ms(text, "se.deadline", stats.deadline);
    show_ms(text, "se.sum_exec_runtime", (uint64_t)stats.runtime_ns);
    show_ms(text, "se.wait_sum", (uint64_t)stats.run_delay_ns);
    show_number(text, "nr_switches", thread->nvcsw + thread->nivcsw);
    show_number(text, "nr_voluntary_switches", thread->nvcsw);
    show_number(text, "nr_involuntary_switches", thread->nivcsw);
    show_number(text, "policy", params.policy);
    show_number(text, "prio", (uint64_t)(thread->prio < 0 ? 0 : thread->prio));
    show_number(text, "slice", params.runtime);
    return 0;
}
PROC_PID_FILE(sched) = {
    .name = "sched", .mode = S_IFREG | 0444, .flags = PROC_PID_TASK, .show = sched_show};

/* ---- all CPUs ---- */

static void show_domain(struct text *text, unsigned index, const struct cpumask *span,
                        const struct domain_stats *stats)
{
    text_printf(text, "domain%u ", index);
    text_bit_mask(text, span->bits, cpu_count());
    for (unsigned i = 0; i < BALANCE_KINDS; i++) {
        const struct balance_stats *kind = &stats->balance[i];
        text_printf(text, " %llu %llu %llu %llu %llu 0 %llu 0", (unsigned long long)kind->looks,
                    (unsigned long long)kind->balanced, (unsigned long long)kind->failed,
                    (unsigned long long)kind->imbalance, (unsigned long long)kind->gained,
                    (unsigned long long)kind->no_busy_queue);
    }
    text_printf(text, " %llu %llu %llu 0 0 0 0 0 0 %llu %llu 0\n",
                (unsigned long long)stats->push_tries, (unsigned long long)stats->push_failed,
                (unsigned long long)stats->pushed, (unsigned long long)stats->wake_remote,
                (unsigned long long)stats->wake_moved);
}

/* Version 15 of the format; what is not counted here is 0: yields, fetching what is hot, groups, and placing at fork and exec. */
static int schedstats_show(struct text *text)
{
    unsigned cpu;

    text_printf(text, "version 15\ntimestamp %llu\n",
                (unsigned long long)(ktime_now() / (NS_PER_S / SCHED_TICK_HZ)));
    for_each_online_cpu (cpu) {
        struct sched_cpu_stats stats;
        struct domain_stats domain;
        struct cpumask span;
        sched_cpu_stats(cpu, &stats);
        text_printf(text, "cpu%u 0 0 %llu %llu %llu %llu %llu %llu %llu\n", cpu,
                    (unsigned long long)stats.switches,
                    (unsigned long long)(stats.switches - stats.nrun),
                    (unsigned long long)stats.wakes, (unsigned long long)stats.wakes_local,
                    (unsigned long long)(stats.user_ns + stats.nice_ns + stats.system_ns),
                    (unsigned long long)stats.run_delay_ns, (unsigned long long)stats.nrun);
        for (unsigned i = 0; sched_domain_stats(cpu, i, &span, &domain); i++) {
            show_domain(text, i, &span, &domain);
        }
    }
    return 0;
}
PROC_FILE(schedstats) = {.path = "schedstat", .show = schedstats_show};

/* ---- /proc/sys/kernel (sched(7), "Limiting the CPU usage of real-time and deadline processes") ---- */

static int rt_period_show(struct text *text)
{
    text_printf(text, "%d\n", atomic_load_relaxed(&sched_tunables.rt_period_us));
    return 0;
}

static int rt_runtime_show(struct text *text)
{
    text_printf(text, "%d\n", atomic_load_relaxed(&sched_tunables.rt_runtime_us));
    return 0;
}

static struct mutex rt_lock = MUTEX_INIT(rt_lock); /* of who sets them */

/* Not below what deadline threads have been promised, nor more than there is. */
static int rt_set(int32_t *tunable, char *value, int64_t min)
{
    int64_t number;
    int err = proc_setting_parse(value, min, INT32_MAX, &number);

    if (err < 0) {
        return err;
    }
    mutex_lock(&rt_lock);
    int32_t old = atomic_load_relaxed(tunable);
    atomic_store_relaxed(tunable, (int32_t)number);
    if (atomic_load_relaxed(&sched_tunables.rt_runtime_us) >
        atomic_load_relaxed(&sched_tunables.rt_period_us)) {
        err = -EINVAL;
    } else if (!sched_bandwidth_fits()) {
        err = -EBUSY;
    }
    if (err < 0) {
        atomic_store_relaxed(tunable, old);
    }
    mutex_unlock(&rt_lock);
    return err;
}

static int rt_period_write(char *value, size_t len)
{
    (void)len;
    return rt_set(&sched_tunables.rt_period_us, value, 1);
}

static int rt_runtime_write(char *value, size_t len)
{
    (void)len;
    return rt_set(&sched_tunables.rt_runtime_us, value, -1);
}

PROC_FILE(sched_rt_period) = {.path = "sys/kernel/sched_rt_period_us",
                              .mode = 0644,
                              .show = rt_period_show,
                              .write = rt_period_write};
PROC_FILE(sched_rt_runtime) = {.path = "sys/kernel/sched_rt_runtime_us",
                               .mode = 0644,
                               .show = rt_runtime_show,
                               .write = rt_runtime_write};

PROC_SETTING(sched_dl_period_max, "sys/kernel/sched_deadline_period_max_us",
             sched_tunables.dl_period_max_us, atomic_load_relaxed(&sched_tunables.dl_period_min_us),
             UINT32_MAX);
PROC_SETTING(sched_dl_period_min, "sys/kernel/sched_deadline_period_min_us",
             sched_tunables.dl_period_min_us, 0,
             atomic_load_relaxed(&sched_tunables.dl_period_max_us));

static int rr_slice_show(struct text *text)
{
    text_printf(text, "%d\n", atomic_load_relaxed(&sched_tunables.rr_slice_ms));
    return 0;
}

/* Nothing, or less, means the usual slice again. */
static int rr_slice_write(char *value, size_t len)
{
    int64_t number;
    int err = proc_setting_parse(value, INT32_MIN, 100000, &number);

    (void)len;
    if (err == 0) {
        atomic_store_relaxed(&sched_tunables.rr_slice_ms,
                             number <= 0 ? SCHED_RR_MS : (int32_t)number);
    }
    return err;
}
PROC_FILE(sched_rr_timeslice) = {.path = "sys/kernel/sched_rr_timeslice_ms",
                                 .mode = 0644,
                                 .show = rr_slice_show,
                                 .write = rr_slice_write};
