/*
 * fcntl(2), and the owners of files, whom signals tell.
 */
#include <asm/fcntl.h>
#include <asm/poll.h>
#include <asm/signal.h>
#include <linux/fcntl.h>

#include "kernel/sched/pid.h"
#include "kernel/security/cred.h"
#include "kernel/vfs/async.h"
#include "kernel/vfs/fdtable.h"
#include "kernel/vfs/private.h"

/* Flags that F_SETFL changes; the rest of its argument is ignored. */
#define SETFL_FLAGS (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | FASYNC)

#define SIGNAL_MAX 64 /* signal(7): the last real-time signal */

static struct spinlock owner_lock = SPINLOCK_INIT("file owner"); /* irqsave */

static int64_t fcntl_setfl(int fd, struct file *file, uint32_t arg)
{
    uint32_t old = atomic_load_relaxed(&file->flags);
    uint32_t changed = (old ^ arg) & SETFL_FLAGS;

    if ((changed & arg & O_NOATIME) != 0 && !inode_owner_or_capable(file->inode)) {
        return -EPERM;
    }
    if ((changed & arg & O_DIRECT) != 0 && !S_ISFIFO(file->inode->mode) &&
        !inode_is_regular(file->inode)) {
        return -EINVAL;
    }
    if ((changed & FASYNC) != 0 && file->fops->fasync != NULL) {
        int err = file->fops->fasync(fd, file, (arg & FASYNC) != 0);
        if (err < 0) {
            return err;
        }
    }
    atomic_store_relaxed(&file->flags, (old & ~(uint32_t)SETFL_FLAGS) | (arg & SETFL_FLAGS));
    return 0;
}

static void owner_set(struct file *file, struct pid *pid, int type)
{
    const struct cred *mine = cred_current();
    uint64_t flags = spin_lock_irqsave(&owner_lock);
    struct pid *old = file->owner;

    file->owner = pid;
    file->owner_type = type;
    file->owner_uid = mine->uid;
    file->owner_euid = mine->euid;
    spin_unlock_irqrestore(&owner_lock, flags);
    pid_put(old);
}

void file_set_first_owner(struct file *file, struct pid *pid, int type)
{
    int old_type;
    struct pid *old = file_get_owner(file, &old_type);

    if (old == NULL) {
        owner_set(file, pid_get(pid), type);
    }
    pid_put(old);
}

/* poll(2) events of POLL_IN ... POLL_HUP. */
static const uint16_t bands[] = {[POLL_IN] = POLLIN | POLLRDNORM,
                                 [POLL_OUT] = POLLOUT | POLLWRNORM | POLLWRBAND,
                                 [POLL_MSG] = POLLIN | POLLRDNORM | POLLMSG,
                                 [POLL_ERR] = POLLERR,
                                 [POLL_PRI] = POLLPRI | POLLRDBAND,
                                 [POLL_HUP] = POLLHUP | POLLERR};

/* si_code: these signals have codes of their own, which mean something else. */
static int io_code(int signo, int code)
{
    switch (signo) {
    case SIGILL:
    case SIGFPE:
    case SIGSEGV:
    case SIGBUS:
    case SIGTRAP:
    case SIGCHLD:
    case SIGSYS:
        return SI_SIGIO;
    default:
        return code;
    }
}

static void tell_owner(struct file *file, const siginfo_t *info)
{
    uint64_t flags = spin_lock_irqsave(&owner_lock);

    if (file->owner != NULL) {
        const struct jobctl_owner owner = {.pid = file->owner,
                                           .type = file->owner_type,
                                           .uid = file->owner_uid,
                                           .euid = file->owner_euid};
        jobctl->signal_owner(&owner, info);
    }
    spin_unlock_irqrestore(&owner_lock, flags);
}

void file_tell_owner(struct file *file, int fd, int code)
{
    siginfo_t info = {.si_signo = atomic_load_relaxed(&file->owner_signal)};

    if (info.si_signo == 0) {
        info.si_signo = SIGIO;
        info.si_code = SI_KERNEL;
    } else {
        info.si_code = io_code(info.si_signo, code);
        info.si_fd = fd;
        info.si_band = bands[code];
    }
    tell_owner(file, &info);
}

void file_tell_urgent(struct file *file)
{
    const siginfo_t info = {.si_signo = SIGURG, .si_code = SI_KERNEL};

    tell_owner(file, &info);
}

struct pid *file_get_owner(struct file *file, int *ret_type)
{
    uint64_t flags = spin_lock_irqsave(&owner_lock);
    struct pid *pid = pid_get(file->owner);

    *ret_type = file->owner_type;
    spin_unlock_irqrestore(&owner_lock, flags);
    return pid;
}

static int64_t owner_set_number(struct file *file, int number, int type)
{
    struct pid *pid = NULL;

    if (number != 0) {
        pid = pid_find(number);
        if (pid == NULL) {
            return -ESRCH;
        }
    }
    owner_set(file, pid, type);
    return 0;
}

int64_t file_set_owner_number(struct file *file, int arg)
{
    if (arg == INT32_MIN) {
        return -EINVAL;
    }
    return arg < 0 ? owner_set_number(file, -arg, F_OWNER_PGRP)
                   : owner_set_number(file, arg, F_OWNER_PID);
}

int64_t file_get_owner_number(struct file *file)
{
    int type;
    struct pid *pid = file_get_owner(file, &type);
    int number = pid_nr(pid);

    pid_put(pid);
    return type == F_OWNER_PGRP ? -number : number;
}

static int64_t fcntl_setown_ex(struct file *file, const void __user *arg)
{
    struct f_owner_ex owner;

    if (copy_from_user(&owner, arg, sizeof(owner)) < 0) {
        return -EFAULT;
    }
    if (owner.type != F_OWNER_TID && owner.type != F_OWNER_PID && owner.type != F_OWNER_PGRP) {
        return -EINVAL;
    }
    return owner_set_number(file, owner.pid, owner.type);
}

static int64_t fcntl_getown_ex(struct file *file, void __user *arg)
{
    struct f_owner_ex owner = {0};
    struct pid *pid = file_get_owner(file, &owner.type);

    owner.pid = pid_nr(pid);
    pid_put(pid);
    if (owner.pid == 0) {
        owner.type = F_OWNER_PID;
    }
    return copy_to_user(arg, &owner, sizeof(owner));
}

static int64_t fcntl_lock(int fd, struct file *file, unsigned cmd, uint64_t arg)
{
    struct flock lock;

    if (copy_from_user(&lock, (const void __user *)arg, sizeof(lock)) < 0) {
        return -EFAULT;
    }
    int err = vfs_posix_lock(fd, file, (int)cmd, &lock);
    if (err == 0 && (cmd == F_GETLK || cmd == F_OFD_GETLK)) {
        err = copy_to_user((void __user *)arg, &lock, sizeof(lock));
    }
    return err;
}

static int64_t fcntl_setsig(struct file *file, int signo)
{
    if (signo < 0 || signo > SIGNAL_MAX) {
        return -EINVAL;
    }
    atomic_store_relaxed(&file->owner_signal, signo);
    return 0;
}

/* Commands that act on the open file. O_PATH files are none. */
static int64_t fcntl_file(int fd, struct file *file, unsigned cmd, uint64_t arg)
{
    switch (cmd) {
    case F_SETFL:
        return fcntl_setfl(fd, file, (uint32_t)arg);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return fcntl_lock(fd, file, cmd, arg);
    case F_SETOWN:
        return file_set_owner_number(file, (int)arg);
    case F_GETOWN:
        return file_get_owner_number(file);
    case F_SETOWN_EX:
        return fcntl_setown_ex(file, (const void __user *)arg);
    case F_GETOWN_EX:
        return fcntl_getown_ex(file, (void __user *)arg);
    case F_SETSIG:
        return fcntl_setsig(file, (int)arg);
    case F_GETSIG:
        return atomic_load_relaxed(&file->owner_signal);
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
        return S_ISFIFO(file->inode->mode) ? file->fops->fcntl(file, cmd, arg) : -EBADF;
    default:
        return file->fops->fcntl == NULL ? -EINVAL : file->fops->fcntl(file, cmd, arg);
    }
}

int64_t file_fcntl(int fd, unsigned cmd, uint64_t arg)
{
    struct fd_ref ref = fd_borrow_any(fd);
    struct file *file = fd_ref_file(ref);
    int64_t result;

    if (file == NULL) {
        return -EBADF;
    }
    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        result = fd_dup(fd, (unsigned)MIN(arg, (uint64_t)UINT32_MAX), cmd == F_DUPFD_CLOEXEC);
        break;
    case F_GETFD:
        result = fd_get_cloexec(fd) > 0 ? FD_CLOEXEC : 0;
        break;
    case F_SETFD:
        result = fd_set_cloexec(fd, (arg & FD_CLOEXEC) != 0);
        break;
    case F_GETFL:
        result = atomic_load_relaxed(&file->flags);
        break;
    default:
        result = (file->mode & FMODE_PATH) != 0 ? -EBADF : fcntl_file(fd, file, cmd, arg);
        break;
    }
    fd_return(ref);
    return result;
}
