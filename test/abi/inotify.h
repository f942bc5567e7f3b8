/* For tests of inotify(7): one queue, and what comes out of it. */
#pragma once

#include "abi.h"

#include <sys/inotify.h>

static int queue;

static inline void begin(void)
{
    queue = inotify_init1(IN_NONBLOCK);
    CHECK(queue >= 0);
}

static inline int watch(const char *path, uint32_t mask)
{
    int wd = inotify_add_watch(queue, path, mask);

    CHECK(wd > 0);
    return wd;
}

static char buffer[4096] __attribute__((aligned(8)));
static size_t used, have;

/* The next event; NULL: there is none. */
static inline struct inotify_event *next(void)
{
    if (used == have) {
        ssize_t n = read(queue, buffer, sizeof(buffer));
        if (n < 0) {
            CHECK_EQ(errno, EAGAIN);
            return NULL;
        }
        have = (size_t)n;
        used = 0;
    }
    struct inotify_event *event = (struct inotify_event *)(buffer + used);
    used += sizeof(*event) + event->len;
    CHECK(used <= have);
    return event;
}

static uint32_t cookie;

static inline void expect_at(int line, int wd, uint32_t mask, const char *name)
{
    struct inotify_event *event = next();

    if (event == NULL) {
        abi_fail(__FILE__, line, "no event");
    }
    const char *got = event->len == 0 ? "" : event->name;
    if (event->wd != wd || event->mask != mask || strcmp(got, name) != 0) {
        abi_fail(__FILE__, line, "expected %d %x '%s', got %d %x '%s'", wd, mask, name, event->wd,
                 event->mask, got);
    }
    CHECK_EQ(event->len % 16, 0);
    cookie = event->cookie;
}
#define EXPECT(wd, mask, name) expect_at(__LINE__, wd, mask, name)

static inline void none_at(int line)
{
    struct inotify_event *event = next();

    if (event != NULL) {
        abi_fail(__FILE__, line, "an event too much: %d %x '%s'", event->wd, event->mask,
                 event->len == 0 ? "" : event->name);
    }
}
#define NONE() none_at(__LINE__)

static inline void touch(const char *name)
{
    int fd = open(name, O_CREAT | O_RDWR, 0644);

    CHECK(fd >= 0);
    CHECK_EQ(close(fd), 0);
}
