/*
 * Priorities of groups, users and threads: getpriority(2), ioprio_set(2), the flags and sizes of sched_setattr(2), and what limits allow.
 */
#include "abi.h"

#include <linux/ioprio.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "sched_attr.h"

#define RESET_ON_FORK 0x01
#define RECLAIM       0x02
#define DL_OVERRUN    0x04
#define KEEP_POLICY   0x08
#define KEEP_PARAMS   0x10

static int set_attr(pid_t pid, struct attr attr)
{
    attr.size = attr.size == 0 ? sizeof(attr) : attr.size;
    return (int)syscall(SYS_sched_setattr, pid, &attr, 0);
}

static struct attr get_attr(pid_t pid)
{
    struct attr attr;

    memset(&attr, 0xff, sizeof(attr));
    CHECK_EQ(syscall(SYS_sched_getattr, pid, &attr, sizeof(attr), 0), 0);
    return attr;
}

static int policy_of(pid_t pid)
{
    return (int)syscall(SYS_sched_getscheduler, pid);
}

static int set_policy(pid_t pid, int policy, int priority)
{
    return (int)syscall(SYS_sched_setscheduler, pid, policy, &priority);
}

static void want_privilege(void)
{
    if (geteuid() != 0 || set_policy(0, SCHED_FIFO, 1) < 0) {
        abi_skip("no privilege to schedule");
    }
    CHECK_EQ(set_policy(0, SCHED_OTHER, 0), 0);
}

/* A child that waits to be killed, with this user and niceness, in this process group (0: its own). */
static pid_t sleeper(uid_t uid, int nice, pid_t group)
{
    pid_t parent = getpid(), pid = abi_fork();

    if (pid == 0) {
        CHECK_EQ(setpriority(PRIO_PROCESS, 0, nice), 0);
        CHECK_EQ(setresuid(uid, uid, uid), 0);
        abi_end_with(parent);
        CHECK_EQ(setpgid(0, group), 0);
        for (;;) {
            pause();
        }
    }
    CHECK(pid > 0);
    abi_wait_state(pid, pid, 'S');
    return pid;
}

static void end(pid_t pid)
{
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static int priority_of(int which, int who)
{
    errno = 0;
    int nice = getpriority(which, (id_t)who);
    CHECK_EQ(errno, 0);
    return nice;
}

ABI_TEST(priority, a_groups_is_the_best_and_is_set_for_all)
{
    pid_t one = sleeper(2001, 7, 0), two = sleeper(2002, 4, one);

    CHECK_EQ(priority_of(PRIO_PGRP, one), 4);
    CHECK_EQ(priority_of(PRIO_USER, 2001), 7);
    CHECK_EQ(setpriority(PRIO_PGRP, (id_t)one, 9), 0);
    CHECK_EQ(priority_of(PRIO_PROCESS, one), 9);
    CHECK_EQ(priority_of(PRIO_PROCESS, two), 9);
    CHECK_EQ(setpriority(PRIO_USER, 2002, 11), 0);
    CHECK_EQ(priority_of(PRIO_PROCESS, one), 9);
    CHECK_EQ(priority_of(PRIO_PROCESS, two), 11);
    CHECK_EQ(setpriority(PRIO_PROCESS, (id_t)one, 100), 0); /* as far as it goes */
    CHECK_EQ(priority_of(PRIO_PROCESS, one), 19);
    CHECK_ERR(getpriority(PRIO_PGRP, 999999), ESRCH);
    CHECK_ERR(getpriority(PRIO_USER, 4711), ESRCH);
    CHECK_ERR(setpriority(PRIO_USER, 4711, 0), ESRCH);
    CHECK_ERR(getpriority(PRIO_PROCESS, (id_t)-1), ESRCH);
    CHECK_ERR(getpriority(3, 0), EINVAL);
    CHECK_ERR(setpriority(-1, 0, 0), EINVAL);
    end(one);
    end(two);
}

/* One of several that may not be changed makes the call fail, and the others are changed all the same. */
ABI_TEST(priority, a_group_with_a_stranger_is_set_in_part_and_says_so)
{
    pid_t mine = sleeper(2001, 3, 0), other = sleeper(2002, 3, mine);

    CHECK_EQ(IN_CHILD({
                 struct rlimit limit = {0, 0};
                 CHECK_EQ(setrlimit(RLIMIT_NICE, &limit), 0);
                 CHECK_EQ(setresuid(2001, 2001, 2001), 0);
                 CHECK_ERR(setpriority(PRIO_PGRP, (id_t)mine, 8), EPERM);
                 CHECK_EQ(priority_of(PRIO_PROCESS, mine), 8);
                 CHECK_EQ(priority_of(PRIO_PROCESS, other), 3);
                 CHECK_ERR(setpriority(PRIO_PROCESS, (id_t)mine, 7), EACCES);
                 CHECK_ERR(setpriority(PRIO_PROCESS, (id_t)other, 12), EPERM);
                 CHECK_ERR(set_policy(other, SCHED_OTHER, 0), EPERM);
                 CHECK_EQ(set_policy(mine, SCHED_BATCH, 0), 0);
                 CHECK_EQ(priority_of(PRIO_PROCESS, mine), 8); /* another policy leaves it */
             }),
             0);
    end(mine);
    end(other);
}

static void *nicer_thread(void *arg)
{
    pid_t tid = (pid_t)syscall(SYS_gettid);

    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 6), 0); /* this thread's alone */
    CHECK_EQ(priority_of(PRIO_PROCESS, 0), 6);
    CHECK_EQ(priority_of(PRIO_PROCESS, tid), 6);
    CHECK_EQ(priority_of(PRIO_PROCESS, getpid()), 0);
    *(pid_t *)arg = tid;
    return NULL;
}

ABI_TEST(priority, is_a_threads_own)
{
    pthread_t thread;
    pid_t tid;

    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 0), 0);
    CHECK_EQ(pthread_create(&thread, NULL, nicer_thread, &tid), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(priority_of(PRIO_PROCESS, 0), 0);
}

/* ---- I/O priorities ---- */

static long io_get(int which, int who)
{
    return syscall(SYS_ioprio_get, which, who);
}

static long io_set(int which, int who, int value)
{
    return syscall(SYS_ioprio_set, which, who, value);
}

ABI_TEST(ioprio, of_groups_and_users)
{
    const int be2 = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 2);
    const int be6 = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 6);
    const int idle = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0);
    const int rt = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 4);
    pid_t one = sleeper(2001, 0, 0), two = sleeper(2002, 0, one);

    CHECK_EQ(io_set(IOPRIO_WHO_PGRP, one, be6), 0);
    CHECK_EQ(io_get(IOPRIO_WHO_PROCESS, one), be6);
    CHECK_EQ(io_get(IOPRIO_WHO_PROCESS, two), be6);
    CHECK_EQ(io_set(IOPRIO_WHO_USER, 2002, be2), 0);
    CHECK_EQ(io_get(IOPRIO_WHO_PROCESS, one), be6);
    CHECK_EQ(io_get(IOPRIO_WHO_PGRP, one), be2); /* the best */
    CHECK_EQ(io_get(IOPRIO_WHO_USER, 2001), be6);
    CHECK_ERR(io_set(IOPRIO_WHO_USER, 4711, be2), ESRCH);
    CHECK_ERR(io_get(IOPRIO_WHO_PGRP, 999999), ESRCH);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setresuid(2001, 2001, 2001), 0);
                 CHECK_ERR(io_set(IOPRIO_WHO_PROCESS, one, rt), EPERM);
                 CHECK_EQ(io_set(IOPRIO_WHO_PROCESS, one, idle), 0);
                 CHECK_EQ(io_set(IOPRIO_WHO_PROCESS, one, be2), 0);
                 CHECK_ERR(io_set(IOPRIO_WHO_PROCESS, two, be2), EPERM);
                 CHECK_ERR(io_set(IOPRIO_WHO_PGRP, one, be6), EPERM);
                 CHECK_EQ(io_get(IOPRIO_WHO_PROCESS, two), be2);
             }),
             0);
    CHECK_EQ(io_set(IOPRIO_WHO_PROCESS, one, rt), 0);
    CHECK_EQ(io_get(IOPRIO_WHO_PROCESS, one), rt);
    CHECK_ERR(io_set(IOPRIO_WHO_PROCESS, one, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_NONE, 1)), EINVAL);
    CHECK_ERR(io_set(IOPRIO_WHO_PROCESS, one, IOPRIO_PRIO_VALUE(5, 0)), EINVAL);
    end(one);
    end(two);
}

/* One that nobody set follows the niceness and the policy. */
ABI_TEST(ioprio, that_is_not_set_follows_the_niceness)
{
    pid_t pid = sleeper(0, 0, 0);

    CHECK_EQ(io_set(IOPRIO_WHO_PROCESS, pid, 0), 0);
    CHECK_EQ(io_get(IOPRIO_WHO_PROCESS, pid), 0); /* what was set; of a group, what comes of it */
    for (int nice = -20; nice <= 19; nice++) {
        CHECK_EQ(setpriority(PRIO_PROCESS, (id_t)pid, nice), 0);
        CHECK_EQ(io_get(IOPRIO_WHO_PGRP, pid), IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, (nice + 20) / 5));
    }
    CHECK_EQ(set_policy(pid, SCHED_IDLE, 0), 0);
    CHECK_EQ(io_get(IOPRIO_WHO_PGRP, pid) >> 13, IOPRIO_CLASS_IDLE);
    end(pid);
}

/* ---- sched_setattr ---- */

ABI_TEST(schedattr, sizes_are_negotiated)
{
    struct {
        struct attr attr;
        uint64_t newer[2];
    } big = {.attr = {.size = sizeof(big)}};
    uint32_t *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);

    CHECK_EQ(syscall(SYS_sched_setattr, 0, &big, 0), 0);
    big.newer[1] = 1;
    CHECK_ERR(syscall(SYS_sched_setattr, 0, &big, 0), E2BIG);
    CHECK_EQ(big.attr.size, 56); /* what is known */
    *page = 47;
    CHECK_ERR(syscall(SYS_sched_setattr, 0, page, 0), E2BIG);
    CHECK_EQ(*page, 56);
    *page = 4097;
    CHECK_ERR(syscall(SYS_sched_setattr, 0, page, 0), E2BIG);
    CHECK_EQ(*page, 56);
    *page = 0; /* the first version */
    CHECK_EQ(syscall(SYS_sched_setattr, 0, page, 0), 0);
    CHECK_EQ(*page, 0);
    CHECK_ERR(syscall(SYS_sched_setattr, 0, NULL, 0), EINVAL);
    CHECK_ERR(syscall(SYS_sched_setattr, 0, 8, 0), EFAULT);
    CHECK_ERR(syscall(SYS_sched_setattr, 0, page, 1), EINVAL);
    CHECK_ERR(syscall(SYS_sched_setattr, -1, page, 0), EINVAL);
    CHECK_ERR(syscall(SYS_sched_setattr, 999999, page, 0), ESRCH);
    CHECK_ERR(syscall(SYS_sched_getattr, 0, NULL, 48, 0), EINVAL);
    CHECK_ERR(syscall(SYS_sched_getattr, 0, page, 48, 1), EINVAL);
    CHECK_ERR(syscall(SYS_sched_getattr, 0, page, 4097, 0), EINVAL);
    CHECK_ERR(syscall(SYS_sched_getattr, -1, page, 48, 0), EINVAL);
    CHECK_ERR(syscall(SYS_sched_getattr, 0, 8, 48, 0), EFAULT);
    memset(page, 0xff, 200);
    CHECK_EQ(syscall(SYS_sched_getattr, 0, page, 200, 0), 0);
    CHECK_EQ(page[0], 56);
    /* What would be clamped is more than the first version has. */
    CHECK_ERR(set_attr(0, (struct attr){.size = 48, .flags = 0x20}), EINVAL);
    CHECK_ERR(set_attr(0, (struct attr){.flags = 0x80}), EINVAL);
    CHECK_ERR(set_attr(0, (struct attr){.policy = 4}), EINVAL);
    CHECK_ERR(set_attr(0, (struct attr){.policy = 7}), EINVAL);
    CHECK_ERR(set_attr(0, (struct attr){.policy = 0x80000000u}), EINVAL);
}

ABI_TEST(schedattr, policy_and_parameters_may_be_kept)
{
    want_privilege();
    pid_t pid = sleeper(0, 0, 0);

    CHECK_EQ(set_attr(pid, (struct attr){.policy = SCHED_BATCH, .nice = 5}), 0);
    CHECK_EQ(set_attr(pid, (struct attr){.policy = SCHED_OTHER, .nice = 9, .flags = KEEP_PARAMS}),
             0);
    CHECK_EQ(get_attr(pid).policy, SCHED_BATCH); /* the policy is kept with them */
    CHECK_EQ(get_attr(pid).nice, 5);
    CHECK_EQ(set_attr(pid, (struct attr){.policy = SCHED_FIFO, .nice = 9, .flags = KEEP_POLICY}),
             0);
    CHECK_EQ(get_attr(pid).policy, SCHED_BATCH);
    CHECK_EQ(get_attr(pid).nice, 9);
    CHECK_EQ(set_attr(pid, (struct attr){.policy = SCHED_RR, .priority = 30}), 0);
    CHECK_EQ(
        set_attr(pid, (struct attr){.policy = SCHED_FIFO, .priority = 7, .flags = KEEP_PARAMS}), 0);
    CHECK_EQ(get_attr(pid).policy, SCHED_RR);
    CHECK_EQ(get_attr(pid).priority, 30);
    CHECK_EQ(get_attr(pid).nice, 0); /* told for the fair policies alone */
    CHECK_EQ(set_attr(pid, (struct attr){.priority = 31, .flags = KEEP_POLICY}), 0);
    CHECK_EQ(get_attr(pid).priority, 31);
    CHECK_ERR(set_attr(pid, (struct attr){.priority = 0, .flags = KEEP_POLICY}), EINVAL);
    CHECK_EQ(set_attr(pid, (struct attr){.flags = KEEP_POLICY | KEEP_PARAMS}), 0);
    CHECK_EQ(get_attr(pid).policy, SCHED_RR);
    CHECK_EQ(set_attr(pid, (struct attr){.policy = SCHED_OTHER, .nice = -100}), 0);
    CHECK_EQ(get_attr(pid).nice, -20);
    end(pid);
}

ABI_TEST(schedattr, reset_on_fork_gives_children_the_common_policy)
{
    want_privilege();
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(set_attr(0, (struct attr){.nice = -7, .flags = RESET_ON_FORK}), 0);
                 CHECK_EQ(get_attr(0).flags, RESET_ON_FORK);
                 CHECK_EQ(policy_of(0), SCHED_OTHER | SCHED_RESET_ON_FORK);
                 CHECK_EQ(IN_CHILD({
                              CHECK_EQ(get_attr(0).nice, 0); /* better than common: reset */
                              CHECK_EQ(get_attr(0).flags, 0);
                          }),
                          0);
                 CHECK_EQ(set_attr(0, (struct attr){.nice = 7, .flags = RESET_ON_FORK}), 0);
                 CHECK_EQ(IN_CHILD({
                              CHECK_EQ(get_attr(0).nice, 7); /* worse: kept */
                              CHECK_EQ(get_attr(0).flags, 0);
                          }),
                          0);
                 CHECK_EQ(set_policy(0, SCHED_IDLE | SCHED_RESET_ON_FORK, 0), 0);
                 CHECK_EQ(IN_CHILD(CHECK_EQ(policy_of(0), SCHED_IDLE)), 0);
                 CHECK_EQ(set_attr(0, (struct attr){.policy = SCHED_BATCH, .flags = RESET_ON_FORK}),
                          0);
                 CHECK_EQ(IN_CHILD(CHECK_EQ(policy_of(0), SCHED_BATCH)), 0);
                 CHECK_EQ(setresuid(2001, 2001, 2001), 0);
                 CHECK_ERR(set_policy(0, SCHED_BATCH, 0), EPERM); /* it cannot be taken off */
                 CHECK_EQ(set_policy(0, SCHED_OTHER | SCHED_RESET_ON_FORK, 0), 0);
             }),
             0);
}

ABI_TEST(schedattr, setparam_leaves_policy_and_flags)
{
    want_privilege();
    pid_t pid = sleeper(0, 0, 0);
    int priority = 12;

    CHECK_EQ(set_policy(pid, SCHED_RR | SCHED_RESET_ON_FORK, 3), 0);
    CHECK_EQ(syscall(SYS_sched_setparam, pid, &priority), 0);
    CHECK_EQ(policy_of(pid), SCHED_RR | SCHED_RESET_ON_FORK);
    CHECK_EQ(get_attr(pid).priority, 12);
    priority = 0;
    CHECK_ERR(syscall(SYS_sched_setparam, pid, &priority), EINVAL);
    priority = 256 + 12;
    CHECK_ERR(syscall(SYS_sched_setparam, pid, &priority), EINVAL);
    priority = -1;
    CHECK_ERR(syscall(SYS_sched_setparam, pid, &priority), EINVAL);
    CHECK_ERR(syscall(SYS_sched_setparam, pid, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_sched_setparam, -1, &priority), EINVAL);
    priority = 1;
    CHECK_ERR(syscall(SYS_sched_setparam, 999999, &priority), ESRCH);
    CHECK_ERR(syscall(SYS_sched_getparam, pid, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_sched_getparam, -5, &priority), EINVAL);
    CHECK_ERR(policy_of(-1), EINVAL);
    CHECK_ERR(policy_of(999999), ESRCH);
    end(pid);
}

ABI_TEST(schedattr, deadlines_have_bounds)
{
    const struct attr good = {
        .policy = 6, .runtime = 2000000, .deadline = 10000000, .period = 20000000};
    struct attr attr = good;

    want_privilege();
    pid_t pid = sleeper(0, 0, 0);
    if (set_attr(pid, good) < 0) {
        abi_skip("no room for a deadline");
    }
    CHECK_EQ(policy_of(pid), 6);
    attr.flags = RECLAIM | DL_OVERRUN;
    CHECK_EQ(set_attr(pid, attr), 0);
    CHECK_EQ(get_attr(pid).flags, RECLAIM | DL_OVERRUN);
    attr = good;
    attr.period = 0; /* the deadline */
    CHECK_EQ(set_attr(pid, attr), 0);
    attr = good;
    attr.deadline = 0;
    CHECK_ERR(set_attr(pid, attr), EINVAL);
    attr = good;
    attr.deadline = 30000000; /* beyond the period */
    CHECK_ERR(set_attr(pid, attr), EINVAL);
    attr = good;
    attr.runtime = 1023;
    CHECK_ERR(set_attr(pid, attr), EINVAL);
    attr = good;
    attr.period = 1ull << 63;
    CHECK_ERR(set_attr(pid, attr), EINVAL);
    /* 100 us and 2^22 us, by sched_deadline_period_min_us and _max_us. */
    CHECK_EQ(set_attr(pid, (struct attr){.policy = 6, .runtime = 1024, .deadline = 100000}), 0);
    CHECK_ERR(set_attr(pid, (struct attr){.policy = 6, .runtime = 1024, .deadline = 99999}),
              EINVAL);
    CHECK_ERR(
        set_attr(pid,
                 (struct attr){.policy = 6, .runtime = 1024, .deadline = 99998, .period = 99999}),
        EINVAL);
    attr.period = 4194304000;
    CHECK_EQ(set_attr(pid, attr), 0);
    attr.period++;
    CHECK_ERR(set_attr(pid, attr), EINVAL);
    CHECK_EQ(set_attr(pid, good), 0);
    CHECK_EQ(get_attr(pid).runtime, good.runtime);
    CHECK_ERR(set_policy(pid, 6, 0), EINVAL); /* it has no parameters to say */
    struct timespec ts = {9, 9};
    CHECK_EQ(syscall(SYS_sched_rr_get_interval, pid, &ts), 0);
    CHECK(ts.tv_sec == 0 && ts.tv_nsec == 0);
    end(pid);
}

#define PERIOD_MAX "/proc/sys/kernel/sched_deadline_period_max_us"
#define PERIOD_MIN "/proc/sys/kernel/sched_deadline_period_min_us"

static int write_limit(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY);

    CHECK(fd >= 0);
    bool written = write(fd, value, strlen(value)) == (ssize_t)strlen(value);
    int error = written ? 0 : errno;
    CHECK_EQ(close(fd), 0);
    return error;
}

/* Where every limit can be written, and a deadline thread set: its bounds move with them. */
static void move_limits(pid_t pid)
{
    struct attr attr = {.policy = 6, .runtime = 2000000, .deadline = 10000000};

    CHECK_EQ(write_limit(PERIOD_MAX, "99"), EINVAL); /* below the other */
    CHECK_EQ(write_limit(PERIOD_MAX, "4294967296"), EINVAL);
    CHECK_EQ(write_limit(PERIOD_MIN, "4194305"), EINVAL);
    CHECK_EQ(write_limit(PERIOD_MIN, "-1"), EINVAL);
    CHECK_EQ(write_limit(PERIOD_MAX, "9999"), 0);
    CHECK_ERR(set_attr(pid, attr), EINVAL);
    CHECK_EQ(write_limit(PERIOD_MAX, "4294967295"), 0);
    attr.period = 4294967295000;
    CHECK_EQ(set_attr(pid, attr), 0);
    attr.period++;
    CHECK_ERR(set_attr(pid, attr), EINVAL);
    attr.period = 0;
    CHECK_EQ(write_limit(PERIOD_MIN, "10001"), 0);
    CHECK_ERR(set_attr(pid, attr), EINVAL);
    CHECK_EQ(write_limit(PERIOD_MIN, "0"), 0);
    CHECK_EQ(set_attr(pid, (struct attr){.policy = 6, .runtime = 25000, .deadline = 50000}), 0);
    CHECK_EQ(set_attr(pid, attr), 0);
}

ABI_TEST(schedattr, periods_of_deadlines_have_limits_that_can_be_changed)
{
    want_privilege();
    CHECK_EQ(strcmp(abi_read_file(PERIOD_MAX), "4194304\n"), 0);
    CHECK_EQ(strcmp(abi_read_file(PERIOD_MIN), "100\n"), 0);
    pid_t pid = sleeper(0, 0, 0);
    int status = IN_CHILD(move_limits(pid));
    CHECK_EQ(write_limit(PERIOD_MIN, "100"), 0);
    CHECK_EQ(write_limit(PERIOD_MAX, "4194304"), 0);
    end(pid);
    CHECK_EQ(status, 0);
}

ABI_TEST(schedattr, intervals_and_ranges)
{
    struct timespec ts;

    CHECK_EQ(sched_get_priority_min(SCHED_FIFO), 1);
    CHECK_EQ(sched_get_priority_max(SCHED_RR), 99);
    CHECK_EQ(sched_get_priority_max(SCHED_OTHER), 0);
    CHECK_EQ(sched_get_priority_min(6), 0);
    CHECK_ERR(sched_get_priority_min(4), EINVAL);
    CHECK_ERR(sched_get_priority_max(-1), EINVAL);
    CHECK_ERR(syscall(SYS_sched_rr_get_interval, 999999, &ts), ESRCH);
    CHECK_ERR(syscall(SYS_sched_rr_get_interval, 0, 8), EFAULT);
}

ABI_TEST(schedattr, affinity_sizes)
{
    uint64_t mask[128] = {0};
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);

    CHECK(bytes >= 8 && bytes % 8 == 0 && bytes <= (long)sizeof(mask));
    CHECK(mask[0] != 0);
    CHECK_ERR(syscall(SYS_sched_getaffinity, 0, 0, mask), EINVAL);
    CHECK_ERR(syscall(SYS_sched_getaffinity, 0, bytes + 4, mask), EINVAL);
    CHECK_ERR(syscall(SYS_sched_getaffinity, 999999, sizeof(mask), mask), ESRCH);
    CHECK_ERR(syscall(SYS_sched_getaffinity, 0, sizeof(mask), 8), EFAULT);
    CHECK_EQ(syscall(SYS_sched_setaffinity, 0, 1, mask),
             0); /* less than a word says the rest is 0 */
    CHECK_EQ(syscall(SYS_sched_setaffinity, 0, bytes, mask), 0);
    CHECK_ERR(syscall(SYS_sched_setaffinity, 0, 0, mask), EINVAL);
    CHECK_ERR(syscall(SYS_sched_setaffinity, 0, 8, 8), EFAULT);
    CHECK_ERR(syscall(SYS_sched_setaffinity, 999999, 8, mask), ESRCH);
    pid_t pid = sleeper(2001, 0, 0);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setresuid(2002, 2002, 2002), 0);
                 CHECK_ERR(syscall(SYS_sched_setaffinity, pid, bytes, mask), EPERM);
                 CHECK(syscall(SYS_sched_getaffinity, pid, sizeof(mask), mask) == bytes);
             }),
             0);
    end(pid);
}
