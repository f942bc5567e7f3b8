/* Local sockets: what the files of their tests share. */
#pragma once

#include "abi.h"

#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

/* The C library would look into headers itself, and refuse some: the kernel is asked. */
static inline ssize_t sock_sendmsg(int fd, const struct msghdr *message, int flags)
{
    return syscall(SYS_sendmsg, fd, message, flags);
}

/* The address of a path, or, with a leading '@', an abstract one. Its length. */
static inline socklen_t sock_name(struct sockaddr_un *address, const char *name)
{
    size_t len = strlen(name);

    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, name, len);
    if (name[0] == '@') {
        address->sun_path[0] = '\0';
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

static inline int sock_bind(int fd, const char *name)
{
    struct sockaddr_un address;
    socklen_t len = sock_name(&address, name);

    return bind(fd, (struct sockaddr *)&address, len);
}

static inline int sock_connect(int fd, const char *name)
{
    struct sockaddr_un address;
    socklen_t len = sock_name(&address, name);

    return connect(fd, (struct sockaddr *)&address, len);
}

static inline ssize_t sock_sendto(int fd, const void *data, size_t size, int flags,
                                  const char *name)
{
    struct sockaddr_un address;
    socklen_t len = sock_name(&address, name);

    return sendto(fd, data, size, flags, (struct sockaddr *)&address, len);
}

/* A listening socket. */
static inline int sock_listener(int type, const char *name, int backlog)
{
    int fd = socket(AF_UNIX, type, 0);

    CHECK(fd >= 0);
    CHECK_EQ(sock_bind(fd, name), 0);
    CHECK_EQ(listen(fd, backlog), 0);
    return fd;
}

static inline void sock_pair(int type, int ends[2])
{
    CHECK_EQ(socketpair(AF_UNIX, type, 0, ends), 0);
}

static inline int sock_option(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    CHECK_EQ(getsockopt(fd, SOL_SOCKET, name, &value, &len), 0);
    CHECK_EQ(len, sizeof(value));
    return value;
}

static inline int sock_set(int fd, int name, int value)
{
    return setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value));
}

/* What poll says at once. */
static inline int sock_ready(int fd, int events)
{
    struct pollfd p = {fd, (short)events, 0};

    CHECK(poll(&p, 1, 0) >= 0);
    return p.revents;
}

/* One message with files and, if wanted, credentials. */
static inline ssize_t sock_send_files(int fd, const void *data, size_t size, const int *files,
                                      unsigned n)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(260 * sizeof(int))];
    } control;
    struct iovec iov = {(void *)data, size};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(n * sizeof(int))};

    memset(&control, 0, sizeof(control));
    control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.header), files, n * sizeof(int));
    return sock_sendmsg(fd, &message, MSG_NOSIGNAL);
}

/* Receive up to `room` files: their number; *ret_bytes and *ret_flags tell of the rest. */
static inline int sock_receive_files(int fd, void *data, size_t size, int *files, unsigned room,
                                     int flags, ssize_t *ret_bytes, int *ret_flags)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(260 * sizeof(int))];
    } control;
    struct iovec iov = {data, size};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = room == 0 ? 0 : CMSG_LEN(room * sizeof(int))};
    int n = 0;

    *ret_bytes = recvmsg(fd, &message, flags);
    *ret_flags = message.msg_flags;
    if (*ret_bytes < 0) {
        return -1;
    }
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
        n = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(files, CMSG_DATA(header), (size_t)n * sizeof(int));
    }
    return n;
}
