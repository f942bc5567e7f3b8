/*
 * Read-ahead: pages of a file read from its medium before they are asked for, as far as the past tells.
 *
 * Each open file remembers a window: the pages that were read last in one go. Who reads on from there gets a window twice as large, up to a
 * maximum; so a sequential reader soon has long requests, and one who jumps about has none but his own. Inside a window one page is marked
 * in the cache's tree (MARK_AHEAD): when it is asked for, the next window is read, while what is left of this one is still to be used up. The mark
 * belongs to the page, not to the open file: several readers of one file, and several streams through one descriptor, go on from each other's marks.
 *
 * Interface: readahead_init() at open; readahead_batch() for each batch of a read; readahead_fault() for a fault in a mapping;
 * readahead_range() for advice. Only for files with a medium. All may sleep; none waits for the medium.
 *
 * Locking: a struct readahead is memory of guesses, each member read and written alone; two readers of one descriptor may make it guess
 * badly, no more.
 */
#pragma once

#include "kernel/base/types.h"

#define READAHEAD_PAGES 32u /* a window's most: 128 KiB, unless the file system says otherwise */
#define READAHEAD_RUN   64u /* pages that read_pages() gets at a time, at most */

struct pagecache;

struct readahead {
    uint64_t start; /* [a] the window: its first page */
    uint32_t size;  /* [a] its pages; 0: none yet */
    uint32_t ahead; /* [a] how many of them lie behind the mark, with it */
    uint32_t most;  /* [a] pages of a window; 0: no read-ahead (POSIX_FADV_RANDOM) */
    uint32_t usual; /* [I] that of POSIX_FADV_NORMAL */
    uint32_t
        missed;    /* [a] faults in mappings that found nothing, less those that found something */
    uint64_t last; /* [a] the last page that was asked for, UINT64_MAX: none */
};

/* What to read, and which of it to mark; size 0: nothing beyond what is asked for. */
struct readahead_plan {
    uint64_t start;
    uint32_t size;
    uint32_t ahead; /* the mark is on page start + size - ahead; 0: no mark */
};

void readahead_init(struct readahead *ra, uint32_t most_pages);
/* POSIX_FADV_NORMAL, _SEQUENTIAL (twice as far), _RANDOM (not at all). */
void readahead_advise(struct readahead *ra, int advice);

/*
 * The decision alone: pages [index, index + wanted) are asked for, and page `index` is not there (`marked` false) or has the mark. `cached` is
 * how many pages just before `index` are in the cache, looked at no further than `most`; `hole` the first page behind `index` that is not. Changes
 * the window.
 */
struct readahead_plan readahead_decide(struct readahead *ra, uint64_t index, uint64_t wanted,
                                       bool marked, uint64_t cached, uint64_t hole);

/* A read asks for [index, index + wanted), of which `batch` pages come first; some of these may be `missing`. */
void readahead_batch(struct pagecache *cache, struct readahead *ra, uint64_t index, uint64_t wanted,
                     unsigned batch, bool missing);
/* A fault at page `index`, which maps what is there of n pages from `first` on. vm_flags has VM_SEQ_READ and VM_RAND_READ. */
void readahead_fault(struct pagecache *cache, struct readahead *ra, uint64_t index, bool missing,
                     uint64_t first, unsigned n, uint32_t vm_flags);
/*
 * Begin to read what is missing of [first, first + npages), as far as there is free memory: POSIX_FADV_WILLNEED, readahead(2),
 * MADV_WILLNEED.
 */
void readahead_range(struct pagecache *cache, uint64_t first, uint64_t npages);
