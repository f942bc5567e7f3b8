/*
 * Open files and the medium behind their pages: syncing with errors told once to each, advice, reading ahead. Files that live in memory alone
 * have nothing to sync, and take all advice.
 */
#include <linux/fadvise.h>
#include <linux/fs.h>

#include "kernel/vfs/private.h"
#include "kernel/vm/writeback.h"

static bool has_medium(const struct inode *inode)
{
    return inode_is_regular(inode) && pagecache_has_medium(&inode->cache);
}

void file_open_medium(struct file *file)
{
    struct pagecache *cache = &file->inode->cache;

    readahead_init(&file->ahead, READAHEAD_PAGES);
    file->write_error = cache->writeback != NULL ? writeback_error_mark(cache->writeback) : 0;
}

int file_check_error(struct file *file)
{
    struct writeback *wb = file->inode->cache.writeback;
    uint32_t mark = atomic_load_relaxed(&file->write_error);

    if (wb == NULL) {
        return 0;
    }
    int err = writeback_error_check(wb, &mark);
    atomic_store_relaxed(&file->write_error, mark);
    return err;
}

int vfs_sync_range(struct file *file, loff_t first, loff_t last, unsigned flags)
{
    struct inode *inode = file->inode;
    uint64_t from = (uint64_t)first >> PAGE_SHIFT;
    uint64_t to = (uint64_t)last >> PAGE_SHIFT;
    int err = 0;

    if (!inode_is_regular(inode) && !inode_is_dir(inode) && !S_ISBLK(inode->mode)) {
        return -ESPIPE;
    }
    if (!has_medium(inode) || inode->cache.writeback == NULL) {
        return 0;
    }
    if ((flags & SYNC_FILE_RANGE_WAIT_BEFORE) != 0) {
        pagecache_write_wait(&inode->cache, from, to);
        err = file_check_error(file);
    }
    if (err == 0 && (flags & SYNC_FILE_RANGE_WRITE) != 0) {
        err = pagecache_write_start(&inode->cache, from, to);
    }
    if (err == 0 && (flags & SYNC_FILE_RANGE_WAIT_AFTER) != 0) {
        pagecache_write_wait(&inode->cache, from, to);
        err = file_check_error(file);
    }
    return err;
}

/* Only whole pages are let go: a neighbour may still want the rest. The file's last page is whole. */
static void drop_unwanted(struct pagecache *cache, uint64_t first, uint64_t end)
{
    uint64_t size = atomic_load_acquire(&cache->size_bytes);
    uint64_t from = DIV_ROUND_UP(first, PAGE_SIZE);
    uint64_t to = end >= size ? DIV_ROUND_UP(size, PAGE_SIZE) : end >> PAGE_SHIFT;

    if (from < to) {
        (void)pagecache_write_start(cache, from, to - 1);
        (void)pagecache_drop_clean(cache, from, to - 1);
    }
}

int vfs_fadvise(struct file *file, loff_t offset, loff_t len_bytes, int advice)
{
    uint64_t first = (uint64_t)offset;
    uint64_t end = len_bytes == 0 ? INT64_MAX : first + (uint64_t)len_bytes;

    if (S_ISFIFO(file->inode->mode)) {
        return -ESPIPE;
    }
    if (len_bytes < 0 || advice < POSIX_FADV_NORMAL || advice > POSIX_FADV_NOREUSE) {
        return -EINVAL;
    }
    if (!has_medium(file->inode)) {
        return 0;
    }
    end = end < first || end > INT64_MAX ? INT64_MAX : end;
    switch (advice) {
    case POSIX_FADV_WILLNEED:
        readahead_range(&file->inode->cache, first >> PAGE_SHIFT,
                        DIV_ROUND_UP(end, PAGE_SIZE) - (first >> PAGE_SHIFT));
        break;
    case POSIX_FADV_DONTNEED:
        drop_unwanted(&file->inode->cache, first, end);
        break;
    case POSIX_FADV_NOREUSE: /* Linux 6.1 has no use for it either */
        break;
    default:
        readahead_advise(&file->ahead, advice);
        break;
    }
    return 0;
}

int vfs_readahead(struct file *file, loff_t offset, size_t count)
{
    if ((file->mode & FMODE_READ) == 0) {
        return -EBADF;
    }
    if (!inode_is_regular(file->inode) && !S_ISBLK(file->inode->mode)) {
        return -EINVAL;
    }
    if (count == 0) {
        return 0; /* fadvise would take it for "to the end" */
    }
    loff_t len = count > INT64_MAX ? INT64_MAX : (loff_t)count;
    return vfs_fadvise(file, offset, len, POSIX_FADV_WILLNEED);
}
