/*
 * Making, running, ending and waiting for processes; their numbers, groups, sessions, limits and usage.
 */
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/resource.h>
#include <linux/rseq.h>
#include <linux/sched.h>
#include <linux/times.h>
#include <linux/wait.h>

#include "kernel/base/string.h"
#include "kernel/linux/structs.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/machine/cpu.h"
#include "kernel/proc/pidfd.h"
#include "kernel/proc/rseq.h"
#include "kernel/proc/signal.h"

/* ---- clone ---- */

SYSCALL0(fork)
{
    const struct clone_request request = {.exit_signal = SIGCHLD};

    return process_clone(&request);
}

SYSCALL0(vfork)
{
    const struct clone_request request = {.flags = CLONE_VFORK | CLONE_VM, .exit_signal = SIGCHLD};

    return process_clone(&request);
}

SYSCALL5(clone, uint64_t, flags, uint64_t, stack, int __user *, parent_tid, uint32_t __user *,
         child_tid, uint64_t, tls)
{
    const struct clone_request request = {.flags = flags & 0xffffffffull & ~(uint64_t)CSIGNAL,
                                          .exit_signal = (int)(flags & CSIGNAL),
                                          .stack = stack,
                                          .tls = tls,
                                          .parent_tid = parent_tid,
                                          .child_tid = child_tid,
                                          .pidfd = parent_tid};

    return process_clone(&request);
}

/* clone(2), "The set_tid array": a number for each level of namespaces, of which there is one. 0: any number. */
static int wanted_tid(const struct clone_args *args, int *ret_tid)
{
    const unsigned max_levels = 32;
    int tid = 0;

    if (args->set_tid_size > max_levels || (args->set_tid == 0) != (args->set_tid_size == 0)) {
        return -EINVAL;
    }
    if (args->set_tid_size != 0) {
        if (get_user(tid, (const int __user *)args->set_tid) < 0) {
            return -EFAULT;
        }
        if (args->set_tid_size > 1 || tid < 1 || tid >= PID_MAX_DEFAULT) {
            return -EINVAL;
        }
        if (!current_has_cap(CAP_SYS_ADMIN) && !current_has_cap(CAP_CHECKPOINT_RESTORE)) {
            return -EPERM;
        }
    }
    *ret_tid = tid;
    return 0;
}

/* What the structure's members have to be, without what all kinds of clone check. */
static int clone_args_check(const struct clone_args *args, size_t size)
{
    if ((args->flags & (CLONE_DETACHED | CSIGNAL)) != 0 || args->exit_signal > SIGNAL_COUNT ||
        (args->exit_signal != 0 && (args->flags & (CLONE_THREAD | CLONE_PARENT)) != 0) ||
        (args->stack == 0) != (args->stack_size == 0) ||
        !user_range_ok((const void __user *)args->stack, args->stack_size)) {
        return -EINVAL;
    }
    if ((args->flags & CLONE_INTO_CGROUP) != 0) {
        /* There are no control groups, so no descriptor is one of such a directory. */
        return args->cgroup > INT32_MAX || size < CLONE_ARGS_SIZE_VER2 ? -EINVAL : -EBADF;
    }
    return 0;
}

SYSCALL2(clone3, const struct clone_args __user *, uargs, size_t, size)
{
    struct clone_args args;
    int tid;

    if (size < CLONE_ARGS_SIZE_VER0) {
        return -EINVAL;
    }
    int err = struct_from_user(&args, sizeof(args), uargs, size);
    if (err == 0) {
        err = clone_args_check(&args, size);
    }
    if (err == 0) {
        err = wanted_tid(&args, &tid);
    }
    if (err < 0) {
        return err;
    }
    const struct clone_request request = {.flags = args.flags,
                                          .exit_signal = (int)args.exit_signal,
                                          .stack = args.stack + args.stack_size,
                                          .tls = args.tls,
                                          .parent_tid = (int __user *)args.parent_tid,
                                          .child_tid = (uint32_t __user *)args.child_tid,
                                          .pidfd = (int __user *)args.pidfd,
                                          .wanted_tid = tid};
    return process_clone(&request);
}

SYSCALL1(unshare, uint64_t, flags)
{
    return process_unshare(flags);
}

/* ---- exec and exit ---- */

static int64_t exec_at(int dirfd, const char __user *upath, const char __user *const __user *argv,
                       const char __user *const __user *envp, int flags)
{
    struct path_name name;

    if ((flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) != 0) {
        return -EINVAL;
    }
    int err = path_name_get(&name, upath, (flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0);
    if (err == 0) {
        err = process_exec(dirfd, name.text, argv, envp, flags);
        path_name_put(&name);
    }
    return err;
}

SYSCALL3(execve, const char __user *, path, const char __user *const __user *, argv,
         const char __user *const __user *, envp)
{
    return exec_at(AT_FDCWD, path, argv, envp, 0);
}

SYSCALL5(execveat, int, dirfd, const char __user *, path, const char __user *const __user *, argv,
         const char __user *const __user *, envp, int, flags)
{
    return exec_at(dirfd, path, argv, envp, flags);
}

SYSCALL1(exit, int, code)
{
    process_exit((code & 0xff) << 8);
}

SYSCALL1(exit_group, int, code)
{
    process_exit_group((code & 0xff) << 8);
}

/* ---- wait ---- */

SYSCALL4(wait4, int, pid, int __user *, ustatus, int, options, struct rusage __user *, uusage)
{
    struct wait_request request = {.options = options | WEXITED, .want_usage = uusage != NULL};

    if ((options & ~(int)(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL)) !=
        0) {
        return -EINVAL;
    }
    if (pid == INT32_MIN) {
        return -ESRCH;
    }
    request.which = pid == -1 ? P_ALL : pid > 0 ? P_PID : P_PGID;
    request.id = pid < 0 ? -pid : pid;
    int64_t result = process_wait(&request);
    if (result > 0) {
        if ((ustatus != NULL && put_user(request.ret_status, ustatus) < 0) ||
            (uusage != NULL && copy_to_user(uusage, &request.ret_usage, sizeof(*uusage)) < 0)) {
            return -EFAULT;
        }
    }
    return result;
}

/* A descriptor opened with PIDFD_NONBLOCK: -EAGAIN instead of waiting (pidfd_open(2)). */
static int64_t wait_by_pidfd(struct wait_request *request)
{
    struct file *file = request->id < 0 ? NULL : fd_file(request->id);
    bool asked = (request->options & WNOHANG) != 0;

    if (file == NULL) {
        return request->id < 0 ? -EINVAL : -EBADF;
    }
    int64_t result = -EBADF;
    request->pid = pidfd_pid(file);
    if (request->pid != NULL) {
        bool nonblock = (atomic_load_relaxed(&file->flags) & O_NONBLOCK) != 0;
        request->options |= nonblock ? WNOHANG : 0;
        result = process_wait(request);
        if (result == 0 && nonblock && !asked) {
            result = -EAGAIN;
        }
    }
    file_put(file);
    return result;
}

SYSCALL5(waitid, int, which, int, id, siginfo_t __user *, uinfo, int, options,
         struct rusage __user *, uusage)
{
    struct wait_request request = {
        .which = which, .id = id, .options = options, .want_usage = uusage != NULL};

    if ((options & ~(int)(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD |
                          __WCLONE | __WALL)) != 0 ||
        (options & (WEXITED | WSTOPPED | WCONTINUED)) == 0) {
        return -EINVAL;
    }
    if (which < P_ALL || which > P_PIDFD || (which == P_PID && id <= 0) ||
        (which == P_PGID && id < 0)) {
        return -EINVAL;
    }
    int64_t result = which == P_PIDFD ? wait_by_pidfd(&request) : process_wait(&request);
    if (result < 0) {
        return result;
    }
    if (result == 0) {
        memset(&request.ret_info, 0, sizeof(request.ret_info));
    }
    if ((uinfo != NULL && copy_to_user(uinfo, &request.ret_info, sizeof(*uinfo)) < 0) ||
        (result > 0 && uusage != NULL &&
         copy_to_user(uusage, &request.ret_usage, sizeof(*uusage)) < 0)) {
        return -EFAULT;
    }
    return 0;
}

/* ---- numbers ---- */

SYSCALL0(getpid)
{
    return process_current()->pid->nr;
}

SYSCALL0(gettid)
{
    return current_thread()->pid->nr;
}

SYSCALL0(getppid)
{
    return process_parent_nr(process_current());
}

SYSCALL0(getpgrp)
{
    return process_getpgid(0);
}

SYSCALL1(getpgid, int, pid)
{
    return process_getpgid(pid);
}

SYSCALL2(setpgid, int, pid, int, pgid)
{
    return process_setpgid(pid, pgid);
}

SYSCALL1(getsid, int, pid)
{
    return process_getsid(pid);
}

SYSCALL0(setsid)
{
    return process_setsid();
}

SYSCALL4(rseq, struct rseq __user *, area, uint32_t, len_bytes, int, flags, uint32_t, signature)
{
    if ((flags & ~RSEQ_FLAG_UNREGISTER) != 0 || len_bytes != sizeof(*area)) {
        return -EINVAL;
    }
    return (flags & RSEQ_FLAG_UNREGISTER) != 0 ? rseq_unregister(area, signature)
                                               : rseq_register(area, signature);
}

SYSCALL1(set_tid_address, uint32_t __user *, address)
{
    current_thread()->clear_child_tid = address;
    return current_thread()->pid->nr;
}

SYSCALL2(arch_prctl, int, code, uint64_t, addr)
{
    return cpu_arch_prctl(code, addr);
}

SYSCALL1(personality, uint32_t, persona)
{
    struct process *process = process_current();
    uint32_t old = process->personality;

    if (persona != 0xffffffffu) {
        process->personality = persona;
    }
    return old;
}

/* ---- limits and usage ---- */

SYSCALL2(getrlimit, unsigned, resource, struct rlimit64 __user *, ulimit)
{
    struct rlimit64 old;
    int err = process_prlimit(0, resource, NULL, &old);

    return err < 0 ? err : copy_to_user(ulimit, &old, sizeof(old));
}

SYSCALL2(setrlimit, unsigned, resource, const struct rlimit64 __user *, ulimit)
{
    struct rlimit64 new;

    return copy_from_user(&new, ulimit, sizeof(new)) < 0 ? -EFAULT
                                                         : process_prlimit(0, resource, &new, NULL);
}

SYSCALL4(prlimit64, int, pid, unsigned, resource, const struct rlimit64 __user *, unew,
         struct rlimit64 __user *, uold)
{
    struct rlimit64 new, old;

    if (unew != NULL && copy_from_user(&new, unew, sizeof(new)) < 0) {
        return -EFAULT;
    }
    int err =
        process_prlimit(pid, resource, unew != NULL ? &new : NULL, uold != NULL ? &old : NULL);
    if (err == 0 && uold != NULL && copy_to_user(uold, &old, sizeof(old)) < 0) {
        return -EFAULT;
    }
    return err;
}

SYSCALL2(getrusage, int, who, struct rusage __user *, uusage)
{
    struct rusage usage;

    if (who != RUSAGE_SELF && who != RUSAGE_CHILDREN && who != RUSAGE_THREAD) {
        return -EINVAL;
    }
    process_rusage(process_current(), who, &usage);
    return copy_to_user(uusage, &usage, sizeof(usage));
}

#define USER_HZ 100

static long ticks_of_ns(ktime_t ns)
{
    return ns / (NS_PER_S / USER_HZ);
}

SYSCALL1(times, struct tms __user *, utimes)
{
    struct process *process = process_current();

    if (utimes != NULL) {
        struct usage usage;
        process_usage(process, &usage);
        struct tms tms = {.tms_utime = ticks_of_ns(usage.user_ns),
                          .tms_stime = ticks_of_ns(usage.system_ns),
                          .tms_cutime = ticks_of_ns(process->reaped.user_ns),
                          .tms_cstime = ticks_of_ns(process->reaped.system_ns)};
        if (copy_to_user(utimes, &tms, sizeof(tms)) < 0) {
            return -EFAULT;
        }
    }
    return ticks_of_ns(ktime_now());
}
