/*
 * Sockets: making, naming, connecting, options (socket(2), bind(2), connect(2), accept(2) ...). socket_io.c: sending and receiving.
 */
#include "kernel/linux/socket.h"
#include "kernel/linux/fd.h"

#include "kernel/linux/syscall.h"

#define SOCKET_FLAG_BITS (SOCK_CLOEXEC | SOCK_NONBLOCK)

struct socket *socket_borrow(int fd, struct fd_ref *ret_ref, int *ret_err)
{
    struct fd_ref ref = fd_borrow(fd);
    struct file *file = fd_ref_file(ref);

    if (unlikely(file == NULL)) {
        *ret_err = -EBADF;
        return NULL;
    }
    struct socket *socket = file_socket(file);
    if (unlikely(socket == NULL)) {
        fd_return(ref);
        *ret_err = -ENOTSOCK;
        return NULL;
    }
    *ret_ref = ref;
    return socket;
}

int socket_name_in(const void __user *name, int len, struct __kernel_sockaddr_storage *ret_name)
{
    if (len < 0 || (size_t)len > sizeof(*ret_name)) {
        return -EINVAL;
    }
    return len == 0 ? 0 : copy_from_user(ret_name, name, (size_t)len);
}

int socket_name_out(const struct __kernel_sockaddr_storage *name, int len, void __user *to,
                    int __user *to_len)
{
    int room;

    if (get_user(room, to_len) < 0) {
        return -EFAULT;
    }
    if (room < 0) {
        return -EINVAL;
    }
    if (copy_to_user(to, name, (size_t)MIN(room, len)) < 0) {
        return -EFAULT;
    }
    return put_user(len, to_len);
}

/* ---- making ---- */

/* A descriptor for a socket whose reference we have: it goes on failure. */
static int64_t socket_install(struct socket *socket, int flags)
{
    struct file *file;
    int err = socket_open_file(socket, flags, &file);

    if (err < 0) {
        return err;
    }
    int fd = fd_add(file, (flags & SOCK_CLOEXEC) != 0);
    if (fd < 0) {
        file_put(file);
    }
    return fd;
}

SYSCALL3(socket, int, family, int, type, int, protocol)
{
    int flags = type & ~SOCK_TYPE_MASK;
    struct socket *socket;

    if ((flags & ~SOCKET_FLAG_BITS) != 0) {
        return -EINVAL;
    }
    int err = socket_create(family, type & SOCK_TYPE_MASK, protocol, &socket);
    return err < 0 ? err : socket_install(socket, flags);
}

/* Two connected sockets as files. */
static int pair_files(int family, int type, int protocol, int flags, struct file *ret_files[2])
{
    struct socket *sockets[2];

    int err = socket_create(family, type, protocol, &sockets[0]);
    if (err < 0) {
        return err;
    }
    err = socket_create(family, type, protocol, &sockets[1]);
    if (err < 0) {
        goto release_first;
    }
    err =
        sockets[0]->ops->pair == NULL ? -EOPNOTSUPP : sockets[0]->ops->pair(sockets[0], sockets[1]);
    if (err < 0) {
        goto release_second;
    }
    err = socket_open_file(sockets[0], flags, &ret_files[0]);
    if (err < 0) {
        sockets[1]->ops->release(sockets[1]);
        return err;
    }
    err = socket_open_file(sockets[1], flags, &ret_files[1]);
    if (err < 0) {
        file_put(ret_files[0]);
    }
    return err;

release_second:
    sockets[1]->ops->release(sockets[1]);
release_first:
    sockets[0]->ops->release(sockets[0]);
    return err;
}

SYSCALL4(socketpair, int, family, int, type, int, protocol, int __user *, ufds)
{
    int flags = type & ~SOCK_TYPE_MASK;
    struct file *files[2];

    if ((flags & ~SOCKET_FLAG_BITS) != 0) {
        return -EINVAL;
    }
    int err = pair_files(family, type & SOCK_TYPE_MASK, protocol, flags, files);
    if (err < 0) {
        return err;
    }
    return fd_give_two(files, (flags & SOCK_CLOEXEC) != 0, ufds);
}

/* ---- names and connections ---- */

SYSCALL3(bind, int, fd, const void __user *, uname, int, len)
{
    struct __kernel_sockaddr_storage name = {0};
    struct fd_ref ref;
    int err;
    struct socket *socket = socket_borrow(fd, &ref, &err);

    if (socket == NULL) {
        return err;
    }
    err = socket_name_in(uname, len, &name);
    if (err == 0) {
        err = socket->ops->bind == NULL
                  ? -EOPNOTSUPP
                  : socket->ops->bind(socket, (struct sockaddr *)&name, (unsigned)len);
    }
    fd_return(ref);
    return err;
}

SYSCALL3(connect, int, fd, const void __user *, uname, int, len)
{
    struct __kernel_sockaddr_storage name = {0};
    struct fd_ref ref;
    int err;
    struct socket *socket = socket_borrow(fd, &ref, &err);

    if (socket == NULL) {
        return err;
    }
    err = socket_name_in(uname, len, &name);
    if (err == 0) {
        err = socket->ops->connect == NULL
                  ? -EOPNOTSUPP
                  : socket->ops->connect(socket, (struct sockaddr *)&name, (unsigned)len,
                                         (int)fd_ref_file(ref)->flags & O_NONBLOCK);
    }
    fd_return(ref);
    return err;
}

SYSCALL2(listen, int, fd, int, backlog)
{
    struct fd_ref ref;
    int err;
    struct socket *socket = socket_borrow(fd, &ref, &err);

    if (socket == NULL) {
        return err;
    }
    err = socket->ops->listen == NULL ? -EOPNOTSUPP : socket->ops->listen(socket, backlog);
    fd_return(ref);
    return err;
}

/* Tell who connected: `to` may be NULL. */
static int accept_tell(struct socket *socket, void __user *to, int __user *to_len)
{
    struct __kernel_sockaddr_storage name;

    if (to == NULL) {
        return 0;
    }
    int len = socket->ops->name(socket, true, &name);
    return len < 0 ? -ECONNABORTED : socket_name_out(&name, len, to, to_len);
}

static int64_t accept_connection(struct socket *listener, bool nonblock, int flags, void __user *to,
                                 int __user *to_len)
{
    struct socket *socket;
    struct file *file;

    if (listener->ops->accept == NULL) {
        return -EOPNOTSUPP;
    }
    int fd = fd_reserve(0, (flags & SOCK_CLOEXEC) != 0, process_limit(RLIMIT_NOFILE));
    if (fd < 0) {
        return fd;
    }
    int err = listener->ops->accept(listener, nonblock, &socket);
    if (err < 0) {
        goto unreserve;
    }
    err = socket_open_file(socket, flags, &file);
    if (err < 0) {
        goto unreserve;
    }
    err = accept_tell(socket, to, to_len);
    if (err < 0) {
        goto put_file;
    }
    fd_install(fd, file);
    return fd;

put_file:
    file_put(file);
unreserve:
    fd_unreserve(fd);
    return err;
}

static int64_t accept_from(int fd, void __user *to, int __user *to_len, int flags)
{
    struct fd_ref ref;
    int err;

    if ((flags & ~SOCKET_FLAG_BITS) != 0) {
        return -EINVAL;
    }
    struct socket *listener = socket_borrow(fd, &ref, &err);
    if (listener == NULL) {
        return err;
    }
    bool nonblock = (fd_ref_file(ref)->flags & O_NONBLOCK) != 0;
    int64_t result = accept_connection(listener, nonblock, flags, to, to_len);
    fd_return(ref);
    return result;
}

SYSCALL3(accept, int, fd, void __user *, name, int __user *, len)
{
    return accept_from(fd, name, len, 0);
}

SYSCALL4(accept4, int, fd, void __user *, name, int __user *, len, int, flags)
{
    return accept_from(fd, name, len, flags);
}

static int64_t name_of(int fd, void __user *to, int __user *to_len, bool peer)
{
    struct __kernel_sockaddr_storage name;
    struct fd_ref ref;
    int result;
    struct socket *socket = socket_borrow(fd, &ref, &result);

    if (socket == NULL) {
        return result;
    }
    result = socket->ops->name == NULL ? -EOPNOTSUPP : socket->ops->name(socket, peer, &name);
    if (result >= 0) {
        result = socket_name_out(&name, result, to, to_len);
    }
    fd_return(ref);
    return result;
}

SYSCALL3(getsockname, int, fd, void __user *, name, int __user *, len)
{
    return name_of(fd, name, len, false);
}

SYSCALL3(getpeername, int, fd, void __user *, name, int __user *, len)
{
    return name_of(fd, name, len, true);
}

SYSCALL2(shutdown, int, fd, int, how)
{
    struct fd_ref ref;
    int err;
    struct socket *socket = socket_borrow(fd, &ref, &err);

    if (socket == NULL) {
        return err;
    }
    err = socket->ops->shutdown == NULL ? -EOPNOTSUPP : socket->ops->shutdown(socket, how);
    fd_return(ref);
    return err;
}

/* ---- options ---- */

SYSCALL5(setsockopt, int, fd, int, level, int, name, const void __user *, value, int, len)
{
    struct fd_ref ref;
    int err;

    if (len < 0) {
        return -EINVAL;
    }
    struct socket *socket = socket_borrow(fd, &ref, &err);
    if (socket == NULL) {
        return err;
    }
    err = socket_set_option(socket, level, name, value, (unsigned)len);
    fd_return(ref);
    return err;
}

SYSCALL5(getsockopt, int, fd, int, level, int, name, void __user *, value, int __user *, ulen)
{
    struct fd_ref ref;
    int err, len;
    struct socket *socket = socket_borrow(fd, &ref, &err);

    if (socket == NULL) {
        return err;
    }
    if (get_user(len, ulen) < 0) {
        err = -EFAULT;
    } else if (len < 0) {
        err = -EINVAL;
    } else {
        unsigned size = (unsigned)len;
        err = socket_get_option(socket, level, name, value, &size);
        if ((err == 0 || err == -ERANGE) && put_user((int)size, ulen) < 0) {
            err = -EFAULT;
        }
    }
    fd_return(ref);
    return err;
}
