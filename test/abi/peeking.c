/* Local sockets that are peeked at with an offset (SO_PEEK_OFF), and the urgent byte (MSG_OOB): what is stepped over, and what it carries. */
#include "sockets.h"

static void on_signal(int sig)
{
    (void)sig;
}

/* Who peeks behind all that is there waits, and a signal ends that. */
static void check_interrupted(int type)
{
    struct sigaction action = {.sa_handler = on_signal};
    int s[2], status;
    char buf[8];

    sock_pair(type, s);
    CHECK_EQ(sock_set(s[1], SO_PEEK_OFF, 100), 0);
    CHECK_EQ(send(s[0], "abc", 3, 0), 3);
    CHECK_ERR(recv(s[1], buf, 8, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_ERR(recv(s[1], buf, 8, MSG_PEEK), EINTR);
        _exit(0);
    }
    abi_wait_state(pid, pid, 'S');
    while (waitpid(pid, &status, WNOHANG) == 0) {
        CHECK_EQ(kill(pid, SIGUSR1), 0); /* perhaps it has not begun yet */
        abi_sleep_ms(1);
    }
    CHECK_EQ(status, 0);
    CHECK_EQ(recv(s[1], buf, 8, 0), 3);
}

ABI_TEST(peek_offset, behind_all_datagrams_waits_until_a_signal)
{
    check_interrupted(SOCK_DGRAM);
}

ABI_TEST(peek_offset, behind_all_records_waits_until_a_signal)
{
    check_interrupted(SOCK_SEQPACKET);
}

ABI_TEST(peek_offset, behind_all_bytes_waits_until_a_signal)
{
    check_interrupted(SOCK_STREAM);
}

ABI_TEST(peek_offset, waits_for_the_datagram_behind)
{
    int s[2], status;
    char buf[8];

    sock_pair(SOCK_DGRAM, s);
    CHECK_EQ(sock_set(s[1], SO_PEEK_OFF, 3), 0);
    CHECK_EQ(send(s[0], "abc", 3, 0), 3);
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(recv(s[1], buf, 8, MSG_PEEK), 2);
        CHECK(memcmp(buf, "de", 2) == 0);
        _exit(0);
    }
    abi_wait_state(pid, pid, 'S');
    CHECK_EQ(send(s[0], "de", 2, 0), 2);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(sock_option(s[1], SO_PEEK_OFF), 5);
}

ABI_TEST(peek_offset, leads_past_empty_datagrams)
{
    char buf[8];
    int s[2];

    sock_pair(SOCK_DGRAM, s);
    CHECK_EQ(send(s[0], "", 0, 0), 0);
    CHECK_EQ(send(s[0], "ab", 2, 0), 2);
    CHECK_EQ(recv(s[1], buf, 8, MSG_PEEK), 0);
    CHECK_EQ(recv(s[1], buf, 8, MSG_PEEK), 0); /* without an offset it is the first one always */
    CHECK_EQ(send(s[0], "", 0, 0), 0);
    CHECK_EQ(sock_set(s[1], SO_PEEK_OFF, 0), 0);
    CHECK_EQ(recv(s[1], buf, 8, MSG_PEEK), 2);
    CHECK_EQ(recv(s[1], buf, 8, MSG_PEEK), 0);
    CHECK_ERR(recv(s[1], buf, 8, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(recv(s[1], buf, 8, 0), 0);
    CHECK_EQ(recv(s[1], buf, 8, 0), 2);
    CHECK_EQ(recv(s[1], buf, 8, 0), 0);
}

ABI_TEST(peek_offset, may_lie_behind_an_urgent_byte)
{
    char buf[8];
    int s[2];

    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(sock_set(s[1], SO_OOBINLINE, 1), 0);
    CHECK_EQ(sock_set(s[1], SO_PEEK_OFF, 5), 0);
    CHECK_EQ(send(s[0], "!", 1, MSG_OOB), 1);
    CHECK_ERR(recv(s[1], buf, 8, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(recv(s[1], buf, 8, 0), 1);
    CHECK_EQ(buf[0], '!');
}

/* ---- the urgent byte ---- */

ABI_TEST(urgent, is_gone_when_it_was_stepped_over)
{
    char buf[8];
    int s[2];

    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(send(s[0], "a!", 2, MSG_OOB), 2);
    CHECK_EQ(send(s[0], "b", 1, 0), 1);
    CHECK_EQ(recv(s[1], buf, 8, 0), 1);
    CHECK_EQ(recv(s[1], buf, 8, 0), 1);
    CHECK_EQ(buf[0], 'b');
    CHECK_EQ(sock_ready(s[1], POLLPRI | POLLIN), 0);
    CHECK_ERR(recv(s[1], buf, 8, MSG_OOB), EINVAL);
}

/* One urgent byte that carries files. */
static void send_urgent_files(int fd, const int *files, unsigned n)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct iovec iov = {"!", 1};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(n * sizeof(int))};

    memset(&control, 0, sizeof(control));
    control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.header), files, n * sizeof(int));
    CHECK_EQ(sock_sendmsg(fd, &message, MSG_OOB), 1);
}

/* Two sockets that only their own messages hold, one of them urgent; a pipe's end goes when they do. */
static void check_urgent_collected(bool stepped_over)
{
    int s[2], p[2];
    char byte;

    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(pipe(p), 0);
    const int files[] = {s[0], s[1], p[1]};
    send_urgent_files(s[0], files, 3);
    if (stepped_over) {
        CHECK_ERR(recv(s[1], &byte, 1, MSG_DONTWAIT), EAGAIN);
    }
    CHECK_EQ(close(s[0]) | close(s[1]) | close(p[1]), 0);
    struct pollfd end = {p[0], POLLIN, 0};
    while (poll(&end, 1, 20) == 0) { /* closing any local socket has the kernel look */
        sock_pair(SOCK_STREAM, s);
        CHECK_EQ(close(s[0]) | close(s[1]), 0);
    }
    CHECK_EQ(end.revents, POLLHUP);
}

ABI_TEST(urgent, files_are_collected)
{
    check_urgent_collected(false);
}

ABI_TEST(urgent, files_are_let_go_when_the_byte_is_stepped_over)
{
    check_urgent_collected(true);
}
