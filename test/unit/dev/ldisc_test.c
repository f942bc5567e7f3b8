/*
 * The line discipline's core, byte by byte: POSIX.1-2017 chapter 11 and termios(3).
 */
#define TEST_SUITE "dev"
#include "test/unit/test.h"

#include <asm/signal.h>

#include "kernel/dev/ldisc.h"

static struct ldisc ld;
static struct ldisc_events events;
static char out[4096];

static const struct ktermios sane = {
    .c_iflag = ICRNL | IXON | IUTF8,
    .c_oflag = OPOST | ONLCR,
    .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    .c_cc = {[VINTR] = 3,
             [VQUIT] = 28,
             [VERASE] = 0x7f,
             [VKILL] = 21,
             [VEOF] = 4,
             [VMIN] = 1,
             [VSTART] = 17,
             [VSTOP] = 19,
             [VSUSP] = 26,
             [VREPRINT] = 18,
             [VWERASE] = 23,
             [VLNEXT] = 22},
};

static void begin(unsigned iflag_off, unsigned lflag_off)
{
    struct ktermios termios = sane;

    termios.c_iflag &= ~iflag_off;
    termios.c_lflag &= ~lflag_off;
    ldisc_init(&ld, &termios);
    events = (struct ldisc_events){0};
}

static size_t feed(const char *text)
{
    return ldisc_receive(&ld, (const uint8_t *)text, strlen(text), &events);
}

/* What one read(2) of `size` bytes gives, as text; NULL: it would wait. */
static const char *take(size_t size)
{
    size_t consume, n;
    bool end;

    if (!ldisc_readable(&ld, 1)) {
        return NULL;
    }
    n = ldisc_peek(&ld, (uint8_t *)out, size, size, &consume, &end);
    ldisc_consume(&ld, consume);
    out[n] = '\0';
    return out;
}

static const char *echoed(void)
{
    size_t n = ldisc_echo_output(&ld, (uint8_t *)out, sizeof(out) - 1);

    out[n] = '\0';
    return out;
}

TEST(ldisc, gives_a_line_only_when_it_is_complete)
{
    begin(0, 0);
    EXPECT_EQ(feed("hel"), 3);
    EXPECT(take(100) == NULL);
    EXPECT_EQ(feed("lo\r"), 3);
    EXPECT_STR_EQ(take(100), "hello\n");
    EXPECT(take(100) == NULL);
}

TEST(ldisc, gives_one_line_for_each_read_and_long_lines_in_parts)
{
    begin(0, 0);
    (void)feed("one\ntwo\n");
    EXPECT_STR_EQ(take(2), "on");
    EXPECT_STR_EQ(take(100), "e\n");
    EXPECT_STR_EQ(take(100), "two\n");
}

TEST(ldisc, end_of_file_is_an_empty_read_and_ends_a_line_without_a_byte)
{
    begin(0, 0);
    (void)feed("ab\004");
    EXPECT_EQ(ldisc_available(&ld), 2);
    EXPECT_STR_EQ(take(100), "ab");
    EXPECT(take(100) == NULL);
    (void)feed("\004");
    EXPECT_STR_EQ(take(100), "");
    EXPECT(take(100) == NULL);
}

TEST(ldisc, a_read_that_just_fits_takes_the_end_of_file_mark_along)
{
    begin(0, 0);
    (void)feed("abc\004");
    EXPECT_STR_EQ(take(3), "abc");
    EXPECT(take(100) == NULL);
}

TEST(ldisc, erases_characters_words_and_lines)
{
    begin(0, ECHO);
    (void)feed("abx\177c\n");
    EXPECT_STR_EQ(take(100), "abc\n");
    (void)feed("one two  \027three\n");
    EXPECT_STR_EQ(take(100), "one three\n");
    (void)feed("gone\025kept\n");
    EXPECT_STR_EQ(take(100), "kept\n");
    (void)feed("\177\177x\n");
    EXPECT_STR_EQ(take(100), "x\n");
}

TEST(ldisc, erases_a_whole_utf8_character_and_rubs_out_one_column)
{
    begin(0, 0);
    (void)feed("a\303\244");
    (void)echoed();
    (void)feed("\177");
    EXPECT_STR_EQ(echoed(), "\b \b");
    (void)feed("\n");
    (void)echoed();
    EXPECT_STR_EQ(take(100), "a\n");
}

TEST(ldisc, echoes_control_characters_with_a_caret_and_newlines_with_a_return)
{
    begin(0, 0);
    (void)feed("a\001b\n");
    EXPECT_STR_EQ(echoed(), "a^Ab\r\n");
    (void)feed("\001\177");
    EXPECT_STR_EQ(echoed(), "^A\b \b\b \b");
}

TEST(ldisc, rubs_out_a_tab_back_to_where_it_began)
{
    begin(0, 0);
    (void)feed("abc\t");
    (void)echoed();
    (void)feed("\177");
    EXPECT_STR_EQ(echoed(), "\b\b\b\b\b");
}

TEST(ldisc, rubs_out_a_tab_after_a_prompt_that_was_written)
{
    size_t used;

    begin(0, 0);
    (void)ldisc_output(&ld, (const uint8_t *)"$ ", 2, (uint8_t *)out, sizeof(out), &used);
    (void)feed("a\t");
    (void)echoed();
    (void)feed("\177");
    EXPECT_STR_EQ(echoed(), "\b\b\b\b\b");
}

TEST(ldisc, literal_next_takes_the_meaning_of_a_byte_away)
{
    begin(0, 0);
    (void)feed("\026\003\026\177x\n");
    EXPECT_EQ(events.signals, 0);
    EXPECT_STR_EQ(take(100), "\003\177x\n");
}

TEST(ldisc, signal_characters_signal_and_flush)
{
    begin(0, 0);
    (void)feed("line\npart\003");
    EXPECT_EQ(events.signals, BIT(SIGINT));
    EXPECT(events.flush_output);
    EXPECT(take(100) == NULL);
    EXPECT_STR_EQ(echoed(), "^C");
    begin(0, 0);
    (void)feed("\034\032");
    EXPECT_EQ(events.signals, BIT(SIGQUIT) | BIT(SIGTSTP));
}

TEST(ldisc, noflsh_keeps_what_was_typed)
{
    struct ktermios termios = sane;

    termios.c_lflag |= NOFLSH;
    begin(0, 0);
    ldisc_set_termios(&ld, &termios);
    (void)feed("keep\003\n");
    EXPECT_EQ(events.signals, BIT(SIGINT));
    EXPECT(!events.flush_output);
    EXPECT_STR_EQ(take(100), "keep\n");
}

TEST(ldisc, flow_control_characters_stop_and_start_and_are_not_read)
{
    begin(0, 0);
    (void)feed("\023");
    EXPECT(events.flow_changed);
    EXPECT(ld.stopped);
    (void)feed("\021a\n");
    EXPECT(!ld.stopped);
    EXPECT_STR_EQ(take(100), "a\n");
}

TEST(ldisc, any_character_restarts_output_with_ixany)
{
    struct ktermios termios = sane;

    termios.c_iflag |= IXANY;
    begin(0, 0);
    ldisc_set_termios(&ld, &termios);
    (void)feed("\023");
    EXPECT(ld.stopped);
    (void)feed("x");
    EXPECT(!ld.stopped);
}

TEST(ldisc, raw_mode_passes_every_byte_and_counts_them)
{
    begin(ICRNL | IXON, ICANON | ECHO | ISIG);
    EXPECT(ld.plain);
    EXPECT_EQ(feed("a\r\003\023\004"), 5);
    EXPECT_EQ(ldisc_available(&ld), 5);
    EXPECT(!ldisc_readable(&ld, 6));
    EXPECT_STR_EQ(take(3), "a\r\003");
    EXPECT_STR_EQ(take(3), "\023\004");
}

TEST(ldisc, maps_returns_and_newlines)
{
    struct ktermios termios = sane;

    begin(0, ECHO);
    termios.c_iflag = INLCR | IGNCR;
    termios.c_lflag = 0;
    ldisc_set_termios(&ld, &termios);
    (void)feed("a\rb\n");
    EXPECT_STR_EQ(take(100), "ab\r");
}

TEST(ldisc, a_full_line_drops_bytes_but_still_ends)
{
    static char big[LDISC_SIZE + 100];

    begin(0, ECHO);
    memset(big, 'x', sizeof(big));
    EXPECT_EQ(ldisc_receive(&ld, (const uint8_t *)big, sizeof(big), &events), sizeof(big));
    EXPECT(take(10) == NULL);
    EXPECT_EQ(feed("\n"), 1);
    EXPECT_EQ(ldisc_available(&ld), LDISC_SIZE);
    EXPECT_EQ(feed("more"), 0); /* a reader can make room now: the source waits */
}

TEST(ldisc, a_full_raw_buffer_takes_what_fits)
{
    static char big[LDISC_SIZE + 100];

    begin(ICRNL | IXON, ICANON | ECHO | ISIG);
    EXPECT_EQ(ldisc_receive(&ld, (const uint8_t *)big, sizeof(big), &events), LDISC_SIZE);
    EXPECT_EQ(ldisc_room(&ld), 0);
}

TEST(ldisc, unread_raw_bytes_become_one_line_when_canonical_mode_begins)
{
    begin(ICRNL | IXON, ICANON | ECHO | ISIG);
    (void)feed("raw");
    ldisc_set_termios(&ld, &sane);
    EXPECT_STR_EQ(take(100), "raw");
    EXPECT(take(100) == NULL);
    (void)feed("x\n");
    EXPECT_STR_EQ(take(100), "x\n");
}

TEST(ldisc, the_ring_wraps_without_losing_line_ends)
{
    char line[101];

    begin(0, ECHO);
    memset(line, 'a', 99);
    line[99] = '\n';
    line[100] = '\0';
    for (int i = 0; i < 200; i++) {
        EXPECT_EQ(feed(line), 100);
        EXPECT_STR_EQ(take(4000), line);
    }
}

TEST(ldisc, marks_parity_errors_and_doubles_the_mark)
{
    struct ktermios termios = sane;

    termios.c_iflag = INPCK | PARMRK;
    termios.c_lflag = 0;
    ldisc_init(&ld, &termios);
    ldisc_receive_error(&ld, 'x', 1, &events);
    (void)feed("\377");
    EXPECT_EQ(ldisc_available(&ld), 5);
    (void)take(5);
    EXPECT_MEM_EQ(out, "\377\0x\377\377", 5);
}

TEST(ldisc, a_break_signals_with_brkint)
{
    struct ktermios termios = sane;

    termios.c_iflag |= BRKINT;
    ldisc_init(&ld, &termios);
    events = (struct ldisc_events){0};
    ldisc_receive_error(&ld, 0, 0, &events);
    EXPECT_EQ(events.signals, BIT(SIGINT));
}

static const char *process(unsigned oflag, const char *text, size_t room, size_t *used)
{
    struct ktermios termios = sane;
    size_t n;

    termios.c_oflag = oflag;
    ldisc_set_termios(&ld, &termios);
    n = ldisc_output(&ld, (const uint8_t *)text, strlen(text), (uint8_t *)out, room, used);
    out[n] = '\0';
    return out;
}

TEST(ldisc, output_processing_follows_its_flags)
{
    size_t used;

    begin(0, 0);
    EXPECT_STR_EQ(process(OPOST | ONLCR, "a\nb", 100, &used), "a\r\nb");
    ld.column = 0;
    EXPECT_STR_EQ(process(OPOST | TAB3, "ab\tc", 100, &used), "ab      c");
    EXPECT_STR_EQ(process(OPOST | OCRNL, "a\rb", 100, &used), "a\nb");
    ld.column = 0;
    EXPECT_STR_EQ(process(OPOST | ONOCR, "\ra\r", 100, &used), "a\r");
    EXPECT_STR_EQ(process(OPOST | OLCUC, "aBc1", 100, &used), "ABC1");
    EXPECT_STR_EQ(process(ONLCR, "a\n", 100, &used), "a\n");
}

TEST(ldisc, output_stops_where_the_driver_has_no_more_room)
{
    size_t used;

    begin(0, 0);
    EXPECT_STR_EQ(process(OPOST | ONLCR, "ab\ncd", 3, &used), "ab");
    EXPECT_EQ(used, 2);
    EXPECT_STR_EQ(process(OPOST | ONLCR, "\ncd", 3, &used), "\r\nc");
    EXPECT_EQ(used, 2);
}

TEST(ldisc, the_column_counts_characters_not_bytes)
{
    size_t used;

    begin(0, 0);
    (void)process(OPOST, "\303\244\303\266x", 100, &used);
    EXPECT_EQ(ld.column, 3);
    (void)process(OPOST, "0123456789abcdef\303\244\r", 100, &used);
    EXPECT_EQ(ld.column, 0);
}

TEST(ldisc, reprint_shows_the_line_again)
{
    begin(0, 0);
    (void)feed("abc");
    (void)echoed();
    (void)feed("\022");
    EXPECT_STR_EQ(echoed(), "^R\r\nabc");
}
