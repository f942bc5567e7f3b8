/*
 * Local sockets' connections: made in pairs or through a listening socket, and shut down.
 *
 * connect(2) makes the other end itself, connected and with room for bytes, and hangs it in at the listening socket: the connector may send
 * before anybody accepts. accept(2) takes it off and gives it a file. At most backlog + 1 stand there; who comes then waits in room_wait, exclusively:
 * each accept lets one in.
 */
#include "kernel/net/unix/unix.h"

/* ---- pairs ---- */

static void join(struct unix_socket *one, struct unix_socket *two)
{
    WRITE_ONCE(one->state, UNIX_CONNECTED);
    WRITE_ONCE(two->state, UNIX_CONNECTED);
    atomic_store_release(&two->peer, unix_get(one));
    atomic_store_release(&one->peer, unix_get(two));
}

int unix_pair(struct socket *one, struct socket *two)
{
    unix_cred_current(&unix_of(one)->peer_cred); /* nobody else knows them yet */
    unix_cred_current(&unix_of(two)->peer_cred);
    join(unix_of(one), unix_of(two));
    return 0;
}

/* ---- listening ---- */

int unix_listen(struct socket *socket, int backlog)
{
    struct unix_socket *listener = unix_of(socket);
    uint32_t max = atomic_load_relaxed(&socket_limits.backlog_max);
    struct unix_cred fresh, old = {NULL, NULL};
    int err = -EINVAL;

    if (atomic_load_acquire(&listener->address) == NULL) {
        return -EINVAL; /* nobody could find it */
    }
    unix_cred_current(&fresh);
    unix_lock(listener);
    if (listener->state != UNIX_CONNECTED) {
        old = listener->peer_cred;
        listener->peer_cred = fresh;
        WRITE_ONCE(listener->backlog, MIN((uint32_t)backlog, max));
        WRITE_ONCE(listener->state, UNIX_LISTENING);
        fresh = old;
        err = 0;
    }
    unix_unlock(listener);
    unix_cred_put(&fresh);
    wait_wake_all(&listener->room_wait, 0); /* there may be more room now */
    return err;
}

static struct unix_socket *embryo_pop(struct unix_socket *listener)
{
    unix_lock(listener);
    struct list_node *node = list_pop_front(&listener->embryos);
    if (node != NULL) {
        WRITE_ONCE(listener->queued, listener->queued - 1);
    }
    unix_unlock(listener);
    return node == NULL ? NULL : list_entry(node, struct unix_socket, embryo_node);
}

static bool accept_or_end(const struct unix_socket *listener)
{
    return atomic_load_relaxed(&listener->queued) != 0 ||
           atomic_load_relaxed(&listener->socket.error) != 0 ||
           (atomic_load_relaxed(&listener->socket.shutdown) & SHUTDOWN_RECEIVE) != 0;
}

/* The next connection, or why there is none. */
static int accept_wait(struct unix_socket *listener, bool nonblock, struct unix_socket **ret)
{
    ktime_t deadline = KTIME_MAX;
    bool slept = false;
    int err = 0;

    while ((*ret = embryo_pop(listener)) == NULL && err == 0) {
        err = socket_take_error(&listener->socket);
        if (err == 0 && (atomic_load_relaxed(&listener->socket.shutdown) & SHUTDOWN_RECEIVE) != 0) {
            err = -EINVAL;
        }
        if (err == 0 && nonblock) {
            err = -EAGAIN;
        }
        if (err == 0) {
            deadline = slept ? deadline : socket_deadline(&listener->socket.receive_timeout);
            slept = true;
            err = socket_wait(&listener->socket.read_wait, accept_or_end(listener), deadline);
        }
    }
    if (slept && atomic_load_relaxed(&listener->queued) != 0) {
        socket_wake_reader(&listener->socket);
    }
    return *ret != NULL ? 0 : err;
}

int unix_accept(struct socket *socket, bool nonblock, struct socket **ret_socket)
{
    struct unix_socket *listener = unix_of(socket), *embryo;

    if (READ_ONCE(listener->state) != UNIX_LISTENING) {
        return -EINVAL;
    }
    int err = accept_wait(listener, nonblock, &embryo);
    if (err < 0) {
        return err;
    }
    socket_wake_one(&listener->room_wait, SOCKET_POLLOUT);
    uint32_t inherited = atomic_load_relaxed(&socket->options) & (SOCKET_PASSCRED | SOCKET_PASSSEC);
    (void)__atomic_fetch_or(&embryo->socket.options, inherited, __ATOMIC_RELAXED);
    *ret_socket = &embryo->socket;
    return 0;
}

/* ---- connecting ---- */

static bool refuses(const struct unix_socket *listener)
{
    return READ_ONCE(listener->dead) || READ_ONCE(listener->state) != UNIX_LISTENING ||
           (atomic_load_relaxed(&listener->socket.shutdown) & SHUTDOWN_RECEIVE) != 0;
}

/* Both locked, and the listener has room: the embryo becomes our peer. */
static void hang_in(struct unix_socket *socket, struct unix_socket *listener,
                    struct unix_socket *embryo)
{
    embryo->address = unix_address_get(listener->address);
    if (listener->path.dentry != NULL) {
        embryo->path = listener->path;
        path_get(&embryo->path);
    }
    unix_cred_copy(&socket->peer_cred, &listener->peer_cred);
    join(socket, embryo);
    list_push_back(&listener->embryos, &embryo->embryo_node);
    WRITE_ONCE(listener->queued, listener->queued + 1);
}

/* 0; -EAGAIN: no room; or why not. */
static int connect_locked(struct unix_socket *socket, struct unix_socket *listener,
                          struct unix_socket *embryo)
{
    if (refuses(listener)) {
        return -ECONNREFUSED;
    }
    if (unix_is_full(listener)) {
        return -EAGAIN;
    }
    if (socket->state != UNIX_UNCONNECTED) {
        return socket->state == UNIX_CONNECTED ? -EISCONN : -EINVAL;
    }
    hang_in(socket, listener, embryo);
    return 0;
}

static int connect_to(struct unix_socket *socket, struct unix_socket *listener,
                      struct unix_socket *embryo, bool nonblock)
{
    ktime_t deadline = nonblock ? 0 : socket_deadline(&socket->socket.send_timeout);
    int err, waited = 0;

    for (;;) {
        unix_lock_two(socket, listener);
        err = connect_locked(socket, listener, embryo);
        unix_unlock_two(socket, listener);
        if (err != -EAGAIN || nonblock || waited < 0) {
            break;
        }
        waited = socket_wait(&listener->room_wait, !unix_is_full(listener) || refuses(listener),
                             deadline);
    }
    if (!nonblock && !unix_is_full(listener)) {
        socket_wake_one(&listener->room_wait, SOCKET_POLLOUT);
    }
    return err == -EAGAIN && waited < 0 ? waited : err;
}

int unix_connect_stream(struct socket *socket, const struct sockaddr *address, unsigned len,
                        int flags)
{
    struct unix_socket *from = unix_of(socket), *listener;
    int err = 0;

    if (socket_has_option(socket, SOCKET_PASSCRED)) {
        err = unix_autobind(from);
    }
    struct unix_socket *embryo = err < 0 ? NULL : unix_alloc(socket->ops);
    if (embryo == NULL) {
        return err < 0 ? err : -ENOMEM;
    }
    unix_cred_current(&embryo->peer_cred);
    err = unix_find(address, len, socket_type(socket), &listener);
    if (err == 0) {
        err = connect_to(from, listener, embryo, (flags & O_NONBLOCK) != 0);
        if (err == 0) {
            socket_tell_reader(&listener->socket);
        }
        unix_put(listener);
    }
    if (err < 0) {
        unix_close(embryo, true);
    } else {
        socket_wake_all(socket); /* who polls it sees a connected socket now */
    }
    return err;
}

/* A datagram socket has another peer, or none: what the old one sent is gone, and it is told if it was connected to us. */
static void disconnected(struct unix_socket *socket, struct unix_socket *old)
{
    struct list_node packets = LIST_INIT(packets);

    unix_lock(socket);
    list_splice_back(&packets, &socket->queue);
    WRITE_ONCE(socket->queued, 0);
    unix_unlock(socket);
    if (list_empty(&packets)) {
        return;
    }
    wait_wake_all(&socket->room_wait, 0);
    unix_lock(old);
    bool tell = !old->dead && old->peer == socket;
    if (tell) {
        atomic_store_relaxed(&old->socket.error, ECONNRESET);
    }
    unix_unlock(old);
    if (tell) {
        socket_wake_all(&old->socket);
    }
    unix_free_packets(&packets);
}

/* Exchange the peer of a datagram socket. The reference to `peer`, or NULL, is taken over. Locked; the old one is left to the caller. */
static struct unix_socket *peer_exchange(struct unix_socket *socket, struct unix_socket *peer)
{
    struct unix_socket *old = socket->peer;

    unix_relay_stop(socket, true);
    atomic_store_release(&socket->peer, peer);
    WRITE_ONCE(socket->state, peer == NULL ? UNIX_UNCONNECTED : UNIX_CONNECTED);
    return old;
}

void unix_disconnect_dead(struct unix_socket *socket, const struct unix_socket *dead)
{
    struct unix_socket *old = NULL;

    unix_lock(socket);
    if (socket->peer == dead) {
        old = peer_exchange(socket, NULL);
    }
    unix_unlock(socket);
    if (old != NULL) {
        disconnected(socket, old);
        unix_put(old);
    }
}

static int connect_datagram(struct unix_socket *socket, const struct sockaddr *address,
                            unsigned len, struct unix_socket **ret_old)
{
    struct unix_socket *other;
    int err = 0;

    if (socket_has_option(&socket->socket, SOCKET_PASSCRED)) {
        err = unix_autobind(socket);
    }
    if (err == 0) {
        err = unix_find(address, len, SOCK_DGRAM, &other);
    }
    if (err < 0) {
        return err;
    }
    unix_lock_two(socket, other);
    if (other->dead) {
        err = -ECONNREFUSED;
    } else if (other->peer != NULL && other->peer != socket) {
        err = -EPERM; /* it talks to somebody else */
    } else {
        *ret_old = peer_exchange(socket, unix_get(other));
    }
    unix_unlock_two(socket, other);
    unix_put(other);
    return err;
}

int unix_connect_datagram(struct socket *socket, const struct sockaddr *address, unsigned len,
                          int flags)
{
    struct unix_socket *from = unix_of(socket), *old = NULL;

    (void)flags;
    if (len < sizeof(address->sa_family)) {
        return -EINVAL;
    }
    if (address->sa_family == AF_UNSPEC) {
        unix_lock(from);
        old = peer_exchange(from, NULL);
        unix_unlock(from);
    } else {
        int err = connect_datagram(from, address, len, &old);
        if (err < 0) {
            return err;
        }
    }
    socket_wake_all(socket);
    if (old != NULL) {
        if (old != from->peer) {
            disconnected(from, old);
        }
        unix_put(old);
    }
    return 0;
}

/* ---- shutting down ---- */

int unix_shutdown(struct socket *socket, int how)
{
    struct unix_socket *of = unix_of(socket);

    if (how < SHUT_RD || how > SHUT_RDWR) {
        return -EINVAL;
    }
    uint32_t bits = (uint32_t)how + 1;
    unix_lock(of);
    struct unix_socket *peer = unix_is_connection(of) ? unix_get(of->peer) : NULL;
    atomic_store_relaxed(&socket->shutdown, socket->shutdown | bits);
    unix_unlock(of);
    if (peer != NULL) {
        uint32_t theirs = ((bits & SHUTDOWN_RECEIVE) != 0 ? SHUTDOWN_SEND : 0) |
                          ((bits & SHUTDOWN_SEND) != 0 ? SHUTDOWN_RECEIVE : 0);
        unix_lock(peer);
        atomic_store_relaxed(&peer->socket.shutdown, peer->socket.shutdown | theirs);
        unix_unlock(peer);
        socket_wake_all(&peer->socket);
        if ((theirs & SHUTDOWN_RECEIVE) != 0) {
            async_tell(&peer->socket.async, theirs == SHUTDOWN_BOTH ? POLL_HUP : POLL_IN);
        }
    }
    socket_wake_all(socket);
    if ((bits & SHUTDOWN_RECEIVE) != 0) {
        wait_wake_all(&of->room_wait, 0); /* senders and connectors need not wait for room */
    }
    unix_put(peer);
    return 0;
}
