/*
 * Page cache: finding pages, adding them, reading them from the medium, letting them go. Reading and writing through it is in
 * pagecache_rw.c, making files shorter in pagecache_trim.c.
 *
 * A page in the cache has owner = the cache and index = its place; taking it out clears owner, under cache->lock. Whoever found a page
 * and slept, or installs it in a page table, looks at owner again.
 *
 * A page that is being read is in the cache, locked and not yet up to date: see page_lock.h.
 */
#include "kernel/vm/pagecache.h"

#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/lru.h"
#include "kernel/mm/slab.h"
#include "kernel/vm/file_regions.h"
#include "kernel/vm/mempolicy.h"
#include "kernel/vm/oom.h"
#include "kernel/vm/page_lock.h"
#include "kernel/vm/private.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/swap_unuse.h"
#include "kernel/vm/workingset.h"
#include "kernel/vm/writeback.h"

/* ---- nodes of the tree ---- */

static struct slab_cache *node_cache; /* [I] objects of node_size */
static size_t node_size;

/* All xarrays have nodes of one size; the first request tells it. */
static void *xarray_node_alloc(size_t size_bytes)
{
    if (unlikely(size_bytes != node_size)) {
        return kzalloc(size_bytes);
    }
    return slab_zalloc(node_cache);
}

static void xarray_node_free(void *node)
{
    kfree(node); /* finds its cache by the page */
}

const struct xarray_memory pagecache_xarray_memory = {.alloc = xarray_node_alloc,
                                                      .free = xarray_node_free};

/* ---- the cache ---- */

void pagecache_init(struct pagecache *cache, const struct pagecache_ops *ops, void *owner)
{
    cache->ops = ops;
    cache->owner = owner;
    spin_init(&cache->lock, "pagecache");
    xarray_init(&cache->pages, &pagecache_xarray_memory);
    cache->nswapped = 0;
    cache->swap_listed = false;
    cache->size_bytes = 0;
    cache->policies = NULL;
    cache->shadows = NULL;
    mutex_init(&cache->rmap_lock, "rmap");
    cache->regions.node = NULL;
    cache->writeback = NULL;
    cache->writable_shared = 0;
    cache->locked = false;
    cache->seals = 0;
    cache->number = 0;
}

uint64_t pagecache_number(struct pagecache *cache)
{
    static uint64_t given; /* [a] */
    uint64_t number = atomic_load_relaxed(&cache->number);

    if (unlikely(number == 0)) {
        uint64_t fresh = atomic_fetch_add_relaxed(&given, 1) + 1;
        if (atomic_cas(&cache->number, &number, fresh)) {
            number = fresh;
        }
    }
    return number;
}

void pagecache_fini(struct pagecache *cache)
{
    ASSERT(file_regions_empty(cache));
    workingset_cache_fini(cache);
    if (cache->pages.nentries > 0 || pagecache_is_backed(cache)) {
        pagecache_drop(
            cache, 0,
            UINT64_MAX); /* once under the lock: reclaim may have been about the last page */
    }
    swap_forget_cache(cache);
    xarray_fini(&cache->pages);
    kfree(cache->policies);
}

int pagecache_charge(struct pagecache *cache)
{
    return cache->ops != NULL && cache->ops->charge != NULL ? cache->ops->charge(cache, 1) : 0;
}

void pagecache_uncharge(struct pagecache *cache, uint64_t npages)
{
    if (npages > 0 && cache->ops != NULL && cache->ops->uncharge != NULL) {
        cache->ops->uncharge(cache, npages);
    }
}

enum page_kind pagecache_kind(const struct pagecache *cache)
{
    return pagecache_is_backed(cache) ? PAGE_FILE : PAGE_SHARED;
}

struct page *pagecache_frame_alloc(struct pagecache *cache, uint64_t index, unsigned flags)
{
    enum page_kind kind = pagecache_kind(cache);

    if (unlikely(atomic_load_relaxed(&cache->policies) != NULL ||
                 current_thread()->mempolicy.mode != MPOL_DEFAULT)) {
        return mempolicy_cache_alloc(cache, index, flags, kind);
    }
    return frame_alloc(0, flags, kind);
}

/* Truncation makes the file shorter before it takes the lock to drop pages: either it finds what is added here, or the new size is seen. */
int pagecache_add(struct pagecache *cache, uint64_t index, struct page *page, bool beyond)
{
    int err = pagecache_charge(cache);

    if (err < 0) {
        return err;
    }
    spin_lock(&cache->lock);
    if (xarray_load(&cache->pages, index) != NULL) {
        err = -EEXIST;
    } else if (!beyond && unlikely(index >= DIV_ROUND_UP(atomic_load_relaxed(&cache->size_bytes),
                                                         PAGE_SIZE))) {
        err = -EIO;
    } else {
        page->owner = cache;
        page->index = index;
        lru_add_new(&page, 1); /* should it not be stored after all, it leaves when it is freed */
        err = xarray_store(&cache->pages, index, page, NULL);
        uint64_t shadow = workingset_recall(cache, index);
        if (unlikely(err < 0)) {
            atomic_store_relaxed(
                &page->owner, NULL); /* who has taken it from its list shall not take it for ours */
        } else if (unlikely(shadow != WORKINGSET_NONE)) {
            workingset_refault(page, shadow);
        }
    }
    spin_unlock(&cache->lock);
    if (err < 0) {
        pagecache_uncharge(cache, 1);
    }
    return err;
}

/* A page read in vain leaves the cache again. */
static void pagecache_remove(struct pagecache *cache, struct page *page)
{
    bool removed = false;

    spin_lock(&cache->lock);
    if (page->owner == cache) {
        (void)xarray_erase(&cache->pages, page->index);
        page->owner = NULL;
        removed = true;
    }
    spin_unlock(&cache->lock);
    if (removed) {
        pagecache_uncharge(cache, 1);
        page_put(page);
    }
}

/* Fill a page that this thread added, locked. Gives up the caller's reference on failure. */
static int page_read(struct pagecache *cache, struct page *page)
{
    int err = cache->ops->read_page(cache, page);

    if (err < 0) {
        pagecache_remove(cache, page);
        page_unlock(page, PAGE_FLAG_ERROR);
        page_put(page);
        return err;
    }
    page_unlock(page, PAGE_FLAG_UPTODATE);
    return 0;
}

void pagecache_read_done(struct page **pages, unsigned n, int err)
{
    for (unsigned i = 0; i < n; i++) {
        page_unlock(pages[i], err < 0 ? PAGE_FLAG_ERROR : PAGE_FLAG_UPTODATE);
    }
    pages_put(pages, n);
}

/* Add a page that is not there: zeros, or what the medium holds. -EAGAIN: somebody else added one meanwhile. */
static int pagecache_create(struct pagecache *cache, uint64_t index, bool beyond,
                            struct page **ret_page)
{
    bool backed = pagecache_is_backed(cache);
    struct page *page = pagecache_frame_alloc(cache, index, FRAME_ZERO | FRAME_RECLAIM);

    if (page == NULL) {
        return -ENOMEM;
    }
    page->flags = backed ? PAGE_FLAG_LOCKED : PAGE_FLAG_UPTODATE;
    page_get(page); /* one for the cache, one for the caller */
    int err = pagecache_add(cache, index, page, beyond);
    if (err < 0) {
        page_put(page);
        page_put(page);
        return err == -EEXIST ? -EAGAIN : err;
    }
    if (backed) {
        err = page_read(cache, page);
        if (err < 0) {
            return err;
        }
    }
    *ret_page = page;
    return 0;
}

/* Bring the page that is in swap at `index` back into the cache. 0: look again. -EIO, -ENOMEM. */
static int pagecache_swap_in(struct pagecache *cache, uint64_t index, void *value)
{
    swap_entry_t entry = cache_entry_swap(value);
    struct page *page;
    bool major;
    bool moved = false;

    if (!swap_slot_tryget(entry)) {
        return 0;
    }
    int err = swap_read(entry, PAGE_SHARED, &major, &page);
    if (err < 0) {
        swap_slot_put(entry);
        return err;
    }
    spin_lock(&cache->lock);
    if (xarray_load(&cache->pages, index) == value) {
        page->owner = cache;
        page->index = index;
        page_get(page);
        (void)xarray_store(&cache->pages, index, page, NULL);
        cache->nswapped--;
        moved = true;
    }
    spin_unlock(&cache->lock);
    if (moved) {
        swap_slot_put(entry); /* the value's */
    }
    page_unlock(page, 0);
    swap_slot_put(entry);
    page_put(page);
    vm_count(major_faults, major);
    return 0;
}

/* What bringing a page gave is the answer, and not to be tried again: nobody can make room, or the caller is a fault, which asks for that itself. */
static bool is_final(int err, unsigned flags)
{
    return err != -ENOMEM || (flags & PAGECACHE_FAULT) != 0 || !vm_out_of_memory();
}

int pagecache_get(struct pagecache *cache, uint64_t index, unsigned flags, struct page **ret_page)
{
    for (;;) {
        spin_lock(&cache->lock);
        struct page *page = xarray_load(&cache->pages, index);
        bool swapped = cache_entry_is_swap(page);
        if (likely(page != NULL && !swapped)) {
            page_get(page);
        }
        spin_unlock(&cache->lock);
        if (unlikely(swapped)) {
            int err = pagecache_swap_in(cache, index, page);
            if (err < 0 && is_final(err, flags)) {
                return err;
            }
            continue;
        }
        if (page == NULL) {
            if ((flags & PAGECACHE_CREATE) == 0 && !pagecache_is_backed(cache)) {
                *ret_page = NULL;
                return 0;
            }
            int err = pagecache_create(cache, index, (flags & PAGECACHE_BEYOND) != 0, ret_page);
            if (err != -EAGAIN && is_final(err, flags)) {
                return err;
            }
            continue;
        }
        uint16_t state = atomic_load_acquire(&page->flags);
        if (likely((state & PAGE_FLAG_UPTODATE) != 0)) {
            *ret_page = page;
            return 0;
        }
        page_wait_unlocked(page);
        state = atomic_load_acquire(&page->flags);
        bool left = page->owner != cache;
        if ((state & PAGE_FLAG_ERROR) != 0 && !left) { /* read-ahead failed: try it ourselves */
            pagecache_remove(cache, page);
        }
        page_put(page);
        if ((state & PAGE_FLAG_ERROR) != 0 && left) {
            return -EIO;
        }
    }
}

unsigned pagecache_get_present(struct pagecache *cache, uint64_t index, unsigned n,
                               struct page **pages)
{
    unsigned found;

    spin_lock(&cache->lock);
    found = xarray_load_many(&cache->pages, index, n, (void **)pages);
    if (found > 0) {
        for (unsigned i = 0; i < n; i++) {
            struct page *page = pages[i];
            if (page == NULL) {
                continue;
            }
            if (likely(!cache_entry_is_swap(page) &&
                       (atomic_load_acquire(&page->flags) & PAGE_FLAG_UPTODATE) != 0)) {
                page_get(page);
            } else {
                pages[i] = NULL;
                found--;
            }
        }
    }
    spin_unlock(&cache->lock);
    return found;
}

/*
 * Let go of pages that have left the cache, their owner cleared. Who has the lock of one may have seen the owner before, and uses the cache until
 * it unlocks: the barrier makes that it sees the owner cleared, or we see its lock.
 */
static void pages_let_go(struct pagecache *cache, struct page **pages, unsigned n)
{
    atomic_fence();
    for (unsigned i = 0; i < n; i++) {
        if (unlikely(page_is_locked(pages[i]))) {
            page_wait_unlocked(pages[i]); /* the medium lets go of it first */
        }
    }
    writeback_wait_left(cache, pages, n);
    pages_put(pages, n);
}

uint64_t pagecache_drop(struct pagecache *cache, uint64_t first, uint64_t last)
{
    struct page *batch[16]; /* far from each other each takes a tree's height of nodes along */
    uint64_t dropped = 0;
    unsigned seen;

    do {
        unsigned n = 0;
        spin_lock(&cache->lock);
        workingset_forget(cache, first, last);
        for (seen = 0; seen < ARRAY_SIZE(batch); seen++) {
            uint64_t index = first;
            struct page *page = xarray_find(&cache->pages, &index, last);
            if (page == NULL) {
                break;
            }
            if (likely(!cache_entry_is_swap(page))) {
                writeback_page_leaves_locked(cache, page);
            }
            (void)xarray_erase(&cache->pages, index);
            first = index;
            if (unlikely(cache_entry_is_swap(page))) {
                cache->nswapped--;
                swap_slot_put(cache_entry_swap(page));
                continue;
            }
            atomic_store_relaxed(&page->owner, NULL);
            batch[n++] = page;
        }
        spin_unlock(&cache->lock);
        pages_let_go(cache, batch, n);
        dropped += seen;
    } while (seen == ARRAY_SIZE(batch));
    pagecache_uncharge(cache, dropped);
    return dropped;
}

void pagecache_subsystem_init(void)
{
    page_locks_init();
    size_t size = xarray_node_size();
    node_cache = slab_cache_create("xarray_node", size, 0, 0, NULL);
    if (node_cache != NULL) {
        node_size = size;
    }
}
