/*
 * What the files of kernel/vm share.
 */
#pragma once

#include "kernel/base/errno.h"
#include "kernel/core/percpu.h"
#include "kernel/mm/page.h"
#include "kernel/vm/pagecache.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/vmspace.h"

/* ---- counters ---- */

struct vm_counters {
    uint64_t faults, major_faults, cow_copies, cow_reuses, zero_fills, file_maps;
    uint64_t lazy_marked, lazy_freed;
    uint64_t huge_fault_alloc, huge_fault_fallback, huge_collapse_alloc, huge_collapse_failed;
    int64_t mapped; /* page table entries that show pages of files and shared memory */
};
DECLARE_PER_CPU(struct vm_counters, vm_counters);
/* Preemption may move us between the two halves: a count on the wrong CPU does no harm, a lost one neither. */
#define vm_count(member, n) (this_cpu_ptr(vm_counters)->member += (n))

/* ---- page cache (pagecache.c) ---- */

static inline bool pagecache_is_backed(const struct pagecache *cache)
{
    return pagecache_has_medium(cache);
}
enum page_kind pagecache_kind(const struct pagecache *cache);
/* A value entry in the tree of a cache of shared memory: the page is in swap. Pages are aligned to 8. */
static inline bool cache_entry_is_swap(const void *entry)
{
    return ((uintptr_t)entry & 4) != 0;
}
static inline void *cache_entry_of_swap(swap_entry_t entry)
{
    return (void *)((uintptr_t)entry << 3 | 4);
}
static inline swap_entry_t cache_entry_swap(const void *entry)
{
    return (swap_entry_t)((uintptr_t)entry >> 3);
}
int pagecache_charge(struct pagecache *cache);
void pagecache_uncharge(struct pagecache *cache, uint64_t npages);
/*
 * Put a fresh page at `index`; its reference becomes the cache's. `beyond`: also behind the end of the file, else -EIO there. -EEXIST: something is
 * there already; -ENOMEM, -ENOSPC.
 */
int pagecache_add(struct pagecache *cache, uint64_t index, struct page *page, bool beyond);
/* Take the pages [first, last] out of the cache; returns how many there were. Mappings are the caller's matter. */
uint64_t pagecache_drop(struct pagecache *cache, uint64_t first, uint64_t last);
/* A frame for the page at `index`, on no list yet, from where the policies in force want it. NULL: no memory. */
struct page *pagecache_frame_alloc(struct pagecache *cache, uint64_t index, unsigned flags);
void pagecache_subsystem_init(void);

/* ---- the lock ---- */

/* Let go of regions that were taken out of a space. May sleep, whatever the file behind them does at its last reference. */
void vm_bury(struct vm_region *dead);
/*
 * Give vm->lock back, and only then the files that were mapped by the regions removed under it: their last reference may take locks
 * under which others wait for vm->lock.
 */
static inline void vm_unlock_write(struct vmspace *vm)
{
    struct vm_region *dead = vm->dead;

    vm->dead = NULL;
    atomic_store_release(&vm->lock_seq, vm->lock_seq + 1); /* regions are free again */
    rwsem_unlock_write(&vm->lock);
    if (unlikely(dead != NULL)) {
        vm_bury(dead);
    }
}

/* ---- regions (region.c); vm->lock held for writing unless said otherwise ---- */

extern struct slab_cache *vm_region_cache;
struct vm_region *region_alloc(void);
void region_free(struct vm_region *region); /* not in a tree, source let go */
void region_insert(struct vmspace *vm, struct vm_region *region);
void region_remove(struct vmspace *vm, struct vm_region *region);
/* Change the limits of a region in the tree; its neighbours stay clear of it. May wait for faults, as all that changes a region. */
void region_resize(struct vm_region *region, uint64_t start, uint64_t end);
/* Let a region end later; a file's too. */
void region_extend(struct vm_region *region, uint64_t end);
/* Cut `region` at `at`; the upper part is a new region. -ENOMEM. */
int region_split(struct vm_region *region, uint64_t at);
/* Cut at start and end where regions cross them. */
int regions_split_at(struct vmspace *vm, uint64_t start, uint64_t end);
/* Join `region` with its neighbours where nothing tells them apart; returns the region that now holds its start. */
struct vm_region *region_merge(struct vm_region *region);
/* The same with the one below alone. */
struct vm_region *region_merge_down(struct vm_region *region);
/* Put `region` behind all others: for fork, which walks them in order. */
void region_append(struct vmspace *vm, struct vm_region *region);
/* Highest hole of len bytes inside [floor, limit), or 0. */
uint64_t regions_find_gap(struct vmspace *vm, uint64_t len, uint64_t floor, uint64_t limit);
/* The first region that ends above addr, without the cache of the last hit. */
struct vm_region *region_lookup(struct vmspace *vm, uint64_t addr);
/* Nodes of trees that look-ups and searches for holes have looked at: counted in host builds alone, for tests. */
#ifdef HOST_BUILD
extern uint64_t regions_steps;
#define region_step() (regions_steps++)
#else
#define region_step() ((void)0)
#endif
/* Its place in the tree of its file's mappings. -EPERM: the file is sealed against such a mapping, and so has none like it. */
int region_rmap_add(struct vm_region *region);
void region_rmap_remove(struct vm_region *region);

static inline struct vm_region *vm_region_prev(struct vm_region *region)
{
    struct rb_node *prev = rb_prev(&region->node);
    return prev == NULL ? NULL : rb_entry(prev, struct vm_region, node);
}

static inline uint64_t region_pages(const struct vm_region *region)
{
    return (region->end - region->start) >> PAGE_SHIFT;
}

/* The page index in the source of an address of the region. */
static inline uint64_t region_index(const struct vm_region *region, uint64_t addr)
{
    return region->pgoff + ((addr - region->start) >> PAGE_SHIFT);
}

#define STACK_GUARD_BYTES (256 * PAGE_SIZE) /* between a stack and what lies below it */

/* ---- accounting (account.c) ---- */

/* May the space grow by npages with these flags? 0, -ENOMEM, -EAGAIN (RLIMIT_MEMLOCK). */
int vm_may_grow(struct vmspace *vm, uint64_t npages, uint32_t flags);
/* Count npages in (or, negative, out). */
void vm_account(struct vmspace *vm, int64_t npages, uint32_t flags);

/* ---- promises of memory (commit.c) ---- */

/* Does memory of these VM_* flags count as promised? Private memory that is written; shared memory counts for itself. */
static inline bool vm_is_committed(uint32_t flags)
{
    return (flags & (VM_WRITE | VM_SHARED | VM_NORESERVE)) == VM_WRITE;
}
/* May npages more be promised to who runs in `vm`? (NULL: nobody in particular.) */
bool vm_may_commit(const struct vmspace *vm, uint64_t npages);
/* Count a promise, or (negative) that it is no more. Any context. */
void vm_commit(int64_t npages);
uint64_t vm_committed(void);
void vm_commit_init(void);

static inline uint64_t *vm_rss_counter(struct vmspace *vm, const struct page *page)
{
    if (page->kind == PAGE_ANON) {
        return &vm->rss_anon;
    }
    return page->kind == PAGE_SHARED ? &vm->rss_shared : &vm->rss_file;
}
static inline void vm_rss_add(uint64_t *counter, int64_t n)
{
    (void)__atomic_fetch_add(counter, (uint64_t)n, __ATOMIC_RELAXED);
}

/* ---- page tables (zap.c) ---- */

/* Entries of the HUGE_PAGE_SIZE block around va, while the lock is held. */
static inline void vm_table_lock(struct vmspace *vm, uint64_t va)
{
    spin_lock(mmu_block_lock(&vm->locks, va));
}
static inline void vm_table_unlock(struct vmspace *vm, uint64_t va)
{
    spin_unlock(mmu_block_lock(&vm->locks, va));
}
/* mmu_query() for who has no hold on the region at va. */
bool vm_query_outside(struct vmspace *vm, uint64_t va, paddr_t *ret_pa, unsigned *ret_flags);
/* Unmap [start, end) and let the pages go; the tables stay. */
void vm_zap(struct vmspace *vm, uint64_t start, uint64_t end);
/* The same when the range's regions are gone: tables go too. No region is left between floor and ceiling. vm->lock held for writing. */
void vm_zap_removed(struct vmspace *vm, uint64_t start, uint64_t end, uint64_t floor,
                    uint64_t ceiling);
/* The same for what a region shows of pages [first, last] of its file, truncated or punched; with or without private copies. */
void vm_zap_file_range(struct vm_region *region, uint64_t first, uint64_t last, bool even_private);
/* Let the pages and all tables of a space that nobody runs in go. */
void vm_zap_all(struct vmspace *vm);
/* Page rights of a region; write only when the page may be written at once. */
static inline unsigned region_mmu_flags(const struct vm_region *region, bool write)
{
    unsigned flags = MMU_USER;

    _Static_assert(VM_READ == MMU_READ && VM_EXEC == MMU_EXEC && VM_PKEY == MMU_KEY, "the same");
    flags |= region->flags & (VM_READ | VM_EXEC | VM_PKEY);
    if ((region->flags & VM_WRITE) !=
        0) { /* writable memory is readable, also where it is not written yet */
        flags |= write ? MMU_READ | MMU_WRITE : MMU_READ;
    }
    return flags;
}

/*
 * Nobody but the current thread runs in the space, and nobody will before it leaves the kernel. Else another page takes the place of one that is shown
 * in two steps: who writes to the new one must not be ahead of who still reads the old one by a translation that his CPU has not forgotten yet. So
 * the entry gets the right to write after the flush, and its block's lock is held until then, so that no other write fault gives it.
 */
static inline bool vm_runs_alone(const struct vmspace *vm)
{
    return refcount_read(&vm->refs) == 1 && current_thread()->vm == vm;
}

/* Of memory that one entry alone shows: no other reference, so none can come to be but through this entry, whose block's lock is held. */
static inline bool page_is_exclusive(const struct page *page)
{
    return page->kind == PAGE_ANON && atomic_load_acquire(&page->refs) == 1;
}

/* ---- changing (protect.c); vm->lock held for writing ---- */

bool regions_cover(struct vmspace *vm, uint64_t start, uint64_t end);
/*
 * New flags for what lies in [start, end), holes are skipped: cut, change, call `changed` (may be NULL), join. -ENOMEM changes nothing.
 */
typedef void region_changed_fn(struct vm_region *region, uint32_t old_flags);
int regions_change(struct vmspace *vm, uint64_t start, uint64_t end, uint32_t set, uint32_t clear,
                   region_changed_fn *changed);

/* ---- protection keys (pkey.c) ---- */

#define VM_RWX (VM_READ | VM_WRITE | VM_EXEC)
/* execve: key 0 alone is taken. */
void pkeys_init(struct vmspace *vm);
/* May memory be given the key? Not the one of memory to execute alone. vm->lock held. */
bool vm_pkey_is_taken(const struct vmspace *vm, int key);
/* VM_PKEY for memory that the current thread wants to be executable alone; 0: there is no key for it. vm->lock held for writing. */
uint32_t vm_exec_key(struct vmspace *vm);

/* ---- media (medium.c); vm->lock not held, may sleep ---- */

/* What shared mappings of [start, end) show is on its medium when this returns. The first error of any. */
int vm_sync_media(struct vmspace *vm, uint64_t start, uint64_t end);
/* Begin to read what mappings of [start, end) will show. */
void vm_read_ahead(struct vmspace *vm, uint64_t start, uint64_t end);

/* ---- spaces (vmspace.c) ---- */

/* An empty space with refs 1, nothing laid out. NULL: no memory. */
struct vmspace *vmspace_alloc(void);
/* fork: everything that is not regions, figures or locks. */
void vmspace_copy_layout(struct vmspace *child, const struct vmspace *parent);
void vdso_init(void);
void region_locks_init(void);

/* ---- mapping (map.c) ---- */

#define VMMAP_ALIGN_HUGE 0x100u /* beside VMMAP_*: preferably where a huge page begins */
/* A hole for len bytes, or a negative errno. `how` is VMMAP_*. vm->lock held for writing, as for the next two. */
int64_t vm_choose_address(struct vmspace *vm, uint64_t hint, uint64_t len, unsigned how);
#define VPN_DELTA_ANY INT64_MIN /* no page will be moved there */
/* A region over a hole, counted; may grow a neighbour instead. `policy` if VM_POLICY is among the flags. */
int vm_add_region(struct vmspace *vm, uint64_t addr, uint64_t len, uint32_t flags,
                  struct vm_source *source, uint64_t pgoff, const char *name, int64_t vpn_delta,
                  const struct mempolicy *policy);
/* vmspace_map() for who holds the lock; nothing is populated. */
int64_t vm_map_locked(struct vmspace *vm, uint64_t addr, uint64_t len, uint32_t flags, unsigned how,
                      struct vm_source *source, uint64_t pgoff, const char *name);
int vm_unmap_locked(struct vmspace *vm, uint64_t start, uint64_t end);
/*
 * Fault in what is not there. No lock held. READ, WRITE: for such an access, which rights allow; LOCKED: as the regions suggest, for mlock,
 * -EFAULT where nobody may access them; these stop at the first error. TRY: the same, and go on with the next region. -EINTR: the current thread is
 * about to end.
 */
enum populate { POPULATE_READ, POPULATE_WRITE, POPULATE_LOCKED, POPULATE_TRY };
int vm_populate(struct vmspace *vm, uint64_t start, uint64_t end, enum populate how);

/* ---- advice about age (advise_age.c) ---- */

/*
 * What the region shows in [start, end), and nobody else, is old; `out`: it goes to swap now, where it can. A signal ends it early: it is a hint. vm->lock
 * held for reading. May sleep.
 */
void vm_age_range(struct vm_region *region, uint64_t start, uint64_t end, bool out);

/* ---- memory that may go (lazy_free.c) ---- */

/* madvise(MADV_FREE) for a private anonymous region. vm->lock held for reading. */
void vm_lazy_range(struct vm_region *region, uint64_t start, uint64_t end);

/* ---- locked memory (mlock.c) ---- */

/* vm_populate() for regions that may be VM_LOCKED: what is there is marked so. */
int vm_populate_locked(struct vmspace *vm, uint64_t start, uint64_t end, enum populate how);
/* n pages of the region (NULL: there was none) have made way for those that lie together from `now` on: marks follow. */
void vm_move_locks(const struct vm_region *region, struct page *const *old, struct page *now,
                   unsigned n);
/* May the current thread lock more than its limit? */
bool vm_lock_is_unlimited(void);

extern struct page *vm_zero_page; /* [I] */
