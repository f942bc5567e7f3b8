/*
 * What the files of hal/host share.
 */
#pragma once

#include "kernel/base/types.h"
#include "kernel/machine/percpu.h"

#define HOST_MAX_CPUS 8

extern struct cpu host_cpus[HOST_MAX_CPUS];
extern bool host_pending[HOST_MAX_CPUS];

/* Make [va, va + len) show simulated physical memory from `pa` on, or nothing. */
void host_memory_show(vaddr_t va, paddr_t pa, uint64_t len);
void host_memory_hide(vaddr_t va, uint64_t len);

/* Run `fn` as a hard interrupt. False: interrupts are off. */
bool host_run_interrupt(void (*fn)(void *arg), void *arg);

/* What kernel/sync has to say. */
void host_sync_report(const char *text, bool backtrace);
