/*
 * Time on the host: CLOCK_MONOTONIC, or a clock that the test moves. The event timer fires when the test polls or advances.
 */
#include <time.h>

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/core/percpu.h"
#include "kernel/machine/clock.h"

static bool manual;
static int64_t manual_ns;
static ktime_t events[HOST_MAX_CPUS] = {[0 ... HOST_MAX_CPUS - 1] = KTIME_MAX};
static uint64_t rtc_offset;

/* Nanoseconds of the counter as monotonic time: what clock_adjust() made of them. mult is a fixed-point number with `shift` bits. */
static struct clock_conversion conversion = {
    .mult = 1u << 31, .shift = 31, .raw_mult = 1u << 31, .raw_shift = 31};

static uint64_t host_now(void)
{
    struct timespec now;

    if (manual) {
        return (uint64_t)manual_ns;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

const struct clock_source *clock_source(void)
{
    static const struct clock_source source = {
        .name = "host", .frequency_hz = 1000000000, .mult = 1, .shift = 0, .read = host_now};
    return &source;
}

void clock_conversion_read(struct clock_conversion *ret_conversion)
{
    *ret_conversion = conversion;
}

static ktime_t monotonic_of(uint64_t counter)
{
    unsigned __int128 product = (unsigned __int128)(counter - conversion.base) * conversion.mult;

    return conversion.base_ns + (ktime_t)(uint64_t)(product >> conversion.shift);
}

ktime_t clock_monotonic_ns(void)
{
    return monotonic_of(host_now());
}

/* Time is simulated here: 0, but for tests that say how many cycles there were. */
uint64_t host_cycles_hz;

uint64_t clock_cycles_hz(void)
{
    return host_cycles_hz;
}

ktime_t clock_raw_ns(void)
{
    return (ktime_t)host_now();
}

void clock_adjust(int64_t rate)
{
    uint64_t now = host_now();
    ktime_t monotonic = monotonic_of(now);

    conversion.base = now;
    conversion.base_ns = monotonic;
    conversion.raw_base_ns = (ktime_t)now;
    conversion.mult = (uint32_t)((1ll << 31) + (rate >> 1));
}

/* The counter when it is `time`. */
static int64_t counter_at(ktime_t time)
{
    if (conversion.mult == 1u << 31) {
        return time - conversion.base_ns + (ktime_t)conversion.base;
    }
    __int128 left = (__int128)(time - conversion.base_ns) << conversion.shift;

    return (int64_t)conversion.base + (int64_t)((left + conversion.mult - 1) / conversion.mult);
}

uint64_t clock_rtc_read(void)
{
    return (uint64_t)time(NULL) + rtc_offset;
}

int clock_rtc_write(uint64_t unix_time_s)
{
    rtc_offset = unix_time_s - (uint64_t)time(NULL);
    return 0;
}

void clock_event_program(ktime_t deadline)
{
    events[host_cpu->id] = deadline;
}

const char *clock_event_name(void)
{
    return "host";
}

void clock_delay_us(unsigned us)
{
    if (manual) {
        manual_ns += (int64_t)us * 1000;
    } else {
        struct timespec wait = {.tv_nsec = (long)us * 1000};
        (void)nanosleep(&wait, NULL);
    }
}

static void fire(void *arg)
{
    (void)arg;
    machine_timer_interrupt();
}

bool host_clock_poll(void)
{
    ktime_t *event = &events[host_cpu->id], due = *event;

    if (due == KTIME_MAX || clock_monotonic_ns() < due) {
        return false;
    }
    *event = KTIME_MAX;
    if (!host_run_interrupt(fire, NULL)) {
        *event = due;
        return false;
    }
    return true;
}

void host_clock_set_manual(int64_t now_ns)
{
    manual = true;
    manual_ns = now_ns;
    conversion.base = 0;
    conversion.base_ns = conversion.raw_base_ns = 0;
    conversion.mult = 1u << 31;
    events[host_cpu->id] = KTIME_MAX;
}

void host_clock_move(int64_t ns)
{
    manual_ns += ns;
}

bool host_clock_run_event(void)
{
    ktime_t event = events[host_cpu->id];

    if (!manual || event == KTIME_MAX) {
        return false;
    }
    if (counter_at(event) > manual_ns) {
        manual_ns = counter_at(event);
    }
    return host_clock_poll();
}

void host_clock_advance(int64_t ns)
{
    int64_t target = manual_ns + ns;
    ktime_t *event = &events[host_cpu->id];

    while (*event != KTIME_MAX && counter_at(*event) <= target && host_clock_run_event()) {
    }
    /* The event may have switched threads, and others may have moved the clock further before this one came back. */
    if (manual_ns < target) {
        manual_ns = target;
    }
}
