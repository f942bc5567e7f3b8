/* epoll: what is watched, when it is told, and sets in sets. */
#include "abi.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

static int make_set(void)
{
    int set = epoll_create1(0);

    CHECK(set >= 0);
    return set;
}

static int control(int set, int op, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event event = {.events = events, .data.u64 = data};

    return epoll_ctl(set, op, fd, &event);
}

static void watch(int set, int fd, uint32_t events)
{
    CHECK_EQ(control(set, EPOLL_CTL_ADD, fd, events, (uint64_t)fd), 0);
}

/* The events of the one descriptor that is ready at once; 0: none is. */
static uint32_t only(int set, int fd)
{
    struct epoll_event event[2];
    int n = epoll_wait(set, event, 2, 0);

    if (n == 0) {
        return 0;
    }
    CHECK_EQ(n, 1);
    CHECK_EQ(event[0].data.u64, (uint64_t)fd);
    return event[0].events;
}

static int make_event(void)
{
    int fd = eventfd(0, EFD_NONBLOCK);

    CHECK(fd >= 0);
    return fd;
}

static void add(int fd, uint64_t value)
{
    CHECK_EQ(write(fd, &value, sizeof(value)), 8);
}

static uint64_t drain(int fd)
{
    uint64_t value = 0;

    CHECK_EQ(read(fd, &value, sizeof(value)), 8);
    return value;
}

ABI_TEST(epoll, level_is_told_as_long_as_it_lasts)
{
    int set = make_set(), event = make_event();

    watch(set, event, EPOLLIN);
    CHECK_EQ(only(set, event), 0);
    add(event, 1);
    CHECK_EQ(only(set, event), EPOLLIN);
    CHECK_EQ(only(set, event), EPOLLIN);
    drain(event);
    CHECK_EQ(only(set, event), 0);
    CHECK_EQ(control(set, EPOLL_CTL_MOD, event, EPOLLIN | EPOLLOUT, 77), 0);
    CHECK_EQ(only(set, 77), EPOLLOUT);
    CHECK_EQ(control(set, EPOLL_CTL_DEL, event, 0, 0), 0);
    CHECK_EQ(only(set, 77), 0);
}

ABI_TEST(epoll, edge_is_told_once_for_each_event)
{
    int set = make_set(), event = make_event(), p[2];

    watch(set, event, EPOLLIN | EPOLLET);
    add(event, 1);
    CHECK_EQ(only(set, event), EPOLLIN);
    CHECK_EQ(only(set, event), 0);
    add(event, 1); /* it was readable before: still an event */
    CHECK_EQ(only(set, event), EPOLLIN);
    CHECK_EQ(only(set, event), 0);
    CHECK_EQ(control(set, EPOLL_CTL_MOD, event, EPOLLIN | EPOLLET, (uint64_t)event), 0);
    CHECK_EQ(only(set, event), EPOLLIN); /* asked anew */
    CHECK_EQ(close(event), 0);
    CHECK_EQ(pipe(p), 0);
    watch(set, p[0], EPOLLIN | EPOLLET);
    CHECK_EQ(write(p[1], "a", 1), 1);
    CHECK_EQ(only(set, p[0]), EPOLLIN);
    CHECK_EQ(write(p[1], "b", 1), 1); /* into a pipe that is not empty */
    CHECK_EQ(only(set, p[0]), EPOLLIN);
    CHECK_EQ(only(set, p[0]), 0);
    CHECK_EQ(close(p[1]), 0);
    CHECK_EQ(only(set, p[0]), EPOLLIN | EPOLLHUP);
    CHECK_EQ(only(set, p[0]), 0);
}

ABI_TEST(epoll, oneshot_sleeps_until_it_is_set_anew)
{
    int set = make_set(), event = make_event();

    watch(set, event, EPOLLIN | EPOLLONESHOT);
    add(event, 1);
    CHECK_EQ(only(set, event), EPOLLIN);
    add(event, 1);
    CHECK_EQ(only(set, event), 0);
    CHECK_ERR(control(set, EPOLL_CTL_ADD, event, EPOLLIN, 0), EEXIST);
    CHECK_EQ(control(set, EPOLL_CTL_MOD, event, EPOLLIN | EPOLLONESHOT, (uint64_t)event), 0);
    CHECK_EQ(only(set, event), EPOLLIN);
    CHECK_EQ(only(set, event), 0);
}

ABI_TEST(epoll, hang_up_and_error_need_no_asking)
{
    int set = make_set(), p[2], q[2];

    CHECK_EQ(pipe(p), 0);
    watch(set, p[0], 0);
    CHECK_EQ(close(p[1]), 0);
    CHECK_EQ(only(set, p[0]), EPOLLHUP);
    CHECK_EQ(close(p[0]), 0);
    CHECK_EQ(pipe(q), 0);
    watch(set, q[1], 0);
    CHECK_EQ(close(q[0]), 0);
    CHECK_EQ(only(set, q[1]), EPOLLERR);
}

ABI_TEST(epoll, refuses_what_it_cannot_watch)
{
    int set = make_set(), event = make_event();
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
    int set = make_set(), event = make_event();
    struct epoll_event one;

    CHECK_ERR(epoll_wait(set, &one, 0, 0), EINVAL);
    CHECK_ERR(epoll_wait(set, &one, -1, 0), EINVAL);
    CHECK_ERR(epoll_wait(set, &one, INT32_MAX, 0), EINVAL);
    CHECK_ERR(epoll_wait(event, &one, 1, 0), EINVAL);
    CHECK_ERR(epoll_wait(99, &one, 1, 0), EBADF);
    CHECK_ERR(epoll_wait(set, (void *)-4096l, 2, 0), EFAULT);
    watch(set, event, EPOLLOUT | EPOLLET);
    CHECK_ERR(epoll_wait(set, (void *)8, 2, 0), EFAULT);
    CHECK_EQ(only(set, event), EPOLLOUT); /* it was not lost */
    CHECK_EQ(only(set, event), 0);
}

ABI_TEST(epoll, tells_the_rest_when_room_is_short)
{
    enum { N = 10 };
    int set = make_set(), fds[N];
    struct epoll_event events[N];
    unsigned seen = 0;

    for (int i = 0; i < N; i++) {
        fds[i] = make_event();
        CHECK_EQ(control(set, EPOLL_CTL_ADD, fds[i], EPOLLIN | EPOLLET, (uint64_t)i), 0);
        add(fds[i], 1);
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
    int set = make_set(), a = make_event(), b = make_event();
    struct epoll_event first, second;

    watch(set, a, EPOLLIN);
    watch(set, b, EPOLLIN);
    add(a, 1);
    add(b, 1);
    CHECK_EQ(epoll_wait(set, &first, 1, 0), 1);
    CHECK_EQ(epoll_wait(set, &second, 1, 0), 1);
    CHECK_EQ(first.data.u64, a);
    CHECK_EQ(second.data.u64, b);
    CHECK_EQ(epoll_wait(set, &first, 1, 0), 1);
    CHECK_EQ(first.data.u64, a);
}

ABI_TEST(epoll, a_key_is_the_file_and_the_descriptor)
{
    int set = make_set(), event = make_event(), copy = dup(event);

    watch(set, event, EPOLLIN);
    CHECK_EQ(control(set, EPOLL_CTL_ADD, copy, EPOLLIN, (uint64_t)copy), 0);
    add(event, 1);
    struct epoll_event events[3];
    CHECK_EQ(epoll_wait(set, events, 3, 0), 2);
    CHECK_EQ(control(set, EPOLL_CTL_DEL, copy, 0, 0), 0);
    CHECK_EQ(close(event), 0); /* the file lives on, and is watched under its old number */
    CHECK_EQ(only(set, event), EPOLLIN);
    CHECK_ERR(control(set, EPOLL_CTL_DEL, event, 0, 0), EBADF);
    CHECK_ERR(control(set, EPOLL_CTL_DEL, copy, 0, 0), ENOENT);
    CHECK_EQ(dup2(copy, event), event);
    CHECK_EQ(control(set, EPOLL_CTL_MOD, event, EPOLLOUT, (uint64_t)event), 0);
    CHECK_EQ(only(set, event), EPOLLOUT);
    CHECK_EQ(close(copy), 0);
    CHECK_EQ(only(set, event), EPOLLOUT);
    CHECK_EQ(close(event), 0); /* now it is gone */
    CHECK_EQ(only(set, event), 0);
}

ABI_TEST(epoll, a_closed_file_is_forgotten_though_a_child_had_the_set)
{
    int set = make_set(), event = make_event();

    watch(set, event, EPOLLIN);
    add(event, 1);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(only(set, event), EPOLLIN);
                 CHECK_EQ(close(event), 0); /* the parent has it */
                 CHECK_EQ(only(set, event), EPOLLIN);
             }),
             0);
    CHECK_EQ(only(set, event), EPOLLIN);
    CHECK_EQ(close(event), 0);
    CHECK_EQ(only(set, event), 0);
    CHECK_EQ(close(set), 0);
}

static void *add_soon(void *arg)
{
    usleep(30000);
    add(*(int *)arg, 1);
    return NULL;
}

static int64_t now_ms(void)
{
    struct timespec ts;

    CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

ABI_TEST(epoll, sleeps_until_an_event_or_the_time_is_up)
{
    int set = make_set(), event = make_event();
    struct epoll_event one;
    pthread_t thread;

    watch(set, event, EPOLLIN);
    int64_t start = now_ms();
    CHECK_EQ(epoll_wait(set, &one, 1, 50), 0);
    CHECK(now_ms() - start >= 49);
    CHECK_EQ(pthread_create(&thread, NULL, add_soon, &event), 0);
    CHECK_EQ(epoll_wait(set, &one, 1, -1), 1);
    CHECK_EQ(one.events, EPOLLIN);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    drain(event);
    struct timespec ts = {0, 20000000};
    start = now_ms();
    CHECK_EQ(syscall(SYS_epoll_pwait2, set, &one, 1, &ts, NULL, 0), 0);
    CHECK(now_ms() - start >= 19);
    ts.tv_nsec = 1000000000;
    CHECK_ERR(syscall(SYS_epoll_pwait2, set, &one, 1, &ts, NULL, 0), EINVAL);
    CHECK_ERR(syscall(SYS_epoll_pwait2, set, &one, 1, 8, NULL, 0), EFAULT);
    CHECK_EQ(pthread_create(&thread, NULL, add_soon, &event), 0);
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
    int set = make_set();
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
    int event = make_event();
    watch(set, event, EPOLLOUT);
    handled = 0;
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(epoll_pwait(set, &one, 1, -1, &none), 1);
}

/* ---- several sets and several threads ---- */

ABI_TEST(epoll, every_set_hears_of_it)
{
    int a = make_set(), b = make_set(), event = make_event();

    watch(a, event, EPOLLIN);
    watch(b, event, EPOLLIN);
    add(event, 1);
    CHECK_EQ(only(a, event), EPOLLIN);
    CHECK_EQ(only(b, event), EPOLLIN);
}

static int shared_set;
static int woken;

static void *wait_once(void *arg)
{
    struct epoll_event one;

    (void)arg;
    if (epoll_wait(shared_set, &one, 1, 300) == 1) {
        __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

ABI_TEST(epoll, an_edge_wakes_one_of_many)
{
    enum { N = 4 };
    pthread_t threads[N];
    int event = make_event();

    shared_set = make_set();
    watch(shared_set, event, EPOLLIN | EPOLLET);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_once, NULL), 0);
    }
    usleep(50000);
    add(event, 1);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(woken, 1);
}

ABI_TEST(epoll, a_level_wakes_all_of_many)
{
    enum { N = 4 };
    pthread_t threads[N];
    int event = make_event();

    shared_set = make_set();
    watch(shared_set, event, EPOLLIN);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_once, NULL), 0);
    }
    usleep(50000);
    add(event, 1);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(woken, N);
}

struct exclusive_thread {
    pthread_t thread;
    int set;
    int got;
};

static void *wait_exclusive(void *arg)
{
    struct exclusive_thread *self = arg;
    struct epoll_event one;

    self->got = epoll_wait(self->set, &one, 1, 200);
    return NULL;
}

ABI_TEST(epoll, exclusive_wakes_one_set)
{
    enum { N = 3 };
    struct exclusive_thread threads[N];
    int event = make_event(), total = 0;

    for (int i = 0; i < N; i++) {
        threads[i].set = make_set();
        watch(threads[i].set, event, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE);
        CHECK_EQ(pthread_create(&threads[i].thread, NULL, wait_exclusive, &threads[i]), 0);
    }
    usleep(50000);
    add(event, 1);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(pthread_join(threads[i].thread, NULL), 0);
        total += threads[i].got;
    }
    CHECK_EQ(total, 1);
}

ABI_TEST(epoll, exclusive_goes_with_little_else)
{
    int set = make_set(), inner = make_set(), event = make_event(), other = make_event();
    const uint32_t exclusive = EPOLLEXCLUSIVE;

    CHECK_ERR(control(set, EPOLL_CTL_ADD, event, EPOLLIN | EPOLLONESHOT | exclusive, 0), EINVAL);
    CHECK_ERR(control(set, EPOLL_CTL_ADD, event, EPOLLPRI | exclusive, 0), EINVAL);
    CHECK_ERR(control(set, EPOLL_CTL_ADD, event, EPOLLRDHUP | exclusive, 0), EINVAL);
    CHECK_ERR(control(set, EPOLL_CTL_ADD, inner, EPOLLIN | exclusive, 0), EINVAL);
    watch(set, event, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLET | EPOLLWAKEUP | exclusive);
    CHECK_ERR(control(set, EPOLL_CTL_MOD, event, EPOLLIN, 0), EINVAL);
    watch(set, other, EPOLLIN);
    CHECK_ERR(control(set, EPOLL_CTL_MOD, other, EPOLLIN | exclusive, 0), EINVAL);
    CHECK_EQ(control(set, EPOLL_CTL_DEL, event, 0, 0), 0);
}

/* ---- sets in sets ---- */

ABI_TEST(epoll, a_set_can_be_watched_itself)
{
    int outer = make_set(), inner = make_set(), event = make_event();
    struct pollfd asked = {.fd = inner, .events = POLLIN | POLLOUT};

    watch(outer, inner, EPOLLIN);
    watch(inner, event, EPOLLIN);
    CHECK_EQ(only(outer, inner), 0);
    CHECK_EQ(poll(&asked, 1, 0), 0);
    add(event, 1);
    CHECK_EQ(only(outer, inner), EPOLLIN);
    CHECK_EQ(poll(&asked, 1, 0), 1);
    CHECK_EQ(asked.revents, POLLIN);
    CHECK_EQ(only(inner, event), EPOLLIN);
    drain(event);
    CHECK_EQ(only(outer, inner), 0);
    CHECK_EQ(poll(&asked, 1, 0), 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, add_soon, &event), 0);
    struct epoll_event one;
    CHECK_EQ(epoll_wait(outer, &one, 1, -1), 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(close(inner), 0);
    CHECK_EQ(only(outer, inner), 0);
}

ABI_TEST(epoll, an_outer_edge_comes_with_each_inner_event)
{
    int outer = make_set(), inner = make_set(), event = make_event();

    watch(inner, event, EPOLLIN | EPOLLET);
    watch(outer, inner, EPOLLIN | EPOLLET);
    add(event, 1);
    CHECK_EQ(only(outer, inner), EPOLLIN);
    CHECK_EQ(only(outer, inner), 0);
    add(event, 1);
    CHECK_EQ(only(outer, inner), EPOLLIN);
    CHECK_EQ(only(inner, event), EPOLLIN);
    CHECK_EQ(only(inner, event), 0);
    CHECK_EQ(only(outer, inner), 0);
}

ABI_TEST(epoll, circles_and_towers_of_sets_are_refused)
{
    enum { N = 8 };
    int sets[N], links = 0;

    for (int i = 0; i < N; i++) {
        sets[i] = make_set();
    }
    watch(sets[0], sets[1], EPOLLIN);
    CHECK_ERR(control(sets[1], EPOLL_CTL_ADD, sets[0], EPOLLIN, 0), ELOOP);
    watch(sets[1], sets[2], EPOLLIN);
    CHECK_ERR(control(sets[2], EPOLL_CTL_ADD, sets[0], EPOLLIN, 0), ELOOP);
    CHECK_EQ(control(sets[0], EPOLL_CTL_DEL, sets[1], 0, 0), 0);
    CHECK_EQ(control(sets[2], EPOLL_CTL_ADD, sets[0], EPOLLIN, 0), 0);
    CHECK_ERR(control(sets[0], EPOLL_CTL_ADD, sets[1], EPOLLIN, 0), ELOOP);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(close(sets[i]), 0);
        sets[i] = make_set();
    }
    while (links < N - 1 && control(sets[links + 1], EPOLL_CTL_ADD, sets[links], EPOLLIN, 0) == 0) {
        links++;
    }
    CHECK_EQ(errno, ELOOP);
    CHECK_EQ(links, 4);
    CHECK_EQ(close(sets[2]), 0); /* in the middle: the tower falls apart */
    CHECK_EQ(control(sets[links + 1], EPOLL_CTL_ADD, sets[links], EPOLLIN, 0), 0);
}

ABI_TEST(epoll, a_file_wakes_so_many_towers_and_no_more)
{
    enum { N = 501 };
    struct rlimit limit = {4096, 4096};
    int base = make_set(), event = make_event(), made = 0;

    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    watch(base, event, EPOLLIN);
    for (; made < N; made++) {
        if (control(make_set(), EPOLL_CTL_ADD, base, EPOLLIN, 0) < 0) {
            break;
        }
    }
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(made, 500);
}

/* ---- what is shown ---- */

ABI_TEST(epoll, fdinfo_lists_what_is_watched)
{
    enum { N = 40 };
    char path[64], line[256];
    uint64_t seen = 0;
    int set = make_set(), fds[N];

    for (int i = 0; i < N; i++) {
        fds[i] = make_event();
        CHECK_EQ(control(set, EPOLL_CTL_ADD, fds[i], EPOLLIN | EPOLLET, 0xabcdef00u + i), 0);
    }
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", set);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof(line), f) != NULL) {
        unsigned fd, events;
        unsigned long long data, ino;
        long long pos;
        unsigned dev;
        if (sscanf(line, "tfd: %u events: %x data: %llx pos:%lli ino:%llx sdev:%x", &fd, &events,
                   &data, &pos, &ino, &dev) == 6) {
            CHECK_EQ(events, EPOLLIN | EPOLLET | EPOLLERR | EPOLLHUP);
            CHECK(data - 0xabcdef00u < N);
            CHECK_EQ(fds[data - 0xabcdef00u], fd);
            seen |= 1ull << (data - 0xabcdef00u);
        }
    }
    CHECK_EQ(seen, (1ull << N) - 1);
    CHECK_EQ(fclose(f), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", set);
    ssize_t n = readlink(path, line, sizeof(line) - 1);
    CHECK(n > 0);
    line[n] = '\0';
    CHECK_EQ(strcmp(line, "anon_inode:[eventpoll]"), 0);
}

ABI_TEST(epoll, a_user_may_watch_only_so_many)
{
    static const char name[] = "/proc/sys/fs/epoll/max_user_watches";
    char was[32] = "";
    int fd = open(name, O_RDWR);

    CHECK(fd >= 0);
    CHECK(read(fd, was, sizeof(was) - 1) > 0);
    CHECK(atoll(was) > 100);
    CHECK_EQ(pwrite(fd, "5", 1, 0), 1);
    int status = IN_CHILD({
        CHECK_EQ(setresuid(4321, 4321, 4321), 0);
        int set = make_set(), event = -1;
        for (int i = 0; i < 8; i++) {
            event = make_event();
            int error = control(set, EPOLL_CTL_ADD, event, EPOLLIN, 0) < 0 ? errno : 0;
            CHECK_EQ(error, i < 5 ? 0 : ENOSPC);
        }
        CHECK_EQ(control(set, EPOLL_CTL_DEL, event - 5, 0, 0), 0);
        CHECK_EQ(control(set, EPOLL_CTL_ADD, event, EPOLLIN, 0), 0);
        CHECK_EQ(close(set), 0); /* gives all back */
        set = make_set();
        CHECK_EQ(control(set, EPOLL_CTL_ADD, event, EPOLLIN, 0), 0);
    });
    CHECK_EQ(pwrite(fd, was, strlen(was), 0), (ssize_t)strlen(was));
    CHECK_EQ(status, 0);
    CHECK_EQ(close(fd), 0);
}

/* ---- queues that are not the file's ---- */

ABI_TEST(epoll, a_signalfd_of_a_process_that_ended_harms_nobody)
{
    sigset_t mask;
    int set = make_set(), ends[2];

    CHECK_EQ(pipe(ends), 0);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &mask, NULL), 0);
    int fd = signalfd(-1, &mask, 0);
    CHECK(fd >= 0);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(IN_CHILD({
                     CHECK_EQ(control(set, EPOLL_CTL_ADD, fd, EPOLLIN, (uint64_t)fd), 0);
                     CHECK_EQ(raise(SIGUSR1), 0);
                     CHECK_EQ(only(set, fd), EPOLLIN);
                 }),
                 0);
        CHECK_EQ(only(set, fd), 0);
        CHECK_EQ(control(set, EPOLL_CTL_DEL, fd, 0, 0), 0);
    }
    watch(set, fd, EPOLLIN);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(only(set, fd), EPOLLIN);
}

/* Threads that write, wait, add and close at once: nobody hangs, nothing is lost. */
enum { STORM = 4, ROUNDS = 300 };
static int storm_fds[STORM];
static int storm_seen[STORM];

static void *storm_writer(void *arg)
{
    int fd = storm_fds[(intptr_t)arg];

    for (int i = 0; i < ROUNDS; i++) {
        add(fd, 1);
        int other = make_event();
        CHECK_EQ(control(shared_set, EPOLL_CTL_ADD, other, EPOLLIN, ~0ull), 0);
        CHECK_EQ(close(other), 0);
    }
    return NULL;
}

static void *storm_taker(void *arg)
{
    struct epoll_event events[2];
    int total;

    (void)arg;
    do {
        int n = epoll_wait(shared_set, events, 2, 20);
        for (int i = 0; i < n; i++) {
            uint64_t value;
            if (read(storm_fds[events[i].data.u64], &value, 8) == 8) {
                __atomic_fetch_add(&storm_seen[events[i].data.u64], (int)value, __ATOMIC_SEQ_CST);
            }
        }
        total = 0;
        for (int i = 0; i < STORM; i++) {
            total += __atomic_load_n(&storm_seen[i], __ATOMIC_SEQ_CST);
        }
    } while (total < STORM * ROUNDS);
    return NULL;
}

ABI_TEST(epoll, a_storm_of_threads_loses_nothing)
{
    pthread_t writers[STORM], takers[STORM];

    shared_set = make_set();
    for (int i = 0; i < STORM; i++) {
        storm_fds[i] = make_event();
        uint32_t edge = i % 2 == 0 ? EPOLLET : 0;
        CHECK_EQ(control(shared_set, EPOLL_CTL_ADD, storm_fds[i], EPOLLIN | edge, (uint64_t)i), 0);
    }
    for (intptr_t i = 0; i < STORM; i++) {
        CHECK_EQ(pthread_create(&takers[i], NULL, storm_taker, NULL), 0);
        CHECK_EQ(pthread_create(&writers[i], NULL, storm_writer, (void *)i), 0);
    }
    for (int i = 0; i < STORM; i++) {
        CHECK_EQ(pthread_join(writers[i], NULL), 0);
        CHECK_EQ(pthread_join(takers[i], NULL), 0);
    }
    for (int i = 0; i < STORM; i++) {
        CHECK_EQ(storm_seen[i], ROUNDS);
    }
}
