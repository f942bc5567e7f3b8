/*
 * madvise(MADV_FREE): memory that the program does not need any more, and that goes when somebody else needs it.
 *
 * Pages that are the space's alone become lazy (PAGE_FLAG_LAZY) and old, and their entries clean and not writable. Nothing else happens as long
 * as there is memory: what is read is what was there. A write takes the same way as one to a page that a child shares: the fault finds
 * the page exclusive and gives the right to write, and with it the mark that it was written to (MMU_DIRTY), which stays in the entry
 * whatever becomes of its rights. Reclaim lets a lazy page go if none of its entries has that mark, else it is an ordinary one again
 * (reclaim_page.c). So a page that is written to again costs a fault, and no list or lock is touched there.
 *
 * Whoever puts entries of private memory in other places takes the mark along, or sets it. A child shares lazy pages like any other; what its
 * parent had given up before the fork may vanish for both. Pages that others showed at the time of the advice stay as they are.
 * What is in swap is dropped at once: to keep it would cost memory, too.
 */
#include "kernel/mm/lru.h"
#include "kernel/vm/huge.h"
#include "kernel/vm/private.h"
#include "kernel/vm/usage.h"

struct lazy {
    struct vm_region *region;
    struct mmu_flush flush;
    uint64_t marked, dropped;
};

/* Nobody else shows or uses it, so nobody else's data is in it. */
static bool page_is_ours_alone(const struct page *page)
{
    return page->kind == PAGE_ANON && atomic_load_acquire(&page->counts) == PAGE_COUNT_MAPPING;
}

static void page_give_up(struct lazy *lazy, uint64_t va, struct page *page)
{
    struct vmspace *vm = lazy->region->vm;

    if (page_is_ours_alone(page) && lru_make_lazy(page)) {
        mmu_replace(&vm->mmu, va, page_to_phys(page), region_mmu_flags(lazy->region, false),
                    &lazy->flush);
        lazy->marked++;
    }
}

/* All of a huge leaf. False: some page of it is not for us to give up alone. */
static bool leaf_give_up(struct lazy *lazy, uint64_t va, struct page *first)
{
    struct vmspace *vm = lazy->region->vm;

    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        if (!page_is_ours_alone(first + i)) {
            return false;
        }
    }
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        lazy->marked += lru_make_lazy(first + i);
    }
    mmu_replace_huge(&vm->mmu, va, page_to_phys(first), region_mmu_flags(lazy->region, false),
                     &lazy->flush);
    return true;
}

static void swapped_drop(struct lazy *lazy, uint64_t va, swap_entry_t entry)
{
    mmu_remove(&lazy->region->vm->mmu, va, &lazy->flush);
    swap_slot_put(entry);
    lazy->dropped++;
}

/* The lock of the block is held. */
static bool lazy_leaf(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    struct lazy *lazy = arg;

    if ((flags & MMU_SOFT) != 0) {
        swapped_drop(lazy, va, (swap_entry_t)(pa >> PAGE_SHIFT));
        return true;
    }
    if ((flags & MMU_SPECIAL) != 0) {
        return true;
    }
    if ((flags & MMU_HUGE) != 0) {
        if ((npages == HUGE_PAGES && leaf_give_up(lazy, va, phys_to_page(pa))) ||
            mmu_split_huge(&lazy->region->vm->mmu, va) < 0) {
            return true; /* done, or no memory for what is only advice */
        }
    }
    for (uint64_t i = 0; i < npages; i++) {
        page_give_up(lazy, va + i * PAGE_SIZE, phys_to_page(pa) + i);
    }
    return true;
}

void vm_lazy_range(struct vm_region *region, uint64_t start, uint64_t end)
{
    struct lazy lazy = {.region = region};

    mmu_flush_init(&lazy.flush, &region->vm->mmu);
    (void)vmspace_walk_whole(region->vm, start, end, lazy_leaf, &lazy);
    mmu_flush_finish(&lazy.flush);
    vm_rss_add(&region->vm->rss_swap, -(int64_t)lazy.dropped);
    vm_count(lazy_marked, lazy.marked);
}
