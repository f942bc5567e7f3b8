/*
 * Local sockets: their life, options, ioctls, and the line that registers the family.
 *
 * A socket has references from its file, from peers, and from who looked it up; packets it sent keep its memory besides (socket->charged).
 * Closing takes it out of the table, tells the peer, and throws away what nobody will read any more. Messages thrown away may carry files, and
 * those may be local sockets again: see rights.c for why that does not pile up on the stack.
 */
#include "kernel/net/unix/unix.h"

#include <asm/ioctls.h>
#include <linux/capability.h>
#include <linux/un.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/mm/slab.h"
#include "kernel/vfs/fdtable.h"

static struct slab_cache *unix_slab __ro_after_init;
static const struct socket_family *unix_family(void);
uint32_t unix_backlog_default = 10;

/* ---- life ---- */

static void unix_construct(void *object)
{
    struct unix_socket *socket = object;

    socket_construct(&socket->socket);
    mutex_init(&socket->read_lock, "socket reading");
    wait_queue_init(&socket->room_wait);
    spin_init(&socket->room_wait.lock, "socket room"); /* write_wait's are taken inside */
    list_init(&socket->listed);
    list_init(&socket->queue);
    list_init(&socket->embryos);
    list_init(&socket->embryo_node);
    list_init(&socket->flying);
    list_init(&socket->relay.node);
}

static void unix_init(void)
{
    unix_slab = slab_cache_create("unix_socket", sizeof(struct unix_socket), 0, 0, unix_construct);
    if (unix_slab == NULL) {
        panic("net: no memory for local sockets");
    }
    unix_table_init();
}

struct unix_socket *unix_alloc(const struct socket_ops *ops)
{
    struct unix_socket *socket = slab_alloc(unix_slab, 0);

    if (socket == NULL) {
        return NULL;
    }
    socket_init(&socket->socket, unix_family(), ops, 0);
    socket->state = UNIX_UNCONNECTED;
    socket->dead = false;
    socket->peer = NULL;
    socket->address = NULL;
    socket->path = (struct path){NULL, NULL};
    socket->queued = socket->arrived = 0;
    socket->backlog = atomic_load_relaxed(&unix_backlog_default);
    socket->urgent = NULL;
    socket->peek_offset = -1;
    socket->nrights = 0;
    socket->relay_on = NULL;
    socket->named = false;
    socket->peer_cred = (struct unix_cred){NULL, NULL};
    socket->inflight = 0;
    unix_table_add(socket);
    return socket;
}

static int unix_create(int type, int protocol, struct socket **ret_socket)
{
    static const struct socket_ops *const kinds[SOCK_TYPE_MAX] = {
        [SOCK_STREAM] = &unix_stream_ops,
        [SOCK_DGRAM] = &unix_datagram_ops,
        [SOCK_RAW] = &unix_datagram_ops, /* what BSD programs ask for */
        [SOCK_SEQPACKET] = &unix_seqpacket_ops,
    };

    if (protocol != 0 && protocol != AF_UNIX) {
        return -EPROTONOSUPPORT;
    }
    if (kinds[type] == NULL) {
        return -ESOCKTNOSUPPORT;
    }
    struct unix_socket *socket = unix_alloc(kinds[type]);
    if (socket == NULL) {
        return -ENOMEM;
    }
    *ret_socket = &socket->socket;
    return 0;
}

void unix_cred_current(struct unix_cred *ret_cred)
{
    struct cred *cred = current_thread()->cred;

    ret_cred->pid = jobctl == NULL ? NULL : pid_get(jobctl->current_process());
    ret_cred->cred = cred_get(cred != NULL ? cred : &cred_init_user);
}

void unix_cred_put(struct unix_cred *cred)
{
    pid_put(cred->pid);
    if (cred->cred != NULL) {
        cred_put(cred->cred);
    }
}

void unix_lock_two(struct unix_socket *one, struct unix_socket *two)
{
    unix_lock(MIN(one, two));
    if (one != two) {
        unix_lock(MAX(one, two));
    }
}

void unix_unlock_two(struct unix_socket *one, struct unix_socket *two)
{
    if (one != two) {
        unix_unlock(MAX(one, two));
    }
    unix_unlock(MIN(one, two));
}

void unix_free_packets(struct list_node *packets)
{
    struct list_node *node;

    while ((node = list_pop_front(packets)) != NULL) {
        packet_put(list_entry(node, struct packet, node));
    }
}

/* The peer of a connection hears that this end has gone; `lost`: with something unread, or before it was accepted. */
static void tell_peer(struct unix_socket *peer, bool lost)
{
    unix_lock(peer);
    atomic_store_relaxed(&peer->socket.shutdown, SHUTDOWN_BOTH);
    if (lost) {
        atomic_store_relaxed(&peer->socket.error, ECONNRESET);
    }
    unix_unlock(peer);
    socket_wake_all(&peer->socket);
    async_tell(&peer->socket.async, POLL_HUP);
}

void unix_close(struct unix_socket *socket, bool embryo)
{
    struct list_node packets = LIST_INIT(packets), embryos = LIST_INIT(embryos), *node;

    unix_table_remove(socket);
    unix_lock(socket);
    struct path path = socket->path;
    struct unix_socket *peer = socket->peer;
    struct packet *urgent = socket->urgent;
    socket->path = (struct path){NULL, NULL};
    unix_relay_stop(socket, false);
    socket->dead = true;
    socket->peer = NULL;
    socket->urgent = NULL;
    WRITE_ONCE(socket->state, UNIX_UNCONNECTED);
    atomic_store_relaxed(&socket->socket.shutdown, SHUTDOWN_BOTH);
    bool lost = embryo || !list_empty(&socket->queue);
    list_splice_back(&packets, &socket->queue);
    list_splice_back(&embryos, &socket->embryos);
    WRITE_ONCE(socket->queued, 0);
    unix_unlock(socket);

    wait_wake_all(&socket->room_wait, 0);
    if (peer != NULL) {
        if (unix_is_connection(socket)) {
            tell_peer(peer, lost);
        }
        unix_put(peer);
    }
    while ((node = list_pop_front(&embryos)) != NULL) {
        unix_close(list_entry(node, struct unix_socket, embryo_node), true);
    }
    packet_put(urgent);
    unix_free_packets(&packets);
    if (path.dentry != NULL) {
        path_put(&path);
    }
    unix_put(socket);
}

void unix_release(struct socket *socket)
{
    unix_close(unix_of(socket), false);
    unix_collect_soon();
}

void unix_destroy(struct socket *socket)
{
    struct unix_socket *dying = unix_of(socket);

    unix_address_put(dying->address);
    unix_cred_put(&dying->peer_cred);
    slab_free(unix_slab, dying);
}

/* ---- options ---- */

static int get_peer_cred(struct unix_socket *socket, void __user *value, unsigned *len)
{
    struct ucred cred = {.pid = 0, .uid = (uint32_t)-1, .gid = (uint32_t)-1};

    unix_lock(socket);
    cred.pid = pid_nr(socket->peer_cred.pid);
    if (socket->peer_cred.cred != NULL) {
        cred.uid = socket->peer_cred.cred->euid;
        cred.gid = socket->peer_cred.cred->egid;
    }
    unix_unlock(socket);
    *len = MIN(*len, (unsigned)sizeof(cred));
    return copy_to_user(value, &cred, *len);
}

static int get_peer_groups(struct unix_socket *socket, void __user *value, unsigned *len)
{
    unix_lock(socket);
    struct cred *cred = socket->peer_cred.cred != NULL ? cred_get(socket->peer_cred.cred) : NULL;
    unix_unlock(socket);
    if (cred == NULL) {
        return -ENODATA;
    }
    unsigned size = 0, room = *len;
    if (cred->groups != NULL) {
        size = cred->groups->count * (unsigned)sizeof(uint32_t);
    }
    *len = size;
    int err = 0;
    if (room < size) {
        err = -ERANGE;
    } else if (size > 0) {
        err = copy_to_user(value, cred->groups->gids, size);
    }
    cred_put(cred);
    return err;
}

static int get_int(int number, void __user *value, unsigned *len)
{
    *len = MIN(*len, (unsigned)sizeof(number));
    return copy_to_user(value, &number, *len);
}

int unix_get_option(struct socket *socket, int level, int name, void __user *value, unsigned *len)
{
    struct unix_socket *of = unix_of(socket);

    if (level != SOL_SOCKET) {
        return -EOPNOTSUPP;
    }
    switch (name) {
    case SO_PEERCRED:
        return get_peer_cred(of, value, len);
    case SO_PEERGROUPS:
        return get_peer_groups(of, value, len);
    case SO_ACCEPTCONN:
        return get_int(READ_ONCE(of->state) == UNIX_LISTENING, value, len);
    case SO_PEEK_OFF:
        return get_int(atomic_load_relaxed(&of->peek_offset), value, len);
    default:
        return -ENOPROTOOPT;
    }
}

int unix_set_option(struct socket *socket, int level, int name, const void __user *value,
                    unsigned len)
{
    int number;

    if (level != SOL_SOCKET) {
        return -EOPNOTSUPP;
    }
    if (name != SO_PEEK_OFF || len < sizeof(number)) {
        return -ENOPROTOOPT;
    }
    if (get_user(number, (const int __user *)value) < 0) {
        return -EFAULT;
    }
    atomic_store_relaxed(&unix_of(socket)->peek_offset, MAX(number, -1));
    return 0;
}

/* ---- ioctls ---- */

/* What a read could give: of a datagram socket the first packet alone. */
static int64_t bytes_queued(struct unix_socket *socket)
{
    struct packet *packet;
    uint64_t bytes = 0;

    if (READ_ONCE(socket->state) == UNIX_LISTENING) {
        return -EINVAL;
    }
    unix_lock(socket);
    list_for_each (packet, &socket->queue, node) {
        bytes += packet->len;
        if (!unix_is_connection(socket)) {
            break;
        }
    }
    unix_unlock(socket);
    return (int64_t)MIN(bytes, (uint64_t)INT32_MAX);
}

/* SIOCUNIXFILE: a descriptor, O_PATH, of the node that the socket is bound to. */
static int64_t open_node(struct unix_socket *socket)
{
    struct file *file;
    struct path path;

    if (!current_has_cap(CAP_NET_ADMIN)) {
        return -EPERM;
    }
    if (atomic_load_acquire(&socket->address) == NULL) {
        return -ENOENT;
    }
    mutex_lock(
        &socket->read_lock); /* binding is over: the path stays as long as the socket is open */
    path = socket->path;
    mutex_unlock(&socket->read_lock);
    if (path.dentry == NULL) {
        return -ENOENT;
    }
    int err = vfs_open_path(&path, O_PATH | O_CLOEXEC, &file);
    if (err < 0) {
        return err;
    }
    int fd = fd_add(file, true);
    if (fd < 0) {
        file_put(file);
    }
    return fd;
}

/* SIOCATMARK: is the next byte the urgent one? */
static int at_mark(struct unix_socket *socket)
{
    unix_lock(socket);
    struct list_node *first = list_first(&socket->queue);
    struct packet *packet = first == NULL ? NULL : list_entry(first, struct packet, node);
    bool at = packet != NULL && (packet == socket->urgent || packet->len == 0);
    unix_unlock(socket);
    return at;
}

int64_t unix_ioctl(struct socket *socket, unsigned cmd, uint64_t arg)
{
    struct unix_socket *of = unix_of(socket);
    int64_t result;

    switch (cmd) {
    case SIOCINQ:
        result = bytes_queued(of);
        return result < 0 ? result : put_user((int)result, (int __user *)arg);
    case SIOCOUTQ:
        return put_user((int)socket_charge(socket), (int __user *)arg);
    case SIOCATMARK:
        return put_user(at_mark(of), (int __user *)arg);
    case SIOCUNIXFILE:
        return open_node(of);
    default:
        return -ENOTTY;
    }
}

size_t unix_show_fdinfo(struct socket *socket, char *buf, size_t size)
{
    return (size_t)ksnprintf(buf, size, "scm_fds: %u\n",
                             atomic_load_relaxed(&unix_of(socket)->nrights));
}

/* ---- kinds ---- */

#define UNIX_COMMON                                                                                \
    .release = unix_release, .bind = unix_bind, .pair = unix_pair, .name = unix_name,              \
    .shutdown = unix_shutdown, .ioctl = unix_ioctl, .set_option = unix_set_option,                 \
    .get_option = unix_get_option, .show_fdinfo = unix_show_fdinfo, .destroy = unix_destroy

const struct socket_ops unix_stream_ops = {.type = SOCK_STREAM,
                                           .connect = unix_connect_stream,
                                           .listen = unix_listen,
                                           .accept = unix_accept,
                                           .send = unix_stream_send,
                                           .receive = unix_stream_receive,
                                           .poll = unix_stream_poll,
                                           UNIX_COMMON};
const struct socket_ops unix_datagram_ops = {.type = SOCK_DGRAM,
                                             .connect = unix_connect_datagram,
                                             .send = unix_datagram_send,
                                             .receive = unix_datagram_receive,
                                             .poll = unix_datagram_poll,
                                             UNIX_COMMON};
const struct socket_ops unix_seqpacket_ops = {.type = SOCK_SEQPACKET,
                                              .connect = unix_connect_stream,
                                              .listen = unix_listen,
                                              .accept = unix_accept,
                                              .send = unix_seqpacket_send,
                                              .receive = unix_seqpacket_receive,
                                              .poll = unix_datagram_poll,
                                              UNIX_COMMON};

SOCKET_FAMILY(unix_sockets) = {.family = AF_UNIX,
                               .name = "unix",
                               .init = unix_init,
                               .start = unix_collector_start,
                               .create = unix_create};

static const struct socket_family *unix_family(void)
{
    return &linkset_socket_families_unix_sockets;
}
