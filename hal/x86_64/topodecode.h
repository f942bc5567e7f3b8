/*
 * What CPUID says of a processor's place and caches. Portable: test/unit/hal gives it the leaves of processors that are not at hand.
 */
#pragma once

#include "kernel/machine/topology.h"

/* eax, ebx, ecx, edx of a leaf. */
typedef void topology_cpuid_fn(void *arg, uint32_t leaf, uint32_t subleaf, uint32_t ret_regs[4]);

#define TOPOLOGY_CACHES_MAX 8u

struct topology_decoded {
    struct cpu_topology place;
    unsigned ncaches;
    struct cpu_cache caches[TOPOLOGY_CACHES_MAX];
};

void topology_decode(topology_cpuid_fn *cpuid, void *arg, struct topology_decoded *ret_decoded);
