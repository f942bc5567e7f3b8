/* Two CPUs change the policy of one thread at once (kernel/sched/params.h): what it has of deadline bandwidth is what its policy says. */
#define TEST_SUITE "torture"
#include <linux/sched.h>

#include "hal/host/host.h"
#include "kernel/core/time.h"
#include "kernel/sched/params.h"
#include "kernel/sched/sched.h"
#include "test/unit/test.h"

#define NCPUS  2u
#define ROUNDS 3000u

static const struct sched_params params[NCPUS] = {
    {.policy = SCHED_NORMAL},
    {.policy = SCHED_DEADLINE,
     .runtime = 9 * NS_PER_MS,
     .deadline = 10 * NS_PER_MS,
     .period = 10 * NS_PER_MS},
};
static uint32_t arrived; /* [a] */

static void never(void *arg)
{
    (void)arg;
}

static void meet(void)
{
    uint32_t all = atomic_fetch_add(&arrived, 1) / NCPUS * NCPUS + NCPUS;

    while (atomic_load_acquire(&arrived) < all) {
        cpu_relax();
    }
}

static void change(void *arg, unsigned cpu)
{
    struct thread *thread = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        meet();
        EXPECT_EQ(sched_set_params(thread, &params[cpu]), 0);
        meet();
        EXPECT_EQ(thread->dl.bandwidth != 0, thread->policy == SCHED_DEADLINE);
        meet();
        EXPECT_EQ(sched_set_params(thread, &params[0]), 0);
    }
}

TEST(bandwidth, is_what_the_policy_says_whoever_changes_it)
{
    struct thread *thread;

    host_sched_init();
    thread = thread_create_kernel("changed", never, NULL);
    EXPECT(thread != NULL);
    host_run_on_cpus(NCPUS, change, thread);
    thread_discard(thread);
}
