/*
 * Time from the machine: one monotonic counter (clock source), one programmable one-shot interrupt per CPU (event timer),
 * and the wall clock at boot.
 *
 * A clock source converts as ns = ((counter - base) * mult) >> shift, with 64-bit counter and 128-bit product.
 */
#pragma once

#include "kernel/base/types.h"

struct clock_source {
    const char *name; /* "tsc", "hpet", "acpi_pm", "pit" */
    uint64_t frequency_hz;
    uint32_t mult;
    uint32_t shift;
    bool user_readable;     /* user space can read the counter itself (TSC): the vDSO may use it */
    uint64_t (*read)(void); /* never goes backwards, wraps only at 64 bits; any context */
};

/*
 * The best clock source found. It may change after machine_init_clocks(): its frequency is refined over a longer time once, and
 * a TSC that drifts is given up for the next best source. Each time machine_clock_changed() is called.
 */
const struct clock_source *clock_source(void);
/*
 * How clock_monotonic_ns() converts just now: ns = base_ns + (((counter - base) * mult) >> shift). Whoever repeats it with the
 * same numbers (the vDSO) gets the same time, to the nanosecond. The same for clock_raw_ns().
 */
struct clock_conversion {
    uint64_t base;
    ktime_t base_ns, raw_base_ns;
    uint32_t mult, shift;
    uint32_t raw_mult, raw_shift;
};
void clock_conversion_read(struct clock_conversion *ret_conversion);
/* Entry point that the machine calls (kernel/core/time.c): clock_source() or its conversion changed. Interrupts off. */
void machine_clock_changed(void);
/* Nanoseconds since an arbitrary start before boot, monotonic. Any context. The one hot call: keep it lean. */
ktime_t clock_monotonic_ns(void);
/* The same without what clock_adjust() did to its rate. Any context. */
ktime_t clock_raw_ns(void);
/*
 * From now on monotonic time runs faster by rate / 2^32 than the source says; less than a quarter either way. The caller has
 * machine_clock_changed() follow, and sees to it that nobody else is here meanwhile. Interrupts off.
 */
void clock_adjust(int64_t rate);
/* How fast cpu_cycles() counts; 0: nobody knows. It is refined once after boot. Any context. */
uint64_t clock_cycles_hz(void);
/* Wall clock read from the RTC, seconds UTC since 1970; 0 when there is none. Slow; thread context. */
uint64_t clock_rtc_read(void);
int clock_rtc_write(uint64_t unix_time_s);

/*
 * Ask for one timer interrupt on this CPU at `deadline` (clock_monotonic_ns scale), or as soon as possible when it has passed;
 * KTIME_MAX cancels. Interrupts off. The interrupt calls machine_timer_interrupt() (kernel/core/timer.c).
 */
#define KTIME_MAX INT64_MAX
void clock_event_program(ktime_t deadline);
const char *clock_event_name(void);

/* Entry point that the machine calls: the event timer fired. Hard interrupt context. */
void machine_timer_interrupt(void);
/* Busy-wait. Any context; at most a few milliseconds. */
void clock_delay_us(unsigned us);
