/*
 * everybody COUNT      SysRq-e, "terminate all tasks", with so many processes: each hears of it, and a real-time thread is not kept waiting
 *
 * Time is that of the clock: with QEMU's -icount it counts instructions, however busy the host is. Prints the longest delay in nanoseconds,
 * before and meanwhile.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PRIORITY  90
#define PERIOD_NS 100000l

static volatile long worst_ns;
static volatile int over;

static long now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000l + ts.tv_nsec;
}

static void *watch(void *unused)
{
    (void)unused;
    while (!over) {
        long due = now_ns() + PERIOD_NS;
        struct timespec ts = {due / 1000000000l, due % 1000000000l};
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
        long late = now_ns() - due;
        worst_ns = late > worst_ns ? late : worst_ns;
    }
    return NULL;
}

static int start_watch(pthread_t *thread)
{
    struct sched_param param = {.sched_priority = PRIORITY};
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
    pthread_attr_setschedparam(&attr, &param);
    return pthread_create(thread, &attr, watch, NULL);
}

static void report(const char *what)
{
    printf("%s %ld\n", what, worst_ns);
    worst_ns = 0;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1, heard = 0, status, signo;
    pthread_t thread;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid < 0) {
            perror("fork");
            return 1;
        }
        if (pid == 0) {
            _exit(sigwait(&set, &signo));
        }
    }
    usleep(100000); /* they wait */
    if (start_watch(&thread) != 0) {
        perror("pthread_create");
        return 1;
    }
    usleep(100000);
    report("before");
    int fd = open("/proc/sysrq-trigger", O_WRONLY);
    if (fd < 0 || write(fd, "e", 1) != 1) {
        perror("/proc/sysrq-trigger");
        return 1;
    }
    while (wait(&status) > 0) {
        heard += status == 0;
    }
    report("meanwhile");
    over = 1;
    pthread_join(thread, NULL);
    printf("heard %d\n", heard);
    return 0;
}
