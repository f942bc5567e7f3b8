/*
 * stepped   waits for times of the wall clock in every way while that clock is set, for stepped_test.py: "ok WAY" for each. It is no ABI test,
 * which would set the clock of the machine that runs it first.
 */
#include <asm/unistd.h>
#include <errno.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define FAR_S 1000

static uint32_t word, lock_word, pi_word;
static struct timespec until;
static mqd_t queue;
static int ended[7];

static int failed(long result)
{
    return result < 0 ? errno : 0;
}

static int wait_bitset(void)
{
    return failed(
        syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &until, NULL, ~0u));
}

static int wait_several(void)
{
    struct futex_waitv wait = {.uaddr = (uintptr_t)&word, .flags = FUTEX_32};

    return failed(syscall(__NR_futex_waitv, &wait, 1, 0, &until, CLOCK_REALTIME));
}

static int wait_lock(void)
{
    return failed(syscall(SYS_futex, &lock_word, FUTEX_LOCK_PI, 0, &until, NULL, 0));
}

static int wait_requeue(void)
{
    return failed(syscall(SYS_futex, &word, FUTEX_WAIT_REQUEUE_PI | FUTEX_CLOCK_REALTIME, 0, &until,
                          &pi_word, 0));
}

static int wait_message(void)
{
    char text[64];

    return failed(mq_timedreceive(queue, text, sizeof(text), NULL, &until));
}

static int wait_sleeping(void)
{
    int err = clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL);

    return err == 0 ? ETIMEDOUT : err;
}

static int wait_timer(void)
{
    int fd = timerfd_create(CLOCK_REALTIME, 0);
    struct itimerspec spec = {.it_value = until};
    uint64_t times;

    if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0) {
        return EINVAL;
    }
    return read(fd, &times, sizeof(times)) == sizeof(times) && times == 1 ? ETIMEDOUT : errno;
}

static const struct way {
    const char *name;
    int (*wait)(void);
} ways[] = {{"bitset", wait_bitset},   {"several", wait_several}, {"lock", wait_lock},
            {"requeue", wait_requeue}, {"message", wait_message}, {"sleeping", wait_sleeping},
            {"timer", wait_timer}};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static void *run(void *arg)
{
    const struct way *way = arg;
    int err = way->wait();

    __atomic_store_n(&ended[way - ways], err == 0 ? -1 : err, __ATOMIC_SEQ_CST);
    return NULL;
}

static void check(int holds, const char *what)
{
    if (!holds) {
        printf("no: %s\n", what);
        exit(1);
    }
}

static void step(time_t seconds)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += seconds;
    check(clock_settime(CLOCK_REALTIME, &now) == 0, "the clock can be set");
}

/* The thread sleeps: it is where it will wait. */
static void wait_asleep(pid_t from)
{
    unsigned asleep = 0;

    while (asleep < WAYS) {
        asleep = 0;
        for (pid_t tid = from + 1; tid <= from + (pid_t)WAYS; tid++) {
            char path[64], state = 0;
            snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
            FILE *file = fopen(path, "r");
            asleep += file != NULL && fscanf(file, "%*d (stepped) %c", &state) == 1 && state == 'S';
            if (file != NULL) {
                fclose(file);
            }
        }
        usleep(10000);
    }
}

static void start(pthread_t threads[WAYS], time_t seconds)
{
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    for (size_t i = 0; i < WAYS; i++) {
        ended[i] = 0;
        check(pthread_create(&threads[i], NULL, run, (void *)&ways[i]) == 0, "threads start");
    }
}

static void finish(pthread_t threads[WAYS], const char *how)
{
    for (size_t i = 0; i < WAYS; i++) {
        pthread_join(threads[i], NULL);
        if (ended[i] == ETIMEDOUT) {
            printf("ok %s %s\n", ways[i].name, how);
        } else {
            printf("no: %s %s: %d\n", ways[i].name, how, ended[i]);
        }
    }
}

int main(void)
{
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 64};
    pthread_t threads[WAYS];

    queue = mq_open("/stepped", O_RDWR | O_CREAT, 0600, &attr);
    check(queue != (mqd_t)-1, "there is a queue");
    check(syscall(SYS_futex, &lock_word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0, "there is a lock");
    start(threads, FAR_S);
    wait_asleep(getpid());
    step(2 * FAR_S);
    finish(threads, "forward");
    /* Back: two seconds are not over after three, by the clock that was set. */
    start(threads, 2);
    step(-FAR_S);
    sleep(3);
    for (size_t i = 0; i < WAYS; i++) {
        check(__atomic_load_n(&ended[i], __ATOMIC_SEQ_CST) == 0, ways[i].name);
    }
    step(FAR_S);
    finish(threads, "back");
    return 0;
}
