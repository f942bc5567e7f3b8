/*
 * Huge pages as the other files of kernel/vm use them. Private to kernel/vm.
 */
#pragma once

#include "kernel/vm/huge.h"
#include "kernel/vm/private.h"

/* May huge pages be made in this region at all? */
static inline bool region_wants_huge(const struct vm_region *region)
{
    enum huge_mode mode = atomic_load_relaxed(&vm_huge.mode);

    if (region->source != NULL || mode == HUGE_NEVER || region->vm->huge_disabled ||
        (region->flags & (VM_NOHUGE | VM_SHARED | VM_SPECIAL | VM_GROWSDOWN)) != 0) {
        return false;
    }
    return mode == HUGE_ALWAYS || (region->flags & VM_HUGE) != 0;
}

/* Cheap: might a first write to the region be served by a huge page? */
static inline bool region_may_be_huge(const struct vm_region *region)
{
    return region->end - region->start >= HUGE_PAGE_SIZE && (region->flags & VM_NOHUGE) == 0;
}

/* First write at va: true when a huge page is there now. The region is held as for any fault. */
bool huge_fault(struct vmspace *vm, struct vm_region *region, uint64_t va);
/* First read: true when 2 MiB of zeros are there now. */
bool huge_read(struct vmspace *vm, struct vm_region *region, uint64_t va);
static inline bool huge_is_zeros(unsigned mmu_flags)
{
    return (mmu_flags & (MMU_HUGE | MMU_SPECIAL)) == (MMU_HUGE | MMU_SPECIAL);
}
/* A write to them: a huge page or small zeros take their place, and the fault looks again. -ENOMEM. No lock of a block held. */
int huge_write_zeros(struct vmspace *vm, struct vm_region *region, uint64_t va);
/*
 * Write to a huge leaf without the right: 1, it has it now, because all its frames are this space's alone; 0, it is split, the entry of
 * the page is to be dealt with; -ENOMEM. `pa` is the page's. The lock of the block is held.
 */
int huge_cow_locked(struct vmspace *vm, const struct vm_region *region, uint64_t va, paddr_t pa,
                    struct mmu_flush *flush);
/*
 * Before the region is cut at `at`, or a part that begins or ends there is emptied: no leaf lies across, and faults make none until
 * vm->lock, held for writing, is given back. -ENOMEM.
 */
int huge_split_at_slow(struct vm_region *region, uint64_t at);
static inline int huge_split_at(struct vm_region *region, uint64_t at)
{
    uint64_t size = region->end - region->start;

    if (size < HUGE_PAGE_SIZE || IS_ALIGNED(at, GIANT_PAGE_SIZE) ||
        (IS_ALIGNED(at, HUGE_PAGE_SIZE) && size < GIANT_PAGE_SIZE)) {
        return 0;
    }
    return huge_split_at_slow(region, at);
}
/*
 * A block for a huge page at `start` of a region (NULL: not known yet); `compact`: it may take work to make one. NULL: none to be had so.
 * May sleep then.
 */
struct page *huge_take(const struct vm_region *region, uint64_t start, bool compact);
/* Make it 512 anonymous pages for the 2 MiB at `start`, counted as mapped once, cleared if wanted. */
void huge_make(struct page *first, const struct vm_region *region, uint64_t start, bool clear);
/* One more leaf shows the frames. */
void huge_map_get(struct page *first);

/* ---- collapse.c ---- */

/* khugepaged looks at the space from now on. */
void huge_watch_slow(struct vmspace *vm);
static inline void huge_watch(struct vmspace *vm)
{
    if (!atomic_load_relaxed(&vm->huge_watched)) {
        huge_watch_slow(vm);
    }
}
/* The space goes. */
void huge_forget(struct vmspace *vm);
/* One go of khugepaged over the spaces it watches. False: there was no block to be had. */
bool huge_scan(void);
/* madvise(MADV_COLLAPSE). vm->lock not held. */
int vm_collapse_range(struct vmspace *vm, uint64_t start, uint64_t end);
