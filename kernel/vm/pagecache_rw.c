/*
 * read(2) and write(2) through the page cache.
 *
 * Pages are looked up in batches, and neighbours in the file that are neighbours in memory too are copied at one go: the
 * frame allocator hands out ascending frames, so that is the common case.
 */
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/mm/node.h"
#include "kernel/vm/iov.h"
#include "kernel/vm/oom.h"
#include "kernel/vm/private.h"
#include "kernel/vm/readahead.h"
#include "kernel/vm/workingset.h"
#include "kernel/vm/writeback.h"

#define BATCH 16u

/* How many pages from pages[0] on lie one after the other in memory. A hole is a run of its own. */
static inline unsigned run_length(struct page **pages, unsigned n)
{
    unsigned run = 1;

    while (run < n && pages[0] != NULL && pages[run] == pages[0] + run) {
        run++;
    }
    return run;
}

static void batch_put(struct page **pages, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (pages[i] != NULL) {
            page_put(pages[i]);
        }
    }
}

/*
 * Read the medium or swap where a page is missing; holes stay NULL. Returns how many of the n there are now, fewer if one cannot be had: those
 * behind it are put; an error when that is the first.
 */
static int batch_fill(struct pagecache *cache, uint64_t index, unsigned n, struct page **pages)
{
    for (unsigned i = 0; i < n; i++) {
        int err = pages[i] == NULL ? pagecache_get(cache, index + i, 0, &pages[i]) : 0;
        if (err < 0) {
            batch_put(pages + i + 1, n - i - 1);
            return i > 0 ? (int)i : err;
        }
    }
    return (int)n;
}

/* A page that is read a second time while it is inactive becomes active. */
static __noinline void inactive_used(struct page *page)
{
    if ((atomic_fetch_or(&page->flags, (uint16_t)PAGE_FLAG_REFERENCED) & PAGE_FLAG_REFERENCED) !=
        0) {
        lru_activate(page);
        workingset_activated(page_node(page), 1);
    }
}

/* batch_put() for pages that were read; what goes on in its first page, where it stopped last, does not use that again. */
static void batch_used(struct page **pages, unsigned n, bool goes_on)
{
    for (unsigned i = 0; i < n; i++) {
        struct page *page = pages[i];
        if (page == NULL) {
            continue;
        }
        if ((i > 0 || !goes_on) &&
            unlikely((atomic_load_relaxed(&page->flags) & PAGE_FLAG_ACTIVE) == 0)) {
            inactive_used(page);
        }
        page_put(page);
    }
}

/* Copy `len` bytes at `offset` of pages[0] on; returns the bytes that arrived. */
static size_t batch_copy_to(struct page **pages, unsigned n, size_t offset, size_t len,
                            struct iov_iter *to)
{
    size_t done = 0;

    for (unsigned i = 0; i < n && done < len;) {
        unsigned run = run_length(pages + i, n - i);
        size_t chunk = MIN(len - done, (size_t)run * PAGE_SIZE - offset);
        size_t moved = pages[i] == NULL
                           ? iov_zero(to, chunk)
                           : iov_copy_to(to, (uint8_t *)page_to_virt(pages[i]) + offset, chunk);
        done += moved;
        if (moved < chunk) {
            break;
        }
        offset = 0;
        i += run;
    }
    return done;
}

ssize_t pagecache_read(struct pagecache *cache, struct readahead *ra, loff_t *pos,
                       struct iov_iter *to)
{
    uint64_t at = (uint64_t)*pos;
    size_t done = 0;
    int err = 0;

    while (to->count > 0) {
        struct page *pages[BATCH];
        uint64_t size = atomic_load_acquire(&cache->size_bytes);
        if (at >= size) {
            break;
        }
        uint64_t index = at >> PAGE_SHIFT;
        size_t offset = at % PAGE_SIZE;
        size_t len = MIN((uint64_t)to->count, size - at);
        len = MIN(len, (size_t)(BATCH * PAGE_SIZE - offset));
        unsigned n = (unsigned)DIV_ROUND_UP(offset + len, PAGE_SIZE);
        unsigned found = pagecache_get_present(cache, index, n, pages);
        uint64_t last =
            index; /* where the reader was: nobody keeps that of files without a medium */
        if (unlikely(pagecache_is_backed(cache))) {
            last = ra == NULL ? UINT64_MAX : atomic_load_relaxed(&ra->last);
            uint64_t wanted = MIN((uint64_t)to->count, size - at) + offset;
            readahead_batch(cache, ra, index, DIV_ROUND_UP(wanted, PAGE_SIZE), n, found < n);
        }
        if (unlikely(found < n) &&
            (pagecache_is_backed(cache) || atomic_load_relaxed(&cache->nswapped) != 0)) {
            int filled = batch_fill(cache, index, n, pages);
            if (filled < 0) {
                err =
                    at < atomic_load_acquire(&cache->size_bytes) ? filled : 0; /* or cut off now */
                break;
            }
            n = (unsigned)filled;
            len = MIN(len, n * PAGE_SIZE - offset);
        }
        size_t moved = batch_copy_to(pages, n, offset, len, to);
        if (likely(!pagecache_is_backed(cache) && swap_free_slots() == 0)) {
            batch_put(pages, n); /* they go nowhere: nobody asks how old they are */
        } else {
            batch_used(pages, n, offset != 0 && index == last);
        }
        at += moved;
        done += moved;
        if (moved < len) {
            err = -EFAULT;
            break;
        }
    }
    *pos = (loff_t)at;
    return done > 0 ? (ssize_t)done : err;
}

/*
 * A missing page of a file without a medium: take the data in first, then show it to the world, so that nothing is cleared
 * only to be overwritten. Returns the bytes taken in, or an error; 0 when a fault stopped it at once, -EEXIST when somebody
 * else added the page meanwhile (then nothing was consumed).
 */
static ssize_t write_fresh(struct pagecache *cache, uint64_t index, size_t offset, size_t len,
                           struct iov_iter *from)
{
    struct page *page = pagecache_frame_alloc(cache, index, FRAME_RECLAIM);

    if (page == NULL) {
        return -ENOMEM;
    }
    uint8_t *data = page_to_virt(page);
    size_t moved = iov_copy_from(from, data + offset, len);
    if (moved == 0) {
        page_put(page);
        return 0;
    }
    memset(data, 0, offset);
    memset(data + offset + moved, 0, PAGE_SIZE - offset - moved);
    page->flags = PAGE_FLAG_UPTODATE;
    int err = pagecache_add(cache, index, page, true);
    if (err < 0) {
        iov_revert(from, moved);
        page_put(page);
        return err;
    }
    return (ssize_t)moved;
}

/* Before a page is marked dirty: writeback looks at the size. */
static void grow_to(struct pagecache *cache, uint64_t end)
{
    if (end > atomic_load_relaxed(&cache->size_bytes)) {
        atomic_store_release(&cache->size_bytes, end);
    }
}

/* Into a page that may or may not be there. Bytes, 0 for a fault, or an error. */
static ssize_t write_page(struct pagecache *cache, uint64_t index, size_t offset, size_t len,
                          struct iov_iter *from)
{
    for (;;) {
        struct page *page;
        int err = pagecache_get(cache, index, PAGECACHE_BEYOND, &page);
        if (err < 0) {
            return err;
        }
        if (page == NULL) {
            ssize_t moved = write_fresh(cache, index, offset, len, from);
            if (moved != -EEXIST && (moved != -ENOMEM || !vm_out_of_memory())) {
                return moved;
            }
            continue;
        }
        size_t moved = iov_copy_from(from, (uint8_t *)page_to_virt(page) + offset, len);
        if (unlikely(cache->writeback != NULL) && moved > 0) {
            grow_to(cache, (index << PAGE_SHIFT) + offset + moved);
            pagecache_mark_dirty(cache, page);
        }
        page_put(page);
        return (ssize_t)moved;
    }
}

/* Overwrite pages that are all there. Bytes moved; fewer than len when a fault stopped it. */
static size_t write_run(struct pagecache *cache, uint64_t index, struct page **pages, unsigned n,
                        size_t offset, size_t len, struct iov_iter *from)
{
    size_t done = 0;

    for (unsigned i = 0; i < n && done < len;) {
        unsigned run = run_length(pages + i, n - i);
        size_t chunk = MIN(len - done, (size_t)run * PAGE_SIZE - offset);
        size_t moved = iov_copy_from(from, (uint8_t *)page_to_virt(pages[i]) + offset, chunk);
        if (unlikely(cache->writeback != NULL) && moved > 0) {
            grow_to(cache, ((index + i) << PAGE_SHIFT) + offset + moved);
            for (unsigned j = 0; j < run; j++) {
                pagecache_mark_dirty(cache, pages[i + j]);
            }
        }
        done += moved;
        if (moved < chunk) {
            break;
        }
        offset = 0;
        i += run;
    }
    return done;
}

ssize_t pagecache_write(struct pagecache *cache, loff_t *pos, struct iov_iter *from)
{
    uint64_t at = (uint64_t)*pos;
    size_t done = 0;
    ssize_t err = 0;

    while (from->count > 0) {
        struct page *pages[BATCH];
        uint64_t index = at >> PAGE_SHIFT;
        size_t offset = at % PAGE_SIZE;
        size_t len = MIN((uint64_t)from->count, BATCH * PAGE_SIZE - offset);
        unsigned n = (unsigned)DIV_ROUND_UP(offset + len, PAGE_SIZE);
        unsigned found = pagecache_get_present(cache, index, n, pages);
        ssize_t moved;
        if (found == n) {
            moved = (ssize_t)write_run(cache, index, pages, n, offset, len, from);
        } else {
            len = MIN(len, (size_t)PAGE_SIZE - offset);
            moved = write_page(cache, index, offset, len, from);
        }
        batch_put(pages, n);
        if (moved > 0) {
            at += (uint64_t)moved;
            done += (size_t)moved;
            grow_to(cache, at);
            writeback_balance(cache);
        }
        if (moved < (ssize_t)len) {
            err = moved < 0 ? moved : -EFAULT;
            break;
        }
    }
    *pos = (loff_t)at;
    return done > 0 ? (ssize_t)done : err;
}
