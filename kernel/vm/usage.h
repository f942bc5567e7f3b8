/*
 * What a space has in memory, for user space's eyes: /proc/PID/{smaps,smaps_rollup,pagemap,clear_refs,numa_maps}.
 */
#pragma once

#include "kernel/mm/page.h"
#include "kernel/vm/vmspace.h"

/*
 * mmu_walk() over [start, end) with the table lock held, which is taken anew after a few pages; a huge leaf is told in parts, too. vm->lock is
 * held for reading. fn must not take locks that are taken outside of a table lock. Returns what mmu_walk() does.
 */
int vmspace_walk(struct vmspace *vm, uint64_t start, uint64_t end, mmu_walk_fn *fn, void *arg);
/* A huge leaf is told at once, as far as it lies in the range. */
int vmspace_walk_whole(struct vmspace *vm, uint64_t start, uint64_t end, mmu_walk_fn *fn,
                       void *arg);

#define VM_PSS_SHIFT 12 /* of the proportional figures */

/* Bytes; those with pss in their name << VM_PSS_SHIFT. */
struct vm_usage {
    uint64_t rss, anonymous, lazy_free, referenced;
    uint64_t shared_clean, shared_dirty, private_clean, private_dirty;
    uint64_t anon_huge, shmem_huge, file_huge; /* shown by huge leaves */
    uint64_t swap;
    uint64_t pss, pss_dirty, pss_anon, pss_file, pss_shmem, pss_locked, swap_pss;
};

/* Add what `region` shows. Its vm->lock is held for reading. */
void vm_region_usage(struct vm_region *region, struct vm_usage *usage);
/* Is it the page of zeros that stands for all memory that was only read? */
bool vm_page_is_zero(const struct page *page);
/* Forget that its pages were used: the accessed bits, and what reclaim noted of them. vm->lock is held for reading. */
void vm_region_clear_referenced(struct vm_region *region);
