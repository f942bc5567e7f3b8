/*
 * Page faults: finding the region, judging the access, and making anonymous memory appear. Pages of files: fault_file.c.
 *
 * Memory that is touched page after page in ascending order is given out in growing batches (1, 2, 4 ... 16 pages), so that a program
 * that fills a buffer pays for the exception once in sixteen pages, and one that touches here and there pays no memory for it:
 * at most as many pages are given ahead as the run has touched. A thread has a few runs at a time, wherever they are.
 *
 * Several threads may fault at once: page table entries change under the lock of their block, and what was found before it was taken is looked
 * at again.
 */
#include "kernel/vm/fault.h"
#include "kernel/base/string.h"
#include "kernel/machine/entry.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/vm/fault_log.h"
#include "kernel/vm/huge_fault.h"
#include "kernel/vm/mempolicy.h"
#include "kernel/vm/oom.h"
#include "kernel/vm/region_lock.h"
#include "kernel/vm/rmap.h"

#define STACK_GROW_BYTES KIB(64) /* stacks grow by so much at a time */

/* ---- anonymous memory ---- */

/* The run that goes on at va, or, with a window of 0, the one that is forgotten for one that begins there. */
static __noinline unsigned run_other(struct thread_fault_runs *runs, uint64_t va)
{
    for (unsigned i = 0; i < FAULT_RUNS; i++) {
        if (runs->next[i] == va) {
            return i;
        }
    }
    unsigned oldest = (runs->last + 1) % FAULT_RUNS;
    runs->window[oldest] = 0;
    return oldest;
}

/* How many pages from va on the running thread, which touches va, is given. */
static inline unsigned run_window(const struct vm_region *region, uint64_t va)
{
    struct thread_fault_runs *runs = &current_thread()->fault_runs;
    unsigned run = runs->last;

    if (runs->next[run] != va) {
        run = run_other(runs, va);
        runs->last = run;
    }
    unsigned window = CLAMP(runs->window[run] * 2u, 1u, (unsigned)FAULT_BATCH);
    uint64_t end = MIN(region->end, ALIGN_DOWN(va, HUGE_PAGE_SIZE) + HUGE_PAGE_SIZE);
    window = (unsigned)MIN((uint64_t)window, (end - va) >> PAGE_SHIFT);
    runs->window[run] = (uint16_t)window;
    runs->next[run] = va + window * PAGE_SIZE;
    return window;
}

bool vm_entry_exists_locked(struct vmspace *vm, uint64_t va)
{
    paddr_t pa;
    unsigned flags;
    uint64_t value;

    return mmu_query(&vm->mmu, va, &pa, &flags) || mmu_query_soft(&vm->mmu, va, &value);
}

int vm_map_one(struct vmspace *vm, uint64_t va, struct page *page, unsigned mmu_flags)
{
    vm_table_lock(vm, va);
    int err = mmu_map(&vm->mmu, va, page_to_phys(page), mmu_flags);
    vm_table_unlock(vm, va);
    return err;
}

/* First write to `n` pages from va on, of which only the first must succeed. */
static __noinline int anon_fill_run(struct vmspace *vm, struct vm_region *region, uint64_t va,
                                    unsigned n)
{
    struct page *pages[FAULT_BATCH];
    unsigned got = vm_frame_alloc_bulk(region, va, n, FRAME_ZERO | FRAME_RECLAIM, pages);

    if (got == 0) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < got; i++) {
        pages[i]->mapcount = 1;
        rmap_page_made(pages[i], region, va + i * PAGE_SIZE);
    }
    lru_add_new(pages, got);
    vm_table_lock(vm, va);
    int mapped = mmu_map_pages(&vm->mmu, va, pages, got, region_mmu_flags(region, true));
    /* Not in use either, so there was no memory for a table. Without the lock reclaim could make it look so. */
    bool starved = unlikely(mapped == 0) && !vm_entry_exists_locked(vm, va);
    vm_table_unlock(vm, va);
    vm_rss_add(&vm->rss_anon, mapped);
    if (unlikely((unsigned)mapped < got)) {
        for (unsigned i = 0; i < got; i++) {
            if (pages[i] != NULL) {
                page_unmap_put(pages[i]);
            }
        }
    }
    return unlikely(starved) ? -ENOMEM : 0;
}

static inline int anon_fill(struct vmspace *vm, struct vm_region *region, uint64_t va)
{
    if (unlikely(region_may_be_huge(region)) && huge_fault(vm, region, va)) {
        return 0;
    }
    unsigned n = run_window(region, va);

    region->has_anon = true;
    vm_count(zero_fills, n);
    if (n > 1) {
        return anon_fill_run(vm, region, va, n);
    }
    struct page *page = vm_frame_alloc(region, va, 0, FRAME_ZERO | FRAME_RECLAIM);
    if (unlikely(page == NULL)) {
        return -ENOMEM;
    }
    page->mapcount = 1;
    rmap_page_made(page, region, va);
    lru_add_new(&page, 1);
    int err = vm_map_one(vm, va, page, region_mmu_flags(region, true));
    if (unlikely(err < 0)) {
        page_unmap_put(page);
        return err == -EEXIST ? 0 : err;
    }
    vm_rss_add(&vm->rss_anon, 1);
    return 0;
}

static int anon_read(struct vmspace *vm, struct vm_region *region, uint64_t va)
{
    if (unlikely(region_may_be_huge(region)) && huge_read(vm, region, va)) {
        return 0;
    }
    int err = vm_map_one(vm, va, vm_zero_page, region_mmu_flags(region, false) | MMU_SPECIAL);

    region->has_anon = true; /* fork copies the entry, as any other */
    return err == -EEXIST ? 0 : err;
}

/* ---- copy on write ---- */

/*
 * Is the entry at va one that a write fault still has to deal with? Then *ret_pa is what it shows, and *ret_page its page (NULL: the zero
 * page or device memory). Block lock held.
 */
static inline bool cow_needed_locked(struct vmspace *vm, uint64_t va, paddr_t *ret_pa,
                                     struct page **ret_page)
{
    unsigned flags;

    if (!mmu_query(&vm->mmu, va, ret_pa, &flags) || (flags & MMU_WRITE) != 0) {
        return false;
    }
    *ret_page = (flags & MMU_SPECIAL) != 0 ? NULL : phys_to_page(*ret_pa);
    return true;
}

/*
 * May the page become writable where it is? What a debugger writes where the program may not leaves no mark in the entry: so it is written to a
 * page that is not lazy.
 */
static inline bool page_is_own(const struct page *page, const struct vm_region *region)
{
    return page_is_exclusive(page) &&
           likely((page->flags & PAGE_FLAG_LAZY) == 0 || (region->flags & VM_WRITE) != 0);
}

/* A copy of what the entry at va shows, `old_pa`, takes its place; `old` is its page, referenced by the caller, or NULL. */
static int cow_copy(struct vmspace *vm, struct vm_region *region, uint64_t va, paddr_t old_pa,
                    struct page *old)
{
    struct mmu_flush flush;
    struct page *fresh =
        vm_frame_alloc(region, va, 0, old == NULL ? FRAME_ZERO | FRAME_RECLAIM : FRAME_RECLAIM);

    if (unlikely(fresh == NULL)) {
        return -ENOMEM;
    }
    if (old != NULL) {
        page_copy(page_to_virt(fresh), page_to_virt(old));
    }
    fresh->mapcount = 1;
    rmap_page_made(fresh, region, va);
    lru_add_new(&fresh, 1);
    region->has_anon = true;
    const unsigned rights = region_mmu_flags(region, true);
    const unsigned first = likely(vm_runs_alone(vm)) ? rights : rights & ~MMU_WRITE;
    mmu_flush_init(&flush, &vm->mmu);
    vm_table_lock(vm, va);
    bool done = mmu_exchange(&vm->mmu, va, old_pa, page_to_phys(fresh), first, &flush);
    if (unlikely(first != rights) && done) {
        mmu_flush_finish(&flush);
        mmu_replace(&vm->mmu, va, page_to_phys(fresh), rights, &flush);
    }
    vm_table_unlock(vm, va);
    if (unlikely(!done)) {
        page_unmap_put(fresh);
        return 0; /* somebody else was here: the access is tried again */
    }
    mmu_flush_finish(&flush);
    vm_count(cow_copies, 1);
    if (old != NULL) {
        if (old->kind != PAGE_ANON) {
            vm_rss_add(vm_rss_counter(vm, old), -1);
            vm_rss_add(&vm->rss_anon, 1);
            vm_count(mapped, -1);
        }
        page_unmap_put(old);
    } else {
        vm_rss_add(&vm->rss_anon, 1);
    }
    return 0;
}

enum { COW_SMALL, COW_DONE, COW_ZEROS };
/*
 * If the entry is a huge leaf: COW_DONE, it is writable now; COW_ZEROS, it shows zeros and nothing was done; COW_SMALL, there is none (any
 * more); -ENOMEM. Block lock held.
 */
static __noinline int cow_huge_locked(struct vmspace *vm, const struct vm_region *region,
                                      uint64_t va)
{
    struct mmu_flush flush; /* more rights for the same pages: nothing to do at once */
    paddr_t pa;
    unsigned flags;

    if (!mmu_query(&vm->mmu, va, &pa, &flags) || (flags & MMU_HUGE) == 0) {
        return COW_SMALL;
    }
    if (huge_is_zeros(flags)) {
        return COW_ZEROS;
    }
    mmu_flush_init(&flush, &vm->mmu);
    int done = huge_cow_locked(vm, region, va, pa, &flush);
    if (done == COW_DONE) {
        vm_count(cow_reuses, 1);
    }
    return done;
}

int vm_fault_cow(struct vmspace *vm, struct vm_region *region, uint64_t va)
{
    struct page *page;
    paddr_t pa;
    struct mmu_flush flush;

    vm_table_lock(vm, va);
    if (!cow_needed_locked(vm, va, &pa, &page)) {
        vm_table_unlock(vm, va);
        return 0;
    }
    if (unlikely(atomic_load_relaxed(&vm->has_huge))) {
        int err = cow_huge_locked(vm, region, va);
        if (err != COW_SMALL) {
            vm_table_unlock(vm, va);
            err = err == COW_ZEROS ? huge_write_zeros(vm, region, va) : MIN(err, 0);
            return err < 0 ? err : vm_fault_cow(vm, region, va);
        }
    }
    if (page != NULL && page_is_own(page, region)) {
        mmu_flush_init(&flush, &vm->mmu);
        mmu_replace(&vm->mmu, va, page_to_phys(page), region_mmu_flags(region, true), &flush);
        vm_table_unlock(vm, va);
        mmu_flush_finish(&flush);
        vm_count(cow_reuses, 1);
        return 0;
    }
    if (page != NULL) {
        page_get(page);
    }
    vm_table_unlock(vm, va);
    int err = cow_copy(vm, region, va, pa, page);
    if (page != NULL) {
        page_put(page);
    }
    return err;
}

/* ---- the fault ---- */

static inline int fault_anon(struct vmspace *vm, struct vm_region *region, uint64_t va,
                             unsigned flags)
{
    if ((flags & FAULT_PRESENT) != 0) {
        return (flags & FAULT_WRITE) != 0 ? vm_fault_cow(vm, region, va) : 0;
    }
    return (flags & FAULT_WRITE) != 0 ? anon_fill(vm, region, va) : anon_read(vm, region, va);
}

/* The page may be in swap: then it is brought back. False: it is not, *ret_err is untouched. */
static __noinline bool fault_soft(struct vmspace *vm, struct vm_region *region, uint64_t va,
                                  unsigned flags, int *ret_err)
{
    uint64_t value;

    if ((flags & FAULT_PRESENT) != 0 || !mmu_query_soft(&vm->mmu, va, &value)) {
        return false;
    }
    *ret_err = vm_fault_swap(vm, region, va, (swap_entry_t)value, flags);
    return true;
}

/* May the region be accessed so? */
static inline bool access_ok(const struct vm_region *region, unsigned flags)
{
    uint32_t need =
        VM_READ | VM_WRITE | VM_EXEC; /* to read, any will do: writable memory is readable here */

    if ((flags & FAULT_WRITE) != 0) {
        need = VM_WRITE;
    } else if ((flags & FAULT_EXEC) != 0) {
        need = VM_EXEC;
    }
    if (likely((region->flags & need) != 0)) {
        return true;
    }
    if ((flags & FAULT_FORCE) == 0 || (region->flags & VM_SPECIAL) != 0) {
        return false;
    }
    if ((flags & FAULT_WRITE) != 0) {
        return (region->flags & (VM_MAYWRITE | VM_SHARED)) == VM_MAYWRITE;
    }
    return (region->flags & VM_MAYREAD) != 0;
}

/* Make the stack above `addr` reach down to it. vm->lock held for writing. */
static int stack_grow_locked(struct vmspace *vm, struct vm_region *region, uint64_t addr)
{
    uint64_t limit = atomic_load_relaxed(&vm->limit_stack);
    uint64_t start = ALIGN_DOWN(addr, PAGE_SIZE);
    uint64_t roomy = ALIGN_DOWN(addr, STACK_GROW_BYTES);
    struct vm_region *prev = vm_region_prev(region);
    uint64_t floor = USER_MIN;

    if (prev != NULL) {
        bool guarded = (prev->flags & (VM_READ | VM_WRITE | VM_EXEC)) != 0;
        floor = prev->end + (guarded ? STACK_GUARD_BYTES : 0);
    }
    if (start < floor || region->end - start > limit) {
        return -EFAULT;
    }
    if (roomy >= floor && region->end - roomy <= limit) {
        start = roomy;
    }
    uint64_t npages = (region->start - start) >> PAGE_SHIFT;
    if (vm_may_grow(vm, npages, region->flags) < 0) {
        return -EFAULT;
    }
    vm_account(vm, (int64_t)npages, region->flags);
    region_resize(region, start, region->end);
    return 0;
}

/* Outside of every region: below a stack is the one good case. */
static __noinline int fault_outside(struct vmspace *vm, uint64_t addr, unsigned flags)
{
    int err = -EFAULT;

    rwsem_lock_write(&vm->lock);
    struct vm_region *region = region_lookup(vm, addr);
    if (region != NULL && region->start <= addr) {
        err = 0;
    } else if (region != NULL && (region->flags & VM_GROWSDOWN) != 0 && region->source == NULL) {
        err = stack_grow_locked(vm, region, addr);
    }
    vm_unlock_write(vm);
    return err < 0 ? err : vmspace_fault(vm, addr, flags);
}

/* In a region that the caller holds. */
static inline int fault_in(struct vmspace *vm, struct vm_region *region, uint64_t addr,
                           unsigned flags)
{
    uint64_t va = ALIGN_DOWN(addr, PAGE_SIZE);

    vm_count(faults, 1);
    if (unlikely(!access_ok(region, flags))) {
        return -EACCES;
    }
    int err;
    if (unlikely(atomic_load_relaxed(&vm->rss_swap) != 0) &&
        fault_soft(vm, region, va, flags, &err)) {
        return err;
    }
    region->touched = true;
    return likely(region->source == NULL) ? fault_anon(vm, region, va, flags)
                                          : vm_fault_file(vm, region, va, flags);
}

/* The region is being changed, or there is none. */
static __noinline int fault_locked(struct vmspace *vm, uint64_t addr, unsigned flags)
{
    rwsem_lock_read(&vm->lock);
    struct vm_region *region = vmspace_find(vm, addr);
    if (unlikely(region == NULL || region->start > addr)) {
        rwsem_unlock_read(&vm->lock);
        return fault_outside(vm, addr, flags);
    }
    int err = fault_in(vm, region, addr, flags);
    rwsem_unlock_read(&vm->lock);
    return err;
}

int vmspace_fault(struct vmspace *vm, uint64_t addr, unsigned flags)
{
    int err;

    might_sleep();
    do {
        struct vm_region *region = region_enter(vm, addr);
        if (likely(region != NULL)) {
            err = fault_in(vm, region, addr, flags);
            region_leave(region);
        } else {
            err = fault_locked(vm, addr, flags);
        }
    } while (unlikely(err == -ENOMEM) && vm_out_of_memory());
    return err;
}

int machine_page_fault(vaddr_t addr, unsigned flags)
{
    struct thread *thread = current_thread();

    if (unlikely(addr >= USER_TOP || thread->vm == NULL || thread->fault_disabled != 0)) {
        return -EFAULT;
    }
    uint64_t slept = thread->nvcsw;
    thread->minflt++;
    int err = likely(!fault_log_on) ? vmspace_fault(thread->vm, addr, flags)
                                    : fault_log_fault(thread->vm, addr, flags);
    if (unlikely(err == -ENOMEM) && (flags & FAULT_USER) != 0 && thread_signal_pending(thread)) {
        return 0; /* it is being killed, which happens on the way back to user mode */
    }
    if (unlikely(thread->nvcsw != slept) && thread->rseq.area != NULL) {
        thread_set_work(thread, THREAD_WORK_RSEQ); /* others ran here meanwhile */
    }
    return err;
}
