/*
 * Preemption control. While preemption is off a thread stays on its CPU and must not sleep.
 */
#pragma once

#include <arch/cpu.h>

/* In sched: give up the CPU from inside the kernel; preemption is on, a reschedule is wanted. */
void preempt_schedule(void);
/*
 * The same for the way out of an interrupt that met kernel code: the machine calls it when preempt_count() is 0 (no depth, a
 * reschedule wanted) after the interrupt level was left. Interrupts off at entry and at return.
 */
void preempt_schedule_irq(void);

static inline void preempt_disable(void)
{
    preempt_count_add(PREEMPT_ONE);
    barrier();
}

static inline void preempt_enable(void)
{
    barrier();
    if (unlikely(preempt_count_dec_and_test())) {
        preempt_schedule();
    }
}

/* For the scheduler itself. */
static inline void preempt_enable_no_resched(void)
{
    barrier();
    preempt_count_sub(PREEMPT_ONE);
}

static inline bool need_resched(void)
{
    return (preempt_count() & PREEMPT_NO_RESCHED) == 0;
}

static inline bool in_hardirq(void)
{
    return (preempt_count() & PREEMPT_HARDIRQ_MASK) != 0;
}

/* True where sleeping is forbidden: preemption or interrupts off, or in an interrupt. */
static inline bool in_atomic(void)
{
    return (preempt_count() & PREEMPT_ATOMIC_MASK) != 0 || !irq_enabled();
}
