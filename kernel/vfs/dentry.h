/*
 * Dentries: the cache of names. A dentry ties a name in a parent to an inode, or remembers that there is none (negative).
 *
 * Look-up is a hash of (parent, name); the hash chains have bucket locks (written so that an RCU walk can replace them).
 * A hashed dentry is also on the LRU and stays there, unused, until memory is wanted: the cached bit in its count says so, and
 * makes the put of the last reference one instruction. Unhashing clears the bit; then the last put frees the dentry.
 *
 * Locking: bucket lock for the chain, the names of hashed dentries, and references taken by look-up; dentry->lock for the list of
 * children; dentry_tree_lock (inside dentry.c) for changes of name and parent. refs is atomic. Children hold a reference to their
 * parent. Order: parent's inode lock -> tree lock -> bucket lock -> LRU lock; dentry->lock is a leaf.
 */
#pragma once

#include "kernel/vfs/inode.h"

#define NAME_MAX_BYTES 255
#define DNAME_INLINE   40

#define DENTRY_MOUNTPOINT 0x1u  /* something is mounted here (in some mount) */
#define DENTRY_UNHASHED   0x2u  /* deleted, or never hashed */
#define DENTRY_NOCACHE    0x4u  /* never hashed: drop when the last reference goes */
#define DENTRY_REVALIDATE 0x8u  /* inode->ops->revalidate is asked on each hit */
#define DENTRY_ANON       0x10u /* a name for /proc alone: "pipe:[12]" */

#define DENTRY_CACHED 0x80000000u /* in refs: hashed and on the LRU */

struct dentry {
    struct dentry *hash_next; /* [bucket] */
    struct dentry *parent;    /* [tree] referenced; a root points at itself */
    struct inode *
        inode; /* [a] referenced; NULL: negative. Never turns negative while others hold references */
    const char *
        name; /* [tree][bucket] inline_name or a long_name's; padded with NULs to a multiple of 8 */
    uint32_t hash;     /* [tree][bucket] of the name alone */
    uint16_t name_len; /* [tree][bucket] */
    uint16_t flags;    /* [a] DENTRY_* */
    uint32_t refs;     /* [a] references | DENTRY_CACHED */
    struct spinlock lock;
    struct super *super;       /* [I] */
    struct list_node lru;      /* [lru lock] */
    struct list_node children; /* [lock] all dentries whose parent this is */
    struct list_node sibling;  /* [parent->lock] */
    uint64_t referenced;       /* [a] hit since the LRU's hand came by */
    char inline_name[DNAME_INLINE] __aligned(8);
};

/* A name with its hash, as the walk and the cache pass it around. */
struct name {
    const char *text; /* not terminated */
    uint32_t len;
    uint32_t hash;
};
/* The hash of `len` bytes as struct name has it, for other tables of names. */
uint32_t name_hash(const char *text, unsigned len);

/* A root dentry for a superblock; takes over the inode reference. NULL: no memory (inode is put). */
struct dentry *dentry_create_root(struct super *super, struct inode *inode);
/* The dentry of an anonymous file, named for /proc; takes over the inode reference on success only. NULL: no memory. */
struct dentry *dentry_create_anonymous(struct inode *inode, const char *name);
/* A dentry below `parent` that no look-up finds (O_TMPFILE); takes over the inode reference on success only. NULL: no memory. */
struct dentry *dentry_create_unhashed(struct dentry *parent, struct inode *inode, const char *name);
static inline struct dentry *dentry_get(struct dentry *dentry)
{
    (void)atomic_fetch_add_relaxed(&dentry->refs, 1);
    return dentry;
}
void dentry_release(
    struct dentry *dentry); /* for dentry_put: the count is 0 and nothing caches it */
/* NULL is fine; may sleep. */
static inline void dentry_put(struct dentry *dentry)
{
    if (dentry != NULL && __atomic_sub_fetch(&dentry->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        dentry_release(dentry);
    }
}
static inline unsigned dentry_flags(const struct dentry *dentry)
{
    return atomic_load_relaxed(&dentry->flags);
}
static inline bool dentry_is_hashed(const struct dentry *dentry)
{
    return (dentry_flags(dentry) & DENTRY_UNHASHED) == 0;
}

/* The cached dentry of `name` below `parent`, referenced, or NULL. Asks no file system; does not sleep. */
struct dentry *dentry_find(struct dentry *parent, const struct name *name);
/*
 * The dentry of `name` below `parent`, referenced, positive or negative, asking the file system when it is not cached.
 * May sleep; takes parent's inode lock for reading unless `locked`. The parent is a directory. -ENOMEM, -EIO, -ENAMETOOLONG.
 */
int dentry_lookup_name(struct dentry *parent, const struct name *name, bool locked,
                       struct dentry **ret_dentry);
int dentry_lookup(struct dentry *parent, const char *name, unsigned len, bool locked,
                  struct dentry **ret_dentry);
/* Turn a negative dentry positive (inode reference taken over). Parent's inode locked for writing. */
void dentry_instantiate(struct dentry *dentry, struct inode *inode);
/* Its name is gone: turn it negative if the caller alone holds it, else unhash it. Parent's inode locked for writing. */
void dentry_delete(struct dentry *dentry);
/* Take it out of the cache; users keep it. */
void dentry_unhash(struct dentry *dentry);
/* Give `dentry` the name and parent of `target`, which keeps them and leaves the cache; or swap both. Parents locked; allocates nothing. */
void dentry_move(struct dentry *dentry, struct dentry *target);
void dentry_exchange(struct dentry *a, struct dentry *b);
/* True when `dentry` is `ancestor` or lies below it. */
bool dentry_is_below(struct dentry *dentry, struct dentry *ancestor);
/* The parent, referenced. */
struct dentry *dentry_get_parent(struct dentry *dentry);
/* Forget unused cached names below (for procfs, rmdir, umount). May sleep; takes the superblock's rename lock. */
void dentry_prune(struct dentry *root);
/* The same where nobody can come by any more: all below `root`. Those that reclaim holds for a moment are waited for. */
void dentry_prune_all(struct dentry *root);
/* Free up to n unused dentries; returns how many. For memory pressure. May sleep. */
size_t dentry_shrink(size_t n);
uint64_t dentry_count(void);
void dentry_cache_init(void);

/* The path from the superblock's root, at the start of buf; "" when it does not fit; "//deleted" behind one that has no name any more. */
void dentry_path(struct dentry *dentry, char *buf, size_t size);

/* Changes of names and parents are under this lock; hold it to walk upwards without references (path_to_string). */
void dentry_tree_lock(void);
void dentry_tree_unlock(void);
