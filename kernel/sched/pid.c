/*
 * Process numbers: a two-level table from number to struct pid.
 *
 * Numbers are handed out in a cycle, so that a number is reused as late as possible: the next one is nearly always free, and finding
 * it is a look into the leaf that was used last. Leaves come with their first number and go with their last (one spare is
 * kept). After the first round the low numbers are left to the processes that started the system.
 *
 * Locking: pid_lock (spin, irqsave) for changes and walks; a struct pid found under it has a reference that is not yet the last
 * put, or is skipped. pid_find() takes no lock (kernel/sync/rcu.h): leaves are freed, and memory of struct pid becomes something else, after
 * a grace period; so what it finds is a struct pid, and still the one it looks for if it is found once more with a reference held.
 */
#include "kernel/sched/pid.h"

#include "kernel/base/errno.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"
#include "kernel/sync/rcu.h"
#include "kernel/sync/spinlock.h"

#define PID_LEAF_SHIFT 8
#define PID_LEAF_SIZE  (1 << PID_LEAF_SHIFT)
#define PID_LEAVES     (PID_MAX_DEFAULT >> PID_LEAF_SHIFT)
#define PID_RESERVED   300 /* after the first round, allocation starts here */

struct pid_leaf {
    struct rcu_head rcu;
    unsigned used;                    /* [pid_lock] */
    struct pid *slots[PID_LEAF_SIZE]; /* [pid_lock][a] */
};

static struct spinlock pid_lock = SPINLOCK_INIT("pid table");
static struct pid_leaf *pid_leaves[PID_LEAVES]; /* [pid_lock][a] */
static struct pid_leaf *pid_spare_leaf;         /* [pid_lock] empty, kept for the next number */
static int pid_last;                            /* [pid_lock] last number handed out */
static struct slab_cache *pid_cache;

const struct jobctl_ops *jobctl;
void (*jobctl_session_exit_hook)(void);

static void pid_construct(void *object)
{
    struct pid *pid = object;

    refcount_init(&pid->refs, 0);
    pid->process = NULL;
    pid->thread = NULL;
    list_init(&pid->group_members);
    list_init(&pid->session_members);
    wait_queue_init(&pid->ended);
}

void pid_table_init(void)
{
    pid_cache =
        slab_cache_create("pid", sizeof(struct pid), 0, SLAB_TYPE_STABLE_RCU, pid_construct);
}

/* First free number at or after `from`; 0: none up to the end. */
static int pid_find_free_locked(int from)
{
    for (int leaf = from >> PID_LEAF_SHIFT; leaf < PID_LEAVES; leaf++) {
        const struct pid_leaf *table = pid_leaves[leaf];
        if (table == NULL) {
            return MAX(from, leaf << PID_LEAF_SHIFT);
        }
        if (table->used == PID_LEAF_SIZE) {
            continue;
        }
        for (int nr = MAX(from, leaf << PID_LEAF_SHIFT); nr < (leaf + 1) << PID_LEAF_SHIFT; nr++) {
            if (table->slots[nr & (PID_LEAF_SIZE - 1)] == NULL) {
                return nr;
            }
        }
    }
    return 0;
}

/* The next number in the cycle; -EAGAIN: all are in use. */
static int pid_choose_locked(void)
{
    int nr = pid_find_free_locked(pid_last + 1);

    if (nr == 0) {
        nr = pid_find_free_locked(PID_RESERVED);
    }
    if (nr == 0) {
        return -EAGAIN;
    }
    atomic_store_relaxed(&pid_last, nr);
    return nr;
}

/* Put `pid` under the number, which is free. */
static int pid_enter_locked(struct pid *pid, int nr)
{
    struct pid_leaf **leaf = &pid_leaves[nr >> PID_LEAF_SHIFT];
    if (*leaf == NULL) {
        struct pid_leaf *fresh = pid_spare_leaf != NULL ? pid_spare_leaf : kzalloc(sizeof(*fresh));
        pid_spare_leaf = NULL;
        if (fresh == NULL) {
            return -ENOMEM;
        }
        rcu_assign_pointer(*leaf, fresh);
    }
    pid->nr = nr;
    atomic_store_release(&pid->refs.value,
                         1); /* who still looks at what this memory was may take one from now on */
    rcu_assign_pointer((*leaf)->slots[nr & (PID_LEAF_SIZE - 1)], pid);
    (*leaf)->used++;
    return 0;
}

struct pid *pid_alloc(int wanted, int *ret_err)
{
    struct pid *pid = slab_alloc(pid_cache, 0);

    if (pid == NULL) {
        *ret_err = -ENOMEM;
        return NULL;
    }
    uint64_t flags = spin_lock_irqsave(&pid_lock);
    int err, nr = wanted != 0 ? wanted : pid_choose_locked();
    if (nr < 0) {
        err = nr;
    } else if (pid_find_free_locked(nr) != nr) {
        err = -EEXIST;
    } else {
        err = pid_enter_locked(pid, nr);
    }
    spin_unlock_irqrestore(&pid_lock, flags);
    if (err < 0) {
        slab_free(pid_cache, pid);
        *ret_err = err;
        return NULL;
    }
    return pid;
}

static void pid_leave_locked(int nr)
{
    struct pid_leaf **leaf = &pid_leaves[nr >> PID_LEAF_SHIFT], *empty;

    atomic_store_relaxed(&(*leaf)->slots[nr & (PID_LEAF_SIZE - 1)], NULL);
    if (--(*leaf)->used == 0) {
        empty = *leaf;
        atomic_store_relaxed(leaf, NULL);
        if (pid_spare_leaf == NULL) {
            pid_spare_leaf = empty;
        } else {
            rcu_free(empty, rcu);
        }
    }
}

void pid_put(struct pid *pid)
{
    if (pid == NULL || !refcount_put(&pid->refs)) {
        return;
    }
    uint64_t flags = spin_lock_irqsave(&pid_lock);
    pid_leave_locked(pid->nr);
    spin_unlock_irqrestore(&pid_lock, flags);
    slab_free(pid_cache, pid);
}

/* Inside of rcu_read_lock(). */
static struct pid *pid_at(int nr)
{
    const struct pid_leaf *leaf = rcu_dereference(pid_leaves[nr >> PID_LEAF_SHIFT]);

    return leaf == NULL ? NULL : rcu_dereference(leaf->slots[nr & (PID_LEAF_SIZE - 1)]);
}

struct pid *pid_find(int nr)
{
    struct pid *pid;

    if (nr <= 0 || nr >= PID_MAX_DEFAULT) {
        return NULL;
    }
    rcu_read_lock();
    pid = pid_at(nr);
    if (pid != NULL && !refcount_get_unless_zero(&pid->refs)) {
        pid = NULL; /* the last one has let go of it */
    } else if (pid != NULL && unlikely(pid_at(nr) != pid)) {
        pid_put(
            pid); /* it had let go, and the memory is another number's: there was none for a moment */
        pid = NULL;
    }
    rcu_read_unlock();
    return pid;
}

struct pid *pid_next(int nr)
{
    struct pid *found = NULL;
    uint64_t flags = spin_lock_irqsave(&pid_lock);

    for (nr = MAX(nr, 1); nr < PID_MAX_DEFAULT && found == NULL; nr++) {
        const struct pid_leaf *leaf = pid_leaves[nr >> PID_LEAF_SHIFT];
        if (leaf == NULL) {
            nr |= PID_LEAF_SIZE - 1;
            continue;
        }
        found = leaf->slots[nr & (PID_LEAF_SIZE - 1)];
        if (found != NULL && !refcount_get_unless_zero(&found->refs)) {
            found = NULL;
        }
    }
    spin_unlock_irqrestore(&pid_lock, flags);
    return found;
}

int pid_last_allocated(void)
{
    return atomic_load_relaxed(&pid_last);
}
