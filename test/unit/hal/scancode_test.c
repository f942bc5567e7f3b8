/*
 * Keyboard bytes to key events.
 */
#define TEST_SUITE "hal"
#include <linux/input-event-codes.h>

#include "hal/input/scancode.h"
#include "test/unit/test.h"

static struct scancode_decoder decoder;

/* Feed bytes; the events as text "code:value ..." would hide the numbers, so compare them one by one. */
static unsigned feed(const uint8_t *bytes, size_t len, struct scancode_event *events, unsigned max)
{
    unsigned n = 0;

    for (size_t i = 0; i < len; i++) {
        struct scancode_event two[2];
        unsigned got = scancode_decode(&decoder, bytes[i], two);
        for (unsigned j = 0; j < got && n < max; j++) {
            events[n++] = two[j];
        }
    }
    return n;
}

#define FEED(events, ...)                                                                          \
    feed((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), events,           \
         ARRAY_SIZE(events))
#define EXPECT_KEY(event, key, val)                                                                \
    do {                                                                                           \
        EXPECT_EQ((event).code, key);                                                              \
        EXPECT_EQ((event).value, val);                                                             \
    } while (0)

TEST(scancode, set_2_press_repeat_release)
{
    struct scancode_event events[8];

    scancode_init(&decoder, false);
    EXPECT_EQ(FEED(events, 0x1c, 0x1c, 0xf0, 0x1c), 3);
    EXPECT_KEY(events[0], KEY_A, 1);
    EXPECT_KEY(events[1], KEY_A, 2);
    EXPECT_KEY(events[2], KEY_A, 0);
}

TEST(scancode, set_2_extended_keys)
{
    struct scancode_event events[8];

    scancode_init(&decoder, false);
    EXPECT_EQ(FEED(events, 0xe0, 0x75, 0xe0, 0xf0, 0x75, 0x75, 0xf0, 0x75), 4);
    EXPECT_KEY(events[0], KEY_UP, 1);
    EXPECT_KEY(events[1], KEY_UP, 0);
    EXPECT_KEY(events[2], KEY_KP8, 1);
    EXPECT_KEY(events[3], KEY_KP8, 0);
}

TEST(scancode, set_2_print_screen_has_no_shifts)
{
    struct scancode_event events[8];

    scancode_init(&decoder, false);
    EXPECT_EQ(FEED(events, 0xe0, 0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12), 2);
    EXPECT_KEY(events[0], KEY_SYSRQ, 1);
    EXPECT_KEY(events[1], KEY_SYSRQ, 0);
}

TEST(scancode, set_2_print_screen_with_alt_is_one_byte)
{
    struct scancode_event events[4];

    scancode_init(&decoder, false);
    EXPECT_EQ(FEED(events, 0x84, 0xf0, 0x84), 2);
    EXPECT_KEY(events[0], KEY_SYSRQ, 1);
    EXPECT_KEY(events[1], KEY_SYSRQ, 0);
    EXPECT_EQ(FEED(events, 0x7f, 0xf0, 0x7f), 2); /* the same: controllers translate both to 0x54 */
    EXPECT_KEY(events[0], KEY_SYSRQ, 1);
    EXPECT_KEY(events[1], KEY_SYSRQ, 0);
}

TEST(scancode, pause_presses_and_releases_in_both_sets)
{
    struct scancode_event events[8];

    scancode_init(&decoder, false);
    EXPECT_EQ(FEED(events, 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77, 0x1c), 3);
    EXPECT_KEY(events[0], KEY_PAUSE, 1);
    EXPECT_KEY(events[1], KEY_PAUSE, 0);
    EXPECT_KEY(events[2], KEY_A, 1);
    scancode_init(&decoder, true);
    EXPECT_EQ(FEED(events, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5, 0x1e), 3);
    EXPECT_KEY(events[0], KEY_PAUSE, 1);
    EXPECT_KEY(events[1], KEY_PAUSE, 0);
    EXPECT_KEY(events[2], KEY_A, 1);
}

TEST(scancode, set_1_keys)
{
    struct scancode_event events[8];

    scancode_init(&decoder, true);
    EXPECT_EQ(FEED(events, 0x1e, 0x9e, 0xe0, 0x1d, 0xe0, 0x9d, 0x56, 0xd6), 6);
    EXPECT_KEY(events[0], KEY_A, 1);
    EXPECT_KEY(events[1], KEY_A, 0);
    EXPECT_KEY(events[2], KEY_RIGHTCTRL, 1);
    EXPECT_KEY(events[3], KEY_RIGHTCTRL, 0);
    EXPECT_KEY(events[4], KEY_102ND, 1);
    EXPECT_KEY(events[5], KEY_102ND, 0);
}

TEST(scancode, release_without_press_says_nothing)
{
    struct scancode_event events[8];

    scancode_init(&decoder, false);
    EXPECT_EQ(FEED(events, 0xf0, 0x1c, 0xe0, 0xf0, 0x75), 0);
}

TEST(scancode, any_bytes_give_balanced_keys)
{
    uint32_t random = 12345;

    for (unsigned set = 0; set < 2; set++) {
        bool down[256] = {false};
        struct scancode_event event;
        scancode_init(&decoder, set == 1);
        for (unsigned i = 0; i < 200000; i++) {
            struct scancode_event two[2];
            random = random * 1664525 + 1013904223;
            unsigned n = scancode_decode(&decoder, (uint8_t)(random >> 24), two);
            EXPECT_LE(n, 2);
            for (unsigned j = 0; j < n; j++) {
                EXPECT(two[j].code > 0 && two[j].code < 256);
                /* A press only of a key that is up, the rest only of one that is down. */
                EXPECT_EQ(down[two[j].code], two[j].value != 1);
                down[two[j].code] = two[j].value != 0;
            }
        }
        while (scancode_release_one(&decoder, &event)) {
            EXPECT(down[event.code]);
            down[event.code] = false;
        }
        for (unsigned i = 0; i < 256; i++) {
            EXPECT(!down[i]);
        }
    }
}
