/*
 * glibc's conditions, read-write locks, barriers, semaphores, spin locks.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "../abi.h"

static struct timespec in_ms(clockid_t clock, long ms)
{
    struct timespec t;

    clock_gettime(clock, &t);
    t.tv_nsec += ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

/* ---- conditions ---- */

#define NWORKERS 16

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty, all_done;
    int items, taken, workers;
    bool closed;
};

static void *worker(void *arg)
{
    struct queue *queue = arg;

    CHECK_EQ(pthread_mutex_lock(&queue->mutex), 0);
    for (;;) {
        while (queue->items == 0 && !queue->closed) {
            CHECK_EQ(pthread_cond_wait(&queue->not_empty, &queue->mutex), 0);
        }
        if (queue->items == 0) {
            break;
        }
        queue->items--;
        queue->taken++;
    }
    if (--queue->workers == 0) {
        CHECK_EQ(pthread_cond_signal(&queue->all_done), 0);
    }
    CHECK_EQ(pthread_mutex_unlock(&queue->mutex), 0);
    return NULL;
}

static void check_queue(bool pshared)
{
    struct queue *queue = shared(sizeof(*queue));
    pthread_mutexattr_t mutex_attr;
    pthread_condattr_t cond_attr;
    pthread_t threads[NWORKERS];

    pthread_mutexattr_init(&mutex_attr);
    pthread_condattr_init(&cond_attr);
    CHECK_EQ(pthread_mutexattr_setpshared(&mutex_attr, pshared), 0);
    CHECK_EQ(pthread_condattr_setpshared(&cond_attr, pshared), 0);
    CHECK_EQ(pthread_mutex_init(&queue->mutex, &mutex_attr), 0);
    CHECK_EQ(pthread_cond_init(&queue->not_empty, &cond_attr), 0);
    CHECK_EQ(pthread_cond_init(&queue->all_done, &cond_attr), 0);
    queue->workers = NWORKERS;
    pid_t child = pshared ? abi_fork() : 1;
    if (child == 0) {
        for (int i = 0; i < NWORKERS / 2; i++) {
            CHECK_EQ(pthread_create(&threads[i], NULL, worker, queue), 0);
        }
        for (int i = 0; i < NWORKERS / 2; i++) {
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        }
        _exit(0);
    }
    int own = pshared ? NWORKERS / 2 : NWORKERS;
    for (int i = 0; i < own; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, worker, queue), 0);
    }
    for (int i = 0; i < 500; i++) {
        CHECK_EQ(pthread_mutex_lock(&queue->mutex), 0);
        queue->items++;
        CHECK_EQ(pthread_mutex_unlock(&queue->mutex), 0);
        CHECK_EQ(pthread_cond_signal(&queue->not_empty), 0);
    }
    CHECK_EQ(pthread_mutex_lock(&queue->mutex), 0);
    queue->closed = true;
    CHECK_EQ(pthread_cond_broadcast(&queue->not_empty), 0);
    while (queue->workers > 0) {
        CHECK_EQ(pthread_cond_wait(&queue->all_done, &queue->mutex), 0);
    }
    CHECK_EQ(queue->taken, 500);
    CHECK_EQ(pthread_mutex_unlock(&queue->mutex), 0);
    for (int i = 0; i < own; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    if (pshared) {
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
    }
    CHECK_EQ(pthread_cond_destroy(&queue->not_empty), 0);
    CHECK_EQ(pthread_mutex_destroy(&queue->mutex), 0);
}

ABI_TEST(cond, wakes_who_waits)
{
    check_queue(false);
    check_queue(true);
}

ABI_TEST(cond, waiting_ends_in_time)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_condattr_t attr;
    pthread_cond_t real = PTHREAD_COND_INITIALIZER, mono;

    pthread_condattr_init(&attr);
    CHECK_EQ(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC), 0);
    CHECK_EQ(pthread_cond_init(&mono, &attr), 0);
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    struct timespec until = in_ms(CLOCK_REALTIME, 15), now;
    CHECK_EQ(pthread_cond_timedwait(&real, &mutex, &until), ETIMEDOUT);
    clock_gettime(CLOCK_REALTIME, &now);
    CHECK(now.tv_sec > until.tv_sec || now.tv_nsec >= until.tv_nsec);
    until = in_ms(CLOCK_MONOTONIC, 15);
    CHECK_EQ(pthread_cond_timedwait(&mono, &mutex, &until), ETIMEDOUT);
    until = in_ms(CLOCK_MONOTONIC, 5);
    CHECK_EQ(pthread_cond_clockwait(&real, &mutex, CLOCK_MONOTONIC, &until), ETIMEDOUT);
    CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY); /* it was taken again */
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
}

/* ---- read-write locks ---- */

struct table {
    pthread_rwlock_t lock;
    volatile long a, b;
    volatile bool stop;
};

static void *reader(void *arg)
{
    struct table *table = arg;
    long n = 0;

    while (!table->stop) {
        CHECK_EQ(pthread_rwlock_rdlock(&table->lock), 0);
        long a = table->a;
        sched_yield();
        CHECK_EQ(a, table->b);
        CHECK_EQ(pthread_rwlock_unlock(&table->lock), 0);
        usleep(200); /* who prefers readers would let no writer in otherwise */
        n++;
    }
    return (void *)n;
}

static void *writer(void *arg)
{
    struct table *table = arg;

    for (int i = 0; i < 200; i++) {
        CHECK_EQ(pthread_rwlock_wrlock(&table->lock), 0);
        table->a++;
        sched_yield();
        table->b++;
        CHECK_EQ(pthread_rwlock_unlock(&table->lock), 0);
    }
    return NULL;
}

ABI_TEST(rwlock, keeps_readers_and_writers_apart)
{
    static const int kinds[] = {PTHREAD_RWLOCK_PREFER_READER_NP,
                                PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP};

    for (int kind = 0; kind < 2; kind++) {
        struct table table = {0};
        pthread_rwlockattr_t attr;
        pthread_t readers[3], writers[2];
        pthread_rwlockattr_init(&attr);
        CHECK_EQ(pthread_rwlockattr_setkind_np(&attr, kinds[kind]), 0);
        CHECK_EQ(pthread_rwlock_init(&table.lock, &attr), 0);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(pthread_create(&writers[i], NULL, writer, &table), 0);
        }
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(pthread_create(&readers[i], NULL, reader, &table), 0);
        }
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(pthread_join(writers[i], NULL), 0);
        }
        table.stop = true;
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(pthread_join(readers[i], NULL), 0);
        }
        CHECK_EQ(table.a, 400);
        CHECK_EQ(table.b, 400);
        CHECK_EQ(pthread_rwlock_destroy(&table.lock), 0);
    }
}

ABI_TEST(rwlock, errors_and_times)
{
    pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
    struct timespec soon = in_ms(CLOCK_REALTIME, 10);

    CHECK_EQ(pthread_rwlock_rdlock(&lock), 0);
    CHECK_EQ(pthread_rwlock_tryrdlock(&lock), 0);
    CHECK_EQ(pthread_rwlock_trywrlock(&lock), EBUSY);
    CHECK_EQ(pthread_rwlock_timedwrlock(&lock, &soon), ETIMEDOUT);
    CHECK_EQ(pthread_rwlock_unlock(&lock), 0);
    CHECK_EQ(pthread_rwlock_unlock(&lock), 0);
    CHECK_EQ(pthread_rwlock_wrlock(&lock), 0);
    CHECK_EQ(pthread_rwlock_tryrdlock(&lock), EBUSY);
    CHECK_EQ(pthread_rwlock_wrlock(&lock), EDEADLK);
    CHECK_EQ(pthread_rwlock_unlock(&lock), 0);
}

/* ---- barriers ---- */

#define NBARRIER 6

struct meeting {
    pthread_barrier_t barrier;
    int serial, arrived[20];
};

static void *meet(void *arg)
{
    struct meeting *meeting = arg;

    for (int round = 0; round < 20; round++) {
        (void)__atomic_add_fetch(&meeting->arrived[round], 1, __ATOMIC_SEQ_CST);
        int result = pthread_barrier_wait(&meeting->barrier);
        CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
        CHECK_EQ(__atomic_load_n(&meeting->arrived[round], __ATOMIC_SEQ_CST), NBARRIER);
        if (result == PTHREAD_BARRIER_SERIAL_THREAD) {
            (void)__atomic_add_fetch(&meeting->serial, 1, __ATOMIC_SEQ_CST);
        }
    }
    return NULL;
}

ABI_TEST(barrier, all_meet_in_each_round)
{
    for (int pshared = 0; pshared < 2; pshared++) {
        struct meeting *meeting = shared(sizeof(*meeting));
        pthread_barrierattr_t attr;
        pthread_t threads[NBARRIER];
        pthread_barrierattr_init(&attr);
        CHECK_EQ(pthread_barrierattr_setpshared(&attr, pshared), 0);
        CHECK_EQ(pthread_barrier_init(&meeting->barrier, &attr, NBARRIER), 0);
        int here = pshared ? NBARRIER / 2 : NBARRIER;
        pid_t child = pshared ? abi_fork() : 1;
        for (int i = 0; i < here; i++) {
            CHECK_EQ(pthread_create(&threads[i], NULL, meet, meeting), 0);
        }
        for (int i = 0; i < here; i++) {
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        }
        if (child == 0) {
            _exit(0);
        }
        if (pshared) {
            CHECK_EQ(waitpid(child, NULL, 0), child);
        }
        CHECK_EQ(meeting->serial, 20);
        CHECK_EQ(pthread_barrier_destroy(&meeting->barrier), 0);
    }
}

/* ---- semaphores ---- */

static void *post_later(void *arg)
{
    usleep(10000);
    CHECK_EQ(sem_post(arg), 0);
    return NULL;
}

ABI_TEST(semaphore, unnamed)
{
    struct timespec soon = in_ms(CLOCK_REALTIME, 10);
    pthread_t thread;
    sem_t sem;
    int value;

    CHECK_EQ(sem_init(&sem, 0, 2), 0);
    CHECK_EQ(sem_wait(&sem), 0);
    CHECK_EQ(sem_trywait(&sem), 0);
    CHECK_ERR(sem_trywait(&sem), EAGAIN);
    CHECK_ERR(sem_timedwait(&sem, &soon), ETIMEDOUT);
    soon = in_ms(CLOCK_MONOTONIC, 10);
    CHECK_ERR(sem_clockwait(&sem, CLOCK_MONOTONIC, &soon), ETIMEDOUT);
    CHECK_EQ(pthread_create(&thread, NULL, post_later, &sem), 0);
    CHECK_EQ(sem_wait(&sem), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(sem_getvalue(&sem, &value), 0);
    CHECK_EQ(value, 0);
    CHECK_EQ(sem_destroy(&sem), 0);
}

ABI_TEST(semaphore, named_ones_are_shared)
{
    sem_t *sem = sem_open("/abi_glibc", O_CREAT | O_EXCL, 0600, 0);

    CHECK(sem != SEM_FAILED);
    pid_t child = abi_fork();
    if (child == 0) {
        sem_t *own = sem_open("/abi_glibc", 0);
        CHECK(own != SEM_FAILED);
        usleep(5000);
        CHECK_EQ(sem_post(own), 0);
        CHECK_EQ(sem_close(own), 0);
        _exit(0);
    }
    CHECK_EQ(sem_wait(sem), 0);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(sem_unlink("/abi_glibc"), 0);
    CHECK(sem_open("/abi_glibc", 0) == SEM_FAILED && errno == ENOENT);
    CHECK_EQ(sem_close(sem), 0);
}

/* ---- spin locks ---- */

static pthread_spinlock_t spin;
static volatile long spun;

static void *spin_count(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        CHECK_EQ(pthread_spin_lock(&spin), 0);
        spun++;
        CHECK_EQ(pthread_spin_unlock(&spin), 0);
    }
    return arg;
}

ABI_TEST(spin, counts_right)
{
    pthread_t threads[4];

    CHECK_EQ(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, spin_count, NULL), 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(spun, 8000);
    CHECK_EQ(pthread_spin_trylock(&spin), 0);
    CHECK_EQ(pthread_spin_trylock(&spin), EBUSY);
}
