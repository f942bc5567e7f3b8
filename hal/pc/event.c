/*
 * The event timer: one interrupt at a chosen time. By merit: the local APIC's TSC-deadline mode, its one-shot count, HPET, PIT.
 * The parameter clockevent=NAME overrides.
 *
 * HPET and PIT serve the boot CPU alone; the others use their local APIC's timer whatever that one uses.
 *
 * Locks: chosen at boot; each CPU programs with its interrupts off.
 */
#include "hal/pc/pc.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/core/percpu.h"

#define NS_PER_SECOND 1000000000ull
#define LAPIC_MIN_HZ  100000u /* below that the calibration must have failed */

static struct event_device *event;                       /* [I] the boot CPU's; NULL: none yet */
static DEFINE_PER_CPU(struct event_device *, cpu_event); /* [I] once the CPU is up */

static void lapic_stop(void)
{
    lapic_timer_start(0);
}

static int lapic_start(void)
{
    irq_timer_install();
    lapic_timer_enable(false);
    return 0;
}

static struct event_device lapic_event = {
    .name = "lapic",
    .min_ticks = 1,
    .max_ticks = UINT32_MAX,
    .program = lapic_timer_start,
    .stop = lapic_stop,
    .start = lapic_start,
};

static void deadline_program(uint64_t ticks)
{
    lapic_timer_deadline(tsc_read() + ticks);
}

static void deadline_stop(void)
{
    lapic_timer_deadline(0);
}

static int deadline_start(void)
{
    irq_timer_install();
    lapic_timer_enable(true);
    return 0;
}

static struct event_device deadline_event = {
    .name = "tsc-deadline",
    .min_ticks = 1,
    .max_ticks = 1ull << 62,
    .program = deadline_program,
    .stop = deadline_stop,
    .start = deadline_start,
};

void clock_event_program(ktime_t deadline)
{
    struct event_device *device = *this_cpu_ptr(cpu_event);

    if (deadline == KTIME_MAX) {
        device->stop();
        return;
    }
    ktime_t now = clock_monotonic_ns();
    uint64_t delta_ns = deadline > now ? (uint64_t)(deadline - now) : 0;
    if (delta_ns > device->max_ns) {
        delta_ns = device->max_ns;
    }
    /* Rounded up: an interrupt that comes early has to be asked for twice. */
    uint64_t ticks = rate_scale_apply(delta_ns, device->scale.mult, device->scale.shift) + 1;
    device->program(ticks < device->min_ticks ? device->min_ticks : ticks);
}

const char *clock_event_name(void)
{
    return event != NULL ? event->name : "none";
}

static void event_update(struct event_device *device)
{
    uint64_t max_ns = mul_div(device->max_ticks - 1, NS_PER_SECOND, device->frequency_hz);

    device->scale = rate_scale_compute(NS_PER_SECOND, device->frequency_hz);
    device->max_ns = MIN(max_ns, (uint64_t)INT64_MAX);
}

void event_tsc_rate_changed(uint64_t tsc_hz)
{
    deadline_event.frequency_hz = tsc_hz;
    if (event == &deadline_event) {
        event_update(&deadline_event);
    }
}

static int event_try(struct event_device *device)
{
    if (device == NULL || device->frequency_hz == 0) {
        return -ENODEV;
    }
    int err = device->start();
    if (err == 0) {
        event = device;
        event_update(device);
        *this_cpu_ptr(cpu_event) = device;
    }
    return err;
}

bool event_is_per_cpu(void)
{
    return event == &deadline_event || lapic_event.frequency_hz != 0;
}

void event_start_cpu(void)
{
    struct event_device *device = event == &deadline_event ? event : &lapic_event;

    if (device != event) {
        event_update(device);
    }
    (void)device->start();
    *this_cpu_ptr(cpu_event) = device;
}

void event_init(uint64_t lapic_hz)
{
    const char *wanted = param_string("clockevent");

    lapic_event.frequency_hz = lapic_hz >= LAPIC_MIN_HZ ? lapic_hz : 0;
    if (lapic_timer_has_deadline() && tsc_is_invariant() &&
        clock_source() == &tsc_counter()->source) {
        deadline_event.frequency_hz = clock_source()->frequency_hz;
    }
    struct event_device *devices[] = {&deadline_event, &lapic_event, hpet_event(), pit_event()};
    for (unsigned i = 0; wanted != NULL && i < ARRAY_SIZE(devices); i++) {
        if (devices[i] != NULL && strcmp(devices[i]->name, wanted) == 0 &&
            event_try(devices[i]) == 0) {
            return;
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(devices); i++) {
        if (event_try(devices[i]) == 0) {
            return;
        }
    }
    log_err("clock: no event timer: nothing will ever time out");
}
