/*
 * Taking pages out of page tables and letting them go.
 *
 * A page may only be freed once no CPU can reach it through a stale translation, so pages are gathered in a batch, the range is flushed,
 * and the batch is put. That is done without a lock also where nobody runs in the space any more and there is nothing to flush: to free what a
 * batch holds takes long.
 */
#include "kernel/machine/mmu.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/vm/huge_fault.h"
#include "kernel/vm/private.h"
#include "kernel/vm/swap.h"

#define BATCH      128u
#define HUGE_BATCH 8u
#define SWAP_BATCH 32u

struct zap {
    struct vmspace *vm;
    bool outside;            /* the space is not the caller's: no lock keeps its regions */
    bool unlock;             /* pages may be marked as locked by the space */
    uint64_t floor, ceiling; /* struct mmu_flush */
    uint64_t next;           /* behind the last leaf */
    unsigned n, nhuge, nswap;
    int64_t anon, shared, file, swap;
    struct page *pages[BATCH];
    struct page *huge[HUGE_BATCH]; /* first pages of huge leaves */
    swap_entry_t entries[SWAP_BATCH];
};

/* Their pages are many, and are put when no lock is held. */
static bool zap_huge(struct zap *zap, struct page *first)
{
    zap->anon += HUGE_PAGES;
    zap->next += HUGE_PAGE_SIZE - PAGE_SIZE;
    zap->huge[zap->nhuge++] = first;
    return zap->nhuge < HUGE_BATCH;
}

static void put_huge(const struct zap *zap, struct page *first)
{
    if (unlikely(zap->unlock)) {
        for (unsigned i = 0; i < HUGE_PAGES; i++) {
            lru_set_mlocked(first + i, false);
        }
    }
    pages_unmap_put_block(first, HUGE_ORDER);
}

/* Here rather than in the walk: each page of a locked region changes its list, which is long work for who holds a table's lock. */
static void put_pages(struct zap *zap)
{
    if (unlikely(zap->unlock)) {
        for (unsigned i = 0; i < zap->n; i++) {
            lru_set_mlocked(zap->pages[i], false);
        }
    }
    pages_unmap_put(zap->pages, zap->n);
    zap->n = 0;
}

static __noinline void zap_not_anon(struct zap *zap, const struct page *page)
{
    zap->anon--;
    if (page->kind == PAGE_SHARED) {
        zap->shared++;
    } else {
        zap->file++;
    }
}

static inline bool zap_pages(struct zap *zap, const paddr_t *pas, unsigned n)
{
    struct page **pages = zap->pages + zap->n;

    zap->anon += n;
    for (unsigned i = 0; i < n; i++) {
        struct page *page = phys_to_page(pas[i]);
        pages[i] = page;
        if (unlikely(page->kind != PAGE_ANON)) {
            zap_not_anon(zap, page);
        }
    }
    zap->n += n;
    return likely(zap->n <= BATCH - MMU_RUN); /* room for MMU_RUN more */
}

static __noinline bool zap_odd(struct zap *zap, const paddr_t *pas, unsigned old_flags)
{
    if ((old_flags & MMU_SOFT) != 0) {
        zap->entries[zap->nswap++] = (swap_entry_t)(pas[0] >> PAGE_SHIFT);
        zap->swap++;
        return zap->nswap < SWAP_BATCH;
    }
    if ((old_flags & MMU_SPECIAL) != 0) {
        return true;
    }
    return zap_huge(zap, phys_to_page(pas[0]));
}

static bool zap_leaves(void *arg, vaddr_t va, const paddr_t *pas, unsigned n, unsigned old_flags)
{
    struct zap *zap = arg;

    zap->next = va + n * PAGE_SIZE;
    if (unlikely((old_flags & (MMU_SOFT | MMU_SPECIAL | MMU_HUGE)) != 0)) {
        return zap_odd(zap, pas, old_flags);
    }
    return zap_pages(zap, pas, n);
}

/* Take what was counted so far out of the space's figures. */
static void zap_settle(struct zap *zap)
{
    struct vmspace *vm = zap->vm;

    if (zap->anon != 0) {
        vm_rss_add(&vm->rss_anon, -zap->anon);
    }
    if (zap->file != 0) {
        vm_rss_add(&vm->rss_file, -zap->file);
    }
    if (zap->shared != 0) {
        vm_rss_add(&vm->rss_shared, -zap->shared);
    }
    if (unlikely(zap->swap != 0)) {
        vm_rss_add(&vm->rss_swap, -zap->swap);
    }
    vm_count(mapped, -(zap->file + zap->shared));
    zap->anon = zap->file = zap->shared = zap->swap = 0;
}

static void zap_range(struct zap *zap, uint64_t start, uint64_t end)
{
    struct vmspace *vm = zap->vm;
    struct mmu_flush flush;
    int err;

    do {
        mmu_flush_init(&flush, &vm->mmu);
        flush.floor = zap->floor;
        flush.ceiling = zap->ceiling;
        if (unlikely(zap->outside)) {
            read_lock(&vm->locks.shape);
        }
        err = mmu_unmap(&vm->mmu, start, end, &flush, zap_leaves, zap);
        if (unlikely(zap->outside)) {
            read_unlock(&vm->locks.shape);
        }
        mmu_flush_finish(&flush);
        start = zap->next;
        put_pages(zap);
        while (unlikely(zap->nhuge > 0)) {
            put_huge(zap, zap->huge[--zap->nhuge]);
        }
        while (unlikely(zap->nswap > 0)) {
            swap_slot_put(zap->entries[--zap->nswap]);
        }
    } while (err == -EAGAIN);
    zap_settle(zap);
}

static void zap_init(struct zap *zap, struct vmspace *vm)
{
    zap->vm = vm;
    zap->outside = false;
    zap->unlock = atomic_load_relaxed(&vm->has_locked);
    zap->floor = 0;
    zap->ceiling = 0;
    zap->next = 0;
    zap->n = 0;
    zap->nhuge = 0;
    zap->nswap = 0;
    zap->anon = zap->file = zap->shared = zap->swap = 0;
    vm_note_peak(vm);
}

void vm_zap(struct vmspace *vm, uint64_t start, uint64_t end)
{
    struct zap zap;

    zap_init(&zap, vm);
    zap_range(&zap, start, end);
}

void vm_zap_removed(struct vmspace *vm, uint64_t start, uint64_t end, uint64_t floor,
                    uint64_t ceiling)
{
    struct zap zap;

    zap_init(&zap, vm);
    zap.floor = floor;
    zap.ceiling = ceiling;
    zap_range(&zap, start, end);
}

/*
 * Regions that were never touched are passed over, and neighbours are taken together: a walk over the whole space would spend its time in
 * the holes.
 */
void vm_zap_all(struct vmspace *vm)
{
    struct zap zap;
    uint64_t start = 0;
    uint64_t end = 0;

    zap_init(&zap, vm);
    zap.ceiling = UINT64_MAX;
    for (struct vm_region *region = vmspace_first(vm); region != NULL;
         region = vm_region_next(region)) {
        if (!region->touched) {
            continue;
        }
        if (region->start - end > HUGE_PAGE_SIZE) {
            if (start < end) {
                zap_range(&zap, start, end);
            }
            start = region->start;
        }
        end = region->end;
    }
    if (start < end) {
        zap_range(&zap, start, end);
    }
}

/* For truncation, which does not hold vm->lock. */
static void zap_from_outside(struct vmspace *vm, uint64_t start, uint64_t end)
{
    struct zap zap;

    zap_init(&zap, vm);
    zap.outside = true;
    zap_range(&zap, start, end);
}

/*
 * The file's own page, if one is at va. What is there is looked at and taken at one go, else a private copy made meanwhile would go. Returns where
 * there may be something next.
 */
static uint64_t zap_file_page(struct zap *zap, uint64_t va, uint64_t end, struct mmu_flush *flush)
{
    struct vmspace *vm = zap->vm;
    paddr_t pa;
    unsigned flags;

    vm_table_lock(vm, va);
    if (mmu_query(&vm->mmu, va, &pa, &flags) &&
        ((flags & MMU_SPECIAL) != 0 || phys_to_page(pa)->kind != PAGE_ANON)) {
        mmu_remove(&vm->mmu, va, flush);
        (void)zap_leaves(zap, va, &pa, 1, flags & MMU_SPECIAL);
    }
    vm_table_unlock(vm, va);
    return mmu_skip_hole(&vm->mmu, va + PAGE_SIZE, end);
}

/* Private copies stay. A batch is so many looks, whether there was something to take or not: others wait for the lock. */
static void zap_file_pages(struct vm_region *region, uint64_t start, uint64_t end)
{
    struct vmspace *vm = region->vm;
    struct mmu_flush flush;
    struct zap zap;

    zap_init(&zap, vm);
    while (start < end) {
        mmu_flush_init(&flush, &vm->mmu);
        read_lock(&vm->locks.shape);
        for (unsigned i = 0; i < BATCH && start < end; i++) {
            start = zap_file_page(&zap, start, end, &flush);
        }
        read_unlock(&vm->locks.shape);
        mmu_flush_finish(&flush);
        put_pages(&zap);
    }
    zap_settle(&zap);
}

void vm_zap_file_range(struct vm_region *region, uint64_t first, uint64_t last, bool even_private)
{
    uint64_t region_last = region->pgoff + region_pages(region) - 1;

    if (last < region->pgoff || first > region_last) {
        return;
    }
    first = MAX(first, region->pgoff);
    last = MIN(last, region_last);
    uint64_t start = region->start + ((first - region->pgoff) << PAGE_SHIFT);
    uint64_t end = region->start + ((last - region->pgoff + 1) << PAGE_SHIFT);
    if (even_private || (region->flags & VM_SHARED) != 0) {
        zap_from_outside(region->vm, start, end);
    } else if (region->touched) {
        zap_file_pages(region, start, end);
    }
}
