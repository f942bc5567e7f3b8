/*
 * Which address space has which process-context identifier (PCID; Intel SDM volume 3, 4.10.1) on one CPU, and what of it is stale there.
 *
 * A CPU keeps the translations of the few spaces that ran last, each under an identifier of its own, so going back to one of them need
 * not begin with an empty TLB. Each space counts the changes that have to be flushed (mmu_space.generation); a CPU remembers for each
 * identifier how many of them it has followed. Who changes a space tells only the CPUs that run it; others find out by the count when they
 * come back to it.
 *
 * One asid_cpu belongs to one CPU: called there with preemption off. Portable: test/unit/hal runs it against a model of the TLB.
 */
#pragma once

#include "kernel/base/types.h"

#define ASID_SLOTS 6u /* spaces a CPU remembers; identifiers 1 to 6, for 0 is the kernel's own */

struct asid_slot {
    uint64_t id;         /* of the space; 0: none */
    uint64_t generation; /* of its changes, what lies under the identifier is free of */
};

struct asid_cpu {
    struct asid_slot slots[ASID_SLOTS];
    unsigned current; /* the slot in use */
    unsigned victim;  /* the one to be taken next */
};

/*
 * The CPU is about to use space `id`, whose count was read as `generation` after the CPU had made known that it does. Returns the
 * identifier; *ret_flush: what lies under it is another space's or stale, and has to go.
 */
unsigned asid_choose(struct asid_cpu *cpu, uint64_t id, uint64_t generation, bool *ret_flush);

enum asid_flush {
    ASID_NOTHING,    /* flushed already: a later change was, and all with it */
    ASID_RANGE,      /* the range that changed */
    ASID_EVERYTHING, /* changes before this one have not been followed yet */
};
/*
 * The space in use has changed, which made its count `generation`; by now it is `latest`. What the CPU has to flush: the caller does so at
 * once.
 */
static inline enum asid_flush asid_follow(struct asid_cpu *cpu, uint64_t generation,
                                          uint64_t latest)
{
    struct asid_slot *slot = &cpu->slots[cpu->current];

    if (__builtin_expect(slot->generation + 1 == generation, 1)) {
        slot->generation = generation;
        return ASID_RANGE;
    }
    if (slot->generation >= generation) {
        return ASID_NOTHING;
    }
    slot->generation = latest;
    return ASID_EVERYTHING;
}
