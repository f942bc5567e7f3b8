/*
 * Signals sent and taken (rt_sigqueueinfo(2), rt_sigtimedwait(2), sigpending(2)), and what wait calls tell of stops where there are threads.
 */
#include "abi.h"

#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static sigset_t block(int a, int b)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, a);
    sigaddset(&set, b);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    return set;
}

static long queue(pid_t pid, int signo, int code)
{
    siginfo_t info = {.si_code = code};

    return syscall(SYS_rt_sigqueueinfo, pid, signo, &info);
}

static long queue_to(pid_t pid, pid_t tid, int signo, int code)
{
    siginfo_t info = {.si_code = code};

    return syscall(SYS_rt_tgsigqueueinfo, pid, tid, signo, &info);
}

static void *forge(void *arg)
{
    pid_t tid = (pid_t)syscall(SYS_gettid);

    (void)arg;
    /* The process is not the thread that asks: what the kernel sends may not be forged. */
    CHECK_ERR(queue(getpid(), SIGUSR1, SI_USER), EPERM);
    CHECK_ERR(queue(getpid(), SIGUSR1, SI_TKILL), EPERM);
    CHECK_ERR(queue(getpid(), SIGUSR1, SI_KERNEL), EPERM);
    CHECK_EQ(queue(getpid(), SIGUSR1, SI_QUEUE), 0);
    CHECK_EQ(queue_to(getpid(), tid, SIGUSR2, SI_TKILL), 0);
    CHECK_EQ(queue_to(getpid(), tid, SIGUSR2, 77), 0);
    CHECK_ERR(queue_to(getpid(), getpid(), SIGUSR2, SI_TKILL), EPERM);
    return NULL;
}

ABI_TEST(queued, the_kernels_codes_are_a_senders_own_to_itself_alone)
{
    pthread_t thread;

    (void)block(SIGUSR1, SIGUSR2);
    CHECK_EQ(queue(getpid(), SIGUSR1, SI_USER), 0);
    CHECK_EQ(queue(getpid(), SIGUSR1, SI_TKILL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, forge, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_ERR(queue(getppid(), 0, SI_USER), EPERM);
    CHECK_EQ(queue(getppid(), 0, SI_QUEUE), 0);
    CHECK_ERR(queue(999999, SIGUSR1, SI_QUEUE), ESRCH);
    CHECK_ERR(queue(getpid(), 65, SI_QUEUE), EINVAL);
    CHECK_ERR(queue(getpid(), -1, SI_QUEUE), EINVAL);
    CHECK_ERR(queue_to(0, 1, SIGUSR1, SI_QUEUE), EINVAL);
    CHECK_ERR(queue_to(1, 0, SIGUSR1, SI_QUEUE), EINVAL);
    CHECK_ERR(queue_to(1, getpid(), SIGUSR1, SI_QUEUE), ESRCH); /* not a thread of that process */
    CHECK_ERR(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, 8), EFAULT);
    CHECK_ERR(syscall(SYS_tgkill, 0, 1, SIGUSR1), EINVAL);
    CHECK_ERR(syscall(SYS_tgkill, 1, getpid(), 0), ESRCH);
    CHECK_ERR(syscall(SYS_tkill, 0, SIGUSR1), EINVAL);
    CHECK_ERR(syscall(SYS_tkill, getpid(), 65), EINVAL);
    CHECK_ERR(kill(-999999, 0), ESRCH);
    CHECK_ERR(kill((pid_t)0x80000000, 0), ESRCH);
}

ABI_TEST(queued, pending_signals_are_told_in_any_size_up_to_a_sets)
{
    uint8_t bytes[16];

    (void)block(SIGUSR1, SIGRTMAX);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(kill(getpid(), SIGRTMAX), 0);
    for (unsigned size = 0; size <= 8; size++) {
        memset(bytes, 0xaa, sizeof(bytes));
        CHECK_EQ(syscall(SYS_rt_sigpending, bytes, size), 0);
        CHECK_EQ(bytes[size], 0xaa);
        CHECK(size < 2 || (bytes[1] & 2) != 0);
        CHECK(size < 8 || bytes[7] == 0x80);
    }
    CHECK_ERR(syscall(SYS_rt_sigpending, bytes, 9), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigpending, 8, 8), EFAULT);
}

ABI_TEST(queued, timed_waits_check_and_take)
{
    sigset_t set = block(SIGUSR1, SIGRTMIN);
    struct timespec none = {0, 0}, wrong = {0, 1000000000}, negative = {-1, 0};
    siginfo_t info;

    CHECK_ERR(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 8), EAGAIN);
    CHECK_ERR(syscall(SYS_rt_sigtimedwait, &set, &info, &wrong, 8), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigtimedwait, &set, &info, &negative, 8), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 4), EINVAL);
    CHECK_ERR(syscall(SYS_rt_sigtimedwait, 8, &info, &none, 8), EFAULT);
    CHECK_ERR(syscall(SYS_rt_sigtimedwait, &set, &info, 8, 8), EFAULT);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_ERR(syscall(SYS_rt_sigtimedwait, &set, 8, &none, 8), EFAULT);
    CHECK_ERR(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 8), EAGAIN); /* it was taken */
    CHECK_EQ(kill(getpid(), SIGRTMIN), 0);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(syscall(SYS_rt_sigtimedwait, &set, NULL, &none, 8), SIGUSR1);
    CHECK_EQ(syscall(SYS_rt_sigtimedwait, &set, &info, NULL, 8), SIGRTMIN);
    CHECK_EQ(info.si_signo, SIGRTMIN);
}

ABI_TEST(queued, so_many_as_the_limit_says)
{
    struct rlimit limit = {2, 2};
    union sigval value = {0};

    (void)block(SIGUSR1, SIGRTMIN);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setresuid(2077, 2077, 2077), 0);
                 CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
                 CHECK_EQ(sigqueue(getpid(), SIGRTMIN, value), 0);
                 CHECK_EQ(sigqueue(getpid(), SIGRTMIN, value), 0);
                 CHECK_ERR(sigqueue(getpid(), SIGRTMIN, value), EAGAIN);
                 CHECK_EQ(kill(getpid(), SIGRTMIN), 0); /* one without a value goes through */
                 CHECK_EQ(kill(getpid(), SIGUSR1), 0);
             }),
             0);
}

#define MANY 1500

static int take_value(const sigset_t *set)
{
    const struct timespec none = {0, 0};
    siginfo_t info;

    return (int)syscall(SYS_rt_sigtimedwait, set, &info, &none, 8) < 0 ? -1
                                                                       : info.si_value.sival_int;
}

/* In a child of another user, so that nobody else counts for the limit. */
static void queue_and_forget(void)
{
    sigset_t set = block(SIGRTMIN, SIGRTMIN + 1), wanted;
    struct rlimit limit = {MANY, MANY};
    union sigval value;

    CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
    CHECK_EQ(setresuid(2078, 2078, 2078), 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            value.sival_int = i;
            CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 1 - i % 2, value), 0);
        }
        CHECK_ERR(sigqueue(getpid(), SIGRTMIN, value), EAGAIN);
        CHECK(signal(SIGRTMIN, SIG_IGN) != SIG_ERR);
        CHECK(signal(SIGRTMIN, SIG_DFL) != SIG_ERR);
        sigemptyset(&wanted);
        sigaddset(&wanted, SIGRTMIN);
        CHECK_EQ(take_value(&wanted), -1);
        for (int i = 0; i < MANY; i += 2) {
            CHECK_EQ(take_value(&set), i);
        }
        CHECK_EQ(take_value(&set), -1); /* and there is room again */
    }
}

ABI_TEST(queued, those_of_a_signal_that_is_ignored_are_dropped_and_the_others_stay_in_order)
{
    CHECK_EQ(IN_CHILD(queue_and_forget()), 0);
}

/* ---- stops, with threads ---- */

static void *sleep_for_ever(void *arg)
{
    for (;;) {
        pause();
    }
    return arg;
}

/* A process of three threads that sleep. */
static pid_t three_threads(void)
{
    pid_t parent = getpid(), pid = abi_fork();

    if (pid == 0) {
        pthread_t thread;
        abi_end_with(parent);
        CHECK_EQ(setpgid(0, 0), 0); /* SIGTSTP does not stop an orphaned group */
        CHECK_EQ(pthread_create(&thread, NULL, sleep_for_ever, NULL), 0);
        CHECK_EQ(pthread_create(&thread, NULL, sleep_for_ever, NULL), 0);
        (void)sleep_for_ever(NULL);
    }
    return pid;
}

static unsigned threads_in(pid_t pid, char letter)
{
    char path[64];
    unsigned count = 0;
    const struct dirent *entry;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        count += entry->d_name[0] != '.' && abi_state(pid, atoi(entry->d_name)) == letter;
    }
    closedir(dir);
    return count;
}

static void await_threads(pid_t pid, char letter)
{
    while (threads_in(pid, letter) != 3) {
        abi_sleep_ms(1);
    }
}

static siginfo_t wait_for(pid_t pid, int options)
{
    siginfo_t info = {0};

    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, options), 0);
    return info;
}

ABI_TEST(group_stop, is_told_once_and_takes_all_threads)
{
    pid_t pid = three_threads();

    await_threads(pid, 'S');
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(kill(pid, round == 1 ? SIGTSTP : SIGSTOP), 0);
        siginfo_t info = wait_for(pid, WSTOPPED | WNOWAIT);
        CHECK_EQ(info.si_code, CLD_STOPPED);
        CHECK_EQ(info.si_status, round == 1 ? SIGTSTP : SIGSTOP);
        CHECK_EQ(threads_in(pid, 'T'), 3); /* told when the last has stopped */
        CHECK_EQ(wait_for(pid, WSTOPPED | WNOHANG).si_pid, pid);
        CHECK_EQ(wait_for(pid, WSTOPPED | WNOHANG).si_pid, 0);
        CHECK_EQ(kill(pid, SIGSTOP), 0); /* already */
        CHECK_EQ(wait_for(pid, WSTOPPED | WNOHANG).si_pid, 0);
        CHECK_EQ(kill(pid, SIGCONT), 0);
        info = wait_for(pid, WCONTINUED | WNOWAIT);
        CHECK_EQ(info.si_code, CLD_CONTINUED);
        CHECK_EQ(info.si_status, SIGCONT);
        CHECK_EQ(wait_for(pid, WCONTINUED).si_pid, pid);
        CHECK_EQ(wait_for(pid, WCONTINUED | WNOHANG).si_pid, 0);
        await_threads(pid, 'S');
    }
    CHECK_EQ(kill(pid, SIGCONT), 0); /* one that was not stopped has nothing to tell */
    CHECK_EQ(wait_for(pid, WCONTINUED | WNOHANG).si_pid, 0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(wait_for(pid, WEXITED).si_status, SIGKILL);
}

ABI_TEST(group_stop, a_stop_and_a_continuation_take_each_other_back)
{
    pid_t pid = three_threads();

    await_threads(pid, 'S');
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    await_threads(pid, 'T');
    CHECK_EQ(kill(pid, SIGCONT), 0);
    /* The stop that was not waited for is no news any more. */
    CHECK_EQ(wait_for(pid, WSTOPPED | WCONTINUED).si_code, CLD_CONTINUED);
    CHECK_EQ(wait_for(pid, WSTOPPED | WCONTINUED | WNOHANG).si_pid, 0);
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    await_threads(pid, 'T');
    CHECK_EQ(kill(pid, SIGTERM), 0); /* waits for the continuation */
    CHECK_EQ(threads_in(pid, 'T'), 3);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(wait_for(pid, WEXITED).si_status, SIGTERM);
}

ABI_TEST(group_stop, a_killed_one_need_not_be_continued)
{
    pid_t pid = three_threads();

    await_threads(pid, 'S');
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(wait_for(pid, WSTOPPED).si_pid, pid);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    siginfo_t info = wait_for(pid, WEXITED | WNOWAIT);
    CHECK_EQ(info.si_code, CLD_KILLED);
    CHECK_EQ(wait_for(pid, WEXITED).si_pid, pid);
}

/* ---- the calls ---- */

ABI_TEST(waitid, arguments_are_checked)
{
    siginfo_t info;

    CHECK_ERR(waitid(P_ALL, 0, &info, 0), EINVAL);
    CHECK_ERR(waitid(P_ALL, 0, &info, WNOHANG), EINVAL);
    CHECK_ERR(waitid(P_ALL, 0, &info, WEXITED | 0x100), EINVAL);
    CHECK_ERR(waitid(P_PID, 0, &info, WEXITED), EINVAL);
    CHECK_ERR(waitid(P_PID, (id_t)-5, &info, WEXITED), EINVAL);
    CHECK_ERR(waitid(P_PGID, (id_t)-5, &info, WEXITED), EINVAL);
    CHECK_ERR(waitid((idtype_t)4, 0, &info, WEXITED), EINVAL);
    CHECK_ERR(waitid(P_PGID, 0, &info, WEXITED), ECHILD);
    CHECK_ERR(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
    CHECK_ERR(waitpid(-1, NULL, 0x100), EINVAL);
    CHECK_ERR(waitpid(-1, NULL, WEXITED), EINVAL);
    CHECK_ERR(waitpid((pid_t)0x80000000, NULL, 0), ESRCH);
    CHECK_ERR(waitpid(-1, NULL, 0), ECHILD);
    CHECK_ERR(waitpid(getpid(), NULL, 0), ECHILD);
}

ABI_TEST(waitid, a_descriptor_tells_of_stops_too)
{
    pid_t pid = three_threads();
    siginfo_t info = {0};
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);

    CHECK(fd >= 0);
    await_threads(pid, 'S');
    CHECK_EQ(waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED | WSTOPPED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0);
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED | WSTOPPED), 0);
    CHECK_EQ(info.si_code, CLD_STOPPED);
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&pollfd, 1, 0), 0);
    siginfo_t forged = {.si_signo = SIGUSR1, .si_code = SI_USER};
    CHECK_ERR(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, &forged, 0), EPERM);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, fd, SIGUSR2, &forged, 0),
              EINVAL); /* not the one said */
    CHECK_ERR(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, NULL, 0x80), EINVAL);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, fd, SIGUSR1, 8, 0), EFAULT);
    CHECK_ERR(syscall(SYS_pidfd_getfd, fd, 0, 1), EINVAL);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setresuid(2077, 2077, 2077), 0);
                 CHECK_ERR(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0), EPERM);
                 CHECK_ERR(syscall(SYS_pidfd_getfd, fd, 0, 0), EPERM);
                 CHECK_ERR(waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED), ECHILD);
             }),
             0);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0), 0);
    CHECK_EQ(waitid((idtype_t)P_PIDFD, (id_t)fd, &info, WEXITED), 0);
    CHECK_ERR(syscall(SYS_pidfd_getfd, fd, 0, 0), ESRCH);
    CHECK_ERR(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
}
