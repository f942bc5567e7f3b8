/*
 * What msg.c (queues, sending, receiving) and msg_ctl.c (msgctl) share.
 *
 * Locks: t msg_table.lock   q queue->lock   I immutable. The two are never held together.
 */
#pragma once

#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/ipc/msg.h"
#include "kernel/ipc/sysv.h"
#include "kernel/mm/kmalloc.h"

struct msg_queue {
    struct sysv_object object; /* [t] */
    struct refcount refs;      /* the table's, and those of calls under way */
    struct spinlock lock;
    bool removed;                        /* [q] */
    uint64_t bytes, number;              /* [q] of the messages that stand in it */
    uint64_t max_bytes;                  /* [q] */
    int last_sender, last_receiver;      /* [q] process numbers */
    ktime_t stime, rtime, ctime;         /* [q] real time; 0: never */
    struct list_node messages;           /* [q] */
    struct list_node receivers, senders; /* [q] msg_waiter */
};

#define MSG_WAITING 1 /* msg_waiter.status: it has not ended */

struct msg_waiter {
    struct list_node node;       /* [q] */
    struct thread *thread;       /* [I] */
    long type;                   /* [I] what a receiver wants, and the most it takes */
    int flags;                   /* [I] */
    int pid;                     /* [I] */
    size_t size_bytes;           /* [I] */
    struct msg_message *message; /* [q] what it was given; with MSG_COPY, where to */
    int status;                  /* [q] the result, once it is out of its list */
};

extern struct sysv_table msg_table;

static inline struct msg_queue *msg_queue_of(struct sysv_object *object)
{
    return container_of(object, struct msg_queue, object);
}
void msg_queue_put(struct msg_queue *queue);
/* Let all of a list of the queue go on with this result, in turns. */
void msg_wake_all(struct msg_queue *queue, struct list_node *waiters, int status);
