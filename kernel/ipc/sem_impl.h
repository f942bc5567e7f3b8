/*
 * What sem.c (sets, semctl), sem_op.c (operations and who waits) and sem_undo.c share.
 *
 * Locks: t sem_table.lock   s set->lock   u list->lock   I immutable once the set is in the table   o the waiting thread's own
 * set->lock is a mutex. None is held with another.
 */
#pragma once

#include "kernel/base/errno.h"
#include "kernel/ipc/sem.h"
#include "kernel/ipc/sysv.h"
#include "kernel/sched/mutex.h"

#define SEM_VALUE_MAX 32767 /* SEMVMX; also the largest adjustment, SEMAEM */

struct sem {
    int value;                /* [s] */
    int pid;                  /* [s] process of the last operation */
    struct list_node waiters; /* [s] sem_waiter of calls with one operation on this one */
};

struct sem_set {
    struct sysv_object object; /* [t] */
    struct refcount refs;      /* the table's, calls under way, undos */
    struct mutex lock;
    bool removed;             /* [s] */
    unsigned nsems;           /* [I] */
    ktime_t otime, ctime;     /* [s] real time; 0: never */
    struct list_node waiters; /* [s] sem_waiter of calls with several operations */
    struct list_node undos;   /* [s] sem_undo.set_node */
    struct sem sems[];
};

/* Adjustments of one set by one undo list. */
struct sem_undo {
    struct list_node list_node; /* [u] */
    struct list_node set_node;  /* [s] */
    struct sem_set *set;        /* [I] referenced */
    int16_t adjust[];           /* [s] one for each semaphore */
};

struct sem_undo_list {
    struct refcount refs; /* threads */
    struct spinlock lock;
    struct list_node undos; /* [u] */
};

extern struct sysv_table sem_table;

/* The set with this identifier, referenced, if `rights` are given. -EINVAL, -EACCES. */
int sem_set_get(int id, uint32_t rights, struct sem_set **ret_set);
void sem_set_put(struct sem_set *set);

/* Values have changed: let those go on that can. set->lock is held. */
void sem_wake_locked(struct sem_set *set);
/* The set goes: all who wait get -EIDRM. set->lock is held. */
void sem_wake_removed_locked(struct sem_set *set);
/* How many wait until semaphore `num` is zero, or until it is larger. set->lock is held. */
unsigned sem_count_waiters_locked(struct sem_set *set, unsigned num, bool for_zero);

/* The current thread's adjustments of the set, made if need be. -ENOMEM. */
int sem_undo_get(struct sem_set *set, struct sem_undo **ret_undo);
/* Values were set anew: no adjustments of [first, first + n) are left. set->lock is held. */
void sem_undo_clear_locked(struct sem_set *set, unsigned first, unsigned n);
