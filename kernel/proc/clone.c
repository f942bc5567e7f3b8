/*
 * fork(2), vfork(2), clone(2): new processes and new threads.
 *
 * The child is made from the outside in: structures first, then what it inherits, each with an undo; it becomes visible, and can
 * no longer fail, when process_link_locked() puts it into the tree, or thread_join() into the list of its process' threads.
 */
#include <linux/capability.h>
#include <linux/sched.h>

#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/time.h"
#include "kernel/ipc/sem.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/user.h"
#include "kernel/proc/pidfd.h"
#include "kernel/proc/ptrace_impl.h"

#define CLONE_NAMESPACES                                                                           \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET | CLONE_NEWTIME)
/* Not there yet. */
#define CLONE_MISSING CLONE_NAMESPACES
/* No effect here: I/O contexts have nothing to share. */
#define CLONE_NO_EFFECT (CLONE_IO | CLONE_DETACHED)
#define CLONE_KNOWN                                                                                \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_VFORK | CLONE_PARENT |              \
     CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | CLONE_SETTLS |              \
     CLONE_CLEAR_SIGHAND | CLONE_THREAD | CLONE_PIDFD | CLONE_SYSVSEM | CLONE_PTRACE |             \
     CLONE_UNTRACED | CLONE_NO_EFFECT | CLONE_MISSING)

static const struct clone_flag_name {
    uint64_t flag;
    const char *name;
} missing_names[] = {
    {CLONE_NEWNS, "CLONE_NEWNS"},     {CLONE_NEWCGROUP, "CLONE_NEWCGROUP"},
    {CLONE_NEWUTS, "CLONE_NEWUTS"},   {CLONE_NEWIPC, "CLONE_NEWIPC"},
    {CLONE_NEWUSER, "CLONE_NEWUSER"}, {CLONE_NEWPID, "CLONE_NEWPID"},
    {CLONE_NEWNET, "CLONE_NEWNET"},   {CLONE_NEWTIME, "CLONE_NEWTIME"},
};

static void log_missing(uint64_t flags)
{
    static uint64_t logged; /* [a] */

    for (unsigned i = 0; i < ARRAY_SIZE(missing_names); i++) {
        uint64_t flag = missing_names[i].flag;
        if ((flags & flag) != 0 &&
            (__atomic_fetch_or(&logged, flag, __ATOMIC_RELAXED) & flag) == 0) {
            log_notice("clone: %s asked for %s, which is not there yet", current_thread()->comm,
                       missing_names[i].name);
        }
    }
}

/* clone(2), "Errors". */
static int check_request(const struct clone_request *request)
{
    uint64_t flags = request->flags;

    if ((flags & CLONE_MISSING) != 0) {
        log_missing(flags);
        return -EINVAL;
    }
    if ((flags & ~(uint64_t)CLONE_KNOWN) != 0 || request->exit_signal < 0 ||
        request->exit_signal > SIGNAL_COUNT ||
        ((flags & CLONE_THREAD) != 0 && (flags & (CLONE_SIGHAND | CLONE_VFORK)) != CLONE_SIGHAND) ||
        ((flags & CLONE_PIDFD) != 0 && (flags & (CLONE_THREAD | CLONE_DETACHED)) != 0) ||
        ((flags & CLONE_PIDFD) != 0 && (flags & CLONE_PARENT_SETTID) != 0 &&
         request->pidfd == request->parent_tid) ||
        ((flags & CLONE_SIGHAND) != 0 && (flags & CLONE_VM) == 0) ||
        ((flags & CLONE_SIGHAND) != 0 && (flags & CLONE_CLEAR_SIGHAND) != 0) ||
        ((flags & CLONE_PARENT) != 0 && process_current() == process_init_task)) {
        return -EINVAL;
    }
    return 0;
}

static int copy_files(struct thread *child, const struct thread *parent, uint64_t flags)
{
    child->files =
        (flags & CLONE_FILES) != 0 ? fdtable_get(parent->files) : fdtable_clone(parent->files);
    if (child->files == NULL) {
        return -ENOMEM;
    }
    child->fs = (flags & CLONE_FS) != 0 ? fs_context_get(parent->fs) : fs_context_clone(parent->fs);
    if (child->fs == NULL) {
        fdtable_put(child->files);
        child->files = NULL;
        return -ENOMEM;
    }
    return 0;
}

static int copy_memory(struct thread *child, struct thread *parent, uint64_t flags)
{
    if ((flags & CLONE_VM) != 0) {
        vmspace_get(parent->vm);
        child->vm = parent->vm;
    } else {
        int err = vmspace_fork(parent->vm, &child->vm);
        if (err < 0) {
            return err;
        }
    }
    child->mmu = &child->vm->mmu;
    return 0;
}

/* What a child takes over or starts anew, with nothing that can fail. */
static void inherit(struct process *child, struct process *parent, uint64_t flags)
{
    child->vfork_done = (flags & CLONE_VFORK) == 0;
    child->did_exec = false;
    child->parent_execs = (flags & CLONE_PARENT) != 0 ? parent->parent_execs : parent->execs;
    child->child_subreaper = false;
    child->pdeath_signal = 0;
    child->exit_code = 0;
    child->user = user_get(cred_current()->user); /* threads_charge() */
    child->shared.set = 0;
    child->stopped = child->continued = child->continue_untold = child->stop_reported =
        child->stop_told = false;
    child->stop_dequeued = child->group_exiting = child->unkillable = false;
    child->stop_left = 0;
    child->call = CALL_NONE;
    child->private_signals = 0;
    child->exec_thread = NULL;
    memcpy(child->limits, parent->limits, sizeof(child->limits));
    child->start_time = child->leader->start_time;
    child->ended = child->reaped = (struct usage){0};
    child->reaped_maxrss = 0;
    child->maxrss = 0;
    child->real_interval = 0;
    child->real_active = false;
    cpu_timers_start(child);
    child->personality = parent->personality;
    child->no_new_privs = parent->no_new_privs;
    child->coredump_filter = parent->coredump_filter;
    child->dumping = false;
    child->oom_score_adj = parent->oom_score_adj;
    child->oom_score_adj_least = parent->oom_score_adj_least;
}

/* Where the new thread goes on in user mode: after the same system call, which returns 0 to it. */
static int copy_state(struct thread *thread, const struct clone_request *request)
{
    struct thread *parent = current_thread();
    int err = cpu_thread_init_user(thread, thread_trapframe(parent));

    if (err < 0) {
        return err;
    }
    if (request->stack != 0) {
        trapframe_set_sp(thread_trapframe(thread), request->stack);
    }
    if ((request->flags & CLONE_SETTLS) != 0) {
        err = cpu_thread_set_tls(thread, request->tls);
        if (err < 0) {
            return err; /* cpu_thread_fini() comes with the last thread_put() */
        }
    }
    if ((request->flags & CLONE_VM) == 0) {
        thread->rseq = parent->rseq; /* its copy of the area says the same */
    }
    thread->sig_blocked = parent->sig_blocked;
    /* sigaltstack(2), "Notes": inherited, but not by a child that shares the memory. */
    if ((request->flags & (CLONE_VM | CLONE_VFORK)) != CLONE_VM) {
        thread->altstack_base = parent->altstack_base;
        thread->altstack_size = parent->altstack_size;
        thread->altstack_flags = parent->altstack_flags;
    }
    thread->clear_child_tid =
        (request->flags & CLONE_CHILD_CLEARTID) != 0 ? request->child_tid : NULL;
    if ((request->flags & CLONE_CHILD_SETTID) != 0) {
        thread->set_child_tid = request->child_tid;
        (void)__atomic_fetch_or(&thread->work, THREAD_WORK_NOTIFY, __ATOMIC_RELAXED);
    }
    return (request->flags & CLONE_SYSVSEM) != 0 ? sem_undo_share(thread) : 0;
}

/* Free to run: it may be gone at once, which only its number survives. */
static void start_child(struct thread *thread, const struct clone_request *request, int nr)
{
    int event = ptrace_clone_event(request->flags, request->exit_signal);

    thread_start(thread);
    if (unlikely(event != 0)) {
        ptrace_event(event, (uint64_t)nr);
    }
}

static void drop_inheritance(struct thread *thread)
{
    sem_undo_discard(thread);
    cred_put(thread->cred);
    thread->cred = NULL;
    thread->mmu = NULL;
    vmspace_put(thread->vm);
    thread->vm = NULL;
    fdtable_put(thread->files);
    fs_context_put(thread->fs);
    thread->files = NULL;
    thread->fs = NULL;
}

/* A thread of `process` with its number, all that hangs on it, and one reference; nobody finds it yet. */
static int make_thread(struct process *process, const struct clone_request *request,
                       struct thread **ret_thread)
{
    struct thread *parent = current_thread(), *thread;
    int err;

    if (!sched_may_fork()) {
        return -EAGAIN;
    }
    thread = thread_create_user(parent->comm);
    if (thread == NULL) {
        return -ENOMEM;
    }
    thread->process = process;
    thread->pid = pid_alloc(request->wanted_tid, &err);
    if (thread->pid == NULL) {
        goto discard;
    }
    err = copy_files(thread, parent, request->flags);
    if (err < 0) {
        goto discard;
    }
    err = copy_memory(thread, parent, request->flags);
    if (err < 0) {
        goto drop_files;
    }
    thread->cred = cred_get(parent->cred);
    err = copy_state(thread, request);
    if (err == 0) {
        err = ptrace_clone_prepare(thread, ptrace_clone_event(request->flags, request->exit_signal),
                                   (request->flags & CLONE_PTRACE) != 0);
    }
    if (err < 0) {
        drop_inheritance(thread);
        goto discard;
    }
    *ret_thread = thread;
    return 0;

drop_files:
    fdtable_put(thread->files);
    fs_context_put(thread->fs);
    thread->files = NULL;
    thread->fs = NULL;
discard:
    thread_discard(thread);
    return err;
}

/* ---- processes ---- */

/*
 * What has come already is seen to before the fork; what comes for many from now on is for the child as well. False: something has come, which the
 * caller finds on its way to user mode.
 */
static bool fork_begin(struct process *me, struct fork_signals *came)
{
    struct thread *thread = current_thread();
    uint64_t flags = spin_lock_irqsave(&me->siglock);
    bool begun = !thread_signal_pending(thread) && (me->shared.set & ~thread->sig_blocked) == 0 &&
                 !me->group_exiting;

    if (likely(begun)) {
        came->set = 0;
        list_push_back(&me->forks, &came->node);
    } else {
        thread_set_work(thread, THREAD_WORK_SIGNAL); /* it may not have been called yet */
    }
    spin_unlock_irqrestore(&me->siglock, flags);
    return begun;
}

/* Has something come that the current thread will end for on its way to user mode? siglock held. */
static bool is_to_end_locked(const struct process *me)
{
    const struct thread *thread = current_thread();
    uint64_t set = (me->shared.set | thread->sig_pending.set) & ~thread->sig_blocked;

    return me->group_exiting || me->exec_thread != NULL || signal_set_ends_locked(me, set);
}

/*
 * From here on nothing comes for the child but what is sent to it. -ERESTARTNOINTR: the caller is to end, and has no child any more. -EAGAIN: the
 * child would share the directory of a sibling's program that gets privileges. Tree lock held.
 */
static int fork_end_locked(struct process *me, const struct thread *child,
                           struct fork_signals *came)
{
    int err = 0;

    spin_lock(&me->siglock);
    if (unlikely(is_to_end_locked(me))) {
        thread_set_work(current_thread(), THREAD_WORK_SIGNAL);
        err = -ERESTARTNOINTR;
    } else if (unlikely(child->fs->raising != 0)) {
        err = -EAGAIN;
    } else {
        list_remove(&came->node);
    }
    spin_unlock(&me->siglock);
    return err;
}

static int link_child(struct process *child, const struct clone_request *request,
                      struct fork_signals *came)
{
    struct process *me = process_current(), *parent = me;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    int err = fork_end_locked(me, child->leader, came);

    if (unlikely(err < 0)) {
        spin_unlock_irqrestore(&process_tree_lock, flags);
        return err;
    }
    thread_get(child->leader); /* the running thread's own; the first one is the process' */
    child->exit_signal = request->exit_signal;
    child->parent_tid = current_thread()->pid->nr;
    if ((request->flags & CLONE_PARENT) != 0) {
        parent = me->parent;
        child->exit_signal = me->exit_signal;
        child->parent_tid = me->parent_tid;
    }
    if (unlikely(came->set != 0)) {
        child->shared.set = came->set;
        thread_set_work(child->leader, THREAD_WORK_SIGNAL);
    }
    child->tty = me->tty; /* from here on it goes from the child with the session's others */
    process_link_locked(child, parent, pid_get(me->group), pid_get(me->session));
    fs_join_locked(child->leader);
    ptrace_clone_link_locked(child->leader);
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return 0;
}

/* vfork(2): the parent waits until the child has another image or is gone. SIGKILL alone ends that early. */
static void wait_for_vfork(struct process *me, struct process *child)
{
    struct waiter waiter;

    waiter_init(&waiter);
    wait_add(&child->exit_wait, &waiter);
    for (;;) {
        thread_prepare_sleep(THREAD_SLEEPING);
        if (atomic_load_acquire(&child->vfork_done) ||
            (atomic_load_relaxed(&me->shared.set) & SIGMASK(SIGKILL)) != 0 ||
            (atomic_load_relaxed(&current_thread()->sig_pending.set) & SIGMASK(SIGKILL)) != 0) {
            break;
        }
        schedule();
    }
    thread_finish_sleep();
    wait_remove(&child->exit_wait, &waiter);
}

/* CLONE_PIDFD: the parent's descriptor of the child, told but not yet there: *ret_file is to be installed as the result. */
static int reserve_pidfd(struct process *child, int __user *ufd, struct file **ret_file)
{
    int fd = fd_reserve(0, true, process_limit(RLIMIT_NOFILE));

    if (fd < 0) {
        return fd;
    }
    int err = pidfd_create(child->pid, 0, ret_file);
    if (err < 0) {
        goto unreserve;
    }
    err = put_user(fd, ufd);
    if (err < 0) {
        file_put(*ret_file);
        goto unreserve;
    }
    return fd;

unreserve:
    fd_unreserve(fd);
    return err;
}

static int64_t make_process(struct process *me, const struct clone_request *request,
                            struct fork_signals *came)
{
    struct process *child = process_alloc();
    struct file *pidfd_file = NULL;
    int err, pidfd = -1;

    if (child == NULL) {
        return -ENOMEM;
    }
    err = signal_actions_inherit(child, me, request->flags);
    if (err < 0) {
        goto discard;
    }
    err = make_thread(child, request, &child->leader);
    if (err < 0) {
        goto discard;
    }
    child->pid = child->leader->pid;
    if ((request->flags & CLONE_PIDFD) != 0) {
        err = pidfd = reserve_pidfd(child, request->pidfd, &pidfd_file);
        if (err < 0) {
            goto drop_inheritance;
        }
    }
    inherit(child, me, request->flags);
    int nr = child->pid->nr;
    if ((request->flags & CLONE_PARENT_SETTID) != 0) {
        (void)put_user(nr, request->parent_tid); /* a bad address is not an error (clone(2)) */
    }
    err = link_child(child, request, came);
    if (err < 0) {
        goto drop_pidfd;
    }
    bool vfork = (request->flags & CLONE_VFORK) != 0;
    if (vfork) {
        (void)process_get(child);
    }
    if (pidfd_file != NULL) {
        fd_install(pidfd, pidfd_file);
    }
    start_child(child->leader, request, nr);
    if (vfork) {
        wait_for_vfork(me, child);
        process_put(child);
        ptrace_event(PTRACE_EVENT_VFORK_DONE, (uint64_t)nr);
    }
    return nr;

drop_pidfd:
    if (pidfd_file != NULL) {
        file_put(pidfd_file);
        fd_unreserve(pidfd);
    }
drop_inheritance:
    drop_inheritance(child->leader);
discard:
    process_put(child);
    return err;
}

static int64_t clone_process(struct process *me, const struct clone_request *request)
{
    struct fork_signals came;

    if (!fork_begin(me, &came)) {
        return -ERESTARTNOINTR;
    }
    int64_t result = make_process(me, request, &came);
    if (result < 0) {
        uint64_t flags = spin_lock_irqsave(&me->siglock);
        list_remove(&came.node);
        spin_unlock_irqrestore(&me->siglock, flags);
    }
    return result;
}

/* ---- threads ---- */

static int64_t clone_thread(struct process *me, const struct clone_request *request)
{
    struct thread *thread;
    int err = make_thread(me, request, &thread);

    if (err < 0) {
        return err;
    }
    int nr = thread->pid->nr;
    if ((request->flags & CLONE_PARENT_SETTID) != 0) {
        (void)put_user(nr, request->parent_tid);
    }
    err = thread_join(me, thread);
    if (err < 0) {
        drop_inheritance(thread);
        thread_discard(thread);
        return err;
    }
    start_child(thread, request, nr);
    return nr;
}

int64_t process_clone(const struct clone_request *request)
{
    struct process *me = process_current();
    int err = check_request(request);

    if (err == 0) {
        err = threads_charge(cred_current()->user, process_limit(RLIMIT_NPROC));
    }
    if (err < 0) {
        return err;
    }
    int64_t result = (request->flags & CLONE_THREAD) != 0 ? clone_thread(me, request)
                                                          : clone_process(me, request);
    if (result < 0) {
        threads_uncharge(cred_current()->user);
    }
    return result;
}
