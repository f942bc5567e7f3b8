/*
 * /proc/PID/map_files (proc(5)): the file behind each mapping as a link named after its range, "START-END" in hexadecimal as maps has it. The
 * link leads straight to the file, even one that has no name any more, so only who may restore processes may follow it; reading it needs no
 * more than the other files here.
 */
#include <linux/capability.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/fs/procfs/procfs.h"
#include "kernel/vfs/file.h"

#define NAME_BYTES 40u

/* "START-END" without leading zeros, as it is printed. */
static bool name_parse(const char *name, unsigned len, uint64_t *ret_start, uint64_t *ret_end)
{
    char text[NAME_BYTES], canonical[NAME_BYTES];

    if (len >= sizeof(text)) {
        return false;
    }
    memcpy(text, name, len);
    text[len] = '\0';
    char *dash = strchr(text, '-');
    if (dash == NULL) {
        return false;
    }
    *dash = '\0';
    if (str_to_u64(text, 16, ret_start) < 0 || str_to_u64(dash + 1, 16, ret_end) < 0) {
        return false;
    }
    (void)ksnprintf(canonical, sizeof(canonical), "%llx-%llx", (unsigned long long)*ret_start,
                    (unsigned long long)*ret_end);
    *dash = '-';
    return strcmp(text, canonical) == 0;
}

/* The file that is mapped at exactly [start, end), referenced; NULL: none, or the program is gone. */
static struct file *mapped_file(const struct proc_target *target, uint64_t start, uint64_t end)
{
    struct file *file = NULL;
    struct vmspace *vm = proc_target_vm(target);

    if (vm != NULL) {
        rwsem_lock_read(&vm->lock);
        const struct vm_region *region = vmspace_find(vm, start);
        if (region != NULL && region->start == start && region->end == end) {
            file = file_of_source(region->source);
        }
        if (file != NULL) {
            (void)file_get(file);
        }
        rwsem_unlock_read(&vm->lock);
        vmspace_put(vm);
    }
    return file;
}

/* ---- one mapping ---- */

static bool map_revalidate(struct inode *inode)
{
    const struct proc_inode *proc = proc_inode_of(inode);
    struct proc_target target;

    if (proc_target_get(inode, &target) < 0) {
        return false;
    }
    struct file *file = mapped_file(&target, proc->start, proc->end);
    proc_target_put(&target);
    file_put(file);
    return file != NULL && proc_pid_revalidate(inode);
}

static int map_path(struct inode *inode, struct path *ret_path)
{
    const struct proc_inode *proc = proc_inode_of(inode);
    struct proc_target target;
    int err = proc_target_get_checked(inode, &target);

    if (err < 0) {
        return err;
    }
    struct file *file = mapped_file(&target, proc->start, proc->end);
    proc_target_put(&target);
    if (file == NULL) {
        return -ENOENT;
    }
    *ret_path = file->path;
    path_get(ret_path);
    file_put(file);
    return 0;
}

static int map_follow(struct inode *inode, struct path *ret_path)
{
    if (!current_has_cap(CAP_SYS_ADMIN) && !current_has_cap(CAP_CHECKPOINT_RESTORE)) {
        return -EPERM;
    }
    return map_path(inode, ret_path);
}

static ssize_t map_readlink(struct inode *inode, char *buf, size_t size)
{
    struct path path;
    int err = map_path(inode, &path);

    return err < 0 ? err : proc_path_text(&path, buf, size);
}

static const struct inode_ops map_link_ops = {
    .readlink = map_readlink,
    .follow = map_follow,
    .revalidate = map_revalidate,
};

/* ---- the directory ---- */

static uint64_t map_ino(int nr, uint64_t start)
{
    return PROC_PID_INO(nr) + BIT(31) + (start >> PAGE_SHIFT & (BIT(31) - 1));
}

static int maps_lookup(struct inode *dir, const char *name, unsigned len, struct inode **ret_inode)
{
    const struct proc_inode *parent = proc_inode_of(dir);
    struct proc_target target;
    uint64_t start, end;
    int err = proc_target_get_checked(dir, &target);

    if (err < 0) {
        return err == -ESRCH ? -ENOENT : err;
    }
    struct file *file =
        name_parse(name, len, &start, &end) ? mapped_file(&target, start, end) : NULL;
    proc_target_put(&target);
    if (file == NULL) {
        return -ENOENT;
    }
    uint32_t mode = S_IFLNK | ((file->mode & FMODE_READ) != 0 ? 0400 : 0) |
                    ((file->mode & FMODE_WRITE) != 0 ? 0200 : 0);
    file_put(file);
    struct inode *inode = proc_inode_create(dir->super, parent->pid, parent->task,
                                            map_ino(parent->pid->nr, start), mode);
    if (inode == NULL) {
        return -ENOMEM;
    }
    proc_inode_of(inode)->start = start;
    proc_inode_of(inode)->end = end;
    inode->ops = &map_link_ops;
    *ret_inode = inode;
    return 0;
}

/* The next mapping of a file at or above `from`. */
static bool next_range(struct vmspace *vm, uint64_t from, uint64_t *ret_start, uint64_t *ret_end)
{
    struct vm_region *region;

    rwsem_lock_read(&vm->lock);
    region = vmspace_find(vm, from);
    while (region != NULL && (region->start < from || file_of_source(region->source) == NULL)) {
        region = vm_region_next(region);
    }
    if (region != NULL) {
        *ret_start = region->start;
        *ret_end = region->end;
    }
    rwsem_unlock_read(&vm->lock);
    return region != NULL;
}

/* Positions from 2 on: 2 + the number of the page from which on there is more to tell. */
static int maps_iterate(struct file *dir, struct dir_context *ctx)
{
    int nr = proc_inode_of(dir->inode)->pid->nr;
    struct proc_target target;
    uint64_t start, end;

    if (!text_emit_dots(ctx, dir->inode->ino, PROC_PID_INO(nr))) {
        return 0;
    }
    int err = proc_target_get_checked(dir->inode, &target);
    if (err < 0) {
        return err == -ESRCH ? -ENOENT : err;
    }
    struct vmspace *vm = proc_target_vm(&target);
    while (vm != NULL && next_range(vm, (uint64_t)(ctx->pos - 2) << PAGE_SHIFT, &start, &end)) {
        char name[NAME_BYTES];
        int len = kscnprintf(name, sizeof(name), "%llx-%llx", (unsigned long long)start,
                             (unsigned long long)end);
        loff_t next = (loff_t)(end >> PAGE_SHIFT) + 2;
        if (!ctx->emit(ctx, name, (unsigned)len, map_ino(nr, start), S_IFLNK >> 12, next)) {
            break;
        }
        ctx->pos = next;
    }
    vmspace_put(vm);
    proc_target_put(&target);
    return 0;
}

static const struct inode_ops maps_dir_ops = {
    .lookup = maps_lookup,
    .revalidate = proc_pid_revalidate,
};
static const struct file_ops maps_dir_fops = {.iterate = maps_iterate,
                                              .llseek = generic_file_llseek};

PROC_PID_FILE(map_files) = {.name = "map_files",
                            .mode = S_IFDIR | 0500,
                            .dir_ops = &maps_dir_ops,
                            .dir_fops = &maps_dir_fops};
