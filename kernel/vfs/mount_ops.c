/*
 * mount(2), umount2(2), pivot_root(2): new mounts, binds, moves, remounts.
 *
 * All mounts are private (mount_namespaces(7)): nothing propagates, so MS_PRIVATE is always true already and the other types of
 * propagation are refused.
 */
#include <linux/mount.h>

#include "kernel/base/string.h"
#include "kernel/vfs/fs_list.h"
#include "kernel/vfs/mount_table.h"
#include "kernel/vfs/private.h"

/* umount2(2): the ABI headers leave these to the C library. */
#define UMOUNT_FORCE    0x1
#define UMOUNT_DETACH   0x2
#define UMOUNT_EXPIRE   0x4
#define UMOUNT_NOFOLLOW 0x8

#define PROPAGATION_FLAGS (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)

/* mount(8): relatime is what one gets without asking. */
static uint64_t mount_flags_from(unsigned long flags)
{
    uint64_t result = flags & MOUNT_FLAGS;

    if ((flags & (MS_NOATIME | MS_STRICTATIME)) == 0) {
        result |= MS_RELATIME;
    }
    if ((flags & MS_STRICTATIME) != 0) {
        result &= ~(uint64_t)(MS_RELATIME | MS_NOATIME);
    }
    return result;
}

/*
 * A place is to be in the table and to have a name: its directory is locked, so that it keeps that until all see that something is mounted
 * there (names.c). -ENOENT, -EINVAL. Table lock held.
 */
static int place_lock(const struct path *place, struct dentry **ret_parent)
{
    struct dentry *parent = dentry_get_parent(place->dentry);

    rwsem_lock_write(&parent->inode->lock);
    if (dentry_is_hashed(place->dentry) && place->mount->attached) {
        *ret_parent = parent;
        return 0;
    }
    int err = dentry_is_hashed(place->dentry) ? -EINVAL : -ENOENT;
    rwsem_unlock_write(&parent->inode->lock);
    dentry_put(parent);
    return err;
}

static void place_unlock(struct dentry *parent)
{
    rwsem_unlock_write(&parent->inode->lock);
    dentry_put(parent);
}

/* Attach a fresh mount; takes its reference over on success. */
static int mount_on(struct mount *mount, const struct path *target)
{
    struct dentry *parent;

    if (inode_is_dir(mount->root->inode) != inode_is_dir(target->dentry->inode)) {
        return -ENOTDIR;
    }
    if (target->mount->super == mount->super && target->mount->root == target->dentry &&
        mount->root == target->dentry) {
        return -EBUSY; /* the same thing on top of itself */
    }
    int err = place_lock(target, &parent);
    if (err == 0) {
        err = mount_attach(mount, target);
        place_unlock(parent);
    }
    return err;
}

static int mount_new(const char *source, const struct path *target, const char *fstype,
                     unsigned long flags, const char *options)
{
    struct super *super;
    const struct filesystem *fs = fstype == NULL ? NULL : filesystem_find(fstype);

    if (fstype == NULL) {
        return -EINVAL;
    }
    if (fs == NULL) {
        return -ENODEV;
    }
    int err = fs->mount(fs, source, flags & SUPER_FLAGS, options, &super);
    if (err < 0) {
        return err;
    }
    (void)atomic_fetch_or(&super->flags, (uint64_t)(flags & SUPER_FLAGS));
    struct mount *mount = mount_create(super, super->root, mount_flags_from(flags));
    super_put(super);
    if (mount == NULL) {
        return -ENOMEM;
    }
    rwsem_lock_write(&mount_table_lock);
    err = mount_on(mount, target);
    rwsem_unlock_write(&mount_table_lock);
    if (err < 0) {
        mount_put(mount);
    }
    return err;
}

/* MS_BIND | MS_REC: what is mounted below `from` comes along. Repeats until no mount finds its parent among the copied. */
static int bind_children(const struct path *from, struct mount *top)
{
    struct mount *mount, *tmp;
    bool progress = true;

    from->mount->copy = top;
    while (progress) {
        progress = false;
        list_for_each_safe (mount, tmp, &mount_table, node) {
            if (mount->copy != NULL || mount->parent == NULL || mount->parent->copy == NULL ||
                mount == top || mount->is_copy ||
                (mount->parent == from->mount &&
                 !dentry_is_below(mount->mountpoint, from->dentry))) {
                continue;
            }
            struct path place = {mount->parent->copy, mount->mountpoint};
            struct mount *copy = mount_create(mount->super, mount->root, mount->flags);
            if (copy == NULL) {
                return -ENOMEM;
            }
            copy->is_copy = true;
            int err = mount_attach(copy, &place);
            if (err < 0) {
                mount_put(copy);
                return err;
            }
            mount->copy = copy;
            progress = true;
        }
    }
    return 0;
}

static void bind_forget_copies(void)
{
    struct mount *mount;

    list_for_each (mount, &mount_table, node) {
        mount->copy = NULL;
        mount->is_copy = false;
    }
}

static int bind_locked(const struct path *from, const struct path *target, unsigned long flags)
{
    if (!dentry_is_hashed(from->dentry)) {
        return -ENOENT;
    }
    if (!from->mount->attached) {
        return -EINVAL; /* it has been detached, or is the kernel's own */
    }
    struct mount *mount = mount_create(from->mount->super, from->dentry, from->mount->flags);
    if (mount == NULL) {
        return -ENOMEM;
    }
    mount->is_copy = true;
    int err = mount_on(mount, target);
    if (err < 0) {
        mount_put(mount);
        return err;
    }
    return (flags & MS_REC) != 0 ? bind_children(from, mount) : 0;
}

static int mount_bind(const char *source, const struct path *target, unsigned long flags)
{
    struct path from;

    if (source == NULL || *source == '\0') {
        return -EINVAL;
    }
    int err = path_lookup(AT_FDCWD, source, LOOKUP_FOLLOW, &from);
    if (err < 0) {
        return err;
    }
    rwsem_lock_write(&mount_table_lock);
    err = bind_locked(&from, target, flags);
    bind_forget_copies();
    rwsem_unlock_write(&mount_table_lock);
    path_put(&from);
    return err;
}

static int mount_move(const char *source, const struct path *target)
{
    struct path from, old_place = {0};
    struct dentry *parent;

    if (source == NULL || *source == '\0') {
        return -EINVAL;
    }
    int err = path_lookup(AT_FDCWD, source, LOOKUP_FOLLOW, &from);
    if (err < 0) {
        return err;
    }
    struct mount *mount = from.mount;
    rwsem_lock_write(&mount_table_lock);
    if (from.dentry != mount->root || mount->parent == NULL ||
        inode_is_dir(from.dentry->inode) != inode_is_dir(target->dentry->inode)) {
        err = -EINVAL;
    } else if (mount_is_below(target->mount, mount)) {
        err = -ELOOP;
    } else {
        err = place_lock(target, &parent);
        if (err == 0) {
            mount_move_to(mount, target, &old_place);
            place_unlock(parent);
        }
    }
    rwsem_unlock_write(&mount_table_lock);
    path_put(&old_place);
    path_put(&from);
    return err;
}

static bool super_has_writers(const struct super *super)
{
    struct mount *mount;

    list_for_each (mount, &mount_table, node) {
        if (mount->super == super && atomic_load_relaxed(&mount->writers) != 0) {
            return true;
        }
    }
    return false;
}

static int super_remount(struct super *super, unsigned long flags, const char *options)
{
    if ((flags & MS_RDONLY) != 0 && (super->flags & MS_RDONLY) == 0 && super_has_writers(super)) {
        return -EBUSY;
    }
    if (super->ops->remount != NULL) {
        int err = super->ops->remount(super, (unsigned)(flags & SUPER_FLAGS), options);
        if (err < 0) {
            return err;
        }
    }
    super->flags = (super->flags & ~(uint64_t)SUPER_FLAGS) | (flags & SUPER_FLAGS);
    return 0;
}

static int mount_remount(const struct path *target, unsigned long flags, const char *options)
{
    struct mount *mount = target->mount;
    int err = 0;

    if (target->dentry != mount->root) {
        return -EINVAL;
    }
    rwsem_lock_write(&mount_table_lock);
    if (!mount->attached) {
        err = -EINVAL;
    } else if ((flags & MS_BIND) != 0) {
        if ((flags & MS_RDONLY) != 0 && (mount->flags & MS_RDONLY) == 0 &&
            atomic_load_relaxed(&mount->writers) != 0) {
            err = -EBUSY;
        }
    } else {
        err = super_remount(mount->super, flags, options);
    }
    if (err == 0) {
        mount->flags = mount_flags_from(flags);
    }
    rwsem_unlock_write(&mount_table_lock);
    return err;
}

int vfs_mount(const char *source, const struct path *target, const char *fstype,
              unsigned long flags, const char *options)
{
    if ((flags & MS_MGC_MSK) == MS_MGC_VAL) {
        flags &= ~(unsigned long)MS_MGC_MSK;
    }
    if ((flags & MS_REMOUNT) != 0) {
        return mount_remount(target, flags, options);
    }
    if ((flags & MS_BIND) != 0) {
        return mount_bind(source, target, flags);
    }
    if ((flags & PROPAGATION_FLAGS) != 0) {
        if ((flags & ~(unsigned long)(PROPAGATION_FLAGS | MS_REC | MS_SILENT)) != 0 ||
            (flags & PROPAGATION_FLAGS) != MS_PRIVATE || target->dentry != target->mount->root) {
            return -EINVAL;
        }
        return 0;
    }
    if ((flags & MS_MOVE) != 0) {
        return mount_move(source, target);
    }
    return mount_new(source, target, fstype, flags, options);
}

/* Take `top` and everything below it out of the table. The children's mounts die with their last users. */
static void umount_tree(struct mount *top, struct list_node *ret_gone)
{
    struct mount *mount, *tmp;
    struct path place;
    bool progress = true;

    while (progress) {
        progress = false;
        list_for_each_safe (mount, tmp, &mount_table, node) {
            if (mount != top && mount_is_below(mount, top) && !mount_has_children(mount)) {
                mount_detach(mount, &place);
                list_push_back(ret_gone, &mount->node);
                path_put(&place);
                progress = true;
            }
        }
    }
    mount_detach(top, &place);
    list_push_back(ret_gone, &top->node);
    path_put(&place);
}

/* Does anything but the table and the caller hold the mount? Its references are gathered then, or spread again. */
static bool mount_is_busy(struct mount *mount)
{
    if (mount_has_children(mount)) {
        return true;
    }
    percpu_ref_gather(&mount->refs);
    if (percpu_ref_read(&mount->refs) > 2) {
        percpu_ref_spread_again(&mount->refs);
        return true;
    }
    return false;
}

int vfs_umount(const struct path *target, int flags)
{
    struct mount *mount = target->mount;
    struct list_node gone = LIST_INIT(gone);
    struct path root;
    int err = 0;

    if ((flags & ~(UMOUNT_FORCE | UMOUNT_DETACH | UMOUNT_NOFOLLOW)) != 0 ||
        target->dentry != mount->root) {
        return -EINVAL;
    }
    fs_context_get_paths(current_thread()->fs, &root, NULL);
    rwsem_lock_write(&mount_table_lock);
    if (!mount->attached) {
        err = -EINVAL; /* gone already */
    } else if (mount == root.mount && (flags & UMOUNT_DETACH) == 0) {
        err = super_remount(mount->super, mount->super->flags | MS_RDONLY, NULL);
    } else if (mount->parent == NULL) {
        err = -EINVAL;
    } else if ((flags & UMOUNT_DETACH) == 0 && mount_is_busy(mount)) {
        err = -EBUSY;
    } else {
        umount_tree(mount, &gone);
    }
    rwsem_unlock_write(&mount_table_lock);
    path_put(&root);
    struct list_node *node;
    while ((node = list_pop_front(&gone)) != NULL) {
        mount = list_entry(node, struct mount, node);
        percpu_ref_gather(&mount->refs);
        mount_put(mount); /* the table's reference */
    }
    return err;
}

/* pivot_root(2), "the following restrictions apply". */
static int pivot_check(const struct path *new_root, const struct path *put_old,
                       const struct path *root)
{
    if (new_root->mount == root->mount || put_old->mount == root->mount) {
        return -EBUSY;
    }
    if (new_root->dentry != new_root->mount->root || root->dentry != root->mount->root ||
        new_root->mount->parent == NULL || root->mount->parent == NULL) {
        return -EINVAL;
    }
    if (!mount_is_below(put_old->mount, new_root->mount) ||
        (put_old->mount == new_root->mount &&
         !dentry_is_below(put_old->dentry, new_root->dentry))) {
        return -EINVAL;
    }
    if (!mount_is_below(new_root->mount, root->mount)) {
        return -EINVAL;
    }
    return 0;
}

int vfs_pivot_root(const struct path *new_root, const struct path *put_old)
{
    struct path root, root_place = {0}, new_place = {0};
    struct dentry *parent;

    if (!inode_is_dir(new_root->dentry->inode) || !inode_is_dir(put_old->dentry->inode)) {
        return -ENOTDIR;
    }
    fs_context_get_paths(current_thread()->fs, &root, NULL);
    rwsem_lock_write(&mount_table_lock);
    int err = place_lock(put_old, &parent);
    if (err == 0) {
        err = pivot_check(new_root, put_old, &root);
        if (err == 0) {
            const struct path place = {root.mount->parent, root.mount->mountpoint};
            mount_move_to(new_root->mount, &place, &new_place); /* on top of the old one */
            mount_move_to(root.mount, put_old, &root_place);
        }
        place_unlock(parent);
    }
    rwsem_unlock_write(&mount_table_lock);
    if (err == 0) {
        fs_contexts_replace(&root, new_root);
    }
    path_put(&new_place);
    path_put(&root_place);
    path_put(&root);
    return err;
}
