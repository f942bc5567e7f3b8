/*
 * Reference counts that saturate instead of wrapping: a leak, never a use after free.
 */
#pragma once

#include "kernel/base/atomic.h"

struct refcount {
    uint32_t value; /* [a] */
};

#define REFCOUNT_SATURATED 0xc0000000u

/* Report a saturated or resurrected count, once per place. */
void refcount_warn(struct refcount *ref);

static inline void refcount_init(struct refcount *ref, uint32_t n)
{
    atomic_store_relaxed(&ref->value, n);
}

static inline uint32_t refcount_read(const struct refcount *ref)
{
    return atomic_load_relaxed(&ref->value);
}

/* The caller already holds a reference. */
static inline void refcount_get(struct refcount *ref)
{
    uint32_t old = atomic_fetch_add_relaxed(&ref->value, 1);
    if (unlikely(old == 0 || old >= 0x80000000u)) {
        refcount_warn(ref);
    }
}

/* For look-ups that may race with the last put: false when the object is already dying. */
static inline bool refcount_get_unless_zero(struct refcount *ref)
{
    uint32_t old = atomic_load_relaxed(&ref->value);
    do {
        if (old == 0) {
            return false;
        }
    } while (!__atomic_compare_exchange_n(&ref->value, &old, old + 1, true, __ATOMIC_ACQUIRE,
                                          __ATOMIC_RELAXED));
    return true;
}

/* True when this was the last reference: the caller destroys the object. */
static inline bool refcount_put(struct refcount *ref)
{
    /* Releases what this holder did with the object; the last one acquires what the others did. */
    uint32_t old = __atomic_fetch_sub(&ref->value, 1, __ATOMIC_ACQ_REL);
    if (unlikely(old == 0 || old >= 0x80000000u)) {
        refcount_warn(ref);
        return false;
    }
    return old == 1;
}
