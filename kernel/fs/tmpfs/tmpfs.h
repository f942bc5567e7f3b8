/*
 * tmpfs from the inside: a file system whose only store is memory.
 *
 * A directory holds its entries twice: in a tree ordered by (hash, name) for look-up, and in a tree ordered by cookie for
 * getdents. Cookies are handed out in order of creation and never again, so a reader that stopped at one goes on behind it whatever
 * was made or removed meanwhile. Each entry holds one reference to its inode; nlink counts entries as POSIX wants it.
 *
 * Locking: a directory's trees are under its inode->lock; the counters of the superblock are atomic.
 */
#pragma once

#include "kernel/base/rbtree.h"
#include "kernel/vfs/file.h"

#define TMPFS_DIR_BYTES                                                                            \
    40 /* st_size of an empty directory, and what each entry adds: as Linux reports */
#define TMPFS_ENTRY_BYTES 20

struct tmpfs_super {
    uint64_t max_pages, max_inodes; /* [a] 0: no limit */
    uint64_t used_pages;            /* [a] */
    uint64_t used_inodes;           /* [a] */
    uint64_t last_ino;              /* [a] */
    struct inode *root;             /* [I] referenced */
    uint32_t mode, uid, gid;        /* [I] of the root, as the options said */
    bool size_given,
        inodes_given; /* [a] limits that are not the default: /proc/mounts shows them */
};

struct tmpfs_entry {
    struct rb_node by_name;   /* [dir->lock] */
    struct rb_node by_cookie; /* [dir->lock] */
    uint64_t cookie;          /* [I] */
    struct inode *inode;      /* [dir->lock] referenced */
    uint32_t hash;            /* [I] */
    uint16_t len;             /* [I] */
    char name[];              /* [I] not terminated */
};

struct tmpfs_xattr {
    struct list_node node;
    size_t size;
    uint64_t pages; /* charged */
    char *name;     /* behind the value */
    uint8_t value[];
};

struct tmpfs_inode {
    struct inode inode;
    struct rb_root names; /* [lock] directories: struct tmpfs_entry.by_name */
    struct rb_root order; /* [lock] directories: struct tmpfs_entry.by_cookie */
    uint64_t next_cookie; /* [lock] */
    struct inode
        *parent; /* [lock of both] directories: ".."; not referenced: it outlives its children */
    uint64_t parent_ino;     /* [a] its number, for who lists this one while that changes */
    uint64_t link_pages;     /* [I] charged for a long symbolic link */
    struct list_node xattrs; /* [lock] struct tmpfs_xattr */
};

static inline struct tmpfs_inode *tmpfs_inode_of(struct inode *inode)
{
    return container_of(inode, struct tmpfs_inode, inode);
}
static inline void tmpfs_set_parent(struct tmpfs_inode *inode, struct inode *dir)
{
    inode->parent = dir;
    atomic_store_relaxed(&inode->parent_ino, dir->ino);
}
static inline struct tmpfs_super *tmpfs_super_of(const struct super *super)
{
    return super->private;
}

/* super.c */
int tmpfs_charge_pages(struct tmpfs_super *tmpfs, uint64_t npages); /* -ENOSPC */
void tmpfs_uncharge_pages(struct tmpfs_super *tmpfs, uint64_t npages);

/* inode.c */
/* A new inode of any kind with nlink 1 (2: directories); rdev for devices. -ENOSPC, -ENOMEM. */
int tmpfs_inode_create(struct super *super, struct inode *dir, uint32_t mode, uint64_t rdev,
                       struct inode **ret_inode);
void tmpfs_destroy_inode(struct inode *inode);
void tmpfs_cache_init(void);
extern const struct inode_ops tmpfs_file_ops, tmpfs_dir_ops, tmpfs_symlink_ops;
extern const struct file_ops tmpfs_file_fops, tmpfs_dir_fops;

/* dir.c */
struct tmpfs_entry *tmpfs_entry_first(struct tmpfs_inode *dir);
/* Unlink the entry from its directory and free it; the inode's reference becomes the caller's. */
struct inode *tmpfs_entry_remove(struct tmpfs_inode *dir, struct tmpfs_entry *entry);

/* xattr.c */
ssize_t tmpfs_getxattr(struct inode *inode, const char *name, void *buf, size_t size);
int tmpfs_setxattr(struct inode *inode, const char *name, const void *value, size_t size,
                   int flags);
ssize_t tmpfs_listxattr(struct inode *inode, char *buf, size_t size);
int tmpfs_removexattr(struct inode *inode, const char *name);
void tmpfs_xattr_free_all(struct tmpfs_inode *tmpfs_inode);
#define TMPFS_XATTR_OPS                                                                            \
    .getxattr = tmpfs_getxattr, .setxattr = tmpfs_setxattr, .listxattr = tmpfs_listxattr,          \
    .removexattr = tmpfs_removexattr
