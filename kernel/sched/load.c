/*
 * The tick: 100 times a second on each CPU that is not idle. It samples where the time goes, keeps the coarse clocks current,
 * and averages the load.
 *
 * An idle CPU takes no ticks: the tick that meets the idle thread is the last one, and the switch away from idle starts it again. Nor does one
 * that runs a single thread in user mode (tickless.c).
 * Load averages are computed when somebody ticks or asks, for all five-second periods that have passed since.
 *
 * Locking: run queue's lock for the counters; load_lock (spin, irqsave) guards the averages.
 */
#include "kernel/core/panic.h"
#include "kernel/machine/entry.h"
#include "kernel/sched/runqueue.h"
#include "kernel/sched/watchdog.h"
#include "kernel/sync/rcu.h"

#define LOAD_PERIOD_NS (5 * NS_PER_S)

static struct spinlock load_lock = SPINLOCK_INIT("load averages");
static uint64_t load_average[3]; /* [load_lock] 32.32 fixed point */
static ktime_t load_next;        /* [load_lock] */

/* exp(-5 s / 1 min, 5 min, 15 min) * 2^32: getloadavg(3) decays by these once per period. */
static const uint64_t load_decay[3] = {3951560672u, 4223977731u, 4271172524u};

static void load_step_locked(uint64_t running)
{
    for (unsigned i = 0; i < 3; i++) {
        uint64_t keep = load_decay[i], add = BIT(32) - keep;
        load_average[i] =
            (uint64_t)(((unsigned __int128)load_average[i] * keep) >> 32) + running * add;
    }
}

/* Account the periods that ended before `now`: idle ones, but for the last. */
static void load_update(ktime_t now, unsigned running)
{
    if (now < atomic_load_relaxed(&load_next)) {
        return;
    }
    uint64_t flags = spin_lock_irqsave(&load_lock);
    if (now >= load_next) {
        uint64_t periods = (uint64_t)(now - load_next) / LOAD_PERIOD_NS + 1;
        load_next += (ktime_t)periods * LOAD_PERIOD_NS;
        for (uint64_t i = MIN(periods, 1000u); i > 1; i--) {
            load_step_locked(0);
        }
        load_step_locked(running);
    }
    spin_unlock_irqrestore(&load_lock, flags);
}

void sched_load(uint64_t ret_load[3])
{
    /* Without ticks: those that run, but for who asks. */
    load_update(ktime_now(), cpumask_empty(&sched_tickless) ? 0 : sched_nr_running() - 1);
    uint64_t flags = spin_lock_irqsave(&load_lock);
    for (unsigned i = 0; i < 3; i++) {
        ret_load[i] = load_average[i] >> 21; /* 1/2048 */
    }
    spin_unlock_irqrestore(&load_lock, flags);
}

/*
 * Interrupts and softirqs have had the time of threads: of `n` ticks so many are none of the running thread's, for they tell of theirs themselves.
 */
static uint64_t interrupt_ticks_locked(struct runqueue *rq, uint64_t n)
{
    const struct cpu *cpu = cpu_by_id(rq->cpu);
    uint64_t tick = clock_cycles_hz() / SCHED_TICK_HZ;
    uint64_t cycles = atomic_load_relaxed(&cpu->irq_cycles) +
                      atomic_load_relaxed(&cpu->softirq_cycles) -
                      atomic_load_relaxed(&cpu->irq_idle_cycles) - rq->irq_charged;

    if (likely(cycles < tick) || tick == 0) {
        return 0;
    }
    n = MIN(n, cycles / tick);
    rq->irq_charged += n * tick;
    return n;
}

static void tick_sample_locked(struct runqueue *rq, struct thread *thread, bool user, uint64_t n)
{
    n -= interrupt_ticks_locked(rq, n);
    if (!user) {
        thread->stime_ticks += n;
        rq->ticks_system += n;
        return;
    }
    thread->utime_ticks += n;
    if (thread->nice > 0) {
        rq->ticks_nice += n;
    } else {
        rq->ticks_user += n;
    }
}

void tick_count_locked(struct runqueue *rq, struct thread *thread, bool user, ktime_t now)
{
    if (now >= rq->tick_from + SCHED_TICK_NS) {
        uint64_t n = (uint64_t)(now - rq->tick_from) / SCHED_TICK_NS;
        rq->tick_from += (ktime_t)n * SCHED_TICK_NS;
        tick_sample_locked(rq, thread, user, n);
    }
}

static void tick_expired(struct timer *timer)
{
    struct runqueue *rq = container_of(timer, struct runqueue, tick_timer);
    struct thread *thread = rq->current;
    ktime_t now = ktime_now();

    time_update_coarse(now);
    rcu_tick();
    if (thread == rq->idle) {
        time_ticks_end();
        return;
    }
    watchdog_tick(now);
    bool user = trapframe_from_user(this_cpu->irq_frame);
    runqueue_lock(rq);
    /* This one, with all before it that were late, or were left out as those of user mode. */
    tick_count_locked(rq, thread, user || rq->tickless != NULL, now);
    runqueue_update_current_locked(rq, now);
    runqueue_unlock(rq);
    if (now >= atomic_load_relaxed(&load_next)) {
        load_update(now, sched_nr_running());
    }
    psi_tick(now);
    if (sched_several) {
        balance_tick(rq);
    }
    if (unlikely(atomic_load_relaxed(&thread->dl.overrun)) && thread->process != NULL) {
        sched_alarm_hook(thread);
    }
    tickless_decide(rq, user);
}

void sched_tick_start(struct runqueue *rq, ktime_t now)
{
    if (!timer_is_armed(&rq->tick_timer)) {
        time_ticks_begin();
        rq->tick_from = now;
        timer_arm(&rq->tick_timer, now + SCHED_TICK_NS);
    }
}

void sched_tick_init(struct runqueue *rq)
{
    timer_init(&rq->tick_timer, tick_expired);
    if (load_next == 0) {
        load_next = ktime_now() + LOAD_PERIOD_NS;
        tickless_init();
        time_update_coarse(ktime_now());
    }
}

static ktime_t cycles_ns(uint64_t cycles)
{
    uint64_t hz = clock_cycles_hz();

    return hz == 0 ? 0 : (ktime_t)(cycles / hz * NS_PER_S + cycles % hz * NS_PER_S / hz);
}

/* An interrupt that is going on counts as idle time until it is over. */
static ktime_t idle_time_locked(struct runqueue *rq, const struct cpu *cpu, ktime_t iowait)
{
    ktime_t interrupts = cycles_ns(atomic_load_relaxed(&cpu->irq_idle_cycles));

    rq->idle_told = MAX(rq->idle_told, rq->idle->runtime_ns - interrupts - iowait);
    return rq->idle_told;
}

void sched_cpu_stats(unsigned cpu, struct sched_cpu_stats *ret_stats)
{
    struct runqueue *rq = per_cpu_ptr(runqueue, cpu);
    uint64_t flags = irq_save();

    *ret_stats = (struct sched_cpu_stats){0};
    if (rq->idle == NULL) { /* never came up */
        irq_restore(flags);
        return;
    }
    const struct cpu *self = cpu_by_id(cpu);
    runqueue_lock(rq);
    ktime_t now = ktime_now();
    if (cpu_is_online(cpu)) {
        runqueue_update_current_locked(rq, now);
    }
    psi_switched_locked(rq, now);
    ktime_t iowait = (ktime_t)rq->psi.sums.lost[PSI_SUM_IO_FULL];
    tickless_count_locked(rq, now);
    *ret_stats = (struct sched_cpu_stats){
        .user_ns = (ktime_t)rq->ticks_user * SCHED_TICK_NS,
        .nice_ns = (ktime_t)rq->ticks_nice * SCHED_TICK_NS,
        .system_ns = (ktime_t)rq->ticks_system * SCHED_TICK_NS,
        .idle_ns = idle_time_locked(rq, self, iowait),
        .iowait_ns = iowait,
        .irq_ns = cycles_ns(atomic_load_relaxed(&self->irq_cycles)),
        .softirq_ns = cycles_ns(atomic_load_relaxed(&self->softirq_cycles)),
        .niowait = rq->psi.nstalled[PSI_IO],
        .switches = rq->switches,
        .nrun = rq->nrun,
        .run_delay_ns = rq->run_delay,
        .pulls = rq->pulls,
        .wakes = rq->wakes,
        .wakes_local = rq->wakes - rq->wakes_remote,
    };
    runqueue_unlock(rq);
    irq_restore(flags);
}

/*
 * The sum is the exact running time; the samples say how it divides. Without a sample it all counts as user time.
 */
void thread_times(struct thread *thread, ktime_t *ret_user, ktime_t *ret_system)
{
    uint64_t flags = irq_save();
    struct runqueue *rq = runqueue_lock_of(thread);

    if (rq->current == thread) {
        ktime_t now = ktime_now();
        runqueue_update_current_locked(rq, now);
        tickless_count_locked(rq, now);
    }
    uint64_t total = (uint64_t)thread->runtime_ns;
    uint64_t user_ticks = thread->utime_ticks, ticks = user_ticks + thread->stime_ticks;
    runqueue_unlock(rq);
    irq_restore(flags);

    uint64_t user = total;
    if (ticks != 0) {
        user = total / ticks * user_ticks + total % ticks * user_ticks / ticks;
    }
    *ret_user = (ktime_t)user;
    *ret_system = (ktime_t)(total - user);
}

void sched_thread_stats(struct thread *thread, struct sched_thread_stats *ret_stats)
{
    uint64_t flags = irq_save();
    struct runqueue *rq = runqueue_lock_of(thread);

    if (rq->current == thread) {
        runqueue_update_current_locked(rq, ktime_now());
    }
    *ret_stats = (struct sched_thread_stats){
        .runtime_ns = thread->runtime_ns,
        .run_delay_ns = thread->run_delay,
        .nrun = thread->nrun,
        .vruntime = thread->fair.vruntime,
        .deadline = thread->fair.deadline,
    };
    runqueue_unlock(rq);
    irq_restore(flags);
}
