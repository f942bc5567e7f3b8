/* signalfd(2): what each kind of signal says, changes of a living one, and what a fork, several threads and epoll make of it. */
#include "abi.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/uio.h>

static sigset_t set_of(int a, int b)
{
    sigset_t set;

    sigemptyset(&set);
    if (a != 0) {
        sigaddset(&set, a);
    }
    if (b != 0) {
        sigaddset(&set, b);
    }
    return set;
}

/* Both blocked, and a descriptor that reads them. */
static int blocked_fd(int a, int b, int flags)
{
    sigset_t set = set_of(a, b);

    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    int fd = signalfd(-1, &set, flags);
    CHECK(fd >= 0);
    return fd;
}

static bool readable(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN | POLLOUT};

    CHECK(poll(&pollfd, 1, 0) >= 0);
    CHECK((pollfd.revents & ~POLLIN) == 0);
    return pollfd.revents == POLLIN;
}

static struct signalfd_siginfo read_one(int fd)
{
    struct signalfd_siginfo info;

    memset(&info, 0xff, sizeof(info));
    CHECK_EQ(read(fd, &info, sizeof(info)), sizeof(info));
    return info;
}

ABI_TEST(signalfd, kill_and_tgkill_say_who)
{
    int fd = blocked_fd(SIGUSR1, SIGUSR2, SFD_NONBLOCK);

    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR2), 0);
    struct signalfd_siginfo first = read_one(fd), second = read_one(fd);
    CHECK_EQ(first.ssi_signo, SIGUSR2); /* one of the thread comes before one of the process */
    CHECK_EQ(first.ssi_code, SI_TKILL);
    CHECK_EQ(first.ssi_pid, getpid());
    CHECK_EQ(first.ssi_uid, getuid());
    CHECK_EQ(second.ssi_code, SI_USER);
    CHECK_EQ(second.ssi_pid, getpid());
    CHECK_EQ(second.ssi_ptr, 0);
    CHECK_EQ(second.ssi_int, 0);
    CHECK_EQ(second.ssi_tid, 0);
    CHECK_EQ(second.ssi_fd, 0);
    CHECK_EQ(second.ssi_addr, 0);
}

ABI_TEST(signalfd, a_queued_value_and_a_timer_say_theirs)
{
    int fd = blocked_fd(SIGRTMIN, SIGRTMIN + 1, 0);
    union sigval value = {.sival_ptr = (void *)0x123456789abc};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
    struct itimerspec setting = {.it_value = {0, 1}};
    timer_t timer;

    CHECK_EQ(sigqueue(getpid(), SIGRTMIN, value), 0);
    struct signalfd_siginfo info = read_one(fd);
    CHECK_EQ(info.ssi_code, SI_QUEUE);
    CHECK_EQ(info.ssi_ptr, 0x123456789abc);
    CHECK_EQ(info.ssi_int, 0x56789abc);
    CHECK_EQ(info.ssi_pid, getpid());
    event.sigev_value.sival_ptr = (void *)0x55;
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    CHECK_EQ(timer_settime(timer, 0, &setting, NULL), 0);
    info = read_one(fd);
    CHECK_EQ(info.ssi_code, SI_TIMER);
    CHECK_EQ(info.ssi_ptr, 0x55);
    CHECK_EQ(info.ssi_overrun, 0);
    CHECK_EQ(info.ssi_pid, 0);
    CHECK_EQ(info.ssi_uid, 0);
}

ABI_TEST(signalfd, a_file_that_is_ready_says_which_and_for_what)
{
    int fd = blocked_fd(SIGIO, SIGRTMIN + 2, 0), pipes[2];

    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(fcntl(pipes[0], F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(pipes[0], F_SETSIG, SIGRTMIN + 2), 0);
    CHECK_EQ(fcntl(pipes[0], F_SETFL, O_ASYNC), 0);
    CHECK_EQ(write(pipes[1], "x", 1), 1);
    struct signalfd_siginfo info = read_one(fd);
    CHECK_EQ(info.ssi_signo, SIGRTMIN + 2);
    CHECK_EQ(info.ssi_code, POLL_IN);
    CHECK_EQ(info.ssi_fd, pipes[0]);
    CHECK_EQ(info.ssi_band, POLLIN | POLLRDNORM);
    CHECK_EQ(info.ssi_pid, 0);
    CHECK_EQ(info.ssi_ptr, 0);
    CHECK_EQ(fcntl(pipes[0], F_SETSIG, SIGIO), 0);
    CHECK_EQ(write(pipes[1], "x", 1), 1);
    info = read_one(fd);
    CHECK_EQ(info.ssi_signo, SIGIO);
    CHECK_EQ(info.ssi_fd, pipes[0]);
    CHECK_EQ(info.ssi_band, POLLIN | POLLRDNORM);
    CHECK_EQ(fcntl(pipes[0], F_SETSIG, 0), 0);
    CHECK_EQ(write(pipes[1], "x", 1), 1);
    info = read_one(fd);
    CHECK_EQ(info.ssi_signo, SIGIO);
    CHECK_EQ(info.ssi_code, SI_KERNEL);
    CHECK_EQ(info.ssi_fd, 0);
    CHECK_EQ(info.ssi_band, 0);
}

ABI_TEST(signalfd, a_child_says_how_it_ended_stopped_and_went_on)
{
    int fd = blocked_fd(SIGCHLD, 0, 0), status;
    pid_t pid = abi_fork();

    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    struct signalfd_siginfo info = read_one(fd);
    CHECK_EQ(info.ssi_code, CLD_STOPPED);
    CHECK_EQ(info.ssi_pid, pid);
    CHECK_EQ(info.ssi_status, SIGSTOP);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    info = read_one(fd);
    CHECK_EQ(info.ssi_code, CLD_CONTINUED);
    CHECK_EQ(info.ssi_status, SIGCONT);
    CHECK_EQ(kill(pid, SIGTERM), 0);
    info = read_one(fd);
    CHECK_EQ(info.ssi_code, CLD_KILLED);
    CHECK_EQ(info.ssi_status, SIGTERM);
    CHECK_EQ(info.ssi_uid, getuid());
    CHECK_EQ(waitpid(pid, &status, 0), pid);
}

ABI_TEST(signalfd, sigkill_and_sigstop_are_left_out_of_the_mask)
{
    sigset_t all;
    char path[64];

    sigfillset(&all);
    int fd = signalfd(-1, &all, 0), status;
    CHECK(fd >= 0);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    const char *line = strstr(abi_read_file(path), "sigmask:\t");
    CHECK(line != NULL);
    uint64_t mask = strtoull(line + 9, NULL, 16);
    CHECK((mask & (1ull << (SIGKILL - 1))) == 0 && (mask & (1ull << (SIGSTOP - 1))) == 0);
    CHECK((mask & (1ull << (SIGTERM - 1))) != 0 && (mask & (1ull << 63)) != 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        struct signalfd_siginfo info;
        sigprocmask(SIG_BLOCK, &all, NULL);
        (void)!read(fd, &info, sizeof(info));
        _exit(1);
    }
    abi_wait_state(pid, pid, 'S');
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void *read_in_thread(void *arg)
{
    static struct signalfd_siginfo info;

    info = read_one(*(int *)arg);
    return &info;
}

ABI_TEST(signalfd, another_mask_is_heeded_by_who_asks_from_then_on)
{
    int fd = blocked_fd(SIGUSR1, SIGUSR2, SFD_NONBLOCK);
    sigset_t usr2 = set_of(SIGUSR2, 0), both = set_of(SIGUSR1, SIGUSR2);
    struct epoll_event event = {.events = EPOLLIN};
    int set = epoll_create1(0);

    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
    CHECK_EQ(signalfd(fd, &usr2, SFD_CLOEXEC), fd); /* the flags are checked, and no more */
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    CHECK_ERR(signalfd(fd, &usr2, 1), EINVAL);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK(!readable(fd));
    CHECK_EQ(epoll_wait(set, &event, 1, 0), 0);
    CHECK_EQ(signalfd(fd, &both, 0), fd);
    CHECK(readable(fd));
    CHECK_EQ(epoll_wait(set, &event, 1, 5000), 1);
    CHECK_EQ(read_one(fd).ssi_signo, SIGUSR1);
    CHECK_EQ(epoll_wait(set, &event, 1, 0), 0);
}

/* The mask is looked at each time a waiting reader is woken. */
ABI_TEST(signalfd, a_reader_hears_of_another_mask)
{
    int fd = blocked_fd(SIGUSR1, SIGUSR2, 0);
    sigset_t usr2 = set_of(SIGUSR2, 0);
    struct signalfd_siginfo *info;
    pthread_t thread;

    CHECK_EQ(signalfd(fd, &usr2, 0), fd);
    CHECK_EQ(pthread_create(&thread, NULL, read_in_thread, &fd), 0);
    abi_wait_asleep(1);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(kill(getpid(), SIGUSR2), 0);
    CHECK_EQ(pthread_join(thread, (void **)&info), 0);
    CHECK_EQ(info->ssi_signo, SIGUSR2);
    sigset_t pending;
    CHECK_EQ(sigpending(&pending), 0);
    CHECK(sigismember(&pending, SIGUSR1) == 1 && sigismember(&pending, SIGUSR2) == 0);
}

/* One that sleeps with one mask and is given another, of what comes then or has come already. */
ABI_TEST(signalfd, a_reader_that_sleeps_hears_of_another_mask)
{
    int fd = blocked_fd(SIGUSR1, SIGUSR2, 0);
    sigset_t usr1 = set_of(SIGUSR1, 0), usr2 = set_of(SIGUSR2, 0);
    struct signalfd_siginfo *info;
    pthread_t thread;

    for (int pending = 0; pending < 2; pending++) {
        CHECK_EQ(signalfd(fd, &usr1, 0), fd);
        CHECK_EQ(pthread_create(&thread, NULL, read_in_thread, &fd), 0);
        abi_wait_asleep(1);
        if (pending) {
            CHECK_EQ(kill(getpid(), SIGUSR2), 0);
            abi_wait_asleep(1);
        }
        CHECK_EQ(signalfd(fd, &usr2, 0), fd);
        if (!pending) {
            abi_wait_asleep(1);
            CHECK_EQ(kill(getpid(), SIGUSR2), 0);
        }
        CHECK_EQ(pthread_join(thread, (void **)&info), 0);
        CHECK_EQ(info->ssi_signo, SIGUSR2);
    }
}

ABI_TEST(signalfd, as_many_as_fit_are_read_lowest_first)
{
    struct signalfd_siginfo info[4];
    int fd = blocked_fd(SIGRTMIN, SIGRTMIN + 1, SFD_NONBLOCK);
    union sigval value;

    for (value.sival_int = 0; value.sival_int < 3; value.sival_int++) {
        CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 1, value), 0);
        CHECK_EQ(sigqueue(getpid(), SIGRTMIN, value), 0);
    }
    CHECK_EQ(read(fd, info, 2 * sizeof(info[0]) + 127), 2 * sizeof(info[0]));
    CHECK(info[0].ssi_signo == (uint32_t)SIGRTMIN && info[0].ssi_int == 0);
    CHECK(info[1].ssi_signo == (uint32_t)SIGRTMIN && info[1].ssi_int == 1);
    struct iovec iov[2] = {{info, 128}, {info + 1, 256}}; /* spread over pieces */
    CHECK_EQ(readv(fd, iov, 2), 3 * sizeof(info[0]));
    CHECK(info[0].ssi_signo == (uint32_t)SIGRTMIN && info[0].ssi_int == 2);
    CHECK(info[2].ssi_signo == (uint32_t)SIGRTMIN + 1 && info[2].ssi_int == 1);
    CHECK_EQ(read(fd, info, sizeof(info)), sizeof(info[0]));
    CHECK_ERR(read(fd, info, sizeof(info)), EAGAIN);
    CHECK_ERR(read(fd, info, sizeof(info[0]) - 1), EINVAL);
    CHECK_ERR(write(fd, info, sizeof(info[0])), EINVAL);
}

/* Whoever reads, reads his own: a child's descriptor is the same file, and its signals are others. */
ABI_TEST(signalfd, after_a_fork_each_reads_its_own)
{
    int fd = blocked_fd(SIGUSR1, SIGUSR2, SFD_NONBLOCK), ready[2];
    char byte;

    CHECK_EQ(pipe(ready), 0);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK(!readable(fd)); /* what is pending is not inherited */
        CHECK_EQ(kill(getpid(), SIGUSR2), 0);
        CHECK(readable(fd));
        CHECK_EQ(read_one(fd).ssi_pid, getpid());
        CHECK(!readable(fd));
        CHECK_EQ(write(ready[1], "x", 1), 1);
        _exit(7);
    }
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WEXITSTATUS(status), 7);
    CHECK_EQ(read_one(fd).ssi_signo, SIGUSR1);
    CHECK(!readable(fd));
}

static void *wait_for_own(void *arg)
{
    struct pollfd pollfd = {.fd = *(int *)arg, .events = POLLIN};

    CHECK_EQ(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR2), 0);
    CHECK_EQ(poll(&pollfd, 1, 5000), 1);
    CHECK_EQ(read_one(*(int *)arg).ssi_signo, SIGUSR2);
    return NULL;
}

ABI_TEST(signalfd, a_signal_of_one_thread_is_read_by_it_alone)
{
    int fd = blocked_fd(SIGUSR1, SIGUSR2, SFD_NONBLOCK);
    pthread_t thread;

    CHECK_EQ(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1), 0);
    CHECK_EQ(pthread_create(&thread, NULL, wait_for_own, &fd), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(read_one(fd).ssi_signo, SIGUSR1);
    CHECK(!readable(fd));
}

static int told[2];

static void tell(int signo)
{
    (void)signo;
    CHECK_EQ(write(told[1], "x", 1), 1);
}

ABI_TEST(signalfd, a_handled_signal_ends_a_waiting_read)
{
    int fd = blocked_fd(SIGUSR1, 0, 0), status;
    char byte;

    CHECK_EQ(pipe(told), 0);
    for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
        pid_t pid = abi_fork();
        if (pid == 0) {
            struct sigaction sa = {.sa_handler = tell, .sa_flags = flags};
            struct signalfd_siginfo info;
            CHECK_EQ(sigaction(SIGUSR2, &sa, NULL), 0);
            if (flags == 0) {
                CHECK_ERR(read(fd, &info, sizeof(info)), EINTR);
            }
            CHECK_EQ(read(fd, &info, sizeof(info)), sizeof(info));
            _exit(3);
        }
        abi_wait_state(pid, pid, 'S');
        CHECK_EQ(kill(pid, SIGUSR2), 0);
        CHECK_EQ(read(told[0], &byte, 1), 1);
        CHECK_EQ(kill(pid, SIGUSR1), 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(WEXITSTATUS(status), 3);
    }
}

ABI_TEST(signalfd, an_ignored_signal_that_is_blocked_can_be_read)
{
    int fd = blocked_fd(SIGUSR1, SIGCHLD, SFD_NONBLOCK);

    CHECK_EQ(kill(getpid(), SIGCHLD), 0); /* ignored by default, kept because it is blocked */
    CHECK(readable(fd));
    CHECK_EQ(read_one(fd).ssi_signo, SIGCHLD);
    CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK(readable(fd));
    CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR); /* said again, it throws away what is pending */
    CHECK(!readable(fd));
}

ABI_TEST(signalfd, sizes_and_addresses_are_checked)
{
    sigset_t set = set_of(SIGUSR1, 0);

    CHECK_ERR(syscall(SYS_signalfd4, -1, &set, 4, 0), EINVAL);
    CHECK_ERR(syscall(SYS_signalfd4, -1, &set, 16, 0), EINVAL);
    CHECK_ERR(syscall(SYS_signalfd4, -1, (void *)8, 8, 0), EFAULT);
    CHECK_ERR(syscall(SYS_signalfd4, -2, &set, 8, 0), EBADF);
    int fd = (int)syscall(SYS_signalfd, -1, &set, 8);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR);
    CHECK_EQ(lseek(fd, 5, SEEK_SET), 0);
}
