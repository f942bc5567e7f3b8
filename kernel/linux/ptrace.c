/*
 * ptrace(2).
 */
#include "kernel/proc/ptrace.h"

#include "kernel/linux/syscall.h"

/* Unknown options are EIO here, EINVAL in PTRACE_SETOPTIONS (ptrace(2), "Errors"). */
static int seize(int tid, uint64_t addr, uint64_t options)
{
    if (addr != 0 || (options & ~(uint64_t)PTRACE_O_MASK) != 0) {
        return -EIO;
    }
    if ((options & PTRACE_O_SUSPEND_SECCOMP) != 0) {
        return -EINVAL; /* there is nothing to suspend */
    }
    return ptrace_attach(tid, true, options);
}

SYSCALL4(ptrace, uint64_t, request, int, pid, uint64_t, addr, uint64_t, data)
{
    switch (request) {
    case PTRACE_TRACEME:
        return ptrace_traceme();
    case PTRACE_ATTACH:
        return ptrace_attach(pid, false, 0);
    case PTRACE_SEIZE:
        return seize(pid, addr, data);
    default:
        return ptrace_request(request <= INT32_MAX ? (int)request : -1, pid, addr, data);
    }
}
