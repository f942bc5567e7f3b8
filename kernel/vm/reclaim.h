/*
 * Reclaim: getting frames back from what has not been used for long.
 *
 * A thread per node is woken when memory falls below `low` and works until `high` is reached; requests that find nothing above `min` reclaim
 * themselves; threads whose requests could not wait and went below it reclaim when they return to user mode. What is taken comes from the old
 * ends of the inactive lists (kernel/mm/lru.h): pages of files are let go when they are clean, anonymous and shared memory goes to swap.
 *
 * Nothing here waits for memory, nor for a lock that is held where memory is asked for: locks of spaces and files are only tried, page locks
 * too. Fresh frames (for a cluster of slots, for compressed pages) come from the reserve.
 */
#pragma once

#include "kernel/mm/page.h"

/* ---- all of memory (reclaim.c) ---- */

/*
 * About n frames of `node`, from threads that hold no spin lock; returns how many came. Locks that sleep may be held. May sleep. 0 also when the
 * caller is reclaiming already.
 */
size_t reclaim_frames(unsigned node, size_t n);
/* What the node's thread does when it is woken: until `high` is reached, or nothing more comes. May sleep. */
void reclaim_node(unsigned node);
/* Do the zones of the node together have what their marks `high` come to? A small one that has its part is not enough. Any context. */
bool reclaim_has_plenty(unsigned node);
/* A request of the current thread went below `min`, or it has seen memory thrash (thrash.h), and it returns to user mode now. May sleep. */
void reclaim_owed(void);
/* These pages, to which the caller has a reference each that ends, as far as they can go now: without a shadow. May sleep. Returns how many went. */
size_t reclaim_pages(struct page **pages, unsigned n);
/* Take all clean pages of files that nobody shows or uses (/proc/sys/vm/drop_caches). May sleep. Returns their number. */
size_t reclaim_drop_files(void);
/* A page of a file, or of what swap keeps, was wanted again as soon as workingset.h finds too soon: letting it go did not pay. */
void reclaim_note_refault(bool file);
/* Boot: when there are locks; later, start the threads. */
void reclaim_subsystem_init(void);
void reclaim_init(void);

/*
 * Something else that gives memory back: caches of names, for instance. `count` is how many objects there are to free, `shrink` tries to free n
 * of them and returns how many it did. The reclaim thread alone calls them, in proportion to how hard it looks at pages: so they may take
 * locks under which others wait for memory.
 */
struct shrinker {
    uint64_t (*count)(void);
    size_t (*shrink)(size_t n);
    bool names; /* [I] caches of names: vfs_cache_pressure tells how hard they are pressed */
    struct shrinker *next; /* [I] */
};
/* Ask all of them, for 1 / 2^priority of what they have. May sleep. */
void reclaim_shrink(unsigned priority);
/* Boot. `shrinker` lives for ever. */
void shrinker_register(struct shrinker *shrinker);

/* Since boot, as /proc/vmstat names them. */
struct reclaim_stats {
    uint64_t pgscan_kswapd, pgscan_direct, pgsteal_kswapd, pgsteal_direct;
    uint64_t pgscan_anon, pgscan_file, pgsteal_anon, pgsteal_file;
    uint64_t pgactivate, pgdeactivate, pgrefill, allocstall, slabs_scanned, kswapd_wakes;
};
void reclaim_stats(struct reclaim_stats *ret_stats);

/* ---- one page (reclaim_page.c) ---- */

enum reclaim_fate {
    RECLAIM_FREED,    /* the caller's reference was the last, and is gone */
    RECLAIM_KEEP,     /* in use just now, or nowhere to put it: back to its list */
    RECLAIM_ACTIVATE, /* no use to come back soon */
};
/*
 * Take the page out of everything that knows it. The caller has a reference, and it is on no list. `remember`: it leaves a shadow
 * (workingset.h). May sleep.
 */
enum reclaim_fate reclaim_page(struct page *page, bool remember);
/*
 * How many entries through which the page was used since this was asked last; their marks are cleared. *ret_executable: some may be
 * executed. The caller has a reference. UINT32_MAX: cannot be told now.
 */
unsigned reclaim_page_used(struct page *page, bool *ret_executable);
