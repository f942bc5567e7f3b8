/* Open files over a simulated medium: syncing, errors, advice (kernel/vfs/medium.c). */
#define TEST_SUITE "vfs"
#include <linux/fadvise.h>
#include <linux/fs.h>

#include "test/unit/test.h"

#include "kernel/vfs/private.h"
#define STORE_INODE
#include "test/unit/vm/store.h"

static struct file file, other;

static void begin(void)
{
    store_inode.mode = S_IFREG | 0600;
    file = (struct file){.inode = &store_inode, .mode = FMODE_READ | FMODE_WRITE};
    other = file;
    file_open_medium(&file);
    file_open_medium(&other);
    store.delay = 5 * NS_PER_MS;
    store.read_delay = 5 * NS_PER_MS;
}

static void test_sync_range(void)
{
    begin();
    store_fill(0, 16, 'a');
    EXPECT_EQ(vfs_sync_range(&file, 0, 5, SYNC_FILE_RANGE_WAIT_BEFORE), 0);
    EXPECT_EQ(store.writes, 0);
    EXPECT_EQ(vfs_sync_range(&file, PAGE_SIZE, 2 * PAGE_SIZE, SYNC_FILE_RANGE_WRITE), 0);
    EXPECT_EQ(store_wb.nwriteback, 2); /* both pages that the bytes touch; not waited for */
    EXPECT_EQ(vfs_sync_range(&file, 0, 0, SYNC_FILE_RANGE_WAIT_AFTER), 0);
    EXPECT_EQ(store_wb.nwriteback, 2); /* others are not waited for either */
    EXPECT_EQ(vfs_sync_range(&file, 0, INT64_MAX, SYNC_FILE_RANGE_WRITE_AND_WAIT), 0);
    EXPECT(store_holds(0, 16, 'a'));
    store_inode.mode = S_IFIFO;
    EXPECT_EQ(vfs_sync_range(&file, 0, 0, 0), -ESPIPE);
}
TEST(medium, sync_file_range_does_what_its_flags_say)
{
    store_test(test_sync_range);
}

static void test_errors(void)
{
    begin();
    store.error = -EIO;
    store_fill(0, 1, 'a');
    EXPECT_EQ(vfs_sync_range(&file, 0, 0, SYNC_FILE_RANGE_WRITE), 0);
    EXPECT_EQ(vfs_sync_range(&file, 0, 0, SYNC_FILE_RANGE_WAIT_AFTER), -EIO);
    EXPECT_EQ(vfs_sync_range(&file, 0, 0, SYNC_FILE_RANGE_WAIT_AFTER), 0);
    EXPECT_EQ(file_check_error(&other), -EIO);
    EXPECT_EQ(file_check_error(&other), 0);
    EXPECT_EQ(file_check_error(&file), 0);
}
TEST(medium, an_error_is_told_once_to_each_open_file)
{
    store_test(test_errors);
}

static void test_advice(void)
{
    begin();
    store_cache.size_bytes = 100 * PAGE_SIZE + 1;
    EXPECT_EQ(vfs_fadvise(&file, 5, 10 * PAGE_SIZE, POSIX_FADV_WILLNEED), 0);
    store_sleep(NS_PER_S);
    EXPECT_EQ(store.pages_read, 11);
    EXPECT_EQ(vfs_readahead(&file, 50 * PAGE_SIZE, 1), 0);
    EXPECT_EQ(vfs_readahead(&file, 50 * PAGE_SIZE, 0), 0);
    store_sleep(NS_PER_S);
    EXPECT_EQ(store.pages_read, 12);
    EXPECT_EQ(vfs_fadvise(&file, 0, 0, POSIX_FADV_WILLNEED), 0); /* all of it */
    store_sleep(NS_PER_S);
    EXPECT_EQ(store.pages_read, 101);
    EXPECT_EQ(vfs_fadvise(&file, 1, 3 * PAGE_SIZE, POSIX_FADV_DONTNEED), 0); /* pages 1 and 2 */
    EXPECT_EQ(store_cache.pages.nentries, 99);
    EXPECT_EQ(vfs_fadvise(&file, 90 * PAGE_SIZE, 0, POSIX_FADV_DONTNEED), 0); /* with the last */
    EXPECT_EQ(store_cache.pages.nentries, 88);
    EXPECT_EQ(vfs_fadvise(&file, 0, 0, POSIX_FADV_RANDOM), 0);
    EXPECT_EQ(file.ahead.most, 0);
    EXPECT_EQ(vfs_fadvise(&file, 0, -1, POSIX_FADV_NORMAL), -EINVAL);
    EXPECT_EQ(vfs_fadvise(&file, 0, 0, 6), -EINVAL);
    file.mode = FMODE_WRITE;
    EXPECT_EQ(vfs_readahead(&file, 0, 1), -EBADF);
}
TEST(medium, advice_reads_and_lets_go)
{
    store_test(test_advice);
}
