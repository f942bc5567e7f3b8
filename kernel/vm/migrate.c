/*
 * Moving pages while they are in use.
 *
 * The page is locked, and every entry that shows it loses the right to write, so that its content stands still: a write fault of private
 * memory finds a page that is not its own alone, for the mover has a reference, and makes a copy; one of shared memory waits for the page
 * lock. If mappings and the cache hold all references there are, the content is copied, the new page takes the old one's place in the cache,
 * and the entries are made to show it. The next write fault gives the right to write back.
 *
 * What happens meanwhile does no harm: fork copies entries that cannot be written either, and should one of a private page be left behind, both
 * pages have the same content for ever: memory that cannot be written without a copy is what it contains, not where it lies. Whoever asks the
 * cache finds one of the two, under cache->lock, under which the content is copied if nobody else can get at it.
 *
 * Pages in the swap cache are on their way in or out, and of files that have a medium dirty ones are waited for elsewhere: they stay.
 *
 * Locks: the page's, tried; inside, rmap_walk()'s, cache->lock.
 */
#include "kernel/vm/migrate.h"

#include "kernel/base/string.h"
#include "kernel/mm/compact.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/vm/mempolicy.h"
#include "kernel/vm/page_lock.h"
#include "kernel/vm/private.h"
#include "kernel/vm/rmap.h"
#include "kernel/vm/usage.h"

#define MOVED_FLAGS                                                                                \
    (PAGE_FLAG_UPTODATE | PAGE_FLAG_DIRTY | PAGE_FLAG_ERROR | PAGE_FLAG_ACTIVE |                   \
     PAGE_FLAG_REFERENCED | PAGE_FLAG_WORKINGSET | PAGE_FLAG_MLOCKED)
#define MEDIUM_BUSY (PAGE_FLAG_DIRTY | PAGE_FLAG_WRITEBACK) /* to be written, or being written */

static struct migrate_stats stats; /* [a] */

/* ---- entries ---- */

struct migration {
    struct page *from, *to;
    uint32_t entries;
    bool failed;
};

/* A huge leaf is split: the other pages of it stay. */
static bool freeze_entry(void *arg, struct vmspace *vm, uint64_t va, unsigned mmu_flags,
                         struct mmu_flush *flush)
{
    struct migration *migration = arg;

    if ((mmu_flags & MMU_HUGE) != 0 && mmu_split_huge(&vm->mmu, va) < 0) {
        migration->failed = true;
        return false;
    }
    if ((mmu_flags & MMU_WRITE) != 0) {
        mmu_replace(&vm->mmu, va, page_to_phys(migration->from),
                    mmu_flags & ~(MMU_WRITE | MMU_HUGE), flush);
    }
    migration->entries++;
    return true;
}

static bool replace_entry(void *arg, struct vmspace *vm, uint64_t va, unsigned mmu_flags,
                          struct mmu_flush *flush)
{
    struct migration *migration = arg;
    uint16_t mlocked = atomic_load_relaxed(&migration->from->flags) & PAGE_FLAG_MLOCKED;

    /* mlock(2) marks pages under the table lock: what it did to this entry's page since is done to the new one. */
    (void)atomic_fetch_and(&migration->to->flags, (uint16_t)~PAGE_FLAG_MLOCKED);
    (void)atomic_fetch_or(&migration->to->flags, mlocked);
    page_map_get(migration->to);
    mmu_replace(&vm->mmu, va, page_to_phys(migration->to), mmu_flags & ~MMU_WRITE, flush);
    page_unmap_put(migration->from); /* not the last: the mover has one */
    migration->entries++;
    return true;
}

/* Besides the mappings that were found, `others` references are all there are. */
static bool page_is_still(const struct page *page, uint32_t entries, uint32_t others)
{
    uint64_t counts = atomic_load_acquire(&page->counts);

    return counts == entries * PAGE_COUNT_MAPPING + others;
}

/* ---- kinds ---- */

static int migrate_anon(struct migration *migration)
{
    struct page *from = migration->from, *to = migration->to;
    int err = rmap_walk(from, 0, freeze_entry, migration);

    if (err < 0 || migration->failed || migration->entries == 0 ||
        !page_is_still(from, migration->entries, 1)) {
        return -EBUSY;
    }
    page_copy(page_to_virt(to), page_to_virt(from));
    (void)atomic_fetch_or(&to->flags, from->flags & (MOVED_FLAGS | PAGE_FLAG_LAZY));
    to->owner = from->owner;
    to->index = from->index;
    migration->entries = 0;
    (void)rmap_walk(from, 0, replace_entry, migration);
    return migration->entries > 0 ? 0 : -EBUSY;
}

/* A file's page that its medium does not have yet. cache->lock held. */
static bool medium_wants_locked(const struct pagecache *cache, const struct page *page)
{
    return pagecache_is_backed(cache) && (atomic_load_relaxed(&page->flags) & MEDIUM_BUSY) != 0;
}

/* In the cache `to` takes the place of `from`, with its content. False: somebody else has a reference. */
static bool cache_replace(struct pagecache *cache, struct migration *migration)
{
    struct page *from = migration->from, *to = migration->to;
    bool done = false;

    spin_lock(&cache->lock);
    if (from->owner == cache && !medium_wants_locked(cache, from) &&
        page_is_still(from, migration->entries, 2)) {
        page_copy(page_to_virt(to), page_to_virt(from));
        (void)atomic_fetch_or(&to->flags, from->flags & MOVED_FLAGS);
        to->owner = cache;
        to->index = from->index;
        page_get(to);
        /* In the place of another: no memory is needed. */
        (void)xarray_store(&cache->pages, from->index, to, NULL);
        atomic_store_relaxed(&from->owner, NULL);
        done = true;
    }
    spin_unlock(&cache->lock);
    if (done) {
        page_put(from); /* the cache's; the mover has one */
    }
    return done;
}

static int migrate_cached(struct migration *migration)
{
    struct page *from = migration->from, *to = migration->to;
    struct pagecache *cache = atomic_load_relaxed((struct pagecache **)&from->owner);
    uint64_t index = from->index;

    if (cache == NULL || (from->flags & PAGE_FLAG_UPTODATE) == 0) {
        return -EBUSY;
    }
    int err = rmap_walk_cached(cache, index, from, RMAP_NOWAIT, freeze_entry, migration);
    if (err < 0 || migration->failed) {
        return -EBUSY;
    }
    /* Locked, so that the cache stays until the entries are made, should the file be truncated. */
    page_set_kind(to, (enum page_kind)from->kind);
    (void)page_trylock(to);
    if (!cache_replace(cache, migration)) {
        page_set_kind(to, PAGE_ANON);
        page_unlock(to, 0);
        return -EBUSY;
    }
    (void)rmap_walk_cached(cache, index, from, 0, replace_entry, migration);
    page_unlock(to, 0);
    return 0;
}

int vm_page_migrate(struct page *from, struct page *to)
{
    struct migration migration = {.from = from, .to = to};
    int err = -EBUSY;

    if (from->order != 0 || !page_trylock(from)) {
        return -EBUSY;
    }
    if ((atomic_load_relaxed(&from->flags) & PAGE_FLAG_SWAPCACHE) == 0) {
        err = from->kind == PAGE_ANON                                ? migrate_anon(&migration)
              : from->kind == PAGE_FILE || from->kind == PAGE_SHARED ? migrate_cached(&migration)
                                                                     : -EBUSY;
    }
    page_unlock(from, 0);
    (void)atomic_fetch_add_relaxed(err == 0 ? &stats.success : &stats.failed, 1);
    return err;
}

void migrate_init(void)
{
    frames_set_migrate(vm_page_migrate);
}

void migrate_stats(struct migrate_stats *ret_stats)
{
    *ret_stats = stats;
}

/* ---- from node to node ---- */

/* The page at va with a reference, of what is not counted (the zero page) only if `any`. -ENOENT, -EFAULT. The caller is inside (mmu_locks.h). */
static int page_at(struct vmspace *vm, uint64_t va, bool any, struct page **ret_page)
{
    paddr_t pa;
    unsigned flags;
    int err = -ENOENT;

    vm_table_lock(vm, va);
    if (mmu_query(&vm->mmu, va, &pa, &flags)) {
        err = -EFAULT;
        if ((flags & MMU_SPECIAL) == 0 || (any && pfn_valid(pa >> PAGE_SHIFT))) {
            *ret_page = phys_to_page(pa);
            page_get(*ret_page);
            err = 0;
        }
    }
    vm_table_unlock(vm, va);
    return err;
}

int vm_move_page(struct vmspace *vm, uint64_t va, const struct mempolicy *policy, uint64_t turn,
                 bool shared)
{
    struct page *page;
    int err = page_at(vm, va, false, &page);

    if (err < 0) {
        return err;
    }
    if (policy->nodes != 0 && ((policy->nodes >> page_node(page)) & 1) != 0) {
        goto put_page;
    }
    if (!shared && atomic_load_relaxed(&page->mapcount) > 1) {
        err = -EACCES;
        goto put_page;
    }
    struct page *to = mempolicy_frame_alloc(policy, turn, 0, FRAME_RECLAIM, PAGE_ANON);
    if (to == NULL) {
        err = -ENOMEM;
        goto put_page;
    }
    if (!lru_take(page)) { /* somebody has it in hand */
        err = -EBUSY;
        page_put(to);
        goto put_page;
    }
    return frame_migrate(page, to);
put_page:
    page_put(page);
    return err;
}

static int move_to_node(struct vmspace *vm, uint64_t va, unsigned node, bool shared)
{
    const struct mempolicy policy = {.nodes = BIT(node), .mode = MPOL_BIND, .home = (int8_t)node};

    return vm_move_page(vm, va, &policy, 0, shared);
}

static bool is_mapped(struct vmspace *vm, uint64_t addr)
{
    const struct vm_region *region = region_lookup(vm, addr);

    return region != NULL && region->start <= addr;
}

int vmspace_node_at(struct vmspace *vm, uint64_t addr, bool any)
{
    struct page *page;
    int err = -EFAULT;

    rwsem_lock_read(&vm->lock);
    if (is_mapped(vm, addr)) {
        err = page_at(vm, ALIGN_DOWN(addr, PAGE_SIZE), any, &page);
    }
    rwsem_unlock_read(&vm->lock);
    if (err == 0) {
        err = (int)page_node(page);
        page_put(page);
    }
    return err;
}

int vmspace_move_page(struct vmspace *vm, uint64_t addr, unsigned node, bool shared)
{
    int err = -EFAULT;

    rwsem_lock_read(&vm->lock);
    if (is_mapped(vm, addr)) {
        err = move_to_node(vm, ALIGN_DOWN(addr, PAGE_SIZE), node, shared);
    }
    rwsem_unlock_read(&vm->lock);
    return err;
}

struct leaving {
    const int8_t *to;
    uint64_t at; /* the first page that has to go */
    unsigned node;
};

static bool leaving_leaf(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    struct leaving *leaving = arg;

    (void)npages;
    if ((flags & (MMU_SPECIAL | MMU_SOFT)) != 0) {
        return true;
    }
    leaving->node = page_node(phys_to_page(pa));
    leaving->at = va;
    return leaving->to[leaving->node] < 0;
}

int64_t vmspace_migrate(struct vmspace *vm, const int8_t to[MAX_NODES], bool shared)
{
    struct leaving leaving = {.to = to};
    int64_t stayed = 0;

    rwsem_lock_read(&vm->lock);
    for (struct vm_region *region = vmspace_first(vm); region != NULL;
         region = vm_region_next(region)) {
        uint64_t at = region->start;
        while (at < region->end &&
               vmspace_walk(vm, at, region->end, leaving_leaf, &leaving) == -EAGAIN) {
            int err = move_to_node(vm, leaving.at, (unsigned)to[leaving.node], shared);
            stayed += err < 0 && err != -EACCES && err != -ENOENT && err != -EFAULT;
            at = leaving.at + PAGE_SIZE;
        }
    }
    rwsem_unlock_read(&vm->lock);
    return stayed;
}
