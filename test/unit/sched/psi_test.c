/* Pressure: averages and windows with a clock of the test's own, and what CPUs count. */
#define TEST_SUITE "psi"
#include "kernel/sched/psi_average.h"

#include "hal/host/host.h"
#include "kernel/core/time.h"
#include "kernel/sched/psi.h"
#include "kernel/sched/sched.h"
#include "test/unit/test.h"

#define SECOND NS_PER_S

/* Lose `lost` ns in each of n periods. */
static void run_periods(struct psi_clock *clock, struct psi_average *average, uint64_t *total,
                        ktime_t *now, uint64_t lost, unsigned n)
{
    uint64_t missed, period;

    while (n-- > 0) {
        *now += PSI_PERIOD_NS;
        *total += lost;
        EXPECT(psi_clock_advance(clock, *now, &missed, &period));
        EXPECT_EQ(missed, 0);
        EXPECT_EQ(period, PSI_PERIOD_NS);
        psi_average_update(average, *total, missed, period);
    }
}

TEST(psi, averages_approach_the_share_that_is_lost)
{
    struct psi_clock clock;
    struct psi_average average = {0};
    uint64_t total = 0;
    ktime_t now = 5 * SECOND;

    psi_clock_init(&clock, now);
    run_periods(&clock, &average, &total, &now, PSI_PERIOD_NS / 4, 1);
    EXPECT_EQ(psi_average_get(&average, 0), 453); /* 25 * (1 - exp(-0.2)) */
    EXPECT_EQ(psi_average_get(&average, 1), 82);
    EXPECT_EQ(psi_average_get(&average, 2), 17);
    run_periods(&clock, &average, &total, &now, PSI_PERIOD_NS / 4, 1500);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT(psi_average_get(&average, i) >= 2498 && psi_average_get(&average, i) <= 2500);
    }
}

TEST(psi, a_whole_loss_is_a_hundred_percent_and_falls_by_time)
{
    struct psi_clock clock;
    struct psi_average average = {0};
    uint64_t total = 0;
    ktime_t now = 0;

    psi_clock_init(&clock, now);
    run_periods(&clock, &average, &total, &now, PSI_PERIOD_NS, 2000);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT(psi_average_get(&average, i) >= 9990 && psi_average_get(&average, i) <= 10000);
    }
    run_periods(&clock, &average, &total, &now, 0, 5);
    EXPECT(psi_average_get(&average, 0) >= 3670 && psi_average_get(&average, 0) <= 3680); /* 1/e */
    EXPECT(psi_average_get(&average, 1) > 8400 && psi_average_get(&average, 2) > 9600);
}

TEST(psi, periods_without_a_look_count_as_calm)
{
    struct psi_clock looked, idle;
    struct psi_average a = {0}, b = {0};
    uint64_t total = 0, missed, period;
    ktime_t now = 0;

    psi_clock_init(&looked, now);
    run_periods(&looked, &a, &total, &now, PSI_PERIOD_NS, 10);
    idle = looked;
    b = a;
    run_periods(&looked, &a, &total, &now, 0, 7);
    EXPECT(psi_clock_advance(&idle, now, &missed, &period));
    EXPECT_EQ(missed, 6);
    EXPECT_EQ(period, PSI_PERIOD_NS);
    psi_average_update(&b, total, missed, period);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(psi_average_get(&a, i), psi_average_get(&b, i));
    }
    EXPECT(!psi_clock_advance(&idle, now + PSI_PERIOD_NS - 1, &missed, &period));
}

TEST(psi, more_than_a_period_is_carried_over)
{
    struct psi_average average = {0};

    psi_average_update(&average, 3 * PSI_PERIOD_NS, 0, PSI_PERIOD_NS);
    EXPECT_EQ(average.total, PSI_PERIOD_NS);
    uint32_t first = psi_average_get(&average, 0);
    psi_average_update(&average, 3 * PSI_PERIOD_NS, 0, PSI_PERIOD_NS);
    EXPECT(psi_average_get(&average, 0) > first);
    EXPECT_EQ(average.total, 2 * PSI_PERIOD_NS);
}

TEST(psi, a_window_slides_over_what_was_lost)
{
    struct psi_window window = {.size = (uint64_t)SECOND};

    psi_window_start(&window, 10 * SECOND, 1000);
    EXPECT_EQ(psi_window_growth(&window, 10 * SECOND + SECOND / 2, 1000 + 100 * NS_PER_MS),
              100 * NS_PER_MS);
    /* The window is over: a new one begins, of which the former is a part yet. */
    EXPECT_EQ(psi_window_growth(&window, 11 * SECOND + 1, 1000 + 400 * NS_PER_MS), 400 * NS_PER_MS);
    EXPECT_EQ(psi_window_growth(&window, 11 * SECOND + SECOND / 4 + 1, 1000 + 400 * NS_PER_MS),
              300 * NS_PER_MS);
    EXPECT_EQ(psi_window_growth(&window, 12 * SECOND + 1, 1000 + 450 * NS_PER_MS), 50 * NS_PER_MS);
    EXPECT_EQ(psi_window_growth(&window, 20 * SECOND, 1000 + 450 * NS_PER_MS), 50 * NS_PER_MS);
    EXPECT_EQ(psi_window_growth(&window, 20 * SECOND + SECOND / 2, 1000 + 450 * NS_PER_MS),
              25 * NS_PER_MS);
}

/* ---- what a CPU counts ---- */

#define STEP_NS (100 * NS_PER_US)

static ktime_t end_time;

static void setup(void)
{
    host_sched_init();
    host_clock_set_manual(ktime_now() + NS_PER_S);
    irq_disable();
    machine_timer_interrupt();
    irq_enable();
}

/* The idle thread, which the test is, gives way as soon as it may: hold it until all threads are there. */
static void hold(void)
{
    preempt_disable();
}

static void run(void)
{
    preempt_enable();
    host_run_threads();
}

static uint64_t lost_ms(enum psi_resource resource, enum psi_kind kind)
{
    struct psi_figures figures;

    psi_read(resource, kind, &figures);
    return figures.total_us / 1000;
}

static void spin(void *arg)
{
    (void)arg;
    while (ktime_now() < end_time) {
        host_clock_advance(STEP_NS);
    }
}

static void start(void (*fn)(void *))
{
    struct thread *thread = thread_create_kernel("t", fn, NULL);

    EXPECT(thread != NULL);
    thread_start(thread);
}

TEST(psi, the_cpu_is_missed_while_two_want_it)
{
    setup();
    uint64_t some = lost_ms(PSI_CPU, PSI_SOME), full = lost_ms(PSI_CPU, PSI_FULL);
    hold();
    end_time = ktime_now() + 2 * NS_PER_S;
    start(spin);
    run();
    uint64_t alone = lost_ms(PSI_CPU, PSI_SOME);
    EXPECT_EQ(alone, some);
    setup();
    hold();
    end_time = ktime_now() + 2 * NS_PER_S;
    start(spin);
    start(spin);
    run();
    some = lost_ms(PSI_CPU, PSI_SOME) - alone;
    EXPECT_GE(some, 1990);
    EXPECT_LE(some, 2001);
    EXPECT_EQ(lost_ms(PSI_CPU, PSI_FULL), full);
}

static void stalled(void *arg)
{
    (void)arg;
    EXPECT(psi_begin(PSI_MEMORY));
    EXPECT(!psi_begin(PSI_MEMORY));
    spin(NULL);
    psi_end(PSI_MEMORY);
}

TEST(psi, a_stalled_thread_alone_is_a_full_stall)
{
    setup();
    uint64_t some = lost_ms(PSI_MEMORY, PSI_SOME), full = lost_ms(PSI_MEMORY, PSI_FULL);
    hold();
    end_time = ktime_now() + NS_PER_S;
    start(stalled);
    run();
    EXPECT_EQ(lost_ms(PSI_MEMORY, PSI_SOME) - some, 1000);
    EXPECT_EQ(lost_ms(PSI_MEMORY, PSI_FULL) - full, 1000);
}

TEST(psi, two_stalled_threads_are_a_full_stall_while_one_waits_for_the_cpu)
{
    setup();
    uint64_t full = lost_ms(PSI_MEMORY, PSI_FULL);
    hold();
    end_time = ktime_now() + NS_PER_S;
    start(stalled);
    start(stalled);
    run();
    full = lost_ms(PSI_MEMORY, PSI_FULL) - full;
    EXPECT_GE(full, 980); /* until the second has begun, it is productive */
    EXPECT_LE(full, 1000);
}

TEST(psi, beside_one_that_goes_on_it_is_some)
{
    setup();
    uint64_t some = lost_ms(PSI_MEMORY, PSI_SOME), full = lost_ms(PSI_MEMORY, PSI_FULL);
    hold();
    end_time = ktime_now() + NS_PER_S;
    start(stalled);
    start(spin);
    run();
    EXPECT_GE(lost_ms(PSI_MEMORY, PSI_SOME) - some, 980);
    EXPECT_EQ(lost_ms(PSI_MEMORY, PSI_FULL), full);
}

static void waiting(void *arg)
{
    ktime_t until = ktime_now() + NS_PER_S;

    (void)arg;
    EXPECT(psi_begin(PSI_IO));
    while (ktime_now() < until) {
        thread_prepare_sleep(THREAD_UNINTERRUPTIBLE);
        (void)schedule_until(until);
        thread_finish_sleep();
    }
    psi_end(PSI_IO);
}

static void spin_half(void *arg)
{
    (void)arg;
    ktime_t until = ktime_now() + NS_PER_S / 2;

    while (ktime_now() < until) {
        host_clock_advance(STEP_NS);
    }
    thread_sleep_ns(NS_PER_S);
}

TEST(psi, waiting_for_a_device_is_full_while_the_cpu_has_nothing_else)
{
    setup();
    uint64_t some = lost_ms(PSI_IO, PSI_SOME), full = lost_ms(PSI_IO, PSI_FULL);
    hold();
    start(waiting);
    start(spin_half);
    run();
    some = lost_ms(PSI_IO, PSI_SOME) - some;
    full = lost_ms(PSI_IO, PSI_FULL) - full;
    EXPECT_GE(some, 999);
    EXPECT_LE(some, 1020);
    EXPECT_GE(full, 480);
    EXPECT_LE(full, 520);
}

static struct sched_cpu_stats stats_of_cpu(void)
{
    struct sched_cpu_stats stats;

    sched_cpu_stats(0, &stats);
    return stats;
}

static struct sched_cpu_stats meanwhile;

static void look_while_waiting(void *arg)
{
    (void)arg;
    thread_sleep_ns(NS_PER_S / 2);
    meanwhile = stats_of_cpu();
}

TEST(psi, an_idle_cpu_whose_thread_waits_for_a_device_is_in_iowait)
{
    setup();
    struct sched_cpu_stats before = stats_of_cpu();
    hold();
    start(waiting);
    start(look_while_waiting);
    run();
    struct sched_cpu_stats after = stats_of_cpu();
    ktime_t iowait = after.iowait_ns - before.iowait_ns;
    EXPECT_GE(iowait, 999 * NS_PER_MS);
    EXPECT_LE(iowait, 1020 * NS_PER_MS);
    EXPECT_LE(after.idle_ns - before.idle_ns, 20 * NS_PER_MS);
    EXPECT_EQ(before.niowait, 0);
    EXPECT_EQ(meanwhile.niowait, 1);
    EXPECT_EQ(after.niowait, 0);
}
