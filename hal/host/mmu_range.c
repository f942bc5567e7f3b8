/*
 * Operations on ranges of the software page tables: unmap, protect, move, copy (fork), age, look; flushes.
 */
#include "hal/host/mmu_entry.h"
#include "hal/host/private.h"
#include "kernel/base/errno.h"
#include "kernel/mm/mmu_locks.h"

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
    mmu_may_write_fn *may_write;
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
        if ((table[i] & MMU_HUGE) != 0 && !covered && walk->split) {
            walk->err = host_leaf_split(walk->space, &table[i]);
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
    host_mmu_dawdle();
    pthread_mutex_lock(&host_mmu_lock);
    while (va < end) {
        uint64_t *table = phys_to_virt(space->root);
        unsigned level = LEVELS - 1;
        while (level > 1 && table[index_at(va, level)] != 0 &&
               (table[index_at(va, level)] & MMU_HUGE) == 0) {
            table = table_at(table[index_at(va, level--)]);
        }
        if (table[index_at(va, level)] != 0) {
            break;
        }
        va = ALIGN_DOWN(va, LEVEL_SIZE(level)) + LEVEL_SIZE(level);
    }
    pthread_mutex_unlock(&host_mmu_lock);
    return va;
}

/* Where the block of va ends, or the 1 GiB leaf over it. */
static vaddr_t block_end(struct mmu_space *space, vaddr_t va)
{
    pthread_mutex_lock(&host_mmu_lock);
    const uint64_t *slot = host_leaf_find(space, va);
    uint64_t size = slot == NULL ? HUGE_PAGE_SIZE : LEVEL_SIZE(MAX(leaf_level(*slot), 1u));
    pthread_mutex_unlock(&host_mmu_lock);
    return ALIGN_DOWN(va, size) + size;
}

static int walk_run(struct walk *walk, vaddr_t start, vaddr_t end)
{
    while (walk->err == 0 && (start = next_used(walk->space, start, end)) < end) {
        vaddr_t next = MIN(block_end(walk->space, start), end);
        struct spinlock *lock = mmu_block_lock(walk->space->locks, start);
        spin_lock(lock);
        pthread_mutex_lock(&host_mmu_lock);
        walk_table(walk, phys_to_virt(walk->space->root), LEVELS - 1, 0, start, next);
        pthread_mutex_unlock(&host_mmu_lock);
        spin_unlock(lock);
        start = next;
    }
    return walk->err;
}

static void visit_unmap(struct walk *walk, vaddr_t va, uint64_t *slot)
{
    uint64_t old = *slot;
    uint64_t size = LEVEL_SIZE(leaf_level(old));

    host_leaves_count(old, -1);
    *slot = 0;
    flush_note(walk->flush, va, va + size);
    paddr_t pa = old & ENTRY_ADDRESS;
    if (walk->unmap != NULL && !walk->unmap(walk->arg, va, &pa, 1, entry_flags(old))) {
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
    uint64_t size = LEVEL_SIZE(leaf_level(*slot));
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

static void visit_give_write(struct walk *walk, vaddr_t va, uint64_t *slot)
{
    const uint64_t bits = MMU_READ | MMU_DIRTY | MMU_WRITE | MMU_SPECIAL | MMU_SOFT | MMU_HUGE;

    (void)va;
    if ((*slot & bits) == (MMU_READ | MMU_DIRTY) && walk->may_write(*slot & ENTRY_ADDRESS)) {
        *slot |= MMU_WRITE;
    }
}

void mmu_give_write(struct mmu_space *space, vaddr_t start, vaddr_t end, mmu_may_write_fn *fn)
{
    struct walk walk = {.space = space, .visit = visit_give_write, .may_write = fn};

    (void)walk_run(&walk, start, end);
}

static void visit_move(struct walk *walk, vaddr_t va, uint64_t *slot)
{
    uint64_t *to = host_slot_find(walk->space, va + walk->delta, 0, true);

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
        if ((flags & MMU_HUGE) != 0 && mmu_split_huge(space, va) < 0) {
            return -ENOMEM;
        }
        pthread_mutex_lock(&host_mmu_lock);
        uint64_t *slot = host_slot_find(space, va - from + to, 0, true);
        pthread_mutex_unlock(&host_mmu_lock);
        if (slot == NULL) {
            return -ENOMEM;
        }
    }
    return walk_run(&walk, from, from + len_bytes);
}

static void visit_copy(struct walk *walk, vaddr_t va, uint64_t *slot)
{
    unsigned level = leaf_level(*slot);
    uint64_t *to = host_slot_find(walk->dst, va, level, true);

    if (to == NULL) {
        walk->err = -ENOMEM;
        return;
    }
    paddr_t pa = *slot & ENTRY_ADDRESS;
    if (!walk->copy(walk->arg, va, &pa, 1, entry_flags(*slot))) {
        return;
    }
    if (walk->cow && (*slot & MMU_WRITE) != 0) {
        *slot &= ~(uint64_t)MMU_WRITE;
        flush_note(walk->flush, va, va + LEVEL_SIZE(level));
    }
    *to = *slot;
    host_leaves_count(*slot, 1);
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
        n = 1;
        pthread_mutex_lock(&host_mmu_lock);
        uint64_t *slot = host_leaf_find(space, va);
        uint64_t old = slot == NULL ? 0 : *slot;
        uint64_t size = LEVEL_SIZE(leaf_level(old));
        pthread_mutex_unlock(&host_mmu_lock);
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
    pthread_mutex_lock(&host_mmu_lock);
    while (va < end) {
        uint64_t *slot = space->root == 0 ? NULL : host_slot_find(space, va, 1, false);
        if ((slot != NULL && *slot != 0) || host_leaf_find(space, va) != NULL) {
            break;
        }
        va = ALIGN_DOWN(va, HUGE_PAGE_SIZE) + HUGE_PAGE_SIZE;
    }
    pthread_mutex_unlock(&host_mmu_lock);
    return MIN(va, end);
}

void (*host_flush_hook)(const struct mmu_flush *flush);

void mmu_flush_finish(struct mmu_flush *flush)
{
    if (flush->start < flush->end) {
        if (host_flush_hook != NULL) {
            host_flush_hook(flush);
        }
        host_mmu_stats.flush_range++;
        host_user_settle();
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
