/*
 * Pressure stall information (/proc/pressure, Linux's Documentation/accounting/psi.rst): the share of time that work lost because it waited
 * for the CPU, for memory, or for input and output.
 *
 * "Some": somebody waits while others may go on. "Full": nobody gets on. Each CPU counts for itself, under the lock of its run queue; what the
 * system has lost is the mean of the CPUs, each weighted with the time in which it had something to do.
 */
#pragma once

#include "kernel/base/types.h"

struct poll_table;
struct psi_trigger;

enum psi_resource { PSI_IO, PSI_MEMORY, PSI_CPU, PSI_RESOURCES };
enum psi_kind { PSI_SOME, PSI_FULL };

/*
 * The current thread cannot go on for lack of memory (it frees some, or brings back what has been freed too soon), or waits for a device, from
 * begin to end: every wait for a device is one, and shows as iowait in /proc/stat. Not nested: begin says whether it was begun here, and then end is due. Thread context.
 */
bool psi_begin(enum psi_resource resource);
void psi_end(enum psi_resource resource);

struct psi_figures {
    uint32_t avg[3];   /* over 10, 60 and 300 s, in 1/100 percent */
    uint64_t total_us; /* lost since boot */
};
/* Thread context. The CPU is never full: it does something for somebody. */
void psi_read(enum psi_resource resource, enum psi_kind kind, struct psi_figures *ret_figures);

/*
 * Tell when `threshold_us` were lost within any window of `window_us`, at most once a window. -EINVAL: a window must have 0.5 s to 10 s, and
 * the threshold be a part of it; -ENOMEM. Thread context.
 */
int psi_trigger_create(enum psi_resource resource, enum psi_kind kind, uint64_t threshold_us,
                       uint64_t window_us, struct psi_trigger **ret_trigger);
void psi_trigger_destroy(struct psi_trigger *trigger);
/* POLLPRI, once for each time. */
uint32_t psi_trigger_poll(struct psi_trigger *trigger, struct poll_table *table);

/* Boot: when there are timers and threads for work. */
void psi_init(void);
/* Each tick: averages may be due. Any context. */
void psi_tick(ktime_t now);
