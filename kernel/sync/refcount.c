/*
 * What a reference count does when it goes wrong: it is pinned half-way between the two ends of the "bad" half, where many
 * more gets and puts in flight cannot bring it back, so the object is leaked.
 */
#include "kernel/sync/refcount.h"

#include "kernel/sync/report.h"

#define PLACES 16 /* reported places that are remembered; further ones stay silent */

static uintptr_t places[PLACES]; /* [a] */

/* True the first time for each place. */
static bool place_is_new(uintptr_t place)
{
    for (unsigned i = 0; i < PLACES; i++) {
        uintptr_t seen = 0;
        if (atomic_cas(&places[i], &seen, place)) {
            return true;
        }
        if (seen == place) {
            return false;
        }
    }
    return false;
}

void refcount_warn(struct refcount *ref)
{
    uintptr_t place = (uintptr_t)__builtin_return_address(0);
    uint32_t value = __atomic_exchange_n(&ref->value, REFCOUNT_SATURATED, __ATOMIC_RELAXED);

    if (place_is_new(place)) {
        sync_report(true, "sync: reference count %p went wrong (now 0x%x) at %pS: leaked",
                    (void *)ref, value, (void *)place);
    }
}
