/*
 * sysfs: the little of it that programs ask for today: the sets of CPUs, and the directories they expect to find.
 */
#include <linux/magic.h>

#include "kernel/core/log.h"
#include "kernel/fs/textfs/text.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/mutex.h"

#define SYS_FILE(name_) LINKSET_ENTRY(sys_files, struct text_file, name_)
LINKSET_DECLARE(sys_files, struct text_file);

#define ROOT_INO 1u

static struct mutex tree_lock = MUTEX_INIT(tree_lock);
static struct text_tree tree; /* [tree_lock] until tree_made */
static bool tree_made;

static void destroy_inode(struct inode *inode)
{
    kfree(inode);
}

static int sysfs_statfs(struct super *super, struct vfs_statfs *ret_stat)
{
    (void)super;
    *ret_stat = (struct vfs_statfs){
        .type = SYSFS_MAGIC, .block_size = PAGE_SIZE, .name_max = NAME_MAX_BYTES};
    return 0;
}

static const struct super_ops super_ops = {
    .destroy_inode = destroy_inode,
    .statfs = sysfs_statfs,
};

static void tree_make(void)
{
    mutex_lock(&tree_lock);
    if (!tree_made) {
        text_tree_init(&tree, ROOT_INO);
        linkset_foreach (sys_files, struct text_file, file) {
            if (text_tree_add(&tree, file) < 0) {
                log_err("sysfs: cannot add %s", file->path);
            }
        }
        tree_made = true;
    }
    mutex_unlock(&tree_lock);
}

static int sysfs_mount(const struct filesystem *fs, const char *source, unsigned long flags,
                       const char *options, struct super **ret_super)
{
    struct super *super;
    struct inode *root;

    (void)flags;
    (void)options;
    tree_make();
    super = super_create(fs, &super_ops, source);
    if (super == NULL) {
        return -ENOMEM;
    }
    root = text_inode_create(super, &tree.root);
    super->root = root == NULL ? NULL : dentry_create_root(super, root);
    if (super->root == NULL) {
        super_put(super);
        return -ENOMEM;
    }
    *ret_super = super;
    return 0;
}

FILESYSTEM(sysfs) = {.name = "sysfs", .flags = FS_NODEV, .mount = sysfs_mount};

/* ---- files ---- */

static void cpu_range(struct text *text, unsigned n)
{
    text_printf(text, n > 1 ? "0-%u\n" : "0\n", n - 1);
}

static int online_show(struct text *text)
{
    cpu_range(text, cpu_count());
    return 0;
}

static int possible_show(struct text *text)
{
    cpu_range(text, cpu_count_possible());
    return 0;
}

static int kernel_max_show(struct text *text)
{
    text_printf(text, "%u\n", MAX_CPUS - 1);
    return 0;
}

static int uevent_seqnum_show(struct text *text)
{
    text_puts(text, "0\n");
    return 0;
}

SYS_FILE(cpu_online) = {.path = "devices/system/cpu/online", .show = online_show};
SYS_FILE(cpu_possible) = {.path = "devices/system/cpu/possible", .show = possible_show};
SYS_FILE(cpu_present) = {.path = "devices/system/cpu/present", .show = possible_show};
SYS_FILE(cpu_kernel_max) = {.path = "devices/system/cpu/kernel_max", .show = kernel_max_show};
SYS_FILE(uevent_seqnum) = {.path = "kernel/uevent_seqnum", .show = uevent_seqnum_show};
