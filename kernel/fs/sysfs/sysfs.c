/*
 * sysfs: the little of it that programs ask for today, and the directories they expect to find.
 */
#include <linux/magic.h>

#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/fs/sysfs/sysfs.h"
#include "kernel/fs/textfs/text.h"
#include "kernel/mm/kmalloc.h"

static void populate(struct text_tree *tree)
{
    sysfs_add_cpus(tree);
    sysfs_add_nodes(tree);
    sysfs_add_zram(tree);
}

void sysfs_add(struct text_tree *tree, const struct text_file *like, const char *path,
               const char *target)
{
    struct text_file *file = kmemdup(like, sizeof(*like));

    if (file != NULL) {
        file->path = kstrdup(path);
        file->link_target = target == NULL ? NULL : kstrdup(target);
        if (file->path != NULL && text_tree_add(tree, file) == 0) {
            return;
        }
        kfree((void *)(uintptr_t)file->path);
        kfree((void *)(uintptr_t)file->link_target);
        kfree(file);
    }
    log_err("sysfs: cannot add %s", path);
}

static struct text_fs sysfs = {.name = "sysfs",
                               .magic = SYSFS_MAGIC,
                               .root_mode = 0555,
                               .populate = populate,
                               .lock = MUTEX_INIT(sysfs.lock)};

static int sysfs_mount(const struct filesystem *fs, const char *source, unsigned long flags,
                       const char *options, struct super **ret_super)
{
    (void)flags;
    (void)options;
    return text_fs_mount(&sysfs, __start_linkset_sys_files, __stop_linkset_sys_files, fs, source,
                         ret_super);
}

FILESYSTEM(sysfs) = {.name = "sysfs", .flags = FS_NODEV | FS_NO_NEGATIVE, .mount = sysfs_mount};

/* ---- files ---- */

static int uevent_seqnum_show(struct text *text)
{
    text_puts(text, "0\n");
    return 0;
}

SYS_FILE(uevent_seqnum) = {.path = "kernel/uevent_seqnum", .show = uevent_seqnum_show};
SYS_FILE(kernel_debug) = {.path = "kernel/debug/"}; /* where debugfs is mounted */
