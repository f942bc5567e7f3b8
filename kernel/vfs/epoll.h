/*
 * epoll(7): a file that watches other files and remembers which of them became ready.
 *
 * All may sleep; thread context.
 */
#pragma once

#include <linux/eventpoll.h>

#include "kernel/vfs/file.h"

/* epoll_create1(2): an empty set as a file with one reference. flags: O_CLOEXEC alone is known. -EINVAL, -ENOMEM, -ENFILE. */
int epoll_set_create(unsigned flags, struct file **ret_file);
/*
 * epoll_ctl(2). `target` is what stands behind `fd` in the caller's table: both together are what is watched. `event` is NULL for
 * EPOLL_CTL_DEL. -EPERM: the target cannot be polled; -EINVAL, -EEXIST, -ENOENT, -ELOOP, -ENOSPC, -ENOMEM.
 */
int epoll_set_ctl(struct file *file, int op, int fd, struct file *target,
                  const struct epoll_event *event);
/*
 * epoll_wait(2): up to `max` events to user memory, waiting until `deadline` (absolute, monotonic; 0: do not wait, KTIME_MAX: no limit).
 * Their number, 0 when the time was up, -EINTR when a signal came first, -EFAULT; -EINVAL: not such a file.
 */
int epoll_set_wait(struct file *file, struct epoll_event __user *events, int max, ktime_t deadline);

/* The last reference to a watched file went: nobody watches it any more. Before the file's release operation. */
void epoll_forget_file(struct file *file);
/* /proc/sys/fs/epoll/max_user_watches. */
extern uint64_t epoll_max_user_watches; /* [a] */
void epoll_init(void);
