/*
 * Address spaces: regions in an augmented tree (by start, with the largest gap per subtree), page tables behind machine/mmu.h,
 * demand faults, copy-on-write.
 *
 * Locking: vm->lock (rwsem): read for look-ups, write for changes of the tree. Faults hold the region alone (region_lock.h), or vm->lock for
 * reading when they could not get hold of it. vm->locks (spin; kernel/mm/mmu_locks.h) order
 * changes of page table entries, 2 MiB of addresses by 2 MiB: faults of several threads, and those who come from outside without
 * vm->lock: truncation of a mapped file, reverse mapping, debuggers. Order: vm->lock -> a region -> pagecache rmap_lock -> locks.shape -> a
 * block's lock; the pagecache lock and a block's are never held together.
 * User-copy functions may fault and take vm->lock for reading: never call them with it held.
 */
#pragma once

#include "kernel/base/list.h"
#include "kernel/base/rbtree.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/mmu_locks.h"
#include "kernel/mm/node.h"
#include "kernel/sched/mutex.h"

struct pagecache;
struct vm_family;
struct vm_region;

/*
 * What stands behind a file mapping, implemented by vfs for an open file: the region holds one reference.
 */
struct vm_source {
    const struct vm_source_ops *ops;
    struct pagecache *cache; /* NULL for device mappings, which implement map_page */
    struct readahead *ahead; /* of the open file, when it has a medium; or NULL */
};

struct vm_source_ops {
    void (*get)(struct vm_source *source);
    void (*put)(struct vm_source *source);
    /* msync(2): what was written to these pages is on the medium when it returns. May sleep, no lock held. NULL: nothing to do. */
    int (*sync)(struct vm_source *source, uint64_t first, uint64_t npages);
    /* Device memory: physical address and MMU_* cache flags of page `index`; -EIO past the end. Spin locks are held. */
    int (*map_page)(struct vm_source *source, uint64_t index, paddr_t *ret_pa, unsigned *ret_flags);
    /* How many pages from `index` on lie together and have the same flags: they may be shown by large leaves. NULL: 1. */
    uint64_t (*map_run)(struct vm_source *source, uint64_t index);
    /* For /proc/PID/maps. */
    void (*describe)(struct vm_source *source, uint64_t *ret_dev, uint64_t *ret_ino, char *path,
                     size_t size);
    /* May the current thread know which of its pages are in memory (mincore(2))? NULL: yes. */
    bool (*may_inspect)(struct vm_source *source);
    /* Give up the bytes [start, end), page-aligned, which read as zeros then (MADV_REMOVE). No lock held. NULL: -EOPNOTSUPP. */
    int (*punch)(struct vm_source *source, uint64_t start, uint64_t end);
};

/* region->flags */
#define VM_READ       0x0001u
#define VM_WRITE      0x0002u
#define VM_EXEC       0x0004u
#define VM_SHARED     0x0008u
#define VM_GROWSDOWN  0x0010u
#define VM_MAYREAD    0x0020u /* mprotect may turn these on */
#define VM_MAYWRITE   0x0040u
#define VM_MAYEXEC    0x0080u
#define VM_DONTFORK   0x0100u
#define VM_WIPEONFORK 0x0200u
#define VM_DONTDUMP   0x0400u
#define VM_LOCKED     0x0800u
#define VM_NORESERVE  0x1000u
#define VM_STACK      0x2000u
#define VM_HEAP       0x4000u
#define VM_SPECIAL                                                                                 \
    0x8000u /* vDSO and the like: may not be split or remapped away by accident; name in `name` */
#define VM_NOHUGE      0x10000u
#define VM_HUGE        0x20000u
#define VM_SEQ_READ    0x40000u
#define VM_RAND_READ   0x80000u
#define VM_LOCKONFAULT 0x200000u /* with VM_LOCKED: pages are not brought before they are used */
#define VM_ANON_CACHE  0x100000u /* shared anonymous: source is a private cache object of vm's own */
#define VM_POLICY      0x400000u /* `policy` is set */
#define VM_PKEY_SHIFT  MMU_KEY_SHIFT
#define VM_PKEY        MMU_KEY /* the protection key: pkey.c */

struct vm_region {
    struct rb_node node;      /* [vm] */
    uint64_t start, end;      /* [vm] page aligned, start < end */
    uint64_t max_gap;         /* [vm] augmented: largest hole before a region of this subtree */
    uint64_t gap;             /* [vm] hole between the former region's end and start */
    uint32_t flags;           /* [vm] VM_* */
    struct vmspace *vm;       /* [I] */
    struct vm_source *source; /* [I] NULL: anonymous */
    uint64_t pgoff;           /* [vm] page index in the source of `start` */
    const char *name;         /* [I] "[stack]" ..., static, or NULL */
    union {
        struct {
            struct rb_node rmap_node; /* [rmap_lock] in source->cache->regions */
            uint64_t rmap_reach; /* [rmap_lock] augmented: the last page index of this subtree */
        };
        struct vm_region *next_dead; /* [vm] on vm->dead: removed, its source not yet let go */
    };
    int64_t
        vpn_delta; /* [vm] page number at which anonymous pages here were made - their number now: not 0 where mremap moved some */
    struct list_node moved_link; /* [family lock] with a vpn_delta: in the family's list */
    struct mempolicy policy;     /* [vm] with VM_POLICY: from which nodes its memory comes */
    bool has_anon; /* [a] may hold anonymous pages; false: fork need not copy its page tables */
    bool touched;  /* [a] may hold pages at all; false: there is nothing to unmap */
    /* The rest lives on when the region is freed: region_lock.h. */
    struct vmspace *tree; /* [vm] in whose tree it is, or NULL */
    uint64_t lock_seq;    /* [vm] == tree->lock_seq: being changed */
    uint32_t users;       /* [a] faults that hold it, or try to; REGION_WAITED */
};

struct vmspace {
    struct mmu_space mmu;
    struct rwsem lock;
    struct mmu_locks locks;      /* of the page tables */
    struct rb_root regions;      /* [lock] */
    struct vm_region *dead;      /* [lock] removed in this hold of the lock, not yet freed */
    struct vm_region *cached;    /* [a] last hit of a look-up: a hint */
    uint64_t lock_seq;           /* [lock] grows with each hold of the lock for writing; never 0 */
    uint32_t nregions;           /* [lock] */
    struct refcount refs;        /* users: threads */
    struct vm_family *family;    /* [I] all that fork made of one program: rmap.h */
    uint32_t family_slot;        /* [I] in it */
    uint64_t serial;             /* [I] no other space has it, ever */
    struct list_node huge_link;  /* [watched lock] khugepaged looks at this space */
    bool huge_watched;           /* [a] it is in the list, or was for good */
    bool swap_listed;            /* [a] likewise, with swap_link */
    struct list_node swap_link;  /* [swap_unuse.c] spaces that have, or had, something in swap */
    uint64_t mmap_base;          /* [I] top-down allocation starts below */
    uint64_t brk_start, brk_end; /* [lock] */
    uint64_t stack_top;          /* [I] */
    uint64_t code_start, code_end, data_start, data_end; /* [I] for /proc/PID/stat */
    uint64_t arg_start, arg_end, env_start, env_end;     /* [I] */
    uint64_t vdso_base;                                  /* [I] */
    uint64_t auxv[48];                                   /* [I] pairs, for /proc/PID/auxv */
    unsigned nauxv;                                      /* [I] pairs in use, with AT_NULL */
    uint64_t total_pages, locked_pages, stack_pages, data_pages, exec_pages; /* [lock] */
    uint64_t total_peak; /* [lock] the most total_pages was before it last fell */
    uint64_t rss_anon, rss_file, rss_shared, rss_peak; /* [a] */
    uint32_t future_lock; /* [lock] mlockall(MCL_FUTURE): VM_LOCKED and kin for new regions */
    uint64_t rss_swap;    /* [a] soft entries that name a slot of swap */
    uint64_t limit_as, limit_data, limit_stack, limit_memlock; /* [a] bytes; set by prlimit */
    struct vm_source *exe;                                     /* [I] /proc/PID/exe, referenced */
    uint8_t dumpable;                 /* [a] 0, 1; 2: by root alone (prctl(2), PR_SET_DUMPABLE) */
    bool membarrier_listed;           /* [membarrier.c's lock] for GLOBAL_EXPEDITED */
    uint32_t membarrier;              /* [a] registrations: MEMBARRIER_CMD_REGISTER_* */
    struct list_node membarrier_link; /* [membarrier.c's lock] */
    bool oom_victim, oom_reaped; /* [a] oom.h: being killed for its memory; it has been taken */
    bool has_huge;               /* [a] there may be huge leaves */
    bool has_locked;             /* [a] some pages may be marked as locked: mlock.c */
    bool huge_disabled;          /* [a] PR_SET_THP_DISABLE */
    uint8_t exec_key;            /* [lock] the protection key of memory to execute alone, or 0 */
    uint16_t pkeys;              /* [lock] bit map: protection keys that are taken */
};

/*
 * A new, empty space with stack_top and mmap_base chosen, randomised if wanted (execve asks the personality and
 * vm_tunables); no limits, but 8 MiB of stack. NULL: no memory.
 */
struct vmspace *vmspace_create(bool randomize);
/* RLIMIT_STACK at execve, before anything is mapped: leaves that much room (128 MiB at least) between stack and mappings. */
void vmspace_set_stack_limit(struct vmspace *vm, uint64_t limit_bytes);
/* execve, after the program is mapped: the heap starts behind `end`, a random distance (up to 32 MiB) away if wanted. */
void vmspace_set_brk(struct vmspace *vm, uint64_t end, bool randomize);
/* fork: a copy with copy-on-write. May sleep. -ENOMEM leaves nothing behind. */
int vmspace_fork(struct vmspace *parent, struct vmspace **ret_child);
static inline void vmspace_get(struct vmspace *vm)
{
    refcount_get(&vm->refs);
}
/* The last reference unmaps everything. May sleep. */
void vmspace_put(struct vmspace *vm);
/* Make `vm` (reference taken over) the current thread's; the former is put. */
void vmspace_use(struct vmspace *vm);

/*
 * mmap(2) without the system call's decoding. `flags` are VM_*; addr 0 lets vm choose; VMMAP_FIXED replaces what is there,
 * VMMAP_NOREPLACE fails with -EEXIST. `source` is referenced by the region on success. Returns the address or a negative errno.
 */
#define VMMAP_FIXED     0x1u
#define VMMAP_NOREPLACE 0x2u
#define VMMAP_POPULATE  0x4u
#define VMMAP_32BIT     0x8u
int64_t vmspace_map(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, uint32_t flags,
                    unsigned how, struct vm_source *source, uint64_t pgoff, const char *name);
int vmspace_unmap(struct vmspace *vm, uint64_t addr, uint64_t len_bytes);
/*
 * Unmap what was mapped in one go at addr from a source with these operations: the first such mapping above addr that counts its pages
 * from there, and all that is left of it. -EINVAL: there is none.
 */
int vmspace_unmap_source(struct vmspace *vm, uint64_t addr, const struct vm_source_ops *ops);
/* With VM_GROWSDOWN beside the rights: from the lower end of the growing region that is there (-EINVAL: it does not grow). */
int vmspace_protect(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, uint32_t vm_rwx);
/* The same, giving the memory a protection key; -1: as vmspace_protect(). -EINVAL: the key is not one that was given out. */
int vmspace_protect_key(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, uint32_t vm_rwx,
                        int key);
/* pkey_alloc(2) with PKEY_DISABLE_* of asm/mman.h for the current thread, pkey_free(2): errors as in the manual page, and -EINVAL without keys. */
int vmspace_pkey_alloc(struct vmspace *vm, unsigned rights);
int vmspace_pkey_free(struct vmspace *vm, int key);
/* The key of the memory at addr; 0 where there is none. May sleep. */
unsigned vmspace_pkey_at(struct vmspace *vm, uint64_t addr);
static inline unsigned vm_region_pkey(const struct vm_region *region)
{
    return (region->flags & VM_PKEY) >> VM_PKEY_SHIFT;
}
/*
 * remap_file_pages(2): show the pages of what [addr, addr + len) shows, which is shared and in one piece, from another page on. how: VMMAP_POPULATE
 * or 0. -EINVAL: it is not so.
 */
int vmspace_remap_pages(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, uint64_t pgoff,
                        unsigned how);
/* mremap(2): flags are MREMAP_* of linux/mman.h. */
int64_t vmspace_remap(struct vmspace *vm, uint64_t old_addr, uint64_t old_len, uint64_t new_len,
                      unsigned flags, uint64_t new_addr);
/* brk(2): returns the new (or unchanged) break. */
uint64_t vmspace_brk(struct vmspace *vm, uint64_t brk);
/* madvise(2), mincore(2), msync(2), mlock family: errors as in the manual pages. */
int vmspace_advise(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, int advice);
int vmspace_mincore(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, uint8_t __user *vec);
int vmspace_sync(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, int flags);
/* mlock2(2), munlock(2), mlockall(2) with MCL_* of linux/mman.h, munlockall(2): errors as in the manual page. */
int vmspace_lock(struct vmspace *vm, uint64_t addr, uint64_t len_bytes, bool on_fault);
int vmspace_unlock(struct vmspace *vm, uint64_t addr, uint64_t len_bytes);
int vmspace_lock_all(struct vmspace *vm, unsigned flags);
void vmspace_unlock_all(struct vmspace *vm);
/* -EPERM: the current thread may lock nothing at all. */
int vmspace_may_lock(struct vmspace *vm);
/* May it have `npages` locked, by the limit or by privilege? */
bool vmspace_may_have_locked(struct vmspace *vm, uint64_t npages);
/* Set by proc at boot: may the current thread lock more than its limit (CAP_IPC_LOCK)? */
extern bool (*vm_lock_hook)(void);
/* Set by proc at boot: is the current thread about to end, whatever happens? What takes long ends early then. */
extern bool (*vm_ending_hook)(void);
/* Resolve a fault; flags are FAULT_* of machine/entry.h, result as machine_page_fault. */
int vmspace_fault(struct vmspace *vm, uint64_t addr, unsigned flags);
/*
 * Copy from or to another space's memory (execve arguments, ptrace, /proc/PID/mem). Bytes moved or -EFAULT; FORCE ignores rights.
 */
ssize_t vmspace_access(struct vmspace *vm, uint64_t addr, void *buf, size_t len_bytes, bool write,
                       bool force);

/*
 * The same between that memory and a cursor (`write`: from the cursor into the space), which may be over the current thread's own memory.
 * Nothing may be locked. -EFAULT: not a byte could be moved, for either side's sake.
 */
struct iov_iter;
ssize_t vmspace_access_iter(struct vmspace *vm, uint64_t addr, size_t len_bytes,
                            struct iov_iter *iter, bool write, bool force);

/* Has the page at va been touched: is it there, or in swap? Private anonymous memory that has not reads as zeros. */
bool vmspace_page_exists(struct vmspace *vm, uint64_t va);

/* [a] The most regions a space may have (vm.max_map_count): mmap, and what would cut a region, fails with ENOMEM there. */
extern uint32_t vm_max_map_count;

/* The most pages that were resident at a time so far. Any context. */
uint64_t vmspace_rss_peak(struct vmspace *vm);
/* From now on, the most that are resident from now on. Any context. */
void vmspace_reset_peak(struct vmspace *vm);
/* The most pages that were mapped at a time so far. Any context. */
uint64_t vmspace_total_peak(const struct vmspace *vm);

/* The region that contains addr, or the first above it; NULL: none. vm->lock held. */
struct vm_region *vmspace_find(struct vmspace *vm, uint64_t addr);
static inline struct vm_region *vm_region_next(struct vm_region *region)
{
    struct rb_node *next = rb_next(&region->node);
    return next == NULL ? NULL : rb_entry(next, struct vm_region, node);
}
static inline struct vm_region *vmspace_first(struct vmspace *vm)
{
    struct rb_node *first = rb_first(&vm->regions);
    return first == NULL ? NULL : rb_entry(first, struct vm_region, node);
}

/* Set by proc at boot: may the current thread have the administrators' share of memory (CAP_SYS_ADMIN)? */
extern bool (*vm_admin_hook)(void);
/* vm's own sources: shared anonymous memory (zero-filled, one page cache), promised at once. -ENOMEM. */
int vm_source_create_shared(uint64_t npages, struct vm_source **ret_source);
/* The same, but each page is promised when it comes (MAP_NORESERVE); at once all the same where nothing may be promised twice (overcommit_memory 2). */
int vm_source_create_unpromised(uint64_t npages, struct vm_source **ret_source);
/* Map the vDSO image and its data pages; *ret_base for AT_SYSINFO_EHDR. */
int vmspace_map_vdso(struct vmspace *vm, bool randomize, uint64_t *ret_base);
void vm_init(void);

/* Raise rss_peak to what is resident now, before it is read or falls. Any context. */
void vm_note_peak(struct vmspace *vm);

struct vm_stats {
    uint64_t faults, major_faults, cow_copies, cow_reuses, zero_fills, file_maps;
    uint64_t lazy_marked, lazy_freed; /* pages given to MADV_FREE, and those that went */
    uint64_t committed_pages;
    uint64_t page_cache_pages; /* of files with a medium behind them */
    uint64_t shared_pages;     /* shared memory and files that live in memory alone */
    uint64_t mapped_pages;     /* page table entries that show one of the two */
    uint64_t anon_pages;
};
void vm_stats(struct vm_stats *ret_stats);
