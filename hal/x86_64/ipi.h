/*
 * Messages between CPUs, inside the CPU's folder.
 */
#pragma once

#include "kernel/machine/smp.h"

/* Boot: take the interrupts of messages. */
void smp_install_messages(void);
/* The running CPU has received one. Interrupts off. */
void smp_message_add(enum smp_message message);
/* NMI: the running CPU stops for a panic on another. */
void smp_note_stopped(void);
