/*
 * Who watches how long interrupts and preemption are off, and how long the most urgent thread waits: kernel/debug/latency.c, in builds with
 * -Dlatency=true. Any other build has nothing of it.
 *
 * <arch/cpu.h> and the machine's entries call this. Own CPU, any context; whoever turns interrupts or preemption off again calls in vain.
 */
#pragma once

#include "kernel/base/types.h"

#ifdef CONFIG_LATENCY
/* Interrupts have been turned off; are about to be turned on. */
void latency_irqs_off(void);
void latency_irqs_on(void);
/* preempt_count has grown by, is about to lose `levels`. */
void latency_preempt_off(uint32_t levels);
void latency_preempt_on(uint32_t levels);
/* A hardware interrupt begins and ends: preempt_count has its level, has it no more. Interrupts stay off. */
void latency_interrupt_enter(void);
void latency_interrupt_exit(void);
#else
static inline void latency_irqs_off(void)
{
}
static inline void latency_irqs_on(void)
{
}
static inline void latency_preempt_off(uint32_t levels)
{
    (void)levels;
}
static inline void latency_preempt_on(uint32_t levels)
{
    (void)levels;
}
#endif
