#define TEST_SUITE "base"
#include "test/unit/test.h"

#include "kernel/base/ring.h"
#include "test/unit/base/random.h"

TEST(ring, write_takes_what_fits_and_changes_nothing_when_full)
{
    uint8_t buf[8];
    char out[8];
    struct ring ring;

    ring_init(&ring, buf, sizeof(buf));
    EXPECT_EQ(ring_space(&ring), 8);
    EXPECT_EQ(ring_write(&ring, "abcdefghij", 10), 8);
    EXPECT_EQ(ring_write(&ring, "x", 1), 0);
    EXPECT_EQ(ring_used(&ring), 8);
    EXPECT_EQ(ring_read(&ring, out, 3), 3);
    EXPECT_MEM_EQ(out, "abc", 3);
    EXPECT_EQ(ring_write(&ring, "XYZW", 4), 3);
    EXPECT_EQ(ring_read(&ring, out, 8), 8);
    EXPECT_MEM_EQ(out, "defghXYZ", 8);
    EXPECT_EQ(ring_read(&ring, out, 1), 0);
}

TEST(ring, keeps_bytes_in_order_while_its_counters_wrap)
{
    uint8_t buf[16], chunk[16], written = 0, expected = 0;
    struct ring ring;
    uint64_t seed = 1;

    ring_init(&ring, buf, sizeof(buf));
    ring.head = ring.tail = UINT32_MAX - 100;
    for (unsigned i = 0; i < 2000; i++) {
        uint32_t n = (uint32_t)test_random(&seed) % 17;
        for (uint32_t k = 0; k < n; k++) {
            chunk[k] = (uint8_t)(written + k);
        }
        written = (uint8_t)(written + ring_write(&ring, chunk, n));
        n = ring_read(&ring, chunk, (uint32_t)test_random(&seed) % 17);
        for (uint32_t k = 0; k < n; k++) {
            EXPECT_EQ(chunk[k], expected);
            expected++;
        }
        EXPECT_EQ(ring_used(&ring) + ring_space(&ring), 16);
    }
}
