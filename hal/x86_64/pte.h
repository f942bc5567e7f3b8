/*
 * Page-table entries (Intel SDM volume 3, 4.5; AMD APM volume 2, 5.3) and the walk down to them.
 *
 * An entry in the last level is in use when it is not 0. With MMU_READ it is present; without (PROT_NONE) its present bit is clear and
 * its address is stored inverted, so that it names no memory (L1 terminal fault, CVE-2018-3620). A soft entry has PTE_SOFT and its value,
 * stored like an address that is not present.
 */
#pragma once

#include "kernel/machine/mmu.h"
#include "kernel/mm/frame.h"

typedef uint64_t pte_t;

#define PTE_PRESENT  0x001ull
#define PTE_WRITE    0x002ull
#define PTE_USER     0x004ull
#define PTE_PWT      0x008ull
#define PTE_PCD      0x010ull
#define PTE_ACCESSED 0x020ull
#define PTE_DIRTY    0x040ull
#define PTE_LARGE    0x080ull /* above the last level */
#define PTE_PAT_4K   0x080ull /* in the last level */
#define PTE_GLOBAL   0x100ull
#define PTE_SPECIAL  0x200ull /* software: MMU_SPECIAL */
#define PTE_SOFT                                                                                   \
    0x400ull /* software, not present: MMU_SOFT, the value stored inverted where an address would be */
#define PTE_GIANT   0x800ull  /* software, with PTE_LARGE: 1 GiB, an entry of level 3 */
#define PTE_PAT_BIG 0x1000ull /* with PTE_LARGE */
#define PTE_NX      (1ull << 63)
#define PTE_KEY     0x7800000000000000ull /* protection key (SDM volume 3, 4.6.2); user pages alone */
#define PTE_KEY_UP  (59 - MMU_KEY_SHIFT) /* from MMU_KEY */
#define PTE_ADDRESS 0x000ffffffffff000ull

#define PTES_PER_TABLE 512u
#define PDE_SHIFT      21
#define PDPTE_SHIFT    30
#define PML4E_SHIFT    39
#define PML5E_SHIFT    48

/* Bits of a table above the last level: rights are decided at the leaf. */
#define PTE_TABLE_USER   (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED)
#define PTE_TABLE_KERNEL (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED)

struct mmu_format {
    bool la57; /* 5 levels */
    pte_t nx;  /* PTE_NX, or 0 on a CPU without it */
};
extern struct mmu_format mmu_format; /* [I] after mmu_init_early() */

static inline unsigned pte_index(vaddr_t va, unsigned shift)
{
    return (unsigned)(va >> shift) & (PTES_PER_TABLE - 1);
}

static inline pte_t *pte_table(pte_t entry)
{
    return phys_to_virt(entry & PTE_ADDRESS);
}

/* Physical address of a leaf of the last level. */
static inline paddr_t pte_phys(pte_t pte)
{
    return (likely(pte & PTE_PRESENT) ? pte : ~pte) & PTE_ADDRESS;
}

/* The page of a table that holds `entry`: its `private` counts entries in use. */
static inline struct page *pte_table_page(const pte_t *entry)
{
    return virt_to_page(entry);
}

static inline pte_t pte_make(paddr_t pa, unsigned flags)
{
    pte_t pte = PTE_ACCESSED;

    _Static_assert(MMU_WRITE == PTE_WRITE && MMU_USER == PTE_USER << 1 &&
                       MMU_SPECIAL == PTE_SPECIAL << 1 && MMU_SOFT == PTE_SOFT << 1 &&
                       MMU_GIANT == PTE_GIANT << 1 && MMU_GLOBAL << 4 == PTE_GLOBAL &&
                       PTE_WRITE << 5 == PTE_DIRTY && MMU_ACCESSED == PTE_ACCESSED << 2 &&
                       MMU_DIRTY == PTE_DIRTY << 2,
                   "bits that only move");
    pte |= (flags & MMU_WRITE) | (flags & MMU_WRITE) << 5 | (flags & MMU_DIRTY) >> 2;
    pte |= (flags & (MMU_USER | MMU_SPECIAL)) >> 1;
    if ((flags & MMU_EXEC) == 0) {
        pte |= mmu_format.nx;
    }
    if (unlikely(flags & (MMU_UNCACHED | MMU_WC | MMU_KEY | MMU_GLOBAL))) {
        pte |= (flags & MMU_GLOBAL) << 4;
        pte |= flags & MMU_WC ? PTE_PAT_4K : flags & MMU_UNCACHED ? PTE_PCD | PTE_PWT : 0;
        pte |= (pte_t)(flags & MMU_KEY) << PTE_KEY_UP;
    }
    if (unlikely((flags & (MMU_READ | MMU_WRITE | MMU_EXEC)) == 0)) {
        return pte | (~pa & PTE_ADDRESS);
    }
    return pte | pa | PTE_PRESENT;
}

static inline unsigned pte_flags(pte_t pte)
{
    unsigned flags = (unsigned)(pte & (PTE_PRESENT | PTE_WRITE));

    flags |= (unsigned)(pte & (PTE_USER | PTE_SPECIAL | PTE_SOFT | PTE_GIANT)) << 1;
    flags |= (unsigned)(pte & (PTE_ACCESSED | PTE_DIRTY)) << 2;
    if ((pte & (PTE_NX | PTE_PRESENT)) == PTE_PRESENT) {
        flags |= MMU_EXEC;
    }
    if (unlikely(pte & (PTE_PCD | PTE_PAT_4K | PTE_GLOBAL | PTE_KEY))) {
        flags |= (unsigned)((pte & PTE_KEY) >> PTE_KEY_UP);
        flags |= (pte & PTE_PCD ? MMU_UNCACHED : 0) | (pte & PTE_PAT_4K ? MMU_WC : 0) |
                 (pte & PTE_GLOBAL ? MMU_GLOBAL : 0);
    }
    return flags;
}

static inline bool pte_is_soft(pte_t pte)
{
    return (pte & (PTE_PRESENT | PTE_SOFT)) == PTE_SOFT;
}

static inline pte_t pte_make_soft(uint64_t value)
{
    return PTE_SOFT | (~(value << PAGE_SHIFT) & PTE_ADDRESS);
}

/* Neighbours mostly have the same bits: the translation of the last ones seen. */
struct pte_bits {
    pte_t bits; /* what is not the address */
    unsigned flags;
};

static __always_inline unsigned pte_flags_cached(pte_t pte, struct pte_bits *last)
{
    pte_t bits = pte & ~PTE_ADDRESS;

    if (unlikely(bits != last->bits)) {
        last->bits = bits;
        last->flags = pte_flags(pte);
    }
    return last->flags;
}

/*
 * A large leaf <-> the entry of the last level that its first page would have. The address's lowest bit, which is 0, gives its place to the
 * PAT bit; in an entry that is not present it is stored inverted.
 */
static inline pte_t pte_to_large(pte_t pte)
{
    return (pte & ~(PTE_PAT_4K | PTE_PAT_BIG)) | PTE_LARGE | (pte & PTE_PAT_4K ? PTE_PAT_BIG : 0);
}

static inline pte_t pte_from_large(pte_t pde)
{
    return (pde & ~(PTE_LARGE | PTE_PAT_BIG)) | (pde & PTE_PAT_BIG ? PTE_PAT_4K : 0) |
           (pde & PTE_PRESENT ? 0 : PTE_PAT_BIG);
}

/* How much a large leaf shows. */
static inline uint64_t large_bytes(pte_t large)
{
    return large & PTE_GIANT ? GIANT_PAGE_SIZE : HUGE_PAGE_SIZE;
}

/*
 * An entry above the last level leads to a table: it is neither empty nor a leaf. One look at the lowest byte tells, since a table's entry
 * has bits there and PTE_LARGE is the sign.
 */
static inline bool pte_is_table(pte_t entry)
{
    _Static_assert(PTE_LARGE == 0x80 && (PTE_TABLE_USER & 0xff) != 0, "the lowest byte's sign");
    return (int8_t)entry > 0;
}

/* The same leaf for the page `index` further on. */
static inline pte_t pte_advance(pte_t pte, uint64_t index)
{
    uint64_t delta = index << PAGE_SHIFT;

    return pte & PTE_PRESENT ? pte + delta : pte - delta;
}

/* ---- mmu_audit.c ---- */

/* Boot, when it is over: look at every kernel mapping. `constant`: memory that must be writable nowhere, [start, end) each. */
void mmu_audit(const paddr_t constant[2][2]);

/* ---- tables (mmu_table.c) ---- */

/* A cleared page for a table of user space; NULL: no memory. Preemptible or not. */
struct page *table_alloc(void);
/* A table without entries. Nobody's TLB knows it any more. */
void table_free(struct page *page);
/* A top table whose kernel half is filled; NULL. And back, with its user half empty. */
struct page *root_alloc(void);
void root_free(struct page *page);
/* Give the tables that this CPU keeps back to the frame allocator. Interrupts off or on. */
void tables_drain_local(void);
/* The level-3 entry of `va`, making the tables above it. NULL: no memory. */
pte_t *pdpte_create(struct mmu_space *space, vaddr_t va);
/* The level-2 entry of `va`, making the tables above it; or the 1 GiB leaf over it. NULL: no memory. */
pte_t *pde_create(struct mmu_space *space, vaddr_t va);
/* The last-level table below a level-2 entry that is not a large leaf, making it. NULL: no memory. */
pte_t *table_below(struct mmu_space *space, pte_t *pde);
/* Take the tables over `va` out that have no entries and lie between flush->floor and ceiling, from the last level up. locks->shape held for writing. */
void tables_prune(struct mmu_space *space, vaddr_t va, struct mmu_flush *flush);
/* Replace a large leaf by a table of the same pages, in leaves of the next size. -ENOMEM. */
int large_split(struct mmu_space *space, pte_t *pde);
/* Figures of 2 MiB leaves of pages in user spaces: there are n more like `leaf` (or, negative, less); how often one was split. */
void large_count(pte_t leaf, int64_t n);
void large_figures(uint64_t *ret_leaves, uint64_t *ret_splits);

/*
 * The level-2 entry of `va` that is in use, or the 1 GiB leaf over it, then *ret_skip is its end; NULL: none, then *ret_skip is the first
 * address beyond the hole.
 */
static inline pte_t *pde_find(const struct mmu_space *space, vaddr_t va, vaddr_t *ret_skip)
{
    pte_t *entry = phys_to_virt(space->root);
    unsigned shift = PML4E_SHIFT;

    if (unlikely(mmu_format.la57)) {
        entry += pte_index(va, PML5E_SHIFT);
        if (*entry == 0) {
            shift = PML5E_SHIFT;
            goto hole;
        }
        entry = pte_table(*entry);
    }
    entry += pte_index(va, PML4E_SHIFT);
    if (*entry == 0) {
        goto hole;
    }
    entry = pte_table(*entry) + pte_index(va, PDPTE_SHIFT);
    if (unlikely(!pte_is_table(*entry))) {
        if (*entry != 0) {
            *ret_skip = ALIGN_DOWN(va, GIANT_PAGE_SIZE) + GIANT_PAGE_SIZE;
            return entry;
        }
        shift = PDPTE_SHIFT;
        goto hole;
    }
    entry = pte_table(*entry) + pte_index(va, PDE_SHIFT);
    if (*entry == 0) {
        shift = PDE_SHIFT;
        goto hole;
    }
    return entry;

hole:
    *ret_skip = ((va >> shift) + 1) << shift;
    return NULL;
}

static inline void flush_note(struct mmu_flush *flush, vaddr_t start, vaddr_t end)
{
    flush->start = MIN(flush->start, start);
    flush->end = MAX(flush->end, end);
}
