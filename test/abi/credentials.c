/* Local sockets: credentials, options, the urgent byte. */
#include "sockets.h"

#include <sched.h>
#include <sys/resource.h>

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
