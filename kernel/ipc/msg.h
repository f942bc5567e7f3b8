/*
 * System V message queues (sysvipc(7), msgget(2), msgop(2), msgctl(2)).
 *
 * Thread context, nothing held. User pointers are the callers' matter.
 */
#pragma once

#include <linux/msg.h>

#include "kernel/base/list.h"

/* A message on its way: its text follows in the same memory. The sender makes it, the receiver destroys it. */
struct msg_message {
    struct list_node node; /* the queue's */
    long type;             /* [I] more than 0 */
    size_t size_bytes;     /* [I] */
    char text[];
};
/* NULL: no memory. */
struct msg_message *msg_create(long type, size_t size_bytes);
void msg_destroy(struct msg_message *message);

/* msgget(2): the identifier, or -EACCES -EEXIST -ENOENT -ENOMEM -ENOSPC. */
int msg_get(int key, int flags);
/* msgsnd(2); success takes the message over. -EACCES -EAGAIN -EIDRM -EINVAL -ERESTARTNOHAND. */
int msg_send(int id, struct msg_message *message, int flags);
/*
 * msgrcv(2) of at most size_bytes; the message is the caller's, and may be longer with MSG_NOERROR. -E2BIG -EACCES -EIDRM -EINVAL -ERESTARTNOHAND
 * -ENOMEM -ENOMSG.
 */
int msg_receive(int id, size_t size_bytes, long type, int flags, struct msg_message **ret_message);

/* msgctl(2) by command. IPC_STAT, MSG_STAT (`id` is an index; returns the identifier), MSG_STAT_ANY. */
int msg_stat(int id, int cmd, struct msqid64_ds *ret_stat);
int msg_set(int id, const struct msqid64_ds *stat);
int msg_remove(int id);
/* IPC_INFO, MSG_INFO (`usage`): the limits, and what is in use; returns the highest index in use. */
int msg_info(bool usage, struct msginfo *ret_info);
/* The queue with the smallest index >= `index`, for /proc/sysvipc/msg; its index, or -ENOENT. */
int msg_next(unsigned index, struct msqid64_ds *ret_stat, int *ret_id);

/* /proc/sys/kernel/msg*. */
struct msg_limits {
    uint32_t max_bytes;   /* [a] msgmax: of one message */
    uint32_t queue_bytes; /* [a] msgmnb: of a new queue */
    uint32_t queues;      /* [a] msgmni */
};
extern struct msg_limits msg_limits;
