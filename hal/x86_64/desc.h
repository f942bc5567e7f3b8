/*
 * Descriptor tables: GDT, TSS, IDT, and the MSRs of the system call entry.
 */
#pragma once

#include "hal/x86_64/percpu.h"

/* Fill the CPU's GDT and TSS and load them, the IDT, %gs and the system call MSRs. On the CPU itself, interrupts off. */
void desc_init_cpu(struct x86_cpu *cpu);
/* Tell user space by way of the CPU's registers which CPU and node it is. On the CPU itself. */
void desc_tell_node(struct x86_cpu *cpu, unsigned node);
/* Fill the IDT, once, before the first desc_init_cpu(). */
void desc_init(void);
