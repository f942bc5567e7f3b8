/*
 * SEM_UNDO: what a process took or gave is given back or taken when it ends.
 *
 * Threads that share by CLONE_SYSVSEM have one list of adjustments, which are applied when the last of them ends. A set that was
 * removed leaves its adjustments behind; they go when their list is next searched, or ends.
 */
#include "kernel/base/string.h"
#include "kernel/core/time.h"
#include "kernel/ipc/sem_impl.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/kmalloc.h"

static struct sem_undo_list *list_create(void)
{
    struct sem_undo_list *list = kzalloc(sizeof(*list));

    if (list != NULL) {
        refcount_init(&list->refs, 1);
        spin_init(&list->lock, "semaphore undo");
        list_init(&list->undos);
    }
    return list;
}

/* The current thread's list, made if need be; NULL: no memory. */
static struct sem_undo_list *list_of_current(void)
{
    struct thread *thread = current_thread();

    if (thread->sem_undo == NULL) {
        thread->sem_undo = list_create();
    }
    return thread->sem_undo;
}

static void undo_free(struct sem_undo *undo)
{
    mutex_lock(&undo->set->lock);
    list_remove(&undo->set_node);
    mutex_unlock(&undo->set->lock);
    sem_set_put(undo->set);
    kvfree(undo);
}

/* Of this set, or NULL. What belongs to removed sets goes to `stale`. */
static struct sem_undo *find_locked(struct sem_undo_list *list, const struct sem_set *set,
                                    struct list_node *stale)
{
    struct sem_undo *undo, *next;

    list_for_each_safe (undo, next, &list->undos, list_node) {
        if (undo->set == set) {
            return undo;
        }
        if (atomic_load_relaxed(&undo->set->removed)) {
            list_remove(&undo->list_node);
            list_push_back(stale, &undo->list_node);
        }
    }
    return NULL;
}

static struct sem_undo *undo_create(struct sem_set *set)
{
    size_t size = sizeof(struct sem_undo) + set->nsems * sizeof(int16_t);
    struct sem_undo *undo = kvmalloc(size);

    if (undo != NULL) {
        memset(undo, 0, size);
        refcount_get(&set->refs);
        undo->set = set;
        mutex_lock(&set->lock);
        list_push_back(&set->undos, &undo->set_node);
        mutex_unlock(&set->lock);
    }
    return undo;
}

int sem_undo_get(struct sem_set *set, struct sem_undo **ret_undo)
{
    struct sem_undo_list *list = list_of_current();
    struct list_node stale = LIST_INIT(stale);
    struct sem_undo *fresh = NULL, *undo, *next;

    if (list == NULL) {
        return -ENOMEM;
    }
    spin_lock(&list->lock);
    struct sem_undo *found = find_locked(list, set, &stale);
    spin_unlock(&list->lock);
    if (found == NULL && (fresh = undo_create(set)) != NULL) {
        spin_lock(&list->lock);
        found = find_locked(list, set, &stale); /* made by a thread that shares, meanwhile? */
        if (found == NULL) {
            list_push_back(&list->undos, &fresh->list_node);
            found = fresh;
            fresh = NULL;
        }
        spin_unlock(&list->lock);
    }
    if (fresh != NULL) {
        undo_free(fresh);
    }
    list_for_each_safe (undo, next, &stale, list_node) {
        undo_free(undo);
    }
    *ret_undo = found;
    return found == NULL ? -ENOMEM : 0;
}

void sem_undo_clear_locked(struct sem_set *set, unsigned first, unsigned n)
{
    struct sem_undo *undo;

    list_for_each (undo, &set->undos, set_node) {
        memset(&undo->adjust[first], 0, n * sizeof(undo->adjust[0]));
    }
}

/* semop(2), "Notes": a value stays between 0 and the largest. */
static void undo_apply(struct sem_undo *undo, int pid)
{
    struct sem_set *set = undo->set;
    bool changed = false;

    mutex_lock(&set->lock);
    for (unsigned i = 0; !set->removed && i < set->nsems; i++) {
        if (undo->adjust[i] != 0) {
            struct sem *sem = &set->sems[i];
            sem->value = CLAMP(sem->value + undo->adjust[i], 0, SEM_VALUE_MAX);
            sem->pid = pid;
            changed = true;
        }
    }
    if (changed) {
        set->otime = ktime_realtime_coarse();
        sem_wake_locked(set);
    }
    mutex_unlock(&set->lock);
}

/* ---- threads ---- */

int sem_undo_share(struct thread *child)
{
    struct sem_undo_list *list = list_of_current();

    if (list == NULL) {
        return -ENOMEM;
    }
    refcount_get(&list->refs);
    child->sem_undo = list;
    return 0;
}

void sem_undo_discard(struct thread *child)
{
    struct sem_undo_list *list = child->sem_undo;

    child->sem_undo = NULL;
    if (list != NULL && refcount_put(&list->refs)) {
        struct sem_undo *undo, *next;
        int pid = sysv_current_nr();

        list_for_each_safe (undo, next, &list->undos, list_node) {
            undo_apply(undo, pid);
            undo_free(undo);
        }
        kfree(list);
    }
}

void sem_undo_exit(void)
{
    sem_undo_discard(current_thread());
}
