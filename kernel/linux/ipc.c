/*
 * System V IPC: shared memory.
 */
#include "kernel/ipc/shm.h"
#include "kernel/linux/syscall.h"

SYSCALL3(shmget, int, key, size_t, size, int, flags)
{
    return shm_get(key, size, flags);
}

SYSCALL3(shmat, int, id, uint64_t, addr, int, flags)
{
    return shm_attach(id, addr, flags);
}

SYSCALL1(shmdt, uint64_t, addr)
{
    return shm_detach(addr);
}

/* The answer of a command that gives a structure, and then the structure. */
static int64_t give(int result, void __user *to, const void *from, size_t size)
{
    return result >= 0 && copy_to_user(to, from, size) < 0 ? -EFAULT : result;
}

SYSCALL3(shmctl, int, id, int, cmd, void __user *, buf)
{
    struct shminfo64 limits;
    struct shm_info usage;
    struct shmid64_ds stat;

    if (id < 0 || cmd < 0) {
        return -EINVAL;
    }
    switch (cmd) {
    case IPC_INFO:
        return give(shm_limits_info(&limits), buf, &limits, sizeof(limits));
    case SHM_INFO:
        return give(shm_usage_info(&usage), buf, &usage, sizeof(usage));
    case IPC_STAT:
    case SHM_STAT:
    case SHM_STAT_ANY:
        return give(shm_stat(id, cmd, &stat), buf, &stat, sizeof(stat));
    case IPC_SET:
        return copy_from_user(&stat, buf, sizeof(stat)) < 0 ? -EFAULT : shm_set(id, &stat);
    case IPC_RMID:
        return shm_remove(id);
    case SHM_LOCK:
    case SHM_UNLOCK:
        return shm_lock(id, cmd == SHM_LOCK);
    default:
        return -EINVAL;
    }
}
