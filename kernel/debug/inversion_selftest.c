/*
 * Priority inversion (Sha, Rajkumar and Lehoczky, 1990): three real-time threads on one CPU. The lowest holds what the highest waits for; the one
 * between them wants nothing but the CPU. Whose turn is it? By a mutex, by a chain of two, and by a semaphore's writer, the highest gets what
 * it wants before the middle one has run at all. By a lock that does not know its holder, the middle one comes first: so the test can tell.
 *
 * All is decided by who is chosen on one CPU, not by how long anything takes.
 */
#include <linux/sched.h>

#include "kernel/core/log.h"
#include "kernel/debug/selftest.h"
#include "kernel/sched/mutex.h"

enum { LOW, LINK, MIDDLE, HIGH, NROLES };

struct inversion {
    void (*take)(unsigned role), (*give)(unsigned role);
    unsigned cpu;
    bool chain;
    bool middle_ran, high_got, middle_first; /* [cpu] all threads run there */
};

static struct inversion inversion;
static uint32_t nrunning; /* [a] */
static struct wait_queue all_done = WAIT_QUEUE_INIT(all_done);
static struct mutex inner, outer;
static struct rwsem sem;
static bool taken; /* [cpu] */
static struct wait_queue taken_queue = WAIT_QUEUE_INIT(taken_queue);

static void done(void)
{
    if (atomic_fetch_sub(&nrunning, 1) == 1) {
        wait_wake_all(&all_done, 0);
    }
}

static void high_main(void *arg)
{
    (void)arg;
    inversion.take(HIGH);
    inversion.high_got = true;
    inversion.middle_first = inversion.middle_ran;
    inversion.give(HIGH);
    done();
}

static void middle_main(void *arg)
{
    (void)arg;
    inversion.middle_ran = true;
    done();
}

/* Holds what the highest wants, and waits for the lowest. */
static void link_main(void *arg)
{
    (void)arg;
    inversion.take(LINK);
    inversion.give(LINK);
    done();
}

static void start(const char *name, void (*fn)(void *), uint8_t priority)
{
    struct sched_params params = {.policy = SCHED_FIFO, .priority = priority};
    struct thread *thread = thread_create_kernel(name, fn, NULL);

    if (thread == NULL || sched_set_params(thread, &params) < 0) {
        thread_put(thread);
        return;
    }
    thread_bind(thread, inversion.cpu);
    (void)atomic_fetch_add(&nrunning, 1);
    thread_start(thread);
}

/* Start one that comes before the lowest, unless that one inherits: it runs until it has to wait. */
static void start_better(const char *name, void (*fn)(void *), uint8_t priority)
{
    start(name, fn, priority);
    schedule();
}

static void low_main(void *arg)
{
    (void)arg;
    inversion.take(LOW);
    if (inversion.chain) {
        start_better("link", link_main, 15);
    }
    start_better("high", high_main, 30);
    start_better("middle", middle_main, 20);
    inversion.give(LOW);
    done();
}

/* True: the middle one was kept from running until the highest had what it waited for. */
static bool high_comes_first(void (*take)(unsigned role), void (*give)(unsigned role), bool chain)
{
    inversion = (struct inversion){
        .take = take, .give = give, .cpu = current_thread()->cpu, .chain = chain};
    atomic_store_relaxed(&nrunning, 1u);
    start("low", low_main, 10);
    (void)atomic_fetch_sub(&nrunning, 1);
    wait_event(&all_done, atomic_load_acquire(&nrunning) == 0);
    return inversion.high_got && inversion.middle_ran && !inversion.middle_first;
}

/* ---- the locks ---- */

static void mutex_take(unsigned role)
{
    (void)role;
    mutex_lock(&outer);
}

static void mutex_give(unsigned role)
{
    (void)role;
    mutex_unlock(&outer);
}

/* The lowest holds the inner one; the link the outer one, and wants the inner one; the highest wants the outer one. */
static void chain_take(unsigned role)
{
    if (role != LOW) {
        mutex_lock(&outer);
    }
    if (role != HIGH) {
        mutex_lock(&inner);
    }
}

static void chain_give(unsigned role)
{
    if (role != HIGH) {
        mutex_unlock(&inner);
    }
    if (role != LOW) {
        mutex_unlock(&outer);
    }
}

static void sem_take(unsigned role)
{
    if (role == LOW) {
        rwsem_lock_write(&sem);
    } else {
        rwsem_lock_read(&sem);
    }
}

static void sem_give(unsigned role)
{
    if (role == LOW) {
        rwsem_unlock_write(&sem);
    } else {
        rwsem_unlock_read(&sem);
    }
}

static void queue_take(unsigned role)
{
    (void)role;
    wait_event(&taken_queue, !taken);
    taken = true;
}

static void queue_give(unsigned role)
{
    (void)role;
    taken = false;
    wait_wake_all(&taken_queue, 0);
}

static bool inversion_is_bounded(void)
{
    mutex_init(&inner, "inversion inner");
    mutex_init(&outer, "inversion outer");
    rwsem_init(&sem, "inversion semaphore");
    bool by_mutex = high_comes_first(mutex_take, mutex_give, false);
    bool by_chain = high_comes_first(chain_take, chain_give, true);
    bool by_sem = high_comes_first(sem_take, sem_give, false);
    bool by_queue = high_comes_first(queue_take, queue_give, false);
    log_info("inversion: bounded by a mutex %d, a chain %d, a semaphore %d; by a wait queue %d",
             by_mutex, by_chain, by_sem, by_queue);
    return by_mutex && by_chain && by_sem && !by_queue;
}

SELFTEST(inversion) = {.group = "locks",
                       .name = "priority inversion is bounded by locks that know their holder",
                       .run = inversion_is_bounded};
