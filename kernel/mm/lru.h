/*
 * Lists of the least recently used: every page of user memory and of files is on one of them, so that reclaim finds what has not been
 * used for long.
 *
 * Four lists, by what a page is (anonymous and shared memory, which swap keeps; files, which their media keep, and with them what nobody has
 * to keep: PAGE_FLAG_LAZY) and by age (inactive, active),
 * and one for pages that must stay. Each node has them LRU_SHARDS times, each shard under a lock of its own; a page stays in the shard of the CPU
 * that put it there, which its flags name.
 *
 * A list holds no reference: page_free_last() takes a page off. Whoever takes one from a list gets a reference, if it is not being freed.
 *
 * Locking: the shard's lock (spin, irqsave), inside all others. PAGE_FLAG_LRU and the shard in the flags change under it.
 */
#pragma once

#include "kernel/mm/page.h"

enum lru_list {
    LRU_INACTIVE_ANON,
    LRU_ACTIVE_ANON,
    LRU_INACTIVE_FILE,
    LRU_ACTIVE_FILE,
    LRU_UNEVICTABLE,
    LRU_NLISTS,
};

#define LRU_SHARDS      8u
#define LRU_SHARD_SHIFT 11u /* of page->flags */
#define LRU_SHARD_MASK  ((LRU_SHARDS - 1) << LRU_SHARD_SHIFT)

/* New pages, which nobody else knows yet, of one kind, at the young end of the inactive lists. Any context. */
void lru_add_new(struct page **pages, unsigned n);
/* Off its list, if it is on one. The caller has a reference, or frees the page. False: it was on none. Any context. */
bool lru_take(struct page *page);
/*
 * A page that was found by its number: off its list, with a reference. Who works on pages that he found like that may touch none that is on no list:
 * it may be free, or still being made. False: it is such a one, or being freed. Any context.
 */
bool lru_isolate_page(struct page *page);
/* lru_take() for each of n pages that are being freed. */
void lru_take_freed(struct page **pages, unsigned n);
/*
 * The caller's reference to each page, which is on no list, ends, and it goes to the young end of the list that its flags name
 * (PAGE_FLAG_ACTIVE, PAGE_FLAG_MLOCKED). Any context.
 */
void lru_put_back(struct page **pages, unsigned n);
/* The page has been used: the young end of the active list. Nothing happens when it is there or on no list. */
void lru_activate(struct page *page);
/* It will not be used soon: the young end of the inactive list. */
void lru_deactivate(struct page *page);
/*
 * An anonymous page becomes PAGE_FLAG_LAZY, and goes to the young end of the files' inactive list: no swap is needed for it. False: it was on no
 * list, and stays what it is. The flag is taken off while the page is on none.
 */
bool lru_make_lazy(struct page *page);
/*
 * Up to n pages from the old end of a list, with a reference each and on no list. *ret_seen: how many were looked at, those that are being
 * freed counted too. Any context.
 */
unsigned lru_isolate(unsigned node, unsigned shard, enum lru_list list, unsigned n,
                     struct page **pages, unsigned *ret_seen);
/* The page must stay in memory, or need not any more. The caller has a reference. */
void lru_set_mlocked(struct page *page, bool locked);
/* Pages on a list, of one shard or of all. Any context. */
uint64_t lru_shard_count(unsigned node, unsigned shard, enum lru_list list);
uint64_t lru_count(unsigned node, enum lru_list list);

/* Nodes that have lists: all there are. */
unsigned lru_nodes(void);
/* Boot, when the nodes are known and the heap is there, and no page is on a list yet. */
void lru_init(void);
