/* Leaving: power off, reset, and the test machine's exit. */
#pragma once

#include "kernel/base/types.h"

void machine_power_off(void) __noreturn;
void machine_reset(void) __noreturn;
/* Stop all CPUs for good and leave the power on. */
void machine_halt(void) __noreturn;
