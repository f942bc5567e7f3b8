/*
 * Calls between CPUs, which are host threads here.
 */
#define TEST_SUITE "core"
#include "kernel/core/smp_call.h"

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "kernel/machine/preempt.h"
#include "test/unit/test.h"

#define NCPUS 4u

static void note_cpu(void *arg)
{
    (void)cpumask_set_atomic(arg, cpu_id());
    EXPECT(in_hardirq());
}

static void count_one(void *arg)
{
    (void)atomic_fetch_add((unsigned *)arg, 1);
}

TEST(cpumask, knows_its_first_next_and_weight)
{
    struct cpumask mask = CPUMASK_NONE, other;
    unsigned id, sum = 0;

    EXPECT(cpumask_empty(&mask));
    EXPECT_EQ(cpumask_first(&mask), MAX_CPUS);
    cpumask_set(&mask, 3);
    cpumask_set(&mask, 64);
    EXPECT(!cpumask_set_atomic(&mask, 255));
    EXPECT(cpumask_set_atomic(&mask, 255));
    for_each_cpu_in (id, &mask) {
        sum += id;
    }
    EXPECT_EQ(sum, 3 + 64 + 255);
    EXPECT_EQ(cpumask_weight(&mask), 3);
    EXPECT_EQ(cpumask_next(&mask, 4), 64);
    cpumask_set_all(&other, 65);
    EXPECT_EQ(cpumask_weight(&other), 65);
    EXPECT(cpumask_and(&other, &other, &mask));
    EXPECT_EQ(cpumask_weight(&other), 2);
    EXPECT(cpumask_andnot(&other, &mask, &other));
    EXPECT_EQ(cpumask_first(&other), 255);
    EXPECT(!cpumask_andnot(&other, &other, &mask));
}

static void call_everybody(void *arg, unsigned cpu)
{
    unsigned *arrived = arg;

    (void)atomic_fetch_add(arrived, 1);
    while (atomic_load_acquire(arrived) < NCPUS) {
        cpu_relax();
    }
    if (cpu == 0) {
        struct cpumask seen = CPUMASK_NONE;
        smp_call_all(note_cpu, &seen, true);
        EXPECT_EQ(cpumask_weight(&seen), NCPUS);
        seen = CPUMASK_NONE;
        smp_call_others(note_cpu, &seen, true);
        EXPECT_EQ(cpumask_weight(&seen), NCPUS - 1);
        EXPECT(!cpumask_test(&seen, 0));
        seen = CPUMASK_NONE;
        EXPECT_EQ(smp_call_one(2, note_cpu, &seen, true), 0);
        EXPECT_EQ(cpumask_weight(&seen), 1);
        EXPECT(cpumask_test(&seen, 2));
        atomic_store_release(arrived, 100);
    }
    while (atomic_load_acquire(arrived) != 100) {
        cpu_relax();
    }
}

TEST(smp_call, runs_once_on_each_cpu_of_the_set_before_the_caller_goes_on)
{
    unsigned arrived = 0;

    host_run_on_cpus(NCPUS, call_everybody, &arrived);
    host_set_cpu_count(1);
}

TEST(smp_call, refuses_a_cpu_that_is_not_online)
{
    unsigned count = 0;

    host_set_cpu_count(3);
    cpu_set_online(2, false);
    EXPECT_EQ(smp_call_one(2, count_one, &count, true), -ENXIO);
    EXPECT_EQ(smp_call_one(77, count_one, &count, true), -ENXIO);
    EXPECT_EQ(count, 0);
    smp_call_all(count_one, &count, true);
    EXPECT_EQ(count, 2);
    host_set_cpu_count(1);
}

#define ROUNDS 1000u

struct storm {
    unsigned received[NCPUS]; /* [a] calls that each has run */
    unsigned sent[NCPUS];     /* own CPU: that it wants to see there */
    unsigned finished;        /* [a] */
};

static void receive(void *arg)
{
    struct storm *storm = arg;

    (void)atomic_fetch_add(&storm->received[cpu_id()], 1);
}

/* Everybody calls everybody, half of the time with interrupts off, waiting or not. */
static void storm_main(void *arg, unsigned cpu)
{
    struct storm *storm = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned target = (cpu + 1 + i % (NCPUS - 1)) % NCPUS;
        uint64_t flags = i % 2 == 0 ? irq_save() : 0;
        unsigned before = atomic_load_acquire(&storm->received[target]);
        EXPECT_EQ(smp_call_one(target, receive, storm, i % 3 == 0), 0);
        if (i % 3 == 0) {
            EXPECT(atomic_load_acquire(&storm->received[target]) > before);
        }
        if (i % 2 == 0) {
            irq_restore(flags);
        }
        (void)atomic_fetch_add(&storm->sent[target], 1);
    }
    smp_call_all(receive, storm, true);
    (void)atomic_fetch_add(&storm->finished, 1);
    while (atomic_load_acquire(&storm->finished) < NCPUS) {
        cpu_relax();
    }
}

TEST(smp_call, loses_and_repeats_none_when_all_cpus_call_each_other)
{
    struct storm storm = {.finished = 0};

    host_run_on_cpus(NCPUS, storm_main, &storm);
    for (unsigned cpu = 0; cpu < NCPUS; cpu++) {
        EXPECT_EQ(storm.received[cpu], storm.sent[cpu] + NCPUS);
    }
    host_set_cpu_count(1);
}

static void call_back(void *arg)
{
    smp_call_one(0, receive, arg, false);
}

static void call_with_reply(void *arg, unsigned cpu)
{
    struct storm *storm = arg;

    if (cpu == 0) {
        for (unsigned i = 0; i < 100; i++) {
            EXPECT_EQ(smp_call_one(1, call_back, storm, true), 0);
        }
        while (atomic_load_acquire(&storm->received[0]) < 100) {
            cpu_relax();
        }
        atomic_store_release(&storm->finished, 1);
    }
    while (atomic_load_acquire(&storm->finished) == 0) {
        cpu_relax();
    }
}

TEST(smp_call, lets_a_called_function_call)
{
    struct storm storm = {.finished = 0};

    host_run_on_cpus(2, call_with_reply, &storm);
    EXPECT_EQ(storm.received[0], 100);
    host_set_cpu_count(1);
}
