/*
 * inotify(7): a queue of events of inodes, as a file.
 *
 * Thread context; may sleep.
 */
#pragma once

#include "kernel/vfs/notify.h"

/* inotify_init1(2). flags: IN_CLOEXEC, IN_NONBLOCK. -EINVAL, -EMFILE: the user has as many as may be, -ENOMEM, -ENFILE. */
int inotify_create(int flags, struct file **ret_file);
bool file_is_inotify(const struct file *file);
/*
 * inotify_add_watch(2) of an inode that may be read: the watch descriptor. -EEXIST: IN_MASK_CREATE and it is watched, -ENOSPC: the user has as
 * many as may be, -ENOMEM.
 */
int inotify_watch_add(struct file *file, struct inode *inode, uint32_t mask);
/* inotify_rm_watch(2). -EINVAL: no such watch. */
int inotify_watch_remove(struct file *file, int wd);

/* /proc/sys/fs/inotify (proc(5)). */
extern struct inotify_limits {
    uint32_t max_queued_events;                    /* [a] of one queue */
    uint32_t max_user_instances, max_user_watches; /* [a] of one user */
} inotify_limits;
void inotify_boot(void);
