/*
 * Pipes and FIFOs: a ring of whole pages between writers and readers (pipe(7)).
 * Locking: pipe->lock (mutex) for content and counts; two wait queues.
 */
#pragma once

#include "kernel/vfs/file.h"

#define PIPE_DEFAULT_BYTES 65536
#define PIPE_BUF_BYTES     4096 /* atomic writes up to here */

/* pipe2(2): flags O_CLOEXEC (descriptor's, not ours), O_NONBLOCK, O_DIRECT (packet mode). Two files with one reference each. */
int pipe_create(int flags, struct file **ret_read, struct file **ret_write);
/* Operations of FIFO inodes: file systems get them through inode_init_special(). */
extern const struct file_ops fifo_fops;
/* F_GETPIPE_SZ, F_SETPIPE_SZ. -EBADF: not a pipe. */
int64_t pipe_get_size(struct file *file);
int64_t pipe_set_size(struct file *file, uint64_t size_bytes);
/* Is this an open pipe end? */
bool file_is_pipe(const struct file *file);
/* Boot: the cache of pipes, and the operations of FIFO inodes. */
void pipes_init(void);
