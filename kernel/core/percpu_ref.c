/*
 * References counted on each CPU: the slow side. The header has the whole idea.
 *
 * Spreading first raises the bias, then shows the slots: who still counts in the one place cannot bring it to 0 between. Gathering
 * hides the slots, waits until nobody is in the midst of writing one, adds them up, and takes the bias away in the same
 * addition, so that the count is never without either.
 */
#include "kernel/core/percpu_ref.h"

#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/sync/rcu.h"

/* A count that came below zero or out of nothing: a leak, never a use after free. */
static void ref_is_wrong(struct percpu_ref *ref)
{
    atomic_store_relaxed(&ref->count, PERCPU_REF_BIAS);
    WARN_ON(true);
}

void percpu_ref_get_slow(struct percpu_ref *ref)
{
    if (unlikely(atomic_fetch_add_relaxed(&ref->count, 1) == 0)) {
        ref_is_wrong(ref);
    }
}

bool percpu_ref_put_slow(struct percpu_ref *ref)
{
    /* Releases what this holder did with the object; the last one acquires what the others did. */
    uint64_t before = __atomic_fetch_sub(&ref->count, 1, __ATOMIC_ACQ_REL);

    if (unlikely(before == 0)) {
        ref_is_wrong(ref);
    }
    return before == 1;
}

void percpu_ref_init(struct percpu_ref *ref)
{
    ref->slots = NULL;
    ref->memory = NULL;
    atomic_store_relaxed(&ref->count, 1);
}

void percpu_ref_spread(struct percpu_ref *ref, struct percpu_ref_slot *slots)
{
    ASSERT(ref->memory == NULL);
    ref->memory = slots;
    percpu_ref_spread_again(ref);
}

void percpu_ref_spread_again(struct percpu_ref *ref)
{
    if (ref->memory == NULL || ref->slots != NULL) {
        return;
    }
    memset(ref->memory, 0, percpu_ref_slots_bytes());
    (void)atomic_fetch_add_relaxed(&ref->count, PERCPU_REF_BIAS);
    atomic_store_release(&ref->slots, ref->memory);
}

/* Nobody writes the slots, or the sum is a moment's figure. */
static uint64_t slots_sum(const struct percpu_ref_slot *slots)
{
    uint64_t sum = 0;
    unsigned cpu;

    for_each_cpu (cpu) {
        sum += (uint64_t)atomic_load_relaxed(&slots[cpu].count);
    }
    return sum;
}

void percpu_ref_gather(struct percpu_ref *ref)
{
    struct percpu_ref_slot *slots = ref->slots;

    if (slots == NULL) {
        return;
    }
    atomic_store_relaxed(&ref->slots, NULL);
    rcu_synchronize_expedited();
    /* Acquires what holders did that put their references in slots: the grace period has ordered it. */
    (void)atomic_fetch_add(&ref->count, slots_sum(slots) - PERCPU_REF_BIAS);
}

uint64_t percpu_ref_read(const struct percpu_ref *ref)
{
    preempt_disable();
    const struct percpu_ref_slot *slots = atomic_load_acquire(&ref->slots);
    uint64_t count = atomic_load_relaxed(&ref->count);
    if (slots != NULL) {
        count += slots_sum(slots) - PERCPU_REF_BIAS;
    }
    preempt_enable();
    return count;
}

struct percpu_ref_slot *percpu_ref_fini(struct percpu_ref *ref)
{
    struct percpu_ref_slot *memory = ref->memory;

    ASSERT(ref->slots == NULL);
    ref->memory = NULL;
    return memory;
}
