/*
 * The latency tracer's eyes: what <arch/cpu.h>, the machine's entries and the scheduler call (kernel/machine/latency.h, kernel/sched/latency.h).
 *
 * Nothing here may call what is watched: interrupts are turned off raw, and the meter is busy meanwhile. An NMI that comes in between finds
 * it busy and is not seen.
 *
 * Locks: a meter is its CPU's own, interrupts off; others ask that CPU. `woken` has its run queue's lock.
 */
#include <arch/mark.h>

#include "kernel/base/string.h"
#include "kernel/core/percpu.h"
#include "kernel/core/smp_call.h"
#include "kernel/core/time.h"
#include "kernel/debug/latency.h"
#include "kernel/machine/cpu.h"
#include "kernel/sched/latency.h"
#include "kernel/sched/thread.h"

struct woken {
    const struct thread *thread; /* not a reference: only compared. NULL: nobody */
    int prio;
    uint64_t since, own; /* the CPU's counter, and its meter's own time, when it was woken */
    struct latency_chain begin;
};

static DEFINE_PER_CPU(struct latency_meter, latency_meter);
static DEFINE_PER_CPU(struct woken, latency_woken);
static bool enabled;             /* [a] */
static bool counts_instructions; /* [a] the machine answers arch_count() */
static struct {
    uint64_t cycles;
    ktime_t ns;
} epoch; /* when it was enabled: what a cycle is in ns follows. Written by latency_enable(), torn reads are harmless */

/* ---- the counter ---- */

static uint64_t counter(void)
{
    return arch_count(cpu_cycles());
}

bool latency_in_instructions(void)
{
    return atomic_load_relaxed(&counts_instructions);
}

uint64_t latency_scale(uint64_t length)
{
    uint64_t cycles = cpu_cycles() - epoch.cycles;
    uint64_t ns = (uint64_t)(ktime_now() - epoch.ns);

    if (latency_in_instructions() || cycles == 0) {
        return length;
    }
    return (length * ((ns << 16) / cycles)) >> 16; /* exact enough for what lasts seconds in days */
}

/* ---- sections ---- */

#define SKIP_MAX 3u

/* Without the first `skip` frames, which are this file's. */
static __always_inline void take_chain(struct latency_chain *chain, size_t skip)
{
    uintptr_t addrs[LATENCY_DEPTH + SKIP_MAX];
    size_t n = cpu_backtrace(addrs, LATENCY_DEPTH + skip, NULL);

    chain->n = n > skip ? n - skip : 0;
    memcpy(chain->addrs, addrs + skip, chain->n * sizeof(addrs[0]));
}

static __noinline void section_begin(enum latency_kind kind)
{
    struct latency_meter *meter = this_cpu_ptr(latency_meter);

    if (latency_meter_enter(meter, counter())) {
        take_chain(latency_meter_begin(meter, kind), 2);
        latency_meter_leave(meter, counter());
    }
}

/* Apart: what is not kept does not pay for its frame. */
static __noinline void keep(enum latency_kind kind, uint64_t length,
                            const struct latency_chain *begin, size_t skip, const char *comm)
{
    struct latency_worst *kept = this_cpu_ptr(latency_meter)->worst[kind], *worst;
    struct latency_chain end;

    take_chain(&end, skip + 1);
    worst = latency_keep(kept, length, begin, &end);
    if (worst != NULL) {
        memcpy(worst->comm, comm, sizeof(worst->comm));
    }
}

static __noinline void section_end(enum latency_kind kind)
{
    struct latency_meter *meter = this_cpu_ptr(latency_meter);

    if (latency_meter_enter(meter, counter())) {
        uint64_t length = latency_meter_end(meter, kind);
        if (latency_is_long(meter->worst[kind], length)) {
            keep(kind, length, &meter->sections[kind].begin, 2, current_thread()->comm);
        }
        latency_meter_leave(meter, counter());
    }
}

static inline bool is_open(enum latency_kind kind)
{
    return this_cpu_ptr(latency_meter)->sections[kind].open;
}

/* The barriers behind the calls keep the caller's frame, which take_chain() leaves out. */
static __always_inline void irqs_off(void)
{
    if (unlikely(atomic_load_relaxed(&enabled)) && !is_open(LATENCY_IRQSOFF)) {
        section_begin(LATENCY_IRQSOFF);
        barrier();
    }
}

/*
 * Only the outermost level begins and ends a section. An interrupt that comes between the end of one and the count's change finds levels that
 * are not its own, and begins none. The count has grown, so that the CPU stays the same.
 */
static __always_inline void preempt_off(uint32_t levels)
{
    if (unlikely(atomic_load_relaxed(&enabled)) &&
        (preempt_count() & PREEMPT_ATOMIC_MASK) == levels && !is_open(LATENCY_PREEMPTOFF)) {
        uint64_t flags = irq_save_raw();
        section_begin(LATENCY_PREEMPTOFF);
        irq_restore_raw(flags);
    }
}

static __always_inline void preempt_on(uint32_t levels)
{
    if (unlikely(is_open(LATENCY_PREEMPTOFF)) &&
        (preempt_count() & PREEMPT_ATOMIC_MASK) == levels) {
        uint64_t flags = irq_save_raw();
        section_end(LATENCY_PREEMPTOFF);
        irq_restore_raw(flags);
    }
}

void latency_irqs_off(void)
{
    irqs_off();
}

/* Interrupts may be on already: then the thread may move, and another CPU's section is none of its business. */
void latency_irqs_on(void)
{
    if (unlikely(is_open(LATENCY_IRQSOFF)) && !irq_enabled()) {
        section_end(LATENCY_IRQSOFF);
        barrier();
    }
}

void latency_preempt_off(uint32_t levels)
{
    preempt_off(levels);
}

void latency_preempt_on(uint32_t levels)
{
    preempt_on(levels);
}

void latency_interrupt_enter(void)
{
    irqs_off();
    preempt_off(PREEMPT_HARDIRQ_ONE);
}

void latency_interrupt_exit(void)
{
    preempt_on(0);
}

/* ---- wakeups ---- */

/*
 * Real-time threads: others wait their turn. Instructions are counted by each CPU for itself, so that where they are the unit, who was woken by
 * another CPU is not measured.
 */
void latency_woken_locked(const struct thread *thread, unsigned cpu, int current_prio)
{
    struct woken *woken = per_cpu_ptr(latency_woken, cpu);

    if (likely(!atomic_load_relaxed(&enabled)) || thread->prio >= PRIO_FAIR ||
        thread->prio >= current_prio || (woken->thread != NULL && woken->prio <= thread->prio) ||
        (atomic_load_relaxed(&counts_instructions) && woken != this_cpu_ptr(latency_woken))) {
        return;
    }
    woken->thread = thread;
    woken->prio = thread->prio;
    woken->since = counter();
    woken->own = per_cpu_ptr(latency_meter, cpu)->own;
    take_chain(&woken->begin, 1);
}

void latency_switched_locked(const struct thread *next)
{
    struct woken *woken = this_cpu_ptr(latency_woken);
    struct latency_meter *meter = this_cpu_ptr(latency_meter);

    if (likely(woken->thread == NULL)) {
        return;
    }
    int64_t length = (int64_t)(counter() - woken->since - (meter->own - woken->own));
    if (next == woken->thread && length > 0) {
        if (latency_is_long(meter->worst[LATENCY_WAKEUP], (uint64_t)length)) {
            keep(LATENCY_WAKEUP, (uint64_t)length, &woken->begin, 1, next->comm);
        }
    } else if (next->prio <= woken->prio) {
        return; /* somebody even more urgent came before it */
    }
    woken->thread = NULL; /* it runs, or has gone elsewhere: a worse one would not run before it */
}

/* ---- asking ---- */

struct question {
    enum latency_kind kind;
    struct latency_worst *ret_worst; /* LATENCY_KEPT of them. NULL: forget */
};

static void answer(void *arg)
{
    const struct question *question = arg;
    struct latency_worst *worst = this_cpu_ptr(latency_meter)->worst[question->kind];
    const size_t size = LATENCY_KEPT * sizeof(worst[0]);

    if (question->ret_worst != NULL) {
        memcpy(question->ret_worst, worst, size);
    } else {
        memset(worst, 0, size);
    }
}

void latency_read(unsigned id, enum latency_kind kind, struct latency_worst *ret_worst)
{
    struct question question = {.kind = kind, .ret_worst = ret_worst};

    ret_worst[0].length = 0;
    (void)smp_call_one(id, answer, &question, true);
}

void latency_reset(enum latency_kind kind)
{
    struct question question = {.kind = kind};

    smp_call_many(cpus_online(), answer, &question, true);
}

bool latency_is_enabled(void)
{
    return atomic_load_relaxed(&enabled);
}

/* A section that was open when watching stopped has an end nobody knows. */
static void forget_open(void *arg)
{
    (void)arg;
    for (unsigned kind = 0; kind < LATENCY_KINDS; kind++) {
        this_cpu_ptr(latency_meter)->sections[kind].open = false;
    }
}

void latency_enable(bool on)
{
    if (on) {
        epoch.cycles = cpu_cycles();
        epoch.ns = ktime_now();
        uint64_t odd = ~0ull; /* no number of instructions */
        atomic_store_relaxed(&counts_instructions, arch_count(odd) != odd);
        smp_call_many(cpus_online(), forget_open, NULL, true);
    }
    atomic_store_release(&enabled, on);
}
