/*
 * The CPU as the portable kernel sees it, on the host: each host thread that host_cpu_enter() registered is one CPU.
 */
#pragma once

#include "kernel/machine/percpu.h"

extern _Thread_local struct cpu *host_cpu; /* never NULL: a static CPU 0 until host_cpu_enter() */
extern _Thread_local bool host_irq_enabled;
extern _Thread_local bool *host_irq_pending; /* never NULL */

/* Messages of other CPUs come in wherever interrupts are turned on, and in cpu_relax(). */
void host_interrupts_take(void);
static inline void host_irq_check(void)
{
    if (__builtin_expect(__atomic_load_n(host_irq_pending, __ATOMIC_RELAXED), 0)) {
        host_interrupts_take();
    }
}

#define this_cpu (host_cpu)

static inline struct cpu *cpu_self(void)
{
    return host_cpu;
}

static inline struct thread *current_thread(void)
{
    return host_cpu->current;
}

static inline unsigned cpu_id(void)
{
    return host_cpu->id;
}

static inline uint32_t preempt_count(void)
{
    return host_cpu->preempt_count;
}

static inline void preempt_count_add(uint32_t n)
{
    host_cpu->preempt_count += n;
}

static inline void preempt_count_sub(uint32_t n)
{
    host_cpu->preempt_count -= n;
}

static inline bool preempt_count_dec_and_test(void)
{
    return --host_cpu->preempt_count == 0;
}

static inline void preempt_set_need_resched(void)
{
    host_cpu->preempt_count &= ~PREEMPT_NO_RESCHED;
}

static inline void preempt_clear_need_resched(void)
{
    host_cpu->preempt_count |= PREEMPT_NO_RESCHED;
}

static inline uint32_t rcu_nesting(void)
{
    return host_cpu->rcu_nesting;
}

static inline void rcu_nesting_inc(void)
{
    host_cpu->rcu_nesting++;
}

static inline bool rcu_nesting_dec_and_test(void)
{
    return --host_cpu->rcu_nesting == 0;
}

static inline bool irq_enabled(void)
{
    return host_irq_enabled;
}

static inline void irq_disable(void)
{
    host_irq_enabled = false;
}

static inline void irq_enable(void)
{
    host_irq_enabled = true;
    host_irq_check();
}

static inline uint64_t irq_save(void)
{
    uint64_t flags = host_irq_enabled;
    host_irq_enabled = false;
    return flags;
}

static inline void irq_restore(uint64_t flags)
{
    host_irq_enabled = flags != 0;
    if (flags != 0) {
        host_irq_check();
    }
}

/* Nobody watches here (kernel/machine/latency.h). */
static inline uint64_t irq_save_raw(void)
{
    return irq_save();
}

static inline void irq_restore_raw(uint64_t flags)
{
    irq_restore(flags);
}

/*
 * The CPU that is waited for may be a thread that the host does not run just now: let it. (A waiter of a ticket lock that spins on is
 * in the way of the one whose turn it is.)
 */
void host_cpu_relax(void);

static inline void cpu_relax(void)
{
    host_cpu_relax();
}

static inline uint64_t cpu_cycles(void)
{
    return __builtin_ia32_rdtsc();
}
