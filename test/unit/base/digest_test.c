/* Known answers for what computes a value from bytes. */
#define TEST_SUITE "base"
#include "test/unit/test.h"

#include "kernel/base/chacha20.h"
#include "kernel/base/checksum.h"
#include "kernel/base/hash.h"

TEST(checksum, crc32_gives_the_check_value_whole_and_in_parts)
{
    EXPECT_EQ(crc32(0, "123456789", 9), 0xcbf43926);
    EXPECT_EQ(crc32(crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
    EXPECT_EQ(crc32(0, "", 0), 0);
}

TEST(checksum, crc32_of_long_data_agrees_with_that_of_its_bytes)
{
    static uint8_t data[3000];
    uint32_t by_byte = 0;

    for (unsigned i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)(i * i + 11);
    }
    for (unsigned len = 0; len < sizeof(data) - 1; len++) {
        EXPECT_EQ(crc32(0, data + 1, len), by_byte);
        by_byte = crc32(by_byte, data + 1 + len, 1);
    }
}

TEST(checksum, crc32c_gives_the_check_value)
{
    EXPECT_EQ(crc32c(0, "123456789", 9), 0xe3069283);
}

/* RFC 8439, section 2.3.2. */
TEST(chacha20, gives_the_block_of_the_rfc)
{
    static const uint8_t expected[64] = {
        0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3,
        0x20, 0x71, 0xc4, 0xc7, 0xd1, 0xf4, 0xc7, 0x33, 0xc0, 0x68, 0x03, 0x04, 0x22,
        0xaa, 0x9a, 0xc3, 0xd4, 0x6c, 0x4e, 0xd2, 0x82, 0x64, 0x46, 0x07, 0x9f, 0xaa,
        0x09, 0x14, 0xc2, 0xd7, 0x05, 0xd9, 0x8b, 0x02, 0xa2, 0xb5, 0x12, 0x9c, 0xd1,
        0xde, 0x16, 0x4e, 0xb9, 0xcb, 0xd0, 0x83, 0xe8, 0xa2, 0x50, 0x3c, 0x4e};
    static const uint32_t nonce[3] = {0x09000000, 0x4a000000, 0};
    uint32_t key[8];
    uint8_t out[64];

    for (uint32_t i = 0; i < 8; i++) {
        key[i] = 0x03020100 + 0x04040404 * i;
    }
    chacha20_block(key, 1, nonce, out);
    EXPECT_MEM_EQ(out, expected, 64);
}

/* Computed with an independent implementation that gives the paper's value for SipHash-2-4 (appendix A). */
TEST(hash, siphash_1_3_gives_known_answers)
{
    static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    uint8_t data[64];

    for (uint8_t i = 0; i < 64; i++) {
        data[i] = i;
    }
    EXPECT(hash_sip(key, data, 0) == 0xabac0158050fc4dcull);
    EXPECT(hash_sip(key, data, 7) == 0xd3927d989bb11140ull);
    EXPECT(hash_sip(key, data, 8) == 0x369095118d299a8eull);
    EXPECT(hash_sip(key, data, 15) == 0xd320d86d2a519956ull);
    EXPECT(hash_sip(key, data, 63) == 0x9d199062b7bbb3a8ull);
    EXPECT(hash_sip(key, data, 63) != hash_sip(key, data, 62));
}
