/*
 * Accounting: what a space has mapped, against its limits and against the machine (commit.c); and the figures of the whole machine.
 */
#include "kernel/mm/frame.h"
#include "kernel/vm/private.h"

DEFINE_PER_CPU(struct vm_counters, vm_counters);

static inline bool is_data(uint32_t flags)
{
    return (flags & (VM_WRITE | VM_SHARED | VM_STACK)) == VM_WRITE;
}

static inline bool over(uint64_t pages, uint64_t limit_bytes)
{
    return unlikely(pages > limit_bytes >> PAGE_SHIFT);
}

int vm_may_grow(struct vmspace *vm, uint64_t npages, uint32_t flags)
{
    if (over(vm->total_pages + npages, atomic_load_relaxed(&vm->limit_as))) {
        return -ENOMEM;
    }
    if (is_data(flags) && over(vm->data_pages + npages, atomic_load_relaxed(&vm->limit_data))) {
        return -ENOMEM;
    }
    if ((flags & VM_LOCKED) != 0 &&
        over(vm->locked_pages + npages, atomic_load_relaxed(&vm->limit_memlock)) &&
        !vm_lock_is_unlimited()) {
        return -EAGAIN;
    }
    if (vm_is_committed(flags) && !vm_may_commit(vm, npages)) {
        return -ENOMEM;
    }
    return 0;
}

void vm_account(struct vmspace *vm, int64_t npages, uint32_t flags)
{
    uint64_t n = (uint64_t)npages;

    if (npages < 0 && vm->total_pages > vm->total_peak) {
        vm->total_peak = vm->total_pages;
    }
    vm->total_pages += n;
    if ((flags & VM_STACK) != 0) {
        vm->stack_pages += n;
    } else if (is_data(flags)) {
        vm->data_pages += n;
    } else if ((flags & (VM_EXEC | VM_WRITE)) == VM_EXEC) {
        vm->exec_pages += n;
    }
    if (unlikely((flags & VM_LOCKED) != 0)) {
        vm->locked_pages += n;
    }
    if (vm_is_committed(flags)) {
        vm_commit(npages);
    }
}

void vm_note_peak(struct vmspace *vm)
{
    uint64_t rss = atomic_load_relaxed(&vm->rss_anon) + atomic_load_relaxed(&vm->rss_file) +
                   atomic_load_relaxed(&vm->rss_shared);

    if (rss > atomic_load_relaxed(&vm->rss_peak)) {
        atomic_store_relaxed(&vm->rss_peak, rss);
    }
}

uint64_t vmspace_rss_peak(struct vmspace *vm)
{
    vm_note_peak(vm);
    return atomic_load_relaxed(&vm->rss_peak);
}

void vmspace_reset_peak(struct vmspace *vm)
{
    atomic_store_relaxed(&vm->rss_peak, 0);
    vm_note_peak(vm);
}

uint64_t vmspace_total_peak(const struct vmspace *vm)
{
    uint64_t total = READ_ONCE(vm->total_pages);

    return MAX(READ_ONCE(vm->total_peak), total);
}

void vm_stats(struct vm_stats *ret_stats)
{
    struct frame_stats frames;
    unsigned cpu;

    *ret_stats = (struct vm_stats){0};
    for_each_cpu (cpu) {
        const struct vm_counters *counters = per_cpu_ptr(vm_counters, cpu);
        ret_stats->faults += READ_ONCE(counters->faults);
        ret_stats->major_faults += READ_ONCE(counters->major_faults);
        ret_stats->cow_copies += READ_ONCE(counters->cow_copies);
        ret_stats->cow_reuses += READ_ONCE(counters->cow_reuses);
        ret_stats->zero_fills += READ_ONCE(counters->zero_fills);
        ret_stats->file_maps += READ_ONCE(counters->file_maps);
        ret_stats->lazy_marked += READ_ONCE(counters->lazy_marked);
        ret_stats->lazy_freed += READ_ONCE(counters->lazy_freed);
        ret_stats->mapped_pages += (uint64_t)READ_ONCE(counters->mapped);
    }
    frame_stats(&frames);
    ret_stats->committed_pages = vm_committed();
    ret_stats->shared_pages = frames.by_kind[PAGE_SHARED];
    ret_stats->page_cache_pages = frames.by_kind[PAGE_FILE];
    ret_stats->anon_pages = frames.by_kind[PAGE_ANON];
}
