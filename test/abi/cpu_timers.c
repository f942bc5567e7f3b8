/* What waits for CPU time: of this process, of its threads, of others; and limits of it. Never early, and not for ever. */
#include "abi.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/time.h>

#define MS 1000000LL
#define NS 1000000000LL

static int64_t now_of(clockid_t clock)
{
    struct timespec ts;

    CHECK_EQ(syscall(SYS_clock_gettime, clock, &ts), 0);
    return ts.tv_sec * NS + ts.tv_nsec;
}

static clockid_t clock_of(pid_t pid, bool thread)
{
    return (clockid_t)(~(unsigned)pid << 3 | 2 | (thread ? 4 : 0)); /* clock_getcpuclockid(3) */
}

static volatile sig_atomic_t fired;
static volatile int64_t fired_at;
static clockid_t fired_clock;

static void on_signal(int signo)
{
    fired_at = now_of(fired_clock);
    fired = signo;
}

static int timer_on(clockid_t clock, int signo)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signo};
    int id;

    CHECK_EQ(syscall(SYS_timer_create, clock, &event, &id), 0);
    return id;
}

static void set(int id, int flags, int64_t value)
{
    struct itimerspec spec = {.it_value = {value / NS, value % NS}};

    CHECK_EQ(syscall(SYS_timer_settime, id, flags, &spec, NULL), 0);
}

/* Without a system call. */
static void spin_until_fired(void)
{
    while (fired == 0) {
    }
}

ABI_TEST(cpu_timer, comes_after_its_time_and_soon)
{
    static const int64_t times[] = {1, 100000, 3 * MS, 7300000, 12 * MS, 25 * MS};
    static const clockid_t clocks[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};

    CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
    for (size_t i = 0; i < sizeof(times) / sizeof(*times) * 2; i++) {
        int64_t left = times[i / 2];
        fired_clock = clocks[i % 2];
        int id = timer_on(fired_clock, SIGUSR1);
        fired = 0;
        int64_t end = now_of(fired_clock) + left;
        set(id, TIMER_ABSTIME, end);
        spin_until_fired();
        CHECK(fired_at >= end);
        CHECK(fired_at < end + NS);
        CHECK_EQ(syscall(SYS_timer_delete, id), 0);
    }
}

static volatile bool stop;

static void *spin(void *arg)
{
    if (arg != NULL) {
        *(volatile int *)arg = (int)syscall(SYS_gettid);
    }
    while (!stop) {
    }
    return NULL;
}

static void spinners_start(pthread_t *threads, int n)
{
    sigset_t all, old;

    stop = false;
    sigfillset(&all);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &all, &old), 0);
    for (int i = 0; i < n; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, spin, NULL), 0);
    }
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &old, NULL), 0);
}

static void spinners_end(pthread_t *threads, int n)
{
    stop = true;
    for (int i = 0; i < n; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
}

ABI_TEST(cpu_timer, counts_what_threads_use_together)
{
    struct itimerval prof = {.it_value = {0, 90000}};
    pthread_t threads[3];

    CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
    CHECK(signal(SIGPROF, on_signal) != SIG_ERR);
    fired_clock = CLOCK_PROCESS_CPUTIME_ID;
    int id = timer_on(CLOCK_PROCESS_CPUTIME_ID, SIGUSR1);
    int64_t end = now_of(CLOCK_PROCESS_CPUTIME_ID) + 50 * MS;
    set(id, TIMER_ABSTIME, end); /* armed before they are there */
    spinners_start(threads, 3);
    while (fired == 0) {
        (void)usleep(1000000);
    }
    CHECK_EQ(fired, SIGUSR1);
    CHECK(fired_at >= end);
    fired = 0;
    end = now_of(CLOCK_PROCESS_CPUTIME_ID) + 45 * MS; /* Linux counts the ticks that met it */
    CHECK_EQ(setitimer(ITIMER_PROF, &prof, NULL), 0); /* and while they run */
    while (fired == 0) {
        (void)usleep(1000000);
    }
    CHECK_EQ(fired, SIGPROF);
    CHECK(fired_at >= end);
    spinners_end(threads, 3);
}

static volatile int sibling;

ABI_TEST(cpu_timer, of_a_sibling)
{
    struct timespec ts = {0, 30 * MS}, none = {0, 1};
    pthread_t thread;

    sibling = 0;
    stop = false;
    CHECK_EQ(pthread_create(&thread, NULL, spin, (void *)&sibling), 0);
    while (sibling == 0) {
        abi_sleep_ms(1);
    }
    clockid_t clock = clock_of(sibling, true);
    int64_t end = now_of(clock) + 30 * MS;
    CHECK_EQ(syscall(SYS_clock_nanosleep, clock, 0, &ts, NULL), 0);
    CHECK(now_of(clock) >= end);
    stop = true;
    CHECK_EQ(pthread_join(thread, NULL), 0);
    while (syscall(SYS_tkill, sibling, 0) == 0) { /* it is joined a moment before it is gone */
        abi_sleep_ms(1);
    }
    CHECK_ERR(syscall(SYS_clock_nanosleep, clock, 0, &none, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_clock_nanosleep, clock_of(0, true), 0, &none, NULL), EINVAL);
    int id;
    CHECK_ERR(syscall(SYS_timer_create, clock, NULL, &id), EINVAL);
    CHECK_ERR(syscall(SYS_timer_create, clock_of(getppid(), true), NULL, &id), EINVAL);
}

ABI_TEST(cpu_timer, of_another_process)
{
    sigset_t set_;
    siginfo_t info;
    struct itimerspec left;
    int go[2];
    char c;

    CHECK_EQ(pipe(go), 0);
    sigemptyset(&set_);
    sigaddset(&set_, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set_, NULL), 0);
    pid_t child = abi_fork();
    if (child == 0) {
        (void)!read(go[0], &c, 1);
        for (;;) {
        }
    }
    abi_wait_state(child, child, 'S');
    clockid_t clock = clock_of(child, false);
    int64_t begin = now_of(clock);
    int id = timer_on(clock, SIGUSR1);
    set(id, 0, 40 * MS);
    struct timespec moment = {0, 30 * MS}, limit = {60, 0};
    CHECK_ERR(sigtimedwait(&set_, &info, &moment), EAGAIN); /* a sleeper uses none */
    CHECK_EQ(syscall(SYS_timer_gettime, id, &left), 0);
    CHECK(left.it_value.tv_sec == 0 && left.it_value.tv_nsec > 20 * MS);
    CHECK_EQ(write(go[1], "", 1), 1);
    CHECK_EQ(sigtimedwait(&set_, &info, &limit), SIGUSR1);
    CHECK(now_of(clock) >= begin + 40 * MS);
    CHECK_EQ(info.si_code, SI_TIMER);
    int64_t end = now_of(clock) + 20 * MS;
    struct timespec ts = {end / NS, end % NS};
    CHECK_EQ(syscall(SYS_clock_nanosleep, clock, TIMER_ABSTIME, &ts, NULL), 0);
    CHECK(now_of(clock) >= end);
    set(id, TIMER_ABSTIME, 1); /* long past */
    CHECK_EQ(sigtimedwait(&set_, &info, &limit), SIGUSR1);
    set(id, 0, 1000 * NS);
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
    CHECK_ERR(sigtimedwait(&set_, &info, &moment), EAGAIN);
    CHECK_EQ(syscall(SYS_timer_delete, id), 0);
    CHECK_ERR(syscall(SYS_timer_create, clock, NULL, &id), EINVAL);
}

ABI_TEST(cpu_timer, a_signal_ends_a_sleep_and_what_is_left_is_told)
{
    struct timespec ts = {100, 0}, left = {0};
    struct sigaction action = {.sa_handler = on_signal};

    fired_clock = CLOCK_MONOTONIC;
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    (void)abi_wake_by(SIGALRM);
    CHECK_ERR(syscall(SYS_clock_nanosleep, CLOCK_PROCESS_CPUTIME_ID, 0, &ts, &left), EINTR);
    CHECK(left.tv_sec == 99);
}

ABI_TEST(cpu_timer, the_limit_of_cpu_time)
{
    struct rlimit limit = {1, 2}, now;
    struct rusage usage;
    int status;

    pid_t child = abi_fork();
    if (child == 0) {
        CHECK(signal(SIGXCPU, on_signal) != SIG_ERR);
        fired_clock = CLOCK_PROCESS_CPUTIME_ID;
        CHECK_EQ(setrlimit(RLIMIT_CPU, &limit), 0);
        spin_until_fired();
        CHECK(fired_at >= NS / 2 && fired_at < 2 * NS); /* Linux counts the ticks that met it */
        CHECK_EQ(getrlimit(RLIMIT_CPU, &now), 0);
        CHECK_EQ(now.rlim_cur, 2); /* the next signal's */
        for (;;) {
        }
    }
    CHECK_EQ(wait4(child, &status, 0, &usage), child);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGKILL);
    int64_t us = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL +
                 usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    CHECK(us >= 1000000 && us < 4000000);
}

/* A page fault is work of the system, however short each is. */
ABI_TEST(cpu_timer, time_in_page_faults_is_system_time)
{
    const size_t len = 16 << 20;
    struct rusage usage;
    int64_t user = 0, system = 0;

    char *area = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(area != MAP_FAILED);
    (void)madvise(area, len, MADV_NOHUGEPAGE);
    /* Ticks are counted: a machine that stood still for a while has them all fall into one place. */
    while (user + system < 400000 || (system <= user && user + system < 4000000)) {
        for (size_t i = 0; i < len; i += 4096) {
            ((volatile char *)area)[i] = 1;
        }
        CHECK_EQ(madvise(area, len, MADV_DONTNEED), 0);
        CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
        user = usage.ru_utime.tv_sec * 1000000LL + usage.ru_utime.tv_usec;
        system = usage.ru_stime.tv_sec * 1000000LL + usage.ru_stime.tv_usec;
    }
    CHECK(system > user);
    CHECK_EQ(munmap(area, len), 0);
}

ABI_TEST(cpu_timer, the_limit_is_inherited)
{
    int status = IN_CHILD({
        struct rlimit limit = {1, 1};
        CHECK_EQ(setrlimit(RLIMIT_CPU, &limit), 0);
        status = IN_CHILD(for (;;){});
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    });
    CHECK_EQ(status, 0);
}

ABI_TEST(cpu_timer, the_limit_of_real_time_threads)
{
    struct sched_param param = {.sched_priority = 1};
    struct rlimit limit = {30000, 80000}, before = {100000000, 100000000};
    int status;

    pid_t child = abi_fork();
    if (child == 0) {
        CHECK(signal(SIGXCPU, on_signal) != SIG_ERR);
        fired_clock = CLOCK_THREAD_CPUTIME_ID;
        CHECK_EQ(setrlimit(RLIMIT_RTTIME, &before), 0);
        if (syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &param) != 0) {
            _exit(77);
        }
        int64_t begin = now_of(CLOCK_THREAD_CPUTIME_ID);
        usleep(1000); /* what has been run so far counts no more */
        CHECK_EQ(setrlimit(RLIMIT_RTTIME, &limit), 0);
        spin_until_fired();
        CHECK(fired_at >= begin + 15 * MS); /* Linux counts ticks that it meets */
        for (;;) {
        }
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        abi_skip("no real-time threads here");
    }
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGKILL);
}
