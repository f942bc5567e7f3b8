/* Ticks that nobody needs (kernel/sched/tickless.c), on a clock that the test moves. */
#define TEST_SUITE "sched_tickless"
#include <linux/sched.h>

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/core/time.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/preempt.h"
#include "kernel/sched/params.h"
#include "kernel/sched/sched.h"
#include "test/unit/test.h"

#define STEP_NS (100 * NS_PER_US)
#define IN_USER USER_CS
#define IN_CALL 0ull

static unsigned nstopped, nsteps; /* steps that were taken without ticks, and all */

static void setup(void)
{
    host_sched_begin();
    nstopped = nsteps = 0;
}

/* The current thread is met by interrupts in user mode, or in a system call. */
static void go(ktime_t ns, uint64_t where)
{
    struct thread *thread = current_thread();

    thread_trapframe(thread)->cs = where;
    for (; ns > 0; ns -= STEP_NS) {
        host_clock_advance(STEP_NS);
        nsteps++;
        nstopped += host_syscall_watched;
    }
}

static void enter(void)
{
    irq_disable();
    if (host_syscall_watched) {
        machine_syscall_watched();
    }
    irq_enable();
}

static void leave_after_fault(void)
{
    irq_disable();
    current_thread()->minflt++;
    if ((current_thread()->work & THREAD_WORK_TICK) != 0) {
        sched_tickless_return(false);
    }
    irq_enable();
}

static void run_as_user(void (*fn)(void *))
{
    struct thread *thread = thread_create_kernel("user", fn, NULL);

    EXPECT(thread != NULL);
    thread->process = (struct process *)8; /* which this room only carries */
    thread_start(thread);
    preempt_enable();
    host_run_threads();
    EXPECT(!host_syscall_watched);
}

static void near(ktime_t value, ktime_t wanted)
{
    EXPECT_GE(value, wanted - 20 * NS_PER_MS);
    EXPECT_LE(value, wanted + 20 * NS_PER_MS);
}

static void user_then_call(void *arg)
{
    struct sched_cpu_stats before, after;
    ktime_t user, system;

    (void)arg;
    sched_cpu_stats(0, &before);
    go(10 * NS_PER_S, IN_USER);
    EXPECT_GT(nstopped, nsteps * 9 / 10);
    thread_times(current_thread(), &user,
                 &system); /* ticks that are counted later are told of now */
    near(user, 10 * NS_PER_S);
    sched_cpu_stats(0, &after);
    near(after.user_ns - before.user_ns, 10 * NS_PER_S);
    enter();
    EXPECT(!host_syscall_watched);
    nstopped = 0;
    go(5 * NS_PER_S, IN_CALL);
    EXPECT_EQ(nstopped, 0);
    thread_times(current_thread(), &user, &system);
    near(user, 10 * NS_PER_S);
    near(system, 5 * NS_PER_S);
    sched_cpu_stats(0, &after);
    near(after.user_ns - before.user_ns, 10 * NS_PER_S);
    near(after.system_ns - before.system_ns, 5 * NS_PER_S);
}

TEST(tickless, user_mode_takes_no_ticks_and_times_stay_true)
{
    setup();
    run_as_user(user_then_call);
}

static void short_calls(void *arg)
{
    ktime_t user, system;

    (void)arg;
    for (unsigned i = 0; i < 1000; i++) {
        go(2900 * NS_PER_US, IN_USER);
        enter();
        go(NS_PER_MS, IN_CALL);
    }
    thread_times(current_thread(), &user, &system);
    EXPECT_GT(user, 2750 * NS_PER_MS); /* 2.9 of 3.9 s, by samples */
    EXPECT_LT(user, 3050 * NS_PER_MS);
}

TEST(tickless, ticks_keep_their_grid_so_that_samples_are_fair)
{
    setup();
    run_as_user(short_calls);
}

static void faults(void *arg)
{
    (void)arg;
    go(NS_PER_S, IN_USER);
    EXPECT(host_syscall_watched);
    leave_after_fault();
    EXPECT(!host_syscall_watched);
    go(NS_PER_S, IN_USER); /* and so on */
    EXPECT(host_syscall_watched);
}

TEST(tickless, a_fault_brings_them_back)
{
    setup();
    run_as_user(faults);
}

static bool companion_ran;

static void companion(void *arg)
{
    (void)arg;
    EXPECT(!host_syscall_watched);
    go(30 * NS_PER_MS, IN_CALL);
    companion_ran = true;
}

static void gets_company(void *arg)
{
    (void)arg;
    go(NS_PER_S, IN_USER);
    EXPECT(host_syscall_watched);
    struct thread *thread = thread_create_kernel("companion", companion, NULL);
    EXPECT(thread != NULL);
    thread_start(thread);
    while (!companion_ran) {
        go(NS_PER_MS, IN_USER);
    }
    go(NS_PER_S, IN_USER);
    EXPECT(host_syscall_watched);
}

TEST(tickless, company_brings_them_back)
{
    setup();
    companion_ran = false;
    run_as_user(gets_company);
    EXPECT(companion_ran);
}

static void reads_coarse_time(void *arg)
{
    (void)arg;
    ktime_t last = 0;
    for (unsigned i = 0; i < 100; i++) {
        go(7 * NS_PER_MS, IN_USER);
        if (host_syscall_watched) {
            EXPECT_EQ(ktime_coarse(), ktime_now());
            EXPECT_EQ(ktime_realtime_coarse(), ktime_realtime());
            EXPECT_EQ(vdso_data()->coarse_stands, 1);
        }
        EXPECT_GE(ktime_coarse(), last);
        last = ktime_coarse();
        if (i % 5 == 0) {
            bool stopped = host_syscall_watched;
            enter();
            EXPECT_EQ(vdso_data()->coarse_stands, 0);
            EXPECT(!stopped || ktime_coarse() == ktime_now());
        }
    }
}

TEST(tickless, coarse_time_goes_on)
{
    setup();
    run_as_user(reads_coarse_time);
}

/* Ticks that come late (the host, or the firmware, had the CPU) fall where they are met, not where one of them meets user mode. */
static void late_ticks(void *arg)
{
    ktime_t user, system;

    (void)arg;
    for (unsigned i = 0; i < 200; i++) {
        for (unsigned k = 0; k < 8; k++) {
            thread_trapframe(current_thread())->cs = k == 4 ? IN_USER : IN_CALL;
            host_clock_move(200 * NS_PER_MS);
            EXPECT(host_clock_poll());
            leave_after_fault();
        }
    }
    thread_times(current_thread(), &user, &system);
    EXPECT_GT(user, (user + system) / 16);
    EXPECT_LT(user, (user + system) / 4); /* every eighth */
}

TEST(tickless, late_ticks_count_where_they_fall)
{
    setup();
    run_as_user(late_ticks);
}

/* Ticks that were left out are the user's only as far as interrupts, which are told of by themselves, had no time of it. */
static void interrupted(void *arg)
{
    struct sched_cpu_stats before, after;

    (void)arg;
    host_cycles_hz = NS_PER_S;
    cpu_self()->irq_cycles = cpu_self()->softirq_cycles = cpu_self()->irq_idle_cycles = 0;
    go(100 * NS_PER_MS, IN_USER);
    sched_cpu_stats(0, &before);
    for (unsigned i = 0; i < 10; i++) {
        go(100 * NS_PER_MS, IN_USER);
        cpu_self()->irq_cycles += 30 * NS_PER_MS;
    }
    sched_cpu_stats(0, &after);
    near(after.user_ns - before.user_ns, 700 * NS_PER_MS);
    near(after.irq_ns - before.irq_ns, 300 * NS_PER_MS);
    host_cycles_hz = 0;
}

TEST(tickless, time_of_interrupts_is_not_counted_twice)
{
    setup();
    run_as_user(interrupted);
}

/* What a thread has run alone, before anybody wanted the CPU, is nothing that it has had of the share that real-time threads may have then. */
static ktime_t alone_ns;
static bool finished;

static void wants_a_share(void *arg)
{
    (void)arg;
    while (!finished) {
        go(NS_PER_MS, IN_CALL);
    }
}

static void real_time(void *arg)
{
    struct sched_params params = {.policy = SCHED_FIFO, .priority = 1};
    struct sched_thread_stats before, after;

    (void)arg;
    EXPECT_EQ(sched_set_params(current_thread(), &params), 0);
    go(alone_ns, IN_USER);
    EXPECT(host_syscall_watched);
    struct thread *thread = thread_create_kernel("fair", wants_a_share, NULL);
    EXPECT(thread != NULL);
    ktime_t start = ktime_now();
    sched_thread_stats(current_thread(), &before);
    thread_start(thread);
    while (ktime_now() - start < 2 * NS_PER_S) {
        go(NS_PER_MS, IN_USER);
    }
    sched_thread_stats(current_thread(), &after);
    EXPECT_GE(after.runtime_ns - before.runtime_ns, 1840 * NS_PER_MS);
    EXPECT_LE(after.runtime_ns - before.runtime_ns, 1960 * NS_PER_MS);
    finished = true;
}

TEST(tickless, time_alone_is_no_share_of_real_time_threads)
{
    for (alone_ns = 3 * NS_PER_S; alone_ns < 4 * NS_PER_S; alone_ns += 130 * NS_PER_MS) {
        setup();
        finished = false;
        run_as_user(real_time);
    }
}
