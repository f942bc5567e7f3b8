/*
 * Dentries: the cache of names. A dentry ties a name in a parent to an inode, or remembers that there is none (negative).
 *
 * Look-up is a hash of (parent, name); the hash chains have bucket locks (written so that an RCU walk can replace them).
 * Locking: bucket lock for the chain; dentry->lock for inode, parent and name; refs atomic. Unused dentries stay on an LRU
 * until memory is wanted. Children hold a reference to their parent.
 */
#pragma once

#include "kernel/vfs/inode.h"

#define NAME_MAX_BYTES 255
#define DNAME_INLINE   40

#define DENTRY_MOUNTPOINT 0x1u /* something is mounted here (in some mount) */
#define DENTRY_UNHASHED   0x2u /* deleted, or never hashed */
#define DENTRY_NOCACHE    0x4u /* drop when the last reference goes */

struct dentry {
    struct dentry *hash_next;     /* [bucket] */
    struct dentry *parent;        /* [lock] referenced; a root points at itself */
    struct inode *inode;          /* [lock] referenced; NULL: negative. Positive never turns negative while referenced by others
                                     without its parent's inode lock held for writing */
    const char *name;             /* [lock] inline_name or kmalloc'd */
    uint32_t hash;
    uint16_t name_len;
    uint16_t flags;               /* [lock] DENTRY_* */
    struct refcount refs;
    struct spinlock lock;
    struct super *super;          /* [I] */
    struct list_node lru;         /* [lru lock] */
    struct list_node children;    /* [lock] all cached children */
    struct list_node sibling;     /* [parent->lock] */
    char inline_name[DNAME_INLINE];
};

/* A root dentry for a superblock; takes over the inode reference. NULL: no memory (inode is put). */
struct dentry *dentry_create_root(struct super *super, struct inode *inode);
static inline struct dentry *dentry_get(struct dentry *dentry)
{
    refcount_get(&dentry->refs);
    return dentry;
}
void dentry_put(struct dentry *dentry); /* NULL is fine; may sleep */
/*
 * The dentry of `name` below `parent`, referenced, positive or negative, asking the file system when it is not cached.
 * May sleep; takes parent's inode lock for reading unless `locked`. -ENOTDIR is the caller's check. -ENOMEM, -EIO.
 */
int dentry_lookup(struct dentry *parent, const char *name, unsigned len, bool locked,
                  struct dentry **ret_dentry);
/* Turn a negative dentry positive (inode reference taken over), or a positive one negative or unhashed. Parent locked. */
void dentry_instantiate(struct dentry *dentry, struct inode *inode);
void dentry_delete(struct dentry *dentry);
void dentry_move(struct dentry *dentry, struct dentry *new_parent, const char *name, unsigned len);
/* Forget cached names below (for procfs, umount). */
void dentry_prune(struct dentry *root);
/* Free up to n unused dentries; returns how many. For memory pressure. */
size_t dentry_shrink(size_t n);
uint64_t dentry_count(void);
void dentry_cache_init(void);
