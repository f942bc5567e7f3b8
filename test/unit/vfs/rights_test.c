/*
 * Who may do what: mode bits, sticky directories, ownership, capabilities (inode(7), capabilities(7), chown(2), utimensat(2)).
 */
#include <linux/capability.h>
#include <linux/time_types.h>

#define TEST_SUITE "vfs"
#include "test/unit/test.h"
#include "test/unit/vfs/fixture.h"

#define AT AT_FDCWD

static int chmod_name(const char *name, uint32_t mode)
{
    struct path path;

    int err = path_lookup(AT, name, 0, &path);
    if (err == 0) {
        err = vfs_chmod(&path, mode);
        path_put(&path);
    }
    return err;
}

static int chown_name(const char *name, uint32_t uid, uint32_t gid)
{
    struct path path;

    int err = path_lookup(AT, name, 0, &path);
    if (err == 0) {
        err = vfs_chown(&path, uid, gid);
        path_put(&path);
    }
    return err;
}

static void add_capability(unsigned cap)
{
    struct cred *cred = cred_clone(cred_current());

    EXPECT(cred != NULL);
    cred->cap_effective |= BIT(cap);
    cred_commit(cred);
}

TEST(rights, mode_bits_of_owner_group_and_others)
{
    static const struct {
        uint32_t mode, uid, gid;
        int want, result;
    } cases[] = {
        {0400, 1000, 1000, MAY_READ, 0},
        {0400, 1000, 1000, MAY_WRITE, -EACCES},
        {0070, 1000, 1000, MAY_READ, -EACCES},
        {0070, 1001, 1000, MAY_READ | MAY_WRITE, 0},
        {0007, 1001, 1000, MAY_READ, -EACCES},
        {0007, 1001, 1001, MAY_READ | MAY_EXEC, 0},
        {0700, 1001, 1001, MAY_READ, -EACCES},
        {0600, 0, 0, MAY_READ | MAY_WRITE, 0},
        {0600, 0, 0, MAY_EXEC, -EACCES},
        {0100, 0, 0, MAY_EXEC, 0},
        {0000, 0, 0, MAY_WRITE, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct path path;
        tree_begin(NULL);
        EXPECT_EQ(tree_touch("f", cases[i].mode), 0);
        EXPECT_EQ(chown_name("f", 1000, 1000), 0);
        tree_become(cases[i].uid, cases[i].gid);
        EXPECT_EQ(path_lookup(AT, "f", 0, &path), 0);
        EXPECT_EQ(inode_permission(path.dentry->inode, cases[i].want), cases[i].result);
        path_put(&path);
        tree_end();
    }
}

TEST(rights, sticky_directories_protect_other_peoples_files)
{
    tree_begin("mode=1777");
    EXPECT_EQ(tree_mkdir("sticky", 01777), 0);
    EXPECT_EQ(chmod_name("sticky", 01777), 0);
    EXPECT_EQ(tree_touch("sticky/root", 0666), 0);
    tree_become(1000, 1000);
    EXPECT_EQ(tree_touch("sticky/mine", 0666), 0);
    tree_become(1001, 1001);
    EXPECT_EQ(vfs_unlink(AT, "sticky/mine"), -EPERM);
    EXPECT_EQ(vfs_unlink(AT, "sticky/root"), -EPERM);
    EXPECT_EQ(vfs_rename(AT, "sticky/mine", AT, "sticky/yours", 0), -EPERM);
    EXPECT_EQ(tree_touch("sticky/other", 0666), 0);
    EXPECT_EQ(vfs_rename(AT, "sticky/other", AT, "sticky/mine", 0), -EPERM);
    add_capability(CAP_FOWNER);
    EXPECT_EQ(vfs_unlink(AT, "sticky/root"), 0);
    tree_become(1000, 1000);
    EXPECT_EQ(vfs_unlink(AT, "sticky/mine"), 0);
    tree_end();
}

TEST(rights, changing_names_needs_write_permission_on_the_directory)
{
    tree_begin("mode=0755");
    EXPECT_EQ(tree_touch("f", 0666), 0);
    tree_become(1000, 1000);
    EXPECT_EQ(tree_touch("new", 0666), -EACCES);
    EXPECT_EQ(tree_mkdir("new", 0777), -EACCES);
    EXPECT_EQ(vfs_symlink("x", AT, "new"), -EACCES);
    EXPECT_EQ(vfs_link(AT, "f", AT, "new", 0), -EACCES);
    EXPECT_EQ(vfs_unlink(AT, "f"), -EACCES);
    EXPECT_EQ(vfs_rename(AT, "f", AT, "g", 0), -EACCES);
    EXPECT_EQ(vfs_mknod(AT, "n", S_IFCHR | 0666, 0), -EPERM);
    add_capability(CAP_DAC_OVERRIDE);
    EXPECT_EQ(vfs_rename(AT, "f", AT, "g", 0), 0);
    tree_end();
}

TEST(rights, chmod_and_chown_are_the_owners)
{
    tree_begin("mode=0777");
    EXPECT_EQ(tree_touch("root", 0644), 0);
    tree_become(1000, 1000);
    EXPECT_EQ(tree_touch("mine", 0644), 0);
    EXPECT_EQ(chmod_name("root", 0777), -EPERM);
    EXPECT_EQ(chmod_name("mine", 0600), 0);
    EXPECT_EQ(chown_name("mine", 1001, -1u), -EPERM);
    EXPECT_EQ(chown_name("mine", -1u, 1001), -EPERM);
    EXPECT_EQ(chown_name("mine", 1000, 1000), 0);
    EXPECT_EQ(chown_name("mine", -1u, -1u), 0);
    add_capability(CAP_CHOWN);
    EXPECT_EQ(chown_name("mine", 1001, 1001), 0);
    EXPECT_EQ(tree_stat("mine").uid, 1001);
    tree_end();
}

TEST(rights, set_id_bits_go_when_owner_or_content_changes)
{
    tree_begin("mode=0777");
    tree_become(1000, 1000);
    EXPECT_EQ(tree_write("f", "x"), 0);
    EXPECT_EQ(chmod_name("f", 06755), 0);
    EXPECT_EQ(tree_stat("f").mode, S_IFREG | 06755);
    EXPECT_EQ(tree_write("f", "y"), 0);
    EXPECT_EQ(tree_stat("f").mode, S_IFREG | 0755);
    EXPECT_EQ(chmod_name("f", 06745), 0);
    tree_become(0, 0);
    EXPECT_EQ(chown_name("f", 0, 0), 0);
    EXPECT_EQ(tree_stat("f").mode,
              S_IFREG | 02745); /* set-group-ID without group execution is a lock mark */
    tree_become(1000, 1000);
    EXPECT_EQ(tree_touch("g", 0644), 0);
    tree_become(0, 0);
    EXPECT_EQ(chown_name("g", 1000, 7), 0);
    tree_become(1000, 1000);
    EXPECT_EQ(chmod_name("g", 02755), 0); /* not a member of 7: the bit is dropped silently */
    EXPECT_EQ(tree_stat("g").mode, S_IFREG | 0755);
    tree_end();
}

TEST(rights, set_group_id_directories_hand_their_group_down)
{
    tree_begin("mode=0777");
    EXPECT_EQ(tree_mkdir("d", 0777), 0);
    EXPECT_EQ(chown_name("d", 0, 42), 0);
    EXPECT_EQ(chmod_name("d", 02777), 0);
    EXPECT_EQ(tree_touch("d/f", 0644), 0);
    EXPECT_EQ(tree_mkdir("d/s", 0755), 0);
    EXPECT_EQ(tree_stat("d/f").gid, 42);
    EXPECT_EQ(tree_stat("d/s").gid, 42);
    EXPECT_EQ(tree_stat("d/s").mode, S_IFDIR | 02755);
    tree_end();
}

TEST(rights, times_need_ownership_or_write_permission)
{
    const struct __kernel_timespec exact[2] = {{.tv_sec = 1}, {.tv_sec = 2, .tv_nsec = 3}};
    const struct __kernel_timespec wrong[2] = {{.tv_nsec = 1000000000}, {0}};
    struct path path;

    tree_begin("mode=0777");
    EXPECT_EQ(tree_touch("f", 0666), 0);
    EXPECT_EQ(path_lookup(AT, "f", 0, &path), 0);
    EXPECT_EQ(vfs_utimes(&path, exact), 0);
    EXPECT_EQ(tree_stat("f").atime, 1 * NS_PER_S);
    EXPECT_EQ(tree_stat("f").mtime, 2 * NS_PER_S + 3);
    EXPECT_EQ(vfs_utimes(&path, wrong), -EINVAL);
    tree_become(1000, 1000);
    EXPECT_EQ(vfs_utimes(&path, exact), -EPERM);
    EXPECT_EQ(vfs_utimes(&path, NULL), 0);
    path_put(&path);
    tree_end();
}

TEST(rights, access_judges_by_the_real_user)
{
    tree_begin("mode=0777");
    EXPECT_EQ(tree_touch("f", 0600), 0);
    struct cred *cred = cred_clone(cred_current());
    EXPECT(cred != NULL);
    cred->uid = 1000; /* a set-user-ID program of root's */
    cred->gid = 1000;
    cred_commit(cred);
    EXPECT_EQ(vfs_access(AT, "f", 4, 0), -EACCES);
    EXPECT_EQ(vfs_access(AT, "f", 0, 0), 0);
    EXPECT_EQ(vfs_access(AT, "f", 4, AT_EACCESS), 0);
    EXPECT_EQ(vfs_access(AT, "f", 8, 0), -EINVAL);
    EXPECT_EQ(vfs_access(AT, "no", 0, 0), -ENOENT);
    tree_end();
}

static uint64_t limit_100(void)
{
    return 100;
}

TEST(rights, file_size_limit_cuts_and_refuses_writes)
{
    char text[160];
    struct iov_iter from;

    tree_begin(NULL);
    int fd = tree_open("f", O_RDWR | O_CREAT, 0644);
    struct file *file = fd_file(fd);
    memset(text, 'x', sizeof(text));
    uint64_t (*saved)(void) = file_size_limit_hook;
    file_size_limit_hook = limit_100;
    iov_init_kernel(&from, text, sizeof(text));
    EXPECT_EQ(vfs_write(file, &from, NULL), 100);
    iov_init_kernel(&from, text, 1);
    EXPECT_EQ(vfs_write(file, &from, NULL), -EFBIG);
    EXPECT_EQ(vfs_ftruncate(file, 101), -EFBIG);
    EXPECT_EQ(vfs_ftruncate(file, 50), 0);
    file_size_limit_hook = saved;
    file_put(file);
    tree_end();
}
