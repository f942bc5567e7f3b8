/*
 * Making and removing names: mkdir, mknod, symlink, link, unlink, rmdir (POSIX.1-2017 and the manual pages of section 2).
 *
 * Each walks to the parent, locks the directory for writing, looks the last component up, and lets the file system do it. The order of
 * the checks decides which errno wins where several apply: what the name is comes before the read-only mount, and that before
 * permission, as user programs have learned to expect.
 */
#include <linux/capability.h>

#include "kernel/vfs/private.h"
#include "kernel/vfs/walk.h"

int dir_may_create(struct inode *dir)
{
    if (unlikely(dir->nlink == 0)) {
        return -ENOENT; /* removed, and somebody still stands in it */
    }
    return inode_permission(dir, MAY_WRITE | MAY_EXEC);
}

/* inode(7), S_ISVTX: only the owner of the file or of the directory, or a process with CAP_FOWNER. */
static bool sticky_denies(const struct inode *dir, const struct inode *victim)
{
    const struct cred *cred = vfs_cred();

    return (dir->mode & S_ISVTX) != 0 && cred->fsuid != victim->uid && cred->fsuid != dir->uid &&
           !cred_has_cap(cred, CAP_FOWNER);
}

int dir_may_delete(struct inode *dir, const struct dentry *victim, bool is_dir)
{
    int err = inode_permission(dir, MAY_WRITE | MAY_EXEC);

    if (err < 0) {
        return err;
    }
    if (unlikely(sticky_denies(dir, victim->inode))) {
        return -EPERM;
    }
    if (inode_is_dir(victim->inode) != is_dir) {
        return is_dir ? -ENOTDIR : -EISDIR;
    }
    if (unlikely((dentry_flags(victim) & DENTRY_MOUNTPOINT) != 0)) {
        return -EBUSY;
    }
    return 0;
}

/* Walk to the parent of a name that is about to be made. */
static int names_begin(struct walk *w, int dirfd, const struct path *base, const char *name)
{
    int err = walk_begin(w, dirfd, base, name, 0);

    return err < 0 ? err : walk_to_parent(w);
}

/* Lock the directory and make sure that the last component is free. On success the caller unlocks and puts *ret_dentry. */
static int names_lock_new(struct walk *w, bool is_dir, struct dentry **ret_dentry)
{
    struct inode *dir = w->at.dentry->inode;
    struct dentry *dentry;

    if (w->last_type != LAST_NORM) {
        return -EEXIST;
    }
    rwsem_lock_write(&dir->lock);
    int err = dentry_lookup_name(w->at.dentry, &w->last, true, &dentry);
    if (err < 0) {
        goto unlock;
    }
    if (dentry->inode != NULL) {
        err = -EEXIST;
    } else if (w->want_dir && !is_dir) {
        err = -ENOENT;
    } else {
        err = mount_want_write(&w->at);
        if (err == 0) {
            err = dir_may_create(dir);
        }
    }
    if (err == 0) {
        *ret_dentry = dentry;
        return 0;
    }
    dentry_put(dentry);

unlock:
    rwsem_unlock_write(&dir->lock);
    return err;
}

/* The file system's answer: the new inode goes into the dentry. Unlocks. */
static int names_finish_new(struct walk *w, struct dentry *dentry, struct inode *inode, int err)
{
    if (err == 0) {
        dentry_instantiate(dentry, inode);
        notify_name(w->at.dentry->inode, w->last.text, w->last.len, inode, IN_CREATE);
    }
    rwsem_unlock_write(&w->at.dentry->inode->lock);
    dentry_put(dentry);
    return err;
}

static int mkdir_from(int dirfd, const struct path *base, const char *name, uint32_t mode)
{
    struct walk w;
    struct dentry *dentry;
    struct inode *inode = NULL;

    int err = names_begin(&w, dirfd, base, name);
    if (err == 0) {
        err = names_lock_new(&w, true, &dentry);
    }
    if (err == 0) {
        struct inode *dir = w.at.dentry->inode;
        err = dir->ops->mkdir == NULL
                  ? -EPERM
                  : dir->ops->mkdir(dir, w.last.text, w.last.len,
                                    S_IFDIR | mode_masked(mode & 01777), &inode);
        err = names_finish_new(&w, dentry, inode, err);
    }
    walk_end(&w);
    return err;
}

int vfs_mkdir(int dirfd, const char *name, uint32_t mode)
{
    return mkdir_from(dirfd, NULL, name, mode);
}

int vfs_mkdir_at(const struct path *base, const char *name, uint32_t mode)
{
    return mkdir_from(AT_FDCWD, base, name, mode);
}

/* mknod(2): type 0 means a regular file; devices need CAP_MKNOD. */
static int mknod_check(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        return 0;
    case S_IFCHR:
    case S_IFBLK:
        return cred_has_cap(vfs_cred(), CAP_MKNOD) ? 0 : -EPERM;
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
}

/* ret_path, unless NULL: the new node, referenced. */
static int mknod_from(int dirfd, const struct path *base, const char *name, uint32_t mode,
                      uint64_t rdev, struct path *ret_path)
{
    struct walk w;
    struct dentry *dentry;
    struct inode *inode = NULL;

    if ((mode & S_IFMT) == 0) {
        mode |= S_IFREG;
    }
    int err = mknod_check(mode);
    if (err < 0) {
        return err;
    }
    err = names_begin(&w, dirfd, base, name);
    if (err == 0) {
        err = names_lock_new(&w, false, &dentry);
    }
    if (err == 0) {
        struct inode *dir = w.at.dentry->inode;
        err = dir->ops->create == NULL
                  ? -EPERM
                  : dir->ops->create(dir, w.last.text, w.last.len,
                                     mode_masked(mode & (S_IFMT | 07777)), rdev, &inode);
        if (err == 0 && ret_path != NULL) {
            *ret_path = (struct path){w.at.mount, dentry};
            path_get(ret_path);
        }
        err = names_finish_new(&w, dentry, inode, err);
    }
    walk_end(&w);
    return err;
}

int vfs_mknod(int dirfd, const char *name, uint32_t mode, uint64_t rdev)
{
    return mknod_from(dirfd, NULL, name, mode, rdev, NULL);
}

int vfs_mknod_at(const struct path *base, const char *name, uint32_t mode, uint64_t rdev)
{
    return mknod_from(AT_FDCWD, base, name, mode, rdev, NULL);
}

int vfs_mksock(const char *name, uint32_t mode, struct path *ret_path)
{
    return mknod_from(AT_FDCWD, NULL, name, S_IFSOCK | (mode & 0777), 0, ret_path);
}

static int symlink_from(const char *target, int dirfd, const struct path *base, const char *name)
{
    struct walk w;
    struct dentry *dentry;
    struct inode *inode = NULL;

    if (*target == '\0') {
        return -ENOENT;
    }
    int err = names_begin(&w, dirfd, base, name);
    if (err == 0) {
        err = names_lock_new(&w, false, &dentry);
    }
    if (err == 0) {
        struct inode *dir = w.at.dentry->inode;
        err = dir->ops->symlink == NULL
                  ? -EPERM
                  : dir->ops->symlink(dir, w.last.text, w.last.len, target, &inode);
        err = names_finish_new(&w, dentry, inode, err);
    }
    walk_end(&w);
    return err;
}

int vfs_symlink(const char *target, int dirfd, const char *name)
{
    return symlink_from(target, dirfd, NULL, name);
}

int vfs_symlink_at(const struct path *base, const char *target, const char *name)
{
    return symlink_from(target, AT_FDCWD, base, name);
}

static int link_locked(struct walk *w, struct dentry *dentry, struct inode *target)
{
    struct inode *dir = w->at.dentry->inode;

    if (dir->ops->link == NULL || inode_is_dir(target)) {
        return -EPERM;
    }
    rwsem_lock_write(&target->lock);
    int err = target->nlink == 0 && !target->linkable
                  ? -ENOENT
                  : dir->ops->link(dir, w->last.text, w->last.len, target);
    if (err == 0) {
        target->linkable = false;
    }
    rwsem_unlock_write(&target->lock);
    if (err == 0) {
        dentry_instantiate(dentry, inode_get(target));
        notify_inode(target, IN_ATTRIB);
        notify_name(dir, w->last.text, w->last.len, target, IN_CREATE);
    }
    return err;
}

int vfs_link(int old_dirfd, const char *old_name, int new_dirfd, const char *new_name,
             unsigned flags)
{
    struct walk w;
    struct path old;
    struct dentry *dentry;
    unsigned lookup = (flags & AT_SYMLINK_FOLLOW) != 0 ? LOOKUP_FOLLOW : 0;

    if ((flags & ~(unsigned)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    if ((flags & AT_EMPTY_PATH) != 0) {
        if (!cred_has_cap(vfs_cred(), CAP_DAC_READ_SEARCH)) {
            return -ENOENT;
        }
        lookup |= LOOKUP_EMPTY;
    }
    int err = path_lookup(old_dirfd, old_name, lookup, &old);
    if (err < 0) {
        return err;
    }
    err = names_begin(&w, new_dirfd, NULL, new_name);
    if (err == 0) {
        err = names_lock_new(&w, false, &dentry);
    }
    if (err == 0) {
        err = w.at.mount != old.mount ? -EXDEV : link_locked(&w, dentry, old.dentry->inode);
        rwsem_unlock_write(&w.at.dentry->inode->lock);
        dentry_put(dentry);
    }
    walk_end(&w);
    path_put(&old);
    return err;
}

/* The victim of unlink or rmdir, with its directory locked. */
static int names_lock_victim(struct walk *w, bool is_dir, struct dentry **ret_dentry)
{
    struct inode *dir = w->at.dentry->inode;
    struct dentry *dentry;

    rwsem_lock_write(&dir->lock);
    int err = dentry_lookup_name(w->at.dentry, &w->last, true, &dentry);
    if (err < 0) {
        goto unlock;
    }
    if (dentry->inode == NULL) {
        err = -ENOENT;
    } else if (!is_dir && w->want_dir) {
        err = inode_is_dir(dentry->inode) ? -EISDIR : -ENOTDIR;
    } else {
        err = mount_want_write(&w->at);
        if (err == 0) {
            err = dir_may_delete(dir, dentry, is_dir);
        }
    }
    if (err == 0) {
        *ret_dentry = dentry;
        return 0;
    }
    dentry_put(dentry);

unlock:
    rwsem_unlock_write(&dir->lock);
    return err;
}

/* The file system has removed the name of the victim, whose directory is locked. */
static void names_forget(struct walk *w, struct dentry *dentry)
{
    struct inode *inode = inode_get(dentry->inode);

    dentry_delete(dentry);
    notify_name(w->at.dentry->inode, w->last.text, w->last.len, inode, IN_DELETE);
    inode_put(inode);
}

static int unlink_from(int dirfd, const struct path *base, const char *name)
{
    struct walk w;
    struct dentry *dentry;

    int err = names_begin(&w, dirfd, base, name);
    if (err == 0 && w.last_type != LAST_NORM) {
        err = -EISDIR;
    }
    if (err == 0) {
        err = names_lock_victim(&w, false, &dentry);
    }
    if (err == 0) {
        struct inode *dir = w.at.dentry->inode;
        struct inode *inode = dentry->inode;
        rwsem_lock_write(&inode->lock);
        err = dir->ops->unlink == NULL ? -EPERM
                                       : dir->ops->unlink(dir, w.last.text, w.last.len, inode);
        rwsem_unlock_write(&inode->lock);
        if (err == 0) {
            notify_inode(inode, IN_ATTRIB);
            names_forget(&w, dentry);
        }
        rwsem_unlock_write(&dir->lock);
        dentry_put(dentry);
    }
    walk_end(&w);
    return err;
}

int vfs_unlink(int dirfd, const char *name)
{
    return unlink_from(dirfd, NULL, name);
}

int vfs_unlink_at(const struct path *base, const char *name)
{
    return unlink_from(AT_FDCWD, base, name);
}

static int rmdir_check_last(const struct walk *w)
{
    switch (w->last_type) {
    case LAST_DOTDOT:
        return -ENOTEMPTY;
    case LAST_DOT:
        return -EINVAL;
    case LAST_ROOT:
        return -EBUSY;
    default:
        return 0;
    }
}

int vfs_rmdir(int dirfd, const char *name)
{
    struct walk w;
    struct dentry *dentry;

    int err = names_begin(&w, dirfd, NULL, name);
    if (err == 0) {
        err = rmdir_check_last(&w);
    }
    if (err == 0) {
        err = names_lock_victim(&w, true, &dentry);
    }
    if (err == 0) {
        struct inode *dir = w.at.dentry->inode;
        struct inode *inode = dentry->inode;
        rwsem_lock_write(&inode->lock);
        err =
            dir->ops->rmdir == NULL ? -EPERM : dir->ops->rmdir(dir, w.last.text, w.last.len, inode);
        rwsem_unlock_write(&inode->lock);
        if (err == 0) {
            names_forget(&w, dentry);
        }
        rwsem_unlock_write(&dir->lock);
        if (err == 0) {
            dentry_prune(
                dentry); /* names remembered as missing below it; takes rename_lock, which comes before */
        }
        dentry_put(dentry);
    }
    walk_end(&w);
    return err;
}
