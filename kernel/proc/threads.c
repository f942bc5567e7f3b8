/*
 * The threads of a process: joining it, leaving it, ending the others.
 *
 * A thread leaves in two steps. When it begins, it stops taking signals and its siblings get what it will not take any more; when it has let
 * go of memory and files, it goes out of the list. The last one to begin ends what belongs to the process alone (timers, terminal); the
 * last one to finish makes the process a zombie. These may be two different threads. The main thread stays in the list when it ends
 * before the others: its number is the process', and its structure keeps it.
 *
 * Threads are ended by making SIGKILL pending for each (calls.c), without a queue entry; on its way to user mode each finds out why:
 * `group_exiting`, or `exec_thread` is another one.
 *
 * Locks: process->threads and nthreads are changed under the tree lock and the siglock, nlive and the flags under the siglock.
 */
#include "kernel/core/panic.h"
#include "kernel/machine/smp.h"
#include "kernel/proc/ptrace_impl.h"

/* ---- what threads use ---- */

void usage_add_io(struct thread_io *sum, const struct thread_io *more)
{
    sum->read_bytes += more->read_bytes;
    sum->write_bytes += more->write_bytes;
    sum->reads += more->reads;
    sum->writes += more->writes;
}

static void usage_add_thread(struct usage *usage, struct thread *thread)
{
    ktime_t user, system;

    thread_times(thread, &user, &system);
    usage->user_ns += user;
    usage->system_ns += system;
    usage->minflt += thread->minflt;
    usage->majflt += thread->majflt;
    usage->nvcsw += thread->nvcsw;
    usage->nivcsw += thread->nivcsw;
    usage_add_io(&usage->io, &thread->io);
}

void thread_usage(struct thread *thread, struct usage *ret_usage)
{
    *ret_usage = (struct usage){0};
    usage_add_thread(ret_usage, thread);
}

void process_usage_locked(const struct process *process, struct usage *ret_usage)
{
    struct thread *thread;

    *ret_usage = process->ended;
    list_for_each (thread, &process->threads, process_node) {
        usage_add_thread(ret_usage, thread);
    }
}

/* With interrupts off so many are added up at a time. */
#define USAGE_TURN  32u
#define USAGE_TRIES 4u

/* With others let in between turns. False: a thread has left meanwhile, which is counted elsewhere then. */
static bool usage_in_turns(struct process *process, struct usage *ret_usage)
{
    struct thread *thread, *held = NULL;
    unsigned turn = 0;
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    unsigned departures = process->departures;

    *ret_usage = process->ended;
    list_for_each (thread, &process->threads, process_node) {
        if (unlikely(++turn % USAGE_TURN == 0)) {
            thread_get(thread);
            spin_unlock_irqrestore(&process->siglock, flags);
            thread_put(held);
            held = thread;
            flags = spin_lock_irqsave(&process->siglock);
            if (process->departures != departures) {
                break;
            }
        }
        usage_add_thread(ret_usage, thread);
    }
    bool whole = process->departures == departures;
    spin_unlock_irqrestore(&process->siglock, flags);
    thread_put(held);
    return whole;
}

void process_usage(struct process *process, struct usage *ret_usage)
{
    for (unsigned i = 0; i < USAGE_TRIES; i++) {
        if (likely(usage_in_turns(process, ret_usage))) {
            return;
        }
    }
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    process_usage_locked(process, ret_usage);
    spin_unlock_irqrestore(&process->siglock, flags);
}

/* ---- joining ---- */

int thread_join(struct process *process, struct thread *thread)
{
    int err = 0;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    spin_lock(&process->siglock);
    if (process->group_exiting || process->exec_thread != NULL ||
        thread_stop_wanted(process, current_thread())) {
        /* The caller sees to it on its way out, whether or not it has been called. */
        thread_set_work(current_thread(), THREAD_WORK_SIGNAL);
        err = -ERESTARTNOINTR;
    } else {
        list_push_back(&process->threads, &thread->process_node);
        process->nthreads++;
        process->ncharged++;
        threads_move(cred_current()->user, process->user,
                     1); /* another thread's clone may have changed it */
        process->nlive++;
        thread->pid->thread = thread;
        fs_join_locked(thread);
        cpu_timers_join(process, thread);
        if (unlikely(process->cpu_timers.watched) && process->nlive <= cpu_count()) {
            cpu_timers_look_locked(process); /* more of them run at once than before */
        }
        if (unlikely(process->stopped)) {
            /* The caller has not been called yet, or runs because its tracer says so. */
            thread_want_stop_locked(process, thread);
            thread_set_work(thread, THREAD_WORK_SIGNAL);
        }
        ptrace_clone_link_locked(thread);
    }
    spin_unlock(&process->siglock);
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return err;
}

/* ---- ending others ---- */

bool group_exit_locked(struct process *process, int wait_status)
{
    if (process->group_exiting || process->exec_thread != NULL) {
        return false;
    }
    process->group_exiting = true;
    process->exit_code = wait_status;
    if (likely(process->nlive == 1)) {
        return false;
    }
    process->stopped = false;
    stop_let_off_locked(process);
    call_begin_locked(process, CALL_END);
    return true;
}

/* ---- leaving ---- */

bool thread_leave_begin(struct process *process, struct thread *thread, int wait_status, bool group)
{
    struct list_node forgotten = LIST_INIT(forgotten);
    uint64_t flags = spin_lock_irqsave(&process->siglock);

    bool call = group && group_exit_locked(process, wait_status);
    thread->exiting = true;
    ptrace_exit_note_locked(thread, process->group_exiting ? process->exit_code : wait_status);
    bool last = --process->nlive == 0, stopped = false;
    /* A dump that has begun since the thread came by coredump_halt() counts on it. */
    bool halted = unlikely(process->dumping) && --process->dump_left == 0;
    struct usage usage;
    if (unlikely(process->call == CALL_GO_ON)) {
        call_turn_locked(process); /* what it would have done on its way to user mode */
    }
    if (unlikely(thread->switch_work != 0)) {
        cpu_timers_leave_locked(process, thread);
    }
    if (likely(last)) {
        if (!process->group_exiting) {
            process->group_exiting = true;
            process->exit_code = wait_status;
        }
    } else if (!process->group_exiting) {
        stopped = stop_take_part_locked(process, thread);
        signal_retarget_locked(process, thread, ~thread->sig_blocked);
    }
    bool had_signals = signal_pending_forget_locked(&thread->sig_pending, &forgotten);
    thread_clear_work(thread, THREAD_WORK_SIGNAL | THREAD_WORK_SIGMASK);
    spin_unlock_irqrestore(&process->siglock, flags);
    if (unlikely(call)) {
        call_finish(process, CALL_END);
    }
    if (unlikely(halted)) {
        wait_wake_all(&process->threads_wait, 0);
    }
    if (unlikely(had_signals)) {
        signal_forgotten_free(process, &forgotten);
    }
    if (unlikely(stopped)) {
        process_usage(process, &usage);
        stop_tell_parent(process, &usage);
    }
    return last;
}

/* What it has used is in process->ended. */
static void leave_list_locked(struct process *process, struct thread *thread)
{
    call_pass_locked(process, thread);
    list_remove(&thread->process_node);
    process->departures++;
}

bool thread_leave_finish_locked(struct process *process, struct thread *thread,
                                struct cred **ret_cred)
{
    *ret_cred = NULL;
    ptrace_exit_tracee_locked(thread, thread->cred->uid);
    spin_lock(&process->siglock);
    bool last = --process->nthreads == 0;
    if (unlikely(thread != process->leader)) {
        usage_add_thread(&process->ended, thread);
        leave_list_locked(process, thread);
        thread->pid->thread = NULL;
        *ret_cred = thread->cred;
        thread->cred = NULL;
        process->ncharged--;
        threads_uncharge(process->user);
    }
    bool exec = process->exec_thread != NULL;
    spin_unlock(&process->siglock);
    if (unlikely(exec)) {
        wait_wake_all(&process->threads_wait, 0);
    }
    return last;
}

/* ---- execve ---- */

/* The main thread has ended; the caller, which is the only one left, takes its place and number. */
static void take_over_as_leader(struct process *process, struct thread *thread)
{
    struct thread *old = process->leader;
    struct pid *tid = thread->pid;
    struct trace_refs refs = {NULL, NULL};
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    spin_lock(&process->siglock);
    ptrace_forget_leader_locked(old, &refs);
    usage_add_thread(&process->ended, old);
    leave_list_locked(process, old);
    thread->pid = old->pid;
    old->pid = tid;
    tid->thread = NULL;
    process->pid->thread = thread;
    thread_get(thread);
    process->leader = thread;
    struct cred *cred = old->cred;
    old->cred = NULL;
    process->ncharged--;
    threads_uncharge(process->user);
    spin_unlock(&process->siglock);
    spin_unlock_irqrestore(&process_tree_lock, flags);
    cred_put(cred);
    trace_release(&refs);
    thread_put(old);
}

int threads_end_others(void)
{
    struct thread *thread = current_thread();
    struct process *process = thread->process;

    if (likely(process->leader == thread && atomic_load_relaxed(&process->nthreads) == 1)) {
        return 0;
    }
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    if (process->group_exiting || process->exec_thread != NULL) {
        spin_unlock_irqrestore(&process->siglock, flags);
        return -EAGAIN;
    }
    process->exec_thread = thread;
    if (process->call == CALL_STOP && !thread_stop_wanted(process, thread)) {
        thread_want_stop_locked(process, thread); /* it would have been told; the others end */
    }
    call_begin_locked(process, CALL_END);
    spin_unlock_irqrestore(&process->siglock, flags);

    call_finish(process, CALL_END);
    wait_event(&process->threads_wait, atomic_load_acquire(&process->nthreads) == 1);
    if (process->leader != thread) {
        take_over_as_leader(process, thread);
    }
    flags = spin_lock_irqsave(&process->siglock);
    process->exec_thread = NULL;
    signal_recalc_locked(thread);
    spin_unlock_irqrestore(&process->siglock, flags);
    return 0;
}

/* ---- finding ---- */

struct process *process_of_thread_pid(struct pid *pid, struct thread **ret_thread)
{
    struct process *process = NULL;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct thread *thread = pid->thread;

    if (thread != NULL) {
        /* A main thread that has ended does not know its process any more, but its number does. */
        process = process_get(pid->process != NULL ? pid->process : thread->process);
        thread_get(thread);
        *ret_thread = thread;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return process;
}

struct process *process_find_thread(int tid, struct thread **ret_thread)
{
    struct pid *pid = pid_find(tid);

    if (pid == NULL) {
        return NULL;
    }
    struct process *process = process_of_thread_pid(pid, ret_thread);
    pid_put(pid);
    return process;
}

struct thread *process_next_thread(struct process *process, int tid)
{
    struct thread *thread, *best = NULL;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    if (process->state != PROCESS_DEAD) {
        list_for_each (thread, &process->threads, process_node) {
            if (thread->pid->nr >= tid && (best == NULL || thread->pid->nr < best->pid->nr)) {
                best = thread;
            }
        }
    }
    if (best != NULL) {
        thread_get(best);
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return best;
}
