/*
 * The dentry cache: what it remembers, what it gives back.
 */
#define TEST_SUITE "vfs"
#include "kernel/base/printf.h"
#include "test/unit/test.h"
#include "test/unit/vfs/fixture.h"

TEST(dentry, missing_names_are_remembered_until_made)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_exists("x"), -ENOENT);
    uint64_t count = dentry_count();
    EXPECT_EQ(tree_exists("x"), -ENOENT);
    EXPECT_EQ(dentry_count(), count);
    EXPECT_EQ(tree_touch("x", 0644), 0);
    EXPECT_EQ(tree_exists("x"), 0);
    EXPECT_EQ(vfs_unlink(AT_FDCWD, "x"), 0);
    EXPECT_EQ(tree_exists("x"), -ENOENT);
    EXPECT_EQ(dentry_count(), count);
    tree_end();
}

TEST(dentry, shrinking_frees_unused_names_alone)
{
    char name[16];

    tree_begin(NULL);
    int fd = tree_open("held", O_RDWR | O_CREAT, 0644);
    uint64_t before = dentry_count();
    for (int i = 0; i < 100; i++) {
        (void)ksnprintf(name, sizeof(name), "n%d", i);
        EXPECT_EQ(tree_touch(name, 0644), 0);
    }
    EXPECT_EQ(dentry_count(), before + 100);
    size_t freed = 0;
    for (int i = 0; i < 4; i++) {
        freed += dentry_shrink(1000); /* the first round forgives what was used lately */
    }
    EXPECT_GE(freed, 100);
    EXPECT_LE(dentry_count(), before);
    for (int i = 0; i < 100; i++) {
        (void)ksnprintf(name, sizeof(name), "n%d", i);
        EXPECT_EQ(tree_exists(name), 0);
    }
    struct file *file = fd_file(fd);
    EXPECT(dentry_is_hashed(file->path.dentry));
    file_put(file);
    tree_end();
}

TEST(dentry, pruning_forgets_a_deep_tree_but_not_what_is_open)
{
    struct path top;
    char name[64] = "d";

    tree_begin(NULL);
    uint64_t before = dentry_count();
    EXPECT_EQ(tree_mkdir(name, 0755), 0);
    EXPECT_EQ(path_lookup(AT_FDCWD, "d", 0, &top), 0);
    for (int i = 0; i < 15; i++) {
        (void)str_copy(name + strlen(name), "/d", 8);
        EXPECT_EQ(tree_mkdir(name, 0755), 0);
    }
    int fd = tree_open("d/d/f", O_RDWR | O_CREAT, 0644);
    dentry_prune(top.dentry);
    EXPECT_EQ(dentry_count(), before + 3); /* d, d/d, d/d/f */
    EXPECT_EQ(tree_exists(name), 0);
    EXPECT_EQ(fd_close(fd), 0);
    dentry_prune(top.dentry);
    EXPECT_EQ(dentry_count(), before + 1);
    path_put(&top);
    tree_end();
}

TEST(dentry, long_and_short_names_are_told_apart)
{
    static const char *const names[] = {"a",
                                        "ab",
                                        "abcdefg",
                                        "abcdefgh",
                                        "abcdefghi",
                                        "abcdefghijklmno",
                                        "abcdefghijklmnop",
                                        "abcdefghijklmnopqrstuvwxyz0123456789abc",
                                        "abcdefghijklmnopqrstuvwxyz0123456789abcd",
                                        "abcdefghijklmnopqrstuvwxyz0123456789abcde",
                                        "\xff\xfe\x80 weird\n"};

    tree_begin(NULL);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        EXPECT_EQ(tree_write(names[i], names[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        EXPECT_STR_EQ(tree_read(names[i]), names[i]);
    }
    tree_end();
}
