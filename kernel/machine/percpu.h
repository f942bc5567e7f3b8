/*
 * struct cpu: the fixed head of each CPU's own data, which the machine reaches in one instruction.
 *
 * The offsets of the first members are known to assembly (hal/x86_64/entry.S): keep them.
 * <arch/cpu.h> provides on top of it: this_cpu (a pointer usable for reads and writes of members; on x86-64 a %gs pointer),
 * current_thread(), cpu_self() (an ordinary pointer), preempt_disable(), preempt_enable_no_resched(), and the interrupt
 * flag functions.
 *
 * preempt_count: 0 means preemptible. Bits 0-7 preemption depth, 8 a softirq runs, 9-15 how often they are forbidden, 16-19 hard interrupt
 * depth, 20 NMI. Bit 31 is the *inverted* need-resched flag: set = no reschedule wanted. So one decrement that yields 0 says
 * "preemptible and a reschedule is wanted".
 *
 * Locks: everything here is written by its own CPU only, but for `need_resched_ipi`-style requests that go through
 * smp_send_reschedule().
 */
#pragma once

#include "kernel/base/types.h"

struct trapframe;

#define MAX_CPUS 256

#define PREEMPT_ONE            0x00000001u
#define PREEMPT_SOFTIRQ        0x00000100u /* one runs */
#define PREEMPT_NO_SOFTIRQ_ONE 0x00000200u
#define PREEMPT_HARDIRQ_ONE    0x00010000u
#define PREEMPT_NMI_ONE        0x00100000u
#define PREEMPT_DEPTH_MASK     0x000000ffu
#define PREEMPT_SOFTIRQ_MASK   0x0000ff00u
#define PREEMPT_HARDIRQ_MASK   0x000f0000u
#define PREEMPT_ATOMIC_MASK    0x00ffffffu /* any of these: may not sleep */
#define PREEMPT_NO_RESCHED     0x80000000u /* inverted need-resched */

/*
 * rcu_nesting: bit 31 is the *inverted* sign that the thread was switched out inside its section, so that one decrement that yields 0
 * says "the outermost section is left, and somebody waits to hear of it".
 */
#define RCU_NOT_BLOCKED 0x80000000u
#define RCU_IDLE        1u /* in rcu_idle */

struct thread;

struct cpu {
    struct cpu *self;           /* 0 */
    uintptr_t percpu_offset;    /* 8: add to the address of a PER_CPU variable */
    struct thread *current;     /* 16 */
    uint32_t preempt_count;     /* 24 */
    uint32_t id;                /* 28: 0 .. cpu_count()-1 */
    uintptr_t kernel_stack_top; /* 32: stack of `current` for entries from user mode */
    uintptr_t stack_canary;     /* 40: where the compiler's stack protector looks */
    uintptr_t scratch[2];       /* 48: for the system call entry */
    struct thread *idle;        /* 64 */
    struct thread *fpu_owner;   /* 72: whose FPU state is live in the registers, NULL: nobody's */
    void *arch;                 /* 80: the machine's own per-CPU struct */
    uint64_t irq_count;         /* 88: interrupts taken */
    uint32_t
        rcu_nesting; /* 96: depth of read sections of `current`, and RCU_NOT_BLOCKED (kernel/sync/rcu.h) */
    uint32_t rcu_idle; /* 100: [a] odd: waits for an interrupt; counts up at its begin and end */
    uint64_t rcu_seen; /* 104: the grace period that this CPU has reported to */
    uint32_t softirq_pending; /* 112: BIT(enum softirq) that want to run (kernel/core/softirq.h) */
    /* Where cpu_cycles() go. The machine's entry counts those of interrupts, kernel/core/softirq.c its own; others read the sums. */
    uint64_t irq_since;       /* 120: up to when they are counted, while one of the two runs */
    uint64_t irq_cycles;      /* 128: [a] of interrupt handlers, */
    uint64_t softirq_cycles;  /* 136: [a] of softirqs without the interrupts in them, */
    uint64_t irq_idle_cycles; /* 144: [a] and what of both met the idle thread */
    const struct trapframe *irq_frame; /* 152: in hard interrupt context: what was interrupted */
};

/* Does another CPU run its idle thread, and no interrupt or softirq on it? It may be over when the caller reads the answer. */
static inline bool cpu_looks_idle(const struct cpu *cpu)
{
    return __atomic_load_n(&cpu->current, __ATOMIC_RELAXED) == cpu->idle &&
           (__atomic_load_n(&cpu->preempt_count, __ATOMIC_RELAXED) &
            (PREEMPT_HARDIRQ_MASK | PREEMPT_SOFTIRQ)) == 0;
}

_Static_assert(offsetof(struct cpu, stack_canary) == 40, "the compiler looks at %gs:40");
_Static_assert(offsetof(struct cpu, preempt_count) == 24, "entry.S");
