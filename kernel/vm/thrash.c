/*
 * Thrashing. The header says what it is. A row of refaults at once ends when more pages go than come back: then somebody gets on. Pages that were
 * found easily count for several: there are more like them, so nobody can make a row of his own by having pages of his reclaimed first.
 */
#include "kernel/vm/thrash.h"

#include "kernel/sched/thread.h"
#include "kernel/sync/spinlock.h"
#include "kernel/vm/reclaim.h"

#define AT_ONCE  64u  /* the distance up to which a page came back at once */
#define REFAULTS 256u /* so many of them are a row */
#define EASY     8u   /* evictions that one found easily counts for */

static uint64_t evicted;                               /* [a] since boot, as said above */
static struct spinlock lock = SPINLOCK_INIT("thrash"); /* innermost */
static struct {
    unsigned refaults;
    uint64_t evicted;  /* when the row began */
} row;                 /* [lock] */
static bool is_on;     /* [a] */
static unsigned where; /* [a] the node of the refault that told */

void thrash_note_evictions(unsigned n, bool easily)
{
    (void)atomic_fetch_add_relaxed(&evicted, (uint64_t)n * (easily ? EASY : 1));
}

/* One more. True: the row is long enough; the next one begins. */
static bool row_grow(void)
{
    spin_lock(&lock);
    uint64_t now = atomic_load_relaxed(&evicted);
    if (row.refaults == REFAULTS || now - row.evicted > 2 * row.refaults + AT_ONCE) {
        row.refaults = 0;
        row.evicted = now;
    }
    bool enough = ++row.refaults == REFAULTS;
    spin_unlock(&lock);
    return enough;
}

void thrash_note_refault(unsigned node, uint32_t distance)
{
    struct thread *thread = current_thread();

    if (unlikely(distance <= AT_ONCE) && thread->vm != NULL && row_grow()) {
        atomic_store_relaxed(&where, node);
        atomic_store_release(&is_on, true);
        thread_set_work(thread, THREAD_WORK_RECLAIM);
    }
}

bool thrash_is_on(void)
{
    return atomic_load_relaxed(&is_on);
}

bool thrash_take(void)
{
    return thrash_is_on() && atomic_exchange(&is_on, false) &&
           !reclaim_has_plenty(atomic_load_relaxed(&where));
}
