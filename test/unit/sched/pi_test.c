/* Priority inheritance (kernel/sched/pi.h): who waits, in what order, and whose priority reaches whom. */
#define TEST_SUITE "pi"
#include <linux/sched.h>

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/time.h"
#include "kernel/sched/pi.h"
#include "kernel/sched/sched.h"
#include "test/unit/base/random.h"
#include "test/unit/test.h"

#define NTHREADS 6

static struct thread *threads[NTHREADS];
static struct pi_waiter waiters[NTHREADS];
static struct pi_lock locks[NTHREADS];

static void never(void *arg)
{
    (void)arg;
}

static void set_fifo(struct thread *thread, int priority)
{
    struct sched_params params = {.policy = priority == 0 ? SCHED_NORMAL : SCHED_FIFO,
                                  .priority = (uint8_t)priority};

    EXPECT_EQ(sched_set_params(thread, &params), 0);
}

/* Thread i has real-time priority 10 * i; it never runs. */
static void setup(void)
{
    host_sched_init();
    for (int i = 0; i < NTHREADS; i++) {
        threads[i] = thread_create_kernel("test", never, NULL);
        EXPECT(threads[i] != NULL);
        set_fifo(threads[i], 10 * i);
        pi_lock_init(&locks[i]);
        waiters[i] = (struct pi_waiter){0};
    }
}

static void teardown(void)
{
    for (int i = 0; i < NTHREADS; i++) {
        EXPECT(threads[i]->pi.waiting == NULL);
        EXPECT(threads[i]->pi.donors.node == NULL);
        thread_discard(threads[i]);
    }
}

static void take(int lock, int thread)
{
    spin_lock(&locks[lock].lock);
    pi_take_locked(&locks[lock], threads[thread]);
    spin_unlock(&locks[lock].lock);
}

static int wait(int lock, int thread)
{
    spin_lock(&locks[lock].lock);
    return pi_wait(&locks[lock], &waiters[thread], threads[thread]);
}

static void cancel(int lock, int thread)
{
    spin_lock(&locks[lock].lock);
    pi_cancel(&locks[lock], &waiters[thread]);
}

/* The index of the new owner; -1: nobody. */
static int pass(int lock)
{
    spin_lock(&locks[lock].lock);
    struct thread *owner = pi_pass_locked(&locks[lock]);
    spin_unlock(&locks[lock].lock);
    for (int i = 0; i < NTHREADS; i++) {
        if (threads[i] == owner) {
            return i;
        }
    }
    return -1;
}

/* Real-time priority it runs at now, 0: none. */
static int runs_at(int thread)
{
    int prio = threads[thread]->prio;

    return prio < 99 ? 99 - prio : 0;
}

TEST(pi, the_owner_inherits_and_loses_it_with_the_lock)
{
    setup();
    take(0, 1);
    EXPECT_EQ(wait(0, 3), 0);
    EXPECT_EQ(runs_at(1), 30);
    EXPECT_EQ(wait(0, 2), 0);
    EXPECT_EQ(runs_at(1), 30);
    EXPECT_EQ(wait(0, 5), 0);
    EXPECT_EQ(runs_at(1), 50);
    EXPECT_EQ(pass(0), 5);
    EXPECT_EQ(runs_at(1), 10);
    EXPECT_EQ(runs_at(5), 50);
    EXPECT_EQ(pass(0), 3);
    EXPECT_EQ(pass(0), 2);
    EXPECT_EQ(pass(0), -1);
    EXPECT_EQ(runs_at(2), 20);
    teardown();
}

TEST(pi, equals_come_in_order)
{
    setup();
    for (int i = 1; i < NTHREADS; i++) {
        set_fifo(threads[i], 7);
    }
    take(0, 0);
    EXPECT_EQ(wait(0, 4), 0);
    EXPECT_EQ(wait(0, 2), 0);
    EXPECT_EQ(wait(0, 3), 0);
    EXPECT_EQ(pass(0), 4);
    EXPECT_EQ(pass(0), 2);
    EXPECT_EQ(pass(0), 3);
    EXPECT_EQ(pass(0), -1);
    teardown();
}

TEST(pi, niceness_is_no_rank)
{
    setup();
    for (int i = 1; i < 4; i++) {
        set_fifo(threads[i], 0);
        sched_set_nice(threads[i], 15 - 10 * i);
    }
    take(0, 0);
    EXPECT_EQ(wait(0, 2), 0);
    EXPECT_EQ(wait(0, 1), 0);
    EXPECT_EQ(wait(0, 3), 0);
    sched_set_nice(threads[1], -20);
    EXPECT_EQ(threads[0]->prio, PRIO_NICE_0);
    EXPECT_EQ(pass(0), 2);
    EXPECT_EQ(pass(0), 1);
    EXPECT_EQ(pass(0), 3);
    EXPECT_EQ(pass(0), -1);
    teardown();
}

TEST(pi, deadline_threads_come_first_and_by_their_deadlines)
{
    struct sched_params params = {.policy = SCHED_DEADLINE,
                                  .runtime = NS_PER_MS,
                                  .deadline = 100 * NS_PER_MS,
                                  .period = 100 * NS_PER_MS},
                        normal = {.policy = SCHED_NORMAL};

    setup();
    for (int i = 1; i < 4; i++) {
        EXPECT_EQ(sched_set_params(threads[i], &params), 0);
        threads[i]->dl.absolute = 1000 * (4 - i); /* the last one's is the first */
    }
    take(0, 0);
    EXPECT_EQ(wait(0, 5), 0);
    EXPECT_EQ(wait(0, 1), 0);
    EXPECT_EQ(wait(0, 3), 0);
    EXPECT_EQ(wait(0, 2), 0);
    EXPECT_EQ(threads[0]->prio, PRIO_DEADLINE);
    EXPECT_EQ(threads[0]->dl.absolute, 1000);
    EXPECT_EQ(pass(0), 3);
    EXPECT_EQ(pass(0), 2);
    EXPECT_EQ(pass(0), 1);
    EXPECT_EQ(pass(0), 5);
    EXPECT_EQ(pass(0), -1);
    EXPECT_EQ(threads[0]->prio, PRIO_NICE_0);
    for (int i = 1; i < 4; i++) {
        EXPECT_EQ(sched_set_params(threads[i], &normal), 0);
    }
    teardown();
}

TEST(pi, who_gives_up_takes_its_priority_along)
{
    setup();
    take(0, 1);
    EXPECT_EQ(wait(0, 3), 0);
    EXPECT_EQ(wait(0, 4), 0);
    cancel(0, 4);
    EXPECT_EQ(runs_at(1), 30);
    cancel(0, 4); /* nothing happens */
    cancel(0, 3);
    EXPECT_EQ(runs_at(1), 10);
    EXPECT_EQ(pass(0), -1);
    teardown();
}

TEST(pi, priority_goes_along_a_chain_and_back)
{
    setup();
    for (int i = 0; i < 4; i++) {
        take(i, i); /* i owns lock i, and waits for that of i - 1 */
    }
    for (int i = 1; i < 4; i++) {
        EXPECT_EQ(wait(i - 1, i), 0);
    }
    EXPECT_EQ(runs_at(0), 30);
    EXPECT_EQ(wait(3, 5), 0);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ(runs_at(i), 50);
    }
    set_fifo(threads[5], 60);
    EXPECT_EQ(runs_at(0), 60);
    set_fifo(threads[5], 15);
    EXPECT_EQ(runs_at(3), 30);
    EXPECT_EQ(runs_at(0), 30);
    cancel(3, 5);
    EXPECT_EQ(runs_at(1), 30);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(pass(i), i + 1);
    }
    EXPECT_EQ(pass(3), -1);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(pass(i), -1);
    }
    EXPECT_EQ(runs_at(1), 10);
    teardown();
}

TEST(pi, several_locks_give_the_best_of_all)
{
    setup();
    take(0, 0);
    take(1, 0);
    EXPECT_EQ(wait(0, 2), 0);
    EXPECT_EQ(wait(1, 4), 0);
    EXPECT_EQ(runs_at(0), 40);
    EXPECT_EQ(pass(1), 4);
    EXPECT_EQ(runs_at(0), 20);
    EXPECT_EQ(pass(0), 2);
    EXPECT_EQ(runs_at(0), 0);
    EXPECT_EQ(pass(0), -1);
    EXPECT_EQ(pass(1), -1);
    teardown();
}

TEST(pi, a_circle_is_refused_and_changes_nothing)
{
    setup();
    for (int i = 0; i < 3; i++) {
        take(i, i);
    }
    EXPECT_EQ(wait(0, 0), -EDEADLK);
    EXPECT_EQ(wait(0, 1), 0);
    EXPECT_EQ(wait(1, 2), 0);
    EXPECT_EQ(wait(2, 0), -EDEADLK);
    EXPECT(threads[0]->pi.waiting == NULL);
    EXPECT(locks[2].waiters.node == NULL);
    EXPECT_EQ(runs_at(2), 20);
    EXPECT_EQ(runs_at(0), 20);
    EXPECT_EQ(pass(0), 1);
    EXPECT_EQ(pass(1), 2);
    EXPECT_EQ(pass(2), -1);
    EXPECT_EQ(pass(0), -1);
    EXPECT_EQ(pass(1), -1);
    teardown();
}

/* ---- a chain that changes while it is walked ---- */

static struct thread *passer; /* owns lock 2, until it gets the CPU */
static int walked, passer_waited;
static bool walk_is_over;

static void pass_and_wait(void *arg)
{
    struct pi_waiter waiter = {0};

    (void)arg;
    EXPECT(!walk_is_over);
    EXPECT_EQ(pass(2), 1);
    spin_lock(&locks[3].lock);
    passer_waited = pi_wait(&locks[3], &waiter, passer);
    while (!walk_is_over) {
        sched_yield_cpu();
    }
    spin_lock(&locks[3].lock);
    pi_cancel(&locks[3], &waiter);
}

/* The passer inherits on the way along the chain, and so runs as soon as lock 2 is let go of. */
static void walk(void *arg)
{
    (void)arg;
    thread_start(passer);
    walked = wait(1, 5);
    walk_is_over = true;
}

TEST(pi, links_that_never_were_there_together_are_no_circle)
{
    host_sched_begin();
    setup();
    struct thread *walker = thread_create_kernel("walker", walk, NULL);
    passer = thread_create_kernel("passer", pass_and_wait, NULL);
    EXPECT(walker != NULL && passer != NULL);
    walk_is_over = false;
    set_fifo(threads[1], 0);
    take(1, 1);
    take(3, 5);
    spin_lock(&locks[2].lock);
    pi_take_locked(&locks[2], passer);
    spin_unlock(&locks[2].lock);
    EXPECT_EQ(wait(2, 1), 0);
    thread_start(walker);
    preempt_enable();
    host_run_threads();
    EXPECT_EQ(passer_waited, 0);
    EXPECT_EQ(walked, 0);
    EXPECT_EQ(pass(1), 5);
    EXPECT_EQ(pass(1), -1);
    EXPECT_EQ(pass(2), -1);
    EXPECT_EQ(pass(3), -1);
    teardown();
}

/* What each thread should run at: the best of its own priority and of all that wait for what it owns, looked for the slow way. */
static int expected(int thread, const int *owner, const int *waits_for, const int *own)
{
    int best = own[thread];

    for (int other = 0; other < NTHREADS; other++) {
        if (waits_for[other] >= 0 && owner[waits_for[other]] == thread) {
            int inherited = expected(other, owner, waits_for, own);
            best = inherited > best ? inherited : best;
        }
    }
    return best;
}

TEST(pi, random_steps_agree_with_the_definition)
{
    int owner[NTHREADS], waits_for[NTHREADS], own[NTHREADS];
    uint64_t seed = 20;

    setup();
    for (int i = 0; i < NTHREADS; i++) {
        owner[i] = waits_for[i] = -1;
        own[i] = 10 * i;
    }
    for (int step = 0; step < 20000; step++) {
        int t = (int)(test_random(&seed) % NTHREADS), l = (int)(test_random(&seed) % NTHREADS);
        switch (test_random(&seed) % 4) {
        case 0:
            if (owner[l] < 0 && waits_for[t] < 0) {
                take(l, t);
                owner[l] = t;
            } else if (owner[l] >= 0 && waits_for[t] < 0 && wait(l, t) == 0) {
                waits_for[t] = l;
            }
            break;
        case 1:
            if (waits_for[t] >= 0) {
                cancel(waits_for[t], t);
                waits_for[t] = -1;
            }
            break;
        case 2:
            if (owner[l] >= 0 && waits_for[owner[l]] < 0) { /* who lets go runs */
                owner[l] = pass(l);
                if (owner[l] >= 0) {
                    EXPECT_EQ(waits_for[owner[l]], l);
                    waits_for[owner[l]] = -1;
                }
            }
            break;
        default:
            own[t] = (int)(test_random(&seed) % 99);
            set_fifo(threads[t], own[t]);
            break;
        }
        for (int i = 0; i < NTHREADS; i++) {
            EXPECT_EQ(runs_at(i), expected(i, owner, waits_for, own));
        }
    }
    for (int i = 0; i < NTHREADS; i++) {
        if (waits_for[i] >= 0) {
            cancel(waits_for[i], i);
        }
    }
    for (int i = 0; i < NTHREADS; i++) {
        EXPECT_EQ(pass(i), -1);
    }
    teardown();
}
