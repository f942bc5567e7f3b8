/*
 * Operations on ranges of user pages: unmap, protect, move, copy (fork), age, look.
 *
 * All are one walk over the level-2 entries in use (slots_walk), which skips holes by whole tables and takes the lock of each block, and a
 * loop of their own over the entries of one last-level table. The loops end early when they have seen as many entries as the table has
 * (page->private). These loops are what fork, exit and munmap spend their time in.
 *
 * A table that an unmap leaves empty is taken out after the block's lock is given back: nobody inside can be there (flush->floor, ceiling),
 * and who is outside is kept off by locks->shape. The entry that leads to a table is found before the lock is taken and read under it.
 *
 * The accessed and dirty bits of entries that this code rewrites are already set by mmu_map where the rights allow it, so a plain store
 * does not lose an update by another CPU.
 */
#include "hal/x86_64/pte.h"
#include "kernel/base/errno.h"
#include "kernel/mm/mmu_locks.h"

/* What a slot function works on. */
struct range_op {
    struct mmu_space *space;
    struct mmu_flush *flush;
    void *arg;
    bool emptied; /* unmap: the block's table has no entries now */
    union {
        mmu_unmap_fn *unmap;
        struct {
            pte_t set, clear; /* protect: bits of a present entry */
            unsigned flags_set, flags_clear;
        };
        struct {
            struct mmu_space *dst;
            mmu_copy_fn *copy;
            bool cow;
        };
        uint64_t delta; /* move: to - from */
        size_t count;   /* clear_accessed */
        mmu_walk_fn *walk;
    };
};

/*
 * The part [start, end) of the range under one level-2 entry, or under the 1 GiB leaf in its place. SLOT_AGAIN: the entry that was given is
 * none of level 2 any more, the walk looks again; else not 0 stops it.
 */
#define SLOT_AGAIN 1
typedef int slot_fn(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end);

/* The table that covers the block of va is empty: take it out, and those above it that become so. */
static void block_prune(struct range_op *op, vaddr_t va)
{
    struct mmu_flush *flush = op->flush;
    vaddr_t block = va & ~(HUGE_PAGE_SIZE - 1);

    if (flush->floor <= block && block + HUGE_PAGE_SIZE <= flush->ceiling) {
        spin_lock(&op->space->locks->shape);
        tables_prune(op->space, va, flush);
        spin_unlock(&op->space->locks->shape);
    }
}

static __always_inline int slots_do(struct range_op *op, vaddr_t start, vaddr_t end, slot_fn *fn,
                                    bool locked)
{
    while (start < end) {
        vaddr_t next = (start & ~(HUGE_PAGE_SIZE - 1)) + HUGE_PAGE_SIZE;
        pte_t *pde = pde_find(op->space, start, &next);

        if (pde != NULL) {
            struct spinlock *lock = mmu_block_lock(op->space->locks, start);
            if (locked) {
                spin_lock(lock);
            }
            int err = likely(*pde != 0) ? fn(op, pde, start, MIN(next, end)) : 0;
            if (locked) {
                spin_unlock(lock);
            }
            if (unlikely(op->emptied)) {
                op->emptied = false;
                block_prune(op, start);
            }
            if (unlikely(err != 0)) {
                if (err == SLOT_AGAIN) {
                    continue;
                }
                return err;
            }
        }
        start = next;
    }
    return 0;
}

/* Each block with its lock held. */
static __always_inline int slots_walk(struct range_op *op, vaddr_t start, vaddr_t end, slot_fn *fn)
{
    return slots_do(op, start, end, fn, true);
}

static bool covers(pte_t large, vaddr_t start, vaddr_t end)
{
    return end - start == large_bytes(large);
}

/* The range covers a large leaf in part: cut it. SLOT_AGAIN, -ENOMEM. */
static int large_cut(struct range_op *op, pte_t *pde)
{
    bool giant = (*pde & PTE_GIANT) != 0;
    int err = large_split(op->space, pde);

    return err == 0 && giant ? SLOT_AGAIN : err;
}

/* Where a leaf of that size goes at va. NULL: no memory. */
static pte_t *large_place(struct mmu_space *space, vaddr_t va, pte_t large)
{
    return large & PTE_GIANT ? pdpte_create(space, va) : pde_create(space, va);
}

/* ---- unmap ---- */

/* `n` entries of the table that holds `entry` are gone. */
static inline void entries_removed(struct range_op *op, const pte_t *entry, unsigned n)
{
    if (atomic_fetch_sub_relaxed(&pte_table_page(entry)->private, n) == n) {
        op->emptied = true;
    }
}

static int unmap_large(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    pte_t pte = pte_from_large(*pde);

    atomic_store_relaxed(pde, 0);
    flush_note(op->flush, start, end);
    entries_removed(op, pde, 1);
    large_count(pte, -1);
    bool more =
        op->unmap == NULL || op->unmap(op->arg, start, pte_phys(pte), pte_flags(pte) | MMU_HUGE);
    return more ? 0 : -EAGAIN;
}

static __noinline int unmap_slot(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    if (unlikely(*pde & PTE_LARGE)) {
        if (covers(*pde, start, end)) {
            return unmap_large(op, pde, start, end);
        }
        int err = large_cut(op, pde);
        if (err != 0) {
            return err;
        }
    }
    pte_t *first = pte_table(*pde) + pte_index(start, PAGE_SHIFT);
    pte_t *pte = first;
    unsigned used = atomic_load_relaxed(&pte_table_page(first)->private);
    unsigned left = used;
    struct pte_bits last = {0};
    vaddr_t va;
    int err = 0;

    for (const pte_t *last_pte = pte + ((end - start) >> PAGE_SHIFT); pte < last_pte && left > 0;
         pte++) {
        pte_t old = *pte;

        if (old == 0) {
            continue;
        }
        *pte = 0;
        left--;
        if (op->unmap != NULL) {
            va = start + ((vaddr_t)(pte - first) << PAGE_SHIFT);
            if (unlikely(!op->unmap(op->arg, va, pte_phys(old), pte_flags_cached(old, &last)))) {
                pte++;
                err = -EAGAIN;
                break;
            }
        }
    }
    if (left != used) {
        flush_note(op->flush, start, start + ((vaddr_t)(pte - first) << PAGE_SHIFT));
    }
    entries_removed(op, first, used - left);
    return err;
}

int mmu_unmap(struct mmu_space *space, vaddr_t start, vaddr_t end, struct mmu_flush *flush,
              mmu_unmap_fn *fn, void *arg)
{
    struct range_op op = {.space = space, .flush = flush, .arg = arg, .unmap = fn};

    return slots_walk(&op, start, end, unmap_slot);
}

/* ---- protect ---- */

/* To or from PROT_NONE. */
static __noinline pte_t protect_absent(const struct range_op *op, pte_t old)
{
    if (pte_is_soft(old)) {
        return old;
    }
    return pte_make(pte_phys(old), (pte_flags(old) & ~op->flags_clear) | op->flags_set);
}

static inline pte_t protect_entry(const struct range_op *op, pte_t old)
{
    if (likely((old & PTE_PRESENT) && (op->flags_clear & MMU_READ) == 0)) {
        return (old & ~op->clear) | op->set;
    }
    return protect_absent(op, old);
}

/* True when a CPU that still knows `old` could do what `new` forbids. */
static bool rights_shrink(pte_t old, pte_t new)
{
    return (old & PTE_PRESENT) != 0 &&
           ((old & ~new &(PTE_PRESENT | PTE_WRITE)) != 0 || (new & ~old &PTE_NX) != 0);
}

static int protect_large(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    pte_t old = pte_from_large(*pde);
    pte_t new = protect_entry(op, old) | (old & PTE_GIANT);

    atomic_store_relaxed(pde, pte_to_large(new));
    if (rights_shrink(old, new)) {
        flush_note(op->flush, start, end);
    }
    return 0;
}

static __noinline int protect_slot(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    if (unlikely(*pde & PTE_LARGE)) {
        if (covers(*pde, start, end)) {
            return protect_large(op, pde, start, end);
        }
        int err = large_cut(op, pde);
        if (err != 0) {
            return err;
        }
    }
    pte_t *first = pte_table(*pde) + pte_index(start, PAGE_SHIFT);
    pte_t *pte = first;
    const pte_t *shrunk_first = NULL;
    const pte_t *shrunk_last = NULL;
    unsigned left = atomic_load_relaxed(&pte_table_page(pte)->private);

    for (pte_t *last = pte + ((end - start) >> PAGE_SHIFT); pte < last && left > 0; pte++) {
        pte_t old = *pte;

        if (old == 0) {
            continue;
        }
        left--;
        pte_t new = protect_entry(op, old);
        if (new == old) {
            continue;
        }
        atomic_store_relaxed(pte, new);
        if (rights_shrink(old, new)) {
            shrunk_first = shrunk_first == NULL ? pte : shrunk_first;
            shrunk_last = pte;
        }
    }
    if (shrunk_first != NULL) {
        flush_note(op->flush, start + ((vaddr_t)(shrunk_first - first) << PAGE_SHIFT),
                   start + ((vaddr_t)(shrunk_last - first + 1) << PAGE_SHIFT));
    }
    return 0;
}

int mmu_protect(struct mmu_space *space, vaddr_t start, vaddr_t end, unsigned set, unsigned clear,
                struct mmu_flush *flush)
{
    struct range_op op = {.space = space, .flush = flush};

    op.flags_set = set;
    op.flags_clear = clear & ~set;
    op.set = (set & MMU_WRITE ? PTE_WRITE | PTE_DIRTY : 0) |
             (op.flags_clear & MMU_EXEC ? mmu_format.nx : 0);
    op.clear = (op.flags_clear & MMU_WRITE ? PTE_WRITE : 0) | (set & MMU_EXEC ? PTE_NX : 0);
    if (unlikely(clear & MMU_KEY)) {
        op.set |= (pte_t)(set & MMU_KEY) << PTE_KEY_UP;
        op.clear |= PTE_KEY;
        flush_note(flush, start, end); /* a translation that a CPU knows has the old key */
    }
    return slots_walk(&op, start, end, protect_slot);
}

/* ---- move ---- */

/* First pass: the tables that the entries will need, so that the second cannot fail. */
static int move_prepare_slot(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    vaddr_t to = start + op->delta;

    if (unlikely(*pde & PTE_LARGE)) {
        if (covers(*pde, start, end) && to % large_bytes(*pde) == 0) {
            pte_t *to_pde = large_place(op->space, to, *pde);
            if (to_pde == NULL) {
                return -ENOMEM;
            }
            if (*to_pde == 0) {
                return 0; /* goes over whole */
            }
        }
        int err = large_cut(op, pde);
        if (err != 0) {
            return err;
        }
    }
    if (pte_table_page(pte_table(*pde))->private == 0) {
        return 0;
    }
    /* The destination lies under one or two level-2 entries. */
    for (vaddr_t va = to; va < to + (end - start);
         va = ALIGN_DOWN(va, HUGE_PAGE_SIZE) + HUGE_PAGE_SIZE) {
        pte_t *to_pde = pde_create(op->space, va);
        if (to_pde == NULL || table_below(op->space, to_pde) == NULL) {
            return -ENOMEM;
        }
    }
    return 0;
}

static void move_large(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    pte_t *to = large_place(op->space, start + op->delta, *pde); /* the tables are there */

    *to = *pde;
    (void)atomic_fetch_add_relaxed(&pte_table_page(to)->private, 1);
    atomic_store_relaxed(pde, 0);
    (void)atomic_fetch_sub_relaxed(&pte_table_page(pde)->private, 1);
    flush_note(op->flush, start, end);
}

static int move_slot(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    if (unlikely(*pde & PTE_LARGE)) {
        move_large(op, pde, start, end);
        return 0;
    }
    pte_t *pte = pte_table(*pde) + pte_index(start, PAGE_SHIFT);
    unsigned used = pte_table_page(pte)->private;
    unsigned left = used;

    for (vaddr_t va = start; va < end && left > 0; va += PAGE_SIZE, pte++) {
        vaddr_t skip;

        if (*pte == 0) {
            continue;
        }
        left--;
        pte_t *to = pte_table(*pde_find(op->space, va + op->delta, &skip)) +
                    pte_index(va + op->delta, PAGE_SHIFT);
        *to = *pte;
        *pte = 0;
        (void)atomic_fetch_add_relaxed(&pte_table_page(to)->private, 1);
        flush_note(op->flush, va, va + PAGE_SIZE);
    }
    (void)atomic_fetch_sub_relaxed(&pte_table_page(pte_table(*pde))->private, used - left);
    return 0;
}

int mmu_move(struct mmu_space *space, vaddr_t from, vaddr_t to, uint64_t len_bytes,
             struct mmu_flush *flush)
{
    struct range_op op = {.space = space, .flush = flush, .delta = to - from};
    int err = slots_walk(&op, from, from + len_bytes, move_prepare_slot);

    return err < 0 ? err : slots_walk(&op, from, from + len_bytes, move_slot);
}

/* ---- copy ---- */

static int copy_large(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    pte_t pte = pte_from_large(*pde);
    pte_t *to = large_place(op->dst, start, *pde);

    if (to == NULL) {
        return -ENOMEM;
    }
    if (!op->copy(op->arg, start, pte_phys(pte), pte_flags(pte) | MMU_HUGE)) {
        return 0;
    }
    if (op->cow && (pte & PTE_WRITE)) {
        pte &= ~PTE_WRITE;
        atomic_store_relaxed(pde, pte_to_large(pte));
        flush_note(op->flush, start, end);
    }
    *to = pte_to_large(pte);
    (void)atomic_fetch_add_relaxed(&pte_table_page(to)->private, 1);
    large_count(pte, 1);
    return 0;
}

static __noinline int copy_slot(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    if (unlikely(*pde & PTE_LARGE)) {
        if (covers(*pde, start, end)) {
            return copy_large(op, pde, start, end);
        }
        int err = large_cut(op, pde);
        if (err != 0) {
            return err;
        }
    }
    pte_t *pte = pte_table(*pde) + pte_index(start, PAGE_SHIFT);
    unsigned left = pte_table_page(pte)->private;
    pte_t *to_pde = left == 0 ? NULL : pde_create(op->dst, start);
    pte_t *to = to_pde == NULL ? NULL : table_below(op->dst, to_pde);
    const pte_t protect = op->cow ? PTE_WRITE : 0;
    struct pte_bits last = {0};
    pte_t all = 0;
    unsigned copied = 0;

    if (to == NULL) {
        return left == 0 ? 0 : -ENOMEM;
    }
    to += pte_index(start, PAGE_SHIFT);
    for (vaddr_t va = start; va < end && left > 0; va += PAGE_SIZE, pte++, to++) {
        pte_t value = *pte;

        if (value == 0) {
            continue;
        }
        left--;
        if (!op->copy(op->arg, va, pte_phys(value), pte_flags_cached(value, &last))) {
            continue;
        }
        all |= value;
        value &= ~protect;
        atomic_store_relaxed(pte, value);
        *to = value;
        copied++;
    }
    if (all & protect) {
        flush_note(op->flush, start, end);
    }
    (void)atomic_fetch_add_relaxed(&phys_to_page(*to_pde & PTE_ADDRESS)->private, copied);
    return 0;
}

int mmu_copy(struct mmu_space *dst, struct mmu_space *src, vaddr_t start, vaddr_t end, bool cow,
             struct mmu_flush *src_flush, mmu_copy_fn *fn, void *arg)
{
    struct range_op op = {.space = src, .flush = src_flush, .arg = arg};

    op.dst = dst;
    op.copy = fn;
    op.cow = cow;
    return slots_walk(&op, start, end, copy_slot);
}

/* ---- age ---- */

static int age_slot(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    if (*pde & PTE_LARGE) {
        if (__atomic_fetch_and(pde, ~PTE_ACCESSED, __ATOMIC_RELAXED) & PTE_ACCESSED) {
            op->count++;
            flush_note(op->flush, start, end);
        }
        return 0;
    }
    pte_t *pte = pte_table(*pde) + pte_index(start, PAGE_SHIFT);

    for (vaddr_t va = start; va < end; va += PAGE_SIZE, pte++) {
        if ((*pte & (PTE_PRESENT | PTE_ACCESSED)) != (PTE_PRESENT | PTE_ACCESSED)) {
            continue;
        }
        (void)__atomic_fetch_and(pte, ~PTE_ACCESSED, __ATOMIC_RELAXED);
        op->count++;
        flush_note(op->flush, va, va + PAGE_SIZE);
    }
    return 0;
}

size_t mmu_clear_accessed(struct mmu_space *space, vaddr_t start, vaddr_t end,
                          struct mmu_flush *flush)
{
    struct range_op op = {.space = space, .flush = flush};

    (void)slots_walk(&op, start, end, age_slot);
    return op.count;
}

/* ---- look ---- */

static int walk_slot(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    pte_t large = atomic_load_relaxed(pde);

    if (unlikely(large == 0)) { /* it went meanwhile */
        return 0;
    }
    if (large & PTE_LARGE) {
        uint64_t first = (start & (large_bytes(large) - 1)) >> PAGE_SHIFT;
        pte_t pte = pte_advance(pte_from_large(large), first);
        return op->walk(op->arg, start, pte_phys(pte), pte_flags(pte) | MMU_HUGE,
                        (end - start) >> PAGE_SHIFT)
                   ? 0
                   : -EAGAIN;
    }
    pte_t *pte = pte_table(large) + pte_index(start, PAGE_SHIFT);
    struct pte_bits last = {0};
    unsigned left = atomic_load_relaxed(&pte_table_page(pte)->private);

    for (vaddr_t va = start; va < end && left > 0; va += PAGE_SIZE, pte++) {
        pte_t value = atomic_load_relaxed(pte);

        if (value == 0) {
            continue;
        }
        left--;
        if (!op->walk(op->arg, va, pte_phys(value), pte_flags_cached(value, &last), 1)) {
            return -EAGAIN;
        }
    }
    return 0;
}

int mmu_walk(struct mmu_space *space, vaddr_t start, vaddr_t end, mmu_walk_fn *fn, void *arg)
{
    struct range_op op = {.space = space, .arg = arg, .walk = fn};

    return slots_do(&op, start, end, walk_slot, false);
}

static int found_slot(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    (void)pde;
    (void)end;
    op->delta = start;
    return -EEXIST;
}

vaddr_t mmu_skip_hole(struct mmu_space *space, vaddr_t va, vaddr_t end)
{
    struct range_op op = {.space = space};

    return slots_do(&op, va, end, found_slot, false) == 0 ? end : op.delta;
}
