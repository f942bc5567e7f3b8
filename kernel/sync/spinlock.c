/*
 * The slow path of the spinlock: the list-based queue of Mellor-Crummey and Scott, "Algorithms for scalable synchronization on
 * shared-memory multiprocessors", ACM TOCS 9:1, 1991, section 2.4, with the queue's tail and the lock itself in one word:
 *
 *     bits 0-7    1: held
 *     bits 8-9    how deep in its contexts the last waiter is: a thread, deferred work, an interrupt, an NMI
 *     bits 10-31  its CPU's number plus one; 0: nobody waits
 *
 * A waiter appends itself, and then looks only at its own node, which lies in its own CPU's cache line, until the one before it makes it
 * the first. Only the first looks at the lock. It takes the lock, hands the first place on, and needs its node no more: so a
 * CPU needs one for each context in which it can be waiting at the same time, however many locks it holds, and the lock may be released by
 * another thread than took it, as run queues are.
 *
 * Waiters take turns strictly: the fast path takes a lock only when its whole word is 0.
 */
#include "kernel/sync/spinlock.h"

#define CONTEXTS  4u
#define TAIL_MASK 0xffffff00u
#define PAUSES    16u /* at most so many between two looks at the lock */

struct spin_node {
    struct spin_node *next; /* [a] who waits behind; NULL: nobody has said so yet */
    uint32_t first;         /* [a] set by the one before, when it has got the lock */
};

static struct spin_nodes {
    struct spin_node nodes[CONTEXTS];
    uint32_t depth; /* own CPU: nodes in use. An interrupt leaves it as it found it */
} spin_nodes[MAX_CPUS] __aligned(64);

static uint32_t tail_of(unsigned cpu, unsigned context)
{
    return (cpu + 1) << 10 | context << 8;
}

static struct spin_node *node_at(uint32_t tail)
{
    return &spin_nodes[(tail >> 10) - 1].nodes[tail >> 8 & (CONTEXTS - 1)];
}

/* Look at the lock seldom: the line it is in is written by its holder. The value when nobody holds it. */
static uint32_t wait_until_free(const struct spinlock *lock)
{
    uint32_t value;

    for (unsigned pauses = 1; ((value = atomic_load_acquire(&lock->value)) & SPIN_LOCKED) != 0;
         pauses = MIN(2 * pauses, PAUSES)) {
        for (unsigned i = 0; i < pauses; i++) {
            cpu_relax();
        }
    }
    return value;
}

/* Take the lock, or become the last who waits. True: taken; else *ret_before is who was last, 0: nobody. */
static bool take_or_append(struct spinlock *lock, uint32_t tail, uint32_t *ret_before)
{
    uint32_t value = atomic_load_relaxed(&lock->value);

    for (;;) {
        uint32_t next = value == 0 ? SPIN_LOCKED : (value & ~TAIL_MASK) | tail;
        /* Releases the node that the tail names, acquires that of the one before. */
        if (atomic_cas(&lock->value, &value, next)) {
            *ret_before = value & TAIL_MASK;
            return value == 0;
        }
    }
}

/* The first of the queue gets the lock, and makes the next one the first. */
static void take_as_first(struct spinlock *lock, struct spin_node *node, uint32_t tail)
{
    uint32_t value = wait_until_free(lock);

    /* The last one too: then the queue is empty. Nobody but the first can set the lowest byte. */
    if (value == tail && atomic_cas(&lock->value, &value, SPIN_LOCKED)) {
        return;
    }
    __atomic_store_n(&lock->locked, SPIN_LOCKED, __ATOMIC_RELAXED);
    struct spin_node *next;
    while ((next = atomic_load_acquire(&node->next)) == NULL) {
        cpu_relax();
    }
    atomic_store_release(&next->first, 1);
}

void spin_wait(struct spinlock *lock)
{
    unsigned cpu = cpu_id();
    struct spin_nodes *own = &spin_nodes[cpu];
    unsigned context = own->depth;
    uint32_t tail = tail_of(cpu, context), before;

    if (unlikely(context ==
                 CONTEXTS)) { /* exceptions within exceptions: without a place in the queue */
        while (!spin_trylock_raw_(lock)) {
            cpu_relax();
        }
        return;
    }
    struct spin_node *node = &own->nodes[context];
    own->depth = context + 1;
    barrier(); /* an interrupt uses the next node */
    atomic_store_relaxed(&node->next, NULL);
    atomic_store_relaxed(&node->first, 0);
    if (!take_or_append(lock, tail, &before)) {
        if (before != 0) {
            atomic_store_release(&node_at(before)->next, node);
            while (atomic_load_acquire(&node->first) == 0) {
                cpu_relax();
            }
        }
        take_as_first(lock, node, tail);
    }
    barrier();
    own->depth = context;
}
