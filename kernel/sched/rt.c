/*
 * The real-time class: FIFO and round robin (POSIX 2.8.4 "Process Scheduling", sched(7)). The highest priority runs; equals in
 * the order in which they came, a round-robin thread for a slice at a time. Who is preempted stays the first of its equals.
 *
 * A bitmap of the priorities with waiting threads, and a list for each: choosing is O(1).
 *
 * So that a real-time thread gone wild can be stopped, the class has the CPU for at most sched_rt_runtime_us of each
 * sched_rt_period_us while threads of lower classes wait; an idle CPU is never kept from it.
 *
 * Locking: all under the run queue's lock; the tunables are read without.
 */
#include <linux/sched.h>

#include "kernel/sched/runqueue.h"

struct sched_tunables sched_tunables = {
    .rt_period_us = 1000000,
    .rt_runtime_us = 950000,
    .rr_slice_ms = SCHED_RR_MS,
    .dl_period_min_us = 100,
    .dl_period_max_us = 1u << 22,
};

void rt_queue_init(struct rt_queue *queue)
{
    *queue = (struct rt_queue){0};
    for (unsigned i = 0; i < RT_PRIOS; i++) {
        list_init(&queue->list[i]);
    }
}

ktime_t sched_rr_slice_ns(void)
{
    return (ktime_t)READ_ONCE(sched_tunables.rr_slice_ms) * NS_PER_MS;
}

static inline ktime_t share_period(void)
{
    return (ktime_t)READ_ONCE(sched_tunables.rt_period_us) * NS_PER_US;
}

/* KTIME_MAX: no limit. */
static inline ktime_t share_runtime(void)
{
    int32_t us = READ_ONCE(sched_tunables.rt_runtime_us);

    return us < 0 ? KTIME_MAX : (ktime_t)us * NS_PER_US;
}

static unsigned first_prio(const struct rt_queue *queue)
{
    return queue->bitmap[0] != 0 ? (unsigned)__builtin_ctzll(queue->bitmap[0])
                                 : 64 + (unsigned)__builtin_ctzll(queue->bitmap[1]);
}

static void insert(struct runqueue *rq, struct thread *thread, bool at_tail)
{
    struct rt_queue *queue = &rq->rt;
    unsigned prio = (unsigned)thread->prio;

    if (at_tail) {
        list_push_back(&queue->list[prio], &thread->rt.node);
    } else {
        list_push_front(&queue->list[prio], &thread->rt.node);
    }
    queue->bitmap[prio / 64] |= BIT(prio % 64);
    runqueue_add(rq, thread, &queue->n);
    if (sched_several && queue->n == 1) {
        balance_overloaded(rq->cpu, true);
    }
}

static void take(struct runqueue *rq, struct thread *thread)
{
    struct rt_queue *queue = &rq->rt;
    unsigned prio = (unsigned)thread->prio;

    list_remove(&thread->rt.node);
    if (list_empty(&queue->list[prio])) {
        queue->bitmap[prio / 64] &= ~BIT(prio % 64);
    }
    runqueue_sub(rq, thread, &queue->n);
    if (sched_several && queue->n == 0 && rq->deadline.n == 0) {
        balance_overloaded(rq->cpu, false);
    }
}

/* A new period begins when the old one is over. */
static void share_renew(struct rt_queue *queue, ktime_t now)
{
    if (now - queue->period_start >= share_period()) {
        queue->period_start = now;
        queue->used = 0;
        queue->throttled = false;
    }
}

ktime_t rt_share_due(struct runqueue *rq, ktime_t now)
{
    if (!rq->rt.throttled) {
        return KTIME_MAX;
    }
    return MAX(rq->rt.period_start + share_period() - now, 0);
}

/* ---- the class ---- */

static void rt_resume(struct runqueue *rq, struct thread *current, enum join_kind kind, ktime_t now)
{
    (void)rq, (void)now;
    if (kind == JOIN_NEW) {
        current->rt.slice_left = sched_rr_slice_ns();
        current->rt.to_tail = false;
    }
}

/* Of its new equals, who was lowered comes first (sched(7), "SCHED_FIFO"). */
static void rt_join(struct runqueue *rq, struct thread *thread, enum join_kind kind, ktime_t now)
{
    (void)now;
    if (kind == JOIN_NEW || kind == JOIN_WAKE ||
        unlikely(thread->rt.slice_left <= 0)) { /* or it came to the class on its way here */
        thread->rt.slice_left = sched_rr_slice_ns();
        thread->rt.ran = 0;
    }
    thread->rt.to_tail = false;
    insert(rq, thread, kind != JOIN_LOWERED);
}

static void rt_leave(struct runqueue *rq, struct thread *thread, bool running)
{
    if (!running) {
        take(rq, thread);
    }
}

static void rt_put_prev(struct runqueue *rq, struct thread *prev, ktime_t now)
{
    (void)now;
    insert(rq, prev, prev->rt.to_tail);
    prev->rt.to_tail = false;
}

static struct thread *rt_pick(struct runqueue *rq, struct thread *prev, bool yield, ktime_t now)
{
    struct rt_queue *queue = &rq->rt;

    share_renew(queue, now);
    if (queue->throttled && (rq->wanted & BIT(RANK_FAIR)) != 0) {
        return NULL;
    }
    if (queue->n == 0) {
        return prev;
    }
    int prio = (int)first_prio(queue);
    if (prev != NULL) {
        bool last = yield || prev->rt.to_tail;
        if (prio > prev->prio || (prio == prev->prio && !last)) {
            return prev;
        }
        prev->rt.to_tail = last;
    }
    struct thread *best = list_entry(queue->list[prio].next, struct thread, rt.node);
    take(rq, best);
    return best;
}

static void rt_charge(struct runqueue *rq, struct thread *current, uint64_t delta, ktime_t now)
{
    struct rt_queue *queue = &rq->rt;

    share_renew(queue, now);
    queue->used += MIN((ktime_t)delta, now - queue->period_start); /* of this period */
    current->rt.ran += (ktime_t)delta;
    if (queue->used >= share_runtime() && !queue->throttled) {
        queue->throttled = true;
    }
    if (current->policy == SCHED_RR) {
        current->rt.slice_left -= (ktime_t)delta;
        if (current->rt.slice_left <= 0) {
            current->rt.slice_left = sched_rr_slice_ns();
            current->rt.to_tail = true;
        }
    }
}

static bool rt_preempts(struct runqueue *rq, const struct thread *current,
                        const struct thread *woken)
{
    (void)rq;
    return woken->prio < current->prio;
}

static ktime_t rt_turn_left(struct runqueue *rq, const struct thread *current, ktime_t now)
{
    ktime_t left = KTIME_MAX, runtime = share_runtime();

    (void)now;
    if (current->policy == SCHED_RR && !list_empty(&rq->rt.list[current->prio])) {
        left = current->rt.to_tail ? 0 : current->rt.slice_left;
    }
    if (runtime != KTIME_MAX && (rq->waiting & BIT(RANK_FAIR)) != 0) {
        left = MIN(left, runtime - rq->rt.used);
    }
    return left;
}

const struct sched_class rt_class = {
    .name = "rt",
    .rank = RANK_RT,
    .join = rt_join,
    .leave = rt_leave,
    .resume = rt_resume,
    .pick = rt_pick,
    .put_prev = rt_put_prev,
    .charge = rt_charge,
    .preempts = rt_preempts,
    .turn_left = rt_turn_left,
};
