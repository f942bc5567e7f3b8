/*
 * Building scheduling domains from where the CPUs stand (kernel/machine/topology.h) and to which nodes they belong.
 *
 * Interface: sched_domains_rebuild(), whenever CPUs have come or gone. Locking: see domain.h.
 */
#include "kernel/sched/domain.h"

#include "kernel/machine/smp.h"
#include "kernel/machine/topology.h"
#include "kernel/mm/node.h"
#include "kernel/sched/runqueue.h"

struct cpumask sched_idle;

static void domain_set(struct sched_domain *domain, const struct cpumask *span)
{
    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        atomic_store_relaxed(&domain->span.bits[i], span->bits[i]);
    }
    atomic_store_relaxed(&domain->size, cpumask_weight(span));
    domain->interval = domain_interval_min(domain);
}

/* CPUs behind the same last level cache; those of the core if nothing is known of caches. */
static void cache_span(unsigned cpu, struct cpumask *ret_span)
{
    struct cpu_cache cache;
    unsigned last = 0, level = 0;

    for (unsigned i = 0; cpu_cache(cpu, i, &cache); i++) {
        if (cache.type != CPU_CACHE_INSTRUCTION && cache.level > level) {
            level = cache.level;
            last = i;
        }
    }
    if (level == 0) {
        cpu_group_mask(cpu, CPU_GROUP_CORE, ret_span);
    } else {
        cpu_cache_mask(cpu, last, ret_span);
    }
}

static void node_span(unsigned cpu, struct cpumask *ret_span)
{
    unsigned id;

    *ret_span = CPUMASK_NONE;
    for_each_online_cpu (id) {
        if (cpu_node(id) == cpu_node(cpu)) {
            cpumask_set(ret_span, id);
        }
    }
}

/* Each level holds the one below, whatever the firmware says: a node may be smaller than a package, a cache be shared by packages. */
static void build(unsigned cpu)
{
    struct sched_domain *domains = per_cpu_ptr(runqueue, cpu)->domain;
    struct cpumask span = CPUMASK_NONE, next;

    cpumask_set(&span, cpu);
    for (unsigned level = 0; level < DOMAIN_LEVELS; level++) {
        switch (level) {
        case DOMAIN_CORE:
            cpu_group_mask(cpu, CPU_GROUP_CORE, &next);
            break;
        case DOMAIN_CACHE:
            cache_span(cpu, &next);
            break;
        case DOMAIN_PACKAGE:
            cpu_group_mask(cpu, CPU_GROUP_PACKAGE, &next);
            break;
        case DOMAIN_NODE:
            node_span(cpu, &next);
            break;
        default:
            next = *cpus_online();
            break;
        }
        (void)cpumask_or(&span, &span, &next);
        domain_set(&domains[level], &span);
    }
}

void domains_init(unsigned cpu)
{
    struct cpumask alone = CPUMASK_NONE;

    cpumask_set(&alone, cpu);
    for (unsigned level = 0; level < DOMAIN_LEVELS; level++) {
        domain_set(&per_cpu_ptr(runqueue, cpu)->domain[level], &alone);
    }
}

void sched_domains_rebuild(void)
{
    unsigned cpu;

    for_each_online_cpu (cpu) {
        build(cpu);
    }
}

bool sched_domain_stats(unsigned cpu, unsigned index, struct cpumask *ret_span,
                        struct domain_stats *ret_stats)
{
    const struct sched_domain *domains = per_cpu_ptr(runqueue, cpu)->domain;
    unsigned level;

    for_each_domain(level, domains)
    {
        if (index-- == 0) {
            *ret_span = domains[level].span;
            *ret_stats = domains[level].stats;
            return true;
        }
    }
    return false;
}
