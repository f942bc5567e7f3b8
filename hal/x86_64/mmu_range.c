/*
 * Operations on ranges of user pages: unmap, protect, age, look. Move and copy: mmu_copy.c; the walk that all share: mmu_walk.h.
 */
#include "hal/x86_64/mmu_walk.h"

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
    paddr_t pa = pte_phys(pte);

    atomic_store_relaxed(pde, 0);
    flush_note(op->flush, start, end);
    entries_removed(op, pde, 1);
    large_count(pte, -1);
    bool more = op->unmap == NULL || op->unmap(op->arg, start, &pa, 1, pte_flags(pte) | MMU_HUGE);
    return more ? 0 : -EAGAIN;
}

/* An entry that is not present: a soft one, or without any rights. It goes alone, since what it holds is stored inverted. */
static __noinline bool unmap_absent(const struct range_op *op, pte_t old, vaddr_t va)
{
    paddr_t pa = pte_phys(old);

    return op->unmap == NULL || op->unmap(op->arg, va, &pa, 1, pte_flags(old));
}

/*
 * Clear the entries from pte on that are present and have the same bits as the first, whose value is `old`: neighbours mostly do. Returns
 * how many, at most max; *ret_more: what the callback said.
 */
static __always_inline unsigned unmap_run(const struct range_op *op, pte_t *pte, pte_t old,
                                          unsigned max, vaddr_t va, bool *ret_more)
{
    const pte_t bits = old & ~PTE_ADDRESS;
    paddr_t pas[MMU_RUN];
    unsigned n = 0;

    do {
        pte[n] = 0;
        pas[n++] = old & PTE_ADDRESS;
    } while (n < max && ((old = pte[n]) & ~PTE_ADDRESS) == bits);
    *ret_more = op->unmap == NULL || op->unmap(op->arg, va, pas, n, pte_flags(bits));
    return n;
}

static __noinline int unmap_slot(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    if (unlikely(*pde & PTE_LARGE)) {
        if (covers(*pde, start, end)) {
            return unmap_large(op, pde, start, end);
        }
        return large_cut(op, pde);
    }
    pte_t *first = pte_table(*pde) + pte_index(start, PAGE_SHIFT);
    pte_t *pte = first;
    const pte_t *last = first + ((end - start) >> PAGE_SHIFT);
    const unsigned used = atomic_load_relaxed(&pte_table_page(first)->private);
    unsigned left = used;
    bool more = true;

    while (left > 0 && more && (pte = entry_next(pte, last)) < last) {
        pte_t old = *pte;
        vaddr_t va = start + ((vaddr_t)(pte - first) << PAGE_SHIFT);
        unsigned n = 1;
        if (likely(old & PTE_PRESENT)) {
            n = unmap_run(op, pte, old, MIN(MMU_RUN, (unsigned)(last - pte)), va, &more);
        } else {
            *pte = 0;
            more = unmap_absent(op, old, va);
        }
        pte += n;
        left -= n;
    }
    if (left != used) {
        flush_note(op->flush, start, start + ((vaddr_t)(pte - first) << PAGE_SHIFT));
    }
    entries_removed(op, first, used - left);
    return likely(more) ? 0 : -EAGAIN;
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

/*
 * The entries from pte on that have the same bits as the first, which mostly are many: one after another becomes what the first does. Returns
 * the first that has others. *ret_shrinks: a CPU that still knows them could do too much.
 */
static __always_inline pte_t *protect_run(const struct range_op *op, pte_t *pte, const pte_t *last,
                                          bool *ret_shrinks)
{
    const pte_t bits = *pte & ~PTE_ADDRESS;
    pte_t old = *pte;
    pte_t new = protect_entry(op, old);
    pte_t change = old ^ new;

    *ret_shrinks = rights_shrink(old, new);
    if (unlikely((change & PTE_PRESENT) || pte_is_soft(old))) {
        *pte = new; /* alone: its address is stored otherwise from now on, or is none */
        return pte + 1;
    }
    if (change == 0) {
        do {
            pte++;
        } while (pte < last && (*pte & ~PTE_ADDRESS) == bits);
        return pte;
    }
    do {
        atomic_store_relaxed(pte, old ^ change);
        pte++;
    } while (pte < last && ((old = *pte) & ~PTE_ADDRESS) == bits);
    return pte;
}

static __noinline int protect_slot(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    if (unlikely(*pde & PTE_LARGE)) {
        if (covers(*pde, start, end)) {
            return protect_large(op, pde, start, end);
        }
        return large_cut(op, pde);
    }
    pte_t *const first = pte_table(*pde) + pte_index(start, PAGE_SHIFT);
    const pte_t *last = first + ((end - start) >> PAGE_SHIFT);
    const pte_t *shrunk_first = NULL;
    const pte_t *shrunk_last = NULL;
    unsigned left = atomic_load_relaxed(&pte_table_page(first)->private);

    for (pte_t *pte = first; left > 0 && (pte = entry_next(pte, last)) < last;) {
        pte_t *run = pte;
        bool shrinks;

        pte = protect_run(op, run, last, &shrinks);
        left -= (unsigned)(pte - run);
        if (shrinks) {
            shrunk_first = shrunk_first == NULL ? run : shrunk_first;
            shrunk_last = pte;
        }
    }
    if (shrunk_first != NULL) {
        flush_note(op->flush, start + ((vaddr_t)(shrunk_first - first) << PAGE_SHIFT),
                   start + ((vaddr_t)(shrunk_last - first) << PAGE_SHIFT));
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

static __noinline int give_write_slot(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    const pte_t bits = PTE_PRESENT | PTE_DIRTY | PTE_WRITE | PTE_SPECIAL;

    if (unlikely(*pde & PTE_LARGE)) {
        return 0;
    }
    pte_t *pte = pte_table(*pde) + pte_index(start, PAGE_SHIFT);
    const pte_t *last = pte + ((end - start) >> PAGE_SHIFT);
    unsigned left = atomic_load_relaxed(&pte_table_page(pte)->private);

    while (left > 0 && pte < last) {
        pte_t old = *pte;
        if (old == 0) {
            pte = entry_next(pte, last);
            continue;
        }
        if ((old & bits) == (PTE_PRESENT | PTE_DIRTY) && op->may_write(pte_phys(old))) {
            atomic_store_relaxed(pte, old | PTE_WRITE);
        }
        left--;
        pte++;
    }
    return 0;
}

void mmu_give_write(struct mmu_space *space, vaddr_t start, vaddr_t end, mmu_may_write_fn *fn)
{
    struct range_op op = {.space = space, .may_write = fn};

    (void)slots_walk(&op, start, end, give_write_slot);
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
