/*
 * Looking at what a space has in memory: the walk that everything for user space's eyes is made of, and the figures of
 * /proc/PID/smaps (Documentation/filesystems/proc.rst, 3.1 and 1.1).
 *
 * A page's share: with n page table entries that show it, each accounts for a part of 1/n. Shares are kept with 12 more bits, so
 * that what is shared by many adds up.
 */
#include "kernel/vm/usage.h"
#include "kernel/mm/frame.h"
#include "kernel/vm/private.h"
#include "kernel/vm/swap.h"

/* ---- the walk ---- */

#define TURN_PAGES 16u

/* A turn with the table lock held, in which nobody else gets at the block and this CPU is not preempted. */
struct turn {
    mmu_walk_fn *fn;
    void *arg;
    bool whole;    /* huge leaves are not told in parts */
    bool stopped;  /* fn said so */
    unsigned left; /* pages that it may still take */
    uint64_t next; /* behind the last leaf told */
};

static bool turn_leaf(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    struct turn *turn = arg;

    if (!turn->whole) {
        npages = MIN(npages, (uint64_t)turn->left);
    }
    turn->next = va + (npages << PAGE_SHIFT);
    turn->left -= (unsigned)MIN((uint64_t)turn->left, npages);
    turn->stopped = !turn->fn(turn->arg, va, pa, flags, npages);
    return turn->left > 0 && !turn->stopped;
}

static int walk(struct vmspace *vm, uint64_t start, uint64_t end, struct turn *turn)
{
    while ((start = mmu_skip_hole(&vm->mmu, start, end)) < end) {
        uint64_t stop = MIN(ALIGN_DOWN(start, HUGE_PAGE_SIZE) + HUGE_PAGE_SIZE, end);

        turn->left = TURN_PAGES;
        turn->stopped = false;
        vm_table_lock(vm, start);
        int err = mmu_walk(&vm->mmu, start, stop, turn_leaf, turn);
        vm_table_unlock(vm, start);
        if (turn->stopped) {
            return err;
        }
        start = err < 0 ? turn->next : stop;
    }
    return 0;
}

int vmspace_walk(struct vmspace *vm, uint64_t start, uint64_t end, mmu_walk_fn *fn, void *arg)
{
    struct turn turn = {.fn = fn, .arg = arg};

    return walk(vm, start, end, &turn);
}

int vmspace_walk_whole(struct vmspace *vm, uint64_t start, uint64_t end, mmu_walk_fn *fn, void *arg)
{
    struct turn turn = {.fn = fn, .arg = arg, .whole = true};

    return walk(vm, start, end, &turn);
}

/* ---- usage ---- */

struct gather {
    struct vm_usage *usage;
    bool locked;
};

static void add_swapped(struct vm_usage *usage, swap_entry_t entry)
{
    uint64_t sharers = MAX(swap_slot_refs(entry), 1u);

    usage->swap += PAGE_SIZE;
    usage->swap_pss += (PAGE_SIZE << VM_PSS_SHIFT) / sharers;
}

static void add_page(const struct gather *gather, const struct page *page, unsigned flags)
{
    struct vm_usage *usage = gather->usage;
    uint16_t page_flags = atomic_load_relaxed(&page->flags);
    uint32_t mapcount = MAX(atomic_load_relaxed(&page->mapcount), 1u);
    uint64_t share = (PAGE_SIZE << VM_PSS_SHIFT) / mapcount;
    bool dirty = (flags & MMU_DIRTY) != 0 || (page_flags & PAGE_FLAG_DIRTY) != 0;

    usage->rss += PAGE_SIZE;
    usage->pss += share;
    if (page->kind == PAGE_ANON) {
        usage->anonymous += PAGE_SIZE;
        usage->lazy_free += (page_flags & PAGE_FLAG_LAZY) != 0 && !dirty ? PAGE_SIZE : 0;
        usage->pss_anon += share;
    } else if (page->kind == PAGE_SHARED) {
        usage->pss_shmem += share;
    } else {
        usage->pss_file += share;
    }
    if ((flags & MMU_ACCESSED) != 0 || (page_flags & PAGE_FLAG_REFERENCED) != 0) {
        usage->referenced += PAGE_SIZE;
    }
    if (gather->locked) {
        usage->pss_locked += share;
    }
    if (dirty) {
        usage->pss_dirty += share;
        *(mapcount > 1 ? &usage->shared_dirty : &usage->private_dirty) += PAGE_SIZE;
    } else {
        *(mapcount > 1 ? &usage->shared_clean : &usage->private_clean) += PAGE_SIZE;
    }
}

static bool add_leaf(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    const struct gather *gather = arg;
    const struct page *page;

    (void)va;
    if (unlikely((flags & MMU_SOFT) != 0)) {
        add_swapped(gather->usage, (swap_entry_t)(pa >> PAGE_SHIFT));
        return true;
    }
    if ((flags & MMU_SPECIAL) != 0) {
        return true; /* the zero page, devices, the vDSO: nobody's memory */
    }
    page = phys_to_page(pa);
    if ((flags & MMU_HUGE) != 0) {
        *(page->kind == PAGE_ANON     ? &gather->usage->anon_huge
          : page->kind == PAGE_SHARED ? &gather->usage->shmem_huge
                                      : &gather->usage->file_huge) += npages << PAGE_SHIFT;
    }
    for (uint64_t i = 0; i < npages; i++) {
        add_page(gather, page + i, flags);
    }
    return true;
}

void vm_region_usage(struct vm_region *region, struct vm_usage *usage)
{
    struct gather gather = {.usage = usage, .locked = (region->flags & VM_LOCKED) != 0};

    (void)vmspace_walk(region->vm, region->start, region->end, add_leaf, &gather);
}

bool vm_page_is_zero(const struct page *page)
{
    return page == vm_zero_page;
}

/* ---- references ---- */

static bool forget_leaf(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    (void)arg;
    (void)va;
    for (uint64_t i = 0; (flags & (MMU_SOFT | MMU_SPECIAL)) == 0 && i < npages; i++) {
        struct page *page = phys_to_page(pa) + i;
        (void)__atomic_fetch_and(&page->flags, (uint16_t)~PAGE_FLAG_REFERENCED, __ATOMIC_RELAXED);
    }
    return true;
}

void vm_region_clear_referenced(struct vm_region *region)
{
    struct vmspace *vm = region->vm;
    struct mmu_flush flush;

    mmu_flush_init(&flush, &vm->mmu);
    (void)vmspace_walk(vm, region->start, region->end, forget_leaf, NULL);
    (void)mmu_clear_accessed(&vm->mmu, region->start, region->end, &flush);
    mmu_flush_finish(&flush);
}
