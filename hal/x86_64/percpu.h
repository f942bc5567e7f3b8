/*
 * struct x86_cpu: what this machine keeps for each CPU behind the portable struct cpu. %gs points at it.
 */
#pragma once

#include <arch/cpu.h>

#include "kernel/machine/mmu.h"

#define IST_STACK_BYTES 8192u /* a panic runs on it */

/* Task state segment (Intel SDM volume 3, 8.7). */
struct tss {
    uint32_t reserved0;
    uint64_t rsp0; /* top of the current thread's kernel stack */
    uint64_t rsp1, rsp2;
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_bitmap; /* offset: beyond the limit, so no port is open to user mode */
} __packed;
_Static_assert(sizeof(struct tss) == 104, "SDM volume 3, figure 8-11");

#define GDT_ENTRIES 16

/* A stack for exceptions that must not trust the current one. The slot above it tells them their CPU (entry.S). */
struct ist_stack {
    uint8_t bytes[IST_STACK_BYTES - 16];
    struct cpu *cpu;
    uint64_t unused;
} __aligned(16);

struct x86_cpu {
    struct cpu cpu;                 /* first: %gs:0 */
    struct mmu_space *active_space; /* [o] whose tables CR3 holds */
    struct tss tss __aligned(16);
    uint64_t gdt[GDT_ENTRIES];
    struct ist_stack nmi_stack, double_fault_stack, machine_check_stack, debug_stack;
    uint64_t debug_serial; /* [o] whose breakpoints the debug registers hold; 0: none (debug.c) */
};

/* Usable for members without knowing the address, like this_cpu. */
#define this_x86_cpu ((struct x86_cpu __attribute__((address_space(256))) *)0)

extern struct x86_cpu boot_cpu;
