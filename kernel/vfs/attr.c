/*
 * Changing attributes: chmod(2), chown(2), utimensat(2), truncate(2) with the checks of POSIX.1-2017 and capabilities(7).
 */
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/time_types.h>

#include "kernel/vfs/private.h"

/* linux/stat.h of the ABI headers leaves these two to the C library. */
#define UTIME_NOW_NSEC  0x3fffffff
#define UTIME_OMIT_NSEC 0x3ffffffe

/* utimensat(2): setting both times to now needs ownership or write permission; anything else needs ownership. */
static int may_set_times(struct inode *inode, const struct inode_attr *attr)
{
    if (inode_owner_or_capable(inode)) {
        return 0;
    }
    if ((attr->valid & ATTR_TIMES_NOW) == 0) {
        return -EPERM;
    }
    return inode_permission(inode, MAY_WRITE);
}

static int may_chown(const struct inode *inode, const struct inode_attr *attr)
{
    const struct cred *cred = vfs_cred();
    bool owner = cred->fsuid == inode->uid;

    if (cred_has_cap(cred, CAP_CHOWN)) {
        return 0;
    }
    if ((attr->valid & ATTR_UID) != 0 && !(owner && attr->uid == inode->uid)) {
        return -EPERM;
    }
    if ((attr->valid & ATTR_GID) != 0 &&
        !(owner && (attr->gid == inode->gid || cred_in_group(cred, attr->gid)))) {
        return -EPERM;
    }
    return 0;
}

static int may_setattr(struct inode *inode, const struct inode_attr *attr)
{
    int err = 0;

    if ((attr->valid & (ATTR_UID | ATTR_GID)) != 0) {
        err = may_chown(inode, attr);
    }
    if (err == 0 && (attr->valid & ATTR_MODE) != 0 && !inode_owner_or_capable(inode)) {
        err = -EPERM;
    }
    if (err == 0 && (attr->valid & (ATTR_ATIME | ATTR_MTIME)) != 0) {
        err = may_set_times(inode, attr);
    }
    if (err == 0 && (attr->valid & ATTR_SIZE) != 0 && !attr->by_open) {
        err = inode_permission(inode, MAY_WRITE);
    }
    return err;
}

/* Set-ID bits that do not survive a change of owner or content. */
static uint32_t mode_without_setid(uint32_t mode)
{
    uint32_t drop = mode & S_ISUID;

    if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)) {
        drop |= S_ISGID;
    }
    return mode & ~drop;
}

void inode_drop_setid(struct inode *inode)
{
    if ((inode->mode & (S_ISUID | S_ISGID)) == 0 || cred_has_cap(vfs_cred(), CAP_FSETID)) {
        return;
    }
    spin_lock(&inode->attr_lock);
    inode->mode = mode_without_setid(inode->mode);
    inode->ctime = ktime_realtime_coarse();
    spin_unlock(&inode->attr_lock);
}

/* The mode after the change: chmod by outsiders of the group loses set-group-ID, chown loses set-ID bits of plain files. */
static uint32_t mode_after(const struct inode *inode, const struct inode_attr *attr)
{
    const struct cred *cred = vfs_cred();
    uint32_t mode = inode->mode;
    uint32_t gid = (attr->valid & ATTR_GID) != 0 ? attr->gid : inode->gid;

    if ((attr->valid & ATTR_MODE) != 0) {
        mode = (mode & S_IFMT) | (attr->mode & 07777);
        if ((mode & S_ISGID) != 0 && !cred_in_group(cred, gid) && !cred_has_cap(cred, CAP_FSETID)) {
            mode &= ~(uint32_t)S_ISGID;
        }
    } else if ((attr->valid & (ATTR_UID | ATTR_GID)) != 0 && !S_ISDIR(mode)) {
        mode = mode_without_setid(mode);
    }
    return mode;
}

static void attr_apply(struct inode *inode, const struct inode_attr *attr)
{
    ktime_t now = ktime_realtime_coarse();

    spin_lock(&inode->attr_lock);
    inode->mode = mode_after(inode, attr);
    if ((attr->valid & ATTR_UID) != 0) {
        inode->uid = attr->uid;
    }
    if ((attr->valid & ATTR_GID) != 0) {
        inode->gid = attr->gid;
    }
    if ((attr->valid & ATTR_ATIME) != 0) {
        inode->atime = attr->atime;
    }
    if ((attr->valid & ATTR_MTIME) != 0) {
        inode->mtime = attr->mtime;
    }
    if ((attr->valid & ATTR_SIZE) != 0) {
        inode->mtime = now;
    }
    inode->ctime = now;
    spin_unlock(&inode->attr_lock);
}

static int setattr_size(struct inode *inode, uint64_t size)
{
    if (inode_is_dir(inode)) {
        return -EISDIR;
    }
    if (!inode_is_regular(inode)) {
        return -EINVAL;
    }
    int err = seals_check_size(inode, size);
    return err < 0 ? err : pagecache_truncate(&inode->cache, size);
}

int inode_setattr_generic(struct inode *inode, const struct inode_attr *attr)
{
    if ((attr->valid & ATTR_SIZE) != 0) {
        int err = setattr_size(inode, attr->size_bytes);
        if (err < 0) {
            return err;
        }
        inode_drop_setid(inode);
    }
    attr_apply(inode, attr);
    return 0;
}

int inode_setattr(struct inode *inode, const struct inode_attr *attr)
{
    if ((atomic_load_relaxed(&inode->super->flags) & MS_RDONLY) != 0) {
        return -EROFS;
    }
    rwsem_lock_write(&inode->lock);
    int err = may_setattr(inode, attr);
    if (err == 0) {
        err = inode->ops->setattr != NULL ? inode->ops->setattr(inode, attr)
                                          : inode_setattr_generic(inode, attr);
    }
    rwsem_unlock_write(&inode->lock);
    return err;
}

int vfs_setattr(const struct path *path, const struct inode_attr *attr)
{
    int err = mount_want_write(path);

    if (err == 0) {
        err = inode_setattr(path->dentry->inode, attr);
    }
    if (err == 0 && attr->valid != 0) {
        notify_path(path, notify_event_of_attr(attr->valid));
    }
    return err;
}

int vfs_chmod(const struct path *path, uint32_t mode)
{
    struct inode_attr attr = {.valid = ATTR_MODE | ATTR_CTIME, .mode = mode & 07777};

    if (inode_is_symlink(path->dentry->inode)) {
        return -EOPNOTSUPP;
    }
    return vfs_setattr(path, &attr);
}

int vfs_chown(const struct path *path, uint32_t uid, uint32_t gid)
{
    struct inode_attr attr = {.valid = ATTR_CTIME, .uid = uid, .gid = gid};

    if (uid != (uint32_t)-1) {
        attr.valid |= ATTR_UID;
    }
    if (gid != (uint32_t)-1) {
        attr.valid |= ATTR_GID;
    }
    return vfs_setattr(path, &attr);
}

static bool time_valid(const struct __kernel_timespec *time)
{
    return time->tv_nsec == UTIME_NOW_NSEC || time->tv_nsec == UTIME_OMIT_NSEC ||
           (time->tv_nsec >= 0 && time->tv_nsec < NS_PER_S);
}

/* Nanoseconds since 1970, kept inside what ktime_t can say (the years 1677 to 2262). */
static ktime_t time_clamped(const struct __kernel_timespec *time)
{
    const int64_t limit = INT64_MAX / NS_PER_S - 1;

    return CLAMP(time->tv_sec, -limit, limit) * NS_PER_S + time->tv_nsec;
}

int vfs_utimes(const struct path *path, const struct __kernel_timespec *times)
{
    ktime_t now = ktime_realtime_coarse();
    struct inode_attr attr = {
        .valid = ATTR_ATIME | ATTR_MTIME | ATTR_CTIME | ATTR_TIMES_NOW, .atime = now, .mtime = now};

    if (times != NULL) {
        if (!time_valid(&times[0]) || !time_valid(&times[1])) {
            return -EINVAL;
        }
        if (times[0].tv_nsec == UTIME_OMIT_NSEC && times[1].tv_nsec == UTIME_OMIT_NSEC) {
            return 0;
        }
        if (times[0].tv_nsec != UTIME_NOW_NSEC || times[1].tv_nsec != UTIME_NOW_NSEC) {
            attr.valid &= ~ATTR_TIMES_NOW;
        }
        if (times[0].tv_nsec == UTIME_OMIT_NSEC) {
            attr.valid &= ~ATTR_ATIME;
        } else if (times[0].tv_nsec != UTIME_NOW_NSEC) {
            attr.atime = time_clamped(&times[0]);
        }
        if (times[1].tv_nsec == UTIME_OMIT_NSEC) {
            attr.valid &= ~ATTR_MTIME;
        } else if (times[1].tv_nsec != UTIME_NOW_NSEC) {
            attr.mtime = time_clamped(&times[1]);
        }
    }
    return vfs_setattr(path, &attr);
}
