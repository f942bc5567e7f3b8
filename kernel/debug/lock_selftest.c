/*
 * Locks that sleep, on all CPUs of the running kernel: under load, by threads of several priorities and with signals; and whether a thread that
 * waits for one is kept waiting by those whose priority is between its own and the holder's.
 */
#include <linux/sched.h>

#include "kernel/core/log.h"
#include "kernel/core/time.h"
#include "kernel/debug/selftest.h"
#include "kernel/debug/torture.h"
#include "kernel/machine/smp.h"
#include "kernel/sched/mutex.h"

#define NMUTEXES 3u

static struct mutex mutexes[NMUTEXES]; /* taken in the order of their numbers */
static uint64_t in_mutex[NMUTEXES];    /* [mutexes[i]] */
static struct rwsem sem;
static uint64_t in_sem[2];             /* [sem] equal for who reads */
static uint64_t nentered[TORTURE_MAX]; /* [own] */
static uint64_t ninterrupted;          /* [a] */
static uint64_t nwritten;              /* [a] */

/* Every fourth is real-time; the others of different niceness. */
static void take_part(unsigned index)
{
    struct sched_params params = {.policy = index % 4 == 0 ? SCHED_FIFO : SCHED_NORMAL,
                                  .nice = (int8_t)(index % 4 * 5),
                                  .priority = index % 4 == 0 ? (uint8_t)(1 + index) : 0};

    if (sched_set_params(current_thread(), &params) < 0) {
        torture_bad();
    }
    nentered[index] = 0;
}

/* Everything is given back: nothing is inherited any more. */
static void check_is_free(void)
{
    const struct thread *self = current_thread();

    if (self->boost_prio != PRIO_IDLE || self->pi.waiting != NULL || self->pi.donors.node != NULL) {
        torture_bad();
    }
}

/* Sometimes what is held is held for longer: by one that sleeps, gives way, or computes. */
static void dawdle(unsigned i)
{
    if (i % 61 == 0) {
        thread_sleep_ns(20 * NS_PER_US);
    } else if (i % 7 == 0) {
        sched_yield_cpu();
    } else {
        for (unsigned n = 0; n < i % 64; n++) {
            cpu_relax();
        }
    }
}

static struct mutex signals;
static struct thread *threads[TORTURE_MAX]; /* [signals] who is there */

/* As a signal would. */
static void signal_other(unsigned i)
{
    mutex_lock(&signals);
    struct thread *other = threads[i % TORTURE_MAX];
    if (other != NULL) {
        thread_set_work(other, THREAD_WORK_SIGNAL);
        (void)thread_wake_states(other, BIT(THREAD_SLEEPING));
    }
    mutex_unlock(&signals);
}

static bool take_one(unsigned which, unsigned i)
{
    if (i % 5 == 0) {
        return mutex_trylock(&mutexes[which]);
    }
    if (i % 3 != 0) {
        mutex_lock(&mutexes[which]);
        return true;
    }
    if (mutex_lock_interruptible(&mutexes[which]) < 0) {
        thread_clear_work(current_thread(), THREAD_WORK_SIGNAL);
        (void)atomic_fetch_add_relaxed(&ninterrupted, 1);
        return false;
    }
    return true;
}

/* Nobody stops before it has had its turn, however late that comes. One mutex, or several, one in the other: chains. */
static void mutex_worker(unsigned index)
{
    take_part(index);
    mutex_lock(&signals);
    threads[index] = current_thread();
    mutex_unlock(&signals);
    for (unsigned i = index; !torture_time_is_up() || nentered[index] == 0; i++) {
        unsigned first = i % NMUTEXES, end = first;
        while (end < NMUTEXES && end <= first + i % 4 && take_one(end, i + end)) {
            in_mutex[end++]++;
            nentered[index]++;
            dawdle(i);
        }
        while (end > first) {
            mutex_unlock(&mutexes[--end]);
        }
        if (i % 16 == 3) {
            signal_other(i / 16);
        }
        if (index % 4 == 0) {
            thread_sleep_ns(10 * NS_PER_US); /* real-time ones leave something to the others */
        }
    }
    check_is_free();
    mutex_lock(&signals);
    threads[index] = NULL;
    mutex_unlock(&signals);
    thread_clear_work(current_thread(), THREAD_WORK_SIGNAL);
}

static bool mutexes_keep_count(void)
{
    unsigned n = torture_nworkers();
    uint64_t entered = 0, counted = 0;

    mutex_init(&signals, "torture signals");
    mutex_init(&mutexes[0], "torture mutex 0");
    mutex_init(&mutexes[1], "torture mutex 1");
    mutex_init(&mutexes[2], "torture mutex 2");
    ninterrupted = 0;
    for (unsigned i = 0; i < NMUTEXES; i++) {
        in_mutex[i] = 0;
    }
    bool good = torture_run(n, mutex_worker);
    for (unsigned i = 0; i < NMUTEXES; i++) {
        counted += in_mutex[i];
        good = good && mutexes[i].word == 0 && mutexes[i].wait.owner == NULL;
    }
    for (unsigned i = 0; i < n; i++) {
        entered += nentered[i];
    }
    log_info("torture: %llu mutexes taken on %u CPUs, %llu waits interrupted",
             (unsigned long long)entered, cpu_count_online(), (unsigned long long)ninterrupted);
    return good && counted == entered;
}

SELFTEST(torture_mutex) = {.group = "torture", .name = "mutexes", .run = mutexes_keep_count};

/* ---- reader-writer semaphores ---- */

static void write_sem(unsigned i)
{
    if (i % 10 == 1) {
        if (!rwsem_trylock_write(&sem)) {
            return;
        }
    } else {
        rwsem_lock_write(&sem);
    }
    in_sem[0]++;
    dawdle(i);
    in_sem[1]++;
    (void)atomic_fetch_add_relaxed(&nwritten, 1);
    if (i % 3 == 0) {
        rwsem_downgrade(&sem);
        if (READ_ONCE(in_sem[0]) != READ_ONCE(in_sem[1])) {
            torture_bad();
        }
        rwsem_unlock_read(&sem);
    } else {
        rwsem_unlock_write(&sem);
    }
}

static void read_sem(unsigned i)
{
    if (i % 10 == 2) {
        if (!rwsem_trylock_read(&sem)) {
            return;
        }
    } else {
        rwsem_lock_read(&sem);
    }
    uint64_t before = READ_ONCE(in_sem[0]);
    dawdle(i);
    if (before != READ_ONCE(in_sem[1])) {
        torture_bad();
    }
    rwsem_unlock_read(&sem);
}

static void sem_worker(unsigned index)
{
    take_part(index);
    for (unsigned i = index; !torture_time_is_up() || nentered[index] == 0; i++) {
        if ((i + index) % 4 == 0) {
            write_sem(i);
        } else {
            read_sem(i);
        }
        nentered[index]++;
        if (index % 4 == 0) {
            thread_sleep_ns(10 * NS_PER_US);
        }
    }
    check_is_free();
}

static bool semaphores_keep_count(void)
{
    unsigned n = torture_nworkers();

    rwsem_init(&sem, "torture semaphore");
    in_sem[0] = in_sem[1] = nwritten = 0;
    bool good = torture_run(n, sem_worker);
    log_info("torture: a semaphore written %llu times on %u CPUs", (unsigned long long)nwritten,
             cpu_count_online());
    return good && in_sem[0] == nwritten && in_sem[1] == nwritten && sem.word == 0 &&
           sem.wait.owner == NULL;
}

SELFTEST(torture_rwsem) = {
    .group = "torture", .name = "reader-writer semaphores", .run = semaphores_keep_count};
