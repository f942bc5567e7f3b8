/* POSIX timers: timer_create(2) and what its signals carry. */
#include "abi.h"

#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/time.h>

#define MS 1000000L

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id __sev_fields.sigev_notify_thread_id
#endif

/* The kernel's calls: the library keeps a table of its own before them. */
static int create(int clock, struct sigevent *event, int *id)
{
    return (int)syscall(SYS_timer_create, clock, event, id);
}

static int settime(int id, int flags, long value_ns, long interval_ns, struct itimerspec *old)
{
    const struct itimerspec spec = {{interval_ns / 1000000000, interval_ns % 1000000000},
                                    {value_ns / 1000000000, value_ns % 1000000000}};

    return (int)syscall(SYS_timer_settime, id, flags, &spec, old);
}

static int gettime(int id, struct itimerspec *setting)
{
    return (int)syscall(SYS_timer_gettime, id, setting);
}

static int overrun(int id)
{
    return (int)syscall(SYS_timer_getoverrun, id);
}

static int delete (int id)
{
    return (int)syscall(SYS_timer_delete, id);
}

static int make(int clock, int notify, int signo, int value)
{
    struct sigevent event = {
        .sigev_notify = notify, .sigev_signo = signo, .sigev_value.sival_int = value};
    int id = -1;

    CHECK_EQ(create(clock, &event, &id), 0);
    return id;
}

static sigset_t block(int signo)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signo);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    return set;
}

/* The signal of `set` that comes within `ms`; 0: none. */
static int take(const sigset_t *set, siginfo_t *info, int ms)
{
    const struct timespec limit = {ms / 1000, ms % 1000 * MS};
    int signo = sigtimedwait(set, info, &limit);

    return signo < 0 ? 0 : signo;
}

static void sleep_ms(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * MS};

    while (nanosleep(&left, &left) != 0) {
    }
}

static bool pending(int signo)
{
    sigset_t set;

    CHECK_EQ(sigpending(&set), 0);
    return sigismember(&set, signo) == 1;
}

static void wait_pending(int signo)
{
    while (!pending(signo)) {
        sleep_ms(1);
    }
}

ABI_TEST(posix_timer, arguments_are_checked)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec setting;
    int id = -1;

    CHECK_ERR(create(77, &event, &id), EINVAL);
    CHECK_ERR(create(CLOCK_MONOTONIC_RAW, &event, &id), EOPNOTSUPP);
    CHECK_ERR(create(CLOCK_MONOTONIC_COARSE, &event, &id), EOPNOTSUPP);
    CHECK_ERR(create(CLOCK_MONOTONIC, (void *)8, &id), EFAULT);
    CHECK_ERR(create(CLOCK_MONOTONIC, &event, (void *)8), EFAULT);
    event.sigev_signo = 0;
    CHECK_ERR(create(CLOCK_MONOTONIC, &event, &id), EINVAL);
    event.sigev_signo = 65;
    CHECK_ERR(create(CLOCK_MONOTONIC, &event, &id), EINVAL);
    event.sigev_signo = SIGUSR1;
    event.sigev_notify = 3;
    CHECK_ERR(create(CLOCK_MONOTONIC, &event, &id), EINVAL);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_notify_thread_id = 1; /* not of this process */
    CHECK_ERR(create(CLOCK_MONOTONIC, &event, &id), EINVAL);
    id = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);
    CHECK_ERR(settime(id, 0, -1, 0, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_timer_settime, id, 0, NULL, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_timer_settime, id, 0, (void *)8, NULL), EFAULT);
    CHECK_ERR(settime(id + 1, 0, 1, 0, NULL), EINVAL);
    CHECK_ERR(gettime(id, (void *)8), EFAULT);
    CHECK_ERR(gettime(id + 1, &setting), EINVAL);
    CHECK_ERR(overrun(-1), EINVAL);
    CHECK_EQ(delete (id), 0);
    CHECK_ERR(delete (id), EINVAL);
}

ABI_TEST(posix_timer, signals_carry_number_and_value)
{
    sigset_t set = block(SIGRTMIN + 3);
    int id = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 3, 4711);
    siginfo_t info;

    CHECK_EQ(settime(id, 0, 5 * MS, 0, NULL), 0);
    CHECK_EQ(take(&set, &info, 5000), SIGRTMIN + 3);
    CHECK_EQ(info.si_code, SI_TIMER);
    CHECK_EQ(info.si_timerid, id);
    CHECK_EQ(info.si_overrun, 0);
    CHECK_EQ(info.si_value.sival_int, 4711);
    CHECK_EQ(take(&set, &info, 30), 0);                  /* once */
    CHECK_EQ(settime(id, TIMER_ABSTIME, 1, 0, NULL), 0); /* long past: at once */
    CHECK_EQ(take(&set, &info, 5000), SIGRTMIN + 3);
}

ABI_TEST(posix_timer, without_an_event_it_is_sigalrm_with_the_number)
{
    sigset_t set = block(SIGALRM);
    siginfo_t info;
    int first = -1, id = -1;

    CHECK_EQ(create(CLOCK_REALTIME, NULL, &first), 0);
    CHECK_EQ(create(CLOCK_REALTIME, NULL, &id), 0);
    CHECK_EQ(id, first + 1);
    CHECK_EQ(settime(id, 0, MS, 0, NULL), 0);
    CHECK_EQ(take(&set, &info, 5000), SIGALRM);
    CHECK_EQ(info.si_value.sival_int, id);
}

ABI_TEST(posix_timer, an_untaken_signal_counts_what_it_missed)
{
    sigset_t set = block(SIGRTMIN);
    int id = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 0);
    siginfo_t info;

    CHECK_EQ(settime(id, 0, 2 * MS, 2 * MS, NULL), 0);
    sleep_ms(60);
    CHECK_EQ(overrun(id), 0); /* of the last one delivered: none yet */
    CHECK_EQ(take(&set, &info, 5000), SIGRTMIN);
    CHECK(info.si_overrun >= 25 && info.si_overrun < 20000);
    CHECK_EQ(overrun(id), info.si_overrun);
    CHECK_EQ(take(&set, &info, 5000), SIGRTMIN); /* it goes on */
    CHECK_EQ(settime(id, 0, 0, 0, NULL), 0);
    while (take(&set, &info, 10) != 0) {
    }
    CHECK_EQ(overrun(id), 0);
}

ABI_TEST(posix_timer, each_timer_queues_its_own_signal)
{
    sigset_t set = block(SIGUSR1);
    siginfo_t info;
    int seen = 0;

    for (int i = 0; i < 5; i++) {
        CHECK_EQ(settime(make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 1 << i), 0, MS, 0, NULL), 0);
    }
    while (seen != 31) {
        CHECK_EQ(take(&set, &info, 5000), SIGUSR1);
        CHECK_EQ(info.si_code, SI_TIMER);
        CHECK((seen & info.si_value.sival_int) == 0);
        seen |= info.si_value.sival_int;
    }
    CHECK(!pending(SIGUSR1));
}

ABI_TEST(posix_timer, settings_are_read_back)
{
    int id = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);
    struct itimerspec setting, old;

    CHECK_EQ(gettime(id, &setting), 0);
    CHECK_EQ(setting.it_value.tv_sec + setting.it_value.tv_nsec + setting.it_interval.tv_sec, 0);
    CHECK_EQ(settime(id, 0, 100 * 1000000000L, 7 * 1000000000L, NULL), 0);
    CHECK_EQ(gettime(id, &setting), 0);
    CHECK_EQ(setting.it_interval.tv_sec, 7);
    CHECK(setting.it_value.tv_sec == 99);
    CHECK_EQ(settime(id, 0, 20 * MS, 0, &old), 0);
    CHECK_EQ(old.it_interval.tv_sec, 7);
    CHECK(old.it_value.tv_sec == 99);
    sleep_ms(40);
    CHECK_EQ(gettime(id, &setting), 0); /* over: nothing is left of it */
    CHECK_EQ(setting.it_value.tv_sec + setting.it_value.tv_nsec, 0);
    CHECK_EQ(settime(id, 0, MS, 100 * 1000000000L, NULL), 0); /* an interval goes on, told or not */
    sleep_ms(20);
    CHECK_EQ(gettime(id, &setting), 0);
    CHECK_EQ(setting.it_value.tv_sec, 99);
}

ABI_TEST(posix_timer, a_new_setting_or_the_end_takes_the_old_signal_back)
{
    sigset_t set = block(SIGUSR1);
    int id = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 1);
    siginfo_t info;

    CHECK_EQ(settime(id, 0, MS, 0, NULL), 0);
    wait_pending(SIGUSR1);
    CHECK_EQ(settime(id, 0, 100000 * MS, 0, NULL), 0);
    CHECK_EQ(take(&set, &info, 0), 0);
    CHECK_EQ(settime(id, 0, MS, 0, NULL), 0);
    wait_pending(SIGUSR1);
    CHECK_EQ(delete (id), 0);
    CHECK_EQ(take(&set, &info, 0), 0);
}

ABI_TEST(posix_timer, an_ignored_signal_does_not_end_the_timer)
{
    int id = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 1);
    sigset_t set;
    siginfo_t info;

    signal(SIGUSR1, SIG_IGN);
    CHECK_EQ(settime(id, 0, MS, MS, NULL), 0);
    sleep_ms(30);
    set = block(SIGUSR1);
    signal(SIGUSR1, SIG_DFL);
    CHECK_EQ(take(&set, &info, 5000), SIGUSR1);
    sleep_ms(5);
    signal(SIGUSR1, SIG_IGN); /* throws the pending one away */
    sleep_ms(5);
    signal(SIGUSR1, SIG_DFL);
    CHECK_EQ(take(&set, &info, 5000), SIGUSR1);
}

static volatile int told_thread, told_count;

static void on_told(int signo, siginfo_t *info, void *context)
{
    (void)signo;
    (void)context;
    told_thread = (int)syscall(SYS_gettid);
    told_count += 1 + info->si_overrun;
}

static void *waiter(void *arg)
{
    volatile int *tid = arg;

    *tid = (int)syscall(SYS_gettid);
    while (told_count == 0) {
        sleep_ms(1);
    }
    return NULL;
}

ABI_TEST(posix_timer, a_thread_can_be_chosen)
{
    struct sigaction action = {.sa_sigaction = on_told, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
    volatile int tid = 0;
    pthread_t thread;
    int id;

    CHECK_EQ(sigaction(SIGUSR2, &action, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, waiter, (void *)&tid), 0);
    while (tid == 0) {
        sleep_ms(1);
    }
    event.sigev_notify_thread_id = tid;
    CHECK_EQ(create(CLOCK_MONOTONIC, &event, &id), 0);
    CHECK_EQ(settime(id, 0, MS, 0, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(told_thread, tid);
    told_count = 0;
    CHECK_EQ(settime(id, 0, MS, MS, NULL), 0); /* to a thread that has ended: nobody hears */
    sleep_ms(20);
    CHECK_EQ(told_count, 0);
}

ABI_TEST(posix_timer, intervals_drive_a_handler)
{
    struct sigaction action = {.sa_sigaction = on_told, .sa_flags = SA_SIGINFO};
    int id = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0);
    struct timespec begin, end;

    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    CHECK_EQ(settime(id, 0, MS, MS, NULL), 0);
    while (told_count < 50) {
        (void)poll(NULL, 0, 1000);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    long ms = (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / MS;
    CHECK(ms >= 49);
    CHECK(ms >= told_count - 2); /* never faster than the clock */
}

ABI_TEST(posix_timer, cpu_time_is_counted)
{
    static const int clocks[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};

    for (int i = 0; i < 2; i++) {
        sigset_t set = block(SIGUSR1);
        int id = make(clocks[i], SIGEV_SIGNAL, SIGUSR1, i);
        struct timespec begin, now;
        siginfo_t info;
        CHECK_EQ(clock_gettime(clocks[i], &begin), 0);
        CHECK_EQ(settime(id, 0, 50 * MS, 0, NULL), 0);
        CHECK_EQ(take(&set, &info, 100), 0); /* a sleeper uses none */
        do {
            CHECK_EQ(clock_gettime(clocks[i], &now), 0);
        } while (!pending(SIGUSR1) && now.tv_sec - begin.tv_sec < 20);
        CHECK_EQ(clock_gettime(clocks[i], &now), 0);
        CHECK_EQ(take(&set, &info, 0), SIGUSR1);
        CHECK_EQ(info.si_value.sival_int, i);
        CHECK((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / MS >= 49);
        CHECK_EQ(delete (id), 0);
    }
}

ABI_TEST(posix_timer, a_descriptor_reads_its_signals)
{
    sigset_t set = block(SIGUSR1);
    int fd = signalfd(-1, &set, 0), id = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 9);
    struct signalfd_siginfo info;

    CHECK(fd >= 0);
    CHECK_EQ(settime(id, 0, MS, MS, NULL), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(read(fd, &info, sizeof(info)), sizeof(info));
        CHECK_EQ(info.ssi_code, SI_TIMER);
        CHECK_EQ(info.ssi_tid, id);
        CHECK_EQ(info.ssi_int, 9);
    }
}

ABI_TEST(posix_timer, children_and_programs_do_not_inherit_it)
{
    struct itimerspec setting;
    int id = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);
    int status = IN_CHILD({
        CHECK_ERR(gettime(id, &setting), EINVAL);
        (void)block(SIGUSR1);
        CHECK_EQ(settime(make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0), 0, MS, MS, NULL), 0);
        wait_pending(SIGUSR1); /* that one is taken back, too */
        (void)execl("/bin/sh", "sh", "-c",
                    "sleep 0.1; while read what set; do case $what$set in ShdPnd:*[!0]*) exit 1;; "
                    "ShdPnd:*) exit;;"
                    " esac; done </proc/self/status; exit 2",
                    (char *)NULL);
        _exit(9);
    });
    CHECK_EQ(status, 0);
    status = IN_CHILD({
        CHECK_EQ(settime(make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGKILL, 0), 0, 10 * MS, 0, NULL), 0);
        sleep_ms(10000);
    });
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

ABI_TEST(posix_timer, the_limit_of_queued_signals_counts_timers)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    int id = -1, n = 0;

    CHECK_EQ(setuid(54321), 0); /* nobody else is queueing for this user */
    const struct rlimit limit = {8, 8};
    CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
    while (n < 20 && create(CLOCK_MONOTONIC, &event, &id) == 0) {
        n++;
    }
    CHECK_EQ(n, 8);
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(delete (id), 0);
    CHECK_EQ(create(CLOCK_MONOTONIC, &event, &id), 0);
}
