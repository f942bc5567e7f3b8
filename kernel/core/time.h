/*
 * The kernel's clocks: monotonic, boot and real time, over machine/clock.h.
 *
 * Real time is monotonic time plus one 64-bit offset, read and written whole; coarse times are those of the last tick, as long as there are
 * any, else the others. Both run at the rate that ntp.c gives them; raw time runs as the hardware does.
 */
#pragma once

#include "kernel/base/list.h"
#include "kernel/machine/clock.h"

#define NS_PER_S  1000000000ll
#define NS_PER_MS 1000000ll
#define NS_PER_US 1000ll

/* CLOCK_MONOTONIC: ns since about boot. Any context. Timers' deadlines are on this scale. */
static inline ktime_t ktime_now(void)
{
    return clock_monotonic_ns();
}
/* now + ns without overflow. */
static inline ktime_t ktime_after(ktime_t now, ktime_t ns)
{
    return ns > KTIME_MAX - now ? KTIME_MAX : now + ns;
}
/* CLOCK_REALTIME in ns since 1970 UTC. Any context. */
ktime_t ktime_realtime(void);
/* CLOCK_TAI: real time without leap seconds. Any context. */
ktime_t ktime_tai(void);
/* Real time is not set to this or later: it is not to run out of what can be told within 30 years. Nor to before boot. */
#define KTIME_REAL_END ((KTIME_MAX / NS_PER_S - 30 * 365 * 86400ll) * NS_PER_S)
/* clock_settime: step the real-time clock, tell the listeners, forget what NTP knew of its error. Any context, no listener's lock held. */
void ktime_set_realtime(ktime_t now);

/* Who wants to know when real time is stepped. Called in any context, interrupts off; it may use no time_listener function. */
struct time_listener {
    struct list_node node;                           /* [listeners_lock] */
    void (*stepped)(struct time_listener *listener); /* [I] */
};
void time_listener_add(struct time_listener *listener);
/* Not called any more afterwards. No lock held that its `stepped` takes. */
void time_listener_remove(struct time_listener *listener);
/* How often real time was stepped. Any context. */
uint32_t time_steps(void);

/* For ntp.c: run faster by rate / 2^32; step real time; then, with no lock held, tell the listeners; what CLOCK_TAI adds, in seconds. */
void time_set_rate(int64_t rate);
void time_step(ktime_t by);
void time_tell_step(void);
void time_set_tai(int seconds);
/* settimeofday(2)'s timezone, for gettimeofday(2). Any context. */
void time_set_zone(int minutes_west, int dst);
/* Wall clock at boot from the handoff (0: unknown) or the RTC. Boot, once, after machine_init_clocks(). */
void time_init(uint64_t handoff_unix_time_s);
/* Real and monotonic time at the last tick or idle exit: cheap, for file times. Any context. */
ktime_t ktime_realtime_coarse(void);
ktime_t ktime_coarse(void);
/* The scheduler's tick: `now` has been read from the clock. Any context. */
void time_update_coarse(ktime_t now);
/* A CPU begins to tick, and ceases. While none does, coarse times are read from the fine clock. Any context. */
void time_ticks_begin(void);
void time_ticks_end(void);

/*
 * What the vDSO needs to compute the clocks in user space, alone in one page that vm maps read-only into each process. Written
 * under its sequence (odd: being written) whenever an offset or the conversion changes; the coarse times are single stores and
 * need no sequence.
 */
struct vdso_data {
    uint32_t sequence;       /* odd: being written */
    uint32_t counter_usable; /* 1: the TSC may be read; 0: make the system call */
    uint64_t counter_base;   /* TSC value at monotonic_base_ns */
    uint32_t mult;
    uint32_t shift;
    int64_t
        monotonic_base_ns; /* ns = base_ns + (((tsc - counter_base) * mult) >> shift), 128-bit product */
    int64_t realtime_offset_ns; /* realtime = monotonic + this */
    int64_t coarse_realtime_ns;
    int64_t coarse_monotonic_ns;
    int64_t raw_base_ns; /* the same conversion for CLOCK_MONOTONIC_RAW, from counter_base too */
    uint32_t raw_mult;
    uint32_t raw_shift;
    int64_t tai_offset_ns;  /* TAI = realtime + this */
    uint32_t coarse_stands; /* [a] 1: no CPU ticks; 0 again under the sequence */
    int32_t minutes_west;   /* gettimeofday(2)'s timezone */
    int32_t dst;
};
/* Page aligned, a page long. */
struct vdso_data *vdso_data(void);
