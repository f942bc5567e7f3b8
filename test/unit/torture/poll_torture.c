/*
 * Who polls registers, and looks; who makes a file ready changes it, and looks for who is registered (kernel/sched/poll.h). However close they
 * meet, one of the two sees the other, or a wake-up is lost.
 */
#define TEST_SUITE "torture"
#include "kernel/sched/poll.h"

#include "hal/host/host.h"
#include "test/unit/test.h"

#define ROUNDS    20000u
#define DELAY_MAX 400

static struct waiter watch __aligned(256); /* no neighbour's line brings it */
static struct wait_queue queue __aligned(256);
static uint32_t ready __aligned(256); /* [a] the condition */
/* [a] how often each has come to a meeting, in lines of their own */
static uint32_t came[2][64] __aligned(256);
static uint32_t told __aligned(256); /* in this round, by the waker: somebody polls */
static uint32_t seen __aligned(256); /* by who polls: the condition */
static int delay;      /* of who polls; below 0, of the waker: neither is ahead for long */
static unsigned nlost; /* rounds in which neither saw the other */

static void watch_enqueue(struct poll_table *table, struct wait_queue *wanted,
                          const struct poll_pin *pin)
{
    (void)table, (void)pin;
    wait_add(wanted, &watch);
}

static bool never_woken(struct waiter *waiter, uint32_t key)
{
    (void)waiter, (void)key;
    return false;
}

/* Both go on at about the same time. */
static void meet(unsigned cpu, uint32_t time)
{
    atomic_store_release(came[cpu], time);
    for (unsigned turn = 1; atomic_load_acquire(came[1 - cpu]) < time; turn++) {
        if (turn % 4096 == 0) {
            cpu_relax();
        }
    }
}

static void linger(int turns)
{
    for (volatile int i = turns; i > 0; i--) {
    }
}

static void poll_once(void)
{
    struct poll_table table = {.enqueue = watch_enqueue};

    linger(delay);
    poll_wait(&table, &queue);
    seen = atomic_load_relaxed(&ready);
}

static void tell_once(void)
{
    linger(-delay);
    atomic_store_relaxed(&ready, 1u);
    told = wait_queue_active(&queue);
}

static void end_round(void)
{
    nlost += seen == 0 && told == 0;
    delay = CLAMP(delay + (int)told - (int)seen, -DELAY_MAX, DELAY_MAX);
    wait_remove(&queue, &watch);
    atomic_store_relaxed(&ready, 0u);
    /* Far away, it takes a while to be written, and the queue after it to be seen by others. */
    __builtin_ia32_clflush(&watch);
}

static void cpu_main(void *arg, unsigned cpu)
{
    (void)arg;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        meet(cpu, 2 * round + 1);
        if (cpu == 0) {
            poll_once();
        } else {
            tell_once();
        }
        meet(cpu, 2 * round + 2);
        if (cpu == 0) {
            end_round();
        }
    }
}

TEST(poll, who_registers_or_who_wakes_sees_the_other)
{
    wait_queue_init(&queue);
    queue.lock.class = NULL; /* lockdep would take longer than a store */
    waiter_init_fn(&watch, never_woken);
    delay = 0;
    nlost = 0;
    host_run_on_cpus(2, cpu_main, NULL);
    EXPECT_EQ(nlost, 0);
}
