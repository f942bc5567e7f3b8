/*
 * Tests of loader/core/bootparam.h, civil.h, devpath.h and lineedit.h.
 */
#define TEST_SUITE "loader"
#include "test/unit/test.h"

#include "loader/core/bootparam.h"
#include "loader/core/civil.h"
#include "loader/core/devpath.h"
#include "loader/core/lineedit.h"

static char value[32];

TEST(bootparam, the_last_word_of_the_name_counts)
{
    EXPECT(bootparam_find("video=1x1 quiet video=800x600", "video", value, sizeof(value)));
    EXPECT_STR_EQ(value, "800x600");
    EXPECT(bootparam_find("video=1x1 quiet", "quiet", value, sizeof(value)));
    EXPECT_STR_EQ(value, "");
}

TEST(bootparam, names_are_whole_words)
{
    EXPECT(!bootparam_find("videos=1 xvideo=2", "video", value, sizeof(value)));
    EXPECT(!bootparam_find("", "video", value, sizeof(value)));
    EXPECT(!bootparam_find("   ", "video", value, sizeof(value)));
}

TEST(bootparam, quotes_protect_blanks)
{
    EXPECT(bootparam_find("a=\"b video=1 c\" d", "a", value, sizeof(value)));
    EXPECT_STR_EQ(value, "b video=1 c");
    EXPECT(!bootparam_find("a=\"b video=1 c\" d", "video", value, sizeof(value)));
    EXPECT(bootparam_find("\"video=1 2", "video", value, sizeof(value)));
    EXPECT_STR_EQ(value, "1 2");
}

TEST(bootparam, any_white_space_separates_words)
{
    EXPECT(bootparam_find("quiet\tvideo=1\rnokaslr\v\fla57\n", "nokaslr", value, sizeof(value)));
    EXPECT(bootparam_find("quiet\tvideo=1\rnokaslr\v\fla57\n", "la57", value, sizeof(value)));
    EXPECT(bootparam_find("quiet\tvideo=1\rnokaslr", "video", value, sizeof(value)));
    EXPECT_STR_EQ(value, "1");
}

TEST(bootparam, words_for_init_are_not_ours)
{
    EXPECT(!bootparam_find("quiet -- la57", "la57", value, sizeof(value)));
}

TEST(bootparam, long_values_are_cut)
{
    EXPECT(bootparam_find("a=0123456789", "a", value, 5));
    EXPECT_STR_EQ(value, "0123");
}

static uint64_t unix_time(unsigned y, unsigned mo, unsigned d, unsigned h, unsigned mi, unsigned s,
                          int zone)
{
    struct civil civil = {y, mo, d, h, mi, s, zone};

    return civil_to_unix(&civil);
}

TEST(civil, known_dates)
{
    EXPECT_EQ(unix_time(1970, 1, 1, 0, 0, 1, 0), 1);
    EXPECT_EQ(unix_time(2000, 2, 29, 12, 0, 0, 0), 951825600);
    EXPECT_EQ(unix_time(2001, 9, 9, 1, 46, 40, CIVIL_NO_TIMEZONE), 1000000000);
    EXPECT_EQ(unix_time(2038, 1, 19, 3, 14, 8, 0), 2147483648);
    EXPECT_EQ(unix_time(2100, 3, 1, 0, 0, 0, 0), 4107542400);
}

TEST(civil, zone_is_what_is_added_for_utc)
{
    EXPECT_EQ(unix_time(2001, 9, 9, 3, 46, 40, -120), 1000000000);
    EXPECT_EQ(unix_time(2001, 9, 8, 20, 46, 40, 300), 1000000000);
}

TEST(civil, what_is_no_date_is_unknown)
{
    EXPECT_EQ(unix_time(2001, 2, 29, 0, 0, 0, 0), 0);
    EXPECT_EQ(unix_time(2001, 13, 1, 0, 0, 0, 0), 0);
    EXPECT_EQ(unix_time(2001, 0, 1, 0, 0, 0, 0), 0);
    EXPECT_EQ(unix_time(2001, 4, 31, 0, 0, 0, 0), 0);
    EXPECT_EQ(unix_time(2001, 1, 1, 24, 0, 0, 0), 0);
    EXPECT_EQ(unix_time(1969, 12, 31, 0, 0, 0, 0), 0);
    EXPECT_EQ(unix_time(1970, 1, 1, 0, 0, 0, -60), 0);
    EXPECT_EQ(unix_time(2001, 1, 1, 0, 0, 0, 3000), 0);
}

TEST(devpath, a_uart_is_found_in_any_of_several_paths)
{
    static const uint8_t screen[] = {2, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 1, 4, 0};
    static const uint8_t serial[] = {3, 14, 19, 0, 0, 0, 0, 0,    0,    0, 0, 0,
                                     0, 0,  0,  0, 0, 0, 0, 0x7f, 0xff, 4, 0};
    uint8_t both[sizeof(screen) + sizeof(serial)];

    memcpy(both, screen, sizeof(screen));
    memcpy(both + sizeof(screen), serial, sizeof(serial));
    EXPECT(devpath_has_uart(both, sizeof(both)));
    EXPECT(devpath_has_uart(serial, sizeof(serial)));
    EXPECT(!devpath_has_uart(screen, sizeof(screen)));
}

TEST(devpath, broken_paths_end_the_search)
{
    static const uint8_t short_node[] = {3, 14, 3, 0};
    static const uint8_t long_node[] = {3, 14, 19, 0, 0};
    static const uint8_t after_end[] = {0x7f, 0xff, 4, 0, 3, 14, 4, 0};

    EXPECT(!devpath_has_uart(short_node, sizeof(short_node)));
    EXPECT(!devpath_has_uart(long_node, sizeof(long_node)));
    EXPECT(!devpath_has_uart(after_end, sizeof(after_end)));
    EXPECT(!devpath_has_uart(after_end, 0));
}

static void type(struct lineedit *line, const char *text)
{
    for (; *text != '\0'; text++) {
        (void)lineedit_key(line, (unsigned char)*text);
    }
}

TEST(lineedit, characters_go_in_at_the_cursor)
{
    char text[16] = "acd";
    struct lineedit line;

    lineedit_init(&line, text, sizeof(text));
    EXPECT(lineedit_key(&line, LINEEDIT_HOME));
    EXPECT(lineedit_key(&line, LINEEDIT_RIGHT));
    type(&line, "b");
    EXPECT_STR_EQ(text, "abcd");
    EXPECT_EQ(line.cursor, 2);
    EXPECT(lineedit_key(&line, LINEEDIT_END));
    type(&line, "e");
    EXPECT_STR_EQ(text, "abcde");
}

TEST(lineedit, backspace_takes_the_one_before_and_delete_the_one_under_the_cursor)
{
    char text[16] = "abc";
    struct lineedit line;

    lineedit_init(&line, text, sizeof(text));
    EXPECT(!lineedit_key(&line, LINEEDIT_DELETE));
    EXPECT(lineedit_key(&line, LINEEDIT_BACKSPACE));
    EXPECT_STR_EQ(text, "ab");
    EXPECT(lineedit_key(&line, LINEEDIT_HOME));
    EXPECT(!lineedit_key(&line, LINEEDIT_BACKSPACE));
    EXPECT(!lineedit_key(&line, LINEEDIT_LEFT));
    EXPECT(lineedit_key(&line, LINEEDIT_DELETE));
    EXPECT_STR_EQ(text, "b");
    EXPECT(lineedit_key(&line, LINEEDIT_ERASE_ALL));
    EXPECT_STR_EQ(text, "");
    EXPECT_EQ(line.cursor, 0);
}

TEST(lineedit, a_full_line_takes_nothing_more)
{
    char text[4] = "";
    struct lineedit line;

    lineedit_init(&line, text, sizeof(text));
    type(&line, "abcdef");
    EXPECT_STR_EQ(text, "abc");
    EXPECT(!lineedit_key(&line, 'x'));
    EXPECT(!lineedit_key(&line, 0x1b));
    EXPECT(!lineedit_key(&line, 0xe4));
}

TEST(lineedit, no_character_that_a_keyboard_can_send_is_taken_for_a_key)
{
    char text[16] = "abc";
    struct lineedit line;

    lineedit_init(&line, text, sizeof(text));
    EXPECT(lineedit_key(&line, LINEEDIT_LEFT));
    for (unsigned c = 0x7f; c <= 0xffff; c++) {
        EXPECT(!lineedit_key(&line, c));
    }
    EXPECT_STR_EQ(text, "abc");
    EXPECT_EQ(line.cursor, 2);
}

TEST(lineedit, the_window_follows_the_cursor)
{
    char text[32] = "0123456789";
    struct lineedit line;

    lineedit_init(&line, text, sizeof(text));
    EXPECT_EQ(lineedit_window(&line, 5), 6);
    EXPECT_EQ(lineedit_window(&line, 20), 0);
    EXPECT(lineedit_key(&line, LINEEDIT_HOME));
    EXPECT_EQ(lineedit_window(&line, 5), 0);
}
