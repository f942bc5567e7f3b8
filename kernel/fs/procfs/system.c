/*
 * /proc: what there is to tell about the machine and the kernel as a whole, in proc(5)'s formats.
 */
#include <linux/capability.h>

#include "kernel/abi/boot.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/param.h"
#include "kernel/core/softirq.h"
#include "kernel/core/symbols.h"
#include "kernel/core/time.h"
#include "kernel/dev/zram.h"
#include "kernel/fs/procfs/procfs.h"
#include "kernel/irq/irq.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/resource.h"
#include "kernel/proc/uts.h"
#include "kernel/vm/swap.h"

#define USER_HZ 100

static unsigned long long ticks(ktime_t ns)
{
    return (unsigned long long)ns / (NS_PER_S / USER_HZ);
}

/* Seconds with two digits behind the point. */
static void centiseconds(struct text *text, ktime_t ns)
{
    unsigned long long cs = (unsigned long long)ns / (NS_PER_S / 100);

    text_printf(text, "%llu.%02llu", cs / 100, cs % 100);
}

static int uptime_show(struct text *text)
{
    struct sched_cpu_stats stats;
    ktime_t idle = 0;
    unsigned cpu;

    for_each_cpu (cpu) {
        sched_cpu_stats(cpu, &stats);
        idle += stats.idle_ns;
    }
    centiseconds(text, ktime_now());
    text_putc(text, ' ');
    centiseconds(text, idle);
    text_putc(text, '\n');
    return 0;
}

static int loadavg_show(struct text *text)
{
    uint64_t load[3];

    sched_load(load);
    for (int i = 0; i < 3; i++) {
        /* 11 fraction bits, rounded to hundredths. */
        uint64_t value = load[i] + 2048 / 200;
        text_printf(text, "%llu.%02llu ", (unsigned long long)(value >> 11),
                    (unsigned long long)((value & 2047) * 100 >> 11));
    }
    text_printf(text, "%u/%llu %d\n", sched_nr_running(), (unsigned long long)process_count(),
                pid_last_allocated());
    return 0;
}

/* ---- stat ---- */

/* proc(5), "cpu": user, nice, system, idle, iowait, irq, softirq; there are no hosts that steal, and no guests. */
static void cpu_line(struct text *text, const char *label, const struct sched_cpu_stats *stats)
{
    const ktime_t columns[] = {stats->user_ns,   stats->nice_ns, stats->system_ns, stats->idle_ns,
                               stats->iowait_ns, stats->irq_ns,  stats->softirq_ns};

    text_puts(text, label);
    for (unsigned i = 0; i < ARRAY_SIZE(columns); i++) {
        text_number(text, ticks(columns[i]));
    }
    text_puts(text, " 0 0 0\n");
}

/* *ret_all: the switches and waiting threads of all. */
static void cpu_lines(struct text *text, struct sched_cpu_stats *ret_all)
{
    struct sched_cpu_stats all = {0}, one;
    char label[16];
    unsigned cpu;

    for_each_cpu (cpu) {
        sched_cpu_stats(cpu, &one);
        all.user_ns += one.user_ns;
        all.nice_ns += one.nice_ns;
        all.system_ns += one.system_ns;
        all.idle_ns += one.idle_ns;
        all.iowait_ns += one.iowait_ns;
        all.irq_ns += one.irq_ns;
        all.softirq_ns += one.softirq_ns;
        all.switches += one.switches;
        all.niowait += one.niowait;
    }
    cpu_line(text, "cpu ", &all);
    for_each_online_cpu (cpu) {
        sched_cpu_stats(cpu, &one);
        (void)ksnprintf(label, sizeof(label), "cpu%u", cpu);
        cpu_line(text, label, &one);
    }
    *ret_all = all;
}

/* All that were taken, then each line's. */
static void interrupts_line(struct text *text)
{
    uint64_t total = 0;
    unsigned cpu;

    for_each_cpu (cpu) {
        total += READ_ONCE(cpu_by_id(cpu)->irq_count);
    }
    text_printf(text, "intr %llu", (unsigned long long)total);
    for (unsigned line = 0; line < irq_limit(); line++) {
        uint64_t sum = 0;
        for_each_cpu (cpu) {
            sum += irq_count(line, cpu);
        }
        text_number(text, sum);
    }
    text_putc(text, '\n');
}

/* The same of softirqs. */
static void softirqs_line(struct text *text)
{
    uint64_t sums[SOFTIRQS] = {0}, total = 0;
    unsigned cpu;

    for (unsigned vector = 0; vector < SOFTIRQS; vector++) {
        for_each_cpu (cpu) {
            sums[vector] += softirq_count(vector, cpu);
        }
        total += sums[vector];
    }
    text_printf(text, "softirq %llu", (unsigned long long)total);
    for (unsigned vector = 0; vector < SOFTIRQS; vector++) {
        text_number(text, sums[vector]);
    }
    text_putc(text, '\n');
}

static int stat_show(struct text *text)
{
    ktime_t boot = ktime_realtime() - ktime_now();
    struct sched_cpu_stats all;

    cpu_lines(text, &all);
    interrupts_line(text);
    text_printf(text, "ctxt %llu\nbtime %llu\nprocesses %llu\n", (unsigned long long)all.switches,
                (unsigned long long)(boot / NS_PER_S), (unsigned long long)sched_total_forks());
    text_printf(text, "procs_running %u\nprocs_blocked %u\n", sched_nr_running(), all.niowait);
    softirqs_line(text);
    return 0;
}

/* ---- identity ---- */

static int version_show(struct text *text)
{
    struct new_utsname name;

    uts_get(&name);
    text_printf(text, "%s version %s (%s) %s\n", name.sysname, name.release, kernel_banner(),
                name.version);
    return 0;
}

static int cmdline_show(struct text *text)
{
    text_printf(text, "%s\n", param_cmdline());
    return 0;
}

#define CPU_TEXT_BYTES 4096u

static int cpuinfo_show(struct text *text)
{
    unsigned cpu;

    for_each_online_cpu (cpu) {
        char *at = text_reserve(text, CPU_TEXT_BYTES);
        if (at != NULL) {
            text->len += (size_t)cpu_describe(cpu, at, CPU_TEXT_BYTES);
        }
    }
    return 0;
}

static int filesystems_show(struct text *text)
{
    const struct filesystem *fs;

    for (unsigned i = 0; (fs = filesystem_at(i)) != NULL; i++) {
        text_printf(text, "%s\t%s\n", (fs->flags & FS_NODEV) != 0 ? "nodev" : "", fs->name);
    }
    return 0;
}

static int devices_show(struct text *text)
{
    const char *name;
    uint32_t major;

    text_puts(text, "Character devices:\n");
    for (unsigned i = 0; chrdev_describe(i, &major, &name); i++) {
        text_printf(text, "%3u %s\n", major, name);
    }
    text_puts(text, "\nBlock devices:\n");
    for (unsigned i = 0; blkdev_describe(i, &major, &name); i++) {
        text_printf(text, "%3u %s\n", major, name);
    }
    return 0;
}

/* ---- hardware ---- */

/* Addresses are for the administrator only. */
static void resource_lines(struct text *text, struct resource_space *space, unsigned digits)
{
    bool told = current_has_cap(CAP_SYS_ADMIN);
    struct resource_info info;

    for (unsigned i = 0; resource_describe(space, i, &info); i++) {
        for (unsigned depth = 0; depth < info.depth; depth++) {
            text_puts(text, "  ");
        }
        text_hex(text, told ? info.start : 0, digits);
        text_putc(text, '-');
        text_hex(text, told ? info.last : 0, digits);
        text_printf(text, " : %s\n", info.name);
    }
}

static int iomem_show(struct text *text)
{
    resource_lines(text, &resource_memory, 8);
    return 0;
}

static int ioports_show(struct text *text)
{
    resource_lines(text, &resource_ports, 4);
    return 0;
}

/* ---- files and disks ---- */

#define LOCK_LINE_BYTES 256u

static int locks_show(struct text *text)
{
    size_t n = 1;

    for (unsigned i = 0; n > 0; i++) {
        char *at = text_reserve(text, LOCK_LINE_BYTES);
        n = at == NULL ? 0 : vfs_locks_describe(i, at, LOCK_LINE_BYTES);
        text->len += n;
    }
    return 0;
}

/* proc(5): columns apart by tabs, sizes in KiB. Numbers of eight digits reach into the second tab. */
static int swaps_show(struct text *text)
{
    struct swap_area_stats area;

    text_puts(text, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    for (unsigned i = 0; swap_area_describe(i, &area); i++) {
        unsigned long long size = area.nslots << (PAGE_SHIFT - 10);
        unsigned long long used = area.nused << (PAGE_SHIFT - 10);
        size_t start = text->len;
        text_escaped(text, area.path, " \t\n\\");
        size_t len = text->len - start;
        for (size_t pad = len < 40 ? 40 - len : 1; pad > 0; pad--) {
            text_putc(text, ' ');
        }
        text_printf(text, "%s\t%llu\t%s%llu\t%s%d\n", area.is_partition ? "partition" : "file\t",
                    size, size < 10000000 ? "\t" : "", used, used < 10000000 ? "\t" : "",
                    area.priority);
    }
    return 0;
}

static int partitions_show(struct text *text)
{
    text_puts(text, "major minor  #blocks  name\n\n");
    for (unsigned i = 0; i < zram_count(); i++) {
        uint64_t size = zram_disksize(i);
        if (size > 0) {
            text_printf(text, "%4u  %7u %10llu zram%u\n", ZRAM_MAJOR, i,
                        (unsigned long long)size >> 10, i);
        }
    }
    return 0;
}

/* Documentation/admin-guide/iostats.rst. What is in memory takes no time and merges nothing; a request counts as one a page. */
#define SECTORS_PER_PAGE (PAGE_SIZE >> 9)

static int diskstats_show(struct text *text)
{
    struct zram_stats stats;

    for (unsigned i = 0; i < zram_count(); i++) {
        zram_stats(i, &stats);
        text_printf(text, "%4u %7u zram%u %llu 0 %llu 0 %llu 0 %llu 0 0 0 0 0 0 0 0 0 0\n",
                    ZRAM_MAJOR, i, i,
                    DIV_ROUND_UP((unsigned long long)stats.reads, SECTORS_PER_PAGE),
                    (unsigned long long)stats.reads,
                    DIV_ROUND_UP((unsigned long long)stats.writes, SECTORS_PER_PAGE),
                    (unsigned long long)stats.writes);
    }
    return 0;
}

PROC_FILE(uptime) = {.path = "uptime", .show = uptime_show};
PROC_FILE(loadavg) = {.path = "loadavg", .show = loadavg_show};
PROC_FILE(stat) = {.path = "stat", .show = stat_show};
PROC_FILE(version) = {.path = "version", .show = version_show};
PROC_FILE(cmdline) = {.path = "cmdline", .show = cmdline_show};
PROC_FILE(cpuinfo) = {.path = "cpuinfo", .show = cpuinfo_show};
PROC_FILE(filesystems) = {.path = "filesystems", .show = filesystems_show};
PROC_FILE(devices) = {.path = "devices", .show = devices_show};
PROC_FILE(iomem) = {.path = "iomem", .show = iomem_show};
PROC_FILE(ioports) = {.path = "ioports", .show = ioports_show};
PROC_FILE(locks) = {.path = "locks", .show = locks_show};
PROC_FILE(swaps) = {.path = "swaps", .show = swaps_show};
PROC_FILE(diskstats) = {.path = "diskstats", .show = diskstats_show};
PROC_FILE(partitions) = {.path = "partitions", .show = partitions_show};
PROC_FILE(mounts) = {.path = "mounts", .link_target = "self/mounts"};
