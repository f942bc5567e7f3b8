/*
 * Real-time and deadline threads on several simulated CPUs, in steps of a millisecond: the best of all run, whatever becomes of those that did.
 * Two CPUs alone are of interest, on which a thread that may run on both waits for one that has a CPU to itself.
 */
#define TEST_SUITE "sim"
#include "test/unit/test.h"

#include <linux/sched.h>

#include "hal/host/host.h"
#include "kernel/core/time.h"
#include "kernel/machine/smp.h"
#include "kernel/sched/params.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/wait.h"

#define STEP_NS NS_PER_MS

#define FIFO(prio) (&(struct sched_params){.policy = SCHED_FIFO, .priority = (prio)})
#define DEADLINE(r, p)                                                                             \
    (&(struct sched_params){                                                                       \
        .policy = SCHED_DEADLINE, .runtime = (r), .deadline = (p), .period = (p)})

static const struct sched_params normal = {.policy = SCHED_NORMAL};
static unsigned steps[4]; /* that each of the threads has had */
static bool stop;

static void begin(void)
{
    host_sim_begin(2, &(struct host_topology){.threads = 1, .cores = 2, .clusters = 1, .first = 1});
}

static void run_for(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        host_sim_step(STEP_NS);
    }
}

/* On CPU 1, 2, or (0) both. */
static struct thread *start(void (*fn)(void *arg), void *arg, unsigned cpu,
                            const struct sched_params *params)
{
    struct thread *thread = thread_create_kernel("test", fn, arg);

    EXPECT(thread != NULL);
    thread->cpu_mask = CPUMASK_NONE;
    cpumask_set(&thread->cpu_mask, cpu == 0 ? 1 : cpu);
    cpumask_set(&thread->cpu_mask, cpu == 0 ? 2 : cpu);
    EXPECT_EQ(sched_set_params(thread, params), 0);
    thread_get(thread);
    thread_start(thread);
    return thread;
}

static void compute(void *arg)
{
    while (!READ_ONCE(stop)) {
        (*(unsigned *)arg)++;
        host_sim_pass();
    }
}

static void end(struct thread *const *threads, unsigned n)
{
    stop = true;
    for (unsigned i = 0; i < 300 && sched_nr_running() > 0; i++) {
        run_for(10);
    }
    EXPECT_EQ(sched_nr_running(), 0);
    stop = false;
    for (unsigned i = 0; i < n; i++) {
        thread_put(threads[i]);
        steps[i] = 0;
    }
}

/* ---- what a CPU does changes with its thread ---- */

static struct wait_queue bell;
static unsigned rung;

/* Waits for the bell, then computes. */
static void compute_when_told(void *arg)
{
    wait_event(&bell, READ_ONCE(rung) > 0);
    compute(arg);
}

static void ring(void)
{
    rung = 1;
    wait_wake_all(&bell, 0);
}

TEST(sched_real_time, nobody_is_woken_behind_a_thread_that_has_become_better)
{
    struct thread *threads[2];

    begin();
    wait_queue_init(&bell);
    rung = 0;
    threads[0] = start(compute, &steps[0], 1, &normal);
    threads[1] = start(compute_when_told, &steps[1], 1, FIFO(10)); /* it slept there last */
    run_for(5);
    cpumask_set(&threads[1]->cpu_mask, 2);
    EXPECT_EQ(sched_set_params(threads[0], FIFO(50)), 0);
    run_for(5);
    ring();
    run_for(100);
    EXPECT_GE(steps[1], 95);
    end(threads, 2);
}

TEST(sched_real_time, who_is_woken_finds_the_cpu_whose_thread_has_become_worse)
{
    struct thread *threads[3];

    begin();
    wait_queue_init(&bell);
    rung = 0;
    threads[0] = start(compute, &steps[0], 1, FIFO(50));
    threads[1] = start(compute_when_told, &steps[1], 2, FIFO(10));
    run_for(5);
    threads[2] = start(compute, &steps[2], 2, FIFO(50));
    run_for(5);
    cpumask_set(&threads[1]->cpu_mask, 1);
    EXPECT_EQ(sched_set_params(threads[0], &normal), 0);
    run_for(5);
    ring();
    run_for(100);
    EXPECT_GE(steps[1], 95);
    end(threads, 3);
}

/* ---- who waits elsewhere comes ---- */

/* A thread on each CPU, and a third one that waits for the first of them and may run on both. */
static void begin_waiting(struct thread *threads[3], const struct sched_params *second)
{
    begin();
    threads[0] = start(compute, &steps[0], 1, FIFO(50));
    threads[1] = start(compute, &steps[1], 2, second);
    threads[2] = start(compute, &steps[2], 1, FIFO(10));
    cpumask_set(&threads[2]->cpu_mask, 2);
}

TEST(sched_real_time, who_waits_comes_where_a_thread_has_become_worse)
{
    struct thread *threads[3];

    begin_waiting(threads, FIFO(60));
    run_for(5);
    EXPECT_EQ(steps[2], 0);
    EXPECT_EQ(sched_set_params(threads[1], &normal), 0);
    run_for(100);
    EXPECT_GE(steps[2], 90); /* but for the twentieth that fair threads have */
    end(threads, 3);
    begin_waiting(threads, FIFO(60));
    run_for(5);
    EXPECT_EQ(sched_set_params(threads[1], FIFO(5)), 0);
    run_for(100);
    EXPECT_GE(steps[2], 95);
    end(threads, 3);
}

TEST(sched_real_time, who_waits_comes_where_a_thread_inherits_no_more)
{
    struct thread *threads[3];

    begin_waiting(threads, &normal);
    sched_boost(threads[1], threads[0]);
    run_for(5);
    EXPECT_EQ(steps[2], 0);
    sched_boost(threads[1], NULL);
    run_for(100);
    EXPECT_GE(steps[2], 90);
    end(threads, 3);
}

TEST(sched_real_time, who_waits_comes_where_a_deadline_thread_is_throttled)
{
    struct thread *threads[3];

    begin_waiting(threads, DEADLINE(50 * NS_PER_MS, 100 * NS_PER_MS));
    run_for(1000);
    EXPECT_GE(steps[2], 450);
    EXPECT_GE(steps[1], 480);
    end(threads, 3);
}

static void yield_often(void *arg)
{
    while (!READ_ONCE(stop)) {
        (*(unsigned *)arg)++;
        host_sim_pass();
        sched_yield_cpu();
    }
}

TEST(sched_real_time, who_waits_comes_where_a_deadline_thread_gives_way)
{
    struct thread *threads[3];

    begin();
    threads[0] = start(compute, &steps[0], 1, FIFO(50));
    threads[1] = start(yield_often, &steps[1], 2, DEADLINE(50 * NS_PER_MS, 100 * NS_PER_MS));
    threads[2] = start(compute, &steps[2], 1, FIFO(10));
    cpumask_set(&threads[2]->cpu_mask, 2);
    run_for(1000);
    EXPECT_GE(steps[2], 950);
    end(threads, 3);
}

TEST(sched_real_time, three_deadline_threads_have_their_shares_of_two_cpus)
{
    struct thread *threads[3];

    begin();
    for (unsigned i = 0; i < 3; i++) {
        threads[i] = start(compute, &steps[i], 0, DEADLINE(60 * NS_PER_MS, 100 * NS_PER_MS));
    }
    run_for(2000);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_GE(steps[i], 1150);
        EXPECT_LE(steps[i], 1250);
    }
    end(threads, 3);
}

/* ---- who waits here goes ---- */

/* Wakes a thread for its CPU, and takes that for itself before it comes. */
static void wake_and_rise(void *arg)
{
    (*(unsigned *)arg)++;
    host_sim_pass();
    preempt_disable();
    ring();
    EXPECT_EQ(sched_set_params(current_thread(), FIFO(50)), 0);
    preempt_enable();
    compute(arg);
}

TEST(sched_real_time, who_has_not_got_the_cpu_in_time_goes_to_another)
{
    struct thread *threads[2];

    begin();
    wait_queue_init(&bell);
    rung = 0;
    threads[1] = start(compute_when_told, &steps[1], 1, FIFO(10));
    run_for(2);
    cpumask_set(&threads[1]->cpu_mask, 2);
    threads[0] = start(wake_and_rise, &steps[0], 1, &normal);
    run_for(100);
    EXPECT_GE(steps[0], 95);
    EXPECT_GE(steps[1], 90);
    end(threads, 2);
}
