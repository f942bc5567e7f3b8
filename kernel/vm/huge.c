/*
 * Huge pages in faults, at fork and on the way out; the settings. Gathering small pages: collapse.c.
 *
 * A leaf is made only where the page table has nothing for its 2 MiB, not even an empty table: so a fault never takes a table away under
 * somebody's feet. It lies inside one region: where a region is cut, and where a part of one is emptied, the leaf is split before
 * (huge_split_at), which is therefore the only place where such an operation may fail for want of memory.
 */
#include "kernel/vm/huge.h"

#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/vm/huge_fault.h"
#include "kernel/vm/region_lock.h"
#include "kernel/vm/rmap.h"

struct huge_settings vm_huge = {
    .mode = HUGE_ALWAYS,
    .pages_to_scan = 8 * HUGE_PAGES,
    .scan_sleep_ms = 10000,
    .max_ptes_none = HUGE_PAGES - 1,
    .max_ptes_shared = HUGE_PAGES / 2,
};

void huge_stats(struct huge_stats *ret_stats)
{
    struct mmu_stats mmu;
    unsigned cpu;

    *ret_stats = (struct huge_stats){0};
    for_each_cpu (cpu) {
        const struct vm_counters *counters = per_cpu_ptr(vm_counters, cpu);
        ret_stats->fault_alloc += READ_ONCE(counters->huge_fault_alloc);
        ret_stats->fault_fallback += READ_ONCE(counters->huge_fault_fallback);
        ret_stats->collapse_alloc += READ_ONCE(counters->huge_collapse_alloc);
        ret_stats->collapse_failed += READ_ONCE(counters->huge_collapse_failed);
    }
    mmu_stats(&mmu);
    ret_stats->leaves = mmu.huge_leaves;
    ret_stats->splits = mmu.huge_splits;
}

void vmspace_disable_huge(struct vmspace *vm, bool disable)
{
    atomic_store_relaxed(&vm->huge_disabled, disable);
}

bool vmspace_huge_is_disabled(const struct vmspace *vm)
{
    return vm != NULL && atomic_load_relaxed(&vm->huge_disabled);
}

bool vm_region_huge_eligible(const struct vm_region *region)
{
    return region_wants_huge(region) &&
           ALIGN_UP(region->start, HUGE_PAGE_SIZE) + HUGE_PAGE_SIZE <= region->end;
}

/* ---- faults ---- */

#define LRU_BATCH 32u

struct page *huge_alloc(const struct vm_region *region, uint64_t start, bool clear)
{
    struct page *first = frame_alloc(HUGE_ORDER, FRAME_TRY, PAGE_ANON);

    if (first == NULL) {
        return NULL;
    }
    frame_split(first);
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        first[i].mapcount = 1;
        rmap_page_made(first + i, region, start + i * PAGE_SIZE);
        if (clear) {
            page_clear(page_to_virt(first + i));
        }
    }
    for (unsigned i = 0; i < HUGE_PAGES; i += LRU_BATCH) {
        struct page *pages[LRU_BATCH];
        for (unsigned k = 0; k < LRU_BATCH; k++) {
            pages[k] = first + i + k;
        }
        lru_add_new(pages, LRU_BATCH);
    }
    return first;
}

bool huge_fault(struct vmspace *vm, struct vm_region *region, uint64_t va)
{
    uint64_t start = ALIGN_DOWN(va, HUGE_PAGE_SIZE);
    uint64_t end = start + HUGE_PAGE_SIZE;

    if (!region_wants_huge(region) || start < region->start || end > region->end) {
        return false;
    }
    if (mmu_skip_hole(&vm->mmu, start, end) < end) {
        huge_watch(vm); /* begun in small pages */
        return false;
    }
    struct page *first = huge_alloc(region, start, true);
    if (first == NULL) {
        vm_count(huge_fault_fallback, 1);
        huge_watch(vm);
        return false;
    }
    atomic_store_relaxed(&vm->has_huge, true);
    vm_table_lock(vm, va);
    int err = mmu_map_huge(&vm->mmu, start, page_to_phys(first), region_mmu_flags(region, true));
    vm_table_unlock(vm, va);
    if (err < 0) { /* somebody was faster, or there is no memory for the table above */
        pages_unmap_put_block(first, HUGE_ORDER);
        return false;
    }
    region->has_anon = true;
    vm_rss_add(&vm->rss_anon, HUGE_PAGES);
    vm_count(huge_fault_alloc, 1);
    return true;
}

/* No frame of the leaf is anybody else's. */
static bool leaf_is_exclusive(const struct page *first)
{
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        if (atomic_load_acquire(&first[i].refs) != 1) {
            return false;
        }
    }
    return true;
}

int huge_cow_locked(struct vmspace *vm, const struct vm_region *region, uint64_t va, paddr_t pa,
                    struct mmu_flush *flush)
{
    struct page *first = phys_to_page(ALIGN_DOWN(pa, HUGE_PAGE_SIZE));

    if (first->kind == PAGE_ANON && leaf_is_exclusive(first)) {
        mmu_replace_huge(&vm->mmu, va, page_to_phys(first), region_mmu_flags(region, true), flush);
        return 1;
    }
    return mmu_split_huge(&vm->mmu, va);
}

/* ---- ranges ---- */

int huge_split_at_slow(struct vm_region *region, uint64_t at)
{
    struct vmspace *vm = region->vm;
    int err = 0;

    region_lock(region);
    if (atomic_load_relaxed(&vm->has_huge)) {
        vm_table_lock(vm, at);
        err = mmu_split_huge(&vm->mmu, at);
        vm_table_unlock(vm, at);
    }
    return err;
}

void huge_map_get(struct page *first)
{
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        page_map_get(first + i);
    }
}
