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

/* ---- one page (reclaim_page.c) ---- */

enum reclaim_fate {
    RECLAIM_FREED,    /* the caller's reference was the last, and is gone */
    RECLAIM_KEEP,     /* in use just now, or nowhere to put it: back to its list */
    RECLAIM_ACTIVATE, /* no use to come back soon */
};
/* Take the page out of everything that knows it. The caller has a reference, and it is on no list. May sleep. */
enum reclaim_fate reclaim_page(struct page *page);
/*
 * How many entries through which the page was used since this was asked last; their marks are cleared. *ret_executable: some may be
 * executed. The caller has a reference. UINT32_MAX: cannot be told now.
 */
unsigned reclaim_page_used(struct page *page, bool *ret_executable);
