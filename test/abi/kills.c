/*
 * Who gets a signal (kill(2)), what stands on the alternate stack (sigaltstack(2)), what unshare(2) takes apart, and modes of epoll(7) together.
 */
#include "abi.h"

#include <linux/sched.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static pid_t sleeper(uid_t uid)
{
    pid_t parent = getpid(), pid = abi_fork();

    if (pid == 0) {
        CHECK_EQ(setresuid(uid, uid, uid), 0);
        abi_end_with(parent);
        CHECK_EQ(setpgid(0, 0), 0);
        for (;;) {
            pause();
        }
    }
    abi_wait_state(pid, pid, 'S');
    while (getpgid(pid) != pid) {
        abi_sleep_ms(1);
    }
    return pid;
}

ABI_TEST(kill, a_zombie_takes_any_signal_and_its_number_lives)
{
    pid_t pid = abi_fork();

    if (pid == 0) {
        _exit(3);
    }
    abi_wait_state(pid, pid, 'Z');
    CHECK_EQ(kill(pid, 0), 0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(syscall(SYS_tgkill, pid, pid, SIGTERM), 0);
    CHECK_EQ(getpgid(pid), getpgrp());
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    CHECK(fd >= 0);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0), 0);
    CHECK_ERR(kill(pid, 65), EINVAL);
    CHECK_ERR(kill(pid, -1), EINVAL);
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WEXITSTATUS(status), 3);
    CHECK_ERR(kill(pid, 0), ESRCH);
    CHECK_ERR(kill(999999, 65), ESRCH); /* nobody is there to have it */
    CHECK_ERR(syscall(SYS_tgkill, pid, pid, 65), ESRCH);
    CHECK_ERR(syscall(SYS_rt_sigqueueinfo, 999999, 65, &(siginfo_t){.si_code = SI_QUEUE}), ESRCH);
    CHECK_ERR(kill(getpid(), 65), EINVAL);
    CHECK_ERR(kill(-getpgrp(), -1), EINVAL);
}

static void *tell_and_read(void *arg)
{
    int *pipes = arg, tid = (int)syscall(SYS_gettid);

    CHECK_EQ(write(pipes[3], &tid, sizeof(tid)), sizeof(tid));
    (void)read(pipes[0], &tid, sizeof(tid));
    return NULL;
}

ABI_TEST(kill, the_last_thread_hears_of_signals_when_the_main_one_has_ended)
{
    int pipes[4], status, tid;

    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(pipe(pipes + 2), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, tell_and_read, pipes), 0);
        (void)syscall(SYS_exit, 0); /* this thread alone */
    }
    CHECK_EQ(read(pipes[2], &tid, sizeof(tid)), sizeof(tid));
    abi_wait_state(pid, pid, 'Z'); /* as long as the other one lives */
    abi_wait_state(pid, tid, 'S');
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    CHECK_EQ(kill(pid, SIGTERM), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

ABI_TEST(kill, a_group_of_strangers_refuses_and_one_with_a_friend_does_not)
{
    pid_t stranger = sleeper(2001), friend = sleeper(2002), status;

    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setresuid(2002, 2002, 2002), 0);
                 CHECK_ERR(kill(stranger, 0), EPERM);
                 CHECK_ERR(kill(-stranger, SIGTERM), EPERM);
                 CHECK_EQ(kill(-friend, 0), 0);
                 CHECK_ERR(kill(-999999, 0), ESRCH);
                 /* All but itself and the first: the friend alone. */
                 CHECK_EQ(kill(-1, SIGTERM), 0);
             }),
             0);
    CHECK_EQ(waitpid(friend, &status, 0), friend);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setresuid(2003, 2003, 2003), 0);
                 CHECK_EQ(kill(-1, 0), 0); /* though it may signal none of them */
                 CHECK_ERR(kill(-1, 65), EINVAL);
                 /* Whose saved number fits may send, and SIGCONT goes through a session. */
                 CHECK_EQ(kill(stranger, SIGCONT), 0);
                 CHECK_ERR(kill(stranger, SIGSTOP), EPERM);
             }),
             0);
    CHECK_EQ(kill(stranger, SIGKILL), 0);
    CHECK_EQ(waitpid(stranger, NULL, 0), stranger);
}

static void *tell_and_exec(void *arg)
{
    const struct timespec ts = {0, 500000};

    CHECK_EQ(write(*(int *)arg, "x", 1), 1);
    (void)nanosleep(&ts, NULL);
    (void)execl("/bin/sh", "sh", "-c", "exec sleep 100", (char *)NULL);
    return NULL;
}

/* A child of which one thread will be in execve(2) in a moment, while the main one waits. */
static pid_t child_in_exec(void)
{
    int p[2];
    char byte;

    CHECK_EQ(pipe(p), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, tell_and_exec, &p[1]), 0);
        for (;;) {
            pause();
        }
    }
    CHECK_EQ(read(p[0], &byte, 1), 1);
    close(p[0]);
    close(p[1]);
    return pid;
}

ABI_TEST(kill, sigkill_is_for_what_becomes_of_the_process_in_execve_too)
{
    for (int i = 0; i < 30; i++) {
        pid_t pid = child_in_exec();
        const struct timespec ts = {0, random() % 1000000};
        int status;
        (void)nanosleep(&ts, NULL);
        CHECK_EQ(kill(pid, SIGKILL), 0);
        for (int ms = 0; waitpid(pid, &status, WNOHANG) == 0; ms++) {
            CHECK(ms < 10000);
            abi_sleep_ms(1);
        }
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
}

/* ---- alternate stacks ---- */

static char stack[65536] __attribute__((aligned(64))), second[65536];
static volatile int stage;

static void on_the_stack(int signo)
{
    stack_t now, other = {.ss_sp = second, .ss_size = sizeof(second)};
    char here;

    CHECK_EQ(sigaltstack(NULL, &now), 0);
    if (signo == SIGUSR1) {
        CHECK(&here >= stack && &here < stack + sizeof(stack));
        CHECK_EQ(now.ss_flags, SS_ONSTACK);
        CHECK_ERR(sigaltstack(&other, NULL), EPERM); /* it is in use */
    } else {
        CHECK_EQ(now.ss_flags, SS_DISABLE); /* SS_AUTODISARM: it is free for others meanwhile */
        CHECK_EQ(sigaltstack(&other, NULL), 0);
    }
    stage++;
}

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

ABI_TEST(altstack, is_kept_while_in_use_or_disarmed)
{
    stack_t new = {.ss_sp = stack, .ss_size = sizeof(stack)}, old;
    struct sigaction sa = {.sa_handler = on_the_stack, .sa_flags = SA_ONSTACK};

    CHECK_EQ(sigaltstack(NULL, &old), 0);
    CHECK_EQ(old.ss_flags, SS_DISABLE);
    CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
    CHECK_EQ(sigaction(SIGUSR2, &sa, NULL), 0);
    new.ss_size = 1;
    CHECK_ERR(syscall(SYS_sigaltstack, &new, NULL), ENOMEM);
    new.ss_size = sizeof(stack);
    new.ss_flags = 4;
    CHECK_ERR(syscall(SYS_sigaltstack, &new, NULL), EINVAL);
    CHECK_ERR(syscall(SYS_sigaltstack, 8, NULL), EFAULT);
    new.ss_flags = 0;
    CHECK_EQ(sigaltstack(&new, NULL), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(stage, 1);
    new.ss_flags = (int)SS_AUTODISARM;
    CHECK_EQ(syscall(SYS_sigaltstack, &new, NULL), 0);
    CHECK_EQ(sigaltstack(NULL, &old), 0);
    CHECK_EQ(old.ss_flags, (int)SS_AUTODISARM);
    CHECK_EQ(raise(SIGUSR2), 0);
    CHECK_EQ(stage, 2);
    CHECK_EQ(sigaltstack(NULL, &old), 0);
    CHECK_EQ(old.ss_flags, (int)SS_AUTODISARM); /* it comes back with the old context */
    CHECK(old.ss_sp == stack);
    new.ss_flags = SS_DISABLE;
    CHECK_EQ(sigaltstack(&new, &old), 0);
    CHECK_EQ(sigaltstack(NULL, &old), 0);
    CHECK(old.ss_flags == SS_DISABLE && old.ss_sp == NULL && old.ss_size == 0);
}

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

/* What the children tell: how often the handler ran, and below their alternate stack a word that is theirs. */
static struct seen {
    volatile int handled;
    volatile uint64_t below[1024];
    char stack[32768];
} * seen;

static void raise_again(int signo)
{
    if (++seen->handled < 50) {
        syscall(SYS_kill, getpid(), signo == SIGUSR1 ? SIGUSR2 : SIGUSR1);
    }
}

/* A child on an alternate stack for one frame and a little has handlers that nest; `faults` is what it does with SIGSEGV. */
static int nest(const struct sigaction *faults, int nested_flags)
{
    size_t one = getauxval(AT_MINSIGSTKSZ);

    seen->handled = 0;
    memset((void *)seen->below, 0, sizeof(seen->below));
    return IN_CHILD({
        stack_t small = {.ss_sp = seen->stack, .ss_size = one + 1024};
        struct sigaction sa = {.sa_handler = raise_again, .sa_flags = SA_ONSTACK};
        CHECK_EQ(sigaltstack(&small, NULL), 0);
        CHECK_EQ(sigaction(SIGUSR1, &sa, NULL), 0);
        sa.sa_flags = nested_flags;
        CHECK_EQ(sigaction(SIGUSR2, &sa, NULL), 0);
        CHECK_EQ(sigaction(SIGSEGV, faults, NULL), 0);
        syscall(SYS_kill, getpid(), SIGUSR1);
    });
}

ABI_TEST(altstack, handlers_that_would_overflow_it_are_a_fault)
{
    struct sigaction none = {.sa_handler = SIG_DFL};
    struct sigaction on_it = {.sa_handler = raise_again, .sa_flags = SA_ONSTACK};
    struct sigaction beside = {.sa_handler = raise_again};

    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED);
    CHECK(getauxval(AT_MINSIGSTKSZ) + 1024 <= sizeof(seen->stack));
    for (unsigned i = 0; i < 4; i++) {
        int status = nest(i == 0 ? &none : i == 1 ? &on_it : &beside, i == 3 ? 0 : SA_ONSTACK);
        CHECK(WIFSIGNALED(status));
        CHECK_EQ(WTERMSIG(status), SIGSEGV);
        CHECK(seen->handled > 0 && seen->handled < 50);
        for (unsigned k = 0; k < 1024; k++) {
            CHECK_EQ(seen->below[k], 0);
        }
    }
}

static sigjmp_buf caught;

static void catch (int signo, siginfo_t *info, void *context)
{
    (void)context;
    seen->handled++;
    CHECK_EQ(info->si_signo, signo);
    CHECK_EQ(info->si_code, SI_KERNEL);
    siglongjmp(caught, 1);
}

static void never(int signo)
{
    (void)signo;
    seen->handled += 100;
}

/* Raises `signo` with the stack pointer where no stack is, or returns from a handler that never was. */
static void call_without_stack(int signo)
{
    long nr = signo == 0 ? SYS_rt_sigreturn : SYS_kill, pid = getpid();

    __asm__ volatile("xchgq %%rsp, %3; syscall; xchgq %%rsp, %3"
                     : "+a"(nr)
                     : "D"(pid), "S"((long)signo), "r"(4096l)
                     : "rcx", "r11", "memory");
}

ABI_TEST(altstack, catches_what_cannot_be_delivered_elsewhere)
{
    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(seen != MAP_FAILED);
    for (unsigned i = 0; i < 4; i++) {
        /* a handler without a stack; no handler to return from; the same, blocked; SIGSEGV's own handler has none */
        seen->handled = 0;
        int status = IN_CHILD({
            stack_t there = {.ss_sp = stack, .ss_size = sizeof(stack)};
            struct sigaction fault = {.sa_sigaction = catch, .sa_flags = SA_ONSTACK | SA_SIGINFO};
            CHECK_EQ(sigaltstack(&there, NULL), 0);
            fault.sa_flags = i == 3 ? SA_SIGINFO : fault.sa_flags;
            CHECK_EQ(sigaction(SIGSEGV, &fault, NULL), 0);
            CHECK(signal(SIGUSR1, never) != SIG_ERR);
            sigset_t faults;
            sigemptyset(&faults);
            sigaddset(&faults, SIGSEGV);
            CHECK_EQ(sigprocmask(i == 2 ? SIG_BLOCK : SIG_UNBLOCK, &faults, NULL), 0);
            if (sigsetjmp(caught, 1) == 0) {
                call_without_stack(i == 1 || i == 2 ? 0 : SIGUSR1);
            }
        });
        CHECK_EQ(seen->handled, i < 2);
        CHECK(i < 2 ? status == 0 : WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
}

/* ---- unshare ---- */

static void *try_alone(void *arg)
{
    (void)arg;
    CHECK_ERR(syscall(SYS_unshare, CLONE_THREAD), EINVAL); /* there are two of us */
    CHECK_ERR(syscall(SYS_unshare, CLONE_VM), EINVAL);
    CHECK_ERR(syscall(SYS_unshare, CLONE_SIGHAND), EINVAL);
    CHECK_EQ(syscall(SYS_unshare, CLONE_FILES | CLONE_FS | CLONE_SYSVSEM), 0);
    return NULL;
}

static int unshare_actions(void *errors)
{
    for (unsigned i = 0; i < 2; i++) {
        errno = 0;
        (void)syscall(SYS_unshare, i == 0 ? CLONE_SIGHAND : CLONE_SIGHAND | CLONE_FS);
        ((int *)errors)[i] = errno;
    }
    return 0;
}

ABI_TEST(unshare, actions_that_another_process_shares_cannot_be_had_alone)
{
    static char stack[16384] __attribute__((aligned(16)));
    int errors[2] = {0, 0}, status;

    pid_t pid = clone(unshare_actions, stack + sizeof(stack),
                      CLONE_VM | CLONE_VFORK | CLONE_SIGHAND | SIGCHLD, errors);
    CHECK(pid > 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(errors[0], EINVAL);
    CHECK_EQ(errors[1], EINVAL);
    CHECK_EQ(syscall(SYS_unshare, CLONE_SIGHAND), 0); /* it has ended */
}

ABI_TEST(unshare, what_cannot_be_parted_is_refused)
{
    pthread_t thread;

    CHECK_EQ(syscall(SYS_unshare, 0), 0);
    CHECK_EQ(syscall(SYS_unshare, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND), 0); /* nobody shares */
    CHECK_ERR(syscall(SYS_unshare, CLONE_PTRACE), EINVAL);
    CHECK_ERR(syscall(SYS_unshare, CLONE_PARENT), EINVAL);
    CHECK_ERR(syscall(SYS_unshare, CLONE_SETTLS), EINVAL);
    CHECK_EQ(pthread_create(&thread, NULL, try_alone, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* ---- epoll ---- */

static uint32_t told(int set)
{
    struct epoll_event event = {0};

    return epoll_wait(set, &event, 1, 0) == 1 ? event.events : 0;
}

static int change(int set, int op, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};

    return epoll_ctl(set, op, fd, &event);
}

ABI_TEST(epoll_modes, go_together)
{
    int set = epoll_create1(0), other = epoll_create1(0), fd = eventfd(0, EFD_NONBLOCK);
    uint64_t value = 1;

    /* Edge and one shot: one event, then none until it is set anew, which looks again. */
    CHECK_EQ(change(set, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET | EPOLLONESHOT), 0);
    CHECK_EQ(told(set), 0);
    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK_EQ(told(set), EPOLLIN);
    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK_EQ(told(set), 0);
    CHECK_EQ(change(set, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLET | EPOLLONESHOT), 0);
    CHECK_EQ(told(set), EPOLLIN);
    CHECK_EQ(change(set, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT | EPOLLET), 0);
    CHECK_EQ(told(set), EPOLLIN | EPOLLOUT);
    CHECK_EQ(told(set), 0);
    CHECK_EQ(read(fd, &value, 8), 8);
    CHECK_EQ(told(set), EPOLLOUT); /* a read is an edge of its own */
    CHECK_EQ(change(set, EPOLL_CTL_MOD, fd, 0), 0);
    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK_EQ(told(set), 0);
    CHECK_EQ(change(set, EPOLL_CTL_DEL, fd, 0), 0);
    CHECK_ERR(change(set, EPOLL_CTL_DEL, fd, 0), ENOENT);
    CHECK_ERR(change(set, EPOLL_CTL_MOD, fd, EPOLLIN), ENOENT);
    /* Exclusive ones are added, with edge and wake-up at most, and never changed. */
    CHECK_EQ(change(set, EPOLL_CTL_ADD, fd, EPOLLEXCLUSIVE | EPOLLIN | EPOLLET | EPOLLWAKEUP), 0);
    CHECK_ERR(change(set, EPOLL_CTL_MOD, fd, EPOLLIN), EINVAL);
    CHECK_ERR(change(set, EPOLL_CTL_MOD, fd, EPOLLEXCLUSIVE | EPOLLIN), EINVAL);
    CHECK_ERR(change(set, EPOLL_CTL_ADD, fd, EPOLLIN), EEXIST);
    CHECK_ERR(change(other, EPOLL_CTL_ADD, fd, EPOLLEXCLUSIVE | EPOLLIN | EPOLLONESHOT), EINVAL);
    CHECK_ERR(change(other, EPOLL_CTL_ADD, set, EPOLLEXCLUSIVE | EPOLLIN), EINVAL);
    CHECK_EQ(told(set), EPOLLIN);
    CHECK_EQ(change(set, EPOLL_CTL_DEL, fd, 0), 0);
    CHECK_ERR(change(set, EPOLL_CTL_ADD, set, EPOLLIN), EINVAL);
    CHECK_ERR(change(fd, EPOLL_CTL_ADD, set, EPOLLIN), EINVAL);
    CHECK_ERR(change(set, 9, fd, EPOLLIN), EINVAL);
    CHECK_ERR(change(set, EPOLL_CTL_ADD, 99, EPOLLIN), EBADF);
    CHECK_ERR(change(99, EPOLL_CTL_ADD, fd, EPOLLIN), EBADF);
    CHECK_ERR(epoll_ctl(set, EPOLL_CTL_ADD, fd, NULL), EFAULT);
    /* An outer set with an edge hears of each new event within. */
    CHECK_EQ(change(other, EPOLL_CTL_ADD, set, EPOLLIN | EPOLLET), 0);
    CHECK_EQ(change(set, EPOLL_CTL_ADD, fd, EPOLLIN), 0);
    CHECK_EQ(told(other), EPOLLIN);
    CHECK_EQ(told(other), 0);
    CHECK_EQ(write(fd, &value, 8), 8);
    CHECK_EQ(told(other), EPOLLIN);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(told(set), 0);
}
