#define TEST_SUITE "base"
#include "test/unit/test.h"

#include "kernel/base/bitmap.h"
#include "test/unit/base/random.h"

#define NBITS 300

static uint64_t map[BITMAP_WORDS(NBITS)];
static bool model[NBITS];

static size_t model_find(bool wanted, size_t nbits, size_t from)
{
    for (; from < nbits; from++) {
        if (model[from] == wanted) {
            return from;
        }
    }
    return nbits;
}

TEST(bitmap, agrees_with_a_plain_model_under_random_operations)
{
    uint64_t seed = 1;

    for (unsigned i = 0; i < 5000; i++) {
        size_t from = test_random(&seed) % NBITS;
        size_t count = test_random(&seed) % (NBITS - from + 1);
        size_t nbits = test_random(&seed) % (NBITS + 1), ones = 0;
        bool set = test_random(&seed) % 2 != 0;
        count = i % 2 != 0 ? MIN(count, (size_t)3) : count;
        if (set) {
            bitmap_set_range(map, from, count);
        } else {
            bitmap_clear_range(map, from, count);
        }
        for (size_t k = from; k < from + count; k++) {
            model[k] = set;
        }
        from = test_random(&seed) % (NBITS + 5);
        EXPECT_EQ(bitmap_find_set(map, nbits, from), model_find(true, nbits, MIN(from, nbits)));
        EXPECT_EQ(bitmap_find_clear(map, nbits, from), model_find(false, nbits, MIN(from, nbits)));
        for (size_t k = 0; k < nbits; k++) {
            ones += model[k];
            EXPECT_EQ(bitmap_test(map, k), model[k]);
        }
        EXPECT_EQ(bitmap_count(map, nbits), ones);
    }
}

TEST(bitmap, single_bits)
{
    uint64_t word[2] = {0};

    bitmap_set(word, 64);
    EXPECT(bitmap_test(word, 64) && !bitmap_test(word, 0));
    EXPECT_EQ(word[1], 1);
    bitmap_clear(word, 64);
    EXPECT_EQ(word[1], 0);
}

TEST(bitmap, scans_and_logarithms)
{
    EXPECT_EQ(bit_ffs(8), 3);
    EXPECT_EQ(bit_fls(9), 3);
    EXPECT_EQ(bit_fls(1ull << 63), 63);
    EXPECT_EQ(log2_ceil(1), 0);
    EXPECT_EQ(log2_ceil(2), 1);
    EXPECT_EQ(log2_ceil(3), 2);
    EXPECT_EQ(log2_ceil(4096), 12);
    EXPECT_EQ(log2_ceil(4097), 13);
}
