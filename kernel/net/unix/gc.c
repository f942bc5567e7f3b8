/*
 * Local sockets that only each other's messages hold (unix(7), SCM_RIGHTS): a socket sent over itself and closed, or two sent over each
 * other. No descriptor leads to them, no reader will ever come, and their references never end. So they are looked for after a local
 * socket was closed while some are carried by messages.
 *
 * That takes as long as many are carried, by anybody: so a thread does it, which takes no more than a fifth of a CPU, and who closes a socket waits
 * for nothing. Who has as many files on their way as it may have waits for a collection before it is refused.
 *
 * A socket is a candidate when all references to its file are from messages. Of those, the ones in queues of candidates are taken off; a candidate
 * with some left is held by a message that somebody may read, and so is, transitively, what stands in its queue. What remains is garbage: its
 * messages with files are taken away, and the rest ends by itself.
 *
 * A connection that waits to be accepted belongs to the listening socket: its queue counts as that one's.
 *
 * Locking: gc_lock (mutex) over all of it, and over each change of what is carried. So who receives a socket waits for a collection to end before it
 * becomes a descriptor (unix_file_lands), and nobody reads from a candidate meanwhile. Who peeks at a message takes it too: else a socket might
 * come out of a queue, by a copied reference, between the moment its file and the moment its queue's owner were looked at.
 */
#include "kernel/core/panic.h"
#include "kernel/core/time.h"
#include "kernel/net/unix/unix.h"
#include "kernel/sched/wait.h"

#define PAUSE_FACTOR 4 /* times as long as it has worked */

static struct mutex gc_lock = MUTEX_INIT(gc_lock);
static struct list_node flying = LIST_INIT(flying); /* [gc_lock] struct unix_socket.flying */
static uint32_t nflying;                            /* [gc_lock, read by anybody] */

static struct wait_queue wanted_wait = WAIT_QUEUE_INIT(wanted_wait);
static struct wait_queue served_wait = WAIT_QUEUE_INIT(served_wait);
static uint32_t wanted; /* [a] collections that were asked for, wrapping */
static uint32_t served; /* [a] of those, how many are over; written by the thread */

enum { GC_NONE, GC_CANDIDATE, GC_REACHED };

static struct unix_socket *unix_of_file(const struct file *file)
{
    struct socket *socket = file_socket(file);

    return socket != NULL && socket->family->family == AF_UNIX ? unix_of(socket) : NULL;
}

void unix_file_flies(struct file *file)
{
    struct unix_socket *socket = unix_of_file(file);

    if (socket == NULL) {
        return;
    }
    mutex_lock(&gc_lock);
    if (socket->inflight++ == 0) {
        socket->gc_mark = GC_NONE;
        list_push_back(&flying, &socket->flying);
        WRITE_ONCE(nflying, nflying + 1);
    }
    mutex_unlock(&gc_lock);
}

void unix_file_lands(struct file *file)
{
    struct unix_socket *socket = unix_of_file(file);

    if (socket == NULL) {
        return;
    }
    mutex_lock(&gc_lock);
    if (--socket->inflight == 0) {
        list_remove(&socket->flying);
        WRITE_ONCE(nflying, nflying - 1);
    }
    mutex_unlock(&gc_lock);
}

struct file *unix_file_peek(struct file *file)
{
    if (unix_of_file(file) == NULL) {
        return file_get(file);
    }
    mutex_lock(&gc_lock);
    (void)file_get(file);
    mutex_unlock(&gc_lock);
    return file;
}

/* ---- collecting; gc_lock held ---- */

typedef void child_fn(struct unix_socket *child, struct list_node *list);

static void packet_children(struct packet *packet, child_fn *fn, struct list_node *list)
{
    struct file *file;

    for (unsigned i = 0; (file = unix_rights_file(packet, i)) != NULL; i++) {
        struct unix_socket *child = unix_of_file(file);
        if (child != NULL) {
            fn(child, list);
        }
    }
}

static void queue_children(struct unix_socket *socket, child_fn *fn, struct list_node *list)
{
    struct packet *packet;

    list_for_each (packet, &socket->queue, node) {
        if (unix_has_rights(packet)) {
            packet_children(packet, fn, list);
        }
    }
}

/* Each socket in a message that stands in the socket's queue, or in that of a connection waiting there. */
static void each_child(struct unix_socket *socket, child_fn *fn, struct list_node *list)
{
    struct unix_socket *embryo;

    unix_lock(socket);
    queue_children(socket, fn, list);
    list_for_each (embryo, &socket->embryos, embryo_node) {
        unix_lock(embryo);
        queue_children(embryo, fn, list);
        unix_unlock(embryo);
    }
    unix_unlock(socket);
}

static void child_explained(struct unix_socket *child, struct list_node *list)
{
    (void)list;
    if (child->gc_mark == GC_CANDIDATE) {
        child->unexplained--;
    }
}

static void child_reached(struct unix_socket *child, struct list_node *list)
{
    if (child->gc_mark == GC_CANDIDATE) {
        child->gc_mark = GC_REACHED;
        list_remove(&child->flying);
        list_push_back(list, &child->flying);
    }
}

/* Packets with files out of a queue. */
static void take_rights(struct unix_socket *socket, struct list_node *garbage)
{
    struct packet *packet, *next;

    list_for_each_safe (packet, next, &socket->queue, node) {
        if (unix_has_rights(packet)) {
            unix_queue_remove(socket, packet);
            list_push_back(garbage, &packet->node);
            if (socket->urgent == packet) {
                socket->urgent = NULL;
                packet_put(packet); /* not the last reference */
            }
        }
    }
}

static void take_garbage(struct unix_socket *socket, struct list_node *garbage)
{
    struct unix_socket *embryo;

    unix_lock(socket);
    take_rights(socket, garbage);
    list_for_each (embryo, &socket->embryos, embryo_node) {
        unix_lock(embryo);
        take_rights(embryo, garbage);
        unix_unlock(embryo);
    }
    unix_unlock(socket);
}

static void find_candidates(struct list_node *candidates)
{
    struct unix_socket *socket, *next;

    list_for_each_safe (socket, next, &flying, flying) {
        /* The messages' references keep the file there. */
        bool candidate = refcount_read(&socket->socket.file->refs) == socket->inflight;
        socket->gc_mark = candidate ? GC_CANDIDATE : GC_NONE;
        socket->unexplained = socket->inflight;
        if (candidate) {
            list_remove(&socket->flying);
            list_push_back(candidates, &socket->flying);
        }
    }
}

static void collect_locked(struct list_node *garbage)
{
    struct list_node candidates = LIST_INIT(candidates), reached = LIST_INIT(reached);
    struct unix_socket *socket, *next;

    find_candidates(&candidates);
    list_for_each (socket, &candidates, flying) {
        each_child(socket, child_explained, NULL);
    }
    list_for_each_safe (socket, next, &candidates, flying) {
        if (socket->unexplained > 0) {
            child_reached(socket, &reached);
        }
    }
    list_for_each (socket, &reached, flying) {
        each_child(socket, child_reached, &reached); /* the list grows at its end */
    }
    list_for_each (socket, &candidates, flying) {
        take_garbage(socket, garbage);
    }
    list_splice_back(&flying, &candidates);
    list_splice_back(&flying, &reached);
}

void unix_collect(void)
{
    struct list_node garbage = LIST_INIT(garbage);

    mutex_lock(&gc_lock);
    collect_locked(&garbage);
    mutex_unlock(&gc_lock);
    unix_free_packets(&garbage);
}

/* ---- the thread ---- */

/* A number that `served` reaches when what is garbage now has gone. */
static uint32_t want_collection(void)
{
    uint32_t ticket = atomic_fetch_add(&wanted, 1) + 1;

    wait_wake_one(&wanted_wait);
    return ticket;
}

void unix_collect_soon(void)
{
    if (unlikely(READ_ONCE(nflying) > 0)) {
        (void)want_collection();
    }
}

int unix_collect_wait(void)
{
    uint32_t ticket = want_collection();

    return wait_event_interruptible(&served_wait,
                                    (int32_t)(atomic_load_acquire(&served) - ticket) >= 0);
}

static void collector_main(void *arg)
{
    (void)arg;
    for (;;) {
        (void)wait_event_interruptible(&wanted_wait, atomic_load_relaxed(&wanted) != served);
        uint32_t ticket = atomic_load_acquire(&wanted);
        ktime_t start = ktime_now();
        unix_collect();
        atomic_store_release(&served, ticket);
        wait_wake_all(&served_wait, 0);
        (void)thread_sleep_until_interruptible(start + (PAUSE_FACTOR + 1) * (ktime_now() - start));
    }
}

void unix_collector_start(void)
{
    struct thread *thread = thread_create_kernel("unix_gc", collector_main, NULL);

    if (thread == NULL) {
        panic("net: no memory for the thread that looks for lost sockets");
    }
    thread_start(thread);
}
