/* Pipes, poll, select, terminals. */
#include "abi.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <termios.h>

ABI_TEST(pipe, carries_bytes_and_ends)
{
    char buf[10];
    int p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(write(p[1], "abc", 3), 3);
    CHECK_EQ(write(p[1], "def", 3), 3);
    CHECK_EQ(read(p[0], buf, 4), 4);
    CHECK(memcmp(buf, "abcd", 4) == 0);
    int n;
    CHECK_EQ(ioctl(p[0], FIONREAD, &n), 0);
    CHECK_EQ(n, 2);
    CHECK_EQ(close(p[1]), 0);
    CHECK_EQ(read(p[0], buf, 10), 2);
    CHECK_EQ(read(p[0], buf, 10), 0);
    CHECK_ERR(lseek(p[0], 0, SEEK_SET), ESPIPE);
    CHECK_ERR(write(p[0], "x", 1), EBADF);
}

ABI_TEST(pipe, without_readers_is_sigpipe_or_epipe)
{
    int p[2];

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(close(p[0]), 0);
    CHECK_EQ(WTERMSIG(IN_CHILD((void)!write(p[1], "x", 1))), SIGPIPE);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    CHECK_ERR(write(p[1], "x", 1), EPIPE);
}

ABI_TEST(pipe, nonblocking_fills_and_empties)
{
    static char buf[65536];
    int p[2];

    CHECK_EQ(pipe2(p, O_NONBLOCK), 0);
    CHECK_ERR(read(p[0], buf, 1), EAGAIN);
    CHECK_EQ(fcntl(p[1], F_GETPIPE_SZ), 65536);
    CHECK_EQ(write(p[1], buf, 65536), 65536);
    CHECK_ERR(write(p[1], buf, 1), EAGAIN);
    CHECK_EQ(read(p[0], buf, 4095), 4095);
    CHECK_ERR(write(p[1], buf, 4096), EAGAIN); /* PIPE_BUF bytes go whole or not at all */
    CHECK_EQ(fcntl(p[1], F_SETPIPE_SZ, 131072), 131072);
    CHECK(write(p[1], buf, 65536) > 0);
}

ABI_TEST(pipe, blocked_writer_and_reader_meet)
{
    enum { TOTAL = 1 << 20 };
    static char buf[10000];
    int p[2];
    long sum = 0;

    CHECK_EQ(pipe(p), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        for (long done = 0; done < TOTAL;) {
            long n = TOTAL - done < (long)sizeof(buf) ? TOTAL - done : (long)sizeof(buf);
            for (long i = 0; i < n; i++) {
                buf[i] = (char)((done + i) * 7);
            }
            CHECK_EQ(write(p[1], buf, (size_t)n), n);
            done += n;
        }
        _exit(0);
    }
    CHECK_EQ(close(p[1]), 0);
    for (ssize_t n; (n = read(p[0], buf, 777)) > 0; sum += n) {
        for (long i = 0; i < n; i++) {
            CHECK_EQ(buf[i], (char)((sum + i) * 7));
        }
    }
    CHECK_EQ(sum, TOTAL);
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

ABI_TEST(fifo, a_writer_that_waited_is_met_even_if_it_is_quick)
{
    char buf[8];

    CHECK_EQ(mkfifo("f", 0600), 0);
    for (int i = 0; i < 20; i++) {
        pid_t pid = abi_fork();
        if (pid == 0) {
            int out = open("f", O_WRONLY); /* waits for the reader, then is done at once */
            CHECK_EQ(write(out, "text", 4), 4);
            _exit(0);
        }
        abi_sleep_ms(i % 4);
        int in = open("f", O_RDONLY);
        CHECK_EQ(read(in, buf, sizeof(buf)), 4);
        CHECK_EQ(read(in, buf, sizeof(buf)), 0);
        CHECK_EQ(close(in), 0);
        CHECK_EQ(waitpid(pid, NULL, 0), pid);
    }
}

ABI_TEST(poll, tells_what_is_ready)
{
    int p[2];

    CHECK_EQ(pipe(p), 0);
    struct pollfd fds[3] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}, {999, POLLIN, 0}};
    CHECK_EQ(poll(fds, 2, 0), 1);
    CHECK_EQ(fds[0].revents, 0);
    CHECK_EQ(fds[1].revents, POLLOUT);
    CHECK_EQ(poll(fds, 3, 0), 2);
    CHECK_EQ(fds[2].revents, POLLNVAL);
    CHECK_EQ(poll(fds, 1, 10), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(poll(fds, 1, -1), 1);
    CHECK_EQ(fds[0].revents, POLLIN);
    CHECK_EQ(close(p[1]), 0);
    CHECK_EQ(poll(fds, 1, -1), 1);
    CHECK_EQ(fds[0].revents, POLLIN | POLLHUP);
}

ABI_TEST(poll, wakes_up_when_a_writer_comes)
{
    int p[2];

    CHECK_EQ(pipe(p), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        abi_sleep_ms(30);
        (void)!write(p[1], "x", 1);
        _exit(0);
    }
    struct pollfd fd = {p[0], POLLIN, 0};
    CHECK_EQ(poll(&fd, 1, 10000), 1);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(p[0], &set);
    struct timeval tv = {5, 0};
    CHECK_EQ(select(p[0] + 1, &set, NULL, NULL, &tv), 1);
    CHECK(FD_ISSET(p[0], &set));
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    FD_ZERO(&set);
    FD_SET(60, &set);
    CHECK_ERR(select(61, &set, NULL, NULL, &tv), EBADF);
    CHECK_ERR(select(-1, NULL, NULL, NULL, &tv), EINVAL);
    tv = (struct timeval){0, 20000};
    CHECK_EQ(select(0, NULL, NULL, NULL, &tv), 0);
}

/* ---- terminals, through a pty ---- */

static int open_pty(int *slave)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);

    CHECK(master >= 0);
    CHECK_EQ(grantpt(master), 0);
    CHECK_EQ(unlockpt(master), 0);
    *slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    CHECK(*slave >= 0);
    return master;
}

ABI_TEST(tty, canonical_mode_gives_whole_lines_and_echoes)
{
    char buf[64];
    int slave, master = open_pty(&slave);

    CHECK(isatty(slave));
    CHECK_EQ(write(master, "ab\177c\n", 5), 5);
    CHECK_EQ(read(slave, buf, sizeof(buf)), 3);
    CHECK(memcmp(buf, "ac\n", 3) == 0);
    CHECK_EQ(read(master, buf, sizeof(buf)), 8);
    CHECK(memcmp(buf, "ab\b \bc\r\n", 8) == 0);
    CHECK_EQ(write(master, "xy\004", 3), 3);
    CHECK_EQ(read(slave, buf, sizeof(buf)), 2);
    CHECK_EQ(write(master, "\004", 1), 1);
    CHECK_EQ(read(slave, buf, sizeof(buf)), 0);
}

ABI_TEST(tty, raw_mode_passes_every_byte)
{
    struct termios t;
    char all[256], buf[256];
    int slave, master = open_pty(&slave);

    CHECK_EQ(tcgetattr(slave, &t), 0);
    cfmakeraw(&t);
    CHECK_EQ(tcsetattr(slave, TCSANOW, &t), 0);
    for (int i = 0; i < 256; i++) {
        all[i] = (char)i;
    }
    CHECK_EQ(write(master, all, 256), 256);
    CHECK_EQ(read(slave, buf, 256), 256);
    CHECK(memcmp(all, buf, 256) == 0);
    CHECK_EQ(write(slave, all, 256), 256);
    CHECK_EQ(read(master, buf, 256), 256);
    CHECK(memcmp(all, buf, 256) == 0);
}

ABI_TEST(tty, keys_send_signals_to_the_foreground)
{
    int slave, master = open_pty(&slave);
    int p[2];
    char c;

    CHECK_EQ(pipe(p), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(setsid(), getpid());
        CHECK_EQ(ioctl(slave, TIOCSCTTY, 0), 0);
        CHECK_EQ(tcgetpgrp(slave), getpgrp());
        (void)!write(p[1], "r", 1);
        for (;;) {
            (void)pause();
        }
    }
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(write(master, "\003", 1), 1);
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, SIGINT);
}

ABI_TEST(tty, window_size_and_hangup)
{
    struct winsize size = {.ws_row = 33, .ws_col = 101}, got;
    char c;
    int slave, master = open_pty(&slave);

    CHECK_EQ(ioctl(master, TIOCSWINSZ, &size), 0);
    CHECK_EQ(ioctl(slave, TIOCGWINSZ, &got), 0);
    CHECK_EQ(got.ws_row, 33);
    CHECK_EQ(got.ws_col, 101);
    CHECK_EQ(close(slave), 0);
    CHECK_ERR(read(master, &c, 1), EIO);
    CHECK_ERR(ioctl(open("/dev/null", O_RDONLY), TCGETS, &got), ENOTTY);
}
