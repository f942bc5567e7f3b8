/*
 * What the files of kernel/vfs share among themselves and nobody else uses.
 */
#pragma once

#include "kernel/vfs/file.h"
#include "kernel/vfs/mount.h"
#include "kernel/vfs/notify.h"

/* Kernel threads have no credentials of their own: they act as root. */
static inline const struct cred *vfs_cred(void)
{
    const struct cred *cred = cred_current();

    return likely(cred != NULL) ? cred : &cred_init_user;
}

/* A file's read or write was called: count it for /proc/PID/io, and tell who watches. Gives its result back. */
static inline ssize_t io_done_read(const struct file *file, ssize_t result)
{
    struct thread_io *io = &current_thread()->io;

    io->reads++;
    if (likely(result > 0)) {
        io->read_bytes += (size_t)result;
        notify_file(file, IN_ACCESS);
    }
    return result;
}

static inline ssize_t io_done_write(const struct file *file, ssize_t result)
{
    struct thread_io *io = &current_thread()->io;

    io->writes++;
    if (likely(result > 0)) {
        io->write_bytes += (size_t)result;
        notify_file(file, IN_MODIFY);
    }
    return result;
}

/* Locks are gone with the last reference. */
void inode_locks_free(struct inode *inode);

/* file.c: a fresh file for `path` (references taken over on success only) with refs 1 and the opener's credentials. */
int file_create(const struct path *path, int flags, unsigned mode, struct file **ret_file);
/* A file whose open failed: its credentials go, release is not called; the path stays the caller's. */
void file_discard(struct file *file);
/* fcntl.c. O_ASYNC: tell the owner, with F_SETSIG's signal. Any context. */
void file_tell_owner(struct file *file, int fd, int code);
void files_init(void);
void fdtables_init(void);
extern const struct vm_source_ops file_source_ops;
/* A fresh open file of an inode with a medium (medium.c). */
void file_open_medium(struct file *file);

/* names.c: may the current thread make a name in, or take `victim` out of, the directory? */
int dir_may_create(struct inode *dir);
int dir_may_delete(struct inode *dir, const struct dentry *victim, bool is_dir);
/* What umask leaves of the mode for a new object. */
static inline uint32_t mode_masked(uint32_t mode)
{
    return mode & ~fs_umask();
}

void anon_init(void);
