/*
 * Arithmetic of pressure: running averages of a growing total, and growth within a sliding window. Without locks or clocks: the caller's.
 */
#pragma once

#include "kernel/base/types.h"

#define PSI_PERIOD_NS (2 * 1000000000ll)

/* Shares of time as 32.32 fixed point of percent. */
struct psi_average {
    uint64_t total;    /* ns that are in the averages already */
    uint64_t share[3]; /* over 10, 60, 300 s */
};

/* Periods that all averages share. */
struct psi_clock {
    ktime_t updated; /* up to here */
    ktime_t next;    /* the end of the running period */
};

void psi_clock_init(struct psi_clock *clock, ktime_t now);
/* A period is over: how many whole ones passed before it with nothing told (*ret_missed), and how long it was itself. False: not yet. */
bool psi_clock_advance(struct psi_clock *clock, ktime_t now, uint64_t *ret_missed,
                       uint64_t *ret_period);
/* Take in what `total` has grown in that period. */
void psi_average_update(struct psi_average *average, uint64_t total, uint64_t missed,
                        uint64_t period);
/* In 1/100 percent. */
uint32_t psi_average_get(const struct psi_average *average, unsigned index);

struct psi_window {
    uint64_t size;     /* ns */
    ktime_t start;     /* of the running window */
    uint64_t at_start; /* the total then */
    uint64_t former;   /* growth in the window before it */
};

void psi_window_start(struct psi_window *window, ktime_t now, uint64_t total);
/* How much the total has grown in the last `size` ns; of the part before the running window, as if it had grown evenly. */
uint64_t psi_window_growth(struct psi_window *window, ktime_t now, uint64_t total);
