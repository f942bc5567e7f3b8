/* The scheduler (kernel/sched/sched.h): fairness, preemption, sleeping, on a clock that the test moves. */
#define TEST_SUITE "sched"
#include "kernel/sched/sched.h"

#include <linux/sched.h>

#include "hal/host/host.h"
#include "kernel/core/time.h"
#include "kernel/sched/params.h"
#include "kernel/sched/wait.h"
#include "test/unit/test.h"

#define STEP_NS (100 * NS_PER_US)

static ktime_t end_time;

static void run(void)
{
    preempt_enable();
    host_run_threads();
}

/* Uses the CPU: time passes only here. */
static void spin(void *arg)
{
    uint64_t *steps = arg;

    while (ktime_now() < end_time) {
        host_clock_advance(STEP_NS);
        (*steps)++;
    }
}

static struct thread *start(const char *comm, void (*fn)(void *), void *arg, int nice)
{
    struct thread *thread = thread_create_kernel(comm, fn, arg);

    EXPECT(thread != NULL);
    sched_set_nice(thread, nice);
    thread_start(thread);
    return thread;
}

TEST(sched, equal_threads_share_the_cpu_equally)
{
    uint64_t steps[3] = {0};

    host_sched_begin();
    end_time = ktime_now() + 3 * NS_PER_S;
    for (unsigned i = 0; i < 3; i++) {
        (void)start("spin", spin, &steps[i], 0);
    }
    run();
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_GT(steps[i], 9500);
        EXPECT_LT(steps[i], 10500);
    }
}

TEST(sched, five_nice_levels_are_a_factor_of_three)
{
    uint64_t high = 0, low = 0;

    host_sched_begin();
    end_time = ktime_now() + 4 * NS_PER_S;
    (void)start("high", spin, &high, 0);
    (void)start("low", spin, &low, 5);
    run();
    /* 1.25^5 = 3.05 */
    EXPECT_GT(high * 100, low * 290);
    EXPECT_LT(high * 100, low * 320);
}

TEST(sched, a_newcomer_does_not_starve_who_is_there)
{
    uint64_t first = 0, second = 0;

    host_sched_begin();
    end_time = ktime_now() + 2 * NS_PER_S;
    (void)start("first", spin, &first, 0);
    run();
    end_time = ktime_now() + 2 * NS_PER_S;
    first = 0;
    preempt_disable();
    (void)start("first", spin, &first, 0);
    (void)start("second", spin, &second, 0);
    run();
    EXPECT_GT(first, 9500);
    EXPECT_GT(second, 9500);
}

struct sleeper {
    unsigned wakes;
    ktime_t worst_ns;
};

static void sleep_often(void *arg)
{
    struct sleeper *sleeper = arg;

    while (ktime_now() < end_time) {
        ktime_t due = ktime_now() + 10 * NS_PER_MS;
        thread_sleep_ns(10 * NS_PER_MS);
        sleeper->worst_ns = MAX(sleeper->worst_ns, ktime_now() - due);
        sleeper->wakes++;
    }
}

TEST(sched, who_sleeps_is_served_quickly_beside_a_busy_thread)
{
    struct sleeper sleeper = {0};
    uint64_t steps = 0;

    host_sched_begin();
    end_time = ktime_now() + 2 * NS_PER_S;
    (void)start("spin", spin, &steps, 0);
    (void)start("sleep", sleep_often, &sleeper, 0);
    run();
    EXPECT_GT(sleeper.wakes, 150);
    EXPECT_LE(sleeper.worst_ns, 5 * NS_PER_MS);
}

static void sleep_once(void *arg)
{
    ktime_t *slept = arg;
    ktime_t before = ktime_now();

    thread_sleep_ns(1234567);
    *slept = ktime_now() - before;
}

TEST(sched, sleeping_takes_at_least_as_long_as_asked)
{
    ktime_t slept = 0;

    host_sched_begin();
    (void)start("sleep", sleep_once, &slept, 0);
    run();
    EXPECT_GE(slept, 1234567);
    EXPECT_LT(slept, 1234567 + NS_PER_MS);
}

struct turn {
    char *log;
    unsigned *at;
    char name;
};

static void take_turns(void *arg)
{
    struct turn *turn = arg;

    for (unsigned i = 0; i < 5; i++) {
        turn->log[(*turn->at)++] = turn->name;
        sched_yield_cpu();
    }
}

TEST(sched, yield_lets_the_other_run)
{
    char log[16] = "";
    unsigned at = 0;
    struct turn a = {log, &at, 'a'}, b = {log, &at, 'b'};

    host_sched_begin();
    (void)start("a", take_turns, &a, 0);
    (void)start("b", take_turns, &b, 0);
    run();
    EXPECT_STR_EQ(log, "ababababab");
}

static void wake_before_sleep(void *arg)
{
    bool *done = arg;

    thread_prepare_sleep(THREAD_SLEEPING);
    EXPECT(thread_wake(current_thread()));
    schedule(); /* returns at once */
    thread_finish_sleep();
    *done = true;
}

TEST(sched, a_wake_between_prepare_and_schedule_is_not_lost)
{
    bool done = false;

    host_sched_begin();
    (void)start("w", wake_before_sleep, &done, 0);
    run();
    EXPECT(done);
}

TEST(sched, times_add_up_to_the_running_time)
{
    uint64_t steps = 0;
    ktime_t user, system;

    host_sched_begin();
    end_time = ktime_now() + NS_PER_S;
    struct thread *thread = thread_create_kernel("spin", spin, &steps);
    thread_get(thread);
    thread_start(thread);
    run();
    thread_times(thread, &user, &system);
    EXPECT_EQ(user + system, NS_PER_S);
    EXPECT_EQ(user, 0); /* kernel threads have no user mode */
    thread_put(thread);
}

TEST(sched, load_average_follows_the_number_of_runnable_threads)
{
    uint64_t steps[2] = {0}, load[3];

    host_sched_begin();
    host_clock_advance(3600 * NS_PER_S); /* the load of earlier tests is forgotten */
    end_time = ktime_now() + 300 * NS_PER_S;
    (void)start("a", spin, &steps[0], 0);
    (void)start("b", spin, &steps[1], 0);
    run();
    sched_load(load);
    /* After five minutes of two: 2, 2 * (1 - 1/e), 2 * (1 - e^(-1/3)), in 1/2048. */
    EXPECT_GT(load[0], 3950);
    EXPECT_LE(load[0], 4096);
    EXPECT_GT(load[1], 2450);
    EXPECT_LT(load[1], 2700);
    EXPECT_GT(load[2], 1080);
    EXPECT_LT(load[2], 1260);
}

/* ---- timer slack ---- */

#define SLEEPERS 8

static struct slack_sleeper {
    ktime_t at;
    uint64_t slack_ns;
    bool real_time;
    ktime_t woke;
    uint64_t interrupt; /* the one that woke it */
} sleepers[SLEEPERS];

static void sleep_until_then(void *arg)
{
    const struct sched_params fifo = {.policy = SCHED_FIFO, .priority = 1};
    struct slack_sleeper *sleeper = arg;

    if (sleeper->real_time) {
        EXPECT_EQ(sched_set_params(current_thread(), &fifo), 0);
    }
    thread_set_timer_slack(current_thread(), sleeper->slack_ns);
    EXPECT_EQ(thread_sleep_until_interruptible(sleeper->at), 0);
    sleeper->woke = ktime_now();
    sleeper->interrupt = this_cpu->irq_count;
}

/* Threads sleep until 20 us after one another: how many interrupts wake them? */
static unsigned interrupts_that_wake(ktime_t slack_ns, bool real_time)
{
    ktime_t late = real_time ? 0 : slack_ns;
    unsigned n = 0;

    host_sched_begin();
    ktime_t first = ktime_now() + NS_PER_S;
    for (unsigned i = 0; i < SLEEPERS; i++) {
        sleepers[i] = (struct slack_sleeper){.at = first + i * 20 * NS_PER_US,
                                             .slack_ns = (uint64_t)slack_ns,
                                             .real_time = real_time};
        (void)start("sleeper", sleep_until_then, &sleepers[i], 0);
    }
    run();
    for (unsigned i = 0; i < SLEEPERS; i++) {
        EXPECT_GE(sleepers[i].woke, sleepers[i].at);
        EXPECT_LE(sleepers[i].woke, sleepers[i].at + late);
        n += i == 0 || sleepers[i].interrupt != sleepers[i - 1].interrupt;
    }
    return n;
}

TEST(sched, sleepers_with_slack_wake_by_one_interrupt)
{
    EXPECT_EQ(interrupts_that_wake(NS_PER_MS, false), 1);
    EXPECT_EQ(interrupts_that_wake(140 * NS_PER_US, false), 1);
    EXPECT_EQ(interrupts_that_wake(50 * NS_PER_US, false), 3); /* at 50, 110 and 170 us */
    EXPECT_EQ(interrupts_that_wake(1, false), SLEEPERS);
}

TEST(sched, real_time_threads_have_no_slack)
{
    EXPECT_EQ(interrupts_that_wake(NS_PER_MS, true), SLEEPERS);
}
