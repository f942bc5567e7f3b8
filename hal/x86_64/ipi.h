/*
 * Messages between CPUs, inside the CPU's folder.
 */
#pragma once

#include "kernel/machine/smp.h"

/* Boot: take the interrupts of messages. */
void smp_install_messages(void);
/* The running CPU has received one. Interrupts off. */
void smp_message_add(enum smp_message message);
/* NMI: the running CPU stops, if another has told all to. */
void smp_stop_if_told(void);
