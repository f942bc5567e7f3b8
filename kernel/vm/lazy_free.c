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
    uint64_t next; /* where the walk that was stopped goes on */
    struct page *
        leaf; /* referenced: it was stopped at this huge leaf, to be given up whole. NULL: for another reason */
};

/* Nobody else shows or uses it, so nobody else's data is in it. Of references there are `refs` besides that of the entry. */
static bool page_is_ours_alone(const struct page *page, uint64_t refs)
{
    return page->kind == PAGE_ANON &&
           atomic_load_acquire(&page->counts) == PAGE_COUNT_MAPPING + refs;
}

static void page_give_up(struct lazy *lazy, uint64_t va, struct page *page)
{
    struct vmspace *vm = lazy->region->vm;

    if (page_is_ours_alone(page, 0) && lru_make_lazy(page)) {
        mmu_replace(&vm->mmu, va, page_to_phys(page), region_mmu_flags(lazy->region, false),
                    &lazy->flush);
        lazy->marked++;
    }
}

static bool leaf_is_ours_alone(const struct page *first, uint64_t refs)
{
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        if (!page_is_ours_alone(first + i, refs)) {
            return false;
        }
    }
    return true;
}

/*
 * All of a huge leaf, whose pages are referenced: to make them lazy takes long, so that is done without a lock. If the leaf is another one by
 * then, they are pages that were written to, as far as reclaim can see, and so ordinary ones.
 */
static void leaf_give_up(struct lazy *lazy, uint64_t va, struct page *first)
{
    struct vmspace *vm = lazy->region->vm;
    uint64_t marked = 0;
    paddr_t pa;
    unsigned flags;

    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        marked += lru_make_lazy(first + i);
    }
    vm_table_lock(vm, va);
    if (mmu_query(&vm->mmu, va, &pa, &flags) && (flags & MMU_HUGE) != 0 &&
        pa == page_to_phys(first) && leaf_is_ours_alone(first, 1)) {
        mmu_replace_huge(&vm->mmu, va, pa, region_mmu_flags(lazy->region, false), &lazy->flush);
        lazy->marked += marked;
    }
    vm_table_unlock(vm, va);
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        page_put(first + i);
    }
}

/* The walk stops: a leaf that is ours alone goes whole, another one in pieces. */
static bool leaf_met(struct lazy *lazy, uint64_t va, struct page *first, uint64_t npages)
{
    if (npages == HUGE_PAGES && leaf_is_ours_alone(first, 0)) {
        for (unsigned i = 0; i < HUGE_PAGES; i++) {
            page_get(first + i);
        }
        lazy->leaf = first;
        lazy->next = va + HUGE_PAGE_SIZE;
        return false;
    }
    lazy->next = va;
    return mmu_split_huge(&lazy->region->vm->mmu, va) < 0; /* no memory for what is only advice */
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
        return leaf_met(lazy, va, phys_to_page(pa), npages);
    }
    page_give_up(lazy, va, phys_to_page(pa));
    return true;
}

void vm_lazy_range(struct vm_region *region, uint64_t start, uint64_t end)
{
    struct lazy lazy = {.region = region};

    mmu_flush_init(&lazy.flush, &region->vm->mmu);
    while (start < end) {
        lazy.leaf = NULL;
        int err = vmspace_walk_whole(region->vm, start, end, lazy_leaf, &lazy);
        if (lazy.leaf != NULL) {
            leaf_give_up(&lazy, lazy.next - HUGE_PAGE_SIZE, lazy.leaf);
        }
        start = err < 0 ? lazy.next : end;
    }
    mmu_flush_finish(&lazy.flush);
    vm_rss_add(&region->vm->rss_swap, -(int64_t)lazy.dropped);
    vm_count(lazy_marked, lazy.marked);
}
