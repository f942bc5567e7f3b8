/*
 * Sockets: what all protocol families share, and the table through which a family plugs in.
 *
 *     SOCKET_FAMILY(unix_sockets) = {.family = AF_UNIX, .name = "unix", .create = unix_create};
 *
 * A family embeds struct socket in its own and fills it with socket_init(). A socket lives by its references: the file that user space
 * holds is one, peers and packets are others. It may live before it has a file (a connection nobody has accepted) and after.
 *
 * Two wait queues: read_wait for who waits for something to come (bytes, connections), write_wait for who waits for room. Sleepers are
 * exclusive: one event wakes one, and who slept and leaves something behind wakes the next. What ends a connection wakes all of both.
 *
 * Locks:  I immutable once made   a atomic   s socket->lock (spin, thread context)   f family's own rules
 * Order: of two sockets of a family the one at the lower address first; then a wait queue's lock.
 */
#pragma once

#include "kernel/core/linkset.h"
#include "kernel/net/abi.h"
#include "kernel/net/packet.h"
#include "kernel/vfs/async.h"
#include "kernel/vfs/file.h"

struct socket;

/* What a receiver may still write into the caller's control buffer, or a sender's control messages. */
struct message_control {
    union {
        void __user *out;  /* receive: the next free byte */
        const uint8_t *in; /* send: a kernel copy */
    };
    size_t left; /* bytes of it */
};

/* One send or receive. */
struct message {
    struct iov_iter *data;
    unsigned flags;  /* MSG_* asked for; MSG_DONTWAIT for O_NONBLOCK too */
    unsigned result; /* receive: MSG_* to be told */
    struct __kernel_sockaddr_storage
        *name;         /* where to (a copy), or where the sender's goes; NULL: none */
    unsigned name_len; /* send: its length, checked; receive: set by the family, 0: no name */
    struct message_control control;
};

struct socket_ops {
    int type; /* SOCK_* */
    /* The file has been closed. Lets go of the file's reference in the end (socket_put). May sleep. */
    void (*release)(struct socket *socket);
    /* Addresses are kernel copies of `len` bytes, 0 .. sizeof(struct __kernel_sockaddr_storage). NULL operations: -EOPNOTSUPP. */
    int (*bind)(struct socket *socket, const struct sockaddr *address, unsigned len);
    int (*connect)(struct socket *socket, const struct sockaddr *address, unsigned len, int flags);
    int (*pair)(struct socket *one, struct socket *two);
    int (*listen)(struct socket *socket, int backlog);
    /* The next connection, referenced, without a file yet. */
    int (*accept)(struct socket *socket, bool nonblock, struct socket **ret_socket);
    /* The own name, or the peer's. Its length or an error. */
    int (*name)(struct socket *socket, bool peer, struct __kernel_sockaddr_storage *ret_name);
    int (*shutdown)(struct socket *socket, int how);
    ssize_t (*send)(struct socket *socket, struct message *message);
    ssize_t (*receive)(struct socket *socket, struct message *message);
    uint32_t (*poll)(struct socket *socket, struct poll_table *table);
    /* -ENOTTY: unknown. */
    int64_t (*ioctl)(struct socket *socket, unsigned cmd, uint64_t arg);
    /*
     * Options that the generic code does not know: any level but SOL_SOCKET, and what is the family's of that. `value` has `len` bytes of user
     * memory; get writes at most *len and tells how many. -ENOPROTOOPT: unknown. NULL: knows none.
     */
    int (*set_option)(struct socket *socket, int level, int name, const void __user *value,
                      unsigned len);
    int (*get_option)(struct socket *socket, int level, int name, void __user *value,
                      unsigned *len);
    size_t (*show_fdinfo)(struct socket *socket, char *buf, size_t size); /* as a file's */
    /* The last reference went: what the family has, and the memory. Nothing is charged to the socket any more. May sleep. */
    void (*destroy)(struct socket *socket);
};

struct socket_family {
    int family; /* AF_* */
    const char *name;
    void (*init)(void);  /* at boot, once; NULL: nothing to do */
    void (*start)(void); /* at boot, after that: its threads; NULL: it has none */
    /* A socket of a type that may be unknown to the family: -ESOCKTNOSUPPORT, -EPROTONOSUPPORT, -EPERM, -ENOMEM. */
    int (*create)(int type, int protocol, struct socket **ret_socket);
};
#define SOCKET_FAMILY(name) LINKSET_ENTRY(socket_families, struct socket_family, name)

/* Bits of `options`. */
#define SOCKET_PASSCRED    BIT(0)
#define SOCKET_PASSSEC     BIT(1)
#define SOCKET_TIMESTAMP   BIT(2) /* receive times ... */
#define SOCKET_TIMESTAMPNS BIT(3) /* ... in nanoseconds ... */
#define SOCKET_TIME_NEW    BIT(4) /* ... in the form that is the same on all machines */
#define SOCKET_OOBINLINE   BIT(5)
#define SOCKET_SNDBUF_LOCK BIT(6) /* SO_SNDBUF was set by the user */
#define SOCKET_RCVBUF_LOCK BIT(7)
#define SOCKET_LINGER      BIT(8)
#define SOCKET_FLAGS       9 /* first of those that are only kept: see options.c */

/* Bits of `shutdown`: SHUT_RD + 1, SHUT_WR + 1. */
#define SHUTDOWN_RECEIVE 1u
#define SHUTDOWN_SEND    2u
#define SHUTDOWN_BOTH    3u

struct socket {
    const struct socket_ops *ops;       /* [I] */
    const struct socket_family *family; /* [I] */
    int protocol;                       /* [I] */
    struct refcount refs;
    struct spinlock lock;
    struct wait_queue read_wait, write_wait;
    struct async_list async; /* O_ASYNC */
    bool lacked_room; /* [a] for it: a sender was told to wait, so that there is room is news */
    /* [a] bytes charged to the socket as a sender, and one more while anybody holds a reference: at 0 it is destroyed */
    uint32_t charged;
    uint32_t send_limit, receive_limit;    /* [a] SO_SNDBUF, SO_RCVBUF: bytes */
    ktime_t send_timeout, receive_timeout; /* [a] ns; KTIME_MAX: none */
    uint32_t options;                      /* [a] SOCKET_* */
    uint32_t receive_low;                  /* [a] SO_RCVLOWAT */
    uint32_t priority, mark;               /* [a] SO_PRIORITY, SO_MARK */
    int linger;                            /* [a] seconds */
    int error;                             /* [a] errno for the next call, 0 or positive */
    uint32_t shutdown;                     /* [s, read by anybody] SHUTDOWN_* */
    uint64_t cookie;                       /* [a] SO_COOKIE; 0: not asked for yet */
    ktime_t stamp;                         /* [a] when the packet received last came: SIOCGSTAMP */
    struct file *file;                     /* [s] NULL: none yet, or closed */
    uint64_t ino;                          /* [s] of the file, 0: none yet */
};

static inline int socket_type(const struct socket *socket)
{
    return socket->ops->type;
}

/* ---- life ---- */

/* For families: everything but the locks and wait queues, which socket_construct() makes once in a slab. refs 1. */
void socket_construct(struct socket *socket);
void socket_init(struct socket *socket, const struct socket_family *family,
                 const struct socket_ops *ops, int protocol);
static inline struct socket *socket_get(struct socket *socket)
{
    refcount_get(&socket->refs);
    return socket;
}
void socket_put(struct socket *socket); /* may sleep */

/* Boot: each family's init, and start. */
void sockets_init(void);
void sockets_start(void);
/* socket(2) without a descriptor. -EAFNOSUPPORT, -EINVAL, or what the family says. May sleep. */
int socket_create(int family, int type, int protocol, struct socket **ret_socket);
/* A file for a socket that has none; takes over the reference, on failure too. flags: O_NONBLOCK. -ENFILE, -ENOMEM. */
int socket_open_file(struct socket *socket, int flags, struct file **ret_file);
/* The socket behind a file, borrowed; NULL: it is none. */
struct socket *file_socket(const struct file *file);

/* ---- for system calls; all may sleep ---- */

/* data, flags and, for sending, name and control are filled. Bytes or an error. */
ssize_t socket_send(struct socket *socket, struct message *message);
ssize_t socket_receive(struct socket *socket, struct message *message);
int socket_set_option(struct socket *socket, int level, int name, const void __user *value,
                      unsigned len);
/* *len: bytes that there is room for; then those that the value has there. */
int socket_get_option(struct socket *socket, int level, int name, void __user *value,
                      unsigned *len);

/* ---- for families ---- */

/* The pending error, as a negative errno, is told once; 0: none. */
static inline int socket_take_error(struct socket *socket)
{
    return likely(atomic_load_relaxed(&socket->error) == 0)
               ? 0
               : -__atomic_exchange_n(&socket->error, 0, __ATOMIC_RELAXED);
}
static inline bool socket_has_option(const struct socket *socket, uint32_t bit)
{
    return (atomic_load_relaxed(&socket->options) & bit) != 0;
}

/* Bytes that are on their way. */
static inline uint32_t socket_charge(const struct socket *socket)
{
    return atomic_load_relaxed(&socket->charged) - 1;
}
/* As poll(2) has it: three quarters are free, so that a sender that waited can send a good deal. */
static inline bool socket_has_room(const struct socket *socket)
{
    return (uint64_t)socket_charge(socket) * 4 <= atomic_load_relaxed(&socket->send_limit);
}
/*
 * Wait until less is on its way than SO_SNDBUF allows. 0; -EAGAIN; what ends a wait (see socket_wait); the pending error; -EPIPE: shut down
 * for sending.
 */
int socket_wait_room(struct socket *socket, bool nonblock);
/* Charge a packet to its sender, who then lives until the packet goes. */
static inline void socket_charge_packet(struct socket *sender, struct packet *packet)
{
    packet->sender = sender;
    packet->charge = packet_charge_of(packet->len);
    (void)atomic_fetch_add_relaxed(&sender->charged, packet->charge);
}
/* The packet is gone: wakes who waits for room. */
void socket_uncharge(struct socket *sender, uint32_t bytes);

static inline void socket_wake_one(struct wait_queue *queue, uint32_t events)
{
    if (wait_queue_active(queue)) {
        wait_wake_n(queue, 1, events);
    }
}
/* Something came: one reader and all who poll. */
static inline void socket_wake_reader(struct socket *socket)
{
    socket_wake_one(&socket->read_wait, POLLIN | POLLRDNORM | POLLRDBAND | WAIT_SYNC);
}
/* The same where something did come: who asked for signals gets one. */
static inline void socket_tell_reader(struct socket *socket)
{
    socket_wake_reader(socket);
    async_tell(&socket->async, POLL_IN);
}
/* The connection changed: everybody looks again. */
void socket_wake_all(struct socket *socket);
/* Does who polls want to know of one of these events? 0: of anything. */
#define SOCKET_POLLOUT (POLLOUT | POLLWRNORM | POLLWRBAND)
static inline bool socket_poll_wants(const struct poll_table *table, uint32_t events)
{
    return table == NULL || table->events == 0 || (table->events & events) != 0;
}
/* For poll operations. Both queues, whatever is wanted now: who stays registered (epoll) may want something else later. */
static inline void socket_poll_wait(struct socket *socket, struct poll_table *table)
{
    if (unlikely(table != NULL && table->enqueue != NULL)) {
        poll_wait(table, &socket->read_wait);
        poll_wait(table, &socket->write_wait);
    }
}
/* For poll operations: what is told whatever the protocol. `queued`: there is something to receive. */
static inline uint32_t socket_poll_state(const struct socket *socket, bool queued)
{
    uint32_t shutdown = atomic_load_relaxed(&socket->shutdown);
    uint32_t mask = queued ? POLLIN | POLLRDNORM : 0;

    if (unlikely(shutdown != 0)) {
        mask |= shutdown == SHUTDOWN_BOTH ? POLLHUP : 0;
        mask |= (shutdown & SHUTDOWN_RECEIVE) != 0 ? POLLIN | POLLRDNORM | POLLRDHUP : 0;
    }
    if (unlikely(atomic_load_relaxed(&socket->error) != 0)) {
        mask |= POLLERR;
    }
    return mask;
}

/* When a wait that begins now ends; KTIME_MAX: never. */
static inline ktime_t socket_deadline(const ktime_t *timeout)
{
    ktime_t ns = atomic_load_relaxed(timeout);

    return likely(ns == KTIME_MAX) ? KTIME_MAX : ktime_now() + ns;
}
/* What a signal makes of a call that could wait for ever, or not (signal(7), "Interruption of system calls"). */
static inline int socket_interrupted(ktime_t deadline)
{
    return deadline == KTIME_MAX ? -ERESTARTSYS : -EINTR;
}
/* Sleep, exclusively, until cond: 0; -EAGAIN when the deadline passed; -ERESTARTSYS or -EINTR: a signal. */
#define socket_wait(queue, cond, deadline)                                                         \
    ({                                                                                             \
        int waited_ = wait_event_loop_(queue, cond, THREAD_SLEEPING, true,                         \
                                       wait_signal_or_(if (schedule_until(deadline)) {             \
                                           result_ = (cond) ? 0 : -EAGAIN;                         \
                                           break;                                                  \
                                       }));                                                        \
        waited_ == -ERESTARTSYS ? socket_interrupted(deadline) : waited_;                          \
    })

/* ---- control messages (control.c, control_tell.c) ---- */

/* One control message of a sender. */
struct control_item {
    int level, type;
    const uint8_t *data;
    size_t len;
};
/*
 * The next of those in control->in. 1; 0: there are no more; -EINVAL: malformed. Any context.
 */
int control_next(struct message_control *control, struct control_item *ret_item);
/* Bytes of data that a control message may have there; negative: not even a header fits. */
ssize_t control_room(const struct message_control *control);
/* Write one for the receiver; what does not fit is cut off and told by MSG_CTRUNC. May sleep. 0, or -EFAULT. */
int control_put(struct message *message, int level, int type, const void *data, size_t len);
/* The time a packet came, if the receiver wants it. */
void control_put_time(struct socket *socket, struct message *message, const struct packet *packet);

/* Limits of /proc/sys/net/core. */
struct socket_limits {
    uint32_t send_default, receive_default; /* [a] bytes: wmem_default, rmem_default */
    uint32_t send_max, receive_max;         /* [a] wmem_max, rmem_max */
    uint32_t control_max;                   /* [a] optmem_max */
    uint32_t backlog_max;                   /* [a] somaxconn */
};
extern struct socket_limits socket_limits;
