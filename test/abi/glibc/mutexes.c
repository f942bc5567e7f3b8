/*
 * glibc's mutexes of all kinds (pthread_mutexattr_*(3)): each is a road of its own through futex(2).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include "../abi.h"

struct kind {
    int type, protocol, robust, shared;
};

static void mutex_make(pthread_mutex_t *mutex, struct kind kind)
{
    pthread_mutexattr_t attr;

    CHECK_EQ(pthread_mutexattr_init(&attr), 0);
    CHECK_EQ(pthread_mutexattr_settype(&attr, kind.type), 0);
    CHECK_EQ(pthread_mutexattr_setprotocol(&attr, kind.protocol), 0);
    CHECK_EQ(pthread_mutexattr_setrobust(&attr, kind.robust), 0);
    CHECK_EQ(pthread_mutexattr_setpshared(&attr, kind.shared), 0);
    CHECK_EQ(pthread_mutex_init(mutex, &attr), 0);
    CHECK_EQ(pthread_mutexattr_destroy(&attr), 0);
}

static struct timespec in_ms(clockid_t clock, long ms)
{
    struct timespec t;

    clock_gettime(clock, &t);
    t.tv_nsec += ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static void sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* ---- many threads, one counter ---- */

#define NTHREADS 8
#define NROUNDS  80

struct counter {
    pthread_mutex_t mutex;
    volatile long value;
    bool recursive;
};

static void *count(void *arg)
{
    struct counter *counter = arg;

    for (int i = 0; i < NROUNDS; i++) {
        CHECK_EQ(pthread_mutex_lock(&counter->mutex), 0);
        if (counter->recursive) {
            CHECK_EQ(pthread_mutex_lock(&counter->mutex), 0);
        }
        long value = counter->value;
        if (i % 16 == 0) {
            sched_yield();
        }
        counter->value = value + 1;
        if (counter->recursive) {
            CHECK_EQ(pthread_mutex_unlock(&counter->mutex), 0);
        }
        CHECK_EQ(pthread_mutex_unlock(&counter->mutex), 0);
    }
    return NULL;
}

static void check_counter(struct kind kind)
{
    struct counter *counter =
        mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_t threads[NTHREADS];
    pid_t child = 0;

    mutex_make(&counter->mutex, kind);
    counter->recursive = kind.type == PTHREAD_MUTEX_RECURSIVE;
    if (kind.shared == PTHREAD_PROCESS_SHARED) {
        child = abi_fork();
    }
    for (int i = 0; i < NTHREADS; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, count, counter), 0);
    }
    for (int i = 0; i < NTHREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    if (kind.shared == PTHREAD_PROCESS_SHARED) {
        int status;
        if (child == 0) {
            _exit(0);
        }
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
        CHECK_EQ(counter->value, 2 * NTHREADS * NROUNDS);
    } else {
        CHECK_EQ(counter->value, NTHREADS * NROUNDS);
    }
    CHECK_EQ(pthread_mutex_destroy(&counter->mutex), 0);
}

ABI_TEST(mutex, of_each_kind_counts_right)
{
    static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
                                PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_ADAPTIVE_NP};

    for (unsigned type = 0; type < 4; type++) {
        for (int robust = 0; robust < 2; robust++) {
            for (int shared = 0; shared < 2; shared++) {
                check_counter((struct kind){types[type], PTHREAD_PRIO_NONE, robust, shared});
            }
        }
    }
}

ABI_TEST(mutex, with_inheritance_counts_right)
{
    static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE,
                                PTHREAD_MUTEX_ERRORCHECK};

    for (unsigned type = 0; type < 3; type++) {
        for (int robust = 0; robust < 2; robust++) {
            for (int shared = 0; shared < 2; shared++) {
                check_counter((struct kind){types[type], PTHREAD_PRIO_INHERIT, robust, shared});
            }
        }
    }
}

/* ---- errors ---- */

ABI_TEST(mutex, errors_are_told)
{
    pthread_mutex_t mutex;

    mutex_make(&mutex, (struct kind){PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, 0, 0});
    CHECK_EQ(pthread_mutex_unlock(&mutex), EPERM);
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    CHECK_EQ(pthread_mutex_lock(&mutex), EDEADLK);
    CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
    mutex_make(&mutex, (struct kind){PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_INHERIT, 0, 0});
    CHECK_EQ(pthread_mutex_unlock(&mutex), EPERM);
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    CHECK_EQ(pthread_mutex_lock(&mutex), EDEADLK);
    CHECK_EQ(pthread_mutex_trylock(&mutex), EDEADLK);
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
    mutex_make(&mutex, (struct kind){PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_PROTECT, 0, 0});
    int ceiling;
    CHECK_EQ(pthread_mutex_getprioceiling(&mutex, &ceiling), 0);
    CHECK(ceiling >= 1);
}

static void *lock_timed(void *arg)
{
    pthread_mutex_t *mutex = arg;
    struct timespec real = in_ms(CLOCK_REALTIME, 20), mono = in_ms(CLOCK_MONOTONIC, 20), past = {0};

    CHECK_EQ(pthread_mutex_trylock(mutex), EBUSY);
    CHECK_EQ(pthread_mutex_timedlock(mutex, &past), ETIMEDOUT);
    CHECK_EQ(pthread_mutex_timedlock(mutex, &real), ETIMEDOUT);
    CHECK_EQ(pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &mono), ETIMEDOUT);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    CHECK(now.tv_sec > mono.tv_sec || (now.tv_sec == mono.tv_sec && now.tv_nsec >= mono.tv_nsec));
    return NULL;
}

ABI_TEST(mutex, waiting_ends_in_time)
{
    for (int protocol = PTHREAD_PRIO_NONE; protocol <= PTHREAD_PRIO_INHERIT; protocol++) {
        for (int robust = 0; robust < 2; robust++) {
            pthread_mutex_t mutex;
            pthread_t thread;
            mutex_make(&mutex, (struct kind){PTHREAD_MUTEX_NORMAL, protocol, robust, 0});
            CHECK_EQ(pthread_mutex_lock(&mutex), 0);
            CHECK_EQ(pthread_create(&thread, NULL, lock_timed, &mutex), 0);
            CHECK_EQ(pthread_join(thread, NULL), 0);
            CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
        }
    }
}

/* ---- robust ---- */

static volatile bool locked_and_ending;

static void *lock_and_end(void *arg)
{
    CHECK_EQ(pthread_mutex_lock(arg), 0);
    locked_and_ending = true;
    sleep_ms(20);
    return NULL;
}

/* A thread ends with the mutex: the next owner is told, and may mend it or leave it. */
static void check_robust(struct kind kind)
{
    pthread_mutex_t *mutex =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_t thread;

    mutex_make(mutex, kind);
    locked_and_ending = false;
    CHECK_EQ(pthread_create(&thread, NULL, lock_and_end, mutex), 0);
    while (!locked_and_ending) {
        sched_yield();
    }
    CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD); /* it may wait until the owner is dead */
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(pthread_mutex_consistent(mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);
    CHECK_EQ(pthread_mutex_lock(mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);
    if (kind.shared == PTHREAD_PROCESS_SHARED) {
        pid_t child = abi_fork();
        if (child == 0) {
            CHECK_EQ(pthread_mutex_lock(mutex), 0);
            raise(SIGKILL);
        }
        CHECK_EQ(waitpid(child, NULL, 0), child);
    } else {
        CHECK_EQ(pthread_create(&thread, NULL, lock_and_end, mutex), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0); /* without mending it */
    CHECK_EQ(pthread_mutex_lock(mutex), ENOTRECOVERABLE);
    CHECK_EQ(pthread_mutex_destroy(mutex), 0);
}

ABI_TEST(mutex, robust_ones_outlive_their_owner)
{
    for (int protocol = PTHREAD_PRIO_NONE; protocol <= PTHREAD_PRIO_INHERIT; protocol++) {
        for (int shared = 0; shared < 2; shared++) {
            check_robust(
                (struct kind){PTHREAD_MUTEX_NORMAL, protocol, PTHREAD_MUTEX_ROBUST, shared});
        }
    }
}

/* ---- inheritance ---- */

struct inversion {
    pthread_mutex_t mutex;
    volatile bool low_has, high_wants, high_has, stop;
    volatile int boosted; /* what the kernel runs the owner at, as /proc tells */
};

static void become(int policy, int priority)
{
    struct sched_param param = {.sched_priority = priority};
    CHECK_EQ(pthread_setschedparam(pthread_self(), policy, &param), 0);
}

/* Field 18 of /proc/self/task/TID/stat: -1 - priority for real time. */
static int kernel_priority(void)
{
    char path[64], text[512];

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", gettid());
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fgets(text, sizeof(text), file) != NULL);
    fclose(file);
    char *at = strrchr(text, ')');
    int priority;
    CHECK_EQ(
        sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %d", &priority),
        1);
    return priority;
}

static void *low(void *arg)
{
    struct inversion *inversion = arg;

    become(SCHED_FIFO, 2);
    CHECK_EQ(pthread_mutex_lock(&inversion->mutex), 0);
    inversion->low_has = true;
    while (!inversion->high_wants) {
        sched_yield();
        sleep_ms(1);
    }
    sleep_ms(20); /* the other waits by now */
    inversion->boosted = kernel_priority();
    CHECK_EQ(pthread_mutex_unlock(&inversion->mutex), 0);
    CHECK_EQ(kernel_priority(), -3);
    return NULL;
}

static void *high(void *arg)
{
    struct inversion *inversion = arg;

    become(SCHED_FIFO, 30);
    inversion->high_wants = true;
    CHECK_EQ(pthread_mutex_lock(&inversion->mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(&inversion->mutex), 0);
    return NULL;
}

static int boost_of(int protocol)
{
    static struct inversion inversion;
    pthread_t threads[2];

    memset(&inversion, 0, sizeof(inversion));
    mutex_make(&inversion.mutex, (struct kind){PTHREAD_MUTEX_NORMAL, protocol, 0, 0});
    CHECK_EQ(pthread_create(&threads[0], NULL, low, &inversion), 0);
    while (!inversion.low_has) {
        sleep_ms(1);
    }
    CHECK_EQ(pthread_create(&threads[1], NULL, high, &inversion), 0);
    CHECK_EQ(pthread_join(threads[0], NULL), 0);
    CHECK_EQ(pthread_join(threads[1], NULL), 0);
    return inversion.boosted;
}

ABI_TEST(mutex, the_owner_inherits_the_priority_of_who_waits)
{
    CHECK_EQ(boost_of(PTHREAD_PRIO_NONE), -3);
    CHECK_EQ(boost_of(PTHREAD_PRIO_INHERIT), -31);
}

/* A chain: 40 waits for a mutex of 20, which waits for one of 10, so 10 runs at 40. */
static struct chain {
    pthread_mutex_t first, second;
    volatile int step, boosted;
} chain;

static void *chain_low(void *arg)
{
    (void)arg;
    become(SCHED_FIFO, 10);
    CHECK_EQ(pthread_mutex_lock(&chain.first), 0);
    chain.step = 1;
    while (chain.step < 3) {
        sleep_ms(1);
    }
    sleep_ms(20);
    chain.boosted = kernel_priority();
    CHECK_EQ(pthread_mutex_unlock(&chain.first), 0);
    return NULL;
}

static void *chain_middle(void *arg)
{
    (void)arg;
    become(SCHED_FIFO, 20);
    CHECK_EQ(pthread_mutex_lock(&chain.second), 0);
    chain.step = 2;
    CHECK_EQ(pthread_mutex_lock(&chain.first), 0);
    CHECK_EQ(kernel_priority(), -41);
    CHECK_EQ(pthread_mutex_unlock(&chain.first), 0);
    CHECK_EQ(pthread_mutex_unlock(&chain.second), 0);
    CHECK_EQ(kernel_priority(), -21);
    return NULL;
}

static void *chain_high(void *arg)
{
    (void)arg;
    become(SCHED_FIFO, 40);
    sleep_ms(10); /* the middle one waits for the first by now */
    chain.step = 3;
    CHECK_EQ(pthread_mutex_lock(&chain.second), 0);
    CHECK_EQ(pthread_mutex_unlock(&chain.second), 0);
    return NULL;
}

ABI_TEST(mutex, priority_goes_through_a_chain)
{
    void *(*const fns[])(void *) = {chain_low, chain_middle, chain_high};
    pthread_t threads[3];

    mutex_make(&chain.first, (struct kind){PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, 0, 0});
    mutex_make(&chain.second, (struct kind){PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, 0, 0});
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, fns[i], NULL), 0);
        while (chain.step < i + 1) {
            sleep_ms(1);
        }
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(chain.boosted, -41);
}

ABI_TEST(mutex, inheritance_finds_a_deadlock)
{
    pthread_mutex_t *mutex = &chain.first;

    mutex_make(mutex, (struct kind){PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, 0, 0});
    CHECK_EQ(pthread_mutex_lock(mutex), 0);
    uint32_t *word = (uint32_t *)mutex; /* FUTEX_LOCK_PI of what is one's own (futex(2)) */
    CHECK_ERR(syscall(SYS_futex, word, 6, 0, NULL, NULL, 0), EDEADLK);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);
}
