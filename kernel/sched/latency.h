/*
 * What the scheduler tells the latency tracer (kernel/machine/latency.h) of those who wait for a CPU.
 */
#pragma once

#include "kernel/base/types.h"

struct thread;

#ifdef CONFIG_LATENCY
/* The thread was woken and waits for CPU `cpu`, which runs something of this priority. The CPU's run queue is locked. */
void latency_woken_locked(const struct thread *thread, unsigned cpu, int current_prio);
/* This CPU is about to run the thread; its run queue is locked. */
void latency_switched_locked(const struct thread *next);
#else
static inline void latency_woken_locked(const struct thread *thread, unsigned cpu, int current_prio)
{
    (void)thread, (void)cpu, (void)current_prio;
}
static inline void latency_switched_locked(const struct thread *next)
{
    (void)next;
}
#endif
