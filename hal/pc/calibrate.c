/*
 * How fast do the TSC and the local APIC timer run? Count both over a few milliseconds of a counter whose rate is known.
 *
 * A virtual CPU may lose the processor between reading two counters, and firmware may steal time (SMI). So a sample reads the
 * TSC before and after the reference and is taken again when the two lie far apart; and the window has two halves that must
 * agree, or the whole is repeated. Precision: a sample is good to about a microsecond, so 5 ms give about 200 ppm;
 * watchdog.c refines that over seconds.
 *
 * Cost: about 5 ms of busy waiting at boot.
 */
#include "hal/pc/pc.h"
#include "kernel/core/log.h"
#include "kernel/machine/preempt.h"

#define HALF_WINDOW_NS   2500000ull
#define SAMPLE_TRIES     8u
#define CALIBRATE_ROUNDS 4u
#define AGREE_FRACTION   200u /* halves within 0.5 % */

bool clock_sample_take(const struct counter *reference, struct clock_sample *ret_sample)
{
    uint64_t best = UINT64_MAX;
    uint64_t worst_ok = 0;
    bool lapic = lapic_present();

    for (unsigned i = 0; i < SAMPLE_TRIES; i++) {
        uint64_t before = tsc_read();
        uint64_t counter = reference->source.read();
        uint64_t after = tsc_read();
        if (after - before < best) {
            best = after - before;
            ret_sample->width = best;
            ret_sample->reference = counter;
            ret_sample->tsc = before + best / 2;
            ret_sample->lapic = lapic ? lapic_timer_count() : 0;
        }
        /* Two alike are the undisturbed cost of the read. */
        if (after - before <= worst_ok) {
            return true;
        }
        worst_ok = best + best / 4;
    }
    return false;
}

static void wait_ns(const struct counter *reference, uint64_t ns)
{
    uint64_t ticks = reference->source.frequency_hz * (ns / 1000) / 1000000;
    uint64_t start = reference->source.read();

    while (reference->source.read() - start < ticks) {
        cpu_relax();
    }
}

static uint64_t rate_of(uint64_t count, uint64_t reference_count, uint64_t reference_hz)
{
    return mul_div(count, reference_hz, reference_count);
}

static bool rates_agree(uint64_t a, uint64_t b)
{
    return (a > b ? a - b : b - a) <= MIN(a, b) / AGREE_FRACTION;
}

/* One window of two halves. False: disturbed. */
static bool calibrate_once(const struct counter *reference, struct calibration *ret)
{
    struct clock_sample s[3];

    for (unsigned i = 0; i < 3; i++) {
        if (i > 0) {
            wait_ns(reference, HALF_WINDOW_NS);
        }
        if (!clock_sample_take(reference, &s[i])) {
            return false;
        }
    }
    uint64_t hz = reference->source.frequency_hz;
    uint64_t first = rate_of(s[1].tsc - s[0].tsc, s[1].reference - s[0].reference, hz);
    uint64_t second = rate_of(s[2].tsc - s[1].tsc, s[2].reference - s[1].reference, hz);
    if (first == 0 || !rates_agree(first, second)) {
        return false;
    }
    uint64_t ticks = s[2].reference - s[0].reference;
    ret->tsc_hz = rate_of(s[2].tsc - s[0].tsc, ticks, hz);
    ret->lapic_hz = rate_of(s[0].lapic - s[2].lapic, ticks, hz); /* it counts down */
    return true;
}

void calibrate(const struct counter *reference, struct calibration *ret_calibration)
{
    uint64_t flags = irq_save();

    if (lapic_present()) {
        lapic_timer_mask();
        lapic_timer_start(UINT32_MAX);
    }
    for (unsigned round = 0; round < CALIBRATE_ROUNDS; round++) {
        if (calibrate_once(reference, ret_calibration)) {
            goto out;
        }
    }
    log_warn("clock: the TSC does not run evenly against %s", reference->source.name);
    /* The interrupt timer needs a rate all the same; a rough one only makes it come early or late. */
    uint64_t start = lapic_present() ? lapic_timer_count() : 0;
    wait_ns(reference, HALF_WINDOW_NS);
    ret_calibration->tsc_hz = 0;
    ret_calibration->lapic_hz =
        lapic_present() ? (start - lapic_timer_count()) * (1000000000ull / HALF_WINDOW_NS) : 0;
out:
    if (lapic_present()) {
        lapic_timer_start(0);
    }
    irq_restore(flags);
}
