/* Signals where there are threads (signal(7), pthreads(7)): whose they are, who takes them, and stops of all at once. */
#include "abi.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/time.h>

static volatile pid_t handled_by;
static volatile int handled;
static sem_t ready;

static pid_t gettid_(void)
{
    return (pid_t)syscall(SYS_gettid);
}

static void note(int signo)
{
    handled_by = gettid_();
    handled += signo;
}

static void catch (int signo)
{
    struct sigaction sa = {.sa_handler = note};

    CHECK_EQ(sigaction(signo, &sa, NULL), 0);
}

static void mask(int how, int signo)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, signo);
    CHECK_EQ(pthread_sigmask(how, &set, NULL), 0);
}

static bool wait_for_handled(int value)
{
    for (int i = 0; i < 2000 && handled != value; i++) {
        abi_sleep_ms(1);
    }
    return handled == value;
}

struct worker {
    pthread_t thread;
    pid_t tid;
    int unblock; /* a signal */
};

static void *work(void *arg)
{
    struct worker *worker = arg;

    worker->tid = gettid_();
    if (worker->unblock != 0) {
        mask(SIG_UNBLOCK, worker->unblock);
    }
    sem_post(&ready);
    for (;;) {
        pause();
    }
}

static void start(struct worker *worker, int unblock)
{
    worker->unblock = unblock;
    CHECK_EQ(pthread_create(&worker->thread, NULL, work, worker), 0);
    while (sem_wait(&ready) != 0) {
    }
}

ABI_TEST(thread_signal, of_a_thread_is_handled_by_it)
{
    struct worker worker;

    catch (SIGUSR1);
    start(&worker, 0);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), worker.tid, SIGUSR1), 0);
    CHECK(wait_for_handled(SIGUSR1));
    CHECK_EQ(handled_by, worker.tid);
    CHECK_EQ(pthread_kill(worker.thread, SIGUSR1), 0);
    CHECK(wait_for_handled(2 * SIGUSR1));
    CHECK_EQ(handled_by, worker.tid);
    CHECK_ERR(syscall(SYS_tgkill, getppid(), worker.tid, SIGUSR1), ESRCH);
    CHECK_ERR(syscall(SYS_tgkill, getpid(), getppid(), SIGUSR1), ESRCH);
}

ABI_TEST(thread_signal, of_the_process_goes_to_who_does_not_block_it)
{
    struct worker blocked, open;

    catch (SIGUSR1);
    mask(SIG_BLOCK, SIGUSR1);
    start(&blocked, 0);
    start(&open, SIGUSR1);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK(wait_for_handled(SIGUSR1));
    CHECK_EQ(handled_by, open.tid);
    /* The number of any thread names its process (kill(2), "C library/kernel differences"). */
    CHECK_EQ(kill(blocked.tid, SIGUSR1), 0);
    CHECK(wait_for_handled(2 * SIGUSR1));
    CHECK_EQ(handled_by, open.tid);
}

ABI_TEST(thread_signal, pending_for_all_is_seen_by_each_and_private_is_not)
{
    struct worker worker;
    sigset_t set;

    catch (SIGUSR1);
    catch (SIGUSR2);
    mask(SIG_BLOCK, SIGUSR1);
    mask(SIG_BLOCK, SIGUSR2);
    start(&worker, 0);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), worker.tid, SIGUSR2), 0);
    CHECK_EQ(sigpending(&set), 0);
    CHECK(sigismember(&set, SIGUSR1));
    CHECK(!sigismember(&set, SIGUSR2));
    mask(SIG_UNBLOCK, SIGUSR2);
    CHECK_EQ(handled, 0);
    mask(SIG_UNBLOCK, SIGUSR1);
    CHECK_EQ(handled, SIGUSR1);
    CHECK_EQ(handled_by, getpid());
}

static void *wait_for_usr1(void *arg)
{
    sigset_t set;
    int signo = 0;

    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sem_post(&ready);
    CHECK_EQ(sigwait(&set, &signo), 0);
    return (void *)(intptr_t)signo;
}

ABI_TEST(thread_signal, sigwait_in_one_thread_serves_the_process)
{
    pthread_t thread;
    void *result;

    mask(SIG_BLOCK, SIGUSR1);
    CHECK_EQ(pthread_create(&thread, NULL, wait_for_usr1, NULL), 0);
    sem_wait(&ready);
    abi_sleep_ms(5);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK_EQ((intptr_t)result, SIGUSR1);
}

static void *alt_stack(void *arg)
{
    stack_t stack;

    (void)arg;
    CHECK_EQ(sigaltstack(NULL, &stack), 0);
    return (void *)(intptr_t)stack.ss_flags;
}

ABI_TEST(thread_signal, each_has_its_own_alternate_stack)
{
    static char area[65536];
    stack_t stack = {.ss_sp = area, .ss_size = sizeof(area)};
    pthread_t thread;
    void *result;

    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, alt_stack, NULL), 0);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK_EQ((intptr_t)result, SS_DISABLE);
    CHECK_EQ(sigaltstack(NULL, &stack), 0);
    CHECK_EQ(stack.ss_flags, 0);
}

static void *fault(void *arg)
{
    (void)arg;
    *(volatile int *)16 = 1;
    return NULL;
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
    (void)context;
    CHECK_EQ(signo, SIGSEGV);
    CHECK_EQ((intptr_t)info->si_addr, 16);
    handled_by = gettid_();
    sem_post(&ready);
    for (;;) {
        pause();
    }
}

ABI_TEST(thread_signal, a_fault_is_the_faulting_threads)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    pthread_t thread;

    CHECK_EQ(sigaction(SIGSEGV, &sa, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, fault, NULL), 0);
    sem_wait(&ready);
    CHECK(handled_by != getpid());
}

ABI_TEST(thread_signal, the_timer_of_the_process_rings_once)
{
    struct itimerval timer = {{0, 0}, {0, 20000}};
    struct worker workers[3];

    catch (SIGALRM);
    for (int i = 0; i < 3; i++) {
        start(&workers[i], 0);
    }
    CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
    CHECK(wait_for_handled(SIGALRM));
    abi_sleep_ms(30);
    CHECK_EQ(handled, SIGALRM);
}

/* ---- stop and continue ---- */

static volatile unsigned *spun; /* shared with the parent */

static void *spin(void *arg)
{
    unsigned index = (unsigned)(intptr_t)arg;

    for (;;) {
        spun[index]++;
    }
}

ABI_TEST(thread_signal, stop_and_continue_are_for_all)
{
    int status;

    spun = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        pthread_t threads[2];
        for (intptr_t i = 0; i < 2; i++) {
            CHECK_EQ(pthread_create(&threads[i], NULL, spin, (void *)i), 0);
        }
        struct worker worker;
        start(&worker, 0);
        spun[8] = (unsigned)worker.tid;
        spin((void *)2);
    }
    while (spun[0] == 0 || spun[1] == 0 || spun[2] == 0) {
        abi_sleep_ms(5);
    }
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(kill(pid, SIGSTOP), 0);
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
        unsigned before[3] = {spun[0], spun[1], spun[2]};
        CHECK_EQ(abi_state(pid, pid), 'T');
        CHECK_EQ(abi_state(pid, (pid_t)spun[8]), 'T');
        abi_sleep_ms(20);
        CHECK(before[0] == spun[0] && before[1] == spun[1] && before[2] == spun[2]);
        CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
        CHECK_EQ(kill(pid, SIGCONT), 0);
        CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
        CHECK(WIFCONTINUED(status));
        for (int i = 0;
             i < 500 && (before[0] == spun[0] || before[1] == spun[1] || before[2] == spun[2]);
             i++) {
            abi_sleep_ms(5);
        }
        CHECK(before[0] != spun[0] && before[1] != spun[1] && before[2] != spun[2]);
    }
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Some have not quite left the last stop when the next one comes. */
ABI_TEST(thread_signal, a_stop_right_after_another_is_for_all)
{
    unsigned before[4];
    int status;

    spun = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        pthread_t threads[3];
        for (intptr_t i = 0; i < 3; i++) {
            CHECK_EQ(pthread_create(&threads[i], NULL, spin, (void *)i), 0);
        }
        spin((void *)3);
    }
    for (int round = 0; round < 100; round++) {
        CHECK_EQ(kill(pid, SIGSTOP), 0);
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK(WIFSTOPPED(status));
        memcpy(before, (const void *)spun, sizeof(before));
        abi_sleep_ms(1);
        CHECK_EQ(memcmp(before, (const void *)spun, sizeof(before)), 0);
        CHECK_EQ(kill(pid, SIGCONT), 0);
    }
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static void *stop_all(void *arg)
{
    abi_wait_state(getpid(), getpid(), 'S');
    raise(SIGTSTP);
    *(volatile bool *)arg = true;
    return NULL;
}

ABI_TEST(thread_signal, sleepers_go_on_sleeping_after_a_stop)
{
    int status;
    pid_t pid = abi_fork();

    if (pid == 0) {
        pthread_t thread;
        struct timespec t0, t1, ts = {0, 80000000};
        volatile bool stopped = false;
        CHECK_EQ(setpgid(0, 0), 0);
        CHECK_EQ(pthread_create(&thread, NULL, stop_all, (void *)&stopped), 0);
        while (!stopped) {
            clock_gettime(CLOCK_MONOTONIC, &t0);
            CHECK_EQ(nanosleep(&ts, NULL), 0);
            clock_gettime(CLOCK_MONOTONIC, &t1);
            CHECK((t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000 >= 80);
        }
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
    abi_sleep_ms(20);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}
