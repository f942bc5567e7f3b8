/*
 * Readiness: how poll, select and epoll ask a file, and how a file answers.
 *
 * A file's poll operation calls poll_wait() on each wait queue that can change its readiness, then returns the current mask
 * (POLLIN ... of asm/poll.h). The table decides whether a waiter is registered: with table->enqueue NULL the caller only asks.
 */
#pragma once

#include <asm/poll.h>

#include "kernel/sched/wait.h"

/* What a queue lives in, when that may end before the file does: who stays on the queue keeps it with get and lets go with put. */
struct poll_pin {
    void (*get)(void *object);
    void (*put)(void *object); /* may sleep */
    void *object;
};

struct poll_table {
    void (*enqueue)(struct poll_table *table, struct wait_queue *queue,
                    const struct poll_pin *pin); /* NULL: just report */
    uint32_t
        events; /* what the caller is interested in, always with POLLERR | POLLHUP; 0: anything */
};

/* For a queue that is not the file's: the caller of poll(2) has what it lives in meanwhile, others pin it. */
static inline void poll_wait_pinned(struct poll_table *table, struct wait_queue *queue,
                                    const struct poll_pin *pin)
{
    if (table != NULL && table->enqueue != NULL) {
        table->enqueue(table, queue, pin);
        atomic_fence(); /* pairs with wait_queue_active(): the caller looks at the condition now */
    }
}

static inline void poll_wait(struct poll_table *table, struct wait_queue *queue)
{
    poll_wait_pinned(table, queue, NULL);
}
