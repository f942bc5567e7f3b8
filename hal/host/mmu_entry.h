/*
 * Page tables in software, as mmu.c (spaces and leaves) and mmu_range.c (walks) share them: five levels of 512 words, as on x86-64, but
 * with the MMU_* bits themselves in the entries.
 *
 * An entry is physical address | MMU_* | ENTRY_PRESENT; a soft entry has MMU_SOFT and its value for an address. A leaf is an entry of level
 * 0, or one with MMU_HUGE: of level 1, or with ENTRY_GIANT of level 2. The kernel's own space is recorded in the same way, and shown to the
 * host through host_memory_show().
 *
 * host_mmu_lock orders everything: tests do not need speed, and host threads may be CPUs. The locks of blocks are taken as the contract
 * says, before it. It is held for all that is declared here.
 */
#pragma once

#include <pthread.h>

#include "kernel/machine/mmu.h"
#include "kernel/mm/frame.h"

#define ENTRY_PRESENT 0x8000000000000000ull
#define ENTRY_GIANT   0x0100000000000000ull
#define ENTRY_ADDRESS 0x000ffffffffff000ull
#define ENTRY_FLAGS   0xfffull
#define ENTRY_KEY_UP  28 /* from MMU_KEY: bits 52 to 55 */
#define ENTRY_KEY     ((uint64_t)MMU_KEY << ENTRY_KEY_UP)
#define LEVELS        5
#define ENTRIES       512u
#define LEVEL_SIZE(l) (PAGE_SIZE << (9 * (l)))

extern pthread_mutex_t host_mmu_lock;
extern struct mmu_stats host_mmu_stats; /* [host_mmu_lock] */

static inline uint64_t *table_at(uint64_t entry)
{
    return phys_to_virt(entry & ENTRY_ADDRESS);
}

static inline unsigned index_at(vaddr_t va, unsigned level)
{
    return (unsigned)(va >> (PAGE_SHIFT + 9 * level)) % ENTRIES;
}

static inline uint64_t entry_make(paddr_t pa, unsigned flags)
{
    unsigned used = MMU_ACCESSED | ((flags & MMU_WRITE) != 0 ? MMU_DIRTY : 0);

    return pa | (flags & ENTRY_FLAGS) | (uint64_t)(flags & MMU_KEY) << ENTRY_KEY_UP |
           ((flags & MMU_GIANT) != 0 ? ENTRY_GIANT : 0) | ENTRY_PRESENT | used;
}

static inline unsigned entry_flags(uint64_t entry)
{
    return (unsigned)(entry & ENTRY_FLAGS) | (unsigned)((entry & ENTRY_KEY) >> ENTRY_KEY_UP) |
           ((entry & ENTRY_GIANT) != 0 ? MMU_GIANT : 0);
}

/* The level that a leaf lies on. */
static inline unsigned leaf_level(uint64_t leaf)
{
    return (leaf & ENTRY_GIANT) != 0 ? 2 : ((leaf & MMU_HUGE) != 0 ? 1 : 0);
}

static inline void flush_note(struct mmu_flush *flush, vaddr_t start, vaddr_t end)
{
    flush->start = MIN(flush->start, start);
    flush->end = MAX(flush->end, end);
}

/* The slot of `va` at `level`; NULL when a table on the way is missing and not to be (or cannot be) made, or a large leaf is met. */
uint64_t *host_slot_find(struct mmu_space *space, vaddr_t va, unsigned level, bool create);
/* The slot of the leaf or soft entry over `va`, or NULL. */
uint64_t *host_leaf_find(struct mmu_space *space, vaddr_t va);
/* There are n more leaves like `entry`: huge ones that show pages are counted. */
void host_leaves_count(uint64_t entry, int n);
/* Replace a large leaf by a table of the next size. -ENOMEM. */
int host_leaf_split(struct mmu_space *space, uint64_t *slot);
/* Before the lock is taken, and inside an access: a test may want other threads to come in between. */
void host_mmu_dawdle(void);
