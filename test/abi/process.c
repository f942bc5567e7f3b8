/* Processes: fork, exec, wait, groups, limits, identity. */
#include "abi.h"

#include <elf.h>
#include <grp.h>
#include <linux/ioprio.h>
#include <sys/auxv.h>
#include <sys/klog.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <sys/utsname.h>

ABI_TEST(fork, memory_is_copied_not_shared)
{
    static int value = 1;
    char *heap = malloc(100000);

    memset(heap, 1, 100000);
    int status = IN_CHILD({
        CHECK_EQ(value, 1);
        value = 2;
        memset(heap, 2, 100000);
        CHECK_EQ(heap[99999], 2);
    });
    CHECK_EQ(status, 0);
    CHECK_EQ(value, 1);
    CHECK_EQ(heap[99999], 1);
}

ABI_TEST(fork, descriptors_share_their_position)
{
    abi_write_file("f", "0123456789");
    int fd = open("f", O_RDONLY);
    char c;
    int status = IN_CHILD({
        CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
        CHECK_EQ(close(fd), 0);
    });
    CHECK_EQ(status, 0);
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_EQ(c, '5');
}

ABI_TEST(fork, ids_are_right)
{
    pid_t me = getpid();
    int status = IN_CHILD({
        CHECK_EQ(getppid(), me);
        CHECK(getpid() != me);
        CHECK_EQ(getpid(), syscall(SYS_gettid));
        CHECK_EQ(getpgrp(), getpgid(me));
    });
    CHECK_EQ(status, 0);
}

ABI_TEST(wait, status_words)
{
    CHECK_EQ(IN_CHILD(_exit(42)), 42 << 8);
    CHECK_EQ(IN_CHILD(raise(SIGKILL)), SIGKILL);
    CHECK_EQ(IN_CHILD(raise(SIGTERM)), SIGTERM);
    CHECK_ERR(waitpid(-1, NULL, 0), ECHILD);
    CHECK_ERR(waitpid(-1, NULL, 0x4000), EINVAL);
    pid_t pid = abi_fork();
    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK_EQ(kill(pid, SIGCONT), 0);
    CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
    CHECK(WIFCONTINUED(status));
    CHECK_EQ(kill(pid, SIGKILL), 0);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    CHECK_EQ(info.si_code, CLD_KILLED);
    CHECK_EQ(info.si_status, SIGKILL);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_ERR(kill(pid, 0), ESRCH);
}

ABI_TEST(wait, faults_kill_with_their_signal)
{
    CHECK_EQ(WTERMSIG(IN_CHILD(*(volatile int *)8 = 1)), SIGSEGV);
    CHECK_EQ(WTERMSIG(IN_CHILD(__asm__ volatile("ud2"))), SIGILL);
    CHECK_EQ(WTERMSIG(IN_CHILD({
                 volatile int zero = 0;
                 volatile int one = 1;
                 one = one / zero;
             })),
             SIGFPE);
    CHECK_EQ(WTERMSIG(IN_CHILD(__asm__ volatile("int3"))), SIGTRAP);
    CHECK_EQ(WTERMSIG(IN_CHILD(__asm__ volatile("cli"))), SIGSEGV);
    CHECK_EQ(WTERMSIG(IN_CHILD(__asm__ volatile("mov %%cr3, %%rax" ::: "rax"))), SIGSEGV);
}

ABI_TEST(wait, orphans_go_to_a_reaper)
{
    int p[2];
    pid_t parent = 0;

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    int status = IN_CHILD({
        pid_t middle = getpid();
        if (abi_fork() == 0) {
            while ((parent = getppid()) == middle) {
                abi_sleep_ms(1);
            }
            (void)!write(p[1], &parent, sizeof(parent));
            _exit(7);
        }
    });
    CHECK_EQ(status, 0);
    CHECK_EQ(read(p[0], &parent, sizeof(parent)), (ssize_t)sizeof(parent));
    CHECK_EQ(parent, getpid());
    CHECK(wait(&status) > 0);
    CHECK_EQ(status, 7 << 8);
}

ABI_TEST(vfork, parent_waits_until_exec_or_exit)
{
    static volatile int done;
    pid_t pid = vfork();

    if (pid == 0) {
        done = 1;
        _exit(3);
    }
    CHECK_EQ(done, 1); /* memory is shared, and the child went first */
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 3 << 8);
}

ABI_TEST(exec, arguments_environment_and_errors)
{
    int status = IN_CHILD({
        char *argv[] = {"sh", "-c", "test \"$1,$2,$X\" = 'a b,c,y'", "sh", "a b", "c", NULL};
        char *envp[] = {"X=y", "PATH=/bin", NULL};
        (void)execve("/bin/sh", argv, envp);
        _exit(99);
    });
    CHECK_EQ(status, 0);
    char *argv[] = {"x", NULL};
    CHECK_ERR(execve("/nowhere", argv, NULL), ENOENT);
    CHECK_ERR(execve(".", argv, NULL), EACCES);
    abi_write_file("text", "not a program\n");
    CHECK_ERR(execve("text", argv, NULL), EACCES);
    CHECK_EQ(chmod("text", 0755), 0);
    CHECK_ERR(execve("text", argv, NULL), ENOEXEC);
    CHECK_ERR(execve("text/x", argv, NULL), ENOTDIR);
    CHECK_ERR(execve((char *)8, argv, NULL), EFAULT);
    CHECK_ERR(execve("/bin/sh", (char **)8, NULL), EFAULT);
}

ABI_TEST(exec, scripts_run_their_interpreter)
{
    abi_write_file("script", "#!/bin/sh -e\ntest \"$1\" = arg && exit 5\n");
    CHECK_EQ(chmod("script", 0755), 0);
    int status = IN_CHILD({
        char *argv[] = {"x", "arg", NULL};
        char *envp[] = {"PATH=/bin", NULL};
        (void)execve("./script", argv, envp);
        _exit(99);
    });
    CHECK_EQ(status, 5 << 8);
    abi_write_file("self", "#!self\n");
    CHECK_EQ(chmod("self", 0755), 0);
    char *argv[] = {"x", NULL};
    CHECK_ERR(execve("./self", argv, NULL), ELOOP);
    abi_write_file("bad", "#!/nowhere\n");
    CHECK_EQ(chmod("bad", 0755), 0);
    CHECK_ERR(execve("./bad", argv, NULL), ENOENT);
}

ABI_TEST(exec, close_on_exec_and_signals)
{
    int a = open("/dev/null", O_RDONLY), b = open("/dev/null", O_RDONLY | O_CLOEXEC);
    char script[128];

    (void)snprintf(script, sizeof(script), "test -e /proc/self/fd/%d && ! test -e /proc/self/fd/%d",
                   a, b);
    int status = IN_CHILD({
        CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
        (void)execl("/bin/sh", "sh", "-c", script, (char *)NULL);
        _exit(99);
    });
    CHECK_EQ(status, 0);
}

ABI_TEST(exec, damaged_programs_are_refused)
{
    unsigned char image[4096];
    char *argv[] = {"x", NULL};
    int fd = open("/proc/self/exe", O_RDONLY);

    CHECK_EQ(read(fd, image, sizeof(image)), (ssize_t)sizeof(image));
    Elf64_Ehdr *header = (Elf64_Ehdr *)image;
    header->e_phoff = 0xffffffffffff;
    int out = open("bad", O_CREAT | O_WRONLY, 0755);
    CHECK_EQ(write(out, image, sizeof(image)), (ssize_t)sizeof(image));
    CHECK_EQ(close(out), 0);
    CHECK_EQ(execve("./bad", argv, NULL), -1);
    CHECK(errno == ENOEXEC || errno == EIO || errno == EINVAL);
}

ABI_TEST(exec, auxiliary_vector_is_complete)
{
    CHECK_EQ(getauxval(AT_PAGESZ), 4096);
    CHECK(getauxval(AT_RANDOM) != 0);
    CHECK(getauxval(AT_PHDR) != 0);
    CHECK_EQ(getauxval(AT_PHENT), 56);
    CHECK_EQ(getauxval(AT_CLKTCK), 100);
    CHECK_EQ(getauxval(AT_UID), 0);
    CHECK_EQ(getauxval(AT_SECURE), 0);
    CHECK(strcmp((char *)getauxval(AT_PLATFORM), "x86_64") == 0);
    CHECK(getauxval(AT_EXECFN) != 0);
    unsigned char *vdso = (unsigned char *)getauxval(AT_SYSINFO_EHDR);
    CHECK(vdso != NULL);
    CHECK(memcmp(vdso, "\177ELF", 4) == 0);
}

ABI_TEST(group, sessions_and_groups)
{
    int status = IN_CHILD({
        CHECK_EQ(setsid(), getpid());
        CHECK_EQ(getsid(0), getpid());
        CHECK_EQ(getpgrp(), getpid());
        CHECK_ERR(setsid(), EPERM);
        CHECK_ERR(setpgid(0, 0), EPERM);
        pid_t child = abi_fork();
        if (child == 0) {
            (void)pause();
            _exit(0);
        }
        CHECK_EQ(setpgid(child, child), 0);
        CHECK_EQ(getpgid(child), child);
        CHECK_ERR(setpgid(child, 999999), EPERM);
        CHECK_EQ(kill(-child, SIGKILL), 0);
        CHECK_EQ(waitpid(-child, NULL, 0), child);
    });
    CHECK_EQ(status, 0);
    CHECK_ERR(getpgid(999999), ESRCH);
    CHECK_ERR(setpgid(0, -1), EINVAL);
}

ABI_TEST(limits, are_kept_enforced_and_inherited)
{
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 10;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int status = IN_CHILD({
        struct rlimit mine;
        CHECK_EQ(getrlimit(RLIMIT_NOFILE, &mine), 0);
        CHECK_EQ(mine.rlim_cur, 10);
        int fd = 0;
        while ((fd = open("/dev/null", O_RDONLY)) >= 0) {
            CHECK(fd < 10);
        }
        CHECK_EQ(errno, EMFILE);
        CHECK_ERR(dup2(0, 10), EBADF);
    });
    CHECK_EQ(status, 0);
    limit = (struct rlimit){5, 4};
    CHECK_ERR(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
    CHECK_ERR(getrlimit(99, &limit), EINVAL);
    limit = (struct rlimit){100, 100};
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    CHECK(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    int fd = open("f", O_CREAT | O_WRONLY, 0600);
    char buf[200] = "";
    CHECK_EQ(write(fd, buf, 200), 100);
    CHECK_ERR(write(fd, buf, 1), EFBIG);
}

ABI_TEST(ids, real_effective_saved)
{
    uid_t r, e, s;

    int status = IN_CHILD({
        CHECK_EQ(setresuid(1000, 1001, 1002), 0);
        CHECK_EQ(getresuid(&r, &e, &s), 0);
        CHECK(r == 1000 && e == 1001 && s == 1002);
        CHECK_EQ(seteuid(1002), 0);
        CHECK_ERR(seteuid(0), EPERM);
        CHECK_ERR(setuid(0), EPERM);
        CHECK_ERR(setgroups(0, NULL), EPERM);
    });
    CHECK_EQ(status, 0);
    gid_t groups[3] = {5, 3, 4};
    CHECK_EQ(setgroups(3, groups), 0);
    CHECK_EQ(getgroups(0, NULL), 3);
    CHECK_EQ(getgroups(3, groups), 3);
    CHECK_ERR(getgroups(1, groups), EINVAL);
}

ABI_TEST(system, uname_times_usage)
{
    struct utsname name;
    struct rusage usage;
    struct tms tms;

    CHECK_EQ(uname(&name), 0);
    CHECK(strcmp(name.machine, "x86_64") == 0);
    char *memory = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    memset(memory, 1, 8 << 20);
    CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
    CHECK(usage.ru_maxrss >= 4 << 10);
    CHECK(times(&tms) > 0);
    CHECK_ERR(getrusage(99, &usage), EINVAL);
    CHECK_EQ(prctl(PR_SET_NAME, "a-very-long-name-indeed"), 0);
    char comm[16];
    CHECK_EQ(prctl(PR_GET_NAME, comm), 0);
    CHECK(strcmp(comm, "a-very-long-nam") == 0);
}

/* ---- syslog(2) ---- */

#define CONSOLE_OFF   6
#define CONSOLE_ON    7
#define CONSOLE_LEVEL 8

static int console_level(void)
{
    return atoi(abi_read_file("/proc/sys/kernel/printk"));
}

static void turn_console_off_and_on(void)
{
    CHECK_EQ(klogctl(CONSOLE_LEVEL, NULL, 5), 0);
    CHECK_EQ(klogctl(CONSOLE_ON, NULL, 0), 0); /* it is */
    CHECK_EQ(console_level(), 5);
    CHECK_EQ(klogctl(CONSOLE_OFF, NULL, 0), 0);
    CHECK_EQ(klogctl(CONSOLE_OFF, NULL, 0), 0);
    CHECK_EQ(console_level(), 1);
    CHECK_EQ(klogctl(CONSOLE_ON, NULL, 0), 0);
    CHECK_EQ(console_level(), 5);
    CHECK_EQ(klogctl(CONSOLE_OFF, NULL, 0), 0);
    CHECK_EQ(klogctl(CONSOLE_LEVEL, NULL, 6), 0); /* that is on again, too */
    CHECK_EQ(klogctl(CONSOLE_ON, NULL, 0), 0);
    CHECK_EQ(console_level(), 6);
}

ABI_TEST(syslog, console_has_its_level_again_however_often_it_was_turned_off)
{
    int level = console_level(), status = IN_CHILD(turn_console_off_and_on());

    CHECK_EQ(klogctl(CONSOLE_LEVEL, NULL, level), 0);
    CHECK_EQ(status, 0);
}

ABI_TEST(personality, of_32_bits_changes_the_machine_name)
{
    struct utsname name;

    CHECK_EQ(personality(PER_LINUX32), PER_LINUX);
    CHECK_EQ(uname(&name), 0);
    CHECK(strcmp(name.machine, "i686") == 0);
    CHECK_EQ(personality(PER_LINUX), PER_LINUX32);
    CHECK_EQ(uname(&name), 0);
    CHECK(strcmp(name.machine, "x86_64") == 0);
}

static long io_priority(void)
{
    return syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
}

ABI_TEST(ioprio, is_kept_and_inherited)
{
    const int idle = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0);
    const int low = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 6);
    int status;

    CHECK_EQ(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, low), 0);
    CHECK_EQ(io_priority(), low);
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(io_priority(), low);
        CHECK_EQ(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, idle), 0);
        _exit(io_priority() == idle ? 0 : 1);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(io_priority(), low);
    CHECK_ERR(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(7, 0)), EINVAL);
    CHECK_ERR(syscall(SYS_ioprio_set, 9, 0, low), EINVAL);
    CHECK_ERR(syscall(SYS_ioprio_get, 0, 0), EINVAL);
    CHECK_ERR(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0x3fffffff), ESRCH);
}

ABI_TEST(syscall, unknown_numbers_are_enosys)
{
    CHECK_ERR(syscall(511), ENOSYS);
    CHECK_ERR(syscall(1000), ENOSYS);
    CHECK_ERR(syscall(-1), ENOSYS);
    CHECK_ERR(syscall(0x40000000), ENOSYS);
}

ABI_TEST(procfs, knows_this_process)
{
    char buf[4096] = "", path[64];
    int pid;
    char state;

    int fd = open("/proc/self/stat", O_RDONLY);
    CHECK(read(fd, buf, sizeof(buf) - 1) > 0);
    CHECK_EQ(sscanf(buf, "%d (%*[^)]) %c", &pid, &state), 2);
    CHECK_EQ(pid, getpid());
    CHECK_EQ(state, 'R');
    (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", getpid());
    fd = open(path, O_RDONLY);
    CHECK(read(fd, buf, sizeof(buf)) > 0);
    CHECK(readlink("/proc/self/exe", buf, sizeof(buf)) > 0);
    CHECK(readlink("/proc/self/cwd", buf, sizeof(buf)) > 0);
    fd = open("/proc/self/maps", O_RDONLY);
    CHECK(read(fd, buf, sizeof(buf) - 1) > 100);
    CHECK_ERR(open("/proc/999999/stat", O_RDONLY), ENOENT);
    fd = open("/proc/meminfo", O_RDONLY);
    CHECK(read(fd, buf, sizeof(buf)) > 100);
    CHECK(memcmp(buf, "MemTotal:", 9) == 0);
}
