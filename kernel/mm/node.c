/*
 * The nodes, from the firmware's map.
 *
 * Locks: written at boot alone, but for counters, which are atomic.
 */
#include "kernel/mm/node.h"

#include "kernel/base/errno.h"
#include "kernel/base/sort.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/zone.h"

static struct node first_node;
struct node *nodes[MAX_NODES] = {&first_node};

static struct numa_map numa = {.nnodes = 1, .distance = {{DISTANCE_LOCAL}}}; /* [I] after boot */

/* ---- the map ---- */

static bool map_is_sane(const struct numa_map *map)
{
    if (map->nnodes == 0 || map->nnodes > MAX_NODES || map->nranges > MAX_NUMA_RANGES) {
        return false;
    }
    for (unsigned i = 0; i < map->nranges; i++) {
        const struct numa_range *range = &map->range[i];
        if (range->base >= range->end || range->node >= map->nnodes ||
            (i > 0 && range->base < map->range[i - 1].end)) {
            return false;
        }
    }
    for (unsigned i = 0; i < map->nnodes; i++) {
        for (unsigned j = 0; j < map->nnodes; j++) {
            uint8_t distance = map->distance[i][j];
            if (distance < DISTANCE_LOCAL || (i == j) != (distance == DISTANCE_LOCAL)) {
                return false;
            }
        }
    }
    return true;
}

int nodes_set_map(const struct numa_map *map)
{
    if (!map_is_sane(map)) {
        return -EINVAL;
    }
    numa = *map;
    return 0;
}

unsigned numa_node_at(pfn_t pfn, pfn_t *ret_end)
{
    paddr_t at = ALIGN_DOWN(pfn, FRAME_MAX_BLOCK) << PAGE_SHIFT;
    paddr_t end = UINT64_MAX;
    unsigned node = 0;

    for (unsigned i = 0; i < numa.nranges; i++) {
        const struct numa_range *range = &numa.range[i];
        if (at < range->base) {
            end = range->base;
            break;
        }
        if (at < range->end) {
            node = range->node;
            end = range->end;
            break;
        }
    }
    *ret_end = end == UINT64_MAX ? end >> PAGE_SHIFT
                                 : ALIGN_UP(DIV_ROUND_UP(end, PAGE_SIZE), FRAME_MAX_BLOCK);
    return node;
}

/* ---- the nodes ---- */

void nodes_create(void)
{
    for (unsigned id = 0; id < numa.nnodes; id++) {
        if (id > 0) {
            uint64_t size = ALIGN_UP(sizeof(struct node), PAGE_SIZE);
            nodes[id] = phys_to_virt(early_alloc(size, PAGE_SIZE));
        }
        memset(nodes[id], 0, sizeof(struct node));
        nodes[id]->id = id;
        for (unsigned zone = 0; zone < ZONE_COUNT; zone++) {
            zone_init(&nodes[id]->zones[zone], id, (enum zone_id)zone);
        }
    }
}

static bool node_has_memory(unsigned id)
{
    for (unsigned zone = 0; zone < ZONE_COUNT; zone++) {
        if (READ_ONCE(nodes[id]->zones[zone].managed) > 0) {
            return true;
        }
    }
    return false;
}

/* Nearest first; among equals those that follow come before those that precede, so that not all lean on node 0. */
static unsigned nearness(unsigned from, unsigned to)
{
    unsigned turn = (to + MAX_NODES - from) % MAX_NODES;

    return numa.distance[from][to] * MAX_NODES + turn;
}

void nodes_order(void)
{
    for (unsigned id = 0; id < numa.nnodes; id++) {
        struct node *node = nodes[id];
        node->nnear = 0;
        for (unsigned other = 0; other < numa.nnodes; other++) {
            if (!node_has_memory(other)) {
                continue;
            }
            unsigned at = node->nnear++;
            while (at > 0 && nearness(id, node->near[at - 1]) > nearness(id, other)) {
                node->near[at] = node->near[at - 1];
                at--;
            }
            node->near[at] = (uint8_t)other;
        }
    }
    for (unsigned i = 0; i < numa.nranges && numa.nnodes > 1; i++) {
        log_info("mm: node %u: %#llx to %#llx", numa.range[i].node,
                 (unsigned long long)numa.range[i].base, (unsigned long long)numa.range[i].end);
    }
}

void node_add_cpu(unsigned node, unsigned cpu)
{
    if (node < numa.nnodes && cpu < MAX_CPUS) {
        frames_set_cpu_node(cpu, node);
    }
}

/* ---- questions ---- */

unsigned nodes_count(void)
{
    return numa.nnodes;
}

nodemask_t nodes_online(void)
{
    return numa.nnodes == MAX_NODES ? NODES_ALL : BIT(numa.nnodes) - 1;
}

nodemask_t nodes_with_memory(void)
{
    nodemask_t mask = 0;

    for (unsigned id = 0; id < numa.nnodes; id++) {
        mask |= node_has_memory(id) ? BIT(id) : 0;
    }
    return mask;
}

nodemask_t nodes_with_cpu(void)
{
    nodemask_t mask = 0;
    unsigned cpu;

    for_each_online_cpu (cpu) {
        mask |= BIT(cpu_node(cpu));
    }
    return mask;
}

unsigned node_distance(unsigned from, unsigned to)
{
    return from < numa.nnodes && to < numa.nnodes ? numa.distance[from][to] : DISTANCE_INFINITE;
}

unsigned cpu_node(unsigned cpu)
{
    return frames_cpu_node(cpu);
}

unsigned this_node(void)
{
    return frames_cpu_node(this_cpu->id);
}

int node_near(unsigned node, unsigned i)
{
    return node < numa.nnodes && i < nodes[node]->nnear ? nodes[node]->near[i] : -1;
}

unsigned page_node(const struct page *page)
{
    return pageblock_node(page_to_pfn(page));
}

void node_count_interleave(unsigned node)
{
    (void)atomic_fetch_add_relaxed(&nodes[node]->numa[NUMA_INTERLEAVE_HIT], 1);
}

bool node_stats(unsigned node, struct node_stats *ret_stats)
{
    if (node >= numa.nnodes) {
        return false;
    }
    memset(ret_stats, 0, sizeof(*ret_stats));
    for (unsigned id = 0; id < ZONE_COUNT; id++) {
        struct zone *zone = &nodes[node]->zones[id];
        uint64_t irq = spin_lock_irqsave(&zone->lock);
        ret_stats->total += zone->managed;
        ret_stats->free += zone->free + zone->untouched;
        spin_unlock_irqrestore(&zone->lock, irq);
    }
    frames_node_figures(node, ret_stats);
    return true;
}
