/*
 * Waiting with another signal mask (ppoll(2), pselect(2), epoll_pwait(2)): when the old mask comes back, what is checked, and what becomes of
 * the time limit. Raw calls, because libraries hide some of it.
 */
#include "abi.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>

#define FAR_S 1000

struct mask_arg {
    const sigset_t *mask;
    size_t size;
};

/* One of the calls: wait on a descriptor for up to *limit with this mask. */
struct way {
    const char *name;
    long (*wait)(int fd, struct timespec *limit, const sigset_t *mask, size_t size);
    bool tells_the_rest; /* in *limit */
};

static long by_ppoll(int fd, struct timespec *limit, const sigset_t *mask, size_t size)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};

    return syscall(SYS_ppoll, &pollfd, 1, limit, mask, size);
}

static long by_pselect(int fd, struct timespec *limit, const sigset_t *mask, size_t size)
{
    const struct mask_arg arg = {mask, size};
    fd_set set;

    FD_ZERO(&set);
    FD_SET(fd, &set);
    return syscall(SYS_pselect6, fd + 1, &set, NULL, NULL, limit, &arg);
}

static int epoll_of(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int set = epoll_create1(0);

    CHECK(set >= 0);
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
    return set;
}

static long by_epoll_pwait(int fd, struct timespec *limit, const sigset_t *mask, size_t size)
{
    int set = epoll_of(fd);
    struct epoll_event event;
    int ms = limit == NULL ? -1 : (int)(limit->tv_sec * 1000 + limit->tv_nsec / 1000000);
    long result = syscall(SYS_epoll_pwait, set, &event, 1, ms, mask, size);
    int error = errno;

    close(set);
    errno = error;
    return result;
}

static long by_epoll_pwait2(int fd, struct timespec *limit, const sigset_t *mask, size_t size)
{
    int set = epoll_of(fd);
    struct epoll_event event;
    long result = syscall(441 /* epoll_pwait2 */, set, &event, 1, limit, mask, size);
    int error = errno;

    close(set);
    errno = error;
    return result;
}

static const struct way ways[] = {
    {"ppoll", by_ppoll, true},
    {"pselect6", by_pselect, true},
    {"epoll_pwait", by_epoll_pwait, false},
    {"epoll_pwait2", by_epoll_pwait2, false},
};

#define FOR_EACH_WAY(way) for (const struct way *way = ways; way < ways + 4; way++)

static volatile sig_atomic_t handled;
static sigset_t mask_inside;

static void handler(int signo)
{
    handled += signo;
    sigprocmask(SIG_SETMASK, NULL, &mask_inside);
}

static void setup(int flags)
{
    struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};
    sigset_t set;

    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_SETMASK, &set, NULL), 0);
}

static bool blocked_now(int signo)
{
    sigset_t set;

    CHECK_EQ(sigprocmask(SIG_SETMASK, NULL, &set), 0);
    return sigismember(&set, signo) == 1;
}

/* An empty mask but for SIGUSR2. */
static sigset_t usr2_alone(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return set;
}

ABI_TEST(masks, a_pending_signal_ends_the_wait_and_the_old_mask_is_back)
{
    sigset_t mask = usr2_alone();
    int pipes[2];

    CHECK_EQ(pipe(pipes), 0);
    FOR_EACH_WAY(way)
    {
        for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
            struct timespec limit = {FAR_S, 0};
            setup(flags);
            handled = 0;
            CHECK_EQ(kill(getpid(), SIGUSR1), 0);
            CHECK_EQ(handled, 0);
            CHECK_ERR(way->wait(pipes[0], &limit, &mask, 8), EINTR); /* never made again */
            CHECK_EQ(handled, SIGUSR1);
            CHECK(sigismember(&mask_inside, SIGUSR2) == 1); /* the handler has the mask given */
            CHECK(blocked_now(SIGUSR1) && !blocked_now(SIGUSR2));
            if (way->tells_the_rest) {
                CHECK(limit.tv_sec < FAR_S && limit.tv_sec > FAR_S - 100);
            } else {
                CHECK_EQ(limit.tv_sec, FAR_S);
            }
        }
    }
}

ABI_TEST(masks, what_is_ready_comes_before_a_pending_signal)
{
    sigset_t mask = usr2_alone();
    int pipes[2];

    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(write(pipes[1], "x", 1), 1);
    FOR_EACH_WAY(way)
    {
        struct timespec limit = {FAR_S, 0};
        setup(0);
        handled = 0;
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        CHECK_EQ(way->wait(pipes[0], &limit, &mask, 8), 1);
        CHECK_EQ(handled, 0); /* the mask came back before anything was delivered */
        CHECK(blocked_now(SIGUSR1));
        sigset_t none;
        sigemptyset(&none);
        CHECK_EQ(sigprocmask(SIG_SETMASK, &none, NULL), 0);
        CHECK_EQ(handled, SIGUSR1);
    }
}

ABI_TEST(masks, time_that_is_up_brings_the_old_mask_back_too)
{
    sigset_t mask = usr2_alone();
    int pipes[2];

    CHECK_EQ(pipe(pipes), 0);
    FOR_EACH_WAY(way)
    {
        struct timespec limit = {0, 2000000};
        setup(0);
        CHECK_EQ(way->wait(pipes[0], &limit, &mask, 8), 0);
        CHECK(blocked_now(SIGUSR1) && !blocked_now(SIGUSR2));
        if (way->tells_the_rest) {
            CHECK_EQ(limit.tv_sec + limit.tv_nsec, 0);
        }
        limit = (struct timespec){0, 0};
        handled = 0;
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        if (way->tells_the_rest) {
            CHECK_ERR(way->wait(pipes[0], &limit, &mask, 8), EINTR);
        } else {
            CHECK_EQ(way->wait(pipes[0], &limit, &mask, 8), 0);
        }
        CHECK(blocked_now(SIGUSR1));
        sigset_t none;
        sigemptyset(&none);
        CHECK_EQ(sigprocmask(SIG_SETMASK, &none, NULL), 0);
        CHECK_EQ(handled, SIGUSR1);
    }
}

ABI_TEST(masks, sizes_addresses_and_limits_are_checked)
{
    sigset_t mask = usr2_alone();
    int pipes[2];

    CHECK_EQ(pipe(pipes), 0);
    setup(0);
    FOR_EACH_WAY(way)
    {
        struct timespec limit = {0, 0};
        CHECK_ERR(way->wait(pipes[0], &limit, &mask, 4), EINVAL);
        CHECK_ERR(way->wait(pipes[0], &limit, &mask, 128), EINVAL);
        CHECK_ERR(way->wait(pipes[0], &limit, (sigset_t *)8, 8), EFAULT);
        CHECK_EQ(way->wait(pipes[0], &limit, NULL, 4), 0); /* no mask, no size */
        CHECK(blocked_now(SIGUSR1));
        if (way->wait == by_epoll_pwait) {
            continue;
        }
        CHECK_ERR(way->wait(pipes[0], (struct timespec *)8, &mask, 8), EFAULT);
        limit = (struct timespec){-1, 0};
        CHECK_ERR(way->wait(pipes[0], &limit, &mask, 8), EINVAL);
        limit = (struct timespec){0, 1000000000};
        CHECK_ERR(way->wait(pipes[0], &limit, &mask, 8), EINVAL);
        limit = (struct timespec){0, -1};
        CHECK_ERR(way->wait(pipes[0], &limit, &mask, 8), EINVAL);
        CHECK(blocked_now(SIGUSR1));
    }
    CHECK_ERR(syscall(SYS_pselect6, 1, NULL, NULL, NULL, NULL, (void *)8), EFAULT);
    CHECK_ERR(syscall(SYS_pselect6, -1, NULL, NULL, NULL, NULL, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_select, -1, NULL, NULL, NULL, NULL), EINVAL);
}

static void *send_sigchld_once_asleep(void *arg)
{
    (void)arg;
    abi_wait_state(getpid(), getpid(), 'S');
    CHECK_EQ(syscall(SYS_tgkill, getpid(), getpid(), SIGCHLD), 0);
    return NULL;
}

ABI_TEST(masks, sigkill_and_sigstop_are_never_kept_out)
{
    FOR_EACH_WAY(way)
    {
        int status, pipes[2];
        CHECK_EQ(pipe(pipes), 0);
        pid_t pid = abi_fork();
        if (pid == 0) {
            sigset_t all;
            sigfillset(&all);
            CHECK_EQ(sigprocmask(SIG_SETMASK, &all, NULL), 0);
            while (way->wait(pipes[0], NULL, &all, 8) == -1 && errno == EINTR) {
            } /* epoll is not made again after a stop */
            _exit(1);
        }
        abi_wait_state(pid, pid, 'S');
        CHECK_EQ(kill(pid, SIGTERM), 0); /* kept out */
        CHECK_EQ(kill(pid, SIGSTOP), 0);
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK(WIFSTOPPED(status));
        CHECK_EQ(kill(pid, SIGCONT), 0);
        CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
        abi_wait_state(pid, pid, 'S');
        CHECK_EQ(kill(pid, SIGKILL), 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(pipes[0]);
        close(pipes[1]);
    }
}

ABI_TEST(masks, a_signal_that_is_ignored_ends_no_wait)
{
    sigset_t mask = usr2_alone();
    int pipes[2];

    CHECK_EQ(pipe(pipes), 0);
    FOR_EACH_WAY(way)
    {
        struct timespec limit = {0, 30000000};
        pthread_t thread;
        setup(0);
        CHECK_EQ(pthread_create(&thread, NULL, send_sigchld_once_asleep, NULL), 0);
        CHECK_EQ(way->wait(pipes[0], &limit, &mask, 8), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK(blocked_now(SIGUSR1));
    }
}

ABI_TEST(masks, a_limit_in_memory_that_cannot_be_written_is_no_error)
{
    struct timespec *limit =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    sigset_t mask = usr2_alone();
    int pipes[2];

    CHECK_EQ(pipe(pipes), 0);
    *limit = (struct timespec){0, 5000000};
    CHECK_EQ(mprotect(limit, 4096, PROT_READ), 0);
    FOR_EACH_WAY(way)
    {
        setup(0);
        CHECK_EQ(way->wait(pipes[0], limit, &mask, 8), 0);
    }
    CHECK_EQ(limit->tv_nsec, 5000000);
}

/* A wait that a stop interrupts is made again, but not when the time that was left could not be told. */
ABI_TEST(masks, a_stop_restarts_the_wait_with_what_is_left_of_the_limit)
{
    for (int i = 0; i < 4; i++) {
        const struct way *way = &ways[i / 2];
        bool writable = i % 2 == 0; /* the limit */
        int status, pipes[2];
        struct timespec *limit =
            mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANON, -1, 0);
        *limit = (struct timespec){FAR_S, 0};
        CHECK_EQ(pipe(pipes), 0);
        pid_t pid = abi_fork();
        if (pid == 0) {
            CHECK_EQ(mprotect(limit, 4096, writable ? PROT_READ | PROT_WRITE : PROT_READ), 0);
            long result = way->wait(pipes[0], limit, NULL, 0);
            _exit(result == 1 ? 1 : result == -1 && errno == EINTR ? 2 : 3);
        }
        abi_wait_state(pid, pid, 'S');
        CHECK_EQ(kill(pid, SIGSTOP), 0);
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK(writable ? limit->tv_sec < FAR_S : limit->tv_sec == FAR_S);
        CHECK_EQ(kill(pid, SIGCONT), 0);
        CHECK_EQ(write(pipes[1], "x", 1), 1);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(WEXITSTATUS(status), writable ? 1 : 2);
        munmap(limit, 4096);
    }
}

ABI_TEST(masks, select_writes_what_is_left)
{
    struct timeval tv = {FAR_S, 0};
    int pipes[2];
    fd_set set;

    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(write(pipes[1], "x", 1), 1);
    FD_ZERO(&set);
    FD_SET(pipes[0], &set);
    CHECK_EQ(syscall(SYS_select, pipes[0] + 1, &set, NULL, NULL, &tv), 1);
    CHECK(tv.tv_sec < FAR_S && tv.tv_sec > FAR_S - 100);
    tv = (struct timeval){0, 100500000}; /* more than a second of microseconds is taken */
    CHECK_EQ(syscall(SYS_select, pipes[0] + 1, &set, NULL, NULL, &tv), 1);
    CHECK(tv.tv_sec <= 100 && tv.tv_sec > 1);
    tv = (struct timeval){-1, 0};
    CHECK_ERR(syscall(SYS_select, pipes[0] + 1, &set, NULL, NULL, &tv), EINVAL);
    tv = (struct timeval){0, -1};
    CHECK_ERR(syscall(SYS_select, pipes[0] + 1, &set, NULL, NULL, &tv), EINVAL);
    tv = (struct timeval){-1, 2000000}; /* a second */
    CHECK_EQ(syscall(SYS_select, pipes[0] + 1, &set, NULL, NULL, &tv), 1);
    tv = (struct timeval){LONG_MAX, 999999};
    CHECK_EQ(syscall(SYS_select, pipes[0] + 1, &set, NULL, NULL, &tv), 1);
    tv = (struct timeval){LONG_MAX, 1000000};
    CHECK_ERR(syscall(SYS_select, pipes[0] + 1, &set, NULL, NULL, &tv), EINVAL);
    tv = (struct timeval){LONG_MAX, LONG_MAX};
    CHECK_ERR(syscall(SYS_select, pipes[0] + 1, &set, NULL, NULL, &tv), EINVAL);
    CHECK_ERR(syscall(SYS_select, pipes[0] + 1, &set, NULL, NULL, (void *)8), EFAULT);
    FD_ZERO(&set);
    FD_SET(pipes[1] + 1, &set);
    tv = (struct timeval){0, 0};
    CHECK_ERR(syscall(SYS_select, pipes[1] + 2, &set, NULL, NULL, &tv), EBADF);
}

ABI_TEST(masks, poll_checks_the_number_and_marks_what_is_not_open)
{
    struct pollfd fds[3] = {{.fd = -1, .events = POLLIN, .revents = 77},
                            {.fd = 99, .events = POLLIN},
                            {.fd = -99, .events = POLLIN, .revents = 5}};

    CHECK_EQ(poll(fds, 3, -1), 1);
    CHECK_EQ(fds[0].revents, 0);
    CHECK_EQ(fds[1].revents, POLLNVAL);
    CHECK_EQ(fds[2].revents, 0);
    CHECK_ERR(syscall(SYS_poll, fds, 0x7fffffff, 0), EINVAL);
    CHECK_ERR(syscall(SYS_poll, (void *)8, 1, 0), EFAULT);
    CHECK_EQ(syscall(SYS_poll, (void *)8, 0, 0), 0);
}
