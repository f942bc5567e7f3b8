/*
 * What an arena has, in figures and piece by piece.
 */
#include "kernel/mm/vmem_tag.h"

void vmem_stats(struct vmem *arena, struct vmem_stats *ret_stats)
{
    uint64_t irq = spin_lock_irqsave(&arena->lock);
    struct vmem_tag *span;

    *ret_stats = (struct vmem_stats){
        .name = arena->name,
        .quantum_bytes = 1ull << arena->shift,
        .total_bytes = arena->total_bytes,
        .used_bytes = arena->used_bytes,
        .nused = arena->nused,
        .nfree = arena->nfree,
        .allocs = arena->allocs,
        .failures = atomic_load_relaxed(&arena->failures),
        .imports = arena->imports,
    };
    list_for_each (span, &arena->spans, link) {
        ret_stats->nspans++;
    }
    spin_unlock_irqrestore(&arena->lock, irq);
}

bool vmem_describe(struct vmem *arena, uint64_t from, struct vmem_piece *ret_piece)
{
    uint64_t irq = spin_lock_irqsave(&arena->lock);
    struct vmem_tag *tag;
    bool found = false;

    list_for_each (tag, &arena->segments, segment) {
        if (tag->start >= from && (tag->kind == TAG_FREE || tag->kind == TAG_USED)) {
            *ret_piece = (struct vmem_piece){tag->start, tag->len, tag->kind == TAG_USED};
            found = true;
            break;
        }
    }
    spin_unlock_irqrestore(&arena->lock, irq);
    return found;
}
