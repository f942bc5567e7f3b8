/* clone3(2): sizes of its argument, and each flag's rules. */
#include "abi.h"

#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/sem.h>

static long clone3(struct clone_args *args, size_t size)
{
    return syscall(SYS_clone3, args, size);
}

/* As fork does. */
static struct clone_args plain(uint64_t flags)
{
    return (struct clone_args){.flags = flags, .exit_signal = SIGCHLD};
}

static int wait_for(pid_t pid)
{
    int status;

    CHECK_EQ(waitpid(pid, &status, __WALL), pid);
    return status;
}

ABI_TEST(clone3, the_size_says_what_the_caller_knows)
{
    struct {
        struct clone_args args;
        uint64_t newer[4];
    } big = {.args = plain(0)};
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    static const size_t sizes[] = {64, 65, 80, 81, 88, sizeof(big)};

    CHECK_EQ(mprotect(page + 4096, 4096, PROT_NONE), 0);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        pid_t pid = (pid_t)clone3(&big.args, sizes[i]);
        if (pid == 0) {
            _exit(5);
        }
        CHECK(pid > 0);
        CHECK_EQ(WEXITSTATUS(wait_for(pid)), 5);
    }
    CHECK_ERR(clone3(&big.args, 63), EINVAL);
    CHECK_ERR(clone3(&big.args, 0), EINVAL);
    CHECK_ERR(clone3((void *)page, 4097), E2BIG);
    big.newer[3] = 1;
    CHECK_ERR(clone3(&big.args, sizeof(big)), E2BIG);
    CHECK_ERR(clone3((void *)(page + 4096 - 60), 64), EFAULT);
    CHECK_ERR(clone3((void *)8, 88), EFAULT);
    memcpy(page + 4096 - 64, &big.args, 64); /* exactly what is said is read */
    pid_t pid = (pid_t)clone3((void *)(page + 4096 - 64), 64);
    if (pid == 0) {
        _exit(6);
    }
    CHECK_EQ(WEXITSTATUS(wait_for(pid)), 6);
}

ABI_TEST(clone3, exit_signals_and_stacks_are_checked)
{
    struct clone_args args = plain(0);

    args.exit_signal = 65;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    args.exit_signal = 0x100000000ull | SIGCHLD;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    args = plain(SIGCHLD); /* its place is not in the flags */
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    args = plain(CLONE_DETACHED);
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    args = plain(CLONE_PARENT);
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    args = plain(CLONE_THREAD | CLONE_SIGHAND | CLONE_VM);
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    args = plain(0);
    args.stack = 0x10000;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    args.stack = 0;
    args.stack_size = 4096;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    args.stack = 0xffff800000000000ull;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    args = plain(1ull << 40);
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
}

ABI_TEST(clone3, combinations_that_make_no_sense_are_refused)
{
    static const uint64_t wrong[] = {
        CLONE_SIGHAND,           CLONE_THREAD,
        CLONE_THREAD | CLONE_VM, CLONE_SIGHAND | CLONE_VM | CLONE_CLEAR_SIGHAND,
        CLONE_FS | CLONE_NEWNS,  CLONE_NEWUSER | CLONE_FS,
    };

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct clone_args args = plain(wrong[i]);
        args.exit_signal = (wrong[i] & CLONE_THREAD) != 0 ? 0 : SIGCHLD;
        CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    }
    int fd = -1;
    /* A descriptor and a number cannot be in one place. */
    struct clone_args args = plain(CLONE_PIDFD | CLONE_PARENT_SETTID);
    args.pidfd = args.parent_tid = (uintptr_t)&fd;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    CHECK_ERR(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &fd, 0, 0),
              EINVAL);
    CHECK_ERR(syscall(SYS_clone, CLONE_PIDFD | CLONE_DETACHED | SIGCHLD, 0, &fd, 0, 0), EINVAL);
    args = plain(CLONE_PIDFD);
    args.pidfd = 8;
    CHECK_ERR(clone3(&args, sizeof(args)), EFAULT);
    CHECK_EQ(open("/dev/null", O_RDONLY), fd + 4); /* no descriptor was left */
    CHECK_ERR(waitpid(-1, NULL, __WALL), ECHILD);  /* and no child */
}

ABI_TEST(clone3, a_number_and_a_descriptor_have_a_place_each)
{
    int fd = -1, tid = 0;
    struct clone_args args = plain(CLONE_PIDFD | CLONE_PARENT_SETTID);

    args.pidfd = (uintptr_t)&fd;
    args.parent_tid = (uintptr_t)&tid;
    pid_t pid = (pid_t)clone3(&args, sizeof(args));
    if (pid == 0) {
        _exit(8);
    }
    CHECK(pid > 0);
    CHECK_EQ(tid, pid);
    CHECK(fd >= 3);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(WEXITSTATUS(wait_for(pid)), 8);
}

ABI_TEST(clone3, numbers_are_chosen_by_those_who_may)
{
    int32_t want[2] = {0, 0};
    struct clone_args args = plain(0);
    pid_t pid = 30000;

    while (kill(pid, 0) == 0 || errno != ESRCH) {
        pid--;
    }
    args.set_tid = (uintptr_t)want;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL); /* an array and no length */
    args.set_tid = 0;
    args.set_tid_size = 1;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    args.set_tid = (uintptr_t)want;
    args.set_tid_size = 33;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    args.set_tid_size = 1;
    args.set_tid = 8;
    CHECK_ERR(clone3(&args, sizeof(args)), EFAULT);
    args.set_tid = (uintptr_t)want;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL); /* 0 */
    want[0] = -5;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    want[0] = 0x7fffffff;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    want[0] = getpid();
    CHECK_ERR(clone3(&args, sizeof(args)), EEXIST);
    want[0] = pid;
    args.set_tid_size = 2; /* deeper than there are namespaces */
    want[1] = pid;
    args.set_tid_size = 32;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    args.set_tid_size = 1;
    pid_t again = (pid_t)clone3(&args, sizeof(args));
    if (again == 0) {
        _exit(getpid() == pid ? 11 : 12);
    }
    CHECK_EQ(again, pid);
    CHECK_EQ(WEXITSTATUS(wait_for(pid)), 11);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setuid(1000), 0);
                 CHECK_ERR(clone3(&args, sizeof(args)), EPERM);
             }),
             0);
}

static void nothing(int signo)
{
    (void)signo;
}

ABI_TEST(clone3, handlers_are_cleared_on_demand_and_what_is_ignored_stays_so)
{
    struct clone_args args = plain(CLONE_CLEAR_SIGHAND);

    CHECK(signal(SIGUSR1, nothing) != SIG_ERR);
    CHECK(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
    pid_t pid = (pid_t)clone3(&args, sizeof(args));
    if (pid == 0) {
        struct sigaction sa;
        CHECK_EQ(sigaction(SIGUSR1, NULL, &sa), 0);
        CHECK(sa.sa_handler == SIG_DFL);
        CHECK_EQ(sigaction(SIGUSR2, NULL, &sa), 0);
        CHECK(sa.sa_handler == SIG_IGN);
        _exit(3);
    }
    CHECK_EQ(WEXITSTATUS(wait_for(pid)), 3);
    struct sigaction sa;
    CHECK_EQ(sigaction(SIGUSR1, NULL, &sa), 0);
    CHECK(sa.sa_handler == nothing);
    CHECK_ERR(syscall(SYS_clone, 0x100000000ull | SIGCHLD | CLONE_THREAD, 0, 0, 0, 0), EINVAL);
}

ABI_TEST(clone3, any_signal_or_none_may_tell_of_the_end)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    struct clone_args args = plain(0);
    args.exit_signal = SIGUSR1;
    pid_t pid = (pid_t)clone3(&args, sizeof(args));
    if (pid == 0) {
        _exit(4);
    }
    siginfo_t info;
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_code, CLD_EXITED);
    CHECK_EQ(info.si_status, 4);
    CHECK_ERR(waitpid(pid, NULL, 0), ECHILD); /* not a child for whom SIGCHLD counts */
    CHECK_EQ(waitpid(pid, NULL, __WCLONE), pid);
    args.exit_signal = 0;
    pid = (pid_t)clone3(&args, sizeof(args));
    if (pid == 0) {
        _exit(5);
    }
    CHECK_EQ(WEXITSTATUS(wait_for(pid)), 5);
    sigset_t pending;
    CHECK_EQ(sigpending(&pending), 0);
    CHECK(sigismember(&pending, SIGUSR1) == 0 && sigismember(&pending, SIGCHLD) == 0);
}

/* An ignored SIGCHLD makes no zombies of those children alone that would send it. */
ABI_TEST(clone3, a_child_with_another_signal_becomes_a_zombie_though_sigchld_is_ignored)
{
    struct clone_args args = plain(0);

    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    args.exit_signal = SIGWINCH;
    pid_t pid = (pid_t)clone3(&args, sizeof(args));
    if (pid == 0) {
        _exit(5);
    }
    abi_wait_state(pid, pid, 'Z');
    CHECK_EQ(waitpid(pid, NULL, __WALL), pid);
    args = plain(0);
    pid = (pid_t)clone3(&args, sizeof(args));
    if (pid == 0) {
        _exit(5);
    }
    CHECK_ERR(waitpid(pid, NULL, 0), ECHILD);
    CHECK_ERR(kill(pid, 0), ESRCH);
}

static int run_shell(void *script)
{
    (void)execl("/bin/sh", "sh", "-c", script, (char *)NULL);
    return 99;
}

ABI_TEST(clone3, a_program_ends_with_sigchld_whatever_its_caller_was_to_end_with)
{
    static _Alignas(16) char stack[1 << 16];
    static const int signals[] = {0, SIGUSR1};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    for (unsigned i = 0; i < 2; i++) {
        int status;
        siginfo_t info;
        pid_t pid =
            clone(run_shell, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | signals[i], "exit 3");
        CHECK(pid > 0);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 3 << 8);
        CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
        CHECK_EQ(info.si_pid, pid);
    }
}

/* The next program has not asked for the signal, and may have more rights than who did. */
ABI_TEST(clone3, a_parent_that_executes_a_program_hears_of_the_end_by_sigchld)
{
    int status = IN_CHILD({
        struct clone_args args = plain(0);
        char script[64];
        args.exit_signal = SIGUSR1;
        pid_t pid = (pid_t)clone3(&args, sizeof(args));
        CHECK(pid >= 0); /* kill -9 -1 would be for everybody */
        if (pid == 0) {
            for (;;) {
                pause();
            }
        }
        (void)snprintf(script, sizeof(script), "kill -9 %d; sleep 0.2; exit 4", pid);
        (void)run_shell(script);
    });
    CHECK_EQ(status, 4 << 8);
}

ABI_TEST(clone3, a_sister_is_a_child_of_the_parent)
{
    struct clone_args args = {.flags = CLONE_PARENT};
    int pipes[2];
    pid_t sister, told;

    CHECK_EQ(pipe(pipes), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        sister = (pid_t)clone3(&args, sizeof(args));
        if (sister == 0) {
            _exit(getppid() == pid ? 1 : 6);
        }
        CHECK_ERR(waitpid(sister, NULL, __WALL), ECHILD);
        CHECK_EQ(write(pipes[1], &sister, sizeof(sister)), sizeof(sister));
        _exit(0);
    }
    CHECK_EQ(read(pipes[0], &told, sizeof(told)), sizeof(told));
    int status;
    CHECK_EQ(waitpid(told, &status, 0), told); /* it has its maker's exit signal, SIGCHLD */
    CHECK_EQ(WEXITSTATUS(status), 6);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
}

/* The child runs on its parent's stack: what it puts there must not matter. */
static int open_and_change_directory(void)
{
    int fd = open("/dev/null", O_RDONLY);

    (void)!chdir("below");
    (void)umask(0123);
    return fd;
}

ABI_TEST(clone3, memory_files_and_directory_are_shared_on_demand)
{
    static struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS,
                                     .exit_signal = SIGCHLD};
    static volatile int shared;
    struct stat below, now;
    long result = SYS_clone3;

    CHECK_EQ(mkdir("below", 0700), 0);
    CHECK_EQ(stat("below", &below), 0);
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"(&args), "S"(sizeof(args))
                     : "rcx", "r11", "memory");
    if (result == 0) {
        shared = open_and_change_directory();
        _exit(0);
    }
    CHECK_EQ(WEXITSTATUS(wait_for((pid_t)result)), 0);
    CHECK(shared > 2);
    CHECK_EQ(fcntl(shared, F_GETFD), 0);
    CHECK_EQ(stat(".", &now), 0);
    CHECK_EQ(now.st_ino, below.st_ino);
    CHECK_EQ(umask(0), 0123);
}

ABI_TEST(clone3, control_groups_are_checked_first)
{
    struct clone_args args = plain(CLONE_INTO_CGROUP);

    args.cgroup = 0x100000000ull;
    CHECK_ERR(clone3(&args, sizeof(args)), EINVAL);
    args.cgroup = 0;
    CHECK_ERR(clone3(&args, 80), EINVAL); /* the structure has no such member */
    args.cgroup = 99;
    CHECK_ERR(clone3(&args, sizeof(args)), EBADF);
}
