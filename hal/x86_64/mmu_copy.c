/*
 * Entries that go to another place: mremap (move) and fork (copy). The walk that both share: mmu_walk.h.
 */
#include "hal/x86_64/mmu_walk.h"

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
        return large_cut(op, pde);
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

/* The entries from pte on, which show [va, end), go to one table. How many there were, at most max. */
static unsigned move_run(struct range_op *op, pte_t *pte, vaddr_t va, vaddr_t end, unsigned max)
{
    vaddr_t skip;
    pte_t *to = pte_table(*pde_find(op->space, va + op->delta, &skip)) +
                pte_index(va + op->delta, PAGE_SHIFT);
    const pte_t *last = pte + ((end - va) >> PAGE_SHIFT);
    unsigned moved = 0;

    for (; pte < last && moved < max; pte++, to++) {
        if (*pte != 0) {
            *to = *pte;
            *pte = 0;
            moved++;
        }
    }
    (void)atomic_fetch_add_relaxed(&pte_table_page(to - 1)->private, moved);
    return moved;
}

static int move_slot(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    if (unlikely(*pde & PTE_LARGE)) {
        move_large(op, pde, start, end);
        return 0;
    }
    pte_t *first = pte_table(*pde) + pte_index(start, PAGE_SHIFT);
    const unsigned used = pte_table_page(first)->private;
    unsigned left = used;

    for (vaddr_t va = start, next; va < end && left > 0; va = next) {
        next = MIN(end, va + HUGE_PAGE_SIZE - (va + op->delta) % HUGE_PAGE_SIZE);
        left -= move_run(op, first + ((va - start) >> PAGE_SHIFT), va, next, left);
    }
    if (left < used) {
        flush_note(op->flush, start, end);
        (void)atomic_fetch_sub_relaxed(&pte_table_page(first)->private, used - left);
    }
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
    paddr_t pa = pte_phys(pte);
    pte_t *to = large_place(op->dst, start, *pde);

    if (to == NULL) {
        return -ENOMEM;
    }
    if (!op->copy(op->arg, start, &pa, 1, pte_flags(pte) | MMU_HUGE)) {
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

/* An entry that is not present. True: it was copied. */
static __noinline bool copy_absent(const struct range_op *op, pte_t *pte, pte_t *to, vaddr_t va)
{
    pte_t value = *pte;
    paddr_t pa = pte_phys(value);

    if (!op->copy(op->arg, va, &pa, 1, pte_flags(value))) {
        return false;
    }
    if (op->cow && !pte_is_soft(value)) {
        value &= ~PTE_WRITE;
        atomic_store_relaxed(pte, value);
    }
    *to = value;
    return true;
}

/*
 * Copy the entries from pte on that are present and have the same bits as the first. Returns how many there are, at most max; *copied
 * counts those that were copied. *all gathers their bits.
 */
static __always_inline unsigned copy_run(const struct range_op *op, pte_t *pte, pte_t *to,
                                         unsigned max, vaddr_t va, unsigned *copied, pte_t *all)
{
    const pte_t bits = *pte & ~PTE_ADDRESS;
    const pte_t now = op->cow ? bits & ~PTE_WRITE : bits;
    paddr_t pas[MMU_RUN];
    unsigned n = 0;

    do {
        pas[n] = pte[n] & PTE_ADDRESS;
        n++;
    } while (n < max && (pte[n] & ~PTE_ADDRESS) == bits);
    if (unlikely(!op->copy(op->arg, va, pas, n, pte_flags(bits)))) {
        return n;
    }
    if (now == bits) {
        for (unsigned i = 0; i < n; i++) {
            to[i] = pas[i] | now;
        }
    } else {
        for (unsigned i = 0; i < n; i++) {
            to[i] = pas[i] | now;
            atomic_store_relaxed(&pte[i], pas[i] | now);
        }
    }
    *copied += n;
    *all |= bits;
    return n;
}

static __noinline int copy_slot(struct range_op *op, pte_t *pde, vaddr_t start, vaddr_t end)
{
    if (unlikely(*pde & PTE_LARGE)) {
        if (covers(*pde, start, end)) {
            return copy_large(op, pde, start, end);
        }
        return large_cut(op, pde);
    }
    pte_t *const first = pte_table(*pde) + pte_index(start, PAGE_SHIFT);
    const pte_t *last = first + ((end - start) >> PAGE_SHIFT);
    unsigned left = pte_table_page(first)->private;
    pte_t *to_pde = left == 0 ? NULL : pde_create(op->dst, start);
    pte_t *to = to_pde == NULL ? NULL : table_below(op->dst, to_pde);
    pte_t all = 0;
    unsigned copied = 0;

    if (to == NULL) {
        return left == 0 ? 0 : -ENOMEM;
    }
    to += pte_index(start, PAGE_SHIFT);
    for (pte_t *pte = first; left > 0 && (pte = entry_next(pte, last)) < last;) {
        vaddr_t va = start + ((vaddr_t)(pte - first) << PAGE_SHIFT);
        unsigned n = 1;

        if (likely(*pte & PTE_PRESENT)) {
            unsigned max = MIN(MMU_RUN, (unsigned)(last - pte));
            n = copy_run(op, pte, to + (pte - first), max, va, &copied, &all);
        } else {
            copied += copy_absent(op, pte, to + (pte - first), va);
        }
        left -= n;
        pte += n;
    }
    if (op->cow && (all & PTE_WRITE)) {
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
