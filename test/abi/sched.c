/* Scheduling attributes: sched_setattr(2) and its relatives. */
#include "abi.h"

#include <sched.h>

struct sched_attr_ {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};

ABI_TEST(sched, attributes_are_told_and_set)
{
    struct sched_attr_ attr = {.size = sizeof(attr), .nice = 7};
    struct timespec ts;

    CHECK_EQ(syscall(SYS_sched_setattr, 0, &attr, 0), 0);
    memset(&attr, 0xff, sizeof(attr));
    CHECK_EQ(syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0), 0);
    CHECK_EQ(attr.size, sizeof(attr));
    CHECK_EQ(attr.policy, 0);
    CHECK_EQ(attr.nice, 7);
    CHECK_EQ(attr.priority, 0);
    CHECK_EQ(syscall(SYS_sched_getattr, 0, &attr, 48, 0), 0);
    CHECK_EQ(attr.size, 48);
    CHECK_ERR(syscall(SYS_sched_getattr, 0, &attr, 47, 0), EINVAL);
    CHECK_ERR(syscall(SYS_sched_getattr, 999999, &attr, 48, 0), ESRCH);
    attr.size = 40;
    CHECK_ERR(syscall(SYS_sched_setattr, 0, &attr, 0), E2BIG);
    attr.size = 48;
    attr.priority = 1;
    CHECK_ERR(syscall(SYS_sched_setattr, 0, &attr, 0), EINVAL);
    CHECK_EQ(syscall(SYS_sched_rr_get_interval, 0, &ts), 0);
    CHECK(ts.tv_sec == 0 && ts.tv_nsec >= 0);
    CHECK_ERR(syscall(SYS_sched_rr_get_interval, -1, &ts), EINVAL);
}
