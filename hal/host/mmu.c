/*
 * Page tables in software: five levels of 512 words, as on x86-64, but with the MMU_* bits themselves in the entries.
 *
 * An entry is physical address | MMU_* | ENTRY_PRESENT; a soft entry has MMU_SOFT and its value for an address. A leaf is an entry of level 0, or one of level 1 with MMU_HUGE. The kernel's own
 * space is recorded in the same way, and shown to the host through host_memory_show().
 *
 * One lock orders everything: tests do not need speed, and host threads may be CPUs. The locks of blocks are taken as the contract says, before it.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/base/errno.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/mmu_locks.h"

#define ENTRY_PRESENT 0x8000000000000000ull
#define ENTRY_ADDRESS 0x000ffffffffff000ull
#define ENTRY_FLAGS   0xfffull
#define ENTRY_KEY_UP  28 /* from MMU_KEY: bits 52 to 55 */
#define ENTRY_KEY     ((uint64_t)MMU_KEY << ENTRY_KEY_UP)
#define LEVELS        5
#define ENTRIES       512u
#define LEVEL_SIZE(l) (PAGE_SIZE << (9 * (l)))

struct mmu_space mmu_kernel;
uint64_t machine_user_top = USER_WINDOW;

static pthread_mutex_t mmu_lock = PTHREAD_MUTEX_INITIALIZER;
bool host_mmu_dawdles;

/* Before the lock is taken. */
static void dawdle(void)
{
    if (host_mmu_dawdles) {
        (void)sched_yield();
    }
}
static struct mmu_stats stats;

/* There are n more huge leaves like `entry`, if it is one that shows pages. */
static void leaves_count(uint64_t entry, int n)
{
    if ((entry & (MMU_HUGE | MMU_SPECIAL)) == MMU_HUGE) {
        stats.huge_leaves += (uint64_t)n;
    }
}

static uint64_t *table_at(uint64_t entry)
{
    return phys_to_virt(entry & ENTRY_ADDRESS);
}

static unsigned index_at(vaddr_t va, unsigned level)
{
    return (unsigned)(va >> (PAGE_SHIFT + 9 * level)) % ENTRIES;
}

static uint64_t entry_make(paddr_t pa, unsigned flags)
{
    unsigned used = MMU_ACCESSED | ((flags & MMU_WRITE) != 0 ? MMU_DIRTY : 0);

    return pa | (flags & ENTRY_FLAGS) | (uint64_t)(flags & MMU_KEY) << ENTRY_KEY_UP |
           ENTRY_PRESENT | used;
}

static unsigned entry_flags(uint64_t entry)
{
    return (unsigned)(entry & ENTRY_FLAGS) | (unsigned)((entry & ENTRY_KEY) >> ENTRY_KEY_UP);
}

static paddr_t table_create(struct mmu_space *space)
{
    struct page *page = frame_alloc(0, FRAME_ZERO, PAGE_TABLE);

    if (page == NULL) {
        return 0;
    }
    space->ntables++;
    return page_to_phys(page);
}

/* The slot of `va` at `level`; NULL when a table on the way is missing and not to be (or cannot be) made, or a huge leaf is met. */
static uint64_t *slot_find(struct mmu_space *space, vaddr_t va, unsigned level, bool create)
{
    if (space->root == 0) {
        if (!create || (space->root = table_create(space)) == 0) {
            return NULL;
        }
        space->ntables--; /* the root itself does not count */
    }
    uint64_t *table = phys_to_virt(space->root);
    for (unsigned l = LEVELS - 1; l > level; l--) {
        uint64_t *slot = &table[index_at(va, l)];
        if ((*slot & ENTRY_PRESENT) == 0) {
            paddr_t pa = create ? table_create(space) : 0;
            if (pa == 0) {
                return NULL;
            }
            *slot = pa | ENTRY_PRESENT;
        } else if ((*slot & MMU_HUGE) != 0) {
            return NULL;
        }
        table = table_at(*slot);
    }
    return &table[index_at(va, level)];
}

static void flush_note(struct mmu_flush *flush, vaddr_t start, vaddr_t end)
{
    flush->start = MIN(flush->start, start);
    flush->end = MAX(flush->end, end);
}

static void table_release(struct mmu_space *space, struct mmu_flush *flush, paddr_t pa)
{
    struct page *page = phys_to_page(pa);

    space->ntables--;
    page->next_table = flush->tables;
    flush->tables = page;
    flush->tables_freed = true;
}

static bool table_is_empty(const uint64_t *table)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (table[i] != 0) {
            return false;
        }
    }
    return true;
}

/* ---- spaces ---- */

int mmu_space_init(struct mmu_space *space, struct mmu_locks *locks)
{
    memset(space, 0, sizeof(*space));
    space->locks = locks;
    space->root = table_create(space);
    space->ntables = 0;
    return space->root == 0 ? -ENOMEM : 0;
}

/* What is left under a table: empty tables that were kept, or a leaf that was forgotten. */
static void tree_free(struct mmu_space *space, uint64_t *table, unsigned level)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        if (table[i] == 0) {
            continue;
        }
        if (level == 0 || (table[i] & MMU_HUGE) != 0) {
            __builtin_trap(); /* something is still mapped */
        }
        tree_free(space, table_at(table[i]), level - 1);
        space->ntables--;
        frame_free(phys_to_page(table[i] & ENTRY_ADDRESS));
        table[i] = 0;
    }
}

void mmu_space_fini(struct mmu_space *space)
{
    tree_free(space, phys_to_virt(space->root), LEVELS - 1);
    if (space->ntables != 0) {
        __builtin_trap();
    }
    frame_free(phys_to_page(space->root));
    space->root = 0;
}

void mmu_switch(struct mmu_space *space)
{
    (void)space;
}

/* ---- single leaves ---- */

int mmu_map(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags)
{
    int err = 0;

    dawdle();
    pthread_mutex_lock(&mmu_lock);
    uint64_t *huge = slot_find(space, va, 1, false);
    uint64_t *slot = NULL;
    if (huge != NULL && (*huge & MMU_HUGE) != 0) {
        err = -EEXIST;
    } else if ((slot = slot_find(space, va, 0, true)) == NULL) {
        err = -ENOMEM;
    } else if (*slot != 0) {
        err = -EEXIST;
    } else {
        *slot = entry_make(pa, flags & ~MMU_HUGE);
    }
    pthread_mutex_unlock(&mmu_lock);
    return err;
}

int mmu_map_huge(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags)
{
    int err = 0;

    pthread_mutex_lock(&mmu_lock);
    uint64_t *slot = slot_find(space, va, 1, true);
    if (slot == NULL) {
        err = -ENOMEM;
    } else if (*slot != 0) {
        err = -EEXIST;
    } else {
        *slot = entry_make(pa, flags | MMU_HUGE);
        leaves_count(*slot, 1);
    }
    pthread_mutex_unlock(&mmu_lock);
    return err;
}

int mmu_map_pages(struct mmu_space *space, vaddr_t va, struct page **pages, unsigned n,
                  unsigned flags)
{
    int mapped = 0;

    for (unsigned i = 0; i < n; i++) {
        if (pages[i] != NULL &&
            mmu_map(space, va + i * PAGE_SIZE, page_to_phys(pages[i]), flags) == 0) {
            pages[i] = NULL;
            mapped++;
        }
    }
    return mapped;
}

static uint64_t *leaf_find(struct mmu_space *space, vaddr_t va, uint64_t *ret_size)
{
    uint64_t *slot = space->root == 0 ? NULL : slot_find(space, va, 1, false);

    if (slot == NULL || *slot == 0) {
        return NULL;
    }
    *ret_size = HUGE_PAGE_SIZE;
    if ((*slot & MMU_HUGE) == 0) {
        slot = &table_at(*slot)[index_at(va, 0)];
        *ret_size = PAGE_SIZE;
    }
    return *slot == 0 ? NULL : slot;
}

bool mmu_query(struct mmu_space *space, vaddr_t va, paddr_t *ret_pa, unsigned *ret_flags)
{
    uint64_t size;

    pthread_mutex_lock(&mmu_lock);
    uint64_t *slot = leaf_find(space, va, &size);
    bool found = slot != NULL && (*slot & MMU_SOFT) == 0;
    if (found) {
        *ret_pa = (*slot & ENTRY_ADDRESS) + ALIGN_DOWN(va & (size - 1), PAGE_SIZE);
        *ret_flags = entry_flags(*slot);
    }
    pthread_mutex_unlock(&mmu_lock);
    return found;
}

bool mmu_query_soft(struct mmu_space *space, vaddr_t va, uint64_t *ret_value)
{
    uint64_t size;

    pthread_mutex_lock(&mmu_lock);
    uint64_t *slot = leaf_find(space, va, &size);
    bool found = slot != NULL && (*slot & MMU_SOFT) != 0;
    if (found) {
        *ret_value = (*slot & ENTRY_ADDRESS) >> PAGE_SHIFT;
    }
    pthread_mutex_unlock(&mmu_lock);
    return found;
}

bool mmu_age(struct mmu_space *space, vaddr_t va)
{
    uint64_t size;

    pthread_mutex_lock(&mmu_lock);
    uint64_t *slot = leaf_find(space, va, &size);
    bool accessed = slot != NULL && (*slot & (MMU_SOFT | MMU_ACCESSED)) == MMU_ACCESSED;
    if (accessed) {
        *slot &= ~(uint64_t)MMU_ACCESSED;
    }
    pthread_mutex_unlock(&mmu_lock);
    return accessed;
}

/* Another entry in the place of the small leaf at va. */
static void leaf_replace(struct mmu_space *space, vaddr_t va, uint64_t entry,
                         struct mmu_flush *flush)
{
    uint64_t size;

    pthread_mutex_lock(&mmu_lock);
    uint64_t *slot = leaf_find(space, va, &size);
    if (slot == NULL || size != PAGE_SIZE) {
        __builtin_trap();
    }
    *slot = entry;
    flush_note(flush, va, va + PAGE_SIZE);
    pthread_mutex_unlock(&mmu_lock);
}

void mmu_remove(struct mmu_space *space, vaddr_t va, struct mmu_flush *flush)
{
    leaf_replace(space, va, 0, flush);
}

void mmu_replace_soft(struct mmu_space *space, vaddr_t va, uint64_t value, struct mmu_flush *flush)
{
    if (value >> MMU_SOFT_BITS != 0) {
        __builtin_trap();
    }
    leaf_replace(space, va, value << PAGE_SHIFT | MMU_SOFT | ENTRY_PRESENT, flush);
}

void mmu_replace(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags,
                 struct mmu_flush *flush)
{
    leaf_replace(space, va, entry_make(pa, flags), flush);
}

/* ---- ranges ---- */

/* Replace a huge leaf by a table of small ones. */
static int huge_split(struct mmu_space *space, uint64_t *slot)
{
    paddr_t pa = table_create(space);
    uint64_t *table = phys_to_virt(pa);
    uint64_t old = *slot;

    if (pa == 0) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < ENTRIES; i++) {
        table[i] = ((*slot & ENTRY_ADDRESS) + i * PAGE_SIZE) |
                   (*slot & (ENTRY_FLAGS | ENTRY_KEY) & ~(uint64_t)MMU_HUGE) | ENTRY_PRESENT;
    }
    *slot = pa | ENTRY_PRESENT;
    leaves_count(old, -1);
    stats.huge_splits++;
    return 0;
}

int mmu_split_huge(struct mmu_space *space, vaddr_t va)
{
    int err = 0;

    pthread_mutex_lock(&mmu_lock);
    uint64_t *slot = slot_find(space, va, 1, false);
    if (slot != NULL && (*slot & MMU_HUGE) != 0) {
        err = huge_split(space, slot);
    }
    pthread_mutex_unlock(&mmu_lock);
    return err;
}

void mmu_replace_huge(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags,
                      struct mmu_flush *flush)
{
    pthread_mutex_lock(&mmu_lock);
    uint64_t *slot = slot_find(space, va, 1, false);
    if (slot == NULL || (*slot & MMU_HUGE) == 0) {
        __builtin_trap();
    }
    leaves_count(*slot, -1);
    *slot = entry_make(pa, flags | MMU_HUGE);
    leaves_count(*slot, 1);
    flush_note(flush, ALIGN_DOWN(va, HUGE_PAGE_SIZE),
               ALIGN_DOWN(va, HUGE_PAGE_SIZE) + HUGE_PAGE_SIZE);
    pthread_mutex_unlock(&mmu_lock);
}

/*
 * Walk the present leaves of [start, end) and call `visit` with each. Empty tables that lie inside the range are released to
 * walk->flush when walk->prune is set.
 */
struct walk {
    struct mmu_space *space;
    struct mmu_flush *flush;
    bool split, prune;
    void (*visit)(struct walk *walk, vaddr_t va, uint64_t *slot);
    mmu_unmap_fn *unmap;
    void *arg;
    uint64_t set, clear;
    struct mmu_space *dst;
    uint64_t delta;
    bool cow;
    mmu_copy_fn *copy;
    int err;
    size_t count;
};

static void walk_table(struct walk *walk, uint64_t *table, unsigned level, vaddr_t base,
                       vaddr_t start, vaddr_t end)
{
    for (unsigned i = 0; i < ENTRIES && walk->err == 0; i++) {
        vaddr_t va = base + i * LEVEL_SIZE(level);
        vaddr_t last = va + LEVEL_SIZE(level);
        if (last <= start || va >= end || table[i] == 0) {
            continue;
        }
        bool covered = start <= va && last <= end;
        if (level == 1 && (table[i] & MMU_HUGE) != 0 && !covered && walk->split) {
            walk->err = huge_split(walk->space, &table[i]);
            if (walk->err < 0) {
                return;
            }
        }
        if (level == 0 || (table[i] & MMU_HUGE) != 0) {
            walk->visit(walk, va, &table[i]);
            continue;
        }
        walk_table(walk, table_at(table[i]), level - 1, va, start, end);
        if (walk->prune && walk->flush->floor <= va && last <= walk->flush->ceiling &&
            table_is_empty(table_at(table[i]))) {
            table_release(walk->space, walk->flush, table[i] & ENTRY_ADDRESS);
            table[i] = 0;
        }
    }
}

/* The first address at or after va that may be mapped: holes are passed over by whole tables. */
static vaddr_t next_used(struct mmu_space *space, vaddr_t va, vaddr_t end)
{
    dawdle();
    pthread_mutex_lock(&mmu_lock);
    while (va < end) {
        uint64_t *table = phys_to_virt(space->root);
        unsigned level = LEVELS - 1;
        while (level > 1 && table[index_at(va, level)] != 0) {
            table = table_at(table[index_at(va, level--)]);
        }
        if (table[index_at(va, level)] != 0) {
            break;
        }
        va = ALIGN_DOWN(va, LEVEL_SIZE(level)) + LEVEL_SIZE(level);
    }
    pthread_mutex_unlock(&mmu_lock);
    return va;
}

static int walk_run(struct walk *walk, vaddr_t start, vaddr_t end)
{
    while (walk->err == 0 && (start = next_used(walk->space, start, end)) < end) {
        vaddr_t next = MIN(ALIGN_DOWN(start, HUGE_PAGE_SIZE) + HUGE_PAGE_SIZE, end);
        struct spinlock *lock = mmu_block_lock(walk->space->locks, start);
        spin_lock(lock);
        pthread_mutex_lock(&mmu_lock);
        walk_table(walk, phys_to_virt(walk->space->root), LEVELS - 1, 0, start, next);
        pthread_mutex_unlock(&mmu_lock);
        spin_unlock(lock);
        start = next;
    }
    return walk->err;
}

static void visit_unmap(struct walk *walk, vaddr_t va, uint64_t *slot)
{
    uint64_t old = *slot;
    uint64_t size = (old & MMU_HUGE) != 0 ? HUGE_PAGE_SIZE : PAGE_SIZE;

    leaves_count(old, -1);
    *slot = 0;
    flush_note(walk->flush, va, va + size);
    if (walk->unmap != NULL && !walk->unmap(walk->arg, va, old & ENTRY_ADDRESS, entry_flags(old))) {
        walk->err = -EAGAIN;
    }
}

int mmu_unmap(struct mmu_space *space, vaddr_t start, vaddr_t end, struct mmu_flush *flush,
              mmu_unmap_fn *fn, void *arg)
{
    struct walk walk = {.space = space,
                        .flush = flush,
                        .split = true,
                        .prune = true,
                        .visit = visit_unmap,
                        .unmap = fn,
                        .arg = arg};
    return walk_run(&walk, start, end);
}

static void visit_protect(struct walk *walk, vaddr_t va, uint64_t *slot)
{
    uint64_t size = (*slot & MMU_HUGE) != 0 ? HUGE_PAGE_SIZE : PAGE_SIZE;
    uint64_t fresh = (*slot & ~walk->clear) | walk->set;

    if ((*slot & MMU_SOFT) != 0) {
        return;
    }
    if (fresh != *slot) {
        *slot = fresh;
        flush_note(walk->flush, va, va + size);
    }
}

int mmu_protect(struct mmu_space *space, vaddr_t start, vaddr_t end, unsigned set, unsigned clear,
                struct mmu_flush *flush)
{
    const unsigned rights = MMU_READ | MMU_WRITE | MMU_EXEC;
    struct walk walk = {.space = space,
                        .flush = flush,
                        .split = true,
                        .visit = visit_protect,
                        .set = (set & rights) | ((set & MMU_WRITE) != 0 ? MMU_DIRTY : 0) |
                               (uint64_t)(set & MMU_KEY) << ENTRY_KEY_UP,
                        .clear = (clear & rights) | (uint64_t)(clear & MMU_KEY) << ENTRY_KEY_UP};
    return walk_run(&walk, start, end);
}

static void visit_move(struct walk *walk, vaddr_t va, uint64_t *slot)
{
    uint64_t *to = slot_find(walk->space, va + walk->delta, 0, true);

    if (to == NULL) {
        walk->err = -ENOMEM;
        return;
    }
    *to = *slot;
    *slot = 0;
    flush_note(walk->flush, va, va + PAGE_SIZE);
}

int mmu_move(struct mmu_space *space, vaddr_t from, vaddr_t to, uint64_t len_bytes,
             struct mmu_flush *flush)
{
    struct walk walk = {
        .space = space, .flush = flush, .prune = true, .visit = visit_move, .delta = to - from};

    /* Tables first, so that a failure moves nothing. */
    for (vaddr_t va = from; va < from + len_bytes; va += PAGE_SIZE) {
        paddr_t pa;
        unsigned flags = 0;
        uint64_t value;
        if (!mmu_query(space, va, &pa, &flags) && !mmu_query_soft(space, va, &value)) {
            continue;
        }
        if ((flags & MMU_HUGE) != 0) {
            pthread_mutex_lock(&mmu_lock);
            int err = huge_split(space, slot_find(space, va, 1, false));
            pthread_mutex_unlock(&mmu_lock);
            if (err < 0) {
                return err;
            }
        }
        pthread_mutex_lock(&mmu_lock);
        uint64_t *slot = slot_find(space, va - from + to, 0, true);
        pthread_mutex_unlock(&mmu_lock);
        if (slot == NULL) {
            return -ENOMEM;
        }
    }
    return walk_run(&walk, from, from + len_bytes);
}

static void visit_copy(struct walk *walk, vaddr_t va, uint64_t *slot)
{
    unsigned level = (*slot & MMU_HUGE) != 0 ? 1 : 0;
    uint64_t *to = slot_find(walk->dst, va, level, true);

    if (to == NULL) {
        walk->err = -ENOMEM;
        return;
    }
    if (!walk->copy(walk->arg, va, *slot & ENTRY_ADDRESS, entry_flags(*slot))) {
        return;
    }
    if (walk->cow && (*slot & MMU_WRITE) != 0) {
        *slot &= ~(uint64_t)MMU_WRITE;
        flush_note(walk->flush, va, va + LEVEL_SIZE(level));
    }
    *to = *slot;
    leaves_count(*slot, 1);
}

int mmu_copy(struct mmu_space *dst, struct mmu_space *src, vaddr_t start, vaddr_t end, bool cow,
             struct mmu_flush *src_flush, mmu_copy_fn *fn, void *arg)
{
    struct walk walk = {.space = src,
                        .flush = src_flush,
                        .split = true,
                        .visit = visit_copy,
                        .dst = dst,
                        .cow = cow,
                        .copy = fn,
                        .arg = arg};
    return walk_run(&walk, start, end);
}

static void visit_clear_accessed(struct walk *walk, vaddr_t va, uint64_t *slot)
{
    if ((*slot & (MMU_ACCESSED | MMU_SOFT)) == MMU_ACCESSED) {
        *slot &= ~(uint64_t)MMU_ACCESSED;
        walk->count++;
        flush_note(walk->flush, va, va + PAGE_SIZE);
    }
}

size_t mmu_clear_accessed(struct mmu_space *space, vaddr_t start, vaddr_t end,
                          struct mmu_flush *flush)
{
    struct walk walk = {.space = space, .flush = flush, .visit = visit_clear_accessed};

    (void)walk_run(&walk, start, end);
    return walk.count;
}

int mmu_walk(struct mmu_space *space, vaddr_t start, vaddr_t end, mmu_walk_fn *fn, void *arg)
{
    uint64_t n;

    for (vaddr_t va = mmu_skip_hole(space, start, end); va < end;
         va = mmu_skip_hole(space, va + n * PAGE_SIZE, end)) {
        uint64_t size, old;
        n = 1;
        pthread_mutex_lock(&mmu_lock);
        uint64_t *slot = leaf_find(space, va, &size);
        old = slot == NULL ? 0 : *slot;
        pthread_mutex_unlock(&mmu_lock);
        if (old != 0) {
            uint64_t within = va & (size - 1);
            n = MIN(size - within, end - va) >> PAGE_SHIFT;
            if (!fn(arg, va, (old & ENTRY_ADDRESS) + within, entry_flags(old), n)) {
                return -EAGAIN;
            }
        }
    }
    return 0;
}

vaddr_t mmu_skip_hole(struct mmu_space *space, vaddr_t va, vaddr_t end)
{
    pthread_mutex_lock(&mmu_lock);
    while (va < end) {
        uint64_t *slot = space->root == 0 ? NULL : slot_find(space, va, 1, false);
        if (slot != NULL && *slot != 0) {
            break;
        }
        va = ALIGN_DOWN(va, HUGE_PAGE_SIZE) + HUGE_PAGE_SIZE;
    }
    pthread_mutex_unlock(&mmu_lock);
    return MIN(va, end);
}

void mmu_flush_finish(struct mmu_flush *flush)
{
    if (flush->start < flush->end) {
        stats.flush_range++;
    }
    while (flush->tables != NULL) {
        struct page *page = flush->tables;
        flush->tables = page->next_table;
        frame_free(page);
    }
    flush->start = UINT64_MAX;
    flush->end = 0;
    flush->tables_freed = false;
}

/* ---- the kernel's space ---- */

int mmu_kernel_map(vaddr_t va, paddr_t pa, uint64_t len_bytes, unsigned flags)
{
    for (uint64_t done = 0; done < len_bytes; done += PAGE_SIZE) {
        int err = mmu_map(&mmu_kernel, va + done, pa + done, flags);
        if (err < 0) {
            mmu_kernel_unmap(va, done);
            return err;
        }
    }
    host_memory_show(va, pa, len_bytes);
    return 0;
}

int mmu_kernel_map_pages(vaddr_t va, struct page *const *pages, uint64_t n, unsigned flags)
{
    for (uint64_t i = 0; i < n; i++) {
        int err = mmu_kernel_map(va + i * PAGE_SIZE, page_to_phys(pages[i]), PAGE_SIZE, flags);
        if (err < 0) {
            mmu_kernel_unmap(va, i * PAGE_SIZE);
            return err;
        }
    }
    return 0;
}

void mmu_kernel_unmap(vaddr_t va, uint64_t len_bytes)
{
    for (uint64_t done = 0; done < len_bytes; done += PAGE_SIZE) {
        uint64_t *slot = slot_find(&mmu_kernel, va + done, 0, false);
        if (slot != NULL) {
            *slot = 0;
        }
    }
    if (len_bytes > 0) {
        host_memory_hide(va, len_bytes);
    }
}

/* The host's own mappings stay as they are: a test asks by mmu_query(). The direct map has no entries here. */
int mmu_kernel_protect(vaddr_t va, uint64_t len_bytes, unsigned flags)
{
    for (uint64_t done = 0; done < len_bytes; done += PAGE_SIZE) {
        uint64_t *slot = slot_find(&mmu_kernel, va + done, 0, false);
        if (slot != NULL && *slot != 0) {
            *slot = entry_make(*slot & ENTRY_ADDRESS, flags);
        }
    }
    return 0;
}

void mmu_stats(struct mmu_stats *ret_stats)
{
    *ret_stats = stats;
}

/* A test program has no data of that kind. */
void mmu_kernel_seal(void)
{
}
