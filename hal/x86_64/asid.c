/*
 * Process-context identifiers: the bookkeeping. See the header.
 */
#include "hal/x86_64/asid.h"

unsigned asid_choose(struct asid_cpu *cpu, uint64_t id, uint64_t generation, bool *ret_flush)
{
    unsigned slot = 0;

    while (slot < ASID_SLOTS && cpu->slots[slot].id != id) {
        slot++;
    }
    if (slot == ASID_SLOTS) {
        slot = cpu->victim;
        cpu->victim = (slot + 1) % ASID_SLOTS;
        cpu->slots[slot].id = id;
        *ret_flush = true;
    } else {
        /* Not `<`: the count may have been read before a message about a later change was followed. Then a flush too many does no harm. */
        *ret_flush = cpu->slots[slot].generation != generation;
    }
    cpu->slots[slot].generation = generation;
    cpu->current = slot;
    return slot + 1;
}
