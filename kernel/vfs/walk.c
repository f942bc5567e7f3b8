/*
 * The path walk (POSIX.1-2017, 4.13 "Pathname Resolution"; path_resolution(7), symlink(7), openat2(2)).
 *
 * The common case is a chain of cached directories: for each component one scan that finds its end and its hash, one hash look-up
 * that takes a reference, one put of the directory left behind. Nothing is allocated and the start is only borrowed. Symbolic
 * links do not recurse: the rest of the text is pushed as a frame and the link's own text is walked first.
 */
#include "kernel/vfs/walk.h"

#include <linux/limits.h>
#include <linux/mount.h>

#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/name.h"

#define LOOKUP_SCOPED (LOOKUP_BENEATH | LOOKUP_IN_ROOT)

static void frame_release(struct walk_frame *frame)
{
    dentry_put(frame->link);
    kfree(frame->buffer);
    frame->link = NULL;
    frame->buffer = NULL;
}

/* Stand somewhere else. The references that come with `path` are described by owned_*; those of the old place go. */
static void walk_place(struct walk *w, const struct path *path, bool owned)
{
    struct path old = w->at;
    bool put_dentry = w->owned_dentry, put_mount = w->owned_mount;

    w->at = *path;
    w->owned_dentry = owned;
    w->owned_mount = owned;
    if (put_dentry) {
        dentry_put(old.dentry);
    }
    if (put_mount) {
        mount_put(old.mount);
    }
}

/*
 * May this walk use the context's paths without references? When only the current thread has the context, nobody else changes them
 * but pivot_root (fs_contexts_replace), which first takes a reference and then looks at `walks`; here it is the other way round,
 * so that one of the two sees the other (both sides are sequentially consistent).
 */
static bool walk_borrows(struct walk *w)
{
    if (w->borrowing) {
        return true;
    }
    (void)__atomic_fetch_add(&w->fs->walks, 1, __ATOMIC_SEQ_CST);
    if (likely(__atomic_load_n(&w->fs->refs.value, __ATOMIC_SEQ_CST) == 1)) {
        w->borrowing = true;
        return true;
    }
    (void)atomic_fetch_sub(&w->fs->walks, 1);
    return false;
}

static inline void walk_end_borrowing(struct walk *w)
{
    if (likely(w->borrowing)) {
        w->borrowing = false;
        atomic_store_release(&w->fs->walks, w->fs->walks - 1); /* only this thread writes it */
    }
}

/* Fill in w->root: borrowed when nobody else can change it. */
static int walk_need_root(struct walk *w)
{
    if (w->has_root) {
        return 0;
    }
    if ((w->flags & LOOKUP_IN_ROOT) != 0 || w->fs == NULL) {
        if (w->start.dentry == NULL) {
            return -ENOENT;
        }
        w->root = w->start;
    } else if (walk_borrows(w)) {
        w->root = w->fs->root;
    } else {
        fs_context_get_paths(w->fs, &w->root, NULL);
        w->owned_root = true;
    }
    w->has_root = true;
    return 0;
}

static int walk_jump_root(struct walk *w)
{
    if ((w->flags & LOOKUP_BENEATH) != 0) {
        return -EXDEV;
    }
    int err = walk_need_root(w);
    if (err < 0) {
        return err;
    }
    if ((w->flags & LOOKUP_NO_XDEV) != 0 && w->at.mount != NULL && w->at.mount != w->root.mount) {
        return -EXDEV;
    }
    walk_place(w, &w->root, false);
    return 0;
}

static int walk_begin_dirfd(struct walk *w, int dirfd, struct path *ret_path)
{
    if (dirfd != AT_FDCWD) {
        w->fd = fd_borrow_any(dirfd);
        const struct file *file = fd_ref_file(w->fd);
        if (file == NULL) {
            return -EBADF;
        }
        *ret_path = file->path;
        return 0;
    }
    if (w->fs == NULL) {
        return -ENOENT;
    }
    if (likely(walk_borrows(w))) {
        *ret_path = w->fs->cwd;
    } else {
        fs_context_get_paths(w->fs, NULL, ret_path);
        w->owned_start = true;
    }
    return 0;
}

int walk_begin(struct walk *w, int dirfd, const struct path *base, const char *name, unsigned flags)
{
    w->at = (struct path){0};
    w->start = (struct path){0};
    w->owned_dentry = w->owned_mount = w->owned_root = w->owned_start = false;
    w->has_root = w->want_dir = w->borrowing = false;
    w->depth = w->links = 0;
    w->flags = flags;
    w->text = (struct walk_frame){.rest = name};
    w->fd.word = 0;
    w->fs = current_thread()->fs;
    if (*name == '\0' && (flags & LOOKUP_EMPTY) == 0) {
        return -ENOENT;
    }
    if (*name == '/' && (flags & LOOKUP_SCOPED) == 0 && base == NULL) {
        return walk_jump_root(w);
    }
    if (base != NULL) {
        w->start = *base;
    } else {
        int err = walk_begin_dirfd(w, dirfd, &w->start);
        if (err < 0) {
            return err;
        }
    }
    w->at = w->start;
    if (*name == '/') {
        return walk_jump_root(w);
    }
    return 0;
}

void walk_end(struct walk *w)
{
    if (w->owned_dentry) {
        dentry_put(w->at.dentry);
    }
    if (w->owned_mount) {
        mount_put(w->at.mount);
    }
    if (unlikely(w->owned_root)) {
        path_put(&w->root);
    }
    if (unlikely(w->owned_start)) {
        path_put(&w->start);
    }
    walk_end_borrowing(w);
    while (unlikely(w->depth > 0)) {
        frame_release(&w->frames[--w->depth]);
    }
    if (unlikely(w->text.link != NULL)) {
        frame_release(&w->text);
    }
    if (w->fd.word != 0) {
        fd_return(w->fd);
    }
}

void walk_take_path(struct walk *w, struct path *ret_path)
{
    if (!w->owned_mount) {
        (void)mount_get(w->at.mount);
    }
    if (!w->owned_dentry) {
        (void)dentry_get(w->at.dentry);
    }
    w->owned_mount = false;
    w->owned_dentry = false;
    *ret_path = w->at;
    walk_end_borrowing(w); /* what follows may last: a FIFO waits for its other side */
}

void walk_enter(struct walk *w, struct dentry *dentry)
{
    struct dentry *old = w->at.dentry;

    w->at.dentry = dentry;
    if (w->owned_dentry) {
        dentry_put(old);
    }
    w->owned_dentry = true;
}

int walk_enter_mounts(struct walk *w)
{
    while (unlikely((dentry_flags(w->at.dentry) & DENTRY_MOUNTPOINT) != 0)) {
        struct mount *mount = mount_covering(&w->at);
        if (mount == NULL) {
            return 0;
        }
        if ((w->flags & LOOKUP_NO_XDEV) != 0) {
            mount_put(mount);
            return -EXDEV;
        }
        struct path top = {mount, dentry_get(mount->root)};
        walk_place(w, &top, true);
    }
    return 0;
}

/* Is w->at the start of a scoped walk or something below it? */
static bool walk_in_scope(const struct walk *w)
{
    struct path path = w->at;

    path_get(&path);
    while (path.mount != w->start.mount) {
        struct path up;
        if (!mount_get_mountpoint(path.mount, &up)) {
            break;
        }
        path_put(&path);
        path = up;
    }
    bool below = path.mount == w->start.mount && dentry_is_below(path.dentry, w->start.dentry);
    path_put(&path);
    return below;
}

/*
 * Up within a mount. -ENOENT: the directory has been moved out of what a bind mount shows (rename(2) by another mount), and what is above it
 * is not to be seen here.
 */
static int walk_to_upper(struct walk *w)
{
    const struct mount *mount = w->at.mount;
    struct dentry *parent = dentry_get_parent(w->at.dentry);

    if (unlikely(mount->root != mount->super->root) && !dentry_is_below(parent, mount->root)) {
        dentry_put(parent);
        return -ENOENT;
    }
    walk_enter(w, parent);
    return 0;
}

static int walk_dotdot(struct walk *w)
{
    int err = walk_need_root(w);

    if (err < 0) {
        return err;
    }
    for (;;) {
        if (path_equal(&w->at, &w->root)) {
            break;
        }
        if ((w->flags & LOOKUP_BENEATH) != 0 && path_equal(&w->at, &w->start)) {
            return -EXDEV;
        }
        if (w->at.dentry != w->at.mount->root) {
            err = walk_to_upper(w);
            if (err < 0) {
                return err;
            }
            break;
        }
        struct path up;
        if (!mount_get_mountpoint(w->at.mount, &up)) {
            break;
        }
        walk_place(w, &up, true);
        if ((w->flags & LOOKUP_NO_XDEV) != 0) {
            return -EXDEV;
        }
    }
    if ((w->flags & LOOKUP_SCOPED) != 0 && !walk_in_scope(w)) {
        return -EXDEV;
    }
    return walk_enter_mounts(w);
}

/* The text of a link: what the inode keeps in memory, or a copy. */
static int walk_link_text(struct inode *inode, struct walk_frame *ret_frame)
{
    if (likely(inode->link_target != NULL)) {
        ret_frame->rest = inode->link_target;
        return 0;
    }
    if (inode->ops->readlink == NULL) {
        return -EINVAL;
    }
    char *buffer = kmalloc(PATH_MAX);
    if (buffer == NULL) {
        return -ENOMEM;
    }
    ssize_t len = inode->ops->readlink(inode, buffer, PATH_MAX);
    if (len < 0) {
        kfree(buffer);
        return (int)len;
    }
    ret_frame->rest = buffer;
    ret_frame->buffer = buffer;
    return 0;
}

static int walk_follow_magic(struct walk *w, struct inode *inode)
{
    struct path target;

    if ((w->flags & LOOKUP_NO_MAGICLINKS) != 0) {
        return -ELOOP;
    }
    if ((w->flags & LOOKUP_SCOPED) != 0) {
        return -EXDEV;
    }
    int err = inode->ops->follow(inode, &target);
    if (err < 0) {
        return err;
    }
    if ((w->flags & LOOKUP_NO_XDEV) != 0 && target.mount != w->at.mount) {
        path_put(&target);
        return -EXDEV;
    }
    walk_place(w, &target, true);
    return 0;
}

int walk_follow(struct walk *w, struct dentry *dentry)
{
    struct inode *inode = dentry->inode;
    struct walk_frame frame = {.link = dentry};
    int err;

    if (++w->links > MAX_SYMLINKS || (w->flags & LOOKUP_NO_SYMLINKS) != 0 ||
        (w->at.mount->flags & MS_NOSYMFOLLOW) != 0) {
        err = -ELOOP;
        goto put_dentry;
    }
    inode_touch(inode, ATTR_ATIME);
    if (inode->ops->follow != NULL) {
        err = walk_follow_magic(w, inode);
        goto put_dentry;
    }
    err = walk_link_text(inode, &frame);
    if (err < 0) {
        goto put_dentry;
    }
    if (*w->text.rest != '\0') {
        w->frames[w->depth++] = w->text;
    } else {
        frame_release(&w->text);
    }
    w->text = frame;
    if (*frame.rest == '\0') {
        return -ENOENT;
    }
    if (*frame.rest == '/') {
        err = walk_jump_root(w);
        if (err < 0) {
            return err;
        }
    }
    return WALK_AGAIN;

put_dentry:
    dentry_put(dentry);
    return err;
}

static enum last_type name_type(const struct name *name)
{
    if (likely(name->text[0] != '.' || name->len > 2)) {
        return LAST_NORM;
    }
    if (name->len == 1) {
        return LAST_DOT;
    }
    return name->text[1] == '.' ? LAST_DOTDOT : LAST_NORM;
}

/* May names be looked up here? Directories that everybody may search need no closer look. */
static int walk_may_search(const struct walk *w)
{
    struct inode *inode = w->at.dentry->inode;

    if (unlikely(!inode_is_dir(inode))) {
        return -ENOTDIR;
    }
    if (likely((inode->mode & 0111) == 0111 && inode->ops->permission == NULL)) {
        return 0;
    }
    return inode_permission(inode, MAY_EXEC);
}

/* The dentry of `name` here, positive or not. */
static int walk_lookup(struct walk *w, const struct name *name, struct dentry **ret_dentry)
{
    if (unlikely((w->flags & LOOKUP_CACHED) != 0)) {
        struct dentry *dentry = dentry_find(w->at.dentry, name);
        if (dentry == NULL) {
            return -EAGAIN;
        }
        dentry_put(dentry);
    }
    return dentry_lookup_name(w->at.dentry, name, false, ret_dentry);
}

/* One step to `name`; a link is followed when `follow`. 0, WALK_AGAIN (new text), or an error. */
static int walk_step(struct walk *w, const struct name *name, enum last_type type, bool follow)
{
    struct dentry *dentry;

    if (unlikely(type != LAST_NORM)) {
        return type == LAST_DOTDOT ? walk_dotdot(w) : 0;
    }
    int err = walk_lookup(w, name, &dentry);
    if (unlikely(err < 0)) {
        return err;
    }
    const struct inode *inode = atomic_load_acquire(&dentry->inode);
    if (unlikely(inode == NULL)) {
        dentry_put(dentry);
        return -ENOENT;
    }
    if (unlikely(inode_is_symlink(inode)) && follow) {
        return walk_follow(w, dentry);
    }
    walk_enter(w, dentry);
    return walk_enter_mounts(w);
}

int walk_to_parent(struct walk *w)
{
    for (;;) {
        const char *p = w->text.rest;
        struct name name;

        while (*p == '/') {
            p++;
        }
        if (unlikely(*p == '\0')) {
            if (w->depth == 0) {
                w->last_type = LAST_ROOT;
                w->last.len = 0;
                return 0;
            }
            frame_release(&w->text);
            w->text = w->frames[--w->depth];
            continue;
        }
        int err = walk_may_search(w);
        if (unlikely(err < 0)) {
            return err;
        }
        name_scan(p, &name);
        const char *end = p + name.len;
        p = end;
        while (*p == '/') {
            p++;
        }
        w->text.rest = p;
        enum last_type type = name_type(&name);
        if (*p == '\0' && w->depth == 0) {
            w->last = name;
            w->last_type = (uint8_t)type;
            w->want_dir = w->want_dir || p != end;
            return 0;
        }
        err = walk_step(w, &name, type, true);
        if (unlikely(err < 0)) {
            return err;
        }
    }
}

int walk_last(struct walk *w, bool follow)
{
    if (w->last_type == LAST_ROOT) {
        return 0;
    }
    return walk_step(w, &w->last, (enum last_type)w->last_type, follow || w->want_dir);
}

int walk_all(struct walk *w)
{
    bool follow = (w->flags & LOOKUP_FOLLOW) != 0;
    int err;

    do {
        err = walk_to_parent(w);
        if (unlikely(err < 0)) {
            return err;
        }
        err = walk_last(w, follow);
    } while (err == WALK_AGAIN);
    if (err == 0 && (w->want_dir || (w->flags & LOOKUP_DIRECTORY) != 0) &&
        !inode_is_dir(w->at.dentry->inode)) {
        return -ENOTDIR;
    }
    return err;
}
