/*
 * Rates as a multiplication and a shift. Pure arithmetic: also compiled for the host tests.
 */
#pragma once

#include "kernel/base/types.h"

struct rate_scale {
    uint32_t mult;
    uint32_t shift;
};

/*
 * The scale that turns a count at from_hz into one at to_hz, as precise as 32 bits of multiplier allow: the error is below
 * 2^-31 of the value when from_hz < to_hz * 2^32 and both are not 0.
 */
struct rate_scale rate_scale_compute(uint64_t from_hz, uint64_t to_hz);

/* The scale whose results are larger by rate / 2^32, |rate| less than a quarter of 2^32: as precise as before. */
struct rate_scale rate_scale_adjust(struct rate_scale scale, int64_t rate);

/*
 * Does a counter, which did `count`, run at `expected_hz`, by another one that did `ticks` at `ticks_hz` meanwhile? To 1 %; *ret_hz is its rate by the
 * other. One that stands still says nothing of any other: RATE_UNKNOWN, and *ret_hz is left alone.
 */
enum rate_verdict { RATE_HOLDS, RATE_OFF, RATE_UNKNOWN };
enum rate_verdict rate_check(uint64_t count, uint64_t expected_hz, uint64_t ticks,
                             uint64_t ticks_hz, uint64_t *ret_hz);

/* count * mult / 2^shift with a product of 128 bits; shift < 64 and the result fits in 64 bits. */
static inline uint64_t rate_scale_apply(uint64_t count, uint32_t mult, uint32_t shift)
{
    unsigned __int128 product = (unsigned __int128)count * mult;
    uint64_t low = (uint64_t)product;

    /* The compiler would guard against shifts of 64 and more with three instructions. */
    __asm__("shrdq %b2, %1, %0" : "+r"(low) : "r"((uint64_t)(product >> 64)), "c"(shift) : "cc");
    return low;
}

/* a * b / c with a product of 128 bits; UINT64_MAX when the result does not fit, or c is 0. */
static inline uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    uint64_t high = (uint64_t)(product >> 64), quotient = (uint64_t)product;

    if (high >= c) {
        return UINT64_MAX; /* the instruction would fault */
    }
    __asm__("divq %2" : "+a"(quotient), "+d"(high) : "r"(c) : "cc");
    return quotient;
}
