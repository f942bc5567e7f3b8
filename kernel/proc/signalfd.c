/*
 * signalfd(2): pending signals as something to read. What is read are the reader's signals, its process' and its own, whoever made the
 * descriptor; they stay pending until then because the reader blocks them.
 */
#include "kernel/proc/signalfd.h"

#include <asm/poll.h>
#include <linux/signalfd.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/internal.h"

_Static_assert(sizeof(struct signalfd_siginfo) == 128, "signalfd(2)");

struct signalfd {
    uint64_t mask; /* [a] what it reads */
};

static uint64_t mask_of(const struct file *file)
{
    const struct signalfd *signalfd = file->private;

    return atomic_load_relaxed(&signalfd->mask);
}

/* Under the siglock, as the sender looks for who waits: so he sees us in the queue, or we see the signal. */
static bool is_pending(uint64_t mask)
{
    const struct thread *thread = current_thread();
    struct process *process = thread->process;
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    uint64_t set = process->shared.set | thread->sig_pending.set;

    spin_unlock_irqrestore(&process->siglock, flags);
    return (set & mask) != 0;
}

/* What a kernel's own code (1 .. SI_KERNEL - 1) is about. False: the sender and no more. */
static bool fill_by_kernel(struct signalfd_siginfo *out, const siginfo_t *info)
{
    if (info->si_signo == SIGCHLD) {
        out->ssi_pid = (uint32_t)info->si_pid;
        out->ssi_uid = info->si_uid;
        out->ssi_status = info->si_status;
        out->ssi_utime = (uint64_t)info->si_utime;
        out->ssi_stime = (uint64_t)info->si_stime;
    } else if (info->si_signo == SIGSYS) {
        out->ssi_call_addr = (uintptr_t)info->si_call_addr;
        out->ssi_syscall = info->si_syscall;
        out->ssi_arch = info->si_arch;
    } else if ((SIGMASK(info->si_signo) & SIGMASK_SYNCHRONOUS) != 0) {
        out->ssi_addr = (uintptr_t)info->si_addr;
    } else if (info->si_code <= NSIGPOLL) {
        /* Any other signal may be one of fcntl(2), F_SETSIG. */
        out->ssi_band = (uint32_t)info->si_band;
        out->ssi_fd = info->si_fd;
    } else {
        return false;
    }
    return true;
}

/* Which members of siginfo mean something follows from si_code and si_signo (sigaction(2)). */
static void fill(struct signalfd_siginfo *out, const siginfo_t *info)
{
    int code = info->si_code;

    memset(out, 0, sizeof(*out));
    out->ssi_signo = (uint32_t)info->si_signo;
    out->ssi_errno = info->si_errno;
    out->ssi_code = code;
    if (code == SI_TIMER) {
        out->ssi_tid = (uint32_t)info->si_tid;
        out->ssi_overrun = (uint32_t)info->si_overrun;
        out->ssi_ptr = (uintptr_t)info->si_ptr;
        out->ssi_int = info->si_int;
    } else if (code == SI_SIGIO) {
        out->ssi_band = (uint32_t)info->si_band;
        out->ssi_fd = info->si_fd;
    } else if (code <= 0 || code >= SI_KERNEL || !fill_by_kernel(out, info)) {
        out->ssi_pid = (uint32_t)info->si_pid;
        out->ssi_uid = info->si_uid;
        if (code < 0) {
            out->ssi_ptr = (uintptr_t)info->si_ptr;
            out->ssi_int = info->si_int;
        }
    }
}

/* Take one signal; false: none is pending. */
static bool take(uint64_t mask, struct signalfd_siginfo *out)
{
    struct thread *thread = current_thread();
    struct process *process = thread->process;
    struct signal_queued *queued = NULL;
    siginfo_t info;
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    int signo = signal_dequeue_locked(process, thread, ~mask, &queued);

    if (signo != 0) {
        signal_recalc_locked(thread);
    }
    spin_unlock_irqrestore(&process->siglock, flags);
    if (signo != 0) {
        signal_take_info(signo, queued, &info);
        fill(out, &info);
    }
    return signo != 0;
}

static ssize_t signalfd_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    struct signalfd_siginfo out;
    ssize_t done = 0;

    (void)pos;
    if (to->count < sizeof(out)) {
        return -EINVAL;
    }
    while (to->count >= sizeof(out)) {
        if (take(mask_of(file), &out)) {
            if (iov_copy_to(to, &out, sizeof(out)) != sizeof(out)) {
                return done > 0 ? done : -EFAULT;
            }
            done += (ssize_t)sizeof(out);
            continue;
        }
        if (done > 0) {
            break;
        }
        if ((atomic_load_relaxed(&file->flags) & O_NONBLOCK) != 0) {
            return -EAGAIN;
        }
        int err =
            wait_event_interruptible(&process_current()->signalfd_wait, is_pending(mask_of(file)));
        if (err < 0) {
            return err;
        }
    }
    return done;
}

static void pin_get(void *process)
{
    (void)process_get(process);
}

static void pin_put(void *process)
{
    process_put(process);
}

/* The queue is the asking process', which the file may outlive, and which may end before one who watches. */
static uint32_t signalfd_poll(struct file *file, struct poll_table *table)
{
    struct process *process = process_current();
    const struct poll_pin pin = {.get = pin_get, .put = pin_put, .object = process};

    poll_wait_pinned(table, &process->signalfd_wait, &pin);
    return is_pending(mask_of(file)) ? POLLIN : 0;
}

static size_t signalfd_show(struct file *file, char *buf, size_t size)
{
    return (size_t)ksnprintf(buf, size, "sigmask:\t%016llx\n", (unsigned long long)mask_of(file));
}

static void signalfd_release(struct file *file)
{
    kfree(file->private);
}

static const struct file_ops signalfd_fops = {.release = signalfd_release,
                                              .llseek = file_llseek_nowhere,
                                              .read = signalfd_read,
                                              .poll = signalfd_poll,
                                              .show_fdinfo = signalfd_show};

int signalfd_create(uint64_t mask, int flags, struct file **ret_file)
{
    if ((flags & ~(SFD_CLOEXEC | SFD_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    struct signalfd *signalfd = kzalloc(sizeof(*signalfd));
    struct inode *inode = signalfd == NULL ? NULL : anon_inode_create(0600);
    int err = inode == NULL ? -ENOMEM
                            : file_create_anonymous(inode, "anon_inode:[signalfd]", &signalfd_fops,
                                                    (flags & O_NONBLOCK) | O_RDWR,
                                                    FMODE_READ | FMODE_WRITE, ret_file);
    if (err < 0) {
        kfree(signalfd);
        return err;
    }
    signalfd->mask = mask & ~SIGMASK_UNBLOCKABLE;
    (*ret_file)->private = signalfd;
    return 0;
}

int signalfd_set_mask(struct file *file, uint64_t mask)
{
    if (file->fops != &signalfd_fops) {
        return -EINVAL;
    }
    struct signalfd *signalfd = file->private;
    struct process *process = process_current();

    atomic_store_relaxed(&signalfd->mask, mask & ~SIGMASK_UNBLOCKABLE);
    wait_wake_all(&process->signalfd_wait, 0);
    return 0;
}
