/*
 * Wait queues. The list keeps the order of arrival; exclusive waiters stand behind the others, so that a wake meets all that
 * must be woken before it counts exclusive ones.
 *
 * A waiter stays on the list until it takes itself off. One that has been woken already does not count as a wake-up again: its
 * thread is no longer sleeping, and the next in line is asked.
 *
 * A wake of many lets go of the lock now and then, with a bookmark in the list, and one behind the last waiter: who comes meanwhile has seen the
 * condition, and is not met. So a queue with more than WAKE_TURN waiters must not be freed by one of those who are woken while others sleep there.
 *
 * Locking: queue->lock (spin, irqsave) -> run queue lock.
 */
#include "kernel/sched/wait.h"

void wait_queue_init(struct wait_queue *queue)
{
    spin_init(&queue->lock, "wait queue");
    list_init(&queue->waiters);
}

static bool waiter_wake_thread(struct waiter *waiter, uint32_t key)
{
    return thread_wake_how(waiter->thread, BIT(THREAD_SLEEPING) | BIT(THREAD_UNINTERRUPTIBLE),
                           (key & WAIT_SYNC) != 0 ? WAKE_SYNC : 0);
}

void waiter_init(struct waiter *waiter)
{
    waiter_init_fn(waiter, waiter_wake_thread);
}

void waiter_init_fn(struct waiter *waiter, waiter_fn *fn)
{
    waiter->fn = fn;
    waiter->thread = current_thread();
    waiter->exclusive = false;
}

void wait_add(struct wait_queue *queue, struct waiter *waiter)
{
    uint64_t flags = spin_lock_irqsave(&queue->lock);

    waiter->exclusive = false;
    list_push_front(&queue->waiters, &waiter->node);
    spin_unlock_irqrestore(&queue->lock, flags);
}

void wait_add_exclusive(struct wait_queue *queue, struct waiter *waiter)
{
    uint64_t flags = spin_lock_irqsave(&queue->lock);

    waiter->exclusive = true;
    list_push_back(&queue->waiters, &waiter->node);
    spin_unlock_irqrestore(&queue->lock, flags);
}

void wait_remove(struct wait_queue *queue, struct waiter *waiter)
{
    uint64_t flags = spin_lock_irqsave(&queue->lock);

    list_remove(&waiter->node);
    spin_unlock_irqrestore(&queue->lock, flags);
}

/* So many waiters are met at a time, since interrupts are off and others want the queue. */
#define WAKE_TURN 6

static bool bookmark_passed(struct waiter *waiter, uint32_t key)
{
    (void)waiter, (void)key;
    return false;
}

/* Let others at the queue. The walk goes on at `node`, or behind it if it has gone meanwhile. */
static struct list_node *wake_pause(struct wait_queue *queue, struct list_node *node,
                                    uint64_t *flags)
{
    struct waiter bookmark = {.fn = bookmark_passed};

    list_insert_before(node, &bookmark.node);
    spin_unlock_irqrestore(&queue->lock, *flags);
    *flags = spin_lock_irqsave(&queue->lock);
    node = bookmark.node.next;
    list_remove(&bookmark.node);
    return node;
}

void wait_wake_n(struct wait_queue *queue, unsigned n, uint32_t key)
{
    struct waiter last = {.fn = bookmark_passed}; /* on the list from the first pause on */
    const struct list_node *end = &queue->waiters;
    unsigned turn = 0;

    if (!wait_queue_active(queue)) {
        return;
    }
    uint64_t flags = spin_lock_irqsave(&queue->lock);
    for (struct list_node *node = queue->waiters.next, *next; node != end; node = next) {
        struct waiter *waiter = list_entry(node, struct waiter, node);
        next = node->next;
        if (waiter->fn(waiter, key) && waiter->exclusive && --n == 0) {
            break;
        }
        if (++turn % WAKE_TURN == 0 && next != end) {
            if (end != &last.node) {
                list_push_back(&queue->waiters, &last.node);
                end = &last.node;
            }
            next = wake_pause(queue, next, &flags);
        }
    }
    if (end == &last.node) {
        list_remove(&last.node);
    }
    spin_unlock_irqrestore(&queue->lock, flags);
}

void wait_wake_all(struct wait_queue *queue, uint32_t key)
{
    wait_wake_n(queue, UINT32_MAX, key);
}
