/*
 * memfd_create(2) and seals (fcntl(2), "File Sealing").
 *
 * A memfd is a file of a tmpfs that is mounted nowhere. The seals stand in the page cache, where mappings see them too: a cache sealed
 * against writing has no shared mapping that could become writable, and gets none (kernel/vm/map.c).
 *
 * Locking: seals change with the inode's lock and the cache's rmap_lock held, so either is enough to read them. They are only ever added.
 */
#include <linux/fs.h>
#include <linux/memfd.h>

#include "kernel/base/printf.h"
#include "kernel/vfs/private.h"

#define ALL_SEALS  (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)
#define MEMFD_MODE (S_IFREG | 0777)

static struct mutex memory_mutex = MUTEX_INIT(memory_mutex);
static struct mount *memory_mount; /* [memory_mutex] made at the first need, then [I] */

static int memory_mount_create(struct mount **ret_mount)
{
    const struct filesystem *fs = filesystem_find("tmpfs");
    struct super *super;

    if (fs == NULL) {
        return -ENOSYS;
    }
    int err = fs->mount(fs, "tmpfs", 0, "size=0,nr_inodes=0", &super);
    if (err < 0) {
        return err;
    }
    *ret_mount = mount_create_internal(super);
    if (*ret_mount == NULL) {
        super_put(super);
        return -ENOMEM;
    }
    return 0;
}

static int memory_mount_get(struct mount **ret_mount)
{
    int err = 0;

    mutex_lock(&memory_mutex);
    if (memory_mount == NULL) {
        err = memory_mount_create(&memory_mount);
    }
    *ret_mount = memory_mount;
    mutex_unlock(&memory_mutex);
    return err;
}

int vfs_memfd_create(const char *name, unsigned flags, struct file **ret_file)
{
    char text[MEMFD_NAME_MAX + sizeof("/memfd: (deleted)")];
    struct mount *mount;
    struct inode *inode;
    int err = memory_mount_get(&mount);

    if (err < 0) {
        return err;
    }
    struct inode *root = mount->root->inode;
    err = root->ops->tmpfile(root, MEMFD_MODE, &inode);
    if (err < 0) {
        return err;
    }
    inode->cache.seals = (flags & MFD_ALLOW_SEALING) != 0 ? 0 : F_SEAL_SEAL;
    (void)kscnprintf(text, sizeof(text), "/memfd:%s (deleted)", name);
    struct path path = {mount_get(mount), dentry_create_anonymous(inode, text)};
    if (path.dentry == NULL) {
        mount_put(mount);
        inode_put(inode);
        return -ENOMEM;
    }
    err = file_create(&path, O_RDWR | O_LARGEFILE,
                      FMODE_READ | FMODE_WRITE | FMODE_SEEK | FMODE_PREAD, ret_file);
    if (err < 0) {
        path_put(&path);
    }
    return err;
}

/* ---- seals ---- */

static int seals_add(struct inode *inode, uint32_t seals)
{
    struct pagecache *cache = &inode->cache;
    int err = 0;

    rwsem_lock_write(&inode->lock);
    mutex_lock(&cache->rmap_lock);
    if ((cache->seals & F_SEAL_SEAL) != 0) {
        err = -EPERM;
    } else if ((seals & ~cache->seals & F_SEAL_WRITE) != 0 && cache->writable_shared != 0) {
        err = -EBUSY;
    } else {
        atomic_store_relaxed(&cache->seals, cache->seals | seals);
    }
    mutex_unlock(&cache->rmap_lock);
    rwsem_unlock_write(&inode->lock);
    return err;
}

int64_t memory_file_fcntl(struct file *file, unsigned cmd, uint64_t arg)
{
    switch (cmd) {
    case F_GET_SEALS:
        return atomic_load_relaxed(&file->inode->cache.seals);
    case F_ADD_SEALS:
        if (arg > UINT32_MAX) {
            return -EINVAL;
        }
        if ((file->mode & FMODE_WRITE) == 0) {
            return -EPERM;
        }
        return (arg & ~(uint64_t)ALL_SEALS) != 0 ? -EINVAL : seals_add(file->inode, (uint32_t)arg);
    default:
        return -EINVAL;
    }
}

int seals_check_write(const struct inode *inode, loff_t pos, size_t count)
{
    uint32_t seals = inode->cache.seals;

    if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != 0) {
        return -EPERM;
    }
    return (seals & F_SEAL_GROW) != 0 && (uint64_t)pos + count > inode->cache.size_bytes ? -EPERM
                                                                                         : 0;
}

int seals_check_size(const struct inode *inode, uint64_t size_bytes)
{
    uint32_t seals = inode->cache.seals;
    uint64_t now = inode->cache.size_bytes;

    return (size_bytes < now && (seals & F_SEAL_SHRINK) != 0) ||
                   (size_bytes > now && (seals & F_SEAL_GROW) != 0)
               ? -EPERM
               : 0;
}

int seals_check_map(const struct inode *inode, uint32_t *vm_flags)
{
    uint32_t seals = atomic_load_relaxed(&inode->cache.seals);

    if ((seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) == 0 || (*vm_flags & VM_SHARED) == 0) {
        return 0;
    }
    if ((*vm_flags & VM_WRITE) != 0) {
        return -EPERM;
    }
    *vm_flags &= ~VM_MAYWRITE;
    return 0;
}
