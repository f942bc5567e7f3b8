#define TEST_SUITE "base"
#include "test/unit/test.h"

#include "kernel/base/sort.h"
#include "test/unit/base/random.h"

struct element {
    uint32_t key;
    uint8_t payload[9];
};

static int compare(const void *a, const void *b)
{
    uint32_t x = ((const struct element *)a)->key, y = ((const struct element *)b)->key;

    return x < y ? -1 : x > y;
}

TEST(sort, orders_arrays_of_all_lengths_and_keeps_the_elements)
{
    struct element array[70];
    uint64_t seed = 1;

    for (size_t n = 0; n <= ARRAY_SIZE(array); n++) {
        uint64_t sum = 0, sum_after = 0;
        for (size_t i = 0; i < n; i++) {
            array[i].key = (uint32_t)test_random(&seed) % (n % 3 == 0 ? 5 : 1000000);
            memset(array[i].payload, (int)(array[i].key & 0xff), sizeof(array[i].payload));
            sum += array[i].key;
        }
        sort_array(array, n, sizeof(array[0]), compare);
        for (size_t i = 0; i < n; i++) {
            EXPECT(i == 0 || array[i - 1].key <= array[i].key);
            EXPECT_EQ(array[i].payload[8], array[i].key & 0xff);
            sum_after += array[i].key;
        }
        EXPECT_EQ(sum, sum_after);
    }
}
