/*
 * Device numbers, the operations behind them, and the names in /dev.
 *
 * A driver registers operations for a range of numbers (chrdev_register) and names for them (devfs_create). Names are kept in a
 * list here, because drivers stand below the file system that shows them: kernel/fs/devfs takes the list over when it is first
 * mounted, and is told of each later change.
 */
#pragma once

#include "kernel/base/types.h"

struct file;
struct file_ops;
struct inode;

#define DEV_MAKE(major, minor)                                                                     \
    ((((uint64_t)(major)&0xfffu) << 8) | ((uint64_t)(minor)&0xffu) |                               \
     (((uint64_t)(minor) & ~0xffull) << 12) | (((uint64_t)(major) & ~0xfffull) << 32))
#define DEV_MAJOR(dev) ((uint32_t)((((dev) >> 8) & 0xfffu) | (((dev) >> 32) & ~0xfffull)))
#define DEV_MINOR(dev) ((uint32_t)(((dev)&0xffu) | (((dev) >> 12) & ~0xffull)))

/* open of a special file: finds the registered operations by inode->rdev, puts them into file->fops, opens. -ENXIO. */
int chrdev_open(struct inode *inode, struct file *file);
int blkdev_open(struct inode *inode, struct file *file);
/* -EBUSY: the range overlaps one that is taken; -ENOMEM. `name` lives for ever. Thread context. */
int chrdev_register(uint32_t major, uint32_t minor_first, uint32_t minor_count, const char *name,
                    const struct file_ops *fops);
/* The same for block devices, whose numbers are their own. Their files bring what a block layer would do for them. */
int blkdev_register(uint32_t major, uint32_t minor_first, uint32_t minor_count, const char *name,
                    const struct file_ops *fops);
/* /proc/devices: one entry per major, ascending; false past the end. */
bool chrdev_describe(unsigned index, uint32_t *ret_major, const char **ret_name);
bool blkdev_describe(unsigned index, uint32_t *ret_major, const char **ret_name);

/*
 * A node or symbolic link in /dev, by its path below it ("input/mice"); missing directories are made. mode has S_IFCHR, S_IFBLK or
 * S_IFDIR. Thread context, any time after slab_init(). -EEXIST, -ENOMEM. Symbolic links: devfs_symlink.
 */
int devfs_create(const char *name, uint32_t mode, uint64_t rdev);
int devfs_symlink(const char *name, const char *target);
void devfs_remove(const char *name);

/* For kernel/fs/devfs: called for each name there is and each change to come. target NULL: a node. mode 0: remove. */
struct devfs_sink {
    void (*change)(const char *name, uint32_t mode, uint64_t rdev, const char *target);
};
void devfs_attach(const struct devfs_sink *sink);
