/*
 * Processors other than the boot CPU: what assembly and C know of each other.
 */
#pragma once

/* struct ap_slot, for trampoline.S: offsets, and values of `state`. */
#define AP_SLOT_APIC_ID 0
#define AP_SLOT_STATE   4
#define AP_SLOT_STACK   8
#define AP_SLOT_CPU     16
#define AP_SLOT_BYTES   24

#define AP_OFF     0 /* nobody waits for it: should it arrive, it stops */
#define AP_CALLED  1 /* on its way, as far as we know */
#define AP_ARRIVED 2 /* runs on its stack */

#ifndef __ASSEMBLER__

#include "hal/x86_64/percpu.h"

/* CPUs that there are: what cpu_count() answers. */
extern uint32_t ap_nslots; /* [I] after boot */

/* From trampoline.S: on the stack of the CPU's idle thread, %gs set, on the page tables of the way. */
void x86_start_cpu(struct x86_cpu *cpu) __noreturn;

#endif
