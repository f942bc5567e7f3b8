/*
 * Boot steps inside the CPU's folder, in the order they run.
 */
#pragma once

struct boot_handoff;

/* From kernel_entry: on the boot stack, nothing set up. Goes to kernel_main(). */
void x86_start(const struct boot_handoff *handoff) __attribute__((noreturn));
void console_early_init(void);
/* Each CPU, before it is online: where it stands. */
void topology_init_cpu(void);
/* Put STAC and CLAC into the user-copy code, when the CPU has them. */
void user_init_early(const struct boot_handoff *handoff);
/* Adopt the loader's page tables as mmu_kernel. */
void mmu_init_early(const struct boot_handoff *handoff);
/* After mm: room for kernel mappings that all spaces share. */
void mmu_init(void);

extern unsigned char boot_stack[];
