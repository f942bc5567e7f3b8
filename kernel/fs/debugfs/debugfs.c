/*
 * debugfs: a tree of the files that others register (debugfs.h), mounted at /sys/kernel/debug. Its root may be entered by root alone.
 */
#include "kernel/fs/debugfs/debugfs.h"

#include <linux/magic.h>

static struct text_fs debugfs = {
    .name = "debugfs", .magic = DEBUGFS_MAGIC, .root_mode = 0700, .lock = MUTEX_INIT(debugfs.lock)};

static int debugfs_mount(const struct filesystem *fs, const char *source, unsigned long flags,
                         const char *options, struct super **ret_super)
{
    (void)flags;
    (void)options;
    return text_fs_mount(&debugfs, __start_linkset_debug_files, __stop_linkset_debug_files, fs,
                         source, ret_super);
}

FILESYSTEM(debugfs) = {.name = "debugfs", .flags = FS_NODEV, .mount = debugfs_mount};
