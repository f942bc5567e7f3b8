/* Process numbers (kernel/sched/pid.h). */
#define TEST_SUITE "sched"
#include "kernel/sched/pid.h"

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "test/unit/test.h"

#define MANY 600

TEST(pid, numbers_ascend_and_are_found)
{
    int err = 0;

    host_sched_init();
    struct pid *a = pid_alloc(0, &err), *b = pid_alloc(0, &err);
    EXPECT(a != NULL && b != NULL);
    EXPECT_EQ(b->nr, a->nr + 1);
    EXPECT_EQ(pid_last_allocated(), b->nr);
    struct pid *found = pid_find(a->nr);
    EXPECT_PTR_EQ(found, a);
    pid_put(found);
    int nr = a->nr;
    pid_put(a);
    EXPECT(pid_find(nr) == NULL);
    pid_put(b);
}

TEST(pid, a_freed_number_is_not_reused_at_once)
{
    int err = 0;

    host_sched_init();
    struct pid *a = pid_alloc(0, &err);
    int nr = a->nr;
    pid_put(a);
    struct pid *b = pid_alloc(0, &err);
    EXPECT_NE(b->nr, nr);
    pid_put(b);
}

TEST(pid, the_walk_goes_up_over_holes)
{
    static struct pid *pids[MANY];
    int err = 0;

    host_sched_init();
    for (unsigned i = 0; i < MANY; i++) {
        pids[i] = pid_alloc(0, &err);
        EXPECT(pids[i] != NULL);
    }
    for (unsigned i = 1; i < MANY - 1; i++) {
        pid_put(pids[i]);
    }
    struct pid *next = pid_next(pids[0]->nr);
    EXPECT_PTR_EQ(next, pids[0]);
    pid_put(next);
    next = pid_next(pids[0]->nr + 1);
    EXPECT_PTR_EQ(next, pids[MANY - 1]);
    pid_put(next);
    EXPECT(pid_next(pids[MANY - 1]->nr + 1) == NULL);
    pid_put(pids[0]);
    pid_put(pids[MANY - 1]);
}

TEST(pid, all_numbers_can_be_used_and_then_none_is_left)
{
    static struct pid *pids[PID_MAX_DEFAULT];
    static bool seen[PID_MAX_DEFAULT];
    int err = 0;
    unsigned n = 0;

    host_sched_init();
    for (; n < PID_MAX_DEFAULT; n++) {
        pids[n] = pid_alloc(0, &err);
        if (pids[n] == NULL) {
            break;
        }
        EXPECT_GT(pids[n]->nr, 0);
        EXPECT_LT(pids[n]->nr, PID_MAX_DEFAULT);
        EXPECT(!seen[pids[n]->nr]);
        seen[pids[n]->nr] = true;
    }
    EXPECT_EQ(err, -EAGAIN);
    EXPECT_GE(n, PID_MAX_DEFAULT - 300 - 8 - MANY);
    /* One becomes free: it is found, wherever it is. */
    int nr = pids[n / 2]->nr;
    pid_put(pids[n / 2]);
    pids[n / 2] = pid_alloc(0, &err);
    EXPECT_EQ(pids[n / 2]->nr, nr);
    for (unsigned i = 0; i < n; i++) {
        pid_put(pids[i]);
    }
    EXPECT(pid_next(1) == NULL);
}

TEST(pid, nonsense_numbers_name_nobody)
{
    EXPECT(pid_find(0) == NULL);
    EXPECT(pid_find(-1) == NULL);
    EXPECT(pid_find(PID_MAX_DEFAULT) == NULL);
    EXPECT(pid_find(INT32_MAX) == NULL);
}

TEST(pid, a_wanted_number_is_given_once_and_leaves_the_cycle_alone)
{
    int err = 0;
    host_sched_init();
    struct pid *next = pid_alloc(0, &err), *wanted = pid_alloc(20000, &err);

    EXPECT(next != NULL && wanted != NULL);
    EXPECT_EQ(wanted->nr, 20000);
    EXPECT(pid_alloc(20000, &err) == NULL);
    EXPECT_EQ(err, -EEXIST);
    struct pid *after = pid_alloc(0, &err);
    EXPECT(after != NULL);
    EXPECT_EQ(after->nr, next->nr + 1);
    pid_put(wanted);
    wanted = pid_alloc(20000, &err);
    EXPECT(wanted != NULL);
    pid_put(wanted);
    pid_put(after);
    pid_put(next);
}
