#define TEST_SUITE "debug"
#include "test/unit/test.h"

#include "kernel/debug/bench.h"
#include "test/unit/vm/space.h"

TEST(bench, every_row_runs_and_leaves_nothing)
{
    unsigned n = 0;

    vm_test_init();
    linkset_foreach (kernel_benches, struct kernel_bench, bench) {
        EXPECT_EQ(bench->run(), 0); /* caches fill */
        uint64_t before = frames_in_use();
        EXPECT_EQ(bench->run(), 0);
        EXPECT_EQ(frames_in_use(), before);
        EXPECT(bench->amount > 0);
        n++;
    }
    EXPECT(n > 20);
}
