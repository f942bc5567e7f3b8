/*
 * The kernel's clocks: monotonic, boot and real time, over machine/clock.h.
 *
 * Real time is monotonic time plus one 64-bit offset, read and written whole; coarse times are those of the last tick.
 */
#pragma once

#include "kernel/machine/clock.h"

#define NS_PER_S  1000000000ll
#define NS_PER_MS 1000000ll
#define NS_PER_US 1000ll

/* CLOCK_MONOTONIC: ns since about boot. Any context. Timers' deadlines are on this scale. */
static inline ktime_t ktime_now(void)
{
    return clock_monotonic_ns();
}
/* CLOCK_REALTIME in ns since 1970 UTC. Any context. */
ktime_t ktime_realtime(void);
/* clock_settime: step the real-time clock. Any context. */
void ktime_set_realtime(ktime_t now);
/* Wall clock at boot from the handoff (0: unknown) or the RTC. Boot, once, after machine_init_clocks(). */
void time_init(uint64_t handoff_unix_time_s);
/* Real and monotonic time at the last tick or idle exit: cheap, for file times. Any context. */
ktime_t ktime_realtime_coarse(void);
ktime_t ktime_coarse(void);
/* The scheduler's tick: `now` has been read from the clock. Any context. */
void time_update_coarse(ktime_t now);

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
};
/* Page aligned, a page long. */
struct vdso_data *vdso_data(void);
