/*
 * procfs: superblock and root directory: the static tree of PROC_FILE entries, self, thread-self, and a directory for each process.
 */
#include "kernel/fs/procfs/procfs.h"
#include "kernel/proc/pidfd.h"

#include <linux/magic.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/mutex.h"

LINKSET_DECLARE(proc_files, struct text_file);

/* One tree for all mounts, made by the first. */
static struct mutex tree_lock = MUTEX_INIT(tree_lock);
static struct text_tree tree; /* [tree_lock] until tree_made */
static bool tree_made;

/* The numbers below are the tree's. */
#define SELF_INO        1u
#define THREAD_SELF_INO 2u
#define ROOT_INO        3u
/* Positions in the root directory: the tree's names, then these, then processes by number. */
#define POS_SELF        250
#define POS_THREAD_SELF 251
#define POS_PIDS        256

static void tree_make(void)
{
    mutex_lock(&tree_lock);
    if (!tree_made) {
        text_tree_init(&tree, ROOT_INO);
        linkset_foreach (proc_files, struct text_file, file) {
            if (text_tree_add(&tree, file) < 0) {
                log_err("procfs: cannot add %s", file->path);
            }
        }
        tree_made = true;
    }
    mutex_unlock(&tree_lock);
}

/* ---- self ---- */

static ssize_t self_readlink(struct inode *inode, char *buf, size_t size)
{
    int nr = process_current() == NULL ? 0 : pid_nr(process_current()->pid);

    if (nr == 0) {
        return -ENOENT;
    }
    if (inode->ino == SELF_INO) {
        return kscnprintf(buf, size, "%d", nr);
    }
    return kscnprintf(buf, size, "%d/task/%d", nr, pid_nr(current_thread()->pid));
}

static const struct inode_ops self_ops = {.readlink = self_readlink};

static struct inode *self_create(struct super *super, uint64_t ino)
{
    struct inode *inode = text_inode_alloc(super, sizeof(*inode), ino, S_IFLNK | 0777);

    if (inode != NULL) {
        inode->ops = &self_ops;
    }
    return inode;
}

/* ---- the root directory ---- */

static int lookup_process(struct super *super, int64_t nr, struct inode **ret_inode)
{
    struct pid *pid = nr > 0 && nr <= INT32_MAX ? pid_find((int)nr) : NULL;
    struct thread *thread;
    struct process *process = pid == NULL ? NULL : process_of_thread_pid(pid, &thread);
    int err = -ENOENT;

    /* The number of a thread is found as well, though it is not listed (proc(5)). */
    if (process != NULL) {
        *ret_inode = proc_pid_inode_create(super, pid, false);
        err = *ret_inode == NULL ? -ENOMEM : 0;
        thread_put(thread);
        process_put(process);
    }
    pid_put(pid);
    return err;
}

static int root_lookup(struct inode *dir, const char *name, unsigned len, struct inode **ret_inode)
{
    const struct text_node *node;
    int64_t nr = proc_parse_number(name, len);

    if (nr >= 0) {
        return lookup_process(dir->super, nr, ret_inode);
    }
    node = text_node_find(&tree.root, name, len);
    if (node != NULL) {
        *ret_inode = text_inode_create(dir->super, node);
    } else if (len == 4 && memcmp(name, "self", 4) == 0) {
        *ret_inode = self_create(dir->super, SELF_INO);
    } else if (len == 11 && memcmp(name, "thread-self", 11) == 0) {
        *ret_inode = self_create(dir->super, THREAD_SELF_INO);
    } else {
        return -ENOENT;
    }
    return *ret_inode == NULL ? -ENOMEM : 0;
}

static bool emit_processes(struct dir_context *ctx)
{
    for (;;) {
        struct process *process = process_next((int)(ctx->pos - POS_PIDS));
        char name[12];
        int nr, len;
        bool more;
        if (process == NULL) {
            return true;
        }
        nr = pid_nr(process->pid);
        process_put(process);
        len = kscnprintf(name, sizeof(name), "%d", nr);
        more = ctx->emit(ctx, name, (unsigned)len, PROC_PID_INO(nr), S_IFDIR >> 12,
                         (loff_t)nr + 1 + POS_PIDS);
        if (!more) {
            return false;
        }
        ctx->pos = (loff_t)nr + 1 + POS_PIDS;
    }
}

static int root_iterate(struct file *file, struct dir_context *ctx)
{
    (void)file;
    if (ctx->pos < POS_SELF) {
        if (!text_emit_dots(ctx, ROOT_INO, ROOT_INO) || !text_emit_nodes(ctx, &tree.root)) {
            return 0;
        }
        ctx->pos = POS_SELF;
    }
    if (ctx->pos == POS_SELF) {
        if (!ctx->emit(ctx, "self", 4, SELF_INO, S_IFLNK >> 12, POS_THREAD_SELF)) {
            return 0;
        }
        ctx->pos = POS_THREAD_SELF;
    }
    if (ctx->pos == POS_THREAD_SELF) {
        if (!ctx->emit(ctx, "thread-self", 11, THREAD_SELF_INO, S_IFLNK >> 12, POS_PIDS)) {
            return 0;
        }
    }
    if (ctx->pos < POS_PIDS) {
        ctx->pos = POS_PIDS;
    }
    (void)emit_processes(ctx);
    return 0;
}

static int root_getattr(struct inode *inode, struct inode_stat *ret_stat);
static const struct inode_ops root_ops = {.lookup = root_lookup, .getattr = root_getattr};
static const struct file_ops root_fops = {.iterate = root_iterate, .llseek = generic_file_llseek};

/* The link count tells the number of processes, as proc(5)'s readers know it. */
static int root_getattr(struct inode *inode, struct inode_stat *ret_stat)
{
    *ret_stat = (struct inode_stat){.dev = inode->super->dev,
                                    .ino = inode->ino,
                                    .mode = inode->mode,
                                    .nlink = 2 + (uint32_t)process_count(),
                                    .block_size = 1024,
                                    .atime = inode->atime,
                                    .mtime = inode->mtime,
                                    .ctime = inode->ctime,
                                    .btime = inode->btime};
    return 0;
}

/* ---- the superblock ---- */

static void destroy_inode(struct inode *inode)
{
    if (proc_inode_has_pid(inode)) {
        pid_put(proc_inode_of(inode)->pid);
    }
    kfree(inode);
}

static int procfs_statfs(struct super *super, struct vfs_statfs *ret_stat)
{
    (void)super;
    *ret_stat = (struct vfs_statfs){
        .type = PROC_SUPER_MAGIC, .block_size = PAGE_SIZE, .name_max = NAME_MAX_BYTES};
    return 0;
}

static const struct super_ops super_ops = {
    .destroy_inode = destroy_inode,
    .statfs = procfs_statfs,
};

static int procfs_mount(const struct filesystem *fs, const char *source, unsigned long flags,
                        const char *options, struct super **ret_super)
{
    struct super *super;
    struct inode *root;

    (void)flags;
    (void)options;
    tree_make();
    atomic_store_relaxed(&pidfd_directory_pid, proc_directory_pid);
    super = super_create(fs, &super_ops, source);
    if (super == NULL) {
        return -ENOMEM;
    }
    root = text_inode_alloc(super, sizeof(*root), ROOT_INO, S_IFDIR | 0555);
    if (root == NULL) {
        goto put_super;
    }
    root->ops = &root_ops;
    root->fops = &root_fops;
    super->root = dentry_create_root(super, root); /* takes root over, even when it fails */
    if (super->root == NULL) {
        goto put_super;
    }
    *ret_super = super;
    return 0;

put_super:
    super_put(super);
    return -ENOMEM;
}

FILESYSTEM(proc) = {.name = "proc", .flags = FS_NODEV | FS_NO_NEGATIVE, .mount = procfs_mount};
