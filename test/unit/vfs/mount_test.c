/*
 * mount(2), umount2(2), pivot_root(2) and what /proc/mounts says.
 */
#include <linux/mount.h>

#define TEST_SUITE "vfs"
#include "kernel/sched/sched.h"
#include "test/unit/test.h"
#include "test/unit/vfs/fixture.h"

#define AT             AT_FDCWD
#define UMOUNT_DETACH_ 2

static int mount_name(const char *source, const char *target, const char *type, unsigned long flags)
{
    struct path path;

    int err = path_lookup(AT, target, LOOKUP_FOLLOW, &path);
    if (err == 0) {
        err = vfs_mount(source, &path, type, flags, NULL);
        path_put(&path);
    }
    return err;
}

static int umount_name(const char *target, int flags)
{
    struct path path;

    int err = path_lookup(AT, target, LOOKUP_FOLLOW, &path);
    if (err == 0) {
        err = vfs_umount(&path, flags);
        path_put(&path);
    }
    return err;
}

/* The line of /proc/mounts for a place, or "". */
static const char *mounts_line(const char *place)
{
    static char line[512];
    struct path root;
    char want[64] = " ";

    (void)str_copy(want + 1, place, sizeof(want) - 2);
    want[strlen(want) + 1] = '\0';
    want[strlen(want)] = ' ';
    fs_context_get_paths(current_thread()->fs, &root, NULL);
    for (unsigned i = 0; mount_describe(i, &root, false, line, sizeof(line)) != 0; i++) {
        if (strstr(line, want) != NULL) {
            break;
        }
        line[0] = '\0';
    }
    path_put(&root);
    return line;
}

TEST(mount, covers_and_uncovers)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_mkdir("m", 0755), 0);
    EXPECT_EQ(tree_touch("m/below", 0644), 0);
    EXPECT_EQ(mount_name("none", "m", "tmpfs", MS_NOSUID | MS_NODEV), 0);
    EXPECT_EQ(tree_exists("m/below"), -ENOENT);
    EXPECT_EQ(tree_touch("m/above", 0644), 0);
    EXPECT_EQ(tree_exists("m/../m/above"), 0);
    EXPECT_NE(tree_stat("m").dev, tree_stat(".").dev);
    EXPECT_STR_EQ(mounts_line("/t/m"), "none /t/m tmpfs rw,nosuid,nodev,relatime 0 0\n");
    EXPECT_EQ(vfs_rmdir(AT, "m"), -EBUSY);
    EXPECT_EQ(vfs_rename(AT, "m", AT, "n", 0), -EBUSY);
    EXPECT_EQ(umount_name("m", 0), 0);
    EXPECT_EQ(tree_exists("m/below"), 0);
    EXPECT_EQ(umount_name("m", 0), -EINVAL);
    EXPECT_EQ(vfs_unlink(AT, "m/below"), 0);
    EXPECT_EQ(vfs_rmdir(AT, "m"), 0);
    tree_end();
}

TEST(mount, judges_its_arguments)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_touch("f", 0644), 0);
    EXPECT_EQ(tree_mkdir("m", 0755), 0);
    EXPECT_EQ(mount_name("none", "m", "nosuchfs", 0), -ENODEV);
    EXPECT_EQ(mount_name("none", "m", NULL, 0), -EINVAL);
    EXPECT_EQ(mount_name("none", "f", "tmpfs", 0), -ENOTDIR);
    EXPECT_EQ(mount_name("none", "no", "tmpfs", 0), -ENOENT);
    EXPECT_EQ(mount_name("none", "m", "tmpfs", MS_SHARED), -EINVAL);
    EXPECT_EQ(mount_name(NULL, "m", NULL, MS_REMOUNT), -EINVAL);
    EXPECT_EQ(mount_name("f", "m", NULL, MS_BIND), -ENOTDIR);
    tree_end();
}

TEST(mount, is_busy_while_used_and_can_be_detached)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_mkdir("m", 0755), 0);
    EXPECT_EQ(mount_name("none", "m", "tmpfs", 0), 0);
    int fd = tree_open("m/f", O_RDWR | O_CREAT, 0644);
    EXPECT_EQ(umount_name("m", 0), -EBUSY);
    EXPECT_EQ(tree_mkdir("m/inner", 0755), 0);
    EXPECT_EQ(mount_name("none", "m/inner", "tmpfs", 0), 0);
    EXPECT_EQ(fd_close(fd), 0);
    EXPECT_EQ(umount_name("m", 0), -EBUSY);
    fd = tree_open("m/inner/f", O_RDWR | O_CREAT, 0644);
    EXPECT_EQ(umount_name("m", UMOUNT_DETACH_), 0);
    EXPECT_EQ(tree_exists("m/inner"), -ENOENT);
    struct file *file = fd_file(fd);
    EXPECT(file != NULL);
    file_put(file);
    EXPECT_EQ(fd_close(fd), 0);
    tree_end();
}

TEST(mount, read_only_mounts_refuse_changes)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_mkdir("m", 0755), 0);
    EXPECT_EQ(mount_name("none", "m", "tmpfs", 0), 0);
    EXPECT_EQ(tree_write("m/f", "x"), 0);
    int fd = tree_open("m/f", O_WRONLY, 0);
    EXPECT_EQ(mount_name(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY), -EBUSY);
    EXPECT_EQ(fd_close(fd), 0);
    EXPECT_EQ(mount_name(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY), 0);
    EXPECT_EQ(tree_open("m/f", O_WRONLY, 0), -EROFS);
    EXPECT_EQ(tree_open("m/f", O_RDONLY, 0), 0);
    EXPECT_EQ(fd_close(0), 0);
    EXPECT_EQ(tree_touch("m/g", 0644), -EROFS);
    EXPECT_EQ(tree_mkdir("m/d", 0644), -EROFS);
    EXPECT_EQ(tree_mkdir("m/f", 0644), -EEXIST);
    EXPECT_EQ(vfs_unlink(AT, "m/f"), -EROFS);
    EXPECT_EQ(vfs_access(AT, "m/f", 2, 0), -EROFS);
    EXPECT(strstr(mounts_line("/t/m"), " ro,relatime") != NULL);
    EXPECT_EQ(mount_name(NULL, "m", NULL, MS_REMOUNT), 0);
    EXPECT_EQ(vfs_unlink(AT, "m/f"), 0);
    EXPECT_EQ(umount_name("m", 0), 0);
    tree_end();
}

TEST(mount, binds_show_the_same_tree_elsewhere)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_mkdir("a", 0755), 0);
    EXPECT_EQ(tree_mkdir("a/sub", 0755), 0);
    EXPECT_EQ(tree_mkdir("b", 0755), 0);
    EXPECT_EQ(mount_name("none", "a/sub", "tmpfs", 0), 0);
    EXPECT_EQ(tree_touch("a/sub/inner", 0644), 0);
    EXPECT_EQ(mount_name("a", "b", NULL, MS_BIND), 0);
    EXPECT_EQ(tree_exists("b/sub"), 0);
    EXPECT_EQ(tree_exists("b/sub/inner"), -ENOENT);
    EXPECT_EQ(tree_write("b/f", "both"), 0);
    EXPECT_STR_EQ(tree_read("a/f"), "both");
    EXPECT_EQ(vfs_link(AT, "a/f", AT, "b/g", 0), -EXDEV);
    EXPECT_EQ(mount_name(NULL, "b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY), 0);
    EXPECT_EQ(tree_touch("b/h", 0644), -EROFS);
    EXPECT_EQ(tree_touch("a/h", 0644), 0);
    EXPECT_EQ(umount_name("b", 0), 0);
    EXPECT_EQ(mount_name("a", "b", NULL, MS_BIND | MS_REC), 0);
    EXPECT_EQ(tree_exists("b/sub/inner"), 0);
    EXPECT_EQ(umount_name("b", 0), -EBUSY);
    EXPECT_EQ(umount_name("b/sub", 0), 0);
    EXPECT_EQ(umount_name("b", 0), 0);
    EXPECT_EQ(umount_name("a/sub", 0), 0);
    tree_end();
}

TEST(mount, single_files_can_be_bound)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_write("a", "a"), 0);
    EXPECT_EQ(tree_write("b", "b"), 0);
    EXPECT_EQ(mount_name("a", "b", NULL, MS_BIND), 0);
    EXPECT_STR_EQ(tree_read("b"), "a");
    EXPECT_EQ(vfs_unlink(AT, "b"), -EBUSY);
    EXPECT_EQ(umount_name("b", 0), 0);
    EXPECT_STR_EQ(tree_read("b"), "b");
    tree_end();
}

TEST(mount, moves_with_what_is_mounted_inside)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_mkdir("a", 0755), 0);
    EXPECT_EQ(tree_mkdir("b", 0755), 0);
    EXPECT_EQ(mount_name("none", "a", "tmpfs", 0), 0);
    EXPECT_EQ(tree_mkdir("a/in", 0755), 0);
    EXPECT_EQ(mount_name("none", "a/in", "tmpfs", 0), 0);
    EXPECT_EQ(tree_touch("a/in/x", 0644), 0);
    EXPECT_EQ(mount_name("a", "a/in", NULL, MS_MOVE), -ELOOP);
    EXPECT_EQ(mount_name("a", "b", NULL, MS_MOVE), 0);
    EXPECT_EQ(tree_exists("a/in"), -ENOENT);
    EXPECT_EQ(tree_exists("b/in/x"), 0);
    EXPECT_EQ(mount_name("b/in/x", "a", NULL, MS_MOVE), -EINVAL);
    EXPECT_EQ(umount_name("b/in", 0), 0);
    EXPECT_EQ(umount_name("b", 0), 0);
    tree_end();
}

TEST(mount, tells_file_system_statistics)
{
    struct vfs_statfs stat;
    struct path path;

    tree_begin("size=64k,nr_inodes=10");
    EXPECT_EQ(tree_write("f", "x"), 0);
    EXPECT_EQ(path_lookup(AT, ".", 0, &path), 0);
    EXPECT_EQ(vfs_statfs(&path, &stat), 0);
    path_put(&path);
    EXPECT_EQ(stat.type, 0x01021994);
    EXPECT_EQ(stat.blocks, 16);
    EXPECT_EQ(stat.blocks_free, 15);
    EXPECT_EQ(stat.files, 10);
    EXPECT_EQ(stat.files_free, 8);
    EXPECT_EQ(stat.name_max, 255);
    EXPECT(strstr(mounts_line("/t"), ",size=64k,nr_inodes=10") != NULL);
    tree_end();
}

/* ---- what reclaim holds ---- */

static struct dentry *held;
static bool unmounted;

static void unmount_m(void *arg)
{
    (void)arg;
    EXPECT_EQ(umount_name("m", 0), 0);
    unmounted = true;
}

static void let_go(void *arg)
{
    (void)arg;
    thread_sleep_ns(5 * NS_PER_MS);
    EXPECT(!unmounted);
    dentry_put(held);
}

TEST(mount, ends_when_reclaim_has_let_go_of_its_names)
{
    struct path path;

    tree_begin(NULL);
    EXPECT_EQ(tree_mkdir("m", 0755), 0);
    EXPECT_EQ(mount_name("none", "m", "tmpfs", 0), 0);
    EXPECT_EQ(tree_mkdir("m/dir", 0755), 0);
    EXPECT_EQ(tree_touch("m/dir/file", 0644), 0);
    EXPECT_EQ(path_lookup(AT, "m/dir/file", 0, &path), 0);
    held = dentry_get(path.dentry); /* without its mount, as dentry_shrink() has it */
    path_put(&path);
    unmounted = false;
    tree_spawn(unmount_m, NULL);
    tree_spawn(let_go, NULL);
    tree_run();
    EXPECT(unmounted);
    tree_end();
}
