/*
 * A watch over CPUs that run the kernel without a pause: with preemption off, or in interrupts, for twice watchdog_thresh seconds. Told once for
 * each such time, with the stack.
 */
#pragma once

#include "kernel/base/types.h"

extern uint32_t
    watchdog_thresh; /* [a] seconds, half of what is too long; 0: no watch (/proc/sys/kernel/watchdog_thresh) */
extern uint32_t watchdog_panics; /* [a] 1: the first one is the end (softlockup_panic) */
extern uint32_t
    watchdog_hard_panics; /* [a] the same of a CPU that takes no interrupts (hardlockup_panic) */
extern uint32_t watchdog_reports; /* [a] so far */

/* The tick of a CPU that is not idle, in hard interrupt context. */
void watchdog_tick(ktime_t now);
