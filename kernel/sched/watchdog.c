/*
 * The watch over CPUs that do not come to the scheduler.
 *
 * The tick looks whether what it interrupted could be preempted, or has passed the scheduler since the tick before: for that it asks for a pass,
 * and finds the request gone. No path is slower for it. A CPU with interrupts off has no ticks: the grace periods of
 * read-copy-update notice that one (rcu.c).
 *
 * Locking: each CPU's own, in its tick.
 */
#include "kernel/sched/watchdog.h"

#include "kernel/base/atomic.h"
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/core/time.h"
#include "kernel/machine/preempt.h"
#include "kernel/sched/thread.h"

#define ASK_AFTER_NS (NS_PER_S / 2) /* before that nobody is asked for anything */
#define GAP_NS       NS_PER_S       /* ticks that are further apart: the CPU was idle between */

struct watchdog {
    ktime_t passed; /* when it was last seen where it could be preempted */
    ktime_t ticked; /* last tick */
    bool asked;     /* a pass through the scheduler was asked for */
    bool told;      /* this time */
};
static DEFINE_PER_CPU(struct watchdog, watchdog);

uint32_t watchdog_thresh = 10;
uint32_t watchdog_panics;
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

void watchdog_tick(ktime_t now)
{
    struct watchdog *dog = this_cpu_ptr(watchdog);
    ktime_t limit = 2 * NS_PER_S * atomic_load_relaxed(&watchdog_thresh);
    bool idle = now - dog->ticked > GAP_NS;

    dog->ticked = now;
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
