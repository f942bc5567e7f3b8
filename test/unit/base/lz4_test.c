#define TEST_SUITE "base"
#include "test/unit/test.h"

#include "kernel/base/errno.h"
#include "kernel/base/lz4.h"
#include "test/unit/base/random.h"

/* Bytes around a buffer that nobody may touch; the address sanitizer sees to the rest. */
#define PAGE 4096u

static struct lz4_table table;
static uint8_t source[LZ4_BLOCK_MAX], packed[LZ4_BLOCK_MAX + 512], result[LZ4_BLOCK_MAX];

static void round_trip(size_t len)
{
    size_t n = lz4_compress(source, len, packed, sizeof(packed), &table);

    EXPECT(n > 0 && n <= len + len / 255 + 16);
    memset(result, 0xee, sizeof(result));
    EXPECT_EQ(lz4_decompress(packed, n, result, len), (ssize_t)len);
    EXPECT_MEM_EQ(result, source, len);
    /* A byte less of room, on either side, is an error and no more. */
    EXPECT_EQ(lz4_compress(source, len, packed, n - 1, &table), 0);
    EXPECT_EQ(lz4_compress(source, len, packed, n, &table), n);
    if (len > 0) {
        EXPECT_EQ(lz4_decompress(packed, n, result, len - 1), -EINVAL);
    }
    EXPECT_EQ(lz4_decompress(packed, n - 1, result, len) == (ssize_t)len, false);
}

/* Made by liblz4 1.9.4 (LZ4_compress_default). */
static const struct known_block {
    const char *text;
    const char *block;
    size_t block_len;
} known_blocks[] = {
    {"", "\x00", 1},
    {"a",
     "\x10"
     "a",
     2},
    {"hello hello hello hello hello hello!",
     "\x6fhello \x06\x00\x06\x50"
     "ello!",
     16},
    {"abcabcabcabcabcabcabcabcabcabcabcabcxyz", "\x3f\x61\x62\x63\x03\x00\x0c\x50\x62\x63xyz", 13},
    {"The quick brown fox jumps over the lazy dog. The lazy dog jumps over the quick brown fox.",
     "\xf0\x1eThe quick brown fox jumps over the lazy dog. -\x00\x04\x0e\x00\x0c&\x00\x07\x45\x00P "
     "fox.",
     64},
};

TEST(lz4, reads_what_others_write)
{
    char text[100];

    for (size_t i = 0; i < ARRAY_SIZE(known_blocks); i++) {
        const struct known_block *known = &known_blocks[i];
        ssize_t n = lz4_decompress(known->block, known->block_len, text, sizeof(text));
        EXPECT_EQ(n, (ssize_t)strlen(known->text));
        EXPECT_MEM_EQ(text, known->text, (size_t)n);
    }
}

TEST(lz4, packs_a_page_of_zeros_into_26_bytes)
{
    uint8_t small[32];

    memset(source, 0, PAGE);
    EXPECT_EQ(lz4_compress(source, PAGE, small, sizeof(small), &table), 26);
    EXPECT_EQ(lz4_decompress(small, 26, result, PAGE), PAGE);
    EXPECT_MEM_EQ(result, source, PAGE);
}

TEST(lz4, gives_back_what_it_took_whatever_its_length_and_period)
{
    uint64_t seed = 7;

    for (size_t len = 0; len < 80; len++) {
        for (size_t period = 1; period < 20; period++) {
            for (size_t i = 0; i < len; i++) {
                source[i] = (uint8_t)(i < period ? test_random(&seed) : source[i - period]);
            }
            round_trip(len);
        }
    }
}

TEST(lz4, gives_back_random_mixes_of_words)
{
    uint64_t seed = 3;
    static const size_t lengths[] = {13, 255, 270, PAGE, 40000, LZ4_BLOCK_MAX};

    for (unsigned round = 0; round < 60; round++) {
        size_t len = lengths[round % ARRAY_SIZE(lengths)];
        unsigned nwords = 1u << (test_random(&seed) % 10), width = 1 + test_random(&seed) % 30;
        uint64_t words = test_random(&seed);
        for (size_t at = 0; at < len;) {
            uint64_t word = words + test_random(&seed) % nwords;
            size_t n = 1 + word % width;
            for (size_t i = 0; i < n && at < len; i++) {
                source[at++] = (uint8_t)test_random(&word);
            }
        }
        round_trip(len);
    }
}

TEST(lz4, does_not_depend_on_what_the_table_held)
{
    uint64_t seed = 11;
    static uint8_t again[PAGE + 64];

    for (size_t i = 0; i < PAGE; i++) {
        source[i] = (uint8_t)(test_random(&seed) % 5);
    }
    memset(&table, 0, sizeof(table));
    size_t n = lz4_compress(source, PAGE, packed, sizeof(packed), &table);
    memset(&table, 0xa5, sizeof(table));
    EXPECT_EQ(lz4_compress(source, PAGE, again, sizeof(again), &table), n);
    EXPECT_MEM_EQ(packed, again, n);
    EXPECT_LT(n, PAGE);
}

TEST(lz4, refuses_blocks_that_are_too_long)
{
    EXPECT_EQ(lz4_compress(source, LZ4_BLOCK_MAX + 1, packed, sizeof(packed), &table), 0);
}

/* Each is damaged in one way. */
static const struct {
    const char *block;
    size_t len;
} hostile_blocks[] = {
    {"", 0},                                 /* nothing */
    {"\x50hell", 5},                         /* a literal is missing */
    {"\xf0", 1},                             /* the length goes on, but does not */
    {"\xf0\xff\xff", 3},                     /* likewise */
    {"\x10\x61\x01", 3},                     /* half an offset */
    {"\x10\x61\x00\x00\x50hello", 10},       /* offset 0 */
    {"\x10\x61\x02\x00\x50hello", 10},       /* before the beginning */
    {"\x10\x61\x01\x00", 4},                 /* ends behind a match */
    {"\x1f\x61\x01\x00\xff\xff", 6},         /* the match length does not end */
    {"\x1f\x61\x01\x00\xff\xff\x00\x00", 8}, /* longer than the room */
    {"\x00\x01\x00\x00", 4},                 /* a match before any literal */
};

TEST(lz4, says_no_to_damaged_blocks)
{
    uint8_t out[256];

    for (size_t i = 0; i < ARRAY_SIZE(hostile_blocks); i++) {
        EXPECT_EQ(lz4_decompress(hostile_blocks[i].block, hostile_blocks[i].len, out, sizeof(out)),
                  -EINVAL);
    }
}

TEST(lz4, survives_any_damage)
{
    uint64_t seed = 5;

    for (size_t i = 0; i < PAGE; i++) {
        source[i] = (uint8_t)(test_random(&seed) % 3);
    }
    size_t n = lz4_compress(source, PAGE, packed, sizeof(packed), &table);
    for (unsigned round = 0; round < 5000; round++) {
        size_t at = test_random(&seed) % n;
        uint8_t was = packed[at];
        packed[at] = (uint8_t)test_random(&seed);
        ssize_t got = lz4_decompress(packed, n, result, PAGE);
        EXPECT(got == -EINVAL || (got >= 0 && got <= (ssize_t)PAGE));
        packed[at] = was;
    }
}
