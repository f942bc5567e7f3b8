/*
 * mult / 2^shift = to_hz / from_hz, with mult in [2^31, 2^32) where the shift allows it.
 */
#include "hal/pc/scale.h"

#include "kernel/base/bitmap.h"

#define DRIFT_FRACTION 100u

struct rate_scale rate_scale_compute(uint64_t from_hz, uint64_t to_hz)
{
    struct rate_scale scale = {.mult = 0, .shift = 0};

    if (from_hz == 0 || to_hz == 0) {
        return scale;
    }
    /* Only the ratio counts; with both below 2^32 the shifted dividend stays within 64 bits. */
    while (from_hz > UINT32_MAX || to_hz > UINT32_MAX) {
        from_hz = from_hz / 2 != 0 ? from_hz / 2 : 1;
        to_hz = to_hz / 2 != 0 ? to_hz / 2 : 1;
    }
    /* to_hz << shift has 64 significant bits at most; the quotient must fit in 32. */
    for (uint32_t shift = 63 - bit_fls(to_hz);; shift--) {
        uint64_t shifted = to_hz << shift;
        uint64_t mult = shifted / from_hz;
        if (shifted % from_hz >= from_hz - from_hz / 2) {
            mult++; /* round to nearest */
        }
        if (mult <= UINT32_MAX || shift == 0) {
            scale.mult = mult <= UINT32_MAX ? (uint32_t)mult : UINT32_MAX;
            scale.shift = shift;
            return scale;
        }
    }
}

struct rate_scale rate_scale_adjust(struct rate_scale scale, int64_t rate)
{
    uint64_t mult = scale.mult + (uint64_t)(((__int128)scale.mult * rate) >> 32);

    if (mult > UINT32_MAX) {
        return (struct rate_scale){.mult = (uint32_t)(mult >> 1), .shift = scale.shift - 1};
    }
    return (struct rate_scale){.mult = (uint32_t)mult, .shift = scale.shift};
}

enum rate_verdict rate_check(uint64_t count, uint64_t expected_hz, uint64_t ticks,
                             uint64_t ticks_hz, uint64_t *ret_hz)
{
    if (ticks == 0) {
        return RATE_UNKNOWN;
    }
    uint64_t hz = mul_div(count, ticks_hz, ticks);
    uint64_t off_hz = hz > expected_hz ? hz - expected_hz : expected_hz - hz;
    *ret_hz = hz;
    return off_hz > expected_hz / DRIFT_FRACTION ? RATE_OFF : RATE_HOLDS;
}
