/* Asking which of 64 pipes can be read: the last one. */
#include "test/bench/bench.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#define PIPES 64

static int pipes[PIPES][2];

static int open_pipes(void)
{
    for (int i = 0; i < PIPES; i++) {
        if (pipe(pipes[i]) < 0) {
            return -1;
        }
    }
    return write(pipes[PIPES - 1][1], "x", 1) == 1 ? 0 : -1;
}

static void close_pipes(void)
{
    for (int i = 0; i < PIPES; i++) {
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
}

static int row_select(long count)
{
    struct timeval none = {0, 0};
    fd_set all, ready;
    int most = 0;

    if (open_pipes() < 0) {
        return bench_error("pipe");
    }
    FD_ZERO(&all);
    for (int i = 0; i < PIPES; i++) {
        FD_SET(pipes[i][0], &all);
        most = pipes[i][0] > most ? pipes[i][0] : most;
    }
    ready = all;
    if (select(most + 1, &ready, NULL, NULL, &none) != 1) {
        return bench_error("select");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        ready = all;
        none.tv_sec = none.tv_usec = 0;
        select(most + 1, &ready, NULL, NULL, &none);
    }
    mark_end();
    close_pipes();
    return 0;
}

static int row_poll(long count)
{
    struct pollfd fds[PIPES];

    if (open_pipes() < 0) {
        return bench_error("pipe");
    }
    for (int i = 0; i < PIPES; i++) {
        fds[i] = (struct pollfd){.fd = pipes[i][0], .events = POLLIN};
    }
    if (poll(fds, PIPES, 0) != 1) {
        return bench_error("poll");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        poll(fds, PIPES, 0);
    }
    mark_end();
    close_pipes();
    return 0;
}

static int row_epoll(long count)
{
    struct epoll_event events[PIPES];
    int set = epoll_create1(0);

    if (set < 0) {
        return bench_error("epoll_create1");
    }
    if (open_pipes() < 0) {
        return bench_error("pipe");
    }
    for (int i = 0; i < PIPES; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = i};
        if (epoll_ctl(set, EPOLL_CTL_ADD, pipes[i][0], &event) < 0) {
            return bench_error("epoll_ctl");
        }
    }
    if (epoll_wait(set, events, PIPES, 0) != 1) {
        return bench_error("epoll_wait");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        epoll_wait(set, events, PIPES, 0);
    }
    mark_end();
    close(set);
    close_pipes();
    return 0;
}

const struct row ready_rows[] = {
    {"select_64", row_select, UNIT_OPERATION, 1, 1000},
    {"poll_64", row_poll, UNIT_OPERATION, 1, 1000},
    {"epoll_64", row_epoll, UNIT_OPERATION, 1, 5000},
    {NULL},
};
