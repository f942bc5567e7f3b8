/* Signals and timers. */
#include "abi.h"

#include <setjmp.h>
#include <sys/time.h>

static volatile int count, last, last_code;
static volatile void *last_addr;

static void on_signal(int signo)
{
    count++;
    last = signo;
}

static void handle(int signo, void (*fn)(int), int flags)
{
    struct sigaction sa = {.sa_handler = fn, .sa_flags = flags};

    CHECK_EQ(sigaction(signo, &sa, NULL), 0);
}

ABI_TEST(signal, handlers_run_and_return)
{
    handle(SIGUSR1, on_signal, 0);
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(raise(SIGUSR1), 0);
    }
    CHECK_EQ(count, 1000);
    CHECK_EQ(last, SIGUSR1);
    struct sigaction old;
    CHECK_EQ(sigaction(SIGUSR1, NULL, &old), 0);
    CHECK(old.sa_handler == on_signal);
    CHECK_ERR(syscall(SYS_rt_sigaction, SIGKILL, &old, NULL, 8), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigaction, 65, NULL, &old, 8), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &old, 4), EINVAL);
}

ABI_TEST(signal, registers_and_fpu_survive)
{
    handle(SIGUSR1, on_signal, 0);
    double a = 1.5;
    uint64_t magic = 0x123456789abcdef0, out = 0;
    double b = 0;
    __asm__ volatile("movsd %[a], %%xmm5\n\tmovq %[magic], %%rbx\n\tmovl $39, %%eax\n\tsyscall\n\t"
                     "movl %%eax, %%edi\n\tmovl $10, %%esi\n\tmovl $62, %%eax\n\tsyscall\n\t"
                     "movsd %%xmm5, %[b]\n\tmovq %%rbx, %[out]"
                     : [b] "=m"(b), [out] "=m"(out)
                     : [a] "m"(a), [magic] "m"(magic)
                     : "rax", "rbx", "rcx", "rdi", "rsi", "r11", "xmm5", "memory");
    CHECK_EQ(count, 1);
    CHECK(b == 1.5);
    CHECK_EQ(out, magic);
}

ABI_TEST(signal, blocked_ones_wait)
{
    sigset_t set, pending;

    handle(SIGUSR1, on_signal, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(count, 0);
    CHECK_EQ(sigpending(&pending), 0);
    CHECK(sigismember(&pending, SIGUSR1));
    CHECK_EQ(sigprocmask(SIG_UNBLOCK, &set, NULL), 0);
    CHECK_EQ(count, 1); /* a standard signal does not queue */
}

ABI_TEST(signal, real_time_ones_queue_in_order)
{
    sigset_t set;
    siginfo_t info;

    sigfillset(&set);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}), 0);
    }
    CHECK_EQ(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 99}), 0);
    CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN);
    CHECK_EQ(info.si_value.sival_int, 99);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
        CHECK_EQ(info.si_value.sival_int, i);
        CHECK_EQ(info.si_code, SI_QUEUE);
        CHECK_EQ(info.si_pid, getpid());
    }
    struct timespec ts = {0, 1000000};
    CHECK_ERR(sigtimedwait(&set, &info, &ts), EAGAIN);
}

ABI_TEST(signal, nodefer_resethand_and_masks)
{
    sigset_t now;

    handle(SIGUSR1, on_signal, SA_RESETHAND);
    CHECK_EQ(raise(SIGUSR1), 0);
    struct sigaction old;
    CHECK_EQ(sigaction(SIGUSR1, NULL, &old), 0);
    CHECK(old.sa_handler == SIG_DFL);
    CHECK_EQ(sigprocmask(SIG_SETMASK, NULL, &now), 0);
    CHECK(!sigismember(&now, SIGUSR1));
    CHECK_EQ(WTERMSIG(IN_CHILD(raise(SIGUSR1))), SIGUSR1);
}

static volatile char *page;

static void fix_page(int signo, siginfo_t *info, void *context)
{
    (void)signo, (void)context;
    count++;
    last_addr = info->si_addr;
    last_code = info->si_code;
    (void)mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
}

ABI_TEST(signal, segv_tells_where_and_may_be_mended)
{
    struct sigaction sa = {.sa_sigaction = fix_page, .sa_flags = SA_SIGINFO};

    CHECK_EQ(sigaction(SIGSEGV, &sa, NULL), 0);
    page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page[123] = 7;
    CHECK_EQ(count, 1);
    CHECK(last_addr == page + 123);
    CHECK_EQ(last_code, SEGV_ACCERR);
    CHECK_EQ(page[123], 7);
}

static sigjmp_buf jump;

static void on_overflow(int signo)
{
    (void)signo;
    count++;
    siglongjmp(jump, 1);
}

static __attribute__((noinline)) int recurse(volatile int depth)
{
    volatile char frame[4096];

    frame[0] = (char)depth;
    return depth < 0 ? 0 : recurse(depth + 1) + frame[0];
}

ABI_TEST(signal, stack_overflow_is_caught_on_the_alternate_stack)
{
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};

    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    handle(SIGSEGV, on_overflow, SA_ONSTACK);
    if (sigsetjmp(jump, 1) == 0) {
        (void)recurse(0);
    }
    CHECK_EQ(count, 1);
    stack_t old;
    CHECK_EQ(sigaltstack(NULL, &old), 0);
    CHECK(old.ss_sp == stack.ss_sp);
    stack.ss_size = 100;
    CHECK_ERR(sigaltstack(&stack, NULL), ENOMEM);
}

ABI_TEST(signal, restart_flag_decides_about_eintr)
{
    int p[2];
    char c;

    CHECK_EQ(pipe(p), 0);
    handle(SIGALRM, on_signal, 0);
    (void)abi_wake_by(SIGALRM);
    CHECK_ERR(read(p[0], &c, 1), EINTR);
    handle(SIGALRM, on_signal, SA_RESTART);
    pid_t reader = getpid(), writer = abi_fork();
    if (writer == 0) {
        abi_wait_state(reader, reader, 'S');
        CHECK_EQ(kill(reader, SIGALRM), 0);
        abi_wait_state(reader, reader, 'S'); /* it reads again */
        CHECK_EQ(write(p[1], "x", 1), 1);
        _exit(0);
    }
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(count, 2);
    CHECK_EQ(waitpid(writer, NULL, 0), writer);
}

ABI_TEST(signal, suspend_swaps_the_mask)
{
    sigset_t set, empty, now;

    handle(SIGALRM, on_signal, 0);
    sigemptyset(&empty);
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    struct itimerval soon = {.it_value = {0, 10000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
    CHECK_ERR(sigsuspend(&empty), EINTR);
    CHECK_EQ(count, 1);
    CHECK_EQ(sigprocmask(SIG_SETMASK, NULL, &now), 0);
    CHECK(sigismember(&now, SIGALRM));
}

ABI_TEST(signal, child_changes_are_told)
{
    sigset_t set;
    siginfo_t info;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        _exit(9);
    }
    CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_code, CLD_EXITED);
    CHECK_EQ(info.si_status, 9);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    handle(SIGCHLD, SIG_IGN, 0);
    if (abi_fork() == 0) {
        _exit(0);
    }
    CHECK_ERR(wait(NULL), ECHILD);
}

ABI_TEST(signal, sigreturn_takes_no_nonsense)
{
    CHECK_EQ(WTERMSIG(IN_CHILD({
                 __asm__ volatile("xorl %%esp, %%esp\n\tmovl $15, %%eax\n\tsyscall" ::: "memory");
             })),
             SIGSEGV);
    CHECK_EQ(WTERMSIG(IN_CHILD({
                 static char junk[4096];
                 memset(junk, 0xff, sizeof(junk));
                 __asm__ volatile("movq %0, %%rsp\n\tmovl $15, %%eax\n\tsyscall" ::"r"(junk + 1024)
                                  : "memory");
             })),
             SIGSEGV);
}

ABI_TEST(timer, interval_and_alarm)
{
    struct itimerval value = {.it_value = {0, 5000}, .it_interval = {0, 5000}}, now;

    handle(SIGALRM, on_signal, 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &value, NULL), 0);
    while (count < 3) {
        (void)pause();
    }
    CHECK_EQ(getitimer(ITIMER_REAL, &now), 0);
    CHECK_EQ(now.it_interval.tv_usec, 5000);
    memset(&value, 0, sizeof(value));
    CHECK_EQ(setitimer(ITIMER_REAL, &value, NULL), 0);
    CHECK_EQ(alarm(100), 0);
    CHECK_EQ(alarm(0), 100);
    value.it_value.tv_usec = 1000000;
    CHECK_ERR(setitimer(ITIMER_REAL, &value, NULL), EINVAL);
    CHECK_ERR(getitimer(7, &now), EINVAL);
}

ABI_TEST(time, clocks_move_forward)
{
    struct timespec a, b;

    for (int id = 0; id < 8; id++) {
        CHECK_EQ(syscall(SYS_clock_gettime, id, &a), 0);
        CHECK_EQ(clock_gettime(id, &b), 0);
        CHECK(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec) || id == 2 ||
              id == 5);
        CHECK(a.tv_nsec >= 0 && a.tv_nsec < 1000000000);
    }
    CHECK_ERR(syscall(SYS_clock_gettime, 99, &a), EINVAL);
    CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &a), 0);
    for (int i = 0; i < 10000; i++) {
        CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &b), 0);
        CHECK(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
        a = b;
    }
}

ABI_TEST(time, sleeping_takes_at_least_as_long)
{
    struct timespec a, b, ts = {0, 30000000};

    CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &a), 0);
    CHECK_EQ(nanosleep(&ts, NULL), 0);
    CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &b), 0);
    CHECK((b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec >= 30000000);
    ts.tv_nsec = 1000000000;
    CHECK_ERR(nanosleep(&ts, NULL), EINVAL);
    b.tv_sec = 0;
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &b, NULL), 0);
    handle(SIGALRM, on_signal, 0);
    struct itimerval soon = {.it_value = {0, 10000}, .it_interval = {0, 10000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
    ts = (struct timespec){1000, 0};
    CHECK_ERR(nanosleep(&ts, &ts), EINTR);
    CHECK(ts.tv_sec < 1000 && ts.tv_sec > 900);
}
