/*
 * Sets of watched files from the inside: what epoll.c, epoll_wait.c and epoll_nest.c share.
 *
 * A set has an item for each pair of file and descriptor. An item hangs a waiter on each wait queue that the file's poll operation names.
 * When such a queue is woken, the waiter puts the item on the set's ready list, from whatever context that is; epoll_wait asks the files on
 * that list alone, so its cost follows from what happened and not from what is watched.
 *
 * Life: the set's file has a reference to the set; who closes a watched file has one for a moment. An item goes with EPOLL_CTL_DEL, with its
 * set, or with its file: the file itself is not referenced, but it cannot end before epoll_forget_file() has taken all its items away.
 *
 * Order of locks: epoll_nest_lock -> set->lock (an outer set's before an inner one's) -> whatever a poll operation takes;
 * set->lock -> link lock; wait queue of a watched file -> set->ready_lock; the same -> set->waiters, set->pollers.
 *
 * Locks:  s set->lock   r set->ready_lock   l link lock of the watched file   n epoll_nest_lock   I immutable   a atomic
 */
#pragma once

#include "kernel/base/rbtree.h"
#include "kernel/sched/mutex.h"
#include "kernel/security/cred.h"
#include "kernel/vfs/epoll.h"

/* Bits of an item's events that are no events. */
#define EPOLL_MODES (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)

struct epoll_set {
    struct refcount refs;
    struct mutex lock;          /* of the items and of taking from the ready list */
    struct rb_root items;       /* [s] by file and descriptor */
    struct spinlock ready_lock; /* irqsave */
    bool taking;               /* [r] somebody has taken the ready list and is looking through it */
    bool has_nested;           /* [n] a set is or was among what is watched */
    struct list_node ready;    /* [r] items whose `queued` is set */
    struct wait_queue waiters; /* threads in epoll_wait */
    struct wait_queue pollers; /* who polls the set's own file */
    struct file *file;         /* [I] its own, not referenced */
    struct user *user;         /* [I] whose watches are counted, referenced */
    uint64_t visit;            /* [n] the walk that was here last, */
    int visit_result;          /*     and what it found */
};

/* One waiter on one queue. */
struct epoll_hook {
    struct waiter waiter;
    struct wait_queue *queue; /* [s] NULL: not used */
    struct poll_pin pin;      /* [s] what keeps the queue alive, when that is not the file */
    struct epoll_item *item;  /* [I] */
    struct epoll_hook *next;  /* [s] of the same item */
};

struct epoll_item {
    struct rb_node node;         /* [s] */
    struct list_node ready_node; /* [r] while `queued`, and the taker's while it looks */
    struct file *file;           /* [I] what is watched, see above */
    int fd;                      /* [I] */
    uint32_t events;             /* [a] EPOLL*; written with [s] */
    uint64_t data;               /* [s] */
    bool queued; /* [a] on the ready list, or in the hands of a taker who will see to it */
    struct epoll_set *set;           /* [I] */
    struct epoll_item **link;        /* [l] what points here: file->watchers or a next_watcher */
    struct epoll_item *next_watcher; /* [l] */
    struct epoll_hook hook;          /* for the first queue: most files have one */
};

static inline uint32_t epoll_item_events(const struct epoll_item *item)
{
    return atomic_load_relaxed(&item->events);
}

/* What of it is ready and wanted, now. Set locked. */
static inline uint32_t epoll_item_ask(const struct epoll_item *item, struct poll_table *table)
{
    uint32_t events = epoll_item_events(item);

    table->events = events;
    return item->file->fops->poll(item->file, table) & events & ~(uint32_t)EPOLL_MODES;
}

static inline struct epoll_item *epoll_item_first(const struct epoll_set *set)
{
    struct rb_node *node = rb_first(&set->items);

    return node == NULL ? NULL : rb_entry(node, struct epoll_item, node);
}

static inline struct epoll_item *epoll_item_next(const struct epoll_item *item)
{
    struct rb_node *node = rb_next(&item->node);

    return node == NULL ? NULL : rb_entry(node, struct epoll_item, node);
}

/* The set that the file is; NULL: it is none. */
struct epoll_set *epoll_set_of(const struct file *file);
/* The lock of file->watchers (spin). */
struct spinlock *epoll_link_lock(const struct file *file);

/* epoll_wait.c. The item may be ready: on the list with it, and let those know who wait. True: somebody slept in epoll_wait. Any context. */
bool epoll_item_queue(struct epoll_item *item);
uint32_t epoll_set_poll(struct file *file, struct poll_table *table);

/* epoll_nest.c: everything under epoll_nest_lock, which is held while a set is added to or taken from a set. */
extern struct mutex epoll_nest_lock;
/* -ELOOP: with `target` in it the set would contain itself, or sets would be nested too deeply. */
int epoll_nest_check(struct epoll_set *set, struct epoll_set *target);
/* -EINVAL: too many chains of sets would be woken by one file at or below `target`, which is watched already. */
int epoll_paths_check(struct file *target);
