/*
 * Other processes' memory: process_vm_readv(2), process_vm_writev(2), process_madvise(2).
 */
#include <linux/capability.h>
#include <linux/mman.h>

#include "kernel/linux/remote.h"
#include "kernel/linux/syscall.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/pidfd.h"
#include "kernel/proc/process.h"
#include "kernel/vfs/fdtable.h"
#include "kernel/vm/iov.h"
#include "kernel/vm/vmspace.h"

#define FAST_SEGMENTS 8

/* The vector of places in the other space. They are looked at when they are used; only their lengths are checked here. */
static int remote_import(const struct iovec __user *uvec, size_t nsegs, struct iovec *fast,
                         struct iovec **ret_vec)
{
    struct iovec *vec = fast;

    if (nsegs > UIO_MAXIOV) {
        return -EINVAL;
    }
    if (nsegs > FAST_SEGMENTS && (vec = kmalloc(nsegs * sizeof(*vec))) == NULL) {
        return -ENOMEM;
    }
    int err = copy_from_user(vec, uvec, nsegs * sizeof(*vec));
    for (size_t i = 0; err == 0 && i < nsegs; i++) {
        err = (ssize_t)vec[i].iov_len < 0 ? -EINVAL : 0;
    }
    if (err < 0) {
        if (vec != fast) {
            kfree(vec);
        }
        return err;
    }
    *ret_vec = vec;
    return 0;
}

int remote_vm_get(int tid, struct vmspace **ret_vm)
{
    struct thread *thread;
    struct process *process = tid > 0 ? process_find_thread(tid, &thread) : NULL;

    if (process == NULL) {
        return -ESRCH;
    }
    int err = thread_vm_get_checked(thread, process, true, ret_vm);
    thread_put(thread);
    process_put(process);
    return err == -EACCES ? -EPERM : err;
}

/* Bytes moved, up to the first that could not be; an error when that was the very first. */
static ssize_t remote_copy(struct vmspace *vm, const struct iovec *vec, size_t nsegs,
                           struct iov_iter *local, bool write)
{
    ssize_t done = 0;

    for (size_t i = 0; i < nsegs && local->count > 0; i++) {
        size_t want = MIN(vec[i].iov_len, local->count);
        if (want == 0) {
            continue;
        }
        ssize_t n = vmspace_access_iter(vm, (uintptr_t)vec[i].iov_base, want, local, write, false);
        if (n < 0) {
            return done > 0 ? done : n;
        }
        done += n;
        if ((size_t)n < want) {
            break;
        }
    }
    return done;
}

static bool has_bytes(const struct iovec *vec, size_t nsegs)
{
    for (size_t i = 0; i < nsegs; i++) {
        if (vec[i].iov_len > 0) {
            return true;
        }
    }
    return false;
}

static ssize_t remote_rw(int tid, struct iov_iter *local, const struct iovec __user *uremote,
                         size_t nremote, bool write)
{
    struct iovec fast[FAST_SEGMENTS], *remote;
    struct vmspace *vm;
    ssize_t result = remote_import(uremote, nremote, fast, &remote);

    if (result < 0) {
        return result;
    }
    if (has_bytes(remote, nremote)) {
        result = remote_vm_get(tid, &vm);
        if (result == 0) {
            result = remote_copy(vm, remote, nremote, local, write);
            vmspace_put(vm);
        }
    }
    if (remote != fast) {
        kfree(remote);
    }
    return result;
}

static int64_t process_vm_rw(int tid, const struct iovec __user *ulocal, size_t nlocal,
                             const struct iovec __user *uremote, size_t nremote, uint64_t flags,
                             bool write)
{
    struct iovec fast[FAST_SEGMENTS], *vec;
    struct iov_iter local;

    if (flags != 0) {
        return -EINVAL;
    }
    int64_t result = iov_import(ulocal, nlocal, fast, ARRAY_SIZE(fast), &vec, &local);
    if (result < 0) {
        return result;
    }
    if (local.count > 0) {
        result = remote_rw(tid, &local, uremote, nremote, write);
    }
    if (vec != fast) {
        kfree(vec);
    }
    return result;
}

SYSCALL6(process_vm_readv, int, pid, const struct iovec __user *, local, size_t, nlocal,
         const struct iovec __user *, remote, size_t, nremote, uint64_t, flags)
{
    return process_vm_rw(pid, local, nlocal, remote, nremote, flags, false);
}

SYSCALL6(process_vm_writev, int, pid, const struct iovec __user *, local, size_t, nlocal,
         const struct iovec __user *, remote, size_t, nremote, uint64_t, flags)
{
    return process_vm_rw(pid, local, nlocal, remote, nremote, flags, true);
}

/* ---- process_madvise ---- */

/* Advice that changes nothing that a process could see of its memory. As in Linux 6.1, it is all there is, also for the caller itself. */
static bool advice_is_harmless(int advice)
{
    return advice == MADV_COLD || advice == MADV_PAGEOUT || advice == MADV_WILLNEED ||
           advice == MADV_COLLAPSE;
}

/* Bytes advised, up to the first part that could not be; an error when that was the very first. */
static ssize_t advise_all(struct vmspace *vm, const struct iovec *vec, size_t nsegs, int advice)
{
    ssize_t done = 0;

    for (size_t i = 0; i < nsegs; i++) {
        int err = vmspace_advise(vm, (uintptr_t)vec[i].iov_base, vec[i].iov_len, advice);
        if (err < 0) {
            return done > 0 ? done : err;
        }
        done += (ssize_t)vec[i].iov_len;
    }
    return done;
}

static ssize_t advise_process(int pidfd, const struct iovec *vec, size_t nsegs, int advice)
{
    struct file *file = fd_file(pidfd);
    struct vmspace *vm;

    if (file == NULL) {
        return -EBADF;
    }
    ssize_t result = pidfd_vm_get(file, &vm);
    file_put(file);
    if (result < 0) {
        return result;
    }
    if (!advice_is_harmless(advice)) {
        result = -EINVAL;
    } else if (!current_has_cap(CAP_SYS_NICE)) {
        result = -EPERM;
    } else {
        result = advise_all(vm, vec, nsegs, advice);
    }
    vmspace_put(vm);
    return result;
}

SYSCALL5(process_madvise, int, pidfd, const struct iovec __user *, uvec, size_t, nsegs, int, advice,
         unsigned, flags)
{
    struct iovec fast[FAST_SEGMENTS], *vec;

    if (flags != 0) {
        return -EINVAL;
    }
    ssize_t result = remote_import(uvec, nsegs, fast, &vec);
    if (result < 0) {
        return result;
    }
    result = advise_process(pidfd, vec, nsegs, advice);
    if (vec != fast) {
        kfree(vec);
    }
    return result;
}
