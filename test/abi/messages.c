/* Local sockets: datagrams, sequenced packets, the files that messages carry. */
#include "sockets.h"

#include <pthread.h>
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
    pid_t child = abi_fork();
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
    child = abi_fork();
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

/* A user is not refused for long for the sake of files on their way that nobody can receive. */
ABI_TEST(rights, garbage_is_not_counted)
{
    struct rlimit limit;
    int s[2];
    char byte;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 64;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(setresuid(54322, 54322, 54322), 0);
    for (int i = 0; i < 1000; i++) {
        sock_pair(SOCK_DGRAM, s);
        for (int k = 0; k < 1000 && sock_send_files(s[0], "x", 1, &s[1], 1) < 0; k++) {
            CHECK_EQ(errno, ETOOMANYREFS);
            abi_sleep_ms(1);
        }
        CHECK_EQ(recv(s[1], &byte, 1, MSG_PEEK), 1);
        CHECK_EQ(close(s[1]), 0);
        CHECK_EQ(close(s[0]), 0);
    }
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

/* ---- receiving while the collector looks ---- */

#define CROWD     100u /* sockets on their way, for the collector to look at */
#define STRESS_NS 500000000

static int arrivals[2];
static uint32_t round_number; /* atomic; odd: a socket is to be received from arrivals[1] */

static void *receive_sockets(void *arg)
{
    int got, flags;
    ssize_t bytes;
    char byte;

    for (uint32_t number = 1;; number += 2) {
        while (__atomic_load_n(&round_number, __ATOMIC_ACQUIRE) != number) {
            sched_yield();
        }
        CHECK_EQ(sock_receive_files(arrivals[1], &byte, 1, &got, 1, 0, &bytes, &flags), 1);
        __atomic_store_n(&round_number, number + 1, __ATOMIC_RELEASE);
    }
    return arg;
}

/* Each closing of a socket has the kernel look for garbage. */
static pid_t start_collector(void)
{
    pid_t parent = getpid(), child;
    int s[2];

    fflush(NULL);
    child = abi_fork();
    if (child == 0) {
        abi_end_with(parent);
        for (;;) {
            sock_pair(SOCK_STREAM, s);
            CHECK_EQ(close(s[0]), 0);
            CHECK_EQ(close(s[1]), 0);
        }
    }
    return child;
}

static void send_crowd(int socket)
{
    int crowd[CROWD];

    for (unsigned i = 0; i < CROWD; i += 2) {
        sock_pair(SOCK_STREAM, crowd + i);
    }
    CHECK_EQ(sock_send_files(socket, "x", 1, crowd, CROWD), 1);
    for (unsigned i = 0; i < CROWD; i++) {
        CHECK_EQ(close(crowd[i]), 0);
    }
}

/* A socket that has `file`, which is closed, in its queue. Its other end is *ret_other. */
static int put_into_socket(int file, int *ret_other)
{
    int s[2];

    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(sock_send_files(s[0], "x", 1, &file, 1), 1);
    CHECK_EQ(close(file), 0);
    *ret_other = s[0];
    return s[1];
}

/* Another thread receives a socket: read from it as soon as it has a number, and from the one that comes out of it. */
static void receive_nested(void)
{
    int others[3], got[4], flags;
    ssize_t bytes;
    char byte;

    int outer = put_into_socket(dup(0), others);
    outer = put_into_socket(put_into_socket(outer, others + 1), others + 2);
    CHECK_EQ(sock_send_files(arrivals[0], "x", 1, &outer, 1), 1);
    CHECK_EQ(close(outer), 0);
    got[0] = dup(0); /* the number that it will have */
    CHECK_EQ(close(got[0]), 0);
    uint32_t number = __atomic_add_fetch(&round_number, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 3; i++) {
        int n;
        do {
            n = sock_receive_files(got[i], &byte, 1, got + i + 1, 1, MSG_DONTWAIT, &bytes, &flags);
        } while (n < 0 && errno == EBADF);
        CHECK_EQ(n, 1);
    }
    while (__atomic_load_n(&round_number, __ATOMIC_ACQUIRE) == number) {
        sched_yield();
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(close(got[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(close(others[i]), 0);
    }
}

ABI_TEST(rights, what_is_just_received_is_not_garbage)
{
    struct timespec start, now;
    pthread_t thread;
    int crowd[2];

    sock_pair(SOCK_STREAM, arrivals);
    sock_pair(SOCK_STREAM, crowd);
    send_crowd(crowd[0]);
    pid_t child = start_collector();
    CHECK_EQ(pthread_create(&thread, NULL, receive_sockets, NULL), 0);
    CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &start), 0);
    do {
        receive_nested();
        CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    } while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec < STRESS_NS);
    CHECK_EQ(kill(child, SIGKILL), 0);
}

/* ---- when files that nobody takes are closed ---- */

/* A child with status 0; not one that is stuck in the kernel, which no signal ends. */
static bool ends_soon(pid_t child)
{
    int status = -1;

    for (int i = 0; i < 500 && waitpid(child, &status, WNOHANG) == 0; i++) {
        abi_sleep_ms(10);
    }
    return status == 0;
}

ABI_TEST(rights, splice_drops_an_end_of_the_pipe_that_it_fills)
{
    int s[2], p[2];

    fflush(NULL);
    pid_t child = abi_fork();
    if (child == 0) {
        sock_pair(SOCK_STREAM, s);
        CHECK_EQ(pipe(p), 0);
        CHECK_EQ(sock_send_files(s[0], "x", 1, p, 1), 1);
        CHECK_EQ(close(p[0]), 0);
        CHECK_EQ(splice(s[1], NULL, p[1], NULL, 4096, 0), 1);
        CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
        CHECK_ERR(write(p[1], "y", 1), EPIPE);
        _exit(0);
    }
    CHECK(ends_soon(child));
}

/* A pipe's read end; the write end is in a message alone, which waits at the socket. */
static int send_write_end(int socket)
{
    int p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(sock_send_files(socket, "x", 1, p + 1, 1), 1);
    CHECK_EQ(close(p[1]), 0);
    CHECK_EQ(sock_ready(p[0], POLLIN), 0);
    return p[0];
}

ABI_TEST(rights, what_nobody_takes_is_closed_when_the_call_returns)
{
    int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};

    for (int i = 0; i < 3; i++) {
        int s[2], flags;
        ssize_t bytes;
        char buf[4];
        sock_pair(types[i], s);
        int cut_off = send_write_end(s[0]), read_over = send_write_end(s[0]),
            unread = send_write_end(s[0]);
        CHECK_EQ(sock_receive_files(s[1], buf, 4, NULL, 0, 0, &bytes, &flags), 0);
        CHECK_EQ(flags & MSG_CTRUNC, MSG_CTRUNC);
        CHECK_EQ(sock_ready(cut_off, POLLIN), POLLHUP);
        CHECK_EQ(read(s[1], buf, 4), 1);
        CHECK_EQ(sock_ready(read_over, POLLIN), POLLHUP);
        CHECK_EQ(close(s[1]), 0);
        CHECK_EQ(sock_ready(unread, POLLIN), POLLHUP);
    }
}

ABI_TEST(rights, what_nobody_takes_is_closed_when_the_process_ends)
{
    struct mmsghdr messages[2] = {0};
    int s[2], outer[2];

    /* In the middle of a call that waits for more. */
    sock_pair(SOCK_DGRAM, s);
    int end = send_write_end(s[0]);
    fflush(NULL);
    pid_t child = abi_fork();
    if (child == 0) {
        _exit(recvmmsg(s[1], messages, 2, 0, NULL));
    }
    abi_wait_state(child, child, 'S');
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK_EQ(sock_ready(end, POLLIN), POLLHUP);
    /* With its descriptors: a socket in whose queue there is another one. */
    sock_pair(SOCK_DGRAM, outer);
    end = send_write_end(s[0]);
    CHECK_EQ(sock_send_files(outer[0], "x", 1, s + 1, 1), 1);
    fflush(NULL);
    child = abi_fork();
    if (child == 0) {
        close(s[1]);
        abi_wait_state(getppid(), getppid(), 'S'); /* it has let go of its own */
        _exit(0);
    }
    CHECK_EQ(close(s[1]), 0);
    CHECK_EQ(close(outer[1]), 0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK_EQ(sock_ready(end, POLLIN), POLLHUP);
}
