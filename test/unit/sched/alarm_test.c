/* Alarms by CPU time (kernel/sched/alarm.h), on a clock that the test moves. */
#define TEST_SUITE "sched_alarm"
#include "kernel/sched/alarm.h"

#include <linux/sched.h>

#include "hal/host/host.h"
#include "kernel/core/time.h"
#include "kernel/sched/sched.h"
#include "test/unit/test.h"

#define STEP_NS   (10 * NS_PER_US)
#define AT_NS     (3700 * NS_PER_US) /* between two ticks, and two turns */
#define ALARM_MAX 8

static struct alarm_group group;
static unsigned nalarms;
static ktime_t alarm_at[ALARM_MAX], alarm_runtime[ALARM_MAX];
static struct thread *alarm_of[ALARM_MAX];
static ktime_t again_ns; /* 0: once */

static void note(struct thread *thread)
{
    EXPECT_LT(nalarms, ALARM_MAX);
    alarm_at[nalarms] = ktime_now();
    alarm_runtime[nalarms] = thread->runtime_ns;
    alarm_of[nalarms++] = thread;
    thread->alarm_at += again_ns;
    group.until = group.rt_limit = KTIME_MAX;
    sched_alarm_set(thread, again_ns == 0 ? SWITCH_ALARMS : 0, false);
}

static void setup(void)
{
    host_sched_begin();
    sched_alarm_hook = note;
    nalarms = 0;
    again_ns = 0;
    group = (struct alarm_group){KTIME_MAX, KTIME_MAX};
}

static void spin(void *arg)
{
    for (ktime_t ns = 0; ns < *(ktime_t *)arg; ns += STEP_NS) {
        host_clock_advance(STEP_NS);
    }
}

static struct thread *make(void (*fn)(void *), ktime_t *ns)
{
    struct thread *thread = thread_create_kernel("spin", fn, ns);

    EXPECT(thread != NULL);
    thread->alarm_group = &group;
    thread_get(thread);
    return thread;
}

static void run(void)
{
    preempt_enable();
    host_run_threads();
}

TEST(alarm, comes_when_the_thread_has_run_so_long_and_no_later)
{
    ktime_t ns = 30 * NS_PER_MS;

    setup();
    struct thread *thread = make(spin, &ns);
    thread->alarm_at = AT_NS;
    sched_alarm_set(thread, SWITCH_ALARM_THREAD, true);
    thread_start(thread);
    run();
    EXPECT_EQ(nalarms, 1);
    EXPECT_EQ(alarm_runtime[0], AT_NS);
    EXPECT(alarm_of[0] == thread);
    thread_put(thread);
}

TEST(alarm, of_one_that_shares_the_cpu_counts_its_own_time)
{
    ktime_t ns = 40 * NS_PER_MS;

    setup();
    struct thread *other = make(spin, &ns), *thread = make(spin, &ns);
    again_ns = AT_NS;
    thread->alarm_at = AT_NS;
    sched_alarm_set(thread, SWITCH_ALARM_THREAD, true);
    thread_start(other);
    thread_start(thread);
    ns = 4 * AT_NS + STEP_NS;
    run();
    EXPECT_EQ(nalarms, 4);
    for (unsigned i = 0; i < nalarms; i++) {
        EXPECT(alarm_of[i] == thread);
        EXPECT_EQ(alarm_runtime[i], (ktime_t)(i + 1) * AT_NS);
    }
    sched_alarm_set(thread, SWITCH_ALARMS, false);
    thread_put(other);
    thread_put(thread);
}

static void sleep_then_spin(void *arg)
{
    thread_sleep_ns(50 * NS_PER_MS);
    spin(arg);
}

TEST(alarm, of_a_group_waits_for_one_of_its_threads_to_run)
{
    ktime_t ns = NS_PER_MS, begin;

    setup();
    struct thread *thread = make(sleep_then_spin, &ns);
    begin = ktime_now();
    group.until = begin + 20 * NS_PER_MS;
    sched_alarm_set(thread, SWITCH_ALARM_GROUP, true);
    thread_start(thread);
    run();
    EXPECT_EQ(nalarms, 1);
    EXPECT_GE(alarm_at[0], begin + 50 * NS_PER_MS);
    EXPECT_LE(alarm_at[0], begin + 51 * NS_PER_MS);
    thread_put(thread);
}

static void set_own_and_spin(void *arg)
{
    struct thread *thread = current_thread();

    host_clock_advance(NS_PER_MS);
    group.until = ktime_now() + 2300 * NS_PER_US;
    sched_alarm_set(thread, SWITCH_ALARM_GROUP, true);
    sched_alarm_changed(thread);
    spin(arg);
}

TEST(alarm, of_the_running_thread_takes_effect_at_once)
{
    ktime_t ns = 20 * NS_PER_MS, begin;

    setup();
    struct thread *thread = make(set_own_and_spin, &ns);
    begin = ktime_now();
    thread_start(thread);
    run();
    EXPECT_EQ(nalarms, 1);
    EXPECT_EQ(alarm_at[0], begin + 3300 * NS_PER_US);
    thread_put(thread);
}

TEST(alarm, that_its_room_does_not_move_is_looked_at_again_a_little_later)
{
    ktime_t ns = 1100 * NS_PER_US;

    setup();
    again_ns = 1; /* as good as not moved */
    struct thread *thread = make(spin, &ns);
    thread->alarm_at = 10;
    sched_alarm_set(thread, SWITCH_ALARM_THREAD, true);
    thread_start(thread);
    run();
    EXPECT_GE(nalarms, 4);
    EXPECT_LE(nalarms, 7); /* and not without end */
    sched_alarm_set(thread, SWITCH_ALARMS, false);
    thread_put(thread);
}

TEST(alarm, of_real_time_counts_what_was_run_without_a_sleep)
{
    const struct sched_params fifo = {.policy = SCHED_FIFO, .priority = 1};
    ktime_t ns = 20 * NS_PER_MS;

    setup();
    struct thread *thread = make(spin, &ns), *fair = make(spin, &ns);
    EXPECT_EQ(sched_set_params(thread, &fifo), 0);
    group.rt_limit = AT_NS;
    sched_alarm_set(thread, SWITCH_ALARM_RT, true);
    sched_alarm_set(fair, SWITCH_ALARM_RT, true);
    thread_start(thread);
    thread_start(fair);
    run();
    EXPECT_EQ(nalarms, 1);
    EXPECT(alarm_of[0] == thread);
    EXPECT_EQ(alarm_runtime[0], AT_NS);
    sched_alarm_set(fair, SWITCH_ALARMS, false);
    thread_put(thread);
    thread_put(fair);
}
