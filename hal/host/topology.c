/*
 * Where the host's CPUs stand: each is a package of its own, until a test says otherwise.
 */
#include "kernel/machine/topology.h"

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/machine/smp.h"

static struct host_topology shape = {.threads = 1, .cores = 1, .clusters = 1};
static struct cpu_topology places[HOST_MAX_CPUS];

void host_set_topology(const struct host_topology *topology)
{
    shape = *topology;
}

/* CPU 0 counts with the others unless they are numbered from 1 on, when it stands behind them all. */
static unsigned place_of(unsigned id)
{
    return id >= shape.first ? id - shape.first : HOST_MAX_CPUS;
}

const struct cpu_topology *cpu_topology(unsigned id)
{
    unsigned package_cpus = shape.threads * shape.cores * shape.clusters, at = place_of(id);

    places[id] = (struct cpu_topology){.known = true,
                                       .package = at / package_cpus,
                                       .core = at % package_cpus / shape.threads,
                                       .thread = at % shape.threads};
    return &places[id];
}

/* One cache, that of the cluster. */
static unsigned cluster_of(unsigned id)
{
    return place_of(id) / (shape.threads * shape.cores);
}

bool cpu_cache(unsigned id, unsigned index, struct cpu_cache *ret_cache)
{
    if (index > 0) {
        return false;
    }
    *ret_cache = (struct cpu_cache){.type = CPU_CACHE_UNIFIED,
                                    .level = 3,
                                    .line_bytes = 64,
                                    .partitions = 1,
                                    .ways = 16,
                                    .sets = 4096,
                                    .size_bytes = 4u << 20,
                                    .id = cluster_of(id)};
    return true;
}

void cpu_group_mask(unsigned id, enum cpu_group group, struct cpumask *ret_mask)
{
    struct cpu_topology own = *cpu_topology(id);
    unsigned other;

    *ret_mask = CPUMASK_NONE;
    for_each_online_cpu (other) {
        const struct cpu_topology *its = cpu_topology(other);
        if (its->package == own.package && (group != CPU_GROUP_CORE || its->core == own.core)) {
            cpumask_set(ret_mask, other);
        }
    }
}

void cpu_cache_mask(unsigned id, unsigned index, struct cpumask *ret_mask)
{
    unsigned other;

    *ret_mask = CPUMASK_NONE;
    for_each_online_cpu (other) {
        if (index == 0 && cluster_of(other) == cluster_of(id)) {
            cpumask_set(ret_mask, other);
        }
    }
}
