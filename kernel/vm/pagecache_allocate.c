/*
 * fallocate for files that live in memory alone: pages made ahead of their use.
 *
 * Should it end before all are there, those that it made go again. They are marked in the tree until then. Some may have been used meanwhile,
 * through mappings, which take no lock of the inode's: who has been written to, or is in use just now, stays, like any page that a
 * program has made. A page of zeros that nobody shows is as good as the hole that was there before.
 */
#include "kernel/base/errno.h"
#include "kernel/sched/thread.h"
#include "kernel/vm/private.h"

#define MARK_FRESH                                                                                 \
    XARRAY_MARK_0 /* the marks of writeback and read-ahead are for files with a medium */

static bool is_zeros(const struct page *page)
{
    const uint64_t *words = page_to_virt(page);
    uint64_t any = 0;

    for (unsigned i = 0; i < PAGE_SIZE / sizeof(*words); i++) {
        any |= words[i];
    }
    return any == 0;
}

/* No page of [first, last] is marked any more; with `drop`, those that nobody has used are gone. */
static void settle(struct pagecache *cache, uint64_t first, uint64_t last, bool drop)
{
    struct page *page = NULL;

    do {
        bool gone = false;
        spin_lock(&cache->lock);
        page = xarray_find_marked(&cache->pages, &first, last, MARK_FRESH);
        if (page != NULL) {
            xarray_clear_mark(&cache->pages, first, MARK_FRESH);
            /* The one reference is the cache's: with its lock held nobody can get another. */
            gone = drop && !cache_entry_is_swap(page) && atomic_load_acquire(&page->refs) == 1 &&
                   is_zeros(page);
        }
        if (gone) {
            (void)xarray_erase(&cache->pages, first);
            atomic_store_relaxed(&page->owner, NULL);
        }
        spin_unlock(&cache->lock);
        if (gone) {
            pagecache_uncharge(cache, 1);
            page_put(page);
        }
    } while (page != NULL && first++ < last);
}

/* The page at `index`, made and marked, if there is none. */
static int allocate_one(struct pagecache *cache, uint64_t index)
{
    struct page *page;
    int err;

    spin_lock(&cache->lock);
    bool there = xarray_load(&cache->pages, index) != NULL;
    spin_unlock(&cache->lock);
    if (there) {
        return 0;
    }
    err = pagecache_get(cache, index, PAGECACHE_CREATE | PAGECACHE_BEYOND, &page);
    if (err < 0) {
        return err;
    }
    spin_lock(&cache->lock);
    xarray_set_mark(&cache->pages, index, MARK_FRESH);
    spin_unlock(&cache->lock);
    page_put(page);
    return 0;
}

int pagecache_allocate(struct pagecache *cache, uint64_t first, uint64_t last)
{
    int err = 0;

    for (uint64_t index = first; err == 0 && index <= last; index++) {
        err = allocate_one(cache, index);
        if (err == 0 && thread_signal_pending(current_thread())) {
            err = -EINTR;
        }
    }
    settle(cache, first, last, err < 0);
    return err;
}
