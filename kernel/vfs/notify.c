/*
 * Marks on inodes, and the way of events to them.
 *
 * An inode that ever had a mark keeps a struct notify_marks until its own end: the list of its marks, and the union of what they want, so
 * that most events that somebody wants of some file stop at another file's union. A mark keeps its inode.
 *
 * A mark is taken off by its owner, by the end of the file, by unmounting, or because it has served; whoever clears mark->inode does it.
 * Unmounting waits until those who are just taking marks off have let go of the inodes.
 *
 * Locks:  notify_lock (spin) the sum of all marks; marks->lock (rwsem): shared while events are told, which may sleep. Order: inode lock ->
 * marks->lock -> what the owners take -> notify_lock.
 */
#include "kernel/vfs/notify.h"

#include "kernel/base/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/dentry.h"

struct notify_marks {
    struct rwsem lock;
    struct list_node list; /* [lock] */
    uint32_t mask;         /* [a] written with [lock] */
};

uint32_t notify_wanted;

static struct spinlock notify_lock = SPINLOCK_INIT("notify");
static struct list_node all_marks = LIST_INIT(all_marks); /* [notify_lock] */
static uint32_t last_cookie;                              /* [a] */
static struct wait_queue super_wait = WAIT_QUEUE_INIT(super_wait);

/* ---- marks ---- */

void notify_mark_init(struct notify_mark *mark, const struct notify_ops *ops, void *owner)
{
    mark->ops = ops;
    mark->owner = owner;
    refcount_init(&mark->refs, 1);
    mark->mask = 0;
    mark->spent = false;
    mark->inode = NULL;
    list_init(&mark->node);
    list_init(&mark->all_node);
}

void notify_mark_put(struct notify_mark *mark)
{
    if (refcount_put(&mark->refs)) {
        mark->ops->free(mark);
    }
}

void notify_marks_free(struct notify_marks *marks)
{
    kfree(marks);
}

/* The inode's marks, made when there are none. NULL: no memory. */
static struct notify_marks *marks_get(struct inode *inode)
{
    struct notify_marks *none = NULL, *fresh = atomic_load_acquire(&inode->marks);

    if (fresh != NULL) {
        return fresh;
    }
    fresh = kzalloc(sizeof(*fresh));
    if (fresh == NULL) {
        return NULL;
    }
    rwsem_init(&fresh->lock, "notify marks");
    list_init(&fresh->list);
    if (!atomic_cas(&inode->marks, &none, fresh)) {
        kfree(fresh);
        return none;
    }
    return fresh;
}

/* Union of what the marks want. Locked for writing. */
static void marks_sum(struct notify_marks *marks)
{
    struct notify_mark *mark;
    uint32_t mask = 0;

    list_for_each (mark, &marks->list, node) {
        mask |= mark->mask;
    }
    atomic_store_relaxed(&marks->mask, mask);
}

int notify_mark_attach(struct notify_mark *mark, struct inode *inode, uint32_t mask)
{
    struct notify_marks *marks = marks_get(inode);

    if (marks == NULL) {
        return -ENOMEM;
    }
    rwsem_lock_write(&marks->lock);
    mark->mask = mask;
    list_push_back(&marks->list, &mark->node);
    marks_sum(marks);
    (void)atomic_fetch_add_relaxed(&inode->super->nmarks, 1);
    spin_lock(&notify_lock);
    atomic_store_relaxed(&mark->inode, inode_get(inode));
    list_push_back(&all_marks, &mark->all_node);
    (void)atomic_fetch_or(&notify_wanted, mask);
    spin_unlock(&notify_lock);
    rwsem_unlock_write(&marks->lock);
    return 0;
}

struct notify_mark *notify_mark_find(struct inode *inode, const void *owner)
{
    struct notify_marks *marks = atomic_load_acquire(&inode->marks);
    struct notify_mark *mark, *found = NULL;

    if (marks == NULL) {
        return NULL;
    }
    rwsem_lock_read(&marks->lock);
    list_for_each (mark, &marks->list, node) {
        if (mark->owner == owner) {
            notify_mark_get(mark);
            found = mark;
            break;
        }
    }
    rwsem_unlock_read(&marks->lock);
    return found;
}

void notify_mark_set(struct notify_mark *mark, struct inode *inode, uint32_t mask)
{
    struct notify_marks *marks = atomic_load_acquire(&inode->marks);

    rwsem_lock_write(&marks->lock);
    mark->mask = mask;
    marks_sum(marks);
    (void)atomic_fetch_or(&notify_wanted, mask);
    rwsem_unlock_write(&marks->lock);
}

/* Make it the caller's to take off: its inode, or NULL when it is somebody else's or nobody's. */
static struct inode *mark_claim(struct notify_mark *mark)
{
    spin_lock(&notify_lock);
    struct inode *inode = mark->inode;
    if (inode != NULL) {
        atomic_store_relaxed(&mark->inode, NULL);
        list_remove(&mark->all_node);
        if (list_empty(&all_marks)) {
            atomic_store_relaxed(&notify_wanted, 0);
        }
    }
    spin_unlock(&notify_lock);
    return inode;
}

void notify_mark_detach(struct notify_mark *mark)
{
    struct inode *inode = mark_claim(mark);

    if (inode == NULL) {
        return;
    }
    struct notify_marks *marks = inode->marks;
    struct super *super = inode->super;
    rwsem_lock_write(&marks->lock);
    list_remove(&mark->node);
    marks_sum(marks);
    rwsem_unlock_write(&marks->lock);
    mark->ops->detached(mark);
    notify_mark_put(mark);
    inode_put(inode);
    (void)atomic_fetch_sub(&super->nmarks, 1); /* after this it may be gone */
    wait_wake_all(&super_wait, 0);
}

/* Take off all marks of the inode, or only those that have served. */
static void marks_detach(struct notify_marks *marks, bool only_spent)
{
    struct notify_mark *mark, *found;

    do {
        found = NULL;
        rwsem_lock_read(&marks->lock);
        list_for_each (mark, &marks->list, node) {
            if ((!only_spent || atomic_load_relaxed(&mark->spent)) &&
                atomic_load_relaxed(&mark->inode) != NULL) {
                notify_mark_get(mark);
                found = mark;
                break;
            }
        }
        rwsem_unlock_read(&marks->lock);
        if (found != NULL) {
            notify_mark_detach(found);
            notify_mark_put(found);
        }
    } while (found != NULL);
}

/* ---- events ---- */

static bool inode_wants(const struct inode *inode, uint32_t event)
{
    const struct notify_marks *marks = atomic_load_acquire(&inode->marks);

    return marks != NULL && (atomic_load_relaxed(&marks->mask) & event) != 0;
}

/* The caller has a reference to the inode, or a name of it. */
static void tell(struct inode *inode, const struct notify_event *event)
{
    struct notify_marks *marks = atomic_load_acquire(&inode->marks);
    struct notify_mark *mark;
    bool spent = false;

    if (marks == NULL || (atomic_load_relaxed(&marks->mask) & event->mask & IN_ALL_EVENTS) == 0) {
        return;
    }
    rwsem_lock_read(&marks->lock);
    list_for_each (mark, &marks->list, node) {
        if ((mark->mask & event->mask & IN_ALL_EVENTS) != 0 && !atomic_load_relaxed(&mark->spent) &&
            mark->ops->event(mark, event)) {
            atomic_store_relaxed(&mark->spent, true);
            spent = true;
        }
    }
    rwsem_unlock_read(&marks->lock);
    if (spent) {
        marks_detach(marks, true);
    }
}

static uint32_t kind_of(const struct inode *inode)
{
    return inode_is_dir(inode) ? IN_ISDIR : 0;
}

/* The directory that the dentry is named in, if it wants the event: referenced, and the name in `name`. NULL: it does not, or there is none. */
static struct dentry *parent_that_wants(struct dentry *dentry, uint32_t event, char *name,
                                        unsigned *ret_len)
{
    struct dentry *parent;

    dentry_tree_lock();
    parent = dentry->parent;
    if (parent == dentry || parent->inode == NULL || !inode_wants(parent->inode, event)) {
        parent = NULL;
    } else {
        (void)dentry_get(parent);
        memcpy(name, dentry->name, dentry->name_len);
        name[dentry->name_len] = '\0';
        *ret_len = dentry->name_len;
    }
    dentry_tree_unlock();
    return parent;
}

void notify_path_slow(const struct path *path, uint32_t event)
{
    struct dentry *dentry = path->dentry;
    struct inode *inode = dentry->inode;
    char name[NAME_MAX_BYTES + 1];
    unsigned len;

    if (atomic_load_relaxed(&dentry->super->nmarks) == 0) {
        return;
    }
    struct notify_event told = {.mask = event | kind_of(inode),
                                .unlinked = !dentry_is_hashed(dentry)};
    struct dentry *parent = parent_that_wants(dentry, event, name, &len);
    if (parent != NULL) {
        told.name = name;
        told.name_len = len;
        tell(parent->inode, &told);
        dentry_put(parent);
    }
    told.name = NULL;
    told.name_len = 0;
    tell(inode, &told);
}

static void tell_name(struct inode *dir, const char *text, unsigned len, struct inode *inode,
                      uint32_t event, uint32_t cookie)
{
    char name[NAME_MAX_BYTES + 1];

    if (!inode_wants(dir, event)) {
        return;
    }
    memcpy(name, text, len);
    name[len] = '\0';
    const struct notify_event told = {
        .mask = event | kind_of(inode), .cookie = cookie, .name = name, .name_len = len};
    tell(dir, &told);
}

void notify_name_slow(struct inode *dir, const char *name, unsigned len, struct inode *inode,
                      uint32_t event)
{
    tell_name(dir, name, len, inode, event, 0);
}

void notify_inode_slow(struct inode *inode, uint32_t event)
{
    const struct notify_event told = {.mask = event | kind_of(inode)};

    tell(inode, &told);
}

void notify_rename_slow(const struct notify_rename *rename)
{
    uint32_t cookie = atomic_fetch_add_relaxed(&last_cookie, 1) + 1;

    tell_name(rename->from_dir, rename->from_name, rename->from_len, rename->inode, IN_MOVED_FROM,
              cookie);
    tell_name(rename->to_dir, rename->to_name, rename->to_len, rename->inode, IN_MOVED_TO, cookie);
    const struct notify_event self = {.mask =
                                          IN_MOVE_SELF}; /* without IN_ISDIR, as IN_DELETE_SELF */
    tell(rename->inode, &self);
}

void notify_inode_removed_slow(struct inode *inode)
{
    const struct notify_event told = {.mask = IN_DELETE_SELF};

    tell(inode, &told);
    marks_detach(inode->marks, false);
}

uint32_t notify_event_of_attr(unsigned valid)
{
    const unsigned times = ATTR_ATIME | ATTR_MTIME;
    uint32_t event = 0;

    if ((valid & (ATTR_UID | ATTR_GID | ATTR_MODE)) != 0 || (valid & times) == times) {
        event |= IN_ATTRIB;
    } else if ((valid & ATTR_ATIME) != 0) {
        event |= IN_ACCESS;
    } else if ((valid & ATTR_MTIME) != 0) {
        event |= IN_MODIFY;
    }
    return (valid & ATTR_SIZE) != 0 ? event | IN_MODIFY : event;
}

/* A mark on one of the superblock's inodes, referenced, or NULL. */
static struct notify_mark *super_mark(const struct super *super)
{
    struct notify_mark *mark;

    spin_lock(&notify_lock);
    list_for_each (mark, &all_marks, all_node) {
        if (mark->inode->super == super) {
            notify_mark_get(mark);
            spin_unlock(&notify_lock);
            return mark;
        }
    }
    spin_unlock(&notify_lock);
    return NULL;
}

void notify_super_gone(struct super *super)
{
    const struct notify_event told = {.mask = IN_UNMOUNT};
    struct notify_mark *mark;

    if (atomic_load_acquire(&super->nmarks) == 0) {
        return;
    }
    while ((mark = super_mark(super)) != NULL) {
        (void)mark->ops->event(mark, &told);
        notify_mark_detach(mark);
        notify_mark_put(mark);
    }
    wait_event(&super_wait, atomic_load_acquire(&super->nmarks) == 0);
}
