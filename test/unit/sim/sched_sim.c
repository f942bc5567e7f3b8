/*
 * The scheduler on several simulated CPUs, in steps of a millisecond: whether load spreads over cores, packages and nodes, stays where it is
 * when it is spread, and gives everybody what is his. Each machine is a run of its own.
 */
#define TEST_SUITE "sim"
#include "test/unit/test.h"

#include <linux/sched.h>

#include "hal/host/host.h"
#include "kernel/core/time.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/node.h"
#include "kernel/mm/zone.h"
#include "kernel/sched/params.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/wait.h"

#define STEP_NS     NS_PER_MS
#define TICK_STEPS  10
#define THREADS_MAX 40
#define CPUS_MAX    17

static struct runner {
    unsigned steps, moves; /* it has had so much; how often on another CPU than before */
    unsigned cpu;
    unsigned on[CPUS_MAX]; /* steps on each CPU */
} runners[THREADS_MAX];
static unsigned nrunners;
static unsigned nvisitors; /* that have not ended: they nap now and then */
static bool stop;

static void run_for(unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        host_sim_step(STEP_NS);
    }
}

static void count(struct runner *runner)
{
    runner->moves += runner->steps > 0 && runner->cpu != cpu_id();
    runner->cpu = cpu_id();
    runner->steps++;
    runner->on[runner->cpu]++;
}

static void compute(void *arg)
{
    struct runner *runner = arg;

    while (!READ_ONCE(stop)) {
        count(runner);
        host_sim_pass();
    }
}

static struct thread *start_on(void (*fn)(void *arg), void *arg, const struct cpumask *mask,
                               int nice)
{
    struct thread *thread = thread_create_kernel("runner", fn, arg);

    EXPECT(thread != NULL);
    sched_set_nice(thread, nice);
    thread->cpu_mask = *mask;
    thread_get(thread);
    thread_start(thread);
    return thread;
}

static struct cpumask only(unsigned cpu)
{
    struct cpumask mask = CPUMASK_NONE;

    cpumask_set(&mask, cpu);
    return mask;
}

/* `n` threads that begin on one CPU, and may run on all. */
static void crowd(unsigned n, unsigned cpu, int nice)
{
    struct cpumask mask = only(cpu), all;
    struct thread *threads[THREADS_MAX];

    cpumask_set_all(&all, MAX_CPUS);
    for (unsigned i = 0; i < n; i++) {
        threads[i] = start_on(compute, &runners[nrunners++], &mask, nice);
    }
    for (unsigned i = 0; i < n; i++) {
        EXPECT_EQ(sched_set_affinity(threads[i], &all), 0);
        thread_put(threads[i]);
    }
}

static void forget(void)
{
    for (unsigned i = 0; i < nrunners; i++) {
        runners[i] = (struct runner){.cpu = runners[i].cpu};
    }
}

static unsigned total_moves(void)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < nrunners; i++) {
        sum += runners[i].moves;
    }
    return sum;
}

static void finish(void)
{
    stop = true;
    for (unsigned i = 0; i < 300 && sched_nr_running() + nvisitors > 0; i++) {
        run_for(10);
    }
    EXPECT_EQ(sched_nr_running() + nvisitors, 0);
    stop = false;
    nrunners = 0;
    memset(runners, 0, sizeof(runners));
}

/* How many runners had most of their last steps in each of the groups of `size` CPUs. */
static void homes(unsigned size, unsigned ret_groups[CPUS_MAX])
{
    memset(ret_groups, 0, CPUS_MAX * sizeof(*ret_groups));
    for (unsigned i = 0; i < nrunners; i++) {
        ret_groups[(runners[i].cpu - 1) / size]++;
    }
}

static void expect_shares(unsigned from, unsigned to, unsigned low, unsigned high)
{
    for (unsigned i = from; i < to; i++) {
        EXPECT_GE(runners[i].steps, low);
        EXPECT_LE(runners[i].steps, high);
    }
}

/* ---- one package of four cores with two threads each ---- */

static void smt(void)
{
    host_sim_begin(8, &(struct host_topology){.threads = 2, .cores = 4, .clusters = 1, .first = 1});
}

TEST(sched_smt, domains_are_what_the_cpus_share)
{
    struct domain_stats stats;
    struct cpumask span;

    smt();
    EXPECT(sched_domain_stats(3, 0, &span, &stats));
    EXPECT_EQ(span.bits[0], 0x18u); /* the core */
    EXPECT(sched_domain_stats(3, 1, &span, &stats));
    EXPECT_EQ(span.bits[0], 0x1feu); /* behind the cache: the package, and all there is */
    EXPECT(!sched_domain_stats(3, 2, &span, &stats));
}

TEST(sched_smt, each_thread_gets_a_core_before_any_has_two)
{
    unsigned cores[CPUS_MAX];

    smt();
    crowd(4, 1, 0);
    run_for(20 * TICK_STEPS);
    homes(2, cores);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(cores[i], 1);
    }
    forget();
    run_for(100 * TICK_STEPS);
    EXPECT_EQ(total_moves(), 0);
    expect_shares(0, 4, 1000, 1000);
    finish();
}

TEST(sched_smt, two_that_share_a_core_part_when_another_is_idle)
{
    struct cpumask all, masks[2] = {only(3), only(4)};
    struct thread *threads[2];

    smt();
    cpumask_set_all(&all, MAX_CPUS);
    for (unsigned i = 0; i < 2; i++) {
        threads[i] = start_on(compute, &runners[nrunners++], &masks[i], 0);
    }
    run_for(20 * TICK_STEPS);
    EXPECT_EQ((runners[0].cpu - 1) / 2, (runners[1].cpu - 1) / 2);
    for (unsigned i = 0; i < 2; i++) {
        EXPECT_EQ(sched_set_affinity(threads[i], &all), 0);
        thread_put(threads[i]);
    }
    run_for(20 * TICK_STEPS);
    EXPECT_NE((runners[0].cpu - 1) / 2, (runners[1].cpu - 1) / 2);
    finish();
}

TEST(sched_smt, all_threads_of_the_cores_are_used)
{
    smt();
    crowd(8, 5, 0);
    run_for(20 * TICK_STEPS);
    forget();
    run_for(1000);
    expect_shares(0, 8, 1000, 1000);
    finish();
}

TEST(sched_smt, one_thread_stays_where_it_is)
{
    smt();
    crowd(1, 6, 0);
    run_for(1000);
    EXPECT_EQ(runners[0].moves, 0);
    EXPECT_EQ(runners[0].on[6], runners[0].steps);
    finish();
}

/* ---- two packages of four cores ---- */

static void packages(void)
{
    host_sim_begin(8, &(struct host_topology){.threads = 1, .cores = 4, .clusters = 1, .first = 1});
}

TEST(sched_packages, a_crowd_spreads_within_a_second_and_stays)
{
    unsigned cpus[CPUS_MAX];

    packages();
    crowd(16, 1, 0);
    run_for(100 * TICK_STEPS);
    forget();
    run_for(1000);
    homes(1, cpus);
    for (unsigned i = 0; i < 8; i++) {
        EXPECT_EQ(cpus[i], 2);
    }
    EXPECT_EQ(total_moves(), 0);
    expect_shares(0, 16, 480, 520);
    finish();
}

TEST(sched_packages, affinity_holds_while_load_is_shared_out)
{
    struct cpumask mask = only(2), stray = only(7);

    packages();
    cpumask_set(&mask, 6);
    for (unsigned i = 0; i < 4; i++) {
        thread_put(start_on(compute, &runners[nrunners++], &mask, 0));
    }
    thread_put(start_on(compute, &runners[nrunners++], &stray, 0));
    crowd(6, 2, 0);
    run_for(1000);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(runners[i].on[2] + runners[i].on[6], runners[i].steps);
    }
    EXPECT_EQ(runners[4].on[7], runners[4].steps);
    EXPECT_EQ(runners[4].moves, 0);
    finish();
}

TEST(sched_packages, the_odd_one_goes_round)
{
    packages();
    crowd(9, 1, 0);
    run_for(50 * TICK_STEPS);
    forget();
    run_for(6000);
    /* 8 CPUs for 9: 5,333 steps each, half of the time for two that would share one for ever. */
    expect_shares(0, 9, 4000, 6000);
    /* No more than ten times a second and level that goes with it. */
    EXPECT_LT(total_moves(), 240);
    finish();
}

TEST(sched_packages, weights_count_on_all_cpus_together)
{
    packages();
    crowd(8, 1, 0);
    crowd(8, 1, 5);
    run_for(100 * TICK_STEPS);
    forget();
    run_for(4000);
    /* 1.25^5 = 3.05: 3,013 steps and 987. */
    unsigned heavy = 0, light = 0;
    for (unsigned i = 0; i < 8; i++) {
        heavy += runners[i].steps;
        light += runners[8 + i].steps;
    }
    EXPECT_EQ(heavy + light, 32000);
    EXPECT_GT(heavy, 2 * light);
    expect_shares(0, 8, 2000, 4000);
    expect_shares(8, 16, 480, 2000);
    finish();
}

/* A real-time thread that a better one has driven off its CPU runs elsewhere at once, not when somebody ticks there. */
TEST(sched_packages, who_is_pushed_to_another_cpu_runs_there_at_once)
{
    struct sched_params params = {.policy = SCHED_FIFO, .priority = 10};
    struct thread *pushed, *better;
    struct cpumask all, one;

    packages();
    cpumask_set_all(&all, MAX_CPUS);
    for (unsigned i = 0; i < 8; i++) {
        thread_put(start_on(compute, &runners[nrunners++], &all, 0));
    }
    pushed = start_on(compute, &runners[nrunners++], &all, 0);
    EXPECT_EQ(sched_set_params(pushed, &params), 0);
    params.priority = 20;
    run_for(1000);
    for (unsigned i = 0; i < 5; i++) {
        const struct runner *runner = &runners[8];
        one = only(runner->cpu);
        better = start_on(compute, &runners[nrunners++], &one, 0);
        EXPECT_EQ(sched_set_params(better, &params), 0);
        thread_put(better);
        unsigned steps = runner->steps, cpu = runner->cpu;
        run_for(3);
        EXPECT_NE(runner->cpu, cpu);
        EXPECT_GE(runner->steps, steps + 2);
        run_for(13);
    }
    thread_put(pushed);
    finish();
}

/* ---- who wakes whom ---- */

static struct wait_queue bell;
static unsigned rung, heard, near_waker;
static unsigned waker_cpu;

static void listen(void *arg)
{
    (void)arg;
    while (!READ_ONCE(stop)) {
        wait_event(&bell, READ_ONCE(rung) > heard || READ_ONCE(stop));
        heard = rung;
        near_waker += cpu_id() == waker_cpu;
        host_sim_pass();
    }
}

static void ring(void *arg)
{
    struct runner *runner = arg;

    while (!READ_ONCE(stop)) {
        count(runner);
        host_sim_pass();
        waker_cpu = cpu_id();
        rung++;
        wait_wake_all(&bell, 0);
    }
    wait_wake_all(&bell, 0);
}

TEST(sched_packages, a_woken_thread_does_not_wait_behind_its_waker)
{
    struct cpumask all;

    packages();
    cpumask_set_all(&all, MAX_CPUS);
    wait_queue_init(&bell);
    thread_put(start_on(listen, NULL, &all, 0));
    thread_put(start_on(ring, &runners[nrunners++], &all, 0));
    run_for(500);
    EXPECT_GT(heard, 480);
    EXPECT_LT(near_waker, 10);
    EXPECT_EQ(runners[0].moves, 0);
    finish();
}

/* ---- fair threads beside real-time ones ---- */

static struct thread *start_fifo(void (*fn)(void *arg), void *arg, unsigned cpu)
{
    struct cpumask mask = only(cpu);
    struct thread *thread = start_on(fn, arg, &mask, 0);

    EXPECT_EQ(
        sched_set_params(thread, &(struct sched_params){.policy = SCHED_FIFO, .priority = 10}), 0);
    return thread;
}

TEST(sched_packages, who_waits_behind_a_real_time_thread_shares_a_cpu_with_fair_ones)
{
    packages();
    for (unsigned cpu = 2; cpu <= 8; cpu++) {
        for (unsigned i = 0; i < 2; i++) {
            struct cpumask mask = only(cpu);
            thread_put(start_on(compute, &runners[nrunners++], &mask, 0));
        }
    }
    thread_put(start_fifo(compute, &runners[nrunners++], 1));
    crowd(1, 1, 0);
    run_for(200);
    forget();
    run_for(700); /* before the throttle of real-time threads lets it in */
    EXPECT_GE(runners[nrunners - 1].steps, 200);
    EXPECT_EQ(runners[nrunners - 1].on[1], 0);
    finish();
}

static uint32_t draw(uint32_t *state, uint32_t from, uint32_t to)
{
    *state = *state * 1664525u + 1013904223u;
    return from + (*state >> 8) % (to - from + 1);
}

static struct visitor {
    uint32_t state, run_min, run_max, nap_min, nap_max;
    ktime_t worst_ns; /* between two steps of a run */
} visitors[8];

/* Computes and naps by turns. */
static void visit(void *arg)
{
    struct visitor *it = arg;

    nvisitors++;
    while (!READ_ONCE(stop)) {
        ktime_t last = ktime_now();
        for (uint32_t n = draw(&it->state, it->run_min, it->run_max); n > 0; n--) {
            host_sim_pass();
            it->worst_ns = MAX(it->worst_ns, ktime_now() - last);
            last = ktime_now();
        }
        thread_sleep_ns((ktime_t)draw(&it->state, it->nap_min, it->nap_max) * NS_PER_MS);
    }
    nvisitors--;
}

TEST(sched_packages, nobody_waits_behind_a_real_time_thread_while_a_cpu_is_idle)
{
    struct cpumask all;

    packages();
    cpumask_set_all(&all, MAX_CPUS);
    for (unsigned i = 0; i < 4; i++) {
        visitors[i] = (struct visitor){i, 100, 300, 20, 200, 0};
        thread_put(start_fifo(visit, &visitors[i], 1 + i));
    }
    for (unsigned i = 4; i < 8; i++) {
        visitors[i] = (struct visitor){i, 1, 40, 1, 20, 0};
        thread_put(start_on(visit, &visitors[i], &all, 0));
    }
    run_for(20000);
    for (unsigned i = 4; i < 8; i++) {
        EXPECT_LE(visitors[i].worst_ns, 3 * TICK_STEPS * STEP_NS);
    }
    finish();
}

/* Computes, rings for a moment's work elsewhere, and naps: the CPU that it rings for may have been told just before that others wait here. */
static void visit_and_ring(void *arg)
{
    struct visitor *it = arg;

    nvisitors++;
    while (!READ_ONCE(stop)) {
        for (uint32_t n = draw(&it->state, it->run_min, it->run_max); n > 0; n--) {
            host_sim_pass();
        }
        rung++;
        wait_wake_all(&bell, 0);
        thread_sleep_ns((ktime_t)draw(&it->state, it->nap_min, it->nap_max) * NS_PER_MS);
    }
    wait_wake_all(&bell, 0);
    nvisitors--;
}

static unsigned least;

/* Runs where the visitor does, then may go to the other CPU: how much it gets in a tenth of a second from then on. */
static void come_and_go(void *arg)
{
    struct cpumask both = only(1), first = only(1);

    (void)arg;
    cpumask_set(&both, 2);
    while (!READ_ONCE(stop)) {
        unsigned steps = 0;
        ktime_t end = ktime_now() + 70 * STEP_NS;
        EXPECT_EQ(sched_set_affinity(current_thread(), &first), 0);
        while (ktime_now() < end) {
            host_sim_pass();
        }
        end = ktime_now() + 100 * STEP_NS;
        EXPECT_EQ(sched_set_affinity(current_thread(), &both), 0);
        for (; ktime_now() < end; steps++) {
            host_sim_pass();
        }
        least = MIN(least, steps);
    }
}

TEST(sched_packages, an_idle_cpu_that_found_other_work_when_it_was_told_is_told_again)
{
    struct cpumask first = only(1), second = only(2);

    packages();
    wait_queue_init(&bell);
    heard = rung = 0;
    least = UINT32_MAX;
    visitors[0] = (struct visitor){1, 1, 60, 1, 5, 0};
    thread_put(start_on(listen, NULL, &second, 0));
    thread_put(start_fifo(visit_and_ring, &visitors[0], 1));
    thread_put(start_on(come_and_go, NULL, &first, 0));
    run_for(20000);
    EXPECT_GE(least, 60);
    finish();
}

/* ---- four nodes of four ---- */

#define NODE_BYTES (HOST_MEMORY_BYTES / 4)

static void four_nodes(void)
{
    static struct numa_map numa = {.nnodes = 4, .nranges = 4};

    if (nodes_count() != 4) {
        for (unsigned i = 0; i < 4; i++) {
            numa.range[i] = (struct numa_range){i * NODE_BYTES, (i + 1) * NODE_BYTES, i};
            for (unsigned j = 0; j < 4; j++) {
                numa.distance[i][j] = i == j ? 10 : 20;
            }
        }
        EXPECT_EQ(nodes_set_map(&numa), 0);
    }
    host_sim_begin(16,
                   &(struct host_topology){.threads = 1, .cores = 4, .clusters = 1, .first = 1});
    for (unsigned cpu = 1; cpu <= 16; cpu++) {
        frames_set_cpu_node(cpu, (cpu - 1) / 4);
    }
    sched_domains_rebuild();
}

TEST(sched_nodes, a_crowd_on_one_node_comes_to_all)
{
    unsigned groups[CPUS_MAX];

    four_nodes();
    crowd(32, 1, 0);
    run_for(100 * TICK_STEPS);
    forget();
    run_for(1000);
    homes(4, groups);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(groups[i], 8);
    }
    expect_shares(0, 32, 400, 600);
    finish();
}

TEST(sched_nodes, threads_stay_on_their_node_while_all_have_as_much)
{
    four_nodes();
    for (unsigned node = 0; node < 4; node++) {
        crowd(4, 1 + 4 * node, 0);
    }
    run_for(1000);
    for (unsigned i = 0; i < 16; i++) {
        unsigned home = 1 + i / 4 * 4;
        unsigned at_home = runners[i].on[home] + runners[i].on[home + 1] + runners[i].on[home + 2] +
                           runners[i].on[home + 3];
        EXPECT_EQ(at_home, runners[i].steps);
    }
    finish();
}

TEST(sched_nodes, idle_cpus_are_left_alone)
{
    four_nodes();
    crowd(3, 2, 0);
    run_for(1000);
    uint64_t before = host_sim_messages();
    run_for(2000);
    EXPECT_LT(host_sim_messages() - before, 10);
    finish();
}
