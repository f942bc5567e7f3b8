/*
 * renameat2(2).
 *
 * Order of locks (inode.h): the superblock's rename lock when the directories differ, so that nobody moves one below the other
 * meanwhile; then the directory that is an ancestor of the other, else the lower address first; then the inodes that are moved or
 * replaced.
 */
#include <linux/capability.h>
#include <linux/fs.h>

#include "kernel/vfs/private.h"
#include "kernel/vfs/walk.h"

struct rename {
    struct walk from, to;
    struct dentry *source, *target; /* referenced; target may be negative */
    unsigned flags;
};

/* Lock both directories. */
static void rename_lock_dirs(struct dentry *a, struct dentry *b)
{
    if (a == b) {
        rwsem_lock_write(&a->inode->lock);
        return;
    }
    mutex_lock(&a->super->rename_lock);
    bool a_first = dentry_is_below(b, a) || (!dentry_is_below(a, b) && a->inode < b->inode);
    rwsem_lock_write(a_first ? &a->inode->lock : &b->inode->lock);
    rwsem_lock_write(a_first ? &b->inode->lock : &a->inode->lock);
}

static void rename_unlock_dirs(struct dentry *a, struct dentry *b)
{
    rwsem_unlock_write(&a->inode->lock);
    if (a != b) {
        rwsem_unlock_write(&b->inode->lock);
        mutex_unlock(&a->super->rename_lock);
    }
}

/* POSIX: neither a directory into itself, nor anything over one of its own ancestors. */
static int rename_check_ancestors(const struct rename *r)
{
    if (dentry_is_below(r->to.at.dentry, r->source)) {
        return -EINVAL;
    }
    if (dentry_is_below(r->from.at.dentry, r->target)) {
        return (r->flags & RENAME_EXCHANGE) != 0 ? -EINVAL : -ENOTEMPTY;
    }
    return 0;
}

/* What the names are: existence, kinds, trailing slashes. */
static int rename_check_kinds(const struct rename *r)
{
    const struct inode *source = r->source->inode;
    const struct inode *target = r->target->inode;

    if (source == NULL) {
        return -ENOENT;
    }
    if ((r->flags & RENAME_NOREPLACE) != 0 && target != NULL) {
        return -EEXIST;
    }
    if ((r->flags & RENAME_EXCHANGE) != 0) {
        if (target == NULL) {
            return -ENOENT;
        }
        if (!inode_is_dir(target) && r->to.want_dir) {
            return -ENOTDIR;
        }
    }
    if (!inode_is_dir(source)) {
        if (r->from.want_dir || ((r->flags & RENAME_EXCHANGE) == 0 && r->to.want_dir)) {
            return -ENOTDIR;
        }
    }
    return 0;
}

static int rename_check_rights(const struct rename *r)
{
    struct inode *old_dir = r->from.at.dentry->inode;
    struct inode *new_dir = r->to.at.dentry->inode;
    bool is_dir = inode_is_dir(r->source->inode);

    int err = mount_want_write(&r->from.at);
    if (err == 0) {
        err = dir_may_delete(old_dir, r->source, is_dir);
    }
    if (err == 0) {
        if (r->target->inode == NULL) {
            err = dir_may_create(new_dir);
        } else if ((r->flags & RENAME_EXCHANGE) != 0) {
            err = dir_may_delete(new_dir, r->target, inode_is_dir(r->target->inode));
        } else {
            err = dir_may_delete(new_dir, r->target, is_dir);
        }
    }
    /* A directory that changes its parent has its ".." written. */
    if (err == 0 && is_dir && old_dir != new_dir) {
        err = inode_permission(r->source->inode, MAY_WRITE);
    }
    return err;
}

/* The rename has been done; `inode` moved, `target` was in its way, or moved the other way. Parents locked. */
static void rename_notify(const struct rename *r, struct inode *inode, struct inode *target)
{
    struct notify_rename moved = {.from_dir = r->from.at.dentry->inode,
                                  .to_dir = r->to.at.dentry->inode,
                                  .inode = inode,
                                  .from_name = r->from.last.text,
                                  .to_name = r->to.last.text,
                                  .from_len = r->from.last.len,
                                  .to_len = r->to.last.len};
    notify_rename_slow(&moved);
    if ((r->flags & RENAME_EXCHANGE) != 0) {
        moved = (struct notify_rename){.from_dir = moved.to_dir,
                                       .to_dir = moved.from_dir,
                                       .inode = target,
                                       .from_name = moved.to_name,
                                       .to_name = moved.from_name,
                                       .from_len = moved.to_len,
                                       .to_len = moved.from_len};
        notify_rename_slow(&moved);
    } else if (target != NULL) {
        notify_inode(target, IN_ATTRIB);
    }
}

static int rename_apply(struct rename *r)
{
    struct inode *old_dir = r->from.at.dentry->inode;
    struct inode *new_dir = r->to.at.dentry->inode;
    struct inode *inode = r->source->inode;
    struct inode *target = r->target->inode;
    bool exchange = (r->flags & RENAME_EXCHANGE) != 0;

    if (inode == target) {
        return 0; /* two names of one file: nothing to do, says POSIX */
    }
    if (old_dir->ops->rename == NULL) {
        return -EPERM;
    }
    if (target != NULL) {
        rwsem_lock_write(&target->lock);
    }
    int err = old_dir->ops->rename(old_dir, r->from.last.text, r->from.last.len, inode, new_dir,
                                   r->to.last.text, r->to.last.len, target,
                                   r->flags & ~(unsigned)RENAME_NOREPLACE);
    if (target != NULL) {
        rwsem_unlock_write(&target->lock);
    }
    if (err < 0) {
        return err;
    }
    if (exchange) {
        dentry_exchange(r->source, r->target);
    } else {
        dentry_move(r->source, r->target);
    }
    if (notify_is_wanted(NOTIFY_RENAME | IN_ATTRIB)) {
        rename_notify(r, inode, target);
    }
    return 0;
}

static int rename_locked(struct rename *r)
{
    int err = dentry_lookup_name(r->from.at.dentry, &r->from.last, true, &r->source);
    if (err < 0) {
        return err;
    }
    err = dentry_lookup_name(r->to.at.dentry, &r->to.last, true, &r->target);
    if (err == 0) {
        err = rename_check_kinds(r);
        if (err == 0) {
            err = rename_check_ancestors(r);
        }
        if (err == 0 && r->source->inode != r->target->inode) {
            err = rename_check_rights(r);
        }
        if (err == 0) {
            err = rename_apply(r);
        }
    }
    return err;
}

static int rename_walked(struct rename *r)
{
    struct dentry *from = r->from.at.dentry;
    struct dentry *to = r->to.at.dentry;

    if (r->from.at.mount != r->to.at.mount) {
        return -EXDEV;
    }
    if (r->from.last_type != LAST_NORM) {
        return -EBUSY;
    }
    if (r->to.last_type != LAST_NORM) {
        return (r->flags & RENAME_NOREPLACE) != 0 ? -EEXIST : -EBUSY;
    }
    rename_lock_dirs(from, to);
    int err = rename_locked(r);
    rename_unlock_dirs(from, to);
    if (err == 0 && r->target->inode != NULL && (r->flags & RENAME_EXCHANGE) == 0 &&
        inode_is_dir(r->target->inode)) {
        dentry_prune(r->target); /* a replaced directory: names remembered as missing below it */
    }
    dentry_put(r->source);
    dentry_put(r->target);
    return err;
}

int vfs_rename(int old_dirfd, const char *old_name, int new_dirfd, const char *new_name,
               unsigned flags)
{
    struct rename r;

    r.flags = flags;
    r.source = r.target = NULL;

    if ((flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) != 0 ||
        ((flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) != 0 && (flags & RENAME_EXCHANGE) != 0)) {
        return -EINVAL;
    }
    if ((flags & RENAME_WHITEOUT) != 0 && !cred_has_cap(vfs_cred(), CAP_MKNOD)) {
        return -EPERM;
    }
    int err = walk_begin(&r.from, old_dirfd, NULL, old_name, 0);
    if (err == 0) {
        err = walk_to_parent(&r.from);
    }
    if (err == 0) {
        err = walk_begin(&r.to, new_dirfd, NULL, new_name, 0);
        if (err == 0) {
            err = walk_to_parent(&r.to);
        }
        if (err == 0) {
            err = rename_walked(&r);
        }
        walk_end(&r.to);
    }
    walk_end(&r.from);
    return err;
}
