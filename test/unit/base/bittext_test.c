/* Sets of bits from text, in cpuset(7)'s formats. */
#define TEST_SUITE "base"
#include "kernel/base/bittext.h"

#include "kernel/base/errno.h"
#include "test/unit/test.h"

#define UNTOUCHED 0x5a5a5a5a5a5a5a5aull

static int mask_of(const char *text, size_t nbits, uint64_t map[2])
{
    map[0] = map[1] = UNTOUCHED;
    return bitmap_parse_mask(text, map, nbits);
}

static int list_of(const char *text, size_t nbits, uint64_t map[2])
{
    map[0] = map[1] = UNTOUCHED;
    return bitmap_parse_list(text, map, nbits);
}

TEST(bittext, masks_have_their_lowest_bits_last)
{
    uint64_t map[2];

    EXPECT_EQ(mask_of("5", 8, map), 0);
    EXPECT_EQ(map[0] & 255, 5);
    EXPECT_EQ(mask_of("1,00000002", 64, map), 0);
    EXPECT_EQ(map[0], 0x100000002ull);
    EXPECT_EQ(mask_of("Ab,2,1,80000000", 128, map), 0);
    EXPECT_EQ(map[0], 0x180000000ull);
    EXPECT_EQ(map[1], 0xab00000002ull);
    EXPECT_EQ(mask_of("", 8, map), 0);
    EXPECT_EQ(map[0] & 255, 0);
}

TEST(bittext, masks_that_are_none_change_nothing)
{
    static const struct {
        const char *text;
        size_t nbits;
        int err;
    } cases[] = {{"g", 8, -EINVAL},
                 {"0x1", 8, -EINVAL},
                 {"100", 8, -EOVERFLOW},
                 {"4", 2, -EOVERFLOW},
                 {"1,00000000", 32, -EOVERFLOW},
                 {"123456789", 64, -EOVERFLOW}};
    uint64_t map[2];

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        EXPECT_EQ(mask_of(cases[i].text, cases[i].nbits, map), cases[i].err);
        EXPECT_EQ(map[0], UNTOUCHED);
    }
}

TEST(bittext, lists_have_numbers_ranges_and_patterns)
{
    uint64_t map[2];

    EXPECT_EQ(list_of("0-3,6", 64, map), 0);
    EXPECT_EQ(map[0], 0x4f);
    EXPECT_EQ(list_of(" 1 ,, 5", 64, map), 0);
    EXPECT_EQ(map[0], 0x22);
    EXPECT_EQ(list_of("0-11:2/4", 64, map), 0);
    EXPECT_EQ(map[0], 0x333);
    EXPECT_EQ(list_of("all", 64, map), 0);
    EXPECT_EQ(map[0], ~0ull);
    EXPECT_EQ(list_of("60-N", 64, map), 0);
    EXPECT_EQ(map[0], 0xfull << 60);
    EXPECT_EQ(list_of("62-65", 128, map), 0);
    EXPECT_EQ(map[0], 3ull << 62);
    EXPECT_EQ(map[1], 3);
    EXPECT_EQ(list_of("", 64, map), 0);
    EXPECT_EQ(map[0], 0);
}

TEST(bittext, lists_that_are_none_change_nothing)
{
    static const struct {
        const char *text;
        int err;
    } cases[] = {{"x", -EINVAL},     {"3-1", -EINVAL},          {"1-", -EINVAL},
                 {"1:2/3", -EINVAL}, {"0-3:4/2", -EINVAL},      {"0-3:1/0", -EINVAL},
                 {"0-3:1", -EINVAL}, {"1 2x", -EINVAL},         {"8", -ERANGE},
                 {"0-8", -ERANGE},   {"4294967296", -EOVERFLOW}};
    uint64_t map[2];

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        EXPECT_EQ(list_of(cases[i].text, 8, map), cases[i].err);
        EXPECT_EQ(map[0], UNTOUCHED);
    }
}
