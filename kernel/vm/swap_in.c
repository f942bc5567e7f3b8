/*
 * Bringing back what was swapped out.
 *
 * Everybody who wants a slot's content meets at one page in the swap cache. A fault maps it without the right to write; when its reference to
 * the slot was the last, the page leaves the cache and is the faulting process's alone, so that a write needs no copy. As long as other
 * entries name the slot, its content stays good beside the page, which nobody can write to then: it can be let go again without being
 * stored a second time (PAGE_FLAG_DIRTY is not set).
 *
 * Pages are brought one by one: the back end there is keeps them in memory, where reading ahead gains nothing.
 */
#include "kernel/machine/mmu.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/sched/psi.h"
#include "kernel/vm/fault.h"
#include "kernel/vm/page_lock.h"
#include "kernel/vm/rmap.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/workingset.h"

static inline bool holds_slot(const struct page *page, swap_entry_t entry)
{
    return (atomic_load_acquire(&page->flags) & PAGE_FLAG_SWAPCACHE) != 0 && page->private == entry;
}

/* A new page in the swap cache, read in; locked and referenced. -EEXIST: somebody else was faster. */
static int swap_read_new(swap_entry_t entry, enum page_kind kind, struct page **ret_page)
{
    struct page *page = frame_alloc(0, FRAME_RECLAIM, kind);
    uint64_t shadow;

    if (page == NULL) {
        return -ENOMEM;
    }
    page->owner = NULL;
    page->index = 0;
    page->flags = PAGE_FLAG_LOCKED;
    lru_add_new(&page, 1);
    int err = swap_cache_add(entry, page, NULL, &shadow);
    if (err < 0) {
        page_put(page);
        return err;
    }
    /* What comes back so soon that it should have stayed: memory is short. */
    bool stalled = shadow != WORKINGSET_NONE && psi_begin(PSI_MEMORY);
    err = swap_load(entry, page);
    if (stalled) {
        psi_end(PSI_MEMORY);
    }
    if (err < 0) {
        (void)swap_cache_remove(entry, page);
        page_unlock(page, PAGE_FLAG_ERROR);
        page_put(page);
        return err;
    }
    (void)atomic_fetch_or(&page->flags, (uint16_t)PAGE_FLAG_UPTODATE);
    if (shadow != WORKINGSET_NONE) {
        workingset_refault(page, shadow);
    }
    *ret_page = page;
    return 0;
}

int swap_read(swap_entry_t entry, enum page_kind kind, bool *ret_major, struct page **ret_page)
{
    int err;

    *ret_major = false;
    for (;;) {
        struct page *page = swap_cache_find(entry);
        if (page == NULL) {
            err = swap_read_new(entry, kind, ret_page);
            *ret_major = true;
            if (err != -EEXIST) {
                return err;
            }
            continue;
        }
        page_lock(page);
        if (likely(holds_slot(page, entry))) {
            *ret_page = page;
            return 0;
        }
        page_unlock(page, 0); /* it has been let go, or could not be read, meanwhile */
        page_put(page);
    }
}

int vm_fault_swap(struct vmspace *vm, struct vm_region *region, uint64_t va, swap_entry_t entry,
                  unsigned flags)
{
    struct mmu_flush flush;
    struct page *page;
    uint64_t now;
    bool major;

    if (!swap_slot_tryget(entry)) {
        return 0; /* the entry has gone: the access is tried again */
    }
    int err = swap_read(entry, PAGE_ANON, &major, &page);
    if (err < 0) {
        swap_slot_put(entry);
        return err;
    }
    mmu_flush_init(&flush, &vm->mmu);
    vm_table_lock(vm, va);
    bool ours = mmu_query_soft(&vm->mmu, va, &now) && now == entry;
    if (ours) {
        rmap_page_made(page, region, va); /* the same for all who share it, but for the hint */
        page_map_get(page);
        mmu_replace(&vm->mmu, va, page_to_phys(page), region_mmu_flags(region, false), &flush);
        vm_rss_add(&vm->rss_anon, 1);
        vm_rss_add(&vm->rss_swap, -1);
    }
    vm_table_unlock(vm, va);
    mmu_flush_finish(&flush);
    if (ours) {
        swap_slot_put(entry);
    }
    page_unlock(page, 0);
    swap_slot_put(entry);
    page_put(page);
    if (major) {
        vm_count(major_faults, 1);
        current_thread()->majflt++;
    }
    return ours && (flags & FAULT_WRITE) != 0 ? vm_fault_cow(vm, region, va) : 0;
}
