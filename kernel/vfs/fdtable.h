/*
 * Descriptor tables.
 *
 * Locking: table->lock (spin) for changes; a table used by one thread only is read without it.
 */
#pragma once

#include "kernel/vfs/file.h"

#define FD_INLINE 64

struct fdtable {
    struct refcount refs;
    struct spinlock lock;
    unsigned size;             /* [lock] slots */
    unsigned next_hint;        /* [lock] no free slot below */
    struct file **files;       /* [lock] inline_files or kvmalloc'd */
    uint64_t *open;            /* [lock] bitmap of slots in use */
    uint64_t *cloexec;         /* [lock] bitmap */
    struct file *inline_files[FD_INLINE];
    uint64_t inline_open[1], inline_cloexec[1];
};

struct fdtable *fdtable_create(void);
struct fdtable *fdtable_clone(struct fdtable *table); /* fork: same files, same flags; NULL: no memory */
void fdtable_put(struct fdtable *table);              /* the last one closes everything; may sleep */
static inline struct fdtable *fdtable_get(struct fdtable *table)
{
    refcount_get(&table->refs);
    return table;
}
/* exec: a table of one's own, without the FD_CLOEXEC descriptors. */
int fdtable_exec(struct fdtable **table);

/* All on the current thread's table. The file behind fd, referenced; NULL: -EBADF. O_PATH files only with fd_file_any. */
struct file *fd_file(int fd);
struct file *fd_file_any(int fd);
/* Lowest free descriptor >= from, reserved (open, no file yet): -EMFILE by RLIMIT_NOFILE (limit), -ENOMEM. */
int fd_reserve(unsigned from, bool cloexec, uint64_t limit);
void fd_install(int fd, struct file *file); /* takes over the reference */
void fd_unreserve(int fd);
/* fd_reserve and fd_install; takes over the reference on success only. */
int fd_add(struct file *file, bool cloexec);
int fd_close(int fd);
int fd_close_range(unsigned first, unsigned last, unsigned flags);
int fd_dup(int fd, unsigned from, bool cloexec);
int fd_dup_to(int old_fd, int new_fd, bool cloexec);
int fd_get_cloexec(int fd);
int fd_set_cloexec(int fd, bool cloexec);
/* Next descriptor in use at or after `from` in another table, referenced; -1 at the end. For /proc/PID/fd. */
int fdtable_next(struct fdtable *table, unsigned from, struct file **ret_file);
/* RLIMIT_NOFILE of the current process: set by kernel/proc. */
extern uint64_t (*fd_limit_hook)(void);
