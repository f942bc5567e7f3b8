/*
 * Page-table plan: builds the address space that kernel/abi/boot.h promises, before the kernel runs.
 *
 * Interface: fill in struct ptplan, ptplan_init(), then ptplan_map() for each range and ptplan_direct_map() once; plan->root is what
 * CR3 takes. Entries are written to memory that nobody walks yet, so nothing is flushed. No locks: one CPU boots.
 * Invariant: an entry, once written as a leaf, is never changed.
 * Format: Intel SDM volume 3, 4.5; AMD APM volume 2, 5.3. Page attribute table: entry 4 is write-combining.
 */
#pragma once

#include "kernel/abi/boot.h"
#include "kernel/base/types.h"

#define PTPLAN_WRITE  0x1u
#define PTPLAN_EXEC   0x2u
#define PTPLAN_WC     0x4u /* write-combining */
#define PTPLAN_GLOBAL 0x8u /* same in all address spaces */

struct ptplan {
    /* Given by the caller. */
    unsigned levels;                                    /* 4 or 5 */
    bool gigabyte_pages;                                /* CPUID 80000001h EDX 26 */
    bool nx;                                            /* EFER.NXE is or will be set */
    uint64_t (*alloc_page)(void *ctx);                  /* a zeroed physical page; 0: none left */
    void *(*phys_to_pointer)(void *ctx, uint64_t phys); /* of such a page */
    void *ctx;
    /* Results. */
    uint64_t root;    /* physical address of the top table */
    uint64_t ntables; /* pages taken */
};

/* Make the empty top table. -ENOMEM. */
int ptplan_init(struct ptplan *plan);

/*
 * Map [va, va + len) to [pa, pa + len), all multiples of 4096, with the largest pages that fit. -EINVAL: not aligned, empty, wrapping
 * or not canonical; -EEXIST: something is mapped there; -ENOMEM. After a failure a part may be mapped.
 */
int ptplan_map(struct ptplan *plan, uint64_t va, uint64_t pa, uint64_t len_bytes, unsigned flags);

/*
 * The direct map: the first 4 GiB and every range of `mem` (sorted, as in the handoff) that is memory, writable and not
 * executable, and the framebuffer (base 0: none) write-combining. Errors as ptplan_map.
 */
int ptplan_direct_map(struct ptplan *plan, const struct boot_mem *mem, size_t nmem,
                      const struct boot_framebuffer *framebuffer);
