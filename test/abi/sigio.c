/* Signals that tell of input and output (fcntl(2), O_ASYNC, F_SETOWN, F_SETSIG): on pipes, sockets, terminals and inotify. */
#include "abi.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#define RT_SIGNAL 40

static void block(int signo)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signo);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
}

/* Take one that is pending now. False: there is none. */
static bool take(int signo, siginfo_t *ret_info)
{
    struct timespec none = {0};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signo);
    return sigtimedwait(&set, ret_info, &none) == signo;
}

static void expect_told(int fd, int code, long band)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    CHECK(take(RT_SIGNAL, &info));
    CHECK_EQ(info.si_signo, RT_SIGNAL);
    CHECK_EQ(info.si_code, code);
    CHECK_EQ(info.si_errno, 0);
    CHECK_EQ(info.si_fd, fd);
    CHECK_EQ(info.si_band, band);
}

static void expect_silence(void)
{
    siginfo_t info;

    CHECK(!take(RT_SIGNAL, &info));
    CHECK(!take(SIGIO, &info));
}

/* Tell this process of the file by RT_SIGNAL. */
static void listen_to(int fd)
{
    block(SIGIO);
    block(RT_SIGNAL);
    CHECK_EQ(fcntl(fd, F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(fd, F_SETSIG, RT_SIGNAL), 0);
    CHECK_EQ(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC), 0);
    CHECK((fcntl(fd, F_GETFL) & O_ASYNC) != 0);
}

ABI_TEST(sigio, plain_signal_comes_from_the_kernel)
{
    siginfo_t info;
    int fds[2];

    block(SIGIO);
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(fcntl(fds[0], F_SETOWN, getpid()), 0);
    CHECK_EQ(write(fds[1], "a", 1), 1);
    CHECK(!take(SIGIO, &info));
    CHECK_EQ(fcntl(fds[0], F_SETFL, O_ASYNC), 0);
    CHECK(!take(SIGIO, &info));
    CHECK_EQ(write(fds[1], "b", 1), 1);
    CHECK(take(SIGIO, &info));
    CHECK_EQ(info.si_code, SI_KERNEL);
    CHECK_EQ(info.si_pid, 0);
    CHECK(!take(SIGIO, &info));
    CHECK_EQ(fcntl(fds[0], F_SETFL, 0), 0);
    CHECK_EQ(write(fds[1], "c", 1), 1);
    CHECK(!take(SIGIO, &info));
}

ABI_TEST(sigio, nobody_is_told_without_an_owner)
{
    siginfo_t info;
    int fds[2];

    block(SIGIO);
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(fcntl(fds[0], F_SETFL, O_ASYNC), 0);
    CHECK_EQ(write(fds[1], "a", 1), 1);
    CHECK(!take(SIGIO, &info));
}

ABI_TEST(sigio, each_write_to_a_pipe_tells_its_reader)
{
    char buf[8];
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    listen_to(fds[0]);
    CHECK_EQ(write(fds[1], "a", 1), 1);
    CHECK_EQ(write(fds[1], "b", 1), 1);
    expect_told(fds[0], POLL_IN, POLLIN | POLLRDNORM);
    expect_told(fds[0], POLL_IN, POLLIN | POLLRDNORM);
    expect_silence();
    CHECK_EQ(read(fds[0], buf, sizeof(buf)), 2);
    expect_silence();
    CHECK_EQ(close(fds[1]), 0);
    expect_told(fds[0], POLL_IN, POLLIN | POLLRDNORM);
    expect_silence();
}

ABI_TEST(sigio, each_read_from_a_pipe_tells_its_writer)
{
    char buf[8];
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    listen_to(fds[1]);
    CHECK_EQ(write(fds[1], "abc", 3), 3);
    expect_silence();
    CHECK_EQ(read(fds[0], buf, 1), 1);
    expect_told(fds[1], POLL_OUT, POLLOUT | POLLWRNORM | POLLWRBAND);
    CHECK_EQ(read(fds[0], buf, 2), 2);
    expect_told(fds[1], POLL_OUT, POLLOUT | POLLWRNORM | POLLWRBAND);
    expect_silence();
    CHECK_EQ(close(fds[0]), 0);
    expect_told(fds[1], POLL_OUT, POLLOUT | POLLWRNORM | POLLWRBAND);
    expect_silence();
}

ABI_TEST(sigio, the_number_is_the_one_it_was_asked_with)
{
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    listen_to(fds[0]);
    int copy = dup(fds[0]);
    CHECK_EQ(fcntl(copy, F_SETFL, fcntl(copy, F_GETFL) | O_ASYNC), 0); /* no change */
    CHECK_EQ(close(fds[0]), 0);
    CHECK_EQ(write(fds[1], "a", 1), 1);
    expect_told(fds[0], POLL_IN, POLLIN | POLLRDNORM);
    CHECK_EQ(close(copy), 0);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERR(write(fds[1], "a", 1), EPIPE);
    expect_silence();
}

ABI_TEST(sigio, several_files_of_one_pipe_are_told)
{
    char path[64];
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
    int other = open(path, O_RDONLY | O_NONBLOCK);
    CHECK(other >= 0);
    listen_to(fds[0]);
    listen_to(other);
    CHECK_EQ(write(fds[1], "a", 1), 1);
    siginfo_t one, two;
    CHECK(take(RT_SIGNAL, &one) && take(RT_SIGNAL, &two));
    CHECK((one.si_fd == fds[0] && two.si_fd == other) ||
          (one.si_fd == other && two.si_fd == fds[0]));
    CHECK_EQ(close(other), 0);
    CHECK_EQ(write(fds[1], "a", 1), 1);
    expect_told(fds[0], POLL_IN, POLLIN | POLLRDNORM);
    expect_silence();
}

ABI_TEST(sigio, signals_with_codes_of_their_own_say_sigio)
{
    siginfo_t info;
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    listen_to(fds[0]);
    block(SIGBUS);
    block(SIGUSR1);
    CHECK_EQ(fcntl(fds[0], F_SETSIG, SIGBUS), 0);
    CHECK_EQ(write(fds[1], "a", 1), 1);
    CHECK(take(SIGBUS, &info));
    CHECK_EQ(info.si_code, -5); /* SI_SIGIO */
    CHECK_EQ(info.si_fd, fds[0]);
    CHECK_EQ(fcntl(fds[0], F_SETSIG, SIGIO), 0);
    CHECK_EQ(write(fds[1], "a", 1), 1);
    CHECK(take(SIGIO, &info));
    CHECK_EQ(info.si_code, POLL_IN);
    CHECK_EQ(info.si_fd, fds[0]);
    CHECK_EQ(fcntl(fds[0], F_SETSIG, SIGUSR1), 0);
    CHECK_EQ(write(fds[1], "a", 1), 1);
    CHECK(take(SIGUSR1, &info));
    CHECK_EQ(info.si_code, POLL_IN);
}

ABI_TEST(sigio, plain_signal_comes_when_no_more_may_be_queued)
{
    struct rlimit limit;
    siginfo_t info;
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    listen_to(fds[0]);
    CHECK_EQ(getrlimit(RLIMIT_SIGPENDING, &limit), 0);
    limit.rlim_cur = 0;
    CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
    CHECK_EQ(write(fds[1], "a", 1), 1);
    CHECK(!take(RT_SIGNAL, &info));
    CHECK(take(SIGIO, &info));
}

static volatile int owner_tid;
static int thread_pipe[2];

static void *own(void *unused)
{
    siginfo_t info;
    sigset_t set;

    (void)unused;
    owner_tid = (int)syscall(SYS_gettid);
    sigemptyset(&set);
    sigaddset(&set, RT_SIGNAL);
    CHECK_EQ(sigwaitinfo(&set, &info), RT_SIGNAL);
    CHECK_EQ(info.si_fd, thread_pipe[0]);
    return NULL;
}

ABI_TEST(sigio, a_thread_alone_may_be_the_owner)
{
    struct {
        int type, pid;
    } owner = {0 /* F_OWNER_TID */, 0};
    pthread_t thread;
    siginfo_t info;

    block(RT_SIGNAL);
    CHECK_EQ(pipe(thread_pipe), 0);
    CHECK_EQ(pthread_create(&thread, NULL, own, NULL), 0);
    while (owner_tid == 0) {
        abi_sleep_ms(1);
    }
    owner.pid = owner_tid;
    listen_to(thread_pipe[0]);
    CHECK_EQ(fcntl(thread_pipe[0], 15 /* F_SETOWN_EX */, &owner), 0);
    CHECK_EQ(write(thread_pipe[1], "a", 1), 1);
    CHECK(!take(RT_SIGNAL, &info));
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(write(thread_pipe[1], "a", 1), 1); /* it has gone: nobody is told */
    CHECK(!take(RT_SIGNAL, &info));
}

ABI_TEST(sigio, a_group_may_be_the_owner)
{
    int fds[2], ready[2];
    char c;

    CHECK_EQ(setpgid(0, 0), 0);
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(pipe(ready), 0);
    block(RT_SIGNAL);
    pid_t pid = abi_fork();
    if (pid == 0) {
        sigset_t set;
        siginfo_t info;
        sigemptyset(&set);
        sigaddset(&set, RT_SIGNAL);
        CHECK_EQ(write(ready[1], "r", 1), 1);
        _exit(sigwaitinfo(&set, &info) == RT_SIGNAL && info.si_fd == fds[0] ? 0 : 1);
    }
    CHECK_EQ(read(ready[0], &c, 1), 1);
    listen_to(fds[0]);
    CHECK_EQ(fcntl(fds[0], F_SETOWN, -getpgrp()), 0);
    CHECK_EQ(fcntl(fds[0], F_GETOWN), -getpgrp());
    CHECK_EQ(write(fds[1], "a", 1), 1);
    expect_told(fds[0], POLL_IN, POLLIN | POLLRDNORM);
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

ABI_TEST(sigio, who_made_somebody_the_owner_must_be_allowed_to_signal_him)
{
    pid_t parent = getpid();

    block(SIGIO);
    block(RT_SIGNAL);
    int status = IN_CHILD({
        int fds[2];
        CHECK_EQ(pipe(fds), 0);
        CHECK_EQ(setuid(1000), 0);
        CHECK_EQ(fcntl(fds[0], F_SETOWN, parent), 0);
        CHECK_EQ(fcntl(fds[0], F_SETFL, O_ASYNC), 0);
        CHECK_EQ(write(fds[1], "a", 1), 1);
    });
    CHECK_EQ(status, 0);
    expect_silence();
    status = IN_CHILD({
        int fds[2];
        CHECK_EQ(pipe(fds), 0);
        CHECK_EQ(fcntl(fds[0], F_SETOWN, parent), 0);
        CHECK_EQ(setuid(1000), 0); /* it counts who he was then */
        CHECK_EQ(fcntl(fds[0], F_SETFL, O_ASYNC), 0);
        CHECK_EQ(write(fds[1], "a", 1), 1);
    });
    CHECK_EQ(status, 0);
    siginfo_t info;
    CHECK(take(SIGIO, &info));
}

ABI_TEST(sigio, sockets_tell_of_data_and_of_the_end)
{
    int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}, fds[2];
    char buf[8];

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(socketpair(AF_UNIX, types[i], 0, fds), 0);
        listen_to(fds[0]);
        CHECK_EQ(write(fds[1], "abc", 3), 3);
        expect_told(fds[0], POLL_IN, POLLIN | POLLRDNORM);
        expect_silence();
        CHECK_EQ(read(fds[0], buf, 8), 3);
        expect_silence();
        if (types[i] != SOCK_DGRAM) {
            CHECK_EQ(shutdown(fds[1], SHUT_WR), 0);
            expect_told(fds[0], POLL_IN, POLLIN | POLLRDNORM);
            expect_silence();
            CHECK_EQ(close(fds[1]), 0);
            expect_told(fds[0], POLL_HUP, POLLHUP | POLLERR);
        } else {
            CHECK_EQ(close(fds[1]), 0);
        }
        expect_silence();
        CHECK_EQ(close(fds[0]), 0);
    }
}

ABI_TEST(sigio, a_listener_is_told_of_who_connects)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "listener"};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), caller = socket(AF_UNIX, SOCK_STREAM, 0);

    CHECK_EQ(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
    CHECK_EQ(listen(listener, 3), 0);
    listen_to(listener);
    CHECK_EQ(connect(caller, (struct sockaddr *)&name, sizeof(name)), 0);
    expect_told(listener, POLL_IN, POLLIN | POLLRDNORM);
    expect_silence();
}

ABI_TEST(sigio, ioctls_do_the_same)
{
    int fds[2], on = 1, off = 0, pid = getpid(), told = 0;

    block(SIGIO);
    block(RT_SIGNAL);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(ioctl(fds[0], FIOSETOWN, &pid), 0);
    CHECK_EQ(ioctl(fds[0], FIOGETOWN, &told), 0);
    CHECK_EQ(told, pid);
    CHECK_EQ(ioctl(fds[0], FIOASYNC, &on), 0);
    CHECK((fcntl(fds[0], F_GETFL) & O_ASYNC) != 0);
    CHECK_EQ(write(fds[1], "a", 1), 1);
    siginfo_t info;
    CHECK(take(SIGIO, &info));
    CHECK_EQ(ioctl(fds[0], FIOASYNC, &off), 0);
    CHECK((fcntl(fds[0], F_GETFL) & O_ASYNC) == 0);
    CHECK_EQ(write(fds[1], "a", 1), 1);
    expect_silence();
    int event = eventfd(0, 0);
    CHECK_ERR(ioctl(event, FIOASYNC, &on), ENOTTY);
    CHECK_EQ(ioctl(event, FIOASYNC, &off), 0);
}

ABI_TEST(sigio, a_terminal_tells_of_lines_and_has_an_owner_at_once)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), unlock = 0, number;
    char path[32];

    CHECK(master >= 0);
    CHECK_EQ(ioctl(master, TIOCSPTLCK, &unlock), 0);
    CHECK_EQ(ioctl(master, TIOCGPTN, &number), 0);
    (void)snprintf(path, sizeof(path), "/dev/pts/%d", number);
    int slave = open(path, O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
    block(SIGIO);
    block(RT_SIGNAL);
    CHECK_EQ(fcntl(slave, F_GETOWN), 0);
    CHECK_EQ(fcntl(slave, F_SETSIG, RT_SIGNAL), 0);
    CHECK_EQ(fcntl(slave, F_SETFL, O_RDWR | O_ASYNC), 0);
    CHECK_EQ(fcntl(slave, F_GETOWN), getpid());
    CHECK_EQ(write(master, "half", 4), 4);
    abi_sleep_ms(50); /* Linux takes it in later; no line, no signal */
    expect_silence();
    CHECK_EQ(write(master, "\n", 1), 1);
    siginfo_t info;
    while (!take(RT_SIGNAL, &info)) {
        abi_sleep_ms(1);
    }
    CHECK_EQ(info.si_code, POLL_IN);
    CHECK_EQ(info.si_fd, slave);
    CHECK_EQ(info.si_band, POLLIN | POLLRDNORM);
    close(master);
    close(slave);
}

ABI_TEST(sigio, inotify_tells_of_events)
{
    int fd = inotify_init1(IN_NONBLOCK);

    CHECK(inotify_add_watch(fd, ".", IN_CREATE) >= 0);
    listen_to(fd);
    abi_write_file("new", "");
    expect_told(fd, POLL_IN, POLLIN | POLLRDNORM);
    expect_silence();
}

static volatile sig_atomic_t handled;

static void count(int signo)
{
    (void)signo;
    handled++;
}

ABI_TEST(sigio, a_handler_runs_before_the_write_returns)
{
    int fds[2];

    signal(SIGIO, count);
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(fcntl(fds[0], F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(fds[0], F_SETFL, O_ASYNC), 0);
    for (int i = 1; i <= 100; i++) {
        CHECK_EQ(write(fds[1], "a", 1), 1);
        CHECK_EQ(handled, i);
    }
}
