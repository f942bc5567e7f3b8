/*
 * ABI tests: what a Linux program sees. Each test passes on Linux first, then on Linnet, so the test itself is proved right.
 *
 *     ABI_TEST(pipe, write_without_readers_gives_epipe) { ... CHECK_ERR(write(fd, "x", 1), EPIPE); ... }
 *
 * A test runs in a child of its own, in a fresh empty working directory, as root, and ends at the first check that fails.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct abi_test {
    const char *noun;
    const char *name;
    void (*run)(void);
};

#define ABI_TEST(noun_, name_)                                                                     \
    static void abi_##noun_##_##name_(void);                                                       \
    static const struct abi_test abi_entry_##noun_##_##name_                                       \
        __attribute__((section("abi_tests"), used, retain, aligned(8))) = {#noun_, #name_,         \
                                                                           abi_##noun_##_##name_}; \
    static void abi_##noun_##_##name_(void)

void abi_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

/* This machine lacks what the test is about: the result says so. */
void abi_skip(const char *why) __attribute__((noreturn));

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            abi_fail(__FILE__, __LINE__, "expected %s (errno %d)", #cond, errno);                  \
        }                                                                                          \
    } while (0)
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long check_a_ = (long long)(a), check_b_ = (long long)(b);                            \
        if (check_a_ != check_b_) {                                                                \
            abi_fail(__FILE__, __LINE__, "expected %s == %s, got %lld and %lld (errno %d)", #a,    \
                     #b, check_a_, check_b_, errno);                                               \
        }                                                                                          \
    } while (0)
/* The call fails with this errno. */
#define CHECK_ERR(call, error)                                                                     \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long long check_r_ = (long long)(call);                                                    \
        if (check_r_ != -1 || errno != (error)) {                                                  \
            abi_fail(__FILE__, __LINE__, "expected %s to fail with %d, got %lld, errno %d", #call, \
                     (error), check_r_, errno);                                                    \
        }                                                                                          \
    } while (0)

/* fork(2) that gives a child or ends the test: kill(-1, ...) would go to everybody. */
#define abi_fork()                                                                                 \
    ({                                                                                             \
        pid_t fork_ = fork();                                                                      \
        CHECK(fork_ >= 0);                                                                         \
        fork_;                                                                                     \
    })

/* Run `code` in a child and give its wait status. */
#define IN_CHILD(...)                                                                              \
    ({                                                                                             \
        int child_status_ = -1;                                                                    \
        fflush(NULL);                                                                              \
        pid_t child_ = abi_fork();                                                                 \
        if (child_ == 0) {                                                                         \
            __VA_ARGS__;                                                                           \
            _exit(0);                                                                              \
        }                                                                                          \
        CHECK_EQ(waitpid(child_, &child_status_, 0), child_);                                      \
        child_status_;                                                                             \
    })

static inline void abi_sleep_ms(long ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

    while (nanosleep(&ts, &ts) != 0 && errno == EINTR) {
    }
}

/* The letter of a thread's state in /proc: 'S' sleeps, 'Z' has ended ...; 0: there is none. */
static inline char abi_state(pid_t pid, pid_t tid)
{
    char path[64], text[512] = "";

    snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        return 0;
    }
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    return n <= 0 ? 0 : strrchr(text, ')')[2];
}

/* For a child that leaves the test's process group, before it does: it ends with its parent, also when that has ended already. */
static inline void abi_end_with(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent) {
        _exit(1);
    }
}

static inline void abi_wait_state(pid_t pid, pid_t tid, char letter)
{
    while (abi_state(pid, tid) != letter) {
        abi_sleep_ms(1);
    }
}

/* A child that sends `signo` to its parent, a single thread, as soon as that sleeps; whoever wants to reap it does. */
static inline pid_t abi_wake_by(int signo)
{
    pid_t sleeper = getpid(), waker = abi_fork();

    if (waker == 0) {
        abi_end_with(sleeper);
        abi_wait_state(sleeper, sleeper, 'S');
        _exit(kill(sleeper, signo));
    }
    return waker;
}

/* Until so many threads of this process sleep. */
static inline void abi_wait_asleep(unsigned count)
{
    for (unsigned asleep = 0; asleep < count; abi_sleep_ms(1)) {
        DIR *dir = opendir("/proc/self/task");
        const struct dirent *entry;

        asleep = 0;
        while ((entry = readdir(dir)) != NULL) {
            asleep += entry->d_name[0] != '.' && abi_state(getpid(), atoi(entry->d_name)) == 'S';
        }
        closedir(dir);
    }
}

/* MemFree, without what the kernel keeps at hand as long as nobody wants it; -1: this may not be known. */
static inline long abi_free_kib(void)
{
    char line[128];
    long kib = -1;
    int drop = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

    if (drop < 0 || write(drop, "3", 1) != 1) {
        return -1;
    }
    (void)close(drop);
    FILE *file = fopen("/proc/meminfo", "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL &&
           sscanf(line, "MemFree: %ld kB", &kib) != 1) {
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return kib;
}

/* The link in /proc that tells what a descriptor is of. */
static inline void abi_check_link(int fd, const char *text)
{
    char path[64], link[256] = "";

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    CHECK(readlink(path, link, sizeof(link) - 1) > 0);
    if (strcmp(link, text) != 0) {
        abi_fail(__FILE__, __LINE__, "expected descriptor %d to be of '%s', got '%s'", fd, text,
                 link);
    }
}

/* What is in a file, up to a megabyte, in a buffer that the next call uses again. */
char *abi_read_file(const char *path);
/* This program as a file of its own, to be executed. */
void abi_copy_self(const char *path, mode_t mode);

/* A file with this content. */
static inline void abi_write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    CHECK_EQ(close(fd), 0);
}
