/*
 * Futexes that inherit priority, by the call itself (futex(2)).
 */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>

#include "abi.h"

static long futex(uint32_t *word, int op, uint32_t value, const void *timeout, uint32_t *word2,
                  uint32_t value3)
{
    return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

static uint32_t tid(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

static uint32_t load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void store(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

static void *run(void *(*fn)(void *), void *arg)
{
    pthread_t *thread = malloc(sizeof(*thread));
    CHECK_EQ(pthread_create(thread, NULL, fn, arg), 0);
    return thread;
}

static long join(void *thread)
{
    void *result;
    CHECK_EQ(pthread_join(*(pthread_t *)thread, &result), 0);
    free(thread);
    return (long)result;
}

ABI_TEST(futex_pi, a_free_word_is_taken_and_left)
{
    uint32_t word = 0;

    CHECK_EQ(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_EQ(word, tid());
    CHECK_ERR(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
    CHECK_ERR(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EDEADLK);
    CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_EQ(word, 0);
    CHECK_ERR(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
    CHECK_EQ(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_EQ(word, tid());
    word = 0x3fffffff; /* nobody's number */
    CHECK_ERR(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), ESRCH);
    CHECK_ERR(futex((uint32_t *)((char *)&word + 1), FUTEX_LOCK_PI, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERR(futex((uint32_t *)8, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EFAULT);
    word = FUTEX_OWNER_DIED;
    CHECK_EQ(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_EQ(word, tid() | FUTEX_OWNER_DIED);
}

static uint32_t lock;
static volatile int stage;

static void *lock_and_tell(void *arg)
{
    long result = futex(&lock, FUTEX_LOCK_PI_PRIVATE, 0, arg, NULL, 0);
    long told = result == 0 ? (long)(load(&lock) & FUTEX_TID_MASK) == (long)tid() : -errno;

    if (result == 0) {
        stage++;
        CHECK_EQ(futex(&lock, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    }
    return (void *)told;
}

ABI_TEST(futex_pi, it_goes_to_who_waits)
{
    void *threads[3];

    lock = 0;
    CHECK_EQ(futex(&lock, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    for (int i = 0; i < 3; i++) {
        threads[i] = run(lock_and_tell, NULL);
    }
    abi_wait_asleep(3);
    CHECK_EQ(load(&lock), tid() | FUTEX_WAITERS);
    CHECK_EQ(stage, 0);
    CHECK_EQ(futex(&lock, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(join(threads[i]), 1);
    }
    CHECK_EQ(stage, 3);
    CHECK_EQ(load(&lock) & FUTEX_TID_MASK, 0);
}

ABI_TEST(futex_pi, waiting_ends_in_time)
{
    struct timespec past = {0}, soon;

    lock = 0;
    CHECK_EQ(futex(&lock, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    void *thread = run(lock_and_tell, &past);
    CHECK_EQ(join(thread), -ETIMEDOUT);
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec += soon.tv_nsec >= 980000000;
    soon.tv_nsec = (soon.tv_nsec + 20000000) % 1000000000;
    thread = run(lock_and_tell, &soon);
    CHECK_EQ(join(thread), -ETIMEDOUT);
    CHECK_EQ(futex(&lock, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    CHECK_EQ(load(&lock) & FUTEX_TID_MASK, 0);
}

static uint32_t *shared;

static void *take_and_end(void *arg)
{
    CHECK_EQ(futex(shared, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    stage = 1;
    while ((load(shared) & FUTEX_WAITERS) == 0) {
        sched_yield();
    }
    usleep(10000);
    return arg;
}

ABI_TEST(futex_pi, the_end_of_its_owner_passes_it_on)
{
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    void *thread = run(take_and_end, NULL);
    while (stage == 0) {
        sched_yield();
    }
    CHECK_EQ(futex(shared, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_EQ(load(shared) & ~FUTEX_WAITERS, tid() | FUTEX_OWNER_DIED);
    CHECK_EQ(join(thread), 0);
    CHECK_EQ(futex(shared, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    /* A process that is killed, from another one's view. */
    store(shared, 0);
    pid_t child = abi_fork();
    if (child == 0) {
        CHECK_EQ(futex(shared, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
        pause();
    }
    while (load(shared) == 0) {
        sched_yield();
    }
    pid_t killer = abi_fork();
    if (killer == 0) {
        while ((load(shared) & FUTEX_WAITERS) == 0) {
            usleep(1000);
        }
        usleep(5000);
        kill(child, SIGKILL);
        _exit(0);
    }
    CHECK_EQ(futex(shared, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_EQ(load(shared) & FUTEX_TID_MASK, tid());
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK_EQ(waitpid(killer, NULL, 0), killer);
}

/* ---- from a word to a lock ---- */

static uint32_t word, mutex;

static void *wait_for_lock(void *arg)
{
    long result = futex(&word, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, arg, &mutex, 0);

    if (result < 0) {
        return (void *)(long)-errno;
    }
    CHECK_EQ(load(&mutex) & FUTEX_TID_MASK, tid());
    stage++;
    CHECK_EQ(futex(&mutex, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    return (void *)(long)result;
}

ABI_TEST(futex_pi, waiters_of_a_word_are_moved_to_a_lock)
{
    void *threads[3];

    for (int i = 0; i < 3; i++) {
        threads[i] = run(wait_for_lock, NULL);
    }
    abi_wait_asleep(3);
    CHECK_ERR(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), EINVAL);
    CHECK_ERR(futex(&word, FUTEX_CMP_REQUEUE_PI_PRIVATE, 2, (void *)3, &mutex, 0), EINVAL);
    CHECK_ERR(futex(&word, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)3, &lock, 0), EINVAL);
    CHECK_ERR(futex(&word, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)3, &mutex, 1), EAGAIN);
    CHECK_EQ(futex(&mutex, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)INT_MAX, &mutex, 0), 3);
    CHECK_EQ(load(&mutex), tid() | FUTEX_WAITERS);
    usleep(10000);
    CHECK_EQ(stage, 0);
    CHECK_EQ(futex(&mutex, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(join(threads[i]), 0);
    }
    CHECK_EQ(stage, 3);
    /* The lock is free: the first has it at once. */
    store(&mutex, 0);
    threads[0] = run(wait_for_lock, NULL);
    abi_wait_asleep(1);
    CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)0, &mutex, 0), 1);
    CHECK_EQ(join(threads[0]), 0);
    CHECK_EQ(stage, 4);
}

ABI_TEST(futex_pi, waiting_to_be_moved_ends_in_time)
{
    struct timespec past = {0};
    void *thread = run(wait_for_lock, &past);

    CHECK_EQ(join(thread), -ETIMEDOUT);
    word = 1;
    thread = run(wait_for_lock, NULL);
    CHECK_EQ(join(thread), -EAGAIN);
    CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)1, &mutex, 1), 0);
}

/* ---- an owner that ends just now ---- */

#define LEFT_MAX 2000

/* What it leaves: a robust list, of the lock first. Each entry has a page of its own. */
static struct left {
    struct robust_list_head head;
    struct left_entry {
        _Alignas(4096) struct robust_list list;
        uint32_t word;
    } entry[LEFT_MAX];
} * left;
static uint32_t *left_lock;

static void left_make(unsigned count)
{
    left = mmap(NULL, sizeof(*left), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(left != MAP_FAILED);
    left_lock = &left->entry[0].word;
    left->head.futex_offset = offsetof(struct left_entry, word);
    left->head.list.next =
        (struct robust_list *)((uintptr_t)&left->entry[0].list | 1); /* it inherits */
    for (unsigned i = 0; i < count; i++) {
        left->entry[i].list.next = i + 1 < count ? &left->entry[i + 1].list : &left->head.list;
    }
}

static int own_and_end(void *arg)
{
    CHECK_EQ(syscall(SYS_set_robust_list, &left->head, sizeof(left->head)), 0);
    store(left_lock, tid());
    stage = 1;
    for (unsigned turn = 1; stage == 1; turn++) {
        if (turn % 256 == 0) {
            sched_yield();
        }
    }
    return arg != NULL;
}

/* It has the lock, and ends once `stage` is 2. */
static pid_t owner_start(void)
{
    static _Alignas(16) char stack[16384];

    stage = 0;
    pid_t owner = clone(own_and_end, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
    CHECK(owner > 0);
    while (stage == 0) {
        sched_yield();
    }
    return owner;
}

static void owner_gone(pid_t owner)
{
    int status;

    CHECK_EQ(waitpid(owner, &status, 0), owner);
    CHECK_EQ(status, 0);
}

static void *lock_left(void *arg)
{
    CHECK_EQ(futex(left_lock, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    CHECK_EQ(load(left_lock) & FUTEX_TID_MASK, tid());
    CHECK_EQ(futex(left_lock, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    return arg;
}

static void *wait_for_left(void *arg)
{
    CHECK_EQ(futex(&word, FUTEX_WAIT_REQUEUE_PI_PRIVATE, 0, NULL, left_lock, 0), 0);
    CHECK_EQ(load(left_lock) & FUTEX_TID_MASK, tid());
    CHECK_EQ(futex(left_lock, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
    return arg;
}

/* The word says that its owner is dead before the best that waits has the lock. */
ABI_TEST(futex_pi, it_can_be_waited_for_before_the_dead_have_passed_it_on)
{
    time_t end = time(NULL) + 3;

    left_make(LEFT_MAX);
    for (int round = 0; round < 200 && time(NULL) < end; round++) {
        pid_t owner = owner_start();
        void *thread = run(lock_left, NULL);
        abi_wait_asleep(1);
        CHECK_EQ(madvise(left, sizeof(*left), MADV_DONTNEED),
                 0); /* to walk through it takes time */
        stage = 2;
        while ((load(left_lock) & FUTEX_TID_MASK) == (uint32_t)owner) {
        }
        (void)lock_left(NULL);
        CHECK_EQ(join(thread), 0);
        owner_gone(owner);
    }
}

/* Who asks for the lock while its owner marks it has it then, or waits: the owner is not unknown. */
ABI_TEST(futex_pi, one_that_ends_just_now_is_not_nobody)
{
    time_t end = time(NULL) + 2;

    left_make(1);
    for (unsigned round = 0; time(NULL) < end; round++) {
        pid_t owner = owner_start();
        void *thread = NULL;
        if (round % 32 == 31) {
            thread = run(wait_for_left, NULL);
            abi_wait_asleep(1);
        }
        stage = 2;
        for (volatile unsigned i = round * 61 % 4096; i > 0; i--) {
        }
        if (thread == NULL) {
            (void)lock_left(NULL);
        } else {
            CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, (void *)0, left_lock, 0), 1);
            CHECK_EQ(join(thread), 0);
        }
        owner_gone(owner);
    }
}

/* ---- many at once ---- */

static uint32_t busy;
static volatile long counted;

static void *count(void *arg)
{
    uint32_t me = tid();

    for (int i = 0; i < 2000; i++) {
        uint32_t expected = 0;
        if (!__atomic_compare_exchange_n(&busy, &expected, me, false, __ATOMIC_SEQ_CST,
                                         __ATOMIC_SEQ_CST)) {
            CHECK_EQ(futex(&busy, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
        }
        long seen = counted;
        if (i % 64 == 0) {
            sched_yield();
        }
        counted = seen + 1;
        expected = me;
        if (!__atomic_compare_exchange_n(&busy, &expected, 0, false, __ATOMIC_SEQ_CST,
                                         __ATOMIC_SEQ_CST)) {
            CHECK_EQ(futex(&busy, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0), 0);
        }
    }
    return arg;
}

ABI_TEST(futex_pi, counts_right)
{
    void *threads[6];

    for (int i = 0; i < 6; i++) {
        threads[i] = run(count, NULL);
    }
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(join(threads[i]), 0);
    }
    CHECK_EQ(counted, 12000);
    CHECK_EQ(busy, 0);
}
