/* Kernel threads as processes (kernel/proc/kthreadd.c): they come into the tree when they start, and leave it when they end. */
#define TEST_SUITE "kthreadd"
#include "hal/host/host.h"
#include "kernel/base/string.h"
#include "kernel/core/time.h"
#include "kernel/proc/internal.h"
#include "test/unit/test.h"

static struct wait_queue gate;
static bool opened;
static uint64_t before, during;
static struct pid *number;
static bool found_alive, found_dead;

static void wait_for_gate(void *arg)
{
    (void)arg;
    wait_event(&gate, opened);
}

static struct thread *start(const char *comm, void (*fn)(void *))
{
    struct thread *thread = thread_create_kernel(comm, fn, NULL);

    EXPECT(thread != NULL);
    thread_get(thread);
    thread_start(thread);
    return thread;
}

/* Plays the boot: one thread was started before kthreadd, one is started after it; then both end. */
static void boot(void *arg)
{
    struct thread *early = arg, *thread, *late;

    kthreadd_start();
    EXPECT(early->pid != NULL);
    EXPECT(current_thread()->pid != NULL);
    EXPECT_GT(current_thread()->pid->nr, early->pid->nr); /* in the order of their starts */
    before = process_count();
    late = start("late", wait_for_gate);
    thread_sleep_ns(NS_PER_MS);
    during = process_count();
    number = pid_get(late->pid);
    struct process *process = process_of_thread_pid(number, &thread);
    found_alive = process != NULL && thread == late && process->kernel_thread &&
                  process->parent->pid->nr == process_parent_nr(process);
    thread_put(thread);
    process_put(process);
    opened = true;
    wait_wake_all(&gate, 0);
    thread_sleep_ns(NS_PER_MS);
    found_dead = process_of_thread_pid(number, &thread) != NULL;
    thread_put(late);
}

TEST(kthreadd, numbers_kernel_threads_and_forgets_those_that_end)
{
    struct rlimit64 limits[RLIM_NLIMITS];

    host_sched_begin();
    process_init();
    limits_init_default(limits); /* how many threads there may be */
    wait_queue_init(&gate);
    struct thread *early = start("early", wait_for_gate);
    thread_start(thread_create_kernel("boot", boot, early));
    preempt_enable();
    host_run_threads();
    EXPECT_EQ(during, before + 1);
    EXPECT(found_alive);
    EXPECT(!found_dead);
    EXPECT_EQ(process_count(), before - 2); /* early and boot have ended too */
    int nr = number->nr;
    pid_put(number);
    thread_put(early);
    EXPECT(pid_find(nr) == NULL);
}
