/*
 * Asking about files, and standing somewhere: stat, access, readlink, statfs, chdir, chroot.
 */
#include <linux/capability.h>
#include <linux/mount.h>

#include "kernel/base/string.h"
#include "kernel/vfs/private.h"

/* statfs(2) f_flags: ST_* belong to the C library. */
#define ST_RDONLY      0x0001
#define ST_NOSUID      0x0002
#define ST_NODEV       0x0004
#define ST_NOEXEC      0x0008
#define ST_SYNCHRONOUS 0x0010
#define ST_VALID       0x0020
#define ST_MANDLOCK    0x0040
#define ST_NOATIME     0x0400
#define ST_NODIRATIME  0x0800
#define ST_RELATIME    0x1000
#define ST_NOSYMFOLLOW 0x2000

int vfs_stat_path(const struct path *path, struct inode_stat *ret_stat)
{
    return inode_getattr(path->dentry->inode, ret_stat);
}

ssize_t vfs_readlink(const struct path *path, char *buf, size_t size)
{
    struct inode *inode = path->dentry->inode;

    if (!inode_is_symlink(inode)) {
        return -EINVAL;
    }
    inode_touch(inode, ATTR_ATIME);
    if (inode->ops->readlink != NULL) {
        return inode->ops->readlink(inode, buf, size);
    }
    if (inode->link_target == NULL) {
        return -EINVAL;
    }
    ssize_t len = str_copy(buf, inode->link_target, size);
    return len < 0 ? (ssize_t)size - 1 : len;
}

static int access_check(const struct path *path, int mode)
{
    struct inode *inode = path->dentry->inode;
    int mask = ((mode & 4) != 0 ? MAY_READ : 0) | ((mode & 2) != 0 ? MAY_WRITE : 0) |
               ((mode & 1) != 0 ? MAY_EXEC : 0);

    if ((mask & MAY_EXEC) != 0 && inode_is_regular(inode) &&
        (path->mount->flags & MS_NOEXEC) != 0) {
        return -EACCES;
    }
    int err = mask == 0 ? 0 : inode_permission(inode, mask);
    if (err == 0 && (mask & MAY_WRITE) != 0 &&
        (inode_is_dir(inode) || inode_is_regular(inode) || inode_is_symlink(inode))) {
        err = mount_want_write(path);
    }
    return err;
}

/*
 * access(2) judges by the real user and group. The caller's credentials are copied with those as the file-system ones, and
 * without capabilities unless the real user is root.
 */
static struct cred *access_cred(void)
{
    const struct cred *cred = vfs_cred();

    if (cred->fsuid == cred->uid && cred->fsgid == cred->gid &&
        (cred->uid != 0 || cred->cap_effective == cred->cap_permitted) &&
        (cred->uid == 0 || cred->cap_effective == 0)) {
        return NULL; /* it would be the same */
    }
    struct cred *copy = cred_clone(cred);
    if (copy != NULL) {
        copy->fsuid = copy->uid;
        copy->fsgid = copy->gid;
        copy->cap_effective = copy->uid == 0 ? copy->cap_permitted : 0;
    }
    return copy;
}

int vfs_access(int dirfd, const char *name, int mode, int flags)
{
    struct path path;
    unsigned lookup = (flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW;
    struct cred *saved = current_thread()->cred;
    struct cred *cred = NULL;

    if ((mode & ~7) != 0 || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    if ((flags & AT_EMPTY_PATH) != 0) {
        lookup |= LOOKUP_EMPTY;
    }
    if ((flags & AT_EACCESS) == 0) {
        cred = access_cred();
    }
    if (cred != NULL) {
        current_thread()->cred = cred; /* for the walk and the check alone */
    }
    int err = path_lookup(dirfd, name, lookup, &path);
    if (err == 0) {
        err = access_check(&path, mode);
        path_put(&path);
    }
    if (cred != NULL) {
        current_thread()->cred = saved;
        cred_put(cred);
    }
    return err;
}

int vfs_statfs(const struct path *path, struct vfs_statfs *ret_stat)
{
    static const struct {
        uint64_t mount, stat;
    } map[] = {{MS_RDONLY, ST_RDONLY},
               {MS_NOSUID, ST_NOSUID},
               {MS_NODEV, ST_NODEV},
               {MS_NOEXEC, ST_NOEXEC},
               {MS_SYNCHRONOUS, ST_SYNCHRONOUS},
               {MS_MANDLOCK, ST_MANDLOCK},
               {MS_NOATIME, ST_NOATIME},
               {MS_NODIRATIME, ST_NODIRATIME},
               {MS_RELATIME, ST_RELATIME},
               {MS_NOSYMFOLLOW, ST_NOSYMFOLLOW}};
    struct super *super = path->dentry->super;

    memset(ret_stat, 0, sizeof(*ret_stat));
    ret_stat->block_size = PAGE_SIZE;
    ret_stat->name_max = NAME_MAX_BYTES;
    ret_stat->fsid = super->dev;
    if (super->ops->statfs != NULL) {
        int err = super->ops->statfs(super, ret_stat);
        if (err < 0) {
            return err;
        }
    }
    uint64_t flags = path->mount->flags | super->flags;
    ret_stat->flags = ST_VALID;
    for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
        ret_stat->flags |= (flags & map[i].mount) != 0 ? map[i].stat : 0;
    }
    return 0;
}

static int may_stand_in(const struct path *path)
{
    if (!inode_is_dir(path->dentry->inode)) {
        return -ENOTDIR;
    }
    return inode_permission(path->dentry->inode, MAY_EXEC);
}

int vfs_chdir(const struct path *path)
{
    int err = may_stand_in(path);

    if (err == 0) {
        fs_context_set_cwd(current_thread()->fs, path);
    }
    return err;
}

int vfs_chroot(const struct path *path)
{
    int err = may_stand_in(path);

    if (err == 0 && !cred_has_cap(vfs_cred(), CAP_SYS_CHROOT)) {
        err = -EPERM;
    }
    if (err == 0) {
        fs_context_set_root(current_thread()->fs, path);
    }
    return err;
}
