/*
 * The kernel's clocks: monotonic, boot and real time, over machine/clock.h.
 *
 * Locks: the real-time offset is under a seqcount; readers never block.
 */
#pragma once

#include "kernel/machine/clock.h"

#define NS_PER_S  1000000000ll
#define NS_PER_MS 1000000ll
#define NS_PER_US 1000ll

/* CLOCK_MONOTONIC: 0 at boot. Any context. */
ktime_t ktime_now(void);
/* CLOCK_REALTIME in ns since 1970 UTC. Any context. */
ktime_t ktime_realtime(void);
/* clock_settime: step the real-time clock. */
void ktime_set_realtime(ktime_t now);
/* Wall clock at boot from the handoff or the RTC. */
void time_init(uint64_t handoff_unix_time_s);
/* Seconds of granularity coarse clocks: real time at the last tick; cheap, for file times. */
ktime_t ktime_realtime_coarse(void);

/*
 * What the vDSO needs to compute the clocks in user space, in one page that vm maps read-only into each process. Written under
 * its seqcount whenever an offset changes.
 */
struct vdso_data {
    uint32_t sequence;        /* odd: being written */
    uint32_t counter_usable;  /* 1: the TSC may be read; 0: make the system call */
    uint64_t counter_base;    /* TSC value at monotonic_base_ns */
    uint32_t mult;
    uint32_t shift;
    int64_t monotonic_base_ns;
    int64_t realtime_offset_ns; /* realtime = monotonic + this */
    int64_t coarse_realtime_ns;
};
struct vdso_data *vdso_data(void);
