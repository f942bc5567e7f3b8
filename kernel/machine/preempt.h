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

/* A softirq runs here, or one that an interrupt handler has interrupted. */
static inline bool in_softirq(void)
{
    return (preempt_count() & PREEMPT_SOFTIRQ) != 0;
}

/* What runs here is a thread's own doing: no interrupt handler, no softirq. */
static inline bool in_thread(void)
{
    return (preempt_count() & (PREEMPT_SOFTIRQ | PREEMPT_HARDIRQ_MASK | PREEMPT_NMI_ONE)) == 0;
}

/* In an interrupt of any kind, in a softirq, or where none may run. */
static inline bool in_interrupt(void)
{
    return (preempt_count() & (PREEMPT_SOFTIRQ_MASK | PREEMPT_HARDIRQ_MASK | PREEMPT_NMI_ONE)) != 0;
}

/* In core (softirq.c): what is pending waits for the scheduler, which is asked for. Preemption is off. */
void softirq_hold(void);

/*
 * Between these no softirq runs on this CPU, nor does the thread leave it: for data that a softirq shares with threads. They nest. What came
 * meanwhile runs when preemption is on again.
 */
static inline void softirq_disable(void)
{
    preempt_count_add(PREEMPT_NO_SOFTIRQ_ONE);
    barrier();
}

static inline void softirq_enable(void)
{
    barrier();
    /* First the one level for the other, so that nothing that comes in between is left lying. */
    preempt_count_sub(PREEMPT_NO_SOFTIRQ_ONE - PREEMPT_ONE);
    if (unlikely(this_cpu->softirq_pending != 0) && !in_interrupt()) {
        softirq_hold();
    }
    preempt_enable();
}

/* True where sleeping is forbidden: preemption or interrupts off, or in an interrupt. */
static inline bool in_atomic(void)
{
    return (preempt_count() & PREEMPT_ATOMIC_MASK) != 0 || !irq_enabled();
}
