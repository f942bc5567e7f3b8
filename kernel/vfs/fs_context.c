/*
 * Root, working directory and umask of a process.
 */
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/fs_list.h"
#include "kernel/vfs/mount.h"

#define UMASK_DEFAULT 022u

static struct spinlock context_list_lock = SPINLOCK_INIT("fs context list");
static struct list_node contexts = LIST_INIT(contexts); /* [context_list_lock] */

/* refs, lock and place in the list of a context whose paths are filled in. */
static void fs_context_start(struct fs_context *fs)
{
    refcount_init(&fs->refs, 1);
    spin_init(&fs->lock, "fs context");
    spin_lock(&context_list_lock);
    list_push_back(&contexts, &fs->node);
    spin_unlock(&context_list_lock);
}

struct fs_context *fs_context_create(const struct path *root)
{
    struct fs_context *fs = kmalloc(sizeof(*fs));

    if (fs == NULL) {
        return NULL;
    }
    fs->root = *root;
    fs->cwd = *root;
    path_get(root);
    path_get(root);
    fs->umask = UMASK_DEFAULT;
    fs_context_start(fs);
    return fs;
}

struct fs_context *fs_context_clone(struct fs_context *fs)
{
    struct fs_context *copy = kmalloc(sizeof(*copy));

    if (copy == NULL) {
        return NULL;
    }
    fs_context_get_paths(fs, &copy->root, &copy->cwd);
    copy->umask = atomic_load_relaxed(&fs->umask);
    fs_context_start(copy);
    return copy;
}

void fs_context_put(struct fs_context *fs)
{
    if (fs != NULL && refcount_put(&fs->refs)) {
        spin_lock(&context_list_lock);
        list_remove(&fs->node);
        spin_unlock(&context_list_lock);
        path_put(&fs->root);
        path_put(&fs->cwd);
        kfree(fs);
    }
}

void fs_context_get_paths(struct fs_context *fs, struct path *ret_root, struct path *ret_cwd)
{
    spin_lock(&fs->lock);
    if (ret_root != NULL) {
        *ret_root = fs->root;
        path_get(ret_root);
    }
    if (ret_cwd != NULL) {
        *ret_cwd = fs->cwd;
        path_get(ret_cwd);
    }
    spin_unlock(&fs->lock);
}

static void fs_context_set(struct fs_context *fs, struct path *member, const struct path *path)
{
    path_get(path);
    spin_lock(&fs->lock);
    struct path old = *member;
    *member = *path;
    spin_unlock(&fs->lock);
    path_put(&old);
}

void fs_context_set_cwd(struct fs_context *fs, const struct path *path)
{
    fs_context_set(fs, &fs->cwd, path);
}

void fs_context_set_root(struct fs_context *fs, const struct path *path)
{
    fs_context_set(fs, &fs->root, path);
}

uint32_t fs_umask(void)
{
    const struct fs_context *fs = current_thread()->fs;

    return fs == NULL ? UMASK_DEFAULT : atomic_load_relaxed(&fs->umask);
}

/* Replace one path; true when the old one's references are the caller's now. fs->lock held. */
static bool fs_replace_locked(struct path *member, const struct path *old, const struct path *new)
{
    if (!path_equal(member, old)) {
        return false;
    }
    path_get(new);
    *member = *new;
    return true;
}

void fs_contexts_replace(const struct path *old, const struct path *new)
{
    struct fs_context *fs;
    unsigned released = 0;

    spin_lock(&context_list_lock);
    list_for_each (fs, &contexts, node) {
        spin_lock(&fs->lock);
        released += fs_replace_locked(&fs->root, old, new) ? 1 : 0;
        released += fs_replace_locked(&fs->cwd, old, new) ? 1 : 0;
        spin_unlock(&fs->lock);
    }
    spin_unlock(&context_list_lock);
    for (; released > 0; released--) {
        path_put(old); /* the caller holds one more */
    }
}

void path_get(const struct path *path)
{
    (void)mount_get(path->mount);
    (void)dentry_get(path->dentry);
}

void path_put(const struct path *path)
{
    if (path->dentry != NULL) {
        dentry_put(path->dentry);
        mount_put(path->mount);
    }
}
