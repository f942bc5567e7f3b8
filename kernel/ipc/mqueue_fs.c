/*
 * The mqueue file system: the names of POSIX message queues. There is one instance, made when it is first wanted; each mount shows it.
 *
 * Locking: the root's inode->lock guards the names; it is taken by vfs.
 */
#include <linux/capability.h>

#include "kernel/base/string.h"
#include "kernel/ipc/mqueue_impl.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/mount.h"

#define MQUEUE_MAGIC 0x19800202 /* statfs(2); not in the ABI headers */
#define QUEUE_BYTES  80         /* st_size, as Linux has it */
#define ROOT_INO     1u

struct mqueuefs {
    struct super *super;         /* [I] */
    struct mount *mount;         /* [I] the kernel's own */
    struct rb_root names;        /* [d] mq_queue.by_name, referenced */
    struct xarray order;         /* [d] mq_queue.cookie -> the same */
    uint64_t next_cookie;        /* [d] also inode numbers */
    struct mutex open_lock;      /* held while mq_open() makes a queue */
    const struct thread *opener; /* [open_lock] the thread that does; read by itself without */
    const struct mq_attr *attr;  /* [open_lock] with these attributes */
};

static struct mutex instance_lock = MUTEX_INIT(instance_lock);
static struct mqueuefs *instance; /* [a] set once, under instance_lock */

/* ---- names ---- */

static int name_compare(const char *name, unsigned len, const struct mq_queue *queue)
{
    int order = strncmp(name, queue->name, len);

    return order != 0 ? order : queue->name[len] == '\0' ? 0 : -1;
}

static struct mq_queue *find_locked(struct mqueuefs *fs, const char *name, unsigned len)
{
    struct rb_node *node = fs->names.node;

    while (node != NULL) {
        struct mq_queue *queue = rb_entry(node, struct mq_queue, by_name);
        int order = name_compare(name, len, queue);
        if (order == 0) {
            return queue;
        }
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}

static void insert_name_locked(struct mqueuefs *fs, struct mq_queue *queue)
{
    struct rb_node **link = &fs->names.node, *parent = NULL;
    unsigned len = (unsigned)strlen(queue->name);

    while (*link != NULL) {
        parent = *link;
        link = name_compare(queue->name, len, rb_entry(parent, struct mq_queue, by_name)) < 0
                   ? &parent->left
                   : &parent->right;
    }
    rb_insert(&fs->names, &queue->by_name, parent, link);
}

/* ---- the directory ---- */

static int mqueue_lookup(struct inode *dir, const char *name, unsigned len,
                         struct inode **ret_inode)
{
    struct mq_queue *queue = find_locked(dir->super->private, name, len);

    if (queue == NULL) {
        return -ENOENT;
    }
    *ret_inode = inode_get(&queue->inode);
    return 0;
}

static const struct inode_ops queue_ops = {0};

/* A queue with its name, which nobody finds yet. What mq_open() wants, or the default. */
static int queue_create(struct mqueuefs *fs, struct inode *dir, const char *name, unsigned len,
                        uint32_t mode, struct mq_queue **ret_queue)
{
    struct mq_queue *queue = kzalloc(sizeof(*queue));

    if (queue == NULL) {
        return -ENOMEM;
    }
    inode_construct(&queue->inode);
    inode_init(&queue->inode, fs->super, dir, mode);
    queue->inode.ops = &queue_ops;
    queue->inode.fops = &mq_fops;
    queue->inode.cache.size_bytes = QUEUE_BYTES;
    queue->name = kstrndup(name, len);
    int err = queue->name == NULL
                  ? -ENOMEM
                  : mq_queue_init(queue, fs->opener == current_thread() ? fs->attr : NULL);
    if (err < 0) {
        inode_put(&queue->inode);
        return err;
    }
    *ret_queue = queue;
    return 0;
}

static int mqueue_create(struct inode *dir, const char *name, unsigned len, uint32_t mode,
                         uint64_t rdev, struct inode **ret_inode)
{
    struct mqueuefs *fs = dir->super->private;
    struct mq_queue *queue;

    (void)rdev;
    if (!S_ISREG(mode)) {
        return -EPERM;
    }
    if (fs->order.nentries >= atomic_load_relaxed(&mq_limits.queues) &&
        !current_has_cap(CAP_SYS_RESOURCE)) {
        return -ENOSPC;
    }
    int err = queue_create(fs, dir, name, len, mode, &queue);
    if (err < 0) {
        return err;
    }
    queue->cookie = queue->inode.ino = fs->next_cookie;
    err = xarray_store(&fs->order, queue->cookie, queue, NULL);
    if (err < 0) {
        inode_put(&queue->inode);
        return err;
    }
    fs->next_cookie++;
    insert_name_locked(fs, queue);
    inode_touch(dir, ATTR_MTIME | ATTR_CTIME);
    *ret_inode = inode_get(&queue->inode);
    return 0;
}

static int mqueue_unlink(struct inode *dir, const char *name, unsigned len, struct inode *target)
{
    struct mqueuefs *fs = dir->super->private;
    struct mq_queue *queue = mq_queue_of(target);

    (void)name, (void)len;
    rb_remove(&fs->names, &queue->by_name);
    (void)xarray_erase(&fs->order, queue->cookie);
    spin_lock(&target->attr_lock);
    target->nlink = 0;
    spin_unlock(&target->attr_lock);
    inode_touch(target, ATTR_CTIME);
    inode_touch(dir, ATTR_MTIME | ATTR_CTIME);
    inode_put(target);
    return 0;
}

/* Positions: 1 after ".", 2 after "..", one more than its cookie behind a queue. */
static int mqueue_iterate(struct file *file, struct dir_context *ctx)
{
    struct mqueuefs *fs = file->inode->super->private;
    struct mq_queue *queue;

    for (; ctx->pos < 2; ctx->pos++) {
        if (!ctx->emit(ctx, "..", (unsigned)ctx->pos + 1, ROOT_INO, S_IFDIR >> 12, ctx->pos + 1)) {
            return 0;
        }
    }
    uint64_t cookie = (uint64_t)ctx->pos;
    while ((queue = xarray_find(&fs->order, &cookie, UINT64_MAX)) != NULL) {
        if (!ctx->emit(ctx, queue->name, (unsigned)strlen(queue->name), queue->inode.ino,
                       S_IFREG >> 12, (loff_t)cookie + 1)) {
            break;
        }
        ctx->pos = (loff_t)++cookie;
    }
    return 0;
}

static const struct inode_ops root_ops = {
    .lookup = mqueue_lookup, .create = mqueue_create, .unlink = mqueue_unlink};
static const struct file_ops root_fops = {.iterate = mqueue_iterate, .llseek = generic_file_llseek};

/* ---- the superblock ---- */

static void destroy_inode(struct inode *inode)
{
    struct mq_queue *queue = mq_queue_of(inode);

    mq_queue_fini(queue);
    kfree(queue->name);
    kfree(queue);
}

static int mqueue_statfs(struct super *super, struct vfs_statfs *ret_stat)
{
    (void)super;
    *ret_stat = (struct vfs_statfs){
        .type = MQUEUE_MAGIC, .block_size = PAGE_SIZE, .name_max = NAME_MAX_BYTES};
    return 0;
}

static const struct super_ops mqueue_super_ops = {.destroy_inode = destroy_inode,
                                                  .statfs = mqueue_statfs};

static int fill(struct mqueuefs *fs)
{
    struct mq_queue *root =
        kzalloc(sizeof(*root)); /* a directory: of the queue only the inode is used */

    if (root == NULL) {
        return -ENOMEM;
    }
    inode_construct(&root->inode);
    inode_init(&root->inode, fs->super, NULL, S_IFDIR | S_ISVTX | 0777);
    root->inode.uid = root->inode.gid = 0;
    root->inode.ino = ROOT_INO;
    root->inode.nlink = 2;
    root->inode.ops = &root_ops;
    root->inode.fops = &root_fops;
    fs->next_cookie = ROOT_INO + 1;
    mutex_init(&fs->open_lock, "mq_open");
    xarray_init(&fs->order, &pagecache_xarray_memory);
    fs->super->private = fs;
    fs->super->root = dentry_create_root(fs->super, &root->inode);
    if (fs->super->root != NULL) {
        refcount_get(&fs->super->refs);
        fs->mount = mount_create_internal(fs->super);
        if (fs->mount != NULL) {
            return 0;
        }
        super_put(fs->super);
    }
    return -ENOMEM;
}

static int instance_make(const struct filesystem *type)
{
    struct mqueuefs *fs = kzalloc(sizeof(*fs));

    if (fs == NULL) {
        return -ENOMEM;
    }
    fs->super = super_create(type, &mqueue_super_ops, "mqueue");
    int err = fs->super == NULL ? -ENOMEM : fill(fs);
    if (err < 0) {
        super_put(fs->super);
        kfree(fs);
        return err;
    }
    atomic_store_release(&instance, fs);
    return 0;
}

static int instance_get(struct mqueuefs **ret_fs)
{
    int err = 0;

    if (atomic_load_acquire(&instance) == NULL) {
        const struct filesystem *type = filesystem_find("mqueue");
        mutex_lock(&instance_lock);
        if (instance == NULL) {
            err = instance_make(type);
        }
        mutex_unlock(&instance_lock);
    }
    *ret_fs = instance;
    return err;
}

static int mqueue_mount(const struct filesystem *type, const char *source, unsigned long flags,
                        const char *options, struct super **ret_super)
{
    struct mqueuefs *fs;
    int err = instance_get(&fs);

    (void)type, (void)source, (void)flags, (void)options;
    if (err < 0) {
        return err;
    }
    refcount_get(&fs->super->refs);
    *ret_super = fs->super;
    return 0;
}

FILESYSTEM(mqueue) = {.name = "mqueue", .flags = FS_NODEV, .mount = mqueue_mount};

/* ---- mq_open, mq_unlink ---- */

static struct path root_path(const struct mqueuefs *fs)
{
    return (struct path){fs->mount, fs->super->root};
}

/* A name that is one component. */
static int check_name(const char *name)
{
    if (strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return -EACCES;
    }
    return strlen(name) > NAME_MAX_BYTES ? -ENAMETOOLONG : *name == '\0' ? -ENOENT : 0;
}

int mq_open(const char *name, int flags, uint32_t mode, const struct mq_attr *attr,
            struct file **ret_file)
{
    struct mqueuefs *fs;
    int err = check_name(name);

    if (err == 0) {
        err = instance_get(&fs);
    }
    if (err < 0) {
        return err;
    }
    struct path root = root_path(fs);
    flags &= O_ACCMODE | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC;
    if ((flags & O_CREAT) == 0) {
        return vfs_open_at(&root, name, flags, 0, ret_file);
    }
    mutex_lock(&fs->open_lock);
    fs->attr = attr;
    fs->opener = current_thread();
    err = vfs_open_at(&root, name, flags, mode & 0777, ret_file);
    fs->opener = NULL;
    mutex_unlock(&fs->open_lock);
    return err;
}

int mq_unlink(const char *name)
{
    struct mqueuefs *fs;
    int err = check_name(name);

    if (err == 0) {
        err = instance_get(&fs);
    }
    if (err < 0) {
        return err;
    }
    struct path root = root_path(fs);
    return vfs_unlink_at(&root, name);
}
