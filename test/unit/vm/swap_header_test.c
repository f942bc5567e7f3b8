#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "kernel/base/errno.h"
#include "kernel/vm/swap.h"

static uint32_t header_page[PAGE_SIZE / 4]; /* aligned */

static void put32(size_t offset, uint32_t value)
{
    header_page[offset / 4] = value;
}

/* As "mkswap -L spare -U 01020304-..." makes it for 100 pages. */
static void *make_header(void)
{
    uint8_t *bytes = (uint8_t *)header_page;

    memset(header_page, 0, sizeof(header_page));
    put32(1024, 1);
    put32(1028, 99);
    for (unsigned i = 0; i < 16; i++) {
        bytes[1036 + i] = (uint8_t)(i + 1);
    }
    memcpy(bytes + 1052, "spare", 5);
    memcpy(bytes + 4086, "SWAPSPACE2", 10);
    return header_page;
}

#define DEVICE (100 * PAGE_SIZE)

TEST(swap_header, is_read_as_mkswap_wrote_it)
{
    struct swap_header header;

    EXPECT_EQ(swap_header_parse(make_header(), DEVICE, &header), 0);
    EXPECT_EQ(header.nslots, 100);
    EXPECT_EQ(header.nbad, 0);
    EXPECT_STR_EQ(header.label, "spare");
    EXPECT_EQ(header.uuid[15], 16);
    EXPECT(!header.swapped);
}

TEST(swap_header, bad_pages_are_told)
{
    struct swap_header header;

    (void)make_header();
    put32(1032, 2);
    put32(1536, 5);
    put32(1540, 99);
    EXPECT_EQ(swap_header_parse(header_page, DEVICE, &header), 0);
    EXPECT_EQ(header.nbad, 2);
    EXPECT_EQ(swap_header_bad(&header, 0), 5);
    EXPECT_EQ(swap_header_bad(&header, 1), 99);
}

TEST(swap_header, of_the_other_byte_order_is_understood)
{
    struct swap_header header;

    (void)make_header();
    put32(1024, 0x01000000);
    put32(1028, 0x63000000);
    put32(1032, 0x01000000);
    put32(1536, 0x11000000);
    EXPECT_EQ(swap_header_parse(header_page, DEVICE, &header), 0);
    EXPECT_EQ(header.nslots, 100);
    EXPECT_EQ(swap_header_bad(&header, 0), 17);
}

TEST(swap_header, of_a_larger_device_than_there_is_is_refused)
{
    struct swap_header header;

    EXPECT_EQ(swap_header_parse(make_header(), DEVICE - 1, &header), -EINVAL);
    EXPECT_EQ(swap_header_parse(make_header(), DEVICE + 5, &header), 0);
}

TEST(swap_header, counts_no_more_slots_than_entries_can_name)
{
    struct swap_header header;

    (void)make_header();
    put32(1028, UINT32_MAX);
    EXPECT_EQ(swap_header_parse(header_page, UINT64_MAX, &header), 0);
    EXPECT_EQ(header.nslots, SWAP_SLOTS_MAX);
}

/* A word at an offset that makes nonsense of the header. */
static const struct {
    size_t offset;
    uint32_t value;
} nonsense[] = {
    {1024, 0}, {1024, 2}, {1028, 0}, {1032, 638}, {1032, UINT32_MAX}, {1032, 1}, {4092, 0},
};

TEST(swap_header, nonsense_is_refused_and_changes_nothing)
{
    struct swap_header header = {.nslots = 4711};

    for (size_t i = 0; i < ARRAY_SIZE(nonsense); i++) {
        (void)make_header();
        put32(nonsense[i].offset, nonsense[i].value);
        EXPECT_EQ(swap_header_parse(header_page, DEVICE, &header), -EINVAL);
        EXPECT_EQ(header.nslots, 4711);
    }
    (void)make_header();
    put32(1032, 1);
    put32(1536, 100); /* beyond last_page */
    EXPECT_EQ(swap_header_parse(header_page, DEVICE, &header), -EINVAL);
}
