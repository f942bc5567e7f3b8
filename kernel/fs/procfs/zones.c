/*
 * /proc/{buddyinfo,pagetypeinfo,zoneinfo}: free memory as the frame allocator keeps it (proc(5)).
 *
 * Linux has zones that this kernel does not: Movable and Device are printed empty. Figures that are kept by node are shown in the node's
 * highest zone.
 */
#include "kernel/fs/procfs/procfs.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/vm/workingset.h"

/* ZONE_COUNT of them have memory. */
static const char *const zone_names[] = {"DMA", "DMA32", "Normal", "Movable", "Device"};

/* As Linux lists them; MIGRATE_NTYPES: not here. */
static const struct {
    const char *name;
    enum migrate_type type;
} types[] = {{"Unmovable", MIGRATE_UNMOVABLE},
             {"Movable", MIGRATE_MOVABLE},
             {"Reclaimable", MIGRATE_RECLAIMABLE},
             {"HighAtomic", MIGRATE_NTYPES},
             {"Isolate", MIGRATE_ISOLATE}};

static int buddyinfo_show(struct text *text)
{
    struct zone_stats zone;

    for (unsigned i = 0; i < nodes_count() * ZONE_COUNT; i++) {
        if (!zone_stats(i / ZONE_COUNT, (enum zone_id)(i % ZONE_COUNT), &zone)) {
            continue;
        }
        text_printf(text, "Node %u, zone %8s ", i / ZONE_COUNT, zone.name);
        for (unsigned order = 0; order <= FRAME_MAX_ORDER; order++) {
            text_printf(text, "%6llu ", (unsigned long long)zone.free_by_order[order]);
        }
        text_putc(text, '\n');
    }
    return 0;
}

/* ---- pagetypeinfo ---- */

static void free_by_type_show(struct text *text, unsigned node, const struct zone_stats *zone)
{
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
        text_printf(text, "Node %4u, zone %8s, type %12s ", node, zone->name, types[i].name);
        for (unsigned order = 0; order <= FRAME_MAX_ORDER; order++) {
            bool here = types[i].type != MIGRATE_NTYPES;
            uint64_t n = here ? zone->free_by_type[types[i].type][order] : 0;
            text_printf(text, "%6llu ", (unsigned long long)n);
        }
        text_putc(text, '\n');
    }
}

static int pagetypeinfo_show(struct text *text)
{
    struct zone_stats zone;
    uint64_t blocks[MIGRATE_NTYPES];

    text_printf(text, "Page block order: %u\nPages per block:  %u\n\n%-43s ", FRAME_PAGEBLOCK_ORDER,
                1u << FRAME_PAGEBLOCK_ORDER, "Free pages count per migrate type at order");
    for (unsigned order = 0; order <= FRAME_MAX_ORDER; order++) {
        text_printf(text, "%6u ", order);
    }
    text_putc(text, '\n');
    for (unsigned i = 0; i < nodes_count() * ZONE_COUNT; i++) {
        if (zone_stats(i / ZONE_COUNT, (enum zone_id)(i % ZONE_COUNT), &zone)) {
            free_by_type_show(text, i / ZONE_COUNT, &zone);
        }
    }
    text_printf(text, "\n%-23s", "Number of blocks type ");
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
        text_printf(text, "%12s ", types[i].name);
    }
    text_putc(text, '\n');
    for (unsigned i = 0; i < nodes_count() * ZONE_COUNT; i++) {
        if (!zone_blocks(i / ZONE_COUNT, (enum zone_id)(i % ZONE_COUNT), blocks)) {
            continue;
        }
        text_printf(text, "Node %u, zone %8s ", i / ZONE_COUNT, zone_names[i % ZONE_COUNT]);
        for (unsigned t = 0; t < ARRAY_SIZE(types); t++) {
            uint64_t n = types[t].type != MIGRATE_NTYPES ? blocks[types[t].type] : 0;
            text_printf(text, "%12llu ", (unsigned long long)n);
        }
        text_putc(text, '\n');
    }
    return 0;
}

/* ---- zoneinfo ---- */

static void stat_show(struct text *text, const char *name, uint64_t value)
{
    text_printf(text, "\n      %-12s %llu", name, (unsigned long long)value);
}

/* The counters from `names` on, which nothing here counts. */
static void zeros_show(struct text *text, const char *const *names, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        stat_show(text, names[i], 0);
    }
}

static uint64_t lru_of(unsigned node, enum lru_list list)
{
    return node < lru_nodes() ? lru_count(node, list) : 0;
}

static void workingset_show(struct text *text, unsigned id)
{
    struct workingset_stats stats;

    workingset_stats(id, &stats);
    stat_show(text, "workingset_nodes", stats.nodes);
    stat_show(text, "workingset_refault_anon", stats.refault[0]);
    stat_show(text, "workingset_refault_file", stats.refault[1]);
    stat_show(text, "workingset_activate_anon", stats.activate[0]);
    stat_show(text, "workingset_activate_file", stats.activate[1]);
    stat_show(text, "workingset_restore_anon", stats.restore[0]);
    stat_show(text, "workingset_restore_file", stats.restore[1]);
    stat_show(text, "workingset_nodereclaim", stats.reclaimed_nodes);
}

static void node_show(struct text *text, unsigned id, const struct node_stats *node)
{
    static const char *const isolated[] = {"nr_isolated_anon", "nr_isolated_file"};
    static const char *const writing[] = {"nr_shmem_hugepages",
                                          "nr_shmem_pmdmapped",
                                          "nr_file_hugepages",
                                          "nr_file_pmdmapped",
                                          "nr_anon_transparent_hugepages",
                                          "nr_vmscan_write",
                                          "nr_vmscan_immediate_reclaim",
                                          "nr_dirtied",
                                          "nr_written",
                                          "nr_throttled_written",
                                          "nr_kernel_misc_reclaimable",
                                          "nr_foll_pin_acquired",
                                          "nr_foll_pin_released"};
    static const char *const clean[] = {"nr_dirty", "nr_writeback", "nr_writeback_temp"};
    const uint64_t *by_kind = node->by_kind;

    text_puts(text, "\n  per-node stats");
    stat_show(text, "nr_inactive_anon", lru_of(id, LRU_INACTIVE_ANON));
    stat_show(text, "nr_active_anon", lru_of(id, LRU_ACTIVE_ANON));
    stat_show(text, "nr_inactive_file", lru_of(id, LRU_INACTIVE_FILE));
    stat_show(text, "nr_active_file", lru_of(id, LRU_ACTIVE_FILE));
    stat_show(text, "nr_unevictable", lru_of(id, LRU_UNEVICTABLE));
    stat_show(text, "nr_slab_reclaimable", 0);
    stat_show(text, "nr_slab_unreclaimable", by_kind[PAGE_SLAB]);
    zeros_show(text, isolated, ARRAY_SIZE(isolated));
    workingset_show(text, id);
    stat_show(text, "nr_anon_pages", by_kind[PAGE_ANON]);
    stat_show(text, "nr_mapped", 0);
    stat_show(text, "nr_file_pages", by_kind[PAGE_FILE] + by_kind[PAGE_SHARED]);
    zeros_show(text, clean, ARRAY_SIZE(clean));
    stat_show(text, "nr_shmem", by_kind[PAGE_SHARED]);
    zeros_show(text, writing, ARRAY_SIZE(writing));
    stat_show(text, "nr_kernel_stack", by_kind[PAGE_STACK] << (PAGE_SHIFT - 10));
    stat_show(text, "nr_page_table_pages", by_kind[PAGE_TABLE]);
    stat_show(text, "nr_sec_page_table_pages", 0);
    stat_show(text, "nr_swapcached", 0);
}

static void pages_show(struct text *text, const struct zone_stats *zone)
{
    const struct {
        const char *name;
        uint64_t value;
    } lines[] = {
        {"\n  pages free    ", zone->free},
        {"\n        boost   ", 0},
        {"\n        min     ", zone->min},
        {"\n        low     ", zone->low},
        {"\n        high    ", zone->high},
        {"\n        spanned ", zone->end - zone->start},
        {"\n        present ", zone->present},
        {"\n        managed ", zone->managed},
        {"\n        cma     ", 0},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
        text_puts(text, lines[i].name);
        text_number(text, lines[i].value);
    }
    text_puts(text, "\n        protection: (");
    for (unsigned id = 0; id < ARRAY_SIZE(zone_names); id++) {
        /* Movable and Device lie behind the last zone and add nothing. */
        uint64_t kept = zone->protection[MIN(id, (unsigned)ZONE_NORMAL)];
        text_printf(text, id == 0 ? "%llu" : ", %llu", (unsigned long long)kept);
    }
    text_putc(text, ')');
}

static void counters_show(struct text *text, unsigned id, const struct zone_stats *zone,
                          const struct node_stats *node)
{
    static const char *const lists[] = {"nr_zone_inactive_anon", "nr_zone_active_anon",
                                        "nr_zone_inactive_file", "nr_zone_active_file",
                                        "nr_zone_unevictable"};
    static const char *const others[] = {"nr_zone_write_pending", "nr_mlock", "nr_bounce",
                                         "nr_zspages", "nr_free_cma"};
    static const char *const numa[NUMA_NSTATS] = {"numa_hit",        "numa_miss",  "numa_foreign",
                                                  "numa_interleave", "numa_local", "numa_other"};
    static const enum lru_list order[] = {LRU_INACTIVE_ANON, LRU_ACTIVE_ANON, LRU_INACTIVE_FILE,
                                          LRU_ACTIVE_FILE, LRU_UNEVICTABLE};

    stat_show(text, "nr_free_pages", zone->free);
    for (unsigned i = 0; i < ARRAY_SIZE(lists); i++) {
        stat_show(text, lists[i], node == NULL ? 0 : lru_of(id, order[i]));
    }
    zeros_show(text, others, ARRAY_SIZE(others));
    for (unsigned i = 0; i < NUMA_NSTATS; i++) {
        stat_show(text, numa[i], node == NULL ? 0 : node->numa[i]);
    }
}

static void pagesets_show(struct text *text, bool highest)
{
    unsigned cpu;

    text_puts(text, "\n  pagesets");
    for_each_online_cpu (cpu) {
        struct frame_cpu_stats stats = {0};
        if (highest) {
            frame_cpu_stats(cpu, &stats);
        }
        text_printf(text,
                    "\n    cpu: %u\n              count: %u\n              high:  %u\n"
                    "              batch: %u\n  vm stats threshold: 0",
                    cpu, stats.count, stats.high, stats.batch);
    }
}

static int zoneinfo_show(struct text *text)
{
    for (unsigned node = 0; node < nodes_count(); node++) {
        struct zone_stats zone;
        struct node_stats figures;
        bool first = true;
        unsigned highest = ZONE_COUNT;

        (void)node_stats(node, &figures);
        for (unsigned id = 0; id < ZONE_COUNT; id++) {
            highest = zone_stats(node, (enum zone_id)id, &zone) ? id : highest;
        }
        for (unsigned id = 0; id < ARRAY_SIZE(zone_names); id++) {
            bool populated = id < ZONE_COUNT && zone_stats(node, (enum zone_id)id, &zone);
            text_printf(text, "Node %u, zone %8s", node, zone_names[id]);
            if (!populated) {
                zone = (struct zone_stats){0};
            } else if (first) {
                node_show(text, node, &figures);
                first = false;
            }
            pages_show(text, &zone);
            if (populated) {
                counters_show(text, node, &zone, id == highest ? &figures : NULL);
                pagesets_show(text, id == highest);
                text_printf(text, "\n  node_unreclaimable:  0\n  start_pfn:           %llu",
                            (unsigned long long)zone.start);
            }
            text_putc(text, '\n');
        }
    }
    return 0;
}

PROC_FILE(buddyinfo) = {.path = "buddyinfo", .show = buddyinfo_show};
PROC_FILE(pagetypeinfo) = {.path = "pagetypeinfo", .mode = 0400, .show = pagetypeinfo_show};
PROC_FILE(zoneinfo) = {.path = "zoneinfo", .show = zoneinfo_show};
