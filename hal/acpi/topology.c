/*
 * From SRAT and SLIT to the kernel's map of NUMA nodes.
 *
 * Proximity domains are any 32-bit numbers; nodes are numbered from 0 in ascending order of the domains that have memory or processors. The SLIT is
 * indexed by domain. What contradicts itself is refused as a whole; a SLIT that does not fit is left out alone.
 */
#include "hal/acpi/acpi.h"
#include "kernel/base/errno.h"
#include "kernel/base/sort.h"
#include "kernel/base/string.h"
#include "kernel/mm/node.h"

struct domains {
    unsigned count;
    uint32_t domain[MAX_NODES]; /* ascending */
};

/* Where the domain is, or would be. */
static unsigned domain_place(const struct domains *domains, uint32_t domain)
{
    unsigned at = 0;

    while (at < domains->count && domains->domain[at] < domain) {
        at++;
    }
    return at;
}

static bool domain_is_known(const struct domains *domains, uint32_t domain)
{
    unsigned at = domain_place(domains, domain);

    return at < domains->count && domains->domain[at] == domain;
}

static int domain_add(struct domains *domains, uint32_t domain)
{
    unsigned at = domain_place(domains, domain);

    if (domain_is_known(domains, domain)) {
        return 0;
    }
    if (domains->count == MAX_NODES) {
        return -E2BIG;
    }
    memmove(&domains->domain[at + 1], &domains->domain[at],
            (domains->count - at) * sizeof(domains->domain[0]));
    domains->domain[at] = domain;
    domains->count++;
    return 0;
}

static int domains_collect(const struct acpi_srat *srat, struct domains *domains)
{
    int err = 0;

    domains->count = 0;
    for (unsigned i = 0; i < srat->nmems && err == 0; i++) {
        err = domain_add(domains, srat->mem[i].domain);
    }
    for (unsigned i = 0; i < srat->ncpus && err == 0; i++) {
        err = domain_add(domains, srat->cpu[i].domain);
    }
    return err == 0 && domains->count == 0 ? -ENOENT : err;
}

static int range_compare(const void *a, const void *b)
{
    const struct numa_range *x = a, *y = b;

    return x->base < y->base ? -1 : x->base > y->base;
}

_Static_assert(ARRAY_SIZE(((struct acpi_srat *)NULL)->mem) <= MAX_NUMA_RANGES, "they all fit");

static int ranges_fill(const struct acpi_srat *srat, const struct domains *domains,
                       struct numa_map *map)
{
    for (unsigned i = 0; i < srat->nmems; i++) {
        const struct acpi_srat_mem *mem = &srat->mem[i];
        map->range[map->nranges++] = (struct numa_range){
            .base = mem->base,
            .end = mem->base + mem->length_bytes,
            .node = domain_place(domains, mem->domain),
        };
    }
    sort_array(map->range, map->nranges, sizeof(map->range[0]), range_compare);
    for (unsigned i = 1; i < map->nranges; i++) {
        if (map->range[i].base < map->range[i - 1].end) {
            return -EINVAL;
        }
    }
    return 0;
}

/* False: the matrix does not know all domains, or says that two are one. */
static bool distances_fill(const uint8_t *slit, unsigned n, const struct domains *domains,
                           struct numa_map *map)
{
    for (unsigned i = 0; i < domains->count; i++) {
        for (unsigned j = 0; j < domains->count; j++) {
            uint32_t from = domains->domain[i], to = domains->domain[j];
            if (from >= n || to >= n || (slit[from * n + to] <= DISTANCE_LOCAL) != (i == j)) {
                return false;
            }
            map->distance[i][j] = slit[from * n + to];
        }
    }
    return true;
}

int acpi_numa_map(const struct acpi_srat *srat, const uint8_t *slit, unsigned nslit,
                  struct numa_map *ret_map)
{
    struct domains domains;
    int err = domains_collect(srat, &domains);

    if (err < 0) {
        return err;
    }
    memset(ret_map, 0, sizeof(*ret_map));
    ret_map->nnodes = domains.count;
    err = ranges_fill(srat, &domains, ret_map);
    if (err < 0) {
        return err;
    }
    if (distances_fill(slit, nslit, &domains, ret_map)) {
        return 0;
    }
    for (unsigned i = 0; i < domains.count; i++) {
        for (unsigned j = 0; j < domains.count; j++) {
            ret_map->distance[i][j] = i == j ? DISTANCE_LOCAL : DISTANCE_REMOTE;
        }
    }
    return nslit == 0 ? 0 : 1;
}

int acpi_srat_cpu_node(const struct acpi_srat *srat, uint32_t apic_id)
{
    struct domains domains;

    if (domains_collect(srat, &domains) < 0) {
        return -ENOENT;
    }
    for (unsigned i = 0; i < srat->ncpus; i++) {
        if (srat->cpu[i].apic_id == apic_id) {
            return (int)domain_place(&domains, srat->cpu[i].domain);
        }
    }
    return -ENOENT;
}
