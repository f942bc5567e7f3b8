/*
 * /proc/PID/fd and fdinfo: open descriptors as links that lead straight to the file, and what is known of each.
 */
#include <asm/fcntl.h>
#include <linux/capability.h>

#include "kernel/base/bitmap.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/fs/procfs/procfs.h"
#include "kernel/vfs/mount.h"

/* The file behind a descriptor of the inode's process, referenced; NULL: closed, or gone. */
static struct file *file_of(const struct inode *inode, unsigned fd)
{
    struct proc_target target;
    struct fdtable *files;
    struct file *file = NULL;

    if (proc_target_get(inode, &target) < 0) {
        return NULL;
    }
    files = thread_files_pin(target.thread);
    if (files != NULL) {
        file = fdtable_file(files, fd);
        fdtable_unpin(files);
    }
    proc_target_put(&target);
    return file;
}

/* ---- one descriptor ---- */

static bool fd_revalidate(struct inode *inode)
{
    struct file *file = file_of(inode, (unsigned)proc_inode_of(inode)->fd);

    if (file == NULL) {
        return false;
    }
    file_put(file);
    return proc_pid_revalidate(inode);
}

static int fd_follow(struct inode *inode, struct path *ret_path)
{
    struct proc_target target;
    int err = proc_target_get_checked(inode, &target);

    if (err < 0) {
        return err;
    }
    struct file *file = file_of(inode, (unsigned)proc_inode_of(inode)->fd);
    bool same = proc_target_is_same(&target);
    proc_target_put(&target);
    if (file == NULL || !same) {
        file_put(file);
        return -ENOENT;
    }
    *ret_path = file->path;
    path_get(ret_path);
    file_put(file);
    return 0;
}

static ssize_t fd_readlink(struct inode *inode, char *buf, size_t size)
{
    struct path path;
    int err = fd_follow(inode, &path);

    return err < 0 ? err : proc_path_text(&path, buf, size);
}

static const struct inode_ops fd_link_ops = {
    .readlink = fd_readlink,
    .follow = fd_follow,
    .revalidate = fd_revalidate,
};

/* What the kind of file adds, however long it is. */
static void fdinfo_more(struct text *text, struct file *file)
{
    for (size_t size = 512, len;; size = len + 1) {
        char *buf = text_reserve(text, size);
        if (buf == NULL) {
            return;
        }
        len = file->fops->show_fdinfo(file, buf, size);
        if (len < size) {
            text->len += len;
            return;
        }
    }
}

static int fdinfo_generate(struct text *text, struct file *info)
{
    struct file *file = file_of(info->inode, (unsigned)proc_inode_of(info->inode)->fd);

    if (file == NULL) {
        return -ENOENT;
    }
    text_printf(text, "pos:\t%lld\nflags:\t0%o\nmnt_id:\t%d\nino:\t%llu\n", (long long)file->pos,
                file->flags, file->path.mount == NULL ? 0 : file->path.mount->id,
                (unsigned long long)file->inode->ino);
    if (file->fops->show_fdinfo != NULL) {
        fdinfo_more(text, file);
    }
    file_put(file);
    return 0;
}

static int fdinfo_open(struct inode *inode, struct file *file)
{
    struct proc_target target;
    int err = proc_target_get_checked(inode, &target);

    if (err < 0) {
        return err;
    }
    proc_target_put(&target);
    return text_open(file, fdinfo_generate);
}

static const struct file_ops fdinfo_file_fops = {
    .open = fdinfo_open,
    .release = text_release,
    .read = text_read,
    .llseek = text_llseek,
};
static const struct inode_ops fdinfo_file_ops = {.revalidate = fd_revalidate};

/* ---- the directories ---- */

/* Inode numbers: 1 << 20 | fd for links, 1 << 21 | fd for infos, above the process' base. */
static uint64_t fd_ino(int nr, bool info, unsigned fd)
{
    return PROC_PID_INO(nr) + (info ? 1u << 30 : 1u << 29) + fd;
}

static struct inode *fd_create(struct inode *dir, unsigned fd, const struct file *file, bool info)
{
    struct proc_inode *parent = proc_inode_of(dir);
    uint32_t mode = S_IFREG | 0400;
    struct inode *inode;

    if (!info) {
        mode = S_IFLNK | ((file->mode & FMODE_READ) != 0 ? 0500 : 0) |
               ((file->mode & FMODE_WRITE) != 0 ? 0300 : 0);
    }
    inode = proc_inode_create(dir->super, parent->pid, parent->task,
                              fd_ino(parent->pid->nr, info, fd), mode);
    if (inode != NULL) {
        proc_inode_of(inode)->fd = (int)fd;
        inode->ops = info ? &fdinfo_file_ops : &fd_link_ops;
        inode->fops = info ? &fdinfo_file_fops : NULL;
    }
    return inode;
}

static int fd_lookup_kind(struct inode *dir, const char *name, unsigned len, bool info,
                          struct inode **ret_inode)
{
    int64_t fd = proc_parse_number(name, len);
    struct file *file = fd < 0 || fd > INT32_MAX ? NULL : file_of(dir, (unsigned)fd);

    if (file == NULL) {
        return -ENOENT;
    }
    *ret_inode = fd_create(dir, (unsigned)fd, file, info);
    file_put(file);
    return *ret_inode == NULL ? -ENOMEM : 0;
}

static int fd_lookup(struct inode *dir, const char *name, unsigned len, struct inode **ret_inode)
{
    return fd_lookup_kind(dir, name, len, false, ret_inode);
}

static int fdinfo_lookup(struct inode *dir, const char *name, unsigned len,
                         struct inode **ret_inode)
{
    return fd_lookup_kind(dir, name, len, true, ret_inode);
}

static int iterate_kind(struct inode *dir, struct dir_context *ctx, bool info)
{
    int nr = proc_inode_of(dir)->pid->nr;
    struct proc_target target;
    struct fdtable *files;
    int err;

    if (!text_emit_dots(ctx, dir->ino, PROC_PID_INO(nr))) {
        return 0;
    }
    err = proc_target_get_checked(dir, &target);
    if (err < 0) {
        return err == -ESRCH ? -ENOENT : err;
    }
    files = thread_files_pin(target.thread);
    while (files != NULL) {
        char name[12];
        struct file *file;
        int fd = fdtable_next(files, (unsigned)ctx->pos - 2, &file), len;
        if (fd < 0) {
            break;
        }
        file_put(file);
        len = kscnprintf(name, sizeof(name), "%d", fd);
        if (!ctx->emit(ctx, name, (unsigned)len, fd_ino(nr, info, (unsigned)fd),
                       (info ? S_IFREG : S_IFLNK) >> 12, (loff_t)fd + 3)) {
            break;
        }
        ctx->pos = (loff_t)fd + 3;
    }
    if (files != NULL) {
        fdtable_unpin(files);
    }
    proc_target_put(&target);
    return 0;
}

static int fd_iterate(struct file *file, struct dir_context *ctx)
{
    return iterate_kind(file->inode, ctx, false);
}

static int fdinfo_iterate(struct file *file, struct dir_context *ctx)
{
    return iterate_kind(file->inode, ctx, true);
}

/* The number of open descriptors is the size of the fd directory (Linux 6.2 and later). */
static int fd_getattr(struct inode *inode, struct inode_stat *ret_stat)
{
    struct proc_target target;
    struct fdtable *files;

    *ret_stat = (struct inode_stat){.dev = inode->super->dev,
                                    .ino = inode->ino,
                                    .mode = inode->mode,
                                    .nlink = inode->nlink,
                                    .uid = inode->uid,
                                    .gid = inode->gid,
                                    .block_size = 1024,
                                    .atime = inode->atime,
                                    .mtime = inode->mtime,
                                    .ctime = inode->ctime,
                                    .btime = inode->btime};
    if (proc_target_get(inode, &target) == 0) {
        files = thread_files_pin(target.thread);
        if (files != NULL) {
            spin_lock(&files->lock);
            ret_stat->size_bytes = bitmap_count(files->open, files->size);
            spin_unlock(&files->lock);
            fdtable_unpin(files);
        }
        proc_target_put(&target);
    }
    return 0;
}

static const struct inode_ops fd_dir_ops = {
    .lookup = fd_lookup,
    .getattr = fd_getattr,
    .revalidate = proc_pid_revalidate,
};
static const struct inode_ops fdinfo_dir_ops = {
    .lookup = fdinfo_lookup,
    .revalidate = proc_pid_revalidate,
};
static const struct file_ops fd_dir_fops = {.iterate = fd_iterate, .llseek = generic_file_llseek};
static const struct file_ops fdinfo_dir_fops = {.iterate = fdinfo_iterate,
                                                .llseek = generic_file_llseek};

PROC_PID_FILE(fd) = {.name = "fd",
                     .mode = S_IFDIR | 0500,
                     .flags = PROC_PID_TASK,
                     .dir_ops = &fd_dir_ops,
                     .dir_fops = &fd_dir_fops};
PROC_PID_FILE(fdinfo) = {.name = "fdinfo",
                         .mode = S_IFDIR | 0555,
                         .flags = PROC_PID_TASK,
                         .dir_ops = &fdinfo_dir_ops,
                         .dir_fops = &fdinfo_dir_fops};
