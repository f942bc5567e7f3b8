/*
 * fork: a second space with the same regions, sharing every page until one side writes.
 *
 * Page tables are copied only for regions that may hold anonymous pages. What a file mapping alone shows is found again by a fault, a batch
 * at a time, and most children exec or exit before they touch more than a few pages of it.
 */
#include "kernel/base/string.h"
#include "kernel/machine/mmu.h"
#include "kernel/vm/huge_fault.h"
#include "kernel/vm/private.h"
#include "kernel/vm/region_lock.h"
#include "kernel/vm/rmap.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/swap_unuse.h"

struct fork_count {
    uint64_t anon, file, shared, swap;
};

static __noinline bool fork_odd(struct fork_count *count, paddr_t pa, unsigned flags)
{
    if ((flags & MMU_SOFT) != 0) {
        swap_slot_get((swap_entry_t)(pa >> PAGE_SHIFT));
        count->swap++;
    } else if ((flags & MMU_SPECIAL) == 0) {
        huge_map_get(phys_to_page(pa));
        count->anon += HUGE_PAGES;
    }
    return true;
}

static __noinline void fork_not_anon(struct fork_count *count, const struct page *page)
{
    count->anon--;
    if (page->kind == PAGE_SHARED) {
        count->shared++;
    } else {
        count->file++;
    }
}

/* Each leaf that is copied is one more reference to its page. */
static bool fork_leaves(void *arg, vaddr_t va, const paddr_t *pas, unsigned n, unsigned flags)
{
    struct fork_count *count = arg;

    (void)va;
    if (unlikely((flags & (MMU_SOFT | MMU_SPECIAL | MMU_HUGE)) != 0)) {
        return fork_odd(count, pas[0], flags);
    }
    count->anon += n;
    for (unsigned i = 0; i < n; i++) {
        struct page *page = phys_to_page(pas[i]);
        page_map_get(page);
        if (unlikely(page->kind != PAGE_ANON)) {
            fork_not_anon(count, page);
        }
    }
    return true;
}

/* A copy of `region` at the end of child's tree. */
static struct vm_region *fork_region(struct vmspace *child, const struct vm_region *region)
{
    bool promised = !vm_is_committed(region->flags) || vm_may_commit(child, region_pages(region));
    struct vm_region *copy = promised ? region_alloc() : NULL;

    if (copy == NULL) {
        return NULL;
    }
    region_copy(copy, region);
    copy->flags &= ~(VM_LOCKED | VM_LOCKONFAULT); /* mlock(2): not inherited */
    region_append(child, copy);
    if (copy->source != NULL) {
        copy->source->ops->get(copy->source);
        (void)region_rmap_add(copy); /* the parent has the same */
    }
    rmap_region_moved(copy);
    vm_account(child, (int64_t)region_pages(copy), copy->flags);
    return copy;
}

static int fork_regions(struct vmspace *child, struct vmspace *parent, struct mmu_flush *flush)
{
    struct fork_count count = {0};
    int err = 0;

    for (struct vm_region *region = vmspace_first(parent); region != NULL && err == 0;
         region = vm_region_next(region)) {
        if (unlikely((region->flags & VM_DONTFORK) != 0)) {
            continue;
        }
        region_lock(region); /* nothing comes into a part of the parent that the child has */
        struct vm_region *copy = fork_region(child, region);
        if (copy == NULL) {
            err = -ENOMEM;
        } else if (region->has_anon && (region->flags & (VM_SHARED | VM_WIPEONFORK)) == 0) {
            err = mmu_copy(&child->mmu, &parent->mmu, region->start, region->end, true, flush,
                           fork_leaves, &count);
        } else {
            copy->has_anon = false;
            copy->touched = false;
        }
    }
    vm_rss_add(&child->rss_anon, (int64_t)count.anon);
    vm_rss_add(&child->rss_file, (int64_t)count.file);
    vm_rss_add(&child->rss_shared, (int64_t)count.shared);
    if (count.swap > 0) {
        vm_rss_add(&child->rss_swap, (int64_t)count.swap);
        swap_note_space(child);
    }
    vm_count(mapped, (int64_t)(count.file + count.shared));
    return err;
}

int vmspace_fork(struct vmspace *parent, struct vmspace **ret_child)
{
    struct vmspace *child = vmspace_alloc();
    struct mmu_flush flush;

    if (child == NULL) {
        return -ENOMEM;
    }
    mmu_flush_init(&flush, &parent->mmu);
    rwsem_lock_write(&parent->lock);
    vmspace_copy_layout(child, parent);
    int err = vm_family_join(child, parent->family);
    if (err == 0) {
        err = fork_regions(child, parent, &flush);
        /* The first may have come until its region was locked. */
        child->has_huge = parent->has_huge;
    }
    mmu_flush_finish(&flush);
    vm_unlock_write(parent);
    if (err < 0) {
        vmspace_put(child);
        return err;
    }
    *ret_child = child;
    return 0;
}
