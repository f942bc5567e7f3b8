/*
 * Cases that fail, each run by itself: the runner has to say so.
 */
#define TEST_SUITE "runner"
#include "test/unit/test.h"

#include "hal/host/host.h"

static void fail_on_second(void *arg, unsigned cpu)
{
    (void)arg;
    EXPECT_EQ(cpu, 0);
}

TEST(second_cpu, fails)
{
    host_run_on_cpus(2, fail_on_second, NULL);
}

TEST(first_cpu, fails)
{
    EXPECT_EQ(1, 2);
}
