/* What changes of parameters (kernel/sched/params.h) leave as it is: a place in line, and a round. */
#define TEST_SUITE "sched_class"
#include <linux/sched.h>

#include "kernel/sched/params.h"

#include "hal/host/host.h"
#include "kernel/base/string.h"
#include "kernel/core/time.h"
#include "kernel/sched/sched.h"
#include "test/unit/test.h"

#define STEP_NS (100 * NS_PER_US)

#define FIFO(prio) (&(struct sched_params){.policy = SCHED_FIFO, .priority = (prio)})
#define RR(prio)   (&(struct sched_params){.policy = SCHED_RR, .priority = (prio)})

static char line[16]; /* who has run */

static void say(void *arg)
{
    size_t len = strlen(line);

    line[len] = *(const char *)arg;
    line[len + 1] = '\0';
}

static struct thread *start(void (*fn)(void *), void *arg, const struct sched_params *params)
{
    struct thread *thread = thread_create_kernel("test", fn, arg);

    EXPECT(thread != NULL);
    EXPECT_EQ(sched_set_params(thread, params), 0);
    thread_get(thread);
    thread_start(thread);
    return thread;
}

/* Four that wait; the first three are equals. */
static struct thread *waiting[4];

static void begin(void)
{
    static const char names[] = "abcd";

    host_sched_begin();
    line[0] = '\0';
    for (unsigned i = 0; i < 4; i++) {
        waiting[i] = start(say, (void *)&names[i], FIFO(i < 3 ? 10 : 20));
    }
}

static void end(void)
{
    preempt_enable();
    host_run_threads();
    for (unsigned i = 0; i < 4; i++) {
        thread_put(waiting[i]);
    }
}

TEST(params, who_waits_keeps_its_place_with_its_priority)
{
    struct thread *donor;

    begin();
    donor = start(say, "-", FIFO(5));
    sched_set_nice(waiting[0], 7);
    EXPECT_EQ(sched_set_params(waiting[0], FIFO(10)), 0);
    EXPECT_EQ(sched_set_params(waiting[0], RR(10)), 0);
    sched_boost(waiting[0], donor); /* less than it has */
    sched_boost(waiting[0], NULL);
    end();
    thread_put(donor);
    EXPECT_STR_EQ(line, "dabc-");
}

TEST(params, who_is_lowered_comes_before_its_new_equals_and_who_is_raised_behind)
{
    begin();
    EXPECT_EQ(sched_set_params(waiting[3], FIFO(10)), 0);
    EXPECT_EQ(sched_set_params(waiting[0], FIFO(5)), 0);
    EXPECT_EQ(sched_set_params(waiting[0], FIFO(10)), 0);
    end();
    EXPECT_STR_EQ(line, "dbca");
}

TEST(params, who_inherits_no_more_comes_before_its_equals)
{
    begin();
    sched_boost(waiting[1], waiting[3]);
    sched_boost(waiting[1], NULL);
    end();
    EXPECT_STR_EQ(line, "dbac");
}

static ktime_t end_time;

static void spin_and_ask(void *arg)
{
    uint64_t *steps = arg;

    while (ktime_now() < end_time) {
        host_clock_advance(STEP_NS);
        sched_set_nice(current_thread(), (int)++*steps % 20);
        EXPECT_EQ(sched_set_params(current_thread(), RR(5)), 0);
    }
}

TEST(params, a_round_is_not_prolonged_by_asking_for_nothing_new)
{
    uint64_t steps[2] = {0};

    host_sched_begin();
    end_time = ktime_now() + 800 * NS_PER_MS;
    for (unsigned i = 0; i < 2; i++) {
        thread_put(start(spin_and_ask, &steps[i], RR(5)));
    }
    preempt_enable();
    host_run_threads();
    EXPECT_EQ(steps[0], 4000);
    EXPECT_EQ(steps[1], 4000);
}
