/*
 * Where each CPU stands, read on the CPU itself when it first comes up.
 *
 * Locks: a CPU's own entry is written once, before it is online; others read it.
 */
#include "kernel/machine/topology.h"

#include "hal/x86_64/regs.h"
#include "hal/x86_64/start.h"
#include "hal/x86_64/topodecode.h"
#include "kernel/core/percpu.h"

static DEFINE_PER_CPU(struct topology_decoded, topology);

static void read_leaf(void *arg, uint32_t leaf, uint32_t subleaf, uint32_t ret_regs[4])
{
    struct cpuid_regs r = cpuid_read(leaf, subleaf);

    (void)arg;
    ret_regs[0] = r.eax;
    ret_regs[1] = r.ebx;
    ret_regs[2] = r.ecx;
    ret_regs[3] = r.edx;
}

void topology_init_cpu(void)
{
    if (!this_cpu_ptr(topology)->place.known) {
        topology_decode(read_leaf, NULL, this_cpu_ptr(topology));
    }
}

const struct cpu_topology *cpu_topology(unsigned id)
{
    return &per_cpu_ptr(topology, id)->place;
}

bool cpu_cache(unsigned id, unsigned index, struct cpu_cache *ret_cache)
{
    const struct topology_decoded *decoded = per_cpu_ptr(topology, id);

    if (index >= decoded->ncaches) {
        return false;
    }
    *ret_cache = decoded->caches[index];
    return true;
}

static bool same_place(const struct cpu_topology *a, const struct cpu_topology *b,
                       enum cpu_group group)
{
    if (a->package != b->package) {
        return false;
    }
    switch (group) {
    case CPU_GROUP_CORE:
        return a->core == b->core;
    case CPU_GROUP_DIE:
        return a->die == b->die;
    case CPU_GROUP_PACKAGE:
        break;
    }
    return true;
}

void cpu_group_mask(unsigned id, enum cpu_group group, struct cpumask *ret_mask)
{
    unsigned other;

    *ret_mask = CPUMASK_NONE;
    if (!cpu_is_online(id)) {
        return;
    }
    for_each_online_cpu (other) {
        if (same_place(cpu_topology(id), cpu_topology(other), group)) {
            cpumask_set(ret_mask, other);
        }
    }
}

void cpu_cache_mask(unsigned id, unsigned index, struct cpumask *ret_mask)
{
    struct cpu_cache own, its;
    unsigned other;

    *ret_mask = CPUMASK_NONE;
    if (!cpu_is_online(id) || !cpu_cache(id, index, &own)) {
        return;
    }
    for_each_online_cpu (other) {
        if (cpu_cache(other, index, &its) && its.type == own.type && its.level == own.level &&
            its.id == own.id) {
            cpumask_set(ret_mask, other);
        }
    }
}
