/*
 * Process 2, kthreadd: gives each kernel thread an identity, so that ps sees it, and chrt and taskset reach it.
 *
 * A kernel thread becomes the only thread of a process of its own, which is a child of this one: with a number, times, limits and scheduling as any
 * other, but without memory, descriptors, group or session, and ignoring all signals. The thread itself knows nothing of it (thread->process stays
 * NULL): what it does on behalf of nobody is charged to nobody. It is in the tree from when kthreadd comes to it until it ends; nobody
 * waits for it, so it leaves no zombie.
 *
 * Kernel threads of before are numbered while process 1 waits: in the order in which they were started, on any number of CPUs.
 */
#include <asm/poll.h>

#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/proc/internal.h"
#include "kernel/sched/kthread.h"

static struct process *kthreadd; /* [T] */
static bool ready;               /* [a] those of before have been numbered */
static struct wait_queue ready_wait = WAIT_QUEUE_INIT(ready_wait);

/* What fork would inherit. */
static void fill(struct process *process, struct thread *thread)
{
    thread_get(thread);
    process->leader = thread;
    process->kernel_thread = true;
    process->actions = signal_actions_get(&signal_actions_none);
    process->user = user_get(&user_root);
    limits_init_default(process->limits);
    process->start_time = thread->start_time;
    process->exit_signal = SIGCHLD;
    process->vfork_done = true;
    process->unkillable = true;
    process->did_exec = process->child_subreaper = process->no_new_privs = false;
    process->stopped = process->continued = process->continue_untold = process->stop_reported =
        process->stop_told = process->stop_dequeued = process->group_exiting = process->dumping =
            false;
    process->stop_left = 0;
    process->call = CALL_NONE;
    process->private_signals = 0;
    process->exec_thread = NULL;
    process->shared.set = 0;
    process->pdeath_signal = process->exit_code = 0;
    process->tty = NULL;
    process->ended = process->reaped = (struct usage){0};
    process->reaped_maxrss = process->maxrss = 0;
    process->real_interval = 0;
    process->real_active = false;
    process->personality = 0;
    process->was_dumpable = false;
    process->coredump_filter = 0;
    process->oom_score_adj = process->oom_score_adj_least = 0;
    thread->sig_blocked = thread->sig_waited = 0;
    cpu_timers_start(process);
}

static void number_thread(struct thread *thread)
{
    struct process *process = process_alloc();
    int err = -ENOMEM;

    if (process == NULL) {
        goto fail;
    }
    process->pid = pid_alloc(0, &err);
    if (process->pid == NULL) {
        goto free_process;
    }
    err = threads_charge(&user_root, RLIM64_INFINITY);
    if (err < 0) {
        goto put_pid;
    }
    fill(process, thread);
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    thread->pid = process->pid;
    process_link_locked(process, kthreadd, NULL, NULL);
    if (kthreadd == NULL) {
        kthreadd = process;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return;

put_pid:
    pid_put(process->pid);
free_process:
    process_put(process);
fail:
    log_warn("kthreadd: %s gets no number: error %d", thread->comm, -err);
}

static void forget_thread(struct thread *thread)
{
    if (thread->pid == NULL) {
        return;
    }
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct process *process = thread->pid->process;
    spin_lock(&process->siglock);
    thread->exiting = true;
    process->nlive = process->nthreads = 0;
    cpu_timers_leave_locked(process, thread);
    spin_unlock(&process->siglock);
    process_unlink_locked(process);
    spin_unlock_irqrestore(&process_tree_lock, flags);
    wait_wake_all(&thread->pid->ended, POLLIN);
    process_release(process);
}

static const struct kthread_numbering numbering = {number_thread, forget_thread};

static void kthreadd_main(void *arg)
{
    struct thread *self = current_thread();

    (void)arg;
    kthread_leave(self); /* the first of all, though it was started last */
    number_thread(self);
    for (;;) {
        kthreads_number(&numbering);
        if (!ready) {
            atomic_store_release(&ready, true);
            wait_wake_all(&ready_wait, 0);
        }
    }
}

void kthreadd_start(void)
{
    struct thread *thread = thread_create_kernel("kthreadd", kthreadd_main, NULL);

    if (thread == NULL) {
        panic("kthreadd: no memory for the thread");
    }
    thread_start(thread);
    wait_event(&ready_wait, atomic_load_acquire(&ready));
}
