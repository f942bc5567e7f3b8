/*
 * Handlers with a thread: irq/N-name, FIFO 50, one for each handler that has a thread_fn. With the parameter threadirqs, all handlers but the
 * timers' run wholly in theirs.
 *
 * A level-triggered line is masked from the time its hard part has woken a thread until all threads that were woken are done, since
 * only they silence the device. An edge-triggered one is not: edges that come while it is masked would be lost. There, a
 * thread that is woken again while it works just runs once more.
 *
 * Locks:  line line->lock   a atomic   I immutable once attached
 */
#include <linux/sched.h>

#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/core/panic.h"
#include "kernel/core/param.h"
#include "kernel/irq/impl.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/params.h"
#include "kernel/sched/wait.h"

#define IRQ_THREAD_PRIORITY 50

struct irq_thread {
    struct thread *thread;       /* [I] */
    struct irq_line *line;       /* [I] */
    struct irq_handler *handler; /* [I] */
    bool forced;                 /* [I] all of fn runs here */
    bool wanted;                 /* [line] there is something to do */
    bool counted;                /* [line] in line->nthreads */
    bool stop;                   /* [a] */
    bool stopped;                /* [a] */
    struct wait_queue stop_wait;
};

enum irq_result irq_thread_ask(struct irq_handler *handler)
{
    if (unlikely(handler->thread != NULL && handler->thread->forced)) {
        return IRQ_WAKE_THREAD;
    }
    return handler->fn(handler);
}

void irq_thread_wake_locked(struct irq_line *line, struct irq_handler *handler)
{
    struct irq_thread *self = handler->thread;

    self->wanted = true;
    if (!self->counted) {
        self->counted = true;
        line->nthreads++;
    }
    (void)thread_wake(self->thread);
}

/* Is there something to do? It is taken. If not, the line need not wait for this one any longer. */
static bool work_take(struct irq_thread *self)
{
    struct irq_line *line = self->line;
    uint64_t flags = spin_lock_irqsave(&line->lock);
    bool wanted = self->wanted;

    self->wanted = false;
    if (!wanted && self->counted) {
        self->counted = false;
        if (--line->nthreads == 0 && line->masked) {
            line->masked = false;
            if (!list_empty(&line->handlers)) { /* the last one may have gone meanwhile */
                line->chip->unmask(line);
            }
        }
    }
    spin_unlock_irqrestore(&line->lock, flags);
    return wanted;
}

/* What was written for an interrupt runs as in one. */
static void run_forced(struct irq_handler *handler)
{
    uint64_t flags = irq_save();
    enum irq_result result = handler->fn(handler);

    irq_restore(flags);
    if (result == IRQ_WAKE_THREAD) {
        handler->thread_fn(handler);
    }
}

static void thread_main(void *arg)
{
    struct irq_thread *self = arg;

    while (!atomic_load_acquire(&self->stop)) {
        while (work_take(self)) {
            if (self->forced) {
                run_forced(self->handler);
            } else {
                self->handler->thread_fn(self->handler);
            }
        }
        thread_prepare_sleep(THREAD_SLEEPING);
        if (!READ_ONCE(self->wanted) && !atomic_load_acquire(&self->stop)) {
            schedule();
        }
        thread_finish_sleep();
    }
    while (work_take(self)) {
    }
    uint64_t flags = spin_lock_irqsave(&self->stop_wait.lock);
    struct waiter *waiter;
    /* Under the queue's lock, so that who waits cannot free it before the wake is over. */
    atomic_store_release(&self->stopped, true);
    list_for_each (waiter, &self->stop_wait.waiters, node) {
        (void)waiter->fn(waiter, 0);
    }
    spin_unlock_irqrestore(&self->stop_wait.lock, flags);
}

int irq_thread_create(struct irq_line *line, struct irq_handler *handler, unsigned flags)
{
    const struct sched_params params = {.policy = SCHED_FIFO, .priority = IRQ_THREAD_PRIORITY};
    bool forced = (flags & IRQ_FLAG_TIMER) == 0 && param_bool("threadirqs", false);
    char name[COMM_SIZE];

    handler->thread = NULL;
    if (handler->thread_fn == NULL && !forced) {
        return 0;
    }
    struct irq_thread *self = kzalloc(sizeof(*self));
    if (self == NULL) {
        return -ENOMEM;
    }
    (void)kscnprintf(name, sizeof(name), "irq/%u-%s", line->number, handler->name);
    self->line = line;
    self->handler = handler;
    self->forced = forced;
    wait_queue_init(&self->stop_wait);
    self->thread = thread_create_kernel(name, thread_main, self);
    if (self->thread == NULL) {
        kfree(self);
        return -ENOMEM;
    }
    int err = sched_set_params(self->thread, &params);
    WARN_ON(err < 0);
    thread_get(self->thread); /* until irq_thread_destroy() */
    handler->thread = self;
    thread_start(self->thread);
    return 0;
}

void irq_thread_destroy(struct irq_handler *handler)
{
    struct irq_thread *self = handler->thread;

    if (self == NULL) {
        return;
    }
    atomic_store_release(&self->stop, true);
    (void)thread_wake(self->thread);
    wait_event(&self->stop_wait, atomic_load_acquire(&self->stopped));
    /* It may still hold the lock: taken once, the memory is ours again. */
    spin_unlock_irqrestore(&self->stop_wait.lock, spin_lock_irqsave(&self->stop_wait.lock));
    thread_put(self->thread);
    handler->thread = NULL;
    kfree(self);
}
