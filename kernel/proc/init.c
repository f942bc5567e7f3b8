/*
 * Process 1: the boot thread gets an identity and executes the first program it finds.
 *
 * Which: `rdinit=` and `init=` when given, else /init, /sbin/init, /bin/sh. A program that was asked for by name and does not start
 * is an error that is told, and the search goes on.
 */
#include <linux/fcntl.h>

#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/param.h"
#include "kernel/machine/cpu.h"
#include "kernel/proc/coredump.h"
#include "kernel/proc/internal.h"
#include "kernel/sched/kthread.h"

#define INIT_ARGS_MAX 30

/* The boot thread's own: everything of it is root's and unlimited as far as limits_init_default() goes. */
static struct process *init_make(void)
{
    struct thread *thread = current_thread();
    struct process *process = process_alloc();
    int err = 0;

    if (process == NULL) {
        panic("init: no memory for the first process");
    }
    process->pid = pid_alloc(0, &err);
    if (process->pid == NULL) {
        panic("init: no number for the first process: error %d", -err);
    }
    thread_get(thread);
    process->leader = thread;
    process->actions = signal_actions_get(&signal_actions_default);
    process->user = user_get(&user_root);
    limits_init_default(process->limits);
    BUG_ON(threads_charge(&user_root, RLIM64_INFINITY) < 0);
    process->start_time = thread->start_time;
    process->vfork_done = true;
    process->coredump_filter = COREDUMP_FILTER_DEFAULT;
    process->unkillable = true;
    cpu_timers_start(process);
    thread->pid = process->pid;
    thread->cred = cred_get(&cred_init_user);
    return process;
}

static void init_adopt(struct process *process)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);

    process_link_locked(process, NULL, pid_get(process->pid), pid_get(process->pid));
    process_init_task = process;
    current_thread()->process = process;
    spin_unlock_irqrestore(&process_tree_lock, flags);
}

/* Standard input, output and error: the console, when there is one in the file tree. */
static void init_open_console(void)
{
    struct thread *thread = current_thread();
    struct file *file;

    thread->files = fdtable_create();
    if (thread->files == NULL) {
        panic("init: no memory for the first descriptors");
    }
    int err = vfs_open(AT_FDCWD, "/dev/console", O_RDWR | O_NOCTTY, 0, 0, &file);
    if (err < 0) {
        log_warn("init: /dev/console: error %d", -err);
        return;
    }
    for (int i = 0; i < 3; i++) {
        if (fd_add(file_get(file), false) != i) {
            file_put(file);
        }
    }
    file_put(file);
}

/* True: it runs as soon as we return to user mode. */
static bool init_try(const char *path)
{
    static const char *const envp[] = {"HOME=/", "TERM=linux", NULL};
    const char *argv[INIT_ARGS_MAX + 2] = {path};
    unsigned n = param_init_args(argv + 1, INIT_ARGS_MAX);

    argv[n + 1] = NULL;
    int err = process_exec_kernel(path, argv, envp);
    if (err < 0 && err != -ENOENT) {
        log_warn("init: %s: error %d", path, -err);
    }
    return err == 0;
}

void process_start_init(const char *init, const char *rdinit)
{
    const char *candidates[] = {rdinit, init, "/init", "/sbin/init", "/bin/sh"};

    kthread_leave(current_thread());
    init_adopt(init_make());
    kthreadd_start();
    init_open_console();
    for (unsigned i = 0; i < ARRAY_SIZE(candidates); i++) {
        if (candidates[i] != NULL && init_try(candidates[i])) {
            log_info("init: running %s", candidates[i]);
            cpu_enter_user();
        }
    }
    panic("init: no program to run (tried init=, rdinit=, /init, /sbin/init, /bin/sh)");
}
