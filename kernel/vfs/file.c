/*
 * Open files: birth, death, and the references that mappings hold.
 *
 * What stays between lives in the slab: the position's mutex, the reference to vm_source_ops. Everything else is set by file_create().
 */
#include "kernel/vfs/file.h"

#include <linux/capability.h>
#include <linux/falloc.h>

#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/pid.h"
#include "kernel/vfs/epoll.h"
#include "kernel/vfs/private.h"

static struct slab_cache *file_slab __ro_after_init;

static struct file *source_file(struct vm_source *source)
{
    return container_of(source, struct file, source);
}

static void source_get(struct vm_source *source)
{
    (void)file_get(source_file(source));
}

struct file *file_of_source(struct vm_source *source)
{
    return source != NULL && source->ops == &file_source_ops ? source_file(source) : NULL;
}

static void source_put(struct vm_source *source)
{
    file_put(source_file(source));
}

static void source_describe(struct vm_source *source, uint64_t *ret_dev, uint64_t *ret_ino,
                            char *path, size_t size)
{
    struct file *file = source_file(source);
    struct path root = {0};

    *ret_dev = file->inode->super->dev;
    *ret_ino = file->inode->ino;
    if (current_thread()->fs != NULL) {
        fs_context_get_paths(current_thread()->fs, &root, NULL);
    }
    char *text = path_to_string(&file->path, &root, path, size);
    if (text == NULL) {
        text = path + size - 1;
        *text = '\0';
    }
    memmove(path, text, strlen(text) + 1);
    path_put(&root);
}

static bool source_may_inspect(struct vm_source *source)
{
    struct inode *inode = source_file(source)->inode;

    return inode_owner_or_capable(inode) || inode_permission(inode, MAY_WRITE) == 0;
}

static int source_punch(struct vm_source *source, uint64_t start, uint64_t end)
{
    struct inode *inode = source_file(source)->inode;

    if (inode->ops->fallocate == NULL) {
        return -EOPNOTSUPP;
    }
    return inode->ops->fallocate(inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (loff_t)start,
                                 (loff_t)(end - start));
}

static int source_sync(struct vm_source *source, uint64_t first, uint64_t npages)
{
    (void)first, (void)npages;
    return vfs_fsync(source_file(source), true);
}

const struct vm_source_ops file_source_ops = {.get = source_get,
                                              .put = source_put,
                                              .sync = source_sync,
                                              .describe = source_describe,
                                              .may_inspect = source_may_inspect,
                                              .punch = source_punch};

static void file_construct(void *object)
{
    struct file *file = object;

    refcount_init(&file->refs, 0);
    mutex_init(&file->pos_lock, "file position");
}

void files_init(void)
{
    file_slab =
        slab_cache_create("file", sizeof(struct file), 0, SLAB_TYPE_STABLE_RCU, file_construct);
    if (file_slab == NULL) {
        panic("vfs: no memory for the file cache");
    }
}

uint64_t files_count(void)
{
    return slab_objects(file_slab);
}

int file_create(const struct path *path, int flags, unsigned mode, struct file **ret_file)
{
    struct file *file = slab_alloc(file_slab, 0);
    struct cred *cred = current_thread()->cred;

    if (unlikely(file == NULL)) {
        return -ENFILE;
    }
    file->inode = path->dentry->inode;
    file->fops = file->inode->fops;
    file->flags = (uint32_t)flags;
    file->mode = mode;
    file->pos = 0;
    file->path = *path;
    file->cred = cred_get(cred != NULL ? cred : &cred_init_user);
    file->private = NULL;
    file->source.ops = &file_source_ops;
    file->source.cache = NULL;
    file->source.ahead = NULL;
    file->owner = NULL;
    file->owner_type = 0;
    file->owner_signal = 0;
    file->watchers = NULL;
    file->flock_held = false;
    file->async = false;
    /* Last: who still looks at the file that this memory was (fd_borrow_shared) may take a reference from now on. */
    atomic_store_release(&file->refs.value, 1);
    *ret_file = file;
    return 0;
}

static void file_free(struct file *file)
{
    cred_put(file->cred);
    slab_free(file_slab, file);
}

void file_discard(struct file *file)
{
    file->mode |= FMODE_UNOPENED;
    file_put(
        file); /* who looked at the file that this memory was (fd_borrow_shared) may have a reference for a moment */
}

static void file_destroy(struct file *file)
{
    struct path path = file->path;

    if (unlikely((file->mode & FMODE_UNOPENED) != 0)) {
        file_free(file);
        return;
    }
    notify_file(file, (file->mode & FMODE_WRITE) != 0 ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
    if (unlikely(atomic_load_acquire(&file->watchers) != NULL)) {
        epoll_forget_file(file);
    }
    if (unlikely(file->flock_held)) {
        vfs_locks_release(file);
    }
    if (unlikely(file->async)) {
        (void)file->fops->fasync(-1, file, false);
    }
    if (file->fops->release != NULL && (file->mode & FMODE_PATH) == 0) {
        file->fops->release(file);
    }
    if ((file->mode & FMODE_WRITER) != 0) {
        inode_put_write(file->inode);
        (void)atomic_fetch_sub_relaxed(&path.mount->writers, 1);
    }
    if ((file->mode & FMODE_EXEC) != 0) {
        inode_allow_write(file->inode);
    }
    pid_put(file->owner);
    file_free(file);
    path_put(&path);
}

void file_put(struct file *file)
{
    if (file != NULL && refcount_put(&file->refs)) {
        file_destroy(file);
    }
}

void file_put_later(struct file *file)
{
    struct thread *thread = current_thread();

    if (!refcount_put(&file->refs)) {
        return;
    }
    file->next_owed = thread->files_owed;
    thread->files_owed = file;
    if (likely(thread->process != NULL)) {
        thread_set_work(thread, THREAD_WORK_NOTIFY);
    } else if (!thread->pays_files) { /* else one that it owes has owed this one */
        files_put_owed();
    }
}

void files_put_owed(void)
{
    struct thread *thread = current_thread();
    struct file *file;

    thread->pays_files = true;
    while ((file = thread->files_owed) != NULL) {
        thread->files_owed = file->next_owed;
        file_destroy(file);
    }
    thread->pays_files = false;
}
