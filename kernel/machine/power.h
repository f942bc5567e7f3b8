/* Leaving: power off, reset, and the test machine's exit. */
#pragma once

#include "kernel/base/types.h"

void machine_power_off(void) __noreturn;
void machine_reset(void) __noreturn;
