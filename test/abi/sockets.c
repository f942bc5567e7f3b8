/* Local sockets: making them, pairs, streams, connections, names. */
#include "sockets.h"

#include <sys/epoll.h>
#include <sys/statfs.h>
#include <sys/uio.h>

ABI_TEST(socket, arguments_are_checked)
{
    CHECK_ERR(socket(-1, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERR(socket(1000, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERR(socket(AF_UNIX, 9, 0), ESOCKTNOSUPPORT);
    CHECK_ERR(socket(AF_UNIX, 12, 0), EINVAL);
    CHECK_ERR(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
    CHECK_ERR(socket(AF_UNIX, SOCK_STREAM | 0x100, 0), EINVAL);
    CHECK_ERR(socket(AF_UNIX, SOCK_STREAM, 7), EPROTONOSUPPORT);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, PF_UNIX);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | O_NONBLOCK);
    CHECK_EQ(sock_option(fd, SO_TYPE), SOCK_STREAM);
    CHECK_EQ(sock_option(fd, SO_DOMAIN), AF_UNIX);
    CHECK_EQ(sock_option(fd, SO_PROTOCOL), 0);
    CHECK_EQ(sock_option(fd, SO_ERROR), 0);
    CHECK_EQ(sock_option(socket(AF_UNIX, SOCK_RAW, 0), SO_TYPE), SOCK_DGRAM);
    CHECK_ERR(listen(0x7ff, 1), EBADF);
    int file = open(".", O_RDONLY);
    CHECK_ERR(listen(file, 1), ENOTSOCK);
    CHECK_ERR(recv(file, &fd, 1, 0), ENOTSOCK);
}

ABI_TEST(socket, is_a_file_of_its_own_kind)
{
    char path[64];
    struct statfs fs;
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    CHECK_EQ(fstat(fd, &st), 0);
    CHECK(S_ISSOCK(st.st_mode));
    CHECK_EQ(st.st_mode & 07777, 0777);
    CHECK_EQ(st.st_size, 0);
    CHECK_EQ(fstatfs(fd, &fs), 0);
    CHECK_EQ(fs.f_type, 0x534f434b);
    snprintf(path, sizeof(path), "socket:[%llu]", (unsigned long long)st.st_ino);
    abi_check_link(fd, path);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK_ERR(open(path, O_RDWR), ENXIO);
    CHECK_ERR(lseek(fd, 0, SEEK_SET), ESPIPE);
    CHECK_ERR(pread(fd, path, 1, 0), ESPIPE);
    CHECK_EQ(mknod("node", S_IFSOCK | 0600, 0), 0);
    CHECK_ERR(open("node", O_RDWR), ENXIO);
}

ABI_TEST(socketpair, carries_bytes_both_ways)
{
    char buf[16];
    int s[2];

    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(write(s[0], "abc", 3), 3);
    CHECK_EQ(send(s[0], "defg", 4, 0), 4);
    CHECK_EQ(write(s[1], "xyz", 3), 3);
    CHECK_EQ(read(s[1], buf, 5), 5);
    CHECK(memcmp(buf, "abcde", 5) == 0);
    int n = 0;
    CHECK_EQ(ioctl(s[1], FIONREAD, &n), 0);
    CHECK_EQ(n, 2);
    CHECK_EQ(recv(s[1], buf, 16, MSG_PEEK), 2);
    CHECK_EQ(recv(s[1], buf, 16, 0), 2);
    CHECK(memcmp(buf, "fg", 2) == 0);
    CHECK_EQ(read(s[0], buf, 16), 3);
    CHECK_ERR(recv(s[0], buf, 16, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(read(s[0], buf, 0), 0);
    CHECK_ERR(recv(s[0], buf, 0, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(write(s[0], buf, 0), 0);
}

ABI_TEST(socketpair, ends_when_the_other_is_closed)
{
    char buf[16];
    int s[2];

    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(write(s[0], "last", 4), 4);
    CHECK_EQ(close(s[0]), 0);
    CHECK_EQ(sock_ready(s[1], POLLIN | POLLOUT | POLLRDHUP),
             POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
    CHECK_EQ(read(s[1], buf, 16), 4);
    CHECK_EQ(read(s[1], buf, 16), 0);
    CHECK_EQ(WTERMSIG(IN_CHILD((void)!write(s[1], "x", 1))), SIGPIPE);
    CHECK_ERR(send(s[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(write(s[1], "unread", 6), 6);
    CHECK_EQ(close(s[0]), 0);
    CHECK_EQ(sock_ready(s[1], POLLIN), POLLIN | POLLHUP | POLLERR);
    CHECK_ERR(read(s[1], buf, 16), ECONNRESET);
    CHECK_EQ(read(s[1], buf, 16), 0);
}

ABI_TEST(socketpair, shutdown_closes_one_way)
{
    char buf[16];
    int s[2];

    sock_pair(SOCK_STREAM, s);
    CHECK_ERR(shutdown(s[0], 3), EINVAL);
    CHECK_EQ(write(s[0], "a", 1), 1);
    CHECK_EQ(shutdown(s[0], SHUT_WR), 0);
    CHECK_ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(sock_ready(s[1], POLLIN | POLLRDHUP | POLLOUT), POLLIN | POLLRDHUP | POLLOUT);
    CHECK_EQ(read(s[1], buf, 16), 1);
    CHECK_EQ(read(s[1], buf, 16), 0);
    CHECK_EQ(write(s[1], "back", 4), 4);
    CHECK_EQ(read(s[0], buf, 16), 4);
    CHECK_EQ(shutdown(s[0], SHUT_RD), 0);
    CHECK_ERR(send(s[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(sock_ready(s[0], POLLIN), POLLIN | POLLHUP);
}

ABI_TEST(socketpair, nonblocking_fills_and_empties)
{
    static char buf[65536];
    long sent = 0, got = 0;
    ssize_t n;
    int s[2], left;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
    while ((n = write(s[0], buf, sizeof(buf))) > 0) {
        sent += n;
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK(sent >= 65536 && sent < 1000000);
    CHECK_EQ(sock_ready(s[0], POLLOUT), 0);
    CHECK_EQ(ioctl(s[0], TIOCOUTQ, &left), 0);
    CHECK(left >= sent);
    while ((n = read(s[1], buf, 50000)) > 0) {
        got += n;
    }
    CHECK_EQ(got, sent);
    CHECK_EQ(sock_ready(s[0], POLLOUT), POLLOUT);
    CHECK_EQ(ioctl(s[0], TIOCOUTQ, &left), 0);
    CHECK_EQ(left, 0);
}

ABI_TEST(socketpair, blocked_writer_and_reader_meet)
{
    enum { TOTAL = 1 << 21 };
    static unsigned char buf[30011];
    long got = 0;
    ssize_t n;
    int s[2];

    sock_pair(SOCK_STREAM, s);
    fflush(NULL);
    if (abi_fork() == 0) {
        close(s[1]);
        for (long at = 0; at < TOTAL;) {
            size_t len = sizeof(buf) < (size_t)(TOTAL - at) ? sizeof(buf) : (size_t)(TOTAL - at);
            for (size_t i = 0; i < len; i++) {
                buf[i] = (unsigned char)((at + (long)i) * 7 >> 3);
            }
            if (write(s[0], buf, len) != (ssize_t)len) {
                _exit(1);
            }
            at += (long)len;
        }
        _exit(0);
    }
    close(s[0]);
    while ((n = read(s[1], buf, 7001)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            CHECK_EQ(buf[i], (unsigned char)((got + i) * 7 >> 3));
        }
        got += n;
    }
    CHECK_EQ(got, TOTAL);
    int status;
    CHECK(wait(&status) > 0);
    CHECK_EQ(status, 0);
}

ABI_TEST(socketpair, waitall_and_timeouts)
{
    char buf[16];
    int s[2];

    sock_pair(SOCK_STREAM, s);
    fflush(NULL);
    pid_t child = abi_fork();
    if (child == 0) {
        abi_sleep_ms(20);
        (void)!write(s[0], "abc", 3);
        abi_sleep_ms(20);
        (void)!write(s[0], "def", 3);
        _exit(0);
    }
    CHECK_EQ(recv(s[1], buf, 6, MSG_WAITALL), 6);
    CHECK(memcmp(buf, "abcdef", 6) == 0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    struct timeval tv = {0, 30000}, back = {9, 9};
    socklen_t len = sizeof(back);
    CHECK_EQ(setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
    CHECK_EQ(getsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &back, &len), 0);
    CHECK_EQ(len, sizeof(back));
    CHECK_EQ(back.tv_sec, 0);
    CHECK(back.tv_usec >= 30000 && back.tv_usec <= 40000); /* Linux counts ticks */
    CHECK_ERR(recv(s[1], buf, 6, 0), EAGAIN);
    CHECK_EQ(write(s[0], "xy", 2), 2);
    CHECK_EQ(recv(s[1], buf, 6, MSG_WAITALL), 2);
    tv.tv_usec = 1000000;
    CHECK_ERR(setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), EDOM);
}

ABI_TEST(socket, stream_connects_by_path)
{
    struct sockaddr_un address;
    socklen_t len = sizeof(address);
    char buf[16];
    int listener = sock_listener(SOCK_STREAM, "s", 5), client = socket(AF_UNIX, SOCK_STREAM, 0);

    CHECK_EQ(sock_option(listener, SO_ACCEPTCONN), 1);
    CHECK_EQ(sock_option(client, SO_ACCEPTCONN), 0);
    CHECK_EQ(sock_ready(listener, POLLIN | POLLOUT), 0);
    CHECK_EQ(sock_ready(client, POLLIN | POLLOUT), POLLOUT | POLLHUP);
    CHECK_ERR(getpeername(client, (struct sockaddr *)&address, &len), ENOTCONN);
    CHECK_ERR(send(client, "x", 1, 0), ENOTCONN);
    CHECK_ERR(recv(client, buf, 1, 0), EINVAL);
    CHECK_EQ(sock_connect(client, "s"), 0);
    CHECK_EQ(send(client, "early", 5, 0), 5);
    CHECK_EQ(sock_ready(listener, POLLIN), POLLIN);
    CHECK_ERR(sock_connect(client, "s"), EISCONN);
    len = sizeof(address);
    int server = accept4(listener, (struct sockaddr *)&address, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK(server >= 0);
    CHECK_EQ(len, 2);
    CHECK_EQ(address.sun_family, AF_UNIX);
    CHECK_EQ(fcntl(server, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(read(server, buf, 16), 5);
    CHECK_ERR(read(server, buf, 16), EAGAIN);
    len = sizeof(address);
    CHECK_EQ(getsockname(server, (struct sockaddr *)&address, &len), 0);
    CHECK_EQ(len, 4);
    CHECK_EQ(strcmp(address.sun_path, "s"), 0);
    len = sizeof(address);
    CHECK_EQ(getpeername(client, (struct sockaddr *)&address, &len), 0);
    CHECK_EQ(len, 4);
    CHECK_ERR(sock_sendto(client, "x", 1, 0, "s"), EISCONN);
    CHECK_ERR(accept(client, NULL, NULL), EINVAL);
    CHECK_ERR(sock_bind(listener, "t"), EINVAL);
    CHECK_ERR(listen(client, 1), EINVAL);
}

ABI_TEST(socket, connecting_fails_as_it_should)
{
    int stream = socket(AF_UNIX, SOCK_STREAM, 0), dgram = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr_un address;

    CHECK_ERR(sock_connect(stream, "none"), ENOENT);
    CHECK_ERR(sock_connect(stream, "@none"), ECONNREFUSED);
    CHECK_EQ(sock_bind(dgram, "d"), 0);
    CHECK_ERR(sock_connect(stream, "d"), EPROTOTYPE);
    int other = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(sock_bind(other, "o"), 0);
    CHECK_ERR(sock_connect(stream, "o"), ECONNREFUSED); /* it does not listen */
    CHECK_ERR(sock_bind(stream, "o"), EADDRINUSE);
    CHECK_EQ(close(other), 0);
    CHECK_ERR(sock_connect(stream, "o"), ECONNREFUSED); /* the node stays */
    CHECK_EQ(unlink("o"), 0);
    abi_write_file("file", "");
    CHECK_ERR(sock_connect(stream, "file"), ECONNREFUSED);
    CHECK_ERR(sock_connect(stream, "nodir/x"), ENOENT);
    CHECK_ERR(sock_bind(stream, "nodir/x"), ENOENT);
    CHECK_ERR(listen(stream, 1), EINVAL); /* without a name */
    CHECK_ERR(listen(dgram, 1), EOPNOTSUPP);
    CHECK_ERR(accept(dgram, NULL, NULL), EOPNOTSUPP);
    socklen_t len = sock_name(&address, "x");
    CHECK_ERR(bind(stream, (struct sockaddr *)&address, 1000), EINVAL);
    CHECK_ERR(bind(stream, (struct sockaddr *)&address, 1), EINVAL);
    address.sun_family = AF_INET;
    CHECK_ERR(bind(stream, (struct sockaddr *)&address, len), EINVAL);
    CHECK_ERR(connect(stream, (struct sockaddr *)&address, len), EINVAL);
    CHECK_ERR(connect(stream, (struct sockaddr *)8, len), EFAULT);
}

ABI_TEST(socket, the_backlog_is_kept)
{
    int listener = sock_listener(SOCK_STREAM, "@abi-backlog", 1), clients[4];

    for (int i = 0; i < 4; i++) {
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    }
    CHECK_EQ(sock_connect(clients[0], "@abi-backlog"), 0);
    CHECK_EQ(sock_connect(clients[1], "@abi-backlog"), 0);
    CHECK_ERR(sock_connect(clients[2], "@abi-backlog"), EAGAIN);
    struct timeval tv = {0, 20000};
    CHECK_EQ(fcntl(clients[2], F_SETFL, 0), 0);
    CHECK_EQ(setsockopt(clients[2], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), 0);
    CHECK_ERR(sock_connect(clients[2], "@abi-backlog"), EAGAIN);
    tv.tv_usec = 0;
    CHECK_EQ(setsockopt(clients[2], SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)), 0);
    int status = 0;
    fflush(NULL);
    pid_t child = abi_fork();
    if (child == 0) {
        _exit(sock_connect(clients[2], "@abi-backlog") == 0 ? 0 : 1);
    }
    abi_sleep_ms(20);
    CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
    CHECK(accept(listener, NULL, NULL) >= 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    /* Who was never accepted learns that the listener has gone. */
    char byte;
    CHECK_EQ(close(listener), 0);
    CHECK_ERR(read(clients[1], &byte, 1), ECONNRESET);
    CHECK_ERR(send(clients[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_ERR(sock_connect(clients[3], "@abi-backlog"), ECONNREFUSED);
}

ABI_TEST(socket, accept_waits_and_can_be_stopped)
{
    int listener = sock_listener(SOCK_STREAM, "l", 5);
    struct timeval tv = {0, 20000};

    CHECK_EQ(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    CHECK_ERR(accept(listener, NULL, NULL), EAGAIN);
    CHECK_EQ(fcntl(listener, F_SETFL, 0), 0);
    CHECK_EQ(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
    CHECK_ERR(accept(listener, NULL, NULL), EAGAIN);
    CHECK_ERR(syscall(SYS_accept4, listener, NULL, NULL, 0x77), EINVAL);
    CHECK_EQ(shutdown(listener, SHUT_RD), 0);
    CHECK_ERR(accept(listener, NULL, NULL), EINVAL);
    int client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERR(sock_connect(client, "l"), ECONNREFUSED);
}

ABI_TEST(socket, names_are_paths_abstract_or_given)
{
    struct sockaddr_un address;
    struct stat st;
    socklen_t len = sizeof(address);
    int a = socket(AF_UNIX, SOCK_STREAM, 0), b = socket(AF_UNIX, SOCK_DGRAM, 0),
        c = socket(AF_UNIX, SOCK_STREAM, 0);

    CHECK_EQ(getsockname(a, (struct sockaddr *)&address, &len), 0);
    CHECK_EQ(len, 2);
    /* Each type has its own abstract names; bytes of any kind, zeros too. */
    CHECK_EQ(sock_bind(a, "@abi-name"), 0);
    CHECK_EQ(sock_bind(b, "@abi-name"), 0);
    CHECK_ERR(sock_bind(c, "@abi-name"), EADDRINUSE);
    memset(&address, 0, sizeof(address));
    address.sun_family = AF_UNIX;
    CHECK_EQ(bind(c, (struct sockaddr *)&address, sizeof(address)), 0);
    len = sizeof(address);
    CHECK_EQ(getsockname(c, (struct sockaddr *)&address, &len), 0);
    CHECK_EQ(len, sizeof(address));
    /* Cut off, the length still is what it would be. */
    len = 3;
    CHECK_EQ(getsockname(a, (struct sockaddr *)&address, &len), 0);
    CHECK_EQ(len, 2 + 9);
    /* A name of the system's choice: NUL and five hexadecimal digits. */
    int d = socket(AF_UNIX, SOCK_STREAM, 0);
    address.sun_family = AF_UNIX;
    CHECK_EQ(bind(d, (struct sockaddr *)&address, 2), 0);
    len = sizeof(address);
    CHECK_EQ(getsockname(d, (struct sockaddr *)&address, &len), 0);
    CHECK_EQ(len, 2 + 6);
    CHECK_EQ(address.sun_path[0], 0);
    for (int i = 1; i < 6; i++) {
        CHECK(strchr("0123456789abcdef", address.sun_path[i]) != NULL);
    }
    /* Binding anew is refused, but for no name, which is given already. */
    CHECK_EQ(bind(d, (struct sockaddr *)&address, 2), 0);
    CHECK_ERR(sock_bind(d, "again"), EINVAL);
    /* The node's permissions are the socket's, less the umask. */
    int e = socket(AF_UNIX, SOCK_STREAM, 0);
    umask(022);
    CHECK_EQ(fchmod(e, 0670), 0);
    CHECK_EQ(sock_bind(e, "node"), 0);
    CHECK_EQ(stat("node", &st), 0);
    CHECK_EQ(st.st_mode, S_IFSOCK | 0650);
    CHECK_EQ(rename("node", "moved"), 0);
    CHECK_EQ(listen(e, 1), 0);
    int f = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(sock_connect(f, "moved"), 0);
    /* 108 bytes without a NUL. */
    int g = socket(AF_UNIX, SOCK_DGRAM, 0);
    memset(address.sun_path, 'p', sizeof(address.sun_path));
    CHECK_EQ(bind(g, (struct sockaddr *)&address, sizeof(address)), 0);
    CHECK(
        access("pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"
               "pppppppppppppppppppppppppp",
               F_OK) == 0);
}

ABI_TEST(socket, connecting_needs_write_permission)
{
    int listener = sock_listener(SOCK_STREAM, "s", 5);

    CHECK_EQ(chmod(".", 0755), 0);
    CHECK_EQ(chmod("s", 0555), 0);
    CHECK_EQ(WEXITSTATUS(IN_CHILD({
                 int fd = socket(AF_UNIX, SOCK_STREAM, 0);
                 CHECK_EQ(setgid(1000), 0);
                 CHECK_EQ(setuid(1000), 0);
                 _exit(sock_connect(fd, "s") < 0 && errno == EACCES ? 0 : 1);
             })),
             0);
    CHECK_EQ(chmod("s", 0722), 0);
    CHECK_EQ(WEXITSTATUS(IN_CHILD({
                 int fd = socket(AF_UNIX, SOCK_STREAM, 0);
                 CHECK_EQ(setgid(1000), 0);
                 CHECK_EQ(setuid(1000), 0);
                 _exit(sock_connect(fd, "s") == 0 ? 0 : 1);
             })),
             0);
    close(listener);
}

ABI_TEST(socket, vectors_and_splices_move_bytes)
{
    char a[4], b[4], buf[16];
    struct iovec out[2] = {{(char *)"hel", 3}, {(char *)"lo", 2}}, in[2] = {{a, 4}, {b, 4}};
    int s[2], p[2];

    sock_pair(SOCK_STREAM, s);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(writev(s[0], out, 2), 5);
    CHECK_EQ(readv(s[1], in, 2), 5);
    CHECK(memcmp(a, "hell", 4) == 0 && b[0] == 'o');
    CHECK_EQ(write(s[0], "through", 7), 7);
    CHECK_EQ(splice(s[1], NULL, p[1], NULL, 100, 0), 7);
    CHECK_EQ(splice(p[0], NULL, s[1], NULL, 100, 0), 7);
    CHECK_EQ(read(s[0], buf, 16), 7);
    CHECK(memcmp(buf, "through", 7) == 0);
    abi_write_file("file", "content");
    int file = open("file", O_RDONLY);
    off_t at = 3;
    CHECK_EQ(syscall(SYS_sendfile, s[0], file, &at, 100), 4);
    CHECK_EQ(at, 7);
    CHECK_EQ(read(s[1], buf, 16), 4);
    CHECK(memcmp(buf, "tent", 4) == 0);
    CHECK_ERR(read(s[1], (void *)8, 0x1000000000000000), EFAULT);
    CHECK_EQ(write(s[0], "x", 1), 1);
    CHECK_ERR(read(s[1], (void *)8, 1), EFAULT);
    CHECK_EQ(read(s[1], buf, 1), 1);
    CHECK_ERR(write(s[0], (void *)8, 1), EFAULT);
}

ABI_TEST(socket, a_signal_ends_waiting)
{
    char byte;
    int s[2];

    sock_pair(SOCK_STREAM, s);
    CHECK(signal(SIGALRM, SIG_DFL) != SIG_ERR);
    CHECK_EQ(WTERMSIG(IN_CHILD({
                 ualarm(20000, 0);
                 (void)!read(s[0], &byte, 1);
             })),
             SIGALRM);
}

/* The line of /proc/net/unix that ends in `name`, without its first number. False: there is none. */
static bool find_shown(const char *name, char *ret_line, size_t size)
{
    FILE *file = fopen("/proc/net/unix", "r");
    char line[512];
    bool found = false;

    CHECK(file != NULL);
    CHECK(fgets(line, sizeof(line), file) != NULL);
    CHECK_EQ(strcmp(line, "Num       RefCount Protocol Flags    Type St Inode Path\n"), 0);
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        char *end = strchr(line, '\n'), *last = strrchr(line, ' ');
        CHECK(end != NULL && last != NULL);
        *end = '\0';
        if (strcmp(last + 1, name) == 0) {
            snprintf(ret_line, size, "%s", strchr(line, ':') + 2);
            found = true;
        }
    }
    fclose(file);
    return found;
}

ABI_TEST(socket, proc_shows_them)
{
    char line[512], expected[128];
    struct stat st;
    int listener = sock_listener(SOCK_STREAM, "@abi-shown", 1),
        dgram = socket(AF_UNIX, SOCK_DGRAM, 0);

    CHECK(find_shown("@abi-shown", line, sizeof(line)));
    CHECK_EQ(fstat(listener, &st), 0);
    snprintf(expected, sizeof(expected), "00000002 00000000 00010000 0001 01 %5llu @abi-shown",
             (unsigned long long)st.st_ino);
    CHECK_EQ(strcmp(line, expected), 0);
    CHECK_EQ(sock_bind(dgram, "shown-path"), 0);
    CHECK(find_shown("shown-path", line, sizeof(line)));
    CHECK(strstr(line, " 00000000 0002 01 ") != NULL);
    CHECK_EQ(close(listener), 0);
    CHECK(!find_shown("@abi-shown", line, sizeof(line)));
}

ABI_TEST(socket, limits_can_be_set)
{
    static const char path[] = "/proc/sys/net/core/wmem_max";
    char before[32] = {0};
    int fd = open(path, O_RDWR), s = socket(AF_UNIX, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    CHECK(read(fd, before, sizeof(before) - 1) > 0);
    CHECK_EQ(pwrite(fd, "100000", 6, 0), 6);
    CHECK_EQ(sock_set(s, SO_SNDBUF, 10000000), 0);
    int limit = sock_option(s, SO_SNDBUF);
    CHECK(pwrite(fd, before, strlen(before), 0) > 0);
    CHECK_EQ(limit, 200000);
    CHECK_EQ(access("/proc/sys/net/unix/max_dgram_qlen", F_OK), 0);
    CHECK_EQ(access("/proc/sys/net/core/somaxconn", F_OK), 0);
}

/* Of a full socket an edge comes when there is room, however the set learned of it: at once, or by a later change of mind. */
static void check_epoll_room(int type, bool later)
{
    static char big[4096];
    struct epoll_event event = {.events = later ? EPOLLIN : EPOLLOUT | EPOLLET}, got;
    int s[2], set = epoll_create1(0);

    CHECK_EQ(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, s), 0);
    while (write(s[0], big, sizeof(big)) > 0) {
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, s[0], &event), 0);
    if (later) {
        event.events = EPOLLOUT;
        CHECK_EQ(epoll_ctl(set, EPOLL_CTL_MOD, s[0], &event), 0);
    }
    CHECK_EQ(epoll_wait(set, &got, 1, 0), 0);
    fflush(NULL);
    pid_t child = abi_fork();
    if (child == 0) {
        abi_sleep_ms(20);
        while (read(s[1], big, sizeof(big)) > 0) {
        }
        _exit(0);
    }
    CHECK_EQ(epoll_wait(set, &got, 1, 5000), 1);
    CHECK(got.events & EPOLLOUT);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK_EQ(write(s[1], "x", 1), 1);
    event.events = EPOLLIN | EPOLLRDHUP;
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_MOD, s[0], &event), 0);
    CHECK_EQ(epoll_wait(set, &got, 1, 0), 1);
    CHECK_EQ(got.events, EPOLLIN);
    close(s[0]);
    close(s[1]);
    close(set);
}

ABI_TEST(socket, epoll_hears_of_room)
{
    for (int later = 0; later < 2; later++) {
        check_epoll_room(SOCK_STREAM, later != 0);
        check_epoll_room(SOCK_DGRAM, later != 0);
        check_epoll_room(SOCK_SEQPACKET, later != 0);
    }
}
