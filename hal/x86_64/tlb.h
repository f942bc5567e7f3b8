/*
 * Translation caches of the CPUs.
 */
#pragma once

#include "kernel/machine/mmu.h"

/* Boot, and each CPU: PCIDs from now on, if the CPU has them. CR3 holds the kernel's tables. */
void tlb_enable_pcid(void);
/* Load CR3 with the space's tables; `space->cpus` has this CPU's bit already. Preemption off. */
void tlb_use(struct mmu_space *space);
/*
 * A kernel thread runs on in the tables of the space that is in use; then another thread does, of this space or of another. Interrupts off.
 * Of this one: tlb_be_busy(), then tlb_catch_up().
 */
void tlb_be_lazy(void);
void tlb_be_busy(void);
void tlb_catch_up(struct mmu_space *space);
/* The running CPU uses no user space any more, since it is about to stop. Interrupts off. */
void tlb_leave(void);
/* No CPU uses `space` any more, not even lazily. */
void tlb_space_leave(struct mmu_space *space);
/* Around a wait for an interrupt, interrupts off; the entry of the interrupt that ends it calls tlb_idle_end() first of all (entry.S). */
void tlb_idle_begin(void);
void tlb_idle_end(void);
/* Kernel translations of [start, end), on all CPUs. The caller holds no lock that others take with interrupts off. */
void tlb_flush_kernel(vaddr_t start, vaddr_t end);
