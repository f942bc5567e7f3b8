/* Whom a grace period waits for (kernel/sync/rcu_tree.h). */
#define TEST_SUITE "sync"
#include "kernel/sync/rcu_tree.h"

#include "test/unit/test.h"

static struct rcu_tree tree;
static uint64_t gp;
static uint64_t idle_cpus; /* the first 64 */

static bool is_idle(unsigned cpu)
{
    return cpu < 64 && (idle_cpus >> cpu & 1) != 0;
}

static void setup(unsigned ncpus)
{
    rcu_tree_init(&tree);
    for (unsigned cpu = 0; cpu < ncpus; cpu++) {
        rcu_tree_cpu_online(&tree, cpu);
    }
    gp = 0;
    idle_cpus = 0;
}

static bool start(void)
{
    return rcu_tree_start(&tree, ++gp, is_idle);
}

static bool pass(unsigned cpu, struct rcu_reader *reader)
{
    uint64_t seen = 0;
    bool done = rcu_tree_pass(&tree, cpu, reader, &seen);

    EXPECT_EQ(seen, gp);
    return done;
}

TEST(rcu_tree, a_grace_period_waits_for_every_cpu_and_ends_once)
{
    setup(MAX_CPUS);
    for (unsigned round = 0; round < 3; round++) {
        unsigned ends = 0;
        EXPECT(!start());
        for (unsigned cpu = 0; cpu < MAX_CPUS; cpu++) {
            EXPECT(!rcu_tree_complete(&tree));
            EXPECT_EQ(ends, 0);
            unsigned at = (cpu * 37 + round) % MAX_CPUS;
            ends += pass(at, NULL);
            ends += pass(at, NULL); /* once more says nothing new */
        }
        EXPECT_EQ(ends, 1);
        EXPECT(rcu_tree_complete(&tree));
    }
}

TEST(rcu_tree, nobody_waits_for_cpus_that_are_idle_or_not_there)
{
    setup(40);
    idle_cpus = ~0ull;
    EXPECT(start());
    EXPECT(rcu_tree_complete(&tree));
    idle_cpus = ~BIT(39);
    EXPECT(!start());
    EXPECT(!rcu_tree_scan(&tree, is_idle));
    idle_cpus = ~0ull;
    EXPECT(rcu_tree_scan(&tree, is_idle));
    idle_cpus = ~BIT(17);
    EXPECT(!start());
    EXPECT(rcu_tree_cpu_offline(&tree, 17));
    EXPECT(start());
    rcu_tree_cpu_online(&tree, 17);
    EXPECT(!start());
    EXPECT(pass(17, NULL));
}

TEST(rcu_tree, a_reader_left_behind_is_waited_for_until_it_is_done)
{
    struct rcu_reader reader = {.leaf = NULL};

    setup(2);
    EXPECT(!start());
    EXPECT(!pass(0, &reader));
    EXPECT(!pass(1, NULL));
    EXPECT(!rcu_tree_complete(&tree));
    EXPECT(rcu_tree_reader_done(&tree, &reader));
    EXPECT(reader.leaf == NULL);
    EXPECT(rcu_tree_complete(&tree));
}

TEST(rcu_tree, a_reader_from_before_the_beginning_is_waited_for)
{
    struct rcu_reader reader = {.leaf = NULL};

    setup(2);
    (void)pass(0, &reader);
    idle_cpus = ~0ull;
    EXPECT(!start());
    EXPECT(rcu_tree_reader_done(&tree, &reader));
}

TEST(rcu_tree, a_reader_that_began_later_waits_for_the_next_one)
{
    struct rcu_reader reader = {.leaf = NULL};

    setup(2);
    EXPECT(!start());
    EXPECT(!pass(0, NULL));
    EXPECT(!pass(0, &reader)); /* began after CPU 0 had reported */
    EXPECT(pass(1, &reader));  /* left behind once more elsewhere: it stays where it is */
    idle_cpus = ~0ull;
    EXPECT(!start());
    EXPECT(rcu_tree_reader_done(&tree, &reader));
}

static uint64_t ready_cpus;

static bool is_ready(unsigned cpu)
{
    return cpu < 64 && (ready_cpus >> cpu & 1) != 0;
}

TEST(rcu_tree, who_wants_to_know_is_told_when_it_is_time)
{
    setup(40);
    rcu_tree_want(&tree, 3);
    rcu_tree_want(&tree, 5);
    rcu_tree_want(&tree, 33);
    ready_cpus = BIT(5) | BIT(33);
    EXPECT_EQ(rcu_tree_take_wanted(&tree, 0, is_ready), BIT(5));
    EXPECT_EQ(rcu_tree_take_wanted(&tree, 0, is_ready), 0);
    EXPECT_EQ(rcu_tree_take_wanted(&tree, 2, is_ready), BIT(1));
    ready_cpus |= BIT(3);
    EXPECT_EQ(rcu_tree_take_wanted(&tree, 0, is_ready), BIT(3));
}
