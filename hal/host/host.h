/*
 * The host machine: what tests call to set it up. Implements kernel/machine on Linux.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Simulated physical memory (256 MiB), page array, frame allocator, slab, boot thread: everything below sched. Once. */
void host_machine_init(void);
