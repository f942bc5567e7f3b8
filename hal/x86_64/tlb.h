/*
 * Translation caches of the CPUs.
 */
#pragma once

#include "kernel/machine/mmu.h"

/* Boot, and each CPU: PCIDs from now on, if the CPU has them. CR3 holds the kernel's tables. */
void tlb_enable_pcid(void);
/* Load CR3 with the space's tables; `space->cpus` has this CPU's bit already. Preemption off. */
void tlb_use(struct mmu_space *space);
/* No CPU uses `space` any more, not even lazily. */
void tlb_space_leave(struct mmu_space *space);
/* Kernel translations of [start, end), on all CPUs. Any context with interrupts on, or one CPU. */
void tlb_flush_kernel(vaddr_t start, vaddr_t end);
