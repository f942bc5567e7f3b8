/*
 * The fair class: earliest eligible virtual deadline first (Stoica and Abdel-Wahab, "Earliest Eligible Virtual Deadline First: A
 * Flexible and Accurate Mechanism for Proportional Share Resource Allocation", 1995).
 *
 * Each thread's virtual runtime is its CPU time divided by its weight. The average of the virtual runtimes of all who
 * want the CPU, weighted, is the virtual time V at which everybody has had exactly what is his. Who is at or before V has been
 * served too little, or just enough: he is eligible. Each asks for the CPU in requests of `slice` ns; the virtual deadline of a
 * request is where his virtual runtime will be when it has been served. Of the eligible ones the one with the earliest deadline
 * runs. So weights decide how much one gets, slices how soon and how often.
 *
 * Who has been given the CPU keeps it for half of its request, whoever of its equals is woken meanwhile: else those who wake each other
 * (the two ends of a pipe) would pass each message singly, at the cost of two switches. Shorter requests come at once.
 *
 * V - vruntime is the lag: what one is owed. It is kept when a thread leaves (it sleeps, it moves to another CPU) and restored when
 * it comes back, so that nobody gains by sleeping; it is bounded by two requests, so that nobody hoards.
 *
 * V is an offset from `base` of a sum over the tree, which changes in O(1) when a thread comes or goes; one division makes V of it.
 * The tree is ordered by deadline, each node knows the smallest virtual runtime below it: so one descent finds the choice.
 *
 * Locking: all under the run queue's lock.
 */
#include <linux/sched.h>

#include "kernel/sched/runqueue.h"

#define WEIGHT_0    1024 /* of nice 0 */
#define WEIGHT_IDLE 3    /* of SCHED_IDLE: a fifth of nice 19 */

/* Each step of nice is a factor of 1.25 (sched(7), "The nice value"): round(1024 / 1.25^nice), nice -20..19. */
static const uint32_t nice_weight[40] = {
    88818, 71054, 56843, 45475, 36380, 29104, 23283, 18626, 14901, 11921, 9537, 7629, 6104, 4883,
    3906,  3125,  2500,  2000,  1600,  1280,  1024,  819,   655,   524,   419,  336,  268,  215,
    172,   137,   110,   88,    70,    56,    45,    36,    29,    23,    18,   15,
};

void fair_queue_init(struct fair_queue *queue)
{
    *queue = (struct fair_queue){0};
}

/* CPU time as virtual time of a thread. */
static inline uint64_t vtime_of(const struct fair_entity *fair, uint64_t ns)
{
    if (likely(fair->weight == WEIGHT_0)) {
        return ns;
    }
    return (uint64_t)(((unsigned __int128)ns * fair->inverse) >> 22);
}

void fair_set_params(struct thread *thread, uint64_t slice_ns)
{
    uint32_t weight = thread->policy == SCHED_IDLE ? WEIGHT_IDLE : nice_weight[thread->nice + 20];
    struct fair_entity *fair = &thread->fair;

    /* What it is owed is CPU time, whatever its weight. */
    if (fair->weight != 0 && fair->lag != 0) {
        fair->lag = fair->lag * (int64_t)fair->weight / (int64_t)weight;
    }
    fair->weight = weight;
    fair->inverse = (uint32_t)(BIT(32) / weight);
    fair->slice = slice_ns;
    fair->request = vtime_of(fair, slice_ns);
}

/* ---- virtual time ---- */

static inline bool vtime_before(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) < 0;
}

static inline struct thread *thread_of(struct rb_node *node)
{
    return rb_entry(node, struct thread, fair.node);
}

/* Virtual time of a thread as CPU time. */
static inline int64_t ns_of(const struct fair_entity *fair, int64_t vtime)
{
    return likely(fair->weight == WEIGHT_0) ? vtime : vtime * (int64_t)fair->weight / WEIGHT_0;
}

/*
 * V over the tree and the running thread (NULL: it is not of this class, or does not count). With nobody there it stands still.
 * The sums count from V afterwards, so they stay small.
 */
static uint64_t average(struct fair_queue *queue, const struct thread *running)
{
    if (queue->n == 0) {
        queue->base = running != NULL ? running->fair.vruntime : queue->base;
        return queue->base;
    }
    int64_t sum = queue->sum_service;
    uint64_t weight = queue->sum_weight;
    if (running != NULL) {
        sum += (int64_t)(running->fair.vruntime - queue->base) * running->fair.weight;
        weight += running->fair.weight;
    }
    /* Rounded down: an average of whole numbers, rounded down, is not below the smallest, so somebody is always eligible. */
    int64_t offset = (sum < 0 ? sum - (int64_t)(weight - 1) : sum) / (int64_t)weight;
    queue->sum_service -= offset * (int64_t)queue->sum_weight;
    queue->base += (uint64_t)offset;
    return queue->base;
}

static inline const struct thread *running_fair(const struct runqueue *rq)
{
    return rq->current->class == &fair_class ? rq->current : NULL;
}

/* ---- the tree ---- */

static bool update_min(struct rb_node *node)
{
    struct thread *thread = thread_of(node);
    uint64_t min = thread->fair.vruntime;

    if (node->left != NULL && vtime_before(thread_of(node->left)->fair.min_vruntime, min)) {
        min = thread_of(node->left)->fair.min_vruntime;
    }
    if (node->right != NULL && vtime_before(thread_of(node->right)->fair.min_vruntime, min)) {
        min = thread_of(node->right)->fair.min_vruntime;
    }
    bool changed = thread->fair.min_vruntime != min;
    thread->fair.min_vruntime = min;
    return changed;
}

static void insert_among_others(struct fair_queue *queue, struct thread *thread)
{
    struct rb_node **link = &queue->tree.node, *parent = NULL;
    bool leftmost = true;

    while (*link != NULL) {
        parent = *link;
        if (vtime_before(thread->fair.deadline, thread_of(parent)->fair.deadline)) {
            link = &parent->left;
        } else {
            link = &parent->right;
            leftmost = false;
        }
    }
    rb_insert_augmented(&queue->tree, &thread->fair.node, parent, link, update_min);
    if (leftmost) {
        queue->leftmost = thread;
    }
}

static inline void insert(struct runqueue *rq, struct thread *thread)
{
    struct fair_queue *queue = &rq->fair;
    struct fair_entity *fair = &thread->fair;

    if (likely(queue->n == 0)) {
        rb_insert_first(&queue->tree, &fair->node);
        fair->min_vruntime = fair->vruntime;
        queue->leftmost = thread;
    } else {
        insert_among_others(queue, thread);
    }
    queue->sum_service += (int64_t)(fair->vruntime - queue->base) * fair->weight;
    queue->sum_weight += fair->weight;
    runqueue_add(rq, thread, &queue->n);
}

static inline void take(struct runqueue *rq, struct thread *thread)
{
    struct fair_queue *queue = &rq->fair;
    struct fair_entity *fair = &thread->fair;

    if (queue->n == 1) {
        queue->tree.node = NULL;
        queue->leftmost = NULL;
        queue->sum_service = 0;
        queue->sum_weight = 0;
    } else {
        if (queue->leftmost == thread) {
            queue->leftmost = thread_of(rb_next(&fair->node));
        }
        rb_remove_augmented(&queue->tree, &fair->node, update_min);
        queue->sum_service -= (int64_t)(fair->vruntime - queue->base) * fair->weight;
        queue->sum_weight -= fair->weight;
    }
    runqueue_sub(rq, thread, &queue->n);
}

/* The eligible thread with the earliest deadline. The tree is not empty. NULL: only the running thread is eligible. */
static struct thread *earliest_eligible(struct fair_queue *queue, uint64_t v)
{
    if (!vtime_before(v, queue->leftmost->fair.vruntime)) {
        return queue->leftmost;
    }
    struct rb_node *node = queue->tree.node;
    while (node != NULL) {
        struct rb_node *left = node->left;
        if (left != NULL && !vtime_before(v, thread_of(left)->fair.min_vruntime)) {
            node = left;
        } else if (!vtime_before(v, thread_of(node)->fair.vruntime)) {
            return thread_of(node);
        } else {
            node = node->right;
        }
    }
    return NULL;
}

/* ---- coming and going ---- */

/*
 * Place a newcomer so that its lag, once it counts in the average, is what it was owed: with W the weight of those who are there and w
 * its own, it must come in (W + w) / W times as far away, for it moves the average itself. `running`: who has the CPU and counts.
 */
static void place(struct fair_queue *queue, struct thread *thread, const struct thread *running,
                  enum join_kind kind)
{
    struct fair_entity *fair = &thread->fair;
    uint64_t v = average(queue, running);
    uint64_t weight = queue->sum_weight + (running != NULL ? running->fair.weight : 0);
    int64_t lag = kind == JOIN_NEW || weight == 0 ? 0 : fair->lag;

    if (lag != 0) {
        lag += lag * (int64_t)fair->weight / (int64_t)weight;
    }
    fair->vruntime = v - (uint64_t)lag;
    fair->deadline = fair->vruntime + fair->request;
}

static void fair_join(struct runqueue *rq, struct thread *thread, enum join_kind kind, ktime_t now)
{
    (void)now;
    place(&rq->fair, thread, running_fair(rq), kind);
    insert(rq, thread);
}

static void fair_resume(struct runqueue *rq, struct thread *current, enum join_kind kind,
                        ktime_t now)
{
    (void)kind, (void)now;
    place(&rq->fair, current, NULL, JOIN_MOVE);
    current->fair.settled = current->fair.vruntime;
}

static void fair_leave(struct runqueue *rq, struct thread *thread, bool running)
{
    struct fair_queue *queue = &rq->fair;
    struct fair_entity *fair = &thread->fair;

    if (running && queue->n == 0) {
        queue->base = fair->vruntime; /* alone: it has had just what is its own */
        fair->lag = 0;
        return;
    }
    uint64_t v = average(queue, running ? thread : running_fair(rq));
    int64_t limit = (int64_t)(2 * fair->request);

    fair->lag = CLAMP((int64_t)(v - fair->vruntime), -limit, limit);
    if (!running) {
        take(rq, thread);
    }
}

static void fair_put_prev(struct runqueue *rq, struct thread *prev, ktime_t now)
{
    (void)now;
    insert(rq, prev);
}

/* ---- choosing ---- */

static struct thread *fair_pick(struct runqueue *rq, struct thread *prev, bool yield, ktime_t now)
{
    struct fair_queue *queue = &rq->fair;
    struct thread *best;
    bool served = false;

    (void)now;
    queue->challenged = false;
    if (prev != NULL && (yield || !vtime_before(prev->fair.vruntime, prev->fair.deadline))) {
        /* Its request has been served, or it gives it up: the next one. */
        served = true;
        prev->fair.deadline = prev->fair.vruntime + prev->fair.request;
    }
    if (queue->n == 0) {
        return prev;
    }
    if (prev == NULL || yield) {
        /* Who yields does not count: everybody else comes first. */
        best = queue->n == 1 ? queue->leftmost : earliest_eligible(queue, average(queue, NULL));
    } else {
        uint64_t v = average(queue, prev);
        best = earliest_eligible(queue, v);
        /* In the midst of its request it goes on unless somebody has an earlier deadline. */
        if (best == NULL || ((!served || !vtime_before(v, prev->fair.vruntime)) &&
                             !vtime_before(best->fair.deadline, prev->fair.deadline))) {
            return prev;
        }
    }
    take(rq, best);
    best->fair.settled = best->fair.vruntime + best->fair.request / 2;
    return best;
}

static void fair_charge(struct runqueue *rq, struct thread *current, uint64_t delta, ktime_t now)
{
    (void)rq, (void)now;
    current->fair.vruntime += vtime_of(&current->fair, delta);
}

/* A thread of policy IDLE gives way to all others at once; it and batch threads take the CPU from nobody else. */
static bool fair_preempts(struct runqueue *rq, const struct thread *current,
                          const struct thread *woken)
{
    if (unlikely((current->policy == SCHED_IDLE) != (woken->policy == SCHED_IDLE))) {
        return current->policy == SCHED_IDLE;
    }
    if (woken->policy != SCHED_NORMAL || vtime_before(rq->fair.base, woken->fair.vruntime) ||
        !vtime_before(woken->fair.deadline, current->fair.deadline)) {
        return false;
    }
    if (woken->fair.slice < current->fair.slice ||
        !vtime_before(current->fair.vruntime, current->fair.settled)) {
        return true;
    }
    rq->fair.challenged = true;
    return false;
}

static ktime_t fair_turn_left(struct runqueue *rq, const struct thread *current, ktime_t now)
{
    uint64_t end = rq->fair.challenged ? current->fair.settled : current->fair.deadline;

    (void)now;
    return ns_of(&current->fair, (int64_t)(end - current->fair.vruntime));
}

const struct sched_class fair_class = {
    .name = "fair",
    .rank = RANK_FAIR,
    .join = fair_join,
    .leave = fair_leave,
    .resume = fair_resume,
    .pick = fair_pick,
    .put_prev = fair_put_prev,
    .charge = fair_charge,
    .preempts = fair_preempts,
    .turn_left = fair_turn_left,
};
