/* The kernel's own threads: children of kthreadd, process 2, which are seen and scheduled as any other, and do nothing else that they are told to. */
#include "abi.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>

#define KTHREADD        2
#define KERNEL_THREAD   0x200000u /* PF_KTHREAD in /proc/PID/stat */
#define NO_SET_AFFINITY 0x4000000u

struct shown {
    char comm[32], state;
    int ppid, group, session;
    unsigned flags;
};

static struct shown look(pid_t pid)
{
    struct shown shown = {0};
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    const char *text = abi_read_file(path), *end = strrchr(text, ')');
    CHECK(end != NULL);
    CHECK_EQ(sscanf(strchr(text, '(') + 1, "%31[^)]", shown.comm), 1);
    CHECK_EQ(sscanf(end + 2, "%c %d %d %d %*d %*d %u", &shown.state, &shown.ppid, &shown.group,
                    &shown.session, &shown.flags),
             5);
    return shown;
}

/* A process of this name that kthreadd is the parent of, whose flags have these bits; with NULL any. */
static pid_t find(const char *comm, unsigned flags)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    pid_t found = 0;

    CHECK(dir != NULL);
    while (found == 0 && (entry = readdir(dir)) != NULL) {
        pid_t pid = atoi(entry->d_name);
        char path[300];
        snprintf(path, sizeof(path), "/proc/%s/stat", entry->d_name);
        if (pid <= KTHREADD || access(path, R_OK) != 0) {
            continue;
        }
        struct shown shown = look(pid);
        if (shown.ppid == KTHREADD && (shown.flags & flags) == flags &&
            (comm == NULL || strcmp(comm, shown.comm) == 0)) {
            found = pid;
        }
    }
    CHECK_EQ(closedir(dir), 0);
    return found;
}

static void need_kthreadd(void)
{
    if (access("/proc/2/stat", R_OK) != 0 || strcmp(look(KTHREADD).comm, "kthreadd") != 0) {
        abi_skip("kernel threads are not seen from here");
    }
}

static void check_shown(pid_t pid, int parent)
{
    struct shown shown = look(pid);
    char path[64], link[64];

    CHECK_EQ(shown.ppid, parent);
    CHECK_EQ(shown.group, 0);
    CHECK_EQ(shown.session, 0);
    CHECK_EQ(getpgid(pid), 0);
    CHECK_EQ(getsid(pid), 0);
    CHECK((shown.flags & KERNEL_THREAD) != 0);
    CHECK(strchr("SRID", shown.state) != NULL);
    snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
    CHECK_EQ(abi_read_file(path)[0], '\0');
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    CHECK_EQ(abi_read_file(path)[0], '\0');
    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    CHECK_EQ(strcmp(abi_read_file(path), "0 0 0 0 0 0 0\n"), 0);
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    CHECK_ERR(readlink(path, link, sizeof(link)), ENOENT);
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    const char *status = abi_read_file(path);
    CHECK(strstr(status, "\nSigIgn:\tffffffffffffffff\n") != NULL);
    CHECK(strstr(status, "\nVmSize:") == NULL);
    CHECK(strstr(status, "\nCpus_allowed_list:\t") != NULL);
}

ABI_TEST(kernel_thread, is_a_child_of_kthreadd_without_memory)
{
    need_kthreadd();
    check_shown(KTHREADD, 0);
    pid_t pid = find(NULL, 0);
    CHECK(pid > 0);
    check_shown(pid, KTHREADD);
}

ABI_TEST(kernel_thread, ignores_all_signals)
{
    need_kthreadd();
    pid_t pid = find("ksoftirqd/0", 0);
    CHECK(pid > 0);
    for (int signo = 0; signo <= SIGRTMIN; signo++) {
        CHECK_EQ(kill(pid, signo), 0);
        CHECK_EQ(syscall(SYS_tgkill, pid, pid, signo), 0);
    }
    struct pollfd asked = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    CHECK(asked.fd >= 0);
    CHECK_EQ(syscall(SYS_pidfd_send_signal, asked.fd, SIGKILL, NULL, 0), 0);
    CHECK_EQ(poll(&asked, 1, 20), 0);
    CHECK(strchr("SRI", look(pid).state) != NULL);
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    CHECK(strstr(abi_read_file(path), "\nShdPnd:\t0000000000000000\n") != NULL);
}

ABI_TEST(kernel_thread, cannot_be_looked_into)
{
    char byte;
    struct iovec mine = {&byte, 1}, theirs = {(void *)4096, 1};
    struct rlimit limit;

    need_kthreadd();
    CHECK_ERR(ptrace(PTRACE_ATTACH, KTHREADD, NULL, NULL), EPERM);
    CHECK_ERR(ptrace(PTRACE_SEIZE, KTHREADD, NULL, NULL), EPERM);
    CHECK_ERR(process_vm_readv(KTHREADD, &mine, 1, &theirs, 1, 0), ESRCH);
    CHECK_ERR(waitpid(KTHREADD, NULL, WNOHANG), ECHILD);
    CHECK_ERR(setpgid(KTHREADD, 0), ESRCH);
    CHECK_EQ(prlimit(KTHREADD, RLIMIT_NOFILE, NULL, &limit), 0);
}

ABI_TEST(kernel_thread, is_scheduled_as_it_is_told)
{
    struct sched_param param = {.sched_priority = 7};

    need_kthreadd();
    pid_t pid = find("ksoftirqd/0", 0);
    CHECK(pid > 0);
    CHECK_EQ(syscall(SYS_sched_getscheduler, pid), SCHED_OTHER);
    CHECK_EQ(syscall(SYS_sched_setscheduler, pid, SCHED_FIFO, &param), 0);
    CHECK_EQ(syscall(SYS_sched_getscheduler, pid), SCHED_FIFO);
    param.sched_priority = 0;
    CHECK_EQ(syscall(SYS_sched_getparam, pid, &param), 0);
    CHECK_EQ(param.sched_priority, 7);
    param.sched_priority = 0;
    CHECK_EQ(syscall(SYS_sched_setscheduler, pid, SCHED_OTHER, &param), 0);
    CHECK_EQ(setpriority(PRIO_PROCESS, (id_t)pid, 3), 0);
    CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)pid), 3);
    CHECK_EQ(setpriority(PRIO_PROCESS, (id_t)pid, 0), 0);
}

ABI_TEST(kernel_thread, of_one_cpu_stays_there)
{
    cpu_set_t was, set;

    need_kthreadd();
    pid_t pid = find("ksoftirqd/0", NO_SET_AFFINITY);
    CHECK(pid > 0);
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    CHECK_EQ(sched_getaffinity(pid, sizeof(was), &was), 0);
    CHECK(CPU_EQUAL(&was, &set));
    CHECK_ERR(sched_setaffinity(pid, sizeof(set), &set), EINVAL);
    CHECK_EQ(sched_getaffinity(KTHREADD, sizeof(was), &was), 0);
    CHECK_EQ(sched_setaffinity(KTHREADD, sizeof(set), &set), 0);
    CHECK_EQ(sched_setaffinity(KTHREADD, sizeof(was), &was), 0);
}

ABI_TEST(kernel_thread, owns_no_lock_of_users)
{
    uint32_t word = KTHREADD;

    need_kthreadd();
    CHECK_ERR(syscall(SYS_futex, &word, FUTEX_LOCK_PI, 0, NULL), EPERM);
}

/* Its clock of CPU time is there for others, and can carry timers: this one will not have expired before it is deleted. */
ABI_TEST(kernel_thread, has_a_clock)
{
    struct itimerspec spec = {.it_value = {.tv_sec = 1000000}};
    struct timespec used;
    clockid_t clock;
    int timer;

    need_kthreadd();
    CHECK_EQ(clock_getcpuclockid(KTHREADD, &clock), 0);
    CHECK_EQ(clock_gettime(clock, &used), 0);
    CHECK_EQ(syscall(SYS_timer_create, clock, NULL, &timer), 0);
    CHECK_EQ(syscall(SYS_timer_settime, timer, 0, &spec, NULL), 0);
    CHECK_EQ(syscall(SYS_timer_delete, timer), 0);
}
