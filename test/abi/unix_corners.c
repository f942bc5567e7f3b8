/* Local sockets once more: ends of records, what is cut off, automatic names, full backlogs, half closed ways, and options that are only asked for. */
#include "sockets.h"

#include <sys/resource.h>
#include <sys/uio.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

ABI_TEST(unix_record, ends_are_told_and_the_rest_is_cut_off)
{
    char buf[16];
    struct iovec iov = {buf, 4};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    int s[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s), 0);
    CHECK_EQ(send(s[0], "abcdefgh", 8, 0), 8);
    CHECK_EQ(send(s[0], "ij", 2, MSG_EOR), 2);
    CHECK_EQ(recvmsg(s[1], &message, MSG_PEEK), 4);
    CHECK((message.msg_flags & MSG_TRUNC) != 0);
    CHECK_EQ(recvmsg(s[1], &message, MSG_PEEK | MSG_TRUNC), 8); /* its whole length */
    CHECK_EQ(recvmsg(s[1], &message, 0), 4);
    CHECK((message.msg_flags & MSG_TRUNC) != 0);
    CHECK_EQ(recvmsg(s[1], &message, 0), 2);
    CHECK((message.msg_flags & MSG_TRUNC) == 0);
    CHECK_ERR(recvmsg(s[1], &message, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(send(s[0], "", 0, 0), 0);
    CHECK_EQ(recv(s[1], buf, 4, MSG_DONTWAIT), 0); /* an empty record, not an end */
    CHECK_ERR(recv(s[1], buf, 4, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(sock_sendto(s[0], "x", 1, 0, "@name"), 1); /* a connected one heeds no name */
    CHECK_EQ(recv(s[1], buf, 4, 0), 1);
}

ABI_TEST(unix_name, is_made_up_on_demand)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX}, other;
    socklen_t len = sizeof(other);
    int one = socket(AF_UNIX, SOCK_DGRAM, 0), two = socket(AF_UNIX, SOCK_DGRAM, 0);

    CHECK_EQ(getsockname(one, (struct sockaddr *)&other, &len), 0);
    CHECK_EQ(len, 2);
    CHECK_EQ(bind(one, (struct sockaddr *)&name, sizeof(sa_family_t)), 0);
    len = sizeof(other);
    CHECK_EQ(getsockname(one, (struct sockaddr *)&other, &len), 0);
    CHECK_EQ(len, 8); /* NUL and five figures */
    CHECK(other.sun_path[0] == '\0');
    for (int i = 1; i < 6; i++) {
        CHECK(strchr("0123456789abcdef", other.sun_path[i]) != NULL);
    }
    CHECK_EQ(connect(two, (struct sockaddr *)&other, len), 0);
    CHECK_EQ(send(two, "x", 1, 0), 1);
    CHECK_EQ(bind(one, (struct sockaddr *)&name, sizeof(sa_family_t)), 0); /* it has one */
    CHECK_ERR(sock_bind(one, "other"), EINVAL);
    /* Who wants credentials gets a name, to be answered by. */
    CHECK_EQ(sock_set(two, SO_PASSCRED, 1), 0);
    CHECK_EQ(send(two, "y", 1, 0), 1);
    len = sizeof(other);
    CHECK_EQ(getsockname(two, (struct sockaddr *)&other, &len), 0);
    CHECK_EQ(len, 8);
    CHECK_ERR(bind(two, (struct sockaddr *)&name, 1), EINVAL);
    CHECK_ERR(bind(two, (struct sockaddr *)&name, sizeof(name) + 1), EINVAL);
    name.sun_family = AF_INET;
    CHECK_ERR(bind(two, (struct sockaddr *)&name, sizeof(name)), EINVAL);
}

ABI_TEST(unix_backlog, is_full_for_those_who_do_not_wait)
{
    int listener = sock_listener(SOCK_STREAM, "@abi-full", 1), clients[8], n = 0;

    CHECK_ERR(syscall(SYS_accept4, listener, NULL, NULL, 1), EINVAL);
    CHECK_EQ(sock_option(listener, SO_ACCEPTCONN), 1);
    for (; n < 8; n++) {
        clients[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (sock_connect(clients[n], "@abi-full") != 0) {
            CHECK_EQ(errno, EAGAIN);
            break;
        }
    }
    CHECK_EQ(n, 2); /* one more than was asked for */
    struct pollfd p = {clients[0], POLLOUT | POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 0), 1);
    CHECK_EQ(p.revents, POLLOUT); /* connected, though not accepted */
    CHECK_EQ(send(clients[0], "early", 5, 0), 5);
    int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK_EQ(fcntl(server, F_GETFD), FD_CLOEXEC);
    CHECK((fcntl(server, F_GETFL) & O_NONBLOCK) != 0);
    CHECK_EQ(sock_connect(clients[n], "@abi-full"), 0);
    CHECK_ERR(sock_connect(clients[n], "@abi-full"), EAGAIN); /* full again, which is seen first */
    CHECK_EQ(shutdown(listener, SHUT_RD), 0);
    int late = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_ERR(sock_connect(late, "@abi-full"), ECONNREFUSED);
    CHECK_EQ(close(listener), 0);
    char byte;
    CHECK_ERR(recv(clients[1], &byte, 1, 0), ECONNRESET); /* it was never accepted */
}

ABI_TEST(unix_shutdown, closes_ways_one_by_one)
{
    char buf[8];
    int s[2];

    sock_pair(SOCK_STREAM, s);
    CHECK_ERR(shutdown(s[0], 3), EINVAL);
    CHECK_EQ(send(s[0], "abc", 3, 0), 3);
    CHECK_EQ(shutdown(s[1], SHUT_RD), 0);
    CHECK_ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(recv(s[1], buf, 8, 0), 3); /* what was there can be read */
    CHECK_EQ(recv(s[1], buf, 8, 0), 0);
    CHECK_EQ(send(s[1], "back", 4, 0), 4); /* the other way is open */
    CHECK_EQ(recv(s[0], buf, 8, 0), 4);
    CHECK_EQ(sock_ready(s[0], POLLIN | POLLOUT | POLLRDHUP), POLLOUT);
    CHECK_EQ(sock_ready(s[1], POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQ(shutdown(s[1], SHUT_WR), 0);
    CHECK_EQ(sock_ready(s[0], POLLIN | POLLRDHUP | POLLHUP), POLLIN | POLLRDHUP | POLLHUP);
    int lone = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(sock_ready(lone, POLLIN | POLLOUT), POLLOUT | POLLHUP);
    CHECK_ERR(send(lone, "x", 1, MSG_NOSIGNAL), ENOTCONN);
    CHECK_ERR(recv(lone, buf, 1, 0), EINVAL);
    CHECK_ERR(listen(lone, 1), EINVAL); /* without a name */
    CHECK_EQ(shutdown(lone, SHUT_RD), 0);
}

ABI_TEST(unix_option, that_is_only_asked_for)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    int s[2], n;

    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(sock_option(s[0], SO_TYPE), SOCK_STREAM);
    CHECK_EQ(sock_option(s[0], SO_DOMAIN), AF_UNIX);
    CHECK_EQ(sock_option(s[0], SO_PROTOCOL), 0);
    CHECK_EQ(sock_option(s[0], SO_ACCEPTCONN), 0);
    CHECK_EQ(sock_option(s[0], SO_ERROR), 0);
    CHECK_EQ(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
    CHECK_EQ(cred.pid, getpid());
    CHECK_ERR(setsockopt(s[0], SOL_SOCKET, SO_TYPE, &n, sizeof(n)), ENOPROTOOPT);
    CHECK_ERR(setsockopt(s[0], SOL_SOCKET, SO_ERROR, &n, sizeof(n)), ENOPROTOOPT);
    CHECK_ERR(setsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &n, sizeof(n)), ENOPROTOOPT);
    CHECK_ERR(getsockopt(s[0], SOL_SOCKET, 9999, &n, &len), ENOPROTOOPT);
    CHECK_ERR(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &n, 3), EINVAL);
    CHECK_ERR(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, (void *)8, 4), EFAULT);
    len = (socklen_t)-1;
    CHECK_ERR(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &n, &len), EINVAL);
    len = 2; /* as much as there is room for */
    n = -1;
    CHECK_EQ(getsockopt(s[0], SOL_SOCKET, SO_TYPE, &n, &len), 0);
    CHECK_EQ(len, 2);
    CHECK_EQ(n & 0xffff, SOCK_STREAM);
    gid_t groups[64];
    len = sizeof(groups);
    CHECK_EQ(getsockopt(s[0], SOL_SOCKET, SO_PEERGROUPS, groups, &len), 0);
    CHECK_EQ(len, (socklen_t)getgroups(0, NULL) * sizeof(gid_t));
    CHECK_EQ(send(s[0], "12345", 5, 0), 5);
    CHECK_EQ(ioctl(s[1], FIONREAD, &n), 0);
    CHECK_EQ(n, 5);
    CHECK_EQ(ioctl(s[0], TIOCOUTQ, &n), 0);
    CHECK(n >= 5); /* with what it takes to keep them */
    char buf[8];
    CHECK_EQ(recv(s[1], buf, 8, MSG_PEEK), 5);
    CHECK_EQ(recv(s[1], buf, 8, MSG_WAITALL | MSG_DONTWAIT), 5);
    CHECK_EQ(ioctl(s[0], TIOCOUTQ, &n), 0);
    CHECK_EQ(n, 0);
}

ABI_TEST(unix_many, messages_in_one_call)
{
    struct mmsghdr out[3], in[4];
    struct iovec iov[7];
    char text[3][2] = {"a", "b", "c"}, got[4][4];
    struct timespec soon = {0, 1000000};
    int s[2];

    sock_pair(SOCK_DGRAM, s);
    memset(out, 0, sizeof(out));
    memset(in, 0, sizeof(in));
    for (int i = 0; i < 7; i++) {
        iov[i] = i < 3 ? (struct iovec){text[i], 1} : (struct iovec){got[i - 3], 4};
        *(i < 3 ? &out[i].msg_hdr : &in[i - 3].msg_hdr) =
            (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    }
    CHECK_EQ(syscall(SYS_sendmmsg, s[0], out, 3, 0), 3);
    CHECK_EQ(out[2].msg_len, 1);
    CHECK_EQ(syscall(SYS_recvmmsg, s[1], in, 2, 0, NULL), 2);
    CHECK(got[1][0] == 'b' && in[1].msg_len == 1);
    CHECK_EQ(syscall(SYS_recvmmsg, s[1], in, 4, 0x10000 /* MSG_WAITFORONE */, NULL), 1);
    CHECK_ERR(syscall(SYS_recvmmsg, s[1], in, 4, MSG_DONTWAIT, NULL), EAGAIN);
    soon.tv_nsec = 1000000000;
    CHECK_ERR(syscall(SYS_recvmmsg, s[1], in, 4, MSG_DONTWAIT, &soon), EINVAL);
    CHECK_EQ(syscall(SYS_sendmmsg, s[0], out, 0, 0), 0);
    iov[1].iov_base = (void *)8;
    CHECK_EQ(syscall(SYS_sendmmsg, s[0], out, 3, 0), 1); /* what went out is told */
    CHECK_ERR(syscall(SYS_sendmmsg, s[0], out + 1, 2, 0), EFAULT);
}

static unsigned open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(dir) != NULL) {
        n++;
    }
    closedir(dir);
    return n;
}

ABI_TEST(unix_rights, arrive_with_close_on_exec_and_are_cut_off_where_there_is_no_room)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(3 * sizeof(int))};
    int s[2], fds[3] = {0, 1, 2}, got[3];

    sock_pair(SOCK_STREAM, s);
    for (int round = 0; round < 3; round++) {
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(fds)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
        message.msg_controllen = CMSG_SPACE(sizeof(fds));
        CHECK_EQ(sock_sendmsg(s[0], &message, 0), 1);
    }
    unsigned files = open_files();
    message.msg_controllen = sizeof(control);
    CHECK_EQ(recvmsg(s[1], &message, MSG_CMSG_CLOEXEC), 1);
    CHECK((message.msg_flags & MSG_CMSG_CLOEXEC) != 0 && (message.msg_flags & MSG_CTRUNC) == 0);
    CHECK_EQ(control.header.cmsg_len, CMSG_LEN(sizeof(got)));
    memcpy(got, CMSG_DATA(&control.header), sizeof(got));
    CHECK_EQ(open_files(), files + 3);
    CHECK_EQ(fcntl(got[2], F_GETFD), FD_CLOEXEC);
    message.msg_controllen = CMSG_LEN(2 * sizeof(int));
    CHECK_EQ(recvmsg(s[1], &message, 0), 1);
    CHECK((message.msg_flags & MSG_CTRUNC) != 0);
    CHECK_EQ(control.header.cmsg_len, CMSG_LEN(2 * sizeof(int)));
    memcpy(got, CMSG_DATA(&control.header), 2 * sizeof(int));
    CHECK_EQ(fcntl(got[1], F_GETFD), 0);
    CHECK_EQ(open_files(), files + 5); /* the third was given back */
    message.msg_controllen = 0;
    CHECK_EQ(recvmsg(s[1], &message, 0), 1);
    CHECK((message.msg_flags & MSG_CTRUNC) != 0);
    CHECK_EQ(open_files(), files + 5);
}

/* What /proc says of the files that stand in a socket's queue. */
static int files_in_queue(int fd)
{
    char path[64];
    int n = -1;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    const char *line = strstr(abi_read_file(path), "scm_fds:");
    CHECK(line != NULL && sscanf(line, "scm_fds: %d", &n) == 1);
    return n;
}

/* A message with the write end of a pipe is received to where no memory is: what is left of it. */
static void receive_nowhere(int type, int left)
{
    int s[2], p[2];
    char byte;

    sock_pair(type, s);
    CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
    CHECK_EQ(sock_send_files(s[0], "x", 1, (int[]){p[1], p[1]}, 2), 1);
    CHECK_EQ(sock_send_files(s[0], "y", 1, (int[]){s[0]}, 1), 1);
    CHECK_EQ(close(p[1]), 0);
    CHECK_EQ(files_in_queue(s[1]), 3);
    CHECK_ERR(recv(s[1], (void *)8, 1, MSG_PEEK), EFAULT);
    CHECK_EQ(files_in_queue(s[1]), 3);
    CHECK_ERR(recv(s[1], (void *)8, 1, 0), EFAULT);
    CHECK_EQ(files_in_queue(s[1]), left);
    if (left == 3) {
        CHECK_ERR(read(p[0], &byte, 1), EAGAIN);
        CHECK_EQ(recv(s[1], &byte, 1, 0), 1);
        CHECK_EQ(byte, 'x');
    }
    CHECK_EQ(read(p[0], &byte, 1), 0); /* nobody has the other end any more */
    CHECK_EQ(recv(s[1], &byte, 1, 0), 1);
    CHECK_EQ(byte, 'y');
    CHECK_EQ(files_in_queue(s[1]), 0);
    CHECK_ERR(recv(s[1], &byte, 1, MSG_DONTWAIT), EAGAIN);
}

ABI_TEST(unix_rights, of_a_message_that_could_not_be_received_go_with_it)
{
    receive_nowhere(SOCK_DGRAM, 1);
    receive_nowhere(SOCK_SEQPACKET, 1);
    receive_nowhere(SOCK_STREAM, 3); /* bytes stay, and their files with them */
}
