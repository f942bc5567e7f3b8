/*
 * devpts: the slaves of pseudo-terminals as files (Linux Documentation/filesystems/devpts). Each mount is an instance of its own, with
 * its own ptmx; a ptmx elsewhere (/dev/ptmx) belongs to the instance mounted on "pts" beside it.
 *
 * Options: uid=N gid=N mode=OCTAL (of slaves; without uid and gid: the opener's), ptmxmode=OCTAL, max=N, newinstance (what every
 * mount is anyway).
 *
 * Locks:  I immutable   f fs->lock (mutex)
 */
#include <asm/fcntl.h>
#include <linux/magic.h>
#include <linux/major.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/dev/pty.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/mutex.h"
#include "kernel/vfs/mount.h"

#define ROOT_INO  1u
#define PTMX_INO  2u
#define SLAVE_INO 3u /* + index */

struct devpts_options {
    bool uid_set, gid_set;
    uint32_t uid, gid, mode, ptmx_mode, max;
};

struct devpts {
    struct super *super;           /* [I] */
    struct devpts_options options; /* [f] */
    struct mutex lock;
    struct inode *ptmx; /* [I] referenced */
    struct xarray
        slaves; /* [f] index -> struct inode, referenced: owner and mode live as long as the pair */
};

static const struct filesystem *devpts_type(void);

/* ---- options ---- */

static int option_number(const char *text, unsigned base, uint32_t *ret)
{
    uint64_t value;

    if (str_to_u64(text, base, &value) < 0 || value > UINT32_MAX) {
        return -EINVAL;
    }
    *ret = (uint32_t)value;
    return 0;
}

static int option_parse_one(const char *word, struct devpts_options *options)
{
    if (str_has_prefix(word, "uid=")) {
        options->uid_set = true;
        return option_number(word + 4, 10, &options->uid);
    }
    if (str_has_prefix(word, "gid=")) {
        options->gid_set = true;
        return option_number(word + 4, 10, &options->gid);
    }
    if (str_has_prefix(word, "mode=")) {
        return option_number(word + 5, 8, &options->mode);
    }
    if (str_has_prefix(word, "ptmxmode=")) {
        return option_number(word + 9, 8, &options->ptmx_mode);
    }
    if (str_has_prefix(word, "max=")) {
        return option_number(word + 4, 10, &options->max);
    }
    return strcmp(word, "newinstance") == 0 || *word == '\0' ? 0 : -EINVAL;
}

static int options_parse(const char *text, struct devpts_options *ret_options)
{
    struct devpts_options options = *ret_options;
    char word[64];
    int err;

    while (text != NULL && *text != '\0') {
        const char *end = strchr(text, ',');
        size_t len = end == NULL ? strlen(text) : (size_t)(end - text);
        if (len >= sizeof(word)) {
            return -EINVAL;
        }
        memcpy(word, text, len);
        word[len] = '\0';
        err = option_parse_one(word, &options);
        if (err < 0) {
            return err;
        }
        text = end == NULL ? NULL : end + 1;
    }
    options.mode &= 0777;
    options.ptmx_mode &= 0777;
    options.max = MIN(options.max, (uint32_t)PTY_MAX);
    *ret_options = options;
    return 0;
}

/* ---- inodes ---- */

static bool slave_revalidate(struct inode *inode)
{
    return READ_ONCE(inode->nlink) > 0;
}

static const struct inode_ops device_ops = {.revalidate = slave_revalidate};

static struct inode *inode_make(struct super *super, uint64_t ino, uint32_t mode)
{
    struct inode *inode = kzalloc(sizeof(*inode));

    if (inode != NULL) {
        inode_construct(inode);
        inode_init(inode, super, NULL, mode);
        inode->ino = ino;
        inode->ops = &device_ops;
    }
    return inode;
}

/* The slave or ptmx of this name, referenced; NULL: none. */
static struct inode *find_name(struct devpts *fs, const char *name, unsigned len)
{
    struct inode *inode = NULL;
    unsigned index = 0;

    if (len == 4 && memcmp(name, "ptmx", 4) == 0) {
        return inode_get(fs->ptmx);
    }
    if (len == 0 || len > 4 || (len > 1 && name[0] == '0')) {
        return NULL;
    }
    for (unsigned i = 0; i < len; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return NULL;
        }
        index = index * 10 + (unsigned)(name[i] - '0');
    }
    if (index >= PTY_MAX) {
        return NULL;
    }
    mutex_lock(&fs->lock);
    inode = xarray_load(&fs->slaves, index);
    if (inode != NULL) {
        inode_get(inode);
    }
    mutex_unlock(&fs->lock);
    return inode;
}

static int root_lookup(struct inode *dir, const char *name, unsigned len, struct inode **ret_inode)
{
    struct inode *inode = find_name(dir->super->private, name, len);

    if (inode == NULL) {
        return -ENOENT;
    }
    *ret_inode = inode;
    return 0;
}

static const struct inode_ops root_ops = {.lookup = root_lookup};

/* Positions: 1 after ".", 2 after "..", 3 after ptmx, 4 + index after a slave. */
static int root_iterate(struct file *file, struct dir_context *ctx)
{
    struct devpts *fs = file->inode->super->private;
    uint64_t index;
    static const struct {
        const char *name;
        unsigned ino, type;
    } fixed[] = {{".", ROOT_INO, S_IFDIR >> 12},
                 {"..", ROOT_INO, S_IFDIR >> 12},
                 {"ptmx", PTMX_INO, S_IFCHR >> 12}};

    for (; ctx->pos < 3; ctx->pos++) {
        const char *name = fixed[ctx->pos].name;
        if (!ctx->emit(ctx, name, (unsigned)strlen(name), fixed[ctx->pos].ino, fixed[ctx->pos].type,
                       ctx->pos + 1)) {
            return 0;
        }
    }
    mutex_lock(&fs->lock);
    index = (uint64_t)ctx->pos - 3;
    while (xarray_find(&fs->slaves, &index, PTY_MAX - 1) != NULL) {
        char name[8];
        int len = kscnprintf(name, sizeof(name), "%u", (unsigned)index);
        if (!ctx->emit(ctx, name, (unsigned)len, SLAVE_INO + index, S_IFCHR >> 12,
                       (loff_t)index + 4)) {
            break;
        }
        ctx->pos = (loff_t)++index + 3;
    }
    mutex_unlock(&fs->lock);
    return 0;
}

static const struct file_ops root_fops = {
    .iterate = root_iterate,
    .llseek = generic_file_llseek,
};

/* ---- what pty.c asks ---- */

/* The place "pts" beside a ptmx, if an instance is mounted there, or the ptmx' own instance. Referenced. */
static int instance_path(struct file *ptmx, struct path *ret_path)
{
    struct path parent, path;
    int err;

    if (ptmx->path.dentry->super->fs == devpts_type()) {
        ret_path->mount = mount_get(ptmx->path.mount);
        ret_path->dentry = dentry_get(ptmx->path.dentry->super->root);
        return 0;
    }
    parent.mount = ptmx->path.mount;
    parent.dentry = dentry_get_parent(ptmx->path.dentry);
    err = path_lookup_at(&parent, "pts", LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &path);
    dentry_put(parent.dentry);
    if (err < 0) {
        return err;
    }
    if (path.dentry->super->fs != devpts_type() || path.dentry != path.dentry->super->root) {
        path_put(&path);
        return -EIO;
    }
    *ret_path = path;
    return 0;
}

static void *instance_get(struct file *ptmx)
{
    struct path path;
    struct devpts *fs;

    if (instance_path(ptmx, &path) < 0) {
        return NULL;
    }
    fs = path.dentry->super->private;
    refcount_get(&fs->super->refs);
    path_put(&path);
    return fs;
}

static void instance_put(void *instance)
{
    struct devpts *fs = instance;

    super_put(fs->super);
}

static int slave_add(void *instance, unsigned index, uint64_t rdev)
{
    struct devpts *fs = instance;
    struct inode *inode = inode_make(fs->super, SLAVE_INO + index, S_IFCHR | fs->options.mode);
    int err = -ENOSPC;

    if (inode == NULL) {
        return -ENOMEM;
    }
    inode_init_special(inode, rdev);
    inode->uid = fs->options.uid_set ? fs->options.uid : cred_current()->fsuid;
    inode->gid = fs->options.gid_set ? fs->options.gid : cred_current()->fsgid;
    mutex_lock(&fs->lock);
    if (fs->slaves.nentries < fs->options.max) {
        err = xarray_store(&fs->slaves, index, inode, NULL);
    }
    mutex_unlock(&fs->lock);
    if (err < 0) {
        inode_put(inode);
    }
    return err;
}

static void slave_remove(void *instance, unsigned index)
{
    struct devpts *fs = instance;
    struct inode *inode;

    mutex_lock(&fs->lock);
    inode = xarray_erase(&fs->slaves, index);
    mutex_unlock(&fs->lock);
    spin_lock(&inode->attr_lock);
    inode->nlink = 0;
    spin_unlock(&inode->attr_lock);
    inode_put(inode);
}

static bool is_slave(const struct inode *node)
{
    return node->super->fs == devpts_type() && READ_ONCE(node->nlink) > 0;
}

static int slave_path(struct file *ptmx, unsigned index, struct path *ret_path)
{
    struct path root;
    char name[8];
    int err = instance_path(ptmx, &root);

    if (err < 0) {
        return err;
    }
    (void)ksnprintf(name, sizeof(name), "%u", index);
    err = path_lookup_at(&root, name, 0, ret_path);
    path_put(&root);
    return err;
}

static const struct pty_fs_ops fs_ops = {
    .instance_get = instance_get,
    .instance_put = instance_put,
    .slave_add = slave_add,
    .slave_remove = slave_remove,
    .is_slave = is_slave,
    .slave_path = slave_path,
};

/* ---- the superblock ---- */

static void destroy_inode(struct inode *inode)
{
    kfree(inode);
}

static int devpts_statfs(struct super *super, struct vfs_statfs *ret_stat)
{
    (void)super;
    *ret_stat = (struct vfs_statfs){
        .type = DEVPTS_SUPER_MAGIC, .block_size = PAGE_SIZE, .name_max = NAME_MAX_BYTES};
    return 0;
}

static int devpts_remount(struct super *super, unsigned flags, const char *options)
{
    struct devpts *fs = super->private;
    int err;

    (void)flags;
    mutex_lock(&fs->lock);
    err = options_parse(options, &fs->options);
    if (err == 0) {
        spin_lock(&fs->ptmx->attr_lock);
        fs->ptmx->mode = S_IFCHR | fs->options.ptmx_mode;
        spin_unlock(&fs->ptmx->attr_lock);
    }
    mutex_unlock(&fs->lock);
    return err;
}

static void show_options(struct super *super, char *buf, size_t size)
{
    struct devpts *fs = super->private;
    const struct devpts_options *options = &fs->options;
    int n = 0;

    if (options->uid_set) {
        n += kscnprintf(buf, size, ",uid=%u", options->uid);
    }
    if (options->gid_set) {
        n += kscnprintf(buf + n, size - (size_t)n, ",gid=%u", options->gid);
    }
    (void)kscnprintf(buf + n, size - (size_t)n, ",mode=%03o,ptmxmode=%03o", options->mode,
                     options->ptmx_mode);
}

static void devpts_unmount(struct super *super)
{
    struct devpts *fs = super->private;

    if (fs == NULL) {
        return; /* the mount failed half-way */
    }
    xarray_fini(&fs->slaves);
    inode_put(fs->ptmx); /* masters hold the superblock: no slave is left */
    kfree(fs);
}

static const struct super_ops super_ops = {
    .destroy_inode = destroy_inode,
    .statfs = devpts_statfs,
    .remount = devpts_remount,
    .show_options = show_options,
    .unmount = devpts_unmount,
};

static int fill_super(struct super *super, const struct devpts_options *options)
{
    struct devpts *fs = kzalloc(sizeof(*fs));
    struct inode *root;

    if (fs == NULL) {
        return -ENOMEM;
    }
    fs->super = super;
    fs->options = *options;
    mutex_init(&fs->lock, "devpts");
    xarray_init(&fs->slaves, &pagecache_xarray_memory);
    fs->ptmx = inode_make(super, PTMX_INO, S_IFCHR | options->ptmx_mode);
    root = inode_make(super, ROOT_INO, S_IFDIR | 0755);
    if (fs->ptmx == NULL || root == NULL) {
        goto free_inodes;
    }
    inode_init_special(fs->ptmx, DEV_MAKE(TTYAUX_MAJOR, 2));
    root->ops = &root_ops;
    root->fops = &root_fops;
    root->nlink = 2;
    super->private = fs;
    super->root = dentry_create_root(super, root); /* takes root over, even when it fails */
    if (super->root != NULL) {
        return 0;
    }
    root = NULL;

free_inodes:
    super->private = NULL;
    if (root != NULL) {
        inode_put(root);
    }
    if (fs->ptmx != NULL) {
        inode_put(fs->ptmx);
    }
    kfree(fs);
    return -ENOMEM;
}

static int devpts_mount(const struct filesystem *type, const char *source, unsigned long flags,
                        const char *options, struct super **ret_super)
{
    struct devpts_options parsed = {.mode = 0600, .max = PTY_MAX};
    struct super *super;
    int err = options_parse(options, &parsed);

    (void)flags;
    if (err < 0) {
        return err;
    }
    super = super_create(type, &super_ops, source);
    if (super == NULL) {
        return -ENOMEM;
    }
    err = fill_super(super, &parsed);
    if (err < 0) {
        super_put(super);
        return err;
    }
    pty_fs = &fs_ops;
    *ret_super = super;
    return 0;
}

FILESYSTEM(devpts) = {.name = "devpts", .flags = FS_NODEV | FS_NO_NEGATIVE, .mount = devpts_mount};

static const struct filesystem *devpts_type(void)
{
    return &linkset_filesystems_devpts;
}
