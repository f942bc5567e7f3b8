/*
 * Page tables in software: spaces, single leaves, and the kernel's own space. Ranges: mmu_range.c; what an entry is: mmu_entry.h.
 */
#include "hal/host/mmu_entry.h"

#include <sched.h>
#include <string.h>

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/base/errno.h"
#include "kernel/machine/cpumask.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/mmu_locks.h"

struct mmu_space mmu_kernel;
uint64_t machine_user_top = USER_WINDOW;

pthread_mutex_t host_mmu_lock = PTHREAD_MUTEX_INITIALIZER;
struct mmu_stats host_mmu_stats;
bool host_mmu_dawdles;
bool host_mmu_no_giants;

void host_mmu_dawdle(void)
{
    if (host_mmu_dawdles) {
        (void)sched_yield();
    }
}

void host_leaves_count(uint64_t entry, int n)
{
    if ((entry & (MMU_HUGE | MMU_SPECIAL)) == MMU_HUGE) {
        host_mmu_stats.huge_leaves += (uint64_t)n;
    }
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

uint64_t *host_slot_find(struct mmu_space *space, vaddr_t va, unsigned level, bool create)
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

void mmu_space_cpus(const struct mmu_space *space, bool kept, struct cpumask *ret_mask)
{
    (void)space, (void)kept;
    *ret_mask = CPUMASK_NONE;
}

/* ---- single leaves ---- */

/* A leaf of a level where nothing is, not even a table. */
static int leaf_map(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags)
{
    uint64_t leaf = entry_make(pa, flags);
    int err = 0;

    pthread_mutex_lock(&host_mmu_lock);
    uint64_t *over = host_leaf_find(space, va);
    uint64_t *slot = NULL;
    if (over != NULL) {
        err = -EEXIST;
    } else if ((slot = host_slot_find(space, va, leaf_level(leaf), true)) == NULL) {
        err = -ENOMEM;
    } else if (*slot != 0) {
        err = -EEXIST;
    } else {
        *slot = leaf;
        host_leaves_count(leaf, 1);
    }
    pthread_mutex_unlock(&host_mmu_lock);
    return err;
}

int mmu_map(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags)
{
    host_mmu_dawdle();
    return leaf_map(space, va, pa, flags & ~(MMU_HUGE | MMU_GIANT));
}

int mmu_map_huge(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags)
{
    return leaf_map(space, va, pa, (flags | MMU_HUGE) & ~MMU_GIANT);
}

int mmu_map_giant(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags)
{
    if ((flags & MMU_SPECIAL) == 0) {
        __builtin_trap();
    }
    return host_mmu_no_giants ? -EOPNOTSUPP : leaf_map(space, va, pa, flags | MMU_HUGE | MMU_GIANT);
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

uint64_t *host_leaf_find(struct mmu_space *space, vaddr_t va)
{
    for (unsigned level = 2; space->root != 0; level--) {
        uint64_t *slot = host_slot_find(space, va, level, false);
        if (slot == NULL || *slot == 0) {
            return NULL;
        }
        if (level == 0 || (*slot & MMU_HUGE) != 0) {
            return slot;
        }
    }
    return NULL;
}

bool mmu_query(struct mmu_space *space, vaddr_t va, paddr_t *ret_pa, unsigned *ret_flags)
{
    if (va >= USER_TOP && space != &mmu_kernel) {
        __builtin_trap(); /* of every space's tables the upper half is the kernel's */
    }
    pthread_mutex_lock(&host_mmu_lock);
    uint64_t *slot = host_leaf_find(space, va);
    bool found = slot != NULL && (*slot & MMU_SOFT) == 0;
    if (found) {
        *ret_pa = (*slot & ENTRY_ADDRESS) +
                  ALIGN_DOWN(va & (LEVEL_SIZE(leaf_level(*slot)) - 1), PAGE_SIZE);
        *ret_flags = entry_flags(*slot);
    }
    pthread_mutex_unlock(&host_mmu_lock);
    return found;
}

bool mmu_query_soft(struct mmu_space *space, vaddr_t va, uint64_t *ret_value)
{
    pthread_mutex_lock(&host_mmu_lock);
    uint64_t *slot = host_leaf_find(space, va);
    bool found = slot != NULL && (*slot & MMU_SOFT) != 0;
    if (found) {
        *ret_value = (*slot & ENTRY_ADDRESS) >> PAGE_SHIFT;
    }
    pthread_mutex_unlock(&host_mmu_lock);
    return found;
}

bool mmu_age(struct mmu_space *space, vaddr_t va)
{
    pthread_mutex_lock(&host_mmu_lock);
    uint64_t *slot = host_leaf_find(space, va);
    bool accessed = slot != NULL && (*slot & (MMU_SOFT | MMU_ACCESSED)) == MMU_ACCESSED;
    if (accessed) {
        *slot &= ~(uint64_t)MMU_ACCESSED;
    }
    pthread_mutex_unlock(&host_mmu_lock);
    return accessed;
}

/* Another entry in the place of the small leaf at va. */
static void leaf_replace(struct mmu_space *space, vaddr_t va, uint64_t entry,
                         struct mmu_flush *flush)
{
    pthread_mutex_lock(&host_mmu_lock);
    uint64_t *slot = host_leaf_find(space, va);
    if (slot == NULL || leaf_level(*slot) != 0) {
        __builtin_trap();
    }
    *slot = entry;
    flush_note(flush, va, va + PAGE_SIZE);
    pthread_mutex_unlock(&host_mmu_lock);
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

bool mmu_exchange(struct mmu_space *space, vaddr_t va, paddr_t old_pa, paddr_t pa, unsigned flags,
                  struct mmu_flush *flush)
{
    pthread_mutex_lock(&host_mmu_lock);
    uint64_t *slot = host_leaf_find(space, va);
    bool found = slot != NULL && leaf_level(*slot) == 0 && (*slot & (MMU_WRITE | MMU_SOFT)) == 0 &&
                 (*slot & ENTRY_ADDRESS) == old_pa;
    if (found) {
        *slot = entry_make(pa, flags);
        flush_note(flush, va, va + PAGE_SIZE);
    }
    pthread_mutex_unlock(&host_mmu_lock);
    return found;
}

/* ---- large leaves ---- */

int host_leaf_split(struct mmu_space *space, uint64_t *slot)
{
    uint64_t old = *slot;
    unsigned level = leaf_level(old) - 1; /* of the leaves that it becomes */
    uint64_t bits = old & ~(ENTRY_ADDRESS | ENTRY_GIANT | (level == 0 ? MMU_HUGE : 0));
    paddr_t pa = table_create(space);

    if (pa == 0) {
        return -ENOMEM;
    }
    uint64_t *table = phys_to_virt(pa);
    for (unsigned i = 0; i < ENTRIES; i++) {
        table[i] = ((old & ENTRY_ADDRESS) + i * LEVEL_SIZE(level)) | bits;
    }
    *slot = pa | ENTRY_PRESENT;
    host_leaves_count(old, -1);
    host_mmu_stats.huge_splits++;
    return 0;
}

/* Split the leaf over va until it is small, or begins at va if that is enough. */
static int leaf_cut(struct mmu_space *space, vaddr_t va, bool may_begin)
{
    int err = 0;

    pthread_mutex_lock(&host_mmu_lock);
    uint64_t *slot = host_leaf_find(space, va);
    while (err == 0 && slot != NULL && leaf_level(*slot) > 0 &&
           !(may_begin && IS_ALIGNED(va, LEVEL_SIZE(leaf_level(*slot))))) {
        err = host_leaf_split(space, slot);
        slot = host_leaf_find(space, va);
    }
    pthread_mutex_unlock(&host_mmu_lock);
    return err;
}

int mmu_split_huge(struct mmu_space *space, vaddr_t va)
{
    return leaf_cut(space, va, false);
}

int mmu_cut(struct mmu_space *space, vaddr_t at)
{
    return leaf_cut(space, at, true);
}

void mmu_replace_huge(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned flags,
                      struct mmu_flush *flush)
{
    pthread_mutex_lock(&host_mmu_lock);
    uint64_t *slot = host_leaf_find(space, va);
    if (slot == NULL || leaf_level(*slot) == 0) {
        __builtin_trap();
    }
    uint64_t size = LEVEL_SIZE(leaf_level(*slot));
    host_leaves_count(*slot, -1);
    *slot = entry_make(pa, (flags & ~MMU_GIANT) | (entry_flags(*slot) & MMU_GIANT) | MMU_HUGE);
    host_leaves_count(*slot, 1);
    flush_note(flush, ALIGN_DOWN(va, size), ALIGN_DOWN(va, size) + size);
    pthread_mutex_unlock(&host_mmu_lock);
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

void mmu_kernel_clear(vaddr_t va, uint64_t len_bytes)
{
    for (uint64_t done = 0; done < len_bytes; done += PAGE_SIZE) {
        uint64_t *slot = host_slot_find(&mmu_kernel, va + done, 0, false);
        if (slot != NULL) {
            *slot = 0;
        }
    }
    if (len_bytes > 0) {
        host_memory_hide(va, len_bytes);
    }
}

void mmu_kernel_flush(vaddr_t start, vaddr_t end)
{
    (void)start, (void)end;
}

void mmu_kernel_unmap(vaddr_t va, uint64_t len_bytes)
{
    mmu_kernel_clear(va, len_bytes);
}

/* The host's own mappings stay as they are: a test asks by mmu_query(). The direct map has no entries here. */
int mmu_kernel_protect(vaddr_t va, uint64_t len_bytes, unsigned flags)
{
    for (uint64_t done = 0; done < len_bytes; done += PAGE_SIZE) {
        uint64_t *slot = host_slot_find(&mmu_kernel, va + done, 0, false);
        if (slot != NULL && *slot != 0) {
            *slot = entry_make(*slot & ENTRY_ADDRESS, flags);
        }
    }
    return 0;
}

void mmu_stats(struct mmu_stats *ret_stats)
{
    *ret_stats = host_mmu_stats;
}

/* A test program has no data of that kind. */
void mmu_kernel_seal(void)
{
}
