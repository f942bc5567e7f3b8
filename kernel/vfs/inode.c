/*
 * Inodes: birth and death, permission, what stat(2) reports, times.
 */
#include "kernel/vfs/inode.h"

#include <linux/capability.h>
#include <linux/mount.h>

#include "kernel/core/panic.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/private.h"

#define ATIME_RELATIVE_NS (24 * 3600 * NS_PER_S) /* mount(8) relatime: at least once a day */

const struct file_ops *fifo_fops_hook;

void inode_construct(struct inode *inode)
{
    rwsem_init(&inode->lock, "inode");
    spin_init(&inode->attr_lock, "inode attributes");
}

/* Two of a kind are locked from the ancestor down, or by address; a directory before what is in it. */
static struct lock_class dir_lock_class __maybe_unused = {
    .name = "directory", .sleeps = true, .nests = true};
static struct lock_class file_lock_class __maybe_unused = {
    .name = "inode", .sleeps = true, .nests = true};

void inode_init(struct inode *inode, struct super *super, const struct inode *dir, uint32_t mode)
{
    const struct cred *cred = vfs_cred();
    ktime_t now = ktime_realtime_coarse();

    lockdep_set_class(&inode->lock, S_ISDIR(mode) ? &dir_lock_class : &file_lock_class);
    refcount_init(&inode->refs, 1);
    inode->ops = NULL;
    inode->fops = NULL;
    inode->super = super;
    inode->ino = 0;
    inode->uid = cred->fsuid;
    inode->gid = cred->fsgid;
    if (dir != NULL && (dir->mode & S_ISGID) != 0) {
        /* inode(7): a set-group-ID directory hands its group, and to directories the bit itself, to what is made in it */
        inode->gid = dir->gid;
        if (S_ISDIR(mode)) {
            mode |= S_ISGID;
        } else if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
                   !cred_in_group(cred, inode->gid) && !cred_has_cap(cred, CAP_FSETID)) {
            mode &= ~(uint32_t)S_ISGID;
        }
    }
    inode->mode = mode;
    inode->nlink = 1;
    inode->rdev = 0;
    inode->atime = inode->mtime = inode->ctime = inode->btime = now;
    inode->cache.size_bytes = 0;
    inode->cache.ops = NULL;
    inode->locks = NULL;
    inode->marks = NULL;
    inode->private = NULL;
    inode->link_target = NULL;
    inode->linkable = false;
    inode->write_count = 0;
}

/* Sockets are not opened. */
static int special_open(struct inode *inode, struct file *file)
{
    (void)inode, (void)file;
    return -ENXIO;
}

static const struct file_ops special_fops = {.open = special_open};
static const struct file_ops chrdev_fops = {.open = chrdev_open};
static const struct file_ops blkdev_fops = {.open = blkdev_open};

void inode_init_special(struct inode *inode, uint64_t rdev)
{
    inode->rdev = rdev;
    if (S_ISCHR(inode->mode)) {
        inode->fops = &chrdev_fops;
    } else if (S_ISBLK(inode->mode)) {
        inode->fops = &blkdev_fops;
    } else if (S_ISFIFO(inode->mode) && fifo_fops_hook != NULL) {
        inode->fops = fifo_fops_hook;
    } else {
        inode->fops = &special_fops;
    }
}

void inode_put(struct inode *inode)
{
    if (inode != NULL && refcount_put(&inode->refs)) {
        if (unlikely(inode->locks != NULL)) {
            inode_locks_free(inode);
        }
        if (unlikely(inode->marks != NULL)) {
            notify_marks_free(inode->marks);
        }
        inode->super->ops->destroy_inode(inode);
    }
}

/* The mode bits that apply to the caller, without capabilities: 0 when all of `mask` is there. */
static int permission_by_mode(const struct inode *inode, const struct cred *cred, unsigned mask)
{
    uint32_t mode = inode->mode;

    if (cred->fsuid == inode->uid) {
        mode >>= 6;
    } else if (cred_in_group(cred, inode->gid)) {
        mode >>= 3;
    }
    return (mask & ~mode & 7u) == 0 ? 0 : -EACCES;
}

/* capabilities(7): CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH. */
static int permission_by_capability(const struct inode *inode, const struct cred *cred,
                                    unsigned mask)
{
    if (inode_is_dir(inode)) {
        if ((mask & MAY_WRITE) == 0 && cred_has_cap(cred, CAP_DAC_READ_SEARCH)) {
            return 0;
        }
        return cred_has_cap(cred, CAP_DAC_OVERRIDE) ? 0 : -EACCES;
    }
    if (mask == MAY_READ && cred_has_cap(cred, CAP_DAC_READ_SEARCH)) {
        return 0;
    }
    if ((mask & MAY_EXEC) == 0 || (inode->mode & 0111) != 0) {
        return cred_has_cap(cred, CAP_DAC_OVERRIDE) ? 0 : -EACCES;
    }
    return -EACCES;
}

int inode_permission_generic(struct inode *inode, int mask)
{
    const struct cred *cred = vfs_cred();
    unsigned want = (unsigned)mask & (MAY_READ | MAY_WRITE | MAY_EXEC);

    if (permission_by_mode(inode, cred, want) == 0) {
        return 0;
    }
    return permission_by_capability(inode, cred, want);
}

int inode_permission(struct inode *inode, int mask)
{
    if ((mask & MAY_WRITE) != 0 && (atomic_load_relaxed(&inode->super->flags) & MS_RDONLY) != 0 &&
        (inode_is_dir(inode) || inode_is_regular(inode) || inode_is_symlink(inode))) {
        return -EROFS;
    }
    if (unlikely(inode->ops->permission != NULL)) {
        return inode->ops->permission(inode, mask);
    }
    return inode_permission_generic(inode, mask);
}

bool inode_owner_or_capable(const struct inode *inode)
{
    const struct cred *cred = vfs_cred();

    return cred->fsuid == inode->uid || cred_has_cap(cred, CAP_FOWNER);
}

int inode_getattr(struct inode *inode, struct inode_stat *ret_stat)
{
    uint64_t size = atomic_load_relaxed(&inode->cache.size_bytes);

    ret_stat->dev = inode->super->dev;
    ret_stat->ino = inode->ino;
    ret_stat->rdev = inode->rdev;
    ret_stat->size_bytes = size;
    ret_stat->block_size = PAGE_SIZE;
    spin_lock(&inode->attr_lock);
    ret_stat->mode = inode->mode;
    ret_stat->nlink = inode->nlink;
    ret_stat->uid = inode->uid;
    ret_stat->gid = inode->gid;
    ret_stat->atime = inode->atime;
    ret_stat->mtime = inode->mtime;
    ret_stat->ctime = inode->ctime;
    ret_stat->btime = inode->btime;
    spin_unlock(&inode->attr_lock);
    ret_stat->blocks = 0;
    if (S_ISREG(ret_stat->mode)) {
        ret_stat->blocks = inode->cache.pages.nentries * (PAGE_SIZE / 512);
    }
    if (inode->ops->getattr != NULL) {
        return inode->ops->getattr(inode, ret_stat);
    }
    return 0;
}

static void inode_touch_atime(struct inode *inode, ktime_t now)
{
    if ((inode->super->flags & (MS_NOATIME | MS_RDONLY)) != 0) {
        return;
    }
    if (inode->atime > inode->mtime && inode->atime > inode->ctime &&
        now - inode->atime < ATIME_RELATIVE_NS) {
        return;
    }
    spin_lock(&inode->attr_lock);
    inode->atime = now;
    spin_unlock(&inode->attr_lock);
}

void inode_touch(struct inode *inode, unsigned which)
{
    ktime_t now = ktime_realtime_coarse();

    if ((which & ATTR_ATIME) != 0) {
        inode_touch_atime(inode, now);
    }
    if ((which & (ATTR_MTIME | ATTR_CTIME)) == 0) {
        return;
    }
    if (((which & ATTR_MTIME) == 0 || inode->mtime == now) && inode->ctime == now) {
        return; /* the coarse clock stands still between ticks */
    }
    spin_lock(&inode->attr_lock);
    if ((which & ATTR_MTIME) != 0) {
        inode->mtime = now;
    }
    inode->ctime = now;
    spin_unlock(&inode->attr_lock);
}

/* Add `step` to write_count unless that would meet holders of the other kind. */
static int write_count_change(struct inode *inode, int32_t step)
{
    int32_t old = atomic_load_relaxed(&inode->write_count);

    do {
        if (step > 0 ? old < 0 : old > 0) {
            return -ETXTBSY;
        }
    } while (!atomic_cas(&inode->write_count, &old, old + step));
    return 0;
}

int inode_get_write(struct inode *inode)
{
    return write_count_change(inode, 1);
}

void inode_put_write(struct inode *inode)
{
    (void)atomic_fetch_sub(&inode->write_count, 1);
}

int inode_deny_write(struct inode *inode)
{
    return write_count_change(inode, -1);
}

void inode_allow_write(struct inode *inode)
{
    (void)atomic_fetch_add(&inode->write_count, 1);
}
