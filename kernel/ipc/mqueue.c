/*
 * POSIX message queues: sending, receiving, being told.
 *
 * The oldest message of each priority stands in a tree, the others of that priority in a ring with it. A receiver that waits is given its message by the sender, and the
 * message of a sender that waits is put into the queue by the receiver that made room: so nobody who came later gets in between.
 */
#include "kernel/ipc/mqueue_impl.h"

#include <asm/poll.h>
#include <linux/capability.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/mm/arena.h"
#include "kernel/sched/pid.h"

#define WAITING     1 /* mq_waiter.status: it has not ended */
#define SIGNAL_LAST 64

/* What a message and its place in the tree are reckoned as, beside its bytes (mq_overview(7), RLIMIT_MSGQUEUE). */
#define MESSAGE_OVERHEAD 48u
#define LEVEL_OVERHEAD   48u

struct mq_waiter {
    struct list_node node;      /* [q] */
    struct thread *thread;      /* [I] */
    struct mq_message *message; /* [q] what it sends, or was given */
    int status;                 /* [q] the result, once it is out of its list */
};

uint64_t (*mq_bytes_limit_hook)(void);
struct mq_limits mq_limits = {
    .queues = 256,
    .messages = 10,
    .message_bytes = 8192,
    .default_messages = 10,
    .default_bytes = 8192,
};

struct mq_message *mq_message_create(uint32_t priority, size_t size_bytes)
{
    struct mq_message *message = kvmalloc(sizeof(*message) + size_bytes);

    if (message != NULL) {
        message->priority = priority;
        message->size_bytes = size_bytes;
    }
    return message;
}

void mq_message_destroy(struct mq_message *message)
{
    kvfree(message);
}

/* ---- queues ---- */

/* What the attributes of a new queue come to. -EINVAL. */
static int choose_attr(struct mq_queue *queue, const struct mq_attr *attr)
{
    bool privileged = current_has_cap(CAP_SYS_RESOURCE);
    long messages = privileged ? MQ_MESSAGES_MAX : atomic_load_relaxed(&mq_limits.messages);
    long bytes = privileged ? MQ_MESSAGE_BYTES_MAX : atomic_load_relaxed(&mq_limits.message_bytes);

    if (attr == NULL) {
        queue->max_messages =
            (uint32_t)MIN(messages, (long)atomic_load_relaxed(&mq_limits.default_messages));
        queue->max_bytes =
            (uint32_t)MIN(bytes, (long)atomic_load_relaxed(&mq_limits.default_bytes));
        return 0;
    }
    if (attr->mq_maxmsg <= 0 || attr->mq_maxmsg > messages || attr->mq_msgsize <= 0 ||
        attr->mq_msgsize > bytes) {
        return -EINVAL;
    }
    queue->max_messages = (uint32_t)attr->mq_maxmsg;
    queue->max_bytes = (uint32_t)attr->mq_msgsize;
    return 0;
}

/* Count the queue's memory, full, for the current user. -EMFILE. */
static int account(struct mq_queue *queue)
{
    uint64_t levels = MIN(queue->max_messages, (uint32_t)MQ_PRIO_MAX);
    uint64_t limit = mq_bytes_limit_hook == NULL ? UINT64_MAX : mq_bytes_limit_hook();
    struct user *user = cred_current()->user;

    queue->accounted = (uint64_t)queue->max_messages * (queue->max_bytes + MESSAGE_OVERHEAD) +
                       levels * LEVEL_OVERHEAD;
    if (atomic_fetch_add_relaxed(&user->mq_bytes, queue->accounted) + queue->accounted > limit) {
        (void)atomic_fetch_sub_relaxed(&user->mq_bytes, queue->accounted);
        return -EMFILE;
    }
    queue->user = user_get(user);
    return 0;
}

int mq_queue_init(struct mq_queue *queue, const struct mq_attr *attr)
{
    int err = choose_attr(queue, attr);

    if (err == 0) {
        err = account(queue);
    }
    if (err < 0) {
        return err;
    }
    spin_init(&queue->lock, "POSIX message queue");
    list_init(&queue->senders);
    list_init(&queue->receivers);
    wait_queue_init(&queue->poll);
    return 0;
}

/* ---- messages in the queue ---- */

static struct mq_message *message_of(struct rb_node *node)
{
    return rb_entry(node, struct mq_message, by_priority);
}

static void insert_locked(struct mq_queue *queue, struct mq_message *message)
{
    struct rb_node **link = &queue->priorities.node, *parent = NULL;

    queue->number++;
    queue->bytes += message->size_bytes;
    while (*link != NULL) {
        struct mq_message *oldest = message_of(*link);
        if (oldest->priority == message->priority) {
            list_push_back(&oldest->node, &message->node);
            return;
        }
        parent = *link;
        link = message->priority < oldest->priority ? &parent->left : &parent->right;
    }
    list_init(&message->node);
    rb_insert(&queue->priorities, &message->by_priority, parent, link);
}

/* The oldest message of the highest priority; there is one. */
static struct mq_message *take_locked(struct mq_queue *queue)
{
    struct mq_message *message = message_of(rb_last(&queue->priorities));

    queue->number--;
    queue->bytes -= message->size_bytes;
    if (list_empty(&message->node)) {
        rb_remove(&queue->priorities, &message->by_priority);
    } else {
        struct mq_message *next = list_entry(message->node.next, struct mq_message, node);
        list_remove(&message->node);
        rb_replace(&queue->priorities, &message->by_priority, &next->by_priority);
    }
    return message;
}

void mq_queue_fini(struct mq_queue *queue)
{
    if (queue->user == NULL) {
        return; /* it was not finished */
    }
    while (queue->number > 0) {
        mq_message_destroy(take_locked(queue));
    }
    pid_put(queue->notify);
    (void)atomic_fetch_sub_relaxed(&queue->user->mq_bytes, queue->accounted);
    user_put(queue->user);
}

/* ---- waiting ---- */

static void finish_locked(struct mq_waiter *waiter)
{
    list_remove(&waiter->node);
    waiter->status = 0;
    (void)thread_wake(waiter->thread);
}

static void enqueue_locked(struct list_node *waiters, struct mq_waiter *waiter)
{
    struct list_node *at = waiters;

    while (at->prev != waiters &&
           list_entry(at->prev, struct mq_waiter, node)->thread->prio > waiter->thread->prio) {
        at = at->prev;
    }
    list_push_back(at, &waiter->node); /* before it */
}

/* Until somebody did what the waiter wants. Enters and leaves with queue->lock. 0, -EAGAIN, -ERESTARTSYS, -ETIMEDOUT. */
static int wait_locked(struct mq_queue *queue, const struct file *file, struct list_node *waiters,
                       struct mq_waiter *waiter, struct time_limit limit)
{
    if ((atomic_load_relaxed(&file->flags) & O_NONBLOCK) != 0) {
        return -EAGAIN;
    }
    waiter->thread = current_thread();
    waiter->status = WAITING;
    enqueue_locked(waiters, waiter);
    spin_unlock(&queue->lock);
    int err = thread_sleep_within(atomic_load_relaxed(&waiter->status) != WAITING, limit);
    spin_lock(&queue->lock);
    if (waiter->status == WAITING) {
        list_remove(&waiter->node);
        waiter->status = err == -ETIMEDOUT ? err : -ERESTARTSYS;
    }
    return waiter->status;
}

/* ---- being told ---- */

/* A message came into the empty queue, and nobody waited for it: who wanted to know is told, once, by *ret_info if it has a signal. */
static struct pid *notify_locked(struct mq_queue *queue, siginfo_t *ret_info)
{
    struct pid *pid = queue->number == 1 ? queue->notify : NULL;

    if (pid != NULL) {
        queue->notify = NULL;
        memset(ret_info, 0, sizeof(*ret_info));
        ret_info->si_signo =
            queue->event.sigev_notify == SIGEV_SIGNAL ? queue->event.sigev_signo : 0;
        ret_info->si_code = SI_MESGQ;
        ret_info->si_value = queue->event.sigev_value;
        ret_info->si_pid = pid_nr(jobctl->current_process());
        ret_info->si_uid = cred_current()->uid;
    }
    return pid;
}

int mq_notify(struct file *file, const sigevent_t *event)
{
    struct pid *me = jobctl->current_process(), *old = NULL;
    int err = 0;

    if (event != NULL &&
        ((event->sigev_notify != SIGEV_NONE && event->sigev_notify != SIGEV_SIGNAL) ||
         (event->sigev_notify == SIGEV_SIGNAL &&
          (event->sigev_signo < 0 || event->sigev_signo > SIGNAL_LAST)))) {
        return -EINVAL;
    }
    if (file->fops != &mq_fops) {
        return -EBADF;
    }
    struct mq_queue *queue = mq_queue_of(file->inode);
    spin_lock(&queue->lock);
    if (event != NULL && queue->notify != NULL) {
        err = -EBUSY;
    } else if (event != NULL) {
        queue->notify = pid_get(me);
        queue->event = *event;
    } else if (queue->notify == me) {
        old = me;
        queue->notify = NULL;
    }
    spin_unlock(&queue->lock);
    pid_put(old);
    return err;
}

/* ---- sending and receiving ---- */

/* The queue of a descriptor that may be used so. */
static int queue_of(struct file *file, unsigned mode, struct mq_queue **ret_queue)
{
    if (file->fops != &mq_fops || (file->mode & mode) == 0) {
        return -EBADF;
    }
    *ret_queue = mq_queue_of(file->inode);
    return 0;
}

int mq_size_limit(struct file *file, size_t *ret_bytes)
{
    struct mq_queue *queue;
    int err = queue_of(file, FMODE_WRITE, &queue);

    if (err == 0) {
        *ret_bytes = queue->max_bytes;
    }
    return err;
}

int mq_send(struct file *file, struct mq_message *message, struct time_limit limit)
{
    struct mq_waiter call = {.message = message};
    struct pid *told = NULL;
    struct mq_queue *queue;
    siginfo_t info;
    int err = queue_of(file, FMODE_WRITE, &queue);

    if (err < 0) {
        return err;
    }
    if (message->size_bytes > queue->max_bytes) {
        return -EMSGSIZE;
    }
    spin_lock(&queue->lock);
    if (queue->number == queue->max_messages) {
        err = wait_locked(queue, file, &queue->senders, &call, limit);
    } else if (!list_empty(&queue->receivers)) {
        struct mq_waiter *receiver = list_entry(queue->receivers.next, struct mq_waiter, node);
        receiver->message = message;
        finish_locked(receiver);
    } else {
        insert_locked(queue, message);
        told = notify_locked(queue, &info);
    }
    spin_unlock(&queue->lock);
    if (told != NULL) {
        if (info.si_signo != 0) {
            (void)jobctl->signal_info(told, &info);
        }
        pid_put(told);
    }
    if (err == 0) {
        wait_wake_all(&queue->poll, POLLIN | POLLRDNORM);
    }
    return err;
}

int mq_receive(struct file *file, size_t size_bytes, struct time_limit limit,
               struct mq_message **ret_message)
{
    struct mq_waiter call = {0};
    struct mq_queue *queue;
    int err = queue_of(file, FMODE_READ, &queue);

    if (err < 0) {
        return err;
    }
    if (size_bytes < queue->max_bytes) {
        return -EMSGSIZE;
    }
    spin_lock(&queue->lock);
    if (queue->number == 0) {
        err = wait_locked(queue, file, &queue->receivers, &call, limit);
    } else {
        call.message = take_locked(queue);
        if (!list_empty(&queue->senders)) {
            struct mq_waiter *sender = list_entry(queue->senders.next, struct mq_waiter, node);
            insert_locked(queue, sender->message);
            finish_locked(sender);
        }
    }
    spin_unlock(&queue->lock);
    if (err == 0) {
        wait_wake_all(&queue->poll, POLLOUT | POLLWRNORM);
        *ret_message = call.message;
    }
    return err;
}

/* ---- the descriptor ---- */

int mq_get_set_attr(struct file *file, const struct mq_attr *attr, struct mq_attr *ret_old)
{
    if (file->fops != &mq_fops) {
        return -EBADF;
    }
    if (attr != NULL && (attr->mq_flags & ~(long)O_NONBLOCK) != 0) {
        return -EINVAL;
    }
    struct mq_queue *queue = mq_queue_of(file->inode);
    spin_lock(&queue->lock);
    *ret_old = (struct mq_attr){
        .mq_flags = atomic_load_relaxed(&file->flags) & O_NONBLOCK,
        .mq_maxmsg = queue->max_messages,
        .mq_msgsize = queue->max_bytes,
        .mq_curmsgs = queue->number,
    };
    if (attr != NULL && (attr->mq_flags & O_NONBLOCK) != 0) {
        (void)__atomic_fetch_or(&file->flags, O_NONBLOCK, __ATOMIC_RELAXED);
    } else if (attr != NULL) {
        (void)__atomic_fetch_and(&file->flags, ~(uint32_t)O_NONBLOCK, __ATOMIC_RELAXED);
    }
    spin_unlock(&queue->lock);
    return 0;
}

/* What a queue tells of itself (mq_overview(7), "Mounting the message queue filesystem"). */
static ssize_t mq_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    struct mq_queue *queue = mq_queue_of(file->inode);
    char text[80];

    spin_lock(&queue->lock);
    int notify = queue->notify == NULL ? 0 : queue->event.sigev_notify;
    int signo = queue->notify == NULL || notify != SIGEV_SIGNAL ? 0 : queue->event.sigev_signo;
    int len =
        kscnprintf(text, sizeof(text), "QSIZE:%-10llu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
                   (unsigned long long)queue->bytes, notify, signo, pid_nr(queue->notify));
    spin_unlock(&queue->lock);
    if (*pos < 0 || *pos >= len) {
        return 0;
    }
    size_t n = iov_copy_to(to, text + *pos, MIN(to->count, (size_t)(len - *pos)));
    *pos += (loff_t)n;
    return n == 0 ? -EFAULT : (ssize_t)n;
}

static uint32_t mq_poll(struct file *file, struct poll_table *table)
{
    struct mq_queue *queue = mq_queue_of(file->inode);
    uint32_t events = 0;

    poll_wait(table, &queue->poll);
    spin_lock(&queue->lock);
    if (queue->number > 0) {
        events |= POLLIN | POLLRDNORM;
    }
    if (queue->number < queue->max_messages) {
        events |= POLLOUT | POLLWRNORM;
    }
    spin_unlock(&queue->lock);
    return events;
}

/* mq_close(3): the process that closes a descriptor is not told any more. */
static int mq_flush(struct file *file)
{
    struct mq_queue *queue = mq_queue_of(file->inode);
    struct pid *me = jobctl->current_process(), *old = NULL;

    spin_lock(&queue->lock);
    if (me != NULL && queue->notify == me) {
        old = me;
        queue->notify = NULL;
    }
    spin_unlock(&queue->lock);
    pid_put(old);
    return 0;
}

const struct file_ops mq_fops = {
    .read = mq_read, .poll = mq_poll, .flush = mq_flush, .llseek = generic_file_llseek};
