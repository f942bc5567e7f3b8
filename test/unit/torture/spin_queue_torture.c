/*
 * Who spins for a lock that sleeps (kernel/sched/spin_queue.h), from several CPUs: one at a time gets it, nobody is lost in the queue, whether he
 * stays in it, leaves it from the middle because the time is up, or because the holder does not run.
 */
#define TEST_SUITE "torture"
#include "hal/host/host.h"
#include "kernel/machine/clock.h"
#include "kernel/sched/runqueue.h"
#include "kernel/sched/spin_queue.h"
#include "test/unit/test.h"

#define NCPUS  4u
#define ROUNDS 300u

static struct thread holders[NCPUS] __aligned(64); /* what a CPU would run */
static uintptr_t word;                             /* [a] */
static uint32_t queue;                             /* [a] */
static uint64_t in_lock;                           /* [word] */
static uint64_t ngot, ngave_up;                    /* [a] */

static void set_current(unsigned cpu, struct thread *thread)
{
    atomic_store_relaxed(&per_cpu_ptr(runqueue, cpu)->current, thread);
}

/* Long enough for the others to lose patience, or as if preempted, or neither. */
static void hold(unsigned cpu, unsigned i)
{
    if (i % 16 == 0) {
        set_current(cpu, NULL);
        cpu_relax();
        set_current(cpu, &holders[cpu]);
    }
    if (i == cpu * (ROUNDS / NCPUS)) {
        clock_delay_us(1000);
    }
    for (unsigned n = i % 8; n > 0; n--) {
        cpu_relax();
    }
}

static void spin_main(void *arg, unsigned cpu)
{
    (void)arg;
    set_current(cpu, &holders[cpu]);
    for (unsigned i = 0; i < ROUNDS;) {
        if (!lock_spin(&word, &queue, (uintptr_t)&holders[cpu])) {
            (void)atomic_fetch_add_relaxed(&ngave_up, 1);
            cpu_relax();
            continue;
        }
        in_lock++;
        hold(cpu, i++);
        (void)atomic_fetch_add_relaxed(&ngot, 1);
        atomic_store_release(&word, 0ul);
    }
}

TEST(spin_queue, one_at_a_time_and_nobody_is_lost)
{
    bool several = sched_several;
    struct thread *current[NCPUS];

    sched_several = true;
    word = queue = 0;
    in_lock = ngot = ngave_up = 0;
    for (unsigned i = 0; i < NCPUS; i++) {
        holders[i].cpu = i;
        current[i] = per_cpu_ptr(runqueue, i)->current;
    }
    host_run_on_cpus(NCPUS, spin_main, NULL);
    for (unsigned i = 0; i < NCPUS; i++) {
        set_current(i, current[i]);
    }
    sched_several = several;
    EXPECT_EQ(in_lock, NCPUS * ROUNDS);
    EXPECT_EQ(ngot, NCPUS * ROUNDS);
    EXPECT_GT(ngave_up, 0);
    EXPECT_EQ(queue, 0);
}

/* The holder runs all the while, and does not let go: until the other one has given up. */
static void hold_for_ever(void *arg, unsigned cpu)
{
    (void)arg;
    set_current(cpu, &holders[cpu]);
    if (cpu == 0) {
        while (atomic_load_acquire(&ngave_up) == 0) {
            clock_delay_us(10);
        }
    } else if (!lock_spin(&word, &queue, (uintptr_t)&holders[cpu])) {
        atomic_store_release(&ngave_up, 1);
    }
}

TEST(spin_queue, nobody_spins_for_ever_though_the_holder_runs)
{
    struct thread *current[] = {per_cpu_ptr(runqueue, 0)->current,
                                per_cpu_ptr(runqueue, 1)->current};
    bool several = sched_several;

    sched_several = true;
    word = (uintptr_t)&holders[0];
    queue = 0;
    ngave_up = 0;
    set_current(0, &holders[0]);
    host_run_on_cpus(2, hold_for_ever, NULL);
    set_current(0, current[0]);
    set_current(1, current[1]);
    sched_several = several;
    EXPECT_EQ(ngave_up, 1);
    EXPECT_EQ(word, (uintptr_t)&holders[0]);
    EXPECT_EQ(queue, 0);
}
