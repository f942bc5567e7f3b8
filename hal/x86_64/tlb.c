/*
 * TLB and paging-structure caches (Intel SDM volume 3, 4.10).
 *
 * A few pages are invalidated one by one (INVLPG also empties the paging-structure caches, 4.10.4.1), more by loading CR3 again, which
 * leaves global entries alone; kernel entries are global and need CR4.PGE off and on. With PCIDs both reach what lies under the current one
 * alone: of spaces that a CPU does not use, it finds out by their generation when it comes back to them (asid.h).
 *
 * struct mmu_space knows the CPUs that use it. Each sets its bit before it reads the generation; who changes the space adds to the
 * generation before he looks at the bits: so either he tells that CPU, or it sees the new generation. With one CPU running there is
 * nobody else to tell; the place for the message is others_run().
 */
#include "hal/x86_64/tlb.h"

#include "hal/x86_64/asid.h"
#include "hal/x86_64/features.h"
#include "hal/x86_64/percpu.h"
#include "hal/x86_64/pte.h"
#include "hal/x86_64/regs.h"
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/machine/preempt.h"
#include "kernel/machine/smp.h"

#define SINGLE_PAGES_MAX 24u /* beyond that, everything at once is cheaper */

struct tlb_cpu {
    struct asid_cpu asids;
    struct mmu_stats stats; /* the counts of flushes alone */
};
static DEFINE_PER_CPU(struct tlb_cpu,
                      tlb_cpu); /* each its CPU's alone, but that others read the counts */

/* Whatever other CPUs would have to do, none of them runs yet. */
static void others_run(void)
{
    BUG_ON(cpu_count() != 1);
}

/* ---- spaces ---- */

static void flush_local(vaddr_t start, vaddr_t end)
{
    uint64_t npages = (end - start) >> PAGE_SHIFT;
    struct mmu_stats *stats = &this_cpu_ptr(tlb_cpu)->stats;

    if (npages > SINGLE_PAGES_MAX) {
        cr3_write(cr3_read());
        stats->flush_all++;
        return;
    }
    for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
        tlb_flush_page(va);
    }
    if (npages == 1) {
        stats->flush_page++;
    } else {
        stats->flush_range++;
    }
}

/* The space in use changed. With PCIDs the change is counted, so that this CPU and others find out later what they missed. */
static void follow(struct mmu_space *space, uint64_t generation, vaddr_t start, vaddr_t end)
{
    switch (asid_follow(&this_cpu_ptr(tlb_cpu)->asids, generation,
                        atomic_load_acquire(&space->generation))) {
    case ASID_RANGE:
        flush_local(start, end);
        break;
    case ASID_EVERYTHING:
        flush_local(0, UINT64_MAX);
        break;
    case ASID_NOTHING:
        break;
    }
}

static void space_changed(struct mmu_space *space, vaddr_t start, vaddr_t end)
{
    bool pcid = cpu_features.pcid;
    uint64_t generation = 0;

    if (unlikely(pcid)) {
        generation = __atomic_add_fetch(&space->generation, 1, __ATOMIC_SEQ_CST);
    }
    preempt_disable();
    if (this_x86_cpu->active_space == space) {
        if (unlikely(pcid)) {
            follow(space, generation, start, end);
        } else {
            flush_local(start, end);
        }
    }
    others_run();
    preempt_enable();
}

void mmu_flush_finish(struct mmu_flush *flush)
{
    if (flush->start < flush->end || flush->tables_freed) {
        vaddr_t start = MIN(flush->start, flush->end);
        vaddr_t end = flush->tables_freed ? MAX(flush->end, start + PAGE_SIZE) : flush->end;

        space_changed(flush->space, start, end);
    }
    for (struct page *page = flush->tables, *next; page != NULL; page = next) {
        next = page->next_table;
        table_free(page);
    }
    flush->start = UINT64_MAX;
    flush->end = 0;
    flush->tables_freed = false;
    flush->tables = NULL;
}

void tlb_enable_pcid(void)
{
    if (cpu_features.pcid) {
        cr4_write(cr4_read() | CR4_PCIDE);
    }
}

void tlb_use(struct mmu_space *space)
{
    uint64_t cr3 = space->root;

    if (unlikely(cpu_features.pcid)) {
        bool flush;
        cr3 |= asid_choose(&this_cpu_ptr(tlb_cpu)->asids, space->id,
                           atomic_load_acquire(&space->generation), &flush);
        cr3 |= flush ? 0 : CR3_KEEP;
    }
    cr3_write(cr3);
}

void tlb_space_leave(struct mmu_space *space)
{
    uint64_t flags = irq_save();

    if (this_x86_cpu->active_space == space) {
        this_x86_cpu->active_space = NULL;
        cr3_write(mmu_kernel.root);
    }
    others_run();
    irq_restore(flags);
}

void tlb_flush_kernel(vaddr_t start, vaddr_t end)
{
    uint64_t flags = irq_save();

    if (end - start > SINGLE_PAGES_MAX * PAGE_SIZE) {
        uint64_t cr4 = cr4_read();
        cr4_write(cr4 ^ CR4_PGE);
        cr4_write(cr4);
        cr3_write(cr3_read()); /* CPUs without PGE */
    } else {
        for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
            tlb_flush_page(va);
        }
    }
    others_run();
    irq_restore(flags);
}

void mmu_stats(struct mmu_stats *ret_stats)
{
    unsigned id;

    *ret_stats = (struct mmu_stats){0};
    for_each_cpu (id) {
        const struct mmu_stats *stats = &per_cpu_ptr(tlb_cpu, id)->stats;
        ret_stats->flush_page += READ_ONCE(stats->flush_page);
        ret_stats->flush_range += READ_ONCE(stats->flush_range);
        ret_stats->flush_all += READ_ONCE(stats->flush_all);
        ret_stats->flush_remote += READ_ONCE(stats->flush_remote);
        ret_stats->flush_received += READ_ONCE(stats->flush_received);
    }
    large_figures(&ret_stats->huge_leaves, &ret_stats->huge_splits);
}
