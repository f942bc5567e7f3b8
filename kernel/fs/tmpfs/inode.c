/*
 * tmpfs inodes: creation, destruction, and the data of regular files, which lives in the page cache and nowhere else.
 */
#include <linux/falloc.h>

#include "kernel/core/panic.h"
#include "kernel/fs/tmpfs/tmpfs.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"

static struct slab_cache *inode_slab; /* [slab_mutex] made at the first mount */
static struct mutex slab_mutex = MUTEX_INIT(slab_mutex);

static void tmpfs_inode_construct(void *object)
{
    struct tmpfs_inode *tmpfs_inode = object;

    inode_construct(&tmpfs_inode->inode);
    list_init(&tmpfs_inode->xattrs);
}

void tmpfs_cache_init(void)
{
    mutex_lock(&slab_mutex);
    if (inode_slab == NULL) {
        inode_slab = slab_cache_create("tmpfs_inode", sizeof(struct tmpfs_inode), 0, 0,
                                       tmpfs_inode_construct);
    }
    mutex_unlock(&slab_mutex);
}

static int tmpfs_cache_charge(struct pagecache *cache, uint64_t npages)
{
    const struct inode *inode = cache->owner;

    return tmpfs_charge_pages(tmpfs_super_of(inode->super), npages);
}

static void tmpfs_cache_uncharge(struct pagecache *cache, uint64_t npages)
{
    const struct inode *inode = cache->owner;

    tmpfs_uncharge_pages(tmpfs_super_of(inode->super), npages);
}

static const struct pagecache_ops tmpfs_cache_ops = {.charge = tmpfs_cache_charge,
                                                     .uncharge = tmpfs_cache_uncharge};

static void tmpfs_inode_set_kind(struct tmpfs_inode *tmpfs_inode, uint32_t mode, uint64_t rdev)
{
    struct inode *inode = &tmpfs_inode->inode;

    switch (mode & S_IFMT) {
    case S_IFREG:
        inode->ops = &tmpfs_file_ops;
        inode->fops = &tmpfs_file_fops;
        pagecache_init(&inode->cache, &tmpfs_cache_ops, inode);
        inode->cache.seals = F_SEAL_SEAL; /* none may be added; a memfd begins anew */
        break;
    case S_IFDIR:
        inode->ops = &tmpfs_dir_ops;
        inode->fops = &tmpfs_dir_fops;
        inode->nlink = 2;
        inode->cache.size_bytes = TMPFS_DIR_BYTES;
        tmpfs_inode->names.node = NULL;
        tmpfs_inode->order.node = NULL;
        tmpfs_inode->next_cookie = 2; /* 0 and 1 are "." and ".." */
        break;
    case S_IFLNK:
        inode->ops = &tmpfs_symlink_ops;
        break;
    default:
        inode->ops = &tmpfs_file_ops;
        inode_init_special(inode, rdev);
        break;
    }
}

int tmpfs_inode_create(struct super *super, struct inode *dir, uint32_t mode, uint64_t rdev,
                       struct inode **ret_inode)
{
    struct tmpfs_super *tmpfs = tmpfs_super_of(super);
    uint64_t max = atomic_load_relaxed(&tmpfs->max_inodes);

    if (unlikely(atomic_fetch_add_relaxed(&tmpfs->used_inodes, 1) >= max && max != 0)) {
        (void)atomic_fetch_sub_relaxed(&tmpfs->used_inodes, 1);
        return -ENOSPC;
    }
    struct tmpfs_inode *tmpfs_inode = slab_alloc(inode_slab, 0);
    if (unlikely(tmpfs_inode == NULL)) {
        (void)atomic_fetch_sub_relaxed(&tmpfs->used_inodes, 1);
        return -ENOMEM;
    }
    inode_init(&tmpfs_inode->inode, super, dir, mode);
    tmpfs_inode->inode.ino = atomic_fetch_add_relaxed(&tmpfs->last_ino, 1) + 1;
    tmpfs_set_parent(tmpfs_inode, dir != NULL ? dir : &tmpfs_inode->inode);
    tmpfs_inode->link_pages = 0;
    tmpfs_inode_set_kind(tmpfs_inode, mode, rdev);
    *ret_inode = &tmpfs_inode->inode;
    return 0;
}

void tmpfs_destroy_inode(struct inode *inode)
{
    struct tmpfs_inode *tmpfs_inode = tmpfs_inode_of(inode);
    struct tmpfs_super *tmpfs = tmpfs_super_of(inode->super);

    if (inode_is_regular(inode)) {
        pagecache_fini(&inode->cache);
    } else if (inode_is_symlink(inode)) {
        tmpfs_uncharge_pages(tmpfs, tmpfs_inode->link_pages);
        kfree((void *)(uintptr_t)inode->link_target);
    }
    if (unlikely(!list_empty(&tmpfs_inode->xattrs))) {
        tmpfs_xattr_free_all(tmpfs_inode);
    }
    (void)atomic_fetch_sub_relaxed(&tmpfs->used_inodes, 1);
    slab_free(inode_slab, tmpfs_inode);
}

/* Allocate the pages of [offset, end); what is there stays. Refuses at once when the limit says that it cannot succeed. */
static int tmpfs_allocate(struct inode *inode, uint64_t offset, uint64_t end)
{
    const struct tmpfs_super *tmpfs = tmpfs_super_of(inode->super);
    uint64_t first = offset >> PAGE_SHIFT, last = (end - 1) >> PAGE_SHIFT;
    uint64_t max = atomic_load_relaxed(&tmpfs->max_pages);
    uint64_t have = inode->cache.pages.nentries;

    if (max != 0 && last - first + 1 > have &&
        last - first + 1 - have > max - MIN(max, atomic_load_relaxed(&tmpfs->used_pages))) {
        return -ENOSPC;
    }
    return pagecache_allocate(&inode->cache, first, last);
}

static int tmpfs_fallocate(struct inode *inode, int mode, loff_t offset, loff_t len_bytes)
{
    uint64_t end = (uint64_t)offset + (uint64_t)len_bytes;
    int err;

    if ((mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) != 0 ||
        (mode & (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) == FALLOC_FL_PUNCH_HOLE) {
        return -EOPNOTSUPP;
    }
    rwsem_lock_write(&inode->lock);
    if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) {
        /* A hole writes zeros, but makes nothing longer. */
        err = seals_check_write(inode, 0, 0);
        err = err < 0 ? err : pagecache_punch(&inode->cache, (uint64_t)offset, end);
    } else if ((inode->cache.seals & F_SEAL_GROW) != 0 && end > inode->cache.size_bytes) {
        err = -EPERM;
    } else {
        err = tmpfs_allocate(inode, (uint64_t)offset, end);
        if (err == 0 && (mode & FALLOC_FL_KEEP_SIZE) == 0 && end > inode->cache.size_bytes) {
            atomic_store_relaxed(&inode->cache.size_bytes, end);
        }
    }
    if (err == 0) {
        inode_touch(inode, ATTR_MTIME | ATTR_CTIME);
    }
    rwsem_unlock_write(&inode->lock);
    return err;
}

const struct inode_ops tmpfs_file_ops = {.fallocate = tmpfs_fallocate, TMPFS_XATTR_OPS};
const struct inode_ops tmpfs_symlink_ops = {TMPFS_XATTR_OPS};

const struct file_ops tmpfs_file_fops = {.read = generic_file_read,
                                         .write = generic_file_write,
                                         .llseek = generic_file_llseek,
                                         .mmap = generic_file_mmap,
                                         .fcntl = memory_file_fcntl,
                                         .fsync = memory_file_fsync};
