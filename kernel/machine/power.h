/* Leaving: power off, reset, and the test machine's exit. */
#pragma once

#include "kernel/base/types.h"

void machine_power_off(void) __noreturn;
void machine_reset(void) __noreturn;
/* Stop all CPUs for good and leave the power on. */
void machine_halt(void) __noreturn;

/*
 * What must be finished before the machine goes: drivers register once (caller's memory, for ever); fn is called with
 * interrupts off and must not wait for locks. Boot or thread context.
 */
struct machine_shutdown {
    void (*fn)(struct machine_shutdown *shutdown);
    struct machine_shutdown *next; /* set by machine_shutdown_register() */
};
void machine_shutdown_register(struct machine_shutdown *shutdown);
