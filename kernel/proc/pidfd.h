/*
 * Processes by descriptor (pidfd_open(2)).
 */
#pragma once

#include "kernel/proc/signal.h"

/* A descriptor's file for the process with this number. flags: PIDFD_NONBLOCK. -EINVAL (a thread's number, flags), -ESRCH, -ENOMEM. */
int pidfd_open(int nr, int flags, struct file **ret_file);
/* The same for a pid at hand. */
int pidfd_create(struct pid *pid, int flags, struct file **ret_file);
/* What the file refers to, borrowed; NULL: it is no pidfd. */
struct pid *pidfd_pid(const struct file *file);
/* The same for who sends a signal: a directory /proc/PID will do as well. */
struct pid *pidfd_signal_pid(const struct file *file);
/* [a] Set by procfs when it is mounted: the pid that a directory /proc/PID is about, borrowed; NULL: it is none. */
extern struct pid *(*pidfd_directory_pid)(const struct file *file);
/* pidfd_send_signal(2), checked as kill(2). -EBADF: no pidfd. */
int pidfd_send_signal(const struct file *file, const siginfo_t *info);
/* The address space of the process, referenced, if the current thread may look into it. -EBADF: no pidfd; -ESRCH, -EACCES. */
int pidfd_vm_get(const struct file *file, struct vmspace **ret_vm);
/* pidfd_getfd(2): the target's file, referenced. -EBADF -EPERM -ESRCH. */
int pidfd_getfd(const struct file *file, unsigned fd, struct file **ret_file);
