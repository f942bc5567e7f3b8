/*
 * /proc/{meminfo,vmstat,slabinfo}. What this kernel does not have (huge page pools) is truly 0.
 */
#include "kernel/fs/procfs/procfs.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/slab.h"
#include "kernel/proc/oom.h"
#include "kernel/vm/huge.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/tunables.h"
#include "kernel/vm/vmspace.h"

static void line_kb(struct text *text, const char *name, uint64_t pages)
{
    text_printf(text, "%-15s %8llu kB\n", name, (unsigned long long)pages << (PAGE_SHIFT - 10));
}

static int meminfo_show(struct text *text)
{
    struct frame_stats frames;
    struct swap_stats swap;
    struct vm_stats vm;
    struct huge_stats huge;
    uint64_t file, anon;

    frame_stats(&frames);
    vm_stats(&vm);
    huge_stats(&huge);
    swap_stats(&swap);
    /* Files of tmpfs are shared memory: part of the cache, but of the anonymous lists. */
    file = vm.page_cache_pages;
    anon = vm.anon_pages + vm.shared_pages;
    line_kb(text, "MemTotal:", frames.total);
    line_kb(text, "MemFree:", frames.free);
    /* File systems live in memory so far: their cache cannot be given up, so only free memory is available. */
    line_kb(text, "MemAvailable:", frames.free);
    line_kb(text, "Buffers:", 0);
    line_kb(text, "Cached:", file + vm.shared_pages);
    line_kb(text, "SwapCached:", swap.cached);
    line_kb(text, "Active:", anon + file);
    line_kb(text, "Inactive:", 0);
    line_kb(text, "Active(anon):", anon);
    line_kb(text, "Inactive(anon):", 0);
    line_kb(text, "Active(file):", file);
    line_kb(text, "Inactive(file):", 0);
    line_kb(text, "Unevictable:", 0);
    line_kb(text, "Mlocked:", 0);
    line_kb(text, "SwapTotal:", swap.total);
    line_kb(text, "SwapFree:", swap.free);
    line_kb(text, "Dirty:", 0);
    line_kb(text, "Writeback:", 0);
    line_kb(text, "AnonPages:", vm.anon_pages);
    line_kb(text, "Mapped:", vm.mapped_pages);
    line_kb(text, "Shmem:", vm.shared_pages);
    line_kb(text, "KReclaimable:", 0);
    line_kb(text, "Slab:", frames.by_kind[PAGE_SLAB]);
    line_kb(text, "SReclaimable:", 0);
    line_kb(text, "SUnreclaim:", frames.by_kind[PAGE_SLAB]);
    line_kb(text, "KernelStack:", frames.by_kind[PAGE_STACK]);
    line_kb(text, "PageTables:", frames.by_kind[PAGE_TABLE]);
    line_kb(text, "NFS_Unstable:", 0);
    line_kb(text, "Bounce:", 0);
    line_kb(text, "WritebackTmp:", 0);
    line_kb(text, "CommitLimit:", vm_commit_limit());
    line_kb(text, "Committed_AS:", vm.committed_pages);
    line_kb(text, "VmallocTotal:", BOOT_ARENA_SIZE >> PAGE_SHIFT);
    line_kb(text, "VmallocUsed:", frames.by_kind[PAGE_STACK]);
    line_kb(text, "VmallocChunk:", 0);
    line_kb(text, "Percpu:", 0);
    line_kb(text, "AnonHugePages:", huge.leaves * HUGE_PAGES);
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

static int vmstat_show(struct text *text)
{
    struct frame_stats frames;
    struct swap_stats swap;
    struct vm_stats vm;
    struct huge_stats huge;
    struct mmu_stats mmu;

    frame_stats(&frames);
    vm_stats(&vm);
    huge_stats(&huge);
    swap_stats(&swap);
    mmu_stats(&mmu);
    line_count(text, "nr_free_pages", frames.free);
    line_count(text, "nr_inactive_anon", 0);
    line_count(text, "nr_active_anon", vm.anon_pages + vm.shared_pages);
    line_count(text, "nr_inactive_file", 0);
    line_count(text, "nr_active_file", vm.page_cache_pages);
    line_count(text, "nr_unevictable", 0);
    line_count(text, "nr_mlock", 0);
    line_count(text, "nr_slab_reclaimable", 0);
    line_count(text, "nr_slab_unreclaimable", frames.by_kind[PAGE_SLAB]);
    line_count(text, "nr_anon_pages", vm.anon_pages);
    line_count(text, "nr_mapped", vm.mapped_pages);
    line_count(text, "nr_file_pages", vm.page_cache_pages + vm.shared_pages);
    line_count(text, "nr_dirty", 0);
    line_count(text, "nr_writeback", 0);
    line_count(text, "nr_shmem", vm.shared_pages);
    line_count(text, "nr_kernel_stack", frames.by_kind[PAGE_STACK] << (PAGE_SHIFT - 10));
    line_count(text, "nr_page_table_pages", frames.by_kind[PAGE_TABLE]);
    line_count(text, "pgpgin", 0);
    line_count(text, "pgpgout", 0);
    line_count(text, "pswpin", swap.pages_in);
    line_count(text, "pswpout", swap.pages_out);
    line_count(text, "pgalloc_normal", frames.allocs);
    line_count(text, "pgfree", frames.frees);
    line_count(text, "pgfault", vm.faults);
    line_count(text, "pgmajfault", vm.major_faults);
    line_count(text, "oom_kill", oom_kills());
    line_count(text, "nr_anon_transparent_hugepages", huge.leaves);
    line_count(text, "thp_fault_alloc", huge.fault_alloc);
    line_count(text, "thp_fault_fallback", huge.fault_fallback);
    line_count(text, "thp_collapse_alloc", huge.collapse_alloc);
    line_count(text, "thp_collapse_alloc_failed", huge.collapse_failed);
    line_count(text, "thp_split_pmd", huge.splits);
    line_count(text, "nr_tlb_local_flush_all", mmu.flush_all);
    line_count(text, "nr_tlb_local_flush_one", mmu.flush_page);
    return 0;
}

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
PROC_FILE(slabinfo) = {.path = "slabinfo", .mode = 0400, .show = slabinfo_show};
