/*
 * CPUs go and come while everything that a CPU may hold is in use, for hotplug_test.py: "hotplug CYCLES [SECONDS]" prints "ok WHAT" for each kind of
 * work whose figures are exact, or says what is wrong. After so many seconds fewer cycles must do, on a machine that is so slow.
 *
 * Each worker does a number of rounds that is not known before, until it is told to stop; what it has done is counted twice, by different
 * parties, and both counts must agree. All work on while the CPUs change: none may hang, which the test's alarm would tell.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ALARM_SECONDS    600 /* more than it may take */
#define PATIENCE_SECONDS 20
#define LEAST_CYCLES     3u
#define PAGE             4096ul

static uint32_t stop; /* [a] */
static int ncpus;

static bool stopped(void)
{
    return __atomic_load_n(&stop, __ATOMIC_ACQUIRE) != 0;
}

static void expect(bool right, const char *sentence)
{
    if (!right) {
        printf("wrong: %s (errno %d)\n", sentence, errno);
        fflush(stdout);
        _exit(1);
    }
}

static pthread_t start(void *(*fn)(void *), void *arg)
{
    pthread_t thread;

    expect(pthread_create(&thread, NULL, fn, arg) == 0, "a thread is made");
    return thread;
}

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    /* Who asks for a CPU that is offline is refused, who has it when it goes may run everywhere. */
    expect(sched_setaffinity(0, sizeof(set), &set) == 0 || errno == EINVAL, "sched_setaffinity");
}

/* ---- a counter behind a lock: threads that are pinned, and some that are not ---- */

static pthread_mutex_t counter_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t counter;

static void *add_up(void *arg)
{
    int cpu = (int)(intptr_t)arg;
    uint64_t own = 0;

    while (!stopped()) {
        if (cpu >= 0 && own % 64 == 0) {
            pin(cpu);
        }
        pthread_mutex_lock(&counter_lock);
        counter++;
        pthread_mutex_unlock(&counter_lock);
        own++;
        if (own % 16 == 0) {
            sched_yield();
        }
    }
    return (void *)own;
}

/* ---- a word that goes to and fro between two threads ---- */

static uint32_t ball;

static void *play(void *arg)
{
    uint32_t parity = (uint32_t)(uintptr_t)arg;
    uint64_t own = 0;

    for (;;) {
        uint32_t value = __atomic_load_n(&ball, __ATOMIC_ACQUIRE);
        if (value == UINT32_MAX) {
            return (void *)own;
        }
        if (value % 2 != parity) {
            (void)syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
            continue;
        }
        own++;
        /* The first one ends it, after the second one's turn. */
        __atomic_store_n(&ball, parity == 0 && stopped() ? UINT32_MAX : value + 1,
                         __ATOMIC_RELEASE);
        (void)syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

/* ---- bytes through a pipe ---- */

static int tube[2];

static void *pour(void *arg)
{
    uint8_t block[512];
    uint64_t sum = 0;

    (void)arg;
    for (unsigned round = 0; !stopped(); round++) {
        memset(block, (int)round, sizeof(block));
        expect(write(tube[1], block, sizeof(block)) == sizeof(block), "a block is written");
        sum += sizeof(block) * (uint8_t)round;
    }
    close(tube[1]);
    return (void *)sum;
}

static void *drink(void *arg)
{
    uint8_t block[512];
    uint64_t sum = 0;
    ssize_t n;

    (void)arg;
    while ((n = read(tube[0], block, sizeof(block))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            sum += block[i];
        }
    }
    expect(n == 0, "the pipe comes to its end");
    return (void *)sum;
}

/* ---- pages ---- */

static void *touch(void *arg)
{
    uint64_t rounds = 0;

    (void)arg;
    for (; !stopped(); rounds++) {
        uint64_t *at =
            mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        expect(at != MAP_FAILED, "mmap");
        for (size_t i = 0; i < 16; i++) {
            uint64_t *word = at + i * PAGE / sizeof(*at);
            expect(*word == 0, "a fresh page is clear");
            *word = rounds;
        }
        sched_yield();
        for (size_t i = 0; i < 16; i++) {
            expect(at[i * PAGE / sizeof(*at)] == rounds, "a page keeps what was written");
        }
        expect(munmap(at, 16 * PAGE) == 0, "munmap");
    }
    return (void *)rounds;
}

/* ---- time ---- */

/* Sleeps are never too short; that they end at all is what the alarm sees to. */
static void *sleep_often(void *arg)
{
    uint64_t rounds = 0;
    struct timespec before, after, pause = {.tv_nsec = 700000};

    (void)arg;
    for (; !stopped(); rounds++) {
        clock_gettime(CLOCK_MONOTONIC, &before);
        expect(nanosleep(&pause, NULL) == 0, "nanosleep");
        clock_gettime(CLOCK_MONOTONIC, &after);
        expect((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >=
                   pause.tv_nsec,
               "a sleep is as long as was asked for");
    }
    return (void *)rounds;
}

/* A timer with a period tells every one of its periods, however late it is asked. */
static void *tick(void *arg)
{
    const struct itimerspec every = {.it_value.tv_nsec = 1000000, .it_interval.tv_nsec = 1000000};
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    struct timespec from, to;
    uint64_t ticks = 0, n;

    (void)arg;
    expect(fd >= 0, "timerfd_create");
    clock_gettime(CLOCK_MONOTONIC, &from);
    expect(timerfd_settime(fd, 0, &every, NULL) == 0, "timerfd_settime");
    while (!stopped()) {
        expect(read(fd, &n, sizeof(n)) == sizeof(n), "the timer is read");
        ticks += n;
        clock_gettime(CLOCK_MONOTONIC, &to);
        uint64_t ms =
            (uint64_t)((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
        expect(ticks <= ms, "no tick is told twice");
    }
    expect(read(fd, &n, sizeof(n)) == sizeof(n), "the timer is read once more");
    close(fd);
    return (void *)(ticks + n);
}

/* ---- processes ---- */

static void *beget(void *arg)
{
    uint64_t rounds = 0;

    (void)arg;
    for (; !stopped(); rounds++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            _exit((int)(rounds % 100));
        }
        expect(child > 0, "fork");
        expect(waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                   WEXITSTATUS(status) == (int)(rounds % 100),
               "a child's status");
    }
    return (void *)rounds;
}

/* ---- the CPUs ---- */

static int switch_cpu(int cpu, const char *value)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
    int fd = open(path, O_WRONLY);
    expect(fd >= 0, path);
    int result = write(fd, value, 1) == 1 ? 0 : -errno;
    close(fd);
    return result;
}

/* How many CPUs this thread may run on, and whether `cpu` is one of them. */
static bool may_run_on(int cpu, int *ret_count)
{
    cpu_set_t set;

    expect(sched_getaffinity(0, sizeof(set), &set) == 0, "sched_getaffinity");
    *ret_count = CPU_COUNT(&set);
    return CPU_ISSET(cpu, &set);
}

/* One or several at a time go, in an order that changes, and come back in another. */
static void cycle(unsigned round)
{
    int others = ncpus - 1, n = 1 + (int)(round % (unsigned)others), count;

    for (int i = 0; i < n; i++) {
        int cpu = 1 + (int)((round + (unsigned)i) % (unsigned)others);
        expect(switch_cpu(cpu, "0") == 0, "a CPU goes");
        expect(!may_run_on(cpu, &count) && count == ncpus - 1 - i, "it is not told any more");
    }
    for (int i = n; i-- > 0;) {
        int cpu = 1 + (int)((round + (unsigned)(i * 2 + 1) % (unsigned)n) % (unsigned)others);
        expect(switch_cpu(cpu, "1") == 0, "a CPU comes");
    }
    for (int cpu = 1; cpu < ncpus; cpu++) {
        expect(switch_cpu(cpu, "1") == 0, "a CPU is there");
        expect(may_run_on(cpu, &count), "and is told");
    }
}

static void *run_there(void *arg)
{
    int cpu = (int)(intptr_t)arg;

    pin(cpu);
    expect(sched_getcpu() == cpu, "a thread runs where it is told");
    return NULL;
}

/* Who switches CPUs does not wait for those who keep them busy. */
static void urgent(void)
{
    const struct sched_param params = {.sched_priority = 10};

    expect(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &params) == 0, "sched_setscheduler");
}

static void report(const char *what, uint64_t done)
{
    expect(done > 0, what);
    printf("ok %s\n", what);
}

int main(int argc, char **argv)
{
    unsigned cycles = argc > 1 ? (unsigned)atoi(argv[1]) : 50, round = 0;
    unsigned patience = argc > 2 ? (unsigned)atoi(argv[2]) : PATIENCE_SECONDS;
    pthread_t adders[66], players[2], taps[2], others[4];
    uint64_t sum = 0, results[2];
    int nadders = 0;

    ncpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    expect(ncpus > 1 && ncpus <= 64, "there are several CPUs");
    alarm(patience + ALARM_SECONDS);
    expect(pipe(tube) == 0, "pipe");
    for (int cpu = -2; cpu < ncpus; cpu++) {
        adders[nadders++] = start(add_up, (void *)(intptr_t)cpu);
    }
    players[0] = start(play, (void *)0);
    players[1] = start(play, (void *)1);
    taps[0] = start(pour, NULL);
    taps[1] = start(drink, NULL);
    others[0] = start(touch, NULL);
    others[1] = start(sleep_often, NULL);
    others[2] = start(tick, NULL);
    others[3] = start(beget, NULL);
    urgent();
    time_t end = time(NULL) + (time_t)patience;
    while (round < cycles && (round < LEAST_CYCLES || time(NULL) < end)) {
        cycle(round++);
    }
    printf("%u cycles\n", round);
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < nadders; i++) {
        void *own;
        pthread_join(adders[i], &own);
        sum += (uint64_t)(uintptr_t)own;
    }
    expect(sum == counter, "the counter is the sum of what each added");
    report("counter", sum);
    pthread_join(players[0], (void **)&results[0]);
    pthread_join(players[1], (void **)&results[1]);
    expect(results[0] == results[1] + 1, "both played in turns");
    report("futex", results[1]);
    pthread_join(taps[0], (void **)&results[0]);
    pthread_join(taps[1], (void **)&results[1]);
    expect(results[0] == results[1], "what came out of the pipe went in");
    report("pipe", results[0]);
    static const char *const names[] = {"pages", "sleep", "timer", "children"};
    for (size_t i = 0; i < 4; i++) {
        pthread_join(others[i], (void **)&results[0]);
        report(names[i], results[0]);
    }
    for (int cpu = 0; cpu < ncpus; cpu++) {
        pthread_join(start(run_there, (void *)(intptr_t)cpu), NULL);
    }
    printf("ok all back\n");
    return 0;
}
