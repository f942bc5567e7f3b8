/*
 * User address spaces: single entries, and which space a CPU uses. Ranges: mmu_range.c; kernel mappings: mmu_kernel.c.
 */
#include "kernel/machine/mmu.h"

#include "hal/x86_64/features.h"
#include "hal/x86_64/percpu.h"
#include "hal/x86_64/pte.h"
#include "hal/x86_64/regs.h"
#include "hal/x86_64/tlb.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"

struct mmu_format mmu_format __ro_after_init;

static uint64_t last_id = 1; /* [a] the kernel's */

int mmu_space_init(struct mmu_space *space, struct mmu_locks *locks)
{
    struct page *root = root_alloc();

    if (root == NULL) {
        return -ENOMEM;
    }
    *space = (struct mmu_space){
        .root = page_to_phys(root),
        .locks = locks,
        .id = atomic_fetch_add_relaxed(&last_id, 1) + 1,
        .ntables = 1,
    };
    return 0;
}

/* Free the tables under the first entries of one of the given level. No leaf is left: somebody's page would be lost. */
static void table_tree_free(pte_t *table, unsigned level, unsigned nentries)
{
    for (unsigned i = 0; i < nentries; i++) {
        if (table[i] == 0) {
            continue;
        }
        BUG_ON(level == 1 || !pte_is_table(table[i]));
        struct page *page = phys_to_page(table[i] & PTE_ADDRESS);
        if (page->private != 0) {
            table_tree_free(page_to_virt(page), level - 1, PTES_PER_TABLE);
            page->private = 0;
        }
        table[i] = 0;
        table_free(page);
    }
}

void mmu_space_fini(struct mmu_space *space)
{
    struct page *root = phys_to_page(space->root);

    tlb_space_leave(space);
    if (unlikely(root->private != 0)) {
        /* Tables that stayed when their last entry went. */
        table_tree_free(phys_to_virt(space->root), mmu_format.la57 ? 5 : 4, PTES_PER_TABLE / 2);
        root->private = 0;
    }
    root_free(root);
    space->root = 0;
}

/*
 * What is over va at level 2, or the 1 GiB leaf above that; 0: nothing. Each entry on the way is read once: whoever looks without the
 * block's lock sees a leaf either whole or taken apart.
 */
static __always_inline pte_t upper_entry(const struct mmu_space *space, vaddr_t va)
{
    const pte_t *table = phys_to_virt(space->root);
    pte_t value;

    if (unlikely(mmu_format.la57)) {
        value = atomic_load_relaxed(table + pte_index(va, PML5E_SHIFT));
        if (value == 0) {
            return 0;
        }
        table = pte_table(value);
    }
    value = atomic_load_relaxed(table + pte_index(va, PML4E_SHIFT));
    if (unlikely(value == 0)) {
        return 0;
    }
    value = atomic_load_relaxed(pte_table(value) + pte_index(va, PDPTE_SHIFT));
    if (unlikely(!pte_is_table(value))) {
        return value;
    }
    return atomic_load_relaxed(pte_table(value) + pte_index(va, PDE_SHIFT));
}

/* The table of last-level entries over va, when the whole way to it is there; NULL: not so, or there is a large leaf. */
static __always_inline pte_t *last_table(const struct mmu_space *space, vaddr_t va)
{
    pte_t value = upper_entry(space, va);

    return unlikely(!pte_is_table(value)) ? NULL : pte_table(value);
}

/* The last-level entry of `va` if it is in use and not part of a large leaf. */
static __always_inline pte_t *pte_find(const struct mmu_space *space, vaddr_t va)
{
    pte_t *table = last_table(space, va);

    if (table == NULL) {
        return NULL;
    }
    pte_t *pte = table + pte_index(va, PAGE_SHIFT);
    return *pte == 0 ? NULL : pte;
}

static inline int entry_set(pte_t *table, vaddr_t va, pte_t pte)
{
    pte_t old = 0;

    if (unlikely(!atomic_cas(table + pte_index(va, PAGE_SHIFT), &old, pte))) {
        return -EEXIST;
    }
    (void)atomic_fetch_add_relaxed(&pte_table_page(table)->private, 1);
    return 0;
}

static __noinline int map_slow(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags)
{
    pte_t *pde = pde_create(space, va);

    if (pde == NULL) {
        return -ENOMEM;
    }
    pte_t *table = table_below(space, pde);
    if (table == NULL) {
        return -ENOMEM;
    }
    return (*pde & PTE_LARGE) ? -EEXIST : entry_set(table, va, pte_make(pa, flags));
}

/* Mostly the tables are there: what makes them is called last, so that nothing is saved. */
int mmu_map(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags)
{
    pte_t *table = last_table(space, va);

    if (unlikely(table == NULL)) {
        return map_slow(space, va, pa, flags);
    }
    return entry_set(table, va, pte_make(pa, flags));
}

int mmu_map_huge(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags)
{
    pte_t *pde = pde_create(space, va);
    pte_t old = 0;

    if (pde == NULL) {
        return -ENOMEM;
    }
    if (!atomic_cas(pde, &old, pte_to_large(pte_make(pa, flags)))) {
        return -EEXIST;
    }
    (void)atomic_fetch_add_relaxed(&pte_table_page(pde)->private, 1);
    large_count(*pde, 1);
    return 0;
}

int mmu_map_giant(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags)
{
    pte_t *entry = pdpte_create(space, va);
    pte_t old = 0;

    BUG_ON((flags & MMU_SPECIAL) == 0);
    if (!cpu_features.gigabyte_pages) {
        return -EOPNOTSUPP;
    }
    if (entry == NULL) {
        return -ENOMEM;
    }
    if (!atomic_cas(entry, &old, pte_to_large(pte_make(pa, flags)) | PTE_GIANT)) {
        return -EEXIST;
    }
    (void)atomic_fetch_add_relaxed(&pte_table_page(entry)->private, 1);
    return 0;
}

int mmu_cut(struct mmu_space *space, vaddr_t at)
{
    vaddr_t skip;
    pte_t *pde;
    int err = 0;

    while (err == 0 && (pde = pde_find(space, at, &skip)) != NULL && (*pde & PTE_LARGE) &&
           !IS_ALIGNED(at, large_bytes(*pde))) {
        err = large_split(space, pde);
    }
    return err;
}

int mmu_split_huge(struct mmu_space *space, vaddr_t va)
{
    vaddr_t skip;
    pte_t *pde;
    int err = 0;

    while (err == 0 && (pde = pde_find(space, va, &skip)) != NULL && (*pde & PTE_LARGE)) {
        err = large_split(space, pde); /* 1 GiB becomes 2 MiB first */
    }
    return err;
}

int mmu_map_pages(struct mmu_space *space, vaddr_t va, struct page **pages, unsigned n,
                  unsigned flags)
{
    pte_t *pde = pde_create(space, va);
    pte_t *table = pde == NULL ? NULL : table_below(space, pde);
    pte_t bits = pte_make(0, flags); /* where there are no rights, the address is inverted */
    unsigned mapped = 0;

    if (unlikely(table == NULL || (*pde & PTE_LARGE))) {
        return 0;
    }
    pte_t *pte = table + pte_index(va, PAGE_SHIFT);
    for (unsigned i = 0; i < n; i++) {
        pte_t old = 0;

        if (pages[i] == NULL || atomic_load_relaxed(&pte[i]) != 0) {
            continue;
        }
        if (atomic_cas(&pte[i], &old, bits ^ page_to_phys(pages[i]))) {
            pages[i] = NULL;
            mapped++;
        }
    }
    (void)atomic_fetch_add_relaxed(&pte_table_page(table)->private, mapped);
    return (int)mapped;
}

bool mmu_query(struct mmu_space *space, vaddr_t va, paddr_t *ret_pa, unsigned *ret_flags)
{
    ASSERT(va < USER_TOP || space == &mmu_kernel);
    pte_t upper = upper_entry(space, va);

    if (unlikely(!pte_is_table(upper))) {
        pte_t pte = pte_from_large(upper);
        if (upper == 0) {
            return false;
        }
        *ret_pa = pte_phys(pte) + (va & (large_bytes(upper) - 1) & ~(PAGE_SIZE - 1));
        *ret_flags = pte_flags(pte) | MMU_HUGE;
        return true;
    }
    pte_t pte = atomic_load_relaxed(pte_table(upper) + pte_index(va, PAGE_SHIFT));
    if (pte == 0 || unlikely(pte_is_soft(pte))) {
        return false;
    }
    *ret_pa = pte_phys(pte);
    *ret_flags = pte_flags(pte);
    return true;
}

bool mmu_query_soft(struct mmu_space *space, vaddr_t va, uint64_t *ret_value)
{
    pte_t *entry = pte_find(space, va);
    pte_t pte = entry == NULL ? 0 : atomic_load_relaxed(entry);

    if (!pte_is_soft(pte)) {
        return false;
    }
    *ret_value = pte_phys(pte) >> PAGE_SHIFT;
    return true;
}

bool mmu_age(struct mmu_space *space, vaddr_t va)
{
    vaddr_t skip;
    pte_t *table = last_table(space, va);
    pte_t *entry = table == NULL ? pde_find(space, va, &skip) : table + pte_index(va, PAGE_SHIFT);

    if (entry == NULL || (table == NULL && (*entry & PTE_LARGE) == 0)) {
        return false;
    }
    return (*entry & (PTE_PRESENT | PTE_ACCESSED)) == (PTE_PRESENT | PTE_ACCESSED) &&
           (__atomic_fetch_and(entry, ~PTE_ACCESSED, __ATOMIC_RELAXED) & PTE_ACCESSED) != 0;
}

void mmu_remove(struct mmu_space *space, vaddr_t va, struct mmu_flush *flush)
{
    pte_t *pte = pte_find(space, va);

    BUG_ON(pte == NULL);
    pte_t old = __atomic_exchange_n(pte, 0, __ATOMIC_ACQ_REL);
    (void)atomic_fetch_sub_relaxed(&pte_table_page(pte)->private, 1);
    if ((old & PTE_PRESENT) != 0) {
        flush_note(flush, va, va + PAGE_SIZE);
    }
}

void mmu_replace_soft(struct mmu_space *space, vaddr_t va, uint64_t value, struct mmu_flush *flush)
{
    pte_t *pte = pte_find(space, va);

    BUG_ON(pte == NULL || value >> MMU_SOFT_BITS != 0);
    pte_t old = __atomic_exchange_n(pte, pte_make_soft(value), __ATOMIC_ACQ_REL);
    if ((old & PTE_PRESENT) != 0) {
        flush_note(flush, va, va + PAGE_SIZE);
    }
}

/*
 * The same page with more rights needs no flush: a CPU that still knows the old entry faults, forgets it by that, and finds the new
 * one (Intel SDM volume 3, 4.10.4.3).
 */
static inline bool must_flush(pte_t old, pte_t new)
{
    return (old & PTE_PRESENT) != 0 && (((old ^ new) & PTE_ADDRESS) != 0 ||
                                        (old & ~new &PTE_WRITE) != 0 || (new & ~old &PTE_NX) != 0);
}

void mmu_replace(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags,
                 struct mmu_flush *flush)
{
    pte_t *pte = pte_find(space, va);

    BUG_ON(pte == NULL);
    pte_t old = atomic_load_relaxed(pte);
    pte_t new = pte_make(pa, flags);
    atomic_store_relaxed(pte, new);
    if (must_flush(old, new)) {
        flush_note(flush, va, va + PAGE_SIZE);
    }
}

/* An entry that is not present, because nobody has any rights, shows that page. */
static __noinline bool absent_shows(pte_t pte, paddr_t pa)
{
    return pte != 0 && (pte & PTE_PRESENT) == 0 && !pte_is_soft(pte) && pte_phys(pte) == pa;
}

bool mmu_exchange(struct mmu_space *space, vaddr_t va, paddr_t old_pa, paddr_t pa, unsigned flags,
                  struct mmu_flush *flush)
{
    pte_t upper = upper_entry(space, va);

    if (unlikely(!pte_is_table(upper))) {
        return false;
    }
    pte_t *pte = pte_table(upper) + pte_index(va, PAGE_SHIFT);
    pte_t old = atomic_load_relaxed(pte);
    if (unlikely(((old ^ old_pa) & (PTE_ADDRESS | PTE_WRITE | PTE_PRESENT)) != PTE_PRESENT) &&
        !absent_shows(old, old_pa)) {
        return false;
    }
    atomic_store_relaxed(pte, pte_make(pa, flags));
    if (likely(old & PTE_PRESENT)) {
        flush_note(flush, va, va + PAGE_SIZE);
    }
    return true;
}

void mmu_replace_huge(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags,
                      struct mmu_flush *flush)
{
    vaddr_t skip;
    pte_t *pde = pde_find(space, va, &skip);

    BUG_ON(pde == NULL || (*pde & PTE_LARGE) == 0);
    uint64_t size = large_bytes(*pde);
    pte_t old = pte_from_large(*pde);
    pte_t new = pte_make(pa, flags) | (old & PTE_GIANT);
    atomic_store_relaxed(pde, pte_to_large(new));
    large_count(old, -1);
    large_count(new, 1);
    if (must_flush(old, new)) {
        flush_note(flush, ALIGN_DOWN(va, size), ALIGN_DOWN(va, size) + size);
    }
}

void mmu_switch(struct mmu_space *space)
{
    struct mmu_space *old = this_x86_cpu->active_space;
    unsigned id = cpu_id();

    if (space == NULL) {
        tlb_be_lazy();
        return;
    }
    tlb_be_busy();
    if (space == old) {
        tlb_catch_up(space);
        return;
    }
    /* The bit is set before the tables are used, so whoever changes them finds it; and cleared after. */
    (void)atomic_fetch_or(&space->cpus[id / 64], 1ull << id % 64);
    this_x86_cpu->active_space = space;
    tlb_use(space);
    if (old != NULL) {
        (void)atomic_fetch_and(&old->cpus[id / 64], ~(1ull << id % 64));
    }
}
