/*
 * Turns on simulated CPUs: the running thread's ends in time for one that comes from another CPU, whatever turn the slice timer was armed for
 * before, and the CPU is sent a message only when the timer would come too late.
 */
#define TEST_SUITE "sim"
#include "test/unit/test.h"

#include <linux/sched.h>

#include "hal/host/host.h"
#include "kernel/core/time.h"
#include "kernel/sched/params.h"
#include "kernel/sched/sched.h"

#define STEP_NS NS_PER_MS

static bool stop;

static void run_for(unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        host_sim_step(STEP_NS);
    }
}

static void compute(void *arg)
{
    unsigned *steps = arg;

    while (!READ_ONCE(stop)) {
        ++*steps;
        host_sim_pass();
    }
}

static void compute_a_little(void *arg)
{
    (void)arg;
    host_sim_pass();
    host_sim_pass();
}

/* A new thread on CPU 1; the caller is another CPU. */
static void start(void (*fn)(void *arg), unsigned *steps, const struct sched_params *params)
{
    struct thread *thread = thread_create_kernel("turn", fn, steps);

    EXPECT(thread != NULL);
    EXPECT_EQ(sched_set_params(thread, params), 0);
    thread_bind(thread, 1);
    thread_start(thread);
}

static void finish(void)
{
    stop = true;
    for (unsigned i = 0; i < 300 && sched_nr_running() > 0; i++) {
        run_for(10);
    }
    EXPECT_EQ(sched_nr_running(), 0);
    stop = false;
}

TEST(sched_turns, one_that_comes_from_another_cpu_waits_for_no_former_turn)
{
    static const struct sched_params normal = {.policy = SCHED_NORMAL};
    static const struct sched_params former[] = {
        {.policy = SCHED_FIFO, .priority = 10}, /* until its share of the period is used up */
        {.policy = SCHED_NORMAL, .runtime = 100 * NS_PER_MS},
        {.policy = SCHED_DEADLINE,
         .runtime = 80 * NS_PER_MS,
         .deadline = 100 * NS_PER_MS,
         .period = 100 * NS_PER_MS},
    };

    host_sim_begin(2, &(struct host_topology){.threads = 1, .cores = 2, .clusters = 1, .first = 1});
    for (unsigned i = 0; i < ARRAY_SIZE(former); i++) {
        unsigned steps[3] = {0};
        start(compute, &steps[0], &normal);
        run_for(20);
        start(compute_a_little, NULL, &former[i]);
        run_for(20); /* it has come and gone */
        uint64_t messages = host_sim_messages();
        start(compute, &steps[1], &normal);
        EXPECT_EQ(host_sim_messages() - messages, 1);
        run_for(4);
        EXPECT_GT(steps[1], 0);
        /* The timer is armed for the end of a turn now: one who waits as long has no need of a message. */
        messages = host_sim_messages();
        start(compute, &steps[2], &normal);
        EXPECT_EQ(host_sim_messages() - messages, 0);
        run_for(8);
        EXPECT_GT(steps[2], 0);
        finish();
    }
}
