/* The watch over CPUs that do not come to the scheduler (kernel/sched/watchdog.h), on a clock that the test moves. */
#define TEST_SUITE "sched"
#include "kernel/sched/watchdog.h"

#include "hal/host/host.h"
#include "kernel/base/atomic.h"
#include "kernel/core/time.h"
#include "kernel/machine/preempt.h"
#include "kernel/sched/sched.h"
#include "test/unit/test.h"

static unsigned seconds;
static bool pauses; /* preemption on for a moment, twice a second */

static void hog(void *arg)
{
    (void)arg;
    preempt_disable();
    for (unsigned i = 0; i < 2 * seconds; i++) {
        host_clock_advance(NS_PER_S / 2);
        if (pauses) {
            preempt_enable();
            preempt_disable();
        }
    }
    preempt_enable();
    host_clock_advance(30 * NS_PER_S); /* can be preempted: nothing to say */
}

static uint32_t reports_of(unsigned for_seconds, bool with_pauses)
{
    uint32_t before = watchdog_reports;

    seconds = for_seconds;
    pauses = with_pauses;
    host_sched_begin();
    struct thread *thread = thread_create_kernel("hog", hog, NULL);
    EXPECT(thread != NULL);
    thread_start(thread);
    preempt_enable();
    host_run_threads();
    return watchdog_reports - before;
}

TEST(watchdog, tells_once_of_a_cpu_that_does_not_come_to_the_scheduler)
{
    EXPECT_EQ(reports_of(19, false), 0);
    EXPECT_EQ(reports_of(70, false), 1);
}

TEST(watchdog, says_nothing_of_one_that_lets_others_in_now_and_then)
{
    EXPECT_EQ(reports_of(70, true), 0);
}

TEST(watchdog, keeps_to_its_threshold)
{
    uint32_t before = watchdog_thresh;

    watchdog_thresh = 2;
    EXPECT_EQ(reports_of(5, false), 1);
    watchdog_thresh = 0;
    EXPECT_EQ(reports_of(70, false), 0);
    watchdog_thresh = before;
}
