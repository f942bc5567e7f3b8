#include "kernel/sched/psi_average.h"

#define FRACTION_BITS 32

/* exp(-2 s / 10 s, 60 s, 300 s) * 2^32: what a period leaves of an average. */
static const uint64_t keep[3] = {3516421809u, 4154161520u, 4266429413u};

void psi_clock_init(struct psi_clock *clock, ktime_t now)
{
    clock->updated = now;
    clock->next = now + PSI_PERIOD_NS;
}

bool psi_clock_advance(struct psi_clock *clock, ktime_t now, uint64_t *ret_missed,
                       uint64_t *ret_period)
{
    if (now < clock->next) {
        return false;
    }
    uint64_t missed = (uint64_t)(now - clock->next) / PSI_PERIOD_NS;
    ktime_t skipped = (ktime_t)missed * PSI_PERIOD_NS;

    *ret_missed = missed;
    *ret_period = (uint64_t)(now - clock->updated - skipped);
    clock->updated = now;
    clock->next += skipped + PSI_PERIOD_NS;
    return true;
}

static uint64_t decayed(uint64_t share, unsigned index)
{
    return (uint64_t)(((unsigned __int128)share * keep[index]) >> FRACTION_BITS);
}

void psi_average_update(struct psi_average *average, uint64_t total, uint64_t missed,
                        uint64_t period)
{
    /* More than the period cannot have been lost in it: the rest, which was in flight, counts in the next. */
    uint64_t grown = MIN(total - average->total, period);
    /* A period is at most two of two seconds: 100 * 2^32 of it in units of 2^7 ns fit into 64 bits. */
    uint64_t share = (((grown >> 7) * 100) << 25) / MAX(period >> 7, 1ull) << 7;

    average->total += grown;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t now = average->share[i];
        for (uint64_t left = MIN(missed, 10000u); left > 0 && now != 0; left--) {
            now = decayed(now, i);
        }
        average->share[i] =
            decayed(now, i) +
            (uint64_t)(((unsigned __int128)share * (BIT(FRACTION_BITS) - keep[i])) >>
                       FRACTION_BITS);
    }
}

uint32_t psi_average_get(const struct psi_average *average, unsigned index)
{
    return (uint32_t)((average->share[index] * 100 + BIT(FRACTION_BITS - 1)) >> FRACTION_BITS);
}

void psi_window_start(struct psi_window *window, ktime_t now, uint64_t total)
{
    window->start = now;
    window->at_start = total;
    window->former = 0;
}

uint64_t psi_window_growth(struct psi_window *window, ktime_t now, uint64_t total)
{
    uint64_t elapsed = (uint64_t)(now - window->start);
    uint64_t growth = total - window->at_start;

    if (elapsed > window->size) {
        window->start = now;
        window->at_start = total;
        window->former = growth;
        return growth;
    }
    uint64_t left = window->size - elapsed;
    /* Microseconds are enough, and ten seconds of them squared fit. */
    return growth + window->former / 1000 * (left / 1000) / (window->size / 1000) * 1000;
}
