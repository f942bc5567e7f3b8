/*
 * Local sockets from the inside (unix(7)): what the files of this folder share.
 *
 *   unix.c      making and closing, options, ioctls     connect.c   pairs, listening, connecting, accepting, shutting down
 *   address.c   names: paths and abstract ones          stream.c    SOCK_STREAM: bytes in order
 *   rights.c    credentials and files in messages       datagram.c  SOCK_DGRAM and SOCK_SEQPACKET: packets
 *   gc.c        sockets that only hold each other       show.c      /proc/net/unix
 *
 * Packets stand in the queue of the socket that will read them. A sender fills a packet with nothing held, then takes the receiver's lock
 * for as long as hanging it in takes. Two sockets are locked together only to connect them: the one at the lower address first.
 *
 * A stream's or sequenced peer never changes once it is there, and is let go only when the socket itself is closed: who has the
 * socket's file may use it without a lock. A datagram socket's peer may change; it is looked at under the lock, and referenced.
 *
 * Locks:  I immutable once made   s socket.lock   r read_lock   b bucket's lock (address.c)   g gc_lock (mutex, gc.c)   a atomic
 * Order: read_lock -> gc_lock -> socket.lock, lower address first -> room_wait -> other wait queues. Nothing is taken inside a bucket's.
 */
#pragma once

#include "kernel/net/socket.h"
#include "kernel/net/unix/show.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/pid.h"
#include "kernel/security/cred.h"

#define UNIX_PATH_OFFSET 2u /* of sun_path in struct sockaddr_un */
#define UNIX_NAME_MAX    108u

struct unix_rights;

enum unix_state { UNIX_UNCONNECTED, UNIX_CONNECTED, UNIX_LISTENING };

/* A name, shared by a listening socket and the sockets it accepts. */
struct unix_address {
    struct refcount refs;
    unsigned len;  /* [I] of all, with the family */
    uint32_t hash; /* [I] of an abstract name */
    uint16_t family;
    char path[UNIX_NAME_MAX + 1]; /* [I] abstract ones begin with a NUL */
};

struct unix_cred {
    struct pid *pid;   /* referenced, or NULL */
    struct cred *cred; /* referenced, or NULL */
};

struct unix_socket {
    struct socket socket;
    uint32_t state;               /* [s, read by anybody] enum unix_state */
    bool dead;                    /* [s] closed: nothing more is put into its queue */
    struct unix_socket *peer;     /* [s] referenced; see above */
    struct unix_address *address; /* [s; read by anybody: set once] */
    struct path path;             /* [s; set once] of a name in a file system, until it is closed */
    struct list_node listed;      /* [b] in the table of all */
    uint32_t bucket;              /* [b] */
    bool named;                   /* [b] it stands there under its name; accepted sockets do not */

    struct list_node queue; /* [s] packets, the oldest first; streams: taken off with r held */
    uint32_t arrived;       /* [s, read by anybody] packets ever, wrapping */
    uint32_t queued;       /* [s, read by anybody] their number, or that of connections that wait */
    uint32_t backlog;      /* [s, read by anybody] `queued` may exceed it by one */
    struct packet *urgent; /* [s] the byte sent with MSG_OOB last, referenced; streams */
    struct mutex read_lock; /* of streams: who takes bytes, or looks at some */
    int peek_offset;        /* [a] SO_PEEK_OFF; -1: off */
    uint32_t nrights;       /* [a] files that stand in the queue */

    struct wait_queue
        room_wait;            /* who waits for `queued` to fall: datagrams' senders, connectors */
    struct list_node embryos; /* [s] connections that wait to be accepted */
    struct list_node embryo_node; /* [listener's s] */

    struct waiter relay;          /* on relay_on's room_wait: tells our write_wait of it */
    struct unix_socket *relay_on; /* [s] the peer, when its room was missing once; NULL */

    struct unix_cred peer_cred; /* [s] SO_PEERCRED; of a listening socket who listens */

    struct list_node flying; /* [g] sockets that messages carry */
    uint32_t inflight;       /* [g] in how many messages it is */
    uint32_t
        unexplained;  /* [g] the collector's: of those, how many are not from sockets it looks at */
    uint32_t gc_mark; /* [g] the collector's */
};

static inline struct unix_socket *unix_of(const struct socket *socket)
{
    return container_of((struct socket *)(uintptr_t)socket, struct unix_socket, socket);
}
static inline struct unix_socket *unix_get(struct unix_socket *socket)
{
    if (socket != NULL) {
        (void)socket_get(&socket->socket);
    }
    return socket;
}
static inline void unix_put(struct unix_socket *socket)
{
    if (socket != NULL) {
        socket_put(&socket->socket);
    }
}
static inline void unix_lock(struct unix_socket *socket)
{
    spin_lock(&socket->socket.lock);
}
static inline void unix_unlock(struct unix_socket *socket)
{
    spin_unlock(&socket->socket.lock);
}
void unix_lock_two(struct unix_socket *one, struct unix_socket *two);
void unix_unlock_two(struct unix_socket *one, struct unix_socket *two);

static inline bool unix_is_connection(const struct unix_socket *socket)
{
    return socket_type(&socket->socket) != SOCK_DGRAM;
}
/* No more datagrams, or connections, at the moment. */
static inline bool unix_is_full(const struct unix_socket *socket)
{
    return atomic_load_relaxed(&socket->queued) > atomic_load_relaxed(&socket->backlog);
}

/* ---- unix.c ---- */

extern const struct socket_ops unix_stream_ops, unix_datagram_ops, unix_seqpacket_ops;
/* A new socket of a kind; -ENOMEM as NULL. */
struct unix_socket *unix_alloc(const struct socket_ops *ops);
/* The last file of it has gone, or it will never have one (`embryo`): peers are told. Takes the reference. May sleep. */
void unix_close(struct unix_socket *socket, bool embryo);
void unix_release(struct socket *socket);
void unix_destroy(struct socket *socket);
/* Free all packets of a list. Nothing held; may sleep. */
void unix_free_packets(struct list_node *packets);
int64_t unix_ioctl(struct socket *socket, unsigned cmd, uint64_t arg);
int unix_set_option(struct socket *socket, int level, int name, const void __user *value,
                    unsigned len);
int unix_get_option(struct socket *socket, int level, int name, void __user *value, unsigned *len);
size_t unix_show_fdinfo(struct socket *socket, char *buf, size_t size);
void unix_cred_current(struct unix_cred *ret_cred);
void unix_cred_put(struct unix_cred *cred);
static inline void unix_cred_copy(struct unix_cred *to, const struct unix_cred *from)
{
    to->pid = pid_get(from->pid);
    to->cred = from->cred != NULL ? cred_get(from->cred) : NULL;
}

/* ---- address.c ---- */

void unix_address_put(struct unix_address *address);
static inline struct unix_address *unix_address_get(struct unix_address *address)
{
    if (address != NULL) {
        refcount_get(&address->refs);
    }
    return address;
}
void unix_table_init(void);
/* Every socket is in the table, under its name or none. */
void unix_table_add(struct unix_socket *socket);
void unix_table_remove(struct unix_socket *socket);
int unix_bind(struct socket *socket, const struct sockaddr *address, unsigned len);
/* Give it a free abstract name, unless it has one. -ENOMEM, -ENOSPC. */
int unix_autobind(struct unix_socket *socket);
/*
 * The socket that an address names, of that type, referenced. `len` counts the family. -EINVAL, -ECONNREFUSED, -EPROTOTYPE, or what walking to the
 * path says.
 */
int unix_find(const struct sockaddr *address, unsigned len, int type, struct unix_socket **ret);
int unix_name(struct socket *socket, bool peer, struct __kernel_sockaddr_storage *ret_name);
/* The name of who sent a packet goes where the receiver wants it. */
void unix_tell_name(struct message *message, const struct socket *sender);

/* ---- connect.c ---- */

int unix_pair(struct socket *one, struct socket *two);
int unix_listen(struct socket *socket, int backlog);
int unix_connect_stream(struct socket *socket, const struct sockaddr *address, unsigned len,
                        int flags);
int unix_connect_datagram(struct socket *socket, const struct sockaddr *address, unsigned len,
                          int flags);
/* A datagram socket's peer turned out to be closed: forget it, unless there is another by now. */
void unix_disconnect_dead(struct unix_socket *socket, const struct unix_socket *dead);
int unix_accept(struct socket *socket, bool nonblock, struct socket **ret_socket);
int unix_shutdown(struct socket *socket, int how);

/* ---- stream.c, datagram.c ---- */

ssize_t unix_stream_send(struct socket *socket, struct message *message);
ssize_t unix_stream_receive(struct socket *socket, struct message *message);
uint32_t unix_stream_poll(struct socket *socket, struct poll_table *table);
ssize_t unix_datagram_send(struct socket *socket, struct message *message);
ssize_t unix_datagram_receive(struct socket *socket, struct message *message);
uint32_t unix_datagram_poll(struct socket *socket, struct poll_table *table);
ssize_t unix_seqpacket_send(struct socket *socket, struct message *message);
ssize_t unix_seqpacket_receive(struct socket *socket, struct message *message);
/* No longer poll for the room of another's queue; tell our pollers if `tell`. Socket lock held. */
void unix_relay_stop(struct unix_socket *socket, bool tell);
/* ---- rights.c: what a message carries besides bytes ---- */

/* In packet->control, when packet->destroy is set. */
struct unix_control {
    struct pid *pid; /* referenced, or NULL */
    uint32_t uid, gid;
    bool credentials; /* pid, uid and gid are there */
    struct unix_rights *rights;
};
static inline struct unix_control *unix_control(struct packet *packet)
{
    return (struct unix_control *)packet->control;
}
/* What a sender gave. -EINVAL, -EPERM, -ESRCH, -EBADF, -ETOOMANYREFS, -ENOMEM. May sleep. */
int unix_control_parse(struct message *message, struct unix_control *ret_control);
/* What was not attached to a packet. May sleep. */
void unix_control_drop(struct unix_control *control);
/* The packet gets what the sender gave, and the sender's credentials if one of the two ends wants them. Files go with the first packet only. */
void unix_control_attach_slow(struct packet *packet, struct unix_control *control);
static inline void unix_control_attach(struct packet *packet, struct unix_control *control,
                                       const struct unix_socket *from, const struct unix_socket *to)
{
    if (unlikely(control->credentials || control->rights != NULL || to->socket.file == NULL ||
                 ((atomic_load_relaxed(&from->socket.options) |
                   atomic_load_relaxed(&to->socket.options)) &
                  SOCKET_PASSCRED) != 0)) {
        unix_control_attach_slow(packet, control);
    }
}
/* Whom a packet is from, as far as it was told. */
void unix_credentials_of(struct packet *packet, struct ucred *ret_cred);
/* Write them for a receiver who wants them. May sleep. */
void unix_tell_credentials(struct unix_socket *socket, struct message *message,
                           const struct ucred *cred);
/*
 * The files of a packet become descriptors of the receiver, as many as it has room for, and leave the packet; peeked at, they stay
 * there as well. The packet has some. May sleep.
 */
void unix_tell_rights(struct message *message, struct packet *packet, bool peek);
/* Has the packet files? */
static inline bool unix_has_rights(struct packet *packet)
{
    return unlikely(packet->destroy != NULL) && unix_control(packet)->rights != NULL;
}
unsigned unix_rights_count(struct packet *packet);
/* For the collector: file number `index`, or NULL past the end. */
struct file *unix_rights_file(struct packet *packet, unsigned index);

/* Hang a packet in, or take it off, with the files that are in it. The socket's lock held. */
static inline void unix_queue_push(struct unix_socket *to, struct packet *packet)
{
    if (unix_has_rights(packet)) {
        (void)atomic_fetch_add_relaxed(&to->nrights, unix_rights_count(packet));
    }
    list_push_back(&to->queue, &packet->node);
    WRITE_ONCE(to->arrived, to->arrived + 1);
    WRITE_ONCE(to->queued, to->queued + 1);
}
static inline void unix_queue_remove(struct unix_socket *from, struct packet *packet)
{
    if (unix_has_rights(packet)) {
        (void)atomic_fetch_sub_relaxed(&from->nrights, unix_rights_count(packet));
    }
    list_remove(&packet->node);
    WRITE_ONCE(from->queued, from->queued - 1);
}

/* ---- gc.c ---- */

/* A message begins, or ceases, to carry a file, of whatever kind. May sleep. */
void unix_file_flies(struct file *file);
void unix_file_lands(struct file *file);
/* A reference to a file that a message goes on carrying. May sleep. */
struct file *unix_file_peek(struct file *file);
/* Free what can no longer be reached. May sleep; nothing held. */
void unix_collect(void);
/* The same in a thread of its own, if any socket is carried. */
void unix_collect_soon(void);
/* And wait until that is done: 0, or -ERESTARTSYS for a signal. */
int unix_collect_wait(void);
void unix_collector_start(void);
