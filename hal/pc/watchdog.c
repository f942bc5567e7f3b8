/*
 * The TSC watched: compared with another counter now and then, from a timer. That one cannot be wrong, but it may stop: it says nothing then.
 *
 * The first comparison over more than a second gives a rate a hundred times as precise as boot's calibration, and is taken
 * over. A later one that finds the TSC off by more than 1 % means that it stops in idle states or changes speed: after two of
 * these in a row the reference becomes the clock. The pauses grow, so that an idle machine stays idle.
 *
 * Locks: everything is touched at boot and then by the timer callback alone (hard interrupt context).
 */
#include "hal/pc/pc.h"
#include "kernel/core/log.h"
#include "kernel/core/time.h"
#include "kernel/core/timer.h"

#define FIRST_PAUSE_NS 1100000000ll
#define MAX_PAUSE_NS   16000000000ll
#define MAX_STRIKES    2u
#define MAX_WIDTH_US   100u /* a sample that is less precise says nothing */

static struct {
    struct timer timer;
    const struct counter *reference; /* NULL: nothing to do */
    struct clock_sample last;
    ktime_t pause_ns;
    bool last_valid;
    bool refine;   /* the rate is still boot's */
    bool distrust; /* the TSC may be given up */
    unsigned strikes;
} watchdog;

static void tsc_refine(uint64_t tsc_hz)
{
    struct counter *tsc = tsc_counter();
    int64_t old_hz = (int64_t)tsc->source.frequency_hz;
    int64_t ppm = ((int64_t)tsc_hz - old_hz) * 1000000 / old_hz;

    watchdog.refine = false;
    clock_set_rate(tsc, tsc_hz);
    event_tsc_rate_changed(tsc_hz);
    machine_clock_changed();
    log_debug("clock: tsc refined to %llu kHz (%lld ppm)", (unsigned long long)tsc_hz / 1000,
              (long long)ppm);
}

/* What the TSC did since the last sample. False: give it up. */
static bool tsc_check(const struct clock_sample *now)
{
    uint64_t ticks = now->reference - watchdog.last.reference;
    uint64_t cycles = now->tsc - watchdog.last.tsc;
    uint64_t expected_hz = tsc_counter()->source.frequency_hz, hz = 0;

    switch (rate_check(cycles, expected_hz, ticks, watchdog.reference->source.frequency_hz, &hz)) {
    case RATE_UNKNOWN:
        log_once(LOG_WARNING, "clock: %s stands still, nobody watches the tsc",
                 watchdog.reference->source.name);
        return true;
    case RATE_OFF:
        log_warn("clock: tsc ran at %llu kHz instead of %llu kHz by %s",
                 (unsigned long long)hz / 1000, (unsigned long long)expected_hz / 1000,
                 watchdog.reference->source.name);
        watchdog.pause_ns = FIRST_PAUSE_NS / 2; /* look again soon */
        return !watchdog.distrust || ++watchdog.strikes < MAX_STRIKES;
    case RATE_HOLDS:
        break;
    }
    watchdog.strikes = 0;
    if (watchdog.refine) {
        tsc_refine(hz);
    }
    return true;
}

static bool sample_take(struct clock_sample *ret_sample)
{
    return clock_sample_take(watchdog.reference, ret_sample) &&
           ret_sample->width <= tsc_counter()->source.frequency_hz / 1000000 * MAX_WIDTH_US;
}

/* Half a wrap of the reference leaves room for a late timer. */
static void watchdog_rearm(void)
{
    uint64_t wrap_ns = counter_wrap_ns(watchdog.reference);
    uint64_t pause_ns = MIN((uint64_t)watchdog.pause_ns, wrap_ns / 2);

    timer_arm(&watchdog.timer, ktime_now() + (ktime_t)pause_ns);
}

static void watchdog_fire(struct timer *timer)
{
    struct clock_sample now;

    (void)timer;
    if (clock_source() != &tsc_counter()->source) {
        return; /* given up for another reason */
    }
    bool valid = sample_take(&now);
    if (valid && watchdog.last_valid && !tsc_check(&now)) {
        clock_switch(watchdog.reference);
        machine_clock_changed();
        log_warn("clock: the TSC is not fit for it, %s from now on",
                 watchdog.reference->source.name);
        return;
    }
    if (!watchdog.refine && !watchdog.distrust) {
        return;
    }
    if (valid) {
        watchdog.last = now;
        watchdog.last_valid = true;
        watchdog.pause_ns = MIN(watchdog.pause_ns * 2, MAX_PAUSE_NS);
    } /* else the reference was read all the same, so it cannot wrap unseen */
    watchdog_rearm();
}

void watchdog_init(const struct counter *reference, bool refine, bool distrust)
{
    if (!refine && !distrust) {
        return;
    }
    watchdog.reference = reference;
    watchdog.refine = refine;
    watchdog.distrust = distrust;
    watchdog.pause_ns = FIRST_PAUSE_NS;
    timer_init(&watchdog.timer, watchdog_fire);
}

void watchdog_start(void)
{
    if (watchdog.reference == NULL) {
        return;
    }
    watchdog.last_valid = sample_take(&watchdog.last);
    watchdog_rearm();
}
