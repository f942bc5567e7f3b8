/* Threads and the futex below their locks. */
#include "test/bench/bench.h"

#include <linux/futex.h>
#include <pthread.h>

static _Alignas(64) volatile int request;
static _Alignas(64) volatile int answer;
static long peer_count;
static volatile int futex_errno;

static long futex(volatile int *word, int operation, int value)
{
    return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void post(volatile int *word)
{
    __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
    if (futex(word, FUTEX_WAKE, 1) < 0) {
        futex_errno = errno;
    }
}

static void take(volatile int *word)
{
    while (__atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) == 0) {
        if (futex(word, FUTEX_WAIT, 0) < 0 && errno != EAGAIN && errno != EINTR) {
            futex_errno = errno;
            return;
        }
    }
}

static void *peer_main(void *arg)
{
    for (long i = 0; i < peer_count && futex_errno == 0; i++) {
        take(&request);
        post(&answer);
    }
    return arg;
}

static void ask(long count)
{
    for (long i = 0; i < count && futex_errno == 0; i++) {
        post(&request);
        take(&answer);
    }
}

static int row_futex_pingpong(long count)
{
    pthread_t peer;

    peer_count = count + 4;
    request = answer = 0;
    futex_errno = 0;
    errno = pthread_create(&peer, NULL, peer_main, NULL);
    if (errno != 0) {
        return bench_error("pthread_create");
    }
    ask(4);
    mark_begin();
    ask(count);
    mark_end();
    pthread_join(peer, NULL);
    errno = futex_errno;
    return futex_errno != 0 ? bench_error("futex") : 0;
}

static int row_futex_wake_none(long count)
{
    request = 0;
    if (futex(&request, FUTEX_WAKE, 1) < 0) {
        return bench_error("futex");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        futex(&request, FUTEX_WAKE, 1);
    }
    mark_end();
    return 0;
}

static void *idle_main(void *arg)
{
    return arg;
}

static int row_create_join(long count)
{
    pthread_t thread;

    mark_begin();
    for (long i = 0; i < count; i++) {
        errno = pthread_create(&thread, NULL, idle_main, NULL);
        if (errno != 0) {
            return bench_error("pthread_create");
        }
        pthread_join(thread, NULL);
    }
    mark_end();
    return 0;
}

const struct row thread_rows[] = {
    {"futex_pingpong", row_futex_pingpong, UNIT_OPERATION, 1, 2000},
    {"futex_wake_none", row_futex_wake_none, UNIT_OPERATION, 1, 10000},
    {"thread_create_join", row_create_join, UNIT_OPERATION, 1, 500},
    {NULL},
};
