/*
 * What the loader asks of the CPU and tells it before the jump.
 */
#pragma once

#include "kernel/base/types.h"

bool cpu_has_nx(void);
bool cpu_has_gib_pages(void);
bool cpu_has_rdrand(void);
bool cpu_has_la57(void);
/* Is 5-level paging on now? */
bool cpu_in_la57(void);
uint64_t cpu_tsc(void);

/*
 * The registers that the kernel's page tables need, all but CR3: PAT entry 4 write-combining,
 * EFER.NXE. Interrupts off from here on.
 */
void cpu_prepare_paging(void);

/* What jump.S reads; the offsets are known to it. */
struct jump_args {
    uint64_t cr3;
    uint64_t stack_top_virt;
    uint64_t entry_virt;
    uint64_t handoff_virt;
    uint64_t la57; /* 1: with 5 levels */
};

/*
 * The code between the two address spaces, position independent, to be copied to a page that both
 * map at its physical address, below 4 GiB:
 *     void jump(const struct jump_args *args)     does not return
 */
extern const uint8_t jump_start[], jump_end[];
typedef void jump_fn(const struct jump_args *args) __noreturn;
