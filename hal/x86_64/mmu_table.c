/*
 * Pages that hold page tables of user spaces, and the tree that they form.
 *
 * A table page counts its entries in use (page->private), so a range walk knows when it has seen the last one, and a table that becomes
 * empty is noticed. A table without entries is all zero: it goes to a per-CPU list and serves as a new one without being cleared.
 * The same holds for top tables, whose kernel half never changes after boot. This is what makes fork and exit cheap.
 *
 * Concurrency: two faults may install the same table at once: the entry is set by compare-and-swap, the loser gives its page back. Tables
 * are taken out under locks->shape, and only where no region is (struct mmu_flush, floor and ceiling).
 *
 * Locks: the per-CPU lists with preemption off.
 */
#include "hal/x86_64/pte.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/percpu.h"
#include "kernel/machine/preempt.h"

#define CACHED_TABLES 24u
#define CACHED_ROOTS  4u

struct table_list {
    struct page *first; /* linked by next_table */
    unsigned count;
};

struct table_cache {
    struct table_list tables, roots;
};

static DEFINE_PER_CPU(struct table_cache, table_cache);

static struct page *list_pop(struct table_list *list)
{
    struct page *page = list->first;

    if (page != NULL) {
        list->first = page->next_table;
        list->count--;
    }
    return page;
}

static bool list_push(struct table_list *list, unsigned max, struct page *page)
{
    if (list->count >= max) {
        return false;
    }
    page->next_table = list->first;
    list->first = page;
    list->count++;
    return true;
}

struct page *table_alloc(void)
{
    preempt_disable();
    struct page *page = list_pop(&this_cpu_ptr(table_cache)->tables);
    preempt_enable();

    if (page == NULL) {
        page = frame_alloc(0, FRAME_ZERO, PAGE_TABLE);
        if (page != NULL) {
            page->private = 0;
        }
    }
    return page;
}

void table_free(struct page *page)
{
    preempt_disable();
    bool kept = list_push(&this_cpu_ptr(table_cache)->tables, CACHED_TABLES, page);
    preempt_enable();

    if (!kept) {
        frame_free(page);
    }
}

struct page *root_alloc(void)
{
    preempt_disable();
    struct page *page = list_pop(&this_cpu_ptr(table_cache)->roots);
    preempt_enable();

    if (page == NULL) {
        page = frame_alloc(0, FRAME_ZERO, PAGE_TABLE);
        if (page != NULL) {
            const pte_t *kernel = phys_to_virt(mmu_kernel.root);
            pte_t *root = page_to_virt(page);
            memcpy(root + PTES_PER_TABLE / 2, kernel + PTES_PER_TABLE / 2, PAGE_SIZE / 2);
            page->private = 0;
        }
    }
    return page;
}

void root_free(struct page *page)
{
    preempt_disable();
    bool kept = list_push(&this_cpu_ptr(table_cache)->roots, CACHED_ROOTS, page);
    preempt_enable();

    if (!kept) {
        frame_free(page);
    }
}

static void list_drain(struct table_list *list)
{
    struct page *page;

    while ((page = list_pop(list)) != NULL) {
        frame_free(page);
    }
}

void tables_drain_local(void)
{
    preempt_disable();
    list_drain(&this_cpu_ptr(table_cache)->tables);
    list_drain(&this_cpu_ptr(table_cache)->roots);
    preempt_enable();
}

static __noinline pte_t table_install(struct mmu_space *space, pte_t *entry)
{
    struct page *page = table_alloc();
    pte_t old = 0;

    if (page == NULL) {
        return 0;
    }
    /* Release: whoever finds the entry finds a cleared table. */
    if (!atomic_cas(entry, &old, page_to_phys(page) | PTE_TABLE_USER)) {
        table_free(page);
        return old;
    }
    (void)atomic_fetch_add_relaxed(&pte_table_page(entry)->private, 1);
    (void)atomic_fetch_add_relaxed(&space->ntables, 1);
    return *entry;
}

/* What is, or now is, behind an entry above the last level; 0: no memory. */
static inline pte_t entry_fill(struct mmu_space *space, pte_t *entry)
{
    pte_t value = atomic_load_relaxed(entry);

    return likely(value != 0) ? value : table_install(space, entry);
}

static __always_inline pte_t *pdpte_make(struct mmu_space *space, vaddr_t va)
{
    pte_t *table = phys_to_virt(space->root);
    pte_t value;

    if (unlikely(mmu_format.la57)) {
        value = entry_fill(space, table + pte_index(va, PML5E_SHIFT));
        if (value == 0) {
            return NULL;
        }
        table = pte_table(value);
    }
    value = entry_fill(space, table + pte_index(va, PML4E_SHIFT));
    if (value == 0) {
        return NULL;
    }
    return pte_table(value) + pte_index(va, PDPTE_SHIFT);
}

pte_t *pdpte_create(struct mmu_space *space, vaddr_t va)
{
    return pdpte_make(space, va);
}

pte_t *pde_create(struct mmu_space *space, vaddr_t va)
{
    pte_t *entry = pdpte_make(space, va);

    if (entry == NULL) {
        return NULL;
    }
    pte_t value = entry_fill(space, entry);
    if (unlikely(!pte_is_table(value))) {
        return value == 0 ? NULL : entry;
    }
    return pte_table(value) + pte_index(va, PDE_SHIFT);
}

pte_t *table_below(struct mmu_space *space, pte_t *pde)
{
    pte_t value = entry_fill(space, pde);

    return value == 0 ? NULL : pte_table(value);
}

void tables_prune(struct mmu_space *space, vaddr_t va, struct mmu_flush *flush)
{
    pte_t *path[5]; /* entries over va, from the top */
    unsigned shifts[5];
    unsigned depth = 0;
    pte_t *entry = phys_to_virt(space->root);

    for (unsigned shift = mmu_format.la57 ? PML5E_SHIFT : PML4E_SHIFT; shift >= PDE_SHIFT;
         shift -= 9) {
        entry += pte_index(va, shift);
        if (!pte_is_table(*entry)) {
            break;
        }
        shifts[depth] = shift;
        path[depth++] = entry;
        entry = pte_table(*entry);
    }
    while (depth-- > 0) {
        struct page *page = phys_to_page(*path[depth] & PTE_ADDRESS);

        unsigned shift = shifts[depth];
        vaddr_t start = va >> shift << shift;

        if (page->private != 0 || start < flush->floor ||
            start + (1ull << shift) > flush->ceiling) {
            return;
        }
        *path[depth] = 0;
        (void)__atomic_fetch_sub(&pte_table_page(path[depth])->private, 1, __ATOMIC_RELAXED);
        (void)atomic_fetch_sub_relaxed(&space->ntables, 1);
        page->next_table = flush->tables;
        flush->tables = page;
        flush->tables_freed = true;
    }
}

static uint64_t large_leaves, large_splits; /* [a] */

void large_count(pte_t leaf, int64_t n)
{
    if ((leaf & PTE_SPECIAL) == 0) {
        (void)atomic_fetch_add_relaxed(&large_leaves, (uint64_t)n);
    }
}

void large_figures(uint64_t *ret_leaves, uint64_t *ret_splits)
{
    *ret_leaves = atomic_load_relaxed(&large_leaves);
    *ret_splits = atomic_load_relaxed(&large_splits);
}

/*
 * No CPU knows the leaf any more, nor learns of it, since it is not present: who comes faults, and waits for the block's lock.
 */
static void large_hide(struct mmu_space *space, pte_t *pde)
{
    struct mmu_flush flush;

    mmu_flush_init(&flush, space);
    atomic_store_relaxed(pde, pte_to_large((pte_from_large(*pde) & ~PTE_PRESENT) ^ PTE_ADDRESS));
    flush_note(&flush, 0, USER_TOP); /* 2 MiB are too many to be forgotten one by one */
    mmu_flush_finish(&flush);
}

int large_split(struct mmu_space *space, pte_t *pde)
{
    struct page *page = table_alloc();
    bool giant = (*pde & PTE_GIANT) != 0;

    if (page == NULL) {
        return -ENOMEM;
    }
    pte_t first = giant ? *pde & ~PTE_GIANT : pte_from_large(*pde);
    pte_t *table = page_to_virt(page);
    for (unsigned i = 0; i < PTES_PER_TABLE; i++) {
        table[i] = pte_advance(first, giant ? i * PTES_PER_TABLE : i);
    }
    page->private = PTES_PER_TABLE;
    (void)atomic_fetch_add_relaxed(&space->ntables, 1);
    /*
     * Translations of both sizes may be known at once, for they say the same (SDM volume 3, 4.10.2.3). But there are processors that stop with a
     * machine check when they fetch an instruction by both (CVE-2018-12207).
     */
    if (unlikely((first & (PTE_PRESENT | PTE_NX)) == PTE_PRESENT)) {
        large_hide(space, pde);
    }
    atomic_store_release(pde, page_to_phys(page) | PTE_TABLE_USER);
    large_count(first, -1);
    (void)atomic_fetch_add_relaxed(&large_splits, 1);
    return 0;
}
