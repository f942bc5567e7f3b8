/*
 * Calling all threads of a process: to stop, to go on, or to end.
 *
 * What is to be is written into the process at once, under the siglock; but to set a thread in motion costs some hundred instructions, and there may
 * be thousands of them. So they are called in turns, and the siglock is let go in between. Who stops or ends the others goes on until all have been
 * called (call_finish). Who sends SIGCONT or SIGKILL may be an interrupt: that does one turn, and each thread that it sets in motion does another on
 * its way to user mode, or when it ends. A turn that has met nobody to move leaves the rest to a kernel thread, so there is always one to go on with it.
 *
 * There is one call at a time. That to end is the last: nothing else matters to those who have yet to hear it. Of the other two each puts an end to
 * the one before: whom a stop has not reached has nothing to go on from, and whom the end of a stop has not reached stands still for the next stop
 * already. Whether a thread is wanted for a stop is told by the number of the stop, so that all are let off at once.
 *
 * Locks: all under the siglock. Who leaves the list of threads makes the call go on with the next one (call_pass_locked).
 */
#include "kernel/proc/ptrace_impl.h"

/* What a turn may cost: so many looks, or moves. Interrupts are off. */
#define CALL_TURN 256u
#define CALL_MOVE 32u

static struct thread *next_of(const struct process *process, const struct thread *thread)
{
    struct list_node *next = thread->process_node.next;

    return next == &process->threads ? NULL : list_entry(next, struct thread, process_node);
}

static void go_on_with_locked(struct process *process, struct thread *next)
{
    process->call_next = next;
    if (next == NULL) {
        atomic_store_relaxed(&process->call, CALL_NONE);
    }
}

void call_pass_locked(struct process *process, const struct thread *thread)
{
    if (unlikely(process->call != CALL_NONE && process->call_next == thread)) {
        go_on_with_locked(process, next_of(process, thread));
    }
}

void call_begin_locked(struct process *process, enum thread_call call)
{
    if (process->call != CALL_END) {
        atomic_store_relaxed(&process->call, call);
        process->call_next = list_first_entry(&process->threads, struct thread, process_node);
    }
}

/* ---- one thread: true when it was set in motion ---- */

static bool call_to_end_locked(struct thread *thread)
{
    if (thread == current_thread() || thread->exiting) {
        return false;
    }
    thread->sig_pending.set |= SIGMASK(SIGKILL);
    thread_set_work(thread, THREAD_WORK_SIGNAL);
    (void)thread_wake_states(thread,
                             BIT(THREAD_SLEEPING) | BIT(THREAD_STOPPED) | BIT(THREAD_TRACED));
    return true;
}

/* With tracers about, some may be running in a group that has stopped. */
static bool call_to_stop_locked(struct process *process, struct thread *thread)
{
    if (thread->exiting || thread_stop_wanted(process, thread) ||
        atomic_load_relaxed(&thread->state) == THREAD_STOPPED) {
        return false;
    }
    thread_want_stop_locked(process, thread);
    thread_set_work(thread, THREAD_WORK_SIGNAL);
    /* One that is just leaving the last stop may not have seen that it is over. */
    (void)thread_wake_states(thread, BIT(THREAD_SLEEPING) | BIT(THREAD_STOPPED));
    ptrace_trap_notify_locked(thread);
    return true;
}

/* SIGKILL ends stops for a tracer as well. Most are met when they go already: a look is to be cheap. */
static bool call_to_go_on_locked(struct process *process, struct thread *thread)
{
    uint32_t states = BIT(THREAD_STOPPED);

    if ((process->shared.set & SIGMASK(SIGKILL)) != 0) {
        states |= BIT(THREAD_TRACED);
    }
    bool moved = (BIT(atomic_load_relaxed(&thread->state)) & states) != 0 &&
                 thread_wake_states(thread, states);
    if (unlikely(thread_is_traced(thread))) {
        ptrace_trap_notify_locked(thread);
    }
    return moved;
}

/* True: somebody was set in motion. */
static bool turn_locked(struct process *process)
{
    enum thread_call call = process->call;
    bool any = false;

    atomic_fence(); /* between what the process says and the looks at states: pairs with thread_prepare_sleep */
    for (unsigned cost = 0; process->call != CALL_NONE && cost < CALL_TURN;) {
        struct thread *thread = process->call_next;
        go_on_with_locked(process, next_of(process, thread));
        bool moved = call == CALL_END    ? call_to_end_locked(thread)
                     : call == CALL_STOP ? call_to_stop_locked(process, thread)
                                         : call_to_go_on_locked(process, thread);
        any = any || moved;
        cost += moved ? CALL_MOVE : 1;
    }
    return any;
}

void call_turn_locked(struct process *process)
{
    if (!turn_locked(process) && unlikely(process->call == CALL_GO_ON)) {
        (void)process_get(process);
        if (!work_queue(&process->call_work)) {
            process_put(process); /* it is on its way, with a reference: this is not the last one */
        }
    }
}

void call_finish(struct process *process, enum thread_call call)
{
    while (atomic_load_relaxed(&process->call) == call) {
        uint64_t flags = spin_lock_irqsave(&process->siglock);
        if (process->call == call) {
            (void)turn_locked(process);
        }
        spin_unlock_irqrestore(&process->siglock, flags);
    }
}

void call_work_run(struct work *work)
{
    struct process *process = container_of(work, struct process, call_work);

    call_finish(process, CALL_GO_ON);
    process_put(process);
}
