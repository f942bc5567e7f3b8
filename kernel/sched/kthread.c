/*
 * Kernel threads that are to be given numbers (kthread.h).
 *
 * Locking: the list and thread->numbering under news_lock. `turn` is held while a thread gets its number, so that one that ends meanwhile waits until
 * it has it. A thread that was not started by thread_start() (idle threads, those that stop a CPU) is none of this file's, and sleeps for nothing here.
 */
#include "kernel/sched/kthread.h"

#include "kernel/sched/mutex.h"
#include "kernel/sched/wait.h"

static struct spinlock news_lock = SPINLOCK_INIT("new kernel threads");
static struct list_node news = LIST_INIT(news); /* [news_lock] thread->process_node */
static struct wait_queue news_wait = WAIT_QUEUE_INIT(news_wait);
static struct mutex turn = MUTEX_INIT(turn);
static const struct kthread_numbering *numbering; /* [turn] */

void kthread_started(struct thread *thread)
{
    uint64_t flags = spin_lock_irqsave(&news_lock);

    thread->numbering = KTHREAD_NEW;
    list_push_back(&news, &thread->process_node);
    spin_unlock_irqrestore(&news_lock, flags);
    wait_wake_all(&news_wait, 0);
}

void kthread_leave(struct thread *thread)
{
    uint64_t flags = spin_lock_irqsave(&news_lock);
    enum kthread_state state = thread->numbering;

    if (state == KTHREAD_NEW) {
        list_remove(&thread->process_node);
    }
    thread->numbering = KTHREAD_NONE;
    spin_unlock_irqrestore(&news_lock, flags);
    if (state == KTHREAD_TAKEN) {
        mutex_lock(&turn);
        numbering->ended(thread);
        mutex_unlock(&turn);
    }
}

static struct thread *take(void)
{
    uint64_t flags = spin_lock_irqsave(&news_lock);
    struct list_node *node = list_pop_front(&news);
    struct thread *thread = node == NULL ? NULL : list_entry(node, struct thread, process_node);

    if (thread != NULL) {
        thread->numbering = KTHREAD_TAKEN;
    }
    spin_unlock_irqrestore(&news_lock, flags);
    return thread;
}

void kthreads_number(const struct kthread_numbering *by)
{
    struct thread *thread;

    (void)wait_event_interruptible(&news_wait, !list_empty(&news));
    mutex_lock(&turn);
    numbering = by;
    while ((thread = take()) != NULL) {
        by->started(thread);
    }
    mutex_unlock(&turn);
}
