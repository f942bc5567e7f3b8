/*
 * Spinning for a lock that sleeps: the queue of those who do, and the watch over the owner.
 *
 * A place in the queue has a `next`, which whoever comes behind writes, and a `prev`, which tells a leaver whom to join to its successor. `next` is
 * taken out (NULL) before its owner acts on it, so that of two neighbours that leave at once one waits for the other:
 *   - a leaver first takes itself out of its predecessor's `next`: from then on that one cannot leave, nor pass the turn on, without finding
 *     out who is next;
 *   - then it settles its own: either it is the last, and the word goes back to the predecessor, or it has a successor, whom it takes out;
 *   - then it joins the two.
 * The same settling makes the head, when it goes, find the next one, whose turn it is.
 */
#include "kernel/sched/spin_queue.h"

#include "kernel/machine/clock.h"
#include "kernel/sched/runqueue.h"

/*
 * So long before one sleeps: of the order of what two switches take. Not so many looks: how long a pause is differs tenfold between processors,
 * and a hypervisor may let others run meanwhile.
 */
#define SPIN_NS 20000

struct spin_place {
    struct spin_place *next; /* [a] */
    struct spin_place *prev; /* [a] written by the CPU itself, and by a predecessor that leaves */
    uint32_t turn;           /* [a] it is the head */
    uint32_t number;         /* own: of the CPU, plus one */
} __aligned(64);

static DEFINE_PER_CPU(struct spin_place, spin_place);

static inline bool long_enough(ktime_t until)
{
    return need_resched() || clock_monotonic_ns() > until;
}

/*
 * The place leaves at its end: who is next? NULL: nobody, the queue ends with `prev` (NULL: is empty) now. Else the successor is out of `next`, and
 * cannot leave until it has been told of its new predecessor or of its turn.
 */
static struct spin_place *settle(uint32_t *queue, struct spin_place *place, struct spin_place *prev)
{
    for (;;) {
        uint32_t last = place->number;
        if (atomic_load_relaxed(queue) == last &&
            atomic_cas(queue, &last, prev == NULL ? 0 : prev->number)) {
            return NULL;
        }
        if (atomic_load_relaxed(&place->next) != NULL) {
            struct spin_place *next =
                __atomic_exchange_n(&place->next, (struct spin_place *)NULL, __ATOMIC_SEQ_CST);
            if (next != NULL) {
                return next;
            }
        }
        cpu_relax(); /* it has come but not yet said so, or is leaving */
    }
}

/* Give up before the turn has come. False: it has come. */
static bool leave_early(uint32_t *queue, struct spin_place *place)
{
    struct spin_place *prev = atomic_load_acquire(&place->prev);

    for (;;) {
        struct spin_place *self = place;
        if (atomic_load_relaxed(&prev->next) == place &&
            atomic_cas(&prev->next, &self, (struct spin_place *)NULL)) {
            break;
        }
        if (atomic_load_acquire(&place->turn) != 0) {
            return false;
        }
        cpu_relax();
        prev = atomic_load_acquire(&place->prev); /* it may have left, and told us of its own */
    }
    struct spin_place *next = settle(queue, place, prev);
    if (next != NULL) {
        atomic_store_release(&next->prev, prev);
        atomic_store_release(&prev->next, next);
    }
    return true;
}

/* Wait for the turn. False: gave up. Preemption is off. */
static bool enter(uint32_t *queue, struct spin_place *place, ktime_t until)
{
    place->number = cpu_id() + 1;
    atomic_store_relaxed(&place->next, (struct spin_place *)NULL);
    atomic_store_relaxed(&place->turn, 0u);
    uint32_t before = __atomic_exchange_n(queue, place->number, __ATOMIC_SEQ_CST);
    if (before == 0) {
        return true;
    }
    struct spin_place *prev = per_cpu_ptr(spin_place, before - 1);
    atomic_store_relaxed(&place->prev, prev);
    atomic_store_release(&prev->next, place);
    while (atomic_load_acquire(&place->turn) == 0) {
        if (long_enough(until)) {
            return !leave_early(queue, place);
        }
        cpu_relax();
    }
    return true;
}

static void leave(uint32_t *queue, struct spin_place *place)
{
    struct spin_place *next = settle(queue, place, NULL);

    if (next != NULL) {
        atomic_store_release(&next->turn, 1u);
    }
}

/* Is the thread, which may have ended (its memory is that of a thread while preemption is off), the one that a CPU runs? */
static inline bool runs(const struct thread *thread)
{
    const struct runqueue *rq = per_cpu_ptr(runqueue, atomic_load_relaxed(&thread->cpu));

    return atomic_load_relaxed(&rq->current) == thread;
}

/* Is it worth while to look at the lock again? */
static inline bool worth(uintptr_t word, uintptr_t mine)
{
    return ((word ^ mine) & LOCK_OWNED) == 0 && lock_owner(word) != NULL && runs(lock_owner(word));
}

static bool watch(uintptr_t *word, uintptr_t mine, ktime_t until)
{
    for (;;) {
        uintptr_t seen = atomic_load_relaxed(word);
        if (seen == 0) {
            if (atomic_cas(word, &seen, mine)) {
                return true;
            }
        } else if (!worth(seen, mine) || long_enough(until)) {
            return false;
        }
        cpu_relax();
    }
}

bool lock_spin(uintptr_t *word, uint32_t *queue, uintptr_t mine)
{
    bool got = false;

    if (!sched_several) {
        return false;
    }
    preempt_disable();
    uintptr_t seen = atomic_load_relaxed(word);
    if (!need_resched() && (seen == 0 || worth(seen, mine))) {
        struct spin_place *place = this_cpu_ptr(spin_place);
        ktime_t until = clock_monotonic_ns() + SPIN_NS;
        if (enter(queue, place, until)) {
            got = watch(word, mine, until);
            leave(queue, place);
        }
    }
    preempt_enable();
    return got;
}
