/*
 * The path walk against POSIX.1-2017, 4.13 and openat2(2).
 */
#include "kernel/base/printf.h"

#define TEST_SUITE "vfs"
#include "test/unit/test.h"
#include "test/unit/vfs/fixture.h"

static void make_tree(void)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_mkdir("dir", 0755), 0);
    EXPECT_EQ(tree_mkdir("dir/sub", 0755), 0);
    EXPECT_EQ(tree_write("dir/file", "content"), 0);
    EXPECT_EQ(tree_write("a-name-that-is-longer-than-eight-bytes-and-than-forty-of-them", "long"),
              0);
    EXPECT_EQ(vfs_symlink("dir", AT_FDCWD, "to-dir"), 0);
    EXPECT_EQ(vfs_symlink("dir/", AT_FDCWD, "to-dir-slash"), 0);
    EXPECT_EQ(vfs_symlink("/t/dir/file", AT_FDCWD, "to-file"), 0);
    EXPECT_EQ(vfs_symlink("nowhere", AT_FDCWD, "dangling"), 0);
    EXPECT_EQ(vfs_symlink("loop", AT_FDCWD, "loop"), 0);
    EXPECT_EQ(vfs_symlink("../to-dir/sub", AT_FDCWD, "dir/up-and-down"), 0);
    EXPECT_EQ(vfs_symlink("/", AT_FDCWD, "to-root"), 0);
}

TEST(walk, finds_what_posix_says)
{
    static const struct {
        const char *name;
        unsigned flags;
        int result;
        const char *place; /* as getcwd would say; NULL: do not care */
    } cases[] = {
        {"dir", 0, 0, "/t/dir"},
        {"dir/", 0, 0, "/t/dir"},
        {"dir//sub///", 0, 0, "/t/dir/sub"},
        {"dir/.", 0, 0, "/t/dir"},
        {"dir/..", 0, 0, "/t"},
        {"./dir/./sub/../file", 0, 0, "/t/dir/file"},
        {"/", 0, 0, "/"},
        {"//", 0, 0, "/"},
        {"/..", 0, 0, "/"},
        {"/../../t/dir", 0, 0, "/t/dir"},
        {"..", 0, 0, "/"},
        {"../t", 0, 0, "/t"},
        {"a-name-that-is-longer-than-eight-bytes-and-than-forty-of-them", 0, 0, NULL},
        {"", 0, -ENOENT, NULL},
        {"missing", 0, -ENOENT, NULL},
        {"missing/more", 0, -ENOENT, NULL},
        {"dir/missing/..", 0, -ENOENT, NULL},
        {"dir/file/", 0, -ENOTDIR, NULL},
        {"dir/file/.", 0, -ENOTDIR, NULL},
        {"dir/file/..", 0, -ENOTDIR, NULL},
        {"dir/file/more", 0, -ENOTDIR, NULL},
        {"dir/file", LOOKUP_DIRECTORY, -ENOTDIR, NULL},
        {"to-dir", 0, 0, "/t/to-dir"},
        {"to-dir", LOOKUP_FOLLOW, 0, "/t/dir"},
        {"to-dir", LOOKUP_DIRECTORY, -ENOTDIR, NULL},
        {"to-dir", LOOKUP_DIRECTORY | LOOKUP_FOLLOW, 0, "/t/dir"},
        {"to-dir/", 0, 0, "/t/dir"},
        {"to-dir/file", 0, 0, "/t/dir/file"},
        {"to-dir-slash", LOOKUP_FOLLOW, 0, "/t/dir"},
        {"to-dir-slash/sub", 0, 0, "/t/dir/sub"},
        {"to-file", LOOKUP_FOLLOW, 0, "/t/dir/file"},
        {"to-file/", LOOKUP_FOLLOW, -ENOTDIR, NULL},
        {"to-file/x", 0, -ENOTDIR, NULL},
        {"dir/up-and-down", LOOKUP_FOLLOW, 0, "/t/dir/sub"},
        {"dir/up-and-down/../file", 0, 0, "/t/dir/file"},
        {"to-root/t/dir", 0, 0, "/t/dir"},
        {"to-root", LOOKUP_FOLLOW, 0, "/"},
        {"dangling", 0, 0, "/t/dangling"},
        {"dangling", LOOKUP_FOLLOW, -ENOENT, NULL},
        {"dangling/", 0, -ENOENT, NULL},
        {"loop", 0, 0, "/t/loop"},
        {"loop", LOOKUP_FOLLOW, -ELOOP, NULL},
        {"loop/x", 0, -ELOOP, NULL},
        {"to-dir", LOOKUP_FOLLOW | LOOKUP_NO_SYMLINKS, -ELOOP, NULL},
        {"to-dir/file", LOOKUP_NO_SYMLINKS, -ELOOP, NULL},
        {"dir/../..", LOOKUP_BENEATH, -EXDEV, NULL},
        {"dir/..", LOOKUP_BENEATH, 0, "/t"},
        {"/t", LOOKUP_BENEATH, -EXDEV, NULL},
        {"to-file", LOOKUP_FOLLOW | LOOKUP_BENEATH, -EXDEV, NULL},
        {"/dir/file", LOOKUP_IN_ROOT, 0, "/t/dir/file"},
        {"../../dir", LOOKUP_IN_ROOT, 0, "/t/dir"},
        {"..", LOOKUP_NO_XDEV, -EXDEV, NULL},
        {"dir/sub", LOOKUP_NO_XDEV, 0, "/t/dir/sub"},
    };
    struct path path, root;
    char text[256];

    make_tree();
    fs_context_get_paths(current_thread()->fs, &root, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int result = path_lookup(AT_FDCWD, cases[i].name, cases[i].flags, &path);
        if (result != cases[i].result) {
            test_fail(__FILE__, __LINE__, "\"%s\" with 0x%x: expected %d, got %d", cases[i].name,
                      cases[i].flags, cases[i].result, result);
        }
        if (result == 0) {
            if (cases[i].place != NULL) {
                EXPECT_STR_EQ(path_to_string(&path, &root, text, sizeof(text)), cases[i].place);
            }
            path_put(&path);
        }
    }
    path_put(&root);
    tree_end();
}

TEST(walk, follows_forty_links_and_no_more)
{
    char from[16], to[16];

    tree_begin(NULL);
    EXPECT_EQ(tree_write("l0", "end"), 0);
    for (int i = 1; i <= 41; i++) {
        (void)ksnprintf(from, sizeof(from), "l%d", i);
        (void)ksnprintf(to, sizeof(to), "l%d", i - 1);
        EXPECT_EQ(vfs_symlink(to, AT_FDCWD, from), 0);
    }
    EXPECT_EQ(tree_exists("l40"), 0);
    EXPECT_EQ(tree_exists("l41"), -ELOOP);
    tree_end();
}

TEST(walk, refuses_names_over_255_bytes_and_keeps_those_of_255)
{
    char name[300];

    tree_begin(NULL);
    memset(name, 'n', sizeof(name));
    name[255] = '\0';
    EXPECT_EQ(tree_touch(name, 0644), 0);
    EXPECT_EQ(tree_exists(name), 0);
    name[255] = 'n';
    name[256] = '\0';
    EXPECT_EQ(tree_touch(name, 0644), -ENAMETOOLONG);
    EXPECT_EQ(tree_exists(name), -ENAMETOOLONG);
    tree_end();
}

TEST(walk, starts_at_a_directory_descriptor)
{
    struct path path;

    make_tree();
    int dir = tree_open("dir", O_RDONLY | O_DIRECTORY, 0);
    int file = tree_open("dir/file", O_RDONLY, 0);
    EXPECT_EQ(path_lookup(dir, "file", 0, &path), 0);
    path_put(&path);
    EXPECT_EQ(path_lookup(dir, "/t/dir/file", 0, &path), 0);
    path_put(&path);
    EXPECT_EQ(path_lookup(file, "x", 0, &path), -ENOTDIR);
    EXPECT_EQ(path_lookup(99, "x", 0, &path), -EBADF);
    EXPECT_EQ(path_lookup(99, "/t", 0, &path), 0);
    path_put(&path);
    EXPECT_EQ(path_lookup(file, "", LOOKUP_EMPTY, &path), 0);
    EXPECT(inode_is_regular(path.dentry->inode));
    path_put(&path);
    tree_end();
}

TEST(walk, needs_search_permission_on_every_directory)
{
    make_tree();
    EXPECT_EQ(tree_mkdir("shut", 0700), 0);
    EXPECT_EQ(tree_mkdir("shut/in", 0755), 0);
    tree_become(1000, 1000);
    EXPECT_EQ(tree_exists("shut"), 0);
    EXPECT_EQ(tree_exists("shut/in"), -EACCES);
    EXPECT_EQ(tree_exists("shut/missing"), -EACCES);
    EXPECT_EQ(tree_exists("shut/.."), -EACCES);
    EXPECT_EQ(tree_exists("dir/file"), 0);
    tree_end();
}

TEST(walk, tells_the_last_component_of_a_parent_look_up)
{
    struct path_parent parent;

    make_tree();
    EXPECT_EQ(path_lookup_parent(AT_FDCWD, "dir/new", 0, &parent), 0);
    EXPECT_STR_EQ(parent.last, "new");
    EXPECT_EQ(parent.last_type, LAST_NORM);
    EXPECT(!parent.trailing_slash);
    path_put(&parent.parent);
    EXPECT_EQ(path_lookup_parent(AT_FDCWD, "dir/new//", 0, &parent), 0);
    EXPECT(parent.trailing_slash);
    path_put(&parent.parent);
    EXPECT_EQ(path_lookup_parent(AT_FDCWD, "dir/..", 0, &parent), 0);
    EXPECT_EQ(parent.last_type, LAST_DOTDOT);
    path_put(&parent.parent);
    EXPECT_EQ(path_lookup_parent(AT_FDCWD, "/", 0, &parent), 0);
    EXPECT_EQ(parent.last_type, LAST_ROOT);
    path_put(&parent.parent);
    tree_end();
}

TEST(walk, names_deleted_places)
{
    struct path path, root;
    char text[64];

    make_tree();
    fs_context_get_paths(current_thread()->fs, &root, NULL);
    EXPECT_EQ(path_lookup(AT_FDCWD, "dir/sub", 0, &path), 0);
    EXPECT_EQ(vfs_rmdir(AT_FDCWD, "dir/sub"), 0);
    EXPECT_STR_EQ(path_to_string(&path, &root, text, sizeof(text)), "/t/dir/sub (deleted)");
    EXPECT(path_to_string(&path, &root, text, 8) == NULL);
    path_put(&path);
    path_put(&root);
    tree_end();
}
