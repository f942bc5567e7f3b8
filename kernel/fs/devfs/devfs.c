/*
 * devtmpfs: /dev as the kernel fills it.
 *
 * There is one instance, shared by all mounts of it. It is a tmpfs superblock under another name, so that user space may add nodes,
 * links and directories of its own; drivers' names (kernel/vfs/chrdev.h) are made in it through the same operations, as root,
 * whoever happens to be running. The instance comes to life with its first mount and takes over the names known by then.
 */
#include <linux/mount.h>
#include <linux/stat.h>

#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/vfs/chrdev.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/mount.h"

static struct mutex instance_lock = MUTEX_INIT(instance_lock);
static struct mount *instance; /* [instance_lock] mounted nowhere; holds the superblock for ever */

/* Make the directories that `name` needs. */
static void make_parents(const struct path *root, const char *name)
{
    char parent[128];

    for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        size_t len = (size_t)(slash - name);
        if (len == 0 || len >= sizeof(parent)) {
            return;
        }
        memcpy(parent, name, len);
        parent[len] = '\0';
        (void)vfs_mkdir_at(root, parent, 0755);
    }
}

static int make_name(const struct path *root, const char *name, uint32_t mode, uint64_t rdev,
                     const char *target)
{
    struct path path;

    make_parents(root, name);
    if (target != NULL) {
        return vfs_symlink_at(root, target, name);
    }
    int err = S_ISDIR(mode) ? vfs_mkdir_at(root, name, mode) : vfs_mknod_at(root, name, mode, rdev);
    if (err == 0) {
        err = path_lookup_at(root, name, 0, &path);
    }
    if (err == 0) {
        err = vfs_chmod(&path, mode & 07777); /* whatever the current umask is */
        path_put(&path);
    }
    return err;
}

/* A driver's name came or went. The creator may be a user's thread that opened a terminal: root acts in its place. */
static void change_name(const char *name, uint32_t mode, uint64_t rdev, const char *target)
{
    struct thread *thread = current_thread();
    struct cred *saved = thread->cred;
    struct path root = {instance, instance->root};

    thread->cred = &cred_init_user;
    int err = mode == 0 ? vfs_unlink_at(&root, name) : make_name(&root, name, mode, rdev, target);
    thread->cred = saved;
    if (err < 0 && err != -EEXIST && err != -ENOENT) {
        log_warn("devfs: %s: error %d", name, -err);
    }
}

static const struct devfs_sink sink = {.change = change_name};

/* What every program expects beside the drivers' nodes. */
static void make_defaults(void)
{
    change_name("shm", S_IFDIR | 01777, 0, NULL);
    change_name("pts", S_IFDIR | 0755, 0, NULL);
    change_name("fd", S_IFLNK | 0777, 0, "/proc/self/fd");
    change_name("stdin", S_IFLNK | 0777, 0, "/proc/self/fd/0");
    change_name("stdout", S_IFLNK | 0777, 0, "/proc/self/fd/1");
    change_name("stderr", S_IFLNK | 0777, 0, "/proc/self/fd/2");
}

static int make_instance(const struct filesystem *fs)
{
    const struct filesystem *tmpfs = filesystem_find("tmpfs");
    struct super *super;

    if (tmpfs == NULL) {
        return -ENODEV;
    }
    int err = tmpfs->mount(tmpfs, "devtmpfs", 0, "mode=0755", &super);
    if (err < 0) {
        return err;
    }
    super->fs = fs;
    instance = mount_create_internal(super);
    if (instance == NULL) {
        super_put(super);
        return -ENOMEM;
    }
    make_defaults();
    devfs_attach(&sink);
    return 0;
}

static int devtmpfs_mount(const struct filesystem *fs, const char *source, unsigned long flags,
                          const char *options, struct super **ret_super)
{
    int err = 0;

    (void)source, (void)flags;
    mutex_lock(&instance_lock);
    if (instance == NULL) {
        err = make_instance(fs);
    }
    mutex_unlock(&instance_lock);
    if (err < 0) {
        return err;
    }
    struct super *super = instance->super;
    if (options != NULL && *options != '\0') {
        err = super->ops->remount(super, 0, options);
        if (err < 0) {
            return err;
        }
    }
    refcount_get(&super->refs);
    *ret_super = super;
    return 0;
}

FILESYSTEM(devtmpfs) = {.name = "devtmpfs", .flags = FS_NODEV, .mount = devtmpfs_mount};
