/* Descriptors that are not files of a tree: eventfd(2), pidfd_open(2), timerfd_create(2), signalfd(2); and unshare(2). */
#include "abi.h"

#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static short ready(int fd, short events)
{
    struct pollfd pollfd = {.fd = fd, .events = events};

    CHECK(poll(&pollfd, 1, 0) >= 0);
    return pollfd.revents;
}

ABI_TEST(eventfd, counts_and_empties)
{
    uint64_t value = 5;
    int fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(ready(fd, POLLIN | POLLOUT), POLLIN | POLLOUT);
    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_EQ(value, 8);
    CHECK_EQ(ready(fd, POLLIN | POLLOUT), POLLOUT);
    CHECK_ERR(read(fd, &value, 8), EAGAIN);
    CHECK_ERR(read(fd, &value, 7), EINVAL);
    CHECK_ERR(write(fd, &value, 4), EINVAL);
    value = UINT64_MAX;
    CHECK_ERR(write(fd, &value, 8), EINVAL);
    value = UINT64_MAX - 1;
    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK_EQ(ready(fd, POLLIN | POLLOUT), POLLIN);
    value = 1;
    CHECK_ERR(write(fd, &value, 8), EAGAIN);
    CHECK_EQ(lseek(fd, 3, SEEK_SET), 0); /* accepted, and without a meaning */
    CHECK_ERR(eventfd(0, 0x40), EINVAL);
    abi_check_link(fd, "anon_inode:[eventfd]");
}

ABI_TEST(eventfd, semaphore_gives_one_at_a_time)
{
    uint64_t value;
    int fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(read(fd, &value, 8), 8);
        CHECK_EQ(value, 1);
    }
    CHECK_ERR(read(fd, &value, 8), EAGAIN);
}

static void *add_later(void *arg)
{
    uint64_t one = 1;

    abi_sleep_ms(10);
    CHECK_EQ(write(*(int *)arg, &one, 8), 8);
    return NULL;
}

ABI_TEST(eventfd, readers_writers_and_pollers_wait)
{
    int fd = eventfd(0, 0);
    uint64_t value;
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, add_later, &fd), 0);
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&pollfd, 1, 5000), 1);
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_EQ(value, 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, add_later, &fd), 0);
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    value = UINT64_MAX - 1;
    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK_EQ(pthread_create(&thread, NULL, add_later, &fd), 0); /* waits for room */
    abi_sleep_ms(20);
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_EQ(value, UINT64_MAX - 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_EQ(value, 1);
}

/* ---- pidfd ---- */

static int pidfd_open_(pid_t pid, unsigned flags)
{
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

#define P_PIDFD_ 3

ABI_TEST(pidfd, tells_the_end_and_is_waited_for)
{
    siginfo_t info = {0};
    pid_t pid = abi_fork();

    if (pid == 0) {
        pause();
        _exit(0);
    }
    int fd = pidfd_open_(pid, 0);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(ready(fd, POLLIN), 0);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), 0);
    CHECK_EQ(waitid((idtype_t)P_PIDFD_, (id_t)fd, &info, WEXITED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0), 0);
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&pollfd, 1, 5000), 1);
    CHECK_EQ(pollfd.revents, POLLIN);
    CHECK_EQ(waitid((idtype_t)P_PIDFD_, (id_t)fd, &info, WEXITED), 0);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_status, SIGTERM);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
    CHECK_ERR(waitid((idtype_t)P_PIDFD_, (id_t)fd, &info, WEXITED), ECHILD);
    CHECK(ready(fd, POLLIN) & POLLIN);
}

ABI_TEST(pidfd, a_directory_of_proc_will_do_to_send_a_signal)
{
    char path[32];
    int status;
    pid_t pid = abi_fork();

    if (pid == 0) {
        pause();
        _exit(0);
    }
    (void)snprintf(path, sizeof(path), "/proc/%d", pid);
    int dir = open(path, O_RDONLY | O_DIRECTORY), name = open(path, O_PATH);
    CHECK(dir >= 0 && name >= 0);
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    int below = open(path, O_RDONLY | O_DIRECTORY), root = open("/proc", O_RDONLY | O_DIRECTORY);
    CHECK(below >= 0 && root >= 0);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, dir, 0, NULL, 0), 0);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, name, 0, NULL, 0), EBADF);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, below, 0, NULL, 0), EBADF);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, root, 0, NULL, 0), EBADF);
    CHECK_ERR(syscall(SYS_pidfd_getfd, dir, 0, 0), EBADF);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, dir, SIGTERM, NULL, 0), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, dir, 0, NULL, 0), ESRCH);
    close(dir);
    close(name);
    close(below);
    close(root);
}

ABI_TEST(pidfd, arguments_are_checked)
{
    siginfo_t info;
    int null = open("/dev/null", O_RDWR);

    CHECK_ERR(pidfd_open_(0, 0), EINVAL);
    CHECK_ERR(pidfd_open_(-1, 0), EINVAL);
    CHECK_ERR(pidfd_open_(getpid(), 1), EINVAL);
    CHECK_ERR(pidfd_open_(999999, 0), ESRCH);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, null, SIGTERM, NULL, 0), EBADF);
    CHECK_ERR(waitid((idtype_t)P_PIDFD_, (id_t)null, &info, WEXITED), EBADF);
    CHECK_ERR(waitid((idtype_t)P_PIDFD_, 77, &info, WEXITED), EBADF);
    int self = pidfd_open_(getpid(), 0);
    CHECK(self >= 0);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, self, 65, NULL, 0), EINVAL);
    int copy = (int)syscall(SYS_pidfd_getfd, self, null, 0);
    CHECK(copy > self);
    struct stat a, b;
    CHECK(fstat(null, &a) == 0 && fstat(copy, &b) == 0);
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_ERR(syscall(SYS_pidfd_getfd, self, 99, 0), EBADF);
}

ABI_TEST(pidfd, clone_gives_one)
{
    int fd = -1;
    struct clone_args args = {
        .flags = CLONE_PIDFD, .pidfd = (uintptr_t)&fd, .exit_signal = SIGCHLD};
    siginfo_t info = {0};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

    if (pid == 0) {
        _exit(4);
    }
    CHECK(pid > 0);
    CHECK(fd >= 0);
    CHECK_EQ(waitid((idtype_t)P_PIDFD_, (id_t)fd, &info, WEXITED), 0);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_status, 4);
    CHECK_ERR(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &fd, 0, 0),
              EINVAL);
    args.pidfd = 8;
    CHECK_ERR(syscall(SYS_clone3, &args, sizeof(args)), EFAULT);
}

ABI_TEST(pidfd, without_blocking_says_try_again)
{
    siginfo_t info = {0};
    pid_t pid = abi_fork();

    if (pid == 0) {
        pause();
        _exit(0);
    }
    int fd = pidfd_open_(pid, O_NONBLOCK);
    CHECK(fd >= 0);
    CHECK_ERR(waitid((idtype_t)P_PIDFD_, (id_t)fd, &info, WEXITED), EAGAIN);
    CHECK_EQ(waitid((idtype_t)P_PIDFD_, (id_t)fd, &info, WEXITED | WNOHANG), 0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

/* ---- unshare ---- */

static void *leave(void *arg)
{
    int fd = open("/dev/null", O_RDONLY);

    (void)arg;
    CHECK_ERR(unshare(CLONE_SIGHAND), EINVAL);
    CHECK_EQ(unshare(CLONE_FS | CLONE_FILES), 0);
    CHECK_EQ(chdir("/"), 0);
    (void)umask(0);
    CHECK_EQ(close(fd), 0);
    return (void *)(intptr_t)fd;
}

ABI_TEST(unshare, a_thread_leaves_the_others_files_and_directory_alone)
{
    char before[256], after[256];
    pthread_t thread;
    void *fd;

    CHECK(getcwd(before, sizeof(before)) != NULL);
    CHECK_EQ(pthread_create(&thread, NULL, leave, NULL), 0);
    CHECK_EQ(pthread_join(thread, &fd), 0);
    CHECK(getcwd(after, sizeof(after)) != NULL);
    CHECK(strcmp(before, after) == 0);
    CHECK_EQ(umask(022), 022);
    CHECK_EQ(close((int)(intptr_t)fd), 0);
    CHECK_EQ(unshare(0), 0);
    /* A joined thread has let go of its stack, which is a moment before it has gone. */
    for (int i = 0; i < 1000 && unshare(CLONE_SIGHAND | CLONE_VM | CLONE_THREAD) < 0; i++) {
        usleep(1000);
    }
    CHECK_EQ(unshare(CLONE_SIGHAND | CLONE_VM | CLONE_THREAD), 0);
    CHECK_ERR(unshare(1), EINVAL);
}

/* ---- timerfd ---- */

static struct itimerspec spec_ms(long value, long interval)
{
    return (struct itimerspec){{interval / 1000, interval % 1000 * 1000000},
                               {value / 1000, value % 1000 * 1000000}};
}

ABI_TEST(timerfd, counts_expirations)
{
    struct itimerspec spec = spec_ms(60000, 0), now;
    uint64_t ticks;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0);
    CHECK_EQ(timerfd_settime(fd, 0, &spec, NULL), 0);
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK(now.it_value.tv_sec > 0 && now.it_value.tv_sec <= 60);
    CHECK_EQ(ready(fd, POLLIN), 0);
    spec = spec_ms(20, 0);
    CHECK_EQ(timerfd_settime(fd, 0, &spec, NULL), 0);
    CHECK_EQ(read(fd, &ticks, 8), 8);
    CHECK_EQ(ticks, 1);
    CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    CHECK_ERR(read(fd, &ticks, 8), EAGAIN);
    CHECK_ERR(read(fd, &ticks, 4), EINVAL);
    spec = spec_ms(5, 5);
    CHECK_EQ(timerfd_settime(fd, 0, &spec, NULL), 0);
    abi_sleep_ms(52);
    CHECK_EQ(ready(fd, POLLIN), POLLIN);
    CHECK_EQ(read(fd, &ticks, 8), 8);
    CHECK(ticks >= 10);
    spec = spec_ms(0, 0);
    CHECK_EQ(timerfd_settime(fd, 0, &spec, &now), 0);
    CHECK_EQ(now.it_interval.tv_nsec, 5000000);
    abi_sleep_ms(10);
    CHECK_ERR(read(fd, &ticks, 8), EAGAIN);
    CHECK_ERR(write(fd, &ticks, 8), EINVAL);
}

/* However many they are and however short their intervals, timers that nobody reads leave the CPU to others. */
ABI_TEST(timerfd, who_is_not_read_stands_still)
{
    const struct itimerspec spec = {.it_value.tv_nsec = 1, .it_interval.tv_nsec = 1};
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int fds[200], set = epoll_create1(0);
    struct itimerspec now;
    uint64_t before, after;

    for (int i = 0; i < 200; i++) {
        fds[i] = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
        CHECK(fds[i] >= 0);
        CHECK_EQ(timerfd_settime(fds[i], 0, &spec, NULL), 0);
    }
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fds[0], &event), 0);
    CHECK_EQ(epoll_wait(set, &event, 1, 60000), 1);
    CHECK_EQ(epoll_wait(set, &event, 1, 20), 0); /* it has not been looked at since */
    CHECK_EQ(read(fds[0], &before, 8), 8);
    CHECK(before > 20000000);
    CHECK_EQ(epoll_wait(set, &event, 1, 60000), 1);
    CHECK_EQ(timerfd_gettime(fds[0], &now), 0); /* is a look */
    CHECK_EQ(now.it_interval.tv_nsec, 1);
    CHECK_EQ(epoll_wait(set, &event, 1, 60000), 1);
    CHECK_EQ(read(fds[0], &after, 8), 8);
    CHECK(after > 0);
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(close(fds[i]), 0);
    }
    CHECK_EQ(close(set), 0);
}

ABI_TEST(timerfd, absolute_times_and_errors)
{
    struct itimerspec spec = {0};
    uint64_t ticks;
    int fd = timerfd_create(CLOCK_REALTIME, 0);

    CHECK_EQ(clock_gettime(CLOCK_REALTIME, &spec.it_value), 0);
    spec.it_value.tv_sec -= 1;
    CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL), 0);
    CHECK_EQ(read(fd, &ticks, 8), 8);
    CHECK_EQ(ticks, 1);
    spec.it_value.tv_nsec = 1000000000;
    CHECK_ERR(timerfd_settime(fd, 0, &spec, NULL), EINVAL);
    spec.it_value.tv_nsec = 0;
    CHECK_ERR(timerfd_settime(fd, 8, &spec, NULL), EINVAL);
    CHECK_ERR(timerfd_settime(0, 0, &spec, NULL), EINVAL);
    CHECK_ERR(timerfd_settime(99, 0, &spec, NULL), EBADF);
    CHECK_ERR(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0), EINVAL);
    CHECK_ERR(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
}

/* ---- signalfd ---- */

ABI_TEST(signalfd, reads_what_is_blocked)
{
    struct signalfd_siginfo info[3];
    union sigval value = {.sival_int = 77};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 1);
    sigaddset(&set, SIGCHLD);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(ready(fd, POLLIN), 0);
    CHECK_ERR(read(fd, info, sizeof(info)), EAGAIN);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 1, value), 0);
    CHECK_EQ(ready(fd, POLLIN), POLLIN);
    CHECK_EQ(read(fd, info, sizeof(info)), 2 * sizeof(info[0]));
    CHECK_EQ(info[0].ssi_signo, SIGUSR1);
    CHECK_EQ(info[0].ssi_pid, getpid());
    CHECK_EQ(info[1].ssi_signo, SIGRTMIN + 1);
    CHECK_EQ(info[1].ssi_int, 77);
    pid_t pid = abi_fork();
    if (pid == 0) {
        _exit(5);
    }
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&pollfd, 1, 5000), 1);
    CHECK_EQ(read(fd, info, sizeof(info)), sizeof(info[0]));
    CHECK_EQ(info[0].ssi_signo, SIGCHLD);
    CHECK_EQ(info[0].ssi_pid, pid);
    CHECK_EQ(info[0].ssi_status, 5);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    sigdelset(&set, SIGUSR1);
    CHECK_EQ(signalfd(fd, &set, 0), fd);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(ready(fd, POLLIN), 0);
    CHECK_ERR(read(fd, info, 100), EINVAL);
    CHECK_ERR(signalfd(0, &set, 0), EINVAL);
    CHECK_ERR(signalfd(99, &set, 0), EBADF);
    CHECK_ERR(signalfd(-1, &set, 1), EINVAL);
}

static void *signal_later(void *arg)
{
    (void)arg;
    abi_sleep_ms(10);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    return NULL;
}

ABI_TEST(signalfd, a_reader_waits)
{
    struct signalfd_siginfo info;
    pthread_t thread;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    int fd = signalfd(-1, &set, 0);
    CHECK_EQ(pthread_create(&thread, NULL, signal_later, NULL), 0);
    CHECK_EQ(read(fd, &info, sizeof(info)), sizeof(info));
    CHECK_EQ(info.ssi_signo, SIGUSR1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}
