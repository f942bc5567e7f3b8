/*
 * Local stream sockets (unix(7)): bytes in order, and marks between them.
 *
 * What is sent stands in the receiver's queue in packets; a reader takes bytes off the oldest ones with read_lock held, so that only one takes
 * at a time, while senders hang more in behind. Bytes that carry files end a read, and where the receiver wants credentials, bytes of
 * another sender do.
 *
 * The urgent byte (MSG_OOB) is a packet like others that `urgent` points at besides. A read stops before it; the next one steps over it.
 * Taken by recv(MSG_OOB) it stays where it was, with nothing in it, as a mark.
 */
#include <asm/signal.h>

#include "kernel/net/unix/unix.h"

/* ---- sending ---- */

/* Into the peer's queue; the packet is the callee's. -EPIPE: nobody will read it. */
static int stream_push(struct unix_socket *to, struct packet *packet, bool urgent)
{
    struct packet *old = NULL;

    unix_lock(to);
    if (unlikely(to->dead || (to->socket.shutdown & SHUTDOWN_RECEIVE) != 0)) {
        unix_unlock(to);
        packet_put(packet);
        return -EPIPE;
    }
    unix_queue_push(to, packet);
    if (unlikely(urgent)) {
        old = to->urgent;
        to->urgent = packet_get(packet);
        if (to->socket.file != NULL) {
            file_tell_urgent(to->socket.file); /* it cannot go while we hold the lock */
        }
    }
    unix_unlock(to);
    packet_put(old);
    socket_tell_reader(&to->socket);
    if (unlikely(urgent)) {
        wait_wake_all(&to->socket.read_wait, POLLPRI);
    }
    return 0;
}

/* Send the next `len` bytes at most, as one packet. Their number, or an error. */
static ssize_t stream_send_packet(struct unix_socket *from, struct unix_socket *to,
                                  struct message *message, struct unix_control *control, size_t len,
                                  bool urgent)
{
    uint32_t limit = atomic_load_relaxed(&from->socket.send_limit);
    struct packet *packet;

    int err = socket_wait_room(&from->socket, (message->flags & MSG_DONTWAIT) != 0);
    if (unlikely(err < 0)) {
        return err;
    }
    limit = MIN(limit / 2 - 64, PACKET_STREAM_MAX);
    len = MIN(len, (size_t)limit);
    err = packet_from_iov(message->data, (uint32_t)len, &packet);
    if (unlikely(err < 0)) {
        return err;
    }
    socket_charge_packet(&from->socket, packet);
    unix_control_attach(packet, control, from, to);
    err = stream_push(to, packet, urgent);
    return err < 0 ? err : (ssize_t)len;
}

static ssize_t stream_send(struct unix_socket *from, struct message *message,
                           struct unix_control *control)
{
    size_t total = message->data->count, done = 0;
    bool urgent = (message->flags & MSG_OOB) != 0;
    ssize_t sent = 0;

    if (unlikely(urgent && total == 0)) {
        return -EOPNOTSUPP;
    }
    if (unlikely(message->name_len != 0)) {
        return READ_ONCE(from->state) == UNIX_CONNECTED ? -EISCONN : -EOPNOTSUPP;
    }
    struct unix_socket *to = atomic_load_acquire(&from->peer);
    if (unlikely(to == NULL)) {
        return -ENOTCONN;
    }
    if (unlikely((atomic_load_relaxed(&from->socket.shutdown) & SHUTDOWN_SEND) != 0)) {
        return -EPIPE;
    }
    while (sent >= 0 && done < total) {
        /* The last byte of what is urgent goes alone. */
        bool last = urgent && done == total - 1;
        sent = stream_send_packet(from, to, message, control,
                                  total - done - (urgent && !last ? 1 : 0), last);
        done += sent > 0 ? (size_t)sent : 0;
    }
    return done > 0 ? (ssize_t)done : sent;
}

ssize_t unix_stream_send(struct socket *socket, struct message *message)
{
    struct unix_control control = {0};

    if (unlikely(message->control.left != 0)) {
        int err = unix_control_parse(message, &control);
        if (err < 0) {
            return err;
        }
    }
    ssize_t result = stream_send(unix_of(socket), message, &control);
    if (unlikely(control.credentials || control.rights != NULL)) {
        unix_control_drop(&control);
    }
    if (unlikely(result == -EPIPE) && (message->flags & MSG_NOSIGNAL) == 0) {
        file_signal_current(SIGPIPE);
    }
    return result;
}

/* ---- receiving ---- */

struct stream_read {
    struct unix_socket *socket;
    struct message *message;
    bool peek;
    bool told;            /* name and credentials */
    struct ucred cred;    /* of the first packet */
    size_t done;          /* bytes */
    size_t skip;          /* peek: bytes of the current packet that are not wanted */
    struct packet *after; /* peek: the last one looked at */
    uint32_t arrived;     /* what had come when nothing was found */
};

/* The packet behind `after`, or the oldest. */
static struct packet *packet_behind(const struct unix_socket *socket, const struct packet *after)
{
    const struct list_node *node = after == NULL ? atomic_load_acquire(&socket->queue.next)
                                                 : atomic_load_acquire(&after->node.next);

    return node == &socket->queue ? NULL
                                  : list_entry((struct list_node *)node, struct packet, node);
}

static void queue_drop(struct unix_socket *socket, struct packet *packet)
{
    unix_lock(socket);
    unix_queue_remove(socket, packet);
    unix_unlock(socket);
    packet_put(packet);
}

/* The urgent byte is read as if it were none (SO_OOBINLINE), or stepped over: what is urgent stands in the queue. */
static void urgent_forget(struct unix_socket *socket, struct packet *packet)
{
    unix_lock(socket);
    if (socket->urgent == packet) {
        socket->urgent = NULL;
    } else {
        packet = NULL;
    }
    unix_unlock(socket);
    packet_put(packet);
}

/*
 * The next packet with bytes for this read. NULL: none is there, or, with *ret_stop, none shall be taken by this one. read_lock held.
 */
static struct packet *stream_next(struct stream_read *read, bool *ret_stop)
{
    struct unix_socket *socket = read->socket;
    struct packet *packet;

    read->arrived = READ_ONCE(socket->arrived);
    while ((packet = packet_behind(socket, read->after)) != NULL) {
        bool urgent = unlikely(READ_ONCE(socket->urgent) == packet);
        if (likely(!urgent && packet->len > read->skip)) {
            return packet;
        }
        bool stop = (urgent || packet->len == 0) && read->done > 0;
        if (stop) {
            *ret_stop = true;
            return NULL;
        }
        if (urgent && !read->peek) {
            urgent_forget(socket, packet);
        }
        if (urgent && packet->len > read->skip &&
            socket_has_option(&socket->socket, SOCKET_OOBINLINE)) {
            return packet;
        }
        if (read->peek) {
            read->skip -= MIN(read->skip, (size_t)packet->len);
            read->after = packet;
        } else {
            queue_drop(socket, packet);
        }
    }
    return NULL;
}

/* First bytes: whose they are. False: they are of another sender than those before. */
static bool stream_same_sender(struct stream_read *read, struct packet *packet)
{
    if (likely(!socket_has_option(&read->socket->socket, SOCKET_PASSCRED))) {
        if (!read->told) {
            read->told = true;
            unix_tell_name(read->message, packet->sender);
        }
        return true;
    }
    struct ucred cred;
    unix_credentials_of(packet, &cred);
    if (!read->told) {
        read->told = true;
        read->cred = cred;
        unix_tell_name(read->message, packet->sender);
        unix_tell_credentials(read->socket, read->message, &cred);
        return true;
    }
    return cred.pid == read->cred.pid && cred.uid == read->cred.uid && cred.gid == read->cred.gid;
}

static void peek_offset_add(struct unix_socket *socket, ssize_t bytes)
{
    int offset = atomic_load_relaxed(&socket->peek_offset);

    if (unlikely(offset >= 0)) {
        atomic_store_relaxed(&socket->peek_offset, (int)MAX(offset + bytes, (ssize_t)0));
    }
}

/* Copy from a packet. 1: go on; 0: this read is over; -EFAULT. */
static int stream_take(struct stream_read *read, struct packet *packet)
{
    struct unix_socket *socket = read->socket;
    size_t want = MIN(read->message->data->count, packet->len - read->skip);
    size_t got = packet_copy_to(packet, (uint32_t)read->skip, read->message->data, want);
    bool rights = unix_has_rights(packet);

    if (unlikely(got == 0 && want > 0)) {
        return -EFAULT;
    }
    read->done += got;
    if (unlikely(rights)) {
        if (!read->peek) { /* they leave the queue, though the packet may stay */
            (void)atomic_fetch_sub_relaxed(&socket->nrights, unix_rights_count(packet));
        }
        unix_tell_rights(read->message, packet, read->peek);
    }
    if (unlikely(read->peek)) {
        peek_offset_add(socket, (ssize_t)got);
        read->skip = 0;
        read->after = packet;
    } else {
        peek_offset_add(socket, -(ssize_t)got);
        packet_pull(packet, (uint32_t)got);
        if (packet->len > 0) {
            return 0;
        }
        queue_drop(socket, packet);
    }
    return got == want && !rights && read->message->data->count > 0;
}

/* Nothing is there: 0 when something may be, 1 at the end, or an error. read_lock held, and released meanwhile. */
static int stream_wait(struct stream_read *read, ktime_t *deadline)
{
    struct unix_socket *socket = read->socket;
    bool ended = (atomic_load_acquire(&socket->socket.shutdown) & SHUTDOWN_RECEIVE) != 0;

    if (unlikely(ended || atomic_load_acquire(&socket->socket.error) != 0)) {
        if (READ_ONCE(socket->arrived) != read->arrived) {
            return 0; /* what was sent before the end */
        }
        int error = socket_take_error(&socket->socket);
        return error < 0 ? error : ended;
    }
    if ((read->message->flags & MSG_DONTWAIT) != 0) {
        return -EAGAIN;
    }
    mutex_unlock(&socket->read_lock);
    if (*deadline == 0) {
        *deadline = socket_deadline(&socket->socket.receive_timeout);
    } else if (unlikely(read->peek)) {
        socket_wake_reader(&socket->socket); /* what woke us lies before our offset */
    }
    int err =
        socket_wait(&socket->socket.read_wait,
                    READ_ONCE(socket->arrived) != read->arrived ||
                        atomic_load_relaxed(&socket->socket.error) != 0 ||
                        (atomic_load_relaxed(&socket->socket.shutdown) & SHUTDOWN_RECEIVE) != 0,
                    *deadline);
    mutex_lock(&socket->read_lock);
    return err;
}

/* read_lock held. 0: enough, or the end. */
static int stream_read(struct stream_read *read, size_t target, ktime_t *deadline)
{
    for (;;) {
        bool stop = false;
        struct packet *packet = stream_next(read, &stop);
        int result;
        if (packet != NULL) {
            result = stream_same_sender(read, packet) ? stream_take(read, packet) : 0;
            if (result <= 0) {
                return result;
            }
            continue;
        }
        if (stop || read->done >= target || (read->peek && read->done > 0)) {
            return 0;
        }
        result = stream_wait(read, deadline);
        if (result != 0) {
            return result < 0 ? result : 0;
        }
        /* Others may have taken what we looked at: begin anew, as nothing was peeked at yet. */
        if (read->peek) {
            read->after = NULL;
            read->skip = (size_t)MAX(atomic_load_relaxed(&read->socket->peek_offset), 0);
        }
    }
}

static ssize_t receive_urgent(struct unix_socket *socket, struct message *message)
{
    bool peek = (message->flags & MSG_PEEK) != 0;
    struct packet *packet = NULL;
    uint8_t byte = 0;

    mutex_lock(&socket->read_lock);
    unix_lock(socket);
    if (socket->urgent != NULL && !socket_has_option(&socket->socket, SOCKET_OOBINLINE)) {
        packet = socket->urgent;
        byte = *packet->data;
        if (!peek) {
            socket->urgent = NULL;
            packet_pull(packet, 1); /* an empty packet is left as a mark, if it was not read over */
        }
    }
    unix_unlock(socket);
    mutex_unlock(&socket->read_lock);
    if (packet == NULL) {
        return -EINVAL;
    }
    if (!peek) {
        packet_put(packet);
    }
    message->result |= MSG_OOB;
    size_t want = MIN(message->data->count, (size_t)1);
    return iov_copy_to(message->data, &byte, want) == want ? (ssize_t)want : -EFAULT;
}

ssize_t unix_stream_receive(struct socket *socket, struct message *message)
{
    struct unix_socket *of = unix_of(socket);
    size_t count = message->data->count, target;
    ktime_t deadline = 0;

    message->name_len = 0;
    if (unlikely(READ_ONCE(of->state) != UNIX_CONNECTED)) {
        return -EINVAL;
    }
    if (unlikely((message->flags & MSG_OOB) != 0)) {
        return receive_urgent(of, message);
    }
    target = (message->flags & MSG_WAITALL) != 0
                 ? count
                 : MIN(count, (size_t)atomic_load_relaxed(&socket->receive_low));
    target = MAX(target, (size_t)1); /* who asks for nothing waits for something, as on Linux */
    struct stream_read read;
    read.socket = of;
    read.message = message;
    read.peek = (message->flags & MSG_PEEK) != 0;
    read.told = false;
    read.done = 0;
    read.skip = 0;
    read.after = NULL;
    if (unlikely(read.peek)) {
        read.skip = (size_t)MAX(atomic_load_relaxed(&of->peek_offset), 0);
    }
    mutex_lock(&of->read_lock);
    int err = stream_read(&read, target, &deadline);
    mutex_unlock(&of->read_lock);
    if (unlikely(deadline != 0) && !list_empty(&of->queue)) {
        socket_wake_reader(socket); /* we slept alone, and leave something */
    }
    return read.done > 0 ? (ssize_t)read.done : err;
}

/* ---- readiness ---- */

uint32_t unix_stream_poll(struct socket *socket, struct poll_table *table)
{
    struct unix_socket *of = unix_of(socket);

    socket_poll_wait(socket, table);
    uint32_t mask = socket_poll_state(socket, READ_ONCE(of->queued) != 0);
    if (unlikely(READ_ONCE(of->urgent) != NULL)) {
        mask |= POLLPRI;
    }
    uint32_t state = READ_ONCE(of->state);
    if (unlikely(state == UNIX_UNCONNECTED)) {
        mask |= POLLHUP;
    }
    if (state != UNIX_LISTENING && socket_has_room(socket)) {
        mask |= SOCKET_POLLOUT;
    }
    return mask;
}
