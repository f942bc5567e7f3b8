/*
 * Rates as multiplication and shift: the error over a year of counting.
 */
#define TEST_SUITE "hal"
#include "hal/pc/scale.h"
#include "test/unit/test.h"

#define NS_PER_SECOND 1000000000ull

static uint64_t difference(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* One year of ticks must be a year of nanoseconds, to 2^-31 and a bit. */
static void check_rate(uint64_t hz)
{
    const uint64_t year_s = 31536000;
    struct rate_scale scale = rate_scale_compute(hz, NS_PER_SECOND);
    uint64_t ns = rate_scale_apply(hz * year_s, scale.mult, scale.shift);

    EXPECT(scale.shift < 64);
    EXPECT_LE(difference(ns, year_s * NS_PER_SECOND), year_s * NS_PER_SECOND >> 30);
}

TEST(clock_scale, common_rates_lose_nothing_to_speak_of)
{
    static const uint64_t rates[] = {1193182,    3579545,    10000000,   14318180,
                                     24000000,   62500000,   999999937,  1000000000,
                                     1000000007, 2400000000, 3899999999, 4294967295};

    for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
        check_rate(rates[i]);
    }
}

TEST(clock_scale, rates_above_32_bits_work)
{
    check_rate(4294967296);
    check_rate(5700000001);
}

TEST(clock_scale, the_reverse_direction_works)
{
    struct rate_scale scale = rate_scale_compute(NS_PER_SECOND, 62500000);

    EXPECT_EQ(rate_scale_apply(1600, scale.mult, scale.shift), 100);
    EXPECT_EQ(rate_scale_apply(68000000000ull, scale.mult, scale.shift), 4250000000ull);
    scale = rate_scale_compute(NS_PER_SECOND, 4000000000ull);
    EXPECT_LE(difference(rate_scale_apply(NS_PER_SECOND, scale.mult, scale.shift), 4000000000ull),
              4);
}

TEST(clock_scale, nothing_comes_of_a_rate_of_zero)
{
    struct rate_scale scale = rate_scale_compute(0, NS_PER_SECOND);

    EXPECT_EQ(scale.mult, 0);
    EXPECT_EQ(rate_scale_apply(12345, scale.mult, scale.shift), 0);
}

TEST(clock_scale, mul_div_uses_the_whole_product_and_saturates)
{
    EXPECT_EQ(mul_div(10000000000ull, 10000000000ull, 50000000000ull), 2000000000);
    EXPECT_EQ(mul_div(UINT64_MAX, UINT64_MAX, UINT64_MAX), UINT64_MAX);
    EXPECT_EQ(mul_div(UINT64_MAX, 3, 2), UINT64_MAX);
    EXPECT_EQ(mul_div(5, 5, 0), UINT64_MAX);
    EXPECT_EQ(mul_div(0, 5, 7), 0);
}

TEST(clock_scale, an_adjusted_rate_is_as_precise)
{
    const uint64_t count = 3600ull * 2600000000ull;
    struct rate_scale plain = rate_scale_compute(2600000000ull, 1000000000ull);
    uint64_t hour = rate_scale_apply(count, plain.mult, plain.shift);

    for (int64_t ppm = -200000; ppm <= 200000; ppm += 500) {
        struct rate_scale scale = rate_scale_adjust(plain, ppm * (1ll << 32) / 1000000);
        int64_t wanted = (int64_t)hour + (int64_t)hour / 1000000 * ppm;
        int64_t error = (int64_t)rate_scale_apply(count, scale.mult, scale.shift) - wanted;
        EXPECT(error < 4000 && error > -4000); /* about 1e-9 of an hour */
    }
}

TEST(clock_scale, a_reference_that_stands_still_says_nothing)
{
    const uint64_t tsc_hz = 2400000000, hpet_hz = 10000000;
    uint64_t hz = 7;

    EXPECT_EQ(rate_check(2 * tsc_hz, tsc_hz, 0, hpet_hz, &hz), RATE_UNKNOWN);
    EXPECT_EQ(hz, 7);
    EXPECT_EQ(rate_check(2 * tsc_hz, tsc_hz, 2 * hpet_hz, hpet_hz, &hz), RATE_HOLDS);
    EXPECT_EQ(hz, tsc_hz);
    EXPECT_EQ(rate_check(2 * tsc_hz + tsc_hz / 60, tsc_hz, 2 * hpet_hz, hpet_hz, &hz), RATE_HOLDS);
    EXPECT_EQ(rate_check(2 * tsc_hz + tsc_hz / 40, tsc_hz, 2 * hpet_hz, hpet_hz, &hz), RATE_OFF);
    EXPECT_EQ(rate_check(2 * tsc_hz - tsc_hz / 40, tsc_hz, 2 * hpet_hz, hpet_hz, &hz), RATE_OFF);
    EXPECT_EQ(rate_check(2 * tsc_hz, tsc_hz, 1, hpet_hz, &hz), RATE_OFF); /* it stops now */
    EXPECT_EQ(rate_check(0, tsc_hz, hpet_hz, hpet_hz, &hz), RATE_OFF);
}
