/*
 * Mounts: superblocks hung into the tree. One namespace for now, behind an interface that carries a namespace pointer later.
 *
 * Locking: the mount table's rwsem for changes; a hash of (mount, dentry) -> child mount under a spinlock for the walk.
 */
#pragma once

#include "kernel/core/percpu_ref.h"
#include "kernel/vfs/path.h"

struct mount {
    struct super *super;       /* [I] referenced */
    struct mount *parent;      /* [table] NULL for the root */
    struct dentry *mountpoint; /* [table] in the parent, referenced */
    struct dentry *root;       /* [I] referenced: super's root, or the subtree of a bind mount */
    struct mount *hash_next;   /* [hash lock] */
    struct list_node node;     /* [table] all mounts, in order; else of whoever takes it out */
    bool attached;             /* [table] it is in the table */
    struct percpu_ref refs;    /* the table's own, children's, and users: paths, files */
    uint32_t writers;          /* [a] files open for writing: no remount to read-only then */
    uint64_t flags;            /* [table] MS_RDONLY NOSUID NODEV NOEXEC NOATIME RELATIME ... */
    int id;                    /* [I] */
    struct mount *copy;        /* [table] while a bind copies a tree: the copy of this mount */
    bool is_copy;              /* [table] made by that bind */
};

static inline struct mount *mount_get(struct mount *mount)
{
    percpu_ref_get(&mount->refs);
    return mount;
}
void mount_put(struct mount *mount);
/* The mount that covers this place, referenced, or NULL. */
struct mount *mount_covering(const struct path *path);
/* Upwards: where path->mount is mounted, referenced; false for the root mount. Takes no reference of `path` away. */
bool mount_get_mountpoint(const struct mount *mount, struct path *ret_path);
/* A mount outside the tree, for the kernel's own use (pipes, devfs). Takes over the reference to super. NULL: no memory. */
struct mount *mount_create_internal(struct super *super);

/* mount(2), umount2(2), pivot_root(2), with kernel strings. Capability checks are the caller's. */
int vfs_mount(const char *source, const struct path *target, const char *fstype,
              unsigned long flags, const char *options);
int vfs_umount(const struct path *target, int flags);
int vfs_pivot_root(const struct path *new_root, const struct path *put_old);
/* Boot: mount `fstype` as the root of everything and make it root and cwd of the current thread's fs context. */
int vfs_mount_root(const char *fstype, const char *options);
/* One line of /proc/mounts or mountinfo for mount number `index` as seen from `root`; 0 at the end. */
size_t mount_describe(unsigned index, const struct path *root, bool mountinfo, char *buf,
                      size_t size);
/* sync(2) over all superblocks. */
int vfs_sync_all(void);
void mounts_init(void);
/* -EROFS for a read-only mount or superblock. */
int mount_want_write(const struct path *path);
