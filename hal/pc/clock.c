/*
 * Time: which counter the clock reads, and how its ticks become nanoseconds (kernel/machine/clock.h).
 *
 * By merit: a TSC that runs at one rate in all power states (invariant, by CPUID); else a TSC that ran evenly against a better
 * counter at boot and is watched from then on (watchdog.c); HPET; PM timer; PIT. The TSC is worth the trouble: it is the only
 * one that user space can read, and the only one that is an instruction instead of a slow device access.
 *
 * The numbers of the conversion are in an immutable struct; a change writes a fresh one and swaps the pointer, so readers
 * need no retry. There are few changes in the life of a machine, so old structs are never used again.
 *
 * Locks: `params` is written at boot, by the watchdog and when a CPU comes whose TSC is off, under clock_lock; readers load it once.
 */
#include "hal/pc/pc.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/core/timer.h"
#include "kernel/machine/init.h"
#include "kernel/machine/io.h"
#include "kernel/machine/preempt.h"
#include "kernel/machine/smp.h"
#include "kernel/sync/spinlock.h"

#define NS_PER_SECOND 1000000000ull
/*
 * A virtual machine without any timer of known rate (QEMU's microvm with everything off) still has a local APIC, and QEMU and
 * KVM let its timer count nanoseconds; ours divides them by 16.
 */
#define LAPIC_VIRTUAL_HZ  (NS_PER_SECOND / 16)
#define CLOCK_CHANGES_MAX 4u /* chosen, refined, given up, and one to spare */

struct clock_params {
    struct clock_conversion conversion;
    const struct clock_source *source;
    bool tsc; /* source is the TSC */
};

/* Before the clocks are known: mult 0, so it is always 0 o'clock. */
static const struct clock_source boot_source = {.name = "none", .read = tsc_read};
static struct clock_params all_params[1 + CLOCK_CHANGES_MAX] = {
    {.source = &boot_source, .tsc = true}};
static unsigned nchanges; /* [clock_lock] */
static struct spinlock clock_lock = SPINLOCK_INIT("clock source");
static const struct clock_params *params = &all_params[0]; /* [a] */

static inline ktime_t conversion_apply(const struct clock_conversion *conversion, uint64_t counter)
{
    return conversion->base_ns + (ktime_t)rate_scale_apply(counter - conversion->base,
                                                           conversion->mult, conversion->shift);
}

static __noinline ktime_t clock_read_slow(const struct clock_params *p)
{
    return conversion_apply(&p->conversion, p->source->read());
}

ktime_t clock_monotonic_ns(void)
{
    const struct clock_params *p = READ_ONCE(params);

    if (unlikely(!p->tsc)) {
        return clock_read_slow(p);
    }
    return conversion_apply(&p->conversion, tsc_read_inline());
}

const struct clock_source *clock_source(void)
{
    return READ_ONCE(params)->source;
}

void clock_conversion_read(struct clock_conversion *ret_conversion)
{
    *ret_conversion = READ_ONCE(params)->conversion;
}

/*
 * Let time go on from the present moment as the source's mult and shift say. The new counter is read before the old one, so
 * that time may skip the moment in between but never repeats it.
 */
static void clock_publish(const struct clock_source *source)
{
    uint64_t flags = spin_lock_irqsave(&clock_lock);

    if (nchanges == CLOCK_CHANGES_MAX) {
        spin_unlock_irqrestore(&clock_lock, flags);
        log_once(LOG_ERR, "clock: too many changes, staying with %s", clock_source()->name);
        return;
    }
    struct clock_params *next = &all_params[++nchanges];
    uint64_t base = source->read();
    uint64_t old_counter = source == params->source ? base : params->source->read();
    next->source = source;
    next->tsc = source->read == tsc_read;
    next->conversion = (struct clock_conversion){
        .base = base,
        .base_ns = conversion_apply(&params->conversion, old_counter),
        .mult = source->mult,
        .shift = source->shift,
    };
    atomic_store_release(&params, next);
    spin_unlock_irqrestore(&clock_lock, flags);
}

/* ---- a clock that wraps has to be read in time, even when nobody asks what time it is ---- */

static struct {
    struct timer timer;
    ktime_t period_ns; /* 0: the clock does not wrap */
    bool timers_work;
} keeper;

static void keeper_arm(void)
{
    if (keeper.timers_work && keeper.period_ns != 0) {
        timer_arm(&keeper.timer, clock_monotonic_ns() + keeper.period_ns);
    }
}

static void keeper_fire(struct timer *timer)
{
    (void)timer;
    keeper_arm(); /* which reads the clock */
}

void clock_switch(const struct counter *counter)
{
    uint64_t wrap_ns = counter_wrap_ns(counter);

    clock_publish(&counter->source);
    keeper.period_ns = wrap_ns == UINT64_MAX ? 0 : (ktime_t)(wrap_ns / 2);
    keeper_arm();
}

void clock_set_rate(struct counter *counter, uint64_t frequency_hz)
{
    struct rate_scale scale = rate_scale_compute(frequency_hz, NS_PER_SECOND);

    counter->source.frequency_hz = frequency_hz;
    counter->source.mult = scale.mult;
    counter->source.shift = scale.shift;
    if (clock_source() == &counter->source) {
        clock_publish(&counter->source);
    }
}

void clock_delay_us(unsigned us)
{
    if (clock_source() == &boot_source) {
        /* No clock yet: a write to the unused diagnostic port takes about a microsecond on the ISA bus. */
        for (unsigned i = 0; i < us; i++) {
            port_write8(0x80, 0);
        }
        return;
    }
    ktime_t end = clock_monotonic_ns() + (ktime_t)us * 1000;
    while (clock_monotonic_ns() < end) {
        cpu_relax();
    }
}

/* The parameter clocksource=NAME overrides merit. */
static struct counter *counter_wanted(struct counter *const *counters, unsigned n)
{
    const char *name = param_string("clocksource");

    for (unsigned i = 0; name != NULL && i < n; i++) {
        if (counters[i] != NULL && strcmp(counters[i]->source.name, name) == 0) {
            return counters[i];
        }
    }
    return NULL;
}

/*
 * Is the TSC fit to be the clock? Invariant: yes. Else it must have run evenly during calibration, on the only CPU that
 * runs, and either somebody can watch it (a counter that does not wrap between two looks), or the machine is virtual: then
 * the TSC does not stop with the processor.
 */
static bool tsc_fit(uint64_t tsc_hz, bool watchable)
{
    if (tsc_hz == 0) {
        return false;
    }
    return tsc_is_invariant() || tsc_is_virtual() || (cpu_count() == 1 && watchable);
}

static const struct counter
    *fallback; /* [I] what the clock reads when the TSC is no good; NULL: nothing better */

void clock_reject_tsc(const char *why, uint64_t cycles)
{
    if (clock_source() != &tsc_counter()->source) {
        return;
    }
    log_warn("clock: %s by %llu cycles", why, (unsigned long long)cycles);
    if (fallback == NULL) {
        log_warn("clock: there is none but the TSC: time may step");
        return;
    }
    clock_switch(fallback);
    machine_clock_changed();
    log_warn("clock: the TSC is not fit for it, %s from now on", fallback->source.name);
}

/* Set the TSC's rate and choose the clock. *ret_watch: the counter that calibrated the TSC and can watch it, or NULL. */
static struct counter *clock_choose(struct calibration *ret_calibration, uint64_t *ret_known_hz,
                                    struct counter **ret_watch)
{
    struct counter *tsc = tsc_counter(), *hpet = hpet_init(), *pmtimer = pmtimer_init();
    struct counter *watch = hpet != NULL ? hpet : pmtimer;
    struct counter *pit = pit_init();
    struct counter *reference = watch != NULL ? watch : pit;
    struct counter *all[] = {tsc, hpet, pmtimer, pit};
    uint64_t known_hz = tsc_cpuid_hz();

    for (unsigned i = 1; i < ARRAY_SIZE(all); i++) {
        if (all[i] != NULL) {
            clock_set_rate(all[i], all[i]->source.frequency_hz);
        }
    }
    const char *by = known_hz != 0 ? "CPUID" : reference != NULL ? reference->source.name : "guess";
    if (reference == NULL) {
        clock_set_rate(tsc, known_hz != 0 ? known_hz : NS_PER_SECOND);
        reference = tsc;
    }
    calibrate(reference, ret_calibration);
    if (reference == tsc && known_hz == 0 && tsc_is_virtual() && ret_calibration->lapic_hz != 0) {
        known_hz = mul_div(NS_PER_SECOND, LAPIC_VIRTUAL_HZ, ret_calibration->lapic_hz);
        ret_calibration->lapic_hz = LAPIC_VIRTUAL_HZ;
        by = "virtual lapic";
    }
    uint64_t tsc_hz = known_hz != 0 ? known_hz : ret_calibration->tsc_hz;
    clock_set_rate(tsc, tsc_hz);
    log_info("clock: tsc at %llu kHz by %s", (unsigned long long)tsc_hz / 1000, by);
    *ret_known_hz = known_hz;
    *ret_watch = watch;
    struct counter *wanted = counter_wanted(all, ARRAY_SIZE(all));
    if (wanted != NULL && wanted->source.mult != 0) {
        return wanted;
    }
    return reference == tsc || tsc_fit(tsc_hz, watch != NULL) ? tsc : reference;
}

void machine_init_clocks(void)
{
    struct calibration calibration = {.tsc_hz = 0};
    struct counter *watch;
    uint64_t known_hz;

    struct counter *chosen = clock_choose(&calibration, &known_hz, &watch);
    fallback = watch;
    clock_switch(chosen);
    event_init(calibration.lapic_hz);
    log_info("clock: source %s, events %s", clock_source()->name, clock_event_name());
    if (chosen == tsc_counter() && watch != NULL) {
        watchdog_init(watch, known_hz == 0, !tsc_is_invariant());
    }
}

void machine_init_late(void)
{
    timer_init(&keeper.timer, keeper_fire);
    keeper.timers_work = true;
    keeper_arm();
    watchdog_start();
}
