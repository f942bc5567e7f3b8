/*
 * System calls: how a handler is written, and how its arguments are named for the tracer.
 *
 *     SYSCALL3(read, int, fd, void __user *, buf, size_t, count)
 *     {
 *         ...                                 returns a result or a negative errno
 *     }
 *
 * and one line in syscalls.def:  SYSCALL_ENTRY(read, FD, PTR, SIZE)
 * from which the dispatch table and the tracer are both made.
 *
 * Context: the calling thread, interrupts on, nothing held. A handler checks each argument; user memory only through machine/user.h.
 */
#pragma once

#include "kernel/base/errno.h"
#include "kernel/machine/user.h"

typedef int64_t syscall_fn(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                           uint64_t a5);

#define SYSCALL_ARGS_                                                                              \
    __maybe_unused uint64_t a0, __maybe_unused uint64_t a1, __maybe_unused uint64_t a2,            \
        __maybe_unused uint64_t a3, __maybe_unused uint64_t a4, __maybe_unused uint64_t a5

#define SYSCALL_BODY_(name, params, call)                                                          \
    static __always_inline int64_t sys_body_##name params;                                         \
    int64_t sys_##name(SYSCALL_ARGS_);                                                             \
    int64_t sys_##name(SYSCALL_ARGS_)                                                              \
    {                                                                                              \
        return sys_body_##name call;                                                               \
    }                                                                                              \
    static __always_inline int64_t sys_body_##name params

#define SYSCALL0(name)                 SYSCALL_BODY_(name, (void), ())
#define SYSCALL1(name, t0, n0)         SYSCALL_BODY_(name, (t0 n0), ((t0)a0))
#define SYSCALL2(name, t0, n0, t1, n1) SYSCALL_BODY_(name, (t0 n0, t1 n1), ((t0)a0, (t1)a1))
#define SYSCALL3(name, t0, n0, t1, n1, t2, n2)                                                     \
    SYSCALL_BODY_(name, (t0 n0, t1 n1, t2 n2), ((t0)a0, (t1)a1, (t2)a2))
#define SYSCALL4(name, t0, n0, t1, n1, t2, n2, t3, n3)                                             \
    SYSCALL_BODY_(name, (t0 n0, t1 n1, t2 n2, t3 n3), ((t0)a0, (t1)a1, (t2)a2, (t3)a3))
#define SYSCALL5(name, t0, n0, t1, n1, t2, n2, t3, n3, t4, n4)                                     \
    SYSCALL_BODY_(name, (t0 n0, t1 n1, t2 n2, t3 n3, t4 n4),                                       \
                  ((t0)a0, (t1)a1, (t2)a2, (t3)a3, (t4)a4))
#define SYSCALL6(name, t0, n0, t1, n1, t2, n2, t3, n3, t4, n4, t5, n5)                             \
    SYSCALL_BODY_(name, (t0 n0, t1 n1, t2 n2, t3 n3, t4 n4, t5 n5),                                \
                  ((t0)a0, (t1)a1, (t2)a2, (t3)a3, (t4)a4, (t5)a5))

/* How the tracer prints an argument. */
enum syscall_arg {
    ARG_NONE,
    ARG_INT,
    ARG_HEX,
    ARG_OCT,
    ARG_PTR,
    ARG_STR,
    ARG_FD,
    ARG_SIZE,
    ARG_SIG
};

/* Names of all system calls that Linux has, made from <asm/unistd_64.h>: NULL for holes. */
extern const char *const syscall_names[];
extern const unsigned syscall_names_count;

/* Boot: read the tracer's parameter, linnet.trace=PID, a command's name, or all. */
void syscall_trace_init(void);
