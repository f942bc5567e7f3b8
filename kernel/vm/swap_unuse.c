/*
 * swapoff: bringing back everything that is in an area, wherever an entry of it stands.
 *
 * Entries stand in page tables and in page caches of shared memory. Spaces and caches that have got one are on a list from then on until they
 * end, so that a round over both lists meets all of them, but for what fork or reclaim of another area puts behind our back: then slots
 * are left, and the caller has another round made.
 *
 * Locks: spaces_lock (spin, inside table locks) and caches_mutex (inside nothing, and everything inside it: a cache that ends waits
 * for the round to leave it) the lists; each lock for its own.
 */
#include "kernel/vm/swap_unuse.h"

#include "kernel/sched/mutex.h"
#include "kernel/sched/sched.h"
#include "kernel/vm/fault.h"
#include "kernel/vm/usage.h"

static struct spinlock spaces_lock = SPINLOCK_INIT("swapped spaces");
static struct list_node spaces = LIST_INIT(spaces); /* [spaces_lock] struct vmspace.swap_link */
static struct mutex caches_mutex = MUTEX_INIT(caches_mutex);
static struct spinlock caches_lock = SPINLOCK_INIT("swapped caches");
/* [caches_lock] struct pagecache.swap_link; taken off, or passed by a round, under caches_mutex besides. */
static struct list_node caches = LIST_INIT(caches);

void swap_note_space_slow(struct vmspace *vm)
{
    spin_lock(&spaces_lock);
    if (!vm->swap_listed) {
        atomic_store_relaxed(&vm->swap_listed, true);
        list_push_back(&spaces, &vm->swap_link);
    }
    spin_unlock(&spaces_lock);
}

void swap_forget_space(struct vmspace *vm)
{
    if (atomic_load_relaxed(&vm->swap_listed)) {
        spin_lock(&spaces_lock);
        list_remove(&vm->swap_link);
        spin_unlock(&spaces_lock);
    }
}

void swap_note_cache(struct pagecache *cache)
{
    spin_lock(&caches_lock);
    if (!cache->swap_listed) {
        cache->swap_listed = true;
        list_push_back(&caches, &cache->swap_link);
    }
    spin_unlock(&caches_lock);
}

void swap_forget_cache(struct pagecache *cache)
{
    if (!cache->swap_listed) { /* and no page is left by which it could get onto the list */
        return;
    }
    mutex_lock(&caches_mutex);
    spin_lock(&caches_lock);
    list_remove(&cache->swap_link);
    spin_unlock(&caches_lock);
    mutex_unlock(&caches_mutex);
}

/* ---- spaces ---- */

#define BATCH 32u

struct finds {
    unsigned area, n;
    struct {
        uint64_t va;
        swap_entry_t entry;
    } at[BATCH];
};

static bool find_entry(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    struct finds *finds = arg;
    swap_entry_t entry = (swap_entry_t)(pa >> PAGE_SHIFT);

    (void)npages;
    if ((flags & MMU_SOFT) != 0 && swap_entry_area(entry) == finds->area) {
        finds->at[finds->n].va = va;
        finds->at[finds->n].entry = entry;
        finds->n++;
    }
    return finds->n < BATCH;
}

/* vm->lock held for reading. */
static int unuse_region(struct vmspace *vm, struct vm_region *region, unsigned area)
{
    uint64_t start = region->start;
    struct finds finds;

    do {
        finds.area = area;
        finds.n = 0;
        (void)vmspace_walk(vm, start, region->end, find_entry, &finds);
        for (unsigned i = 0; i < finds.n; i++) {
            int err = vm_fault_swap(vm, region, finds.at[i].va, finds.at[i].entry, 0);
            if (err < 0) {
                return err;
            }
            start = finds.at[i].va + PAGE_SIZE;
        }
        if (thread_signal_pending(current_thread())) {
            return -EINTR;
        }
    } while (finds.n == BATCH);
    return 0;
}

static int unuse_space(struct vmspace *vm, unsigned area)
{
    int err = 0;

    rwsem_lock_read(&vm->lock);
    for (struct vm_region *region = vmspace_first(vm);
         region != NULL && err == 0 && atomic_load_relaxed(&vm->rss_swap) > 0;
         region = vm_region_next(region)) {
        if (region->has_anon) {
            err = unuse_region(vm, region, area);
        }
    }
    rwsem_unlock_read(&vm->lock);
    return err;
}

/* The space behind `vm` in the list, the first for NULL, referenced. `vm` is put. */
static struct vmspace *space_after(struct vmspace *vm)
{
    struct vmspace *next = NULL;

    spin_lock(&spaces_lock);
    struct list_node *node = vm == NULL ? spaces.next : vm->swap_link.next;
    /* Whoever is about to end waits for the lock in swap_forget_space(), so the links hold. */
    for (; node != &spaces && next == NULL; node = node->next) {
        next = container_of(node, struct vmspace, swap_link);
        if (!refcount_get_unless_zero(&next->refs)) {
            next = NULL;
        }
    }
    spin_unlock(&spaces_lock);
    vmspace_put(vm);
    return next;
}

static int unuse_spaces(unsigned area)
{
    struct vmspace *vm = space_after(NULL);
    int err = 0;

    while (vm != NULL && err == 0) {
        err = unuse_space(vm, area);
        if (err == 0) {
            vm = space_after(vm);
        }
    }
    vmspace_put(vm);
    return err;
}

/* ---- caches ---- */

/* The first entry of the area at or after *index. */
static bool find_cached(struct pagecache *cache, unsigned area, uint64_t *index)
{
    bool found = false;
    void *value;

    spin_lock(&cache->lock);
    while (!found && cache->nswapped > 0 &&
           (value = xarray_find(&cache->pages, index, UINT64_MAX)) != NULL) {
        found = cache_entry_is_swap(value) && swap_entry_area(cache_entry_swap(value)) == area;
        *index += !found;
    }
    spin_unlock(&cache->lock);
    return found;
}

static int unuse_cache(struct pagecache *cache, unsigned area)
{
    uint64_t index = 0;
    int err = 0;

    while (err == 0 && find_cached(cache, area, &index)) {
        struct page *page;
        err = pagecache_get(cache, index, PAGECACHE_FAULT, &page);
        if (err == 0 && page != NULL) {
            page_put(page);
        }
        if (err == 0 && thread_signal_pending(current_thread())) {
            err = -EINTR;
        }
    }
    return err;
}

static int unuse_caches(unsigned area)
{
    int err = 0;

    mutex_lock(&caches_mutex);
    spin_lock(&caches_lock);
    for (struct list_node *node = caches.next; node != &caches && err == 0; node = node->next) {
        struct pagecache *cache = container_of(node, struct pagecache, swap_link);
        spin_unlock(&caches_lock);
        err = unuse_cache(cache, area);
        spin_lock(&caches_lock);
    }
    spin_unlock(&caches_lock);
    mutex_unlock(&caches_mutex);
    return err;
}

int swap_unuse(unsigned area)
{
    int err = unuse_spaces(area);

    return err < 0 ? err : unuse_caches(area);
}
