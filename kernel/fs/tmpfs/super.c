/*
 * tmpfs superblocks: mount options and limits (tmpfs(5)).
 */
#include <linux/magic.h>
#include <linux/mount.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/fs/tmpfs/tmpfs.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/dentry.h"

#define TMPFS_MODE_DEFAULT 01777u

struct tmpfs_options {
    uint64_t max_pages, max_inodes;
    uint32_t mode, uid, gid;
    bool size_given, inodes_given;
};

static uint64_t ram_pages(void)
{
    struct frame_stats stats;

    frame_stats(&stats);
    return stats.total;
}

/* Reserve `n` of a counter with a limit (0: none). */
static int counter_charge(uint64_t *used, const uint64_t *limit, uint64_t n)
{
    uint64_t max = atomic_load_relaxed(limit);
    uint64_t before = atomic_fetch_add_relaxed(used, n);

    if (unlikely(max != 0 && before + n > max)) {
        (void)atomic_fetch_sub_relaxed(used, n);
        return -ENOSPC;
    }
    return 0;
}

int tmpfs_charge_pages(struct tmpfs_super *tmpfs, uint64_t npages)
{
    return counter_charge(&tmpfs->used_pages, &tmpfs->max_pages, npages);
}

void tmpfs_uncharge_pages(struct tmpfs_super *tmpfs, uint64_t npages)
{
    (void)atomic_fetch_sub_relaxed(&tmpfs->used_pages, npages);
}

/* "size=": bytes with a suffix, or a share of RAM with '%'. */
static int parse_size(char *value, uint64_t *ret_pages)
{
    size_t len = strlen(value);
    uint64_t bytes;

    if (len > 0 && value[len - 1] == '%') {
        value[len - 1] = '\0';
        int err = str_to_u64(value, 10, &bytes);
        *ret_pages = ram_pages() * bytes / 100;
        return err;
    }
    int err = str_to_size(value, &bytes);
    if (err == 0) {
        *ret_pages = DIV_ROUND_UP(bytes, PAGE_SIZE);
    }
    return err;
}

static int parse_u32(const char *value, unsigned base, uint32_t *ret_value)
{
    uint64_t number;

    int err = str_to_u64(value, base, &number);
    if (err == 0 && number > UINT32_MAX) {
        err = -ERANGE;
    }
    if (err == 0) {
        *ret_value = (uint32_t)number;
    }
    return err;
}

static int parse_one(const char *key, char *value, struct tmpfs_options *options)
{
    if (strcmp(key, "size") == 0) {
        options->size_given = true;
        return parse_size(value, &options->max_pages);
    }
    if (strcmp(key, "nr_blocks") == 0) {
        options->size_given = true;
        return str_to_size(value, &options->max_pages);
    }
    if (strcmp(key, "nr_inodes") == 0) {
        options->inodes_given = true;
        return str_to_size(value, &options->max_inodes);
    }
    if (strcmp(key, "mode") == 0) {
        int err = parse_u32(value, 8, &options->mode);
        options->mode &= 07777;
        return err;
    }
    if (strcmp(key, "uid") == 0) {
        return parse_u32(value, 10, &options->uid);
    }
    if (strcmp(key, "gid") == 0) {
        return parse_u32(value, 10, &options->gid);
    }
    if (strcmp(key, "huge") == 0 && strcmp(value, "never") == 0) {
        return 0; /* what we do anyway */
    }
    return -EINVAL;
}

/* "key=value,key=value"; what is not named keeps its value. -EINVAL. */
static int parse_options(const char *text, struct tmpfs_options *options)
{
    char *copy = text == NULL ? NULL : kstrdup(text);
    int err = 0;

    if (copy == NULL) {
        return text == NULL ? 0 : -ENOMEM;
    }
    for (char *item = copy; err == 0 && item != NULL;) {
        char *next = strchr(item, ',');
        if (next != NULL) {
            *next++ = '\0';
        }
        if (*item != '\0') {
            char *value = strchr(item, '=');
            if (value != NULL) {
                *value++ = '\0';
            }
            err = value == NULL || parse_one(item, value, options) < 0 ? -EINVAL : 0;
        }
        item = next;
    }
    kfree(copy);
    return err;
}

static int tmpfs_statfs(struct super *super, struct vfs_statfs *ret_stat)
{
    const struct tmpfs_super *tmpfs = tmpfs_super_of(super);
    uint64_t used = atomic_load_relaxed(&tmpfs->used_pages);
    uint64_t inodes = atomic_load_relaxed(&tmpfs->used_inodes);

    ret_stat->type = TMPFS_MAGIC;
    if (tmpfs->max_pages != 0) {
        ret_stat->blocks = tmpfs->max_pages;
        ret_stat->blocks_free = tmpfs->max_pages - MIN(used, tmpfs->max_pages);
        ret_stat->blocks_available = ret_stat->blocks_free;
    }
    if (tmpfs->max_inodes != 0) {
        ret_stat->files = tmpfs->max_inodes;
        ret_stat->files_free = tmpfs->max_inodes - MIN(inodes, tmpfs->max_inodes);
    }
    return 0;
}

static int tmpfs_remount(struct super *super, unsigned flags, const char *text)
{
    struct tmpfs_super *tmpfs = tmpfs_super_of(super);
    struct tmpfs_options options = {.max_pages = tmpfs->max_pages,
                                    .max_inodes = tmpfs->max_inodes,
                                    .mode = tmpfs->mode,
                                    .uid = tmpfs->uid,
                                    .gid = tmpfs->gid,
                                    .size_given = tmpfs->size_given,
                                    .inodes_given = tmpfs->inodes_given};

    (void)flags;
    int err = parse_options(text, &options);
    if (err < 0) {
        return err;
    }
    if ((options.max_pages != 0 && options.max_pages < atomic_load_relaxed(&tmpfs->used_pages)) ||
        (options.max_inodes != 0 &&
         options.max_inodes < atomic_load_relaxed(&tmpfs->used_inodes))) {
        return -EINVAL;
    }
    atomic_store_relaxed(&tmpfs->max_pages, options.max_pages);
    atomic_store_relaxed(&tmpfs->max_inodes, options.max_inodes);
    tmpfs->size_given = options.size_given;
    tmpfs->inodes_given = options.inodes_given;
    return 0;
}

static void tmpfs_show_options(struct super *super, char *buf, size_t size)
{
    const struct tmpfs_super *tmpfs = tmpfs_super_of(super);
    size_t len = 0;

    *buf = '\0';
    if (tmpfs->size_given) {
        len += (size_t)kscnprintf(buf + len, size - len, ",size=%lluk",
                                  (unsigned long long)(tmpfs->max_pages * (PAGE_SIZE / 1024)));
    }
    if (tmpfs->inodes_given) {
        len += (size_t)kscnprintf(buf + len, size - len, ",nr_inodes=%llu",
                                  (unsigned long long)tmpfs->max_inodes);
    }
    if (tmpfs->mode != TMPFS_MODE_DEFAULT) {
        len += (size_t)kscnprintf(buf + len, size - len, ",mode=%03o", tmpfs->mode);
    }
    if (tmpfs->uid != 0) {
        len += (size_t)kscnprintf(buf + len, size - len, ",uid=%u", tmpfs->uid);
    }
    if (tmpfs->gid != 0) {
        (void)kscnprintf(buf + len, size - len, ",gid=%u", tmpfs->gid);
    }
}

/* Drop every entry of the tree without recursion: down into the first non-empty directory, up when one is empty. */
static void tmpfs_empty_tree(struct tmpfs_inode *root)
{
    struct tmpfs_inode *dir = root;

    for (;;) {
        struct tmpfs_entry *entry = tmpfs_entry_first(dir);
        if (entry == NULL) {
            if (dir == root) {
                return;
            }
            dir = tmpfs_inode_of(dir->parent);
            entry = tmpfs_entry_first(dir); /* the one we came from */
        } else if (inode_is_dir(entry->inode) &&
                   tmpfs_entry_first(tmpfs_inode_of(entry->inode)) != NULL) {
            dir = tmpfs_inode_of(entry->inode);
            continue;
        }
        inode_put(tmpfs_entry_remove(dir, entry));
    }
}

static void tmpfs_unmount(struct super *super)
{
    struct tmpfs_super *tmpfs = tmpfs_super_of(super);

    if (tmpfs->root != NULL) {
        tmpfs_empty_tree(tmpfs_inode_of(tmpfs->root));
        inode_put(tmpfs->root);
    }
    kfree(tmpfs);
}

static const struct super_ops tmpfs_super_ops = {.destroy_inode = tmpfs_destroy_inode,
                                                 .statfs = tmpfs_statfs,
                                                 .remount = tmpfs_remount,
                                                 .show_options = tmpfs_show_options,
                                                 .unmount = tmpfs_unmount};

/* The root directory and its dentry. */
static int tmpfs_make_root(struct super *super, struct tmpfs_super *tmpfs)
{
    int err = tmpfs_inode_create(super, NULL, S_IFDIR | tmpfs->mode, 0, &tmpfs->root);

    if (err < 0) {
        return err;
    }
    tmpfs->root->uid = tmpfs->uid;
    tmpfs->root->gid = tmpfs->gid;
    super->root = dentry_create_root(super, inode_get(tmpfs->root));
    return super->root == NULL ? -ENOMEM : 0;
}

static int tmpfs_mount(const struct filesystem *fs, const char *source, unsigned long flags,
                       const char *text, struct super **ret_super)
{
    uint64_t half = ram_pages() / 2;
    struct tmpfs_options options = {
        .max_pages = half, .max_inodes = half, .mode = TMPFS_MODE_DEFAULT};

    (void)flags;
    tmpfs_cache_init();
    int err = parse_options(text, &options);
    if (err < 0) {
        return err;
    }
    struct tmpfs_super *tmpfs = kzalloc(sizeof(*tmpfs));
    if (tmpfs == NULL) {
        return -ENOMEM;
    }
    struct super *super = super_create(fs, &tmpfs_super_ops, source);
    if (super == NULL) {
        kfree(tmpfs);
        return -ENOMEM;
    }
    tmpfs->max_pages = options.max_pages;
    tmpfs->max_inodes = options.max_inodes;
    tmpfs->mode = options.mode;
    tmpfs->uid = options.uid;
    tmpfs->gid = options.gid;
    tmpfs->size_given = options.size_given;
    tmpfs->inodes_given = options.inodes_given;
    super->private = tmpfs;
    err = tmpfs_make_root(super, tmpfs);
    if (err < 0) {
        super_put(super); /* tmpfs_unmount frees the rest */
        return err;
    }
    *ret_super = super;
    return 0;
}

FILESYSTEM(tmpfs) = {.name = "tmpfs", .flags = FS_NODEV, .mount = tmpfs_mount};
