/*
 * Faults in mappings of files, of shared memory and of devices.
 *
 * A read maps what the page cache has of the 64 KiB around the address. A page found in the cache may be truncated away before it is in
 * the page table: under the lock of the block its owner is looked at again (pagecache_trim.c takes pages out of the cache first, then
 * unmaps them under that lock).
 */
#include "kernel/base/string.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/vm/fault.h"
#include "kernel/vm/mempolicy.h"
#include "kernel/vm/page_lock.h"
#include "kernel/vm/readahead.h"
#include "kernel/vm/rmap.h"
#include "kernel/vm/writeback.h"

static inline bool page_in_cache(const struct page *page, const struct pagecache *cache)
{
    return page->owner == cache;
}

/* While a page is locked no entry is made that can be written: it may be moving, see migrate.c. Block lock held. */
static inline bool page_may_be_mapped(const struct page *page, const struct pagecache *cache)
{
    return page_in_cache(page, cache) && !page_is_locked(page);
}

/* Rights with which a page of the cache itself is mapped. */
static inline unsigned file_mmu_flags(const struct vm_region *region, bool write)
{
    bool shared = (region->flags & VM_SHARED) != 0;

    /* Without a medium there is no dirt to keep track of: writable from the start. */
    return region_mmu_flags(region,
                            shared && (write || !pagecache_is_backed(region->source->cache)));
}

static inline uint64_t cache_pages(const struct pagecache *cache)
{
    return DIV_ROUND_UP(atomic_load_acquire(&cache->size_bytes), PAGE_SIZE);
}

static void count_mapped(struct vmspace *vm, const struct pagecache *cache, int n)
{
    if (n > 0) {
        vm_rss_add(pagecache_is_backed(cache) ? &vm->rss_file : &vm->rss_shared, n);
        vm_count(file_maps, (unsigned)n);
        vm_count(mapped, n);
    }
}

/* The window of present pages around va: *ret_start is its address; returns the number of pages. */
static unsigned around(const struct vm_region *region, uint64_t va, uint64_t npages_file,
                       uint64_t *ret_start)
{
    uint64_t start = MAX(ALIGN_DOWN(va, FAULT_BATCH * PAGE_SIZE), region->start);
    uint64_t end =
        MIN(ALIGN_DOWN(va, FAULT_BATCH * PAGE_SIZE) + FAULT_BATCH * PAGE_SIZE, region->end);
    uint64_t pages_left = npages_file - region_index(region, start);

    *ret_start = start;
    return (unsigned)MIN((end - start) >> PAGE_SHIFT, pages_left);
}

static void put_present(struct page *const *pages, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (pages[i] != NULL) {
            page_put(pages[i]);
        }
    }
}

static int file_read(struct vmspace *vm, struct vm_region *region, uint64_t va)
{
    struct pagecache *cache = region->source->cache;
    struct page *pages[FAULT_BATCH];
    uint64_t npages_file = cache_pages(cache);
    uint64_t start;

    if (region_index(region, va) >= npages_file) {
        return -EIO;
    }
    unsigned n = around(region, va, npages_file, &start);
    unsigned target = (unsigned)((va - start) >> PAGE_SHIFT);
    (void)pagecache_get_present(cache, region_index(region, start), n, pages);
    if (unlikely(region->source->ahead != NULL)) {
        readahead_fault(cache, region->source->ahead, region_index(region, va),
                        pages[target] == NULL, region_index(region, start), n, region->flags);
    }
    if (pages[target] == NULL) {
        int err = pagecache_get(cache, region_index(region, va), PAGECACHE_CREATE | PAGECACHE_FAULT,
                                &pages[target]);
        if (err < 0) {
            pages[target] = NULL;
            put_present(pages, n);
            return err == -ENOSPC ? -EIO : err;
        }
    }
    vm_table_lock(vm, va);
    struct page *gone[FAULT_BATCH], *wanted = pages[target];
    unsigned ngone = 0;
    for (unsigned i = 0; i < n; i++) {
        if (pages[i] != NULL && unlikely(!page_may_be_mapped(pages[i], cache))) {
            gone[ngone++] = pages[i];
            pages[i] = NULL;
        }
        if (pages[i] != NULL) {
            page_map(pages[i]);
        }
    }
    int mapped = mmu_map_pages(&vm->mmu, start, pages, n, file_mmu_flags(region, false));
    /* There, but not mapped, and nothing else either: there was no memory for a table. */
    bool starved =
        unlikely(mapped == 0) && pages[target] != NULL && !vm_entry_exists_locked(vm, va);
    vm_table_unlock(vm, va);
    count_mapped(vm, cache, mapped);
    for (unsigned i = 0; i < n; i++) {
        if (unlikely(pages[i] != NULL)) {
            page_unmap_put(pages[i]);
        }
    }
    if (unlikely(ngone > 0)) {
        for (unsigned i = 0; i < ngone; i++) {
            if (gone[i] == wanted) {
                page_wait_unlocked(wanted);
            }
        }
        pages_put(gone, ngone);
    }
    return unlikely(starved) ? -ENOMEM : 0;
}

/* The page under va, made if need be; -EIO past the end of the file. */
static int file_page(struct vm_region *region, uint64_t va, struct page **ret_page)
{
    struct pagecache *cache = region->source->cache;
    uint64_t index = region_index(region, va);

    if (index >= cache_pages(cache)) {
        return -EIO;
    }
    int err = pagecache_get(cache, index, PAGECACHE_CREATE | PAGECACHE_FAULT, ret_page);
    return err == -ENOSPC ? -EIO : err;
}

/* First write to a private mapping: a copy at once, without the original in between. */
static int private_write(struct vmspace *vm, struct vm_region *region, uint64_t va)
{
    struct page *original;
    int err = file_page(region, va, &original);

    if (err < 0) {
        return err;
    }
    struct page *copy = vm_frame_alloc(region, va, 0, FRAME_RECLAIM);
    if (copy == NULL) {
        page_put(original);
        return -ENOMEM;
    }
    page_copy(page_to_virt(copy), page_to_virt(original));
    copy->mapcount = 1;
    rmap_page_made(copy, region, va);
    lru_add_new(&copy, 1);
    region->has_anon = true;
    vm_table_lock(vm, va);
    err = 0; /* truncated meanwhile: the access is tried again and fails then */
    if (page_in_cache(original, region->source->cache)) {
        err = mmu_map(&vm->mmu, va, page_to_phys(copy), region_mmu_flags(region, true));
        copy = err < 0 ? copy : NULL;
    }
    vm_table_unlock(vm, va);
    page_put(original);
    if (copy != NULL) {
        page_unmap_put(copy);
        return err == -EEXIST ? 0 : err;
    }
    vm_rss_add(&vm->rss_anon, 1);
    vm_count(cow_copies, 1);
    return 0;
}

/* The file system hears of a write before it can happen. */
static int make_room(struct pagecache *cache, struct page *page)
{
    int err = cache->ops->page_mkwrite != NULL ? cache->ops->page_mkwrite(cache, page) : 0;

    return err == -ENOSPC || err == -EDQUOT ? -EIO : err;
}

/* A write to a shared mapping: the page itself, writable from now on, and dirty. */
static int shared_write(struct vmspace *vm, struct vm_region *region, uint64_t va)
{
    struct pagecache *cache = region->source->cache;
    struct mmu_flush flush;
    struct page *page;
    paddr_t pa;
    unsigned flags;
    int err = file_page(region, va, &page);

    if (err < 0) {
        return err;
    }
    if (unlikely(cache->writeback != NULL)) {
        err = make_room(cache, page);
        if (err < 0) {
            page_put(page);
            return err;
        }
    }
    mmu_flush_init(&flush, &vm->mmu);
    bool taken = false;
    vm_table_lock(vm, va);
    if (likely(page_may_be_mapped(page, cache))) {
        if (!mmu_query(&vm->mmu, va, &pa, &flags)) {
            err = mmu_map(&vm->mmu, va, page_to_phys(page), file_mmu_flags(region, true));
            taken = err == 0;
            if (taken) {
                page_map(page);
            }
        } else if (pa == page_to_phys(page)) {
            mmu_replace(&vm->mmu, va, pa, file_mmu_flags(region, true), &flush);
        }
        pagecache_mark_dirty(cache, page); /* after it is writable: writeback.c */
    }
    vm_table_unlock(vm, va);
    mmu_flush_finish(&flush);
    if (taken) {
        count_mapped(vm, cache, 1);
    } else {
        if (unlikely(page_is_locked(page))) {
            page_wait_unlocked(page); /* the access is tried again then */
        }
        page_put(page);
    }
    writeback_balance(cache);
    return err;
}

/*
 * May a leaf of that size be over va? Then *ret_pa is its physical address: the region covers it, and what the device has there lies together
 * and begins at such an address too.
 */
static bool device_leaf(const struct vm_region *region, uint64_t va, uint64_t size, paddr_t *ret_pa,
                        unsigned *ret_flags)
{
    const struct vm_source_ops *ops = region->source->ops;
    uint64_t start = ALIGN_DOWN(va, size);

    if (ops->map_run == NULL || start < region->start || region->end - start < size) {
        return false;
    }
    uint64_t first = region_index(region, start);
    return ops->map_run(region->source, first) >= size >> PAGE_SHIFT &&
           ops->map_page(region->source, first, ret_pa, ret_flags) == 0 &&
           IS_ALIGNED(*ret_pa, size);
}

/* Block lock held. `present`: there is an entry, which became writable since. */
static int device_map_locked(struct vmspace *vm, struct vm_region *region, uint64_t va,
                             bool present, struct mmu_flush *flush)
{
    const unsigned rights = region_mmu_flags(region, true) | MMU_SPECIAL;
    const struct vm_source_ops *ops = region->source->ops;
    unsigned cache = 0, flags;
    paddr_t pa, old;
    int err = -EEXIST;

    if (present && mmu_query(&vm->mmu, va, &old, &flags)) {
        uint64_t size = (flags & MMU_GIANT) != 0  ? GIANT_PAGE_SIZE
                        : (flags & MMU_HUGE) != 0 ? HUGE_PAGE_SIZE
                                                  : PAGE_SIZE;
        unsigned now = rights | (flags & (MMU_UNCACHED | MMU_WC));
        if (size > PAGE_SIZE) {
            mmu_replace_huge(&vm->mmu, va, ALIGN_DOWN(old, size), now, flush);
        } else {
            mmu_replace(&vm->mmu, va, old, now, flush);
        }
        return 0;
    }
    if (device_leaf(region, va, GIANT_PAGE_SIZE, &pa, &cache)) {
        err = mmu_map_giant(&vm->mmu, ALIGN_DOWN(va, GIANT_PAGE_SIZE), pa, rights | cache);
    }
    if (err < 0 && device_leaf(region, va, HUGE_PAGE_SIZE, &pa, &cache)) {
        err = mmu_map_huge(&vm->mmu, ALIGN_DOWN(va, HUGE_PAGE_SIZE), pa, rights | cache);
    }
    if (err == 0) {
        atomic_store_relaxed(&vm->has_huge, true);
        return 0;
    }
    cache = 0;
    err = ops->map_page(region->source, region_index(region, va), &pa, &cache);
    if (err == 0) {
        err = mmu_map(&vm->mmu, va, pa, rights | cache);
    }
    return err == -EEXIST ? 0 : err;
}

static int device_fault(struct vmspace *vm, struct vm_region *region, uint64_t va, unsigned flags)
{
    struct mmu_flush flush;

    mmu_flush_init(&flush, &vm->mmu);
    vm_table_lock(vm, va);
    int err = device_map_locked(vm, region, va, (flags & FAULT_PRESENT) != 0, &flush);
    vm_table_unlock(vm, va);
    mmu_flush_finish(&flush);
    return err;
}

int vm_fault_file(struct vmspace *vm, struct vm_region *region, uint64_t va, unsigned flags)
{
    bool write = (flags & FAULT_WRITE) != 0;

    if (unlikely(region->source->cache == NULL)) {
        return device_fault(vm, region, va, flags);
    }
    if (!write) {
        return (flags & FAULT_PRESENT) != 0 ? 0 : file_read(vm, region, va);
    }
    if ((region->flags & VM_SHARED) != 0) {
        return shared_write(vm, region, va);
    }
    if ((flags & FAULT_PRESENT) != 0) {
        return vm_fault_cow(vm, region, va);
    }
    return private_write(vm, region, va);
}
