/*
 * What the platform (interrupt controllers, timers) and the CPU code agree on: the CPU owns the descriptor tables and the
 * entry stubs; the platform says which function serves which interrupt vector, and how many CPUs the firmware listed.
 *
 * The entry code, for each vector from MACHINE_VECTOR_FIRST on: saves the frame, adds PREEMPT_HARDIRQ_ONE, calls the
 * handler with interrupts off, subtracts it again, then reschedules or does user work as on any return. The handler counts
 * this_cpu->irq_count and tells the interrupt controller the end of the interrupt.
 */
#pragma once

#include "kernel/base/types.h"

#define MACHINE_VECTOR_FIRST 32u /* the vectors below are the CPU's exceptions */
#define MACHINE_NVECTORS     256u

struct trapframe;

typedef void machine_vector_fn(struct trapframe *frame, unsigned vector);

/* Set who serves `vector` (MACHINE_VECTOR_FIRST .. 255). Boot, or with the source of the interrupt masked. */
void machine_vector_install(unsigned vector, machine_vector_fn *handler);

/* How many CPUs the firmware tables list as usable, at least 1: what cpu_count_possible() answers. Boot, once. */
void machine_set_possible_cpus(unsigned ncpus);

/* Non-maskable interrupts taken so far, on all CPUs. Any context. */
uint64_t machine_nmi_count(void);
