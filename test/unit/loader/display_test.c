/*
 * Tests of loader/core/edid.h and gopmode.h.
 */
#define TEST_SUITE "loader"
#include "test/unit/test.h"

#include "loader/core/edid.h"
#include "loader/core/gopmode.h"

static uint8_t edid[EDID_BLOCK_BYTES];

static void seal_edid(void)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < EDID_BLOCK_BYTES - 1; i++) {
        sum = (uint8_t)(sum + edid[i]);
    }
    edid[EDID_BLOCK_BYTES - 1] = (uint8_t)-sum;
}

/* A display that prefers 1920x1080. */
static void make_edid(void)
{
    static const uint8_t header[8] = {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0};
    static const uint8_t timing[18] = {0x02, 0x3a, 0x80, 0x18, 0x71, 0x38, 0x2d, 0x40, 0x58};

    memset(edid, 0, sizeof(edid));
    memcpy(edid, header, sizeof(header));
    memcpy(edid + 54, timing, sizeof(timing));
    seal_edid();
}

TEST(edid, preferred_mode_is_the_first_detailed_timing)
{
    uint32_t width, height;

    make_edid();
    EXPECT(edid_preferred_mode(edid, sizeof(edid), &width, &height));
    EXPECT_EQ(width, 1920);
    EXPECT_EQ(height, 1080);
}

TEST(edid, a_wrong_checksum_header_or_length_is_refused)
{
    uint32_t width = 7, height = 7;

    make_edid();
    edid[20]++;
    EXPECT(!edid_preferred_mode(edid, sizeof(edid), &width, &height));
    make_edid();
    edid[0] = 1;
    seal_edid();
    EXPECT(!edid_preferred_mode(edid, sizeof(edid), &width, &height));
    make_edid();
    EXPECT(!edid_preferred_mode(edid, sizeof(edid) - 1, &width, &height));
    EXPECT_EQ(width, 7);
}

TEST(edid, a_display_without_a_timing_prefers_nothing)
{
    uint32_t width, height;

    make_edid();
    edid[54] = edid[55] = 0;
    seal_edid();
    EXPECT(!edid_preferred_mode(edid, sizeof(edid), &width, &height));
}

static const struct gopmode modes[] = {
    {640, 480, true},   {800, 600, true},   {1280, 800, true},  {1920, 1080, true},
    {1920, 1080, true}, {4096, 2160, true}, {1024, 768, false}, {2160, 3840, true},
};

static int choose(uint32_t fw, uint32_t fh, uint32_t ew, uint32_t eh, unsigned current)
{
    struct gopmode_wish wish = {fw, fh, ew, eh, current};

    return gopmode_choose(modes, ARRAY_SIZE(modes), &wish);
}

TEST(gopmode, a_forced_size_comes_before_what_the_display_prefers)
{
    EXPECT_EQ(choose(800, 600, 1280, 800, 0), 1);
    EXPECT_EQ(choose(0, 0, 1280, 800, 0), 2);
}

TEST(gopmode, a_size_that_is_not_there_or_not_usable_is_passed_over)
{
    EXPECT_EQ(choose(1000, 1000, 1280, 800, 0), 2);
    EXPECT_EQ(choose(1024, 768, 0, 0, 0), 3);
}

TEST(gopmode, without_a_wish_the_largest_sane_mode_is_taken)
{
    EXPECT_EQ(choose(0, 0, 0, 0, 0), 3);
}

TEST(gopmode, a_current_mode_that_firmware_must_have_asked_for_is_kept)
{
    EXPECT_EQ(choose(0, 0, 0, 0, 2), 2);
    EXPECT_EQ(choose(0, 0, 0, 0, 1), 3);
    EXPECT_EQ(choose(0, 0, 0, 0, 5), 3);
}

TEST(gopmode, a_square_or_huge_mode_is_not_sane)
{
    struct gopmode odd[] = {{1024, 768, true}, {2048, 2048, true}, {1200, 1200, true}};
    struct gopmode_wish wish = {.current = ~0u};

    EXPECT_EQ(gopmode_choose(odd, 3, &wish), 0);
}

TEST(gopmode, of_equal_modes_the_current_one_is_kept)
{
    EXPECT_EQ(choose(0, 0, 0, 0, 4), 4);
    EXPECT_EQ(choose(1920, 1080, 0, 0, 4), 4);
}

TEST(gopmode, odd_modes_are_better_than_none)
{
    struct gopmode odd[] = {{320, 200, false}, {320, 200, true}, {100, 5000, true}};
    struct gopmode_wish wish = {.current = 2};

    EXPECT_EQ(gopmode_choose(odd, 3, &wish), 2);
    wish.current = ~0u;
    EXPECT_EQ(gopmode_choose(odd, 3, &wish), 1);
    EXPECT_EQ(gopmode_choose(odd, 1, &wish), -1);
    EXPECT_EQ(gopmode_choose(odd, 0, &wish), -1);
}

TEST(gopmode, sizes_are_parsed_and_what_follows_is_ignored)
{
    uint32_t width, height;

    EXPECT(gopmode_parse("1024x768", &width, &height));
    EXPECT_EQ(width, 1024);
    EXPECT_EQ(height, 768);
    EXPECT(gopmode_parse("800x600-32@60", &width, &height));
    EXPECT_EQ(width, 800);
    EXPECT(!gopmode_parse("", &width, &height));
    EXPECT(!gopmode_parse("x", &width, &height));
    EXPECT(!gopmode_parse("1024", &width, &height));
    EXPECT(!gopmode_parse("1024x", &width, &height));
    EXPECT(!gopmode_parse("99999999999x1", &width, &height));
}

TEST(gopmode, masks_become_shift_and_size)
{
    uint8_t shift, size;

    EXPECT(gopmode_channel(0x00ff0000, &shift, &size));
    EXPECT_EQ(shift, 16);
    EXPECT_EQ(size, 8);
    EXPECT(gopmode_channel(0x07e0, &shift, &size));
    EXPECT_EQ(shift, 5);
    EXPECT_EQ(size, 6);
    EXPECT(!gopmode_channel(0, &shift, &size));
    EXPECT(!gopmode_channel(0x0f0f, &shift, &size));
    EXPECT_EQ(gopmode_pixel_bits(0xffffffff), 32);
    EXPECT_EQ(gopmode_pixel_bits(0x00ffffff), 24);
    EXPECT_EQ(gopmode_pixel_bits(0x0000ffff), 16);
    EXPECT_EQ(gopmode_pixel_bits(0xff), 0);
}
