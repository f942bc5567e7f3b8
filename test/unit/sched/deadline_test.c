/* The deadline class (kernel/sched/deadline.c): budgets, and who has bandwidth. */
#define TEST_SUITE "sched_class"
#include <linux/sched.h>

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "kernel/core/time.h"
#include "kernel/sched/params.h"
#include "kernel/sched/sched.h"
#include "test/unit/test.h"

#define STEP_NS (100 * NS_PER_US)

#define DEADLINE(r, d, p)                                                                          \
    (&(struct sched_params){                                                                       \
        .policy = SCHED_DEADLINE, .runtime = (r), .deadline = (d), .period = (p)})
#define FIFO(prio) (&(struct sched_params){.policy = SCHED_FIFO, .priority = (prio)})

static ktime_t end_time;

static struct thread *start(void (*fn)(void *), void *arg, const struct sched_params *params)
{
    struct thread *thread = thread_create_kernel("test", fn, arg);

    EXPECT(thread != NULL);
    EXPECT_EQ(sched_set_params(thread, params), 0);
    thread_start(thread);
    return thread;
}

static void spin(void *arg)
{
    uint64_t *steps = arg;

    while (ktime_now() < end_time) {
        host_clock_advance(STEP_NS);
        (*steps)++;
    }
}

/* How many of 20000 steps such a thread gets beside a FIFO thread that never sleeps. */
static uint64_t steps_beside_fifo(void (*fn)(void *), const struct sched_params *params)
{
    uint64_t fifo = 0, deadline = 0;

    host_sched_begin();
    end_time = ktime_now() + 2 * NS_PER_S;
    (void)start(spin, &fifo, FIFO(99));
    (void)start(fn, &deadline, params);
    preempt_enable();
    host_run_threads();
    EXPECT_GE(fifo + deadline, 20000);
    return deadline;
}

TEST(deadline, a_budget_shorter_than_any_turn_is_kept_in_the_long_run)
{
    uint64_t steps = steps_beside_fifo(spin, DEADLINE(1024, STEP_NS, STEP_NS)); /* 1.024 % */

    EXPECT_GT(steps, 180);
    EXPECT_LT(steps, 230);
    steps = steps_beside_fifo(spin, DEADLINE(10000, 110000, 110000)); /* 9.1 % */
    EXPECT_GT(steps, 1750);
    EXPECT_LT(steps, 1900);
}

/* Nobody can stop it: the machine stands still meanwhile. */
static void spin_after_a_pause(void *arg)
{
    preempt_disable();
    host_clock_advance(60 * NS_PER_S);
    end_time = ktime_now() + 2 * NS_PER_S;
    preempt_enable();
    spin(arg);
}

TEST(deadline, a_machine_that_stood_still_is_not_paid_for)
{
    uint64_t steps =
        steps_beside_fifo(spin_after_a_pause, DEADLINE(NS_PER_MS, 10 * NS_PER_MS, 10 * NS_PER_MS));

    EXPECT_GT(steps, 1900); /* 10 % */
    EXPECT_LT(steps, 2100);
}

/* At each step it asks for what it has, for what makes no difference to it, and inherits priorities that it gives back at once. */
static void spin_and_ask(void *arg)
{
    uint64_t *steps = arg;
    struct thread *self = current_thread();
    struct thread *fifo = thread_create_kernel("fifo", spin, NULL);
    struct thread *deadline = thread_create_kernel("deadline", spin, NULL);
    struct sched_params params;

    sched_get_params(self, &params);
    EXPECT_EQ(sched_set_params(fifo, FIFO(50)), 0);
    EXPECT_EQ(sched_set_params(deadline, &params), 0);
    while (ktime_now() < end_time) {
        host_clock_advance(STEP_NS);
        (*steps)++;
        sched_set_nice(self, (int)*steps % 20);
        EXPECT_EQ(sched_set_params(self, &params), 0);
        deadline->dl.absolute = ktime_now() + NS_PER_MS;
        sched_boost(self, *steps % 2 == 0 ? fifo : deadline);
        sched_boost(self, NULL);
    }
    thread_discard(fifo);
    thread_discard(deadline);
}

TEST(deadline, budgets_are_not_renewed_by_asking_for_nothing_new)
{
    uint64_t steps =
        steps_beside_fifo(spin_and_ask, DEADLINE(NS_PER_MS, 10 * NS_PER_MS, 10 * NS_PER_MS));

    EXPECT_GT(steps, 1900); /* 10 % */
    EXPECT_LT(steps, 2100);
}

/* Each step is more than its budget, and is followed by a sleep for which it inherits a deadline. */
static void sleep_with_a_debt(void *arg)
{
    uint64_t *steps = arg;
    struct thread *donor = thread_create_kernel("donor", spin, NULL);

    EXPECT_EQ(sched_set_params(donor, DEADLINE(NS_PER_MS, 10 * NS_PER_MS, 10 * NS_PER_MS)), 0);
    while (ktime_now() < end_time) {
        preempt_disable();
        host_clock_advance(STEP_NS);
        (*steps)++;
        donor->dl.absolute = ktime_now() + NS_PER_MS;
        sched_boost(current_thread(), donor);
        preempt_enable();
        thread_sleep_ns(STEP_NS);
    }
    thread_discard(donor);
}

static void spin_and_take_back(void *arg)
{
    while (ktime_now() < end_time) {
        host_clock_advance(STEP_NS / 2);
        sched_boost(arg, NULL);
    }
}

TEST(deadline, a_debt_is_not_slept_off)
{
    uint64_t steps = 0;

    host_sched_begin();
    end_time = ktime_now() + 2 * NS_PER_S;
    struct thread *debtor =
        start(sleep_with_a_debt, &steps, DEADLINE(STEP_NS / 10, STEP_NS, STEP_NS));
    thread_get(debtor);
    (void)start(spin_and_take_back, debtor, FIFO(99));
    preempt_enable();
    host_run_threads();
    thread_put(debtor);
    EXPECT_GT(steps, 1500);
    EXPECT_LT(steps, 2100); /* 10 % of 20000 */
}

static void nothing(void *arg)
{
    (void)arg;
}

TEST(deadline, bandwidth_of_a_thread_that_has_ended_is_not_lost)
{
    const struct sched_params *params = DEADLINE(9 * NS_PER_MS, 10 * NS_PER_MS, 10 * NS_PER_MS);
    struct thread *threads[3];

    host_sched_begin();
    for (unsigned i = 0; i < 3; i++) {
        threads[i] = thread_create_kernel("test", nothing, NULL);
        EXPECT(threads[i] != NULL);
    }
    thread_get(threads[0]);
    thread_start(threads[0]);
    preempt_enable();
    host_run_threads();
    EXPECT_EQ(sched_set_params(threads[0], params), 0); /* by somebody who knows it yet */
    thread_put(threads[0]);
    EXPECT_EQ(sched_set_params(threads[1], params), 0);
    thread_discard(threads[1]);
    EXPECT_EQ(sched_set_params(threads[2], params), 0);
    thread_start(threads[2]);
    host_run_threads();
}

static struct thread *throttled;

/* Far beyond its budget: it runs once more when it has another policy. */
static void overrun(void *arg)
{
    host_clock_advance(10 * STEP_NS);
    *(bool *)arg = true;
}

static void give_a_better_policy(void *arg)
{
    EXPECT(!*(bool *)arg);
    EXPECT_EQ(sched_set_params(throttled, FIFO(50)), 0);
    EXPECT(*(bool *)arg);
}

TEST(deadline, who_is_given_a_better_priority_without_a_budget_runs_at_once)
{
    bool ran = false;

    host_sched_begin();
    throttled = start(overrun, &ran, DEADLINE(STEP_NS, NS_PER_S, NS_PER_S));
    thread_get(throttled);
    (void)start(give_a_better_policy, &ran, FIFO(10));
    preempt_enable();
    host_run_threads();
    thread_put(throttled);
}

static void make_child(void *arg)
{
    struct sched_params *params = arg;
    struct thread *child = thread_create_user("child");

    EXPECT(child != NULL);
    sched_get_params(child, params);
    thread_discard(child);
}

/* Such a fork is refused, but somebody may change the policy in the midst of it. */
TEST(deadline, a_child_has_no_bandwidth_and_is_no_deadline_thread)
{
    struct sched_params params;

    host_sched_begin();
    (void)start(make_child, &params, DEADLINE(NS_PER_MS, 10 * NS_PER_MS, 10 * NS_PER_MS));
    preempt_enable();
    host_run_threads();
    EXPECT_EQ(params.policy, SCHED_NORMAL);
}
