/* Clocks and what disciplines them. Nothing here changes the machine's clock. */
#include "abi.h"

#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>

#define NS 1000000000ll
#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW(0x54, 0, uint64_t) /* timerfd_create(2) */
#endif

/* By system call: libc may answer from the vDSO, or not know the clock. */
static int64_t now_of(int clock)
{
    struct timespec ts;

    CHECK_EQ(syscall(SYS_clock_gettime, clock, &ts), 0);
    CHECK(ts.tv_nsec >= 0 && ts.tv_nsec < NS);
    return ts.tv_sec * NS + ts.tv_nsec;
}

static int64_t now_of_libc(int clock)
{
    struct timespec ts;

    CHECK_EQ(clock_gettime(clock, &ts), 0);
    return ts.tv_sec * NS + ts.tv_nsec;
}

ABI_TEST(clock, all_clocks_go_forward_here_and_in_the_vdso)
{
    static const int clocks[] = {
        CLOCK_REALTIME,          CLOCK_MONOTONIC,     CLOCK_PROCESS_CPUTIME_ID,
        CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
        CLOCK_MONOTONIC_COARSE,  CLOCK_BOOTTIME,      CLOCK_TAI};

    for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++) {
        int64_t before = now_of(clocks[i]);
        int64_t mine = now_of_libc(clocks[i]);
        int64_t after = now_of(clocks[i]);
        CHECK(before <= mine);
        CHECK(mine <= after);
        struct timespec res;
        CHECK_EQ(clock_getres(clocks[i], &res), 0);
        CHECK_EQ(res.tv_sec, 0);
        bool coarse = clocks[i] == CLOCK_REALTIME_COARSE || clocks[i] == CLOCK_MONOTONIC_COARSE;
        CHECK(coarse ? res.tv_nsec >= 1000000 && res.tv_nsec <= 10000000 : res.tv_nsec == 1);
    }
    CHECK_ERR(syscall(SYS_clock_gettime, 16, &(struct timespec){0}), EINVAL);
    CHECK_ERR(syscall(SYS_clock_gettime, CLOCK_REALTIME, 8), EFAULT);
    CHECK_EQ(syscall(SYS_clock_getres, CLOCK_REALTIME, NULL), 0);
    CHECK_ERR(syscall(SYS_clock_getres, -1, NULL), EINVAL);
}

ABI_TEST(clock, adjtimex_tells_the_state)
{
    struct timex tx = {0}, again = {0};
    int64_t before = now_of(CLOCK_REALTIME);
    int state = adjtimex(&tx);
    int64_t after = now_of(CLOCK_REALTIME);

    CHECK(state >= TIME_OK && state <= TIME_ERROR);
    CHECK_EQ(state == TIME_ERROR, (tx.status & (STA_UNSYNC | STA_CLOCKERR)) != 0);
    int64_t unit = (tx.status & STA_NANO) != 0 ? 1 : 1000;
    int64_t told = tx.time.tv_sec * NS + tx.time.tv_usec * unit;
    CHECK(told >= before - 1000);
    CHECK(told <= after);
    CHECK_EQ(tx.precision, 1);
    CHECK_EQ(tx.tolerance, 500 << 16);
    CHECK(tx.tick >= 9000 && tx.tick <= 11000);
    CHECK(tx.freq >= -(500 << 16) && tx.freq <= 500 << 16);
    CHECK(tx.maxerror >= 0 && tx.maxerror <= 16000000);
    CHECK(tx.esterror >= 0 && tx.esterror <= 16000000);
    CHECK(tx.constant >= 0 && tx.constant <= 10);
    CHECK_EQ(clock_adjtime(CLOCK_REALTIME, &again), state);
    CHECK_EQ(again.freq, tx.freq);
    CHECK_EQ(again.tick, tx.tick);
    CHECK_EQ(again.tai, tx.tai);
    int64_t tai = now_of(CLOCK_TAI) - now_of(CLOCK_REALTIME);
    CHECK(tai <= tx.tai * NS);
    CHECK(tai > tx.tai * NS - NS / 10);
    struct timex question = {.modes = ADJ_OFFSET_SS_READ, .offset = 5};
    CHECK_EQ(adjtimex(&question), state);
}

ABI_TEST(clock, wrong_adjustments_are_refused)
{
    struct timex tx = {.modes = 0x8000};

    CHECK_ERR(adjtimex(&tx), EINVAL); /* adjtime()'s bit alone */
    CHECK_ERR(syscall(SYS_adjtimex, 8), EFAULT);
    CHECK_ERR(syscall(SYS_clock_adjtime, CLOCK_REALTIME, 8), EFAULT);
    tx.modes = 0;
    CHECK_ERR(clock_adjtime(CLOCK_MONOTONIC, &tx), EOPNOTSUPP);
    CHECK_ERR(clock_adjtime(CLOCK_TAI, &tx), EOPNOTSUPP);
    CHECK_ERR(clock_adjtime(16, &tx), EINVAL);
    int status = IN_CHILD({
        CHECK_EQ(setresuid(4323, 4323, 4323), 0);
        CHECK(adjtimex(&tx) >= 0); /* asking is free */
        tx = (struct timex){.modes = ADJ_OFFSET_SS_READ};
        CHECK(adjtimex(&tx) >= 0);
        tx.modes = ADJ_OFFSET_SINGLESHOT;
        CHECK_ERR(adjtimex(&tx), EPERM);
        tx.modes = ADJ_FREQUENCY;
        CHECK_ERR(adjtimex(&tx), EPERM);
        tx.modes = ADJ_SETOFFSET;
        CHECK_ERR(adjtimex(&tx), EPERM);
        struct timespec ts = {1000000000, 0};
        CHECK_ERR(clock_settime(CLOCK_REALTIME, &ts), EPERM);
        struct timeval tv = {1000000000, 0};
        CHECK_ERR(syscall(SYS_settimeofday, &tv, NULL), EPERM);
    });
    CHECK_EQ(status, 0);
}

ABI_TEST(clock, only_real_time_can_be_set_and_not_to_everything)
{
    struct timespec ts = {0, 0};

    CHECK_ERR(clock_settime(CLOCK_MONOTONIC, &ts), EINVAL);
    CHECK_ERR(clock_settime(CLOCK_TAI, &ts), EINVAL);
    CHECK_ERR(clock_settime(CLOCK_BOOTTIME, &ts), EINVAL);
    CHECK_ERR(clock_settime(CLOCK_REALTIME_COARSE, &ts), EINVAL);
    CHECK_ERR(clock_settime(CLOCK_PROCESS_CPUTIME_ID, &ts), EINVAL);
    clockid_t own = (clockid_t)(~0u << 3 | 2); /* clock_getcpuclockid(3): process 0 */
    CHECK_ERR(syscall(SYS_clock_settime, own, &ts), EPERM);
    ts.tv_nsec = NS;
    CHECK_ERR(clock_settime(CLOCK_REALTIME, &ts), EINVAL);
    ts = (struct timespec){-1, 0};
    CHECK_ERR(clock_settime(CLOCK_REALTIME, &ts), EINVAL);
    ts = (struct timespec){INT64_MAX / NS - 30 * 365 * 86400, 0}; /* it would end in 30 years */
    CHECK_ERR(clock_settime(CLOCK_REALTIME, &ts), EINVAL);
    struct timeval tv = {ts.tv_sec, 0};
    CHECK_ERR(syscall(SYS_settimeofday, &tv, NULL), EINVAL);
    struct timex tx = {.modes = ADJ_SETOFFSET, .time.tv_sec = ts.tv_sec - time(NULL) + 2};
    CHECK_ERR(adjtimex(&tx), EINVAL);
    tx = (struct timex){.modes = ADJ_SETOFFSET, .time.tv_sec = -time(NULL)}; /* before boot */
    CHECK_ERR(adjtimex(&tx), EINVAL);
    tx = (struct timex){.modes = ADJ_SETOFFSET, .time.tv_sec = INT64_MIN};
    CHECK_ERR(adjtimex(&tx), EINVAL);
    ts = (struct timespec){0, 0}; /* before boot: refused, whoever asks */
    errno = 0;
    CHECK_EQ(clock_settime(CLOCK_REALTIME, &ts), -1);
    CHECK(errno == EINVAL || errno == EPERM);
}

ABI_TEST(clock, cpu_clocks_of_processes_and_threads)
{
    clockid_t clock;

    CHECK_EQ(clock_getcpuclockid(0, &clock), 0);
    CHECK(now_of(clock) <= now_of(CLOCK_PROCESS_CPUTIME_ID));
    CHECK_EQ(clock_getcpuclockid(getpid(), &clock), 0);
    int64_t before = now_of(clock), thread = now_of(CLOCK_THREAD_CPUTIME_ID);
    for (volatile int i = 0; i < 3000000; i++) {
    }
    CHECK(now_of(clock) > before);
    CHECK(now_of(CLOCK_THREAD_CPUTIME_ID) > thread);
    CHECK(now_of(CLOCK_THREAD_CPUTIME_ID) <= now_of(CLOCK_PROCESS_CPUTIME_ID));
    CHECK(clock_getcpuclockid(999999999, &clock) != 0);
}

ABI_TEST(clock, absolute_sleeps_end_when_the_clock_says_so)
{
    static const int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI};

    for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++) {
        int64_t end = now_of(clocks[i]) + 20000000;
        struct timespec ts = {end / NS, end % NS};
        CHECK_EQ(syscall(SYS_clock_nanosleep, clocks[i], TIMER_ABSTIME, &ts, NULL), 0);
        CHECK(now_of(clocks[i]) >= end);
        ts = (struct timespec){0};
        CHECK_EQ(syscall(SYS_clock_nanosleep, clocks[i], TIMER_ABSTIME, &ts, NULL), 0);
    }
    struct timespec ts = {0, 1};
    CHECK_ERR(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, &ts, NULL), EOPNOTSUPP);
    CHECK_ERR(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &ts, NULL), EOPNOTSUPP);
    CHECK_ERR(syscall(SYS_clock_nanosleep, 16, 0, &ts, NULL), EINVAL);
}

static volatile bool stop_burning;
static void *burn_beside(void *arg)
{
    (void)arg;
    while (!stop_burning) {
    }
    return NULL;
}

ABI_TEST(clock, a_sleep_by_cpu_time_waits_for_other_threads)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, burn_beside, NULL), 0);
    int64_t end = now_of(CLOCK_PROCESS_CPUTIME_ID) + 50000000;
    struct timespec ts = {0, 50000000};
    CHECK_EQ(syscall(SYS_clock_nanosleep, CLOCK_PROCESS_CPUTIME_ID, 0, &ts, NULL), 0);
    CHECK(now_of(CLOCK_PROCESS_CPUTIME_ID) >= end);
    end = now_of(CLOCK_PROCESS_CPUTIME_ID) + 30000000;
    ts = (struct timespec){end / NS, end % NS};
    CHECK_EQ(syscall(SYS_clock_nanosleep, CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &ts, NULL), 0);
    CHECK(now_of(CLOCK_PROCESS_CPUTIME_ID) >= end);
    stop_burning = true;
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* ---- timerfd ---- */

static void arm(int fd, int flags, int64_t value, int64_t interval)
{
    struct itimerspec spec = {.it_value = {value / NS, value % NS},
                              .it_interval = {interval / NS, interval % NS}};

    CHECK_EQ(timerfd_settime(fd, flags, &spec, NULL), 0);
}

ABI_TEST(timerfd, real_time_timers_that_may_be_cancelled)
{
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    uint64_t ticks = 0;

    CHECK(fd >= 0);
    arm(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, now_of(CLOCK_REALTIME) + 200000000, 0);
    CHECK_ERR(read(fd, &ticks, 8), EAGAIN);
    struct pollfd asked = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&asked, 1, 2000), 1);
    CHECK(now_of(CLOCK_REALTIME) > 0);
    CHECK_EQ(read(fd, &ticks, 8), 8);
    CHECK_EQ(ticks, 1);
    arm(fd, TFD_TIMER_CANCEL_ON_SET, 5000000, 5000000); /* means nothing without ABSTIME */
    usleep(40000);
    CHECK_EQ(read(fd, &ticks, 8), 8);
    CHECK(ticks >= 5);
    struct itimerspec spec;
    CHECK_EQ(timerfd_gettime(fd, &spec), 0);
    CHECK_EQ(spec.it_interval.tv_nsec, 5000000);
    CHECK(spec.it_value.tv_nsec > 0 && spec.it_value.tv_nsec <= 5000000);
    CHECK_ERR(timerfd_settime(fd, 8, &spec, NULL), EINVAL);
    CHECK_ERR(timerfd_create(CLOCK_MONOTONIC_RAW, 0), EINVAL);
    CHECK_ERR(timerfd_create(CLOCK_TAI, 0), EINVAL);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

ABI_TEST(timerfd, fdinfo_and_the_number_of_ticks)
{
    char path[64], text[512] = "";
    uint64_t ticks = 7;
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);

    arm(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, now_of(CLOCK_REALTIME) + 100 * NS, 2 * NS);
    if (ioctl(fd, TFD_IOC_SET_TICKS, &ticks) < 0) {
        CHECK_EQ(errno, ENOTTY); /* kernels without checkpointing */
    } else {
        ticks = 0;
        CHECK_ERR(ioctl(fd, TFD_IOC_SET_TICKS, &ticks), EINVAL);
        CHECK_ERR(ioctl(fd, TFD_IOC_SET_TICKS, 8), EFAULT);
        CHECK_EQ(read(fd, &ticks, 8), 8);
        CHECK_EQ(ticks, 7);
        ticks = ~0ull; /* a number like any other */
        CHECK_EQ(ioctl(fd, TFD_IOC_SET_TICKS, &ticks), 0);
        ticks = 1;
        CHECK_EQ(read(fd, &ticks, 8), 8);
        CHECK_EQ(ticks, ~0ull);
    }
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    int info = open(path, O_RDONLY);
    CHECK(read(info, text, sizeof(text) - 1) > 0);
    CHECK(strstr(text, "clockid: 0\n") != NULL);
    CHECK(strstr(text, "ticks: 0\n") != NULL);
    CHECK(strstr(text, "settime flags: 03\n") != NULL);
    CHECK(strstr(text, "it_interval: (2, 0)\n") != NULL);
    CHECK(strstr(text, "it_value: (99, ") != NULL);
}

/* ---- what counts CPU time ---- */

static volatile int fired;
static void on_timer(int signo)
{
    fired = signo;
}

static void burn(int64_t ns)
{
    int64_t end = now_of(CLOCK_PROCESS_CPUTIME_ID) + ns;

    while (now_of_libc(CLOCK_PROCESS_CPUTIME_ID) < end) {
    }
}

ABI_TEST(itimer, profiling_time_is_cpu_time)
{
    struct itimerval timer = {.it_value = {100, 0}}, left;

    CHECK(signal(SIGPROF, on_timer) != SIG_ERR);
    int64_t used = now_of(CLOCK_PROCESS_CPUTIME_ID);
    CHECK_EQ(setitimer(ITIMER_PROF, &timer, NULL), 0);
    usleep(200000); /* sleeping does not count */
    CHECK_EQ(getitimer(ITIMER_PROF, &left), 0);
    used = now_of(CLOCK_PROCESS_CPUTIME_ID) - used;
    int64_t gone = 100 * NS - (left.it_value.tv_sec * NS + left.it_value.tv_usec * 1000);
    CHECK(gone <= used + 30000000); /* ticks */
    CHECK_EQ(fired, 0);
    timer.it_value = (struct timeval){0, 50000};
    CHECK_EQ(setitimer(ITIMER_PROF, &timer, NULL), 0);
    burn(200000000);
    CHECK_EQ(fired, SIGPROF);
    CHECK_EQ(getitimer(ITIMER_PROF, &left), 0);
    CHECK_EQ(left.it_value.tv_usec, 0);
}

ABI_TEST(itimer, virtual_time_fires_again_and_again)
{
    struct itimerval timer = {.it_value = {0, 20000}, .it_interval = {0, 20000}};

    CHECK(signal(SIGVTALRM, on_timer) != SIG_ERR);
    CHECK_EQ(setitimer(ITIMER_VIRTUAL, &timer, NULL), 0);
    for (int i = 0; i < 3; i++) {
        fired = 0;
        int64_t end = now_of(CLOCK_MONOTONIC) + 20 * NS;
        while (fired == 0 && now_of_libc(CLOCK_MONOTONIC) < end) {
        }
        CHECK_EQ(fired, SIGVTALRM);
    }
    timer = (struct itimerval){0};
    CHECK_EQ(setitimer(ITIMER_VIRTUAL, &timer, NULL), 0);
    fired = 0;
    burn(60000000);
    CHECK_EQ(fired, 0);
}
