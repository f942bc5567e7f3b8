/*
 * Translation caches of the CPUs.
 */
#pragma once

#include "kernel/machine/mmu.h"

/* No CPU uses `space` any more, not even lazily. */
void tlb_space_leave(struct mmu_space *space);
/* Kernel translations of [start, end), on all CPUs. Any context with interrupts on, or one CPU. */
void tlb_flush_kernel(vaddr_t start, vaddr_t end);
