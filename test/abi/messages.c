/* Local sockets: datagrams, sequenced packets, options, what messages carry, the urgent byte. */
#include "sockets.h"

#include <sched.h>
#include <sys/resource.h>

ABI_TEST(datagram, keeps_messages_apart)
{
    struct sockaddr_un address;
    socklen_t len = sizeof(address);
    char buf[16];
    int a = socket(AF_UNIX, SOCK_DGRAM, 0), b = socket(AF_UNIX, SOCK_DGRAM, 0), n;

    CHECK_EQ(sock_bind(a, "a"), 0);
    CHECK_ERR(send(b, "x", 1, 0), ENOTCONN);
    CHECK_ERR(sock_sendto(b, "x", 1, 0, "none"), ENOENT);
    CHECK_ERR(sock_sendto(b, "x", 1, 0, "@none"), ECONNREFUSED);
    CHECK_ERR(recv(a, buf, 16, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(sock_sendto(b, "first", 5, 0, "a"), 5);
    CHECK_EQ(sock_sendto(b, "", 0, 0, "a"), 0);
    CHECK_EQ(sock_bind(b, "@abi-dgram-b"), 0);
    CHECK_EQ(sock_sendto(b, "third", 5, 0, "a"), 5);
    CHECK_EQ(ioctl(a, FIONREAD, &n), 0);
    CHECK_EQ(n, 5);
    CHECK_EQ(recv(a, buf, 2, MSG_PEEK | MSG_TRUNC), 5);
    /* The name is the sender's at the time of reading. */
    CHECK_EQ(recvfrom(a, buf, 2, 0, (struct sockaddr *)&address, &len), 2);
    CHECK_EQ(len, 2 + 12);
    CHECK(memcmp(address.sun_path, "\0abi-dgram-b", 12) == 0);
    CHECK_EQ(recv(a, buf, 16, 0), 0);
    CHECK_EQ(recv(a, buf, 16, 0), 5);
    CHECK(memcmp(buf, "third", 5) == 0);
    int unbound = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_EQ(sock_sendto(unbound, "x", 1, 0, "a"), 1);
    len = sizeof(address);
    CHECK_EQ(recvfrom(a, buf, 16, 0, (struct sockaddr *)&address, &len), 1);
    CHECK_EQ(len, 0);
    CHECK_ERR(recv(a, buf, 1, MSG_OOB), EOPNOTSUPP);
    CHECK_ERR(sock_sendto(b, "x", 1, MSG_OOB, "a"), EOPNOTSUPP);
    int stream = sock_listener(SOCK_STREAM, "s", 1);
    CHECK(stream >= 0);
    CHECK_ERR(sock_sendto(b, "x", 1, 0, "s"), EPROTOTYPE);
}

ABI_TEST(datagram, connects_and_disconnects)
{
    struct sockaddr unspecified = {.sa_family = AF_UNSPEC};
    char buf[16];
    int a = socket(AF_UNIX, SOCK_DGRAM, 0), b = socket(AF_UNIX, SOCK_DGRAM, 0),
        c = socket(AF_UNIX, SOCK_DGRAM, 0);

    CHECK_EQ(sock_bind(a, "a"), 0);
    CHECK_EQ(sock_bind(b, "b"), 0);
    CHECK_EQ(sock_connect(b, "a"), 0);
    CHECK_EQ(sock_connect(a, "b"), 0);
    CHECK_EQ(send(b, "hi", 2, 0), 2);
    CHECK_EQ(recv(a, buf, 16, 0), 2);
    CHECK_ERR(sock_sendto(c, "x", 1, 0, "a"), EPERM); /* it talks to b alone */
    CHECK_ERR(sock_connect(c, "a"), EPERM);
    CHECK_EQ(connect(a, &unspecified, sizeof(unspecified)), 0);
    CHECK_ERR(send(a, "x", 1, 0), ENOTCONN);
    CHECK_EQ(sock_sendto(c, "x", 1, 0, "a"), 1);
    CHECK_EQ(recv(a, buf, 16, 0), 1);
    /* A peer that has been closed is told once, and forgotten. */
    CHECK_EQ(close(a), 0);
    CHECK_ERR(send(b, "x", 1, 0), ECONNREFUSED);
    CHECK_ERR(send(b, "x", 1, 0), ENOTCONN);
}

ABI_TEST(datagram, the_queue_is_bounded)
{
    char buf[16];
    int a = socket(AF_UNIX, SOCK_DGRAM, 0), b = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0),
        n = 0;

    CHECK_EQ(sock_bind(a, "a"), 0);
    CHECK_EQ(sock_connect(b, "a"), 0);
    CHECK_EQ(sock_ready(b, POLLOUT), POLLOUT);
    while (send(b, "x", 1, 0) == 1) {
        n++;
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK(n > 5 && n < 2000);
    CHECK_EQ(sock_ready(b, POLLOUT), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct pollfd p = {b, POLLOUT, 0};
        _exit(poll(&p, 1, 5000) == 1 && send(b, "y", 1, 0) == 1 ? 0 : 1);
    }
    abi_sleep_ms(20);
    CHECK_EQ(recv(a, buf, 16, 0), 1);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    /* A blocked sender goes on as soon as there is room. */
    CHECK_EQ(fcntl(b, F_SETFL, 0), 0);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        _exit(send(b, "z", 1, 0) == 1 ? 0 : 1);
    }
    abi_sleep_ms(20);
    CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
    CHECK_EQ(recv(a, buf, 16, 0), 1);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    /* Of a pair only the bytes on their way count. */
    static char big[300000];
    int s[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s), 0);
    for (n = 0; send(s[0], "x", 1, 0) == 1; n++) {
    }
    CHECK(n > 20);
    CHECK_ERR(send(s[1], big, sizeof(big), 0), EMSGSIZE);
    CHECK_EQ(send(s[1], big, 100000, 0), 100000);
    CHECK_EQ(recv(s[0], big, sizeof(big), 0), 100000);
}

ABI_TEST(seqpacket, connects_and_keeps_messages_apart)
{
    char buf[16];
    int listener = sock_listener(SOCK_SEQPACKET, "s", 2),
        client = socket(AF_UNIX, SOCK_SEQPACKET, 0);

    CHECK_ERR(send(client, "x", 1, 0), ENOTCONN);
    CHECK_ERR(recv(client, buf, 1, 0), ENOTCONN);
    CHECK_EQ(sock_connect(client, "s"), 0);
    int server = accept(listener, NULL, NULL);
    CHECK(server >= 0);
    CHECK_EQ(write(client, "one", 3), 3);
    CHECK_EQ(write(client, "two", 3), 3);
    CHECK_EQ(read(server, buf, 2), 2);
    CHECK_EQ(read(server, buf, 16), 3);
    CHECK(memcmp(buf, "two", 3) == 0);
    CHECK_EQ(close(client), 0);
    CHECK_EQ(read(server, buf, 16), 0);
    CHECK_EQ(recv(server, buf, 16, MSG_DONTWAIT), 0);
    CHECK_ERR(send(server, "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(sock_ready(server, POLLIN | POLLRDHUP), POLLIN | POLLRDHUP | POLLHUP);
}

ABI_TEST(message, many_at_once)
{
    struct iovec out[3] = {{(char *)"a", 1}, {(char *)"bb", 2}, {(char *)"ccc", 3}}, in[4];
    struct mmsghdr messages[4] = {0};
    char buf[4][8];
    int s[2];

    sock_pair(SOCK_DGRAM, s);
    for (int i = 0; i < 3; i++) {
        messages[i].msg_hdr.msg_iov = &out[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQ(syscall(SYS_sendmmsg, s[0], messages, 3, 0), 3);
    CHECK_EQ(messages[2].msg_len, 3);
    for (int i = 0; i < 4; i++) {
        in[i] = (struct iovec){buf[i], 8};
        messages[i].msg_hdr.msg_iov = &in[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQ(syscall(SYS_recvmmsg, s[1], messages, 4, MSG_WAITFORONE, NULL), 3);
    CHECK_EQ(messages[0].msg_len, 1);
    CHECK_EQ(messages[1].msg_len, 2);
    CHECK_ERR(syscall(SYS_recvmmsg, s[1], messages, 4, MSG_DONTWAIT, NULL), EAGAIN);
    struct timespec bad = {0, 1000000000};
    CHECK_ERR(syscall(SYS_recvmmsg, s[1], messages, 4, MSG_DONTWAIT, &bad), EINVAL);
    struct msghdr header = {.msg_iov = out, .msg_iovlen = 3};
    CHECK_EQ(sock_sendmsg(s[0], &header, 0), 6);
    CHECK_EQ(recv(s[1], buf, sizeof(buf), 0), 6);
    header.msg_iovlen = 1025;
    CHECK_ERR(sock_sendmsg(s[0], &header, 0), EMSGSIZE);
    CHECK_ERR(sock_sendmsg(s[0], (void *)8, 0), EFAULT);
}

ABI_TEST(rights, files_travel)
{
    int s[2], p[2], got[4], flags;
    ssize_t bytes;
    char buf[16];

    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(sock_send_files(s[0], "xy", 2, p, 2), 2);
    CHECK_EQ(close(p[0]), 0);
    CHECK_EQ(write(s[0], "more", 4), 4);
    /* A read ends where files were. */
    CHECK_EQ(sock_receive_files(s[1], buf, 16, got, 4, MSG_CMSG_CLOEXEC, &bytes, &flags), 2);
    CHECK_EQ(bytes, 2);
    CHECK_EQ(flags & MSG_CTRUNC, 0);
    CHECK_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(p[1], "pipe", 4), 4);
    CHECK_EQ(read(got[0], buf, 16), 4);
    CHECK_EQ(read(s[1], buf, 16), 4);
    /* Not enough room: some, and the rest closed. */
    CHECK_EQ(sock_send_files(s[0], "z", 1, (int[]){p[1], p[1], p[1]}, 3), 1);
    CHECK_EQ(sock_receive_files(s[1], buf, 16, got + 2, 1, 0, &bytes, &flags), 1);
    CHECK_EQ(flags, MSG_CTRUNC);
    CHECK_EQ(fcntl(got[2], F_GETFD), 0);
    /* No room at all, and read(2). */
    CHECK_EQ(sock_send_files(s[0], "z", 1, p + 1, 1), 1);
    CHECK_EQ(sock_receive_files(s[1], buf, 16, got, 0, 0, &bytes, &flags), 0);
    CHECK_EQ(flags, MSG_CTRUNC);
    CHECK_EQ(sock_send_files(s[0], "z", 1, p + 1, 1), 1);
    CHECK_EQ(read(s[1], buf, 16), 1);
    CHECK_EQ(close(p[1]), 0);
    CHECK_EQ(close(got[1]), 0);
    CHECK_EQ(close(got[2]), 0);
    CHECK_EQ(read(got[0], buf, 16), 0); /* nobody else has the write end now */
}

ABI_TEST(rights, bad_ones_are_refused)
{
    int s[2], many[254], bad = 999;
    struct rlimit limit;

    sock_pair(SOCK_DGRAM, s);
    for (int i = 0; i < 254; i++) {
        many[i] = s[0];
    }
    CHECK_ERR(sock_send_files(s[0], "x", 1, &bad, 1), EBADF);
    CHECK_ERR(sock_send_files(s[0], "x", 1, many, 254), EINVAL);
    CHECK_EQ(sock_send_files(s[0], "x", 1, many, 253), 1);
    char bytes[CMSG_SPACE(4)] = {0};
    struct iovec iov = {bytes, 1};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = bytes, .msg_controllen = sizeof(bytes)};
    struct cmsghdr *header = (struct cmsghdr *)(void *)bytes;
    *header = (struct cmsghdr){.cmsg_len = 8, .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    CHECK_ERR(sock_sendmsg(s[0], &message, 0), EINVAL);
    header->cmsg_len = 100;
    CHECK_ERR(sock_sendmsg(s[0], &message, 0), EINVAL);
    header->cmsg_len = CMSG_LEN(4);
    header->cmsg_type = 77;
    CHECK_ERR(sock_sendmsg(s[0], &message, 0), EINVAL);
    header->cmsg_level = 77; /* not for this kind of socket */
    CHECK_EQ(sock_sendmsg(s[0], &message, 0), 1);
    message.msg_controllen = 1 << 30;
    CHECK_ERR(sock_sendmsg(s[0], &message, 0), ENOBUFS);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 64;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(setresuid(54321, 54321, 54321), 0); /* a user with no files on their way */
    CHECK_EQ(sock_send_files(s[0], "x", 1, many, 60), 1);
    CHECK_EQ(sock_send_files(s[0], "x", 1, many, 60), 1);
    CHECK_ERR(sock_send_files(s[0], "x", 1, many, 1), ETOOMANYREFS);
    char buf[8];
    for (int i = 0; i < 4; i++) {
        CHECK(recv(s[1], buf, 8, MSG_DONTWAIT) == 1);
    }
    CHECK_EQ(sock_send_files(s[0], "x", 1, many, 1), 1);
}

ABI_TEST(rights, peeking_copies_files)
{
    int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

    for (int i = 0; i < 3; i++) {
        int s[2], p[2], got[2], flags;
        ssize_t bytes;
        char buf[4];
        sock_pair(types[i], s);
        CHECK_EQ(pipe(p), 0);
        CHECK_EQ(sock_send_files(s[0], "x", 1, p + 1, 1), 1);
        CHECK_EQ(sock_receive_files(s[1], buf, 4, got, 1, MSG_PEEK, &bytes, &flags), 1);
        CHECK_EQ(sock_receive_files(s[1], buf, 4, got + 1, 1, 0, &bytes, &flags), 1);
        CHECK(got[0] != got[1]);
        CHECK_EQ(write(got[0], "a", 1), 1);
        CHECK_EQ(write(got[1], "b", 1), 1);
        CHECK_EQ(read(p[0], buf, 4), 2);
    }
}

/* The write end of a pipe goes with the last reference: read says so. */
static void check_collected(int pipe_read, int others)
{
    struct pollfd p = {pipe_read, POLLIN, 0};

    close(others);
    int s[2]; /* closing any local socket makes the kernel look, where it does not by itself */
    for (int i = 0; i < 100 && poll(&p, 1, 20) == 0; i++) {
        sock_pair(SOCK_STREAM, s);
        close(s[0]);
        close(s[1]);
    }
    CHECK_EQ(p.revents, POLLHUP);
}

ABI_TEST(rights, a_socket_in_its_own_queue_is_collected)
{
    int s[2], p[2];

    sock_pair(SOCK_DGRAM, s);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(sock_send_files(s[0], "x", 1, (int[]){s[1], p[1]}, 2), 1);
    CHECK_EQ(close(s[1]), 0);
    check_collected(p[0], p[1]);
    CHECK_EQ(close(s[0]), 0);
}

ABI_TEST(rights, sockets_in_each_others_queues_are_collected)
{
    int a[2], b[2], p[2], got[2], flags;
    ssize_t bytes;
    char buf[4];

    sock_pair(SOCK_STREAM, a);
    sock_pair(SOCK_STREAM, b);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(sock_send_files(a[0], "x", 1, (int[]){b[1], p[1]}, 2), 1); /* in a[1]'s queue */
    CHECK_EQ(sock_send_files(b[0], "x", 1, (int[]){a[1], p[1]}, 2), 1); /* in b[1]'s queue */
    CHECK_EQ(close(p[1]), 0);
    /* While one can be read nothing goes. */
    CHECK_EQ(close(b[1]), 0);
    int s[2];
    sock_pair(SOCK_STREAM, s);
    close(s[0]);
    close(s[1]);
    CHECK_EQ(sock_receive_files(a[1], buf, 4, got, 2, MSG_PEEK, &bytes, &flags), 2);
    CHECK_EQ(close(got[1]), 0);
    CHECK_EQ(recv(got[0], buf, 4, MSG_PEEK), 1);
    CHECK_EQ(close(got[0]), 0);
    CHECK_EQ(close(a[1]), 0);
    CHECK_EQ(close(a[0]), 0);
    check_collected(p[0], b[0]);
}

ABI_TEST(rights, a_connection_nobody_accepts_is_collected)
{
    int listener = sock_listener(SOCK_STREAM, "@abi-gc", 5),
        client = socket(AF_UNIX, SOCK_STREAM, 0), p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(sock_connect(client, "@abi-gc"), 0);
    CHECK_EQ(sock_send_files(client, "x", 1, (int[]){listener, p[1]}, 2), 1);
    CHECK_EQ(close(listener), 0);
    CHECK_EQ(close(client), 0);
    check_collected(p[0], p[1]);
}

ABI_TEST(rights, a_long_chain_of_sockets_ends)
{
    enum { LINKS = 1000 };
    int p[2], last;

    CHECK_EQ(pipe(p), 0);
    last = p[1];
    for (int i = 0; i < LINKS; i++) {
        int s[2];
        sock_pair(SOCK_DGRAM, s);
        CHECK_EQ(sock_send_files(s[0], "x", 1, &last, 1), 1);
        CHECK_EQ(close(last), 0);
        CHECK_EQ(close(s[0]), 0);
        last = s[1];
    }
    check_collected(p[0], last);
}

static ssize_t receive_credentials(int fd, struct ucred *cred, int *ret_flags)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;
    char buf[16];
    struct iovec iov = {buf, sizeof(buf)};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);

    *ret_flags = message.msg_flags;
    cred->pid = -1;
    if (n >= 0 && message.msg_controllen > 0 && control.header.cmsg_type == SCM_CREDENTIALS) {
        memcpy(cred, CMSG_DATA(&control.header), sizeof(*cred));
    }
    return n;
}

static ssize_t send_credentials(int fd, const struct ucred *cred)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(*cred)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_CREDENTIALS}};
    struct iovec iov = {(char *)"c", 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};

    memcpy(CMSG_DATA(&control.header), cred, sizeof(*cred));
    return sock_sendmsg(fd, &message, 0);
}

ABI_TEST(credentials, are_told_and_checked)
{
    struct ucred cred, self = {getpid(), 0, 0};
    int s[2], flags;

    sock_pair(SOCK_DGRAM, s);
    CHECK_EQ(send(s[0], "before", 6, 0), 6);
    CHECK_EQ(sock_set(s[1], SO_PASSCRED, 1), 0);
    CHECK_EQ(sock_option(s[1], SO_PASSCRED), 1);
    CHECK_EQ(send(s[0], "x", 1, 0), 1);
    CHECK_EQ(receive_credentials(s[1], &cred, &flags), 6);
    CHECK_EQ(receive_credentials(s[1], &cred, &flags), 1);
    CHECK_EQ(cred.pid, getpid());
    CHECK_EQ(cred.uid, 0);
    CHECK_EQ(send_credentials(s[0], &self), 1);
    CHECK_EQ(receive_credentials(s[1], &cred, &flags), 1);
    struct ucred other = {getppid(), 7, 8};
    CHECK_EQ(send_credentials(s[0], &other), 1); /* root may say anything */
    CHECK_EQ(receive_credentials(s[1], &cred, &flags), 1);
    CHECK_EQ(cred.pid, getppid());
    CHECK_EQ(cred.uid, 7);
    CHECK_EQ(cred.gid, 8);
    other.pid = 4000000;
    CHECK_ERR(send_credentials(s[0], &other), ESRCH);
    char byte;
    CHECK_EQ(send(s[0], "x", 1, 0), 1);
    struct iovec iov = {&byte, 1};
    struct msghdr none = {.msg_iov = &iov, .msg_iovlen = 1};
    CHECK_EQ(recvmsg(s[1], &none, 0), 1);
    CHECK_EQ(none.msg_flags, MSG_CTRUNC);
    CHECK_EQ(WEXITSTATUS(IN_CHILD({
                 CHECK_EQ(setresgid(1000, 1000, 1000), 0);
                 CHECK_EQ(setresuid(1000, 1000, 1000), 0);
                 CHECK_ERR(send_credentials(s[0], &self), EPERM);
                 self = (struct ucred){getpid(), 0, 1000};
                 CHECK_ERR(send_credentials(s[0], &self), EPERM);
                 self = (struct ucred){getpid(), 1000, 1000};
                 CHECK_EQ(send_credentials(s[0], &self), 1);
             })),
             0);
}

ABI_TEST(credentials, part_the_bytes_of_different_senders)
{
    struct ucred cred, other = {getpid(), 5, 5};
    int s[2], flags;

    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(sock_set(s[1], SO_PASSCRED, 1), 0);
    CHECK_EQ(send(s[0], "aa", 2, 0), 2);
    CHECK_EQ(send(s[0], "bb", 2, 0), 2);
    CHECK_EQ(send_credentials(s[0], &other), 1);
    CHECK_EQ(receive_credentials(s[1], &cred, &flags), 4);
    CHECK_EQ(cred.uid, 0);
    CHECK_EQ(receive_credentials(s[1], &cred, &flags), 1);
    CHECK_EQ(cred.uid, 5);
}

ABI_TEST(credentials, of_the_peer_are_known)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    int s[2], fd = socket(AF_UNIX, SOCK_STREAM, 0);

    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
    CHECK_EQ(len, sizeof(cred));
    CHECK_EQ(cred.pid, getpid());
    CHECK_EQ(cred.uid, 0);
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
    CHECK_EQ(cred.pid, 0);
    CHECK_EQ(cred.uid, (uid_t)-1);
    int listener = sock_listener(SOCK_STREAM, "@abi-peercred", 2);
    CHECK_EQ(WEXITSTATUS(IN_CHILD({
                 CHECK_EQ(setresgid(1001, 1002, 1001), 0);
                 CHECK_EQ(setresuid(1000, 1000, 1000), 0);
                 CHECK_EQ(sock_connect(fd, "@abi-peercred"), 0);
                 CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
                 CHECK_EQ(cred.pid, getppid());
             })),
             0);
    int server = accept(listener, NULL, NULL);
    CHECK_EQ(getsockopt(server, SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
    CHECK_EQ(cred.uid, 1000);
    CHECK_EQ(cred.gid, 1002);
    gid_t groups[64];
    len = sizeof(groups);
    CHECK_EQ(getsockopt(server, SOL_SOCKET, SO_PEERGROUPS, groups, &len), 0);
    CHECK_EQ(len, (unsigned)getgroups(0, NULL) * sizeof(gid_t));
    CHECK_ERR(setsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, sizeof(cred)), ENOPROTOOPT);
    CHECK_ERR(getsockopt(fd, SOL_SOCKET, SO_PEERSEC, groups, &len), ENOPROTOOPT);
}

ABI_TEST(option, values_are_kept_and_bounded)
{
    static const int flags[] = {SO_REUSEADDR, SO_KEEPALIVE, SO_BROADCAST, SO_OOBINLINE,
                                SO_DONTROUTE, SO_RXQ_OVFL,  SO_TIMESTAMP, SO_PASSSEC};
    struct linger linger = {1, 7}, back = {0};
    socklen_t len = sizeof(back);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        CHECK_EQ(sock_option(fd, flags[i]), 0);
        CHECK_EQ(sock_set(fd, flags[i], 5), 0);
        CHECK_EQ(sock_option(fd, flags[i]), 1);
        CHECK_EQ(sock_set(fd, flags[i], 0), 0);
        CHECK_EQ(sock_option(fd, flags[i]), 0);
    }
    CHECK_EQ(sock_option(fd, SO_SNDBUF), 212992);
    CHECK_EQ(sock_option(fd, SO_RCVBUF), 212992);
    CHECK_EQ(sock_set(fd, SO_SNDBUF, 10000), 0);
    CHECK_EQ(sock_option(fd, SO_SNDBUF), 20000);
    CHECK_EQ(sock_set(fd, SO_SNDBUF, 1), 0);
    CHECK_EQ(sock_option(fd, SO_SNDBUF), 4608);
    CHECK_EQ(sock_set(fd, SO_RCVBUF, 1), 0);
    CHECK_EQ(sock_option(fd, SO_RCVBUF), 2304);
    CHECK_EQ(sock_set(fd, SO_SNDBUFFORCE, 1000000), 0);
    CHECK_EQ(sock_option(fd, SO_SNDBUF), 2000000);
    CHECK_EQ(sock_option(fd, SO_RCVLOWAT), 1);
    CHECK_EQ(sock_option(fd, SO_SNDLOWAT), 1);
    CHECK_ERR(sock_set(fd, SO_SNDLOWAT, 2), ENOPROTOOPT);
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_LINGER, &back, &len), 0);
    CHECK(back.l_onoff == 1 && back.l_linger == 7);
    CHECK_ERR(sock_set(fd, SO_TYPE, 1), ENOPROTOOPT);
    CHECK_ERR(sock_set(fd, 9999, 1), ENOPROTOOPT);
    CHECK_ERR(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &linger, 3), EINVAL);
    CHECK_ERR(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, (void *)8, 4), EFAULT);
    CHECK_ERR(setsockopt(fd, 6, 1, &linger, 4), EOPNOTSUPP);
    len = 2;
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_TYPE, &back, &len), 0);
    CHECK_EQ(len, 2);
    uint64_t one = 0, two = 0;
    len = sizeof(one);
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &one, &len), 0);
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &two, &len), 0);
    CHECK(one != 0 && one == two);
}

ABI_TEST(option, peek_offset_moves_with_reads)
{
    char buf[8];
    int s[2];

    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(sock_option(s[1], SO_PEEK_OFF), -1);
    CHECK_EQ(write(s[0], "abcd", 4), 4);
    CHECK_EQ(write(s[0], "efgh", 4), 4);
    CHECK_EQ(sock_set(s[1], SO_PEEK_OFF, 1), 0);
    CHECK_EQ(recv(s[1], buf, 2, MSG_PEEK), 2);
    CHECK(memcmp(buf, "bc", 2) == 0);
    CHECK_EQ(recv(s[1], buf, 4, MSG_PEEK), 4);
    CHECK(memcmp(buf, "defg", 4) == 0);
    CHECK_EQ(read(s[1], buf, 3), 3);
    CHECK_EQ(sock_option(s[1], SO_PEEK_OFF), 4);
    CHECK_EQ(recv(s[1], buf, 8, MSG_PEEK), 1);
    CHECK_EQ(buf[0], 'h');
    CHECK_ERR(recv(s[1], buf, 8, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
}

ABI_TEST(option, datagrams_are_stamped)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct timeval))];
    } control;
    char buf[4];
    struct iovec iov = {buf, 4};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct timespec now;
    struct timeval when;
    int s[2];

    sock_pair(SOCK_DGRAM, s);
    CHECK_EQ(sock_set(s[1], SO_TIMESTAMP, 1), 0);
    CHECK_EQ(clock_gettime(CLOCK_REALTIME, &now), 0);
    CHECK_EQ(send(s[0], "x", 1, 0), 1);
    CHECK_EQ(recvmsg(s[1], &message, 0), 1);
    CHECK_EQ(control.header.cmsg_level, SOL_SOCKET);
    CHECK_EQ(control.header.cmsg_type, SO_TIMESTAMP);
    memcpy(&when, CMSG_DATA(&control.header), sizeof(when));
    CHECK(when.tv_sec == now.tv_sec || when.tv_sec == now.tv_sec + 1);
}

ABI_TEST(urgent, one_byte_stands_out)
{
    char buf[16];
    int s[2], at;

    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(send(s[0], "ab!", 3, MSG_OOB), 3);
    CHECK_EQ(send(s[0], "cd", 2, 0), 2);
    CHECK_EQ(sock_ready(s[1], POLLPRI | POLLIN), POLLPRI | POLLIN);
    CHECK_EQ(ioctl(s[1], 0x8905 /* SIOCATMARK */, &at), 0);
    CHECK_EQ(at, 0);
    CHECK_EQ(recv(s[1], buf, 16, 0), 2); /* up to the mark */
    CHECK_EQ(ioctl(s[1], 0x8905, &at), 0);
    CHECK_EQ(at, 1);
    CHECK_EQ(recv(s[1], buf, 16, MSG_OOB | MSG_PEEK), 1);
    CHECK_EQ(recv(s[1], buf, 16, MSG_OOB), 1);
    CHECK_EQ(buf[0], '!');
    CHECK_ERR(recv(s[1], buf, 16, MSG_OOB), EINVAL);
    CHECK_EQ(recv(s[1], buf, 16, 0), 2);
    CHECK(memcmp(buf, "cd", 2) == 0);
    CHECK_EQ(sock_set(s[1], SO_OOBINLINE, 1), 0);
    CHECK_EQ(send(s[0], "x!", 2, MSG_OOB), 2);
    CHECK_ERR(recv(s[1], buf, 16, MSG_OOB), EINVAL);
    CHECK_EQ(recv(s[1], buf, 16, 0), 1);
    CHECK_EQ(recv(s[1], buf, 16, 0), 1);
    CHECK_EQ(buf[0], '!');
}
