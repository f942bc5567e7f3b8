/* Threads: their lives, numbers and ends (clone(2), pthreads(7)). */
#include "abi.h"

#include <dirent.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/time.h>

static void start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    CHECK_EQ(pthread_create(thread, NULL, fn, arg), 0);
}

static pid_t gettid_(void)
{
    return (pid_t)syscall(SYS_gettid);
}

static void *give_numbers(void *arg)
{
    pid_t *numbers = arg;

    numbers[0] = getpid();
    numbers[1] = gettid_();
    numbers[2] = getppid();
    return (void *)0x1234;
}

ABI_TEST(thread, has_the_process_number_and_one_of_its_own)
{
    pid_t numbers[3];
    pthread_t thread;
    void *result;

    start(&thread, give_numbers, numbers);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK_EQ((intptr_t)result, 0x1234);
    CHECK_EQ(numbers[0], getpid());
    CHECK(numbers[1] != getpid());
    CHECK_EQ(numbers[2], getppid());
    CHECK_EQ(gettid_(), getpid());
}

ABI_TEST(thread, clone_flags_are_checked)
{
    CHECK_ERR(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_clone, CLONE_THREAD | CLONE_VM, 0, 0, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EINVAL);
    struct clone_args args = {.flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM,
                              .exit_signal = SIGCHLD};
    CHECK_ERR(syscall(SYS_clone3, &args, sizeof(args)), EINVAL);
}

/* ---- mutexes, conditions, barriers, thread-local data ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int counter, turn;

static void *count_up(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++) {
        pthread_mutex_lock(&mutex);
        int seen = counter;
        if (i % 100 == 0) {
            sched_yield();
        }
        counter = seen + 1;
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

ABI_TEST(thread, a_mutex_keeps_others_out)
{
    pthread_t threads[8];

    for (int i = 0; i < 8; i++) {
        start(&threads[i], count_up, NULL);
    }
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(counter, 16000);
}

static void *take_turns(void *arg)
{
    int me = (int)(intptr_t)arg;

    for (int i = 0; i < 200; i++) {
        pthread_mutex_lock(&mutex);
        while (turn != me) {
            pthread_cond_wait(&cond, &mutex);
        }
        turn = 1 - me;
        counter++;
        pthread_cond_signal(&cond);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

ABI_TEST(thread, a_condition_hands_over)
{
    pthread_t threads[2];

    for (int i = 0; i < 2; i++) {
        start(&threads[i], take_turns, (void *)(intptr_t)i);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(counter, 400);
}

static __thread int local = 5;
static pthread_key_t key;
static int destroyed;

static void destroy(void *value)
{
    destroyed += *(int *)value;
    free(value);
}

static void *use_local(void *arg)
{
    int *value = malloc(sizeof(*value));

    *value = (int)(intptr_t)arg;
    local += *value;
    pthread_setspecific(key, value);
    sched_yield();
    return (void *)(intptr_t)local;
}

ABI_TEST(thread, local_data_is_each_threads_own)
{
    pthread_t threads[10];

    CHECK_EQ(pthread_key_create(&key, destroy), 0);
    for (int i = 0; i < 10; i++) {
        start(&threads[i], use_local, (void *)(intptr_t)(i + 1));
    }
    for (int i = 0; i < 10; i++) {
        void *result;
        CHECK_EQ(pthread_join(threads[i], &result), 0);
        CHECK_EQ((intptr_t)result, 5 + i + 1);
    }
    CHECK_EQ(destroyed, 55);
    CHECK_EQ(local, 5);
}

static sem_t gate;

static void *pass_gate(void *arg)
{
    (void)arg;
    while (sem_wait(&gate) != 0) {
    }
    return NULL;
}

ABI_TEST(thread, three_hundred_at_once)
{
    pthread_t threads[300];
    pthread_attr_t attr;

    CHECK_EQ(sem_init(&gate, 0, 0), 0);
    CHECK_EQ(pthread_attr_init(&attr), 0);
    CHECK_EQ(pthread_attr_setstacksize(&attr, 16384), 0);
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(pthread_create(&threads[i], &attr, pass_gate, NULL), 0);
    }
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(sem_post(&gate), 0);
    }
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
}

static void *sleep_for_ever(void *arg)
{
    (void)arg;
    for (;;) {
        pause();
    }
}

ABI_TEST(thread, cancellation_reaches_a_sleeper)
{
    pthread_t thread;
    void *result;

    start(&thread, sleep_for_ever, NULL);
    abi_sleep_ms(10);
    CHECK_EQ(pthread_cancel(thread), 0);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
}

/* ---- ends ---- */

static int pipe_fds[2];

/* Every kind of sleep that a thread may be in when the process ends. */
static void *sleep_somehow(void *arg)
{
    static volatile uint32_t word;
    struct timespec ts = {100, 0}, vfork_ts = {2, 0}; /* the child lives on when we are gone */
    struct pollfd pollfd = {.fd = pipe_fds[0], .events = POLLIN};
    sigset_t set;
    char byte;

    switch ((intptr_t)arg) {
    case 0:
        nanosleep(&ts, NULL);
        break;
    case 1:
        (void)!read(pipe_fds[0], &byte, 1);
        break;
    case 2:
        poll(&pollfd, 1, -1);
        break;
    case 3:
        syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, NULL);
        break;
    case 4:
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigwaitinfo(&set, NULL);
        break;
    case 5:
        sigfillset(&set);
        sigsuspend(&set);
        break;
    case 6:
        if (vfork() == 0) {
            nanosleep(&vfork_ts, NULL);
            _exit(0);
        }
        break;
    case 7:
        waitpid(-1, NULL, 0);
        break;
    case 8: {
        int fd = open("fifo", O_RDONLY);
        (void)fd;
        break;
    }
    case 9:
        for (;;) {
        }
    default:
        break;
    }
    return NULL;
}

#define SLEEPS 10

static void start_sleepers(void)
{
    pthread_t thread;

    CHECK_EQ(pipe(pipe_fds), 0);
    (void)mkfifo("fifo", 0600);
    for (intptr_t i = 0; i < SLEEPS; i++) {
        start(&thread, sleep_somehow, (void *)i);
    }
    abi_sleep_ms(30);
}

ABI_TEST(thread, exit_group_ends_every_kind_of_sleep)
{
    int status = IN_CHILD({
        start_sleepers();
        _exit(7);
    });
    CHECK_EQ(status, 7 << 8);
}

ABI_TEST(thread, a_fatal_signal_ends_every_kind_of_sleep)
{
    int status = IN_CHILD({
        start_sleepers();
        kill(getpid(), SIGKILL);
        pause();
    });
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = IN_CHILD({
        start_sleepers();
        *(volatile int *)8 = 1;
    });
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void *exit_the_group(void *arg)
{
    (void)arg;
    abi_sleep_ms(5);
    _exit(9);
}

ABI_TEST(thread, any_thread_may_end_the_process)
{
    int status = IN_CHILD({
        pthread_t thread;
        start(&thread, exit_the_group, NULL);
        sleep_for_ever(NULL);
    });
    CHECK_EQ(status, 9 << 8);
}

static void *linger(void *arg)
{
    char byte;

    CHECK_EQ(read(((int *)arg)[0], &byte, 1), 1);
    syscall(SYS_exit, 5);
    return NULL;
}

ABI_TEST(thread, the_process_lives_until_its_last_thread_ends)
{
    siginfo_t info = {0};
    int gate_fds[2];

    CHECK_EQ(pipe(gate_fds), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        pthread_t thread;
        start(&thread, linger, gate_fds);
        syscall(SYS_exit, 3); /* the main thread */
    }
    abi_wait_state(pid, pid, 'Z');
    /* Neither a zombie to wait for, nor gone: the main thread alone is. */
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0);
    char path[64], text[512] = "";
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    CHECK(read(fd, text, sizeof(text) - 1) > 0);
    CHECK(strstr(text, ") Z ") != NULL);
    CHECK_EQ(write(gate_fds[1], "", 1), 1);
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_status, 5); /* the last thread's word counts */
}

/* ---- fork and exec ---- */

static void *fork_here(void *arg)
{
    (void)arg;
    int status = IN_CHILD({
        CHECK_EQ(gettid_(), getpid());
        DIR *dir = opendir("/proc/self/task");
        int n = 0;
        for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
            n += entry->d_name[0] != '.';
        }
        _exit(n);
    });
    return (void *)(intptr_t)status;
}

ABI_TEST(thread, fork_copies_the_calling_thread_alone)
{
    pthread_t sleeper, thread;
    void *result;

    start(&sleeper, sleep_for_ever, NULL);
    start(&thread, fork_here, NULL);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK_EQ((intptr_t)result, 1 << 8);
}

static void *exec_here(void *arg)
{
    char *argv[] = {"sh", "-c", "echo $$ $(ls /proc/$$/task) >exec.out; exit 6", NULL};

    (void)arg;
    execve("/bin/sh", argv, (char *[]){"PATH=/bin:/usr/bin", NULL});
    _exit(1);
}

static void check_exec(bool main_ends_first)
{
    pid_t pid = abi_fork();
    int status, shell = 0, task = 0;

    if (pid == 0) {
        pthread_t thread;
        start_sleepers();
        start(&thread, exec_here, NULL);
        if (main_ends_first) {
            syscall(SYS_exit, 0);
        }
        sleep_for_ever(NULL);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 6 << 8);
    FILE *file = fopen("exec.out", "r");
    CHECK(file != NULL);
    CHECK_EQ(fscanf(file, "%d %d", &shell, &task), 2);
    CHECK_EQ(shell, pid);
    CHECK_EQ(task, pid);
    fclose(file);
}

ABI_TEST(thread, exec_leaves_one_thread_with_the_process_number)
{
    check_exec(false);
    check_exec(true);
}

/* ---- what is counted ---- */

static long microseconds_of(const struct rusage *usage)
{
    return usage->ru_utime.tv_usec + usage->ru_stime.tv_usec +
           (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000;
}

static void *burn(void *arg)
{
    struct timespec ts = {0, 0};

    while (ts.tv_nsec < 50000000 && ts.tv_sec == 0) {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    }
    struct rusage usage;
    CHECK_EQ(getrusage(1 /* RUSAGE_THREAD */, &usage), 0);
    *(long *)arg = microseconds_of(&usage);
    return NULL;
}

ABI_TEST(thread, times_add_up_in_the_process)
{
    pthread_t threads[2];
    long own[2] = {0, 0};
    struct rusage usage, mine;
    struct timespec ts;

    for (int i = 0; i < 2; i++) {
        start(&threads[i], burn, &own[i]);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
        CHECK(own[i] >= 49000);
    }
    CHECK_EQ(getrusage(1, &mine), 0);
    CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
    CHECK(microseconds_of(&usage) + 10 >= own[0] + own[1] + microseconds_of(&mine));
    CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts), 0);
    CHECK(ts.tv_sec > 0 || ts.tv_nsec >= 99000000);
    clockid_t clock;
    CHECK_EQ(clock_getcpuclockid(getppid(), &clock), 0);
    CHECK_EQ(clock_gettime(clock, &ts), 0);
}

static void *name_me(void *arg)
{
    (void)arg;
    CHECK_EQ(pthread_setname_np(pthread_self(), "worker"), 0);
    sem_post(&gate);
    return sleep_for_ever(NULL);
}

static void read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY);

    CHECK(fd >= 0);
    ssize_t n = read(fd, text, size - 1);
    CHECK(n >= 0);
    text[n] = '\0';
    close(fd);
}

ABI_TEST(thread, proc_lists_each)
{
    pthread_t thread;
    char path[64], text[4096];
    int seen = 0, other = 0;

    CHECK_EQ(sem_init(&gate, 0, 0), 0);
    start(&thread, name_me, NULL);
    CHECK_EQ(sem_wait(&gate), 0);
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int tid = atoi(entry->d_name);
        seen += tid > 0;
        other = tid != getpid() && tid > 0 ? tid : other;
    }
    CHECK_EQ(seen, 2);
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/comm", other);
    read_text(path, text, sizeof(text));
    CHECK(strcmp(text, "worker\n") == 0);
    (void)snprintf(path, sizeof(path), "/proc/%d/status", other); /* not listed, but there */
    read_text(path, text, sizeof(text));
    char want[64];
    (void)snprintf(want, sizeof(want), "Tgid:\t%d\n", getpid());
    CHECK(strstr(text, want) != NULL);
    (void)snprintf(want, sizeof(want), "\nPid:\t%d\n", other);
    CHECK(strstr(text, want) != NULL);
    CHECK(strstr(text, "\nThreads:\t2\n") != NULL);
    CHECK_EQ(getpgid(other), getpgrp());
    CHECK_ERR(setpgid(other, 0), EINVAL);
    CHECK_ERR(waitpid(other, NULL, WNOHANG), ECHILD);
}
