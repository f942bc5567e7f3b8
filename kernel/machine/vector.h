/*
 * What the platform (interrupt controllers, timers) and the CPU code agree on: the CPU owns the descriptor tables and the
 * entry stubs; the platform says which function serves which interrupt vector, and how many CPUs the firmware listed.
 *
 * The entry code, for each vector from MACHINE_VECTOR_FIRST on: saves the frame, adds PREEMPT_HARDIRQ_ONE, calls the
 * handler with interrupts off, subtracts it again, calls machine_softirqs() (kernel/core/softirq.h) if something is pending and the interrupted code
 * had interrupts on, then reschedules or does user work as on any return. The handler counts this_cpu->irq_count and tells the interrupt
 * controller the end of the interrupt.
 */
#pragma once

#include "kernel/base/types.h"

#define MACHINE_VECTOR_FIRST 32u /* the vectors below are the CPU's exceptions */
#define MACHINE_NVECTORS     256u

struct trapframe;

typedef void machine_vector_fn(struct trapframe *frame, unsigned vector);

/* Set who serves `vector` (MACHINE_VECTOR_FIRST .. 255). Boot, or with the source of the interrupt masked. */
void machine_vector_install(unsigned vector, machine_vector_fn *handler);

/*
 * The platform lists the CPUs, the one that boots first, with the numbers by which its interrupt controllers know them: each gets its struct cpu
 * and its per-CPU data, in memory of `node`. The id; -ENOMEM; -ENOSPC: no more than MAX_CPUS. Boot.
 */
int machine_add_cpu(uint32_t apic_id, unsigned node);
/* By what number the interrupt controllers know the CPU. Any context. */
uint32_t machine_apic_id(unsigned id);

/* Non-maskable interrupts that the CPU has taken so far. Any context. */
uint64_t machine_nmi_count(unsigned id);

/* ---- offered by the platform to the CPU code ---- */

/* The vectors of messages between CPUs, VECTOR_MESSAGE_FIRST and up, are the CPU code's to choose. */
#define VECTOR_MESSAGE_FIRST 0xf0u
#define VECTOR_MESSAGE_END   0xfcu

struct cpumask;

/*
 * Wake processors that wait for it: they start at the page `real_mode_page` (below 1 MiB) in real mode, or at `mailbox_entry` in long mode
 * where firmware has kept them. Thread context; returns when they have been told. -ENODEV: there is no way to.
 */
int platform_wake_cpus(const struct cpumask *mask, paddr_t real_mode_page, paddr_t mailbox_entry);
/* That works a second time, for a CPU that has stopped with interrupts off. */
bool platform_cpus_return(void);
/* On a CPU that came up, interrupts off: its interrupt controller and its event timer. The reverse, before it stops. */
void platform_start_cpu(void);
void platform_stop_cpu(void);
/* Send an interrupt, or an NMI, to CPU `id`, not the caller's. Any context. */
void platform_send_message(unsigned id, unsigned vector);
void platform_send_nmi(unsigned id);
/* The end of a message's interrupt. */
void platform_end_message(void);
