/*
 * Swap areas as files: swapon(2) and swapoff(2) over kernel/vm/swap.h.
 *
 * The file of an area stays open, exclusively, while the area is in use. Files whose operations have no swap_activate cannot be swap
 * space: tmpfs, for one, whose content would itself be swapped.
 */
#include "kernel/vfs/swapfile.h"

#include <linux/fcntl.h>
#include <linux/stat.h>

#include "kernel/base/errno.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/thread.h"
#include "kernel/vfs/file.h"
#include "kernel/vm/swap.h"

struct swap_file {
    struct list_node node; /* [swap_files_lock] */
    struct file *file;     /* [I] referenced */
    void *device;          /* [I] as swap knows the area */
};

static struct mutex swap_files_lock = MUTEX_INIT(swap_files_lock);
static struct list_node swap_files = LIST_INIT(swap_files); /* [swap_files_lock] */

static int file_activate(struct file *file, const struct swap_ops **ret_ops, void **ret_device,
                         uint64_t *ret_bytes)
{
    uint32_t kind = file->inode->mode & S_IFMT;

    if ((kind != S_IFBLK && kind != S_IFREG) || file->fops->swap_activate == NULL) {
        return -EINVAL;
    }
    return file->fops->swap_activate(file, ret_ops, ret_device, ret_bytes);
}

/* Read the header, and add the area that it describes. `page` is for the header. */
static int area_add(struct file *file, int priority, bool discard, void *page, void **ret_device)
{
    const struct swap_ops *ops;
    struct swap_header header;
    uint64_t bytes;
    unsigned area;

    int err = file_activate(file, &ops, ret_device, &bytes);
    if (err < 0) {
        return err;
    }
    ssize_t n = file_read_kernel(file, page, PAGE_SIZE, 0);
    if (n < 0) {
        return (int)n;
    }
    if (n < (ssize_t)PAGE_SIZE) {
        return -EINVAL;
    }
    err = swap_header_parse(page, bytes, &header);
    if (err < 0) {
        return err;
    }
    char *buf = kmalloc(PAGE_SIZE);
    if (buf == NULL) {
        return -ENOMEM;
    }
    struct path root, cwd;
    fs_context_get_paths(current_thread()->fs, &root, &cwd);
    const char *path = path_to_string(&file->path, &root, buf, PAGE_SIZE);
    path_put(&root);
    path_put(&cwd);
    struct swap_area_info info = {.path = path == NULL ? "?" : path,
                                  .is_partition = (file->inode->mode & S_IFMT) == S_IFBLK,
                                  .priority = priority,
                                  .discard = discard};
    err = swap_area_add(ops, *ret_device, &header, &info, &area);
    kfree(buf);
    return err;
}

int vfs_swapon(const char *name, int priority, bool discard)
{
    struct swap_file *entry = kmalloc(sizeof(*entry));
    void *page = kmalloc(PAGE_SIZE);
    int err = -ENOMEM;

    if (entry == NULL || page == NULL) {
        goto free;
    }
    err = vfs_open(AT_FDCWD, name, O_RDWR | O_EXCL | O_LARGEFILE, 0, 0, &entry->file);
    if (err < 0) {
        goto free;
    }
    mutex_lock(&swap_files_lock); /* who removes the area at once must find its file */
    err = area_add(entry->file, priority, discard, page, &entry->device);
    if (err == 0) {
        list_push_back(&swap_files, &entry->node);
    }
    mutex_unlock(&swap_files_lock);
    if (err < 0) {
        file_put(entry->file);
        goto free;
    }
    kfree(page);
    return 0;

free:
    kfree(page);
    kfree(entry);
    return err;
}

/* The area has gone: so has the need to keep its file open. */
static void swap_file_close(const void *device)
{
    struct swap_file *entry, *found = NULL;

    mutex_lock(&swap_files_lock);
    list_for_each (entry, &swap_files, node) {
        if (entry->device == device) {
            found = entry;
            break;
        }
    }
    if (found != NULL) {
        list_remove(&found->node);
    }
    mutex_unlock(&swap_files_lock);
    if (found != NULL) {
        file_put(found->file);
        kfree(found);
    }
}

int vfs_swapoff(const char *name)
{
    const struct swap_ops *ops;
    struct file *file;
    uint64_t bytes;
    void *device;

    int err = vfs_open(AT_FDCWD, name, O_RDWR | O_LARGEFILE, 0, 0, &file);
    if (err < 0) {
        return err;
    }
    err = file_activate(file, &ops, &device, &bytes);
    if (err == 0) {
        err = swap_area_remove(device);
    }
    if (err == 0) {
        swap_file_close(device);
    }
    file_put(file);
    return err;
}
