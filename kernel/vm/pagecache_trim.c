/*
 * Making files shorter: truncation and holes, and finding data and holes.
 *
 * Order: the size sinks first, then the pages leave the cache, then they are unmapped wherever a region shows them. A fault that met the
 * page before sees, under the lock of its block of the page table, that it has left the cache, and starts again; so nothing maps it behind our back.
 */
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/vm/file_regions.h"
#include "kernel/vm/private.h"
#include "kernel/vm/writeback.h"

/* Clear [from, to) of the page at `index`, if there is one. */
static int zero_part(struct pagecache *cache, uint64_t index, size_t from, size_t to)
{
    struct page *page;

    if (from == to) {
        return 0;
    }
    int err = pagecache_get(cache, index, PAGECACHE_BEYOND, &page);
    if (err < 0 || page == NULL) {
        return err;
    }
    memset((uint8_t *)page_to_virt(page) + from, 0, to - from);
    pagecache_mark_dirty(cache, page);
    page_put(page);
    return 0;
}

/* Drop the pages [first, last] and unmap them everywhere. */
static void drop_and_unmap(struct pagecache *cache, uint64_t first, uint64_t last,
                           bool even_private)
{
    pagecache_drop(cache, first, last);
    if (!file_regions_empty(cache)) {
        mutex_lock(&cache->rmap_lock);
        struct vm_region *region;
        for_each_file_region (region, cache, first, last) {
            vm_zap_file_range(region, first, last, even_private);
        }
        mutex_unlock(&cache->rmap_lock);
    }
}

int pagecache_truncate(struct pagecache *cache, uint64_t size_bytes)
{
    uint64_t old = cache->size_bytes;

    if (size_bytes >= old) {
        atomic_store_release(&cache->size_bytes, size_bytes);
        return 0;
    }
    int err = zero_part(cache, size_bytes >> PAGE_SHIFT, size_bytes % PAGE_SIZE,
                        size_bytes % PAGE_SIZE == 0 ? 0 : PAGE_SIZE);
    if (err < 0) {
        return err;
    }
    atomic_store_release(&cache->size_bytes, size_bytes);
    drop_and_unmap(cache, DIV_ROUND_UP(size_bytes, PAGE_SIZE), UINT64_MAX >> PAGE_SHIFT, true);
    return 0;
}

int pagecache_punch(struct pagecache *cache, uint64_t start, uint64_t end)
{
    uint64_t first = DIV_ROUND_UP(start, PAGE_SIZE);
    uint64_t last = end >> PAGE_SHIFT; /* one past the whole pages */
    int err;

    if (start >= end) {
        return 0;
    }
    if (first > last) { /* inside one page */
        return zero_part(cache, start >> PAGE_SHIFT, start % PAGE_SIZE, end % PAGE_SIZE);
    }
    err = zero_part(cache, start >> PAGE_SHIFT, start % PAGE_SIZE,
                    start % PAGE_SIZE == 0 ? 0 : PAGE_SIZE);
    if (err == 0) {
        err = zero_part(cache, last, 0, end % PAGE_SIZE);
    }
    if (err == 0 && first < last) {
        drop_and_unmap(cache, first, last - 1, false);
    }
    return err;
}

/* With cache->lock held, and the one reference the cache's, nobody else gets at it. */
static bool is_unused(const struct page *page)
{
    const uint16_t busy =
        PAGE_FLAG_DIRTY | PAGE_FLAG_WRITEBACK | PAGE_FLAG_LOCKED | PAGE_FLAG_MLOCKED;

    return atomic_load_acquire(&page->refs) == 1 && (atomic_load_acquire(&page->flags) & busy) == 0;
}

uint64_t pagecache_drop_clean(struct pagecache *cache, uint64_t first, uint64_t last)
{
    struct page *batch[32];
    uint64_t dropped = 0;
    bool more = true;

    while (more && first <= last) {
        unsigned n = 0;
        spin_lock(&cache->lock);
        while (n < ARRAY_SIZE(batch)) {
            struct page *page = xarray_find(&cache->pages, &first, last);
            more = page != NULL;
            if (!more) {
                break;
            }
            if (is_unused(page)) {
                (void)xarray_erase(&cache->pages, first);
                page->owner = NULL;
                batch[n++] = page;
            }
            if (first++ == last) {
                break;
            }
        }
        spin_unlock(&cache->lock);
        pages_put(batch, n);
        dropped += n;
    }
    pagecache_uncharge(cache, dropped);
    return dropped;
}

loff_t pagecache_seek(struct pagecache *cache, loff_t pos, bool data)
{
    uint64_t size = atomic_load_acquire(&cache->size_bytes);
    uint64_t at = (uint64_t)pos;

    if (pos < 0 || at >= size) {
        return -ENXIO;
    }
    if (pagecache_is_backed(cache)) {
        return data ? pos : (loff_t)size; /* the medium knows; here it is all data */
    }
    uint64_t index = at >> PAGE_SHIFT;
    uint64_t last = (size - 1) >> PAGE_SHIFT;
    bool found;
    spin_lock(&cache->lock);
    if (data) {
        found = xarray_find(&cache->pages, &index, last) != NULL;
    } else {
        found = xarray_find_free(&cache->pages, index, last, &index);
    }
    spin_unlock(&cache->lock);
    if (!found) {
        return data ? -ENXIO : (loff_t)size;
    }
    return (loff_t)MAX(index << PAGE_SHIFT, at);
}
