/*
 * open(2), openat2(2), creat(2): from a name to an open file.
 *
 * O_CREAT looks without a lock first: most files that are opened for creation exist. Only a missing name takes the directory's lock
 * for writing, looks again, and creates.
 */
#include <linux/capability.h>
#include <linux/mount.h>

#include "kernel/base/printf.h"
#include "kernel/vfs/private.h"
#include "kernel/vfs/walk.h"

#define OPEN_PATH_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define OPEN_ONCE_FLAGS                                                                            \
    (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC) /* F_GETFL does not show them */

static const struct file_ops no_fops; /* O_PATH files, and kinds without operations */

/* open(2): O_RDONLY 0, O_WRONLY 1, O_RDWR 2; 3 checks both and allows neither (for ioctl alone). */
static unsigned open_fmode(int flags)
{
    return (unsigned)(((flags & O_ACCMODE) + 1) & O_ACCMODE);
}

static int open_mask(int flags)
{
    static const uint8_t masks[] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE,
                                    MAY_READ | MAY_WRITE};
    int mask = masks[flags & O_ACCMODE];

    return (flags & O_TRUNC) != 0 ? mask | MAY_WRITE : mask;
}

static int open_check_kind(const struct path *path, const struct inode *inode, int flags)
{
    int mask = open_mask(flags);

    switch (inode->mode & S_IFMT) {
    case S_IFLNK:
        return -ELOOP;
    case S_IFDIR:
        if ((mask & MAY_WRITE) != 0 || (flags & O_CREAT) != 0) {
            return -EISDIR;
        }
        break;
    case S_IFCHR:
    case S_IFBLK:
        if ((path->mount->flags & MS_NODEV) != 0) {
            return -EACCES;
        }
        break;
    case S_IFREG:
        if ((mask & MAY_WRITE) != 0) {
            return mount_want_write(path);
        }
        break;
    default:
        break;
    }
    return 0;
}

/* May the caller open this existing file so? */
static int open_check(const struct path *path, int flags)
{
    struct inode *inode = path->dentry->inode;

    int err = open_check_kind(path, inode, flags);
    if (err == 0) {
        err = inode_permission(inode, open_mask(flags));
    }
    if (err == 0 && unlikely((flags & O_NOATIME) != 0) && !inode_owner_or_capable(inode)) {
        err = -EPERM;
    }
    return err;
}

static int open_truncate(struct file *file)
{
    struct inode_attr attr = {.valid = ATTR_SIZE | ATTR_CTIME, .by_open = true};
    bool writer = (file->mode & FMODE_WRITER) != 0;

    if (!inode_is_regular(file->inode)) {
        return 0;
    }
    int err = writer ? 0 : inode_get_write(file->inode); /* not of a program that runs */
    if (err < 0) {
        return err;
    }
    err = inode_setattr(file->inode, &attr);
    if (!writer) {
        inode_put_write(file->inode);
    }
    if (err == 0) {
        notify_path(&file->path, IN_MODIFY);
    }
    return err;
}

static int open_writer(struct file *file)
{
    int err = inode_get_write(file->inode);

    if (err == 0) {
        file->mode |= FMODE_WRITER;
        (void)atomic_fetch_add_relaxed(&file->path.mount->writers, 1);
    }
    return err;
}

/* Make the file and let its kind open it. The references of `path` pass to the file on success. Permission was checked. */
static int open_file(const struct path *path, int flags, struct file **ret_file)
{
    struct file *file;
    unsigned mode = open_fmode(flags);

    int err = file_create(path, flags, mode, &file);
    if (unlikely(err < 0)) {
        return err;
    }
    struct inode *inode = file->inode;
    if (unlikely(file->fops == NULL)) {
        file->fops = &no_fops;
    }
    if ((mode & FMODE_WRITE) != 0 && inode_is_regular(inode)) {
        err = open_writer(file);
        if (err < 0) {
            goto discard;
        }
    }
    if (file->fops->open != NULL) {
        err = file->fops->open(inode, file);
        if (err < 0) {
            goto undo_writer;
        }
    }
    if (file->fops->llseek != NULL) {
        file->mode |= FMODE_SEEK | FMODE_PREAD;
    }
    if (inode_is_regular(inode) && unlikely(pagecache_has_medium(&inode->cache))) {
        file_open_medium(file);
    }
    file->flags &=
        ~(uint32_t)OPEN_ONCE_FLAGS; /* O_DIRECT may stay: the cache has no alignment to ask for */
    *ret_file = file;
    return 0;

undo_writer:
    if ((file->mode & FMODE_WRITER) != 0) {
        inode_put_write(inode);
        (void)atomic_fetch_sub_relaxed(&path->mount->writers, 1);
    }
discard:
    file_discard(file);
    return err;
}

/* O_PATH: a place, not an open file. */
static int open_place(const struct path *path, int flags, struct file **ret_file)
{
    int err = file_create(path, flags & OPEN_PATH_FLAGS & ~O_CLOEXEC, FMODE_PATH, ret_file);

    if (err == 0) {
        (*ret_file)->fops = &no_fops;
    }
    return err;
}

/* Open what the walk arrived at; `created`: just now by us, so its mode does not bind us. */
static int open_here(struct walk *w, int flags, bool created, struct file **ret_file)
{
    struct path path;
    int err = 0;

    if (!created && (flags & O_PATH) == 0) {
        err = open_check(&w->at, flags);
        if (err < 0) {
            return err;
        }
    }
    walk_take_path(w, &path);
    err = (flags & O_PATH) != 0 ? open_place(&path, flags, ret_file)
                                : open_file(&path, flags, ret_file);
    if (unlikely(err < 0)) {
        path_put(&path);
        return err;
    }
    if ((flags & O_TRUNC) != 0 && !created) {
        err = open_truncate(*ret_file);
        if (err < 0) {
            file_put(*ret_file);
        }
    }
    return err;
}

/* The name is missing: create a regular file. *ret_created false: somebody else did meanwhile. */
static int open_create(struct walk *w, uint32_t mode, struct dentry **ret_dentry, bool *ret_created)
{
    struct inode *dir = w->at.dentry->inode;
    struct inode *inode;
    struct dentry *dentry;

    rwsem_lock_write(&dir->lock);
    int err = dentry_lookup_name(w->at.dentry, &w->last, true, &dentry);
    if (err < 0) {
        goto unlock;
    }
    *ret_created = false;
    if (dentry->inode == NULL) {
        err = mount_want_write(&w->at);
        if (err == 0) {
            err = dir_may_create(dir);
        }
        if (err == 0) {
            err = dir->ops->create == NULL
                      ? -EACCES
                      : dir->ops->create(dir, w->last.text, w->last.len,
                                         S_IFREG | mode_masked(mode & 07777), 0, &inode);
        }
        if (err < 0) {
            dentry_put(dentry);
            goto unlock;
        }
        dentry_instantiate(dentry, inode);
        notify_name(dir, w->last.text, w->last.len, inode, IN_CREATE);
        *ret_created = true;
    }
    *ret_dentry = dentry;

unlock:
    rwsem_unlock_write(&dir->lock);
    return err;
}

/* The last component under O_CREAT. WALK_AGAIN: it was a link. */
static int open_last_create(struct walk *w, int flags, uint32_t mode, struct file **ret_file)
{
    struct dentry *dentry;
    bool created = false;

    if (w->last_type != LAST_NORM) {
        return (flags & O_EXCL) != 0 ? -EEXIST : -EISDIR;
    }
    if (w->want_dir) {
        return -EISDIR;
    }
    int err = dentry_lookup_name(w->at.dentry, &w->last, false, &dentry);
    if (err == 0 && atomic_load_acquire(&dentry->inode) == NULL) {
        dentry_put(dentry);
        err = open_create(w, mode, &dentry, &created);
    }
    if (err < 0) {
        return err;
    }
    if (!created) {
        if ((flags & O_EXCL) != 0) {
            dentry_put(dentry);
            return -EEXIST;
        }
        if (inode_is_symlink(dentry->inode) && (flags & O_NOFOLLOW) == 0) {
            err = walk_follow(w, dentry);
            return err != 0 ? err : open_here(w, flags, false, ret_file);
        }
    }
    walk_enter(w, dentry);
    err = walk_enter_mounts(w);
    return err < 0 ? err : open_here(w, flags, created, ret_file);
}

static int open_tmpfile(struct walk *w, int flags, uint32_t mode, struct file **ret_file)
{
    struct inode *inode;
    struct inode *dir = w->at.dentry->inode;
    char name[24];

    int err = mount_want_write(&w->at);
    if (err == 0) {
        err = dir_may_create(dir);
    }
    if (err < 0) {
        return err;
    }
    if (dir->ops->tmpfile == NULL) {
        return -EOPNOTSUPP;
    }
    err = dir->ops->tmpfile(dir, S_IFREG | mode_masked(mode & 07777), &inode);
    if (err < 0) {
        return err;
    }
    inode->linkable = (flags & O_EXCL) == 0;
    (void)ksnprintf(name, sizeof(name), "#%llu", (unsigned long long)inode->ino);
    struct dentry *dentry = dentry_create_unhashed(w->at.dentry, inode, name);
    if (dentry == NULL) {
        inode_put(inode);
        return -ENOMEM;
    }
    walk_enter(w, dentry);
    return open_here(w, flags & ~(O_TRUNC | O_DIRECTORY), true, ret_file);
}

static int open_walk(struct walk *w, int flags, uint32_t mode, struct file **ret_file)
{
    int err;

    if ((flags & O_CREAT) != 0) {
        do {
            err = walk_to_parent(w);
            if (err == 0) {
                err = open_last_create(w, flags, mode, ret_file);
            }
        } while (err == WALK_AGAIN);
        return err;
    }
    err = walk_all(w);
    if (unlikely(err < 0)) {
        return err;
    }
    if (unlikely((flags & __O_TMPFILE) != 0)) {
        return open_tmpfile(w, flags, mode, ret_file);
    }
    return open_here(w, flags, false, ret_file);
}

static int open_check_flags(int flags)
{
    if ((flags & __O_TMPFILE) != 0 &&
        ((flags & O_TMPFILE) != O_TMPFILE || (open_fmode(flags) & FMODE_WRITE) == 0 ||
         (flags & O_CREAT) != 0)) {
        return -EINVAL;
    }
    if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY)) {
        return -EINVAL;
    }
    return 0;
}

static int open_from(int dirfd, const struct path *base, const char *name, int flags, uint32_t mode,
                     unsigned resolve, struct file **ret_file)
{
    struct walk w;

    flags = (flags & O_PATH) != 0 ? flags & OPEN_PATH_FLAGS : flags | O_LARGEFILE;
    int err = open_check_flags(flags);
    if (unlikely(err < 0)) {
        return err;
    }
    if ((flags & O_NOFOLLOW) == 0) {
        resolve |= LOOKUP_FOLLOW;
    }
    if ((flags & O_DIRECTORY) != 0) {
        resolve |= LOOKUP_DIRECTORY;
    }
    err = walk_begin(&w, dirfd, base, name, resolve);
    if (likely(err == 0)) {
        err = open_walk(&w, flags, mode, ret_file);
    }
    walk_end(&w);
    if (likely(err == 0)) {
        notify_file(*ret_file, IN_OPEN);
    }
    return err;
}

int vfs_open(int dirfd, const char *name, int flags, uint32_t mode, unsigned resolve,
             struct file **ret_file)
{
    return open_from(dirfd, NULL, name, flags, mode, resolve, ret_file);
}

int vfs_open_at(const struct path *base, const char *name, int flags, uint32_t mode,
                struct file **ret_file)
{
    return open_from(AT_FDCWD, base, name, flags, mode, 0, ret_file);
}

int vfs_open_path(const struct path *path, int flags, struct file **ret_file)
{
    int err = open_check(path, flags);

    if (err < 0) {
        return err;
    }
    path_get(path);
    err = open_file(path, flags, ret_file);
    if (err < 0) {
        path_put(path);
        return err;
    }
    if ((flags & O_TRUNC) != 0) {
        err = open_truncate(*ret_file);
        if (err < 0) {
            file_put(*ret_file);
        }
    }
    return err;
}
