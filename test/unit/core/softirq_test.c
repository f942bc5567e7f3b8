/* Softirqs (kernel/core/softirq.h), and the thread that goes on with them (kernel/sched/softirqd.c). Each test has a vector of its own, of those nobody uses. */
#define TEST_SUITE "core"
#include <linux/sched.h>

#include "kernel/core/softirq.h"

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/core/percpu.h"
#include "kernel/core/smp_call.h"
#include "kernel/machine/preempt.h"
#include "kernel/sched/params.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/softirqd.h"
#include "kernel/sched/thread.h"
#include "test/unit/test.h"

static unsigned runs,
    wanted; /* how often a function ran; for how long it says that there is more */
static char order[16];
static unsigned thread_from; /* the first of these runs that was ksoftirqd's; 0: none */

static void raise_one(void *arg)
{
    softirq_raise(*(enum softirq *)arg);
}

static void nothing(void *arg)
{
    (void)arg;
}

static bool count_run(void)
{
    EXPECT(irq_enabled());
    EXPECT(in_softirq());
    EXPECT(in_atomic());
    EXPECT(!in_hardirq());
    runs++;
    if (thread_from == 0 && strcmp(current_thread()->comm, "ksoftirqd/0") == 0) {
        thread_from = runs;
    }
    return runs < wanted;
}

static void begin(unsigned rounds)
{
    host_sched_init();
    host_run_threads();
    runs = thread_from = 0;
    wanted = rounds;
}

TEST(softirq, runs_at_the_end_of_the_interrupt_with_interrupts_on)
{
    enum softirq vector = SOFTIRQ_NET_RX;

    begin(1);
    softirq_open(vector, count_run);
    uint64_t before = softirq_count(vector, cpu_id());
    EXPECT(host_run_interrupt(raise_one, &vector));
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(softirq_count(vector, cpu_id()), before + 1);
    EXPECT(host_run_interrupt(nothing, NULL));
    EXPECT_EQ(runs, 1);
}

static void check_late(void *arg)
{
    softirq_raise(*(enum softirq *)arg);
    EXPECT_EQ(runs, 0);
}

/* An interrupt in the midst of it: its own end runs nothing, the round after this one does. */
static bool interrupted(void)
{
    static enum softirq vector = SOFTIRQ_NET_TX;
    unsigned now = ++runs;

    if (now == 1) {
        EXPECT(host_run_interrupt(raise_one, &vector));
        EXPECT_EQ(runs, 1);
    }
    return false;
}

TEST(softirq, never_runs_inside_another_and_forgets_none)
{
    enum softirq vector = SOFTIRQ_NET_TX;

    begin(1);
    softirq_open(vector, interrupted);
    EXPECT(host_run_interrupt(check_late, &vector));
    EXPECT_EQ(runs, 2);
}

static bool note_hi(void)
{
    order[runs++] = 'h';
    return false;
}

static bool note_poll(void)
{
    order[runs++] = 'p';
    return runs < 3;
}

static void raise_both(void *arg)
{
    (void)arg;
    softirq_raise(SOFTIRQ_IRQ_POLL);
    softirq_raise(SOFTIRQ_HI);
}

TEST(softirq, urgent_ones_come_first_and_the_others_have_their_turn_again)
{
    begin(1);
    softirq_open(SOFTIRQ_HI, note_hi);
    softirq_open(SOFTIRQ_IRQ_POLL, note_poll);
    EXPECT(host_run_interrupt(raise_both, NULL));
    order[runs] = '\0';
    EXPECT_STR_EQ(order, "hpp");
}

TEST(softirq, waits_while_it_is_forbidden)
{
    enum softirq vector = SOFTIRQ_NET_RX;

    begin(1);
    softirq_open(vector, count_run);
    softirq_disable();
    EXPECT(in_interrupt());
    EXPECT(in_thread());
    softirq_disable();
    EXPECT(host_run_interrupt(raise_one, &vector));
    softirq_enable();
    EXPECT_EQ(runs, 0);
    softirq_enable();
    EXPECT_EQ(runs, 1);
    EXPECT(!in_atomic());
    softirq_disable();
    softirq_raise(vector); /* by a thread */
    EXPECT_EQ(runs, 1);
    softirq_enable();
    EXPECT_EQ(runs, 2);
}

static void start_thread(void)
{
    static bool started;

    if (!started) {
        softirqd_start();
        started = true;
    }
    host_run_threads();
}

TEST(softirq, what_exceeds_the_budget_is_left_to_the_thread)
{
    enum softirq vector = SOFTIRQ_NET_RX;

    begin(1000);
    softirq_open(vector, count_run);
    start_thread();
    EXPECT(host_run_interrupt(raise_one, &vector));
    host_run_threads();
    EXPECT_EQ(runs, 1000);
    EXPECT_GT(thread_from, 1);
    EXPECT_LE(thread_from, 11); /* softirq.c: ROUNDS_MAX */

    /* Raised by a thread, or in a call that looks like an interrupt: nobody's way out would run it. */
    wanted = 0;
    softirq_raise(vector);
    EXPECT_EQ(runs, 1000);
    host_run_threads();
    EXPECT_EQ(runs, 1001);
    EXPECT_EQ(smp_call_one(cpu_id(), raise_one, &vector, true), 0);
    host_run_threads();
    EXPECT_EQ(runs, 1002);
}

TEST(softirq, lengthens_no_section_without_preemption)
{
    enum softirq vector = SOFTIRQ_NET_RX;

    begin(5);
    softirq_open(vector, count_run);
    start_thread();
    preempt_disable();
    EXPECT(host_run_interrupt(raise_one, &vector));
    EXPECT_EQ(runs, 0);
    EXPECT(need_resched());
    preempt_enable(); /* one round before the choice, the others are the thread's */
    host_run_threads();
    EXPECT_EQ(runs, 5);
    EXPECT_EQ(thread_from, 2);
}

static void note_urgent(void *arg)
{
    (void)arg;
    order[runs++] = 'u';
}

static bool note_softirq(void)
{
    order[runs++] = 's';
    return false;
}

static void wake_and_raise(void *arg)
{
    thread_start(arg);
    softirq_raise(SOFTIRQ_BLOCK);
}

/* Who is more urgent than ordinary threads does not wait for softirqs, which an ordinary one does. */
TEST(softirq, a_real_time_thread_comes_first)
{
    const struct sched_params fifo = {.policy = SCHED_FIFO, .priority = 1};

    begin(1);
    softirq_open(SOFTIRQ_BLOCK, note_softirq);
    start_thread();
    for (unsigned urgent = 0; urgent < 2; urgent++) {
        struct thread *thread = thread_create_kernel("urgent", note_urgent, NULL);
        EXPECT(thread != NULL);
        if (urgent) {
            EXPECT_EQ(sched_set_params(thread, &fifo), 0);
        }
        EXPECT(host_run_interrupt(wake_and_raise, thread));
        host_run_threads();
    }
    order[runs] = '\0';
    EXPECT_STR_EQ(order, "suus");
}

TEST(softirq, a_cpu_that_goes_leaves_what_it_had_raised_to_the_one_that_asks)
{
    enum softirq vector = SOFTIRQ_NET_RX;

    begin(1);
    softirq_open(vector, count_run);
    host_set_cpu_count(2);
    cpu_by_id(1)->softirq_pending = (uint32_t)BIT(vector);
    softirqd_dead(1);
    EXPECT_EQ(cpu_by_id(1)->softirq_pending, 0);
    host_run_threads();
    EXPECT_EQ(runs, 1);
    host_set_cpu_count(1);
}
