/*
 * glibc's threads: their lives, ends and belongings.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/resource.h>

#include "../abi.h"

static void start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    CHECK_EQ(pthread_create(thread, NULL, fn, arg), 0);
}

static void *join(pthread_t thread)
{
    void *result;
    CHECK_EQ(pthread_join(thread, &result), 0);
    return result;
}

/* ---- cancellation ---- */

static int cleaned;

static void clean(void *arg)
{
    cleaned = cleaned * 10 + (int)(intptr_t)arg;
}

static void *wait_in_pause(void *arg)
{
    pthread_cleanup_push(clean, (void *)1);
    pthread_cleanup_push(clean, (void *)2);
    (void)__atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
    pause();
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return NULL;
}

static void *wait_in_cond(void *arg)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    pthread_cleanup_push(clean, (void *)3);
    (void)__atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        CHECK_EQ(pthread_cond_wait(&cond, &mutex), 0);
    }
    pthread_cleanup_pop(0);
    return NULL;
}

static void *wait_in_read(void *arg)
{
    int fds[2];
    char c;

    CHECK_EQ(pipe(fds), 0);
    (void)__atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
    (void)!read(fds[0], &c, 1);
    return NULL;
}

static void *loop_async(void *arg)
{
    CHECK_EQ(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL), 0);
    (void)__atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
    for (volatile unsigned long i = 0;; i++) {
    }
    return NULL;
}

ABI_TEST(cancel, ends_threads_where_they_wait)
{
    void *(*const fns[])(void *) = {wait_in_pause, wait_in_cond, wait_in_read, loop_async};

    for (unsigned i = 0; i < 4; i++) {
        pthread_t thread;
        int ready = 0;
        cleaned = 0;
        start(&thread, fns[i], &ready);
        while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) == 0) {
            sched_yield();
        }
        usleep(2000);
        CHECK_EQ(pthread_cancel(thread), 0);
        CHECK(join(thread) == PTHREAD_CANCELED);
        CHECK_EQ(cleaned, i == 0 ? 21 : i == 1 ? 3 : 0);
    }
}

static void *disable(void *arg)
{
    int old;

    CHECK_EQ(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old), 0);
    (void)__atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n((int *)arg, __ATOMIC_SEQ_CST) == 1) {
        usleep(1000);
    }
    pthread_testcancel();
    (void)__atomic_store_n((int *)arg, 3, __ATOMIC_SEQ_CST);
    CHECK_EQ(pthread_setcancelstate(old, NULL), 0);
    pthread_testcancel();
    return NULL;
}

ABI_TEST(cancel, waits_until_it_is_allowed)
{
    pthread_t thread;
    int stage = 0;

    start(&thread, disable, &stage);
    while (__atomic_load_n(&stage, __ATOMIC_SEQ_CST) == 0) {
        sched_yield();
    }
    CHECK_EQ(pthread_cancel(thread), 0);
    usleep(5000);
    CHECK_EQ(pthread_tryjoin_np(thread, NULL), EBUSY);
    (void)__atomic_store_n(&stage, 2, __ATOMIC_SEQ_CST);
    CHECK(join(thread) == PTHREAD_CANCELED);
    CHECK_EQ(stage, 3);
}

/* ---- what belongs to a thread ---- */

static __thread int local = 7;
static __thread char large[100000];
static pthread_key_t key;
static int destroyed;

static void destroy(void *value)
{
    (void)__atomic_add_fetch(&destroyed, (int)(intptr_t)value, __ATOMIC_SEQ_CST);
}

static void *use_locals(void *arg)
{
    CHECK_EQ(local, 7);
    local = (int)(intptr_t)arg;
    memset(large, local, sizeof(large));
    CHECK(pthread_getspecific(key) == NULL);
    CHECK_EQ(pthread_setspecific(key, arg), 0);
    sched_yield();
    CHECK(pthread_getspecific(key) == arg);
    for (size_t i = 0; i < sizeof(large); i++) {
        CHECK_EQ(large[i], (char)local);
    }
    return (void *)(intptr_t)local;
}

ABI_TEST(local, each_thread_has_its_own)
{
    pthread_t threads[20];

    CHECK_EQ(pthread_key_create(&key, destroy), 0);
    for (intptr_t i = 0; i < 20; i++) {
        start(&threads[i], use_locals, (void *)(i + 1));
    }
    for (intptr_t i = 0; i < 20; i++) {
        CHECK_EQ((intptr_t)join(threads[i]), i + 1);
    }
    CHECK_EQ(local, 7);
    CHECK_EQ(destroyed, 210);
    CHECK_EQ(pthread_key_delete(key), 0);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int times;

static void init_once(void)
{
    usleep(2000);
    times++;
}

static void *want_once(void *arg)
{
    CHECK_EQ(pthread_once(&once, init_once), 0);
    CHECK_EQ(times, 1);
    return arg;
}

ABI_TEST(local, once_is_once)
{
    pthread_t threads[8];

    for (int i = 0; i < 8; i++) {
        start(&threads[i], want_once, NULL);
    }
    for (int i = 0; i < 8; i++) {
        (void)join(threads[i]);
    }
    CHECK_EQ(times, 1);
}

/* ---- many ---- */

static pthread_barrier_t all_here;

static void *be_one_of_many(void *arg)
{
    int result = pthread_barrier_wait(&all_here);
    CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
    return arg;
}

ABI_TEST(many, a_thousand_at_once)
{
    static pthread_t threads[1000];
    pthread_attr_t attr;

    CHECK_EQ(pthread_barrier_init(&all_here, NULL, 1001), 0);
    pthread_attr_init(&attr);
    CHECK_EQ(pthread_attr_setstacksize(&attr, 256 * 1024), 0);
    for (intptr_t i = 0; i < 1000; i++) {
        CHECK_EQ(pthread_create(&threads[i], &attr, be_one_of_many, (void *)i), 0);
    }
    (void)be_one_of_many(NULL);
    for (intptr_t i = 0; i < 1000; i++) {
        CHECK_EQ((intptr_t)join(threads[i]), i);
    }
}

ABI_TEST(many, one_after_the_other)
{
    for (intptr_t i = 0; i < 2000; i++) {
        pthread_t thread;
        CHECK_EQ(pthread_barrier_init(&all_here, NULL, 1), 0);
        start(&thread, be_one_of_many, (void *)i);
        CHECK_EQ((intptr_t)join(thread), i);
    }
}

/* ---- attributes ---- */

static void *look_at_oneself(void *arg)
{
    pthread_attr_t attr;
    char name[16], *here = name;
    void *stack;
    size_t size;

    CHECK_EQ(pthread_getattr_np(pthread_self(), &attr), 0);
    CHECK_EQ(pthread_attr_getstack(&attr, &stack, &size), 0);
    CHECK(here >= (char *)stack && here < (char *)stack + size);
    CHECK_EQ(pthread_setname_np(pthread_self(), "a name of 15 ch"), 0);
    CHECK_EQ(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
    CHECK_EQ(strcmp(name, "a name of 15 ch"), 0);
    return arg;
}

ABI_TEST(attr, of_main_and_others)
{
    cpu_set_t cpus, got;
    clockid_t clock;
    struct timespec time;
    pthread_attr_t attr;
    pthread_t thread;

    (void)look_at_oneself(NULL);
    start(&thread, look_at_oneself, NULL);
    (void)join(thread);
    CHECK_EQ(pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus), 0);
    CHECK(CPU_COUNT(&cpus) >= 1);
    CHECK_EQ(pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus), 0);
    CHECK_EQ(pthread_getaffinity_np(pthread_self(), sizeof(got), &got), 0);
    CHECK(CPU_EQUAL(&cpus, &got));
    CHECK_EQ(pthread_getcpuclockid(pthread_self(), &clock), 0);
    CHECK_EQ(clock_gettime(clock, &time), 0);
    pthread_attr_init(&attr);
    CHECK_EQ(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED), 0);
    CHECK_EQ(pthread_create(&thread, &attr, look_at_oneself, NULL), 0);
    usleep(20000);
}

ABI_TEST(attr, policy_and_priority)
{
    struct sched_param param = {.sched_priority = 5}, got;
    pthread_attr_t attr;
    pthread_t thread;
    int policy, ready = 0;

    pthread_attr_init(&attr);
    CHECK_EQ(pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED), 0);
    CHECK_EQ(pthread_attr_setschedpolicy(&attr, SCHED_RR), 0);
    CHECK_EQ(pthread_attr_setschedparam(&attr, &param), 0);
    CHECK_EQ(pthread_create(&thread, &attr, wait_in_pause, &ready), 0);
    CHECK_EQ(pthread_getschedparam(thread, &policy, &got), 0);
    CHECK_EQ(policy, SCHED_RR);
    CHECK_EQ(got.sched_priority, 5);
    param.sched_priority = 0;
    CHECK_EQ(pthread_setschedparam(thread, SCHED_OTHER, &param), 0);
    CHECK_EQ(pthread_getschedparam(thread, &policy, &got), 0);
    CHECK_EQ(policy, SCHED_OTHER);
    CHECK_EQ(pthread_cancel(thread), 0);
    (void)join(thread);
}

/* ---- joining ---- */

ABI_TEST(join, in_time_or_not)
{
    struct timespec soon;
    pthread_t thread;
    int ready = 0;

    start(&thread, wait_in_pause, &ready);
    clock_gettime(CLOCK_REALTIME, &soon);
    CHECK_EQ(pthread_timedjoin_np(thread, NULL, &soon), ETIMEDOUT);
    CHECK_EQ(pthread_tryjoin_np(thread, NULL), EBUSY);
    CHECK_EQ(pthread_cancel(thread), 0);
    clock_gettime(CLOCK_MONOTONIC, &soon);
    soon.tv_sec += 10;
    CHECK_EQ(pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &soon), 0);
    CHECK_EQ(pthread_join(pthread_self(), NULL), EDEADLK);
}

/* ---- signals ---- */

static volatile sig_atomic_t signalled;
static pthread_t signalled_thread;

static void on_signal(int signo)
{
    signalled = signo;
    signalled_thread = pthread_self();
}

static void *wait_for_signal(void *arg)
{
    (void)__atomic_store_n((int *)arg, 1, __ATOMIC_SEQ_CST);
    while (!signalled) {
        usleep(1000);
    }
    return NULL;
}

static void *take_signal(void *arg)
{
    siginfo_t info;
    sigset_t *set = arg;

    CHECK_EQ(sigwaitinfo(set, &info), SIGRTMIN + 3);
    CHECK_EQ(info.si_code, SI_QUEUE);
    return (void *)(intptr_t)info.si_value.sival_int;
}

ABI_TEST(thread_signal, goes_to_the_thread_meant)
{
    union sigval value = {.sival_int = 4711};
    pthread_t thread;
    sigset_t set;
    int ready = 0;

    CHECK(signal(SIGUSR1, on_signal) != SIG_ERR);
    start(&thread, wait_for_signal, &ready);
    while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) == 0) {
        sched_yield();
    }
    CHECK_EQ(pthread_kill(thread, 0), 0);
    CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
    (void)join(thread);
    CHECK(pthread_equal(signalled_thread, thread));
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 3);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    start(&thread, take_signal, &set);
    CHECK_EQ(pthread_sigqueue(thread, SIGRTMIN + 3, value), 0);
    CHECK_EQ((intptr_t)join(thread), 4711);
}

/* ---- timers and asynchronous reads, which glibc makes of threads ---- */

static sem_t expired;

static void on_timer(union sigval value)
{
    if (value.sival_int == 99) {
        sem_post(&expired);
    }
}

ABI_TEST(helper, timers_run_functions)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD,
                             .sigev_value.sival_int = 99,
                             .sigev_notify_function = on_timer};
    struct itimerspec setting = {.it_value.tv_nsec = 1000000, .it_interval.tv_nsec = 2000000};
    timer_t timer;

    CHECK_EQ(sem_init(&expired, 0, 0), 0);
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    CHECK_EQ(timer_settime(timer, 0, &setting, NULL), 0);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sem_wait(&expired), 0);
    }
    CHECK_EQ(timer_delete(timer), 0);
}

ABI_TEST(helper, asynchronous_reads_and_writes)
{
    char text[] = "asynchronous", got[sizeof(text)] = {0};
    struct aiocb write_cb = {.aio_buf = text, .aio_nbytes = sizeof(text), .aio_offset = 100};
    struct aiocb read_cb = {.aio_buf = got, .aio_nbytes = sizeof(got), .aio_offset = 100};
    const struct aiocb *list[] = {&write_cb};

    write_cb.aio_fildes = read_cb.aio_fildes = open("f", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(aio_write(&write_cb), 0);
    CHECK_EQ(aio_suspend(list, 1, NULL), 0);
    CHECK_EQ(aio_error(&write_cb), 0);
    CHECK_EQ(aio_return(&write_cb), sizeof(text));
    CHECK_EQ(aio_read(&read_cb), 0);
    while (aio_error(&read_cb) == EINPROGRESS) {
        usleep(1000);
    }
    CHECK_EQ(aio_return(&read_cb), sizeof(text));
    CHECK_EQ(strcmp(got, text), 0);
}

/* ---- fork among threads ---- */

static int forks[3];

static void before_fork(void)
{
    forks[0]++;
}

static void in_parent(void)
{
    forks[1]++;
}

static void in_child(void)
{
    forks[2]++;
}

static void *fork_here(void *arg)
{
    int status;
    pid_t child = abi_fork();

    if (child == 0) {
        CHECK_EQ(forks[2], 1);
        CHECK_EQ(gettid(), getpid()); /* the only thread there is the main one */
        _exit(42);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(WEXITSTATUS(status), 42);
    return arg;
}

ABI_TEST(fork, from_any_thread)
{
    pthread_t thread;

    CHECK_EQ(pthread_atfork(before_fork, in_parent, in_child), 0);
    start(&thread, fork_here, NULL);
    (void)join(thread);
    CHECK_EQ(forks[0], 1);
    CHECK_EQ(forks[1], 1);
    CHECK_EQ(forks[2], 0);
}

static void *end_the_process(void *arg)
{
    (void)arg;
    exit(5);
}

static void *outlive_main(void *arg)
{
    usleep(5000);
    exit((int)(intptr_t)arg);
}

ABI_TEST(fork, any_thread_may_end_the_process)
{
    pthread_t thread;
    int status = IN_CHILD(start(&thread, end_the_process, NULL); pause());

    CHECK_EQ(WEXITSTATUS(status), 5);
    status = IN_CHILD(start(&thread, outlive_main, (void *)6); pthread_exit(NULL));
    CHECK_EQ(WEXITSTATUS(status), 6);
}

#define PAGE   4096ul
#define HUGE   (2ul << 20)
#define ROUNDS 60
#define CROWD  300 /* mappings that fork copies before the blocks; even */
#define BLOCKS 2

static int64_t now_ns(void)
{
    struct timespec ts;

    CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

struct toucher {
    char *blocks; /* each may be one huge page */
    int ready;    /* [a] */
    int64_t at;   /* [a] when to begin; 0: not known yet */
};

static void *touch_blocks(void *arg)
{
    struct toucher *toucher = arg;
    int64_t at;

    __atomic_store_n(&toucher->ready, 1, __ATOMIC_SEQ_CST);
    while ((at = __atomic_load_n(&toucher->at, __ATOMIC_SEQ_CST)) == 0 || now_ns() < at) {
        sched_yield();
    }
    for (int i = 0; i < BLOCKS; i++) {
        toucher->blocks[i * HUGE] = 1;
    }
    return NULL;
}

static void write_blocks(char *blocks)
{
    (void)alarm(10);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i * HUGE + PAGE] = 2;
        CHECK(blocks[i * HUGE] == 0 || blocks[i * HUGE] == 1);
    }
}

/* The first huge pages of a process come while it forks; the child writes to them. */
static void fork_beside_toucher(int round)
{
    char *crowd = mmap(NULL, CROWD * PAGE + (BLOCKS + 1) * HUGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct toucher toucher = {.blocks = crowd + CROWD * PAGE};
    pthread_attr_t attr; /* its stack is too small for a huge page */
    pthread_t thread;

    CHECK(crowd != MAP_FAILED);
    toucher.blocks += -(uintptr_t)toucher.blocks % HUGE;
    for (int i = 1; i < CROWD; i += 2) {
        CHECK_EQ(mprotect(crowd + i * PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
    }
    for (int i = 0; i < CROWD; i++) {
        crowd[i * PAGE] = 1;
    }
    int64_t start_ns = now_ns();
    CHECK_EQ(IN_CHILD((void)0), 0);
    int64_t fork_ns = now_ns() - start_ns;
    CHECK_EQ(pthread_attr_init(&attr), 0);
    CHECK_EQ(pthread_attr_setstacksize(&attr, 256 << 10), 0);
    CHECK_EQ(pthread_create(&thread, &attr, touch_blocks, &toucher), 0);
    while (__atomic_load_n(&toucher.ready, __ATOMIC_SEQ_CST) == 0) {
        sched_yield();
    }
    __atomic_store_n(&toucher.at, now_ns() + fork_ns * round / ROUNDS, __ATOMIC_SEQ_CST);
    CHECK_EQ(IN_CHILD(write_blocks(toucher.blocks)), 0);
    (void)join(thread);
    for (int i = 0; i < BLOCKS; i++) {
        CHECK_EQ(toucher.blocks[i * HUGE], 1);
        CHECK_EQ(toucher.blocks[i * HUGE + PAGE], 0);
    }
}

ABI_TEST(fork, beside_the_first_huge_page)
{
    for (int round = 0; round < ROUNDS; round++) {
        CHECK_EQ(IN_CHILD(fork_beside_toucher(round)), 0);
    }
}
