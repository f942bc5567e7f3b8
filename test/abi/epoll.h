/* Epoll: what the files of its tests share. Steps that fail end the test. */
#pragma once

#include "abi.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

static inline int epoll_set(void)
{
    int set = epoll_create1(0);

    CHECK(set >= 0);
    return set;
}

static inline int epoll_change(int set, int op, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};

    return epoll_ctl(set, op, fd, &event);
}

static inline void epoll_watch(int set, int fd, uint32_t events)
{
    CHECK_EQ(epoll_change(set, EPOLL_CTL_ADD, fd, events, (uint64_t)fd), 0);
}

/* The events of the one descriptor that is ready at once; 0: none is. */
static inline uint32_t epoll_only(int set, int fd)
{
    struct epoll_event event[2];
    int n = epoll_wait(set, event, 2, 0);

    if (n == 0) {
        return 0;
    }
    CHECK_EQ(n, 1);
    CHECK_EQ(event[0].data.u64, (uint64_t)fd);
    return event[0].events;
}

static inline int event_make(void)
{
    int fd = eventfd(0, EFD_NONBLOCK);

    CHECK(fd >= 0);
    return fd;
}

static inline void event_add(int fd, uint64_t value)
{
    CHECK_EQ(write(fd, &value, sizeof(value)), 8);
}

static inline uint64_t event_drain(int fd)
{
    uint64_t value = 0;

    CHECK_EQ(read(fd, &value, sizeof(value)), 8);
    return value;
}

/* A thread: adds 1 to the descriptor at arg, soon. */
static inline void *event_add_soon(void *arg)
{
    usleep(30000);
    event_add(*(int *)arg, 1);
    return NULL;
}
