/*
 * tmpfs: limits, directory positions, sparse files, extended attributes (tmpfs(5), fallocate(2), lseek(2), xattr(7)).
 */
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/xattr.h>

#define TEST_SUITE "fs"
#include "kernel/base/printf.h"
#include "test/unit/test.h"
#include "test/unit/vfs/fixture.h"

static char block[8192];

static ssize_t write_at(int fd, loff_t pos, size_t len)
{
    struct iov_iter from;
    struct file *file = fd_file(fd);

    iov_init_kernel(&from, block, len);
    ssize_t n = vfs_write(file, &from, &pos);
    file_put(file);
    return n;
}

static loff_t seek(int fd, loff_t offset, int whence)
{
    struct file *file = fd_file(fd);

    loff_t result = vfs_llseek(file, offset, whence);
    file_put(file);
    return result;
}

static int allocate(int fd, int mode, loff_t offset, loff_t len)
{
    struct file *file = fd_file(fd);

    int err = vfs_fallocate(file, mode, offset, len);
    file_put(file);
    return err;
}

static struct vfs_statfs statistics(void)
{
    struct vfs_statfs stat;
    struct path path;

    EXPECT_EQ(path_lookup(AT_FDCWD, "/t", 0, &path), 0);
    EXPECT_EQ(vfs_statfs(&path, &stat), 0);
    path_put(&path);
    return stat;
}

TEST(tmpfs, size_limit_is_exact_and_space_comes_back)
{
    tree_begin("size=16k");
    int fd = tree_open("f", O_RDWR | O_CREAT, 0644);
    EXPECT_EQ(write_at(fd, 0, 8192), 8192);
    EXPECT_EQ(write_at(fd, 8192, 8192), 8192);
    EXPECT_EQ(write_at(fd, 16384, 1), -ENOSPC);
    EXPECT_EQ(statistics().blocks_free, 0);
    EXPECT_EQ(write_at(fd, 100, 50), 50); /* what is there may be overwritten */
    struct file *file = fd_file(fd);
    EXPECT_EQ(vfs_ftruncate(file, 5000), 0);
    file_put(file);
    EXPECT_EQ(statistics().blocks_free, 2);
    EXPECT_EQ(vfs_unlink(AT_FDCWD, "f"), 0);
    EXPECT_EQ(statistics().blocks_free, 2);
    EXPECT_EQ(fd_close(fd), 0);
    EXPECT_EQ(statistics().blocks_free, 4);
    tree_end();
}

TEST(tmpfs, a_write_that_hits_the_limit_in_the_middle_is_short)
{
    tree_begin("size=8k");
    int fd = tree_open("f", O_RDWR | O_CREAT, 0644);
    EXPECT_EQ(write_at(fd, 100, 8192), 8092);
    EXPECT_EQ(write_at(fd, 8192, 1), -ENOSPC);
    tree_end();
}

TEST(tmpfs, inode_limit_is_exact)
{
    tree_begin("nr_inodes=4");
    EXPECT_EQ(tree_touch("a", 0644), 0);
    EXPECT_EQ(tree_mkdir("b", 0755), 0);
    EXPECT_EQ(vfs_symlink("x", AT_FDCWD, "c"), 0);
    EXPECT_EQ(tree_touch("d", 0644), -ENOSPC);
    EXPECT_EQ(vfs_link(AT_FDCWD, "a", AT_FDCWD, "d", 0), 0);
    EXPECT_EQ(vfs_unlink(AT_FDCWD, "c"), 0);
    EXPECT_EQ(tree_touch("e", 0644), 0);
    tree_end();
}

TEST(tmpfs, options_are_checked)
{
    static const char *const wrong[] = {"size=x", "size=",     "size",        "mode=9",
                                        "uid=-1", "color=red", "nr_inodes=1q"};
    struct path path;

    tree_begin("mode=0750,uid=3,gid=4,size=50%");
    EXPECT_EQ(tree_stat(".").mode, S_IFDIR | 0750);
    EXPECT_EQ(tree_stat(".").uid, 3);
    EXPECT_EQ(tree_stat(".").gid, 4);
    EXPECT_EQ(tree_mkdir("m", 0755), 0);
    EXPECT_EQ(path_lookup(AT_FDCWD, "m", 0, &path), 0);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        EXPECT_EQ(vfs_mount("none", &path, "tmpfs", 0, wrong[i]), -EINVAL);
    }
    path_put(&path);
    tree_end();
}

/* ---- directory positions ---- */

struct reader {
    struct dir_context ctx;
    unsigned room;
    char text[512];
};

static bool read_emit(struct dir_context *ctx, const char *name, unsigned len, uint64_t ino,
                      unsigned type, loff_t cookie)
{
    struct reader *reader = container_of(ctx, struct reader, ctx);
    size_t used = strlen(reader->text);

    (void)ino, (void)type, (void)cookie;
    if (reader->room == 0) {
        return false;
    }
    reader->room--;
    memcpy(reader->text + used, name, len);
    reader->text[used + len] = ' ';
    reader->text[used + len + 1] = '\0';
    return true;
}

static void read_some(struct file *dir, struct reader *reader, unsigned n)
{
    reader->room = n;
    reader->text[0] = '\0';
    EXPECT_EQ(dir->fops->iterate(dir, &reader->ctx), 0);
}

TEST(tmpfs, reading_a_directory_goes_on_where_it_stopped_whatever_changes)
{
    struct reader reader = {.ctx = {.emit = read_emit}};

    tree_begin(NULL);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++) {
        EXPECT_EQ(tree_touch(name, 0644), 0);
    }
    struct file *dir;
    EXPECT_EQ(vfs_open(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY, 0, 0, &dir), 0);
    read_some(dir, &reader, 4);
    EXPECT_STR_EQ(reader.text, ". .. a b ");
    EXPECT_EQ(vfs_unlink(AT_FDCWD, "b"), 0);
    EXPECT_EQ(vfs_unlink(AT_FDCWD, "c"), 0);
    EXPECT_EQ(vfs_rename(AT_FDCWD, "a", AT_FDCWD, "z", 0), 0);
    EXPECT_EQ(tree_touch("b", 0644), 0);
    read_some(dir, &reader, 2);
    EXPECT_STR_EQ(reader.text, "d e ");
    loff_t middle = reader.ctx.pos;
    read_some(dir, &reader, 100);
    EXPECT_STR_EQ(reader.text, "f g h z b ");
    read_some(dir, &reader, 100);
    EXPECT_STR_EQ(reader.text, "");
    reader.ctx.pos = middle;
    read_some(dir, &reader, 1);
    EXPECT_STR_EQ(reader.text, "f ");
    file_put(dir);
    tree_end();
}

TEST(tmpfs, directories_of_thousands_of_names_stay_right)
{
    char name[16];

    tree_begin("size=64m,nr_inodes=0");
    for (int i = 0; i < 3000; i++) {
        (void)ksnprintf(name, sizeof(name), "file%d", i);
        EXPECT_EQ(tree_touch(name, 0644), 0);
    }
    for (int i = 0; i < 3000; i += 2) {
        (void)ksnprintf(name, sizeof(name), "file%d", i);
        EXPECT_EQ(vfs_unlink(AT_FDCWD, name), 0);
    }
    for (int i = 0; i < 3000; i++) {
        (void)ksnprintf(name, sizeof(name), "file%d", i);
        EXPECT_EQ(tree_exists(name), i % 2 == 0 ? -ENOENT : 0);
    }
    EXPECT_EQ(tree_stat(".").size_bytes, 40 + 1500 * 20);
    tree_end();
}

/* ---- data ---- */

TEST(tmpfs, holes_read_as_zeros_and_are_found)
{
    tree_begin(NULL);
    int fd = tree_open("f", O_RDWR | O_CREAT, 0644);
    memset(block, 'x', sizeof(block));
    EXPECT_EQ(write_at(fd, 8192, 4096), 4096);
    EXPECT_EQ(write_at(fd, 20480, 1), 1);
    EXPECT_EQ(tree_stat("f").size_bytes, 20481);
    EXPECT_EQ(tree_stat("f").blocks, 16);
    EXPECT_EQ(seek(fd, 0, SEEK_DATA), 8192);
    EXPECT_EQ(seek(fd, 8200, SEEK_DATA), 8200);
    EXPECT_EQ(seek(fd, 8192, SEEK_HOLE), 12288);
    EXPECT_EQ(seek(fd, 12288, SEEK_DATA), 20480);
    EXPECT_EQ(seek(fd, 20480, SEEK_HOLE), 20481);
    EXPECT_EQ(seek(fd, 20481, SEEK_DATA), -ENXIO);
    EXPECT_EQ(seek(fd, -1, SEEK_DATA), -ENXIO);
    EXPECT_EQ(seek(fd, -1, SEEK_SET), -EINVAL);
    EXPECT_EQ(seek(fd, 5, SEEK_END), 20486);
    EXPECT_EQ(seek(fd, INT64_MAX, SEEK_CUR), -EINVAL);
    tree_end();
}

TEST(tmpfs, fallocate_reserves_and_punches)
{
    tree_begin("size=32k");
    int fd = tree_open("f", O_RDWR | O_CREAT, 0644);
    EXPECT_EQ(allocate(fd, 0, 0, 10000), 0);
    EXPECT_EQ(tree_stat("f").size_bytes, 10000);
    EXPECT_EQ(tree_stat("f").blocks, 24);
    EXPECT_EQ(allocate(fd, FALLOC_FL_KEEP_SIZE, 0, 20000), 0);
    EXPECT_EQ(tree_stat("f").size_bytes, 10000);
    EXPECT_EQ(allocate(fd, 0, 0, 100000), -ENOSPC);
    EXPECT_EQ(tree_stat("f").blocks, 40);
    EXPECT_EQ(allocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096), -EOPNOTSUPP);
    EXPECT_EQ(allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8192), 0);
    EXPECT_EQ(tree_stat("f").blocks, 24);
    EXPECT_EQ(allocate(fd, FALLOC_FL_ZERO_RANGE, 0, 1), -EOPNOTSUPP);
    EXPECT_EQ(allocate(fd, 0, 0, 0), -EINVAL);
    EXPECT_EQ(allocate(fd, 0, INT64_MAX - 1, 5), -EFBIG);
    tree_end();
}

TEST(tmpfs, fallocate_that_fails_halfway_gives_back_what_it_took)
{
    tree_begin("size=32k");
    int fd = tree_open("f", O_RDWR | O_CREAT, 0644);
    EXPECT_EQ(write_at(fd, 1 << 20, 8192), 8192);
    EXPECT_EQ(write_at(fd, (1 << 20) + 8192, 8192), 8192);
    EXPECT_EQ(write_at(fd, 8192, 4096), 4096);
    EXPECT_EQ(tree_stat("f").blocks, 40);
    EXPECT_EQ(allocate(fd, 0, 0, 20480), -ENOSPC); /* four pages more, of which there are three */
    EXPECT_EQ(tree_stat("f").blocks, 40);
    EXPECT_EQ(statistics().blocks_free, 3);
    EXPECT_EQ(seek(fd, 0, SEEK_DATA), 8192);
    /* What an earlier call reserved stays, though it is zeros that nobody uses. */
    EXPECT_EQ(allocate(fd, 0, 0, 8192), 0);
    EXPECT_EQ(tree_stat("f").blocks, 56);
    EXPECT_EQ(allocate(fd, 0, 0, 24576), -ENOSPC);
    EXPECT_EQ(tree_stat("f").blocks, 56);
    EXPECT_EQ(seek(fd, 0, SEEK_DATA), 0);
    EXPECT_EQ(seek(fd, 0, SEEK_HOLE), 12288);
    tree_end();
}

TEST(tmpfs, append_always_writes_at_the_end)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_write("f", "one"), 0);
    int fd = tree_open("f", O_WRONLY | O_APPEND, 0);
    struct iov_iter from;
    struct file *file = fd_file(fd);
    EXPECT_EQ(vfs_llseek(file, 0, SEEK_SET), 0);
    iov_init_kernel(&from, "two", 3);
    EXPECT_EQ(vfs_write(file, &from, NULL), 3);
    EXPECT_EQ(file->pos, 6);
    file_put(file);
    EXPECT_STR_EQ(tree_read("f"), "onetwo");
    tree_end();
}

TEST(tmpfs, copies_between_files)
{
    loff_t in_pos = 2, out_pos = 1;

    tree_begin(NULL);
    EXPECT_EQ(tree_write("a", "0123456789"), 0);
    EXPECT_EQ(tree_write("b", "abcdefghij"), 0);
    int a = tree_open("a", O_RDWR, 0), b = tree_open("b", O_RDWR, 0);
    struct file *in = fd_file(a), *out = fd_file(b);
    EXPECT_EQ(vfs_copy_file_range(in, &in_pos, out, &out_pos, 4), 4);
    EXPECT_EQ(in_pos, 6);
    EXPECT_STR_EQ(tree_read("b"), "a2345fghij");
    in_pos = 0;
    out_pos = 5;
    EXPECT_EQ(vfs_copy_file_range(in, &in_pos, in, &out_pos, 6), -EINVAL);
    EXPECT_EQ(vfs_copy_file_range(in, &in_pos, in, &out_pos, 5), 5);
    EXPECT_STR_EQ(tree_read("a"), "0123401234");
    EXPECT_EQ(vfs_sendfile(out, in, NULL, 100), 10);
    EXPECT_STR_EQ(tree_read("b"), "0123401234");
    EXPECT_EQ(vfs_sendfile(out, in, NULL, 100), 0);
    file_put(in);
    file_put(out);
    tree_end();
}

/* Once a thread waited for itself here. */
TEST(tmpfs, sendfile_from_a_file_to_itself_comes_back)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_write("a", "0123456789"), 0);
    struct file *file = fd_file(tree_open("a", O_RDWR, 0));
    EXPECT_EQ(vfs_sendfile(file, file, NULL, 4), 4);
    EXPECT_EQ(file->pos, 4);
    EXPECT_STR_EQ(tree_read("a"), "0123456789");
    file_put(file);
    tree_end();
}

/* ---- extended attributes ---- */

static int set_attribute(const char *name, const char *value, int flags)
{
    struct path path;

    EXPECT_EQ(path_lookup(AT_FDCWD, "f", 0, &path), 0);
    int err = vfs_setxattr(&path, name, value, strlen(value), flags);
    path_put(&path);
    return err;
}

TEST(tmpfs, extended_attributes_by_name_space)
{
    struct path path;
    char buf[64];

    tree_begin(NULL);
    EXPECT_EQ(tree_touch("f", 0666), 0);
    EXPECT_EQ(set_attribute("user.a", "one", 0), 0);
    EXPECT_EQ(set_attribute("user.a", "three", XATTR_CREATE), -EEXIST);
    EXPECT_EQ(set_attribute("user.b", "x", XATTR_REPLACE), -ENODATA);
    EXPECT_EQ(set_attribute("user.a", "three", XATTR_REPLACE), 0);
    EXPECT_EQ(set_attribute("trusted.t", "t", 0), 0);
    EXPECT_EQ(set_attribute("security.s", "s", 0), 0);
    EXPECT_EQ(set_attribute("nonsense.x", "s", 0), -EOPNOTSUPP);
    EXPECT_EQ(set_attribute("", "s", 0), -ERANGE);
    EXPECT_EQ(path_lookup(AT_FDCWD, "f", 0, &path), 0);
    EXPECT_EQ(vfs_getxattr(&path, "user.a", buf, sizeof(buf)), 5);
    EXPECT_MEM_EQ(buf, "three", 5);
    EXPECT_EQ(vfs_getxattr(&path, "user.a", NULL, 0), 5);
    EXPECT_EQ(vfs_getxattr(&path, "user.a", buf, 2), -ERANGE);
    EXPECT_EQ(vfs_getxattr(&path, "user.no", buf, 2), -ENODATA);
    EXPECT_EQ(vfs_listxattr(&path, NULL, 0), 7 + 10 + 11);
    tree_become(1000, 1000);
    EXPECT_EQ(vfs_listxattr(&path, buf, sizeof(buf)), 7 + 11);
    EXPECT_EQ(vfs_getxattr(&path, "trusted.t", buf, sizeof(buf)), -ENODATA);
    EXPECT_EQ(vfs_setxattr(&path, "trusted.t", "x", 1, 0), -EPERM);
    EXPECT_EQ(vfs_setxattr(&path, "security.s", "x", 1, 0), -EPERM);
    EXPECT_EQ(vfs_removexattr(&path, "user.a"), 0);
    EXPECT_EQ(vfs_removexattr(&path, "user.a"), -ENODATA);
    path_put(&path);
    tree_end();
}
