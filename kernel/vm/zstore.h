/*
 * A store of pages, compressed, by number: what stands behind a zram device.
 *
 * A page all of whose 64-bit words are the same costs nothing beyond its entry; one that LZ4 makes smaller lies in a pool of small
 * objects; the others are kept as they are. Absent pages read as zeros.
 *
 * Locking: each page has a lock bit of its own (spinning), so that one is written and another read at the same time. All functions
 * may be called by any thread, with spin locks held, but for create, destroy and compact, and none sleeps.
 */
#pragma once

#include "kernel/base/types.h"

struct zstore;

/* Room for npages (at most 2^32), all absent. May sleep. NULL: no memory. */
struct zstore *zstore_create(uint64_t npages) __must_check;
/* Nobody uses it any more. May sleep. NULL is fine. */
void zstore_destroy(struct zstore *store);

/* Keep a copy of `page` (PAGE_SIZE bytes, aligned to 8) at `index`. Takes from the reserve of memory. -ENOMEM: what was there stays. */
int zstore_write(struct zstore *store, uint64_t index, const void *page);
/* -EIO: what is kept is damaged. */
int zstore_read(struct zstore *store, uint64_t index, void *page);
/* Make the page absent. */
void zstore_discard(struct zstore *store, uint64_t index);
/* Use no more than npages frames for content; 0: no limit. */
void zstore_set_limit(struct zstore *store, uint64_t npages);
/* Frames that zstore_compact() may free. */
uint64_t zstore_compactable(struct zstore *store);
/* Gather what is scattered; frames freed. May take long. */
uint64_t zstore_compact(struct zstore *store);
/* The greatest use so far is from now on counted anew. */
void zstore_reset_peak(struct zstore *store);

struct zstore_stats {
    uint64_t stored_pages; /* present */
    uint64_t compressed_bytes;
    uint64_t used_pages; /* frames, tables not counted */
    uint64_t peak_pages;
    uint64_t limit_pages;
    uint64_t same_pages; /* present as a value alone */
    uint64_t huge_pages; /* kept as they are, now and so far */
    uint64_t huge_pages_ever;
    uint64_t compacted_pages; /* freed by zstore_compact() so far */
    uint64_t failed_writes;
};
void zstore_stats(const struct zstore *store, struct zstore_stats *ret_stats);
