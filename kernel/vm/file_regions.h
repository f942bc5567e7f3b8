/*
 * Which regions show a page of a file: the interval tree of a page cache (struct pagecache.regions).
 *
 * Each region stands for the interval [pgoff, pgoff + pages) of page indices. The tree is ordered by pgoff and augmented with the last
 * index of a subtree, so that the k regions that meet a range of n are found in O(log n + k).
 * Source: Cormen et al., Introduction to Algorithms, chapter 14.3.
 *
 * All with cache->rmap_lock held. A region's limits change under that lock too: what moves its end says so by file_region_resized(); what
 * moves its pgoff takes it out of the tree first.
 */
#pragma once

#include "kernel/vm/pagecache.h"
#include "kernel/vm/vmspace.h"

void file_regions_add(struct pagecache *cache, struct vm_region *region);
void file_regions_remove(struct pagecache *cache, struct vm_region *region);
void file_region_resized(struct vm_region *region);

/* The first region, by pgoff, that shows any of the pages [first, last]; NULL: none. */
struct vm_region *file_regions_first(const struct pagecache *cache, uint64_t first, uint64_t last);
/* The one after `region`, which may have shrunk meanwhile but must still be in the tree. */
struct vm_region *file_regions_next(struct vm_region *region, uint64_t first, uint64_t last);

static inline bool file_regions_empty(const struct pagecache *cache)
{
    return READ_ONCE(cache->regions.node) == NULL;
}

#define for_each_file_region(region, cache, first, last)                                           \
    for ((region) = file_regions_first((cache), (first), (last)); (region) != NULL;                \
         (region) = file_regions_next((region), (first), (last)))
