/*
 * What shm.c, which keeps the segments, and shm_ctl.c, which tells of them, share.
 */
#pragma once

#include "kernel/base/errno.h"
#include "kernel/base/xarray.h"
#include "kernel/ipc/shm.h"
#include "kernel/security/cred.h"
#include "kernel/sync/spinlock.h"
#include "kernel/vm/vmspace.h"

/* Bits of shm_perm.mode beside the permissions (shmctl(2)): kept out of the ABI headers. */
#define SHM_DEST   01000u
#define SHM_LOCKED 02000u

#define SHM_INDEX_BITS 15u
#define SHM_INDEX_MASK (BIT(SHM_INDEX_BITS) - 1)

/*
 * A segment. Regions refer to `source`, whose get and put count attachments; the memory is a source of vm's own, whose cache the two share.
 *
 * Locks: I immutable after create   s shm_table.lock
 */
struct shm_segment {
    struct vm_source source;     /* [I] */
    struct vm_source *memory;    /* [I] referenced */
    int id;                      /* [I] */
    int creator;                 /* [I] process number */
    int last;                    /* [s] of the last shmat or shmdt */
    int key;                     /* [s] IPC_PRIVATE once it is removed */
    int named;                   /* [I] the key it was made with, for its name in maps */
    size_t size_bytes;           /* [I] */
    uint32_t uid, gid;           /* [s] */
    uint32_t cuid, cgid;         /* [I] */
    uint32_t mode;               /* [s] permissions, SHM_DEST, SHM_LOCKED */
    ktime_t atime, dtime, ctime; /* [s] real time; 0: never */
    uint64_t nattach;            /* [s] */
    uint64_t refs; /* [s] the table's, one for each attachment, and those of calls under way */
};

struct shm_table {
    struct spinlock lock;
    struct xarray segments; /* [lock] index -> struct shm_segment */
    unsigned number;        /* [lock] of them */
    uint64_t pages;         /* [lock] of all */
    unsigned sequence;      /* [lock] upper part of the next identifier */
};
extern struct shm_table shm_table;

/* The segment with this identifier. -EINVAL: there is none. Lock held. */
int shm_find_locked(int id, struct shm_segment **ret_segment);
/* Permission bits of `flags`, any of its three classes, against the segment's. -EACCES. Lock held. */
int shm_permitted_locked(const struct shm_segment *segment, uint32_t flags);
/* Nobody finds it by its key any more; its memory goes with the last attachment. Lock held; true: the caller frees it, unlocked. */
bool shm_remove_locked(struct shm_segment *segment);
/* Let go of what shm_remove_locked() or the last reference left. */
void shm_segment_free(struct shm_segment *segment);
