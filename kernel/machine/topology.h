/*
 * Where a CPU stands: in which package, die and core, and which caches it has and shares. Known of each CPU from the moment it has been online.
 */
#pragma once

#include "kernel/machine/cpumask.h"

struct cpu_topology {
    bool known;
    uint32_t package; /* numbers as the hardware has them: they need not be dense */
    uint32_t die;     /* inside the package */
    uint32_t core;    /* inside the package */
    uint32_t thread;  /* inside the core */
};

enum cpu_cache_type { CPU_CACHE_DATA = 1, CPU_CACHE_INSTRUCTION = 2, CPU_CACHE_UNIFIED = 3 };

struct cpu_cache {
    enum cpu_cache_type type;
    unsigned level; /* 1: the nearest */
    unsigned line_bytes, partitions, ways, sets;
    uint64_t size_bytes;
    uint32_t id; /* of this level's caches of this type: the same for all CPUs that share it */
};

/* Any context. */
const struct cpu_topology *cpu_topology(unsigned id);
/* The CPU's caches, index 0, 1 ...; false past the last. */
bool cpu_cache(unsigned id, unsigned index, struct cpu_cache *ret_cache);

/* CPUs that are online and stand where CPU `id` stands: in its core, die, package, or behind its cache `index`. */
enum cpu_group { CPU_GROUP_CORE, CPU_GROUP_DIE, CPU_GROUP_PACKAGE };
void cpu_group_mask(unsigned id, enum cpu_group group, struct cpumask *ret_mask);
void cpu_cache_mask(unsigned id, unsigned index, struct cpumask *ret_mask);
