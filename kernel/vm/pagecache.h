/*
 * Page cache: file pages kept in memory, shared by read(2), write(2), mmap, writeback and reclaim.
 *
 * Each inode embeds one struct pagecache. tmpfs keeps its data nowhere else.
 * Locking: cache->lock (spin) protects the tree and each cached page's owner and index; a page's content is ordered by the
 * inode's lock for writers and by PAGE_FLAG_LOCKED during I/O. The regions that map the file
 * form a tree under rmap_lock (file_regions.h).
 */
#pragma once

#include "kernel/base/rbtree.h"
#include "kernel/base/xarray.h"
#include "kernel/mm/page.h"
#include "kernel/sched/mutex.h"

struct pagecache;
struct policy_ranges;

struct pagecache_ops {
    /* Fill a fresh, locked, zeroed page from the medium. May sleep. NULL op: holes stay zero (tmpfs). 0 or -EIO. */
    int (*read_page)(struct pagecache *cache, struct page *page);
    /*
     * The same for pages that are consecutive in the file, READAHEAD_RUN at most, without waiting: start it and return 0;
     * pagecache_read_done() is called later, from anywhere, for each page once. -errno: nothing was begun. May sleep. NULL: no read-ahead.
     */
    int (*read_pages)(struct pagecache *cache, struct page **pages, unsigned n);
    /*
     * Write these pages, consecutive in the file, to the medium. They are up to date, under writeback and referenced; nobody changes the size to
     * less meanwhile (truncation waits). Start it and return 0: writeback_done() is called later, from anywhere, for each page once. -errno:
     * nothing was begun, that is the error of all; but after -ENOMEM they are dirty as before, and tried again. May sleep. The part of the last page beyond the file's end is zero or stale: do not trust it.
     */
    int (*write_pages)(struct pagecache *cache, struct page **pages, unsigned n);
    /* A shared mapping is about to write to the page: make room for it on the medium. May sleep. -ENOSPC, -EIO: SIGBUS. NULL: nothing to do. */
    int (*page_mkwrite)(struct pagecache *cache, struct page *page);
    /* Called before a page is added: account space. 0, -ENOSPC, -EDQUOT. NULL: unlimited. */
    int (*charge)(struct pagecache *cache, uint64_t npages);
    /* May be called with spin locks held. */
    void (*uncharge)(struct pagecache *cache, uint64_t npages);
};

struct pagecache {
    const struct pagecache_ops *ops; /* [I] */
    void *owner;                     /* [I] the inode */
    struct spinlock lock;
    struct xarray
        pages; /* [lock] index -> struct page, each slot holds a reference; or a slot of swap, private.h */
    uint64_t nswapped; /* [lock] how many of the latter */
    bool swap_listed;  /* [lock] there were some, and swapoff knows by swap_link (swap_unuse.c) */
    struct list_node swap_link;
    uint64_t size_bytes;            /* [a] end of file: faults beyond its last page are -EIO */
    struct shadows *shadows;        /* [lock] of pages that went: workingset.h; NULL: none yet */
    struct policy_ranges *policies; /* [lock] of shared memory: mempolicy.h; NULL: none */
    struct mutex rmap_lock;
    struct rb_root regions;      /* [rmap_lock] what maps the file, by page index: file_regions.h */
    struct writeback *writeback; /* [I] NULL: nothing behind it, or not to be written */
    uint32_t writable_shared;    /* [rmap_lock] shared mappings that are or may become writable */
    bool locked;     /* [a] pages stay in memory: reclaim leaves them (shmctl(2), SHM_LOCK) */
    uint32_t seals;  /* [a] F_SEAL_*: kernel/vfs/memfd.c; changes under rmap_lock */
    uint64_t number; /* [a] pagecache_number(); 0: nobody asked yet */
};

/* A number that no other cache has or had, as an address may: for who remembers a cache without a reference. Any context. */
uint64_t pagecache_number(struct pagecache *cache);

/* Is there more than memory behind it? */
static inline bool pagecache_has_medium(const struct pagecache *cache)
{
    return cache->ops != NULL && cache->ops->read_page != NULL;
}

void pagecache_init(struct pagecache *cache, const struct pagecache_ops *ops, void *owner);
/* Last reference to the inode is gone: frees all pages. */
void pagecache_fini(struct pagecache *cache);

#define PAGECACHE_CREATE                                                                           \
    0x1u /* add a page when it is missing (a write, or a read that fills a hole) */
#define PAGECACHE_FAULT                                                                            \
    0x2u /* -ENOMEM at once: vm->lock is held, the fault itself deals with it (kernel/vm/oom.h) */
#define PAGECACHE_BEYOND 0x4u /* a page may be added behind the end of the file, too */
/*
 * The page at `index`, referenced and up to date. Without CREATE a hole in a file without read_page gives *ret_page = NULL and 0.
 * May sleep. -EIO, also if it would have to be added where the file has just been cut off; -ENOMEM, -ENOSPC.
 */
int pagecache_get(struct pagecache *cache, uint64_t index, unsigned flags, struct page **ret_page);
/* Told by the file system: read_pages() has filled these pages, or failed. In any order, in parts of a run, in any context. */
void pagecache_read_done(struct page **pages, unsigned n, int err);
/* As many present, up-to-date pages as there are in [index, index + n); references are taken; pages[i] may be NULL. No sleep. */
unsigned pagecache_get_present(struct pagecache *cache, uint64_t index, unsigned n,
                               struct page **pages);

/* Copy between the cache and user or kernel memory; *pos advances. Sizes beyond size_bytes are the caller's matter. */
struct iov_iter;
struct readahead;
/* `ra`: what the open file knows of itself (readahead.h); NULL: nothing. */
ssize_t pagecache_read(struct pagecache *cache, struct readahead *ra, loff_t *pos,
                       struct iov_iter *to);
/* Grows size_bytes as data comes in. The caller holds the inode lock. */
ssize_t pagecache_write(struct pagecache *cache, loff_t *pos, struct iov_iter *from);

/* Change the size: pages beyond are dropped and unmapped everywhere, the tail of the last page is cleared. Inode lock held. */
int pagecache_truncate(struct pagecache *cache, uint64_t size_bytes);
/* Drop whole pages in [start, end) and zero the edges (FALLOC_FL_PUNCH_HOLE). */
int pagecache_punch(struct pagecache *cache, uint64_t start, uint64_t end);
/*
 * When this returns 0 the pages [first, last] are there; else those that it made, and that nobody has used since, are gone again. For files
 * without a medium. Inode lock held. May sleep. -ENOMEM, -ENOSPC, -EINTR: a signal came.
 */
int pagecache_allocate(struct pagecache *cache, uint64_t first, uint64_t last);
/* Let go of those of the pages [first, last] that nobody uses and the medium has too. Returns how many. Files with a medium alone. */
uint64_t pagecache_drop_clean(struct pagecache *cache, uint64_t first, uint64_t last);
/* First offset at or after pos that holds data, or a hole (SEEK_DATA, SEEK_HOLE). -ENXIO. */
loff_t pagecache_seek(struct pagecache *cache, loff_t pos, bool data);
extern const struct xarray_memory
    pagecache_xarray_memory; /* slab-backed nodes, for other xarrays too */
