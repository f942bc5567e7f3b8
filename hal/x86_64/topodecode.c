/*
 * What CPUID says of a processor's place and caches.
 *
 * Place: leaf 1FH, else 0BH: levels from the inside out, each with how many low bits of the APIC id number what is inside of the next (Intel
 * SDM volume 3, 8.9; AMD has leaf 0BH too). Older processors say how many ids a package may have (leaf 1) and how many of them are cores
 * (Intel: leaf 4; AMD: leaf 80000008H).
 * Caches: leaf 4, on AMD 8000001DH, which is laid out alike (SDM volume 2, CPUID; APM volume 3, E.4.15), or before it 80000005H and
 * 80000006H (E.4.3, E.4.4).
 */
#include "hal/x86_64/topodecode.h"

#include "kernel/base/string.h"

enum { EAX, EBX, ECX, EDX };

#define LEVEL_THREAD 1u /* leaves 0BH and 1FH: types of levels */
#define LEVEL_DIE    5u
#define LEVELS_MAX   8u

struct place_bits {
    uint32_t apic_id;
    unsigned core_at, die_at, package_at; /* the lowest bit of each number in the APIC id */
};

/* Bits that n different numbers take. */
static unsigned bits_for(uint32_t n)
{
    return n <= 1 ? 0 : 32 - (unsigned)__builtin_clz(n - 1);
}

/* False: the leaf is not there. */
static bool levels_read(topology_cpuid_fn *cpuid, void *arg, uint32_t leaf, struct place_bits *bits)
{
    uint32_t r[4];

    cpuid(arg, leaf, 0, r);
    if ((r[EBX] & 0xffff) == 0) {
        return false;
    }
    *bits = (struct place_bits){.apic_id = r[EDX]};
    bool die = false;
    for (uint32_t i = 0; i < LEVELS_MAX; i++) {
        cpuid(arg, leaf, i, r);
        unsigned type = r[ECX] >> 8 & 0xff, shift = r[EAX] & 0x1f;
        if (type == 0) {
            break;
        }
        if (type == LEVEL_THREAD) {
            bits->core_at = shift;
        }
        if (type == LEVEL_DIE) {
            bits->die_at = bits->package_at; /* the end of the level inside */
            die = true;
        }
        bits->package_at = shift;
    }
    if (!die) {
        bits->die_at = bits->package_at;
    }
    return true;
}

static void levels_guess(topology_cpuid_fn *cpuid, void *arg, uint32_t max, bool amd,
                         struct place_bits *bits)
{
    uint32_t r[4], extended[4];
    uint32_t cores = 1;

    cpuid(arg, 1, 0, r);
    *bits = (struct place_bits){.apic_id = r[EBX] >> 24};
    uint32_t ids = (r[EDX] >> 28 & 1) != 0 ? r[EBX] >> 16 & 0xff : 1;
    cpuid(arg, 0x80000000, 0, extended);
    if (amd && extended[EAX] >= 0x80000008) {
        cpuid(arg, 0x80000008, 0, extended);
        cores = (extended[ECX] & 0xff) + 1;
    } else if (!amd && max >= 4) {
        uint32_t cache[4];
        cpuid(arg, 4, 0, cache);
        cores = (cache[EAX] & 0x1f) != 0 ? (cache[EAX] >> 26) + 1 : 1;
    }
    bits->package_at = bits->die_at = bits_for(ids > cores ? ids : cores);
    bits->core_at = bits->package_at - bits_for(cores);
}

static void caches_read(topology_cpuid_fn *cpuid, void *arg, uint32_t leaf, uint32_t apic_id,
                        struct topology_decoded *decoded)
{
    for (uint32_t i = 0; decoded->ncaches < TOPOLOGY_CACHES_MAX; i++) {
        uint32_t r[4];

        cpuid(arg, leaf, i, r);
        unsigned type = r[EAX] & 0x1f;
        if (type < CPU_CACHE_DATA || type > CPU_CACHE_UNIFIED) {
            return;
        }
        struct cpu_cache *cache = &decoded->caches[decoded->ncaches++];
        *cache = (struct cpu_cache){
            .type = (enum cpu_cache_type)type,
            .level = r[EAX] >> 5 & 7,
            .line_bytes = (r[EBX] & 0xfff) + 1,
            .partitions = (r[EBX] >> 12 & 0x3ff) + 1,
            .ways = (r[EBX] >> 22) + 1,
            .sets = r[ECX] + 1,
            .id = apic_id >> bits_for((r[EAX] >> 14 & 0xfff) + 1),
        };
        cache->size_bytes =
            (uint64_t)cache->line_bytes * cache->partitions * cache->ways * cache->sets;
    }
}

/* Ways as leaf 80000006H tells them (APM volume 3, E.4.4); 0: the cache is off. */
static const uint8_t amd_ways[16] = {0, 1, 2, 3, 4, 6, 8, 0, 16, 0, 32, 48, 64, 96, 128, 255};

static void cache_add(struct topology_decoded *decoded, enum cpu_cache_type type, unsigned level,
                      uint64_t size, unsigned ways, unsigned line, uint32_t id)
{
    if (size == 0 || ways == 0 || line == 0) {
        return;
    }
    if (ways == 255) { /* fully associative */
        ways = (unsigned)(size / line);
    }
    decoded->caches[decoded->ncaches++] = (struct cpu_cache){
        .type = type,
        .level = level,
        .line_bytes = line,
        .partitions = 1,
        .ways = ways,
        .sets = (unsigned)(size / line / ways),
        .size_bytes = size,
        .id = id,
    };
}

/* AMD before leaf 8000001DH: leaves 80000005H and 80000006H. The first two levels are a core's, the third a package's. */
static void amd_caches_read(topology_cpuid_fn *cpuid, void *arg, const struct place_bits *bits,
                            struct topology_decoded *decoded)
{
    uint32_t core = bits->apic_id >> bits->core_at, r[4];
    uint32_t package = (uint32_t)((uint64_t)bits->apic_id >> bits->package_at);

    cpuid(arg, 0x80000005, 0, r);
    cache_add(decoded, CPU_CACHE_DATA, 1, (uint64_t)(r[ECX] >> 24) << 10, r[ECX] >> 16 & 0xff,
              r[ECX] & 0xff, core);
    cache_add(decoded, CPU_CACHE_INSTRUCTION, 1, (uint64_t)(r[EDX] >> 24) << 10,
              r[EDX] >> 16 & 0xff, r[EDX] & 0xff, core);
    cpuid(arg, 0x80000006, 0, r);
    cache_add(decoded, CPU_CACHE_UNIFIED, 2, (uint64_t)(r[ECX] >> 16) << 10,
              amd_ways[r[ECX] >> 12 & 15], r[ECX] & 0xff, core);
    cache_add(decoded, CPU_CACHE_UNIFIED, 3, (uint64_t)(r[EDX] >> 18) << 19,
              amd_ways[r[EDX] >> 12 & 15], r[EDX] & 0xff, package);
}

static uint32_t field(uint32_t value, unsigned low, unsigned high)
{
    return (uint32_t)((value & ((1ull << high) - 1)) >> low);
}

void topology_decode(topology_cpuid_fn *cpuid, void *arg, struct topology_decoded *ret_decoded)
{
    struct place_bits bits;
    uint32_t r[4];

    cpuid(arg, 0, 0, r);
    uint32_t max = r[EAX];
    bool amd = r[EBX] == 0x68747541u || r[EBX] == 0x6f677948u; /* "Auth"enticAMD, "Hygo"nGenuine */
    memset(ret_decoded, 0, sizeof(*ret_decoded));
    if (!(max >= 0x1f && levels_read(cpuid, arg, 0x1f, &bits)) &&
        !(max >= 0x0b && levels_read(cpuid, arg, 0x0b, &bits))) {
        levels_guess(cpuid, arg, max, amd, &bits);
    }
    ret_decoded->place = (struct cpu_topology){
        .known = true,
        .package = (uint32_t)((uint64_t)bits.apic_id >> bits.package_at),
        .die = field(bits.apic_id, bits.die_at, bits.package_at),
        .core = field(bits.apic_id, bits.core_at, bits.package_at),
        .thread = field(bits.apic_id, 0, bits.core_at),
    };
    cpuid(arg, 0x80000000, 0, r);
    uint32_t max_extended = r[EAX];
    uint32_t ext1_ecx = 0;
    if (max_extended >= 0x80000001) {
        cpuid(arg, 0x80000001, 0, r);
        ext1_ecx = r[ECX];
    }
    if (amd && max_extended >= 0x8000001d && (ext1_ecx >> 22 & 1) != 0) {
        caches_read(cpuid, arg, 0x8000001d, bits.apic_id, ret_decoded);
    } else if (amd && max_extended >= 0x80000006) {
        amd_caches_read(cpuid, arg, &bits, ret_decoded);
    } else if (!amd && max >= 4) {
        caches_read(cpuid, arg, 4, bits.apic_id, ret_decoded);
    }
}
