/*
 * Compaction: page blocks are emptied by moving what is movable in them elsewhere, so that large blocks can be had where memory is
 * in small pieces. How a page in use is moved is vm's business.
 */
#pragma once

#include "kernel/mm/page.h"

/*
 * Move what `from` holds to `to`: its content, its place in cache or swap cache, every mapping, flags and owner.
 *
 * The caller has a reference to `from`, which he took from its LRU list, and owns `to`, a frame with refs 1, of kind ANON, whose content is not
 * cleared. May sleep. 0: whoever referred to `from` refers to `to` now, with references of his own, and `to` has its kind. -EBUSY: the page is
 * pinned, under I/O, of no kind that can be moved, or somebody has a reference that is no mapping; -ENOMEM. Nothing has changed then.
 */
typedef int page_migrate_fn(struct page *from, struct page *to);
/* Boot, once: set by vm. Until then nothing moves. */
void frames_set_migrate(page_migrate_fn *migrate);
/* The function set; -ENOSYS when none is. Both references of the caller end: one of the pages goes back to a list, the other is freed. */
int frame_migrate(struct page *from, struct page *to);

/*
 * Empty page blocks of a node until a block of 2^order frames is free. Returns whether there is one. Threads, no spin lock held; may
 * sleep in `migrate`.
 */
bool frames_compact(unsigned node, unsigned order);
/* Empty as many page blocks as can be: /proc/sys/vm/compact_memory. */
void frames_compact_all(void);

/* For /proc/vmstat, by the names there. */
struct compact_stats {
    uint64_t migrate_scanned, isolated, migrated, failed, stall, success;
};
void compact_stats(struct compact_stats *ret_stats);
