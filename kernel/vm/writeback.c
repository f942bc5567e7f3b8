/*
 * Writeback of one file: pages become dirty, are handed to the file system in runs, and come back written. See writeback.h for the contract;
 * writeback_thread.c for when it happens.
 *
 * A run is taken under cache->lock: dirty flags and marks go, PAGE_FLAG_WRITEBACK comes. Then the mappings of these pages lose the right to
 * write, and only then the file system reads the pages. So a write through a mapping either comes before that, and is in what is written, or faults,
 * and makes the page dirty again: the fault marks it after it has mapped it writable.
 *
 * Marks in the cache's tree: MARK_DIRTY follows the flag. MARK_WRITING says that a page was put under writeback; completions, which come from interrupts,
 * do not clear it, whoever waits for the page does.
 */
#include "kernel/vm/writeback.h"

#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/core/time.h"
#include "kernel/vm/file_regions.h"
#include "kernel/vm/private.h"
#include "kernel/vm/writeback_impl.h"

#define MARK_DIRTY   XARRAY_MARK_0
#define MARK_WRITING XARRAY_MARK_1

static inline bool page_has(const struct page *page, uint16_t flag)
{
    return (atomic_load_acquire(&page->flags) & flag) != 0;
}

static inline void page_set(struct page *page, uint16_t flag)
{
    (void)__atomic_fetch_or(&page->flags, flag, __ATOMIC_RELAXED);
}

/* A full barrier: what the page holds is read after that. */
static inline void page_clear_flag(struct page *page, uint16_t flag)
{
    (void)__atomic_fetch_and(&page->flags, (uint16_t)~flag, __ATOMIC_SEQ_CST);
}

void writeback_init(struct writeback *wb, struct pagecache *cache, struct writeback_device *device)
{
    ASSERT(cache->ops->write_pages != NULL);
    memset(wb, 0, sizeof(*wb));
    wb->cache = cache;
    wb->device = device;
    spin_init(&wb->lock, "writeback");
    wait_queue_init(&wb->done);
    cache->writeback = wb;
}

/* ---- dirty ---- */

/* Flag and mark change together, under the lock: who sees the flag knows that the next sync finds the page. */
void pagecache_mark_dirty_slow(struct pagecache *cache, struct page *page)
{
    struct writeback *wb = cache->writeback;

    atomic_fence(); /* what was written is seen by whoever clears the flag after we have seen it */
    if (page_has(page, PAGE_FLAG_DIRTY)) {
        return;
    }
    spin_lock(&cache->lock);
    if (page->owner == cache && !page_has(page, PAGE_FLAG_DIRTY)) {
        page_set(page, PAGE_FLAG_DIRTY);
        xarray_set_mark(&cache->pages, page->index, MARK_DIRTY);
        writeback_count_dirty(1);
        if (wb->ndirty++ == 0) {
            writeback_list_add(wb);
        }
    }
    spin_unlock(&cache->lock);
}

static void undirty_locked(struct pagecache *cache, struct page *page)
{
    xarray_clear_mark(&cache->pages, page->index, MARK_DIRTY);
    page_clear_flag(page, PAGE_FLAG_DIRTY);
    cache->writeback->ndirty--;
    writeback_count_dirty(-1);
}

void writeback_page_leaves_locked(struct pagecache *cache, struct page *page)
{
    if (cache->writeback != NULL && page_has(page, PAGE_FLAG_DIRTY)) {
        undirty_locked(cache, page);
    }
}

/* ---- writing ---- */

/*
 * The next run of dirty pages from *index on, at most to `last`: put under writeback, and referenced. 0: there is none. *ret_busy: or the next
 * one, *index, is being written at the moment. cache->lock held.
 */
static unsigned take_run_locked(struct pagecache *cache, uint64_t *index, uint64_t last,
                                struct page **pages, bool *ret_busy)
{
    unsigned n = 0;
    uint64_t at = *index;

    *ret_busy = false;
    while (n < WRITEBACK_RUN) {
        struct page *page = n == 0 ? xarray_find_marked(&cache->pages, &at, last, MARK_DIRTY)
                            : at > last || !xarray_get_mark(&cache->pages, at, MARK_DIRTY)
                                ? NULL
                                : xarray_load(&cache->pages, at);
        if (page == NULL) {
            break;
        }
        if (page_has(page, PAGE_FLAG_WRITEBACK)) {
            *ret_busy = n == 0;
            break;
        }
        undirty_locked(cache, page);
        page_set(page, PAGE_FLAG_WRITEBACK);
        xarray_set_mark(&cache->pages, at, MARK_WRITING);
        page_get(page);
        pages[n++] = page;
        at++;
    }
    *index = at;
    return n;
}

/* The same for what one region shows of them. rmap_lock keeps it where it is. */
static void protect_region(struct vm_region *region, uint64_t first, uint64_t last)
{
    struct vmspace *vm = region->vm;
    uint64_t region_last = region->pgoff + region_pages(region) - 1;
    struct mmu_flush flush;

    if (last < region->pgoff || first > region_last) {
        return;
    }
    first = MAX(first, region->pgoff) - region->pgoff;
    last = MIN(last, region_last) - region->pgoff;
    mmu_flush_init(&flush, &vm->mmu);
    read_lock(&vm->locks.shape);
    (void)mmu_protect(&vm->mmu, region->start + (first << PAGE_SHIFT),
                      region->start + ((last + 1) << PAGE_SHIFT), 0, MMU_WRITE, &flush);
    read_unlock(&vm->locks.shape);
    mmu_flush_finish(&flush);
}

/* Whoever writes to these pages through a mapping from now on faults first. */
static void write_protect(struct pagecache *cache, uint64_t first, uint64_t last)
{
    struct vm_region *region;

    if (file_regions_empty(cache)) {
        return;
    }
    mutex_lock(&cache->rmap_lock);
    for_each_file_region (region, cache, first, last) {
        if ((region->flags & VM_SHARED) != 0) {
            protect_region(region, first, last);
        }
    }
    mutex_unlock(&cache->rmap_lock);
}

/* No longer under writeback, however it went. Any context. */
static void end_run(struct pagecache *cache, struct page **pages, unsigned n)
{
    struct writeback *wb = cache->writeback;

    for (unsigned i = 0; i < n; i++) {
        ASSERT(page_has(pages[i], PAGE_FLAG_WRITEBACK));
        page_clear_flag(pages[i], PAGE_FLAG_WRITEBACK);
    }
    pages_put(pages, n);
    writeback_count_ended(n);
    writeback_device_count_ended(wb->device, n);
    /* Whoever waits for the last one to free `wb` takes the lock after us. */
    uint64_t flags = spin_lock_irqsave(&wb->lock);
    wb->nwriteback -= n;
    wait_wake_all(&wb->done, 0);
    spin_unlock_irqrestore(&wb->lock, flags);
}

/* There was no memory to write them with: they stay dirty, for another time. */
static void give_back(struct pagecache *cache, struct page **pages, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        pagecache_mark_dirty(cache, pages[i]);
    }
    end_run(cache, pages, n);
}

static int write_run(struct pagecache *cache, uint64_t first, struct page **pages, unsigned n)
{
    struct writeback *wb = cache->writeback;
    uint64_t flags = spin_lock_irqsave(&wb->lock);

    wb->nwriteback += n;
    spin_unlock_irqrestore(&wb->lock, flags);
    (void)atomic_fetch_add_relaxed(&wb->device->nwriteback, n);
    writeback_count_started(n);
    write_protect(cache, first, first + n - 1);
    int err = cache->ops->write_pages(cache, pages, n);
    if (err == -ENOMEM) {
        give_back(cache, pages, n);
    } else if (err < 0) {
        writeback_done(cache, pages, n, err);
        err = 0; /* it is kept, and told by fsync */
    }
    return err;
}

/* With `wait` pages that are being written, and are dirty again, are waited for and written once more. 0 or -ENOMEM. */
static int write_range(struct pagecache *cache, uint64_t first, uint64_t last, bool wait)
{
    struct page *pages[WRITEBACK_RUN];
    uint64_t index = first;
    bool busy;

    while (cache->writeback != NULL && index <= last) {
        spin_lock(&cache->lock);
        unsigned n = take_run_locked(cache, &index, last, pages, &busy);
        spin_unlock(&cache->lock);
        if (n > 0) {
            int err = write_run(cache, index - n, pages, n);
            if (err < 0) {
                return err;
            }
        } else if (!busy) {
            break;
        } else if (wait) {
            pagecache_write_wait(cache, index, index);
        } else {
            index++;
        }
    }
    return 0;
}

int pagecache_write_start(struct pagecache *cache, uint64_t first, uint64_t last)
{
    return write_range(cache, first, last, false);
}

int pagecache_sync(struct pagecache *cache, uint64_t first, uint64_t last)
{
    int err = write_range(cache, first, last, true);

    pagecache_write_wait(cache, first, last);
    return err;
}

/* ---- done ---- */

void writeback_done(struct pagecache *cache, struct page **pages, unsigned n, int err)
{
    if (unlikely(err < 0)) {
        writeback_error_set(cache->writeback, err);
    }
    writeback_count_written(n);
    end_run(cache, pages, n);
}

/* The next page from *index on that is being written, referenced; marks of those that have been written are cleared on the way. */
static struct page *find_writing(struct pagecache *cache, uint64_t *index, uint64_t last)
{
    struct page *page;

    spin_lock(&cache->lock);
    while ((page = xarray_find_marked(&cache->pages, index, last, MARK_WRITING)) != NULL) {
        if (page_has(page, PAGE_FLAG_WRITEBACK)) {
            page_get(page);
            break;
        }
        xarray_clear_mark(&cache->pages, *index, MARK_WRITING);
    }
    spin_unlock(&cache->lock);
    return page;
}

void pagecache_write_wait(struct pagecache *cache, uint64_t first, uint64_t last)
{
    struct writeback *wb = cache->writeback;
    struct page *page;

    if (wb == NULL) {
        return;
    }
    for (uint64_t index = first; (page = find_writing(cache, &index, last)) != NULL; index++) {
        wait_event(&wb->done, !page_has(page, PAGE_FLAG_WRITEBACK));
        page_put(page);
        if (index == last) {
            break;
        }
    }
}

void writeback_wait_left(struct pagecache *cache, struct page **pages, unsigned n)
{
    struct writeback *wb = cache->writeback;

    for (unsigned i = 0; wb != NULL && i < n; i++) {
        if (page_has(pages[i], PAGE_FLAG_WRITEBACK)) {
            wait_event(&wb->done, !page_has(pages[i], PAGE_FLAG_WRITEBACK));
        }
    }
}
