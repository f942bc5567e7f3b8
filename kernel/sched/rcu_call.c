/*
 * Callbacks of read-copy-update: rcu_call, rcu_free, rcu_barrier.
 *
 * Each CPU has a list in three parts: new ones, which no grace period has been asked for yet; waiting ones, with the number of the grace
 * period they wait for; and a batch that its thread is calling. A list that gets its first callback is looked at after GATHER_NS, so that
 * one grace period serves all that come meanwhile, or at once when there are many. Somebody always attends to a list that is not empty: the
 * timer (new ones), the grace period (waiting ones), or the thread, which sees to what has come when it takes the next batch.
 *
 * The thread calls batch after batch with preemption on, so however many there are, whoever is more urgent runs; when they pile up, the
 * thread becomes as urgent as niceness makes it.
 *
 * Locking: list->lock (spin, irqsave) -> leaf lock of the tree, timer queue lock. barrier_lock (mutex) keeps lists and CPUs together.
 *
 * Locks:  l list lock   a atomic   I immutable once the CPU is prepared
 */
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/core/timer.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/rcu.h"
#include "kernel/sched/wait.h"

#define GATHER_NS   (10 * NS_PER_MS)
#define MANY        2048u  /* new ones that wait for nobody else to come */
#define PILED_UP    16384u /* waiting ones that make the thread urgent */
#define URGENT_NICE (-20)

struct rcu_chain {
    struct rcu_head *first, *last; /* [l] `last` means nothing while there is no first */
    uint64_t count;                /* [l] */
};

struct rcu_list {
    struct spinlock lock;
    struct rcu_chain fresh, waiting; /* [l] */
    uint64_t waiting_gp; /* [a] written under the lock: what `waiting` waits for; 0: it is empty */
    bool attended;       /* [l] somebody will look at `fresh` */
    uint64_t queued;     /* [l] callbacks ever put here */
    uint64_t called;     /* [l] and ever called or moved away from here */
    struct timer timer;
    unsigned cpu;            /* [I] whose list it is */
    struct thread *thread;   /* [a] NULL until the CPU is prepared for the first time */
    struct rcu_head barrier; /* [barrier_lock] */
};

static DEFINE_PER_CPU(struct rcu_list, rcu_list);

static struct mutex barrier_lock = MUTEX_INIT(barrier_lock);
static uint32_t barrier_left; /* [a] lists that have not come to their barrier */
static struct wait_queue barrier_wait = WAIT_QUEUE_INIT(barrier_wait);

/* ---- chains ---- */

static void chain_push(struct rcu_chain *chain, struct rcu_head *head)
{
    head->next = NULL;
    if (chain->first == NULL) {
        chain->first = head;
    } else {
        chain->last->next = head;
    }
    chain->last = head;
    chain->count++;
}

static void chain_move(struct rcu_chain *to, struct rcu_chain *from)
{
    if (from->first == NULL) {
        return;
    }
    if (to->first == NULL) {
        to->first = from->first;
    } else {
        to->last->next = from->first;
    }
    to->last = from->last;
    to->count += from->count;
    *from = (struct rcu_chain){.first = NULL};
}

/* ---- queueing ---- */

/* See that `fresh` is looked at. Before the CPU has a thread nobody can; rcu_calls_start() will. */
static void list_attend_locked(struct rcu_list *list)
{
    if (atomic_load_relaxed(&list->thread) != NULL) {
        list->attended = true;
        timer_arm(&list->timer, ktime_now() + (list->fresh.count >= MANY ? 0 : GATHER_NS));
    }
}

static void list_queue(struct rcu_head *head)
{
    uint64_t flags = irq_save();
    struct rcu_list *list = this_cpu_ptr(rcu_list);

    spin_lock(&list->lock);
    chain_push(&list->fresh, head);
    list->queued++;
    if (unlikely(!list->attended || list->fresh.count == MANY)) {
        list_attend_locked(list);
    }
    spin_unlock_irqrestore(&list->lock, flags);
}

void rcu_call(struct rcu_head *head, rcu_fn *fn)
{
    head->fn = fn;
    list_queue(head);
}

void rcu_free_offset(struct rcu_head *head, size_t offset)
{
    head->fn = (rcu_fn *)offset;
    list_queue(head);
}

/* Ask for a grace period for the new ones, if none is waited for. Any context. */
static void list_advance(struct rcu_list *list)
{
    uint64_t flags = spin_lock_irqsave(&list->lock);
    uint64_t gp = 0;

    if (list->waiting.first == NULL && list->fresh.first != NULL) {
        chain_move(&list->waiting, &list->fresh);
        gp = rcu_gp_next();
        atomic_store_relaxed(&list->waiting_gp, gp);
    }
    spin_unlock_irqrestore(&list->lock, flags);
    if (gp == 0) {
        return;
    }
    rcu_tree_want(&rcu_tree, list->cpu);
    rcu_gp_request(gp, false);
    atomic_fence(); /* pairs with rcu_gp_run(): either it sees that we want, or we see that it is over */
    if (rcu_gp_is_done(gp)) {
        (void)thread_wake(list->thread);
    }
}

static void timer_expired(struct timer *timer)
{
    struct rcu_list *list = container_of(timer, struct rcu_list, timer);

    list_advance(list);
}

/* ---- calling ---- */

static bool list_ready(struct rcu_list *list)
{
    uint64_t gp = atomic_load_relaxed(&list->waiting_gp);

    return gp != 0 && rcu_gp_is_done(gp);
}

static bool cpu_ready(unsigned cpu)
{
    return list_ready(per_cpu_ptr(rcu_list, cpu));
}

void rcu_calls_wake(void)
{
    for (unsigned i = 0; i < RCU_LEAVES; i++) {
        if (atomic_load_relaxed(&rcu_tree.leaves[i].wanted) == 0) {
            continue;
        }
        for (uint32_t left = rcu_tree_take_wanted(&rcu_tree, i, cpu_ready); left != 0;
             left &= left - 1) {
            unsigned cpu = i * RCU_LEAF_CPUS + (unsigned)__builtin_ctz(left);
            (void)thread_wake(per_cpu_ptr(rcu_list, cpu)->thread);
        }
    }
}

/* Take those whose grace period is over; see that somebody looks at those that came meanwhile. */
static bool list_take(struct rcu_list *list, struct rcu_chain *ret_batch)
{
    uint64_t flags = spin_lock_irqsave(&list->lock);
    bool ready = list_ready(list);

    if (ready) {
        *ret_batch = list->waiting;
        list->waiting = (struct rcu_chain){.first = NULL};
        atomic_store_relaxed(&list->waiting_gp, 0);
        list->attended = false;
        if (list->fresh.first != NULL) {
            list_attend_locked(list);
        }
    }
    spin_unlock_irqrestore(&list->lock, flags);
    return ready;
}

static void chain_call(const struct rcu_chain *batch)
{
    struct rcu_head *next;

    for (struct rcu_head *head = batch->first; head != NULL; head = next) {
        next = head->next; /* the callback may free it */
        uintptr_t offset = (uintptr_t)head->fn;
        if (offset < RCU_FREE_OFFSET_MAX) {
            kfree((uint8_t *)head - offset);
        } else {
            head->fn(head);
        }
    }
}

static void calls_main(void *arg)
{
    struct rcu_list *list = arg;
    struct rcu_chain batch;
    bool urgent = false;

    for (;;) {
        thread_prepare_sleep(THREAD_SLEEPING);
        if (!list_ready(list)) {
            schedule();
        }
        thread_finish_sleep();
        while (list_take(list, &batch)) {
            if (urgent != (batch.count >= PILED_UP)) {
                urgent = !urgent;
                sched_set_nice(current_thread(), urgent ? URGENT_NICE : 0);
            }
            chain_call(&batch);
            uint64_t flags = spin_lock_irqsave(&list->lock);
            list->called += batch.count;
            spin_unlock_irqrestore(&list->lock, flags);
        }
    }
}

/* ---- barrier ---- */

static void barrier_reached(struct rcu_head *head)
{
    (void)head;
    if (atomic_fetch_sub(&barrier_left, 1) == 1) {
        wait_wake_all(&barrier_wait, 0);
    }
}

/* Before rcu_start() there is nobody to wait for, and no thread that would call them. */
static void list_call_now(struct rcu_list *list)
{
    struct rcu_chain chain = {.first = NULL};
    uint64_t flags = spin_lock_irqsave(&list->lock);

    chain_move(&chain, &list->waiting);
    chain_move(&chain, &list->fresh);
    list->called += chain.count;
    spin_unlock_irqrestore(&list->lock, flags);
    chain_call(&chain);
}

/* Lists are called in order, so a callback at the end of each tells that all before it have been called. */
void rcu_barrier(void)
{
    unsigned id;

    might_sleep();
    mutex_lock(&barrier_lock);
    atomic_store_relaxed(&barrier_left, 1); /* ours, until all are queued */
    for_each_cpu (id) {
        struct rcu_list *list = per_cpu_ptr(rcu_list, id);
        if (list->thread == NULL) {
            list_call_now(list);
            continue;
        }
        uint64_t flags = spin_lock_irqsave(&list->lock);
        bool busy = list->queued != list->called;
        if (busy) {
            (void)atomic_fetch_add(&barrier_left, 1);
            list->barrier.fn = barrier_reached;
            chain_push(&list->fresh, &list->barrier);
            list->queued++;
            list->attended = true;
        }
        spin_unlock_irqrestore(&list->lock, flags);
        if (busy) {
            list_advance(list);
        }
    }
    barrier_reached(NULL);
    wait_event(&barrier_wait, atomic_load_acquire(&barrier_left) == 0);
    mutex_unlock(&barrier_lock);
}

/* ---- CPUs ---- */

int rcu_calls_prepare(unsigned id)
{
    struct rcu_list *list = per_cpu_ptr(rcu_list, id);
    char name[COMM_SIZE];

    if (list->thread != NULL) {
        return 0; /* it has been here before */
    }
    (void)kscnprintf(name, sizeof(name), "rcu_calls/%u", id);
    struct thread *thread = thread_create_kernel(name, calls_main, list);
    if (thread == NULL) {
        return -ENOMEM;
    }
    spin_init(&list->lock, "rcu list");
    timer_init(&list->timer, timer_expired);
    list->cpu = id;
    thread_start(thread);
    atomic_store_release(&list->thread, thread);
    return 0;
}

void rcu_calls_start(void)
{
    struct rcu_list *list = this_cpu_ptr(rcu_list);
    uint64_t flags = spin_lock_irqsave(&list->lock);

    if (list->fresh.first != NULL) {
        list_attend_locked(list);
    }
    spin_unlock_irqrestore(&list->lock, flags);
}

void rcu_calls_adopt(unsigned dead)
{
    struct rcu_list *from = per_cpu_ptr(rcu_list, dead);
    struct rcu_chain chain = {.first = NULL};

    mutex_lock(&barrier_lock);
    (void)timer_cancel_sync(&from->timer);
    uint64_t flags = spin_lock_irqsave(&from->lock);
    chain_move(&chain, &from->waiting);
    chain_move(&chain, &from->fresh);
    atomic_store_relaxed(&from->waiting_gp, 0);
    from->attended = false;
    from->queued -= chain.count;
    spin_unlock_irqrestore(&from->lock, flags);

    flags = irq_save();
    struct rcu_list *to = this_cpu_ptr(rcu_list);
    spin_lock(&to->lock);
    to->queued += chain.count;
    chain_move(&to->fresh, &chain);
    if (to->fresh.first != NULL && !to->attended) {
        list_attend_locked(to);
    }
    spin_unlock_irqrestore(&to->lock, flags);
    mutex_unlock(&barrier_lock);
}

void rcu_calls_stats(struct rcu_stats *stats)
{
    unsigned id;

    for_each_cpu (id) {
        struct rcu_list *list = per_cpu_ptr(rcu_list, id);
        stats->queued += atomic_load_relaxed(&list->queued);
        stats->called += atomic_load_relaxed(&list->called);
    }
}
