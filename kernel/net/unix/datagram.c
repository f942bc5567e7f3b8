/*
 * Local sockets that keep messages apart (unix(7)): SOCK_DGRAM, to whom it may concern, and SOCK_SEQPACKET, over a connection.
 *
 * A message is one packet in the receiver's queue. Two things bound how many there are: what the sender may have on its way (SO_SNDBUF), and,
 * unless the receiver talks to that sender alone, how many stand there (max_dgram_qlen). Who finds a queue too long waits in the receiver's
 * room_wait. poll(2) of a sender cannot wait there, as the receiver may go away: the sender's own `relay` hangs there instead, and tells write_wait.
 *
 * Receivers take a packet off and have it alone, so they need no more than the queue's lock for that moment; only files in a packet that
 * another may be peeking at are taken out under read_lock.
 */
#include "kernel/net/unix/unix.h"

#define PACKET_OVERHEAD 32u /* of SO_SNDBUF, that a message cannot have */

/* ---- waiting for the receiver ---- */

static bool relay_wake(struct waiter *waiter, uint32_t key)
{
    struct unix_socket *socket = container_of(waiter, struct unix_socket, relay);

    socket_wake_one(&socket->socket.write_wait, key);
    return true;
}

/* Be told when the peer has room again. Socket lock held. */
static void relay_start(struct unix_socket *socket)
{
    if (socket->relay_on == NULL) {
        socket->relay_on = socket->peer;
        waiter_init_fn(&socket->relay, relay_wake);
        wait_add(&socket->peer->room_wait, &socket->relay);
    }
}

void unix_relay_stop(struct unix_socket *socket, bool tell)
{
    if (socket->relay_on != NULL) {
        wait_remove(&socket->relay_on->room_wait, &socket->relay);
        socket->relay_on = NULL;
        if (tell) {
            socket_wake_one(&socket->socket.write_wait, SOCKET_POLLOUT);
        }
    }
}

/* Is the queue of `to` too long for more from us? */
static bool queue_is_full(const struct unix_socket *from, const struct unix_socket *to)
{
    return to != from && READ_ONCE(to->peer) != from && unix_is_full(to);
}

/* Is there no room at the peer? Then the relay is on. */
static bool peer_is_full(struct unix_socket *socket)
{
    bool full = false;

    unix_lock(socket);
    if (socket->peer != NULL && queue_is_full(socket, socket->peer)) {
        relay_start(socket);
        atomic_fence(); /* pairs with the receiver, who takes a packet off and looks for waiters */
        full = queue_is_full(socket, socket->peer);
    }
    unix_unlock(socket);
    return full;
}

/* ---- sending ---- */

/* 0: it stands in the queue; -EAGAIN: too many do; or why it does not. The packet stays the caller's then. */
static int deliver(struct unix_socket *from, struct unix_socket *to, struct packet *packet)
{
    int err = 0;

    unix_lock(to);
    if (unlikely(to->peer != NULL && to->peer != from)) {
        err = -EPERM; /* it talks to somebody else */
    } else if (unlikely(to->dead)) {
        err = -ECONNREFUSED;
    } else if (unlikely((to->socket.shutdown & SHUTDOWN_RECEIVE) != 0)) {
        err = -EPIPE;
    } else if (unlikely(queue_is_full(from, to))) {
        err = -EAGAIN;
    } else {
        if (unlikely(socket_has_option(&to->socket, SOCKET_TIMESTAMP))) {
            packet->time = ktime_realtime();
        }
        unix_queue_push(to, packet);
    }
    unix_unlock(to);
    if (likely(err == 0)) {
        socket_tell_reader(&to->socket);
    }
    return err;
}

static bool room_or_gone(const struct unix_socket *from, const struct unix_socket *to)
{
    return !queue_is_full(from, to) || READ_ONCE(to->dead) ||
           (atomic_load_relaxed(&to->socket.shutdown) & SHUTDOWN_RECEIVE) != 0;
}

/* Deliver, and wait for room if that may be. */
static int deliver_wait(struct unix_socket *from, struct unix_socket *to, struct packet *packet,
                        bool nonblock)
{
    ktime_t deadline = 0;
    int waited = 0, err;

    for (;;) {
        err = deliver(from, to, packet);
        if (likely(err != -EAGAIN) || waited < 0) {
            break;
        }
        if (nonblock) {
            /* Who polls the peer's room from now on hears of it. */
            if (READ_ONCE(from->peer) != to || peer_is_full(from)) {
                break;
            }
            continue;
        }
        deadline = deadline != 0 ? deadline : socket_deadline(&from->socket.send_timeout);
        waited = socket_wait(&to->room_wait, room_or_gone(from, to), deadline);
    }
    if (deadline != 0 && !unix_is_full(to)) {
        socket_wake_one(&to->room_wait, SOCKET_POLLOUT);
    }
    return err == -EAGAIN && waited < 0 ? waited : err;
}

/* Whom a message goes to, referenced. */
static int datagram_target(struct unix_socket *from, const struct message *message,
                           struct unix_socket **ret_to)
{
    if (message->name_len != 0) {
        return unix_find((const struct sockaddr *)message->name, message->name_len,
                         socket_type(&from->socket), ret_to);
    }
    unix_lock(from);
    *ret_to = unix_get(from->peer);
    unix_unlock(from);
    return *ret_to != NULL ? 0 : -ECONNRESET;
}

/* What can be said before there is a packet. */
static int datagram_check(struct unix_socket *from, const struct message *message)
{
    if (unlikely((message->flags & MSG_OOB) != 0)) {
        return -EOPNOTSUPP;
    }
    if (unlikely(message->name_len != 0)) {
        const struct sockaddr *name = (const struct sockaddr *)message->name;
        if (message->name_len <= UNIX_PATH_OFFSET ||
            message->name_len > UNIX_PATH_OFFSET + UNIX_NAME_MAX || name->sa_family != AF_UNIX) {
            return -EINVAL;
        }
    } else if (unlikely(READ_ONCE(from->peer) == NULL)) {
        return -ENOTCONN;
    }
    if (unlikely(socket_has_option(&from->socket, SOCKET_PASSCRED))) {
        int err = unix_autobind(from);
        if (err < 0) {
            return err;
        }
    }
    return message->data->count > atomic_load_relaxed(&from->socket.send_limit) - PACKET_OVERHEAD
               ? -EMSGSIZE
               : 0;
}

static int datagram_send(struct unix_socket *from, struct message *message,
                         struct unix_control *control)
{
    bool nonblock = (message->flags & MSG_DONTWAIT) != 0;
    struct unix_socket *to;
    struct packet *packet;

    int err = datagram_check(from, message);
    if (likely(err == 0)) {
        err = socket_wait_room(&from->socket, nonblock);
    }
    if (likely(err == 0)) {
        err = packet_from_iov(message->data, (uint32_t)message->data->count, &packet);
    }
    if (unlikely(err < 0)) {
        return err;
    }
    socket_charge_packet(&from->socket, packet);
    err = datagram_target(from, message, &to);
    if (likely(err == 0)) {
        unix_control_attach(packet, control, from, to);
        err = deliver_wait(from, to, packet, nonblock);
        if (unlikely(err == -ECONNREFUSED) && message->name_len == 0) {
            if (unix_is_connection(from)) {
                err = -EPIPE;
            } else {
                unix_disconnect_dead(from, to);
            }
        }
        unix_put(to);
    }
    if (unlikely(err < 0)) {
        packet_put(packet);
    }
    return err;
}

ssize_t unix_datagram_send(struct socket *socket, struct message *message)
{
    struct unix_control control = {0};
    size_t len = message->data->count;

    if (unlikely(message->control.left != 0)) {
        int err = unix_control_parse(message, &control);
        if (err < 0) {
            return err;
        }
    }
    int err = datagram_send(unix_of(socket), message, &control);
    if (unlikely(control.credentials || control.rights != NULL)) {
        unix_control_drop(&control);
    }
    return likely(err == 0) ? (ssize_t)len : err;
}

ssize_t unix_seqpacket_send(struct socket *socket, struct message *message)
{
    int err = socket_take_error(socket);

    if (unlikely(err < 0)) {
        return err;
    }
    if (unlikely(READ_ONCE(unix_of(socket)->state) != UNIX_CONNECTED)) {
        return -ENOTCONN;
    }
    message->name_len = 0;
    return unix_datagram_send(socket, message);
}

/* ---- receiving ---- */

/*
 * The packet to read, ours alone; or to peek at, referenced, with *skip bytes of it to leave out. NULL: none. With an offset an empty packet is
 * peeked at once: nothing else would lead past it.
 */
static struct packet *datagram_next(struct unix_socket *socket, bool peek, int offset,
                                    uint32_t *skip)
{
    struct packet *packet, *found = NULL;

    *skip = (uint32_t)MAX(offset, 0);
    unix_lock(socket);
    list_for_each (packet, &socket->queue, node) {
        if (unlikely(offset >= 0) && *skip >= packet->len && (*skip > 0 || packet->peeked)) {
            *skip -= packet->len;
            continue;
        }
        found = packet;
        break;
    }
    if (found != NULL && !peek) {
        unix_queue_remove(socket, found);
    } else if (found != NULL) {
        found->peeked = true;
        (void)packet_get(found);
    }
    unix_unlock(socket);
    return found;
}

static bool datagram_or_end(const struct unix_socket *socket, uint32_t arrived)
{
    return READ_ONCE(socket->arrived) != arrived ||
           atomic_load_relaxed(&socket->socket.error) != 0 ||
           (atomic_load_relaxed(&socket->socket.shutdown) & SHUTDOWN_RECEIVE) != 0;
}

/* Nothing is there, or only what an offset leaves out: why, 0 at the end, 1: look again. */
static int datagram_wait(struct unix_socket *socket, bool nonblock, uint32_t arrived,
                         ktime_t *deadline)
{
    bool ended = (atomic_load_acquire(&socket->socket.shutdown) & SHUTDOWN_RECEIVE) != 0;

    if (ended && READ_ONCE(socket->arrived) != arrived) {
        return 1;
    }
    if (ended && (!nonblock || unix_is_connection(socket))) {
        return 0;
    }
    if (nonblock) {
        return -EAGAIN;
    }
    if (*deadline == 0) {
        *deadline = socket_deadline(&socket->socket.receive_timeout);
    } else if (unlikely(READ_ONCE(socket->queued) != 0)) {
        socket_wake_reader(&socket->socket); /* what woke us is not for us */
    }
    int err = socket_wait(&socket->socket.read_wait, datagram_or_end(socket, arrived), *deadline);
    return err < 0 ? err : 1;
}

/* Wait for a packet. 0 and NULL: the end. */
static int datagram_take(struct unix_socket *socket, const struct message *message, uint32_t *skip,
                         struct packet **ret_packet)
{
    bool peek = (message->flags & MSG_PEEK) != 0, nonblock = (message->flags & MSG_DONTWAIT) != 0;
    ktime_t deadline = 0;
    int result;

    do {
        uint32_t arrived = READ_ONCE(socket->arrived);
        int offset = peek ? atomic_load_relaxed(&socket->peek_offset) : -1;
        result = socket_take_error(&socket->socket);
        if (unlikely(result < 0)) {
            break;
        }
        *ret_packet = datagram_next(socket, peek, offset, skip);
        if (likely(*ret_packet != NULL)) {
            result = 0;
            break;
        }
        result = datagram_wait(socket, nonblock, arrived, &deadline);
    } while (result > 0);
    if (unlikely(deadline != 0) && READ_ONCE(socket->queued) != 0) {
        socket_wake_reader(&socket->socket); /* we slept alone, and leave something */
    }
    return result;
}

static void peek_offset_move(struct unix_socket *socket, int bytes)
{
    int offset = atomic_load_relaxed(&socket->peek_offset);

    if (unlikely(offset >= 0)) {
        atomic_store_relaxed(&socket->peek_offset, MAX(offset + bytes, 0));
    }
}

/* What the packet carries besides bytes. */
static void datagram_tell(struct unix_socket *socket, struct message *message,
                          struct packet *packet)
{
    unix_tell_name(message, packet->sender);
    control_put_time(&socket->socket, message, packet);
    if (socket_has_option(&socket->socket, SOCKET_PASSCRED)) {
        struct ucred cred;
        unix_credentials_of(packet, &cred);
        unix_tell_credentials(socket, message, &cred);
    }
    if (unlikely(packet->destroy != NULL)) {
        mutex_lock(&socket->read_lock);
        if (unix_has_rights(packet)) {
            unix_tell_rights(message, packet, (message->flags & MSG_PEEK) != 0);
        }
        mutex_unlock(&socket->read_lock);
    }
}

ssize_t unix_datagram_receive(struct socket *socket, struct message *message)
{
    struct unix_socket *of = unix_of(socket);
    bool peek = (message->flags & MSG_PEEK) != 0;
    struct packet *packet = NULL;
    uint32_t skip;

    message->name_len = 0;
    if (unlikely((message->flags & MSG_OOB) != 0)) {
        return -EOPNOTSUPP;
    }
    int err = datagram_take(of, message, &skip, &packet);
    if (unlikely(err < 0 || packet == NULL)) {
        return err;
    }
    if (!peek) {
        socket_wake_one(&of->room_wait, SOCKET_POLLOUT);
    }
    size_t len = packet->len - skip, size = MIN(message->data->count, len);
    if (unlikely(size < len)) {
        message->result |= MSG_TRUNC;
    }
    if (unlikely(packet_copy_to(packet, skip, message->data, size) < size)) {
        packet_put(packet);
        return -EFAULT;
    }
    peek_offset_move(of, peek ? (int)size : -(int)packet->len);
    datagram_tell(of, message, packet);
    packet_put(packet);
    return (ssize_t)((message->flags & MSG_TRUNC) != 0 ? len : size);
}

ssize_t unix_seqpacket_receive(struct socket *socket, struct message *message)
{
    if (unlikely(READ_ONCE(unix_of(socket)->state) != UNIX_CONNECTED)) {
        return -ENOTCONN;
    }
    return unix_datagram_receive(socket, message);
}

/* ---- readiness ---- */

uint32_t unix_datagram_poll(struct socket *socket, struct poll_table *table)
{
    struct unix_socket *of = unix_of(socket);

    socket_poll_wait(socket, table);
    uint32_t mask = socket_poll_state(socket, READ_ONCE(of->queued) != 0);
    if (unix_is_connection(of) && READ_ONCE(of->state) == UNIX_UNCONNECTED) {
        mask |= POLLHUP;
    }
    if (!socket_poll_wants(table, SOCKET_POLLOUT)) {
        return mask; /* asking after the peer's room is not for nothing */
    }
    if (READ_ONCE(of->state) != UNIX_LISTENING && socket_has_room(socket) &&
        (READ_ONCE(of->peer) == NULL || !peer_is_full(of))) {
        mask |= SOCKET_POLLOUT;
    }
    return mask;
}
