/*
 * What mqueue.c (queues) and mqueue_fs.c (their names) share.
 *
 * Locks: q queue->lock   d the directory's inode->lock   I immutable
 */
#pragma once

#include "kernel/ipc/mqueue.h"

struct mq_queue {
    struct inode inode;
    struct rb_node by_name; /* [d] in mqueuefs.names */
    uint64_t cookie;        /* [I] where readdir is behind it */
    char *name;             /* [I] */

    struct spinlock lock;
    uint32_t max_messages, max_bytes; /* [I] */
    uint32_t number;                  /* [q] of messages */
    uint64_t bytes;                   /* [q] their length, for read(2) */
    struct rb_root priorities;        /* [q] mq_message.by_priority */
    struct list_node senders,
        receivers; /* [q] mq_waiter, by the threads' priority, then in order */
    struct wait_queue poll;
    struct user *user;  /* [I] whose memory it is, referenced */
    uint64_t accounted; /* [I] bytes */

    struct pid *notify; /* [q] the process that wants to be told, referenced; NULL: none */
    sigevent_t event;   /* [q] how */
};

static inline struct mq_queue *mq_queue_of(struct inode *inode)
{
    return container_of(inode, struct mq_queue, inode);
}

extern const struct file_ops mq_fops;

/* A queue in a zeroed structure. -EINVAL: the attributes are not allowed; -EMFILE: too much memory of its user; -ENOMEM. */
int mq_queue_init(struct mq_queue *queue, const struct mq_attr *attr);
void mq_queue_fini(struct mq_queue *queue);
