/*
 * Functions called on other CPUs.
 *
 * Each CPU has one place to write down what it wants of others (struct call), and a set of CPUs that want something of it (`callers`). To
 * call: fill the own place, name the targets in `pending`, put the own bit into each target's set, and send a message to those whose
 * set was empty: who finds it not empty knows that a message is on its way. The called CPU takes the whole set at once, looks at the
 * place of each caller in it, and takes its own bit out of `pending` when it is done. So the memory grows with the number of CPUs only, no list
 * needs memory from anywhere, and one message serves any number of callers.
 *
 * The next call of a CPU waits until the last one is done everywhere. Interrupts are off while a place is filled, since an interrupt
 * handler may call too; they need not be on for anything else, for a CPU that waits serves what others want of it.
 *
 * Leaving: cpu_down() clears the CPU's bit of cpus_online_mask_, then calls a function that does nothing on all others and waits: whoever had
 * seen the bit had interrupts off until his request was made. What came in until then is served by the last smp_call_serve().
 *
 * Locks: none. `sequence` is the own CPU's with interrupts off; the rest of a place is stable while `pending` is not empty.
 */
#include "kernel/core/smp_call.h"

#include "kernel/base/errno.h"
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/core/softirq.h"
#include "kernel/machine/preempt.h"
#include "kernel/sync/lockdep.h"

struct call {
    smp_call_fn *fn;
    void *arg;
    struct cpumask pending; /* [a] CPUs that have yet to do it */
    uint64_t sequence;      /* how many calls there were; [a] read by the own CPU's waiters */
};

struct call_cpu {
    struct cpumask callers; /* [a] whose places are to be looked at */
    struct call call;
};

static DEFINE_PER_CPU(struct call_cpu, call_cpu);

/* For the lock checker: who calls waits for functions that take locks. */
static struct lock_class call_class = {.name = "smp call", .event = true, .nests = true};

struct cpumask cpus_online_mask_ = {{1}};

void cpu_set_online(unsigned id, bool online)
{
    if (online) {
        (void)cpumask_set_atomic(&cpus_online_mask_, id);
    } else {
        (void)cpumask_clear_atomic(&cpus_online_mask_, id);
    }
}

/* ---- the called side ---- */

static void call_run(unsigned caller)
{
    struct call *call = &per_cpu_ptr(call_cpu, caller)->call;

    lockdep_acquire(&call_class, call, true, 0);
    call->fn(call->arg);
    lockdep_release(&call_class, call);
    /* Release: the caller sees what fn wrote. After this the place may be another call's. */
    (void)cpumask_clear_atomic(&call->pending, cpu_id());
}

/* Interrupts off. */
static void serve(struct call_cpu *own)
{
    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        if (atomic_load_relaxed(&own->callers.bits[i]) == 0) {
            continue;
        }
        /* Acquire: pairs with the caller's cpumask_set_atomic(), after which its place is filled. */
        uint64_t callers = __atomic_exchange_n(&own->callers.bits[i], 0, __ATOMIC_SEQ_CST);
        for (; callers != 0; callers &= callers - 1) {
            call_run(i * 64 + (unsigned)__builtin_ctzll(callers));
        }
    }
}

void machine_call_interrupt(void)
{
    serve(this_cpu_ptr(call_cpu));
}

void smp_call_serve(void)
{
    uint64_t flags = irq_save();
    struct call_cpu *own = this_cpu_ptr(call_cpu);

    if (unlikely(!cpumask_empty(&own->callers))) {
        preempt_count_add(PREEMPT_HARDIRQ_ONE);
        serve(own);
        preempt_count_sub(PREEMPT_HARDIRQ_ONE);
        softirq_check();
    }
    irq_restore(flags);
}

/* ---- the calling side ---- */

/* Wait until call number `sequence` of this CPU is done everywhere. Preemption off. */
static void call_wait(struct call *call, uint64_t sequence)
{
    /* Another number: an interrupt handler has used the place since, which it may do only when the call is done. */
    while (atomic_load_relaxed(&call->sequence) == sequence && !cpumask_empty(&call->pending)) {
        smp_call_serve();
        cpu_relax();
    }
    atomic_fence(); /* pairs with the release in call_run() */
}

/* Wait until the place is free: what is served meanwhile may use it as well. Interrupts off. */
static void call_wait_free(struct call *call)
{
    while (!cpumask_empty(&call->pending)) {
        smp_call_serve();
        cpu_relax();
    }
    atomic_fence();
}

/* Interrupts off. `targets` are online and without the own CPU; at least one. Returns the call's number. */
static uint64_t call_send(struct call *call, const struct cpumask *targets, smp_call_fn *fn,
                          void *arg)
{
    struct cpumask quiet = CPUMASK_NONE;
    unsigned self = cpu_id(), id;

    call_wait_free(call);
    call->fn = fn;
    call->arg = arg;
    call->pending = *targets;
    uint64_t sequence = call->sequence + 1;
    atomic_store_relaxed(&call->sequence, sequence);
    for_each_cpu_in (id, targets) {
        struct cpumask *callers = &per_cpu_ptr(call_cpu, id)->callers;
        uint64_t old =
            __atomic_fetch_or(&callers->bits[self / 64], BIT(self % 64), __ATOMIC_SEQ_CST);
        if (old == 0) {
            cpumask_set(&quiet, id);
        }
    }
    if (!cpumask_empty(&quiet)) {
        smp_send_call(&quiet);
    }
    return sequence;
}

/* False: none of the set is online. */
static bool call_mask(const struct cpumask *mask, smp_call_fn *fn, void *arg, bool wait)
{
    struct cpumask targets;
    uint64_t sequence = 0;

    preempt_disable();
    lockdep_acquire(&call_class, &targets, false, 0);
    uint64_t flags = irq_save();
    struct call *call = &this_cpu_ptr(call_cpu)->call;
    bool any = cpumask_and(&targets, mask, cpus_online());
    bool self = any && cpumask_test(&targets, cpu_id());
    if (self) {
        cpumask_clear(&targets, cpu_id());
        any = !cpumask_empty(&targets);
    }
    if (any) {
        sequence = call_send(call, &targets, fn, arg);
    }
    if (self) {
        preempt_count_add(PREEMPT_HARDIRQ_ONE);
        fn(arg);
        preempt_count_sub(PREEMPT_HARDIRQ_ONE);
        softirq_check();
    }
    irq_restore(flags);
    if (any && wait) {
        call_wait(call, sequence);
    }
    lockdep_release(&call_class, &targets);
    preempt_enable();
    return any || self;
}

void smp_call_many(const struct cpumask *mask, smp_call_fn *fn, void *arg, bool wait)
{
    (void)call_mask(mask, fn, arg, wait);
}

int smp_call_one(unsigned cpu, smp_call_fn *fn, void *arg, bool wait)
{
    struct cpumask mask = CPUMASK_NONE;

    if (cpu >= cpu_count()) {
        return -ENXIO;
    }
    cpumask_set(&mask, cpu);
    return call_mask(&mask, fn, arg, wait) ? 0 : -ENXIO;
}

void smp_call_all(smp_call_fn *fn, void *arg, bool wait)
{
    smp_call_many(cpus_online(), fn, arg, wait);
}

void smp_call_others(smp_call_fn *fn, void *arg, bool wait)
{
    preempt_disable();
    struct cpumask mask = *cpus_online();
    cpumask_clear(&mask, cpu_id());
    smp_call_many(&mask, fn, arg, wait);
    preempt_enable();
}
