/*
 * Pseudo-terminals: a master file and a slave terminal (pty(7), ioctl_tty(2)).
 *
 * The slave is a struct tty like any other; the master is a file of its own kind (pty_master_fops) whose ioctls on settings act on
 * the slave. Slaves are shown by kernel/fs/devpts, which registers itself through pty_fs.
 */
#pragma once

#include "kernel/dev/tty.h"

struct pty;

#define PTY_MAX 4096 /* numbers 0 .. PTY_MAX-1 */

/* The file system of slaves. An instance is one mount of it. */
struct pty_fs_ops {
    /* The instance that belongs to a ptmx file being opened, referenced; NULL: none is mounted there. */
    void *(*instance_get)(struct file *ptmx);
    void (*instance_put)(void *instance);
    /* Show or remove slave `index`. Thread context. 0, -ENOMEM, -ENOSPC. */
    int (*slave_add)(void *instance, unsigned index, uint64_t rdev);
    void (*slave_remove)(void *instance, unsigned index);
    /* Is this device node a slave's that has not been removed? Any context. */
    bool (*is_slave)(const struct inode *node);
    /* The slave's place, for TIOCGPTPEER; referenced. */
    int (*slave_path)(struct file *ptmx, unsigned index, struct path *ret_path);
};
extern const struct pty_fs_ops *pty_fs;

/* How many there are now. Thread context. */
unsigned pty_count(void);

/* The slave that this device node shows, referenced; NULL: none, or its master is gone. */
struct tty *pty_find_slave(const struct inode *node);
/* open(2) of a ptmx device: makes a pair. -EIO: no devpts; -ENOSPC: no number is free; -ENOMEM. */
int pty_open_master(struct file *file);
