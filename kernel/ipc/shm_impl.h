/*
 * What shm.c, which keeps the segments, and shm_ctl.c, which tells of them, share.
 */
#pragma once

#include "kernel/base/errno.h"
#include "kernel/ipc/shm.h"
#include "kernel/ipc/sysv.h"
#include "kernel/vm/vmspace.h"

/* Bits of shm_perm.mode beside the permissions (shmctl(2)): kept out of the ABI headers. */
#define SHM_DEST   01000u
#define SHM_LOCKED 02000u

/*
 * A segment. Regions refer to `source`, whose get and put count attachments; the memory is a source of vm's own, whose cache the two share.
 *
 * Locks: I immutable after create   s shm_table.lock
 */
struct shm_segment {
    struct sysv_object object;   /* mode: with SHM_DEST and SHM_LOCKED */
    struct vm_source source;     /* [I] */
    struct vm_source *memory;    /* [I] referenced */
    int creator;                 /* [I] process number */
    int last;                    /* [s] of the last shmat or shmdt */
    int named;                   /* [I] the key it was made with, for its name in maps */
    size_t size_bytes;           /* [I] */
    ktime_t atime, dtime, ctime; /* [s] real time; 0: never */
    uint64_t nattach;            /* [s] */
    struct user *locker; /* [s] who locked it, referenced, and is charged for it; NULL: nobody */
    uint64_t refs; /* [s] the table's, one for each attachment, and those of calls under way */
};

extern struct sysv_table shm_table;
extern uint64_t shm_pages; /* [s] of all segments */

static inline struct shm_segment *shm_segment_of(struct sysv_object *object)
{
    return container_of(object, struct shm_segment, object);
}

/* The segment with this identifier. -EINVAL: there is none. Lock held. */
int shm_find_locked(int id, struct shm_segment **ret_segment);
/* Nobody finds it by its key any more; its memory goes with the last attachment. Lock held; true: the caller frees it, unlocked. */
bool shm_remove_locked(struct shm_segment *segment);
/* It is locked no more. Lock held, or nobody else has it. */
void shm_uncharge_lock(struct shm_segment *segment);
/* Let go of what shm_remove_locked() or the last reference left. */
void shm_segment_free(struct shm_segment *segment);
