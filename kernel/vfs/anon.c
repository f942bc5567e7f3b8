/*
 * Files without a name in any tree: pipes, memfd, eventfd. Their inodes belong to one superblock that is mounted nowhere.
 */
#include <linux/fs.h>

#include "kernel/core/panic.h"
#include "kernel/mm/slab.h"
#include "kernel/vfs/private.h"

static struct slab_cache *anon_slab __ro_after_init;
static struct super *anon_super __ro_after_init;
static struct mount *anon_mount __ro_after_init;
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

static const struct super_ops anon_super_ops = {.destroy_inode = anon_destroy_inode};
static const struct filesystem anon_filesystem = {.name = "anon_inodefs", .flags = FS_NODEV};
static const struct inode_ops anon_inode_ops = {0};

struct inode *anon_inode_create(uint32_t mode)
{
    struct inode *inode = slab_alloc(anon_slab, 0);

    if (inode == NULL) {
        return NULL;
    }
    inode_init(inode, anon_super, NULL, mode);
    inode->ops = &anon_inode_ops;
    inode_init_special(
        inode, 0); /* opening it anew through /proc/PID/fd: -ENXIO, unless its owner sets fops */
    inode->ino = atomic_fetch_add_relaxed(&last_ino, 1) + 1;
    return inode;
}

int file_create_anonymous(struct inode *inode, const char *name, const struct file_ops *fops,
                          int flags, unsigned mode, struct file **ret_file)
{
    struct dentry *dentry = dentry_create_anonymous(inode, name);

    if (dentry == NULL) {
        inode_put(inode);
        return -ENOMEM;
    }
    struct path path = {mount_get(anon_mount), dentry};
    int err = file_create(&path, flags, mode, ret_file);
    if (err < 0) {
        path_put(&path);
        return err;
    }
    (*ret_file)->fops = fops;
    return 0;
}

void anon_init(void)
{
    anon_slab = slab_cache_create("anon_inode", sizeof(struct inode), 0, 0, anon_construct);
    anon_super = super_create(&anon_filesystem, &anon_super_ops, "none");
    if (anon_slab == NULL || anon_super == NULL) {
        panic("vfs: no memory for the anonymous superblock");
    }
    struct inode *root = anon_inode_create(S_IFDIR | 0500);
    anon_super->root = root == NULL ? NULL : dentry_create_root(anon_super, root);
    anon_mount = anon_super->root == NULL ? NULL : mount_create_internal(anon_super);
    if (anon_mount == NULL) {
        panic("vfs: no memory for the anonymous mount");
    }
}
