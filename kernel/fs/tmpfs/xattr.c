/*
 * tmpfs extended attributes: a short list per inode; each is charged the pages it fills, so that the size limit covers them.
 * Locking: setting and removing hold inode->lock for writing (vfs/xattr.c); reading takes it here.
 */
#include <linux/capability.h>
#include <linux/xattr.h>

#include "kernel/base/string.h"
#include "kernel/fs/tmpfs/tmpfs.h"
#include "kernel/mm/arena.h"

static struct tmpfs_xattr *xattr_find(struct tmpfs_inode *tmpfs_inode, const char *name)
{
    struct tmpfs_xattr *xattr;

    list_for_each (xattr, &tmpfs_inode->xattrs, node) {
        if (strcmp(xattr->name, name) == 0) {
            return xattr;
        }
    }
    return NULL;
}

static void xattr_free(struct inode *inode, struct tmpfs_xattr *xattr)
{
    list_remove(&xattr->node);
    tmpfs_uncharge_pages(tmpfs_super_of(inode->super), xattr->pages);
    kvfree(xattr);
}

void tmpfs_xattr_free_all(struct tmpfs_inode *tmpfs_inode)
{
    while (!list_empty(&tmpfs_inode->xattrs)) {
        xattr_free(&tmpfs_inode->inode,
                   list_first_entry(&tmpfs_inode->xattrs, struct tmpfs_xattr, node));
    }
}

ssize_t tmpfs_getxattr(struct inode *inode, const char *name, void *buf, size_t size)
{
    ssize_t result = -ENODATA;

    rwsem_lock_read(&inode->lock);
    const struct tmpfs_xattr *xattr = xattr_find(tmpfs_inode_of(inode), name);
    if (xattr != NULL) {
        result = (ssize_t)xattr->size;
        if (size != 0 && size < xattr->size) {
            result = -ERANGE;
        } else if (size != 0) {
            memcpy(buf, xattr->value, xattr->size);
        }
    }
    rwsem_unlock_read(&inode->lock);
    return result;
}

int tmpfs_setxattr(struct inode *inode, const char *name, const void *value, size_t size, int flags)
{
    struct tmpfs_inode *tmpfs_inode = tmpfs_inode_of(inode);
    struct tmpfs_super *tmpfs = tmpfs_super_of(inode->super);
    struct tmpfs_xattr *old = xattr_find(tmpfs_inode, name);
    size_t name_bytes = strlen(name) + 1;
    size_t bytes = sizeof(*old) + size + name_bytes;
    uint64_t pages = DIV_ROUND_UP(bytes, PAGE_SIZE);

    if (old != NULL && (flags & XATTR_CREATE) != 0) {
        return -EEXIST;
    }
    if (old == NULL && (flags & XATTR_REPLACE) != 0) {
        return -ENODATA;
    }
    int err = tmpfs_charge_pages(tmpfs, pages);
    if (err < 0) {
        return err;
    }
    struct tmpfs_xattr *xattr = kvmalloc(bytes);
    if (xattr == NULL) {
        tmpfs_uncharge_pages(tmpfs, pages);
        return -ENOMEM;
    }
    xattr->size = size;
    xattr->pages = pages;
    xattr->name = (char *)xattr->value + size;
    memcpy(xattr->value, value, size);
    memcpy(xattr->name, name, name_bytes);
    if (old != NULL) {
        xattr_free(inode, old);
    }
    list_push_back(&tmpfs_inode->xattrs, &xattr->node);
    return 0;
}

ssize_t tmpfs_listxattr(struct inode *inode, char *buf, size_t size)
{
    struct tmpfs_xattr *xattr;
    size_t used = 0;

    rwsem_lock_read(&inode->lock);
    list_for_each (xattr, &tmpfs_inode_of(inode)->xattrs, node) {
        size_t len = strlen(xattr->name) + 1;
        if (str_has_prefix(xattr->name, XATTR_TRUSTED_PREFIX) && !current_has_cap(CAP_SYS_ADMIN)) {
            continue;
        }
        if (size != 0 && used + len <= size) {
            memcpy(buf + used, xattr->name, len);
        }
        used += len;
    }
    rwsem_unlock_read(&inode->lock);
    return size != 0 && used > size ? -ERANGE : (ssize_t)used;
}

int tmpfs_removexattr(struct inode *inode, const char *name)
{
    struct tmpfs_xattr *xattr = xattr_find(tmpfs_inode_of(inode), name);

    if (xattr == NULL) {
        return -ENODATA;
    }
    xattr_free(inode, xattr);
    return 0;
}
