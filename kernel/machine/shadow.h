/*
 * Shadow memory of the address sanitizer: one byte at shadow_of(addr) for each 8 bytes of the kernel half. Only in builds with CONFIG_KASAN.
 *
 * At first all of it reads as zeros, which means that everything may be accessed, and cannot be written; what has something to
 * say gets memory of its own by shadow_back().
 */
#pragma once

#include "kernel/abi/boot.h"
#include "kernel/base/types.h"

#define SHADOW_SHIFT 3
#define SHADOW_START                                                                               \
    BOOT_DIRECT_MAP /* first address that has a shadow; the last one of all has one too */

static inline int8_t *shadow_of(uintptr_t addr)
{
    return (int8_t *)(BOOT_SHADOW + ((addr - SHADOW_START) >> SHADOW_SHIFT));
}

struct boot_handoff;

#ifdef CONFIG_KASAN
/*
 * The first thing of all: writable shadow for the boot stack alone, because instrumented functions mark their variables there without
 * asking whether checks have begun.
 */
void shadow_init_early(const struct boot_handoff *handoff);
/* Boot, once there are frames and before mmu_init(): the whole shadow, read-only zeros. */
void shadow_init(void);
/* Writable shadow, zeros at first, for [start, start + len_bytes); for ever. -ENOMEM. What has it already keeps it. Any context. */
int shadow_back(vaddr_t start, uint64_t len_bytes);
/* The same for what is mapped into the arena, and unpoison it; nothing elsewhere. */
int shadow_back_arena(vaddr_t start, uint64_t len_bytes);
/* A table of the page tables that stands for much shadow at once: not to be walked. */
bool shadow_table_is_shared(paddr_t table);
#else
static inline void shadow_init_early(const struct boot_handoff *handoff)
{
    (void)handoff;
}

static inline int shadow_back_arena(vaddr_t start, uint64_t len_bytes)
{
    (void)start, (void)len_bytes;
    return 0;
}

static inline bool shadow_table_is_shared(paddr_t table)
{
    (void)table;
    return false;
}
#endif
