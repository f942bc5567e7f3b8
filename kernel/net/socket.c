/*
 * Sockets as files, and what all families share: creating, waiting for room, telling who waits.
 */
#include "kernel/net/socket.h"

#include <asm/ioctls.h>
#include <linux/stat.h>

#include "kernel/base/printf.h"

LINKSET_DECLARE(socket_families, struct socket_family);

struct socket_limits socket_limits = {.send_default = 212992,
                                      .receive_default = 212992,
                                      .send_max = 212992,
                                      .receive_max = 212992,
                                      .control_max = 20480,
                                      .backlog_max = SOMAXCONN};

/* ---- life ---- */

static struct lock_class socket_lock_class __maybe_unused = {.name = "socket", .nests = true};

void socket_construct(struct socket *socket)
{
    spin_init(&socket->lock, "socket");
    lockdep_set_class(&socket->lock, &socket_lock_class);
    wait_queue_init(&socket->read_wait);
    wait_queue_init(&socket->write_wait);
    async_list_init(&socket->async);
}

void socket_init(struct socket *socket, const struct socket_family *family,
                 const struct socket_ops *ops, int protocol)
{
    socket->ops = ops;
    socket->family = family;
    socket->protocol = protocol;
    refcount_init(&socket->refs, 1);
    socket->charged = 1;
    socket->send_limit = atomic_load_relaxed(&socket_limits.send_default);
    socket->receive_limit = atomic_load_relaxed(&socket_limits.receive_default);
    socket->send_timeout = socket->receive_timeout = KTIME_MAX;
    socket->options = 0;
    socket->receive_low = 1;
    socket->priority = socket->mark = 0;
    socket->linger = 0;
    socket->error = 0;
    socket->shutdown = 0;
    socket->cookie = 0;
    socket->stamp = 0;
    socket->lacked_room = false;
    socket->file = NULL;
    socket->ino = 0;
}

static inline void socket_drop_charge(struct socket *socket, uint32_t bytes)
{
    if (__atomic_sub_fetch(&socket->charged, bytes, __ATOMIC_ACQ_REL) == 0) {
        socket->ops->destroy(socket);
    }
}

void socket_put(struct socket *socket)
{
    if (socket != NULL && refcount_put(&socket->refs)) {
        socket_drop_charge(socket, 1);
    }
}

void socket_uncharge(struct socket *sender, uint32_t bytes)
{
    /* One stays until the sleepers were told: it keeps the socket alive. */
    (void)__atomic_fetch_sub(&sender->charged, bytes - 1, __ATOMIC_RELEASE);
    if (unlikely(wait_queue_active(&sender->write_wait)) && socket_has_room(sender)) {
        wait_wake_n(&sender->write_wait, 1, SOCKET_POLLOUT);
    }
    if (async_is_wanted(&sender->async) && socket_has_room(sender) &&
        atomic_exchange(&sender->lacked_room, false)) {
        async_tell_all(&sender->async, POLL_OUT);
    }
    socket_drop_charge(sender, 1);
}

void sockets_init(void)
{
    linkset_foreach (socket_families, struct socket_family, family) {
        if (family->init != NULL) {
            family->init();
        }
    }
}

void sockets_start(void)
{
    linkset_foreach (socket_families, struct socket_family, family) {
        if (family->start != NULL) {
            family->start();
        }
    }
}

int socket_create(int family, int type, int protocol, struct socket **ret_socket)
{
    if (family < 0 || family >= AF_MAX) {
        return -EAFNOSUPPORT;
    }
    if (type < 0 || type >= SOCK_TYPE_MAX) {
        return -EINVAL;
    }
    linkset_foreach (socket_families, struct socket_family, candidate) {
        if (candidate->family == family) {
            return candidate->create(type, protocol, ret_socket);
        }
    }
    return -EAFNOSUPPORT;
}

/* ---- waiting ---- */

/* Is there anything that ends waiting for room? */
static bool room_or_end(const struct socket *socket)
{
    return socket_charge(socket) < atomic_load_relaxed(&socket->send_limit) ||
           atomic_load_relaxed(&socket->error) != 0 ||
           (atomic_load_relaxed(&socket->shutdown) & SHUTDOWN_SEND) != 0;
}

static __noinline int socket_sleep_room(struct socket *socket)
{
    ktime_t deadline = socket_deadline(&socket->send_timeout);
    int err = socket_wait(&socket->write_wait, room_or_end(socket), deadline);

    /* We were woken alone: whoever sleeps behind us is told as well, should we leave room. */
    if (wait_queue_active(&socket->write_wait) && socket_has_room(socket)) {
        wait_wake_n(&socket->write_wait, 1, SOCKET_POLLOUT);
    }
    return err;
}

int socket_wait_room(struct socket *socket, bool nonblock)
{
    for (;;) {
        int err = socket_take_error(socket);
        if (unlikely(err < 0)) {
            return err;
        }
        if (unlikely((atomic_load_relaxed(&socket->shutdown) & SHUTDOWN_SEND) != 0)) {
            return -EPIPE;
        }
        if (likely(socket_charge(socket) < atomic_load_relaxed(&socket->send_limit))) {
            return 0;
        }
        atomic_store_relaxed(&socket->lacked_room, true);
        err = nonblock ? -EAGAIN : socket_sleep_room(socket);
        if (err < 0) {
            return err;
        }
    }
}

void socket_wake_all(struct socket *socket)
{
    wait_wake_all(&socket->read_wait, 0);
    wait_wake_all(&socket->write_wait, 0);
}

/* ---- sockets as files ---- */

ssize_t socket_send(struct socket *socket, struct message *message)
{
    return socket->ops->send == NULL ? -EOPNOTSUPP : socket->ops->send(socket, message);
}

ssize_t socket_receive(struct socket *socket, struct message *message)
{
    return socket->ops->receive == NULL ? -EOPNOTSUPP : socket->ops->receive(socket, message);
}

static ssize_t socket_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    struct message message;

    (void)pos;
    if (unlikely(to->count == 0)) {
        return 0;
    }
    message.data = to;
    message.flags = (file->flags & O_NONBLOCK) != 0 ? MSG_DONTWAIT : 0;
    message.result = 0;
    message.name = NULL;
    message.control = (struct message_control){.out = NULL, .left = 0};
    return socket_receive(file->private, &message);
}

static ssize_t socket_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    struct socket *socket = file->private;
    struct message message;

    (void)pos;
    message.data = from;
    message.flags = (file->flags & O_NONBLOCK) != 0 ? MSG_DONTWAIT : 0;
    if (socket_type(socket) == SOCK_SEQPACKET) {
        message.flags |= MSG_EOR;
    }
    message.name = NULL;
    message.name_len = 0;
    message.control.left = 0;
    return socket_send(socket, &message);
}

static uint32_t socket_poll(struct file *file, struct poll_table *table)
{
    struct socket *socket = file->private;

    return socket->ops->poll(socket, table);
}

static int64_t socket_get_stamp(struct socket *socket, unsigned cmd, uint64_t arg)
{
    ktime_t stamp = atomic_load_relaxed(&socket->stamp);
    bool ns = cmd == SIOCGSTAMPNS_OLD || cmd == SIOCGSTAMPNS_NEW;

    if (stamp == 0) {
        return -ENOENT;
    }
    int64_t when[2] = {stamp / NS_PER_S, stamp % NS_PER_S / (ns ? 1 : NS_PER_US)};
    return copy_to_user((void __user *)arg, when, sizeof(when));
}

static int64_t socket_owner(struct file *file, bool set, int __user *arg)
{
    int owner;

    if (!set) {
        return put_user((int)file_get_owner_number(file), arg);
    }
    return get_user(owner, arg) < 0 ? -EFAULT : file_set_owner_number(file, owner);
}

static int64_t socket_ioctl(struct file *file, unsigned cmd, uint64_t arg)
{
    struct socket *socket = file->private;

    switch (cmd) {
    case FIOSETOWN:
    case SIOCSPGRP:
    case FIOGETOWN:
    case SIOCGPGRP:
        return socket_owner(file, cmd == FIOSETOWN || cmd == SIOCSPGRP, (int __user *)arg);
    case SIOCGSTAMP_OLD:
    case SIOCGSTAMP_NEW:
    case SIOCGSTAMPNS_OLD:
    case SIOCGSTAMPNS_NEW:
        return socket_get_stamp(socket, cmd, arg);
    default:
        return socket->ops->ioctl == NULL ? -ENOTTY : socket->ops->ioctl(socket, cmd, arg);
    }
}

static size_t socket_show_fdinfo(struct file *file, char *buf, size_t size)
{
    struct socket *socket = file->private;

    return socket->ops->show_fdinfo == NULL ? 0 : socket->ops->show_fdinfo(socket, buf, size);
}

static int socket_fasync(int fd, struct file *file, bool on)
{
    struct socket *socket = file->private;

    return async_set(&socket->async, fd, file, on);
}

static void socket_release(struct file *file)
{
    struct socket *socket = file->private;

    spin_lock(&socket->lock);
    socket->file = NULL;
    spin_unlock(&socket->lock);
    socket->ops->release(socket);
}

static const struct file_ops socket_fops = {.release = socket_release,
                                            .read = socket_read,
                                            .write = socket_write,
                                            .poll = socket_poll,
                                            .ioctl = socket_ioctl,
                                            .fasync = socket_fasync,
                                            .show_fdinfo = socket_show_fdinfo};

struct socket *file_socket(const struct file *file)
{
    return likely(file->fops == &socket_fops) ? file->private : NULL;
}

int socket_open_file(struct socket *socket, int flags, struct file **ret_file)
{
    struct inode *inode = anon_inode_create(S_IFSOCK | 0777);
    struct file *file;
    char name[32];

    if (inode == NULL) {
        socket->ops->release(socket);
        return -ENOMEM;
    }
    (void)ksnprintf(name, sizeof(name), "socket:[%llu]", (unsigned long long)inode->ino);
    int err = file_create_anonymous(inode, name, &socket_fops, O_RDWR | (flags & O_NONBLOCK),
                                    FMODE_READ | FMODE_WRITE, &file);
    if (err < 0) {
        socket->ops->release(socket);
        return err;
    }
    file->private = socket;
    spin_lock(&socket->lock);
    socket->file = file;
    socket->ino = file->inode->ino;
    spin_unlock(&socket->lock);
    *ret_file = file;
    return 0;
}
