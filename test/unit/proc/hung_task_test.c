/* The watch over threads that hang (kernel/proc/hung_task.h). */
#define TEST_SUITE "proc"
#include "kernel/proc/hung_task.h"

#include "hal/host/host.h"
#include "kernel/core/time.h"
#include "kernel/sched/thread.h"
#include "test/unit/test.h"

static struct thread *sleeper;

static bool told_after(ktime_t seconds)
{
    return hung_task_look(sleeper, sleeper->exec_start + seconds * NS_PER_S);
}

TEST(hung_task, tells_of_a_thread_that_no_signal_reaches_for_too_long)
{
    host_sched_init();
    sleeper = thread_create_kernel("sleeper", NULL, NULL);
    EXPECT(sleeper != NULL);
    sleeper->exec_start = 1000 * NS_PER_S;
    sleeper->state = THREAD_UNINTERRUPTIBLE;
    EXPECT(!told_after(119));
    EXPECT(told_after(121));
    sleeper->state = THREAD_SLEEPING;
    EXPECT(!told_after(121));
    sleeper->state = THREAD_UNINTERRUPTIBLE;
    hung_task_timeout = 300;
    EXPECT(!told_after(299));
    EXPECT(told_after(301));
    hung_task_timeout = 120;
    sleeper->state = THREAD_NEW;
    thread_discard(sleeper);
}

TEST(hung_task, stops_after_so_many_warnings)
{
    int32_t before = hung_task_warnings;

    host_sched_init();
    sleeper = thread_create_kernel("sleeper", NULL, NULL);
    EXPECT(sleeper != NULL);
    sleeper->state = THREAD_UNINTERRUPTIBLE;
    hung_task_warnings = 2;
    EXPECT(told_after(121));
    EXPECT(told_after(121));
    EXPECT(!told_after(121));
    EXPECT_EQ(hung_task_warnings, 0);
    hung_task_warnings = -1;
    EXPECT(told_after(121));
    EXPECT_EQ(hung_task_warnings, -1);
    hung_task_warnings = before;
    sleeper->state = THREAD_NEW;
    thread_discard(sleeper);
}
