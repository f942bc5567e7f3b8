/*
 * Paths: look-up by name for the rest of the kernel, names from user memory, and names of places for user space.
 */
#include "kernel/vfs/path.h"

#include <linux/limits.h>

#include "kernel/base/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/walk.h"

static int path_lookup_from(int dirfd, const struct path *base, const char *name, unsigned flags,
                            struct path *ret_path)
{
    struct walk w;

    int err = walk_begin(&w, dirfd, base, name, flags);
    if (likely(err == 0)) {
        err = walk_all(&w);
        if (likely(err == 0)) {
            walk_take_path(&w, ret_path);
        }
    }
    walk_end(&w);
    return err;
}

int path_lookup(int dirfd, const char *name, unsigned flags, struct path *ret_path)
{
    return path_lookup_from(dirfd, NULL, name, flags, ret_path);
}

int path_lookup_at(const struct path *base, const char *name, unsigned flags, struct path *ret_path)
{
    return path_lookup_from(AT_FDCWD, base, name, flags, ret_path);
}

int path_lookup_user(int dirfd, const char __user *name, unsigned flags, struct path *ret_path)
{
    struct path_name text;

    int err = path_name_get(&text, name, flags);
    if (err < 0) {
        return err;
    }
    err = path_lookup_from(dirfd, NULL, text.text, flags, ret_path);
    path_name_put(&text);
    return err;
}

int path_lookup_parent(int dirfd, const char *name, unsigned flags, struct path_parent *ret_parent)
{
    struct walk w;

    int err = walk_begin(&w, dirfd, NULL, name, flags);
    if (err == 0) {
        err = walk_to_parent(&w);
    }
    if (err == 0 && w.last.len > NAME_MAX_BYTES) {
        err = -ENAMETOOLONG;
    }
    if (err == 0) {
        memcpy(ret_parent->last, w.last.len == 0 ? "" : w.last.text, w.last.len);
        ret_parent->last[w.last.len] = '\0';
        ret_parent->last_len = w.last.len;
        ret_parent->last_type = (enum last_type)w.last_type;
        ret_parent->trailing_slash = w.want_dir;
        walk_take_path(&w, &ret_parent->parent);
    }
    walk_end(&w);
    return err;
}

int path_name_get(struct path_name *name, const char __user *text, unsigned flags)
{
    ssize_t len = strncpy_from_user(name->inline_text, text, sizeof(name->inline_text));

    name->text = name->inline_text;
    if (unlikely(len == -ENAMETOOLONG)) {
        char *buffer = kmalloc(PATH_MAX);
        if (buffer == NULL) {
            return -ENOMEM;
        }
        len = strncpy_from_user(buffer, text, PATH_MAX);
        if (len < 0) {
            kfree(buffer);
            return (int)len;
        }
        name->text = buffer;
    }
    if (unlikely(len <= 0)) {
        if (len < 0) {
            return (int)len;
        }
        return (flags & LOOKUP_EMPTY) != 0 ? 0 : -ENOENT;
    }
    return 0;
}

void path_name_put_slow(struct path_name *name)
{
    kfree(name->text);
}

int path_name_from_user(const char __user *text, bool allow_empty, char **ret_name)
{
    struct path_name name;

    int err = path_name_get(&name, text, allow_empty ? LOOKUP_EMPTY : 0);
    if (err < 0) {
        return err;
    }
    if (name.text == name.inline_text) {
        name.text = kstrdup(name.inline_text);
        if (name.text == NULL) {
            return -ENOMEM;
        }
    }
    *ret_name = name.text;
    return 0;
}

void path_name_free(char *name)
{
    kfree(name);
}

/* Put `text` in front of what is at *pos; false: it does not fit above `low`. */
static bool prepend(char **pos, const char *low, const char *text, size_t len)
{
    if ((size_t)(*pos - low) < len) {
        return false;
    }
    *pos -= len;
    memcpy(*pos, text, len);
    return true;
}

/* Has it lost its name? A root, and what never had one, has not. */
static bool is_deleted(const struct dentry *dentry)
{
    return !dentry_is_hashed(dentry) && dentry->parent != dentry;
}

/* Climb from `at` (referenced, used up) to `root`. tree_lock may not be held across mounts, so each mount is one stretch. */
static bool prepend_path(struct path at, const struct path *root, char **pos, const char *low,
                         bool *ret_reached)
{
    char *end = *pos;
    bool fits = true;

    *ret_reached = false;
    for (;;) {
        dentry_tree_lock();
        struct dentry *dentry = at.dentry;
        while (fits && dentry != at.mount->root && dentry->parent != dentry &&
               !(at.mount == root->mount && dentry == root->dentry)) {
            fits = prepend(pos, low, dentry->name, dentry->name_len) && prepend(pos, low, "/", 1);
            dentry = dentry->parent;
        }
        dentry_tree_unlock();
        struct path up;
        if (at.mount == root->mount && dentry == root->dentry) {
            *ret_reached = true;
            break;
        }
        if (fits && dentry != at.mount->root) { /* it has been moved out of what the mount shows */
            *pos = end;
            break;
        }
        if (!fits || !mount_get_mountpoint(at.mount, &up)) {
            break;
        }
        path_put(&at);
        at = up;
    }
    path_put(&at);
    return fits;
}

void dentry_path(struct dentry *dentry, char *buf, size_t size)
{
    char *pos = buf + size;
    bool fits = prepend(&pos, buf, "", 1);

    if (is_deleted(dentry)) {
        fits = fits && prepend(&pos, buf, "//deleted", 9);
    }
    dentry_tree_lock();
    while (fits && dentry->parent != dentry) {
        fits = prepend(&pos, buf, dentry->name, dentry->name_len) && prepend(&pos, buf, "/", 1);
        dentry = dentry->parent;
    }
    dentry_tree_unlock();
    if (fits) {
        memmove(buf, pos, (size_t)(buf + size - pos));
    } else {
        *buf = '\0';
    }
}

/* In front of what is at `pos`, above `buf`. NULL: it does not fit. */
static char *put_path(const struct path *path, const struct path *root, char *pos, char *buf)
{
    const char *end = pos;
    bool reached;

    if ((dentry_flags(path->dentry) & DENTRY_ANON) != 0) {
        return prepend(&pos, buf, path->dentry->name, path->dentry->name_len) ? pos : NULL;
    }
    path_get(path);
    bool fits = prepend_path(*path, root, &pos, buf, &reached);
    if (fits && pos == end) {
        fits = prepend(&pos, buf, "/", 1);
    }
    if (fits && !reached) {
        fits = prepend(&pos, buf, "(unreachable)", 13);
    }
    return fits ? pos : NULL;
}

char *path_to_place(const struct path *path, const struct path *root, char *buf, size_t size)
{
    char *pos = buf + size;

    return prepend(&pos, buf, "", 1) ? put_path(path, root, pos, buf) : NULL;
}

char *path_to_string(const struct path *path, const struct path *root, char *buf, size_t size)
{
    char *pos = buf + size;
    const char *end = is_deleted(path->dentry) ? " (deleted)" : "";

    return prepend(&pos, buf, end, strlen(end) + 1) ? put_path(path, root, pos, buf) : NULL;
}
