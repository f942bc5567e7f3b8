/*
 * Root, working directory and umask of a process.
 */
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/fs_list.h"
#include "kernel/vfs/mount.h"

#define UMASK_DEFAULT 022u

#define REPLACE_TRIES 1000 /* of a millisecond */

static struct mutex replace_mutex = MUTEX_INIT(replace_mutex);
static struct spinlock context_list_lock = SPINLOCK_INIT("fs context list");
static struct list_node contexts = LIST_INIT(contexts); /* [context_list_lock] */

/* refs, lock and place in the list of a context whose paths are filled in. */
static void fs_context_start(struct fs_context *fs)
{
    refcount_init(&fs->refs, 1);
    spin_init(&fs->lock, "fs context");
    fs->walks = 0;
    fs->replaced = 0;
    fs->users = 1;
    fs->raising = 0;
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

/* A context that pivot number `id` has not looked at, referenced, or NULL. */
static struct fs_context *fs_next_to_replace(uint64_t id)
{
    struct fs_context *fs, *found = NULL;

    spin_lock(&context_list_lock);
    list_for_each (fs, &contexts, node) {
        if (fs->replaced != id && refcount_get_unless_zero(&fs->refs)) {
            fs->replaced = id;
            found = fs;
            break;
        }
    }
    spin_unlock(&context_list_lock);
    return found;
}

/*
 * Our reference keeps new walks of its thread from borrowing; wait for those under way. One that lasts beyond reason (a dead medium)
 * keeps the old root, as a process with a descriptor there would.
 */
static void fs_replace(struct fs_context *fs, const struct path *old, const struct path *new)
{
    atomic_fence(); /* pairs with walk_borrows() */
    for (unsigned tries = 0; atomic_load_acquire(&fs->walks) != 0; tries++) {
        if (tries == REPLACE_TRIES) {
            return;
        }
        thread_sleep_ns(NS_PER_MS);
    }
    spin_lock(&fs->lock);
    bool root = fs_replace_locked(&fs->root, old, new);
    bool cwd = fs_replace_locked(&fs->cwd, old, new);
    spin_unlock(&fs->lock);
    if (root) {
        path_put(old); /* the caller holds one more */
    }
    if (cwd) {
        path_put(old);
    }
}

void fs_contexts_replace(const struct path *old, const struct path *new)
{
    static uint64_t last_id; /* [replace_mutex] */
    struct fs_context *fs;

    mutex_lock(&replace_mutex);
    uint64_t id = ++last_id;
    while ((fs = fs_next_to_replace(id)) != NULL) {
        fs_replace(fs, old, new);
        fs_context_put(fs);
    }
    mutex_unlock(&replace_mutex);
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
