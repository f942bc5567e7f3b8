/*
 * System V shared memory (sysvipc(7), shmget(2)).
 *
 * Thread context, nothing held. User pointers are the callers' matter: structures are passed by value.
 */
#pragma once

#include <linux/shm.h>

#include "kernel/machine/user.h"

/* shmget(2): the identifier, or -EACCES -EEXIST -EINVAL -ENOENT -ENOMEM -ENOSPC -EPERM. */
int shm_get(int key, size_t size_bytes, int flags);
/* shmat(2): the address, or -EACCES -EINVAL -ENOMEM. */
int64_t shm_attach(int id, uint64_t addr, int flags);
/* shmdt(2). -EINVAL: nothing is attached there. */
int shm_detach(uint64_t addr);

/* shmctl(2) by command. IPC_STAT, SHM_STAT (`id` is an index; returns the identifier), SHM_STAT_ANY. */
int shm_stat(int id, int cmd, struct shmid64_ds *ret_stat);
int shm_set(int id, const struct shmid64_ds *stat);
int shm_remove(int id);
/* SHM_LOCK, SHM_UNLOCK. */
int shm_lock(int id, bool lock);
/* IPC_INFO, SHM_INFO; both return the highest index in use. */
int shm_limits_info(struct shminfo64 *ret_info);
int shm_usage_info(struct shm_info *ret_info);

/* The segment with the smallest index >= `index`, for /proc/sysvipc/shm; its index, or -ENOENT. Bytes in memory and swapped. */
int shm_next(unsigned index, struct shmid64_ds *ret_stat, int *ret_id, uint64_t *ret_rss_bytes,
             uint64_t *ret_swap_bytes);

/* /proc/sys/kernel/shm*. */
struct shm_limits {
    uint64_t max_bytes;  /* [a] shmmax: of one segment */
    uint64_t all_pages;  /* [a] shmall: of all */
    uint32_t max_number; /* [a] shmmni */
};
extern struct shm_limits shm_limits;
