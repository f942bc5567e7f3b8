/* Epoll: what is watched, and when it is told. */
#include "epoll.h"

#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>

ABI_TEST(epoll, level_is_told_as_long_as_it_lasts)
{
    int set = epoll_set(), event = event_make();

    epoll_watch(set, event, EPOLLIN);
    CHECK_EQ(epoll_only(set, event), 0);
    event_add(event, 1);
    CHECK_EQ(epoll_only(set, event), EPOLLIN);
    CHECK_EQ(epoll_only(set, event), EPOLLIN);
    event_drain(event);
    CHECK_EQ(epoll_only(set, event), 0);
    CHECK_EQ(epoll_change(set, EPOLL_CTL_MOD, event, EPOLLIN | EPOLLOUT, 77), 0);
    CHECK_EQ(epoll_only(set, 77), EPOLLOUT);
    CHECK_EQ(epoll_change(set, EPOLL_CTL_DEL, event, 0, 0), 0);
    CHECK_EQ(epoll_only(set, 77), 0);
}

ABI_TEST(epoll, edge_is_told_once_for_each_event)
{
    int set = epoll_set(), event = event_make(), p[2];

    epoll_watch(set, event, EPOLLIN | EPOLLET);
    event_add(event, 1);
    CHECK_EQ(epoll_only(set, event), EPOLLIN);
    CHECK_EQ(epoll_only(set, event), 0);
    event_add(event, 1); /* it was readable before: still an event */
    CHECK_EQ(epoll_only(set, event), EPOLLIN);
    CHECK_EQ(epoll_only(set, event), 0);
    CHECK_EQ(epoll_change(set, EPOLL_CTL_MOD, event, EPOLLIN | EPOLLET, (uint64_t)event), 0);
    CHECK_EQ(epoll_only(set, event), EPOLLIN); /* asked anew */
    CHECK_EQ(close(event), 0);
    CHECK_EQ(pipe(p), 0);
    epoll_watch(set, p[0], EPOLLIN | EPOLLET);
    CHECK_EQ(write(p[1], "a", 1), 1);
    CHECK_EQ(epoll_only(set, p[0]), EPOLLIN);
    CHECK_EQ(write(p[1], "b", 1), 1); /* into a pipe that is not empty */
    CHECK_EQ(epoll_only(set, p[0]), EPOLLIN);
    CHECK_EQ(epoll_only(set, p[0]), 0);
    CHECK_EQ(close(p[1]), 0);
    CHECK_EQ(epoll_only(set, p[0]), EPOLLIN | EPOLLHUP);
    CHECK_EQ(epoll_only(set, p[0]), 0);
}

ABI_TEST(epoll, oneshot_sleeps_until_it_is_set_anew)
{
    int set = epoll_set(), event = event_make();

    epoll_watch(set, event, EPOLLIN | EPOLLONESHOT);
    event_add(event, 1);
    CHECK_EQ(epoll_only(set, event), EPOLLIN);
    event_add(event, 1);
    CHECK_EQ(epoll_only(set, event), 0);
    CHECK_ERR(epoll_change(set, EPOLL_CTL_ADD, event, EPOLLIN, 0), EEXIST);
    CHECK_EQ(epoll_change(set, EPOLL_CTL_MOD, event, EPOLLIN | EPOLLONESHOT, (uint64_t)event), 0);
    CHECK_EQ(epoll_only(set, event), EPOLLIN);
    CHECK_EQ(epoll_only(set, event), 0);
}

ABI_TEST(epoll, hang_up_and_error_need_no_asking)
{
    int set = epoll_set(), p[2], q[2];

    CHECK_EQ(pipe(p), 0);
    epoll_watch(set, p[0], 0);
    CHECK_EQ(close(p[1]), 0);
    CHECK_EQ(epoll_only(set, p[0]), EPOLLHUP);
    CHECK_EQ(close(p[0]), 0);
    CHECK_EQ(pipe(q), 0);
    epoll_watch(set, q[1], 0);
    CHECK_EQ(close(q[0]), 0);
    CHECK_EQ(epoll_only(set, q[1]), EPOLLERR);
}

ABI_TEST(epoll, refuses_what_it_cannot_watch)
{
    int set = epoll_set(), event = event_make();
    int file = open("f", O_RDWR | O_CREAT, 0600), dir = open(".", O_RDONLY);
    int path = open(".", O_PATH);
    struct epoll_event one = {.events = EPOLLIN};

    CHECK_ERR(syscall(SYS_epoll_create, 0), EINVAL);
    CHECK_ERR(syscall(SYS_epoll_create, -1), EINVAL);
    CHECK_ERR(epoll_create1(1), EINVAL);
    CHECK_EQ(fcntl(epoll_create1(EPOLL_CLOEXEC), F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(epoll_create(1), F_GETFD), 0);
    CHECK_EQ(fcntl(set, F_GETFL) & O_ACCMODE, O_RDWR);
    CHECK_ERR(epoll_ctl(set, EPOLL_CTL_ADD, file, &one), EPERM);
    CHECK_ERR(epoll_ctl(set, EPOLL_CTL_ADD, dir, &one), EPERM);
    CHECK_ERR(epoll_ctl(set, EPOLL_CTL_ADD, path, &one), EBADF);
    CHECK_ERR(epoll_ctl(set, EPOLL_CTL_ADD, set, &one), EINVAL);
    CHECK_ERR(epoll_ctl(event, EPOLL_CTL_ADD, event, &one), EINVAL);
    CHECK_ERR(epoll_ctl(event, EPOLL_CTL_ADD, set, &one), EINVAL);
    CHECK_ERR(epoll_ctl(set, EPOLL_CTL_ADD, 99, &one), EBADF);
    CHECK_ERR(epoll_ctl(99, EPOLL_CTL_ADD, event, &one), EBADF);
    CHECK_ERR(syscall(SYS_epoll_ctl, set, EPOLL_CTL_ADD, event, 1), EFAULT);
    CHECK_ERR(syscall(SYS_epoll_ctl, 99, EPOLL_CTL_ADD, event, 1), EFAULT);
    CHECK_ERR(epoll_ctl(set, EPOLL_CTL_DEL, event, NULL), ENOENT);
    CHECK_ERR(epoll_ctl(set, EPOLL_CTL_MOD, event, &one), ENOENT);
    CHECK_ERR(epoll_ctl(set, 9, event, &one), EINVAL);
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, event, &one), 0);
    CHECK_ERR(epoll_ctl(set, EPOLL_CTL_ADD, event, &one), EEXIST);
    CHECK_EQ(syscall(SYS_epoll_ctl, set, EPOLL_CTL_DEL, event, 1), 0);
    CHECK_ERR(read(set, &one, sizeof(one)), EINVAL);
    CHECK_ERR(write(set, &one, sizeof(one)), EINVAL);
    CHECK_EQ(lseek(set, 5, SEEK_SET), 0);
}

ABI_TEST(epoll, wait_checks_its_arguments)
{
    int set = epoll_set(), event = event_make();
    struct epoll_event one;

    CHECK_ERR(epoll_wait(set, &one, 0, 0), EINVAL);
    CHECK_ERR(epoll_wait(set, &one, -1, 0), EINVAL);
    CHECK_ERR(epoll_wait(set, &one, INT32_MAX, 0), EINVAL);
    CHECK_ERR(epoll_wait(event, &one, 1, 0), EINVAL);
    CHECK_ERR(epoll_wait(99, &one, 1, 0), EBADF);
    CHECK_ERR(epoll_wait(set, (void *)-4096l, 2, 0), EFAULT);
    epoll_watch(set, event, EPOLLOUT | EPOLLET);
    CHECK_ERR(epoll_wait(set, (void *)8, 2, 0), EFAULT);
    CHECK_EQ(epoll_only(set, event), EPOLLOUT); /* it was not lost */
    CHECK_EQ(epoll_only(set, event), 0);
}

ABI_TEST(epoll, tells_the_rest_when_room_is_short)
{
    enum { N = 10 };
    int set = epoll_set(), fds[N];
    struct epoll_event events[N];
    unsigned seen = 0;

    for (int i = 0; i < N; i++) {
        fds[i] = event_make();
        CHECK_EQ(epoll_change(set, EPOLL_CTL_ADD, fds[i], EPOLLIN | EPOLLET, (uint64_t)i), 0);
        event_add(fds[i], 1);
    }
    for (int left = N; left > 0;) {
        int n = epoll_wait(set, events, 3, 0);
        CHECK_EQ(n, left < 3 ? left : 3);
        for (int i = 0; i < n; i++) {
            seen |= 1u << events[i].data.u64;
        }
        left -= n;
    }
    CHECK_EQ(seen, (1u << N) - 1);
    CHECK_EQ(epoll_wait(set, events, N, 0), 0);
}

ABI_TEST(epoll, level_takes_turns)
{
    int set = epoll_set(), a = event_make(), b = event_make();
    struct epoll_event first, second;

    epoll_watch(set, a, EPOLLIN);
    epoll_watch(set, b, EPOLLIN);
    event_add(a, 1);
    event_add(b, 1);
    CHECK_EQ(epoll_wait(set, &first, 1, 0), 1);
    CHECK_EQ(epoll_wait(set, &second, 1, 0), 1);
    CHECK_EQ(first.data.u64, a);
    CHECK_EQ(second.data.u64, b);
    CHECK_EQ(epoll_wait(set, &first, 1, 0), 1);
    CHECK_EQ(first.data.u64, a);
}

ABI_TEST(epoll, a_key_is_the_file_and_the_descriptor)
{
    int set = epoll_set(), event = event_make(), copy = dup(event);

    epoll_watch(set, event, EPOLLIN);
    CHECK_EQ(epoll_change(set, EPOLL_CTL_ADD, copy, EPOLLIN, (uint64_t)copy), 0);
    event_add(event, 1);
    struct epoll_event events[3];
    CHECK_EQ(epoll_wait(set, events, 3, 0), 2);
    CHECK_EQ(epoll_change(set, EPOLL_CTL_DEL, copy, 0, 0), 0);
    CHECK_EQ(close(event), 0); /* the file lives on, and is watched under its old number */
    CHECK_EQ(epoll_only(set, event), EPOLLIN);
    CHECK_ERR(epoll_change(set, EPOLL_CTL_DEL, event, 0, 0), EBADF);
    CHECK_ERR(epoll_change(set, EPOLL_CTL_DEL, copy, 0, 0), ENOENT);
    CHECK_EQ(dup2(copy, event), event);
    CHECK_EQ(epoll_change(set, EPOLL_CTL_MOD, event, EPOLLOUT, (uint64_t)event), 0);
    CHECK_EQ(epoll_only(set, event), EPOLLOUT);
    CHECK_EQ(close(copy), 0);
    CHECK_EQ(epoll_only(set, event), EPOLLOUT);
    CHECK_EQ(close(event), 0); /* now it is gone */
    CHECK_EQ(epoll_only(set, event), 0);
}

ABI_TEST(epoll, a_closed_file_is_forgotten_though_a_child_had_the_set)
{
    int set = epoll_set(), event = event_make();

    epoll_watch(set, event, EPOLLIN);
    event_add(event, 1);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(epoll_only(set, event), EPOLLIN);
                 CHECK_EQ(close(event), 0); /* the parent has it */
                 CHECK_EQ(epoll_only(set, event), EPOLLIN);
             }),
             0);
    CHECK_EQ(epoll_only(set, event), EPOLLIN);
    CHECK_EQ(close(event), 0);
    CHECK_EQ(epoll_only(set, event), 0);
    CHECK_EQ(close(set), 0);
}

static int64_t now_ms(void)
{
    struct timespec ts;

    CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

ABI_TEST(epoll, sleeps_until_an_event_or_the_time_is_up)
{
    int set = epoll_set(), event = event_make();
    struct epoll_event one;
    pthread_t thread;

    epoll_watch(set, event, EPOLLIN);
    int64_t start = now_ms();
    CHECK_EQ(epoll_wait(set, &one, 1, 50), 0);
    CHECK(now_ms() - start >= 49);
    CHECK_EQ(pthread_create(&thread, NULL, event_add_soon, &event), 0);
    CHECK_EQ(epoll_wait(set, &one, 1, -1), 1);
    CHECK_EQ(one.events, EPOLLIN);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    event_drain(event);
    struct timespec ts = {0, 20000000};
    start = now_ms();
    CHECK_EQ(syscall(SYS_epoll_pwait2, set, &one, 1, &ts, NULL, 0), 0);
    CHECK(now_ms() - start >= 19);
    ts.tv_nsec = 1000000000;
    CHECK_ERR(syscall(SYS_epoll_pwait2, set, &one, 1, &ts, NULL, 0), EINVAL);
    CHECK_ERR(syscall(SYS_epoll_pwait2, set, &one, 1, 8, NULL, 0), EFAULT);
    CHECK_EQ(pthread_create(&thread, NULL, event_add_soon, &event), 0);
    CHECK_EQ(syscall(SYS_epoll_pwait2, set, &one, 1, NULL, NULL, 0), 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static volatile int handled;
static void on_signal(int signo)
{
    handled = signo;
}

ABI_TEST(epoll, pwait_lets_signals_in_for_its_length)
{
    int set = epoll_set();
    struct epoll_event one;
    sigset_t blocked, none;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(epoll_wait(set, &one, 1, 10), 0);
    CHECK_EQ(handled, 0);
    CHECK_ERR(epoll_pwait(set, &one, 1, -1, &none), EINTR); /* SA_RESTART or not */
    CHECK_EQ(handled, SIGUSR1);
    sigset_t after;
    CHECK_EQ(sigprocmask(SIG_BLOCK, NULL, &after), 0);
    CHECK(sigismember(&after, SIGUSR1));
    CHECK_ERR(syscall(SYS_epoll_pwait, set, &one, 1, 0, &none, 4), EINVAL);
    CHECK_ERR(syscall(SYS_epoll_pwait, set, &one, 1, 0, 8, 8), EFAULT);
    /* What is ready is told before a signal is taken. */
    int event = event_make();
    epoll_watch(set, event, EPOLLOUT);
    handled = 0;
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(epoll_pwait(set, &one, 1, -1, &none), 1);
}
