/*
 * Tests of loader/core/bootconf.h.
 */
#define TEST_SUITE "loader"
#include "test/unit/test.h"

#include "kernel/base/errno.h"
#include "loader/core/bootconf.h"

static struct bootconf conf;
static char reason[160];

static int parse(const char *text)
{
    reason[0] = '\0';
    return bootconf_parse(text, strlen(text), &conf, reason, sizeof(reason));
}

#define EXPECT_REFUSED(text, why)                                                                  \
    do {                                                                                           \
        EXPECT_EQ(parse(text), -EINVAL);                                                           \
        EXPECT_STR_EQ(reason, why);                                                                \
    } while (0)

TEST(bootconf, one_unnamed_entry_is_called_linnet)
{
    EXPECT_EQ(parse("kernel = \\linnet\\kernel.elf\n"), 0);
    EXPECT_EQ(conf.nentries, 1);
    EXPECT_STR_EQ(conf.entries[0].name, "linnet");
    EXPECT_STR_EQ(conf.entries[0].kernel, "\\linnet\\kernel.elf");
    EXPECT_STR_EQ(conf.entries[0].initramfs, "");
    EXPECT_STR_EQ(conf.entries[0].parameters, "");
}

TEST(bootconf, entries_inherit_the_keys_before_the_first_one)
{
    EXPECT_EQ(
        parse(
            "kernel=\\k\nparameters=quiet\n[a]\n[b]\nparameters = debug \"x y\"\ninitramfs=\\i\n"),
        0);
    EXPECT_EQ(conf.nentries, 2);
    EXPECT_STR_EQ(conf.entries[0].kernel, "\\k");
    EXPECT_STR_EQ(conf.entries[0].parameters, "quiet");
    EXPECT_STR_EQ(conf.entries[1].kernel, "\\k");
    EXPECT_STR_EQ(conf.entries[1].parameters, "debug \"x y\"");
    EXPECT_STR_EQ(conf.entries[1].initramfs, "\\i");
}

TEST(bootconf, an_empty_initramfs_takes_the_common_one_away)
{
    EXPECT_EQ(parse("kernel=\\k\ninitramfs=\\i\n[a]\ninitramfs=\n"), 0);
    EXPECT_STR_EQ(conf.entries[0].initramfs, "");
}

TEST(bootconf, default_and_timeout_are_taken)
{
    EXPECT_EQ(parse("default = b\ntimeout = 12\nkernel = \\k\n[a]\n[b]\n"), 0);
    EXPECT_EQ(conf.default_entry, 1);
    EXPECT_EQ(conf.timeout_s, 12);
}

TEST(bootconf, without_them_the_first_entry_starts_after_three_seconds)
{
    EXPECT_EQ(parse("kernel = \\k\n[a]\n[b]\n"), 0);
    EXPECT_EQ(conf.default_entry, 0);
    EXPECT_EQ(conf.timeout_s, 3);
}

TEST(bootconf, slashes_comments_blank_lines_and_dos_line_ends_are_fine)
{
    EXPECT_EQ(parse("\xef\xbb\xbf# comment\r\n\r\n  kernel = /linnet/kernel.elf  \r\n"), 0);
    EXPECT_STR_EQ(conf.entries[0].kernel, "\\linnet\\kernel.elf");
}

TEST(bootconf, last_line_needs_no_newline)
{
    EXPECT_EQ(parse("kernel=\\k\nparameters=a=b"), 0);
    EXPECT_STR_EQ(conf.entries[0].parameters, "a=b");
}

TEST(bootconf, each_mistake_is_told_with_its_line)
{
    EXPECT_REFUSED("\n\nkernl = \\k\n", "line 3: unknown key \"kernl\"");
    EXPECT_REFUSED("kernel\n", "line 1: neither [entry] nor key = value: \"kernel\"");
    EXPECT_REFUSED("kernel = k\n", "line 1: a path must start with \\, unlike \"k\"");
    EXPECT_REFUSED("kernel = \\k\xc3\xa4\n", "line 1: a path must be ASCII, unlike \"\\k??\"");
    EXPECT_REFUSED("[a\n", "line 1: no ] after the entry's name \"[a\"");
    EXPECT_REFUSED("[]\n", "line 1: an entry needs a name");
    EXPECT_REFUSED("[a]\n[a]\n", "line 2: a second entry of the name \"a\"");
    EXPECT_REFUSED("kernel=\\k\n[a]\ntimeout=1\n",
                   "line 3: must stand before the first entry: \"timeout\"");
    EXPECT_REFUSED("timeout = soon\n", "line 1: timeout is not a number of seconds: \"soon\"");
    EXPECT_REFUSED("timeout = 99999999999999\n",
                   "line 1: timeout is more than an hour: \"99999999999999\"");
    EXPECT_REFUSED("timeout =\n", "line 1: timeout has no value");
    EXPECT_REFUSED("\nkernel = \\k\ndefault = x\n[a]\n", "line 3: there is no entry \"x\"");
    EXPECT_REFUSED("[a]\nparameters=b\n", "entry \"a\" names no kernel");
    EXPECT_REFUSED("", "entry \"linnet\" names no kernel");
    EXPECT_REFUSED("kernel = \\\x01\n", "line 1: not text: a control character");
}

TEST(bootconf, a_zero_byte_is_not_text)
{
    EXPECT_EQ(bootconf_parse("kernel=\\k\0", 10, &conf, reason, sizeof(reason)), -EINVAL);
}

TEST(bootconf, text_that_does_not_fit_is_refused_not_cut)
{
    static char text[BOOTCONF_PARAMETERS_SIZE + 64];
    size_t head = strlen("kernel=\\k\nparameters=");

    memset(text, 'x', sizeof(text) - 1);
    memcpy(text, "kernel=\\k\nparameters=", head);
    EXPECT_EQ(parse(text), -EINVAL);
    text[head + BOOTCONF_PARAMETERS_SIZE - 1] = '\0';
    EXPECT_EQ(parse(text), 0);
    EXPECT_EQ(strlen(conf.entries[0].parameters), BOOTCONF_PARAMETERS_SIZE - 1);
}

TEST(bootconf, there_is_an_end_to_the_number_of_entries)
{
    char text[256] = "kernel=\\k\n";
    size_t at = strlen(text);

    for (unsigned i = 0; i <= BOOTCONF_MAX_ENTRIES; i++) {
        text[at++] = '[';
        text[at++] = (char)('a' + i);
        text[at++] = ']';
        text[at++] = '\n';
    }
    EXPECT_REFUSED(text, "line 18: too many entries: no room for \"q\"");
}
