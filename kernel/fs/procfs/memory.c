/*
 * /proc/{meminfo,vmstat,vmallocinfo,slabinfo}. What this kernel does not have (huge page pools) is truly 0.
 */
#include "kernel/fs/procfs/procfs.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/compact.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/mm/slab.h"
#include "kernel/proc/oom.h"
#include "kernel/vm/huge.h"
#include "kernel/vm/migrate.h"
#include "kernel/vm/reclaim.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/tunables.h"
#include "kernel/vm/vmspace.h"
#include "kernel/vm/workingset.h"
#include "kernel/vm/writeback.h"

static void line_kb(struct text *text, const char *name, uint64_t pages)
{
    text_printf(text, "%-15s %8llu kB\n", name, (unsigned long long)pages << (PAGE_SHIFT - 10));
}

/* What both meminfo and vmstat are made of, read once. */
struct figures {
    struct frame_stats frames;
    struct swap_stats swap;
    struct writeback_stats dirt;
    struct vm_stats vm;
    struct huge_stats huge;
    struct mmu_stats mmu;
    uint64_t lru[LRU_NLISTS];
    uint64_t slab_reclaimable, stacks;
    uint64_t low, reserved; /* sums of watermarks: `low`, and what is not for programs */
};

static void figures_read(struct figures *ret)
{
    struct zone_stats zone;

    frame_stats(&ret->frames);
    vm_stats(&ret->vm);
    huge_stats(&ret->huge);
    swap_stats(&ret->swap);
    writeback_stats(&ret->dirt);
    mmu_stats(&ret->mmu);
    for (unsigned list = 0; list < LRU_NLISTS; list++) {
        ret->lru[list] = 0;
        for (unsigned node = 0; node < lru_nodes(); node++) {
            ret->lru[list] += lru_count(node, (enum lru_list)list);
        }
    }
    ret->slab_reclaimable = MIN(slab_reclaimable_pages(), ret->frames.by_kind[PAGE_SLAB]);
    ret->stacks = ret->frames.by_kind[PAGE_STACK];
    ret->low = ret->reserved = 0;
    for (unsigned i = 0; i < nodes_count() * ZONE_COUNT; i++) {
        if (zone_stats(i / ZONE_COUNT, (enum zone_id)(i % ZONE_COUNT), &zone)) {
            ret->low += zone.low;
            ret->reserved += zone.high;
        }
    }
}

/* What a new program could have without swap: free memory, and of caches what reclaim would not rather leave. */
static uint64_t available(const struct figures *f)
{
    uint64_t cache = f->lru[LRU_ACTIVE_FILE] + f->lru[LRU_INACTIVE_FILE];
    uint64_t free = f->frames.free > f->reserved ? f->frames.free - f->reserved : 0;

    cache -= MIN(cache / 2, f->low);
    return free + cache + f->slab_reclaimable - MIN(f->slab_reclaimable / 2, f->low);
}

static void meminfo_lists(struct text *text, const struct figures *f)
{
    line_kb(text, "Active:", f->lru[LRU_ACTIVE_ANON] + f->lru[LRU_ACTIVE_FILE]);
    line_kb(text, "Inactive:", f->lru[LRU_INACTIVE_ANON] + f->lru[LRU_INACTIVE_FILE]);
    line_kb(text, "Active(anon):", f->lru[LRU_ACTIVE_ANON]);
    line_kb(text, "Inactive(anon):", f->lru[LRU_INACTIVE_ANON]);
    line_kb(text, "Active(file):", f->lru[LRU_ACTIVE_FILE]);
    line_kb(text, "Inactive(file):", f->lru[LRU_INACTIVE_FILE]);
    line_kb(text, "Unevictable:", f->lru[LRU_UNEVICTABLE]);
    line_kb(text, "Mlocked:", f->lru[LRU_UNEVICTABLE]); /* the one reason to be there */
}

static void meminfo_kernel(struct text *text, const struct figures *f)
{
    line_kb(text, "KReclaimable:", f->slab_reclaimable);
    line_kb(text, "Slab:", f->frames.by_kind[PAGE_SLAB]);
    line_kb(text, "SReclaimable:", f->slab_reclaimable);
    line_kb(text, "SUnreclaim:", f->frames.by_kind[PAGE_SLAB] - f->slab_reclaimable);
    line_kb(text, "KernelStack:", f->stacks);
    line_kb(text, "PageTables:", f->frames.by_kind[PAGE_TABLE]);
    line_kb(text, "NFS_Unstable:", 0);
    line_kb(text, "Bounce:", 0);
    line_kb(text, "WritebackTmp:", 0);
    line_kb(text, "CommitLimit:", vm_commit_limit());
    line_kb(text, "Committed_AS:", f->vm.committed_pages);
    line_kb(text, "VmallocTotal:", BOOT_ARENA_SIZE >> PAGE_SHIFT);
    line_kb(text, "VmallocUsed:", vmalloc_pages() + f->stacks);
    line_kb(text, "VmallocChunk:", 0);
    line_kb(text, "Percpu:", 0);
    text_puts(text, "HardwareCorrupted:     0 kB\n");
}

static int meminfo_show(struct text *text)
{
    struct figures f;

    figures_read(&f);
    line_kb(text, "MemTotal:", f.frames.total);
    line_kb(text, "MemFree:", f.frames.free);
    line_kb(text, "MemAvailable:", available(&f));
    line_kb(text, "Buffers:", 0);
    line_kb(text, "Cached:", f.vm.page_cache_pages + f.vm.shared_pages);
    line_kb(text, "SwapCached:", f.swap.cached);
    meminfo_lists(text, &f);
    line_kb(text, "SwapTotal:", f.swap.total);
    line_kb(text, "SwapFree:", f.swap.free);
    line_kb(text, "Dirty:", f.dirt.dirty);
    line_kb(text, "Writeback:", f.dirt.writeback);
    line_kb(text, "AnonPages:", f.vm.anon_pages);
    line_kb(text, "Mapped:", f.vm.mapped_pages);
    line_kb(text, "Shmem:", f.vm.shared_pages);
    meminfo_kernel(text, &f);
    line_kb(text, "AnonHugePages:", f.huge.leaves * HUGE_PAGES);
    line_kb(text, "ShmemHugePages:", 0);
    line_kb(text, "ShmemPmdMapped:", 0);
    line_kb(text, "FileHugePages:", 0);
    line_kb(text, "FilePmdMapped:", 0);
    text_puts(
        text,
        "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n"
        "HugePages_Surp:        0\nHugepagesize:       2048 kB\nHugetlb:               0 kB\n");
    return 0;
}

static void line_count(struct text *text, const char *name, uint64_t value)
{
    text_puts(text, name);
    text_number(text, value);
    text_putc(text, '\n');
}

static void reclaim_lines(struct text *text)
{
    struct reclaim_stats stats;

    reclaim_stats(&stats);
    line_count(text, "allocstall_normal", stats.allocstall);
    line_count(text, "pgactivate", stats.pgactivate);
    line_count(text, "pgdeactivate", stats.pgdeactivate);
    line_count(text, "pgrefill", stats.pgrefill);
    line_count(text, "pgsteal_kswapd", stats.pgsteal_kswapd);
    line_count(text, "pgsteal_direct", stats.pgsteal_direct);
    line_count(text, "pgscan_kswapd", stats.pgscan_kswapd);
    line_count(text, "pgscan_direct", stats.pgscan_direct);
    line_count(text, "pgscan_anon", stats.pgscan_anon);
    line_count(text, "pgscan_file", stats.pgscan_file);
    line_count(text, "pgsteal_anon", stats.pgsteal_anon);
    line_count(text, "pgsteal_file", stats.pgsteal_file);
    line_count(text, "slabs_scanned", stats.slabs_scanned);
    line_count(text, "pageoutrun", stats.kswapd_wakes);
}

static void workingset_lines(struct text *text)
{
    struct workingset_stats sums = {0};

    for (unsigned node = 0; node < nodes_count(); node++) {
        struct workingset_stats stats;
        workingset_stats(node, &stats);
        for (unsigned type = 0; type < 2; type++) {
            sums.refault[type] += stats.refault[type];
            sums.activate[type] += stats.activate[type];
            sums.restore[type] += stats.restore[type];
        }
        sums.nodes += stats.nodes;
        sums.reclaimed_nodes += stats.reclaimed_nodes;
    }
    line_count(text, "workingset_nodes", sums.nodes);
    line_count(text, "workingset_refault_anon", sums.refault[0]);
    line_count(text, "workingset_refault_file", sums.refault[1]);
    line_count(text, "workingset_activate_anon", sums.activate[0]);
    line_count(text, "workingset_activate_file", sums.activate[1]);
    line_count(text, "workingset_restore_anon", sums.restore[0]);
    line_count(text, "workingset_restore_file", sums.restore[1]);
    line_count(text, "workingset_nodereclaim", sums.reclaimed_nodes);
}

static void move_lines(struct text *text)
{
    struct compact_stats compact;
    struct migrate_stats migrate;

    compact_stats(&compact);
    migrate_stats(&migrate);
    line_count(text, "pgmigrate_success", migrate.success);
    line_count(text, "pgmigrate_fail", migrate.failed);
    line_count(text, "compact_migrate_scanned", compact.migrate_scanned);
    line_count(text, "compact_isolated", compact.isolated);
    line_count(text, "compact_stall", compact.stall);
    line_count(text, "compact_fail", compact.stall - compact.success);
    line_count(text, "compact_success", compact.success);
}

static void numa_lines(struct text *text)
{
    static const char *const names[NUMA_NSTATS] = {"numa_hit",        "numa_miss",  "numa_foreign",
                                                   "numa_interleave", "numa_local", "numa_other"};
    uint64_t sums[NUMA_NSTATS] = {0};
    struct node_stats node;

    for (unsigned id = 0; node_stats(id, &node); id++) {
        for (unsigned i = 0; i < NUMA_NSTATS; i++) {
            sums[i] += node.numa[i];
        }
    }
    for (unsigned i = 0; i < NUMA_NSTATS; i++) {
        line_count(text, names[i], sums[i]);
    }
}

/* Linux' names, for what is counted here. */
static int vmstat_show(struct text *text)
{
    struct figures f;

    figures_read(&f);
    line_count(text, "nr_free_pages", f.frames.free);
    numa_lines(text);
    line_count(text, "nr_zone_inactive_anon", f.lru[LRU_INACTIVE_ANON]);
    line_count(text, "nr_zone_active_anon", f.lru[LRU_ACTIVE_ANON]);
    line_count(text, "nr_zone_inactive_file", f.lru[LRU_INACTIVE_FILE]);
    line_count(text, "nr_zone_active_file", f.lru[LRU_ACTIVE_FILE]);
    line_count(text, "nr_zone_unevictable", f.lru[LRU_UNEVICTABLE]);
    line_count(text, "nr_mlock", f.lru[LRU_UNEVICTABLE]);
    line_count(text, "nr_inactive_anon", f.lru[LRU_INACTIVE_ANON]);
    line_count(text, "nr_active_anon", f.lru[LRU_ACTIVE_ANON]);
    line_count(text, "nr_inactive_file", f.lru[LRU_INACTIVE_FILE]);
    line_count(text, "nr_active_file", f.lru[LRU_ACTIVE_FILE]);
    line_count(text, "nr_unevictable", f.lru[LRU_UNEVICTABLE]);
    line_count(text, "nr_slab_reclaimable", f.slab_reclaimable);
    line_count(text, "nr_slab_unreclaimable", f.frames.by_kind[PAGE_SLAB] - f.slab_reclaimable);
    workingset_lines(text);
    line_count(text, "nr_anon_pages", f.vm.anon_pages);
    line_count(text, "nr_mapped", f.vm.mapped_pages);
    line_count(text, "nr_file_pages", f.vm.page_cache_pages + f.vm.shared_pages);
    line_count(text, "nr_dirty", f.dirt.dirty);
    line_count(text, "nr_writeback", f.dirt.writeback);
    line_count(text, "nr_dirtied", f.dirt.dirtied);
    line_count(text, "nr_written", f.dirt.written);
    line_count(text, "nr_dirty_threshold", f.dirt.threshold);
    line_count(text, "nr_dirty_background_threshold", f.dirt.background_threshold);
    line_count(text, "nr_shmem", f.vm.shared_pages);
    line_count(text, "nr_kernel_stack", f.stacks << (PAGE_SHIFT - 10));
    line_count(text, "nr_page_table_pages", f.frames.by_kind[PAGE_TABLE]);
    line_count(text, "nr_swapcached", f.swap.cached);
    line_count(text, "pgpgin", 0);
    line_count(text, "pgpgout", 0);
    line_count(text, "pswpin", f.swap.pages_in);
    line_count(text, "pswpout", f.swap.pages_out);
    line_count(text, "pgalloc_normal", f.frames.allocs);
    line_count(text, "pgfree", f.frames.frees);
    line_count(text, "pgfault", f.vm.faults);
    line_count(text, "pgmajfault", f.vm.major_faults);
    line_count(text, "pgreuse", f.vm.cow_reuses);
    line_count(text, "pglazyfree", f.vm.lazy_marked);
    line_count(text, "pglazyfreed", f.vm.lazy_freed);
    reclaim_lines(text);
    move_lines(text);
    line_count(text, "oom_kill", oom_kills());
    line_count(text, "nr_anon_transparent_hugepages", f.huge.leaves);
    line_count(text, "thp_fault_alloc", f.huge.fault_alloc);
    line_count(text, "thp_fault_fallback", f.huge.fault_fallback);
    line_count(text, "thp_collapse_alloc", f.huge.collapse_alloc);
    line_count(text, "thp_collapse_alloc_failed", f.huge.collapse_failed);
    line_count(text, "thp_split_pmd", f.huge.splits);
    line_count(text, "thp_zero_page_alloc", f.huge.zero_alloc);
    line_count(text, "nr_tlb_remote_flush", f.mmu.flush_remote);
    line_count(text, "nr_tlb_remote_flush_received", f.mmu.flush_received);
    line_count(text, "nr_tlb_local_flush_all", f.mmu.flush_all);
    line_count(text, "nr_tlb_local_flush_one", f.mmu.flush_page);
    return 0;
}

/* Areas from *cursor on. */
static int vmallocinfo_next(struct text *text, struct file *file, uint64_t *cursor)
{
    struct vmalloc_info info;

    (void)file;
    while (vmalloc_describe(*cursor, &info)) {
        if (text_is_enough(text)) {
            return 1;
        }
        uint64_t bytes = (info.npages + 1) * PAGE_SIZE; /* with its guard */
        text_printf(text, "0x%016llx-0x%016llx %7llu %pS pages=%llu vmalloc\n",
                    (unsigned long long)info.start, (unsigned long long)info.start + bytes,
                    (unsigned long long)bytes, info.caller, (unsigned long long)info.npages);
        *cursor = info.start + 1;
    }
    return 0;
}

static int vmallocinfo_open(struct inode *inode, struct file *file)
{
    (void)inode;
    return text_open_stream(file, vmallocinfo_next);
}

static const struct file_ops vmallocinfo_fops = {
    .open = vmallocinfo_open, .release = text_release, .read = text_read, .llseek = text_llseek};

static int slabinfo_show(struct text *text)
{
    struct slab_info info;

    text_puts(text,
              "slabinfo - version: 2.1\n"
              "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> "
              ": tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> "
              "<num_slabs> <sharedavail>\n");
    for (unsigned i = 0; slab_describe(i, &info); i++) {
        text_printf(text,
                    "%-17s %6llu %6llu %6zu %4u %4u : tunables    0    0    0 : slabdata "
                    "%6llu %6llu      0\n",
                    info.name, (unsigned long long)info.objects_active,
                    (unsigned long long)info.objects_total, info.object_size, info.objects_per_slab,
                    info.pages_per_slab, (unsigned long long)info.slabs,
                    (unsigned long long)info.slabs);
    }
    return 0;
}

PROC_FILE(meminfo) = {.path = "meminfo", .show = meminfo_show};
PROC_FILE(vmstat) = {.path = "vmstat", .show = vmstat_show};
PROC_FILE(vmallocinfo) = {.path = "vmallocinfo", .mode = 0400, .fops = &vmallocinfo_fops};
PROC_FILE(slabinfo) = {.path = "slabinfo", .mode = 0400, .show = slabinfo_show};
