/* What /proc/PID tells of a thread that waits, and of its timers: wchan, stack, syscall, stat, timers. */
#include "abi.h"

#include <sys/prctl.h>

/* The text of /proc/PID/NAME; its length, or -1 with errno. */
static ssize_t read_of(pid_t pid, const char *name, char *buf, size_t size)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return -1;
    }
    ssize_t n = read(fd, buf, size - 1);
    int error = errno;
    close(fd);
    errno = error;
    buf[n < 0 ? 0 : n] = '\0';
    return n;
}

static void need(const char *name)
{
    char buf[4096];

    if (read_of(getpid(), name, buf, sizeof(buf)) < 0 && (errno == ENOENT || errno == EPERM)) {
        abi_skip("no such file in /proc/PID here");
    }
}

/* A child that reads from a pipe in which nothing comes, and sleeps there. */
static pid_t sleeper(int *ret_fd)
{
    int fds[2];
    char buf[4096], state = 0;

    CHECK_EQ(pipe(fds), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
        (void)!syscall(SYS_read, fds[0], (void *)0x123456, 17);
        _exit(0);
    }
    while (state != 'S') {
        abi_sleep_ms(2);
        CHECK(read_of(pid, "syscall", buf, sizeof(buf)) > 0);
        if (strncmp(buf, "0 ", 2) == 0) {
            CHECK(read_of(pid, "stat", buf, sizeof(buf)) > 0);
            state = strrchr(buf, ')')[2];
        }
    }
    *ret_fd = fds[0];
    return pid;
}

static void end(pid_t pid)
{
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

ABI_TEST(waiting, syscall_shows_number_arguments_and_place)
{
    unsigned long long args[6], sp, pc;
    char buf[4096];
    int fd, nr;

    need("syscall");
    pid_t pid = sleeper(&fd);
    CHECK(read_of(pid, "syscall", buf, sizeof(buf)) > 0);
    CHECK_EQ(sscanf(buf, "%d %llx %llx %llx %llx %llx %llx %llx %llx", &nr, &args[0], &args[1],
                    &args[2], &args[3], &args[4], &args[5], &sp, &pc),
             9);
    CHECK_EQ(nr, SYS_read);
    CHECK_EQ(args[0], fd);
    CHECK_EQ(args[1], 0x123456);
    CHECK_EQ(args[2], 17);
    CHECK(sp > 4096 && pc > 4096 && sp < 1ull << 47 && pc < 1ull << 47);
    CHECK(buf[strlen(buf) - 1] == '\n');
    end(pid);
}

ABI_TEST(waiting, syscall_of_the_reader_is_its_read)
{
    char buf[4096], start[64];

    need("syscall");
    int fd = open("/proc/self/syscall", O_RDONLY);
    CHECK(fd >= 0);
    ssize_t n = read(fd, buf, sizeof(buf) - 1);
    CHECK(n > 0);
    buf[n] = '\0';
    (void)snprintf(start, sizeof(start), "0 0x%x 0x%llx 0x%x ", fd,
                   (unsigned long long)(uintptr_t)buf, (unsigned)sizeof(buf) - 1);
    CHECK_EQ(strncmp(buf, start, strlen(start)), 0);
}

ABI_TEST(waiting, syscall_of_one_that_runs_is_running)
{
    char buf[4096] = "";
    volatile bool go_on = true;

    need("syscall");
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
        while (go_on) {
        }
        _exit(0);
    }
    while (strcmp(buf, "running\n") != 0) {
        abi_sleep_ms(2);
        CHECK(read_of(pid, "syscall", buf, sizeof(buf)) > 0);
    }
    CHECK(read_of(pid, "wchan", buf, sizeof(buf)) > 0);
    CHECK_EQ(strcmp(buf, "0"), 0);
    end(pid);
}

ABI_TEST(waiting, stopped_outside_of_a_call_shows_place_alone)
{
    unsigned long long sp, pc;
    char buf[4096], state = 0, rest[8];
    volatile bool go_on = true;
    int nr;

    need("syscall");
    pid_t pid = abi_fork();
    if (pid == 0) {
        CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGKILL), 0);
        while (go_on) {
        }
        _exit(0);
    }
    do { /* it has begun to spin: it cannot have been in a call when it was stopped */
        abi_sleep_ms(2);
        CHECK(read_of(pid, "syscall", buf, sizeof(buf)) > 0);
    } while (strcmp(buf, "running\n") != 0);
    abi_sleep_ms(20);
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    while (state != 'T') {
        abi_sleep_ms(2);
        CHECK(read_of(pid, "stat", buf, sizeof(buf)) > 0);
        state = strrchr(buf, ')')[2];
    }
    do {
        CHECK(read_of(pid, "syscall", buf, sizeof(buf)) > 0);
    } while (strcmp(buf, "running\n") == 0);
    CHECK_EQ(sscanf(buf, "%d %llx %llx%7s", &nr, &sp, &pc, rest), 3);
    CHECK_EQ(nr, -1);
    end(pid);
}

ABI_TEST(waiting, wchan_names_a_function_and_stat_says_so)
{
    char buf[4096];
    int fd;

    need("syscall");
    pid_t pid = sleeper(&fd);
    CHECK(read_of(pid, "wchan", buf, sizeof(buf)) > 0);
    CHECK(strlen(buf) > 1 && strspn(buf, "abcdefghijklmnopqrstuvwxyz_0123456789.") == strlen(buf));
    CHECK(buf[0] != '0');
    CHECK(strstr(buf, "schedule") == NULL);
    CHECK(read_of(pid, "stat", buf, sizeof(buf)) > 0);
    char *at = strrchr(buf, ')') + 2;
    for (int field = 3; field < 35; field++) {
        at = strchr(at, ' ') + 1;
    }
    CHECK_EQ(strncmp(at, "1 ", 2), 0);
    CHECK(read_of(getpid(), "wchan", buf, sizeof(buf)) > 0);
    CHECK_EQ(strcmp(buf, "0"), 0);
    end(pid);
}

ABI_TEST(waiting, stack_shows_the_way_to_the_sleep)
{
    char buf[8192], line[256];
    unsigned lines = 0;
    int fd;

    need("stack");
    pid_t pid = sleeper(&fd);
    CHECK(read_of(pid, "stack", buf, sizeof(buf)) > 0);
    for (char *at = buf; *at != '\0'; lines++) {
        char name[200];
        unsigned offset, size;
        size_t len = strcspn(at, "\n");
        CHECK(len < sizeof(line) && at[len] == '\n');
        memcpy(line, at, len);
        line[len] = '\0';
        CHECK_EQ(sscanf(line, "[<0>] %199[^+]+0x%x/0x%x", name, &offset, &size), 3);
        CHECK(offset <= size && size > 0);
        at += len + 1;
    }
    CHECK(lines >= 3);
    end(pid);
}

ABI_TEST(waiting, others_secrets_are_not_told)
{
    char buf[4096];
    int fd;

    need("syscall");
    pid_t pid = sleeper(&fd);
    int status = IN_CHILD({
        CHECK_EQ(setgid(1000), 0);
        CHECK_EQ(setuid(1000), 0);
        CHECK_EQ(read_of(pid, "syscall", buf, sizeof(buf)), -1);
        CHECK(errno == EACCES || errno == EPERM);
        CHECK_EQ(read_of(pid, "stack", buf, sizeof(buf)), -1);
        CHECK(errno == EACCES || errno == EPERM);
        CHECK(read_of(pid, "wchan", buf, sizeof(buf)) > 0);
        CHECK_EQ(strcmp(buf, "0"), 0);
    });
    CHECK_EQ(status, 0);
    end(pid);
}

ABI_TEST(waiting, timers_are_listed_as_they_were_made)
{
    char buf[4096], expected[512];
    struct sigevent event = {0};
    timer_t first, second, third;

    if (access("/proc/self/timers", F_OK) != 0) {
        abi_skip("no /proc/PID/timers here");
    }
    CHECK_EQ(read_of(getpid(), "timers", buf, sizeof(buf)), 0);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR2;
    event.sigev_value.sival_ptr = (void *)0x1234567;
    CHECK_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &first), 0);
    event.sigev_notify = SIGEV_NONE;
    CHECK_EQ(syscall(SYS_timer_create, CLOCK_REALTIME, &event, &second), 0);
    event.sigev_notify = 4; /* SIGEV_THREAD_ID */
    event.sigev_signo = 36;
    *(int *)((char *)&event + 16) = (int)syscall(SYS_gettid);
    CHECK_EQ(syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, &event, &third), 0);
    CHECK(read_of(getpid(), "timers", buf, sizeof(buf)) > 0);
    int pid = getpid();
    size_t len = 0;
    for (int i = 0; i < 3; i++) { /* in any order */
        const char *form[] = {
            "ID: 0\nsignal: 12/0000000001234567\nnotify: signal/pid.%d\nClockID: 1\n",
            "ID: 1\nsignal: 12/0000000001234567\nnotify: none/pid.%d\nClockID: 0\n",
            "ID: 2\nsignal: 36/0000000001234567\nnotify: signal/tid.%d\nClockID: -6\n"};
        len += (size_t)snprintf(expected, sizeof(expected), form[i], pid);
        if (strstr(buf, expected) == NULL) {
            abi_fail(__FILE__, __LINE__, "expected:\n%s\nin:\n%s", expected, buf);
        }
    }
    CHECK_EQ(strlen(buf), len);
}
