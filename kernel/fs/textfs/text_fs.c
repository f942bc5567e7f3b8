/*
 * A file system that is a tree of text files and nothing else: what sysfs and debugfs share.
 */
#include <linux/stat.h>

#include "kernel/core/log.h"
#include "kernel/fs/textfs/text.h"
#include "kernel/mm/kmalloc.h"

static void destroy_inode(struct inode *inode)
{
    kfree(inode);
}

static int text_fs_statfs(struct super *super, struct vfs_statfs *ret_stat)
{
    const struct text_fs *fs = super->private;

    *ret_stat =
        (struct vfs_statfs){.type = fs->magic, .block_size = PAGE_SIZE, .name_max = NAME_MAX_BYTES};
    return 0;
}

static const struct super_ops super_ops = {
    .destroy_inode = destroy_inode,
    .statfs = text_fs_statfs,
};

static void tree_make(struct text_fs *fs, const struct text_file *start,
                      const struct text_file *stop)
{
    mutex_lock(&fs->lock);
    if (!fs->made) {
        text_tree_init(&fs->tree, 1);
        for (const struct text_file *file = start; file < stop; file++) {
            if (text_tree_add(&fs->tree, file) < 0) {
                log_err("%s: cannot add %s", fs->name, file->path);
            }
        }
        if (fs->populate != NULL) {
            fs->populate(&fs->tree);
        }
        fs->made = true;
    }
    mutex_unlock(&fs->lock);
}

int text_fs_mount(struct text_fs *fs, const struct text_file *start, const struct text_file *stop,
                  const struct filesystem *type, const char *source, struct super **ret_super)
{
    struct super *super;
    struct inode *root;

    tree_make(fs, start, stop);
    super = super_create(type, &super_ops, source);
    if (super == NULL) {
        return -ENOMEM;
    }
    super->private = fs;
    root = text_inode_create(super, &fs->tree.root);
    if (root != NULL) {
        root->mode = S_IFDIR | fs->root_mode;
    }
    super->root = root == NULL ? NULL : dentry_create_root(super, root);
    if (super->root == NULL) {
        super_put(super);
        return -ENOMEM;
    }
    *ret_super = super;
    return 0;
}
