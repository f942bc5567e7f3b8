/* Interrupt lines (kernel/irq/irq.h) over a chip that remembers what it was told (hal/host/irq.c). Each test has lines of its own. */
#define TEST_SUITE "irq"
#include "kernel/irq/irq.h"

#include <linux/sched.h>

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "kernel/core/smp_call.h"
#include "kernel/irq/chip.h"
#include "kernel/machine/smp.h"
#include "kernel/sched/params.h"
#include "kernel/sched/sched.h"
#include "test/unit/test.h"

static enum irq_result answer = IRQ_HANDLED;

static enum irq_result hard(struct irq_handler *handler)
{
    (void)handler;
    return answer;
}

static struct cpumask mask_of(uint64_t bits)
{
    return (struct cpumask){{bits}};
}

static unsigned target_of(unsigned line)
{
    struct irq_info info;

    EXPECT(irq_describe(line, &info));
    EXPECT_EQ(info.target, host_irqs[line].cpu);
    return info.target;
}

TEST(irq, new_lines_spread_over_the_cpus)
{
    static struct irq_handler handlers[4];
    unsigned used = 0;

    host_sched_init();
    host_set_cpu_count(4);
    for (unsigned i = 0; i < 4; i++) {
        handlers[i] = (struct irq_handler){.fn = hard, .name = "spread"};
        EXPECT_EQ(irq_attach(i, 0, &handlers[i]), 0);
        used |= 1u << target_of(i);
    }
    EXPECT_EQ(used, 0xf);
    for (unsigned i = 0; i < 4; i++) {
        irq_detach(i, 0, &handlers[i]);
        EXPECT(host_irqs[i].masked);
    }
}

TEST(irq, affinity_says_where_a_line_may_go)
{
    static struct irq_handler handler = {.fn = hard, .name = "affinity"};
    struct cpumask mask = mask_of(4);

    host_sched_init();
    host_set_cpu_count(4);
    EXPECT_EQ(irq_attach(4, 0, &handler), 0);
    EXPECT_EQ(irq_set_affinity(4, &mask), 0);
    EXPECT_EQ(target_of(4), 2);
    unsigned moves = host_irqs[4].moves;
    mask = mask_of(0xc);
    EXPECT_EQ(irq_set_affinity(4, &mask), 0); /* where it is will do */
    EXPECT_EQ(target_of(4), 2);
    EXPECT_EQ(host_irqs[4].moves, moves);
    mask = mask_of(0xf0);
    EXPECT_EQ(irq_set_affinity(4, &mask), -EINVAL);
    mask = mask_of(0);
    EXPECT_EQ(irq_set_affinity(4, &mask), -EINVAL);
    EXPECT_EQ(target_of(4), 2);
    EXPECT_EQ(irq_set_affinity(900, &mask), -ENXIO);
    irq_detach(4, 0, &handler);
}

TEST(irq, a_cpu_that_the_chip_does_not_reach_is_passed_over)
{
    static struct irq_handler handler = {.fn = hard, .name = "reach"};
    struct cpumask mask = mask_of(6);

    host_sched_init();
    host_set_cpu_count(4);
    EXPECT_EQ(irq_attach(5, 0, &handler), 0);
    host_irq_unreachable = 1;
    EXPECT_EQ(irq_set_affinity(5, &mask), 0);
    EXPECT_EQ(target_of(5), 2);
    host_irq_unreachable = ~0u;
    irq_detach(5, 0, &handler);
}

TEST(irq, a_leaving_cpu_gives_its_lines_away_and_gets_its_own_back)
{
    static struct irq_handler wide = {.fn = hard, .name = "wide"};
    static struct irq_handler bound = {.fn = hard, .name = "bound"};
    struct cpumask mask = mask_of(8), both = mask_of(0xa);

    host_sched_init();
    host_set_cpu_count(4);
    EXPECT_EQ(irq_attach(6, 0, &wide), 0);
    EXPECT_EQ(irq_attach(7, 0, &bound), 0);
    EXPECT_EQ(irq_set_affinity(6, &mask), 0);
    EXPECT_EQ(irq_set_affinity(7, &mask), 0);
    EXPECT_EQ(irq_set_affinity(6, &both), 0);
    cpu_set_online(3, false);
    irq_cpu_offline(3);
    EXPECT_EQ(target_of(6), 1); /* its affinity has another one */
    EXPECT_NE(target_of(7), 3); /* this one's has not */
    EXPECT_EQ(host_irqs[6].settles, 1);
    EXPECT_EQ(host_irqs[7].settles, 1);
    irq_cpu_online(3);
    cpu_set_online(3, true);
    EXPECT_EQ(target_of(6), 1);
    EXPECT_EQ(target_of(7), 3);
    irq_detach(6, 0, &wide);
    irq_detach(7, 0, &bound);
}

TEST(irq, a_timer_stays_on_the_boot_cpu)
{
    static struct irq_handler handler = {.fn = hard, .name = "timer"};
    struct cpumask mask = mask_of(2);

    host_sched_init();
    host_set_cpu_count(4);
    EXPECT_EQ(irq_attach(8, IRQ_FLAG_TIMER, &handler), 0);
    EXPECT_EQ(target_of(8), 0);
    EXPECT_EQ(irq_set_affinity(8, &mask), -EIO);
    irq_detach(8, IRQ_FLAG_TIMER, &handler);
}

TEST(irq, the_balance_moves_what_makes_the_busiest_cpu_less_so)
{
    static struct irq_handler handlers[3];
    struct cpumask first = mask_of(1), any = mask_of(3);

    host_sched_init();
    host_set_cpu_count(2);
    for (unsigned i = 0; i < 3; i++) {
        handlers[i] = (struct irq_handler){.fn = hard, .name = "load"};
        EXPECT_EQ(irq_attach(9 + i, 0, &handlers[i]), 0);
        EXPECT_EQ(irq_set_affinity(9 + i, &first), 0);
        EXPECT_EQ(irq_set_affinity(9 + i, &any), 0);
    }
    irq_balance(); /* what came before counts no more */
    for (unsigned i = 0; i < 60; i++) {
        EXPECT(host_irq_raise(9));
        EXPECT(i % 2 != 0 || host_irq_raise(10));
        EXPECT(i % 6 != 0 || host_irq_raise(11));
    }
    irq_balance(); /* 60 + 30 + 10 on one: 60 for the other is worse than 40 */
    EXPECT_EQ(target_of(9) + target_of(10) + target_of(11), 1);
    EXPECT_EQ(target_of(11), 0);
    unsigned moves = host_irqs[9].moves + host_irqs[10].moves + host_irqs[11].moves;
    irq_balance(); /* nothing came since */
    EXPECT_EQ(host_irqs[9].moves + host_irqs[10].moves + host_irqs[11].moves, moves);
    for (unsigned i = 0; i < 3; i++) {
        irq_detach(9 + i, 0, &handlers[i]);
    }
}

TEST(irq, a_line_alone_on_its_cpu_is_left_there)
{
    static struct irq_handler handler = {.fn = hard, .name = "alone"};

    host_sched_init();
    host_set_cpu_count(2);
    EXPECT_EQ(irq_attach(12, 0, &handler), 0);
    irq_balance();
    unsigned moves = host_irqs[12].moves;
    for (unsigned i = 0; i < 50; i++) {
        EXPECT(host_irq_raise(12));
    }
    irq_balance();
    EXPECT_EQ(host_irqs[12].moves, moves);
    irq_detach(12, 0, &handler);
}

TEST(irq, what_nobody_claims_is_masked_in_the_end)
{
    static struct irq_handler handler = {.fn = hard, .name = "none"};
    struct irq_info info;

    host_sched_init();
    EXPECT_EQ(irq_attach(13, 0, &handler), 0);
    answer = IRQ_NONE;
    for (unsigned i = 0; i < 10000; i++) {
        EXPECT(host_irq_raise(13));
    }
    answer = IRQ_HANDLED;
    EXPECT(!host_irq_raise(13));
    EXPECT(irq_describe(13, &info));
    EXPECT_EQ(info.count, 10000);
    EXPECT_EQ(info.unhandled, 10000);
    irq_detach(13, 0, &handler);
}

TEST(irq, handlers_of_one_line_agree_on_its_trigger)
{
    static struct irq_handler one = {.fn = hard, .name = "one"}, two = {.fn = hard, .name = "two"};
    char name[8];

    host_sched_init();
    EXPECT_EQ(irq_attach(14, IRQ_FLAG_LEVEL, &one), 0);
    EXPECT_EQ(irq_attach(14, 0, &two), -EBUSY);
    EXPECT_EQ(irq_attach(14, IRQ_FLAG_LEVEL, &two), 0);
    EXPECT(irq_handler_name(14, 1, name, sizeof(name)));
    EXPECT_STR_EQ(name, "two");
    EXPECT(!irq_handler_name(14, 2, name, sizeof(name)));
    irq_detach(14, IRQ_FLAG_LEVEL, &one);
    EXPECT(host_irq_raise(14));
    EXPECT_EQ(two.count, 1);
    irq_detach(14, IRQ_FLAG_LEVEL, &two);
    EXPECT_EQ(irq_attach(32, 0, &one), -EINVAL);
}

/* ---- threads ---- */

static unsigned thread_runs;
static bool line_was_masked, raised_again;

static enum irq_result wake(struct irq_handler *handler)
{
    (void)handler;
    return IRQ_WAKE_THREAD;
}

static void slow(struct irq_handler *handler)
{
    unsigned line = (unsigned)(uintptr_t)handler->arg;

    EXPECT(irq_enabled());
    thread_runs++;
    line_was_masked = host_irqs[line].masked;
    if (thread_runs == 1) {
        raised_again = host_irq_raise(line);
    }
}

static void detach_threads(void *arg)
{
    struct irq_handler *handler = arg;
    unsigned line = (unsigned)(uintptr_t)handler->arg;

    irq_detach(line, line == 15 ? IRQ_FLAG_LEVEL : 0, handler);
}

static void threaded(unsigned line, unsigned flags)
{
    static struct irq_handler handler;

    host_sched_init();
    thread_runs = 0;
    handler = (struct irq_handler){
        .fn = wake, .thread_fn = slow, .name = "slow", .arg = (void *)(uintptr_t)line};
    EXPECT_EQ(irq_attach(line, flags, &handler), 0);
    host_run_threads();
    EXPECT(host_irq_raise(line));
    host_run_threads();
    struct thread *thread = thread_create_kernel("detach", detach_threads, &handler);
    EXPECT(thread != NULL);
    thread_start(thread);
    host_run_threads();
    EXPECT(host_irqs[line].masked);
    EXPECT(handler.thread == NULL);
}

TEST(irq, a_level_line_is_masked_until_its_thread_is_done)
{
    threaded(15, IRQ_FLAG_LEVEL);
    EXPECT(line_was_masked);
    EXPECT(!raised_again);
    EXPECT_EQ(thread_runs, 1);
}

TEST(irq, an_edge_while_the_thread_works_lets_it_run_once_more)
{
    threaded(16, 0);
    EXPECT(!line_was_masked);
    EXPECT(raised_again);
    EXPECT_EQ(thread_runs, 2);
}

static void detach_meanwhile(struct irq_handler *handler)
{
    const struct sched_params first = {.policy = SCHED_FIFO, .priority = 60};
    struct thread *thread = thread_create_kernel("detach", detach_threads, handler);
    struct irq_info info;

    EXPECT(thread != NULL);
    EXPECT_EQ(sched_set_params(thread, &first), 0);
    thread_start(thread); /* it waits for us now */
    thread_runs++;
    EXPECT(irq_describe(15, &info));
    EXPECT(!info.in_use);
}

TEST(irq, a_line_whose_last_handler_goes_while_its_thread_works_stays_masked)
{
    static struct irq_handler handler = {
        .fn = wake, .thread_fn = detach_meanwhile, .name = "slow", .arg = (void *)15};

    host_sched_init();
    thread_runs = 0;
    EXPECT_EQ(irq_attach(15, IRQ_FLAG_LEVEL, &handler), 0);
    host_run_threads();
    EXPECT(host_irq_raise(15));
    host_run_threads();
    EXPECT_EQ(thread_runs, 1);
    EXPECT(handler.thread == NULL);
    EXPECT(host_irqs[15].masked);
    /* and the next one finds it as a new one would */
    handler = (struct irq_handler){.fn = hard, .name = "next"};
    EXPECT_EQ(irq_attach(15, IRQ_FLAG_LEVEL, &handler), 0);
    EXPECT(host_irq_raise(15));
    irq_detach(15, IRQ_FLAG_LEVEL, &handler);
}
