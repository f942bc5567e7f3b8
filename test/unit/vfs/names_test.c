/*
 * Making, linking, moving and removing names: results and errno values as the manual pages of section 2 give them.
 */
#include <linux/fs.h>

#define TEST_SUITE "vfs"
#include "test/unit/test.h"
#include "test/unit/vfs/fixture.h"

#define AT AT_FDCWD

TEST(names, mkdir_and_rmdir_judge_the_last_component)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_mkdir("d", 0755), 0);
    EXPECT_EQ(tree_mkdir("d", 0755), -EEXIST);
    EXPECT_EQ(tree_mkdir("d/", 0755), -EEXIST);
    EXPECT_EQ(tree_mkdir("e//", 0755), 0);
    EXPECT_EQ(tree_mkdir(".", 0755), -EEXIST);
    EXPECT_EQ(tree_mkdir("/", 0755), -EEXIST);
    EXPECT_EQ(tree_mkdir("no/d", 0755), -ENOENT);
    EXPECT_EQ(tree_touch("f", 0644), 0);
    EXPECT_EQ(tree_mkdir("f/d", 0755), -ENOTDIR);
    EXPECT_EQ(tree_stat("d").nlink, 2);
    EXPECT_EQ(tree_mkdir("d/s", 0755), 0);
    EXPECT_EQ(tree_stat("d").nlink, 3);
    EXPECT_EQ(vfs_rmdir(AT, "d"), -ENOTEMPTY);
    EXPECT_EQ(vfs_rmdir(AT, "d/s/."), -EINVAL);
    EXPECT_EQ(vfs_rmdir(AT, "d/s/.."), -ENOTEMPTY);
    EXPECT_EQ(vfs_rmdir(AT, "/"), -EBUSY);
    EXPECT_EQ(vfs_rmdir(AT, "f"), -ENOTDIR);
    EXPECT_EQ(vfs_rmdir(AT, "no"), -ENOENT);
    EXPECT_EQ(vfs_rmdir(AT, "d/s/"), 0);
    EXPECT_EQ(vfs_rmdir(AT, "d"), 0);
    EXPECT_EQ(tree_exists("d"), -ENOENT);
    EXPECT_STR_EQ(tree_list("."), "e f");
    tree_end();
}

TEST(names, nothing_can_be_made_in_a_removed_directory)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_mkdir("d", 0755), 0);
    int dir = tree_open("d", O_RDONLY | O_DIRECTORY, 0);
    EXPECT_EQ(vfs_rmdir(AT, "d"), 0);
    EXPECT_EQ(vfs_mkdir(dir, "x", 0755), -ENOENT);
    EXPECT_EQ(vfs_mknod(dir, "x", S_IFREG | 0644, 0), -ENOENT);
    EXPECT_EQ(tree_mkdir("d", 0755), 0);
    EXPECT_EQ(vfs_mkdir(dir, "x", 0755), -ENOENT);
    tree_end();
}

TEST(names, unlinked_files_live_while_open)
{
    struct iov_iter iter;
    char buf[8] = {0};

    tree_begin(NULL);
    EXPECT_EQ(tree_write("f", "alive"), 0);
    int fd = tree_open("f", O_RDWR, 0);
    EXPECT_EQ(vfs_unlink(AT, "f"), 0);
    EXPECT_EQ(tree_exists("f"), -ENOENT);
    struct file *file = fd_file(fd);
    iov_init_kernel(&iter, buf, 5);
    EXPECT_EQ(vfs_read(file, &iter, NULL), 5);
    EXPECT_STR_EQ(buf, "alive");
    EXPECT_EQ(file->inode->nlink, 0);
    file_put(file);
    EXPECT_EQ(tree_write("f", "new"), 0);
    EXPECT_STR_EQ(tree_read("f"), "new");
    EXPECT_EQ(fd_close(fd), 0);
    tree_end();
}

TEST(names, unlink_judges_the_kind)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_mkdir("d", 0755), 0);
    EXPECT_EQ(tree_touch("f", 0644), 0);
    EXPECT_EQ(vfs_symlink("d", AT, "l"), 0);
    EXPECT_EQ(vfs_unlink(AT, "d"), -EISDIR);
    EXPECT_EQ(vfs_unlink(AT, "d/"), -EISDIR);
    EXPECT_EQ(vfs_unlink(AT, "f/"), -ENOTDIR);
    EXPECT_EQ(vfs_unlink(AT, "l/"), -ENOTDIR);
    EXPECT_EQ(vfs_unlink(AT, "."), -EISDIR);
    EXPECT_EQ(vfs_unlink(AT, "no"), -ENOENT);
    EXPECT_EQ(vfs_unlink(AT, "l"), 0);
    EXPECT_EQ(vfs_unlink(AT, "f"), 0);
    EXPECT_EQ(tree_exists("d"), 0);
    tree_end();
}

TEST(names, hard_links_share_the_inode)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_write("a", "same"), 0);
    EXPECT_EQ(tree_mkdir("d", 0755), 0);
    EXPECT_EQ(vfs_symlink("a", AT, "s"), 0);
    EXPECT_EQ(vfs_link(AT, "a", AT, "b", 0), 0);
    EXPECT_EQ(vfs_link(AT, "a", AT, "b", 0), -EEXIST);
    EXPECT_EQ(vfs_link(AT, "a", AT, "c/", 0), -ENOENT);
    EXPECT_EQ(vfs_link(AT, "d", AT, "e", 0), -EPERM);
    EXPECT_EQ(vfs_link(AT, "no", AT, "e", 0), -ENOENT);
    EXPECT_EQ(vfs_link(AT, "a", AT, "/x", 0), -EXDEV);
    EXPECT_EQ(vfs_link(AT, "s", AT, "s2", 0), 0);
    EXPECT(S_ISLNK(tree_stat("s2").mode));
    EXPECT_EQ(vfs_link(AT, "s", AT, "a2", AT_SYMLINK_FOLLOW), 0);
    EXPECT_EQ(tree_stat("a").nlink, 3);
    EXPECT_EQ(tree_stat("a").ino, tree_stat("b").ino);
    EXPECT_EQ(vfs_unlink(AT, "a"), 0);
    EXPECT_STR_EQ(tree_read("b"), "same");
    EXPECT_EQ(tree_stat("b").nlink, 2);
    tree_end();
}

TEST(names, symlinks_need_a_target_and_a_free_name)
{
    struct path path;
    char buf[8];

    tree_begin(NULL);
    EXPECT_EQ(vfs_symlink("", AT, "l"), -ENOENT);
    EXPECT_EQ(vfs_symlink("x", AT, "l/"), -ENOENT);
    EXPECT_EQ(vfs_symlink("target", AT, "l"), 0);
    EXPECT_EQ(vfs_symlink("x", AT, "l"), -EEXIST);
    EXPECT_EQ(tree_stat("l").size_bytes, 6);
    EXPECT_EQ(path_lookup(AT, "l", 0, &path), 0);
    EXPECT_EQ(vfs_readlink(&path, buf, sizeof(buf)), 6);
    path_put(&path);
    EXPECT_EQ(path_lookup(AT, ".", 0, &path), 0);
    EXPECT_EQ(vfs_readlink(&path, buf, sizeof(buf)), -EINVAL);
    path_put(&path);
    tree_end();
}

TEST(names, open_creates_as_open_2_says)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_open("f", O_RDONLY, 0), -ENOENT);
    EXPECT_EQ(tree_open("f", O_WRONLY | O_CREAT | O_EXCL, 0640), 0);
    EXPECT_EQ(tree_stat("f").mode, S_IFREG | 0640);
    EXPECT_EQ(tree_open("f", O_WRONLY | O_CREAT | O_EXCL, 0640), -EEXIST);
    EXPECT_EQ(tree_open("g/", O_WRONLY | O_CREAT, 0640), -EISDIR);
    EXPECT_EQ(tree_open(".", O_WRONLY | O_CREAT, 0640), -EISDIR);
    EXPECT_EQ(tree_open(".", O_WRONLY, 0), -EISDIR);
    EXPECT_EQ(tree_open("f", O_RDONLY | O_DIRECTORY, 0), -ENOTDIR);
    EXPECT_EQ(vfs_symlink("made", AT, "l"), 0);
    EXPECT_EQ(tree_open("l", O_WRONLY | O_CREAT | O_EXCL, 0640), -EEXIST);
    EXPECT_EQ(tree_open("l", O_WRONLY | O_CREAT | O_NOFOLLOW, 0640), -ELOOP);
    EXPECT_EQ(tree_open("l", O_RDONLY | O_NOFOLLOW, 0), -ELOOP);
    EXPECT_EQ(tree_open("l", O_WRONLY | O_CREAT, 0600), 1);
    EXPECT_EQ(tree_exists("made"), 0);
    EXPECT_EQ(tree_open("l", O_PATH | O_NOFOLLOW, 0), 2);
    EXPECT(fd_file(2) == NULL);
    tree_end();
}

TEST(names, open_truncates_only_when_it_may)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_write("f", "12345"), 0);
    EXPECT_EQ(tree_open("f", O_WRONLY | O_TRUNC, 0), 0);
    EXPECT_EQ(tree_stat("f").size_bytes, 0);
    EXPECT_EQ(tree_write("f", "12345"), 0);
    struct path path;
    EXPECT_EQ(path_lookup(AT, "f", 0, &path), 0);
    EXPECT_EQ(vfs_chmod(&path, 0444), 0);
    path_put(&path);
    tree_become(1000, 1000);
    EXPECT_EQ(tree_open("f", O_RDONLY | O_TRUNC, 0), -EACCES);
    EXPECT_EQ(tree_stat("f").size_bytes, 5);
    tree_end();
}

TEST(names, tmpfiles_have_no_name_until_linked)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_open(".", O_TMPFILE | O_RDONLY, 0600), -EINVAL);
    int fd = tree_open(".", O_TMPFILE | O_RDWR, 0600);
    EXPECT_EQ(fd, 0);
    EXPECT_STR_EQ(tree_list("."), "");
    EXPECT_EQ(vfs_link(fd, "", AT, "named", AT_EMPTY_PATH), 0);
    EXPECT_STR_EQ(tree_list("."), "named");
    EXPECT_EQ(tree_stat("named").nlink, 1);
    EXPECT_EQ(vfs_unlink(AT, "named"), 0);
    EXPECT_EQ(vfs_link(fd, "", AT, "again", AT_EMPTY_PATH), -ENOENT);
    int exclusive = tree_open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
    EXPECT_EQ(vfs_link(exclusive, "", AT, "named", AT_EMPTY_PATH), -ENOENT);
    tree_end();
}

/* ---- rename: every kind onto every kind ---- */

static void rename_setup(void)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_write("file", "f"), 0);
    EXPECT_EQ(tree_write("file2", "f2"), 0);
    EXPECT_EQ(tree_mkdir("empty", 0755), 0);
    EXPECT_EQ(tree_mkdir("full", 0755), 0);
    EXPECT_EQ(tree_touch("full/x", 0644), 0);
    EXPECT_EQ(tree_mkdir("dir", 0755), 0);
    EXPECT_EQ(tree_mkdir("dir/sub", 0755), 0);
    EXPECT_EQ(vfs_symlink("file", AT, "link"), 0);
}

TEST(names, rename_matrix)
{
    static const struct {
        const char *from, *to;
        unsigned flags;
        int result;
    } cases[] = {
        {"file", "new", 0, 0},
        {"file", "file2", 0, 0},
        {"file", "file", 0, 0},
        {"file", "link", 0, 0},
        {"link", "new", 0, 0},
        {"file", "empty", 0, -EISDIR},
        {"dir", "file", 0, -ENOTDIR},
        {"dir", "empty", 0, 0},
        {"dir", "full", 0, -ENOTEMPTY},
        {"dir", "dir/sub/x", 0, -EINVAL},
        {"dir", "dir/x", 0, -EINVAL},
        {"dir", "dir", 0, 0},
        {"dir/sub", "dir", 0, -ENOTEMPTY},
        {"dir/sub", "sub", 0, 0},
        {"dir/sub", "empty", 0, 0},
        {"missing", "x", 0, -ENOENT},
        {"file", "missing/x", 0, -ENOENT},
        {"file/", "x", 0, -ENOTDIR},
        {"file", "x/", 0, -ENOTDIR},
        {"dir/", "x/", 0, 0},
        {".", "x", 0, -EBUSY},
        {"dir/..", "x", 0, -EBUSY},
        {"file", "dir/.", 0, -EBUSY},
        {"file", "/x", 0, -EXDEV},
        {"file", "file2", RENAME_NOREPLACE, -EEXIST},
        {"file", "new", RENAME_NOREPLACE, 0},
        {"file", "new", RENAME_EXCHANGE, -ENOENT},
        {"file", "file2", RENAME_EXCHANGE, 0},
        {"file", "dir", RENAME_EXCHANGE, 0},
        {"dir/sub", "file", RENAME_EXCHANGE, 0},
        {"dir", "dir/sub", RENAME_EXCHANGE, -EINVAL},
        {"dir/sub", "dir", RENAME_EXCHANGE, -EINVAL},
        {"file", "file2", RENAME_EXCHANGE | RENAME_NOREPLACE, -EINVAL},
        {"file", "new", 0x80, -EINVAL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        rename_setup();
        int result = vfs_rename(AT, cases[i].from, AT, cases[i].to, cases[i].flags);
        if (result != cases[i].result) {
            test_fail(__FILE__, __LINE__, "rename %s to %s (0x%x): expected %d, got %d",
                      cases[i].from, cases[i].to, cases[i].flags, cases[i].result, result);
        }
        tree_end();
    }
}

TEST(names, rename_replaces_and_frees_the_target)
{
    rename_setup();
    EXPECT_EQ(vfs_rename(AT, "file", AT, "file2", 0), 0);
    EXPECT_EQ(tree_exists("file"), -ENOENT);
    EXPECT_STR_EQ(tree_read("file2"), "f");
    EXPECT_STR_EQ(tree_list("."), "file2 empty full dir link");
    EXPECT_EQ(vfs_rename(AT, "dir/sub", AT, "full/sub", 0), 0);
    EXPECT_EQ(tree_stat("dir").nlink, 2);
    EXPECT_EQ(tree_stat("full").nlink, 3);
    EXPECT_EQ(tree_exists("full/sub/../x"), 0);
    tree_end();
}

TEST(names, rename_exchanges_files_and_directories)
{
    rename_setup();
    EXPECT_EQ(vfs_rename(AT, "file", AT, "dir/sub", RENAME_EXCHANGE), 0);
    EXPECT(S_ISDIR(tree_stat("file").mode));
    EXPECT_STR_EQ(tree_read("dir/sub"), "f");
    EXPECT_EQ(tree_stat("dir").nlink, 2);
    EXPECT_EQ(tree_exists("file/../file2"), 0);
    EXPECT_EQ(tree_mkdir("file/new", 0755), 0);
    EXPECT_EQ(tree_exists("file/new"), 0);
    tree_end();
}

TEST(names, rename_leaves_a_whiteout_when_asked)
{
    rename_setup();
    EXPECT_EQ(vfs_rename(AT, "file", AT, "moved", RENAME_WHITEOUT), 0);
    EXPECT_STR_EQ(tree_read("moved"), "f");
    EXPECT_EQ(tree_stat("file").mode & S_IFMT, S_IFCHR);
    EXPECT_EQ(tree_stat("file").rdev, 0);
    tree_end();
}

TEST(names, open_files_follow_their_name_through_renames)
{
    struct path root;
    char text[128];

    rename_setup();
    fs_context_get_paths(current_thread()->fs, &root, NULL);
    int fd = tree_open("file", O_RDONLY, 0);
    EXPECT_EQ(
        vfs_rename(AT, "file", AT, "dir/a-longer-name-that-does-not-fit-into-the-dentry-itself", 0),
        0);
    struct file *file = fd_file(fd);
    EXPECT_STR_EQ(path_to_string(&file->path, &root, text, sizeof(text)),
                  "/t/dir/a-longer-name-that-does-not-fit-into-the-dentry-itself");
    file_put(file);
    path_put(&root);
    tree_end();
}
