/* Epoll: several sets and threads, sets in sets, what is shown, queues that are not the file's. */
#include "epoll.h"

#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

/* ---- several sets and several threads ---- */

ABI_TEST(epoll, every_set_hears_of_it)
{
    int a = epoll_set(), b = epoll_set(), event = event_make();

    epoll_watch(a, event, EPOLLIN);
    epoll_watch(b, event, EPOLLIN);
    event_add(event, 1);
    CHECK_EQ(epoll_only(a, event), EPOLLIN);
    CHECK_EQ(epoll_only(b, event), EPOLLIN);
}

static int woken;

static void *wait_once(void *arg)
{
    struct epoll_event one;

    if (epoll_wait(*(int *)arg, &one, 1, -1) == 1) {
        __atomic_fetch_add(&woken, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

/* Threads sleep, each on the next set; then comes an event, and so many of them go. */
static void check_wakes(int *sets, int nsets, int event, int wakes)
{
    enum { N = 4 };
    pthread_t threads[N];

    for (int i = 0; i < N; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_once, &sets[i % nsets]), 0);
    }
    abi_wait_asleep(N);
    event_add(event, 1);
    while (__atomic_load_n(&woken, __ATOMIC_SEQ_CST) < wakes) {
        sched_yield();
    }
    abi_wait_asleep((unsigned)(N - wakes));
    CHECK_EQ(woken, wakes);
    for (int i = 0; i < N; i++) {
        (void)pthread_cancel(threads[i]);
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
}

ABI_TEST(epoll, an_edge_wakes_one_of_many)
{
    int event = event_make(), set = epoll_set();

    epoll_watch(set, event, EPOLLIN | EPOLLET);
    check_wakes(&set, 1, event, 1);
}

ABI_TEST(epoll, a_level_wakes_all_of_many)
{
    int event = event_make(), set = epoll_set();

    epoll_watch(set, event, EPOLLIN);
    check_wakes(&set, 1, event, 4);
}

ABI_TEST(epoll, exclusive_wakes_one_set)
{
    int sets[4], event = event_make();

    for (int i = 0; i < 4; i++) {
        sets[i] = epoll_set();
        epoll_watch(sets[i], event, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE);
    }
    check_wakes(sets, 4, event, 1);
}

ABI_TEST(epoll, exclusive_goes_with_little_else)
{
    int set = epoll_set(), inner = epoll_set(), event = event_make(), other = event_make();
    const uint32_t exclusive = EPOLLEXCLUSIVE;

    CHECK_ERR(epoll_change(set, EPOLL_CTL_ADD, event, EPOLLIN | EPOLLONESHOT | exclusive, 0),
              EINVAL);
    CHECK_ERR(epoll_change(set, EPOLL_CTL_ADD, event, EPOLLPRI | exclusive, 0), EINVAL);
    CHECK_ERR(epoll_change(set, EPOLL_CTL_ADD, event, EPOLLRDHUP | exclusive, 0), EINVAL);
    CHECK_ERR(epoll_change(set, EPOLL_CTL_ADD, inner, EPOLLIN | exclusive, 0), EINVAL);
    epoll_watch(set, event,
                EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLET | EPOLLWAKEUP | exclusive);
    CHECK_ERR(epoll_change(set, EPOLL_CTL_MOD, event, EPOLLIN, 0), EINVAL);
    epoll_watch(set, other, EPOLLIN);
    CHECK_ERR(epoll_change(set, EPOLL_CTL_MOD, other, EPOLLIN | exclusive, 0), EINVAL);
    CHECK_EQ(epoll_change(set, EPOLL_CTL_DEL, event, 0, 0), 0);
}

/* ---- sets in sets ---- */

ABI_TEST(epoll, a_set_can_be_watched_itself)
{
    int outer = epoll_set(), inner = epoll_set(), event = event_make();
    struct pollfd asked = {.fd = inner, .events = POLLIN | POLLOUT};

    epoll_watch(outer, inner, EPOLLIN);
    epoll_watch(inner, event, EPOLLIN);
    CHECK_EQ(epoll_only(outer, inner), 0);
    CHECK_EQ(poll(&asked, 1, 0), 0);
    event_add(event, 1);
    CHECK_EQ(epoll_only(outer, inner), EPOLLIN);
    CHECK_EQ(poll(&asked, 1, 0), 1);
    CHECK_EQ(asked.revents, POLLIN);
    CHECK_EQ(epoll_only(inner, event), EPOLLIN);
    event_drain(event);
    CHECK_EQ(epoll_only(outer, inner), 0);
    CHECK_EQ(poll(&asked, 1, 0), 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, event_add_soon, &event), 0);
    struct epoll_event one;
    CHECK_EQ(epoll_wait(outer, &one, 1, -1), 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(close(inner), 0);
    CHECK_EQ(epoll_only(outer, inner), 0);
}

ABI_TEST(epoll, an_outer_edge_comes_with_each_inner_event)
{
    int outer = epoll_set(), inner = epoll_set(), event = event_make();

    epoll_watch(inner, event, EPOLLIN | EPOLLET);
    epoll_watch(outer, inner, EPOLLIN | EPOLLET);
    event_add(event, 1);
    CHECK_EQ(epoll_only(outer, inner), EPOLLIN);
    CHECK_EQ(epoll_only(outer, inner), 0);
    event_add(event, 1);
    CHECK_EQ(epoll_only(outer, inner), EPOLLIN);
    CHECK_EQ(epoll_only(inner, event), EPOLLIN);
    CHECK_EQ(epoll_only(inner, event), 0);
    CHECK_EQ(epoll_only(outer, inner), 0);
}

ABI_TEST(epoll, circles_and_towers_of_sets_are_refused)
{
    enum { N = 8 };
    int sets[N], links = 0;

    for (int i = 0; i < N; i++) {
        sets[i] = epoll_set();
    }
    epoll_watch(sets[0], sets[1], EPOLLIN);
    CHECK_ERR(epoll_change(sets[1], EPOLL_CTL_ADD, sets[0], EPOLLIN, 0), ELOOP);
    epoll_watch(sets[1], sets[2], EPOLLIN);
    CHECK_ERR(epoll_change(sets[2], EPOLL_CTL_ADD, sets[0], EPOLLIN, 0), ELOOP);
    CHECK_EQ(epoll_change(sets[0], EPOLL_CTL_DEL, sets[1], 0, 0), 0);
    CHECK_EQ(epoll_change(sets[2], EPOLL_CTL_ADD, sets[0], EPOLLIN, 0), 0);
    CHECK_ERR(epoll_change(sets[0], EPOLL_CTL_ADD, sets[1], EPOLLIN, 0), ELOOP);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(close(sets[i]), 0);
        sets[i] = epoll_set();
    }
    while (links < N - 1 &&
           epoll_change(sets[links + 1], EPOLL_CTL_ADD, sets[links], EPOLLIN, 0) == 0) {
        links++;
    }
    CHECK_EQ(errno, ELOOP);
    CHECK_EQ(links, 4);
    CHECK_EQ(close(sets[2]), 0); /* in the middle: the tower falls apart */
    CHECK_EQ(epoll_change(sets[links + 1], EPOLL_CTL_ADD, sets[links], EPOLLIN, 0), 0);
}

ABI_TEST(epoll, a_file_wakes_so_many_towers_and_no_more)
{
    enum { N = 501 };
    struct rlimit limit = {4096, 4096};
    int base = epoll_set(), event = event_make(), made = 0;

    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    epoll_watch(base, event, EPOLLIN);
    for (; made < N; made++) {
        if (epoll_change(epoll_set(), EPOLL_CTL_ADD, base, EPOLLIN, 0) < 0) {
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
    int set = epoll_set(), fds[N];

    for (int i = 0; i < N; i++) {
        fds[i] = event_make();
        CHECK_EQ(epoll_change(set, EPOLL_CTL_ADD, fds[i], EPOLLIN | EPOLLET, 0xabcdef00u + i), 0);
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
    abi_check_link(set, "anon_inode:[eventpoll]");
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
        int set = epoll_set(), event = -1;
        for (int i = 0; i < 8; i++) {
            event = event_make();
            int error = epoll_change(set, EPOLL_CTL_ADD, event, EPOLLIN, 0) < 0 ? errno : 0;
            CHECK_EQ(error, i < 5 ? 0 : ENOSPC);
        }
        CHECK_EQ(epoll_change(set, EPOLL_CTL_DEL, event - 5, 0, 0), 0);
        CHECK_EQ(epoll_change(set, EPOLL_CTL_ADD, event, EPOLLIN, 0), 0);
        CHECK_EQ(close(set), 0); /* gives all back */
        set = epoll_set();
        CHECK_EQ(epoll_change(set, EPOLL_CTL_ADD, event, EPOLLIN, 0), 0);
    });
    CHECK_EQ(pwrite(fd, was, strlen(was), 0), (ssize_t)strlen(was));
    CHECK_EQ(status, 0);
    CHECK_EQ(close(fd), 0);
}

/* ---- queues that are not the file's ---- */

ABI_TEST(epoll, a_signalfd_of_a_process_that_ended_harms_nobody)
{
    sigset_t mask;
    int set = epoll_set(), ends[2];

    CHECK_EQ(pipe(ends), 0);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &mask, NULL), 0);
    int fd = signalfd(-1, &mask, 0);
    CHECK(fd >= 0);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(IN_CHILD({
                     CHECK_EQ(epoll_change(set, EPOLL_CTL_ADD, fd, EPOLLIN, (uint64_t)fd), 0);
                     CHECK_EQ(raise(SIGUSR1), 0);
                     CHECK_EQ(epoll_only(set, fd), EPOLLIN);
                 }),
                 0);
        CHECK_EQ(epoll_only(set, fd), 0);
        CHECK_EQ(epoll_change(set, EPOLL_CTL_DEL, fd, 0, 0), 0);
    }
    epoll_watch(set, fd, EPOLLIN);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(epoll_only(set, fd), EPOLLIN);
}

/* Threads that write, wait, add and close at once: nobody hangs, nothing is lost. */
enum { STORM = 4, ROUNDS = 300 };
static int shared_set;
static int storm_fds[STORM];
static int storm_seen[STORM];

static void *storm_writer(void *arg)
{
    int fd = storm_fds[(intptr_t)arg];

    for (int i = 0; i < ROUNDS; i++) {
        event_add(fd, 1);
        int other = event_make();
        CHECK_EQ(epoll_change(shared_set, EPOLL_CTL_ADD, other, EPOLLIN, ~0ull), 0);
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

    shared_set = epoll_set();
    for (int i = 0; i < STORM; i++) {
        storm_fds[i] = event_make();
        uint32_t edge = i % 2 == 0 ? EPOLLET : 0;
        CHECK_EQ(epoll_change(shared_set, EPOLL_CTL_ADD, storm_fds[i], EPOLLIN | edge, (uint64_t)i),
                 0);
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
