/*
 * The mount table: which mount covers which place, and the life of mounts.
 *
 * Locking: table_lock (rwsem) is held by whoever changes the tree or walks all mounts; mount_lock (spin) guards the hash and the
 * two fields that the path walk reads, parent and mountpoint. Order: table_lock -> dentry and inode locks -> mount_lock.
 * References: one for being in the table, one from each child, one from each path and file. A mount that left the table lives on
 * until its last user has gone (umount2(2), MNT_DETACH). While a mount is in the table its references are counted on each CPU, since
 * every path and file has one; whoever takes it out for good, or wants to know how many there are, gathers them.
 */
#include "kernel/vfs/mount.h"

#include <linux/mount.h>

#include "kernel/base/hash.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/mount_table.h"
#include "kernel/vfs/private.h"

#define MOUNT_BUCKET_BITS 6
#define MOUNT_MAX         100000 /* proc(5), /proc/sys/fs/mount-max */

struct rwsem mount_table_lock;
struct list_node mount_table = LIST_INIT(mount_table);
static struct spinlock mount_lock = SPINLOCK_INIT("mount hash");
static struct mount *mount_buckets[1 << MOUNT_BUCKET_BITS]; /* [mount_lock] by place */
static unsigned mount_total;                                /* [table] */
static int last_mount_id;                                   /* [a] */

static struct mount **mount_bucket(const struct mount *parent, const struct dentry *mountpoint)
{
    uint64_t key = (uintptr_t)parent ^ ((uintptr_t)mountpoint << 1);

    return &mount_buckets[hash_u64(key) >> (64 - MOUNT_BUCKET_BITS)];
}

struct mount *mount_create(struct super *super, struct dentry *root, uint64_t flags)
{
    struct mount *mount = kzalloc(sizeof(*mount));

    if (mount == NULL) {
        return NULL;
    }
    refcount_get(&super->refs);
    mount->super = super;
    mount->root = dentry_get(root);
    mount->flags = flags;
    mount->id = atomic_fetch_add_relaxed(&last_mount_id, 1) + 1;
    percpu_ref_init(&mount->refs);
    list_init(&mount->node);
    return mount;
}

struct mount *mount_create_internal(struct super *super)
{
    struct mount *mount = mount_create(super, super->root, 0);

    if (mount != NULL) {
        super_put(super); /* the mount has its own */
    }
    return mount;
}

void mount_spread(struct mount *mount)
{
    if (mount->refs.memory != NULL) {
        percpu_ref_spread_again(&mount->refs);
        return;
    }
    struct percpu_ref_slot *slots = kmalloc(percpu_ref_slots_bytes());
    if (slots != NULL) { /* else it is slower, no more */
        percpu_ref_spread(&mount->refs, slots);
    }
}

static __noinline void mount_release(struct mount *mount)
{
    do {
        struct mount *parent = mount->parent;
        dentry_put(mount->mountpoint);
        dentry_put(mount->root);
        super_put(mount->super);
        kfree(percpu_ref_fini(&mount->refs));
        kfree(mount);
        mount = parent;
    } while (mount != NULL && percpu_ref_put(&mount->refs));
}

void mount_put(struct mount *mount)
{
    if (mount != NULL && unlikely(percpu_ref_put(&mount->refs))) {
        mount_release(mount);
    }
}

struct mount *mount_covering(const struct path *path)
{
    spin_lock(&mount_lock);
    struct mount *mount = *mount_bucket(path->mount, path->dentry);
    while (mount != NULL && !(mount->parent == path->mount && mount->mountpoint == path->dentry)) {
        mount = mount->hash_next;
    }
    if (mount != NULL) {
        (void)mount_get(mount);
    }
    spin_unlock(&mount_lock);
    return mount;
}

bool mount_get_mountpoint(const struct mount *mount, struct path *ret_path)
{
    bool found = false;

    spin_lock(&mount_lock);
    if (mount->parent != NULL) {
        ret_path->mount = mount_get(mount->parent);
        ret_path->dentry = dentry_get(mount->mountpoint);
        found = true;
    }
    spin_unlock(&mount_lock);
    return found;
}

/* mount_lock held. */
static void hang_locked(struct mount *mount, const struct path *place)
{
    struct mount **bucket = mount_bucket(place->mount, place->dentry);

    mount->parent = place->mount;
    mount->mountpoint = place->dentry;
    mount->hash_next = *bucket;
    *bucket = mount;
}

/* mount_lock held. */
static void unhang_locked(struct mount *mount)
{
    struct mount **link = mount_bucket(mount->parent, mount->mountpoint);

    while (*link != mount) {
        link = &(*link)->hash_next;
    }
    *link = mount->hash_next;
    mount->parent = NULL;
    mount->mountpoint = NULL;
}

static void mark_mountpoint(struct dentry *dentry)
{
    (void)atomic_fetch_or(&dentry->flags, (uint16_t)DENTRY_MOUNTPOINT);
}

/* Unless anything is still mounted on the dentry. */
static void unmark_mountpoint(struct dentry *dentry)
{
    struct mount *mount;

    list_for_each (mount, &mount_table, node) {
        if (mount->mountpoint == dentry) {
            return;
        }
    }
    (void)atomic_fetch_and(&dentry->flags, (uint16_t)~DENTRY_MOUNTPOINT);
}

static void table_add(struct mount *mount)
{
    list_push_back(&mount_table, &mount->node);
    mount->attached = true;
    mount_total++;
    mount_spread(mount);
}

int mount_attach(struct mount *mount, const struct path *place)
{
    if (mount_total >= MOUNT_MAX) {
        return -ENOSPC;
    }
    mark_mountpoint(place->dentry);
    struct path taken = {mount_get(place->mount), dentry_get(place->dentry)};
    spin_lock(&mount_lock);
    hang_locked(mount, &taken);
    spin_unlock(&mount_lock);
    table_add(mount);
    return 0;
}

void mount_move_to(struct mount *mount, const struct path *place, struct path *ret_place)
{
    struct path taken = {mount_get(place->mount), dentry_get(place->dentry)};

    *ret_place = (struct path){mount->parent, mount->mountpoint};
    mark_mountpoint(place->dentry);
    spin_lock(&mount_lock);
    unhang_locked(mount);
    hang_locked(mount, &taken);
    spin_unlock(&mount_lock);
    unmark_mountpoint(ret_place->dentry);
}

void mount_detach(struct mount *mount, struct path *ret_place)
{
    *ret_place = (struct path){mount->parent, mount->mountpoint};
    if (mount->parent != NULL) {
        spin_lock(&mount_lock);
        unhang_locked(mount);
        spin_unlock(&mount_lock);
    }
    list_remove(&mount->node);
    mount->attached = false;
    mount_total--;
    if (ret_place->dentry != NULL) {
        unmark_mountpoint(ret_place->dentry);
    }
}

bool mount_is_below(const struct mount *mount, const struct mount *ancestor)
{
    while (mount != NULL && mount != ancestor) {
        mount = mount->parent;
    }
    return mount != NULL;
}

bool mount_has_children(const struct mount *parent)
{
    struct mount *mount;

    list_for_each (mount, &mount_table, node) {
        if (mount->parent == parent) {
            return true;
        }
    }
    return false;
}

int mount_want_write(const struct path *path)
{
    uint64_t flags =
        atomic_load_relaxed(&path->mount->flags) | atomic_load_relaxed(&path->mount->super->flags);

    return unlikely((flags & MS_RDONLY) != 0) ? -EROFS : 0;
}

int vfs_mount_root(const char *fstype, const char *options)
{
    const struct filesystem *fs = filesystem_find(fstype);
    struct thread *thread = current_thread();
    struct super *super;

    if (fs == NULL) {
        return -ENODEV;
    }
    int err = fs->mount(fs, fstype, 0, options, &super);
    if (err < 0) {
        return err;
    }
    struct mount *mount = mount_create_internal(super);
    if (mount == NULL) {
        super_put(super);
        return -ENOMEM;
    }
    mount->flags = MS_RELATIME;
    rwsem_lock_write(&mount_table_lock);
    table_add(mount);
    rwsem_unlock_write(&mount_table_lock);
    struct path root = {mount, mount->root};
    if (thread->fs == NULL) {
        thread->fs = fs_context_create(&root);
        return thread->fs == NULL ? -ENOMEM : 0;
    }
    fs_context_set_root(thread->fs, &root);
    fs_context_set_cwd(thread->fs, &root);
    return 0;
}

void mounts_init(void)
{
    rwsem_init(&mount_table_lock, "mount table");
}
