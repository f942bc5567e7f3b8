/*
 * NUMA nodes: which memory and which CPU belong together, and how far the groups are from each other.
 *
 * The machine tells before frames_init() what the firmware says; without it there is one node. Nodes are numbered 0 .. n-1. Memory that nothing is said
 * of belongs to node 0. A block of the largest size belongs to the node of its first frame.
 *
 * Locks: written at boot alone; figures are atomic.
 */
#pragma once

#include "kernel/mm/page.h"

#define MAX_NODES         64
#define MAX_NUMA_RANGES   128
#define NODE_LOCAL        (-1) /* the node of the CPU that asks */
#define NODES_ALL         (~0ull)
#define DISTANCE_LOCAL    10
#define DISTANCE_REMOTE   20 /* when the firmware does not say */
#define DISTANCE_INFINITE 255

typedef uint64_t nodemask_t; /* bit per node */

/*
 * From which nodes memory comes, for a thread or a range of addresses: kernel/vm/mempolicy.h. All zero: no policy.
 */
struct mempolicy {
    nodemask_t nodes;      /* in force; those with memory alone */
    nodemask_t user_nodes; /* as they were asked for */
    uint16_t flags;        /* MPOL_F_STATIC_NODES and the like */
    uint8_t mode;          /* MPOL_* */
    int8_t home; /* whose neighbourhood MPOL_BIND and PREFERRED_MANY take first; NODE_LOCAL */
};

struct numa_range {
    paddr_t base, end;
    uint32_t node;
};

struct numa_map {
    unsigned nnodes, nranges;
    struct numa_range range[MAX_NUMA_RANGES]; /* sorted, no overlaps */
    uint8_t distance[MAX_NODES][MAX_NODES];   /* 10: itself, 255: unreachable */
};

/* Boot, before frames_init(); copied. -EINVAL: the map contradicts itself; there is one node then. */
int nodes_set_map(const struct numa_map *map);
/* Boot: CPU `cpu` belongs to `node`; all belong to node 0 until told otherwise. */
void node_add_cpu(unsigned node, unsigned cpu);

/* All nodes there are; those with memory; those with CPUs that run. Any context. */
nodemask_t nodes_online(void);
nodemask_t nodes_with_memory(void);
nodemask_t nodes_with_cpu(void);
/* Nodes with memory in ZONE_NORMAL or below; the same on machines without high memory. */
unsigned nodes_count(void);
unsigned node_distance(unsigned from, unsigned to);
unsigned cpu_node(unsigned cpu);
/* The node of the CPU we run on. Preemptible callers get a hint. */
unsigned this_node(void);
/* The i-th nearest node with memory, itself the first when it has some; -1: past the last. */
int node_near(unsigned node, unsigned i);
/* Only for frames that pfn_valid() knows. */
unsigned page_node(const struct page *page);

/* As /sys/devices/system/node/nodeN/numastat names them (Linux's Documentation/admin-guide/numastat.rst). */
enum numa_stat {
    NUMA_HIT,
    NUMA_MISS,
    NUMA_FOREIGN,
    NUMA_INTERLEAVE_HIT,
    NUMA_LOCAL,
    NUMA_OTHER,
    NUMA_NSTATS,
};

struct node_stats {
    uint64_t total, free; /* frames */
    uint64_t by_kind[PAGE_NKINDS];
    uint64_t numa[NUMA_NSTATS];
};
/* False: no such node. Any context. */
bool node_stats(unsigned node, struct node_stats *ret_stats);
/* A page was placed on `node` because it was its turn. */
void node_count_interleave(unsigned node);
