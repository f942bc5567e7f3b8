/*
 * Files without a name in any tree: pipes, sockets, memfd, eventfd. Their inodes belong to superblocks that are mounted nowhere:
 * one for pipes, one for sockets, one for all else.
 */
#include <linux/fs.h>
#include <linux/magic.h>

#include "kernel/core/panic.h"
#include "kernel/mm/slab.h"
#include "kernel/vfs/mount_table.h"
#include "kernel/vfs/private.h"

static struct slab_cache *anon_slab __ro_after_init;
static struct mount *anon_mount __ro_after_init; /* pidfds, memfds ... */
static struct mount *pipe_mount __ro_after_init;
static struct mount *socket_mount __ro_after_init;
static uint64_t last_ino; /* [a] */

static void anon_construct(void *object)
{
    inode_construct(object);
}

static void anon_destroy_inode(struct inode *inode)
{
    if (inode->cache.ops != NULL) {
        pagecache_fini(&inode->cache);
    }
    slab_free(anon_slab, inode);
}

static int anon_statfs(struct super *super, struct vfs_statfs *ret_stat)
{
    ret_stat->type = (uintptr_t)super->private;
    return 0;
}

static const struct super_ops anon_super_ops = {.destroy_inode = anon_destroy_inode,
                                                .statfs = anon_statfs};
static const struct filesystem anon_filesystem = {.name = "anon_inodefs", .flags = FS_NODEV};
static const struct filesystem pipe_filesystem = {.name = "pipefs", .flags = FS_NODEV};
static const struct filesystem socket_filesystem = {.name = "sockfs", .flags = FS_NODEV};
static const struct inode_ops anon_inode_ops = {0};

static struct inode *inode_create(struct super *super, uint32_t mode)
{
    struct inode *inode = slab_alloc(anon_slab, 0);

    if (inode == NULL) {
        return NULL;
    }
    inode_init(inode, super, NULL, mode);
    inode->ops = &anon_inode_ops;
    inode_init_special(
        inode, 0); /* opening it anew through /proc/PID/fd: -ENXIO, unless its owner sets fops */
    inode->ino = atomic_fetch_add_relaxed(&last_ino, 1) + 1;
    return inode;
}

static struct mount *mount_for(uint32_t mode)
{
    return S_ISFIFO(mode) ? pipe_mount : S_ISSOCK(mode) ? socket_mount : anon_mount;
}

struct inode *anon_inode_create(uint32_t mode)
{
    return inode_create(mount_for(mode)->super, mode);
}

int file_create_anonymous(struct inode *inode, const char *name, const struct file_ops *fops,
                          int flags, unsigned mode, struct file **ret_file)
{
    struct dentry *dentry = dentry_create_anonymous(inode, name);

    if (dentry == NULL) {
        inode_put(inode);
        return -ENOMEM;
    }
    struct path path = {mount_get(mount_for(inode->mode)), dentry};
    int err = file_create(&path, flags, mode, ret_file);
    if (err < 0) {
        path_put(&path);
        return err;
    }
    (*ret_file)->fops = fops;
    return 0;
}

static struct mount *anon_mount_create(const struct filesystem *fs, uint64_t magic)
{
    struct super *super = super_create(fs, &anon_super_ops, "none");

    if (super == NULL) {
        return NULL;
    }
    super->private = (void *)(uintptr_t)magic;
    struct inode *root = inode_create(super, S_IFDIR | 0500);
    super->root = root == NULL ? NULL : dentry_create_root(super, root);
    struct mount *mount = super->root == NULL ? NULL : mount_create_internal(super);
    if (mount != NULL) {
        mount_spread(mount);
    }
    return mount;
}

void anon_init(void)
{
    anon_slab = slab_cache_create("anon_inode", sizeof(struct inode), 0, 0, anon_construct);
    if (anon_slab != NULL) {
        anon_mount = anon_mount_create(&anon_filesystem, ANON_INODE_FS_MAGIC);
        pipe_mount = anon_mount_create(&pipe_filesystem, PIPEFS_MAGIC);
        socket_mount = anon_mount_create(&socket_filesystem, SOCKFS_MAGIC);
    }
    if (anon_mount == NULL || pipe_mount == NULL || socket_mount == NULL) {
        panic("vfs: no memory for nameless files");
    }
}
