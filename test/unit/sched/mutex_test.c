/* Mutexes and semaphores that sleep (kernel/sched/mutex.h): who comes first, who inherits from whom, and who may overtake how often. */
#define TEST_SUITE "sched"
#include <linux/sched.h>

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "kernel/core/time.h"
#include "kernel/sched/mutex.h"
#include "test/unit/test.h"

#define MAX_ACTORS 8

/* A thread that comes to the lock at a time of its own, and holds it for a while. */
struct actor {
    char name;
    uint8_t priority; /* 1..99 real-time, 0: not */
    int8_t nice;
    unsigned at_ms, hold_ms;
    void (*play)(struct actor *actor);
    struct thread *thread;
    int result;
};

static struct actor actors[MAX_ACTORS];
static unsigned nactors;
static struct mutex a, b;
static struct rwsem sem;
static char order[64];
static unsigned at;

static void note(const struct actor *actor)
{
    order[at++] = actor->name;
    order[at] = '\0';
}

static void setup(void)
{
    host_sched_begin();
    mutex_init(&a, "test a");
    mutex_init(&b, "test b");
    rwsem_init(&sem, "test semaphore");
    at = nactors = 0;
    order[0] = '\0';
}

static void actor_main(void *arg)
{
    struct actor *actor = arg;

    if (actor->at_ms > 0) {
        thread_sleep_ns((ktime_t)actor->at_ms * NS_PER_MS);
    }
    actor->play(actor);
    EXPECT_EQ(current_thread()->boost_prio, PRIO_IDLE);
}

static struct actor *add(struct actor actor)
{
    struct actor *added = &actors[nactors++];
    struct sched_params params = {.policy = actor.priority > 0 ? SCHED_FIFO : SCHED_NORMAL,
                                  .priority = actor.priority,
                                  .nice = actor.nice};

    *added = actor;
    added->thread = thread_create_kernel("actor", actor_main, added);
    EXPECT(added->thread != NULL);
    EXPECT_EQ(sched_set_params(added->thread, &params), 0);
    return added;
}

static void run(void)
{
    for (unsigned i = 0; i < nactors; i++) {
        thread_get(actors[i].thread);
        thread_start(actors[i].thread);
    }
    preempt_enable();
    host_run_threads();
    for (unsigned i = 0; i < nactors; i++) {
        EXPECT(actors[i].thread->pi.waiting == NULL && actors[i].thread->pi.donors.node == NULL);
        thread_put(actors[i].thread);
    }
    EXPECT(a.word == 0 && b.word == 0 && sem.word == 0);
}

/* Real-time priority it runs at now, 0: none. */
static int runs_at(const struct actor *actor)
{
    return actor->thread->prio < 99 ? 99 - actor->thread->prio : 0;
}

static void stay(const struct actor *actor)
{
    if (actor->hold_ms > 0) {
        thread_sleep_ns((ktime_t)actor->hold_ms * NS_PER_MS);
    }
}

static void take_a(struct actor *actor)
{
    mutex_lock(&a);
    note(actor);
    stay(actor);
    mutex_unlock(&a);
}

TEST(mutex, waiters_come_by_priority_and_equals_in_order_whatever_their_niceness)
{
    setup();
    add((struct actor){.name = 'h', .hold_ms = 20, .play = take_a});
    add((struct actor){.name = '1', .nice = 19, .at_ms = 1, .play = take_a});
    add((struct actor){.name = '2', .priority = 10, .at_ms = 2, .play = take_a});
    add((struct actor){.name = '3', .nice = -20, .at_ms = 3, .play = take_a});
    add((struct actor){.name = '4', .priority = 30, .at_ms = 4, .play = take_a});
    add((struct actor){.name = '5', .priority = 10, .at_ms = 5, .play = take_a});
    run();
    EXPECT_STR_EQ(order, "h42513");
}

/* ---- inheritance ---- */

static void take_b_then_a(struct actor *actor)
{
    mutex_lock(&b);
    take_a(actor);
    mutex_unlock(&b);
}

static void take_b(struct actor *actor)
{
    mutex_lock(&b);
    note(actor);
    mutex_unlock(&b);
}

static void see_chain(struct actor *actor)
{
    (void)actor;
    EXPECT_EQ(runs_at(&actors[0]), 30);
    EXPECT_EQ(runs_at(&actors[1]), 30);
}

static void see_link(struct actor *actor)
{
    (void)actor;
    EXPECT_EQ(runs_at(&actors[0]), 20);
}

TEST(mutex, priority_goes_along_a_chain_of_holders)
{
    setup();
    add((struct actor){.name = 'l', .priority = 10, .hold_ms = 20, .play = take_a});
    add((struct actor){.name = 'm', .priority = 20, .at_ms = 1, .play = take_b_then_a});
    add((struct actor){.name = 'h', .priority = 30, .at_ms = 5, .play = take_b});
    add((struct actor){.name = '-', .priority = 40, .at_ms = 3, .play = see_link});
    add((struct actor){.name = '-', .priority = 40, .at_ms = 8, .play = see_chain});
    run();
    EXPECT_STR_EQ(order, "lmh");
}

static struct pi_lock futex;

/* As the owner of a futex in a system call that needs a mutex. */
static void own_futex_and_take_a(struct actor *actor)
{
    pi_lock_init(&futex);
    spin_lock(&futex.lock);
    pi_take_locked(&futex, current_thread());
    spin_unlock(&futex.lock);
    take_a(actor);
    spin_lock(&futex.lock);
    (void)pi_pass_locked(&futex);
    spin_unlock(&futex.lock);
}

static void wait_for_futex(struct actor *actor)
{
    struct pi_waiter waiter = {0};

    spin_lock(&futex.lock);
    actor->result = pi_wait(&futex, &waiter, current_thread());
    stay(actor);
    spin_lock(&futex.lock);
    pi_cancel(&futex, &waiter);
}

static void see_nothing(struct actor *actor)
{
    (void)actor;
    EXPECT_EQ(runs_at(&actors[0]), 20);
    EXPECT_EQ(runs_at(&actors[1]), 20);
}

TEST(mutex, a_chain_leads_through_futexes_too_and_back)
{
    setup();
    add((struct actor){.name = 'l', .priority = 10, .hold_ms = 20, .play = take_a});
    add((struct actor){.name = 'm', .priority = 20, .at_ms = 1, .play = own_futex_and_take_a});
    add((struct actor){.priority = 30, .at_ms = 2, .hold_ms = 5, .play = wait_for_futex});
    add((struct actor){.priority = 40, .at_ms = 4, .play = see_chain});
    add((struct actor){.priority = 40, .at_ms = 10, .play = see_nothing});
    run();
    EXPECT_STR_EQ(order, "lm");
    EXPECT_EQ(actors[2].result, 0);
}

/* ---- signals ---- */

static void try_a(struct actor *actor)
{
    actor->result = mutex_lock_interruptible(&a);
    thread_clear_work(current_thread(), THREAD_WORK_SIGNAL);
    if (actor->result == 0) {
        note(actor);
        mutex_unlock(&a);
    }
}

static void interrupt(struct actor *actor)
{
    struct actor *other = &actors[1];

    EXPECT_EQ(runs_at(&actors[0]), 30);
    thread_set_work(other->thread, THREAD_WORK_SIGNAL);
    EXPECT(thread_wake_states(other->thread, BIT(THREAD_SLEEPING)));
    thread_sleep_ns(NS_PER_MS);
    EXPECT_EQ(runs_at(&actors[0]), actor->hold_ms);
}

TEST(mutex, who_is_interrupted_takes_its_priority_along)
{
    setup();
    add((struct actor){.name = 'l', .priority = 10, .hold_ms = 20, .play = take_a});
    add((struct actor){.name = 'h', .priority = 30, .at_ms = 1, .play = try_a});
    add((struct actor){.priority = 40, .at_ms = 5, .hold_ms = 10, .play = interrupt});
    run();
    EXPECT_EQ(actors[1].result, -EINTR);
    EXPECT_STR_EQ(order, "l");
}

TEST(mutex, who_is_interrupted_leaves_the_others_waiting)
{
    setup();
    add((struct actor){.name = 'l', .priority = 10, .hold_ms = 20, .play = take_a});
    add((struct actor){.name = 'h', .priority = 30, .at_ms = 1, .play = try_a});
    add((struct actor){.name = 'm', .priority = 20, .at_ms = 2, .play = try_a});
    add((struct actor){.priority = 40, .at_ms = 5, .hold_ms = 20, .play = interrupt});
    run();
    EXPECT_EQ(actors[1].result, -EINTR);
    EXPECT_EQ(actors[2].result, 0);
    EXPECT_STR_EQ(order, "lm");
}

/* ---- overtaking ---- */

static unsigned overtaken;

/* While the waiter has been woken but cannot run yet. */
static void overtake(struct actor *actor)
{
    mutex_lock(&a);
    note(actor);
    stay(actor);
    preempt_disable();
    do {
        mutex_unlock(&a);
    } while (mutex_trylock(&a) && ++overtaken < 1000);
    preempt_enable();
}

TEST(mutex, who_runs_may_overtake_a_few_times_and_then_no_more)
{
    setup();
    overtaken = 0;
    add((struct actor){.name = 'h', .hold_ms = 5, .play = overtake});
    add((struct actor){.name = 'w', .at_ms = 1, .play = take_a});
    run();
    EXPECT_GE(overtaken, 1);
    EXPECT_LE(overtaken, 16);
    EXPECT_STR_EQ(order, "hw");
}

TEST(mutex, a_real_time_waiter_is_not_overtaken)
{
    setup();
    overtaken = 0;
    add((struct actor){.name = 'h', .hold_ms = 5, .play = overtake});
    add((struct actor){.name = 'w', .priority = 1, .at_ms = 1, .play = take_a});
    run();
    EXPECT_EQ(overtaken, 0);
    EXPECT_STR_EQ(order, "hw");
}

/* ---- semaphores ---- */

static void write_sem(struct actor *actor)
{
    rwsem_lock_write(&sem);
    note(actor);
    stay(actor);
    rwsem_unlock_write(&sem);
}

static void read_sem(struct actor *actor)
{
    rwsem_lock_read(&sem);
    note(actor);
    stay(actor);
    rwsem_unlock_read(&sem);
}

TEST(rwsem, all_waiting_readers_come_between_two_writers)
{
    setup();
    add((struct actor){.name = 'W', .hold_ms = 10, .play = write_sem});
    add((struct actor){.name = 'w', .at_ms = 1, .hold_ms = 10, .play = write_sem});
    add((struct actor){.name = '1', .at_ms = 2, .hold_ms = 10, .play = read_sem});
    add((struct actor){.name = '2', .at_ms = 3, .hold_ms = 10, .play = read_sem});
    add((struct actor){.name = 'x', .at_ms = 4, .hold_ms = 10, .play = write_sem});
    add((struct actor){.name = '3', .at_ms = 5, .hold_ms = 10, .play = read_sem});
    add((struct actor){.name = '4', .at_ms = 15, .hold_ms = 1, .play = read_sem});
    run();
    EXPECT_STR_EQ(order, "W123w4x");
}

TEST(rwsem, a_real_time_thread_comes_before_the_phases)
{
    setup();
    add((struct actor){.name = 'W', .hold_ms = 10, .play = write_sem});
    add((struct actor){.name = '1', .at_ms = 2, .hold_ms = 10, .play = read_sem});
    add((struct actor){.name = 'w', .at_ms = 3, .hold_ms = 10, .play = write_sem});
    add((struct actor){.name = 'R', .priority = 5, .at_ms = 4, .hold_ms = 10, .play = write_sem});
    add((struct actor){.name = 'r', .priority = 5, .at_ms = 25, .hold_ms = 1, .play = read_sem});
    run();
    EXPECT_STR_EQ(order,
                  "WR1rw"); /* the last one to read does not wait for the writer that waits */
}

TEST(rwsem, the_writer_inherits_from_who_waits)
{
    setup();
    add((struct actor){.name = 'l', .priority = 10, .hold_ms = 10, .play = write_sem});
    add((struct actor){.name = 'm', .priority = 20, .at_ms = 1, .play = read_sem});
    add((struct actor){.priority = 40, .at_ms = 2, .play = see_link});
    run();
    EXPECT_STR_EQ(order, "lm");
}
