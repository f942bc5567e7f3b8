/*
 * Tracing of threads by other threads (ptrace(2)).
 *
 * Between tracer and tracee stands a struct trace, which belongs to the traced thread and is freed with it: it is made when the thread is first
 * traced, and `tracer` says whether it is now. The tracee stops by itself, on its way to user mode or at an event in a system call
 * (ptrace_stop.c); the tracer hears of it by SIGCHLD and wait4 (ptrace_wait.c), and asks for things while it is stopped (ptrace_request.c).
 *
 * A thread that was traced when it ended stays in its tracer's list until that has waited for it; the main thread's end is its process'.
 *
 * Locks:  T process_tree_lock   S siglock of the traced thread's process   TS changed under both   I immutable   a atomic
 *         s the tracee alone while it runs; under S, or by the tracer alone, while it is in a stop
 */
#pragma once

#include <linux/ptrace.h>

#include "kernel/proc/signal.h"

enum trace_mode {
    TRACE_CONT,
    TRACE_SYSCALL,     /* stop at the next entry or exit of a system call */
    TRACE_STEP,        /* stop after the next instruction */
    TRACE_SYSEMU,      /* stop at the next entry, and do not make the call */
    TRACE_SYSEMU_STEP, /* both */
};

struct trace {
    struct thread *thread; /* [I] the traced one */
    struct process
        *process; /* [T] its process, which it forgets when it ends; referenced while traced */
    struct thread *tracer; /* [TS] NULL: not traced. While it is set, `thread` is referenced */
    struct list_node link; /* [T] in the tracees of the tracer's process */
    bool seized;           /* [TS] PTRACE_SEIZE, not PTRACE_ATTACH */
    bool privileged;       /* [TS] who asked for it may trace what gains privileges */
    uint32_t options;      /* [S] PTRACE_O_* */

    /* What the tracee is yet to do. */
    bool trap_stop;   /* [S] stop, with the group or for PTRACE_INTERRUPT */
    bool trap_notify; /* [S] a seized one: the group's stop has begun or ended */
    bool
        trapping; /* [S] stopped with its group when it was attached to: comes over into a stop of ours */
    bool watched;         /* [S] counted in syscall_watchers, with THREAD_WORK_TRACE */
    enum trace_mode mode; /* [s] how it was resumed */

    /* The stop that it is in. */
    bool stopped;      /* [S] */
    bool listening;    /* [S] PTRACE_LISTEN: nothing may be asked, but events show */
    bool in_call;      /* [s] inside a system call, which it will leave later */
    bool has_info;     /* [s] */
    int code;          /* [S] for wait4: signal, and event << 8; 0: told already */
    int resume_signal; /* [S] what goes on in place of the signal that it stopped for */
    uint64_t message;  /* [s] PTRACE_GETEVENTMSG */
    siginfo_t info;    /* [s] */

    /* The end of a thread that is not the main one. */
    bool exited;   /* [T] */
    int exit_code; /* [S] wait status */
    uint32_t uid;  /* [T] */
};

/* Threads whose system calls are of interest to somebody. While it is 0, entering one costs nothing for tracing. */
extern uint32_t syscall_watchers; /* [a] */

static inline bool thread_is_traced(const struct thread *thread)
{
    return unlikely(thread->trace != NULL) && atomic_load_relaxed(&thread->trace->tracer) != NULL;
}
/* Number of the thread that traces this one, 0: none; and whether it stands still for it. */
int ptrace_tracer_nr(struct thread *thread);
bool ptrace_is_stopped(const struct thread *thread);
/*
 * execve(2) is to give the current thread privileges (set-user-ID): false if it is traced by who may not trace what has them. Nobody like that can
 * attach while `exec_raises` is set. Tree lock held.
 */
bool ptrace_may_raise_locked(void);

/* ---- the system call (ptrace.c, ptrace_request.c) ---- */

int ptrace_traceme(void);
int ptrace_attach(int tid, bool seize, uint64_t options);
/* All other requests, on a thread that the current one traces. -ESRCH: it does not, or it is not in a stop. */
int64_t ptrace_request(int request, int tid, uint64_t addr, uint64_t data);

/* ---- the tracee's side (ptrace_stop.c); by the thread itself, nothing locked ---- */

/* THREAD_WORK_TRACE, at the entry of a system call. False: it is not to be made; its result is in the frame. */
bool ptrace_syscall_enter(struct trapframe *frame);
/* THREAD_WORK_SYSEXIT, on the way out. */
void ptrace_syscall_leave(struct trapframe *frame);
/* PTRACE_EVENT_*: stop if the tracer wants to know. */
void ptrace_event(int event, uint64_t message);
