/*
 * Page tables of the address sanitizer's shadow (kernel/machine/shadow.h).
 *
 * One page of zeros stands for all of it: a table of the last level that names it 512 times, a table of the next level that names that table 512
 * times, and so on. shadow_back() replaces these by tables and pages of their own on the way to what it backs.
 *
 * Locks: backing under shadow_lock.
 */
#include "kernel/machine/shadow.h"

#include "hal/x86_64/pte.h"
#include "hal/x86_64/regs.h"
#include "hal/x86_64/start.h"
#include "hal/x86_64/tlb.h"
#include "kernel/base/errno.h"
#include "kernel/core/panic.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/poison.h"
#include "kernel/sync/spinlock.h"

#define SHADOW_BYTES (BOOT_ARENA_SIZE) /* an eighth of 128 TiB */
#define SHADOW_LEAF  (PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY | PTE_GLOBAL)

_Static_assert(SHADOW_BYTES == (0 - SHADOW_START) >> SHADOW_SHIFT, "all of the kernel half");
_Static_assert(BOOT_SHADOW >= BOOT_ARENA + BOOT_ARENA_SIZE &&
                   BOOT_SHADOW + SHADOW_BYTES <= BOOT_IMAGE,
               "a place of its own");

/* shared[0] is the page of zeros, shared[i] the table of level i that stands for zeros alone. */
static paddr_t shared[4] __ro_after_init;
static struct spinlock shadow_lock = SPINLOCK_INIT("shadow tables");

bool shadow_table_is_shared(paddr_t table)
{
    return table == shared[1] || table == shared[2] || table == shared[3];
}

/* The entry that stands for zeros in a table of `level`. */
static pte_t shared_entry(unsigned level)
{
    return shared[level - 1] | (level == 1 ? SHADOW_LEAF | mmu_format.nx : PTE_TABLE_KERNEL);
}

static paddr_t table_of(pte_t entry)
{
    struct page *page = frame_alloc(0, 0, PAGE_TABLE);

    if (page == NULL) {
        return 0;
    }
    pte_t *table = page_to_virt(page);
    for (unsigned i = 0; i < PTES_PER_TABLE; i++) {
        table[i] = entry;
    }
    return page_to_phys(page);
}

/* The table whose entries are those of level 4. */
static pte_t *level4(paddr_t root)
{
    pte_t *top = phys_to_virt(root);

    return (cr4_read() & CR4_LA57) ? pte_table(top[pte_index(BOOT_SHADOW, PML5E_SHIFT)]) : top;
}

/* Tables of level 1 to 3 and the one page for the shadow of the boot stack. They stay. */
static pte_t early_tables[3][PTES_PER_TABLE] __aligned(4096);
static uint8_t early_shadow[4096] __aligned(4096);

void __init shadow_init_early(const struct boot_handoff *handoff)
{
    vaddr_t at = (vaddr_t)shadow_of((vaddr_t)boot_stack);
    paddr_t offset = handoff->kernel_phys - handoff->kernel_virt;
    pte_t entry = ((vaddr_t)early_shadow + offset) | SHADOW_LEAF | PTE_WRITE;

    for (unsigned level = 1; level <= 3; level++) {
        pte_t *table = early_tables[level - 1];
        table[pte_index(at, PAGE_SHIFT + 9 * (level - 1))] = entry;
        entry = ((vaddr_t)table + offset) | PTE_TABLE_KERNEL;
    }
    level4(handoff->page_table_root)[pte_index(at, PML4E_SHIFT)] = entry;
}

/* Where the early tables have nothing, they stand for zeros from now on; and what they have is no code (nobody knew the CPU's NX then). */
static void __init early_tables_fill(void)
{
    for (unsigned level = 1; level <= 3; level++) {
        for (unsigned i = 0; i < PTES_PER_TABLE; i++) {
            if (early_tables[level - 1][i] == 0) {
                early_tables[level - 1][i] = shared_entry(level);
            } else if (level == 1) {
                early_tables[0][i] |= mmu_format.nx;
            }
        }
    }
}

void __init shadow_init(void)
{
    pte_t *top = level4(mmu_kernel.root);
    struct page *zeros = frame_alloc(0, FRAME_ZERO, PAGE_TABLE);

    BUG_ON(zeros == NULL);
    shared[0] = page_to_phys(zeros);
    for (unsigned level = 1; level <= 3; level++) {
        shared[level] = table_of(shared_entry(level));
        BUG_ON(shared[level] == 0);
    }
    for (vaddr_t at = BOOT_SHADOW; at < BOOT_SHADOW + SHADOW_BYTES; at += 1ull << PML4E_SHIFT) {
        if (top[pte_index(at, PML4E_SHIFT)] == 0) {
            top[pte_index(at, PML4E_SHIFT)] = shared[3] | PTE_TABLE_KERNEL;
        }
    }
    early_tables_fill();
}

/* Fill an entry of `level` that stands for zeros with memory of its own: bytes at level 1 and, if `large`, at level 2; else a table. */
static bool entry_own(pte_t *entry, unsigned level, bool large)
{
    bool bytes = level == 1 || large;
    struct page *page;

    if (!bytes) {
        paddr_t table = table_of(shared_entry(level - 1));
        if (table != 0) {
            atomic_store_release(entry, table | PTE_TABLE_KERNEL);
        }
        return table != 0;
    }
    page = frame_alloc(large ? HUGE_PAGE_SHIFT - PAGE_SHIFT : 0, FRAME_ZERO, PAGE_TABLE);
    if (page == NULL) {
        return false;
    }
    page_set_kind(page, PAGE_RESERVED);
    pte_t leaf = page_to_phys(page) | SHADOW_LEAF | PTE_WRITE | mmu_format.nx;
    atomic_store_release(entry, large ? pte_to_large(leaf) : leaf);
    return true;
}

/* Back the shadow bytes at `at`, of which `left` are wanted. Returns how many are backed from there on now, 0: no memory. */
static uint64_t back_locked(vaddr_t at, uint64_t left)
{
    pte_t *entry = level4(mmu_kernel.root) + pte_index(at, PML4E_SHIFT);

    for (unsigned level = 4;; level--) {
        uint64_t span = 1ull << (PAGE_SHIFT + 9 * (level - 1));
        bool large = level == 2 && (at & (span - 1)) == 0 && left >= span;

        if (*entry == shared_entry(level) && !entry_own(entry, level, large) &&
            (!large || !entry_own(entry, level, false))) {
            return 0;
        }
        if (level == 1 || (level == 2 && (*entry & PTE_LARGE) != 0)) {
            return span - (at & (span - 1));
        }
        entry = pte_table(*entry) + pte_index(at, PAGE_SHIFT + 9 * (level - 2));
    }
}

int shadow_back(vaddr_t start, uint64_t len_bytes)
{
    vaddr_t first = ALIGN_DOWN((vaddr_t)shadow_of(start), PAGE_SIZE);
    vaddr_t end = ALIGN_UP((vaddr_t)shadow_of(start + len_bytes - 1) + 1, PAGE_SIZE);
    int err = 0;
    uint64_t irq = spin_lock_irqsave(&shadow_lock);

    for (vaddr_t at = first; at < end && err == 0;) {
        uint64_t done = back_locked(at, end - at);
        err = done == 0 ? -ENOMEM : 0;
        at += done;
    }
    spin_unlock_irqrestore(&shadow_lock, irq);
    tlb_flush_kernel(first, end);
    return err;
}

int shadow_back_arena(vaddr_t start, uint64_t len_bytes)
{
    if (start - ARENA_BASE >= ARENA_SIZE && start - MODULES_BASE >= MODULES_SIZE) {
        return 0;
    }
    int err = shadow_back(start, len_bytes);
    if (err == 0) {
        memory_unpoison((void *)start, len_bytes);
    }
    return err;
}
