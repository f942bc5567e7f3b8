/*
 * Softirqs: raising and running them. What they are for, and what their functions may do: softirq.h.
 *
 * Pending vectors are bits in struct cpu, so that the way out of an interrupt asks for one word. A run takes all bits at once and calls their
 * functions in order with interrupts on; what they leave, and what was raised meanwhile, is the next round. It ends when nothing is pending, when a
 * thread is wanted on this CPU, after ROUNDS_MAX, or when BUDGET_NS have passed since the end of the first round (a single round, which is
 * what nearly always does, reads no clock). Then the thread goes on, one round at a time, with preemption on in between.
 *
 * It begins at the end of an interrupt only where there was preemption and nobody wants the CPU: so it lengthens no section without preemption, and
 * the interrupt is none of its own. Elsewhere the scheduler, which is asked for, runs them before it chooses, or leaves them to the thread if
 * somebody waits who is more urgent (softirqs_go_on()).
 *
 * Something pending is never forgotten: it was raised in an interrupt or softirq, or where softirqs are forbidden, and then the end of that
 * looks or asks for the scheduler, or the thread is woken.
 *
 * Locks: pending bits and counts are their own CPU's, interrupts off (a bit is set by one instruction); others read the counts.
 */
#include "kernel/core/softirq.h"

#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/core/time.h"
#include "kernel/core/timer.h"
#include "kernel/machine/preempt.h"

#define ROUNDS_MAX 10u
#define BUDGET_NS  (2 * NS_PER_MS)

static const char *const names[SOFTIRQS] = {"HI",       "TIMER",   "NET_TX", "NET_RX",  "BLOCK",
                                            "IRQ_POLL", "TASKLET", "SCHED",  "HRTIMER", "RCU"};

static softirq_fn *functions[SOFTIRQS];      /* [I] once opened */
static const struct softirq_thread *threads; /* [a] NULL: there are none yet */

struct softirq_counts {
    uint64_t runs[SOFTIRQS];
};
static DEFINE_PER_CPU(struct softirq_counts, softirq_counts);
DEFINE_PER_CPU(bool, softirqs_held); /* own CPU, preemption off */

const char *softirq_name(enum softirq vector)
{
    return names[vector];
}

uint64_t softirq_count(enum softirq vector, unsigned cpu)
{
    return atomic_load_relaxed(&per_cpu_ptr(softirq_counts, cpu)->runs[vector]);
}

void softirq_open(enum softirq vector, softirq_fn *fn)
{
    ASSERT(functions[vector] == NULL || functions[vector] == fn);
    functions[vector] = fn;
}

void softirq_set_thread(const struct softirq_thread *thread)
{
    atomic_store_release(&threads, thread);
}

/* ---- raising ---- */

/* Interrupts off. */
static void thread_wake_up(void)
{
    const struct softirq_thread *thread = atomic_load_acquire(&threads);

    if (thread != NULL) {
        thread->wake();
    }
}

void softirq_raise(enum softirq vector)
{
    uint64_t flags = irq_save();

    ASSERT(functions[vector] != NULL);
    this_cpu->softirq_pending |= (uint32_t)BIT(vector);
    if (!in_interrupt()) {
        thread_wake_up();
    }
    irq_restore(flags);
}

void softirq_check(void)
{
    if (unlikely(this_cpu->softirq_pending != 0) && !in_interrupt()) {
        thread_wake_up();
    }
}

/* ---- running ---- */

/* The way out of an interrupt leads to the scheduler, whatever it met. */
static bool thread_is_chosen_anew(void)
{
    const struct softirq_thread *thread = atomic_load_acquire(&threads);

    return thread != NULL && thread->cpu_is_wanted();
}

static bool cpu_is_wanted(void)
{
    return need_resched() || thread_is_chosen_anew();
}

/* Call who is named in `vectors`. Interrupts on. Those who have more to do. */
static uint32_t call_all(uint32_t vectors)
{
    struct softirq_counts *counts = this_cpu_ptr(softirq_counts);
    uint32_t level = preempt_count() & PREEMPT_ATOMIC_MASK, more = 0;

    for (; vectors != 0; vectors &= vectors - 1) {
        unsigned vector = (unsigned)__builtin_ctz(vectors);
        atomic_store_relaxed(&counts->runs[vector], counts->runs[vector] + 1);
        if (functions[vector]()) {
            more |= vectors & -vectors;
        }
        ASSERT((preempt_count() & PREEMPT_ATOMIC_MASK) == level);
    }
    return more;
}

/* The cycles since irq_since were ours; those of interrupts in between, the machine has counted. */
static void charge_cycles(void)
{
    uint64_t cycles = cpu_cycles() - this_cpu->irq_since;

    this_cpu->softirq_cycles += cycles;
    if (current_thread() == this_cpu->idle) {
        this_cpu->irq_idle_cycles += cycles;
    }
}

/* Interrupts off, at the return too; in_interrupt() is false. */
static void run(unsigned rounds)
{
    ktime_t end = 0;

    preempt_count_add(PREEMPT_SOFTIRQ);
    this_cpu->irq_since = cpu_cycles();
    for (;;) {
        uint32_t vectors = this_cpu->softirq_pending;
        this_cpu->softirq_pending = 0;
        irq_enable();
        uint32_t more = call_all(vectors);
        irq_disable();
        this_cpu->softirq_pending |= more;
        if (likely(this_cpu->softirq_pending == 0) || --rounds == 0 || cpu_is_wanted()) {
            break;
        }
        ktime_t now = ktime_now();
        if (end == 0) {
            end = now + BUDGET_NS;
        } else if (now >= end) {
            break;
        }
    }
    charge_cycles();
    preempt_count_sub(PREEMPT_SOFTIRQ);
}

/* Interrupts off, at the return too. */
static void run_budget(void)
{
    *this_cpu_ptr(softirqs_held) = false;
    run(ROUNDS_MAX);
    if (unlikely(this_cpu->softirq_pending != 0)) {
        thread_wake_up();
    }
}

void machine_softirqs(void)
{
    if (in_interrupt()) {
        return;
    }
    if ((preempt_count() & PREEMPT_DEPTH_MASK) != 0 || thread_is_chosen_anew()) {
        softirq_hold();
    } else {
        run_budget();
        timers_release(); /* which were held back meanwhile */
    }
}

void softirq_hold(void)
{
    *this_cpu_ptr(softirqs_held) = true;
    preempt_set_need_resched();
}

void softirqs_go_on(bool urgent)
{
    if (!urgent) {
        run_budget();
    } else {
        *this_cpu_ptr(softirqs_held) = false;
        thread_wake_up();
    }
}

void softirq_run_round(void)
{
    irq_disable();
    if (this_cpu->softirq_pending != 0) {
        run(1);
    }
    irq_enable();
}

/* ---- a CPU that has gone ---- */

void softirq_adopt(unsigned dead)
{
    struct cpu *cpu = cpu_by_id(dead);
    uint32_t left = cpu->softirq_pending;

    cpu->softirq_pending = 0;
    for (; left != 0; left &= left - 1) {
        softirq_raise((enum softirq)__builtin_ctz(left));
    }
}
