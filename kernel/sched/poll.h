/*
 * Readiness: how poll, select and (later) epoll ask a file, and how a file answers.
 *
 * A file's poll operation calls poll_wait() on each wait queue that can change its readiness, then returns the current mask
 * (POLLIN ... of asm/poll.h). The table decides whether a waiter is registered: with table->enqueue NULL the caller only asks.
 */
#pragma once

#include <asm/poll.h>

#include "kernel/sched/wait.h"

struct poll_table {
    void (*enqueue)(struct poll_table *table, struct wait_queue *queue); /* NULL: just report */
    uint32_t events; /* what the caller is interested in, always with POLLERR | POLLHUP */
};

static inline void poll_wait(struct poll_table *table, struct wait_queue *queue)
{
    if (table != NULL && table->enqueue != NULL) {
        table->enqueue(table, queue);
    }
}
