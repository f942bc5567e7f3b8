/*
 * Descriptor tables.
 *
 * Locking: table->lock (spin) for changes. Slots are read without it: by the one thread that uses the table, or inside of rcu_read_lock(), where the
 * arrays stay, and files stay files, though maybe others (SLAB_TYPE_STABLE_RCU).
 *
 * References are those of the threads that use the table: with the last one everything in it is closed. Who only looks at it from outside
 * (/proc) pins it, which keeps its memory; so a look neither makes a table a shared one, nor is its end put off.
 */
#pragma once

#include "kernel/vfs/file.h"

#define FD_INLINE 64

struct fdtable {
    struct refcount refs; /* threads */
    struct refcount pins; /* one for all threads, and who looks at it */
    struct spinlock lock;
    unsigned size;       /* [lock] slots; grows after `files` did, so [a] to be read first */
    unsigned next_hint;  /* [lock] no free slot below */
    struct file **files; /* [lock][a] inline_files or those of a struct fd_arrays; slots too */
    uint64_t *open;      /* [lock] bitmap of slots in use */
    uint64_t *cloexec;   /* [lock] bitmap */
    struct file *inline_files[FD_INLINE];
    uint64_t inline_open[1], inline_cloexec[1];
};

struct fdtable *fdtable_create(void);
struct fdtable *
fdtable_clone(struct fdtable *table);    /* fork: same files, same flags; NULL: no memory */
void fdtable_put(struct fdtable *table); /* the last one closes everything; may sleep */
static inline struct fdtable *fdtable_get(struct fdtable *table)
{
    refcount_get(&table->refs);
    return table;
}
/* The caller knows that a thread has it. When all are gone, it is an empty table. */
static inline struct fdtable *fdtable_pin(struct fdtable *table)
{
    refcount_get(&table->pins);
    return table;
}
void fdtable_unpin(struct fdtable *table); /* NULL is fine */
/* exec: the FD_CLOEXEC descriptors of a table that nobody shares are closed. */
void fdtable_exec(struct fdtable *table);

/*
 * A file for the length of a system call, without a reference when nobody else can take the descriptor away meanwhile: the table
 * belongs to this thread alone. Bit 0 of the word says that a reference was taken. NULL file: -EBADF.
 *     struct fd_ref ref = fd_borrow(fd);  if (fd_ref_file(ref) == NULL) {...}  ...  fd_return(ref);
 */
struct fd_ref {
    uintptr_t word;
};
struct fd_ref fd_borrow_shared(unsigned fd);
static inline struct fd_ref fd_borrow_any(int fd)
{
    const struct fdtable *table = current_thread()->files;
    if (likely(refcount_read(&table->refs) == 1)) {
        struct fd_ref ref = {0};
        if (likely((unsigned)fd < table->size)) {
            ref.word = (uintptr_t)table->files[fd];
        }
        return ref;
    }
    return fd_borrow_shared((unsigned)fd);
}
static inline struct file *fd_ref_file(struct fd_ref ref)
{
    return (struct file *)(ref.word & ~(uintptr_t)1);
}
static inline void fd_return(struct fd_ref ref)
{
    if (unlikely((ref.word & 1) != 0)) {
        file_put(fd_ref_file(ref));
    }
}
/* The same, but O_PATH files count as -EBADF. */
static inline struct fd_ref fd_borrow(int fd)
{
    struct fd_ref ref = fd_borrow_any(fd);
    const struct file *file = fd_ref_file(ref);
    if (unlikely(file != NULL && (file->mode & FMODE_PATH) != 0)) {
        fd_return(ref);
        ref.word = 0;
    }
    return ref;
}

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
/* first to last: closed, or marked FD_CLOEXEC. */
void fd_close_range(unsigned first, unsigned last, bool cloexec);
int fd_dup(int fd, unsigned from, bool cloexec);
int fd_dup_to(int old_fd, int new_fd, bool cloexec);
/* Does fd still stand for this file, which the caller has? */
bool fd_is_still(int fd, const struct file *file);
int fd_get_cloexec(int fd);
int fd_set_cloexec(int fd, bool cloexec);
/* Next descriptor in use at or after `from` in another table, which is pinned, referenced; -1 at the end. For /proc/PID/fd. */
int fdtable_next(struct fdtable *table, unsigned from, struct file **ret_file);
/* The file behind exactly fd in another table, which is pinned, referenced; NULL: none. Any process context. */
struct file *fdtable_file(struct fdtable *table, unsigned fd);
/* RLIMIT_NOFILE of the current process: set by kernel/proc. */
extern uint64_t (*fd_limit_hook)(void);
