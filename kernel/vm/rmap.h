/*
 * Reverse mapping: from a page to the page table entries that show it.
 *
 * An anonymous page knows its *family*, all the spaces that descend by fork from one execve, and the number of the virtual page at which it was
 * made. fork leaves pages where they are, so whoever shares the page shows it at the same number, but for regions that mremap moved: these
 * carry how far (vpn_delta) and are listed in the family. Where such a region grows, the number of what is made may lie outside of user memory:
 * the list alone leads to it. A page of a file or of shared memory is found by the regions of its page cache
 * (file_regions.h).
 *
 * A walk proposes addresses and looks into the page table there: what it calls back for is true, whatever happened to regions meanwhile. It may
 * miss an entry that is just being moved or made by fork, so page->mapcount has the last word on whether all were found.
 *
 * Locking: family->lock (spinning, for reading) is held while anonymous mappings are visited, the cache's rmap_lock for others; inside, the table locks of
 * each space in turn, from outside (mmu_locks.h). Families are never given back to the allocator of memory: what page->owner leads to is always a family, if perhaps not the
 * page's any more.
 */
#pragma once

#include "kernel/vm/private.h"

#define FAMILY_INLINE   4u
#define FAMILY_VPN_BITS 48u /* of page->index; the space's slot above is a hint */

struct vm_family {
    struct rwlock lock;
    uint32_t capacity;                  /* [lock] of `spaces` */
    uint32_t nspaces;                   /* [lock] living ones; 0: the family is in the pool */
    uint32_t first_free;                /* [lock] no slot below is free */
    struct vmspace **spaces;            /* [lock] by slot; NULL: the slot is free */
    struct vmspace *few[FAMILY_INLINE]; /* [lock] the first array */
    struct list_node moved;             /* [lock] regions with a vpn_delta, by moved_link */
    struct vm_family *next_free;        /* [pool lock] */
};

/* A family of which `vm` is the first member. -ENOMEM. */
int vm_family_found(struct vmspace *vm);
/* One more, forked from a member. -ENOMEM. */
int vm_family_join(struct vmspace *vm, struct vm_family *family);
/* `vm` has no regions any more. A space that never joined is fine. */
void vm_family_leave(struct vmspace *vm);

/* The region's pages were made so many page numbers higher up (vpn_delta), and it is in its space's tree, or about to leave it. */
void rmap_region_moved(struct vm_region *region);
void rmap_region_gone_moved(struct vm_region *region);
static inline void rmap_region_gone(struct vm_region *region)
{
    if (unlikely(region->vpn_delta != 0)) {
        rmap_region_gone_moved(region);
    }
}

/* A fresh anonymous page is about to be mapped at va. Plain stores: nobody else knows it, or it is locked. */
static __always_inline void rmap_page_made(struct page *page, const struct vm_region *region,
                                           uint64_t va)
{
    const struct vmspace *vm = region->vm;

    page->owner = vm->family;
    page->index = ((va >> PAGE_SHIFT) + (uint64_t)region->vpn_delta) |
                  ((uint64_t)vm->family_slot << FAMILY_VPN_BITS);
}

/*
 * The page is shown at va of vm, with these MMU_* flags, which stay so while the function runs: the table lock is held. What it changes
 * it notes in `flush`, which is finished before the walk goes on. False ends the walk.
 */
typedef bool rmap_fn(void *arg, struct vmspace *vm, uint64_t va, unsigned mmu_flags,
                     struct mmu_flush *flush);
#define RMAP_NOWAIT 0x1u /* do not wait for the lock of a file's regions */
/*
 * Call fn for each entry that shows `page`, to which the caller has a reference; a page of a file is locked (page_trylock) besides, so
 * that its cache stays. May sleep for pages of files, unless RMAP_NOWAIT. -EAGAIN: the file's lock was taken, nothing was visited.
 */
int rmap_walk(struct page *page, unsigned flags, rmap_fn *fn, void *arg);
/*
 * The same for every place where `page` may be shown if it is, or was, at `index` of the cache, which stays for the length of the call; all of
 * them are looked at, so none that was shown before is shown after fn has taken it away.
 */
int rmap_walk_cached(struct pagecache *cache, uint64_t index, struct page *page, unsigned flags,
                     rmap_fn *fn, void *arg);
