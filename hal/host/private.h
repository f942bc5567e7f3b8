/*
 * What the files of hal/host share.
 */
#pragma once

#include "kernel/base/types.h"
#include "kernel/machine/percpu.h"

#define HOST_MAX_CPUS 17 /* CPU 0, and 16 that are simulated */

extern struct cpu host_cpus[HOST_MAX_CPUS];
extern bool host_pending[HOST_MAX_CPUS];

/* Make [va, va + len) show simulated physical memory from `pa` on, or nothing. */
void host_memory_show(vaddr_t va, paddr_t pa, uint64_t len);
void host_memory_hide(vaddr_t va, uint64_t len);

/* Run `fn` as a hard interrupt. False: interrupts are off. */
bool host_run_interrupt(void (*fn)(void *arg), void *arg);

/* user.c: wait for accesses to user memory that are under way, which may have been translated before, as a flush of the TLB does. No access of the caller's. */
void host_user_settle(void);

/* What kernel/sync has to say. */
void host_sync_report(const char *text, bool backtrace);

/* The clock moves without anybody noticing. */
void host_clock_move(int64_t ns);

/* simulate.c: the CPU that asks is a simulated one; CPU `id`, if it is one, is to choose anew. */
bool host_is_simulated(void);
void host_sim_message(unsigned id);
/* Run the current thread of CPU `id` until it leaves; only CPU 0's idle thread does that. */
void host_context_resume(unsigned id);
/* The running thread lets CPU 0 go on. */
void host_context_leave(void);
