/*
 * Open files and what can be done with them.
 *
 * Locking: pos_lock (mutex) orders reads and writes that use the file position (POSIX.1-2017, 2.9.7); flags are atomic; refs atomic.
 */
#pragma once

#include <linux/fcntl.h>

#include "kernel/sched/poll.h"
#include "kernel/vfs/chrdev.h"
#include "kernel/vfs/path.h"
#include "kernel/vm/readahead.h"
#include "kernel/vm/vmspace.h"

struct file;
struct epoll_item;
struct swap_ops;

/* Receives directory entries; false stops the walk (buffer full): that entry is not consumed. `cookie` is the position
 * after the entry. type is DT_*. */
struct dir_context {
    bool (*emit)(struct dir_context *ctx, const char *name, unsigned len, uint64_t ino,
                 unsigned type, loff_t cookie);
    loff_t pos; /* in: where to start (0: the beginning); out: where to go on */
};

struct file_ops {
    /* Called by open after the inode's permission was checked; may replace file->fops (devices). NULL: nothing to do. */
    int (*open)(struct inode *inode, struct file *file);
    void (*release)(struct file *file); /* last reference */
    int (*flush)(struct file *file);    /* each close(2) of a descriptor */
    /* `pos` is file->pos or a local of pread; NULL-seek files ignore it. Honour O_NONBLOCK of file->flags. */
    ssize_t (*read)(struct file *file, struct iov_iter *to, loff_t *pos);
    ssize_t (*write)(struct file *file, struct iov_iter *from, loff_t *pos);
    loff_t (*llseek)(struct file *file, loff_t offset, int whence); /* NULL: -ESPIPE */
    int (*iterate)(struct file *file,
                   struct dir_context *ctx); /* directories; inode lock held for reading */
    uint32_t (*poll)(struct file *file,
                     struct poll_table *table); /* NULL: always readable and writable */
    int64_t (*ioctl)(struct file *file, unsigned cmd, uint64_t arg); /* -ENOTTY: unknown */
    /* Fill file->source for a mapping; -ENODEV when NULL. */
    int (*mmap)(struct file *file, uint32_t vm_flags, struct vm_source **ret_source);
    int (*fsync)(struct file *file, bool data_only);
    /* O_ASYNC, asked for with the number fd: async_set() on what the file waits for. At the end of the file: off, with -1. */
    int (*fasync)(int fd, struct file *file, bool on);
    /* fcntl(2) commands that only some kinds know: F_SETPIPE_SZ, F_ADD_SEALS ... -EINVAL or NULL: unknown. */
    int64_t (*fcntl)(struct file *file, unsigned cmd, uint64_t arg);
    /* More lines of /proc/PID/fdinfo/N, as ksnprintf() has it: the length of all, of which `size` bytes may not hold everything. */
    size_t (*show_fdinfo)(struct file *file, char *buf, size_t size);
    /*
     * swapon(2): what swap needs to keep pages in this file, and how many bytes it has. It stays so while the file is open. NULL: swap
     * cannot be here (-EINVAL).
     */
    int (*swap_activate)(struct file *file, const struct swap_ops **ret_ops, void **ret_device,
                         uint64_t *ret_bytes);
};

#define FMODE_READ     0x01u
#define FMODE_WRITE    0x02u
#define FMODE_EXEC     0x04u /* opened by execve */
#define FMODE_PATH     0x08u /* O_PATH */
#define FMODE_SEEK     0x10u /* has a position */
#define FMODE_PREAD    0x20u /* pread and pwrite work */
#define FMODE_NONOTIFY 0x40u
#define FMODE_WRITER   0x80u  /* counted in inode->write_count and mount->writers */
#define FMODE_UNOPENED 0x100u /* opening it failed: the last reference has nothing to release */

struct file {
    const struct file_ops *fops; /* [I] after open */
    struct inode *inode; /* [I] referenced through path.dentry, or its own for anonymous files */
    struct refcount refs;
    uint32_t flags; /* [a] O_* that F_GETFL shows */
    uint32_t mode;  /* [I] FMODE_* */
    loff_t pos;     /* [pos_lock] */
    struct mutex pos_lock;
    struct path path;        /* [I] referenced */
    struct cred *cred;       /* [I] the opener's */
    void *private;           /* the driver's */
    struct vm_source source; /* what regions refer to; its get and put count this file */
    union {
        struct readahead ahead; /* of files with a medium: what is read next */
        struct file *next_owed; /* without references, in thread->files_owed */
    };
    uint32_t write_error;           /* [a] of those files, too: file_check_error()'s mark */
    struct pid *owner;              /* [owner_lock] F_SETOWN */
    int owner_type;                 /* [owner_lock] F_OWNER_* of F_SETOWN_EX */
    uint32_t owner_uid, owner_euid; /* [owner_lock] who made him the owner */
    int owner_signal;               /* [a] F_SETSIG */
    struct epoll_item *watchers;    /* [epoll's] of the sets that watch it: release looks */
    bool flock_held;                /* [a] flock or OFD locks may be there: release looks */
    bool async;                     /* [a] an async_list may have it: release looks */
};

static inline struct file *file_get(struct file *file)
{
    refcount_get(&file->refs);
    return file;
}
void file_put(struct file *file); /* NULL is fine; the last put releases; may sleep */
/*
 * With others' locks held: the last put leaves the release to the current thread's way to user mode, or to its end. A kernel thread never gets
 * there, so it releases at once; but what it comes to while it does, afterwards. Thread context.
 */
void file_put_later(struct file *file);
/* Release what is left to the current thread, and what comes of that. Nothing held; may sleep. */
void files_put_owed(void);

/*
 * open(2) with kernel strings: all of O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_TMPFILE, O_APPEND ... checked as
 * open(2) says. `resolve` are LOOKUP_* of openat2. *ret_file has one reference.
 */
int vfs_open(int dirfd, const char *name, int flags, uint32_t mode, unsigned resolve,
             struct file **ret_file);
int vfs_open_path(const struct path *path, int flags, struct file **ret_file);
/*
 * A program for execve: a regular file that may be executed (-EACCES), and that nobody writes until its last reference goes
 * (-ETXTBSY). `lookup` are LOOKUP_*. It may be read here whatever its read permission says.
 */
int vfs_open_exec(int dirfd, const char *name, unsigned lookup, struct file **ret_file);
/* A file without a name: pipes, memfd, eventfd. `name` is what /proc/PID/fd shows ("pipe:[123]"); takes over the inode reference. */
int file_create_anonymous(struct inode *inode, const char *name, const struct file_ops *fops,
                          int flags, unsigned mode, struct file **ret_file);
/* The superblock of anonymous inodes (pipefs, anon_inodefs) and a fresh inode on it. */
struct inode *anon_inode_create(uint32_t mode);

ssize_t vfs_read(struct file *file, struct iov_iter *to,
                 loff_t *pos); /* pos NULL: the file's own */
ssize_t vfs_write(struct file *file, struct iov_iter *from, loff_t *pos);
loff_t vfs_llseek(struct file *file, loff_t offset, int whence);
int vfs_truncate(const struct path *path, loff_t size);
int vfs_ftruncate(struct file *file, loff_t size);
int vfs_fallocate(struct file *file, int mode, loff_t offset, loff_t len_bytes);
int vfs_fsync(struct file *file, bool data_only);
uint32_t vfs_poll(struct file *file, struct poll_table *table);
/*
 * The medium behind a file's pages (medium.c). A file system's fsync is pagecache_sync(), its own metadata, then file_check_error(): the
 * error of writing that came since this open file was told last, 0 if none.
 */
int file_check_error(struct file *file);
/* sync_file_range(2) for bytes first .. last: flags SYNC_FILE_RANGE_*. -ESPIPE: not a kind of file that has data. */
int vfs_sync_range(struct file *file, loff_t first, loff_t last, unsigned flags);
/* posix_fadvise(2) and readahead(2). */
int vfs_fadvise(struct file *file, loff_t offset, loff_t len_bytes, int advice);
int vfs_readahead(struct file *file, loff_t offset, size_t count);
/* splice-like copy between files through kernel buffers: sendfile, copy_file_range. NULL positions: the files' own. */
ssize_t vfs_sendfile(struct file *out, struct file *in, loff_t *pos, size_t count);
ssize_t vfs_copy_file_range(struct file *in, loff_t *in_pos, struct file *out, loff_t *out_pos,
                            size_t count);
/* memfd_create(2) but for the descriptor: flags MFD_ALLOW_SEALING; a name of at most MEMFD_NAME_MAX bytes. -ENOMEM. */
#define MEMFD_NAME_MAX 249u
int vfs_memfd_create(const char *name, unsigned flags, struct file **ret_file);
/*
 * What seals (fcntl(2)) say, 0 or -EPERM. Writing at pos and a new size: inode->lock held for writing. A mapping: one that is shared and
 * only read loses VM_MAYWRITE.
 */
int seals_check_write(const struct inode *inode, loff_t pos, size_t count);
int seals_check_size(const struct inode *inode, uint64_t size_bytes);
int seals_check_map(const struct inode *inode, uint32_t *vm_flags);
/* Read a whole range into a kernel buffer (exec, initramfs). Bytes read or an error. */
ssize_t file_read_kernel(struct file *file, void *buf, size_t len_bytes, loff_t pos);

/*
 * poll(2) and select(2) over kernel copies of the arguments. deadline: absolute, monotonic; 0: do not wait, KTIME_MAX: no limit.
 * Number of ready descriptors (poll) or bits (select), 0 on timeout, -ERESTARTNOHAND when a signal came first, -EBADF (select),
 * -ENOMEM. select: sets of BITMAP_WORDS(n) words, NULL where the caller gave none; ret_* get the answers of the sets that are there, in other words.
 */
struct pollfd;
struct __kernel_timespec;
int vfs_do_poll(struct pollfd *fds, unsigned n, ktime_t deadline);
struct select_sets {
    const uint64_t *in, *out, *ex;
    uint64_t *ret_in, *ret_out, *ret_ex;
};
int vfs_do_select(int n, const struct select_sets *sets, ktime_t deadline);

/* getdents64(2): bytes filled, 0 at the end, -EINVAL when the first entry does not fit, -ENOTDIR, -ENOENT (removed). */
ssize_t vfs_getdents64(struct file *file, void __user *buf, size_t size);
/* All of fcntl(2), on the current thread's table; arg as the system call has it. */
int64_t file_fcntl(int fd, unsigned cmd, uint64_t arg);

/* Extended attributes, `name` with its prefix. Results and errors as getxattr(2) and kin. size 0 asks for the length. */
ssize_t vfs_getxattr(const struct path *path, const char *name, void *buf, size_t size);
int vfs_setxattr(const struct path *path, const char *name, const void *value, size_t size,
                 int flags);
ssize_t vfs_listxattr(const struct path *path, char *buf, size_t size);
int vfs_removexattr(const struct path *path, const char *name);

/* inode_setattr() with the mount's say: -EROFS. */
int vfs_setattr(const struct path *path, const struct inode_attr *attr);
/* chmod, chown (-1: leave alone), and utimensat with either time UTIME_NOW or UTIME_OMIT (NULL: both now). */
int vfs_chmod(const struct path *path, uint32_t mode);
int vfs_chown(const struct path *path, uint32_t uid, uint32_t gid);

int vfs_utimes(const struct path *path, const struct __kernel_timespec *times);
int vfs_statfs(const struct path *path, struct vfs_statfs *ret_stat);

/* The same as below with a start of the caller's instead of dirfd: for devfs and the initramfs. NULL base: AT_FDCWD. */
int vfs_open_at(const struct path *base, const char *name, int flags, uint32_t mode,
                struct file **ret_file);
int vfs_mkdir_at(const struct path *base, const char *name, uint32_t mode);
int vfs_mknod_at(const struct path *base, const char *name, uint32_t mode, uint64_t rdev);
int vfs_symlink_at(const struct path *base, const char *target, const char *name);
int vfs_unlink_at(const struct path *base, const char *name);
int path_lookup_at(const struct path *base, const char *name, unsigned flags,
                   struct path *ret_path);

/* Names: all take (dirfd, kernel string), check permissions, and keep the dentry cache right. */
int vfs_mkdir(int dirfd, const char *name, uint32_t mode);
int vfs_mknod(int dirfd, const char *name, uint32_t mode, uint64_t rdev);
/* bind(2): a node for a socket; *ret_path is referenced. */
int vfs_mksock(const char *name, uint32_t mode, struct path *ret_path);
int vfs_symlink(const char *target, int dirfd, const char *name);
int vfs_link(int old_dirfd, const char *old_name, int new_dirfd, const char *new_name,
             unsigned flags);
int vfs_unlink(int dirfd, const char *name);
int vfs_rmdir(int dirfd, const char *name);
int vfs_rename(int old_dirfd, const char *old_name, int new_dirfd, const char *new_name,
               unsigned flags);
ssize_t vfs_readlink(const struct path *path, char *buf, size_t size);
int vfs_access(int dirfd, const char *name, int mode, int flags);
int vfs_stat_path(const struct path *path, struct inode_stat *ret_stat);
int vfs_chdir(const struct path *path);
int vfs_chroot(const struct path *path);
/* How many there are now. Any context. */
uint64_t files_count(void);
/* The file that a source of mappings belongs to, borrowed; NULL: the source is NULL, or of another kind. */
struct file *file_of_source(struct vm_source *source);

/* Generic file operations for files whose data lives in inode->cache. */
ssize_t generic_file_read(struct file *file, struct iov_iter *to, loff_t *pos);
ssize_t generic_file_write(struct file *file, struct iov_iter *from, loff_t *pos);
loff_t generic_file_llseek(struct file *file, loff_t offset, int whence);
/* For llseek operations: the file's position is `offset` from `base` now. -EINVAL: that would be less than 0 or beyond `last`. */
loff_t file_seek(struct file *file, loff_t base, loff_t offset, loff_t last);
/* Of files whose content is of this size, and has no position behind its end. */
loff_t fixed_size_llseek(struct file *file, loff_t offset, int whence, loff_t size);
/* Of files without a position that programs may seek in all the same: nothing moves. */
loff_t file_llseek_nowhere(struct file *file, loff_t offset, int whence);
int generic_file_mmap(struct file *file, uint32_t vm_flags, struct vm_source **ret_source);
/* fsync and fcntl for files that live in memory alone. */
int memory_file_fsync(struct file *file, bool data_only);
int64_t memory_file_fcntl(struct file *file, unsigned cmd, uint64_t arg);
/* Directories: any position an iterate operation gave out may be gone back to. */
loff_t directory_llseek(struct file *file, loff_t offset, int whence);
/* A read happened: the access time moves as the mount says (noatime, relatime). */
void file_accessed(struct file *file);
/* -ESPIPE */
loff_t no_llseek(struct file *file, loff_t offset, int whence);

/* RLIMIT_FSIZE of the current process, set by kernel/proc; NULL: no limit. Beyond it SIGXFSZ and -EFBIG. */
extern uint64_t (*file_size_limit_hook)(void);
/*
 * Bytes that may be written at pos under RLIMIT_FSIZE and the file system's limit: `count` or less; -EFBIG, with SIGXFSZ sent, when
 * none may.
 */
ssize_t file_limit_write(loff_t pos, size_t count);
/* SIGPIPE, SIGXFSZ and the like to the current thread's process. */
void file_signal_current(int signo);
/* Who gets SIGIO (F_SETOWN), referenced or NULL; *ret_type is F_OWNER_*. Any context. */
struct pid *file_get_owner(struct file *file, int *ret_type);
/* For terminals' fasync: an owner, F_OWNER_*, for a file that has none. */
void file_set_first_owner(struct file *file, struct pid *pid, int type);
/* F_GETOWN and F_SETOWN: a process' number, or a group's as a negative one; 0: nobody. -EINVAL, -ESRCH. */
int64_t file_get_owner_number(struct file *file);
int64_t file_set_owner_number(struct file *file, int number);
/* FIFOs: kernel/ipc sets this at boot; special inodes get it as their operations. */
extern const struct file_ops *fifo_fops_hook;

/* flock(2), fcntl record locks (POSIX and OFD), /proc/locks. owner of POSIX locks: the fdtable. */
int vfs_flock(struct file *file, int operation);
struct flock;
/* -EBADF too if a lock of the process came after somebody closed fd: then there is none. */
int vfs_posix_lock(int fd, struct file *file, int cmd, struct flock *lock);
void vfs_locks_close(struct file *file,
                     void *owner);         /* close(2): POSIX locks of `owner` on the inode go */
void vfs_locks_release(struct file *file); /* last reference: flock and OFD locks go */
/* One line of /proc/locks, number `index` from 0; 0 past the end. */
size_t vfs_locks_describe(unsigned index, char *buf, size_t size);

void vfs_init(void);
