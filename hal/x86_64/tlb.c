/*
 * TLB and paging-structure caches (Intel SDM volume 3, 4.10).
 *
 * A few pages are invalidated one by one (INVLPG also empties the paging-structure caches, 4.10.4.1), more by loading CR3 again, which
 * leaves global entries alone; kernel entries are global and need CR4.PGE off and on. PCIDs are not used.
 *
 * struct mmu_space knows the CPUs that may hold translations of it. With one CPU running there is nobody else to tell; the place
 * for the message to the others is others_run().
 */
#include "hal/x86_64/tlb.h"

#include "hal/x86_64/percpu.h"
#include "hal/x86_64/pte.h"
#include "hal/x86_64/regs.h"
#include "kernel/core/panic.h"
#include "kernel/machine/preempt.h"
#include "kernel/machine/smp.h"

#define SINGLE_PAGES_MAX 24u /* beyond that, everything at once is cheaper */

static struct mmu_stats stats; /* [a] */

/* Whatever other CPUs would have to do, none of them runs yet. */
static void others_run(void)
{
    BUG_ON(cpu_count() != 1);
}

static void flush_local(vaddr_t start, vaddr_t end)
{
    uint64_t npages = (end - start) >> PAGE_SHIFT;

    if (npages > SINGLE_PAGES_MAX) {
        cr3_write(cr3_read());
        stats.flush_all++;
        return;
    }
    for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
        tlb_flush_page(va);
    }
    if (npages == 1) {
        stats.flush_page++;
    } else {
        stats.flush_range++;
    }
}

void mmu_flush_finish(struct mmu_flush *flush)
{
    struct mmu_space *space = flush->space;

    if (flush->start < flush->end || flush->tables_freed) {
        vaddr_t start = MIN(flush->start, flush->end);

        preempt_disable();
        if (this_x86_cpu->active_space == space) {
            flush_local(start,
                        flush->tables_freed ? MAX(flush->end, start + PAGE_SIZE) : flush->end);
        }
        others_run();
        preempt_enable();
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
    *ret_stats = stats;
    large_figures(&ret_stats->huge_leaves, &ret_stats->huge_splits);
}
