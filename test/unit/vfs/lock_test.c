/*
 * flock(2) and record locks (fcntl_locking(2)). Two tables play two processes.
 */
#include <linux/fs.h>

#define TEST_SUITE "vfs"
#include "test/unit/test.h"
#include "test/unit/vfs/fixture.h"

static struct fdtable *tables[2];

/* Two owners, each with "f" open as descriptor 0. */
static void two_owners(void)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_write("f", "0123456789"), 0);
    tables[0] = current_thread()->files;
    tables[1] = fdtable_create();
    for (int i = 0; i < 2; i++) {
        current_thread()->files = tables[i];
        EXPECT_EQ(tree_open("f", O_RDWR, 0), 0);
    }
}

static void end_owners(void)
{
    fdtable_put(tables[1]);
    current_thread()->files = tables[0];
    tree_end();
}

static int set_lock(int owner, short type, loff_t start, loff_t len)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

    current_thread()->files = tables[owner];
    struct file *file = fd_file(0);
    int err = vfs_posix_lock(0, file, F_SETLK, &lock);
    file_put(file);
    return err;
}

/* What is in the way of a write lock on [start, start + len): its start, or -1. */
static loff_t blocker(int owner, loff_t start, loff_t len, loff_t *ret_len)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len};

    current_thread()->files = tables[owner];
    struct file *file = fd_file(0);
    EXPECT_EQ(vfs_posix_lock(0, file, F_GETLK, &lock), 0);
    file_put(file);
    if (ret_len != NULL) {
        *ret_len = lock.l_len;
    }
    return lock.l_type == F_UNLCK ? -1 : lock.l_start;
}

TEST(lock, write_locks_exclude_and_read_locks_share)
{
    two_owners();
    EXPECT_EQ(set_lock(0, F_RDLCK, 0, 10), 0);
    EXPECT_EQ(set_lock(1, F_RDLCK, 5, 10), 0);
    EXPECT_EQ(set_lock(1, F_WRLCK, 8, 2), -EAGAIN);
    EXPECT_EQ(set_lock(1, F_WRLCK, 10, 2), 0);
    EXPECT_EQ(set_lock(0, F_RDLCK, 0, 0), -EAGAIN);
    EXPECT_EQ(set_lock(0, F_UNLCK, 0, 0), 0);
    EXPECT_EQ(set_lock(1, F_WRLCK, 0, 0), 0);
    end_owners();
}

TEST(lock, ranges_split_and_melt)
{
    loff_t len;

    two_owners();
    EXPECT_EQ(set_lock(0, F_WRLCK, 0, 100), 0);
    EXPECT_EQ(set_lock(0, F_UNLCK, 40, 20), 0);
    EXPECT_EQ(blocker(1, 0, 0, &len), 0);
    EXPECT_EQ(len, 40);
    EXPECT_EQ(blocker(1, 40, 20, NULL), -1);
    EXPECT_EQ(blocker(1, 40, 0, &len), 60);
    EXPECT_EQ(len, 40);
    EXPECT_EQ(set_lock(0, F_WRLCK, 40, 20), 0);
    EXPECT_EQ(blocker(1, 99, 1, &len), 0);
    EXPECT_EQ(len, 100);
    EXPECT_EQ(set_lock(0, F_RDLCK, 10, 10), 0);
    EXPECT_EQ(set_lock(1, F_RDLCK, 10, 10), 0);
    EXPECT_EQ(set_lock(1, F_RDLCK, 9, 1), -EAGAIN);
    EXPECT_EQ(set_lock(1, F_RDLCK, 20, 1), -EAGAIN);
    end_owners();
}

TEST(lock, closing_any_descriptor_drops_the_owners_record_locks)
{
    two_owners();
    EXPECT_EQ(set_lock(0, F_WRLCK, 0, 0), 0);
    int second = tree_open("f", O_RDONLY, 0);
    EXPECT_EQ(set_lock(1, F_WRLCK, 0, 0), -EAGAIN);
    current_thread()->files = tables[0];
    EXPECT_EQ(fd_close(second), 0);
    EXPECT_EQ(set_lock(1, F_WRLCK, 0, 0), 0);
    end_owners();
}

TEST(lock, rights_and_ranges_are_checked)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    two_owners();
    int fd = tree_open("f", O_RDONLY, 0);
    struct file *file = fd_file(fd);
    EXPECT_EQ(vfs_posix_lock(fd, file, F_SETLK, &lock), -EBADF);
    lock = (struct flock){.l_type = F_RDLCK, .l_whence = 9};
    EXPECT_EQ(vfs_posix_lock(fd, file, F_SETLK, &lock), -EINVAL);
    lock = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = -1};
    EXPECT_EQ(vfs_posix_lock(fd, file, F_SETLK, &lock), -EINVAL);
    lock = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = -6};
    EXPECT_EQ(vfs_posix_lock(fd, file, F_SETLK, &lock), -EINVAL);
    lock = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_END, .l_start = -2, .l_len = -3};
    EXPECT_EQ(vfs_posix_lock(fd, file, F_SETLK, &lock), 0);
    EXPECT_EQ(blocker(0, 0, 0, NULL), 5);
    lock = (struct flock){.l_type = 9, .l_whence = SEEK_SET};
    EXPECT_EQ(vfs_posix_lock(fd, file, F_SETLK, &lock), -EINVAL);
    file_put(file);
    end_owners();
}

TEST(lock, flock_belongs_to_the_open_file)
{
    two_owners();
    current_thread()->files = tables[0];
    struct file *a = fd_file(0);
    current_thread()->files = tables[1];
    struct file *b = fd_file(0);
    EXPECT_EQ(vfs_flock(a, LOCK_SH), 0);
    EXPECT_EQ(vfs_flock(b, LOCK_SH | LOCK_NB), 0);
    EXPECT_EQ(vfs_flock(b, LOCK_EX | LOCK_NB), -EAGAIN);
    EXPECT_EQ(vfs_flock(a, LOCK_UN), 0);
    EXPECT_EQ(vfs_flock(b, LOCK_EX | LOCK_NB), 0);
    EXPECT_EQ(vfs_flock(a, LOCK_SH | LOCK_NB), -EAGAIN);
    EXPECT_EQ(vfs_flock(a, 77), -EINVAL);
    EXPECT_EQ(set_lock(0, F_WRLCK, 0, 0), 0); /* record locks do not see it */
    file_put(b);
    current_thread()->files = tables[1];
    EXPECT_EQ(fd_close(0), 0);
    EXPECT_EQ(vfs_flock(a, LOCK_EX | LOCK_NB), 0);
    file_put(a);
    end_owners();
}

TEST(lock, open_file_description_locks_conflict_with_record_locks)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    two_owners();
    current_thread()->files = tables[0];
    struct file *file = fd_file(0);
    EXPECT_EQ(vfs_posix_lock(0, file, F_OFD_SETLK, &lock), 0);
    EXPECT_EQ(set_lock(1, F_RDLCK, 0, 1), -EAGAIN);
    EXPECT_EQ(set_lock(0, F_RDLCK, 0, 1), -EAGAIN);
    lock.l_pid = 1;
    EXPECT_EQ(vfs_posix_lock(0, file, F_OFD_SETLK, &lock), -EINVAL);
    file_put(file);
    current_thread()->files = tables[0];
    EXPECT_EQ(fd_close(0), 0);
    EXPECT_EQ(set_lock(1, F_RDLCK, 0, 1), 0);
    end_owners();
}

TEST(lock, proc_locks_has_a_line_for_each)
{
    char line[128];

    two_owners();
    EXPECT_EQ(vfs_locks_describe(0, line, sizeof(line)), 0);
    EXPECT_EQ(set_lock(0, F_WRLCK, 5, 10), 0);
    EXPECT_EQ(set_lock(1, F_RDLCK, 100, 0), 0);
    EXPECT(vfs_locks_describe(0, line, sizeof(line)) > 0);
    EXPECT(strstr(line, "1: POSIX  ADVISORY  WRITE ") == line);
    EXPECT(strstr(line, " 5 14\n") != NULL);
    EXPECT(vfs_locks_describe(1, line, sizeof(line)) > 0);
    EXPECT(strstr(line, " 100 EOF\n") != NULL);
    EXPECT_EQ(vfs_locks_describe(2, line, sizeof(line)), 0);
    end_owners();
}
