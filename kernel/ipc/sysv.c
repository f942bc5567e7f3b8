/*
 * Tables of System V objects.
 */
#include "kernel/ipc/sysv.h"

#include <linux/capability.h>

#include "kernel/base/errno.h"
#include "kernel/sched/pid.h"

static unsigned index_of(int id)
{
    return (unsigned)id & SYSV_INDEX_MASK;
}

void sysv_init(struct sysv_object *object, int key, uint32_t mode)
{
    const struct cred *cred = cred_current();

    object->key = key;
    object->uid = object->cuid = cred->euid;
    object->gid = object->cgid = cred->egid;
    object->mode = mode & SYSV_RIGHTS;
}

int sysv_insert_locked(struct sysv_table *table, struct sysv_object *object, unsigned max)
{
    uint64_t index;

    lock_assert_held(&table->lock);
    if (table->number >= max || !xarray_find_free(&table->objects, 0, SYSV_INDEX_MASK, &index)) {
        return -ENOSPC;
    }
    int err = xarray_store(&table->objects, index, object, NULL);
    if (err == 0 && object->key != IPC_PRIVATE) {
        err = xarray_store(&table->keys, (uint32_t)object->key, object, NULL);
        if (err < 0) {
            (void)xarray_erase(&table->objects, index);
        }
    }
    if (err == 0) {
        object->id = (int)(table->sequence << SYSV_INDEX_BITS | index);
        table->number++;
        table->end = MAX(table->end, (unsigned)index + 1);
    }
    return err;
}

void sysv_forget_key_locked(struct sysv_table *table, struct sysv_object *object)
{
    if (object->key != IPC_PRIVATE) {
        (void)xarray_erase(&table->keys, (uint32_t)object->key);
        object->key = IPC_PRIVATE;
    }
}

void sysv_erase_locked(struct sysv_table *table, struct sysv_object *object)
{
    lock_assert_held(&table->lock);
    sysv_forget_key_locked(table, object);
    (void)xarray_erase(&table->objects, index_of(object->id));
    table->number--;
    while (table->end > 0 && xarray_load(&table->objects, table->end - 1) == NULL) {
        table->end--; /* each index once for each time it was filled */
    }
    table->sequence = (table->sequence + 1) % (INT32_MAX >> SYSV_INDEX_BITS);
}

struct sysv_object *sysv_find_locked(struct sysv_table *table, int id)
{
    struct sysv_object *object = id < 0 ? NULL : xarray_load(&table->objects, index_of(id));

    return object == NULL || object->id != id ? NULL : object;
}

struct sysv_object *sysv_select_locked(struct sysv_table *table, int id, bool is_index)
{
    if (!is_index) {
        return sysv_find_locked(table, id);
    }
    return id < 0 ? NULL : xarray_load(&table->objects, index_of(id));
}

int sysv_find_key_locked(struct sysv_table *table, int key, int flags,
                         struct sysv_object **ret_object)
{
    struct sysv_object *object =
        key == IPC_PRIVATE ? NULL : xarray_load(&table->keys, (uint32_t)key);

    if (object == NULL) {
        return -ENOENT;
    }
    if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL)) {
        return -EEXIST;
    }
    *ret_object = object;
    return 0;
}

struct sysv_object *sysv_next_locked(struct sysv_table *table, uint64_t *index)
{
    return xarray_find(&table->objects, index, SYSV_INDEX_MASK);
}

int sysv_permitted_locked(const struct sysv_object *object, uint32_t flags)
{
    const struct cred *cred = cred_current();
    uint32_t wanted = (flags >> 6) | (flags >> 3) | flags;
    uint32_t granted = object->mode;

    if (cred->euid == object->uid || cred->euid == object->cuid) {
        granted >>= 6;
    } else if (cred_in_group(cred, object->gid) || cred_in_group(cred, object->cgid)) {
        granted >>= 3;
    }
    return (wanted & ~granted & 7) != 0 && !cred_has_cap(cred, CAP_IPC_OWNER) ? -EACCES : 0;
}

int sysv_controlled_locked(const struct sysv_object *object, unsigned cap)
{
    const struct cred *cred = cred_current();

    return cred->euid == object->uid || cred->euid == object->cuid || cred_has_cap(cred, cap)
               ? 0
               : -EPERM;
}

int sysv_set_locked(struct sysv_object *object, const struct ipc64_perm *perm)
{
    if (perm->uid == (uint32_t)-1 || perm->gid == (uint32_t)-1) {
        return -EINVAL;
    }
    object->uid = perm->uid;
    object->gid = perm->gid;
    object->mode = (object->mode & ~SYSV_RIGHTS) | (perm->mode & SYSV_RIGHTS);
    return 0;
}

struct ipc64_perm sysv_perm_locked(const struct sysv_object *object)
{
    return (struct ipc64_perm){.key = object->key,
                               .uid = object->uid,
                               .gid = object->gid,
                               .cuid = object->cuid,
                               .cgid = object->cgid,
                               .mode = object->mode,
                               .seq = (unsigned short)((unsigned)object->id >> SYSV_INDEX_BITS)};
}

int sysv_current_nr(void)
{
    return jobctl == NULL ? 0 : pid_nr(jobctl->current_process());
}
