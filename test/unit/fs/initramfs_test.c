/*
 * Unpacking an initramfs: what becomes of entries that contradict one another, or the tree.
 */
#include <linux/stat.h>

#define TEST_SUITE "fs"
#include "kernel/base/printf.h"
#include "kernel/core/log.h"
#include "kernel/fs/initramfs.h"
#include "test/unit/test.h"
#include "test/unit/vfs/fixture.h"

static char archive[8192];
static size_t archive_len;

static void add_bytes(const char *data, size_t len)
{
    memcpy(archive + archive_len, data, len);
    archive_len = ALIGN_UP(archive_len + len, (size_t)4);
}

static unsigned archive_device;

/* An entry of inode `ino` on archive_device, which has `nlink` names. */
static void add_link(const char *name, uint32_t mode, unsigned ino, unsigned nlink,
                     const char *data)
{
    char header[111];
    size_t name_bytes = strlen(name) + 1;

    (void)ksnprintf(header, sizeof(header),
                    "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", ino, mode, 0, 0,
                    nlink, 1000, (unsigned)strlen(data), 8, archive_device, 0, 0,
                    (unsigned)name_bytes, 0);
    memcpy(archive + archive_len, header, 110);
    archive_len += 110;
    add_bytes(name, name_bytes);
    add_bytes(data, strlen(data));
}

static void add(const char *name, uint32_t mode, const char *data)
{
    add_link(name, mode, 0, 1, data);
}

static void begin(void)
{
    tree_begin(NULL);
    memset(archive, 0, sizeof(archive));
    archive_len = 0;
}

static void unpack(void)
{
    add("TRAILER!!!", 0, "");
    initramfs_unpack((const uint8_t *)archive, archive_len);
}

TEST(initramfs, names_of_an_inode_are_links_within_their_archive)
{
    begin();
    add_link("a", S_IFREG | 0644, 7, 2, "");
    add_link("b", S_IFREG | 0644, 7, 2, "first");
    add("TRAILER!!!", 0, "");
    add_link("c", S_IFREG | 0644, 7, 2, "");
    add_link("d", S_IFREG | 0644, 7, 2, "another");
    unpack();
    EXPECT_STR_EQ(tree_read("a"), "first");
    EXPECT_STR_EQ(tree_read("b"), "first");
    EXPECT_STR_EQ(tree_read("c"), "another");
    EXPECT_STR_EQ(tree_read("d"), "another");
    EXPECT_EQ(tree_stat("a").nlink, 2);
    EXPECT_EQ(tree_stat("c").nlink, 2);
    tree_end();
}

TEST(initramfs, inodes_of_one_number_on_two_devices_are_two)
{
    static const char *const names[] = {"0", "1", "2", "3", "4", "5", "6", "7"};

    begin();
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        archive_device = i % 2;
        add_link(names[i], S_IFREG | 0644, i % 4 < 2 ? 7 : 0xffffffff, 2, names[i]);
    }
    archive_device = 0;
    unpack();
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        EXPECT_STR_EQ(tree_read(names[i]), names[i | 4]);
        EXPECT_EQ(tree_stat(names[i]).nlink, 2);
        EXPECT_EQ(tree_stat(names[i]).ino, tree_stat(names[i ^ 4]).ino);
    }
    tree_end();
}

TEST(initramfs, what_cannot_be_made_is_passed_over)
{
    begin();
    add("dir", S_IFDIR | 0755, "");
    add("dir/file", S_IFREG | 0644, "inside");
    add("dir", S_IFREG | 0644, "in its place");
    add("dir", S_IFLNK | 0777, "dir/file");
    add("no/such", S_IFREG | 0644, "directory");
    add("no/link", S_IFLNK | 0777, "file");
    add("empty", S_IFLNK | 0777, "");
    add("after", S_IFREG | 0644, "all that");
    unpack();
    EXPECT_STR_EQ(tree_read("dir/file"), "inside");
    EXPECT_STR_EQ(tree_read("after"), "all that");
    EXPECT_STR_EQ(tree_list("."), "dir after");
    tree_end();
}

TEST(initramfs, what_comes_later_takes_the_place)
{
    begin();
    add("dir", S_IFDIR | 0755, "");
    add("file", S_IFREG | 0644, "old");
    add("link", S_IFLNK | 0777, "dir");
    add("dir", S_IFREG | 0644, "new");
    add("file", S_IFDIR | 0700, "");
    add("link", S_IFDIR | 0700, "");
    add("link", S_IFDIR | 0750, "");
    unpack();
    EXPECT_STR_EQ(tree_read("dir"), "new");
    EXPECT_EQ(tree_stat("file").mode, S_IFDIR | 0700);
    EXPECT_EQ(tree_stat("link").mode, S_IFDIR | 0750);
    tree_end();
}

TEST(initramfs, a_damaged_archive_is_told_by_the_last_name_before)
{
    struct log_record record;
    char text[256];

    begin();
    add("before", S_IFREG | 0644, "good");
    add_bytes("garbage", 7);
    uint64_t seq = log_next_sequence();
    unpack();
    EXPECT_STR_EQ(tree_read("before"), "good");
    size_t len = log_read(&seq, &record, text, sizeof(text) - 1);
    text[len] = '\0';
    EXPECT_STR_EQ(text, "initramfs: damaged after 1 entries (last: before): error 84");
    tree_end();
}
