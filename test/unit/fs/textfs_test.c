/*
 * The common part of procfs and sysfs: the growing buffer and the tree of names.
 */
#define TEST_SUITE "fs"
#include "test/unit/test.h"

#include "kernel/fs/textfs/text.h"

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
