/*
 * Priority inversion (Sha, Rajkumar and Lehoczky 1990): a middle thread keeps the low one, which holds a mutex, from running, and so the high
 * one. All on one CPU, SCHED_FIFO: who runs when follows from the priorities alone, and what is counted is the middle thread's work.
 */
#include "abi.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#define WORK 50000

static pthread_mutex_t mutex;
static sem_t held;
static volatile int done, done_before_high;

static void *low(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&mutex);
    sem_post(&held); /* the starter runs at once: from here on the others are there */
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void *middle(void *arg)
{
    (void)arg;
    while (done < WORK) {
        done++;
    }
    return NULL;
}

static void *high(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&mutex);
    done_before_high = done;
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static pthread_t start_at(int priority, void *(*fn)(void *))
{
    struct sched_param param = {.sched_priority = priority};
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
    pthread_attr_setschedparam(&attr, &param);
    CHECK_EQ(pthread_create(&thread, &attr, fn, NULL), 0);
    pthread_attr_destroy(&attr);
    return thread;
}

/* How much of the middle thread's work was done when the high one got the mutex. */
static int work_before_high(int protocol)
{
    struct sched_param param = {.sched_priority = 40};
    pthread_mutexattr_t attr;
    pthread_t threads[3];
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    CHECK_EQ(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &param), 0);
    pthread_mutexattr_init(&attr);
    CHECK_EQ(pthread_mutexattr_setprotocol(&attr, protocol), 0);
    CHECK_EQ(pthread_mutex_init(&mutex, &attr), 0);
    CHECK_EQ(sem_init(&held, 0, 0), 0);
    threads[0] = start_at(10, low);
    CHECK_EQ(sem_wait(&held), 0);
    threads[1] = start_at(20, middle);
    threads[2] = start_at(30, high);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    return done_before_high;
}

ABI_TEST(inversion, is_unbounded_without_inheritance)
{
    CHECK_EQ(IN_CHILD(CHECK_EQ(work_before_high(PTHREAD_PRIO_NONE), WORK)), 0);
}

ABI_TEST(inversion, is_bounded_by_priority_inheritance)
{
    CHECK_EQ(IN_CHILD(CHECK_EQ(work_before_high(PTHREAD_PRIO_INHERIT), 0)), 0);
}
