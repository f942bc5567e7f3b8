/*
 * The screen and its language: ECMA-48, VT102, xterm and console_codes(4).
 */
#define TEST_SUITE "dev"
#include "test/unit/test.h"

#include "kernel/dev/vtparse.h"

#define COLS 20u
#define ROWS 6u

static struct vt_screen screen;
static struct vt_parser parser;
static uint64_t memory[2 * ROWS * (1 + COLS)];
static char replies[256];
static uint32_t palette_rgb;
static int palette_index;

static void on_reply(void *arg, const char *text, size_t len)
{
    size_t at = strlen(replies);

    (void)arg;
    memcpy(replies + at, text, len);
    replies[at + len] = '\0';
}

static void on_palette(void *arg, int index, uint32_t rgb)
{
    (void)arg;
    palette_index = index;
    palette_rgb = rgb;
}

static void begin(void)
{
    EXPECT(sizeof(memory) == vt_screen_memory(COLS, ROWS));
    vt_screen_init(&screen, COLS, ROWS, memory);
    vt_parser_init(&parser, &screen);
    parser.reply = on_reply;
    parser.palette = on_palette;
    replies[0] = '\0';
}

static void put(const char *text)
{
    size_t len = strlen(text);

    for (size_t done = 0; done < len;) {
        done += vt_parse(&parser, (const uint8_t *)text + done, len - done);
    }
}

/* Row y as text without trailing blanks. */
static const char *row(unsigned y)
{
    static char text[COLS + 1];
    size_t len = 0;

    for (unsigned x = 0; x < COLS; x++) {
        uint32_t c = vt_cell_char(vt_screen_at(&screen, x, y));
        text[x] = c == 0 ? '_' : c < 0x80 ? (char)c : '?';
        if (text[x] != ' ') {
            len = x + 1;
        }
    }
    text[len] = '\0';
    return text;
}

static void expect_cursor(unsigned x, unsigned y)
{
    EXPECT_EQ(screen.cursor.x, x);
    EXPECT_EQ(screen.cursor.y, y);
}

TEST(vt, writes_text_and_moves_on)
{
    begin();
    put("hello\r\nworld");
    EXPECT_STR_EQ(row(0), "hello");
    EXPECT_STR_EQ(row(1), "world");
    expect_cursor(5, 1);
}

TEST(vt, wraps_only_when_the_next_character_comes)
{
    begin();
    put("12345678901234567890");
    expect_cursor(19, 0);
    put("\r\nx");
    EXPECT_STR_EQ(row(1), "x");
    put("\r12345678901234567890y");
    EXPECT_STR_EQ(row(2), "y");
}

TEST(vt, without_autowrap_the_last_column_is_overwritten)
{
    begin();
    put("\033[?7l123456789012345678901Z");
    EXPECT_STR_EQ(row(0), "1234567890123456789Z");
    EXPECT_STR_EQ(row(1), "");
}

TEST(vt, scrolls_at_the_bottom_and_marks_rows_dirty)
{
    begin();
    put("a\r\nb\r\nc\r\nd\r\ne\r\nf");
    memset(screen.dirty, 0, sizeof(screen.dirty));
    put("\r\ng");
    EXPECT_STR_EQ(row(0), "b");
    EXPECT_STR_EQ(row(5), "g");
    EXPECT_EQ(screen.dirty[0], (1u << ROWS) - 1);
}

TEST(vt, keeps_scrolling_inside_the_margins)
{
    begin();
    put("a\r\nb\r\nc\r\nd\r\ne\r\nf");
    put("\033[2;4r\033[4;1H\n");
    EXPECT_STR_EQ(row(0), "a");
    EXPECT_STR_EQ(row(1), "c");
    EXPECT_STR_EQ(row(2), "d");
    EXPECT_STR_EQ(row(3), "");
    EXPECT_STR_EQ(row(4), "e");
    put("\033[2;1H\033M");
    EXPECT_STR_EQ(row(1), "");
    EXPECT_STR_EQ(row(2), "c");
}

TEST(vt, addresses_the_cursor_and_clamps)
{
    begin();
    put("\033[3;5H");
    expect_cursor(4, 2);
    put("\033[99;99H");
    expect_cursor(COLS - 1, ROWS - 1);
    put("\033[H\033[2C\033[1B");
    expect_cursor(2, 1);
    put("\033[9A\033[9D");
    expect_cursor(0, 0);
    put("\033[4G\033[3d");
    expect_cursor(3, 2);
}

TEST(vt, origin_mode_counts_from_the_top_margin)
{
    begin();
    put("\033[2;4r\033[?6h\033[1;1HX\033[9;1HY");
    EXPECT_STR_EQ(row(1), "X");
    EXPECT_STR_EQ(row(3), "Y");
    put("\033[6n");
    EXPECT_STR_EQ(replies, "\033[3;2R");
}

TEST(vt, erases_parts_of_lines_and_screens)
{
    begin();
    put("abcdef\033[3D\033[K");
    EXPECT_STR_EQ(row(0), "abc");
    put("\r\nabcdef\033[3D\033[1K");
    EXPECT_STR_EQ(row(1), "    ef");
    put("\033[2J");
    EXPECT_STR_EQ(row(0), "");
    EXPECT_STR_EQ(row(1), "");
}

TEST(vt, inserts_and_deletes_characters_and_lines)
{
    begin();
    put("abc\033[1G\033[2@");
    EXPECT_STR_EQ(row(0), "  abc");
    put("\033[1P");
    EXPECT_STR_EQ(row(0), " abc");
    put("\r\nsecond\033[1;1H\033[L");
    EXPECT_STR_EQ(row(0), "");
    EXPECT_STR_EQ(row(1), " abc");
    EXPECT_STR_EQ(row(2), "second");
    put("\033[2M");
    EXPECT_STR_EQ(row(0), "second");
    put("\033[4hX\033[4l");
    EXPECT_STR_EQ(row(0), "Xsecond");
    put("\033[1;1H\033[3X");
    EXPECT_STR_EQ(row(0), "   cond");
}

TEST(vt, sets_attributes_and_colours_of_all_kinds)
{
    vt_cell_t cell;

    begin();
    put("\033[1;4;31;44mA\033[38;5;200;48;2;255;128;0mB\033[0mC\033[38:2::8:16:24mD\033[97mE");
    cell = vt_screen_at(&screen, 0, 0);
    EXPECT_EQ(vt_cell_flags(cell), VT_BOLD | VT_UNDERLINE);
    EXPECT_EQ(vt_cell_fg(cell), 1);
    EXPECT_EQ(vt_cell_bg(cell), 4);
    cell = vt_screen_at(&screen, 1, 0);
    EXPECT_EQ(vt_cell_fg(cell), 200);
    EXPECT_EQ(vt_cell_bg(cell), VT_COLOR_RGB | 31 << 10 | 16 << 5);
    cell = vt_screen_at(&screen, 2, 0);
    EXPECT_EQ(vt_cell_flags(cell), 0);
    EXPECT_EQ(vt_cell_fg(cell), VT_COLOR_DEFAULT);
    EXPECT_EQ(vt_cell_fg(vt_screen_at(&screen, 3, 0)), VT_COLOR_RGB | 1 << 10 | 2 << 5 | 3);
    EXPECT_EQ(vt_cell_fg(vt_screen_at(&screen, 4, 0)), 15);
}

TEST(vt, erased_cells_take_the_background)
{
    begin();
    put("\033[41m\033[2J");
    EXPECT_EQ(vt_cell_bg(vt_screen_at(&screen, 7, 3)), 1);
}

TEST(vt, the_alternate_screen_gives_the_main_one_back)
{
    begin();
    put("main\033[?1049h\033[Halt");
    EXPECT_STR_EQ(row(0), "alt");
    put("\033[?1049l");
    EXPECT_STR_EQ(row(0), "main");
    expect_cursor(4, 0);
}

TEST(vt, draws_lines_in_the_graphics_set)
{
    begin();
    put("\033(0lqk\033(B\016x\017");
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 0, 0)), 0x250c);
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 1, 0)), 0x2500);
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 2, 0)), 0x2510);
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 3, 0)), 'x');
    put("\033)0\016x\017");
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 4, 0)), 0x2502);
}

TEST(vt, decodes_utf8_and_replaces_what_is_broken)
{
    begin();
    put("\303\244\342\202\254");
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 0, 0)), 0xe4);
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 1, 0)), 0x20ac);
    put("\r\300\257\355\240\200\303x");
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 0, 0)), 0xfffd);
    put("\r\n\303");
    put("\244");
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 0, 1)), 0xe4);
}

TEST(vt, wide_characters_take_two_columns_and_combining_ones_none)
{
    begin();
    put("\344\270\255x");
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 0, 0)), 0x4e2d);
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 1, 0)), 0);
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 2, 0)), 'x');
    put("\r y");
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 1, 0)), 'y');
    put("\r\na\314\201b");
    EXPECT_STR_EQ(row(1), "ab");
}

TEST(vt, ignores_titles_mouse_and_unknown_sequences)
{
    begin();
    put("\033]0;title\007a\033]2;x\033\\b\033Pq#0\033\\c\033[?1000;2004h\033[>4;2m\033[5 "
        "qd\033[?25l");
    EXPECT_STR_EQ(row(0), "abcd");
    EXPECT(!screen.cursor_visible);
    put("\033[[Ae");
    EXPECT_STR_EQ(row(0), "abcde");
}

TEST(vt, sets_the_palette_as_linux_does)
{
    begin();
    put("\033]P1ff8000x");
    EXPECT_EQ(palette_index, 1);
    EXPECT_EQ(palette_rgb, 0xff8000);
    EXPECT_STR_EQ(row(0), "x");
    put("\033]R");
    EXPECT_EQ(palette_index, -1);
}

TEST(vt, answers_what_it_is_and_where_the_cursor_is)
{
    begin();
    put("\033[c\033[5n\033[3;4H\033[6n");
    EXPECT_STR_EQ(replies, "\033[?6c\033[0n\033[3;4R");
}

TEST(vt, saves_and_restores_cursor_and_attributes)
{
    begin();
    put("\033[2;3H\033[31m\0337\033[H\033[0m\0338X");
    EXPECT_EQ(vt_cell_fg(vt_screen_at(&screen, 2, 1)), 1);
}

TEST(vt, tabs_stop_where_they_are_set)
{
    begin();
    put("\tx");
    expect_cursor(9, 0);
    put("\r\033[3g\033[5G\033H\r\ty");
    expect_cursor(5, 0);
    put("\033[Z");
    expect_cursor(4, 0);
}

TEST(vt, repeats_the_last_character_and_resets_fully)
{
    begin();
    put("=\033[4b");
    EXPECT_STR_EQ(row(0), "=====");
    put("\033[2;3r\033[?25l\033c");
    EXPECT_STR_EQ(row(0), "");
    EXPECT_EQ(screen.bottom, ROWS);
    EXPECT(screen.cursor_visible);
}

TEST(vt, survives_sequences_cut_into_single_bytes)
{
    const char *text = "\033[1;31mred\033[0m\033[2;3Hx\342\224\200";

    begin();
    for (const char *p = text; *p != '\0'; p++) {
        EXPECT_EQ(vt_parse(&parser, (const uint8_t *)p, 1), 1u);
    }
    EXPECT_STR_EQ(row(0), "red");
    EXPECT_EQ(vt_cell_char(vt_screen_at(&screen, 3, 1)), 0x2500);
}

/* Seven bytes can ask for a screen of characters, each of which moves a line. */
TEST(vt, stops_after_much_work_and_goes_on_where_it_was)
{
    const char *again = "\033[9999b";
    const uint32_t most = VT_WORK_MAX + COLS * ROWS * 2 * COLS; /* and one such sequence */
    char flood[7 * 40 + 1] = "";

    begin();
    put("\033[4hx");
    for (unsigned i = 0; i < 40; i++) {
        memcpy(flood + 7 * i, again, 8);
    }
    for (size_t done = 0, len = strlen(flood), n; done < len; done += n) {
        uint32_t before = screen.work;
        n = vt_parse(&parser, (const uint8_t *)flood + done, len - done);
        EXPECT_GT(n, 0u);
        EXPECT_LE(screen.work - before, most);
    }
    put("\033[2J\033[Hend");
    EXPECT_STR_EQ(row(0), "end");
}
