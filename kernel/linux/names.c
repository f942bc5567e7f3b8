/*
 * Calls on names: making, linking, moving and removing directory entries, and the working directory.
 */
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/stat.h>

#include "kernel/base/string.h"
#include "kernel/linux/syscall.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/fdtable.h"

static int64_t make_node(int dirfd, const char __user *upath, uint32_t mode, uint64_t dev)
{
    struct path_name name;
    int err = path_name_get(&name, upath, 0);

    if (err == 0) {
        err = vfs_mknod(dirfd, name.text, mode, dev);
        path_name_put(&name);
    }
    return err;
}

SYSCALL3(mknod, const char __user *, path, uint32_t, mode, unsigned, dev)
{
    return make_node(AT_FDCWD, path, mode, dev);
}

SYSCALL4(mknodat, int, dirfd, const char __user *, path, uint32_t, mode, unsigned, dev)
{
    return make_node(dirfd, path, mode, dev);
}

static int64_t make_dir(int dirfd, const char __user *upath, uint32_t mode)
{
    struct path_name name;
    int err = path_name_get(&name, upath, 0);

    if (err == 0) {
        err = vfs_mkdir(dirfd, name.text, mode);
        path_name_put(&name);
    }
    return err;
}

SYSCALL2(mkdir, const char __user *, path, uint32_t, mode)
{
    return make_dir(AT_FDCWD, path, mode);
}

SYSCALL3(mkdirat, int, dirfd, const char __user *, path, uint32_t, mode)
{
    return make_dir(dirfd, path, mode);
}

static int64_t remove_name(int dirfd, const char __user *upath, bool dir)
{
    struct path_name name;
    int err = path_name_get(&name, upath, 0);

    if (err == 0) {
        err = dir ? vfs_rmdir(dirfd, name.text) : vfs_unlink(dirfd, name.text);
        path_name_put(&name);
    }
    return err;
}

SYSCALL1(rmdir, const char __user *, path)
{
    return remove_name(AT_FDCWD, path, true);
}

SYSCALL1(unlink, const char __user *, path)
{
    return remove_name(AT_FDCWD, path, false);
}

SYSCALL3(unlinkat, int, dirfd, const char __user *, path, int, flags)
{
    if ((flags & ~AT_REMOVEDIR) != 0) {
        return -EINVAL;
    }
    return remove_name(dirfd, path, (flags & AT_REMOVEDIR) != 0);
}

/* Two names, then act: the shape that rename, link and symlink share. */
struct two_names {
    struct path_name old, new;
};

static int two_names_get(struct two_names *names, const char __user *old, const char __user *new,
                         bool old_may_be_empty)
{
    int err = path_name_get(&names->old, old, old_may_be_empty ? LOOKUP_EMPTY : 0);

    if (err == 0) {
        err = path_name_get(&names->new, new, 0);
        if (err < 0) {
            path_name_put(&names->old);
        }
    }
    return err;
}

static void two_names_put(struct two_names *names)
{
    path_name_put(&names->new);
    path_name_put(&names->old);
}

static int64_t rename_at(int old_dirfd, const char __user *old, int new_dirfd,
                         const char __user *new, unsigned flags)
{
    struct two_names names;
    int err = two_names_get(&names, old, new, false);

    if (err == 0) {
        err = vfs_rename(old_dirfd, names.old.text, new_dirfd, names.new.text, flags);
        two_names_put(&names);
    }
    return err;
}

SYSCALL2(rename, const char __user *, old, const char __user *, new)
{
    return rename_at(AT_FDCWD, old, AT_FDCWD, new, 0);
}

SYSCALL4(renameat, int, old_dirfd, const char __user *, old, int, new_dirfd, const char __user *,
         new)
{
    return rename_at(old_dirfd, old, new_dirfd, new, 0);
}

SYSCALL5(renameat2, int, old_dirfd, const char __user *, old, int, new_dirfd, const char __user *,
         new, unsigned, flags)
{
    return rename_at(old_dirfd, old, new_dirfd, new, flags);
}

static int64_t link_at(int old_dirfd, const char __user *old, int new_dirfd, const char __user *new,
                       unsigned flags)
{
    struct two_names names;

    if ((flags & ~(unsigned)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) {
        return -EINVAL;
    }
    int err = two_names_get(&names, old, new, (flags & AT_EMPTY_PATH) != 0);
    if (err == 0) {
        err = vfs_link(old_dirfd, names.old.text, new_dirfd, names.new.text, flags);
        two_names_put(&names);
    }
    return err;
}

SYSCALL2(link, const char __user *, old, const char __user *, new)
{
    return link_at(AT_FDCWD, old, AT_FDCWD, new, 0);
}

SYSCALL5(linkat, int, old_dirfd, const char __user *, old, int, new_dirfd, const char __user *, new,
         unsigned, flags)
{
    return link_at(old_dirfd, old, new_dirfd, new, flags);
}

static int64_t symlink_at(const char __user *target, int dirfd, const char __user *name)
{
    struct two_names names;
    int err = two_names_get(&names, target, name, false);

    if (err == 0) {
        err = vfs_symlink(names.old.text, dirfd, names.new.text);
        two_names_put(&names);
    }
    return err;
}

SYSCALL2(symlink, const char __user *, target, const char __user *, name)
{
    return symlink_at(target, AT_FDCWD, name);
}

SYSCALL3(symlinkat, const char __user *, target, int, dirfd, const char __user *, name)
{
    return symlink_at(target, dirfd, name);
}

static int64_t readlink_to_user(const struct path *path, char __user *ubuf, size_t size)
{
    char *buf = kmalloc(PATH_MAX);
    ssize_t len = buf != NULL ? vfs_readlink(path, buf, PATH_MAX) : -ENOMEM;

    if (len >= 0) {
        len = MIN(len, (ssize_t)size);
        if (copy_to_user(ubuf, buf, (size_t)len) < 0) {
            len = -EFAULT;
        }
    }
    kfree(buf);
    return len;
}

/* readlinkat(2): without a name it is the descriptor's link that is read, or there is none. */
static int64_t readlink_at(int dirfd, const char __user *upath, char __user *ubuf, size_t size)
{
    struct path_name name;
    struct path path;

    if ((int)size <= 0) {
        return -EINVAL;
    }
    int err = path_name_get(&name, upath, LOOKUP_EMPTY);
    if (err < 0) {
        return err;
    }
    bool unnamed = name.text[0] == '\0';
    err = path_lookup(dirfd, name.text, LOOKUP_EMPTY, &path);
    path_name_put(&name);
    if (err < 0) {
        return err;
    }
    int64_t result = unnamed && !inode_is_symlink(path.dentry->inode)
                         ? -ENOENT
                         : readlink_to_user(&path, ubuf, size);
    path_put(&path);
    return result;
}

SYSCALL3(readlink, const char __user *, path, char __user *, buf, size_t, size)
{
    return readlink_at(AT_FDCWD, path, buf, size);
}

SYSCALL4(readlinkat, int, dirfd, const char __user *, path, char __user *, buf, size_t, size)
{
    return readlink_at(dirfd, path, buf, size);
}

SYSCALL1(chdir, const char __user *, upath)
{
    struct path path;
    int err = path_lookup_user(AT_FDCWD, upath, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &path);

    if (err == 0) {
        err = vfs_chdir(&path);
        path_put(&path);
    }
    return err;
}

SYSCALL1(fchdir, int, fd)
{
    struct file *file = fd_file_any(fd);

    if (file == NULL) {
        return -EBADF;
    }
    int64_t err = inode_is_dir(file->inode) ? vfs_chdir(&file->path) : -ENOTDIR;
    file_put(file);
    return err;
}

SYSCALL1(chroot, const char __user *, upath)
{
    struct path path;
    int err = path_lookup_user(AT_FDCWD, upath, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &path);

    if (err == 0) {
        err = vfs_chroot(&path);
        path_put(&path);
    }
    return err;
}

SYSCALL2(getcwd, char __user *, ubuf, size_t, size)
{
    struct path root, cwd;
    char *buf = kmalloc(PATH_MAX);

    if (buf == NULL) {
        return -ENOMEM;
    }
    fs_context_get_paths(current_thread()->fs, &root, &cwd);
    int64_t result = -ENOENT;
    if ((cwd.dentry->flags & DENTRY_UNHASHED) == 0 || cwd.dentry->parent == cwd.dentry) {
        char *name = path_to_string(&cwd, &root, buf, PATH_MAX);
        size_t len = name != NULL ? strlen(name) + 1 : 0;
        if (name == NULL) {
            result = -ENAMETOOLONG;
        } else if (len > size) {
            result = -ERANGE;
        } else {
            result = copy_to_user(ubuf, name, len) < 0 ? -EFAULT : (int64_t)len;
        }
    }
    path_put(&root);
    path_put(&cwd);
    kfree(buf);
    return result;
}

SYSCALL1(umask, uint32_t, mask)
{
    return __atomic_exchange_n(&current_thread()->fs->umask, mask & 0777, __ATOMIC_RELAXED);
}

SYSCALL3(getdents64, int, fd, void __user *, buf, size_t, size)
{
    struct fd_ref ref = fd_borrow(fd);
    struct file *file = fd_ref_file(ref);
    int64_t result = file != NULL ? vfs_getdents64(file, buf, size) : -EBADF;

    fd_return(ref);
    return result;
}
