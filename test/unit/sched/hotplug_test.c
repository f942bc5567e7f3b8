/* CPUs that come and go (kernel/sched/hotplug.h): the order of the steps and their undoing, and threads that are sent away. */
#define TEST_SUITE "sched"
#include "kernel/sched/hotplug.h"

#include <linux/sched.h>

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/percpu.h"
#include "kernel/core/smp_call.h"
#include "kernel/core/time.h"
#include "kernel/sched/runqueue.h"
#include "test/unit/test.h"

/* ---- the table ---- */

static char story[128]; /* of CPU 1: a letter for each function, the number of its step */
static char fails;      /* which prepare (0 ..) or leave (a ..) fails; 0: none */

static int tell(char what, unsigned step, unsigned id)
{
    size_t len = strlen(story);

    EXPECT_EQ(id, 1);
    story[len] = what;
    story[len + 1] = (char)('0' + step);
    story[len + 2] = '\0';
    if (what == 'p' && fails == (char)('0' + step)) {
        return -ENOMEM;
    }
    return what == 'l' && fails == (char)('a' + step) ? -EBUSY : 0;
}

#define STEP(n)                                                                                    \
    static int prepare_##n(unsigned id)                                                            \
    {                                                                                              \
        return tell('p', n, id);                                                                   \
    }                                                                                              \
    static void online_##n(unsigned id)                                                            \
    {                                                                                              \
        (void)tell('o', n, id);                                                                    \
    }                                                                                              \
    static void ready_##n(unsigned id)                                                             \
    {                                                                                              \
        (void)tell('r', n, id);                                                                    \
    }                                                                                              \
    static int leave_##n(unsigned id)                                                              \
    {                                                                                              \
        return tell('l', n, id);                                                                   \
    }                                                                                              \
    static void dead_##n(unsigned id)                                                              \
    {                                                                                              \
        (void)tell('d', n, id);                                                                    \
    }
STEP(0)
STEP(1)
STEP(2)

static const struct cpu_step table[] = {
    {"zero", prepare_0, online_0, ready_0, leave_0, NULL, dead_0},
    {"one", prepare_1, online_1, ready_1, leave_1, NULL, dead_1},
    {"nothing", NULL, NULL, NULL, NULL, NULL, NULL},
    {"two", prepare_2, online_2, ready_2, leave_2, NULL, dead_2},
    {.name = NULL},
};

/* Two CPUs, the second one offline, and the table in force. */
static void setup_table(void)
{
    static const struct cpu_step none[] = {{.name = NULL}};

    host_sched_init();
    host_set_cpu_count(1);
    cpus_start(none); /* one CPU: the table is only remembered */
    cpus_start(table);
    host_set_cpu_count(2);
    cpu_set_online(1, false);
    story[0] = '\0';
    fails = 0;
    host_cpus_start = true;
}

static void teardown(void)
{
    host_cpus_start = false;
    host_set_cpu_count(1);
}

TEST(hotplug, a_cpu_comes_by_prepare_online_ready_down_the_table)
{
    setup_table();
    EXPECT_EQ(cpu_up(1), 0);
    EXPECT_STR_EQ(story, "p0p1p2o0o1o2r0r1r2");
    EXPECT(cpu_is_online(1));
    EXPECT_EQ(cpu_up(1), 0); /* again: nothing is left to do */
    EXPECT_STR_EQ(story, "p0p1p2o0o1o2r0r1r2");
    teardown();
}

TEST(hotplug, what_was_prepared_is_undone_when_a_later_step_fails)
{
    setup_table();
    fails = '2';
    EXPECT_EQ(cpu_up(1), -ENOMEM);
    EXPECT_STR_EQ(story, "p0p1p2d1d0");
    EXPECT(!cpu_is_online(1));
    story[0] = '\0';
    fails = '0';
    EXPECT_EQ(cpu_up(1), -ENOMEM);
    EXPECT_STR_EQ(story, "p0");
    teardown();
}

TEST(hotplug, all_is_undone_when_the_machine_cannot_start_it)
{
    setup_table();
    host_cpus_start = false;
    EXPECT_EQ(cpu_up(1), -EIO);
    EXPECT_STR_EQ(story, "p0p1p2d2d1d0");
    EXPECT(!cpu_is_online(1));
    teardown();
}

TEST(hotplug, who_was_asked_to_leave_is_ready_again_when_another_refuses)
{
    setup_table();
    EXPECT_EQ(cpu_up(1), 0);
    story[0] = '\0';
    fails = 'a';
    EXPECT_EQ(cpu_down(1), -EBUSY);
    EXPECT_STR_EQ(story, "l2l1l0r1r2");
    EXPECT(cpu_is_online(1));
    story[0] = '\0';
    fails = 'c';
    EXPECT_EQ(cpu_down(1), -EBUSY);
    EXPECT_STR_EQ(story, "l2");
    teardown();
}

TEST(hotplug, there_are_cpus_that_cannot_go)
{
    setup_table();
    EXPECT_EQ(cpu_down(0), -EBUSY);
    EXPECT_EQ(cpu_down(2), -EINVAL);
    EXPECT_EQ(cpu_up(2), -EINVAL);
    EXPECT_EQ(cpu_down(1), 0); /* is offline already */
    EXPECT_STR_EQ(story, "");
    teardown();
}

/* ---- threads ---- */

static void setup_queues(void)
{
    host_sched_init();
    preempt_disable();
    host_set_cpu_count(2);
    EXPECT_EQ(sched_cpu_prepare(1), 0);
    irq_disable();
    sched_cpu_online(1);
    irq_enable();
    sched_cpu_ready(1);
}

static void teardown_queues(void)
{
    preempt_enable();
    host_run_threads();
    host_set_cpu_count(1);
    sched_several = false; /* as other tests have it */
}

static void count(void *arg)
{
    EXPECT_EQ(cpu_id(), 0);
    (*(unsigned *)arg)++;
}

static struct thread *start_on(unsigned cpu, unsigned *counter, const struct sched_params *params)
{
    struct thread *thread = thread_create_kernel("count", count, counter);

    EXPECT(thread != NULL);
    thread_bind(thread, cpu);
    EXPECT_EQ(sched_set_params(thread, params), 0);
    thread_get(thread);
    thread_start(thread);
    return thread;
}

static void evacuate(unsigned cpu)
{
    EXPECT_EQ(sched_cpu_leave(cpu), 0);
    irq_disable();
    sched_evacuate(per_cpu_ptr(runqueue, cpu));
    irq_enable();
}

TEST(hotplug, threads_of_every_class_are_sent_away_and_run)
{
    static const struct sched_params params[] = {
        {.policy = SCHED_NORMAL},
        {.policy = SCHED_BATCH, .nice = 5},
        {.policy = SCHED_IDLE},
        {.policy = SCHED_FIFO, .priority = 1},
        {.policy = SCHED_FIFO, .priority = 99},
        {.policy = SCHED_RR, .priority = 50},
        {.policy = SCHED_DEADLINE,
         .runtime = NS_PER_MS,
         .deadline = 10 * NS_PER_MS,
         .period = 10 * NS_PER_MS},
    };
    struct thread *threads[ARRAY_SIZE(params)];
    unsigned counter = 0;

    setup_queues();
    for (unsigned i = 0; i < ARRAY_SIZE(params); i++) {
        threads[i] = start_on(1, &counter, &params[i]);
        EXPECT_EQ(threads[i]->cpu, 1);
        EXPECT(threads[i]->on_queue);
    }
    evacuate(1);
    EXPECT_EQ(runqueue_nr_running(per_cpu_ptr(runqueue, 1)), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(params); i++) {
        EXPECT_EQ(threads[i]->cpu, 0);
        EXPECT(threads[i]->on_queue);
        /* Its only CPU has gone: it may run everywhere. */
        EXPECT(thread_may_run_on(threads[i], 0) && thread_may_run_on(threads[i], 1));
    }
    teardown_queues();
    EXPECT_EQ(counter, ARRAY_SIZE(params));
    for (unsigned i = 0; i < ARRAY_SIZE(params); i++) {
        thread_put(threads[i]);
    }
}

TEST(hotplug, affinity_that_another_cpu_satisfies_is_kept)
{
    const struct sched_params normal = {.policy = SCHED_NORMAL};
    struct cpumask both = CPUMASK_NONE;
    unsigned counter = 0;

    setup_queues();
    cpumask_set(&both, 0);
    cpumask_set(&both, 1);
    struct thread *thread = start_on(1, &counter, &normal);
    EXPECT_EQ(sched_set_affinity(thread, &both), 0);
    evacuate(1);
    EXPECT_EQ(thread->cpu, 0);
    EXPECT(cpumask_equal(&thread->cpu_mask, &both));
    teardown_queues();
    EXPECT_EQ(counter, 1);
    thread_put(thread);
}

TEST(hotplug, nobody_comes_to_a_cpu_that_has_gone)
{
    const struct sched_params normal = {.policy = SCHED_NORMAL};
    struct cpumask one = CPUMASK_NONE;
    unsigned counter = 0;

    setup_queues();
    evacuate(1);
    struct thread *thread = start_on(1, &counter, &normal);
    EXPECT_EQ(thread->cpu, 0);
    cpumask_set(&one, 1);
    EXPECT_EQ(sched_set_affinity(thread, &one), -EINVAL);
    teardown_queues();
    EXPECT_EQ(counter, 1);
    thread_put(thread);
}

TEST(hotplug, a_cpu_that_deadline_threads_need_stays)
{
    /* 80 % each of what two CPUs have: one has too little for both. */
    const struct sched_params params = {.policy = SCHED_DEADLINE,
                                        .runtime = 8 * NS_PER_MS,
                                        .deadline = 10 * NS_PER_MS,
                                        .period = 10 * NS_PER_MS};
    unsigned counter = 0;

    setup_queues();
    struct thread *first = start_on(0, &counter, &params);
    EXPECT_EQ(sched_cpu_leave(1), 0);
    sched_cpu_ready(1);
    struct thread *second = start_on(0, &counter, &params);
    EXPECT_EQ(sched_cpu_leave(1), -EBUSY);
    EXPECT(cpumask_test(&sched_active, 1));
    EXPECT_EQ(sched_set_params(second, &(struct sched_params){.policy = SCHED_NORMAL}), 0);
    evacuate(1);
    EXPECT_EQ(sched_set_params(second, &params), -EBUSY);
    teardown_queues();
    EXPECT_EQ(counter, 2);
    thread_put(first);
    thread_put(second);
}
