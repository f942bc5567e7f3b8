/*
 * Moving threads that wait for one CPU to another.
 *
 * A CPU about to go idle looks at its neighbours first and pulls a thread that waits there. A busy CPU compares its load with the
 * others of each domain from time to time and pulls its share of the difference; one that has more than it can run and sees an idle
 * CPU kicks that one, so that it comes and pulls. Real-time and deadline threads are not shared out by load: the best ones of
 * all run. Whoever stops running one looks for another that waits elsewhere; whoever has one that waits pushes it to a
 * CPU that does something less important.
 *
 * Threads that have just begun to wait stay: they were woken for this CPU, or have their data in its caches.
 *
 * Locking: two run queues, in the order of their CPUs' numbers. Interrupts off. Looks without a lock choose, looks with both decide.
 */
#include "kernel/sched/runqueue.h"

#define HOT_NS        (200 * NS_PER_US) /* one that waits for less stays */
#define IDLE_WORTH_NS (20 * NS_PER_US)  /* who is idle for less at a time does not look around */
#define LOOK_MAX      16                /* CPUs a newly idle one looks at */
#define PULL_MAX      8 /* threads at a time, so that locks are held for a bounded time */

/* CPUs with waiting real-time or deadline threads. */
static struct cpumask overloaded; /* [a] */

void balance_overloaded(unsigned cpu, bool is)
{
    if (is) {
        (void)cpumask_set_atomic(&overloaded, cpu);
    } else {
        (void)cpumask_clear_atomic(&overloaded, cpu);
    }
}

/* ---- two queues ---- */

static void lock_two(struct runqueue *a, struct runqueue *b)
{
    preempt_disable();
    spin_lock_raw_(a->cpu < b->cpu ? &a->lock : &b->lock);
    spin_lock_raw_(a->cpu < b->cpu ? &b->lock : &a->lock);
}

static void unlock_two(struct runqueue *a, struct runqueue *b)
{
    spin_unlock_raw_(&a->lock);
    spin_unlock_raw_(&b->lock);
    preempt_enable_no_resched();
}

/* Both locked; the thread waits at `from`, and may run at `to`. */
static void move_locked(struct runqueue *from, struct runqueue *to, struct thread *thread,
                        ktime_t now)
{
    ktime_t since = thread->queued_since;

    if (from->current != from->idle) {
        runqueue_update_current_locked(from, now);
    }
    thread->class->leave(from, thread, false);
    psi_switched_locked(from, now);
    atomic_store_relaxed(&thread->cpu, to->cpu);
    runqueue_join_locked(to, thread, JOIN_MOVE);
    thread->queued_since = since;
    to->pulls++;
}

static bool may_move(const struct thread *thread, const struct runqueue *to, ktime_t now)
{
    return thread_may_run_on(thread, to->cpu) && now - thread->queued_since >= HOT_NS;
}

/* ---- fair threads ---- */

static inline uint64_t load_of(const struct runqueue *rq)
{
    return atomic_load_relaxed(&rq->load_average);
}

/* Move waiting fair threads of up to `weight` in all, those with the latest deadlines first. Both locked. How many went. */
static unsigned pull_fair_locked(struct runqueue *to, struct runqueue *from, uint64_t weight,
                                 unsigned max)
{
    ktime_t now = ktime_now();
    struct rb_node *node = from->fair.n == 0 ? NULL : rb_last(&from->fair.tree);
    unsigned moved = 0;

    for (unsigned looked = 0; node != NULL && moved < max && looked < 4 * PULL_MAX; looked++) {
        struct thread *thread = rb_entry(node, struct thread, fair.node);
        node = rb_prev(node);
        if (thread->fair.weight <= weight && may_move(thread, to, now)) {
            weight -= thread->fair.weight;
            move_locked(from, to, thread, now);
            moved++;
        }
    }
    return moved;
}

/* Fetch one thread that waits near by. True: there is something to run now. */
static bool pull_for_idle(struct runqueue *rq)
{
    unsigned looked = 0, id;

    for (unsigned level = 0; level < rq->ndomains; level++) {
        const struct cpumask *domain = &rq->domain[level];
        for (id = cpumask_next(domain, rq->cpu + 1); looked < LOOK_MAX; looked++) {
            id = id == MAX_CPUS ? cpumask_first(domain) : id;
            struct runqueue *from = per_cpu_ptr(runqueue, id);
            if (from == rq) {
                break;
            }
            if (atomic_load_relaxed(&from->fair.n) > 0) {
                lock_two(rq, from);
                bool pulled = rq->online && pull_fair_locked(rq, from, UINT64_MAX, 1) > 0;
                unlock_two(rq, from);
                if (pulled) {
                    return true;
                }
            }
            id = cpumask_next(domain, id + 1);
        }
    }
    return atomic_load_relaxed(&rq->nqueued) > 0;
}

void balance_kicked(struct runqueue *rq)
{
    if (atomic_load_relaxed(&rq->kicked)) {
        atomic_store_relaxed(&rq->kicked, false);
        (void)pull_for_idle(rq);
    }
}

/* ---- real-time and deadline threads ---- */

/* The best one that waits at `from`, is better than `prio`, and may run at `to`. Locked. */
static struct thread *best_waiting_locked(struct runqueue *from, const struct runqueue *to,
                                          int prio)
{
    struct thread *thread;

    for (struct rb_node *node = rb_first(&from->deadline.tree); node != NULL;
         node = rb_next(node)) {
        thread = rb_entry(node, struct thread, dl.node);
        if (prio > PRIO_DEADLINE && thread_may_run_on(thread, to->cpu)) {
            return thread;
        }
    }
    for (unsigned i = 0; from->rt.n > 0 && i < RT_PRIOS && (int)i < prio; i++) {
        list_for_each (thread, &from->rt.list[i], rt.node) {
            if (thread_may_run_on(thread, to->cpu)) {
                return thread;
            }
        }
    }
    return NULL;
}

/* The best that the queue has but for its running thread, which is about to sleep. */
static int best_prio_locked(const struct runqueue *rq)
{
    if ((rq->waiting & (BIT(RANK_STOP) | BIT(RANK_DEADLINE))) != 0) {
        return PRIO_DEADLINE;
    }
    if ((rq->waiting & BIT(RANK_RT)) == 0) {
        return PRIO_FAIR;
    }
    return rq->rt.bitmap[0] != 0 ? __builtin_ctzll(rq->rt.bitmap[0])
                                 : 64 + __builtin_ctzll(rq->rt.bitmap[1]);
}

/* This CPU stops running such a thread: is there another one that waits elsewhere? */
static void pull_real_time(struct runqueue *rq)
{
    unsigned id;

    for_each_cpu_in (id, &overloaded) {
        struct runqueue *from = per_cpu_ptr(runqueue, id);
        if (from == rq) {
            continue;
        }
        lock_two(rq, from);
        struct thread *thread =
            rq->online ? best_waiting_locked(from, rq, best_prio_locked(rq)) : NULL;
        if (thread != NULL) {
            move_locked(from, rq, thread, ktime_now());
        }
        unlock_two(rq, from);
    }
}

/* One waits here that came off the CPU: take it where less important things are done. */
void balance_push(struct runqueue *rq)
{
    unsigned id;

    for_each_online_cpu (id) {
        struct runqueue *to = per_cpu_ptr(runqueue, id);
        if (to == rq || atomic_load_relaxed(&to->current_prio) < PRIO_FAIR) {
            continue;
        }
        lock_two(rq, to);
        struct thread *thread = to->online ? best_waiting_locked(rq, to, to->current_prio) : NULL;
        if (thread != NULL) {
            move_locked(rq, to, thread, ktime_now());
        }
        unlock_two(rq, to);
        if (thread != NULL) {
            return;
        }
    }
}

/* ---- when it is done ---- */

/* The running thread may be about to sleep, and leave nothing to run. */
void balance_before_sleep(struct runqueue *rq)
{
    struct thread *current = rq->current;

    if (current == rq->idle || atomic_load_relaxed(&current->state) == THREAD_RUNNABLE) {
        return;
    }
    if (unlikely(current->prio < PRIO_FAIR) && !cpumask_empty(&overloaded)) {
        pull_real_time(rq);
    }
    if (atomic_load_relaxed(&rq->nqueued) == 0 && rq->idle_average >= IDLE_WORTH_NS) {
        (void)pull_for_idle(rq);
    }
}

/* Pull half of the difference from the CPU of the domain that has most to do. */
static void balance_domain(struct runqueue *rq, const struct cpumask *domain)
{
    struct runqueue *busiest = NULL;
    uint64_t own = load_of(rq), most = own + own / 4;
    unsigned id;

    for_each_cpu_in (id, domain) {
        struct runqueue *other = per_cpu_ptr(runqueue, id);
        if (other != rq && atomic_load_relaxed(&other->fair.n) > 0 && load_of(other) > most) {
            busiest = other;
            most = load_of(other);
        }
    }
    if (busiest == NULL) {
        return;
    }
    lock_two(rq, busiest);
    if (rq->online) {
        (void)pull_fair_locked(rq, busiest, (most - own) / 2, PULL_MAX);
    }
    unlock_two(rq, busiest);
}

/* More wait here than one: is there an idle CPU that would take some? */
static void kick_idle_cpu(struct runqueue *rq)
{
    unsigned id = find_idle_cpu(NULL, rq->cpu);

    if (id != MAX_CPUS) {
        atomic_store_relaxed(&per_cpu_ptr(runqueue, id)->kicked, true);
        smp_send_reschedule(id);
    }
}

/* Larger domains are looked through more seldom, so that the cost of a tick stays the same. */
void balance_tick(struct runqueue *rq)
{
    uint64_t load = atomic_load_relaxed(&rq->fair.sum_weight);

    if (rq->current->class == &fair_class) {
        load += rq->current->fair.weight;
    }
    atomic_store_relaxed(&rq->load_average, (rq->load_average * 3 + load) / 4);
    if (rq->nqueued > 0) {
        kick_idle_cpu(rq);
    }
    uint64_t turn = rq->nticks++ + rq->cpu;
    for (unsigned level = 0; level < rq->ndomains; level++) {
        uint64_t interval = 4 + cpumask_weight(&rq->domain[level]) / 4;
        if (turn % interval == 0) {
            balance_domain(rq, &rq->domain[level]);
        }
    }
}
