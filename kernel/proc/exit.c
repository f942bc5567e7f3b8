/*
 * The end of threads, and of a process with the last of them: it lets go of everything, hands its children on, and stays as a zombie
 * until its parent asks.
 *
 * Order: first what may sleep (address space, files, terminal), then, under the tree lock, what others see. The thread itself ends
 * last; the main one's structure lives on in the zombie, because its times are wanted.
 */
#include <asm/poll.h>
#include <linux/wait.h>

#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/ipc/sem.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/mmu.h"
#include "kernel/machine/user.h"
#include "kernel/proc/coredump.h"
#include "kernel/proc/futex.h"
#include "kernel/proc/ptrace_impl.h"

/* ---- telling the parent ---- */

static void child_info(siginfo_t *info, struct process *child, int why, int status,
                       const struct usage *usage)
{
    memset(info, 0, sizeof(*info));
    info->si_signo = SIGCHLD;
    info->si_code = why;
    info->si_pid = child->pid->nr;
    info->si_uid = child->leader->cred->uid;
    info->si_status = status;
    info->si_utime = usage->user_ns / (NS_PER_S / 100); /* in USER_HZ (sigaction(2)) */
    info->si_stime = usage->system_ns / (NS_PER_S / 100);
}

/* Does the parent's SIGCHLD want a handler or a record of it? The usual shell-less parent has the default: nothing to do. */
static bool sigchld_wanted_locked(struct process *parent)
{
    return !signal_ignored_locked(parent, parent->leader, SIGCHLD, false);
}

void process_send_sigchld_locked(struct process *process, const siginfo_t *info)
{
    spin_lock(&process->siglock);
    const struct signal_action *action = &process->actions->action[SIGCHLD - 1];
    bool job = info->si_code == CLD_STOPPED || info->si_code == CLD_CONTINUED ||
               info->si_code == CLD_TRAPPED;
    bool quiet = job && (action->flags & SA_NOCLDSTOP) != 0;
    if (!quiet && sigchld_wanted_locked(process)) {
        (void)signal_send_locked(process, NULL, info, false);
    }
    spin_unlock(&process->siglock);
    wait_wake_all(&process->child_wait, 0);
}

void process_tell_parent_locked(struct process *process, int why, int status,
                                const struct usage *usage)
{
    siginfo_t info;

    if (process->parent != NULL) {
        child_info(&info, process, why, status, usage);
        process_send_sigchld_locked(process->parent, &info);
    }
}

/*
 * A process has ended: tell the parent by its exit signal, or by SIGCHLD when it runs another program than the one that asked for that. True
 * when nobody will wait for it: the parent ignores SIGCHLD or has SA_NOCLDWAIT (wait(2), "Notes").
 */
static bool tell_parent_of_exit_locked(struct process *process)
{
    struct process *parent = process->parent;
    int signal = process->exit_code & 0x7f;
    int why = signal == 0 ? CLD_EXITED : (process->exit_code & 0x80) != 0 ? CLD_DUMPED : CLD_KILLED;
    int exit_signal = process->parent_execs == parent->execs ? process->exit_signal : SIGCHLD;
    bool unwanted = false, send = exit_signal != 0;
    siginfo_t info;

    spin_lock(&parent->siglock);
    if (exit_signal == SIGCHLD) {
        const struct signal_action *action = &parent->actions->action[SIGCHLD - 1];
        unwanted = action->handler == ACTION_IGNORE || (action->flags & SA_NOCLDWAIT) != 0;
        send = action->handler != ACTION_IGNORE && sigchld_wanted_locked(parent);
    }
    spin_unlock(&parent->siglock);
    if (send) {
        struct usage usage;
        process_usage_locked(process, &usage);
        child_info(&info, process, why, signal != 0 ? signal : (process->exit_code >> 8) & 0xff,
                   &usage);
        info.si_signo = exit_signal;
        spin_lock(&parent->siglock);
        (void)signal_send_locked(parent, NULL, &info, false);
        spin_unlock(&parent->siglock);
    }
    return unwanted;
}

/* The same to whom it concerns first: a tracer hears of it before the parent does, and always wants to know. */
static bool report_exit_locked(struct process *process)
{
    int signal = process->exit_code & 0x7f;

    if (likely(!thread_is_traced(process->leader))) {
        return tell_parent_of_exit_locked(process);
    }
    if (trace_is_reparented_locked(process->leader->trace)) {
        ptrace_tell_tracer_locked(process->leader->trace, signal == 0 ? CLD_EXITED : CLD_KILLED,
                                  signal != 0 ? signal : process->exit_code >> 8 & 0xff);
    } else {
        (void)tell_parent_of_exit_locked(process);
    }
    return false;
}

bool process_tell_exit_locked(struct process *process)
{
    if (!tell_parent_of_exit_locked(process)) {
        wait_wake_all(&process->parent->child_wait, 0);
        return false;
    }
    wait_wake_all(&process->parent->child_wait, 0);
    process_unlink_locked(process);
    return true;
}

/* ---- orphaned process groups ---- */

bool group_is_orphaned_locked(struct pid *group, const struct process *except)
{
    struct process *member;

    list_for_each (member, &group->group_members, group_node) {
        if (member == except || member->state != PROCESS_LIVE || member->parent == NULL ||
            member->parent == process_init_task) {
            continue;
        }
        if (member->parent->group != group && member->parent->session == member->session) {
            return false;
        }
    }
    return true;
}

static bool group_has_stopped_locked(struct pid *group)
{
    struct process *member;

    list_for_each (member, &group->group_members, group_node) {
        if (atomic_load_relaxed(&member->stopped)) {
            return true;
        }
    }
    return false;
}

/* POSIX.1-2017, _exit(): a group that becomes orphaned with stopped members gets SIGHUP, then SIGCONT. */
static void group_check_orphaned_locked(struct pid *group, const struct process *except)
{
    siginfo_t info;

    if (group_is_orphaned_locked(group, except) && group_has_stopped_locked(group)) {
        siginfo_kernel(&info, SIGHUP);
        (void)signal_send_group_locked(group, &info);
        siginfo_kernel(&info, SIGCONT);
        (void)signal_send_group_locked(group, &info);
    }
}

/* ---- handing the children on ---- */

/* prctl(2), PR_SET_CHILD_SUBREAPER: the nearest ancestor that asked for it, else process 1. */
static struct process *find_reaper_locked(struct process *process)
{
    for (struct process *ancestor = process->parent; ancestor != NULL;
         ancestor = ancestor->parent) {
        if (ancestor->child_subreaper && ancestor->state == PROCESS_LIVE) {
            return ancestor;
        }
    }
    return process_init_task;
}

/* So many children, or a few of other groups, are handed on at a time, since interrupts are off. */
#define REPARENT_TURN  16u
#define REPARENT_GROUP 4u

/* A zombie that its new parent does not want is added to `dead` by its sibling node. */
static void reparent_locked(struct process *child, struct process *reaper, struct list_node *dead)
{
    siginfo_t info;

    list_remove(&child->sibling);
    list_push_back(&reaper->children, &child->sibling);
    child->parent = reaper;
    atomic_store_relaxed(&child->parent_nr, reaper->pid->nr);
    child->exit_signal = SIGCHLD;
    if (child->pdeath_signal != 0) {
        siginfo_kernel(&info, child->pdeath_signal);
        info.si_code = SI_USER;
        (void)signal_send_process(child, &info);
    }
    /* Of one that is traced the new parent hears when the tracer has. */
    if (child->state == PROCESS_ZOMBIE && !thread_is_traced(child->leader)) {
        if (tell_parent_of_exit_locked(child)) {
            process_unlink_locked(child);
            list_push_back(dead, &child->sibling);
        } else {
            wait_wake_all(&reaper->child_wait, 0);
        }
    }
}

/* Some of the children. False: there may be more. */
static bool reparent_turn_locked(struct process *process, struct list_node *dead)
{
    struct process *child, *next, *reaper;
    unsigned turn = 0;

    if (likely(list_empty(&process->children))) {
        return true;
    }
    reaper = find_reaper_locked(process);
    list_for_each_safe (child, next, &process->children, sibling) {
        bool live = child->state != PROCESS_ZOMBIE;
        reparent_locked(child, reaper, dead);
        if (live && child->group != process->group && child->session == process->session) {
            group_check_orphaned_locked(child->group, process);
            turn += REPARENT_GROUP;
        }
        if (++turn >= REPARENT_TURN) {
            return false;
        }
    }
    return true;
}

static void release_all(struct list_node *dead)
{
    struct list_node *node;

    while ((node = list_pop_front(dead)) != NULL) {
        process_release(list_entry(node, struct process, sibling));
    }
}

/*
 * No thread is left that could have children: those that it has go to another parent before it ends. A child may yet give it one
 * (CLONE_PARENT), and so may be left to become_zombie_locked().
 */
static void reparent_children(struct process *process)
{
    struct list_node dead = LIST_INIT(dead);

    for (bool done = false; !done;) {
        uint64_t flags = spin_lock_irqsave(&process_tree_lock);
        done = reparent_turn_locked(process, &dead);
        spin_unlock_irqrestore(&process_tree_lock, flags);
        release_all(&dead);
    }
}

/* ---- letting go ---- */

void process_vfork_finish(struct process *process)
{
    if (!atomic_load_relaxed(&process->vfork_done)) {
        atomic_store_release(&process->vfork_done, true);
        wait_wake_all(&process->exit_wait, 0);
    }
}

/* A word that clone(2) asked for is cleared for those who still share the memory. */
void thread_leave_memory(struct thread *thread)
{
    thread->rseq.area = NULL;
    futex_exit_robust(thread);
    futex_exit_pi(thread);
    if (thread->clear_child_tid != NULL && refcount_read(&thread->vm->refs) > 1) {
        (void)put_user(0u, thread->clear_child_tid);
        (void)futex_wake(thread->clear_child_tid, false, 1, FUTEX_ANY);
    }
    thread->clear_child_tid = NULL;
}

static void let_go_of_memory(struct process *process, struct thread *thread)
{
    struct vmspace *vm = thread->vm;

    vm_note_peak(vm);
    process->maxrss = MAX(process->maxrss, vmspace_rss_peak(vm));
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    process->was_dumpable = atomic_load_relaxed(&vm->dumpable) == 1;
    thread->vm = NULL;
    thread->mmu = NULL;
    mmu_switch(NULL);
    spin_unlock_irqrestore(&process_tree_lock, flags);
    if (likely(thread == process->leader)) {
        process_vfork_finish(process);
    }
    vmspace_put(vm);
}

static void let_go_of_files(struct thread *thread)
{
    struct fdtable *files = thread->files;
    struct fs_context *fs = thread->fs;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    thread->files = NULL;
    thread->fs = NULL;
    fs->users--;
    spin_unlock_irqrestore(&process_tree_lock, flags);
    fdtable_put(files);
    files_put_owed();
    fs_context_put(fs);
}

/* Become a zombie. *dead: what nobody will wait for, this process perhaps among it. Tree lock held. */
static void become_zombie_locked(struct process *process, struct list_node *dead)
{
    while (!reparent_turn_locked(process, dead)) {
    }
    if (process->parent->group != process->group && process->parent->session == process->session) {
        group_check_orphaned_locked(process->group, process);
    }
    process->state = PROCESS_ZOMBIE;
    if (unlikely(wait_queue_active(&process->pid->ended))) {
        wait_wake_all(&process->pid->ended, POLLIN);
    }
    bool unwanted = report_exit_locked(process);
    struct process *parent = process->parent;
    if (unwanted) {
        process_unlink_locked(process);
        list_push_back(dead, &process->sibling);
    }
    /* A parent that waits is woken even then: it may have no children any more (-ECHILD). */
    wait_wake_all(&parent->child_wait, 0);
}

/* The last thread has begun to end: what belongs to the process alone ends now. */
static void end_process(struct process *process)
{
    if (unlikely(process == process_init_task)) {
        panic("init: process 1 (%s) ended with wait status 0x%x", current_thread()->comm,
              process->exit_code);
    }
    (void)timer_cancel_sync(&process->real_timer);
    posix_timers_end(process);
    if (process->session == process->pid && jobctl_session_exit_hook != NULL) {
        jobctl_session_exit_hook();
    }
}

/* PTRACE_EVENT_EXIT: everything is still there to be looked at. */
static void stop_before_end(struct process *process, struct thread *thread, int wait_status,
                            bool group)
{
    if (likely(!thread_is_traced(thread)) || (thread->trace->options & PTRACE_O_TRACEEXIT) == 0) {
        return;
    }
    if (group) {
        uint64_t flags = spin_lock_irqsave(&process->siglock);
        bool call = group_exit_locked(process, wait_status);
        spin_unlock_irqrestore(&process->siglock, flags);
        if (call) {
            call_finish(process, CALL_END);
        }
    }
    int status = process->group_exiting ? process->exit_code : wait_status;
    ptrace_event(PTRACE_EVENT_EXIT, (uint64_t)status);
}

static void __noreturn end_thread(int wait_status, bool group)
{
    struct thread *thread = current_thread();
    struct process *process = thread->process;
    struct list_node dead = LIST_INIT(dead);
    struct cred *cred;

    if (coredump_is_running(process)) {
        coredump_halt();
    }
    stop_before_end(process, thread, wait_status, group);
    bool last = thread_leave_begin(process, thread, wait_status, group);
    if (likely(last)) {
        end_process(process);
    }
    if (unlikely(thread->sem_undo != NULL)) {
        sem_undo_exit();
    }
    ptrace_exit_tracer();
    thread_leave_memory(
        thread); /* before the files: who sees them closed may look at the locks at once */
    let_go_of_files(thread);
    let_go_of_memory(process, thread);
    if (last && unlikely(!list_empty(&process->children))) {
        reparent_children(process);
    }
    /* Whoever is woken by our end finds the CPU free a moment later: not worth a switch there and another one back. */
    preempt_disable();
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    if (thread_leave_finish_locked(process, thread, &cred)) {
        become_zombie_locked(process, &dead);
    }
    thread->process = NULL; /* it may be freed from here on */
    spin_unlock_irqrestore(&process_tree_lock, flags);
    cred_put(cred);
    release_all(&dead);
    irq_disable();
    preempt_enable_no_resched();
    thread_exit();
}

void process_exit(int wait_status)
{
    end_thread(wait_status, false);
}

void process_exit_group(int wait_status)
{
    end_thread(wait_status, true);
}
