/*
 * Sets of watched files: what became ready, and telling it.
 *
 * An item is on the ready list, once, while its `queued` is set. Who takes events locks the set, takes the whole list into its own hands and
 * looks through it without the spin lock: a waker that meets an item with `queued` set leaves it alone, one that meets another puts it on the
 * list. An item that is ready and stays on the list for the next call (level-triggered) never loses `queued`. Another loses it before its
 * file is asked: either the file then says what a waker changed, or that waker sees `queued` cleared. What is left goes back at the end: what
 * was not looked at, what came meanwhile, what stays ready.
 *
 * Those who sleep in epoll_wait do so exclusively: each wake lets one go on. A woken one looks before it says that a signal came or that its time
 * is up, and whoever leaves ready items behind wakes the next: also who polls the set, as one who is about to sleep may have seen the list empty.
 */
#include "kernel/vfs/epoll_impl.h"

/* ---- becoming ready ---- */

bool epoll_item_queue(struct epoll_item *item)
{
    struct epoll_set *set = item->set;
    uint64_t flags = spin_lock_irqsave(&set->ready_lock);

    if (!atomic_exchange(&item->queued, true)) {
        list_push_back(&set->ready, &item->ready_node);
    }
    spin_unlock_irqrestore(&set->ready_lock, flags);
    bool slept = wait_queue_active(&set->waiters);
    if (slept) {
        wait_wake_one(&set->waiters);
    }
    if (unlikely(!list_empty(&set->pollers.waiters))) {
        wait_wake_all(&set->pollers, POLLIN);
    }
    return slept;
}

/* May there be something to tell? */
static inline bool set_maybe_ready(const struct epoll_set *set)
{
    return !list_empty(&set->ready) || atomic_load_relaxed(&set->taking);
}

/* The whole ready list into `taken`. Set locked; ready_end() follows. */
static inline void ready_begin(struct epoll_set *set, struct list_node *taken)
{
    list_init(taken);
    spin_lock_irq(&set->ready_lock);
    list_splice_back(taken, &set->ready);
    atomic_store_relaxed(&set->taking, true);
    spin_unlock_irq(&set->ready_lock);
}

/* What is left of `taken`, then what came meanwhile, then `again` is the ready list now. */
static inline void ready_end(struct epoll_set *set, struct list_node *taken,
                             struct list_node *again)
{
    spin_lock_irq(&set->ready_lock);
    if (unlikely(!list_empty(taken))) {
        list_splice_back(taken, &set->ready);
        list_splice_back(&set->ready, taken);
    }
    list_splice_back(&set->ready, again);
    atomic_store_relaxed(&set->taking, false);
    spin_unlock_irq(&set->ready_lock);
}

/* Out of the taker's hands: a waker that comes from here on puts it on the list again. */
static inline void item_let_go(struct epoll_item *item)
{
    list_remove(&item->ready_node);
    (void)atomic_exchange(&item->queued, false);
    atomic_fence(); /* pairs with the waker, who changes the condition before it looks at `queued` */
}

/*
 * It said that it is not ready. Let it go, and ask for the last time: if it has just become ready and no waker has it, it is put at the end
 * of `taken` once more.
 */
static __noinline void item_drop(struct epoll_item *item, struct poll_table *table,
                                 struct list_node *taken)
{
    item_let_go(item);
    if (epoll_item_ask(item, table) != 0 && !atomic_exchange(&item->queued, true)) {
        list_push_back(taken, &item->ready_node);
    }
}

/* ---- telling ---- */

static inline int event_to_user(struct epoll_event __user *event, uint32_t events, uint64_t data)
{
    if (!user_begin(event, sizeof(*event))) {
        return -EFAULT;
    }
    user_put_inside(events, user_member(event, events), fault);
    user_put_inside(data, user_member(event, data), fault);
    user_end();
    return 0;

fault:
    return -EFAULT;
}

/* An item of `taken` that is told once for each event: what it is ready for. An event after this comes back with a waker. */
static __noinline uint32_t item_ask_edge(struct epoll_item *item, struct poll_table *table)
{
    item_let_go(item);
    return epoll_item_ask(item, table);
}

/* One that is told as long as it is ready: it goes on to `again`, or is dropped. */
static inline uint32_t item_ask_level(struct epoll_item *item, struct poll_table *table,
                                      struct list_node *taken, struct list_node *again)
{
    uint32_t ready = epoll_item_ask(item, table);

    if (likely(ready != 0)) {
        list_remove(&item->ready_node);
        list_push_back(again, &item->ready_node);
    } else {
        item_drop(item, table, taken);
    }
    return ready;
}

/* Events to user memory: their number or -EFAULT when there was none. Set locked. */
static int tell_locked(struct epoll_set *set, struct epoll_event __user *events, int max)
{
    struct poll_table table = {.enqueue = NULL};
    struct list_node taken, again = LIST_INIT(again);
    int n = 0;

    ready_begin(set, &taken);
    while (n < max && !list_empty(&taken)) {
        struct epoll_item *item = list_first_entry(&taken, struct epoll_item, ready_node);
        uint32_t wanted = epoll_item_events(item);
        bool level = (wanted & (EPOLLET | EPOLLONESHOT)) == 0;
        uint32_t ready = likely(level) ? item_ask_level(item, &table, &taken, &again)
                                       : item_ask_edge(item, &table);
        if (unlikely(ready == 0)) {
            continue;
        }
        if (unlikely(event_to_user(user_at(events, (size_t)n * sizeof(*events)), ready,
                                   item->data) < 0)) {
            if (!level) {
                (void)epoll_item_queue(item);
            }
            n = n == 0 ? -EFAULT : n;
            break;
        }
        n++;
        if (unlikely((wanted & EPOLLONESHOT) != 0)) {
            atomic_store_relaxed(&item->events, wanted & EPOLL_MODES); /* until EPOLL_CTL_MOD */
        }
    }
    ready_end(set, &taken, &again);
    return n;
}

/* Items that are ready may have been left behind. Nothing held. */
static inline void wake_next(struct epoll_set *set)
{
    if (!list_empty(&set->ready) && !list_empty(&set->waiters.waiters)) {
        wait_wake_one(&set->waiters);
    }
}

static int set_tell(struct epoll_set *set, struct epoll_event __user *events, int max)
{
    mutex_lock(&set->lock);
    int n = tell_locked(set, events, max);
    mutex_unlock(&set->lock);
    wake_next(set);
    return n;
}

int epoll_set_wait(struct file *file, struct epoll_event __user *events, int max, ktime_t deadline)
{
    struct epoll_set *set = epoll_set_of(file);

    if (unlikely(set == NULL)) {
        return -EINVAL;
    }
    for (;;) {
        if (set_maybe_ready(set)) {
            int n = set_tell(set, events, max);
            if (n != 0) {
                return n;
            }
        }
        if (deadline == 0) {
            return 0;
        }
        if (thread_signal_pending(current_thread())) {
            return -EINTR;
        }
        int err =
            wait_event_interruptible_exclusive_until(&set->waiters, set_maybe_ready(set), deadline);
        if (err == -ETIMEDOUT) {
            return 0;
        }
        if (err < 0) {
            return -EINTR;
        }
    }
}

/* ---- a set as something watched ---- */

/* Is anything ready? What is found not to be leaves the list. Set locked. */
static bool ready_look(struct epoll_set *set)
{
    struct poll_table table = {.enqueue = NULL};
    struct list_node taken, none = LIST_INIT(none);
    bool found = false;

    ready_begin(set, &taken);
    while (!found && !list_empty(&taken)) {
        struct epoll_item *item = list_first_entry(&taken, struct epoll_item, ready_node);
        found = epoll_item_ask(item, &table) != 0;
        if (!found) {
            item_drop(item, &table, &taken);
        }
    }
    ready_end(set, &taken, &none);
    return found;
}

uint32_t epoll_set_poll(struct file *file, struct poll_table *table)
{
    struct epoll_set *set = file->private;

    poll_wait(table, &set->pollers);
    spin_lock_irq(
        &set->ready_lock); /* a taker may be giving the list back: nobody is told of that */
    bool maybe = set_maybe_ready(set);
    spin_unlock_irq(&set->ready_lock);
    if (!maybe) {
        return 0;
    }
    mutex_lock(&set->lock);
    bool found = ready_look(set);
    mutex_unlock(&set->lock);
    wake_next(set);
    return found ? POLLIN | POLLRDNORM : 0;
}
