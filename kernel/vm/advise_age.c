/*
 * madvise(MADV_COLD, MADV_PAGEOUT): what a program says of the age of its memory.
 *
 * Pages are gathered in batches, with a reference each, and dealt with when no lock of a page table is held. Those that others show too are left
 * as they are: this space alone does not tell how old they are. Of a file's own pages only those are touched that the mapping could write
 * to: whoever may just read a file shall not find out, or change, what of it is in memory.
 */
#include "kernel/mm/lru.h"
#include "kernel/sched/thread.h"
#include "kernel/vm/private.h"
#include "kernel/vm/reclaim.h"
#include "kernel/vm/usage.h"

#define BATCH 32u

struct gather {
    bool anon_only;
    unsigned n;
    uint64_t next; /* the walk goes on there */
    struct page *pages[BATCH];
    uint64_t vas[BATCH];
};

static bool gather_leaf(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    struct gather *gather = arg;

    gather->next = va + npages * PAGE_SIZE;
    if ((flags & (MMU_SOFT | MMU_SPECIAL)) != 0) {
        return true;
    }
    struct page *page = phys_to_page(pa);
    for (uint64_t i = 0; i < npages; i++, page++, va += PAGE_SIZE) {
        if (gather->n == BATCH) {
            gather->next = va;
            return false;
        }
        if (atomic_load_relaxed(&page->mapcount) == 1 &&
            (!gather->anon_only || page->kind == PAGE_ANON)) {
            page_get(page);
            gather->pages[gather->n] = page;
            gather->vas[gather->n++] = va;
        }
    }
    return true;
}

static void batch_cool(struct vmspace *vm, struct gather *gather)
{
    for (unsigned i = 0; i < gather->n; i++) {
        vm_table_lock(vm, gather->vas[i]);
        (void)mmu_age(&vm->mmu, gather->vas[i]);
        vm_table_unlock(vm, gather->vas[i]);
        lru_deactivate(gather->pages[i]);
        page_put(gather->pages[i]);
    }
}

void vm_age_range(struct vm_region *region, uint64_t start, uint64_t end, bool out)
{
    struct vmspace *vm = region->vm;
    const uint32_t shared_write = VM_SHARED | VM_MAYWRITE;
    struct gather gather = {.anon_only = region->source != NULL &&
                                         (region->flags & shared_write) != shared_write};

    while (start < end && !thread_signal_pending(current_thread())) {
        gather.n = 0;
        gather.next = end;
        int err = vmspace_walk(vm, start, end, gather_leaf, &gather);
        if (out) {
            reclaim_pages(gather.pages, gather.n);
        } else {
            batch_cool(vm, &gather);
        }
        start = err == 0 ? end : gather.next;
    }
}
