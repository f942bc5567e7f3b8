/*
 * Scheduling domains: for each CPU, sets of CPUs around it that grow from the threads of its core to the whole machine. Private to
 * kernel/sched, but for what /proc/schedstat tells of them.
 *
 * Who is nearer shares more: a core's threads share all caches, a cluster the last level one, a package the way to memory, a node its
 * memory. A level that is no larger than the one below it has nothing of its own, and is passed over.
 *
 * Locking: the sets are written by who has kept CPUs from coming and going (domain.c), and read by all at any time, word by word: whoever reads
 * while they change finds the old or the new bit of each CPU, and all that is done with a set is a guess, which the run queue's lock confirms.
 */
#pragma once

#include "kernel/machine/cpumask.h"
#include "kernel/sched/sched.h"

struct sched_domain {
    struct cpumask span; /* [a] the CPU itself is among them */
    uint32_t size;       /* [a] how many they are */
    uint32_t
        interval; /* own CPU's softirq: ticks between two looks at whether the load is shared out */
    uint64_t next; /* own CPU's softirq: when to look again */
    ktime_t
        rotated; /* own CPU's softirq: when a thread was fetched last only so that others have their turn alone */
    struct domain_stats stats; /* [a] counted by its CPU */
};

/* The next level from `level` on (0: the nearest) that has CPUs of its own; DOMAIN_LEVELS: there is none. */
static inline unsigned domain_next(const struct sched_domain *domains, unsigned level)
{
    for (; level < DOMAIN_LEVELS; level++) {
        uint32_t below = level == 0 ? 1 : atomic_load_relaxed(&domains[level - 1].size);
        if (atomic_load_relaxed(&domains[level].size) > below) {
            break;
        }
    }
    return level;
}

/* Its levels, nearest first. */
#define for_each_domain(level, domains)                                                            \
    for ((level) = domain_next((domains), 0); (level) < DOMAIN_LEVELS;                             \
         (level) = domain_next((domains), (level) + 1))

/* CPUs that have nothing to run, of those that have run something once. Set and cleared by each CPU; read by all. */
extern struct cpumask sched_idle; /* [a] */

/* Ticks between two looks at a domain where something was out of balance just now; else the interval grows. */
static inline uint32_t domain_interval_min(const struct sched_domain *domain)
{
    return 4 + domain->size / 4;
}

/* The CPU is alone in all its domains. */
void domains_init(unsigned cpu);
