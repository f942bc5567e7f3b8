/*
 * Gathering small pages into huge ones: khugepaged, and madvise(MADV_COLLAPSE).
 *
 * With vm->lock held for writing nobody adds to the page table. The entries of the 2 MiB are taken out and the CPUs told; from then on the
 * contents stand still but for somebody who has a reference besides those of mappings (a debugger, reclaim): then everything is put
 * back, for which the table is still there. Otherwise the contents are copied, the table goes, and the leaf takes its place.
 *
 * khugepaged looks at the spaces in which a fault would have liked a huge page and found the place begun in small ones, or for which
 * MADV_HUGEPAGE was given; so in a system without such spaces it sleeps for good. A space leaves the list when it ends.
 *
 * Locks: watched_lock (spin) the list and the place where the scan stands.
 */
#include <linux/mman.h>

#include "kernel/base/errno.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/time.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vm/huge_fault.h"
#include "kernel/vm/region_lock.h"

static struct spinlock watched_lock = SPINLOCK_INIT("khugepaged");
static struct list_node watched = LIST_INIT(watched); /* [watched_lock] struct vmspace.huge_link */
static struct vmspace *scan_vm; /* [watched_lock] where the next go begins; NULL: with the first */
static uint64_t scan_addr;      /* [watched_lock] in it */
static struct wait_queue scan_wait = WAIT_QUEUE_INIT(scan_wait);

/* ---- is it worth it? ---- */

struct block_view {
    unsigned present, shared;
    nodemask_t nodes;
    bool writable; /* some page was written to here */
    bool hopeless; /* huge already, or something that cannot be gathered */
};

static bool view_entry(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    struct block_view *view = arg;

    (void)va;
    (void)npages;
    if ((flags & MMU_SPECIAL) != 0) {
        return true; /* the zero page: as good as nothing */
    }
    const struct page *page = phys_to_page(pa);
    if ((flags & (MMU_HUGE | MMU_SOFT)) != 0 || page->kind != PAGE_ANON) {
        view->hopeless = true;
        return false;
    }
    view->present++;
    view->nodes |= BIT(page_node(page));
    view->shared += atomic_load_relaxed(&page->mapcount) > 1;
    view->writable |= (flags & MMU_WRITE) != 0;
    return true;
}

/* vm->lock held. `asked`: by the program itself, which the limits for khugepaged do not bind. */
static bool block_is_worth_it(struct vm_region *region, uint64_t start, bool asked)
{
    struct block_view view = {0};
    uint64_t end = start + HUGE_PAGE_SIZE;

    if (start < region->start || end > region->end) {
        return false;
    }
    (void)mmu_walk(&region->vm->mmu, start, end, view_entry, &view);
    if (view.hopeless || view.present == 0) {
        return false;
    }
    return asked || (view.writable &&
                     HUGE_PAGES - view.present <= atomic_load_relaxed(&vm_huge.max_ptes_none) &&
                     view.shared <= atomic_load_relaxed(&vm_huge.max_ptes_shared));
}

/* ---- gathering one ---- */

struct gather {
    uint64_t start;
    unsigned present;
    bool mixed;                     /* something came that cannot be gathered */
    struct page *pages[HUGE_PAGES]; /* NULL: nothing, or the zero page */
    uint64_t soft[HUGE_PAGES];      /* value + 1 of a soft entry */
};

static bool gather_entries(void *arg, vaddr_t va, const paddr_t *pas, unsigned n, unsigned flags)
{
    struct gather *gather = arg;
    unsigned first = (unsigned)((va - gather->start) >> PAGE_SHIFT);

    if ((flags & MMU_SOFT) != 0) {
        gather->soft[first] = (pas[0] >> PAGE_SHIFT) + 1;
        gather->mixed = true;
    } else if ((flags & MMU_SPECIAL) == 0) {
        for (unsigned i = 0; i < n; i++) {
            gather->pages[first + i] = phys_to_page(pas[i]);
        }
        gather->present += n;
    }
    return true;
}

/* Somebody else has a reference to one of the pages, and may be at its content. */
static bool gathered_are_pinned(const struct gather *gather)
{
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        const struct page *page = gather->pages[i];
        if (page != NULL &&
            (atomic_load_acquire(&page->refs) != atomic_load_relaxed(&page->mapcount) ||
             page->kind != PAGE_ANON)) {
            return true;
        }
    }
    return false;
}

/*
 * Everything back into the table, which is there. Not writable: the next write looks whose the page is. Dirty: nobody knows any more which were
 * not, and lazy ones that were must stay.
 */
static void gather_undo(struct vm_region *region, struct gather *gather)
{
    struct vmspace *vm = region->vm;
    unsigned flags = region_mmu_flags(region, false) | MMU_DIRTY;
    struct mmu_flush flush;

    mmu_flush_init(&flush, &vm->mmu);
    vm_table_lock(vm, gather->start);
    (void)mmu_map_pages(&vm->mmu, gather->start, gather->pages, HUGE_PAGES, flags);
    for (unsigned i = 0; gather->mixed && i < HUGE_PAGES; i++) {
        uint64_t va = gather->start + i * PAGE_SIZE;
        if (gather->soft[i] != 0) {
            (void)mmu_map(&vm->mmu, va, page_to_phys(vm_zero_page), flags | MMU_SPECIAL);
            mmu_replace_soft(&vm->mmu, va, gather->soft[i] - 1, &flush);
        }
    }
    vm_table_unlock(vm, gather->start);
    mmu_flush_finish(&flush);
}

static void gather_copy(const struct gather *gather, struct page *first)
{
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        if (gather->pages[i] != NULL) {
            page_copy(page_to_virt(first + i), page_to_virt(gather->pages[i]));
        } else {
            page_clear(page_to_virt(first + i));
        }
    }
}

/* The empty table goes and the leaf takes its place; the old pages are let go. */
static void gather_finish(struct vm_region *region, struct gather *gather, struct page *first)
{
    struct vmspace *vm = region->vm;
    uint64_t end = gather->start + HUGE_PAGE_SIZE;
    struct mmu_flush flush;

    mmu_flush_init(&flush, &vm->mmu);
    flush.floor = gather->start;
    flush.ceiling = end;
    (void)mmu_unmap(&vm->mmu, gather->start, end, &flush, NULL, NULL);
    mmu_flush_finish(&flush);
    atomic_store_relaxed(&vm->has_huge, true);
    vm_table_lock(vm, gather->start);
    int err =
        mmu_map_huge(&vm->mmu, gather->start, page_to_phys(first), region_mmu_flags(region, true));
    vm_table_unlock(vm, gather->start);
    BUG_ON(err < 0); /* the slot was emptied just now, and the tables above it are there */
    vm_rss_add(&vm->rss_anon, (int64_t)HUGE_PAGES - gather->present);
    vm_move_locks(region, gather->pages, first, HUGE_PAGES);
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        if (gather->pages[i] != NULL) {
            page_unmap_put(gather->pages[i]);
        }
    }
    vm_count(huge_collapse_alloc, 1);
    (void)atomic_fetch_add_relaxed(&vm_huge.pages_collapsed, 1);
}

/* What it takes, had before vm->lock is taken: making a block may mean work. */
struct supplies {
    struct page *block;
    struct gather *gather;
};

static int supplies_get(struct supplies *supplies, bool compact)
{
    supplies->gather = kzalloc(sizeof(*supplies->gather));
    supplies->block = supplies->gather == NULL ? NULL : huge_take(NULL, 0, compact);
    if (supplies->block == NULL) {
        kfree(supplies->gather);
        vm_count(huge_collapse_failed, 1);
        return -ENOMEM;
    }
    return 0;
}

/* What was not used goes back. */
static void supplies_put(struct supplies *supplies)
{
    if (supplies->block != NULL) {
        frame_free(supplies->block);
    }
    kfree(supplies->gather);
}

/* Are the pages on this node? They stay where they are: that may have been somebody's choice. vm->lock held. */
static bool block_is_on_node(struct vm_region *region, uint64_t start, unsigned node)
{
    struct block_view view = {0};

    (void)mmu_walk(&region->vm->mmu, start, start + HUGE_PAGE_SIZE, view_entry, &view);
    return (view.nodes & ~BIT(node)) == 0;
}

/* 0, and the block is used up; -EAGAIN: in use otherwise right now. vm->lock held for writing, and it is worth it. */
static int block_collapse(struct vm_region *region, uint64_t start, struct supplies *supplies)
{
    struct vmspace *vm = region->vm;
    struct gather *gather = supplies->gather;
    struct mmu_flush flush;
    int err = 0;

    if (nodes_count() > 1 && !block_is_on_node(region, start, page_node(supplies->block))) {
        return -EAGAIN;
    }
    gather->start = start;
    region_lock(region);
    mmu_flush_init(&flush, &vm->mmu);
    (void)mmu_unmap(&vm->mmu, start, start + HUGE_PAGE_SIZE, &flush, gather_entries, gather);
    mmu_flush_finish(&flush);
    if (gather->mixed || gathered_are_pinned(gather)) {
        gather_undo(region, gather);
        err = -EAGAIN;
    } else {
        huge_make(supplies->block, region, start, false);
        gather_copy(gather, supplies->block);
        gather_finish(region, gather, supplies->block);
        supplies->block = NULL;
    }
    return err;
}

/* ---- madvise(MADV_COLLAPSE) ---- */

/* What an entry of the range is already, or cannot be. */
static int collapse_at(struct vmspace *vm, uint64_t start, struct supplies *supplies)
{
    struct vm_region *region = region_lookup(vm, start);
    paddr_t pa;
    unsigned flags;

    if (region == NULL || region->start > start) {
        return -ENOMEM;
    }
    /* The mode of the system does not count here, but what the process or the region refused does. */
    if (region->source != NULL || vm->huge_disabled ||
        (region->flags & (VM_NOHUGE | VM_SHARED | VM_SPECIAL | VM_GROWSDOWN)) != 0 ||
        region->end < start + HUGE_PAGE_SIZE) {
        return -EINVAL;
    }
    if (mmu_query(&vm->mmu, start, &pa, &flags) && (flags & MMU_HUGE) != 0) {
        return 0;
    }
    return block_is_worth_it(region, start, true) ? block_collapse(region, start, supplies)
                                                  : -EINVAL;
}

int vm_collapse_range(struct vmspace *vm, uint64_t start, uint64_t end)
{
    int result = 0;

    if (ALIGN_UP(start, HUGE_PAGE_SIZE) >= ALIGN_DOWN(end, HUGE_PAGE_SIZE)) {
        return 0; /* nothing whole in it: all of that is done */
    }
    for (start = ALIGN_UP(start, HUGE_PAGE_SIZE); start + HUGE_PAGE_SIZE <= end;
         start += HUGE_PAGE_SIZE) {
        struct supplies supplies;
        int err = supplies_get(&supplies, true);
        if (err < 0) {
            return err;
        }
        rwsem_lock_write(&vm->lock);
        err = collapse_at(vm, start, &supplies);
        vm_unlock_write(vm);
        supplies_put(&supplies);
        if (err == -ENOMEM || err == -EINVAL) {
            return err;
        }
        result = err < 0 ? err : result;
    }
    return result;
}

/* ---- khugepaged ---- */

void huge_watch_slow(struct vmspace *vm)
{
    spin_lock(&watched_lock);
    if (!vm->huge_watched) {
        atomic_store_relaxed(&vm->huge_watched, true);
        list_push_back(&watched, &vm->huge_link);
    }
    spin_unlock(&watched_lock);
    wait_wake_all(&scan_wait, 0);
}

static struct vmspace *watched_after(struct vmspace *vm)
{
    return vm->huge_link.next == &watched
               ? NULL
               : container_of(vm->huge_link.next, struct vmspace, huge_link);
}

void huge_forget(struct vmspace *vm)
{
    if (!atomic_load_relaxed(&vm->huge_watched)) {
        return;
    }
    spin_lock(&watched_lock);
    if (scan_vm == vm) {
        scan_vm = watched_after(vm);
        scan_addr = 0;
    }
    list_remove(&vm->huge_link);
    spin_unlock(&watched_lock);
}

/* The first block from *addr on, in a region that wants huge pages, that is worth it. `budget` pages may be looked at. */
static bool find_block(struct vmspace *vm, uint64_t *addr, int64_t *budget)
{
    bool found = false;

    rwsem_lock_read(&vm->lock);
    struct vm_region *region = region_lookup(vm, *addr);
    for (; region != NULL && !found && *budget > 0; region = vm_region_next(region)) {
        uint64_t start = ALIGN_UP(MAX(*addr, region->start), HUGE_PAGE_SIZE);
        if (!region->touched || !region_wants_huge(region)) {
            continue;
        }
        while (start + HUGE_PAGE_SIZE <= region->end && *budget > 0) {
            start = ALIGN_DOWN(mmu_skip_hole(&vm->mmu, start, region->end), HUGE_PAGE_SIZE);
            *addr = start + HUGE_PAGE_SIZE;
            *budget -= HUGE_PAGES;
            if (block_is_worth_it(region, start, false)) {
                found = true;
                *addr = start;
                break;
            }
            start = *addr;
        }
    }
    rwsem_unlock_read(&vm->lock);
    if (!found && *budget > 0) {
        *addr = UINT64_MAX; /* the end of the space */
    }
    return found;
}

#define NO_BLOCK INT64_MIN /* a budget: there is no block to be had */

/* Work through a space from `addr` on; returns where to go on, UINT64_MAX: it is done. */
static uint64_t scan_space(struct vmspace *vm, uint64_t addr, int64_t *budget)
{
    while (addr != UINT64_MAX && *budget > 0 && find_block(vm, &addr, budget)) {
        struct supplies supplies;
        if (supplies_get(&supplies, atomic_load_relaxed(&vm_huge.khugepaged_defrag) != 0) < 0) {
            *budget = NO_BLOCK;
            break;
        }
        rwsem_lock_write(&vm->lock);
        struct vm_region *region = region_lookup(vm, addr);
        if (region != NULL && region_wants_huge(region) && block_is_worth_it(region, addr, false)) {
            (void)block_collapse(region, addr, &supplies);
        }
        vm_unlock_write(vm);
        supplies_put(&supplies);
        addr += HUGE_PAGE_SIZE;
    }
    return addr;
}

/* The space where the scan stands, referenced; NULL: a round over all is over. */
static struct vmspace *scan_current(uint64_t *ret_addr)
{
    struct vmspace *vm;

    spin_lock(&watched_lock);
    vm = scan_vm;
    if (vm == NULL && !list_empty(&watched)) {
        vm = list_first_entry(&watched, struct vmspace, huge_link);
        scan_addr = 0;
    }
    /* Whoever is about to end waits for the lock in huge_forget(), so the links hold. */
    while (vm != NULL && !refcount_get_unless_zero(&vm->refs)) {
        vm = watched_after(vm);
        scan_addr = 0;
    }
    scan_vm = vm;
    *ret_addr = scan_addr;
    spin_unlock(&watched_lock);
    return vm;
}

static bool scan_advance(struct vmspace *vm, uint64_t addr)
{
    bool round = false;

    spin_lock(&watched_lock);
    if (scan_vm == vm) {
        scan_addr = addr;
        if (addr == UINT64_MAX) {
            scan_vm = watched_after(vm);
            scan_addr = 0;
            round = scan_vm == NULL;
        }
    }
    spin_unlock(&watched_lock);
    return round;
}

bool huge_scan(void)
{
    int64_t budget = atomic_load_relaxed(&vm_huge.pages_to_scan);
    bool round = false;

    while (budget > 0 && !round) {
        uint64_t addr;
        struct vmspace *vm = scan_current(&addr);
        if (vm == NULL) {
            break;
        }
        addr = scan_space(vm, addr, &budget);
        round = scan_advance(vm, addr);
        vmspace_put(vm);
    }
    if (round) {
        (void)atomic_fetch_add_relaxed(&vm_huge.full_scans, 1);
    }
    return budget != NO_BLOCK;
}

static bool nothing_to_watch(void)
{
    return list_empty(&watched) || atomic_load_relaxed(&vm_huge.mode) == HUGE_NEVER;
}

static void khugepaged(void *arg)
{
    (void)arg;
    for (;;) {
        (void)wait_event_interruptible(&scan_wait, !nothing_to_watch());
        uint32_t *pause_ms = huge_scan() ? &vm_huge.scan_sleep_ms : &vm_huge.alloc_sleep_ms;
        ktime_t pause = (ktime_t)MAX(atomic_load_relaxed(pause_ms), 10u) * NS_PER_MS;
        (void)thread_sleep_until_interruptible(ktime_now() + pause);
    }
}

void huge_set_mode(enum huge_mode mode)
{
    atomic_store_relaxed(&vm_huge.mode, mode);
    wait_wake_all(&scan_wait, 0);
}

void huge_start(void)
{
    struct thread *thread = thread_create_kernel("khugepaged", khugepaged, NULL);

    if (thread == NULL) {
        log_warn("vm: no memory for khugepaged");
        return;
    }
    thread_start(thread);
}
