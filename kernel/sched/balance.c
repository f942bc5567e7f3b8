/*
 * Moving threads that wait for one CPU to another.
 *
 * A CPU about to go idle looks at its neighbours first, the nearest before the others, and pulls a thread that waits there. A busy CPU
 * compares its load with the others' in each of its domains from time to time, more and more seldom while nothing is out of balance, and pulls
 * its share of the difference; one that has more than it can run and sees idle CPUs kicks them, so that they come and pull. Where the threads do
 * not come out even, one more here than there, the odd one goes round now and then, so that all of them get as much. A core that runs
 * two threads while another is idle gives one of them away.
 *
 * A thread that ran a moment ago has its data in its CPU's caches, which the CPUs of a far domain would have to fetch: it stays, for as long as
 * that is worth. One that has just begun to wait stays too: it may have been woken for this CPU. Real-time and deadline threads are not
 * shared out by load: the best ones of all run. Whoever stops running one, or goes on with one that has become worse, looks for a better one that
 * waits elsewhere; whoever has one that waits pushes it to a CPU that does something less important.
 *
 * The tick only finds out that it is time; the looking around is a softirq, with interrupts on but for each pull by itself.
 *
 * Locking: two run queues, in the order of their CPUs' numbers. Interrupts off. Looks without a lock choose, looks with both decide.
 */
#include "kernel/core/softirq.h"
#include "kernel/sched/runqueue.h"

#define WAITED_NS     (50 * NS_PER_US)  /* one that waits for less stays */
#define IDLE_WORTH_NS (20 * NS_PER_US)  /* who is idle for less at a time does not look around */
#define ROTATE_NS     (100 * NS_PER_MS) /* between two threads that go round */
#define LOOK_MAX      16                /* CPUs a newly idle one looks at */
#define PULL_MAX      8     /* threads at a time, so that locks are held for a bounded time */
#define KICK_MAX      4     /* idle CPUs at a time */
#define INTERVAL_GROW 16    /* times the shortest interval: the longest */
#define WHOLE         1024u /* of a CPU's time */
#define LOAD_OF_ONE   1024u /* thread of nice 0 */
#define SPREAD_TICKS  8     /* between two looks for an idle core */

/* What it costs to fetch what a thread has in its caches, by what the two CPUs share. */
static const ktime_t hot_ns[DOMAIN_LEVELS] = {
    [DOMAIN_CORE] = 0,
    [DOMAIN_CACHE] = 100 * NS_PER_US,
    [DOMAIN_PACKAGE] = 300 * NS_PER_US,
    [DOMAIN_NODE] = 500 * NS_PER_US,
    [DOMAIN_ALL] = 2 * NS_PER_MS,
};

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

bool balance_any_overloaded(void)
{
    return !cpumask_empty(&overloaded);
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
    runqueue_release(a);
    runqueue_release(b);
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
    thread->exec_start = now; /* it is on its way to a new home, and not sent on at once */
    to->pulls++;
}

static inline bool is_hot(const struct thread *thread, unsigned level, ktime_t now)
{
    return now - thread->exec_start < hot_ns[level] || now - thread->queued_since < WAITED_NS;
}

/* ---- fair threads ---- */

/* An idle CPU takes no ticks, and knows only what it had to do before. */
static inline uint64_t load_of(const struct runqueue *rq)
{
    return runqueue_is_idle(rq) ? 0 : atomic_load_relaxed(&rq->load_average);
}

/*
 * The load of fair threads on a CPU that leaves them only a part of its time: each of them is as badly off there as among so many more. So that
 * a CPU without fair threads, but without time for any, attracts none, the load is that of one more, less that one.
 */
static uint64_t load_of_part(uint64_t load, uint32_t taken)
{
    /* The throttle of real-time threads leaves a twentieth. */
    uint32_t left = MAX(WHOLE - taken, WHOLE / 20);

    return (load + LOAD_OF_ONE) * WHOLE / left - LOAD_OF_ONE;
}

/*
 * Move waiting fair threads of up to `weight` in all, those with the latest deadlines first, `max` at most. Both locked. How many went.
 */
static unsigned pull_fair_locked(struct runqueue *to, struct runqueue *from, unsigned level,
                                 uint64_t weight, unsigned max)
{
    ktime_t now = ktime_now();
    struct rb_node *node = from->fair.n == 0 ? NULL : rb_last(&from->fair.tree);
    unsigned moved = 0;

    for (unsigned looked = 0; node != NULL && moved < max && looked < 4 * PULL_MAX; looked++) {
        struct thread *thread = rb_entry(node, struct thread, fair.node);
        node = rb_prev(node);
        if (thread->fair.weight <= weight && thread_may_run_on(thread, to->cpu) &&
            !is_hot(thread, level, now)) {
            weight -= thread->fair.weight;
            move_locked(from, to, thread, now);
            moved++;
        }
    }
    return moved;
}

/* The same with two queues that are not locked, counted for the domain. */
static unsigned pull_fair(struct runqueue *to, struct runqueue *from, unsigned level,
                          enum balance_kind kind, uint64_t weight, unsigned max)
{
    struct balance_stats *stats = &to->domain[level].stats.balance[kind];
    unsigned moved = 0;

    lock_two(to, from);
    if (to->online) {
        moved = pull_fair_locked(to, from, level, weight, max);
    }
    unlock_two(to, from);
    stats->gained += moved;
    stats->failed += moved == 0;
    return moved;
}

/* Fetch one thread that waits in the ring of CPUs that this level adds to those below. */
static bool pull_from_level(struct runqueue *rq, unsigned level, enum balance_kind kind,
                            unsigned *looked)
{
    const struct sched_domain *domain = &rq->domain[level];
    struct balance_stats *stats = &rq->domain[level].stats.balance[kind];
    struct cpumask ring = domain->span;
    bool waits = false;

    if (level > 0) {
        (void)cpumask_andnot(&ring, &ring, &domain[-1].span);
    }
    stats->looks++;
    unsigned id = cpumask_next(&ring, rq->cpu + 1);
    id = id == MAX_CPUS ? cpumask_first(&ring) : id;
    for (unsigned first = id; id != MAX_CPUS && *looked < LOOK_MAX; ++*looked) {
        struct runqueue *from = per_cpu_ptr(runqueue, id);
        if (from != rq && atomic_load_relaxed(&from->fair.n) > 0) {
            waits = true;
            if (pull_fair(rq, from, level, kind, UINT64_MAX, 1) > 0) {
                return true;
            }
        }
        id = cpumask_next(&ring, id + 1);
        id = id == MAX_CPUS ? cpumask_first(&ring) : id;
        if (id == first) {
            break;
        }
    }
    stats->balanced += !waits;
    stats->no_busy_queue += !waits;
    return false;
}

/* Fetch one thread that waits near by. True: there is something to run now. */
static bool pull_for_idle(struct runqueue *rq, enum balance_kind kind)
{
    unsigned looked = 0, level;

    for_each_domain(level, rq->domain)
    {
        if (pull_from_level(rq, level, kind, &looked)) {
            return true;
        }
    }
    return atomic_load_relaxed(&rq->nqueued) > 0;
}

void balance_kicked(struct runqueue *rq)
{
    if (!atomic_load_relaxed(&rq->kicked)) {
        return;
    }
    atomic_store_relaxed(&rq->kicked, false);
    if (rq->current == rq->idle && atomic_load_relaxed(&rq->nqueued) == 0) {
        (void)pull_for_idle(rq, BALANCE_IDLE);
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

/* The best that the queue has but for its running thread. */
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

/* This CPU runs something worse than such a thread now, or (`sleeps`) is about to: is there one that waits elsewhere? */
static void pull_real_time(struct runqueue *rq, bool sleeps)
{
    unsigned id;

    for_each_cpu_in (id, &overloaded) {
        struct runqueue *from = per_cpu_ptr(runqueue, id);
        if (from == rq) {
            continue;
        }
        lock_two(rq, from);
        int prio = MIN(best_prio_locked(rq), sleeps ? PRIO_IDLE : (int)rq->current_prio);
        struct thread *thread = rq->online ? best_waiting_locked(from, rq, prio) : NULL;
        if (thread != NULL) {
            move_locked(from, rq, thread, ktime_now());
        }
        unlock_two(rq, from);
    }
}

void balance_pull(struct runqueue *rq)
{
    pull_real_time(rq, false);
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
    if (unlikely(current->prio < PRIO_FAIR) && balance_any_overloaded()) {
        pull_real_time(rq, true);
    }
    placement_note_sleep(current);
    if (atomic_load_relaxed(&rq->nqueued) == 0 && rq->idle_average >= IDLE_WORTH_NS) {
        (void)pull_for_idle(rq, BALANCE_NEWLY_IDLE);
    }
}

static struct runqueue *busiest_of(const struct runqueue *rq, const struct cpumask *span,
                                   uint64_t own, uint64_t *ret_most)
{
    struct runqueue *busiest = NULL;
    uint64_t most = own + own / 4;
    unsigned id;

    for_each_cpu_in (id, span) {
        struct runqueue *other = per_cpu_ptr(runqueue, id);
        if (other != rq && atomic_load_relaxed(&other->fair.n) > 0 && load_of(other) > most) {
            busiest = other;
            most = load_of(other);
        }
    }
    *ret_most = most;
    return busiest;
}

/*
 * Pull half of the difference from the CPU of the domain that has most to do; if all that wait there are more than that, the odd one takes its
 * turn here once in a while. True: nothing was out of balance.
 */
static bool balance_domain(struct runqueue *rq, unsigned level, ktime_t now)
{
    struct sched_domain *domain = &rq->domain[level];
    struct balance_stats *stats = &domain->stats.balance[BALANCE_BUSY];
    uint64_t own = load_of(rq), most;
    struct runqueue *busiest = busiest_of(rq, &domain->span, own, &most);

    stats->looks++;
    if (busiest == NULL) {
        stats->balanced++;
        stats->no_busy_queue++;
        return true;
    }
    stats->imbalance += most - own;
    uint64_t flags = irq_save();
    if (pull_fair(rq, busiest, level, BALANCE_BUSY, (most - own) / 2, PULL_MAX) == 0 &&
        now - domain->rotated >= ROTATE_NS * (ktime_t)(level + 1)) {
        domain->rotated = now;
        (void)pull_fair(rq, busiest, level, BALANCE_BUSY, (most - own) * 9 / 8, 1);
    }
    irq_restore(flags);
    return false;
}

static void balance_domains(struct runqueue *rq)
{
    ktime_t now = ktime_now();
    unsigned level;

    for_each_domain(level, rq->domain)
    {
        struct sched_domain *domain = &rq->domain[level];
        if (rq->nticks < domain->next) {
            continue;
        }
        uint32_t shortest = domain_interval_min(domain);
        domain->interval = balance_domain(rq, level, now)
                               ? MIN(MAX(domain->interval, shortest) * 2, INTERVAL_GROW * shortest)
                               : shortest;
        /* The CPU's number keeps them from looking all at once. */
        domain->next = rq->nticks + domain->interval + rq->cpu % shortest;
    }
}

/* A fair thread that waits here and might run elsewhere; a few are looked at. Locked. */
static struct thread *movable_locked(struct runqueue *rq)
{
    struct rb_node *node = rq->fair.n == 0 ? NULL : rb_last(&rq->fair.tree);

    for (unsigned looked = 0; node != NULL && looked < PULL_MAX; looked++, node = rb_prev(node)) {
        struct thread *thread = rb_entry(node, struct thread, fair.node);
        if (cpumask_weight(&thread->cpu_mask) > 1) {
            return thread;
        }
    }
    return NULL;
}

/* More wait here than one can run: idle CPUs that would take some are told. */
static void kick_idle_cpus(struct runqueue *rq)
{
    struct cpumask kicked = CPUMASK_NONE;
    unsigned near = rq->cpu, id;

    runqueue_lock(rq);
    struct thread *thread = movable_locked(rq);
    for (unsigned n = thread == NULL ? 0 : MIN(rq->fair.n, KICK_MAX); n > 0; n--, near = id) {
        id = find_idle_cpu(thread, near);
        if (id == MAX_CPUS ||
            __atomic_exchange_n(&per_cpu_ptr(runqueue, id)->kicked, true, __ATOMIC_SEQ_CST)) {
            break;
        }
        cpumask_set(&kicked, id);
    }
    runqueue_unlock(rq);
    for_each_cpu_in (id, &kicked) {
        smp_send_reschedule(id);
    }
}

/* A sibling of this core is busy too, and a core in the same package has nothing to do: the running thread goes there. */
static void spread_to_idle_core(struct runqueue *rq)
{
    struct sched_domain *core = &rq->domain[DOMAIN_CORE];
    struct thread *current = rq->current;
    unsigned id = cpumask_first(&core->span);

    for (; id < rq->cpu && runqueue_is_idle(per_cpu_ptr(runqueue, id));
         id = cpumask_next(&core->span, id + 1)) {
    }
    if (id >= rq->cpu || current->class != &fair_class) {
        return; /* of several busy siblings all but the first go */
    }
    unsigned target = find_idle_cpu(current, rq->cpu);
    if (target == MAX_CPUS || !cpumask_test(&rq->domain[DOMAIN_PACKAGE].span, target) ||
        !cpumask_covers(&sched_idle, &per_cpu_ptr(runqueue, target)->domain[DOMAIN_CORE].span)) {
        return;
    }
    core->stats.push_tries++;
    runqueue_lock(rq);
    rq->give_to = target;
    runqueue_resched_locked(rq);
    runqueue_unlock(rq);
}

static bool spread_is_due(const struct runqueue *rq)
{
    return rq->domain[DOMAIN_CORE].size > 1 && rq->nticks % SPREAD_TICKS == 0;
}

static bool domain_is_due(const struct runqueue *rq)
{
    unsigned level;

    for_each_domain(level, rq->domain)
    {
        if (rq->nticks >= rq->domain[level].next) {
            return true;
        }
    }
    return false;
}

static bool balance_softirq(void)
{
    struct runqueue *rq = this_cpu_ptr(runqueue);
    uint64_t flags = irq_save();

    if (rq->nqueued > 0) {
        kick_idle_cpus(rq);
    } else if (spread_is_due(rq)) {
        spread_to_idle_core(rq);
    }
    irq_restore(flags);
    balance_domains(rq);
    return false;
}

void balance_init(void)
{
    softirq_open(SOFTIRQ_SCHED, balance_softirq);
}

void balance_tick(struct runqueue *rq)
{
    uint64_t load = atomic_load_relaxed(&rq->fair.sum_weight);
    uint32_t better = 0;

    if (rq->current->class == &fair_class) {
        load += rq->current->fair.weight;
    } else if (rq->current != rq->idle) {
        better = WHOLE;
    }
    rq->better_average = (rq->better_average * 3 + better) / 4;
    if (rq->better_average > 0) {
        load = load_of_part(load, rq->better_average);
    }
    atomic_store_relaxed(&rq->load_average, (rq->load_average * 3 + load) / 4);
    rq->nticks++;
    if (rq->nqueued > 0) {
        tickless_call_help();
    }
    if (rq->nqueued > 0 || spread_is_due(rq) || domain_is_due(rq)) {
        softirq_raise(SOFTIRQ_SCHED);
    }
}
