/*
 * Policies: values, and those of shared memory against an array.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "kernel/base/string.h"
#include "kernel/vm/mempolicy.h"
#include "test/unit/base/random.h"
#include "test/unit/vm/space.h"

TEST(mempolicy, is_shown_as_numa_maps_has_it)
{
    struct mempolicy policy = {.mode = MPOL_INTERLEAVE, .nodes = 0x8000000000000037ull};
    char text[64];

    EXPECT_EQ(mempolicy_format(&policy, text, sizeof(text)), 21);
    EXPECT(strcmp(text, "interleave:0-2,4-5,63") == 0);
    policy =
        (struct mempolicy){.mode = MPOL_PREFERRED_MANY, .nodes = 2, .flags = MPOL_F_RELATIVE_NODES};
    (void)mempolicy_format(&policy, text, sizeof(text));
    EXPECT(strcmp(text, "prefer (many)=relative:1") == 0);
    policy = (struct mempolicy){0};
    (void)mempolicy_format(&policy, text, sizeof(text));
    EXPECT(strcmp(text, "default") == 0);
    policy = (struct mempolicy){.mode = MPOL_BIND, .nodes = ~0ull};
    EXPECT_EQ(mempolicy_format(&policy, text, 7), 6); /* cut */
    EXPECT(strcmp(text, "bind:0") == 0);
}

TEST(mempolicy, nodes_are_counted_round)
{
    EXPECT_EQ(nodemask_nth(0x16, 0), 1);
    EXPECT_EQ(nodemask_nth(0x16, 2), 4);
    EXPECT_EQ(nodemask_nth(0x16, 3), 1);
    EXPECT_EQ(nodemask_nth(BIT(63), 1ull << 40), 63);
}

#define NPAGES 40u

TEST(mempolicy, of_shared_memory_agrees_with_an_array)
{
    uint8_t model[NPAGES] = {0};
    struct vm_source *source;
    struct mempolicy policy;
    uint64_t seed = 3;

    vm_test_init();
    EXPECT_EQ(vm_source_create_shared(NPAGES, &source), 0);
    uint64_t before = frames_in_use();
    for (unsigned round = 0; round < 3000; round++) {
        unsigned first = (unsigned)(test_random(&seed) % NPAGES);
        unsigned last = first + (unsigned)(test_random(&seed) % (NPAGES - first));
        uint8_t mode = (uint8_t)(test_random(&seed) % MPOL_MAX);
        policy = (struct mempolicy){.mode = mode, .nodes = mode != 0};
        EXPECT_EQ(pagecache_set_policy(source->cache, first, last, &policy), 0);
        memset(model + first, mode, last - first + 1);
        for (unsigned i = 0; i < NPAGES; i++) {
            bool found = pagecache_policy_at(source->cache, i, &policy);
            EXPECT_EQ(found, model[i] != MPOL_DEFAULT);
            EXPECT(!found || policy.mode == model[i]);
        }
    }
    policy = (struct mempolicy){0};
    EXPECT_EQ(pagecache_set_policy(source->cache, 0, NPAGES - 1, &policy), 0);
    EXPECT(source->cache->policies == NULL);
    EXPECT_LE(frames_in_use(), before + 4); /* the heap's own */
    source->ops->put(source);
}
