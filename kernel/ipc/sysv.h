/*
 * What the three kinds of System V objects share (sysvipc(7)): identifiers, keys, owners and permissions.
 *
 * An identifier is an index of the kind's table and, above it, a sequence number that changes with every removal, so that a stale
 * identifier is not taken for the object that has its index now. Any context in which a spin lock may be taken.
 *
 * Locks: t the table's, which the caller of each *_locked function holds; I immutable once it is in the table
 */
#pragma once

#include <linux/ipc.h>

#include "kernel/base/xarray.h"
#include "kernel/security/cred.h"
#include "kernel/sync/spinlock.h"
#include "kernel/vm/pagecache.h"

#define SYSV_INDEX_BITS 15u
#define SYSV_INDEX_MASK (BIT(SYSV_INDEX_BITS) - 1)
#define SYSV_NUMBER_MAX 32768u /* as many as there are indexes */
#define SYSV_RIGHTS     0777u

struct sysv_object {
    int id;              /* [I] */
    int key;             /* [t] IPC_PRIVATE: nobody finds it by one */
    uint32_t uid, gid;   /* [t] */
    uint32_t cuid, cgid; /* [I] */
    uint32_t mode;       /* [t] permissions, and bits of the kind's own above them */
};

struct sysv_table {
    struct spinlock lock;
    struct xarray objects; /* [t] index -> struct sysv_object */
    struct xarray keys;    /* [t] key, as an unsigned number -> the same */
    unsigned number;       /* [t] of objects */
    unsigned end;          /* [t] above the highest index in use */
    unsigned sequence;     /* [t] upper part of the next identifier */
};

#define SYSV_TABLE_INIT(text)                                                                      \
    {                                                                                              \
        .lock = SPINLOCK_INIT(text), .objects = {.memory = &pagecache_xarray_memory}, .keys = {    \
            .memory = &pagecache_xarray_memory                                                     \
        }                                                                                          \
    }

/* A new object's owner and creator are the current thread's, its permissions those of `mode`. */
void sysv_init(struct sysv_object *object, int key, uint32_t mode);
/* Give it an identifier, and its key if that is not IPC_PRIVATE. -ENOSPC: `max` are there already; -ENOMEM. */
int sysv_insert_locked(struct sysv_table *table, struct sysv_object *object, unsigned max);
/* Nobody finds it by its key any more. */
void sysv_forget_key_locked(struct sysv_table *table, struct sysv_object *object);
/* It is in the table no more; its identifier is stale. */
void sysv_erase_locked(struct sysv_table *table, struct sysv_object *object);

/* The object with this identifier; NULL: there is none. */
struct sysv_object *sysv_find_locked(struct sysv_table *table, int id);
/* With a command that means an index or an identifier (IPC_STAT and the *_STAT of a kind): the object; NULL. */
struct sysv_object *sysv_select_locked(struct sysv_table *table, int id, bool is_index);
/* The one that semget(2) and its kin want by their key and flags. -ENOENT: to be made, if IPC_CREAT says so; -EEXIST. */
int sysv_find_key_locked(struct sysv_table *table, int key, int flags,
                         struct sysv_object **ret_object);
/* The object with the smallest index from *index on, which becomes its; NULL: none. */
struct sysv_object *sysv_next_locked(struct sysv_table *table, uint64_t *index);
/* 0 when there is none. */
static inline int sysv_highest_index_locked(const struct sysv_table *table)
{
    return table->end > 0 ? (int)table->end - 1 : 0;
}

/* Permission bits of `flags`, any of its three classes, against the object's. -EACCES. */
int sysv_permitted_locked(const struct sysv_object *object, uint32_t flags);
/* May the current thread change or remove it: owner, creator, or who has `cap`? -EPERM. */
int sysv_controlled_locked(const struct sysv_object *object, unsigned cap);
/* IPC_SET: owner, group and permissions. -EINVAL: not an owner. */
int sysv_set_locked(struct sysv_object *object, const struct ipc64_perm *perm);
struct ipc64_perm sysv_perm_locked(const struct sysv_object *object);

/* Number of the current process, for the *_pid members. */
int sysv_current_nr(void);
