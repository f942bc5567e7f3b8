/*
 * tmpfs directories: entries, look-up, creation, removal, renaming, reading.
 */
#include <linux/fs.h>

#include "kernel/base/string.h"
#include "kernel/fs/tmpfs/tmpfs.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/dentry.h"

#define LONG_LINK 128 /* symbolic links of this length and more are charged a page */

static int entry_compare(const struct tmpfs_entry *entry, uint32_t hash, const char *name,
                         unsigned len)
{
    if (hash != entry->hash) {
        return hash < entry->hash ? -1 : 1;
    }
    if (len != entry->len) {
        return len < entry->len ? -1 : 1;
    }
    return memcmp(name, entry->name, len);
}

static struct tmpfs_entry *entry_find(struct tmpfs_inode *dir, const char *name, unsigned len)
{
    uint32_t hash = name_hash(name, len);
    struct rb_node *node = dir->names.node;

    while (node != NULL) {
        struct tmpfs_entry *entry = rb_entry(node, struct tmpfs_entry, by_name);
        int order = entry_compare(entry, hash, name, len);
        if (order == 0) {
            return entry;
        }
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}

static struct tmpfs_entry *entry_alloc(const char *name, unsigned len)
{
    struct tmpfs_entry *entry = kmalloc(sizeof(*entry) + len);

    if (entry != NULL) {
        entry->hash = name_hash(name, len);
        entry->len = (uint16_t)len;
        memcpy(entry->name, name, len);
    }
    return entry;
}

/* Put an entry in; takes over a reference to `inode`. The name is not there. */
static void entry_insert(struct tmpfs_inode *dir, struct tmpfs_entry *entry, struct inode *inode)
{
    struct rb_node **link = &dir->names.node, *parent = NULL;

    entry->inode = inode;
    entry->cookie = dir->next_cookie++;
    while (*link != NULL) {
        const struct tmpfs_entry *other = rb_entry(*link, struct tmpfs_entry, by_name);
        parent = *link;
        link = entry_compare(other, entry->hash, entry->name, entry->len) < 0 ? &parent->left
                                                                              : &parent->right;
    }
    rb_insert(&dir->names, &entry->by_name, parent, link);
    parent = NULL;
    link = &dir->order.node;
    while (*link != NULL) { /* the newest cookie is the largest */
        parent = *link;
        link = &parent->right;
    }
    rb_insert(&dir->order, &entry->by_cookie, parent, link);
    dir->inode.cache.size_bytes += TMPFS_ENTRY_BYTES;
    inode_touch(&dir->inode, ATTR_MTIME | ATTR_CTIME);
}

struct tmpfs_entry *tmpfs_entry_first(struct tmpfs_inode *dir)
{
    struct rb_node *node = rb_first(&dir->order);

    return node == NULL ? NULL : rb_entry(node, struct tmpfs_entry, by_cookie);
}

struct inode *tmpfs_entry_remove(struct tmpfs_inode *dir, struct tmpfs_entry *entry)
{
    struct inode *inode = entry->inode;

    rb_remove(&dir->names, &entry->by_name);
    rb_remove(&dir->order, &entry->by_cookie);
    dir->inode.cache.size_bytes -= TMPFS_ENTRY_BYTES;
    inode_touch(&dir->inode, ATTR_MTIME | ATTR_CTIME);
    kfree(entry);
    return inode;
}

static void nlink_change(struct inode *inode, int by)
{
    spin_lock(&inode->attr_lock);
    inode->nlink += (uint32_t)by;
    spin_unlock(&inode->attr_lock);
}

static int tmpfs_lookup(struct inode *dir, const char *name, unsigned len, struct inode **ret_inode)
{
    struct tmpfs_entry *entry = entry_find(tmpfs_inode_of(dir), name, len);

    if (entry == NULL) {
        return -ENOENT;
    }
    *ret_inode = inode_get(entry->inode);
    return 0;
}

/* Make an inode and its entry. On success the caller has one reference, the entry another. */
static int tmpfs_make(struct inode *dir, const char *name, unsigned len, uint32_t mode,
                      uint64_t rdev, struct inode **ret_inode)
{
    struct tmpfs_entry *entry = entry_alloc(name, len);

    if (entry == NULL) {
        return -ENOMEM;
    }
    int err = tmpfs_inode_create(dir->super, dir, mode, rdev, ret_inode);
    if (err < 0) {
        kfree(entry);
        return err;
    }
    entry_insert(tmpfs_inode_of(dir), entry, inode_get(*ret_inode));
    return 0;
}

static int tmpfs_mkdir(struct inode *dir, const char *name, unsigned len, uint32_t mode,
                       struct inode **ret_inode)
{
    int err = tmpfs_make(dir, name, len, mode, 0, ret_inode);

    if (err == 0) {
        nlink_change(dir, 1); /* its ".." */
    }
    return err;
}

static int tmpfs_symlink(struct inode *dir, const char *name, unsigned len, const char *target,
                         struct inode **ret_inode)
{
    struct tmpfs_super *tmpfs = tmpfs_super_of(dir->super);
    size_t target_len = strlen(target);
    uint64_t pages = target_len >= LONG_LINK ? 1 : 0;
    char *text = kstrdup(target);

    if (text == NULL) {
        return -ENOMEM;
    }
    int err = pages == 0 ? 0 : tmpfs_charge_pages(tmpfs, pages);
    if (err < 0) {
        goto free_text;
    }
    err = tmpfs_make(dir, name, len, S_IFLNK | 0777, 0, ret_inode);
    if (err < 0) {
        goto uncharge;
    }
    (*ret_inode)->link_target = text;
    (*ret_inode)->cache.size_bytes = target_len;
    tmpfs_inode_of(*ret_inode)->link_pages = pages;
    return 0;

uncharge:
    tmpfs_uncharge_pages(tmpfs, pages);
free_text:
    kfree(text);
    return err;
}

static int tmpfs_link(struct inode *dir, const char *name, unsigned len, struct inode *target)
{
    struct tmpfs_entry *entry = entry_alloc(name, len);

    if (entry == NULL) {
        return -ENOMEM;
    }
    nlink_change(target, 1);
    inode_touch(target, ATTR_CTIME);
    entry_insert(tmpfs_inode_of(dir), entry, inode_get(target));
    return 0;
}

static int tmpfs_unlink(struct inode *dir, const char *name, unsigned len, struct inode *target)
{
    struct tmpfs_entry *entry = entry_find(tmpfs_inode_of(dir), name, len);

    if (entry == NULL || entry->inode != target) {
        return -ENOENT;
    }
    nlink_change(target, -1);
    inode_touch(target, ATTR_CTIME);
    inode_put(tmpfs_entry_remove(tmpfs_inode_of(dir), entry));
    return 0;
}

static int tmpfs_rmdir(struct inode *dir, const char *name, unsigned len, struct inode *target)
{
    struct tmpfs_entry *entry = entry_find(tmpfs_inode_of(dir), name, len);

    if (entry == NULL || entry->inode != target) {
        return -ENOENT;
    }
    if (tmpfs_entry_first(tmpfs_inode_of(target)) != NULL) {
        return -ENOTEMPTY;
    }
    nlink_change(target, -2);
    nlink_change(dir, -1);
    inode_touch(target, ATTR_CTIME);
    inode_put(tmpfs_entry_remove(tmpfs_inode_of(dir), entry));
    return 0;
}

/* A directory has another parent now. */
static void tmpfs_reparent(struct inode *inode, struct inode *old_dir, struct inode *new_dir)
{
    if (inode_is_dir(inode) && old_dir != new_dir) {
        tmpfs_set_parent(tmpfs_inode_of(inode), new_dir);
        nlink_change(old_dir, -1);
        nlink_change(new_dir, 1);
    }
}

static int tmpfs_exchange(struct inode *old_dir, struct tmpfs_entry *old, struct inode *new_dir,
                          struct tmpfs_entry *new)
{
    struct inode *inode = old->inode;

    tmpfs_reparent(old->inode, old_dir, new_dir);
    tmpfs_reparent(new->inode, new_dir, old_dir);
    old->inode = new->inode;
    new->inode = inode;
    inode_touch(old_dir, ATTR_MTIME | ATTR_CTIME);
    inode_touch(new_dir, ATTR_MTIME | ATTR_CTIME);
    inode_touch(old->inode, ATTR_CTIME);
    inode_touch(new->inode, ATTR_CTIME);
    return 0;
}

/* The new name is taken: its entry changes inodes. The old inode of that name loses a link. */
static int tmpfs_replace(struct inode *new_dir, struct tmpfs_entry *new, struct inode *inode)
{
    struct inode *target = new->inode;

    if (inode_is_dir(target)) {
        if (tmpfs_entry_first(tmpfs_inode_of(target)) != NULL) {
            return -ENOTEMPTY;
        }
        nlink_change(target, -2);
        nlink_change(new_dir, -1);
    } else {
        nlink_change(target, -1);
    }
    inode_touch(target, ATTR_CTIME);
    new->inode = inode_get(inode);
    inode_touch(new_dir, ATTR_MTIME | ATTR_CTIME);
    inode_put(target);
    return 0;
}

/* Over an existing name, by replacement or exchange. */
static int tmpfs_rename_over(struct inode *old_dir, struct tmpfs_entry *old, struct inode *new_dir,
                             const char *new_name, unsigned new_len, struct inode *target,
                             unsigned flags)
{
    struct tmpfs_entry *new = entry_find(tmpfs_inode_of(new_dir), new_name, new_len);

    if (new == NULL || new->inode != target) {
        return -ENOENT;
    }
    if ((flags & RENAME_EXCHANGE) != 0) {
        return tmpfs_exchange(old_dir, old, new_dir, new);
    }
    return tmpfs_replace(new_dir, new, old->inode);
}

static int tmpfs_rename_fresh(struct inode *new_dir, const char *name, unsigned len,
                              struct inode *inode)
{
    struct tmpfs_entry *fresh = entry_alloc(name, len);

    if (fresh == NULL) {
        return -ENOMEM;
    }
    entry_insert(tmpfs_inode_of(new_dir), fresh, inode_get(inode));
    return 0;
}

static int tmpfs_rename(struct inode *old_dir, const char *old_name, unsigned old_len,
                        struct inode *inode, struct inode *new_dir, const char *new_name,
                        unsigned new_len, struct inode *target, unsigned flags)
{
    struct tmpfs_entry *old = entry_find(tmpfs_inode_of(old_dir), old_name, old_len);
    struct inode *whiteout = NULL;

    if (old == NULL || old->inode != inode) {
        return -ENOENT;
    }
    if ((flags & RENAME_WHITEOUT) != 0) {
        /* renameat2(2): a character device 0:0 stays under the old name */
        int err = tmpfs_inode_create(old_dir->super, old_dir, S_IFCHR, 0, &whiteout);
        if (err < 0) {
            return err;
        }
    }
    int err = target == NULL
                  ? tmpfs_rename_fresh(new_dir, new_name, new_len, inode)
                  : tmpfs_rename_over(old_dir, old, new_dir, new_name, new_len, target, flags);
    if (err < 0) {
        inode_put(whiteout);
        return err;
    }
    if ((flags & RENAME_EXCHANGE) != 0) {
        return 0;
    }
    tmpfs_reparent(inode, old_dir, new_dir);
    inode_touch(inode, ATTR_CTIME);
    if (whiteout != NULL) {
        inode_put(old->inode);
        old->inode = whiteout;
        inode_touch(old_dir, ATTR_MTIME | ATTR_CTIME);
    } else {
        inode_put(tmpfs_entry_remove(tmpfs_inode_of(old_dir), old));
    }
    return 0;
}

static int tmpfs_create(struct inode *dir, const char *name, unsigned len, uint32_t mode,
                        uint64_t rdev, struct inode **ret_inode)
{
    return tmpfs_make(dir, name, len, mode, rdev, ret_inode);
}

static int tmpfs_tmpfile(struct inode *dir, uint32_t mode, struct inode **ret_inode)
{
    int err = tmpfs_inode_create(dir->super, dir, mode, 0, ret_inode);

    if (err == 0) {
        (*ret_inode)->nlink = 0;
    }
    return err;
}

/* The first entry with a cookie at or above `pos`. */
static struct tmpfs_entry *entry_from(struct tmpfs_inode *dir, uint64_t pos)
{
    struct rb_node *node = dir->order.node;
    struct tmpfs_entry *found = NULL;

    while (node != NULL) {
        struct tmpfs_entry *entry = rb_entry(node, struct tmpfs_entry, by_cookie);
        if (entry->cookie >= pos) {
            found = entry;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return found;
}

static int tmpfs_iterate(struct file *file, struct dir_context *ctx)
{
    struct tmpfs_inode *dir = tmpfs_inode_of(file->inode);
    const unsigned type_dir = S_IFDIR >> 12; /* DT_DIR: the file type's bits of the mode */

    if (ctx->pos == 0) {
        if (!ctx->emit(ctx, ".", 1, dir->inode.ino, type_dir, 1)) {
            return 0;
        }
        ctx->pos = 1;
    }
    if (ctx->pos == 1) {
        if (!ctx->emit(ctx, "..", 2, atomic_load_relaxed(&dir->parent_ino), type_dir, 2)) {
            return 0;
        }
        ctx->pos = 2;
    }
    struct tmpfs_entry *entry = entry_from(dir, (uint64_t)ctx->pos);
    while (entry != NULL) {
        const struct inode *inode = entry->inode;
        loff_t next = (loff_t)entry->cookie + 1;
        if (!ctx->emit(ctx, entry->name, entry->len, inode->ino, (inode->mode & S_IFMT) >> 12,
                       next)) {
            return 0;
        }
        ctx->pos = next;
        struct rb_node *node = rb_next(&entry->by_cookie);
        entry = node == NULL ? NULL : rb_entry(node, struct tmpfs_entry, by_cookie);
    }
    return 0;
}

const struct inode_ops tmpfs_dir_ops = {.lookup = tmpfs_lookup,
                                        .create = tmpfs_create,
                                        .mkdir = tmpfs_mkdir,
                                        .symlink = tmpfs_symlink,
                                        .link = tmpfs_link,
                                        .unlink = tmpfs_unlink,
                                        .rmdir = tmpfs_rmdir,
                                        .rename = tmpfs_rename,
                                        .tmpfile = tmpfs_tmpfile,
                                        TMPFS_XATTR_OPS};

const struct file_ops tmpfs_dir_fops = {
    .iterate = tmpfs_iterate, .llseek = directory_llseek, .fsync = memory_file_fsync};
