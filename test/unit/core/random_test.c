/* The random generator (kernel/core/random.h). */
#define TEST_SUITE "core"
#include "kernel/core/random.h"

#include "test/unit/test.h"

TEST(random, jitter_makes_it_ready_in_the_end)
{
    bool ready = random_ready();
    unsigned n = 0;

    for (; !random_ready() && n < 10000; n++) {
        random_add_jitter();
    }
    EXPECT(random_ready());
    EXPECT(ready || n >= 256); /* a bit each */
}

TEST(random, the_seed_is_wiped_when_it_has_been_used)
{
    static const uint8_t nothing[64];
    uint8_t seed[64];

    memset(seed, 0x5a, sizeof(seed));
    random_init(seed, sizeof(seed), true);
    EXPECT_MEM_EQ(seed, nothing, sizeof(seed));
    EXPECT(random_ready());
    EXPECT_EQ(random_reseed(), 0);
    EXPECT_NE(random_u64(), random_u64());
}
