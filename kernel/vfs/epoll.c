/*
 * Sets of watched files: their life, and what is in them. What becomes ready is epoll_wait.c's.
 */
#include <linux/capability.h>
#include <linux/fcntl.h>

#include "kernel/base/hash.h"
#include "kernel/base/printf.h"
#include "kernel/core/panic.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"
#include "kernel/vfs/epoll_impl.h"
#include "kernel/vfs/private.h"

#define LINK_LOCKS_SHIFT 6

uint64_t epoll_max_user_watches;

static struct slab_cache *item_slab __ro_after_init;
static struct slab_cache *hook_slab __ro_after_init;
static struct spinlock link_locks[1 << LINK_LOCKS_SHIFT];

static const struct file_ops epoll_fops;

struct epoll_set *epoll_set_of(const struct file *file)
{
    return file->fops == &epoll_fops ? file->private : NULL;
}

struct spinlock *epoll_link_lock(const struct file *file)
{
    return &link_locks[hash_u64((uintptr_t)file) >> (64 - LINK_LOCKS_SHIFT)];
}

static void set_put(struct epoll_set *set)
{
    if (refcount_put(&set->refs)) {
        user_put(set->user);
        kfree(set);
    }
}

/* ---- hooks ---- */

/* A registration under way. */
struct registration {
    struct poll_table table;
    struct epoll_item *item;
    bool failed; /* no memory */
};

/* Waked under the queue's lock, interrupts off. Counts as a wake-up of an exclusive watch when somebody waits for what came. */
static bool hook_wake(struct waiter *waiter, uint32_t key)
{
    struct epoll_item *item = container_of(waiter, struct epoll_hook, waiter)->item;
    uint32_t events = epoll_item_events(item);

    if ((events & ~(uint32_t)EPOLL_MODES) == 0 || (key != 0 && (key & events) == 0)) {
        return false;
    }
    bool woke = epoll_item_queue(item);
    uint32_t way = key & (EPOLLIN | EPOLLOUT);
    return woke && (way == 0 || (way != (EPOLLIN | EPOLLOUT) && (way & events) != 0));
}

static void hook_enqueue(struct poll_table *table, struct wait_queue *queue,
                         const struct poll_pin *pin)
{
    struct registration *registration = container_of(table, struct registration, table);
    struct epoll_item *item = registration->item;
    struct epoll_hook *hook = &item->hook;

    if (hook->queue != NULL) {
        hook = slab_zalloc(hook_slab);
        if (hook == NULL) {
            registration->failed = true;
            return;
        }
        hook->next = item->hook.next;
        item->hook.next = hook;
    }
    hook->item = item;
    hook->queue = queue;
    if (pin != NULL) {
        hook->pin = *pin;
        pin->get(pin->object);
    }
    waiter_init_fn(&hook->waiter, hook_wake);
    if ((epoll_item_events(item) & EPOLLEXCLUSIVE) != 0) {
        wait_add_exclusive(queue, &hook->waiter);
    } else {
        wait_add(queue, &hook->waiter);
    }
}

static void hook_remove(struct epoll_hook *hook)
{
    if (hook->queue != NULL) {
        wait_remove(hook->queue, &hook->waiter);
        if (hook->pin.put != NULL) {
            hook->pin.put(hook->pin.object);
        }
    }
}

static void hooks_remove(struct epoll_item *item)
{
    hook_remove(&item->hook);
    for (struct epoll_hook *hook = item->hook.next; hook != NULL;) {
        struct epoll_hook *next = hook->next;
        hook_remove(hook);
        slab_free(hook_slab, hook);
        hook = next;
    }
}

/* ---- items ---- */

/* Where (file, fd) is or would hang. The item or NULL. Set locked. */
static struct epoll_item *item_find(struct epoll_set *set, const struct file *file, int fd,
                                    struct rb_node **ret_parent, struct rb_node ***ret_link)
{
    struct rb_node **link = &set->items.node, *parent = NULL;

    while (*link != NULL) {
        struct epoll_item *item = rb_entry(*link, struct epoll_item, node);
        if (item->file == file && item->fd == fd) {
            return item;
        }
        bool left = file != item->file ? file < item->file : fd < item->fd;
        parent = *link;
        link = left ? &parent->left : &parent->right;
    }
    *ret_parent = parent;
    *ret_link = link;
    return NULL;
}

static void item_link(struct epoll_item *item)
{
    struct file *file = item->file;
    struct spinlock *lock = epoll_link_lock(file);

    spin_lock(lock);
    item->next_watcher = file->watchers;
    item->link = &file->watchers;
    if (item->next_watcher != NULL) {
        item->next_watcher->link = &item->next_watcher;
    }
    file->watchers = item;
    spin_unlock(lock);
}

/* After this the file may end. */
static void item_unlink(struct epoll_item *item)
{
    struct spinlock *lock = epoll_link_lock(item->file);

    spin_lock(lock);
    if (item->next_watcher != NULL) {
        item->next_watcher->link = item->link;
    }
    atomic_store_release(item->link, item->next_watcher); /* pairs with file_destroy */
    spin_unlock(lock);
}

/* Set locked; for a set as target also epoll_nest_lock. */
static void item_remove(struct epoll_item *item)
{
    struct epoll_set *set = item->set;

    hooks_remove(item);
    item_unlink(item);
    rb_remove(&set->items, &item->node);
    uint64_t flags = spin_lock_irqsave(&set->ready_lock);
    if (item->queued) {
        list_remove(&item->ready_node);
    }
    spin_unlock_irqrestore(&set->ready_lock, flags);
    slab_free(item_slab, item);
    (void)atomic_fetch_sub_relaxed(&set->user->epoll_watches, 1);
}

/* One more watch of the user. -ENOSPC: too many, -ENOMEM. */
static int item_alloc(struct epoll_set *set, struct epoll_item **ret_item)
{
    if (unlikely(atomic_fetch_add_relaxed(&set->user->epoll_watches, 1) >=
                 atomic_load_relaxed(&epoll_max_user_watches))) {
        (void)atomic_fetch_sub_relaxed(&set->user->epoll_watches, 1);
        return -ENOSPC;
    }
    struct epoll_item *item = slab_zalloc(item_slab);
    if (item == NULL) {
        (void)atomic_fetch_sub_relaxed(&set->user->epoll_watches, 1);
        return -ENOMEM;
    }
    item->set = set;
    *ret_item = item;
    return 0;
}

/* Set locked; for a set as target, and when the set itself is watched, also epoll_nest_lock: `nested`. */
static int item_add(struct epoll_set *set, struct file *file, int fd,
                    const struct epoll_event *event, bool nested)
{
    struct rb_node *parent, **link;
    struct epoll_item *item;

    if (item_find(set, file, fd, &parent, &link) != NULL) {
        return -EEXIST;
    }
    int err = item_alloc(set, &item);
    if (err < 0) {
        return err;
    }
    item->file = file;
    item->fd = fd;
    item->events = event->events;
    item->data = event->data;
    rb_insert(&set->items, &item->node, parent, link);
    item_link(item);
    if (nested && (err = epoll_paths_check(file)) < 0) {
        item_remove(item);
        return err;
    }
    struct registration registration = {.table = {.enqueue = hook_enqueue}, .item = item};
    uint32_t ready = epoll_item_ask(item, &registration.table);
    if (unlikely(registration.failed)) {
        item_remove(item);
        return -ENOMEM;
    }
    if (ready != 0) {
        (void)epoll_item_queue(item);
    }
    return 0;
}

/* Set locked. */
static int item_change(struct epoll_item *item, const struct epoll_event *event)
{
    struct poll_table table = {.enqueue = NULL};

    if ((epoll_item_events(item) & EPOLLEXCLUSIVE) != 0) {
        return -EINVAL;
    }
    item->data = event->data;
    atomic_store_relaxed(&item->events, event->events);
    atomic_fence(); /* pairs with the waker, who changes the condition before hook_wake reads `events` */
    if (epoll_item_ask(item, &table) != 0) {
        (void)epoll_item_queue(item);
    }
    return 0;
}

/* ---- control ---- */

/* Set locked, `event` with the events that always count. */
static int ctl_locked(struct epoll_set *set, int op, int fd, struct file *target,
                      const struct epoll_event *event, bool nested)
{
    struct rb_node *parent, **link;

    if (op == EPOLL_CTL_ADD) {
        return item_add(set, target, fd, event, nested);
    }
    struct epoll_item *item = item_find(set, target, fd, &parent, &link);
    if (item == NULL) {
        return -ENOENT;
    }
    if (op == EPOLL_CTL_MOD) {
        return item_change(item, event);
    }
    item_remove(item);
    return 0;
}

/* epoll_ctl(2), "EPOLLEXCLUSIVE": what goes with it. */
static bool exclusive_ok(int op, const struct file *target, uint32_t events)
{
    const uint32_t may =
        EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

    return op == EPOLL_CTL_ADD && epoll_set_of(target) == NULL && (events & ~may) == 0;
}

int epoll_set_ctl(struct file *file, int op, int fd, struct file *target,
                  const struct epoll_event *event)
{
    struct epoll_set *set = epoll_set_of(file), *inner = epoll_set_of(target);
    struct epoll_event wanted = {0};
    int err = 0;

    if (target->fops->poll == NULL) {
        return -EPERM;
    }
    if (set == NULL || target == file) {
        return -EINVAL;
    }
    if (op != EPOLL_CTL_DEL) {
        if ((event->events & EPOLLEXCLUSIVE) != 0 && !exclusive_ok(op, target, event->events)) {
            return -EINVAL;
        }
        wanted = *event;
        wanted.events |= EPOLLERR | EPOLLHUP;
        if ((wanted.events & EPOLLWAKEUP) != 0 && !current_has_cap(CAP_BLOCK_SUSPEND)) {
            wanted.events &= ~(uint32_t)EPOLLWAKEUP;
        }
        if (op != EPOLL_CTL_ADD && op != EPOLL_CTL_MOD) {
            return -EINVAL;
        }
    }
    bool nested =
        inner != NULL || (op == EPOLL_CTL_ADD && atomic_load_relaxed(&file->watchers) != NULL);
    if (nested) {
        mutex_lock(&epoll_nest_lock);
        if (inner != NULL && op == EPOLL_CTL_ADD) {
            err = epoll_nest_check(set, inner);
            set->has_nested = true;
        }
    }
    if (err == 0) {
        mutex_lock(&set->lock);
        err = ctl_locked(set, op, fd, target, &wanted, nested);
        mutex_unlock(&set->lock);
    }
    if (nested) {
        mutex_unlock(&epoll_nest_lock);
    }
    return err;
}

/* ---- the end of files ---- */

/* A set that watches the file, referenced; NULL: none. */
static struct epoll_set *watcher_set(struct file *file)
{
    struct spinlock *lock = epoll_link_lock(file);
    struct epoll_set *set = NULL;

    spin_lock(lock);
    if (file->watchers != NULL) {
        set = file->watchers->set;
        refcount_get(&set->refs); /* it has one while the item is linked */
    }
    spin_unlock(lock);
    return set;
}

/* An item of the set on the file. Set locked, so that it stays. */
static struct epoll_item *watcher_of(struct file *file, const struct epoll_set *set)
{
    struct spinlock *lock = epoll_link_lock(file);

    spin_lock(lock);
    struct epoll_item *item = file->watchers;
    while (item != NULL && item->set != set) {
        item = item->next_watcher;
    }
    spin_unlock(lock);
    return item;
}

void epoll_forget_file(struct file *file)
{
    bool is_set = epoll_set_of(file) != NULL;
    struct epoll_set *set;
    struct epoll_item *item;

    if (is_set) {
        mutex_lock(&epoll_nest_lock);
    }
    while ((set = watcher_set(file)) != NULL) {
        mutex_lock(&set->lock);
        while ((item = watcher_of(file, set)) != NULL) {
            item_remove(item);
        }
        mutex_unlock(&set->lock);
        set_put(set);
    }
    if (is_set) {
        mutex_unlock(&epoll_nest_lock);
    }
}

static void epoll_release(struct file *file)
{
    struct epoll_set *set = file->private;
    bool nested = atomic_load_relaxed(&set->has_nested); /* nobody can add to it any more */
    struct epoll_item *item;

    if (nested) {
        mutex_lock(&epoll_nest_lock);
    }
    mutex_lock(&set->lock);
    while ((item = epoll_item_first(set)) != NULL) {
        item_remove(item);
    }
    mutex_unlock(&set->lock);
    if (nested) {
        mutex_unlock(&epoll_nest_lock);
    }
    set_put(set);
}

/* ---- files ---- */

static size_t epoll_show(struct file *file, char *buf, size_t size)
{
    struct epoll_set *set = file->private;
    size_t len = 0;

    mutex_lock(&set->lock);
    for (struct epoll_item *item = epoll_item_first(set); item != NULL;
         item = epoll_item_next(item)) {
        size_t at = MIN(len, size);
        len += (size_t)ksnprintf(
            buf + at, size - at, "tfd: %8d events: %8x data: %16llx  pos:%lli ino:%llx sdev:%x\n",
            item->fd, epoll_item_events(item), (unsigned long long)item->data,
            (long long)item->file->pos, (unsigned long long)item->file->inode->ino,
            (unsigned)item->file->inode->super->dev);
    }
    mutex_unlock(&set->lock);
    return len;
}

static const struct file_ops epoll_fops = {.release = epoll_release,
                                           .poll = epoll_set_poll,
                                           .llseek = file_llseek_nowhere,
                                           .show_fdinfo = epoll_show};

/* They are taken inside wait queues of watched files, and several down a tower of sets: never in a circle, see epoll_nest.c. */
static struct epoll_set *set_create(void)
{
    static struct lock_class sets = {.name = "epoll set", .sleeps = true, .nests = true};
    static struct lock_class waiters = {.name = "epoll waiters"};
    static struct lock_class pollers = {.name = "epoll pollers", .nests = true};
    struct epoll_set *set = kzalloc(sizeof(*set));

    if (set == NULL) {
        return NULL;
    }
    refcount_init(&set->refs, 1);
    mutex_init(&set->lock, "epoll set");
    spin_init(&set->ready_lock, "epoll ready");
    wait_queue_init(&set->waiters);
    wait_queue_init(&set->pollers);
    lockdep_set_class(&set->lock, &sets);
    lockdep_set_class(&set->waiters.lock, &waiters);
    lockdep_set_class(&set->pollers.lock, &pollers);
    list_init(&set->ready);
    set->user = user_get(vfs_cred()->user);
    return set;
}

int epoll_set_create(unsigned flags, struct file **ret_file)
{
    struct file *file;

    if ((flags & ~(unsigned)O_CLOEXEC) != 0) {
        return -EINVAL;
    }
    struct epoll_set *set = set_create();
    if (set == NULL) {
        return -ENOMEM;
    }
    struct inode *inode = anon_inode_create(0600);
    int err = inode == NULL ? -ENOMEM
                            : file_create_anonymous(inode, "anon_inode:[eventpoll]", &epoll_fops,
                                                    O_RDWR, FMODE_READ | FMODE_WRITE, &file);
    if (err < 0) {
        set_put(set);
        return err;
    }
    file->private = set;
    set->file = file;
    *ret_file = file;
    return 0;
}

void epoll_init(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(link_locks); i++) {
        spin_init(&link_locks[i], "epoll link");
    }
    item_slab = slab_cache_create("eventpoll_epi", sizeof(struct epoll_item), 0, 0, NULL);
    hook_slab = slab_cache_create("eventpoll_pwq", sizeof(struct epoll_hook), 0, 0, NULL);
    if (item_slab == NULL || hook_slab == NULL) {
        panic("vfs: no memory for epoll");
    }
    struct frame_stats stats;
    frame_stats(&stats);
    /* A twenty-fifth of the memory (epoll(7), "/proc interfaces"). */
    epoll_max_user_watches =
        stats.total / 25 * PAGE_SIZE / (sizeof(struct epoll_item) + sizeof(struct epoll_hook));
}
