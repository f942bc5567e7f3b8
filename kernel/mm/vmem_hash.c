/*
 * The table of an arena's used pieces grows: twice as many chains, when there are more than two pieces for each.
 *
 * The move costs each piece some twenty instructions, and there may be many thousands: so the lock is let go after a few chains, and others
 * allocate and release in between.
 */
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/vmem_tag.h"

bool vmem_grow_begin_locked(struct vmem *arena, struct vmem_tag **fresh, unsigned old_bits)
{
    if (arena->bucket_bits != old_bits || arena->old_buckets != NULL) {
        return false; /* another CPU came first */
    }
    arena->old_buckets = arena->buckets;
    arena->nsplit = 0;
    arena->buckets = fresh;
    arena->bucket_bits = old_bits + 1;
    return true;
}

static void split_locked(struct vmem *arena)
{
    struct vmem_tag *tag = arena->old_buckets[arena->nsplit], *next;

    arena->nsplit++; /* from now on its pieces hash to the new table */
    for (; tag != NULL; tag = next) {
        next = tag->hash_next;
        vmem_used_insert_locked(arena, tag);
    }
}

bool vmem_grow_turn_locked(struct vmem *arena)
{
    const uint64_t nold = 1ull << (arena->bucket_bits - 1);

    for (unsigned i = 0; i < VMEM_SPLIT_TURN && arena->nsplit < nold; i++) {
        split_locked(arena);
    }
    if (arena->nsplit < nold) {
        return true;
    }
    arena->old_buckets = NULL;
    return false;
}

void vmem_buckets_grow(struct vmem *arena)
{
    unsigned old_bits = READ_ONCE(arena->bucket_bits);
    struct vmem_tag **fresh;

    if (READ_ONCE(arena->old_buckets) != NULL) {
        return; /* somebody is about it */
    }
    fresh = kzalloc(sizeof(fresh[0]) << (old_bits + 1));
    if (fresh == NULL) {
        return;
    }
    uint64_t irq = spin_lock_irqsave(&arena->lock);
    struct vmem_tag **old = arena->buckets;
    bool more = vmem_grow_begin_locked(arena, fresh, old_bits);
    if (!more) {
        old = fresh;
    }
    while (more) {
        more = vmem_grow_turn_locked(arena);
        spin_unlock_irqrestore(&arena->lock, irq);
        irq = spin_lock_irqsave(&arena->lock);
    }
    spin_unlock_irqrestore(&arena->lock, irq);
    if (old != arena->first_buckets) {
        kfree(old);
    }
}
