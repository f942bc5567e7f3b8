/*
 * The common part of procfs and sysfs: the growing buffer and the tree of names.
 */
#define TEST_SUITE "fs"
#include "test/unit/test.h"

#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/fs/textfs/text.h"
#include "kernel/vm/iov.h"

static struct text text;

TEST(text, prints_numbers_and_formats_of_any_length)
{
    text_init(&text);
    text_printf(&text, "%s %d", "one", 2);
    text_number(&text, 0);
    text_number(&text, UINT64_MAX);
    text_putc(&text, '\n');
    EXPECT_EQ(text.len, strlen("one 2 0 18446744073709551615\n"));
    EXPECT_MEM_EQ(text.buf, "one 2 0 18446744073709551615\n", text.len);
    text_fini(&text);
}

TEST(text, grows_without_losing_anything)
{
    text_init(&text);
    for (unsigned i = 0; i < 3000; i++) {
        text_printf(&text, "%05u ", i);
    }
    EXPECT(!text.failed);
    EXPECT_EQ(text.len, 18000);
    EXPECT_MEM_EQ(text.buf + 2999 * 6, "02999 ", 6);
    text_printf(&text, "%4000s", "end");
    EXPECT_EQ(text.len, 22000);
    EXPECT_MEM_EQ(text.buf + 21997, "end", 3);
    text_fini(&text);
}

TEST(text, escapes_what_would_break_a_line)
{
    text_init(&text);
    text_escaped(&text, "a b\\c", " \\");
    EXPECT_EQ(text.len, 11);
    EXPECT_MEM_EQ(text.buf, "a\\040b\\134c", 11);
    text_fini(&text);
}

static const struct text_file files[] = {
    {.path = "zeta"},  {.path = "sys/kernel/hostname"},   {.path = "sys/fs/file-max"},
    {.path = "alpha"}, {.path = "sys/kernel/domainname"},
};

static const char *name_at(const struct text_node *dir, unsigned index)
{
    static char name[64];
    const struct text_node *node = text_node_at(dir, index);

    if (node == NULL) {
        return "";
    }
    memcpy(name, node->name, node->name_len);
    name[node->name_len] = '\0';
    return name;
}

TEST(text_tree, is_sorted_and_makes_directories)
{
    static struct text_tree tree;
    const struct text_node *sys, *kernel;

    text_tree_init(&tree, 10);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        EXPECT_EQ(text_tree_add(&tree, &files[i]), 0);
    }
    EXPECT_STR_EQ(name_at(&tree.root, 0), "alpha");
    EXPECT_STR_EQ(name_at(&tree.root, 1), "sys");
    EXPECT_STR_EQ(name_at(&tree.root, 2), "zeta");
    EXPECT_STR_EQ(name_at(&tree.root, 3), "");
    sys = text_node_find(&tree.root, "sys", 3);
    EXPECT(sys != NULL && sys->file == NULL);
    kernel = text_node_find(sys, "kernel", 6);
    EXPECT_STR_EQ(name_at(kernel, 0), "domainname");
    EXPECT_PTR_EQ(text_node_find(kernel, "hostname", 8)->file, &files[1]);
    EXPECT(text_node_find(kernel, "host", 4) == NULL);
    EXPECT_PTR_EQ(kernel->parent, sys);
}

TEST(text_tree, refuses_a_name_twice)
{
    static struct text_tree tree;

    text_tree_init(&tree, 1);
    EXPECT_EQ(text_tree_add(&tree, &files[0]), 0);
    EXPECT_EQ(text_tree_add(&tree, &files[0]), -17);
}

TEST(text, numbers_stand_in_columns)
{
    text_init(&text);
    text_decimal(&text, 42, 8);
    text_decimal(&text, 123456789, 4);
    text_decimal(&text, 7, 100); /* no column is wider than a number can be, and some */
    text_hex(&text, 0xbeef, 8);
    text_hex(&text, UINT64_MAX, 2);
    text_hex(&text, 0, 0);
    EXPECT_MEM_EQ(text.buf, "      42123456789                       70000beefffffffffffffffff0",
                  text.len);
    text_reset(&text);
    text_puts(&text, "ab");
    text_pad(&text, 0, 5);
    text_pad(&text, 0, 3);
    EXPECT_EQ(text.len, 5);
    EXPECT_MEM_EQ(text.buf, "ab   ", 5);
    text_fini(&text);
}

/* Lines of numbers up to 20000; the cursor is the next one. */
static int count_next(struct text *to, struct file *file, uint64_t *cursor)
{
    (void)file;
    while (*cursor < 20000 && !text_is_enough(to)) {
        text_printf(to, "%06llu\n", (unsigned long long)(*cursor)++);
    }
    return *cursor < 20000;
}

static ssize_t stream_read(struct file *file, char *buf, size_t n, loff_t *pos)
{
    struct iov_iter to;

    iov_init_kernel(&to, buf, n);
    return text_read(file, &to, pos);
}

TEST(text_file, a_stream_is_made_in_pieces_that_join)
{
    static char buf[1 << 17];
    struct file file = {0};
    loff_t pos = 0;
    uint64_t line = 0;
    ssize_t n;

    EXPECT_EQ(text_open_stream(&file, count_next), 0);
    while ((n = stream_read(&file, buf, 7 * 1000, &pos)) > 0) {
        EXPECT((size_t)n <= TEXT_PIECE_BYTES + 7);
        pos -= n % 7; /* whole lines, so that what comes next can be told */
        for (ssize_t at = 0; at + 7 <= n; at += 7, line++) {
            char expected[8];
            (void)ksnprintf(expected, sizeof(expected), "%06llu\n", (unsigned long long)line);
            EXPECT_MEM_EQ(buf + at, expected, 7);
        }
    }
    EXPECT_EQ(n, 0);
    EXPECT_EQ(line, 20000);
    pos = 7 * 15000; /* anywhere: back, on, and beyond the end */
    EXPECT_EQ(stream_read(&file, buf, 7, &pos), 7);
    EXPECT_MEM_EQ(buf, "015000\n", 7);
    pos = 7 * 3 + 1;
    EXPECT_EQ(stream_read(&file, buf, 3, &pos), 3);
    EXPECT_MEM_EQ(buf, "000", 3);
    pos = 7 * 20000 + 5;
    EXPECT_EQ(stream_read(&file, buf, 7, &pos), 0);
    text_release(&file);
}

static int fail_next(struct text *to, struct file *file, uint64_t *cursor)
{
    (void)file;
    text_puts(to, "some");
    return (*cursor)++ == 0 ? 1 : -EIO;
}

TEST(text_file, an_error_in_a_stream_is_the_readers)
{
    char buf[8];
    struct file file = {0};
    loff_t pos = 0;

    EXPECT_EQ(text_open_stream(&file, fail_next), 0);
    EXPECT_EQ(stream_read(&file, buf, 8, &pos), 4);
    EXPECT_EQ(stream_read(&file, buf, 8, &pos), -EIO);
    pos = 0;
    EXPECT_EQ(stream_read(&file, buf, 8, &pos), 4);
    text_release(&file);
    EXPECT_EQ(text_open(&file, NULL), 0); /* only written to */
    EXPECT_EQ(stream_read(&file, buf, 8, &pos), -EINVAL);
    text_release(&file);
}
