/*
 * /sys/devices/system/cpu: the sets of CPUs, what each of them is, and switching them off and on: Documentation/ABI/stable/sysfs-devices-system-cpu,
 * admin-guide/cputopology.rst and core-api/cpu_hotplug.rst of Linux say what the files mean. What a CPU is is only told while it is online.
 */
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/fs/sysfs/sysfs.h"
#include "kernel/fs/textfs/text.h"
#include "kernel/machine/smp.h"
#include "kernel/machine/topology.h"
#include "kernel/sched/hotplug.h"

/* ---- the sets ---- */

static int mask_list_show(struct text *text, const struct cpumask *mask)
{
    text_bit_list(text, mask->bits, MAX_CPUS);
    text_putc(text, '\n');
    return 0;
}

static int mask_show(struct text *text, const struct cpumask *mask)
{
    text_bit_mask(text, mask->bits, cpu_count());
    text_putc(text, '\n');
    return 0;
}

static int online_show(struct text *text)
{
    return mask_list_show(text, cpus_online());
}

static int offline_show(struct text *text)
{
    struct cpumask mask;

    cpumask_set_all(&mask, cpu_count());
    (void)cpumask_andnot(&mask, &mask, cpus_online());
    return mask_list_show(text, &mask);
}

static int possible_show(struct text *text)
{
    struct cpumask mask;

    cpumask_set_all(&mask, cpu_count());
    return mask_list_show(text, &mask);
}

static int kernel_max_show(struct text *text)
{
    text_printf(text, "%u\n", MAX_CPUS - 1);
    return 0;
}

SYS_FILE(cpu_online) = {.path = "devices/system/cpu/online", .show = online_show};
SYS_FILE(cpu_offline) = {.path = "devices/system/cpu/offline", .show = offline_show};
SYS_FILE(cpu_possible) = {.path = "devices/system/cpu/possible", .show = possible_show};
SYS_FILE(cpu_present) = {.path = "devices/system/cpu/present", .show = possible_show};
SYS_FILE(cpu_kernel_max) = {.path = "devices/system/cpu/kernel_max", .show = kernel_max_show};

/* ---- one CPU ---- */

static int one_online_show(struct text *text, unsigned cpu)
{
    text_puts(text, cpu_is_online(cpu) ? "1\n" : "0\n");
    return 0;
}

/* As Linux reads truth values: the first character decides, of "on" and "off" the second. */
static int one_online_write(unsigned cpu, char *value, size_t len)
{
    char c = len > 1 && (value[0] | 0x20) == 'o' ? value[1] : len > 0 ? value[0] : '\0';

    switch (c) {
    case '1':
    case 'y':
    case 'Y':
    case 't':
    case 'T':
        return cpu_up(cpu);
    case '0':
    case 'f':
    case 'F':
        return cpu_down(cpu);
    case 'n':
    case 'N':
        return c != value[0] ? cpu_up(cpu) : cpu_down(cpu);
    default:
        return -EINVAL;
    }
}

/* Not of CPU 0, which stays. */
static const struct text_file online_file = {
    .path = "online", .mode = 0644, .show_for = one_online_show, .write_for = one_online_write};

static bool is_online(unsigned cpu)
{
    return cpu_is_online(cpu);
}

static const struct text_file topology_folder = {.path = "topology/", .there = is_online};
static const struct text_file cache_folder = {.path = "cache/", .there = is_online};

static int number_show(struct text *text, uint32_t value)
{
    text_printf(text, "%u\n", value);
    return 0;
}

static int package_show(struct text *text, unsigned cpu)
{
    return number_show(text, cpu_topology(cpu)->package);
}

static int die_show(struct text *text, unsigned cpu)
{
    return number_show(text, cpu_topology(cpu)->die);
}

static int core_show(struct text *text, unsigned cpu)
{
    return number_show(text, cpu_topology(cpu)->core);
}

#define GROUP_SHOW(name, group)                                                                    \
    static int name##_show(struct text *text, unsigned cpu)                                        \
    {                                                                                              \
        struct cpumask mask;                                                                       \
                                                                                                   \
        cpu_group_mask(cpu, group, &mask);                                                         \
        return mask_show(text, &mask);                                                             \
    }                                                                                              \
    static int name##_list_show(struct text *text, unsigned cpu)                                   \
    {                                                                                              \
        struct cpumask mask;                                                                       \
                                                                                                   \
        cpu_group_mask(cpu, group, &mask);                                                         \
        return mask_list_show(text, &mask);                                                        \
    }
GROUP_SHOW(core_cpus, CPU_GROUP_CORE)
GROUP_SHOW(die_cpus, CPU_GROUP_DIE)
GROUP_SHOW(package_cpus, CPU_GROUP_PACKAGE)

static const struct text_file topology_files[] = {
    {.path = "physical_package_id", .show_for = package_show},
    {.path = "die_id", .show_for = die_show},
    {.path = "core_id", .show_for = core_show},
    {.path = "core_cpus", .show_for = core_cpus_show},
    {.path = "core_cpus_list", .show_for = core_cpus_list_show},
    {.path = "thread_siblings", .show_for = core_cpus_show}, /* the older names */
    {.path = "thread_siblings_list", .show_for = core_cpus_list_show},
    {.path = "die_cpus", .show_for = die_cpus_show},
    {.path = "die_cpus_list", .show_for = die_cpus_list_show},
    {.path = "package_cpus", .show_for = package_cpus_show},
    {.path = "package_cpus_list", .show_for = package_cpus_list_show},
    {.path = "core_siblings", .show_for = package_cpus_show},
    {.path = "core_siblings_list", .show_for = package_cpus_list_show},
};

/* ---- its caches: the argument is CPU * CACHES_MAX + index ---- */

#define CACHES_MAX   8u
#define PATH_MAX_LEN 96u

static int cache_get(unsigned arg, struct cpu_cache *ret_cache)
{
    return cpu_cache(arg / CACHES_MAX, arg % CACHES_MAX, ret_cache) ? 0 : -ENODEV;
}

#define CACHE_SHOW(name, format, value)                                                            \
    static int cache_##name##_show(struct text *text, unsigned arg)                                \
    {                                                                                              \
        struct cpu_cache cache;                                                                    \
        int err = cache_get(arg, &cache);                                                          \
                                                                                                   \
        if (err == 0) {                                                                            \
            text_printf(text, format, value);                                                      \
        }                                                                                          \
        return err;                                                                                \
    }
CACHE_SHOW(level, "%u\n", cache.level)
CACHE_SHOW(id, "%u\n", cache.id)
CACHE_SHOW(line, "%u\n", cache.line_bytes)
CACHE_SHOW(sets, "%u\n", cache.sets)
CACHE_SHOW(ways, "%u\n", cache.ways)
CACHE_SHOW(partitions, "%u\n", cache.partitions)
CACHE_SHOW(size, "%lluK\n", (unsigned long long)(cache.size_bytes / 1024))
CACHE_SHOW(type, "%s\n",
           cache.type == CPU_CACHE_DATA          ? "Data"
           : cache.type == CPU_CACHE_INSTRUCTION ? "Instruction"
                                                 : "Unified")

static int cache_cpus_show(struct text *text, unsigned arg)
{
    struct cpumask mask;

    cpu_cache_mask(arg / CACHES_MAX, arg % CACHES_MAX, &mask);
    return mask_show(text, &mask);
}

static int cache_cpus_list_show(struct text *text, unsigned arg)
{
    struct cpumask mask;

    cpu_cache_mask(arg / CACHES_MAX, arg % CACHES_MAX, &mask);
    return mask_list_show(text, &mask);
}

static const struct text_file cache_files[] = {
    {.path = "level", .show_for = cache_level_show},
    {.path = "type", .show_for = cache_type_show},
    {.path = "id", .show_for = cache_id_show},
    {.path = "size", .show_for = cache_size_show},
    {.path = "coherency_line_size", .show_for = cache_line_show},
    {.path = "number_of_sets", .show_for = cache_sets_show},
    {.path = "ways_of_associativity", .show_for = cache_ways_show},
    {.path = "physical_line_partition", .show_for = cache_partitions_show},
    {.path = "shared_cpu_map", .show_for = cache_cpus_show},
    {.path = "shared_cpu_list", .show_for = cache_cpus_list_show},
};

static void add_file(struct text_tree *tree, const struct text_file *like, const char *folder,
                     unsigned arg)
{
    char path[PATH_MAX_LEN];
    struct text_file file = *like;

    file.arg = arg;
    (void)ksnprintf(path, sizeof(path), "%s/%s", folder, file.path);
    sysfs_add(tree, &file, path, NULL);
}

void sysfs_add_cpus(struct text_tree *tree)
{
    char folder[64];
    struct cpu_cache cache;
    unsigned cpu;

    for_each_cpu (cpu) {
        (void)ksnprintf(folder, sizeof(folder), "devices/system/cpu/cpu%u", cpu);
        add_file(tree, &topology_folder, folder, cpu);
        add_file(tree, &cache_folder, folder, cpu);
        if (cpu != 0) {
            add_file(tree, &online_file, folder, cpu);
        }
        (void)ksnprintf(folder, sizeof(folder), "devices/system/cpu/cpu%u/topology", cpu);
        for (size_t i = 0; i < ARRAY_SIZE(topology_files); i++) {
            add_file(tree, &topology_files[i], folder, cpu);
        }
        /* All CPUs of a machine have as many. */
        for (unsigned index = 0; index < CACHES_MAX && cpu_cache(0, index, &cache); index++) {
            (void)ksnprintf(folder, sizeof(folder), "devices/system/cpu/cpu%u/cache/index%u", cpu,
                            index);
            for (size_t i = 0; i < ARRAY_SIZE(cache_files); i++) {
                add_file(tree, &cache_files[i], folder, cpu * CACHES_MAX + index);
            }
        }
    }
}
