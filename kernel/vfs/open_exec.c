/*
 * Opening a program to run it: execute permission instead of read permission, and no writers while it runs.
 */
#include <linux/mount.h>

#include "kernel/vfs/private.h"

/* execve(2), "Errors". */
static int check_program(const struct path *path)
{
    struct inode *inode = path->dentry->inode;

    if (inode_is_symlink(inode)) {
        return -ELOOP; /* AT_SYMLINK_NOFOLLOW */
    }
    if (!inode_is_regular(inode) || (path->mount->flags & MS_NOEXEC) != 0) {
        return -EACCES;
    }
    return inode_permission(inode, MAY_EXEC);
}

int vfs_open_exec(int dirfd, const char *name, unsigned lookup, struct file **ret_file)
{
    struct path path;
    int err = path_lookup(dirfd, name, lookup, &path);

    if (err < 0) {
        return err;
    }
    err = check_program(&path);
    if (err < 0) {
        goto put_path;
    }
    err = inode_deny_write(path.dentry->inode);
    if (err < 0) {
        goto put_path;
    }
    err =
        file_create(&path, O_RDONLY, FMODE_READ | FMODE_EXEC | FMODE_SEEK | FMODE_PREAD, ret_file);
    if (err < 0) {
        goto allow_write;
    }
    notify_file(*ret_file, IN_OPEN);
    return 0;

allow_write:
    inode_allow_write(path.dentry->inode);
put_path:
    path_put(&path);
    return err;
}
