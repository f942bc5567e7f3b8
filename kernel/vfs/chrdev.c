/*
 * Character and block devices by number, and the list of names for /dev.
 *
 * Locking: chrdev_lock (mutex) for all lists; ranges are never unregistered, so that an open file's operations stay.
 */
#include "kernel/vfs/chrdev.h"

#include <linux/stat.h>

#include "kernel/base/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/file.h"

struct chrdev_range {
    struct list_node node;       /* [chrdev_lock] by major, then minor */
    uint32_t major;              /* [I] */
    uint32_t first, count;       /* [I] minors */
    const char *name;            /* [I] for /proc/devices */
    const struct file_ops *fops; /* [I] */
};

struct devfs_name {
    struct list_node node; /* [chrdev_lock] */
    uint32_t mode;         /* [I] with type; S_IFLNK: target */
    uint64_t rdev;         /* [I] */
    char *target;          /* [I] or NULL */
    char name[];
};

static struct mutex chrdev_lock = MUTEX_INIT(chrdev_lock);
static struct list_node chrdevs = LIST_INIT(chrdevs); /* [chrdev_lock] */
static struct list_node blkdevs = LIST_INIT(blkdevs); /* [chrdev_lock] */
static struct list_node names = LIST_INIT(names);     /* [chrdev_lock] in the order they came */
static const struct devfs_sink *sink;                 /* [chrdev_lock] */

static int range_register(struct list_node *ranges, uint32_t major, uint32_t minor_first,
                          uint32_t minor_count, const char *name, const struct file_ops *fops)
{
    struct chrdev_range *range = kmalloc(sizeof(*range));
    struct chrdev_range *other;

    if (range == NULL) {
        return -ENOMEM;
    }
    *range = (struct chrdev_range){
        .major = major, .first = minor_first, .count = minor_count, .name = name, .fops = fops};
    mutex_lock(&chrdev_lock);
    struct list_node *place = ranges;
    list_for_each (other, ranges, node) {
        if (other->major == major && minor_first < other->first + other->count &&
            other->first < minor_first + minor_count) {
            mutex_unlock(&chrdev_lock);
            kfree(range);
            return -EBUSY;
        }
        if (other->major > major || (other->major == major && other->first > minor_first)) {
            place = &other->node;
            break;
        }
    }
    list_insert_before(place, &range->node);
    mutex_unlock(&chrdev_lock);
    return 0;
}

int chrdev_register(uint32_t major, uint32_t minor_first, uint32_t minor_count, const char *name,
                    const struct file_ops *fops)
{
    return range_register(&chrdevs, major, minor_first, minor_count, name, fops);
}

int blkdev_register(uint32_t major, uint32_t minor_first, uint32_t minor_count, const char *name,
                    const struct file_ops *fops)
{
    return range_register(&blkdevs, major, minor_first, minor_count, name, fops);
}

static const struct file_ops *range_find(struct list_node *ranges, uint64_t rdev)
{
    const struct file_ops *fops = NULL;
    uint32_t major = DEV_MAJOR(rdev), minor = DEV_MINOR(rdev);
    struct chrdev_range *range;

    mutex_lock(&chrdev_lock);
    list_for_each (range, ranges, node) {
        if (range->major == major && minor - range->first < range->count) {
            fops = range->fops;
            break;
        }
    }
    mutex_unlock(&chrdev_lock);
    return fops;
}

static int range_open(struct list_node *ranges, struct inode *inode, struct file *file)
{
    const struct file_ops *fops = range_find(ranges, inode->rdev);

    if (fops == NULL) {
        return -ENXIO;
    }
    file->fops = fops;
    return fops->open == NULL ? 0 : fops->open(inode, file);
}

int chrdev_open(struct inode *inode, struct file *file)
{
    return range_open(&chrdevs, inode, file);
}

int blkdev_open(struct inode *inode, struct file *file)
{
    return range_open(&blkdevs, inode, file);
}

static bool range_describe(struct list_node *ranges, unsigned index, uint32_t *ret_major,
                           const char **ret_name)
{
    const struct chrdev_range *last = NULL;
    struct chrdev_range *range;
    bool found = false;

    mutex_lock(&chrdev_lock);
    list_for_each (range, ranges, node) {
        /* One line for each name of a major. */
        if (last != NULL && last->major == range->major && strcmp(last->name, range->name) == 0) {
            continue;
        }
        last = range;
        if (index-- == 0) {
            *ret_major = range->major;
            *ret_name = range->name;
            found = true;
            break;
        }
    }
    mutex_unlock(&chrdev_lock);
    return found;
}

bool chrdev_describe(unsigned index, uint32_t *ret_major, const char **ret_name)
{
    return range_describe(&chrdevs, index, ret_major, ret_name);
}

bool blkdev_describe(unsigned index, uint32_t *ret_major, const char **ret_name)
{
    return range_describe(&blkdevs, index, ret_major, ret_name);
}

static struct devfs_name *devfs_find(const char *name)
{
    struct devfs_name *entry;

    list_for_each (entry, &names, node) {
        if (strcmp(entry->name, name) == 0) {
            return entry;
        }
    }
    return NULL;
}

static int devfs_add(const char *name, uint32_t mode, uint64_t rdev, const char *target)
{
    size_t len = strlen(name);
    struct devfs_name *entry = kzalloc(sizeof(*entry) + len + 1);
    int err = -ENOMEM;

    if (entry == NULL) {
        return err;
    }
    if (target != NULL) {
        entry->target = kstrdup(target);
        if (entry->target == NULL) {
            goto free_entry;
        }
    }
    memcpy(entry->name, name, len + 1);
    entry->mode = mode;
    entry->rdev = rdev;
    mutex_lock(&chrdev_lock);
    if (devfs_find(name) != NULL) {
        mutex_unlock(&chrdev_lock);
        err = -EEXIST;
        goto free_target;
    }
    list_push_back(&names, &entry->node);
    if (sink != NULL) {
        sink->change(entry->name, mode, rdev, entry->target);
    }
    mutex_unlock(&chrdev_lock);
    return 0;

free_target:
    kfree(entry->target);
free_entry:
    kfree(entry);
    return err;
}

int devfs_create(const char *name, uint32_t mode, uint64_t rdev)
{
    return devfs_add(name, mode, rdev, NULL);
}

int devfs_symlink(const char *name, const char *target)
{
    return devfs_add(name, S_IFLNK | 0777, 0, target);
}

void devfs_remove(const char *name)
{
    mutex_lock(&chrdev_lock);
    struct devfs_name *entry = devfs_find(name);
    if (entry != NULL) {
        list_remove(&entry->node);
        if (sink != NULL) {
            sink->change(name, 0, 0, NULL);
        }
    }
    mutex_unlock(&chrdev_lock);
    if (entry != NULL) {
        kfree(entry->target);
        kfree(entry);
    }
}

void devfs_attach(const struct devfs_sink *new_sink)
{
    struct devfs_name *entry;

    mutex_lock(&chrdev_lock);
    sink = new_sink;
    list_for_each (entry, &names, node) {
        sink->change(entry->name, entry->mode, entry->rdev, entry->target);
    }
    mutex_unlock(&chrdev_lock);
}
