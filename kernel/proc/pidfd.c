/*
 * pidfd_open(2) and kin: a process by descriptor. The descriptor refers to the number's struct pid, so it never means a newcomer, and it can
 * be polled: readable once the process has ended.
 */
#include "kernel/proc/pidfd.h"

#include <asm/poll.h>
#include <linux/pidfd.h>

#include "kernel/base/printf.h"
#include "kernel/proc/internal.h"

/* True also for what has been waited for. */
static bool has_ended(struct pid *pid)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    bool ended = pid->process == NULL || pid->process->state != PROCESS_LIVE;

    spin_unlock_irqrestore(&process_tree_lock, flags);
    return ended;
}

static uint32_t pidfd_poll(struct file *file, struct poll_table *table)
{
    struct pid *pid = file->private;

    poll_wait(table, &pid->ended);
    return has_ended(pid) ? POLLIN : 0;
}

static size_t pidfd_show(struct file *file, char *buf, size_t size)
{
    struct pid *pid = file->private;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    int nr = pid->process == NULL ? -1 : pid->nr;

    spin_unlock_irqrestore(&process_tree_lock, flags);
    return (size_t)ksnprintf(buf, size, "Pid:\t%d\nNSpid:\t%d\n", nr, nr);
}

static void pidfd_release(struct file *file)
{
    pid_put(file->private);
}

static const struct file_ops pidfd_fops = {
    .release = pidfd_release, .poll = pidfd_poll, .show_fdinfo = pidfd_show};

int pidfd_create(struct pid *pid, int flags, struct file **ret_file)
{
    struct inode *inode = anon_inode_create(0600);

    if (inode == NULL) {
        return -ENOMEM;
    }
    int err =
        file_create_anonymous(inode, "anon_inode:[pidfd]", &pidfd_fops,
                              (flags & O_NONBLOCK) | O_RDWR, FMODE_READ | FMODE_WRITE, ret_file);
    if (err == 0) {
        (*ret_file)->private = pid_get(pid);
    }
    return err;
}

struct pid *pidfd_pid(const struct file *file)
{
    return file->fops == &pidfd_fops ? file->private : NULL;
}

struct pid *(*pidfd_directory_pid)(const struct file *file);

struct pid *pidfd_signal_pid(const struct file *file)
{
    struct pid *pid = pidfd_pid(file);
    struct pid *(*directory_pid)(const struct file *file) =
        atomic_load_relaxed(&pidfd_directory_pid);

    return pid != NULL || directory_pid == NULL ? pid : directory_pid(file);
}

int pidfd_open(int nr, int flags, struct file **ret_file)
{
    if (nr <= 0 || (flags & ~PIDFD_NONBLOCK) != 0) {
        return -EINVAL;
    }
    struct pid *pid = pid_find(nr);
    if (pid == NULL) {
        return -ESRCH;
    }
    uint64_t irq = spin_lock_irqsave(&process_tree_lock);
    int err = pid->process != NULL ? 0 : pid->thread != NULL ? -EINVAL : -ESRCH;
    spin_unlock_irqrestore(&process_tree_lock, irq);
    if (err == 0) {
        err = pidfd_create(pid, flags, ret_file);
    }
    pid_put(pid);
    return err;
}

int pidfd_send_signal(const struct file *file, const siginfo_t *info)
{
    struct pid *pid = pidfd_signal_pid(file);
    struct thread *thread;

    if (pid == NULL) {
        return -EBADF;
    }
    if (info->si_signo < 0 || info->si_signo > SIGNAL_COUNT) {
        return -EINVAL;
    }
    struct process *process = process_of_thread_pid(pid, &thread);
    if (process == NULL) {
        return -ESRCH;
    }
    int err = -EPERM;
    if (signal_may_send(process, info->si_signo)) {
        err = info->si_signo == 0 ? 0 : signal_send_process(process, info);
    }
    thread_put(thread);
    process_put(process);
    return err;
}

/* Whom a pidfd names, referenced. -EBADF: it is none; -ESRCH: he is gone. */
static int pidfd_target(const struct file *file, struct process **ret_process,
                        struct thread **ret_thread)
{
    struct pid *pid = pidfd_pid(file);

    if (pid == NULL) {
        return -EBADF;
    }
    *ret_process = process_of_thread_pid(pid, ret_thread);
    return *ret_process == NULL ? -ESRCH : 0;
}

/* The file behind the thread's descriptor, referenced. */
static int take_file(struct process *process, struct thread *thread, unsigned fd,
                     struct file **ret_file)
{
    if (!process_may_access(process)) {
        return -EPERM;
    }
    struct fdtable *files = thread_files_pin(thread);
    if (files == NULL) {
        return -ESRCH;
    }
    *ret_file = fdtable_file(files, fd);
    fdtable_unpin(files);
    return *ret_file == NULL ? -EBADF : 0;
}

int pidfd_getfd(const struct file *file, unsigned fd, struct file **ret_file)
{
    struct file *found = NULL;
    struct thread *thread;
    struct process *process;
    uint32_t execs;
    int err = pidfd_target(file, &process, &thread);

    if (err < 0) {
        return err;
    }
    do {
        file_put(found);
        found = NULL;
        execs = process_execs(process);
        err = take_file(process, thread, fd, &found);
    } while (process_execs(process) != execs);
    thread_put(thread);
    process_put(process);
    if (err == 0) {
        *ret_file = found;
    }
    return err;
}

int pidfd_vm_get(const struct file *file, struct vmspace **ret_vm)
{
    struct thread *thread;
    struct process *process;
    int err = pidfd_target(file, &process, &thread);

    if (err < 0) {
        return err;
    }
    err = thread_vm_get_checked(thread, process, false, ret_vm);
    thread_put(thread);
    process_put(process);
    return err;
}
