/*
 * Somebody begins to wait at the very moment when what he waits for comes. Either he sees it, or he is seen and woken: one whose wake-up is lost
 * never comes back. What is lost is so by chance, on emulated CPUs seldom; kernel/sched/poll.h has a test of its own (test/unit/torture).
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "abi.h"

#define GAME_MS 300
#define LOST_MS 20000

static int fd;
static volatile unsigned begun, ended; /* rounds, by who waits */
static volatile bool over;

static long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until the counter is there. */
static void wait_for(const volatile unsigned *counter, unsigned value)
{
    long limit = now_ms() + LOST_MS;

    for (unsigned turn = 1; *counter != value; turn++) {
        if (turn % 256 == 0) {
            sched_yield();
            CHECK(now_ms() < limit);
        }
    }
}

static void *wait_main(void *wait_once)
{
    for (unsigned round = 1; !over; round++) {
        begun = round;
        ((void (*)(void))wait_once)();
        ended = round;
    }
    return NULL;
}

/* A thread waits again and again, and is let go on each time, a little earlier or later. */
static void play(void (*wait_once)(void), void (*send)(void))
{
    long end = now_ms() + GAME_MS;
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, wait_main, (void *)wait_once), 0);
    for (unsigned round = 1; !over; round++) {
        wait_for(&begun, round);
        for (volatile unsigned i = round % 512; i > 0; i--) {
        }
        over = now_ms() >= end;
        send();
        wait_for(&ended, round);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void add_one(void)
{
    CHECK_EQ(eventfd_write(fd, 1), 0);
}

static void poll_and_take(void)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    eventfd_t value;

    CHECK_EQ(poll(&pollfd, 1, -1), 1);
    CHECK_EQ(eventfd_read(fd, &value), 0);
}

ABI_TEST(wakes, of_who_polls_are_not_lost)
{
    fd = eventfd(0, 0);
    CHECK(fd >= 0);
    play(poll_and_take, add_one);
}

static int set;

/* The watch is new each time. */
static void watch_and_take(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    eventfd_t value;

    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
    CHECK_EQ(epoll_wait(set, &event, 1, -1), 1);
    CHECK_EQ(eventfd_read(fd, &value), 0);
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL), 0);
}

ABI_TEST(wakes, of_a_watch_that_is_added_are_not_lost)
{
    fd = eventfd(0, 0);
    set = epoll_create1(0);
    CHECK(fd >= 0 && set >= 0);
    play(watch_and_take, add_one);
}

static void wait_in_set_and_take(void)
{
    struct epoll_event event;
    eventfd_t value;

    CHECK_EQ(epoll_wait(set, &event, 1, -1), 1);
    CHECK_EQ(eventfd_read(fd, &value), 0);
}

static void *poll_set_main(void *arg)
{
    struct pollfd pollfd = {.fd = set, .events = POLLIN};

    while (!over) {
        CHECK(poll(&pollfd, 1, 0) >= 0);
    }
    return arg;
}

ABI_TEST(wakes, of_who_waits_in_a_set_that_another_polls_are_not_lost)
{
    struct epoll_event event = {.events = EPOLLIN};
    pthread_t poller;

    fd = eventfd(0, 0);
    set = epoll_create1(0);
    CHECK(fd >= 0 && set >= 0);
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
    CHECK_EQ(pthread_create(&poller, NULL, poll_set_main, NULL), 0);
    play(wait_in_set_and_take, add_one);
    CHECK_EQ(pthread_join(poller, NULL), 0);
}

static void send_signal(void)
{
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
}

static void read_signal(void)
{
    struct signalfd_siginfo info;

    CHECK_EQ(read(fd, &info, sizeof(info)), sizeof(info));
}

static void poll_and_read_signal(void)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};

    CHECK_EQ(poll(&pollfd, 1, -1), 1);
    read_signal();
}

ABI_TEST(wakes, of_who_reads_signals_are_not_lost)
{
    sigset_t mask;

    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &mask, NULL), 0);
    fd = signalfd(-1, &mask, 0);
    CHECK(fd >= 0);
    play(read_signal, send_signal);
    begun = ended = 0;
    over = false;
    play(poll_and_read_signal, send_signal);
}
