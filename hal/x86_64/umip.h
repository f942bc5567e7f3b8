/*
 * SGDT, SIDT, SMSW, SLDT and STR in user mode, which UMIP forbids (Intel SDM volume 2, CR4.UMIP in volume 3, 2.5).
 */
#pragma once

#include "kernel/machine/entry.h"

/*
 * A general protection fault of user mode: was it one of these? Then it has been done, or a signal is on its way, and true comes back.
 * Interrupts on; may sleep.
 */
bool umip_emulate(struct trapframe *frame);
