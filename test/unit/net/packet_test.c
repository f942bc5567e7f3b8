/*
 * Packets: filled from and copied to cursors, taken apart from the front.
 */
#define TEST_SUITE "net"
#include "kernel/mm/page.h"
#include "kernel/net/packet.h"
#include "test/unit/test.h"

static uint8_t source[PACKET_STREAM_MAX], target[PACKET_STREAM_MAX];

static void fill_source(void)
{
    for (size_t i = 0; i < sizeof(source); i++) {
        source[i] = (uint8_t)(i * 7 + (i >> 8));
    }
}

static struct packet *packet_of(uint32_t len)
{
    struct iov_iter from;
    struct packet *packet = NULL;

    fill_source();
    iov_init_kernel(&from, source, len);
    EXPECT_EQ(packet_from_iov(&from, len, &packet), 0);
    EXPECT_EQ(from.count, 0);
    EXPECT_EQ(packet->len, len);
    return packet;
}

/* Does the packet hold what the source has from `at` on? */
static void expect_content(const struct packet *packet, uint32_t offset, size_t at, size_t len)
{
    struct iov_iter to;

    iov_init_kernel(&to, target, sizeof(target));
    EXPECT_EQ(packet_copy_to(packet, offset, &to, len), len);
    EXPECT_EQ(memcmp(target, source + at, len), 0);
}

TEST(packet, small_ones_are_linear_and_large_ones_are_pages)
{
    static const uint32_t sizes[] = {0,    1,     PACKET_LINEAR_MAX, PACKET_LINEAR_MAX + 1,
                                     4096, 10000, PACKET_STREAM_MAX};

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct packet *packet = packet_of(sizes[i]);
        EXPECT_EQ(packet->nfragments == 0, sizes[i] <= PACKET_LINEAR_MAX);
        expect_content(packet, 0, 0, sizes[i]);
        packet_put(packet);
    }
}

TEST(packet, bytes_taken_off_the_front_are_gone)
{
    static const uint32_t steps[] = {1, 4094, 2, 5000, 4096, 1};
    struct packet *packet = packet_of(20000);
    uint32_t at = 0;

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        packet_pull(packet, steps[i]);
        at += steps[i];
        EXPECT_EQ(packet->len, 20000 - at);
        expect_content(packet, 0, at, packet->len);
        expect_content(packet, 4000, at + 4000, 1000);
    }
    packet_pull(packet, packet->len);
    EXPECT_EQ(packet->len, 0);
    packet_put(packet);
}

TEST(packet, copies_stop_at_the_end_of_either)
{
    struct packet *packet = packet_of(100);
    struct iov_iter to;

    iov_init_kernel(&to, target, 30);
    EXPECT_EQ(packet_copy_to(packet, 0, &to, 1000), 30);
    iov_init_kernel(&to, target, 1000);
    EXPECT_EQ(packet_copy_to(packet, 90, &to, 1000), 10);
    EXPECT_EQ(packet_copy_to(packet, 100, &to, 1000), 0);
    packet_put(packet);
}

TEST(packet, linear_bytes_and_pages_go_together)
{
    struct packet *body = packet_of(5000), *packet = packet_alloc(16, 1);

    EXPECT(packet != NULL);
    memcpy(packet_append(packet, 10), "0123456789", 10);
    packet->fragments[0] = body->fragments[0];
    page_get(packet->fragments[0].page);
    packet->fragments[0].len = 100;
    packet->nfragments = 1;
    packet->len += 100;
    struct iov_iter to;
    iov_init_kernel(&to, target, sizeof(target));
    EXPECT_EQ(packet_copy_to(packet, 8, &to, 50), 50);
    EXPECT_EQ(memcmp(target, "89", 2), 0);
    EXPECT_EQ(memcmp(target + 2, source, 48), 0);
    packet_pull(packet, 60);
    EXPECT_EQ(packet->linear, 0);
    expect_content(packet, 0, 50, 50);
    packet_put(packet);
    packet_put(body); /* the page lives as long as one of them */
}

TEST(packet, a_fault_leaves_the_cursor_where_it_was)
{
    struct iovec vec[2] = {{source, 5000}, {NULL, 5000}};
    struct iov_iter from;
    struct packet *packet;

    iov_init_vec(&from, vec, 2, 10000);
    EXPECT_EQ(packet_from_iov(&from, 10000, &packet), -EFAULT);
    EXPECT_EQ(from.count, 10000);
    EXPECT_EQ(from.offset, 0);
}
