/*
 * Extended attributes: the rules of xattr(7) in front of what a file system stores.
 */
#include <linux/capability.h>
#include <linux/limits.h>
#include <linux/xattr.h>

#include "kernel/base/string.h"
#include "kernel/vfs/private.h"

/* xattr(7), "Extended attribute namespaces". */
static int xattr_permission(const struct path *path, const char *name, int mask)
{
    struct inode *inode = path->dentry->inode;
    bool write = (mask & MAY_WRITE) != 0;

    if (write) {
        int err = mount_want_write(path);
        if (err < 0) {
            return err;
        }
    }
    if (str_has_prefix(name, XATTR_TRUSTED_PREFIX)) {
        if (cred_has_cap(vfs_cred(), CAP_SYS_ADMIN)) {
            return 0;
        }
        return write ? -EPERM : -ENODATA;
    }
    if (str_has_prefix(name, XATTR_SECURITY_PREFIX)) {
        if (!write) {
            return 0;
        }
        return cred_has_cap(vfs_cred(),
                            strcmp(name, XATTR_NAME_CAPS) == 0 ? CAP_SETFCAP : CAP_SYS_ADMIN)
                   ? 0
                   : -EPERM;
    }
    if (str_has_prefix(name, XATTR_USER_PREFIX)) {
        if (!inode_is_regular(inode) && !inode_is_dir(inode)) {
            return write ? -EPERM : -ENODATA;
        }
        if (write && inode_is_dir(inode) && (inode->mode & S_ISVTX) != 0 &&
            !inode_owner_or_capable(inode)) {
            return -EPERM;
        }
        return inode_permission(inode, mask);
    }
    return -EOPNOTSUPP;
}

static int xattr_check_name(const char *name)
{
    size_t len = strnlen(name, XATTR_NAME_MAX + 1);

    return len == 0 || len > XATTR_NAME_MAX ? -ERANGE : 0;
}

ssize_t vfs_getxattr(const struct path *path, const char *name, void *buf, size_t size)
{
    struct inode *inode = path->dentry->inode;

    int err = xattr_check_name(name);
    if (err == 0) {
        err = xattr_permission(path, name, MAY_READ);
    }
    if (err < 0) {
        return err;
    }
    return inode->ops->getxattr == NULL ? -EOPNOTSUPP
                                        : inode->ops->getxattr(inode, name, buf, size);
}

int vfs_setxattr(const struct path *path, const char *name, const void *value, size_t size,
                 int flags)
{
    struct inode *inode = path->dentry->inode;

    if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0) {
        return -EINVAL;
    }
    if (size > XATTR_SIZE_MAX) {
        return -E2BIG;
    }
    int err = xattr_check_name(name);
    if (err == 0) {
        err = xattr_permission(path, name, MAY_WRITE);
    }
    if (err < 0) {
        return err;
    }
    if (inode->ops->setxattr == NULL) {
        return -EOPNOTSUPP;
    }
    rwsem_lock_write(&inode->lock);
    err = inode->ops->setxattr(inode, name, value, size, flags);
    rwsem_unlock_write(&inode->lock);
    if (err == 0) {
        inode_touch(inode, ATTR_CTIME);
        notify_path(path, IN_ATTRIB);
    }
    return err;
}

ssize_t vfs_listxattr(const struct path *path, char *buf, size_t size)
{
    struct inode *inode = path->dentry->inode;

    return inode->ops->listxattr == NULL ? 0 : inode->ops->listxattr(inode, buf, size);
}

int vfs_removexattr(const struct path *path, const char *name)
{
    struct inode *inode = path->dentry->inode;

    int err = xattr_check_name(name);
    if (err == 0) {
        err = xattr_permission(path, name, MAY_WRITE);
    }
    if (err < 0) {
        return err;
    }
    if (inode->ops->removexattr == NULL) {
        return -EOPNOTSUPP;
    }
    rwsem_lock_write(&inode->lock);
    err = inode->ops->removexattr(inode, name);
    rwsem_unlock_write(&inode->lock);
    if (err == 0) {
        inode_touch(inode, ATTR_CTIME);
        notify_path(path, IN_ATTRIB);
    }
    return err;
}
