/*
 * System V IPC.
 */
#include "kernel/ipc/msg.h"
#include "kernel/ipc/sem.h"
#include "kernel/ipc/shm.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/mm/arena.h"

/* The answer of a command that gives a structure, and then the structure. */
static int64_t give(int result, void __user *to, const void *from, size_t size)
{
    return result >= 0 && copy_to_user(to, from, size) < 0 ? -EFAULT : result;
}

/* ---- shared memory ---- */

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

/* ---- semaphores ---- */

SYSCALL3(semget, int, key, int, nsems, int, flags)
{
    return sem_get(key, nsems, flags);
}

#define SEM_OPS_ON_STACK 16u

/* semtimedop(2) with a deadline. */
static int64_t operate(int id, const struct sembuf __user *user_ops, unsigned nops,
                       ktime_t deadline)
{
    struct sembuf few[SEM_OPS_ON_STACK], *ops = few;

    if (nops == 0) {
        return -EINVAL;
    }
    if (nops > atomic_load_relaxed(&sem_limits.operations)) {
        return -E2BIG;
    }
    if (nops > SEM_OPS_ON_STACK) {
        ops = kvmalloc(nops * sizeof(*ops));
        if (ops == NULL) {
            return -ENOMEM;
        }
    }
    int64_t result = -EFAULT;
    if (copy_from_user(ops, user_ops, nops * sizeof(*ops)) == 0) {
        result = sem_operate(id, ops, nops, deadline);
    }
    if (ops != few) {
        kvfree(ops);
    }
    return result;
}

SYSCALL3(semop, int, id, const struct sembuf __user *, ops, unsigned, nops)
{
    return operate(id, ops, nops, KTIME_MAX);
}

SYSCALL4(semtimedop, int, id, const struct sembuf __user *, ops, unsigned, nops,
         const struct __kernel_timespec __user *, timeout)
{
    ktime_t deadline = KTIME_MAX;

    if (timeout != NULL) {
        int err = timespec_from_user(&deadline, timeout);
        if (err < 0) {
            return err;
        }
        deadline = ktime_after(ktime_now(), deadline);
    }
    return operate(id, ops, nops, deadline);
}

/* GETALL, SETALL. */
static int64_t transfer_all(int id, bool set, uint16_t __user *user_values)
{
    int n = sem_count(id, set ? 0222 : 0444);

    if (n < 0) {
        return n;
    }
    size_t size = (unsigned)n * sizeof(uint16_t);
    uint16_t *values = kvmalloc(size);
    if (values == NULL) {
        return -ENOMEM;
    }
    int64_t result = 0;
    if (set) {
        result = copy_from_user(values, user_values, size) < 0
                     ? -EFAULT
                     : sem_set_all(id, (unsigned)n, values);
    } else {
        result = give(sem_get_all(id, (unsigned)n, values), user_values, values, size);
    }
    kvfree(values);
    return result;
}

SYSCALL4(semctl, int, id, int, num, int, cmd, uint64_t, arg)
{
    void __user *buf = (void __user *)arg;
    struct seminfo info;
    struct semid64_ds stat;

    if (id < 0) {
        return -EINVAL;
    }
    switch (cmd) {
    case IPC_INFO:
    case SEM_INFO:
        return give(sem_info(cmd == SEM_INFO, &info), buf, &info, sizeof(info));
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY:
        return give(sem_stat(id, cmd, &stat), buf, &stat, sizeof(stat));
    case IPC_SET:
        return copy_from_user(&stat, buf, sizeof(stat)) < 0 ? -EFAULT : sem_set(id, &stat);
    case IPC_RMID:
        return sem_remove(id);
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
        return sem_ask(id, num, cmd);
    case SETVAL:
        return sem_set_value(id, num, (int)arg);
    case GETALL:
    case SETALL:
        return transfer_all(id, cmd == SETALL, buf);
    default:
        return -EINVAL;
    }
}

/* ---- message queues ---- */

SYSCALL2(msgget, int, key, int, flags)
{
    return msg_get(key, flags);
}

/* struct msgbuf: a long, then the text. */
SYSCALL4(msgsnd, int, id, const struct msgbuf __user *, user_message, ssize_t, size, int, flags)
{
    long type;

    if (get_user(type, user_member(user_message, mtype)) < 0) {
        return -EFAULT;
    }
    if (size < 0 || (size_t)size > atomic_load_relaxed(&msg_limits.max_bytes) || id < 0 ||
        type < 1) {
        return -EINVAL;
    }
    struct msg_message *message = msg_create(type, (size_t)size);
    if (message == NULL) {
        return -ENOMEM;
    }
    int err = copy_from_user(message->text, user_at(user_message, sizeof(long)), (size_t)size);
    if (err == 0) {
        err = msg_send(id, message, flags);
    }
    if (err < 0) {
        msg_destroy(message);
    }
    return err;
}

SYSCALL5(msgrcv, int, id, struct msgbuf __user *, user_message, ssize_t, size, long, type, int,
         flags)
{
    struct msg_message *message;

    if (id < 0 || size < 0) {
        return -EINVAL;
    }
    int err = msg_receive(id, (size_t)size, type, flags, &message);
    if (err < 0) {
        return err;
    }
    size_t len = MIN((size_t)size, message->size_bytes);
    int64_t result = (int64_t)len;
    if (put_user(message->type, user_member(user_message, mtype)) < 0 ||
        copy_to_user(user_at(user_message, sizeof(long)), message->text, len) < 0) {
        result = -EFAULT;
    }
    msg_destroy(message);
    return result;
}

SYSCALL3(msgctl, int, id, int, cmd, void __user *, buf)
{
    struct msginfo info;
    struct msqid64_ds stat;

    if (id < 0 || cmd < 0) {
        return -EINVAL;
    }
    switch (cmd) {
    case IPC_INFO:
    case MSG_INFO:
        return give(msg_info(cmd == MSG_INFO, &info), buf, &info, sizeof(info));
    case IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY:
        return give(msg_stat(id, cmd, &stat), buf, &stat, sizeof(stat));
    case IPC_SET:
        return copy_from_user(&stat, buf, sizeof(stat)) < 0 ? -EFAULT : msg_set(id, &stat);
    case IPC_RMID:
        return msg_remove(id);
    default:
        return -EINVAL;
    }
}
