/*
 * What calls about threads and time refuse, and with which error: futex(2), get_robust_list(2), rseq(2), timer_create(2) and clocks
 * of threads that have ended, clock_settime(2), adjtimex(2), mq_notify(2).
 */
#include "abi.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timex.h>

static long futex(uint32_t *word, int op, uint32_t value, const void *timeout, uint32_t *word2,
                  uint32_t value3)
{
    return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

static uint32_t tid(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

static const struct timespec *in_ms(clockid_t clock, long ms)
{
    static struct timespec ts;

    CHECK_EQ(clock_gettime(clock, &ts), 0);
    ts.tv_nsec += ms * 1000000;
    ts.tv_sec += ts.tv_nsec / 1000000000;
    ts.tv_nsec %= 1000000000;
    return &ts;
}

static void *hold(void *arg)
{
    uint32_t *words = arg;

    CHECK_EQ(futex(&words[0], FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    __atomic_store_n(&words[1], 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&words[1], __ATOMIC_SEQ_CST) != 2) {
        abi_sleep_ms(1);
    }
    CHECK_EQ(futex(&words[0], FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    return NULL;
}

ABI_TEST(refusal, locks_time_out_by_the_clock_they_are_told)
{
    static uint32_t words[2];
    const struct timespec wrong = {0, 1000000000}, past = {1, 0}, negative = {-1, 0};
    const int lock_pi2 = 13; /* FUTEX_LOCK_PI2 */
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, hold, words), 0);
    while (__atomic_load_n(&words[1], __ATOMIC_SEQ_CST) != 1) {
        abi_sleep_ms(1);
    }
    CHECK_ERR(futex(words, FUTEX_LOCK_PI, 0, in_ms(CLOCK_REALTIME, 10), NULL, 0), ETIMEDOUT);
    CHECK_ERR(futex(words, lock_pi2, 0, in_ms(CLOCK_MONOTONIC, 10), NULL, 0), ETIMEDOUT);
    CHECK_ERR(futex(words, lock_pi2 | FUTEX_CLOCK_REALTIME, 0, in_ms(CLOCK_REALTIME, 10), NULL, 0),
              ETIMEDOUT);
    CHECK_ERR(futex(words, FUTEX_LOCK_PI, 0, &past, NULL, 0), ETIMEDOUT);
    CHECK_ERR(futex(words, FUTEX_LOCK_PI, 0, &wrong, NULL, 0), EINVAL);
    CHECK_ERR(futex(words, FUTEX_LOCK_PI, 0, &negative, NULL, 0), EINVAL);
    CHECK_ERR(futex(words, FUTEX_LOCK_PI, 0, (void *)8, NULL, 0), EFAULT);
    CHECK_ERR(futex(words, FUTEX_LOCK_PI | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0), ENOSYS);
    CHECK_ERR(futex(words, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0), ENOSYS);
    CHECK_ERR(futex(words, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EAGAIN);
    CHECK_ERR(futex(words, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
    CHECK_ERR(futex(words, 99, 0, NULL, NULL, 0), ENOSYS);
    __atomic_store_n(&words[1], 2, __ATOMIC_SEQ_CST);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(words[0] & FUTEX_TID_MASK, 0);
}

ABI_TEST(refusal, of_moves_to_locks)
{
    static uint32_t word, lock;

    CHECK_ERR(futex(&word, FUTEX_WAIT_REQUEUE_PI, 0, NULL, &word, 0), EINVAL);
    CHECK_ERR(futex(&word, FUTEX_WAIT_REQUEUE_PI, 1, NULL, &lock, 0), EAGAIN);
    CHECK_ERR(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, NULL, &word, 0), EINVAL);
    CHECK_ERR(futex(&word, FUTEX_CMP_REQUEUE_PI, 2, NULL, &lock, 0), EINVAL);
    CHECK_ERR(futex(&word, FUTEX_CMP_REQUEUE_PI, 0, NULL, &lock, 0), EINVAL);
    CHECK_ERR(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, NULL, &lock, 5), EAGAIN);
    CHECK_EQ(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, NULL, &lock, 0), 0); /* nobody waits */
    CHECK_ERR(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, (void *)-1l, &lock, 0), EINVAL);
    CHECK_ERR(futex(&word, FUTEX_REQUEUE, 1, (void *)-1l, &lock, 0), EINVAL);
    CHECK_ERR(futex(&word, FUTEX_REQUEUE, (uint32_t)-1, (void *)1, &lock, 0), EINVAL);
    CHECK_ERR(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &lock, 7), EAGAIN);
    CHECK_ERR(futex(&word, FUTEX_REQUEUE, 1, (void *)1, (uint32_t *)((char *)&lock + 2), 0),
              EINVAL);
    CHECK_ERR(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0), EINVAL);
    CHECK_ERR(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERR(futex((uint32_t *)((char *)&word + 1), FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL);
    CHECK_ERR(futex((uint32_t *)0xffff800000000000ul, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0),
              EFAULT);
    CHECK_ERR(futex(NULL, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EFAULT);
    CHECK_ERR(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &lock, FUTEX_OP(5, 1, 0, 0)), ENOSYS);
    CHECK_ERR(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, (uint32_t *)8, FUTEX_OP(0, 1, 0, 0)),
              EFAULT);
}

static void *wait_for_lock(void *arg)
{
    CHECK_EQ(futex(arg, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_EQ(futex(arg, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    return NULL;
}

/* A program that spoils the word of a lock that is waited for is told so. */
ABI_TEST(refusal, a_spoilt_lock)
{
    static uint32_t word;
    pthread_t thread;

    CHECK_EQ(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_EQ(pthread_create(&thread, NULL, wait_for_lock, &word), 0);
    abi_wait_asleep(1);
    while ((__atomic_load_n(&word, __ATOMIC_SEQ_CST) & FUTEX_WAITERS) == 0) {
        abi_sleep_ms(1);
    }
    CHECK_ERR(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), EINVAL); /* they wait for a lock */
    uint32_t good = word;
    word = 0x3fffffff | FUTEX_WAITERS;
    CHECK_ERR(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
    word = good;
    CHECK_ERR(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
    CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(word, 0);
}

ABI_TEST(refusal, of_lists_of_others)
{
    void *head;
    size_t size;
    pid_t pid = abi_fork();

    if (pid == 0) {
        CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
        for (;;) {
            pause();
        }
    }
    CHECK_EQ(syscall(SYS_get_robust_list, pid, &head, &size), 0);
    CHECK_EQ(size, 24);
    CHECK_ERR(syscall(SYS_get_robust_list, 999999, &head, &size), ESRCH);
    CHECK_ERR(syscall(SYS_get_robust_list, 0, 8, &size), EFAULT);
    CHECK_ERR(syscall(SYS_get_robust_list, 0, &head, 8), EFAULT);
    CHECK_ERR(syscall(SYS_set_robust_list, &head, 23), EINVAL);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setresuid(2077, 2077, 2077), 0);
                 CHECK_ERR(syscall(SYS_get_robust_list, pid, &head, &size), EPERM);
                 CHECK_EQ(syscall(SYS_get_robust_list, 0, &head, &size), 0);
             }),
             0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

ABI_TEST(refusal, of_restartable_sequences)
{
    static struct {
        uint32_t words[8];
    } area __attribute__((aligned(32))), other __attribute__((aligned(32)));
    const uint32_t signature = 0x53053053;

    CHECK_ERR(syscall(SYS_rseq, &area, 32, 2, signature), EINVAL);
    CHECK_ERR(syscall(SYS_rseq, &area, 16, 0, signature), EINVAL);
    CHECK_ERR(syscall(SYS_rseq, (char *)&area + 4, 32, 0, signature), EINVAL);
    CHECK_ERR(syscall(SYS_rseq, 0xffff800000000000ul, 32, 0, signature), EFAULT);
    CHECK_ERR(syscall(SYS_rseq, &area, 32, 1, signature), EINVAL); /* none is registered */
    CHECK_EQ(syscall(SYS_rseq, &area, 32, 0, signature), 0);
    CHECK_ERR(syscall(SYS_rseq, &area, 32, 0, signature), EBUSY);
    CHECK_ERR(syscall(SYS_rseq, &area, 32, 0, signature + 1), EPERM);
    CHECK_ERR(syscall(SYS_rseq, &other, 32, 0, signature), EINVAL);
    CHECK_ERR(syscall(SYS_rseq, &other, 32, 1, signature), EINVAL);
    CHECK_ERR(syscall(SYS_rseq, &area, 32, 1, signature + 1), EPERM);
    CHECK_ERR(syscall(SYS_rseq, &area, 32, 3, signature), EINVAL);
    CHECK_EQ(syscall(SYS_rseq, &area, 32, 1, signature), 0);
    CHECK_ERR(syscall(SYS_rseq, &area, 32, 1, signature), EINVAL);
    CHECK_EQ((int32_t)area.words[1], -1); /* cpu_id: uninitialised again */
    CHECK_EQ(area.words[0], 0);
}

/* ---- clocks and timers of threads ---- */

static pthread_barrier_t barrier;

static void *live_for_a_while(void *arg)
{
    *(uint32_t *)arg = tid();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return NULL;
}

static clockid_t clock_of(uint32_t nr, bool thread)
{
    return (clockid_t)(~nr << 3 | (thread ? 4 : 0) | 2);
}

ABI_TEST(refusal, of_clocks_of_the_dead)
{
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    struct itimerspec setting = {.it_value = {100, 0}, .it_interval = {7, 0}}, got;
    struct timespec ts;
    pthread_t thread;
    uint32_t nr;
    int of_thread, of_process;

    CHECK_EQ(pthread_barrier_init(&barrier, NULL, 2), 0);
    CHECK_EQ(pthread_create(&thread, NULL, live_for_a_while, &nr), 0);
    pthread_barrier_wait(&barrier);
    CHECK_EQ(clock_gettime(clock_of(nr, true), &ts), 0);
    CHECK_EQ(clock_getres(clock_of(nr, true), &ts), 0);
    CHECK_EQ(clock_gettime(clock_of((uint32_t)getpid(), false), &ts), 0);
    CHECK_ERR(clock_gettime(clock_of(nr, false), &ts), EINVAL); /* not a process */
    CHECK_EQ(clock_gettime(clock_of(1, false), &ts), 0);        /* any process' */
    CHECK_ERR(clock_gettime(clock_of(1, true), &ts), EINVAL);   /* no thread of ours */
    CHECK_ERR(clock_settime(clock_of(nr, true), &ts), EPERM);
    CHECK_ERR(syscall(SYS_timer_create, clock_of(nr, false), &none, &of_process), EINVAL);
    CHECK_ERR(syscall(SYS_timer_create, clock_of(1, true), &none, &of_process), EINVAL);
    CHECK_EQ(syscall(SYS_timer_create, clock_of(nr, true), &none, &of_thread), 0);
    CHECK_EQ(syscall(SYS_timer_settime, of_thread, 0, &setting, NULL), 0);
    CHECK_EQ(syscall(SYS_timer_gettime, of_thread, &got), 0);
    CHECK(got.it_value.tv_sec == 99 || got.it_value.tv_sec == 100);
    pthread_barrier_wait(&barrier);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    while (abi_state(getpid(), (pid_t)nr) != 0) {
        abi_sleep_ms(1);
    }
    CHECK_ERR(clock_gettime(clock_of(nr, true), &ts), EINVAL);
    CHECK_ERR(syscall(SYS_timer_create, clock_of(nr, true), &none, &of_process), EINVAL);
    CHECK_ERR(syscall(SYS_timer_settime, of_thread, 0, &setting, NULL), ESRCH);
    CHECK_EQ(syscall(SYS_timer_gettime, of_thread, &got), 0);
    CHECK_EQ(got.it_value.tv_sec + got.it_value.tv_nsec, 0);
    CHECK_EQ(syscall(SYS_timer_delete, of_thread), 0);
    CHECK_ERR(syscall(SYS_timer_delete, of_thread), EINVAL);
    CHECK_ERR(clock_gettime(clock_of(nr, true) | 3, &ts), EINVAL);
    /* A child's clock stands until it is waited for. */
    pid_t pid = abi_fork();
    if (pid == 0) {
        _exit(0);
    }
    abi_wait_state(pid, pid, 'Z');
    CHECK_EQ(clock_gettime(clock_of((uint32_t)pid, false), &ts), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    CHECK_ERR(clock_gettime(clock_of((uint32_t)pid, false), &ts), EINVAL);
}

ABI_TEST(refusal, of_timers)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec setting = {.it_value = {0, 1000000000}};
    int id;

    CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, 8, &id), EFAULT);
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, 8), EFAULT);
    CHECK_ERR(syscall(SYS_timer_create, 99, &event, &id), EINVAL);
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC_RAW, &event, &id), EOPNOTSUPP);
    event.sigev_signo = 0;
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
    event.sigev_signo = 65;
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
    event = (struct sigevent){.sigev_notify = 9, .sigev_signo = SIGUSR1};
    CHECK_ERR(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
    event.sigev_notify = SIGEV_SIGNAL;
    CHECK_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), 0);
    CHECK_ERR(syscall(SYS_timer_settime, id, 0, &setting, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_timer_settime, id, 0, NULL, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_timer_settime, id, 0, 8, NULL), EFAULT);
    setting.it_value.tv_nsec = 0;
    setting.it_interval.tv_sec = -1;
    CHECK_ERR(syscall(SYS_timer_settime, id, 0, &setting, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_timer_settime, id + 1, 0, &setting, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_timer_gettime, id, 8), EFAULT);
    CHECK_ERR(syscall(SYS_timer_gettime, id + 1, &setting), EINVAL);
    CHECK_ERR(syscall(SYS_timer_getoverrun, id + 1), EINVAL);
    CHECK_EQ(syscall(SYS_timer_getoverrun, id), 0);
    CHECK_ERR(setitimer(3, NULL, NULL), EINVAL);
    CHECK_ERR(getitimer(3, (struct itimerval *)&setting), EINVAL);
}

/* ---- setting the time ---- */

ABI_TEST(refusal, of_clocks_to_be_set)
{
    struct timespec ts = {0, 1000000000};
    struct timex tx = {.modes = 0};

    CHECK_ERR(clock_settime(CLOCK_REALTIME, &ts), EINVAL);
    CHECK_ERR(syscall(SYS_clock_settime, CLOCK_REALTIME, 8), EFAULT);
    ts = (struct timespec){-1, 0};
    CHECK_ERR(clock_settime(CLOCK_REALTIME, &ts), EINVAL);
    CHECK_ERR(clock_settime(CLOCK_MONOTONIC, &ts), EINVAL);
    CHECK_ERR(clock_settime(99, &ts), EINVAL);
    struct timeval tv = {0, 1000000};
    CHECK_ERR(syscall(SYS_settimeofday, &tv, NULL), EINVAL);
    tv.tv_usec = -1;
    CHECK_ERR(syscall(SYS_settimeofday, &tv, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_settimeofday, 8, NULL), EFAULT);
    CHECK_ERR(syscall(SYS_settimeofday, NULL, 8), EFAULT);
    CHECK_ERR(syscall(SYS_clock_adjtime, CLOCK_MONOTONIC, &tx), EOPNOTSUPP);
    CHECK_ERR(syscall(SYS_clock_adjtime, 99, &tx), EINVAL);
    CHECK_ERR(syscall(SYS_clock_adjtime, CLOCK_REALTIME, 8), EFAULT);
    CHECK(syscall(SYS_clock_adjtime, CLOCK_REALTIME, &tx) >= 0);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setresuid(2077, 2077, 2077), 0);
                 ts = (struct timespec){1700000000, 0};
                 CHECK_ERR(clock_settime(CLOCK_REALTIME, &ts), EPERM);
                 tv = (struct timeval){1700000000, 0};
                 CHECK_ERR(syscall(SYS_settimeofday, &tv, NULL), EPERM);
                 tx.modes = ADJ_OFFSET;
                 CHECK_ERR(syscall(SYS_adjtimex, &tx), EPERM);
                 tx.modes = ADJ_OFFSET_SINGLESHOT;
                 CHECK_ERR(syscall(SYS_adjtimex, &tx), EPERM);
                 tx.modes = 0xa001; /* ADJ_OFFSET_SS_READ */
                 CHECK(syscall(SYS_adjtimex, &tx) >= 0);
                 tx.modes = 0;
                 CHECK(syscall(SYS_adjtimex, &tx) >= 0);
             }),
             0);
    tx = (struct timex){.modes = ADJ_TICK, .tick = 5};
    CHECK_ERR(syscall(SYS_adjtimex, &tx), EINVAL);
    tx = (struct timex){.modes = 0x8000}; /* a single shot's flag, and no single shot */
    CHECK_ERR(syscall(SYS_adjtimex, &tx), EINVAL);
    tx = (struct timex){.modes = ADJ_SETOFFSET, .time = {0, -1}};
    CHECK_ERR(syscall(SYS_adjtimex, &tx), EINVAL);
    tx = (struct timex){.modes = ADJ_SETOFFSET, .time = {0, 1000000}};
    CHECK_ERR(syscall(SYS_adjtimex, &tx), EINVAL);
}

/* What the C library makes of a function to be called: a message to a netlink socket of its own (mq_notify(3)). */
ABI_TEST(refusal, of_notices_by_thread)
{
    char cookie[32];
    int pair[2], mq = (int)syscall(SYS_mq_open, "abi_cookie", O_CREAT | O_RDWR, 0600, NULL);
    struct sigevent event = {
        .sigev_notify = SIGEV_THREAD, .sigev_signo = 999, .sigev_value.sival_ptr = cookie};

    CHECK(mq >= 0);
    CHECK_EQ(syscall(SYS_mq_unlink, "abi_cookie"), 0);
    CHECK_ERR(syscall(SYS_mq_notify, mq, &event), EBADF);
    event.sigev_signo = mq;
    CHECK_ERR(syscall(SYS_mq_notify, mq, &event), ENOTSOCK);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    event.sigev_signo = pair[0];
    CHECK_ERR(syscall(SYS_mq_notify, mq, &event), EINVAL);
    event.sigev_value.sival_ptr = (void *)8;
    CHECK_ERR(syscall(SYS_mq_notify, mq, &event), EFAULT);
}
