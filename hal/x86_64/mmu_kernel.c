/*
 * The kernel half: mappings of arenas, device memory, the page array; shared by all spaces.
 *
 * The loader's tables are used as they are at first; mmu_init() copies them, because the loader's memory is freed. With 4 levels each space has its own copy of the top table's upper half, so the entries there
 * are all made before the first space is (mmu_init()); tables below are shared and may be added at any time, by compare-and-swap. They stay
 * for ever and are not counted (the first are older than the page array).
 *
 * Locks: none; who maps a range owns it.
 */
#include "hal/x86_64/features.h"
#include "hal/x86_64/percpu.h"
#include "hal/x86_64/pte.h"
#include "hal/x86_64/regs.h"
#include "hal/x86_64/start.h"
#include "hal/x86_64/tlb.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/machine/io.h"
#include "kernel/machine/shadow.h"
#include "kernel/mm/arena.h"

struct mmu_space mmu_kernel = {.id = 1};

static bool top_sealed; /* spaces exist: the top table must not change */

extern uint8_t __text_start[], __rodata_end[], __ro_after_init_start[], __ro_after_init_end[];

void __init mmu_init_early(const struct boot_handoff *handoff)
{
    mmu_format.la57 = (cr4_read() & CR4_LA57) != 0;
    mmu_format.nx = cpu_features.nx ? PTE_NX : 0;
    mmu_kernel.root = handoff->page_table_root;
    this_x86_cpu->active_space = NULL;
}

/* The value of an entry above the last level, making the table behind it when it is empty; 0: no memory. */
static pte_t kernel_entry_fill(pte_t *entry)
{
    pte_t value = atomic_load_relaxed(entry), old = 0;

    if (value != 0) {
        return value;
    }
    struct page *page = frame_alloc(0, FRAME_ZERO, PAGE_TABLE);
    if (page == NULL) {
        return 0;
    }
    value = page_to_phys(page) | PTE_TABLE_KERNEL;
    if (!atomic_cas(entry, &old, value)) {
        frame_free(page);
        return old;
    }
    return value;
}

/* Cut a 1 GiB or 2 MiB leaf whose level has `shift` into a table of the next smaller ones; 0: no memory. */
static pte_t kernel_leaf_split(pte_t *entry, unsigned shift)
{
    struct page *page = frame_alloc(0, 0, PAGE_TABLE);
    pte_t first = *entry;

    if (page == NULL) {
        return 0;
    }
    pte_t *table = page_to_virt(page);
    if (shift == PDE_SHIFT) {
        first = pte_from_large(first);
    }
    for (uint64_t i = 0; i < PTES_PER_TABLE; i++) {
        table[i] = first + (i << (shift - 9));
    }
    atomic_store_release(entry, page_to_phys(page) | PTE_TABLE_KERNEL);
    return *entry;
}

/*
 * The entry of `va` in the table of the level with `to_shift`, making tables and cutting larger leaves on the way. NULL: no memory.
 */
static pte_t *kernel_entry_create(vaddr_t va, unsigned to_shift)
{
    pte_t *table = phys_to_virt(mmu_kernel.root);
    unsigned top = mmu_format.la57 ? PML5E_SHIFT : PML4E_SHIFT;

    for (unsigned shift = top;; shift -= 9) {
        pte_t *entry = table + pte_index(va, shift);

        if (shift == to_shift) {
            return entry;
        }
        if (shift == top && top_sealed && *entry == 0) {
            return NULL;
        }
        pte_t value = kernel_entry_fill(entry);
        if (value != 0 && shift <= PDPTE_SHIFT && (value & PTE_LARGE)) {
            value = kernel_leaf_split(entry, shift);
        }
        if (value == 0) {
            return NULL;
        }
        table = pte_table(value);
    }
}

/* The entry in use for `va` at whatever level its leaf is; *ret_shift says which. NULL: nothing, and the hole ends at *ret_skip. */
static pte_t *kernel_entry_find(vaddr_t va, unsigned *ret_shift, vaddr_t *ret_skip)
{
    pte_t *table = phys_to_virt(mmu_kernel.root);

    for (unsigned shift = mmu_format.la57 ? PML5E_SHIFT : PML4E_SHIFT;; shift -= 9) {
        pte_t *entry = table + pte_index(va, shift);

        if (*entry == 0) {
            *ret_skip = ((va >> shift) + 1) << shift;
            return NULL;
        }
        if (shift == PAGE_SHIFT || (shift <= PDPTE_SHIFT && (*entry & PTE_LARGE))) {
            *ret_shift = shift;
            return entry;
        }
        table = pte_table(*entry);
    }
}

static bool __init in_loader_memory(paddr_t pa)
{
    struct boot_mem mem;

    for (unsigned i = 0; boot_memory(i, &mem); i++) {
        if (pa >= mem.base && pa - mem.base < mem.length_bytes) {
            return mem.type == BOOT_MEM_LOADER;
        }
    }
    return false;
}

/* The address of a table of the given level, or of the copy that replaces it; the tables under it likewise. */
static paddr_t __init table_adopt(paddr_t pa, unsigned level)
{
    pte_t *table = phys_to_virt(pa);

    if (shadow_table_is_shared(pa)) {
        return pa;
    }
    if (in_loader_memory(pa)) {
        struct page *page = frame_alloc(0, 0, PAGE_TABLE);
        if (page == NULL) {
            panic("mmu: no memory for the kernel's page tables");
        }
        table = page_to_virt(page);
        page_copy(table, phys_to_virt(pa));
        pa = page_to_phys(page);
    }
    for (unsigned i = 0; i < PTES_PER_TABLE && level > 1; i++) {
        if (table[i] != 0 && (level > 3 || (table[i] & PTE_LARGE) == 0)) {
            table[i] = table_adopt(table[i] & PTE_ADDRESS, level - 1) | PTE_TABLE_KERNEL;
        }
    }
    return pa;
}

/* The arena holds memory, twice at most, and device windows: so many entries of the top table do. It is filled from below. */
static void __init arena_tables_create(void)
{
    struct frame_stats stats;
    pte_t *top = phys_to_virt(mmu_kernel.root);

    frame_stats(&stats);
    uint64_t n = 2 + 2 * (stats.total >> (PML4E_SHIFT - PAGE_SHIFT));
    n = MIN(n, BOOT_ARENA_SIZE >> PML4E_SHIFT);
    for (uint64_t i = 0; i < n; i++) {
        vaddr_t va = BOOT_ARENA + (i << PML4E_SHIFT);
        BUG_ON(kernel_entry_fill(top + pte_index(va, PML4E_SHIFT)) == 0);
    }
}

void __init mmu_init(void)
{
    pte_t *top = phys_to_virt(mmu_kernel.root);

    /* The loader's identity page, and whatever else was below. */
    memset(top, 0, PAGE_SIZE / 2);
    mmu_kernel.root = table_adopt(mmu_kernel.root, mmu_format.la57 ? 5 : 4);
    if (!mmu_format.la57) {
        arena_tables_create();
    }
    top_sealed = true;
    cr3_write(mmu_kernel.root);
    tlb_flush_kernel(0, UINT64_MAX);
    tlb_enable_pcid();
}

/* Does the leaf at `at` of a mapping of `end - at` bytes to `pa` want to be a large one? */
static bool leaf_is_large(vaddr_t at, paddr_t pa, vaddr_t end)
{
    return ((at | pa) & (HUGE_PAGE_SIZE - 1)) == 0 && end - at >= HUGE_PAGE_SIZE;
}

/* The entry of that leaf; *large becomes false where small pages were mapped before: their table stays. NULL: no memory. */
static pte_t *leaf_entry(vaddr_t at, bool *large)
{
    pte_t *entry = kernel_entry_create(at, *large ? PDE_SHIFT : PAGE_SHIFT);

    if (entry != NULL && *large && *entry != 0) {
        *large = false;
        entry = kernel_entry_create(at, PAGE_SHIFT);
    }
    return entry;
}

/*
 * All tables of a mapping, before its first entry: so a mapping that fails has nothing to take back, which would mean to tell other
 * CPUs, and callers may hold locks.
 */
static int tables_prepare(vaddr_t va, paddr_t pa, vaddr_t end)
{
    for (vaddr_t at = va; at < end; at = ALIGN_DOWN(at, HUGE_PAGE_SIZE) + HUGE_PAGE_SIZE) {
        bool large = leaf_is_large(at, pa + (at - va), end);
        if (leaf_entry(at, &large) == NULL) {
            return -ENOMEM;
        }
    }
    return 0;
}

int mmu_kernel_map(vaddr_t va, paddr_t pa, uint64_t len_bytes, unsigned flags)
{
    vaddr_t end = va + len_bytes;
    pte_t bits = pte_make(0, (flags | MMU_GLOBAL) & ~MMU_USER);

    if (shadow_back_arena(va, len_bytes) < 0 || tables_prepare(va, pa, end) < 0) {
        return -ENOMEM;
    }
    for (vaddr_t at = va; at < end;) {
        bool large = leaf_is_large(at, pa, end);
        pte_t *entry = leaf_entry(at, &large);

        BUG_ON(*entry != 0);
        atomic_store_relaxed(entry, large ? pte_to_large(bits | pa) : bits | pa);
        at += large ? HUGE_PAGE_SIZE : PAGE_SIZE;
        pa += large ? HUGE_PAGE_SIZE : PAGE_SIZE;
    }
    return 0;
}

int mmu_kernel_map_pages(vaddr_t va, struct page *const *pages, uint64_t n, unsigned flags)
{
    pte_t bits = pte_make(0, (flags | MMU_GLOBAL) & ~MMU_USER);

    /* PAGE_SIZE: an address with which no leaf is large. */
    if (shadow_back_arena(va, n * PAGE_SIZE) < 0 ||
        tables_prepare(va, va + PAGE_SIZE, va + n * PAGE_SIZE) < 0) {
        return -ENOMEM;
    }
    for (uint64_t i = 0; i < n;) {
        vaddr_t at = va + i * PAGE_SIZE;
        pte_t *entry = kernel_entry_create(at, PAGE_SHIFT);
        /* As many as this table holds. */
        uint64_t end = i + MIN(n - i, (uint64_t)PTES_PER_TABLE - pte_index(at, PAGE_SHIFT));
        for (; i < end; i++, entry++) {
            BUG_ON(*entry != 0);
            atomic_store_relaxed(entry, bits | page_to_phys(pages[i]));
        }
    }
    return 0;
}

void mmu_kernel_clear(vaddr_t va, uint64_t len_bytes)
{
    vaddr_t end = va + len_bytes;

    for (vaddr_t at = va; at < end;) {
        unsigned shift;
        vaddr_t skip;
        pte_t *entry = kernel_entry_find(at, &shift, &skip);

        if (entry == NULL) {
            if (skip <= at) {
                break; /* the end of the address space */
            }
            at = skip;
            continue;
        }
        if ((at & ((1ull << shift) - 1)) != 0 || end - at < 1ull << shift) {
            /* Only the loader maps more than a caller may take away in part: at boot, when there is memory. */
            BUG_ON(kernel_leaf_split(entry, shift) == 0);
            continue;
        }
        if (shift > PAGE_SHIFT) {
            atomic_store_relaxed(entry, 0);
            at += 1ull << shift;
            continue;
        }
        do { /* the rest of the table */
            atomic_store_relaxed(entry++, 0);
            at += PAGE_SIZE;
        } while (at < end && pte_index(at, PAGE_SHIFT) != 0);
    }
}

void mmu_kernel_flush(vaddr_t start, vaddr_t end)
{
    tlb_flush_kernel(start, end);
}

void mmu_kernel_unmap(vaddr_t va, uint64_t len_bytes)
{
    mmu_kernel_clear(va, len_bytes);
    if (len_bytes != 0) {
        tlb_flush_kernel(va, va + len_bytes);
    }
}

/* Where the kernel image's page at `va` is in memory. */
static paddr_t image_phys(vaddr_t va)
{
    unsigned shift;
    vaddr_t skip;
    const pte_t *entry = kernel_entry_find(va, &shift, &skip);

    BUG_ON(entry == NULL);
    uint64_t within = (1ull << shift) - 1;
    return (*entry & PTE_ADDRESS & ~within) | (va & within);
}

/* Nothing in [start, end) may be written by way of these addresses from here on. */
static void kernel_make_readonly(vaddr_t start, vaddr_t end)
{
    for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
        pte_t *pte = kernel_entry_create(va, PAGE_SHIFT);
        BUG_ON(pte == NULL);
        atomic_store_relaxed(pte, *pte & ~(PTE_WRITE | PTE_DIRTY));
    }
    tlb_flush_kernel(start, end);
}

int mmu_kernel_protect(vaddr_t va, uint64_t len_bytes, unsigned flags)
{
    vaddr_t end = va + len_bytes;

    BUG_ON((flags & MMU_WRITE) != 0 && (flags & MMU_EXEC) != 0);
    for (vaddr_t at = va; at < end; at += PAGE_SIZE) {
        if (kernel_entry_create(at, PAGE_SHIFT) == NULL) {
            return -ENOMEM;
        }
    }
    for (vaddr_t at = va; at < end; at += PAGE_SIZE) {
        pte_t *pte = kernel_entry_create(at, PAGE_SHIFT);
        BUG_ON((*pte & PTE_PRESENT) == 0);
        atomic_store_relaxed(
            pte, pte_make(*pte & PTE_ADDRESS, (flags | MMU_GLOBAL) & ~(unsigned)MMU_USER));
    }
    tlb_flush_kernel(va, end);
    return 0;
}

void mmu_kernel_seal(void)
{
    const vaddr_t parts[2][2] = {
        {(vaddr_t)__text_start, ALIGN_UP((vaddr_t)__rodata_end, PAGE_SIZE)},
        {(vaddr_t)__ro_after_init_start, (vaddr_t)__ro_after_init_end},
    };
    paddr_t constant[2][2];

    for (unsigned i = 0; i < 2; i++) {
        uint64_t size = parts[i][1] - parts[i][0];
        constant[i][0] = image_phys(parts[i][0]);
        constant[i][1] = constant[i][0] + size;
        if (i == 1) {
            kernel_make_readonly(parts[i][0], parts[i][1]);
        }
        /* The same memory in the direct map. */
        vaddr_t alias = (vaddr_t)phys_to_virt(constant[i][0]);
        kernel_make_readonly(alias, alias + size);
    }
    mmu_audit(constant);
}

void *mmio_map(paddr_t pa, uint64_t len_bytes, bool write_combining)
{
    paddr_t first = ALIGN_DOWN(pa, PAGE_SIZE);
    uint64_t size = ALIGN_UP(pa + len_bytes, PAGE_SIZE) - first;
    vaddr_t va = arena_alloc(size);

    if (va == 0) {
        return NULL;
    }
    if (mmu_kernel_map(va, first, size,
                       MMU_READ | MMU_WRITE | (write_combining ? MMU_WC : MMU_UNCACHED)) < 0) {
        arena_free(va, size);
        return NULL;
    }
    return (void *)(va + (pa - first));
}

void mmio_unmap(void *ptr, uint64_t len_bytes)
{
    vaddr_t va = ALIGN_DOWN((vaddr_t)ptr, PAGE_SIZE);
    uint64_t size = ALIGN_UP((vaddr_t)ptr + len_bytes, PAGE_SIZE) - va;

    mmu_kernel_unmap(va, size);
    arena_free(va, size);
}
