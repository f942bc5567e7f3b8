/*
 * System V message queues: sending and receiving.
 *
 * A receiver that waits is given its message by the sender: the message never stands in the queue, and nobody else can take it. A
 * sender that waits looks again itself when there is room.
 *
 * A queue may hold thousands of messages and of waiters. Who looks for a message lets go of the lock now and then, with a bookmark in the queue:
 * what comes meanwhile comes at the end, and is met. Many who wait are woken in turns; of the senders those who were woken see to the next
 * ones, when they have sent or have found no room.
 */
#include "kernel/core/time.h"
#include "kernel/ipc/msg_impl.h"
#include "kernel/mm/arena.h"

#define READABLE 0444u
#define WRITABLE 0222u

struct sysv_table msg_table = SYSV_TABLE_INIT("message queues");
struct msg_limits msg_limits = {.max_bytes = 8192, .queue_bytes = 16384, .queues = 32000};

/* ---- messages ---- */

struct msg_message *msg_create(long type, size_t size_bytes)
{
    struct msg_message *message = kvmalloc(sizeof(*message) + size_bytes);

    if (message != NULL) {
        message->type = type;
        message->size_bytes = size_bytes;
    }
    return message;
}

void msg_destroy(struct msg_message *message)
{
    kvfree(message);
}

/* ---- queues ---- */

void msg_queue_put(struct msg_queue *queue)
{
    struct msg_message *message, *next;

    if (refcount_put(&queue->refs)) {
        list_for_each_safe (message, next, &queue->messages, node) {
            msg_destroy(message);
        }
        kfree(queue);
    }
}

static int queue_get(int id, uint32_t rights, struct msg_queue **ret_queue)
{
    int err = -EINVAL;

    spin_lock(&msg_table.lock);
    struct sysv_object *object = sysv_find_locked(&msg_table, id);
    if (object != NULL) {
        err = sysv_permitted_locked(object, rights);
    }
    if (err == 0) {
        *ret_queue = msg_queue_of(object);
        refcount_get(&(*ret_queue)->refs);
    }
    spin_unlock(&msg_table.lock);
    return err;
}

static struct msg_queue *queue_create(int key, uint32_t mode)
{
    struct msg_queue *queue = kzalloc(sizeof(*queue));

    if (queue != NULL) {
        sysv_init(&queue->object, key, mode);
        refcount_init(&queue->refs, 1);
        spin_init(&queue->lock, "message queue");
        queue->max_bytes = atomic_load_relaxed(&msg_limits.queue_bytes);
        queue->ctime = ktime_realtime_coarse();
        list_init(&queue->messages);
        list_init(&queue->receivers);
        list_init(&queue->senders);
    }
    return queue;
}

static int get_existing_locked(int key, int flags)
{
    struct sysv_object *object;
    int err = sysv_find_key_locked(&msg_table, key, flags, &object);

    if (err == 0) {
        err = sysv_permitted_locked(object, (uint32_t)flags & SYSV_RIGHTS);
    }
    return err < 0 ? err : object->id;
}

int msg_get(int key, int flags)
{
    spin_lock(&msg_table.lock);
    int id = get_existing_locked(key, flags);
    spin_unlock(&msg_table.lock);
    if (id != -ENOENT || (key != IPC_PRIVATE && (flags & IPC_CREAT) == 0)) {
        return id;
    }
    struct msg_queue *queue = queue_create(key, (uint32_t)flags);
    if (queue == NULL) {
        return -ENOMEM;
    }
    spin_lock(&msg_table.lock);
    id = get_existing_locked(key, flags); /* made by somebody else meanwhile? */
    bool made = id == -ENOENT;
    if (made) {
        id =
            sysv_insert_locked(&msg_table, &queue->object, atomic_load_relaxed(&msg_limits.queues));
        made = id == 0;
        id = made ? queue->object.id : id;
    }
    spin_unlock(&msg_table.lock);
    if (!made) {
        msg_queue_put(queue);
    }
    return id;
}

/* ---- matching ---- */

/* Does a receiver of `type` with these flags take a message of this type? For a negative one the smallest is to be found besides. */
static bool type_matches(long type, int flags, long message_type)
{
    if (type == 0 || (flags & MSG_COPY) != 0) {
        return true;
    }
    if (type < 0) {
        return message_type <= -type;
    }
    return (message_type == type) != ((flags & MSG_EXCEPT) != 0);
}

/* So many messages are looked at, or waiters woken, at a time: preemption is off. */
#define LOOK_TURN 256u
#define WAKE_TURN 8u

/* A place in the queue, which no message has the type of. */
static bool is_bookmark(const struct msg_message *message)
{
    return message->type == 0;
}

/* Let others at the queue. The walk goes on at what stands behind `node` then. */
static struct list_node *look_pause(struct msg_queue *queue, struct list_node *node)
{
    struct msg_message here = {.type = 0};

    list_insert_before(node->next, &here.node);
    spin_unlock(&queue->lock);
    spin_lock(&queue->lock);
    node = here.node.next;
    list_remove(&here.node);
    return node;
}

/* The first one behind the bookmark, where `message` stood, which had this type: is it still that one? */
static bool stands_behind(const struct msg_queue *queue, const struct msg_message *bookmark,
                          const struct msg_message *message, long type)
{
    const struct list_node *node = bookmark->node.next;

    while (node != &queue->messages && is_bookmark(list_entry(node, struct msg_message, node))) {
        node = node->next;
    }
    return node == &message->node && message->type == type;
}

/* The first of the smallest type up to `most`; NULL: none, or it has been taken meanwhile, and *ret_again. */
static struct msg_message *find_smallest_locked(struct msg_queue *queue, long most, bool *ret_again)
{
    struct msg_message place = {.type = 0}, *best = NULL;
    long type = most;
    unsigned turn = 0;

    list_init(&place.node);
    for (struct list_node *node = queue->messages.next, *next; node != &queue->messages;
         node = next) {
        struct msg_message *message = list_entry(node, struct msg_message, node);
        if (!is_bookmark(message) &&
            (message->type < type || (best == NULL && message->type == type))) {
            list_remove(&place.node);
            list_insert_before(node, &place.node);
            best = message;
            type = message->type;
        }
        next = ++turn % LOOK_TURN == 0 ? look_pause(queue, node) : node->next;
    }
    *ret_again = best != NULL && !stands_behind(queue, &place, best, type);
    list_remove(&place.node);
    return *ret_again ? NULL : best;
}

/* The n-th with MSG_COPY, or the first that matches. NULL: none. */
static struct msg_message *find_first_locked(struct msg_queue *queue, long type, int flags)
{
    unsigned turn = 0;
    long nth = 0;

    for (struct list_node *node = queue->messages.next, *next; node != &queue->messages;
         node = next) {
        struct msg_message *message = list_entry(node, struct msg_message, node);
        if (!is_bookmark(message)) {
            bool copy = (flags & MSG_COPY) != 0;
            if (copy ? nth++ == type : type_matches(type, flags, message->type)) {
                return message;
            }
        }
        next = ++turn % LOOK_TURN == 0 ? look_pause(queue, node) : node->next;
    }
    return NULL;
}

/* The message that msgrcv(2) means. Lets the lock go and takes it again. NULL: there is none. */
static struct msg_message *find_message_locked(struct msg_queue *queue, long type, int flags)
{
    struct msg_message *message;
    bool again = true;

    if (type >= 0 || (flags & MSG_COPY) != 0) {
        return find_first_locked(queue, type, flags);
    }
    do {
        message = find_smallest_locked(queue, -type, &again);
    } while (again);
    return message;
}

/* ---- sleeping ---- */

static void finish_locked(struct msg_waiter *waiter, int status)
{
    list_remove(&waiter->node);
    waiter->status = status;
    (void)thread_wake(waiter->thread);
}

void msg_wake_all(struct msg_queue *queue, struct list_node *waiters, int status)
{
    struct list_node all = LIST_INIT(all), *node;
    unsigned turn = 0;

    spin_lock(&queue->lock);
    list_splice_back(&all, waiters); /* who comes back does so behind those */
    while ((node = list_first(&all)) != NULL) {
        finish_locked(list_entry(node, struct msg_waiter, node), status);
        if (++turn % WAKE_TURN == 0) {
            spin_unlock(&queue->lock);
            spin_lock(&queue->lock);
        }
    }
    spin_unlock(&queue->lock);
}

/*
 * Until somebody says how it ended, or a signal is pending: -ERESTARTNOHAND, as a handler ends the call whatever SA_RESTART says (signal(7)), and a
 * stop does not. Enters and leaves with queue->lock.
 */
static int wait_locked(struct msg_queue *queue, struct list_node *waiters,
                       struct msg_waiter *waiter)
{
    waiter->thread = current_thread();
    waiter->status = MSG_WAITING;
    list_push_back(waiters, &waiter->node);
    spin_unlock(&queue->lock);
    (void)thread_sleep_for(atomic_load_relaxed(&waiter->status) != MSG_WAITING, KTIME_MAX);
    spin_lock(&queue->lock);
    if (waiter->status == MSG_WAITING) {
        list_remove(&waiter->node);
        waiter->status = -ERESTARTNOHAND;
    }
    return waiter->status;
}

/* ---- msgsnd ---- */

/* Give the message to somebody who waits for it. Receivers for whom it is too long get -E2BIG and are passed over. */
static bool hand_over_locked(struct msg_queue *queue, struct msg_message *message)
{
    struct msg_waiter *waiter, *next;

    list_for_each_safe (waiter, next, &queue->receivers, node) {
        if (!type_matches(waiter->type, waiter->flags, message->type)) {
            continue;
        }
        if (message->size_bytes > waiter->size_bytes && (waiter->flags & MSG_NOERROR) == 0) {
            finish_locked(waiter, -E2BIG);
            continue;
        }
        waiter->message = message;
        queue->last_receiver = waiter->pid;
        queue->rtime = ktime_realtime_coarse();
        finish_locked(waiter, 0);
        return true;
    }
    return false;
}

static bool has_room(const struct msg_queue *queue, size_t size_bytes)
{
    return queue->bytes + size_bytes <= queue->max_bytes && queue->number < queue->max_bytes;
}

/* Let those senders look again for whom there is room now: some of them, who do the same in their turn. */
static void wake_senders_locked(struct msg_queue *queue)
{
    uint64_t bytes = queue->bytes;
    unsigned looks = 0, woken = 0;
    struct msg_waiter *waiter, *next;

    list_for_each_safe (waiter, next, &queue->senders, node) {
        if (queue->number + woken >= queue->max_bytes) {
            break;
        }
        if (bytes + waiter->size_bytes <= queue->max_bytes) {
            bytes += waiter->size_bytes;
            finish_locked(waiter, 0);
            woken++;
        }
        if (woken == WAKE_TURN || (woken > 0 && ++looks >= LOOK_TURN)) {
            break;
        }
    }
}

static int send_locked(struct msg_queue *queue, struct msg_message *message, int flags)
{
    struct msg_waiter waiter = {.size_bytes = message->size_bytes};

    for (;;) {
        if (queue->removed) {
            return -EIDRM;
        }
        if (has_room(queue, message->size_bytes)) {
            break;
        }
        if ((flags & IPC_NOWAIT) != 0) {
            return -EAGAIN;
        }
        if (waiter.thread != NULL) {
            wake_senders_locked(queue); /* it was woken for room that another one took */
        }
        int status = wait_locked(queue, &queue->senders, &waiter);
        if (status < 0) {
            return status;
        }
    }
    queue->last_sender = sysv_current_nr();
    queue->stime = ktime_realtime_coarse();
    if (!hand_over_locked(queue, message)) {
        list_push_back(&queue->messages, &message->node);
        queue->bytes += message->size_bytes;
        queue->number++;
    }
    if (unlikely(waiter.thread != NULL)) {
        wake_senders_locked(queue);
    }
    return 0;
}

int msg_send(int id, struct msg_message *message, int flags)
{
    struct msg_queue *queue;
    int err = queue_get(id, WRITABLE, &queue);

    if (err < 0) {
        return err;
    }
    spin_lock(&queue->lock);
    err = send_locked(queue, message, flags);
    spin_unlock(&queue->lock);
    msg_queue_put(queue);
    return err;
}

/* ---- msgrcv ---- */

/* Take the message out. */
static void take_locked(struct msg_queue *queue, struct msg_message *message)
{
    list_remove(&message->node);
    queue->bytes -= message->size_bytes;
    queue->number--;
    queue->last_receiver = sysv_current_nr();
    queue->rtime = ktime_realtime_coarse();
    wake_senders_locked(queue);
}

/* MSG_COPY: what is in a message, into one of the caller's. */
static int copy_locked(const struct msg_message *message, struct msg_message *copy)
{
    if (message->size_bytes > copy->size_bytes) {
        return -EINVAL;
    }
    copy->type = message->type;
    copy->size_bytes = message->size_bytes;
    memcpy(copy->text, message->text, message->size_bytes);
    return 0;
}

static int receive_locked(struct msg_queue *queue, struct msg_waiter *waiter)
{
    if (queue->removed) {
        return -EIDRM;
    }
    struct msg_message *message = find_message_locked(queue, waiter->type, waiter->flags);
    if (queue->removed) {
        return -EIDRM;
    }
    if (message == NULL) {
        if ((waiter->flags & IPC_NOWAIT) != 0) {
            return -ENOMSG;
        }
        return wait_locked(queue, &queue->receivers, waiter);
    }
    if (message->size_bytes > waiter->size_bytes && (waiter->flags & MSG_NOERROR) == 0) {
        return -E2BIG;
    }
    if ((waiter->flags & MSG_COPY) != 0) {
        return copy_locked(message, waiter->message);
    }
    take_locked(queue, message);
    waiter->message = message;
    return 0;
}

int msg_receive(int id, size_t size_bytes, long type, int flags, struct msg_message **ret_message)
{
    struct msg_waiter waiter = {
        .type = type, .flags = flags, .size_bytes = size_bytes, .pid = sysv_current_nr()};
    struct msg_queue *queue;

    if ((flags & MSG_COPY) != 0 && ((flags & MSG_EXCEPT) != 0 || (flags & IPC_NOWAIT) == 0)) {
        return -EINVAL;
    }
    int err = queue_get(id, READABLE, &queue);
    if (err < 0) {
        return err;
    }
    if (type == INT64_MIN) {
        waiter.type++; /* -type is to be a number */
    }
    if ((flags & MSG_COPY) != 0) {
        waiter.message =
            msg_create(1, MIN(size_bytes, (size_t)atomic_load_relaxed(&msg_limits.max_bytes)));
        if (waiter.message == NULL) {
            msg_queue_put(queue);
            return -ENOMEM;
        }
    }
    spin_lock(&queue->lock);
    err = receive_locked(queue, &waiter);
    spin_unlock(&queue->lock);
    msg_queue_put(queue);
    if (err == 0) {
        *ret_message = waiter.message;
    } else if ((flags & MSG_COPY) != 0) {
        msg_destroy(waiter.message);
    }
    return err;
}
