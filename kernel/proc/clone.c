/*
 * fork(2), vfork(2), clone(2) in its process form.
 *
 * The child is made from the outside in: structures first, then what it inherits, each with an undo; it becomes visible, and can
 * no longer fail, when process_link_locked() puts it into the tree.
 */
#include <linux/capability.h>
#include <linux/sched.h>

#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/time.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/user.h"
#include "kernel/proc/internal.h"

#define CLONE_NAMESPACES                                                                           \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET | CLONE_NEWTIME)
/* Not there yet. */
#define CLONE_MISSING (CLONE_THREAD | CLONE_PIDFD | CLONE_NAMESPACES)
/* No effect here: System V semaphores, I/O contexts and tracing have nothing to share or to follow. */
#define CLONE_NO_EFFECT (CLONE_SYSVSEM | CLONE_IO | CLONE_UNTRACED | CLONE_PTRACE | CLONE_DETACHED)
#define CLONE_KNOWN                                                                                \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_VFORK | CLONE_PARENT |              \
     CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | CLONE_SETTLS |              \
     CLONE_CLEAR_SIGHAND | CLONE_NO_EFFECT | CLONE_MISSING)

static const struct clone_flag_name {
    uint64_t flag;
    const char *name;
} missing_names[] = {
    {CLONE_THREAD, "CLONE_THREAD"},   {CLONE_PIDFD, "CLONE_PIDFD"},
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
        ((flags & CLONE_SIGHAND) != 0 && (flags & CLONE_VM) == 0) ||
        ((flags & CLONE_SIGHAND) != 0 && (flags & CLONE_CLEAR_SIGHAND) != 0) ||
        ((flags & CLONE_PARENT) != 0 && process_current() == process_init_task)) {
        return -EINVAL;
    }
    return 0;
}

/* RLIMIT_NPROC counts the real user's processes (getrlimit(2)); a changed user is accounted for here at the latest. */
static int charge_user(struct process *me, struct process *child)
{
    struct user *user = cred_current()->user;

    if (unlikely(me->user != user)) {
        struct user *former = me->user;
        (void)atomic_fetch_sub_relaxed(&former->nprocesses, 1);
        (void)atomic_fetch_add_relaxed(&user->nprocesses, 1);
        me->user = user_get(user);
        user_put(former);
    }
    uint32_t count = atomic_fetch_add_relaxed(&user->nprocesses, 1) + 1;
    if (unlikely(count > process_limit(RLIMIT_NPROC)) && user != &user_root &&
        !current_has_cap(CAP_SYS_RESOURCE) && !current_has_cap(CAP_SYS_ADMIN)) {
        (void)atomic_fetch_sub_relaxed(&user->nprocesses, 1);
        return -EAGAIN;
    }
    child->user = user_get(user);
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

static int copy_actions(struct process *child, struct process *parent, uint64_t flags)
{
    struct signal_actions *table = parent->actions;

    if ((flags & CLONE_CLEAR_SIGHAND) != 0) {
        return signal_prepare_exec(parent, &child->actions) < 0 ? -ENOMEM
               : child->actions != NULL                         ? 0
                                        : (child->actions = signal_actions_get(table), 0);
    }
    if ((flags & CLONE_SIGHAND) != 0) {
        /* From now on one table for both: it must be the parent's own. */
        if (!table->together && refcount_read(&table->refs) > 1) {
            struct signal_actions *own = signal_actions_copy(table);
            if (own == NULL) {
                return -ENOMEM;
            }
            uint64_t irq = spin_lock_irqsave(&parent->siglock);
            parent->actions = own;
            spin_unlock_irqrestore(&parent->siglock, irq);
            signal_actions_put(table);
            table = own;
        }
        table->together = true;
        child->actions = signal_actions_get(table);
        return 0;
    }
    child->actions = table->together ? signal_actions_copy(table) : signal_actions_get(table);
    return child->actions == NULL ? -ENOMEM : 0;
}

/* What a child takes over or starts anew, with nothing that can fail. */
static void inherit(struct process *child, struct process *parent, uint64_t flags)
{
    bool shares_stack = (flags & (CLONE_VM | CLONE_VFORK)) == CLONE_VM;

    child->vfork_done = (flags & CLONE_VFORK) == 0;
    child->did_exec = false;
    child->child_subreaper = false;
    child->pdeath_signal = 0;
    child->exit_code = 0;
    child->tty = parent->tty;
    child->shared.set = child->private.set = 0;
    /* sigaltstack(2), "Notes": inherited, but not by a child that shares the memory. */
    child->altstack_base = shares_stack ? 0 : parent->altstack_base;
    child->altstack_size = shares_stack ? 0 : parent->altstack_size;
    child->altstack_flags = shares_stack ? 0 : parent->altstack_flags;
    child->stopped = child->continued = child->continue_untold = child->stop_reported = false;
    child->stop_dequeued = child->group_exiting = child->unkillable = false;
    memcpy(child->limits, parent->limits, sizeof(child->limits));
    child->start_time = child->leader->start_time;
    child->child_user_ns = child->child_system_ns = 0;
    child->child_minflt = child->child_majflt = child->child_maxrss = 0;
    child->child_nvcsw = child->child_nivcsw = 0;
    child->maxrss = 0;
    child->real_interval = 0;
    child->cpu_timers =
        (struct cpu_timers){.active = parent->limits[RLIMIT_CPU].rlim_cur != RLIM64_INFINITY};
    child->personality = parent->personality;
    child->no_new_privs = parent->no_new_privs;
    child->dumpable = parent->dumpable;
    child->oom_score_adj = parent->oom_score_adj;
    child->io_read_bytes = child->io_write_bytes = child->syscr = child->syscw = 0;
}

/* The thread of the child, which returns 0 from the same system call. */
static int copy_thread(struct thread *thread, struct process *child,
                       const struct clone_request *request)
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
    thread->sig_blocked = parent->sig_blocked;
    thread->clear_child_tid =
        (request->flags & CLONE_CHILD_CLEARTID) != 0 ? request->child_tid : NULL;
    child->set_child_tid = NULL;
    if ((request->flags & CLONE_CHILD_SETTID) != 0) {
        child->set_child_tid = request->child_tid;
        (void)__atomic_fetch_or(&thread->work, THREAD_WORK_NOTIFY, __ATOMIC_RELAXED);
    }
    (void)__atomic_fetch_or(&thread->work, atomic_load_relaxed(&parent->work) & THREAD_WORK_TRACE,
                            __ATOMIC_RELAXED);
    return 0;
}

/* Everything of the child but its place in the tree. The process' references own what was made so far. */
static int copy_process(struct process *child, const struct clone_request *request)
{
    struct thread *parent = current_thread(), *thread;
    struct process *me = parent->process;
    int err;

    child->pid = pid_alloc(&err);
    if (child->pid == NULL) {
        return err;
    }
    child->leader = thread = thread_create_user(parent->comm);
    if (thread == NULL) {
        return -ENOMEM;
    }
    thread->pid = child->pid;
    thread->process = child;
    err = copy_actions(child, me, request->flags);
    if (err < 0) {
        return err;
    }
    err = copy_files(thread, parent, request->flags);
    if (err < 0) {
        return err;
    }
    err = copy_memory(thread, parent, request->flags);
    if (err < 0) {
        goto drop_files;
    }
    err = copy_thread(thread, child, request);
    if (err < 0) {
        goto drop_memory;
    }
    thread->cred = cred_get(parent->cred);
    thread_get(thread); /* the running thread's own reference; the first one is the process' */
    inherit(child, me, request->flags);
    return 0;

drop_memory:
    thread->mmu = NULL;
    vmspace_put(thread->vm);
    thread->vm = NULL;
drop_files:
    fdtable_put(thread->files);
    fs_context_put(thread->fs);
    thread->files = NULL;
    thread->fs = NULL;
    return err;
}

static void link_child(struct process *child, const struct clone_request *request)
{
    struct process *me = process_current();
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct process *parent = me;

    child->exit_signal = request->exit_signal;
    if ((request->flags & CLONE_PARENT) != 0) {
        parent = me->parent;
        child->exit_signal = me->exit_signal;
    }
    process_link_locked(child, parent, pid_get(me->group), pid_get(me->session));
    spin_unlock_irqrestore(&process_tree_lock, flags);
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
            (atomic_load_relaxed(&me->private.set) & SIGMASK(SIGKILL)) != 0) {
            break;
        }
        schedule();
    }
    thread_finish_sleep();
    wait_remove(&child->exit_wait, &waiter);
}

int64_t process_clone(const struct clone_request *request)
{
    struct process *me = process_current();
    int err = check_request(request);

    if (err < 0) {
        return err;
    }
    struct process *child = process_alloc();
    if (child == NULL) {
        return -ENOMEM;
    }
    err = charge_user(me, child);
    if (err < 0) {
        goto discard;
    }
    err = copy_process(child, request);
    if (err < 0) {
        goto uncharge;
    }
    int nr = child->pid->nr;
    if ((request->flags & CLONE_PARENT_SETTID) != 0) {
        (void)put_user(nr, request->parent_tid); /* a bad address is not an error (clone(2)) */
    }
    bool vfork = (request->flags & CLONE_VFORK) != 0;
    if (vfork) {
        (void)process_get(child);
    }
    link_child(child, request);
    thread_start(child->leader);
    if (vfork) {
        wait_for_vfork(me, child);
        process_put(child);
    }
    return nr;

uncharge:
    (void)atomic_fetch_sub_relaxed(&child->user->nprocesses, 1);
discard:
    process_put(child);
    return err;
}
