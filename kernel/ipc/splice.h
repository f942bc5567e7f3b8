/*
 * splice(2), tee(2), vmsplice(2): bytes between pipes and files without a way through user memory.
 *
 * Between pipes pages change hands or are shown in both. Between a pipe and a file they are copied once; what vmsplice(2) is given is copied too.
 * `nonblock` concerns the pipes; the files' own flags are added to it. All may sleep.
 */
#pragma once

#include "kernel/vfs/file.h"

/*
 * At least one of the files is a pipe. The positions: NULL means the file's own; a pipe has none. What was moved, 0 at the end.
 * -EBADF -EINVAL -ESPIPE -EAGAIN -EPIPE (with SIGPIPE) -ERESTARTSYS -ENOMEM, or what the file says.
 */
ssize_t splice_files(struct file *in, loff_t *in_pos, struct file *out, loff_t *out_pos,
                     size_t count, bool nonblock);
/* Both are pipes; what `in` has stays there. */
ssize_t splice_tee(struct file *in, struct file *out, size_t count, bool nonblock);
/* User memory into a pipe's write end, or out of its read end. -EBADF: neither. */
ssize_t splice_memory(struct file *pipe, struct iov_iter *iter, bool nonblock);
