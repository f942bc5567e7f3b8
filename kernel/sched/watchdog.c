/*
 * The watch over CPUs that do not come to the scheduler.
 *
 * The tick looks whether what it interrupted could be preempted, or has passed the scheduler since the tick before: for that it asks for a pass,
 * and finds the request gone. No path is slower for it. A CPU with interrupts off has no ticks: the grace periods of
 * read-copy-update notice that one (rcu.c).
 *
 * A CPU whose interrupts are off cannot tell of itself. So each that ticks looks after the next one that is online: when that has taken no
 * interrupt for as long as it is not idle, it is sent one, and when it has not taken that either, by the time allowed, it is told of, with the
 * call chain that an NMI finds. Who only runs one thread and needs no ticks takes the message and is left alone.
 *
 * Locking: each CPU's own, in its tick.
 */
#include "kernel/sched/watchdog.h"

#include "kernel/base/atomic.h"
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/core/time.h"
#include "kernel/machine/preempt.h"
#include "kernel/machine/smp.h"
#include "kernel/sched/thread.h"

#define ASK_AFTER_NS (NS_PER_S / 2) /* before that nobody is asked for anything */
#define LOOK_NS      NS_PER_S       /* between looks at the neighbour */
#define GAP_NS       NS_PER_S       /* ticks that are further apart: the CPU was idle between */

struct watchdog {
    ktime_t passed; /* when it was last seen where it could be preempted */
    ktime_t ticked; /* last tick */
    bool asked;     /* a pass through the scheduler was asked for */
    bool told;      /* this time */
    /* The neighbour. */
    unsigned id;
    uint64_t irq_count; /* that it had taken at `since` */
    ktime_t since, looked;
    bool poked, reported;
};
static DEFINE_PER_CPU(struct watchdog, watchdog);

uint32_t watchdog_thresh = 10;
uint32_t watchdog_panics;
uint32_t watchdog_hard_panics;
uint32_t watchdog_reports;

static void report(ktime_t since)
{
    (void)atomic_fetch_add_relaxed(&watchdog_reports, 1);
    log_err("watchdog: cpu %u has not come to the scheduler for %lld s: %s (preempt count 0x%x)",
            cpu_id(), (long long)(since / NS_PER_S), current_thread()->comm, preempt_count());
    backtrace_log(LOG_ERR, NULL);
    if (atomic_load_relaxed(&watchdog_panics) != 0) {
        panic("watchdog: soft lockup");
    }
}

static void report_neighbour(const struct watchdog *dog, ktime_t since)
{
    (void)atomic_fetch_add_relaxed(&watchdog_reports, 1);
    log_err("watchdog: cpu %u has taken no interrupt for %lld s:", dog->id,
            (long long)(since / NS_PER_S));
    backtrace_log_cpu(LOG_ERR, dog->id);
    if (atomic_load_relaxed(&watchdog_hard_panics) != 0) {
        panic("watchdog: hard lockup of cpu %u", dog->id);
    }
}

/* The next CPU that is online; the own one if there is no other. */
static unsigned neighbour(void)
{
    unsigned id = cpumask_next(cpus_online(), cpu_id() + 1);

    return id < MAX_CPUS ? id : cpumask_first(cpus_online());
}

static void watch_neighbour(struct watchdog *dog, ktime_t now, ktime_t limit)
{
    unsigned id = neighbour();

    dog->looked = now;
    if (id == cpu_id()) {
        return;
    }
    const struct cpu *cpu = cpu_by_id(id);
    uint64_t count = atomic_load_relaxed(&cpu->irq_count);
    if (id != dog->id || count != dog->irq_count || cpu_looks_idle(cpu)) {
        dog->id = id;
        dog->irq_count = count;
        dog->since = now;
        dog->poked = dog->reported = false;
        return;
    }
    if (!dog->poked && now - dog->since >= limit / 2) {
        dog->poked = true;
        smp_send_reschedule(id);
    }
    if (!dog->reported && now - dog->since >= limit) {
        dog->reported = true;
        report_neighbour(dog, now - dog->since);
    }
}

void watchdog_tick(ktime_t now)
{
    struct watchdog *dog = this_cpu_ptr(watchdog);
    ktime_t limit = 2 * NS_PER_S * atomic_load_relaxed(&watchdog_thresh);
    bool idle = now - dog->ticked > GAP_NS;

    if (idle) {
        dog->since = now; /* it was not looked at meanwhile */
        dog->poked = false;
    }
    dog->ticked = now;
    if (limit != 0 && now - dog->looked >= LOOK_NS) {
        watch_neighbour(dog, now, limit);
    }
    if ((preempt_count() & PREEMPT_ATOMIC_MASK) == PREEMPT_HARDIRQ_ONE || idle ||
        (dog->asked && !need_resched())) {
        dog->passed = now;
        dog->asked = dog->told = false;
        return;
    }
    if (now - dog->passed >= ASK_AFTER_NS) {
        preempt_set_need_resched();
        dog->asked = true;
    }
    if (limit != 0 && now - dog->passed >= limit && !dog->told) {
        dog->told = true;
        report(now - dog->passed);
    }
}
