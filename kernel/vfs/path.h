/*
 * Paths: a dentry in a mount, and the walk from a name to one.
 */
#pragma once

#include "kernel/vfs/dentry.h"

struct mount;

struct path {
    struct mount *mount;
    struct dentry *dentry;
};

/* Root, working directory and umask of a process; shared with CLONE_FS. */
struct fs_context {
    struct refcount refs;
    struct spinlock lock;
    struct list_node node; /* [context list] */
    struct path root;      /* [lock] referenced */
    struct path cwd;       /* [lock] referenced */
    uint32_t umask;        /* [a] */
    uint32_t walks; /* [a] walks of the owning thread that borrow root or cwd without references */
    uint64_t replaced; /* [context list] the last pivot_root that has looked at it */
    uint32_t users;    /* [process tree] threads in the lists of their processes that have it */
    uint32_t raising;  /* [process tree] of these, who executes a program with more rights */
};
/* 022 when the current thread has no context (kernel threads). */
uint32_t fs_umask(void);
/* A context at `root`; NULL: no memory. */
struct fs_context *fs_context_create(const struct path *root);
struct fs_context *fs_context_clone(struct fs_context *fs); /* NULL: no memory */
void fs_context_put(struct fs_context *fs);
static inline struct fs_context *fs_context_get(struct fs_context *fs)
{
    refcount_get(&fs->refs);
    return fs;
}
void fs_context_set_cwd(struct fs_context *fs,
                        const struct path *path); /* takes its own reference */
void fs_context_set_root(struct fs_context *fs, const struct path *path);
void fs_context_get_paths(struct fs_context *fs, struct path *ret_root, struct path *ret_cwd);

void path_get(const struct path *path);
void path_put(const struct path *path);
static inline bool path_equal(const struct path *a, const struct path *b)
{
    return a->mount == b->mount && a->dentry == b->dentry;
}

#define LOOKUP_FOLLOW        0x01u /* follow a symbolic link in the last component */
#define LOOKUP_DIRECTORY     0x02u /* -ENOTDIR unless it is one */
#define LOOKUP_EMPTY         0x04u /* "" means dirfd itself (AT_EMPTY_PATH) */
#define LOOKUP_NO_XDEV       0x08u /* openat2 RESOLVE_* */
#define LOOKUP_NO_SYMLINKS   0x10u
#define LOOKUP_BENEATH       0x20u
#define LOOKUP_IN_ROOT       0x40u
#define LOOKUP_NO_MAGICLINKS 0x80u
#define LOOKUP_CACHED        0x100u /* RESOLVE_CACHED: -EAGAIN instead of waiting for a medium */

#define MAX_SYMLINKS 40

/*
 * Walk a kernel-space string from dirfd (a descriptor, or AT_FDCWD). *ret_path referenced. May sleep.
 * -ENOENT, -ENOTDIR, -EACCES, -ELOOP, -ENAMETOOLONG, -EBADF, -ENOMEM, or what the file system says.
 */
int path_lookup(int dirfd, const char *name, unsigned flags, struct path *ret_path);
/* The same with the string in user memory (at most PATH_MAX): the system calls' road, without a heap allocation for short names. */
int path_lookup_user(int dirfd, const char __user *name, unsigned flags, struct path *ret_path);

/*
 * Walk to the parent for creating, removing or renaming the last component. ret->last is the component (no '/'), with
 * `trailing_slash` set when slashes followed it. -EEXIST/-EBUSY style decisions about "." and ".." are told by last_type.
 */
enum last_type { LAST_NORM, LAST_DOT, LAST_DOTDOT, LAST_ROOT };
struct path_parent {
    struct path parent; /* referenced */
    char last[NAME_MAX_BYTES + 1];
    unsigned last_len;
    enum last_type last_type;
    bool trailing_slash;
};
int path_lookup_parent(int dirfd, const char *name, unsigned flags, struct path_parent *ret_parent);

/* Name a path from the process' root, as getcwd and /proc show it: "(unreachable)" and " (deleted)" as Linux adds them.
 * Returns a pointer into buf. -ENAMETOOLONG as NULL. */
char *path_to_string(const struct path *path, const struct path *root, char *buf, size_t size);
/* The same without " (deleted)": a place, whatever its name has become. */
char *path_to_place(const struct path *path, const struct path *root, char *buf, size_t size);
/*
 * The text of a path name, for the length of a system call: short ones without an allocation.
 *     struct path_name name;  err = path_name_get(&name, upath, 0);  ... name.text ...  path_name_put(&name);
 */
#define PATH_NAME_INLINE 128
struct path_name {
    char *text;
    char inline_text[PATH_NAME_INLINE];
};
/* flags: LOOKUP_EMPTY allows "". -ENAMETOOLONG, -EFAULT, -ENOMEM, -ENOENT. */
int path_name_get(struct path_name *name, const char __user *text, unsigned flags);
void path_name_put_slow(struct path_name *name);
static inline void path_name_put(struct path_name *name)
{
    if (unlikely(name->text != name->inline_text)) {
        path_name_put_slow(name);
    }
}
/* A user string of a path name copied to a fresh buffer: -ENAMETOOLONG, -EFAULT, -ENOMEM; "" is -ENOENT unless allow_empty. */
int path_name_from_user(const char __user *name, bool allow_empty, char **ret_name);
void path_name_free(char *name);
