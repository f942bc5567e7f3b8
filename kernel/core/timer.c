/*
 * Timers: a tree per CPU, ordered by deadline, behind the CPU's one-shot event timer.
 *
 * Interface: timer_init, timer_arm, timer_arm_range, timer_cancel, timer_cancel_sync; the machine calls machine_timer_interrupt.
 *
 * The hardware is asked for an earlier interrupt when a timer becomes the first, but never for a later one: a cancelled first
 * timer leaves at worst one interrupt that finds nothing to do. So the usual poll with a timeout that does not come true
 * costs no access to the hardware.
 *
 * A timer is armed on the CPU that arms it, but while its callback runs on the CPU where that does: so timer->cpu names the queue whose `running`
 * says whether it does. `cpu` changes only under the lock of the queue that it names, while the timer is not armed and its callback does not
 * run, or under the locks of both queues; so whoever holds the lock of queue timer->cpu, and finds timer->cpu unchanged, owns the timer's state.
 *
 * However many are due, an interrupt serves TIMERS_AT_ONCE of them and asks for the next one at once: so the time with interrupts off is
 * bounded, other interrupts come in between, and so does who was woken if he is more urgent. Where there is no preemption only TIMERS_BETWEEN
 * are served in HELD_NS: one interrupt after another would make that section as long as there are timers due. The others wait for the scheduler,
 * which is asked for, and which lets them go on when the section has ended (timers_release()).
 *
 * Locking: queue->lock, innermost but for what clock_event_program needs. Callbacks run without it.
 */
#include "kernel/core/timer.h"

#include "kernel/core/percpu.h"
#include "kernel/core/smp_call.h"
#include "kernel/core/time.h"
#include "kernel/sync/spinlock.h"

#define TIMERS_AT_ONCE 8u
#define TIMERS_BETWEEN 4u              /* where there is no preemption */
#define HELD_NS        (4 * NS_PER_MS) /* which the scheduler cuts short */

struct timer_queue {
    struct spinlock lock;
    struct rb_root root;   /* [lock] */
    struct timer *first;   /* [lock] leftmost of root */
    struct timer *running; /* [a] whose callback runs now; written under the lock */
    /* Own CPU, interrupts off: */
    ktime_t programmed; /* what the event timer was asked for last; KTIME_MAX: nothing */
    ktime_t held_until; /* where there is no preemption, until then, */
    unsigned between;   /* no more than so many are served */
};

DEFINE_PER_CPU(struct timer_queue, timer_queue);
DEFINE_PER_CPU(bool, timers_held); /* own CPU, interrupts off */

void timer_init(struct timer *timer, timer_fn *fn)
{
    timer->fn = fn;
    timer->cpu = 0;
    timer->armed = false;
}

/* Lock the queue that the timer belongs to. Interrupts are off. */
static struct timer_queue *timer_lock_queue(struct timer *timer)
{
    for (;;) {
        uint32_t cpu = atomic_load_relaxed(&timer->cpu);
        struct timer_queue *queue = per_cpu_ptr(timer_queue, cpu);
        spin_lock(&queue->lock);
        if (likely(timer->cpu == cpu)) {
            return queue;
        }
        spin_unlock(&queue->lock);
    }
}

static void queue_insert_locked(struct timer_queue *queue, struct timer *timer)
{
    struct rb_node **link = &queue->root.node, *parent = NULL;
    bool leftmost = true;

    while (*link != NULL) {
        parent = *link;
        /* Equal deadlines: first armed, first served. */
        if (timer->deadline < rb_entry(parent, struct timer, node)->deadline) {
            link = &parent->left;
        } else {
            link = &parent->right;
            leftmost = false;
        }
    }
    rb_insert(&queue->root, &timer->node, parent, link);
    if (leftmost) {
        queue->first = timer;
    }
    atomic_store_relaxed(&timer->armed, true);
}

static void queue_remove_locked(struct timer_queue *queue, struct timer *timer)
{
    if (queue->first == timer) {
        struct rb_node *next = rb_next(&timer->node);
        queue->first = next == NULL ? NULL : rb_entry(next, struct timer, node);
    }
    rb_remove(&queue->root, &timer->node);
    /* Pairs with the acquire in timer_cancel_sync: who sees it not armed sees `running` too. */
    atomic_store_release(&timer->armed, false);
}

/* Ask the hardware for `deadline` unless it fires earlier anyway. Own queue, interrupts off. */
static void queue_program(struct timer_queue *queue, ktime_t deadline)
{
    if (deadline < queue->programmed) {
        queue->programmed = deadline;
        clock_event_program(deadline);
    }
}

void timer_arm_range(struct timer *timer, ktime_t earliest, ktime_t deadline)
{
    uint64_t flags = irq_save();
    uint32_t cpu = cpu_id();
    struct timer_queue *queue = timer_lock_queue(timer);

    for (;;) {
        if (timer->armed) {
            queue_remove_locked(queue, timer);
        }
        if (likely(timer->cpu == cpu) || atomic_load_relaxed(&queue->running) == timer) {
            break;
        }
        atomic_store_relaxed(&timer->cpu, cpu);
        spin_unlock(&queue->lock);
        queue = timer_lock_queue(timer);
    }
    atomic_store_relaxed(&timer->deadline, deadline);
    timer->earliest = earliest;
    queue_insert_locked(queue, timer);
    /* Another CPU, which runs the callback, looks at its first timer after that. */
    if (queue->first == timer && likely(timer->cpu == cpu)) {
        queue_program(queue, deadline);
    }
    spin_unlock_irqrestore(&queue->lock, flags);
}

bool timer_cancel(struct timer *timer)
{
    if (!timer_is_armed(timer)) {
        return false;
    }
    uint64_t flags = irq_save();
    struct timer_queue *queue = timer_lock_queue(timer);
    bool was_armed = timer->armed;
    if (was_armed) {
        queue_remove_locked(queue, timer);
    }
    spin_unlock_irqrestore(&queue->lock, flags);
    return was_armed;
}

bool timer_cancel_sync(struct timer *timer)
{
    for (;;) {
        bool was_armed = atomic_load_acquire(&timer->armed) && timer_cancel(timer);
        struct timer_queue *queue = per_cpu_ptr(timer_queue, atomic_load_relaxed(&timer->cpu));
        if (likely(atomic_load_acquire(&queue->running) != timer)) {
            return was_armed;
        }
        /* The callback may arm the timer again: look once more after it. */
        while (atomic_load_acquire(&queue->running) == timer) {
            cpu_relax();
        }
    }
}

ktime_t timer_next_deadline(void)
{
    struct timer_queue *queue = this_cpu_ptr(timer_queue);

    spin_lock(&queue->lock);
    ktime_t deadline = queue->first == NULL ? KTIME_MAX : queue->first->deadline;
    spin_unlock(&queue->lock);
    return deadline;
}

/*
 * Those with slack go with an interrupt that comes for another one's sake, as far as they stand at the front of the tree: whoever may
 * not fire yet hides those behind it, whose deadlines are later still.
 *
 * The time is read once: a callback that arms its timer for a time that has come meanwhile is served by the next
 * interrupt, so no callback can keep this loop from ending.
 */
void machine_timer_interrupt(void)
{
    struct timer_queue *queue = this_cpu_ptr(timer_queue);
    const bool hold = (preempt_count() & (PREEMPT_DEPTH_MASK | PREEMPT_SOFTIRQ)) != 0;
    ktime_t soonest = 0;
    ktime_t now = clock_monotonic_ns();

    if (!hold || now >= queue->held_until) {
        queue->held_until = hold ? now + HELD_NS : 0;
        queue->between = TIMERS_BETWEEN;
    }
    unsigned left = hold ? queue->between : TIMERS_AT_ONCE;
    spin_lock(&queue->lock);
    queue->programmed = KTIME_MAX;
    while (left > 0 && queue->first != NULL && queue->first->earliest <= now) {
        struct timer *timer = queue->first;
        timer_fn *fn = timer->fn;
        atomic_store_relaxed(&queue->running, timer);
        queue_remove_locked(queue, timer);
        spin_unlock(&queue->lock);
        fn(timer);
        spin_lock(&queue->lock);
        atomic_store_release(&queue->running, NULL);
        left--;
    }
    if (hold) {
        queue->between = left;
        if (left == 0) {
            *this_cpu_ptr(timers_held) = true;
            preempt_set_need_resched();
            soonest = queue->held_until;
        }
    }
    if (queue->first != NULL) {
        bool at_once = left == 0 && queue->first->earliest <= now;
        queue_program(queue, MAX(at_once ? now : queue->first->deadline, soonest));
    }
    spin_unlock(&queue->lock);
}

void timers_go_on(void)
{
    *this_cpu_ptr(timers_held) = false;
    this_cpu_ptr(timer_queue)->held_until = 0;
    queue_program(this_cpu_ptr(timer_queue), 0);
}

/* ---- a CPU that leaves ---- */

static void program_first(void *arg)
{
    struct timer_queue *queue = this_cpu_ptr(timer_queue);

    (void)arg;
    spin_lock(&queue->lock);
    if (queue->first != NULL) {
        queue_program(queue, queue->first->deadline);
    }
    spin_unlock(&queue->lock);
}

/* A timer is armed all the while, so it moves with both queues locked. The second lock is unknown to the lock checker: the smaller number is first. */
static void queues_lock(struct timer_queue *from, struct timer_queue *to, bool from_first)
{
    spin_lock(from_first ? &from->lock : &to->lock);
    spin_lock_raw_(from_first ? &to->lock : &from->lock);
}

static void queues_unlock(struct timer_queue *from, struct timer_queue *to, bool from_first)
{
    spin_unlock_raw_(from_first ? &to->lock : &from->lock);
    spin_unlock(from_first ? &from->lock : &to->lock);
}

void timers_cpu_offline(unsigned id)
{
    unsigned other = cpumask_next(cpus_online(), id);

    other = other == MAX_CPUS ? cpumask_first(cpus_online()) : other;
    struct timer_queue *from = per_cpu_ptr(timer_queue, id), *to = per_cpu_ptr(timer_queue, other);
    queues_lock(from, to, id < other);
    while (from->first != NULL) {
        struct timer *timer = from->first;
        struct rb_node *next = rb_next(&timer->node);
        rb_remove(&from->root, &timer->node);
        from->first = next == NULL ? NULL : rb_entry(next, struct timer, node);
        atomic_store_relaxed(&timer->cpu, other);
        queue_insert_locked(to, timer);
    }
    queues_unlock(from, to, id < other);
    from->programmed = KTIME_MAX;
    (void)smp_call_one(other, program_first, NULL, false);
}

void timers_init(void)
{
    unsigned id;

    for_each_cpu (id) {
        struct timer_queue *queue = per_cpu_ptr(timer_queue, id);
        spin_init(&queue->lock, "timer queue");
        queue->root.node = NULL;
        queue->first = NULL;
        queue->running = NULL;
        queue->programmed = KTIME_MAX;
    }
}
