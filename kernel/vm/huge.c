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
#include "kernel/vm/mempolicy.h"
#include "kernel/vm/region_lock.h"
#include "kernel/vm/rmap.h"

struct huge_settings vm_huge = {
    .mode = HUGE_ALWAYS,
    .defrag = DEFRAG_MADVISE,
    .use_zero_page = 1,
    .khugepaged_defrag = 1,
    .alloc_sleep_ms = 60000,
    .pages_to_scan = 8 * HUGE_PAGES,
    .scan_sleep_ms = 10000,
    .max_ptes_none = HUGE_PAGES - 1,
    .max_ptes_shared = HUGE_PAGES / 2,
};

static struct page *zero_block; /* [a] what a read of untouched memory shows; made once, for ever */

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
    ret_stats->zero_alloc = atomic_load_relaxed(&zero_block) != NULL;
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

struct page *huge_take(const struct vm_region *region, uint64_t start, bool compact)
{
    unsigned flags = FRAME_TRY | (compact ? FRAME_RECLAIM : 0);

    return region == NULL ? frame_alloc(HUGE_ORDER, flags, PAGE_ANON)
                          : vm_frame_alloc(region, start, HUGE_ORDER, flags);
}

void huge_make(struct page *first, const struct vm_region *region, uint64_t start, bool clear)
{
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
}

/* A block for a fault, by the `defrag` setting; NULL: there will be small pages. */
static struct page *take_for_fault(const struct vm_region *region, uint64_t start)
{
    enum huge_defrag defrag = atomic_load_relaxed(&vm_huge.defrag);
    bool asked = (region->flags & VM_HUGE) != 0;
    bool defer = defrag == DEFRAG_DEFER || (defrag == DEFRAG_DEFER_MADVISE && !asked);
    struct page *first =
        huge_take(region, start,
                  defrag == DEFRAG_ALWAYS ||
                      (asked && (defrag == DEFRAG_MADVISE || defrag == DEFRAG_DEFER_MADVISE)));

    if (first != NULL) {
        vm_count(huge_fault_alloc, 1);
        return first;
    }
    if (defer) {
        frame_wake_reclaim(cpu_node(cpu_id()), HUGE_ORDER);
    }
    vm_count(huge_fault_fallback, 1);
    huge_watch(region->vm);
    return NULL;
}

/* Could there be a leaf around va, for which nothing stands in the way yet? */
static bool block_is_free(struct vmspace *vm, const struct vm_region *region, uint64_t start)
{
    uint64_t end = start + HUGE_PAGE_SIZE;

    if (!region_wants_huge(region) || start < region->start || end > region->end) {
        return false;
    }
    if (mmu_skip_hole(&vm->mmu, start, end) < end) {
        huge_watch(vm); /* begun in small pages */
        return false;
    }
    return true;
}

bool huge_fault(struct vmspace *vm, struct vm_region *region, uint64_t va)
{
    uint64_t start = ALIGN_DOWN(va, HUGE_PAGE_SIZE);
    struct page *first = block_is_free(vm, region, start) ? take_for_fault(region, start) : NULL;

    if (first == NULL) {
        return false;
    }
    huge_make(first, region, start, true);
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
    return true;
}

/* ---- zeros ---- */

static struct page *zero_block_get(void)
{
    struct page *block = atomic_load_acquire(&zero_block);

    if (block == NULL && atomic_load_relaxed(&vm_huge.use_zero_page) != 0) {
        struct page *other = NULL;
        block = frame_alloc(HUGE_ORDER, FRAME_TRY | FRAME_ZERO, PAGE_KERNEL);
        if (block != NULL && !__atomic_compare_exchange_n(&zero_block, &other, block, false,
                                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            frame_free(block);
            block = other;
        }
    }
    return block;
}

bool huge_read(struct vmspace *vm, struct vm_region *region, uint64_t va)
{
    uint64_t start = ALIGN_DOWN(va, HUGE_PAGE_SIZE);

    if (atomic_load_relaxed(&vm_huge.use_zero_page) == 0 || !block_is_free(vm, region, start)) {
        return false;
    }
    struct page *zeros = zero_block_get();
    if (zeros == NULL) {
        return false;
    }
    atomic_store_relaxed(&vm->has_huge, true);
    vm_table_lock(vm, va);
    int err = mmu_map_huge(&vm->mmu, start, page_to_phys(zeros),
                           region_mmu_flags(region, false) | MMU_SPECIAL);
    vm_table_unlock(vm, va);
    region->has_anon = true; /* fork copies the leaf, as any other */
    return err == 0;
}

/* Another block takes the place of the zeros over va: vm_runs_alone(). Block lock held. */
static void huge_show_locked(struct vmspace *vm, uint64_t va, paddr_t pa, unsigned rights,
                             struct mmu_flush *flush)
{
    if (!vm_runs_alone(vm)) {
        mmu_replace_huge(&vm->mmu, va, pa, rights & ~MMU_WRITE, flush);
        mmu_flush_finish(flush);
    }
    mmu_replace_huge(&vm->mmu, va, pa, rights, flush);
}

int huge_write_zeros(struct vmspace *vm, struct vm_region *region, uint64_t va)
{
    uint64_t start = ALIGN_DOWN(va, HUGE_PAGE_SIZE);
    struct page *first = region_wants_huge(region) ? take_for_fault(region, start) : NULL;
    struct mmu_flush flush;
    paddr_t pa;
    unsigned flags;
    int err = 0;

    if (first != NULL) {
        huge_make(first, region, start, true);
    }
    mmu_flush_init(&flush, &vm->mmu);
    vm_table_lock(vm, va);
    bool zeros = mmu_query(&vm->mmu, va, &pa, &flags) && huge_is_zeros(flags);
    if (zeros && first != NULL) {
        huge_show_locked(vm, va, page_to_phys(first), region_mmu_flags(region, true), &flush);
    } else if (zeros) {
        err = mmu_split_huge(&vm->mmu, va);
    }
    vm_table_unlock(vm, va);
    mmu_flush_finish(&flush);
    if (zeros && first != NULL) {
        vm_rss_add(&vm->rss_anon, HUGE_PAGES);
    } else if (first != NULL) {
        pages_unmap_put_block(first, HUGE_ORDER);
    }
    return err;
}

/* ---- copy on write ---- */

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

    /* What a debugger writes to a region without VM_WRITE leaves no mark in the leaf: page by page then, as vm_fault_cow() knows how. */
    if (first->kind == PAGE_ANON && (region->flags & VM_WRITE) != 0 && leaf_is_exclusive(first)) {
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
        err = mmu_cut(&vm->mmu, at);
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
