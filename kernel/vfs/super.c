/*
 * Superblocks and the registry of file-system types.
 *
 * A superblock lives as long as a mount refers to it. When the last reference goes, its cached names are pruned and its root
 * dropped, so that no dentry and no open file is left; then the file system frees what it still holds itself.
 */
#include <linux/mount.h>

#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/chrdev.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/notify.h"

LINKSET_DECLARE(filesystems, struct filesystem);

static struct mutex super_list_lock = MUTEX_INIT(super_list_lock);
static struct list_node supers = LIST_INIT(supers); /* [super_list_lock] */
static uint32_t last_anonymous_minor;               /* [a] */

const struct filesystem *filesystem_find(const char *name)
{
    linkset_foreach (filesystems, struct filesystem, fs) {
        if (strcmp(fs->name, name) == 0) {
            return fs;
        }
    }
    return NULL;
}

const struct filesystem *filesystem_at(unsigned index)
{
    size_t count = (size_t)(__stop_linkset_filesystems - __start_linkset_filesystems);

    return index < count ? &__start_linkset_filesystems[index] : NULL;
}

struct super *super_create(const struct filesystem *fs, const struct super_ops *ops,
                           const char *source)
{
    struct super *super = kzalloc(sizeof(*super));

    if (super == NULL) {
        return NULL;
    }
    super->ops = ops;
    super->fs = fs;
    refcount_init(&super->refs, 1);
    mutex_init(&super->rename_lock, "rename");
    /* Major 0 is for file systems without a device: Linux' admin-guide/devices. */
    super->dev = DEV_MAKE(0, atomic_fetch_add_relaxed(&last_anonymous_minor, 1) + 1);
    (void)str_copy(super->source, source == NULL ? "none" : source, sizeof(super->source));
    mutex_lock(&super_list_lock);
    list_push_back(&supers, &super->node);
    mutex_unlock(&super_list_lock);
    return super;
}

void super_put(struct super *super)
{
    if (super == NULL || !refcount_put(&super->refs)) {
        return;
    }
    mutex_lock(&super_list_lock);
    list_remove(&super->node);
    mutex_unlock(&super_list_lock);
    notify_super_gone(super);
    if (super->root != NULL) {
        dentry_prune_all(super->root);
        dentry_put(super->root);
    }
    if (super->ops->unmount != NULL) {
        super->ops->unmount(super);
    }
    kfree(super);
}

/* Sync all of them. One that goes away meanwhile is skipped: it had nothing left to write. */
int vfs_sync_all(void)
{
    int result = 0;

    mutex_lock(&super_list_lock);
    struct super *super;
    list_for_each (super, &supers, node) {
        if (super->ops->sync != NULL && (super->flags & MS_RDONLY) == 0) {
            int err = super->ops->sync(super);
            result = result == 0 ? err : result;
        }
    }
    mutex_unlock(&super_list_lock);
    return result;
}
