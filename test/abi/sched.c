/* Scheduling attributes: sched_setattr(2) and its relatives. */
#include "abi.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "sched_attr.h"

ABI_TEST(sched, attributes_are_told_and_set)
{
    struct attr attr = {.size = sizeof(attr), .nice = 7};
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

/* ---- policies ---- */

static int policy_of(pid_t pid)
{
    return (int)syscall(SYS_sched_getscheduler, pid);
}

static int set_policy(int policy, int priority)
{
    return (int)syscall(SYS_sched_setscheduler, 0, policy, &priority);
}

static int set_attr(struct attr *attr)
{
    attr->size = sizeof(*attr);
    return (int)syscall(SYS_sched_setattr, 0, attr, 0);
}

/* Runs in a child of its own: policies are inherited, and outlive a test. */
static int in_child(void (*fn)(void))
{
    int status;
    pid_t pid = abi_fork();

    if (pid == 0) {
        fn();
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return status;
}

static void real_time_policies(void)
{
    struct timespec ts;
    int priority = -1;

    CHECK_EQ(set_policy(SCHED_FIFO, 10), 0);
    CHECK_EQ(policy_of(0), SCHED_FIFO);
    CHECK_EQ(syscall(SYS_sched_getparam, 0, &priority), 0);
    CHECK_EQ(priority, 10);
    CHECK_EQ(syscall(SYS_sched_rr_get_interval, 0, &ts), 0);
    CHECK(ts.tv_sec == 0 && ts.tv_nsec == 0);
    priority = 20;
    CHECK_EQ(syscall(SYS_sched_setparam, 0, &priority), 0);
    CHECK_EQ(policy_of(0), SCHED_FIFO);
    CHECK_EQ(set_policy(SCHED_RR, 99), 0);
    CHECK_EQ(syscall(SYS_sched_rr_get_interval, 0, &ts), 0);
    CHECK(ts.tv_sec == 0 && ts.tv_nsec == 100000000);
    CHECK_EQ(set_policy(SCHED_BATCH, 0), 0);
    CHECK_EQ(set_policy(SCHED_IDLE, 0), 0);
    CHECK_EQ(policy_of(0), SCHED_IDLE);
    CHECK_EQ(set_policy(SCHED_OTHER, 0), 0);
    CHECK_ERR(set_policy(SCHED_FIFO, 0), EINVAL);
    CHECK_ERR(set_policy(SCHED_FIFO, 100), EINVAL);
    CHECK_ERR(set_policy(SCHED_OTHER, 1), EINVAL);
    CHECK_ERR(set_policy(4, 0), EINVAL);
    CHECK_ERR(set_policy(7, 0), EINVAL);
    CHECK_ERR(set_policy(-1, 0), EINVAL);
    CHECK_ERR(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_sched_setscheduler, -1, SCHED_OTHER, &priority), EINVAL);
}

ABI_TEST(sched, real_time_policies_are_set_and_told)
{
    if (geteuid() != 0 || set_policy(SCHED_FIFO, 1) < 0) {
        abi_skip("no privilege to schedule");
    }
    CHECK_EQ(set_policy(SCHED_OTHER, 0), 0);
    CHECK_EQ(in_child(real_time_policies), 0);
}

static void reset_on_fork(void)
{
    int status;

    CHECK_EQ(set_policy(SCHED_FIFO | 0x40000000, 10), 0);
    CHECK_EQ(policy_of(0), SCHED_FIFO | 0x40000000);
    pid_t pid = abi_fork();
    if (pid == 0) {
        _exit(policy_of(0) == SCHED_OTHER ? 0 : 1);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(set_policy(SCHED_RR, 3), 0);
    pid = abi_fork();
    if (pid == 0) {
        _exit(policy_of(0) == SCHED_RR ? 0 : 1);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

ABI_TEST(sched, children_inherit_the_policy_unless_it_is_reset)
{
    if (geteuid() != 0 || set_policy(SCHED_FIFO, 1) < 0) {
        abi_skip("no privilege to schedule");
    }
    CHECK_EQ(set_policy(SCHED_OTHER, 0), 0);
    CHECK_EQ(in_child(reset_on_fork), 0);
}

static void deadline_policy(void)
{
    struct attr attr = {.policy = 6, .runtime = 1000000, .deadline = 10000000, .period = 20000000};

    CHECK_EQ(set_attr(&attr), 0);
    CHECK_EQ(policy_of(0), 6);
    memset(&attr, 0, sizeof(attr));
    CHECK_EQ(syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0), 0);
    CHECK_EQ(attr.runtime, 1000000);
    CHECK_EQ(attr.deadline, 10000000);
    CHECK_EQ(attr.period, 20000000);
    CHECK_ERR(fork(), EAGAIN);
    sched_yield();
    attr.runtime = 100;
    CHECK_ERR(set_attr(&attr), EINVAL);
    attr =
        (struct attr){.policy = 6, .runtime = 20000000, .deadline = 10000000, .period = 20000000};
    CHECK_ERR(set_attr(&attr), EINVAL);
    CHECK_EQ(set_policy(SCHED_OTHER, 0), 0);
}

ABI_TEST(sched, deadline_threads_have_their_numbers_and_no_children)
{
    struct attr attr = {.policy = 6, .runtime = 1000000, .deadline = 10000000, .period = 20000000};

    if (geteuid() != 0 || set_attr(&attr) < 0) {
        abi_skip("no privilege to schedule");
    }
    CHECK_EQ(set_policy(SCHED_OTHER, 0), 0);
    CHECK_EQ(in_child(deadline_policy), 0);
}

static void unprivileged(void)
{
    struct attr attr = {.policy = 6, .runtime = 1000000, .deadline = 10000000, .period = 20000000};
    struct rlimit limit = {0, 0};

    CHECK_EQ(setrlimit(RLIMIT_NICE, &limit), 0);
    CHECK_EQ(setrlimit(RLIMIT_RTPRIO, &limit), 0);
    CHECK_EQ(setresuid(1234, 1234, 1234), 0);
    CHECK_ERR(set_policy(SCHED_FIFO, 1), EPERM);
    CHECK_ERR(set_attr(&attr), EPERM);
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 5), 0);
    CHECK_ERR(setpriority(PRIO_PROCESS, 0, 4), EACCES);
    CHECK_EQ(set_policy(SCHED_BATCH, 0), 0);
    CHECK_EQ(set_policy(SCHED_IDLE, 0), 0);
    CHECK_ERR(set_policy(SCHED_OTHER, 0), EPERM);
    CHECK_ERR(syscall(SYS_sched_setscheduler, getppid(), SCHED_OTHER, &(int){0}), EPERM);
}

static void limited(void)
{
    struct rlimit limit = {30, 30};

    if (setrlimit(RLIMIT_NICE, &limit) < 0) {
        _exit(77); /* raising it is a privilege of its own */
    }
    limit = (struct rlimit){20, 20};
    CHECK_EQ(setrlimit(RLIMIT_RTPRIO, &limit), 0);
    CHECK_EQ(setresuid(1234, 1234, 1234), 0);
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, -10), 0);
    CHECK_ERR(setpriority(PRIO_PROCESS, 0, -11), EACCES);
    CHECK_EQ(set_policy(SCHED_FIFO, 20), 0);
    CHECK_ERR(set_policy(SCHED_FIFO, 21), EPERM);
    CHECK_EQ(set_policy(SCHED_OTHER, 0), 0);
}

ABI_TEST(sched, without_privilege_and_limits_one_only_steps_back)
{
    if (geteuid() != 0 || set_policy(SCHED_FIFO, 1) < 0) {
        abi_skip("no privilege to schedule");
    }
    CHECK_EQ(set_policy(SCHED_OTHER, 0), 0);
    CHECK_EQ(in_child(unprivileged), 0);
}

ABI_TEST(sched, limits_say_how_far_one_may_go)
{
    if (geteuid() != 0 || set_policy(SCHED_FIFO, 1) < 0) {
        abi_skip("no privilege to schedule");
    }
    CHECK_EQ(set_policy(SCHED_OTHER, 0), 0);
    int status = in_child(limited);
    if (status == 77 << 8) {
        abi_skip("no privilege to raise limits");
    }
    CHECK_EQ(status, 0);
}

static void *count_up(void *arg)
{
    volatile uint64_t *count = arg;

    for (;;) {
        (*count)++;
    }
    return NULL;
}

static void fifo_first(void)
{
    cpu_set_t one;
    static volatile uint64_t count;
    pthread_t thread;
    struct timespec t0, t1;

    CPU_ZERO(&one);
    CPU_SET(0, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    CHECK_EQ(pthread_create(&thread, NULL, count_up, (void *)&count), 0);
    abi_sleep_ms(20);
    CHECK_EQ(set_policy(SCHED_FIFO, 10), 0); /* this thread alone */
    clock_gettime(CLOCK_MONOTONIC, &t0);
    uint64_t before = count;
    do {
        clock_gettime(CLOCK_MONOTONIC, &t1);
    } while ((t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000 < 60);
    CHECK_EQ(count, before);
    CHECK_EQ(set_policy(SCHED_OTHER, 0), 0);
}

ABI_TEST(sched, a_fifo_thread_is_not_disturbed_by_others)
{
    if (geteuid() != 0 || set_policy(SCHED_FIFO, 1) < 0) {
        abi_skip("no privilege to schedule");
    }
    CHECK_EQ(set_policy(SCHED_OTHER, 0), 0);
    CHECK_EQ(in_child(fifo_first), 0);
}

static int pipe_fds[2];

/* A child that waits in line for this CPU, then writes its name. */
static pid_t in_line(char name)
{
    pid_t pid = abi_fork();

    if (pid == 0) {
        _exit(write(pipe_fds[1], &name, 1) == 1 ? 0 : 1);
    }
    CHECK(pid > 0);
    return pid;
}

static int set_priority_of(pid_t pid, int priority)
{
    return (int)syscall(SYS_sched_setparam, pid, &priority);
}

static void places_in_line(void)
{
    cpu_set_t one;
    char names[3];

    CPU_ZERO(&one);
    CPU_SET(0, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    CHECK_EQ(set_policy(SCHED_FIFO, 50), 0);
    CHECK_EQ(pipe(pipe_fds), 0);
    pid_t a = in_line('a'), b = in_line('b'), c = in_line('c');
    CHECK_EQ(set_priority_of(a, 10), 0);
    CHECK_EQ(set_priority_of(b, 10), 0); /* lowered: to the front */
    CHECK_EQ(set_priority_of(c, 5), 0);
    CHECK_EQ(set_priority_of(c, 10), 0); /* raised: to the end */
    CHECK_EQ(set_priority_of(b, 10), 0); /* the same: it stays where it is */
    CHECK_EQ(setpriority(PRIO_PROCESS, (id_t)b, 3), 0);
    for (int i = 0; i < 3; i++) {
        int status;
        CHECK(wait(&status) > 0);
        CHECK_EQ(status, 0);
    }
    CHECK_EQ(read(pipe_fds[0], names, 3), 3);
    CHECK(memcmp(names, "bac", 3) == 0);
}

ABI_TEST(sched, a_change_of_priority_says_where_in_line_one_stands)
{
    if (geteuid() != 0 || set_policy(SCHED_FIFO, 1) < 0) {
        abi_skip("no privilege to schedule");
    }
    CHECK_EQ(set_policy(SCHED_OTHER, 0), 0);
    CHECK_EQ(in_child(places_in_line), 0);
}

ABI_TEST(sched, affinity_moves_the_caller_and_refuses_no_cpu)
{
    cpu_set_t all, one, none;
    unsigned cpu = 0, moved = 0;

    CPU_ZERO(&none);
    CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    for (unsigned i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &all)) {
            CPU_ZERO(&one);
            CPU_SET(i, &one);
            CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
            CHECK_EQ(syscall(SYS_getcpu, &cpu, NULL, NULL), 0);
            CHECK_EQ(cpu, i);
            moved++;
        }
    }
    CHECK(moved > 0);
    CHECK_ERR(sched_setaffinity(0, sizeof(none), &none), EINVAL);
    CHECK_EQ(sched_setaffinity(0, sizeof(all), &all), 0);
}
