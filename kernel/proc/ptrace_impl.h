/*
 * What the files about tracing share with each other and with those about signals, threads and waiting.
 */
#pragma once

#include "kernel/proc/internal.h"
#include "kernel/proc/ptrace.h"

/* The references of a link that is no more; NULL: none. */
struct trace_refs {
    struct thread *thread;
    struct process *process;
};

/* ---- ptrace.c ---- */
/* The thread's, made if it is not there yet. NULL: no memory. */
struct trace *trace_of(struct thread *thread);
/* Tree lock and the thread's siglock held, the thread in its process' list. */
void trace_link_locked(struct trace *trace, struct thread *tracer, bool seized, uint32_t options);
/*
 * No longer traced; a stop ends, and `signal` takes its place. Tree lock and siglock held. The caller then owes trace_release() without
 * them.
 */
void trace_unlink_locked(struct trace *trace, int signal, struct trace_refs *ret_refs);
void trace_release(const struct trace_refs *refs);
/* End its stop. siglock held. */
void trace_resume_locked(struct trace *trace, int signal);
/* Count the thread in syscall_watchers, or do not. siglock held. */
void trace_watch_locked(struct trace *trace, bool on);
/* Does the tracer's process differ from the traced one's parent? Tree lock held. */
bool trace_is_reparented_locked(const struct trace *trace);

/*
 * clone(2): will the child be traced too, as an option for `event` or CLONE_PTRACE (`wanted`) says? Makes its struct trace then. -ENOMEM.
 */
int ptrace_clone_prepare(struct thread *child, int event, bool wanted);
/* It becomes findable: link it to its parent's tracer. Tree lock held, and the siglock of its process, if others know that. */
void ptrace_clone_link_locked(struct thread *child);
/* The event that reports such a child, 0: none. */
int ptrace_clone_event(uint64_t clone_flags, int exit_signal);
/* The current thread has executed a program; it had the number old_tid before. */
void ptrace_exec_done(int old_tid);

/* The current thread begins to end: let those that it traces go. */
void ptrace_exit_tracer(void);
/* The thread begins to end, and this is what its tracer will be told. siglock held. */
void ptrace_exit_note_locked(struct thread *thread, int wait_status);
/* It has ended. Tree lock held; its siglock is not. */
void ptrace_exit_tracee_locked(struct thread *thread, uint32_t uid);
/* execve has taken the main thread's place: nobody hears of its end. Tree lock and siglock held; *ret_refs to be released. */
void ptrace_forget_leader_locked(struct thread *leader, struct trace_refs *ret_refs);

/* ---- ptrace_stop.c ---- */
/* Is there a reason to come to the tracer? siglock held. */
static inline bool trace_trap_pending(const struct thread *thread)
{
    return thread_is_traced(thread) && (thread->trace->trap_stop || thread->trace->trap_notify);
}
/* The siglock is held with interrupt state *flags, and held again at the end; it is let go for the time of the stop. */
/* A signal is about to be acted on: the one that is instead, with its information in thread->trace->info; 0: none. */
int ptrace_signal_locked(struct process *process, struct thread *thread, int signo,
                         struct signal_queued *queued, bool shared, uint64_t *flags);
/* trace_trap_pending(), or the group stops: stop for the tracer. */
void ptrace_trap_locked(struct process *process, struct thread *thread, uint64_t *flags);
/* Tell a seized thread that the group's stop has changed. siglock held. */
void ptrace_trap_notify_locked(struct thread *thread);
/* The tracer wants it to stop at once. siglock held. */
void ptrace_interrupt_locked(struct trace *trace);
/* A handler was set up while the thread was being stepped. */
void ptrace_handler_stepped(struct thread *thread);
/* Wake the tracer's wait, with SIGCHLD: why is CLD_*. Tree lock held, no siglock. */
void ptrace_tell_tracer_locked(struct trace *trace, int why, int status);

/* ---- wait.c ---- */
/* What a wait has taken out of the world, to be released without locks. */
struct wait_taken {
    struct process *dead;
    struct trace_refs refs;
};
bool wait_matches_pid(const struct process *me, const struct pid *pid, const struct pid *group,
                      const struct wait_request *request);
void wait_fill_info(struct wait_request *request, int nr, uint32_t uid, int code, int status);
void wait_fill_exit(struct wait_request *request, int nr, uint32_t uid, int status);

/* ---- ptrace_wait.c ---- */
/* A stop that has not been told yet: the thread's number; 0: none. Tree lock held. */
int64_t ptrace_take_stop_locked(struct trace *trace, struct wait_request *request);
/* What the process' tracees have to tell that are not its own children: a number, 0, or -ECHILD. Tree lock held. */
int64_t ptrace_look_locked(struct process *me, struct wait_request *request,
                           struct wait_taken *ret_taken);
