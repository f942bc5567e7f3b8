/*
 * Page tables. The portable kernel decides what is mapped where; the machine owns the format.
 *
 * struct mmu_space is one tree of tables. The kernel half is shared by all of them. Entries of user ranges change under the lock of
 * their block (kernel/mm/mmu_locks.h): the caller of a function for a single entry or a run of pages holds it, the functions for ranges
 * take one after another themselves, and call back with it held. Whoever calls is inside or outside, as said there. Missing tables are
 * put in by compare-and-swap. Kernel ranges belong to whoever has them from the arena.
 *
 * Tables' memory comes from mm (frame_alloc), so most functions may return -ENOMEM; none sleeps.
 * Flushing: mmu_map of a formerly empty entry needs none. The unmap, protect and replace functions note what they
 * changed in a struct mmu_flush; the caller frees pages only after mmu_flush_finish().
 */
#pragma once

#include "kernel/base/types.h"

struct mmu_locks;

struct mmu_space {
    paddr_t root;            /* [I] physical address of the top table */
    struct mmu_locks *locks; /* [I] NULL: the kernel's own */
    uint64_t cpus[4]; /* [a] CPUs that use it now, and are told of changes (bit per cpu id) */
    uint64_t id;      /* [I] no other space ever has it */
    uint64_t
        generation;   /* [a] changes that had to be flushed: a CPU that comes back to it compares */
    uint64_t ntables; /* [a] table pages below root, for accounting */
};

#define MMU_READ     0x001u
#define MMU_WRITE    0x002u
#define MMU_EXEC     0x004u
#define MMU_USER     0x008u
#define MMU_GLOBAL   0x010u
#define MMU_UNCACHED 0x020u /* device registers */
#define MMU_WC       0x040u /* write-combining: framebuffers */
#define MMU_ACCESSED 0x080u /* query only; map sets it to avoid the hardware's update */
#define MMU_DIRTY    0x100u /* set with WRITE, and by who is given it; stays when WRITE goes */
#define MMU_HUGE     0x200u /* query: the entry is a large leaf, of 2 MiB without MMU_GIANT */
#define MMU_SPECIAL                                                                                \
    0x400u /* software bit: no struct page behind the frame is counted (zero page, device, vDSO) */

#define MMU_SOFT                                                                                   \
    0x800u /* callbacks only: a soft entry, its value is pa >> PAGE_SHIFT; no other flag has a meaning */

#define MMU_GIANT     0x1000u /* query, with MMU_HUGE: the entry is a 1 GiB leaf */
#define MMU_KEY_SHIFT 24      /* the page's protection key (cpu.h, cpu_pkeys()) */
#define MMU_KEY       0xf000000u

/*
 * Soft entries: an entry of the last level that is not present, so that every access faults, but holds a value of vm's own (where in
 * swap the page is, for instance). mmu_query() does not see it, mmu_map() finds the slot in use, mmu_protect() and mmu_clear_accessed() pass
 * it by, mmu_unmap(), mmu_move() and mmu_copy() treat it like a leaf.
 */
#define MMU_SOFT_BITS 40u /* of a value */

struct mmu_flush {
    struct mmu_space *space;
    vaddr_t start, end; /* range that needs flushing; start >= end: nothing */
    bool tables_freed;  /* intermediate tables went away: paging-structure caches too */
    /*
     * mmu_unmap() takes tables out that it leaves empty and that show nothing but addresses of [floor, ceiling): there is no region in
     * it, nor can one come to be before the call returns. Empty: no table is taken out.
     */
    vaddr_t floor, ceiling;
    struct page *tables; /* table pages to free after the flush, linked by page->next_table */
};

/* `locks` belong to the caller and live as long as the space. -ENOMEM. */
int mmu_space_init(struct mmu_space *space, struct mmu_locks *locks);
/* All user entries are gone already (mmu_unmap of everything). Frees the root. */
void mmu_space_fini(struct mmu_space *space);
/* Make `space` the active one on this CPU (NULL: kernel threads; may stay on the former user space lazily). IRQs off. */
void mmu_switch(struct mmu_space *space);
/*
 * The CPUs that may be in user mode in the space; with `kept`, those too that run a kernel thread and keep the space until they need another.
 * A CPU passes a full barrier between coming in here and user mode, and one between user mode and going from here. Any context.
 */
struct cpumask;
void mmu_space_cpus(const struct mmu_space *space, bool kept, struct cpumask *ret_mask);
extern struct mmu_space mmu_kernel; /* the kernel half alone */

/* Map one 4 KiB page; -EEXIST when something is there. */
int mmu_map(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags);
/* Map one 2 MiB leaf; -EEXIST when the slot is in use, be it by a table without entries. */
int mmu_map_huge(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags);
/*
 * Map one 1 GiB leaf, with MMU_SPECIAL: memory that nobody counts. -EEXIST likewise; -EOPNOTSUPP: the CPU has none.
 * It lies under the locks of 512 blocks, so they do not guard it: it comes to be while its region is held, in one step; who changes it or
 * takes it apart keeps all others from the region (vm->lock for writing, and no fault inside).
 */
int mmu_map_giant(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags);
/*
 * Map n pages at once, pages[i] to va + i * PAGE_SIZE, for fault-around; returns how many were mapped. NULL entries and slots in use
 * are skipped; each pages[i] that was mapped becomes NULL, so that what remains is the caller's to put. The run lies inside one
 * HUGE_PAGE_SIZE-aligned block.
 */
struct page;
int mmu_map_pages(struct mmu_space *space, vaddr_t va, struct page **pages, unsigned n,
                  unsigned flags);
/* What is mapped at va, which lies below USER_TOP but in mmu_kernel: all spaces have its half. False: nothing. *ret_flags gets MMU_*. */
bool mmu_query(struct mmu_space *space, vaddr_t va, paddr_t *ret_pa, unsigned *ret_flags);
/* The value of the soft entry at va. False: there is none. */
bool mmu_query_soft(struct mmu_space *space, vaddr_t va, uint64_t *ret_value);
/* Put a soft entry in the place of a 4 KiB leaf or of another soft entry. */
void mmu_replace_soft(struct mmu_space *space, vaddr_t va, uint64_t value, struct mmu_flush *flush);
/*
 * Put another page or other rights in the place of a 4 KiB leaf (copy-on-write, exclusive reuse) or of a soft entry. Without WRITE and DIRTY
 * the entry is clean from then on, until it gets WRITE.
 */
void mmu_replace(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags,
                 struct mmu_flush *flush);
/* The same, if there is a 4 KiB leaf without WRITE that shows old_pa: a copy takes the place of what was copied. False: there is not. */
bool mmu_exchange(struct mmu_space *space, vaddr_t va, paddr_t old_pa, paddr_t pa, unsigned flags,
                  struct mmu_flush *flush);
/* mmu_replace() for the 2 MiB or 1 GiB leaf over va; pa is that of its first page. */
void mmu_replace_huge(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags,
                      struct mmu_flush *flush);
/*
 * If a 2 MiB or 1 GiB leaf is over va, let tables of the same pages take its place. -ENOMEM. The caller has nothing to flush; of leaves to execute the
 * machine may flush by itself. What is said of mmu_flush_finish() holds here, for mmu_cut(), and for the walks that cut leaves.
 */
int mmu_split_huge(struct mmu_space *space, vaddr_t va);
/* Let no large leaf lie across `at`: one that begins before is taken apart as far as it takes. No flush is needed. -ENOMEM. */
int mmu_cut(struct mmu_space *space, vaddr_t at);

/* Clear ACCESSED of the leaf at va, if there is one. True: it was set. No flush: translations that CPUs still have do not set it again. */
bool mmu_age(struct mmu_space *space, vaddr_t va);
/* Clear the 4 KiB leaf or soft entry at va; its table stays. */
void mmu_remove(struct mmu_space *space, vaddr_t va, struct mmu_flush *flush);

/*
 * What the next two tell of leaves: n small ones at va and the n - 1 pages after it, which have the same flags, with the physical address of
 * each; or one HUGE leaf, or one soft entry. More than MMU_RUN are never told at once.
 */
#define MMU_RUN 32u

/*
 * Clear each leaf in [start, end), present or not, skipping empty tables quickly, and call `fn` (may be NULL) with what it was: `old_flags`
 * carries ACCESSED and DIRTY. When fn returns false the walk stops after these leaves and mmu_unmap returns -EAGAIN: the
 * caller's batch has no room for MMU_RUN more, it flushes and calls again. A HUGE leaf that the range covers in part is split first (-ENOMEM:
 * not split, walk stops). Tables between flush->floor and ceiling that are empty now are taken out and noted in `flush`.
 */
typedef bool mmu_unmap_fn(void *arg, vaddr_t va, const paddr_t *pas, unsigned n,
                          unsigned old_flags);
int mmu_unmap(struct mmu_space *space, vaddr_t start, vaddr_t end, struct mmu_flush *flush,
              mmu_unmap_fn *fn, void *arg);
/* Set rights of the present leaves in the range: new = (old & ~clear) | set over READ, WRITE, EXEC and KEY. */
int mmu_protect(struct mmu_space *space, vaddr_t start, vaddr_t end, unsigned set, unsigned clear,
                struct mmu_flush *flush);
/*
 * Set WRITE of each small leaf in the range that is present and DIRTY, not SPECIAL, and of whose frame `fn` says so, which is asked with the
 * lock of the block held. No flush is needed: a CPU that knows the rights of before faults, and looks again.
 */
typedef bool mmu_may_write_fn(paddr_t pa);
void mmu_give_write(struct mmu_space *space, vaddr_t start, vaddr_t end, mmu_may_write_fn *fn);
/*
 * Move leaves from [from, from+len) to the empty range at `to` (mremap). The caller keeps faults away from both, and holds locks->shape for writing, so
 * that nobody outside misses a page on its way.
 */
int mmu_move(struct mmu_space *space, vaddr_t from, vaddr_t to, uint64_t len_bytes,
             struct mmu_flush *flush);
/*
 * fork: copy the leaves of [start, end) from `src` to the empty range in `dst`. With `cow`, both sides lose WRITE.
 * `fn` is called before leaves are copied (to take references); false: these are not.
 */
typedef bool mmu_copy_fn(void *arg, vaddr_t va, const paddr_t *pas, unsigned n, unsigned flags);
int mmu_copy(struct mmu_space *dst, struct mmu_space *src, vaddr_t start, vaddr_t end, bool cow,
             struct mmu_flush *src_flush, mmu_copy_fn *fn, void *arg);
/* Test and clear ACCESSED in a range; returns how many were set. */
size_t mmu_clear_accessed(struct mmu_space *space, vaddr_t start, vaddr_t end,
                          struct mmu_flush *flush);

/*
 * Look at [start, end) without changing anything: `fn` gets each leaf and soft entry in ascending order, as mmu_query() would tell it (pa
 * is a soft entry's value << PAGE_SHIFT, flags has MMU_SOFT). `npages` is 1, or how many pages of a HUGE leaf lie in the range.
 * When fn returns false the walk stops and mmu_walk returns -EAGAIN. The caller is inside or holds locks->shape; no block's lock is taken:
 * entries may change meanwhile, each is read once.
 */
typedef bool mmu_walk_fn(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages);
int mmu_walk(struct mmu_space *space, vaddr_t start, vaddr_t end, mmu_walk_fn *fn, void *arg);
/* Past the hole: the first address from va on that a table or a huge leaf is there for; end: none. Tables may not be freed. */
vaddr_t mmu_skip_hole(struct mmu_space *space, vaddr_t va, vaddr_t end);

static inline void mmu_flush_init(struct mmu_flush *flush, struct mmu_space *space)
{
    flush->space = space;
    flush->start = UINT64_MAX;
    flush->end = 0;
    flush->tables_freed = false;
    flush->floor = 0;
    flush->ceiling = 0;
    flush->tables = NULL;
}

/* Flush what was noted, on all CPUs that may hold it, and free the tables. Thread context; no lock that is taken with interrupts off. */
void mmu_flush_finish(struct mmu_flush *flush);

/* Kernel mappings (arenas, device memory). [va, va+len) belongs to the caller. Global, never MMU_USER. */
int mmu_kernel_map(vaddr_t va, paddr_t pa, uint64_t len_bytes, unsigned flags);
/* The same of n single frames, from va on. */
int mmu_kernel_map_pages(vaddr_t va, struct page *const *pages, uint64_t n, unsigned flags);
void mmu_kernel_unmap(vaddr_t va, uint64_t len_bytes); /* flushes everywhere; tables stay */
/*
 * The same in two steps, for many ranges at once: after the first any CPU may still know what was there, after the second none does, but for CPUs
 * that are idle: those find out before they do anything. The caller of the second holds no lock that others take with interrupts off.
 */
void mmu_kernel_clear(vaddr_t va, uint64_t len_bytes);
void mmu_kernel_flush(vaddr_t start, vaddr_t end);
/*
 * Give pages of the kernel half that are mapped (arenas, modules, the direct map) other rights, never to write and to execute at once;
 * flushes everywhere. -ENOMEM: a large leaf could not be cut, nothing has changed; not for pages whose rights were changed before.
 */
int mmu_kernel_protect(vaddr_t va, uint64_t len_bytes, unsigned flags);
/* Boot, when it is over: .data.ro_after_init becomes read-only. */
void mmu_kernel_seal(void);
/* Counters since boot for /proc/vmstat. */
struct mmu_stats {
    uint64_t flush_page, flush_range, flush_all;
    uint64_t flush_remote, flush_received; /* other CPUs were told; were told by another */
    uint64_t huge_leaves; /* 2 MiB leaves of pages, not MMU_SPECIAL, in user spaces now */
    uint64_t huge_splits;
};
void mmu_stats(struct mmu_stats *ret_stats);
