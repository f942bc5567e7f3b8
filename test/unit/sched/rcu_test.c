/* Read-copy-update (kernel/sync/rcu.h) on one CPU, with threads, on a clock that the test moves. */
#define TEST_SUITE "sched"
#include "kernel/sync/rcu.h"

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/core/time.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/sched.h"
#include "kernel/sync/report.h"
#include "test/unit/test.h"

static char order[64]; /* what happened, a letter each */

static void note(char letter)
{
    size_t len = strlen(order);

    EXPECT_LT(len, sizeof(order) - 1);
    order[len] = letter;
    order[len + 1] = '\0';
}

static void setup(void)
{
    host_sched_begin();
    order[0] = '\0';
}

static void run(void)
{
    preempt_enable();
    host_run_threads();
}

static void start(const char *comm, void (*fn)(void *), void *arg)
{
    struct thread *thread = thread_create_kernel(comm, fn, arg);

    EXPECT(thread != NULL);
    thread_start(thread);
}

/* A reader that others may push aside. */
static void read_long(void *arg)
{
    (void)arg;
    rcu_read_lock();
    rcu_read_lock(); /* sections nest */
    note('(');
    for (unsigned i = 0; i < 30; i++) {
        sched_yield_cpu();
        host_clock_advance(NS_PER_MS);
    }
    rcu_read_unlock();
    EXPECT(rcu_read_held());
    sched_yield_cpu();
    note(')');
    rcu_read_unlock();
    EXPECT(!rcu_read_held());
}

static void wait_for_readers(void *arg)
{
    ((void (*)(void))(uintptr_t)arg)();
    note('S');
}

TEST(rcu, synchronize_waits_for_a_reader_that_was_switched_out)
{
    setup();
    start("reader", read_long, NULL);
    start("updater", wait_for_readers, (void *)(uintptr_t)rcu_synchronize);
    run();
    EXPECT_STR_EQ(order, "()S");
}

TEST(rcu, the_expedited_form_waits_too)
{
    setup();
    start("reader", read_long, NULL);
    start("updater", wait_for_readers, (void *)(uintptr_t)rcu_synchronize_expedited);
    run();
    EXPECT_STR_EQ(order, "()S");
}

TEST(rcu, synchronize_does_not_wait_for_who_begins_later)
{
    setup();
    start("updater", wait_for_readers, (void *)(uintptr_t)rcu_synchronize);
    start("reader", read_long, NULL);
    run();
    EXPECT_EQ(order[2] == 'S' || order[0] == 'S' || order[1] == 'S', 1);
    EXPECT_EQ(strlen(order), 3);
}

struct letter {
    struct rcu_head rcu;
    char letter;
};

static void letter_come(struct rcu_head *head)
{
    note(container_of(head, struct letter, rcu)->letter);
}

static void call_two(void *arg)
{
    static struct letter letters[3] = {{.letter = 'a'}, {.letter = 'b'}, {.letter = 'c'}};
    void *object = kmalloc(sizeof(struct letter));

    (void)arg;
    EXPECT(object != NULL);
    rcu_call(&letters[0].rcu, letter_come);
    rcu_free((struct letter *)object, rcu);
    rcu_call(&letters[1].rcu, letter_come);
    note('q');
    rcu_barrier();
    note('B');
    rcu_call(&letters[2].rcu, letter_come);
}

TEST(rcu, callbacks_come_in_order_and_a_barrier_comes_after_them)
{
    struct rcu_stats stats;

    setup();
    start("reader", read_long, NULL);
    start("caller", call_two, NULL);
    run();
    EXPECT_STR_EQ(order, "(q)abBc");
    rcu_stats(&stats);
    EXPECT_EQ(stats.called, stats.queued);
    EXPECT_EQ(stats.done, stats.started);
}

static unsigned ncalled; /* by calls_main alone */

static void count_call(struct rcu_head *head)
{
    kfree(head);
    ncalled++;
}

static void call_many(void *arg)
{
    struct rcu_stats before, after;

    rcu_stats(&before);
    for (unsigned i = 0; i < 10000; i++) {
        struct rcu_head *head = kmalloc(sizeof(*head));
        EXPECT(head != NULL);
        rcu_call(head, count_call);
    }
    rcu_barrier();
    rcu_stats(&after);
    *(uint64_t *)arg = after.done - before.done;
}

TEST(rcu, a_grace_period_serves_many_callbacks)
{
    uint64_t ngps = 0;

    setup();
    ncalled = 0;
    start("caller", call_many, &ngps);
    run();
    EXPECT_EQ(ncalled, 10000);
    EXPECT_LT(ngps, 8);
}

static void read_for_ever(void *arg)
{
    (void)arg;
    rcu_read_lock();
    ktime_t end = ktime_now() + 30 * NS_PER_S;
    while (ktime_now() < end) {
        host_clock_advance(NS_PER_S / 4);
        sched_yield_cpu();
    }
    rcu_read_unlock();
}

TEST(rcu, a_reader_that_does_not_end_is_reported)
{
    struct rcu_stats before, after;

    setup();
    rcu_stats(&before);
    start("reader", read_for_ever, NULL);
    start("updater", wait_for_readers, (void *)(uintptr_t)rcu_synchronize);
    run();
    rcu_stats(&after);
    EXPECT_STR_EQ(order, "S");
    EXPECT_EQ(after.stalls, before.stalls + 1);
}

static unsigned nreports;

static void count_report(const char *text, bool backtrace)
{
    (void)text;
    nreports += backtrace;
}

static int *shared_pointer;

TEST(rcu, following_a_pointer_outside_of_a_section_is_reported)
{
    host_sched_init();
    nreports = 0;
    sync_report_hook = count_report;
    rcu_read_lock();
    (void)rcu_dereference(shared_pointer);
    rcu_read_unlock();
    preempt_disable();
    (void)rcu_dereference(shared_pointer);
    preempt_enable();
    (void)rcu_dereference_check(shared_pointer, true);
    (void)rcu_access_pointer(shared_pointer);
    unsigned before = nreports;
    (void)rcu_dereference(shared_pointer);
    sync_report_hook = host_sync_report;
    EXPECT_EQ(before, 0);
    EXPECT_EQ(nreports, 1);
}

TEST(rcu, sleeping_inside_a_section_is_reported)
{
    host_sched_init();
    nreports = 0;
    sync_report_hook = count_report;
    rcu_read_lock();
    might_sleep();
    rcu_read_unlock();
    sync_report_hook = host_sync_report;
    EXPECT_EQ(nreports, 1);
}

static void take_section(void *arg)
{
    *(uint32_t *)arg = cpu_self()->rcu_idle;
    rcu_read_lock();
    rcu_read_unlock();
}

TEST(rcu, an_interrupt_ends_an_idle_time)
{
    uint32_t seen = 0;

    host_sched_init();
    rcu_idle_enter();
    EXPECT(cpu_self()->rcu_idle & RCU_IDLE);
    EXPECT(host_run_interrupt(take_section, &seen));
    EXPECT(!(seen & RCU_IDLE));
    rcu_idle_exit(); /* nothing more to end */
    EXPECT_EQ(cpu_self()->rcu_idle, seen);
}
