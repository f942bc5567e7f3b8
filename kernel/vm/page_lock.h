/*
 * The page lock, PAGE_FLAG_LOCKED: held while a page's content is read in or written out, and while it changes its place (page cache, swap
 * cache, another frame). It sleeps. Whoever waits for it or holds it has a reference to the page.
 *
 * A page cache waits for the lock of each page that leaves it (pagecache_drop), after it has cleared the page's owner. So who has the lock
 * and sees an owner then may use the cache until it unlocks.
 */
#pragma once

#include "kernel/mm/page.h"

static inline bool page_trylock(struct page *page)
{
    /* A full barrier: see pagecache_drop(). */
    return (__atomic_fetch_or(&page->flags, (uint16_t)PAGE_FLAG_LOCKED, __ATOMIC_SEQ_CST) &
            PAGE_FLAG_LOCKED) == 0;
}
static inline bool page_is_locked(const struct page *page)
{
    return (atomic_load_acquire(&page->flags) & PAGE_FLAG_LOCKED) != 0;
}
/* May sleep. */
void page_lock(struct page *page);
/* Set further flags (PAGE_FLAG_UPTODATE, PAGE_FLAG_ERROR), let go, wake who waits. Any context. */
void page_unlock(struct page *page, uint16_t set);
/* Until nobody holds it, for a moment at least. May sleep. */
void page_wait_unlocked(struct page *page);
void page_locks_init(void);
