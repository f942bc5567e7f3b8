/*
 * For tests of ptrace(2): a child that stops itself at the start, and steps of its tracer with the wait that follows.
 */
#pragma once

#include "abi.h"

#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#define TRACE(request, pid, addr, data)                                                            \
    syscall(SYS_ptrace, (long)(request), (long)(pid), (long)(addr), (long)(data))
#define STOPPED(signo)       ((signo) << 8 | 0x7f)
#define EVENT_STOPPED(event) ((event) << 16 | SIGTRAP << 8 | 0x7f)
#define SYSCALL_STOPPED      ((SIGTRAP | 0x80) << 8 | 0x7f)

/* A child that has asked to be traced and stopped itself; it goes on with `code` and exits with 0. */
#define TRACED_CHILD(...)                                                                          \
    ({                                                                                             \
        pid_t child_ = abi_fork();                                                                 \
        if (child_ == 0) {                                                                         \
            if (TRACE(PTRACE_TRACEME, 0, 0, 0) != 0) {                                             \
                _exit(99);                                                                         \
            }                                                                                      \
            raise(SIGSTOP);                                                                        \
            __VA_ARGS__;                                                                           \
            _exit(0);                                                                              \
        }                                                                                          \
        CHECK_EQ(trace_wait(child_), STOPPED(SIGSTOP));                                            \
        child_;                                                                                    \
    })

static inline int trace_wait(pid_t pid)
{
    int status = -1;

    CHECK_EQ(waitpid(pid, &status, __WALL), pid);
    return status;
}

/* Let it go on by `request`, with a signal or 0, and give the next status. */
static inline int trace_go(int request, pid_t pid, int signo)
{
    CHECK_EQ(TRACE(request, pid, 0, signo), 0);
    return trace_wait(pid);
}

static inline struct user_regs_struct trace_regs(pid_t pid)
{
    struct user_regs_struct regs;

    CHECK_EQ(TRACE(PTRACE_GETREGS, pid, 0, &regs), 0);
    return regs;
}

static inline void trace_set_regs(pid_t pid, const struct user_regs_struct *regs)
{
    CHECK_EQ(TRACE(PTRACE_SETREGS, pid, 0, regs), 0);
}

/* The letter of its state in /proc, and who traces it. */
static inline char trace_state(pid_t pid, int *ret_tracer)
{
    char path[64], text[4096];

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    CHECK(n > 0);
    text[n] = '\0';
    close(fd);
    const char *tracer = strstr(text, "TracerPid:"), *state = strstr(text, "State:");
    CHECK(tracer != NULL && state != NULL);
    if (ret_tracer != NULL) {
        *ret_tracer = atoi(tracer + 10);
    }
    return state[7];
}

/* A child that waits in pause() without being traced. */
static inline pid_t trace_idle_child(void)
{
    pid_t pid = abi_fork();

    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    while (trace_state(pid, NULL) != 'S') {
        abi_sleep_ms(1);
    }
    return pid;
}

/* It dies, and that is the tracer's to know. */
static inline void trace_end(pid_t pid)
{
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(trace_wait(pid), SIGKILL);
}
