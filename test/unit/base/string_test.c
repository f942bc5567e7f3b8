#define TEST_SUITE "base"
#include "test/unit/test.h"

#include "kernel/base/errno.h"

TEST(string, copy_tells_the_length_or_that_it_was_cut)
{
    char buf[4];

    EXPECT_EQ(str_copy(buf, "abc", sizeof(buf)), 3);
    EXPECT_STR_EQ(buf, "abc");
    EXPECT_EQ(str_copy(buf, "abcd", sizeof(buf)), -E2BIG);
    EXPECT_STR_EQ(buf, "abc");
    EXPECT_EQ(str_copy(buf, "", sizeof(buf)), 0);
    EXPECT_STR_EQ(buf, "");
    buf[0] = 'x';
    EXPECT_EQ(str_copy(buf, "a", 0), -E2BIG);
    EXPECT_EQ(buf[0], 'x');
}

TEST(string, has_prefix_compares_the_whole_prefix)
{
    EXPECT(str_has_prefix("console=tty0", "console="));
    EXPECT(str_has_prefix("a", ""));
    EXPECT(!str_has_prefix("con", "console"));
    EXPECT(!str_has_prefix("", "a"));
}

static void expect_u64(const char *text, unsigned base, int err, uint64_t expected)
{
    uint64_t value = 42;

    EXPECT_EQ(str_to_u64(text, base, &value), err);
    EXPECT(value == (err < 0 ? 42 : expected));
}

TEST(string, to_u64_reads_bases_and_refuses_the_rest)
{
    expect_u64("0", 10, 0, 0);
    expect_u64("18446744073709551615", 10, 0, UINT64_MAX);
    expect_u64("18446744073709551616", 10, -ERANGE, 0);
    expect_u64("0x1F", 0, 0, 31);
    expect_u64("0x1f", 16, 0, 31);
    expect_u64("1f", 16, 0, 31);
    expect_u64("017", 0, 0, 15);
    expect_u64("017", 10, 0, 17);
    expect_u64("", 10, -EINVAL, 0);
    expect_u64("0x", 0, -EINVAL, 0);
    expect_u64("12a", 10, -EINVAL, 0);
    expect_u64("12 ", 10, -EINVAL, 0);
    expect_u64("-1", 10, -EINVAL, 0);
    expect_u64("08", 0, -EINVAL, 0);
}

TEST(string, to_i64_reads_signs_and_both_ends_of_the_range)
{
    int64_t value = 0;

    EXPECT_EQ(str_to_i64("-9223372036854775808", 10, &value), 0);
    EXPECT(value == INT64_MIN);
    EXPECT_EQ(str_to_i64("9223372036854775807", 10, &value), 0);
    EXPECT(value == INT64_MAX);
    EXPECT_EQ(str_to_i64("9223372036854775808", 10, &value), -ERANGE);
    EXPECT_EQ(str_to_i64("-9223372036854775809", 10, &value), -ERANGE);
    EXPECT_EQ(str_to_i64("+5", 10, &value), 0);
    EXPECT_EQ(value, 5);
    EXPECT_EQ(str_to_i64("--5", 10, &value), -EINVAL);
    EXPECT_EQ(str_to_i64("-", 10, &value), -EINVAL);
}

TEST(string, to_size_understands_suffixes)
{
    uint64_t value = 0;

    EXPECT_EQ(str_to_size("512", &value), 0);
    EXPECT_EQ(value, 512);
    EXPECT_EQ(str_to_size("4k", &value), 0);
    EXPECT_EQ(value, 4096);
    EXPECT_EQ(str_to_size("0x10M", &value), 0);
    EXPECT_EQ(value, 16 << 20);
    EXPECT_EQ(str_to_size("1T", &value), 0);
    EXPECT_EQ(value, 1ll << 40);
    EXPECT_EQ(str_to_size("1kb", &value), -EINVAL);
    EXPECT_EQ(str_to_size("k", &value), -EINVAL);
    EXPECT_EQ(str_to_size("99999999999T", &value), -ERANGE);
}
