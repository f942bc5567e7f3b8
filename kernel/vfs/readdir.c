/*
 * getdents64(2): directory entries packed into the caller's buffer.
 *
 * Records are made in a small buffer on the stack and copied out whenever it is full, so that a big directory costs one copy for
 * a handful of entries.
 */
#include "kernel/base/string.h"
#include "kernel/vfs/private.h"

/* getdents(2): struct linux_dirent64, which no ABI header declares. */
struct dirent64 {
    uint64_t ino;
    int64_t next;
    uint16_t record_bytes;
    uint8_t type;
    char name[];
};
_Static_assert(offsetof(struct dirent64, name) == 19, "getdents(2)");

#define STAGE_BYTES 1024

struct dirents {
    struct dir_context ctx;
    uint8_t __user *out;
    size_t left;   /* room in the caller's buffer behind what is staged */
    size_t staged; /* bytes in stage */
    size_t copied; /* bytes copied out */
    int error;
    uint8_t stage[STAGE_BYTES] __aligned(8);
};

static bool dirents_flush(struct dirents *d)
{
    if (d->staged != 0 && copy_to_user(d->out, d->stage, d->staged) < 0) {
        d->error = -EFAULT;
        return false;
    }
    d->out += d->staged;
    d->copied += d->staged;
    d->staged = 0;
    return true;
}

static bool dirents_emit(struct dir_context *ctx, const char *name, unsigned len, uint64_t ino,
                         unsigned type, loff_t cookie)
{
    struct dirents *d = container_of(ctx, struct dirents, ctx);
    size_t bytes = ALIGN_UP(offsetof(struct dirent64, name) + len + 1, 8);

    if (unlikely(bytes > d->left)) {
        d->error = -EINVAL; /* matters only when nothing came before */
        return false;
    }
    if (d->staged + bytes > STAGE_BYTES && !dirents_flush(d)) {
        return false;
    }
    struct dirent64 *entry = (struct dirent64 *)(d->stage + d->staged);
    *(uint64_t *)((uint8_t *)entry + bytes - 8) = 0; /* the padding shows nothing of ours */
    entry->ino = ino;
    entry->next = cookie;
    entry->record_bytes = (uint16_t)bytes;
    entry->type = (uint8_t)type;
    memcpy(entry->name, name, len);
    entry->name[len] = '\0';
    d->staged += bytes;
    d->left -= bytes;
    return true;
}

ssize_t vfs_getdents64(struct file *file, void __user *buf, size_t size)
{
    struct inode *inode = file->inode;
    struct dirents d;

    if (!inode_is_dir(inode) || file->fops->iterate == NULL) {
        return -ENOTDIR;
    }
    d.ctx.emit = dirents_emit;
    d.out = buf;
    d.left = MIN(size, (size_t)INT32_MAX);
    d.staged = d.copied = 0;
    d.error = 0;
    bool locked = refcount_read(&file->refs) > 1;
    if (locked) {
        mutex_lock(&file->pos_lock);
    }
    d.ctx.pos = file->pos;
    rwsem_lock_read(&inode->lock);
    int err = inode->nlink == 0 ? -ENOENT : file->fops->iterate(file, &d.ctx);
    rwsem_unlock_read(&inode->lock);
    if (err == 0 && !dirents_flush(&d)) {
        err = -EFAULT;
    }
    if (err == 0) {
        file->pos = d.ctx.pos;
        notify_file(file, IN_ACCESS);
        file_accessed(file);
        err = d.copied == 0 ? d.error : 0;
    }
    if (locked) {
        mutex_unlock(&file->pos_lock);
    }
    return err < 0 ? err : (ssize_t)d.copied;
}
