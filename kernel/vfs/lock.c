/*
 * File locks: flock(2), POSIX record locks and open-file-description locks (fcntl_locking(2)).
 *
 * All three kinds hang on the inode. flock and record locks do not see each other; POSIX and OFD locks do. Owners: the descriptor
 * table for POSIX locks (so that threads share them and a child does not), the open file for the others.
 *
 * Locking: one mutex for everything: these calls are rare, and the search for deadlocks and /proc/locks look at all of it. Who has to
 * wait remembers the list's generation and sleeps until an unlock moves it.
 *
 * A wait is refused with EDEADLK when its owner would wait for itself: the chain from the lock in the way to its owner, to the lock
 * that owner waits for, and so on, comes back. Only POSIX owners can be followed like that.
 */
#include <asm/fcntl.h>
#include <linux/fs.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/pid.h"
#include "kernel/vfs/fdtable.h"
#include "kernel/vfs/private.h"

enum lock_kind { LOCK_FLOCK, LOCK_POSIX, LOCK_OFD };

struct lock_list {
    struct list_node locks; /* [locks_mutex] struct file_lock */
    struct wait_queue wait; /* an unlock or a change happened */
    uint64_t generation;    /* [a] number of such changes */
};

struct file_lock {
    struct list_node node;     /* [locks_mutex] on the inode's list */
    struct list_node all_node; /* [locks_mutex] on all_locks */
    struct inode *inode;       /* [I] it outlives its locks */
    const void *owner;         /* [I] */
    enum lock_kind kind;       /* [I] */
    short type;                /* [locks_mutex] F_RDLCK, F_WRLCK */
    loff_t start, end;         /* [locks_mutex] inclusive; end INT64_MAX: to the end of the file */
    int pid;                   /* [I] who set it; -1: OFD */
};

/* A POSIX owner that sleeps, and whose lock is in its way. */
struct lock_sleeper {
    struct list_node node; /* [locks_mutex] */
    const void *owner, *blocker;
};

static struct mutex locks_mutex = MUTEX_INIT(locks_mutex);
static struct list_node all_locks = LIST_INIT(all_locks);
static struct list_node sleepers = LIST_INIT(sleepers);

/* The inode's list, made on first use. NULL: no memory. */
static struct lock_list *lock_list_of(struct inode *inode)
{
    if (inode->locks == NULL) {
        struct lock_list *list = kzalloc(sizeof(*list));
        if (list == NULL) {
            return NULL;
        }
        list_init(&list->locks);
        wait_queue_init(&list->wait);
        atomic_store_release(&inode->locks, list);
    }
    return inode->locks;
}

void inode_locks_free(struct inode *inode)
{
    kfree(inode->locks);
    inode->locks = NULL;
}

static void lock_add(struct lock_list *list, struct file_lock *lock)
{
    list_push_back(&list->locks, &lock->node);
    list_push_back(&all_locks, &lock->all_node);
}

static void lock_delete(struct file_lock *lock)
{
    list_remove(&lock->node);
    list_remove(&lock->all_node);
    kfree(lock);
}

static void lock_list_changed(struct lock_list *list)
{
    (void)atomic_fetch_add(&list->generation, 1);
    if (wait_queue_active(&list->wait)) {
        wait_wake_all(&list->wait, 0);
    }
}

static bool locks_overlap(const struct file_lock *a, const struct file_lock *b)
{
    return a->start <= b->end && b->start <= a->end;
}

/* Records belong to processes, and F_GETLK names them; a kernel thread has no process. */
static int current_process_nr(void)
{
    return jobctl == NULL ? 0 : pid_nr(jobctl->current_process());
}

/* The first lock in the way of `want`. */
static struct file_lock *lock_conflict(struct lock_list *list, const struct file_lock *want)
{
    struct file_lock *lock;

    list_for_each (lock, &list->locks, node) {
        if ((lock->kind == LOCK_FLOCK) == (want->kind == LOCK_FLOCK) &&
            lock->owner != want->owner && locks_overlap(lock, want) &&
            (lock->type == F_WRLCK || want->type == F_WRLCK)) {
            return lock;
        }
    }
    return NULL;
}

/* Would `owner` wait for itself if it waited for `blocker`? Each step follows a sleeping owner; the bound ends any surprise. */
static bool lock_would_deadlock(const void *owner, const void *blocker)
{
    for (unsigned steps = 0; steps < 1000; steps++) {
        const struct lock_sleeper *sleeper;
        const void *next = NULL;
        if (blocker == owner) {
            return true;
        }
        list_for_each (sleeper, &sleepers, node) {
            if (sleeper->owner == blocker) {
                next = sleeper->blocker;
                break;
            }
        }
        if (next == NULL) {
            return false;
        }
        blocker = next;
    }
    return false;
}

/* Sleep until the list changes; locks_mutex is released meanwhile. -EDEADLK, -ERESTARTSYS. */
static int lock_sleep(struct lock_list *list, const struct file_lock *want,
                      const struct file_lock *conflict)
{
    struct lock_sleeper sleeper = {.owner = want->owner, .blocker = conflict->owner};
    uint64_t generation = atomic_load_relaxed(&list->generation);

    if (want->kind == LOCK_POSIX && conflict->kind == LOCK_POSIX &&
        lock_would_deadlock(want->owner, conflict->owner)) {
        return -EDEADLK;
    }
    bool listed = want->kind == LOCK_POSIX && conflict->kind == LOCK_POSIX;
    if (listed) {
        list_push_back(&sleepers, &sleeper.node);
    }
    mutex_unlock(&locks_mutex);
    int err =
        wait_event_interruptible(&list->wait, atomic_load_acquire(&list->generation) != generation);
    mutex_lock(&locks_mutex);
    if (listed) {
        list_remove(&sleeper.node);
    }
    return err;
}

/* Give the owner's range a new type: what overlaps is cut, neighbours of the same type melt in. `spares` are used up as needed. */
static void lock_apply(struct lock_list *list, struct file_lock *want, struct file_lock **spare)
{
    struct file_lock *lock, *tmp;

    list_for_each_safe (lock, tmp, &list->locks, node) {
        if (lock->owner != want->owner || lock->kind != want->kind) {
            continue;
        }
        if (lock->type == want->type) {
            bool apart = (want->end != INT64_MAX && lock->start > want->end + 1) ||
                         (lock->end != INT64_MAX && lock->end + 1 < want->start);
            if (!apart) {
                want->start = MIN(want->start, lock->start);
                want->end = MAX(want->end, lock->end);
                lock_delete(lock);
            }
        } else if (locks_overlap(lock, want)) {
            if (lock->start < want->start && lock->end > want->end) {
                struct file_lock *right = *spare;
                *spare = NULL;
                *right = *lock;
                right->start = want->end + 1;
                lock->end = want->start - 1;
                lock_add(list, right);
            } else if (lock->start < want->start) {
                lock->end = want->start - 1;
            } else if (lock->end > want->end) {
                lock->start = want->end + 1;
            } else {
                lock_delete(lock);
            }
        }
    }
}

/* Set or clear `model`. wait: sleep while another owner is in the way. 0, -EAGAIN, -EDEADLK, -ERESTARTSYS, -ENOLCK. */
static int lock_set(struct inode *inode, const struct file_lock *model, bool wait)
{
    struct file_lock *fresh = kmalloc(sizeof(*fresh)), *spare = kmalloc(sizeof(*spare));
    int err = 0;

    mutex_lock(&locks_mutex);
    struct lock_list *list = lock_list_of(inode);
    if (fresh == NULL || spare == NULL || list == NULL) {
        err = -ENOLCK;
        goto unlock;
    }
    *fresh = *model;
    fresh->inode = inode;
    if (fresh->type != F_UNLCK) {
        struct file_lock *conflict;
        while (err == 0 && (conflict = lock_conflict(list, fresh)) != NULL) {
            err = wait ? lock_sleep(list, fresh, conflict) : -EAGAIN;
        }
    }
    if (err == 0) {
        lock_apply(list, fresh, &spare);
        if (fresh->type != F_UNLCK) {
            lock_add(list, fresh);
            fresh = NULL;
        }
        lock_list_changed(list);
    }

unlock:
    mutex_unlock(&locks_mutex);
    kfree(fresh);
    kfree(spare);
    return err;
}

int vfs_flock(struct file *file, int operation)
{
    struct file_lock model = {
        .owner = file, .kind = LOCK_FLOCK, .end = INT64_MAX, .pid = current_process_nr()};

    if ((operation & LOCK_MAND) != 0) {
        return 0; /* mandatory share modes have never locked anything; Linux accepts and ignores them */
    }
    switch (operation & ~LOCK_NB) {
    case LOCK_SH:
        model.type = F_RDLCK;
        break;
    case LOCK_EX:
        model.type = F_WRLCK;
        break;
    case LOCK_UN:
        model.type = F_UNLCK;
        break;
    default:
        return -EINVAL;
    }
    file->flock_held = true;
    /* flock(2): a conversion is not atomic; the old lock is gone when the new one has to wait. */
    int err = lock_set(file->inode, &model, false);
    if (err != -EAGAIN) {
        return err;
    }
    struct file_lock unlock = model;
    unlock.type = F_UNLCK;
    (void)lock_set(file->inode, &unlock, false);
    return (operation & LOCK_NB) != 0 ? -EAGAIN : lock_set(file->inode, &model, true);
}

/* The range of a struct flock as [start, end]. */
static int flock_range(struct file *file, const struct flock *lock, loff_t *ret_start,
                       loff_t *ret_end)
{
    loff_t base, start, end;

    switch (lock->l_whence) {
    case SEEK_SET:
        base = 0;
        break;
    case SEEK_CUR:
        base = file->pos;
        break;
    case SEEK_END:
        base = (loff_t)atomic_load_relaxed(&file->inode->cache.size_bytes);
        break;
    default:
        return -EINVAL;
    }
    if (__builtin_add_overflow(base, lock->l_start, &start)) {
        return -EOVERFLOW;
    }
    if (start < 0) {
        return -EINVAL;
    }
    end = INT64_MAX;
    if (lock->l_len > 0) {
        if (__builtin_add_overflow(start, lock->l_len - 1, &end)) {
            return -EOVERFLOW;
        }
    } else if (lock->l_len < 0) {
        if (start + lock->l_len < 0) {
            return -EINVAL;
        }
        end = start - 1;
        start += lock->l_len;
    }
    *ret_start = start;
    *ret_end = end;
    return 0;
}

/* F_GETLK: what would be in the way. */
static int lock_get(struct inode *inode, const struct file_lock *model, struct flock *lock)
{
    lock->l_type = F_UNLCK;
    mutex_lock(&locks_mutex);
    const struct file_lock *conflict =
        inode->locks == NULL ? NULL : lock_conflict(inode->locks, model);
    if (conflict != NULL) {
        lock->l_type = conflict->type;
        lock->l_whence = SEEK_SET;
        lock->l_start = conflict->start;
        lock->l_len = conflict->end == INT64_MAX ? 0 : conflict->end - conflict->start + 1;
        lock->l_pid = conflict->pid;
    }
    mutex_unlock(&locks_mutex);
    return 0;
}

/* Delete the owner's locks of the kinds in `kinds` (a bit for each). */
static void locks_drop(struct inode *inode, const void *owner, unsigned kinds)
{
    struct file_lock *lock, *tmp;
    bool changed = false;

    mutex_lock(&locks_mutex);
    struct lock_list *list = inode->locks;
    if (list != NULL) {
        list_for_each_safe (lock, tmp, &list->locks, node) {
            if (lock->owner == owner && (kinds & BIT(lock->kind)) != 0) {
                lock_delete(lock);
                changed = true;
            }
        }
        if (changed) {
            lock_list_changed(list);
        }
    }
    mutex_unlock(&locks_mutex);
}

/*
 * A lock of the process. A thread that closes fd drops the process' locks; one that comes after that, as a wait for it may have been long, would
 * have nobody to drop it.
 */
static int lock_set_of_process(int fd, struct file *file, struct file_lock *model, bool wait)
{
    int err = lock_set(file->inode, model, wait);

    if (err < 0 || model->type == F_UNLCK || likely(fd_is_still(fd, file))) {
        return err;
    }
    model->type = F_UNLCK;
    if (lock_set(file->inode, model, false) < 0) {
        locks_drop(file->inode, model->owner, BIT(LOCK_POSIX));
    }
    return -EBADF;
}

int vfs_posix_lock(int fd, struct file *file, int cmd, struct flock *lock)
{
    bool ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
    bool get = cmd == F_GETLK || cmd == F_OFD_GETLK;
    struct file_lock model = {.kind = ofd ? LOCK_OFD : LOCK_POSIX, .type = lock->l_type};

    if (ofd && lock->l_pid != 0) {
        return -EINVAL;
    }
    model.owner = ofd ? (const void *)file : current_thread()->files;
    model.pid = ofd ? -1 : current_process_nr();
    int err = flock_range(file, lock, &model.start, &model.end);
    if (err < 0) {
        return err;
    }
    switch (model.type) {
    case F_RDLCK:
        err = !get && (file->mode & FMODE_READ) == 0 ? -EBADF : 0;
        break;
    case F_WRLCK:
        err = !get && (file->mode & FMODE_WRITE) == 0 ? -EBADF : 0;
        break;
    case F_UNLCK:
        err = get ? -EINVAL : 0;
        break;
    default:
        err = -EINVAL;
        break;
    }
    if (err < 0) {
        return err;
    }
    if (get) {
        return lock_get(file->inode, &model, lock);
    }
    if (ofd) {
        file->flock_held = true;
        return lock_set(file->inode, &model, cmd == F_OFD_SETLKW);
    }
    return lock_set_of_process(fd, file, &model, cmd == F_SETLKW);
}

void vfs_locks_close(struct file *file, void *owner)
{
    locks_drop(file->inode, owner, BIT(LOCK_POSIX));
}

void vfs_locks_release(struct file *file)
{
    locks_drop(file->inode, file, BIT(LOCK_FLOCK) | BIT(LOCK_OFD));
}

size_t vfs_locks_describe(unsigned index, char *buf, size_t size)
{
    static const char *const kinds[] = {"FLOCK ", "POSIX ", "OFDLCK"};
    struct file_lock *lock;
    unsigned number = 0;
    int len = 0;
    char end[24];

    mutex_lock(&locks_mutex);
    list_for_each (lock, &all_locks, all_node) {
        if (number++ != index) {
            continue;
        }
        uint64_t dev = lock->inode->super->dev;
        if (lock->end == INT64_MAX) {
            (void)str_copy(end, "EOF", sizeof(end));
        } else {
            (void)ksnprintf(end, sizeof(end), "%lld", (long long)lock->end);
        }
        len = kscnprintf(buf, size, "%u: %s ADVISORY  %s %d %02x:%02x:%llu %lld %s\n", number,
                         kinds[lock->kind], lock->type == F_WRLCK ? "WRITE" : "READ ", lock->pid,
                         DEV_MAJOR(dev), DEV_MINOR(dev), (unsigned long long)lock->inode->ino,
                         (long long)lock->start, end);
        break;
    }
    mutex_unlock(&locks_mutex);
    return (size_t)len;
}
