/* Disciplining the clock (kernel/core/ntp.h), on a clock that the test moves. */
#define TEST_SUITE "core"
#include "kernel/core/ntp.h"

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "kernel/core/timer.h"
#include "test/unit/test.h"

#define DAY_S 86400ll

/* A fresh clock at `real_s`, nothing known of its error, no correction on its way. */
static void ntp_begin(int64_t real_s)
{
    struct __kernel_timex tx = {.modes = ADJ_STATUS | ADJ_FREQUENCY | ADJ_TICK | ADJ_TIMECONST |
                                         ADJ_TAI | ADJ_MICRO,
                                .tick = 10000};

    timers_init();
    host_clock_set_manual(0);
    time_set_rate(0);
    ntp_init();
    ktime_set_realtime(real_s * NS_PER_S);
    (void)ntp_adjust(&tx, true);
}

static void ntp_end(void)
{
    ntp_begin(1000);
    (void)host_clock_run_event();
}

/* By how much monotonic time gains on the counter in so many seconds, ns. */
static int64_t gain(int64_t seconds)
{
    ktime_t monotonic = ktime_now(), raw = clock_raw_ns();

    for (int64_t i = 0; i < seconds; i++) {
        host_clock_advance(NS_PER_S);
    }
    return ktime_now() - monotonic - (clock_raw_ns() - raw);
}

static struct __kernel_timex ask(void)
{
    struct __kernel_timex tx = {.modes = 0};

    (void)ntp_adjust(&tx, false);
    return tx;
}

#define EXPECT_NEAR(value, wanted, within)                                                         \
    EXPECT((value) >= (wanted) - (within) && (value) <= (wanted) + (within))

TEST(ntp, a_frequency_changes_the_rate_of_all_but_raw_time)
{
    ntp_begin(1000);
    struct __kernel_timex tx = {.modes = ADJ_FREQUENCY, .freq = 100 << 16};
    EXPECT_EQ(ntp_adjust(&tx, true), TIME_OK);
    EXPECT_EQ(tx.freq, 100 << 16);
    EXPECT_NEAR(gain(10), 1000000, 100); /* 100 ppm */
    EXPECT_EQ(ktime_realtime() - ktime_now(), 1000 * NS_PER_S);
    tx = (struct __kernel_timex){.modes = ADJ_FREQUENCY, .freq = -(600 << 16)};
    (void)ntp_adjust(&tx, true);
    EXPECT_EQ(tx.freq, -(500 << 16)); /* no further */
    EXPECT_NEAR(gain(2), -1000000, 100);
    tx = (struct __kernel_timex){.modes = ADJ_FREQUENCY | ADJ_TICK, .tick = 10100};
    (void)ntp_adjust(&tx, true);
    EXPECT_NEAR(gain(1), 10000000, 10); /* a hundredth */
    ntp_end();
}

TEST(ntp, the_vdso_page_follows_the_rate)
{
    const struct vdso_data *data = vdso_data();

    ntp_begin(1000);
    struct __kernel_timex tx = {.modes = ADJ_FREQUENCY, .freq = 250 << 16};
    (void)ntp_adjust(&tx, true);
    host_clock_advance(3 * NS_PER_S);
    uint64_t passed = clock_source()->read() - data->counter_base;
    EXPECT_EQ(data->monotonic_base_ns +
                  (int64_t)(((unsigned __int128)passed * data->mult) >> data->shift),
              ktime_now());
    EXPECT_EQ(data->raw_base_ns +
                  (int64_t)(((unsigned __int128)passed * data->raw_mult) >> data->raw_shift),
              clock_raw_ns());
    ntp_end();
}

TEST(ntp, adjtime_corrects_slowly_and_then_stops)
{
    ntp_begin(1000);
    struct __kernel_timex tx = {.modes = ADJ_OFFSET_SINGLESHOT, .offset = 1700};
    EXPECT_EQ(ntp_adjust(&tx, true), TIME_OK);
    EXPECT_EQ(tx.offset, 0);
    tx = (struct __kernel_timex){.modes = ADJ_OFFSET_SS_READ};
    (void)ntp_adjust(&tx, false);
    EXPECT_EQ(tx.offset, 1700);
    int64_t gained = gain(2);
    tx = (struct __kernel_timex){.modes = ADJ_OFFSET_SS_READ};
    (void)ntp_adjust(&tx, false);
    EXPECT(tx.offset < 1700 && tx.offset > 0);
    gained += gain(10);
    EXPECT_NEAR(gained, 1700000, 2000);
    EXPECT_EQ(gain(5), 0);
    ntp_end();
}

TEST(ntp, a_phase_offset_decays)
{
    ntp_begin(1000);
    struct __kernel_timex tx = {.modes = ADJ_STATUS | ADJ_NANO | ADJ_OFFSET | ADJ_TIMECONST,
                                .status = STA_PLL,
                                .constant = 0,
                                .offset = 40000000};
    EXPECT_EQ(ntp_adjust(&tx, true), TIME_OK);
    EXPECT_EQ(tx.offset, 40000000);
    EXPECT_EQ(tx.status & (STA_PLL | STA_NANO), STA_PLL | STA_NANO);
    (void)gain(4);
    EXPECT(ask().offset < 30000000);
    int64_t left = ask().offset;
    EXPECT(left > 0);
    (void)gain(60);
    EXPECT(ask().offset < 100);
    EXPECT_NEAR(ktime_now() - clock_raw_ns(), 40000000, 400000);
    ntp_end();
}

TEST(ntp, corrections_are_bounded_however_much_is_asked_for)
{
    static const int64_t amounts[] = {INT64_MIN, -1000, 1000, INT64_MAX};

    for (unsigned i = 0; i < ARRAY_SIZE(amounts); i++) {
        bool back = amounts[i] < 0;
        struct __kernel_timex tx = {.modes = ADJ_STATUS | ADJ_NANO | ADJ_OFFSET | ADJ_TIMECONST |
                                             ADJ_FREQUENCY | ADJ_TICK,
                                    .status = STA_PLL,
                                    .offset = amounts[i],
                                    .freq = back ? -(600ll << 16) : 600ll << 16,
                                    .tick = back ? 9000 : 11000};
        ntp_begin(100000);
        EXPECT_EQ(ntp_adjust(&tx, true), TIME_OK);
        EXPECT_EQ(tx.offset, CLAMP(amounts[i], -500000000ll, 500000000ll));
        tx = (struct __kernel_timex){.modes = ADJ_OFFSET_SINGLESHOT, .offset = amounts[i]};
        EXPECT_EQ(ntp_adjust(&tx, true), TIME_OK);
        int64_t gained = gain(3);
        EXPECT(back ? gained < -300000000 : gained > 300000000);
        EXPECT(back ? gained > -700000000 : gained < 700000000);
        tx = (struct __kernel_timex){.modes = ADJ_OFFSET_SS_READ};
        (void)ntp_adjust(&tx, false);
        EXPECT(back ? tx.offset > amounts[i] : tx.offset < amounts[i]);
        ntp_end();
    }
}

TEST(ntp, the_bound_of_the_error_grows_until_it_says_nothing)
{
    ntp_begin(1000);
    struct __kernel_timex tx = {
        .modes = ADJ_STATUS | ADJ_MAXERROR | ADJ_ESTERROR, .maxerror = 1000, .esterror = 77};
    EXPECT_EQ(ntp_adjust(&tx, true), TIME_OK);
    host_clock_advance(100 * NS_PER_S);
    EXPECT_EQ(ask().maxerror, 1000 + 100 * 500);
    EXPECT_EQ(ask().esterror, 77);
    EXPECT_EQ(ask().status & STA_UNSYNC, 0);
    host_clock_advance(100000 * NS_PER_S);
    EXPECT_EQ(ask().maxerror, 16000000);
    EXPECT_EQ(ask().status & STA_UNSYNC, STA_UNSYNC);
    ntp_end();
}

TEST(ntp, a_leap_second_is_inserted_at_midnight)
{
    struct __kernel_timex tx = {
        .modes = ADJ_STATUS | ADJ_TAI | ADJ_MAXERROR, .status = STA_INS, .constant = 37};

    ntp_begin(10 * DAY_S - 5);
    EXPECT_EQ(ntp_adjust(&tx, true), TIME_OK);
    EXPECT_EQ(ktime_tai() - ktime_realtime(), 37 * NS_PER_S);
    host_clock_advance(2 * NS_PER_S);
    EXPECT_EQ(ntp_adjust(&(struct __kernel_timex){0}, false), TIME_INS);
    ktime_t tai = ktime_tai();
    host_clock_advance(3 * NS_PER_S + NS_PER_MS);
    EXPECT_EQ(ntp_adjust(&(struct __kernel_timex){0}, false), TIME_OOP);
    EXPECT_EQ(ktime_realtime() / NS_PER_S, 10 * DAY_S - 1); /* the second that is there twice */
    EXPECT_EQ(ktime_tai() - tai, 3 * NS_PER_S + NS_PER_MS);
    EXPECT_EQ(ask().tai, 38);
    host_clock_advance(NS_PER_S);
    EXPECT_EQ(ntp_adjust(&(struct __kernel_timex){0}, false), TIME_WAIT);
    EXPECT_EQ(ktime_realtime() / NS_PER_S, 10 * DAY_S);
    tx = (struct __kernel_timex){.modes = ADJ_STATUS};
    (void)ntp_adjust(&tx, true);
    host_clock_advance(2 * NS_PER_S);
    EXPECT_EQ(ntp_adjust(&(struct __kernel_timex){0}, false), TIME_OK);
    ntp_end();
}

TEST(ntp, a_leap_second_is_left_out)
{
    struct __kernel_timex tx = {.modes = ADJ_STATUS | ADJ_MAXERROR, .status = STA_DEL};

    ntp_begin(10 * DAY_S - 5);
    EXPECT_EQ(ntp_adjust(&tx, true), TIME_OK);
    host_clock_advance(4 * NS_PER_S + NS_PER_MS);
    EXPECT_EQ(ktime_realtime() / NS_PER_S, 10 * DAY_S);
    EXPECT_EQ(ntp_adjust(&(struct __kernel_timex){0}, false), TIME_WAIT);
    EXPECT_EQ(ask().tai, -1);
    ntp_end();
}

static unsigned nsteps;

static void on_step(struct time_listener *listener)
{
    (void)listener;
    nsteps++;
}

TEST(ntp, a_second_that_is_asked_for_too_late_is_left_out_a_day_later)
{
    struct __kernel_timex tx = {.modes = ADJ_STATUS | ADJ_MAXERROR, .status = STA_DEL};

    ntp_begin(10 * DAY_S - 2);
    EXPECT_EQ(ntp_adjust(&tx, true), TIME_OK);
    host_clock_advance(3 * NS_PER_S + NS_PER_MS);
    EXPECT_EQ(ktime_realtime() / NS_PER_S, 10 * DAY_S + 1);
    EXPECT_EQ(ntp_adjust(&(struct __kernel_timex){0}, false), TIME_DEL);
    ntp_end();
}

TEST(ntp, no_leap_second_comes_because_the_clock_was_set)
{
    struct __kernel_timex tx = {.modes = ADJ_STATUS | ADJ_MAXERROR, .status = STA_INS};

    ntp_begin(10 * DAY_S + 100);
    EXPECT_EQ(ntp_adjust(&tx, true), TIME_OK);
    host_clock_advance(2 * NS_PER_S);
    ktime_set_realtime(12 * DAY_S * NS_PER_S + 100 * NS_PER_S);
    host_clock_advance(3 * NS_PER_S);
    EXPECT_EQ(ktime_realtime() / NS_PER_S, 12 * DAY_S + 103);
    EXPECT_EQ(ask().tai, 0);
    /* Asked for anew, it comes. */
    tx = (struct __kernel_timex){.modes = ADJ_STATUS};
    (void)ntp_adjust(&tx, true);
    host_clock_advance(2 * NS_PER_S);
    tx = (struct __kernel_timex){.modes = ADJ_STATUS, .status = STA_INS};
    (void)ntp_adjust(&tx, true);
    ktime_set_realtime((13 * DAY_S - 3) * NS_PER_S);
    host_clock_advance(2 * NS_PER_S);
    EXPECT_EQ(ntp_adjust(&tx, true), TIME_INS);
    host_clock_advance(2 * NS_PER_S);
    EXPECT_EQ(ask().tai, 1);
    ntp_end();
}

TEST(ntp, a_step_is_told_and_forgets_corrections)
{
    struct time_listener listener = {.stepped = on_step};

    ntp_begin(1000);
    nsteps = 0;
    time_listener_add(&listener);
    struct __kernel_timex tx = {.modes = ADJ_OFFSET_SINGLESHOT, .offset = 100000};
    (void)ntp_adjust(&tx, true);
    tx = (struct __kernel_timex){.modes = ADJ_SETOFFSET, .time = {5, 500000}};
    EXPECT_EQ(ntp_adjust(&tx, true), TIME_ERROR);
    EXPECT_EQ(nsteps, 1u);
    EXPECT_EQ(ktime_realtime(), 1005 * NS_PER_S + 500 * NS_PER_MS);
    tx = (struct __kernel_timex){.modes = ADJ_OFFSET_SS_READ};
    (void)ntp_adjust(&tx, false);
    EXPECT_EQ(tx.offset, 0);
    EXPECT_EQ(gain(3), 0);
    tx = (struct __kernel_timex){.modes = ADJ_SETOFFSET, .time = {-2000, 0}};
    EXPECT_EQ(ntp_adjust(&tx, true), -EINVAL); /* before 1970 */
    tx = (struct __kernel_timex){.modes = ADJ_SETOFFSET, .time = {-1006, 0}};
    EXPECT_EQ(ntp_adjust(&tx, true), -EINVAL); /* before boot */
    tx = (struct __kernel_timex){.modes = ADJ_SETOFFSET,
                                 .time = {KTIME_REAL_END / NS_PER_S - 1000, 0}};
    EXPECT_EQ(ntp_adjust(&tx, true), -EINVAL);
    tx = (struct __kernel_timex){.modes = ADJ_SETOFFSET, .time = {INT64_MAX, 0}};
    EXPECT_EQ(ntp_adjust(&tx, true), -EINVAL);
    tx = (struct __kernel_timex){.modes = ADJ_SETOFFSET, .time = {INT64_MIN, 999999}};
    EXPECT_EQ(ntp_adjust(&tx, true), -EINVAL);
    EXPECT_EQ(nsteps, 1u);
    time_listener_remove(&listener);
    ntp_end();
}

TEST(ntp, wrong_requests_change_nothing)
{
    ntp_begin(1000);
    struct __kernel_timex tx = {.modes = ADJ_FREQUENCY, .freq = 1 << 16};
    EXPECT_EQ(ntp_adjust(&tx, false), -EPERM);
    tx.modes = ADJ_OFFSET_SINGLESHOT & ~(unsigned)ADJ_OFFSET;
    EXPECT_EQ(ntp_adjust(&tx, true), -EINVAL);
    tx = (struct __kernel_timex){.modes = ADJ_TICK, .tick = 8999};
    EXPECT_EQ(ntp_adjust(&tx, true), -EINVAL);
    tx.tick = 11001;
    EXPECT_EQ(ntp_adjust(&tx, true), -EINVAL);
    tx = (struct __kernel_timex){.modes = ADJ_SETOFFSET, .time = {0, 1000000}};
    EXPECT_EQ(ntp_adjust(&tx, true), -EINVAL);
    tx = (struct __kernel_timex){.modes = ADJ_FREQUENCY, .freq = INT64_MAX};
    EXPECT_EQ(ntp_adjust(&tx, true), -EINVAL);
    EXPECT_EQ(ask().freq, 0);
    EXPECT_EQ(ask().tick, 10000);
    ntp_end();
}
