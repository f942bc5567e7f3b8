/*
 * References that each CPU counts by itself, for objects that all CPUs take hold of all the time and that seldom go: a reference costs no
 * write to memory that others write too.
 *
 *     percpu_ref_init(&ref);                 1, the maker's; counted in one place, as struct refcount does
 *     percpu_ref_spread(&ref, slots)         from here on each CPU counts in a slot of its own
 *     percpu_ref_get(), percpu_ref_put()     anywhere but in interrupts; a reference may be put on another CPU than it was taken on
 *     percpu_ref_gather(&ref)                one place again: the count is exact, and the last put is seen
 *     percpu_ref_fini(&ref)                  the slots, to be freed
 *
 * While references are spread, the count in the one place has a bias that keeps it from 0, and a slot may be negative: only the sum means
 * something. Gathering takes the slots away from readers, waits for a grace period, in which who had seen them is done (get and put hold
 * preemption off), and adds them up. So the maker puts its own reference, which alone keeps the object, only after gathering.
 *
 * Source: the idea is that of Linux' percpu-refcount (K. Overstreet, "Percpu refcounts", LWN 557478).
 *
 * Locking: the callers of spread, gather and fini take turns; get and put need nothing.
 */
#pragma once

#include "kernel/core/percpu.h"
#include "kernel/machine/preempt.h"
#include "kernel/sync/refcount.h"

struct percpu_ref_slot {
    int64_t count;       /* own CPU's threads; read by others when nobody writes it any more */
    uint8_t padding[56]; /* each in a cache line of its own */
};

struct percpu_ref {
    struct percpu_ref_slot *slots;  /* [a] of each CPU; NULL: all references are in `count` */
    uint64_t count;                 /* [a] */
    struct percpu_ref_slot *memory; /* [caller] what spread was given */
};

#define PERCPU_REF_BIAS (1ull << 62)

/* Bytes that percpu_ref_spread() wants. */
static inline size_t percpu_ref_slots_bytes(void)
{
    return cpu_count() * sizeof(struct percpu_ref_slot);
}

/* 1 reference, the maker's. */
void percpu_ref_init(struct percpu_ref *ref);
/* The CPUs count in `slots` from now on, of percpu_ref_slots_bytes(), which are the ref's until percpu_ref_fini(). Any context. */
void percpu_ref_spread(struct percpu_ref *ref, struct percpu_ref_slot *slots);
/* Do the same again with the slots that it has been given before; nothing, if there were none. Any context. */
void percpu_ref_spread_again(struct percpu_ref *ref);
/* Back to one place. The caller has a reference. Sleeps for a hurried grace period if they were spread. */
void percpu_ref_gather(struct percpu_ref *ref);
/* How many references there are; a moment's figure unless gathered. */
uint64_t percpu_ref_read(const struct percpu_ref *ref);
/* The last reference has gone: the slots, to be freed, or NULL. */
struct percpu_ref_slot *percpu_ref_fini(struct percpu_ref *ref);

/* Preemption is off: the running CPU's slot, or NULL. Pairs with percpu_ref_spread() and percpu_ref_gather(). */
static inline struct percpu_ref_slot *percpu_ref_own_slot(const struct percpu_ref *ref)
{
    struct percpu_ref_slot *slots = atomic_load_acquire(&ref->slots);

    return likely(slots != NULL) ? &slots[cpu_id()] : NULL;
}

/* Those that are not spread. Preemption is off. */
void percpu_ref_get_slow(struct percpu_ref *ref);
bool percpu_ref_put_slow(struct percpu_ref *ref);

/* The caller has a reference already. Threads and deferred work. */
static inline void percpu_ref_get(struct percpu_ref *ref)
{
    preempt_disable();
    struct percpu_ref_slot *slot = percpu_ref_own_slot(ref);
    if (likely(slot != NULL)) {
        slot->count++;
    } else {
        percpu_ref_get_slow(ref);
    }
    preempt_enable();
}

/* True when this was the last reference: the caller destroys the object. Threads and deferred work. */
static inline bool percpu_ref_put(struct percpu_ref *ref)
{
    preempt_disable();
    struct percpu_ref_slot *slot = percpu_ref_own_slot(ref);
    if (likely(slot != NULL)) {
        slot->count--;
        preempt_enable();
        return false;
    }
    bool last = percpu_ref_put_slow(ref);
    preempt_enable();
    return last;
}
