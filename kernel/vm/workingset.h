/*
 * The working set: pages that come back soon after they went, because more are in use by turns than the inactive lists are long.
 *
 * Each node counts what leaves its inactive lists, by eviction or by becoming active. A page that is evicted leaves a *shadow* where it stood:
 * the count then, and whether it had been active before. When the page is read again, the difference of the counts is how many
 * pages more the inactive list would have had to hold for it to stay. If the other lists together are that long, it is used more often than
 * some page of theirs may be: so it becomes active at once, and competes with these.
 *
 * The shadow of a page in swap stands in its slot's word (swap_slot.c). Those of a file stand in a tree of their own beside the page
 * cache's, which a look-up that finds its page never sees. They hold memory, so there is a bound for the nodes of these trees.
 *
 * Source: the idea of refault distances is that of J. Weiner, LWN 495543; the names of the counters are those of Linux' /proc/vmstat.
 */
#pragma once

#include "kernel/vm/pagecache.h"

#define WORKINGSET_SHADOW_BITS 40u
#define WORKINGSET_NONE        0u /* never a shadow */

/* The page, which is on no list, is about to go: what to remember it by. */
uint64_t workingset_evict(const struct page *page);
/* The page, which is on a list and has a reference, stands again where this shadow was left. */
void workingset_refault(struct page *page, uint64_t shadow);
/* n pages of the node's inactive lists have become active. */
void workingset_activated(unsigned node, unsigned n);

/* ---- shadows of files; cache->lock held ---- */

/* Leave a shadow at `index`, where no page is; where there is no memory for it, none is left. */
void workingset_remember(struct pagecache *cache, uint64_t index, uint64_t shadow);
/* Take the shadow at `index` out. WORKINGSET_NONE: there is none. */
uint64_t workingset_recall_slow(struct pagecache *cache, uint64_t index);
static inline uint64_t workingset_recall(struct pagecache *cache, uint64_t index)
{
    return likely(cache->shadows == NULL) ? WORKINGSET_NONE : workingset_recall_slow(cache, index);
}
/* The pages [first, last] are no more what they were. */
void workingset_forget(struct pagecache *cache, uint64_t first, uint64_t last);
/* Nobody uses the cache any more. Its lock is not held. */
void workingset_cache_fini(struct pagecache *cache);

/* ---- figures ---- */

struct workingset_stats {
    uint64_t refault[2], activate[2], restore[2]; /* of anonymous and shared memory; of files */
    uint64_t nodes;                               /* of trees of shadows, now */
    uint64_t reclaimed_nodes;
};
void workingset_stats(unsigned node, struct workingset_stats *ret_stats);
/* Nodes of trees that there may be. */
uint64_t workingset_nodes_most(void);
/* Boot. */
void workingset_init(void);
