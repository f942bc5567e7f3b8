/*
 * inotify(7): watches are marks on inodes, numbered; their events wait in one queue until they are read.
 *
 * An event like the newest one that still waits is not put in again. When the queue is full, or memory is short, one IN_Q_OVERFLOW
 * stands for all that is lost from there on.
 *
 * A watch is in the instance's tree of numbers as long as its mark hangs on an inode. Whoever took the mark off takes the watch out of
 * the tree and queues IN_IGNORED; when the file is closed, the watches leave the tree first. The instance lives as long as its file and its watches,
 * and its queue as long: who tells an event while the mark is taken off puts it in when nobody reads any more.
 *
 * Locks:  w watches_lock (mutex): the tree, and which inodes are watched   q queue_lock (spin)   I immutable   a atomic
 * Order: inode lock -> watches_lock -> marks->lock -> queue_lock.
 */
#include "kernel/vfs/inotify.h"
#include "kernel/vfs/async.h"

#include <asm/ioctls.h>

#include "kernel/base/printf.h"
#include "kernel/base/rbtree.h"
#include "kernel/base/string.h"
#include "kernel/machine/user.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/private.h"

#define WATCH_MODES (IN_EXCL_UNLINK | IN_ONESHOT)

struct inotify_limits inotify_limits = {.max_queued_events = 16384, .max_user_instances = 128};

struct queued_event {
    struct list_node node;
    int wd;
    uint32_t mask, cookie;
    uint32_t name_len; /* 0: none */
    char name[];       /* terminated */
};

struct inotify {
    struct refcount refs;
    struct user *user; /* [I] referenced */
    struct mutex watches_lock;
    struct rb_root watches; /* [w] by number */
    int last_wd;            /* [w] */
    struct spinlock queue_lock;
    struct wait_queue wait;
    struct async_list async;      /* O_ASYNC */
    struct list_node events;      /* [q] oldest first */
    uint32_t nevents;             /* [q] */
    uint32_t bytes;               /* [q] that a read would give */
    struct queued_event overflow; /* [q] IN_Q_OVERFLOW; on no list: not queued */
};

struct inotify_watch {
    struct notify_mark mark;
    struct inotify *instance; /* [I] referenced */
    struct rb_node node;      /* [w] */
    bool listed;              /* [w] in the tree */
    int wd;                   /* [I] */
    uint32_t modes;           /* [a] IN_EXCL_UNLINK, IN_ONESHOT */
    uint64_t dev, ino;        /* [I] for fdinfo */
};

static const struct file_ops inotify_fops;

static void instance_put(struct inotify *instance)
{
    struct queued_event *event, *next;

    if (!refcount_put(&instance->refs)) {
        return;
    }
    list_for_each_safe (event, next, &instance->events, node) {
        if (event != &instance->overflow) {
            kfree(event);
        }
    }
    user_put(instance->user);
    kfree(instance);
}

/* ---- the queue ---- */

/* inotify(7): the name is padded to a multiple of the structure's size. */
static uint32_t event_name_bytes(const struct queued_event *event)
{
    const uint32_t unit = sizeof(struct inotify_event);

    return event->name_len == 0 ? 0 : (event->name_len + unit) / unit * unit;
}

static uint32_t event_bytes(const struct queued_event *event)
{
    return sizeof(struct inotify_event) + event_name_bytes(event);
}

static bool event_same(const struct queued_event *a, const struct queued_event *b)
{
    return a->wd == b->wd && a->mask == b->mask && a->name_len == b->name_len &&
           (a->mask & IN_IGNORED) == 0 && memcmp(a->name, b->name, a->name_len) == 0;
}

static void queue_push_locked(struct inotify *instance, struct queued_event *event)
{
    list_push_back(&instance->events, &event->node);
    instance->nevents++;
    instance->bytes += event_bytes(event);
}

/* `event` (NULL: memory was short) goes into the queue, or away. */
static void queue_add(struct inotify *instance, struct queued_event *event)
{
    bool added = true;

    spin_lock(&instance->queue_lock);
    if (event == NULL ||
        instance->nevents >= atomic_load_relaxed(&inotify_limits.max_queued_events)) {
        added = list_empty(&instance->overflow.node);
        if (added) {
            queue_push_locked(instance, &instance->overflow);
        }
    } else {
        struct list_node *last = list_last(&instance->events);
        if (last != NULL && event_same(list_entry(last, struct queued_event, node), event)) {
            added = false;
        } else {
            queue_push_locked(instance, event);
            event = NULL;
        }
    }
    spin_unlock(&instance->queue_lock);
    kfree(event);
    if (added) {
        wait_wake_all(&instance->wait, POLLIN | POLLRDNORM);
        async_tell(&instance->async, POLL_IN);
    }
}

static void queue_event(struct inotify *instance, int wd, uint32_t mask,
                        const struct notify_event *what)
{
    struct queued_event *event = kmalloc(sizeof(*event) + what->name_len + 1);

    if (event != NULL) {
        list_init(&event->node);
        event->wd = wd;
        event->mask = mask;
        event->cookie = what->cookie;
        event->name_len = what->name_len;
        if (what->name_len != 0) {
            memcpy(event->name, what->name, what->name_len);
        }
        event->name[what->name_len] = '\0';
    }
    queue_add(instance, event);
}

/* ---- watches ---- */

static struct inotify_watch *watch_of(struct notify_mark *mark)
{
    return container_of(mark, struct inotify_watch, mark);
}

static bool watch_event(struct notify_mark *mark, const struct notify_event *event)
{
    struct inotify_watch *watch = watch_of(mark);
    uint32_t modes = atomic_load_relaxed(&watch->modes);

    if (event->unlinked && event->name != NULL && (modes & IN_EXCL_UNLINK) != 0) {
        return false;
    }
    queue_event(watch->instance, watch->wd, event->mask, event);
    return (modes & IN_ONESHOT) != 0;
}

/* With watches_lock. */
static void watch_unlist(struct inotify_watch *watch)
{
    rb_remove(&watch->instance->watches, &watch->node);
    watch->listed = false;
}

static void watch_detached(struct notify_mark *mark)
{
    static const struct notify_event ignored = {.mask = IN_IGNORED};
    struct inotify_watch *watch = watch_of(mark);
    struct inotify *instance = watch->instance;

    mutex_lock(&instance->watches_lock);
    if (watch->listed) {
        watch_unlist(watch);
        queue_event(instance, watch->wd, IN_IGNORED, &ignored);
    }
    mutex_unlock(&instance->watches_lock);
    (void)atomic_fetch_sub_relaxed(&instance->user->inotify_watches, 1);
}

static void watch_free(struct notify_mark *mark)
{
    struct inotify_watch *watch = watch_of(mark);

    instance_put(watch->instance);
    kfree(watch);
}

static const struct notify_ops watch_ops = {
    .event = watch_event, .detached = watch_detached, .free = watch_free};

/* The watch or NULL. With watches_lock. */
static struct inotify_watch *watch_find(const struct inotify *instance, int wd)
{
    struct rb_node *node = instance->watches.node;

    while (node != NULL) {
        struct inotify_watch *watch = rb_entry(node, struct inotify_watch, node);
        if (watch->wd == wd) {
            return watch;
        }
        node = wd < watch->wd ? node->left : node->right;
    }
    return NULL;
}

static void watch_insert(struct inotify *instance, struct inotify_watch *watch)
{
    struct rb_node **link = &instance->watches.node, *parent = NULL;

    while (*link != NULL) {
        parent = *link;
        link = watch->wd < rb_entry(parent, struct inotify_watch, node)->wd ? &parent->left
                                                                            : &parent->right;
    }
    rb_insert(&instance->watches, &watch->node, parent, link);
    watch->listed = true;
}

/* A number that was not in use lately. */
static int next_wd(struct inotify *instance)
{
    do {
        instance->last_wd = instance->last_wd == INT32_MAX ? 1 : instance->last_wd + 1;
    } while (watch_find(instance, instance->last_wd) != NULL);
    return instance->last_wd;
}

static uint32_t mark_mask(uint32_t mask)
{
    return (mask & IN_ALL_EVENTS) | IN_UNMOUNT;
}

/* With watches_lock. */
static int watch_create(struct inotify *instance, struct inode *inode, uint32_t mask)
{
    uint64_t *count = &instance->user->inotify_watches;
    int err = -ENOMEM;

    if (atomic_fetch_add_relaxed(count, 1) >=
        atomic_load_relaxed(&inotify_limits.max_user_watches)) {
        err = -ENOSPC;
        goto uncount;
    }
    struct inotify_watch *watch = kzalloc(sizeof(*watch));
    if (watch == NULL) {
        goto uncount;
    }
    notify_mark_init(&watch->mark, &watch_ops, instance);
    refcount_get(&instance->refs);
    watch->instance = instance;
    watch->modes = mask & WATCH_MODES;
    watch->dev = inode->super->dev;
    watch->ino = inode->ino;
    int wd = watch->wd = next_wd(instance);
    watch_insert(instance, watch);
    err = notify_mark_attach(&watch->mark, inode, mark_mask(mask));
    if (err < 0) {
        watch_unlist(watch);
        notify_mark_put(&watch->mark);
        goto uncount;
    }
    return wd; /* the watch may be gone by now */

uncount:
    (void)atomic_fetch_sub_relaxed(count, 1);
    return err;
}

/* With watches_lock, so that the watch keeps its number. */
static int watch_change(struct inotify_watch *watch, struct inode *inode, uint32_t mask)
{
    if ((mask & IN_MASK_CREATE) != 0) {
        return -EEXIST;
    }
    uint32_t modes = mask & WATCH_MODES, events = mark_mask(mask);
    if ((mask & IN_MASK_ADD) != 0) {
        modes |= watch->modes;
        events |= watch->mark.mask;
    }
    atomic_store_relaxed(&watch->modes, modes);
    notify_mark_set(&watch->mark, inode, events);
    return watch->wd;
}

int inotify_watch_add(struct file *file, struct inode *inode, uint32_t mask)
{
    struct inotify *instance = file->private;
    int result;

    mutex_lock(&instance->watches_lock);
    struct notify_mark *mark = notify_mark_find(inode, instance);
    if (mark != NULL) {
        result = watch_change(watch_of(mark), inode, mask);
    } else {
        result = watch_create(instance, inode, mask);
    }
    mutex_unlock(&instance->watches_lock);
    if (mark != NULL) {
        notify_mark_put(mark);
    }
    return result;
}

int inotify_watch_remove(struct file *file, int wd)
{
    struct inotify *instance = file->private;

    mutex_lock(&instance->watches_lock);
    struct inotify_watch *watch = watch_find(instance, wd);
    if (watch != NULL) {
        notify_mark_get(&watch->mark);
    }
    mutex_unlock(&instance->watches_lock);
    if (watch == NULL) {
        return -EINVAL;
    }
    notify_mark_detach(&watch->mark);
    notify_mark_put(&watch->mark);
    return 0;
}

/* ---- the file ---- */

/* The next event that fits; NULL: none, or -EINVAL in *ret_err when it does not fit. */
static struct queued_event *queue_pop(struct inotify *instance, size_t room, int *ret_err)
{
    struct queued_event *event = NULL;

    *ret_err = 0;
    spin_lock(&instance->queue_lock);
    if (!list_empty(&instance->events)) {
        event = list_first_entry(&instance->events, struct queued_event, node);
        if (event_bytes(event) > room) {
            *ret_err = -EINVAL;
            event = NULL;
        } else {
            list_remove(&event->node);
            instance->nevents--;
            instance->bytes -= event_bytes(event);
        }
    }
    spin_unlock(&instance->queue_lock);
    return event;
}

static int event_to_iter(const struct queued_event *event, struct iov_iter *to)
{
    static const char zeroes[sizeof(struct inotify_event)];
    uint32_t padded = event_name_bytes(event);
    const struct inotify_event head = {
        .wd = event->wd, .mask = event->mask, .cookie = event->cookie, .len = padded};

    return iov_copy_to(to, &head, sizeof(head)) == sizeof(head) &&
                   iov_copy_to(to, event->name, event->name_len) == event->name_len &&
                   iov_copy_to(to, zeroes, padded - event->name_len) == padded - event->name_len
               ? 0
               : -EFAULT;
}

static ssize_t inotify_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    struct inotify *instance = file->private;
    ssize_t done = 0;

    (void)pos;
    for (;;) {
        int err;
        struct queued_event *event = queue_pop(instance, to->count, &err);
        if (event != NULL) {
            uint32_t bytes = event_bytes(event);
            err = event_to_iter(event, to);
            if (event != &instance->overflow) {
                kfree(event);
            }
            if (err < 0) {
                return err;
            }
            done += bytes;
            continue;
        }
        if (done > 0 || err < 0) {
            return done > 0 ? done : err;
        }
        if ((atomic_load_relaxed(&file->flags) & O_NONBLOCK) != 0) {
            return -EAGAIN;
        }
        err = wait_event_interruptible(&instance->wait, !list_empty(&instance->events));
        if (err < 0) {
            return err;
        }
    }
}

static uint32_t inotify_poll(struct file *file, struct poll_table *table)
{
    struct inotify *instance = file->private;

    poll_wait(table, &instance->wait);
    return list_empty(&instance->events) ? 0 : POLLIN | POLLRDNORM;
}

static int64_t inotify_ioctl(struct file *file, unsigned cmd, uint64_t arg)
{
    struct inotify *instance = file->private;

    if (cmd != FIONREAD) {
        return -ENOTTY;
    }
    spin_lock(&instance->queue_lock);
    int bytes = (int)instance->bytes;
    spin_unlock(&instance->queue_lock);
    return put_user(bytes, (int __user *)arg);
}

static size_t inotify_show(struct file *file, char *buf, size_t size)
{
    struct inotify *instance = file->private;
    size_t len = 0;

    mutex_lock(&instance->watches_lock);
    for (struct rb_node *node = rb_first(&instance->watches); node != NULL; node = rb_next(node)) {
        const struct inotify_watch *watch = rb_entry(node, struct inotify_watch, node);
        size_t at = MIN(len, size);
        len += (size_t)ksnprintf(
            buf + at, size - at, "inotify wd:%x ino:%llx sdev:%x mask:%x ignored_mask:0 \n",
            (unsigned)watch->wd, (unsigned long long)watch->ino, (unsigned)watch->dev,
            (watch->mark.mask & IN_ALL_EVENTS) | watch->modes);
    }
    mutex_unlock(&instance->watches_lock);
    return len;
}

/* A watch that leaves the tree, so that nobody is told: its mark, referenced, or NULL. */
static struct notify_mark *any_mark(struct inotify *instance)
{
    struct notify_mark *mark = NULL;

    mutex_lock(&instance->watches_lock);
    struct rb_node *node = rb_first(&instance->watches);
    if (node != NULL) {
        struct inotify_watch *watch = rb_entry(node, struct inotify_watch, node);
        watch_unlist(watch);
        mark = &watch->mark;
        notify_mark_get(mark);
    }
    mutex_unlock(&instance->watches_lock);
    return mark;
}

static void inotify_release(struct file *file)
{
    struct inotify *instance = file->private;
    struct notify_mark *mark;

    while ((mark = any_mark(instance)) != NULL) {
        notify_mark_detach(mark);
        notify_mark_put(mark);
    }
    (void)atomic_fetch_sub_relaxed(&instance->user->inotify_instances, 1);
    instance_put(instance);
}

static int inotify_fasync(int fd, struct file *file, bool on)
{
    struct inotify *instance = file->private;

    return async_set(&instance->async, fd, file, on);
}

static const struct file_ops inotify_fops = {.release = inotify_release,
                                             .fasync = inotify_fasync,
                                             .read = inotify_read,
                                             .llseek = file_llseek_nowhere,
                                             .poll = inotify_poll,
                                             .ioctl = inotify_ioctl,
                                             .show_fdinfo = inotify_show};

bool file_is_inotify(const struct file *file)
{
    return file->fops == &inotify_fops;
}

/* NULL: no memory. */
static struct inotify *instance_create(struct user *user)
{
    struct inotify *instance = kzalloc(sizeof(*instance));

    if (instance == NULL) {
        return NULL;
    }
    refcount_init(&instance->refs, 1);
    mutex_init(&instance->watches_lock, "inotify watches");
    spin_init(&instance->queue_lock, "inotify queue");
    wait_queue_init(&instance->wait);
    async_list_init(&instance->async);
    list_init(&instance->events);
    list_init(&instance->overflow.node);
    instance->overflow.wd = -1;
    instance->overflow.mask = IN_Q_OVERFLOW;
    instance->user = user_get(user);
    return instance;
}

int inotify_create(int flags, struct file **ret_file)
{
    struct user *user = vfs_cred()->user;
    int err = -EMFILE;

    if ((flags & ~(IN_CLOEXEC | IN_NONBLOCK)) != 0) {
        return -EINVAL;
    }
    if (atomic_fetch_add_relaxed(&user->inotify_instances, 1) >=
        atomic_load_relaxed(&inotify_limits.max_user_instances)) {
        goto uncount;
    }
    err = -ENOMEM;
    struct inotify *instance = instance_create(user);
    if (instance == NULL) {
        goto uncount;
    }
    struct inode *inode = anon_inode_create(0600);
    if (inode == NULL) {
        goto put_instance;
    }
    err = file_create_anonymous(inode, "anon_inode:inotify", &inotify_fops,
                                (flags & O_NONBLOCK) | O_RDONLY, FMODE_READ, ret_file);
    if (err < 0) {
        goto put_instance;
    }
    (*ret_file)->private = instance;
    return 0;

put_instance:
    instance_put(instance);
uncount:
    (void)atomic_fetch_sub_relaxed(&user->inotify_instances, 1);
    return err;
}

void inotify_boot(void)
{
    struct frame_stats stats;

    frame_stats(&stats);
    /* A hundredth of the memory, with what a watch keeps an inode for (proc(5)). */
    uint64_t watches =
        stats.total / 100 * PAGE_SIZE / (sizeof(struct inotify_watch) + 2 * sizeof(struct inode));
    inotify_limits.max_user_watches = (uint32_t)CLAMP(watches, 8192ull, 1048576ull);
}
