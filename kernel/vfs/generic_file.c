/*
 * File operations of regular files whose data lives in inode->cache, and what directories share.
 */
#include <linux/fs.h>
#include <linux/mount.h>

#include "kernel/vfs/private.h"

/* A read happened: the access time, unless the file or the mount says no. */
void file_accessed(struct file *file)
{
    uint64_t flags = file->path.mount->flags;

    if ((flags & (MS_NOATIME | MS_RDONLY)) != 0 || (file->flags & O_NOATIME) != 0 ||
        ((flags & MS_NODIRATIME) != 0 && inode_is_dir(file->inode))) {
        return;
    }
    inode_touch(file->inode, ATTR_ATIME);
}

ssize_t generic_file_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    ssize_t result = pagecache_read(&file->inode->cache, &file->ahead, pos, to);

    file_accessed(file);
    return result;
}

ssize_t generic_file_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    struct inode *inode = file->inode;

    if (unlikely(from->count == 0)) {
        return 0;
    }
    rwsem_lock_write(&inode->lock);
    if ((file->flags & O_APPEND) != 0) {
        *pos = (loff_t)inode->cache.size_bytes;
    }
    ssize_t result = file_limit_write(*pos, from->count);
    if (unlikely(inode->cache.seals > F_SEAL_SEAL) && result > 0) {
        int err = seals_check_write(inode, *pos, (size_t)result);
        result = err < 0 ? err : result;
    }
    if (likely(result >= 0)) {
        from->count = (size_t)result;
        result = pagecache_write(&inode->cache, pos, from);
        if (result > 0) {
            inode_drop_setid(inode);
            inode_touch(inode, ATTR_MTIME | ATTR_CTIME);
        }
    }
    rwsem_unlock_write(&inode->lock);
    return result;
}

loff_t file_seek(struct file *file, loff_t base, loff_t offset, loff_t last)
{
    loff_t pos;

    if (__builtin_add_overflow(base, offset, &pos) || pos < 0 || pos > last) {
        return -EINVAL;
    }
    file->pos = pos;
    return pos;
}

loff_t file_llseek_nowhere(struct file *file, loff_t offset, int whence)
{
    (void)offset;
    (void)whence;
    return file->pos;
}

loff_t generic_file_llseek(struct file *file, loff_t offset, int whence)
{
    struct inode *inode = file->inode;
    loff_t size = (loff_t)atomic_load_relaxed(&inode->cache.size_bytes);
    loff_t base;

    switch (whence) {
    case SEEK_SET:
        return file_seek(file, 0, offset, INT64_MAX);
    case SEEK_CUR:
        return file_seek(file, file->pos, offset, INT64_MAX);
    case SEEK_END:
        return file_seek(file, size, offset, INT64_MAX);
    case SEEK_DATA:
    case SEEK_HOLE:
        if (offset < 0 || offset >= size) {
            return -ENXIO;
        }
        rwsem_lock_read(&inode->lock);
        base = pagecache_seek(&inode->cache, offset, whence == SEEK_DATA);
        rwsem_unlock_read(&inode->lock);
        return base < 0 ? base : file_seek(file, base, 0, INT64_MAX);
    default:
        return -EINVAL;
    }
}

loff_t directory_llseek(struct file *file, loff_t offset, int whence)
{
    switch (whence) {
    case SEEK_SET:
        return file_seek(file, 0, offset, INT64_MAX);
    case SEEK_CUR:
        return file_seek(file, file->pos, offset, INT64_MAX);
    default:
        return -EINVAL;
    }
}

loff_t fixed_size_llseek(struct file *file, loff_t offset, int whence, loff_t size)
{
    switch (whence) {
    case SEEK_SET:
        return file_seek(file, 0, offset, size);
    case SEEK_CUR:
        return file_seek(file, file->pos, offset, size);
    case SEEK_END:
        return file_seek(file, size, offset, size);
    default:
        return -EINVAL;
    }
}

int generic_file_mmap(struct file *file, uint32_t vm_flags, struct vm_source **ret_source)
{
    (void)vm_flags;
    file->source.cache = &file->inode->cache;
    if (unlikely(pagecache_has_medium(&file->inode->cache))) {
        file->source.ahead = &file->ahead;
    }
    file_accessed(file);
    *ret_source = &file->source;
    return 0;
}

/* Data that lives nowhere but in memory is as safe as it will be. */
int memory_file_fsync(struct file *file, bool data_only)
{
    (void)file, (void)data_only;
    return 0;
}
