/*
 * System V semaphores (sysvipc(7), semget(2), semop(2), semctl(2)).
 *
 * Thread context, nothing held. User pointers are the callers' matter.
 */
#pragma once

#include <linux/sem.h>

#include "kernel/base/types.h"

struct thread;

/* semget(2): the identifier, or -EACCES -EEXIST -EINVAL -ENOENT -ENOMEM -ENOSPC. */
int sem_get(int key, int nsems, int flags);
/*
 * semtimedop(2), with an absolute monotonic deadline, KTIME_MAX: none. `ops` is the caller's. -EACCES -EAGAIN -EFBIG -EIDRM -EINTR
 * -EINVAL -ENOMEM -ERANGE.
 */
int sem_operate(int id, const struct sembuf *ops, unsigned nops, ktime_t deadline);

/* semctl(2) by command. IPC_STAT, SEM_STAT (`id` is an index; returns the identifier), SEM_STAT_ANY. */
int sem_stat(int id, int cmd, struct semid64_ds *ret_stat);
int sem_set(int id, const struct semid64_ds *stat);
int sem_remove(int id);
/* GETVAL, GETPID, GETNCNT, GETZCNT of semaphore `num`. */
int sem_ask(int id, int num, int cmd);
int sem_set_value(int id, int num, int value);
/* How many semaphores the set has, if `rights` are given. -EACCES, -EINVAL. */
int sem_count(int id, uint32_t rights);
/* GETALL, SETALL: `n` as sem_count() told. -EIDRM: the set went meanwhile. */
int sem_get_all(int id, unsigned n, uint16_t *ret_values);
int sem_set_all(int id, unsigned n, const uint16_t *values);
/* IPC_INFO, SEM_INFO (`usage`): the limits, and what is in use; returns the highest index in use. */
int sem_info(bool usage, struct seminfo *ret_info);
/* The set with the smallest index >= `index`, for /proc/sysvipc/sem; its index, or -ENOENT. */
int sem_next(unsigned index, struct semid64_ds *ret_stat, int *ret_id);

/* /proc/sys/kernel/sem. */
struct sem_limits {
    uint32_t per_set;    /* [a] SEMMSL */
    uint32_t all;        /* [a] SEMMNS */
    uint32_t operations; /* [a] SEMOPM: of one call */
    uint32_t sets;       /* [a] SEMMNI */
};
extern struct sem_limits sem_limits;

/*
 * What a process' operations with SEM_UNDO are to be undone by when it ends: thread->sem_undo, NULL: nothing. Threads share one by
 * CLONE_SYSVSEM.
 */
/* The child (not started) shares the current thread's. -ENOMEM. */
int sem_undo_share(struct thread *child);
/* The current thread ends, or goes on alone: what nobody shares any more is undone. */
void sem_undo_exit(void);
/* A child that shares and was never started. */
void sem_undo_discard(struct thread *child);
