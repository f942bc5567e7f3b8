/*
 * Read-ahead: looking at the cache, and beginning to read. What to read is decided in readahead_plan.c.
 *
 * Pages are put into the cache locked and handed to the medium in runs; whoever wants one waits for its lock, in pagecache_get(). A read that
 * fails leaves its pages in the cache, not up to date: who comes for one then takes it out and reads it alone, and has the error for himself. So what
 * nobody has asked for cannot fail anybody.
 */
#include "kernel/vm/readahead.h"

#include "kernel/mm/frame.h"
#include "kernel/vm/private.h"

#define MARK_AHEAD      XARRAY_MARK_2
#define MISSED_TOO_MUCH 100u /* faults: then only what is asked for is read */
#define MISSED_MOST     1000u

/* ---- reading ---- */

/* A fresh locked page at `index`, of which the caller has a reference. -EEXIST: it is there. */
static int page_add(struct pagecache *cache, uint64_t index, bool marked, struct page **ret_page)
{
    struct page *page = pagecache_frame_alloc(cache, index, FRAME_ZERO | FRAME_TRY);

    if (page == NULL) {
        return -ENOMEM;
    }
    page->flags = PAGE_FLAG_LOCKED;
    page_get(page);
    int err = pagecache_add(cache, index, page, false);
    if (err < 0) {
        page_put(page);
        page_put(page);
        return err;
    }
    if (marked) {
        spin_lock(&cache->lock);
        if (page->owner == cache) {
            xarray_set_mark(&cache->pages, index, MARK_AHEAD);
        }
        spin_unlock(&cache->lock);
    }
    *ret_page = page;
    return 0;
}

static void read_run(struct pagecache *cache, struct page **pages, unsigned n)
{
    if (n > 0) {
        int err = cache->ops->read_pages(cache, pages, n);
        if (err < 0) {
            pagecache_read_done(pages, n, err);
        }
    }
}

static bool is_there(struct pagecache *cache, uint64_t index)
{
    spin_lock(&cache->lock);
    bool there = xarray_load(&cache->pages, index) != NULL;
    spin_unlock(&cache->lock);
    return there;
}

/* Begin to read what is missing of [start, start + size) up to the file's end; UINT64_MAX: no mark. -ENOMEM: not all. */
static int read_window(struct pagecache *cache, uint64_t start, uint64_t size, uint64_t mark)
{
    struct page *pages[READAHEAD_RUN];
    uint64_t npages = DIV_ROUND_UP(atomic_load_acquire(&cache->size_bytes), PAGE_SIZE);
    unsigned n = 0;
    int err = 0;

    for (uint64_t index = start; err != -ENOMEM && index < npages && index - start < size;
         index++) {
        err = is_there(cache, index) ? -EEXIST : page_add(cache, index, index == mark, &pages[n]);
        n += err == 0;
        if (err < 0 || n == READAHEAD_RUN) {
            read_run(cache, pages, n);
            n = 0;
        }
    }
    read_run(cache, pages, n);
    return err == -ENOMEM ? err : 0;
}

static void read_plan(struct pagecache *cache, struct readahead_plan plan)
{
    uint64_t mark = plan.ahead != 0 ? plan.start + plan.size - plan.ahead : UINT64_MAX;

    (void)read_window(cache, plan.start, plan.size, mark);
}

/* ---- looking ---- */

/* Pages that are cached without a hole just before `index`, at most `most`. cache->lock held. */
static uint64_t cached_before_locked(struct pagecache *cache, uint64_t index, uint64_t most)
{
    uint64_t n = 0;

    while (n < most && n < index && xarray_load(&cache->pages, index - n - 1) != NULL) {
        n++;
    }
    return n;
}

/* The first page of [first, last] that is missing, and what came before it. False: there is none. */
static bool find_missing(struct pagecache *cache, const struct readahead *ra, uint64_t first,
                         uint64_t last, uint64_t *ret_index, uint64_t *ret_cached)
{
    spin_lock(&cache->lock);
    bool found = xarray_find_free(&cache->pages, first, last, ret_index);
    if (found) {
        *ret_cached = cached_before_locked(cache, *ret_index, atomic_load_relaxed(&ra->most));
    }
    spin_unlock(&cache->lock);
    return found;
}

/* The marked page in [first, last], which loses its mark, and the first hole behind it. False: there is none. */
static bool take_mark(struct pagecache *cache, uint64_t first, uint64_t last, uint64_t most,
                      uint64_t *ret_index, uint64_t *ret_hole)
{
    uint64_t index = first;

    spin_lock(&cache->lock);
    bool found = xarray_find_marked(&cache->pages, &index, last, MARK_AHEAD) != NULL;
    if (found) {
        xarray_clear_mark(&cache->pages, index, MARK_AHEAD);
        if (!xarray_find_free(&cache->pages, index, index + most, ret_hole)) {
            *ret_hole = index + most + 1;
        }
        *ret_index = index;
    }
    spin_unlock(&cache->lock);
    return found;
}

static void go_on_at_mark(struct pagecache *cache, struct readahead *ra, uint64_t first,
                          uint64_t last, uint64_t wanted)
{
    uint64_t index, hole;

    if (take_mark(cache, first, last, atomic_load_relaxed(&ra->most), &index, &hole)) {
        read_plan(cache, readahead_decide(ra, index, wanted, true, 0, hole));
    }
}

/* ---- interface ---- */

void readahead_batch(struct pagecache *cache, struct readahead *ra, uint64_t index, uint64_t wanted,
                     unsigned batch, bool missing)
{
    uint64_t last = index + batch - 1;
    uint64_t at, cached;

    if (ra == NULL || cache->ops->read_pages == NULL) {
        return;
    }
    if (missing && find_missing(cache, ra, index, last, &at, &cached)) {
        uint64_t left = wanted - (at - index);
        struct readahead_plan plan = readahead_decide(ra, at, left, false, cached, 0);
        if (plan.size == 0) {
            plan = (struct readahead_plan){.start = at,
                                           .size = (uint32_t)MIN(left, (uint64_t)ra->usual)};
        }
        read_plan(cache, plan);
    }
    go_on_at_mark(cache, ra, index, last, wanted);
    atomic_store_relaxed(&ra->last, last);
}

/* A fault found nothing: what lies around it is probably wanted too, unless that has proved wrong. */
static void fault_missed(struct pagecache *cache, struct readahead *ra, uint64_t index,
                         bool sequential)
{
    uint32_t most = atomic_load_relaxed(&ra->most);
    uint32_t missed = atomic_load_relaxed(&ra->missed);
    uint32_t size = atomic_load_relaxed(&ra->size);
    uint64_t at, cached;

    if (sequential || (size != 0 && index == atomic_load_relaxed(&ra->start) + size)) {
        if (find_missing(cache, ra, index, index, &at, &cached)) {
            read_plan(cache, readahead_decide(ra, index, 1, false, cached, 0));
        }
        return;
    }
    if (missed < MISSED_MOST) {
        atomic_store_relaxed(&ra->missed, ++missed);
    }
    if (missed <= MISSED_TOO_MUCH) {
        uint64_t start = index - MIN(index, (uint64_t)most / 2);
        atomic_store_relaxed(&ra->start, start);
        atomic_store_relaxed(&ra->size, most);
        atomic_store_relaxed(&ra->ahead, most / 4);
        read_plan(cache, (struct readahead_plan){start, most, most / 4});
    }
}

void readahead_fault(struct pagecache *cache, struct readahead *ra, uint64_t index, bool missing,
                     uint64_t first, unsigned n, uint32_t vm_flags)
{
    if (ra == NULL || cache->ops->read_pages == NULL || (vm_flags & VM_RAND_READ) != 0 ||
        atomic_load_relaxed(&ra->most) == 0) {
        return;
    }
    if (missing) {
        fault_missed(cache, ra, index, (vm_flags & VM_SEQ_READ) != 0);
    } else {
        uint32_t missed = atomic_load_relaxed(&ra->missed);
        atomic_store_relaxed(&ra->missed, missed - (missed > 0));
        go_on_at_mark(cache, ra, first, first + n - 1, 1);
    }
}

void readahead_range(struct pagecache *cache, uint64_t first, uint64_t npages)
{
    int err = 0;

    if (cache->ops == NULL || cache->ops->read_pages == NULL) {
        return;
    }
    uint64_t end = DIV_ROUND_UP(atomic_load_acquire(&cache->size_bytes), PAGE_SIZE);
    end = first < end ? first + MIN(npages, end - first) : first;
    for (; err == 0 && first < end; first += READAHEAD_RUN) {
        err =
            thread_signal_pending(current_thread())
                ? -EINTR
                : read_window(cache, first, MIN(end - first, (uint64_t)READAHEAD_RUN), UINT64_MAX);
    }
}
