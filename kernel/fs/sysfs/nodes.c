/*
 * /sys/devices/system/node: NUMA nodes, their CPUs, memory and distances (Documentation/ABI/stable/sysfs-devices-node of Linux).
 */
#include "kernel/base/bitmap.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/fs/sysfs/sysfs.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/compact.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"

#define PATH_MAX_LEN 64u

/* ---- which there are ---- */

static int nodes_show(struct text *text, nodemask_t nodes)
{
    text_bit_list(text, &nodes, nodes_count());
    text_putc(text, '\n');
    return 0;
}

static int online_show(struct text *text)
{
    return nodes_show(text, nodes_online());
}

static int has_memory_show(struct text *text)
{
    return nodes_show(text, nodes_with_memory());
}

static int has_cpu_show(struct text *text)
{
    return nodes_show(text, nodes_with_cpu());
}

SYS_FILE(node_online) = {.path = "devices/system/node/online", .show = online_show};
SYS_FILE(node_possible) = {.path = "devices/system/node/possible", .show = online_show};
SYS_FILE(node_has_memory) = {.path = "devices/system/node/has_memory", .show = has_memory_show};
SYS_FILE(node_has_normal) = {.path = "devices/system/node/has_normal_memory",
                             .show = has_memory_show};
SYS_FILE(node_has_cpu) = {.path = "devices/system/node/has_cpu", .show = has_cpu_show};

/* ---- one ---- */

static void node_cpus(unsigned node, uint64_t cpus[MAX_CPUS / 64])
{
    unsigned cpu;

    memset(cpus, 0, MAX_CPUS / 8);
    for_each_online_cpu (cpu) {
        if (cpu_node(cpu) == node) {
            bitmap_set(cpus, cpu);
        }
    }
}

static int cpulist_show(struct text *text, unsigned node)
{
    uint64_t cpus[MAX_CPUS / 64];

    node_cpus(node, cpus);
    text_bit_list(text, cpus, cpu_count_possible());
    text_putc(text, '\n');
    return 0;
}

static int cpumap_show(struct text *text, unsigned node)
{
    uint64_t cpus[MAX_CPUS / 64];

    node_cpus(node, cpus);
    text_bit_mask(text, cpus, cpu_count_possible());
    text_putc(text, '\n');
    return 0;
}

static int distance_show(struct text *text, unsigned node)
{
    for (unsigned to = 0; to < nodes_count(); to++) {
        text_printf(text, to == 0 ? "%u" : " %u", node_distance(node, to));
    }
    text_putc(text, '\n');
    return 0;
}

static void line_kb(struct text *text, unsigned node, const char *name, uint64_t pages)
{
    text_printf(text, "Node %u %-15s %8llu kB\n", node, name,
                (unsigned long long)pages << (PAGE_SHIFT - 10));
}

static uint64_t lru_of(unsigned node, enum lru_list list)
{
    return node < lru_nodes() ? lru_count(node, list) : 0;
}

static int meminfo_show(struct text *text, unsigned node)
{
    struct node_stats stats;
    uint64_t anon, file;

    if (!node_stats(node, &stats)) {
        return -ENODEV;
    }
    anon = lru_of(node, LRU_ACTIVE_ANON);
    file = lru_of(node, LRU_ACTIVE_FILE);
    line_kb(text, node, "MemTotal:", stats.total);
    line_kb(text, node, "MemFree:", stats.free);
    line_kb(text, node, "MemUsed:", stats.total - stats.free);
    line_kb(text, node, "Active:", anon + file);
    line_kb(text, node,
            "Inactive:", lru_of(node, LRU_INACTIVE_ANON) + lru_of(node, LRU_INACTIVE_FILE));
    line_kb(text, node, "Active(anon):", anon);
    line_kb(text, node, "Inactive(anon):", lru_of(node, LRU_INACTIVE_ANON));
    line_kb(text, node, "Active(file):", file);
    line_kb(text, node, "Inactive(file):", lru_of(node, LRU_INACTIVE_FILE));
    line_kb(text, node, "Unevictable:", lru_of(node, LRU_UNEVICTABLE));
    line_kb(text, node, "Mlocked:", lru_of(node, LRU_UNEVICTABLE));
    line_kb(text, node, "FilePages:", stats.by_kind[PAGE_FILE] + stats.by_kind[PAGE_SHARED]);
    line_kb(text, node, "AnonPages:", stats.by_kind[PAGE_ANON]);
    line_kb(text, node, "Shmem:", stats.by_kind[PAGE_SHARED]);
    line_kb(text, node, "KernelStack:", stats.by_kind[PAGE_STACK]);
    line_kb(text, node, "PageTables:", stats.by_kind[PAGE_TABLE]);
    line_kb(text, node, "Slab:", stats.by_kind[PAGE_SLAB]);
    text_printf(text,
                "Node %u HugePages_Total:     0\nNode %u HugePages_Free:      0\n"
                "Node %u HugePages_Surp:      0\n",
                node, node, node);
    return 0;
}

static void count_show(struct text *text, const char *name, uint64_t value)
{
    text_printf(text, "%s %llu\n", name, (unsigned long long)value);
}

static int numa_show(struct text *text, unsigned node, const char *const names[NUMA_NSTATS])
{
    struct node_stats stats;

    if (!node_stats(node, &stats)) {
        return -ENODEV;
    }
    for (unsigned i = 0; i < NUMA_NSTATS; i++) {
        count_show(text, names[i], stats.numa[i]);
    }
    return 0;
}

static int numastat_show(struct text *text, unsigned node)
{
    static const char *const names[NUMA_NSTATS] = {"numa_hit",       "numa_miss",  "numa_foreign",
                                                   "interleave_hit", "local_node", "other_node"};

    return numa_show(text, node, names);
}

/* Linux' names, for what is counted here by node. */
static int vmstat_show(struct text *text, unsigned node)
{
    static const char *const names[NUMA_NSTATS] = {"numa_hit",        "numa_miss",  "numa_foreign",
                                                   "numa_interleave", "numa_local", "numa_other"};
    struct node_stats stats;

    if (!node_stats(node, &stats)) {
        return -ENODEV;
    }
    count_show(text, "nr_free_pages", stats.free);
    (void)numa_show(text, node, names);
    count_show(text, "nr_inactive_anon", lru_of(node, LRU_INACTIVE_ANON));
    count_show(text, "nr_active_anon", lru_of(node, LRU_ACTIVE_ANON));
    count_show(text, "nr_inactive_file", lru_of(node, LRU_INACTIVE_FILE));
    count_show(text, "nr_active_file", lru_of(node, LRU_ACTIVE_FILE));
    count_show(text, "nr_unevictable", lru_of(node, LRU_UNEVICTABLE));
    count_show(text, "nr_anon_pages", stats.by_kind[PAGE_ANON]);
    count_show(text, "nr_file_pages", stats.by_kind[PAGE_FILE] + stats.by_kind[PAGE_SHARED]);
    count_show(text, "nr_shmem", stats.by_kind[PAGE_SHARED]);
    count_show(text, "nr_kernel_stack", stats.by_kind[PAGE_STACK] << (PAGE_SHIFT - 10));
    count_show(text, "nr_page_table_pages", stats.by_kind[PAGE_TABLE]);
    return 0;
}

static int compact_write(unsigned node, char *value, size_t len)
{
    (void)value, (void)len;
    (void)frames_compact(node, FRAME_MAX_ORDER + 1);
    return 0;
}

static const struct text_file attributes[] = {
    {.path = "cpulist", .show_for = cpulist_show},
    {.path = "cpumap", .show_for = cpumap_show},
    {.path = "distance", .show_for = distance_show},
    {.path = "meminfo", .show_for = meminfo_show},
    {.path = "numastat", .show_for = numastat_show},
    {.path = "vmstat", .show_for = vmstat_show},
    {.path = "compact", .mode = 0200, .write_for = compact_write},
};

void sysfs_add_nodes(struct text_tree *tree)
{
    char path[PATH_MAX_LEN], target[PATH_MAX_LEN];
    unsigned cpu;

    for (unsigned node = 0; node < nodes_count(); node++) {
        for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
            struct text_file file = attributes[i];
            file.arg = node;
            (void)ksnprintf(path, sizeof(path), "devices/system/node/node%u/%s", node, file.path);
            sysfs_add(tree, &file, path, NULL);
        }
    }
    for_each_cpu (cpu) {
        (void)ksnprintf(path, sizeof(path), "devices/system/node/node%u/cpu%u", cpu_node(cpu), cpu);
        (void)ksnprintf(target, sizeof(target), "../../cpu/cpu%u", cpu);
        sysfs_add(tree, &(struct text_file){0}, path, target);
        (void)ksnprintf(path, sizeof(path), "devices/system/cpu/cpu%u/node%u", cpu, cpu_node(cpu));
        (void)ksnprintf(target, sizeof(target), "../../node/node%u", cpu_node(cpu));
        sysfs_add(tree, &(struct text_file){0}, path, target);
    }
}
