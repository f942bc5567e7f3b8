/*
 * What the portable kernel needs inline from the CPU: the current CPU and thread, preemption count, interrupt flag.
 */
#pragma once

#include "kernel/machine/latency.h"
#include "kernel/machine/percpu.h"

#define this_cpu ((struct cpu __attribute__((address_space(256))) *)0)

static inline struct cpu *cpu_self(void)
{
    return this_cpu->self;
}

static inline struct thread *current_thread(void)
{
    struct thread *thread;
    /* Not volatile: for one thread the answer never changes, so the compiler may keep it. */
    __asm__("movq %%gs:16, %0" : "=r"(thread));
    return thread;
}

static inline unsigned cpu_id(void)
{
    uint32_t id;
    __asm__ volatile("movl %%gs:28, %0" : "=r"(id));
    return id;
}

static inline uint32_t preempt_count(void)
{
    uint32_t count;
    __asm__ volatile("movl %%gs:24, %0" : "=r"(count));
    return count;
}

/* One instruction each, so that an interrupt or a migration can never split them. */
static inline void preempt_count_add(uint32_t n)
{
    __asm__ volatile("addl %0, %%gs:24" : : "er"(n) : "memory", "cc");
    latency_preempt_off(n);
}

static inline void preempt_count_sub(uint32_t n)
{
    latency_preempt_on(n);
    __asm__ volatile("subl %0, %%gs:24" : : "er"(n) : "memory", "cc");
}

/* Subtract one level; true when the CPU is now preemptible and a reschedule is wanted. */
static inline bool preempt_count_dec_and_test(void)
{
    bool zero;
    latency_preempt_on(PREEMPT_ONE);
    __asm__ volatile("decl %%gs:24" : "=@ccz"(zero) : : "memory");
    return zero;
}

static inline void preempt_set_need_resched(void)
{
    __asm__ volatile("andl %0, %%gs:24" : : "i"(0x7fffffff) : "memory", "cc");
}

static inline void preempt_clear_need_resched(void)
{
    __asm__ volatile("orl %0, %%gs:24" : : "i"(0x80000000) : "memory", "cc");
}

/* Depth of read sections (kernel/sync/rcu.h): one instruction each, for the same reason. */
static inline uint32_t rcu_nesting(void)
{
    uint32_t nesting;
    __asm__ volatile("movl %%gs:96, %0" : "=r"(nesting));
    return nesting;
}

static inline void rcu_nesting_inc(void)
{
    __asm__ volatile("incl %%gs:96" : : : "memory", "cc");
}

static inline bool rcu_nesting_dec_and_test(void)
{
    bool zero;
    __asm__ volatile("decl %%gs:96" : "=@ccz"(zero) : : "memory");
    return zero;
}

#define CPU_FLAGS_IF 0x200ull

static inline bool irq_enabled(void)
{
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0" : "=r"(flags) : : "memory");
    return (flags & CPU_FLAGS_IF) != 0;
}

/* These four as they are, for who watches over them: kernel/machine/latency.h. */
static inline void irq_disable_raw(void)
{
    __asm__ volatile("cli" ::: "memory");
}

static inline void irq_enable_raw(void)
{
    __asm__ volatile("sti" ::: "memory");
}

static inline uint64_t irq_save_raw(void)
{
    uint64_t flags;
    __asm__ volatile("pushfq; popq %0; cli" : "=r"(flags) : : "memory");
    return flags;
}

static inline void irq_restore_raw(uint64_t flags)
{
    if (flags & CPU_FLAGS_IF) {
        irq_enable_raw();
    }
}

static inline void irq_disable(void)
{
    irq_disable_raw();
    latency_irqs_off();
}

static inline void irq_enable(void)
{
    latency_irqs_on();
    irq_enable_raw();
}

/* Disable and return the former state for irq_restore(). */
static inline uint64_t irq_save(void)
{
    uint64_t flags = irq_save_raw();
    latency_irqs_off();
    return flags;
}

static inline void irq_restore(uint64_t flags)
{
    if (flags & CPU_FLAGS_IF) {
        irq_enable();
    }
}

static inline void cpu_relax(void)
{
    __asm__ volatile("pause" ::: "memory");
}

/* A cheap cycle counter for entropy and tracing; not a clock. */
static inline uint64_t cpu_cycles(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return ((uint64_t)hi << 32) | lo;
}
