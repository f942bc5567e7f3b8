/*
 * System V semaphores: sets, and semctl(2).
 */
#include "kernel/base/string.h"
#include "kernel/core/time.h"
#include "kernel/ipc/sem_impl.h"
#include "kernel/mm/arena.h"

#include <linux/capability.h>

#define READABLE 0444u
#define WRITABLE 0222u

struct sysv_table sem_table = SYSV_TABLE_INIT("semaphore sets");
static uint64_t sem_total; /* [t] semaphores in all sets */
struct sem_limits sem_limits = {
    .per_set = 32000,
    .all = 32000u * 32000u,
    .operations = 500,
    .sets = 32000,
};

/* ---- sets ---- */

static struct sem_set *set_of(struct sysv_object *object)
{
    return container_of(object, struct sem_set, object);
}

int sem_set_get(int id, uint32_t rights, struct sem_set **ret_set)
{
    int err = -EINVAL;

    spin_lock(&sem_table.lock);
    struct sysv_object *object = sysv_find_locked(&sem_table, id);
    if (object != NULL) {
        err = sysv_permitted_locked(object, rights);
    }
    if (err == 0) {
        *ret_set = set_of(object);
        refcount_get(&(*ret_set)->refs);
    }
    spin_unlock(&sem_table.lock);
    return err;
}

void sem_set_put(struct sem_set *set)
{
    if (refcount_put(&set->refs)) {
        kvfree(set);
    }
}

static struct sem_set *set_create(int key, unsigned nsems, uint32_t mode)
{
    size_t size = sizeof(struct sem_set) + nsems * sizeof(struct sem);
    struct sem_set *set = kvmalloc(size);

    if (set == NULL) {
        return NULL;
    }
    memset(set, 0, size);
    sysv_init(&set->object, key, mode);
    refcount_init(&set->refs, 1);
    mutex_init(&set->lock, "semaphore set");
    set->nsems = nsems;
    set->ctime = ktime_realtime_coarse();
    list_init(&set->waiters);
    list_init(&set->undos);
    for (unsigned i = 0; i < nsems; i++) {
        list_init(&set->sems[i].waiters);
    }
    return set;
}

/* The set with this key, judged as semget(2) says; -ENOENT: there is none. */
static int get_existing_locked(int key, unsigned nsems, int flags)
{
    struct sysv_object *object;
    int err = sysv_find_key_locked(&sem_table, key, flags, &object);

    if (err < 0) {
        return err;
    }
    if (nsems > set_of(object)->nsems) {
        return -EINVAL;
    }
    err = sysv_permitted_locked(object, (uint32_t)flags & SYSV_RIGHTS);
    return err < 0 ? err : object->id;
}

static int insert_locked(struct sem_set *set)
{
    if (sem_total + set->nsems > atomic_load_relaxed(&sem_limits.all)) {
        return -ENOSPC;
    }
    int err = sysv_insert_locked(&sem_table, &set->object, atomic_load_relaxed(&sem_limits.sets));
    if (err == 0) {
        sem_total += set->nsems;
    }
    return err == 0 ? set->object.id : err;
}

int sem_get(int key, int nsems, int flags)
{
    if (nsems < 0 || (unsigned)nsems > atomic_load_relaxed(&sem_limits.per_set)) {
        return -EINVAL;
    }
    spin_lock(&sem_table.lock);
    int id = get_existing_locked(key, (unsigned)nsems, flags);
    spin_unlock(&sem_table.lock);
    if (id != -ENOENT || (key != IPC_PRIVATE && (flags & IPC_CREAT) == 0)) {
        return id;
    }
    if (nsems == 0) {
        return -EINVAL;
    }
    struct sem_set *set = set_create(key, (unsigned)nsems, (uint32_t)flags);
    if (set == NULL) {
        return -ENOMEM;
    }
    spin_lock(&sem_table.lock);
    id = get_existing_locked(key, (unsigned)nsems, flags); /* made by somebody else meanwhile? */
    bool made = id == -ENOENT;
    if (made) {
        id = insert_locked(set);
        made = id >= 0;
    }
    spin_unlock(&sem_table.lock);
    if (!made) {
        sem_set_put(set);
    }
    return id;
}

int sem_remove(int id)
{
    int err = -EINVAL;

    spin_lock(&sem_table.lock);
    struct sysv_object *object = sysv_find_locked(&sem_table, id);
    if (object != NULL) {
        err = sysv_controlled_locked(object, CAP_SYS_ADMIN);
    }
    if (err == 0) {
        sysv_erase_locked(&sem_table, object);
        sem_total -= set_of(object)->nsems;
    }
    spin_unlock(&sem_table.lock);
    if (err < 0) {
        return err;
    }
    struct sem_set *set = set_of(object);
    mutex_lock(&set->lock);
    set->removed = true;
    sem_wake_removed_locked(set);
    mutex_unlock(&set->lock);
    sem_set_put(set);
    return 0;
}

/* ---- semctl ---- */

static void fill_locked(struct sem_set *set, struct semid64_ds *stat)
{
    *stat = (struct semid64_ds){
        .sem_perm = sysv_perm_locked(&set->object),
        .sem_otime = atomic_load_relaxed(&set->otime) / NS_PER_S,
        .sem_ctime = atomic_load_relaxed(&set->ctime) / NS_PER_S,
        .sem_nsems = set->nsems,
    };
}

int sem_stat(int id, int cmd, struct semid64_ds *ret_stat)
{
    int result = -EINVAL;

    spin_lock(&sem_table.lock);
    struct sysv_object *object = sysv_select_locked(&sem_table, id, cmd != IPC_STAT);
    if (object != NULL) {
        result = cmd == SEM_STAT_ANY ? 0 : sysv_permitted_locked(object, READABLE);
    }
    if (result == 0) {
        fill_locked(set_of(object), ret_stat);
        result = cmd == IPC_STAT ? 0 : object->id;
    }
    spin_unlock(&sem_table.lock);
    return result;
}

int sem_set(int id, const struct semid64_ds *stat)
{
    int err = -EINVAL;

    spin_lock(&sem_table.lock);
    struct sysv_object *object = sysv_find_locked(&sem_table, id);
    if (object != NULL) {
        err = sysv_controlled_locked(object, CAP_SYS_ADMIN);
    }
    if (err == 0) {
        err = sysv_set_locked(object, &stat->sem_perm);
    }
    if (err == 0) {
        atomic_store_relaxed(&set_of(object)->ctime, ktime_realtime_coarse());
    }
    spin_unlock(&sem_table.lock);
    return err;
}

int sem_count(int id, uint32_t rights)
{
    struct sem_set *set;
    int err = sem_set_get(id, rights, &set);

    if (err < 0) {
        return err;
    }
    int nsems = (int)set->nsems;
    sem_set_put(set);
    return nsems;
}

int sem_ask(int id, int num, int cmd)
{
    struct sem_set *set;
    int result = sem_set_get(id, READABLE, &set);

    if (result < 0) {
        return result;
    }
    result = -EINVAL;
    if (num >= 0 && (unsigned)num < set->nsems) {
        mutex_lock(&set->lock);
        const struct sem *sem = &set->sems[num];
        if (set->removed) {
            result = -EIDRM;
        } else if (cmd == GETVAL) {
            result = sem->value;
        } else if (cmd == GETPID) {
            result = sem->pid;
        } else {
            result = (int)sem_count_waiters_locked(set, (unsigned)num, cmd == GETZCNT);
        }
        mutex_unlock(&set->lock);
    }
    sem_set_put(set);
    return result;
}

int sem_get_all(int id, unsigned n, uint16_t *ret_values)
{
    struct sem_set *set;
    int err = sem_set_get(id, READABLE, &set);

    if (err < 0) {
        return err;
    }
    mutex_lock(&set->lock);
    err = set->removed || set->nsems != n ? -EIDRM : 0;
    for (unsigned i = 0; err == 0 && i < n; i++) {
        ret_values[i] = (uint16_t)set->sems[i].value;
    }
    mutex_unlock(&set->lock);
    sem_set_put(set);
    return err;
}

/* Values of the semaphores from `first` on; nobody's adjustments of them are left. */
static int set_values(struct sem_set *set, unsigned first, unsigned n, const uint16_t *values)
{
    int pid = sysv_current_nr();
    int err = 0;

    mutex_lock(&set->lock);
    if (set->removed) {
        err = -EIDRM;
    } else {
        for (unsigned i = 0; i < n; i++) {
            set->sems[first + i].value = values[i];
            set->sems[first + i].pid = pid;
        }
        sem_undo_clear_locked(set, first, n);
        set->ctime = ktime_realtime_coarse();
        sem_wake_locked(set);
    }
    mutex_unlock(&set->lock);
    return err;
}

int sem_set_all(int id, unsigned n, const uint16_t *values)
{
    struct sem_set *set;
    int err = sem_set_get(id, WRITABLE, &set);

    if (err < 0) {
        return err;
    }
    for (unsigned i = 0; err == 0 && i < n; i++) {
        err = values[i] > SEM_VALUE_MAX ? -ERANGE : 0;
    }
    if (err == 0) {
        err = set->nsems == n ? set_values(set, 0, n, values) : -EIDRM;
    }
    sem_set_put(set);
    return err;
}

int sem_set_value(int id, int num, int value)
{
    uint16_t wanted = (uint16_t)value;
    struct sem_set *set;

    if (value < 0 || value > SEM_VALUE_MAX) {
        return -ERANGE;
    }
    int err = sem_set_get(id, WRITABLE, &set);
    if (err < 0) {
        return err;
    }
    err = num < 0 || (unsigned)num >= set->nsems ? -EINVAL
                                                 : set_values(set, (unsigned)num, 1, &wanted);
    sem_set_put(set);
    return err;
}

/* ---- the whole ---- */

int sem_info(bool usage, struct seminfo *ret_info)
{
    uint32_t all = atomic_load_relaxed(&sem_limits.all);

    *ret_info = (struct seminfo){
        .semmap = (int)all,
        .semmni = (int)atomic_load_relaxed(&sem_limits.sets),
        .semmns = (int)all,
        .semmnu = (int)all,
        .semmsl = (int)atomic_load_relaxed(&sem_limits.per_set),
        .semopm = (int)atomic_load_relaxed(&sem_limits.operations),
        .semume = (int)atomic_load_relaxed(&sem_limits.operations),
        .semusz = 20,
        .semvmx = SEM_VALUE_MAX,
        .semaem = SEM_VALUE_MAX,
    };
    spin_lock(&sem_table.lock);
    if (usage) {
        ret_info->semusz = (int)sem_table.number;
        ret_info->semaem = (int)sem_total;
    }
    int highest = sysv_highest_index_locked(&sem_table);
    spin_unlock(&sem_table.lock);
    return highest;
}

int sem_next(unsigned index, struct semid64_ds *ret_stat, int *ret_id)
{
    uint64_t at = index;
    int result = -ENOENT;

    spin_lock(&sem_table.lock);
    struct sysv_object *object = sysv_next_locked(&sem_table, &at);
    if (object != NULL) {
        fill_locked(set_of(object), ret_stat);
        *ret_id = object->id;
        result = (int)at;
    }
    spin_unlock(&sem_table.lock);
    return result;
}
