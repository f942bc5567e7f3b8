/*
 * Waiting for something to do: for the idle loop, beside cpu_idle() of machine/cpu.h.
 */
#pragma once

#include "kernel/base/types.h"

/* The CPU can sleep until a word of memory is written, and it pays (MWAIT on x86). Any context. */
bool cpu_idle_can_watch(void);
/* Sleep until one of the bits of the word is set, or an interrupt comes, or for no reason. Interrupts off; returns with interrupts on. */
void cpu_idle_watch(const uint32_t *word, uint32_t bits);
