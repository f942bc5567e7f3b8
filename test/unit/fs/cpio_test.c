/*
 * The newc parser: entries as they are, in pieces of any size, and damage of every kind.
 */
#include <linux/stat.h>

#define TEST_SUITE "fs"
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/fs/initramfs/cpio.h"
#include "test/unit/test.h"

static char log_text[2048];
static size_t log_len;

static int record_begin(void *arg, const struct cpio_entry *entry)
{
    (void)arg;
    log_len +=
        (size_t)kscnprintf(log_text + log_len, sizeof(log_text) - log_len, "%s:%o:%u:", entry->name,
                           entry->mode, (unsigned)entry->size_bytes);
    return 0;
}

static int record_data(void *arg, const uint8_t *data, size_t len_bytes)
{
    (void)arg;
    log_len += (size_t)kscnprintf(log_text + log_len, sizeof(log_text) - log_len, "%.*s",
                                  (int)len_bytes, (const char *)data);
    return 0;
}

static int record_end(void *arg)
{
    (void)arg;
    log_len += (size_t)kscnprintf(log_text + log_len, sizeof(log_text) - log_len, ";");
    return 0;
}

static const struct cpio_sink recorder = {
    .begin = record_begin, .data = record_data, .end = record_end};

/* ---- building archives ---- */

static uint8_t archive[16384];
static size_t archive_len;

static void add_padding(void)
{
    while (archive_len % 4 != 0) {
        archive[archive_len++] = 0;
    }
}

static void add_entry(const char *magic, const char *name, uint32_t mode, const char *data,
                      uint32_t check)
{
    size_t name_bytes = strlen(name) + 1, size = strlen(data);

    archive_len +=
        (size_t)kscnprintf((char *)archive + archive_len, sizeof(archive) - archive_len,
                           "%s%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", magic, 7, mode,
                           1, 2, 1, 1000, (unsigned)size, 0, 0, 5, 1, (unsigned)name_bytes, check);
    memcpy(archive + archive_len, name, name_bytes);
    archive_len += name_bytes;
    add_padding();
    memcpy(archive + archive_len, data, size);
    archive_len += size;
    add_padding();
}

static void build(void)
{
    archive_len = 0;
    log_len = 0;
    log_text[0] = '\0';
    add_entry("070701", "dir", S_IFDIR | 0755, "", 0);
    add_entry("070701", "./dir/file", S_IFREG | 0644, "content", 0);
    add_entry("070702", "/dir/sum", S_IFREG | 0600, "abc", 'a' + 'b' + 'c');
    add_entry("070701", "link", S_IFLNK | 0777, "dir/file", 0);
    add_entry("070701", ".", S_IFDIR | 0700, "", 0);
}

#define EXPECTED                                                                                   \
    "dir:40755:0:;dir/file:100644:7:content;dir/sum:100600:3:abc;link:120777:8:dir/"               \
    "file;.:40700:0:;"

static int feed(size_t piece)
{
    static struct cpio_stream stream;
    int err = 0;

    cpio_stream_init(&stream, &recorder);
    for (size_t pos = 0; pos < archive_len && err == 0; pos += piece) {
        err = cpio_stream_feed(&stream, archive + pos, MIN(piece, archive_len - pos));
    }
    return err == 0 && !cpio_stream_between(&stream) ? -EIO : err;
}

TEST(cpio, entries_come_out_whatever_the_pieces)
{
    static const size_t pieces[] = {1, 2, 3, 7, 110, 111, 4096, 1 << 20};

    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        build();
        add_entry("070701", "TRAILER!!!", 0, "", 0);
        EXPECT_EQ(feed(pieces[i]), 0);
        EXPECT_STR_EQ(log_text, EXPECTED);
    }
}

TEST(cpio, archives_follow_one_another_with_zeros_between)
{
    build();
    add_entry("070701", "TRAILER!!!", 0, "", 0);
    memset(archive + archive_len, 0, 1001);
    archive_len += 1001;
    /* The second archive pads from its own start, which is odd here. */
    size_t start = archive_len;
    static uint8_t second[1024];
    archive_len = 0;
    static uint8_t first[8192];
    memcpy(first, archive, start);
    add_entry("070701", "again", S_IFREG | 0644, "x", 0);
    add_entry("070701", "TRAILER!!!", 0, "", 0);
    size_t second_len = archive_len;
    memcpy(second, archive, second_len);
    memcpy(archive, first, start);
    memcpy(archive + start, second, second_len);
    archive_len = start + second_len;
    EXPECT_EQ(feed(5), 0);
    EXPECT_STR_EQ(log_text, EXPECTED "again:100644:1:x;");
}

TEST(cpio, an_archive_may_end_without_its_trailer_but_not_in_an_entry)
{
    build();
    EXPECT_EQ(feed(4096), 0);
    EXPECT_STR_EQ(log_text, EXPECTED);
    size_t whole = archive_len;
    for (size_t len = 1; len < whole; len += 13) {
        build();
        archive_len = len;
        int err = feed(4096);
        EXPECT(err == -EIO || err == 0);
    }
    build();
    archive_len = 200;
    EXPECT_EQ(feed(4096), -EIO);
}

static int feed_one(const char *magic, const char *name, uint32_t mode, const char *data,
                    uint32_t check)
{
    archive_len = log_len = 0;
    log_text[0] = '\0';
    add_entry(magic, name, mode, data, check);
    return feed(4096);
}

TEST(cpio, damage_is_told)
{
    EXPECT_EQ(feed_one("070701", "ok", S_IFREG, "", 0), 0);
    EXPECT_EQ(feed_one("070707", "x", S_IFREG, "", 0), -EILSEQ);
    EXPECT_EQ(feed_one("070701", "../x", S_IFREG, "", 0), -EILSEQ);
    EXPECT_EQ(feed_one("070701", "a/../x", S_IFREG, "", 0), -EILSEQ);
    EXPECT_EQ(feed_one("070701", "a/..", S_IFREG, "", 0), -EILSEQ);
    EXPECT_EQ(feed_one("070701", "a/..b/...", S_IFREG, "", 0), 0);
    EXPECT_EQ(feed_one("070701", "", S_IFREG, "", 0), -EILSEQ);
    EXPECT_EQ(feed_one("070702", "x", S_IFREG, "abc", 1), -EILSEQ);
    EXPECT_EQ(feed_one("070701", "dir", S_IFDIR, "data", 0), -EILSEQ);
    build();
    archive[30] = 'g';
    EXPECT_EQ(feed(4096), -EILSEQ);
    build();
    archive[110] = 0; /* a NUL inside the name */
    EXPECT_EQ(feed(4096), -EILSEQ);
    build();
    memcpy(archive + 94, "ffffffff", 8); /* a name of 4 GiB */
    EXPECT_EQ(feed(4096), -EILSEQ);
}
