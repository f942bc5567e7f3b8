/*
 * Inodes and superblocks: a file system's objects. A file system embeds struct inode in its own.
 *
 * Locking: inode->lock (rwsem): directories: read for look-up and readdir, write for changes; files: write for write(2), truncate.
 * attr_lock (spin) protects mode, owner, times, nlink against torn reads. Order: parent directory before child; of two directories
 * the one that is an ancestor first, else by address (rename also holds sb->rename_lock).
 */
#pragma once

#include <linux/stat.h>

#include "kernel/base/errno.h"
#include "kernel/core/linkset.h"
#include "kernel/core/time.h"
#include "kernel/security/cred.h"
#include "kernel/vm/iov.h"
#include "kernel/vm/pagecache.h"

struct dentry;
struct file;
struct inode;
struct mount;
struct super;
struct path;
struct lock_list;
struct inode_attr;
struct inode_stat;
struct vfs_statfs;
struct filesystem;
struct file_ops;

struct inode_ops {
    /* Directories. Names are `len` bytes without a NUL, checked: no '/', 1..255 bytes. dir->lock is held as said above. */
    /* *ret_inode referenced; -ENOENT when the name is not there. */
    int (*lookup)(struct inode *dir, const char *name, unsigned len, struct inode **ret_inode);
    int (*create)(struct inode *dir, const char *name, unsigned len, uint32_t mode, uint64_t rdev,
                  struct inode **ret_inode); /* regular, fifo, socket, device by mode's S_IFMT */
    int (*mkdir)(struct inode *dir, const char *name, unsigned len, uint32_t mode,
                 struct inode **ret_inode);
    int (*symlink)(struct inode *dir, const char *name, unsigned len, const char *target,
                   struct inode **ret_inode);
    int (*link)(struct inode *dir, const char *name, unsigned len, struct inode *target);
    int (*unlink)(struct inode *dir, const char *name, unsigned len, struct inode *target);
    int (*rmdir)(struct inode *dir, const char *name, unsigned len, struct inode *target);
    /* flags: RENAME_NOREPLACE is handled by vfs; RENAME_EXCHANGE, RENAME_WHITEOUT -EINVAL if unknown. target may be NULL. */
    int (*rename)(struct inode *old_dir, const char *old_name, unsigned old_len,
                  struct inode *inode, struct inode *new_dir, const char *new_name,
                  unsigned new_len, struct inode *target, unsigned flags);
    /* O_TMPFILE. NULL: -EOPNOTSUPP. */
    int (*tmpfile)(struct inode *dir, uint32_t mode, struct inode **ret_inode);
    /* Symbolic links: copy the target, NUL-terminated, into buf; its length or an error. */
    ssize_t (*readlink)(struct inode *inode, char *buf, size_t size);
    /* Links that lead straight to a place (/proc/PID/exe, fd/N): fills *ret_path (referenced). NULL: an ordinary link. */
    int (*follow)(struct inode *inode, struct path *ret_path);

    /* Any kind; NULL ops fall back to vfs' generic behaviour (mode bits, stored fields). */
    int (*permission)(struct inode *inode, int mask); /* MAY_* */
    int (*setattr)(struct inode *inode, const struct inode_attr *attr);
    int (*getattr)(struct inode *inode, struct inode_stat *ret_stat);
    /* Is a cached name still right? For procfs. NULL: always. */
    bool (*revalidate)(struct inode *inode);
    int (*fallocate)(struct inode *inode, int mode, loff_t offset, loff_t len_bytes);
    ssize_t (*getxattr)(struct inode *inode, const char *name, void *buf, size_t size);
    int (*setxattr)(struct inode *inode, const char *name, const void *value, size_t size,
                    int flags);
    ssize_t (*listxattr)(struct inode *inode, char *buf, size_t size);
    int (*removexattr)(struct inode *inode, const char *name);
};

#define MAY_EXEC  1
#define MAY_WRITE 2
#define MAY_READ  4

#define ATTR_MODE  0x001u
#define ATTR_UID   0x002u
#define ATTR_GID   0x004u
#define ATTR_SIZE  0x008u
#define ATTR_ATIME 0x010u
#define ATTR_MTIME 0x020u
#define ATTR_CTIME 0x040u
#define ATTR_TIMES_NOW                                                                             \
    0x080u /* both times become now: write permission suffices instead of ownership */
struct inode_attr {
    unsigned valid; /* ATTR_* */
    uint32_t mode, uid, gid;
    uint64_t size_bytes;
    ktime_t atime, mtime, ctime;
    bool by_open; /* O_TRUNC, ftruncate: the descriptor's right counts, not the mode bits */
};

/* Everything stat(2) and statx(2) report. */
struct inode_stat {
    uint64_t dev, ino, rdev, size_bytes, blocks; /* blocks of 512 bytes */
    uint32_t mode, nlink, uid, gid, block_size;
    ktime_t atime, mtime, ctime, btime;
};

struct super_ops {
    /* The last reference is gone and nlink is 0 or the inode is evicted: free the private object that embeds it. */
    void (*destroy_inode)(struct inode *inode);
    int (*statfs)(struct super *super, struct vfs_statfs *ret_stat);
    int (*sync)(struct super *super);
    int (*remount)(struct super *super, unsigned flags, const char *options);
    /* Options for /proc/mounts beyond the flags: ",size=64k". */
    void (*show_options)(struct super *super, char *buf, size_t size);
    /* The last mount is gone and all dentries with it: free the inodes that the file system itself still holds, and `private`. */
    void (*unmount)(struct super *super);
};

struct vfs_statfs {
    uint64_t type, block_size, blocks, blocks_free, blocks_available, files, files_free;
    uint32_t name_max;
    uint64_t fsid;
    uint64_t flags;
};

struct super {
    const struct super_ops *ops; /* [I] */
    const struct filesystem *fs; /* [I] */
    void *private;               /* [I] the file system's own */
    uint64_t dev;                /* [I] device number for st_dev */
    struct dentry *root;         /* [I] referenced */
    struct refcount refs;        /* mounts; inodes and files live as long as one of those does */
    struct mutex rename_lock;    /* held over cross-directory renames */
    uint32_t nmarks;             /* [a] on its inodes (vfs/notify.c) */
    uint64_t flags;              /* [a] ST_RDONLY ... of linux/mount.h as MS_* */
    struct list_node node;       /* [super list lock] all superblocks */
    char source[64];             /* [I] what was mounted: "tmpfs", "/dev/sda1" */
};

struct inode {
    const struct inode_ops *ops; /* [I] */
    const struct file_ops *fops; /* [I] what open files of it use */
    struct super *super;         /* [I] */
    uint64_t ino;                /* [I] */
    uint32_t mode;               /* [attr] type and permission */
    uint32_t uid, gid;           /* [attr] */
    uint32_t nlink;              /* [attr] */
    uint64_t rdev;               /* [I] for device nodes: MKDEV of Linux' 64-bit dev_t encoding */
    ktime_t atime, mtime, ctime, btime; /* [attr] real time, ns */
    struct rwsem lock;
    struct spinlock attr_lock;
    struct refcount refs;
    struct pagecache cache;     /* data; cache.size_bytes is the file's size */
    struct notify_marks *marks; /* [a] made on first use, then to the end (vfs/notify.c) */
    struct lock_list *locks;    /* [a] flock and POSIX locks, made on first use (vfs/lock.c) */
    void *private;              /* pipes: struct pipe; devices: the driver's */
    bool linkable;              /* [attr] of O_TMPFILE: may be given its first name by linkat */
    /* [I] symbolic links that keep their target in memory: no readlink op is called */
    const char *link_target;
    int32_t write_count; /* [a] open for writing; -n: denied (being executed) */
};

static inline bool inode_is_dir(const struct inode *inode)
{
    return (inode->mode & S_IFMT) == S_IFDIR;
}
static inline bool inode_is_regular(const struct inode *inode)
{
    return (inode->mode & S_IFMT) == S_IFREG;
}
static inline bool inode_is_symlink(const struct inode *inode)
{
    return (inode->mode & S_IFMT) == S_IFLNK;
}

/*
 * Once in an inode's life in its slab: locks. File systems call it from their cache's constructor; inode_init() then need not.
 */
void inode_construct(struct inode *inode);
/*
 * Fill a constructed inode: refs 1, nlink 1, times now, owner from the current credentials and dir (set-group-ID; NULL: none).
 * What is left to the caller: ops, fops, ino, rdev, and pagecache_init() for regular files (size 0 until then).
 */
void inode_init(struct inode *inode, struct super *super, const struct inode *dir, uint32_t mode);
/* A device, FIFO or socket node: rdev, and the file operations of its kind. */
void inode_init_special(struct inode *inode, uint64_t rdev);
static inline struct inode *inode_get(struct inode *inode)
{
    refcount_get(&inode->refs);
    return inode;
}
void inode_put(struct inode *inode); /* NULL is fine; may sleep */
/* 0, -EACCES, -EROFS, -EPERM: with the current fsuid, groups and capabilities. */
int inode_permission(struct inode *inode, int mask);
/* Owner or CAP_FOWNER. */
bool inode_owner_or_capable(const struct inode *inode);
/* chmod, chown, utimes, truncate with all of POSIX' checks (set-ID bits cleared, -EPERM, -EROFS). Takes inode->lock. */
int inode_setattr(struct inode *inode, const struct inode_attr *attr);
/* For file systems' own setattr: what is done without one, checks made and lock held. */
int inode_setattr_generic(struct inode *inode, const struct inode_attr *attr);
/* For file systems' own permission: mode bits and capabilities alone. */
int inode_permission_generic(struct inode *inode, int mask);
int inode_getattr(struct inode *inode, struct inode_stat *ret_stat);
void inode_touch(struct inode *inode,
                 unsigned which); /* ATTR_ATIME|MTIME|CTIME to now; atime follows relatime */
/* A write or truncation by somebody without CAP_FSETID: set-ID bits go. inode->lock held for writing. */
void inode_drop_setid(struct inode *inode);
/* Writers against execution: -ETXTBSY. A successful call is undone by the other of its pair. */
int inode_get_write(struct inode *inode);
void inode_put_write(struct inode *inode);
int inode_deny_write(struct inode *inode);
void inode_allow_write(struct inode *inode);

/* A file-system type; one registration line each: FILESYSTEM(tmpfs) = { ... }. */
struct filesystem {
    const char *name;
    unsigned flags;
    /* Make a superblock with its root dentry. `source` and `options` as mount(2) gives them, may be NULL. */
    int (*mount)(const struct filesystem *fs, const char *source, unsigned long flags,
                 const char *options, struct super **ret_super);
};
#define FS_NODEV 0x1u /* needs no block device */
#define FS_NO_NEGATIVE                                                                             \
    0x2u /* names appear by themselves (procfs, devpts): do not remember that one is missing */
#define FILESYSTEM(name) LINKSET_ENTRY(filesystems, struct filesystem, name)
const struct filesystem *filesystem_find(const char *name);
const struct filesystem *filesystem_at(unsigned index); /* for /proc/filesystems */

/* A superblock with refs 1, an anonymous device number, rename_lock; NULL: no memory. */
struct super *super_create(const struct filesystem *fs, const struct super_ops *ops,
                           const char *source);
/* The mount failed half-way, or the last mount went: frees root dentry and super. */
void super_put(struct super *super);
