/* The deadline class (kernel/sched/deadline.c): budgets, and who has bandwidth. */
#define TEST_SUITE "sched_class"
#include <linux/sched.h>

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "kernel/core/time.h"
#include "kernel/sched/params.h"
#include "kernel/sched/sched.h"
#include "test/unit/test.h"

#define DEADLINE(r, d, p)                                                                          \
    (&(struct sched_params){                                                                       \
        .policy = SCHED_DEADLINE, .runtime = (r), .deadline = (d), .period = (p)})

static struct thread *start(void (*fn)(void *), void *arg, const struct sched_params *params)
{
    struct thread *thread = thread_create_kernel("test", fn, arg);

    EXPECT(thread != NULL);
    EXPECT_EQ(sched_set_params(thread, params), 0);
    thread_start(thread);
    return thread;
}

static void make_child(void *arg)
{
    struct sched_params *params = arg;
    struct thread *child = thread_create_user("child");

    EXPECT(child != NULL);
    sched_get_params(child, params);
    thread_discard(child);
}

/* Such a fork is refused, but somebody may change the policy in the midst of it. */
TEST(deadline, a_child_has_no_bandwidth_and_is_no_deadline_thread)
{
    struct sched_params params;

    host_sched_begin();
    (void)start(make_child, &params, DEADLINE(NS_PER_MS, 10 * NS_PER_MS, 10 * NS_PER_MS));
    preempt_enable();
    host_run_threads();
    EXPECT_EQ(params.policy, SCHED_NORMAL);
}
