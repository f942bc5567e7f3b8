/* Where a processor stands, from the leaves that processors have (hal/x86_64/topodecode.h). */
#define TEST_SUITE "hal"
#include "hal/x86_64/topodecode.h"

#include "test/unit/test.h"

struct leaf {
    uint32_t leaf, subleaf;
    uint32_t regs[4];
};

/* Leaves end with one whose number is ~0. What is not listed reads 0. */
static void read_listed(void *arg, uint32_t leaf, uint32_t subleaf, uint32_t ret_regs[4])
{
    memset(ret_regs, 0, 4 * sizeof(ret_regs[0]));
    for (const struct leaf *at = arg; at->leaf != ~0u; at++) {
        if (at->leaf == leaf && at->subleaf == subleaf) {
            memcpy(ret_regs, at->regs, sizeof(at->regs));
        }
    }
}

#define INTEL 0x756e6547u, 0x6c65746eu, 0x49656e69u
#define AMD   0x68747541u, 0x444d4163u, 0x69746e65u
#define END                                                                                        \
    {                                                                                              \
        ~0u, 0,                                                                                    \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

TEST(topology, leaf_0bh_numbers_thread_core_and_package)
{
    /* Two threads, up to 16 ids in a package; this is thread 1 of core 3 of package 2: 2 << 4 | 3 << 1 | 1. */
    struct leaf leaves[] = {{0, 0, {0x0b, INTEL}},
                            {0x0b, 0, {1, 2, 0x100, 0x27}},
                            {0x0b, 1, {4, 12, 0x201, 0x27}},
                            {0x0b, 2, {0, 0, 2, 0x27}},
                            END};
    struct topology_decoded decoded;

    topology_decode(read_listed, leaves, &decoded);
    EXPECT(decoded.place.known);
    EXPECT_EQ(decoded.place.package, 2);
    EXPECT_EQ(decoded.place.die, 0);
    EXPECT_EQ(decoded.place.core, 3);
    EXPECT_EQ(decoded.place.thread, 1);
    EXPECT_EQ(decoded.ncaches, 0);
}

TEST(topology, leaf_1fh_comes_first_and_knows_dies)
{
    /* Thread 1 bit, cores to bit 4, dies to bit 6: package 1, die 2, core 5 of the die, thread 0; x2APIC id beyond 8 bits. */
    uint32_t id = 9 << 6 | 2 << 4 | 5 << 1;
    struct leaf leaves[] = {{0, 0, {0x1f, INTEL}},         {0x0b, 0, {0, 1, 0x100, 0}},
                            {0x1f, 0, {1, 2, 0x100, id}},  {0x1f, 1, {4, 16, 0x201, id}},
                            {0x1f, 2, {6, 64, 0x502, id}}, END};
    struct topology_decoded decoded;

    topology_decode(read_listed, leaves, &decoded);
    EXPECT_EQ(decoded.place.package, 9);
    EXPECT_EQ(decoded.place.die, 2);
    EXPECT_EQ(decoded.place.core, 2 << 3 | 5);
    EXPECT_EQ(decoded.place.thread, 0);
}

TEST(topology, old_processors_count_their_cores)
{
    struct leaf intel[] = {{0, 0, {4, INTEL}},
                           {1, 0, {0, 5u << 24 | 8u << 16, 0, 1u << 28}},
                           {4, 0, {3u << 26 | 1u << 5 | 1, 63 | 7u << 22, 63, 0}},
                           END};
    struct leaf amd[] = {{0, 0, {1, AMD}},
                         {1, 0, {0, 6u << 24 | 4u << 16, 0, 1u << 28}},
                         {0x80000000, 0, {0x80000008, 0, 0, 0}},
                         {0x80000008, 0, {0, 0, 3, 0}},
                         END};
    struct topology_decoded decoded;

    topology_decode(read_listed, intel, &decoded);
    EXPECT_EQ(decoded.place.package, 0);
    EXPECT_EQ(decoded.place.core, 2);
    EXPECT_EQ(decoded.place.thread, 1);
    EXPECT_EQ(decoded.ncaches, 1);
    EXPECT_EQ(decoded.caches[0].size_bytes, 32768);
    topology_decode(read_listed, amd, &decoded);
    EXPECT_EQ(decoded.place.package, 1);
    EXPECT_EQ(decoded.place.core, 2);
    EXPECT_EQ(decoded.place.thread, 0);
}

TEST(topology, caches_tell_who_shares_them)
{
    struct leaf leaves[] = {
        {0, 0, {0x0b, AMD}},
        {0x0b, 0, {1, 2, 0x100, 13}},
        {0x0b, 1, {4, 16, 0x201, 13}},
        {0x80000000, 0, {0x8000001d, 0, 0, 0}},
        {0x80000001, 0, {0, 0, 1u << 22, 0}},
        {0x8000001d, 0, {1u << 14 | 1u << 5 | CPU_CACHE_DATA, 63 | 7u << 22, 63, 0}},
        {0x8000001d, 1, {1u << 14 | 1u << 5 | CPU_CACHE_INSTRUCTION, 63 | 7u << 22, 63, 0}},
        {0x8000001d, 2, {7u << 14 | 3u << 5 | CPU_CACHE_UNIFIED, 63 | 15u << 22, 16383, 0}},
        END};
    struct topology_decoded decoded;

    topology_decode(read_listed, leaves, &decoded);
    EXPECT_EQ(decoded.ncaches, 3);
    EXPECT_EQ(decoded.caches[0].id, 6);
    EXPECT_EQ(decoded.caches[1].type, CPU_CACHE_INSTRUCTION);
    EXPECT_EQ(decoded.caches[2].level, 3);
    EXPECT_EQ(decoded.caches[2].size_bytes, 16u << 20);
    EXPECT_EQ(decoded.caches[2].id, 1);
}

TEST(topology, older_amd_processors_tell_their_caches_otherwise)
{
    struct leaf leaves[] = {{0, 0, {0x0b, AMD}},
                            {0x0b, 0, {1, 2, 0x100, 5}},
                            {0x0b, 1, {2, 4, 0x201, 5}},
                            {0x80000000, 0, {0x80000008, 0, 0, 0}},
                            {0x80000005, 0, {0, 0, 0x40020140, 0x40020140}},
                            {0x80000006, 0, {0, 0, 0x02008140, 0x00808140}},
                            END};
    struct topology_decoded decoded;

    topology_decode(read_listed, leaves, &decoded);
    EXPECT_EQ(decoded.ncaches, 4);
    EXPECT_EQ(decoded.caches[0].size_bytes, 64u << 10);
    EXPECT_EQ(decoded.caches[0].ways, 2);
    EXPECT_EQ(decoded.caches[0].id, 2);
    EXPECT_EQ(decoded.caches[2].size_bytes, 512u << 10);
    EXPECT_EQ(decoded.caches[2].ways, 16);
    EXPECT_EQ(decoded.caches[2].sets, 512);
    EXPECT_EQ(decoded.caches[3].level, 3);
    EXPECT_EQ(decoded.caches[3].size_bytes, 16u << 20);
    EXPECT_EQ(decoded.caches[3].id, 1);
}

TEST(topology, a_processor_that_says_nothing_stands_alone)
{
    struct leaf leaves[] = {{0, 0, {1, INTEL}}, END};
    struct topology_decoded decoded;

    topology_decode(read_listed, leaves, &decoded);
    EXPECT(decoded.place.known);
    EXPECT_EQ(decoded.place.package, 0);
    EXPECT_EQ(decoded.place.core, 0);
}
