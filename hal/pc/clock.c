/*
 * Time: which counter the clock reads, and how its ticks become nanoseconds (kernel/machine/clock.h).
 *
 * By merit: a TSC that runs at one rate in all power states (invariant, by CPUID); else a TSC that ran evenly against a better
 * counter at boot and is watched from then on (watchdog.c); HPET; PM timer; PIT. The TSC is worth the trouble: it is the only
 * one that user space can read, and the only one that is an instruction instead of a slow device access.
 *
 * The numbers of the conversion are in one of a few structs; a change writes the one that was used longest ago and swaps the pointer. So
 * readers meet no change under way; one that slept over all the others sees by the generation of its struct that it was written anew.
 *
 * Locks: params_lock (spin, irqsave) serialises changes: the watchdog's (hard interrupt, boot CPU), that of a CPU that comes with a TSC that is off, and clock_adjust(). Readers take nothing.
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
#define LAPIC_VIRTUAL_HZ (NS_PER_SECOND / 16)
#define NPARAMS          8u

struct clock_params {
    struct clock_conversion conversion;
    const struct clock_source *source;
    uint32_t generation; /* [a] odd: being written */
    bool tsc;            /* source is the TSC */
};

/* Before the clocks are known: mult 0, so it is always 0 o'clock. */
static const struct clock_source boot_source = {.name = "none", .read = tsc_read};
static struct clock_params all_params[NPARAMS] = {{.source = &boot_source, .tsc = true}};
static unsigned newest;                                    /* [params_lock] */
static const struct clock_params *params = &all_params[0]; /* [a] */
static int64_t adjustment;                                 /* [params_lock] see clock_adjust() */
static struct spinlock params_lock = SPINLOCK_INIT("clock");

/* Since the base was read, perhaps by another CPU whose TSC is a little ahead of this one's: not before it then. */
static inline uint64_t count_since(const struct clock_conversion *conversion, uint64_t counter)
{
    uint64_t count = counter - conversion->base;

    return likely((int64_t)count >= 0) ? count : 0;
}

static inline ktime_t conversion_apply(const struct clock_conversion *conversion, uint64_t counter)
{
    return conversion->base_ns + (ktime_t)rate_scale_apply(count_since(conversion, counter),
                                                           conversion->mult, conversion->shift);
}

static inline ktime_t conversion_apply_raw(const struct clock_conversion *conversion,
                                           uint64_t counter)
{
    return conversion->raw_base_ns + (ktime_t)rate_scale_apply(count_since(conversion, counter),
                                                               conversion->raw_mult,
                                                               conversion->raw_shift);
}

/* Was what has been read from the struct since its generation was read written by one change? */
static inline bool params_hold(const struct clock_params *p, uint32_t generation)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return ((atomic_load_relaxed(&p->generation) ^ generation) | (generation & 1)) == 0;
}

static __noinline uint64_t counter_read_slow(const struct clock_params *p)
{
    return p->source->read();
}

static __always_inline ktime_t clock_read(bool raw)
{
    for (;;) {
        const struct clock_params *p = atomic_load_acquire(&params);
        uint32_t generation = atomic_load_acquire(&p->generation);
        uint64_t counter = likely(p->tsc) ? tsc_read_inline() : counter_read_slow(p);
        ktime_t now = raw ? conversion_apply_raw(&p->conversion, counter)
                          : conversion_apply(&p->conversion, counter);
        if (likely(params_hold(p, generation))) {
            return now;
        }
    }
}

ktime_t clock_monotonic_ns(void)
{
    return clock_read(false);
}

ktime_t clock_raw_ns(void)
{
    return clock_read(true);
}

const struct clock_source *clock_source(void)
{
    return READ_ONCE(params)->source;
}

void clock_conversion_read(struct clock_conversion *ret_conversion)
{
    uint64_t flags = spin_lock_irqsave(&params_lock);

    *ret_conversion = params->conversion;
    spin_unlock_irqrestore(&params_lock, flags);
}

/*
 * Let time go on from the present moment as the source's mult and shift, and the adjustment, say. The new counter is read before the old
 * one, so that time may skip the moment in between but never repeats it. Locked.
 */
static void clock_publish_locked(const struct clock_source *source)
{
    const struct clock_params *old = params;
    const struct rate_scale raw = {.mult = source->mult, .shift = source->shift};
    const struct rate_scale scale = rate_scale_adjust(raw, adjustment);

    newest = (newest + 1) % NPARAMS;
    struct clock_params *next = &all_params[newest];
    atomic_store_relaxed(&next->generation, next->generation + 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    uint64_t base = source->read();
    uint64_t old_counter = source == old->source ? base : old->source->read();
    next->source = source;
    next->tsc = source->read == tsc_read;
    next->conversion = (struct clock_conversion){
        .base = base,
        .base_ns = conversion_apply(&old->conversion, old_counter),
        .raw_base_ns = conversion_apply_raw(&old->conversion, old_counter),
        .mult = scale.mult,
        .shift = scale.shift,
        .raw_mult = raw.mult,
        .raw_shift = raw.shift,
    };
    atomic_store_release(&next->generation, next->generation + 1);
    atomic_store_release(&params, next);
}

static void clock_publish(const struct clock_source *source)
{
    uint64_t flags = spin_lock_irqsave(&params_lock);

    clock_publish_locked(source);
    spin_unlock_irqrestore(&params_lock, flags);
}

void clock_adjust(int64_t rate)
{
    uint64_t flags = spin_lock_irqsave(&params_lock);

    if (rate != adjustment) {
        adjustment = rate;
        clock_publish_locked(params->source);
    }
    spin_unlock_irqrestore(&params_lock, flags);
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

uint64_t clock_cycles_hz(void)
{
    return tsc_counter()->source.frequency_hz;
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
