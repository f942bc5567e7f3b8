/* The scheduling classes (kernel/sched/params.h): who comes first, and how much each gets, on a clock that the test moves. */
#define TEST_SUITE "sched_class"
#include <linux/sched.h>

#include "kernel/sched/params.h"

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/time.h"
#include "kernel/sched/wait.h"
#include "test/unit/test.h"

#define STEP_NS (100 * NS_PER_US)

static ktime_t end_time;

static void run(void)
{
    preempt_enable();
    host_run_threads();
}

static void spin(void *arg)
{
    uint64_t *steps = arg;

    while (ktime_now() < end_time) {
        host_clock_advance(STEP_NS);
        (*steps)++;
    }
}

static struct thread *start(void (*fn)(void *), void *arg, const struct sched_params *params)
{
    struct thread *thread = thread_create_kernel("test", fn, arg);

    EXPECT(thread != NULL);
    EXPECT_EQ(sched_set_params(thread, params), 0);
    thread_start(thread);
    return thread;
}

#define NORMAL(...) (&(struct sched_params){.policy = SCHED_NORMAL, ##__VA_ARGS__})
#define FIFO(prio)  (&(struct sched_params){.policy = SCHED_FIFO, .priority = (prio)})
#define RR(prio)    (&(struct sched_params){.policy = SCHED_RR, .priority = (prio)})
#define DEADLINE(r, d, p)                                                                          \
    (&(struct sched_params){                                                                       \
        .policy = SCHED_DEADLINE, .runtime = (r), .deadline = (d), .period = (p)})

struct mark {
    char *log;
    unsigned *at;
    char name;
    unsigned steps;
};

/* Notes its name once for each step of CPU time that it gets. */
static void mark_steps(void *arg)
{
    struct mark *mark = arg;

    for (unsigned i = 0; i < mark->steps; i++) {
        mark->log[(*mark->at)++] = mark->name;
        host_clock_advance(STEP_NS);
    }
}

static void mark_turns(void *arg)
{
    struct mark *mark = arg;

    for (unsigned i = 0; i < mark->steps; i++) {
        mark->log[(*mark->at)++] = mark->name;
        sched_yield_cpu();
    }
}

TEST(sched_class, higher_priorities_run_first_and_equals_in_order)
{
    char log[16] = "";
    unsigned at = 0;
    struct mark a = {log, &at, 'a', 2}, b = {log, &at, 'b', 2}, c = {log, &at, 'c', 2},
                d = {log, &at, 'd', 2};

    host_sched_begin();
    (void)start(mark_steps, &a, NORMAL());
    (void)start(mark_steps, &b, FIFO(10));
    (void)start(mark_steps, &c, FIFO(10));
    (void)start(mark_steps, &d, FIFO(99));
    run();
    EXPECT_STR_EQ(log, "ddbbccaa");
}

TEST(sched_class, yield_among_fifo_threads_passes_only_to_equals)
{
    char log[16] = "";
    unsigned at = 0;
    struct mark a = {log, &at, 'a', 3}, b = {log, &at, 'b', 3}, c = {log, &at, 'c', 3};

    host_sched_begin();
    (void)start(mark_turns, &a, FIFO(5));
    (void)start(mark_turns, &b, FIFO(5));
    (void)start(mark_turns, &c, FIFO(4));
    run();
    EXPECT_STR_EQ(log, "abababccc");
}

TEST(sched_class, round_robin_shares_among_equals_by_slices)
{
    uint64_t steps[3] = {0};

    host_sched_begin();
    end_time = ktime_now() + 900 * NS_PER_MS;
    (void)start(spin, &steps[0], RR(5));
    (void)start(spin, &steps[1], RR(5));
    (void)start(spin, &steps[2], RR(5));
    run();
    EXPECT_EQ(steps[0], 3000);
    EXPECT_EQ(steps[1], 3000);
    EXPECT_EQ(steps[2], 3000);
}

TEST(sched_class, a_wild_fifo_thread_leaves_a_twentieth_to_the_others)
{
    uint64_t wild = 0, meek = 0;

    host_sched_begin();
    end_time = ktime_now() + 10 * NS_PER_S;
    (void)start(spin, &wild, FIFO(50));
    (void)start(spin, &meek, NORMAL());
    run();
    EXPECT_GT(meek, 4500);
    EXPECT_LT(meek, 5500);
    EXPECT_GT(wild, 94000);
}

TEST(sched_class, alone_a_fifo_thread_has_the_whole_cpu)
{
    uint64_t wild = 0;

    host_sched_begin();
    end_time = ktime_now() + 3 * NS_PER_S;
    (void)start(spin, &wild, FIFO(50));
    run();
    EXPECT_EQ(wild, 30000);
}

TEST(sched_class, idle_policy_gets_what_others_leave)
{
    uint64_t normal = 0, idle = 0;

    host_sched_begin();
    end_time = ktime_now() + 10 * NS_PER_S;
    (void)start(spin, &idle, &(struct sched_params){.policy = SCHED_IDLE});
    (void)start(spin, &normal, NORMAL());
    run();
    EXPECT_LT(idle, 400); /* 3 of 1027 parts */
    EXPECT_GT(idle, 200);
}

TEST(sched_class, a_deadline_thread_gets_its_budget_and_no_more)
{
    uint64_t deadline = 0, normal = 0, fifo = 0;

    host_sched_begin();
    end_time = ktime_now() + 2 * NS_PER_S;
    (void)start(spin, &normal, NORMAL());
    (void)start(spin, &deadline, DEADLINE(3 * NS_PER_MS, 10 * NS_PER_MS, 10 * NS_PER_MS));
    run();
    EXPECT_GT(deadline, 5900); /* 30 % */
    EXPECT_LT(deadline, 6200);
    EXPECT_GT(normal, 13800);
    preempt_disable();
    end_time = ktime_now() + 2 * NS_PER_S;
    deadline = 0;
    (void)start(spin, &fifo, FIFO(99));
    (void)start(spin, &deadline, DEADLINE(3 * NS_PER_MS, 10 * NS_PER_MS, 10 * NS_PER_MS));
    run();
    EXPECT_GT(deadline, 5900); /* over the highest priority too */
    EXPECT_LT(deadline, 6200);
}

struct periodic {
    ktime_t work_ns, period_ns;
    unsigned misses, rounds;
};

/* Does its work, then gives the rest of the period up. */
static void work_in_periods(void *arg)
{
    struct periodic *periodic = arg;
    ktime_t release = ktime_now();

    while (ktime_now() < end_time) {
        for (ktime_t done = 0; done < periodic->work_ns; done += STEP_NS) {
            host_clock_advance(STEP_NS);
        }
        periodic->misses += ktime_now() > release + periodic->period_ns;
        periodic->rounds++;
        release += periodic->period_ns;
        sched_yield_cpu();
    }
}

TEST(sched_class, admitted_deadline_threads_meet_their_deadlines)
{
    struct periodic a = {2 * NS_PER_MS, 10 * NS_PER_MS, 0, 0},
                    b = {5 * NS_PER_MS, 20 * NS_PER_MS, 0, 0},
                    c = {12 * NS_PER_MS, 30 * NS_PER_MS, 0, 0};
    uint64_t normal = 0;

    host_sched_begin();
    end_time = ktime_now() + 3 * NS_PER_S;
    (void)start(spin, &normal, NORMAL());
    (void)start(work_in_periods, &a, DEADLINE(2200000, 10 * NS_PER_MS, 10 * NS_PER_MS));
    (void)start(work_in_periods, &b, DEADLINE(5200000, 20 * NS_PER_MS, 20 * NS_PER_MS));
    (void)start(work_in_periods, &c, DEADLINE(12200000, 30 * NS_PER_MS, 30 * NS_PER_MS));
    run();
    EXPECT_LE(a.misses, 1); /* the first period begins when the thread is made */
    EXPECT_LE(b.misses, 1);
    EXPECT_LE(c.misses, 1);
    EXPECT_GE(a.rounds, 298);
    EXPECT_GE(b.rounds, 148);
    EXPECT_GE(c.rounds, 98);
    EXPECT_GT(normal, 3000); /* what is left: 15 % */
}

static void nothing(void *arg)
{
    (void)arg;
}

TEST(sched_class, no_more_bandwidth_is_promised_than_there_is)
{
    struct thread *threads[3];

    host_sched_begin();
    for (unsigned i = 0; i < 3; i++) {
        threads[i] = thread_create_kernel("dl", nothing, NULL);
    }
    EXPECT_EQ(sched_set_params(threads[0], DEADLINE(5000000, 10000000, 10000000)), 0);
    EXPECT_EQ(sched_set_params(threads[1], DEADLINE(4000000, 10000000, 10000000)), 0);
    EXPECT_EQ(sched_set_params(threads[2], DEADLINE(1000000, 10000000, 10000000)), -EBUSY);
    EXPECT_EQ(sched_set_params(threads[0], NORMAL()), 0);
    EXPECT_EQ(sched_set_params(threads[2], DEADLINE(1000000, 10000000, 10000000)), 0);
    for (unsigned i = 0; i < 3; i++) {
        thread_start(threads[i]);
    }
    run();
    struct thread *again = thread_create_kernel("dl", nothing, NULL);
    EXPECT_EQ(sched_set_params(again, DEADLINE(9000000, 10000000, 10000000)), 0);
    thread_start(again);
    host_run_threads();
}

TEST(sched_class, senseless_numbers_are_refused)
{
    host_sched_begin();
    struct thread *thread = thread_create_kernel("t", nothing, NULL);

    EXPECT_EQ(sched_set_params(thread, FIFO(0)), -EINVAL);
    EXPECT_EQ(sched_set_params(thread, FIFO(100)), -EINVAL);
    EXPECT_EQ(sched_set_params(thread, NORMAL(.priority = 1)), -EINVAL);
    EXPECT_EQ(sched_set_params(thread, DEADLINE(1000, 10000, 10000)), -EINVAL);
    EXPECT_EQ(sched_set_params(thread, DEADLINE(20000, 10000, 30000)), -EINVAL);
    EXPECT_EQ(sched_set_params(thread, DEADLINE(2000, 30000, 20000)), -EINVAL);
    thread_start(thread);
    run();
}

struct nap {
    ktime_t sleep_ns, run_ns, worst_ns;
    uint64_t ran_ns;
};

static void nap(void *arg)
{
    struct nap *it = arg;

    while (ktime_now() < end_time) {
        ktime_t due = ktime_now() + it->sleep_ns;
        thread_sleep_ns(it->sleep_ns);
        it->worst_ns = MAX(it->worst_ns, ktime_now() - due);
        for (ktime_t ran = 0; ran < it->run_ns; ran += STEP_NS) {
            host_clock_advance(STEP_NS);
            it->ran_ns += STEP_NS;
        }
    }
}

TEST(sched_class, short_requests_are_served_sooner)
{
    struct nap usual = {10 * NS_PER_MS, 300 * NS_PER_US, 0, 0}, brief = usual;
    uint64_t steps[3] = {0};

    host_sched_begin();
    end_time = ktime_now() + 3 * NS_PER_S;
    for (unsigned i = 0; i < 3; i++) {
        (void)start(spin, &steps[i], NORMAL());
    }
    (void)start(nap, &usual, NORMAL());
    (void)start(nap, &brief, NORMAL(.runtime = 300 * NS_PER_US));
    run();
    EXPECT_LT(brief.worst_ns, 3 * NS_PER_MS);
    EXPECT_LT(brief.worst_ns * 2, usual.worst_ns);
}

/* Runs and sleeps half and half: it wants less than its share, and must not get more by it. */
TEST(sched_class, sleeping_neither_gains_nor_loses_a_share)
{
    struct nap half = {2 * NS_PER_MS, 2 * NS_PER_MS, 0, 0};
    uint64_t steps[2] = {0};

    host_sched_begin();
    end_time = ktime_now() + 6 * NS_PER_S;
    (void)start(spin, &steps[0], NORMAL());
    (void)start(spin, &steps[1], NORMAL());
    (void)start(nap, &half, NORMAL());
    run();
    EXPECT_LT(half.ran_ns, 2100 * (uint64_t)NS_PER_MS); /* a third at most */
    EXPECT_GT(half.ran_ns, 1200 * (uint64_t)NS_PER_MS);
    EXPECT_LT(steps[0] > steps[1] ? steps[0] - steps[1] : steps[1] - steps[0], 150);
}

struct post {
    struct wait_queue queue;
    unsigned sent, had, turns;
    ktime_t since;                /* the oldest message that has not been read was sent then */
    ktime_t count_from, worst_ns; /* from then on one has waited so long at most */
};

static void send_often(void *arg)
{
    struct post *post = arg;

    while (ktime_now() < end_time) {
        host_clock_advance(STEP_NS);
        if (post->sent++ == post->had) {
            post->since = ktime_now();
        }
        wait_wake_one(&post->queue);
    }
}

/* Takes all there is, at a tenth of what the sender has to do for it. */
static void receive(void *arg)
{
    struct post *post = arg;

    for (ktime_t end = end_time - 10 * NS_PER_MS; ktime_now() < end; post->turns++) {
        wait_event(&post->queue, post->sent != post->had);
        if (post->since >= post->count_from) {
            post->worst_ns = MAX(post->worst_ns, ktime_now() - post->since);
        }
        for (; post->had != post->sent; post->had++) {
            host_clock_advance(STEP_NS / 10);
        }
    }
}

/* Messages between two threads, of which the receiver asks for requests of so many ns; 0: as everybody does. */
static void send_to(struct post *post, uint64_t slice_ns)
{
    *post = (struct post){.sent = 0};
    wait_queue_init(&post->queue);
    host_sched_begin();
    end_time = ktime_now() + 500 * NS_PER_MS;
    post->count_from = ktime_now() + 50 * NS_PER_MS; /* both have had and lost their share */
    (void)start(receive, post, NORMAL(.runtime = slice_ns));
    (void)start(send_often, post, NORMAL());
    run();
    EXPECT_GT(post->sent, 4000);
}

TEST(sched_class, a_woken_equal_waits_for_half_a_request_at_most)
{
    struct post post;

    send_to(&post, 0);
    EXPECT_GE(post.had, 10 * post.turns);
    EXPECT_LE(post.worst_ns, SCHED_SLICE_NS / 2 + STEP_NS);
}

TEST(sched_class, a_woken_thread_with_a_shorter_request_comes_at_once)
{
    struct post post;

    send_to(&post, 300 * NS_PER_US);
    EXPECT_LE(post.had, 2 * post.turns);
}

static void say(char *log, char what)
{
    log += strlen(log);
    log[0] = what;
    log[1] = '\0';
}

static void lend(void *arg)
{
    char *log = arg;
    struct thread *self = current_thread();
    struct thread *donor = thread_create_kernel("donor", nothing, NULL);

    EXPECT_EQ(sched_set_params(donor, FIFO(50)), 0);
    EXPECT(sched_rank_before(donor, self));
    sched_boost(self, donor);
    EXPECT(!sched_rank_before(donor, self));
    say(log, 'b');
    sched_boost(self, NULL);
    say(log, 'e');
    thread_start(donor);
}

static void note(void *arg)
{
    say(arg, 'm');
}

static void lend_beside_middle(void *arg)
{
    struct thread *self = current_thread();
    struct thread *donor = thread_create_kernel("donor", nothing, NULL);

    EXPECT_EQ(sched_set_params(donor, FIFO(50)), 0);
    sched_boost(self, donor);
    (void)start(note, arg, FIFO(20)); /* would come first, but for the boost */
    say(arg, 'b');
    sched_boost(self, NULL); /* and does so now */
    say(arg, 'e');
    thread_start(donor);
}

TEST(sched_class, a_boosted_thread_runs_with_its_donors_rank)
{
    char log[16] = "";

    host_sched_begin();
    (void)start(lend, log, NORMAL());
    run();
    EXPECT_STR_EQ(log, "be");
    log[0] = '\0';
    preempt_disable();
    (void)start(lend_beside_middle, log, NORMAL());
    run();
    EXPECT_STR_EQ(log, "bme");
}

static void change_itself(void *arg)
{
    struct mark *mark = arg;

    EXPECT_EQ(sched_set_params(current_thread(), FIFO(7)), 0);
    for (unsigned i = 0; i < 3; i++) {
        mark->log[(*mark->at)++] = mark->name;
        host_clock_advance(10 * NS_PER_MS);
    }
    EXPECT_EQ(sched_set_params(current_thread(), NORMAL(.nice = 5)), 0);
    mark->log[(*mark->at)++] = mark->name;
    host_clock_advance(10 * NS_PER_MS);
}

TEST(sched_class, parameters_change_while_a_thread_runs_and_waits)
{
    char log[16] = "";
    unsigned at = 0;
    struct mark a = {log, &at, 'a', 0}, b = {log, &at, 'b', 2};
    struct sched_params params;

    host_sched_begin();
    struct thread *thread = start(change_itself, &a, NORMAL());
    struct thread *other = start(mark_steps, &b, NORMAL());
    EXPECT_EQ(sched_set_params(other, NORMAL(.nice = -10)), 0); /* it waits */
    sched_get_params(other, &params);
    EXPECT_EQ(params.nice, -10);
    EXPECT_EQ(params.policy, SCHED_NORMAL);
    thread_get(thread);
    run();
    EXPECT_EQ(at, 6);
    EXPECT_STR_EQ(log[0] == 'a' ? log : log + 2, log[0] == 'a' ? "aaabba" : "aaaa");
    sched_get_params(thread, &params);
    EXPECT_EQ(params.nice, 5);
    thread_put(thread);
}
