/*
 * POSIX message queues (mq_overview(7)). Each is a file of the one mqueue file system; a descriptor of it is what the calls take.
 *
 * Thread context, nothing held. User pointers are the callers' matter.
 */
#pragma once

#include <asm/siginfo.h>
#include <linux/mqueue.h>

#include "kernel/base/rbtree.h"
#include "kernel/sched/sched.h"
#include "kernel/vfs/file.h"

/* A message on its way; its text follows. The sender makes it, the receiver destroys it. */
struct mq_message {
    struct rb_node by_priority; /* [queue lock] of the oldest of its priority */
    struct list_node node;      /* [queue lock] a ring of those of its priority, by age */
    uint32_t priority;          /* [I] below MQ_PRIO_MAX */
    size_t size_bytes;          /* [I] */
    char text[];
};
/* NULL: no memory. */
struct mq_message *mq_message_create(uint32_t priority, size_t size_bytes);
void mq_message_destroy(struct mq_message *message);

/*
 * mq_open(3): `name` without its slash, `flags` as open(2)'s, `attr` for a new queue, NULL: the default. *ret_file has one reference.
 * -EACCES -EEXIST -EINVAL -EMFILE -ENOENT -ENOMEM -ENOSPC.
 */
int mq_open(const char *name, int flags, uint32_t mode, const struct mq_attr *attr,
            struct file **ret_file);
int mq_unlink(const char *name);
/*
 * Wait within the limit. Success takes the message over. -EAGAIN -EBADF -EMSGSIZE
 * -ERESTARTSYS -ETIMEDOUT -ENOMEM.
 */
int mq_send(struct file *file, struct mq_message *message, struct time_limit limit);
/* `size_bytes`: what the caller has room for: at least the queue's mq_msgsize. */
int mq_receive(struct file *file, size_t size_bytes, struct time_limit limit,
               struct mq_message **ret_message);
/* mq_notify(3): SIGEV_NONE, SIGEV_SIGNAL; NULL: no more. -EBADF -EBUSY -EINVAL. */
int mq_notify(struct file *file, const sigevent_t *event);
/* mq_getattr(3), and O_NONBLOCK of mq_setattr(3) when `attr` is given. -EBADF -EINVAL. */
int mq_get_set_attr(struct file *file, const struct mq_attr *attr, struct mq_attr *ret_old);
/* The most that may be sent, so that a call need not copy more. -EBADF. */
int mq_size_limit(struct file *file, size_t *ret_bytes);

/* /proc/sys/fs/mqueue. */
struct mq_limits {
    uint32_t queues;                  /* [a] queues_max */
    uint32_t messages, message_bytes; /* [a] msg_max, msgsize_max: of a queue of the unprivileged */
    uint32_t default_messages, default_bytes; /* [a] of a queue without attributes */
};
extern struct mq_limits mq_limits;
#define MQ_MESSAGES_MAX      65536u /* for the privileged too */
#define MQ_MESSAGE_BYTES_MAX (16u * 1024 * 1024)

/* RLIMIT_MSGQUEUE of the current process, set by kernel/proc; NULL: no limit. */
extern uint64_t (*mq_bytes_limit_hook)(void);
