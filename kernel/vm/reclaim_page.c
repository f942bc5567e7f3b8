/*
 * Reclaiming one page.
 *
 * The page is locked, so nobody else moves it, and its cache, if it has one, stays. Its mappings are taken away first: anonymous ones become
 * soft entries with the slot of swap, those of files and shared memory are found again through the page cache. Then nobody can get
 * at the page but through a cache, and the references tell whether somebody still works with it who came before: if so it is left, in the swap
 * cache, where faults find it. Else it is stored; who comes meanwhile waits for the page lock, and makes that it is not freed.
 *
 * PAGE_FLAG_DIRTY of a page in the swap cache: the slot does not hold its content (yet).
 */
#include "kernel/machine/mmu.h"
#include "kernel/mm/lru.h"
#include "kernel/vm/huge.h"
#include "kernel/vm/page_lock.h"
#include "kernel/vm/reclaim.h"
#include "kernel/vm/rmap.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/swap_unuse.h"
#include "kernel/vm/workingset.h"

static inline uint16_t flags_of(const struct page *page)
{
    return atomic_load_acquire(&page->flags);
}

static inline void set_dirty(struct page *page, bool dirty)
{
    if (dirty) {
        (void)atomic_fetch_or(&page->flags, (uint16_t)PAGE_FLAG_DIRTY);
    } else {
        (void)atomic_fetch_and(&page->flags, (uint16_t)~PAGE_FLAG_DIRTY);
    }
}

/* ---- unmapping ---- */

struct unmap {
    struct page *page;
    swap_entry_t entry; /* for anonymous pages */
};

struct lazy_unmap {
    struct page *page;
    bool written;
};

/* Is va in a region that mlock keeps? Also when that cannot be told just now. Table locks are held: vm->lock is only tried. */
static bool is_mlocked(struct vmspace *vm, uint64_t va)
{
    if (likely(atomic_load_relaxed(&vm->locked_pages) == 0)) {
        return false;
    }
    if (!rwsem_trylock_read(&vm->lock)) {
        return true;
    }
    struct vm_region *region = region_lookup(vm, va);
    bool locked = region != NULL && region->start <= va && (region->flags & VM_LOCKED) != 0;
    rwsem_unlock_read(&vm->lock);
    return locked;
}

static bool unmap_one(void *arg, struct vmspace *vm, uint64_t va, unsigned mmu_flags,
                      struct mmu_flush *flush)
{
    struct unmap *unmap = arg;
    struct page *page = unmap->page;

    if (is_mlocked(vm, va) || ((mmu_flags & MMU_HUGE) != 0 && mmu_split_huge(&vm->mmu, va) < 0)) {
        return false;
    }
    vm_note_peak(vm);
    vm_rss_add(vm_rss_counter(vm, page), -1);
    if (page->kind == PAGE_ANON) {
        swap_slot_get(unmap->entry);
        vm_rss_add(&vm->rss_swap, 1);
        swap_note_space(vm);
        mmu_replace_soft(&vm->mmu, va, unmap->entry, flush);
    } else {
        vm_count(mapped, -1);
        mmu_remove(&vm->mmu, va, flush);
    }
    page_unmap_put(page); /* never the last: the walk's caller has one */
    return true;
}

/* False: some entry is left. */
static bool unmap_all(struct page *page, swap_entry_t entry)
{
    struct unmap unmap = {.page = page, .entry = entry};

    return rmap_walk(page, RMAP_NOWAIT, unmap_one, &unmap) == 0 &&
           atomic_load_acquire(&page->mapcount) == 0;
}

/* ---- the slot ---- */

/* The page's slot, with a reference: it has one already, or gets one. SWAP_ENTRY_NONE: none to be had. */
static swap_entry_t slot_for(struct page *page)
{
    swap_entry_t entry = atomic_load_relaxed(&page->private);

    if ((flags_of(page) & PAGE_FLAG_SWAPCACHE) != 0) {
        if (!swap_slot_tryget(entry)) {
            return SWAP_ENTRY_NONE;
        }
        if ((flags_of(page) & PAGE_FLAG_SWAPCACHE) != 0 && page->private == entry) {
            return entry;
        }
        swap_slot_put(entry); /* its last reference had gone, and it was taken again by others */
        return SWAP_ENTRY_NONE;
    }
    if (swap_slot_alloc(&entry) < 0) {
        return SWAP_ENTRY_NONE;
    }
    set_dirty(page, true);
    (void)swap_cache_add(entry, page, NULL, NULL); /* a fresh slot: nobody else knows it */
    return entry;
}

/*
 * Nothing shows the page any more but the swap cache: store it if need be, and let it go. True: it is out of the cache, the caller's
 * reference is the last.
 */
static bool store_and_release(struct page *page, swap_entry_t entry, bool remember)
{
    if (atomic_load_acquire(&page->refs) != 2) {
        return false; /* somebody came before, who may write to it yet */
    }
    if ((flags_of(page) & PAGE_FLAG_DIRTY) != 0) {
        set_dirty(page, false);
        if (swap_store(entry, page) < 0) {
            set_dirty(page, true);
            return false;
        }
    }
    return swap_cache_remove_unused(entry, page, 2,
                                    remember ? workingset_evict(page) : WORKINGSET_NONE);
}

/* ---- kinds ---- */

static bool reclaim_anon(struct page *page, bool remember)
{
    swap_entry_t entry = slot_for(page);

    if (entry == SWAP_ENTRY_NONE) {
        return false;
    }
    bool gone = unmap_all(page, entry) && store_and_release(page, entry, remember);
    swap_slot_put(entry);
    return gone;
}

/* Of a page that the program said may go: entries that were not written through since go, without a trace. */
static bool unmap_lazy(void *arg, struct vmspace *vm, uint64_t va, unsigned mmu_flags,
                       struct mmu_flush *flush)
{
    struct lazy_unmap *lazy = arg;

    lazy->written = (mmu_flags & (MMU_DIRTY | MMU_WRITE)) != 0;
    if (lazy->written || is_mlocked(vm, va) ||
        ((mmu_flags & MMU_HUGE) != 0 && mmu_split_huge(&vm->mmu, va) < 0)) {
        return false;
    }
    vm_note_peak(vm);
    vm_rss_add(&vm->rss_anon, -1);
    mmu_remove(&vm->mmu, va, flush);
    page_unmap_put(lazy->page); /* never the last, as above */
    return true;
}

/* Written again, it is a page like any other, and not an old one. It is on no list, so the flag may change. */
static enum reclaim_fate reclaim_lazy(struct page *page)
{
    struct lazy_unmap lazy = {.page = page};

    (void)rmap_walk(page, RMAP_NOWAIT, unmap_lazy, &lazy);
    if (lazy.written) {
        (void)atomic_fetch_and(&page->flags, (uint16_t)~PAGE_FLAG_LAZY);
        return RECLAIM_ACTIVATE;
    }
    if (atomic_load_acquire(&page->mapcount) > 0) {
        return RECLAIM_KEEP;
    }
    vm_count(lazy_freed, 1);
    return RECLAIM_FREED;
}

/* In the place of the page, its cache gets the slot. False: somebody has a reference. */
static bool cache_to_swap(struct pagecache *cache, struct page *page, swap_entry_t entry)
{
    bool done = false;

    spin_lock(&cache->lock);
    if (page->owner == cache && atomic_load_acquire(&page->refs) == 3) {
        swap_slot_get(entry);
        (void)xarray_store(&cache->pages, page->index, cache_entry_of_swap(entry), NULL);
        cache->nswapped++;
        swap_note_cache(cache);
        page->owner = NULL;
        done = true;
    }
    spin_unlock(&cache->lock);
    if (done) {
        page_put(page);
    }
    return done;
}

static bool reclaim_shared(struct page *page, bool remember)
{
    struct pagecache *cache = page->owner;
    bool in_swap_cache = (flags_of(page) & PAGE_FLAG_SWAPCACHE) != 0;

    if (cache == NULL ? !in_swap_cache : in_swap_cache) {
        return false; /* truncated; or just brought back, and soon out of the swap cache */
    }
    if (cache != NULL &&
        (atomic_load_relaxed(&cache->locked) || !unmap_all(page, SWAP_ENTRY_NONE))) {
        return false;
    }
    swap_entry_t entry = slot_for(page);
    if (entry == SWAP_ENTRY_NONE) {
        return false;
    }
    bool gone = (cache == NULL || cache_to_swap(cache, page, entry)) &&
                store_and_release(page, entry, remember);
    swap_slot_put(entry);
    return gone;
}

static bool reclaim_file(struct page *page, bool remember)
{
    struct pagecache *cache = page->owner;
    bool gone = false;

    if (cache == NULL || (flags_of(page) & PAGE_FLAG_DIRTY) != 0 ||
        !unmap_all(page, SWAP_ENTRY_NONE)) {
        return false;
    }
    spin_lock(&cache->lock);
    if (page->owner == cache && atomic_load_acquire(&page->refs) == 2 &&
        (flags_of(page) & (PAGE_FLAG_DIRTY | PAGE_FLAG_UPTODATE)) == PAGE_FLAG_UPTODATE) {
        (void)xarray_erase(&cache->pages, page->index);
        if (remember) {
            workingset_remember(cache, page->index, workingset_evict(page));
        }
        page->owner = NULL;
        gone = true;
        pagecache_uncharge(cache, 1);
    }
    spin_unlock(&cache->lock); /* and if that was its last page, the cache may go now */
    if (gone) {
        page_put(page);
    }
    return gone;
}

/* References that mappings and caches hold, and the caller's. */
static uint32_t refs_expected(const struct page *page)
{
    bool cached = page->kind != PAGE_ANON && page->owner != NULL;

    return 1 + atomic_load_relaxed(&page->mapcount) + cached +
           ((flags_of(page) & PAGE_FLAG_SWAPCACHE) != 0);
}

static enum reclaim_fate reclaim_locked(struct page *page, bool remember)
{
    uint32_t refs = atomic_load_acquire(&page->refs);
    bool gone;

    if (refs == 1) {
        return RECLAIM_FREED; /* it was let go meanwhile: only we have it */
    }
    if (refs != refs_expected(page)) {
        return RECLAIM_KEEP;
    }
    if (page->kind != PAGE_ANON) {
        gone = page->kind == PAGE_SHARED ? reclaim_shared(page, remember)
                                         : reclaim_file(page, remember);
    } else if ((flags_of(page) & PAGE_FLAG_LAZY) != 0) {
        return reclaim_lazy(page);
    } else {
        gone = reclaim_anon(page, remember);
    }
    return gone ? RECLAIM_FREED : RECLAIM_KEEP;
}

enum reclaim_fate reclaim_page(struct page *page, bool remember)
{
    if (!page_trylock(page)) {
        return RECLAIM_KEEP;
    }
    enum reclaim_fate fate = reclaim_locked(page, remember);
    page_unlock(page, 0);
    if (fate == RECLAIM_FREED) {
        page_put(page);
    }
    return fate;
}

/* ---- age ---- */

struct used {
    const struct page *page;
    unsigned n;
    bool executable;
};

/* A huge leaf has one mark for all its pages: the last, which stands behind the others in the lists, clears it. */
static bool used_one(void *arg, struct vmspace *vm, uint64_t va, unsigned mmu_flags,
                     struct mmu_flush *flush)
{
    struct used *used = arg;

    (void)flush; /* a translation that is left makes the page look a little older than it is */
    if ((mmu_flags & MMU_HUGE) == 0 || page_to_pfn(used->page) % HUGE_PAGES == HUGE_PAGES - 1) {
        used->n += mmu_age(&vm->mmu, va);
    } else {
        used->n += (mmu_flags & MMU_ACCESSED) != 0;
    }
    used->executable |= (mmu_flags & MMU_EXEC) != 0;
    return true;
}

unsigned reclaim_page_used(struct page *page, bool *ret_executable)
{
    struct used used = {.page = page};
    int err = 0;

    if (page->kind == PAGE_ANON) {
        (void)rmap_walk(page, RMAP_NOWAIT, used_one, &used);
    } else if (atomic_load_relaxed(&page->mapcount) > 0) {
        if (!page_trylock(page)) {
            return UINT32_MAX;
        }
        err = rmap_walk(page, RMAP_NOWAIT, used_one, &used);
        page_unlock(page, 0);
    }
    *ret_executable = used.executable;
    return err < 0 ? UINT32_MAX : used.n;
}
