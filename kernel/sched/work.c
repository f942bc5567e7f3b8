/*
 * Deferred work: one kernel thread that runs what was queued, in order. Work that may sleep long delays what comes behind it:
 * such a subsystem starts a thread of its own.
 *
 * Locking: work_lock (spin, irqsave).
 */
#include "kernel/sched/work.h"

#include "kernel/core/panic.h"
#include "kernel/sched/wait.h"

static struct spinlock work_lock = SPINLOCK_INIT("work queue");
static struct list_node work_list = LIST_INIT(work_list); /* [work_lock] */
static struct wait_queue work_wait = WAIT_QUEUE_INIT(work_wait);

void work_init(struct work *work, work_fn *fn)
{
    list_init(&work->node);
    work->fn = fn;
    work->queued = false;
}

bool work_queue(struct work *work)
{
    uint64_t flags = spin_lock_irqsave(&work_lock);
    bool fresh = !work->queued;

    if (fresh) {
        work->queued = true;
        list_push_back(&work_list, &work->node);
    }
    spin_unlock_irqrestore(&work_lock, flags);
    if (fresh) {
        wait_wake_one(&work_wait);
    }
    return fresh;
}

static struct work *work_take(void)
{
    uint64_t flags = spin_lock_irqsave(&work_lock);
    struct list_node *node = list_pop_front(&work_list);
    struct work *work = node == NULL ? NULL : list_entry(node, struct work, node);

    if (work != NULL) {
        work->queued = false;
    }
    spin_unlock_irqrestore(&work_lock, flags);
    return work;
}

static void work_main(void *arg)
{
    (void)arg;
    for (;;) {
        struct work *work;
        wait_event(&work_wait, (work = work_take()) != NULL);
        work->fn(work);
    }
}

struct work_barrier {
    struct work work;
    struct wait_queue done_wait;
    bool done; /* [a] */
};

static void barrier_reached(struct work *work)
{
    struct work_barrier *barrier = container_of(work, struct work_barrier, work);
    uint64_t flags = spin_lock_irqsave(&barrier->done_wait.lock);
    struct waiter *waiter;

    /* Under the queue's lock, so that the flusher, whose stack this is, cannot go before the wake is over. */
    atomic_store_release(&barrier->done, true);
    list_for_each (waiter, &barrier->done_wait.waiters, node) {
        (void)waiter->fn(waiter, 0);
    }
    spin_unlock_irqrestore(&barrier->done_wait.lock, flags);
}

void work_flush(void)
{
    struct work_barrier barrier = {.done = false};

    wait_queue_init(&barrier.done_wait);
    work_init(&barrier.work, barrier_reached);
    (void)work_queue(&barrier.work);
    wait_event(&barrier.done_wait, atomic_load_acquire(&barrier.done));
    /* The worker may still hold the lock: take it once, then the stack is ours again. */
    spin_unlock_irqrestore(&barrier.done_wait.lock, spin_lock_irqsave(&barrier.done_wait.lock));
}

void work_threads_start(void)
{
    struct thread *thread = thread_create_kernel("kworker", work_main, NULL);

    if (thread == NULL) {
        panic("work: no memory for the first thread");
    }
    thread_start(thread);
}
