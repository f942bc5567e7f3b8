/* Local sockets that are peeked at with an offset (SO_PEEK_OFF). */
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
